// Threads as files.

import * as api from "./api.js";
import { el } from "./dom.js";
import { line, rowOf, selection } from "./content.js";

const TYPES = { markdown: ["text/markdown", "md"], json: ["application/json", "json"] };
const PAGE = 100;

function save(content, type, name) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const fileName = (title, ending) => `${line(title, 60).replace(/[^\p{L}\p{N}._-]+/gu, " ").trim().replace(/^\.+/, "") || "thread"}.${ending}`;

async function whole(id) {
  const history = [];
  for (let before; ;) {
    const page = await api.history(id, { limit: PAGE, ...(before ? { before } : {}) });
    history.push(...page);
    if (page.length === 0) break;
    before = page.at(-1).checkpoint_id;
  }
  const { values, ...thread } = await api.thread(id);
  return { thread, states: history };
}

/** Saves threads as one file. `flags`: whether the server makes the files itself. */
export async function saveThreads(ids, format, flags) {
  const [type, ending] = TYPES[format];
  const parts = [];
  for (const id of ids) {
    parts.push(flags.query ? await (await api.ask(`threads/${id}/export?format=${format}`, { patient: true })).text() : JSON.stringify(await whole(id), null, 2));
  }
  const text = parts.length === 1 ? parts[0] : format === "json" ? `[${parts.join(",\n")}]` : parts.join("\n\n---\n\n");
  const { threads } = await api.search({ ids: [ids[0]], ...selection(flags.query) });
  save(text, type, fileName(ids.length === 1 ? rowOf(threads[0] ?? {}).title : `${ids.length} threads`, ending));
}
