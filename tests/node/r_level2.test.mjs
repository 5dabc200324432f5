// r_level2.test.mjs - the second level of the cache: two gateways with a real Redis share what one
// of them fetched, whole or in variants, large or small; purges win over slow fetches; one gateway
// fetches for all; and a Redis that is garbage, slow or gone is done without. Needs redis-server 7.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer, request, Agent } from "node:http";
import { after, test } from "node:test";
import { folder, freePort, sleep, redisServer, start, startGateway, stop, stopAll } from "./programs.mjs";

const servers = [];
after(async () => {
  await stopAll();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

async function startRedis(port) {
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder()];
  return start("/bin/bash", ["-c", 'exec "$0" "$@" 1>&2', redisServer, ...args], /Ready to accept connections/);
}

const cli = (port, ...words) => execFileSync("redis-cli", ["-p", String(port), ...words], { encoding: "utf8" }).trim();

/** An origin of the test's own: answers as `answer(request, response)` says and counts by path. */
async function startOrigin(answer) {
  const counts = new Map();
  const server = createServer((req, res) => {
    counts.set(req.url, (counts.get(req.url) ?? 0) + 1);
    answer(req, res);
  });
  servers.push(server);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, count: (path) => counts.get(path) ?? 0 };
}

const config = (redisPort, origin, more = {}) => ({
  server: { listen: ["127.0.0.1:0"], workers: 2 },
  admin: { listen: "127.0.0.1:0" },
  limits: { enabled: false },
  cache: { store: true, ...more.cache },
  store: { url: `redis://127.0.0.1:${redisPort}`, timeout: "2s", ...more.store },
  identity: { api_key: { keys: more.keys ?? {} } },
  log: { access: "off" },
  upstreams: { shop: { targets: [origin.url] } },
  routes: [
    { name: "mine", match: { path: "/mine/*" }, upstream: "shop", cache: { per_user: true } },
    { name: "shop", match: { path: "/*" }, upstream: "shop", cache: { tags: ["shop"], ...more.route } },
  ],
});

async function startPair(redisPort, origin, more = {}) {
  const pair = [];
  for (let i = 0; i < 2; i++) pair.push(await startGateway(config(redisPort, origin, more)));
  await until("the gateways know each other", async () => {
    const { gateways } = await purge(pair[0], "tag=nothing");
    return gateways.known === 2 && gateways.applied === 2;
  });
  await until("both have the second level", async () => {
    for (const gateway of pair) {
      const path = `/warm-up-${Math.random()}`;
      const before = await outcome(gateway, "stored");
      await get(gateway, path);
      await sleep(20);
      if ((await outcome(gateway, "stored")) === before) return false;
    }
    return true;
  });
  return pair;
}

async function until(what, check, seconds = 30) {
  for (let i = 0; i < seconds * 20; i++) {
    if (await check().catch(() => false)) return;
    await sleep(50);
  }
  assert.fail(`${what}: not within ${seconds} s`);
}

// Both gateways are asked by one name, as behind one address: the host is a part of the key.
const agent = new Agent({ keepAlive: false, maxSockets: 1000 });
function get(gateway, path, headers = {}, method = "GET") {
  return new Promise((resolve, reject) => {
    const options = { agent, method, headers: { Host: "shop.test", ...headers } };
    const req = request(gateway.url + path, options, (res) => {
      const pieces = [];
      res.on("data", (piece) => pieces.push(piece));
      res.on("error", reject);
      res.on("end", () => {
        const body = Buffer.concat(pieces);
        resolve({ status: res.statusCode, cache: res.headers["x-cache-status"], body, text: body.toString(), headers: res.headers });
      });
    });
    req.on("error", reject);
    req.end();
  });
}

async function purge(gateway, query) {
  const answer = await fetch(`${gateway.admin}/system/cache/invalidate?${query}`, { method: "POST" });
  assert.equal(answer.status, 200);
  return answer.json();
}

async function outcome(gateway, word) {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  return Number(new RegExp(`^gateway_cache_second_level_total\\{outcome="${word}"\\} (\\d+)`, "m").exec(text)?.[1] ?? 0);
}

const stored = async (gateway, work) => {
  const before = await outcome(gateway, "stored");
  const result = await work();
  await until("it is in the store", async () => (await outcome(gateway, "stored")) > before);
  return result;
};

const plain = (req, res) => {
  res.setHeader("Cache-Control", "max-age=600");
  res.end(`${req.url} for ${req.headers["x-lang"] ?? "all"}`);
};

