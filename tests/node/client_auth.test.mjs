// client_auth.test.mjs - certificates of clients, with openssl's certificates and node's own client:
// none, optional, required; both versions of TLS; authorities that change under a reload; and what an
// upstream is told (RFC 9440), which no client can say itself.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import https from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, start, startGateway, startOrigin, stopAll } from "./programs.mjs";

const dir = folder();
const openssl = (...args) => execFileSync("openssl", args, { stdio: "ignore" });
const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

function authority(name) {
  const cert = join(dir, `${name}.pem`), secret = join(dir, `${name}.key`);
  openssl("req", "-x509", ...key, "-days", "2", "-subj", `/CN=${name}`, "-keyout", secret, "-out", cert);
  return { cert, key: secret };
}

/** A certificate of `by` for a client, as node wants it. */
function signed(name, by, extensions, days = "2") {
  const request = join(dir, `${name}.csr`), cert = join(dir, `${name}.pem`), secret = join(dir, `${name}.key`), more = join(dir, `${name}.ext`);
  writeFileSync(more, extensions);
  openssl("req", ...key, "-subj", `/CN=${name}`, "-keyout", secret, "-out", request);
  openssl("x509", "-req", "-in", request, "-CA", by.cert, "-CAkey", by.key, "-CAcreateserial", "-days", days, "-extfile", more, "-out", cert);
  return { cert: readFileSync(cert), key: readFileSync(secret) };
}

const forClients = "extendedKeyUsage=clientAuth\n";
let gateway, ports, one, two, client, stranger, server, expired;

before(async () => {
  one = authority("one"); two = authority("two");
  client = signed("client", one, forClients);
  stranger = signed("stranger", two, forClients);
  server = signed("server", one, "extendedKeyUsage=serverAuth\n");
  expired = signed("expired", one, forClients, "-1");
  const main = authority("main"), ca = join(dir, "ca.pem");
  copyFileSync(one.cert, ca);
  const address = "127.0.0.1:0";
  gateway = await startGateway({
    server: { listen: [address, ...["none", "optional", "required"].map((client_auth) => ({ address, tls: ["main"], client_auth }))],
      workers: 1, tls: { main: { cert: main.cert, key: main.key, client_ca: ca } } },
    admin: { listen: address },
    limits: { enabled: false },
    upstreams: { app: { targets: [await startOrigin()] } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }],
    log: { access: "off" },
  });
  ports = [...gateway.said().matchAll(/https:\/\/127\.0\.0\.1:(\d+)/g)].map((match) => Number(match[1]));
});
after(stopAll);

function get(port, identity = {}, more = {}) {
  return new Promise((resolve, reject) => {
    https.get({ port, host: "127.0.0.1", path: "/headers", agent: false, rejectUnauthorized: false, ...identity, ...more }, (answer) => {
      let body = "";
      answer.on("data", (bytes) => (body += bytes));
      answer.on("end", () => resolve({ status: answer.statusCode, body }));
    }).on("error", reject);
  });
}

const NONE = 0, OPTIONAL = 1, REQUIRED = 2;
const versions = [{ maxVersion: "TLSv1.2" }, { minVersion: "TLSv1.3" }];
const told = (identity) => `"Client-Cert",":${identity.cert.toString().replace(/-----[A-Z ]+-----|\s/g, "")}:"`;

test("required: a certificate of the authority, or no handshake", async () => {
  for (const version of versions) {
    const answer = await get(ports[REQUIRED], client, version);
    assert.equal(answer.status, 200);
    assert.ok(answer.body.includes(told(client)), answer.body);
    for (const identity of [{}, stranger, server, expired]) await assert.rejects(get(ports[REQUIRED], identity, version));
  }
});

test("optional: none passes, one that is not sound does not", async () => {
  for (const version of versions) {
    const without = await get(ports[OPTIONAL], {}, version);
    assert.equal(without.status, 200);
    assert.doesNotMatch(without.body, /Client-Cert/i);
    assert.ok((await get(ports[OPTIONAL], client, version)).body.includes(told(client)));
    for (const identity of [stranger, server, expired]) await assert.rejects(get(ports[OPTIONAL], identity, version));
  }
});

test("none: nobody is asked, nothing is told", async () => {
  for (const identity of [{}, client, stranger]) {
    const answer = await get(ports[NONE], identity);
    assert.equal(answer.status, 200);
    assert.doesNotMatch(answer.body, /Client-Cert/i);
  }
});

test("a client's own words about certificates are dropped", async () => {
  const headers = { "Client-Cert": ":bGll:", "client-cert-chain": ":bGll:" };
  assert.doesNotMatch((await get(ports[NONE], {}, { headers })).body, /bGll/);
  assert.doesNotMatch(await (await fetch(`${gateway.url}/headers`, { headers })).text(), /bGll/);
  const answer = await get(ports[REQUIRED], client, { headers: { ...headers, Connection: "close, Client-Cert" } });
  assert.ok(answer.body.includes(told(client)), answer.body);
  assert.doesNotMatch(answer.body, /bGll/);
});

test("refused certificates are counted", async () => {
  const metrics = await (await fetch(`${gateway.admin}/metrics`)).text();
  assert.match(metrics, /gateway_rejected_total\{reason="client_certificate"\} \d\d/);
});

test("a reload brings new authorities to new handshakes, and none that cannot be read", async () => {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  assert.equal((await get(ports[REQUIRED], client, { agent })).status, 200);
  copyFileSync(two.cert, join(dir, "ca.pem"));
  assert.equal((await fetch(`${gateway.admin}/system/config/reload`, { method: "POST" })).status, 200);
  assert.equal((await get(ports[REQUIRED], client, { agent })).status, 200, "the kept connection goes on");
  agent.destroy();
  await assert.rejects(get(ports[REQUIRED], client));
  assert.equal((await get(ports[REQUIRED], stranger)).status, 200);
  writeFileSync(join(dir, "ca.pem"), "nothing");
  const answer = await fetch(`${gateway.admin}/system/config/reload`, { method: "POST" });
  assert.equal(answer.status, 422);
  assert.match((await answer.json()).faults.join(), /authorities/);
  assert.equal((await get(ports[REQUIRED], stranger)).status, 200);
});

test("a listener that asks needs authorities, and one set of them", async () => {
  const cases = [
    [{ client_auth: "required" }, {}, /without tls/],
    [{ client_auth: "optional", tls: ["a"] }, { a: {} }, /no client_ca/],
    [{ client_auth: "required", tls: ["a", "b"] }, { a: { client_ca: one.cert }, b: { client_ca: two.cert } }, /another client_ca/],
    [{ client_auth: "sometimes", tls: ["a"] }, { a: { client_ca: one.cert } }, /client_auth/],
  ];
  for (const [listen, tls, fault] of cases) {
    const file = join(dir, "wrong.json");
    for (const name of Object.keys(tls)) Object.assign(tls[name], { cert: one.cert, key: one.key });
    writeFileSync(file, JSON.stringify({ server: { listen: [{ address: "127.0.0.1:0", ...listen }], tls } }));
    await assert.rejects(start(process.env.GATEWAY ?? "build/gateway", ["--check", "-c", file], /never/), fault);
  }
});
