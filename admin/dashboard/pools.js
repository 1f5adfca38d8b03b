// The pools: state and its history, what they do with the shares; and the last switches of miners between them.

import { $, el, figures, keyed, setAttribute, setText } from "./dom.js";
import { about, clock, count, fullDate, hashrate, micros, percent, plain, several, short, span } from "./format.js";
import { ended } from "./history.js";
import { now } from "./live.js";
import { meaning, title, word } from "./words.js";
import { POOL_COMMANDS, commandButton } from "./commands.js";

const STRIP_MS = 86_400_000;
// The server keeps at least so many changes of a pool.
const CHANGES_KEPT_MIN = 32;
const SWITCHES_SHOWN = 40;

export function showPools(pools, startedMs) {
  const usable = pools.filter(({ state }) => isUsable(state)).length;
  setText($("pools-note"), pools.length ? `${usable} of ${pools.length} usable` : "None is configured.");
  const groups = new Set(pools.map(({ group }) => group)).size;
  const show = (node, pool) => update(node, pool, { isOne: pools.length === 1, hasGroups: groups > 1, sharesMiners: pools.some((other) => isPeer(other, pool)), startedMs });
  keyed($("pools"), pools, ({ name, url }) => name || url, create, show);
}

function create(pool) {
  const buttons = el("div", { class: "pool-buttons operator-only", hidden: true },
    ...POOL_COMMANDS.map((command) => commandButton(command, pool.name)));
  const [strip, from] = [el("div", { class: "strip", role: "img" }), el("span")];
  return el("li", { class: "pool" },
    el("div", { class: "pool-head" }, el("h3", {}, pool.name || "Pool"), el("span", { class: "pill" }), el("span", { class: "url" })),
    el("p", { class: "why" }),
    el("dl", { class: "figures" }),
    el("p", { class: "probe", hidden: true }),
    el("div", {}, strip, el("p", { class: "strip-ends" }, from, el("span", {}, "now"))),
    buttons);
}

/** Whether weights share miners out between the two. */
const isPeer = (other, pool) => other !== pool && other.group === pool.group && other.priority === pool.priority;

/** Which commands make a difference. */
const COMMANDS_OF = { disabled: ["enable"], draining: ["enable", "move", "disable"] };
const COMMANDS_ELSE = ["drain", "move", "disable"];

const isUsable = (state) => state === "up" || state === "degraded";

/** Whether a change is one of the probes of a pool that stays down: down, tried, down again, every few seconds. */
export const isProbe = ({ from, to }) =>
  (from === "down" && to === "half_open") || (from === "half_open" && to === "down");

/** Since when it can or cannot be used: its state since then, the probes in between left out. */
export function since(pool) {
  let at = pool.since_ms;
  for (const change of [...pool.history].reverse()) {
    if (!isProbe(change)) return isUsable(pool.state) ? at : change.at_ms;
    at = change.at_ms;
  }
  return at;
}

function update(node, pool, { isOne, hasGroups, sharesMiners, startedMs }) {
  const [head, why, list, probe, history, buttons] = node.children;
  node.dataset.state = pool.state;
  const [name, pill, url] = head.children;
  setText(name, pool.name || "Pool");
  pill.dataset.state = pool.state;
  pill.title = meaning(pool.state) ?? "";
  setText(pill, title(pool.state));
  const place = `priority ${pool.priority}${hasGroups ? ` in ${pool.group}` : ""}`;
  setText(url, isOne ? pool.url : `${pool.url} · ${place}`);
  // Why something works is of no use to anybody.
  const reason = pool.reason && pool.state !== "up" ? `: ${pool.reason}` : "";
  const until = pool.until_ms && pool.until_ms > now() ? ` Looked at again in ${about(pool.until_ms - now())}.` : "";
  setText(why, `${title(pool.state === "half_open" ? "down" : pool.state)} for ${span(now() - since(pool))}${reason}.${until}`.replace("..", "."));
  why.title = `Since ${fullDate(since(pool))}`;
  figures(list, figuresOf(pool, sharesMiners));
  showProbes(probe, pool);
  showStrip(history, pool, startedMs);
  buttons.hidden = document.body.dataset.role !== "operator";
  for (const button of buttons.children) button.hidden = !(COMMANDS_OF[pool.state] ?? COMMANDS_ELSE).includes(button.dataset.command);
}

