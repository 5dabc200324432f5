// http2.test.mjs - upstreams of HTTP/2, with node's own server: requests of one worker share one connection, bodies
// and their pace are each stream's own, whoever leaves ends a stream and not the connection. Before libcurl 8 the
// same requests go by HTTP/1.1, and the log says so once.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, sleep, startGateway, stopAll } from "./programs.mjs";

const program = process.env.GATEWAY ?? "build/gateway";
const speaks = Number(/libcurl\/(\d+)/.exec(execFileSync(program, ["--version"], { encoding: "utf8" }))[1]) >= 8;
const only = speaks ? false : "libcurl is older than 8";
let ws = null;
try { ws = createRequire(import.meta.url)("ws"); } catch { /* npm's packages are not there */ }
const MIB = 1 << 20;
const dir = folder();
const pem = { cert: join(dir, "cert.pem"), key: join(dir, "key.pem") };
let secure, plain, gateway, port;
const sessions = [], resets = [];
let waiting = [], seen = [];

function serve(request, response) {
  const { pathname } = new URL(request.url, "http://x");
  seen.push({ path: pathname, version: request.httpVersion, headers: request.headers, session: request.stream?.session });
  request.stream?.on("close", () => resets.push({ path: pathname, code: request.stream.rstCode }));
  response.on("error", () => {});
  request.on("error", () => {});
  switch (pathname) {
    case "/together": // none is answered before all are there
      waiting.push(response);
      if (waiting.length === 50) waiting.splice(0).forEach((one) => one.end("all are there"));
      return;
    case "/echo": {
      const pieces = [];
      request.on("data", (bytes) => pieces.push(bytes));
      request.on("end", () => response.end(Buffer.concat(pieces)));
      return;
    }
    case "/empty": response.writeHead(204).end(); return;
    case "/head": response.writeHead(200, { "content-length": "1234", "x-head": "yes" }).end(); return;
    case "/large": for (let i = 0; i < 64; i++) response.write(Buffer.alloc(MIB, i)); response.end(); return;
    case "/events": {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 0\n\n");
      const more = setInterval(() => response.write("data: more\n\n"), 300);
      response.on("close", () => clearInterval(more));
      return;
    }
    case "/trailers":
      response.writeHead(200, { trailer: "x-sum" });
      response.write("body");
      response.addTrailers({ "x-sum": "42" });
      response.end();
      return;
    case "/hints": response.writeEarlyHints({ link: "</a.css>; rel=preload" }); response.end("hinted"); return;
    case "/forever": response.write("a"); return;
    case "/reset": request.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR); return;
    case "/cut": response.write("a"); setTimeout(() => request.stream.session.destroy(), 100); return;
    default: response.end(`by ${request.httpVersion}`);
  }
}

before(async () => {
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", pem.key, "-out", pem.cert], { stdio: "ignore" });
  const keys = { cert: readFileSync(pem.cert), key: readFileSync(pem.key), ca: readFileSync(pem.cert), requestCert: true };
  secure = http2.createSecureServer({ allowHTTP1: true, ...keys }, serve);
  plain = http2.createServer(serve);
  for (const server of [secure, plain]) {
    server.on("session", (session) => { sessions.push(session); session.on("error", () => {}); });
    server.on("sessionError", () => {});
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
  }
  const upstream = (url, more = {}) => ({ targets: [url], protocol: "http2", breaker: { failures: 0 }, ejection: { failures: 0 },
    retry: { attempts: 0 }, ...more });
  const tls = { ca: pem.cert, ...pem };
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 1 },
    admin: { listen: "127.0.0.1:0" },
    limits: { enabled: false },
    upstreams: {
      app: upstream(`https://localhost:${secure.address().port}`, { tls }),
      again: upstream(`https://localhost:${secure.address().port}`, { tls, retry: { attempts: 1 } }),
      clear: upstream(`http://127.0.0.1:${plain.address().port}`),
    },
    routes: [
      { name: "app", match: { path: "/*" }, upstream: "app", websocket: true },
      { name: "again", match: { path: "/again/*" }, upstream: "again", strip_prefix: "/again" },
      { name: "clear", match: { path: "/clear/*" }, upstream: "clear", strip_prefix: "/clear" },
    ],
    log: { access: "off", errors: "stderr" },
  });
  port = Number(new URL(gateway.url).port);
});
after(async () => {
  secure?.close();
  plain?.close();
  sessions.forEach((session) => session.destroy());
  secure?.closeAllConnections?.();
  await stopAll();
});

