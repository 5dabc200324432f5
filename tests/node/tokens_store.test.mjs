// tokens_store.test.mjs - a token that one gateway revokes is refused by every gateway of the store,
// soon, and after a restart; a store that is away refuses nobody.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { folder, sleep, startGateway, stop, stopAll } from "./programs.mjs";

const SECRET = "0123456789abcdef0123456789abcdef";
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
let redis, upstream;

function token(jti) {
  const input = `${part({ alg: "HS256" })}.${part({ sub: "ada", jti, exp: Math.floor(Date.now() / 1000) + 600 })}`;
  return `${input}.${createHmac("sha256", SECRET).update(input).digest("base64url")}`;
}

async function endRedis() {
  const ended = new Promise((resolve) => redis.once("exit", resolve));
  redis.kill("SIGTERM");
  await ended;
  redis = undefined;
}

after(async () => {
  upstream?.closeAllConnections();
  upstream?.close();
  await stopAll();
  if (redis) await endRedis();
});

async function ask(gateway, bearer) {
  const answer = await fetch(`${gateway.url}/`, { headers: { authorization: `Bearer ${bearer}` } });
  await answer.text();
  return answer.status;
}

async function until(what, condition, ms = 20000) {
  const start = performance.now();
  while (!(await condition())) {
    assert.ok(performance.now() - start < ms, what);
    await sleep(5);
  }
  return performance.now() - start;
}

test("revoked here, refused there", async () => {
  const path = folder();
  const startRedis = () => spawn("redis-server", ["--port", "0", "--unixsocket", "redis", "--save", "", "--appendonly", "yes"], { cwd: path, stdio: "ignore" });
  redis = startRedis();
  upstream = createServer((req, res) => res.end("ok"));
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const config = {
    server: { listen: ["127.0.0.1:0"], workers: 1 },
    admin: { listen: "127.0.0.1:0" },
    store: { url: `redis+unix://${join(path, "redis")}`, eviction_check: "off" },
    identity: { hash_secret: "tokens-store-test", jwt: { secret: SECRET } },
    tiers: { free: { per_minute: 100000 } },
    upstreams: { app: { targets: [`http://127.0.0.1:${upstream.address().port}`] } },
    routes: [{ name: "all", match: { path: "/*" }, upstream: "app" }],
  };
  const a = await startGateway(config);
  let b = await startGateway(config);
  const first = token("first"), second = token("second"), good = token("good");
  const revoke = async (body) => {
    const answer = await fetch(`${a.admin}/system/tokens/revoke`, { method: "POST", body: JSON.stringify(body) });
    assert.equal(answer.status, 200);
    await answer.text();
  };
  assert.deepEqual([await ask(a, first), await ask(b, first)], [200, 200]);
  await revoke({ token: first });
  assert.equal(await ask(a, first), 401);
  const took = await until("the other gateway refuses it", async () => (await ask(b, first)) === 401);
  console.log(`seen by the other gateway after ${took.toFixed(0)} ms`);

  await stop(b.child);
  b = await startGateway(config);
  await until("a new gateway refuses it", async () => (await ask(b, first)) === 401);

  await endRedis();
  assert.deepEqual([await ask(a, good), await ask(b, good)], [200, 200]);
  assert.deepEqual([await ask(a, first), await ask(b, first)], [401, 401]);
  await revoke({ jti: "second", exp: Math.floor(Date.now() / 1000) + 600 });
  assert.deepEqual([await ask(a, second), await ask(b, second)], [401, 200]);
  redis = startRedis();
  await until("what was revoked without the store is written when it is back", async () => (await ask(b, second)) === 401);
  assert.deepEqual([await ask(a, good), await ask(b, good)], [200, 200]);
});
