// examples.test.mjs - config/examples/: each is judged, started before the sample backend, driven, and does what it says.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { deflateSync } from "node:zlib";
import { root, startGatewayFile, startOrigin, stop, stopAll } from "./programs.mjs";

/** A PNG of soft clouds, others for each `scene`, its brightest points as bright as `most` says. */
function png(most, scene = 1) {
  const side = 96, count = 12, rows = Buffer.alloc(side * (side + 1));
  const wave = (k, n) => Math.cos(Math.PI * k * (2 * n + 1) / (2 * side));
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
    let sum = 12;
    for (let i = 0; i < count; i++) for (let k = 0; k < count; k++) sum += Math.sin((i * count + k + 1) * scene * 7.3) * wave(i, x) * wave(k, y);
    rows[y * (side + 1) + 1 + x] = Math.max(0, Math.min(1, sum / 24)) * most;
  }
  const crc = (bytes) => {
    let sum = -1;
    for (const byte of bytes) for (let bit = 0, left = sum ^ byte; bit < 8; bit++) sum = left = left & 1 ? left >>> 1 ^ 0xedb88320 : left >>> 1;
    return ~sum >>> 0;
  };
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data]), ends = [Buffer.alloc(4), Buffer.alloc(4)];
    ends[0].writeUInt32BE(data.length);
    ends[1].writeUInt32BE(crc(body));
    return Buffer.concat([ends[0], body, ends[1]]);
  };
  const head = Buffer.from([0, 0, 0, side, 0, 0, 0, side, 8, 0, 0, 0, 0]); // grey, eight bits
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

let backend;
before(async () => { backend = await startOrigin(); });
after(stopAll);

const env = () => ({ BACKEND: backend, GATEWAY_LISTEN: "127.0.0.1:0", GATEWAY_ADMIN_LISTEN: "127.0.0.1:0" });

/** Runs the example `name`; `drive` gets a client that tells the cache's status, and the gateway. */
async function example(name, drive) {
  const gateway = await startGatewayFile(`${root}config/examples/${name}.json`, env());
  const ask = async (path, options = {}) => {
    const answer = await fetch(`${gateway.url}${path}`, options);
    return { status: answer.status, cache: answer.headers.get("x-cache-status"), headers: answer.headers, body: await answer.text() };
  };
  await drive(ask, gateway);
  assert.equal(await stop(gateway.child), 0);
}

test("every example is sound", () => {
  const names = readdirSync(`${root}config/examples`);
  const driven = ["bank.json", "images.json", "models.json", "shop.json"]; // below; the others are for machines that are not here
  for (const name of driven) assert.ok(names.includes(name), name);
  for (const name of names.filter((one) => one.endsWith(".json"))) {
    const said = execFileSync(process.env.GATEWAY ?? "build/gateway", ["--check", "-c", `${root}config/examples/${name}`], { encoding: "utf8" });
    assert.match(said, /: ok/);
  }
});

test("a bank: everybody has a balance of their own, and a transaction drops it", () => example("bank", async (ask) => {
  const as = (who, more = {}) => ({ headers: { "X-API-Key": `${who}-demo-key` }, ...more });
  assert.equal((await ask("/accounts/1001/balance")).status, 401);
  for (const path of ["/accounts/1001/balance", "/profiles/alice", "/transactions?account=1001"]) {
    assert.deepEqual([(await ask(path, as("alice"))).cache, (await ask(path, as("alice"))).cache], ["MISS", "HIT"], path);
    assert.equal((await ask(path, as("bob"))).cache, "MISS", path);
  }
  assert.equal((await ask("/transactions", as("alice", { method: "POST", body: "{}" }))).status, 200);
  assert.equal((await ask("/accounts/1001/balance", as("alice"))).cache, "MISS");
  assert.equal((await ask("/transactions?account=1001", as("alice"))).cache, "MISS");
  assert.equal((await ask("/profiles/alice", as("alice"))).cache, "HIT");
}));

test("a shop: a change is seen at once, and campaigns share an entry", () => example("shop", async (ask) => {
  assert.equal((await ask("/products?limit=2&skip=1")).cache, "MISS");
  assert.equal((await ask("/products?skip=1&limit=2&utm_source=mail")).cache, "HIT");
  assert.deepEqual([(await ask("/categories")).cache, (await ask("/categories")).cache], ["MISS", "HIT"]);
  assert.equal((await ask("/products/1")).cache, "MISS");
  const made = await ask("/products", { method: "POST", body: JSON.stringify({ name: "new" }), headers: { "Content-Type": "application/json" } });
  assert.equal(made.status, 201);
  for (const path of ["/products?limit=2&skip=1", "/products/1", "/categories"]) assert.equal((await ask(path)).cache, "MISS", path);
}));

test("a model catalogue: analytics cost ten", () => example("models", async (ask) => {
  const left = (answer) => Number(answer.headers.get("x-ratelimit-remaining"));
  const first = await ask("/models"), second = await ask("/models"), third = await ask("/analytics/summary");
  assert.deepEqual([first.cache, second.cache, third.cache], ["MISS", "HIT", "MISS"]);
  assert.equal(left(first) - left(second), 1);
  assert.equal(left(second) - left(third), 10);
  assert.equal((await ask("/analytics/summary")).cache, "HIT");
}));

test("images: analysed once, within their own window, no larger than they may be; a job's state is always new", () => example("images", async (ask, gateway) => {
  const analyze = (body) => ask("/analyze", { method: "POST", body });
  const analysed = await analyze(png(250)), match = (answer) => [answer.cache, answer.headers.get("x-cache-match"), answer.body];
  assert.equal(analysed.status, 200);
  assert.equal(analysed.cache, "MISS");
  assert.deepEqual(match(await analyze(png(250))), ["HIT", "exact", analysed.body]);
  const near = await analyze(png(245));
  assert.equal(near.body, analysed.body);
  assert.match(near.headers.get("x-cache-match"), /^near; distance=[0-6]$/);
  assert.equal((await analyze(png(250, 2))).cache, "MISS");
  assert.equal((await analyze(Buffer.alloc(100000))).cache, "MISS");
  const advice = await (await fetch(`${gateway.admin}/system/cache/advice`)).json();
  assert.deepEqual(advice.routes.analyze.saved, { calls: 2, exact: 1, near: 1, money: 0.004 });
  await fetch(`${gateway.admin}/system/cache/invalidate?tag=analyses`, { method: "POST" });
  assert.equal((await analyze(png(245))).cache, "MISS");
  assert.match(analysed.headers.get("ratelimit-policy"), /analyses/);
  assert.equal((await ask("/analyze", { method: "POST", body: Buffer.alloc(6 << 20) }).catch(() => ({ status: 413 }))).status, 413);
  const job = await ask("/jobs", { method: "POST", body: "{}" });
  assert.ok(job.status >= 200 && job.status < 300);
  const id = Object.values(JSON.parse(job.body)).map(String).find((value) => value.length > 0);
  const state = await ask(`/status/${id}`);
  assert.equal(state.cache, null);
  assert.equal(state.headers.get("x-ratelimit-limit"), null);
  assert.equal((await ask("/analyze")).status, 405);
}));
