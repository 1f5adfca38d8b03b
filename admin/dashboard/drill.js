// The failover drill: how far the one under way is, and how the last one went.

import { $, setText } from "./dom.js";
import { clock, count, micros, plain, several, span } from "./format.js";
import { now, Source } from "./live.js";
import { askFor } from "./commands.js";
import { word } from "./words.js";

// A report is news for so long.
const NEWS_MS = 3_600_000;

const source = new Source(() => "/drill", 3_000, ({ drill }) => show(drill));

/** Reads it now: something was asked for. */
export const lookAtDrill = () => source.refresh();

function show(drill) {
  const isRunning = Boolean(drill) && drill.phase !== "over";
  const box = $("drill");
  box.hidden = !isRunning && !(drill && now() - drill.finished_ms < NEWS_MS);
  if (box.hidden) return;
  box.dataset.level = isRunning ? "note" : drill.outcome === "completed" && !drill.problems.length ? "good" : "warn";
  setText($("drill-text"), isRunning ? underWay(drill) : over(drill));
  setText($("drill-more"), more(drill));
  $("drill-cancel").hidden = !isRunning || document.body.dataset.role !== "operator";
}

const route = ({ from, to }) => `${from} → ${to.join(", ")}`;

function underWay(drill) {
  const left = drill.phase_until_ms ? Math.max(0, drill.phase_until_ms - now()) : 0;
  const said = {
    leaving: `${count(drill.moved)} of ${several(drill.chosen, "miner")} there`,
    away: `${several(drill.moved, "miner")} away, back in ${span(left)}`,
    returning: `${count(drill.returned)} of ${several(drill.moved, "miner")} back`,
  };
  return `Drill ${route(drill)}: ${said[drill.phase]}`;
}

function over(drill) {
  const times = drill.switch_time.count
    ? `, switched in ${plain(micros(drill.switch_time.p50_us))} (half of them) and ${plain(micros(drill.switch_time.p99_us))} (99 of 100)`
    : "";
  const anew = drill.reconnect_time.count
    ? `, ${count(drill.reconnected)} by a reconnect in ${plain(micros(drill.reconnect_time.p50_us))} and ${plain(micros(drill.reconnect_time.p99_us))}`
    : "";
  const how = `${count(drill.moved)} of ${several(drill.chosen, "miner")} moved${times}${anew}, ${count(drill.returned)} back`;
  return `Drill ${route(drill)} ${word(drill.outcome)} at ${clock(drill.finished_ms, now())}: ${how}`;
}

function more(drill) {
  const counted = [[drill.not_live, "cannot be switched live"], [drill.failed, "could not be logged in"],
    [drill.diverted, "moved by something else"], [drill.gone, "left"]];
  const shares = [[drill.stale, "too late"], [drill.rejected, "rejected"], [drill.unanswered, "without an answer"]];
  const told = counted.filter(([times]) => times).map(([times, what]) => `${count(times)} ${what}`);
  const ofShares = shares.filter(([times]) => times).map(([times, what]) => `${several(times, "share")} ${what}`);
  return [...told, ...ofShares, ...drill.problems].join(" · ");
}

$("drill-cancel").addEventListener("click", () => askFor({
  title: "End the drill?",
  text: "Its miners are moved back now.",
  verb: "End it",
  path: "/drill",
  body: () => ({ action: "cancel" }),
  then: lookAtDrill,
}));
