// From the first start to a conversation: sign in, list, read, and that nothing is told to anybody.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { promisify } from "node:util";
import { User, accessible, ai, human, newUser, open, pictures, row, server, signIn, startServer, story, until } from "./support.mjs";

const CODE = "Take `fold`:\n\n```rust\nlet sum = (1..=10).fold(0, |sum, n| sum + n);\n```\n\n| way | lines |\n|---|---|\n| `fold` | 1 |\n| loop | **3** |\n\n1. short\n2. no *mut*\n\nSee [the book](https://doc.rust-lang.org/book/).";

async function conversation(user) {
  return user.thread({ topic: "rust" }, [human("How do I add the numbers from 1 to 10?"), ai(CODE)],
    [human("And the weather?"), ai("", { tool_calls: [{ id: "c1", name: "weather", args: { city: "Bern" } }] }),
      { type: "tool", tool_call_id: "c1", name: "weather", content: '{"celsius": 21, "sky": "clear"}' }, ai("21 °C, and clear.")]);
}

story("a newcomer comes from / to a first own conversation", async (newPage) => {
  const at = await server();
  assert.match(at.log, new RegExp(`Page: +${at.url}/app/`));
  const page = await newPage(at);
  const begin = performance.now();
  await page.goto(`${at.url}/`);
  assert.equal(page.url(), `${at.url}/app/`);
  await accessible(page, "sign-in");
  const heading = (name) => page.getByRole("heading", { name }).waitFor();
  await page.getByRole("button", { name: "I have no account yet" }).click();
  await heading("Create an account");
  await page.getByRole("button", { name: "I have an account" }).click();
  await heading("Sign in to your threads");
  await page.getByRole("button", { name: "I have no account yet" }).click();
  // The field to fill has the focus.
  await page.keyboard.type("first@example.com");
  await page.getByLabel("Password").fill("secure-password");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByText("No threads yet.").waitFor();
  assert.equal(await page.getByText("Choose a thread").isVisible(), false, "nothing to choose");
  await accessible(page, "no threads");
  await page.getByRole("button", { name: "Create an example" }).click();
  await page.locator(".message").getByText("And if it rains?").waitFor();
  assert.ok(performance.now() - begin < 60_000, "within a minute");
  assert.equal(await page.locator(".title").innerText(), "A weekend in Bern");
  await page.getByRole("button", { name: "History", exact: true }).click();
  await page.locator(".checkpoint").nth(3).waitFor();
  assert.deepEqual(await page.locator(".checkpoint-more bdi:first-child").allInnerTexts(), ["agent", "input", "agent", "input"]);
  await page.locator(".checkpoint").nth(3).locator("a").click();
  await until(async () => (await page.locator(".message").count()) === 1, "as it began");
  await page.getByRole("searchbox").fill("museums");
  await page.locator(".hit mark", { hasText: "museums" }).waitFor();
});

story("without threads the page offers a command that creates one, or with an agent a conversation", async (newPage) => {
  const at = await server();
  const page = await newPage(at, { permissions: ["clipboard-read", "clipboard-write"] });
  await signIn(page, await newUser(at));
  await page.getByText("Or create one from a terminal").click();
  await page.getByRole("button", { name: "Copy code" }).click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(command, await page.locator(".offer code").innerText());
  await promisify(execFile)("sh", ["-c", `${command} --fail --silent`]);
  await row(page, "From a terminal").click();
  await page.locator(".message").getByText("Hello").waitFor();

  const withAgent = await startServer({ AGENT_URL: "http://127.0.0.1:9" });
  const other = await newPage(withAgent);
  await signIn(other, await newUser(withAgent));
  assert.equal(await other.getByText("Create an example").count(), 0);
  await other.getByRole("button", { name: "Begin a conversation" }).click();
  await other.getByText("No messages yet.").waitFor();
});

