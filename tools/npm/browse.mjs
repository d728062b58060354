// Opens the pages of drawbridge report in a real browser: at three widths, light and dark, by mouse and by keyboard,
// with axe-core, on paper, and with a year's runs. It fails at the first thing that is wrong.
//
//   node browse.mjs DRAWBRIDGE CHROMIUM FOLDER     the program, the browser, and where pages and pictures go
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const [program, browserPath, folder] = process.argv.slice(2).map((x) => resolve(x));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(folder, { recursive: true });

const drawbridge = (...args) => execFileSync(program, args, { stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 28 });
const file = (name, text) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

// arrivals are those of so many days: many in working hours, few at night, always the same.
function arrivals(days) {
  let state = 7;
  const draw = () => (state = (state * 48271) % 2147483647) / 2147483647;
  const rows = ["arrival_epoch_s,duration_s"];
  for (let t = 1735689600; t < 1735689600 + days * 86400;) {
    const hour = Math.floor(t / 3600) % 24;
    t += Math.ceil((-Math.log(draw()) * 3600) / (hour > 6 && hour < 19 ? 2.2 : 0.3));
    rows.push(`${t},${60 + Math.floor(draw() * 600)}`);
  }
  return rows.join("\n") + "\n";
}

// odd is a report of all that should not be: names as nobody has them, clocks that differ, two bases, holes.
const odd = {
  title: "<script>alert(1)</script> & \"odd\"", from: "2026-03-28T00:00:00Z", until: "2026-03-30T12:00:00Z",
  sets: [
    { set: "a<b>", billing: "clock", endpoints: 5, priceUSD: 0.011, services: ["logs"],
      generations: [{ generation: 1, created: "2026-03-29T00:40:00Z", available: "2026-03-29T00:43:00Z", deleted: "2026-03-29T02:50:00Z" },
        { generation: 2, created: "2026-03-30T11:00:00Z", failed: true }],
      decisions: [{ at: "2026-03-29T00:40:00Z", action: "create", reason: "1 run waits </script><script>alert(2)</script>" }] },
    { set: "b", billing: "creation", endpoints: 0, priceUSD: 0, services: null, generations: null, decisions: null },
  ],
  runs: [
    { run: "j/1", job: "<img src=x onerror=alert(3)>" + "long".repeat(75), set: "a<b>", received: "2026-03-29T00:40:00Z",
      started: "2026-03-29T00:43:10Z", finished: "2026-03-29T00:50:00Z", outcome: "failed", exitCode: 1, cause: "exit",
      reason: "exit code 1: " + "x".repeat(400) },
    { run: "j/2", job: "j", set: "a<b>", received: "2026-03-29T01:40:00Z", started: "2026-03-29T01:39:00Z",
      finished: "2026-03-29T01:38:00Z", outcome: "succeeded", exitCode: 0 },
    { run: "j/3", job: "j", set: "nowhere", received: "2026-03-29T02:40:00Z", outcome: "waiting", exitCode: null },
  ],
  spans: [{ kind: "hold", name: "user/developer", set: "a<b>", from: "2026-03-29T00:00:00Z", reason: "looking" }],
  ownUSD: 0.0123, advice: ["A maxDelay of 1h for all jobs would have saved 31 %."], notes: null,
  promises: [{ number: 1, name: "ready before run", kept: false, evidence: "1 started early" }], tables: null,
};
const nothing = { title: "Nothing ran", from: "2026-05-01T00:00:00Z", until: "2026-05-02T00:00:00Z", sets: [], runs: [] };

const pages = {};
function make(name, source, ...flags) {
  const from = file(`${name}.json`, source);
  pages[name] = join(folder, `${name}.html`);
  drawbridge("report", from, "--to", pages[name], ...flags);
}
make("demo", drawbridge("demo", "-o", "json"));
make("odd", JSON.stringify(odd), "--timezone", "Europe/Vienna");
make("nothing", JSON.stringify(nothing));
make("month", drawbridge("simulate", "--trace", file("month.csv", arrivals(30)), "-o", "json"), "--timezone", "Asia/Kolkata");
make("year", drawbridge("simulate", "--trace", file("year.csv", arrivals(365)), "-o", "json"));
const year = join(folder, "year.csv");
make("years", drawbridge("simulate", ...[1, 2, 3, 4, 5].flatMap((n) => ["--trace", file(`year${n}.csv`, // one in five of the year's each
  readFileSync(year, "utf8").split("\n").filter((_, i) => i === 0 || i % 5 === n - 1).join("\n"))]), "-o", "json"));
