// The newest requests, live, with the details of one beside them.

import { live, now } from "./api.js";
import { Spark } from "./charts.js";
import { List } from "./list.js";
import { RequestPane } from "./request.js";
import { clock, countText, duration, Empty, exact, html, Id, LiveComponent, Mark, number, percent, Time, Verdicts, zone } from "./ui.js";

const ROW = 30;
const RATE_SECONDS = 10;

export class LiveView extends LiveComponent {
  state = { paused: null, flagged: false, chosen: this.props.id };

  _pause = () => this.setState({ paused: this.state.paused ? null : live.requests });

  _open = (row) => {
    this.setState({ chosen: row.request_id });
    this.props.go(`/requests/${row.request_id}`);
  };

  render({ id, go, stack }, { paused, flagged, chosen }) {
    const rows = (paused ?? live.requests).filter((row) => !flagged || row.verdicts.some((one) => one.flagged));
    return html`<section class=${`split ${id ? "open" : ""}`}>
      <div class="left">
        <header class="head"><h1 tabindex="-1">Live</h1>
          <label class="check"><input type="checkbox" checked=${flagged} onChange=${(event) => this.setState({ flagged: event.target.checked })} /> flagged only</label>
          <button aria-keyshortcuts="p" aria-pressed=${paused ? "true" : "false"} onClick=${this._pause}>${paused ? "Resume" : "Pause"}<kbd aria-hidden="true">p</kbd></button>
        </header>
        <${Tiles} />
        <div class="columns request-grid" aria-hidden="true"><span>time</span><span>tenant</span><span>status</span><span class="right">latency</span><span class="right">tokens</span><span>verdicts</span><span>request</span></div>
        <${List}
          name="request"
          label="Newest requests"
          items=${rows}
          rowHeight=${ROW}
          keyOf=${(row) => row.request_id}
          chosen=${id || chosen}
          total=${rows.length}
          onChoose=${(row) => (id ? this._open(row) : this.setState({ chosen: row.request_id }))}
          onOpen=${this._open}
          row=${RequestRow}
          empty=${live.ledger !== undefined && html`<${Empty}>${(paused ?? live.requests).length ? "None of the newest requests is flagged." : "No request yet. Send one to the endpoint that weir up printed."}</${Empty}>`}
        />
      </div>
      ${id && html`<${RequestPane} key=${id} id=${id} go=${go} stack=${stack} />`}
    </section>`;
  }
}

const RequestRow = (row) => html`<div class="request-grid">
  <${Time} at=${row.time} />
  <span class="clip" title=${`${row.tenant} / ${row.model}`}>${row.tenant}</span>
  <span class=${row.status === "complete" ? "quiet" : row.status ? "bad" : "quiet"}>${row.shadow_of && row.status === "complete" ? "copy" : row.status || "open"}</span>
  <span class="right">${row.latency_seconds ? duration(row.latency_seconds) : ""}</span>
  <span class="right">${row.tokens}</span>
  <${Verdicts} row=${row} />
  <${Id} id=${row.request_id} />
</div>`;

class Tiles extends LiveComponent {
  render() {
    const { firing, coverage, ledger } = live;
    // The rates are those before the newest event time: not those of the last minute if event time has stopped or is wrong.
    const traffic = ledger?.alive && !ledger.inactive && !ledger.ahead ? live.traffic : null;
    const total = (counts) => counts.reduce((sum, one) => sum + one, 0);
    const rate = (counts) => (counts ? number(total(counts.slice(-RATE_SECONDS - 1, -1)) / RATE_SECONDS) : "–");
    const known = (value) => (ledger ? value : "–"); // without data, 0 would be wrong
    const behind = ledger?.log_time ? now() - ledger.log_time : 0;
    return html`<div class="tiles">
      <div class="tile"><span class="label">requests / s</span><b>${rate(traffic?.requests)}</b><${Spark} values=${traffic?.requests ?? []} label="requests in each of the last 60 seconds" /></div>
      <div class="tile"><span class="label">flagged / s</span><b>${rate(traffic?.flagged)}</b><${Spark} values=${traffic?.flagged ?? []} kind="critical" label="flagged verdicts in each of the last 60 seconds" /></div>
      <div class="tile"><span class="label">alerts firing</span><b>${known(total(Object.values(firing)))}</b>
        <span class="parts">${["critical", "warning", "info"].filter((name) => firing[name]).map((name) => html`<span><${Mark} severity=${name} state="firing" /> ${firing[name]} ${name}</span>`)}</span></div>
      <div class="tile"><span class="label">detector coverage</span><b>${coverage?.owed ? percent(coverage.ratio) : "–"}</b>
        <span class="parts">${coverage && html`<span>${countText(coverage.requests, "request")}</span>${coverage.pending > 0 && html`<span>${exact(coverage.pending)} pending</span>`}${coverage.missing > 0 && html`<span class="bad">${exact(coverage.missing)} missing</span>`}`}</span></div>
      <div class="tile"><span class="label">event time${ledger?.log_time ? `, ${zone(ledger.log_time)}` : ""}</span><b>${ledger?.log_time ? clock(ledger.log_time) : "–"}</b>
        <span class="parts">${ledger && html`<span>${!ledger.alive ? html`<span class="bad">the ledger has stopped</span>` : behind > 15 ? html`<span class="bad">${duration(behind)} ago</span>` : ledger.caught_up ? "the ledger is up to date" : ledger.lag ? `${countText(ledger.lag, "record")} to read` : "waiting for Kafka"}</span>`}</span></div>
    </div>`;
  }
}
