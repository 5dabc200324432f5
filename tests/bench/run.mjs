// run.mjs - make bench: the gateway and its peers on the same work, in one run.
//
// The contestant has core 0; load (wrk) and origin share core 1. Each round visits every contestant before the
// next begins, so that a slow minute of the machine hits all alike; what counts is the median of the rounds, and
// only the ratio within one run. CPU µs per request is the process' own time (user and system, all threads and
// children) divided by the requests that wrk saw answered.
//   node tests/bench/run.mjs [--quick] [--only NAME] [--rounds N] [--seconds N]
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync, mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir, cpus } from 'node:os';
import { join, resolve } from 'node:path';
import net from 'node:net';
import { contestants, startPinned } from './contestants.mjs';
import { measureLimits } from './limits.mjs';
import { accepts, cpuSeconds, end, freePort, median, rssKiB, sleep, table, unit } from './measure.mjs';

const words = process.argv.slice(2);
const option = (name, fallback) => words.includes(name) ? words[words.indexOf(name) + 1] : fallback;
const quick = words.includes('--quick');
const rounds = Number(option('--rounds', quick ? 1 : 5));
const seconds = Number(option('--seconds', quick ? 1 : 4));
const only = option('--only', '');
const gateway = resolve(process.env.GATEWAY ?? 'build/gateway');
const originProgram = resolve(process.env.ORIGIN ?? 'build/origin');
const idleConnections = quick ? 1000 : 10000;

const WORKS = [
  { name: 'hit-1k', path: '/hit/bytes/1024', mode: 'open' },
  { name: 'hit-64k', path: '/hit/bytes/65536', mode: 'open' },
  { name: 'hit-1m', path: '/hit/bytes/1048576', mode: 'open' },
  { name: 'get-1k', path: '/bytes/1024', mode: 'open' },
  { name: 'get-64k', path: '/bytes/65536', mode: 'open' },
  { name: 'get-1m', path: '/bytes/1048576', mode: 'open' },
  { name: 'post-4k', path: '/upload', mode: 'open', script: 'post.lua' },
  { name: 'refused', path: '/bytes/1024', mode: 'shut', refused: true },
].filter(w => !only || w.name === only);

function load(port, work) {
  const script = work.script ? ['-s', join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, work.script)] : [];
  const out = execFileSync('taskset', ['-c', '1', 'wrk', '-t1', '-c64', `-d${seconds}s`, '--latency', ...script,
    `http://127.0.0.1:${port}${work.path}`], { encoding: 'utf8' });
  const total = Number(/(\d+) requests in/.exec(out)[1]);
  const other = Number(/Non-2xx or 3xx responses: (\d+)/.exec(out)?.[1] ?? 0);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(out)?.slice(1).map(Number).reduce((a, b) => a + b, 0) ?? 0;
  return { total, bad: work.refused ? total - other : other, errors, perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(out)[1]), p99: unit(/^ +99% +(\S+)/m.exec(out)[1]) };
}

async function measure(contestant, work, dir) {
  const command = contestant[work.mode]();
  if (!command) return null;
  const child = startPinned(0, command, join(dir, `${contestant.name}.log`));
  try {
    await accepts(contestant.port).catch(e => { throw new Error(`${contestant.name}: ${e.message}\n${readFileSync(join(dir, `${contestant.name}.log`), 'utf8')}`); });
    for (let i = 0; i < 3; i++) await fetch(`http://127.0.0.1:${contestant.port}${work.path}`, work.script ? { method: 'POST', body: 'x' } : {}).then(r => r.arrayBuffer());
    const before = cpuSeconds(child.pid);
    const seen = load(contestant.port, work);
    const cpu = cpuSeconds(child.pid) - before;
    return { ...seen, us: cpu / seen.total * 1e6 };
  } finally { await end(child); }
}

async function measureIdle(contestant, dir) {
  const child = startPinned(0, contestant.open(), join(dir, `${contestant.name}.log`));
  const sockets = [];
  try {
    await accepts(contestant.port);
    const before = rssKiB(child.pid);
    for (let i = 0; i < idleConnections; i++) {
      const s = net.connect(contestant.port, '127.0.0.1');
      s.on('error', () => {});
      sockets.push(s);
      await new Promise(done => { s.once('connect', done); s.once('error', done); s.once('close', done); });
      s.write('GET /bytes/16 HTTP/1.1\r\nHost: x\r\n\r\n');
      await new Promise(done => { s.once('data', done); s.once('close', done); });
    }
    await sleep(2500); // what goes back after a moment of silence has gone
    const alive = sockets.filter(s => !s.destroyed).length;
    return { kib: (rssKiB(child.pid) - before) / Math.max(1, alive), alive };
  } finally {
    sockets.forEach(s => s.destroy());
    await end(child);
  }
}

const dir = mkdtempSync(join(tmpdir(), 'gateway-bench-'));
let origin;
try {
  if (cpus().length < 2) throw new Error('make bench needs two cores');
  for (const program of [gateway, originProgram]) if (!existsSync(program)) throw new Error(`${program} is missing: make programs`);
  const ports = [];
  for (let i = 0; i < 5; i++) ports.push(await freePort());
  origin = startPinned(1, [originProgram, '--listen', `127.0.0.1:${ports[4]}`], join(dir, 'origin.log'));
  await accepts(ports[4]);
  const field = contestants(dir, ports, ports[4], gateway);
  const results = {};
  for (let round = 0; round < rounds; round++)
    for (const work of WORKS)
      for (const c of field) {
        const r = await measure(c, work, dir);
        if (r) ((results[work.name] ??= {})[c.name] ??= []).push(r);
      }
  const medians = {};
  const rows = [['work', 'contestant', 'req/s', 'CPU us/req', 'p99 us', 'bad', 'ratio to best peer (CPU)']];
  for (const [work, by] of Object.entries(results)) {
    medians[work] = {};
    for (const [name, list] of Object.entries(by))
      medians[work][name] = { requests_per_second: median(list.map(r => r.perSecond)), cpu_us: median(list.map(r => r.us)), p99_us: median(list.map(r => r.p99)), bad: list.reduce((a, r) => a + r.bad + r.errors, 0) };
    const peers = Object.entries(medians[work]).filter(([n]) => n !== 'gateway').map(([, m]) => m.cpu_us);
    for (const [name, m] of Object.entries(medians[work])) {
      const ratio = name === 'gateway' && peers.length ? Math.min(...peers) / m.cpu_us : null;
      if (ratio) m.ratio = ratio;
      rows.push([work, name, Math.round(m.requests_per_second), m.cpu_us.toFixed(2), Math.round(m.p99_us), m.bad, ratio ? ratio.toFixed(2) : '']);
    }
  }
  if (rows.length > 1) console.log(table(rows));
  if (!only || only === 'idle') {
    const idle = [['idle connections', 'kept', 'KiB each']];
    medians.idle = {};
    for (const c of field) {
      const r = await measureIdle(c, dir);
      medians.idle[c.name] = r;
      idle.push([c.name, r.alive, r.kib.toFixed(2)]);
    }
    console.log('\n' + table(idle));
  }
  if (!only || only === 'limits') {
    const limits = await measureLimits(dir, gateway, { rounds, seconds, quick });
    medians.limits = limits.found;
    console.log('\n' + limits.text);
  }
  writeFileSync(new URL('./latest.json', import.meta.url), JSON.stringify({ seconds, rounds, medians }, null, 2) + '\n');
} finally {
  await end(origin);
  rmSync(dir, { recursive: true, force: true });
}
