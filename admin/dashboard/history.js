// Hashrate and accept rate over time: from the ledger where there is one, from what this page saw itself otherwise.

import { $, choice } from "./dom.js";
import { Curve } from "./charts.js";
import { clock, hashrate, percent, plain } from "./format.js";
import { now, Source } from "./live.js";

/** Spans that the server knows, with their names. */
export const SPANS = ["1h", "6h", "1d", "7d", "30d", "1y"].map((id) => [id, id.replace(/([a-z])/, "\u00a0$1")]);
const SAMPLES_MAX = 1800;
const SAMPLE_MS = 2000;
// A shorter history is no curve.
const STEPS_MIN = 5;
const NOTHING = "The first figures come in a moment.";

// What this page saw, oldest first: time, hashrate, counters of shares.
const samples = [];
let span = "1d";
let series;
let stats;
// Whether the curves are what this page saw itself.
let isOwn = true;

export const rateOptions = {
  format: (value) => plain(hashrate(value)),
  axis: (value) => (value > 0 ? plain(hashrate(value, "round")) : "0"),
  range: (_, max) => [0, max > 0 ? max * 1.12 : 1],
};

const rate = new Curve($("hashrate-chart"), {
  ...rateOptions,
  name: "Hashrate",
  readout: $("hashrate-readout"),
  rest: () => (stats ? `now ${plain(hashrate(stats.hashrate.m5))}` : ""),
  sync: "fleet",
});

const accepted = new Curve($("accept-chart"), {
  name: "Accept rate",
  format: (value) => plain(percent(value, 2)),
  // As many decimals as tell the labels apart.
  axis: (value, all) => (value > 1.000001 ? "" : `${(value * 100).toFixed(Number.isInteger(Math.round((all[1] - all[0]) * 1e5) / 1e3) ? 0 : 1)} %`),
  range: (min) => [min === null || min > 0.995 ? 0.99 : Math.max(0, min - (1 - min) * 0.15), 1 + (1 - Math.min(min ?? 1, 0.99)) * 0.06],
  readout: $("accept-readout"),
  rest: () => (stats && ended(stats.shares) > 0 ? `since the start ${plain(percent(stats.accept_rate, 2))}` : ""),
  sync: "fleet",
  fill: false,
});

const source = new Source(() => `/stats/series?span=${span}`, 30_000, (answer) => {
  series = answer.series;
  show();
});

function choose(next) {
  span = next;
  choice($("span"), SPANS, span, choose);
  source.refresh();
}
choice($("span"), SPANS, span, choose);

/** Keeps a sample of the figures for the time without a ledger, and for what happened lately. */
export function sample(next) {
  stats = next;
  const last = samples.at(-1);
  if (last && (next.shares.accepted < last.accepted || next.process.started_ms !== last.started)) samples.length = 0;
  if (!last || next.at_ms - last.at >= SAMPLE_MS / 2) {
    const { accepted: good } = next.shares;
    samples.push({ at: next.at_ms, hashrate: next.hashrate.m1, accepted: good, total: ended(next.shares), started: next.process.started_ms });
    if (samples.length > SAMPLES_MAX) samples.shift();
  }
  if (isOwn) show();
  rate.freshen();
  accepted.freshen();
}

const sum = (counts) => Object.values(counts).reduce((all, each) => all + each, 0);

/** All shares that ended. */
export const ended = (shares) => shares.accepted + sum(shares.rejected) + sum(shares.refused_here) + shares.unanswered;

/** What happened to shares during the last `ms`, as far as this page saw it. */
export function lately(ms) {
  const last = samples.at(-1);
  const first = samples.find((each) => last.at - each.at <= ms);
  if (!last || first === last) return null;
  return { forMs: last.at - first.at, accepted: last.accepted - first.accepted, total: last.total - first.total };
}

function show() {
  const steps = series ? wholeSteps(series) : [];
  const isShort = steps.length < STEPS_MIN;
  $("span").hidden = !series;
  if (!stats) return;
  $("history-note").textContent = isShort ? whySamples() : "";
  isOwn = isShort;
  if (isShort) showSamples();
  else showSteps(steps);
}

/** Why the curves are this page's own. */
function whySamples() {
  const from = samples.length > 1 ? `, so this begins at ${clock(samples[0].at)}, when you opened the page.` : ".";
  return stats.ledger ? `The ledger has no history of this time yet${from}` : `No ledger is kept${from}`;
}

/** The steps of a series that are over, from the first one of which something is known. */
export function wholeSteps({ from_ms, step_ms, hashrate: rates, accepted: good, rejected: bad }) {
  const steps = rates.map((value, index) =>
    ({ at: (from_ms + index * step_ms) / 1000, hashrate: value, good: good[index], total: good[index] + bad[index] }));
  const over = steps.filter((step) => (step.at * 1000) + step_ms <= now());
  const first = over.findIndex((step) => step.total > 0 || step.hashrate > 0);
  return first < 0 ? [] : over.slice(first);
}

function showSteps(steps) {
  const at = steps.map((step) => step.at);
  rate.show(at, steps.map((step) => step.hashrate), NOTHING);
  accepted.show(at, steps.map((step) => (step.total > 0 ? step.good / step.total : null)), NOTHING);
}

// Steps of a minute, or the curve of accepted shares would jump between 0 and 100 %.
const WINDOW = 30;

function showSamples() {
  const at = samples.map((each) => each.at / 1000);
  rate.show(at, samples.map((each) => each.hashrate), NOTHING);
  accepted.show(at, samples.map((each, index) => {
    const before = samples[Math.max(0, index - WINDOW)];
    const total = each.total - before.total;
    return total > 0 ? (each.accepted - before.accepted) / total : null;
  }), NOTHING);
}
