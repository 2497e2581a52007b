// Every method of the real JavaScript ThreadsClient that needs no run, for one line of the SDK:
//
//     node threads.mjs @langchain/langgraph-sdk    (1.15.0)
//     node threads.mjs langgraph-sdk-2             (2.0.0)
//
// BASE_URL names the server, SUPABASE_URL its sign-in (the server itself if unset), SUPABASE_KEY
// may be any text. Exits 0 only if every check holds, and if every public method was called.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

const line = process.argv[2] ?? "@langchain/langgraph-sdk";
const { Client } = await import(line);

const baseUrl = process.env.BASE_URL ?? "http://127.0.0.1:2024";
const supabaseUrl = process.env.SUPABASE_URL ?? baseUrl;
const apikey = process.env.SUPABASE_KEY ?? "any-key";

// Public methods that are not called here, and why.
const needsRuns = {
  stream: "starts a run and follows it; this server stores threads and runs none",
};

// What 2.0.0 does not have, or takes and does not send.
const is2 = line === "langgraph-sdk-2";

const called = new Set();

function isPublic(name) {
  return name !== "constructor" && !name.startsWith("_");
}

function ownMethods(threads) {
  return Object.getOwnPropertyNames(Object.getPrototypeOf(threads)).filter(isPublic);
}

async function signUp() {
  const answer = await fetch(`${supabaseUrl}/auth/v1/signup`, {
    method: "POST",
    headers: { apikey, "content-type": "application/json" },
    body: JSON.stringify({ email: `js-${randomUUID()}@example.com`, password: "correct horse" }),
  });
  assert.equal(answer.status, 200);
  const session = await answer.json();
  return { id: session.user.id, token: session.access_token };
}

// `client.threads`, which notes the methods that are called.
function threadsOf(user) {
  const { threads } = new Client({
    apiUrl: baseUrl,
    apiKey: null,
    callerOptions: { maxRetries: 0 },
    defaultHeaders: user ? { Authorization: `Bearer ${user.token}` } : {},
  });
  return new Proxy(threads, {
    get(target, name) {
      const value = target[name];
      if (typeof value !== "function") return value;
      called.add(name);
      return value.bind(target);
    },
  });
}

async function refused(status, call) {
  try {
    await call;
  } catch (error) {
    assert.equal(error.status, status, String(error));
    return error.message;
  }
  assert.fail(`expected ${status}`);
}

const ids = (threads) => threads.map((thread) => thread.thread_id);
const notes = (states) => states.map((state) => state.values.note);

// A thread with one checkpoint a text; its id and the checkpoints, oldest first.
async function noted({ mine }, ...texts) {
  const { thread_id: id } = await mine.create();
  const checkpoints = [];
  for (const note of texts) {
    checkpoints.push((await mine.updateState(id, { values: { note } })).checkpoint);
  }
  return [id, checkpoints];
}

async function nextUpdates(stream, count) {
  const parts = [];
  while (parts.length < count) {
    const { value, done } = await stream.next();
    assert.ok(!done && value.event === "state_update", `${done} ${JSON.stringify(value)}`);
    parts.push(value);
  }
  return parts;
}

