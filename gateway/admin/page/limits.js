// limits.js - a caller's windows, to be looked at and forgotten, its tier, to be lifted for a while,
// and who is refused or served most.
import { call } from "./api.js";
import { act, ask, byId, count, h, say, span, table, until } from "./dom.js";

const pathOf = (client) => `/system/rate-limit/client/${encodeURIComponent(client)}`;

function leftBar(window) {
  const share = window.limit > 0 ? window.remaining / window.limit : 0;
  const inner = h("div");
  inner.style.width = `${Math.min(share, 1) * 100}%`;
  return h("div", { class: share < 0.1 ? "bar low" : "bar", "aria-hidden": "true" }, inner);
}

const spans = [
  ["1h", "for an hour"],
  ["1d", "for a day"],
  ["7d", "for a week"],
  ["", "until it is changed"],
  ["0s", "no longer: its own again"],
];

const choice = (id, options, chosen) => h("select", { id }, ...options.map(([value, name]) => h("option", { value, selected: value === chosen }, name)));

async function setTier(client, tier, ttl) {
  const given = await call("PUT", pathOf(client), ttl ? { tier, ttl } : { tier });
  say(ttl === "0s" ? `${client} has its own tier again: ${given.tier}.` : `${client} is in tier ${given.tier}${given.expires ? `, for ${span(Math.round(given.expires - Date.now() / 1000))}` : ""}.`);
  await lookUp(client);
}

function tierForm(client, status, tiers) {
  const tier = choice("caller-tier", tiers.map((name) => [name, name]), status.tier);
  const ttl = choice("caller-tier-ttl", spans, "1h");
  const submit = (event) => {
    event.preventDefault();
    act(event.submitter, () => setTier(client, tier.value, ttl.value));
  };
  const field = (name, select) => h("div", { class: "field" }, h("label", { for: select.id }, name), select);
  return h("form", { class: "row", "aria-label": `Tier of ${client}`, onsubmit: submit }, field("Tier", tier), field("How long", ttl), h("button", {}, "Set the tier"));
}

function showWindows(client, status, tiers) {
  const columns = [{ name: "Window" }, { name: "Limit", class: "number" }, { name: "Left", class: "number" }, { name: "Reset", class: "nowrap" }, { name: "Share left" }];
  const rows = Object.entries(status.windows).map(([name, window]) => [name, count(window.limit), count(window.remaining), until(window.reset), leftBar(window)]);
  const forget = h("button", { type: "button", onclick: () => forgetCaller(client, forget) }, "Forget what it used");
  byId("caller-result").replaceChildren(
    h("p", {}, "Known as ", h("code", {}, status.client), `, tier ${status.tier}.`),
    rows.length > 0 ? table(`Windows of ${client}`, columns, rows) : h("p", { class: "muted" }, "It has no windows."),
    h("div", { class: "row end" }, forget),
    h("h3", {}, "Another tier for it"),
    tierForm(client, status, tiers),
  );
}

async function lookUp(client) {
  const [status, config] = await Promise.all([call("GET", `/system/rate-limit/status?client=${encodeURIComponent(client)}`), call("GET", "/system/config")]);
  showWindows(client, status, Object.keys(config.tiers));
}

async function forgetCaller(client, button) {
  const body = h("p", {}, "Its counters start from zero, in every window: ", h("code", {}, client));
  if (!(await ask("Forget what this caller used?", body, "Forget"))) return;
  await act(button, async () => {
    const { deleted } = await call("DELETE", pathOf(client));
    say(deleted ? `The counters of ${client} are gone.` : `Nothing was counted for ${client}.`);
    await lookUp(client);
  });
}

export function startLimits(refresh) {
  byId("caller-form").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("caller-result").replaceChildren();
    act(event.submitter, () => lookUp(byId("caller").value.trim()));
  });
  byId("top-by").addEventListener("change", refresh);
}

export async function updateTop() {
  const by = byId("top-by").value;
  const { items } = await call("GET", `/system/rate-limit/top?by=${by}&limit=10`);
  const columns = [{ name: "Caller" }, { name: by === "served" ? "Served" : "Refused", class: "number" }];
  const rows = items.map((item) => [h("code", {}, item.client), `${item.error > 0 ? "≤ " : ""}${count(item.count)}`]);
  byId("top").replaceChildren(rows.length > 0 ? table(`Callers by ${by}`, columns, rows) : h("p", { class: "muted" }, "None so far."));
}
