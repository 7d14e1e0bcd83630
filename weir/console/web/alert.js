// One alert: summary, what to do, trace, evidence, what changed, and the operator's actions.

import { Component } from "./vendor/preact.mjs";
import { get, send } from "./api.js";
import { BeforeAfter } from "./before_after.js";
import { SeriesChart } from "./charts.js";
import { EmbeddingMap } from "./embedding_map.js";
import { Explanation, explanations } from "./marked_text.js";
import { SilenceForm } from "./silence_form.js";
import { collapsed } from "./suppressions.js";
import { Ago, countText, duration, Empty, ErrorBox, Fact, html, Id, Link, Loader, Mark, number, Status, stream, Tag, Time, TraceLink, Verdicts, zone } from "./ui.js";

const SENTINELS = { moved: "answers changed too: check the model first", still: "answers unchanged: the inputs changed" };

/** The stream of an alert as the drift API names it. */
const streamOf = ({ tenant, model, side, part, model_version }) => ({ tenant, model, side: `${side}${part ? `/${part}` : ""}${model_version?.startsWith("m_") ? `@${model_version}` : ""}` });

export class AlertPane extends Loader {
  state = { ...this.state, sending: false, failure: null, silencing: false, reviewed: "", reviewsBefore: 0 };

  _refresh = () => this.load(() => get(`/api/alerts/${encodeURIComponent(this.props.id)}`));

  _onAlerts = ({ detail }) => {
    if (detail === null || detail.some((row) => row.alert_id === this.props.id)) this._refresh();
  };

  events = { alerts: this._onAlerts, operator: this._refresh };

  _review = async (label) => {
    this.setState({ sending: true, failure: null });
    try {
      await send("POST", "/api/feedback", { alert_id: this.props.id, label });
      this.setState(({ found }) => ({ sending: false, reviewed: label, reviewsBefore: found.reviews.length }));
      this.props.onReviewed(this.props.id, label);
    } catch (failure) {
      this.setState({ sending: false, failure });
      this.props.onFailed(this.props.id, failure);
    }
  };

  render({ id, go, stack, view }, { found, error, sending, failure, silencing, reviewed, reviewsBefore }) {
    const close = () => go(`/${view}${location.search}`);
    return html`<aside class="pane" aria-label="Alert">
      <div class="pane-head">
        ${found && html`<${Mark} severity=${found.alert.severity} state=${found.alert.state} /><strong>${found.alert.detector}</strong><${Tag} kind=${found.alert.state}>${found.alert.state}</${Tag}>${found.silenced && html`<${Tag}>silenced</${Tag}>`}`}
        <code class="id">${id.slice(0, 14)}</code><${Status} found=${found} error=${error} />
        <button class="plain close" aria-label="Close the alert" onClick=${close}>✕</button>
      </div>
      <${ErrorBox} error=${error} onRetry=${this._refresh} />
      <${ErrorBox} error=${failure} />
      ${found && html`<div class="pane-body">
        <h2>${found.alert.summary}</h2>
        ${this._actions(found, stack, sending, found.reviews.length === reviewsBefore ? reviewed : "")}
        ${found.alert.runbook && found.alert.state === "firing" && html`<div class="do"><strong>Do</strong> ${found.alert.runbook}</div>`}
        ${this._facts(found.alert)}
        ${found.series?.time.length > 1 && html`<section><h3>Windows</h3>
          <${SeriesChart} series=${found.series} height=${190} label=${`Statistic and limit of ${found.alert.detector}`} /></section>`}
        ${found.series?.changed && html`<${BeforeAfter} window=${found.series.changed} />`}
        ${found.alert.detector === "drift" && found.series?.changed && html`<${EmbeddingMap} key=${id} stream=${streamOf(found.alert)} since=${found.series.changed.details.changed_at} until=${found.series.changed.time} go=${go} />`}
        ${found.alert.detector === "drift" && found.alert.evidence?.length > 0 && html`<${ClusterTerms} id=${id} />`}
        <${Evidence} story=${found} go=${go} stack=${stack} />
        <${History} story=${found} go=${go} />
      </div>`}
      ${silencing && html`<${SilenceForm} alert=${found.alert} onClose=${() => this.setState({ silencing: false })} onDone=${this._refresh} />`}
    </aside>`;
  }

