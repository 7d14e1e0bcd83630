// The page: routes, keys, theme. The address says what is shown.

import { Component, createRef, render } from "./vendor/preact.mjs";
import { getStack, live } from "./api.js";
import { Help } from "./dialogs.js";
import { listen } from "./keys.js";
import { List } from "./list.js";
import { Navigation } from "./navigation.js";
import { ErrorBox, html } from "./ui.js";
import { AlertsView } from "./alerts.js";
import { AnswersView } from "./answers.js";
import { ConversationView } from "./conversation.js";
import { CoverageView } from "./coverage.js";
import { DetectorsView } from "./detectors.js";
import { DriftView } from "./drift.js";
import { LiveView } from "./live_requests.js";
import { ModelsView } from "./models.js";
import { RetrainingView } from "./retraining.js";
import { SilencesView } from "./silences.js";

const VIEWS = {
  live: ["Live", LiveView],
  requests: ["Request", LiveView],
  conversations: ["Conversation", ConversationView],
  alerts: ["Alerts", AlertsView],
  drift: ["Drift", DriftView],
  coverage: ["Coverage", CoverageView],
  retraining: ["Retraining", RetrainingView],
  review: ["Review", AlertsView],
  answers: ["Answers", AnswersView],
  detectors: ["Detectors", DetectorsView],
  models: ["Models", ModelsView],
  silences: ["Silences", SilencesView],
};
const THEMES = { "": "dark", dark: "light", light: "" };
/** The page renders again after this time: at midnight, the times of today get a day. */
const RENDER_MS = 60_000;

/** The view of the address and the parts below it, which may contain any character. */
function route() {
  const [view = "", ...parts] = location.pathname.split("/").slice(1).map(decoded);
  if (!Object.hasOwn(VIEWS, view)) return { view: "live", parts: [], id: "", query: new URLSearchParams() };
  return { view, parts, id: parts.join("/"), query: new URLSearchParams(location.search) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // an invalid escape: an address that somebody typed
  }
}

class App extends Component {
  constructor(props) {
    super(props);
    this.state = { ...route(), stack: null, error: null, theme: stored(), help: false };
    this._main = createRef();
    applyTheme(this.state.theme);
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
        "?": () => this.setState({ help: true }),
        d: this.nextTheme,
        escape: this._escape,
        ...Object.fromEntries([..."tynsp"].map((key) => [key, () => this._press(key)])),
      },
    });
    this._loadStack();
    live.start();
    setInterval(() => this.setState({}), RENDER_MS);
  }

  _loadStack = async () => {
    try {
      this.setState({ stack: await getStack(), error: null });
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

  nextTheme = () => {
    const theme = THEMES[this.state.theme];
    localStorage.setItem("weir-theme", theme);
    applyTheme(theme);
    this.setState({ theme });
    dispatchEvent(new Event("theme"));
  };

  /** A key presses the visible button that has it in aria-keyshortcuts. */
  _press(key) {
    const found = [...document.querySelectorAll(`[aria-keyshortcuts="${key}"]`)].filter((one) => !one.disabled);
    found.at(-1)?.click();
  }

  _escape = (event) => {
    if (event.target.matches?.("input, textarea, select")) return void event.target.blur();
    if (this.state.help) return void this.setState({ help: false });
    const { view, id } = this.state;
    if (!id || document.querySelector("dialog[open]")) return;
    if (view === "conversations") this.go(`/requests/${encodeURIComponent(id)}`);
    else this.go(`/${view === "requests" ? "live" : view}${location.search}`);
  };

  render(_, { view, parts, id, query, stack, error, theme, help }) {
    const [, View] = VIEWS[view];
    return html`<div class="app">
      <${Navigation} view=${view} go=${this.go} stack=${stack} theme=${theme} onTheme=${this.nextTheme} onHelp=${() => this.setState({ help: true })} />
      <main ref=${this._main}>
        <${ErrorBox} error=${error} onRetry=${this._loadStack} />
        <${View} key=${view === "requests" ? "live" : view} view=${view} parts=${parts} id=${id} query=${query} go=${this.go} stack=${stack} />
      </main>
      ${help && html`<${Help} onClose=${() => this.setState({ help: false })} />`}
    </div>`;
  }
}

const stored = () => (localStorage.getItem("weir-theme") in THEMES ? localStorage.getItem("weir-theme") : "");

function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

render(html`<${App} />`, document.getElementById("app"));
