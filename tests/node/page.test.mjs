// page.test.mjs - GET /system/dashboard in a real browser, in front of a real gateway and backend:
// each button does what it says, the token stays in the page's memory, nothing that a client has
// written is run, and people without a mouse, an eye or a wide screen can use it too.
//
// Debian's Chromium, driven by playwright-core; skipped where one of them is missing. SHOTS names a
// folder for pictures of the page: light, dark and on a phone.
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, request as http } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { root, sleep, startGateway, stopAll } from "./programs.mjs";

const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
const playwright = await import("playwright-core").catch(() => null);
const skip = playwright === null ? "playwright-core is not installed" : existsSync(chromium) ? false : "there is no Chromium";
const hostile = `<img src=x onerror="document.title='run'">`;
const token = "open-sesame";
let origin, gateway, browser, page;
const faults = []; // of the browser: what the policy refused, what a script threw
const asked = new Set(); // the hosts that the page spoke to

/** A backend that is slow where it is told to be, and writes a tag that is markup. */
function startBackend() {
  const server = createServer(async (request, response) => {
    await sleep(Number(new URL(request.url, "http://x").searchParams.get("ms") ?? 0));
    response.writeHead(request.url.startsWith("/broken") ? 500 : 200, { "Content-Type": "text/plain", "Cache-Control": "public, max-age=300" });
    response.end("here\n".repeat(100));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function get(path, headers = {}) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(gateway.url);
    http({ hostname, port, path, headers }, (answer) => answer.resume().on("end", () => resolve(answer))).on("error", reject).end();
  });
}

function config() {
  const target = `http://127.0.0.1:${origin.address().port}`;
  return {
    server: { listen: ["127.0.0.1:0"], workers: 1 },
    admin: { listen: "127.0.0.1:0", token },
    identity: {
      sources: ["api_key", "ip"],
      api_key: { keys: { "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": { id: hostile, tier: "small" } } },
    },
    tiers: { free: { per_minute: 100000 }, small: { per_minute: 3 } },
    upstreams: { app: { targets: [target, `http://localhost:${origin.address().port}`] } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "app", cache: { per_user: false, tags: ["all"] } }],
    log: { access: "off" },
  };
}

async function newPage(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const made = await context.newPage();
  made.on("pageerror", (error) => faults.push(String(error)));
  made.on("console", (line) => {
    // the browser itself notes each answer of 401, 404 and 422, which the page asks for
    if (line.type() === "error" && !line.text().startsWith("Failed to load resource")) faults.push(line.text());
  });
  made.on("request", (request) => asked.add(new URL(request.url()).host));
  await made.goto(`${gateway.admin}/system/dashboard`);
  return made;
}

async function signIn(on) {
  await on.getByLabel("Token", { exact: true }).fill(token);
  await on.getByRole("button", { name: "Use it" }).click();
  await on.getByText("live", { exact: true }).waitFor();
}

const message = (text) => page.locator("#message", { hasText: text }).waitFor();
const dialog = () => page.getByRole("dialog");

before(async () => {
  if (skip) return;
  origin = await startBackend();
  gateway = await startGateway(config());
  browser = await playwright.chromium.launch({ executablePath: chromium, args: ["--no-sandbox"] });
  page = await newPage();
  page.setDefaultTimeout(10000);
});
after(async () => {
  await browser?.close();
  origin?.closeAllConnections();
  origin?.close();
  await stopAll();
});

test("the page needs no token and may load nothing but itself", { skip }, async () => {
  const answer = await fetch(`${gateway.admin}/system/dashboard`);
  const policy = answer.headers.get("content-security-policy");
  const text = await answer.text();
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /^text\/html; charset=utf-8$/i);
  assert.equal(answer.headers.get("cache-control"), "no-store");
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.match(policy, /^default-src 'none'; script-src 'sha256-[^ ]{43}='; style-src 'sha256-[^ ]{43}='; connect-src 'self';/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.doesNotMatch(text.replaceAll("http://www.w3.org/2000/svg", ""), /https?:\/\//, "no outside address");
  assert.doesNotMatch(text, /\son\w+=|style="/, "nothing inline");
});

test("the token is asked for once, a wrong one is told, and it is kept in memory alone", { skip }, async () => {
  await dialog().waitFor();
  assert.equal(await page.getByRole("dialog").count(), 1);
  await page.getByLabel("Token", { exact: true }).fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("The gateway does not take this token.").waitFor();
  await signIn(page);
  const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, location.href]);
  assert.deepEqual(kept, [0, 0, "", `${gateway.admin}/system/dashboard`]);
  await page.reload();
  await dialog().waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("The gateway asks for its admin token.").first().waitFor();
  await page.getByRole("button", { name: "Enter the token" }).click();
  await signIn(page);
});

