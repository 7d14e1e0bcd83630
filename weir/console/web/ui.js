// Small components and formats that all views use.

import { Component, h } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";
import { live, now } from "./api.js";

/**
 * Characters that are invisible or change the direction of the text after them: a name with one would change the text beside it, and a
 * prompt its own. Not line breaks, the soft hyphen, the joiners of scripts and emoji, and the visible signs of Arabic.
 */
const UNSAFE = /(?![\t-\r\u00ad\u0600-\u0605\u06dd\u200c\u200d])[\p{Cc}\p{Cf}]/gu;
export const visible = (child) => (typeof child === "string" ? child.replace(UNSAFE, "\ufffd") : child);

export const html = htm.bind((type, props, ...children) => h(type, props, ...children.map(visible)));

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const ZONE = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });
const AGO_MS = 5_000;
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const HALF_YEAR_MS = 183 * 86_400_000;

export const clock = (seconds) => CLOCK.format(seconds * 1000);

/** Clock time, with the day if it is not today, and the year if it is half a year away: alerts do not expire. */
export function dateTime(seconds) {
  const date = new Date(seconds * 1000);
  if (date.toDateString() === new Date().toDateString()) return CLOCK.format(date);
  const day = Math.abs(Date.now() - date) < HALF_YEAR_MS ? DAY : DAY_OF_YEAR;
  return `${day.format(date)} ${CLOCK.format(date)}`;
}

/** The name of this machine's time zone at a time: all times of the page are in it, but those in an alert's summary are UTC. */
export const zone = (seconds) => ZONE.formatToParts(seconds * 1000).find((part) => part.type === "timeZoneName").value;

export const iso = (seconds) => new Date(seconds * 1000).toISOString();

export function duration(seconds) {
  const size = Math.max(seconds, 0);
  if (size < 1) return `${Math.round(size * 1000)} ms`;
  if (size < 10) return `${size.toFixed(1)} s`;
  if (size < 120) return `${Math.round(size)} s`;
  if (size < 7200) return `${Math.round(size / 60)} min`;
  if (size < 172800) return `${Math.round(size / 3600)} h`;
  return `${Math.round(size / 86400)} d`;
}

/** A number of things, with all its digits. */
export const exact = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");

/** "1 request" or "2 requests"; `more` is "+" if there are more than `count`. */
export const countText = (count, noun, more = "") => `${exact(count)}${more} ${noun}${count === 1 && !more ? "" : "s"}`;

export function number(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  if (size >= 1e5) return value.toExponential(1).replace("e+", "e");
  if (size >= 100 || Number.isInteger(value)) return exact(Math.round(value));
  return size >= 1 ? value.toFixed(1) : value.toFixed(2);
}

/** A score with two decimals, rounded down, so that a score below its threshold looks so. */
export const scoreText = (value) => (Math.floor(Number((value * 100).toFixed(6))) / 100).toFixed(2);

export const percent = (share) => (share === 1 ? "100 %" : `${(Math.floor(share * 1000) / 10).toFixed(1)} %`);

export const Time = ({ at }) => html`<time datetime=${iso(at)} title=${iso(at)}>${dateTime(at)}</time>`;

/** How long ago a time was; renders again, because the view around it renders only if its data changes. */
export class Ago extends Component {
  componentDidMount() {
    this._timer = setInterval(() => this.setState({}), AGO_MS);
  }

  componentWillUnmount() {
    clearInterval(this._timer);
  }

  render({ at }) {
    return html`${duration(now() - at)} ago`;
  }
}

export const short = (id) => id.replace(/^(al|rt|si)_/, "").slice(0, 8);

export const Id = ({ id }) => html`<code class="id" title=${id}>${short(id)}</code>`;

/** Severity and state as a glyph with a name, because colour alone is not accessible. */
export function Mark({ severity, state }) {
  const done = state === "resolved";
  const name = done ? "resolved" : severity;
  const glyph = { resolved: "✓", critical: "▲", warning: "●", info: "○" }[name] ?? "○";
  return html`<span class="mark ${name}" role="img" aria-label=${done ? `resolved, was ${severity}` : severity} title=${name}>${glyph}</span>`;
}

export const Tag = ({ kind = "", children }) => html`<span class="tag ${kind}">${children}</span>`;

