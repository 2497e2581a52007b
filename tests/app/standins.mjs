// Sign-ins that are not ours, as small as they can be: one that answers like Supabase Auth, and an
// OpenID Connect provider.

import { createHash, createHmac, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";

const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

export const ANON = `${part({ alg: "HS256", typ: "JWT" })}.${part({ role: "anon", iss: "supabase" })}.${part("signature")}`;
export const SERVICE = ANON.replace(part({ role: "anon", iss: "supabase" }), part({ role: "service_role", iss: "supabase" }));
export const SECRET = "sb_secret_5Y2WvB8n1QJm0yTqLx";
export const PUBLISHABLE = "sb_publishable_abc123";

function listen(answer) {
  const log = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(request.url, `http://${request.headers.host}`);
    const text = Buffer.concat(chunks).toString();
    log.push({ method: request.method, path: url.pathname, query: url.searchParams, text, headers: request.headers });
    const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "authorization, apikey, content-type", "access-control-allow-methods": "GET, POST, PUT" };
    const send = (status, body, more = {}) => { response.writeHead(status, { "content-type": "application/json", ...headers, ...more }); response.end(body === undefined ? undefined : JSON.stringify(body)); };
    if (request.method === "OPTIONS") { send(204); return; }
    await answer({ url, text, request, send });
  });
  // A story that fails leaves it behind.
  server.unref();
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ url: `http://127.0.0.1:${server.address().port}`, log, close: () => { server.closeAllConnections(); server.close(); } })));
}

/** Supabase Auth. `life` is how long its tokens last, in seconds. */
export async function supabase({ life = 3600 } = {}) {
  const users = new Map();
  const sessions = new Map();
  const flows = new Map();
  // Stories share it, so each looks for what its own user did.
  const state = { refusals: [], refreshes: 0, life, mails: [], codes: new Map() };
  const error = (send, status, error_code, msg, more) => send(status, { code: status, error_code, msg }, more);
  function session(user) {
    const id = randomUUID();
    const now = Math.floor(Date.now() / 1000);
    const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user.id, aud: "authenticated", role: "authenticated", email: user.email, session_id: id, iat: now, exp: now + state.life })}`;
    const access_token = `${body}.${createHmac("sha256", "secret").update(body).digest("base64url")}`;
    const refresh_token = randomUUID();
    sessions.set(access_token, { id, user });
    flows.set(refresh_token, { user, id });
    return { access_token, token_type: "bearer", expires_in: state.life, expires_at: now + state.life, refresh_token, user: { id: user.id, email: user.email } };
  }
  const user = (email) => {
    if (!users.has(email)) users.set(email, { id: randomUUID(), email, password: "correct horse" });
    return users.get(email);
  };
  function follow(flow, to) {
    if (flow.challenge) {
      const code = randomUUID();
      flows.set(code, flow);
      state.codes.set(code, flow.user.email);
      return `${to}?code=${code}`;
    }
    const { access_token, refresh_token, expires_in, expires_at } = session(flow.user);
    return `${to}#${new URLSearchParams({ access_token, expires_at, expires_in, refresh_token, token_type: "bearer", type: "magiclink" })}`;
  }
  const server = await listen(({ url, text, request, send }) => {
    const body = text ? JSON.parse(text) : {};
    const path = url.pathname.replace("/auth/v1/", "");
    const isLink = path === "verify" || path === "authorize";
    if (!isLink && request.headers.apikey !== PUBLISHABLE && request.headers.apikey !== SECRET) return send(401, { message: "No API key found in request" });
    if (state.refusals.length && path === "token" && url.searchParams.get("grant_type") === "refresh_token") {
      const [status, code, after] = state.refusals.shift();
      state.refreshes += 1;
      return error(send, status, code, code, after ? { "retry-after": String(after) } : {});
    }
    if (path === "settings") return send(200, { external: { email: true, github: true, google: false, phone: false, anonymous_users: false }, disable_signup: false });
    if (path === "user") {
      const found = sessions.get((request.headers.authorization ?? "").replace(/^Bearer /, ""));
      return found ? send(200, { id: found.user.id, aud: "authenticated", role: "authenticated", email: found.user.email, phone: "" }) : error(send, 403, "session_not_found", "Session from session_id claim in JWT does not exist");
    }
    if (path === "logout") { sessions.delete((request.headers.authorization ?? "").replace(/^Bearer /, "")); return send(204); }
    if (path === "otp") {
      const flow = { user: user(body.email), challenge: body.code_challenge, method: body.code_challenge_method };
      const token = randomUUID();
      flows.set(token, flow);
      state.mails.push({ to: body.email, link: `${server.url}/auth/v1/verify?token=${token}&type=magiclink&redirect_to=${encodeURIComponent(url.searchParams.get("redirect_to"))}` });
      return send(200, {});
    }
    if (path === "verify" || path === "authorize") {
      const flow = path === "authorize" ? { user: user("octocat@example.com"), challenge: url.searchParams.get("code_challenge"), method: url.searchParams.get("code_challenge_method") } : flows.get(url.searchParams.get("token"));
      flows.delete(url.searchParams.get("token"));
      const to = url.searchParams.get("redirect_to");
      const wrong = "#error=access_denied&error_code=otp_expired&error_description=Email+link+is+invalid+or+has+expired";
      return send(303, undefined, { location: flow ? follow(flow, to) : `${to}${wrong}` });
    }
    if (path === "token") {
      const kind = url.searchParams.get("grant_type");
      if (kind === "password") {
        const found = users.get(body.email);
        return found?.password === body.password ? send(200, session(found)) : error(send, 400, "invalid_credentials", "Invalid login credentials");
      }
      if (kind === "refresh_token") {
        state.refreshes += 1;
        const flow = flows.get(body.refresh_token);
        if (flow) flow.user.refreshes = (flow.user.refreshes ?? 0) + 1;
        flows.delete(body.refresh_token);
        return flow ? send(200, session(flow.user)) : error(send, 400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found");
      }
      const flow = flows.get(body.auth_code);
      flows.delete(body.auth_code);
      if (!flow) return error(send, 404, "flow_state_not_found", "invalid flow state, no valid flow state found");
      const proof = flow.method === "s256" ? createHash("sha256").update(body.code_verifier).digest("base64url") : body.code_verifier;
      return proof === flow.challenge ? send(200, session(flow.user)) : error(send, 400, "bad_code_verifier", "code challenge does not match previously saved code verifier");
    }
    return error(send, 404, "not_found", path);
  });
  return Object.assign(server, { state, user, session, sessions });
}

