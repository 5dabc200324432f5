// measure.mjs - what the benches share: processes' CPU time and memory, ports, wrk's words, tables.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { family } from './contestants.mjs';

export const sleep = ms => new Promise(done => setTimeout(done, ms));
export const median = list => list.slice().sort((a, b) => a - b)[Math.floor(list.length / 2)];
const ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

export function cpuSeconds(pid) {
  let sum = 0;
  for (const id of family(pid)) {
    try {
      const stat = readFileSync(`/proc/${id}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      sum += (Number(fields[11]) + Number(fields[12])) / ticks;
    } catch { /* gone */ }
  }
  return sum;
}

export function rssKiB(pid) {
  let sum = 0;
  for (const id of family(pid)) {
    try { sum += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, 'utf8'))[1]); } catch { /* gone */ }
  }
  return sum;
}

export async function freePort() {
  const server = net.createServer();
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise(done => server.close(done));
  return port;
}

export async function accepts(port) {
  for (let i = 0; i < 100; i++) {
    const ok = await new Promise(done => {
      const s = net.connect(port, '127.0.0.1', () => { s.destroy(); done(true); });
      s.on('error', () => done(false));
    });
    if (ok) return;
    await sleep(50);
  }
  throw new Error(`nothing listens on ${port}`);
}

export async function end(child) {
  if (!child || child.exitCode !== null) return;
  const gone = new Promise(done => child.once('exit', done));
  child.kill('SIGTERM');
  if (await Promise.race([gone.then(() => true), sleep(3000).then(() => false)])) return;
  child.kill('SIGKILL');
  await gone;
}

export function unit(text) {
  const [, n, u] = /([\d.]+)(us|ms|s)/.exec(text) ?? [];
  if (!u) throw new Error(`wrk says "${text}" where a time was expected`);
  return Number(n) * { us: 1, ms: 1000, s: 1e6 }[u];
}

export function table(rows) {
  const width = rows[0].map((_, i) => Math.max(...rows.map(r => String(r[i]).length)));
  return rows.map(r => r.map((c, i) => i ? String(c).padStart(width[i]) : String(c).padEnd(width[i])).join('  ')).join('\n');
}
