// The actions on threads: rename, pin, archive, tags, expiry, export and deletion.

import * as api from "./api.js";
import { at } from "./clock.js";
import { line, tagsOf } from "./content.js";
import { bytes, copy, dialog, el, notice } from "./dom.js";
import { saveThreads } from "./export.js";

/** Time in which a deletion can be undone, in seconds. */
const UNDO = 10;
const PRUNED_AT_ONCE = 500;

/** The actions on threads of a list. */
export class Tidy {
  /** Deletions that can still be undone. */
  #waiting = new Map();

  constructor(threads) {
    this.threads = threads;
    // Closing the page carries out all deletions.
    addEventListener("pagehide", () => { for (const ids of this.#waiting.values()) this.#delete(ids, true); });
  }

  /** Changes metadata of threads. Returns whether all were changed. */
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

  /** Shows a dialog for the tags of threads. */
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

  /** Removes threads from the list, and deletes them unless the user undoes that. */
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
        // One missing thread makes the server refuse all, so the threads are deleted one by one.
        if (error.status === 404) for (const id of some.length > 1 ? some : []) await this.#delete([id], false);
        else {
          notice(`Not deleted: ${error.message}`, { kind: "is-bad" });
          this.threads.unhide(some);
        }
      }
    }
  }

  /** Shows a dialog for the expiry of a thread. */
  async ttl(id) {
    const { ttl } = await api.thread(id);
    const choices = [["", "never"], ["1440", "in a day"], ["10080", "in a week"], ["43200", "in 30 days"], ["525600", "in a year"]];
    const minutes = ttl?.ttl_minutes ?? ttl?.ttl;
    if (minutes && !choices.some(([value]) => value === String(minutes))) choices.splice(1, 0, [String(minutes), `in ${minutes} minutes`]);
    const when = el("select", {}, choices.map(([value, label]) => el("option", { value, selected: value === String(minutes ?? "") }, label)));
    const how = el("select", {}, [["delete", "the whole thread"], ["keep_latest", "all but its latest state"]].map(([value, label]) =>
      el("option", { value, selected: value === ttl?.strategy }, label)));
    const body = el("div", { class: "fields" }, el("label", {}, el("span", {}, "Delete"), how), el("label", {}, el("span", {}, "When"), when),
      ttl?.expires_at && el("p", { class: "hint" }, `Now: ${at(ttl.expires_at)}.`), el("p", { class: "hint" }, "The time starts when you save."));
    if (await dialog("Expiry of this thread", body, [["", "Cancel"], ["save", "Save", "primary"]]) !== "save") return;
    try {
      await api.change(id, { ttl: when.value ? { ttl: Number(when.value), strategy: how.value } : null });
      notice(when.value ? "The thread will expire." : "The thread will not expire.", { seconds: 3 });
    } catch (error) {
      notice(error.message);
    }
  }

  async save(ids, format) {
    try {
      await saveThreads(ids, format);
    } catch (error) {
      notice(`Not exported: ${error.message}`);
    }
  }

  copyLink(id) { return copy(`${location.origin}${location.pathname}#/threads/${id}`, "Link"); }

  /** Shows the storage of a thread. */
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
