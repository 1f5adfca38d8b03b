// The one way to the server: requests with the token, and the stream of events. The token lives as long as the tab.

const TOKEN = "adit.token";
const ANSWER_TIME_MAX_MS = 10_000;
// The server speaks every 15 s at least.
const SILENCE_TIME_MAX_MS = 40_000;

let token = sessionStorage.getItem(TOKEN) ?? "";

export const hasToken = () => token !== "";

export function setToken(secret) {
  token = secret;
  if (secret) sessionStorage.setItem(TOKEN, secret);
  else sessionStorage.removeItem(TOKEN);
}

/** The server gave no answer. */
export class Unreachable extends Error {}

/** The server said no, and why. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || `The server answered with status ${status}.`);
    this.status = status;
  }
}

function headers(more, secret = token) {
  return secret ? { ...more, Authorization: `Bearer ${secret}` } : more;
}

async function ask(path, options) {
  try {
    return await fetch(path, { cache: "no-store", credentials: "omit", ...options });
  } catch (error) {
    throw new Unreachable(error.message);
  }
}

async function json(response) {
  try {
    return await response.json();
  } catch (error) {
    if (response.ok) throw new Unreachable(error.message);
    return null;
  }
}

/** Reads a page. A verdict of /health is an answer even when its status is 503. */
export async function get(path, secret) {
  const signal = AbortSignal.timeout(ANSWER_TIME_MAX_MS);
  const response = await ask(path, { headers: headers({ Accept: "application/json" }, secret), signal });
  const body = await json(response);
  const isVerdict = response.status === 503 && body && "reasons" in body;
  if (!response.ok && !isVerdict) throw new Refused(response.status, body);
  return body;
}

/** Sends a command. */
export async function post(path, body) {
  const signal = AbortSignal.timeout(3 * ANSWER_TIME_MAX_MS);
  const sent = body && { body: JSON.stringify(body) };
  const more = { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) };
  const response = await ask(path, { method: "POST", headers: headers(more), signal, ...sent });
  const answer = await json(response);
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

/**
 * Hears events until `signal` aborts or the stream ends; `onEvent(kind, value)` for each. Not by EventSource, which cannot
 * send a token.
 */
export async function listen(query, signal, onOpen, onEvent) {
  const silence = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_TIME_MAX_MS);
  };
  heard();
  try {
    const both = AbortSignal.any([signal, silence.signal]);
    const response = await ask(`/events?${query}`, { headers: headers({ Accept: "text/event-stream" }), signal: both });
    if (!response.ok) throw new Refused(response.status, await json(response));
    onOpen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      blocks.forEach((block) => tell(block, onEvent));
    }
  } finally {
    clearTimeout(timer);
  }
}

function tell(block, onEvent) {
  let kind = "";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (data) onEvent(kind, JSON.parse(data));
}
