// jobs.test.mjs - a job's state straight from a real Redis, written with redis-cli as Python would: one
// answer, conditional, long polling, streams of changes; a thousand watchers that cost Redis one poll.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import http from "node:http";
import { after, before, test } from "node:test";
import { folder, freePort, sleep, start, startGateway, stop, stopAll } from "./programs.mjs";

const has = spawnSync("redis-server", ["--version"]).status === 0;
let port, dir, store, gateway;

const cli = (...words) => execFileSync("redis-cli", ["-p", String(port), ...words], { encoding: "utf8" });
const progress = (id, value) => cli("-n", "2", "set", `job:${id}:progress`, JSON.stringify(value), "EX", "3600");

async function startRedis() {
  dir ??= folder();
  const child = await start("bash", ["-c", `exec redis-server --port ${port} --bind 127.0.0.1 --dir ${dir} --save '' >&2`], /Ready to accept/);
  return child.child;
}

before(async () => {
  if (!has) return;
  port = await freePort();
  store = await startRedis();
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 1 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    store: { url: "memory:", roles: { jobs: { url: `redis://127.0.0.1:${port}/2` } } },
    routes: [{ name: "status", match: { path: "/status/{job_id}" }, job: { kind: "progress" } },
      { name: "tasks", match: { path: "/tasks/{task_id}" }, job: { kind: "celery" } },
      { name: "shop", match: { path: "/shop/{task_id}" }, job: { kind: "celery", prefix: "shop:" } }],
    log: { access: "off" },
  });
});
after(stopAll);

const skip = has ? false : "there is no redis-server";
const get = (path, headers = {}) => fetch(gateway.url + path, { headers });
const commands = () => Number(/total_commands_processed:(\d+)/.exec(cli("info", "stats"))[1]);

/** Reads events until the stream ends; `seen` grows on the way. */
function follow(path, headers = {}, url = gateway.url) {
  const seen = [];
  let request;
  const ended = new Promise((resolve, reject) => {
    request = http.get(url + path, { agent: false, headers: { Accept: "text/event-stream", ...headers } }, (answer) => {
      let text = "";
      seen.status = answer.statusCode;
      seen.type = answer.headers["content-type"];
      answer.on("data", (bytes) => {
        text += bytes;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const data = /^data: (.*)$/m.exec(text.slice(0, end));
          if (/^event: degraded$/m.test(text.slice(0, end))) seen.degraded = true;
          else if (data) seen.push(JSON.parse(data[1]));
          const id = /^id: (.*)$/m.exec(text.slice(0, end));
          if (id) seen.id = id[1];
        }
      });
      answer.on("end", () => resolve(seen));
      answer.on("error", () => resolve(seen));
    }).on("error", reject);
  });
  return { seen, ended, leave: () => request.destroy() };
}

async function until(what, ms = 8000) {
  for (const end = Date.now() + ms; !what() && Date.now() < end;) await sleep(20);
  assert.ok(what());
}

test("a job that is there, one that is not, and ids that cannot be", { skip }, async () => {
  progress("a-1", { progress: 40, message: "half", stage: "training", updated_at: "2026-01-01T00:00:00Z" });
  const answer = await get("/status/a-1");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("cache-control"), "no-store");
  assert.match(answer.headers.get("content-type"), /^application\/json/);
  assert.equal((await answer.json()).progress, 40);
  assert.equal((await get("/status/nobody")).status, 404);
  for (const id of ["a.b", "a%20b", "x".repeat(65), "a:b"]) assert.equal((await get(`/status/${id}`)).status, 400, id);
  cli("-n", "2", "set", "job:odd:progress", "no json");
  assert.equal((await get("/status/odd")).status, 502);
  cli("-n", "2", "rpush", "job:list:progress", "x");
  assert.equal((await get("/status/list")).status, 404);
});

