// The review of an answer: approve it as it is, or write a better one; both are records that datasets use.

import { send } from "./api.js";
import { ErrorBox, html, Loader } from "./ui.js";

/** What was written and not sent yet, by request: the reviewer may look at the conversation or another request meanwhile. */
const drafts = new Map();
const NOTHING = { correction: "", comment: "" };

export class AnswerReview extends Loader {
  state = { ...this.state, ...(drafts.get(this.props.id) ?? NOTHING), done: "" };

  _write = (changes) => {
    const { correction, comment } = { ...this.state, ...changes };
    drafts.set(this.props.id, { correction, comment });
    this.setState({ ...changes, done: "" });
  };

  _send = (approved) => (event) => {
    event.preventDefault();
    const { correction, comment } = this.state;
    this.load(async () => {
      await send("POST", `/api/requests/${encodeURIComponent(this.props.id)}/review`, approved ? { approved, comment } : { correction, comment });
      drafts.delete(this.props.id);
      this.setState({ ...NOTHING, done: approved ? "Approved." : "Correction recorded." });
    });
  };

  render(_, { correction, comment, loading, error, done }) {
    return html`<section><h3>Review of the answer</h3>
      <form onSubmit=${this._send(false)}>
        <label class="field">Better answer<textarea rows="3" readonly=${loading} value=${correction} onInput=${(event) => this._write({ correction: event.target.value })}></textarea></label>
        <label class="field">Comment<input readonly=${loading} value=${comment} onInput=${(event) => this._write({ comment: event.target.value })} /></label>
        <${ErrorBox} error=${error} />
        <div class="actions">
          <button class="primary" disabled=${loading || !correction.trim()}>Record the correction</button>
          <button type="button" disabled=${loading || correction !== ""} onClick=${this._send(true)}>Approve the answer</button>
          <span class="quiet" role="status">${done}</span>
        </div>
      </form>
    </section>`;
  }
}
