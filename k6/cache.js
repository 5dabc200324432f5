// cache.js - the five patterns that a cache meets: readers who like some products more than others,
// a crowd that asks for what has just been dropped, more answers than anybody asks for again, a
// rush on one of them, and questions that nobody has asked before.
//
// Each pattern has its own check or threshold; they run one after the other, and nothing else may
// use the gateway meanwhile (the crowd counts the fetches of the whole cache).
import http from "k6/http";
import { check } from "k6";
import { Rate, Trend } from "k6/metrics";
import { between, clearCache, equal, gatewayUrl, invalidate } from "./lib/gateway.js";
import { cacheStats, cacheStatus, lift, popular, setting, summaryTrendStats, unseen } from "./lib/load.js";

const RATE = setting("RATE", 200);
const products = `${gatewayUrl}/products`;
const hits = new Rate("normal_hits");
const rush = new Trend("rush_duration", true);

/** @param {string} exec @param {string} startTime @param {number} rate */
const steady = (exec, startTime, rate) => ({
  executor: /** @type {const} */ ("constant-arrival-rate"),
  exec, startTime, rate, timeUnit: "1s", duration: "20s", preAllocatedVUs: 20, maxVUs: 200,
});
/** @param {string} exec @param {string} startTime @param {number} iterations */
const turns = (exec, startTime, iterations) => ({
  executor: /** @type {const} */ ("per-vu-iterations"), exec, startTime, vus: 1, iterations, maxDuration: "15s",
});

export const options = {
  scenarios: {
    normal: steady("normal", "0s", RATE),
    stampede: turns("stampede", "25s", 5),
    eviction: turns("eviction", "45s", 20),
    burst: {
      executor: /** @type {const} */ ("ramping-arrival-rate"), exec: "burst", startTime: "65s",
      startRate: 5, timeUnit: "1s", preAllocatedVUs: 50, maxVUs: 400,
      stages: [{ target: 5, duration: "5s" }, { target: 3 * RATE, duration: "1s" }, { target: 3 * RATE, duration: "5s" }, { target: 5, duration: "1s" }],
    },
    miss: steady("miss", "85s", Math.ceil(RATE / 4)),
  },
  batch: 50,
  batchPerHost: 50,
  summaryTrendStats,
  thresholds: {
    checks: ["rate==1.0"],
    normal_hits: ["rate>0.8"],
    rush_duration: ["p(95)<100"],
    "http_req_failed{scenario:miss}": ["rate<0.001"],
  },
};

export function setup() {
  lift("10m");
  clearCache();
}

/** Some products are liked more than others; after a while nearly every answer is a hit. */
export function normal() {
  const answer = http.get(`${products}/${popular(50)}`, { tags: { name: "product" } });
  check(answer, { "normal: an answer": ({ status }) => status === 200 });
  hits.add(cacheStatus(answer) === "HIT");
}

/** What fifty ask for at once is fetched once. */
export function stampede() {
  invalidate("/products/7");
  const before = cacheStats();
  /** @type {import("k6/http").BatchRequest[]} */
  const crowd = Array.from({ length: 50 }, () => ["GET", `${products}/7`]);
  const answers = /** @type {import("k6/http").Response[]} */ (http.batch(crowd));
  const after = cacheStats();
  equal("stampede: all are answered", answers.filter(({ status }) => status === 200).length, 50);
  equal("stampede: one fetch for all", after("stores") - before("stores"), 1);
}

/** A flood of answers for one reader each: what is hot stays, and memory stays below its limit. */
export function eviction() {
  const hot = `${products}/1`;
  http.get(hot);
  http.get(hot);
  /** @type {import("k6/http").BatchRequest[]} */
  const flood = Array.from({ length: 50 }, () => ["GET", unseen(products), null, { tags: { name: "flood" } }]);
  http.batch(flood);
  equal("eviction: what is asked for often stays", cacheStatus(http.get(hot)), "HIT");
  const stats = cacheStats();
  between("eviction: memory stays below its limit", stats("memory_bytes"), 0, stats("memory_limit_bytes"));
}

/** A rush on one answer, from five a second to hundreds. */
export function burst() {
  const answer = http.get(`${products}/3`, { tags: { name: "rush" } });
  check(answer, { "burst: an answer": ({ status }) => status === 200 });
  rush.add(answer.timings.duration);
}

/** Nothing is asked for twice: the cache must not stand in the way. */
export function miss() {
  const answer = http.get(unseen(products), { tags: { name: "unseen" } });
  check(answer, { "miss: an answer, not from the cache": (one) => one.status === 200 && cacheStatus(one) === "MISS" });
}