test("what one gateway fetched the other has, with its age, its variants and its users apart", async () => {
  const port = await freePort();
  await startRedis(port);
  const origin = await startOrigin((req, res) => {
    if (req.url.startsWith("/vary")) res.setHeader("Vary", "X-Lang");
    if (req.url === "/old") res.setHeader("Age", "100");
    plain(req, res);
  });
  const key = (text) => execFileSync("sha256sum", { input: text, encoding: "utf8" }).slice(0, 64);
  const keys = { [key("ka")]: { id: "alice" }, [key("kb")]: { id: "bob" } };
  const [a, b] = await startPair(port, origin, { keys });

  assert.equal((await stored(a, () => get(a, "/old"))).cache, "MISS");
  const found = await get(b, "/old");
  assert.equal(found.cache, "HIT");
  assert.match(found.headers["cache-status"], /hit.*detail=l2/);
  assert.ok(Number(found.headers.age) >= 100 && Number(found.headers.age) < 200);
  assert.equal(found.text, "/old for all");
  assert.equal(origin.count("/old"), 1);
  assert.doesNotMatch((await get(b, "/old")).headers["cache-status"], /l2/);

  await stored(a, () => get(a, "/vary", { "X-Lang": "de" }));
  await stored(a, () => get(a, "/vary", { "X-Lang": "fr" }));
  assert.equal((await get(b, "/vary", { "X-Lang": "fr" })).text, "/vary for fr");
  const german = await get(b, "/vary", { "X-Lang": "de" });
  assert.deepEqual([german.cache, german.text], ["HIT", "/vary for de"]);
  assert.equal((await get(b, "/vary", { "X-Lang": "en" })).cache, "MISS");
  assert.equal(origin.count("/vary"), 3);

  await stored(a, () => get(a, "/mine/x", { "X-API-Key": "ka" }));
  assert.equal((await get(b, "/mine/x", { "X-API-Key": "kb" })).cache, "MISS");
  assert.equal((await get(b, "/mine/x", { "X-API-Key": "ka" })).cache, "HIT");
  assert.equal(origin.count("/mine/x"), 2);

  const names = cli(port, "KEYS", "gw:cache:*").split("\n");
  assert.ok(names.length >= 5);
  for (const name of names) {
    assert.match(name, /^gw:cache:\{[0-9a-f]{32}\}/);
    assert.ok(Number(cli(port, "PTTL", name)) > 0, name);
  }
});

test("large bodies go in chunks, larger ones stay where they are", async () => {
  const port = await freePort();
  await startRedis(port);
  const body = (bytes) => Buffer.alloc(bytes, "0123456789abcdef_");
  const origin = await startOrigin((req, res) => {
    res.setHeader("Cache-Control", "max-age=600");
    res.end(body(Number(/^\/(\d+)/.exec(req.url)?.[1] ?? 1)));
  });
  const [a, b] = await startPair(port, origin);
  for (const bytes of [1, 262144, 262145, 1000000, 4194304]) {
    await stored(a, () => get(a, `/${bytes}`));
    const found = await get(b, `/${bytes}`);
    assert.equal(found.cache, "HIT", String(bytes));
    assert.ok(found.body.equals(body(bytes)), String(bytes));
  }
  const before = await outcome(a, "local");
  await get(a, "/4194305");
  await until("it stays local", async () => (await outcome(a, "local")) === before + 1);
  assert.equal((await get(b, "/4194305")).cache, "MISS");
});

test("a purge wins over an answer that the origin made before it, on both gateways", async () => {
  const port = await freePort();
  await startRedis(port);
  let version = 1, release = [];
  const origin = await startOrigin((req, res) => {
    if (req.method === "PUT") {
      version++;
      res.end();
      return;
    }
    const made = `v${version}`;
    res.setHeader("Cache-Control", "max-age=600");
    if (req.url.startsWith("/slow")) release.push(() => res.end(made));
    else res.end(made);
  });
  const [a, b] = await startPair(port, origin);
  for (const [i, how] of ["url=/slow0", "tag=shop", "pattern=/slo*", "PUT"].entries()) {
    const path = `/slow${i}`;
    release = [];
    const slow = get(a, path);
    await until("the origin has read", async () => release.length === 1);
    const old = `v${version}`;
    if (how === "PUT") await get(b, path, {}, "PUT");
    else {
      version++;
      assert.equal((await purge(b, how)).gateways.applied, 2);
    }
    await until("the purge is applied", async () => (await purge(b, "tag=nothing")).gateways.applied === 2);
    release[0]();
    assert.equal((await slow).text, old);
    await sleep(50);
    for (const gateway of [b, a]) {
      const again = get(gateway, path);
      await until("it is answered", async () => {
        release.slice(1).forEach((fn) => fn());
        return true;
      });
      const timer = setInterval(() => release.slice(1).forEach((fn) => fn()), 20);
      assert.equal((await again).text, `v${version}`, `${how} ${gateway === a ? "a" : "b"}`);
      clearInterval(timer);
    }
  }
});

