// Coverage: completed and missing verdicts, in total, by hour, detector, tenant and model.

import { get } from "./api.js";
import { axisTime, day } from "./charts.js";
import { dateTime, Empty, ErrorBox, exact, html, Loader, percent, Status, zone } from "./ui.js";

const SPLITS = [["by_detector", "detector"], ["by_tenant", "tenant"], ["by_model", "model"]];
const SHOWN = 50;
/** Up to this number of hours, each has a label; of more hours, each third. */
const LABELLED = 24;

export class CoverageView extends Loader {
  poll = 5_000;

  _refresh = () => this.load(() => get("/api/coverage"));

  render(_, { found, error }) {
    return html`<section class="page">
      <header class="head"><h1 tabindex="-1">Coverage</h1><${Status} found=${found} error=${error} /></header>
      <${ErrorBox} error=${error} onRetry=${this._refresh} />
      ${found && this._body(found)}
    </section>`;
  }

  _body({ coverage, hours }) {
    if (!coverage.requests && !coverage.owed && !coverage.gap_records) return html`<${Empty}>No request was accepted yet.</${Empty}>`;
    return html`<div class="page-body" tabindex="0">
      <div class="tiles">
        ${tile("detector coverage", coverage.owed ? percent(coverage.ratio) : "–", coverage.owed ? "" : "no verdict is expected")}
        ${tile("requests", exact(coverage.requests), `${exact(coverage.ends)} ended`)}
        ${tile("expected verdicts", exact(coverage.owed), `${exact(coverage.pending)} pending`)}
        ${tile("missing", exact(coverage.missing), coverage.missing ? "see the coverage alert" : "", coverage.missing ? "bad" : "")}
        ${tile("errors", exact(coverage.errors), "completed without a result", coverage.errors ? "warn" : "")}
        ${tile("not delivered", exact(coverage.gap_records), "counted in gap records", coverage.gap_records ? "bad" : "")}
      </div>
      <section><h2>By hour</h2><${Hours} hours=${hours} /></section>
      ${SPLITS.map(([field, name]) => html`<section><h2>By ${name}</h2><${Split} counts=${coverage[field]} name=${name} /></section>`)}
    </div>`;
  }
}

const tile = (label, value, note = "", kind = "") => html`<div class="tile"><span class="label">${label}</span><b class=${kind}>${value}</b><span class="parts">${note}</span></div>`;

/** The label of an hour: its time, or the day at midnight. */
function hourLabel({ time }, at, hours) {
  const hour = new Date(time * 1000).getHours();
  if (hours.length > LABELLED && hour % 3) return "";
  return at && day(time) !== day(hours[at - 1].time) ? day(time) : axisTime(time, 3600);
}

function Hours({ hours }) {
  const most = Math.max(...hours.map((one) => one.owed), 1);
  return html`<div class="hours" role="img" tabindex="0" aria-label=${`Expected and missing verdicts in each of ${hours.length} hours`}>
    ${hours.map((one, at) => html`<div class="hour" title=${`${dateTime(one.time)} ${zone(one.time)}: ${one.owed} expected, ${one.settled} completed, ${one.errors} errors, ${one.missing} missing`}>
      <i class="owed" style=${{ height: `${(one.owed / most) * 100}%` }}><i class="missing" style=${{ height: `${(one.missing / (one.owed || 1)) * 100}%` }}></i></i>
      <span>${hourLabel(one, at, hours)}</span>
    </div>`)}
  </div>`;
}

function Split({ counts, name }) {
  const rows = Object.entries(counts ?? {}).sort((a, b) => a[1].ratio - b[1].ratio || b[1].owed - a[1].owed);
  return html`<table class="grid counts">
    <thead><tr><th scope="col">${name}</th><th scope="col" class="right">coverage</th><th scope="col"><span class="sr">share</span></th>${["expected", "pending", "missing", "errors"].map((one) => html`<th scope="col" class="right">${one}</th>`)}</tr></thead>
    <tbody>${rows.slice(0, SHOWN).map(([key, one]) => html`<tr><th scope="row">${key}</th><td class="right">${percent(one.ratio)}</td>
      <td class="share"><i style=${{ width: `${one.ratio * 100}%` }}></i></td>
      <td class="right">${exact(one.owed)}</td><td class="right">${exact(one.pending)}</td><td class=${`right ${one.missing ? "bad" : ""}`}>${exact(one.missing)}</td><td class=${`right ${one.errors ? "warn" : ""}`}>${exact(one.errors)}</td></tr>`)}</tbody>
  </table>${rows.length > SHOWN && html`<p class="quiet">${rows.length - SHOWN} more, with higher coverage.</p>`}`;
}
