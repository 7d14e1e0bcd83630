// The list of alerts, or of alerts without a review, with the details of one beside it.

import { Component } from "./vendor/preact.mjs";
import { get, live } from "./api.js";
import { AlertPane } from "./alert.js";
import { List } from "./list.js";
import { merged } from "./merge_pages.js";
import { countText, dateTime, duration, Empty, ErrorBox, html, iso, Mark, Status, stream, Tag } from "./ui.js";

const ROW = 58;
const PAGE = 200;
/** Rows of a page that the API returns at most. */
const MAX_PAGE = 500;
const FILTERS = ["state", "severity", "detector", "tenant", "q"];
const TYPING_MS = 200;
const STATES = [["firing", "Firing"], ["resolved", "Resolved"], ["", "All"]];

export class AlertsView extends Component {
  state = { alerts: null, next: "", error: null, chosen: this.props.id, typed: null };
  _calls = 0;
  _reviews = new Map();

  get review() {
    return this.props.view === "review";
  }

  _filter(props = this.props) {
    const given = Object.fromEntries(FILTERS.map((name) => [name, props.query.get(name) ?? ""]));
    if (props.view === "alerts" && !props.query.has("state")) given.state = "firing";
    return given;
  }

  componentDidMount() {
    live.addEventListener("alerts", this._onAlerts);
    live.addEventListener("operator", this._reload); // reviews and silences do not name their alerts
    this._loadRows();
  }

  componentWillUnmount() {
    live.removeEventListener("alerts", this._onAlerts);
    live.removeEventListener("operator", this._reload);
    clearTimeout(this._typing);
  }

  componentDidUpdate(before) {
    if (before.query.toString() !== this.props.query.toString()) this._loadRows();
    if (before.id !== this.props.id && this.props.id) this.setState({ chosen: this.props.id });
  }

  /** Load rows and apply them; a later call replaces an earlier one. Changes that arrive meanwhile are newer, and are applied after. */
  _request = async (work) => {
    const call = ++this._calls;
    Object.assign(this, { _busy: true, _reloadDue: false, _missed: [] });
    try {
      const change = await work(() => call === this._calls);
      if (call === this._calls) this.setState((state) => ({ ...change(state), error: null }));
    } catch (error) {
      if (call === this._calls) this.setState({ error });
    }
    if (call !== this._calls) return;
    this._busy = false;
    if (this._missed.length) this._onAlerts({ detail: this._missed });
    if (this._reloadDue) this._reload();
  };

  _page = (before, limit) => get("/api/alerts", { ...this._filter(), unreviewed: this.review, before, limit });

  /** Load the newest `rows` rows; the alert `kept` stays in the list even if the filter excludes it now. */
  _loadRows = (rows = PAGE, kept = "") =>
    this._request(async (current) => {
      let page = await this._page("", Math.min(rows, MAX_PAGE));
      let found = page.alerts;
      while (current() && page.next && found.length < rows) {
        page = await this._page(page.next, Math.min(rows - found.length, MAX_PAGE));
        found = found.concat(page.alerts);
      }
      return ({ alerts }) => ({ alerts: this._merged((alerts ?? []).filter((row) => row.alert_id === kept), found), next: page.next });
    });

  /** Load as many rows as are shown again, so that the scroll position stays. */
  _reload = () => {
    if (this._busy) this._reloadDue = true;
    else this._loadRows(Math.max(this.state.alerts?.length ?? 0, PAGE), this.props.id);
  };

  _more = () => {
    const { next, error } = this.state;
    if (!next || error || this._busy) return;
    this._request(async () => {
      const page = await this._page(next, PAGE);
      return ({ alerts }) => ({ alerts: this._merged(alerts, page.alerts), next: page.next });
    });
  };

  /** Add rows to the list, with reviews of this page until the ledger has them or a later one. */
  _merged(known, rows) {
    const reviewed = rows.map((row) => {
      const mine = this._reviews.get(row.alert_id);
      if (!mine) return row;
      if (mine.before === (row.review ?? "")) return { ...row, review: mine.label };
      this._reviews.delete(row.alert_id);
      return row;
    });
    const all = merged(known, reviewed, (row) => row.alert_id, (row) => row.opened_at);
    return this.review ? all.filter((row) => !row.review || row.alert_id === this.props.id) : all;
  }

  /** Update changed rows and insert new ones that pass the filter. A search matches whole records, so it reloads. */
  _onAlerts = ({ detail }) => {
    if (detail === null || this._filter().q) return void this._reload();
    if (this._busy) this._missed.push(...detail);
    this.setState(({ alerts }) => alerts && { alerts: this._merged(alerts, detail).filter((row) => this._passes(row) || row.alert_id === this.props.id) });
  };

  _passes(row) {
    const { state, severity, detector, tenant } = this._filter();
    if (this.review && (row.review || row.tenant === "_weir" || !row.evidence_total)) return false;
    return (!state || row.state === state) && (!severity || row.severity === severity) && (!detector || row.detector === detector) && (!tenant || row.tenant === tenant);
  }

  _set(changes) {
    const filter = { ...this._filter(), ...changes };
    const given = new URLSearchParams(Object.entries(filter).filter(([name, value]) => value || name === "state"));
    if (this.review) given.delete("state");
    this.props.go(`/${this.props.view}${this.props.id ? `/${this.props.id}` : ""}${given.size ? `?${given}` : ""}`, { replace: true });
  }

  _typed = (event) => {
    clearTimeout(this._typing);
    const typed = event.target.value;
    this.setState({ typed });
    this._typing = setTimeout(() => {
      this.setState({ typed: null });
      this._set({ q: typed });
    }, TYPING_MS);
  };

