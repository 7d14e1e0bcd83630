// The drawing of a causal chain: a box for each step with the checks of the edges that lead to it, and lines between the boxes.

import { Component, createRef } from "./vendor/preact.mjs";
import { graphOf } from "./chain_graph.js";
import { exact, html, Id, Link, number, Time } from "./ui.js";

const TITLES = { requests: "Requests", verdicts: "Verdicts", alert: "Alert", requested: "Retraining request", approved: "Approval", rows: "Reviewed requests", dataset: "Dataset", trained: "Training", completed: "Training", parent: "Parent version", model: "Version", blessed: "Gate: blessed", refused: "Gate: refused", shadow: "Delivery: shadow", canary: "Delivery: canary", promoted: "Delivery: promoted", rolled_back: "Delivery: rolled back", expired: "Delivery: expired", route: "Route" };
const SHOWN_IDS = 8;
const SHOWN_BROKEN = 3;
/** Facts that are the text of a box, and not in its list of numbers. */
const TEXTS = ["reason", "summary"];
const ARROW = 5;

export class Chain extends Component {
  state = { lines: [] };
  _box = createRef();

  componentDidMount() {
    this._observer = new ResizeObserver(this._measure);
    this._observer.observe(this._box.current);
    this._measure();
  }

  componentDidUpdate(before) {
    if (before.chain !== this.props.chain) this._measure();
  }

  componentWillUnmount() {
    this._observer.disconnect();
  }

  /** Compute each line from the rectangles of its two boxes. */
  _measure = () => {
    const outer = this._box.current.getBoundingClientRect();
    const boxes = new Map([...this._box.current.querySelectorAll("[data-box]")].map((one) => [one.dataset.box, one.getBoundingClientRect()]));
    const lines = graphOf(this.props.chain).links.flatMap(({ from, to, broken }) => {
      const [first, last] = [boxes.get(from), boxes.get(to)];
      return first && last ? [{ broken, path: path(first, last, outer) }] : [];
    });
    this.setState({ lines, width: outer.width, height: outer.height });
  };

