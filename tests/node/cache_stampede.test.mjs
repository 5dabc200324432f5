// cache_stampede.test.mjs - a thousand clients want what nobody has: one upstream fetch, whoever asks and on
// whichever worker; and one refresh, when what they want is stale and may be served.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { sleep, startGateway, stop } from "./programs.mjs";

const CROWD = 1000;
let upstream, gateway, fetched = [], held = [];
const agent = new http.Agent({ keepAlive: false, maxSockets: Infinity });

const get = (path) => new Promise((resolve, reject) => {
  const request = http.get(`${gateway.url}${path}`, { agent }, (response) => {
    let body = "";
    response.setEncoding("utf8");
    response.on("data", (text) => (body += text));
    response.on("end", () => resolve({ status: response.statusCode, cache: response.headers["x-cache-status"], body }));
    response.on("error", reject);
  });
  request.on("error", reject);
});
const metric = async (name) =>
  Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, "m").exec(await (await fetch(`${gateway.admin}/metrics`)).text())?.[1]);
async function until(claim, what) {
  for (let i = 0; i < 1000; i++) {
    if (await claim()) return;
    await sleep(20);
  }
  assert.fail(what);
}
const count = (answers, status) => answers.filter((answer) => answer.cache === status).length;

before(async () => {
  upstream = http.createServer((request, response) => {
    fetched.push(request.url);
    held.push(response);
  });
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { app: { targets: [`http://127.0.0.1:${upstream.address().port}`], first_byte_timeout: "60s", retry: { attempts: 0 } } },
    routes: [{ match: { path: "/*" }, upstream: "app", cache: {} }],
    log: { access: "off" },
  });
});
after(async () => {
  agent.destroy();
  assert.equal(await stop(gateway.child), 0);
  upstream.closeAllConnections();
  upstream.close();
});

test("a thousand clients and a cold key: one fetch", async () => {
  const answers = Array.from({ length: CROWD }, () => get("/cold"));
  await until(async () => held.length > 0 && (await metric("gateway_requests_in_flight")) === CROWD, "they did not all wait");
  held.pop().writeHead(200, { "Cache-Control": "max-age=60" }).end("x".repeat(20000));
  const got = await Promise.all(answers);
  assert.deepEqual(fetched, ["/cold"]);
  assert.ok(got.every((answer) => answer.status === 200 && answer.body.length === 20000));
  assert.equal(count(got, "MISS"), CROWD);
  assert.equal(await metric("gateway_cache_collapsed_total"), CROWD - 1);
  assert.equal((await get("/cold")).cache, "HIT");
});

test("a thousand clients and a stale entry within stale-while-revalidate: one refresh, and nobody waits", async () => {
  fetched = [];
  const first = get("/stale");
  await until(() => held.length > 0, "it was not fetched");
  held.pop().writeHead(200, { "Cache-Control": "max-age=10, stale-while-revalidate=600", Age: "10" }).end("old");
  assert.equal((await first).cache, "MISS");
  const got = await Promise.all(Array.from({ length: CROWD }, () => get("/stale")));
  assert.ok(got.every((answer) => answer.status === 200 && answer.body === "old"));
  assert.deepEqual([count(got, "STALE"), count(got, "UPDATING")], [1, CROWD - 1]);
  await until(() => held.length > 0, "nobody refreshed it");
  assert.deepEqual(fetched, ["/stale", "/stale"]);
  held.pop().writeHead(200, { "Cache-Control": "max-age=60" }).end("new");
  await until(async () => (await get("/stale")).body === "new", "the refresh was not stored");
  assert.equal(fetched.length, 2);
  await until(async () => (await metric("gateway_cache_refreshes_total")) === 1, "the refresh was not counted");
});
