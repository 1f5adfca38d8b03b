// The machine and the process: how much of what is bounded is used, the ledger, the shards.

import { $, el, keyed, meter, setFigure, setMeter, setText } from "./dom.js";
import { about, bytes, clock, count, micros, percent, plain, several } from "./format.js";
import { now } from "./live.js";
import { title } from "./words.js";

const NEAR = 0.75;
const TOO_NEAR = 0.9;
const level = (share) => (share >= TOO_NEAR ? "bad" : share >= NEAR ? "warn" : "");

/** `{ name, figure, title, share }`; without a share there is no bar. */
function lines(stats, health) {
  const { process, ledger, limits, certificates, bans } = stats;
  const used = (name, value, max, about_) =>
    ({ name, figure: max ? `${count(value)} of ${count(max)}` : count(value), share: max ? value / max : undefined, title: about_ });
  const memoryMax = health?.system?.memory_bytes_max;
  return [
    { name: "Memory", figure: memoryMax ? `${plain(bytes(process.memory_bytes))} of ${plain(bytes(memoryMax))}` : bytes(process.memory_bytes),
      share: memoryMax ? process.memory_bytes / memoryMax : undefined, title: "Memory that the process occupies" },
    used("Descriptors", process.descriptors, process.descriptors_max, "Open files and sockets; each miner takes two"),
    ...limits.map((limit) => used(title(limit.name), limit.used, limit.max, "A bound of the configuration")),
    ...(ledger ? ledgerLines(ledger) : [{ name: "Ledger", figure: "off", title: "No shares are written down; --ledger FILE switches it on" }]),
    ...certificates.map((each) => ({
      name: `Certificate`, key: `certificate ${each.used_by}`,
      figure: `${each.used_by}: ${each.expires_ms > now() ? `${about(each.expires_ms - now())} left` : "expired"}`, title: each.subject,
    })),
    ...(bans ? [{ name: "Bans", figure: count(bans), title: "Networks that are not let in" }] : []),
  ];
}

function ledgerLines(ledger) {
  const behind = ledger.durable_lag_ms > 0 ? `, ${plain(micros(ledger.durable_lag_ms * 1000))} behind` : "";
  const queue = ledger.queue_rows_max ? ledger.queued_rows / ledger.queue_rows_max : 0;
  return [
    { name: "Ledger", figure: `${several(ledger.rows, "row")}, ${plain(bytes(ledger.file_bytes))}${behind}`,
      title: "Shares written to disk since the start, and how old the oldest is that is not there yet" },
    ...(queue >= 0.01 ? [{ name: "Ledger queue", figure: `${count(ledger.queued_rows)} of ${count(ledger.queue_rows_max)}`, share: queue }] : []),
  ];
}

export function showMachine(stats, health) {
  setText($("machine-note"), `started ${clock(stats.process.started_ms, now())} · ${several(stats.process.threads, "thread")}`);
  const create = ({ name, title: about_ }) =>
    el("div", {}, el("dt", {}, el("span", { title: about_ }, name)), el("dd", {}, el("span"), meter(0)));
  keyed($("machine"), lines(stats, health), ({ key, name }) => key ?? name, create, (node, { figure, share }) => {
    const [value, bar] = node.lastChild.children;
    setFigure(value, figure);
    bar.hidden = share === undefined;
    if (share !== undefined) setMeter(bar, share, level(share));
  });
}

export function showShards(shards) {
  const create = () => el("li", {}, el("div", { class: "line" }, el("span"), el("span", { class: "muted" })), meter(0), el("span", { class: "muted" }));
  keyed($("shards"), shards, ({ index }) => index, create, (node, shard) => {
    const [line, bar, more] = node.children;
    const core = shard.core === null ? "" : ` · core ${shard.core}`;
    setText(line.firstChild, `Shard ${shard.index}${core}`);
    setText(line.lastChild, shard.fresh ? `${plain(percent(shard.busy_share, 0))} busy` : "no answer");
    line.lastChild.className = shard.fresh ? "muted" : "bad";
    setMeter(bar, shard.fresh ? shard.busy_share : 1, shard.fresh ? level(shard.busy_share) : "bad");
    const moved = plain(bytes(shard.miner_bytes_in + shard.miner_bytes_out));
    setText(more, `${several(shard.connections, "miner")} · ${moved}${shard.panics ? ` · ${several(shard.panics, "mistake")}, see the log` : ""}`);
  });
}
