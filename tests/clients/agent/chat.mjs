// The chat page of examples/agent in a real browser: BASE_URL is thread-store, CHAT_URL the page.
// CHROMIUM names the browser.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const address = `${process.env.CHAT_URL}/?server=${encodeURIComponent(process.env.BASE_URL)}`;

// An error that nothing in the page takes is one of the page. `useStream` throws a 404 once more.
async function signedUp(expected) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => assert.match(error.message, expected ?? /^nothing$/));
  await page.goto(address);
  // Empty fields are refused before anything is sent.
  await page.getByText("Sign up").click();
  assert.ok(await page.getByPlaceholder("E-mail").evaluate((field) => field === document.activeElement));
  await page.getByPlaceholder("E-mail").fill(`${crypto.randomUUID()}@example.com`);
  await page.getByPlaceholder("Password").fill("secure-password");
  await page.getByText("Sign up").click();
  await page.getByLabel("Message").waitFor();
  return page;
}

async function say(page, text) {
  await page.getByLabel("Message").fill(text);
  await page.getByText("Send").click();
}

// Every text that the last answer had, from the first word to the last.
async function growing(page, whole) {
  const seen = new Set();
  const last = page.locator("p.ai, p.AIMessageChunk").last();
  for (;;) {
    const text = (await last.count()) ? await last.textContent() : "";
    seen.add(text);
    if (text === whole) return [...seen];
  }
}

const ada = await signedUp();
await say(ada, "one two three four five six");
const seen = await growing(ada, "You said: one two three four five six");
assert.ok(seen.length >= 4, `word by word: ${JSON.stringify(seen)}`);
for (const text of seen) assert.ok("You said: one two three four five six".startsWith(text), text);
await ada.getByText("Stop").waitFor({ state: "detached" });
const thread = new URL(ada.url()).searchParams.get("thread");
assert.match(thread, /^[0-9a-f-]{36}$/);

// It is still there after a reload, and in the list.
await ada.reload();
await ada.getByText("You said: one two three four five six", { exact: true }).waitFor();
await ada.locator("button.thread", { hasText: "one two three" }).waitFor();

// A run that is stopped says no more.
await say(ada, "word ".repeat(300).trim());
await ada.getByText(/^You said: word word/).waitFor();
await ada.getByText("Stop").click();
await ada.getByText("Stop").waitFor({ state: "detached" });

// A question is there after a reload too, and is answered.
await say(ada, "delete everything");
await ada.getByText("Really delete everything?").waitFor();
await ada.getByText("Stop").waitFor({ state: "detached" });
await ada.reload();
await ada.getByText("Really delete everything?").waitFor();
await ada.getByRole("button", { name: "no" }).click();
await ada.getByText("Then I will not.", { exact: true }).waitFor();
await say(ada, "delete everything");
await ada.getByRole("button", { name: "yes" }).click();
await ada.getByText("I have only pretended to.", { exact: true }).waitFor();

// Somebody else sees none of it, and cannot go on with it.
const bob = await signedUp(/HTTP 404: .*not found/);
await bob.goto(`${address}&thread=${thread}`);
await bob.getByLabel("Message").waitFor();
assert.equal(await bob.locator("button.thread").count(), 0);
assert.equal(await bob.locator("main p:not([role=alert])").count(), 0);
await say(bob, "let me in");
await bob.getByRole("alert").filter({ hasText: "404" }).waitFor();
assert.equal(await bob.getByText("You said").count(), 0);
console.log("chat.mjs: all checks passed");
await browser.close();
