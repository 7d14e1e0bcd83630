// Keys: one table, which the help shows too.

export const KEYS = [
  ["g l, g a, g d, g c, g t, g r, g s", "Live, Alerts, Drift, Coverage, Retraining, Review, Silences"],
  ["j, k or ↓, ↑", "next, former row"],
  ["Enter", "open the row"],
  ["t", "open the trace of what is open"],
  ["y, n", "the alert was right, was wrong"],
  ["s", "silence what the alert is about"],
  ["/", "search"],
  ["p", "hold the live list, let it go on"],
  ["d", "dark or light"],
  ["Esc", "close what is open"],
  ["?", "this help"],
];

const GO = { l: "/live", a: "/alerts", d: "/drift", c: "/coverage", t: "/retraining", r: "/review", s: "/silences" };
const WAIT_MS = 1500;

const typing = (target) => target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** Call `actions[name]` for keys; `go(path)` for g and a letter. Returns what takes the listener away. */
export function listen({ go, actions }) {
  let waiting = -Infinity;
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return void actions.escape(event);
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    const following = performance.now() - waiting < WAIT_MS;
    waiting = -Infinity;
    if (following && GO[event.key]) {
      event.preventDefault();
      return void go(GO[event.key]);
    }
    if (event.key === "g") return void (waiting = performance.now());
    // A button or link that has the focus keeps its Enter.
    if (event.key === "Enter" && event.target.closest?.("a, button, summary")) return;
    const action = actions[{ ArrowDown: "j", ArrowUp: "k" }[event.key] ?? event.key];
    if (action) {
      event.preventDefault();
      action(event);
    }
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}