/** The answer with its body, its trailers and the informational ones before it. */
function ask(path, { method = "GET", body, headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: "127.0.0.1", path, method, headers, agent: false }, (answer) => {
      const pieces = [];
      answer.on("data", (bytes) => pieces.push(bytes));
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, trailers: answer.trailers, hints,
        body: Buffer.concat(pieces) }));
    });
    const hints = [];
    request.on("information", (info) => hints.push(info));
    request.on("error", reject);
    if (Array.isArray(body)) { body.forEach((piece) => request.write(piece)); request.end(); } else request.end(body);
  });
}
const open = () => sessions.filter((session) => !session.destroyed && !session.closed);

test("where it is not spoken the log says so once, and HTTP/1.1 serves", { skip: speaks && "it is spoken" }, async () => {
  const answer = await ask("/version");
  assert.equal(String(answer.body), "by 1.1");
  assert.equal(sessions.length, 0);
  assert.equal(gateway.said().match(/upstream \\"app\\": HTTP\/2 is not spoken/g).length, 1);
});

test("fifty requests at once share one connection", { skip: only }, async () => {
  assert.equal(String((await ask("/version")).body), "by 2.0");
  assert.equal(sessions.length, 1);
  assert.doesNotMatch(gateway.said(), /HTTP\/2 is not spoken/);
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask("/together")));
  for (const { status, body } of answers) assert.deepEqual([status, String(body)], [200, "all are there"]);
  assert.equal(sessions.length, 1);
});

test("those that come while the connection is made wait for it", { skip: only }, async () => {
  open().forEach((session) => session.destroy());
  await sleep(200);
  const before = sessions.length;
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask("/together")));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.ok(sessions.length - before <= 2); // the second where one went to the lost connection, and was sent again
});

test("requests and answers of every kind", async () => {
  for (const size of [0, 1, 70000, 3 * MIB]) {
    const body = Buffer.alloc(size, "x");
    for (const sent of [body, [body.subarray(0, size / 2), body.subarray(size / 2)]]) {
      const answer = await ask("/echo", { method: "POST", body: sent });
      assert.equal(answer.status, 200);
      assert.ok(answer.body.equals(body), `${size} bytes`);
    }
  }
  const empty = await ask("/empty");
  assert.deepEqual([empty.status, empty.body.length], [204, 0]);
  const head = await ask("/head", { method: "HEAD" });
  assert.deepEqual([head.status, head.headers["content-length"], head.headers["x-head"]], [200, "1234", "yes"]);
  assert.equal((await ask("/trailers", { headers: { TE: "trailers" } })).trailers["x-sum"], "42");
  const { hints, body } = await ask("/hints");
  assert.deepEqual([hints.map((info) => info.statusCode), String(body)], [[103], "hinted"]);
});

test("the fields are those of any upstream", async () => {
  seen = [];
  await ask("/fields", { headers: { Connection: "close, X-Hop", "X-Hop": "1", "X-End": "2", Host: "shop.test" } });
  const { headers } = seen[0];
  assert.equal(headers[":authority"] ?? headers.host, "shop.test");
  assert.equal(headers["x-end"], "2");
  assert.equal(headers["x-hop"], undefined);
  assert.equal(headers["x-forwarded-for"], "127.0.0.1");
});

