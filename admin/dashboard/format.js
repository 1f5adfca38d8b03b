// Figures as people read them.

const LOCALE = "en-US";
const DASH = "–";

const counts = new Intl.NumberFormat(LOCALE);
const withDecimals = [0, 1, 2, 3].map((digits) =>
  new Intl.NumberFormat(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits }));

export const count = (value) => (value === null || value === undefined ? DASH : counts.format(value));

/** "1 worker", "2 workers". */
export const several = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

const significant = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 3 });

/** A value with three digits. Those that are measured keep their zeros: it would look as if they jumped otherwise. */
function threeDigits(value) {
  const size = Math.abs(value);
  return withDecimals[size >= 100 ? 0 : size >= 10 ? 1 : 2].format(value);
}

/** A round value, as axes have them, without them. */
const round = (value) => significant.format(value);

const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];

function scaled(value, base = 1000) {
  let power = 0;
  while (Math.abs(value) >= base * 0.9995 && power < PREFIXES.length - 1) {
    value /= base;
    power += 1;
  }
  return [value, PREFIXES[power]];
}

/** Hashes per second; `digits` fixes the decimals, for columns, or is "round", for axes. */
export function hashrate(value, digits) {
  if (!(value > 0)) return { number: "0", unit: "H/s" };
  const [number, prefix] = scaled(value);
  if (digits === "round") return { number: round(number), unit: `${prefix}H/s` };
  return { number: digits === undefined ? threeDigits(number) : withDecimals[digits].format(number), unit: `${prefix}H/s` };
}

/** A large number in short. */
export function short(value) {
  if (value === null || value === undefined) return DASH;
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  if (Math.abs(value) < 1) return round(value);
  if (Math.abs(value) < 10000) return counts.format(Math.round(value * 100) / 100);
  const [number, prefix] = scaled(value);
  return { number: threeDigits(number), unit: prefix };
}

export function bytes(value) {
  const [number, prefix] = scaled(value ?? 0, 1024);
  return { number: prefix ? threeDigits(number) : count(number), unit: prefix ? `${prefix.toUpperCase()}iB` : "B" };
}

/** A share between 0 and 1. What is not quite all or nothing never reads so. */
export function percent(share, digits = 1) {
  if (share === null || share === undefined || Number.isNaN(share)) return DASH;
  const step = 10 ** -digits;
  let value = share * 100;
  if (share < 1) value = Math.min(value, 100 - step);
  if (share > 0 && value < step) return { number: `<${withDecimals[digits].format(step)}`, unit: "%" };
  return { number: withDecimals[share === 1 || share === 0 ? 0 : digits].format(value), unit: "%" };
}

export function micros(value, write = threeDigits) {
  if (value < 1000) return { number: count(value), unit: "µs" };
  if (value < 1e6) return { number: write(value / 1e3), unit: "ms" };
  return { number: write(value / 1e6), unit: "s" };
}

/** The same for bounds, which are round. */
export const roundMicros = (value) => micros(value, round);

/** A time span in words, coarse. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) {
    const minutes = Math.floor((seconds % 3600) / 60);
    return `${Math.floor(seconds / 3600)} h${minutes ? ` ${minutes} min` : ""}`;
  }
  const hours = Math.floor((seconds % 86400) / 3600);
  return `${several(Math.floor(seconds / 86400), "day")}${hours ? ` ${hours} h` : ""}`;
}

/** The same with one unit only. */
export function about(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return several(Math.floor(seconds / 86400), "day");
}

const clocks = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const fineClocks = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dates = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const fullDates = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** The time of day; with the date if it was another day. */
export function clock(ms, now = Date.now()) {
  const isToday = new Date(ms).toDateString() === new Date(now).toDateString();
  return (isToday ? clocks : dates).format(ms);
}
export const fineClock = (ms) => fineClocks.format(ms);
export const fullDate = (ms) => fullDates.format(ms);

/** A sentence, to begin a line. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A figure as one text. */
export const plain = (figure) => (typeof figure === "string" ? figure : `${figure.number} ${figure.unit}`.trim());
