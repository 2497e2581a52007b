// The checkpoints of a thread as a graph of branches, newest first.

import * as api from "./api.js";
import { ago, at } from "./clock.js";
import { line, textOf } from "./content.js";
import { compare } from "./diff.js";
import { dialog, el, iconButton, notice, svg } from "./dom.js";

const PAGE = 100;
const HEIGHT = 44;
const LANE = 14;
const MOST_LANES = 12;
const FIELDS = ["metadata", "created_at", "checkpoint_id", "parent_checkpoint_id"];
/** Maximum length of a state's messages that are read with each checkpoint, in UTF-16 units. */
const SHORT = 15_000;

const SOURCES = { input: "input", loop: "step", update: "edit", fork: "fork" };

/** The origin of a checkpoint: node, source and step. */
function made(metadata) {
  const nodes = metadata?.writes && typeof metadata.writes === "object" ? Object.keys(metadata.writes) : [];
  const node = nodes.find((name) => name !== "__start__") ?? metadata?.as_node ?? metadata?.langgraph_node;
  return { node: typeof node === "string" ? line(node, 60).replace(/^__|__$/g, "") : "", source: SOURCES[metadata?.source] ?? line(metadata?.source ?? "", 20), step: Number.isInteger(metadata?.step) ? metadata.step : null };
}

/** For each checkpoint its lane, and the lines that pass through its row: `{from, to, half}`. */
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

const lastOf = (checkpoint) => checkpoint?.values?.messages?.at?.(-1);

/** The history panel of a thread. `forked` is called after a fork. `messages` returns those of its newest state. */
export class Time {
  #checkpoints = [];
  /** The beginnings of the messages that checkpoints have added. */
  #texts = new Map();
  #isComplete = false;
  #loading = false;
  #current = "";

  constructor(id, { forked, close, messages }) {
    Object.assign(this, { id, forked, close, messages });
    this.rows = el("ol", { class: "checkpoints", "aria-label": "Checkpoints, newest first" });
    this.scroller = el("div", { class: "time-scroll", tabindex: "0", role: "region", "aria-label": "Checkpoints" }, this.rows);
    this.node = el("aside", { class: "time", "aria-label": "History" },
      el("header", { class: "panel-head" }, el("h2", {}, "History"), iconButton("close", "Close history", close)), this.scroller);
    this.rows.addEventListener("click", ({ target }) => { if (target.closest("a")) this.#leave(); });
    this.scroller.addEventListener("scroll", () => {
      if (this.scroller.scrollTop + this.scroller.clientHeight > this.scroller.scrollHeight - 600) this.#more();
    }, { passive: true });
    this.load();
  }

  /** Closes a panel that covers the thread, so that the chosen state is visible. */
  #leave() { if (getComputedStyle(this.node).position === "absolute") this.close(); }

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

  /** A page of checkpoints, with their messages if those are short. */
  async #read(options) {
    const messages = this.messages();
    const isShort = messages?.length <= PAGE && JSON.stringify(messages).length < SHORT;
    const found = await api.history(this.id, { limit: PAGE, select: isShort ? [...FIELDS, "values.messages"] : FIELDS, ...options });
    const byId = new Map(found.map((one) => [one.checkpoint_id, one]));
    for (const one of found) {
      const last = lastOf(one);
      if (!last || JSON.stringify(last) === JSON.stringify(lastOf(byId.get(one.parent_checkpoint_id)))) continue;
      this.#texts.set(one.checkpoint_id, line(textOf(last.content), 80) || line(last.tool_calls?.[0]?.name, 80));
    }
    // The values are not kept.
    return found.map(({ values, ...one }) => one);
  }

  /** Reads the newest checkpoints again, and keeps the older ones that were read before. */
  async load() {
    try {
      const found = await this.#read({});
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
      const found = await this.#read({ before: this.#checkpoints.at(-1).checkpoint_id });
      const ids = new Set(this.#checkpoints.map((one) => one.checkpoint_id));
      this.#isComplete = found.length < PAGE;
      this.#checkpoints.push(...found.filter((one) => !ids.has(one.checkpoint_id)));
      this.#draw();
    } catch { /* The next scroll reads them again. */ }
    this.#loading = false;
  }

  #draw() {
    const drawn = lanes(this.#checkpoints);
    const width = 18 + Math.min(MOST_LANES, Math.max(0, ...drawn.flatMap(({ lane, lines }) => [lane, ...lines.map(({ from }) => from)]))) * LANE;
    this.rows.replaceChildren(...this.#checkpoints.map((checkpoint, at) => this.#row(checkpoint, drawn[at], width, at)));
    if (!this.#checkpoints.length) this.rows.append(el("li", { class: "list-note" }, "The thread has no state yet."));
    else for (const row of this.rows.children) this.#mark(row);
  }

  #row(checkpoint, drawn, width, place) {
    const { checkpoint_id: id, parent_checkpoint_id: parent, created_at: created } = checkpoint;
    const { node, source, step } = made(checkpoint.metadata);
    const name = step === null ? "Checkpoint" : step < 0 ? "Start" : `Step ${step}`;
    const text = this.#texts.get(id);
    return el("li", { class: "checkpoint", data: { id } }, graph(drawn, width),
      el("a", { href: place === 0 ? `#/threads/${this.id}` : `#/threads/${this.id}/${id}`, title: at(created) },
        el("span", { class: "checkpoint-name" }, name, place === 0 ? el("span", { class: "badge" }, "latest") : drawn.lane > 0 && el("span", { class: "tag" }, `branch ${drawn.lane + 1}`), el("time", {}, ago(created))),
        el("span", { class: "checkpoint-more" }, el("bdi", {}, node || source), text && el("bdi", {}, text))),
      el("span", { class: "checkpoint-actions" },
        iconButton("compare", `Compare ${name} with its parent`, () => this.#compare(id, parent, name)),
        iconButton("fork", `Fork from ${name}`, () => this.#fork(id, name))));
  }

  async #compare(id, parent, name) {
    try {
      const [after, before] = await Promise.all([api.state(this.id, id), parent ? api.state(this.id, parent) : { values: {} }]);
      await dialog(`Changes of ${name}`, compare(before.values, after.values), [["", "Close"]]);
    } catch (error) {
      notice(error.message);
    }
  }

  async #fork(id, name) {
    const text = el("p", {}, `The thread continues from ${name}: its state becomes the newest one, on a new branch. Later checkpoints stay in the history.`);
    if (await dialog(`Fork from ${name}?`, text, [["", "Cancel"], ["fork", "Fork", "primary"]]) !== "fork") return;
    try {
      await api.write(this.id, { checkpoint_id: id, values: {} });
      await this.load();
      this.#leave();
      this.forked();
      notice(`Forked from ${name}.`, { seconds: 4 });
    } catch (error) {
      notice(error.message);
    }
  }
}
