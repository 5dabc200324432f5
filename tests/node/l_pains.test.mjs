// l_pains.test.mjs - what users of other gateways suffered from, with counters in memory and in a
// Redis alike: scopes that differ between the two, one failure policy for everything, counters that
// stay for ever, slots of requests at a time that leak, a Redis that is kept down by reconnects,
// tiers that are told and not enforced. gateway/limit/README.md says which test holds which line.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, hasRedis, sleep, startGateway, startOrigin, startRedis, stop, stopAll } from "./programs.mjs";

const options = { skip: hasRedis ? false : "redis-server is not installed", timeout: 120000 };
let socket, redis, origin;

before(async () => {
  origin = await startOrigin();
  if (!hasRedis) return;
  socket = join(folder(), "redis");
  redis = await startRedis(["--port", "0", "--unixsocket", socket]);
});
after(stopAll);

function cli(...args) {
  const done = spawnSync("redis-cli", ["-s", socket, ...args], { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout.trim();
}

const digest = (key) => createHash("sha256").update(key).digest("hex");

function gateway(store, prefix, more) {
  return startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 1, trusted_proxies: ["127.0.0.1/32"] }, admin: { listen: "127.0.0.1:0" },
    store: store === "memory:" ? { url: store } : { url: store, prefix },
    upstreams: { app: { targets: [origin] } }, log: { access: "off" },
    ...more, identity: { hash_secret: "pains", ...more.identity }, limits: { deadline: "2s", default_tier: "free", ...more.limits },
  });
}

