// The precision of each detector in reviewed alerts, and the threshold that the reviews propose.

import { get } from "./api.js";
import { Empty, ErrorBox, html, Loader, Status } from "./ui.js";

const whole = (share) => `${Math.round(share * 100)} %`;
const range = (low, high) => `${Math.round(low * 100)}–${Math.round(high * 100)} %`;

/** A word as a shell reads it: the log may have tenants of other producers, with any name. */
const quoted = (word) => (/^[\w.-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

export class DetectorsView extends Loader {
  _refresh = () => this.load(async () => (await get("/api/detectors")).detectors);

  events = { operator: this._refresh }; // a review

  render(_, { found, error }) {
    return html`<section class="page">
      <header class="head"><h1 tabindex="-1">Detectors</h1><${Status} found=${found} error=${error}>precision in reviewed alerts</${Status}></header>
      <${ErrorBox} error=${error} onRetry=${this._refresh} />
      <div class="page-body" tabindex="0">
        ${found?.length === 0 && html`<${Empty}>No alert is reviewed yet. To review alerts, press <kbd>g r</kbd>.</${Empty}>`}
        ${found?.map((one) => html`<${Detector} key=${`${one.precision.tenant}/${one.precision.detector}`} ...${one} />`)}
        ${found?.length > 0 && html`<p class="quiet small">Intervals are Wilson's, 95 %; the intervals of a proposal are corrected for the number of compared thresholds. They assume that the reviewed alerts are a random sample. Recall is the share of the right alerts at the present threshold that would still fire. A threshold is never lowered, because nobody reviews the texts that a detector misses.</p>`}
      </div>
    </section>`;
  }
}

function Detector({ precision: one, proposal }) {
  return html`<section class="detector"><h2>${one.detector} <small class="quiet">${one.tenant}</small></h2>
    <table class="grid"><thead><tr>${["", "threshold", "reviewed alerts", "right", "precision", "95 % interval", "recall", "95 % interval"].map((name, at) => html`<th scope="col" class=${at ? "right" : ""}>${name || html`<span class="sr">step</span>`}</th>`)}</tr></thead>
      <tbody>${proposal?.present ? html`<${Step} name="present" step=${proposal.present} />` : html`<tr><th scope="row">all reviews</th><td></td><td class="right">${one.right + one.wrong}</td><td class="right">${one.right}</td><td class="right">${whole(one.precision)}</td><td class="right">${range(one.low, one.high)}</td><td></td><td></td></tr>`}
        ${proposal?.proposed && html`<${Step} name="proposed" step=${proposal.proposed} />`}</tbody></table>
    ${one.disputed > 0 && html`<p>Reviewers disagree on ${one.disputed} of ${one.right + one.wrong} alerts; the newest review counts.</p>`}
    ${proposal?.proposed && html`<p>To apply the proposal, run <code>weir detectors tune --tenant ${quoted(one.tenant)} --detector ${quoted(one.detector)} --apply</code></p>`}
    ${proposal?.reason && html`<p class="quiet">No proposal: ${proposal.reason}.</p>`}
  </section>`;
}

const Step = ({ name, step }) => html`<tr><th scope="row">${name}</th><td class="right">${step.threshold}</td><td class="right">${step.alerts}</td><td class="right">${step.right}</td>
  <td class="right">${whole(step.precision)}</td><td class="right">${range(step.precision_low, step.precision_high)}</td><td class="right">${whole(step.recall)}</td><td class="right">${step.recall_low < step.recall_high ? range(step.recall_low, step.recall_high) : ""}</td></tr>`;