test("what was purged before is not read by a gateway that starts afterwards", async () => {
  const port = await freePort();
  await startRedis(port);
  let version = 1;
  const origin = await startOrigin((req, res) => {
    res.setHeader("Cache-Control", "max-age=600");
    res.end(`v${version}`);
  });
  const [a, b] = await startPair(port, origin);
  await stored(a, () => get(a, "/purged"));
  await stored(a, () => get(a, "/kept"));
  version = 2;
  await purge(b, "url=/purged");
  const c = await startGateway(config(port, origin));
  await until("it reads the store", async () => {
    const path = `/w${Math.random()}`;
    await stored(a, () => get(a, path));
    return (await get(c, path)).cache === "HIT";
  });
  assert.equal((await get(c, "/purged")).text, "v2");
  const kept = await get(c, "/kept");
  assert.deepEqual([kept.cache, kept.text], ["HIT", "v1"]);
});

const ask = (gateway, path) => get(gateway, path).then(({ text }) => text, () => "lost");

test("a stampede on one cold key is one fetch, and one more when its holder is killed", async () => {
  const port = await freePort();
  await startRedis(port);
  let delay = 300;
  const origin = await startOrigin((req, res) => setTimeout(() => plain(req, res), delay));
  const [a, b] = await startPair(port, origin);
  for (let round = 0; round < 3; round++) {
    const path = `/hot${round}`;
    const answers = await Promise.all(Array.from({ length: 400 }, (_, i) => ask(i % 2 ? a : b, path)));
    assert.ok(answers.every((text) => text === `${path} for all`));
    assert.equal(origin.count(path), 1);
  }
  delay = 1500;
  const lost = ask(a, "/killed");
  await until("the fetch begins", async () => origin.count("/killed") === 1);
  const waiting = Array.from({ length: 100 }, () => ask(b, "/killed"));
  await sleep(100);
  a.child.kill("SIGKILL");
  await lost;
  assert.ok((await Promise.all(waiting)).every((text) => text === "/killed for all"));
  assert.ok(origin.count("/killed") <= 2, `${origin.count("/killed")} fetches`);
});

test("answers that may not be shared are not waited for", async () => {
  const port = await freePort();
  await startRedis(port);
  const origin = await startOrigin((req, res) =>
    setTimeout(() => {
      res.setHeader("Cache-Control", req.url === "/own" ? "no-store" : "max-age=600");
      res.end("own");
    }, 200),
  );
  const [a, b] = await startPair(port, origin);
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(i % 2 ? a : b, "/own")));
  assert.ok(answers.every((text) => text === "own"));
  assert.ok(performance.now() - began < 3500, "one after the other");
});

test("garbage is a miss, and a Redis that is stopped or gone is done without until it is back", async () => {
  const port = await freePort();
  const redis = await startRedis(port);
  const origin = await startOrigin(plain);
  const [a, b] = await startPair(port, origin, { store: { timeout: "100ms" } });
  await stored(a, () => get(a, "/garbage"));
  for (const name of cli(port, "KEYS", "gw:cache:*").split("\n")) cli(port, "SET", name, "GWF1 nonsense");
  const damaged = await outcome(b, "damaged");
  assert.deepEqual(await get(b, "/garbage").then(({ cache, text }) => [cache, text]), ["MISS", "/garbage for all"]);
  assert.equal(await outcome(b, "damaged"), damaged + 1);

  redis.child.kill("SIGSTOP");
  for (let i = 0; i < 40; i++) assert.equal((await get(b, `/stopped${i}`)).status, 200);
  const began = performance.now();
  for (let i = 40; i < 60; i++) assert.equal((await get(b, `/stopped${i}`)).status, 200);
  assert.ok(performance.now() - began < 1500, "twenty requests past an open breaker");
  redis.child.kill("SIGCONT");
  const back = async () => {
    const path = `/back${Math.random()}`;
    await get(a, path);
    await sleep(50);
    return (await get(b, path)).cache === "HIT";
  };
  await until("the second level is back", back);

  await stop(redis.child);
  assert.equal((await get(a, "/gone")).cache, "MISS");
  assert.equal((await get(a, "/gone")).cache, "HIT");
  await startRedis(port);
  await until("the second level is back", back);
});
