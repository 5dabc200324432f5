// secrets.test.mjs - what is secret stays so. Secrets are planted in headers, the query, the body,
// cookies and the configuration; traffic then takes every way that writes something down (hits,
// refusals, bad credentials, a broken upstream, a store that is away, slow requests, refused
// reloads, questions of operators), and whatever was written or told is searched for them.
//
// All secrets hold one word, so that one search finds a new leak as well. Lists of cache entries are
// left out on purpose: their keys are the URLs that clients asked for.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startCollector } from "./otlp.mjs";
import { folder, sleep, startGateway, stop, stopAll } from "./programs.mjs";

const word = "S3cr3tW0rd";
const secret = (name) => `${word}-${name}-${"x".repeat(24)}`;
const adminToken = secret("admin-token");
const key = secret("api-key");
const logs = folder();
const told = []; // {where, text} of all that anybody was told
const ids = [];
let origin, gateway, collector;

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
function jwt(claims, by = secret("jwt-secret")) {
  const text = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url(claims)}`;
  return `${text}.${createHmac("sha256", by).update(text).digest("base64url")}`;
}
const goodToken = jwt({ sub: "42", exp: 4102444800, note: word });
// what of a token is secret is its signature; base64url hides the word in the claims
const needles = [word, goodToken.split(".")[2], goodToken.split(".")[1], Buffer.from(word).toString("base64").slice(0, 12)];

function startBackend() {
  const server = createServer((request, response) => {
    if (request.url.startsWith("/broken")) return response.destroy();
    const wait = request.url.startsWith("/slow") ? 150 : 0;
    setTimeout(() => {
      const cookie = request.url.startsWith("/own") ? { "Set-Cookie": `session=${secret("set-cookie")}` } : {};
      response.writeHead(200, { "Cache-Control": "public, max-age=60", ...cookie });
      response.end("fine");
    }, wait);
    request.resume();
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function config() {
  return {
    server: { listen: ["127.0.0.1:0"], workers: 1 },
    admin: { listen: "127.0.0.1:0", token: adminToken },
    store: { url: `redis://gateway:${secret("store-password")}@127.0.0.1:1/0` },
    identity: {
      sources: ["jwt", "api_key", "ip"],
      hash_secret: secret("hash-secret"),
      api_key: { query: "apikey", keys: { [createHash("sha256").update(key).digest("hex")]: { id: "acme", tier: "small" } } },
      jwt: { secret: secret("jwt-secret") },
    },
    tiers: { free: { per_minute: 1000 }, small: { per_minute: 4 } },
    limits: { on_failure: "local" },
    upstreams: { app: { targets: [`http://127.0.0.1:${origin.address().port}`], retry: { attempts: 0 }, breaker: { failures: 0 } } },
    routes: [
      { name: "all", match: { path: "/*" }, upstream: "app", max_body_bytes: 4096, cache: { per_user: false } },
      { name: "own", match: { path: "/own/*" }, upstream: "app", auth: "identity" },
      { name: "open", match: { path: "/open/*" }, upstream: "app", headers: { request: { set: { "X-Backend-Token": secret("upstream-header") } } } },
    ],
    log: { access: join(logs, "access.log"), errors: join(logs, "errors.log"), level: "debug", slow: "50ms" },
    trace: { otlp: collector.url, sample: 1 },
  };
}

const everywhere = {
  Cookie: `session=${secret("cookie")}`,
  "X-Session": secret("header"),
  Referer: `http://somewhere.example/?t=${secret("referer")}`,
  "User-Agent": `agent ${secret("agent")}`,
  Baggage: `k=${secret("baggage")}`,
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: `k=${secret("tracestate")}`,
};

/** A client's request; its answer is kept for the search, but for what the backend itself sent. */
async function send(path, headers = {}, options = {}) {
  const answer = await fetch(`${gateway.url}${path}`, { ...options, headers: { ...everywhere, ...headers } });
  const text = await answer.text();
  ids.push(answer.headers.get("x-request-id"));
  const own = [...answer.headers].filter(([name]) => name !== "set-cookie");
  told.push({ where: `answer to ${path} (${answer.status})`, text: `${JSON.stringify(own)}\n${text}` });
  return answer;
}

