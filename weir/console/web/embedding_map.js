// A map of a stream's embeddings before and after a change, computed on request; texts of its clusters on a second request.

import { Component, createRef } from "./vendor/preact.mjs";
import { get, send } from "./api.js";
import { countText, ErrorBox, html, Id, Link, Loader, percent, Time } from "./ui.js";

const WIDTH = 640;
const HEIGHT = 400;
const MARGIN = { left: 26, right: 14, top: 14, bottom: 26 };
/** Distance in which the pointer chooses a point. */
const NEAR = 14;
/** Clusters of which the map shows the shares: those that changed most. */
const NAMED = 2;
const LINE = 14;
const STEPS = { ArrowRight: ["x", 1], ArrowLeft: ["x", -1], ArrowUp: ["y", 1], ArrowDown: ["y", -1] };
const change = (cluster) => Math.abs(cluster.after - cluster.before);

/** Props: stream ({tenant, model, side}), since and until (the times of the recent events), go. */
export class EmbeddingMap extends Loader {
  _map = () => {
    const { stream, since, until } = this.props;
    const query = { ...stream, since, until };
    return this.load(async () => ({ query, map: await get("/api/drift/map", query) }));
  };

  render({ go, since, until }, { found, error, loading }) {
    const due = !found || found.map.missing || found.query.since !== since || found.query.until !== until;
    return html`<section class="map"><h3>Map of embeddings</h3>
      ${due && html`<button disabled=${loading} onClick=${this._map}>${loading ? "Reading signals" : found ? "Map again" : "Map before and after"}</button>`}
      ${!found && html`<p class="quiet small">Reads the embeddings of the reference and of recent requests from Kafka. It reads no text.</p>`}
      <${ErrorBox} error=${error} onRetry=${this._map} />
      ${found?.map.missing && html`<p class="quiet" role="status">No map. ${found.map.missing}</p>`}
      ${found && !found.map.missing && html`<${Plot} map=${found.map} go=${go} /><${ClusterTable} map=${found.map} query=${found.query} go=${go} />`}
    </section>`;
  }
}

/** The points as shapes: circles for the reference, filled triangles for recent requests. */
class Plot extends Component {
  constructor(props) {
    super(props);
    this.state = { chosen: -1, pinned: false };
    this._svg = createRef();
    this._place();
  }

  componentDidUpdate(before) {
    if (before.map !== this.props.map) this.setState({ chosen: -1, pinned: false });
  }

  /** Positions in the picture, with one scale for both axes, so that distances are comparable. */
  _place() {
    const { points, clusters } = this.props.map;
    const bounds = (values) => [Math.min(...values), Math.max(...values)];
    const [left, right] = bounds([...points.x, ...clusters.map((one) => one.x)]);
    const [low, high] = bounds([...points.y, ...clusters.map((one) => one.y)]);
    const [width, height] = [WIDTH - MARGIN.left - MARGIN.right, HEIGHT - MARGIN.top - MARGIN.bottom];
    const scale = Math.min(width / (right - left || 1), height / (high - low || 1));
    const x = (value) => MARGIN.left + width / 2 + (value - (left + right) / 2) * scale;
    const y = (value) => MARGIN.top + height / 2 - (value - (low + high) / 2) * scale;
    Object.assign(this, { _placed: this.props.map, _x: points.x.map(x), _y: points.y.map(y), _centres: clusters.map((one) => [x(one.x), y(one.y)]) });
  }

  /** The point nearest to the pointer, or -1. */
  _at({ clientX, clientY }) {
    const at = new DOMPoint(clientX, clientY).matrixTransform(this._svg.current.getScreenCTM().inverse());
    let [best, least] = [-1, NEAR ** 2];
    this._x.forEach((x, index) => {
      const distance = (x - at.x) ** 2 + (this._y[index] - at.y) ** 2;
      if (distance <= least) [best, least] = [index, distance];
    });
    return best;
  }

  _onMove = (event) => !this.state.pinned && this.setState({ chosen: this._at(event) });

