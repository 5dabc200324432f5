// metrics.js - the text of /metrics as numbers: what happened between two looks.
//
// Counters only rise, so a rate is a difference by the time between; where one fell, the gateway
// was started anew and the difference is left out. Percentiles are read from the histogram's
// differences, straight lines within a bucket, as Prometheus does.

const wanted = new Set([
  "gateway_requests_total",
  "gateway_request_duration_seconds_bucket",
  "gateway_cache_requests_total",
  "gateway_rate_limit_blocks_total",
  "gateway_requests_in_flight",
  "gateway_connections_active",
  "gateway_build_info",
]);

const labelForm = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const unescaped = (text) => text.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));

function readLabels(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(labelForm)) labels[name] = unescaped(value);
  return labels;
}

/** {name: [{labels, value}]} of the metrics that this page shows. */
export function readMetrics(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const end = line.search(/[{ ]/);
    const name = line.slice(0, end);
    if (!wanted.has(name)) continue;
    const close = line[end] === "{" ? line.lastIndexOf("}") : end;
    (found[name] ??= []).push({ labels: readLabels(line.slice(end, close)), value: Number(line.slice(close + 1).trim().split(" ")[0]) });
  }
  return found;
}

/** The sum of a metric's series by one label's value: {value: sum}. */
export function sumBy(series, label) {
  const sums = {};
  for (const { labels, value } of series ?? []) sums[labels[label]] = (sums[labels[label]] ?? 0) + value;
  return sums;
}

/** What was added to each since `before`; null where the gateway was started anew. */
export function added(before, now) {
  const difference = {};
  for (const [key, value] of Object.entries(now)) {
    difference[key] = value - (before[key] ?? 0);
    if (difference[key] < 0) return null;
  }
  return difference;
}

/** The q-quantile of cumulative bucket counts {le: count}; null without any. */
export function quantile(q, buckets) {
  const steps = Object.entries(buckets)
    .map(([le, value]) => [le === "+Inf" ? Infinity : Number(le), value])
    .sort((a, b) => a[0] - b[0]);
  const all = steps.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  const rank = q * all;
  let [floor, below] = [0, 0];
  for (const [le, value] of steps) {
    if (value >= rank) return le === Infinity ? floor : floor + ((le - floor) * (rank - below)) / Math.max(value - below, 1e-9);
    [floor, below] = [le, value];
  }
  return floor;
}
