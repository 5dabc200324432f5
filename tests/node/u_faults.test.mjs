// u_faults.test.mjs - upstreams that break at a chosen moment on a chosen connection: what may be sent again
// is sent again, what may not reaches them once, and no stray byte ever becomes somebody's answer.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { sleep, startGateway, stop } from "./programs.mjs";
import { wireServer } from "./wire.mjs";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POISON = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
// what stands in an answer's way of being the connection's last bytes
const stray = {
  "/stray/head": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray",
  "/stray/204": `HTTP/1.1 204 No Content\r\n\r\n${POISON}`,
  "/stray/304": `HTTP/1.1 304 Not Modified\r\n\r\n${POISON}`,
  "/stray/long": `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${POISON}`,
  "/stray/chunks": `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${POISON}`,
};
let upstream, gateway, waiting = [];

function answer(request, socket, nth) {
  const { path } = request;
  if (path in stray) return socket.write(stray[path]);
  if (path === "/later") return setTimeout(() => socket.write(POISON), 30) && socket.write(OK);
  if (path === "/gives-up") return setTimeout(() => socket.end("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), 30) && socket.write(OK);
  if (path.startsWith("/kept-breaks")) return nth > 0 ? socket.destroy() : socket.write(OK);
  if (path === "/all-fail") {
    waiting.push(socket);
    if (waiting.length === 20) for (const each of waiting) each.destroy();
    else if (waiting.length > 20) socket.destroy();
    return;
  }
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
}

before(async () => {
  upstream = await wireServer(answer);
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 1 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { app: { targets: [upstream.url], ejection: { failures: 0 } } },
    routes: [{ match: { path: "/*" }, upstream: "app" }],
    log: { access: "off" },
  });
});
after(async () => {
  assert.equal(await stop(gateway.child), 0);
  upstream.close();
});

const ask = (path, method = "GET", options = {}) => fetch(gateway.url + path, { method, ...options });
const seen = (path) => upstream.seen.filter((request) => request.path === path).length;
async function canary(name) {
  for (let i = 0; i < 3; i++) {
    const answer = await ask(`/canary/${name}/${i}`);
    assert.equal(answer.status, 200);
    assert.equal(await answer.text(), `/canary/${name}/${i}`, name);
  }
}

test("bytes behind an answer never become the next one", async () => {
  for (const path of Object.keys(stray)) {
    const got = await ask(path, path === "/stray/head" ? "HEAD" : "GET");
    assert.ok([200, 204, 304].includes(got.status), path);
    assert.ok(["", "ok"].includes(await got.text()), path);
    await canary(path.slice(7));
  }
});

test("an answer that comes on an idle connection is nobody's", async () => {
  for (const path of ["/later", "/gives-up"]) {
    assert.equal(await (await ask(path)).text(), "ok");
    await sleep(60);
    const posted = await ask("/posted", "POST", { body: "x" }); // nothing was sent yet: a POST too gets a fresh connection
    assert.equal(await posted.text(), "/posted");
    await canary(path.slice(1));
  }
});

test("what breaks on a kept connection: GET and PUT are sent again, POST and PATCH never", async () => {
  const cases = [["GET", 200], ["PUT", 200], ["DELETE", 200], ["POST", 502], ["PATCH", 502]];
  for (const [method, status] of cases) {
    for (const body of method === "GET" ? [undefined] : [undefined, "x"]) {
      const path = `/kept-breaks/${method}/${body ?? ""}`;
      await (await ask("/kept-breaks/warm")).text();
      const got = await ask(path, method, { body });
      assert.equal(got.status, status, path);
      await got.text();
      if (status === 502) assert.equal(seen(path), 1, path);
      else assert.ok(seen(path) === 2 || seen(path) === 3, `${path}: ${seen(path)}`);
    }
  }
});

test("retries are a share of what is under way", async () => {
  const got = await Promise.all(Array.from({ length: 20 }, () => ask("/all-fail")));
  assert.ok(got.every((answer) => answer.status === 502));
  await Promise.all(got.map((answer) => answer.text()));
  assert.ok(seen("/all-fail") <= 20 + 4, `${seen("/all-fail")} for 20 requests, of which a fifth may be tried again`);
  assert.ok(seen("/all-fail") > 20, "some were tried again");
});
