// Runs graphs of different shapes with LangGraph's own saver, and prints what the library says.
//
//   node graphs.mjs DATABASE_URL THREAD_ID...
//
// Prints a JSON list of threads, each with the library's `getState` and `getStateHistory`. The saver
// keeps no owner, so the threads were made before. Without ids it prints how many it needs.

import { AIMessage, HumanMessage, RemoveMessage, ToolMessage } from "@langchain/core/messages";
import {
  Annotation, Command, END, START, Send, StateGraph, interrupt, messagesStateReducer,
} from "@langchain/langgraph";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";

const State = Annotation.Root({
  messages: Annotation({ reducer: messagesStateReducer, default: () => [] }),
  log: Annotation({ reducer: (a, b) => a.concat(b), default: () => [] }),
  answer: Annotation(),
  value: Annotation(),
});
const say = (text) => (state) => ({
  messages: [new AIMessage({ content: text, id: `${text}-${state.messages.length}` })],
});
const human = (text = "Hi", id = "h-1") => ({ messages: [new HumanMessage({ content: text, id })] });
const build = (nodes, edges) => {
  const builder = new StateGraph(State);
  for (const [name, node] of Object.entries(nodes)) builder.addNode(name, node);
  for (const [one, other] of edges) builder.addEdge(one, other);
  return builder;
};
const ignoring = async (promise) => promise.catch(() => undefined);

