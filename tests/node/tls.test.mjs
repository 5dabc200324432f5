// tls.test.mjs - TLS on both sides, with node's own client and server: certificates by SNI, versions,
// plain bytes on a TLS port, certificates that change under SIGHUP, https upstreams that are verified.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import https from "node:https";
import net from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import tls from "node:tls";
import { folder, sleep, startGateway, startOrigin, stop, stopAll } from "./programs.mjs";

const dir = folder();
let gateway, port, upstream, origin;

/** A self-signed certificate for the names; its files' paths. */
function certificate(name, names) {
  const cert = join(dir, `${name}.pem`), key = join(dir, `${name}.key`);
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-days", "2", "-subj", `/CN=${names[0]}`, "-addext", `subjectAltName=${names.map((n) => `DNS:${n}`).join(",")}`,
    "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { cert, key };
}

/** What the gateway shows to a client that asks for this name. */
function handshake(servername, options = {}) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: "127.0.0.1", servername, rejectUnauthorized: false, ...options }, () => {
      const seen = { subject: socket.getPeerCertificate().subject.CN, protocol: socket.getProtocol(),
        serial: socket.getPeerCertificate().serialNumber };
      socket.end();
      resolve(seen);
    });
    socket.on("error", reject);
  });
}

function get(path, agent, servername = "one.test") {
  return new Promise((resolve, reject) => {
    https.get({ port, host: "127.0.0.1", path, agent, servername, rejectUnauthorized: false }, (answer) => {
      let body = "";
      answer.on("data", (bytes) => (body += bytes));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body }));
    }).on("error", reject);
  });
}

before(async () => {
  const one = certificate("one", ["one.test"]), two = certificate("two", ["two.test", "*.two.test"]);
  const back = certificate("back", ["localhost"]);
  upstream = https.createServer({ cert: readFileSync(back.cert), key: readFileSync(back.key) },
    (request, response) => response.end("over tls"));
  await new Promise((done) => upstream.listen(0, "127.0.0.1", done));
  origin = await startOrigin();
  const secure = upstream.address().port;
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0", { address: "127.0.0.1:0", tls: ["one", "two"] }], workers: 1, header_timeout: "1s",
      tls: { one, two } },
    admin: { listen: "127.0.0.1:0" },
    limits: { enabled: false },
    upstreams: {
      plain: { targets: [origin] },
      verified: { targets: [`https://localhost:${secure}`], tls: { ca: back.cert }, host: "target" },
      wrong_name: { targets: [`https://127.0.0.1:${secure}`], tls: { ca: back.cert }, retry: { attempts: 0 } },
      unknown_ca: { targets: [`https://localhost:${secure}`], retry: { attempts: 0 } },
      unverified: { targets: [`https://127.0.0.1:${secure}`], tls: { verify: false } },
    },
    routes: ["verified", "wrong_name", "unknown_ca", "unverified"]
      .map((name) => ({ name, match: { path: `/${name}` }, upstream: name }))
      .concat([{ name: "rest", match: { path: "/*" }, upstream: "plain" }]),
    log: { access: "off" },
  });
  port = Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(gateway.said())[1]);
});
after(async () => {
  const status = await stop(gateway.child);
  upstream.close();
  upstream.closeAllConnections?.();
  await stopAll();
  assert.equal(status, 0);
});

test("the certificate is chosen by the name the client asks for", async () => {
  assert.equal((await handshake("one.test")).subject, "one.test");
  assert.equal((await handshake("two.test")).subject, "two.test");
  assert.equal((await handshake("deep.two.test")).subject, "two.test");
  assert.equal((await handshake("unknown.test")).subject, "one.test");
});

test("TLS 1.2 and 1.3 are spoken, nothing older", async () => {
  assert.equal((await handshake("one.test")).protocol, "TLSv1.3");
  assert.equal((await handshake("one.test", { maxVersion: "TLSv1.2" })).protocol, "TLSv1.2");
  await assert.rejects(handshake("one.test", { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }));
});

test("requests pass, kept connections stay, the upstream hears of https", async () => {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 3; i++) {
    const { status, body } = await get("/headers", agent);
    assert.equal(status, 200);
    assert.match(body, /"X-Forwarded-Proto","https"/);
  }
  const { body } = await get("/bytes/200000", agent);
  assert.equal(body.length, 200000);
  agent.destroy();
});

test("plain HTTP on the TLS port is closed without an answer", async () => {
  const seen = await new Promise((resolve) => {
    let bytes = "";
    const socket = net.connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    socket.on("data", (data) => (bytes += data.toString("latin1")));
    socket.on("close", () => resolve(bytes));
    socket.on("error", () => {});
  });
  assert.doesNotMatch(seen, /HTTP\/1/);
});

test("a stalled handshake is closed at the header deadline", async () => {
  await new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("data", () => {});
    socket.on("close", resolve);
    socket.on("error", () => {});
  });
});

test("an https upstream is verified: name, authority, or on the operator's word not at all", async () => {
  assert.equal((await get("/verified")).body, "over tls");
  assert.equal((await get("/unverified")).body, "over tls");
  for (const path of ["/wrong_name", "/unknown_ca"]) {
    const { status, body } = await get(path);
    assert.equal(status, 502, path);
    assert.equal(JSON.parse(body).error, "Bad Gateway");
  }
});

/** What /metrics says of each certificate's end, by name. */
async function ends() {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  const rows = text.matchAll(/^gateway_tls_certificate_expiry_timestamp_seconds\{name="(\w+)"\} (\S+)$/gm);
  return Object.fromEntries([...rows].map(([, name, value]) => [name, Number(value)]));
}

test("operators see when each certificate ends", async () => {
  const { one, two } = await ends();
  const shown = new X509Certificate(readFileSync(join(dir, "one.pem"))).validTo;
  assert.equal(one, Date.parse(shown) / 1000);
  assert.ok(two > Date.now() / 1000);
});

