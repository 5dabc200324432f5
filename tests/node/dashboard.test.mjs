// dashboard.test.mjs - every query of every panel of every dashboard gives data, from a real
// Prometheus that scrapes a real gateway under traffic in which everything happens that a panel
// shows, and the exporters of exporters.mjs.
//
// A rate needs two scrapes with something in between, so the traffic comes twice. What must be
// more than zero and what may stay zero is named: a metric that was renamed gives no data, a
// counter that nothing raises gives zeros, and a label that is gone is missed in the legend.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startExporters, startRedis } from "./exporters.mjs";
import { folder, freePort, root, sleep, start, startGateway, startOrigin, stop, stopAll } from "./programs.mjs";

const KEY = "a-key-of-the-dashboard-test";
const CONNECTIONS = 24;
const SCRAPE_MS = 1000;
const dashboards = readdirSync(join(root, "dashboards"))
  .filter((name) => name.endsWith(".json"))
  .map((name) => ({ name, ...JSON.parse(readFileSync(join(root, "dashboards", name))) }));
const alerts = readFileSync(join(root, "prometheus/alerts.yml"), "utf8");
let gateway, prometheus;

// What this traffic does not raise, or what is well at zero.
const mayBeZero =
  /evict|log_dropped|evicted_series|draining|config_reloads|in_flight|lag_seconds|upstream_connections|dependency_health_status\{.*\}\)$|queue|tasks_pending|ejections|verdicts|breaker|fallbacks|store_errors|blocked|keyspace|expired|expiring|monthly_saving|^1 - /;

