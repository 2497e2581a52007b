// Sign-ins that are not ours: Supabase and OpenID Connect, links that are followed elsewhere, and
// clocks that are wrong.

import assert from "node:assert/strict";
import { accessible, pause, startServer, story, until } from "./support.mjs";
import { ANON, PUBLISHABLE, SECRET, SERVICE, provider, supabase } from "./standins.mjs";

let shared;
const atSupabase = () => (shared ??= (async () => {
  const auth = await supabase();
  const at = await startServer({ SUPABASE_URL: auth.url, SUPABASE_SECRET_KEY: SECRET, SUPABASE_ANON_KEY: SERVICE, SUPABASE_PUBLISHABLE_KEY: PUBLISHABLE, SUPABASE_AUTH_CACHE_TTL: "0" });
  return { auth, at, allow: [auth.url] };
})());

const address = (page) => page.evaluate(() => location.href);
/** What was asked for with codes that were made for somebody. */
const exchanges = (auth, email) => auth.log.filter(({ query, text }) => query.get("grant_type") === "pkce" && text && auth.state.codes.get(JSON.parse(text).auth_code) === email).length;
const sessionsOf = (auth, email) => [...auth.sessions].filter(([, { user }]) => user.email === email).map(([token]) => token);
const list = (page) => page.getByText("No threads yet.").waitFor();

async function fill(page, at, email, password = "correct horse") {
  await page.goto(`${at.url}/app/`);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
}

story("a service or secret key never leaves the server, whatever setting it is in", async () => {
  const { at } = await atSupabase();
  const texts = [];
  for (const path of ["", "config.json"]) texts.push(await (await fetch(`${at.url}/app/${path}`)).text());
  for (const [, path] of texts[0].matchAll(/(?:href|src)="([0-9a-f]{16}\/[^"]+)"/g)) texts.push(await (await fetch(`${at.url}/app/${path}`)).text());
  assert.equal(texts.length, 5, "the document, its settings, and all that it names");
  assert.ok(texts[1].includes(PUBLISHABLE));
  for (const text of texts) for (const key of [SECRET, SERVICE, SERVICE.split(".")[1]]) assert.ok(!text.includes(key));
  const { auth } = await atSupabase();
  const other = await startServer({ SUPABASE_URL: auth.url, SUPABASE_PUBLISHABLE_KEY: SECRET, SUPABASE_ANON_KEY: SERVICE });
  const { sign_in: said } = await (await fetch(`${other.url}/app/config.json`)).json();
  assert.equal(said.publishable_key, null);
  assert.match(other.log, /no publishable key: set SUPABASE_PUBLISHABLE_KEY/);
  await other.stop();
  const third = await startServer({ SUPABASE_URL: auth.url, SUPABASE_SERVICE_KEY: SECRET, SUPABASE_ANON_KEY: ANON, SUPABASE_PUBLIC_URL: "https://project.example/x" });
  const { sign_in: named } = await (await fetch(`${third.url}/app/config.json`)).json();
  assert.deepEqual(named, { mode: "supabase", url: "https://project.example/x", publishable_key: ANON });
  assert.match((await fetch(`${third.url}/app/`)).headers.get("content-security-policy"), /connect-src 'self' https:\/\/project\.example;/);
  await third.stop();
});

story("Supabase: by password, and out again", async (newPage) => {
  const { auth, at, allow } = await atSupabase();
  auth.user("pat@example.com");
  const page = await newPage(at, { allow, console: ["400"] });
  await fill(page, at, "pat@example.com", "wrong horse");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("The e-mail address or the password is wrong.").waitFor();
  await accessible(page, "sign-in at Supabase");
  await page.getByLabel("Password").fill("correct horse");
  await page.keyboard.press("Enter");
  await list(page);
  assert.equal(sessionsOf(auth, "pat@example.com").length, 1);
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByLabel("E-mail").waitFor();
  assert.deepEqual(sessionsOf(auth, "pat@example.com"), []);
  assert.ok(auth.log.every(({ headers }) => headers.origin !== at.url || headers.apikey === undefined || headers.apikey === PUBLISHABLE));
});