test("SIGHUP brings new certificates to new handshakes; a broken one changes nothing", async () => {
  const before = await handshake("one.test");
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  assert.equal((await get("/health", agent)).status, 200);
  certificate("one", ["one.test"]);
  gateway.child.kill("SIGHUP");
  let now = before;
  for (let i = 0; i < 50 && now.serial === before.serial; i++) {
    await sleep(20);
    now = await handshake("one.test");
  }
  assert.notEqual(now.serial, before.serial);
  assert.equal((await get("/health", agent)).status, 200, "the kept connection goes on");
  agent.destroy();

  const { one } = await ends();
  assert.equal(one, Date.parse(new X509Certificate(readFileSync(join(dir, "one.pem"))).validTo) / 1000);

  writeFileSync(join(dir, "one.pem"), "not a certificate");
  const answer = await fetch(`${gateway.admin}/system/config/reload`, { method: "POST" });
  assert.equal(answer.status, 422);
  assert.match((await answer.json()).faults.join(), /server\.tls\.one/);
  assert.equal((await handshake("one.test")).serial, now.serial);
});

test("no connection is lost while certificates are reloaded under load", async () => {
  const count = 16;
  const agent = new https.Agent({ keepAlive: true, maxSockets: count });
  const sockets = new Set(), serials = new Set();
  let going = true, done = 0, reloads = 0;
  const ask = () => new Promise((resolve, reject) => {
    const request = https.get({ port, host: "127.0.0.1", path: "/bytes/20000", agent, servername: "one.test", rejectUnauthorized: false }, (answer) => {
      let bytes = 0;
      answer.on("data", (piece) => (bytes += piece.length));
      answer.on("error", reject);
      answer.on("end", () => (bytes === 20000 && answer.statusCode === 200 ? resolve() : reject(new Error(`${answer.statusCode}, ${bytes} bytes`))));
    });
    request.on("socket", (socket) => sockets.add(socket));
    request.on("error", reject);
  });
  const load = Array.from({ length: count }, async () => { for (; going; done++) await ask(); });
  const reload = async () => {
    for (; reloads < 8; reloads++) {
      certificate("one", ["one.test"]);
      const answer = await fetch(`${gateway.admin}/system/config/reload`, { method: "POST" });
      assert.equal(answer.status, 200);
      gateway.child.kill("SIGHUP");
      serials.add((await handshake("one.test")).serial);
    }
  };
  await Promise.race([reload(), ...load]).finally(() => (going = false));
  await Promise.all(load);
  agent.destroy();
  assert.ok(done > count, `${done} requests`);
  assert.equal(sockets.size, count, "every connection lived through all reloads");
  assert.equal(serials.size, 8, "each new handshake had the newest");
});

test("an upstream that asks who we are is shown tls.cert", async () => {
  const ours = certificate("ours", ["gateway.test"]), theirs = certificate("theirs", ["localhost"]);
  const asks = https.createServer({ cert: readFileSync(theirs.cert), key: readFileSync(theirs.key), ca: readFileSync(ours.cert),
    requestCert: true, rejectUnauthorized: true }, (request, response) => response.end(request.socket.getPeerCertificate().subject.CN));
  await new Promise((done) => asks.listen(0, "127.0.0.1", done));
  const target = { targets: [`https://localhost:${asks.address().port}`], retry: { attempts: 0 } };
  const shows = await startGateway({ server: { listen: ["127.0.0.1:0"], workers: 1 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { with: { ...target, tls: { ca: theirs.cert, cert: ours.cert, key: ours.key } }, without: { ...target, tls: { ca: theirs.cert } } },
    routes: [{ match: { path: "/with" }, upstream: "with" }, { match: { path: "/without" }, upstream: "without" }],
    log: { access: "off", errors: "stderr" } });
  const known = await fetch(`${shows.url}/with`);
  assert.equal(known.status, 200);
  assert.equal(await known.text(), "gateway.test");
  assert.equal((await fetch(`${shows.url}/without`)).status, 502); // and not over the other's connection
  assert.equal((await fetch(`${shows.url}/with`)).status, 200);
  await stop(shows.child);
  asks.closeAllConnections();
  asks.close();
});

test("authorities of an upstream that changed on disk are believed after a reload, by its checks too", async () => {
  const ca = join(dir, "believed.pem"), first = certificate("first", ["localhost"]), second = certificate("second", ["localhost"]);
  writeFileSync(ca, readFileSync(first.cert));
  const server = https.createServer({ cert: readFileSync(first.cert), key: readFileSync(first.key) }, (request, response) => response.end("yes"));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const believes = await startGateway({ server: { listen: ["127.0.0.1:0"], workers: 1 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { app: { targets: [`https://localhost:${server.address().port}`], tls: { ca }, retry: { attempts: 0 }, ejection: { failures: 0 },
      breaker: { failures: 0 }, health: { path: "/", interval: "200ms", healthy: 1, unhealthy: 2 } } },
    routes: [{ match: { path: "/*" }, upstream: "app" }], log: { access: "off", errors: "stderr" } });
  const becomes = async (status) => {
    let answer;
    for (let i = 0; i < 200 && (answer = await fetch(believes.url)).status !== status; i++) await sleep(50);
    assert.equal(answer.status, status);
  };
  await becomes(200);
  server.setSecureContext({ cert: readFileSync(second.cert), key: readFileSync(second.key) });
  server.closeAllConnections();
  await becomes(503); // its checks fail
  writeFileSync(ca, readFileSync(second.cert));
  believes.child.kill("SIGHUP");
  await becomes(200);
  await stop(believes.child);
  server.closeAllConnections();
  server.close();
});
