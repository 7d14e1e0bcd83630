// A text with places marked in it, and the words that an alert rests on. Offsets count code points, as Python does, not the 16-bit units of a JavaScript string.

import { get, send } from "./api.js";
import { html } from "./ui.js";

/** Props: text, spans ({start, end, title, weight}); of two that overlap the one that begins first is marked. */
export function Marked({ text, spans }) {
  const points = Array.from(text);
  const parts = [];
  let place = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (span.start < place) continue;
    parts.push(points.slice(place, span.start).join(""));
    const marked = points.slice(span.start, span.end).join("");
    parts.push(html`<mark class=${strength(span.weight)} title=${span.title}>${marked}</mark>`);
    place = span.end;
  }
  parts.push(points.slice(place).join(""));
  return parts;
}

function strength(weight) {
  if (weight === undefined) return "found";
  if (weight < 0) return weight < -0.33 ? "against" : "none";
  if (weight >= 0.66) return "strong";
  if (weight >= 0.33) return "some";
  return weight >= 0.1 ? "faint" : "none";
}

/**
 * The words that flagged verdicts of a request rest on. Score computes them in idle time and the ledger keeps their places: then the text is
 * all that is read; else `weir explain` computes them now. Either way it is written down who asked.
 */
export async function words(request_id) {
  const request = await get(`/api/requests/${request_id}`);
  const known = request.verdicts.filter((one) => one.flagged && one.explanation);
  if (!known.length) return (await send("POST", `/api/requests/${request_id}/explain`)).explanations;
  const { text } = await send("POST", `/api/requests/${request_id}/text`);
  return known.map((one) => ({
    detector: one.detector,
    side: one.side,
    score: one.score,
    version: one.version,
    explained_by: one.version,
    attributions: one.explanation.words,
    text: one.side === "input" ? text.prompt : text.answer,
  }));
}

/** The words of one explanation (`weir explain`), each as dark as what it did to the score. */
export function Told({ told }) {
  if (told.text === null || told.text === undefined) return html`<p class="quiet">The log no longer has the text of its ${told.side}.</p>`;
  const most = Math.max(...told.attributions.map((one) => Math.abs(one.weight)), 1e-9);
  const spans = told.attributions.map((one) => ({ start: one.start, end: one.end, weight: one.weight / most, title: `${one.weight > 0 ? "+" : ""}${one.weight.toFixed(2)} log-odds` }));
  return html`<section><h3>Words of ${told.detector} <small>${told.side}, score ${told.score.toFixed(2)}, version ${told.version}</small></h3>
    <p class="text"><${Marked} text=${told.text} spans=${spans} /></p>
    <p class="quiet small">Darker words speak more for the alert; underlined ones against it.${told.explained_by !== told.version ? ` Explained by version ${told.explained_by}, which scores it ${told.explained_score.toFixed(2)}.` : ""}</p></section>`;
}
