// What others wrote: it is shown, and it does nothing.

import assert from "node:assert/strict";
import { ai, human, newUser, open, patience, row, server, signIn, story } from "./support.mjs";

const PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const SVG = `data:image/svg+xml;base64,${Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>parent.ran=1;alert(1)</script><image href="http://127.0.0.1:9/svg.png"/><rect width="9" height="9"/></svg>').toString("base64")}`;

const SCRIPTS = ["javascript:alert(1)", "JaVa\tScript:alert(1)", "&#106;avascript:alert(1)", " data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==", "vbscript:x", "//evil.example", "http://bank@evil.example", "\u0001javascript:alert(1)", "file:///etc/passwd", "blob:http://127.0.0.1/x", "about:blank", "/threads", "http:\\evil"];

const HTML = ["<img src=x onerror=globalThis.ran=1>", "<script>globalThis.ran=1</script>", "<svg onload=globalThis.ran=1>", "</textarea><iframe srcdoc='<script>parent.ran=1</script>'>", "<a href=javascript:globalThis.ran=1>x</a>", "<style>*{display:none}</style>", "<base href=http://evil.example>", "<meta http-equiv=refresh content='0;url=http://evil.example'>", "<link rel=prefetch href=http://127.0.0.1:9/>", "{{constructor.constructor('ran=1')()}}"];

const ran = (page) => page.evaluate(() => globalThis.ran);

story("addresses in messages lead nowhere unasked, and nothing is fetched for them", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await user.thread({ title: "Addresses" }, [
    human("![x](http://127.0.0.1:9/p.png) and <img src=http://127.0.0.1:9/q.png>"),
    ai("[a](http://127.0.0.1:9/link) [b](https://example.com/path) <https://example.org/> https://example.net/x, mailto: [m](mailto:a@b.example)"),
    ai(SCRIPTS.map((address, at) => `[link${at}](${address}) ![picture${at}](${address}) <${address}>`).join("\n\n")),
    human([{ type: "image_url", image_url: { url: "http://127.0.0.1:9/r.png" } }, { type: "image", source: { type: "url", url: "http://127.0.0.1:9/s.png" } }, { type: "image_url", image_url: { url: PIXEL } }, { type: "image_url", image_url: SVG }]),
    ai(`![in the text](${PIXEL})`),
    ai("", { tool_calls: [{ id: "t", name: "look", args: {} }] }), { type: "tool", tool_call_id: "t", content: "![beacon](http://127.0.0.1:9/tool.png)" },
  ]);
  const page = await newPage(at);
  page.on("dialog", () => assert.fail("a dialog"));
  await signIn(page, user);
  await open(page, id);
  await page.locator(".message").first().waitFor();
  for (const call of await page.locator(".tool-call summary").all()) await call.click();
  for (let key = 0; key < 12; key += 1) { await page.locator(".feed").press("PageUp"); }
  const links = await page.evaluate(() => [...document.querySelectorAll(".message a")].map((link) => [link.href, link.rel, link.target]));
  for (const [href, rel, target] of links) {
    assert.match(href, /^(https?:\/\/(127\.0\.0\.1:9|example\.(com|org|net))\/|mailto:a@b\.example)/);
    assert.match(rel, /noopener noreferrer/);
    assert.equal(target, "_blank");
  }
  assert.ok(links.length >= 7, `${links.length} links`);
  const images = await page.evaluate(() => [...document.querySelectorAll(".message img")].map((image) => image.src.slice(0, 20)));
  assert.ok(images.length >= 2 && images.every((source) => source.startsWith("data:image/")), images.join());
  assert.equal(await page.locator("iframe, object, embed, form input[name=x], .message script, .message style, .message base, .message meta, .message link").count(), 0);
  assert.equal(await ran(page), undefined);
});

story("HTML in names, titles, tags, keys, roles, messages and tool results is text", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const ids = [];
  for (const html of HTML) {
    ids.push(await user.thread({ title: html, tags: [html], [html]: html }, { [html]: { [html]: html }, messages: [
      human(html, { name: html }), ai(`# ${html}\n\n- ${html}\n\n\`\`\`${html.replace(/\s/g, "")}\n${html}\n\`\`\`\n\n| ${html} |\n|---|\n| ${html} |\n\n*${html}* [${html}](http://example.com "${html}")`, { tool_calls: [{ id: html, name: html, args: { [html]: html } }] }),
      { type: "tool", tool_call_id: html, name: html, content: html, status: "error" }] }));
  }
  const page = await newPage(at);
  page.on("dialog", () => assert.fail("a dialog"));
  await signIn(page, user);
  for (const [number, id] of ids.entries()) {
    await row(page, HTML[number].slice(0, 14)).first().waitFor();
    await open(page, id);
    await page.locator(".message").nth(1).waitFor();
    for (const fold of await page.locator(".folded > summary").all()) await fold.click();
    await page.getByRole("button", { name: "State" }).click();
    for (let depth = 0; depth < 4; depth += 1) await page.evaluate(() => { for (const fold of document.querySelectorAll(".state details")) fold.open = true; });
    assert.equal(await page.title(), `${HTML[number]} · thread-store`);
    assert.equal(await page.getByRole("main").count(), 1);
    await page.getByRole("button", { name: "Conversation" }).click();
  }
  assert.equal(await page.locator(".app iframe, .app script, .app style, .app img, .app base").count(), 0);
  assert.equal(await ran(page), undefined);
});

