// Requests to the public API with the user's token. Requests that fail for now are sent again.

import * as clock from "./clock.js";
import * as session from "./session.js";

const BASE = new URL("../", document.baseURI);

/** A request that failed. The message is a sentence for the user. */
export class Failure extends Error {
  constructor(message, status, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

/** Dispatches `away` when requests begin to fail, and `back` when one is answered again. */
export const connection = new EventTarget();
let isAway = false;

function tell(away, text) {
  if (away === isAway && !text) return;
  isAway = away;
  connection.dispatchEvent(new CustomEvent(away ? "away" : "back", { detail: text }));
}

const wait = (milliseconds, signal) => new Promise((resolve, reject) => {
  const done = () => { clearTimeout(timer); removeEventListener("online", done); resolve(); };
  const timer = setTimeout(done, milliseconds);
  addEventListener("online", done);
  signal?.addEventListener("abort", () => { done(); reject(signal.reason); });
});

function explain(status, detail) {
  if (status === 0) return "The server cannot be reached.";
  if (status === 413) return "This is larger than the server accepts.";
  if (status === 429) return "You have sent too many requests at once. Wait a moment.";
  if (status === 502 || status === 503 || status === 504) return "The server is busy or starting.";
  if (status >= 500) return "The server failed. Its log names the cause.";
  return typeof detail === "string" ? detail.slice(0, 300) : "The server refused the request.";
}

async function once(path, { method = "GET", body, signal, headers = {}, keepalive, retriesToken = true }) {
  let access;
  try {
    access = await session.token();
  } catch (error) {
    throw new Failure(error.message, error.isFinal ? error.status : 0, error.retryAfter);
  }
  let response;
  try {
    response = await fetch(new URL(path, BASE), {
      method, signal, keepalive, credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer",
      headers: { authorization: `Bearer ${access}`, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure(explain(0), 0);
  }
  clock.learn(response.headers.get("date"));
  if (response.status === 401 && retriesToken) {
    try {
      await session.token(access);
    } catch (error) {
      throw new Failure(error.message, error.isFinal ? 401 : 0, error.retryAfter);
    }
    return once(path, { method, body, signal, headers, keepalive, retriesToken: false });
  }
  if (response.status === 401) session.end("Your session has ended. Sign in again.");
  if (response.ok) return response;
  const detail = (await response.json().catch(() => ({}))).detail;
  throw new Failure(explain(response.status, detail), response.status, Number(response.headers.get("retry-after")) || 0);
}

/**
 * Sends a request and returns the response. With `patient` the request is repeated until it is
 * answered, so it must be idempotent.
 */
export async function ask(path, options = {}) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await once(path, options);
      tell(false);
      return response;
    } catch (error) {
      if (options.signal?.aborted || !(error instanceof Failure)) throw error;
      if (!error.isPassing) tell(false);
      if (!error.isPassing || !options.patient) throw error;
      tell(true, `${error.message} Trying again.`);
      await wait(Math.max((error.retryAfter ?? 0) * 1000, Math.min(500 * 2 ** attempt, 10_000)) * (0.8 + Math.random() * 0.4), options.signal);
    }
  }
}

/** The same, read as JSON. */
export async function json(path, options) {
  const response = await ask(path, options);
  return response.status === 204 ? null : response.json();
}

/** The page's configuration, which needs no sign-in. */
export async function open(path) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await fetch(new URL(path, document.baseURI), { credentials: "omit" });
      clock.learn(response.headers.get("date"));
      if (response.ok) {
        tell(false);
        return { answer: await response.json(), attempt };
      }
    } catch { /* The same as an answer that the server is busy. */ }
    tell(true, "The server cannot be reached. Trying again.");
    await wait(Math.min(500 * 2 ** attempt, 10_000));
  }
}

/** Searches threads: the threads, and the cursor of the next page. */
export async function search(body, options) {
  const response = await ask("threads/search", { method: "POST", body, patient: true, ...options });
  return { threads: await response.json(), cursor: response.headers.get("x-pagination-cursor") };
}

const at = (id) => `threads/${encodeURIComponent(id)}`;

export const thread = (id, options) => json(`${at(id)}?include=ttl`, { patient: true, ...options });
export const state = (id, checkpoint, options) =>
  json(`${at(id)}/state${checkpoint ? `/${encodeURIComponent(checkpoint)}` : ""}`, { patient: true, ...options });
export const history = (id, body, options) => json(`${at(id)}/history`, { method: "POST", body, patient: true, ...options });
export const storage = (id) => json(`${at(id)}/storage`, { patient: true });
export const change = (id, body) => json(at(id), { method: "PATCH", body });
export const remove = (id, options) => json(at(id), { method: "DELETE", ...options });
export const prune = (ids, options) => json("threads/prune", { method: "POST", body: { thread_ids: ids, strategy: "delete" }, ...options });
export const write = (id, body) => json(`${at(id)}/state`, { method: "POST", body });
