// cache.js - what the cache holds: found, looked at, purged, and filled before anybody asks. A purge is
// always shown dry first.
import { call } from "./api.js";
import { act, ask, byId, bytes, count, facts, h, percent, say, setText, span, table } from "./dom.js";

export async function updateCache() {
  const stats = await call("GET", "/system/cache/stats");
  const texts = [
    stats.enabled ? null : "switched off",
    `${count(stats.entries)} entries`,
    `${bytes(stats.memory_bytes)} of ${bytes(stats.memory_limit_bytes)}`,
    `hit ratio ${percent(stats.hit_ratio)} since the start`,
    `${count(stats.stores)} stored`,
    `${count(stats.evictions)} evicted`,
    `${count(stats.invalidations)} invalidated`,
  ];
  setText(byId("cache-summary"), texts.filter(Boolean).join(" · "));
}

// ---- entries ----

const entryColumns = [
  { name: "Entry" },
  { name: "Route" },
  { name: "Status", class: "number" },
  { name: "Age", class: "number nowrap" },
  { name: "Fresh for", class: "number nowrap" },
  { name: "Size", class: "number nowrap" },
  { name: "Hits", class: "number" },
  { name: "Tags" },
  { name: "", class: "actions nowrap" },
];

// A key goes "host/path?query", then " [user]" and " {variant}": what stands before the first blank is the URL.
const urlOf = (item) => item.key.split(" ")[0];

async function inspect(button, item) {
  const entry = await act(button, () => call("GET", `/system/cache/entry?url=${encodeURIComponent(urlOf(item))}`));
  if (!entry) return;
  const isPlural = entry.variants.length > 1;
  await ask(urlOf(item), h("div", {}, isPlural ? h("p", {}, `${entry.variants.length} variants`) : null, facts(isPlural ? entry.variants : entry.variants[0])));
}

function rowOf(item) {
  const look = h("button", { type: "button", "aria-label": `Inspect ${item.key}`, onclick: () => inspect(look, item) }, "Inspect");
  const drop = h("button", { type: "button", "aria-label": `Purge ${urlOf(item)}`, onclick: () => act(drop, () => purge("url", urlOf(item), false)) }, "Purge");
  const fresh = item.ttl > 0 ? span(item.ttl) : "stale";
  return [h("code", {}, item.key), item.route, item.status, span(item.age), fresh, bytes(item.size), count(item.hits), item.tags.join(", "), h("span", {}, look, drop)];
}

async function search(cursor, shown = []) {
  const query = new URLSearchParams({ limit: "50" });
  const pattern = byId("entries-pattern").value.trim();
  const host = byId("entries-host").value.trim();
  if (pattern) query.set("pattern", pattern);
  if (host) query.set("host", host);
  if (cursor) query.set("cursor", cursor);
  const page = await call("GET", `/system/cache/entries?${query}`);
  const items = [...shown, ...page.items];
  const more = h("button", { type: "button", class: "quiet", onclick: () => act(more, () => search(page.next, items)) }, "More");
  byId("entries-result").replaceChildren(
    h("p", { class: "muted small" }, items.length === 0 ? "Nothing is stored that fits." : `${items.length} entries${page.next ? ", and more" : ""}.`),
    ...(items.length > 0 ? [table("Entries of the cache", entryColumns, items.map(rowOf))] : []),
    ...(page.next ? [more] : []),
  );
}

// ---- purge ----

const purgePath = (by, what, soft, isDry) =>
  `/system/cache/invalidate?${new URLSearchParams({ [by]: what, ...(soft ? { soft: "true" } : {}), ...(isDry ? { dry_run: "true" } : {}) })}`;

async function purge(by, what, soft) {
  const dry = await call("POST", purgePath(by, what, soft, true));
  const sample = h("ul", {}, ...dry.sample.map((key) => h("li", {}, h("code", {}, key))));
  const entries = dry.matched === 1 ? "1 entry" : `${count(dry.matched)} entries`;
  const body = h(
    "div",
    {},
    h("p", {}, `${entries}, ${bytes(dry.bytes)}, fit the ${by} `, h("code", {}, what), "."),
    dry.sample.length > 0 ? sample : null,
    dry.matched > dry.sample.length ? h("p", { class: "muted" }, `and ${count(dry.matched - dry.sample.length)} more`) : null,
  );
  if (dry.matched === 0) {
    await ask("Nothing to purge", body);
    return;
  }
  if (!(await ask(soft ? "Mark these stale?" : "Purge these?", body, soft ? `Mark ${entries} stale` : `Purge ${entries}`))) return;
  const done = await call("POST", purgePath(by, what, soft, false));
  const others = done.gateways ? `, on ${done.gateways.applied} of ${done.gateways.known} gateways` : "";
  say(`${count(done.deleted)} ${soft ? "marked stale" : "purged"}${done.complete === false ? ", and the walk goes on" : ""}${others}.`);
  await updateCache();
  if (byId("entries-result").hasChildNodes()) await search();
}

// ---- warming ----

const warmColumns = [{ name: "URL" }, { name: "Became" }, { name: "Status", class: "number" }, { name: "Because" }];

function showWarming(warming) {
  const rows = warming.urls.map((one) => [h("code", {}, one.url), one.state.replaceAll("_", " "), one.status ?? "–", one.reason ?? "–"]);
  const settled = warming.urls.filter((one) => one.state !== "waiting" && one.state !== "fetching").length;
  byId("warm-result").replaceChildren(h("p", {}, warming.done ? `${count(settled)} of ${count(warming.total)} are settled.` : `${count(settled)} of ${count(warming.total)} so far …`), table("Outcome of each URL", warmColumns, rows));
}

async function warm(urls) {
  let warming = await call("POST", "/system/cache/warm?wait=1", { urls });
  showWarming(warming);
  while (!warming.done) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    warming = await call("GET", `/system/cache/warm?id=${warming.id}`);
    showWarming(warming);
  }
  const stored = warming.urls.filter((one) => one.state === "stored").length;
  say(stored === 1 ? "1 answer was stored." : `${count(stored)} answers were stored.`);
  await updateCache();
}

export function startCache() {
  byId("warm-form").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("warm-result").replaceChildren();
    const urls = byId("warm-urls").value.split(/\s+/).filter(Boolean);
    act(event.submitter, () => warm(urls));
  });
  byId("entries-form").addEventListener("submit", (event) => {
    event.preventDefault();
    act(event.submitter, () => search());
  });
  byId("purge-form").addEventListener("submit", (event) => {
    event.preventDefault();
    act(event.submitter, () => purge(byId("purge-by").value, byId("purge-what").value.trim(), byId("purge-soft").checked));
  });
}
