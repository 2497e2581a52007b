// What every story needs: a server, users who have threads, and a browser that tells on the page.
//
//     node main.mjs PROGRAM NODE_MODULES
//
// The console of a page must stay empty and no request may leave the origin, or the test fails.
// With APP_FILES the page's files come from that folder instead of the program, for work on them.

import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { after, test } from "node:test";
import assert from "node:assert/strict";

export const program = process.argv[2];
const modules = process.argv[3];
const files = process.env.APP_FILES;

const load = async (path) => import(pathToFileURL(join(modules, path)));
const { chromium } = (await load("playwright-core/index.js")).default;
const axe = readFileSync(join(modules, "axe-core/axe.min.js"), "utf8");

/** Where docs/app.md keeps its pictures, if they are to be made anew. */
export const pictures = process.env.APP_SCREENSHOTS;

export async function freePort() {
  for (;;) {
    const port = 20000 + Math.floor(Math.random() * 12000);
    const free = await new Promise((resolve) => {
      const probe = createServer().once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

const running = new Set();

/**
 * A new database of the Postgres at APP_POSTGRES (the address up to the name), made by the program at
 * APP_CREATEDB; or none, and then a server brings its own. A database is made sooner than a Postgres,
 * and that one need not wait for the disk.
 */
async function database() {
  const { APP_POSTGRES: postgres, APP_CREATEDB: createdb } = process.env;
  if (!postgres) return {};
  const name = `app_${randomUUID().replaceAll("-", "")}`;
  await promisify(execFile)(createdb, ["--maintenance-db", `${postgres}postgres`, name]);
  return { DATABASE_URL: `${postgres}${name}` };
}

/** Starts the program with these settings, and waits until it serves. */
export async function startServer(settings = {}) {
  const dir = mkdtempSync(join(tmpdir(), "app-"));
  // The private Postgres runs as another user where this is root.
  chmodSync(dir, 0o755);
  const port = await freePort();
  const env = { PATH: process.env.PATH, PORT: String(port), DATA_DIR: join(dir, "data"), RUST_LOG: "info", ...await database(), ...settings };
  const child = spawn(program, [], { cwd: dir, env });
  const server = { url: `http://127.0.0.1:${port}`, port, dir, log: "", child };
  running.add(server);
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => { server.log += chunk; });
  const ended = new Promise((resolve) => { child.once("exit", resolve); });
  server.stop = async () => { running.delete(server); child.kill("SIGTERM"); await ended; };
  child.once("exit", (code) => { if (running.has(server)) { console.error(`the server ended with ${code}\n${server.log}`); process.exit(1); } });
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const answer = await fetch(`${server.url}/ok?check_db=1`).catch(() => null);
    if (answer?.ok) return server;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  throw new Error(`the server did not start:\n${server.log}`);
}

let shared;
/** The server with the local sign-in that the stories share. */
export const server = () => (shared ??= startServer());

/** Debian's Chromium: the one without windows, if it is there. */
export const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"].find((path) => existsSync(path));

let browser;
const launch = () => (browser ??= chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"] }));

after(async () => {
  await (await browser?.catch(() => null))?.close();
  for (const one of [...running]) {
    await one.stop();
    rmSync(one.dir, { recursive: true, force: true });
  }
});

/** Somebody who has an account, and calls the API. */
export class User {
  constructor(base, session, email, password) {
    Object.assign(this, { base, token: session.access_token, email, password, id: session.user?.id });
  }

  async call(method, path, body) {
    const response = await fetch(`${this.base}/${path}`, { method, headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text.slice(0, 300)}`);
    return text ? JSON.parse(text) : null;
  }

  /** Makes a thread with these messages, each set of them in a checkpoint of its own. */
  async thread(metadata, ...steps) {
    const { thread_id: id } = await this.call("POST", "threads", { metadata });
    for (const values of steps) await this.write(id, values);
    return id;
  }

  write(id, values, more = {}) {
    return this.call("POST", `threads/${id}/state`, { values: Array.isArray(values) ? { messages: values } : values, ...more });
  }
}

let users = 0;

export async function newUser(at, name = "ada") {
  const email = `${name}-${process.pid}-${users += 1}@example.com`;
  const password = "correct horse";
  const response = await fetch(`${at.url}/auth/v1/signup`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ email, password }) });
  assert.equal(response.status, 200);
  return new User(at.url, await response.json(), email, password);
}

export const human = (content, more) => ({ type: "human", content, ...more });
export const ai = (content, more) => ({ type: "ai", content, ...more });

/** A page in a context of its own, which is watched. `allow`: origins and console lines that are expected. */
export async function newPage(at, { allow = [], console: expected = [], ...options } = {}) {
  const context = await (await launch()).newContext({ viewport: { width: 1280, height: 800 }, baseURI: at.url, ...options });
  const page = await context.newPage();
  const seen = { console: [], foreign: [], requests: [] };
  const origins = [new URL(at.url).origin, ...allow];
  page.on("console", (message) => {
    if (!expected.some((part) => message.text().includes(part))) seen.console.push(`${message.type()}: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => seen.console.push(String(error.stack ?? error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    seen.requests.push(`${request.method()} ${url.pathname}${url.search}`);
    if (!["data:", "blob:", "about:"].includes(url.protocol) && !origins.includes(url.origin)) seen.foreign.push(request.url());
  });
  await context.addInitScript(() => {
    globalThis.longTasks = [];
    new PerformanceObserver((list) => { for (const entry of list.getEntries()) globalThis.longTasks.push(Math.round(entry.duration)); }).observe({ type: "longtask", buffered: true });
  });
  if (files) await serveFrom(context, files);
  page.seen = seen;
  page.check = () => {
    assert.deepEqual(seen.console, [], "the console of the page");
    assert.deepEqual(seen.foreign, [], "requests to other origins");
  };
  page.done = async () => { page.check(); await context.close(); };
  page.setDefaultTimeout(30_000);
  return page;
}

/** The files as they are in a folder, below the program's own document. */
async function serveFrom(context, folder) {
  const types = { js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
  await context.route(/\/app\/[0-9a-f]{16}\/[a-z]+\.(js|css|svg)$/, async (route) => {
    const name = route.request().url().split("/").at(-1);
    // The one script of the program, as the modules that it is made of.
    if (name === "app.js") { await route.fulfill({ contentType: "text/javascript", body: 'import "./main.js";' }); return; }
    const path = join(folder, name);
    await route.fulfill({ contentType: types[path.split(".").at(-1)], body: readFileSync(path) });
  });
}

/** Opens the page and signs in by the form. */
export async function signIn(page, user, { at = user.base, path = "", stay = true } = {}) {
  await page.goto(`${at}/app/${path}`);
  await page.getByLabel("E-mail").fill(user.email);
  await page.getByLabel("Password").fill(user.password);
  if (stay) await page.getByLabel("Stay signed in").check();
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.locator(".side").waitFor();
}

export const row = (page, title) => page.locator(".row", { hasText: title });
export const open = async (page, id) => {
  await page.evaluate((hash) => { location.hash = hash; }, id ? `#/threads/${id}` : "#/");
};

/** Nothing that axe-core calls serious, as it is on the screen now. */
export async function accessible(page, what) {
  await page.evaluate((source) => { if (!globalThis.axe) (0, eval)(source); }, axe).catch(async () => {
    // The page's policy forbids eval, so the browser puts it in from outside.
    const session = await page.context().newCDPSession(page);
    await session.send("Page.setBypassCSP", { enabled: true });
    await page.addScriptTag({ content: axe });
  });
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(" | ")} ${nodes[0]?.failureSummary ?? ""}`);
  });
  assert.deepEqual(found, [], `axe-core, ${what}`);
}

export const until = async (condition, what, patience = 30_000) => {
  const end = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) assert.fail(`never: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 30); });
  }
};

/**
 * How many times longer than on a machine of its own something may take now: 1, unless others have
 * the processors. Told by how long a loop takes that needs a known time of a processor.
 */
export function patience() {
  if (process.env.APP_PATIENCE) return Number(process.env.APP_PATIENCE);
  const [begin, used] = [performance.now(), process.cpuUsage()];
  let sum = 0;
  while (performance.now() - begin < 200) for (let number = 0; number < 1e5; number += 1) sum += number;
  const { user, system } = process.cpuUsage(used);
  const share = (performance.now() - begin) * 1000 / (user + system);
  // A page waits for a browser, a server and a database, which wait for each other.
  return share < 1.15 ? 1 : Math.min(12, share * 4);
}

export const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

const stories = [];

/** A story, whose pages are closed and judged at its end. `alone`: it measures time. */
export function story(name, tell, { timeout = 240_000, alone = false } = {}) {
  stories.push({ name, timeout, alone, tell: async () => {
    const pages = [];
    await tell(async (...args) => { const page = await newPage(...args); pages.push(page); return page; });
    for (const page of pages) await page.done();
  } });
}

/** Tells all stories, or those that APP_ONLY names: three at a time, but for those that measure. */
export function tellAll() {
  const only = new RegExp(process.env.APP_ONLY ?? "");
  const chosen = stories.filter(({ name }) => only.test(name));
  const tell = (some) => async (t) => { await Promise.all(some.map((one) => t.test(one.name, { timeout: one.timeout }, one.tell))); };
  for (const [title, isAlone, concurrency] of [["measured", true, 1], ["told together", false, Number(process.env.APP_TOGETHER ?? 3)]]) {
    const some = chosen.filter(({ alone }) => alone === isAlone);
    test(title, { concurrency, timeout: 1_200_000 }, tell(some));
  }
}
