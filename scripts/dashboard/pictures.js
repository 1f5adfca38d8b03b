// The part of scripts/screenshots that drives the browser.
"use strict";
const { spawn } = require("node:child_process");
const { createInterface } = require("node:readline");
const path = require("node:path");
const { readFileSync } = require("node:fs");
const { chromium } = require("playwright-core");

const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [folder, wanted = ""] = process.argv.slice(2);
const DESKTOP = { width: 1360, height: 900 };
const PHONE = { width: 390, height: 844 };
const PATIENCE_MS = 30_000;

/** Starts the server with made-up figures: where it is, and its tokens. */
async function serve(...options) {
  const child = spawn(process.env.SERVER, options, { stdio: ["pipe", "pipe", "inherit"] });
  const tokens = {};
  for await (const line of createInterface({ input: child.stdout })) {
    const [name, secret] = line.split(" ");
    if (secret) tokens[name] = secret;
    else return { url: line, tokens, stop: () => stop(child) };
  }
  throw new Error("the server did not start");
}

const stop = (child) => new Promise((done) => {
  if (child.exitCode !== null) return done();
  child.once("exit", done);
  child.stdin.end();
});

/** `look(page, server)` brings the page into the state; `expect` are statuses that the browser may report as errors. */
const SCENES = [
  { name: "loading", options: ["--workers", "4"], sizes: [DESKTOP], hang: true, look: (page) => shows(page, "Asking Adit") },
  { name: "empty", options: ["--workers", "0"], look: (page) => shows(page, "No miner has connected yet") },
  { name: "four", options: ["--workers", "4"], full: true, look: (page) => shows(page, "All well") },
  { name: "many", options: ["--workers", "10000"], full: true, look: many },
  { name: "no-ledger", options: ["--workers", "60", "--scene", "no-ledger"], sizes: [DESKTOP], look: (page) => shows(page, "No ledger is kept") },
  { name: "trouble", options: ["--workers", "10000", "--scene", "trouble"], full: true, expect: [503], look: trouble },
  { name: "error", options: ["--workers", "4"], expect: [500], route: [/stats.pools/, { status: 500, contentType: "application/problem+json",
    body: JSON.stringify({ type: "about:blank", title: "Internal Server Error", status: 500, detail: "A mistake in Adit; the log has more." }) }],
    look: (page) => shows(page, "cannot be shown") },
  { name: "unauthorized", options: ["--tokens", "yes"], expect: [401], look: (page) => shows(page, "Adit wants a token") },
  { name: "wrong-token", options: ["--tokens", "yes"], sizes: [DESKTOP], expect: [401], look: wrongToken },
  { name: "operator", options: ["--tokens", "yes", "--workers", "40"], full: true, expect: [401], look: operator },
  { name: "viewer", options: ["--tokens", "yes", "--workers", "40"], sizes: [DESKTOP], expect: [401], look: viewer },
  { name: "theme", options: ["--workers", "4"], sizes: [DESKTOP], look: theme },
  { name: "confirm", options: ["--tokens", "yes", "--workers", "40"], expect: [401, 409], look: confirm },
  { name: "commands", options: ["--tokens", "yes", "--workers", "40"], expect: [401], look: commands },
  { name: "drill", options: ["--tokens", "yes", "--workers", "40", "--scene", "drill"], expect: [401], look: drill },
  { name: "worker", options: ["--workers", "40"], look: worker },
  { name: "disconnected", options: ["--workers", "40"], expect: ["net::ERR"], look: disconnected },
];

const shows = (page, text) => page.getByText(text, { exact: false }).first().waitFor({ timeout: PATIENCE_MS });

async function many(page) {
  await shows(page, "of 10,000");
  await page.getByRole("button", { name: "Last", exact: true }).click();
  await shows(page, "9,981–10,000");
  await page.getByRole("button", { name: "First", exact: true }).click();
  await page.getByLabel("Search by name or address").fill("rig0777");
  await shows(page, "10 found");
  await page.getByLabel("Search by name or address").fill("");
  await page.getByRole("button", { name: "Lost", exact: true }).click({ force: true }).catch(() => {});
  await page.getByLabel("State").selectOption("offline");
  await shows(page, "found");
  await page.getByLabel("State").selectOption("");
  await shows(page, "of 10,000");
}

async function trouble(page) {
  await shows(page, "3 of 4 shards alive");
  await page.getByText("Switches and changes of state").click();
  await shows(page, "700 miners: north → south");
}

