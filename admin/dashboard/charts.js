// Curves over time, drawn by uPlot; colours come from the style sheet.

import { el } from "./dom.js";
import { fineClock } from "./format.js";

const uPlot = globalThis.uPlot;
const charts = new Set();
const probe = el("i", { hidden: true });
document.documentElement.append(probe);

/** A colour of the style sheet as the canvas takes it. */
function colour(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

/**
 * A curve in `place`. `format(value)` writes a figure, `range(min, max)` gives the axis; `readout` shows what is under the
 * pointer, `rest()` what to show otherwise.
 */
export class Curve {
  constructor(place, { format, axis, range, readout, rest, name, sync, splits, fill }) {
    Object.assign(this, { place, format, axis, range, readout, rest, name, sync, splits, fill });
    this.data = null;
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${name}: no figures yet`);
    new ResizeObserver(() => this.fit()).observe(place);
    charts.add(this);
  }

  /** Shows times (seconds) and values; null is a gap. `nothing` is said when there is nothing to show. */
  show(times, values, nothing) {
    const known = values.filter((value) => value !== null);
    if (known.length < 2) {
      this.plot?.destroy();
      this.plot = null;
      this.data = null;
      this.place.replaceChildren(el("p", { class: "empty" }, nothing));
      this.place.setAttribute("aria-label", `${this.name}: ${nothing}`);
      this.readout.textContent = this.rest();
      return;
    }
    this.data = [times, values];
    const [least, most] = [Math.min(...known), Math.max(...known)];
    this.place.setAttribute("aria-label",
      `${this.name}: last ${this.format(known.at(-1))}, lowest ${this.format(least)}, highest ${this.format(most)}`);
    if (this.plot) this.plot.setData(this.data);
    else this.draw();
    this.freshen();
  }

  /** Brings up to date what is shown while nobody points at the curve. */
  freshen() {
    if (!this.plot) this.readout.textContent = this.rest();
    else this.read(this.plot);
  }

  draw() {
    this.plot?.destroy();
    this.place.replaceChildren();
    if (!this.data) return;
    const [line, soft, muted, grid] = ["accent", "accent-soft", "muted", "line"].map(colour);
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const look = { stroke: muted, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      width: this.place.clientWidth,
      height: this.place.clientHeight,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: this.sync && { key: this.sync }, points: { size: 7, fill: line } },
      scales: { y: { range: (_, min, max) => this.range(min, max) } },
      axes: [
        { ...look, grid: { show: false }, size: 26, gap: 4, space: 70, values: times },
        { ...look, size: 66, gap: 6, space: 36, splits: this.splits, values: (_, values) => values.map((v) => this.axis(v, values)) },
      ],
      series: [{}, { stroke: line, width: 1.75, fill: this.fill === false ? undefined : soft, points: { show: false }, spanGaps: false }],
      hooks: { setCursor: [(plot) => this.read(plot)] },
    }, this.data, this.place);
  }

  read(plot) {
    const index = plot.cursor.idx;
    const value = index === null || index === undefined ? null : plot.data[1][index];
    if (value === null || value === undefined) this.readout.textContent = this.rest();
    else this.readout.textContent = `${moment(plot.data[0][index])} · ${this.format(value)}`;
  }

  fit() {
    const [width, height] = [this.place.clientWidth, this.place.clientHeight];
    if (this.plot && width > 0 && height > 0) this.plot.setSize({ width, height });
  }
}

const days = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const clocks = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const moments = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const moment = (seconds) => moments.format(seconds * 1000);

/** Labels of the time axis: the date at midnight, the time otherwise. */
function times(_, splits, _axis, _space, stepSeconds) {
  return splits.map((seconds) => {
    const date = new Date(seconds * 1000);
    if (stepSeconds < 60) return fineClock(date);
    return date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0 ? days.format(date) : clocks.format(date);
  });
}

/** Draws everything again, in other colours. */
export const redraw = () => charts.forEach((chart) => chart.draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
