// traffic.js - tiles and charts: requests, latency, hit ratio, refusals; from two looks at /metrics.
import { badge, bytes, byId, count, h, percent, seconds, setText } from "./dom.js";
import { Chart } from "./chart.js";
import { added, quantile, readMetrics, sumBy } from "./metrics.js";

const SPAN = 5; // looks that a percentile is made of: ten seconds

const tiles = [
  ["rate", "Requests / s"],
  ["p50", "Latency p50"],
  ["p95", "Latency p95"],
  ["p99", "Latency p99"],
  ["hits", "Cache hit ratio"],
  ["errors", "Server errors"],
  ["refused", "Refused / s"],
  ["flight", "In flight"],
  ["memory", "Memory"],
  ["load", "Busiest worker"],
];

const looks = []; // the last SPAN + 1 of them
let charts;

export function startTraffic() {
  for (const [id, name] of tiles) byId("tiles").append(h("div", { class: "tile" }, h("dl", {}, h("dt", {}, name), h("dd", { id: `tile-${id}` }, "–"))));
  const short = (value) => (value >= 1000 ? `${count(value / 1000)}k` : count(value));
  charts = {
    rate: new Chart({ title: "Requests a second, by status", format: short }),
    latency: new Chart({ title: "Latency", format: seconds, least: 0.001 }),
    hits: new Chart({ title: "Cache hit ratio", format: (value) => `${Math.round(value * 100)} %`, most: 1 }),
    refused: new Chart({ title: "Refused a second, by tier", format: short }),
  };
  byId("charts").append(...Object.values(charts).map((chart) => chart.element));
}

function lookOf(text, time) {
  const metrics = readMetrics(text);
  const sum = (name) => (metrics[name] ?? []).reduce((all, { value }) => all + value, 0);
  setText(byId("version"), metrics.gateway_build_info?.[0].labels.version ?? "");
  setText(byId("tile-flight"), count(sum("gateway_requests_in_flight")));
  return {
    time,
    status: sumBy(metrics.gateway_requests_total, "status"),
    buckets: sumBy(metrics.gateway_request_duration_seconds_bucket, "le"),
    cache: sumBy(metrics.gateway_cache_requests_total, "status"),
    refused: sumBy(metrics.gateway_rate_limit_blocks_total, "tier"),
  };
}

const total = (numbers) => Object.values(numbers).reduce((all, value) => all + value, 0);

/** {"2xx": per second, …} */
function classes(status, spent) {
  const rates = {};
  for (const [code, value] of Object.entries(status)) {
    const name = code === "499" ? "client left" : `${code[0]}xx`;
    rates[name] = (rates[name] ?? 0) + value / spent;
  }
  return rates;
}

function hitRatio(cache) {
  const of = (...names) => names.reduce((all, name) => all + (cache[name] ?? 0), 0);
  const served = of("hit", "stale", "updating");
  const all = served + of("miss", "expired", "revalidated");
  return all > 0 ? served / all : null;
}

function put(id, value, format) {
  setText(byId(`tile-${id}`), value === null ? "–" : format(value));
}

function show(now, before, oldest) {
  const spent = now.time - before.time;
  const status = added(before.status, now.status);
  const buckets = added(oldest.buckets, now.buckets);
  const cache = added(oldest.cache, now.cache);
  const refused = added(before.refused, now.refused);
  const recent = added(oldest.status, now.status);
  if (!status || !buckets || !cache || !refused || !recent) return false;
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((q) => quantile(q, buckets));
  const failed = Object.entries(recent).reduce((all, [code, value]) => all + (code[0] === "5" ? value : 0), 0);
  const perTier = Object.fromEntries(Object.entries(refused).map(([tier, value]) => [tier, value / spent]));
  put("rate", total(status) / spent, count);
  put("p50", p50, seconds);
  put("p95", p95, seconds);
  put("p99", p99, seconds);
  put("hits", hitRatio(cache), percent);
  put("errors", total(recent) > 0 ? failed / total(recent) : null, percent);
  put("refused", total(refused) / spent, count);
  charts.rate.add(now.time, classes(status, spent));
  charts.latency.add(now.time, { p50, p95, p99 });
  charts.hits.add(now.time, { "hit ratio": hitRatio(cache) });
  charts.refused.add(now.time, perTier);
  return true;
}

/** The text of /metrics, as it was at `time` (seconds). */
export function updateTraffic(text, time) {
  const now = lookOf(text, time);
  if (looks.length > 0 && !show(now, looks.at(-1), looks[0])) looks.length = 0;
  looks.push(now);
  if (looks.length > SPAN) looks.shift();
}

/** {name, value, warning, critical, severity} of each check that is not normal. */
function worriesOf(health) {
  const checks = { ...health.backpressure.checks, ...health.memory.checks };
  return Object.entries(checks).filter(([, check]) => check.severity !== "normal").map(([name, check]) => ({ name: name.replaceAll("_", " "), ...check }));
}

function showWorries(worries) {
  const key = JSON.stringify(worries.map(({ name, severity }) => [name, severity]));
  const list = byId("worries");
  if (list.dataset.key === key) return; // read aloud when it changes, not with every look
  list.dataset.key = key;
  list.replaceChildren(...worries.map((one) => h("li", {}, badge(one.severity), `${one.name} ${count(one.value)}, ${one.severity} from ${one[one.severity]}`)));
}

/** The answer of /system/health. */
export function updateLoad(health) {
  showWorries(worriesOf(health));
  put("memory", health.memory.rss_bytes, bytes);
  put("load", Math.max(0, ...health.backpressure.workers.map((worker) => worker.utilization)), percent);
}
