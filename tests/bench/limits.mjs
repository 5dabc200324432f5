// limits.mjs - what a limit costs: in memory (limit_bench.c has the nanoseconds) and in Redis, for one client and for
// a hundred thousand, beside nginx' limit_req and nginx with a Lua script on the same Redis (limits_contestants.mjs says
// which). Part of run.mjs.
//
// The cost of a decision is the CPU time of a request on the limited route less that of one on the plain route, in
// the same life of the same process. Redis' own time, and how often it was called, are what its INFO says, in the
// same way: the gateway's usage goes there on both routes. Latency is taken apart, at a pace that leaves the core
// idle half of the time.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startPinned } from './contestants.mjs';
import { gateway, hasLua, nginx } from './limits_contestants.mjs';
import { accepts, cpuSeconds, end, freePort, median, rssKiB, table, unit } from './measure.mjs';

const here = new URL('.', import.meta.url).pathname;
const NGINX = '/usr/sbin/nginx';
const WORKS = [
  { name: 'memory, 1 client', store: 'memory', clients: 1 },
  { name: 'memory, 100000 clients', store: 'memory', clients: 100000 },
  { name: 'redis, 1 client', store: 'redis', clients: 1 },
  { name: 'redis, 1 client, no leases', store: 'redis', clients: 1, leases: 'off', gatewayOnly: true },
  { name: 'redis, 100000 clients', store: 'redis', clients: 100000 },
];

function wrk(port, seconds, args, connections = 64) {
  const out = execFileSync('taskset', ['-c', '1', 'wrk', '-t1', `-c${connections}`, `-d${Math.ceil(seconds)}s`, '--latency', '-s', join(here, 'limits.lua'),
    `http://127.0.0.1:${port}`, '--', ...args.map(String)], { encoding: 'utf8' });
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(out)?.[1] ?? 0)
    + (/Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(out)?.slice(1).map(Number).reduce((a, b) => a + b, 0) ?? 0);
  return { total: Number(/(\d+) requests in/.exec(out)[1]), bad, p50: unit(/^ +50% +(\S+)/m.exec(out)[1]), p99: unit(/^ +99% +(\S+)/m.exec(out)[1]) };
}

const cli = (port, ...words) => execFileSync('redis-cli', ['-p', String(port), ...words], { encoding: 'utf8' });

/** CPU seconds and script calls of a Redis until now. */
function redisNow(port) {
  const info = cli(port, 'INFO', 'all');
  const number = pattern => [...info.matchAll(pattern)].reduce((sum, m) => sum + Number(m[1]), 0);
  return { cpu: number(/^used_cpu_(?:user|sys):([\d.]+)/gm), calls: number(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm) };
}

const perClient = (port, keysEach) => Number(cli(port, 'EVAL',
  "local sum = 0 for i = 1, 200 do sum = sum + redis.call('MEMORY', 'USAGE', redis.call('RANDOMKEY')) end return sum", '0')) / 200 * keysEach;

async function inLife(setup, dir, command, port, fn) {
  const log = join(dir, `${setup}-limits-out.log`);
  const child = startPinned(0, command, log);
  try {
    await accepts(port).catch(e => { throw new Error(`${setup}: ${e.message}\n${readFileSync(log, 'utf8')}`); });
    return await fn(child.pid);
  } finally { await end(child); }
}

const counter = async (admin, name) => (await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text())
  .split('\n').filter(l => l.startsWith(`gateway_${name}`)).reduce((sum, l) => sum + Number(l.split(' ').at(-1)), 0);

function decisions(pid, port, work, { seconds, quick }, redis) {
  const args = path => [path, work.clients];
  wrk(port, quick ? 1 : 1 + work.clients / 20000, ['/limited', `walk:${work.clients}`]); // scripts are known, clients are there
  const marks = [{ cpu: cpuSeconds(pid), redis: redis && redisNow(redis) }], loads = [];
  for (const path of ['/plain', '/limited']) {
    loads.push(wrk(port, seconds, args(path)));
    marks.push({ cpu: cpuSeconds(pid), redis: redis && redisNow(redis) });
  }
  const each = (what, i) => (what(marks[i + 1]) - what(marks[i])) / loads[i].total;
  const row = { plain_us: each(m => m.cpu, 0) * 1e6, limited_us: each(m => m.cpu, 1) * 1e6, bad: loads[0].bad + loads[1].bad };
  row.added_us = row.limited_us - row.plain_us;
  if (redis) {
    row.redis_us = (each(m => m.redis.cpu, 1) - each(m => m.redis.cpu, 0)) * 1e6;
    row.calls = each(m => m.redis.calls, 1) - each(m => m.redis.calls, 0);
  }
  return row;
}

/** One contestant on one work. */
function measure(name, work, at) {
  const { dir, program, ports } = at;
  const store = work.store === 'memory' ? 'memory' : ports.redis;
  const port = name === 'gateway' ? ports.gateway : ports.nginx;
  const command = name === 'gateway' ? gateway(dir, { port, admin: ports.admin, store, leases: work.leases }, program) : nginx(dir, { port, store }, NGINX);
  if (store !== 'memory') cli(ports.redis, 'FLUSHALL');
  return inLife(name, dir, command, port, async pid => {
    const row = decisions(pid, port, work, at, store === 'memory' ? null : ports.redis);
    if (name === 'gateway') row.fallbacks = await counter(ports.admin, 'store_fallbacks_total');
    if (store !== 'memory' && work.clients > 1) row.bytes_per_client = perClient(ports.redis, name === 'gateway' ? 1 : 3);
    return row;
  });
}

