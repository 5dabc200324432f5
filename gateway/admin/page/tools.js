// tools.js - why a request got what it got, and the configuration: what is in force, and a new one.
import { call, getText } from "./api.js";
import { act, ask, byId, facts, h, say, span, table } from "./dom.js";

// ---- explain ----

function windowsOf(limit) {
  const columns = [{ name: "Window" }, { name: "Limit", class: "number" }, { name: "Before", class: "number" }, { name: "After", class: "number" }, { name: "Reset", class: "nowrap" }, { name: "Refuses" }];
  const rows = limit.windows.map((window) => [window.name, window.limit, window.before, window.after, span(window.reset_s), window.refuses ? "yes" : "no"]);
  return table("Windows before and after", columns, rows);
}

async function showRequest(id) {
  const { limit, ...rest } = await call("GET", `/system/explain/${encodeURIComponent(id)}`);
  if (rest.ended_at) rest.ended_at = new Date(rest.ended_at * 1000).toISOString();
  byId("explain-result").replaceChildren(facts(rest), h("h3", {}, "Limits"), limit?.windows?.length > 0 ? windowsOf(limit) : h("p", { class: "muted" }, "It was not limited."));
}

export function explain(id) {
  byId("explain-id").value = id;
  byId("explain-result").replaceChildren();
  byId("explain").scrollIntoView();
  byId("explain-id").focus({ preventScroll: true });
  return act(null, () => showRequest(id));
}

// ---- configuration ----

async function showConfig() {
  const box = byId("config-text");
  box.textContent = await getText("/system/config");
  box.hidden = false;
  byId("config-show").setAttribute("aria-expanded", "true");
  byId("config-show").textContent = "Hide";
}

function hideConfig() {
  byId("config-text").hidden = true;
  byId("config-show").setAttribute("aria-expanded", "false");
  byId("config-show").textContent = "Show what is in force";
}

async function reload() {
  const result = byId("config-result");
  result.replaceChildren();
  try {
    await call("POST", "/system/config/reload");
    say("The new configuration is in force.");
    if (!byId("config-text").hidden) await showConfig();
  } catch (error) {
    if (!error.body?.faults) throw error;
    const faults = error.body.faults.map((fault) => h("li", {}, h("code", {}, fault)));
    result.replaceChildren(h("p", { class: "fault" }, "The file was refused, and the old configuration stays in force:"), h("ul", {}, ...faults));
  }
}

export function startTools() {
  byId("explain-form").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("explain-result").replaceChildren();
    act(event.submitter, () => showRequest(byId("explain-id").value.trim()));
  });
  byId("config-show").addEventListener("click", ({ currentTarget }) => (byId("config-text").hidden ? act(currentTarget, showConfig) : hideConfig()));
  byId("config-reload").addEventListener("click", async ({ currentTarget }) => {
    const body = h("p", {}, "The file is read again, as with SIGHUP. A faulty one is refused whole.");
    if (await ask("Reload the configuration?", body, "Reload")) await act(currentTarget, reload);
  });
}
