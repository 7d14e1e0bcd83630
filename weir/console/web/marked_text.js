// A text with marked spans, and the words that a verdict is explained by. Offsets count code points, as Python does; JavaScript strings count 16-bit units.

import { get, send } from "./api.js";
import { html, scoreText, visible } from "./ui.js";

/** Props: text, spans ({start, end, title, weight}); of overlapping spans only the first is marked. */
export function Marked({ text, spans }) {
  const points = Array.from(text);
  const parts = [];
  let position = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (span.start < position) continue;
    parts.push(visible(points.slice(position, span.start).join("")));
    const marked = points.slice(span.start, span.end).join("");
    parts.push(html`<mark class=${strength(span.weight)} title=${span.title}>${marked}</mark>`);
    position = span.end;
  }
  parts.push(visible(points.slice(position).join("")));
  return parts;
}

function strength(weight) {
  if (weight === undefined) return "found";
  if (weight < 0) return weight < -0.33 ? "against" : "none";
  if (weight >= 0.66) return "strong";
  if (weight >= 0.33) return "some";
  return weight >= 0.1 ? "faint" : "none";
}

/** The flagged verdicts of a request whose detectors can show the words. */
export const explainable = (request, stack) => request.verdicts.filter((one) => one.flagged && stack?.capabilities[one.detector]?.explains);

/**
 * Explanations of the flagged verdicts of a request. If the ledger has all of them (score computes some in idle time), only the text is
 * read; else `weir explain` computes them. Either access is logged.
 */
export async function explanations(request_id, stack) {
  const flagged = explainable(await get(`/api/requests/${request_id}`), stack);
  if (!flagged.length || flagged.some((one) => !one.explanation)) return (await send("POST", `/api/requests/${request_id}/explain`)).explanations;
  const { text } = await send("POST", `/api/requests/${request_id}/text`);
  return flagged.map((one) => ({
    detector: one.detector,
    side: one.side,
    score: one.score,
    version: one.version,
    explained_by: one.version,
    attributions: one.explanation.words,
    part: one.part,
    text: textAt(text, one),
  }));
}

/** The text that the offsets of a verdict refer to: that of its part, or the joined text parts. */
function textAt(text, verdict) {
  const joined = verdict.side === "input" ? text.prompt : text.answer;
  if (joined === null || !verdict.part) return joined;
  const [, , row, , column] = verdict.part.split("/");
  return textOf((verdict.side === "input" ? text.messages : text.choices)[row].parts[column]);
}

/** The text of a part; "" for a part without text. */
export function textOf(part) {
  return part.content ?? part.arguments ?? part.response ?? "";
}

/** One explanation: the text, with each word marked by its weight. */
export function Explanation({ explanation: one }) {
  if (one.text === null || one.text === undefined) return html`<p class="quiet">The ${one.side} text has expired.</p>`;
  const most = Math.max(...one.attributions.map((word) => Math.abs(word.weight)), 1e-9);
  const spans = one.attributions.map((word) => ({ start: word.start, end: word.end, weight: word.weight / most, title: `${word.weight > 0 ? "+" : ""}${word.weight.toFixed(2)} log-odds` }));
  return html`<section><h3>Words of ${one.detector} <small>${one.side}${one.part && ` ${one.part}`}, score ${scoreText(one.score)}, version ${one.version}</small></h3>
    <p class="text"><${Marked} text=${one.text} spans=${spans} /></p>
    <p class="quiet small">Darker words raise the score more; underlined words lower it.${one.explained_by !== one.version ? ` Explained by version ${one.explained_by}, whose score is ${scoreText(one.explained_score)}.` : ""}</p></section>`;
}
