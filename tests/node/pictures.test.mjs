// pictures.test.mjs - POSTs with pictures, answered by what they show: the same bytes, or a picture like it. The pictures
// are made by tests/unit/image/pictures.py: scenes as JPEG, PNG and WebP, smaller, edited; blank ones; bombs.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, root, startGateway, stop, stopAll } from "./programs.mjs";

const has = spawnSync("/usr/bin/python3", ["-c", "import PIL, numpy"]).status === 0;
const skip = has ? false : "Python has no PIL";
const types = { jpg: "image/jpeg", png: "image/png", webp: "image/webp" };
const keys = { // of alice and bob
  "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90": { id: "alice" },
  "81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9": { id: "bob" },
};
let upstream, gateway, dir, calls = 0, told = {};

const picture = (name) => readFileSync(join(dir, name));
const route = (path, cache = {}) => ({
  name: path.slice(1), match: { path }, upstream: "app",
  cache: { methods: ["POST"], key: { image: "phash", distance: 10 }, ...cache },
});
const paths = ["form", "blank", "broken", "many", "crowd", "bombs", "vary", "answers", "url", "pattern", "all", "write", "gone"];

before(async () => {
  if (!has) return;
  dir = folder();
  assert.equal(spawnSync("/usr/bin/python3", [`${root}tests/unit/image/pictures.py`, dir], { stdio: "ignore" }).status, 0);
  upstream = http.createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      calls++;
      for (const [name, value] of Object.entries(told)) response.setHeader(name, value);
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify({ call: calls, bytes: Buffer.concat(chunks).length }));
    });
  });
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { app: { targets: [`http://127.0.0.1:${upstream.address().port}`] } },
    identity: { api_key: { keys } },
    routes: [
      route("/plain", { price_per_call: 0.02 }), route("/shadow", { shadow: true, price_per_call: 0.5 }), route("/own", { per_user: true }),
      route("/tagged", { tags: ["pictures"] }), route("/narrow", { key: { image: "phash", distance: 0 } }),
      { ...route("/write"), invalidates: ["/gone"] }, ...paths.filter((path) => path !== "write").map((path) => route(`/${path}`)),
    ],
    log: { access: "off" },
  });
});
after(async () => {
  upstream?.closeAllConnections();
  upstream?.close();
  await stopAll();
});

async function send(path, body, headers = {}) {
  const answer = await fetch(gateway.url + path, { method: "POST", body, headers });
  assert.equal(answer.status, 200);
  const { call, bytes } = await answer.json();
  return {
    call, bytes, cache: answer.headers.get("x-cache-status"), match: answer.headers.get("x-cache-match"),
    status: answer.headers.get("cache-status"),
  };
}
const post = (path, name, headers = {}) =>
  send(path, picture(name), { "Content-Type": types[name.split(".")[1]], ...headers });

async function metric(line) {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  return Number(text.split("\n").find((row) => row.startsWith(line + " "))?.split(" ")[1] ?? 0);
}
async function purge(how) {
  return (await (await fetch(`${gateway.admin}/system/cache/invalidate?${how}`, { method: "POST" })).json()).deleted;
}

test("the same bytes; the same picture in another file; different pictures", { skip }, async () => {
  const scenes = Array.from({ length: 10 }, (_, i) => 2 * i - i % 2); // those that are larger than thumbnails
  let near = 0, asked = calls;
  for (const i of scenes) {
    const first = await post("/plain", `${i}.jpg`);
    assert.deepEqual([first.cache, first.match, first.bytes], ["MISS", null, picture(`${i}.jpg`).length], `${i}`);
    const again = await post("/plain", `${i}.jpg`);
    assert.deepEqual([again.cache, again.match, again.call], ["HIT", "exact", first.call]);
    for (const other of ["-low.jpg", ".png", ".webp", "-exact.webp", "-alpha.png", "-half.jpg", "-edited.jpg"]) {
      const like = await post("/plain", `${i}${other}`);
      assert.equal(like.cache, "HIT", `${i}${other}`);
      assert.match(like.match, /^near; distance=([0-9]|10)$/);
      assert.match(like.status, /hit; .*detail=near/);
      assert.equal(like.call, first.call);
      near++;
    }
  }
  assert.equal(calls - asked, scenes.length);
  assert.equal(await metric('gateway_cache_calls_saved_total{route="plain",match="exact"}'), scenes.length);
  assert.equal(await metric('gateway_cache_calls_saved_total{route="plain",match="near"}'), near);
  assert.equal(await metric('gateway_cache_money_saved_total{route="plain"}'), 0.02 * (near + scenes.length));
  assert.equal(await metric("gateway_cache_pictures"), scenes.length);
  const advice = await (await fetch(`${gateway.admin}/system/cache/advice`)).json();
  assert.deepEqual(advice.routes.plain.saved, { calls: near + scenes.length, exact: scenes.length, near, money: 1.6 });
});

