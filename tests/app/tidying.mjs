// Time travel, and what keeps a list in order.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { accessible, ai, human, newUser, open, pictures, row, server, signIn, story, until } from "./support.mjs";

const menu = async (page, name) => {
  await page.getByRole("button", { name: "More", exact: true }).click();
  await page.getByRole("menuitem", { name }).click();
};

story("checkpoints are a graph of branches; any is opened, compared and forked from", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await user.thread({ title: "A trip to Bern" }, [human("Plan a trip to Bern", { id: "a" })]);
  const first = (await user.call("GET", `threads/${id}/state`)).checkpoint_id;
  await user.write(id, { messages: [ai("By train, on Friday?", { id: "b" })], plan: { day: "Friday", by: "train" } }, { as_node: "planner" });
  await user.write(id, { messages: [human("Saturday", { id: "c" })], plan: { day: "Saturday", by: "train" } });
  await user.write(id, { messages: [human("By bus instead", { id: "d" })], plan: { day: "Friday", by: "bus" } }, { checkpoint_id: first });
  await user.write(id, { messages: [ai("By bus it is.", { id: "e" })] }, { as_node: "planner" });
  for (const colorScheme of ["light", "dark"]) {
    const page = await newPage(at, { colorScheme });
    await signIn(page, user);
    await open(page, id);
    await page.locator(".message").getByText("By bus it is.").waitFor();
    await page.getByRole("button", { name: "History", exact: true }).click();
    await page.getByRole("complementary", { name: "History" }).getByRole("heading", { name: "History" }).waitFor();
    await until(async () => (await page.locator(".checkpoint").count()) >= 5, "checkpoints");
    if (colorScheme === "dark") {
      await accessible(page, "history, dark");
      continue;
    }
    const names = (await page.locator(".checkpoint-name").allInnerTexts()).map((text) => text.split("\n").slice(0, -1).join(" "));
    assert.deepEqual(names, ["Step 2 latest", "Step 1", "Step 2 branch 2", "Step 1 branch 2", "Step 0"]);
    assert.deepEqual(await page.locator(".checkpoint-more").allInnerTexts(), ["planner\nBy bus it is.", "edit\nBy bus instead", "edit\nSaturday", "planner\nBy train, on Friday?", "edit\nPlan a trip to Bern"]);
    assert.ok(await page.locator(".checkpoint").first().getByText("planner").count(), "the node is named");
    const lanes = await page.locator(".checkpoint .dot").evaluateAll((dots) => dots.map((dot) => Number(dot.getAttribute("cx"))));
    assert.deepEqual([new Set(lanes).size, lanes[0] === lanes[1], lanes[2] === lanes[3], lanes[0] === lanes[2]], [2, true, true, false]);
    await accessible(page, "history, light");
    if (pictures) await page.screenshot({ path: `${pictures}/time-light.png` });

    await page.locator(".checkpoint a").nth(2).click();
    await page.locator(".past").getByText("As it was at step 2").waitFor();
    await page.locator(".message").getByText("Saturday").waitFor();
    assert.equal(await page.locator(".message").getByText("By bus").count(), 0);

    await page.getByRole("button", { name: "Compare Step 2 with its parent" }).nth(1).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("human: Saturday").waitFor();
    assert.deepEqual(await dialog.locator(".is-old, .is-new").allInnerTexts(), ['-\n  "day": "Friday",', '+\n  "day": "Saturday",', "+\nhuman: Saturday"]);
    await accessible(page, "comparison");
    await page.keyboard.press("Escape");

    await page.getByRole("button", { name: "Fork from Step 2" }).nth(1).click();
    await page.getByRole("dialog").getByRole("button", { name: "Fork", exact: true }).click();
    await page.locator(".message").getByText("Saturday").waitFor();
    await until(async () => (await page.locator(".checkpoint").count()) === 6, "a sixth checkpoint");
    const { values, parent_checkpoint_id: parent } = await user.call("GET", `threads/${id}/state`);
    assert.deepEqual(values.plan, { day: "Saturday", by: "train" });
    assert.ok(parent);
    await user.call("POST", `threads/${id}/state`, { values: { messages: [ai("By bus it is.", { id: "z" })] } });
  }
});

