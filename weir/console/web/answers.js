// Answers that wait for a review: rated badly, or labelled as wrong, and neither corrected nor approved.

import { get } from "./api.js";
import { Empty, ErrorBox, html, Id, Link, Loader, Status, Time } from "./ui.js";

const PAGE = 100;

export class AnswersView extends Loader {
  poll = 10_000;

  _refresh = () => this.load(async () => (await get("/api/answers", { limit: PAGE })).requests);

  render({ go }, { found, error }) {
    return html`<section class="page">
      <header class="head"><h1 tabindex="-1">Answers</h1><${Status} found=${found} error=${error}>${found?.length}${found?.length === PAGE ? "+" : ""} to review</${Status}></header>
      <${ErrorBox} error=${error} onRetry=${this._refresh} />
      <div class="page-body">
        ${found?.length === 0 && html`<${Empty}>No answer waits for a review. Answers appear here if a user rated them badly or a label says that they are wrong.</${Empty}>`}
        ${found?.length > 0 && html`<table class="grid">
          <thead><tr><th scope="col">request</th><th scope="col">stream</th><th scope="col">status</th><th scope="col">time</th></tr></thead>
          <tbody>${found.map((one) => html`<tr key=${one.request_id}>
            <th scope="row"><${Link} to=${`/requests/${one.request_id}`} go=${go}><${Id} id=${one.request_id} /></${Link}></th>
            <td>${one.tenant} / ${one.model}</td><td>${one.status}</td><td><${Time} at=${one.time} /></td>
          </tr>`)}</tbody></table>`}
      </div>
    </section>`;
  }
}