test("a distance of 0 takes the same hash alone", { skip }, async () => {
  await post("/narrow", "0.png");
  assert.equal((await post("/narrow", "0-alpha.png")).match, "near; distance=0");
  assert.equal((await post("/narrow", "0-low.jpg")).cache, "MISS");
});

test("an answer that names no lifetime is kept for seven days", { skip }, async () => {
  const entries = await (await fetch(`${gateway.admin}/system/cache/entries?pattern=/plain`)).json();
  assert.ok(entries.items.length > 0);
  for (const { ttl, age } of entries.items) assert.equal(ttl + age, 7 * 24 * 3600);
});

test("one part of a form; its other fields belong to the key", { skip }, async () => {
  const form = (name, language, field = "image") => {
    const data = new FormData();
    data.append("language", language);
    data.append(field, new Blob([picture(name)], { type: "image/jpeg" }), `${Math.random()}.jpg`);
    return send("/form", data);
  };
  const first = await form("0.jpg", "en");
  assert.equal(first.cache, "MISS");
  assert.equal((await form("0.jpg", "en")).match, "exact", "another boundary, another file name");
  const near = await form("0-low.jpg", "en");
  assert.match(near.match, /^near; /);
  assert.equal(near.call, first.call);
  assert.equal((await form("0.jpg", "de")).cache, "MISS");
  assert.equal((await form("0-low.jpg", "en", "mask")).cache, "MISS");
  assert.equal((await post("/form", "0-low.jpg")).cache, "MISS");
});

test("a form with two pictures goes by its bytes", { skip }, async () => {
  const part = (name) => Buffer.concat([
    Buffer.from(`--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n`), picture(name), Buffer.from("\r\n")]);
  const two = (one, other) =>
    send("/form", Buffer.concat([part(one), part(other), Buffer.from("--b--\r\n")]), { "Content-Type": "multipart/form-data; boundary=b" });
  await two("0.jpg", "1.jpg");
  assert.equal((await two("0.jpg", "1.jpg")).match, "exact");
  assert.equal((await two("0-low.jpg", "1.jpg")).cache, "MISS");
});

test("nothing is kept for a blank picture", { skip }, async () => {
  for (const name of ["white.png", "silver.png", "white.jpg", "white.png"]) {
    const answer = await post("/blank", name);
    assert.deepEqual([answer.cache, answer.match], ["BYPASS", null], name);
    assert.match(answer.status, /detail=blank/);
  }
  assert.ok(await metric('gateway_image_hashes_total{result="blank"}') >= 3);
});

test("what is broken, or no picture, goes by its bytes", { skip }, async () => {
  const cut = picture("0.jpg").subarray(0, 2000);
  const all = [];
  for (const body of [cut, cut, "hello", "hello"]) all.push(await send("/broken", body));
  assert.deepEqual(all.map((call) => call.match), [null, "exact", null, "exact"]);
});

test("bombs cost what the bounds say, and are answered", { skip }, async () => {
  for (const name of ["scans.jpg", "giant.png", "interlaced.png", "text.png", "large.webp"]) {
    assert.equal((await post("/bombs", name)).cache, "MISS", name);
    assert.equal((await post("/bombs", name)).match, "exact", name);
  }
  assert.ok(await metric('gateway_image_hashes_total{result="too_big"}') >= 1);
});

test("shadow only tells", { skip }, async () => {
  const first = await post("/shadow", "0.jpg"), again = await post("/shadow", "0.jpg");
  assert.deepEqual([again.cache, again.match], ["MISS", "exact; shadow"]);
  assert.notEqual(again.call, first.call);
  const near = await post("/shadow", "0-low.jpg");
  assert.match(near.match, /^near; distance=\d+; shadow$/);
  assert.ok(near.call > again.call);
  assert.equal((await post("/shadow", "1.jpg")).match, null);
  assert.equal(await metric('gateway_cache_shadow_matches_total{route="shadow",match="exact"}'), 1);
  assert.equal(await metric('gateway_cache_shadow_matches_total{route="shadow",match="near"}'), 1);
  assert.equal(await metric('gateway_cache_calls_saved_total{route="shadow",match="near"}'), 0);
  const advice = await (await fetch(`${gateway.admin}/system/cache/advice`)).json();
  assert.deepEqual(advice.routes.shadow.would_have_saved, { calls: 2, exact: 1, near: 1, money: 1 });
});

