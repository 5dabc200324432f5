// page.js - begins everything and looks at the gateway every two seconds, while somebody sees it.
//
// One look at a time: a slow gateway is asked less often, never more. What a look could not bring
// is said once in the head of the page, and the last numbers stay.
import { call, getText, startTokens } from "./api.js";
import { byId, setBadge, setText } from "./dom.js";
import { startCache, updateCache } from "./cache.js";
import { startEvents } from "./events.js";
import { startLimits, updateTop } from "./limits.js";
import { startTraffic, updateLoad, updateTraffic } from "./traffic.js";
import { explain, startTools } from "./tools.js";
import { updateUpstreams } from "./upstreams.js";

const EVERY_MS = 2000;
let isLooking = false;
let isFollowing = false;
let fault = "";

function showState() {
  setText(byId("live"), fault || (isFollowing ? "live" : "no stream of events"));
}

async function updateHealth() {
  const health = await call("GET", "/system/health");
  setBadge(byId("health"), health.status, health.draining ? "draining" : health.status);
  updateLoad(health);
}

async function look() {
  if (isLooking || document.hidden) return;
  isLooking = true;
  try {
    await updateHealth(); // first and alone: it asks for the token
    const [text] = await Promise.all([getText("/metrics"), updateUpstreams(), updateCache(), updateTop()]);
    updateTraffic(text, Date.now() / 1000);
    fault = "";
  } catch (error) {
    fault = error.status ? error.message : "The gateway does not answer.";
    setBadge(byId("health"), "critical", error.status === 401 ? "locked" : "unknown");
  } finally {
    isLooking = false;
    showState();
  }
}

async function lookForEver() {
  for (;;) {
    const began = performance.now();
    await look();
    await new Promise((resolve) => setTimeout(resolve, Math.max(EVERY_MS - (performance.now() - began), EVERY_MS / 4)));
  }
}

startTokens(look);
startTraffic();
startLimits(() => updateTop().catch(() => {}));
startCache();
startTools();
startEvents(explain, (isThere) => {
  isFollowing = isThere;
  showState();
});
document.addEventListener("visibilitychange", look);
lookForEver();
