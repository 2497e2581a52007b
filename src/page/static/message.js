// Messages: a role, a text, pictures, and tool calls with their results.

import { copy, el, icon, iconButton } from "./dom.js";
import { line, roleOf, textOf } from "./content.js";
import { LONGEST, address, code, isPicture, link, markdown, picture } from "./markdown.js";
import { long, tree } from "./tree.js";

/** The part of a text too long for Markdown that is shown at first, in UTF-16 units. */
const SHOWN = 6000;

const NAMES = { human: "You", ai: "Assistant", system: "System", tool: "Tool", function: "Tool" };

/**
 * Messages as items of the feed. Results of tools belong to the item of their call. `before` are
 * the previous items; an unchanged item keeps its version.
 */
export function itemsOf(messages, before) {
  const known = new Map(before?.map((item) => [item.key, item]));
  const items = [];
  const calls = new Map();
  const keys = new Set();
  messages.forEach((message, at) => {
    const role = roleOf(message);
    if (role === "tool" && calls.has(message.tool_call_id)) {
      const item = calls.get(message.tool_call_id);
      item.results.set(message.tool_call_id, message);
      item.sources.push(message);
      return;
    }
    let key = typeof message?.id === "string" && message.id ? message.id : `#${at}`;
    if (keys.has(key)) key = `${key}#${at}`;
    keys.add(key);
    const item = { key, role, message, results: new Map(), sources: [message] };
    for (const call of callsOf(message)) if (call.id) calls.set(call.id, item);
    items.push(item);
  });
  for (const item of items) {
    const old = known.get(item.key);
    const isSame = old && old.sources.length === item.sources.length && old.sources.every((source, at) => same(source, item.sources[at]));
    item.version = isSame ? old.version : (old?.version ?? 0) + 1;
    if (isSame) item.estimate = old.estimate;
  }
  return items;
}

function same(a, b) {
  if (a === b) return true;
  if (typeof a?.content === "string" && a.content !== b?.content) return false;
  return JSON.stringify(a) === JSON.stringify(b);
}

function callsOf(message) {
  const calls = Array.isArray(message?.tool_calls) ? message.tool_calls : [];
  return calls.filter((call) => call && typeof call === "object").map((call) => ({
    id: call.id, name: String(call.name ?? call.function?.name ?? "tool"), args: call.args ?? call.function?.arguments ?? {},
  }));
}

/** The approximate height of an item, in pixels. */
export function estimate(item) {
  const { length } = textOf(item.message?.content);
  return 58 + Math.min(60, Math.ceil(length / 85)) * 24 + callsOf(item.message).length * 44;
}

/** The element of an item. */
export function render(item) {
  const { message, role } = item;
  const name = typeof message?.name === "string" && message.name ? line(message.name, 60) : null;
  const label = NAMES[role] ?? line(role, 40);
  const whole = textOf(message?.content);
  return el("article", { class: `message is-${Object.hasOwn(NAMES, role) ? role : "other"}`, data: { key: item.key }, "aria-label": label, tabindex: "-1" },
    el("header", { class: "message-head" }, el("span", { class: "message-role" }, label),
      name && el("bdi", { class: "message-name" }, name),
      whole && iconButton("copy", "Copy message", () => copy(whole, "Message"), { class: "icon-button on-hover" })),
    el("div", { class: "message-body" }, body(message, role), callsOf(message).map((call) => called(call, item.results.get(call.id)))));
}

function body(message, role) {
  const { content } = message ?? {};
  if (role === "tool" || role === "function") {
    return folded(`Result${message.name ? ` of ${line(message.name, 60)}` : ""}`, () => [result(content)], "tool-result");
  }
  if (typeof content === "string") return text(content);
  if (content === null || content === undefined) return [];
  if (!Array.isArray(content)) return tree(content, undefined, true);
  return content.map(block);
}

