// The figures at a glance, and the welcome while there is no miner.

import { $, el, keyed, setAttribute, setFigure, setText, toast } from "./dom.js";
import { about, count, hashrate, micros, percent, plain, several, short, span } from "./format.js";
import { get } from "./api.js";
import { ended } from "./history.js";

const ACCEPT_WARN = 0.97;
const ACCEPT_BAD = 0.9;

function tiles(stats, health) {
  // A pool that was switched off is not missed.
  const pools = health?.pools?.enabled ?? stats.pools;
  const { hashrate: rates, shares, verdict_time: time } = stats;
  const offline = stats.workers_known - stats.workers_online;
  const lost = ended(shares) - shares.accepted;
  const rate = ended(shares) ? stats.accept_rate : null;
  return [
    { name: "Hashrate", title: "By accepted shares, average over five minutes", value: hashrate(rates.m5),
      sub: `1 day: ${plain(hashrate(rates.d1))}` },
    { name: "Accepted", title: "Shares that the pools accepted, of all that ended since Adit was started",
      value: percent(rate, 2), sub: `${plain(short(shares.accepted))} of ${plain(short(ended(shares)))}`,
      level: rate === null || lost < 10 || rate > ACCEPT_WARN ? "" : rate > ACCEPT_BAD ? "warn" : "bad" },
    { name: "Workers", title: "Names under which miners are connected; one may have several connections",
      value: count(stats.workers_online), sub: offline ? `${count(offline)} offline` : several(stats.connections, "connection"),
      level: stats.workers_known && !stats.workers_online ? "bad" : "" },
    { name: "Verdict", title: "From a miner's submit to the pool's verdict: half of all shares are faster than this",
      value: time.count ? micros(time.p50_us) : "–", sub: time.count ? `99 % within ${plain(micros(time.p99_us))}` : "no share yet" },
    { name: "Pools", title: "Pools that miners can be sent to, of those that are switched on",
      value: `${stats.pools_usable} of ${pools}`, sub: pools < stats.pools ? `usable, ${stats.pools - pools} not in use` : "usable",
      level: stats.pools_usable === 0 ? "bad" : stats.pools_usable < pools ? "warn" : "" },
    { name: "Blocks", title: "Shares that were good enough for a block, as far as they are checked here",
      value: count(shares.block_candidates), sub: `candidates in ${about(stats.uptime_seconds * 1000)}` },
  ];
}

function create({ name, title }) {
  return el("div", { class: "tile" }, el("dt", {}, el("span", { title }, name)), el("dd", { class: "value" }), el("dd", { class: "sub" }));
}

export function showTiles(stats, health) {
  keyed($("tiles"), tiles(stats, health), ({ name }) => name, create, (node, { value, sub, level }) => {
    setAttribute(node, "data-level", level || null);
    setFigure(node.children[1], value);
    setText(node.children[2], sub);
    setAttribute(node.children[2], "title", sub);
  });
  const { version, commit } = stats.build;
  const built = /^[0-9a-f]{7,}$/.test(commit) ? ` (${commit.slice(0, 10)})` : "";
  setText($("version"), `Adit ${version}${built}, running for ${span(stats.uptime_seconds * 1000)}`);
  welcome(stats);
}

/** Tiles without figures, so that nothing jumps when they come. */
export function showNoTiles() {
  keyed($("tiles"), ["Hashrate", "Accepted", "Workers", "Verdict", "Pools", "Blocks"], (name) => name,
    (name) => create({ name }), (node) => {
      setFigure(node.children[1], "–");
      setText(node.children[2], "\u00a0");
    });
}

let isAddressKnown = false;

function welcome(stats) {
  const isEmpty = stats.workers_known === 0;
  $("welcome").hidden = !isEmpty;
  if (isEmpty && !isAddressKnown) {
    isAddressKnown = true;
    findAddress();
  }
}

/** Where miners connect, by the configuration: the wildcard address becomes the one that this page came from. */
async function findAddress() {
  let port = 3333;
  let host = location.hostname;
  try {
    const { toml } = await get("/config");
    const [, listed] = /^listen\s*=\s*\[?\s*"([^"]+)"/m.exec(toml) ?? [];
    const at = listed?.lastIndexOf(":") ?? -1;
    if (at > 0) {
      port = listed.slice(at + 1);
      const own = listed.slice(0, at);
      if (own !== "0.0.0.0" && own !== "[::]") host = own;
    }
  } catch {
    isAddressKnown = false;
  }
  setText($("welcome-address"), `stratum+tcp://${host}:${port}`);
}

$("welcome-copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("welcome-address").textContent);
    toast("Copied.");
  } catch {
    getSelection().selectAllChildren($("welcome-address"));
    toast("This browser does not let pages copy here. The address is selected: press Ctrl+C.");
  }
});