test("traffic is seen: rate, percentiles, hit ratio, refusals per tier", { skip }, async () => {
  const traffic = setInterval(() => get("/products/1?ms=5").catch(() => {}), 20);
  for (let i = 0; i < 6; i++) await get(`/products/${i}`, { "X-API-Key": "test" });
  await page.waitForFunction(() => parseFloat(document.getElementById("tile-rate").textContent) > 5);
  await page.waitForFunction(() => /\d.*[µm]?s$/.test(document.getElementById("tile-p99").textContent));
  await page.waitForFunction(() => parseFloat(document.getElementById("tile-hits").textContent) > 50);
  clearInterval(traffic);
  const chart = page.getByRole("img", { name: /^Refused a second, by tier/ });
  assert.match(await chart.getAttribute("aria-label"), /small/);
  assert.ok((await page.locator("#charts path.s1").count()) >= 4, "each chart has a line");
});

test("a chart is read with the arrow keys", { skip }, async () => {
  const chart = page.getByRole("img", { name: /^Requests a second/ });
  await page.waitForFunction(() => document.querySelectorAll("#charts svg")[0].querySelector(".lines path")?.getAttribute("d")?.includes("L"));
  await chart.focus();
  await page.keyboard.press("Home");
  assert.match(await chart.getAttribute("aria-label"), /at \d\d:\d\d:\d\d: 2xx/);
  await page.keyboard.press("Escape");
  assert.match(await chart.getAttribute("aria-label"), /, now: 2xx/);
});

const targets = async () => (await (await fetch(`${gateway.admin}/system/upstreams`, { headers: { Authorization: `Bearer ${token}` } })).json()).upstreams.app.targets;

test("a target is drained, taken out and restored", { skip }, async () => {
  const row = page.getByRole("row").filter({ hasText: "http://localhost:" });
  await row.getByRole("button", { name: "Drain" }).click();
  await message("drains");
  await row.getByText("drain", { exact: true }).waitFor();
  assert.equal((await targets())[1].state, "drain");
  await row.getByRole("button", { name: "Down" }).click();
  await dialog().getByRole("button", { name: "Cancel" }).click();
  assert.equal((await targets())[1].state, "drain", "not without a yes");
  await row.getByRole("button", { name: "Down" }).click();
  await dialog().getByRole("button", { name: "Take it out" }).click();
  await row.getByText("down", { exact: true }).waitFor();
  assert.equal((await targets())[1].state, "down");
  await row.getByRole("button", { name: "Restore" }).click();
  await row.getByText("up", { exact: true }).waitFor();
  assert.equal((await targets())[1].state, "up");
});