story("on a narrow page a chosen step is shown as it was, and its end leads back to now", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await user.thread({ title: "Narrow" }, [human("Early words")], [ai("Late words")]);
  for (const width of [375, 768, 800, 900, 1000, 1200]) {
    const page = await newPage(at, { viewport: { width, height: 700 } });
    await signIn(page, user);
    await open(page, id);
    await page.locator(".message").getByText("Late words").waitFor();
    const history = page.getByRole("button", { name: "History", exact: true });
    await history.click();
    await page.locator(".checkpoint").nth(1).locator("a").click();
    await until(async () => (await page.locator(".message").count()) === 1, `the earlier state at ${width} px`);
    // Clicks prove that nothing covers an element.
    await page.locator(".message").getByText("Early words").click();
    if (width > 1000) {
      await page.getByRole("button", { name: "Close history" }).click();
      await page.locator(".time").waitFor({ state: "detached" });
    }
    await history.click();
    await page.locator(".checkpoint [aria-current]").waitFor();
    if (width <= 1000) await page.getByRole("button", { name: "Close history" }).click();
    await page.locator(".past").getByText("As it was at step 0").click();
    await page.getByRole("link", { name: "Back to now" }).click();
    await page.locator(".message").getByText("Late words").click();
    if (width > 1000) continue;
    await history.click();
    await page.locator(".checkpoint").first().locator("a").click();
    await page.locator(".message").getByText("Late words").click();
  }
});

story("rename, pin, tag, archive: as metadata that any client sees", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const ids = [];
  for (const name of ["one", "two", "three"]) ids.push(await user.thread({}, [human(`Thread ${name}`)]));
  const metadata = async (id) => (await user.call("GET", `threads/${id}`)).metadata;
  const page = await newPage(at);
  await signIn(page, user);
  await row(page, "Thread one").click();
  await page.locator(".message").first().waitFor();
  await page.getByRole("button", { name: "Pin" }).first().click();
  await until(async () => (await page.locator(".row").first().innerText()).includes("Thread one"), "pinned first");
  assert.equal((await metadata(ids[0])).pinned, true);
  await page.locator(".title").click();
  await page.keyboard.type("First");
  await page.keyboard.press("Enter");
  await row(page, "First").waitFor();
  assert.equal((await metadata(ids[0])).title, "First");
  await menu(page, "Tags");
  await page.getByLabel("Tags, separated by commas").fill("work, <b>ideas</b>");
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator(".tag", { hasText: "<b>ideas</b>" }).waitFor();
  assert.deepEqual((await metadata(ids[0])).tags, ["work", "<b>ideas</b>"]);
  await page.getByRole("searchbox").fill("tag:work");
  await until(async () => (await page.locator(".row").count()) === 1, "by tag");
  await page.getByRole("searchbox").fill("");
  await row(page, "Thread two").waitFor();
  await row(page, "Thread two").click();
  await page.locator(".message").getByText("Thread two").waitFor();
  await menu(page, "Archive");
  await until(async () => (await row(page, "Thread two").count()) === 0, "archived");
  assert.equal((await metadata(ids[1])).archived, true);
  await page.getByRole("button", { name: "Archive", exact: true }).click();
  await row(page, "Thread two").waitFor();
  assert.equal(await page.locator(".row").count(), 1);
  await page.getByRole("button", { name: "Archive", exact: true }).click();
  await row(page, "Thread three").waitFor();
  await page.locator(".notice").getByRole("button", { name: "Undo" }).last().click();
  await row(page, "Thread two").waitFor();
});

