// A virtual list: only visible rows are rendered; one row is selected by mouse or keys.

import { Component, createRef } from "./vendor/preact.mjs";
import { html } from "./ui.js";

/** Rows rendered above and below the visible ones. */
const OVERSCAN = 6;

/**
 * Props: items, rowHeight, keyOf(item), row(item), label, chosen (key), onChoose(item), onOpen(item), onEnd(), total, empty.
 */
export class List extends Component {
  state = { top: 0, height: 600 };
  _box = createRef();
  _frame = 0;

  componentDidMount() {
    this._observer = new ResizeObserver(() => this.setState({ height: this._box.current.clientHeight }));
    this._observer.observe(this._box.current);
    List.current = this;
  }

  componentWillUnmount() {
    this._observer.disconnect();
    cancelAnimationFrame(this._frame);
    if (List.current === this) List.current = null;
  }

  componentDidUpdate(before) {
    const { chosen, items } = this.props;
    const moved = chosen !== before.chosen || (items.length > 0 && before.items.length === 0);
    if (moved && chosen) this._scrollTo(this._index());
    this._loadMore();
  }

  _index() {
    return this.props.items.findIndex((item) => this.props.keyOf(item) === this.props.chosen);
  }

  _scrollTo(index) {
    if (index < 0) return;
    const box = this._box.current;
    const { rowHeight } = this.props;
    const top = index * rowHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + rowHeight > box.scrollTop + box.clientHeight) box.scrollTop = top + rowHeight - box.clientHeight;
  }

  _scrolled = () => {
    if (this._frame) return;
    this._frame = requestAnimationFrame(() => {
      this._frame = 0;
      if (this._box.current) this.setState({ top: this._box.current.scrollTop });
    });
  };

  _loadMore() {
    const { items, rowHeight, onEnd } = this.props;
    if (onEnd && this.state.top + 3 * this.state.height > items.length * rowHeight) onEnd();
  }

  /** Move the selection by `step`; without a selection, select the first row. */
  move(step) {
    const { items, onChoose } = this.props;
    if (!items.length) return;
    const index = this._index();
    const next = index < 0 ? 0 : Math.min(Math.max(index + step, 0), items.length - 1);
    onChoose(items[next]);
  }

  open() {
    const item = this.props.items[this._index()];
    if (item && this.props.onOpen) this.props.onOpen(item);
  }

  render({ items, rowHeight, keyOf, row, label, chosen, onChoose, onOpen, total, empty, name = "list" }, { top, height }) {
    const first = Math.max(Math.floor(top / rowHeight) - OVERSCAN, 0);
    const last = Math.min(Math.ceil((top + height) / rowHeight) + OVERSCAN, items.length);
    const selected = this._index();
    const rendered = selected >= first && selected < last;
    return html`<div class="list-box" ref=${this._box} onScroll=${this._scrolled}>
      ${items.length === 0 && empty}
      <div
        class="list"
        role="listbox"
        tabindex="0"
        aria-label=${label}
        aria-activedescendant=${rendered ? `${name}-${selected}` : undefined}
        hidden=${items.length === 0}
        style=${{ height: `${items.length * rowHeight}px` }}
      >
        ${items.slice(first, last).map((item, index) => {
          const at = first + index;
          const key = keyOf(item);
          return html`<div
            key=${key}
            id=${`${name}-${at}`}
            class="row"
            role="option"
            aria-selected=${key === chosen ? "true" : "false"}
            aria-setsize=${total ?? -1}
            aria-posinset=${at + 1}
            style=${{ transform: `translateY(${at * rowHeight}px)`, height: `${rowHeight}px` }}
            onClick=${() => (onOpen ? onOpen(item) : onChoose(item))}
          >
            ${row(item)}
          </div>`;
        })}
      </div>
    </div>`;
  }
}

/** The list that j, k and Enter control: the one that was mounted last. */
List.current = null;