/** A backend that agrees to every WebSocket and says nothing on it. */
async function startChat() {
  const server = createServer();
  server.on("upgrade", (request, socket) => {
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.on("error", () => {});
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  });
  server.unref();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

function certificate(home) {
  const cert = join(home, "cert.pem"), key = join(home, "key.pem");
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=localhost", "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { cert, key };
}

function settings({ origin, nobody, chat, main, redis }) {
  const hash = createHash("sha256").update(KEY).digest("hex");
  const route = (name, path, more) => ({ name, match: { path }, upstream: "sample", ...more });
  const cache = { ttl: "1m", per_user: false };
  return {
    server: { listen: ["127.0.0.1:0", { address: "127.0.0.1:0", tls: ["main"] }], tls: { main }, workers: 2, max_connections: CONNECTIONS, header_timeout: "300ms", shutdown_grace: "1s" },
    admin: { listen: "127.0.0.1:0" },
    store: { url: `redis://127.0.0.1:${redis}/0` },
    limits: { deadline: "50ms" },
    cache: { stale_while_revalidate: "1h" },
    identity: { api_key: { keys: { [hash]: { id: "tester", tier: "premium" } } } },
    tiers: {
      free: { per_second: 200, burst: 200, per_minute: 100000 },
      premium: { per_second: 200, burst: 200, per_minute: 100000 },
    },
    upstreams: {
      sample: { targets: [origin], retry: { attempts: 0 }, health: { path: "/health", interval: "1s" } },
      chat: { targets: [chat] },
      broken: { targets: [nobody], ejection: { failures: 0 }, breaker: { failures: 0 }, retry: { attempts: 1, on: ["connect"] }, required: false },
    },
    routes: [
      route("products", "/products/*", { cache, invalidates: ["/products", "/products/*"], max_body_bytes: "1KiB" }),
      route("status", "/status-code/*"),
      route("slow", "/slow", { cache: { ...cache, ttl: "1ms" } }),
      route("private", "/private", { cache }),
      route("analyze", "/analyze", { cache: { methods: ["POST"], key: { image: "phash" }, price_per_call: 0.01 } }),
      route("strict", "/models", { limit: { per_minute: 1 } }),
      route("tried", "/headers", { limit: { per_minute: 1, dry_run: true } }),
      route("chat", "/chat", { upstream: "chat", websocket: true }),
      route("broken", "/nobody/*", { upstream: "broken" }),
    ],
    resources: { interval: "200ms" },
    log: { access: "off", slow: "100ms" },
  };
}

async function ask(path, init) {
  const answer = await fetch(gateway.url + path, init);
  await answer.arrayBuffer();
  return answer;
}

/** Sends raw bytes, or nothing, and waits for the end or `ms`. */
function raw(bytes, ms) {
  return new Promise((resolve) => {
    const url = new URL(gateway.url);
    const socket = connect(Number(url.port), url.hostname);
    const end = () => (socket.destroy(), resolve());
    const timer = setTimeout(end, ms);
    socket.on("error", () => {});
    socket.on("close", () => (clearTimeout(timer), resolve()));
    socket.on("data", () => {});
    if (bytes) socket.write(bytes);
  });
}

async function traffic(round) {
  const json = { "Content-Type": "application/json" };
  const keyed = { headers: { "X-API-Key": KEY } };
  for (let i = 0; i < 3; i++) await ask("/products/1");
  await ask(`/products?round=${round}`, keyed);
  await ask("/products/1", { headers: { "Cache-Control": "no-cache" } });
  await ask("/products/2", { method: "PUT", headers: json, body: '{"price": 3.5}' });
  await ask("/products", { method: "POST", headers: json, body: "x".repeat(5000) }).catch(() => {}); // 413, may be cut
  await ask("/private");
  for (let i = 0; i < 2; i++) await ask("/analyze?ms=1", { method: "POST", body: Buffer.from(`\xff\xd8\xff broken in round ${round}`, "latin1") });
  await ask("/products/1", { headers: { "X-API-Key": "nobody's" } });
  await ask("/no/such/route");
  await ask("/status-code/404");
  await ask("/status-code/500");
  for (let i = 0; i < 3; i++) await ask("/models");
  for (let i = 0; i < 3; i++) await ask("/models", keyed);
  for (let i = 0; i < 3; i++) await ask("/headers");
  await ask("/nobody/there");
  await Promise.all([1, 2, 3].map(() => ask(`/slow?ms=200&round=${round}`)));
  await ask("/slow?ms=1");
  if (round === 1) await sleep(2100); // lifetimes are whole seconds; then it is stale, and refreshed
  await ask("/slow?ms=1");
  await raw("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 1000);
  await raw("GET / HTTP/1.1\r\nHo", 1500); // a head that never ends
  await Promise.all(Array.from({ length: CONNECTIONS + 8 }, () => raw("", 250)));
  await fetch(`${gateway.admin}/system/cache/invalidate?pattern=/products*`, { method: "POST" });
}

async function series(expr) {
  const answer = await fetch(`${prometheus}/api/v1/query?query=${encodeURIComponent(expr)}`);
  const body = await answer.json();
  assert.equal(body.status, "success", `${expr}: ${body.error}`);
  return body.data.result.map((one) => ({ labels: one.metric, value: Number(one.value[1]) }));
}

const query = async (expr) => (await series(expr)).map((one) => one.value);

const scraped = async () => (await query("gateway_build_info")).length > 0;

/** A WebSocket that stays until the test ends. */
async function chatFor(seconds) {
  const key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
  void raw(`GET /chat HTTP/1.1\r\nHost: a\r\n${key}\r\n\r\n`, seconds * 1000);
}

async function startPrometheus(jobs) {
  const home = folder();
  const port = await freePort();
  const file = join(home, "prometheus.yml");
  writeFileSync(
    file,
    `global: { scrape_interval: ${SCRAPE_MS}ms, scrape_timeout: ${SCRAPE_MS}ms }\n` +
      "scrape_configs:\n" +
      Object.entries(jobs).map(([job, target]) => `  - job_name: ${job}\n    static_configs: [{ targets: ["${target}"] }]\n`).join(""),
  );
  const options = ["--config.file", file, "--storage.tsdb.path", join(home, "data"), "--web.listen-address", `127.0.0.1:${port}`];
  await start("prometheus", options, /Server is ready to receive web requests/);
  return `http://127.0.0.1:${port}`;
}

before(async () => {
  const home = folder();
  const redis = await startRedis(home);
  const origin = await startOrigin();
  const nobody = `http://127.0.0.1:${await freePort()}`;
  gateway = await startGateway(settings({ origin, nobody, chat: await startChat(), main: certificate(home), redis }));
  await traffic(1);
  prometheus = await startPrometheus({ gateway: new URL(gateway.admin).host, ...(await startExporters(redis)) });
  await chatFor(60);
  for (let i = 0; !(await scraped()); i++) {
    assert.ok(i < 150, "no scrape in 15 s"); // Prometheus takes up its targets five seconds after its start
    await sleep(100);
  }
  await traffic(2);
  await sleep(2.2 * SCRAPE_MS);
}, { timeout: 60000 });
after(async () => {
  const status = gateway && (await stop(gateway.child));
  await stopAll();
  assert.equal(status, 0, gateway?.said()); // a sanitizer's finding is said at the end
});

/** As Grafana does before it asks. */
function filled(expr) {
  return expr
    .replaceAll("$__rate_interval", "1m")
    .replaceAll("$__interval", "1s")
    .replaceAll(/\$(instance|route|upstream|container)\b/g, ".*");
}

const panels = dashboards.flatMap(({ name, panels }) =>
  panels.filter(({ type }) => type !== "row" && type !== "text").map((panel) => ({ name, panel })),
);
for (const { name, panel } of panels)
  test(`${name}: panel ${panel.title}`, async () => {
    assert.ok(panel.targets.length > 0);
    for (const { expr, legendFormat } of panel.targets) {
      const found = await series(filled(expr));
      const values = found.map((one) => one.value);
      assert.ok(values.some(Number.isFinite), `no data: ${filled(expr)} gave [${values}]`);
      if (!mayBeZero.test(expr)) assert.ok(values.some((value) => value > 0), `only zeros: ${filled(expr)}`);
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        assert.ok(found.every((one) => one.labels[label]), `no label ${label}: ${filled(expr)}`);
    }
  });

for (const dashboard of dashboards)
  test(`${dashboard.name}: every annotation and variable is a good query over metrics that exist`, async () => {
    for (const { expr } of dashboard.annotations.list) await query(filled(expr));
    for (const { definition } of dashboard.templating.list.filter((one) => one.type === "query")) {
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(definition);
      assert.ok((await query(`count by (${label}) (${metric})`)).length > 0, definition);
    }
  });

test("every metric that an alert asks for is there", async () => {
  const names = [...new Set(alerts.replaceAll(/^ *#.*$/gm, "").match(/\b(gateway|redis|container)_\w+/g))];
  assert.ok(names.length > 10);
  for (const name of names) assert.ok((await query(`count(${name})`)).length > 0, name);
});

test("no panel overlaps another, and each has an id of its own, as each dashboard has", () => {
  for (const { name, panels } of dashboards) {
    const taken = new Set();
    for (const { gridPos: at } of panels)
      for (let x = at.x; x < at.x + at.w; x++)
        for (let y = at.y; y < at.y + at.h; y++) {
          assert.ok(!taken.has(`${x} ${y}`), name);
          taken.add(`${x} ${y}`);
        }
    assert.equal(new Set(panels.map((panel) => panel.id)).size, panels.length, name);
  }
  assert.equal(new Set(dashboards.map(({ uid }) => uid)).size, dashboards.length);
});

test("the callers refused most, which the limits dashboard sends people to, are told", async () => {
  const answer = await fetch(`${gateway.admin}/system/rate-limit/top?by=refused`);
  assert.equal(answer.status, 200);
  assert.match(await answer.text(), /key:tester/);
});
