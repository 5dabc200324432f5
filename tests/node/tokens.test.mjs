// tokens.test.mjs - tokens as real issuers make them: every algorithm, a key set that is fetched,
// rotated, slow, broken or away, and what attackers send. Tokens and keys are node:crypto's.
import assert from "node:assert/strict";
import { createHmac, constants, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { sleep, startGateway, stopAll } from "./programs.mjs";

const SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const servers = [];
const now = () => Math.floor(Date.now() / 1000);
const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

function signature(alg, input, key) {
  const digest = { 2: "sha256", 3: "sha384", 5: "sha512" }[alg[2]];
  if (alg.startsWith("HS")) return createHmac(digest, key).update(input).digest();
  if (alg.startsWith("ES")) return sign(digest, input, { key, dsaEncoding: "ieee-p1363" });
  if (alg.startsWith("PS")) return sign(digest, input, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST });
  return sign(alg === "EdDSA" ? null : digest, input, key);
}

function token(alg, key, claims = {}, header = {}) {
  const input = `${part({ alg, typ: "JWT", ...header })}.${part({ sub: "ada", exp: now() + 600, ...claims })}`;
  return `${input}.${signature(alg, Buffer.from(input), key).toString("base64url")}`;
}

const pairs = {
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  p256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  ed: generateKeyPairSync("ed25519"),
  next: generateKeyPairSync("ed25519"),
  weak: generateKeyPairSync("rsa", { modulusLength: 1024 }),
};
const jwk = (name, more = {}) => ({ ...pairs[name].publicKey.export({ format: "jwk" }), kid: name, ...more });

