// limits.js - a caller's windows, to be looked at and forgotten, and who is refused or served most.
import { call } from "./api.js";
import { act, ask, byId, count, h, say, table, until } from "./dom.js";

const pathOf = (client) => `/system/rate-limit/client/${encodeURIComponent(client)}`;

function leftBar(window) {
  const share = window.limit > 0 ? window.remaining / window.limit : 0;
  const inner = h("div");
  inner.style.width = `${Math.min(share, 1) * 100}%`;
  return h("div", { class: share < 0.1 ? "bar low" : "bar", "aria-hidden": "true" }, inner);
}

function showWindows(client, status) {
  const columns = [{ name: "Window" }, { name: "Limit", class: "number" }, { name: "Left", class: "number" }, { name: "Reset", class: "nowrap" }, { name: "Share left" }];
  const rows = Object.entries(status.windows).map(([name, window]) => [name, count(window.limit), count(window.remaining), until(window.reset), leftBar(window)]);
  const forget = h("button", { type: "button", onclick: () => forgetCaller(client, forget) }, "Forget what it used");
  byId("caller-result").replaceChildren(
    h("p", {}, "Known as ", h("code", {}, status.client), `, tier ${status.tier}.`),
    rows.length > 0 ? table(`Windows of ${client}`, columns, rows) : h("p", { class: "muted" }, "It has no windows."),
    h("div", { class: "row end" }, forget),
  );
}

async function lookUp(client) {
  showWindows(client, await call("GET", `/system/rate-limit/status?client=${encodeURIComponent(client)}`));
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
