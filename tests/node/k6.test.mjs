// k6.test.mjs - the scripts under k6/ hold against the gateway with the sample configuration.
//
// k6 is not among Debian's packages, so its few calls are played by k6_stand_in.mjs; the scripts
// are the ones that k6 runs, but for the module that they import.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, root, startGatewayFile, startOrigin, stopAll } from "./programs.mjs";

const keys = { premium: "key-p", enterprise: "key-e", internal: "key-i" };
let home, stand;

function sampleConfiguration(origin) {
  const entries = Object.entries(keys).map(([tier, key]) => {
    const hash = createHash("sha256").update(key).digest("hex");
    return `"${hash}": { "id": "k6-${tier}", "tier": "${tier}" }`;
  });
  const text = readFileSync(join(root, "config/gateway.json"), "utf8");
  const changed = text
    .replace('"keys": {', `"keys": { ${entries.join(", ")}`)
    .replace("http://127.0.0.1:9001", origin)
    .replace("0.0.0.0:8080", "127.0.0.1:0")
    .replace("127.0.0.1:8081", "127.0.0.1:0");
  assert.equal(changed.includes(origin) && changed.includes("k6-internal"), true);
  return changed;
}

async function load(script) {
  return import(join(home, script));
}

before(async () => {
  home = folder();
  mkdirSync(join(home, "lib"));
  const standIn = join(root, "tests/node/k6_stand_in.mjs");
  const scripts = ["", "lib/"].flatMap((at) => readdirSync(join(root, "k6", at)).filter((name) => name.endsWith(".js")).map((name) => at + name));
  for (const script of scripts) {
    const text = readFileSync(join(root, "k6", script), "utf8");
    writeFileSync(join(home, script), text.replaceAll(/ from "k6(\/http|\/metrics)?"/g, ` from "${standIn}"`));
  }
  writeFileSync(join(home, "package.json"), '{"type": "module"}');
  writeFileSync(join(home, "gateway.json"), sampleConfiguration(await startOrigin()));
  const gateway = await startGatewayFile(join(home, "gateway.json"));
  globalThis.__ENV = { GATEWAY_URL: gateway.url, ADMIN_URL: gateway.admin, MINUTES: "0.03" };
  Object.assign(globalThis, { __VU: 1, __ITER: 0 });
  for (const [tier, key] of Object.entries(keys)) globalThis.__ENV[`KEY_${tier.toUpperCase()}`] = key;
  stand = await import(standIn);
});
after(stopAll);

function verdict(least) {
  const made = stand.checks.splice(0);
  assert.deepEqual(made.filter((one) => !one.ok).map((one) => one.name), []);
  assert.ok(made.length >= least, `${made.length} checks`);
}

test("smoke.js", async () => {
  const smoke = await load("smoke.js");
  smoke.setup();
  smoke.default();
  verdict(18);
});

test("tiers.js: the headers and the burst of every tier", async () => {
  const tiers = await load("tiers.js");
  tiers.everyTier();
  verdict(4 * 9);
});

test("tiers.js: the minute of the free tier", async () => {
  const tiers = await load("tiers.js");
  tiers.freeMinute();
  verdict(14);
});

// The rest brings load; here one user walks through what each scenario does, and thresholds of
// speed are left to k6. They lift the caller to another tier, so they come last.

/** k6's part: iterations of a scenario's function, each with a number. */
function iterate(fn, times) {
  for (let i = 0; i < times; i++, globalThis.__ITER++) fn();
}

test("cache.js: the five patterns", async () => {
  const cache = await load("cache.js");
  assert.deepEqual(Object.keys(cache.options.scenarios), ["normal", "stampede", "eviction", "burst", "miss"]);
  cache.setup();
  iterate(cache.normal, 200);
  const hits = stand.metrics.get("normal_hits");
  assert.ok(hits.filter(Boolean).length > 0.6 * hits.length, `${hits.filter(Boolean).length} hits`);
  iterate(cache.stampede, 3);
  iterate(cache.eviction, 5);
  iterate(cache.burst, 20);
  iterate(cache.miss, 20);
  verdict(200 + 3 * 2 + 5 * 2 + 20 + 20);
});

test("mixed.js: a bank's day, and what it promises", async () => {
  const mixed = await load("mixed.js");
  mixed.setup();
  iterate(mixed.default, 200);
  mixed.promise();
  verdict(200);
  assert.match(mixed.handleSummary(stand.summary()).stdout, /p50, ms +p95, ms +p99, ms\nbalances +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d\n/);
});

test("spike.js", async () => {
  const spike = await load("spike.js");
  spike.setup();
  iterate(spike.before, 5);
  iterate(spike.spike, 50);
  iterate(spike.after, 5);
  verdict(120);
  assert.match(spike.handleSummary(stand.summary()).stdout, /^900 a second +\d/m);
});

test("compare.js: the table", async () => {
  const compare = await load("compare.js");
  compare.setup();
  iterate(compare.withoutCache, 50);
  iterate(compare.withCache, 50);
  verdict(200);
  assert.match(compare.handleSummary(stand.summary()).stdout, /^with the cache +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d\nwithout +\d/m);
});

test("soak.js: two seconds of it", async () => {
  const soak = await load("soak.js");
  soak.setup();
  iterate(soak.default, 50);
  soak.watch();
  verdict(53);
});

test("every script has thresholds, and a row in the README with its command", () => {
  const readme = readFileSync(join(root, "k6/README.md"), "utf8");
  for (const script of readdirSync(join(root, "k6")).filter((name) => name.endsWith(".js"))) {
    assert.match(readFileSync(join(root, "k6", script), "utf8"), /^  thresholds: \{|thresholds: \{ checks/m, script);
    assert.match(readme, new RegExp(`^\\| \`${script}\` .*\`k6 run .*k6/${script}\` \\|$`, "m"), script);
  }
});
