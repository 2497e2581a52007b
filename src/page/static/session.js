// Who is signed in. Tokens are kept in memory and, if the person asks for it, in the session storage
// of this tab. They end by the server's clock, never by the device's.

import * as clock from "./clock.js";
import { GoTrue, Refusal, sentence } from "./gotrue.js";
import { Oidc } from "./oidc.js";
import { take } from "./pkce.js";

const KEY = `thread-store:session:${location.pathname}`;
const FLASH = `thread-store:flash:${location.pathname}`;

/** The least time between two attempts to refresh that failed, in milliseconds. */
const PAUSE = 5000;

// Before anything is asked of anybody: no address with a token or a code in it is kept or told.
const returned = takeAddress();

let provider;
let current = null;
let refreshing = null;
let notBefore = 0;
let timer = 0;

/** What the page signs in at. */
export const signIn = () => provider;

/** Who is signed in, or null. */
export const user = () => current?.user ?? null;

/**
 * Takes up a sign-in: the one that this page comes back from, or the one of this tab. Answers with
 * a sentence if the one that it comes back from failed.
 */
export async function start(config) {
  const { mode } = config;
  provider = mode === "oidc" ? new Oidc(config)
    : new GoTrue(mode === "local" ? new URL("../", document.baseURI).href : config.url, mode === "local" ? "local" : config.publishable_key);
  const flash = stored(FLASH, null) ?? "";
  if (returned) {
    try {
      await finish(returned);
      return "";
    } catch (error) {
      return error.message;
    }
  }
  restore();
  return flash;
}

/** What a sign-in has put into the address, which is clean before anything else happens. */
function takeAddress() {
  const query = new URLSearchParams(location.search);
  const hash = new URLSearchParams(location.hash.startsWith("#/") ? "" : location.hash.slice(1));
  const found = hash.has("error") || hash.has("access_token") ? hash : query;
  const names = ["code", "error", "access_token"];
  if (!names.some((name) => found.has(name))) return null;
  history.replaceState(null, "", location.pathname);
  return Object.fromEntries(found);
}

async function finish(returned) {
  const begun = take();
  if (returned.error) {
    throw new Error(sentence(returned.error_code || returned.error, returned.error_description));
  }
  if (returned.access_token) {
    const user = await provider.user(returned.access_token);
    adopt({ ...returned, expires_in: Number(returned.expires_in), user }, Boolean(begun?.stay));
  } else {
    const isOther = provider instanceof Oidc && returned.state !== begun?.state;
    if (!begun || isOther) {
      throw new Error("This link was asked for in another browser. Open it there, or ask for a new one here.");
    }
    adopt(await provider.exchange(returned.code, begun.verifier), begun.stay);
  }
  if (begun?.route?.startsWith("#/")) history.replaceState(null, "", begun.route);
}

/** Takes a session as the sign-in answered with it. */
export function adopt(session, stay) {
  if (typeof session.access_token !== "string") throw new Refusal("The sign-in failed. Try again.", { status: 400 });
  const life = (Number(session.expires_in) || 3600) * 1000;
  const { id, email } = session.user ?? current?.user ?? {};
  current = { access: session.access_token, refresh: session.refresh_token ?? current?.refresh,
    ends: clock.now() + life, life, stay, user: { id, email } };
  keep();
  schedule();
}

/** What the session storage has under a name, which another value may take the place of. */
function stored(name, value) {
  try {
    const found = JSON.parse(sessionStorage.getItem(name));
    if (value) sessionStorage.setItem(name, JSON.stringify(value));
    else if (value !== undefined) sessionStorage.removeItem(name);
    return found;
  } catch {
    // A browser that keeps nothing signs out with a reload.
    return null;
  }
}

const keep = () => stored(KEY, current?.stay ? current : null);

function restore() {
  const kept = stored(KEY);
  if (typeof kept?.access !== "string") return;
  current = kept;
  schedule();
}

/** Refreshed when a tenth of its life is left, and one minute before its end at the latest. */
const isEnding = () => clock.now() > current.ends - Math.min(60_000, current.life / 10);

function schedule() {
  clearTimeout(timer);
  const wait = Math.max(1000, current.ends - Math.min(60_000, current.life / 10) - clock.now() + 500);
  timer = setTimeout(() => token().catch(() => {}), Math.min(wait, 2 ** 31 - 1));
}

/** An access token that counts. `used`: the one that the server has just refused. */
export async function token(used) {
  if (!current) throw new Refusal("You are signed out.", { status: 401 });
  if (!isEnding() && current.access !== used) return current.access;
  const isGood = () => current && current.access !== used && clock.now() < current.ends;
  if (performance.now() < notBefore) {
    if (isGood()) return current.access;
    throw new Refusal("The sign-in is busy. Trying again shortly.");
  }
  try {
    await (refreshing ??= refresh().finally(() => { refreshing = null; }));
  } catch (error) {
    if (error.isFinal || !isGood()) throw error;
  }
  return current.access;
}

async function refresh() {
  const { refresh, stay } = current;
  try {
    if (!refresh) throw new Refusal("Your session has ended.", { status: 401 });
    adopt(await provider.refresh(refresh), stay);
  } catch (error) {
    if (error.isFinal) end("Your session has ended. Sign in again.");
    notBefore = performance.now() + Math.max(PAUSE, (error.retryAfter ?? 0) * 1000);
    clearTimeout(timer);
    timer = setTimeout(() => token().catch(() => {}), notBefore - performance.now() + 100);
    throw error;
  }
}

/** Signs out here and at the sign-in. */
export async function signOut() {
  const ended = current;
  try {
    await Promise.race([provider.signOut(ended), new Promise((resolve) => { setTimeout(resolve, 2000); })]);
  } catch { /* It is signed out here in any case. */ }
  end("");
}

/** Forgets everything of a user: the page begins anew, so nothing of theirs stays in it. */
export function end(text) {
  current = null;
  clearTimeout(timer);
  keep();
  stored(FLASH, text);
  if (!text) history.replaceState(null, "", location.pathname);
  location.reload();
}
