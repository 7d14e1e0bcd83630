// The navigation: views, counts, and whether the page is up to date.

import { live } from "./api.js";
import { countText, dateTime, html, Link, LiveComponent, percent } from "./ui.js";

const VIEWS = [
  ["live", "Live", "l"],
  ["alerts", "Alerts", "a"],
  ["drift", "Drift", "d"],
  ["coverage", "Coverage", "c"],
  ["retraining", "Retraining", "t"],
  ["models", "Models", "m"],
  ["review", "Review", "r"],
  ["answers", "Answers", "w"],
  ["detectors", "Detectors", "e"],
  ["silences", "Silences", "s"],
];
/** The console sends a state at least every 5 s. */
const SILENT_MS = 15_000;
const THEMES = { "": "◐ System", dark: "● Dark", light: "○ Light" };

export class Navigation extends LiveComponent {
  _link(target, name, key) {
    const { view, go } = this.props;
    const current = target === view || (target === "live" && ["requests", "conversations"].includes(view));
    return html`<li>
      <${Link} to=${`/${target}`} go=${go} aria-current=${current ? "page" : undefined}>
        <span>${name}</span>${this._count(target)}<kbd aria-hidden="true">g ${key}</kbd>
      </${Link}>
    </li>`;
  }

  _count(target) {
    if (target === "alerts") {
      const { critical = 0, warning = 0, info = 0 } = live.firing;
      const all = critical + warning + info;
      return all > 0 && html`<span class=${`count ${critical ? "critical" : "warning"}`} title=${`${critical} critical, ${warning} warning`}>${all}</span>`;
    }
    if (target === "coverage" && live.coverage?.missing) return html`<span class="count critical" title="missing verdicts">${live.coverage.missing}</span>`;
    return null;
  }

  render({ stack, theme, onTheme, onHelp }) {
    return html`<nav class="side" aria-label="Views">
      <div class="brand"><img src="/web/weir.svg" alt="" width="22" height="22" /><strong>Weir</strong></div>
      <ul>${VIEWS.map((view) => this._link(...view))}</ul>
      <div class="foot">
        <${State} />
        <button class="plain" onClick=${onTheme} aria-label=${`Theme: ${THEMES[theme].slice(2)}; change`}>${THEMES[theme]}<kbd aria-hidden="true">d</kbd></button>
        <button class="plain" onClick=${onHelp}>? Keys<kbd aria-hidden="true">?</kbd></button>
        ${stack && html`<div class="home clip" title=${stack.home}>${stack.home.split("/").slice(-2).join("/")}</div>`}
      </div>
    </nav>`;
  }
}

/** One line: whether the page is up to date. */
function State() {
  const [kind, text] = state();
  return html`<div class=${`state ${kind}`} role="status"><span aria-hidden="true">${kind === "good" ? "●" : "▲"}</span> ${text}</div>`;
}

function state() {
  if (live.signedOut) return ["critical", "session ended: run weir console"];
  if (Date.now() - live.receivedAt > SILENT_MS) return ["critical", `no data since ${dateTime(live.receivedAt / 1000)}: run weir status`];
  if (!live.connected || live.ledger === undefined) return ["warning", "connecting"];
  if (live.ledger === null) return ["warning", "no ledger yet"];
  if (!live.ledger.alive) return ["critical", "the ledger has stopped: run weir status"];
  if (!live.ledger.caught_up) return ["warning", live.ledger.lag ? `reading, ${countText(live.ledger.lag, "record")} left` : "waiting for Kafka"];
  if (live.ledger.ahead) return ["critical", "the clock of a source is ahead: run weir status"];
  if (live.ledger.inactive) return ["critical", "every source is inactive: run weir status"];
  if (live.coverage && live.coverage.missing) return ["warning", `coverage ${percent(live.coverage.ratio)}`];
  return ["good", "up to date"];
}
