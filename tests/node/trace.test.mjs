// trace.test.mjs - traces, as a collector gets them: which requests are told, how spans hang together
// with those of the caller and the upstream, and what happens while the collector is away.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, afterEach, before, test } from "node:test";
import { startCollector } from "./otlp.mjs";
import { sleep, startGateway, stop, stopAll } from "./programs.mjs";

const SERVER = 2, CLIENT = 3, ERROR = 2;
const caller = { trace: "0af7651916cd43dd8448eb211c80319c", span: "b7ad6b7169203331" };
const traceparent = (flags) => `00-${caller.trace}-${caller.span}-${flags}`;
let backend, gateway, collector;
let seen = [];

function startBackend() {
  let flaky = 0;
  const server = createServer((request, response) => {
    seen.push({ url: request.url, traceparent: request.headers.traceparent, tracestate: request.headers.tracestate });
    if (request.url.startsWith("/missing")) response.statusCode = 404;
    if (request.url.startsWith("/broken")) response.statusCode = 500;
    if (request.url.startsWith("/flaky")) response.statusCode = flaky++ % 2 === 0 ? 503 : 200;
    response.setHeader("Cache-Control", request.url.startsWith("/kept") ? "max-age=60" : "no-store");
    request.resume().on("end", () => response.end("fine"));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function config(trace, workers = 1) {
  const target = `http://127.0.0.1:${backend.address().port}`;
  return {
    server: { listen: ["127.0.0.1:0"], workers },
    admin: { listen: "127.0.0.1:0" },
    limits: { enabled: false },
    upstreams: {
      app: { targets: [target], retry: { attempts: 0 }, ejection: { failures: 0 }, breaker: { failures: 0 } },
      again: { targets: [target], retry: { attempts: 1, on: ["503"] }, ejection: { failures: 0 }, breaker: { failures: 0 } },
      gone: { targets: ["http://127.0.0.1:1"], retry: { attempts: 1, on: ["connect"] }, ejection: { failures: 0 }, breaker: { failures: 0 } },
    },
    routes: [
      { name: "all", match: { path: "/*" }, upstream: "app", cache: {} },
      { name: "flaky", match: { path: "/flaky/{id}" }, upstream: "again" },
      { name: "gone", match: { path: "/gone/*" }, upstream: "gone" },
    ],
    log: { access: "off" },
    trace,
  };
}

async function get(path, headers = {}, options = {}) {
  const answer = await fetch(`${gateway.url}${path}`, { ...options, headers });
  await answer.text();
  return answer;
}

async function until(what, has, ms = 20000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) if (await has()) return;
  assert.fail(`${what} did not come; the collector has ${JSON.stringify(collector.spans.slice(0, 20).map((s) => [s.name, s.kind]))}`);
}

async function counted(outcome) {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  return Number(new RegExp(`^gateway_trace_spans_total\\{outcome="${outcome}"\\} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
}

const byPath = (path) => collector.spans.filter((s) => s.attributes["url.path"] === path || s.attributes["url.full"]?.endsWith(path));
const ofKind = (spans, kind) => spans.filter((s) => s.kind === kind);

before(async () => {
  backend = await startBackend();
});
afterEach(async () => {
  if (gateway) await stop(gateway.child);
  gateway = undefined;
  if (collector) {
    assert.deepEqual(collector.faults, []);
    await collector.close();
  }
  collector = undefined;
  seen = [];
});
after(async () => {
  backend.closeAllConnections();
  backend.close();
  await stopAll();
});

async function begin(trace, workers) {
  collector = await startCollector();
  gateway = await startGateway(config({ otlp: collector.url, ...trace }, workers));
}

test("a caller's trace goes on: its span is the parent, ours is the upstream's", { timeout: 60000 }, async () => {
  await begin({ sample: 0, service: "edge" });
  await get("/things/7?key=hidden", { traceparent: traceparent("01"), tracestate: "a=1,b=2" });
  await until("two spans", () => collector.spans.length === 2);
  const [server] = ofKind(collector.spans, SERVER), [client] = ofKind(collector.spans, CLIENT);
  assert.equal(server.traceId, caller.trace);
  assert.equal(client.traceId, caller.trace);
  assert.equal(server.parentSpanId, caller.span);
  assert.equal(client.parentSpanId, server.spanId);
  assert.equal(seen[0].traceparent, `00-${caller.trace}-${client.spanId}-01`);
  assert.equal(seen[0].tracestate, "a=1,b=2");
  assert.ok(BigInt(client.startTimeUnixNano) >= BigInt(server.startTimeUnixNano));
  assert.ok(BigInt(client.endTimeUnixNano) <= BigInt(server.endTimeUnixNano));
  assert.ok(Math.abs(Number(BigInt(server.endTimeUnixNano) / 1000000n) - Date.now()) < 30000);
  assert.equal(server.resource["service.name"], "edge");
  assert.match(server.resource["service.instance.id"], /^[0-9a-f-]{36}$/);
});

test("names and attributes are those of OpenTelemetry's conventions for HTTP", { timeout: 60000 }, async () => {
  await begin({ sample: 1 });
  await get("/things/7?key=hidden", { "X-Request-Id": "abc", "User-Agent": "hidden" });
  await get("/missing");
  await until("four spans", () => collector.spans.length === 4);
  const [server] = ofKind(byPath("/things/7"), SERVER), [client] = ofKind(byPath("/things/7"), CLIENT);
  const host = new URL(gateway.url).hostname, port = backend.address().port;
  assert.equal(server.name, "GET /*");
  assert.equal(server.parentSpanId, undefined);
  assert.deepEqual(server.status, {});
  const { "http.response.body.size": size, ...attributes } = server.attributes;
  assert.equal(size, 4);
  assert.deepEqual(attributes, {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "http.route": "/*",
    "url.scheme": "http",
    "url.path": "/things/7",
    "network.protocol.name": "http",
    "network.protocol.version": "1.1",
    "server.address": host,
    "gateway.route": "all",
    "gateway.request_id": "abc",
    "gateway.tier": "free",
    "gateway.cache": "miss",
  });
  assert.equal(client.name, "GET");
  assert.deepEqual(client.attributes, {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "gateway.upstream": "app",
    "server.address": "127.0.0.1",
    "server.port": port,
    "url.full": `http://127.0.0.1:${port}/things/7`,
  });
  // 404 is the client's fault for who serves it, and an error for who asks
  const [ours] = ofKind(byPath("/missing"), SERVER), [theirs] = ofKind(byPath("/missing"), CLIENT);
  assert.deepEqual(ours.status, {});
  assert.equal(theirs.status.code, ERROR);
  assert.equal(theirs.attributes["error.type"], "404");
  assert.doesNotMatch(collector.text, /hidden/);
});

test("every try has a span of its own, which its target is told", { timeout: 60000 }, async () => {
  await begin({ sample: 1 });
  assert.equal((await get("/flaky/1")).status, 200);
  await until("three spans", () => collector.spans.length === 3);
  const [server] = ofKind(collector.spans, SERVER);
  const [first, second] = ofKind(collector.spans, CLIENT).sort((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)));
  assert.equal(server.name, "GET /flaky/{id}");
  assert.deepEqual([first.attributes["http.response.status_code"], second.attributes["http.response.status_code"]], [503, 200]);
  assert.deepEqual([first.attributes["http.request.resend_count"], second.attributes["http.request.resend_count"]], [undefined, 1]);
  assert.deepEqual([first.parentSpanId, second.parentSpanId], [server.spanId, server.spanId]);
  assert.deepEqual(seen.map((s) => s.traceparent), [first, second].map((s) => `00-${server.traceId}-${s.spanId}-01`));
});

