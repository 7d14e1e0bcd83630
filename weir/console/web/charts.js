// Charts: a sparkline of bars, and a statistic with its limit over time.

import { Component, createRef } from "./vendor/preact.mjs";
import uPlot from "./vendor/uplot.mjs";
import { clock, html, number } from "./ui.js";

const WIDTH = 240;
const HEIGHT = 26;
/** Smallest value on the logarithmic axis. */
const LEAST = 0.01;

/** Bars of counts, oldest first. */
export function Spark({ values, label, kind = "" }) {
  const most = Math.max(...values, 1);
  const step = WIDTH / (values.length || 1);
  const path = values.map((value, at) => (value ? `M${(at + 0.5) * step} ${HEIGHT}v${-Math.max((value / most) * HEIGHT, 1.5)}` : "")).join("");
  return html`<svg class=${`spark ${kind}`} viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${label}>
    <path d=${path} stroke-width=${step * 0.7} />
  </svg>`;
}

const HOUR = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
/** A time on the axis, with seconds if its steps are shorter than a minute. */
export const axisTime = (seconds, step) => (step < 60 ? clock(seconds) : HOUR.format(seconds * 1000));
export const day = (seconds) => DAY.format(seconds * 1000);

/** Powers of ten in a range. */
function decades(low, high) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, at) => 10 ** (first + at));
}

/** The present value of a colour of tokens.css. */
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Props: series ({time, statistic, limit, alarm}), height, label. Redraws when the theme changes. */
export class SeriesChart extends Component {
  _box = createRef();

  componentDidMount() {
    this._draw = this._draw.bind(this);
    this._observer = new ResizeObserver(([entry]) => this._plot?.setSize({ width: entry.contentRect.width, height: this.props.height }));
    this._draw();
    this._observer.observe(this._box.current);
    addEventListener("theme", this._draw);
    this._dark = matchMedia("(prefers-color-scheme: dark)");
    this._dark.addEventListener("change", this._draw);
  }

  componentDidUpdate(before) {
    if (before.series !== this.props.series) this._draw();
  }

  componentWillUnmount() {
    this._observer.disconnect();
    removeEventListener("theme", this._draw);
    this._dark.removeEventListener("change", this._draw);
    this._plot?.destroy();
  }

  _draw() {
    const { series, height } = this.props;
    this._plot?.destroy();
    this._plot = new uPlot(this._options(height), [series.time, series.statistic.map((value) => Math.max(value, LEAST)), series.limit], this._box.current);
  }

  _options(height) {
    const [line, limit, text, grid] = ["chart-line", "chart-limit", "soft", "line"].map(colour);
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 }, font: "11px system-ui" };
    return {
      width: this._box.current.clientWidth || 600,
      height,
      cursor: { y: false, points: { size: 6 } },
      legend: { live: true, markers: { width: 2 } },
      scales: { x: { time: true }, y: { distr: 3, range: (_, low, high) => [Math.max(Math.min(low, 1) * 0.7, LEAST), Math.max(high, 2) * 1.6] } },
      axes: [
        { ...axis, space: 70, values: (_, ticks) => ticks.map((value, at) => axisTime(value, ticks[1] - ticks[0]) + (at && day(value) === day(ticks[at - 1]) ? "" : `\n${day(value)}`)) },
        { ...axis, size: 52, splits: (_, __, low, high) => decades(low, high), values: (_, ticks) => ticks.map(number) },
      ],
      series: [
        { label: "end of window" },
        { label: "statistic", stroke: line, width: 1.8, points: { show: this.props.series.time.length < 40, size: 5, fill: line }, value: (_, value) => number(value) || "--" },
        { label: "limit", stroke: limit, width: 1.4, dash: [6, 4], points: { show: false }, value: (_, value) => number(value) || "--" },
      ],
      hooks: { drawClear: [(plot) => this._shade(plot)] },
    };
  }

  /** Shade windows in alarm. */
  _shade(plot) {
    const { time, alarm } = this.props.series;
    const { left, top, width, height } = plot.bbox;
    plot.ctx.fillStyle = colour("chart-alarm");
    for (let at = 0; at < time.length; at++) {
      if (!alarm[at]) continue;
      const from = plot.valToPos(at ? time[at - 1] : time[at], "x", true);
      const to = plot.valToPos(time[at], "x", true);
      const first = Math.max(from, left);
      const last = Math.min(Math.max(to, from + 1.5), left + width);
      if (last > first) plot.ctx.fillRect(first, top, last - first, height);
    }
  }

  render({ label }) {
    return html`<div class="chart" role="img" aria-label=${label} ref=${this._box}></div>`;
  }
}
