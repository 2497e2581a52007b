// A thread's checkpoints as a graph of branches, newest first.

import * as api from "./api.js";
import { ago, at } from "./clock.js";
import { line } from "./content.js";
import { compare } from "./diff.js";
import { dialog, el, iconButton, notice, svg } from "./dom.js";

const PAGE = 100;
const HEIGHT = 44;
const LANE = 14;
const MOST_LANES = 12;
const FIELDS = ["metadata", "created_at", "checkpoint_id", "parent_checkpoint_id"];

const SOURCES = { input: "input", loop: "step", update: "edit", fork: "fork" };

/** What made a checkpoint, in a word or two. */
function made(metadata) {
  const nodes = metadata?.writes && typeof metadata.writes === "object" ? Object.keys(metadata.writes) : [];
  const node = nodes.find((name) => name !== "__start__") ?? metadata?.as_node ?? metadata?.langgraph_node;
  return { node: typeof node === "string" ? line(node, 60) : "", source: SOURCES[metadata?.source] ?? line(metadata?.source ?? "", 20), step: Number.isInteger(metadata?.step) ? metadata.step : null };
}

/** For each checkpoint its lane, and the lines that pass it or end at it: `[from, to, upper, lower]`. */
export function lanes(checkpoints) {
  let open = [];
  return checkpoints.map(({ checkpoint_id: id, parent_checkpoint_id: parent }) => {
    let lane = open.indexOf(id);
    if (lane < 0) {
      lane = open.indexOf(null);
      if (lane < 0) lane = open.length;
    }
    const before = open;
    const after = [...open];
    after[lane] = parent ?? null;
    for (let at = 0; at < after.length; at += 1) if (at !== lane && after[at] === id) after[at] = null;
    const lines = [];
    before.forEach((expected, at) => {
      if (expected === id) lines.push({ from: at, to: lane, half: "upper" });
      else if (expected !== null) lines.push({ from: at, to: at, half: "both" });
    });
    if (parent) lines.push({ from: lane, to: lane, half: "lower" });
    while (after.length && after.at(-1) === null) after.pop();
    open = after;
    return { lane, lines };
  });
}

function graph({ lane, lines }, width) {
  const x = (at) => 9 + Math.min(at, MOST_LANES) * LANE;
  const middle = HEIGHT / 2;
  const node = svg("svg", { width, height: HEIGHT, class: "graph", "aria-hidden": "true", viewBox: `0 0 ${width} ${HEIGHT}` });
  for (const { from, to, half } of lines) {
    const [y1, y2] = half === "both" ? [0, HEIGHT] : half === "upper" ? [0, middle] : [middle, HEIGHT];
    const path = from === to ? `M${x(from)} ${y1}V${y2}` : `M${x(from)} ${y1}C${x(from)} ${y2 * 0.8} ${x(to)} ${y2 * 0.2} ${x(to)} ${y2}`;
    node.append(svg("path", { d: path, class: `lane lane-${Math.max(from, to) % 4}` }));
  }
  node.append(svg("circle", { cx: x(lane), cy: middle, r: 4.5, class: `dot lane-${lane % 4}` }));
  return node;
}

/** The panel of a thread. `forked` is called after a fork. */
export class Time {
  #checkpoints = [];
  #isComplete = false;
  #loading = false;
  #current = "";

  constructor(id, { forked, close }) {
    Object.assign(this, { id, forked });
    this.rows = el("ol", { class: "checkpoints", "aria-label": "Checkpoints, newest first" });
    this.scroller = el("div", { class: "time-scroll", tabindex: "0", role: "region", "aria-label": "History" }, this.rows);
    this.node = el("aside", { class: "time", "aria-label": "Time" },
      el("header", { class: "panel-head" }, el("h2", {}, "Time"), iconButton("close", "Close history", close)), this.scroller);
    this.scroller.addEventListener("scroll", () => {
      if (this.scroller.scrollTop + this.scroller.clientHeight > this.scroller.scrollHeight - 600) this.#more();
    }, { passive: true });
    this.load();
  }

  set current(id) {
    this.#current = id ?? "";
    for (const row of this.rows.children) this.#mark(row);
  }

