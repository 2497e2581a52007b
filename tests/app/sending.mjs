// Messages to an agent: a stand-in that answers word by word, asks, and can be stopped. It keeps what
// was said in the store, with the user's own token.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { accessible, ai, human, newUser, open, pause, row, server, signIn, startServer, story, until } from "./support.mjs";

async function agent(store) {
  const heard = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString() || "{}");
    heard.push({ path: request.url, user: request.headers["x-forwarded-user"], token: request.headers.authorization, body });
    const json = (value) => { response.writeHead(200, { "content-type": "application/json" }); response.end(JSON.stringify(value)); };
    if (request.url.startsWith("/assistants/search")) return json([{ assistant_id: "parrot", graph_id: "parrot" }]);
    if (request.url.includes("/cancel")) { const run = heard.findLast(({ cancel }) => cancel); run?.cancel(); return json({}); }
    const thread = /threads\/([^/]+)\/runs\/stream/.exec(request.url)?.[1];
    if (!thread) { response.writeHead(404, { "content-type": "application/json" }); return response.end("{}"); }
    response.writeHead(200, { "content-type": "text/event-stream", "content-location": `/threads/${thread}/runs/0199a0a0-0000-7000-8000-000000000001` });
    const send = (event, data) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    send("metadata", { run_id: "0199a0a0-0000-7000-8000-000000000001", attempt: 1 });
    let stopped = false;
    heard.at(-1).cancel = () => { stopped = true; };
    const write = (messages) => fetch(`${store()}/threads/${thread}/state`, { method: "POST", headers: { authorization: request.headers.authorization }, body: JSON.stringify({ values: { messages } }) });
    const said = body.input?.messages ?? [];
    if (body.command) {
      const answer = ai(`Resumed with ${JSON.stringify(body.command.resume)}`, { id: `r${heard.length}` });
      await write([answer]);
      send("messages", [answer, {}]);
      return response.end();
    }
    await write(said);
    const text = said[0].content;
    if (text.includes("delete")) {
      send("values", { messages: said, __interrupt__: [{ id: "i", value: text.includes("all") ? { question: "Really delete all?" } : "Really delete it?" }] });
      return response.end();
    }
    const id = `a${heard.length}`;
    let whole = "";
    for (const word of `You said: ${text.includes("long") ? "word ".repeat(200) : text}`.split(/(?<= )/)) {
      if (stopped) break;
      whole += word;
      send("messages", [{ type: "AIMessageChunk", id, content: word }, { langgraph_node: "model" }]);
      await pause(40);
    }
    await write([ai(whole, { id })]);
    response.end();
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  server.unref();
  return { token: () => heard.findLast(({ user }) => user).token, url: `http://127.0.0.1:${server.address().port}`, heard, close: () => { server.closeAllConnections(); server.close(); } };
}

story("a message is sent, its answer arrives word by word, is stopped, asked back, and is there after a reload", async (newPage) => {
  let at;
  const parrot = await agent(() => at.url);
  at = await startServer({ AGENT_URL: parrot.url, AGENT_FORWARD_TOKEN: "true" });
  const [ada, bob] = [await newUser(at, "ada"), await newUser(at, "bob")];
  const page = await newPage(at);
  await signIn(page, ada);
  await page.getByRole("button", { name: "New conversation" }).click();
  const box = page.getByLabel("Message", { exact: true });
  await box.fill("Hello there, say this back to me word by word please");
  await accessible(page, "composer");
  await box.press("Enter");
  await page.locator(".message").getByText("Hello there, say this back to me word by word please", { exact: true }).waitFor();
  const seen = new Set();
  await until(async () => {
    const text = await page.locator(".message.is-ai .message-body").last().innerText().catch(() => "");
    seen.add(text.trim());
    return text.includes("You said: Hello there, say this back to me word by word please");
  }, "the whole answer");
  assert.ok(seen.size > 2, `seen while it came: ${[...seen]}`);
  assert.equal(await box.inputValue(), "");
  const { user, body } = parrot.heard.findLast(({ path }) => path.endsWith("/runs/stream"));
  assert.equal(user, ada.id);
  assert.equal(body.assistant_id, "parrot");
  await page.getByRole("button", { name: "Send" }).waitFor();
  await page.reload();
  await page.locator(".message").getByText("You said: Hello there, say this back to me word by word please").waitFor();
  await row(page, "Hello there").waitFor();

  await box.fill("a long one");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".message").getByText("word word word").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByRole("button", { name: "Send" }).waitFor();
  assert.ok(parrot.heard.some(({ path }) => path.includes("/cancel")));

  await box.fill("delete it");
  await box.press("Enter");
  await page.getByText("Really delete it?").waitFor();
  await page.getByRole("button", { name: "Send" }).waitFor();
  const reply = page.getByLabel("Answer", { exact: true });
  await reply.fill("true");
  await reply.press("Enter");
  await page.locator(".message").getByText("Resumed with true").waitFor();
  await until(async () => (await page.getByText("Really delete it?").count()) === 0, "answered");
  await box.fill("delete all");
  await box.press("Enter");
  await page.getByText("Really delete all?").waitFor();
  assert.deepEqual(await page.locator(".interrupt :is(h2, p)").allInnerTexts(), ["Waiting for an answer", "Really delete all?"]);
  assert.equal(await page.locator(".interrupt .json").count(), 0);
  await page.getByRole("button", { name: "Send" }).waitFor();
  await reply.fill("no");
  await reply.press("Enter");
  await page.locator(".message").getByText('Resumed with "no"').waitFor();

  const other = await newPage(at);
  await signIn(other, bob);
  await other.getByText("No threads yet.").waitFor();

  // Half a word, from an input method, is not sent.
  const runs = () => parrot.heard.filter(({ path }) => path.endsWith("/runs/stream")).length;
  const before = runs();
  await box.fill("half");
  await box.evaluate((one) => {
    one.dispatchEvent(new CompositionEvent("compositionstart", { bubbles: true }));
    one.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, cancelable: true, key: "Enter", isComposing: true }));
    one.dispatchEvent(new CompositionEvent("compositionend", { bubbles: true }));
    one.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, cancelable: true, key: "Enter" }));
  });
  await pause(300);
  assert.equal(runs(), before);
  await pause(700);
  await box.press("Enter");
  await until(() => runs() === before + 1, "sent a second later");
  await page.locator(".message").getByText("You said: half").waitFor();
});

