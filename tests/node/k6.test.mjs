// k6.test.mjs - the scripts under k6/ hold against the gateway with the sample configuration.
//
// k6 is not among Debian's packages, so its few calls are played by k6_stand_in.mjs; the scripts
// are the ones that k6 runs, but for the module that they import.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
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
  for (const script of ["smoke.js", "limits.js", "lib/gateway.js"]) {
    const text = readFileSync(join(root, "k6", script), "utf8");
    writeFileSync(join(home, script), text.replaceAll(/ from "k6(\/http)?"/g, ` from "${standIn}"`));
  }
  writeFileSync(join(home, "package.json"), '{"type": "module"}');
  writeFileSync(join(home, "gateway.json"), sampleConfiguration(await startOrigin()));
  const gateway = await startGatewayFile(join(home, "gateway.json"));
  globalThis.__ENV = { GATEWAY_URL: gateway.url, ADMIN_URL: gateway.admin };
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

test("limits.js: the headers and the burst of every tier", async () => {
  const limits = await load("limits.js");
  limits.everyTier();
  verdict(4 * 9);
});

test("limits.js: the minute of the free tier", async () => {
  const limits = await load("limits.js");
  limits.freeMinute();
  verdict(14);
});
