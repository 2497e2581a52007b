// The threads of the list, in its order. Answers may arrive in any order: those to earlier conditions
// are dropped, and each thread is in the list once.

import * as api from "./api.js";
import { now } from "./clock.js";
import { LISTED, readQuery, rowOf } from "./content.js";

const FIRST_PAGE = 60;
/** The first page of a search, smaller because the server finds the places of hits. */
const FIRST_HITS = 20;
const PAGE = 200;
/** Interval of reading changes by other clients, in milliseconds. */
const POLL = 4000;
/** The same for a search, which may read all messages of the user. */
const POLL_SEARCH = 12_000;
const DAYS = { day: 1, week: 7, month: 30 };

/** Dispatches `change` when rows were added, removed or changed. */
export class Threads extends EventTarget {
  rows = [];
  #byId = new Map();
  #gone = new Set();
  #asked = { text: "", status: "", time: "", archived: false };
  #number = 0;
  #abort = new AbortController();
  #cursor = null;
  #loading = null;
  #timer = 0;
  /** Whether rows show hits. */
  hasHits = false;
  isComplete = false;
  isLoading = true;
  error = "";
  /** The ids of the rows in view, of which removed ones are detected. */
  inView = () => [];

  get asked() { return this.#asked; }
  get isSearch() { return Boolean(this.#asked.text.trim()); }

  /** Reads the list again, with these changes of its conditions. */
  async show(asked) {
    this.#asked = { ...this.#asked, ...asked };
    const number = ++this.#number;
    this.#abort.abort();
    this.#abort = new AbortController();
    clearTimeout(this.#timer);
    this.isLoading = true;
    this.error = "";
    try {
      const [pinned, page] = await Promise.all([this.#pinned(), this.#page(null, this.isSearch ? FIRST_HITS : FIRST_PAGE)]);
      if (number !== this.#number) return;
      this.#byId.clear();
      this.rows = [];
      this.#cursor = page.cursor;
      this.isComplete = !page.cursor;
      this.hasHits = Boolean(this.#query().words);
      this.#add([...pinned, ...page.threads]);
    } catch (error) {
      if (number !== this.#number || error.name === "AbortError") return;
      this.rows = [];
      this.#byId.clear();
      this.isComplete = true;
      this.error = error.message;
    }
    this.isLoading = false;
    this.#tell();
    this.#watch();
  }

  /** The next page, if there is one. */
  more() {
    if (this.isComplete || this.isLoading) return;
    const number = this.#number;
    this.#loading ??= this.#page(this.#cursor, PAGE).then((page) => {
      if (number !== this.#number) return;
      this.#cursor = page.cursor;
      this.isComplete = !page.cursor;
      this.#add(page.threads);
      this.#tell();
    }, () => {}).finally(() => { this.#loading = null; });
  }

  get(id) { return this.#byId.get(id); }

  /** Updates a thread from another answer, for example of a rename. */
  put(thread) {
    if (this.#gone.has(thread.thread_id)) return;
    const row = rowOf(thread);
    const known = this.#byId.get(row.id);
    if (known) {
      if (thread.preview === undefined) Object.assign(row, { preview: known.preview, count: known.count });
      Object.assign(known, row, { matches: known.matches });
      if (!this.isSearch && known.archived !== this.#asked.archived) this.#drop([row.id]);
    } else if (!this.isSearch && this.#fits(row)) {
      this.#byId.set(row.id, row);
      this.rows.push(row);
    }
    this.#sort();
    this.#tell();
  }

  /** Removes threads from the list before they are deleted. */
  hide(ids) {
    for (const id of ids) this.#gone.add(id);
    this.#drop(ids);
    this.#tell();
  }

  /** Shows threads again that were not deleted. */
  async unhide(ids) {
    for (const id of ids) this.#gone.delete(id);
    await this.show({});
  }

  isHidden(id) { return this.#gone.has(id); }

  #drop(ids) {
    for (const id of ids) this.#byId.delete(id);
    this.rows = this.rows.filter((row) => this.#byId.has(row.id));
  }

  #fits(row) {
    const { status, archived } = this.#asked;
    return (!status || row.status === status) && row.archived === archived && Date.parse(row.updated) >= this.#since();
  }

  /** The earliest time of the list's threads, in milliseconds. */
  #since() {
    const { time } = this.#asked;
    return time ? now() - DAYS[time] * 86400_000 : 0;
  }

  #add(threads) {
    for (const thread of threads) {
      const row = rowOf(thread);
      if (this.#byId.has(row.id) || this.#gone.has(row.id)) continue;
      this.#byId.set(row.id, row);
      this.rows.push(row);
    }
    if (!this.isSearch) this.#sort();
  }

  #sort() {
    if (this.isSearch) return;
    this.rows.sort((a, b) => b.pinned - a.pinned || (a.updated < b.updated ? 1 : a.updated > b.updated ? -1 : a.id < b.id ? 1 : -1));
  }

  #query() {
    const asked = readQuery(this.#asked.text);
    return { ...asked, archived: asked.archived || this.#asked.archived, status: this.#asked.status || asked.status };
  }

  /** The request's body for the list's conditions. `more`: one more condition. */
  #body(more) {
    const asked = this.#query();
    const conditions = [...asked.filter, { "metadata.archived": asked.archived || { $ne: true } }, ...(more ? [more] : [])];
    if (asked.pinned) conditions.push({ "metadata.pinned": true });
    for (const tag of asked.tags) conditions.push({ "metadata.tags": { $contains: tag } });
    if (this.#asked.time) conditions.push({ updated_at: { $gte: new Date(this.#since()).toISOString() } });
    return { select: asked.words ? [...LISTED, "matches"] : LISTED, sort_by: "updated_at", sort_order: "desc", filter: { $and: conditions },
      ...(asked.words && { query: asked.words }), ...(asked.status && { status: asked.status }) };
  }

  #page(cursor, limit) {
    const body = { ...this.#body(), limit };
    if (cursor) body.cursor = cursor;
    return api.search(body, { signal: this.#abort.signal });
  }

  async #pinned() {
    if (this.isSearch || this.#asked.archived) return [];
    const body = { ...this.#body({ "metadata.pinned": true }), limit: 200 };
    return (await api.search(body, { signal: this.#abort.signal })).threads;
  }

  #tell() { this.dispatchEvent(new Event("change")); }

  #watch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look().finally(() => this.#watch()), this.isSearch ? POLL_SEARCH : POLL);
  }

  /** Reads changes by other clients: the newest threads, and rows in view that no longer belong to the list. */
  async look() {
    if (document.hidden || this.isLoading) return;
    const number = this.#number;
    const options = { signal: this.#abort.signal, patient: false };
    const ids = this.inView().slice(0, 100);
    const body = this.#body();
    try {
      const [newest, seen] = await Promise.all([
        api.search({ ...body, limit: 30 }, options),
        ids.length ? api.search({ ...body, ids, select: ["thread_id"], limit: 100 }, options) : null,
      ]);
      if (number !== this.#number) return;
      let changed = false;
      for (const thread of newest.threads) {
        const row = rowOf(thread);
        const known = this.#byId.get(row.id);
        if (this.#gone.has(row.id) || (known && JSON.stringify(known) === JSON.stringify(row))) continue;
        changed = true;
        if (known) Object.assign(known, row);
        else {
          this.#byId.set(row.id, row);
          if (this.isSearch) this.rows.unshift(row);
          else this.rows.push(row);
        }
      }
      if (seen) {
        const there = new Set(seen.threads.map((thread) => thread.thread_id));
        const gone = ids.filter((id) => !there.has(id));
        if (gone.length) { this.#drop(gone); changed = true; }
      }
      if (changed) { this.#sort(); this.#tell(); }
    } catch { /* The next look reads them. */ }
  }
}