test("entries are searched, inspected, and purged after a look at what it would drop", { skip }, async () => {
  for (const path of ["/books/1", "/books/2", "/pens/1"]) await get(path);
  await page.getByLabel("Path pattern").fill("/books/*");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByText("2 entries.").waitFor();
  await page.getByRole("button", { name: /^Inspect .*\/books\/1$/ }).click();
  await dialog().getByText("max-age", { exact: true }).waitFor();
  await dialog().getByRole("button", { name: "Close" }).click();

  await page.getByLabel("What").fill("/books/*");
  await page.getByRole("button", { name: "See what it would drop" }).click();
  await dialog().getByText(/^2 entries, .* fit the pattern/).waitFor();
  assert.equal(await dialog().getByRole("listitem").count(), 2);
  await dialog().getByRole("button", { name: "Cancel" }).click();
  assert.equal((await get("/books/1")).headers["x-cache-status"], "HIT", "a look drops nothing");

  await page.getByRole("button", { name: "See what it would drop" }).click();
  await dialog().getByRole("button", { name: "Purge 2 entries" }).click();
  await message("2 purged");
  await page.getByText("Nothing is stored that fits.").waitFor();
  assert.equal((await get("/books/1")).headers["x-cache-status"], "MISS");
  assert.equal((await get("/pens/1")).headers["x-cache-status"], "HIT");

  await page.getByLabel("Path pattern").fill("/pens/*");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByRole("button", { name: /^Purge .*\/pens\/1$/ }).click();
  await dialog().getByRole("button", { name: "Purge 1 entry" }).click();
  await message("1 purged");

  await get("/pens/1");
  await page.getByLabel("By", { exact: true }).selectOption("tag");
  await page.getByLabel("What").fill("all");
  await page.getByLabel("only mark stale").check();
  await page.getByRole("button", { name: "See what it would drop" }).click();
  await dialog().getByRole("button", { name: /^Mark .* stale$/ }).click();
  await message("marked stale");
});

test("a caller's windows are looked up and forgotten", { skip }, async () => {
  for (let i = 0; i < 5; i++) await get("/books/9", { "X-API-Key": "test" });
  await page.getByLabel("Caller", { exact: true }).fill(`key:${hostile}`);
  await page.getByRole("button", { name: "Look up" }).click();
  const row = page.getByRole("table", { name: /^Windows of/ }).getByRole("row").nth(1);
  await row.getByRole("cell", { name: "0", exact: true }).waitFor();
  await page.getByRole("button", { name: "Forget what it used" }).click();
  await dialog().getByRole("button", { name: "Forget" }).click();
  await message("are gone");
  await row.getByRole("cell", { name: "3", exact: true }).first().waitFor();
  assert.equal((await get("/books/9", { "X-API-Key": "test" })).statusCode, 200);
  await page.getByLabel("Caller", { exact: true }).fill("nobody at all");
  await page.getByRole("button", { name: "Look up" }).click();
  await message("client: must be");
});

test("a caller is given another tier for a while, and its own again", { skip }, async () => {
  const status = async () => (await (await fetch(`${gateway.admin}/system/rate-limit/status?client=ip:127.0.0.1`, { headers: { Authorization: `Bearer ${token}` } })).json()).tier;
  await page.getByLabel("Caller", { exact: true }).fill("ip:127.0.0.1");
  await page.getByRole("button", { name: "Look up" }).click();
  await page.getByText("tier free.").waitFor();
  assert.deepEqual(await page.getByLabel("Tier", { exact: true }).locator("option").allTextContents(), ["free", "premium", "enterprise", "internal", "small"]);
  await page.getByLabel("Tier", { exact: true }).selectOption("internal");
  await page.getByLabel("How long").selectOption("1d");
  await page.getByRole("button", { name: "Set the tier" }).click();
  await message("is in tier internal, for 24 h");
  await page.getByText("tier internal.").waitFor();
  assert.equal(await status(), "internal");
  await page.getByLabel("How long").selectOption("0s");
  await page.getByRole("button", { name: "Set the tier" }).click();
  await message("has its own tier again: free");
  assert.equal(await status(), "free");
});

test("the cache is warmed, and what became of each URL is told", { skip }, async () => {
  await page.getByLabel("URLs, one a line").fill("/warm/1\n/warm/2\n/books/404?missing=1");
  await page.getByRole("button", { name: "Fetch and store" }).click();
  const table = page.getByRole("table", { name: "Outcome of each URL" });
  await message("answers were stored");
  assert.equal(await table.getByRole("row").filter({ hasText: "/warm/" }).filter({ hasText: "stored" }).count(), 2);
  assert.equal((await get("/warm/1")).headers["x-cache-status"], "HIT");
  await page.getByLabel("URLs, one a line").fill("no path");
  await page.getByRole("button", { name: "Fetch and store" }).click();
  await page.locator("#message.bad").waitFor();
});