  #mark(row) {
    const isCurrent = this.#current ? row.dataset.id === this.#current : row === this.rows.firstElementChild;
    row.classList.toggle("is-current", isCurrent);
    const link = row.querySelector("a");
    if (isCurrent) link.setAttribute("aria-current", "step"); else link.removeAttribute("aria-current");
  }

  /** Reads the newest checkpoints again, with those below that are known. */
  async load() {
    try {
      const found = await api.history(this.id, { limit: PAGE, select: FIELDS });
      const ids = new Set(found.map((one) => one.checkpoint_id));
      const last = this.#checkpoints.findIndex((one) => ids.has(one.checkpoint_id));
      const known = last < 0 ? [] : this.#checkpoints.filter((one) => !ids.has(one.checkpoint_id));
      this.#isComplete = found.length < PAGE || (known.length > 0 && this.#isComplete);
      this.#checkpoints = [...found, ...known];
      this.#draw();
    } catch (error) {
      this.rows.replaceChildren(el("li", { class: "list-note" }, error.message));
    }
  }

  async #more() {
    if (this.#isComplete || this.#loading || !this.#checkpoints.length) return;
    this.#loading = true;
    try {
      const found = await api.history(this.id, { limit: PAGE, select: FIELDS, before: this.#checkpoints.at(-1).checkpoint_id });
      const ids = new Set(this.#checkpoints.map((one) => one.checkpoint_id));
      this.#isComplete = found.length < PAGE;
      this.#checkpoints.push(...found.filter((one) => !ids.has(one.checkpoint_id)));
      this.#draw();
    } catch { /* Scrolling asks again. */ }
    this.#loading = false;
  }

  #draw() {
    const drawn = lanes(this.#checkpoints);
    const width = 18 + Math.min(MOST_LANES, Math.max(0, ...drawn.flatMap(({ lane, lines }) => [lane, ...lines.map(({ from }) => from)]))) * LANE;
    this.rows.replaceChildren(...this.#checkpoints.map((checkpoint, at) => this.#row(checkpoint, drawn[at], width, at)));
    if (!this.#checkpoints.length) this.rows.append(el("li", { class: "list-note" }, "No state was written yet."));
    else for (const row of this.rows.children) this.#mark(row);
  }

  #row(checkpoint, drawn, width, place) {
    const { checkpoint_id: id, parent_checkpoint_id: parent, created_at: created } = checkpoint;
    const { node, source, step } = made(checkpoint.metadata);
    const name = step === null ? "Checkpoint" : `Step ${step}`;
    return el("li", { class: "checkpoint", data: { id } }, graph(drawn, width),
      el("a", { href: place === 0 ? `#/threads/${this.id}?time` : `#/threads/${this.id}/${id}?time`, title: at(created) },
        el("span", { class: "checkpoint-name" }, name, place === 0 && el("span", { class: "badge" }, "now")),
        el("span", { class: "checkpoint-more" }, node && el("bdi", {}, node), el("span", {}, source), el("span", {}, ago(created)))),
      el("span", { class: "checkpoint-actions" },
        iconButton("compare", `Compare ${name} with its parent`, () => this.#compare(id, parent, name)),
        iconButton("fork", `Fork from ${name}`, () => this.#fork(id, name))));
  }

  async #compare(id, parent, name) {
    try {
      const [after, before] = await Promise.all([api.state(this.id, id), parent ? api.state(this.id, parent) : { values: {} }]);
      await dialog(`What ${name} has changed`, compare(before.values, after.values), [["", "Close"]]);
    } catch (error) {
      notice(error.message);
    }
  }

  async #fork(id, name) {
    const text = el("p", {}, `The thread goes on from ${name}: its state becomes the newest one, as a new branch. What came after it stays in the history.`);
    if (await dialog(`Fork from ${name}?`, text, [["", "Cancel"], ["fork", "Fork", "primary"]]) !== "fork") return;
    try {
      await api.write(this.id, { checkpoint_id: id, values: {} });
      await this.load();
      this.forked();
      notice(`Forked from ${name}.`, { seconds: 4 });
    } catch (error) {
      notice(error.message);
    }
  }
}