const checks = {
  async "the tutorial"({ mine, theirs, nobody, me }) {
    const thread = await mine.create();
    assert.deepEqual(thread.metadata, { owner: me.id });
    assert.match(await refused(403, nobody.create()), /Authorization/);
    const id = thread.thread_id;
    for (const read of [theirs.get, theirs.getState, theirs.getHistory]) {
      assert.match(await refused(404, read(id)), new RegExp(`Thread with ID ${id} not found`));
    }
    assert.deepEqual(await theirs.search(), []);
    assert.equal(await theirs.count(), 0);
    assert.deepEqual(await mine.get(id), thread);
  },

  async "create takes all it has"({ mine, theirs, me }) {
    const threadId = randomUUID();
    const thread = await mine.create({
      threadId,
      metadata: { a: 1, owner: "somebody else" },
      graphId: "agent",
      ifExists: "raise",
      ttl: 5,
    });
    assert.equal(thread.thread_id, threadId);
    assert.deepEqual(thread.metadata, { a: 1, graph_id: "agent", owner: me.id });
    assert.deepEqual([thread.status, thread.values, thread.interrupts], ["idle", null, {}]);
    await refused(409, mine.create({ threadId }));
    const again = await mine.create({ threadId, ifExists: "do_nothing", metadata: { b: 2 } });
    assert.deepEqual(again, thread);
    await refused(409, theirs.create({ threadId, ifExists: "do_nothing" }));
    await refused(422, mine.create({ threadId: "no-uuid" }));
    await refused(422, mine.create({ ttl: -1 }));
  },

  async "create applies supersteps"({ mine }) {
    const step = (asNode, values) => ({ updates: [{ values, asNode }] });
    const thread = await mine.create({
      supersteps: [
        step("__input__", { messages: [{ role: "user", content: "hi" }], n: 1 }),
        step("a", { messages: [{ role: "assistant", content: "hello" }], n: 2 }),
      ],
    });
    const history = await mine.getHistory(thread.thread_id);
    assert.deepEqual(history.map((state) => state.values.messages.length), [2, 1]);
    assert.deepEqual(history.map((state) => state.metadata.as_node), ["a", "__input__"]);
    assert.deepEqual(thread.values.messages.map((message) => message.type), ["human", "ai"]);
    const threadId = randomUUID();
    await refused(422, mine.create({ threadId, supersteps: [step("a", { n: 1 }), step("a", 5)] }));
    await refused(404, mine.get(threadId));
  },

  async "get shows the ttl when asked"({ mine, theirs }) {
    const { thread_id: id } = await mine.create({ ttl: { ttl: 30, strategy: "keep_latest" } });
    const { ttl } = await mine.get(id, { include: ["ttl", "other"] });
    if (is2) {
      assert.equal(ttl, undefined);
    } else {
      assert.deepEqual([ttl.ttl_minutes, ttl.strategy], [30, "keep_latest"]);
    }
    assert.equal((await mine.get(id)).ttl, undefined);
    await refused(404, theirs.get(id));
    await refused(422, mine.get("no-uuid"));
  },

  async "update merges metadata and sets the ttl"({ mine, theirs, me }) {
    const { thread_id: id } = await mine.create({ metadata: { a: 1, b: { c: 1 } } });
    const thread = await mine.update(id, { metadata: { b: { d: 2 }, e: null }, ttl: 7 });
    assert.deepEqual(thread.metadata, { a: 1, b: { d: 2 }, e: null, owner: me.id });
    const answer = await mine.update(id, { metadata: { f: 3 }, returnMinimal: true });
    assert.equal(answer?.thread_id, is2 ? id : undefined);
    assert.equal((await mine.get(id)).metadata.f, 3);
    if (!is2) assert.equal((await mine.get(id, { include: ["ttl"] })).ttl.ttl_minutes, 7);
    await refused(404, theirs.update(id, { metadata: {} }));
  },

  async "delete ends a thread"({ mine, theirs, ...world }) {
    const [id] = await noted({ mine, ...world }, "x");
    await refused(404, theirs.delete(id));
    await mine.delete(id);
    await refused(404, mine.delete(id));
    await refused(404, mine.getState(id));
  },

  async "search takes all it has"({ mine, theirs, me }) {
    const tag = randomUUID();
    const made = [];
    for (const n of [0, 1, 2, 3]) {
      made.push((await mine.create({ metadata: { tag, n, deep: { n } } })).thread_id);
    }
    for (const n of [0, 1, 2]) {
      const values = { note: n % 2 === 0 ? "even" : "odd", l: [n, 9] };
      await mine.updateState(made[n], { values });
    }
    const metadata = { tag };
    const newest = [made[2], made[1], made[0], made[3]];
    assert.deepEqual(ids(await mine.search({ metadata })), newest);
    const byAge = { metadata, sortBy: "created_at", sortOrder: "asc" };
    assert.deepEqual(ids(await mine.search(byAge)), made);
    assert.deepEqual(ids(await mine.search({ ...byAge, limit: 2, offset: 1 })), made.slice(1, 3));
    assert.deepEqual(ids(await mine.search({ ...byAge, status: "idle" })), made);
    assert.deepEqual(await mine.search({ ...byAge, status: "busy" }), []);
    const even = await mine.search({ ...byAge, values: { note: "even" } });
    assert.deepEqual(ids(even), [made[0], made[2]]);
    assert.deepEqual(ids(await mine.search({ ...byAge, ids: made.slice(2) })), made.slice(2));
    const some = await mine.search({
      ...byAge,
      limit: 1,
      select: ["thread_id", "status"],
      extract: { last: "values.l[-1]", n: "metadata.deep.n", none: "values.x" },
    });
    const expected = { thread_id: made[0], status: "idle" };
    if (!is2) expected.extracted = { last: 9, n: 0, none: null };
    assert.deepEqual(some, [expected]);
    assert.deepEqual(await theirs.search({ metadata: { tag, owner: me.id } }), []);
    await refused(422, mine.search({ limit: 0 }));
    await refused(422, mine.search({ select: ["nothing"] }));
  },

  async "count agrees with search"({ mine, theirs }) {
    const metadata = { tag: randomUUID() };
    const made = [];
    for (let n = 0; n < 12; n += 1) made.push((await mine.create({ metadata })).thread_id);
    await mine.updateState(made[0], { values: { note: "x" } });
    assert.equal(await mine.count({ metadata }), 12);
    assert.equal(await mine.count({ metadata, values: { note: "x" } }), 1);
    assert.equal(await mine.count({ metadata, status: "error" }), 0);
    assert.equal(await theirs.count({ metadata }), 0);
  },

  async "copy takes the history along"({ mine, theirs, ...world }) {
    const [id, checkpoints] = await noted({ mine, ...world }, "1", "2");
    const copied = await mine.copy(id);
    assert.notEqual(copied.thread_id, id);
    const history = await mine.getHistory(copied.thread_id);
    assert.deepEqual(notes(history), ["2", "1"]);
    assert.deepEqual(
      history.map((state) => state.checkpoint.checkpoint_id),
      checkpoints.map((checkpoint) => checkpoint.checkpoint_id).reverse(),
    );
    await mine.updateState(copied.thread_id, { values: { note: "3" } });
    assert.deepEqual((await mine.getState(id)).values, { note: "2" });
    await refused(404, theirs.copy(id));
  },

  async "prune deletes or keeps the latest"({ mine, theirs, ...world }) {
    if (is2) {
      assert.equal(mine.prune, undefined);
      return;
    }
    const [kept] = await noted({ mine, ...world }, "1", "2");
    const [gone] = await noted({ mine, ...world }, "1");
    await refused(404, theirs.prune([kept]));
    assert.deepEqual(await mine.prune([kept], { strategy: "keep_latest" }), { pruned_count: 1 });
    assert.deepEqual(notes(await mine.getHistory(kept)), ["2"]);
    await refused(404, mine.prune([gone, randomUUID()]));
    assert.deepEqual(await mine.prune([gone, gone]), { pruned_count: 1 });
    await refused(404, mine.get(gone));
  },

  async "getState in all its forms"({ mine, theirs, ...world }) {
    const empty = await mine.getState((await mine.create()).thread_id);
    assert.deepEqual([empty.values, empty.next, empty.checkpoint], [{}, [], null]);
    const [id, [, middle]] = await noted({ mine, ...world }, "1", "2", "3");
    const newest = await mine.getState(id, undefined, { subgraphs: true });
    assert.equal(newest.values.note, "3");
    assert.deepEqual(newest.parent_checkpoint, middle);
    const at = [middle.checkpoint_id, middle];
    const select = ["values.note", "values.x", "next"];
    for (const checkpoint of at) {
      const state = await mine.getState(id, checkpoint, { subgraphs: true });
      assert.deepEqual([state.values, state.checkpoint_id], [{ note: "2" }, middle.checkpoint_id]);
      await refused(404, theirs.getState(id, checkpoint));
      const selected = await mine.getState(id, checkpoint, { select });
      if (!is2) assert.deepEqual(selected, { values: { note: "2" }, next: [] });
    }
    const selected = await mine.getState(id, undefined, { select });
    if (!is2) assert.deepEqual(selected, { values: { note: "3" }, next: [] });
    const unknown = randomUUID();
    assert.deepEqual((await mine.getState(id, unknown)).values, {});
  },

  async "updateState writes onto what it is told to"({ mine, theirs, ...world }) {
    const [id, [first]] = await noted({ mine, ...world }, "1", "2");
    const values = { x: 1 };
    const written = await mine.updateState(id, { values, asNode: "node", checkpoint: first });
    const fork = await mine.getState(id);
    assert.deepEqual(fork.values, { note: "1", x: 1 });
    assert.deepEqual(fork.checkpoint, written.checkpoint);
    assert.deepEqual(fork.parent_checkpoint, first);
    assert.deepEqual([fork.metadata.as_node, fork.metadata.step], ["node", 1]);
    await mine.updateState(id, { values: { x: 2 }, checkpointId: first.checkpoint_id });
    assert.deepEqual((await mine.getState(id)).parent_checkpoint, first);
    await mine.updateState(id, { values: null });
    await mine.updateState(id, { values: [{ x: 3 }, { y: 4 }] });
    assert.deepEqual((await mine.getState(id)).values, { note: "1", x: 3, y: 4 });
    await refused(422, mine.updateState(id, { values: 5 }));
    await refused(404, mine.updateState(id, { values: {}, checkpointId: randomUUID() }));
    await refused(404, theirs.updateState(id, { values }));
  },

  async "messages follow their reducer"({ mine }) {
    const { thread_id: id } = await mine.create();
    async function contents(...messages) {
      await mine.updateState(id, { values: { messages } });
      const { values } = await mine.getState(id);
      return values.messages.map((message) => `${message.type} ${message.content}`);
    }
    const hello = { role: "user", content: "hello", id: "1" };
    assert.deepEqual(await contents(hello, ["ai", "again"]), ["human hello", "ai again"]);
    const bye = { type: "human", content: "bye", id: "1" };
    assert.deepEqual(await contents(bye), ["human bye", "ai again"]);
    assert.deepEqual(await contents({ type: "remove", id: "1" }), ["ai again"]);
    assert.deepEqual(await contents({ type: "remove", id: "__remove_all__" }), []);
  },

  async "patchState has no route, as on the reference server"({ mine }) {
    const { thread_id: id } = await mine.create();
    await refused(405, mine.patchState(id, { x: 1 }));
    await refused(405, mine.patchState({ configurable: { thread_id: id } }, { x: 1 }));
  },

  async "getHistory in all its forms"({ mine, theirs, ...world }) {
    const [id, checkpoints] = await noted({ mine, ...world }, ..."abcde");
    assert.deepEqual(notes(await mine.getHistory(id)), [..."edcba"]);
    assert.deepEqual(notes(await mine.getHistory(id, { limit: 2 })), ["e", "d"]);
    const third = checkpoints[2];
    for (const before of [{ configurable: third }, third, third.checkpoint_id]) {
      assert.deepEqual(notes(await mine.getHistory(id, { before })), ["b", "a"]);
    }
    assert.deepEqual(notes(await mine.getHistory(id, { metadata: { step: 1 } })), ["b"]);
    assert.deepEqual(notes(await mine.getHistory(id, { checkpoint: third })), ["c"]);
    const selected = await mine.getHistory(id, { limit: 1, select: ["values.note"] });
    if (!is2) assert.deepEqual(selected, [{ values: { note: "e" } }]);
    await refused(422, mine.getHistory(id, { limit: 0 }));
    await refused(404, theirs.getHistory(id));
  },

  async "a joined stream replays, follows, and ends with its thread"({ mine, ...world }) {
    const [id] = await noted({ mine, ...world }, "1", "2");
    const streamMode = ["lifecycle", "state_update"];
    const stream = mine.joinStream(id, { lastEventId: "-", streamMode });
    const replayed = await nextUpdates(stream, 2);
    await mine.updateState(id, { values: { note: "3" } });
    const [live] = await nextUpdates(stream, 1);
    assert.deepEqual(notes([...replayed, live].map((part) => part.data.state)), ["1", "2", "3"]);
    assert.equal(live.data.thread_id, id);
    assert.deepEqual(live.data.state, await mine.getState(id));
    const options = { lastEventId: replayed[0].id, streamMode: "state_update" };
    const since = mine.joinStream(id, options);
    assert.deepEqual(notes((await nextUpdates(since, 2)).map((part) => part.data.state)), ["2", "3"]);
    await mine.delete(id);
    assert.equal((await stream.next()).done, true);
    assert.equal((await since.next()).done, true);
  },

  async "a joined stream is refused like anything else"({ mine, theirs, ...world }) {
    const [id] = await noted({ mine, ...world }, "1");
    await refused(404, theirs.joinStream(id).next());
    await refused(422, mine.joinStream(id, { streamMode: "values" }).next());
    await refused(422, mine.joinStream(id, { lastEventId: "zzz" }).next());
  },

  async "an aborted stream ends for the client"({ mine, ...world }) {
    const [id] = await noted({ mine, ...world }, "1");
    const abort = new AbortController();
    const options = { lastEventId: "-", streamMode: "state_update", signal: abort.signal };
    const stream = mine.joinStream(id, options);
    await nextUpdates(stream, 1);
    const next = stream.next();
    abort.abort();
    assert.ok(await next.then(({ done }) => done, (error) => error.name === "AbortError"));
  },
};

let failed = 0;
function fail(text) {
  failed += 1;
  console.log(`FAIL  ${line}: ${text}`);
}

for (const [name, check] of Object.entries(checks)) {
  const [me, other] = [await signUp(), await signUp()];
  const [mine, theirs, nobody] = [me, other, null].map(threadsOf);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("it takes too long")), 60_000);
  });
  try {
    await Promise.race([check({ me, mine, theirs, nobody }), late]);
    console.log(`ok    ${line}: ${name}`);
  } catch (error) {
    fail(`${name}\n${error.stack}`);
  }
  clearTimeout(timer);
}
const methods = ownMethods(new Client({ apiUrl: baseUrl }).threads);
assert.ok(methods.includes("joinStream"), `what are the methods? ${methods}`);
for (const method of methods) {
  if (!called.has(method) && !(method in needsRuns)) {
    fail(`${method} is neither called here nor listed as needing runs`);
  }
}
console.log(failed === 0 ? `${line}: all checks hold` : `${line}: ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
