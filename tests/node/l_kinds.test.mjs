// l_kinds.test.mjs - the limiter, revocations, tiers and usage on the two kinds of Redis that are
// more than one server. Sentinel: a master that hangs is left for the next without a restart.
// Cluster of three masters: exact while slots move under load (MOVED, ASK, scripts unknown to the
// new node), through a failover and a CLUSTERDOWN without an error or a hang.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, freePort, hasRedis, sleep, startGateway, startOrigin, startRedis, stop, stopAll } from "./programs.mjs";

const options = { skip: hasRedis ? false : "redis-server is not installed", timeout: 280000 };
const LIMIT = 20, MOST_MS = 6000;
const agents = [];
let origin;

const cli = (port, ...words) => execFileSync("redis-cli", ["-p", String(port), ...words], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 5000 }).trim();

function gateway(url) {
  return startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2, trusted_proxies: ["127.0.0.1/32"] }, admin: { listen: "127.0.0.1:0" },
    store: { url, prefix: "shop:" },
    identity: { jwt: { secret: "of the shop" } },
    limits: { deadline: "2s" },
    tiers: { free: { per_minute: LIMIT }, gold: { per_minute: 777 } },
    upstreams: { app: { targets: [origin] } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "app", rewrite: "/echo" }],
    log: { access: "off" },
  });
}

