// The sign-in form, for the sign-in of the server's settings.

import { el } from "./dom.js";
import * as session from "./session.js";

const NAMES = { github: "GitHub", gitlab: "GitLab", azure: "Microsoft" };
const nameOf = (provider) => NAMES[provider] ?? provider.replace(/_oidc$/, "").replace(/^./, (letter) => letter.toUpperCase());

/** Shows the sign-in form until a user is signed in. `said`: a sentence to show at first. */
export function signIn(config, said) {
  return new Promise((resolve) => {
    const error = el("p", { class: "error", role: "alert" }, said);
    const stay = el("input", { type: "checkbox", name: "stay" });
    const heading = el("h1", {}, "Sign in to your threads");
    const body = el("div", { class: "sign-in-body" });
    const remembered = () => ({ stay: stay.checked, route: location.hash });
    const node = el("main", { class: "sign-in" }, el("div", { class: "card" },
      el("div", { class: "brand" }, el("span", { class: "mark", "aria-hidden": "true" }), "thread-store"),
      heading, body, error));
    const attempt = async (action) => {
      error.textContent = "";
      node.setAttribute("aria-busy", "true");
      try {
        await action();
      } catch (failure) {
        error.textContent = failure.message;
      }
      node.removeAttribute("aria-busy");
    };
    const begin = (answer) => {
      session.adopt(answer, stay.checked);
      node.remove();
      resolve();
    };
    const staying = el("label", { class: "check" }, stay, "Stay signed in until this tab is closed");
    if (config.mode === "oidc") oidc(config, { body, staying, attempt, remembered });
    else if (config.mode === "supabase" && !config.publishable_key) {
      body.append(el("p", {}, "The sign-in is not set up: the operator of this server must set SUPABASE_PUBLISHABLE_KEY."));
    } else password(config, { body, staying, attempt, remembered, begin, error, heading });
    document.body.append(node);
    node.querySelector("input:not([type=checkbox]), button")?.focus();
  });
}

function oidc(config, { body, staying, attempt, remembered }) {
  if (!config.client_id) {
    body.append(el("p", {}, "The sign-in is not set up: the operator of this server must set OIDC_CLIENT_ID."));
    return;
  }
  body.append(staying, el("button", { type: "button", class: "primary wide", onclick: () => attempt(() => session.signIn().leave(remembered())) }, "Continue to sign in"));
}

function password(config, { body, staying, attempt, remembered, begin, error, heading }) {
  const isLocal = config.mode === "local";
  const email = el("input", { type: "email", name: "email", required: true, autocomplete: "username", inputmode: "email", maxlength: 254 });
  const secret = el("input", { type: "password", name: "password", required: true, autocomplete: "current-password", minlength: 6, maxlength: 200 });
  const submit = el("button", { type: "submit", class: "primary wide" }, "Sign in");
  const link = el("button", { type: "button", class: "quiet", onclick: () => attempt(async () => {
    if (!email.reportValidity()) return;
    await session.signIn().link(email.value.trim(), remembered());
    error.textContent = "";
    sent.textContent = `A link was ${isLocal ? "written to the server's log" : `sent to ${email.value.trim()}`}. Open it in this browser.`;
  }) }, "Send me a link instead");
  const sent = el("p", { class: "hint", role: "status" });
  const other = el("button", { type: "button", class: "quiet", onclick: () => {
    error.textContent = "";
    show(!isNew);
    (email.value ? secret : email).focus();
  } });
  let isNew = false;
  const show = (is) => {
    isNew = is;
    heading.textContent = isNew ? "Create an account" : "Sign in to your threads";
    submit.textContent = isNew ? "Create account" : "Sign in";
    other.textContent = isNew ? "I have an account" : "I have no account yet";
    secret.autocomplete = isNew ? "new-password" : "current-password";
  };
  const form = el("form", { class: "fields", onsubmit: (event) => {
    event.preventDefault();
    attempt(async () => {
      const [address, word] = [email.value.trim(), secret.value];
      const answer = await (isNew ? session.signIn().signUp(address, word) : session.signIn().password(address, word));
      if (answer.access_token) { begin(answer); return; }
      sent.textContent = `An e-mail was sent to ${address}. Follow its link, then sign in.`;
      show(false);
    });
  } }, el("label", {}, el("span", {}, "E-mail"), email), el("label", {}, el("span", {}, "Password"), secret), staying, submit);
  const providers = el("div", { class: "providers" });
  body.append(providers, form, sent, el("div", { class: "sign-in-more" }, other, link),
    isLocal && el("p", { class: "hint" }, "For development: any address and a password of at least 6 characters make an account."));
  show(false);
  if (isLocal) return;
  session.signIn().providers().then((on) => {
    providers.append(...on.providers.map((name) => el("button", { type: "button", class: "wide",
      onclick: () => attempt(() => session.signIn().leaveFor(name, remembered())) }, `Continue with ${nameOf(name)}`)));
    if (on.providers.length && on.email) providers.append(el("div", { class: "or", role: "separator" }, "or"));
    form.hidden = !on.email;
    link.hidden = !on.email;
    other.hidden = !on.email || !on.signUp;
  }, (failure) => { error.textContent = failure.message; });
}
