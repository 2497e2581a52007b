// A store of 10,000 threads and a thread of 10,000 messages, measured by the browser.

import assert from "node:assert/strict";
import { ai, human, newUser, open, server, signIn, story } from "./support.mjs";

const THREADS = Number(process.env.APP_THREADS ?? 10_000);
const MESSAGES = 10_000;
/** How many times slower than on a machine of its own a figure may be. */
const PATIENCE = Number(process.env.APP_PATIENCE ?? 1);

async function within(milliseconds, what, measured) {
  console.log(`# ${what}: ${Math.round(measured)} ms (at most ${milliseconds})`);
  assert.ok(measured <= milliseconds * PATIENCE, `${what}: ${Math.round(measured)} ms`);
}

const settled = (page, selector) => page.evaluate((one) => new Promise((resolve) => {
  const look = () => (document.querySelector(one) ? resolve(performance.now()) : requestAnimationFrame(look));
  look();
}), selector);

/** Scrolls for a second and a half, and answers with frames a second and the longest one. */
const frames = (page, selector, step) => page.evaluate(([one, by]) => new Promise((resolve) => {
  const node = document.querySelector(one);
  const times = [];
  const begin = performance.now();
  const frame = (time) => {
    times.push(time);
    node.scrollTop += by;
    if (time - begin < 1500) requestAnimationFrame(frame);
    else {
      const gaps = times.slice(1).map((value, at) => value - times[at]);
      resolve({ rate: 1000 * gaps.length / gaps.reduce((sum, gap) => sum + gap), longest: Math.max(...gaps) });
    }
  };
  requestAnimationFrame(frame);
}), [selector, step]);

story("10,000 threads and 10,000 messages: at once, and without a stutter", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const queue = Array.from({ length: THREADS }, (_, number) => number);
  await Promise.all(Array.from({ length: 12 }, async () => {
    for (let number = queue.pop(); number !== undefined; number = queue.pop()) {
      await user.call("POST", "threads", { metadata: { title: `Thread ${number}` } });
    }
  }));
  const text = (number) => `Message **${number}** with \`code\` and a [link](https://example.com/${number}).\n\n${"- an item of a list\n".repeat(number % 4)}\n${"Words that fill a line or two. ".repeat(number % 9)}`;
  const messages = Array.from({ length: MESSAGES }, (_, number) => (number % 2 ? ai : human)(text(number), { id: `m${number}` }));
  const id = await user.thread({ title: "The long one" });
  for (let from = 0; from < MESSAGES; from += 1000) await user.write(id, messages.slice(from, from + 1000));

  const page = await newPage(at);
  await signIn(page, user);
  await page.locator(".row").first().waitFor();
  await page.reload();
  await within(300, "first list after the document", await settled(page, ".row .row-title:not(:empty)"));
  const key = await page.evaluate(async () => {
    const box = document.querySelector(".search-box");
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    const begin = performance.now();
    box.value = "long";
    box.dispatchEvent(new InputEvent("input", { bubbles: true }));
    return new Promise((resolve) => {
      const look = () => {
        const titles = [...document.querySelectorAll(".row-title")].map((one) => one.textContent);
        if (titles.length === 1 && titles[0] === "The long one") resolve(performance.now() - begin); else requestAnimationFrame(look);
      };
      look();
    });
  });
  await within(100, "a key in the search box to its answer", key);
  await page.getByRole("searchbox").fill("");
  await page.locator(".row").nth(5).waitFor();
  const opened = await page.evaluate((hash) => new Promise((resolve) => {
    const begin = performance.now();
    location.hash = hash;
    const look = () => {
      const last = document.querySelector('[data-key="m9999"]');
      const feed = document.querySelector(".feed");
      const isThere = last && last.getBoundingClientRect().bottom <= feed.getBoundingClientRect().bottom + 2;
      if (isThere) requestAnimationFrame(() => resolve(performance.now() - begin)); else requestAnimationFrame(look);
    };
    look();
  }), `#/threads/${id}`);
  await within(500, "the long thread open at its end", opened);
  for (const [selector, step, what] of [[".feed", -160, "the long thread"], [".list", 160, "the list"]]) {
    await frames(page, selector, step);
    const { rate, longest } = await frames(page, selector, step);
    console.log(`# ${what} while scrolling: ${rate.toFixed(1)} frames a second, longest ${Math.round(longest)} ms`);
    assert.ok(rate * PATIENCE >= 58, `${what}: ${rate} frames a second`);
  }
  await page.locator(".feed").press("Home");
  await open(page, id);
  assert.ok(await page.locator(".message").count() < 80, "what is out of view is not there");
}, { timeout: 400_000, alone: true });