test("a check that is not normal is named, with where it begins", { skip }, async () => {
  const good = readFileSync(gateway.file, "utf8");
  const worry = page.getByRole("list", { name: "Not normal" }).getByRole("listitem");
  assert.equal(await worry.count(), 0);
  const put = async (text) => {
    writeFileSync(gateway.file, text);
    assert.equal((await fetch(`${gateway.admin}/system/config/reload`, { method: "POST", headers: { Authorization: `Bearer ${token}` } })).status, 200);
  };
  await put(JSON.stringify({ ...JSON.parse(good), health: { open_fds: { warning: 0 } } }, null, 2));
  await worry.filter({ hasText: "open fds share" }).waitFor();
  assert.match(await worry.textContent(), /^warningopen fds share [\d.]+, warning from 0$/);
  await page.locator("#health", { hasText: "warning" }).waitFor();
  await put(good);
  await page.waitForFunction(() => document.getElementById("worries").childElementCount === 0);
});

test("events arrive as they happen, and lead to the explanation", { skip }, async () => {
  for (let i = 0; i < 5; i++) await get("/books/9", { "X-API-Key": "test" });
  await page.getByLabel("Show", { exact: true }).selectOption("limit_violation");
  const event = page.getByLabel("Recent events, newest first").getByRole("listitem").first();
  await event.getByText("limit violation").waitFor();
  await event.getByRole("button", { name: "explain" }).click();
  await page.getByRole("table", { name: "Windows before and after" }).waitFor();
  assert.match(await page.locator("#explain-result").textContent(), /status429.*routeall/);
  await page.getByLabel("Request id").fill("no-such-id");
  await page.getByRole("button", { name: "Explain", exact: true }).click();
  await message("No request of this id is remembered.");
  await page.getByRole("button", { name: "Pause" }).click();
  assert.equal(await page.getByRole("button", { name: "Go on" }).getAttribute("aria-pressed"), "true");
  await page.getByRole("button", { name: "Go on" }).click();
});

test("what is markup in a name stays text", { skip }, async () => {
  assert.match(await page.locator("#top").textContent(), /<img src=x onerror=/);
  assert.equal(await page.locator("main img").count(), 0);
  assert.equal(await page.title(), "Gateway");
});

test("the configuration is shown masked, reloaded, and its faults are told", { skip }, async () => {
  const good = readFileSync(gateway.file, "utf8");
  await page.getByRole("button", { name: "Show what is in force" }).click();
  await page.locator("#config-text", { hasText: '"routes"' }).waitFor();
  const text = await page.getByLabel("Configuration in force, secrets masked").textContent();
  assert.match(text, /"routes"/);
  assert.ok(!text.includes(token), "the token is masked");

  const reload = async () => {
    await page.getByRole("button", { name: "Reload" }).click();
    await dialog().getByRole("button", { name: "Reload" }).click();
  };
  writeFileSync(gateway.file, good.replace('"per_minute": 3', '"per_minuet": 3'));
  await reload();
  await page.getByText("The file was refused").waitFor();
  assert.match(await page.locator("#config-result").textContent(), /tiers\.small\.per_minuet/);
  writeFileSync(gateway.file, good.replace('"per_minute": 3', '"per_minute": 7'));
  await reload();
  await message("is in force");
  await page.locator("#config-text", { hasText: '"per_minute": 7' }).waitFor();
  assert.equal(await page.locator("#config-result").textContent(), "");
});

test("everything has a name, a place and a visible focus", { skip }, async () => {
  const nameless = await page.evaluate(() => {
    const named = (element) => element.labels?.length > 0 || element.getAttribute("aria-label") || element.textContent.trim();
    return [...document.querySelectorAll("button, input, select, svg[role=img], table")].filter((element) => !named(element)).map((element) => element.outerHTML);
  });
  assert.deepEqual(nameless, []);
  for (const landmark of ["banner", "navigation", "main"]) assert.equal(await page.getByRole(landmark).count(), 1, landmark);
  assert.equal(await page.getByRole("region").count(), 7, "each part is a region with its heading");
  assert.ok((await page.locator("[aria-live=polite]").count()) >= 4);
  assert.equal(await page.evaluate(() => document.querySelector("a, button, input").textContent), "Skip to the content");
  await page.locator("#main").focus();
  await page.keyboard.press("Shift+Tab");
  const before = await page.evaluate(() => [document.activeElement.textContent, getComputedStyle(document.activeElement).outlineStyle]);
  assert.deepEqual(before, ["Configuration", "solid"]);
});

