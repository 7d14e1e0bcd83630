// The page: what it shows is in its address; the live state comes by itself.

import { Component, createRef, render } from "./vendor/preact.mjs";
import { get, live } from "./api.js";
import { Help } from "./dialogs.js";
import { listen } from "./keys.js";
import { List } from "./list.js";
import { Side } from "./navigation.js";
import { html, Trouble } from "./ui.js";
import { AlertsView } from "./alerts.js";
import { CoverageView } from "./coverage.js";
import { DriftView } from "./drift.js";
import { LiveView } from "./live.js";
import { RetrainingView } from "./retraining.js";
import { SilencesView } from "./silences.js";

const VIEWS = {
  live: ["Live", LiveView],
  requests: ["Request", LiveView],
  alerts: ["Alerts", AlertsView],
  drift: ["Drift", DriftView],
  coverage: ["Coverage", CoverageView],
  retraining: ["Retraining", RetrainingView],
  review: ["Review", AlertsView],
  silences: ["Silences", SilencesView],
};
const THEMES = { "": "dark", dark: "light", light: "" };

/** What the address says: the view, and the parts below it, each of which may hold any character. */
function route() {
  const [view = "", ...parts] = location.pathname.split("/").slice(1).map(decoded);
  if (!Object.hasOwn(VIEWS, view)) return { view: "live", parts: [], id: "", query: new URLSearchParams() };
  return { view, parts, id: parts.join("/"), query: new URLSearchParams(location.search) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // not one of ours: an address that somebody typed
  }
}

class App extends Component {
  constructor(props) {
    super(props);
    this.state = { ...route(), stack: null, error: null, theme: stored(), helps: false };
    this._main = createRef();
    this._held = { current: null };
    dress(this.state.theme);
  }

  componentDidMount() {
    addEventListener("popstate", () => this.setState(route()));
    listen({
      go: this.go,
      actions: {
        j: () => List.current?.move(1),
        k: () => List.current?.move(-1),
        Enter: () => List.current?.open(),
        "/": () => this._main.current.querySelector("input[type=search]")?.focus(),
        "?": () => this.setState({ helps: true }),
        d: this.dress,
        escape: this._escape,
        ...Object.fromEntries([..."tynsp"].map((key) => [key, () => this._press(key)])),
      },
    });
    this._look();
    live.start();
  }

  _look = async () => {
    try {
      this.setState({ stack: await get("/api/stack"), error: null });
    } catch (error) {
      this.setState({ error });
    }
  };

  componentDidUpdate(_, before) {
    document.title = `${VIEWS[this.state.view][0]}${this.state.id ? ` ${this.state.id.slice(0, 11)}` : ""} · Weir`;
    if (before.view !== this.state.view) this._main.current.querySelector("h1")?.focus();
  }

  go = (path, { replace = false } = {}) => {
    if (path !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", path);
    this.setState(route());
  };

  dress = () => {
    const theme = THEMES[this.state.theme];
    localStorage.setItem("weir-theme", theme);
    dress(theme);
    this.setState({ theme });
    dispatchEvent(new Event("dressed"));
  };

  /** A key presses the button that bears it (aria-keyshortcuts), so that keys do what can be seen. */
  _press(key) {
    const found = [...document.querySelectorAll(`[aria-keyshortcuts="${key}"]`)].filter((one) => !one.disabled);
    found.at(-1)?.click();
  }

  _escape = (event) => {
    if (event.target instanceof HTMLInputElement) return void event.target.blur();
    if (this.state.helps) return void this.setState({ helps: false });
    if (this.state.id && !document.querySelector("dialog[open]")) this.go(`/${this.state.view === "requests" ? "live" : this.state.view}${location.search}`);
  };

  render(_, { view, parts, id, query, stack, error, theme, helps }) {
    const [, View] = VIEWS[view];
    return html`<div class="app">
      <${Side} view=${view} go=${this.go} stack=${stack} theme=${theme} onDress=${this.dress} onHelp=${() => this.setState({ helps: true })} />
      <main ref=${this._main}>
        <${Trouble} error=${error} onRetry=${this._look} />
        <${View} key=${view === "requests" ? "live" : view} view=${view} parts=${parts} id=${id} query=${query} go=${this.go} stack=${stack} />
      </main>
      ${helps && html`<${Help} onClose=${() => this.setState({ helps: false })} />`}
    </div>`;
  }
}

const stored = () => (localStorage.getItem("weir-theme") in THEMES ? localStorage.getItem("weir-theme") : "");

function dress(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

render(html`<${App} />`, document.getElementById("app"));
