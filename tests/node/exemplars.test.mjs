// exemplars.test.mjs - from a slow bucket to a trace: a real Prometheus that asks for OpenMetrics
// scrapes the gateway and gives, for the histogram of durations, the traces that stand for it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { startCollector } from "./otlp.mjs";
import { folder, freePort, sleep, start, startGateway, startOrigin, stopAll } from "./programs.mjs";

const parent = { trace: "0af7651916cd43dd8448eb211c80319c", span: "b7ad6b7169203331" };
let collector;
after(async () => {
  await collector?.close();
  await stopAll();
});

async function begin(trace) {
  return startGateway({
    server: { listen: ["127.0.0.1:0"], workers: 2 },
    admin: { listen: "127.0.0.1:0" },
    upstreams: { sample: { targets: [await startOrigin()] } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "sample" }],
    log: { access: "off" },
    trace,
  });
}

async function scrape(gateway, accept) {
  const answer = await fetch(`${gateway.admin}/metrics`, { headers: { Accept: accept } });
  return answer.text();
}

const exemplars = (text) => [...text.matchAll(/^gateway_request_duration_seconds_bucket\{.*\} \d+ # \{trace_id="([0-9a-f]{32})"\} ([\d.]+) (\d+\.\d+)$/gm)];

test("without a collector of ours, a caller's sampled trace stands for its request", { timeout: 60000 }, async () => {
  const gateway = await begin({});
  await (await fetch(`${gateway.url}/products`)).text();
  await (await fetch(`${gateway.url}/products`, { headers: { traceparent: `00-${"1".repeat(32)}-${parent.span}-00` } })).text();
  assert.deepEqual(exemplars(await scrape(gateway, "application/openmetrics-text")), []);
  await (await fetch(`${gateway.url}/products`, { headers: { traceparent: `00-${parent.trace}-${parent.span}-01` } })).text();
  const [[, id, seconds, moment], ...rest] = exemplars(await scrape(gateway, "application/openmetrics-text"));
  assert.deepEqual(rest, []);
  assert.equal(id, parent.trace);
  assert.ok(Number(seconds) > 0 && Number(seconds) < 30);
  assert.ok(Math.abs(Number(moment) * 1000 - Date.now()) < 30000);
  assert.deepEqual(exemplars(await scrape(gateway, "text/plain")), []);
});

test("Prometheus keeps them, and they name traces that the collector has", { timeout: 90000 }, async (t) => {
  if (spawnSync("prometheus", ["--version"]).status !== 0) return t.skip("no prometheus on the PATH");
  collector = await startCollector();
  const gateway = await begin({ otlp: collector.url, sample: 1 });
  const home = folder(), port = await freePort(), file = join(home, "prometheus.yml");
  writeFileSync(file, `global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs: [{ job_name: gateway, static_configs: [{ targets: ["${new URL(gateway.admin).host}"] }] }]\n`);
  await start("prometheus", ["--config.file", file, "--storage.tsdb.path", join(home, "data"), "--web.listen-address", `127.0.0.1:${port}`, "--enable-feature=exemplar-storage"], /Server is ready to receive web requests/);
  for (let i = 0; i < 20; i++) await (await fetch(`${gateway.url}/products/${i}`)).text();
  const now = () => (Date.now() / 1000).toFixed(3);
  const began = (Date.now() / 1000 - 60).toFixed(3);
  let found = [];
  for (let i = 0; found.length === 0 && i < 300; i++) {
    await sleep(100);
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query_exemplars?query=gateway_request_duration_seconds_bucket&start=${began}&end=${now()}`);
    found = (await answer.json()).data.flatMap((series) => series.exemplars.map((one) => ({ ...one, route: series.seriesLabels.route })));
  }
  assert.ok(found.length > 0, "no exemplars in 30 s");
  const traces = new Set(collector.spans.map((span) => span.traceId));
  for (const one of found) {
    assert.equal(one.route, "all");
    assert.ok(traces.has(one.labels.trace_id), one.labels.trace_id);
  }
});
