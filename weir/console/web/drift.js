// Streams of drift and anomaly: each statistic with its limit over time, and what changed.

import { get } from "./api.js";
import { BeforeAfter } from "./before_after.js";
import { SeriesChart } from "./charts.js";
import { EmbeddingMap } from "./embedding_map.js";
import { List } from "./list.js";
import { countText, dateTime, Empty, ErrorBox, Fact, html, Link, Loader, number, Status, stream, Tag, Time } from "./ui.js";

const ROW = 52;
/** Streams that the API returns at most. */
const MOST = 200;
const POLL_MS = 10_000;
const RANGES = [["1h", 3600], ["6h", 21600], ["1d", 86400], ["7d", 604800]];
/** What a stream's newest window says. */
const stateOf = (one) => (one.alarm ? html`<${Tag} kind="flagged">alarm</${Tag}>` : one.statistic >= one.limit && html`<${Tag}>too small to act on</${Tag}>`);
const name = (one) => [one.tenant, one.model, one.side, one.detector].map(encodeURIComponent).join("/");

/** Side, part group and trained version of an alert of a stream, from the side of the stream: "input/tool_result", "output@m_59a26d56f505". */
const sidePartVersion = (stream) => {
  const [place, model_version = ""] = stream.split("@");
  const [side, part = ""] = place.split("/");
  return { side, part, model_version };
};

export class DriftView extends Loader {
  poll = POLL_MS;

  _refresh = () => this.load(() => get("/api/drift"));

  _choose = (one) => this.props.go(`/drift/${name(one)}${location.search}`);

  render({ parts, id, go, query }, { found, error }) {
    const streams = found?.streams ?? [];
    // Without an address: the stream that was first at first. A poll changes the order, and must not replace what the user reads.
    this._first ??= streams[0] && name(streams[0]);
    const wanted = id ? parts.map(encodeURIComponent).join("/") : this._first;
    const chosen = streams.find((one) => name(one) === wanted) ?? (id ? undefined : streams[0]);
    return html`<section class="split open wide-right">
      <div class="left">
        <header class="head"><h1 tabindex="-1">Drift</h1><${Status} found=${found} error=${error}>${countText(streams.length, "stream", streams.length === MOST ? "+" : "")}</${Status}></header>
        <${ErrorBox} error=${error} onRetry=${this._refresh} />
        <${List}
          name="stream"
          label="Streams, alarms first"
          items=${streams}
          rowHeight=${ROW}
          keyOf=${name}
          chosen=${chosen && name(chosen)}
          total=${streams.length}
          onChoose=${this._choose}
          row=${StreamRow}
          empty=${found && html`<${Empty}>No window has a statistic yet: the first ${"`reference_events`"} events of a stream are its reference.</${Empty}>`}
        />
      </div>
      ${chosen && html`<${StreamPane} key=${name(chosen)} one=${chosen} path=${`/drift/${name(chosen)}`} go=${go} range=${query.get("range") ?? "1h"} />`}
      ${found && id && !chosen && html`<div class="pane roomy"><${Empty}>There is no window of ${parts.join(" / ")}, or it is not among the ${streams.length} streams with the highest statistics.</${Empty}></div>`}
    </section>`;
  }
}

/** The statistic in percent of a logarithmic bar on which the limit is at two thirds. */
const reach = ({ statistic, limit }) => Math.min(Math.max((Math.log10(Math.max(statistic, 0.1) * 10) / Math.log10(limit * 10)) * 66, 1), 100);

const StreamRow = (one) => html`<div class="stream-row">
  <div class="first"><strong>${one.detector}</strong><span class="clip" title=${stream(one)}>${one.tenant} / ${one.model}</span>${stateOf(one)} <${Time} at=${one.time} /></div>
  <div class="second"><span class=${`reach ${one.alarm ? "alarm" : ""}`} aria-hidden="true"><i style=${{ width: `${reach(one)}%` }}></i></span><span>${number(one.statistic)} of ${number(one.limit)}</span><span class="clip" title=${one.feature}>${one.side}, ${one.feature}</span></div>
</div>`;

class StreamPane extends Loader {
  poll = POLL_MS;

  componentDidUpdate(before) {
    if (before.range === this.props.range) return;
    this.forget();
    this._refresh();
  }

  _refresh = () => {
    const { one, range } = this.props;
    const seconds = Object.fromEntries(RANGES)[range] ?? 3600;
    const { tenant, model, side, detector } = one;
    return this.load(async () => {
      const [series, alerts] = await Promise.all([
        get("/api/drift/series", { tenant, model, side, detector, since: one.time - seconds, until: one.time + seconds }),
        get(`/api/alerts?${new URLSearchParams({ tenant, model, ...sidePartVersion(side), detector, limit: 50 })}`), // with an empty part and version
      ]);
      return { series, alerts: alerts.alerts };
    });
  };

  render({ one, go, path, range }, { found, error }) {
    const series = found?.series;
    return html`<div class="pane roomy">
      <div class="pane-head"><strong>${one.detector}</strong> ${stream(one)} ${stateOf(one)} <${Status} found=${found} error=${error} />
        <span class="choice push" role="group" aria-label="Time range">${RANGES.map(([label]) => html`<button aria-pressed=${label === range ? "true" : "false"} onClick=${() => go(`${path}?range=${label}`, { replace: true })}>${label}</button>`)}</span></div>
      <${ErrorBox} error=${error} onRetry=${this._refresh} />
      ${series && html`<div class="pane-body">
        ${series.time.length > 1 ? html`<${SeriesChart} series=${series} height=${280} label=${`Statistic and limit of ${one.detector}`} />` : html`<${Empty}>Only one window so far; a chart needs two.</${Empty}>`}
        ${series.latest && html`<dl class="facts">
          <${Fact} name="newest window"><${Time} at=${series.latest.time} />, ${number(series.latest.seconds)} s, ${countText(series.latest.events, "event")}</${Fact}>
          <${Fact} name="statistic"><b>${number(series.latest.statistic)}</b> of ${number(series.latest.limit)}</${Fact}>
          <${Fact} name="leading feature">${series.latest.feature}</${Fact}>
        </dl>`}
        ${series.changed ? html`<${BeforeAfter} window=${series.changed} />` : html`<${Empty}>No alarm in this range.</${Empty}>`}
        ${one.detector === "drift" && series.latest && html`<${EmbeddingMap} stream=${{ tenant: one.tenant, model: one.model, side: one.side }} since=${series.changed?.details.changed_at} until=${(series.changed ?? series.latest).time} go=${go} />`}
        ${found.alerts.length > 0 && html`<section><h3>Alerts</h3><ul class="plain-list">${found.alerts.map((alert) => html`<li><${Link} to=${`/alerts/${alert.alert_id}?state=`} go=${go}>${dateTime(alert.opened_at)}</${Link}> <${Tag} kind=${alert.state}>${alert.state}</${Tag}> <span class="quiet">${alert.summary}</span></li>`)}</ul></section>`}
      </div>`}
    </div>`;
  }
}
