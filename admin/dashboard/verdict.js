// The line at the top: all well, or what is wrong and since when.

import { $, el, keyed, setText } from "./dom.js";
import { advice } from "./words.js";
import { about, capital, clock, percent, plain, several, span } from "./format.js";
import { connection, now, problems } from "./live.js";
import { lately } from "./history.js";
import { since } from "./pools.js";

const NOTICED = "adit.noticed";
const LATELY_MS = 300_000;
const TIME_TO_JUDGE_MS = 30_000;
const SHARES_TO_JUDGE = 50;
const REJECTS_TO_TELL = 0.05;
const CERTIFICATE_TO_TELL_MS = 14 * 86_400_000;
const RANK = { ok: 0, degraded: 1, failing: 2 };

const noticed = read();

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(NOTICED)) ?? {};
  } catch {
    return {};
  }
}

/** When this page saw something first. Figures within a reason may change, it stays the same one. */
function firstSeen(reasons) {
  const keys = reasons.map(({ text }) => text.replaceAll(/\d+/g, "#"));
  for (const key of Object.keys(noticed)) if (!keys.includes(key)) delete noticed[key];
  for (const key of keys) noticed[key] ??= now();
  sessionStorage.setItem(NOTICED, JSON.stringify(noticed));
  return keys.map((key) => noticed[key]);
}

/** What is wrong by the server's own verdict and by the figures, worst first. */
function faults({ health, stats, pools }) {
  const found = (health?.reasons ?? []).map(({ text, since_ms }) => {
    const pool = pools?.find(({ name }) => text.startsWith(`pool ${name}: `));
    const isFailing = health.status === "failing" && !/^(pool |rows wait)|: \d+ of \d+ used$/.test(text);
    const all = text === "no usable pool" && pools?.length ? Math.max(...pools.map(since)) : undefined;
    return { text, level: isFailing ? "failing" : "degraded", since: (pool ? since(pool) : all) ?? since_ms };
  });
  if (stats) found.push(...byFigures(stats));
  found.push(...problems().map((text) => ({ text, level: "degraded" })));
  return found.sort((a, b) => RANK[b.level] - RANK[a.level]);
}

/** What the figures say that /health does not. */
function byFigures(stats) {
  const found = [];
  const add = (text) => found.push({ text, level: "degraded" });
  const last = lately(LATELY_MS);
  const lost = last && last.total - last.accepted;
  if (last && last.forMs >= TIME_TO_JUDGE_MS && last.total >= SHARES_TO_JUDGE && lost / last.total >= REJECTS_TO_TELL) {
    add(`${plain(percent(lost / last.total))} of all shares were lost in the last ${about(last.forMs)}`);
  }
  if (last && last.forMs >= LATELY_MS * 0.9 && last.accepted === 0 && stats.workers_online > 0) {
    add(`no share was accepted in the last ${about(last.forMs)}`);
  }
  if (stats.workers_known > 0 && stats.workers_online === 0) {
    add(stats.workers_known === 1 ? "the only worker is offline" : `all ${stats.workers_known} workers are offline`);
  }
  for (const { used_by, expires_ms } of stats.certificates) {
    const left = expires_ms - now();
    if (left <= 0) add(`the certificate of ${used_by} has expired`);
    else if (left < CERTIFICATE_TO_TELL_MS) add(`the certificate of ${used_by} expires in ${about(left)}`);
  }
  if (stats.ledger?.gap_shares > 0) {
    add(`${several(stats.ledger.gap_shares, "share")} could only be counted, not listed, in the ledger`);
  }
  return found;
}

function tell(level, line, more, reasons = []) {
  $("verdict").dataset.level = level;
  setText($("verdict-line"), line);
  setText($("verdict-more"), more);
  $("verdict-more").hidden = !more;
  keyed($("verdict-reasons"), reasons, ({ text }) => text.replaceAll(/\d+/g, "#"), () => el("li", {}, el("span"), el("span", { class: "muted" })),
    (node, { text, when }) => {
      setText(node.firstChild, capital(text));
      setText(node.lastChild, when);
    });
}

/** Shows how things are. */
export function showVerdict(known) {
  document.body.dataset.state = connection.state;
  $("retry").hidden = connection.state !== "lost" && connection.state !== "refused";
  $("verdict-access").hidden = connection.state !== "unauthorized";
  document.title = `${titleMark(known)}Adit · ${location.host}`;
  const waits = Math.ceil((connection.retryAt - Date.now()) / 1000);
  const again = waits > 0 ? `Trying again in ${waits} s.` : "Trying again…";
  switch (connection.state) {
    case "loading":
      return tell("unknown", "Asking Adit how it is…", "");
    case "lost":
      return tell("failing", `Adit does not answer since ${clock(connection.since)}`,
        `The figures below are from then. ${again}`);
    case "unauthorized":
      return tell("unknown", "Adit wants a token", connection.problem || "The figures are shown to those who have one. “adit config token” makes it.");
    case "refused":
      return tell("failing", "Adit refuses this page", `${connection.problem} ${again}`);
  }
  if (known.health && known.stats) return showFaults(known);
  // Without them only this can be said.
  if (problems().length > 0) tell("degraded", capital(problems()[0]), "");
  return undefined;
}

function titleMark(known) {
  if (connection.state === "lost") return "✕ ";
  if (connection.state !== "live" || !known.health) return "";
  const worst = faults(known)[0]?.level;
  return worst === "failing" ? "✕ " : worst ? "! " : "";
}

function showFaults(known) {
  const found = faults(known);
  const seen = firstSeen(found);
  if (found.length === 0) {
    const changed = Math.max(known.stats.process.started_ms, ...(known.pools ?? []).map(since));
    const running = `Running for ${span(now() - known.stats.process.started_ms)}`;
    const calm = `nothing changed since ${clock(changed, now())}`;
    return tell("ok", "All well", changed - known.stats.process.started_ms > 5000 ? `${running}, ${calm}.` : `${running}.`);
  }
  const worst = found[0];
  const reasons = found.map((fault, index) => ({ text: fault.text, when: when(fault, seen[index]) }));
  const hint = advice(worst.text);
  const line = `${capital(worst.text)}`;
  return tell(worst.level, line, [reasons[0].when && `${capital(reasons[0].when)}.`, hint].filter(Boolean).join(" "), reasons.slice(1));
}

function when({ since: known }, seen) {
  const at = known ?? seen;
  const word = known ? "since" : "first seen here at";
  return `${word} ${clock(at, now())}${known ? ` (${about(now() - at)})` : ""}`;
}

