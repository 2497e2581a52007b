// The client of Supabase Auth, and of the local sign-in, which has the same API.

import { begin } from "./pkce.js";

/** A refusal of the sign-in. If `isFinal` is false the same request may succeed later. */
export class Refusal extends Error {
  constructor(message, { status = 0, code = "", retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
    this.isFinal = status >= 400 && status < 500 && status !== 408 && status !== 429;
  }
}

const SENTENCES = {
  invalid_credentials: "The e-mail address or the password is wrong.",
  email_not_confirmed: "This address is not confirmed yet. Follow the link in the e-mail that was sent to it.",
  over_email_send_rate_limit: "An e-mail was sent a moment ago. Wait a minute before you request another.",
  over_request_rate_limit: "Too many attempts. Wait a minute, then try again.",
  otp_expired: "This link has expired or was used already. Request a new one here.",
  flow_state_not_found: "This link has expired or was used already. Request a new one here.",
  bad_code_verifier: "This link was requested in another browser. Open it there, or request a new one here.",
  access_denied: "The sign-in was cancelled.",
};

/** A sentence for the user about an error of the sign-in. */
export function sentence(code, text) {
  return SENTENCES[code] ?? (text ? `${text.replace(/\.?$/, ".")}` : "The sign-in failed. Try again.");
}

/** A sign-in at `url`, with the project's publishable key. */
export class GoTrue {
  constructor(url, key) {
    this.url = new URL("auth/v1/", url.endsWith("/") ? url : url + "/");
    this.key = key;
    this.page = location.origin + location.pathname;
  }

  async #ask(path, body, { token, query = {}, method = "POST", keepalive } = {}) {
    const url = new URL(path, this.url);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const headers = { "content-type": "application/json" };
    if (this.key) headers.apikey = this.key;
    if (token) headers.authorization = `Bearer ${token}`;
    let response;
    try {
      response = await fetch(url, { method, headers, keepalive, credentials: "omit", cache: "no-store",
        referrerPolicy: "no-referrer", body: body && JSON.stringify(body) });
    } catch {
      throw new Refusal("The sign-in cannot be reached. Check the connection, then try again.");
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const code = answer.error_code ?? (typeof answer.code === "string" ? answer.code : answer.error) ?? "";
    const retryAfter = Number(response.headers.get("retry-after")) || 0;
    const text = response.status >= 500 ? "The sign-in failed. Try again in a moment"
      : response.status === 401 && !code ? "The sign-in refused this server's key. Tell the server's operator"
        : answer.msg ?? answer.message ?? answer.error_description;
    const known = response.status === 429 && !SENTENCES[code] ? "over_request_rate_limit" : code;
    throw new Refusal(sentence(known, text), { status: response.status, code, retryAfter });
  }

  password(email, password) {
    return this.#ask("token", { email, password }, { query: { grant_type: "password" } });
  }

  signUp(email, password) {
    return this.#ask("signup", { email, password });
  }

  /** Requests a link for an address. */
  async link(email, remembered) {
    const { challenge, method } = await begin(remembered);
    const body = { email, create_user: true, code_challenge: challenge, code_challenge_method: method };
    await this.#ask("otp", body, { query: { redirect_to: this.page } });
  }

  /** The providers that are enabled in the project's settings. */
  async providers() {
    const settings = await this.#ask("settings", undefined, { method: "GET" });
    const others = ["email", "phone", "anonymous_users"];
    const on = Object.entries(settings.external ?? {}).filter(([name, is]) => is === true && !others.includes(name));
    return { providers: on.map(([name]) => name), email: settings.external?.email !== false, signUp: !settings.disable_signup };
  }

  /** Leaves the page for a provider. */
  async leaveFor(provider, remembered) {
    const { challenge, method } = await begin(remembered);
    const url = new URL("authorize", this.url);
    const query = { provider, redirect_to: this.page, code_challenge: challenge, code_challenge_method: method };
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    location.assign(url);
  }

  exchange(code, verifier) {
    return this.#ask("token", { auth_code: code, code_verifier: verifier }, { query: { grant_type: "pkce" } });
  }

  refresh(token) {
    return this.#ask("token", { refresh_token: token }, { query: { grant_type: "refresh_token" } });
  }

  async user(token) {
    const { id, email } = await this.#ask("user", undefined, { method: "GET", token });
    return { id, email };
  }

  signOut({ access }) {
    return this.#ask("logout", undefined, { token: access, query: { scope: "local" }, keepalive: true });
  }
}
