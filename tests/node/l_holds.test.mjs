// l_holds.test.mjs - requests at a time (concurrent) are counted by all gateways together, in
// leases: given back when a request ends however it ends, kept while it lasts, and nobody's some
// seconds after a gateway was killed. Without the store each gateway goes on with its part.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { Agent, createServer, get } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, hasRedis, sleep, startGateway, startRedis, stop, stopAll } from "./programs.mjs";

const options = { skip: hasRedis ? false : "redis-server is not installed", timeout: 120000 };
const MOST = 4, agent = new Agent({ maxSockets: 500 });
let socket, redis, origin, gates, waiting = [], kinds = 0;

const cli = (...words) => execFileSync("redis-cli", ["-s", socket, ...words], { encoding: "utf8" }).trim();

function gateway(deadline = "2s") {
  return startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2, trusted_proxies: ["127.0.0.1/32"] }, admin: { listen: "127.0.0.1:0" },
    store: { url: `redis://${socket}` }, identity: { hash_secret: "theirs" }, limits: { deadline },
    tiers: { free: { per_minute: 1000, concurrent: MOST } },
    upstreams: { app: { targets: [`http://127.0.0.1:${origin.address().port}`] } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "app" },
      { name: "one", match: { path: "/one" }, upstream: "app", limit: { concurrent: 1, scope: "route" } },
      { name: "strict", match: { path: "/strict" }, upstream: "app", limit: { on_failure: "closed" } }],
    log: { access: "off" },
  });
}