test("the entity tag saves the second answer", { skip }, async () => {
  progress("tag", { progress: 1 });
  const tag = (await get("/status/tag")).headers.get("etag");
  const same = await get("/status/tag", { "If-None-Match": tag });
  assert.equal(same.status, 304);
  assert.equal(same.headers.get("etag"), tag);
  progress("tag", { progress: 2 });
  await sleep(150);
  assert.equal((await get("/status/tag", { "If-None-Match": tag })).status, 200);
});

test("a Celery result is shown without its traceback", { skip }, async () => {
  const id = "0a7b6f9e-1111-4222-8333-abcdefabcdef";
  cli("-n", "2", "set", `celery-task-meta-${id}`, JSON.stringify({ status: "FAILURE", result: { exc_type: "ValueError" },
    traceback: "File secret.py", date_done: null, task_id: id, children: [] }));
  const body = await (await get(`/tasks/${id}`)).text();
  assert.equal(JSON.parse(body).status, "FAILURE");
  assert.doesNotMatch(body, /secret/);
});

test("?wait= answers at the first change, or at its end", { skip }, async () => {
  progress("wait", { progress: 1 });
  const tag = (await get("/status/wait?wait=20")).headers.get("etag"); // it has nothing: at once
  const began = Date.now(), waiting = get("/status/wait?wait=20", { "If-None-Match": tag });
  await sleep(300);
  progress("wait", { progress: 2 });
  assert.equal((await (await waiting).json()).progress, 2);
  assert.ok(Date.now() - began < 10000);
  const later = (await get("/status/wait")).headers.get("etag");
  assert.equal((await get("/status/wait?wait=1", { "If-None-Match": later })).status, 304);
  const unborn = get("/status/unborn?wait=20");
  await sleep(300);
  progress("unborn", { progress: 0 });
  assert.equal((await unborn).status, 200);
  assert.equal((await get("/status/never?wait=1")).status, 404);
  assert.equal((await get("/status/wait?wait=long")).status, 400);
});

test("a stream tells each change until the job is over", { skip }, async () => {
  progress("flow", { progress: 10 });
  const { seen, ended } = follow("/status/flow");
  await until(() => seen.length === 1);
  assert.match(seen.type, /^text\/event-stream/);
  progress("flow", { progress: 60 });
  await until(() => seen.length === 2);
  progress("flow", { progress: 100, stage: "completed" });
  await ended;
  assert.deepEqual(seen.map((event) => event.progress), [10, 60, 100]);
  const again = await follow("/status/flow").ended;
  assert.equal(again.length, 1);
  assert.equal((await follow("/status/flow", { "Last-Event-ID": again.id }).ended).status, 204);
  assert.equal((await follow("/status/nobody").ended).status, 404);
});

test("a thousand watchers of one job cost Redis a few commands a second", { skip }, async () => {
  progress("crowd", { progress: 1 });
  const watchers = Array.from({ length: 1000 }, () => follow("/status/crowd"));
  await until(() => watchers.every(({ seen }) => seen.length === 1), 30000);
  const first = commands(), began = Date.now();
  await sleep(3000);
  const spent = (commands() - first) / ((Date.now() - began) / 1000);
  assert.ok(spent <= 5, `${spent} commands a second`);
  assert.match(await (await fetch(`${gateway.admin}/metrics`)).text(), /gateway_job_watchers 1000/);
  for (const watcher of watchers.slice(0, 500)) watcher.leave();
  progress("crowd", { progress: 100 });
  await Promise.all(watchers.slice(500).map(({ ended }) => ended));
  assert.ok(watchers.slice(500).every(({ seen }) => seen.at(-1).progress === 100));
  await sleep(500);
  assert.match(await (await fetch(`${gateway.admin}/metrics`)).text(), /gateway_job_watchers 0/);
});

