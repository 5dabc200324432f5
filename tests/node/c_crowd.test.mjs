// c_crowd.test.mjs - clients and upstreams that stop reading, and a thousand clients at once: what waits
// is bounded, nobody else notices, and all that was taken is given back.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import net from "node:net";
import { after, before, test } from "node:test";
import { sleep, startGateway, stop } from "./programs.mjs";
import { say, wireServer } from "./wire.mjs";

const MIB = 1 << 20;
const piece = Buffer.alloc(64 * 1024, "x");
let upstream, other, gateway, held = [];
const sent = { bytes: 0, closed: false };

/** Writes for ever, as fast as it is read. */
function flood(socket) {
  socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
  const more = () => {
    while (!socket.destroyed && socket.write(piece)) sent.bytes += piece.length;
  };
  socket.on("drain", more);
  socket.on("close", () => (sent.closed = true));
  more();
}

const sized = (text) => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
const answer = (name) => (request, socket) => {
  if (request.path === "/flood") flood(socket);
  else if (request.path === "/held") held.push({ name, socket });
  else if (request.path.startsWith("/soon/")) setTimeout(() => socket.write(sized("soon")), Number(request.path.slice(6)));
  else socket.write(sized(name));
};

before(async () => {
  upstream = await wireServer(answer("one"));
  other = await wireServer(answer("two"));
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2, write_timeout: "700ms", body_timeout: "5s", max_body_bytes: "1GiB" },
    admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { app: { targets: [upstream.url] }, two: { targets: [upstream.url, other.url] } },
    routes: [{ match: { path: "/*" }, upstream: "app" }, { match: { path: "/held" }, upstream: "two" }],
    log: { access: "off" },
  });
});
after(async () => {
  assert.equal(await stop(gateway.child), 0);
  upstream.close();
  other.close();
});

const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.child.pid}/status`, "utf8"))[1]) * 1024;
const connect = (text) => {
  const socket = net.connect(Number(new URL(gateway.url).port), "127.0.0.1", () => socket.write(text));
  socket.on("error", () => {});
  return socket;
};
const metric = async (name) =>
  Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, "m").exec(await (await fetch(`${gateway.admin}/metrics`)).text())?.[1]);
async function until(claim, what) {
  for (let i = 0; i < 250; i++) {
    if (await claim()) return;
    await sleep(20);
  }
  assert.fail(what);
}

test("a client that does not read stops the upstream, and is cut after write_timeout", async () => {
  const start = rss();
  const client = connect("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
  client.pause();
  for (let i = 0; i < 250 && sent.bytes === 0; i++) await sleep(20);
  assert.ok(sent.bytes > 0, "the answer began");
  await sleep(250);
  const after = sent.bytes;
  await sleep(200);
  assert.equal(sent.bytes, after, "the upstream is not read any more");
  assert.ok(rss() - start < 8 * MIB, `${(rss() - start) / MIB} MiB for one client`);
  assert.equal((await fetch(`${gateway.url}/quick`)).status, 200);
  await until(() => sent.closed, "the upstream's connection was not closed");
  client.destroy();
});

test("an upstream that does not read stops the client", async () => {
  const start = rss();
  const client = connect("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n");
  // wireServer waits for a whole message; stop its sockets as they come
  const stopping = setInterval(() => upstream.sockets.forEach((socket) => socket.pause()), 1);
  let written = 0;
  const more = () => {
    while (!client.destroyed && client.write(piece)) written += piece.length;
  };
  client.on("drain", more);
  more();
  await sleep(300);
  const after = written;
  await sleep(200);
  assert.equal(written, after, "the client is not read any more");
  assert.ok(after < 100 * MIB, "far from the whole body");
  assert.ok(rss() - start < 8 * MIB, `${(rss() - start) / MIB} MiB for one client`);
  clearInterval(stopping);
  client.destroy();
  upstream.sockets.forEach((socket) => socket.resume());
  await until(async () => (await metric("gateway_requests_in_flight")) === 0, "the request did not end with its client");
});

test("least_request spreads what is under way", async () => {
  held = [];
  const asked = Array.from({ length: 10 }, () => fetch(`${gateway.url}/held`));
  await until(() => held.length === 10, "not all arrived");
  assert.equal(held.filter(({ name }) => name === "one").length, 5);
  held.forEach(({ socket }) => socket.write(sized("x")));
  for (const answer of await Promise.all(asked)) assert.equal(await answer.text(), "x");
});

test("a thousand clients at once are all served, and all is given back", async () => {
  held = [];
  const text = "GET /held HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  const asked = Array.from({ length: 1000 }, () => say(gateway.url, text, undefined, 20000));
  await until(() => held.length === 1000, `only ${held.length} arrived`);
  assert.equal(await metric("gateway_requests_in_flight"), 1000);
  assert.equal((await fetch(`${gateway.url}/quick`)).status, 200, "one more is served meanwhile");
  held.forEach(({ socket }) => socket.write(sized("x")));
  for (const got of await Promise.all(asked)) assert.match(got, /^HTTP\/1\.1 200 [^]*\r\n\r\nx$/);
  await until(async () => (await metric("gateway_requests_in_flight")) === 0, "requests are left");
});

test("a thousand clients that leave at once take their requests with them", async () => {
  held = [];
  const clients = Array.from({ length: 1000 }, () => connect("GET /held HTTP/1.1\r\nHost: a\r\n\r\n"));
  await until(() => held.length === 1000, "not all arrived");
  clients.forEach((client) => client.destroy());
  await until(() => held.every(({ socket }) => socket.destroyed || socket.readableEnded), "upstream connections are left");
  await until(async () => (await metric("gateway_requests_in_flight")) === 0, "requests are left");
  assert.equal((await fetch(`${gateway.url}/quick`)).status, 200);
});

test("clients that leave at any moment of a short wait disturb nobody", async () => {
  const soon = (ms) => `GET /soon/${ms} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const answers = (text) => text.match(/HTTP\/1\.1 200 [^]*?\r\n\r\nsoon/g)?.length ?? 0;
  const staying = [];
  for (let i = 0; i < 400; i++) {
    const ms = i % 9; // some are answered before their request is suspended, some after
    if (i % 4 > 0) {
      staying.push(say(gateway.url, soon(ms) + soon(8 - ms), (text) => answers(text) === 2, 20000));
      continue;
    }
    const client = connect(soon(ms) + soon(1));
    setTimeout(() => (i % 8 > 0 ? client.resetAndDestroy() : client.destroy()), (i * 7) % 9);
  }
  for (const got of await Promise.all(staying)) assert.equal(answers(got), 2);
  await until(async () => (await metric("gateway_requests_in_flight")) === 0, "requests are left");
});
