// Follows the changes of a thread: server-sent events, read with `fetch`, because `EventSource` sends no token.

import { ask } from "./api.js";

/** The events of an answer, one after the other. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { data: [] };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) yield { name: event.name ?? "message", id: event.id, data: event.data.join("\n") };
        event = { data: [] };
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") event.data.push(text);
      else if (field === "event") event.name = text;
      else if (field === "id") event.id = text;
    }
  }
}

/**
 * Follows a thread until `stop` is called or the thread is deleted. It disconnects while the page is
 * hidden, because a browser has few connections to one server.
 */
export class Follow {
  #abort = new AbortController();
  #stopped = false;

  /** `open` is called when the stream has begun, so that earlier changes can be read. */
  constructor(id, { open, update, gone }) {
    Object.assign(this, { id, open, update, gone });
    this.onvisible = () => { if (document.hidden) this.#abort.abort(); else this.wake?.(); };
    document.addEventListener("visibilitychange", this.onvisible);
    this.#run();
  }

  stop() {
    this.#stopped = true;
    document.removeEventListener("visibilitychange", this.onvisible);
    this.#abort.abort();
    this.wake?.();
  }

  async #run() {
    let pause = 0;
    while (!this.#stopped) {
      if (document.hidden) await new Promise((resolve) => { this.wake = resolve; });
      if (this.#stopped) return;
      this.#abort = new AbortController();
      try {
        const response = await ask(`threads/${this.id}/stream?stream_modes=state_update`, { signal: this.#abort.signal, headers: { accept: "text/event-stream" } });
        this.open();
        pause = 500;
        for await (const { name, data } of events(response)) {
          if (this.#stopped) return;
          if (name === "state_update") this.update(JSON.parse(data));
        }
      } catch (error) {
        if (this.#stopped) return;
        if (error.status === 404) this.gone();
        if (error.status >= 400 && error.status < 500 && error.status !== 408 && error.status !== 429) return;
      }
      if (document.hidden) continue;
      await new Promise((resolve) => { this.wake = resolve; setTimeout(resolve, pause); });
      pause = Math.min(10_000, Math.max(500, pause * 2));
    }
  }
}
