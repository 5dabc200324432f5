// advice.test.mjs - a backend whose pages change at a rate that is known: what GET /system/cache/advice finds.
// Estimates are made of what refetches showed, so there are many pages, each refetched about once a second.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { sleep, startGateway, startOrigin, stopAll } from "./programs.mjs";

const PAGES = 150, ROUNDS = 8, EVERY_MS = 1500;
const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });
let gateway;

const get = (path) => new Promise((resolve, reject) => {
  http.get(`${gateway.url}${path}`, { agent }, (response) => {
    response.resume();
    response.on("end", () => resolve(response.headers["x-cache-status"]));
  }).on("error", reject);
});
const advice = async (query = "") => (await fetch(`${gateway.admin}/system/cache/advice${query}`)).json();

before(async () => {
  const origin = await startOrigin();
  const route = (name, cache) => ({ name, match: { path: `/changing/${name}/*` }, upstream: "app", cache });
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { app: { targets: [origin] } },
    routes: [route("bodies", { ttl: "1s" }), route("tags", { ttl: "1s" }), route("still", { ttl: "1h" }), { match: { path: "/*" }, upstream: "app" }],
    log: { access: "off" },
  });
});
after(async () => {
  agent.destroy();
  await stopAll();
});

test("before anything was refetched, nothing is recommended", async () => {
  await get("/changing/still/1");
  const { routes } = await advice();
  assert.deepEqual(Object.keys(routes), ["bodies", "tags", "still"]);
  assert.equal(routes.still.recommended_ttl, null);
  assert.equal(routes.still.confidence, "none");
  assert.equal(routes.still.action, "wait");
  assert.equal(routes.still.current_ttl, 3600);
  assert.match(routes.still.why, /20 are needed/);
});

test("the change interval that is found is within a fifth of the true one, by bodies and by ETags", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const began = Date.now();
    await Promise.all(Array.from({ length: PAGES }, (_, page) => [
      get(`/changing/bodies/${page}?every=${EVERY_MS}`), get(`/changing/tags/${page}?every=${EVERY_MS}&etag=1`),
    ]).flat());
    await sleep(Math.max(0, 1300 - (Date.now() - began)));
  }
  const { routes } = await advice();
  for (const name of ["bodies", "tags"]) {
    const route = routes[name];
    assert.ok(route.refetches > 3 * PAGES, `${name}: ${route.refetches} refetches`);
    const found = route.change_interval * 1000;
    assert.ok(Math.abs(found - EVERY_MS) < 0.2 * EVERY_MS, `${name}: ${found} ms of ${route.n} refetches, want ${EVERY_MS}`);
    assert.equal(route.change_interval_is, "estimate");
    assert.equal(route.confidence, "good");
    assert.equal(route.current_ttl, 1);
  }
});

test("more may be stale: a longer lifetime, with what it gains and what it risks", async () => {
  await Promise.all(Array.from({ length: 3 * PAGES }, (_, i) => get(`/changing/bodies/${i % PAGES}?every=${EVERY_MS}`)));
  const strict = (await advice("?stale=0.01")).routes.bodies, lax = (await advice("?stale=0.8")).routes.bodies;
  assert.equal(strict.recommended_ttl, 1);
  assert.ok(lax.recommended_ttl > strict.recommended_ttl);
  assert.ok(lax.hits_gained > 0 && lax.predicted.hit_ratio > lax.current.hit_ratio);
  assert.ok(lax.staleness_risked > strict.staleness_risked && lax.staleness_risked < 0.81);
  assert.match(lax.why, /^Content changes about every 1\.\d seconds; .*\.$/);
  assert.ok(lax.reuse_interval.n > 0 && lax.age_at_hit.n > 0 && lax.fetch_time > 0 && lax.body_bytes > 0);
});

test("the score has four parts, and the targets say whether they are met", async () => {
  const told = await advice();
  const parts = Object.values(told.efficiency);
  assert.deepEqual(Object.keys(told.efficiency), ["hits", "evictions", "staleness", "use"]);
  assert.equal(parts.reduce((sum, part) => sum + part.most, 0), 100);
  assert.ok(Math.abs(parts.reduce((sum, part) => sum + part.points, 0) - told.efficiency_score) < 0.1);
  assert.equal(told.eviction_rate, 0);
  assert.equal(told.targets.eviction_rate.met, true);
  assert.equal(told.targets.hit_ratio.met, told.hit_ratio > 0.8);
  assert.equal(told.applied, false);
});

test("a share that is none is refused", async () => {
  for (const stale of ["", "2", "x", "-1", "0"]) {
    const answer = await fetch(`${gateway.admin}/system/cache/advice?stale=${stale}`);
    assert.equal(answer.status, 400, stale);
    assert.match((await answer.json()).message, /stale/);
  }
  assert.equal((await fetch(`${gateway.admin}/api/v1/system/cache/advice`)).status, 200);
});