test("what the cache answers has no span upstream", { timeout: 60000 }, async () => {
  await begin({ sample: 1 });
  await get("/kept");
  await get("/kept");
  await until("three spans", () => collector.spans.length === 3);
  const servers = ofKind(collector.spans, SERVER);
  assert.deepEqual(servers.map((s) => s.attributes["gateway.cache"]).sort(), ["hit", "miss"]);
  assert.notEqual(servers[0].traceId, servers[1].traceId);
  assert.equal(ofKind(collector.spans, CLIENT).length, 1);
});

test("errors are told whatever the sampling says, and nothing else is", { timeout: 60000 }, async () => {
  await begin({ sample: 0 });
  for (let i = 0; i < 5; i++) assert.equal((await get(`/fine/${i}`)).status, 200);
  await get("/fine/6", { traceparent: traceparent("00") });
  assert.equal((await get("/broken", { traceparent: traceparent("00") })).status, 500);
  assert.equal((await get("/gone/1")).status, 502);
  await until("five spans", () => collector.spans.length >= 5);
  await sleep(600);
  assert.equal(collector.spans.length, 5);
  const [broken] = ofKind(byPath("/broken"), SERVER), [gone] = ofKind(byPath("/gone/1"), SERVER);
  assert.equal(broken.parentSpanId, caller.span);
  assert.equal(broken.status.code, ERROR);
  assert.equal(broken.attributes["error.type"], "500");
  assert.equal(gone.status.code, ERROR);
  assert.equal(gone.attributes["error.type"], "connect");
  assert.deepEqual(ofKind(byPath("/gone/1"), CLIENT).map((s) => s.attributes["error.type"]), ["connect", "connect"]);
  // the next hop was told that its part is not sampled, and by which span
  assert.match(seen.find((s) => s.url === "/fine/6").traceparent, new RegExp(`^00-${caller.trace}-[0-9a-f]{16}-00$`));
  assert.equal(seen.find((s) => s.url === "/broken").traceparent.slice(36, 52), ofKind(byPath("/broken"), CLIENT)[0].spanId);
});

