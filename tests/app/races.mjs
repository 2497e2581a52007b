// Answers that come late, words that are still being made, and reading while something is written.

import assert from "node:assert/strict";
import { ai, human, newUser, open, pause, row, server, signIn, story, until } from "./support.mjs";

/**
 * Has the answers for some requests wait. `delay(request)` says for how many milliseconds, if for any.
 * Answers with those that have been sent or were not wanted any more.
 */
async function slow(page, pattern, delay) {
  const sent = [];
  await page.route(pattern, async (route) => {
    const wait = delay(route.request());
    if (wait === undefined) { await route.fallback(); return; }
    const answer = await route.fetch();
    await pause(wait);
    await route.fulfill({ response: answer }).catch(() => {});
    sent.push(route.request());
  });
  return sent;
}

/** Three frames: what an answer changes is on the screen. */
const drawn = (page) => page.evaluate(async () => {
  for (let frame = 0; frame < 3; frame += 1) await new Promise((resolve) => { requestAnimationFrame(resolve); });
});

story("what is on the screen belongs to the address, whatever answers first", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const a = await user.thread({ title: "Thread A" }, [human("words of A")]);
  const b = await user.thread({ title: "Thread B" }, [human("words of B")]);
  const page = await newPage(at);
  await signIn(page, user);
  await row(page, "Thread A").waitFor();
  const waits = { [a]: [900, 300], [b]: [100] };
  const asked = [];
  const sent = await slow(page, /\/threads\/[0-9a-f-]{36}\?include/, (request) => {
    const id = /threads\/([0-9a-f-]{36})/.exec(request.url())[1];
    asked.push(id);
    return waits[id]?.shift();
  });
  await page.evaluate(async ([first, second]) => {
    for (const id of [first, second, first]) {
      location.hash = `#/threads/${id}`;
      await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
  }, [a, b]);
  await until(() => asked.includes(a) && asked.includes(b), "both are asked for");
  const wanted = asked.length;
  await until(async () => {
    assert.ok(!(await page.locator(".thread").innerText()).includes("words of B"), "B's messages at A's address");
    return sent.length >= wanted;
  }, "every answer has come");
  await drawn(page);
  assert.ok(!(await page.locator(".thread").innerText()).includes("words of B"), "B's messages at A's address");
  await page.locator(".message").getByText("words of A").waitFor();
  assert.equal(await page.locator(".title").innerText(), "Thread A");
});

story("the list belongs to what is in the box, whatever answers first, and has nothing twice", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  for (const word of ["cat", "cab", "cow", "dog"]) await user.thread({ title: `A ${word}` }, [human(word)]);
  const page = await newPage(at);
  await signIn(page, user);
  await row(page, "A cat").waitFor();
  const waits = { c: 1500, ca: 700, cat: 50 };
  const sent = await slow(page, /\/threads\/search$/, (request) => waits[request.postDataJSON().query]);
  const box = page.getByRole("searchbox");
  for (const letter of "cat") {
    const asked = page.waitForRequest((request) => request.url().endsWith("/threads/search") && request.postDataJSON().query?.endsWith(letter));
    await box.press(letter);
    await asked;
  }
  let isThere = false;
  await until(async () => {
    const titles = await page.locator(".row-title").allInnerTexts();
    assert.equal(new Set(titles).size, titles.length, titles.join());
    isThere ||= titles.join() === "A cat";
    if (isThere) assert.deepEqual(titles, ["A cat"]);
    return sent.length >= 3;
  }, "every answer has come");
  await drawn(page);
  assert.deepEqual(await page.locator(".row-title").allInnerTexts(), ["A cat"]);
});

story("a thread that is deleted while it loads does not come back", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const a = await user.thread({ title: "Short-lived" }, [human("soon gone")]);
  await user.thread({ title: "Stays" }, [human("x")]);
  const page = await newPage(at);
  await signIn(page, user);
  await slow(page, /\/threads\/[0-9a-f-]{36}\?include/, () => 700);
  await row(page, "Short-lived").waitFor();
  await open(page, a);
  await row(page, "Short-lived").getByRole("checkbox").check({ force: true });
  await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
  for (let look = 0; look < 15; look += 1) {
    await pause(400);
    assert.equal(await row(page, "Short-lived").count(), 0);
    assert.ok(!(await page.locator("main").innerText().catch(() => "")).includes("soon gone"));
  }
});

