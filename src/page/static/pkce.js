// Proof Key for Code Exchange (RFC 7636): only the browser that began a sign-in can finish it.

const KEY = `thread-store:sign-in:${location.pathname}`;
/** Maximum time of a sign-in in milliseconds. E-mails can be late. */
const LIFE = 3600_000;

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Begins a sign-in. Its data is kept in the browser's local storage, so that a link works in any tab. */
export async function begin(remembered) {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(48)));
  const state = base64url(crypto.getRandomValues(new Uint8Array(16)));
  const text = JSON.stringify({ ...remembered, verifier, state, at: Date.now() });
  try { localStorage.setItem(KEY, text); } catch { /* Without the storage the page reports that the link was requested in another browser. */ }
  if (!crypto.subtle) return { challenge: verifier, method: "plain", state };
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return { challenge: base64url(new Uint8Array(digest)), method: "s256", state };
}

/** Removes and returns the data of the last sign-in that this browser began. */
export function take() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "null");
    localStorage.removeItem(KEY);
    return found && Math.abs(Date.now() - found.at) < LIFE ? found : null;
  } catch {
    return null;
  }
}