story("the row of the open thread follows it, and not only when the list is read again", async (newPage) => {
  let at;
  const parrot = await agent(() => at.url);
  at = await startServer({ AGENT_URL: parrot.url, AGENT_FORWARD_TOKEN: "true" });
  const page = await newPage(at);
  // The list's own look at changes is never answered.
  await page.route(/threads\/search/, (route) => route.request().postDataJSON().limit === 30 ? undefined : route.continue());
  await signIn(page, await newUser(at));
  await page.locator(".offer").getByRole("button").click();
  await page.getByText("No messages yet.").waitFor();
  // A message may be sent before its thread is loaded.
  let load;
  const isLoaded = new Promise((resolve) => { load = resolve; });
  await page.route(/threads\/[0-9a-f-]{36}\?/, async (route) => { await isLoaded; await route.continue(); });
  await open(page, "");
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.keyboard.type("Hello there");
  await page.keyboard.press("Enter");
  await pause(100);
  assert.equal(parrot.heard.length, 0);
  load();
  await row(page, "Hello there").getByText("You said: Hello there").waitFor({ timeout: 10_000 });
  await row(page, "Hello there").locator(".row-count", { hasText: "2" }).waitFor({ timeout: 10_000 });
  const [{ thread_id: id }, ...others] = await (await fetch(`${at.url}/threads/search`, { method: "POST", body: "{}", headers: { authorization: parrot.token() } })).json();
  assert.deepEqual(others, [], "an empty conversation is used again");
  await fetch(`${at.url}/threads/${id}/state`, { method: "POST", headers: { authorization: parrot.token() }, body: JSON.stringify({ values: { messages: [human("From elsewhere")] } }) });
  await row(page, "Hello there").getByText("From elsewhere").waitFor({ timeout: 10_000 });
  await page.locator(".facts").getByText("3 messages").waitFor();
});

story("one word names a status in the list, in the thread and in the filter", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  await user.thread({ title: "Asked" }, [human("x")]);
  const page = await newPage(at);
  await page.route(/threads\/(search|[0-9a-f-]{36}\?)/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()).replaceAll('"status":"idle"', '"status":"interrupted"') });
  });
  await signIn(page, user);
  await row(page, "Asked").click();
  await page.locator(".facts", { hasText: "waiting" }).waitFor();
  assert.equal(await row(page, "Asked").locator(".row-status").innerText(), "waiting");
  assert.equal(await page.getByLabel("Status", { exact: true }).locator("[value=interrupted]").innerText(), "Waiting");
});

story("an agent that is away is a sentence, and the message is not lost", async (newPage) => {
  const at = await startServer({ AGENT_URL: "http://127.0.0.1:9" });
  const user = await newUser(at);
  const id = await user.thread({ title: "Away" }, [human("x")]);
  const page = await newPage(at, { console: ["503", "502"] });
  await page.route(/assistants\/search/, (route) => route.fulfill({ json: [] }));
  await signIn(page, user);
  await open(page, id);
  await page.getByLabel("Message", { exact: true }).fill("Are you there?");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".notice.is-bad").waitFor();
  assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "Are you there?");
});