story("a key that belongs to an input method does nothing else", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await user.thread({ title: "Before" }, [human("x")]);
  const page = await newPage(at);
  const fire = (selector, kinds) => page.evaluate(([one, list]) => {
    const target = document.querySelector(one);
    target.focus();
    for (const [type, fields] of list) {
      const { keyCode, ...rest } = fields ?? {};
      const event = type.startsWith("composition") ? new CompositionEvent(type, { bubbles: true, ...rest }) : new KeyboardEvent(type, { bubbles: true, cancelable: true, ...rest });
      if (keyCode) Object.defineProperty(event, "keyCode", { get: () => keyCode });
      target.dispatchEvent(event);
      if (type === "keydown" && rest.key === "Enter" && !event.defaultPrevented && target.form) target.form.requestSubmit();
    }
  }, [selector, kinds]);
  const sequences = [
    [["compositionstart"], ["keydown", { key: "Enter", isComposing: true }]],
    [["keydown", { key: "Enter", keyCode: 229 }]],
    [["compositionend"], ["keydown", { key: "Enter", keyCode: 13 }]],
    [["compositionstart"], ["keydown", { key: "Escape", isComposing: true }], ["compositionend"], ["keydown", { key: "Escape", keyCode: 27 }]],
  ];
  await page.goto(`${at.url}/app/`);
  await page.getByLabel("E-mail").fill(user.email);
  await page.getByLabel("Password").fill(user.password);
  for (const sequence of sequences) await fire("input[name=password]", sequence);
  await pause(300);
  assert.equal(page.seen.requests.filter((one) => one.includes("/auth/v1/token")).length, 0);
  await pause(800);
  await page.keyboard.press("Enter");
  await page.locator(".side").waitFor();
  await open(page, id);
  await page.locator(".message").first().waitFor();
  await page.keyboard.press("r");
  await page.locator(".title-input").fill("After");
  for (const sequence of sequences) await fire(".title-input", sequence);
  await pause(200);
  assert.equal(await page.locator(".title-input").count(), 1, "still being written");
  assert.equal((await user.call("GET", `threads/${id}`)).metadata.title, "Before");
  await pause(900);
  await page.keyboard.press("Enter");
  await until(async () => (await user.call("GET", `threads/${id}`)).metadata.title === "After", "renamed");
  await page.getByRole("searchbox").fill("Aft");
  for (const sequence of sequences) await fire(".search-box", sequence);
  assert.equal(await page.getByRole("searchbox").inputValue(), "Aft");
  await page.getByRole("searchbox").focus();
  await pause(900);
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("searchbox").inputValue(), "");
});

/** Waits until a scroll has come to its end: nothing in view has moved for five frames. */
const settled = (page) => page.evaluate(async () => {
  const places = () => [...document.querySelectorAll(".message")].map((one) => `${one.dataset.key} ${one.getBoundingClientRect().top}`).join();
  let [before, still] = ["", 0];
  while (still < 5) {
    await new Promise((resolve) => { requestAnimationFrame(resolve); });
    const now = places();
    still = now === before ? still + 1 : 0;
    before = now;
  }
});

story("what one reads stays where it is while more is written, and the end stays the end", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const words = (number) => `message ${number} ${"lorem ipsum dolor sit amet ".repeat(number % 7)}`;
  const messages = Array.from({ length: 300 }, (_, number) => (number % 2 ? ai : human)(words(number), { id: `m${number}` }));
  // A picture that has no size until it is there, among the messages above what is read.
  const picture = Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="300" height="260"><rect width="300" height="260"/></svg>`).toString("base64");
  const id = await user.thread({ title: "Long" }, messages);
  const page = await newPage(at);
  await signIn(page, user);
  await open(page, id);
  await page.locator(".message").getByText("message 299").waitFor();
  const bottom = () => page.evaluate(() => { const feed = document.querySelector(".feed"); return feed.scrollHeight - feed.clientHeight - feed.scrollTop; });
  await until(async () => await bottom() < 2, "opens at its end");
  await user.write(id, [ai("one more", { id: "n0" })]);
  await page.locator(".message").getByText("one more").waitFor();
  await until(async () => await bottom() < 2, "follows at the end");

  await page.locator(".feed").hover();
  await page.mouse.wheel(0, -9000);
  await until(async () => await bottom() > 8000, "scrolled up");
  await settled(page);
  const marked = await page.evaluate(() => {
    const feed = document.querySelector(".feed").getBoundingClientRect();
    return [...document.querySelectorAll(".message")].filter((one) => one.getBoundingClientRect().top >= feed.top).sort((x, y) => x.getBoundingClientRect().top - y.getBoundingClientRect().top)[0].dataset.key;
  });
  const place = () => page.evaluate((key) => document.querySelector(`[data-key="${key}"]`).getBoundingClientRect().top, marked);
  const begin = await place();
  let worst = 0;
  const watch = async () => { worst = Math.max(worst, Math.abs(await place() - begin)); };
  for (let event = 0; event < 60; event += 1) {
    await user.write(id, [ai(`grows ${"word ".repeat(event)}`, { id: "grows" })]);
    if (event % 6 === 0) await watch();
  }
  // Above it: a message grows, one goes, and one gets a picture that loads late.
  const number = Number(marked.slice(1));
  await user.write(id, [human("short\n\n".repeat(30), { id: `m${number - 1}` }), { type: "remove", id: `m${number - 2}` },
    human([{ type: "text", text: "look" }, { type: "image_url", image_url: { url: `data:image/svg+xml;base64,${picture}` } }], { id: `m${number - 3}` })]);
  await page.locator(".facts", { hasText: "301 messages" }).waitFor();
  for (let look = 0; look < 10; look += 1) { await pause(60); await watch(); }
  assert.ok(worst < 2, `moved by ${worst} px`);
  await page.getByRole("button", { name: "To the end" }).click();
  await until(async () => await bottom() < 2, "a button brings one back");
});

story("a server that goes away and comes back is waited for", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  await user.thread({ title: "Patience" }, [human("x")]);
  const page = await newPage(at, { console: ["503", "ERR_", "Failed to load resource"] });
  await signIn(page, user);
  await row(page, "Patience").waitFor();
  let down = true;
  await page.route(/\/threads\//, (route) => down ? route.fulfill({ status: 503, headers: { "retry-after": "1" }, json: { detail: "The server is starting, try again shortly" } }) : route.fallback());
  await row(page, "Patience").click();
  await page.locator(".banner").getByText("Trying again").waitFor();
  down = false;
  await page.locator(".message").first().waitFor();
  await page.locator(".banner").waitFor({ state: "hidden" });
  await page.context().setOffline(true);
  await page.getByRole("searchbox").fill("Pat");
  await page.locator(".banner").getByText("cannot be reached").waitFor();
  await page.context().setOffline(false);
  await row(page, "Patience").waitFor();
  await page.locator(".banner").waitFor({ state: "hidden" });
});
