// upstreams.js - every target with its state, and the operator's word on it: drain, down, restore.
//
// Rows are kept from look to look and only their texts change, so that the keyboard's focus stays
// on the button where it was.
import { call } from "./api.js";
import { act, ask, badge, byId, count, h, say, seconds, setBadge, setText } from "./dom.js";

const known = new Map(); // name → {element, parts, targets}
const words = { drain: "drains: what is in flight ends, nothing new goes there", down: "is down: nothing goes there", up: "is back" };

async function setState(button, upstream, index, url, state) {
  const warning = h("p", {}, "Requests go to the other targets, if there are any: ", h("code", {}, url));
  if (state === "down" && !(await ask("Take this target out at once?", warning, "Take it out"))) return;
  await act(button, async () => {
    await call("PUT", `/system/upstreams/${encodeURIComponent(upstream)}/targets/${index}`, { state });
    say(`${url} ${words[state]}.`);
    await updateUpstreams();
  });
}

const targetColumns = ["Target", "State", "In flight", "Requests", "Failures", "Latency", ""];

function newTarget(upstream, index, url) {
  const cell = (i, content, isNumber) => h("td", { "data-label": targetColumns[i], class: isNumber ? "number" : null }, content);
  const texts = [2, 3, 4, 5].map(() => h("span"));
  const state = badge("up");
  const button = (name, word) => {
    const made = h("button", { type: "button", "aria-label": `${name} ${url}`, onclick: () => setState(made, upstream, index, url, word) }, name);
    return made;
  };
  const buttons = { drain: button("Drain", "drain"), down: button("Down", "down"), up: button("Restore", "up") };
  const element = h(
    "tr",
    {},
    h("th", { scope: "row", "data-label": "Target" }, h("code", {}, url)),
    cell(1, state),
    ...texts.map((text, i) => cell(i + 2, text, true)),
    h("td", { class: "actions" }, ...Object.values(buttons)),
  );
  return { element, url, state, texts, buttons };
}

function updateTarget(row, target) {
  const word = target.ejected_for_seconds > 0 ? `${target.state} for ${seconds(target.ejected_for_seconds)}` : target.state;
  const texts = [count(target.in_flight), count(target.requests), count(target.failures), target.latency_seconds > 0 ? seconds(target.latency_seconds) : "–"];
  setBadge(row.state, target.state, word);
  texts.forEach((text, i) => setText(row.texts[i], text));
  row.buttons.drain.hidden = target.state === "drain";
  row.buttons.down.hidden = target.state === "down";
  row.buttons.up.hidden = target.state !== "drain" && target.state !== "down";
}

function newUpstream(name) {
  const parts = { breaker: badge("closed"), summary: h("span", { class: "muted small" }), body: h("tbody") };
  const head = h("tr", {}, ...targetColumns.map((column, i) => h("th", { scope: "col", class: i >= 2 && i <= 5 ? "number" : null }, column || h("span", { "aria-label": "actions" }))));
  const element = h(
    "div",
    { class: "card" },
    h("div", { class: "upstream-head" }, h("h3", {}, name), parts.breaker, parts.summary),
    h("div", { class: "scroll" }, h("table", { class: "stackable", "aria-label": `Targets of ${name}` }, h("thead", {}, head), parts.body)),
  );
  return { element, parts, targets: [] };
}

function updateUpstream(card, name, upstream) {
  const urls = upstream.targets.map((target) => target.url);
  const more = [upstream.queued > 0 ? `${count(upstream.queued)} queued` : "", upstream.required ? "required" : ""].filter(Boolean);
  if (card.targets.map((row) => row.url).join("\n") !== urls.join("\n")) {
    card.targets = urls.map((url, index) => newTarget(name, index, url));
    card.parts.body.replaceChildren(...card.targets.map((row) => row.element));
  }
  setBadge(card.parts.breaker, upstream.breaker.state, `breaker ${upstream.breaker.state}`);
  setText(card.parts.summary, [`${upstream.healthy_targets} of ${urls.length} healthy`, `${count(upstream.in_flight)} in flight`, ...more].join(" · "));
  upstream.targets.forEach((target, index) => updateTarget(card.targets[index], target));
}

export async function updateUpstreams() {
  const { upstreams } = await call("GET", "/system/upstreams");
  const list = byId("upstream-list");
  for (const [name, card] of known) {
    if (name in upstreams) continue;
    card.element.remove();
    known.delete(name);
  }
  for (const [name, upstream] of Object.entries(upstreams)) {
    if (!known.has(name)) {
      known.set(name, newUpstream(name));
      list.append(known.get(name).element);
    }
    updateUpstream(known.get(name), name, upstream);
  }
}
