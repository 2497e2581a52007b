// Threads as files.

import * as api from "./api.js";
import { el } from "./dom.js";
import { LISTED, line, rowOf } from "./content.js";

const TYPES = { markdown: ["text/markdown", "md"], json: ["application/json", "json"] };

function save(content, type, name) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const fileName = (title, ending) => `${line(title, 60).replace(/[^\p{L}\p{N}._-]+/gu, " ").trim().replace(/^\.+/, "") || "thread"}.${ending}`;

/** Saves threads in one file. */
export async function saveThreads(ids, format) {
  const [type, ending] = TYPES[format];
  const parts = [];
  for (const id of ids) {
    parts.push(await (await api.ask(`threads/${id}/export?format=${format}`, { patient: true })).text());
  }
  const text = parts.length === 1 ? parts[0] : format === "json" ? `[${parts.join(",\n")}]` : parts.join("\n\n---\n\n");
  const { threads } = await api.search({ ids: [ids[0]], select: LISTED });
  save(text, type, fileName(ids.length === 1 ? rowOf(threads[0] ?? {}).title : `${ids.length} threads`, ending));
}
