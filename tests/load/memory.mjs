// memory.mjs - bodies far larger than the gateway may ever hold, both ways, sized and chunked.
//
// Each transfer stands still for a while in its middle, so that whoever buffers what the slow side has not
// taken shows it in the peak of the gateway's memory (VmHWM). What arrives is compared by length and hash with what the
// sample backend gives and gets without a gateway. Ends with "count PASSED FAILED".
//   node tests/load/memory.mjs [MEBIBYTES] [MOST-MEBIBYTES-OF-MEMORY]
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { sleep, startGateway, startOrigin, stop, stopAll } from '../node/programs.mjs';

const MIB = 1024 * 1024;
const size = Number(process.argv[2] ?? 256) * MIB;
const mostKiB = Number(process.argv[3] ?? 64) * 1024;
const STILL_AT = [2 * MIB, Math.floor(size / 2)]; // early, when buffers are cold, and later
const STILL_MS = 1500;

const route = (name, more = {}) => ({
  name, match: { path: `/${name}/*` }, strip_prefix: `/${name}`, upstream: 'origin', timeout: '1h', max_body_bytes: '4GiB', ...more });
const configuration = origin => ({
  server: { listen: ['127.0.0.1:0'] },
  admin: { listen: '127.0.0.1:0' },
  limits: { enabled: false },
  cache: { memory: '16MiB', max_object: '8MiB' },
  upstreams: { origin: { targets: [origin], timeout: '1h' } },
  routes: [route('plain'), route('cached', { cache: { ttl: '1h' } })],
  log: { access: 'off' },
});

const status = (child, name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]);

function download(url, stands) {
  return new Promise((done, failed) => {
    http.get(url, { agent: false }, async answer => {
      const hash = createHash('sha1');
      let length = 0, stops = stands ? [...STILL_AT] : [];
      try {
        for await (const part of answer) {
          hash.update(part);
          length += part.length;
          if (stops.length && length >= stops[0]) { stops.shift(); await sleep(STILL_MS); }
        }
        done({ status: answer.statusCode, length, hash: hash.digest('hex') });
      } catch (error) { failed(error); }
    }).on('error', failed);
  });
}

// 1 MiB of noise, another byte of it changed in each round: no block equals the one before.
function* noise(bytes, seed) {
  for (let i = 0, left = bytes; left > 0; i++) {
    const block = Buffer.from(seed);
    block.writeUInt32LE(i, 0);
    yield left < MIB ? block.subarray(0, left) : block;
    left -= MIB;
  }
}

function upload(url, seed, chunked, stands) {
  return new Promise((done, failed) => {
    const request = http.request(url, { method: 'POST', agent: false, headers: chunked ? {} : { 'Content-Length': size } }, async answer => {
      try {
        let text = '';
        for await (const part of answer) text += part;
        done({ status: answer.statusCode, ...JSON.parse(text) });
      } catch (error) { failed(error); }
    });
    request.on('error', failed);
    (async () => {
      let sent = 0, stops = stands ? [...STILL_AT] : [];
      for (const block of noise(size, seed)) {
        if (!request.write(block)) await new Promise(drained => request.once('drain', drained));
        sent += block.length;
        if (stops.length && sent >= stops[0]) { stops.shift(); await sleep(STILL_MS); }
      }
      request.end();
    })().catch(failed);
  });
}

let passed = 0, failed = 0;
function judge(name, isGood, words) {
  if (isGood) passed++; else failed++;
  console.log(`${isGood ? 'ok' : 'FAILED'}  ${name}: ${words}`);
}

async function compare(name, gateway, seen, wanted) {
  const begun = Date.now(), before = status(gateway.child, 'VmRSS');
  let got;
  try { got = await seen(); } catch (error) { got = { error: error.message }; }
  const peak = status(gateway.child, 'VmHWM'), seconds = (Date.now() - begun) / 1000;
  judge(name, JSON.stringify(got) === JSON.stringify(wanted),
    `${JSON.stringify(got)}${JSON.stringify(got) === JSON.stringify(wanted) ? '' : ` instead of ${JSON.stringify(wanted)}`}`);
  judge(`${name}, memory`, peak < mostKiB, `${before} KiB before, peak ${peak} KiB so far, ${seconds.toFixed(1)} s`);
}

try {
  const origin = await startOrigin();
  const gateway = await startGateway(configuration(origin));
  const seed = randomBytes(MIB);
  const given = await download(`${origin}/bytes/${size}`, false);
  const taken = await upload(`${origin}/upload`, seed, false, false);
  judge('the backend gives it all', given.status === 200 && given.length === size, JSON.stringify(given));
  judge('the backend takes it all', taken.status === 200 && taken.bytes === size, JSON.stringify(taken));
  for (const [name, path] of [['download, sized', 'plain/bytes'], ['download, chunked', 'plain/chunked'],
    ['download, sized, too large for the cache', 'cached/bytes'], ['download, chunked, too large for the cache', 'cached/chunked']])
    await compare(name, gateway, () => download(`${gateway.url}/${path}/${size}`, true), given);
  for (const chunked of [false, true])
    await compare(`upload, ${chunked ? 'chunked' : 'sized'}`, gateway, () => upload(`${gateway.url}/plain/upload`, seed, chunked, true), taken);
  const end = await stop(gateway.child);
  judge('the gateway ends cleanly', end === 0, `exit ${end}`);
} catch (error) {
  judge('the run', false, error.stack);
} finally {
  await stopAll();
}
console.log(`count ${passed} ${failed}`);
