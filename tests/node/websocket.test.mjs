// websocket.test.mjs - WebSockets through the gateway, with npm's ws at both ends: messages of every size both
// ways, plain and TLS on either side of the gateway, a thousand at once, who may have one, who ends it and how, what
// is counted. Behind TLS the upstream asks for the gateway's certificate.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";
import net from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import tls from "node:tls";
import { folder, sleep, startGateway, stop, stopAll } from "./programs.mjs";

let ws = null;
try { ws = createRequire(import.meta.url)("ws"); } catch { /* npm's packages are not there */ }
const skip = ws === null ? "npm's ws is not there" : false;

const dir = folder();
const MIB = 1 << 20;
const SIDES = [{ tls: false, over: "" }, { tls: true, over: "" }, { tls: false, over: "/tls" }, { tls: true, over: "/tls" }];
const named = ({ tls, over }) => `${tls ? "wss" : "ws"} to ${over ? "wss" : "ws"}`;
let server, secure, gateway, port, tlsPort;
const accepted = [];

const route = (name, path, more = {}) => ({ name, match: { path }, upstream: "app", websocket: true, ...more });
/** The same under /tls, whose upstream is https. */
const both = (name, path) => [route(name, path), route(`${name}-tls`, `/tls${path}`, { upstream: "secure", strip_prefix: "/tls" })];
const pem = { cert: join(dir, "cert.pem"), key: join(dir, "key.pem") };
function config(plainPort, securePort) {
  const limits = { first_byte_timeout: "30s", timeout: "3s", connect_timeout: "20s", max_requests: 4000 };
  return {
    server: { listen: ["127.0.0.1:0", { address: "127.0.0.1:0", tls: ["main"] }], tls: { main: pem }, workers: 2,
      stream_idle_timeout: "4s", write_timeout: "4s" },
    admin: { listen: "127.0.0.1:0" },
    identity: { api_key: { keys: { [createHash("sha256").update("secret").digest("hex")]: { id: "acme", tier: "many" } } } },
    tiers: { many: { per_second: 100000, burst: 100000 }, few: { per_hour: 2 } },
    limits: { default_tier: "many" },
    upstreams: {
      app: { targets: [`http://127.0.0.1:${plainPort}`], ...limits },
      secure: { targets: [`https://localhost:${securePort}`], ...limits, tls: { ca: pem.cert, ...pem } },
      stranger: { targets: [`https://localhost:${securePort}`], ...limits, tls: { ca: pem.cert }, retry: { attempts: 0 } },
      wrong: { targets: [`https://127.0.0.1:${securePort}`], ...limits, tls: { ca: pem.cert, ...pem }, retry: { attempts: 0 } },
    },
    routes: [
      ...both("echo", "/echo"), ...both("push", "/push"), ...both("bye", "/bye"), ...both("flood", "/flood"),
      ...both("no", "/no"), ...both("idle", "/idle"), ...both("deaf", "/deaf"),
      route("stranger", "/stranger", { upstream: "stranger" }), route("wrong", "/wrong", { upstream: "wrong" }),
      route("keyed", "/keyed", { auth: "identity" }),
      route("few", "/few", { limit: { per_hour: 2, scope: "route" } }),
      route("plain", "/plain", { websocket: false }),
    ],
    log: { access: "off", errors: "stderr" },
  };
}

function serve(socket, request) {
  accepted.push({ socket, request });
  socket.on("error", () => {});
  if (request.url === "/bye") socket.on("message", () => socket.close(4001, "enough"));
  else if (request.url === "/flood") for (let i = 0; i < 64; i++) socket.send(Buffer.alloc(MIB, i));
  else if (request.url === "/push") for (let i = 0; i < 10; i++) setTimeout(() => socket.send(`tick ${i}`), 200 + i * 50);
  else if (request.url === "/deaf") {
    socket.pause();
    socket.seen = [];
    socket.on("message", (bytes) => socket.seen.push(bytes.length));
  } else socket.on("message", (bytes, binary) => socket.send(bytes, { binary }));
}

