// l_faults.test.mjs - whatever a Redis answers, limits go on as the route's on_failure says: local
// (this gateway's share), open, closed. Never another 5xx, never a 401, never a wait past the
// deadline; and when Redis is well again, decisions are its own again.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, hasRedis, sleep, startGateway, startOrigin, startRedis, stopAll } from "./programs.mjs";
import { END, SILENCE, startBetween } from "./redis_between.mjs";

const options = { skip: hasRedis ? false : "redis-server is not installed", timeout: 280000 };
const PER_MINUTE = 4, DEADLINE_MS = 250;
let socket, redis, between, gate, plain, cluster, users = 0;

const cli = (...words) => execFileSync("redis-cli", ["-s", socket, ...words], { encoding: "utf8" }).trim();
const secret = "the gateways' own";

function token(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp: 4102444800 })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

async function ask(user, path = "/local") {
  const began = performance.now();
  const answer = await fetch(gate.url + path, { headers: { authorization: `Bearer ${token(user)}` } });
  await answer.arrayBuffer();
  return { status: answer.status, left: answer.headers.get("x-ratelimit-remaining"), retry: answer.headers.get("retry-after"), ms: performance.now() - began };
}

async function metric(name) {
  const text = await (await fetch(`${gate.admin}/metrics`)).text();
  return text.split("\n").filter((line) => line.startsWith(`gateway_${name}`)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** Until decisions are the store's: no fallback for a newcomer, twice. */
async function isStores() {
  for (let tries = 0, good = 0; tries < 600; tries++) {
    const before = await metric("store_fallbacks_total");
    const { status } = await ask(`probe${users++}`);
    assert.equal(status, 200);
    good = (await metric("store_fallbacks_total")) === before ? good + 1 : 0;
    if (good === 2) return;
    await sleep(25);
  }
  assert.fail("decisions do not come back to the store");
}

before(async () => {
  if (!hasRedis) return;
  socket = join(folder(), "redis.sock");
  ({ child: redis } = await startRedis(["--port", "0", "--unixsocket", socket]));
  between = await startBetween({ path: socket });
  const origin = await startOrigin();
  const route = (name, on_failure) => ({ name, match: { path: `/${name}` }, upstream: "app", rewrite: "/echo", limit: { on_failure } });
  const start = (url, prefix) => startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 1 }, admin: { listen: "127.0.0.1:0" },
    store: { url, prefix },
    identity: { jwt: { secret } },
    limits: { deadline: `${DEADLINE_MS}ms`, retry_jitter: 0 },
    tiers: { free: { per_minute: PER_MINUTE } },
    upstreams: { app: { targets: [origin] } },
    routes: [route("local", "local"), route("open", "open"), route("closed", "closed")],
    log: { access: "off" },
  });
  plain = { between, gate: await start(`redis://127.0.0.1:${between.port}`, "gw:") };
  cluster = { between: await startBetween({ path: socket }) };
  cluster.between.fault = clustered();
  cluster.gate = await start(`redis+cluster://127.0.0.1:${cluster.between.port}`, "clustered:");
  for (const one of [cluster, plain]) {
    ({ between, gate } = one);
    await isStores();
  }
});

/** The Redis as a Cluster of one, with the slots up to `last`, and `reply` to scripts. */
function clustered(reply, last = 16383) {
  const { port } = cluster.between;
  const map = Buffer.from(`*1\r\n*3\r\n:0\r\n:${last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:${port}\r\n`);
  return ([verb]) => (verb === "CLUSTER" ? map : verb === "ASKING" ? Buffer.from("+OK\r\n") : verb.startsWith("EVAL") ? reply : undefined);
}
after(async () => {
  plain?.between.stop();
  cluster?.between.stop();
  await stopAll();
});