async function signIn(page, secret) {
  await page.getByRole("button", { name: "Sign in" }).first().click();
  await page.getByLabel("Token").fill(secret);
  await page.getByLabel("Token").press("Enter");
}

async function wrongToken(page) {
  await shows(page, "Adit wants a token");
  await signIn(page, "adit_wrong");
  await shows(page, "does not know this token");
}

async function operator(page, { tokens }) {
  await shows(page, "Adit wants a token");
  await signIn(page, tokens.ada);
  await shows(page, "ada (operator)");
  await shows(page, "All well");
}

async function viewer(page, { tokens }) {
  await shows(page, "Adit wants a token");
  await signIn(page, tokens.viewer);
  await shows(page, "viewer (viewer)");
  await page.locator("#pools .pool").first().waitFor();
  for (const hidden of ["#commands-open", ".pool-buttons"]) {
    if (await page.locator(hidden).first().isVisible()) throw new Error(`a viewer is offered ${hidden}`);
  }
}

/** By the keyboard alone, to the other look and back. */
async function theme(page) {
  await shows(page, "All well");
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await ground();
  await page.locator("#access-open").focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const other = await ground();
  await page.reload();
  await shows(page, "All well");
  if (before === other || (await ground()) !== other) throw new Error(`the look does not change, or is forgotten: ${before} ${other}`);
}

async function confirm(page, server) {
  await operator(page, server);
  await page.getByRole("button", { name: "Switch off…" }).nth(1).click();
  await shows(page, "Switch south off?");
  await page.getByRole("button", { name: "Switch off", exact: true }).click();
  await shows(page, "last pool that miners can be sent to");
}

async function commands(page, server) {
  await operator(page, server);
  await page.locator("#commands-open").click();
  await shows(page, "port scans");
}

async function drill(page, server) {
  await operator(page, server);
  await shows(page, "38 miners away");
  await page.locator("#drill-cancel").click();
  await shows(page, "End the drill?");
  await page.locator("#confirm-cancel").click();
}

async function worker(page) {
  await page.getByRole("button", { name: "farm1.rig00007" }).click();
  await shows(page, "Name at the pool");
  await page.locator("#worker-chart canvas").waitFor();
}

async function disconnected(page, server) {
  await shows(page, "All well");
  await page.locator("#hashrate-chart canvas").waitFor();
  await server.stop();
  await shows(page, "does not answer");
}

async function picture(browser, scene, size, colorScheme) {
  const name = `${scene.name}-${size === PHONE ? "phone" : "desktop"}-${colorScheme}`;
  const server = await serve(...scene.options);
  const isPhone = size === PHONE;
  const context = await browser.newContext({ viewport: size, colorScheme, isMobile: isPhone, hasTouch: isPhone, deviceScaleFactor: isPhone ? 2 : 1 });
  const page = await context.newPage();
  const faults = [];
  const isExpected = (text) => (scene.expect ?? []).some((part) => text.includes(part)) && text.startsWith("Failed to load resource");
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !isExpected(message.text())) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(error.stack));
  page.on("request", (request) => {
    if (!request.url().startsWith(server.url)) faults.push(`a request to ${request.url()}`);
  });
  await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`)));
  if (scene.route) await page.route(scene.route[0], (route) => route.fulfill(scene.route[1]));
  if (scene.hang) await page.route(/session|stats|health/, () => {});
  try {
    await page.goto(server.url);
    await scene.look(page, server);
    // Two rounds of figures, and the curves' animation frames.
    await page.waitForTimeout(2_500);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) faults.push(`the page is ${wide} px wider than the screen`);
    await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: scene.full ?? false });
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    violations.forEach(({ id, help, nodes }) => faults.push(`${id}: ${help}: ${nodes[0].html}`));
  } catch (error) {
    faults.push(error.message);
    await page.screenshot({ path: path.join(folder, `${name}-failed.png`) });
  }
  await context.close();
  await server.stop();
  console.log(`${faults.length ? "FAILED" : "ok    "} ${name}`);
  faults.forEach((fault) => console.log(`       ${fault}`));
  return faults.length === 0;
}

async function main() {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  let areAllWell = true;
  for (const scene of SCENES) {
    for (const size of scene.sizes ?? [DESKTOP, PHONE]) {
      for (const look of ["light", "dark"]) {
        const name = `${scene.name}-${size === PHONE ? "phone" : "desktop"}-${look}`;
        if (name.includes(wanted)) areAllWell = (await picture(browser, scene, size, look)) && areAllWell;
      }
    }
  }
  await browser.close();
  process.exitCode = areAllWell ? 0 : 1;
}

main();
