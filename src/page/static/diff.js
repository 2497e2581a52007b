// The changes of a step, by channel.

import { el } from "./dom.js";
import { line, roleOf, textOf } from "./content.js";

const MOST_LINES = 400;

const pretty = (value) => value === undefined ? "" : JSON.stringify(value, null, 2);

/** The lines from the first to the last difference, with context: `[" " | "-" | "+", text]`. */
export function lineDiff(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  const side = (mark, lines) => lines.map((text) => [mark, text]);
  return [...side(" ", a.slice(Math.max(0, start - 3), start)), ...side("-", a.slice(start, a.length - end)), ...side("+", b.slice(start, b.length - end)),
    ...side(" ", a.slice(a.length - end).slice(0, 3))];
}

const isMessages = (value) => Array.isArray(value) && value.some((one) => one && typeof one === "object" && ("content" in one) && ("type" in one || "role" in one));

function messages(before, after) {
  const key = (message, at) => message?.id ?? `#${at}`;
  const old = new Map(before.map((message, at) => [key(message, at), JSON.stringify(message)]));
  const out = [];
  after.forEach((message, at) => {
    const id = key(message, at);
    const was = old.get(id);
    old.delete(id);
    if (was === undefined) out.push(["+", message]);
    else if (was !== JSON.stringify(message)) out.push(["-", JSON.parse(was)], ["+", message]);
  });
  for (const text of old.values()) out.push(["-", JSON.parse(text)]);
  return out.map(([side, message]) => [side, `${roleOf(message)}: ${line(textOf(message?.content), 400) || line(JSON.stringify(message), 400)}`]);
}

function lines(found) {
  const shown = found.slice(0, MOST_LINES);
  return el("div", { class: "diff", tabindex: "0", role: "region", "aria-label": "Changed lines" },
    shown.map(([side, text]) => el("div", { class: `diff-line${side === "+" ? " is-new" : side === "-" ? " is-old" : ""}` },
      el("span", { class: "diff-side" }, side), el("span", { dir: "auto" }, line(text, 2000) ? text.slice(0, 2000) : " "))),
    found.length > MOST_LINES && el("div", { class: "diff-line" }, `${found.length - MOST_LINES} more lines`));
}

/** The channels that differ between two states, each with its added and removed lines. */
export function compare(before, after) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  const changed = names.filter((name) => JSON.stringify(before?.[name]) !== JSON.stringify(after?.[name]));
  if (!changed.length) return el("p", {}, "No channel changed.");
  return el("div", { class: "compare" }, changed.map((name) => {
    const [old, now] = [before?.[name], after?.[name]];
    const isConversation = isMessages(now ?? old) && (old === undefined || Array.isArray(old)) && (now === undefined || Array.isArray(now));
    const found = isConversation ? messages(old ?? [], now ?? []) : lineDiff(pretty(old), pretty(now)).filter(([, text]) => text);
    return el("section", {}, el("h3", { dir: "auto" }, line(name, 200)), lines(found));
  }));
}