make("decade", drawbridge("simulate", "--trace", file("decade.csv", "arrival_epoch_s,duration_s\n1400000000,60\n1720000000,60\n"), "-o", "json"));
for (const [name, most] of [["month", 400], ["year", 1000], ["years", 1000]]) {
  const size = Math.ceil(statSync(pages[name]).size / 1024);
  assert.ok(size < most, `the page of a ${name} has ${size} KB, at most ${most} are allowed`);
  console.log(`the page of a ${name}: ${size} KB`);
}
pages.empty = file("empty.html", "<!DOCTYPE html><html lang=en><title>empty</title><body><div style='height:20000px'></div>");

const browser = await chromium.launch({
  executablePath: browserPath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

// open opens a page and fails for whatever it says or asks for.
async function open(name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  page.on("console", (m) => assert.fail(`${name}: the browser says: ${m.text()}`));
  page.on("pageerror", (e) => assert.fail(`${name}: ${e.message}`));
  page.on("dialog", (d) => assert.fail(`${name}: a script of the data's runs: ${d.message()}`));
  page.on("request", (r) => assert.ok(r.url() === `file://${pages[name]}` || r.url().startsWith("file:///") && r.resourceType() === "image",
    `${name} asks for ${r.url()}`));
  await page.goto(`file://${pages[name]}`);
  return page;
}

let looked = 0;
for (const name of ["demo", "odd", "nothing", "month", "decade"]) {
  for (const width of [360, 768, 1280]) {
    for (const colorScheme of ["light", "dark"]) {
      if (["nothing", "decade"].includes(name) && (width === 768 || (width === 360) === (colorScheme === "light"))) continue;
      const page = await open(name, { viewport: { width, height: 900 }, colorScheme });
      const where = `${name} at ${width}, ${colorScheme}`;
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${where}: the page is ${wide} wide`);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run({
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
      assert.deepEqual(violations.map((v) => [v.id, v.help, v.nodes.map((n) => n.html.slice(0, 160))]), [], where);
      await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      await page.context().close();
      looked++;
    }
  }
}
// The documentation: its first page in all views, the others in one each.
const site = resolve("build/site");
const documents = readdirSync(site, { recursive: true }).filter((f) => f.endsWith(".html")).sort();
for (const [i, name] of documents.entries()) {
  pages[name] = join(site, name);
  for (const [n, [width, colorScheme]] of [[1280, "light"], [360, "dark"], [768, "light"], [1280, "dark"], [360, "light"], [768, "dark"]].entries()) {
    if (name !== "index.html" && n !== i % 2) continue;
    const page = await open(name, { viewport: { width, height: 900 }, colorScheme });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${name} at ${width}: the page is ${wide} wide`);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run({
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
    assert.deepEqual(violations.map((v) => [v.id, v.help, v.nodes.map((n) => n.html.slice(0, 160))]), [], `${name} at ${width}, ${colorScheme}`);
    if (i % 5 === 0) await page.screenshot({ path: join(folder, `site-${i}-${width}-${colorScheme}.png`) });
    await page.context().close();
    looked++;
  }
}
console.log(`${looked} views: nothing of level A or AA, nothing asked for, nothing wider than the window`);

// By keyboard and by mouse.
{
  const page = await open("demo");
  const detail = page.locator("#detail");
  await page.locator("#timeline").focus();
  const told = [];
  for (const key of ["Home", "ArrowRight", "ArrowRight", "End", "ArrowLeft", "ArrowDown", "ArrowUp"]) {
    await page.keyboard.press(key);
    told.push(await detail.textContent());
  }
  assert.match(told[0], /main, decision: at: 2026-05-14 07:33:3\d · action: create · reason: 1 run waits/);
  assert.equal(new Set(told.slice(0, 5)).size, 5, `each key tells something else: ${told.join("\n")}`);
  assert.equal(await page.locator(".cursor").getAttribute("visibility"), "visible");
  const box = await page.locator("svg.timeline").boundingBox();
  await page.mouse.move(box.x + box.width * (92 + 864 * (9.1 / 24)) / 1000, box.y + (44 + 56 * 0.74) * box.width / 1000);
  assert.match(await detail.textContent(), /main, run: received: 2026-05-14 09:04:4\d · job: build · event: push-03 · waited: 2.\d min/);

  await page.locator("#instant").fill(String(9 * 3600 + 6 * 60)); // 09:06, while push-03 waits
  assert.match(await detail.textContent(), /^2026-05-14 09:06:00: main is being created \(generation 3\), 0 tasks running\. Paid so far 0\.15 USD, always on 0\.50 USD\.$/);
  await page.locator("#instant").press("ArrowRight");
  await page.locator("#instant").press("ArrowRight");
  await page.locator("#instant").press("ArrowRight");
  assert.match(await detail.textContent(), /09:09:00: main is up \(generation 3\), 1 task running/);
  await page.locator("#play").click();
  await page.waitForFunction(() => Number(document.getElementById("instant").value) > 9.3 * 3600);
  await page.locator("#play").click();

  const rows = page.locator("#rows tbody tr");
  assert.equal(await rows.count(), 15);
  await page.locator("#filter").fill("push-07");
  assert.equal(await rows.count(), 1);
  await page.locator("#filter").fill("no such thing");
  assert.equal(await page.locator("#page").textContent(), "none");
  await page.locator("#filter").fill("");
  await page.locator("#copy").click();
  await page.locator("#copied", { hasText: /15 rows are copied/ }).waitFor({ timeout: 60_000 });
  assert.equal((await page.evaluate(() => navigator.clipboard.readText())).split("\n").length, 16);
  for (const [kind, count] of [["generation", 8], ["decision", 39], ["span", 0], ["run", 15]]) {
    await page.locator("#kind").selectOption(kind);
    assert.equal(await rows.count(), count, kind);
  }
  await page.locator("#growth .u-over").hover();
  assert.match(await page.locator("#growth .u-legend").textContent(), /paid0\.\d\d/);
  await page.setViewportSize({ width: 600, height: 900 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForFunction(() => document.querySelector("#growth canvas").clientWidth < 600);
  const paper = await page.pdf({ format: "A4", path: join(folder, "demo.pdf") });
  assert.match(paper.toString("latin1"), /\/MediaBox \[0 0 59\d(\.\d+)? 84[12](\.\d+)?\]/);
  await page.context().close();
  console.log("every control by mouse and keyboard; on paper");
}
{
  const page = await open("odd");
  assert.equal(await page.title(), odd.title);
  assert.match(await page.locator("#notes ~ ul").textContent(), /1 run contradicts itself.*two bases/s);
  await page.context().close();
}
{
  const page = await open("month");
  await page.locator("#later").click();
  assert.match(await page.locator("#page").textContent(), /^51 to 100 of \d{3}/);
  await page.locator("#earlier").click();
  assert.match(await page.locator("#page").textContent(), /^1 to 50 of \d{3}/);
  await page.context().close();
}
{
  const page = await open("month", { javaScriptEnabled: false });
  assert.ok(await page.locator("svg.timeline path.run").count() > 0 && await page.locator("noscript p").isVisible(), "without JavaScript");
  await page.context().close();
}

// A year: how soon it can be used, as time of its thread, which other programs do not lengthen; and how it scrolls beside an
// empty page.
const median = (all) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)];
async function frames(name) {
  const page = await open("empty");
  const session = await page.context().newCDPSession(page);
  const spent = async () => (await session.send("Performance.getMetrics")).metrics.find((m) => m.name === "TaskDuration").value * 1000;
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const before = await spent();
  page.removeAllListeners("request");
  await page.goto(`file://${pages[name]}`);
  const ready = (await spent()) - before;
  const times = await page.evaluate(() => new Promise((done) => {
    const out = [];
    let last = performance.now();
    const step = () => {
      const now = performance.now();
      out.push(now - last);
      last = now;
      scrollBy(0, 40);
      if (out.length < 90) requestAnimationFrame(step);
      else done(out.slice(1));
    };
    requestAnimationFrame(step);
  }));
  await page.context().close();
  return { ready, frame: median(times) };
}
let best = { ratio: Infinity, ready: Infinity };
for (let n = 0; n < 5 && (best.ratio > 1.5 || best.ready > 1000); n++) { // a machine may be busy for a moment
  const empty = await frames("empty");
  const year = await frames("year");
  best = { ratio: Math.min(best.ratio, year.frame / empty.frame), ready: Math.min(best.ready, year.ready) };
}
console.log(`a year: can be used after ${best.ready.toFixed(0)} ms, a frame takes ${best.ratio.toFixed(2)} of an empty page's`);
assert.ok(best.ready < 1000 && best.ratio <= 1.5, "a year's page is slow");
await browser.close();
