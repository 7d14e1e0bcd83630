// Retraining events in time: what was decided, why, by which alerts, on which data.

import { get, live } from "./api.js";
import { Empty, html, Id, Looker, number, Tag, Time, Trouble } from "./ui.js";

const PAGE = 100;

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

  _refresh = () => this.look(async () => (await get("/api/retraining", { limit: PAGE })).retraining);

  _older = async () => {
    const { found } = this.state;
    const older = await get("/api/retraining", { limit: PAGE, before: found.at(-1).at });
    this.setState({ found: found.concat(older.retraining) });
  };

  render({ go }, { found, error }) {
    return html`<section class="page">
      <header class="head"><h1 tabindex="-1">Retraining</h1><span class="quiet">${found ? `${found.length} events` : ""}</span></header>
      <${Trouble} error=${error} onRetry=${this._refresh} />
      <div class="page-body">
        ${found?.length === 0 && html`<${Empty}>No retraining event yet. One is requested when alerts of different detectors agree and every gate is passed.</${Empty}>`}
        <ol class="timeline">${found?.map((one) => html`<${Decision} one=${one} go=${go} />`)}</ol>
        ${found?.length >= PAGE && found.length % PAGE === 0 && html`<button onClick=${this._older}>Older</button>`}
      </div>
    </section>`;
  }
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