story("marks that turn the direction of text stay within their own text", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await user.thread({ title: "\u202Eevil\u2066 title" }, [human("\u202Eright to left"), ai("plain"), human("שלום עולם"), ai("[\u202Emoc.elgoog](https://example.com/)")]);
  await user.thread({ title: "Other" }, [human("x")]);
  const page = await newPage(at);
  await signIn(page, user);
  await open(page, id);
  await page.locator(".message").nth(3).waitFor();
  const of = (selector) => page.evaluate((one) => { const style = getComputedStyle(document.querySelector(one)); return [style.direction, style.unicodeBidi]; }, selector);
  assert.equal((await of(".row-title"))[1], "isolate");
  assert.equal(await page.locator(".message").nth(3).getByText("(example.com)").count(), 1, "where it leads is in plain view");
  assert.equal(await page.evaluate(() => getComputedStyle([...document.querySelectorAll(".message p")].find((one) => one.textContent.startsWith("שלום"))).direction), "rtl");
  const boxes = await page.evaluate(() => [...document.querySelectorAll(".row-time")].map((time) => time.getBoundingClientRect().right));
  assert.ok(boxes.every((right) => Math.abs(right - boxes[0]) < 2), "times stay at the right");
});

const FREEZERS = {
  "1 MB of a": "a".repeat(1_000_000),
  "100,000 of [": "[".repeat(100_000),
  "39,000 of [": "[".repeat(39_000),
  "50,000 of *a": "*a ".repeat(50_000),
  "13,000 of *a": "*a ".repeat(13_000),
  "13,000 of _a_": "_a_ ".repeat(9_900),
  "blanks in a tag": `<a${" ".repeat(50_000)}`,
  "blanks in a short tag": `<a${" ".repeat(39_000)}`,
  "20,000 of ![": "![".repeat(20_000),
  "brackets with targets": "[a](".repeat(9_900),
  "100,000 of >": "> ".repeat(100_000),
  "19,000 of >": "> ".repeat(19_000),
  "a row of 20,000 cells": `|${"a|".repeat(20_000)}\n|${"-|".repeat(20_000)}`,
  "a row of 9,000 cells": `|${"a|".repeat(9_000)}\n|${"-|".repeat(900)}`,
  "200 nested lists": Array.from({ length: 200 }, (_, depth) => `${"  ".repeat(depth)}- x`).join("\n"),
  "60,000 of http://a.": "http://a.".repeat(60_000),
  "4,000 of http://a.": "http://a.".repeat(4_000),
  "5,000 doubled backslashes": `Error at ${"C:\\\\dir".repeat(5_000)}`,
  "ticks of all lengths": Array.from({ length: 270 }, (_, length) => "`".repeat(length)).join(" "),
  "39,000 line breaks": "\n".repeat(39_000),
  "5,000 headings": "# a\n".repeat(5_000),
  "10,000 items": "- a\n".repeat(9_900),
  "emphasis in emphasis": "*".repeat(1) + "**a *".repeat(7_000),
  "closing ones": "a* ".repeat(13_000),
  "a line of 1 MB in a fence": `\`\`\`\n${"x ".repeat(500_000)}\n\`\`\``,
};

story("text that freezes readers of Markdown opens at once, and can be deleted", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const ids = {};
  for (const [name, text] of Object.entries(FREEZERS)) {
    ids[name] = await user.thread({ title: name }, [human("before"), ai(text), human("after")]);
    await user.write(ids[name], { deep: text });
  }
  const page = await newPage(at);
  await signIn(page, user);
  await page.locator(".row").first().waitFor();
  const slowest = async (name) => {
    await open(page, "");
    await page.locator(".empty").waitFor();
    await page.evaluate(() => { globalThis.longTasks.length = 0; });
    await open(page, ids[name]);
    await page.locator(".title", { hasText: name }).waitFor();
    await page.locator(".message").getByText("after", { exact: true }).waitFor().catch(async (error) => {
      error.message += `\n${name}: ${await page.locator(".feed").evaluate((feed) => JSON.stringify([feed.scrollTop, feed.scrollHeight, feed.clientHeight, [...feed.querySelectorAll(".message")].map((one) => one.dataset.key), document.querySelector(".thread .list-note").textContent, location.hash]))}`;
      throw error;
    });
    await page.locator(".feed").press("Home");
    await page.waitForTimeout(60);
    return Math.max(0, ...await page.evaluate(() => globalThis.longTasks));
  };
  for (const name of Object.keys(ids)) {
    // Others may have the processor: what takes long by itself does so each time.
    let [least, busy] = [Infinity, 1];
    for (let attempt = 0; attempt < 5 && least > 200; attempt += 1) {
      least = Math.min(least, await slowest(name));
      if (least > 200) busy = Math.max(busy, patience());
    }
    assert.ok(least <= 200 * busy, `${name}: a task of ${least} ms`);
  }
  await open(page, ids["1 MB of a"]);
  await page.getByRole("button", { name: /Show all/ }).first().waitFor();
  await page.evaluate(() => { globalThis.longTasks.length = 0; });
  await page.getByRole("button", { name: /Show all/ }).first().click();
  await page.waitForTimeout(200);
  assert.equal(await page.evaluate(() => [...document.querySelectorAll(".message.is-ai")].map((one) => /a{9999,}/.exec(one.textContent)?.[0].length).find(Boolean)), 1_000_000);
  await page.getByRole("button", { name: "More", exact: true }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByText("deleted.").waitFor();
}, { alone: true });