story("a thread is shown with Markdown, code, tools and other channels, in light and dark", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await conversation(user);
  await user.write(id, { plan: { steps: ["look", "think"], done: false }, n: 7 });
  for (const colorScheme of ["light", "dark"]) {
    const page = await newPage(at, { colorScheme });
    await signIn(page, user);
    await row(page, "How do I add").click();
    await page.locator("pre code", { hasText: "fold(0" }).waitFor();
    await page.locator("td strong", { hasText: "3" }).waitFor();
    assert.equal(await page.locator("a", { hasText: "the book" }).getAttribute("rel"), "noopener noreferrer nofollow");
    assert.equal(await page.locator(".message").count(), 5, "a result is with its call");
    await page.locator(".tool-call summary").first().click();
    await page.getByText("celsius").waitFor();
    await accessible(page, `thread, ${colorScheme}`);
    if (pictures) await page.screenshot({ path: `${pictures}/thread-${colorScheme}.png` });
    await page.getByRole("button", { name: "State" }).click();
    await page.locator(".state").getByText("plan").click();
    await page.locator(".state").getByText("think").or(page.locator(".state").getByText("steps")).first().waitFor();
    await accessible(page, `state, ${colorScheme}`);
  }
});

story("a second user sees nothing of the first, by list or by link", async (newPage) => {
  const at = await server();
  const [ada, bob] = [await newUser(at, "ada"), await newUser(at, "bob")];
  const id = await ada.thread({ title: "Ada's own" }, [human("a secret")]);
  const [first, second] = [await newPage(at), await newPage(at, { console: ["404"] })];
  await signIn(first, ada);
  await signIn(second, bob);
  await row(first, "Ada's own").waitFor();
  await second.getByText("No threads yet.").waitFor();
  await open(second, id);
  await second.getByText("There is no such thread, or it is not yours.").waitFor();
  assert.equal(await second.locator(".thread-head").getByRole("button").count(), 1, "only the empty title");
  assert.ok(!(await second.content()).includes("secret"));
});

story("who asks to stay signed in is after a reload, who does not is not, and signing out ends the session", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await user.thread({ title: "Mine" }, [human("hello")]);
  const page = await newPage(at);
  await signIn(page, user);
  await open(page, id);
  await page.getByText("hello").first().waitFor();
  await page.reload();
  await page.locator(".message").getByText("hello").waitFor();
  const token = await page.evaluate(() => JSON.parse(sessionStorage.getItem("thread-store:session:/app/")).access);
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByLabel("E-mail").waitFor();
  assert.deepEqual(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie]), [0, 0, ""]);
  const refused = await fetch(`${at.url}/auth/v1/user`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(refused.status, 403);
  await signIn(page, user, { stay: false });
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.reload();
  await page.getByLabel("E-mail").waitFor();
});

story("a wrong password is a sentence", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const page = await newPage(at, { console: ["400"] });
  await page.goto(`${at.url}/app/`);
  await page.getByLabel("E-mail").fill(user.email);
  await page.getByLabel("Password").fill("something else");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("The e-mail address or the password is wrong.").waitFor();
});

story("the page works at 360 pixels, and by keyboard alone", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  for (let number = 0; number < 30; number += 1) await user.thread({ title: `Thread ${number}` }, [human(`words of ${number}`)]);
  const page = await newPage(at, { viewport: { width: 360, height: 640 } });
  await signIn(page, user);
  await row(page, "Thread 29").first().waitFor();
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(await wide(), 360);
  await page.locator(".row a").first().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.locator(".message").getByText("words of 27").waitFor();
  assert.equal(await wide(), 360);
  await accessible(page, "thread at 360 px");
  await page.keyboard.press("j");
  await page.locator(".message").getByText("words of 26").waitFor();
  await page.keyboard.press("t");
  await page.locator(".checkpoint").first().waitFor();
  assert.equal(await wide(), 360);
  await page.keyboard.press("t");
  await page.keyboard.press("r");
  await page.keyboard.type("Renamed by hand");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Renamed by hand" }).waitFor();
  await page.keyboard.press("Escape");
  await row(page, "Renamed by hand").waitFor();
  await accessible(page, "list at 360 px");
  await page.keyboard.press("/");
  await page.keyboard.type("Thread 11");
  await until(async () => (await page.locator(".row").count()) === 1, "one hit");
  await page.keyboard.press("Escape");
  await until(async () => (await page.locator(".row").count()) > 5, "all again");
});

