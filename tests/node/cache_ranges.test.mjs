// cache_ranges.test.mjs - large parts: put together from ranges in any order, or completed while they are sent,
// they are the same bytes as the origin's.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import http from "node:http";
import { after, before, test } from "node:test";
import { startGateway, stop } from "./programs.mjs";

const whole = randomBytes(1_000_003);
let upstream, gateway, seen = [];

before(async () => {
  upstream = http.createServer((request, response) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const first = range ? Number(range[1]) : 0, last = range && range[2] ? Number(range[2]) : whole.length - 1;
    const headers = { "Cache-Control": "max-age=60", ETag: '"v1"', "Content-Length": last - first + 1 };
    seen.push(request.headers.range);
    if (range) headers["Content-Range"] = `bytes ${first}-${last}/${whole.length}`;
    response.writeHead(range ? 206 : 200, headers).end(whole.subarray(first, last + 1));
  });
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { app: { targets: [`http://127.0.0.1:${upstream.address().port}`] } },
    routes: [{ match: { path: "/*" }, upstream: "app", cache: {} }],
    log: { access: "off" },
  });
});
after(async () => {
  assert.equal(await stop(gateway.child), 0);
  upstream.closeAllConnections();
  upstream.close();
});

async function get(path, range) {
  const answer = await fetch(gateway.url + path, { headers: range ? { Range: `bytes=${range}` } : {} });
  return { status: answer.status, cache: answer.headers.get("x-cache-status"), body: Buffer.from(await answer.arrayBuffer()) };
}

test("from four ranges in no order", async () => {
  for (const [first, last] of [[250_000, 499_999], [500_000, 800_000], [700_000, 1_000_002], [0, 250_100]]) {
    const part = await get("/parts", `${first}-${last}`);
    assert.equal(part.status, 206);
    assert.ok(part.body.equals(whole.subarray(first, last + 1)));
  }
  const asked = seen.length, all = await get("/parts");
  assert.deepEqual([all.status, all.cache, seen.length], [200, "HIT", asked]);
  assert.ok(all.body.equals(whole));
});

test("completed on the way", async () => {
  await get("/rest", "0-299999");
  const all = await get("/rest");
  assert.equal(seen.at(-1), "bytes=300000-");
  assert.deepEqual([all.status, all.cache], [200, "MISS"]);
  assert.ok(all.body.equals(whole));
  const again = await get("/rest");
  assert.equal(again.cache, "HIT");
  assert.ok(again.body.equals(whole));
});

test("a crowd that wants the whole shares the completion", async () => {
  await get("/crowd", "0-99999");
  const asked = seen.length, all = await Promise.all(Array.from({ length: 50 }, () => get("/crowd")));
  assert.ok(all.every((answer) => answer.status === 200 && answer.body.equals(whole)));
  assert.equal(seen.length, asked + 1);
});
