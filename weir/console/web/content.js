// The messages of a request, or the choices of its answer; what detectors flagged is marked in its part.

import { Marked, textOf } from "./marked_text.js";
import { html } from "./ui.js";

/** Props: messages, the flagged verdicts about them, and whether the messages are the choices of an answer. */
export function Content({ messages, verdicts, choices }) {
  const marks = marksOf(messages, verdicts);
  return messages.map((message, row) => html`<div>
    <p class="quiet small">${choices ? headOf(message, row, messages.length) : `${message.role}${message.name ? ` ${message.name}` : ""}`}</p>
    ${(message.parts ?? []).map((part, column) => html`<${Part} part=${part} pointer=${pointerOf(row, column)} spans=${marks.get(pointerOf(row, column)) ?? []} verdicts=${verdicts} />`)}
  </div>`);
}

function Part({ part, pointer, spans, verdicts }) {
  const names = verdicts.filter((one) => one.part === pointer).map((one) => one.detector);
  const label = labelOf(part);
  return html`${(label || names.length > 0) && html`<p class="small">${label && html`<span class="quiet">${label}</span> `}${names.length > 0 && html`<span class="bad">flagged: ${names.join(", ")}</span>`}</p>`}
    ${textOf(part) !== "" && html`<p class="text"><${Marked} text=${textOf(part)} spans=${spans} /></p>`}`;
}

function headOf(choice, row, total) {
  return `${choice.role ?? "assistant"}${total > 1 ? ` choice ${row + 1} of ${total}, ${choice.finish_reason ?? "unfinished"}` : ""}`;
}

function pointerOf(row, column) {
  return `/messages/${row}/parts/${column}`;
}

/** The kind of a part and its properties; "" for text. */
function labelOf(part) {
  const words = {
    tool_call: () => ["tool call", part.name, part.id],
    tool_call_response: () => ["tool result", part.id],
    reasoning: () => ["reasoning"],
    uri: () => [part.modality, part.mime_type, "at a URI, sha256", part.digest.slice(0, 12)],
    blob: () => [part.modality, part.mime_type, `${part.size.toLocaleString("en")} bytes, sha256`, part.digest.slice(0, 12)],
  }[part.type];
  return words ? words().filter(Boolean).join(" ") : "";
}

/** A map from the pointer of a part to the spans in its text; spans in the joined text are converted. */
function marksOf(messages, verdicts) {
  const marks = new Map();
  const add = (pointer, span) => marks.set(pointer, [...(marks.get(pointer) ?? []), span]);
  for (const verdict of verdicts) {
    for (const span of verdict.spans) {
      const title = `${verdict.detector}: ${span.type}`;
      const pointer = span.part || verdict.part;
      if (pointer) add(pointer, { ...span, title });
      else for (const [place, begin, end] of joinedParts(messages)) {
        if (span.start < end && span.end > begin) add(place, { start: Math.max(span.start - begin, 0), end: Math.min(span.end, end) - begin, title });
      }
    }
  }
  return marks;
}

/** Pointer, begin and end of each text part in the joined text, in code points. */
function joinedParts(messages) {
  const found = [];
  let begin = 0;
  messages.forEach((message, row) => (message.parts ?? []).forEach((part, column) => {
    if (part.type !== "text") return;
    const end = begin + Array.from(part.content).length;
    found.push([pointerOf(row, column), begin, end]);
    begin = end + 1;
  }));
  return found;
}
