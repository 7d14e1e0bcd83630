// Rows of many pages in one list, newest first; each row once, wherever a page began when it was asked for.

/** Take `rows` into `known`: one with a key that is known replaces it. The order is the server's: by time, then by key, the newest first. */
export function joined(known, rows, key, time) {
  const fresh = new Set(rows.map(key));
  const all = known.filter((row) => !fresh.has(key(row))).concat(rows);
  return all.sort((a, b) => time(b) - time(a) || (key(a) < key(b) ? 1 : -1));
}
