// soak.mjs - make soak: mixed traffic for minutes, while everything that must not grow is watched.
//
// About 2,000 requests a second of every kind in traffic.mjs, at most 200 at a time (and in the warm-up as many at once
// now and then, so that whatever is kept for the next peak is there when the watching begins); a reload each few
// seconds, the access log taken away and reopened now and then. Held at the end: every answer was one that its request may get;
// memory does not grow after the warm-up (a fitted line over the samples rises by less than GROWTH_KIB a ten minutes' run, or
// over what was watched of it); files, connections and requests in flight go back to where they began; no counter ever
// falls; requests_total, the log's lines and what was sent agree; SIGTERM ends it with 0.
//   node tests/load/soak.mjs [MINUTES]        RATE=2000
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { folder, sleep, startGateway, startOrigin, stop, stopAll } from '../node/programs.mjs';
import { kinds, peak, Unexpected } from './traffic.mjs';

const minutes = Number(process.argv[2] ?? 10), rate = Number(process.env.RATE ?? 2000);
const MOST_AT_ONCE = 200, PEAK_MS = 6000, SAMPLE_MS = 5000, RELOAD_MS = 4000, LOG_MS = 20000, GROWTH_KIB = 4096;
const FIRST_USE_FILES = 8; // what a worker opens when its first request comes: libcurl's pairs of sockets
const warmUpMs = Math.max(60000, minutes * 60000 * 0.25);
const sha256 = text => createHash('sha256').update(text).digest('hex');
const log = join(folder(), 'access.log');

const route = (path, more = {}) => ({ name: path.replace(/[^a-z]/g, ''), match: { path }, upstream: 'origin', ...more });
const configuration = ([origin, odd], turn) => ({
  server: { listen: ['127.0.0.1:0'], workers: 2 },
  admin: { listen: '127.0.0.1:0' },
  identity: { api_key: { keys: Object.fromEntries(Array.from({ length: 8 }, (_, i) => [sha256(`key-v${i}`), { id: `v${i}`, tier: 'wide' }])) } },
  tiers: { wide: { per_second: 1000000, burst: 1000000, per_minute: 10000000 + turn } },
  limits: { default_tier: 'wide' },
  cache: { memory: '8MiB', max_object: '1MiB', default_ttl: turn % 2 ? '4m' : '5m' },
  upstreams: { origin: { targets: [origin], keepalive: 16, first_byte_timeout: '700ms', timeout: '20s', ejection: { failures: 0 }, breaker: { failures: 0 } },
    odd: { targets: [odd], ejection: { failures: 0 }, breaker: { failures: 0 } } },
  routes: [
    route('/c/*', { strip_prefix: '/c', cache: { ttl: '5s' } }),
    route('/vary/*', { strip_prefix: '/vary', cache: { ttl: '3s', per_user: true } }),
    route('/limited/*', { strip_prefix: '/limited', limit: { per_second: 40, burst: 40 } }),
    route('/odd/*', { strip_prefix: '/odd', upstream: 'odd' }),
    route('/canary', { match: { path: '/canary', methods: ['GET'] } }),
    ...['/echo/*', '/upload', '/bytes/*', '/chunked/*', '/slow', '/slow-body', '/broken/*'].map(path => route(path)),
  ],
  log: { access: log, errors: 'stderr', level: 'warn' },
});

/* ---- looking in ---- */

