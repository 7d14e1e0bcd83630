// What changed: shares or means before and after, from the numbers of the finding.

import { html, number, percent, Time } from "./ui.js";

/** Props: window, a window in alarm. */
export function BeforeAfter({ window }) {
  const rows = compared(window.feature, window.details);
  if (!rows.length) return null;
  const { changed_at } = window.details;
  return html`<section class="change">
    <h3>Before and after <small>${window.feature}${changed_at ? html`, since <${Time} at=${changed_at} />` : ""}</small></h3>
    <div class="legend"><span class="before">before</span><span class="after">after</span></div>
    ${rows.map((row) => html`<div class="compared">
      <div class="what">${row.what}</div>
      ${[["before", row.before], ["after", row.after]].map(([side, value]) => html`<div class="pair">
        <span class=${`bar ${side}`} style=${{ width: `${row.most ? Math.max((Math.abs(value) / row.most) * 100, 0.5) : 0}%` }}></span><b>${row.show(value)}</b>
      </div>`)}
      ${row.note && html`<div class="quiet small">${row.note}</div>`}
    </div>`)}
  </section>`;
}

function compared(feature, details) {
  const rows = [];
  const share = (what, before, after, note = "") => rows.push({ what, before, after, most: Math.max(before, after, 0.01), show: percent, note });
  if ("topic_since" in details) {
    share(`cluster ${number(details.topic_since)}, which grew most`, details.topic_since_share_before, details.topic_since_share);
    if (details.topic_before !== details.topic_since) share(`cluster ${number(details.topic_before)}, the largest before`, details.topic_before_share, details.topic_before_share_since);
  }
  if ("recent_mean" in details && "reference_mean" in details) {
    const { recent_mean, reference_mean, reference_deviation, reference_factor } = details;
    rows.push({
      what: `${reference_factor === undefined ? "mean" : "geometric mean"} of ${feature}`,
      before: reference_mean,
      after: recent_mean,
      most: Math.max(Math.abs(reference_mean), Math.abs(recent_mean)),
      show: number,
      note: reference_factor !== undefined ? `most values before within a factor of ${number(reference_factor)}`
        : reference_deviation === undefined ? "" : `standard deviation before: ${number(reference_deviation)}`,
    });
  }
  if ("share_since" in details) {
    const extreme = `events in the ${details.direction < 0 ? "lowest" : "highest"} ${percent(details.share_of_reference ?? 0)} of the reference`;
    const side = feature === "embedding" ? "events outside the reference region" : feature === "error" ? "failed requests" : extreme;
    share(side, details.share_before, details.share_since);
  }
  return rows;
}
