// l_bounds.test.mjs - what four gateways admit at most, all at once, when their Redis is not always in time:
//
// - with a deadline that some decisions miss (5 ms, and 1 ms, which most miss under load): those are decided
//   by each gateway alone, from its share of what it last saw. All shares together are one limit at most, and
//   Redis never grants more than one: at most twice the limit, in any round.
// - with a Redis that is killed under load and comes back empty: what it granted, and what the shares that were
//   left had, are one limit together, but for requests under way at the end, which the shares did not see; the new
//   Redis grants one more limit, less what was admitted meanwhile. So at most twice the limit and those under
//   way; where decisions were late before the end too, three times, whatever happens.
//
// Nobody ever gets another answer than the origin's or 429.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, hasRedis, sleep, startGateway, startOrigin, startRedis, stop, stopAll } from "./programs.mjs";

const GATEWAYS = 4, EACH = 300, LIMIT = 100, CALLERS = 8, UNDER_WAY = GATEWAYS * CALLERS;
const ROUNDS = Number(process.env.LIMIT_ROUNDS ?? 5);
const options = { skip: hasRedis ? false : "redis-server is not installed", timeout: 300000 };
const agents = [];
let socket, redis, origin;

async function startOwn() {
  ({ child: redis } = await startRedis(["--port", "0", "--unixsocket", socket]));
}

function gateway(prefix, deadline) {
  return startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 1, max_connections: 2000 }, admin: { listen: "127.0.0.1:0" },
    store: { url: `redis://${socket}`, prefix }, identity: { hash_secret: "one for all" },
    tiers: { free: { per_hour: LIMIT } }, limits: { deadline },
    upstreams: { app: { targets: [origin] } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }],
    log: { access: "off" },
  });
}

function ask(one) {
  one.agent ??= agents[agents.push(new Agent({ keepAlive: true, maxSockets: 60 })) - 1];
  return new Promise((resolve, reject) => {
    get(`${one.url}/echo`, { agent: one.agent }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode));
    }).on("error", reject);
  });
}

async function metric(one, name) {
  const text = await (await fetch(`${one.admin}/metrics`)).text();
  return text.split("\n").filter((line) => line.startsWith(`gateway_${name}`)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const forget = (one) => fetch(`${one.admin}/system/rate-limit/client/ip:127.0.0.1`, { method: "DELETE" });
const sum = (list) => list.reduce((a, b) => a + b, 0);
const fallbacks = async (gateways) => sum(await Promise.all(gateways.map((one) => metric(one, "store_fallbacks_total"))));

/** Until each has had an answer of the store, and they have counted each other. */
async function together(gateways) {
  for (const one of gateways) {
    for (let tries = 0; (await metric(one, 'store_commands_total{outcome="ok"}')) === 0; tries++) {
      assert.ok(tries < 400, "a gateway does not reach the store");
      await ask(one);
      await sleep(50);
    }
  }
  await sleep(4000);
}

async function begin(prefix, deadline) {
  const gateways = await Promise.all(Array.from({ length: GATEWAYS }, () => gateway(prefix, deadline)));
  await together(gateways);
  for (const one of gateways) await forget(one); // here and in each mirror
  await sleep(400); // a refusal may be remembered for a quarter of a second
  return gateways;
}

const end = (gateways) => Promise.all(gateways.map((one) => stop(one.child)));

function judge(statuses) {
  const others = statuses.filter((status) => status !== 200 && status !== 429);
  assert.deepEqual([...new Set(others)], [], "answers of the origin, and 429");
  return statuses.length - statuses.filter((status) => status === 429).length;
}

before(async () => {
  if (!hasRedis) return;
  socket = join(folder(), "redis.sock");
  await startOwn();
  origin = await startOrigin();
});
after(async () => {
  for (const agent of agents) agent.destroy();
  await stopAll();
});

for (const deadline of ["5ms", "1ms"]) {
  test(`four gateways at once, with a deadline of ${deadline}, admit at most twice the limit`, options, async (t) => {
    const gateways = await begin(`late${deadline}:`, deadline);
    for (let round = 0; round < ROUNDS; round++) {
      for (const one of gateways) await forget(one);
      await sleep(400);
      const known = await fallbacks(gateways);
      const admitted = judge(await Promise.all(gateways.flatMap((one) => Array.from({ length: EACH }, () => ask(one)))));
      t.diagnostic(`round ${round}: ${admitted} of ${LIMIT}, ${(await fallbacks(gateways)) - known} of ${GATEWAYS * EACH} decided without the store`);
      assert.ok(admitted <= 2 * LIMIT, `round ${round}: ${admitted} admitted`);
      assert.ok(admitted >= LIMIT / 2, `round ${round}: ${admitted} admitted`);
      await sleep(600); // breakers close again
    }
    await end(gateways);
  });
}

test("four gateways whose Redis is killed under load, and comes back empty", options, async (t) => {
  for (let round = 0; round < 3; round++) {
    const gateways = await begin(`killed${round}:`, "5ms");
    let goesOn = true, phase = 0;
    const statuses = [[], [], []];
    const load = Promise.all(gateways.flatMap((one) => Array.from({ length: CALLERS }, async () => {
      while (goesOn) {
        const at = phase;
        statuses[at].push(await ask(one));
        await sleep(10);
      }
    })));
    await sleep(20 + 20 * round); // the limit is about half used, then more
    const late = await fallbacks(gateways);
    phase = 1;
    const gone = once(redis, "exit");
    redis.kill("SIGKILL");
    await gone;
    await sleep(1500);
    phase = 2;
    await startOwn();
    await sleep(4000);
    goesOn = false;
    await load;
    const admitted = statuses.map(judge), without = await fallbacks(gateways);
    t.diagnostic(`round ${round}: ${admitted} of ${LIMIT} before, while it was away, and after; ${without - late} decided without the store, ${late} before`);
    assert.ok(sum(admitted) <= 3 * LIMIT, `${admitted}`);
    if (late === 0) { // the usual case
      assert.ok(admitted[0] <= LIMIT + UNDER_WAY, `${admitted[0]} before`);
      assert.ok(admitted[0] + admitted[1] <= LIMIT + UNDER_WAY, `${admitted[0]} and ${admitted[1]} while it was away`);
      assert.ok(sum(admitted) <= 2 * LIMIT + UNDER_WAY, `${admitted}`);
    }
    assert.ok(without > 0);
    await end(gateways);
  }
});
