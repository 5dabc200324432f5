// mixed.js - a bank's day: balances all the time, transactions often, profiles now and then, and a
// transfer that changes a balance. Every answer belongs to one caller and lives as long as its
// route says (30 s, a minute, a quarter of an hour); after a transfer nobody sees the old balance.
//
// Needs KEY_INTERNAL (README.md): entries of one caller need a caller.
import http from "k6/http";
import { check } from "k6";
import { Rate, Trend } from "k6/metrics";
import { clearCache, equal, gatewayUrl, header } from "./lib/gateway.js";
import { cacheStatus, needKey, percentiles, popular, setting, summaryTrendStats } from "./lib/load.js";

const trends = {
  balances: new Trend("balances", true), transactions: new Trend("transactions", true),
  profiles: new Trend("profiles", true), transfers: new Trend("transfers", true),
};
const hits = new Rate("profile_hits");

export const options = {
  scenarios: {
    day: {
      executor: /** @type {const} */ ("constant-arrival-rate"), rate: setting("RATE", 200), timeUnit: "1s",
      duration: __ENV.DURATION || "60s", preAllocatedVUs: 50, maxVUs: 300,
    },
    promise: { executor: /** @type {const} */ ("per-vu-iterations"), exec: "promise", vus: 1, iterations: 1, startTime: __ENV.DURATION || "60s" },
  },
  summaryTrendStats,
  thresholds: {
    checks: ["rate==1.0"],
    http_req_failed: ["rate<0.001"],
    profile_hits: ["rate>0.7"],
    balances: ["p(95)<100"], transactions: ["p(95)<100"], profiles: ["p(95)<100"], transfers: ["p(95)<250"],
  },
};

export function setup() {
  needKey();
  clearCache();
}

/** @param {keyof typeof trends} kind @param {string} path @param {number} lifetime  seconds */
function read(kind, path, lifetime) {
  const answer = http.get(gatewayUrl + path, { ...needKey(), tags: { name: kind } });
  const left = Number(/; ttl=(\d+)/.exec(header(answer, "Cache-Status"))?.[1] ?? 0);
  check(answer, {
    [`${kind}: an answer`]: ({ status }) => status === 200,
    [`${kind}: kept at most ${lifetime} s`]: () => left <= lifetime,
  });
  trends[kind].add(answer.timings.duration);
  return answer;
}

function transfer() {
  const headers = { ...needKey().headers, "Content-Type": "application/json" };
  const answer = http.post(`${gatewayUrl}/transactions`, '{"from": "1", "to": "2", "amount": 5}', { headers, tags: { name: "transfers" } });
  check(answer, { "a transfer passes": ({ status }) => status >= 200 && status < 300 });
  trends.transfers.add(answer.timings.duration);
}

export default function () {
  const dice = Math.random();
  if (dice < 0.6) read("balances", `/accounts/${popular(20)}/balance`, 30);
  else if (dice < 0.85) read("transactions", "/transactions", 60);
  else if (dice < 0.99) hits.add(cacheStatus(read("profiles", `/profiles/${popular(20)}`, 900)) === "HIT");
  else transfer();
}

/** When the day is over, and nobody else asks: a second look is a hit, and a transfer ends it. */
export function promise() {
  read("balances", "/accounts/1/balance", 30);
  equal("a second look at a balance is a hit", cacheStatus(read("balances", "/accounts/1/balance", 30)), "HIT");
  transfer();
  equal("after a transfer the balance is fetched", cacheStatus(read("balances", "/accounts/1/balance", 30)), "MISS");
  equal("a profile has nothing to do with it", cacheStatus(read("profiles", "/profiles/1", 900)) !== "", true);
}

/** @param {any} data */
export function handleSummary(data) {
  return { stdout: percentiles(data, { balances: "balances", transactions: "transactions", profiles: "profiles", transfers: "transfers" }) };
}
