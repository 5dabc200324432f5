// Writes the table of settings into config/README.md from the schema on stdin:
//   build/gateway --schema | node config/settings.mjs
// The schema comes from the tables that the parser reads, so the page cannot say anything else.
import { readFileSync, writeFileSync } from "node:fs";

const page = new URL("README.md", import.meta.url);
const begin = "<!-- settings: begin -->\n", end = "<!-- settings: end -->";
const rows = [];

function form(schema) {
  if (schema.enum) return schema.enum.map((word) => `\`${word}\``).join(", ");
  if (schema.anyOf) return "text or object";
  const types = [schema.type].flat();
  if (types[0] === "array") return "list";
  if (/ms\|s\|m/.test(schema.pattern)) return "duration";
  if (/KiB/.test(schema.pattern)) return "size";
  return types[0] === "string" ? "text" : types[0];
}

function bounds(schema) {
  if (schema.minimum === undefined) return "";
  const unit = form(schema) === "duration" ? " s" : form(schema) === "size" ? " B" : "";
  return `${schema.minimum} – ${schema.maximum}${unit}`;
}

function walk(schema, path) {
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const here = path === "" ? name : `${path}.${name}`;
    const named = child.additionalProperties || null;
    const short = named || child.properties || child.items?.properties;
    const initial = child.default === undefined || short ? "" : `\`${JSON.stringify(child.default)}\``;
    rows.push(`| \`${here}\` | ${short ? "" : form(child)} | ${initial} | ${bounds(child)} | ${child.description} |`);
    walk(child, here);
    if (named) walk(named, `${here}.NAME`);
    const item = child.items?.anyOf?.find((one) => one.properties) ?? child.items;
    if (item) walk(item, `${here}[]`);
    const object = child.anyOf?.find((one) => one.properties);
    if (object) walk(object, here);
  }
}

walk(JSON.parse(readFileSync(0, "utf8")), "");
const table = ["| setting | form | default | bounds | what it does |", "| --- | --- | --- | --- | --- |", ...rows].join("\n");
const text = readFileSync(page, "utf8");
const from = text.indexOf(begin) + begin.length, to = text.indexOf(end);
if (from < begin.length || to < from) throw new Error("config/README.md has lost its markers");
writeFileSync(page, `${text.slice(0, from)}\n${table}\n\n${text.slice(to)}`);
