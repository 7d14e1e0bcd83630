// Silences in force: scope, reason, author, expiry; a button ends each. Silences are created on an alert.

import { get, now, send } from "./api.js";
import { duration, Empty, ErrorBox, html, Id, Link, Loader, Status, stream, Time } from "./ui.js";

export class SilencesView extends Loader {
  poll = 5_000;

  _refresh = () => this.load(async () => (await get("/api/silences")).silences);

  events = { operator: this._refresh };

  _end = async (one) => {
    this.setState({ ending: one.silence_id, failure: null });
    try {
      await send("DELETE", `/api/silences/${one.silence_id}`);
      this.forget(); // a reply to an earlier call still has the silence
      this.setState({ found: this.state.found.filter((other) => other.silence_id !== one.silence_id), ending: "" });
    } catch (failure) {
      this.setState({ failure, ending: "" });
    }
  };

  render({ go }, { found, error, ending, failure }) {
    return html`<section class="page">
      <header class="head"><h1 tabindex="-1">Silences</h1><${Status} found=${found} error=${error}>${found?.length} in force</${Status}></header>
      <${ErrorBox} error=${error} onRetry=${this._refresh} />
      <${ErrorBox} error=${failure} />
      <div class="page-body">
        ${found?.length === 0 && html`<${Empty}>Nothing is silenced. Open an alert and press <kbd>s</kbd> to silence it.</${Empty}>`}
        ${found?.length > 0 && html`<table class="grid">
          <thead><tr><th scope="col">scope</th><th scope="col">reason</th><th scope="col">by</th><th scope="col">until</th><th scope="col">from alert</th><th scope="col"><span class="sr">end</span></th></tr></thead>
          <tbody>${found.map((one) => html`<tr key=${one.silence_id}>
            <th scope="row">${[stream(one), one.detector, one.feature].filter(Boolean).join(" / ")}</th>
            <td>${one.reason}</td><td>${one.by}</td><td><${Time} at=${one.until} /> <small class="quiet">${duration(one.until - now())} left</small></td>
            <td><${Link} to=${`/alerts/${one.alert_id}?state=`} go=${go}><${Id} id=${one.alert_id} /></${Link}></td>
            <td class="right"><button disabled=${ending === one.silence_id} onClick=${() => this._end(one)}>${ending === one.silence_id ? "Ending" : "End"}<span class="sr"> the ${one.detector} silence</span></button></td>
          </tr>`)}</tbody></table>`}
      </div>
    </section>`;
  }
}