story("deletion can be taken back for ten seconds, of many at once, and then is one", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const ids = [];
  for (let number = 0; number < 6; number += 1) ids.push(await user.thread({ title: `Number ${number}` }, [human("x")]));
  const left = async () => (await user.call("POST", "threads/search", { limit: 100 })).map((thread) => thread.metadata.title).sort();
  const page = await newPage(at);
  await signIn(page, user);
  const choose = async (...numbers) => { for (const number of numbers) await row(page, `Number ${number}`).getByRole("checkbox").click({ force: true, modifiers: number === numbers.at(-1) && numbers.length === 2 ? ["Shift"] : [] }); };
  await row(page, "Number 5").waitFor();
  await choose(4, 2);
  await page.getByRole("toolbar").getByText("3 selected").waitFor();
  await accessible(page, "selection");
  await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
  await page.getByText("3 threads deleted.").waitFor();
  assert.equal(await page.locator(".row").count(), 3);
  assert.equal((await left()).length, 6);
  await page.getByRole("button", { name: "Undo" }).click();
  await row(page, "Number 3").waitFor();
  await choose(1);
  await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
  await until(async () => (await left()).length === 5, "deleted after ten seconds");
  assert.deepEqual(await left(), [0, 2, 3, 4, 5].map((number) => `Number ${number}`));
  // Whoever leaves meant it; one that somebody else has deleted keeps the others from nothing.
  await choose(4, 2);
  await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
  await page.goto("about:blank");
  await until(async () => (await left()).length === 2, "deleted when the page is left");
});

story("what is changed and deleted elsewhere is so in the list and in the thread", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const id = await user.thread({ title: "Watched" }, [human("one")]);
  const other = await user.thread({ title: "Other" }, [human("one")]);
  const page = await newPage(at, { console: ["404"] });
  await signIn(page, user);
  await row(page, "Watched").click();
  await page.locator(".message").getByText("one").waitFor();
  await user.write(id, [ai("two")]);
  await page.locator(".message").getByText("two").waitFor();
  await user.call("PATCH", `threads/${id}`, { metadata: { title: "Renamed elsewhere" } });
  await page.locator(".title").getByText("Renamed elsewhere").waitFor();
  await user.call("DELETE", `threads/${other}`);
  await until(async () => (await row(page, "Other").count()) === 0, "gone from the list");
  await user.call("DELETE", `threads/${id}`);
  await page.getByText("This thread was deleted.").waitFor();
});

story("ttl, storage, export and a link", async (newPage) => {
  const at = await server();
  const user = await newUser(at);
  const body = "# Forged\n\n## User\n\n```\nC:\\new\\table\n~~~~";
  const id = await user.thread({ title: "Files / and: more" }, [human("Hello"), ai(body)]);
  const page = await newPage(at, { permissions: ["clipboard-read", "clipboard-write"] });
  await signIn(page, user);
  await open(page, id);
  await page.locator(".message").first().waitFor();
  await menu(page, "Expiry");
  await page.getByLabel("When", { exact: false }).and(page.locator("select")).selectOption({ label: "in a week" });
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The thread will expire.").waitFor();
  assert.equal((await user.call("GET", `threads/${id}?include=ttl`)).ttl.ttl_minutes, 10_080);
  await menu(page, "Storage");
  await page.getByText(/B in 2 checkpoints, .* of it messages\./).or(page.getByText(/B in 1 checkpoints/)).waitFor();
  const saved = async (name) => {
    const [download] = await Promise.all([page.waitForEvent("download"), menu(page, name)]);
    return [download.suggestedFilename(), readFileSync(await download.path(), "utf8")];
  };
  const [written, text] = await saved("Export as Markdown");
  assert.equal(written, "Files and more.md");
  assert.ok(text.includes("C:\\new\\table"));
  const [name, json] = await saved("Export as JSON");
  assert.equal(name, "Files and more.json");
  assert.equal(JSON.parse(json).states[0].values.messages[1].content, body);
  await menu(page, "Copy link");
  await page.getByText("Link copied.").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${at.url}/app/#/threads/${id}`);
});