function figuresOf(pool, sharesMiners) {
  const all = ended(pool.shares);
  const isKnown = (value) => value !== null && value !== undefined;
  return [
    ["Hashrate", hashrate(pool.hashrate.m5), "Work that this pool credited, average over five minutes"],
    ["Accepted", all ? percent(pool.shares.accepted / all, 2) : "–", "Shares that it accepted, of all that ended there"],
    ["Verdict", pool.verdict_time.count ? micros(pool.verdict_time.p50_us) : "–", "From a submit to its verdict: half of all shares are faster" + tail(pool.verdict_time)],
    ["Miners", count(pool.connections), pool.standby ? `Connections to it; ${pool.standby} more stand ready` : "Connections to it"],
    ...(sharesMiners ? [["Share", shareOf(pool.split), splitText(pool.split)]] : []),
    ...(pool.last_job_ms ? [["Last job", `${about(now() - pool.last_job_ms)} ago`, "When it last told miners what to work on"]] : []),
    ...(pool.connect_time.count ? [["Connect", micros(pool.connect_time.p50_us), "What making a connection to it took: half were faster" + tail(pool.connect_time)]] : []),
    ...(isKnown(pool.difficulty) ? [["Difficulty", short(pool.difficulty), "How hard a share must be; that of the last one"]] : []),
    ...(isKnown(pool.block_height) ? [["Block", count(pool.block_height), "The height of the block that its jobs are for"]] : []),
    ...(pool.switch_time.count ? [["Switch", micros(pool.switch_time.p50_us), `Moving a miner here took so long, for half of ${several(pool.switches_to.live ?? 0, "move")} without a reconnect${tail(pool.switch_time)}; ${several(pool.switches_to.reconnect ?? 0, "move")} with one`]] : []),
  ];
}

/** The slowest hundredth, where there are enough values to speak of one. */
const tail = (time) => (time.count >= 100 ? `, 99 % within ${plain(micros(time.p99_us))}` : "");

const shareOf = ({ workers, by_hashrate: part }) => (workers ? percent(part.achieved, 0) : "–");

/** What the weights want, what came of it, and how far chance alone may take it. */
function splitText({ wanted, workers, by_hashrate: rate, by_workers: heads }) {
  const goal = `Its weight asks for ${plain(percent(wanted, 1))} of the pools of its priority`;
  if (!workers) return goal;
  const part = ({ achieved, standard_error: error }) => `${plain(percent(achieved, 1))} ± ${plain(percent(error, 1))}`;
  return `${goal}; it has ${part(rate)} of the hashrate and ${part(heads)} of the workers (± is one standard error: miners are placed, not hashes)`;
}

/** The last probe; all that are known when pointed at. */
function showProbes(note, { probes }) {
  const last = probes.at(-1);
  note.hidden = !last;
  if (!last) return;
  setText(note, `Probed ${about(now() - last.at_ms)} ago: ${last.detail}.`);
  note.title = [...probes].reverse().map((probe) => `${fullDate(probe.at_ms)}, ${probe.took_ms} ms: ${probe.detail}`).join("\n");
}

/** A day as a strip of states. Before the first change that is known, the state is the one it began with. */
function showStrip(box, pool, startedMs) {
  const end = now();
  const changes = pool.history.filter((change) => change.at_ms <= end && !isProbe(change));
  // What was before the changes that are kept is only known where all are kept.
  const first = pool.history.length < CHANGES_KEPT_MIN ? startedMs : pool.history[0].at_ms;
  const start = Math.max(end - STRIP_MS, Math.min(first, pool.since_ms));
  const parts = [];
  let state = changes[0]?.from ?? pool.state;
  let at = start;
  for (const change of changes) {
    if (change.at_ms > at) parts.push({ state, from: at, to: change.at_ms });
    at = Math.max(at, change.at_ms);
    state = change.to;
  }
  parts.push({ state: pool.state, from: at, to: end });
  const [strip, ends] = box.children;
  keyed(strip, parts, ({ from }) => from === start ? "start" : from, () => el("span"), (node, part) => {
    node.dataset.state = part.state;
    node.style.flexGrow = part.to - part.from;
    node.title = `${title(part.state)} ${clock(part.from, end)} – ${clock(part.to, end)}`;
  });
  const bad = parts.filter(({ state: each }) => each === "down" || each === "half_open");
  const lost = bad.reduce((all, part) => all + part.to - part.from, 0);
  setAttribute(strip, "aria-label", lost ? `Down for ${span(lost)} since ${clock(start, end)}` : `Never down since ${clock(start, end)}`);
  setText(ends.firstChild, `${about(end - start)} ago`);
}

/** Changes of state and switches of miners, newest first. Those of many miners at once are one line. */
export function showSwitches(pools, switches) {
  const changes = pools.flatMap((pool) => pool.history.filter((change) => !isProbe(change)).map((change) =>
    ({ key: `${pool.name} ${change.at_ms} ${change.to}`, at: change.at_ms, ...changeText(pool.name, change) })));
  const all = [...changes, ...switches].sort((a, b) => b.at - a.at).slice(0, SWITCHES_SHOWN);
  setText($("switches-count"), all.length ? `(${all.length})` : "(none yet)");
  keyed($("switches"), all, ({ key }) => key, line, (node, { text, level, title: about_ }) => {
    node.dataset.level = level;
    setText(node.lastChild, text);
    node.lastChild.title = about_ ?? "";
  });
}

function line({ at }) {
  const time = el("time", { datetime: new Date(at).toISOString(), title: fullDate(at) }, clock(at, now()));
  return el("li", {}, time, el("span", { class: "dot" }), el("span"));
}

export function changeText(name, { from, to, reason }) {
  const level = to === "up" ? "good" : ["degraded", "disabled", "draining"].includes(to) ? "warn" : "bad";
  return { level, text: `${name}: ${word(from).toLowerCase()} → ${word(to).toLowerCase()}${reason ? ` (${reason})` : ""}` };
}
