// r_roles.test.mjs - what the store holds may live on several servers (store.roles), and behind TLS
// (rediss://, where hiredis has TLS; elsewhere that is a configuration fault that says so).
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, freePort, hasRedis, sleep, startGateway, startOrigin, startRedis, stop, stopAll } from "./programs.mjs";

const options = { skip: hasRedis ? false : "redis-server is not installed", timeout: 120000 };
const LIMIT = 10;
let origin;

const cli = (port, ...words) => execFileSync("redis-cli", ["-p", String(port), ...words], { encoding: "utf8" }).trim();
const keys = (port, db) => cli(port, "-n", String(db), "--scan").split("\n").filter(Boolean).map((key) => key.split(":").slice(0, 2).join(":"));

function token(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp: 4102444800 })}`;
  return `${signed}.${createHmac("sha256", "of the shop").update(signed).digest("base64url")}`;
}

const configuration = (store) => ({
  server: { listen: ["127.0.0.1:0"], workers: 2 }, admin: { listen: "127.0.0.1:0" },
  store, identity: { jwt: { secret: "of the shop" } }, limits: { deadline: "2s" },
  tiers: { free: { per_minute: LIMIT } }, cache: { store: true },
  upstreams: { app: { targets: [origin] } },
  routes: [{ name: "all", match: { path: "/*" }, upstream: "app", rewrite: "/products", cache: { ttl: "10m", ttl_override: true, per_user: false } }],
  log: { access: "off" },
});

const as = (user) => ({ headers: { authorization: `Bearer ${token(user)}` } });
async function ask(gate, user) {
  const answer = await fetch(gate.url, as(user));
  await answer.arrayBuffer();
  return answer.status;
}

async function metric(one, name) {
  const text = await (await fetch(`${one.admin}/metrics`)).text();
  return text.split("\n").filter((line) => line.startsWith(`gateway_${name}`)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

async function until(what, check, seconds = 30) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(50)) if (await check().catch(() => false)) return;
  assert.fail(`${what}: not within ${seconds} s`);
}

let users = 0;
const inStore = (gates) =>
  until("decisions are the store's", async () => {
    for (const one of gates) {
      const before = await metric(one, "store_fallbacks_total");
      for (let i = 0; i < 6; i++) await ask(one, `probe${users++}`);
      if ((await metric(one, "store_fallbacks_total")) !== before) return false;
    }
    return true;
  });

async function areOne([a, b], user) {
  const statuses = [];
  for (let i = 0; i < LIMIT + 4; i++) statuses.push(await ask(i % 2 ? a : b, user));
  assert.deepEqual(statuses, [...Array(LIMIT).fill(200), 429, 429, 429, 429]);
  assert.equal((await fetch(`${a.admin}/system/tokens/revoke`, { method: "POST", body: JSON.stringify({ token: token(`${user}-gone`) }) })).status < 300, true);
  await until("a revocation arrives", async () => (await ask(b, `${user}-gone`)) === 401);
  assert.equal((await fetch(`${b.admin}/system/rate-limit/client/user:x`, { method: "PUT", body: JSON.stringify({ tier: "free", ttl: "1h" }) })).status, 200);
}

before(async () => {
  if (hasRedis) origin = await startOrigin();
});
after(stopAll);

test("each role has its own place, and does not need the others'", options, async () => {
  const [main, other] = [await freePort(), await freePort()];
  const { child } = await startRedis(["--port", String(main)]);
  await startRedis(["--port", String(other)]);
  const role = (db) => ({ url: `redis://127.0.0.1:${other}/${db}` });
  const store = { url: `redis://127.0.0.1:${main}`, roles: { limit: role(1), cache: role(2), revoked: role(3), usage: role(4) } };
  const gates = await Promise.all([startGateway(configuration(store)), startGateway(configuration(store))]);
  await inStore(gates);
  await areOne(gates, "one");
  await until("usage is written", async () => keys(other, 4).includes("gw:usage"));
  const seen = Object.fromEntries([1, 2, 3, 4].map((db) => [db, [...new Set(keys(other, db))]]));
  assert.deepEqual(seen[1], ["gw:limit"]);
  assert.ok(seen[2].length > 0 && seen[2].every((key) => key === "gw:cache"), seen[2].join());
  assert.deepEqual(seen[3], ["gw:revoked"]);
  assert.deepEqual(seen[4].sort(), ["gw:overrides", "gw:usage"]);
  const rest = keys(main, 0);
  for (const kind of ["limit", "cache", "revoked", "usage", "overrides"]) assert.ok(!rest.includes(`gw:${kind}`), rest.join());

  await stop(child); // what tells gateways of each other is away: counters are not
  const statuses = [];
  for (let i = 0; i < LIMIT + 2; i++) statuses.push(await ask(gates[i % 2], "two"));
  assert.deepEqual(statuses, [...Array(LIMIT).fill(200), 429, 429]);
  const changed = configuration({ ...store, roles: { limit: role(7) } });
  changed.server.listen = [new URL(gates[0].url).host];
  writeFileSync(gates[0].file, JSON.stringify(changed));
  const reload = await fetch(`${gates[0].admin}/system/config/reload`, { method: "POST" });
  assert.match(await reload.text(), /store\.roles/);
  await Promise.all(gates.map((one) => stop(one.child)));
});