  /** `reviewed` is a review of this page that the ledger does not have yet. */
  _actions({ alert, reviews }, stack, sending, reviewed) {
    const newest = reviewed || reviews.at(-1)?.label;
    const review = (label, name, key) => html`<button disabled=${sending} aria-pressed=${newest === label ? "true" : "false"} aria-keyshortcuts=${key} onClick=${() => this._review(label)}>${name}<kbd aria-hidden="true">${key}</kbd></button>`;
    return html`<div class="actions">
      <${TraceLink} template=${stack?.trace} id=${alert.trace_id} primary />
      ${alert.evidence?.length > 0 && html`<span class="choice" role="group" aria-label="Was this alert right?">${review("right", "Right", "y")}${review("wrong", "Wrong", "n")}</span>`}
      <button aria-keyshortcuts="s" onClick=${() => this.setState({ silencing: true })}>Silence…<kbd aria-hidden="true">s</kbd></button>
    </div>`;
  }

  _facts(alert) {
    const keys = Object.entries(alert.principals ?? {}).sort((a, b) => b[1] - a[1]);
    return html`<dl class="facts">
      <${Fact} name="stream"><${Link} to=${`/alerts?state=&tenant=${encodeURIComponent(alert.tenant)}`} go=${this.props.go}>${stream(alert)}</${Link}></${Fact}>
      <${Fact} name="opened"><${Time} at=${alert.opened_at} /> ${zone(alert.opened_at)} (<${Ago} at=${alert.opened_at} />)</${Fact}>
      ${alert.resolved_at !== undefined && html`<${Fact} name="resolved"><${Time} at=${alert.resolved_at} />, after ${duration(alert.resolved_at - alert.opened_at)}</${Fact}>`}
      ${alert.feature && html`<${Fact} name="feature">${alert.feature}</${Fact}>`}
      ${alert.limit > 0 && html`<${Fact} name="statistic"><b>${number(alert.statistic)}</b>, limit ${number(alert.limit)}</${Fact}>`}
      ${alert.sentinels && html`<${Fact} name="fixed prompts">${SENTINELS[alert.sentinels] ?? alert.sentinels}</${Fact}>`}
      ${keys.length > 0 && html`<${Fact} name=${keys.length === 1 ? "API key" : "API keys"}>${keys.slice(0, 4).map(([key, events], at) => html`${at > 0 && ", "}<code>${key}</code> ${events}`)}${keys.length > 4 && ", …"}</${Fact}>`}
    </dl>`;
  }
}

/** The terms that are typical of a drift alert's evidence, on request: texts are read for it, which is logged. */
class ClusterTerms extends Loader {
  _describe = () => this.load(() => send("POST", `/api/alerts/${encodeURIComponent(this.props.id)}/terms`));

  render(_, { found, error, loading }) {
    return html`<section class="terms"><h3>Cluster</h3>
      ${!found && html`<button disabled=${loading} onClick=${this._describe}>${loading ? "Reading texts" : "Typical terms"}</button>
        <p class="quiet small">Reads the texts of the evidence and of up to 60 earlier requests of the model. Each access is logged with your name in logs/access.log.</p>`}
      <${ErrorBox} error=${error} onRetry=${this._describe} />
      ${found && html`<ul class="term-list">${found.terms.map((one) => html`<li class="tag" title=${`in ${one.texts} of ${found.texts} evidence texts, ${one.reference_texts} of ${found.reference_texts} earlier texts`}>${one.term} <small>${one.texts}</small></li>`)}</ul>
        <p class="quiet small">${found.terms.length ? "Words in significantly more evidence texts than earlier texts, with the number of evidence texts." : "No word is in significantly more evidence texts than earlier texts."} Computed from ${found.texts} evidence texts and ${found.reference_texts} earlier texts of the model.</p>`}
    </section>`;
  }
}

