// The review of an answer: approve it as it is, or write a better one; both are records that datasets use.

import { send } from "./api.js";
import { ErrorBox, html, Loader } from "./ui.js";

export class AnswerReview extends Loader {
  constructor(props) {
    super(props);
    Object.assign(this.state, { correction: "", comment: "", loading: false, done: "" });
  }

  _send = (approved) => (event) => {
    event.preventDefault();
    const { correction, comment } = this.state;
    this.load(async () => {
      await send("POST", `/api/requests/${encodeURIComponent(this.props.id)}/review`, approved ? { approved, comment } : { correction, comment });
      this.setState({ correction: "", comment: "", done: approved ? "Approved." : "Correction recorded." });
    });
  };

  render(_, { correction, comment, loading, error, done }) {
    return html`<section><h3>Review of the answer</h3>
      <form onSubmit=${this._send(false)}>
        <label class="field">Better answer<textarea rows="3" value=${correction} onInput=${(event) => this.setState({ correction: event.target.value, done: "" })}></textarea></label>
        <label class="field">Comment<input value=${comment} onInput=${(event) => this.setState({ comment: event.target.value })} /></label>
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