/** One admitted by the store; then, with the fault, what is left is admitted here and no more. */
async function holds(name, kind, begin, end) {
  const user = `user${users++}`, errors = kind && `store_errors_total{kind="${kind}"}`;
  assert.equal((await ask(user)).status, 200);
  const errorsBefore = kind ? await metric(errors) : 0, fallbacksBefore = await metric("store_fallbacks_total");
  await begin();
  const answers = [];
  for (let i = 0; i < PER_MINUTE + 1; i++) answers.push(await ask(user));
  const open = await Promise.all([ask(user, "/open"), ask(user, "/open"), ask(user, "/open")]), closed = await ask(user, "/closed");
  await end();
  assert.deepEqual(answers.map((one) => one.status), [...Array(PER_MINUTE - 1).fill(200), 429, 429], `${name}: this gateway's share`);
  assert.deepEqual(answers.map((one) => one.left), ["2", "1", "0", "0", "0"], name);
  for (const one of [...answers, ...open, closed]) assert.ok(one.ms < DEADLINE_MS + 3000, `${name}: ${one.ms} ms`);
  assert.deepEqual(open.map((one) => one.status), [200, 200, 200], `${name}: open`);
  assert.equal(closed.status, 503, `${name}: closed`);
  assert.ok(Number(closed.retry) >= 1, name);
  assert.ok((await metric("store_fallbacks_total")) - fallbacksBefore >= answers.length, name);
  if (kind) assert.ok((await metric(errors)) > errorsBefore, `${name}: told as ${kind}`);
  await isStores();
  assert.equal(gate.child.exitCode, null);
}

