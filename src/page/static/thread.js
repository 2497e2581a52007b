// One thread: its conversation, its other channels, and its past.

import * as api from "./api.js";
import { ago, at } from "./clock.js";
import { LISTED, STATUS, line, questionOf, rowOf } from "./content.js";
import { el, iconButton, menu, notice } from "./dom.js";
import { Feed } from "./feed.js";
import { estimate, itemsOf, render } from "./message.js";
import { Follow } from "./stream.js";
import { Time } from "./time.js";
import { tree } from "./tree.js";

const asksOf = (state) => (state.tasks ?? []).flatMap((task) => task.interrupts ?? []);

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
  #pending = 0;
  /** The messages of the newest state. */
  #newest = null;

  constructor({ threads, tidy, leave, composer }) {
    Object.assign(this, { threads, tidy, leave, composer });
    this.title = el("button", { type: "button", class: "title", title: "Rename", onclick: () => this.rename() });
    this.facts = el("span", { class: "facts" });
    this.tags = el("span", { class: "tags" });
    this.pin = iconButton("pin", "Pin", () => tidy.pin([this.#id], !this.row?.pinned), { "aria-pressed": "false" });
    this.clock = iconButton("clock", "History", () => this.toggleTime(), { "aria-pressed": "false" });
    this.actions = el("div", { class: "thread-actions" }, this.pin, this.clock, menu(iconButton("more", "More", () => {}), () => this.#entries()));
    this.tabs = el("div", { class: "tabs", role: "group", "aria-label": "What to show" },
      ["Conversation", "State"].map((name, at) => el("button", { type: "button", onclick: () => this.#show(at === 1) }, name)));
    this.head = el("header", { class: "thread-head" },
      iconButton("back", "Back to the list", leave, { class: "icon-button back" }),
      el("div", { class: "thread-title" }, el("h1", {}, this.title), el("div", { class: "thread-facts" }, this.facts, this.tags)),
      this.tabs, this.actions);
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
  /** The interrupts of the thread: those of the server, else those of the last run here. */
  get interrupts() {
    const known = this.#shown?.interrupts ?? [];
    return known.length ? known : this.composer?.asked(this.#id) ?? [];
  }
  get row() { return this.#shown && rowOf(this.#shown.thread); }

  /** Shows a thread: its state at a checkpoint, or its current state. */
  async show(id, { checkpoint = "", message = "" } = {}) {
    const isOther = id !== this.#id || checkpoint !== this.#checkpoint;
    if (id !== this.#id) {
      this.#follow?.stop();
      this.#follow = null;
      if (this.#time) { this.#time.node.remove(); this.#time = null; }
      this.#shown = this.#newest = null;
    }
    this.#id = id;
    this.#checkpoint = checkpoint;
    this.node.hidden = !id;
    if (!id) { this.#blank(""); return; }
    if (this.#time) this.#time.current = checkpoint;
    this.composer?.shown(id, Boolean(checkpoint));
    if (!isOther) { if (message) this.#find(message); return; }
    const number = ++this.#number;
    const key = `${id}/${checkpoint}`;
    this.#blank("");
    // Most answers arrive sooner.
    setTimeout(() => { if (number === this.#number && !this.#shown && !this.note.textContent) this.note.textContent = "Loading…"; }, 250);
    if (!checkpoint) this.#follow ??= this.#followed(id);
    try {
      const loaded = await this.#load(id, checkpoint);
      // An answer for another address than the current one is dropped.
      if (key !== `${this.#id}/${this.#checkpoint}` || (this.#shown === loaded && number !== this.#number)) return;
      if (this.threads.isHidden(id)) { this.leave(); return; }
      this.#draw(loaded, true, message);
    } catch (error) {
      if (key === `${this.#id}/${this.#checkpoint}` && !this.#shown) {
        this.#blank(error.status === 404 || error.status === 422 ? "There is no such thread, or it is not yours." : error.message);
      }
    }
  }

  /** Concurrent loads of the same state share one request. */
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
    const [{ threads: [thread] }, state] = await Promise.all([api.search({ ids: [id], select: LISTED }), api.state(id, checkpoint)]);
    if (!thread || !state.checkpoint) throw new api.Failure("There is no such checkpoint.", 404);
    return { thread, values: state.values ?? {}, state, interrupts: asksOf(state) };
  }

  #followed(id) {
    let opened = false;
    const isHere = () => this.#id === id;
    return new Follow(id, {
      open: () => { if (opened) this.reload(); opened = true; this.#check(id); },
      update: ({ state }) => {
        if (!isHere() || !this.#shown) return;
        this.#refresh();
        this.#time?.load();
        if (this.#checkpoint || this.composer?.isRunning(id)) return;
        this.#draw({ ...this.#shown, values: state.values ?? {}, interrupts: asksOf(state) }, false);
      },
      gone: () => { if (isHere() && this.#shown && !this.threads.isHidden(id)) { this.#blank("This thread was deleted."); this.threads.hide([id]); } },
    });
  }

  /** Reads the thread again if it was changed between the load and the beginning of the stream. */
  async #check(id) {
    try {
      await this.#loads.get(`${id}/`);
      const { threads: [thread] } = await api.search({ ids: [id], select: ["thread_id", "updated_at"] });
      if (this.#id === id && this.#shown && thread && thread.updated_at !== this.#shown.thread.updated_at) this.reload();
    } catch { /* The next event causes a reload. */ }
  }

  /** Reads the row of the list again, which would otherwise wait for the list's own interval. */
  #refresh() {
    this.#pending ||= setTimeout(async () => {
      this.#pending = 0;
      const id = this.#id;
      try {
        const { threads: [thread] } = id ? await api.search({ ids: [id], select: LISTED }, { patient: false }) : { threads: [] };
        const shown = this.#id === id && this.#shown?.thread;
        // Its values arrived by the stream. A question does not, so it has to be read.
        if (thread && shown && thread.status === shown.status && thread.status !== "interrupted") {
          Object.assign(shown, thread);
          this.#drawHead();
        }
        if (thread) this.threads.put(thread);
      } catch { /* The list reads it. */ }
    }, 100);
  }

  /** Reads the thread again. */
  async reload() {
    const id = this.#id;
    this.#refresh();
    try {
      const loaded = await this.#load(id, "");
      // If the agent's checkpoints are not stored here, the page shows more messages than the server has.
      const isPoorer = this.composer?.asked(id) && (loaded.values.messages?.length ?? 0) < (this.#shown?.values.messages?.length ?? 0);
      if (this.#id === id && !this.#checkpoint && !this.composer?.isRunning(id) && !isPoorer) this.#draw(loaded, false);
    } catch { /* The page keeps the previous state. */ }
  }

  /** Shows the values of an active run. */
  preview(values) {
    if (!this.#shown || this.#checkpoint) return;
    this.#draw({ ...this.#shown, values, interrupts: [] }, false);
  }

  /** Takes over changes of this thread from the list. */
  #changed() {
    const row = this.threads.get(this.#id);
    if (!row || !this.#shown || row.updated <= this.#shown.thread.updated_at) return;
    if (!this.#checkpoint) this.reload();
  }

  #blank(text) {
    this.#shown = null;
    this.note.textContent = text;
    this.note.hidden = false;
    this.tabs.hidden = this.actions.hidden = Boolean(text);
    this.title.textContent = this.threads.get(this.#id)?.title ?? "";
    this.facts.textContent = "";
    this.tags.replaceChildren();
    this.tail.replaceChildren();
    this.composer?.answers(false);
    this.past.hidden = true;
    this.state.hidden = true;
    this.feed.set([]);
    document.title = "thread-store";
  }

  #draw(loaded, isNew, message = "") {
    const before = isNew ? null : this.feed.items;
    this.#shown = loaded;
    if (!this.#checkpoint) this.#newest = loaded.values.messages;
    this.note.hidden = true;
    this.tabs.hidden = this.actions.hidden = false;
    this.#drawHead();
    const messages = Array.isArray(loaded.values.messages) ? loaded.values.messages : [];
    this.tail.replaceChildren(...this.interrupts.map(({ value }) => {
      const { text, rest } = questionOf(value);
      return el("section", { class: "interrupt", "aria-label": "Waiting for an answer" },
        el("h2", {}, "Waiting for an answer"), text && el("div", { class: "prose" }, el("p", {}, text)), rest !== undefined && tree(rest, undefined, true));
    }));
    this.composer?.answers(this.interrupts.length > 0);
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
    const row = rowOf(thread, values.messages);
    document.title = `${row.title} · thread-store`;
    if (!this.title.querySelector("input")) this.title.replaceChildren(el("bdi", {}, row.title));
    const count = Array.isArray(values.messages) ? values.messages.length : 0;
    this.facts.textContent = [count === 1 ? "1 message" : `${count.toLocaleString("en")} messages`, ...(state ? [] : [ago(thread.updated_at), thread.status === "idle" ? "" : STATUS[thread.status]]), row.archived ? "archived" : ""].filter(Boolean).join(" · ");
    this.tags.replaceChildren(...row.tags.map((tag) => el("bdi", { class: "tag" }, tag)));
    this.pin.setAttribute("aria-pressed", String(row.pinned));
    this.past.hidden = !state;
    if (!state) return;
    const step = state.metadata?.step;
    this.past.replaceChildren(el("span", {}, `As it was at ${Number.isInteger(step) ? `step ${step}, ` : ""}${at(state.created_at)}.`),
      el("a", { href: `#/threads/${this.#id}`, class: "button" }, "Back to now"));
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
      ...(channels.length ? channels.map(([name, value]) => tree(value, name)) : [el("p", { class: "hint" }, "None except messages.")]),
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
  toggleTime(is = !this.#time) {
    if (!is && this.#time) { this.#time.node.remove(); this.#time = null; }
    if (is && !this.#time) {
      this.#time = new Time(this.#id, { messages: () => this.#newest, close: () => this.toggleTime(false), forked: () => { location.hash = `#/threads/${this.#id}`; this.reload(); } });
      this.node.append(this.#time.node);
    }
    if (this.#time) this.#time.current = this.#checkpoint;
    this.clock.setAttribute("aria-pressed", String(Boolean(this.#time)));
    this.node.classList.toggle("has-time", Boolean(this.#time));
  }

  /** Lets the user edit the title. */
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
      ["archive", row?.archived ? "Remove from the archive" : "Archive", () => tidy.archive([id], !row?.archived).then(reload)],
      ["clock", "Expiry", () => tidy.ttl(id)],
      null,
      ["export", "Export as Markdown", () => tidy.save([id], "markdown")],
      ["export", "Export as JSON", () => tidy.save([id], "json")],
      ["link", "Copy link", () => tidy.copyLink(id)],
      ["disk", "Storage", () => tidy.storage(id)],
      null,
      ["trash", "Delete", () => this.remove(), "is-bad"],
    ];
  }

  /** Deletes the shown thread, unless the user undoes that. */
  remove() {
    const id = this.#id;
    this.tidy.remove([id]);
    this.leave();
  }
}
