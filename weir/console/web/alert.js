// One alert in full: what it says, what to do, its trace, its evidence, what changed, and what may be said or done about it.

import { Component } from "./vendor/preact.mjs";
import { get, live, send } from "./api.js";
import { Change } from "./before_after.js";
import { SeriesChart } from "./charts.js";
import { Dialog } from "./dialogs.js";
import { Told, words } from "./marked_text.js";
import { duration, Empty, Fact, html, Id, Looker, Mark, number, stream, Tag, Time, TraceLink, Trouble, Verdicts } from "./ui.js";

const DURATIONS = ["30m", "2h", "8h", "1d", "7d"];
const SENTINELS = { moved: "answered differently too: look at the model first", still: "answered as before: the inputs changed" };

export class AlertPane extends Looker {
  constructor(props) {
    super(props);
    Object.assign(this.state, { acting: false, trouble: null, silencing: false, said: "", heard: 0 });
  }

  componentDidMount() {
    live.addEventListener("alerts", this._news);
    live.addEventListener("said", this._refresh);
    this._refresh();
  }

  componentWillUnmount() {
    live.removeEventListener("alerts", this._news);
    live.removeEventListener("said", this._refresh);
  }

  _refresh = () => this.look(() => get(`/api/alerts/${encodeURIComponent(this.props.id)}`));

  _news = ({ detail }) => {
    if (detail === null || detail.some((row) => row.alert_id === this.props.id)) this._refresh();
  };

  _judge = async (label, request_id = "") => {
    this.setState({ acting: true, trouble: null });
    try {
      await send("POST", "/api/feedback", { alert_id: this.props.id, label, ...(request_id && { request_id }) });
      this.setState(({ found }) => ({ acting: false, said: label, heard: found.reviews.length }));
      this.props.onJudged(this.props.id, label);
    } catch (trouble) {
      this.setState({ acting: false, trouble });
    }
  };

  render({ id, go, stack, view }, { found, error, acting, trouble, silencing, said, heard }) {
    const close = () => go(`/${view}${location.search}`);
    return html`<aside class="pane" aria-label="Alert">
      <div class="pane-head">
        ${found && html`<${Mark} severity=${found.alert.severity} state=${found.alert.state} /><strong>${found.alert.detector}</strong><${Tag} kind=${found.alert.state}>${found.alert.state}</${Tag}>${found.silenced && html`<${Tag}>silenced</${Tag}>`}`}
        <code class="id">${id.slice(0, 14)}</code>
        <button class="plain close" aria-label="Close the alert" onClick=${close}>✕</button>
      </div>
      <${Trouble} error=${error} onRetry=${this._refresh} />
      <${Trouble} error=${trouble} />
      ${found && html`<div class="pane-body">
        <h2>${found.alert.summary}</h2>
        ${this._actions(found, stack, acting, found.reviews.length === heard ? said : "")}
        ${found.alert.runbook && found.alert.state === "firing" && html`<div class="do"><strong>Do</strong> ${found.alert.runbook}</div>`}
        ${this._facts(found.alert)}
        ${found.series?.time.length > 1 && html`<section><h3>Windows around it</h3>
          <${SeriesChart} series=${found.series} height=${190} label=${`Statistic of ${found.alert.detector} beside its limit`} /></section>`}
        ${found.series?.changed && html`<${Change} window=${found.series.changed} />`}
        <${Evidence} story=${found} go=${go} stack=${stack} />
        <${Course} story=${found} go=${go} />
      </div>`}
      ${silencing && html`<${SilenceForm} alert=${found.alert} onClose=${() => this.setState({ silencing: false })} onDone=${this._refresh} />`}
    </aside>`;
  }

