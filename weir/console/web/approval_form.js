// The dialog that approves or rejects a retraining request, with an API key that has the scope approve.

import { send } from "./api.js";
import { Dialog } from "./dialogs.js";
import { ErrorBox, html, Loader } from "./ui.js";

export const VERBS = { approved: "Approve", rejected: "Reject" };

const EFFECTS = {
  approved: "The trainer then builds a dataset and trains.",
  rejected: "No training starts. A rejection is final.",
  running: "This ends the training or gate in progress. No version is delivered. A rejection is final.",
};

export class ApprovalForm extends Loader {
  state = { ...this.state, key: "", reason: "" };

  _submit = (event) => {
    event.preventDefault();
    const { request, outcome, onDone, onClose } = this.props;
    const { key, reason } = this.state;
    this.load(async () => {
      await send("POST", `/api/retraining/${encodeURIComponent(request.retraining_id)}/decision`, { outcome, key, reason });
      onDone();
      onClose();
    });
  };

  render({ request, outcome, onClose }, { key, reason, loading, error }) {
    const verb = VERBS[outcome];
    // Only a trainer of Weir that works on the request has a lease.
    const effect = EFFECTS[request.lease_until ? "running" : outcome];
    return html`<${Dialog} title=${`${verb} retraining`} busy=${loading} onClose=${onClose}>
      <p><strong>${request.tenant} / ${request.model}</strong>: ${request.reason || `state ${request.state}`}. ${effect} The access log has an entry of each attempt.</p>
      <form onSubmit=${this._submit}>
        <label class="field">API key with the scope approve<input type="password" required autofocus autocomplete="off" value=${key} onInput=${(event) => this.setState({ key: event.target.value })} /></label>
        <label class="field">Reason<input maxlength="500" value=${reason} onInput=${(event) => this.setState({ reason: event.target.value })} /></label>
        <${ErrorBox} error=${error} />
        <div class="actions"><button class="primary" disabled=${loading || !key.trim()}>${loading ? "Sending" : verb}</button><button type="button" disabled=${loading} onClick=${onClose}>Cancel</button></div>
      </form>
    </${Dialog}>`;
  }
}
