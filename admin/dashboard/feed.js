// What happens, as it happens: the last events first, then all that come, newest on top.

import { $, el, keyed, setText } from "./dom.js";
import { get, listen, Refused } from "./api.js";
import { fineClock, fullDate, several } from "./format.js";
import { connection, failed, onConnection } from "./live.js";
import { isProbe } from "./pools.js";
import { tell } from "./tell.js";

const SHOWN_MAX = 200;
// Many that tell the same become one line.
const LISTED = 1_000;
const TOGETHER_MS = 30_000;
const AGAIN_MS = 3_000;
const SWITCHES_KEPT = 40;
// Said aloud by screen readers; the others can be read.
const SAID = ["pool_state", "block_candidate", "reject_burst"];

const GROUPS = [
  ["pools", "Pools", ["pool_state", "switch", "drill"]],
  ["trouble", "Trouble", ["reject_burst", "limit_hit"]],
  ["commands", "Commands", ["command"]],
  ["workers", "Miners", ["worker_authorized", "connection_opened", "connection_closed"]],
  ["blocks", "Blocks", ["block_candidate"]],
  ["jobs", "Jobs", ["job"]],
  ["shares", "Shares", ["share"]],
];
const chosen = new Set(["pools", "trouble", "commands", "workers", "blocks"]);

let lines = [];
const switches = [];
let lastId = 0;
let missed = 0;
let isPaused = false;
let stop;
let drawing = 0;
let tellSwitches = () => {};

/** Hears of switches of miners between pools: a list of lines, newest first. */
export const onSwitches = (handler) => (tellSwitches = handler);

const kinds = () => GROUPS.filter(([id]) => chosen.has(id)).flatMap(([, , each]) => each);

function showGroups() {
  const create = ([id, text]) => el("button", { type: "button", onclick: () => toggle(id) }, text);
  keyed($("feed-kinds"), GROUPS, ([id]) => id, create, (node, [id]) => node.setAttribute("aria-pressed", chosen.has(id)));
}
showGroups();

function toggle(id) {
  if (chosen.has(id)) chosen.delete(id);
  else chosen.add(id);
  showGroups();
  restart();
}

/** Begins anew: the last events as a list, then the stream. */
function restart() {
  stop?.abort();
  stop = new AbortController();
  lines = [];
  lastId = 0;
  missed = 0;
  draw();
  run(stop.signal);
}

async function run(signal) {
  const isOver = () => signal.aborted || connection.state !== "live";
  while (!isOver()) {
    try {
      const wanted = kinds();
      if (wanted.length === 0) return setText($("feed-note"), "nothing chosen");
      if (lastId === 0) await begin(wanted, signal);
      await listen(`kinds=${wanted}&after=${lastId}`, signal, () => setText($("feed-note"), ""), take);
    } catch (error) {
      if (isOver()) return;
      if (error instanceof Refused && error.status !== 401) setText($("feed-note"), error.message);
      else if (failed(error)) return;
    }
    if (isOver()) return;
    await new Promise((wake) => setTimeout(wake, AGAIN_MS));
  }
}

async function begin(wanted, signal) {
  const list = await get(`/events?limit=${LISTED}&kinds=${wanted}`);
  const moves = await get(`/events?limit=${LISTED}&kinds=switch`);
  if (signal.aborted) return;
  switches.length = 0;
  moves.events.forEach(keepSwitch);
  list.events.forEach((event) => add(event));
  // Zero would mean "ask for the list again".
  lastId = Math.max(list.last_id, 1);
  draw();
}

function take(kind, event) {
  if (kind === "missed") {
    missed += event.missed;
    return draw();
  }
  lastId = event.id;
  add(event);
  if (kind === "switch") keepSwitch(event);
  if (SAID.includes(kind) && !isProbe(event)) setText($("announce"), tell(event).text);
  draw();
}

/** Adds a line, or counts it to an earlier one when they tell the same. */
function add(event) {
  const line = { key: event.id, at: event.at_ms, times: 1, pool: event.pool, ...tell(event) };
  // After a real change of its state, probes of a pool are told anew.
  const isNews = event.kind === "pool_state" && !line.isProbe;
  if (isNews) lines.filter(({ pool }) => pool === event.pool).forEach((each) => (each.isProbe = false));
  const alike = lines.findIndex((each) => line.same && each.same === line.same &&
    (line.isProbe ? each.isProbe : line.at - each.at < TOGETHER_MS));
  if (alike < 0) {
    lines.unshift(line);
    if (lines.length > SHOWN_MAX) lines.pop();
    return;
  }
  const known = lines[alike];
  Object.assign(known, { times: known.times + 1, at: line.at, text: tell(event, known.times + 1).text });
  if (line.isProbe) lines.unshift(...lines.splice(alike, 1));
}

function keepSwitch(event) {
  const line = { key: `switch ${event.id}`, at: event.at_ms, times: 1, ...tell(event) };
  const last = switches.find(({ same, at }) => same === line.same && line.at - at < TOGETHER_MS);
  if (last) {
    last.times += 1;
    last.text = tell(event, last.times).text;
    last.at = line.at;
  } else {
    switches.unshift(line);
    if (switches.length > SWITCHES_KEPT) switches.pop();
  }
  tellSwitches(switches);
}

$("feed-pause").addEventListener("click", ({ currentTarget }) => {
  isPaused = !isPaused;
  currentTarget.setAttribute("aria-pressed", isPaused);
  setText(currentTarget, isPaused ? "Go on" : "Pause");
  draw();
});

/** Shows the lines, at most once per frame. */
function draw() {
  if (drawing) return;
  drawing = requestAnimationFrame(() => {
    drawing = 0;
    if (isPaused) return;
    $("feed-empty").hidden = lines.length > 0;
    $("feed").hidden = lines.length === 0;
    if (missed) setText($("feed-note"), `${several(missed, "event")} missed: too many for this page`);
    keyed($("feed"), lines, ({ key }) => key, create, (node, { at, level, text }) => {
      node.dataset.level = level ?? "";
      setText(node.firstChild, fineClock(at));
      setText(node.lastChild, text);
    });
  });
}

const create = ({ at }) => el("li", {}, el("time", { title: fullDate(at) }), el("span", { class: "dot" }), el("span"));

onConnection(() => {
  const isLive = connection.state === "live";
  if (isLive && !stop) restart();
  if (!isLive) {
    stop?.abort();
    stop = undefined;
  }
});
document.addEventListener("visibilitychange", () => {
  // A tab that nobody sees needs no listener; what it misses is replayed.
  if (document.hidden) stop?.abort();
  else if (stop && connection.state === "live") {
    stop = new AbortController();
    run(stop.signal);
  }
});