story("on a phone a thread's title and status are whole, and the list's columns are in line", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await user.thread({ title: "Holiday plans for the summer", pinned: true }, [human("To the sea"), ai("By train")]);
  await user.thread({ title: "Another" }, [human("words")]);
  const page = await newPage(at, { viewport: { width: 375, height: 667 }, isMobile: true, hasTouch: true });
  await signIn(page, user);
  await row(page, "Another").waitFor();
  const left = async (title, part) => (await row(page, title).locator(part).boundingBox()).x;
  const check = await row(page, "Holiday").getByRole("checkbox").boundingBox();
  const pin = await left("Holiday", ".row-pin");
  assert.ok(pin >= check.x + check.width, "the pin is beside the checkbox");
  assert.deepEqual([await left("Another", ".row-title"), await left("Another", ".row-preview"), await left("Holiday", ".row-preview")], [pin, pin, pin]);
  await open(page, id);
  await page.locator(".message").first().waitFor();
  const isWhole = (node) => node.scrollWidth <= node.clientWidth;
  assert.ok(await page.locator(".title").evaluate(isWhole), "the title is whole");
  assert.ok(await page.locator(".thread-facts").evaluate(isWhole), "the facts are whole");
  assert.match(await page.locator(".facts").innerText(), /^2 messages · /);
});

