// The threads that the page knows, in the order of the list. Whatever answers when: what the list
// shows belongs to what is asked for now, and nothing is in it twice.

import * as api from "./api.js";
import { now } from "./clock.js";
import { readQuery, rowOf, selection } from "./content.js";

const FIRST_PAGE = 60;
const PAGE = 200;
/** How often changes from elsewhere are looked for, in milliseconds. */
const POLL = 4000;
const DAYS = { day: 1, week: 7, month: 30 };

/** Tells `change` when rows came, went or changed. */
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
  /** Whether rows show where words occur. */
  hasHits = false;
  isComplete = false;
  isLoading = true;
  error = "";
  /** Which rows are in view, for the look-out for what is gone. */
  inView = () => [];

  constructor(flags) {
    super();
    this.digest = Boolean(flags.query || flags.filter);
    this.flags = flags;
  }

  get asked() { return this.#asked; }
  get isSearch() { return Boolean(this.#asked.text.trim()); }

  /** Begins anew with other conditions. */
  async show(asked) {
    this.#asked = { ...this.#asked, ...asked };
    const number = ++this.#number;
    this.#abort.abort();
    this.#abort = new AbortController();
    clearTimeout(this.#timer);
    this.isLoading = true;
    this.error = "";
    try {
      const [pinned, page] = await Promise.all([this.#pinned(), this.#page(null, FIRST_PAGE)]);
      if (number !== this.#number) return;
      this.#byId.clear();
      this.rows = [];
      this.#cursor = page.cursor;
      this.isComplete = !page.cursor;
      this.hasHits = Boolean(this.flags.query && this.#query().words);
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

  /** Takes what is known of a thread from elsewhere, for example after it was renamed. */
  put(thread) {
    if (this.#gone.has(thread.thread_id)) return;
    const row = rowOf(thread);
    const known = this.#byId.get(row.id);
    if (known) {
      if (thread.preview === undefined && !thread.extracted) Object.assign(row, { preview: known.preview, count: known.count, title: thread.metadata?.title ? row.title : known.title });
      Object.assign(known, row, { matches: known.matches });
      if (!this.isSearch && known.archived !== this.#asked.archived) this.#drop([row.id]);
    } else if (!this.isSearch && this.#fits(row)) {
      this.#byId.set(row.id, row);
      this.rows.push(row);
    }
    this.#sort();
    this.#tell();
  }

  /** Takes threads out of the list, to be deleted. */
  hide(ids) {
    for (const id of ids) this.#gone.add(id);
    this.#drop(ids);
    this.#tell();
  }

  /** Brings threads back that were not deleted after all. */
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
    const { status, archived, time } = this.#asked;
    const since = time ? now() - DAYS[time] * 86400_000 : 0;
    return (!status || row.status === status) && row.archived === archived && Date.parse(row.updated) >= since;
  }

  #add(threads) {
    for (const thread of threads) {
      const row = rowOf(thread);
      if (this.#byId.has(row.id) || this.#gone.has(row.id) || !this.#wanted(row)) continue;
      this.#byId.set(row.id, row);
      this.rows.push(row);
    }
    if (!this.isSearch) this.#sort();
  }

  /** What a server without `filter` and `query` leaves to the page. */
  #wanted(row) {
    const asked = this.#query();
    if (asked.archived !== row.archived && (!this.isSearch || asked.archived || !this.digest)) return false;
    const since = this.#asked.time ? now() - DAYS[this.#asked.time] * 86400_000 : 0;
    if (Date.parse(row.updated) < since) return false;
    if (!this.isSearch || this.digest) return true;
    if (asked.pinned && !row.pinned) return false;
    const text = [row.title, row.preview, ...row.tags].join("\n").toLowerCase();
    return asked.tags.every((tag) => row.tags.includes(tag)) &&
      asked.words.toLowerCase().split(" ").every((word) => text.includes(word.replaceAll('"', "")));
  }

  #sort() {
    if (this.isSearch) return;
    this.rows.sort((a, b) => b.pinned - a.pinned || (a.updated < b.updated ? 1 : a.updated > b.updated ? -1 : a.id < b.id ? 1 : -1));
  }

  #query() {
    const asked = readQuery(this.#asked.text);
    return { ...asked, archived: asked.archived || this.#asked.archived, status: this.#asked.status || asked.status };
  }

  /** What to ask the server for, of what the page is asked for. */
  #body() {
    const asked = this.#query();
    const body = { ...selection(this.digest), sort_by: "updated_at", sort_order: "desc" };
    if (asked.status) body.status = asked.status;
    if (this.flags.filter) {
      const conditions = [...asked.filter];
      conditions.push(asked.archived ? { "metadata.archived": true } : { "metadata.archived": { $ne: true } });
      if (asked.pinned) conditions.push({ "metadata.pinned": true });
      for (const tag of asked.tags) conditions.push({ "metadata.tags": { $contains: tag } });
      if (this.#asked.time) {
        conditions.push({ updated_at: { $gte: new Date(now() - DAYS[this.#asked.time] * 86400_000).toISOString() } });
      }
      body.filter = conditions.length === 1 ? conditions[0] : { $and: conditions };
    } else if (asked.archived) {
      body.metadata = { archived: true };
    } else if (asked.filter.length) {
      body.metadata = asked.filter[0];
    }
    if (this.flags.query && asked.words) {
      body.query = asked.words;
      body.select = [...body.select, "matches"];
    }
    return body;
  }

  #page(cursor, limit) {
    const body = { ...this.#body(), limit };
    if (cursor) body.cursor = cursor;
    return api.search(body, { signal: this.#abort.signal });
  }

  async #pinned() {
    if (this.isSearch || this.#asked.archived) return [];
    const body = { ...this.#body(), limit: 200 };
    const pinned = { "metadata.pinned": true };
    if (body.filter) body.filter = { $and: [body.filter, pinned] };
    else body.metadata = { pinned: true };
    return (await api.search(body, { signal: this.#abort.signal })).threads;
  }

  #tell() { this.dispatchEvent(new Event("change")); }

  #watch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look().finally(() => this.#watch()), POLL);
  }

  /** Looks for what has changed elsewhere. */
  async look() {
    if (document.hidden || this.isLoading || (this.isSearch && !this.digest)) return;
    const number = this.#number;
    const options = { signal: this.#abort.signal, patient: false };
    const ids = this.inView().slice(0, 100);
    try {
      const [newest, seen] = await Promise.all([
        api.search({ ...this.#body(), limit: 30 }, options),
        ids.length ? api.search({ ids, select: ["thread_id", "updated_at"], limit: 100 }, options) : null,
      ]);
      if (number !== this.#number) return;
      let changed = false;
      for (const thread of newest.threads) {
        const row = rowOf(thread);
        const known = this.#byId.get(row.id);
        const isWanted = this.#wanted(row);
        if (this.#gone.has(row.id) || (!known && !isWanted)) continue;
        if (known && !isWanted) { this.#drop([row.id]); changed = true; continue; }
        if (known && known.updated === row.updated && known.status === row.status && known.preview === row.preview && known.count === row.count) continue;
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
    } catch { /* The next look tells. */ }
  }
}