async function scrape(world) {
  const text = await new Promise((done, failed) => http.get(`${world.admin}/metrics`, { agent: false }, async answer => {
    let all = '';
    for await (const part of answer) all += part;
    done(all);
  }).on('error', failed));
  return new Map([...text.matchAll(/^(gateway_[^ #]+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]));
}
const sum = (metrics, name) => [...metrics].reduce((all, [key, value]) => key === name || key.startsWith(`${name}{`) ? all + value : all, 0);
const isCounter = name => /_(total|count|sum|bucket)($|\{)/.test(name);
const rss = pid => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
const files = pid => readdirSync(`/proc/${pid}/fd`).length;

function fallen(before, after) {
  const list = [];
  for (const [name, value] of before) if (isCounter(name) && !(after.get(name) >= value)) list.push(`${name}: ${value}, then ${after.get(name)}`);
  return list;
}

async function countLines(file) {
  let lines = 0;
  if (!existsSync(file)) return 0;
  for await (const part of createReadStream(file)) for (const byte of part) if (byte === 10) lines++;
  return lines;
}

// Least squares: KiB a second.
function slope(samples) {
  const n = samples.length, mx = samples.reduce((a, s) => a + s.at, 0) / n, my = samples.reduce((a, s) => a + s.rss, 0) / n;
  return samples.reduce((a, s) => a + (s.at - mx) * (s.rss - my), 0) / Math.max(1e-9, samples.reduce((a, s) => a + (s.at - mx) ** 2, 0));
}

/* ---- the traffic ---- */

const wheel = Object.entries(kinds).flatMap(([name, kind]) => Array(kind.share).fill(name));

function launch(world, name = wheel[Math.floor(Math.random() * wheel.length)]) {
  const tally = world.kinds[name] ??= { good: 0, bad: 0 };
  world.live++;
  (name === 'peak' ? peak : kinds[name].run)(world).then(() => { tally.good++; }, error => {
    tally.bad++;
    if (world.faults.length < 30) world.faults.push(`${((Date.now() - world.begun) / 1000).toFixed(1)} s, ${name}: ${error instanceof Unexpected ? error.message : error.stack}`);
  }).finally(() => { world.live--; });
}

async function drive(world, untilMs) {
  let owed = 0, last = Date.now(), nextPeak = last + PEAK_MS;
  while (Date.now() < untilMs && world.gateway.child.exitCode === null) {
    await sleep(5);
    const now = Date.now();
    owed = Math.min(owed + (now - last) * rate / 1000, MOST_AT_ONCE);
    last = now;
    if (now >= nextPeak && now < world.begun + warmUpMs) {
      nextPeak = now + PEAK_MS;
      while (world.live < MOST_AT_ONCE) launch(world, 'peak');
    }
    for (; owed >= 1 && world.live < MOST_AT_ONCE; owed--) launch(world);
  }
  while (world.live > 0) await sleep(20);
}

async function keepReloading(world, origins) {
  for (let turn = 1; !world.isOver; turn++) {
    await sleep(RELOAD_MS);
    if (world.isOver) break;
    writeFileSync(world.gateway.file, JSON.stringify(configuration(origins, turn)));
    world.gateway.child.kill('SIGHUP');
    world.reloads++;
  }
}

async function keepTurningLogs(world) {
  while (!world.isOver) {
    await sleep(LOG_MS);
    await turnLog(world);
  }
}
async function turnLog(world) {
  const old = `${log}.old`;
  renameSync(log, old);
  world.gateway.child.kill('SIGUSR1');
  await sleep(1500); // what was on its way to the old file is in it
  world.lines += await countLines(old);
  rmSync(old);
}

async function sample(world) {
  const metrics = await scrape(world), pid = world.gateway.child.pid;
  world.fell.push(...fallen(world.metrics, metrics));
  world.metrics = metrics;
  const one = { at: (Date.now() - world.begun) / 1000, rss: rss(pid), files: files(pid), inFlight: sum(metrics, 'gateway_requests_in_flight'),
    connections: sum(metrics, 'gateway_connections_active'), upstream: sum(metrics, 'gateway_upstream_connections'), total: sum(metrics, 'gateway_requests_total') };
  world.samples.push(one);
  return one;
}
async function keepSampling(world) {
  while (!world.isOver) {
    const s = await sample(world);
    console.log(`${s.at.toFixed(0).padStart(4)} s  rss ${s.rss} KiB  files ${s.files}  in flight ${s.inFlight}  connections ${s.connections}  upstream ${s.upstream}  requests ${s.total}  faults ${world.faults.length}`);
    await sleep(SAMPLE_MS);
  }
}

/* ---- the verdict ---- */

let passed = 0, failed = 0;
function judge(isGood, words) {
  if (isGood) passed++; else failed++;
  console.log(`${isGood ? 'ok    ' : 'FAILED'}  ${words}`);
}

async function settle(world, base) {
  let last;
  for (let i = 0; i < 50; i++) {
    last = await sample(world);
    if (last.inFlight === 0 && last.connections <= base.connections && last.files <= base.files + last.upstream + FIRST_USE_FILES) break;
    await sleep(200);
  }
  return last;
}

function judgeMemory(world) {
  const watched = world.samples.filter(s => s.at * 1000 >= warmUpMs && s.at <= world.drivenS);
  if (watched.length < 3) return console.log(`memory: a run of ${minutes} minutes is all warm-up`);
  const perSecond = slope(watched), span = watched.at(-1).at - watched[0].at;
  judge(perSecond * span < GROWTH_KIB, `memory: ${world.samples[0].rss} KiB at first, ${watched[0].rss} after the warm-up of ${warmUpMs / 1000} s, ${watched.at(-1).rss} at the end; ` +
    `the fitted line rises by ${(perSecond * span).toFixed(0)} KiB in ${span.toFixed(0)} s (less than ${GROWTH_KIB})`);
}

async function soak() {
  const origins = [await startOrigin(), await startOrigin()];
  const gateway = await startGateway(configuration(origins, 0));
  const agent = new http.Agent({ keepAlive: true, maxSockets: MOST_AT_ONCE, maxFreeSockets: 50 });
  const world = { url: gateway.url, admin: gateway.admin, gateway, agent, sent: 0, whole: 0, live: 0, crossed: 0, reloads: 0, lines: 0, begun: Date.now(),
    statuses: {}, kinds: {}, faults: [], fell: [], samples: [], metrics: new Map(), isOver: false };
  const base = await sample(world);
  const others = [keepReloading(world, origins), keepTurningLogs(world), keepSampling(world)];
  await drive(world, world.begun + minutes * 60000);
  world.drivenS = (Date.now() - world.begun) / 1000;
  world.isOver = true;
  agent.destroy();
  await Promise.all(others);
  const end = await settle(world, base);
  const status = await stop(gateway.child);
  world.lines += await countLines(log);
  console.log(`statuses ${JSON.stringify(world.statuses)}\nkinds ${JSON.stringify(world.kinds)}`);
  if (world.crossed) console.log(`${world.crossed} requests crossed with bytes that nobody had asked for`);
  world.faults.forEach(fault => console.log(`  ${fault}`));
  const bad = Object.values(world.kinds).reduce((all, kind) => all + kind.bad, 0);
  const dropped = sum(world.metrics, 'gateway_log_dropped_total');
  judge(bad === 0, `${world.sent} requests sent, ${world.whole} answered whole (${(world.whole / world.drivenS).toFixed(0)} a second), ${bad} with an answer that they may not get`);
  judgeMemory(world);
  judge(end.inFlight === 0, `in flight: ${end.inFlight}`);
  judge(end.connections <= base.connections, `client connections: ${base.connections} at first, at most ${Math.max(...world.samples.map(s => s.connections))}, ${end.connections} at the end`);
  judge(end.files <= base.files + end.upstream + FIRST_USE_FILES, `files: ${base.files} at first, at most ${Math.max(...world.samples.map(s => s.files))}, ${end.files} at the end with ${end.upstream} connections kept upstream`);
  judge(world.fell.length === 0, `counters that fell: ${world.fell.length ? world.fell.slice(0, 5).join('; ') : 'none'}`);
  judge(world.lines + dropped === end.total, `requests_total ${end.total}, lines in the log ${world.lines}, dropped ${dropped}`);
  judge(world.whole <= end.total && end.total <= world.sent, `${world.whole} answered <= ${end.total} counted <= ${world.sent} sent`);
  judge(sum(world.metrics, 'gateway_config_reloads_total') === world.reloads, `${world.reloads} reloads, ${sum(world.metrics, 'gateway_config_reloads_total')} counted`);
  judge(status === 0, `SIGTERM: exit ${status}`);
  if (failed > 0) console.log(gateway.said().slice(-3000));
}

try { await soak(); } catch (error) { judge(false, error.stack); } finally { await stopAll(); }
console.log(`count ${passed} ${failed}`);
process.exit(failed > 0 ? 1 : 0);
