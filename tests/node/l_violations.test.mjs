// l_violations.test.mjs - refusals by limits are told to operators who follow the events and to a
// stream of the store: the same rows, at a bounded rate and in a bounded stream whatever the
// attack, without an address, a key or a token in them; what happened while the store was away
// comes when it is back.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, hasRedis, sleep, startGateway, startOrigin, startRedis, stop, stopAll } from "./programs.mjs";

const options = { skip: hasRedis ? false : "redis-server is not installed", timeout: 120000 };
const SECRET = "0123456789abcdef0123456789abcdef";
const PER_SECOND = 20; // of one gateway, as events.c says
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const input = `${part({ alg: "HS256" })}.${part({ sub: "42" })}`;
const token = `${input}.${createHmac("sha256", SECRET).update(input).digest("base64url")}`;
let socket, redis, origin;

before(async () => {
  if (!hasRedis) return;
  socket = join(folder(), "redis");
  redis = await startRedis(["--port", "0", "--unixsocket", socket]);
  origin = await startOrigin();
});
after(stopAll);

function cli(...args) {
  const done = spawnSync("redis-cli", ["-s", socket, ...args], { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout.trim();
}

const gateway = (prefix) => startGateway({
  server: { listen: ["127.0.0.1:0"], workers: 2, trusted_proxies: ["127.0.0.1/32"] }, admin: { listen: "127.0.0.1:0" },
  store: { url: `redis://${socket}`, prefix },
  identity: { hash_secret: "violations", jwt: { secret: SECRET }, api_key: { keys: { [createHash("sha256").update("acme's own key").digest("hex")]: { id: "acme" } } } },
  limits: { deadline: "2s" },
  tiers: { free: { per_minute: 1 } },
  upstreams: { app: { targets: [origin] } },
  routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }],
  log: { access: "off" },
});

/** The rows of the stream. */
const rows = (key) => cli("--json", "XRANGE", key, "-", "+") && JSON.parse(cli("--json", "XRANGE", key, "-", "+")).map(([, [name, text]]) => {
  assert.equal(name, "event");
  return JSON.parse(text);
});

async function send(one, headers) {
  const answer = await fetch(`${one.url}/echo`, { headers });
  await answer.arrayBuffer();
  return answer.status;
}

async function until(what, fits, most = 20000) {
  const end = performance.now() + most;
  for (let seen; ;) {
    seen = await what();
    if (fits(seen)) return seen;
    assert.ok(performance.now() < end, `never came: ${JSON.stringify(seen)}`);
    await sleep(20);
  }
}

/** What followers of the events are told, as text, until the test ends. */
async function follow(one) {
  const quit = new AbortController();
  const answer = await fetch(`${one.admin}/system/events`, { signal: quit.signal });
  const heard = { text: "", stop: () => quit.abort() };
  (async () => {
    const decoder = new TextDecoder();
    for await (const bytes of answer.body) heard.text += decoder.decode(bytes, { stream: true });
  })().catch(() => {});
  return heard;
}

test("refusals are in the stream and in the events: who, which window, and no secret", options, async () => {
  const one = await gateway("told:");
  const heard = await follow(one);
  await until(() => send(one, {}), (seen) => seen === 429);
  const clients = [{ "x-api-key": "acme's own key" }, { authorization: `Bearer ${token}` }, { "x-forwarded-for": "203.0.113.77" }, { "x-forwarded-for": "2001:db8:77::1" }];
  for (const who of clients) assert.deepEqual([await send(one, who), await send(one, who)], [200, 429]);
  const seen = await until(() => rows("told:violations"), (all) => all.length >= 5);
  const named = seen.map((row) => row.client);
  assert.ok(named.includes("key:acme") && named.includes("user:42"), `${named}`);
  assert.ok(named.filter((name) => /^ip:[0-9a-f]{16}$/.test(name)).length >= 3, `${named}`);
  for (const row of seen) {
    assert.deepEqual([row.tier, row.route, row.window], ["free", "all", "minute"]);
    assert.ok(Math.abs(row.time - Date.now() / 1000) < 60);
    assert.ok(row.request_id.length > 10);
  }
  await until(() => heard.text, (text) => (text.match(/event: limit_violation/g) ?? []).length >= 5);
  for (const row of seen) assert.ok(heard.text.includes(row.request_id));
  for (const text of [heard.text, JSON.stringify(seen)])
    for (const secret of ["203.0.113.77", "2001:db8", "127.0.0.1", "acme's own key", token, token.split(".")[2]]) assert.ok(!text.includes(secret), `${secret} in ${text}`);
  heard.stop();
  await stop(one.child);
});

test("an attack fills neither the events nor the stream", options, async () => {
  // as an attack of hours would have left it
  cli("EVAL", "for i = 1, 15000 do redis.call('XADD', KEYS[1], '*', 'event', '{}') end", "1", "flood:violations");
  const one = await gateway("flood:");
  await until(() => send(one, {}), (seen) => seen === 429);
  const began = performance.now();
  const attack = async (from) => {
    for (let i = 0; i < 400; i++) await send(one, { "x-forwarded-for": `198.51.100.${from * 4 + (i % 4)}` });
  };
  await Promise.all([0, 1, 2, 3, 4].map(attack));
  const seconds = (performance.now() - began) / 1000;
  await sleep(500);
  const told = (await until(() => rows("flood:violations"), (all) => all.at(-1).client !== undefined)).filter((row) => row.client !== undefined);
  console.log(`2000 requests in ${seconds.toFixed(1)} s: ${told.length} rows`);
  assert.ok(told.length <= PER_SECOND * (Math.ceil(seconds) + 2), `${told.length} rows in ${seconds} s`);
  assert.ok(Number(cli("XLEN", "flood:violations")) <= 10200);
  // what was left out is counted, in the first row of the next second and for the metrics
  await sleep(1100);
  await send(one, {});
  const last = await until(() => rows("flood:violations").findLast((row) => row.suppressed > 0), (row) => row !== undefined);
  assert.ok(last.suppressed > 100, JSON.stringify(last));
  const metrics = await (await fetch(`${one.admin}/metrics`)).text();
  assert.ok(Number(/^gateway_events_suppressed_total (\d+)/m.exec(metrics)[1]) >= last.suppressed);
  await stop(one.child);
});

test("what happened while the store was away is told when it is back", options, async () => {
  const one = await gateway("away:");
  await until(() => send(one, {}), (seen) => seen === 429);
  await until(() => rows("away:violations"), (all) => all.length > 0);
  await stop(redis.child);
  const who = { "x-api-key": "acme's own key" };
  await until(() => send(one, who), (seen) => seen === 429);
  redis = await startRedis(["--port", "0", "--unixsocket", socket]);
  await until(() => rows("away:violations"), (all) => all.some((row) => row.client === "key:acme"));
  await stop(one.child);
});
