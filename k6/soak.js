// soak.js - the same for hours: does anything grow, slow down or leak? Reads, misses and writes at a
// steady rate; memory and descriptors are looked at when it is warm and again at the end.
import http from "k6/http";
import { check, sleep } from "k6";
import { adminGet, adminUrl, between, equal, gatewayUrl } from "./lib/gateway.js";
import { lift, popular, setting, summaryTrendStats, unseen } from "./lib/load.js";

const MINUTES = setting("MINUTES", 60);
const GROWTH_MIB = setting("GROWTH_MIB", 64);

export const options = {
  scenarios: {
    traffic: {
      executor: /** @type {const} */ ("constant-arrival-rate"), rate: setting("RATE", 100), timeUnit: "1s",
      duration: `${MINUTES}m`, preAllocatedVUs: 50, maxVUs: 300,
    },
    watch: { executor: /** @type {const} */ ("per-vu-iterations"), exec: "watch", vus: 1, iterations: 1, maxDuration: `${MINUTES + 1}m` },
  },
  summaryTrendStats,
  thresholds: { checks: ["rate==1.0"], "http_req_failed{scenario:traffic}": ["rate<0.001"], "http_req_duration{scenario:traffic}": ["p(99)<500"] },
};

export function setup() {
  lift(`${Math.ceil(MINUTES) + 5}m`);
}

export default function () {
  const dice = Math.random();
  const name = dice < 0.9 ? "read" : dice < 0.98 ? "unseen" : "write";
  const tags = { name };
  const answer =
    name === "read" ? http.get(`${gatewayUrl}/products/${popular(50)}`, { tags })
    : name === "unseen" ? http.get(unseen(`${gatewayUrl}/products`), { tags })
    : http.put(`${gatewayUrl}/products/${popular(50)}`, '{"stock": 5}', { tags, headers: { "Content-Type": "application/json" } });
  check(answer, { "an answer": ({ status }) => status === 200 });
}

function resident() {
  const memory = adminGet("/system/health");
  return Number(memory.json("memory.rss_bytes")) - Number(memory.json("memory.cache_bytes"));
}

const openFiles = () => Number(/^gateway_open_fds (\d+)/m.exec(String(http.get(`${adminUrl}/metrics`).body))?.[1]);

/** A tenth of the time to get warm; what is there then should be nearly all there ever is. */
export function watch() {
  sleep(MINUTES * 6);
  const warm = resident();
  const files = openFiles();
  sleep(MINUTES * 52);
  between("memory beyond the cache, grown by MiB", (resident() - warm) / 1048576, -4096, GROWTH_MIB);
  between("descriptors, grown by", openFiles() - files, -20000, 300);
  equal("the gateway is well", adminGet("/ready").status, 200);
}
