// The page: a list on the left, a thread on the right. The address determines what is shown.

import * as api from "./api.js";
import { Composer } from "./composer.js";
import { STATUS } from "./content.js";
import { dialog, el, icon, iconButton, menu, notice } from "./dom.js";
import { offer } from "./example.js";
import { List } from "./list.js";
import * as session from "./session.js";
import { signIn } from "./signin.js";
import { Threads } from "./store.js";
import { ThreadView } from "./thread.js";
import { Tidy } from "./tidy.js";

const KEYS = [["/", "search"], ["j k", "next, previous thread"], ["x", "select in the list"], ["t", "history"], ["r", "rename"],
  ["p", "pin"], ["e", "archive"], ["#", "delete"], ["Esc", "close"], ["?", "this list"],
  ["word “a phrase” -word", "in titles and messages"], ["tag:work status:busy is:archived", "conditions"],
  ["after:2026-01-31", "also before:"], ['{"metadata.x": …}', "a filter of the API"]];

function banner() {
  const node = el("div", { class: "banner", role: "status", "aria-live": "polite", hidden: true });
  api.connection.addEventListener("away", (event) => { node.textContent = event.detail; node.hidden = false; });
  api.connection.addEventListener("back", () => { node.hidden = true; });
  document.body.prepend(node);
}

async function start() {
  banner();
  const { answer: config, attempt } = await api.open("config.json");
  // The document may have been sent before the provider's addresses were known, without them in its policy.
  if (attempt > 0 && config.sign_in.mode === "oidc") { location.reload(); return; }
  const said = await session.start(config.sign_in);
  if (!session.user()) await signIn(config.sign_in, said);
  shell(config);
}