  _actions({ alert, reviews }, stack, acting, said) {
    const judged = said || reviews.at(-1)?.label;
    const judge = (label, name, key) => html`<button disabled=${acting} aria-pressed=${judged === label ? "true" : "false"} aria-keyshortcuts=${key} onClick=${() => this._judge(label)}>${name}<kbd aria-hidden="true">${key}</kbd></button>`;
    const trace = alert.trace_id && stack?.trace;
    return html`<div class="actions">
      ${trace && html`<a class="button primary" aria-keyshortcuts="t" href=${stack.trace.replace("{trace_id}", alert.trace_id)} target="_blank" rel="noreferrer">Open trace ↗<kbd aria-hidden="true">t</kbd></a>`}
      ${alert.evidence?.length > 0 && html`<span class="together" role="group" aria-label="Was this alert right?">${judge("right", "Right", "y")}${judge("wrong", "Wrong", "n")}</span>`}
      <button aria-keyshortcuts="s" onClick=${() => this.setState({ silencing: true })}>Silence…<kbd aria-hidden="true">s</kbd></button>
    </div>`;
  }

  _facts(alert) {
    const keys = Object.entries(alert.principals ?? {}).sort((a, b) => b[1] - a[1]);
    return html`<dl class="facts">
      <${Fact} name="stream"><a href=${`/alerts?state=&tenant=${encodeURIComponent(alert.tenant)}`} onClick=${this._to(`/alerts?state=&tenant=${encodeURIComponent(alert.tenant)}`)}>${stream(alert)}</a></${Fact}>
      <${Fact} name="opened"><${Time} at=${alert.opened_at} /> (<${Time} at=${alert.opened_at} since />)</${Fact}>
      ${alert.resolved_at !== undefined && html`<${Fact} name="resolved"><${Time} at=${alert.resolved_at} />, after ${duration(alert.resolved_at - alert.opened_at)}</${Fact}>`}
      ${alert.feature && html`<${Fact} name="feature">${alert.feature}</${Fact}>`}
      ${alert.limit > 0 && html`<${Fact} name="statistic"><b class="num">${number(alert.statistic)}</b>, the limit is ${number(alert.limit)}</${Fact}>`}
      ${alert.sentinels && html`<${Fact} name="fixed prompts">${SENTINELS[alert.sentinels] ?? alert.sentinels}</${Fact}>`}
      ${keys.length > 0 && html`<${Fact} name=${keys.length === 1 ? "API key" : `${keys.length} API keys`}>${keys.slice(0, 4).map(([key, events], at) => html`${at > 0 && ", "}<code>${key}</code> ${events}`)}${keys.length > 4 && ", …"}</${Fact}>`}
    </dl>`;
  }

  _to = (path) => (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.props.go(path);
  };
}

class Evidence extends Component {
  state = { told: null, reading: "", trouble: null };

  /** Show the words of one request: its text is read for it, which is written down. */
  _why = async (request_id) => {
    this.setState({ reading: request_id, told: null, trouble: null });
    try {
      this.setState({ told: await words(request_id), reading: "" });
    } catch (trouble) {
      this.setState({ reading: "", trouble });
    }
  };

  _row(row) {
    const { story, go, stack } = this.props;
    const path = `/requests/${row.request_id}`;
    const follow = (event) => {
      event.preventDefault();
      go(path);
    };
    const { reading } = this.state;
    return html`<tr>
      <td><${Time} at=${row.time} /></td>
      <td><a href=${path} onClick=${follow}><${Id} id=${row.request_id} /></a></td>
      <td><${Verdicts} row=${row} /></td>
      <td class="right">${stack?.capabilities[story.alert.detector]?.explains && html`<button class="small" disabled=${reading !== ""} title="Which words: reads the text, which is logged" onClick=${() => this._why(row.request_id)}>${reading === row.request_id ? "loading" : "why"}</button> `}<${TraceLink} template=${stack?.trace} id=${row.trace_id} label="trace" /></td>
    </tr>`;
  }

