// Elements. Texts of users become only text nodes and checked attributes.

const SVG = "http://www.w3.org/2000/svg";

/** An element. A property `on…` is a listener, `data` a dataset, all others are attributes. */
export function el(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(4).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const ICONS = {
  archive: "M4 5h16v4H4zM5.5 9v10h13V9M10 13h4",
  back: "M15 5l-7 7 7 7",
  check: "M5 13l4.5 4.5L19 7",
  clock: "M12 7v5l3.5 2M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z",
  close: "M6 6l12 12M18 6L6 18",
  compare: "M9 4v16M15 4v16M4 9h5M15 15h5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  down: "M12 5v14M6 13l6 6 6-6",
  disk: "M4 5h16v6H4zM4 13h16v6H4zM7.5 8h.01M7.5 16h.01",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  export: "M12 15V4M7.5 8L12 3.5 16.5 8M5 14v6h14v-6",
  fork: "M7 4v16M7 15c0-6 10-3 10-11M5 4h4M15 4h4",
  link: "M10 14l4-4M9 8l3-3a4 4 0 0 1 7 7l-3 3M15 16l-3 3a4 4 0 0 1-7-7l3-3",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  out: "M10 4H5v16h5M9 12h11M16 8l4 4-4 4",
  pin: "M9 4h6l-1 6 3.5 4h-11L10 10zM12 14v6",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20",
  send: "M5 12h14M13 6l6 6-6 6",
  stop: "M7 7h10v10H7z",
  tag: "M4 4h8l8 8-8 8-8-8zM8.5 8.5h.01",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
};

/** An icon of the page, hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** An SVG element with these attributes. */
export function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A button with an icon and a label. */
export function iconButton(name, label, onclick, props) {
  return el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

let composing = false;
let composedAt = -Infinity;

/** Whether a key press belongs to an input method's unfinished word. */
export function isComposing(event) {
  return composing || event.isComposing || event.keyCode === 229 || performance.now() - composedAt < 100;
}

// Safari reports the end of a composition before the key press that ended it.
document.addEventListener("compositionstart", () => { composing = true; }, true);
document.addEventListener("compositionend", () => { composing = false; composedAt = performance.now(); }, true);
document.addEventListener("keydown", (event) => {
  if ((event.key !== "Enter" && event.key !== "Escape") || !isComposing(event)) return;
  event.stopImmediatePropagation();
  event.preventDefault();
}, true);

/** Shows a dialog. The promise resolves to the value of the button that closed it, or "". */
export function dialog(title, body, buttons, { onopen } = {}) {
  return new Promise((resolve) => {
    const heading = el("h2", { id: "dialog-title" }, title);
    const form = el("form", { method: "dialog", class: "dialog-form" }, heading, body,
      el("div", { class: "dialog-buttons" }, buttons.map(([value, label, kind]) =>
        el("button", { value, class: kind ?? "", formnovalidate: value === "", type: value === "" ? "button" : "submit",
          onclick: value === "" ? () => node.close("") : undefined }, label))));
    const node = el("dialog", { "aria-labelledby": "dialog-title" }, form);
    node.addEventListener("cancel", (event) => { if (composing) event.preventDefault(); });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      node.close(event.submitter?.value ?? buttons.at(-1)[0]);
    });
    node.addEventListener("close", () => { node.remove(); resolve(node.returnValue); });
    document.body.append(node);
    node.showModal();
    onopen?.(node);
  });
}

/** A menu below a button. `entries` are made when it opens: [icon, label, action], or null for a line. */
export function menu(button, entries) {
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    const node = el("div", { class: "menu", role: "menu", popover: "auto" });
    const items = entries().map((entry) => entry === null ? el("hr") : el("button", {
      type: "button", role: "menuitem", class: entry[3] ?? "",
      onclick: () => { node.hidePopover(); entry[2](); },
    }, icon(entry[0]), entry[1]));
    node.append(...items);
    node.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...node.querySelectorAll("button")];
      all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
    });
    node.addEventListener("toggle", (event) => {
      button.setAttribute("aria-expanded", String(event.newState === "open"));
      if (event.newState === "closed") node.remove();
    });
    document.body.append(node);
    node.showPopover();
    const at = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = node;
    node.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
    node.style.top = `${at.bottom + height + 8 > innerHeight ? Math.max(8, at.top - height - 4) : at.bottom + 4}px`;
    node.querySelector("button")?.focus();
  });
  return button;
}

let notices;

/** Shows a sentence at the lower edge for some seconds, or until the returned function is called. */
export function notice(text, { action, label, seconds = 6, kind = "" } = {}) {
  notices ??= document.body.appendChild(el("div", { class: "notices", role: "status", "aria-live": "polite" }));
  // `append` puts the notices above all other elements.
  if (!notices.isConnected) document.body.append(notices);
  const close = () => { clearTimeout(timer); node.remove(); };
  const node = el("div", { class: `notice ${kind}` }, el("span", {}, text),
    action && el("button", { type: "button", onclick: () => { close(); action(); } }, label),
    iconButton("close", "Dismiss", () => close()));
  const timer = seconds ? setTimeout(close, seconds * 1000) : 0;
  notices.append(node);
  return close;
}

/** Copies a text to the clipboard. If the browser does not allow that, shows the text. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied.`, { seconds: 3 });
  } catch {
    notice(text, { seconds: 30 });
  }
}

/** A number of bytes with a unit. */
export function bytes(count) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit += 1; }
  return `${count >= 10 || unit === 0 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}