/** WCAG's contrast of two colours "#rrggbb". */
function contrast(a, b) {
  const light = (colour) => {
    const parts = (colour.length === 4 ? colour.replace(/\w/g, "$&$&") : colour).slice(1).match(/../g);
    const [red, green, blue] = parts.map((hex) => parseInt(hex, 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

test("colours contrast as WCAG AA wants it, by day and by night", () => {
  const css = readFileSync(join(root, "gateway/admin/page/page.css"), "utf8");
  const pairs = ["text card", "text ground", "muted card", "muted ground", "accent card", "on-accent accent", "card bad", "card text"];
  const badges = ["good good-ground", "warn warn-ground", "bad bad-ground", "bad card"];
  const shapes = ["field card", ...[1, 2, 3, 4, 5].map((n) => `series-${n} card`)];
  for (const [theme, block] of [...css.matchAll(/:root \{([^}]*)\}/g)].map((match, i) => [i ? "dark" : "light", match[1]])) {
    const colours = Object.fromEntries([...block.matchAll(/--([\w-]+): (#\w+)/g)].map((match) => match.slice(1)));
    const check = (pair, least) => {
      const [front, back] = pair.split(" ");
      const ratio = contrast(colours[front], colours[back]);
      assert.ok(ratio >= least, `${theme}: ${pair}: ${ratio.toFixed(2)}`);
    };
    for (const pair of [...pairs, ...badges]) check(pair, 4.5);
    for (const pair of shapes) check(pair, 3);
  }
});

test("it fits a phone, in light and dark", { skip, timeout: 120000 }, async () => {
  const traffic = process.env.SHOTS ? setInterval(() => get(`/products/${Math.floor(Math.random() * 40)}?ms=${Math.floor(Math.random() * 30)}`, Math.random() < 0.1 ? { "X-API-Key": "test" } : {}).catch(() => {}), 10) : null;
  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", { colorScheme: "light", viewport: { width: 360, height: 740 } }],
    ["phone-dark", { colorScheme: "dark", viewport: { width: 360, height: 740 } }],
  ]) {
    const other = await newPage(options);
    await signIn(other);
    await get("/pens/1");
    await other.getByLabel("Caller", { exact: true }).fill("ip:127.0.0.1");
    await other.getByRole("button", { name: "Look up" }).click();
    await other.getByRole("table", { name: /^Windows of/ }).waitFor();
    await other.getByRole("button", { name: "Search" }).click();
    await other.getByRole("table", { name: "Entries of the cache" }).waitFor();
    await other.getByLabel("URLs, one a line").fill("/pens/1\n/pens/2");
    await other.getByRole("button", { name: "Fetch and store" }).click();
    await other.getByRole("table", { name: "Outcome of each URL" }).waitFor();
    await other.getByRole("button", { name: "explain" }).first().click();
    await other.getByRole("table", { name: "Windows before and after" }).waitFor();
    const width = await other.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(width[0] <= width[1], `${name}: ${width[0]} wide on ${width[1]}`);
    if (process.env.SHOTS) {
      await sleep(name === "light" ? 16000 : 8000);
      for (const part of ["traffic", "limits", "upstreams", "cache", "warm-form", "events", "explain"]) {
        await other.evaluate((id) => document.getElementById(id).scrollIntoView({ behavior: "instant" }), part);
        await other.screenshot({ path: join(process.env.SHOTS, `${name}-${part}.png`) });
      }
    }
    await other.context().close();
  }
  clearInterval(traffic);
});

test("the browser refused nothing and spoke to nobody else", { skip }, () => {
  assert.deepEqual(faults, []);
  assert.deepEqual([...asked], [new URL(gateway.admin).host]);
});
