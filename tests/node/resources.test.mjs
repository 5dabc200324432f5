// resources.test.mjs - GET /system/resources: this gateway, and neighbours from something that answers as cAdvisor does.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { sleep, startGateway, stopAll } from "./programs.mjs";

let gateway, neighbour, asked = [], silent = false;
const began = Date.now();

// a container that uses a fifth of its core and 64 MiB of its 512; and one that is killed again and again
const metrics = () => {
  const seconds = (Date.now() - began) / 1000;
  return `# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed in seconds.
container_cpu_usage_seconds_total{cpu="total",id="/docker/1",name="web"} ${100 + seconds * 0.2}
container_memory_working_set_bytes{id="/docker/1",name="web"} ${64 << 20}
container_spec_cpu_shares{id="/docker/1",name="web"} 1024
container_spec_memory_limit_bytes{id="/docker/1",name="web"} ${512 << 20}
container_cpu_usage_seconds_total{cpu="total",id="/docker/2",name="leaky"} ${seconds * 0.1}
container_memory_working_set_bytes{id="/docker/2",name="leaky"} ${100 << 20}
container_oom_events_total{id="/docker/2",name="leaky"} 4
container_cpu_usage_seconds_total{cpu="total",id="/"} 12345
`;
};
const resources = async () => (await fetch(`${gateway.admin}/system/resources`)).json();
async function until(claim, what) {
  let told;
  for (let i = 0; i < 400; i++) {
    if (claim((told = await resources()))) return told;
    await sleep(50);
  }
  assert.fail(`${what}: ${JSON.stringify(told)}`);
}

before(async () => {
  neighbour = http.createServer((request, response) => {
    asked.push(request.url);
    if (silent) response.writeHead(500).end();
    else response.end(metrics());
  });
  await new Promise((resolve) => neighbour.listen(0, "127.0.0.1", resolve));
  gateway = await startGateway({
    server: { listen: ["127.0.0.1:0"] }, admin: { listen: "127.0.0.1:0" },
    resources: { interval: "100ms", cadvisor: `http://127.0.0.1:${neighbour.address().port}`, prices: { cpu_core_month: 20, memory_gib_month: 4 } },
    log: { access: "off" },
  });
});
after(async () => {
  await stopAll();
  neighbour.closeAllConnections();
  neighbour.close();
});

test("this gateway: what it uses, and what it should be given", async () => {
  const { gateway: own, interval, targets } = await until((told) => told.gateway.samples >= 12, "no samples");
  assert.equal(interval, 0.1);
  assert.equal(own.name, "gateway");
  assert.ok(own.memory.p50 > 1 << 20 && own.memory.peak >= own.memory.p95);
  assert.ok(own.cpu.recommended_request >= 0.01 && own.memory.recommended_limit > own.memory.p95);
  assert.ok(own.stability_score >= 0 && own.stability_score <= 100);
  assert.deepEqual(targets, { cpu_waste: 0.3, memory_waste: 0.3, stability_score: 80 });
});

test("neighbours by priority, with what right-sizing saves", async () => {
  const told = await until((told) => told.neighbours[1]?.samples >= 20, "no neighbours");
  const [leaky, web] = told.neighbours;
  assert.ok(asked.every((url) => url === "/metrics"));
  assert.deepEqual([leaky.name, leaky.priority, leaky.oom_kills], ["leaky", "high", 4]);
  assert.deepEqual([web.name, web.priority, told.neighbours.length], ["web", "medium", 2]);
  assert.ok(web.cpu.p50 > 0.1 && web.cpu.p50 < 0.4, `${web.cpu.p50} cores`);
  assert.deepEqual([web.cpu.request, web.cpu.limit, web.memory.limit], [1, null, 512 << 20]);
  assert.ok(Math.abs(web.memory.waste - 0.875) < 0.01);
  assert.ok(leaky.stability_score < web.stability_score);
  const saved = (1 - web.cpu.recommended_request) * 20 + ((512 << 20) - web.memory.recommended_request) / 2 ** 30 * 4;
  assert.ok(Math.abs(web.monthly_saving - saved) < 0.01);
  assert.equal(told.source.why, null);
});

test("a scrape that fails is told, and what is known stays", async () => {
  silent = true;
  const told = await until((told) => told.source.why !== null, "it was not told");
  assert.match(told.source.why, /status/);
  assert.equal(told.neighbours.length, 2);
});
