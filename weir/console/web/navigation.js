// The side bar: where one can go, and how things stand.

import { live } from "./api.js";
import { html, Listening, percent } from "./ui.js";

const PLACES = [
  ["live", "Live", "l"],
  ["alerts", "Alerts", "a"],
  ["drift", "Drift", "d"],
  ["coverage", "Coverage", "c"],
  ["retraining", "Retraining", "t"],
  ["review", "Review", "r"],
  ["silences", "Silences", "s"],
];
const DRESS = { "": "◐ System", dark: "● Dark", light: "○ Light" };

export class Side extends Listening {
  constructor(props) {
    super(props, live);
  }

  _link(place, name, key) {
    const { view, go } = this.props;
    const current = place === view || (place === "live" && view === "requests");
    const follow = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go(`/${place}`);
    };
    return html`<li>
      <a href=${`/${place}`} aria-current=${current ? "page" : undefined} onClick=${follow}>
        <span>${name}</span>${this._count(place)}<kbd aria-hidden="true">g ${key}</kbd>
      </a>
    </li>`;
  }

  _count(place) {
    if (place === "alerts") {
      const { critical = 0, warning = 0, info = 0 } = live.firing;
      const all = critical + warning + info;
      return all > 0 && html`<span class=${`count ${critical ? "critical" : "warning"}`} title=${`${critical} critical, ${warning} warning`}>${all}</span>`;
    }
    if (place === "coverage" && live.coverage?.missing) return html`<span class="count critical" title="verdicts missing">${live.coverage.missing}</span>`;
    return null;
  }

  render({ stack, theme, onDress, onHelp }) {
    return html`<nav class="side" aria-label="Views">
      <div class="brand"><img src="/web/weir.svg" alt="" width="22" height="22" /><strong>Weir</strong></div>
      <ul>${PLACES.map((place) => this._link(...place))}</ul>
      <div class="foot">
        <${State} />
        <button class="plain" onClick=${onDress} aria-label=${`Theme: ${DRESS[theme].slice(2)}; change`}>${DRESS[theme]}<kbd aria-hidden="true">d</kbd></button>
        <button class="plain" onClick=${onHelp}>? Keys<kbd aria-hidden="true">?</kbd></button>
        ${stack && html`<div class="home clip" title=${stack.home}>${stack.home.split("/").slice(-2).join("/")}</div>`}
      </div>
    </nav>`;
  }
}

/** One line: is what is shown up to date. */
function State() {
  const [kind, text] = state();
  return html`<div class=${`state ${kind}`} role="status"><span aria-hidden="true">${kind === "good" ? "●" : "▲"}</span> ${text}</div>`;
}

function state() {
  if (live.signedOut) return ["critical", "session ended: weir console"];
  if (!live.connected || live.ledger === undefined) return ["warning", "connecting"];
  if (live.ledger === null) return ["warning", "no ledger yet"];
  if (live.ledger && !live.ledger.caught_up) return ["warning", `reading, ${live.ledger.lag} to go`];
  if (live.coverage && live.coverage.missing) return ["warning", `covered ${percent(live.coverage.ratio)}`];
  return ["good", "up to date"];
}