/** Latency on both routes while the process has half of its core to spare. */
function paced(name, at) {
  const { dir, program, ports, seconds } = at;
  const port = name === 'gateway' ? ports.gateway : ports.nginx;
  const command = name === 'gateway' ? gateway(dir, { port, admin: ports.admin, store: ports.redis }, program) : nginx(dir, { port, store: ports.redis }, NGINX);
  return inLife(name, dir, command, port, () => {
    wrk(port, 0.5, ['/limited', 100000, 5, 25], 128);
    const plain = wrk(port, seconds, ['/plain', 100000, 5, 25], 128), limited = wrk(port, seconds, ['/limited', 100000, 5, 25], 128);
    return { p50_plain_us: plain.p50, p50_limited_us: limited.p50, p99_plain_us: plain.p99, p99_limited_us: limited.p99,
      per_second: Math.round(limited.total / seconds), bad: plain.bad + limited.bad };
  });
}

/** What a client who was never seen before adds to the gateway's memory: counters, usage, all. */
function grown(at) {
  const { dir, program, ports, seconds } = at;
  return inLife('gateway', dir, gateway(dir, { port: ports.gateway, admin: ports.admin, store: 'memory' }, program), ports.gateway, pid => {
    wrk(ports.gateway, 1, ['/limited', 1]);
    const before = rssKiB(pid);
    const seen = wrk(ports.gateway, 2 * seconds, ['/limited', 'each']);
    return { clients: seen.total, bytes_each: (rssKiB(pid) - before) * 1024 / seen.total, bad: seen.bad };
  });
}

const middle = rows => Object.fromEntries(Object.keys(rows[0]).map(key => [key, median(rows.map(r => r[key]))]));
const shown = (n, digits = 2) => n === undefined ? '' : n.toFixed(digits);

function decisionTable(results) {
  const rows = [['limit', 'contestant', 'plain us', 'limited us', 'added us', 'Redis us', 'calls each', 'B a client', 'bad', 'ratio (added)', 'ratio (with Redis)']];
  for (const [work, by] of Object.entries(results)) {
    const peer = by.nginx;
    for (const [name, r] of Object.entries(by)) {
      if (name === 'gateway' && peer && r.redis_us !== undefined) { // in memory both add less than two runs differ by
        r.ratio = peer.added_us / r.added_us;
        r.ratio_with_redis = (peer.added_us + peer.redis_us) / (r.added_us + r.redis_us);
      }
      rows.push([work, name, shown(r.plain_us), shown(r.limited_us), shown(r.added_us), shown(r.redis_us), shown(r.calls, 3),
        shown(r.bytes_per_client, 0), r.bad, shown(r.ratio), shown(r.ratio_with_redis)]);
    }
  }
  return table(rows);
}

function latencyTable(results) {
  const rows = [['latency us, Redis, 100000 clients', 'req/s', 'p50 plain', 'p50 limited', 'added', 'p99 plain', 'p99 limited', 'added']];
  for (const [name, r] of Object.entries(results))
    rows.push([name, r.per_second, ...[r.p50_plain_us, r.p50_limited_us, r.p50_limited_us - r.p50_plain_us,
      r.p99_plain_us, r.p99_limited_us, r.p99_limited_us - r.p99_plain_us].map(n => Math.round(n))]);
  return table(rows);
}

/** All of it, for run.mjs: { decisions, latency, memory }, and the tables as text. `quick`: does it run? */
export async function measureLimits(dir, program, { rounds, seconds, quick }) {
  const ports = { gateway: await freePort(), nginx: await freePort(), admin: await freePort(), redis: await freePort() };
  const at = { dir, program, ports, seconds, quick };
  const hasRedis = existsSync('/usr/bin/redis-server');
  const redis = hasRedis ? startPinned(1, ['redis-server', '--port', String(ports.redis), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], join(dir, 'redis.log')) : null;
  const may = (name, work) => (work.store === 'memory' || hasRedis)
    && (name === 'gateway' || (!work.gatewayOnly && existsSync(NGINX) && (work.store === 'memory' || hasLua())));
  const lists = {}, latencies = {}, found = { decisions: {}, latency: {} };
  try {
    if (redis) await accepts(ports.redis);
    for (let round = 0; round < Math.min(rounds, 3); round++) {
      for (const work of quick ? WORKS.slice(-1) : WORKS)
        for (const name of ['gateway', 'nginx'])
          if (may(name, work)) ((lists[work.name] ??= {})[name] ??= []).push(await measure(name, work, at));
      for (const name of ['gateway', 'nginx'])
        if (!quick && may(name, { store: 'redis' })) (latencies[name] ??= []).push(await paced(name, at));
    }
    for (const [work, by] of Object.entries(lists))
      found.decisions[work] = Object.fromEntries(Object.entries(by).map(([name, rows]) => [name, middle(rows)]));
    for (const [name, rows] of Object.entries(latencies)) found.latency[name] = middle(rows);
    found.memory = await grown(at);
  } finally { await end(redis); }
  const text = [decisionTable(found.decisions)];
  if (Object.keys(latencies).length > 0) text.push(latencyTable(found.latency));
  text.push(`the gateway's memory grows by ${found.memory.bytes_each.toFixed(0)} B for each of ${found.memory.clients} new clients`);
  return { found, text: text.join('\n\n') };
}