test("near within a caller's own entries alone", { skip }, async () => {
  assert.equal((await post("/own", "0.jpg", { "X-API-Key": "alice" })).cache, "MISS");
  assert.match((await post("/own", "0-low.jpg", { "X-API-Key": "alice" })).match, /^near/);
  assert.equal((await post("/own", "0-low.jpg", { "X-API-Key": "bob" })).cache, "MISS");
  assert.equal((await post("/own", "0.jpg")).cache, "BYPASS");
});

test("what may not be shared is near to nobody", { skip }, async () => {
  const as = { "X-API-Key": "alice" };
  assert.equal((await post("/answers", "0.jpg", as)).match, null); // not public: not stored
  assert.equal((await post("/answers", "0-low.jpg", as)).match, null);
  assert.equal((await post("/answers", "0-half.jpg")).cache, "MISS"); // stored for those without a key
  assert.equal((await post("/answers", "0-low.jpg", as)).match, null);
  assert.match((await post("/answers", "0-low.jpg")).match, /^near/);
  told = { "Cache-Control": "public, max-age=60" };
  assert.equal((await post("/answers", "1.jpg", as)).cache, "MISS");
  assert.match((await post("/answers", "1-low.jpg", { "X-API-Key": "bob" })).match, /^near/);
  told = { "Cache-Control": "private" };
  assert.equal((await post("/answers", "4.jpg")).match, null);
  assert.equal((await post("/answers", "4-low.jpg")).match, null);
  told = {};
});

test("an answer that varies is near for those for whom it would be exact", { skip }, async () => {
  told = { Vary: "X-Language" };
  await post("/vary", "0.jpg", { "X-Language": "en" });
  assert.match((await post("/vary", "0-low.jpg", { "X-Language": "en" })).match, /^near/);
  assert.equal((await post("/vary", "0-half.jpg", { "X-Language": "de" })).cache, "MISS");
  told = {};
});

test("a request that wants it fresh is not answered", { skip }, async () => {
  assert.notEqual((await post("/plain", "0-low.jpg", { "Cache-Control": "no-cache" })).cache, "HIT");
  const cached = { method: "POST", body: picture("2-edited.jpg"), headers: { "Cache-Control": "only-if-cached" } };
  assert.equal((await fetch(`${gateway.url}/plain`, cached)).status, 504);
  assert.equal((await fetch(`${gateway.url}/plain`, { ...cached, body: picture("4-low.jpg") })).status, 200);
});

test("what is purged, by whatever name, is near to nothing", { skip }, async () => {
  for (const [path, how] of [["/url", "url=/url"], ["/tagged", "tag=pictures"], ["/pattern", "pattern=/patt*"]]) {
    await post(path, "0.jpg");
    assert.match((await post(path, "0-low.jpg")).match, /^near/, path);
    assert.equal(await purge(how), 1, how);
    assert.equal((await post(path, "0-low.jpg")).cache, "MISS", how);
    assert.equal(await purge(`${how}&soft=true`), 1);
    assert.equal((await post(path, "0-half.jpg")).cache, "MISS", `${how}, soft`);
  }
  await post("/gone", "0.jpg");
  await post("/write", "0.jpg");
  assert.equal((await post("/gone", "0-low.jpg")).cache, "MISS", "after a write");
});

test("a crowd with one picture: one decoding, one call", { skip }, async () => {
  const before = calls, hashed = await metric('gateway_image_hashes_total{result="hashed"}');
  const all = await Promise.all(Array.from({ length: 100 }, () => post("/crowd", "5.png")));
  assert.equal(calls - before, 1);
  assert.equal(new Set(all.map(({ call }) => call)).size, 1);
  assert.ok(await metric('gateway_image_hashes_total{result="hashed"}') - hashed <= 2, "once a worker");
});

test("many at a time: decoded, or past the cache, and all answered; also when they leave", { skip }, async () => {
  const odd = (i) => Buffer.concat([picture("1.png"), Buffer.from(String(i))]);
  const leaves = new AbortController();
  const gone = Array.from({ length: 20 }, (_, i) =>
    fetch(`${gateway.url}/many`, { method: "POST", body: odd(-i - 1), signal: leaves.signal }).catch(() => {}));
  const all = Array.from({ length: 100 }, (_, i) => send("/many", odd(i)));
  setTimeout(() => leaves.abort(), 30);
  for (const { cache } of await Promise.all(all)) assert.ok(["HIT", "MISS", "BYPASS"].includes(cache), cache);
  await Promise.all(gone);
  assert.equal(await stop(gateway.child), 0);
});