/** What puts a path before a server: it takes the prefix off and passes on all else. */
async function behind(prefix, server) {
  const proxy = createServer((asked, answer) => {
    if (!asked.url.startsWith(`${prefix}/`)) { answer.writeHead(404); answer.end(); return; }
    const passed = request(`${server.url}${asked.url.slice(prefix.length)}`, { method: asked.method, headers: asked.headers }, (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  });
  await new Promise((resolve) => { proxy.listen(0, "127.0.0.1", resolve); });
  proxy.unref();
  return `http://127.0.0.1:${proxy.address().port}`;
}

story("behind a proxy that puts a path before it, all of the page stays below that path", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await user.thread({ title: "Below" }, [human("words below a path")]);
  const origin = await behind("/chats/store", at);
  const page = await newPage({ url: origin });
  await page.goto(`${origin}/chats/store/`);
  assert.equal(page.url(), `${origin}/chats/store/app/`);
  await signIn(page, user, { at: `${origin}/chats/store` });
  await row(page, "Below").click();
  await page.locator(".message").getByText("words below a path").waitFor();
  await user.write(id, [ai("live below a path")]);
  await page.locator(".message").getByText("live below a path").waitFor();
  await page.getByRole("searchbox").fill("live");
  await page.locator(".hit mark", { hasText: "live" }).waitFor();
  await page.reload();
  await page.locator(".message").getByText("live below a path").waitFor();
  assert.equal(page.url(), `${origin}/chats/store/app/#/threads/${id}`);
  assert.deepEqual(page.seen.requests.filter((one) => !/^[A-Z]+ \/chats\/store\//.test(one)), []);
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByLabel("E-mail").waitFor();
});

story("what is served says what a browser may do with it", async () => {
  const at = await server();
  const page = await fetch(`${at.url}/app/`, { headers: { "accept-encoding": "gzip" } });
  const policy = page.headers.get("content-security-policy");
  for (const part of ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "connect-src 'self';", "base-uri 'none'"]) assert.ok(policy.includes(part), part);
  assert.ok(!policy.includes("unsafe"));
  assert.equal(page.headers.get("referrer-policy"), "no-referrer");
  assert.equal(page.headers.get("set-cookie"), null);
});

story("the commands of docs/agents.md work, and work again", async () => {
  const at = await server();
  const agent = createServer((_, answer) => answer.end("You said: Hello")).listen(0, "127.0.0.1");
  agent.unref();
  await until(() => agent.address(), "the agent's port");
  const blocks = readFileSync(new URL("../../docs/agents.md", import.meta.url), "utf8").matchAll(/```sh\n(.*?)```/gs);
  const commands = [...blocks].map(([, text]) => text).filter((text) => text.includes("token ")).join("")
    .replaceAll("127.0.0.1:2024", `127.0.0.1:${at.port}`).replaceAll("127.0.0.1:8100", `127.0.0.1:${agent.address().port}`);
  const said = async () => (await promisify(execFile)("sh", ["-c", commands])).stdout;
  assert.equal(await said(), "You said: Hello[][]");
  const ada = await (await fetch(`${at.url}/auth/v1/token?grant_type=password`, { method: "POST", body: '{"email": "ada@example.com", "password": "secure-password"}' })).json();
  await new User(at.url, ada).thread({ title: "Ada's own" });
  assert.match(await said(), /^You said: Hello\[\{.*"Ada's own".*\]\[\]$/);
});

const CHATS = [["Grandmother's bread", ["How long does the dough rest?", "Overnight, in a cool place: the bread gets its taste from that."], { pinned: true, tags: ["recipes"] }],
  ["Bern by train", ["Which train do I take?", "The 8:02, then the bus."], { tags: ["travel"] }],
  ["Rust: lifetimes of an iterator", ["Why does this not compile?", "The iterator borrows the vector, which is dropped first."], { tags: ["work", "rust"] }],
  ["猫のごはん", ["猫は何を食べますか", "魚と水です。"], {}],
  ["Migrating the billing tables", ["Plan it without a stop", "In three steps: add, copy, switch."], { tags: ["work"] }],
  ["Bread without yeast", ["Can I bake without yeast?", "Yes: sourdough, or soda bread."], { tags: ["recipes"] }]];

story("the list is narrowed by words, tags, status and time, and shows the hits in place", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  for (const [title, [asked, said], metadata] of [...CHATS].reverse()) await user.thread({ title, ...metadata }, [human(asked), ai(said)]);
  for (const [colorScheme, width] of [["light", 1280], ["dark", 1280], ["light", 360]]) {
    const page = await newPage(at, { colorScheme, viewport: { width, height: 800 } });
    await signIn(page, user);
    await until(async () => (await page.locator(".row").count()) === CHATS.length, "all threads");
    assert.ok((await page.locator(".row").first().innerText()).includes("Grandmother"), "pinned first");
    await accessible(page, `list, ${colorScheme}, ${width}`);
    if (pictures && width === 360) await page.screenshot({ path: `${pictures}/list-narrow.png` });
    const box = page.getByRole("searchbox");
    await box.fill("bread");
    await until(async () => (await page.locator(".row").count()) === 2, "two hits");
    await box.fill("sourdough");
    await page.locator(".hit mark", { hasText: "sourdough" }).waitFor();
    await box.fill("bread");
    await page.locator(".hit mark", { hasText: "bread" }).first().waitFor();
    await accessible(page, `search, ${colorScheme}, ${width}`);
    if (width === 1280) await row(page, "without yeast").click();
    if (pictures && width === 1280 && colorScheme === "light") { await page.locator(".message").first().waitFor(); await page.screenshot({ path: `${pictures}/search-${colorScheme}.png` }); }
    await box.fill("猫");
    await until(async () => (await page.locator(".row").count()) === 1, "in any language");
    await box.fill("tag:work");
    await until(async () => (await page.locator(".row").count()) === 2, "by tag");
    await box.fill('{"metadata.topic": "nothing like it"}');
    await page.getByText("Nothing matches.", { exact: true }).waitFor();
    await box.fill('status:foo {"x');
    await page.getByText("What looks like a condition was searched as words").waitFor();
    await box.fill("");
    await until(async () => (await page.locator(".row").count()) === CHATS.length, "all again");
    await page.getByLabel("Status", { exact: true }).selectOption("busy");
    await page.getByText("Nothing matches.").waitFor();
    await page.getByLabel("Status", { exact: true }).selectOption("");
    await page.getByLabel("Time", { exact: true }).selectOption("week");
    await until(async () => (await page.locator(".row").count()) === CHATS.length, "all of this week");
  }
});