export const stream = (one) => [one.tenant, one.model, one.model_version, one.side, one.part].filter(Boolean).join(" / ");

/** Verdicts of a request: flagged ones by name, the rest as a count. */
export function Verdicts({ row }) {
  const flagged = row.verdicts.filter((one) => one.flagged);
  const errors = row.verdicts.filter((one) => !one.flagged && one.label === "error");
  const rest = row.verdicts.length - flagged.length - errors.length;
  return html`<span class="verdicts">
    ${flagged.map((one) => html`<span class="tag flagged">${one.detector} <small>${one.side === "input" ? "in" : "out"}</small> ${scoreText(one.score)}</span>`)}
    ${errors.map((one) => html`<span class="tag error">${one.detector} <small>${one.side === "input" ? "in" : "out"}</small> error</span>`)}
    ${rest > 0 && html`<span class="quiet">${rest} ok</span>`}
    ${row.pending.length > 0 && html`<span class="quiet pending">${row.pending.length} pending</span>`}
  </span>`;
}

/** A link to a trace, if there is a trace viewer; the key t presses a primary link. */
export function TraceLink({ template, id, primary = false }) {
  if (!template || !id) return null;
  const address = template.replace("{trace_id}", id);
  if (!primary) return html`<a href=${address} target="_blank" rel="noreferrer">trace<span aria-hidden="true"> ↗</span></a>`;
  return html`<a class="button primary" aria-keyshortcuts="t" href=${address} target="_blank" rel="noreferrer">Open trace ↗<kbd aria-hidden="true">t</kbd></a>`;
}

/** A link to a path of this page; a click with Ctrl, Meta or Shift opens it elsewhere, as the browser does. */
export function Link({ to, go, children, ...rest }) {
  const follow = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(to);
  };
  return html`<a ...${rest} href=${to} onClick=${follow}>${children}</a>`;
}

export const Fact = ({ name, children }) => html`<div class="fact"><dt>${name}</dt><dd>${children}</dd></div>`;

/** The count of a view, or whether the view waits for its first data. */
export const Status = ({ found, error, children }) => html`<span class="quiet" role="status">${found ? children : error ? "" : "loading"}</span>`;

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

export function ErrorBox({ error, onRetry }) {
  if (!error) return null;
  return html`<div class="error-box" role="alert">${error.message}${onRetry && html` <button onClick=${onRetry}>Try again</button>`}</div>`;
}

/**
 * A view that loads data: `load(fetch)` keeps each result as `merge(found, before)`, unless a newer call was answered before. A result need not
 * be that of the newest call: if every reply took longer than the time between two polls, the view would never show one.
 *
 * A view with `_refresh` loads when it appears, again every `poll` milliseconds while it is `_due`, and after `events` of the live state.
 */
export class Loader extends Component {
  state = { found: null, error: null, loading: false };
  poll = 0;
  /** {event of the live state: its listener}. */
  events = {};
  _calls = 0;
  _answered = 0;

  componentDidMount() {
    this._refresh?.();
    if (this.poll) this._timer = setInterval(() => this._due() && this._refresh(), this.poll);
    for (const [name, listener] of Object.entries(this.events)) live.addEventListener(name, listener);
  }

  componentWillUnmount() {
    clearInterval(this._timer);
    for (const [name, listener] of Object.entries(this.events)) live.removeEventListener(name, listener);
  }

  _due() {
    return true;
  }

  /** Discard the replies to earlier calls, because the view now shows something else. */
  forget() {
    this._answered = this._calls;
  }

  load = async (fetch, merge = (found) => found) => {
    const call = ++this._calls;
    this.setState({ loading: true });
    try {
      const found = await fetch();
      this._answer(call, (state) => ({ found: merge(found, state.found), error: null }));
    } catch (error) {
      this._answer(call, { error });
    }
  };

  _answer(call, changes) {
    if (call <= this._answered) return;
    this._answered = call;
    this.setState(changes);
    this.setState({ loading: call !== this._calls });
  }
}

/** Renders again when the live state changes. */
export class LiveComponent extends Component {
  _changed = () => this.setState({});

  componentDidMount() {
    live.addEventListener("change", this._changed);
  }

  componentWillUnmount() {
    live.removeEventListener("change", this._changed);
  }
}