before(async () => {
  if (skip) return;
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", pem.key, "-out", pem.cert], { stdio: "ignore" });
  const options = { maxPayload: 64 * MIB, verifyClient: (info, done) => done(info.req.url !== "/no", 403, "No") };
  server = new ws.WebSocketServer({ port: 0, host: "127.0.0.1", backlog: 2000, ...options });
  secure = https.createServer({ cert: readFileSync(pem.cert), key: readFileSync(pem.key), ca: readFileSync(pem.cert), requestCert: true });
  secure.on("tlsClientError", () => {});
  const behind = new ws.WebSocketServer({ server: secure, ...options });
  await new Promise((done) => secure.listen(0, "127.0.0.1", 2000, done));
  for (const one of [server, behind]) one.on("connection", serve);
  gateway = await startGateway(config(server.address().port, secure.address().port), { ASAN_OPTIONS: "quarantine_size_mb=1" });
  port = Number(new URL(gateway.url).port);
  tlsPort = Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(gateway.said())[1]);
});
after(async () => {
  server?.close();
  secure?.close();
  for (const { socket } of accepted) socket.terminate();
  await stopAll();
});

function open(path, { tls = false, ...options } = {}) {
  const url = tls ? `wss://127.0.0.1:${tlsPort}${path}` : `ws://127.0.0.1:${port}${path}`;
  const socket = new ws.WebSocket(url, { rejectUnauthorized: false, perMessageDeflate: false, maxPayload: 64 * MIB, ...options });
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve(socket));
    socket.once("unexpected-response", (_, answer) => { reject(Object.assign(new Error(`status ${answer.statusCode}`), { answer })); answer.resume(); });
    socket.once("error", reject);
  });
}
const next = (socket) => new Promise((done, fail) => {
  socket.once("message", (bytes, binary) => done(binary ? bytes : String(bytes)));
  socket.once("close", (code) => fail(new Error(`closed ${code}`)));
});
const closed = (socket) => new Promise((done) => socket.once("close", (code, reason) => done([code, String(reason)])));
async function active(name) {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  return Number(new RegExp(`^gateway_websocket_connections_active\\{route="${name}"\\} (\\d+)`, "m").exec(text)?.[1] ?? 0);
}
async function becomes(name, count) {
  for (let i = 0; i < 100 && (await active(name)) !== count; i++) await sleep(50);
  assert.equal(await active(name), count);
}

/** The gateway's resident memory, in bytes. */
const memory = () => Number(readFileSync(`/proc/${gateway.child.pid}/statm`, "utf8").split(" ")[1]) * 4096;

