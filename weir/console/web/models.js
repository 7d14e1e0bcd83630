// Trained versions of models, and the causal chain of the chosen version.

import { get } from "./api.js";
import { Chain } from "./chain.js";
import { List } from "./list.js";
import { countText, Empty, ErrorBox, html, Loader, Status, Tag, Time } from "./ui.js";

const ROW = 52;
const PAGE = 100;
/** A chain takes seconds to read, so it is not read for a version that the keys only pass. */
const SETTLED_MS = 300;

export class ModelsView extends Loader {
  poll = 15_000;

  _refresh = () => this.load(async () => (await get("/api/models", { limit: PAGE })).models);

  render({ id, go }, { found, error }) {
    this._first ??= found?.[0]?.version; // a poll must not replace the version that the user reads
    const chosen = id || this._first;
    return html`<section class="split open wide-right">
      <div class="left">
        <header class="head"><h1 tabindex="-1">Models</h1><${Status} found=${found} error=${error}>${found && countText(found.length, "trained version", found.length === PAGE ? "+" : "")}</${Status}></header>
        <${ErrorBox} error=${error} onRetry=${this._refresh} />
        <${List}
          name="model"
          label="Trained versions, newest first"
          items=${found ?? []}
          rowHeight=${ROW}
          keyOf=${(one) => one.version}
          chosen=${chosen}
          total=${found?.length}
          onChoose=${(one) => go(`/models/${encodeURIComponent(one.version)}`)}
          row=${Version}
          empty=${found && html`<${Empty}>No version was trained yet. If the trainer is enabled, it makes a version from a retraining request.</${Empty}>`}
        />
      </div>
      ${chosen && html`<${ChainPane} key=${chosen} version=${chosen} go=${go} />`}
    </section>`;
  }
}

const Version = (one) => html`<div class="stream-row">
  <div class="first"><strong>${one.version}</strong> <${Tag} kind=${one.state}>${one.state.replaceAll("_", " ")}</${Tag}></div>
  <div class="second"><span class="clip">${one.tenant} / ${one.model}</span><${Time} at=${one.at} /></div>
</div>`;

class ChainPane extends Loader {
  state = { ...this.state, loading: true };

  componentDidMount() {
    this._timer = setTimeout(this._read, SETTLED_MS);
  }

  componentWillUnmount() {
    clearTimeout(this._timer);
  }

  _read = () => this.load(() => get(`/api/models/${encodeURIComponent(this.props.version)}/chain`));

  render({ version, go }, { found, error, loading }) {
    return html`<div class="pane roomy" aria-label=${`Chain of ${version}`}>
      <div class="pane-head"><strong>${version}</strong>${found && html` <span class="clip">${found.tenant} / ${found.model}</span>`}
        <button class="push" disabled=${loading} onClick=${this._read}>${loading ? "Reading records" : "Read again"}</button></div>
      <${ErrorBox} error=${error} onRetry=${this._read} />
      <div class="pane-body">
        ${!found && loading && html`<p class="quiet" role="status">Reading Kafka's records, as \`weir why ${version}\` does: up to three minutes.</p>`}
        ${found && html`<${Chain} chain=${found} go=${go} />`}
      </div>
    </div>`;
  }
}
