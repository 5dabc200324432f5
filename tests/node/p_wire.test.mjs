// p_wire.test.mjs - what a client's and an upstream's bytes become: order, case and doubles of fields stay,
// nothing is doubled or invented, trailers pass, bodiless answers leave nothing behind.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startGateway, stop } from "./programs.mjs";
import { fields, named, say, wireServer } from "./wire.mjs";

const answers = {
  "/plain": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
  "/fields": "HTTP/1.1 200 OK\r\nX-b: 1\r\nSet-Cookie: a=1\r\nx-A: 2\r\nSet-Cookie: b=2\r\nX-B: 3\r\nX-Text: caf\xe9\r\n" +
    "Date: Sat, 01 Jan 2022 00:00:00 GMT\r\nServer: inner\r\nContent-Length: 2\r\n\r\nok",
  "/closing": "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: Sat, 01 Jan 2022 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok",
  "/trailers": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\n" +
    "X-Sum: 5\r\nContent-Length: 7\r\nAuthorization: no\r\n\r\n",
  "/head": "HTTP/1.1 200 OK\r\nETag: \"1\"\r\n\r\n",
  "/304": "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n",
};
let upstream, gateway;

before(async () => {
  upstream = await wireServer((request, socket) => socket.write(Buffer.from(answers[request.path], "latin1")));
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 1 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { app: { targets: [upstream.url], retry: { attempts: 0 }, host: "client" } },
    routes: [{ match: { path: "/*" }, upstream: "app" }],
    log: { access: "off" },
  });
});
after(async () => {
  assert.equal(await stop(gateway.child), 0);
  upstream.close();
});

const ask = (path, method = "GET", more = "") =>
  say(gateway.url, `${method} ${path} HTTP/1.1\r\nHost: a\r\n${more}Connection: close\r\n\r\n`);

test("a request's fields keep their order, case, doubles and bytes", async () => {
  await ask("/plain", "GET", "X-b: 1\r\nAccept: text/html\r\nx-A:  2 \r\nX-B: 3\r\nAccept: */*\r\nCookie: a=1\r\nCookie: b=2\r\nX-Text: caf\xe9\r\n");
  const sent = upstream.seen.at(-1).lines.slice(1).filter((line) => /^(x-[abt]|accept|cookie)/i.test(line));
  assert.deepEqual(sent, ["X-b: 1", "Accept: text/html", "x-A: 2", "X-B: 3", "Accept: */*", "Cookie: a=1", "Cookie: b=2",
    "X-Text: caf\u00c3\u00a9"]); // say() writes UTF-8: what counts is that the bytes arrive
});

test("an answer's fields keep their order, case, doubles and bytes", async () => {
  const got = fields(await ask("/fields")).filter((line) => /^(x-[abt]|set-cookie|server|date)/i.test(line));
  assert.deepEqual(got.filter((line) => !line.startsWith("Date")),
    ["X-b: 1", "Set-Cookie: a=1", "x-A: 2", "Set-Cookie: b=2", "X-B: 3", "X-Text: caf\xe9", "Server: inner"]);
  assert.deepEqual(named(got, "date"), ["Date: Sat, 01 Jan 2022 00:00:00 GMT"]);
});

test("no field of the gateway's or the library's own comes twice", async () => {
  for (const path of ["/plain", "/fields", "/closing", "/trailers", "/../bad"]) {
    const got = fields(await ask(path));
    for (const name of ["Date", "Connection", "Content-Length", "Transfer-Encoding", "Via", "X-Request-Id", "Content-Type"])
      assert.ok(named(got, name).length <= 1, `${path}: ${name} in ${got.join("|")}`);
    assert.equal(named(got, "Date").length, 1, path);
    assert.deepEqual(named(got, "Connection").map((line) => line.toLowerCase()), ["connection: close"], path);
  }
});

test("an answer's trailers pass, but for those that would change what came before", async () => {
  const got = await ask("/trailers");
  assert.match(got, /\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n$/);
});

test("HEAD and 304 of unknown length end with their head", async () => {
  for (const [path, method] of [["/head", "HEAD"], ["/304", "GET"]]) {
    const got = await ask(path, method);
    assert.ok(got.endsWith("\r\n\r\n"), JSON.stringify(got));
    assert.equal(got.indexOf("\r\n\r\n"), got.length - 4, JSON.stringify(got));
    assert.deepEqual(named(fields(got), "content-length"), []);
    assert.deepEqual(named(fields(got), "transfer-encoding"), []);
  }
});

test("a hundred pipelined requests are answered in order", async () => {
  const request = (i) => `GET /plain HTTP/1.1\r\nHost: a\r\nX-Request-Id: n${i}\r\n${i === 99 ? "Connection: close\r\n" : ""}\r\n`;
  const got = await say(gateway.url, Array.from({ length: 100 }, (_, i) => request(i)).join(""));
  assert.deepEqual([...got.matchAll(/^X-Request-Id: n(\d+)\r$/gm)].map((m) => Number(m[1])),
    Array.from({ length: 100 }, (_, i) => i));
});
