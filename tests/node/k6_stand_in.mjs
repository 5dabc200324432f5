// k6_stand_in.mjs - as much of k6 as the scripts under k6/ use, so that they run in node.
//
// k6's calls wait for their answer; node's do not. So a thread of its own asks, and this one
// sleeps on a shared word until the answers are there. One user, no load: what is tested with it
// is what the scripts check, not how fast anything is.
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";

export const checks = [];
const flag = new Int32Array(new SharedArrayBuffer(4));
const { port1: ours, port2: theirs } = new MessageChannel();

async function asker({ port, flag }) {
  const one = async ([method, url, body, params = {}]) => {
    const began = performance.now();
    const answer = await fetch(url, { method, body: body ?? undefined, headers: params.headers });
    const text = await answer.text();
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: text, timings: { duration: performance.now() - began } };
  };
  port.on("message", async (requests) => {
    const lost = (error) => ({ status: 0, headers: {}, body: String(error), timings: { duration: 0 } });
    const answers = await Promise.all(requests.map((request) => one(request).catch(lost)));
    port.postMessage(answers);
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
  });
}
const code = `const { workerData } = require("node:worker_threads"); (${asker})(workerData);`;
const worker = new Worker(code, { eval: true, workerData: { port: theirs, flag }, transferList: [theirs] });
worker.unref();

function batch(requests) {
  Atomics.store(flag, 0, 0);
  ours.postMessage(requests);
  Atomics.wait(flag, 0, 0, 30000);
  const { message } = receiveMessageOnPort(ours);
  return message.map((answer) => ({
    ...answer,
    json: (path) => path.split(".").reduce((value, name) => value?.[name], JSON.parse(answer.body)),
  }));
}

export default {
  batch,
  get: (url, params) => batch([["GET", url, null, params]])[0],
  put: (url, body, params) => batch([["PUT", url, body, params]])[0],
  post: (url, body, params) => batch([["POST", url, body, params]])[0],
  del: (url, body, params) => batch([["DELETE", url, body, params]])[0],
};

export function check(value, wanted) {
  const results = Object.entries(wanted).map(([name, fn]) => ({ name, ok: fn(value) === true }));
  checks.push(...results);
  return results.every((result) => result.ok);
}

/** What was added to each metric, by name. */
export const metrics = new Map();
class Metric {
  constructor(name) {
    metrics.set(name, (this.added = []));
  }
  add(value) {
    this.added.push(Number(value));
  }
}
export { Metric as Counter, Metric as Rate, Metric as Trend };

/** What k6 hands to handleSummary, of the trends alone. */
export function summary() {
  const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  const rows = [...metrics].map(([name, added]) => {
    const sorted = [...added].sort((a, b) => a - b);
    return [name, { values: { "p(50)": at(sorted, 0.5), "p(95)": at(sorted, 0.95), "p(99)": at(sorted, 0.99) } }];
  });
  return { metrics: Object.fromEntries(rows) };
}
export function sleep(seconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}
export function fail(words) {
  throw new Error(words);
}
