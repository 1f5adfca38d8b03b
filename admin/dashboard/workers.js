// The table of workers: searched, sorted and cut into pages by the server, so that ten thousand cost no more than fifty.

import { $, el, keyed, options, setAttribute, setFigure, setSpark, setText, svg } from "./dom.js";
import { about, count, fullDate, hashrate, percent, plain, several, short } from "./format.js";
import { ended } from "./history.js";
import { now, Source } from "./live.js";
import { title } from "./words.js";

const PER_PAGE = 20;
const TYPING_MS = 250;

const COLUMNS = [
  { id: "name", text: "Worker", sort: "name", title: "The name that the miner gives" },
  { id: "state", text: "State", sort: "state", title: "Whether it is connected" },
  { id: "hashrate", text: "Hashrate", sort: "hashrate", number: true, down: true, title: "By accepted shares, average over five minutes" },
  { id: "spark", text: "Last hour", class: "medium-only", title: "Its hashrate during the last hour" },
  { id: "share", text: "Last share", sort: "last_share", number: true, down: true, title: "How long ago it sent a share" },
  { id: "accepted", text: "Accepted", sort: "accepted", number: true, down: true, class: "medium-only", title: "Its shares that were accepted" },
  { id: "rejected", text: "Lost", sort: "rejected", number: true, down: true, class: "medium-only", title: "Its shares that were not accepted, of all that ended; sorted by their number" },
  { id: "difficulty", text: "Difficulty", sort: "difficulty", number: true, down: true, class: "wide-only", title: "How hard its shares must be" },
  { id: "pool", text: "Pool", sort: "pool", class: "medium-only", title: "Where it mines, or mined last" },
];

const classOf = (column) => [column.number && "number", column.class].filter(Boolean).join(" ");

const wish = { offset: 0, sort: "hashrate", order: "desc", search: "", state: "", pool: "" };
let page;
let open = () => {};

const source = new Source(() => {
  const query = new URLSearchParams({ limit: PER_PAGE, offset: wish.offset, sort: wish.sort, order: wish.order, spark: 1 });
  for (const name of ["search", "state", "pool"]) if (wish[name]) query.set(name, wish[name]);
  return `/stats/workers?${query}`;
}, 5_000, show);

/** What happens when a worker's name is pressed. */
export const onOpen = (handler) => (open = handler);

/** The pools that can be chosen from. */
export const showPoolNames = (names) => options($("workers-pool"), names);

function wishFor(change) {
  Object.assign(wish, { offset: 0 }, change);
  head();
  source.refresh();
}

let typing;
$("workers-search").addEventListener("input", ({ target }) => {
  clearTimeout(typing);
  typing = setTimeout(() => wishFor({ search: target.value.trim() }), TYPING_MS);
});
$("workers-filter").addEventListener("submit", (event) => event.preventDefault());
$("workers-state").addEventListener("change", ({ target }) => wishFor({ state: target.value }));
$("workers-pool").addEventListener("change", ({ target }) => wishFor({ pool: target.value }));
$("page-first").addEventListener("click", () => wishFor({ offset: 0 }));
$("page-before").addEventListener("click", () => wishFor({ offset: Math.max(0, wish.offset - PER_PAGE) }));
$("page-after").addEventListener("click", () => wishFor({ offset: wish.offset + PER_PAGE }));
$("page-last").addEventListener("click", () => wishFor({ offset: lastOffset() }));

const lastOffset = () => Math.max(0, Math.ceil((page?.total ?? 0) / PER_PAGE) - 1) * PER_PAGE;

function sortBy({ sort, down }) {
  if (wish.sort === sort) wishFor({ order: wish.order === "asc" ? "desc" : "asc" });
  else wishFor({ sort, order: down ? "desc" : "asc" });
}

function head() {
  const create = (column) => {
    const name = column.sort
      ? el("button", { type: "button", title: `${column.title}. Press to sort`, onclick: () => sortBy(column) }, column.text)
      : el("span", { title: column.title }, column.text);
    return el("th", { scope: "col", class: classOf(column) }, name);
  };
  keyed($("workers-head"), COLUMNS, ({ id }) => id, create, (node, { sort }) =>
    setAttribute(node, "aria-sort", sort && wish.sort === sort ? (wish.order === "asc" ? "ascending" : "descending") : null));
}
head();

function show(answer) {
  page = answer;
  if (wish.offset > 0 && wish.offset >= page.total) return wishFor({ offset: lastOffset() });
  const isFiltered = wish.search || wish.state || wish.pool;
  const missing = page.shards_missing ? ` · incomplete: ${several(page.shards_missing, "shard")} did not answer in time` : "";
  const found = isFiltered ? `${count(page.total)} found · ` : "";
  setText($("workers-note"), `${found}${count(page.online)} online, ${count(page.offline)} offline${missing}`);
  keyed($("workers-rows"), page.workers, ({ name }) => name, create, update);
  $("workers-empty").hidden = page.total > 0;
  setText($("workers-empty"), isFiltered ? "No worker fits." : "No worker has connected yet.");
  pages();
}

function pages() {
  $("workers-pages").hidden = page.total <= PER_PAGE;
  const to = Math.min(wish.offset + PER_PAGE, page.total);
  setText($("page-now"), `${count(wish.offset + 1)}–${count(to)} of ${count(page.total)}`);
  const [isFirst, isLast] = [wish.offset === 0, to >= page.total];
  for (const [id, isOff] of [["page-first", isFirst], ["page-before", isFirst], ["page-after", isLast], ["page-last", isLast]]) {
    $(id).disabled = isOff;
  }
}

function create(worker) {
  const cells = COLUMNS.slice(1).map((column) => el("td", { class: classOf(column) }));
  cells[0].append(el("span", { class: "pill" }));
  cells[2].append(svg("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }));
  const name = el("button", { type: "button", onclick: () => open(worker.name) }, worker.name || "(no name)");
  return el("tr", {}, el("th", { scope: "row" }, name), ...cells);
}

function update(row, worker) {
  const [name, state, rate, spark, last, accepted, lost, difficulty, pool] = row.children;
  row.dataset.state = worker.state;
  setAttribute(name.firstChild, "title", [worker.name, worker.address, worker.user_agent].filter(Boolean).join("\n"));
  state.firstChild.dataset.state = worker.state;
  setText(state.firstChild, title(worker.state));
  setAttribute(state.firstChild, "title", worker.state === "offline" ? `Last seen ${fullDate(worker.last_seen_ms)}` : several(worker.connections, "connection"));
  setFigure(rate, worker.hashrate.m5 > 0 ? hashrate(worker.hashrate.m5, 2) : "–");
  setSpark(spark.firstChild, worker.spark);
  setText(last, worker.last_share_ms ? about(now() - worker.last_share_ms) : "–");
  setAttribute(last, "title", worker.last_share_ms ? fullDate(worker.last_share_ms) : null);
  setText(accepted, count(worker.shares.accepted));
  const all = ended(worker.shares);
  const bad = all - worker.shares.accepted;
  setFigure(lost, bad ? percent(bad / all) : "–");
  setAttribute(lost, "title", bad ? `${count(bad)} of ${count(all)} shares` : null);
  lost.classList.toggle("warn", bad >= 10 && bad / all >= 0.05);
  setText(difficulty, plain(short(worker.difficulty)));
  setText(pool, worker.pool ?? "–");
}