  _onClick = (event) => {
    const chosen = this._at(event);
    this.setState({ chosen, pinned: chosen >= 0 });
  };

  _onLeave = () => !this.state.pinned && this.setState({ chosen: -1 });

  /** Arrows move to the next point along an axis, Enter opens the request. */
  _onKey = (event) => {
    const { chosen } = this.state;
    if (event.key === "Enter" && chosen >= 0) this.props.go(`/requests/${this.props.map.points.request_id[chosen]}`);
    else if (STEPS[event.key]) this.setState({ chosen: this._next(...STEPS[event.key]), pinned: true });
    else return;
    event.preventDefault();
    event.stopPropagation(); // else the list moves too
  };

  _next(axis, step) {
    const values = this.props.map.points[axis];
    const order = values.map((_, index) => index).sort((a, b) => values[a] - values[b] || a - b);
    const at = order.indexOf(this.state.chosen);
    return order[at < 0 ? (step > 0 ? 0 : order.length - 1) : Math.min(Math.max(at + step, 0), order.length - 1)];
  }

  render({ map, go }, { chosen }) {
    if (this._placed !== map) this._place();
    const { points, variance } = map;
    const shape = (recent) => points.recent.map((one, index) => (one === recent ? (recent ? triangle : circle)(this._x[index], this._y[index]) : "")).join("");
    const percents = variance.map(percent);
    return html`<div class="map-legend"><span><svg viewBox="0 0 12 12" aria-hidden="true"><path class="reference" d=${circle(6, 6)} /></svg>reference: ${countText(map.reference, "request")}${between(points, false)}</span><span><svg viewBox="0 0 12 12" aria-hidden="true"><path class="recent" d=${triangle(6, 6)} /></svg>recent: ${countText(map.recent, "request")}${between(points, true)}</span></div>
      <svg ref=${this._svg} class="plot" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} tabindex="0" role="application" aria-label=${`Map of ${map.reference} reference and ${countText(map.recent, "recent request")}. Arrow keys choose a point, Enter opens its request.`}
        onPointerMove=${this._onMove} onPointerLeave=${this._onLeave} onClick=${this._onClick} onKeyDown=${this._onKey}>
        <path class="axes" d=${`M${MARGIN.left} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}H${WIDTH - MARGIN.right}`} />
        <path class="reference" d=${shape(false)} /><path class="recent" d=${shape(true)} />
        ${this._centres.map(([x, y], number) => html`<g class="centre"><circle cx=${x} cy=${y} r="9" /><text x=${x} y=${y + 3.5} text-anchor="middle">${number}</text></g>`)}
        ${this._shares(map.clusters)}
        ${chosen >= 0 && html`<circle class="chosen" cx=${this._x[chosen]} cy=${this._y[chosen]} r="8" />`}
        <text class="axis" x=${WIDTH - MARGIN.right} y=${HEIGHT - 8} text-anchor="end">component 1: ${percents[0]} of the variance</text>
        <text class="axis" transform=${`translate(14 ${MARGIN.top}) rotate(-90)`} text-anchor="end">component 2: ${percents[1]} of the variance</text>
      </svg>
      <p class="map-point small" role="status">${chosen < 0 ? html`<span class="quiet">Point at a request, or focus the map and press an arrow key.</span>` : this._point(points, chosen, go)}</p>`;
  }

  /** The shares of the clusters that changed most, beside their centres, and apart from one another. */
  _shares(clusters) {
    const named = [...clusters].sort((a, b) => change(b) - change(a)).slice(0, NAMED).map((one) => ({ ...one, at: this._centres[one.cluster] }));
    named.sort((a, b) => a.at[1] - b.at[1]);
    let last = -LINE;
    return named.map(({ at: [x, y], before, after }) => {
      last = Math.max(y + 4, last + LINE);
      const left = x > WIDTH * 0.75;
      return html`<text class="shares" x=${x + (left ? -13 : 13)} y=${last} text-anchor=${left ? "end" : "start"}>${percent(before)} → ${percent(after)}</text>`;
    });
  }

  _point(points, chosen, go) {
    const id = points.request_id[chosen];
    return html`${points.recent[chosen] ? "recent" : "reference"}${points.cluster[chosen] >= 0 && html`, cluster ${points.cluster[chosen]}`}, <${Time} at=${points.time[chosen]} />, request <${RequestLink} id=${id} go=${go} whole />`;
  }
}

