// compose.test.mjs - what docker-compose.yml promises, as far as it can be seen without an engine.
//
// The file is read by its indentation (a service is a name with two blanks before it); that is
// enough for these promises and needs no YAML library. Where a compose command is installed, it
// judges the file too; `config` needs no engine.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { folder, root, stopAll } from "./programs.mjs";

const text = readFileSync(join(root, "docker-compose.yml"), "utf8");
const body = /^services:\n([^]*?)^\S/m.exec(text)[1];
const services = Object.fromEntries(
  [...body.matchAll(/^  ([\w-]+):\n((?:(?:    .*|  #.*|)\n)*)/gm)].map(([, name, lines]) => [name, lines]),
);
const common = /^x-service:.*\n((?: .*\n)*)/m.exec(text)[1];
const published = ["alertmanager", "gateway", "grafana", "prometheus"];
const endsByItself = ["k6"];
const anomalies = ["disk", "jumpy", "leak", "shaky", "spin"];
const commonAnomaly = /^x-anomaly:.*\n((?: .*\n)*)/m.exec(text)[1];
after(stopAll);

test("the services are those that belong to a gateway", () => {
  const own = ["gateway", "sample", "redis", "redis-cache", "alerts", "k6"];
  const watching = ["alertmanager", "cadvisor", "grafana", "node-exporter", "prometheus", "redis-cache-exporter", "redis-exporter"];
  assert.deepEqual(Object.keys(services).sort(), [...own, ...watching, ...anomalies].sort());
});

for (const [name, lines] of Object.entries(services)) {
  test(`${name} publishes ports on loopback only`, () => {
    const ports = /^    ports:\n((?:      .*\n)*)/m.exec(lines)?.[1] ?? "";
    for (const port of ports.trim().split("\n").filter(Boolean))
      assert.match(port.trim(), /^- "127\.0\.0\.1:\d+:\d+"$/);
    if (!published.includes(name)) assert.equal(ports, "");
  });

  test(`${name} has a healthcheck, a restart policy and a pinned image`, () => {
    if (anomalies.includes(name)) {
      assert.match(lines, /^    <<: \*anomaly$/m);
      assert.match(commonAnomaly, /^  <<: \*service\n  profiles: \[anomalies\]\n  image: \S+:local$/m);
      assert.match(commonAnomaly, /^  network_mode: none$/m);
      return;
    }
    if (endsByItself.includes(name)) assert.match(lines, /^    restart: "no"\n    profiles: \[load\]$/m);
    else assert.match(lines, /^    healthcheck:$/m);
    assert.match(lines, /^    <<: \*service$/m);
    assert.match(common, /^  restart: unless-stopped$/m);
    const image = /^    image: (\S+)$/m.exec(lines)[1];
    if (/^    build:/m.test(lines)) assert.match(image, /:local$/);
    else assert.match(image, /:v?\d+\.\d+\.\d+(-alpine)?$/);
  });

  test(`${name} is bounded, and writes nowhere but into volumes`, () => {
    assert.match(lines, /^    mem_limit: \d+[mg]\b/m);
    assert.match(lines, /^    cpus: [\d.]+$/m);
    assert.match(common, /^  read_only: true$/m);
    assert.match(common, /^  cap_drop: \[ALL\]$/m);
    if (name !== "cadvisor") assert.doesNotMatch(lines, /cap_(add|drop)/);
    assert.match(common, /^  pids_limit: \d+$/m);
    assert.match(common, /no-new-privileges:true/);
    assert.doesNotMatch(lines, /privileged: true|read_only: false/);
  });

  test(`${name} mounts what exists`, () => {
    for (const [, path] of lines.matchAll(/^      - (\.\/[^:]+):/gm)) assert.ok(existsSync(join(root, path)), path);
  });
}

test("the admin token has no default", () => {
  assert.match(services.gateway, /GATEWAY_ADMIN_TOKEN: \$\{GATEWAY_ADMIN_TOKEN:\?/);
});

test("the gateway counts in the Redis that is there, which never evicts", () => {
  assert.match(services.gateway, /REDIS_URL: redis:\/\/redis:6379\/0$/m);
  assert.match(services["redis-exporter"], /REDIS_ADDR: "redis:\/\/redis:6379"/);
  assert.match(readFileSync(join(root, "config/redis.conf"), "utf8"), /^maxmemory-policy (noeviction|volatile-\w+)$/m);
});

test("cached answers have a Redis of their own, which may drop any of them", () => {
  assert.match(services.gateway, /REDIS_CACHE_URL: redis:\/\/redis-cache:6379\/0\b/);
  assert.match(services["redis-cache"], /"--maxmemory-policy", "allkeys-lru"/);
  assert.match(services["redis-cache-exporter"], /REDIS_ADDR: "redis:\/\/redis-cache:6379"/);
  const printed = spawnSync(process.env.GATEWAY ?? join(root, "build/gateway"), ["--print-config", "-c", join(root, "config/gateway.json")], {
    encoding: "utf8",
    env: { ...process.env, REDIS_URL: "redis://redis:6379/0", REDIS_CACHE_URL: "redis://redis-cache:6379/0", CACHE_STORE: "true" },
  }).stdout.replaceAll(/ *\/\/ .*$/gm, "");
  const { store, cache } = JSON.parse(printed);
  assert.deepEqual([store.url, store.roles.cache.url, cache.store], ["redis://redis:6379/0", "redis://redis-cache:6379/0", true]);
});

test("Grafana finds the dashboards where they are mounted", () => {
  const provider = readFileSync(join(root, "dashboards/provisioning/dashboards/gateway.yml"), "utf8");
  const [, path] = /^      path: (\S+)$/m.exec(provider);
  assert.ok(services.grafana.includes(`- ./dashboards:${path}:ro`), path);
  assert.ok(services.grafana.includes(`HOME_DASHBOARD_PATH: ${path}/gateway.json`), path);
});

test("the image copies what exists, and .dockerignore lets it through", () => {
  const file = readFileSync(join(root, "gateway/Dockerfile"), "utf8");
  const allowed = readFileSync(join(root, ".dockerignore"), "utf8").split("\n");
  for (const [, path] of file.matchAll(/^COPY (?!--from)(\S+) /gm)) {
    assert.ok(existsSync(join(root, path)), path);
    assert.ok(allowed.includes(`!${path}`), path);
  }
  assert.match(file, /^USER 10001:10001$/m);
  assert.match(file, /^HEALTHCHECK .*\\\n  CMD \[.*\/health"\]$/m);
});

test("the image is of one dated Debian, and holds the libraries that the program links", () => {
  const file = readFileSync(join(root, "gateway/Dockerfile"), "utf8");
  const bases = [...file.matchAll(/^FROM (\S+:\S+) AS/gm)].map(([, image]) => image);
  assert.equal(new Set(bases).size, 1);
  assert.match(bases[0], /^debian:trixie-\d{8}-slim$/);
  // as pkg-config calls them in Makefile, and as Debian 13 calls them
  const packages = {
    libmicrohttpd: "libmicrohttpd12t64", libcurl: "libcurl4t64", libcjson: "libcjson1", libuv: "libuv1t64", gnutls: "libgnutls30t64",
    libssl: "libssl3t64", libcrypto: "libssl3t64", zlib: "zlib1g", libbrotlienc: "libbrotli1", libbrotlidec: "libbrotli1", libzstd: "libzstd1",
    hiredis: "libhiredis1.1.0", libjpeg: "libjpeg62-turbo", libpng: "libpng16-16t64", libwebp: "libwebp7", libsystemd: "libsystemd0",
  };
  const base = /^FROM \S+ AS base\n([^]*?)^FROM/m.exec(file)[1];
  for (const name of /^PACKAGES := (.*)$/m.exec(readFileSync(join(root, "Makefile"), "utf8"))[1].split(" "))
    assert.ok(packages[name] && base.includes(` ${packages[name]} `.trimEnd()), `${name}: add its library to gateway/Dockerfile`);
});

test("the names in prometheus/ and dashboards/ are services", () => {
  const scrape = readFileSync(join(root, "prometheus/prometheus.yml"), "utf8");
  const source = readFileSync(join(root, "dashboards/provisioning/datasources/prometheus.yml"), "utf8");
  for (const [, name] of scrape.matchAll(/targets: \["([a-z-]+):\d+"\]/g)) assert.ok(services[name], name);
  assert.ok(services[/url: http:\/\/(\w+):9090/.exec(source)[1]]);
});

const composes = [["docker", "compose"], ["docker-compose"]];
const compose = composes.find(([command, ...more]) => spawnSync(command, [...more, "version"]).status === 0);
test("docker compose takes it", { skip: compose ? false : "no compose command here" }, () => {
  const [command, ...more] = compose;
  const judge = (env) => spawnSync(command, [...more, "-f", file, "config"], { encoding: "utf8", env: { ...process.env, ...env } });
  let file = join(root, "docker-compose.yml");
  if (command === "docker-compose") {
    // the first version, which Debian 12 has, does not know a project's name in the file
    file = join(folder(), "docker-compose.yml");
    writeFileSync(file, text.replace(/^name: .*\n/m, ""));
  }
  const good = judge({ GATEWAY_ADMIN_TOKEN: "x" });
  assert.equal(good.status, 0, good.stderr);
  assert.notEqual(judge({ GATEWAY_ADMIN_TOKEN: "" }).status, 0, "it must insist on a token");
});
