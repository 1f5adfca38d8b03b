// What an operator can do: sign in, commands with a question before each, bans.

import { $, el, keyed, setText, toast } from "./dom.js";
import { get, post, Refused, setToken } from "./api.js";
import { capital, clock } from "./format.js";
import { connection, failed, now, onConnection, tryNow } from "./live.js";

// Who asks without a token, where one is wanted.
const NOBODY = { token: null, role: null, tokens_configured: true };

let session = NOBODY;
let pools = [];
const changed = new Set();

/** Calls `listener` when somebody signed in or out. */
export const onSession = (listener) => changed.add(listener);

/** The pools that commands can name. */
export const showPoolChoices = (names) => (pools = names);

const isOperator = () => session.role === "operator";

function became(next) {
  session = next;
  document.body.dataset.role = session.role ?? "";
  setText($("access-open"), session.token ? `${session.token} (${session.role})` : "Sign in");
  $("commands-open").hidden = !isOperator();
  changed.forEach((listener) => listener());
}

onConnection(() => {
  if (connection.state === "live") became(connection.session);
  if (connection.state === "unauthorized") became(NOBODY);
});

// Signing in.

const access = $("access");

function openAccess() {
  const isKnown = Boolean(session.token);
  const hasNone = session.tokens_configured === false;
  setText($("access-title"), isKnown ? `Signed in as ${session.token}` : "Sign in");
  setText($("access-text"), isKnown
    ? (isOperator() ? "This token reads and commands." : "This token reads. Commands need one of role operator.")
    : hasNone
      ? "No token is configured, so this machine reads and nobody commands. “adit config token” makes one for the configuration."
      : "The token stays in this tab and is forgotten with it.");
  $("access-field").hidden = $("access-ok").hidden = isKnown || hasNone;
  $("access-out").hidden = !isKnown;
  setText($("access-error"), "");
  access.showModal();
}

$("access-open").addEventListener("click", openAccess);
$("verdict-access").addEventListener("click", openAccess);
$("access-close").addEventListener("click", () => access.close());
access.addEventListener("close", () => ($("access-token").value = ""));
$("access-out").addEventListener("click", () => {
  setToken("");
  access.close();
  became(NOBODY);
  tryNow();
});
$("access-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const secret = $("access-token").value.trim();
  if (!secret) return setText($("access-error"), "Type or paste the token.");
  try {
    const next = await get("/session", secret);
    setToken(secret);
    access.close();
    became(next);
    toast(isOperator() ? "Signed in. Commands are in the menu and at the pools." : "Signed in; this token reads only.");
    tryNow();
  } catch (error) {
    setText($("access-error"), error.status === 401 ? "Adit does not know this token." : error.message);
  }
});
// A question before each command.

const dialog = $("confirm");
let asked;

/** Asks, then sends: `{ title, text, verb, danger, path, fields, body }`. */
export function askFor(command) {
  asked = command;
  setText($("confirm-title"), command.title);
  setText($("confirm-text"), command.text);
  setText($("confirm-error"), "");
  $("confirm-ok").className = command.danger ? "primary danger" : "primary";
  $("confirm-ok").disabled = false;
  setText($("confirm-ok"), command.verb);
  $("confirm-fields").replaceChildren(...(command.fields ?? []).map(field));
  dialog.showModal();
}

function field({ name, label, pools: isPool, first, choices, type = "text", ...rest }) {
  const given = choices ?? (isPool && [...(first ? [["", first]] : []), ...pools.map((pool) => [pool, pool])]);
  const input = given
    ? el("select", { name }, ...given.map(([value, text]) => el("option", { value }, text)))
    : el("input", { name, type, autocomplete: "off", ...rest });
  return el("label", {}, label, input);
}

$("confirm-cancel").addEventListener("click", () => dialog.close());
$("confirm-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = Object.fromEntries(new FormData($("confirm-form")));
  const body = asked.body ? asked.body(given) : asked.fields ? given : undefined;
  $("confirm-ok").disabled = true;
  try {
    const done = await post(asked.path, body);
    dialog.close();
    toast([done.summary, ...done.details].map(capital).join(" · "));
    asked.then?.();
  } catch (error) {
    setText($("confirm-error"), error instanceof Refused ? capital(error.message) : `No answer: ${error.message}. It may have been done; look before you repeat it.`);
  }
  $("confirm-ok").disabled = false;
});

/** What every move has: how it is asked for, and what of that is sent. */
export const MOVE = {
  text: "They are switched live where they can follow, and kept there while that pool can be used.",
  fields: [{ name: "hold_seconds", label: "Seconds they are kept there", type: "number", min: 1, max: 604800, value: 3600, required: true },
    { name: "reconnect", label: "Miners that cannot be switched live", choices: [["yes", "Close them, so that they come back there"], ["", "Leave them where they are"]] }],
  body: ({ to, hold_seconds, reconnect }) => ({ ...(to && { to }), hold_seconds: Number(hold_seconds), reconnect: Boolean(reconnect) }),
};

