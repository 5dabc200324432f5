// gateway.js - where the gateway is, what its sample configuration promises, and small helpers.
//
// The figures are those of config/gateway.json: a script that knows them can say "exactly", not
// "about". Another configuration needs another table here.
import http from "k6/http";
import { check, fail } from "k6";

export const gatewayUrl = __ENV.GATEWAY_URL || "http://127.0.0.1:8080";
export const adminUrl = __ENV.ADMIN_URL || "http://127.0.0.1:8081";
const adminToken = __ENV.GATEWAY_ADMIN_TOKEN || "";

/** Without a key a caller is known by the address; the gateway sees this one. */
export const ownAddress = __ENV.CLIENT_ADDRESS || "127.0.0.1";

/**
 * @typedef {object} Tier
 * @property {string} name
 * @property {string} client  the id by which operators name this caller
 * @property {string} key     "" for a caller without one
 * @property {number} second
 * @property {number} burst
 * @property {number} minute
 * @property {number} hour
 */

/** @type {Tier[]} */
const all = [
  { name: "free", client: `ip:${ownAddress}`, key: "", second: 5, burst: 10, minute: 100, hour: 1000 },
  { name: "premium", client: "key:k6-premium", key: __ENV.KEY_PREMIUM || "", second: 20, burst: 50, minute: 500, hour: 10000 },
  { name: "enterprise", client: "key:k6-enterprise", key: __ENV.KEY_ENTERPRISE || "", second: 100, burst: 200, minute: 3000, hour: 50000 },
  { name: "internal", client: "key:k6-internal", key: __ENV.KEY_INTERNAL || "", second: 1000, burst: 2000, minute: 30000, hour: 500000 },
];

/** The tiers that can be asked for: free, and those whose key was given. */
export const tiers = all.filter((tier) => tier.name === "free" || tier.key !== "");

/**
 * @param {string} key
 * @returns {{ headers: Record<string, string> }}
 */
export function params(key = "") {
  return { headers: key === "" ? {} : { "X-API-Key": key } };
}

/** @returns {{ headers: Record<string, string> }} */
export function adminParams() {
  return { headers: adminToken === "" ? {} : { Authorization: `Bearer ${adminToken}` } };
}

/** @param {string} path */
export function adminGet(path) {
  return http.get(adminUrl + path, adminParams());
}

/** Forgets a caller's counters, so that a script starts from a full allowance. @param {string} client */
export function forget(client) {
  const answer = http.del(`${adminUrl}/system/rate-limit/client/${encodeURIComponent(client)}`, null, adminParams());
  if (answer.status !== 200) fail(`the counters of ${client} were not forgotten: ${answer.status} ${answer.body}`);
}

export function clearCache() {
  const answer = http.del(`${adminUrl}/system/cache/clear`, null, adminParams());
  if (answer.status !== 200) fail(`the cache was not cleared: ${answer.status} ${answer.body}`);
}

/** Drops one URL's answers. @param {string} path */
export function invalidate(path) {
  const answer = http.post(`${adminUrl}/system/cache/invalidate?url=${encodeURIComponent(path)}`, null, adminParams());
  if (answer.status !== 200) fail(`${path} was not dropped: ${answer.status} ${answer.body}`);
}

/**
 * A check that names what it saw when it fails.
 * @param {string} name
 * @param {unknown} got
 * @param {unknown} want
 */
export function equal(name, got, want) {
  const isEqual = check(got, { [name]: (value) => value === want });
  if (!isEqual) console.error(`${name}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  return isEqual;
}

/**
 * @param {string} name
 * @param {number} got
 * @param {number} least
 * @param {number} most
 */
export function between(name, got, least, most) {
  const isBetween = check(got, { [name]: (value) => value >= least && value <= most });
  if (!isBetween) console.error(`${name}: got ${got}, want ${least} to ${most}`);
  return isBetween;
}

/**
 * A header's value; k6 writes every name in its canonical form (X-Ratelimit-Limit).
 * @param {import("k6/http").Response} answer
 * @param {string} name
 */
export function header(answer, name) {
  for (const [key, value] of Object.entries(answer.headers)) if (key.toLowerCase() === name.toLowerCase()) return value;
  return "";
}
