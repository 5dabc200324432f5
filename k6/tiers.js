// tiers.js - do callers get exactly what config/gateway.json promises their tier?
//
// For each tier, from forgotten counters: the headers of the first answer; then a burst, in which
// as many pass as the bucket holds and has gained meanwhile, and what a 429 says; for the free
// tier also the minute: 150 requests without hurry, of which 100 pass. Tiers other than free need
// their key (README.md). Nothing else may use these callers meanwhile.
import http from "k6/http";
import { sleep } from "k6";
import { between, equal, forget, gatewayUrl, header, params, tiers } from "./lib/gateway.js";

const url = `${gatewayUrl}/products/1`;

export const options = {
  scenarios: {
    tiers: { executor: "shared-iterations", vus: 1, iterations: 1, exec: "everyTier", maxDuration: "2m" },
    minute: { executor: "shared-iterations", vus: 1, iterations: 1, exec: "freeMinute", startTime: "30s", maxDuration: "2m" },
  },
  batch: 50,
  batchPerHost: 50,
  thresholds: { checks: ["rate==1.0"] },
};

const nowSeconds = () => Date.now() / 1000;

/** @typedef {import("./lib/gateway.js").Tier} Tier */

/** @param {Tier} tier */
function firstAnswer(tier) {
  forget(tier.client);
  const answer = http.get(url, params(tier.key));
  const policy = `"second";q=${tier.second};w=1;gw-burst=${tier.burst}, "minute";q=${tier.minute};w=60, "hour";q=${tier.hour};w=3600`;
  const left = new RegExp(`^"second";r=${tier.burst - 1};t=1, "minute";r=${tier.minute - 1};t=\\d+, "hour";r=${tier.hour - 1};t=\\d+$`);

  equal(`${tier.name}: a first request passes`, answer.status, 200);
  equal(`${tier.name}: X-RateLimit-Limit is the minute's`, header(answer, "X-RateLimit-Limit"), String(tier.minute));
  equal(`${tier.name}: X-RateLimit-Remaining`, header(answer, "X-RateLimit-Remaining"), String(tier.minute - 1));
  between(`${tier.name}: X-RateLimit-Reset is within the minute`, Number(header(answer, "X-RateLimit-Reset")) - nowSeconds(), -1, 61);
  equal(`${tier.name}: RateLimit-Policy`, header(answer, "RateLimit-Policy"), policy);
  equal(`${tier.name}: RateLimit fits ${left}`, left.test(header(answer, "RateLimit")), true);
  equal(`${tier.name}: no Retry-After`, header(answer, "Retry-After"), "");
}

/**
 * @param {Tier} tier
 * @param {import("k6/http").Response} answer
 * @param {"second" | "minute"} period
 */
function refusal(tier, answer, period) {
  const name = `${tier.name}, ${period}: a 429`;
  const wait = Number(header(answer, "Retry-After"));

  equal(`${name} names the window's limit`, header(answer, "X-RateLimit-Limit"), String(tier[period]));
  equal(`${name} has nothing left`, header(answer, "X-RateLimit-Remaining"), "0");
  between(`${name} says when to come back`, wait, 1, period === "second" ? 1 : 61);
  between(`${name} says the same as a moment`, Number(header(answer, "X-RateLimit-Reset")) - nowSeconds() - wait, -2, 1);
  equal(`${name} is JSON`, header(answer, "Content-Type").split(";")[0], "application/json");
  for (const [member, want] of Object.entries({
    error: "Rate limit exceeded",
    status: 429,
    limit: tier[period],
    period,
    retry_after: wait,
    reset_time: Number(header(answer, "X-RateLimit-Reset")),
    tier: tier.name,
    request_id: header(answer, "X-Request-Id"),
  }))
    equal(`${name} has ${member}`, answer.json(member), want);
}

/** @param {Tier} tier */
function burst(tier) {
  forget(tier.client);
  const started = Date.now();
  let passed = 0;
  let asked = 0;
  /** @type {import("k6/http").Response | null} */
  let refused = null;

  // a client slower than the tier's rate can never use up its bucket: then there is no refusal
  while (refused === null && asked < 5 * tier.burst) {
    const size = Math.min(50, Math.ceil(tier.burst / 2));
    /** @type {import("k6/http").BatchRequest[]} */
    const requests = Array.from({ length: size }, () => ["GET", url, null, params(tier.key)]);
    for (const answer of /** @type {import("k6/http").Response[]} */ (http.batch(requests))) {
      asked++;
      if (answer.status === 200) passed++;
      else if (equal(`${tier.name}: what is not 200 is 429`, answer.status, 429)) refused = answer;
    }
  }
  const gained = Math.ceil(((Date.now() - started) / 1000) * tier.second);
  if (refused === null) {
    console.warn(`${tier.name}: ${asked} requests were too slow to use up the bucket; the refusal was not seen`);
    equal(`${tier.name}: all pass that come slower than the limit`, passed, asked);
    return;
  }
  between(`${tier.name}: the bucket's worth passes`, passed, tier.burst, tier.burst + gained);
  refusal(tier, refused, "second");
}

export function everyTier() {
  for (const tier of tiers) {
    firstAnswer(tier);
    burst(tier);
  }
}

/** 150 requests, as fast as the bucket allows: 100 pass, 50 are refused by the minute. */
export function freeMinute() {
  const tier = tiers[0];
  let passed = 0;
  let refusedByMinute = 0;

  forget(tier.client);
  const started = Date.now();
  while (passed + refusedByMinute < 150 && Date.now() - started < 50000) {
    const answer = http.get(url, params(tier.key));
    if (answer.status === 200) passed++;
    else if (answer.json("period") === "second") sleep(Number(header(answer, "Retry-After")));
    else if (refusedByMinute++ === 0) refusal(tier, answer, "minute");
  }
  equal("free, minute: requests that passed", passed, tier.minute);
  equal("free, minute: requests that were refused", refusedByMinute, 150 - tier.minute);
}
