// smoke.js - does everything that a user meets on the first day work? A dozen requests, one
// after the other, within the burst of the free tier. It changes the price of product 1 of the
// sample backend and clears the cache: not for a gateway in front of something real.
import http from "k6/http";
import { sleep } from "k6";
import { adminGet, adminUrl, clearCache, equal, forget, gatewayUrl, header, params, tiers } from "./lib/gateway.js";

export const options = { vus: 1, iterations: 1, thresholds: { checks: ["rate==1.0"] } };

export function setup() {
  forget(tiers[0].client);
  clearCache();
}

/** @param {string} path */
const get = (path) => http.get(gatewayUrl + path, params());

function cache() {
  const miss = get("/products/1");
  equal("a first request is answered", miss.status, 200);
  equal("and not from the cache", header(miss, "X-Cache-Status"), "MISS");
  const hit = get("/products/1");
  equal("a second one is", header(hit, "X-Cache-Status"), "HIT");
  equal("with the same body", hit.body, miss.body);
  equal("with an Age", header(hit, "Age") !== "", true);

  const change = { headers: { "Content-Type": "application/json" } };
  equal("a write passes", http.put(`${gatewayUrl}/products/1`, '{"price": 7.5}', change).status, 200);
  const after = get("/products/1");
  equal("and drops what it changed", header(after, "X-Cache-Status"), "MISS");
  equal("so that the new price shows", after.json("price"), 7.5);
}

function answers() {
  const id = "k6-smoke-1";
  const named = http.get(`${gatewayUrl}/products/2`, { headers: { "X-Request-Id": id } });
  equal("a request id comes back", header(named, "X-Request-Id"), id);
  equal("every answer says who passed it on", header(named, "Via").includes("1.1 gateway"), true);
  const unknown = get("/no/such/path");
  equal("an unknown path is 404", unknown.status, 404);
  equal("in JSON", unknown.json("error"), "Not Found");
  equal("that names the request", unknown.json("request_id"), header(unknown, "X-Request-Id"));
}

function operators() {
  equal("the gateway is well", http.get(`${gatewayUrl}/health`).json("status"), "ok");
  equal("and ready", adminGet("/ready").status, 200);
  equal("/system is not public", get("/system/cache/stats").status, 404);
  const metrics = http.get(`${adminUrl}/metrics`);
  equal("its metrics can be read", metrics.status, 200);
  equal("and count requests", String(metrics.body).includes("gateway_requests_total{"), true);
  equal("the cache has answered", Number(adminGet("/system/cache/stats").json("hits")) > 0, true);
}

export default function () {
  cache();
  answers();
  sleep(0.2);
  operators();
}
