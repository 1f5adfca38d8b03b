// The page as a whole: what is read how often, and which panel shows it.

import { $, setText } from "./dom.js";
import { connection, now, onConnection, Source, tryNow } from "./live.js";
import { redraw } from "./charts.js";
import { sample } from "./history.js";
import { showVerdict } from "./verdict.js";
import { showNoTiles, showTiles } from "./tiles.js";
import { showPools, showSwitches } from "./pools.js";
import { showPoolNames } from "./workers.js";
import { showLatency } from "./latency.js";
import { showRejects } from "./rejects.js";
import { showMachine, showShards } from "./machine.js";
import { onSession, showPoolChoices } from "./commands.js";
import { onSwitches } from "./feed.js";
import "./worker.js";
import "./drill.js";

// What is known; each part is there once it was read.
const known = { health: undefined, stats: undefined, pools: undefined, switches: [] };

new Source(() => "/health", 2_000, (health) => {
  known.health = health;
  showVerdict(known);
});
new Source(() => "/stats", 2_000, (stats) => {
  known.stats = stats;
  sample(stats);
  showTiles(stats, known.health);
  showMachine(stats, known.health);
  showShares();
  showVerdict(known);
});
new Source(() => "/stats/pools", 3_000, ({ pools }) => {
  known.pools = pools;
  const names = pools.map(({ name }) => name);
  showPools(pools, startedMs());
  showPoolNames(names);
  showPoolChoices(names);
  showSwitches(pools, known.switches);
  showShares();
}, () => {
  if (!known.pools) setText($("pools-note"), "They cannot be shown now; the line at the top says why.");
});
new Source(() => "/stats/shards", 3_000, ({ shards }) => showShards(shards));

const startedMs = () => known.stats?.process.started_ms ?? now();

function showShares() {
  if (!known.stats || !known.pools) return;
  showLatency(known.stats, known.pools);
  showRejects(known.stats, known.pools);
}

onSwitches((switches) => {
  known.switches = switches;
  if (known.pools) showSwitches(known.pools, switches);
});
onSession(() => {
  if (known.pools) showPools(known.pools, startedMs());
});

onConnection(() => showVerdict(known));
// The countdown to the next try, and parts that cannot be read.
setInterval(() => showVerdict(known), 1_000);

$("retry").addEventListener("click", tryNow);
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = getComputedStyle(root).colorScheme === "dark" ||
    (root.dataset.theme === undefined && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = isDark ? "light" : "dark";
  try {
    localStorage.setItem("adit.theme", root.dataset.theme);
  } catch {
    // It holds for this visit, then.
  }
  redraw();
});

setText($("place"), location.host);
showNoTiles();
showVerdict(known);
tryNow();
