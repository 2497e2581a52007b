// The client of an OpenID Connect provider: authorization code flow with PKCE, as a public client.

import { begin } from "./pkce.js";
import { Refusal, sentence } from "./gotrue.js";

const SCOPE = "openid profile email offline_access";

/** The claims of a JWT. They are only shown; the server verifies the token. */
function claims(token) {
  try {
    const text = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  } catch {
    return {};
  }
}

/** A sign-in at a provider with these endpoints. */
export class Oidc {
  constructor({ endpoints, client_id, audience }) {
    this.endpoints = endpoints;
    this.clientId = client_id;
    this.audience = audience;
    this.page = location.origin + location.pathname;
  }

  #resource() {
    // RFC 8707 allows only URLs. Other providers use `audience` for the same purpose.
    return /^https?:\/\//.test(this.audience) ? { resource: this.audience } : {};
  }

  /** Leaves the page for the provider. */
  async leave(remembered) {
    const { challenge, method, state } = await begin(remembered);
    if (method !== "s256") throw new Refusal("This sign-in requires https. Open the page at its https address.", { status: 400 });
    const url = new URL(this.endpoints.authorization_endpoint);
    const query = { response_type: "code", client_id: this.clientId, redirect_uri: this.page, scope: SCOPE, state,
      code_challenge: challenge, code_challenge_method: "S256", audience: this.audience, ...this.#resource() };
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    location.assign(url);
  }

  async #token(fields) {
    let response;
    try {
      response = await fetch(this.endpoints.token_endpoint, { method: "POST", credentials: "omit", cache: "no-store",
        referrerPolicy: "no-referrer", body: new URLSearchParams({ client_id: this.clientId, ...fields }) });
    } catch {
      throw new Refusal("The sign-in cannot be reached. Check the connection, then try again.");
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok && typeof answer.access_token === "string") {
      const { sub, email } = { ...claims(answer.access_token), ...claims(answer.id_token ?? "") };
      return { ...answer, user: { id: sub, email: email ?? sub } };
    }
    const text = response.status >= 500 ? "The sign-in failed. Try again in a moment" : answer.error_description;
    throw new Refusal(sentence(answer.error, text), { status: response.ok ? 400 : response.status, code: answer.error,
      retryAfter: Number(response.headers.get("retry-after")) || 0 });
  }

  exchange(code, verifier) {
    return this.#token({ grant_type: "authorization_code", code, code_verifier: verifier, redirect_uri: this.page, ...this.#resource() });
  }

  refresh(token) {
    return this.#token({ grant_type: "refresh_token", refresh_token: token, ...this.#resource() });
  }

  async user(token) {
    const { sub, email } = claims(token);
    return { id: sub, email: email ?? sub };
  }

  /** Revokes the refresh token, if the provider has an endpoint for that. */
  async signOut({ refresh, access }) {
    const url = this.endpoints.revocation_endpoint;
    if (!url) return;
    await fetch(url, { method: "POST", keepalive: true, credentials: "omit", referrerPolicy: "no-referrer",
      body: new URLSearchParams({ client_id: this.clientId, token: refresh ?? access }) });
  }
}
