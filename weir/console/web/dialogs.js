// Dialogs: the frame of every dialog, and the list of keys.

import { Component, createRef } from "./vendor/preact.mjs";
import { KEYS } from "./keys.js";
import { html } from "./ui.js";

/** A modal dialog; props: title, onClose, busy, children. Esc or a click outside closes it, but not while it is busy: a failure must be seen. */
export class Dialog extends Component {
  _box = createRef();

  componentDidMount() {
    this._box.current.showModal();
  }

  render({ title, onClose, busy, children }) {
    const outside = (event) => !busy && event.target === this._box.current && onClose();
    return html`<dialog ref=${this._box} onClose=${onClose} onCancel=${(event) => busy && event.preventDefault()} onClick=${outside} aria-label=${title}>
      <div class="dialog-body">
        <header><h2>${title}</h2><button class="plain" aria-label="Close" disabled=${busy} onClick=${onClose}>✕</button></header>
        ${children}
      </div>
    </dialog>`;
  }
}

export const Help = ({ onClose }) =>
  html`<${Dialog} title="Keys" onClose=${onClose}>
    <dl class="keys">${KEYS.map(([keys, what]) => html`<div><dt>${keys.split(/( or |, )/).map((part, at) => (at % 2 ? part : html`<kbd>${part}</kbd>`))}</dt><dd>${what}</dd></div>`)}</dl>
  </${Dialog}>`;
