// Time as the server has it. The device's clock may be wrong by hours: it is only used until the
// first answer has told the time, and passes by a clock that cannot be set.

let epoch = Date.now() - performance.now();
let known = false;

/** Milliseconds since 1970, by the server. */
export function now() {
  return epoch + performance.now();
}

/** Learns the time from the `Date` of an answer, which is in whole seconds. */
export function learn(date) {
  const told = Date.parse(date ?? "");
  if (Number.isNaN(told)) return;
  const apart = told + 500 - now();
  // A device that slept has missed that time.
  if (!known || Math.abs(apart) > 2500) epoch += apart;
  known = true;
}

const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const day = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const whole = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

/** How long ago, in few letters, and never in the future. */
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
