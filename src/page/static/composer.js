// Sends messages to an agent and shows its answer as it arrives.

import * as api from "./api.js";
import { textOf } from "./content.js";
import { el, iconButton, notice } from "./dom.js";
import { events } from "./stream.js";

/** The input box below a conversation. `view` shows its thread. */
export class Composer {
  /** Active runs, by thread. */
  #runs = new Map();
  /** The interrupts at the end of the last run of this page, by thread. */
  #asked = new Map();
  #drafts = new Map();
  #assistant = null;
  #id = "";
  /** Whether to send as soon as the thread is loaded. */
  #isWanted = false;

  constructor() {
    this.box = el("textarea", { rows: 1, placeholder: "Send a message", "aria-label": "Message", maxlength: 200_000, oninput: () => { this.#isWanted = false; this.#drafts.set(this.#id, this.box.value); } });
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

  /** The interrupts of the thread's last run here; undefined if there was no run. */
  asked(id) { return this.#asked.get(id); }

  /** Switches to a thread. In a past state of a thread the box is hidden. */
  shown(id, isPast) {
    this.node.hidden = isPast;
    if (isPast || id !== this.#id) this.#isWanted = false;
    if (id === this.#id) return;
    this.#id = id;
    this.box.value = this.#drafts.get(id) ?? "";
    this.#draw();
  }

  /** Called when the thread is drawn. `is`: whether the text answers a question. */
  answers(is) {
    // A message must not answer a question that was not seen.
    if (is) this.#isWanted = false;
    else if (this.#isWanted && this.view.loaded) setTimeout(() => this.#send());
    this.box.placeholder = is ? "Answer the question" : "Send a message";
    this.box.setAttribute("aria-label", is ? "Answer" : "Message");
  }

  #draw() {
    const isRunning = this.isRunning(this.#id);
    this.stop.hidden = !isRunning;
    this.send.hidden = isRunning;
  }

  /** The agent's first assistant, which all threads use. */
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
    this.#isWanted = false;
    if (!text || this.isRunning(id)) return;
    this.#isWanted = !view.loaded;
    if (this.#isWanted) return;
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
        notice(error instanceof api.Failure ? error.message : "The answer was interrupted. Send the message again.", { kind: "is-bad" });
        // No run has started, so the text goes back into the box.
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

/** The user's answer to an interrupt: parsed if it is JSON, otherwise the text. */
function answerOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
