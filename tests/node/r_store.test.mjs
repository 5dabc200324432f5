// r_store.test.mjs - gateways that share a real Redis: a purge on one reaches the other, Redis dies
// and comes back, Sentinels name another master, a Cluster of three nodes, and the configuration's
// word on it. Needs redis-server 7.0 or later.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, test } from "node:test";
import { writeFileSync } from "node:fs";
import { folder, freePort, sleep, startGateway, startOrigin, startRedis, stop, stopAll } from "./programs.mjs";

after(stopAll);

async function startRedisAt(port, more = []) {
  return startRedis(["--port", String(port), ...more]);
}

const cli = (port, ...words) => execFileSync("redis-cli", ["-p", String(port), ...words], { encoding: "utf8" }).trim();

async function startGateways(count, url, origin, store = {}) {
  const gateways = [];
  for (let i = 0; i < count; i++)
    gateways.push(
      await startGateway({
        server: { listen: ["127.0.0.1:0"], workers: 2 },
        admin: { listen: "127.0.0.1:0" },
        limits: { enabled: false },
        store: { url, ...store },
        log: { access: "off" },
        upstreams: { shop: { targets: [origin] } },
        routes: [{ name: "shop", match: { path: "/*" }, upstream: "shop", cache: { ttl: "10m", ttl_override: true, per_user: false } }],
      }),
    );
  return gateways;
}

async function health(gateway) {
  return (await (await fetch(`${gateway.admin}/system/health`)).json()).dependencies.store;
}

async function until(what, check, seconds = 20) {
  for (let i = 0; i < seconds * 20; i++) {
    if (await check().catch(() => false)) return;
    await sleep(50);
  }
  assert.fail(`${what}: not within ${seconds} s`);
}

async function status(gateway, path = "/products") {
  const answer = await fetch(gateway.url + path);
  await answer.arrayBuffer();
  assert.equal(answer.status, 200);
  return answer.headers.get("x-cache-status");
}

async function purge(gateway, query = "url=/products") {
  const answer = await fetch(`${gateway.admin}/system/cache/invalidate?${query}`, { method: "POST" });
  assert.equal(answer.status, 200);
  return answer.json();
}

const bothKnown = (gateway) =>
  until("two gateways know each other", async () => {
    const { gateways } = await purge(gateway, "tag=nothing");
    return gateways.known === 2 && gateways.applied === 2;
  });

async function purgeReachesTheOther(a, b) {
  await status(b);
  assert.equal(await status(b), "HIT");
  const { gateways } = await purge(a);
  assert.deepEqual(gateways, { known: 2, applied: 2 });
  assert.equal(await status(b), "MISS");
}

test("a purge on one gateway is one on the other, in under 100 ms when nothing else runs", async () => {
  const port = await freePort();
  await startRedisAt(port);
  const [a, b] = await startGateways(2, `redis://127.0.0.1:${port}/3`, await startOrigin());
  await bothKnown(a);
  const took = [];
  for (let i = 0; i < 10; i++) {
    const began = performance.now();
    await purgeReachesTheOther(a, b);
    took.push(performance.now() - began);
  }
  assert.ok(Math.min(...took) < 100, `five requests with the purge took ${took.map(Math.round)} ms`);
  assert.equal((await health(a)).up, true);
  for (const [word, query] of [["pattern", "pattern=/prod*"], ["soft tag", "tag=shop&soft=true"]])
    assert.equal((await purge(b, query)).gateways.applied, 2, word);
});

test("Redis dies and comes back: requests go on, and what was purged meanwhile is told", async () => {
  const port = await freePort();
  const redis = await startRedisAt(port);
  const [a, b] = await startGateways(2, `redis://127.0.0.1:${port}`, await startOrigin());
  await bothKnown(a);
  await status(b);
  await stop(redis.child);
  await until("the loss is seen", async () => (await health(a)).up === false);
  assert.equal(await status(b), "HIT");
  assert.deepEqual((await purge(a)).gateways, { known: 2, applied: 1 });
  await startRedisAt(port);
  await until("the purge arrives", async () => (await status(b)) !== "HIT");
  await bothKnown(a);
  await purgeReachesTheOther(b, a);
});