const graphs = {
  async line(checkpointer, config) {
    const graph = build({ a: say("a"), b: say("b") }, [[START, "a"], ["a", "b"], ["b", END]])
      .compile({ checkpointer });
    await graph.invoke(human(), config);
    await graph.invoke(human("again", "h-2"), config);
    return graph;
  },
  async conditional(checkpointer, config) {
    const graph = build({ a: say("a"), b: say("b"), c: say("c") }, [[START, "a"], ["b", END], ["c", END]])
      .addConditionalEdges("a", (state) => (state.messages.length > 1 ? "c" : "b"), ["b", "c"])
      .compile({ checkpointer });
    await graph.invoke(human(), config);
    return graph;
  },
  async join(checkpointer, config) {
    const graph = build({ a: say("a"), b: say("b"), c: say("c") }, [
      [START, "a"], [START, "b"], [["a", "b"], "c"], ["c", END],
    ]).compile({ checkpointer });
    await graph.invoke(human(), config);
    return graph;
  },
  async sends(checkpointer, config) {
    const graph = build(
      { plan: say("plan"), work: (part) => ({ log: [part.i] }), sum: say("sum") },
      [[START, "plan"], ["work", "sum"], ["sum", END]],
    ).addConditionalEdges("plan", () => [3, 1, 2].map((i) => new Send("work", { i })), ["work"])
      .compile({ checkpointer });
    await graph.invoke(human(), config);
    return graph;
  },
  async asksAndWaits(checkpointer, config) {
    const ask = () => ({ answer: interrupt({ question: "go on?", list: [1, null] }) });
    const graph = build({ a: say("a"), ask }, [[START, "a"], ["a", "ask"], ["ask", END]])
      .compile({ checkpointer });
    await graph.invoke(human(), config);
    return graph;
  },
  async asksAndIsAnswered(checkpointer, config) {
    const graph = await graphs.asksAndWaits(checkpointer, config);
    await graph.invoke(new Command({ resume: "yes" }), config);
    return graph;
  },
  async twoAsk(checkpointer, config) {
    const ask = (name) => () => ({ log: [interrupt(`q${name}`)] });
    const graph = build({ a: ask("a"), b: ask("b") }, [[START, "a"], [START, "b"], ["a", END], ["b", END]])
      .compile({ checkpointer });
    await graph.invoke(human(), config);
    return graph;
  },
  async fails(checkpointer, config) {
    const bad = () => { throw new Error("bad"); };
    const graph = build({ a: say("a"), bad }, [[START, "a"], ["a", "bad"], ["bad", END]])
      .compile({ checkpointer });
    await ignoring(graph.invoke(human(), config));
    return graph;
  },
  async stopsBeforeANode(checkpointer, config) {
    const graph = build({ a: say("a"), b: say("b") }, [[START, "a"], ["a", "b"], ["b", END]])
      .compile({ checkpointer, interruptBefore: ["b"] });
    await graph.invoke(human(), config);
    return graph;
  },
  async removals(checkpointer, config) {
    const graph = build({
      a: () => ({ messages: [new AIMessage({ content: "one", id: "x" }), new AIMessage({ content: "two", id: "y" })] }),
      b: () => ({ messages: [new RemoveMessage({ id: "x" }), new AIMessage({ content: "TWO", id: "y" })] }),
    }, [[START, "a"], ["a", "b"], ["b", END]]).compile({ checkpointer });
    await graph.invoke(human(), config);
    return graph;
  },
  async forks(checkpointer, config) {
    const graph = await graphs.line(checkpointer, config);
    const history = [];
    for await (const state of graph.getStateHistory(config)) history.push(state);
    await graph.updateState(history[3].config, human("edited", "h-9"), "a");
    await graph.invoke(null, config);
    return graph;
  },
  async subgraphs(checkpointer, config) {
    const inner = build({ in: say("in") }, [[START, "in"], ["in", END]]).compile();
    const graph = build({ outer: inner, last: say("last") }, [[START, "outer"], ["outer", "last"], ["last", END]])
      .compile({ checkpointer });
    await graph.invoke(human(), config);
    return graph;
  },
  async loops(checkpointer, config) {
    const graph = build({ a: say("a") }, [[START, "a"]])
      .addConditionalEdges("a", (state) => (state.messages.length > 5 ? END : "a"), ["a", END])
      .compile({ checkpointer });
    await graph.invoke(human(), config);
    return graph;
  },
  async values(checkpointer, config) {
    const value = () => ({
      value: { text: "Gr\u00fc\u00dfe \u2028 \u{1f600} \u0001", list: [1, null, true, 1.5e300, [{}]], nothing: null },
      messages: [
        new AIMessage({ content: "", id: "t", tool_calls: [{ name: "look", args: { q: "x" }, id: "c", type: "tool_call" }] }),
        new ToolMessage({ content: "42", tool_call_id: "c", name: "look", id: "r", artifact: { rows: [1] } }),
      ],
    });
    const graph = build({ fill: value }, [[START, "fill"], ["fill", END]]).compile({ checkpointer });
    await graph.invoke(human(), config);
    return graph;
  },
};

const plain = (value) => {
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    if (typeof value._getType === "function") {
      const { content, id } = value;
      return { type: value._getType(), content: plain(content), id };
    }
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return value;
};

const shown = (state) => ({
  values: plain(state.values),
  next: [...state.next].sort(),
  checkpoint_id: state.config.configurable.checkpoint_id ?? null,
  parent_checkpoint_id: state.parentConfig?.configurable?.checkpoint_id ?? null,
  tasks: state.tasks.map((task) => ({
    id: task.id,
    name: task.name,
    failed: Boolean(task.error),
    interrupts: task.interrupts.map(({ id, value }) => ({ id, value })),
  })),
});

const [url, ...ids] = process.argv.slice(2);
const names = Object.keys(graphs);
if (ids.length === 0) {
  console.log(names.length);
  process.exit(0);
}
const saver = PostgresSaver.fromConnString(url);
await saver.setup();
const threads = [];
for (const [index, name] of names.entries()) {
  const config = { configurable: { thread_id: ids[index] } };
  const graph = await graphs[name](saver, config);
  const history = [];
  for await (const state of graph.getStateHistory(config)) history.push(shown(state));
  threads.push({ name, thread_id: ids[index], now: shown(await graph.getState(config)), history });
}
await saver.end();
console.log(JSON.stringify(threads));
