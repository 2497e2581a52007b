// Renders Markdown as text nodes and a few elements. HTML in it is text. Time and nodes grow at
// most linearly with the length of the text. Nesting beyond `DEEPEST` is shown as plain text.

import { el, iconButton, copy } from "./dom.js";
import { long } from "./tree.js";

/** Maximum length of a text that is rendered as Markdown, in UTF-16 units. */
export const LONGEST = 40_000;
const DEEPEST = 6;
const OPEN_AT_ONCE = 24;
const LONGEST_ADDRESS = 2000;
const MOST_NODES = 1500;
const MOST_CELLS = 800;

/** The URL for an address that may become a link, or null. */
export function address(text) {
  if (text.length > LONGEST_ADDRESS || !/^(https?:\/\/[^\s]|mailto:[^\s])/i.test(text) || /[\s\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]/.test(text)) return null;
  try {
    const url = new URL(text);
    const isSafe = ["http:", "https:", "mailto:"].includes(url.protocol) && !url.username && !url.password;
    return isSafe ? url : null;
  } catch {
    return null;
  }
}

/** Whether an address contains the picture itself, so that nothing is fetched for it. */
export const isPicture = (text) => /^data:image\/(png|jpeg|jpg|gif|webp|avif|svg\+xml)[;,]/i.test(text);

export function picture(source, label) {
  return el("img", { src: source, alt: label || "Picture", loading: "lazy", decoding: "async", class: "picture" });
}

/** A link to another site. It sends no referrer, and shows the host that it leads to. */
export function link(url, children) {
  const anchor = el("a", { href: url.href, rel: "noopener noreferrer nofollow", target: "_blank", referrerpolicy: "no-referrer", title: url.href }, children);
  const isNamed = !url.host || anchor.textContent.includes(url.host);
  return isNamed ? anchor : el("span", {}, anchor, el("span", { class: "host", dir: "ltr" }, ` (${url.host})`));
}

/** The elements of a text. */
export function markdown(text) {
  const budget = { nodes: MOST_NODES };
  return blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0, budget);
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]{0,40})[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const BULLET = /^( {0,3})([-*+]|\d{1,9}[.)])( {1,4}|$)/;
const DELIMITERS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*){0,60}\|?[ \t]*$/;