story("Supabase: by a provider that the project's settings say is on, with PKCE", async (newPage) => {
  const { auth, at, allow } = await atSupabase();
  const page = await newPage(at, { allow });
  await page.goto(`${at.url}/app/`);
  assert.equal(await page.getByRole("button", { name: "Continue with Google" }).count(), 0);
  await page.getByRole("button", { name: "Continue with GitHub" }).click();
  await list(page);
  const asked = auth.log.findLast(({ path }) => path.endsWith("/authorize"));
  assert.equal(asked.query.get("code_challenge_method"), "s256");
  assert.equal(await address(page), `${at.url}/app/`);
});

/** Asks for a link by mail, and answers with it. */
async function askForLink(page, auth, at, email) {
  await page.goto(`${at.url}/app/`);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Stay signed in").check();
  await page.getByRole("button", { name: "Send me a link instead" }).click();
  await page.getByText("A link was sent to").waitFor();
  return auth.state.mails.findLast(({ to }) => to === email).link;
}

story("Supabase: a link is taken once, and Reload and Back show the page", async (newPage) => {
  const { auth, at, allow } = await atSupabase();
  const page = await newPage(at, { allow });
  await page.goto(await askForLink(page, auth, at, "mail@example.com"));
  await list(page);
  assert.equal(await address(page), `${at.url}/app/`);
  await page.reload();
  await list(page);
  await page.goBack();
  await page.goForward();
  await list(page);
  assert.equal(exchanges(auth, "mail@example.com"), 1);
  assert.ok(auth.log.every(({ headers }) => !headers.referer?.includes("code=")));
});

story("Supabase: a link that is opened in another browser is a sentence, not a loop", async (newPage) => {
  const { auth, at, allow } = await atSupabase();
  const page = await newPage(at, { allow });
  const link = await askForLink(page, auth, at, "mail2@example.com");
  const other = await newPage(at, { allow });
  await other.goto(link);
  await other.getByRole("alert").getByText("This link was requested in another browser. Open it there, or request a new one here.").waitFor();
  assert.equal(await address(other), `${at.url}/app/`);
  await pause(500);
  assert.equal(other.seen.requests.filter((one) => one.includes("config.json")).length, 1);
  assert.equal(exchanges(auth, "mail2@example.com"), 0);
});

story("Supabase: a link that has expired, and one with tokens in its address", async (newPage) => {
  const { auth, at, allow } = await atSupabase();
  const page = await newPage(at, { allow });
  await page.goto(`${at.url}/app/#error=access_denied&error_code=otp_expired&error_description=Email+link+is+invalid+or+has+expired`);
  await page.getByRole("alert").getByText("This link has expired or was used already. Request a new one here.").waitFor();
  assert.equal(await address(page), `${at.url}/app/`);
  const { access_token, refresh_token } = auth.session(auth.user("hash@example.com"));
  const second = await newPage(at, { allow });
  const seen = [];
  second.on("request", (request) => { if (request.url().includes("config.json")) seen.push(second.url()); });
  await second.goto(`${at.url}/app/#access_token=${access_token}&refresh_token=${refresh_token}&expires_in=3600&token_type=bearer&type=magiclink`);
  await list(second);
  assert.equal(await address(second), `${at.url}/app/`);
  assert.ok(seen.length === 1 && !seen[0].includes("access_token"), "clean before the first request");
});

for (const [name, seconds] of [["ahead", 3700], ["behind", -3700]]) {
  story(`a device whose clock is an hour ${name} is signed in, and refreshes once at most`, async (newPage) => {
    const { auth, at, allow } = await atSupabase();
    auth.user(`${name}@example.com`);
    const page = await newPage(at, { allow });
    await page.addInitScript((apart) => {
      const Real = Date;
      const now = () => Real.now() + apart * 1000;
      globalThis.Date = class extends Real {
        constructor(...given) { super(...(given.length ? given : [now()])); }
        static now() { return now(); }
      };
    }, seconds);
    await fill(page, at, `${name}@example.com`);
    await page.keyboard.press("Enter");
    await list(page);
    const [token] = sessionsOf(auth, `${name}@example.com`);
    await fetch(`${at.url}/threads`, { method: "POST", headers: { authorization: `Bearer ${token}` }, body: JSON.stringify({ metadata: { title: "Just made" } }) });
    await page.locator(".row", { hasText: "Just made" }).waitFor();
    assert.equal(await page.locator(".row-time").first().innerText(), "now");
    await pause(6000);
    assert.ok((auth.user(`${name}@example.com`).refreshes ?? 0) <= 1);
    assert.equal(page.seen.requests.filter((one) => one.includes("token")).length, 1, "signed in once");
  });
}

