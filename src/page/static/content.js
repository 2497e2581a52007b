// What threads and messages say, whatever form their content has.

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

/** `human`, `ai`, `system`, `tool`, or whatever else a message says that it is from. */
export function roleOf(message) {
  const role = message?.role ?? (message?.type === "chat" ? "chat" : message?.type) ?? "message";
  return Object.hasOwn(ROLES, role) ? ROLES[role] : String(role);
}

/** What a list asks for of each thread. `digest`: whether the server keeps titles. */
export function selection(digest) {
  const select = ["thread_id", "created_at", "updated_at", "status", "metadata"];
  if (digest) return { select: [...select, "title", "preview", "message_count"] };
  return { select, extract: { first: "values.messages[0]", second: "values.messages[1]", last: "values.messages[-1]" } };
}

/** A thread as the list shows it, of what the server answered. */
export function rowOf(thread) {
  const { first, second, last } = thread.extracted ?? {};
  const human = [first, second].find((message) => message && roleOf(message) === "human") ?? first;
  const metadata = thread.metadata ?? {};
  const title = typeof metadata.title === "string" && metadata.title.trim() ? metadata.title : thread.title ?? textOf(human?.content);
  return {
    id: thread.thread_id,
    title: line(title) || "Untitled",
    preview: line(thread.preview ?? textOf(last?.content)),
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

/** What people type into the search box: words for the server, and a few conditions. */
export function readQuery(text) {
  const asked = { words: "", filter: [], status: "", archived: false, tags: [], pinned: false };
  const trimmed = text.trim();
  if (trimmed.startsWith("{")) {
    try {
      const filter = JSON.parse(trimmed);
      if (filter && typeof filter === "object") asked.filter.push(filter);
      return asked;
    } catch { /* Then these are words. */ }
  }
  // Only these names with these values are conditions: what people type is not syntax.
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
  return asked;
}
