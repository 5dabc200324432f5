// anomalies.test.mjs - what goes wrong on the sample backend, and the alert that sees it: each anomaly is
// driven on a backend of its own, a real Prometheus scrapes, and the expression of the alert as it stands in
// prometheus/alerts.yml becomes true for that backend and no other. A minute of the rules is a second here.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startCadvisor } from "./cadvisor.mjs";
import { folder, freePort, root, sleep, start, startGateway, stop, stopAll } from "./programs.mjs";

const MIB = 1 << 20;
const names = ["leaky", "spinning", "jumpy", "shaky", "writing", "stalling", "calm"];
const containers = names.map((name) => ({ name, cores: name === "spinning" ? 0.2 : 2, memory: 256 * MIB }));
const rules = readFileSync(join(root, "prometheus/alerts.yml"), "utf8");
let cadvisor, gateway, prometheus, leaked = 0, isOver = false;

const origins = {};
async function startOrigin(name, port = 0) {
  const { child, match } = await start(process.env.ORIGIN ?? "build/origin", ["--port", String(port)], /ready on (http:\/\/\S+)/);
  origins[name] = { child, url: match[1] };
  containers.find((one) => one.name === name).pid = child.pid;
}

const ask = async (name, path) => {
  const answer = await fetch(origins[name].url + path);
  await answer.arrayBuffer();
  assert.equal(answer.status, 200, path);
};

/** The expression of an alert, with a second for each minute and a minute for each hour. */
function expression(alert) {
  const [, folded, plain] = new RegExp(`- alert: ${alert}\\n +expr: (?:>-\\n((?: {10}.*\\n)+)|(.*)\\n)`).exec(rules);
  return (folded ?? plain)
    .replaceAll(/(\d+)m\b/g, "$1s")
    .replaceAll(/(\d+)h\b/g, "$1m")
    .replaceAll("3600", "60");
}

async function firing(alert) {
  const answer = await fetch(`${prometheus}/api/v1/query?query=${encodeURIComponent(expression(alert))}`);
  const body = await answer.json();
  assert.equal(body.status, "success", `${alert}: ${body.error}`);
  return body.data.result.map(({ metric }) => metric);
}

const anomalies = {
  // four MiB five times a second, up to what its limit would have killed it for
  leaky: async () => (leaked < 300 * MIB && (await ask("leaky", `/anomaly/leak?bytes=${4 * MIB}`)), (leaked += 4 * MIB), sleep(200)),
  spinning: () => ask("spinning", "/anomaly/spin?ms=200"),
  jumpy: async () => (await ask("jumpy", "/anomaly/spin?ms=1000"), sleep(8000)),
  shaky: async () => {
    await sleep(1500);
    const port = new URL(origins.shaky.url).port;
    await stop(origins.shaky.child);
    await startOrigin("shaky", port);
  },
  writing: () => ask("writing", `/anomaly/write?bytes=${64 * MIB}`),
  stalling: () => ask("stalling", "/anomaly/stall?ms=3000"),
};

/** Somebody who asks a backend through the gateway, twenty at a time. */
async function visit(name) {
  while (!isOver)
    await Promise.all(Array.from({ length: 20 }, async () => {
      const answer = await fetch(`${gateway.url}/${name}/headers`).catch(() => null);
      await answer?.arrayBuffer();
    })).then(() => sleep(100));
}

async function startPrometheus(jobs) {
  const home = folder(), port = await freePort(), file = join(home, "prometheus.yml");
  writeFileSync(file, "global: { scrape_interval: 250ms, scrape_timeout: 250ms }\nscrape_configs:\n" +
    Object.entries(jobs).map(([job, target]) => `  - job_name: ${job}\n    static_configs: [{ targets: ["${target}"] }]\n`).join(""));
  await start("prometheus", ["--config.file", file, "--storage.tsdb.path", join(home, "data"), "--web.listen-address", `127.0.0.1:${port}`],
    /Server is ready to receive web requests/);
  return `http://127.0.0.1:${port}`;
}

const running = [];
before(async () => {
  await Promise.all(names.map((name) => startOrigin(name)));
  cadvisor = await startCadvisor(containers);
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"] }, admin: { listen: "127.0.0.1:0" }, log: { access: "off" },
    resources: { interval: "250ms", cadvisor: `http://${cadvisor.address}` },
    upstreams: Object.fromEntries(["stalling", "calm"].map((name) => [name, { targets: [origins[name].url], timeout: "20s" }])),
    routes: ["stalling", "calm"].map((name) => ({ name, match: { path: `/${name}/*` }, strip_prefix: `/${name}`, upstream: name })),
  });
  prometheus = await startPrometheus({ gateway: new URL(gateway.admin).host, containers: cadvisor.address });
  await sleep(6000); // Prometheus takes up its targets; this is how they are when all is well
}, { timeout: 60000 });
after(async () => {
  isOver = true;
  await Promise.allSettled(running);
  cadvisor?.stop();
  const status = gateway && (await stop(gateway.child));
  await stopAll();
  assert.equal(status, 0, gateway?.said());
});

const cases = [
  ["leaky", "ContainerMemoryGrowing"],
  ["leaky", "ContainerMemoryHigh"],
  ["spinning", "ContainerCpuHigh"],
  ["jumpy", "ContainerCpuUnsteady"],
  ["shaky", "ContainerRestarting"],
  ["writing", "ContainerDiskBusy"],
];

test("nothing is wrong, and no alert says so", async () => {
  for (const [, alert] of [...cases, [, "GatewayLatencyHigh"], [, "ContainersMissized"]])
    assert.deepEqual(await firing(alert), [], alert);
  for (const [name, act] of Object.entries(anomalies))
    running.push((async () => {
      while (!isOver) await act();
    })().catch((error) => assert.ok(isOver, `${name}: ${error}`)));
  running.push(visit("stalling"), visit("calm"));
});

/** Waits until the alert is true, and for none but `name`. */
async function sees(alert, label, name) {
  for (let i = 0; i < 600; i++) {
    const found = (await firing(alert)).map((labels) => labels[label]);
    if (found.includes(name)) {
      assert.ok(!found.includes("calm"), `${alert} is true of ${found}`);
      return;
    }
    await sleep(100);
  }
  assert.fail(`${alert} did not become true of ${name}: ${expression(alert)}`);
}

for (const [name, alert] of cases)
  test(`${name}: ${alert}`, { timeout: 70000 }, () => sees(alert, "name", name));

test("stalling: GatewayLatencyHigh, of that route alone", { timeout: 70000 }, () => sees("GatewayLatencyHigh", "route", "stalling"));

test("the gateway's own judgement says who, and its alert that there is somebody", { timeout: 70000 }, async () => {
  await sees("ContainersMissized", "priority", "high");
  let judged;
  for (let i = 0; i < 300 && judged?.leaky.priority !== "high"; i++) {
    const { neighbours } = await (await fetch(`${gateway.admin}/system/resources`)).json();
    judged = Object.fromEntries(neighbours.map((one) => [one.name, one]));
    await sleep(100);
  }
  assert.equal(judged.leaky.priority, "high");
  assert.notEqual(judged.calm.priority, "high");
  assert.ok(judged.shaky.stability_score < judged.calm.stability_score);
});
