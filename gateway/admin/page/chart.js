// chart.js - a line chart over time, as SVG that takes its colours from the style sheet.
//
// Points come one a step; a series may have gaps (null). Pointer and arrow keys move a cursor, and
// the legend, which is text, tells the values there: so a screen reader hears what the eye sees.
import { clock, h, setText } from "./dom.js";

const space = "http://www.w3.org/2000/svg";
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 8, 8, 20];

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The next of 1, 2, 5, 10… times a power of ten. */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least * 0.999);
}

export class Chart {
  /** `format` makes a value text; `most` is a fixed top of the scale. */
  constructor({ title, format, most, least = 1, points = 150 }) {
    Object.assign(this, { title, format, most, least, points, names: [], times: [], rows: [], at: -1 });
    this.legend = h("ul", { class: "legend" });
    this.drawing = svg("svg", { role: "img", tabindex: "0" });
    this.element = h("figure", { class: "chart card" }, h("figcaption", {}, title), this.legend, this.drawing);
    this.drawing.addEventListener("pointermove", (event) => this.point(event));
    this.drawing.addEventListener("pointerleave", () => this.moveTo(-1));
    this.drawing.addEventListener("blur", () => this.moveTo(-1));
    this.drawing.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.drawing);
  }

  /** Adds a moment: {name: value or null}. */
  add(time, values) {
    for (const name of Object.keys(values)) if (!this.names.includes(name) && this.names.length < 5) this.names.push(name);
    this.times.push(time);
    this.rows.push(values);
    if (this.times.length > this.points) {
      this.times.shift();
      this.rows.shift();
      if (this.at > 0) this.at--;
    }
    this.draw();
  }

  /** How many moments the width holds: a young chart is not squeezed into its corner. */
  wide() {
    return Math.min(this.points, Math.max(this.rows.length, 31));
  }

  key(event) {
    const last = this.rows.length - 1;
    const from = this.at < 0 ? last : this.at;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last, Escape: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.moveTo(event.key === "Escape" ? -1 : Math.min(Math.max(to, 0), last));
  }

  point(event) {
    const box = this.drawing.getBoundingClientRect();
    const first = this.wide() - this.rows.length;
    const index = Math.round(((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)) * (this.wide() - 1)) - first;
    this.moveTo(index >= 0 && index < this.rows.length ? index : -1);
  }

  moveTo(index) {
    if (index === this.at) return;
    this.at = index;
    this.draw();
  }

  valueAt(name, index) {
    return this.rows[index]?.[name] ?? null;
  }

  drawLegend() {
    const index = this.at < 0 ? this.rows.length - 1 : this.at;
    const tell = (name) => (this.valueAt(name, index) === null ? "–" : this.format(this.valueAt(name, index)));
    while (this.legend.children.length > this.names.length + 1) this.legend.lastChild.remove();
    this.names.forEach((name, i) => {
      if (!this.legend.children[i]?.dataset.name) this.legend.insertBefore(h("li", { "data-name": name }, h("i", { class: `f${i + 1}` }), `${name} `, h("b")), this.legend.children[i] ?? null);
      setText(this.legend.children[i].lastChild, tell(name));
    });
    if (this.legend.children.length === this.names.length) this.legend.append(h("li", { class: "muted" }));
    setText(this.legend.lastChild, this.names.length === 0 ? "none yet" : this.at < 0 ? "" : clock(this.times[this.at]));
    const moment = this.at < 0 ? "now" : `at ${clock(this.times[this.at])}`;
    this.drawing.setAttribute("aria-label", `${this.title}, ${moment}: ${this.names.map((name) => `${name} ${tell(name)}`).join(", ") || "none"}`);
  }

  top() {
    if (this.most) return this.most;
    const highest = Math.max(this.least, ...this.rows.flatMap((row) => this.names.map((name) => row[name] ?? 0)));
    return niceStep(highest / 4) * Math.ceil(highest / niceStep(highest / 4) - 1e-9);
  }

  draw() {
    const { width, height } = this.drawing.getBoundingClientRect();
    this.drawLegend();
    if (width === 0) return;
    const top = this.top();
    const step = this.most ? this.most / 4 : niceStep(top / 4);
    const x = (index) => LEFT + ((width - LEFT - RIGHT) * (index + this.wide() - this.rows.length)) / (this.wide() - 1);
    const y = (value) => TOP + (height - TOP - BOTTOM) * (1 - Math.min(value, top) / top);
    const grid = svg("g", { class: "grid" });
    const axis = svg("g", { class: "axis" });
    for (let value = 0; value <= top * 1.001; value += step) {
      grid.append(svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
      axis.append(svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, this.format(value)));
    }
    this.drawTimes(axis, x, height);
    const lines = svg("g", { class: "lines" }, ...this.names.map((name, i) => svg("path", { class: `s${i + 1}`, d: this.path(name, x, y) })));
    const areas = svg("g", { class: "areas" });
    if (this.names.length === 1) areas.append(svg("path", { class: "f1", d: this.area(this.names[0], x, y) }));
    this.drawing.replaceChildren(grid, axis, areas, lines);
    if (this.at >= 0) this.drawing.append(svg("line", { class: "cursor", x1: x(this.at), x2: x(this.at), y1: TOP, y2: height - BOTTOM }));
  }

  drawTimes(axis, x, height) {
    const last = this.rows.length - 1;
    for (const minutes of [0, 1, 2, 3, 4]) {
      const index = last - minutes * 30;
      if (index + this.wide() - this.rows.length < 0) continue;
      axis.append(svg("text", { x: x(index), y: height - 4, "text-anchor": minutes === 0 ? "end" : x(index) < LEFT + 20 ? "start" : "middle" }, minutes === 0 ? "now" : `−${minutes} min`));
    }
  }

  /** The runs of a series without its gaps: [[index, value]…]. */
  runs(name) {
    const runs = [[]];
    this.rows.forEach((row, index) => {
      if ((row[name] ?? null) === null) runs.push([]);
      else runs.at(-1).push([index, row[name]]);
    });
    return runs.filter((run) => run.length > 0);
  }

  path(name, x, y) {
    return this.runs(name)
      .map((run) => `M${run.map(([index, value]) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join("L")}${run.length === 1 ? "h1" : ""}`)
      .join("");
  }

  area(name, x, y) {
    return this.runs(name)
      .map((run) => `M${x(run[0][0])},${y(0)}L${run.map(([index, value]) => `${x(index)},${y(value)}`).join("L")}L${x(run.at(-1)[0])},${y(0)}Z`)
      .join("");
  }
}
