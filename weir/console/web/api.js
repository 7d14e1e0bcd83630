// The API of this page (docs/console.md), and the live state that the server keeps telling.

import { joined } from "./merge_pages.js";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answered(response) {
  if (response.ok) return response.json();
  const text = await response.text();
  let message = text.trim();
  try {
    message = JSON.parse(text).error ?? message;
  } catch {
    // Not JSON: the guard's own words.
  }
  throw new ApiError(response.status, message || `the console answered ${response.status}`);
}

/** Fetch; without an answer, say what may be done. */
async function asked(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new ApiError(0, "the console does not answer; `weir status` says how the stack is");
  }
}

/** Get `path` with the parameters that have a value. */
export async function get(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined && value !== null && value !== false);
  const query = new URLSearchParams(given).toString();
  return answered(await asked(query ? `${path}?${query}` : path, { headers: { accept: "application/json" } }));
}

export async function send(method, path, body = {}) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  return answered(await asked(path, { method, headers, body: JSON.stringify(body) }));
}

const KEPT = 100;
const AGAIN_MS = 3_000;

/**
 * What the server tells of the stack. Listeners of "change" are called once a frame at most, whatever came in between; of "alerts" with those
 * that changed; of "said" when an alert was judged or a silence was made, ended or ran out, here or elsewhere, and the ledger has it.
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
    this._due = false;
  }

  start() {
    const source = new EventSource("/api/live");
    source.addEventListener("open", () => this._set({ connected: true, signedOut: false }));
    source.addEventListener("state", (event) => this._told(JSON.parse(event.data)));
    source.addEventListener("error", () => this._lost(source));
  }

  /** A browser tries again by itself where nobody answered, but not after a refusal (too many pages listen, the session has ended). */
  async _lost(source) {
    this._set({ connected: false });
    if (source.readyState === EventSource.CLOSED) setTimeout(() => this.start(), AGAIN_MS);
    try {
      await get("/api/stack");
    } catch (error) {
      if (error.status === 401) this._set({ signedOut: true });
    }
  }

  _told(state) {
    if (state.requests) this.requests = joined(this.requests, state.requests, (row) => row.request_id, (row) => row.time).slice(0, KEPT);
    if (state.alerts?.length) this.dispatchEvent(new CustomEvent("alerts", { detail: state.alerts }));
    if (state.alerts_anew) this.dispatchEvent(new CustomEvent("alerts", { detail: null }));
    if (state.said) this.dispatchEvent(new Event("said"));
    for (const name of ["traffic", "firing", "coverage", "ledger"]) if (name in state) this[name] = state[name];
    this._set({});
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
