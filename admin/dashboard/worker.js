// One worker: its figures, its hashrate over time, and what can be done with it.

import { $, choice, figures, setText } from "./dom.js";
import { Curve } from "./charts.js";
import { about, count, fullDate, hashrate, percent, plain, several, short } from "./format.js";
import { Source, now } from "./live.js";
import { SPANS, ended, rateOptions, wholeSteps } from "./history.js";
import { onOpen } from "./workers.js";
import { title } from "./words.js";
import { MOVE, askFor } from "./commands.js";

const dialog = $("worker");
let name = null;
let span = "1d";
let worker;
let curve;

const source = new Source(() => (name === null ? null : `/stats/workers/${encodeURIComponent(name)}?span=${span}`), 5_000, show);

onOpen((chosen) => {
  name = chosen;
  worker = undefined;
  setText($("worker-title"), name);
  dialog.showModal();
  curve ??= new Curve($("worker-chart"), {
    ...rateOptions,
    name: "Hashrate of the worker",
    readout: $("worker-readout"),
    rest: () => (worker?.hashrate.m5 > 0 ? `now ${plain(hashrate(worker.hashrate.m5))}` : ""),
  });
  choose(span);
});

function choose(next) {
  span = next;
  choice($("worker-span"), SPANS, span, choose);
  source.refresh();
}

function show(answer) {
  worker = answer;
  const state = $("worker-state");
  state.className = "pill";
  state.dataset.state = worker.state;
  setText(state, title(worker.state));
  figures($("worker-figures"), figuresOf(worker));
  const isOperator = document.body.dataset.role === "operator";
  $("worker-disconnect").hidden = $("worker-move").hidden = !isOperator || worker.state !== "online";
  const hasSeries = worker.series !== null;
  $("worker-chart").parentElement.hidden = $("worker-span").hidden = !hasSeries;
  $("worker-note").hidden = hasSeries;
  setText($("worker-note"), "No ledger is kept, so there are no figures over time.");
  if (hasSeries) {
    const steps = wholeSteps(worker.series);
    curve.show(steps.map(({ at }) => at), steps.map((step) => step.hashrate), "No shares in this time.");
  }
}

function figuresOf(w) {
  const all = ended(w.shares);
  const ago = (at_ms) => (at_ms ? `${about(now() - at_ms)} ago` : "–");
  return [
    ["Hashrate, 5 min", hashrate(w.hashrate.m5)],
    ["1 hour", hashrate(w.hashrate.h1)],
    ["1 day", hashrate(w.hashrate.d1)],
    ["Accepted", count(w.shares.accepted)],
    ["Lost", all > w.shares.accepted ? percent((all - w.shares.accepted) / all, 2) : "–"],
    ["Last share", ago(w.last_share_ms)],
    ["Difficulty", short(w.difficulty)],
    ["Best share", short(w.best_difficulty), "The highest difficulty that one of its shares reached, where shares are checked here"],
    ["Connections", count(w.connections)],
    ["Pool", w.pool ?? "–"],
    ["Name at the pool", w.upstream_name || "–"],
    ["Address", w.address ?? "–"],
    ["Program", w.user_agent ?? "–", "What the miner calls itself"],
    ["Known since", fullDate(w.first_seen_ms)],
  ];
}

$("worker-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  name = null;
  source.stop();
});
$("worker-disconnect").addEventListener("click", () => askFor({
  title: `Disconnect ${name}?`,
  text: `${several(worker.connections, "connection")} will be closed. Most miners connect again within seconds.`,
  verb: "Disconnect",
  danger: true,
  path: `/workers/${encodeURIComponent(name)}/disconnect`,
}));
$("worker-move").addEventListener("click", () => askFor({
  ...MOVE,
  title: `Move ${name} to a pool`,
  verb: "Move",
  path: `/workers/${encodeURIComponent(name)}/move`,
  fields: [{ name: "to", label: "To", pools: true, first: "Where the configuration says" }, ...MOVE.fields],
}));