async function send(one, path, headers = {}) {
  const answer = await fetch(one.url + path, { headers });
  await answer.arrayBuffer();
  return { status: answer.status, left: answer.headers.get("x-ratelimit-remaining"), policy: answer.headers.get("ratelimit-policy"), retry: answer.headers.get("retry-after"), cache: answer.headers.get("x-cache-status") };
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

async function metric(one, name) {
  const text = await (await fetch(`${one.admin}/metrics`)).text();
  return Number(text.split("\n").find((line) => line.startsWith(`gateway_${name} `))?.split(" ").at(-1) ?? 0);
}

/** The worker decides in the store: none of these was decided without it. */
async function connected(one, path) {
  const without = () => metric(one, "store_fallbacks_total");
  await until(async () => {
    const seen = await without();
    for (let i = 0; i < 3; i++) await send(one, path, { "x-forwarded-for": `198.18.0.${i + 1}` });
    return seen === (await without());
  }, (good) => good);
}

test("1: a scope is one in memory and in Redis, however many routes there are", options, async () => {
  const routes = [];
  for (let i = 0; i < 30; i++) routes.push({ name: `r${i}`, match: { path: `/plain/${i}/*` }, upstream: "app", rewrite: "/echo" });
  const own = { client: "client", ip: "ip", route: "route", "header:X-Team": "team" };
  for (const [scope, name] of Object.entries(own)) routes.push({ name, match: { path: `/${name}/*` }, upstream: "app", rewrite: "/echo", limit: { per_minute: 3, scope } });
  const more = {
    identity: { api_key: { keys: Object.fromEntries(["a", "b"].map((id) => [digest(`key ${id}`), { id, tier: "keyed" }])) } },
    tiers: { free: { per_minute: 12 }, keyed: { per_minute: 1000 } },
    routes: [...routes, { name: "warm", match: { path: "/warm" }, upstream: "app", rewrite: "/echo" }],
  };
  const trace = [];
  for (let i = 0; i < 30; i++) trace.push([`/plain/${i}/x`, {}]); // one tier for all of them
  const a = { "x-api-key": "key a" }, b = { "x-api-key": "key b" };
  for (let i = 0; i < 4; i++) trace.push(["/client/x", a], ["/client/y", b]); // each has three
  for (let i = 0; i < 4; i++) trace.push(["/ip/x", { ...a, "x-forwarded-for": "203.0.113.1" }], ["/ip/x", { ...b, "x-forwarded-for": "203.0.113.1" }], ["/ip/x", { ...b, "x-forwarded-for": "203.0.113.2" }]);
  for (let i = 0; i < 4; i++) trace.push(["/route/x", a], ["/route/x", b]); // three in all
  for (let i = 0; i < 4; i++) trace.push(["/team/x", { ...a, "x-team": "one" }], ["/team/x", { ...b, "x-team": "one" }], ["/team/x", { ...b, "x-team": "two" }]);
  const told = {};
  for (const store of ["memory:", `redis://${socket}`]) {
    const one = await gateway(store, "scopes:", more);
    if (store !== "memory:") await connected(one, "/warm");
    told[store] = [];
    for (const [path, headers] of trace) {
      const { status, left, policy } = await send(one, path, headers);
      told[store].push(`${path} ${JSON.stringify(headers)}: ${status}, ${left} left, ${policy}`);
    }
    await stop(one.child);
  }
  const [memory, shared] = Object.values(told);
  assert.deepEqual(shared, memory);
  const served = (lines, path) => lines.filter((line) => line.startsWith(path) && line.includes(": 200")).length;
  assert.equal(served(memory, "/plain/"), 12);
  assert.deepEqual(["/client/x", "/client/y", "/ip/", "/route/", "/team/"].map((path) => served(memory, path)), [3, 3, 6, 3, 6]);
});

test("2: without Redis each route does what it says, and cached answers go on", options, async () => {
  const limit = (on_failure) => ({ per_minute: 5, on_failure });
  const one = await gateway(`redis://${socket}`, "policy:", {
    tiers: { free: { per_minute: 1000 } },
    routes: [
      { name: "local", match: { path: "/local" }, upstream: "app", rewrite: "/echo", limit: limit("local") },
      { name: "open", match: { path: "/open" }, upstream: "app", rewrite: "/echo", limit: limit("open") },
      { name: "closed", match: { path: "/closed" }, upstream: "app", rewrite: "/echo", limit: limit("closed") },
      { name: "kept", match: { path: "/kept" }, upstream: "app", rewrite: "/echo", limit: limit("closed"), cache: { ttl: "1h", ttl_override: true, count_hits: false } },
      { name: "warm", match: { path: "/warm" }, upstream: "app", rewrite: "/echo" },
    ],
  });
  await connected(one, "/warm");
  assert.equal((await send(one, "/kept")).cache, "MISS");
  assert.equal((await send(one, "/closed")).status, 200);
  await stop(redis.child);
  await until(() => send(one, "/closed"), ({ status }) => status === 503);
  const all = async (path) => Promise.all(Array.from({ length: 12 }, () => send(one, path)));
  const statuses = (answers) => answers.map(({ status }) => status).sort().join();
  assert.equal(statuses(await all("/local")), `${"200,".repeat(5)}${"429,".repeat(7)}`.slice(0, -1));
  assert.equal(statuses(await all("/open")), "200,".repeat(12).slice(0, -1));
  for (const { status, retry } of await all("/closed")) assert.ok(status === 503 && Number(retry) >= 1);
  for (const { status, cache } of await all("/kept")) assert.deepEqual([status, cache], [200, "HIT"]);
  assert.ok((await metric(one, "store_fallbacks_total")) >= 36);
  redis = await startRedis(["--port", "0", "--unixsocket", socket]);
  await until(() => send(one, "/closed"), ({ status }) => status === 200);
  await stop(one.child);
});

test("3: every counter has an end, within twice its longest window", options, async () => {
  const tiers = {
    bucket: { per_second: 3, burst: 5 }, minute: { per_minute: 5 }, hour: { per_second: 9, per_minute: 50, per_hour: 100 },
    kinds: { windows: ["sliding", "bucket", "fixed", "strict"].map((kind) => ({ name: kind, limit: 9, per: "20s", kind })) }, month: { per_month: 20 },
  };
  const most = { bucket: 2, minute: 60, hour: 3600, kinds: 20, month: 31 * 86400 };
  const keys = Object.fromEntries(Object.keys(tiers).map((tier) => [digest(tier), { id: tier, tier }]));
  const one = await gateway(`redis://${socket}`, "ends:", {
    identity: { api_key: { keys } }, tiers: { free: { per_minute: 1000 }, ...tiers },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }, { name: "own", match: { path: "/own" }, upstream: "app", rewrite: "/echo", limit: { per_minute: 5, scope: "route" } }],
  });
  await connected(one, "/echo");
  for (const tier of Object.keys(tiers)) {
    const before = new Set(cli("KEYS", "ends:limit:*").split("\n"));
    for (let i = 0; i < 15; i++) await send(one, "/echo", { "x-api-key": tier });
    const made = cli("KEYS", "ends:limit:*").split("\n").filter((key) => !before.has(key));
    assert.ok(made.length >= 1, tier);
    for (const key of made) {
      const ms = Number(cli("PTTL", key));
      assert.ok(ms > 0 && ms <= 2 * most[tier] * 1000, `${tier}: ${ms} ms`);
    }
  }
  for (let i = 0; i < 9; i++) await send(one, "/own");
  const kept = [];
  for (const key of cli("KEYS", "ends:*").split("\n")) if (Number(cli("PTTL", key)) === -1) kept.push(key);
  for (const key of kept) assert.match(key, /^ends:(\{events\}(:gateways)?|usage:\{all\}:\w+.*|secret|violations|overrides:\{tiers\}|revoked:\{tokens\})$/, "stays for ever");
  assert.ok(kept.length < 12, `${kept}`);
  await stop(one.child);
});

