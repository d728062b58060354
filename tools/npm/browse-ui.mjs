// Opens the page of drawbridge ui in a real browser, on a sandbox whose clock it moves: an event raises a set, the paid hour
// runs down, buttons do what they say and nothing without its token.
//
//   node browse-ui.mjs DRAWBRIDGE CHROMIUM FOLDER
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [program, browserPath, folder] = process.argv.slice(2).map((x) => resolve(x));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(folder, { recursive: true });
const config = resolve("examples/hello/drawbridge.yaml");

const children = [];
process.on("exit", () => children.forEach((c) => c.kill()));

// start starts the program and returns the first line that it prints.
async function start(args, env = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let problems = "";
  child.stderr.on("data", (d) => (problems += d));
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error(`drawbridge ${args.join(" ")}: ${problems}`);
}

const { endpoint } = JSON.parse(await start(["sandbox", "--listen", "127.0.0.1:0", "--config", config, "--speed", "0", "--start", "2026-05-14T09:00:00Z"]));
const env = { AWS_ENDPOINT_URL: endpoint, AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: "us-east-1", DRAWBRIDGE_CONFIG: config };
const sim = async (path, body) => {
  const reply = await fetch(endpoint + path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  assert.ok(reply.ok, `${path}: ${await reply.text()}`);
};
const address = await start(["ui"], env);
const { host, origin } = new URL(address);
assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/#[A-Z2-7]{26}$/);

// Nothing without the token, and nothing under another name.
const post = (headers, body) => new Promise((done) => {
  const r = request(`${origin}/verb`, { method: "POST", headers }, (reply) => done(reply.statusCode));
  r.end(JSON.stringify(body));
});
const token = address.split("#")[1];
assert.equal(await post({}, { verb: "pause" }), 403);
assert.equal(await post({ Authorization: "Bearer x" }, { verb: "status" }), 403);
assert.equal(await post({ Authorization: `Bearer ${token}`, Host: "evil.example" }, { verb: "status" }), 421);
assert.equal(await post({ Authorization: `Bearer ${token}` }, { verb: "destroy" }), 400);
assert.equal(await post({ Authorization: `Bearer ${token}` }, { verb: "hold", set: "--config=x", for: "1h", reason: "x" }), 400);
assert.equal((await fetch(`${origin}/report/x`)).status, 404);
const shell = await fetch(origin);
assert.match(shell.headers.get("content-security-policy"), /default-src 'none'; connect-src 'self'.*frame-ancestors 'none'/);
assert.ok(!(await shell.text()).includes(token), "the page itself holds the token");

const browser = await chromium.launch({
  executablePath: browserPath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
async function open(at, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (m) => m.type() !== "error" || /status of 40[03]/.test(m.text()) || assert.fail(`the browser says: ${m.text()}`));
  page.on("pageerror", (e) => assert.fail(e.message));
  context.on("request", (r) => assert.ok(r.url().startsWith(new URL(at).origin) || r.url() === "about:blank", `the page asks for ${r.url()}`));
  await page.goto(at);
  return page;
}

const page = await open(address);
const has = (selector, pattern) => page.locator(selector, { hasText: pattern }).first().waitFor({ timeout: 60_000 });
const press = async (name, fields = {}) => {
  await page.getByRole("button", { name, exact: true }).click();
  for (const [id, value] of Object.entries(fields)) await page.locator(`#${id}`).fill(value);
  await page.locator("#yes").click();
};

await has(".card", /main.*absent, generation 0/s);
await page.getByRole("button", { name: "Run a job…" }).click();
await page.keyboard.press("Escape");
assert.equal(await page.locator("#log").textContent(), "Nothing yet.", "Escape does nothing");
await press("Run a job…", { job: "hello" });
await has("#log", /hello\/.* is waiting; its set is absent; expected start/);
await has("#rows tr", /hello\/.*waiting/s);
await sim("/_sim/advance", { seconds: 180 });
await has(".card", /available, generation 1, 1 running, 0 waiting/);
await has(".card", /57 min of the paid hour are left/);
await has(".card li", /open: all 5 endpoints are available/);
await page.screenshot({ path: join(folder, "ui-available.png"), fullPage: true });
await press("Hold main", { for: "2h", reason: "looking <b>around</b>" });
await has(".card", /held by user\/developer until .*: looking <b>around<\/b>/);
await press("Hold main", { for: "30d", reason: "too long" });
await has("#log", /Hold main: refused\n.*hold for 720h.*\nhint:/s);
await press("Release main");
await has("#log", /Release main\n/);
await page.getByRole("button", { name: /^Log of hello/ }).first().click();
await page.getByRole("button", { name: /^Show hello/ }).first().click();
await has("#log", /hello\/.*: running/).catch(async (e) => assert.fail(`${e.message}\n${await page.locator("#log").textContent()}`));
await page.getByRole("button", { name: /^Cancel hello/ }).first().click();
await page.locator("#no").click();
await page.getByRole("button", { name: /^Cancel hello/ }).first().click();
await page.locator("#yes").click();
await has("#log", /Cancel hello\/.*\n(?!.*refused)/);
await press("Pause…", { reason: "a test" });
await has(".card", /paused since .* by user\/developer/);
await press("Resume…");
await has("#log", /Resume\n/);
await press("Put dead letters back…");
await has("#log", /Put dead letters back\n.*dead letters/s);
await press("Run a job…", { job: "nothing" });
await has("#log", /Run a job: refused\n.*there is no job/s);
await sim("/_sim/advance", { seconds: 3600 });
await has(".card", /main.*absent, generation 1/s);
await has(".card li", /drain|delete/);

const [report] = await Promise.all([page.waitForEvent("popup"), page.getByRole("button", { name: "Report" }).click()]);
await report.locator("svg.timeline path.up").waitFor({ timeout: 60_000, state: "attached" });
const spent = report.url();
assert.equal((await fetch(spent)).status, 404, "a ticket is good once");
await report.close();

// Credentials that expire while the page is open, and those that come back.
await sim("/_sim/fault", { name: "expired-credentials", for: 60 });
await has("#trouble", /./);
await page.screenshot({ path: join(folder, "ui-expired.png"), fullPage: true });
await sim("/_sim/advance", { seconds: 61 });
await page.locator("#trouble").waitFor({ state: "hidden", timeout: 60_000 });

let looked = 0;
for (const width of [360, 768, 1280]) {
  for (const colorScheme of ["light", "dark"]) {
    const view = await open(address, { viewport: { width, height: 900 }, colorScheme });
    await view.locator(".card h3").waitFor({ timeout: 60_000 });
    const wide = await view.evaluate(() => document.documentElement.scrollWidth);
    const over = await view.evaluate(() => [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll")
      && e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML.slice(0, 80)));
    assert.ok(wide <= width, `at ${width} the page is ${wide} wide: ${over.join("\n")}`);
    await view.evaluate(axe);
    for (const dialog of [false, true]) {
      if (dialog) await view.getByRole("button", { name: "Hold main" }).click();
      const { violations } = await view.evaluate(() => globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
      assert.deepEqual(violations.map((v) => [v.id, v.help, v.nodes.map((n) => n.html.slice(0, 160))]), [], `${width} ${colorScheme}`);
    }
    await view.screenshot({ path: join(folder, `ui-${width}-${colorScheme}.png`) });
    await view.context().close();
    looked++;
  }
}
const stranger = await open(origin);
await stranger.locator("#trouble", { hasText: /token is missing or wrong/ }).waitFor({ timeout: 60_000 });

// The day of the demo, played by itself.
const demo = spawn(program, ["demo", "--ui"], { stdio: ["ignore", "ignore", "pipe"] });
children.push(demo);
let day;
for await (const line of createInterface({ input: demo.stderr })) if ((day = line.match(/http:\S+$/)?.[0])) break;
const played = await open(day);
await played.getByRole("button", { name: "Stop" }).waitFor({ timeout: 60_000 });
await played.locator("#detail", { hasText: /main is up \(generation 5\)/ }).waitFor({ timeout: 60_000 });
await played.screenshot({ path: join(folder, "demo-ui.png") });
assert.equal((await fetch(new URL("/", day))).status, 404, "the page of the demo needs its token");
await browser.close();
console.log(`drawbridge ui at ${host.split(":")[0]}: every button, ${looked} views, nothing without its token`);
process.exit(0);
