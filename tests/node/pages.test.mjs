// pages.test.mjs - what pages promise: every setting that config/coming-from.md names exists, each of
// its examples is accepted, and the lines of README.md's tour give what stands beside them.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, root, sleep, startGatewayFile, startOrigin, stopAll } from "./programs.mjs";

const page = (name) => readFileSync(join(root, name), "utf8");
const program = process.env.GATEWAY ?? "build/gateway";
const guide = page("config/coming-from.md");
const readme = page("README.md");
const home = folder();
let gateway;

before(async () => {
  const text = page("config/gateway.json").replace("http://127.0.0.1:9001", await startOrigin())
    .replace("0.0.0.0:8080", "127.0.0.1:0").replace("127.0.0.1:8081", "127.0.0.1:0");
  writeFileSync(join(home, "gateway.json"), text);
  gateway = await startGatewayFile(join(home, "gateway.json"));
});
after(stopAll);

test("every setting in the right column of coming-from.md is in the reference", () => {
  const known = new Set([...page("config/README.md").matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name));
  const named = [...guide.matchAll(/^\| .* \| (.*) \|$/gm)].flatMap(([, right]) => [...right.matchAll(/`([^`]+)`/g)].map(([, word]) => word));
  const settings = named.filter((word) => /^(server|admin|store|identity|tiers|limits|cache|upstreams|routes|log)\b[.[]/.test(word));
  assert.ok(settings.length > 90, `${settings.length} settings`);
  assert.deepEqual(settings.filter((word) => !known.has(word)), []);
});

test("every example of coming-from.md is accepted", () => {
  const examples = [...guide.matchAll(/^```json\n([^]*?)^```$/gm)].map(([, text]) => text);
  assert.equal(examples.length, 3);
  for (const [i, text] of examples.entries()) {
    const file = join(home, `example-${i}.json`);
    writeFileSync(file, text);
    const { status, stderr } = spawnSync(program, ["--check", "-c", file], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
  }
});

/** Runs the tour's lines, each "command   # what it shows"; words in `…` must be in what it gives. */
test("the tour of README.md is true", () => {
  const [, block] = /^## A tour\n[^]*?^```\n([^]*?)^```$/m.exec(readme);
  const lines = block.trim().split("\n").filter(Boolean);
  assert.ok(lines.length >= 8);
  for (const line of lines) {
    const [, command, promise = ""] = /^(.*?)(?:\s+# (.*))?$/.exec(line);
    const here = command.replaceAll("http://127.0.0.1:8080", gateway.url).replaceAll("http://127.0.0.1:8081", gateway.admin);
    const said = execFileSync("bash", ["-c", here], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    for (const [, word] of promise.matchAll(/`([^`]+)`/g)) assert.ok(said.includes(word), `${command}: no ${word} in\n${said}`);
  }
});

test("the answer that README.md shows whole is the one that comes", async () => {
  const [, block] = /^What the second of them says, whole:\n\n```\n([^]*?)^```$/m.exec(readme);
  const names = (lines) => lines.map((line) => line.split(":")[0].toLowerCase());
  const [status, ...shown] = block.trim().split("\n");
  await sleep(1500); // the tour has used up the burst
  execFileSync("curl", ["-s", `${gateway.url}/products`]);
  const said = execFileSync("curl", ["-si", `${gateway.url}/products`], { encoding: "utf8" }).split("\r\n\r\n")[0].split("\r\n");
  assert.equal(said[0], status);
  assert.deepEqual(names(said.slice(1)).sort(), names(shown).sort());
  const value = (lines, name) => lines.find((line) => line.startsWith(`${name}: `));
  for (const name of ["Content-Type", "Via", "Vary", "X-Cache-Status", "Content-Length", "RateLimit-Policy", "X-RateLimit-Limit"])
    assert.equal(value(said, name), value(shown, name));
});

test("what README.md links to is there", () => {
  for (const [, path] of readme.matchAll(/`([\w.-]+(?:\/[\w.-]*)+|docker-compose\.yml)`/g))
    if (!/^(build|\/)/.test(path)) assert.ok(existsSync(join(root, path)), path);
  for (const [, path] of readme.matchAll(/\]\((?!http)([^)#]+)/g)) assert.ok(existsSync(join(root, path)), path);
});