function blocks(lines, depth, budget) {
  const out = [];
  let paragraph = [];
  const flush = () => {
    if (paragraph.length) out.push(el("p", { dir: "auto" }, inline(paragraph.join("\n"), budget)));
    paragraph = [];
  };
  for (let at = 0; at < lines.length; at += 1) {
    const text = lines[at];
    if (budget.nodes <= 0) {
      flush();
      out.push(long(lines.slice(at).join("\n")));
      return out;
    }
    if (!text.trim()) { flush(); continue; }
    budget.nodes -= 1;
    // A block can begin only with one of these characters.
    const head = text.trimStart()[0];
    const found = "`~".includes(head) && FENCE.exec(text);
    if (found) {
      flush();
      const [, fence, language] = found;
      let end = at + 1;
      while (end < lines.length && !isEnd(lines[end], fence)) end += 1;
      out.push(code(lines.slice(at + 1, end).join("\n"), language));
      at = end;
    } else if (head === "#" && HEADING.test(text)) {
      flush();
      const [, marks, title] = HEADING.exec(text);
      out.push(el("p", { class: `heading h${marks.length}`, role: "heading", "aria-level": Math.min(6, marks.length + 2), dir: "auto" }, inline(title.replace(/[ \t]+#{1,6}[ \t]*$/, ""), budget)));
    } else if ("-*_".includes(head) && text.length < 200 && RULE.test(text)) {
      flush();
      out.push(el("hr"));
    } else if (head === ">" && depth < DEEPEST && QUOTE.test(text)) {
      flush();
      const inner = [];
      while (at < lines.length && QUOTE.test(lines[at])) inner.push(lines[at++].replace(QUOTE, ""));
      at -= 1;
      out.push(el("blockquote", {}, blocks(inner, depth + 1, budget)));
    } else if (depth < DEEPEST && BULLET.test(text) && (!paragraph.length || !/^ {0,3}\d/.test(text))) {
      flush();
      at = list(lines, at, depth, budget, out) - 1;
    } else if (text.includes("|") && at + 1 < lines.length && lines[at + 1].includes("-") && lines[at + 1].length < 2000 && DELIMITERS.test(lines[at + 1])) {
      flush();
      at = table(lines, at, budget, out) - 1;
    } else {
      paragraph.push(text);
    }
  }
  flush();
  return out;
}

function isEnd(line, fence) {
  const text = line.trim();
  return text.length >= fence.length && text.startsWith(fence) && text === fence[0].repeat(text.length);
}

function list(lines, at, depth, budget, out) {
  const isOrdered = /\d/.test(BULLET.exec(lines[at])[2]);
  const number = isOrdered ? parseInt(BULLET.exec(lines[at])[2], 10) : 1;
  const items = [];
  while (at < lines.length && budget.nodes > 0) {
    const found = BULLET.exec(lines[at]);
    if (!found || /\d/.test(found[2]) !== isOrdered || (RULE.test(lines[at]) && lines[at].length < 200)) break;
    const width = found[1].length + found[2].length + Math.max(1, found[3].length);
    const inner = [lines[at].slice(width)];
    at += 1;
    while (at < lines.length) {
      const line = lines[at];
      if (!line.trim()) {
        if (at + 1 >= lines.length || !/^ {2,}\S/.test(lines[at + 1])) break;
        inner.push("");
      } else if (/^ {2,}|^\t/.test(line)) {
        inner.push(line.startsWith("\t") ? line.slice(1) : line.slice(Math.min(width, line.length - line.trimStart().length)));
      } else if (BULLET.test(line) || QUOTE.test(line) || FENCE.test(line) || HEADING.test(line)) break;
      else inner.push(line);
      at += 1;
    }
    inner[0] = inner[0].replace(/^\[ \] /, "☐ ").replace(/^\[x\] /i, "☑ ");
    items.push(el("li", {}, blocks(inner, depth + 1, budget)));
    budget.nodes -= 1;
    while (at < lines.length && !lines[at].trim() && at + 1 < lines.length && BULLET.test(lines[at + 1])) at += 1;
  }
  out.push(el(isOrdered ? "ol" : "ul", { start: isOrdered && number !== 1 ? number : null }, items));
  return at;
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function table(lines, at, budget, out) {
  const begin = at;
  const rows = [];
  let count = 0;
  while (at < lines.length && lines[at].includes("|") && lines[at].trim()) {
    if (at !== begin + 1) {
      const row = cells(lines[at]);
      count += row.length;
      if (count <= MOST_CELLS) rows.push(row);
    }
    at += 1;
  }
  if (count > MOST_CELLS) {
    out.push(el("pre", { tabindex: "0" }, lines.slice(begin, at).join("\n")));
    return at;
  }
  budget.nodes -= count;
  const [head, ...body] = rows;
  const width = head.length;
  out.push(el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" }, el("table", {},
    el("thead", {}, el("tr", {}, head.map((cell) => el("th", { dir: "auto" }, inline(cell, budget))))),
    el("tbody", {}, body.map((row) => el("tr", {}, row.slice(0, width).map((cell) => el("td", { dir: "auto" }, inline(cell, budget)))))))));
  return at;
}

/** A block of code, with its language and a button that copies it. */
export function code(text, language) {
  return el("div", { class: "code" },
    el("div", { class: "code-head" }, el("span", {}, language || "text"), iconButton("copy", "Copy code", () => copy(text, "Code"))),
    el("pre", { tabindex: "0" }, el("code", { dir: "ltr" }, text)));
}

const PLAIN = /[^\\`*_~[\]!<h]+/y;

function inline(text, budget) {
  const out = [];
  /** Open emphasis and brackets, the last one last. */
  const open = [];
  let ticks = null;
  let at = 0;
  const put = (node) => {
    if (typeof node === "string" && typeof out.at(-1) === "string") out[out.length - 1] += node;
    else { out.push(node); budget.nodes -= 1; }
  };
  while (at < text.length) {
    if (budget.nodes <= 0) { put(text.slice(at)); break; }
    PLAIN.lastIndex = at;
    const plain = PLAIN.exec(text);
    if (plain) { put(plain[0]); at = PLAIN.lastIndex; continue; }
    const letter = text[at];
    if (letter === "\\") {
      const next = text[at + 1];
      const isEscape = next !== undefined && /[!-/:-@[-`{-~]/.test(next);
      put(isEscape ? next : "\\");
      at += isEscape ? 2 : 1;
    } else if (letter === "`") {
      ticks ??= runs(text);
      at = span(text, at, ticks, put);
    } else if (letter === "h") {
      at = bare(text, at, put);
    } else if (letter === "<") {
      const end = text.slice(at, at + LONGEST_ADDRESS).search(/[>\s]/);
      const url = end > 0 && text[at + end] === ">" ? address(text.slice(at + 1, at + end)) : null;
      if (url) { put(link(url, [url.href])); at += end + 1; } else { put("<"); at += 1; }
    } else if (letter === "!" && text[at + 1] === "[") {
      begin({ kind: "!", at: out.length, text: "![" });
      at += 2;
    } else if (letter === "[") {
      begin({ kind: "[", at: out.length, text: "[" });
      at += 1;
    } else if (letter === "]") {
      at = bracket(text, at, out, open, put);
    } else if (letter === "*" || letter === "_" || letter === "~") {
      at = emphasis(text, at, out, open, put, begin);
    } else {
      put(letter);
      at += 1;
    }
  }
  return out.map((node) => node === null ? "" : node);

  function begin(opener) {
    // The opener is a text node of its own, which remains if the opener is never closed.
    if (open.length >= OPEN_AT_ONCE) open.shift();
    out.push(document.createTextNode(opener.text));
    budget.nodes -= 1;
    open.push(opener);
  }
}

function runs(text) {
  const found = new Map();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    if (!found.has(run.length)) found.set(run.length, []);
    found.get(run.length).push(index);
  }
  return found;
}

