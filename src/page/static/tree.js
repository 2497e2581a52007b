// JSON as a tree of folded parts.

import { el } from "./dom.js";

const MOST = 100;
const LONGEST = 2000;

const summary = (value) => Array.isArray(value) ? `[${value.length}]` : `{${Object.keys(value).length}}`;

function leaf(value) {
  const kind = value === null ? "null" : typeof value;
  const text = kind === "string" ? JSON.stringify(value.slice(0, LONGEST)) : String(value);
  const rest = kind === "string" && value.length > LONGEST && el("button", { type: "button", class: "quiet",
    onclick: (event) => event.target.parentNode.replaceWith(long(value)) }, `show all ${value.length.toLocaleString("en")} characters`);
  return el("span", { class: `json-${kind}`, dir: "auto" }, text, rest ? " " : null, rest);
}

/** A long text in pieces, which the browser lays out when they come into view. */
export function long(text) {
  const pieces = [];
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + 4000);
    // A surrogate pair is not split.
    if (end < text.length && /[\ud800-\udbff]/.test(text[end - 1])) end += 1;
    pieces.push(el("div", { class: "piece" }, text.slice(at, end)));
    at = end;
  }
  return el("div", { class: "long", dir: "auto" }, pieces);
}

/** The tree of a value. Its parts are created when they are opened. */
export function tree(value, name, isOpen = false) {
  const label = name === undefined ? null : el("span", { class: "json-key" }, `${String(name).slice(0, 200)}: `);
  if (value === null || typeof value !== "object") return el("div", { class: "json-leaf" }, label, leaf(value));
  const entries = Array.isArray(value) ? value.map((item, at) => [at, item]) : Object.entries(value);
  const body = el("div", { class: "json-body" });
  const fill = (from) => {
    body.append(...entries.slice(from, from + MOST).map(([key, item]) => tree(item, key)));
    if (from + MOST < entries.length) {
      const more = el("button", { type: "button", class: "quiet", onclick: () => { more.remove(); fill(from + MOST); } },
        `${entries.length - from - MOST} more`);
      body.append(more);
    }
  };
  const node = el("details", { class: "json", open: isOpen },
    el("summary", {}, label, el("span", { class: "json-size" }, summary(value))), body);
  const once = () => { if (node.open && !body.childNodes.length) fill(0); };
  node.addEventListener("toggle", once);
  once();
  return node;
}
