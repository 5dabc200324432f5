// otlp.mjs - a collector for tests: takes OTLP over HTTP as JSON, and refuses what is not sound.
//
// The schema is recorded from opentelemetry-proto 1.x (collector/trace/v1/trace_service.proto,
// trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto) in its JSON mapping:
// lowerCamelCase names, ids in hexadecimal, enums as numbers, 64-bit integers as strings or numbers.
// A member that it does not know is a fault, as is one of another type.
import { createServer } from "node:http";

const hex = (digits) => (value) => typeof value === "string" && new RegExp(`^[0-9a-f]{${digits}}$`).test(value) && !/^0+$/.test(value);
const text = (value) => typeof value === "string";
const int32 = (value) => Number.isInteger(value) && Math.abs(value) < 2 ** 31;
const uint32 = (value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32;
const int64 = (value) => (typeof value === "string" && /^-?\d{1,19}$/.test(value)) || Number.isSafeInteger(value);
const nanoseconds = (value) => typeof value === "string" && /^\d{19}$/.test(value);
const list = (of) => (value, at) => Array.isArray(value) && value.every((one, i) => check(of, one, `${at}[${i}]`));
const message = (of) => (value, at) => check(of, value, at);

const anyValue = {
  stringValue: text,
  boolValue: (value) => typeof value === "boolean",
  intValue: int64,
  doubleValue: (value) => typeof value === "number",
  arrayValue: message({ values: (value, at) => list(anyValue)(value, at) }),
  bytesValue: text,
};
const keyValue = { "key!": (value) => text(value) && value !== "", "value!": message(anyValue) };
const attributes = { attributes: list(keyValue), droppedAttributesCount: uint32 };
const span = {
  "traceId!": hex(32),
  "spanId!": hex(16),
  traceState: text,
  parentSpanId: hex(16),
  flags: uint32,
  "name!": (value) => text(value) && value !== "",
  "kind!": (value) => int32(value) && value >= 0 && value <= 5,
  "startTimeUnixNano!": nanoseconds,
  "endTimeUnixNano!": nanoseconds,
  ...attributes,
  events: list({ timeUnixNano: nanoseconds, name: text, ...attributes }),
  droppedEventsCount: uint32,
  links: list({ traceId: hex(32), spanId: hex(16), traceState: text, flags: uint32, ...attributes }),
  droppedLinksCount: uint32,
  status: message({ message: text, code: (value) => [0, 1, 2].includes(value) }),
};
const request = {
  "resourceSpans!": list({
    "resource!": message(attributes),
    "scopeSpans!": list({
      scope: message({ name: text, version: text, ...attributes }),
      "spans!": list(span),
      schemaUrl: text,
    }),
    schemaUrl: text,
  }),
};

/** Throws where `value` is no message of this form; a name that ends in "!" must be there. */
function check(form, value, at) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error(`${at} is no object`);
  for (const name of Object.keys(form)) if (name.endsWith("!") && !(name.slice(0, -1) in value)) throw new Error(`${at}.${name.slice(0, -1)} is missing`);
  for (const [name, member] of Object.entries(value)) {
    const fits = form[name] ?? form[`${name}!`];
    if (!fits) throw new Error(`${at}.${name} is unknown`);
    if (!fits(member, `${at}.${name}`)) throw new Error(`${at}.${name} is ${JSON.stringify(member)}`);
  }
  return true;
}

const plain = (value) => value.stringValue ?? (value.intValue !== undefined ? Number(value.intValue) : (value.boolValue ?? value.doubleValue));

/** {url, spans, requests, faults, bytes, answer, hangs, close()}: `answer` is what is said next, {status, body, headers}. */
export function startCollector(port = 0) {
  const collector = { spans: [], requests: 0, faults: [], text: "", answer: { status: 200, body: "{}" }, hangs: false };
  const server = createServer(async (incoming, response) => {
    let body = "";
    for await (const bytes of incoming) body += bytes;
    collector.requests++;
    if (collector.hangs) return;
    const { status, body: says = "", headers = {} } = collector.answer;
    if (status === 200) take(collector, incoming, body);
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(says);
  });
  collector.close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return new Promise((resolve) =>
    server.listen(port, "127.0.0.1", () => {
      collector.port = server.address().port;
      collector.url = `http://127.0.0.1:${collector.port}`;
      resolve(collector);
    }),
  );
}

function take(collector, incoming, body) {
  collector.text += body;
  try {
    if (incoming.method !== "POST" || incoming.url !== "/v1/traces") throw new Error(`${incoming.method} ${incoming.url}`);
    if (incoming.headers["content-type"] !== "application/json") throw new Error(`Content-Type: ${incoming.headers["content-type"]}`);
    const parsed = JSON.parse(body);
    check(request, parsed, "request");
    for (const { resource, scopeSpans } of parsed.resourceSpans)
      for (const { spans } of scopeSpans)
        for (const one of spans) {
          if (BigInt(one.endTimeUnixNano) < BigInt(one.startTimeUnixNano)) throw new Error(`${one.name} ends before it starts`);
          const named = (from) => Object.fromEntries(from.map(({ key, value }) => [key, plain(value)]));
          collector.spans.push({ ...one, attributes: named(one.attributes), resource: named(resource.attributes) });
        }
  } catch (error) {
    collector.faults.push(error.message);
  }
}
