// spike.js - from quiet to very much within a second, and back. Nobody may get a wrong answer or
// none: in need the gateway says 503 with Retry-After, and when it is over all is as before.
import http from "k6/http";
import { check } from "k6";
import { Trend } from "k6/metrics";
import { gatewayUrl, header } from "./lib/gateway.js";
import { lift, percentiles, popular, setting, summaryTrendStats } from "./lib/load.js";

const PEAK = setting("PEAK", 900);
const durations = { before: new Trend("before_spike", true), spike: new Trend("during_spike", true), after: new Trend("after_spike", true) };

/** @param {keyof typeof durations} exec @param {string} startTime @param {number} rate @param {string} duration */
const phase = (exec, startTime, rate, duration) => ({
  executor: /** @type {const} */ ("constant-arrival-rate"), exec, startTime, rate, duration,
  timeUnit: "1s", preAllocatedVUs: 50, maxVUs: 1000,
});

export const options = {
  scenarios: { before: phase("before", "0s", 10, "10s"), spike: phase("spike", "10s", PEAK, "20s"), after: phase("after", "35s", 10, "10s") },
  summaryTrendStats,
  thresholds: { checks: ["rate==1.0"], before_spike: ["p(95)<100"], during_spike: ["p(95)<1000"], after_spike: ["p(95)<100"] },
};

export function setup() {
  lift("5m");
}

/** @param {keyof typeof durations} when */
function ask(when) {
  const answer = http.get(`${gatewayUrl}/products/${popular(50)}`, { tags: { name: "product" } });
  check(answer, {
    "an answer, or a word when to come back": (one) => one.status === 200 || (one.status === 503 && Number(header(one, "Retry-After")) > 0),
    "the right answer": (one) => one.status !== 200 || String(one.body).startsWith('{"id":'),
  });
  durations[when].add(answer.timings.duration);
}

export const before = () => ask("before");
export const spike = () => ask("spike");
export const after = () => ask("after");

/** @param {any} data */
export function handleSummary(data) {
  return { stdout: percentiles(data, { before_spike: "before", during_spike: `${PEAK} a second`, after_spike: "after" }) };
}
