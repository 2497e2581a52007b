// Signs up, in, refreshes and out with the real @supabase/supabase-js.
// SUPABASE_URL names the server; SUPABASE_KEY may be any text; SERVER_LOG is the file with the
// server's log, where the links are that a mail would carry.
// Exits 0 only if every check holds.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@supabase/supabase-js";

const url = process.env.SUPABASE_URL ?? "http://127.0.0.1:2024";
const key = process.env.SUPABASE_KEY ?? "any-key";

const email = `js-${randomUUID()}@example.com`;
const password = "correct horse";
const newPassword = "battery staple";

// Node 20 has no WebSocket, and supabase-js wants one even when nothing is
// subscribed to.
const realtime = { transport: globalThis.WebSocket ?? class {} };

function client(more = {}) {
  const auth = { persistSession: false, autoRefreshToken: false, ...more };
  return createClient(url, key, { auth, realtime });
}

/** A client that uses PKCE, and has a place to keep its verifier. */
function pkceClient() {
  const kept = new Map();
  const storage = {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => kept.set(name, value),
    removeItem: (name) => kept.delete(name),
  };
  return client({ flowType: "pkce", storage, persistSession: true });
}

const redirectTo = "http://localhost:3000/welcome";

/** The links in the server's log with their codes, oldest first. */
function links() {
  const log = readFileSync(process.env.SERVER_LOG, "utf8").replaceAll(/\x1b\[[0-9;]*m/g, "");
  const found = log.matchAll(/link=(\S+) code=(\d{6})/g);
  return [...found].map(([, link, code]) => ({ link, code }));
}

/** Asks for a link, and answers the one that this has put into the log. */
async function mailed(ask) {
  const before = links().length;
  ok(await ask());
  for (let tries = 0; links().length === before; tries += 1) {
    assert.ok(tries < 200, "no link in the log");
    await sleep(20);
  }
  return links().at(-1);
}

/** Where a link leads to. */
async function followed({ link }) {
  const response = await fetch(link, { redirect: "manual" });
  assert.equal(response.status, 303);
  const to = new URL(response.headers.get("location"));
  assert.equal(to.origin + to.pathname, redirectTo);
  return to;
}

async function newUser() {
  const address = `js-${randomUUID()}@example.com`;
  ok(await client().auth.signUp({ email: address, password }));
  return address;
}

function ok({ data, error }) {
  assert.equal(error, null);
  return data;
}

function refused({ error }, status, code) {
  assert.ok(error, `expected ${code}`);
  assert.equal(error.status, status);
  assert.equal(error.code, code);
  return error;
}

const checks = {
  async "sign up gives a session and keeps the data"() {
    const tab = client();
    const { user, session } = ok(
      await tab.auth.signUp({ email, password, options: { data: { name: "Ada", old: 1 } } }),
    );
    assert.equal(user.email, email);
    assert.equal(user.user_metadata.name, "Ada");
    assert.equal(user.identities.length, 1);
    assert.equal(session.token_type, "bearer");
    assert.equal(session.expires_in, 3600);
    ok(await tab.auth.signOut());
  },

  async "a taken address, a weak password and a bad address are refused"() {
    refused(await client().auth.signUp({ email, password }), 422, "user_already_exists");
    const other = `js-${randomUUID()}@example.com`;
    const weak = refused(
      await client().auth.signUp({ email: other, password: "short" }),
      422,
      "weak_password",
    );
    assert.equal(weak.name, "AuthWeakPasswordError");
    assert.deepEqual(weak.reasons, ["length"]);
    refused(await client().auth.signUp({ email: "nobody", password }), 400, "validation_failed");
    refused(await client().auth.signInAnonymously(), 422, "anonymous_provider_disabled");
  },

  async "a wrong password and an unknown address look the same"() {
    const wrong = await client().auth.signInWithPassword({ email, password: "not this one" });
    const unknown = await client().auth.signInWithPassword({
      email: `js-${randomUUID()}@example.com`,
      password,
    });
    const messages = [wrong, unknown].map((it) => refused(it, 400, "invalid_credentials").message);
    assert.equal(messages[0], messages[1]);
  },

  async "sign in, get user, get claims"() {
    const tab = client();
    const { user } = ok(await tab.auth.signInWithPassword({ email: email.toUpperCase(), password }));
    assert.equal(ok(await tab.auth.getUser()).user.id, user.id);
    const { claims } = ok(await tab.auth.getClaims());
    assert.equal(claims.sub, user.id);
    assert.equal(claims.aud, "authenticated");
    assert.equal(claims.iss, `${url}/auth/v1`);
    assert.equal(claims.aal, "aal1");
    ok(await tab.auth.signOut());
  },

  async "refresh gives a new pair, and two racing refreshes both work"() {
    const tab = client();
    const { session } = ok(await tab.auth.signInWithPassword({ email, password }));
    const next = ok(await tab.auth.refreshSession());
    assert.notEqual(next.session.refresh_token, session.refresh_token);
    const token = { refresh_token: next.session.refresh_token };
    const raced = await Promise.all([
      client().auth.refreshSession(token),
      client().auth.refreshSession(token),
    ]);
    assert.equal(ok(raced[0]).session.refresh_token, ok(raced[1]).session.refresh_token);
    const unknown = await client().auth.refreshSession({ refresh_token: "fjroia46z6ve" });
    refused(unknown, 400, "refresh_token_not_found");
    const odd = await client().auth.refreshSession({ refresh_token: "nothing" });
    refused(odd, 400, "validation_failed");
  },

  async "update merges the data; a null takes a key away"() {
    const tab = client();
    ok(await tab.auth.signInWithPassword({ email, password }));
    const { user } = ok(await tab.auth.updateUser({ data: { team: "blue", old: null } }));
    const { name, team, old, sub } = user.user_metadata;
    assert.deepEqual([name, team, old, sub], ["Ada", "blue", undefined, user.id]);
    assert.deepEqual(ok(await tab.auth.getUser()).user.user_metadata, user.user_metadata);
  },

  async "a new password signs the other sessions out"() {
    const [tab, other] = [client(), client()];
    ok(await tab.auth.signInWithPassword({ email, password }));
    const { session } = ok(await other.auth.signInWithPassword({ email, password }));
    refused(await tab.auth.updateUser({ password }), 422, "same_password");
    ok(await tab.auth.updateUser({ password: newPassword }));
    ok(await tab.auth.getUser());
    // auth-js turns this code into an error of its own.
    const gone = await other.auth.getUser(session.access_token);
    assert.equal(gone.error.name, "AuthSessionMissingError");
    refused(
      await client().auth.signInWithPassword({ email, password }),
      400,
      "invalid_credentials",
    );
    ok(await client().auth.signInWithPassword({ email, password: newPassword }));
  },

  async "sign out ends the session, and its scope is kept to"() {
    const [one, two, three] = [client(), client(), client()];
    const tokens = [];
    for (const tab of [one, two, three]) {
      const { session } = ok(await tab.auth.signInWithPassword({ email, password: newPassword }));
      tokens.push(session.access_token);
    }
    const alive = async () =>
      Promise.all(tokens.map(async (token) => (await client().auth.getUser(token)).error === null));
    ok(await one.auth.signOut({ scope: "local" }));
    assert.deepEqual(await alive(), [false, true, true]);
    ok(await two.auth.signOut({ scope: "others" }));
    assert.deepEqual(await alive(), [false, true, false]);
    ok(await two.auth.signOut());
    assert.deepEqual(await alive(), [false, false, false]);
  },

  async "a forgotten password is replaced by following a link"() {
    const address = await newUser();
    const tab = client();
    const to = await followed(
      await mailed(() => tab.auth.resetPasswordForEmail(address, { redirectTo })),
    );
    const answer = new URLSearchParams(to.hash.slice(1));
    assert.equal(answer.get("type"), "recovery");
    const tokens = Object.fromEntries(
      ["access_token", "refresh_token"].map((name) => [name, answer.get(name)]),
    );
    ok(await tab.auth.setSession(tokens));
    ok(await tab.auth.updateUser({ password: newPassword }));
    ok(await client().auth.signInWithPassword({ email: address, password: newPassword }));
    refused(await tab.auth.resetPasswordForEmail(address), 429, "over_email_send_rate_limit");
    ok(await tab.auth.resetPasswordForEmail(`js-${randomUUID()}@example.com`));
  },

  async "a link signs in, and signs up who is new"() {
    const address = `js-${randomUUID()}@example.com`;
    const ask = (shouldCreateUser) => () =>
      client().auth.signInWithOtp({
        email: address,
        options: { shouldCreateUser, emailRedirectTo: redirectTo, data: { name: "Eve" } },
      });
    refused(await ask(false)(), 422, "otp_disabled");
    const to = await followed(await mailed(ask(true)));
    const token = new URLSearchParams(to.hash.slice(1)).get("access_token");
    const { user } = ok(await client().auth.getUser(token));
    assert.equal(user.email, address);
    assert.equal(user.user_metadata.name, "Eve");
  },

  async "a code and a token hash sign in, once"() {
    for (const proof of [
      ({ code }, email) => ({ type: "email", email, token: code }),
      ({ link }) => ({ type: "email", token_hash: new URL(link).searchParams.get("token") }),
    ]) {
      const address = await newUser();
      const sent = await mailed(() => client().auth.signInWithOtp({ email: address }));
      const { session } = ok(await client().auth.verifyOtp(proof(sent, address)));
      assert.equal(session.user.email, address);
      refused(await client().auth.verifyOtp(proof(sent, address)), 403, "otp_expired");
    }
  },

  async "with PKCE only the client that asked gets in"() {
    for (const ask of [
      (tab, email) => tab.auth.resetPasswordForEmail(email, { redirectTo }),
      (tab, email) =>
        tab.auth.signInWithOtp({ email, options: { emailRedirectTo: redirectTo } }),
    ]) {
      const address = await newUser();
      const tab = pkceClient();
      const to = await followed(await mailed(() => ask(tab, address)));
      assert.equal(to.hash, "");
      const code = to.searchParams.get("code");
      const stranger = pkceClient();
      ok(await stranger.auth.resetPasswordForEmail(`js-${randomUUID()}@example.com`));
      const stolen = await stranger.auth.exchangeCodeForSession(code);
      refused(stolen, 400, "bad_code_verifier");
      const { session } = ok(await tab.auth.exchangeCodeForSession(code));
      assert.equal(session.user.email, address);
      ok(await tab.auth.updateUser({ password: newPassword }));
    }
  },

  async "second factors and administration are off"() {
    const tab = client();
    ok(await tab.auth.signInWithPassword({ email: await newUser(), password }));
    assert.deepEqual(ok(await tab.auth.mfa.listFactors()).all, []);
    refused(
      await tab.auth.mfa.enroll({ factorType: "totp" }),
      422,
      "mfa_totp_enroll_not_enabled",
    );
    assert.ok((await tab.auth.admin.listUsers()).error);
  },

  async "a token that is none is refused"() {
    refused(await client().auth.getUser("a.b.c"), 403, "bad_jwt");
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}
console.log(failed === 0 ? "supabase-js: all checks hold" : `supabase-js: ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
