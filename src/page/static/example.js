// What a list without threads offers: a first conversation.

import * as api from "./api.js";
import { el, notice } from "./dom.js";
import { code } from "./markdown.js";
import * as session from "./session.js";

const STEPS = [
  ["human", "Plan a weekend in Bern for me."],
  ["ai", "With pleasure:\n\n- **Saturday**: the old town, then a swim in the river\n- **Sunday**: the train to the mountains"],
  ["human", "And if it rains?"],
  ["ai", "Then the museums. *History* shows this conversation before it rained, and the search finds every word of it."],
];

const stepOf = ([type, content]) => ({ updates: [{ as_node: type === "human" ? "__input__" : "agent", values: { messages: [{ type, content }] } }] });

/** Creates the conversation and returns its thread. */
const create = () => api.json("threads", { method: "POST", body: { metadata: { title: "A weekend in Bern", tags: ["example"] }, supersteps: STEPS.map(stepOf) } });

/** A command for a terminal that creates a thread. The token is that of the session. */
async function command() {
  const body = JSON.stringify({ metadata: { title: "From a terminal" }, supersteps: [stepOf(["human", "Hello"])] });
  return [`curl ${new URL("../threads", document.baseURI).href}`, `-d '${body}'`, `-H 'Authorization: Bearer ${await session.token()}'`].join(" \\\n  ");
}

/** The offer. `created` is called with the new thread. `begin` begins a conversation with the agent, if there is one. */
export function offer({ created, begin }) {
  const button = (label, onclick) => el("button", { type: "button", class: "primary", onclick }, label);
  if (begin) return el("div", { class: "offer" }, "No threads yet.", button("Begin a conversation", begin));
  const make = button("Create an example", async () => {
    make.disabled = true;
    try {
      created(await create());
    } catch (error) {
      notice(error.message);
    }
    make.disabled = false;
  });
  // With a new token whenever it is opened.
  const terminal = el("details", { class: "folded" }, el("summary", {}, "Or create one from a terminal"));
  terminal.addEventListener("toggle", async () => {
    const text = terminal.open && await command().catch((error) => { notice(error.message); });
    terminal.replaceChildren(terminal.firstChild, text ? code(text, "This command is signed in as you") : "");
  });
  return el("div", { class: "offer" }, "No threads yet. They appear here as soon as a client creates one.", make, terminal);
}