story("a token that is about to end is refreshed; 429 waits and does not sign out; a session that is over does", async (newPage) => {
  const auth = await supabase({ life: 8 });
  const at = await startServer({ SUPABASE_URL: auth.url, SUPABASE_PUBLISHABLE_KEY: PUBLISHABLE, SUPABASE_AUTH_CACHE_TTL: "0" });
  auth.user("short@example.com");
  const page = await newPage(at, { allow: [auth.url], console: ["429", "500", "400", "401", "503"] });
  auth.state.refusals.push([429, "over_request_rate_limit", 1], [500, "unexpected_failure"]);
  await fill(page, at, "short@example.com");
  await page.keyboard.press("Enter");
  await list(page);
  await until(() => auth.state.refreshes >= 3, "refreshed after all", 25_000);
  assert.ok(auth.state.refreshes <= 5, `${auth.state.refreshes} refreshes`);
  assert.equal(await page.getByLabel("E-mail").count(), 0, "still signed in");
  auth.state.refusals.push([400, "refresh_token_not_found"]);
  await page.getByRole("alert").getByText("Your session has ended. Sign in again.").waitFor({ timeout: 20_000 });
});

story("OpenID Connect with PKCE: in, refreshed, and out", async (newPage) => {
  const audience = "https://threads.example";
  const oidc = await provider(audience);
  const at = await startServer({ OIDC_ISSUER: oidc.url, OIDC_AUDIENCE: audience, OIDC_CLIENT_ID: "page" });
  const page = await newPage(at, { allow: [oidc.url], console: ["422"] });
  await page.goto(`${at.url}/app/#/threads/0`);
  await page.getByLabel("Stay signed in").check();
  await page.getByRole("button", { name: "Continue to sign in" }).click();
  await page.getByText("grace@example.com").waitFor();
  const [asked] = oidc.asked;
  assert.equal(asked.code_challenge_method, "S256");
  assert.equal(asked.resource, audience);
  assert.equal(asked.redirect_uri, `${at.url}/app/`);
  assert.equal(await address(page), `${at.url}/app/#/threads/0`, "where one was");
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Continue to sign in" }).waitFor();
  assert.ok(oidc.log.some(({ path }) => path === "/revoke"));
  await page.goto(`${at.url}/app/?code=made-up&state=made-up`);
  await page.getByRole("alert").getByText("requested in another browser").waitFor();
});

story("OpenID Connect: a token that is about to end is refreshed, with the token that counts, and an ended session is a sentence", async (newPage) => {
  const audience = "https://threads.example";
  const oidc = await provider(audience, { life: 6 });
  const at = await startServer({ OIDC_ISSUER: oidc.url, OIDC_AUDIENCE: audience, OIDC_CLIENT_ID: "page" });
  const page = await newPage(at, { allow: [oidc.url], console: ["400", "401"] });
  await page.goto(`${at.url}/app/`);
  await page.getByLabel("Stay signed in").check();
  await page.getByRole("button", { name: "Continue to sign in" }).click();
  await list(page);
  await until(() => oidc.refreshed.length >= 3, "refreshed three times");
  assert.equal(oidc.refreshed[0], oidc.refreshed[1], "kept where no new one came");
  assert.notEqual(oidc.refreshed[1], oidc.refreshed[2], "replaced where one came");
  const token = await page.evaluate(() => JSON.parse(sessionStorage.getItem("thread-store:session:/app/")).access);
  const made = await fetch(`${at.url}/threads`, { method: "POST", headers: { authorization: `Bearer ${token}` }, body: JSON.stringify({ metadata: { title: "Made later" } }) });
  assert.equal(made.status, 200);
  await page.locator(".row", { hasText: "Made later" }).waitFor();
  oidc.flows.clear();
  await page.getByRole("alert").getByText("Your session has ended. Sign in again.").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

story("a server without a client at its provider says so", async (newPage) => {
  const oidc = await provider("a");
  const at = await startServer({ OIDC_ISSUER: oidc.url, OIDC_AUDIENCE: "a" });
  const page = await newPage(at);
  await page.goto(`${at.url}/app/`);
  await page.getByText("must set OIDC_CLIENT_ID").waitFor();
});