function token(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp: 4102444800 })}`;
  return `${signed}.${createHmac("sha256", "of the shop").update(signed).digest("base64url")}`;
}

function ask(one, headers) {
  one.agent ??= agents[agents.push(new Agent({ keepAlive: true, maxSockets: 40 })) - 1];
  const began = performance.now();
  return new Promise((resolve, reject) => {
    get(one.url, { agent: one.agent, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve({ status: answer.statusCode, limit: answer.headers["x-ratelimit-limit"], left: Number(answer.headers["x-ratelimit-remaining"]), ms: performance.now() - began }));
    }).on("error", reject);
  });
}

const from = (address) => ({ "x-forwarded-for": address });
const as = (user) => ({ authorization: `Bearer ${token(user)}` });

async function metric(one, name) {
  const text = await (await fetch(`${one.admin}/metrics`)).text();
  return text.split("\n").filter((line) => line.startsWith(`gateway_${name}`)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}
const fallbacks = async (gates) => (await Promise.all(gates.map((one) => metric(one, "store_fallbacks_total")))).reduce((a, b) => a + b);

async function until(what, check, seconds = 40) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(50)) if (await check().catch(() => false)) return;
  assert.fail(`${what}: not within ${seconds} s`);
}

let newcomers = 0;
const newcomer = () => `10.9.${newcomers >> 8}.${newcomers++ & 255}`;
/** Until every gateway decides in the store, wherever a client's counters are. */
const inStore = (gates) =>
  until("decisions are the store's", async () => {
    const before = await fallbacks(gates);
    const answers = await Promise.all(gates.flatMap((one) => Array.from({ length: 20 }, () => ask(one, from(newcomer())))));
    return answers.every((answer) => answer.status === 200) && (await fallbacks(gates)) === before;
  });

/** Asks from each address `each` times, through all gateways; how many were admitted, by address. */
async function ask_all(gates, addresses, each) {
  const admitted = new Map(addresses.map((address) => [address, 0]));
  await Promise.all(addresses.map(async (address, n) => {
    for (let i = 0; i < each; i += 3) {
      const answers = await Promise.all([0, 1, 2].map((k) => ask(gates[(n + i + k) % gates.length], from(address))));
      for (const { status, ms } of answers) {
        assert.ok(status === 200 || status === 429, `status ${status}`);
        assert.ok(ms < MOST_MS, `${ms} ms`);
        admitted.set(address, admitted.get(address) + (status === 200));
      }
    }
  }));
  return admitted;
}

/** Asks now and then from each address until `over`; nothing but 200 and 429, in time. */
async function ask_during(gates, addresses, over) {
  let is_over = false, asked = 0;
  const done = over().finally(() => (is_over = true));
  const admitted = new Map(addresses.map((address) => [address, 0]));
  await Promise.all(addresses.map(async (address, n) => {
    while (!is_over) {
      const { status, ms } = await ask(gates[(n + asked++) % gates.length], from(address));
      assert.ok(status === 200 || status === 429, `status ${status}`);
      assert.ok(ms < MOST_MS, `${ms} ms`);
      admitted.set(address, admitted.get(address) + (status === 200));
      await sleep(20);
    }
  }));
  await done;
  return admitted;
}

const addresses = (net, count = 24) => Array.from({ length: count }, (_, i) => `10.${net}.0.${i}`);
const post = async (one, path, body, method = "POST") => (await fetch(one.admin + path, { method, body: JSON.stringify(body) })).status;
const revoke = (one, user) => post(one, "/system/tokens/revoke", { token: token(user) });
const status = async (one, user) => (await ask(one, as(user))).status;
const used = async (one, user) => {
  const rows = (await (await fetch(`${one.admin}/system/usage?client=user:${user}`)).json()).items ?? [];
  return rows.reduce((sum, row) => sum + row.requests, 0);
};

/** What is shared beside counters: told to a, known to b. */
async function isShared(a, b, name) {
  for (const one of [a, b]) assert.equal(await status(one, name), 200);
  assert.ok([200, 201, 204].includes(await revoke(a, name)));
  await until("a revocation arrives", async () => (await status(b, name)) === 401);
  assert.equal(await post(b, `/system/rate-limit/client/user:${name}-gold`, { tier: "gold", ttl: "1h" }, "PUT"), 200);
  await until("a tier arrives", async () => (await ask(a, as(`${name}-gold`))).limit === "777");
}

before(async () => {
  if (hasRedis) origin = await startOrigin();
});
after(async () => {
  for (const agent of agents) agent.destroy();
  await stopAll();
});

test("Sentinel: the master hangs, another is named, and comes back as a replica", options, async () => {
  const [first, second, sentinel] = [await freePort(), await freePort(), await freePort()];
  const { child: master } = await startRedis(["--port", String(first)]);
  await startRedis(["--port", String(second), "--replicaof", "127.0.0.1", String(first), "--repl-diskless-sync-delay", "0"]);
  const file = join(folder(), "sentinel.conf");
  writeFileSync(file, `port ${sentinel}\nbind 127.0.0.1\ndir ${folder()}\nsentinel monitor main 127.0.0.1 ${first} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n`);
  await startRedis([file, "--sentinel"]);
  await until("the replica is known", async () => cli(sentinel, "sentinel", "replicas", "main").includes(String(second)));
  await until("the replica is in step", async () => cli(second, "info", "replication").includes("master_link_status:up"));
  const url = `redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinel}/main`;
  const gates = await Promise.all([gateway(url), gateway(url)]), [a, b] = gates;
  await inStore(gates);

  const early = addresses(1);
  for (const count of (await ask_all(gates, early.slice(0, 12), 30)).values()) assert.equal(count, LIMIT);
  await isShared(a, b, "early");
  await sleep(200); // what was written is at the replica
  const before = await ask_all(gates, early.slice(12), 9);

  const during = await ask_during(gates, early, async () => {
    master.kill("SIGSTOP");
    await until("the failover", async () => cli(second, "role").startsWith("master"));
    await inStore(gates);
  });
  // who had used up its limit had it used up all the while, and after
  for (const address of early.slice(0, 12)) assert.ok(during.get(address) <= 3, `${address}: ${during.get(address)} more`);
  // the others: each gateway admits its half of what was left, tells the new master of it when it knows
  // that one, up to 200 ms before or after the other does, and decides by what has been told until then
  for (const address of early.slice(12)) assert.ok(before.get(address) + during.get(address) <= LIMIT * 1.5, `${address}: ${before.get(address)} + ${during.get(address)}`);
  for (const count of (await ask_all(gates, addresses(2), 30)).values()) assert.equal(count, LIMIT, "exact again");
  for (const one of gates) assert.equal(await status(one, "early"), 401);

  const written = cli(second, "dbsize");
  await ask_during(gates, addresses(3, 6), async () => {
    master.kill("SIGCONT");
    await until("the old one is a replica", async () => cli(first, "role").startsWith("slave"));
    await sleep(500);
  });
  assert.ok(Number(cli(second, "dbsize")) >= Number(written), "the new one is written to");
  const c = await gateway(url);
  await until("a newcomer knows", async () => (await status(c, "early")) === 401 && (await ask(c, as("early-gold"))).limit === "777");
  await isShared(c, a, "late");
  await until("usage is everybody's", async () => (await used(c, "early-gold")) >= 2);
  await Promise.all([...gates, c].map((one) => stop(one.child)));
});

/** Three masters and, of the first, a replica: { ports, children, replica }. */
async function startCluster() {
  const ports = [], children = [], starting = [];
  for (let i = 0; i < 4; i++) {
    ports.push(await freePort());
    starting.push(startRedis(["--port", String(ports[i]), "--cluster-enabled", "yes", "--cluster-port", String(await freePort()), "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"]));
  }
  for (const one of starting) children.push((await one).child);
  const masters = ports.slice(0, 3), replica = ports[3];
  execFileSync("redis-cli", ["--cluster", "create", ...masters.map((p) => `127.0.0.1:${p}`), "--cluster-yes"]);
  const stands = () => until("the Cluster stands", async () => masters.every((p) => cli(p, "cluster", "info").includes("cluster_state:ok")));
  await stands();
  cli(replica, "cluster", "meet", "127.0.0.1", String(masters[0]), busOf(masters[0]));
  await until("the replica has met them", async () => cli(replica, "cluster", "nodes").split("\n").length === 4);
  await until("the replica is one", async () => cli(replica, "cluster", "replicate", cli(masters[0], "cluster", "myid")) === "OK");
  await until("the replica is in step", async () => cli(replica, "info", "replication").includes("master_link_status:up"));
  return { masters, children, replica, stands };
}
const busOf = (port) => cli(port, "cluster", "nodes").match(/@(\d+)[^ ]* [^ ]*myself/)[1];

/** Moves every slot that holds counters one node on, key by key, as a resharding does. */
async function reshard(masters) {
  const ids = masters.map((port) => cli(port, "cluster", "myid"));
  const slots = masters.flatMap((port, owner) => {
    const keys = cli(port, "--scan", "--pattern", "shop:limit:*").split("\n").filter(Boolean);
    return [...new Set(keys.map((key) => cli(port, "cluster", "keyslot", key)))].map((slot) => ({ slot, owner }));
  });
  for (const port of masters) cli(port, "script", "flush");
  for (const { slot, owner } of slots) {
    const to = (owner + 1) % masters.length;
    cli(masters[to], "cluster", "setslot", slot, "importing", ids[owner]);
    cli(masters[owner], "cluster", "setslot", slot, "migrating", ids[to]);
    const keys = cli(masters[owner], "cluster", "getkeysinslot", slot, "100").split("\n").filter(Boolean);
    for (const key of keys) cli(masters[owner], "migrate", "127.0.0.1", String(masters[to]), key, "0", "5000");
    await sleep(20); // ASK for all of them
    for (const port of [masters[to], masters[owner], ...masters]) cli(port, "cluster", "setslot", slot, "node", ids[to]);
  }
  return slots.length;
}

test("Cluster: exact while slots move, and through a failover and a CLUSTERDOWN without an error", options, async () => {
  const { masters, children, replica, stands } = await startCluster();
  const url = `redis+cluster://127.0.0.1:1,127.0.0.1:${masters[1]}`;
  const gates = await Promise.all([gateway(url), gateway(url)]), [a, b] = gates;
  await inStore(gates);
  let before = await fallbacks(gates);
  for (const count of (await ask_all(gates, addresses(11), 30)).values()) assert.equal(count, LIMIT);
  const spread = masters.map((port) => Number(cli(port, "dbsize")));
  assert.ok(spread.every((count) => count > 3), `keys on every node: ${spread}`);
  await isShared(a, b, "early");
  assert.equal(await fallbacks(gates), before);

  // one address after the other begins while its slot moves
  const moving = addresses(12), begun = await ask_all(gates, moving, 6);
  let moved;
  const during = await ask_during(gates, moving, async () => (moved = await reshard(masters)));
  const rest = await ask_all(gates, moving, 30);
  assert.ok(moved > 24, `${moved} slots`);
  for (const address of moving) assert.equal(begun.get(address) + during.get(address) + rest.get(address), LIMIT, address);
  assert.equal(await fallbacks(gates), before, "none was decided without the store");

  // a master hangs, its replica takes over; until it is seen the Cluster is down for all
  const early = addresses(13), first = await ask_all(gates, early, 9);
  await sleep(200);
  const hung = await ask_during(gates, early, async () => {
    children[0].kill("SIGSTOP");
    await until("the failover", async () => cli(replica, "role").startsWith("master"));
    await inStore(gates);
  });
  // workers learn of the new master up to 200 ms apart, and only then charge what they admitted
  for (const address of early) assert.ok(first.get(address) + hung.get(address) <= LIMIT * 1.5, `${address}: ${first.get(address)} + ${hung.get(address)}`);
  before = await fallbacks(gates);
  for (const count of (await ask_all(gates, addresses(14), 30)).values()) assert.equal(count, LIMIT, "exact again");
  assert.equal(await fallbacks(gates), before);
  children[0].kill("SIGCONT");
  await stands();

  // one without a replica hangs: CLUSTERDOWN everywhere
  const down = await ask_during(gates, addresses(15, 8), async () => {
    children[1].kill("SIGSTOP");
    await until("the Cluster is down", async () => cli(masters[2], "cluster", "info").includes("cluster_state:fail"));
    await sleep(1000);
    children[1].kill("SIGCONT");
    await stands();
    await inStore(gates);
  });
  for (const count of down.values()) assert.ok(count <= LIMIT + 6, `${count} admitted`);

  for (const one of gates) assert.equal(await status(one, "early"), 401);
  const c = await gateway(url);
  await until("a newcomer knows", async () => (await status(c, "early")) === 401 && (await ask(c, as("early-gold"))).limit === "777");
  await isShared(c, a, "late");
  await until("usage is everybody's", async () => (await used(c, "early-gold")) >= 2);
  await Promise.all([...gates, c].map((one) => stop(one.child)));
});
