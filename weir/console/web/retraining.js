// Retraining events in time: what was decided, why, by which alerts, on which data.

import { get, live } from "./api.js";
import { joined } from "./merge_pages.js";
import { Empty, html, Id, Looker, number, Tag, Time, Trouble } from "./ui.js";

const PAGE = 100;
const key = (one) => `${one.retraining_id}/${one.state}`;

export class RetrainingView extends Looker {
  componentDidMount() {
    live.addEventListener("alerts", this._refresh); // a decision follows an alert
    this._timer = setInterval(this._refresh, 15_000);
    this._refresh();
  }

  componentWillUnmount() {
    live.removeEventListener("alerts", this._refresh);
    clearInterval(this._timer);
  }

  _refresh = () => this.look(() => get("/api/retraining", { limit: PAGE }), refreshed);

  _older = async () => {
    const before = this.state.found.next;
    this.setState({ reading: true, trouble: null });
    try {
      const page = await get("/api/retraining", { limit: PAGE, before });
      // Where the list began anew meanwhile, the page does not meet it.
      this.setState(({ found }) => ({ found: found.next === before ? { retraining: merged(found, page), next: page.next } : found, reading: false }));
    } catch (trouble) {
      this.setState({ trouble, reading: false });
    }
  };

  render({ go }, { found, error, reading, trouble }) {
    const events = found?.retraining;
    return html`<section class="page">
      <header class="head"><h1 tabindex="-1">Retraining</h1><span class="quiet">${events ? `${events.length}${found.next ? "+" : ""} events` : ""}</span></header>
      <${Trouble} error=${error} onRetry=${this._refresh} />
      <div class="page-body">
        ${events?.length === 0 && html`<${Empty}>No retraining event yet. One is requested when alerts of different detectors agree and every gate is passed.</${Empty}>`}
        <ol class="timeline">${events?.map((one) => html`<${Decision} key=${key(one)} one=${one} go=${go} />`)}</ol>
        <${Trouble} error=${trouble} />
        ${found?.next && html`<button disabled=${reading} onClick=${this._older}>${reading ? "Looking" : "Older"}</button>`}
      </div>
    </section>`;
  }
}

const merged = (found, page) => joined(found.retraining, page.retraining, key, (one) => one.at);

/** The newest page in front of what is shown; alone where it does not reach down to it, since what is between was never asked for. */
function refreshed(page, before) {
  const known = new Set(before?.retraining.map(key));
  const meets = page.retraining.some((one) => known.has(key(one)));
  return meets ? { retraining: merged(before, page), next: before.next } : page;
}

function Decision({ one, go }) {
  const follow = (id) => (event) => {
    event.preventDefault();
    go(`/alerts/${id}?state=`);
  };
  const gates = Object.entries(one.gates ?? {});
  return html`<li class=${one.state}>
    <div class="first"><${Tag} kind=${one.state}>${one.state}</${Tag}> <strong>${one.tenant} / ${one.model}</strong> <${Time} at=${one.at} /> <${Id} id=${one.retraining_id} /></div>
    <p>${one.reason}</p>
    ${gates.length > 0 && html`<ul class="gates" aria-label="Gates">${gates.map(([gate, passed]) => html`<li class=${passed ? "passed" : "held"}><span aria-hidden="true">${passed ? "✓" : "✕"}</span> ${gate.replaceAll("_", " ")}<span class="sr">${passed ? " passed" : " not passed"}</span></li>`)}</ul>`}
    <div class="second">
      ${one.alert_ids?.length > 0 && html`<span>alerts ${one.alert_ids.map((id) => html`<a href=${`/alerts/${id}?state=`} onClick=${follow(id)}><${Id} id=${id} /></a> `)}</span>`}
      ${one.data && html`<span title=${JSON.stringify(one.data)}>data: ${number(records(one.data))} records of ${one.data.topic}</span>`}
    </div>
  </li>`;
}

const records = (data) => Object.entries(data.to ?? {}).reduce((sum, [part, last]) => sum + last - (data.from?.[part] ?? 0), 0);
