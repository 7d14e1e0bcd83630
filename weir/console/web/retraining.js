// Retraining events: each decision with its reason, conditions, alerts and data; suppressions for the same reason are one entry.

import { get } from "./api.js";
import { ApprovalForm, VERBS } from "./approval_form.js";
import { merged } from "./merge_pages.js";
import { collapsed } from "./suppressions.js";
import { countText, Empty, ErrorBox, html, Id, Link, Loader, Status, Tag, Time } from "./ui.js";

const PAGE = 100;
const key = (one) => `${one.retraining_id}/${one.state}`;

export class RetrainingView extends Loader {
  poll = 15_000;

  _refresh = () => this.load(() => get("/api/retraining", { limit: PAGE }), refreshed);

  events = { retraining: this._refresh };

  _decide = (request, outcome) => this.setState({ deciding: { request, outcome } });

  _older = async () => {
    const before = this.state.found.next;
    this.setState({ reading: true, failure: null });
    try {
      const page = await get("/api/retraining", { limit: PAGE, before });
      // If the list was reloaded meanwhile, the page does not follow its last row.
      this.setState(({ found }) => ({ found: found.next === before ? { retraining: joined(found, page), next: page.next } : found, reading: false }));
    } catch (failure) {
      this.setState({ failure, reading: false });
    }
  };

  render({ go }, { found, error, reading, failure, deciding }) {
    const events = found?.retraining;
    return html`<section class="page">
      <header class="head"><h1 tabindex="-1">Retraining</h1><${Status} found=${found} error=${error}>${events && countText(events.length, "event", found.next ? "+" : "")}</${Status}></header>
      <${ErrorBox} error=${error} onRetry=${this._refresh} />
      <div class="page-body">
        ${events?.length === 0 && html`<${Empty}>No retraining event yet. Retraining is requested when alerts of several detectors agree and every other condition holds.</${Empty}>`}
        <ol class="timeline">${events && collapsed(events).map((one) => html`<${Decision} key=${one.key} entry=${one} more=${found.next ? "+" : ""} go=${go} decisions=${decisions(events, one.newest)} onDecide=${this._decide} />`)}</ol>
        <${ErrorBox} error=${failure} />
        ${found?.next && html`<button disabled=${reading} onClick=${this._older}>${reading ? "Loading" : "Older"}</button>`}
      </div>
      ${deciding && html`<${ApprovalForm} ...${deciding} onDone=${this._refresh} onClose=${() => this.setState({ deciding: null })} />`}
    </section>`;
  }
}

/** The decisions that the request allows now. Only its newest event has buttons: the others may have been loaded before a decision. */
const decisions = (events, one) => (events.find((other) => other.retraining_id === one.retraining_id) === one ? one.decisions : []);

const joined = (found, page) => merged(found.retraining, page.retraining, key, (one) => one.at);

/** The newest page and the older rows, if the two overlap; else the page alone, because rows between them were not loaded. */
function refreshed(page, before) {
  const known = new Set(before?.retraining.map(key));
  const overlaps = page.retraining.some((one) => known.has(key(one)));
  return overlaps ? { retraining: joined(before, page), next: before.next } : page;
}

/** `more` is "+" if older events were not loaded: they may belong to the entry. */
function Decision({ entry: { newest: one, count, first }, more, go, decisions, onDecide }) {
  const gates = Object.entries(one.gates ?? {});
  return html`<li class=${one.state}>
    <div class="first"><${Tag} kind=${one.state}>${one.state}</${Tag}> <strong>${one.tenant} / ${one.model}</strong> <${Time} at=${one.at} /> ${count > 1 && html`<span class="quiet small">${count}${more} times since <${Time} at=${first} />${more && " or earlier"}</span> `}<${Id} id=${one.retraining_id} /></div>
    <p>${one.reason || measured(one.numbers ?? {})}</p>
    ${gates.length > 0 && html`<ul class="gates" aria-label="Conditions">${gates.map(([gate, passed]) => html`<li class=${passed ? "passed" : "failed"}><span aria-hidden="true">${passed ? "✓" : "✕"}</span> ${gate.replaceAll("_", " ")}<span class="sr">${passed ? " passed" : " failed"}</span></li>`)}</ul>`}
    <div class="second">
      ${one.alert_ids?.length > 0 && html`<span>alerts ${one.alert_ids.map((id) => html`<${Link} to=${`/alerts/${id}?state=`} go=${go}><${Id} id=${id} /></${Link}> `)}</span>`}
      ${one.data && html`<span title=${JSON.stringify(one.data)}>data: ${countText(records(one.data), "record")} of ${one.data.topic}</span>`}
      ${one.by && html`<span>by ${one.by}</span>`}
      ${one.model_version && html`<span>version <${Link} to=${`/models/${encodeURIComponent(one.model_version)}`} go=${go}>${one.model_version}</${Link}></span>`}
      ${decisions.length > 0 && html`<span class="actions">${decisions.map((outcome) => html`<button onClick=${() => onDecide(one, outcome)}>${VERBS[outcome]}</button> `)}</span>`}
    </div>
  </li>`;
}

/** The measurements of a state without reason, as `weir retraining` prints them. */
function measured({ step, steps, loss, seconds, train, eval: heldOut }) {
  return [
    step !== undefined && `step ${step}${steps === undefined ? "" : ` of ${steps}`}`,
    loss !== undefined && `loss ${loss.toFixed(3)}`,
    seconds !== undefined && `${Math.round(seconds)} s`,
    train !== undefined && `${train} ${train === 1 ? "row" : "rows"} to train on`,
    heldOut !== undefined && `${heldOut} held out`,
  ].filter(Boolean).join(", ");
}

const records = (data) => Object.entries(data.to ?? {}).reduce((sum, [part, last]) => sum + last - (data.from?.[part] ?? 0), 0);