const error = (text) => Buffer.from(`-${text}\r\n`);
const scripted = [
  ["LOADING", "not_ready", error("LOADING Redis is loading the dataset in memory")],
  ["BUSY", "not_ready", error("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")],
  ["MASTERDOWN", "not_ready", error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")],
  ["CLUSTERDOWN", "not_ready", error("CLUSTERDOWN The cluster is down")],
  ["TRYAGAIN", "not_ready", error("TRYAGAIN Multiple keys request during rehashing of slot")],
  ["MOVED, from no Cluster", "not_ready", error("MOVED 3999 127.0.0.1:1")],
  ["READONLY", "readonly", error("READONLY You can't write against a read only replica.")],
  ["OOM", "no_memory", error("OOM command not allowed when used memory > 'maxmemory'.")],
  ["OOM within a script, as 6.2 says it", "no_memory", error("ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed when used memory > 'maxmemory'.")],
  ["WRONGTYPE", "wrong_type", error("WRONGTYPE Operation against a key holding the wrong kind of value")],
  ["NOSCRIPT for ever", "refused", error("NOSCRIPT No matching script. Please use EVAL.")],
  ["NOAUTH", "denied", error("NOAUTH Authentication required.")],
  ["NOPERM", "denied", error("NOPERM this user has no permissions to run the 'evalsha' command")],
  ["MISCONF", "refused", error("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.")],
  ["NOREPLICAS", "refused", error("NOREPLICAS Not enough good replicas to write.")],
  ["an error without a word", "refused", error("")],
  ["an integer", undefined, Buffer.from(":1\r\n")],
  ["nil", undefined, Buffer.from("$-1\r\n")],
  ["an empty array", undefined, Buffer.from("*0\r\n")],
  ["an array of integers", undefined, Buffer.from("*1\r\n:7\r\n")],
  ["a record that is too short", undefined, Buffer.from("*1\r\n$3\r\nabc\r\n")],
  ["a record of zeros", undefined, Buffer.from(`*1\r\n$9\r\n${"\0".repeat(9)}\r\n`)],
  ["another protocol", "lost", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
  ["RESP3", "lost", Buffer.from(">2\r\n$3\r\nfoo\r\n$3\r\nbar\r\n")],
  ["half a reply", "late", Buffer.from("*1\r\n$60\r\nabc")],
  ["a length beyond reason", undefined, Buffer.from("$99999999999999\r\n")],
  ["a count beyond reason", undefined, Buffer.from("*2000000000\r\n")],
  ["arrays in arrays", "lost", Buffer.from("*1\r\n".repeat(30))],
  ["a reply too many", undefined, Buffer.from("-ERR one\r\n-ERR two\r\n")],
  ["silence", "late", SILENCE],
  ["the end of the connection", "lost", END],
];
const greeting = new Set(["CLIENT", "AUTH", "SELECT", "PING", "ROLE"]);

for (const [name, kind, reply] of scripted)
  test(`scripted: ${name}`, options, () =>
    holds(name, kind, () => (between.fault = ([verb]) => (greeting.has(verb) ? undefined : reply)), () => (between.fault = undefined)));

test("scripted: a Redis that also refuses to be greeted", options, async () => {
  for (const text of ["LOADING Redis is loading the dataset in memory", "NOAUTH Authentication required.", "ERR max number of clients reached"]) {
    between.fault = () => END; // what is connected is lost
    await ask(`probe${users++}`);
    between.fault = undefined;
    await holds(text, undefined, () => {
      between.fault = ([verb]) => (verb === "EVALSHA" ? END : error(text));
    }, () => (between.fault = undefined));
  }
});

for (const [name, kind, reply, last] of [
  ["MOVED in a circle", "not_ready", () => error(`MOVED 1 127.0.0.1:${cluster.between.port}`)],
  ["ASK in a circle", "not_ready", () => error(`ASK 1 127.0.0.1:${cluster.between.port}`)],
  ["MOVED to where nobody is", undefined, () => error("MOVED 1 127.0.0.1:1")],
  ["MOVED that makes no sense", "not_ready", () => error("MOVED to the moon")],
  ["TRYAGAIN", "not_ready", () => error("TRYAGAIN Multiple keys request during rehashing of slot")],
  ["CLUSTERDOWN", "not_ready", () => error("CLUSTERDOWN Hash slot not served")],
  ["slots that are nobody's", "away", () => error("CLUSTERDOWN Hash slot not served"), 0],
  ["CROSSSLOT", "refused", () => error("CROSSSLOT Keys in request don't hash to the same slot")],
])
  test(`Cluster: ${name}`, options, async () => {
    ({ between, gate } = cluster);
    try {
      await holds(name, kind, async () => {
        between.fault = clustered(reply(), last);
        if (last === undefined) return;
        await ask(`probe${users++}`);
        await sleep(600); // the map is read again
      }, () => (between.fault = clustered()));
    } finally {
      ({ between, gate } = plain);
    }
  });

test("real: OOM", options, () => holds("OOM", "no_memory", () => cli("config", "set", "maxmemory", "1"), () => cli("config", "set", "maxmemory", "0")));

test("real: READONLY", options, () =>
  holds("READONLY", undefined, () => cli("replicaof", "127.0.0.1", "1"), () => cli("replicaof", "no", "one")));

test("real: stopped", options, () => holds("stopped", "late", () => redis.kill("SIGSTOP"), () => redis.kill("SIGCONT")));

test("real: BUSY with somebody's script", options, async () => {
  let busy;
  cli("config", "set", "busy-reply-threshold", "1");
  await holds("BUSY", undefined, async () => {
    busy = spawn("redis-cli", ["-s", socket, "eval", "while true do end", "0"], { stdio: "ignore" });
    await sleep(100);
  }, () => cli("script", "kill"));
  busy.kill();
});

test("real: paused, shorter than the deadline", options, async () => {
  const before = await metric("store_fallbacks_total");
  cli("client", "pause", "50", "all");
  assert.equal((await ask(`user${users++}`)).status, 200);
  assert.equal(await metric("store_fallbacks_total"), before);
});

test("real: the script is forgotten, many ask at once: each counted once, none by itself here", options, async () => {
  const before = await metric("store_fallbacks_total"), user = `user${users++}`;
  for (let round = 0; round < 3; round++) {
    cli("script", "flush");
    between.counts = {};
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(round === 0 ? user : `user${users++}`)));
    if (round === 0) assert.equal(answers.filter((one) => one.status === 200).length, PER_MINUTE);
    assert.ok((between.counts.EVAL ?? 0) >= 1 && between.counts.EVAL <= 8, JSON.stringify(between.counts));
  }
  assert.equal(await metric("store_fallbacks_total"), before);
});

test("real: something else lies under the key of a counter", options, async () => {
  const before = await metric("store_fallbacks_total"), user = `user${users++}`;
  cli("flushall");
  await ask(user);
  const key = cli("keys", "gw:limit:*").split("\n")[0];
  for (const words of [["rpush", key, "a", "b"], ["set", key, "no record of ours"], ["set", key, ""], ["hset", key, "a", "b"]]) {
    cli("del", key);
    cli(...words);
    const answer = await ask(user);
    assert.deepEqual([answer.status, answer.left], [200, String(PER_MINUTE - 1)], words[0]);
  }
  assert.equal(await metric("store_fallbacks_total"), before);
});

test("real: connections are killed, the data is flushed", options, async () => {
  const user = `user${users++}`;
  await ask(user);
  cli("client", "kill", "type", "normal");
  await isStores();
  assert.equal((await ask(user)).left, "2");
  cli("flushall");
  assert.equal((await ask(user)).left, String(PER_MINUTE - 1));
});