/**
 * An OpenID Connect provider with one public client, "page". `life` is how long its tokens last, in
 * seconds. The first refresh leaves the refresh token as it is, later ones replace it.
 */
export async function provider(audience, { life = 300 } = {}) {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const flows = new Map();
  const asked = [];
  const refreshed = [];
  const server = await listen(({ url, text, send }) => {
    const jwt = (claims) => {
      const body = `${part({ alg: "ES256", kid: "k", typ: "JWT" })}.${part({ iss: server.url, iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + life, ...claims })}`;
      return `${body}.${sign("sha256", Buffer.from(body), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
    };
    const tokens = () => {
      const refresh_token = randomUUID();
      flows.set(refresh_token, {});
      return { token_type: "Bearer", expires_in: life, refresh_token, access_token: jwt({ sub: "grace", aud: audience, scope: "openid" }), id_token: jwt({ sub: "grace", aud: "page", email: "grace@example.com" }) };
    };
    if (url.pathname === "/.well-known/openid-configuration") {
      return send(200, { issuer: server.url, jwks_uri: `${server.url}/jwks`, authorization_endpoint: `${server.url}/authorize`, token_endpoint: `${server.url}/token`, revocation_endpoint: `${server.url}/revoke` });
    }
    if (url.pathname === "/jwks") return send(200, { keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", alg: "ES256", use: "sig" }] });
    if (url.pathname === "/authorize") {
      const query = Object.fromEntries(url.searchParams);
      asked.push(query);
      const code = randomUUID();
      flows.set(code, query);
      return send(302, undefined, { location: `${query.redirect_uri}?${new URLSearchParams({ code, state: query.state })}` });
    }
    const form = new URLSearchParams(text);
    if (url.pathname === "/token") {
      const flow = flows.get(form.get("code") ?? form.get("refresh_token"));
      if (form.get("grant_type") === "refresh_token") refreshed.push(form.get("refresh_token"));
      if (flow && refreshed.length === 1) {
        const { refresh_token: unused, ...rest } = tokens();
        flows.delete(unused);
        return send(200, rest);
      }
      flows.delete(form.get("code") ?? form.get("refresh_token"));
      const isProven = form.get("grant_type") === "refresh_token" || (flow && createHash("sha256").update(form.get("code_verifier")).digest("base64url") === flow.code_challenge && flow.redirect_uri === form.get("redirect_uri"));
      return flow && isProven && form.get("client_id") === "page" ? send(200, tokens()) : send(400, { error: "invalid_grant", error_description: "grant request is invalid" });
    }
    if (url.pathname === "/revoke") { flows.delete(form.get("token")); return send(200, {}); }
    return send(404, {});
  });
  return Object.assign(server, { asked, flows, refreshed });
}
