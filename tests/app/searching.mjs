// The search box has the whole language of the API behind it, and the list asks for no more than it
// shows.

import assert from "node:assert/strict";
import { ai, human, newUser, open, row, server, signIn, story, until } from "./support.mjs";

/** What the list shows is these titles, in any order, once it has settled. */
const shows = (page, ...titles) => until(async () => {
  const shown = await page.locator(".row-title").allInnerTexts();
  return JSON.stringify(shown.sort()) === JSON.stringify([...titles].sort());
}, `nothing but ${titles.join(", ") || "nothing"}`);

story("words, phrases, what must not occur, accents, any script: in titles and messages", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  await user.thread({ title: "Budget" }, [human("the annual report for 2026"), ai("First draft of the annual report.")]);
  await user.thread({ title: "École" }, [human("a report that is annual"), ai("100% of case_1 is in C:\\tmp")]);
  await user.thread({ title: "Cats" }, [human("我喜欢猫咪和狗"), ai("ok")]);
  await user.thread({ title: "Nobody's" }, [human("x"), ai("", { tool_calls: [{ id: "t", name: "report", args: { q: "annual" } }] }), { type: "tool", tool_call_id: "t", content: "annual report" }]);
  const page = await newPage(at);
  await signIn(page, user);
  await shows(page, "Budget", "École", "Cats", "Nobody's");
  const box = page.getByRole("searchbox");
  for (const [typed, ...titles] of [
    ["annual report", "Budget", "École"],
    ['"annual report"', "Budget"],
    ["annual -draft", "École"],
    ['annual -"first draft"', "École"],
    ["ECOLE", "École"],
    ["猫咪", "Cats"],
    ["100%", "École"],
    ["case_1", "École"],
    ["c:\\TMP", "École"],
    ["nothing like it"],
    ['"', "Budget", "École", "Cats", "Nobody's"],
  ]) {
    await box.fill(typed);
    await shows(page, ...titles);
  }
});

story("conditions: by tag, status, archive, day, and a filter of the API; what is none is a sentence", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  await user.thread({ title: "Tagged", tags: ["work", "two words"], n: 4 }, [human("alpha")]);
  await user.thread({ title: "Archived", archived: true, n: 2 }, [human("alpha")]);
  await user.thread({ title: "Plain", n: 10 }, [human("alpha"), ai("beta")]);
  const page = await newPage(at, { console: ["422"] });
  await signIn(page, user);
  await shows(page, "Tagged", "Plain");
  const day = (apart) => new Date(Date.now() + apart * 86_400_000).toISOString().slice(0, 10);
  const box = page.getByRole("searchbox");
  for (const [typed, ...titles] of [
    ["alpha", "Tagged", "Plain"],
    ["tag:work alpha", "Tagged"],
    ['tag:"two words"', "Tagged"],
    ["alpha is:archived", "Archived"],
    ["status:busy"],
    ["status:idle beta", "Plain"],
    [`alpha after:${day(-1)}`, "Tagged", "Plain"],
    [`alpha before:${day(-1)}`],
    ['{"metadata.n": {"$gt": 3}}', "Tagged", "Plain"],
    ['{"message_count": 2}', "Plain"],
    ['{"$or": [{"metadata.n": {"$in": [4]}}, {"title": {"$prefix": "Pl"}}]}', "Tagged", "Plain"],
  ]) {
    await box.fill(typed);
    await shows(page, ...titles);
  }
  await box.fill('{"metadata.n": {"$above": 3}}');
  await page.locator(".list-note").getByText("$above").waitFor();
  await box.fill("-alpha");
  await page.locator(".list-note").getByText("word").waitFor();
  await box.fill("alpha");
  await shows(page, "Tagged", "Plain");
});

story("hits are shown in place, and lead to their message, however far up it is", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const messages = Array.from({ length: 400 }, (_, number) => (number % 2 ? ai : human)(number === 37 ? "Here 🦜 the <b>needle</b> lies, and a second needle." : `hay of ${number}`, { id: `m${number}` }));
  await user.thread({ title: "Hay" }, messages);
  await user.thread({ title: "Needle in the title" }, [human("nothing else")]);
  const page = await newPage(at);
  await signIn(page, user);
  await page.getByRole("searchbox").fill("NEEDLE");
  await row(page, "in the title").locator(".hit mark").waitFor();
  await shows(page, "Hay", "Needle in the title");
  assert.deepEqual(await row(page, "Hay").locator("mark").allInnerTexts(), ["needle", "needle"]);
  assert.match(await row(page, "Hay").locator(".hit").innerText(), /🦜 the <b>needle<\/b> lies/);
  assert.deepEqual(await row(page, "in the title").locator("mark").allInnerTexts(), ["Needle"]);
  await row(page, "Hay").getByRole("link").click();
  await page.locator('.message.is-found[data-key="m37"]').waitFor();
  await until(() => page.locator('[data-key="m37"]').evaluate((node) => {
    const [message, feed] = [node.getBoundingClientRect(), document.querySelector(".feed").getBoundingClientRect()];
    return message.top >= feed.top && message.bottom <= feed.bottom;
  }), "the message is in view");
});

story("a search goes on: what is written, archived and deleted elsewhere comes and goes", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const old = await user.thread({ title: "Old" }, [human("a needle")]);
  const gone = await user.thread({ title: "Gone" }, [human("a needle")]);
  const page = await newPage(at);
  await signIn(page, user);
  await page.getByRole("searchbox").fill("needle");
  await shows(page, "Old", "Gone");
  await user.thread({ title: "New" }, [human("another needle")]);
  await user.call("PATCH", `threads/${old}`, { metadata: { archived: true } });
  await user.call("DELETE", `threads/${gone}`);
  await shows(page, "New");
  // The same in the list itself.
  await page.getByRole("searchbox").fill("");
  await shows(page, "New");
  await user.call("PATCH", `threads/${old}`, { metadata: { archived: false } });
  await shows(page, "New", "Old");
});

story("a list loads what it shows, and never a thread's state", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const secret = "zebra";
  for (let number = 0; number < 5; number += 1) {
    await user.thread({ title: `Large ${number}` }, { messages: [human("begins here"), ai(`${"much text ".repeat(40_000)} ${secret}`), ai("ends here")], files: { a: "x".repeat(300_000) } });
  }
  const page = await newPage(at);
  const answers = [];
  page.on("response", (response) => { if (/\/threads\/search$/.test(response.url())) answers.push(response.body().catch(() => null)); });
  await signIn(page, user);
  await page.locator(".row-preview", { hasText: "ends here" }).nth(4).waitFor();
  assert.deepEqual(await page.locator(".row-count").allInnerTexts(), Array(5).fill("3"));
  await page.getByRole("searchbox").fill(secret);
  await page.locator(".hit mark", { hasText: secret }).nth(4).waitFor();
  await user.thread({ title: "Small" }, [human(secret)]);
  await row(page, "Small").waitFor();
  const seen = (await Promise.all(answers)).filter(Boolean);
  assert.ok(seen.length >= 4, `${seen.length} answers`);
  for (const body of seen) {
    assert.ok(body.length < 20_000, `${body.length} bytes`);
    for (const thread of JSON.parse(body)) assert.ok(!("values" in thread) && !("interrupts" in thread), Object.keys(thread).join());
  }
  assert.ok(!page.seen.requests.some((one) => /^GET \/threads\/[0-9a-f-]{36}(\?|$)|\/state|\/history/.test(one)), page.seen.requests.join("\n"));
  await open(page, "");
});