test("a store that is away at the start holds nobody up", async () => {
  const port = await freePort();
  const [a] = await startGateways(1, `redis://:hunter2@127.0.0.1:${port}`, await startOrigin());
  assert.equal(await status(a), "MISS");
  assert.equal((await health(a)).severity, "warning");
  assert.equal((await fetch(`${a.admin}/ready`)).status, 200);
  const printed = await (await fetch(`${a.admin}/system/config`)).text();
  assert.ok(!printed.includes("hunter2") && !a.said().includes("hunter2"));
  assert.ok(printed.includes("redis://***@127.0.0.1"));
});

test("a server that could evict counters: refused when the configuration says so", async () => {
  const port = await freePort();
  await startRedisAt(port, ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
  const url = `redis://127.0.0.1:${port}`;
  const [warned] = await startGateways(1, url, await startOrigin());
  await until("the warning", async () => warned.said().includes("allkeys-lru"));
  await assert.rejects(startGateways(1, url, await startOrigin(), { eviction_check: "refuse" }), /ended \(1\)/);
});

test("Sentinels name another master: followed without a restart", async () => {
  const [first, second, sentinel] = [await freePort(), await freePort(), await freePort()];
  const master = await startRedisAt(first);
  await startRedisAt(second, ["--replicaof", "127.0.0.1", String(first)]);
  const file = join(folder(), "sentinel.conf");
  writeFileSync(
    file,
    `port ${sentinel}\nbind 127.0.0.1\ndir ${folder()}\nsentinel monitor main 127.0.0.1 ${first} 1\n` +
      "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n",
  );
  await startRedis([file, "--sentinel"]);
  const [a, b] = await startGateways(2, `redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinel}/main`, await startOrigin());
  await bothKnown(a);
  await until("the replica is known", async () => cli(sentinel, "sentinel", "replicas", "main").includes(String(second)));
  await until("the replica is in step", async () => cli(second, "info", "replication").includes("master_link_status:up"));
  await stop(master.child);
  await until("the failover", async () => cli(second, "role").startsWith("master"), 40);
  await bothKnown(a);
  await purgeReachesTheOther(a, b);
});

test("a Cluster of three nodes, and a slot that moves", async () => {
  const ports = [];
  for (let i = 0; i < 3; i++) {
    ports.push(await freePort());
    await startRedisAt(ports[i], ["--cluster-enabled", "yes", "--cluster-port", String(await freePort())]);
  }
  execFileSync("redis-cli", ["--cluster", "create", ...ports.map((p) => `127.0.0.1:${p}`), "--cluster-yes"]);
  await until("the Cluster stands", async () => ports.every((p) => cli(p, "cluster", "info").includes("cluster_state:ok")));
  const [a, b] = await startGateways(2, `redis+cluster://127.0.0.1:${ports[0]},127.0.0.1:1`, await startOrigin());
  await bothKnown(a);
  await purgeReachesTheOther(a, b);

  const slot = cli(ports[0], "cluster", "keyslot", "gw:{events}");
  const ids = ports.map((p) => cli(p, "cluster", "myid"));
  const owner = ports.findIndex((p) => !cli(p, "get", "gw:{events}").startsWith("MOVED"));
  const to = (owner + 1) % 3;
  cli(ports[to], "cluster", "setslot", slot, "importing", ids[owner]);
  cli(ports[owner], "cluster", "setslot", slot, "migrating", ids[to]);
  const keys = cli(ports[owner], "cluster", "getkeysinslot", slot, "10").split("\n");
  cli(ports[owner], "migrate", "127.0.0.1", String(ports[to]), "", "0", "5000", "keys", ...keys);
  await sleep(1500); // in between: ASK, and TRYAGAIN for some
  for (const port of ports) cli(port, "cluster", "setslot", slot, "node", ids[to]);
  await bothKnown(a);
  await purgeReachesTheOther(b, a);
});