// Commands for a pool.

export const POOL_COMMANDS = [
  { id: "enable", verb: "Switch on", title: (pool) => `Switch ${pool} on?`, text: "Miners may be sent to it again." },
  { id: "drain", verb: "Drain", title: (pool) => `Drain ${pool}?`, text: "No new miner is sent to it. Those that are there move away where they need no reconnect for it; the others stay until they leave." },
  { id: "move", verb: "Move miners", title: (pool) => `Move all miners of ${pool} now?`, ...MOVE,
    fields: [{ name: "to", label: "To", pools: true, first: "Whatever comes after it" }, ...MOVE.fields] },
  { id: "disable", verb: "Switch off", danger: true, title: (pool) => `Switch ${pool} off?`, text: "It is used no more, and its miners are moved to other pools now." },
];

export function commandButton(command, pool) {
  const path = `/pools/${encodeURIComponent(pool)}/${command.id}`;
  const ask = () => askFor({ ...command, title: command.title(pool), path });
  return el("button", { type: "button", class: command.danger ? "small danger" : "small", data: { command: command.id }, onclick: ask }, `${command.verb}…`);
}

// Commands for everything.

const COMMANDS = [
  { verb: "Reload", about: "Read the configuration again and apply what can change while Adit runs.", title: "Reload the configuration?",
    text: "What can change live is applied. If the file has mistakes, nothing changes.", path: "/config/reload" },
  { verb: "Drill", about: "Move a share of a pool's miners to the standby and back, and report how it went.", title: "Start a failover drill?",
    text: "They are switched live, stay away for the time given, and go back.", path: "/drill",
    fields: [{ name: "pool", label: "Pool to leave", pools: true, first: "The one with most miners" },
      { name: "percent", label: "Miners, percent", type: "number", min: 1, max: 100, value: 10, required: true },
      { name: "hold_seconds", label: "Seconds away", type: "number", min: 1, max: 86400, value: 60, required: true },
      { name: "reconnect", label: "Miners that cannot be switched live", choices: [["", "Leave them where they are"], ["yes", "Close them, so that they come back there"]] }],
    body: ({ pool, percent, hold_seconds, reconnect }) =>
      ({ ...(pool && { pool }), percent: Number(percent), hold_seconds: Number(hold_seconds), reconnect: Boolean(reconnect) }) },
  { verb: "Ban", about: "Let an address or a network in no more.", title: "Ban a network?", danger: true,
    text: "Its connections are closed and it is not let in.", path: "/bans",
    fields: [{ name: "network", label: "Address, or network as address/bits", required: true, maxlength: 60 },
      { name: "seconds", label: "Seconds; until it is lifted if empty", type: "number", min: 1, max: 315360000 },
      { name: "reason", label: "Why", maxlength: 100 }],
    body: ({ network, seconds, reason }) => ({ network: network.trim(), reason, ...(seconds && { seconds: Number(seconds) }) }),
    then: () => showBans() },
  { verb: "Stop Adit", about: "Let no miner in any more, let the last shares get their verdict, then stop.", title: "Stop Adit?", danger: true,
    text: "Every miner is disconnected in the end and mines nowhere until Adit is started again, unless it knows another pool.", path: "/drain" },
];

$("commands-open").addEventListener("click", () => {
  keyed($("commands-list"), COMMANDS, ({ verb }) => verb, (command) => el("li", {}, el("span", {}, command.about),
    el("button", { type: "button", class: command.danger ? "danger" : "", onclick: () => askFor(command) }, `${command.verb}…`)));
  $("commands").showModal();
  showBans();
});
$("commands-close").addEventListener("click", () => $("commands").close());

async function showBans() {
  try {
    const { bans } = await get("/bans");
    const list = bans.length ? bans : [{ network: "" }];
    keyed($("bans"), list, ({ network }) => network, ban);
  } catch (error) {
    failed(error);
  }
}

function ban({ network, since_ms, until_ms, reason, by }) {
  if (!network) return el("li", { class: "muted" }, "None.");
  const until = until_ms ? `until ${clock(until_ms, now())}` : "until it is lifted";
  const about = `${until}, since ${clock(since_ms, now())} by ${by}${reason ? `: ${reason}` : ""}`;
  const lift = () => askFor({ title: `Lift the ban of ${network}?`, text: "It may connect again.", verb: "Lift", path: "/bans",
    body: () => ({ network, action: "lift" }), then: showBans });
  return el("li", {}, el("span", {}, el("strong", {}, network), " ", el("span", { class: "muted" }, about)),
    el("button", { type: "button", class: "small", onclick: lift }, "Lift…"));
}
