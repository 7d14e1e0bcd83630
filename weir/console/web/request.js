// One request: its end, all verdicts, its alerts and retraining events; its text on request.

import { get, send } from "./api.js";
import { AnswerReview } from "./answer_review.js";
import { Content } from "./content.js";
import { explainable, Explanation, explanations } from "./marked_text.js";
import { countText, duration, ErrorBox, Fact, html, Id, Link, Loader, scoreText, Status, Tag, TraceLink } from "./ui.js";

export class RequestPane extends Loader {
  state = { ...this.state, text: null, explained: null, reading: "", failure: null };
  poll = 2_000;

  _refresh = () => this.load(() => get(`/api/requests/${encodeURIComponent(this.props.id)}`));

  events = { alerts: this._refresh, retraining: this._refresh }; // they may follow the last verdict

  /** Whether verdicts or the end are pending. */
  _due() {
    const { found } = this.state;
    return found && !found.gap && (found.pending.length || !found.end);
  }

  _read = async (what) => {
    const { found } = this.state;
    this.setState({ reading: what, failure: null });
    try {
      const id = encodeURIComponent(this.props.id);
      if (what === "text") this.setState({ text: { ...(await send("POST", `/api/requests/${id}/text`)), of: found }, reading: "" });
      else this.setState({ explained: await explanations(id, this.props.stack), reading: "" });
    } catch (failure) {
      this.setState({ failure, reading: "" });
    }
  };

  render({ id, go, stack }, { found, error, text, explained, reading, failure }) {
    return html`<aside class="pane" aria-label="Request">
      <div class="pane-head"><strong>Request</strong><code class="id">${id}</code><${Status} found=${found} error=${error} />
        <button class="plain close" aria-label="Close the request" onClick=${() => go("/live")}>✕</button></div>
      <${ErrorBox} error=${error} onRetry=${this._refresh} />
      ${found && html`<div class="pane-body">
        <div class="actions">
          <${TraceLink} template=${stack?.trace} id=${found.trace_id} primary />
          <${Link} class="button" to=${`/conversations/${encodeURIComponent(id)}`} go=${go}>Conversation</${Link}>
          <button disabled=${reading !== ""} onClick=${() => this._read("text")}>${reading === "text" ? "Reading" : "Show text"}</button>
          ${explainable(found, stack).length > 0 && html`<button disabled=${reading !== ""} onClick=${() => this._read("words")}>${reading === "words" ? "Computing, up to 30 s" : "Which words"}</button>`}
        </div>
        <p class="quiet small">Access to a text is logged with your name in logs/access.log.</p>
        <${ErrorBox} error=${failure} />
        ${found.gap && html`<div class="error-box">Not delivered: counted in a gap record of source ${found.gap.source}, reason ${found.gap.reason}.</div>`}
        <dl class="facts">
          ${found.tenant && html`<${Fact} name="stream">${found.tenant} / ${found.model}</${Fact}>`}
          ${found.shadow_of && html`<${Fact} name="copy of"><${Link} to=${`/requests/${encodeURIComponent(found.shadow_of)}`} go=${go}><${Id} id=${found.shadow_of} /></${Link}>; no user received this answer</${Fact}>`}
          ${ended(found.end)}
          ${found.consistency && html`<${Fact} name="asked again"><${Tag} kind=${found.consistency.flagged ? "flagged" : ""}>${found.consistency.label}</${Tag}> ${scoreText(found.consistency.score)}, answers in <${Link} to=${`/requests/${encodeURIComponent(found.consistency.request_id)}`} go=${go}><${Id} id=${found.consistency.request_id} /></${Link}></${Fact}>`}
          ${judged(found.judgments) && html`<${Fact} name="feedback">${judged(found.judgments)}</${Fact}>`}
          ${found.pending.length > 0 && html`<${Fact} name="pending verdicts">${found.pending.join(", ")}</${Fact}>`}
        </dl>
        <section><h3>Verdicts</h3><${VerdictTable} verdicts=${found.verdicts} /></section>
        ${explained?.map((one) => html`<${Explanation} explanation=${one} />`)}
        ${text && html`<${Texts} ...${text} verdicts=${found.verdicts} />`}
        ${found.end && !found.shadow_of && html`<${AnswerReview} id=${id} key=${id} />`}
        <${Related} found=${found} go=${go} />
      </div>`}
    </aside>`;
  }
}

const judged = (judgments) => Object.entries(judgments ?? {}).map(([what, count]) => `${what}: ${count}${what.startsWith("rated ") ? (count === 1 ? " time" : " times") : ""}`).join(", ");

