// The API of this page (docs/console.md), and the live state that the server keeps telling.

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

/** Get `path` with the parameters that have a value. */
export async function get(path, parameters = {}, signal = undefined) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined && value !== null && value !== false);
  const query = new URLSearchParams(given).toString();
  return answered(await fetch(query ? `${path}?${query}` : path, { signal, headers: { accept: "application/json" } }));
}

export async function send(method, path, body = {}) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  return answered(await fetch(path, { method, headers, body: JSON.stringify(body) }));
}

const KEPT = 100;

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
    this.alerts = [];
    this._due = false;
  }

  start() {
    const source = new EventSource("/api/live");
    source.addEventListener("open", () => this._set({ connected: true, signedOut: false }));
    source.addEventListener("state", (event) => this._told(JSON.parse(event.data)));
    source.addEventListener("error", () => this._lost());
  }

  async _lost() {
    this._set({ connected: false });
    try {
      await get("/api/stack");
    } catch (error) {
      if (error.status === 401) this._set({ signedOut: true });
    }
  }

  _told(state) {
    if (state.requests) this.requests = merged(this.requests, state.requests);
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

function merged(known, news) {
  const fresh = new Set(news.map((row) => row.request_id));
  const all = news.concat(known.filter((row) => !fresh.has(row.request_id)));
  return all.sort((a, b) => b.time - a.time || (a.request_id < b.request_id ? -1 : 1)).slice(0, KEPT);
}

export const live = new Live();
