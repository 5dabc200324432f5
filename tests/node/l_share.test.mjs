// l_share.test.mjs - what gateways share beside counters: an operator's tier for a client is in
// force everywhere at once and for newcomers; usage adds up exactly across gateways, restarts, a
// crash, and a store that was away; a month's quota outlives the gateways.
import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, hasRedis, sleep, startGateway, startOrigin, startRedis, stop, stopAll } from "./programs.mjs";

const options = { skip: hasRedis ? false : "redis-server is not installed", timeout: 120000 };
let socket, redis, origin;

async function startOwn() {
  ({ child: redis } = await startRedis(["--port", "0", "--unixsocket", socket]));
}

async function killRedis() {
  const gone = once(redis, "exit");
  redis.kill("SIGKILL");
  await gone;
}

function gateway(prefix, tiers = { free: { per_minute: 100000 }, gold: { per_minute: 777777 } }) {
  return startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2 }, admin: { listen: "127.0.0.1:0" },
    store: { url: `redis://${socket}`, prefix }, identity: { hash_secret: "one for all" },
    limits: { deadline: "2s", default_tier: "free" }, tiers,
    upstreams: { app: { targets: [origin] } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }, { name: "other", match: { path: "/other/*" }, upstream: "app" }],
    log: { access: "off" },
  });
}

async function until(what, fits, most = 10000) {
  const end = Date.now() + most;
  for (;;) {
    const seen = await what();
    if (fits(seen)) return seen;
    if (Date.now() > end) assert.fail(`never came: ${JSON.stringify(seen)}`);
    await sleep(10);
  }
}

const json = async (url, init) => (await fetch(url, init)).json();
const usage = (one, query = "") => json(`${one.admin}/system/usage${query}`);
const status = (one) => json(`${one.admin}/system/rate-limit/status?client=ip:127.0.0.1`);
const change = (one, tier, ttl) => json(`${one.admin}/system/rate-limit/client/ip:127.0.0.1`, { method: "PUT", body: JSON.stringify(ttl ? { tier, ttl } : { tier }) });

/** Until the gateway has written to the store by itself: connected. */
const connected = (one) => until(() => json(`${one.admin}/system/health`), (health) => JSON.stringify(health).includes('"store"') && !JSON.stringify(health.dependencies).includes("critical"));

async function use(one, count, path = "/echo") {
  let bytes = 0;
  for (let i = 0; i < count; i++) bytes += (await (await fetch(one.url + path)).arrayBuffer()).byteLength;
  return bytes;
}

before(async () => {
  if (!hasRedis) return;
  socket = join(folder(), "redis.sock");
  await startOwn();
  origin = await startOrigin();
});
after(async () => {
  await stopAll();
});

test("another tier is in force everywhere, at once, and ends everywhere", options, async () => {
  const [a, b] = await Promise.all([gateway("tiers:"), gateway("tiers:")]);
  await Promise.all([connected(a), connected(b)]);
  await sleep(300);
  const began = Date.now();
  assert.equal((await change(a, "gold", "1h")).tier, "gold");
  await until(() => status(b), (seen) => seen.tier === "gold");
  const took = Date.now() - began;
  assert.ok(took < 1000, `${took} ms`); // a loaded machine; some ms on an idle one
  const newcomer = await gateway("tiers:");
  await until(() => status(newcomer), (seen) => seen.tier === "gold");
  assert.equal((await fetch(`${newcomer.url}/echo`)).headers.get("x-ratelimit-limit"), "777777");
  // a caller's own question is answered by the same counters
  const own = await json(`${b.url}/system/rate-limit/status`);
  assert.equal(own.tier, "gold");
  assert.equal(own.windows.minute.remaining, 777776);

  await change(b, "gold", "0s");
  await Promise.all([a, newcomer].map((one) => until(() => status(one), (seen) => seen.tier === "free")));
  await change(b, "gold", "1s");
  await until(() => status(a), (seen) => seen.tier === "gold");
  await Promise.all([a, b, newcomer].map((one) => until(() => status(one), (seen) => seen.tier === "free")));
  await Promise.all([a, b, newcomer].map((one) => stop(one.child)));
});