test("a role's server that could evict is seen, too", options, async () => {
  const [main, other] = [await freePort(), await freePort()];
  await startRedis(["--port", String(main)]);
  await startRedis(["--port", String(other), "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
  const url = `redis://127.0.0.1:${main}`, elsewhere = { url: `redis://127.0.0.1:${other}` };
  const warned = await startGateway(configuration({ url, roles: { limit: elsewhere } }));
  await until("the warning", async () => /store of limit: its eviction policy is allkeys-lru/.test(warned.said()));
  const cached = await startGateway(configuration({ url, roles: { cache: elsewhere } }));
  await inStore([cached]);
  assert.doesNotMatch(cached.said(), /allkeys-lru/); // a cache may be evicted
  const file = join(folder(), "refused.json");
  writeFileSync(file, JSON.stringify(configuration({ url, roles: { revoked: elsewhere }, eviction_check: "refuse" })));
  const refused = spawnSync(process.env.GATEWAY ?? "build/gateway", ["-c", file], { encoding: "utf8", timeout: 20000 });
  assert.equal(refused.status, 1, refused.stderr);
  assert.match(refused.stderr, /store of revoked: its eviction policy/);
});

/** A directory with ca.pem, and of server and client the certificate and key that it signed. */
function certificates() {
  const dir = folder(), run = (...words) => execFileSync("openssl", words, { cwd: dir, stdio: "ignore" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  writeFileSync(join(dir, "names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  for (const ca of ["ca", "other"]) run("req", "-x509", ...key, "-days", "2", "-subj", `/CN=${ca}`, "-keyout", `${ca}.key`, "-out", `${ca}.pem`);
  for (const one of ["server", "client"]) {
    run("req", ...key, "-subj", `/CN=${one}`, "-keyout", `${one}.key`, "-out", `${one}.csr`);
    run("x509", "-req", "-in", `${one}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-extfile", "names", "-out", `${one}.pem`);
  }
  return (name) => join(dir, name);
}

function check(store) {
  const file = join(folder(), "tls.json");
  writeFileSync(file, JSON.stringify({ store }));
  return spawnSync(process.env.GATEWAY ?? "build/gateway", ["--check", "-c", file], { encoding: "utf8" });
}
const hasTls = check({ url: "rediss://localhost" }).status === 0;

test("rediss:// where hiredis has no TLS is a fault that says what to do", { skip: hasTls && "this build has TLS" }, () => {
  for (const url of ["rediss://:secret@localhost", "rediss+cluster://a,b", "rediss+sentinel://a/main"]) {
    const { status, stderr } = check({ url });
    assert.equal(status, 1);
    assert.match(stderr, /store\.url: asks for TLS, which this build's hiredis does not have: expected/);
    assert.ok(!stderr.includes("secret"));
  }
  assert.equal(check({ url: "redis://localhost", tls: { ca: "", cert: "", key: "" } }).status, 0);
});

test("files of store.tls that cannot be used are faults", { skip: !hasTls && "this build has no TLS" }, () => {
  const file = certificates();
  for (const [tls, why] of [[{ ca: file("none") }, /store\.tls: the authorities of .*none/],
    [{ ca: file("ca.pem"), cert: file("client.pem") }, /store\.tls: has one of cert and key/],
    [{ ca: file("ca.pem"), cert: file("client.pem"), key: file("server.key") }, /store\.tls: the private key of .*server\.key/]]) {
    const { status, stderr } = check({ url: "rediss://localhost", tls });
    assert.equal(status, 1);
    assert.match(stderr, why);
  }
});

test("gateways share a Redis behind TLS that wants their certificate; another authority is refused", { ...options, skip: !hasTls || !hasRedis }, async () => {
  const port = await freePort(), file = certificates();
  await startRedis(["--port", "0", "--tls-port", String(port), "--tls-cert-file", file("server.pem"), "--tls-key-file", file("server.key"), "--tls-ca-cert-file", file("ca.pem")]);
  const url = `rediss://localhost:${port}/2`, tls = { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") };
  const gates = await Promise.all([startGateway(configuration({ url, tls })), startGateway(configuration({ url, tls }))]);
  await inStore(gates);
  await areOne(gates, "secure");
  const [wrong] = [await startGateway(configuration({ url, tls: { ...tls, ca: file("other.pem") } }))];
  await until("its reason", async () => /store: is away: TLS: .*certificate/.test(wrong.said()) || /TLS: /.test(await (await fetch(`${wrong.admin}/system/health`)).text()));
  assert.equal(await ask(wrong, "alone"), 200);
});

test("a Cluster behind TLS", { ...options, skip: !hasTls || !hasRedis }, async () => {
  const file = certificates(), ports = [];
  const files = ["--tls-cert-file", file("server.pem"), "--tls-key-file", file("server.key"), "--tls-ca-cert-file", file("ca.pem")];
  for (let i = 0; i < 3; i++) {
    ports.push(await freePort());
    await startRedis(["--port", "0", "--tls-port", String(ports[i]), ...files, "--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", String(await freePort())]);
  }
  const with_tls = ["--tls", "--cacert", file("ca.pem"), "--cert", file("client.pem"), "--key", file("client.key")];
  execFileSync("redis-cli", [...with_tls, "--cluster", "create", ...ports.map((p) => `127.0.0.1:${p}`), "--cluster-yes"]);
  const store = { url: `rediss+cluster://127.0.0.1:${ports[0]}`, tls: { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") } };
  const gates = await Promise.all([startGateway(configuration(store)), startGateway(configuration(store))]);
  await inStore(gates);
  await areOne(gates, "clustered");
});