function span(text, at, ticks, put) {
  let length = 1;
  while (text[at + length] === "`") length += 1;
  const places = ticks.get(length) ?? [];
  // The next one after this place, by binary search.
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle] < at + length) low = middle + 1; else high = middle;
  }
  const end = places[low];
  if (end === undefined) { put("`".repeat(length)); return at + length; }
  put(el("code", { dir: "auto" }, text.slice(at + length, end).replace(/^ (.*) $/s, "$1")));
  return end + length;
}

function bare(text, at, put) {
  const rest = text.slice(at, at + LONGEST_ADDRESS);
  const isStart = at === 0 || !/[\w:.@=/-]/.test(text[at - 1]);
  const found = isStart && /^https?:\/\/[^\s<>"'`\\]+/i.exec(rest);
  if (!found) { put("h"); return at + 1; }
  let end = found[0].length;
  while (end > 0 && ".,;:!?*_~'\"".includes(found[0][end - 1])) end -= 1;
  if (found[0][end - 1] === ")" && !found[0].slice(0, end).includes("(")) end -= 1;
  const url = address(found[0].slice(0, end));
  put(url ? link(url, [found[0].slice(0, end)]) : found[0].slice(0, end));
  return at + end;
}

const DESTINATION = /^\(\s*(?:<([^<>\n]*)>|([^\s()]*(?:\([^\s()]*\)[^\s()]*)*))(?:\s+(?:"[^"\n]*"|'[^'\n]*'))?\s*\)/;

function bracket(text, at, out, open, put) {
  let index = open.length - 1;
  while (index >= 0 && open[index].kind !== "[" && open[index].kind !== "!") index -= 1;
  const opener = open[index];
  if (!opener) { put("]"); return at + 1; }
  if (text[at + 1] !== "(") { open.splice(index, 1); put("]"); return at + 1; }
  // A data URL is long, so it is taken without a search for nested brackets.
  const isData = opener.kind === "!" && text.startsWith("data:image/", at + 2);
  const end = isData ? text.indexOf(")", at) : -1;
  const found = isData ? end > 0 && [text.slice(at + 1, end + 1), undefined, text.slice(at + 2, end)]
    : DESTINATION.exec(text.slice(at + 1, at + 1 + LONGEST_ADDRESS));
  if (!found) { open.splice(index, 1); put("]"); return at + 1; }
  const target = (found[1] ?? found[2] ?? "").trim();
  const children = out.splice(opener.at).slice(1);
  open.length = index;
  const label = children.map((child) => typeof child === "string" ? child : child?.textContent ?? "").join("");
  const url = address(target);
  if (opener.kind === "!") {
    if (isPicture(target)) put(picture(target, label));
    else if (url) put(link(url, [`${label || "Picture"}: ${url.href}`]));
    else put(`![${label}](${target})`);
  } else if (url && !children.some((child) => child?.querySelector?.("a") || child?.tagName === "A")) {
    put(link(url, children));
  } else {
    put("[");
    for (const child of children) put(child);
    put(`]${found[0]}`);
  }
  return at + 1 + found[0].length;
}

const isSpace = (letter) => letter === undefined || /\s/.test(letter);
const isMark = (letter) => letter !== undefined && /[\p{P}\p{S}]/u.test(letter);

function emphasis(text, at, out, open, put, begin) {
  const letter = text[at];
  let length = 1;
  while (text[at + length] === letter) length += 1;
  const [before, after] = [text[at - 1], text[at + length]];
  if (length > 3 || (letter === "~" && length !== 2)) { put(letter.repeat(length)); return at + length; }
  const isLeft = !isSpace(after) && (!isMark(after) || isSpace(before) || isMark(before));
  const isRight = !isSpace(before) && (!isMark(before) || isSpace(after) || isMark(after));
  const isWithin = letter === "_" && isLeft && isRight;
  if (isRight && !isWithin) {
    let index = open.length - 1;
    while (index >= 0 && !(open[index].kind === letter && open[index].length === length)) {
      if (open[index].kind === "[" || open[index].kind === "!") { index = -1; break; }
      index -= 1;
    }
    if (index >= 0) {
      const children = out.splice(open[index].at).slice(1);
      open.length = index;
      const inner = el(letter === "~" ? "del" : length === 1 ? "em" : "strong", {}, children);
      put(length === 3 ? el("em", {}, inner) : inner);
      return at + length;
    }
  }
  if (isLeft && !isWithin) begin({ kind: letter, length, at: out.length, text: letter.repeat(length) });
  else put(letter.repeat(length));
  return at + length;
}
