// The turns of the conversation of one request, oldest first, with their verdicts; the text of a turn on request.

import { get, send } from "./api.js";
import { ended, Texts, VerdictTable } from "./request.js";
import { countText, Empty, ErrorBox, Fact, html, Id, Link, Loader, Status, Time } from "./ui.js";

const MOST = 50;

export class ConversationView extends Loader {
  state = { ...this.state, texts: {}, reading: "", failure: null };
  poll = 5_000;

  componentDidUpdate(before) {
    if (before.id === this.props.id) return;
    this.forget();
    this._refresh();
  }

  _refresh = () => this.load(() => get(`/api/requests/${encodeURIComponent(this.props.id)}/conversation`, { limit: MOST }));

  _read = async (request) => {
    const id = request.request_id;
    this.setState({ reading: id, failure: null });
    try {
      const { text } = await send("POST", `/api/requests/${encodeURIComponent(id)}/text`);
      this.setState(({ texts }) => ({ texts: { ...texts, [id]: { text, of: request } }, reading: "" }));
    } catch (failure) {
      this.setState({ failure, reading: "" });
    }
  };

  render({ id, go }, { found, error, texts, reading, failure }) {
    const turns = found?.turns;
    return html`<section class="page">
      <header class="head"><h1 tabindex="-1">Conversation</h1><${Status} found=${found} error=${error}>${turns && countText(turns.length, "request", turns.length === MOST ? "+" : "")}</${Status}></header>
      <${ErrorBox} error=${error} onRetry=${this._refresh} />
      <div class="page-body">
        <p class="quiet small">The newest requests of the conversation of request <${Id} id=${id} />, oldest first. Access to a text is logged with your name in logs/access.log.</p>
        <${ErrorBox} error=${failure} />
        ${turns?.length === 0 && html`<${Empty}>The request has no conversation id: its client sent neither metadata.conversation_id nor x-weir-conversation-id.</${Empty}>`}
        ${turns?.map((turn) => html`<${Turn} key=${turn.request.request_id} turn=${turn} text=${texts[turn.request.request_id]} reading=${reading} onRead=${this._read} go=${go} />`)}
      </div>
    </section>`;
  }
}

function Turn({ turn: { at, request }, text, reading, onRead, go }) {
  const id = request.request_id;
  return html`<section class="turn" aria-label=${`Request ${id}`}>
    <h2 class="small"><${Time} at=${at} /> <${Link} to=${`/requests/${encodeURIComponent(id)}`} go=${go}><${Id} id=${id} /></${Link}></h2>
    <dl class="facts">${ended(request.end)}${request.pending.length > 0 && html`<${Fact} name="pending verdicts">${request.pending.join(", ")}</${Fact}>`}</dl>
    <${VerdictTable} verdicts=${request.verdicts} />
    <div class="actions"><button disabled=${reading !== ""} onClick=${() => onRead(request)}>${reading === id ? "Reading" : "Show text"}</button></div>
    ${text && html`<${Texts} ...${text} verdicts=${request.verdicts} />`}
  </section>`;
}