  render({ chain, go }, { lines, width, height }) {
    const { rows } = graphOf(chain);
    const broken = chain.edges.filter((edge) => edge.broken).length;
    return html`<p role="status" class=${broken ? "bad" : ""}>${broken ? `${broken} of ${chain.edges.length} edges are broken.` : `${chain.edges.length} edges checked against Kafka's records, none is broken.`}
        <span class="quiet"> Ids and numbers only; access to the text of a request is logged.</span></p>
      <div class="chain" ref=${this._box}>
        <svg width=${width} height=${height} aria-hidden="true">${lines.map((line) => html`<path class=${line.broken ? "broken" : ""} d=${line.path} />`)}</svg>
        ${rows.map((row) => html`<ol class="chain-row">${row.map((box) => html`<${Box} key=${box.key} box=${box} go=${go} />`)}</ol>`)}
      </div>`;
  }
}

/** A curve with an arrow from the lower edge of one box to the upper edge of another, or between the sides of two boxes in one row. */
function path(from, to, outer) {
  const beside = from.top < to.bottom && to.top < from.bottom;
  if (beside) {
    const right = from.left < to.left;
    const [x1, x2] = right ? [from.right, to.left] : [from.left, to.right];
    const y = Math.min(from.bottom, to.bottom) - outer.top - 14;
    return `M${x1 - outer.left},${y}H${x2 - outer.left}m${right ? -ARROW : ARROW},${-ARROW}l${right ? ARROW : -ARROW},${ARROW}l${right ? -ARROW : ARROW},${ARROW}`;
  }
  const [x1, x2] = [from, to].map((one) => one.left + one.width / 2 - outer.left);
  const [y1, y2] = [from.bottom - outer.top, to.top - outer.top - 2];
  const middle = (y1 + y2) / 2;
  return `M${x1},${y1}C${x1},${middle} ${x2},${middle} ${x2},${y2}m${-ARROW},${-ARROW}l${ARROW},${ARROW}l${ARROW},${-ARROW}`;
}

function Box({ box, go }) {
  const { kind, node, ids, checks } = box;
  const lost = !node && !ids.length;
  const faulty = lost || [...checks.values()].some((check) => check.broken.length > 0);
  const about = addressOf(box);
  return html`<li class=${`chain-box ${kind} ${faulty ? "faulty" : ""}`} data-box=${box.key}>
    <h3>${titleOf(box)} ${node?.at > 0 && kind !== "verdicts" && html`<small><${Time} at=${node.at} /></small>`}</h3>
    ${about && html`<p>${about.path ? html`<${Link} to=${about.path} go=${go}>${about.text}</${Link}>` : html`<code class="id">${about.text}</code>`}</p>`}
    ${lost && html`<p class="bad">not in Kafka</p>`}
    ${kind !== "verdicts" && node && html`<${Facts} facts=${node.facts} />`}
    ${(kind === "requests" || kind === "rows") && html`<${Requests} ids=${ids} go=${go} />`}
    ${checks.size > 0 && html`<ul class="checks" aria-label="Checks">${[...checks.values()].map((check) => html`<${Check} check=${check} />`)}</ul>`}
    ${kind !== "verdicts" && node?.place && html`<p class="quiet small"><code>${node.place}</code></p>`}
  </li>`;
}

function titleOf({ kind, node, ids, checks }) {
  if (kind === "requests" || kind === "rows") return `${TITLES[kind]} (${ids.length})`;
  if (kind === "verdicts") return `Verdicts or findings of ${node?.facts?.detector ?? "an unknown detector"} (${ids.length})`;
  if (kind === "alert" && node) return `Alert ${node.facts.detector}`;
  if (checks.has("started")) return "Decision of an operator";
  return TITLES[kind];
}

/** What the box is about, with the page that shows it if there is one. */
function addressOf({ key, kind, node }) {
  if (kind === "alert") return { text: key, path: node && `/alerts/${key}?state=` };
  if (kind === "requested" || kind === "approved") return { text: key.split("/")[0], path: "/retraining" };
  if (kind === "parent") return { text: key, path: `/models/${encodeURIComponent(key)}` };
  if (kind === "model") return { text: key };
  if (kind === "dataset") return { text: key.slice(0, 12) };
  if (kind === "route") return { text: key };
  return null;
}

function Facts({ facts }) {
  const rest = Object.entries(facts ?? {}).filter(([name]) => !TEXTS.includes(name) && name !== "detector");
  return html`${TEXTS.filter((name) => facts?.[name]).map((name) => html`<p>${facts[name]}</p>`)}
    ${rest.length > 0 && html`<dl class="chain-facts">${rest.map(([name, value]) => html`<div><dt>${name.replaceAll("_", " ")}</dt><dd class="clip" title=${value}>${Number.isInteger(value) ? exact(value) : typeof value === "number" ? number(value) : value}</dd></div>`)}</dl>`}`;
}

function Requests({ ids, go }) {
  const link = (id) => html`<li><${Link} to=${`/requests/${encodeURIComponent(id)}`} go=${go}><${Id} id=${id} /></${Link}></li>`;
  return html`<ul class="chain-ids">${ids.slice(0, SHOWN_IDS).map(link)}</ul>
    ${ids.length > SHOWN_IDS && html`<details><summary>${ids.length - SHOWN_IDS} more</summary><ul class="chain-ids">${ids.slice(SHOWN_IDS).map(link)}</ul></details>`}`;
}

function Check({ check: { kind, check, total, broken } }) {
  const count = total > 1 ? `${total - broken.length} of ${total}: ` : "";
  return html`<li class=${broken.length ? "bad" : ""}><span aria-hidden="true">${broken.length ? "✕" : "✓"}</span><span class="sr">${broken.length ? "broken" : "valid"}: </span> <strong>${kind}</strong> <span>${count}${check}</span>
    ${broken.slice(0, SHOWN_BROKEN).map((reason) => html`<p>${reason}</p>`)}${broken.length > SHOWN_BROKEN && html`<p>and ${broken.length - SHOWN_BROKEN} more</p>`}</li>`;
}
