// The server's time. The device's clock may be wrong by hours, so it is used only until the first
// answer. Time then passes by a monotonic clock.

let epoch = Date.now() - performance.now();
let known = false;

/** Milliseconds since 1970, by the server. */
export function now() {
  return epoch + performance.now();
}

/** Sets the time from the `Date` of an answer, which is in whole seconds. */
export function learn(date) {
  const told = Date.parse(date ?? "");
  if (Number.isNaN(told)) return;
  const apart = told + 500 - now();
  // The monotonic clock may have stopped while the device slept.
  if (!known || Math.abs(apart) > 2500) epoch += apart;
  known = true;
}

const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const day = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const whole = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

/** The time since then, in a short form. It is never in the future. */
export function ago(text) {
  const then = Date.parse(text);
  if (Number.isNaN(then)) return "";
  const seconds = Math.max(0, (now() - then) / 1000);
  if (seconds < 45) return "now";
  if (seconds < 3570) return words.format(-Math.max(1, Math.round(seconds / 60)), "minute");
  if (seconds < 86400) return words.format(-Math.round(seconds / 3600), "hour");
  if (seconds < 6 * 86400) return words.format(-Math.round(seconds / 86400), "day");
  return day.format(then);
}

/** A time to the second. */
export function at(text) {
  const time = Date.parse(text);
  return Number.isNaN(time) ? "" : whole.format(time);
}