/** The times of the first and the last point of a set. */
function between(points, recent) {
  const times = points.time.filter((_, index) => points.recent[index] === recent);
  return html`, <${Time} at=${times[0]} /> to <${Time} at=${times.at(-1)} />`;
}

const circle = (x, y) => `M${(x - 3).toFixed(1)} ${y.toFixed(1)}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0`;
const triangle = (x, y) => `M${x.toFixed(1)} ${(y - 4).toFixed(1)}l4 7h-8z`;

const RequestLink = ({ id, go, whole = false }) => html`<${Link} to=${`/requests/${encodeURIComponent(id)}`} go=${go}>${whole ? html`<code class="id">${id}</code>` : html`<${Id} id=${id} />`}</${Link}>`;

/** The clusters with their shares before and after; with their terms and examples if the user asks for texts, which is logged. */
class ClusterTable extends Loader {
  componentDidUpdate(before) {
    if (before.query !== this.props.query) this.setState({ found: null, error: null });
  }

  _describe = () => this.load(() => send("POST", "/api/drift/map/clusters", this.props.query));

  render({ map, go }, { found, error, loading }) {
    if (!map.clusters.length) return html`<p class="quiet small">This stream's drift detector has no clusters.</p>`;
    const rows = [...map.clusters].sort((a, b) => change(b) - change(a) || a.cluster - b.cluster);
    const texts = new Map(found?.clusters.map((one) => [one.cluster, one]));
    return html`<table class="grid">
        <thead><tr><th scope="col">cluster</th><th scope="col" class="right">before</th><th scope="col" class="right">after</th><th scope="col">${found ? "terms and examples" : "nearest requests"}</th></tr></thead>
        <tbody>${rows.map((one) => html`<tr><td>${one.cluster}</td><td class="right" title=${`${one.reference} of ${map.reference} requests`}>${percent(one.before)}</td><td class="right" title=${`${one.recent} of ${map.recent} requests`}>${percent(one.after)}</td>
          <td>${texts.has(one.cluster) ? html`<${Described} text=${texts.get(one.cluster)} go=${go} />` : [...new Set([...one.near_recent, ...one.near_reference])].slice(0, 3).map((id) => html`<${RequestLink} id=${id} go=${go} /> `)}</td></tr>`)}</tbody>
      </table>
      ${map.detector_clusters === false && html`<p class="quiet small">The drift detector has other clusters than this map, because the stream's first signals have expired or its settings have changed. The alert numbers its clusters differently.</p>`}
      ${!found && html`<button disabled=${loading} onClick=${this._describe}>${loading ? "Reading texts" : "Describe the clusters"}</button>
        <p class="quiet small">Reads the texts of up to 20 requests of each cluster. Each access is logged with your name in logs/access.log.</p>`}
      <${ErrorBox} error=${error} onRetry=${this._describe} />`;
  }
}

function Described({ text, go }) {
  return html`${text.terms.length > 0 ? html`<ul class="term-list">${text.terms.map((one) => html`<li class="tag" title=${`in ${one.texts} of ${text.texts} texts of the cluster, ${one.reference_texts} of ${text.other_texts} reference texts of other clusters`}>${one.term} <small>${one.texts}</small></li>`)}</ul>` : html`<span class="quiet">${text.texts ? "no distinguishing term" : "the texts have expired"}</span>`}
    ${text.examples.map((one) => html`<div class="map-example"><${RequestLink} id=${one.request_id} go=${go} /> ${one.text}</div>`)}`;
}
