// How long verdicts take, as a histogram.

import { $, figures, options, setAttribute, svg } from "./dom.js";
import { count, micros, percent, plain, roundMicros } from "./format.js";

// Upper bounds of the server's buckets; a test compares them with the server's own.
const BOUNDS_US = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
  2_500_000, 5_000_000, 10_000_000, 15_000_000, 30_000_000, 60_000_000,
];
const [HEIGHT, FOOT, HEAD] = [190, 24, 18];
const LABEL_WIDTH = 62;

let known;

$("latency-pool").addEventListener("change", () => draw());
new ResizeObserver(() => draw()).observe($("latency-chart"));

export function showLatency(stats, pools) {
  known = { stats, pools };
  options($("latency-pool"), pools.map(({ name }) => name));
  $("latency-pool").hidden = pools.length < 2;
  draw();
}

function draw() {
  if (!known) return;
  const chosen = known.pools.find(({ name }) => name === $("latency-pool").value);
  const time = (chosen ?? known.stats).verdict_time;
  $("latency-empty").hidden = time.count > 0;
  $("latency-chart").hidden = $("latency-figures").hidden = time.count === 0;
  if (time.count === 0) return;
  figures($("latency-figures"), [
    ["Half within", micros(time.p50_us), "The median"],
    ["90 %", micros(time.p90_us), "Nine of ten verdicts came within this time"],
    ["99 %", micros(time.p99_us), "99 of 100 verdicts came within this time"],
    ["99.9 %", micros(time.p999_us), "999 of 1,000 verdicts came within this time"],
    ["Longest", micros(time.max_us)],
  ]);
  bars(time);
}

/** The buckets that have something, with one empty one at each side. */
function shown({ buckets, count: all }) {
  const above = all - buckets.reduce((sum, each) => sum + each, 0);
  const every = [...buckets, above];
  const first = Math.max(0, every.findIndex((each) => each > 0) - 1);
  const last = Math.min(every.length - 1, every.findLastIndex((each) => each > 0) + 1);
  return every.slice(first, last + 1).map((value, index) => ({ value, index: first + index }));
}

function bars(time) {
  const parts = shown(time);
  const most = Math.max(...parts.map(({ value }) => value));
  const width = Math.max($("latency-chart").clientWidth, 200);
  const step = width / parts.length;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none" });
  picture.append(svg("line", { x1: 0, x2: width, y1: HEIGHT - FOOT, y2: HEIGHT - FOOT }));
  const every = Math.ceil(LABEL_WIDTH / step);
  parts.forEach(({ value, index }, place) => {
    const height = (value / most) * (HEIGHT - FOOT - HEAD);
    // What is there can be seen.
    const tall = value > 0 ? Math.max(height, 2) : 0;
    const [from, to] = [BOUNDS_US[index - 1] ?? 0, BOUNDS_US[index]];
    const range = to ? `${plain(roundMicros(from))} to ${plain(roundMicros(to))}` : `more than ${plain(roundMicros(from))}`;
    const about = svg("title", {}, `${range}: ${count(value)} verdicts, ${plain(percent(value / time.count))}`);
    const bar = { x: place * step + 2, y: HEIGHT - FOOT - tall, width: Math.max(step - 4, 2), height: tall, rx: 3 };
    if (tall) picture.append(svg("rect", bar, about));
    if (value / time.count >= 0.005) {
      picture.append(svg("text", { x: place * step + step / 2, y: HEIGHT - FOOT - tall - 5, "text-anchor": "middle" }, plain(percent(value / time.count, 0))));
    }
    if (to && place % every === 0 && place < parts.length - 1) {
      picture.append(svg("text", { x: (place + 1) * step, y: HEIGHT - 7, "text-anchor": "middle" }, plain(roundMicros(to))));
    }
  });
  $("latency-chart").replaceChildren(picture);
  setAttribute($("latency-chart"), "aria-label",
    `Histogram of ${count(time.count)} verdicts: half within ${plain(micros(time.p50_us))}, 99 % within ${plain(micros(time.p99_us))}`);
}
