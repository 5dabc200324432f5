// l_obeys.test.mjs - clients that do what the headers say are never refused when they did not expect
// it: one paces itself by RateLimit alone and never sees a 429; one knows Retry-After alone and is
// served by its next request each time. Every kind of window, alone and together, with counters
// in memory and in a Redis that two gateways share.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, hasRedis, sleep, startGateway, startOrigin, startRedis, stopAll } from "./programs.mjs";

const options = { timeout: 120000 };
const WHILE = 7000; // ms that a client goes on
const windows = (...list) => ({ windows: list });
const tiers = {
  bucket: { per_second: 3, burst: 5 },
  sliding: windows({ name: "two", limit: 5, per: "2s", kind: "sliding" }),
  fixed: windows({ name: "two", limit: 5, per: "2s", kind: "fixed" }),
  strict: windows({ name: "two", limit: 6, per: "2s", kind: "strict" }),
  "bucket of one": windows({ name: "one", limit: 1, per: "1s", kind: "bucket" }),
  together: { per_second: 4, burst: 6, concurrent: 2, windows: [{ name: "two", limit: 7, per: "2s", kind: "sliding" }, { name: "three", limit: 9, per: "3s", kind: "strict" }, { name: "four", limit: 15, per: "4s", kind: "fixed" }] },
  "odd length": windows({ name: "odd", limit: 4, per: "1500ms", kind: "sliding" }),
  month: { per_month: 3 },
};
let socket, origin;

before(async () => {
  origin = await startOrigin();
  if (!hasRedis) return;
  socket = join(folder(), "redis");
  await startRedis(["--port", "0", "--unixsocket", socket]);
});
after(stopAll);

const nameOf = (tier, sort) => `${tier.replaceAll(" ", "-")}.${sort}`;
const keyOf = (tier, sort) => `key of ${nameOf(tier, sort)}`;

function gateway(store, limits = {}) {
  const keys = {};
  for (const tier of Object.keys(tiers))
    for (const sort of ["paced", "told", "routed"]) keys[createHash("sha256").update(keyOf(tier, sort)).digest("hex")] = { id: nameOf(tier, sort), tier };
  return startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2 }, admin: { listen: "127.0.0.1:0" },
    store: { url: store }, identity: { hash_secret: "one for all", api_key: { keys } },
    limits: { deadline: "2s", default_tier: "fixed", ...limits }, tiers,
    upstreams: { app: { targets: [origin] } },
    routes: [
      { name: "all", match: { path: "/*" }, upstream: "app" },
      { name: "own", match: { path: "/own/*" }, upstream: "app", strip_prefix: "/own", limit: windows({ name: "route", limit: 4, per: "3s", kind: "sliding" }) },
    ],
    log: { access: "off" },
  });
}

