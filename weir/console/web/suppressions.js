// Suppressed retraining events, collapsed: one entry per (tenant, model) and set of failed conditions, as in `weir retraining`.

/** Entries {key, newest, count, first} of retraining events, in the order of `events`; `first` is the time of the first event. */
export function collapsed(events) {
  const entries = new Map();
  for (const event of events) {
    const key = keyOf(event);
    const entry = entries.get(key) ?? { key, newest: event, count: 0, first: event.at };
    entries.set(key, { key, newest: event.at > entry.newest.at ? event : entry.newest, count: entry.count + 1, first: Math.min(entry.first, event.at) });
  }
  return [...entries.values()];
}

/** The numbers in the reason may change from event to event; the failed conditions do not. */
function keyOf(event) {
  if (event.state !== "suppressed") return `${event.retraining_id}/${event.state}`;
  const failing = Object.keys(event.gates ?? {}).filter((gate) => !event.gates[gate]).sort();
  return JSON.stringify([event.tenant, event.model, failing.length ? failing : event.reason]);
}