  _open = (row) => {
    this.setState({ chosen: row.alert_id });
    this.props.go(`/${this.props.view}/${row.alert_id}${location.search}`);
  };

  /** In the review queue, a reviewed alert is removed and the next one opens. */
  _reviewed = (alert_id, label) => {
    const { alerts } = this.state;
    const index = alerts?.findIndex((row) => row.alert_id === alert_id) ?? -1;
    const before = this._reviews.get(alert_id)?.before ?? alerts?.[index]?.review ?? "";
    this._reviews.set(alert_id, { label, before });
    this.setState({ failure: null });
    if (index < 0) return;
    if (!this.review) {
      this.setState({ alerts: alerts.with(index, { ...alerts[index], review: label }) });
      return;
    }
    const left = alerts.toSpliced(index, 1);
    const following = left[Math.min(index, left.length - 1)];
    this.setState({ alerts: left });
    if (location.pathname !== `/review/${alert_id}`) return; // the user has moved on meanwhile
    this.props.go(`/review${following ? `/${following.alert_id}` : ""}${location.search}`);
  };

  /** Show the failure of a review here if its alert is no longer open. */
  _failed = (alert_id, { message }) => {
    if (alert_id !== this.props.id) this.setState({ failure: { message: `The review of alert ${alert_id.slice(0, 14)} was not recorded: ${message}` } });
  };

  render({ id, go, stack, view }, { alerts, next, error, failure, chosen, typed }) {
    const filter = this._filter();
    const choose = ({ target }, name) => {
      this._set({ [name]: target.value });
      if (this._pointed) target.blur(); // after a choice by the pointer, the next key is a shortcut, not another choice
      this._pointed = false;
    };
    const named = (name, label, options) => html`<label class="pick"><span class="sr">${label}</span>
      <select value=${filter[name]} onPointerDown=${() => (this._pointed = true)} onChange=${(event) => choose(event, name)}>
        <option value="">any ${label}</option>${options.map((one) => html`<option value=${one} selected=${filter[name] === one}>${one}</option>`)}
      </select></label>`;
    return html`<section class=${`split ${id ? "open" : ""}`}>
      <div class="left">
        <header class="head"><h1 tabindex="-1">${this.review ? "Review" : "Alerts"}</h1>
          <${Status} found=${alerts} error=${error}>${alerts?.length}${next ? "+" : ""} ${this.review ? "to review" : "shown"}</${Status}>
          <input type="search" placeholder="Search   /" aria-label="Search alerts" value=${typed ?? filter.q} onInput=${this._typed} />
        </header>
        <div class="filters">
          ${!this.review && html`<div class="choice" role="group" aria-label="State">${STATES.map(([value, name]) => html`<button aria-pressed=${filter.state === value ? "true" : "false"} onClick=${() => this._set({ state: value })}>${name}</button>`)}</div>`}
          ${named("severity", "severity", ["critical", "warning", "info"])}
          ${named("detector", "detector", alerting(stack, alerts, filter.detector))}
          ${filter.tenant && html`<button onClick=${() => this._set({ tenant: "" })} aria-label=${`Remove the filter tenant ${filter.tenant}`}>${filter.tenant} ✕</button>`}
        </div>
        <${ErrorBox} error=${error} onRetry=${this._reload} />
        <${ErrorBox} error=${failure} />
        <${List}
          name="alert"
          label=${this.review ? "Alerts to review" : "Alerts"}
          items=${alerts ?? []}
          rowHeight=${ROW}
          keyOf=${(row) => row.alert_id}
          chosen=${id || chosen}
          total=${next ? undefined : alerts?.length}
          onChoose=${(row) => (id ? this._open(row) : this.setState({ chosen: row.alert_id }))}
          onOpen=${this._open}
          onEnd=${this._more}
          row=${AlertRow}
          empty=${alerts && html`<${Empty}>${this._nothing(filter)}</${Empty}>`}
        />
      </div>
      ${id && html`<${AlertPane} key=${id} id=${id} go=${go} stack=${stack} view=${view} onReviewed=${this._reviewed} onFailed=${this._failed} />`}
    </section>`;
  }

  _nothing(filter) {
    if (this.review) return "Nothing to review: every alert with evidence has a review.";
    if (filter.severity || filter.detector || filter.q || filter.tenant) return "No alert matches these filters.";
    return filter.state === "firing" ? "No alert is firing." : "No alert yet.";
  }
}

/** The detectors that can alert, and those of the alerts shown: an alert may come from a version that knows more detectors. */
function alerting(stack, alerts, chosen) {
  const known = Object.entries(stack?.capabilities ?? {}).flatMap(([name, { alerts: can }]) => (can ? [name] : []));
  return [...new Set([...known, ...(alerts ?? []).map((row) => row.detector), chosen])].filter(Boolean).sort();
}

const AlertRow = (row) => html`<div class="alert-row">
  <${Mark} severity=${row.severity} state=${row.state} />
  <div class="alert-text">
    <div class="first"><strong>${row.detector}</strong><span class="clip">${row.summary}</span></div>
    <div class="second">
      <span class="clip">${stream(row)}</span>
      <time datetime=${iso(row.opened_at)} title=${iso(row.opened_at)}>${dateTime(row.opened_at)}</time>
      ${row.resolved_at !== null && row.resolved_at !== undefined && html`<span>lasted ${duration(row.resolved_at - row.opened_at)}</span>`}
      ${row.evidence_total > 0 && html`<span>${countText(row.evidence_total, "request")}</span>`}
      ${row.silenced && html`<${Tag}>silenced</${Tag}>`}
      ${row.review && html`<${Tag} kind=${row.review === "wrong" ? "wrong" : "right"}>${row.review}</${Tag}>`}
    </div>
  </div>
</div>`;
