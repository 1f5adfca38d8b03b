// Shares that were not accepted: by pool, by reason, in the pool's words; and those that never went to a pool.

import { $, el, keyed, meter, setFigure, setMeter, setText } from "./dom.js";
import { count, percent, plain, several, short } from "./format.js";
import { ended } from "./history.js";
import { meaning, word } from "./words.js";

const QUOTES_SHOWN = 3;

export function showRejects(stats, pools) {
  const blocks = [...pools.map(ofPool), refusedHere(stats, pools)].filter(({ rows }) => rows.length > 0);
  const all = ended(stats.shares);
  const lost = all - stats.shares.accepted;
  setText($("rejects-note"), lost ? `${count(lost)} of ${several(all, "share")}` : "");
  $("rejects-empty").hidden = blocks.length > 0 || all === 0;
  keyed($("rejects"), blocks, ({ name }) => name, create, update);
}

const listed = (counts) => Object.entries(counts).filter(([, value]) => value > 0);

function ofPool(pool) {
  const rows = listed(pool.shares.rejected);
  if (pool.shares.unanswered) rows.push(["unanswered", pool.shares.unanswered]);
  const quotes = listed(pool.reject_reasons).sort(([, a], [, b]) => b - a).slice(0, QUOTES_SHOWN);
  const words = quotes.map(([text, value]) => `“${text}” ${plain(short(value))}`).join(", ");
  return { name: pool.name, title: pool.name, rows, all: ended(pool.shares), words: words && `In its words: ${words}` };
}

/** Those that a pool never saw. Where a pool counts its miners' refused shares, they are the same ones. */
function refusedHere(stats, pools) {
  const rows = listed(stats.shares.refused_here);
  const atPools = pools.reduce((sum, pool) => sum + pool.shares.unanswered, 0);
  const open = stats.shares.unanswered - atPools;
  if (open > 0) rows.push(["unanswered", open]);
  return { name: "", title: "Refused here, never sent to a pool", rows, all: ended(stats.shares), words: "" };
}

function create() {
  return el("div", { class: "reject-pool" }, el("h3", {}, el("span"), el("span", { class: "count" })), el("div"), el("p", { class: "quotes" }));
}

function update(node, { title, rows, all, words }) {
  const [heading, list, quotes] = node.children;
  const lost = rows.reduce((sum, [, value]) => sum + value, 0);
  const most = Math.max(...rows.map(([, value]) => value));
  setText(heading.firstChild, title);
  setText(heading.lastChild, plain(percent(lost / all, 2)));
  const sorted = rows.sort(([, a], [, b]) => b - a);
  keyed(list, sorted, ([label]) => label, ([label]) => row(label), (line, [, value]) => {
    setMeter(line.children[1], value / most, lost / all >= 0.05 ? "warn" : "");
    line.children[2].title = `${count(value)} of ${several(all, "share")}`;
    setFigure(line.children[2], { number: plain(short(value)), unit: plain(percent(value / all)) });
  });
  setText(quotes, words);
  quotes.hidden = !words;
}

function row(label) {
  const name = el("span", { class: meaning(label) ? "hint" : "", title: meaning(label) }, word(label));
  return el("div", { class: "reject-row" }, name, meter(0), el("span", { class: "number" }));
}