  render({ story: { alert, evidence } }, { told, trouble }) {
    if (!alert.evidence?.length) return null;
    const gone = alert.evidence.length - evidence.length;
    return html`<section>
      <h3>Evidence <small>${evidence.length} of ${alert.evidence_total} request${alert.evidence_total === 1 ? "" : "s"}</small></h3>
      <table class="grid">
        <thead><tr><th scope="col">time</th><th scope="col">request</th><th scope="col">verdicts</th><th scope="col"><span class="sr">more</span></th></tr></thead>
        <tbody>${evidence.map((row) => this._row(row))}</tbody>
      </table>
      ${gone > 0 && html`<p class="quiet">${gone} more that the ledger does not have (any more).</p>`}
      <${Trouble} error=${trouble} />
      ${told?.map((one) => html`<${Told} told=${one} />`)}
    </section>`;
  }
}

function Course({ story, go }) {
  const { changes, reviews, retraining } = story;
  const follow = (event) => {
    event.preventDefault();
    go("/retraining");
  };
  const told = [
    ...turns(changes).map(([one, before]) => [one.at, coursed(one, before)]),
    ...retraining.map((one) => [one.at, html`retraining <${Tag} kind=${one.state}>${one.state}</${Tag}> ${one.reason} <a href="/retraining" onClick=${follow}>timeline</a>`]),
    ...reviews.map((one) => [one.at, html`called <${Tag} kind=${one.label}>${one.label}</${Tag}> by ${one.by || "a user"}`]),
  ].sort(([at], [other]) => at - other);
  return html`<section><h3>What came of it</h3>
    <ol class="course">${told.map(([at, what]) => html`<li><${Time} at=${at} /> <span>${what}</span></li>`)}</ol>
    ${changes.length === 0 && html`<${Empty}>Its records are gone.</${Empty}>`}
  </section>`;
}

/** The records in which something turned: the first, the last, and those of another state or severity; each with the one before it. */
function turns(changes) {
  const pairs = changes.map((one, at) => [one, changes[at - 1]]);
  return pairs.filter(([one, before], at) => !before || at === pairs.length - 1 || one.state !== before.state || one.severity !== before.severity);
}

function coursed(one, before) {
  if (one.state === "resolved") return "resolved";
  if (!before) return `${one.revision ? "known" : "opened"} as ${one.severity}${one.limit ? `, statistic ${number(one.statistic)}` : ""}`;
  if (before.severity !== one.severity) return `now ${one.severity}, ${one.evidence_total} requests`;
  return `${one.evidence_total} requests${one.limit ? `, statistic ${number(one.statistic)}` : ""}`;
}

class SilenceForm extends Looker {
  constructor(props) {
    super(props);
    Object.assign(this.state, { duration: "2h", reason: "", loading: false });
  }

  _submit = (event) => {
    event.preventDefault();
    const { duration: lasts, reason } = this.state;
    this.look(async () => {
      await send("POST", "/api/silences", { alert_id: this.props.alert.alert_id, for: lasts, reason });
      this.props.onDone();
      this.props.onClose();
    });
  };

  render({ alert, onClose }, { duration: lasts, reason, loading, error }) {
    return html`<${Dialog} title="Silence" onClose=${onClose}>
      <p>What fires of <strong>${[stream(alert), alert.detector, alert.feature].filter(Boolean).join(" / ")}</strong> is not told, now and when it fires again. All else goes on.</p>
      <form onSubmit=${this._submit}>
        <div class="choice" role="group" aria-label="How long">${DURATIONS.map((one) => html`<button type="button" aria-pressed=${lasts === one ? "true" : "false"} onClick=${() => this.setState({ duration: one })}>${one}</button>`)}</div>
        <label class="field">Why, for whoever is on call next<input required maxlength="500" autofocus value=${reason} onInput=${(event) => this.setState({ reason: event.target.value })} /></label>
        <${Trouble} error=${error} />
        <div class="actions"><button class="primary" disabled=${loading || !reason.trim()}>${loading ? "Silencing" : `Silence for ${lasts}`}</button><button type="button" onClick=${onClose}>Cancel</button></div>
      </form>
    </${Dialog}>`;
  }
}
