// From the first start to a conversation: sign in, list, read, and that nothing is told to anybody.

import assert from "node:assert/strict";
import { User, accessible, ai, human, newUser, open, pictures, row, server, signIn, story, until } from "./support.mjs";

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
  await page.goto(`${at.url}/`);
  assert.equal(page.url(), `${at.url}/app/`);
  await accessible(page, "sign-in");
  await page.getByRole("button", { name: "Make an account" }).click();
  await page.getByLabel("E-mail").fill("first@example.com");
  await page.getByLabel("Password").fill("secure-password");
  await page.getByRole("button", { name: "Make an account" }).click();
  await page.getByText("No threads yet.").waitFor();
  const session = await (await fetch(`${at.url}/auth/v1/token?grant_type=password`, { method: "POST", body: JSON.stringify({ email: "first@example.com", password: "secure-password" }) })).json();
  await conversation(new User(at.url, session));
  // It appears by itself.
  await row(page, "How do I add").click();
  await page.locator(".message").getByText("21 °C, and clear.").waitFor();
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

story("what is served says what a browser may do with it", async () => {
  const at = await server();
  const page = await fetch(`${at.url}/app/`, { headers: { "accept-encoding": "gzip" } });
  const policy = page.headers.get("content-security-policy");
  for (const part of ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "connect-src 'self';", "base-uri 'none'"]) assert.ok(policy.includes(part), part);
  assert.ok(!policy.includes("unsafe"));
  assert.equal(page.headers.get("referrer-policy"), "no-referrer");
  assert.equal(page.headers.get("set-cookie"), null);
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
  const { flags } = await user.call("GET", "info");
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
    if (flags.query) {
      await box.fill("sourdough");
      await page.locator(".hit mark", { hasText: "sourdough" }).waitFor();
      await box.fill("bread");
      await page.locator(".hit mark").first().waitFor();
    }
    await accessible(page, `search, ${colorScheme}, ${width}`);
    if (width === 1280) await row(page, "without yeast").click();
    if (pictures && width === 1280 && colorScheme === "light") { await page.locator(".message").first().waitFor(); await page.screenshot({ path: `${pictures}/search-${colorScheme}.png` }); }
    await box.fill("猫");
    await until(async () => (await page.locator(".row").count()) === 1, "in any language");
    await box.fill("tag:work");
    await until(async () => (await page.locator(".row").count()) === 2, "by tag");
    await box.fill('{"topic": "nothing like it"}');
    await page.getByText("Nothing matches.").waitFor().catch(async (error) => { if (!flags.filter) throw error; });
    await box.fill("");
    await until(async () => (await page.locator(".row").count()) === CHATS.length, "all again");
    await page.getByLabel("Status").selectOption("busy");
    await page.getByText("Nothing matches.").waitFor();
    await page.getByLabel("Status").selectOption("");
    await page.getByLabel("Time").selectOption("week");
    await until(async () => (await page.locator(".row").count()) === CHATS.length, "all of this week");
  }
});
