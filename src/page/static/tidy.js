// What keeps a list in order: names, pins, the archive, tags, ends, files, and deleting.

import * as api from "./api.js";
import { at } from "./clock.js";
import { line, tagsOf } from "./content.js";
import { bytes, copy, dialog, el, notice } from "./dom.js";
import { saveThreads } from "./export.js";

/** For how long a deletion can be taken back, in seconds. */
const UNDO = 10;
const PRUNED_AT_ONCE = 500;

/** The actions on threads of a list. */
export class Tidy {
  /** What is to be deleted and can still be taken back. */
  #waiting = new Map();

  constructor(threads, flags) {
    this.threads = threads;
    this.flags = flags;
    // Who closes the page meant it.
    addEventListener("pagehide", () => { for (const ids of this.#waiting.values()) this.#delete(ids, true); });
  }

  /** Changes metadata of threads, and answers whether all were changed. */
  async change(ids, metadata, said) {
    try {
      for (const id of ids) {
        this.threads.put(await api.change(id, { metadata: typeof metadata === "function" ? metadata(id) : metadata }));
      }
      if (said) notice(said, { seconds: 3 });
      return true;
    } catch (error) {
      notice(error.message);
      return false;
    }
  }

  rename(id, title) { return this.change([id], { title: title.trim() || null }); }

  pin(ids, pinned) { return this.change(ids, { pinned }); }

  async archive(ids, archived) {
    if (!(await this.change(ids, { archived }))) return;
    const what = ids.length === 1 ? "1 thread" : `${ids.length} threads`;
    notice(archived ? `${what} archived.` : `${what} back in the list.`, { label: "Undo", action: async () => {
      await this.change(ids, { archived: !archived });
      this.threads.show({});
    } });
  }

  /** Asks for the tags of threads. */
  async tags(ids) {
    const { threads } = await api.search({ ids, select: ["thread_id", "metadata"], limit: Math.min(1000, ids.length) });
    const all = threads.map((thread) => tagsOf(thread.metadata));
    const common = all.reduce((some, tags) => some.filter((tag) => tags.includes(tag)), all[0] ?? []);
    const input = el("input", { value: common.join(", "), class: "wide", placeholder: "work, ideas", autocomplete: "off", maxlength: 500 });
    const body = el("label", {}, el("span", {}, "Tags, separated by commas"), input);
    if (await dialog(ids.length === 1 ? "Tags" : `Tags of ${ids.length} threads`, body, [["", "Cancel"], ["save", "Save", "primary"]], { onopen: () => input.select() }) !== "save") return;
    const wanted = [...new Set(input.value.split(",").map((tag) => line(tag, 40)).filter(Boolean))];
    const own = new Map(threads.map((thread, at) => [thread.thread_id, all[at].filter((tag) => !common.includes(tag))]));
    await this.change(ids, (id) => ({ tags: [...new Set([...(own.get(id) ?? []), ...wanted])] }));
  }

  /** Takes threads out of the list, and deletes them unless that is taken back. */
  remove(ids) {
    const what = ids.length === 1 ? `“${line(this.threads.get(ids[0])?.title ?? "Thread", 40)}”` : `${ids.length} threads`;
    const key = Symbol();
    this.threads.hide(ids);
    const timer = setTimeout(() => { close(); this.#waiting.delete(key); this.#delete(ids, false); }, UNDO * 1000);
    this.#waiting.set(key, ids);
    const close = notice(`${what} deleted.`, { seconds: 0, label: "Undo", action: () => {
      clearTimeout(timer);
      this.#waiting.delete(key);
      this.threads.unhide(ids);
    } });
  }

  async #delete(ids, keepalive) {
    for (let at = 0; at < ids.length; at += PRUNED_AT_ONCE) {
      const some = ids.slice(at, at + PRUNED_AT_ONCE);
      try {
        if (some.length === 1) await api.remove(some[0], { keepalive, patient: !keepalive });
        else await api.prune(some, { keepalive });
      } catch (error) {
        // One that somebody else has deleted keeps the others.
        if (error.status === 404) for (const id of some.length > 1 ? some : []) await this.#delete([id], false);
        else {
          notice(`Not deleted: ${error.message}`, { kind: "is-bad" });
          this.threads.unhide(some);
        }
      }
    }
  }

  /** Asks when a thread is to end. */
  async ttl(id) {
    const { ttl } = await api.thread(id);
    const choices = [["", "never"], ["1440", "in a day"], ["10080", "in a week"], ["43200", "in 30 days"], ["525600", "in a year"]];
    const minutes = ttl?.ttl_minutes ?? ttl?.ttl;
    if (minutes && !choices.some(([value]) => value === String(minutes))) choices.splice(1, 0, [String(minutes), `in ${minutes} minutes`]);
    const when = el("select", {}, choices.map(([value, label]) => el("option", { value, selected: value === String(minutes ?? "") }, label)));
    const how = el("select", {}, [["delete", "the whole thread"], ["keep_latest", "all but its latest state"]].map(([value, label]) =>
      el("option", { value, selected: value === ttl?.strategy }, label)));
    const body = el("div", { class: "fields" }, el("label", {}, el("span", {}, "Delete"), how), el("label", {}, el("span", {}, "When"), when),
      ttl?.expires_at && el("p", { class: "hint" }, `Now: ${at(ttl.expires_at)}.`), el("p", { class: "hint" }, "Counted from now, or from its next change."));
    if (await dialog("When this thread ends", body, [["", "Cancel"], ["save", "Save", "primary"]]) !== "save") return;
    try {
      await api.change(id, { ttl: when.value ? { ttl: Number(when.value), strategy: how.value } : null });
      notice(when.value ? "The thread will end." : "The thread stays.", { seconds: 3 });
    } catch (error) {
      notice(error.message);
    }
  }

  async save(ids, format) {
    try {
      await saveThreads(ids, format, this.flags);
    } catch (error) {
      notice(`Not exported: ${error.message}`);
    }
  }

  copyLink(id) { return copy(`${location.origin}${location.pathname}#/threads/${id}`, "Link"); }

  /** Says what a thread takes. */
  async storage(id) {
    try {
      const { total_bytes: total, checkpoints, channel_values: values } = await api.storage(id);
      const [[most, largest] = []] = Object.entries(values.by_channel ?? {}).sort((a, b) => b[1].bytes - a[1].bytes);
      notice(`${bytes(total)} in ${checkpoints.count.toLocaleString("en")} checkpoints${most ? `, ${bytes(largest.bytes)} of it ${line(most, 40)}` : ""}.`, { seconds: 12 });
    } catch (error) {
      notice(error.message);
    }
  }
}
