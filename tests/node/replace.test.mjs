// A new binary takes over (SIGUSR2), and sockets come from a service manager: nobody is refused.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, rmSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { folder, sleep, start, startOrigin, stopAll } from "./programs.mjs";

after(stopAll);
const program = process.env.GATEWAY ?? "build/gateway";
const configuration = (origin, listen) => ({
  server: { listen, workers: 2, shutdown_grace: "10s" },
  admin: { listen: "127.0.0.1:0" },
  limits: { enabled: false },
  upstreams: { app: { targets: [origin] } },
  routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }],
  log: { access: "off" },
});
const ready = /gateway: ready on (http:\/\/\S+), admin on (http:\/\/\S+)/g;

const get = (url) => new Promise((done) => {
  const request = http.get(url, { agent: false }, (answer) => {
    answer.resume();
    answer.on("end", () => done(answer.statusCode)).on("error", (e) => done(e.code));
  });
  request.on("error", (error) => done(error.code));
});

const until = async (isSo, what) => {
  for (let i = 0; i < 1000; i++) {
    if (isSo()) return;
    await sleep(20);
  }
  assert.fail(`in vain: ${what}`);
};
const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1][0] !== "Z";
  } catch {
    return false;
  }
};
const childrenOf = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);

test("a new binary takes over under load, and no request fails", async () => {
  const origin = await startOrigin();
  const dir = folder();
  const binary = join(dir, "gateway");
  copyFileSync(program, binary);
  const file = join(dir, "gateway.json");
  writeFileSync(file, JSON.stringify(configuration(origin, ["127.0.0.1:0"])));
  const { child, match, said } = await start(binary, ["-c", file], /ready on (http:\/\/\S+),/);
  const url = `${match[1]}/products`;
  const seen = {};
  let isOver = false;
  const client = async () => {
    while (!isOver) {
      const status = await get(url);
      seen[status] = (seen[status] ?? 0) + 1;
    }
  };
  const clients = Array.from({ length: 8 }, client);
  await sleep(200);

  rmSync(binary); // as an upgrade does: the running program's file is another one's now
  copyFileSync(program, binary);
  child.kill("SIGUSR2");
  await until(() => said().match(ready)?.length === 2, `two lines "ready" in ${said()}`);
  const urls = said().match(ready);
  assert.equal(urls[0], urls[1], "the successor has the same addresses");
  await until(() => child.exitCode !== null, "the predecessor's end");
  assert.equal(child.exitCode, 0, said());
  await sleep(200);
  isOver = true;
  await Promise.all(clients);
  const successor = /replacement: process (\d+) starts/.exec(said());
  process.kill(Number(successor[1]), "SIGTERM");
  await until(() => !isAlive(Number(successor[1])), "the successor's end");
  assert.deepEqual(Object.keys(seen), ["200"], JSON.stringify(seen));
  assert.ok(seen[200] > 50, JSON.stringify(seen));
});

test("a successor that cannot start changes nothing", async () => {
  const origin = await startOrigin();
  const dir = folder();
  const file = join(dir, "gateway.json");
  writeFileSync(file, JSON.stringify(configuration(origin, ["127.0.0.1:0"])));
  const { child, match, said } = await start(program, ["-c", file], /ready on (http:\/\/\S+),/);
  writeFileSync(file, "{ nonsense");
  child.kill("SIGUSR2");
  await until(() => /replacement: process \d+ ended with status 1; going on/.test(said()), said());
  assert.equal(await get(`${match[1]}/products`), 200);
  assert.equal(childrenOf(child.pid).length, 0);
});

test("a socket that a service manager passes is served, and readiness is told", async () => {
  const origin = await startOrigin();
  const dir = folder();
  const listener = net.createServer().listen(0, "127.0.0.1");
  await new Promise((done) => listener.once("listening", done));
  const { port } = listener.address();
  const file = join(dir, "gateway.json");
  writeFileSync(file, JSON.stringify(configuration(origin, [`127.0.0.1:${port}`])));
  const script = `LISTEN_PID=$$ LISTEN_FDS=1 NOTIFY_SOCKET=${dir}/notify exec "$0" -c "$1"`;
  const manager = spawn("python3", ["-c", `
import socket, sys, os
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind("${dir}/notify")
while True:
    print(s.recv(4096).decode().replace("\\n", " "), flush=True)
`], { stdio: ["ignore", "pipe", "inherit"] });
  let told = "";
  manager.stdout.on("data", (bytes) => { told += bytes; });
  try {
    await until(() => { try { return readFileSync("/proc/net/unix", "utf8").includes(`${dir}/notify`); } catch { return false; } }, "the manager");
    const gateway = spawn("sh", ["-c", script, program, file], { stdio: ["ignore", "ignore", "pipe", listener._handle.fd] });
    let said = "";
    gateway.stderr.on("data", (bytes) => { said += bytes; });
    try {
      await until(() => /ready on/.test(said), `ready in ${said}`);
      listener.close();
      assert.equal(await get(`http://127.0.0.1:${port}/products`), 200);
      await until(() => told.includes(`READY=1 MAINPID=${gateway.pid}`), told);
      gateway.kill("SIGHUP");
      await until(() => /RELOADING=1 MONOTONIC_USEC=\d+\s+READY=1/.test(told), told);
    } finally {
      gateway.kill("SIGTERM");
      await until(() => gateway.exitCode !== null, `the end of ${said}`);
    }
    await until(() => told.includes("STOPPING=1"), told);
  } finally {
    manager.kill();
  }
});
