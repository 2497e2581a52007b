// Proof Key for Code Exchange (RFC 7636): only the browser that began a sign-in can finish it.

const KEY = `thread-store:sign-in:${location.pathname}`;
/** What a sign-in may take, in milliseconds: mails arrive late. */
const LIFE = 3600_000;

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Begins a sign-in. What is to be remembered of it is kept in this browser, for its other tabs too. */
export async function begin(remembered) {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(48)));
  const state = base64url(crypto.getRandomValues(new Uint8Array(16)));
  const text = JSON.stringify({ ...remembered, verifier, state, at: Date.now() });
  try { localStorage.setItem(KEY, text); } catch { /* Then the link works in no tab, which it says. */ }
  if (!crypto.subtle) return { challenge: verifier, method: "plain", state };
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return { challenge: base64url(new Uint8Array(digest)), method: "s256", state };
}

/** What was remembered of the sign-in that this browser began last, once. */
export function take() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "null");
    localStorage.removeItem(KEY);
    return found && Math.abs(Date.now() - found.at) < LIFE ? found : null;
  } catch {
    return null;
  }
}
