// A long conversation: items of different heights, of which only those near the view are in the
// document. The item at the top of the view keeps its place when items above it change. At the end
// of the conversation the view follows the end.

/** Maximum distance from the end that counts as the end, in pixels: one line. */
const NEAR = 24;
const BEYOND = 900;
const KEPT = 300;

/** `render(item)` creates an element, `estimate(item)` returns its approximate height. */
export class Feed {
  items = [];
  #index = new Map();
  #heights = new Map();
  #offsets = new Float64Array(1);
  #nodes = new Map();
  #kept = new Map();
  #anchor = null;
  #isAtEnd = true;
  /** The position that this feed has scrolled to by itself. */
  #set = -1;
  #heldUntil = 0;
  #pending = 0;

  constructor(scroller, inner, { render, estimate, onscroll }) {
    Object.assign(this, { scroller, inner, render, estimate, onscroll });
    this.sizes = new ResizeObserver((entries) => this.#measured(entries));
    this.sizes.observe(scroller);
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      document.addEventListener(kind, () => { this.#heldUntil = 0; }, { passive: true, capture: true });
    }
    // An item that the user opens keeps its place.
    inner.addEventListener("click", ({ target }) => {
      const key = target.closest("summary, .quiet") && target.closest("[data-key]")?.dataset.key;
      if (!this.#index.has(key)) return;
      this.#isAtEnd = false;
      this.#anchor = { key, delta: scroller.scrollTop - inner.offsetTop - this.#offsets[this.#index.get(key)] };
    }, true);
  }

  get isAtEnd() { return this.#isAtEnd; }

  /** Shows these items. Each has a `key`, and a `version` that changes with its content. */
  set(items) {
    this.items = items;
    // The role `feed` requires at least one article.
    this.inner.setAttribute("role", items.length ? "feed" : "group");
    this.#index = new Map(items.map((item, at) => [item.key, at]));
    for (const [key, node] of this.#nodes) {
      const item = items[this.#index.get(key)];
      if (item?.version === node.version) continue;
      this.#take(key, node);
    }
    this.#kept.clear();
    for (const key of this.#heights.keys()) if (!this.#index.has(key)) this.#heights.delete(key);
    this.#layOut();
    this.#settle();
  }

  toEnd() {
    this.#isAtEnd = true;
    // A scroll that is not caused by an input in the next 2 seconds belongs to the previous content.
    this.#heldUntil = performance.now() + 2000;
    this.#settle();
  }

  /** Scrolls an item to the upper third of the view. Returns whether it exists. */
  to(key) {
    const at = this.#index.get(key);
    if (at === undefined) return false;
    this.#isAtEnd = false;
    this.#anchor = { key, delta: -Math.round(this.scroller.clientHeight / 5) };
    this.#settle();
    return true;
  }

  /** The element of an item, if it is in the document. */
  node(key) { return this.#nodes.get(key)?.element; }

  #take(key, node) {
    this.sizes.unobserve(node.element);
    node.element.remove();
    this.#nodes.delete(key);
  }

  #layOut() {
    const { items } = this;
    if (this.#offsets.length <= items.length) this.#offsets = new Float64Array(items.length * 2 + 16);
    const offsets = this.#offsets;
    let sum = 0;
    for (let at = 0; at < items.length; at += 1) {
      offsets[at] = sum;
      const item = items[at];
      sum += this.#heights.get(item.key) ?? (item.estimate ??= this.estimate(item));
    }
    offsets[items.length] = sum;
    this.inner.style.height = `${sum}px`;
  }

  /** The index of the item at a position, by binary search. */
  #at(place) {
    let low = 0;
    let high = this.items.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#offsets[middle] <= place) low = middle; else high = middle - 1;
    }
    return low;
  }

  /** Draws and measures until all items in view have their real heights and positions. */
  #settle() {
    for (let round = 0; round < 6; round += 1) {
      this.#place();
      if (!this.#measure(this.#draw())) break;
    }
    this.#place();
    this.#position();
    this.onscroll?.();
  }

  #place() {
    const { scroller } = this;
    const end = this.#offsets[this.items.length] + (this.inner.offsetTop || 0);
    let top = scroller.scrollTop;
    if (this.#isAtEnd) top = scroller.scrollHeight - scroller.clientHeight;
    else if (this.#anchor && this.#index.has(this.#anchor.key)) {
      top = this.#offsets[this.#index.get(this.#anchor.key)] + this.#anchor.delta + this.inner.offsetTop;
    }
    top = Math.max(0, Math.min(top, Math.max(end, scroller.scrollHeight) - scroller.clientHeight));
    if (Math.abs(scroller.scrollTop - top) >= 0.5) {
      scroller.scrollTop = top;
      this.#set = scroller.scrollTop;
    }
  }

  /** Adds the items near the view and removes the others. Returns the new elements. */
  #draw() {
    const top = this.scroller.scrollTop - this.inner.offsetTop;
    const first = this.#at(top - BEYOND);
    const last = this.#at(top + this.scroller.clientHeight + BEYOND);
    const wanted = new Set();
    const drawn = [];
    let before = null;
    for (let at = first; at <= last && at < this.items.length; at += 1) {
      const item = this.items[at];
      wanted.add(item.key);
      const known = this.#nodes.get(item.key);
      if (known) { before = known.element; continue; }
      let node = this.#kept.get(item.key);
      this.#kept.delete(item.key);
      if (node?.version !== item.version) node = { version: item.version, element: this.render(item) };
      node.element.setAttribute("aria-posinset", at + 1);
      node.element.setAttribute("aria-setsize", this.items.length);
      this.#nodes.set(item.key, node);
      // In the order of the conversation, for screen readers.
      this.inner.insertBefore(node.element, before ? before.nextSibling : this.inner.firstChild);
      before = node.element;
      this.sizes.observe(node.element);
      drawn.push(node.element);
    }
    for (const [key, node] of this.#nodes) {
      if (wanted.has(key) || node.element.contains(document.activeElement)) continue;
      this.#take(key, node);
      // Kept with its open parts.
      this.#kept.set(key, node);
      if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
    }
    return drawn;
  }

  #position() {
    for (const [key, { element }] of this.#nodes) {
      const at = this.#index.get(key);
      if (at !== undefined) element.style.transform = `translateY(${this.#offsets[at]}px)`;
    }
  }

  #measured(entries) {
    const targets = entries.map(({ target }) => target);
    if (this.#measure(targets.filter((target) => target.isConnected)) || targets.includes(this.scroller)) this.#settle();
  }

  /** Measures elements. Returns whether a height has changed. */
  #measure(elements) {
    let changed = false;
    for (const element of elements) {
      const { key } = element.dataset;
      const height = element.offsetHeight;
      if (!this.#index.has(key) || this.#heights.get(key) === height) continue;
      this.#heights.set(key, height);
      changed = true;
    }
    if (changed) this.#layOut();
    return changed;
  }

  #scrolled() {
    if (performance.now() < this.#heldUntil) this.#place();
    else if (Math.abs(this.scroller.scrollTop - this.#set) >= 1) this.#remember();
    this.#pending ||= requestAnimationFrame(() => {
      this.#pending = 0;
      if (this.#measure(this.#draw())) this.#place();
      this.#position();
      this.onscroll?.();
    });
  }

  /** Anchors the view to the first item whose beginning is in view, or to the one that fills it. */
  #remember() {
    const { scroller } = this;
    this.#isAtEnd = scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - NEAR;
    if (!this.items.length) return;
    const top = scroller.scrollTop - this.inner.offsetTop;
    let at = this.#at(top);
    if (this.#offsets[at] < top && at + 1 < this.items.length && this.#offsets[at + 1] < top + scroller.clientHeight - NEAR) at += 1;
    this.#anchor = { key: this.items[at].key, delta: top - this.#offsets[at] };
  }
}