function shell(config) {
  const threads = new Threads();
  const tidy = new Tidy(threads);
  const view = new ThreadView({ threads, tidy, leave: () => go(""), composer: config.agent ? new Composer() : null });
  const bulk = el("div", { class: "bulk", role: "toolbar", "aria-label": "Selected threads", hidden: true });
  const opened = (thread) => { threads.put(thread); go(thread.thread_id); };
  const list = new List(threads, { select: () => drawBulk(), offer: offer({ created: opened, begin: config.agent && begin }) });
  const { box, bar } = searchBar(threads);
  const account = menu(iconButton("out", "Account", () => {}, { class: "icon-button account" }), () => [
    ["search", "Keys and search", help],
    ["link", "API", () => { open(new URL("../docs", document.baseURI), "_blank", "noopener"); }],
    null,
    ["out", "Sign out", () => session.signOut()],
  ]);
  const who = session.user()?.email ?? "";
  const side = el("nav", { class: "side", "aria-label": "Threads" },
    el("header", { class: "side-head" }, el("span", { class: "brand" }, el("span", { class: "mark", "aria-hidden": "true" }), "Threads"),
      el("span", { class: "who", title: who }, el("bdi", {}, who)), config.agent && iconButton("edit", "New conversation", begin), account), bar, bulk, list.node);
  const hint = el("p", { hidden: true }, "Choose a thread to read it.");
  const empty = el("div", { class: "empty" }, hint);
  document.body.append(el("div", { class: "app" }, side, view.node, empty));

  function drawBulk() {
    const ids = [...list.selected].filter((id) => threads.get(id));
    bulk.hidden = !ids.length;
    if (!ids.length) return;
    const then = (action) => async () => { await action(ids); list.clear(); };
    const isArchive = threads.asked.archived;
    bulk.replaceChildren(el("span", {}, `${ids.length} selected`),
      iconButton("pin", "Pin", then((some) => tidy.pin(some, true))),
      iconButton("archive", isArchive ? "Remove from the archive" : "Archive", then((some) => tidy.archive(some, !isArchive))),
      iconButton("tag", "Tags", then((some) => tidy.tags(some))),
      iconButton("export", "Export as JSON", then((some) => tidy.save(some, "json"))),
      iconButton("trash", "Delete", then((some) => { tidy.remove(some); if (some.includes(view.id)) go(""); })),
      iconButton("close", "Clear the selection", () => list.clear()));
  }
  threads.addEventListener("change", () => { drawBulk(); hint.hidden = !threads.rows.length; });

  let begun = "";
  async function begin() {
    try {
      const known = threads.get(begun);
      // A conversation without messages is used again.
      if (!known || known.count || view.composer.asked(begun)) {
        const thread = await api.json("threads", { method: "POST", body: {} });
        threads.put(thread);
        begun = thread.thread_id;
      }
      go(begun);
      route();
      view.composer.box.focus();
    } catch (error) {
      notice(error.message);
    }
  }

  function go(id) { location.hash = id ? `#/threads/${id}` : "#/"; }

  function route() {
    const [path, query = ""] = location.hash.slice(1).split("?");
    const [, kind, id = "", checkpoint = ""] = path.split("/").map(decode);
    const asked = new URLSearchParams(query);
    const shown = kind === "threads" ? id : "";
    document.body.classList.toggle("has-thread", Boolean(shown));
    empty.hidden = Boolean(shown);
    list.current = shown;
    view.show(shown, { checkpoint, message: asked.get("message") ?? "" });
  }

  addEventListener("hashchange", route);
  addEventListener("keydown", (event) => shortcut(event, { box, list, view, tidy, go }));
  threads.show({});
  route();
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function help() {
  return dialog("Keys and search", el("dl", { class: "help" }, KEYS.map(([word, text]) => [el("dt", {}, el("kbd", {}, word)), el("dd", {}, text)])), [["", "Close"]]);
}

/** The search box and the filters of the list. */
function searchBar(threads) {
  const box = el("input", { type: "search", class: "search-box", placeholder: "Search titles and messages", "aria-label": "Search", autocomplete: "off", spellcheck: "false", maxlength: 1000 });
  const select = (name, label, choices) => el("select", { "aria-label": label, onchange: (event) => threads.show({ [name]: event.target.value }) },
    choices.map(([value, text]) => el("option", { value }, text)));
  const archive = el("button", { type: "button", class: "chip", "aria-pressed": "false", onclick: () => {
    const archived = archive.getAttribute("aria-pressed") !== "true";
    archive.setAttribute("aria-pressed", String(archived));
    threads.show({ archived });
  } }, "Archive");
  let waiting = 0;
  let isComposed = false;
  let last = 0;
  const look = () => {
    clearTimeout(waiting);
    // The first letter is searched at once, further ones together after a pause.
    waiting = setTimeout(() => { last = performance.now(); threads.show({ text: box.value }); }, performance.now() - last > 120 ? 0 : 50);
  };
  box.addEventListener("compositionstart", () => { isComposed = true; });
  box.addEventListener("compositionend", () => { isComposed = false; look(); });
  box.addEventListener("input", () => { if (!isComposed) look(); });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { box.value = ""; look(); box.blur(); event.stopPropagation(); }
  });
  return { box, bar: el("div", { class: "search" }, el("div", { class: "search-line" }, icon("search"), box),
    el("div", { class: "filters" },
      select("status", "Status", [["", "Any status"], ...Object.entries(STATUS).map(([status, name]) => [status, name[0].toUpperCase() + name.slice(1)])]),
      select("time", "Time", [["", "Any time"], ["day", "Last day"], ["week", "Last week"], ["month", "Last month"]]), archive)) };
}

function shortcut(event, { box, list, view, tidy, go }) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open], .menu")) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select")) return;
  const row = list.threads.get(view.id);
  const actions = {
    "/": () => box.focus(),
    j: () => go(list.beside(1) ?? ""),
    k: () => go(list.beside(-1) ?? ""),
    "?": help,
    ...(view.id ? {
      t: () => view.toggleTime(),
      r: () => view.rename(),
      p: () => tidy.pin([view.id], !view.row?.pinned).then(() => view.reload()),
      e: () => tidy.archive([view.id], !(row ?? view.row)?.archived).then(() => view.reload()),
      "#": () => view.remove(),
      Escape: () => go(""),
    } : {}),
  };
  const action = Object.hasOwn(actions, event.key) && actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

start();
