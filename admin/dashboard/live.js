// What the page knows and how it stays up to date: sources that are asked again and again, and whether the server is there.

import { get, hasToken, Refused, setToken, Unreachable } from "./api.js";

const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

/** Whether the server answers. `state`: loading, live, lost (no answer), unauthorized, refused (it says why). `session` is
 * what this page may do. */
export const connection = { state: "loading", since: Date.now(), problem: "", retryAt: 0, tries: 0, session: null };

const listeners = new Set();
const sources = [];
let retryTimer;
// The server's clock, less this machine's.
let clockAheadMs = 0;

/** The time by the server's clock: its moments are compared with this. */
export const now = () => Date.now() + clockAheadMs;

/** Calls `listener` whenever the connection's state changes. */
export const onConnection = (listener) => listeners.add(listener);

function enter(state, problem = "") {
  if (connection.state !== state) connection.since = Date.now();
  Object.assign(connection, { state, problem });
  listeners.forEach((listener) => listener());
}

/**
 * A page of the API that is read every `everyMs` while the tab is seen and the server answers. `path()` says which, null for
 * none now; `show(answer)` gets every answer, `miss()` is called where there is none although the server is there.
 */
export class Source {
  constructor(path, everyMs, show, miss = () => {}) {
    Object.assign(this, { path, everyMs, show, miss, timer: 0, turn: 0, problem: "" });
    sources.push(this);
  }

  /** Reads now. An answer that was overtaken by a later question is thrown away. */
  async refresh() {
    this.stop();
    const { turn } = this;
    const path = this.path();
    if (path === null || document.hidden || connection.state !== "live") return;
    try {
      const answer = await get(path);
      if (turn !== this.turn) return;
      if (answer.at_ms) clockAheadMs = answer.at_ms - Date.now();
      this.problem = "";
      this.show(answer);
    } catch (error) {
      if (turn !== this.turn || failed(error)) return;
      this.problem = `${path.split("?")[0]} cannot be shown: ${error.message}`;
      this.miss();
    }
    this.timer = setTimeout(() => this.refresh(), this.everyMs);
  }

  stop() {
    clearTimeout(this.timer);
    this.turn += 1;
    // Nobody waits for it any more.
    if (this.path() === null) this.problem = "";
  }
}

/** What cannot be read although the server answers: that part of the page is old. */
export const problems = () => sources.map(({ problem }) => problem).filter(Boolean);

/** Takes note of an error; true if everybody has to wait until the server is there again. */
export function failed(error) {
  const isDenied = error instanceof Refused && (error.status === 401 || error.status === 403 || error.status === 421);
  if (!isDenied && !(error instanceof Unreachable)) {
    if (error instanceof Refused) console.info(`Adit refused: ${error.message}`);
    else console.error(error);
    return false;
  }
  sources.forEach((source) => source.stop());
  if (error.status === 401) {
    const had = hasToken();
    setToken("");
    enter("unauthorized", had ? "Adit does not know the token of this tab any more." : "");
  } else {
    enter(isDenied ? "refused" : "lost", error.message);
    retryLater();
  }
  return true;
}

function retryLater() {
  clearTimeout(retryTimer);
  const pause = RETRY_MS[Math.min(connection.tries, RETRY_MS.length - 1)];
  connection.tries += 1;
  connection.retryAt = Date.now() + pause;
  retryTimer = setTimeout(tryNow, pause);
  listeners.forEach((listener) => listener());
}

/** Finds out whether the server answers and what this page may do; then everything else is read. */
export async function tryNow() {
  clearTimeout(retryTimer);
  connection.retryAt = 0;
  listeners.forEach((listener) => listener());
  try {
    connection.session = await get("/session");
  } catch (error) {
    failed(error);
    return;
  }
  connection.tries = 0;
  enter("live");
  sources.forEach((source) => source.refresh());
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && connection.state !== "unauthorized") tryNow();
});