test("an event stream is passed on as it comes", async () => {
  const start = Date.now();
  const answer = await fetch(`${gateway.url}/events`);
  const reader = answer.body.getReader();
  const times = [];
  for (let i = 0; i < 3; i++) { await reader.read(); times.push(Date.now() - start); }
  await reader.cancel();
  assert.ok(times[1] - times[0] >= 150 && times[2] - times[1] >= 150, String(times));
});

test("a client that does not read stops its own stream alone, and gets everything", async () => {
  const slow = await new Promise((resolve) => http.get({ port, host: "127.0.0.1", path: "/large", agent: false }, resolve));
  slow.pause();
  await sleep(500);
  for (let i = 0; i < 10; i++) assert.equal((await ask("/version")).status, 200);
  let bytes = 0;
  slow.on("data", (piece) => (bytes += piece.length));
  slow.resume();
  await new Promise((done) => slow.once("end", done));
  assert.equal(bytes, 64 * MIB);
});

test("a client that leaves ends its stream, and no other", { skip: only }, async () => {
  const events = new AbortController();
  const other = (await fetch(`${gateway.url}/events`, { signal: events.signal })).body.getReader();
  await other.read();
  const [session] = open();
  for (const alone of [false, true]) {
    resets.length = 0;
    const request = http.get({ port, host: "127.0.0.1", path: "/forever", agent: false });
    await new Promise((done) => request.once("response", done));
    if (alone) events.abort();
    request.destroy();
    for (let i = 0; i < 200 && !resets.some(({ path }) => path === "/forever"); i++) await sleep(20);
    assert.ok(resets.some(({ path }) => path === "/forever"), JSON.stringify(resets));
    if (alone) continue;
    for (let i = 0; i < 3; i++) assert.equal((await other.read()).done, false);
    assert.equal(session.destroyed, false);
  }
  assert.equal((await ask("/version")).status, 200);
});

test("a connection that says goodbye is not used again, and nobody notices", { skip: only }, async () => {
  for (let i = 0; i < 3; i++) {
    await ask("/version");
    const [session] = open();
    session.close(); // GOAWAY, then the end
    await sleep(i * 50);
    assert.equal((await ask("/version")).status, 200);
  }
});

test("a stream that is reset is a bad gateway; a connection that is lost cuts what it carried", { skip: only }, async () => {
  assert.equal((await ask("/reset")).status, 502);
  await assert.rejects(ask("/cut"));
  assert.equal((await ask("/version")).status, 200);
  assert.equal((await ask("/again/version")).status, 200);
});

test("an idle connection may be pinged and told settings", { skip: only }, async () => {
  await ask("/version");
  const [session] = open();
  const count = sessions.length;
  for (let i = 0; i < 3; i++) {
    session.ping(() => {});
    session.settings({ maxConcurrentStreams: 60 + i });
    await sleep(100);
    assert.equal(String((await ask("/version")).body), "by 2.0");
  }
  assert.equal(sessions.length, count);
});

test("to a plain target it is spoken outright", { skip: only }, async () => {
  assert.equal(String((await ask("/clear/version")).body), "by 2.0");
  const count = sessions.length;
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask("/clear/together")));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(sessions.length, count);
});

test("a WebSocket goes by HTTP/1.1, the one it was made for", { skip: ws === null && "npm's ws is not there" }, async () => {
  const server = new ws.WebSocketServer({ noServer: true });
  secure.on("upgrade", (request, socket, head) => server.handleUpgrade(request, socket, head, (one) => one.on("message", (bytes) => one.send(bytes))));
  const socket = new ws.WebSocket(`ws://127.0.0.1:${port}/socket`);
  await new Promise((done, fail) => { socket.once("open", done); socket.once("error", fail); });
  socket.send("hello");
  assert.equal(String(await new Promise((done) => socket.once("message", done))), "hello");
  socket.close();
  await new Promise((done) => socket.once("close", done));
});
