// The session of the signed-in user. Tokens are kept in memory and, if the user chooses that, in the
// session storage of this tab. Their expiry is checked by the server's clock, not by the device's.

import * as clock from "./clock.js";
import { GoTrue, Refusal, sentence } from "./gotrue.js";
import { Oidc } from "./oidc.js";
import { take } from "./pkce.js";

const KEY = `thread-store:session:${location.pathname}`;
const FLASH = `thread-store:flash:${location.pathname}`;

/** Minimum pause after a failed refresh, in milliseconds. */
const PAUSE = 5000;

// Runs before any request, so that no address with a token or a code is stored or sent as a referrer.
const returned = takeAddress();

let provider;
let current = null;
let refreshing = null;
let notBefore = 0;
let timer = 0;

/** The client of the sign-in. */
export const signIn = () => provider;

/** The signed-in user, or null. */
export const user = () => current?.user ?? null;

/**
 * Completes the sign-in that the browser returns from, or restores the session of this tab. Returns
 * a sentence to show if the sign-in failed or the session has ended.
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

/** Removes and returns the parameters that a sign-in has put into the address. */
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
      throw new Error("This link was requested in another browser. Open it there, or request a new one here.");
    }
    adopt(await provider.exchange(returned.code, begun.verifier), begun.stay);
  }
  if (begun?.route?.startsWith("#/")) history.replaceState(null, "", begun.route);
}

/** Takes over a session from an answer of the sign-in. */
export function adopt(session, stay) {
  if (typeof session.access_token !== "string") throw new Refusal("The sign-in failed. Try again.", { status: 400 });
  const life = (Number(session.expires_in) || 3600) * 1000;
  const { id, email } = session.user ?? current?.user ?? {};
  current = { access: session.access_token, refresh: session.refresh_token ?? current?.refresh,
    ends: clock.now() + life, life, stay, user: { id, email } };
  keep();
  schedule();
}

/** The value of a name in the session storage. `value` replaces it, and null removes it. */
function stored(name, value) {
  try {
    const found = JSON.parse(sessionStorage.getItem(name));
    if (value) sessionStorage.setItem(name, JSON.stringify(value));
    else if (value !== undefined) sessionStorage.removeItem(name);
    return found;
  } catch {
    // Without session storage, reloading the page signs the user out.
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

/** Whether the token should be refreshed: in the last tenth of its life, or its last minute if that is shorter. */
const isEnding = () => clock.now() > current.ends - Math.min(60_000, current.life / 10);

function schedule() {
  clearTimeout(timer);
  const wait = Math.max(1000, current.ends - Math.min(60_000, current.life / 10) - clock.now() + 500);
  timer = setTimeout(() => token().catch(() => {}), Math.min(wait, 2 ** 31 - 1));
}

/** A valid access token. `used`: a token that the server has refused. */
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
  } catch { /* The user is signed out here in any case. */ }
  end("");
}

/** Ends the session and reloads the page, so that it keeps no data of the user. */
export function end(text) {
  current = null;
  clearTimeout(timer);
  keep();
  stored(FLASH, text);
  if (!text) history.replaceState(null, "", location.pathname);
  location.reload();
}
