// load.js - what the scripts that bring load have in common.
//
// They are about the gateway's speed and its cache, not about its limits, so their caller is lifted
// to the tier "internal" for a while (an operator's PUT; it ends by itself). Those that read what
// belongs to one caller send the key of that tier instead.
import http from "k6/http";
import { fail, sleep } from "k6";
import { adminGet, adminParams, adminUrl, header, ownAddress, params } from "./gateway.js";

export const key = __ENV.KEY_INTERNAL || "";

/** A number from the environment, e.g. RATE. @param {string} name @param {number} fallback */
export const setting = (name, fallback) => Number(__ENV[name] || fallback);

/** Lets the address of this machine ask as often as the tier "internal" may. @param {string} ttl */
export function lift(ttl) {
  const url = `${adminUrl}/system/rate-limit/client/${encodeURIComponent(`ip:${ownAddress}`)}`;
  const answer = http.put(url, JSON.stringify({ tier: "internal", ttl }), adminParams());
  if (answer.status !== 200) fail(`the caller was not lifted to internal: ${answer.status} ${answer.body}`);
  sleep(2.5); // what it had used up of a smaller tier's bucket is refilled within two seconds
}

/** A caller of its own, whose entries nobody else gets. */
export function needKey() {
  if (key === "") fail("KEY_INTERNAL is not given: entries of one caller need a caller (k6/README.md)");
  return params(key);
}

/** Of 1 to n, the small ones far more often, as people ask for products. @param {number} n */
export const popular = (n) => Math.min(n, Math.floor(Math.exp(Math.random() * Math.log(n + 1))));

let serial = 0;
/** A URL that nobody has asked for: each is a key of its own in the cache. @param {string} base */
export function unseen(base) {
  serial += 1;
  return `${base}?skip=${__VU}${String(__ITER).padStart(7, "0")}${serial}&limit=1`;
}

/** @param {import("k6/http").Response} answer */
export const cacheStatus = (answer) => header(answer, "X-Cache-Status");

/** The cache's own figures. */
export function cacheStats() {
  const answer = adminGet("/system/cache/stats");
  /** @param {string} name */
  return (name) => Number(answer.json(name));
}

/**
 * Lines of a table: a trend's percentiles, one line each.
 * @param {{ metrics: Record<string, { values: Record<string, number> }> }} data  what k6 gives handleSummary
 * @param {Record<string, string>} trends  a trend's name, and what it is called in the table
 */
export function percentiles(data, trends) {
  /** @param {number | undefined} value */
  const ms = (value) => (value === undefined ? "-" : value.toFixed(2)).padStart(10);
  const lines = [`${"".padEnd(24)}${["p50", "p95", "p99"].map((name) => `${name}, ms`.padStart(10)).join("")}`];
  for (const [name, title] of Object.entries(trends)) {
    const values = data.metrics[name]?.values ?? {};
    lines.push(`${title.padEnd(24)}${ms(values["p(50)"] ?? values.med)}${ms(values["p(95)"])}${ms(values["p(99)"])}`);
  }
  return lines.join("\n") + "\n";
}

/** Without these k6 leaves out p99. */
export const summaryTrendStats = ["avg", "min", "med", "p(50)", "p(95)", "p(99)", "max"];
