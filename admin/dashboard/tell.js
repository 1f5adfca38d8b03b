// Events in words: what a line says, how much it matters, and which events tell the same.

import { about, count, micros, plain, several, short } from "./format.js";
import { changeText, isProbe } from "./pools.js";
import { word } from "./words.js";

/**
 * An event in words, or `times` events that tell the same: `{ text, level, same, isProbe }`. Those with an equal `same`
 * can be one line. Levels: none, note, good, warn, bad.
 */
export function tell(event, times = 1) {
  return KINDS[event.kind]?.(event, times) ?? { text: word(event.kind) };
}

const WITH_PORT = /^\[?([^\]]*)\]?:\d+$/;
const host = (address) => WITH_PORT.exec(address)?.[1] ?? address;

/** What one event says about its own, or many about their number. */
const oneOr = (times, one, many) => (times > 1 ? `${count(times)} ${many}` : one);

const CALM_ENDS = ["miner_closed", "stopping"];
const OUTCOMES = {
  accepted: "accepted",
  rejected: "rejected",
  refused_here: "refused here",
  unanswered: "without an answer",
};

const KINDS = {
  connection_opened({ kind, address }, times) {
    return { same: kind, text: oneOr(times, `A miner connected from ${host(address)}`, "miners connected") };
  },

  connection_closed({ kind, worker, address, reason, lasted_ms }, times) {
    const who = oneOr(times, `${worker ?? host(address)} left after ${about(lasted_ms)}`, "miners left");
    const level = CALM_ENDS.includes(reason) ? "" : "warn";
    return { same: `${kind} ${reason}`, level, text: `${who}: ${word(reason)}` };
  },

  worker_authorized({ kind, worker, pool }, times) {
    const text = oneOr(times, `${worker} was accepted by ${pool}`, `workers were accepted by ${pool}`);
    return { same: `${kind} ${pool}`, level: "good", text };
  },

  share({ kind, worker, outcome, difficulty, class: reason, latency_us }, times) {
    const one = `${worker}: share of difficulty ${plain(short(difficulty))} ${OUTCOMES[outcome]}`;
    const why = reason ? `: ${word(reason).toLowerCase()}` : "";
    const took = times === 1 && latency_us ? ` in ${plain(micros(latency_us))}` : "";
    const text = oneOr(times, one, `shares ${OUTCOMES[outcome]}`) + why + took;
    return { same: `${kind} ${outcome} ${reason}`, level: outcome === "accepted" ? "good" : "warn", text };
  },

  reject_burst({ pool, worker, class: reason, rejected, total, within_ms }) {
    const where = worker ? `${worker} at ${pool}` : pool;
    const shares = `${count(rejected)} of ${several(total, "share")} rejected within ${about(within_ms)}`;
    return { level: "bad", text: `${where}: ${shares}, mostly “${word(reason).toLowerCase()}”` };
  },

  pool_state(event, times) {
    return isProbe(event) ? probe(event, times) : changeText(event.pool, event);
  },

  switch({ kind, worker, from, to, reason, live, took_ms }, times) {
    const took = `, took ${plain(micros(took_ms * 1000))}${live ? "" : ", had to connect again"}`;
    const why = word(reason) + (times === 1 ? took : "");
    const text = `${oneOr(times, worker ?? "A miner", "miners")}: ${from} → ${to} (${why})`;
    return { same: `${kind} ${from} ${to} ${reason}`, level: "note", text };
  },

  job({ kind, pool, clean, block_height }) {
    const height = block_height ? ` ${count(block_height)}` : "";
    const text = `${pool}: ${clean ? "new block" : "new job"}${height}`;
    return { same: `${kind} ${pool} ${clean}`, level: clean ? "note" : "", text };
  },

  block_candidate({ worker, pool, block_height }) {
    const height = block_height ? `, height ${count(block_height)}` : "";
    return { level: "good", text: `${worker} found a block candidate at ${pool}${height}` };
  },

  command({ token, request, done, result }) {
    const about_ = request.pool ?? request.worker ?? request.network;
    const asked = [word(request.command), about_].filter(Boolean).join(" ");
    return { level: done ? "note" : "warn", text: `${token}: ${asked} – ${result}` };
  },

  drill({ phase, outcome, from, chosen, moved, returned }) {
    const said = {
      leaving: "begins",
      away: `${count(moved)} of ${several(chosen, "miner")} are at the standby`,
      returning: "miners go back",
      over: `${word(outcome)}, ${count(returned)} of ${several(moved, "miner")} moved back`,
    };
    return { level: outcome && outcome !== "completed" ? "warn" : "note", text: `Drill of ${from}: ${said[phase]}` };
  },

  limit_hit({ kind, limit, address }, times) {
    const whom = address && times === 1 ? ` (${host(address)})` : "";
    return { same: `${kind} ${limit}`, level: "warn", text: `Bound reached: ${word(limit)}${whom}` };
  },
};

/** A pool that is down is tried again and again; all of it is one line. */
function probe({ pool, reason, to }, times) {
  // A try is two events: it begins, it fails.
  const tries = several(Math.ceil(times / 2), "time");
  const text = to === "down" || times > 1 ? `tried ${tries}, still down` : "is tried again";
  const why = to === "down" ? ` (${reason})` : "";
  return { same: `probe ${pool}`, isProbe: true, level: "bad", text: `${pool}: ${text}${why}` };
}
