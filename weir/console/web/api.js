// The API of this page (docs/console.md), and the live state from the server.

import { merged } from "./merge_pages.js";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function parsed(response) {
  if (response.ok) return response.json();
  const text = await response.text();
  let message = text.trim();
  try {
    message = JSON.parse(text).error ?? message;
  } catch {
    // Not JSON: a text of the request guard.
  }
  throw new ApiError(response.status, message || `the console responded with status ${response.status}`);
}

/** Fetch; without a response, the error names the remedy. */
async function request(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new ApiError(0, "the console does not answer; see `weir status`");
  }
}

/** Get `path` with the parameters that have a value. */
export async function get(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined && value !== null && value !== false);
  const query = new URLSearchParams(given).toString();
  return parsed(await request(query ? `${path}?${query}` : path, { headers: { accept: "application/json" } }));
}

let ahead = 0;

/** The present time of the console's machine, in seconds: the clock of a browser on another machine can differ by minutes. */
export const now = () => Date.now() / 1000 + ahead;

/** Get the constant properties of the stack; its time sets that of `now`. */
export async function getStack() {
  const stack = await get("/api/stack");
  ahead = stack.now - Date.now() / 1000;
  return stack;
}

export async function send(method, path, body = {}) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  return parsed(await request(path, { method, headers, body: JSON.stringify(body) }));
}

const KEPT = 100;
const RECONNECT_MS = 3_000;
const AGE_MS = 5_000;

/**
 * The live state. Events: "change", at most once per frame; "alerts", with the alerts that changed (null: reload the list); "operator", when the
 * ledger has a new review, or a silence that was created, ended or expired; "retraining", when it has a new retraining event.
 */
class Live extends EventTarget {
  constructor() {
    super();
    this.requests = [];
    this.traffic = { requests: [], flagged: [] };
    this.firing = {};
    this.coverage = null;
    this.ledger = undefined;
    this.connected = false;
    this.signedOut = false;
    /** When the newest state arrived, in milliseconds. */
    this.receivedAt = Date.now();
    this._due = false;
  }

  /** A hidden page is not connected: a browser has at most six connections to a host, so with six tabs every request would wait. */
  start() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this._disconnect() : this._connect()));
    setInterval(() => this._set({}), AGE_MS); // ages grow without an event
    if (!document.hidden) this._connect();
  }

  _connect() {
    this._disconnect();
    const source = new EventSource("/api/live");
    this._source = source;
    source.addEventListener("open", () => this._set({ connected: true, signedOut: false }));
    source.addEventListener("state", (event) => this._onState(JSON.parse(event.data)));
    source.addEventListener("error", () => this._lost(source));
  }

  _disconnect() {
    clearTimeout(this._retry);
    this._source?.close();
    this._source = null;
    this._set({ connected: false });
  }

  /** A browser reconnects by itself, but not after an error status (too many pages are connected, the session has ended). */
  async _lost(source) {
    if (source !== this._source) return;
    this._set({ connected: false });
    if (source.readyState === EventSource.CLOSED) this._retry = setTimeout(() => this._connect(), RECONNECT_MS);
    try {
      await getStack();
    } catch (error) {
      if (error.status === 401) this._set({ signedOut: true });
    }
  }

  _onState(state) {
    if (state.requests) this.requests = merged(this.requests, state.requests, (row) => row.request_id, (row) => row.time).slice(0, KEPT);
    if (state.alerts?.length) this.dispatchEvent(new CustomEvent("alerts", { detail: state.alerts }));
    if (state.alerts_anew) this.dispatchEvent(new CustomEvent("alerts", { detail: null }));
    if (state.said) this.dispatchEvent(new Event("operator"));
    if (state.retraining) this.dispatchEvent(new Event("retraining"));
    for (const name of ["traffic", "firing", "coverage", "ledger"]) if (name in state) this[name] = state[name];
    this._set({ receivedAt: Date.now() });
  }

  _set(changes) {
    Object.assign(this, changes);
    if (this._due) return;
    this._due = true;
    requestAnimationFrame(() => {
      this._due = false;
      this.dispatchEvent(new Event("change"));
    });
  }
}

export const live = new Live();
