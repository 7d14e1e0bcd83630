// Keyboard shortcuts; the help shows the same table.

import { List } from "./list.js";

export const KEYS = [
  ["g l, g a, g d, g c, g t", "Live, Alerts, Drift, Coverage, Retraining"],
  ["g m, g r, g w, g e, g s", "Models, Review, Answers, Detectors, Silences"],
  ["j, k or ↓, ↑", "next, previous row"],
  ["Enter", "open the row"],
  ["t", "open the trace"],
  ["y, n", "review: the alert was right, wrong"],
  ["s", "silence the alert"],
  ["/", "search"],
  ["p", "pause or resume the live list"],
  ["d", "theme: system, dark, light"],
  ["Esc", "close"],
  ["?", "this help"],
];

const GO = { l: "/live", a: "/alerts", d: "/drift", c: "/coverage", t: "/retraining", m: "/models", e: "/detectors", r: "/review", w: "/answers", s: "/silences" };
const SEQUENCE_MS = 1500;

const typing = (target) => target instanceof HTMLElement && (target.isContentEditable || target.matches("input:not([type=checkbox]), textarea, select"));

/** Call `actions[key]`, or `go(path)` for g and a letter. Returns a function that removes the listener. */
export function listen({ go, actions }) {
  let prefixAt = -Infinity;
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return void actions.escape(event);
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    const following = performance.now() - prefixAt < SEQUENCE_MS;
    prefixAt = -Infinity;
    if (following && GO[event.key]) {
      event.preventDefault();
      return void go(GO[event.key]);
    }
    if (event.key === "g") return void (prefixAt = performance.now());
    // Enter on a focused button or link activates that.
    if (event.key === "Enter" && event.target.closest?.("a, button, summary")) return;
    const arrow = { ArrowDown: "j", ArrowUp: "k" }[event.key];
    if (arrow && !List.current) return; // the browser scrolls the view
    const key = arrow ?? event.key;
    // A held key repeats: it may move through a list, but not review one alert after another.
    if (event.repeat && key !== "j" && key !== "k") return;
    const action = actions[key];
    if (action) {
      event.preventDefault();
      action(event);
    }
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}