for (const side of SIDES) {
  const kind = named(side), tls = side.tls, at = (path) => side.over + path, counted = (name) => name + side.over.replace("/", "-");
  test(`messages come back as they were sent, up to 1 MiB and more (${kind})`, { skip }, async () => {
    const socket = await open(at("/echo"), { tls });
    for (const size of [0, 1, 125, 126, 65535, 65536, MIB, 5 * MIB]) {
      const sent = Buffer.alloc(size);
      for (let i = 0; i < size; i += 97) sent[i] = i;
      socket.send(sent);
      assert.ok((await next(socket)).equals(sent), `${size} bytes`);
    }
    socket.send("text, in UTF-8: ä");
    assert.equal(await next(socket), "text, in UTF-8: ä");
    const pong = new Promise((done) => socket.once("pong", done));
    socket.ping("are you there");
    assert.equal(String(await pong), "are you there");
    socket.close(1000, "done");
    assert.deepEqual(await closed(socket), [1000, "done"]);
  });

  test(`what the upstream pushes comes at once, and its close code with it (${kind})`, { skip }, async () => {
    const pushed = await open(at("/push"), { tls }), ticks = [];
    pushed.on("message", (bytes) => ticks.push(String(bytes)));
    for (let i = 0; i < 200 && ticks.length < 10; i++) await sleep(20);
    assert.deepEqual(ticks, Array.from({ length: 10 }, (_, i) => `tick ${i}`));
    pushed.close();
    const socket = await open(at("/bye"), { tls });
    socket.send("go");
    assert.deepEqual(await closed(socket), [4001, "enough"]);
  });

  const many = side.over ? 200 : 1000;
  test(`${many} at once, each with its own messages (${kind})`, { skip }, async () => {
    const all = [], alive = setInterval(() => all.forEach((socket) => socket.ping()), 1500);
    try {
      while (all.length < many) all.push(...await Promise.all(Array.from({ length: 50 }, () => open(at("/echo"), { tls }))));
      await becomes(counted("echo"), many);
    } finally { clearInterval(alive); }
    await Promise.all(all.map(async (socket, i) => {
      const sent = Buffer.alloc(20000 + i, i);
      socket.send(sent);
      assert.ok((await next(socket)).equals(sent));
    }));
    for (const socket of all) socket.close();
    await Promise.all(all.map(closed));
    await becomes(counted("echo"), 0);
  });

  test(`a client that does not read slows the upstream, and gets everything (${kind})`, { skip }, async () => {
    const before = memory();
    const socket = await open(at("/flood"), { tls });
    const seen = [];
    socket.on("message", (bytes) => seen.push(bytes));
    socket.pause();
    await sleep(1000);
    const from = accepted.at(-1).socket;
    assert.ok(from.bufferedAmount > 36 * MIB, `the upstream still holds ${from.bufferedAmount} bytes`);
    assert.ok(memory() - before < 12 * MIB, `${memory() - before} bytes more in the gateway`);
    socket.resume();
    for (let i = 0; i < 200 && seen.length < 64; i++) await sleep(50);
    assert.equal(seen.length, 64);
    seen.forEach((bytes, i) => assert.ok(bytes.length === MIB && bytes[0] === i && bytes[MIB - 1] === i));
    socket.close();
  });

  test(`an upstream that does not read slows the client, and gets everything (${kind})`, { skip }, async () => {
    const socket = await open(at("/deaf"), { tls });
    const { socket: to } = accepted.at(-1), before = memory();
    for (let i = 0; i < 64; i++) socket.send(Buffer.alloc(MIB, i));
    await sleep(1000);
    assert.ok(socket.bufferedAmount > 36 * MIB, `the client still holds ${socket.bufferedAmount} bytes`);
    assert.ok(memory() - before < 12 * MIB, `${memory() - before} bytes more in the gateway`);
    to.resume();
    for (let i = 0; i < 200 && to.seen.length < 64; i++) await sleep(50);
    assert.equal(to.seen.length, 64);
    assert.ok(to.seen.every((length) => length === MIB));
    socket.close();
    await closed(socket);
  });

  test(`who goes without a word is seen on the other side (${kind})`, { skip }, async () => {
    const first = await open(at("/echo"), { tls });
    const theirs = closed(accepted.at(-1).socket);
    first.terminate();
    assert.equal((await theirs)[0], 1006);
    const second = await open(at("/echo"), { tls });
    const ours = closed(second);
    accepted.at(-1).socket.terminate();
    assert.equal((await ours)[0], 1006);
    await becomes(counted("echo"), 0);
  });

  test(`silence ends it after stream_idle_timeout; a ping now and then does not (${kind})`, { skip }, async () => {
    const silent = await open(at("/idle"), { tls }), alive = await open(at("/idle"), { tls });
    const gone = closed(silent);
    const start = Date.now();
    const pings = setInterval(() => alive.ping(), 500);
    await gone;
    assert.ok(Date.now() - start > 3500);
    await sleep(1500); // past `timeout` too, which is not for these
    assert.equal(alive.readyState, ws.WebSocket.OPEN);
    clearInterval(pings);
    alive.close();
  });
}

test("who is silent or goes says nothing of the upstream: its breaker stays closed", { skip }, async () => {
  const all = await Promise.all(Array.from({ length: 60 }, (_, i) => open(i % 2 ? "/idle" : "/tls/idle")));
  accepted.slice(-30).forEach(({ socket }) => socket.terminate());
  await Promise.all(all.map(closed));
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  assert.doesNotMatch(text, /^gateway_circuit_breaker_opened_total\{upstream="(app|secure)"\} [1-9]/m);
  for (const path of ["/echo", "/tls/echo"]) (await open(path)).close();
});

