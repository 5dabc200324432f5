// pictures_store.test.mjs - answers for pictures in a real Redis, under cache:image:hash:<phash>: what the gateway writes,
// what another program wrote, what a purge leaves, and a Redis that is not there. Needs redis-server and Python's PIL.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, freePort, root, sleep, start, startGateway, stop, stopAll } from "./programs.mjs";

const has = spawnSync("redis-server", ["--version"]).status === 0 && spawnSync("/usr/bin/python3", ["-c", "import PIL, numpy"]).status === 0;
const skip = has ? false : "there is no redis-server, or no PIL";
const hashes = new Map(); // picture to what imagehash.phash(hash_size=16) says of it
let dir, port, redis, upstream, gateway, calls = 0, told = {};

const cli = (...words) => execFileSync("redis-cli", ["-p", String(port), "-n", "1", ...words], { encoding: "utf8" }).trim();
const name = (picture) => `app:cache:image:hash:${hashes.get(picture)}`;
const week = 7 * 24 * 3600;

async function startRedis() {
  redis = await start("/bin/bash", ["-c", `exec redis-server --port ${port} --bind 127.0.0.1 --dir ${folder()} --save '' >&2`], /Ready to accept/);
}
const config = () => ({
  server: { listen: ["127.0.0.1:0"], workers: 2 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
  store: { url: "memory:", timeout: "1s", roles: { images: { url: `redis://127.0.0.1:${port}/1`, prefix: "app:" } } },
  identity: { api_key: { keys: { "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90": { id: "alice" } } } },
  upstreams: { app: { targets: [`http://127.0.0.1:${upstream.address().port}`] } },
  routes: [
    { name: "analyze", match: { path: "/analyze" }, upstream: "app", cache: { methods: ["POST"], key: { image: "phash", distance: 4 }, tags: ["analyses"] } },
    { name: "own", match: { path: "/own" }, upstream: "app", cache: { methods: ["POST"], key: { image: "phash", store: false } } },
    { name: "other", match: { path: "/other" }, upstream: "app", invalidates: ["/other/*"] },
  ],
  log: { access: "off" },
});
const startOne = async () => {
  const connected = () => cli("client", "list").split("name=gateway-images").length - 1, others = connected();
  gateway = await startGateway(config());
  await until(() => connected() >= others + 2); // both workers
  await sleep(100);
};

before(async () => {
  if (!has) return;
  dir = folder();
  const said = execFileSync("/usr/bin/python3", [`${root}tests/unit/image/pictures.py`, dir], { encoding: "utf8" });
  for (const [, picture, hash] of said.matchAll(/^hash (\S+) ([0-9a-f]{64})$/gm)) hashes.set(picture, hash);
  port = await freePort();
  await startRedis();
  upstream = http.createServer((request, response) => {
    request.resume().on("end", () => {
      for (const [field, value] of Object.entries({ "Content-Type": "application/json", ...told })) response.setHeader(field, value);
      response.end(told.text ?? JSON.stringify({ category: "glass", call: ++calls }));
    });
  });
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  await startOne();
});
after(async () => {
  upstream?.closeAllConnections();
  upstream?.close();
  await stopAll();
});

async function until(what, ms = 8000) {
  for (const end = Date.now() + ms; !what() && Date.now() < end;) await sleep(20);
  assert.ok(what());
}
async function post(picture, { path = "/analyze", headers = {}, body } = {}) {
  const answer = await fetch(gateway.url + path, { method: "POST", body: body ?? readFileSync(join(dir, picture)), headers });
  assert.equal(answer.status, 200);
  return { body: await answer.text(), cache: answer.headers.get("x-cache-status"), match: answer.headers.get("x-cache-match"), age: Number(answer.headers.get("age")), type: answer.headers.get("content-type") };
}
const again = async () => { // what was in memory is gone
  assert.equal(await stop(gateway.child), 0);
  await startOne();
};
async function outcome(word) {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  return Number(new RegExp(`^gateway_image_store_total\\{outcome="${word}"\\} (\\d+)`, "m").exec(text)?.[1] ?? 0);
}

test("an answer is written as plain JSON, for seven days, under what imagehash says", { skip }, async () => {
  const first = await post("0.png");
  assert.equal(first.cache, "MISS");
  await until(() => cli("exists", name("0.png")) === "1");
  assert.equal(cli("get", name("0.png")), first.body);
  const left = Number(cli("ttl", name("0.png")));
  assert.ok(left > week - 60 && left <= week, `${left}`);
  await again();
  const later = await post("0.png");
  assert.deepEqual([later.cache, later.match, later.body, later.type], ["HIT", "near; distance=0", first.body, "application/json"]);
  assert.equal((await post("0.png")).match, "exact");
  assert.match((await post("0-low.jpg")).match, /^near; distance=[0-4]$/);
  assert.equal(await outcome("hit"), 1);
});

test("what one gateway was told is near for another, which never saw it, and for one that starts later", { skip }, async () => {
  const other = gateway;
  await startOne();
  const first = await post("9.png");
  await until(() => cli("exists", name("9.png")) === "1");
  const third = gateway;
  gateway = other;
  const near = await post("9-low.jpg");
  assert.deepEqual([near.cache, near.body], ["HIT", first.body]);
  assert.match(near.match, /^near; distance=[0-4]$/);
  assert.match((await post("9-half.jpg")).match, /^near; distance=[0-4]$/);
  assert.equal(await stop(third.child), 0);
  await again();
  assert.equal((await post("9.webp")).body, first.body);
  cli("del", name("9.png"));
  await again();
  assert.equal((await post("9-low.jpg")).cache, "MISS"); // the index still names it
});

test("what another program wrote is answered, for as long as it has left", { skip }, async () => {
  const value = JSON.stringify({ waste_type: "paper", confidence: 0.97, feedback: "", category: "recycling", recyclable: true, analyzed_at: "2026-01-01T00:00:00Z" });
  cli("set", name("1.png"), value, "EX", String(week - 3600));
  const answer = await post("1.png");
  assert.deepEqual([answer.cache, answer.match, answer.body], ["HIT", "near; distance=0", value]);
  assert.ok(Math.abs(answer.age - 3600) < 60, `${answer.age}`);
  cli("set", name("4.png"), value); // without an end
  assert.equal((await post("4.png")).body, value);
  for (const [picture, wrong] of [["5.png", "no json"], ["8.png", "[1]"], ["11.jpg", '{"a":']]) {
    cli("set", name(picture), wrong, "EX", "1000");
    assert.equal((await post(picture)).cache, "MISS", wrong);
  }
  cli("rpush", name("12.png"), "x");
  assert.equal((await post("12.png")).cache, "MISS");
  assert.equal(await outcome("damaged"), 3);
});

test("what belongs to one caller, or to more than the picture, stays out of it", { skip }, async () => {
  const form = (fields) => {
    const data = new FormData();
    for (const [field, value] of Object.entries(fields)) data.append(field, value);
    data.append("image", new Blob([readFileSync(join(dir, "13.png"))]), "x.png");
    return data;
  };
  const jobs = [
    { path: "/analyze?language=de" }, { headers: { "X-API-Key": "alice" } }, { headers: { Cookie: "a=b" } },
    { path: "/own" }, { body: form({ language: "de" }) }];
  for (const how of jobs) await post("13.png", how);
  for (const answer of [{ Vary: "X-Language" }, { "Cache-Tag": "a" }, { "Content-Type": "text/plain" }, { "Cache-Control": "no-store" }, { text: "[1]" }]) {
    told = answer;
    await post("16.png", { headers: { "Cache-Control": "no-cache" } });
    told = {};
  }
  await sleep(300);
  assert.equal(cli("exists", name("13.png"), name("16.png")), "0");
  await post("13.png", { body: form({}) }); // the picture alone, in a form
  await until(() => cli("exists", name("13.png")) === "1");
});

for (const [how, pictures] of [["url=/analyze", ["17.png", "17-low.jpg"]], ["tag=analyses", ["2.png", "2.jpg"]], ["pattern=/anal*", ["6.png", "6.jpg"]], ["pattern=/analyze&soft=true", ["10.png", "10.jpg"]]])
  test(`a purge covers it, also after a restart: ${how}`, { skip }, async () => {
    const [picture] = pictures;
    const old = JSON.stringify({ old: how });
    cli("del", "app:cache:image:purged"); // of the test before
    await again();
    cli("set", name(picture), old, "EX", String(week - 3600));
    assert.equal((await post(picture)).body, old);
    await fetch(`${gateway.admin}/system/cache/invalidate?${how}`, { method: "POST" });
    assert.match((await post(picture)).cache, /MISS|EXPIRED/);
    cli("set", name(picture), old, "EX", String(week - 3600)); // as if nobody had told it anew
    await until(() => cli("exists", "app:cache:image:purged") === "1");
    await again();
    const answer = await post(picture);
    assert.deepEqual([answer.cache, answer.body === old], ["MISS", false]);
    await until(() => cli("get", name(picture)) === answer.body);
    await sleep(1200); // what is written later than the purge, by more than clocks may differ
    cli("set", name(picture), JSON.stringify({ fresh: 1 }), "EX", String(week));
    await again();
    assert.equal((await post(picture)).body, JSON.stringify({ fresh: 1 }));
  });

test("another route's purge does not", { skip }, async () => {
  const value = JSON.stringify({ kept: 1 });
  cli("del", "app:cache:image:purged");
  await again();
  await post("14.png"); // the gateway knows the question from here on
  assert.equal((await fetch(`${gateway.url}/other`, { method: "POST" })).status, 200);
  await fetch(`${gateway.admin}/system/cache/invalidate?tag=others`, { method: "POST" });
  cli("set", name("18.png"), value, "EX", "1000");
  assert.equal((await post("18.png")).body, value);
  assert.equal(cli("exists", "app:cache:image:purged"), "0");
});

test("without the store pictures are answered as before", { skip }, async () => {
  const known = await post("3.png");
  assert.equal(await stop(redis.child), 0);
  await until(() => gateway.child.exitCode === null);
  assert.equal((await post("3.png")).match, "exact");
  assert.equal((await post("7.png")).cache, "MISS");
  assert.equal((await post("7.png")).match, "exact");
  assert.ok(known.body.length > 0);
  assert.ok(await outcome("away") >= 1);
  await startRedis();
});

test("a configuration whose answers would be mixed is refused", { skip }, () => {
  const wrong = config();
  wrong.routes[1].cache.key.store = true;
  wrong.routes[0].match.path = "/analyze/*";
  const file = join(folder(), "wrong.json");
  writeFileSync(file, JSON.stringify(wrong));
  const { status, stderr } = spawnSync(process.env.GATEWAY ?? "build/gateway", ["--check", "-c", file], { encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, /routes\[0\]\.cache\.key\.store: is true beside a path of several URLs/);
  assert.match(stderr, /routes\[1\]\.cache\.key\.store: is true on two routes/);
});
