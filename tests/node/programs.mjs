// programs.mjs - starts the sample backend, the gateway and other programs for a test, and ends
// them by their process id. Each listens on loopback, on a port that was free; files go to a
// folder of the test's own, removed at the end. GATEWAY and ORIGIN name the programs.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export { sleep };
export const root = new URL("../../", import.meta.url).pathname;
const running = new Set();
const folders = [];

export function folder() {
  const path = mkdtempSync(join(tmpdir(), "gateway-test-"));
  folders.push(path);
  return path;
}

/** Starts a program and waits until a line of its stderr fits `ready`; gives the match. */
export function start(program, args, ready, env = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ...env } });
  running.add(child);
  let said = "";
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${program} is not ready after 20 s:\n${said}`)), 20000);
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      running.delete(child);
      clearTimeout(timer);
      reject(new Error(`${program} ended (${signal ?? code}):\n${said}`));
    });
    child.stderr.on("data", (bytes) => {
      said = (said + bytes).slice(-20000);
      const match = ready.exec(said);
      if (!match) return;
      clearTimeout(timer);
      resolve({ child, match, said: () => said });
    });
  });
}

export async function startOrigin() {
  const { match } = await start(process.env.ORIGIN ?? "build/origin", ["--port", "0"], /ready on (http:\/\/\S+)/);
  return match[1];
}

/** `config` is an object; its listeners should have port 0. */
export function startGateway(config, env = {}) {
  const file = join(folder(), "gateway.json");
  writeFileSync(file, JSON.stringify(config, null, 2));
  return startGatewayFile(file, env);
}

export async function startGatewayFile(file, env = {}) {
  const program = process.env.GATEWAY ?? "build/gateway";
  const ready = /gateway: ready on (http:\/\/[^\s,]+).*, admin on (http:\/\/\S+)/;
  const { child, match, said } = await start(program, ["-c", file], ready, env);
  return { url: match[1], admin: match[2], child, said, file };
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Redis, or what REDIS_SERVER names in its place (Valkey, another version). */
export const redisServer = process.env.REDIS_SERVER ?? "/usr/bin/redis-server";
export const hasRedis = existsSync(redisServer);

/** One without persistence, that listens to what `args` say; its ready line goes to stdout, and the
 * shell is replaced, so that the child is Redis itself. */
export function startRedis(args, ready = /ready to accept connections|monitor master/i) {
  const more = args.some((word) => word === "--sentinel") ? [] : ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", folder()];
  return start("/bin/bash", ["-c", 'exec "$0" "$@" 1>&2', redisServer, ...args, ...more], ready);
}

/** Ends one child; its exit status, or the signal that it took. */
export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  child.kill("SIGTERM");
  const hard = setTimeout(() => child.kill("SIGKILL"), 5000);
  const status = await ended;
  clearTimeout(hard);
  return status;
}

export async function stopAll() {
  await Promise.all([...running].map(stop));
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
}