async function ask(method, path, body, token = adminToken) {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const answer = await fetch(`${gateway.admin}${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  told.push({ where: `${method} ${path} (${answer.status})`, text: `${JSON.stringify([...answer.headers])}\n${await answer.text()}` });
  return answer;
}

function run(...args) {
  const { stdout, stderr } = spawnSync(process.env.GATEWAY ?? "build/gateway", args, { encoding: "utf8" });
  told.push({ where: `gateway ${args[0]}`, text: stdout + stderr });
}

async function readEvents() {
  const end = new AbortController();
  const headers = { Authorization: `Bearer ${adminToken}`, "Last-Event-ID": "1" };
  const answer = await fetch(`${gateway.admin}/system/events`, { headers, signal: end.signal });
  let text = "";
  setTimeout(() => end.abort(), 1500);
  try {
    for await (const bytes of answer.body) text += Buffer.from(bytes).toString();
  } catch {
    // as long as was wanted
  }
  told.push({ where: "/system/events", text });
}

before(async () => {
  origin = await startBackend();
  collector = await startCollector();
  gateway = await startGateway(config());
});
after(async () => {
  origin.closeAllConnections();
  origin.close();
  await collector.close();
  await stopAll();
});

test("traffic with secrets goes every way that writes something down", { timeout: 120000 }, async () => {
  const query = `?token=${secret("query")}&page=2`;
  for (let i = 0; i < 2; i++) assert.equal((await send(`/things${query}`)).headers.get("x-cache-status"), i === 0 ? "MISS" : "HIT");
  for (let i = 0; i < 7; i++) await send(`/things${query}`, { "X-API-Key": key });
  assert.equal((await send("/things", { "X-API-Key": key })).status, 429);
  await send(`/things?apikey=${key}`);
  assert.equal((await send("/things", { "X-API-Key": secret("unknown-key") })).status, 401);
  assert.equal((await send(`/things?apikey=${secret("unknown-query-key")}`)).status, 401);
  assert.equal((await send("/own/1", { Authorization: `Bearer ${goodToken}` })).status, 200);
  assert.equal((await send("/own/1", { Authorization: `Bearer ${jwt({ sub: "42", exp: 4102444800 }, "another")}` })).status, 401);
  assert.equal((await send("/own/1", { Authorization: `Bearer ${secret("no-jwt")}` })).status, 401);
  assert.equal((await send("/own/1", { Authorization: `Basic ${Buffer.from(`me:${word}`).toString("base64")}` })).status, 401);
  assert.equal((await send(`/broken${query}`)).status, 502);
  assert.equal((await send(`/slow${query}`)).status, 200);
  assert.equal((await send("/open/1", {}, { method: "POST", body: `password=${secret("body")}` })).status, 200);
  assert.equal((await send(`/large${query}`, {}, { method: "POST", body: secret("body").repeat(500) })).status, 413);
  assert.equal((await send(`/a%00b${query}`)).status, 400);
  const explained = await send(`/explained${query}`, { Authorization: `Bearer ${adminToken}`, "X-Gateway-Explain": "1" });
  assert.match(explained.headers.get("x-gateway-explain"), /"route":"all"/);
  await send(`/things${query}`, { Authorization: `Bearer ${secret("wrong-admin-token")}`, "X-Gateway-Explain": "1" });
});

test("operators ask, well and badly", { timeout: 120000 }, async () => {
  assert.equal((await ask("GET", "/system/health", undefined, secret("wrong-admin-token"))).status, 401);
  await ask("GET", `/system/health?token=${secret("admin-query")}`);
  await ask("POST", "/system/tokens/revoke", { token: goodToken });
  await ask("POST", "/system/tokens/revoke", { token: secret("no-jwt") });
  await ask("PUT", "/system/upstreams/app/targets/0", { state: secret("state") });
  assert.equal((await send("/own/1", { Authorization: `Bearer ${goodToken}` })).status, 401);
  for (const path of ["/metrics", "/system/health", "/system/config", "/system/upstreams", "/system/cache/stats", "/system/rate-limit/top", "/system/rate-limit/status?client=key:acme", "/system/usage"])
    assert.equal((await ask("GET", path)).status, 200, path);
  for (const id of ids.filter(Boolean)) await ask("GET", `/system/explain/${id}`);
});

test("a configuration is refused, checked and printed", { timeout: 120000 }, async () => {
  const faulty = [
    (c) => (c.admin.token = [adminToken]),
    (c) => (c.identity.jwt.secret = { is: secret("jwt-secret") }),
    (c) => (c.identity.jwt.secert = secret("jwt-secret")),
    (c) => (c.store.url = `redis://gateway:${secret("store-password")}@127.0.0.1:no-port/0`),
    (c) => (c.store.url = `rediss+what://gateway:${secret("store-password")}@127.0.0.1/0`),
    (c) => (c.routes[2].headers.request.set["X-Backend-Token"] = `${secret("upstream-header")}\n`),
  ];
  const good = readFileSync(gateway.file, "utf8");
  for (const spoil of faulty) {
    const changed = JSON.parse(good);
    spoil(changed);
    writeFileSync(gateway.file, JSON.stringify(changed, null, 1));
    assert.equal((await ask("POST", "/system/config/reload")).status, 422, String(spoil));
    run("--check", "-c", gateway.file);
    run("--print-config", "-c", gateway.file);
  }
  // cut in the middle of a secret: the reader's fault points at it
  writeFileSync(gateway.file, good.slice(0, good.indexOf(secret("hash-secret")) + 12));
  await ask("POST", "/system/config/reload");
  run("--check", "-c", gateway.file);
  writeFileSync(gateway.file, good);
  run("--print-config", "-c", gateway.file);
  await readEvents();
});

test("nothing that was written or told holds a secret", { timeout: 60000 }, async () => {
  await sleep(300);
  await stop(gateway.child);
  told.push({ where: "stderr", text: gateway.said() });
  for (const name of ["access.log", "errors.log"]) told.push({ where: name, text: readFileSync(join(logs, name), "utf8") });
  told.push({ where: "traces", text: collector.text });
  assert.ok(collector.spans.length >= 20, "spans were told");
  assert.deepEqual(collector.faults, []);
  const lines = told.find(({ where }) => where === "access.log").text.trim().split("\n");
  assert.ok(lines.length >= 20, "the access log was written");
  assert.match(told.find(({ where }) => where === "errors.log").text, /slow/, "slow requests were logged");
  const leaks = told.flatMap(({ where, text }) =>
    needles.filter((needle) => text.includes(needle)).map((needle) => `${where}: …${text.slice(Math.max(0, text.indexOf(needle) - 80), text.indexOf(needle) + 60)}…`),
  );
  assert.deepEqual(leaks, []);
});