test("a share of traces is sampled by their ids", { timeout: 60000 }, async () => {
  await begin({ sample: 0.25 });
  for (let i = 0; i < 400; i++) await get(`/fine/${i}`);
  await until("nothing more", async () => {
    const before = collector.spans.length;
    await sleep(700);
    return before > 0 && collector.spans.length === before;
  });
  const share = ofKind(collector.spans, SERVER).length / 400; // 100 expected; 60 and 140 are 4.6 sigma away
  assert.ok(share > 0.15 && share < 0.35, `${share}`);
  const sampled = seen.filter((s) => s.traceparent.endsWith("-01")).map((s) => s.traceparent.slice(3, 35));
  assert.deepEqual(sampled.sort(), ofKind(collector.spans, SERVER).map((s) => s.traceId).sort());
});

test("a malformed traceparent, or two of them, begin another trace", { timeout: 60000 }, async () => {
  await begin({ sample: 1 });
  await get("/one", { traceparent: `00-${"0".repeat(32)}-${caller.span}-01`, tracestate: "a=1" });
  await get("/two", [["traceparent", traceparent("01")], ["traceparent", traceparent("01")]]);
  await until("four spans", () => collector.spans.length === 4);
  for (const one of ofKind(collector.spans, SERVER)) {
    assert.notEqual(one.traceId, caller.trace);
    assert.equal(one.parentSpanId, undefined);
  }
  assert.deepEqual(seen.map((s) => s.tracestate), [undefined, undefined]);
});

test("a collector that is away costs nothing but spans: counted, bounded, and over when it is back", { timeout: 120000 }, async () => {
  await begin({ sample: 1 });
  collector.hangs = true;
  const all = 2 + 3000; // a miss and hits; a queue and a batch hold 1536
  await get("/kept");
  await Promise.all(Array.from({ length: 20 }, async () => {
    for (let i = 0; i < 150; i++) await get("/kept");
  }));
  await until("dropped spans", async () => (await counted("dropped")) >= all - 1536);
  assert.equal(collector.spans.length, 0);
  collector.hangs = false;
  await until("an account of all", async () => (await counted("sent")) + (await counted("dropped")) + (await counted("failed")) === all, 60000);
  assert.ok((await counted("sent")) >= 1024);
  await get("/back");
  await until("the newest", () => byPath("/back").length === 2);
});

test("what the collector says is heeded: later, never, some of them not", { timeout: 120000 }, async () => {
  await begin({ sample: 1 });
  collector.answer = { status: 503, headers: { "Retry-After": "1" } };
  await get("/later");
  await until("a first try", () => collector.requests === 1);
  const asked = Date.now();
  await until("a second try", () => collector.requests === 2);
  assert.ok(Date.now() - asked >= 800);
  collector.answer = { status: 200, body: "{}" };
  await until("the spans", () => byPath("/later").length === 2);
  assert.equal(await counted("sent"), 2);

  collector.answer = { status: 400 };
  await get("/never");
  await until("spans given up", async () => (await counted("failed")) === 2);
  const requests = collector.requests;

  collector.answer = { status: 200, body: JSON.stringify({ partialSuccess: { rejectedSpans: "1", errorMessage: "no" } }) };
  await get("/some");
  await until("one that was refused", async () => (await counted("failed")) === 3);
  assert.equal(await counted("sent"), 3);
  assert.equal(collector.requests, requests + 1);
});

test("a reload begins and ends it", { timeout: 60000 }, async () => {
  collector = await startCollector();
  gateway = await startGateway(config({ sample: 1 }, 2));
  await get("/before", { traceparent: traceparent("01") });
  assert.equal(seen[0].traceparent, traceparent("01"));
  const reload = async (trace) => {
    const text = JSON.parse(readFileSync(gateway.file, "utf8"));
    writeFileSync(gateway.file, JSON.stringify({ ...text, trace }));
    assert.equal((await fetch(`${gateway.admin}/system/config/reload`, { method: "POST" })).status, 200);
  };
  await reload({ otlp: collector.url, sample: 1 });
  await until("spans", async () => {
    await get("/with");
    return byPath("/with").length > 0;
  });
  await reload({ sample: 1 });
  await until("no spans", async () => {
    seen = [];
    await get("/without", { traceparent: traceparent("01") });
    return seen[0].traceparent === traceparent("01");
  });
  assert.deepEqual(byPath("/before"), []);
});

test("the last spans are told before the gateway ends", { timeout: 60000 }, async () => {
  await begin({ sample: 1 }, 2);
  await get("/last");
  assert.equal(await stop(gateway.child), 0);
  assert.equal(byPath("/last").length, 2);
});
