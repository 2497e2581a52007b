// One thread: its conversation, its other channels, and its past.

import * as api from "./api.js";
import { ago, at } from "./clock.js";
import { line, rowOf, selection } from "./content.js";
import { el, iconButton, menu, notice } from "./dom.js";
import { Feed } from "./feed.js";
import { estimate, itemsOf, render } from "./message.js";
import { Follow } from "./stream.js";
import { Time } from "./time.js";
import { tree } from "./tree.js";

/** The view of a thread. `leave` closes it. */
export class ThreadView {
  #id = "";
  #checkpoint = "";
  #number = 0;
  #loads = new Map();
  #shown = null;
  #follow = null;
  #time = null;
  #isStateShown = false;

  constructor({ threads, tidy, leave, composer }) {
    Object.assign(this, { threads, tidy, leave, composer });
    this.title = el("button", { type: "button", class: "title", title: "Rename", onclick: () => this.rename() });
    this.facts = el("span", { class: "facts" });
    this.tags = el("span", { class: "tags" });
    this.pin = iconButton("pin", "Pin", () => tidy.pin([this.#id], !this.row?.pinned), { "aria-pressed": "false" });
    this.clock = iconButton("clock", "History", () => this.toggleTime(), { "aria-pressed": "false" });
    const more = menu(iconButton("more", "More", () => {}), () => this.#entries());
    this.tabs = el("div", { class: "tabs", role: "group", "aria-label": "What to show" },
      ["Conversation", "State"].map((name, at) => el("button", { type: "button", onclick: () => this.#show(at === 1) }, name)));
    this.head = el("header", { class: "thread-head" },
      iconButton("back", "Back to the list", leave, { class: "icon-button back" }),
      el("div", { class: "thread-title" }, el("h1", {}, this.title), el("div", { class: "thread-facts" }, this.facts, this.tags)),
      this.tabs, el("div", { class: "thread-actions" }, this.pin, this.clock, more));
    this.past = el("div", { class: "past", role: "status", hidden: true });
    this.inner = el("div", { class: "feed-inner", "aria-label": "Messages" });
    this.tail = el("div", { class: "feed-tail" });
    this.scroller = el("div", { class: "feed", tabindex: "0", role: "region", "aria-label": "Conversation" }, this.inner, this.tail);
    this.state = el("div", { class: "state", tabindex: "0", role: "region", "aria-label": "State", hidden: true });
    this.down = iconButton("down", "To the end", () => this.feed.toEnd(), { class: "icon-button to-end", hidden: true });
    this.note = el("p", { class: "list-note", role: "status" });
    this.node = el("main", { class: "thread", "aria-label": "Thread", hidden: true },
      el("div", { class: "thread-main" }, this.head, this.past,
        el("div", { class: "thread-body" }, this.scroller, this.state, this.note, this.down), composer?.node));
    this.feed = new Feed(this.scroller, this.inner, { render, estimate, onscroll: () => { this.down.hidden = this.feed.isAtEnd || this.#isStateShown; } });
    threads.addEventListener("change", () => this.#changed());
    if (composer) composer.view = this;
  }

  get id() { return this.#id; }
  get loaded() { return this.#shown; }
  /** What is waited for: as the store knows it, or as an agent has just said. */
  get interrupts() {
    const known = this.#shown?.interrupts ?? [];
    return known.length ? known : this.composer?.asked(this.#id) ?? [];
  }
  get row() { return this.#shown && rowOf(this.#shown.thread); }

  /** Shows a thread, at a checkpoint or as it is now. */
  async show(id, { checkpoint = "", message = "", time = false } = {}) {
    const isOther = id !== this.#id || checkpoint !== this.#checkpoint;
    if (id !== this.#id) {
      this.#follow?.stop();
      this.#follow = null;
      if (this.#time) { this.#time.node.remove(); this.#time = null; }
      this.#shown = null;
    }
    this.#id = id;
    this.#checkpoint = checkpoint;
    this.node.hidden = !id;
    if (!id) { this.#blank(""); return; }
    this.toggleTime(time || Boolean(this.#time), checkpoint);
    this.composer?.shown(id, Boolean(checkpoint));
    if (!isOther) { if (message) this.#find(message); return; }
    const number = ++this.#number;
    const key = `${id}/${checkpoint}`;
    this.#blank("");
    // Most come sooner.
    setTimeout(() => { if (number === this.#number && !this.#shown && !this.note.textContent) this.note.textContent = "Loading…"; }, 250);
    if (!checkpoint) this.#follow ??= this.#followed(id);
    try {
      const loaded = await this.#load(id, checkpoint);
      // What is shown belongs to the address, whatever was asked for first.
      if (key !== `${this.#id}/${this.#checkpoint}` || (this.#shown === loaded && number !== this.#number)) return;
      if (this.threads.isHidden(id)) { this.leave(); return; }
      this.#draw(loaded, true, message);
    } catch (error) {
      if (key === `${this.#id}/${this.#checkpoint}` && !this.#shown) {
        this.#blank(error.status === 404 || error.status === 422 ? "There is no such thread, or it is not yours." : error.message);
      }
    }
  }

  /** One answer for all who wait for the same: going there and back does not ask again. */
  #load(id, checkpoint) {
    const key = `${id}/${checkpoint}`;
    if (!this.#loads.has(key)) {
      const loading = this.#ask(id, checkpoint);
      this.#loads.set(key, loading);
      loading.catch(() => {}).finally(() => this.#loads.delete(key));
    }
    return this.#loads.get(key);
  }

  async #ask(id, checkpoint) {
    if (!checkpoint) {
      const thread = await api.thread(id);
      return { thread, values: thread.values ?? {}, interrupts: Object.values(thread.interrupts ?? {}).flat() };
    }
    const [{ threads: [thread] }, state] = await Promise.all([api.search({ ids: [id], ...selection(this.threads.digest) }), api.state(id, checkpoint)]);
    if (!thread || !state.checkpoint) throw new api.Failure("There is no such checkpoint.", 404);
    return { thread, values: state.values ?? {}, state, interrupts: (state.tasks ?? []).flatMap((task) => task.interrupts ?? []) };
  }

  #followed(id) {
    let opened = false;
    const isHere = () => this.#id === id;
    return new Follow(id, {
      open: () => { if (opened) this.reload(); opened = true; this.#check(id); },
      update: ({ state }) => {
        if (!isHere() || this.#checkpoint || !this.#shown || this.composer?.isRunning(id)) return;
        this.#time?.load();
        this.#draw({ ...this.#shown, values: state.values ?? {} }, false);
      },
      gone: () => { if (isHere() && this.#shown && !this.threads.isHidden(id)) { this.#blank("This thread was deleted."); this.threads.hide([id]); } },
    });
  }

  /** Reads the thread again if it was changed between its reading and the first event. */
  async #check(id) {
    try {
      await this.#loads.get(`${id}/`);
      const { threads: [thread] } = await api.search({ ids: [id], select: ["thread_id", "updated_at"] });
      if (this.#id === id && this.#shown && thread && thread.updated_at !== this.#shown.thread.updated_at) this.reload();
    } catch { /* The next event tells. */ }
  }

  /** Reads the thread again. */
  async reload() {
    const id = this.#id;
    try {
      const loaded = await this.#load(id, "");
      // An agent whose checkpoints are not here has said more than is kept here.
      const isPoorer = this.composer?.asked(id) && (loaded.values.messages?.length ?? 0) < (this.#shown?.values.messages?.length ?? 0);
      if (this.#id === id && !this.#checkpoint && !this.composer?.isRunning(id) && !isPoorer) this.#draw(loaded, false);
    } catch { /* What is shown stays. */ }
  }

  /** Shows what an agent has said so far. */
  preview(values) {
    if (!this.#shown || this.#checkpoint) return;
    this.#draw({ ...this.#shown, values, interrupts: [] }, false);
  }

  /** What the list has learnt of this thread. */
  #changed() {
    const row = this.threads.get(this.#id);
    if (!row || !this.#shown || row.updated <= this.#shown.thread.updated_at) return;
    if (!this.#checkpoint) this.reload();
  }

  #blank(text) {
    this.#shown = null;
    this.note.textContent = text;
    this.note.hidden = false;
    this.title.textContent = this.threads.get(this.#id)?.title ?? "";
    this.facts.textContent = "";
    this.tags.replaceChildren();
    this.tail.replaceChildren();
    this.past.hidden = true;
    this.state.hidden = true;
    this.feed.set([]);
    document.title = "thread-store";
  }

  #draw(loaded, isNew, message = "") {
    const before = isNew ? null : this.feed.items;
    this.#shown = loaded;
    this.note.hidden = true;
    this.#drawHead();
    const messages = Array.isArray(loaded.values.messages) ? loaded.values.messages : [];
    this.tail.replaceChildren(...this.interrupts.map((one) => el("section", { class: "interrupt", "aria-label": "Waiting for an answer" },
      el("h2", {}, "Waiting for an answer"), typeof one.value === "string" ? el("p", { dir: "auto" }, one.value) : tree(one.value, undefined, true))));
    this.feed.set(itemsOf(messages, before));
    if (isNew) {
      this.#show(this.#isStateShown || (!messages.length && Object.keys(loaded.values).length > 0));
      if (message) this.#find(message); else this.feed.toEnd();
    } else if (this.#isStateShown) this.#drawState();
    if (!messages.length && !this.#isStateShown) {
      this.note.textContent = "No messages yet.";
      this.note.hidden = false;
    }
  }

  #drawHead() {
    const { thread, values, state } = this.#shown;
    const row = rowOf({ ...thread, extracted: thread.extracted ?? { first: values.messages?.[0], second: values.messages?.[1] } });
    document.title = `${row.title} · thread-store`;
    if (!this.title.querySelector("input")) this.title.replaceChildren(el("bdi", {}, row.title));
    const count = Array.isArray(values.messages) ? values.messages.length : 0;
    this.facts.textContent = [count === 1 ? "1 message" : `${count.toLocaleString("en")} messages`, ago(thread.updated_at), thread.status === "idle" ? "" : thread.status, row.archived ? "archived" : ""].filter(Boolean).join(" · ");
    this.tags.replaceChildren(...row.tags.map((tag) => el("bdi", { class: "tag" }, tag)));
    this.pin.setAttribute("aria-pressed", String(row.pinned));
    this.past.hidden = !state;
    if (!state) return;
    const step = state.metadata?.step;
    this.past.replaceChildren(el("span", {}, `As it was at ${Number.isInteger(step) ? `step ${step}, ` : ""}${at(state.created_at)}.`),
      el("a", { href: `#/threads/${this.#id}?time`, class: "button" }, "Back to now"));
  }

  #show(isState) {
    this.#isStateShown = isState;
    const [conversation, state] = this.tabs.children;
    conversation.setAttribute("aria-pressed", String(!isState));
    state.setAttribute("aria-pressed", String(isState));
    this.scroller.classList.toggle("is-away", isState);
    this.state.hidden = !isState;
    this.down.hidden = isState || this.feed.isAtEnd;
    if (isState) this.#drawState();
    else this.feed.set(this.feed.items);
  }

  #drawState() {
    if (!this.#shown) return;
    const { thread, values, state } = this.#shown;
    const channels = Object.entries(values).filter(([name]) => name !== "messages");
    this.state.replaceChildren(el("h2", {}, "Channels"),
      ...(channels.length ? channels.map(([name, value]) => tree(value, name)) : [el("p", { class: "hint" }, "None beside messages.")]),
      ...("messages" in values ? [tree(values.messages, "messages")] : []),
      el("h2", {}, "Metadata"), tree(thread.metadata ?? {}, undefined, true),
      ...(state ? [el("h2", {}, "Checkpoint"), tree(state.metadata ?? {}, undefined, true)] : []),
      el("p", { class: "hint id" }, thread.thread_id));
  }

  #find(message) {
    this.#show(false);
    if (!this.feed.to(message)) return;
    const node = this.feed.node(message);
    node?.classList.add("is-found");
    setTimeout(() => node?.classList.remove("is-found"), 2500);
  }

  /** Opens or closes the history. */
  toggleTime(is = !this.#time, checkpoint = this.#checkpoint) {
    if (!is && this.#time) { this.#time.node.remove(); this.#time = null; if (this.#checkpoint) location.hash = `#/threads/${this.#id}`; }
    if (is && !this.#time) {
      this.#time = new Time(this.#id, { close: () => this.toggleTime(false), forked: () => { location.hash = `#/threads/${this.#id}?time`; this.reload(); } });
      this.node.append(this.#time.node);
    }
    if (this.#time) this.#time.current = checkpoint;
    this.clock.setAttribute("aria-pressed", String(Boolean(this.#time)));
    this.node.classList.toggle("has-time", Boolean(this.#time));
  }

  /** Lets the person write another title. */
  rename() {
    const row = this.row;
    if (!row || this.title.querySelector("input")) return;
    const input = el("input", { value: row.title, class: "title-input", "aria-label": "Title", maxlength: 200, dir: "auto" });
    const id = this.#id;
    const heading = this.title.parentNode;
    let done = false;
    const finish = async (save) => {
      if (done) return;
      done = true;
      const text = line(input.value);
      input.replaceWith(this.title);
      if (!save || text === row.title || this.#id !== id) return;
      await this.tidy.rename(id, text);
      await this.reload();
      this.title.focus();
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") finish(true);
      else if (event.key === "Escape") { finish(false); this.title.focus(); }
    });
    input.addEventListener("blur", () => finish(true));
    heading.replaceChildren(input);
    input.select();
  }

  #entries() {
    const { tidy } = this;
    const id = this.#id;
    const row = this.row;
    const reload = () => this.reload();
    return [
      ["edit", "Rename", () => this.rename()],
      ["tag", "Tags", () => tidy.tags([id]).then(reload)],
      ["archive", row?.archived ? "Take out of the archive" : "Archive", () => tidy.archive([id], !row?.archived).then(reload)],
      ["clock", "When it ends", () => tidy.ttl(id)],
      null,
      ...(tidy.flags.query ? [["export", "Export as Markdown", () => tidy.save([id], "markdown")]] : []),
      ["export", "Export as JSON", () => tidy.save([id], "json")],
      ["link", "Copy link", () => tidy.copyLink(id)],
      ["archive", "Storage", () => tidy.storage(id)],
      null,
      ["trash", "Delete", () => this.remove(), "is-bad"],
    ];
  }

  /** Deletes the thread that is shown, unless that is taken back. */
  remove() {
    const id = this.#id;
    this.tidy.remove([id]);
    this.leave();
  }
}
