// Threads as files.

import * as api from "./api.js";
import { el } from "./dom.js";
import { line, roleOf, rowOf, textOf } from "./content.js";

const TYPES = { markdown: ["text/markdown", "md"], json: ["application/json", "json"] };
const NAMES = { human: "User", ai: "Assistant", system: "System", tool: "Tool" };
const PAGE = 100;

function save(content, type, name) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const fileName = (title, ending) => `${line(title, 60).replace(/[^\p{L}\p{N}._-]+/gu, " ").trim().replace(/^\.+/, "") || "thread"}.${ending}`;

/** A thread as Markdown. Each body is a quotation, which nothing in it can end. */
export function markdownOf(thread) {
  const messages = Array.isArray(thread.values?.messages) ? thread.values.messages : [];
  const quoted = (text) => text.split(/\r\n|\n|\r/).map((one) => one ? `> ${one}` : ">").join("\n");
  const turns = messages.map((message) => {
    const role = roleOf(message);
    const calls = Array.isArray(message?.tool_calls) ? message.tool_calls : [];
    const called = calls.map((call) => `> \`${String(call?.name).replaceAll("`", "'")}\` ${JSON.stringify(call?.args ?? {})}`);
    return `## ${NAMES[role] ?? line(role, 40)}\n\n${[quoted(textOf(message?.content)), ...called].join("\n>\n")}\n`;
  });
  return `# ${rowOf(thread).title}\n\n${turns.join("\n")}`;
}

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
  if (ids.length === 1 && flags.query) {
    const [response, { threads: [thread] }] = await Promise.all([api.ask(`threads/${ids[0]}/export?format=${format}`, { patient: true }),
      api.search({ ids, select: ["thread_id", "metadata", "title"] })]);
    save(await response.blob(), type, fileName(rowOf(thread ?? {}).title, ending));
    return;
  }
  const threads = [];
  for (const id of ids) threads.push(format === "json" ? await whole(id) : await api.thread(id));
  const text = format === "json" ? JSON.stringify(threads.length === 1 ? threads[0] : threads, null, 2) : threads.map(markdownOf).join("\n\n---\n\n");
  save(text, type, fileName(threads.length === 1 ? rowOf(threads[0].thread ?? threads[0]).title : `${threads.length} threads`, ending));
}