test("four workers read a job once a period for all of them", { skip }, async () => {
  const many = await startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 4 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    store: { url: "memory:", roles: { jobs: { url: `redis://127.0.0.1:${port}/2` } } },
    routes: [{ name: "status", match: { path: "/status/{job_id}" }, job: { kind: "progress" } }],
    log: { access: "off" },
  });
  const reads = () => Number(/cmdstat_mget:calls=(\d+)/.exec(cli("info", "commandstats"))[1]);
  progress("shared", { progress: 1 });
  const watchers = Array.from({ length: 400 }, () => follow("/status/shared", {}, many.url));
  await until(() => watchers.every(({ seen }) => seen.length === 1), 30000);
  await until(() => cli("client", "list").split("name=gateway-jobs ").length >= 3); // more than one worker has watchers
  const first = reads(), began = Date.now();
  await sleep(4000);
  const spent = (reads() - first) / ((Date.now() - began) / 1000);
  assert.ok(spent <= 3, `${spent} reads a second, of a period of half a second`);
  progress("shared", { progress: 100 });
  await Promise.all(watchers.map(({ ended }) => ended));
  assert.ok(watchers.every(({ seen }) => seen.at(-1).progress === 100));
  assert.equal(await stop(many.child), 0);
});

test("what Celery publishes is told at once, and its channel is left with its last watcher", { skip }, async () => {
  const key = "shop:celery-task-meta-t1", channels = () => cli("pubsub", "channels").trim();
  cli("-n", "2", "set", key, JSON.stringify({ status: "STARTED", task_id: "t1" }));
  const { seen, ended } = follow("/shop/t1");
  await until(() => seen.length === 1 && channels() === key);
  // published and never stored: no poll could have seen it
  cli("publish", key, JSON.stringify({ status: "SUCCESS", result: 7, task_id: "t1" }));
  await ended;
  assert.deepEqual(seen.map(({ status }) => status), ["STARTED", "SUCCESS"]);
  await until(() => channels() === "");
  const waiting = get("/shop/t2?wait=20");
  await until(() => channels() === "shop:celery-task-meta-t2");
  cli("publish", "shop:celery-task-meta-t2", "no json");
  assert.equal((await waiting).status, 502);
});

test("a channel that was lost with its Redis is followed again", { skip }, async () => {
  const key = "shop:celery-task-meta-t3";
  cli("-n", "2", "set", key, JSON.stringify({ status: "STARTED" }));
  const { seen, ended } = follow("/shop/t3");
  await until(() => seen.length === 1);
  cli("save"); // else it would come back without the key, and the stream would end
  await stop(store);
  await until(() => seen.degraded);
  store = await startRedis();
  await until(() => cli("pubsub", "channels").trim() === key, 20000);
  cli("publish", key, JSON.stringify({ status: "FAILURE" }));
  await ended;
  assert.equal(seen.at(-1).status, "FAILURE");
});

test("without Redis it is 503 with Retry-After; streams stay, and go on", { skip }, async () => {
  progress("away", { progress: 1 });
  while ((await get("/status/away")).status !== 200) await sleep(50); // it was away in the test before
  const { seen, ended } = follow("/status/away");
  await until(() => seen.length === 1);
  await stop(store);
  await until(() => seen.degraded);
  const answer = await get("/status/away");
  assert.equal(answer.status, 503);
  assert.ok(Number(answer.headers.get("retry-after")) > 0);
  store = await startRedis();
  progress("away", { progress: 100 });
  await ended;
  assert.equal(seen.at(-1).progress, 100);
  assert.equal((await get("/status/away")).status, 200);
});

test("a job's route needs a store and an id", { skip }, async () => {
  for (const [store_, path, fault] of [[{}, "/status/{id}", /read from the store/], [{ url: "redis://127.0.0.1:1" }, "/status/x", /needs an id/]])
    await assert.rejects(startGateway({ store: store_, routes: [{ match: { path }, job: { kind: "progress" } }] }), fault);
  assert.equal(await stop(gateway.child), 0);
});
