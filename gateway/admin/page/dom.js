// dom.js - elements, numbers for people, and the two ways to speak: a message and a question.
//
// Whatever comes from the gateway (keys, names, paths) is made a text node here and nowhere parsed
// as markup, so that what a client has put into a path stays what it is.

export const byId = (id) => document.getElementById(id);

/** An element with properties (on… are listeners, class, else attributes) and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return element;
}

const asNode = (child) => (child instanceof Node ? child : document.createTextNode(String(child)));

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// ---- numbers ----

export function count(value) {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 10000) return Math.round(value).toLocaleString("en");
  return value.toLocaleString("en", { maximumFractionDigits: Math.abs(value) >= 100 ? 0 : 1 });
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; Math.abs(value) >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value.toLocaleString("en", { maximumFractionDigits: unit === 0 || value >= 100 ? 0 : 1 })} ${units[unit]}`;
}

export function seconds(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0 s";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${(value * 1000).toLocaleString("en", { maximumFractionDigits: value < 0.1 ? 1 : 0 })} ms`;
  return `${value.toLocaleString("en", { maximumFractionDigits: 2 })} s`;
}

/** Whole seconds, as a person says them. */
export function span(value) {
  if (value < 120) return `${value} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} days`;
}

export const percent = (value) => (Number.isFinite(value) ? `${(value * 100).toFixed(1)} %` : "–");

export const clock = (epoch) => new Date(epoch * 1000).toLocaleTimeString("en", { hour12: false });

/** "in 3 s", "in 12 min" for a moment in epoch seconds. */
export function until(epoch) {
  return `in ${span(Math.max(0, Math.round(epoch - Date.now() / 1000)))}`;
}

// ---- tables and facts ----

/** Rows are arrays of texts and nodes, one for each column {name, class}; the first is a row's head. */
export function table(caption, columns, rows) {
  const cell = (column, content, index) =>
    h(index === 0 ? "th" : "td", { class: column.class, scope: index === 0 ? "row" : null, "data-label": column.name || null }, content);
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "stackable", "aria-label": caption },
      h("thead", {}, h("tr", {}, ...columns.map((column) => h("th", { scope: "col", class: column.class }, column.name || h("span", { "aria-label": "actions" }))))),
      h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((content, index) => cell(columns[index], content, index))))),
    ),
  );
}

const isPlain = (value) => value === null || typeof value !== "object";

function plain(value) {
  if (value === null || value === "") return "–";
  if (value === true) return "yes";
  return value === false ? "no" : String(value);
}

function listed(value) {
  if (value.length === 0) return "–";
  return value.every(isPlain) ? value.map(plain).join(", ") : h("div", { class: "stack" }, ...value.map(facts));
}

/** Any JSON as names and values, as deep as it goes. */
export function facts(value) {
  if (isPlain(value)) return asNode(plain(value));
  if (Array.isArray(value)) return asNode(listed(value));
  const pairs = Object.entries(value).flatMap(([name, inner]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, facts(inner))]);
  return h("dl", { class: "facts" }, ...pairs);
}

const tones = {
  normal: "good", up: "good", closed: "good", success: "good",
  warning: "warn", drain: "warn", half_open: "warn", ejected: "warn", failing: "warn", limit_violation: "warn",
  critical: "bad", down: "bad", open: "bad", unhealthy: "bad", failure: "bad",
};
export const toneOf = (word) => tones[word] ?? "";
export const setBadge = (badge, word, text = word) => {
  setText(badge, text.replaceAll("_", " "));
  badge.className = `badge ${toneOf(word)}`;
};
export function badge(word) {
  const made = h("span");
  setBadge(made, word);
  return made;
}

// ---- speaking ----

let silence;
/** One sentence in the corner, read aloud by screen readers, gone after a while. */
export function say(text, isBad = false) {
  const box = byId("message");
  box.classList.toggle("bad", isBad);
  box.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (box.textContent = ""), isBad ? 12000 : 6000);
}

/** Asks for a yes; `body` is a node. Without `yes` there is nothing to say yes to. */
export function ask(title, body, yes) {
  const dialog = byId("ask-dialog");
  byId("ask-title").textContent = title;
  byId("ask-body").replaceChildren(body);
  byId("ask-ok").textContent = yes ?? "";
  byId("ask-ok").hidden = !yes;
  byId("ask-cancel").textContent = yes ? "Cancel" : "Close";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok"), { once: true }));
}

/** Runs an action of the operator's; while it runs the button is off, and what fails is said. */
export async function act(button, work) {
  if (button) button.disabled = true;
  try {
    return await work();
  } catch (error) {
    say(error.message, true);
    return undefined;
  } finally {
    if (button) button.disabled = false;
  }
}
