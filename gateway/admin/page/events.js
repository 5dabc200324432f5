// events.js - what happens in the gateway, as it happens; the newest first, a bounded number kept.
import { follow } from "./api.js";
import { badge, byId, clock, h } from "./dom.js";

const MOST = 200;
const kept = []; // newest first
let isPaused = false;
let drawing = false;

function detailOf(data, explain) {
  const line = h("span");
  for (const [name, value] of Object.entries(data)) {
    if (name === "time" || name === "request_id") continue;
    line.append(`${line.hasChildNodes() ? " · " : ""}${name.replaceAll("_", " ")} `, h("b", {}, typeof value === "object" ? JSON.stringify(value) : String(value)));
  }
  if (data.request_id) line.append(" · ", h("button", { type: "button", class: "link", onclick: () => explain(data.request_id) }, "explain"));
  return line;
}

function draw(explain) {
  const kind = byId("events-kind").value;
  const shown = kept.filter((event) => !kind || event.kind === kind);
  drawing = false;
  byId("event-list").replaceChildren(
    ...(shown.length > 0
      ? shown.map((event) => (event.element ??= h("li", {}, h("time", {}, clock(event.data.time)), badge(event.kind), detailOf(event.data, explain))))
      : [h("li", {}, h("span", { class: "muted" }, "None yet."))]),
  );
}

/** `explain` is given a request's id; `onState` whether the stream is there. */
export function startEvents(explain, onState) {
  const later = () => {
    if (isPaused || drawing) return;
    drawing = true;
    setTimeout(() => draw(explain), 100); // once for many
  };
  byId("events-kind").addEventListener("change", () => draw(explain));
  byId("events-pause").addEventListener("click", ({ currentTarget }) => {
    isPaused = !isPaused;
    currentTarget.setAttribute("aria-pressed", String(isPaused));
    currentTarget.textContent = isPaused ? "Go on" : "Pause";
    later();
  });
  draw(explain);
  follow((kind, data) => {
    kept.unshift({ kind, data });
    kept.length = Math.min(kept.length, MOST);
    later();
  }, onState);
}
