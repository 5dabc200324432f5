// compare.js - the same products with and without the cache: what does it spare a client?
//
// Without: each request says no-cache, so the backend is asked every time, through the same
// gateway. The table at the end is in milliseconds. The sample backend answers at once from its
// memory, on the same machine: in front of a real one the difference is larger.
import http from "k6/http";
import { check } from "k6";
import { Trend } from "k6/metrics";
import { clearCache, gatewayUrl } from "./lib/gateway.js";
import { cacheStatus, lift, percentiles, popular, setting, summaryTrendStats } from "./lib/load.js";

const trends = { with: new Trend("with_cache", true), without: new Trend("without_cache", true) };
/** @param {string} exec @param {string} startTime */
const steady = (exec, startTime) => ({
  executor: /** @type {const} */ ("constant-arrival-rate"), exec, startTime, rate: setting("RATE", 200),
  timeUnit: "1s", duration: __ENV.DURATION || "20s", preAllocatedVUs: 20, maxVUs: 200,
});

export const options = {
  scenarios: { without: steady("withoutCache", "0s"), with: steady("withCache", __ENV.DURATION || "20s") },
  summaryTrendStats,
  thresholds: { checks: ["rate==1.0"], with_cache: ["p(99)<250"], without_cache: ["p(99)<500"] },
};

export function setup() {
  lift("10m");
  clearCache();
  for (let id = 1; id <= 50; id++) http.get(`${gatewayUrl}/products/${id}`);
}

/** @param {"with" | "without"} kind @param {Record<string, string>} headers @param {RegExp} wanted */
function ask(kind, headers, wanted) {
  const answer = http.get(`${gatewayUrl}/products/${popular(50)}`, { headers, tags: { name: kind } });
  check(answer, {
    "an answer": ({ status }) => status === 200,
    [`${kind} the cache`]: (one) => wanted.test(cacheStatus(one)),
  });
  trends[kind].add(answer.timings.duration);
}

export const withCache = () => ask("with", {}, /^HIT$/);
export const withoutCache = () => ask("without", { "Cache-Control": "no-cache" }, /^(REVALIDATED|EXPIRED|MISS)$/);

/** @param {any} data */
export function handleSummary(data) {
  return { stdout: percentiles(data, { with_cache: "with the cache", without_cache: "without" }) };
}
