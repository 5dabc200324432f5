// flood.mjs - addresses without number: each request of the attack comes from one that was never seen before, told by
// X-Forwarded-For from a trusted peer, on kept connections with many requests under way.
//
// The gateway has room for far fewer clients (limits.max_clients). Seen: its memory stays where it is once what it
// keeps of clients is full (counters, and the hour's usage rows, LIMIT_USAGE_ROWS of them); clients who were there
// before are served exactly as much as they may, those who come in the middle of it never more (less, by what the
// overflow's upper bounds say), nor are attackers who come again and again; who is new is served. Then a tenth of it with
// counters in a Redis of its own: everybody exactly, and the gateway's memory as before. Ends with "count PASSED FAILED".
//   node tests/load/flood.mjs [ADDRESSES] [MOST-MEBIBYTES]
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { freePort, hasRedis, startGateway, startRedis, stop, stopAll } from '../node/programs.mjs';

const addresses = Number(process.argv[2] ?? 1000000);
const mostMiB = Number(process.argv[3] ?? 160); // seen: 101, of which 60 are rows of usage
const MOST_US = 60; // of CPU for an address, seen: 10; a machine under load takes twice as much
const LIMIT = 20, CLIENTS = 50000, USAGE_ROWS = 200000;
const CONNECTIONS = 8, UNDER_WAY = 64, GROWTH_KIB = 8 * 1024;
const HONEST = 100, RESTLESS = 50; // by LIMIT requests each: before and after; attackers who come again in each slice

const configuration = store => ({
  server: { listen: ['127.0.0.1:0'], workers: 2, trusted_proxies: ['127.0.0.1/32'] },
  admin: { listen: '127.0.0.1:0' },
  store: { url: store },
  // an hour: the counters of the first are of use to the end, however slow the machine
  tiers: { all: { per_hour: LIMIT } },
  limits: { default_tier: 'all', max_clients: CLIENTS, deadline: '2s' },
  routes: [{ name: 'all', match: { path: '/*' }, respond: { status: 204 } }],
  log: { access: 'off' },
});

const MARK = Buffer.from('HTTP/1.1 ');

/** A connection that asks as many addresses at a time, and gives the statuses in that order. */
function line(url) {
  const { hostname, port } = new URL(url);
  const socket = net.connect(Number(port), hostname);
  let want = 0, got = [], rest = Buffer.alloc(0), done, failed;
  socket.on('data', bytes => {
    const all = rest.length ? Buffer.concat([rest, bytes]) : bytes;
    let from = 0, at;
    while ((at = all.indexOf(MARK, from)) >= 0 && at + 12 <= all.length) {
      got.push((all[at + 9] - 48) * 100 + (all[at + 10] - 48) * 10 + all[at + 11] - 48);
      from = at + 12;
    }
    rest = all.subarray(at >= 0 ? at : Math.max(from, all.length - MARK.length + 1)); // a mark may be cut in two
    if (got.length >= want) done(got);
  });
  for (const event of ['error', 'close']) socket.on(event, error => failed?.(error ?? new Error('the gateway closed a connection')));
  return {
    ask: names => new Promise((resolve, reject) => {
      want = names.length;
      got = [];
      [done, failed] = [resolve, reject];
      socket.write(names.map(name => `GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${name}\r\n\r\n`).join(''), 'latin1');
    }),
    end: () => { failed = null; socket.destroy(); },
  };
}

