// Runs through thread-store with a JavaScript SDK, whose package is the argument. BASE_URL and
// SUPABASE_URL name the server. The agent is examples/agent, or its graph in `langgraph dev`.
import assert from "node:assert/strict";

const { Client } = await import(process.argv[2]);
const apiUrl = process.env.BASE_URL;

async function client() {
  const user = { email: `${crypto.randomUUID()}@example.com`, password: "secure-password" };
  const headers = { "content-type": "application/json", apikey: "local" };
  const url = `${process.env.SUPABASE_URL}/auth/v1/signup`;
  const signUp = await fetch(url, { method: "POST", headers, body: JSON.stringify(user) });
  const { access_token: token } = await signUp.json();
  return new Client({ apiUrl, defaultHeaders: { Authorization: `Bearer ${token}` } });
}

const say = (content) => ({ messages: [{ role: "user", content }] });
const refused = (call) => assert.rejects(call, (error) => error.status === 404, "not refused");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const [ada, bob] = [await client(), await client()];
const { thread_id: thread } = await ada.threads.create();

// An answer arrives word by word, as it is made.
const words = [];
const times = [];
let last;
const asked = { input: say("one two three four"), streamMode: ["messages-tuple", "values"] };
for await (const { event, data } of ada.runs.stream(thread, "agent", asked)) {
  if (event === "messages" && data[0].type === "AIMessageChunk") {
    words.push(data[0].content);
    times.push(performance.now());
  }
  if (event === "values") last = data;
}
assert.equal(words.join(""), "You said: one two three four");
assert.ok(words.length >= 6 && times.at(-1) - times[0] > 100, `${times}`);
assert.equal(last.messages.at(-1).content, words.join(""));

const waited = await ada.runs.wait(thread, "agent", { input: say("five") });
assert.equal(waited.messages.at(-1).content, "You said: five");
const stateless = await ada.runs.wait(null, "agent", { input: say("six") });
assert.equal(stateless.messages.length, 2);

const question = await ada.runs.wait(thread, "agent", { input: say("delete all") });
assert.equal(question.__interrupt__[0].value.question, "Really delete all?");
const answered = await ada.runs.wait(thread, "agent", { command: { resume: "no" } });
assert.equal(answered.messages.at(-1).content, "Then I will not.");

const run = await ada.runs.create(thread, "agent", { input: say("word ".repeat(40)) });
let joined = 0;
for await (const _ of ada.runs.joinStream(thread, run.run_id)) joined += 1;
assert.ok(joined > 0);
await ada.runs.join(thread, run.run_id);
assert.equal((await ada.runs.get(thread, run.run_id)).status, "success");
assert.ok((await ada.runs.list(thread)).some((other) => other.run_id === run.run_id));

const long = await ada.runs.create(thread, "agent", { input: say("word ".repeat(400)) });
const status = async () => (await ada.runs.get(thread, long.run_id)).status;
for (let tries = 0; tries < 100 && (await status()) !== "running"; tries += 1) await sleep(50);
await ada.runs.cancel(thread, long.run_id, true);
for (let tries = 0; tries < 100 && (await status()) !== "interrupted"; tries += 1) await sleep(50);
assert.equal(await status(), "interrupted");

await refused(bob.runs.wait(thread, "agent", { input: say("mine") }));
await refused(bob.runs.get(thread, run.run_id));
await refused(bob.runs.cancel(thread, run.run_id));
await refused((async () => {
  for await (const _ of bob.runs.stream(thread, "agent", { input: say("mine") })) assert.fail();
})());
const { thread_id: own } = await bob.threads.create();
await refused(bob.runs.get(own, run.run_id));
await ada.threads.delete(thread);
await refused(ada.runs.get(thread, run.run_id));
console.log(`runs.mjs with ${process.argv[2]}: all checks passed`);