/** A table of verdicts, with the part and the spans of each. */
export function VerdictTable({ verdicts }) {
  return html`<table class="grid"><thead><tr><th scope="col">detector</th><th scope="col">side</th><th scope="col">result</th><th scope="col" class="right">score</th><th scope="col">spans</th></tr></thead>
    <tbody>${verdicts.map((one) => html`<tr><td>${one.detector} <small class="quiet">${one.version}</small></td><td>${one.side}</td>
      <td>${one.flagged ? html`<${Tag} kind="flagged">${one.label}</${Tag}>` : one.label === "error" ? html`<${Tag} kind="error">error</${Tag}>` : html`<span class="quiet">${one.label}</span>`}${one.covered < 1 && html` <small class="quiet">${Math.floor(one.covered * 100)} % of the text</small>`}</td>
      <td class="right">${scoreText(one.score)}</td>
      <td class="spans">${one.part && html`<code title="the part with the highest score">${one.part}</code> `}${one.spans.slice(0, 6).map((span) => html`<span title=${`score ${scoreText(span.score)}${span.part ? `, in ${span.part}` : ""}`}>${span.type} ${span.start}–${span.end}</span> `)}${one.spans.length > 6 && "…"}</td></tr>`)}</tbody></table>`;
}

/** Whether the ledger knows only that a request ended: the substitute end of a dead gateway has no numbers. */
const unknown = (one) => one.status === "aborted" && !one.latency_seconds;

export function ended(end) {
  if (!end) return html`<${Fact} name="end">no end record yet</${Fact}>`;
  if (unknown(end)) return html`<${Fact} name="end"><span class="bad">${end.status}</span>, its gateway ended first: the answer, its duration and its tokens are unknown</${Fact}>`;
  return html`<${Fact} name="end"><span class=${end.status === "complete" ? "" : "bad"}>${end.status}</span>${end.finish_reason ? `, ${end.finish_reason}` : ""}</${Fact}>
    <${Fact} name="took">${end.latency_seconds ? duration(end.latency_seconds) : "unknown"}${end.time_to_first_token_seconds !== null && end.time_to_first_token_seconds !== undefined ? `, first token after ${duration(end.time_to_first_token_seconds)}` : ""}</${Fact}>
    <${Fact} name="tokens">${end.usage.total_tokens ? `${end.usage.prompt_tokens} + ${end.usage.completion_tokens}` : "unknown"}</${Fact}>
    ${end.guard && html`<${Fact} name="guard">${end.guard.stopped === false ? "found" : "stopped the answer:"} ${end.guard.detector} at token ${end.guard.position_tokens}, ${countText(end.guard.exposed_tokens, "token")} sent</${Fact}>`}`;
}

/** Prompt and answer of a request with the marks of its flagged verdicts; `of` is the request as it was when its text was read. */
export function Texts({ text, of, verdicts }) {
  const flagged = (side) => verdicts.filter((one) => one.side === side && one.flagged);
  const absent = (reason) => html`<p class="quiet">${of.gap ? "The record was not delivered, so Kafka has no text." : reason}</p>`;
  const gone = absent("The text has expired.");
  const unanswered = of.end ? gone : absent("No end record yet: read the text again when the request has ended.");
  return html`<section><h3>Prompt</h3>${text.prompt === null ? gone : html`<${Content} messages=${text.messages} verdicts=${flagged("input")} />`}
    <h3>Answer</h3>${text.answer === null ? unanswered : html`<${Content} messages=${text.choices} verdicts=${flagged("output")} choices />`}</section>
    ${text.quotes?.length > 0 && html`<section><h3>Compared with</h3><ul class="plain-list">${text.quotes.map((one) => html`<li><span class="quiet">${one.detector} ${one.type}</span> <q>${one.text}</q></li>`)}</ul></section>`}
    ${text.corrections?.length > 0 && html`<section><h3>Corrections and comments</h3><ul class="plain-list">${text.corrections.map((one) => html`<li><span class="quiet">${one.principal}</span> ${one.answer && html`<q>${one.answer}</q>`} ${one.comment}</li>`)}</ul></section>`}`;
}

function Related({ found, go }) {
  if (!found.alert_ids.length && !found.retraining_ids.length) return null;
  return html`<section><h3>Alerts and retraining</h3><ul class="plain-list">
    ${found.alert_ids.map((id) => html`<li>alert <${Link} to=${`/alerts/${id}?state=`} go=${go}><${Id} id=${id} /></${Link}></li>`)}
    ${found.retraining_ids.map((id) => html`<li>retraining <${Link} to="/retraining" go=${go}><${Id} id=${id} /></${Link}></li>`)}
  </ul></section>`;
}