class Evidence extends Component {
  state = { found: null, reading: "", failure: null };

  /** Show the words that a request was flagged for; its text is read for it, which is logged. */
  _explain = async (request_id) => {
    this.setState({ reading: request_id, found: null, failure: null });
    try {
      this.setState({ found: await explanations(request_id, this.props.stack), reading: "" });
    } catch (failure) {
      this.setState({ reading: "", failure });
    }
  };

  _row(row) {
    const { story, go, stack } = this.props;
    const { reading } = this.state;
    return html`<tr>
      <td><${Time} at=${row.time} /></td>
      <td><${Link} to=${`/requests/${row.request_id}`} go=${go}><${Id} id=${row.request_id} /></${Link}></td>
      <td><${Verdicts} row=${row} /></td>
      <td class="right">${stack?.capabilities[story.alert.detector]?.explains && html`<button class="small" disabled=${reading !== ""} title="Which words: reads the text, which is logged" onClick=${() => this._explain(row.request_id)}>${reading === row.request_id ? "loading" : "why"}</button> `}<${TraceLink} template=${stack?.trace} id=${row.trace_id} /></td>
    </tr>`;
  }

  render({ story: { alert, evidence } }, { found, failure }) {
    if (!alert.evidence?.length) return null;
    const expired = alert.evidence.length - evidence.length;
    return html`<section>
      <h3>Evidence <small>${evidence.length} of ${countText(alert.evidence_total, "request")}</small></h3>
      <table class="grid">
        <thead><tr><th scope="col">time</th><th scope="col">request</th><th scope="col">verdicts</th><th scope="col"><span class="sr">more</span></th></tr></thead>
        <tbody>${evidence.map((row) => this._row(row))}</tbody>
      </table>
      ${expired > 0 && html`<p class="quiet">${expired} more are not in the ledger, or have expired.</p>`}
      <${ErrorBox} error=${failure} />
      ${found?.map((one) => html`<${Explanation} explanation=${one} />`)}
    </section>`;
  }
}

/** Changes of the alert, retraining events and reviews in order of time; suppressions with the same failed conditions are one line. */
function History({ story, go }) {
  const { changes, reviews, retraining } = story;
  const entries = [
    ...notable(changes).map(([one, before]) => [one.at, changeText(one, before)]),
    ...collapsed(retraining).map(({ newest: one, count, first }) => [one.at, html`retraining <${Tag} kind=${one.state}>${one.state}</${Tag}> ${one.reason}${count > 1 && html` <span class="quiet">(${count} times since <${Time} at=${first} />)</span>`} <${Link} to="/retraining" go=${go}>timeline</${Link}>`]),
    ...reviews.map((one) => [one.at, html`reviewed <${Tag} kind=${one.label}>${one.label}</${Tag}> by ${one.by || "a user"}`]),
  ].sort(([at], [other]) => at - other);
  return html`<section><h3>History</h3>
    <ol class="course">${entries.map(([at, what]) => html`<li><${Time} at=${at} /> <span>${what}</span></li>`)}</ol>
    ${changes.length === 0 && html`<${Empty}>The alert's changes have expired.</${Empty}>`}
  </section>`;
}

/** The first and the last change, and those of state or severity, each with the one before it. */
function notable(changes) {
  const pairs = changes.map((one, at) => [one, changes[at - 1]]);
  return pairs.filter(([one, before], at) => !before || at === pairs.length - 1 || one.state !== before.state || one.severity !== before.severity);
}

function changeText(one, before) {
  if (one.state === "resolved") return "resolved";
  const statistic = one.limit ? `, statistic ${number(one.statistic)}` : "";
  if (!before) return `${one.revision ? "first known as" : "opened as"} ${one.severity}${statistic}`;
  if (before.severity !== one.severity) return `now ${one.severity}, ${countText(one.evidence_total, "request")}`;
  return `${countText(one.evidence_total, "request")}${statistic}`;
}
