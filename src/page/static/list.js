// The list: rows of one height, of which only those near the view are in the document.

import { ago } from "./clock.js";
import { STATUS, readQuery } from "./content.js";
import { el, icon } from "./dom.js";

const ROW = 68;
/** Height of a hit below a row. */
const HIT = 21;
const BEYOND = 6;
/** Words that look like conditions. */
const UNREAD = /(^|\s)(status|tag|is|after|before):|^\{/;

/** A text with its hits marked. Places are in UTF-16 units. */
export function marked(text, places) {
  const parts = [];
  let end = 0;
  for (const [from, to] of [...places].sort((a, b) => a[0] - b[0])) {
    if (!(from >= end && to > from && to <= text.length)) continue;
    parts.push(text.slice(end, from), el("mark", {}, text.slice(from, to)));
    end = to;
  }
  parts.push(text.slice(end));
  return parts;
}

/** A list of threads. `select` is called when the selection changes, `offer` is shown if there are no threads. */
export class List {
  selected = new Set();
  #nodes = new Map();
  #current = "";
  #pending = 0;
  #last = "";

  constructor(threads, { select, offer }) {
    Object.assign(this, { threads, onselect: select, offer });
    this.rowsNode = el("div", { class: "rows", role: "list", "aria-label": "Threads" });
    this.note = el("div", { class: "list-note", role: "status" });
    this.node = el("div", { class: "list", tabindex: "-1" }, this.rowsNode, this.note);
    this.node.addEventListener("scroll", () => this.#soon(), { passive: true });
    this.node.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#soon()).observe(this.node);
    threads.addEventListener("change", () => this.#draw());
    threads.inView = () => [...this.#nodes.keys()];
    // Refreshes texts such as "2 min ago".
    setInterval(() => { for (const node of this.#nodes.values()) node.refresh(); }, 30_000);
  }

  /** Marks the thread that is open. */
  set current(id) {
    this.#current = id;
    this.#draw();
  }

  get height() {
    const { hasHits, rows } = this.threads;
    return ROW + HIT * (hasHits ? rows.reduce((most, row) => Math.max(most, Math.min(2, row.matches.length)), 0) : 0);
  }

  /** The thread after or before the one that is open. */
  beside(step) {
    const { rows } = this.threads;
    const at = rows.findIndex((row) => row.id === this.#current);
    return rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + step))]?.id;
  }

  clear() {
    this.selected.clear();
    this.#draw();
    this.onselect();
  }

  #soon() {
    if (!this.#pending) this.#pending = requestAnimationFrame(() => { this.#pending = 0; this.#draw(); });
  }

  #draw() {
    const { rows } = this.threads;
    const { height } = this;
    const { scrollTop, clientHeight } = this.node;
    const first = Math.max(0, Math.floor(scrollTop / height) - BEYOND);
    const end = Math.min(rows.length, Math.ceil((scrollTop + clientHeight) / height) + BEYOND);
    this.rowsNode.style.height = `${rows.length * height}px`;
    const wanted = new Set(rows.slice(first, end).map((row) => row.id));
    const focused = document.activeElement;
    for (const [id, node] of this.#nodes) {
      if (wanted.has(id) || (node.root.contains(focused) && this.threads.get(id))) continue;
      node.root.remove();
      this.#nodes.delete(id);
    }
    let next = this.rowsNode.firstChild;
    for (let at = first; at < end; at += 1) {
      const row = rows[at];
      let node = this.#nodes.get(row.id);
      if (!node) {
        node = this.#make(row);
        this.#nodes.set(row.id, node);
      }
      // In the order of the list, for screen readers and the Tab key.
      while (next && !wanted.has(next.dataset.id)) next = next.nextSibling;
      if (node.root === next) next = next.nextSibling;
      else this.rowsNode.insertBefore(node.root, next);
      node.place(at, height, rows.length);
      node.refresh();
    }
    if (focused !== document.activeElement && this.rowsNode.contains(focused)) focused.focus({ preventScroll: true });
    this.#say();
    if (end > rows.length - 40 && rows.length) this.threads.more();
    else if (!rows.length && !this.threads.isComplete) this.threads.more();
  }

  #say() {
    const { rows, isLoading, isSearch, error, asked } = this.threads;
    this.note.hidden = rows.length > 0;
    if (rows.length) return;
    const text = error || (isLoading ? "Loading…" : isSearch || asked.status || asked.time ? `Nothing matches.${UNREAD.test(readQuery(asked.text).words) ? " What looks like a condition was searched as words: the account menu lists the conditions." : ""}` : asked.archived && "Nothing is archived.");
    if (text) this.note.textContent = text;
    else if (!this.offer.isConnected) this.note.replaceChildren(this.offer);
  }

  #make(row) {
    const title = el("span", { class: "row-title", dir: "auto" });
    const time = el("time", { class: "row-time" });
    const preview = el("span", { class: "row-preview", dir: "auto" });
    const count = el("span", { class: "row-count" });
    const status = el("span", { class: "row-status" });
    const pin = el("span", { class: "row-pin", title: "Pinned" }, icon("pin"));
    const hits = el("span", { class: "row-hits", dir: "auto" });
    const check = el("input", { type: "checkbox", class: "row-check", "aria-label": "Select",
      onclick: (event) => this.#check(row.id, event) });
    const link = el("a", { class: "row-link", draggable: "false" },
      el("span", { class: "row-line" }, pin, title, time), el("span", { class: "row-line" }, preview, status, count), hits);
    const root = el("div", { class: "row", role: "listitem", data: { id: row.id } }, check, link);
    let drawn = "";
    let placed = "";
    return {
      root,
      place(at, height, total) {
        const place = `${at} ${height} ${total}`;
        if (place === placed) return;
        placed = place;
        root.style.transform = `translateY(${at * height}px)`;
        root.style.height = `${height}px`;
        root.setAttribute("aria-posinset", at + 1);
        root.setAttribute("aria-setsize", total);
      },
      refresh: () => {
        const now = this.threads.get(row.id) ?? row;
        const isCurrent = row.id === this.#current;
        const isSelected = this.selected.has(row.id);
        const isFirst = isCurrent || (!this.threads.get(this.#current) && this.threads.rows[0]?.id === row.id);
        const state = JSON.stringify([now, isCurrent, isSelected, isFirst, ago(now.updated)]);
        if (state === drawn) return;
        link.tabIndex = isFirst ? 0 : -1;
        drawn = state;
        link.href = `#/threads/${row.id}${now.matches[0]?.message_id ? `?message=${encodeURIComponent(now.matches[0].message_id)}` : ""}`;
        title.textContent = now.title;
        preview.textContent = now.preview;
        time.textContent = ago(now.updated);
        time.dateTime = now.updated;
        count.textContent = now.count ? String(now.count) : "";
        count.title = now.count ? `${now.count} messages` : "";
        pin.hidden = !now.pinned;
        status.hidden = now.status === "idle";
        status.textContent = STATUS[now.status] ?? now.status;
        status.dataset.status = now.status;
        hits.hidden = !now.matches.length;
        hits.replaceChildren(...now.matches.slice(0, 2).map((match) =>
          el("span", { class: "hit" }, marked(match.snippet, match.places))));
        if (isCurrent) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
        check.checked = isSelected;
        check.setAttribute("aria-label", `Select ${now.title}`);
        root.classList.toggle("is-current", isCurrent);
        root.classList.toggle("is-selected", isSelected);
      },
    };
  }

  #check(id, event) {
    const { rows } = this.threads;
    const is = !this.selected.has(id);
    const [from, to] = [this.#last, id].map((one) => rows.findIndex((row) => row.id === one)).sort((a, b) => a - b);
    const range = event.shiftKey && from >= 0 ? rows.slice(from, to + 1).map((row) => row.id) : [id];
    for (const one of range) this.selected[is ? "add" : "delete"](one);
    this.#last = id;
    this.#draw();
    this.onselect();
  }

  #key(event) {
    const row = event.target.closest?.(".row");
    const { rows } = this.threads;
    const at = rows.findIndex((one) => one.id === row?.dataset.id);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step !== undefined && rows.length) {
      event.preventDefault();
      this.focus(Math.max(0, Math.min(rows.length - 1, at + step)));
    } else if (event.key === "x" && row) {
      event.preventDefault();
      this.#check(row.dataset.id, event);
    }
  }

  /** Puts the focus on a row. */
  focus(at) {
    const { height } = this;
    const { scrollTop, clientHeight } = this.node;
    if (at * height < scrollTop) this.node.scrollTop = at * height;
    else if ((at + 1) * height > scrollTop + clientHeight) this.node.scrollTop = (at + 1) * height - clientHeight;
    this.#draw();
    this.#nodes.get(this.threads.rows[at]?.id)?.root.querySelector("a").focus({ preventScroll: true });
  }
}