const attacker = n => `10.${n >> 16 & 255}.${n >> 8 & 255}.${n & 255}`;
const honest = n => `192.0.2.${n}`, late = n => `198.51.100.${n}`, restless = n => `203.0.113.${n}`;
const series = (count, of) => Array.from({ length: count }, (_, n) => of(n));
const memoryKiB = (child, what = 'VmRSS') => Number(new RegExp(`${what}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]);

const ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
function cpuSeconds(child) {
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8'), fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}

let passed = 0, failed = 0;
let where = '';
function judge(name, isGood, words) {
  if (isGood) passed++; else failed++;
  console.log(`${isGood ? 'ok' : 'FAILED'}  ${where}: ${name}: ${words}`);
}

async function metric(gateway, name) {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  return Number(new RegExp(`^gateway_${name} (\\d+)`, 'm').exec(text)?.[1] ?? NaN);
}

/** Asks for all names, over all lines; how many were served to each. */
async function ask(lines, names, served = new Map()) {
  let at = 0;
  await Promise.all(lines.map(async one => {
    while (at < names.length) {
      const mine = names.slice(at, at += UNDER_WAY);
      const statuses = await one.ask(mine);
      mine.forEach((name, i) => served.set(name, (served.get(name) ?? 0) + (statuses[i] === 204)));
    }
  }));
  return served;
}

const rounds = (count, names) => Array.from({ length: count }, () => names).flat();

/** The attack, from one address to another; how many were served. Restless ones come again in each slice. */
async function attack(lines, from, to, served) {
  let good = 0;
  for (let at = from; at < to; at += 5000) {
    const names = Array.from({ length: Math.min(5000, to - at) }, (_, i) => attacker(at + i));
    for (const count of (await ask(lines, names)).values()) good += count;
    await ask(lines, series(RESTLESS, restless), served);
  }
  return good;
}

async function run(store, addresses) {
  const gateway = await startGateway(configuration(store));
  const lines = series(CONNECTIONS, () => line(gateway.url));
  const before = await ask(lines, rounds(LIMIT / 2, series(HONEST, honest)));
  const again = new Map(), started = Date.now();
  // what is kept of clients is full after this
  const full = Math.min(Math.floor(addresses * 0.8), USAGE_ROWS + CLIENTS);
  let good = await attack(lines, 0, full, again);
  const held = memoryKiB(gateway.child);
  const newcomers = await ask(lines, rounds(LIMIT / 2, series(HONEST, late)));
  good += await attack(lines, full, addresses, again);
  const seconds = (Date.now() - started) / 1000, us = cpuSeconds(gateway.child) / addresses * 1e6, after = memoryKiB(gateway.child);
  await ask(lines, rounds(LIMIT, series(HONEST, honest)), before);
  await ask(lines, rounds(LIMIT, series(HONEST, late)), newcomers);
  lines.forEach(one => one.end());

  const peak = memoryKiB(gateway.child, 'VmHWM'), kept = await metric(gateway, 'rate_limit_clients');
  const list = map => [...map.values()], text = map => [...new Set(list(map))].sort((a, b) => a - b).join(', ');
  judge('memory stays where it is', after - held <= GROWTH_KIB, `${held} KiB after ${full} addresses, ${after} KiB after ${addresses}, at most ${GROWTH_KIB} more`);
  judge('memory is bounded', peak <= mostMiB * 1024, `peak ${peak} KiB, at most ${mostMiB * 1024}`);
  judge('so are the clients that are kept', kept <= CLIENTS, `${kept} of ${CLIENTS}`);
  judge('who was there before is served exactly', list(before).every(n => n === LIMIT), `of ${LIMIT}: ${text(before)}`);
  judge('who comes meanwhile is never served too much', list(newcomers).every(n => n <= LIMIT), `of ${LIMIT}: ${text(newcomers)}`);
  judge('and not much less', list(newcomers).reduce((a, b) => a + b) >= 0.75 * LIMIT * HONEST, `${list(newcomers).reduce((a, b) => a + b)} of ${LIMIT * HONEST}`);
  judge('an attacker who comes again is never served too much', list(again).every(n => n <= LIMIT), `of ${LIMIT}: ${text(again)}`);
  judge('who is new is served', good >= 0.99 * addresses, `${good} of ${addresses}`);
  judge('an address costs no more than any request', us <= MOST_US, `${us.toFixed(1)} us of CPU, at most ${MOST_US}; ${seconds.toFixed(1)} s in all`);
  if (store !== 'memory:') {
    const without = await metric(gateway, 'store_fallbacks_total');
    judge('the store decided', without <= addresses / 100, `${without} decisions without it`);
  }
  const end = await stop(gateway.child);
  judge('the gateway ends cleanly', end === 0, `exit ${end}`);
}

try {
  where = 'memory';
  await run('memory:', addresses);
  if (hasRedis) {
    const port = await freePort();

    where = 'Redis';
    await startRedis(['--port', String(port)]);
    await run(`redis://127.0.0.1:${port}`, addresses / 10);
  }
} catch (error) {
  judge('the run', false, error.stack);
} finally {
  await stopAll();
}
console.log(`count ${passed} ${failed}`);
