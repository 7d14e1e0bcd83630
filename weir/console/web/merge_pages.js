// Merge the rows of several pages into one list, newest first, without duplicates.

/** Add `rows` to `known`, or replace rows with the same key. The order is the server's: by time, then by key, newest first. */
export function merged(known, rows, key, time) {
  const fresh = new Set(rows.map(key));
  const all = known.filter((row) => !fresh.has(key(row))).concat(rows);
  return all.sort((a, b) => time(b) - time(a) || (key(a) < key(b) ? 1 : -1));
}