test("an upstream behind TLS that cannot be trusted, or does not trust us, is a bad gateway", { skip }, async () => {
  const before = accepted.length;
  await assert.rejects(open("/wrong"), /status 502/); // the certificate is not for this name
  await assert.rejects(open("/stranger"), /status 502|socket hang up/); // it asks for ours, and we have none
  assert.equal(accepted.length, before);
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  assert.match(text, /^gateway_upstream_errors_total\{upstream="wrong",kind="tls"\} [1-9]/m);
});

test("identity and limits come first; another answer than 101 is passed on", { skip }, async () => {
  await assert.rejects(open("/keyed"), /status 401/);
  const socket = await open("/keyed", { headers: { "X-API-Key": "secret" } });
  socket.close();
  (await open("/few")).close();
  (await open("/few")).close();
  await assert.rejects(open("/few"), /status 429/);
  await assert.rejects(open("/no"), /status 403/);
  await assert.rejects(open("/tls/no"), /status 403/);
  const before = accepted.length;
  await assert.rejects(open("/plain"), /status 426|status 400/); // it is a plain GET there
  assert.equal(accepted.length, before);
});

test("the answer's head carries what every answer does", { skip }, async () => {
  const socket = new ws.WebSocket(`ws://127.0.0.1:${port}/echo`);
  const answer = await new Promise((done) => socket.once("upgrade", done));
  assert.equal(answer.headers.via, "1.1 gateway");
  assert.ok(answer.headers["x-request-id"]);
  assert.ok(answer.headers["x-ratelimit-limit"]);
  const { request } = accepted.at(-1);
  assert.equal(request.headers["x-request-id"], answer.headers["x-request-id"]);
  assert.equal(request.headers["x-forwarded-for"], "127.0.0.1");
  socket.close();
});

for (const { tls: isTls, over } of SIDES) {
  test(`a client that has closed its side still gets what was on its way (${named({ tls: isTls, over })})`, { skip }, async () => {
    const frame = Buffer.concat([Buffer.from([0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0]), Buffer.alloc(65535, 9)]);
    const socket = isTls ? tls.connect({ port: tlsPort, host: "127.0.0.1", allowHalfOpen: true, rejectUnauthorized: false })
      : net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.write(`GET ${over}/echo HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    let seen = Buffer.alloc(0);
    const ended = new Promise((done) => socket.once("close", done));
    socket.on("data", (bytes) => (seen = Buffer.concat([seen, bytes])));
    while (!seen.includes("\r\n\r\n")) await sleep(10);
    assert.match(String(seen), /^HTTP\/1\.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/);
    assert.match(String(seen), /Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
    seen = Buffer.alloc(0);
    socket.end(frame);
    socket.on("end", () => socket.destroy());
    await ended;
    assert.equal(seen.length, 65535 + 4);
  });
}

test("a reload leaves what is open as it is", { skip }, async () => {
  const sockets = [];
  for (const { tls, over } of SIDES) sockets.push(await open(`${over}/echo`, { tls }));
  for (let i = 0; i < 3; i++) {
    assert.equal((await fetch(`${gateway.admin}/system/config/reload`, { method: "POST" })).status, 200);
    for (const socket of sockets) {
      socket.send(`after ${i}`);
      assert.equal(await next(socket), `after ${i}`);
    }
  }
  for (const socket of sockets) socket.close();
  await Promise.all(sockets.map(closed));
});

test("a draining gateway says goodbye with 1001, and the client's goodbye is the upstream's", { skip }, async () => {
  const sockets = [];
  for (const { tls, over } of SIDES) sockets.push(await open(`${over}/echo`, { tls }));
  sockets[0].send("before");
  assert.equal(await next(sockets[0]), "before");
  const codes = Promise.all(sockets.map(closed)), behind = Promise.all(accepted.slice(-4).map(({ socket }) => closed(socket)));
  const start = Date.now();
  assert.equal(await stop(gateway.child), 0);
  assert.deepEqual((await codes).map(([code]) => code), [1001, 1001, 1001, 1001]);
  assert.deepEqual((await behind).map(([code]) => code), [1001, 1001, 1001, 1001]);
  assert.ok(Date.now() - start < 4500);
});