test("what an operator says while the store is away is told when it is back", options, async () => {
  const [a, b] = await Promise.all([gateway("away:"), gateway("away:")]);
  await Promise.all([connected(a), connected(b)]);
  await killRedis();
  await change(a, "gold", "1h");
  assert.equal((await status(a)).tier, "gold");
  assert.equal((await status(b)).tier, "free");
  await startOwn();
  await until(() => status(b), (seen) => seen.tier === "gold", 20000);
  assert.equal((await status(a)).tier, "gold");
  await Promise.all([a, b].map((one) => stop(one.child)));
});

test("usage adds up across gateways, a clean stop, and a store that was away", options, async () => {
  let [a, b] = await Promise.all([gateway("usage:"), gateway("usage:")]);
  await Promise.all([connected(a), connected(b)]);
  await Promise.all([use(a, 60), use(b, 41), use(b, 7, "/other/x")]);
  // its own at once, the other's within two seconds
  const whole = await until(() => usage(a), (seen) => seen.total.requests >= 108, 2000 + 8000);
  assert.equal(whole.total.requests, 108);
  assert.equal(whole.complete, undefined);
  assert.deepEqual([...new Set(whole.items.map((row) => row.route))].sort(), ["all", "other"]);
  const sums = (seen, route) => seen.items.filter((row) => row.route === route).reduce((sum, row) => sum + row.requests, 0);
  assert.equal(sums(whole, "other"), 7);
  assert.equal((await usage(b, "?client=ip:127.0.0.1")).total.requests, 108);
  assert.equal((await usage(b, "?client=ip:127.0.0.2")).total.requests, 0);
  assert.equal((await usage(b, "?to=3600")).total.requests, 0);
  for (let i = 0; i < 20; i++) { // while it is flushed: never less, never twice
    const wanted = 108 + 3 * (i + 1);
    await use(a, 3); // a request is used when its answer has left: the last may be on its way
    assert.ok((await usage(a)).total.requests >= wanted - 1);
    assert.equal((await until(() => usage(a), (seen) => seen.total.requests >= wanted)).total.requests, wanted);
  }
  await use(a, 5);
  assert.equal(await stop(a.child), 0); // nothing is lost, though the last second was not flushed
  assert.equal((await until(() => usage(b), (seen) => seen.total.requests >= 173)).total.requests, 173);
  a = await gateway("usage:");
  await connected(a);
  assert.equal((await until(() => usage(a), (seen) => seen.total.requests >= 173)).total.requests, 173);

  await sleep(1500); // all is flushed; a crash loses what came since
  await use(a, 4);
  a.child.kill("SIGKILL");
  const left = (await usage(b)).total.requests;
  assert.ok(left >= 173 && left <= 177, `${left}`);
  await stop(b.child);
});

test("while the store is away usage is this gateway's own, and is caught up on", options, async () => {
  const a = await gateway("late:");
  await connected(a);
  await use(a, 10);
  await until(() => usage(a), (seen) => seen.total.requests === 10);
  redis.kill("SIGSTOP"); // its memory stays
  await use(a, 3);
  await until(() => usage(a), (seen) => seen.complete === false, 20000);
  const used = (await usage(a)).total.requests;
  assert.equal(used, 13);
  redis.kill("SIGCONT");
  const back = await until(() => usage(a), (seen) => seen.complete === undefined, 20000);
  assert.equal(back.total.requests, 13);
  await stop(a.child);
  const b = await gateway("late:");
  await connected(b);
  assert.equal((await until(() => usage(b), (seen) => seen.total.requests > 0)).total.requests, 13);
  await stop(b.child);
});

test("a month's quota outlives a restart of every gateway", options, async () => {
  const tiers = { free: { per_month: 20 } };
  let one = await gateway("month:", tiers);
  await connected(one);
  await use(one, 12);
  await until(() => status(one), (seen) => seen.windows.month.remaining === 8);
  await stop(one.child);
  one = await gateway("month:", tiers);
  await connected(one);
  await until(() => status(one), (seen) => seen.windows.month.remaining === 8);
  await sleep(500); // the worker's own connection
  const statuses = [];
  for (let i = 0; i < 10; i++) statuses.push((await fetch(`${one.url}/echo`)).status);
  assert.equal(statuses.filter((seen) => seen === 429).length, 2, `${statuses}`);
  await stop(one.child);
});
