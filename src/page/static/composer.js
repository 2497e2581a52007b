// Messages to an agent, whose answer is shown as it arrives.

import * as api from "./api.js";
import { textOf } from "./content.js";
import { el, iconButton, notice } from "./dom.js";
import { events } from "./stream.js";

/** The box below a conversation. `view` shows the thread that it is for. */
export class Composer {
  /** What is under way, by thread. */
  #runs = new Map();
  /** What agents have asked for at the end of a run, by thread: all threads of this map had one. */
  #asked = new Map();
  #drafts = new Map();
  #assistant = null;
  #id = "";

  constructor() {
    this.box = el("textarea", { rows: 1, placeholder: "Send a message", "aria-label": "Message", maxlength: 200_000, oninput: () => this.#drafts.set(this.#id, this.box.value) });
    this.send = iconButton("send", "Send", () => this.#send(), { class: "primary" });
    this.stop = iconButton("stop", "Stop", () => this.#stop(), { hidden: true });
    this.node = el("div", { class: "composer" }, this.box, this.stop, this.send);
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      this.#send();
    });
  }

  isRunning(id) { return this.#runs.has(id); }

  /** What an agent waits for, as far as it has said so here; undefined for a thread without a run. */
  asked(id) { return this.#asked.get(id); }

  /** Belongs to another thread from now on, or to its past, where nothing is sent. */
  shown(id, isPast) {
    this.node.hidden = isPast;
    if (id === this.#id) return;
    this.#id = id;
    this.box.value = this.#drafts.get(id) ?? "";
    this.#draw();
  }

  #draw() {
    const isRunning = this.isRunning(this.#id);
    this.stop.hidden = !isRunning;
    this.send.hidden = isRunning;
  }

  /** The agent's first assistant, which is everybody's. */
  async #assistantId() {
    this.#assistant ??= api.json("assistants/search", { method: "POST", body: { limit: 1 }, patient: true })
      .then(([first]) => first?.assistant_id ?? "agent");
    this.#assistant.catch(() => { this.#assistant = null; });
    return this.#assistant;
  }

  async #send() {
    const id = this.#id;
    const text = this.box.value.trim();
    const { view } = this;
    if (!text || this.isRunning(id) || !view.loaded) return;
    const run = { abort: new AbortController(), values: view.loaded.values, runId: "" };
    this.#runs.set(id, run);
    this.box.value = "";
    this.#drafts.delete(id);
    this.#draw();
    const isAnswer = view.interrupts.length > 0;
    this.#asked.set(id, []);
    const message = { id: crypto.randomUUID(), type: "human", content: text };
    const before = run.values.messages ?? [];
    this.#show(id, run, { ...run.values, messages: isAnswer ? before : [...before, message] });
    view.feed.toEnd();
    try {
      const body = { assistant_id: await this.#assistantId(), stream_mode: ["values", "messages-tuple"], on_disconnect: "continue", if_not_exists: "create",
        ...(isAnswer ? { command: { resume: answerOf(text) } } : { input: { messages: [message] } }) };
      const response = await api.ask(`threads/${id}/runs/stream`, { method: "POST", body, signal: run.abort.signal, headers: { accept: "text/event-stream" } });
      for await (const { name, data } of events(response)) this.#take(id, run, name, JSON.parse(data));
    } catch (error) {
      if (!run.abort.signal.aborted) {
        notice(error instanceof api.Failure ? error.message : "The answer broke off. Send the message again.", { kind: "is-bad" });
        // Nothing has begun: the message is still to be sent.
        if (!run.runId) { this.#drafts.set(id, text); this.#asked.delete(id); }
      }
    }
    this.#runs.delete(id);
    if (this.#id === id) {
      if (!this.box.value) this.box.value = this.#drafts.get(id) ?? "";
      this.#draw();
      view.reload();
    }
  }

  #take(id, run, name, data) {
    if (name === "metadata") run.runId = data.run_id ?? "";
    else if (name === "values") {
      const { __interrupt__: asked, ...values } = data;
      if (Array.isArray(asked)) this.#asked.set(id, asked);
      this.#show(id, run, values);
    }
    else if (name === "error") notice(`The agent failed: ${data.message ?? data.error ?? ""}`, { kind: "is-bad" });
    else if (name === "messages" && Array.isArray(data)) {
      const [chunk] = data;
      const messages = [...(run.values.messages ?? [])];
      const at = messages.findIndex((message) => message.id === chunk.id);
      if (at < 0) messages.push(chunk);
      else if (/Chunk$/.test(chunk.type ?? "")) messages[at] = { ...messages[at], content: textOf(messages[at].content) + textOf(chunk.content) };
      else messages[at] = chunk;
      this.#show(id, run, { ...run.values, messages });
    }
  }

  #show(id, run, values) {
    run.values = values;
    if (this.#id === id) this.view.preview(values);
  }

  async #stop() {
    const run = this.#runs.get(this.#id);
    if (!run) return;
    try {
      if (run.runId) await api.ask(`threads/${this.#id}/runs/${run.runId}/cancel`, { method: "POST", body: {} });
    } catch (error) {
      notice(error.message);
    }
    run.abort.abort();
  }
}

/** What a person answers to an interrupt: JSON if it is some, or else a text. */
function answerOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