/** A structured-field list of strings with parameters; fails on what is none. */
function listOf(text) {
  const members = [];
  for (let rest = text; rest.length > 0; ) {
    const member = /^"((?:[^"\\\x00-\x1f\x7f-\uffff]|\\["\\])*)"((?:;[a-z][a-z0-9_.*-]*=(?:\d{1,15}|"[^"\\]*"))*)(?:, (?=")|$)/.exec(rest);
    assert.ok(member, `no list: ${text}`);
    const parameters = Object.fromEntries([...member[2].matchAll(/;([^=]+)=(\d+|"[^"]*")/g)].map(([, name, value]) => [name, value.startsWith('"') ? value.slice(1, -1) : Number(value)]));
    members.push({ name: member[1].replace(/\\(.)/g, "$1"), ...parameters });
    rest = rest.slice(member[0].length);
  }
  return members;
}

async function send(gateways, turn, key, path) {
  const answer = await fetch(`${gateways[turn % gateways.length].url}${path}`, { headers: { "x-api-key": key } });
  const body = await answer.text();
  const get = (name) => answer.headers.get(name);
  const policy = listOf(get("ratelimit-policy")), left = listOf(get("ratelimit"));
  assert.deepEqual(left.map(({ name }) => name), policy.map(({ name }) => name));
  for (const window of policy) assert.ok(window.q > 0 && (window.w > 0 || window.qu === "concurrent-requests"), get("ratelimit-policy"));
  return { status: answer.status, body, policy, left, retry: Number(get("retry-after")), date: Date.parse(get("date")) / 1000, reset: Number(get("x-ratelimit-reset")), limit: Number(get("x-ratelimit-limit")), remaining: Number(get("x-ratelimit-remaining")) };
}

/** Sends while every window has something left, else waits as long as the one that asks for most. */
async function paced(gateways, tier, sort = "paced", path = "/echo") {
  const end = Date.now() + WHILE;
  let served = 0;
  for (let turn = 0; Date.now() < end; turn++) {
    const { status, left, body, policy } = await send(gateways, turn, keyOf(tier, sort), path);
    assert.equal(status, 200, `${tier}, paced: ${body}`);
    assert.equal(policy.length, (tiers[tier].windows?.length ?? 0) + (tiers[tier].per_second ? 1 : 0) + (tiers[tier].per_month ? 1 : 0) + (tiers[tier].concurrent ? 1 : 0) + (path === "/echo" ? 0 : 1));
    served++;
    const wait = Math.max(0, ...left.filter(({ r }) => r === 0).map(({ t }) => t ?? 0));
    if (wait > 60) break; // a month
    await sleep(wait * 1000);
  }
  return served;
}

/** Sends without a pause until it is refused, waits Retry-After, and must be served then. */
async function told(gateways, tier, jitter) {
  const end = Date.now() + WHILE;
  let served = 0, refused = 0, must = false;
  for (let turn = 0; Date.now() < end; turn++) {
    const answer = await send(gateways, turn, keyOf(tier, "told"), "/echo");
    if (answer.status === 200) {
      served++;
      must = false;
      continue;
    }
    assert.equal(answer.status, 429);
    assert.ok(!must, `${tier}: refused again after Retry-After: ${answer.body}`);
    refused++;
    const body = JSON.parse(answer.body);
    assert.ok(Number.isInteger(answer.retry) && answer.retry >= 1);
    assert.deepEqual([body.error, body.status, body.retry_after, body.limit, body.tier], ["Rate limit exceeded", 429, answer.retry, answer.limit, tier]);
    assert.ok(typeof body.message === "string" && typeof body.period === "string" && typeof body.request_id === "string");
    assert.equal(answer.remaining, 0);
    for (const moment of [body.reset_time, answer.reset]) assert.ok(Math.abs(moment - answer.date - answer.retry) <= 1, `${moment} ${answer.date} ${answer.retry}`);
    const longest = Math.max(...answer.left.filter(({ r }) => r === 0).map(({ t }) => t ?? 0));
    assert.ok(answer.retry >= longest || longest > 60, `${tier}: t=${longest}, Retry-After ${answer.retry}`);
    if (answer.retry > 60) break;
    assert.ok(answer.retry <= Math.ceil((longest + 1) * (1 + jitter)), `${answer.retry} of ${longest}`);
    must = true;
    await sleep(answer.retry * 1000);
  }
  return { served, refused };
}

async function everybody(gateways, jitter = 0) {
  const kinds = Object.keys(tiers), lines = [];
  await Promise.all([
    ...kinds.map(async (tier) => {
      const served = await paced(gateways, tier);
      lines.push(`${tier}: ${served} paced`);
      assert.ok(served >= 3, `${tier}: only ${served} were served`);
    }),
    ...kinds.map(async (tier) => {
      const { served, refused } = await told(gateways, tier, jitter);
      assert.ok(served >= 3 && refused >= 1, `${tier}: ${served} served, ${refused} refused`);
    }),
    ...["bucket", "together"].map((tier) => paced(gateways, tier, "routed", "/own/echo")),
  ]);
  console.log(lines.sort().join(", "));
}

test("counters in memory", options, async () => everybody([await gateway("memory:")]));

test("counters in memory, Retry-After with jitter", options, async () => everybody([await gateway("memory:", { retry_jitter: 0.3 })], 0.3));

test("counters in a Redis of two gateways", { ...options, skip: hasRedis ? false : "redis-server is not installed" }, async () => {
  const gateways = await Promise.all([gateway(`redis://${socket}`), gateway(`redis://${socket}`)]);
  for (const one of gateways) { // each worker's own way to the store
    const without = async () => /^gateway_store_fallbacks_total (\d+)/m.exec(await (await fetch(`${one.admin}/metrics`)).text())?.[1];
    for (let seen; seen === undefined || seen !== (await without()); ) {
      seen = await without();
      await Promise.all(Array.from({ length: 16 }, () => fetch(`${one.url}/echo`).then((answer) => answer.text())));
    }
  }
  await everybody(gateways);
});