function listen(handler) {
  const server = createServer(handler);
  servers.push(server);
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${server.address().port}`)));
}

/** An issuer whose answer a test may change; counts how often it was asked. */
async function startIssuer(keys) {
  const issuer = { asked: 0, answer: (res) => res.end(JSON.stringify({ keys: issuer.keys })), keys };
  issuer.url = `${await listen((req, res) => {
    issuer.asked++;
    issuer.answer(res);
  })}/keys`;
  return issuer;
}

let upstream;
before(async () => {
  upstream = await listen((req, res) => res.end(JSON.stringify(req.headers)));
});
after(async () => {
  for (const server of servers) server.closeAllConnections();
  for (const server of servers) server.close();
  await stopAll();
});

function configOf(jwt, more = {}) {
  return {
    server: { listen: ["127.0.0.1:0"], workers: 2 },
    admin: { listen: "127.0.0.1:0" },
    tiers: { free: { per_minute: 5000 }, gold: { per_minute: 7777 } },
    identity: { jwt, ...more },
    upstreams: { app: { targets: [upstream] } },
    routes: [
      { name: "open", match: { path: "/*" }, upstream: "app" },
      { name: "closed", match: { path: "/closed" }, upstream: "app", auth: "identity" },
    ],
  };
}

async function ask(gateway, bearer, path = "/closed") {
  const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
  const response = await fetch(gateway.url + path, { headers });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

async function metric(gateway, name) {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`gateway_${name} `));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

test("a token of every algorithm of a secret", async () => {
  const gateway = await startGateway(configOf({ secret: SECRET, algorithms: ["HS256", "HS384", "HS512"] }));
  for (const alg of ["HS256", "HS384", "HS512"]) {
    const good = token(alg, SECRET, { tier: "gold" });
    for (let i = 0; i < 3; i++) { // again from the memory of verified tokens
      const answer = await ask(gateway, good);
      assert.equal(answer.status, 200, alg);
      assert.equal(answer.headers.get("x-ratelimit-limit"), "7777", alg);
    }
    assert.equal((await ask(gateway, token(alg, `${SECRET}x`))).status, 401, alg);
  }
  assert.equal(await metric(gateway, 'auth_total{method="jwt",result="ok"}'), 9);
  assert.equal(await metric(gateway, 'auth_total{method="jwt",result="jwt_sig"}'), 3);
  assert.equal((await ask(gateway)).status, 401);
  assert.match((await ask(gateway)).headers.get("www-authenticate"), /^Bearer realm="gateway"/);
});

test("a token of every algorithm of public keys, and what is no key for it", async () => {
  const issuer = await startIssuer([
    jwk("rsa"), jwk("p256", { use: "sig" }), jwk("p384", { key_ops: ["verify"] }), jwk("ed", { alg: "EdDSA" }),
    jwk("weak"), jwk("next", { use: "enc" }), { kty: "oct", kid: "oct", k: part(SECRET) }, "nonsense",
  ]);
  const algorithms = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "HS256"];
  const gateway = await startGateway(configOf({ secret: SECRET, jwks_url: issuer.url, algorithms }));
  const of = { RS: "rsa", PS: "rsa", ES256: "p256", ES384: "p384", Ed: "ed" };
  for (const alg of algorithms.slice(0, -1)) {
    const name = of[alg] ?? of[alg.slice(0, 2)];
    const { privateKey } = pairs[name];
    assert.equal((await ask(gateway, token(alg, privateKey, {}, { kid: name }))).status, 200, alg);
    assert.equal((await ask(gateway, token(alg, privateKey))).status, 200, `${alg} without a kid`);
    const broken = token(alg, privateKey, {}, { kid: name }).split(".");
    broken[2] = part(randomBytes(Buffer.from(broken[2], "base64url").length));
    assert.equal((await ask(gateway, broken.join("."))).status, 401, `${alg}, another signature`);
  }
  const trap = await startIssuer([jwk("next")]); // what a token names is never fetched
  const pem = pairs.rsa.publicKey.export({ type: "spki", format: "pem" });
  const modulus = Buffer.from(jwk("rsa").n, "base64url");
  const es = token("ES256", pairs.p256.privateKey, {}, { kid: "p256" });
  const input = es.slice(0, es.lastIndexOf("."));
  const half = Buffer.from(es.split(".")[2], "base64url").subarray(0, 32), zeros = Buffer.alloc(32);
  const bad = {
    "no algorithm": `${part({ alg: "none" })}.${part({ sub: "ada" })}.`,
    "no algorithm, in capitals": `${part({ alg: "nOnE" })}.${part({ sub: "ada" })}.`,
    "an empty signature": `${input}.`,
    "the public key as a secret": token("HS256", pem, {}, { kid: "rsa" }),
    "the modulus as a secret": token("HS256", modulus, {}, { kid: "rsa" }),
    "a symmetric key of the set": token("HS384", SECRET, {}, { kid: "oct" }),
    "an algorithm that is not configured": token("HS512", SECRET),
    "a key of another type": token("ES256", pairs.p256.privateKey, {}, { kid: "rsa" }),
    "a key's algorithm is another": token("RS256", pairs.rsa.privateKey, {}, { kid: "ed" }),
    "a weak modulus": token("RS256", pairs.weak.privateKey, {}, { kid: "weak" }),
    "a key for encryption": token("EdDSA", pairs.next.privateKey, {}, { kid: "next" }),
    "its own key": token("EdDSA", pairs.next.privateKey, {}, { kid: "next", jwk: jwk("next"), jku: trap.url, x5u: trap.url, x5c: ["AA=="] }),
    "its own key's address": token("EdDSA", pairs.next.privateKey, {}, { jku: trap.url }),
    "no algorithm, with a signature": `${part({ alg: "none" })}.${input.split(".")[1]}.${es.split(".")[2]}`,
    "a secret's, without a signature": `${part({ alg: "HS256" })}.${part({ sub: "ada" })}.`,
    "a curve that is not the algorithm's": token("ES256", pairs.p384.privateKey, {}, { kid: "p384" }),
    "the other curve": token("ES384", pairs.p256.privateKey, {}, { kid: "p256" }),
    "RSA-PSS as PKCS #1": token("PS256", pairs.rsa.privateKey, {}, { kid: "rsa" }).replace(/^[^.]+/, part({ alg: "RS256", kid: "rsa" })),
    "a path as kid": token("RS256", pairs.rsa.privateKey, {}, { kid: "../../../../dev/null" }),
    "SQL as kid": token("RS256", pairs.rsa.privateKey, {}, { kid: "' UNION SELECT 'rsa" }),
    "a kid of ten thousand bytes": token("RS256", pairs.rsa.privateKey, {}, { kid: "k".repeat(10000) }),
    "a kid of three hundred": token("RS256", pairs.rsa.privateKey, {}, { kid: "k".repeat(300) }),
    "a kid with more behind a NUL": token("RS256", pairs.rsa.privateKey, {}, { kid: "rsa\0x" }),
    "a kid in another case": token("RS256", pairs.rsa.privateKey, {}, { kid: "RSA" }),
    "a header twice": token("ES256", pairs.p256.privateKey).replace(/^[^.]+/, part('{"alg":"ES256","alg":"none"}')),
    "a kid that is no text": token("RS256", pairs.rsa.privateKey, {}, { kid: ["rsa"] }),
    "a critical extension": token("RS256", pairs.rsa.privateKey, {}, { kid: "rsa", crit: ["exp"] }),
    "an unencoded payload": token("RS256", pairs.rsa.privateKey, {}, { kid: "rsa", b64: false }),
    "DER": `${input}.${sign("sha256", Buffer.from(input), pairs.p256.privateKey).toString("base64url")}`,
    "r is zero": `${input}.${Buffer.concat([zeros, half]).toString("base64url")}`,
    "s is zero": `${input}.${Buffer.concat([half, zeros]).toString("base64url")}`,
    "r and s are no less than the order": `${input}.${Buffer.alloc(64, 0xff).toString("base64url")}`,
    "a long signature": `${input}.${Buffer.concat([Buffer.from(es.split(".")[2], "base64url"), Buffer.alloc(1)]).toString("base64url")}`,
    "the same signature, spelt otherwise": es.slice(0, -1) + String.fromCharCode(es.charCodeAt(es.length - 1) + 1),
    "an empty payload": `${part({ alg: "ES256", kid: "p256" })}..${es.split(".")[2]}`,
    "a short signature": `${input}.${half.toString("base64url")}`,
    "five parts": `${es}.AA.AA`,
    "padding": `${es}==`,
  };
  for (const [name, text] of Object.entries(bad)) {
    const answer = await ask(gateway, text, "/"); // on a route that needs none, too
    assert.equal(answer.status, 401, name);
    assert.equal(answer.headers.get("www-authenticate").startsWith('Bearer realm="gateway", error="invalid_token"'), true, name);
    assert.equal(JSON.stringify(answer.body).includes("eyJ"), false, name);
  }
  assert.equal((await ask(gateway, undefined, "/")).status, 200);
  assert.equal(issuer.asked <= 3, true, `asked ${issuer.asked} times for keys that nobody has`);
  assert.equal(trap.asked, 0);
  assert.equal(await metric(gateway, "jwks_keys"), 4);
});

test("a rotated key is fetched once, by those who wait for it", async () => {
  const issuer = await startIssuer([jwk("ed")]);
  const gateway = await startGateway(configOf({ jwks_url: issuer.url, algorithms: ["EdDSA"] }));
  const old = token("EdDSA", pairs.ed.privateKey, {}, { kid: "ed" });
  // a request that comes before the keys may ask for them once more
  for (let i = 0; i < 500 && (await metric(gateway, "jwks_keys")) !== 1; i++) await sleep(10);
  assert.equal((await ask(gateway, old)).status, 200);
  assert.equal(issuer.asked, 1);
  issuer.keys = [jwk("next")];
  issuer.answer = (res) => setTimeout(() => res.end(JSON.stringify({ keys: issuer.keys })), 200);
  const fresh = token("EdDSA", pairs.next.privateKey, {}, { kid: "next" });
  const all = await Promise.all(Array.from({ length: 40 }, () => ask(gateway, fresh)));
  assert.deepEqual([...new Set(all.map((each) => each.status))], [200]);
  assert.equal(issuer.asked, 2);
  assert.equal((await ask(gateway, old)).status, 401, "the old key is gone");
  const invented = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(gateway, token("EdDSA", pairs.next.privateKey, {}, { kid: `k${i}` }))));
  assert.deepEqual([...new Set(invented.map((each) => each.status))], [401]);
  assert.equal(issuer.asked <= 3, true, `asked ${issuer.asked} times`);
});

test("an issuer that fails leaves the old keys in force", async () => {
  const issuer = await startIssuer([jwk("ed")]);
  const gateway = await startGateway(configOf({ jwks_url: issuer.url, algorithms: ["EdDSA"] }));
  const good = () => token("EdDSA", pairs.ed.privateKey, { jti: randomBytes(8).toString("hex") }, { kid: "ed" });
  const strange = () => token("EdDSA", pairs.next.privateKey, {}, { kid: randomBytes(4).toString("hex") });
  assert.equal((await ask(gateway, good())).status, 200);
  const failures = {
    "status 500": (res) => res.writeHead(500).end(JSON.stringify({ keys: [] })),
    "no JSON": (res) => res.end("<html>"),
  };
  for (const [name, answer] of Object.entries(failures)) {
    const asked = issuer.asked;
    issuer.answer = answer;
    for (let i = 0; i < 100 && issuer.asked === asked; i++) {
      assert.equal((await ask(gateway, strange())).status, 401, name);
      await sleep(100);
    }
    assert.equal(issuer.asked > asked, true, name);
    assert.equal((await ask(gateway, good())).status, 200, name);
  }
});

test("an issuer that is late at the start, too large, or redirects", async () => {
  const issuer = await startIssuer([jwk("ed")]);
  const good = token("EdDSA", pairs.ed.privateKey, {}, { kid: "ed" });
  issuer.answer = (res) => setTimeout(() => res.end(JSON.stringify({ keys: issuer.keys })), 300);
  let gateway = await startGateway(configOf({ jwks_url: issuer.url, algorithms: ["EdDSA"] }));
  assert.equal((await ask(gateway, good)).status, 200, "the first request waits");
  issuer.answer = (res) => res.end(JSON.stringify({ keys: issuer.keys, pad: "x".repeat(1 << 20) }));
  gateway = await startGateway(configOf({ jwks_url: issuer.url, algorithms: ["EdDSA"] }));
  assert.equal((await ask(gateway, good)).status, 401);
  issuer.answer = (res) => res.writeHead(302, { location: "/elsewhere" }).end();
  gateway = await startGateway(configOf({ jwks_url: issuer.url, algorithms: ["EdDSA"] }));
  assert.equal((await ask(gateway, good)).status, 401);
});

test("a client that leaves while its keys are fetched", async () => {
  const issuer = await startIssuer([jwk("ed")]);
  issuer.answer = (res) => setTimeout(() => res.end(JSON.stringify({ keys: issuer.keys })), 500);
  const gateway = await startGateway(configOf({ jwks_url: issuer.url, algorithms: ["EdDSA"] }));
  const good = token("EdDSA", pairs.ed.privateKey, {}, { kid: "ed" });
  const left = Array.from({ length: 10 }, () =>
    fetch(`${gateway.url}/closed`, { headers: { authorization: `Bearer ${good}` }, signal: AbortSignal.timeout(100) }).then(() => "answered", () => "left"));
  const stayed = ask(gateway, good);
  assert.equal((await Promise.all(left)).includes("answered"), false);
  assert.equal((await stayed).status, 200);
});

test("claims: time, issuer, audience, who and which tier", async () => {
  const gateway = await startGateway(configOf({ secret: SECRET, issuer: "https://issuer", audience: "api", leeway: "5s", user_claim: "user_id", tier_claim: "plan" }));
  const made = (claims) => token("HS256", SECRET, { iss: "https://issuer", aud: "api", user_id: 42, ...claims });
  const cases = [
    ["good", {}, 200], ["an audience among others", { aud: ["x", "api"] }, 200],
    ["just ended", { exp: now() - 2 }, 200], ["ended", { exp: now() - 60 }, 401],
    ["soon", { nbf: now() + 2 }, 200], ["not yet", { nbf: now() + 60 }, 401], ["made tomorrow", { iat: now() + 60 }, 401],
    ["exp is text", { exp: `${now() + 60}` }, 401], ["exp is no whole number", { exp: now() + 60.5 }, 401],
    ["exp is negative", { exp: -1 }, 401], ["exp is too large", { exp: 1e300 }, 401], ["exp is null", { exp: null }, 401],
    ["another issuer", { iss: "https://issuer.evil" }, 401], ["issuer in a list", { iss: ["https://issuer"] }, 401],
    ["another audience", { aud: "api2" }, 401], ["no audience", { aud: undefined }, 401],
    ["nobody", { user_id: undefined }, 401], ["an empty name", { user_id: "" }, 401], ["a name with NUL", { user_id: "a\0b" }, 401],
    ["a name that is a list", { user_id: ["a"] }, 401], ["a long name", { user_id: "x".repeat(256) }, 401],
    ["a tier that is a number", { plan: 1 }, 401], ["a tier that is not ours", { plan: "silver" }, 200],
  ];
  for (const [name, claims, want] of cases) assert.equal((await ask(gateway, made(claims))).status, want, name);
  assert.equal((await ask(gateway, made({ plan: "gold" }))).headers.get("x-ratelimit-limit"), "7777");
  const raw = (payload) => {
    const input = `${part({ alg: "HS256" })}.${part(payload)}`;
    return `${input}.${signature("HS256", input, SECRET).toString("base64url")}`;
  };
  const body = JSON.stringify({ iss: "https://issuer", aud: "api", user_id: "a", exp: now() + 60 });
  assert.equal((await ask(gateway, raw(body))).status, 200);
  assert.equal((await ask(gateway, raw(body.replace("{", '{"user_id":"root",')))).status, 401, "a claim twice");
  assert.equal((await ask(gateway, raw(body.replace("{", '{"user_\\u0069d":"root",')))).status, 401, "twice, escaped");
  assert.equal((await ask(gateway, raw(body.replace("{", `{"exp":${now() + 600},`)))).status, 401, "an end twice");
  assert.equal((await ask(gateway, raw(body.replace(/"exp":\d+/, '"exp":1e400')))).status, 401, "an end that no number holds");
  assert.equal((await ask(gateway, raw(body.replace(/"exp":\d+/, '"exp":9007199254740993')))).status, 401, "an end past 2^53");
  assert.equal((await ask(gateway, raw(`[${body}]`))).status, 401, "a list");
  assert.equal((await ask(gateway, raw('"ada"'))).status, 401, "text");
  const latin = Buffer.from(body.replace('"a"', '"\xe9"'), "latin1"), wrong = `${part({ alg: "HS256" })}.${latin.toString("base64url")}`;
  assert.equal((await ask(gateway, `${wrong}.${signature("HS256", wrong, SECRET).toString("base64url")}`)).status, 401, "not UTF-8");
  assert.equal((await ask(gateway, raw(`${body}x`))).status, 401, "something behind the end");
  assert.equal((await ask(gateway, raw(body.replace("{", `{"x":${"[".repeat(1000)}${"]".repeat(1000)},`)))).status, 401, "deep");
  assert.equal((await ask(gateway, `${"A".repeat(9000)}.A.A`)).status, 401, "huge");
});

test("one credential of a kind; other schemes are not ours; a reload takes a new secret", async () => {
  const config = configOf({ secret: SECRET });
  const gateway = await startGateway(config);
  const good = token("HS256", SECRET), other = token("HS256", "another-secret-of-32-bytes-length");
  const twice = await fetch(`${gateway.url}/`, { headers: [["authorization", `Bearer ${good}`], ["authorization", `Bearer ${good}`]] });
  assert.equal(twice.status, 401);
  for (const [value, want] of [[`bearer ${good}`, 200], [`BEARER   ${good}`, 200], ["Bearer", 401], [`Bearer ${good} x`, 401], ["Digest x", 200], [`Bearer\t${good}`, 401]]) {
    const answer = await fetch(`${gateway.url}/`, { headers: { authorization: value } });
    assert.equal(answer.status, want, value.slice(0, 12));
  }
  assert.equal((await ask(gateway, good)).status, 200);
  assert.equal((await ask(gateway, other)).status, 401);
  config.identity.jwt.secret = "another-secret-of-32-bytes-length";
  config.server.listen = JSON.parse(readFileSync(gateway.file)).server.listen;
  writeFileSync(gateway.file, JSON.stringify(config));
  assert.equal((await fetch(`${gateway.admin}/system/config/reload`, { method: "POST" })).status, 200);
  for (let i = 0; i < 50 && (await ask(gateway, good)).status === 200; i++) await sleep(20);
  assert.equal((await ask(gateway, good)).status, 401, "what was verified with the old secret is forgotten");
  assert.equal((await ask(gateway, other)).status, 200);
});
