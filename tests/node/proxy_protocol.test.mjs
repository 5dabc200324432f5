// proxy_protocol.test.mjs - the PROXY header before a TLS handshake, where no test language of HTTP
// reaches: whole, byte by byte, in one piece with the handshake, over and over under load.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import net from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import tls from "node:tls";
import { folder, startGateway, startOrigin, stopAll } from "./programs.mjs";

let port, plain;

before(async () => {
  const dir = folder(), cert = join(dir, "one.pem"), key = join(dir, "one.key");
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=one.test", "-keyout", key, "-out", cert], { stdio: "ignore" });
  const gateway = await startGateway({
    server: { listen: [{ address: "127.0.0.1:0", proxy_protocol: true }, { address: "127.0.0.1:0", tls: ["one"], proxy_protocol: true }],
      workers: 1, tls: { one: { cert, key } }, max_connections_per_ip: 2 },
    admin: { listen: "127.0.0.1:0" },
    limits: { enabled: false },
    upstreams: { app: { targets: [await startOrigin()] } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }],
    log: { access: "off" },
  });
  plain = Number(/http:\/\/127\.0\.0\.1:(\d+)/.exec(gateway.said())[1]);
  port = Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(gateway.said())[1]);
});
after(stopAll);

const text = (address) => Buffer.from(`PROXY TCP4 ${address} 10.0.0.1 1234 443\r\n`);
function binary(address, value = 0) {
  const head = Buffer.from("0d0a0d0a000d0a515549540a21110000", "hex");
  const rest = Buffer.concat([Buffer.from(address.split(".").map(Number)), Buffer.from([10, 0, 0, 1, 4, 210, 1, 187]),
    Buffer.alloc(value, "v")]);
  head.writeUInt16BE(rest.length, 14);
  return Buffer.concat([head, rest]);
}

const connect = (to) => new Promise((done, failed) => {
  const socket = net.connect(to, "127.0.0.1", () => done(socket));
  socket.setNoDelay(true);
  socket.on("error", failed);
});

/** The answer to one request on this stream, as text. */
function ask(stream) {
  return new Promise((done) => {
    let answer = "";
    stream.on("data", (bytes) => (answer += bytes));
    stream.on("close", () => done(answer));
    stream.on("error", () => {});
    stream.write("GET /headers HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n");
  });
}

async function askTls(socket) {
  const stream = tls.connect({ socket, servername: "one.test", rejectUnauthorized: false });
  await new Promise((done, failed) => stream.once("secureConnect", done).once("error", failed));
  return ask(stream);
}

test("a header before the handshake, in both versions", async () => {
  for (const header of [text("192.0.2.7"), binary("192.0.2.7"), binary("192.0.2.7", 3000)]) {
    const socket = await connect(port);
    socket.write(header);
    const answer = await askTls(socket);
    assert.match(answer, /^HTTP\/1.1 200/);
    assert.match(answer, /"X-Forwarded-For","192.0.2.7"/);
    assert.match(answer, /"X-Forwarded-Proto","https"/);
  }
});

test("a header that arrives byte by byte", async () => {
  for (const header of [text("192.0.2.8"), binary("192.0.2.8", 20)]) {
    const socket = await connect(port);
    for (const byte of header) {
      socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.match(await askTls(socket), /"X-Forwarded-For","192.0.2.8"/);
  }
});

test("a handshake without a header is closed", async () => {
  await assert.rejects(connect(port).then(askTls));
});

test("many at a time each keep their own address", async () => {
  const answers = await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    const socket = await connect(plain);
    socket.write(i % 2 ? text(`192.0.2.${i}`) : binary(`192.0.2.${i}`, i));
    return ask(socket);
  }));
  answers.forEach((answer, i) => assert.match(answer, new RegExp(`"X-Forwarded-For","192.0.2.${i}"`)));
});

test("the limit per address counts the address in the header", async () => {
  const kept = [];
  for (let i = 0; i < 2; i++) {
    const socket = await connect(plain);
    socket.write(Buffer.concat([text("192.0.2.9"), Buffer.from("GET /health HTTP/1.1\r\nHost: a\r\n\r\n")]));
    assert.match(String(await new Promise((done) => socket.once("data", done))), /^HTTP\/1.1 200/);
    kept.push(socket);
  }
  const third = await connect(plain);
  third.on("error", () => {});
  third.write(text("192.0.2.9"));
  assert.equal(await ask(third), "");
  const other = await connect(plain);
  other.write(text("192.0.2.10"));
  assert.match(await ask(other), /^HTTP\/1.1 200/);
  kept.forEach((socket) => socket.destroy());
});