test("6: who leaves, and a gateway that dies, hold no place of requests at a time", options, async () => {
  const more = { tiers: { free: { per_minute: 10000, concurrent: 2 } }, routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }] };
  for (const store of ["memory:", `redis://${socket}`]) {
    let one = await gateway(store, "places:", more);
    const hold = (signal) => fetch(`${one.url}/slow?ms=20000`, { signal }).catch(() => {});
    for (let round = 0; round < 5; round++) {
      const quit = new AbortController();
      const held = [hold(quit.signal), hold(quit.signal)];
      await until(() => send(one, "/echo"), ({ status }) => status === 429);
      quit.abort();
      await Promise.all(held);
      await until(() => send(one, "/echo"), ({ status }) => status === 200);
    }
    const quit = new AbortController();
    const held = [hold(quit.signal), hold(quit.signal)];
    await until(() => send(one, "/echo"), ({ status }) => status === 429);
    one.child.kill("SIGKILL");
    quit.abort();
    await Promise.all(held);
    one = await gateway(store, "places:", more);
    const both = () => Promise.all([send(one, "/echo"), send(one, "/echo")]);
    const areFree = (answers) => answers.every(({ status }) => status === 200);
    if (store === "memory:") assert.ok(areFree(await both()));
    else await until(both, areFree); // the leases of who died end within six seconds
    await stop(one.child);
  }
});

test("11: a Redis that comes back is not run over: each way pauses longer, at moments of its own", options, async () => {
  const came = new Map(); // by the name that a connection gives itself
  const path = join(folder(), "refusing");
  const server = createServer((peer) => {
    peer.on("error", () => {});
    peer.once("data", (bytes) => {
      const name = /gateway-[\w-]+/.exec(bytes.toString())?.[0] ?? "none";
      came.set(name, [...(came.get(name) ?? []), performance.now()]);
      peer.destroy();
    });
  });
  server.unref();
  await new Promise((resolve) => server.listen(path, resolve));
  const one = await gateway(`redis://${path}`, "storm:", { tiers: { free: { per_minute: 1000000 } }, routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }] });
  const end = performance.now() + 4000;
  while (performance.now() < end) {
    assert.equal((await send(one, "/echo")).status, 200);
    await sleep(5);
  }
  await stop(one.child);
  server.close();
  const single = [...came].filter(([name]) => ["gateway-main", "gateway-usage", "gateway-revoked", "gateway-events"].includes(name));
  assert.ok(single.length >= 3, [...came.keys()].join());
  for (const [name, at] of single) {
    const gaps = at.slice(1).map((moment, i) => moment - at[i]);
    console.log(`${name}: ${gaps.map((ms) => ms.toFixed(0)).join(", ")} ms`);
    assert.ok(at.length >= 3 && at.length <= 10, `${name} came ${at.length} times`);
    assert.ok(gaps.at(-1) > 4 * gaps[0] || gaps.at(-1) > 1000, `${name}: ${gaps}`);
  }
  const lasts = single.map(([, at]) => Math.round(at.at(-1) - at[0]));
  assert.ok(new Set(lasts).size > 1, `all at the same moment: ${lasts}`);
  const total = [...came.values()].reduce((sum, at) => sum + at.length, 0);
  assert.ok(total <= 10 * (came.size + 2), `${total} connections`);
});

test("13: what is told of a tier is what is enforced, for each of the four that come with the gateway", options, async () => {
  const ids = ["free", "premium", "enterprise", "internal"];
  const one = await startGateway({
    server: { listen: ["127.0.0.1:0"] }, admin: { listen: "127.0.0.1:0" },
    identity: { api_key: { keys: Object.fromEntries(ids.map((tier) => [digest(tier), { id: tier, tier }])) } },
    upstreams: { app: { targets: [origin], max_requests: 100000 } }, routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }], log: { access: "off" },
  });
  const effective = await (await fetch(`${one.admin}/system/config`)).json();
  for (const tier of ids) {
    const config = (effective.config ?? effective).tiers[tier], headers = { "x-api-key": tier };
    const { policy } = await send(one, "/echo", headers);
    assert.equal(policy, `"second";q=${config.per_second};w=1;gw-burst=${config.burst}, "minute";q=${config.per_minute};w=60, "hour";q=${config.per_hour};w=3600`);
    if (config.burst > 200) continue; // more than can be sent before it fills up again
    const began = performance.now();
    let served = 1, sent = 1;
    for (; sent < 3 * config.burst; sent++) served += (await send(one, "/echo", headers)).status === 200;
    const seconds = (performance.now() - began) / 1000;
    const least = Math.min(config.burst, sent), most = Math.min(config.burst + Math.ceil(config.per_second * seconds) + 1, config.per_minute);
    assert.ok(served >= least && served <= most, `${tier}: ${served} of ${sent} in ${seconds} s, expected ${least} to ${most}`);
  }
  await stop(one.child);
});