/** Asks; resolves with the status when the head has come. `ends` when the body has. */
function ask(one, client, path = "/") {
  const asked = get(one.url + path, { agent, headers: { "x-forwarded-for": client } });
  const answer = new Promise((resolve, reject) => {
    asked.on("response", (got) => (got.resume(), resolve(got))).on("error", reject);
  });
  return { asked, answer, status: answer.then((got) => got.statusCode, () => 0) };
}
const client = () => `10.1.${kinds >> 8}.${kinds++ & 255}`;
async function until(what, check, ms = 20000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) if (await check()) return;
  assert.fail(`${what}: not within ${ms} ms`);
}
const arrived = (count) => until(`${count} at the origin`, () => waiting.length === count);
const endAll = () => waiting.splice(0).forEach((answer) => answer.end("done"));
/** Whether one more is admitted now; it ends at once. */
async function isRoom(one, who, path) {
  const { status } = ask(one, who, path + "?now");
  return (await status) === 200;
}
const metric = async (one, name) => {
  const text = await (await fetch(`${one.admin}/metrics`)).text();
  return text.split("\n").filter((line) => line.startsWith(`gateway_${name}`)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
};

before(async () => {
  if (!hasRedis) return;
  origin = createServer((request, answer) => {
    answer.writeHead(200, { "content-type": "text/plain" });
    if (request.url.includes("?now")) return void answer.end("now");
    answer.flushHeaders();
    waiting.push(answer);
    answer.on("close", () => (waiting = waiting.filter((one) => one !== answer)));
  }).listen(0, "127.0.0.1");
  await once(origin, "listening");
  socket = join(folder(), "redis.sock");
  ({ child: redis } = await startRedis(["--port", "0", "--unixsocket", socket]));
  gates = await Promise.all([gateway(), gateway()]);
  await until("they know each other", async () => {
    const before = await Promise.all(gates.map((one) => metric(one, "store_fallbacks_total")));
    for (const one of gates) for (let i = 0; i < 8; i++) await isRoom(one, client(), "/");
    const after = await Promise.all(gates.map((one) => metric(one, "store_fallbacks_total")));
    return String(before) === String(after);
  });
});
after(async () => {
  endAll();
  agent.destroy();
  origin?.close();
  await stopAll();
});

test("two gateways hold the limit together, exactly, and give back", options, async () => {
  const [a, b] = gates;
  for (let round = 0; round < 10; round++) {
    const who = client();
    const asked = Array.from({ length: 24 }, (_, i) => ask(gates[i % 2], who));
    const statuses = await Promise.all(asked.map((one) => one.status));
    assert.equal(statuses.filter((status) => status === 200).length, MOST, `round ${round}: ${statuses}`);
    assert.equal(statuses.filter((status) => status === 429).length, 24 - MOST);
    await arrived(MOST);
    assert.equal(await isRoom(a, who, "/"), false);
    waiting[0].end();
    await until("one place is free, at either", () => isRoom(round % 2 ? a : b, who, "/"));
    endAll();
  }
  await until("nothing is left", () => cli("keys", "gw:held:*") === "");
});

test("who is refused is told so, and charged nothing", options, async () => {
  const [a, b] = gates, who = client();
  const asked = Array.from({ length: MOST }, () => ask(a, who));
  await arrived(MOST);
  for (let i = 0; i < 3; i++) {
    const refused = await ask(b, who).answer;
    assert.equal(refused.statusCode, 429);
    assert.match(refused.headers.ratelimit, /"concurrent";r=0/);
    assert.ok(Number(refused.headers["retry-after"]) >= 1);
  }
  endAll();
  await Promise.all(asked.map((one) => one.answer));
  await until("room", () => isRoom(b, who, "/"));
  const left = Number((await ask(b, who, "/?now").answer).headers.ratelimit.match(/"minute";r=(\d+)/)[1]);
  assert.ok(left >= 1000 - MOST - 25 && left <= 1000 - MOST - 2, `${left} left`); // every refusal was given back
});

test("a limit of a route that all share, and a tier's, are granted together", options, async () => {
  const [a, b] = gates;
  const first = ask(a, client(), "/one");
  await arrived(1);
  const other = client();
  for (let i = 0; i < MOST + 2; i++) assert.equal(await isRoom(b, other, "/one"), false);
  assert.equal(await isRoom(b, other, "/"), true, "what was refused holds nothing of the tier's");
  first.asked.destroy();
  await until("a client that leaves gives back", () => isRoom(b, other, "/one"));
  endAll();
});

test("what lasts longer than a lease is still held, and so after the data was lost", options, async () => {
  const [a, b] = gates, who = client();
  const asked = Array.from({ length: MOST }, () => ask(a, who));
  await arrived(MOST);
  await sleep(7500);
  for (let i = 0; i < 5; i++) assert.equal(await isRoom(b, who, "/"), false);
  cli("flushall");
  await until("told anew", async () => !(await isRoom(b, who, "/")), 6000);
  for (let i = 0; i < 5; i++) assert.equal(await isRoom(b, who, "/"), false);
  const key = cli("keys", "gw:held:*").split("\n")[0];
  for (const words of [["set", key, "no record"], ["hset", key, "x", "y"]]) {
    cli("del", key);
    cli(...words);
    await until("mended", async () => !(await isRoom(b, who, "/")), 6000);
  }
  endAll();
  await Promise.all(asked.map((one) => one.answer));
  await until("room", () => isRoom(b, who, "/"));
});

test("a gateway that is killed holds nothing longer than its lease", options, async () => {
  const [, b] = gates, who = client(), doomed = await gateway();
  await until("it decides in the store", async () => {
    const before = await metric(doomed, "store_fallbacks_total");
    for (let i = 0; i < 6; i++) await isRoom(doomed, client(), "/");
    return (await metric(doomed, "store_fallbacks_total")) === before;
  });
  const asked = Array.from({ length: MOST }, () => ask(doomed, who));
  await arrived(MOST);
  assert.equal(await isRoom(b, who, "/"), false);
  doomed.child.kill("SIGKILL");
  await once(doomed.child, "exit");
  await Promise.all(asked.map((one) => one.status));
  const began = Date.now();
  assert.equal(await isRoom(b, who, "/"), false, "held for the moment");
  await until("its leases have ended", () => isRoom(b, who, "/"), 15000);
  assert.ok(Date.now() - began < 12000, `${Date.now() - began} ms`); // six seconds on an idle machine
  await arrived(0);
});

test("while the store is away each gateway has its part, or none; and when it is back all count again", options, async () => {
  const quick = await Promise.all([gateway("200ms"), gateway("200ms")]), [a, b] = quick, who = client();
  await sleep(2500); // they count each other: four gateways now
  const early = [ask(a, who), ask(a, who)];
  await arrived(2);
  redis.kill("SIGSTOP");
  const began = performance.now();
  assert.equal(await isRoom(b, who, "/"), true, "its part of four, among four");
  assert.ok(performance.now() - began < 5000);
  const late = [ask(b, who)];
  await arrived(3);
  assert.equal(await isRoom(b, who, "/"), false);
  assert.equal(await ask(b, client(), "/strict?now").status, 503);
  redis.kill("SIGCONT");
  await until("one more is room for one", async () => {
    const held = ask(a, who);
    if ((await held.status) !== 200) return false;
    const isFull = !(await isRoom(b, who, "/")) && !(await isRoom(a, who, "/"));
    held.asked.destroy();
    await sleep(50);
    return isFull;
  });
  endAll();
  await Promise.all([...early, ...late].map((one) => one.status));
  await until("nothing is left", () => cli("keys", "gw:held:*") === "", 15000);
  await Promise.all(quick.map((one) => stop(one.child)));
});