/** A text as Markdown, or as plain text if it is too long for Markdown. */
export function text(value) {
  if (value.length <= LONGEST) return el("div", { class: "prose" }, markdown(value));
  // Pictures in data URLs do not count as text.
  const parts = value.length < 20_000_000 ? value.split(/(!\[[^\]\n]{0,200}\]\(data:image\/[^)\s]+\))/) : [value];
  const letters = parts.reduce((sum, part, at) => sum + (at % 2 ? 0 : part.length), 0);
  if (parts.length > 1 && letters <= LONGEST) {
    return el("div", { class: "prose" }, parts.map((part, at) => at % 2 === 0 ? markdown(part)
      : el("p", {}, picture(part.slice(part.indexOf("](") + 2, -1), part.slice(2, part.indexOf("]("))))));
  }
  return plain(value);
}

/** A plain text: its beginning, and the rest on request. */
function plain(value) {
  if (value.length <= SHOWN) return el("div", { class: "prose" }, long(value));
  const node = el("div", { class: "prose" }, long(value.slice(0, SHOWN)),
    el("button", { type: "button", class: "quiet", onclick: () => node.replaceChildren(long(value)) },
      `Show all (${(value.length - SHOWN).toLocaleString("en")} more characters)`));
  return node;
}

function block(part) {
  if (typeof part === "string") return text(part);
  if (part === null || typeof part !== "object") return tree(part);
  const { type } = part;
  if (type === "text" && typeof part.text === "string") return text(part.text);
  if ((type === "reasoning" || type === "thinking") && reasoning(part)) {
    return folded("Reasoning", () => [text(reasoning(part))], "reasoning");
  }
  const source = sourceOf(part);
  if (source && isPicture(source)) return picture(source, typeof part.alt === "string" ? part.alt : "");
  if (source && address(source)) {
    const url = address(source);
    return el("p", {}, link(url, [`${type === "file" ? "File" : "Picture"}: ${url.href}`]));
  }
  if (type === "tool_use") return null;
  return tree(part, undefined);
}

const reasoning = (part) => [part.thinking, part.reasoning, part.text, ...(Array.isArray(part.summary) ? part.summary.map((one) => one?.text) : [])]
  .filter((one) => typeof one === "string" && one).join("\n\n");

/** The address of a content block's picture, in the forms that models and clients write. */
function sourceOf({ type, image_url: url, source, base64, data, mime_type: mime, url: plain }) {
  if (type === "image_url") return typeof url === "string" ? url : url?.url;
  if (type !== "image" && type !== "file") return null;
  if (source?.type === "base64") return `data:${source.media_type};base64,${source.data}`;
  if (source?.url ?? plain) return source?.url ?? plain;
  const bytes = base64 ?? data;
  return typeof bytes === "string" && typeof mime === "string" ? `data:${mime};base64,${bytes}` : null;
}

/** A folded part, whose content is created when it is opened. */
function folded(label, make, kind) {
  const node = el("details", { class: `folded ${kind}` }, el("summary", {}, label));
  node.addEventListener("toggle", () => { if (node.open && node.childNodes.length === 1) node.append(...make()); });
  return node;
}

function called(call, answer) {
  const isFailed = answer?.status === "error";
  const node = folded(el("span", { class: "call" }, el("bdi", { class: "call-name" }, line(call.name, 80)),
    el("bdi", { class: "call-args" }, line(typeof call.args === "string" ? call.args.slice(0, 400) : JSON.stringify(call.args)?.slice(0, 400), 120)),
    answer ? el("span", { class: isFailed ? "call-state is-failed" : "call-state" }, isFailed ? "failed" : icon("check")) : el("span", { class: "call-state" }, "no result")),
  () => [el("h4", {}, "Arguments"), tree(call.args, undefined, true), answer && el("h4", {}, "Result"), answer && result(answer.content)].filter(Boolean), "tool-call");
  return node;
}

function result(content) {
  const whole = textOf(content);
  if (Array.isArray(content) && content.some((part) => part && typeof part === "object" && part.type !== "text")) {
    return el("div", {}, content.map(block));
  }
  if (!whole && content !== "") return tree(content, undefined, true);
  const trimmed = whole.trimStart();
  if ((trimmed[0] === "{" || trimmed[0] === "[") && whole.length < 200_000) {
    try {
      return tree(JSON.parse(whole), undefined, true);
    } catch { /* Text that is not JSON is shown as text. */ }
  }
  return whole.length <= SHOWN ? code(whole, "text") : plain(whole);
}
