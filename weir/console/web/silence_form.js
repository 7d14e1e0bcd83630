// The dialog that silences an alert: for how long, and why.

import { send } from "./api.js";
import { Dialog } from "./dialogs.js";
import { ErrorBox, html, Loader, stream } from "./ui.js";

const DURATIONS = ["30m", "2h", "8h", "1d", "7d"];

export class SilenceForm extends Loader {
  state = { ...this.state, duration: "2h", reason: "" };

  _submit = (event) => {
    event.preventDefault();
    const { duration: lasts, reason } = this.state;
    this.load(async () => {
      await send("POST", "/api/silences", { alert_id: this.props.alert.alert_id, for: lasts, reason });
      this.props.onDone();
      this.props.onClose();
    });
  };

  render({ alert, onClose }, { duration: lasts, reason, loading, error }) {
    return html`<${Dialog} title="Silence" busy=${loading} onClose=${onClose}>
      <p>Nobody is notified about alerts of <strong>${[stream(alert), alert.detector, alert.feature].filter(Boolean).join(" / ")}</strong>, even if they fire again. The alerts still count for retraining.</p>
      <form onSubmit=${this._submit}>
        <div class="choice" role="group" aria-label="How long">${DURATIONS.map((one) => html`<button type="button" aria-pressed=${lasts === one ? "true" : "false"} onClick=${() => this.setState({ duration: one })}>${one}</button>`)}</div>
        <label class="field">Reason, for the next person on call<input required maxlength="500" autofocus value=${reason} onInput=${(event) => this.setState({ reason: event.target.value })} /></label>
        <${ErrorBox} error=${error} />
        <div class="actions"><button class="primary" disabled=${loading || !reason.trim()}>${loading ? "Silencing" : `Silence for ${lasts}`}</button><button type="button" disabled=${loading} onClick=${onClose}>Cancel</button></div>
      </form>
    </${Dialog}>`;
  }
}
