// Texts and fields of threads and messages, in all forms of content.

/** The text of a message's content. */
export function textOf(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((block) => typeof block === "string" ? block : typeof block?.text === "string" ? block.text : "")
    .filter(Boolean).join("\n\n");
}

/** One line of a text. */
export function line(text, most = 200) {
  return String(text ?? "").slice(0, most * 4).replace(/\s+/g, " ").trim().slice(0, most);
}

const ROLES = { user: "human", assistant: "ai", developer: "system", function: "tool", AIMessageChunk: "ai" };

/** `human`, `ai`, `system`, `tool`, or another role of the message. */
export function roleOf(message) {
  const role = message?.role ?? (message?.type === "chat" ? "chat" : message?.type) ?? "message";
  return Object.hasOwn(ROLES, role) ? ROLES[role] : String(role);
}

/** The names of the statuses. */
export const STATUS = { idle: "idle", busy: "running", interrupted: "waiting", error: "failed" };

/** The text of an interrupt's value, and what is left of the value. */
export function questionOf(value) {
  if (typeof value === "string") return { text: value };
  if (value === null || typeof value !== "object") return { rest: value };
  const names = Object.keys(value).filter((name) => typeof value[name] === "string" && value[name].trim());
  const name = ["question", "message", "text", "value"].find((one) => names.includes(one)) ?? (names.length === 1 ? names[0] : "");
  if (!name) return { rest: value };
  const { [name]: text, ...rest } = value;
  return { text, rest: Object.keys(rest).length ? rest : undefined };
}

/** The fields that a list selects. Their size does not grow with the thread. */
export const LISTED = ["thread_id", "created_at", "updated_at", "status", "metadata", "title", "preview", "message_count"];

/** A row of the list for a thread of the API. `messages` are used if the thread has its values. */
export function rowOf(thread, messages = thread.values?.messages) {
  const human = Array.isArray(messages) ? messages.find((message) => roleOf(message) === "human") : null;
  const metadata = thread.metadata ?? {};
  const title = typeof metadata.title === "string" && metadata.title.trim() ? metadata.title : thread.title ?? textOf(human?.content);
  return {
    id: thread.thread_id,
    title: line(title) || "Untitled",
    preview: line(thread.preview),
    count: thread.message_count ?? null,
    status: thread.status,
    updated: thread.updated_at,
    pinned: metadata.pinned === true,
    archived: metadata.archived === true,
    tags: tagsOf(metadata),
    matches: Array.isArray(thread.matches) ? thread.matches : [],
  };
}

export function tagsOf(metadata) {
  const tags = Array.isArray(metadata?.tags) ? metadata.tags : [];
  return tags.filter((tag) => typeof tag === "string" && tag.trim()).map((tag) => line(tag, 40));
}

/** Parses the search box: words for the server, and conditions. */
export function readQuery(text) {
  const asked = { words: "", filter: [], status: "", archived: false, tags: [], pinned: false };
  const trimmed = text.trim();
  if (trimmed.startsWith("{")) {
    try {
      const filter = JSON.parse(trimmed);
      if (filter && typeof filter === "object") asked.filter.push(filter);
      return asked;
    } catch { /* Text that is not JSON is words. */ }
  }
  // Only these names with these values are conditions. All other text is words.
  const words = trimmed.replace(/(^|\s)(?:status:(idle|busy|interrupted|error)|is:(archived|pinned)|tag:([^\s"]+)|tag:"([^"]*)"|(after|before):(\d{4}-\d{2}-\d{2}))(?=\s|$)/g,
    (_, __, status, is, tag, quoted, side, date) => {
      if (status) asked.status = status;
      if (is === "archived") asked.archived = true;
      if (is === "pinned") asked.pinned = true;
      if (tag || quoted) asked.tags.push(tag ?? quoted);
      if (date && !Number.isNaN(Date.parse(date))) {
        asked.filter.push({ updated_at: { [side === "after" ? "$gte" : "$lt"]: `${date}T00:00:00Z` } });
      }
      return " ";
    });
  asked.words = words.replace(/\s+/g, " ").trim();
  // A lone quotation mark is the beginning of a phrase, and searches nothing yet.
  if (!/[^\s"]/.test(asked.words)) asked.words = "";
  return asked;
}
