// Messages to an agent: a stand-in that answers word by word, asks, and can be stopped. It keeps what
// was said in the store, with the user's own token.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { accessible, ai, human, newUser, open, pause, row, signIn, startServer, story, until } from "./support.mjs";

async function agent(store) {
  const heard = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString() || "{}");
    heard.push({ path: request.url, user: request.headers["x-forwarded-user"], body });
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
      send("values", { messages: said, __interrupt__: [{ id: "i", value: "Really delete it?" }] });
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
  return { url: `http://127.0.0.1:${server.address().port}`, heard, close: () => { server.closeAllConnections(); server.close(); } };
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
  await page.getByText("word word word").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByRole("button", { name: "Send" }).waitFor();
  assert.ok(parrot.heard.some(({ path }) => path.includes("/cancel")));

  await box.fill("delete it");
  await box.press("Enter");
  await page.getByText("Really delete it?").waitFor();
  await page.getByRole("button", { name: "Send" }).waitFor();
  await box.fill("true");
  await box.press("Enter");
  await page.getByText("Resumed with true").waitFor();
  await until(async () => (await page.getByText("Really delete it?").count()) === 0, "answered");

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
