// traffic.mjs - the kinds of requests that the soak mixes, each of which knows what may come back.
//
// A kind is { share, run(world) }: run ends well, or throws Unexpected with what it saw. What is wrong on purpose
// (clients that leave, answers that are cut) ends well when nothing of another's answer was seen. `world.sent` counts
// requests given to a socket, `world.whole` those whose answer came: the gateway's own count lies between them.
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export class Unexpected extends Error {}
const pick = list => list[Math.floor(Math.random() * list.length)];
const upTo = most => Math.floor(Math.random() * most);
const noise = randomBytes(256 * 1024);
let serial = 0;
const id = () => `c${process.pid}-${++serial}`;

function expect(isTrue, what, answer) {
  if (isTrue) return;
  const seen = answer ? ` (${answer.status}, ${JSON.stringify(answer.headers).slice(0, 500)}, ${String(answer.body).slice(0, 300)})` : '';
  throw new Unexpected(what + seen);
}

// One request; the answer's body as a Buffer. `slow` waits between reads; `leaveAfter` ms destroys the socket.
function ask(world, path, { method = 'GET', headers = {}, body, chunked = false, slow = 0, leaveAfter = 0, base = world.url } = {}) {
  const isPublic = base === world.url;
  return new Promise((done, failed) => {
    const request = http.request(base + path, { method, agent: world.agent, headers: body && !chunked ? { ...headers, 'Content-Length': body.length } : headers });
    const timer = setTimeout(() => { failed(new Unexpected(`${method} ${path}: no end after 30 s`)); request.destroy(); }, 30000);
    if (isPublic) world.sent++;
    request.on('error', error => { clearTimeout(timer); failed(error); });
    request.on('response', async answer => {
      const parts = [];
      try {
        for await (const part of answer) {
          parts.push(part);
          if (slow) await sleep(slow);
        }
        clearTimeout(timer);
        if (isPublic) {
          world.whole++;
          world.statuses[answer.statusCode] = (world.statuses[answer.statusCode] ?? 0) + 1;
        }
        done({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts) });
      } catch (error) { clearTimeout(timer); failed(error); }
    });
    if (leaveAfter) setTimeout(() => request.destroy(), leaveAfter);
    if (chunked) {
      for (let at = 0; at < body.length; at += 8192) request.write(body.subarray(at, at + 8192));
      request.end();
    } else request.end(body);
  });
}

const json = answer => { try { return JSON.parse(answer.body); } catch { return {}; } };
const isOurs = (answer, statuses, what) => expect(statuses.includes(answer.status), what, answer);

async function cached(world, query, statuses = ['HIT', 'MISS', 'EXPIRED', 'REVALIDATED', 'STALE'], headers = {}) {
  const answer = await ask(world, `/c/cache?${query}`, { headers });
  isOurs(answer, [200], `cached ${query}`);
  expect(json(answer).target === `/cache?${query}`, `another's body for ${query}`, answer);
  expect(statuses.includes(answer.headers['x-cache-status']), `cache status for ${query}`, answer);
  return answer;
}

// What a broken backend may become: an error of ours, or its own bytes; never what it said beyond its answer.
const broken = ['close', 'reset', 'close-reused', 'early-413', 'reset-mid-head', 'close-mid-head', 'reset-mid-body',
  'connection-close', 'http10', 'close-delimited', 'short', 'surplus', 'two-lengths', 'length-and-chunked', 'te-gzip', 'head-body',
  '204-body', '304-body', 'chunk-cut', 'bad-chunk', 'bad-second-chunk', 'garbage', 'http09', 'status-1000', 'status-99', '101',
  '100-twice', '103', 'no-colon', 'nul', 'bare-cr', 'control', 'obs-fold', 'lf-only', 'big-header?kb=80', 'redirect', 'rate-headers', 'drip?ms=5'];
const brokenStatuses = [200, 204, 302, 304, 413, 502, 504];

// Bytes on an idle connection, 20 ms after a sound answer. They may cross with the next request on their way, and then
// nobody can tell them from its answer: so these paths have a backend of their own, and there poison is counted only.
async function unasked(world) {
  const answer = await ask(world, `/odd/broken/${pick(['extra', 'idle-408'])}`);
  if (answer.headers['x-poison']) world.crossed++;
  else isOurs(answer, [200, 502], 'unasked');
}

async function brokenPath(world, path, options) {
  let answer;
  try { answer = await ask(world, `/broken/${path}`, options); } catch (error) {
    if (error instanceof Unexpected) throw error;
    return; // cut, as the backend was
  }
  isOurs(answer, brokenStatuses, `broken ${path}`);
  expect(!answer.headers['x-poison'] && !answer.body.includes('poisoned') && !answer.headers['set-cookie'], `poison from ${path}`, answer);
  if (answer.status === 502 || answer.status === 504) expect(json(answer).status === answer.status, `words of ${path}`, answer);
}

async function leaves(world, path, options) {
  try { await ask(world, path, { leaveAfter: 1 + upTo(60), ...options }); } catch (error) {
    if (error instanceof Unexpected) throw error;
  }
}

// A connection that says half of a request, or nothing, and goes.
function halfRequest(world) {
  return new Promise(done => {
    const { hostname, port } = new URL(world.url);
    const socket = net.connect(Number(port), hostname, () => {
      const text = pick(['', 'GET ', 'GET /canary HTTP/1.1\r\nHost: x\r\n', 'POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc']);
      if (text.includes('HTTP/1.1')) world.sent++; // a request is one from its first line on
      socket.write(text);
      setTimeout(() => { if (Math.random() < 0.5) socket.resetAndDestroy(); else socket.destroy(); done(); }, upTo(300));
    });
    socket.on('error', () => done());
  });
}

// All at once, each for half a second, in one of three ways of waiting.
export async function peak(world) {
  const answer = await pick([() => ask(world, '/slow?ms=500'), () => cached(world, `cc=max-age%3D60&ms=500&k=${id()}`),
    () => ask(world, '/slow?ms=500', { method: 'POST', body: noise.subarray(0, 50000) })])();
  isOurs(answer, [200], 'peak');
}

export const kinds = {
  hit: { share: 300, run: world => cached(world, `cc=max-age%3D3600&bytes=800&k=${upTo(100)}`) },
  hitLarge: { share: 20, run: world => cached(world, `cc=max-age%3D3600&bytes=60000&k=${upTo(10)}`) },
  expires: { share: 60, run: world => cached(world, `cc=max-age%3D1&etag=v1&k=${upTo(40)}`) },
  miss: { share: 120, run: world => cached(world, `cc=max-age%3D600&bytes=${upTo(4000)}&k=${id()}`, ['MISS']) },
  notStored: { share: 30, run: world => cached(world, `cc=no-store&k=${upTo(50)}`, ['MISS', 'BYPASS']) },
  varies: { share: 40, run: async world => {
    const who = `v${upTo(8)}`;
    const answer = await ask(world, `/vary/echo/x?cc=max-age%3D3`, { headers: { 'X-Api-Key': `key-${who}`, 'X-Canary': who } });
    isOurs(answer, [200], 'per user');
    expect(json(answer).headers?.some?.(([name, value]) => name === 'X-Canary' && value === who) ?? answer.body.includes(`"${who}"`), 'another user\'s answer', answer);
  } },
  conditional: { share: 30, run: async world => {
    const answer = await ask(world, `/c/cache?cc=max-age%3D3600&etag=fixed&k=${upTo(20)}`, { headers: { 'If-None-Match': '"fixed"' } });
    isOurs(answer, [304, 200], 'conditional');
  } },
  range: { share: 20, run: async world => {
    const answer = await ask(world, `/c/cache?cc=max-age%3D3600&bytes=800&k=${upTo(100)}`, { headers: { Range: 'bytes=0-9' } });
    isOurs(answer, [200, 206], 'range');
    expect(answer.status === 200 || answer.body.length === 10, 'the range\'s length', answer);
  } },
  canary: { share: 300, run: async world => {
    const name = id(), answer = await ask(world, `/canary?id=${name}`);
    isOurs(answer, [200], 'canary');
    expect(json(answer).canary === name, `another's canary for ${name}`, answer);
  } },
  head: { share: 20, run: async world => isOurs(await ask(world, `/canary?id=${id()}`, { method: 'HEAD' }), [200], 'head') },
  echo: { share: 120, run: async world => {
    const name = id(), method = pick(['POST', 'PUT', 'PATCH', 'DELETE']);
    const answer = await ask(world, `/echo/${name}`, { method, body: Buffer.from(name) });
    isOurs(answer, [200], method);
    const said = json(answer);
    expect(said.method === method && said.target === `/echo/${name}` && said.body === name, `another's echo for ${name}`, answer);
  } },
  upload: { share: 40, run: async world => {
    const body = noise.subarray(0, 1 + upTo(100000)), answer = await ask(world, '/upload', { method: 'POST', body, chunked: Math.random() < 0.5 });
    isOurs(answer, [200], 'upload');
    expect(json(answer).bytes === body.length, `upload of ${body.length}`, answer);
  } },
  sized: { share: 80, run: async world => {
    const length = upTo(200000), answer = await ask(world, `/bytes/${length}`);
    isOurs(answer, [200], 'bytes');
    expect(answer.body.length === length, `${length} bytes, not ${answer.body.length}`);
  } },
  chunked: { share: 60, run: async world => {
    const length = upTo(100000), answer = await ask(world, `/chunked/${length}`);
    isOurs(answer, [200], 'chunked');
    expect(answer.body.length === length, `${length} bytes in chunks, not ${answer.body.length}`);
  } },
  writes: { share: 20, run: async world => isOurs(await ask(world, `/c/cache?cc=max-age%3D3600&bytes=800&k=${upTo(100)}`, { method: 'PUT', body: Buffer.from('x') }), [200], 'write') },
  limited: { share: 120, run: async world => {
    const name = id(), answer = await ask(world, `/limited/canary?id=${name}`);
    isOurs(answer, [200, 429], 'limited');
    if (answer.status === 200) expect(json(answer).canary === name, `another's canary for ${name}`, answer);
    else expect(Number(answer.headers['retry-after']) > 0 && json(answer).status === 429 && json(answer).period !== undefined, '429', answer);
  } },
  noRoute: { share: 20, run: async world => isOurs(await ask(world, `/nowhere/${id()}`), [404], 'no route') },
  wrongMethod: { share: 10, run: async world => isOurs(await ask(world, '/canary', { method: 'DELETE' }), [405], 'method') },
  broken: { share: 60, run: world => brokenPath(world, pick(broken)) },
  brokenPost: { share: 15, run: world => brokenPath(world, pick(['close', 'reset', 'short', 'early-413', 'bad-chunk']), { method: 'POST', body: noise.subarray(0, 20000) }) },
  unasked: { share: 5, run: unasked },
  never: { share: 2, run: world => brokenPath(world, 'never') },
  leavesSlow: { share: 30, run: world => leaves(world, `/slow?ms=${20 + upTo(100)}`) },
  leavesBody: { share: 30, run: world => leaves(world, pick(['/bytes/5000000', '/chunked/5000000', '/broken/endless', '/slow-body?ms=500&bytes=20000'])) },
  leavesMiss: { share: 20, run: world => leaves(world, `/c/cache?cc=max-age%3D60&ms=${upTo(80)}&k=${upTo(30)}&late=1`) },
  leavesUpload: { share: 15, run: world => leaves(world, '/upload', { method: 'POST', body: noise, chunked: true, leaveAfter: 1 + upTo(5) }) },
  half: { share: 15, run: halfRequest },
  collapsed: { share: 5, run: async world => {
    const key = id();
    await Promise.all(Array.from({ length: 8 }, () => cached(world, `cc=max-age%3D60&ms=30&k=${key}`)));
  } },
  slowReader: { share: 3, run: async world => {
    const answer = await ask(world, '/bytes/1500000', { slow: 30 });
    isOurs(answer, [200], 'slow reader');
    expect(answer.body.length === 1500000, `${answer.body.length} bytes for a slow reader`);
  } },
  admin: { share: 8, run: async world => {
    const [method, path] = pick([['GET', '/metrics'], ['GET', '/system/cache/stats'], ['GET', '/system/cache/entries?pattern=*&limit=20'],
      ['GET', '/system/health'], ['GET', '/system/config'], ['GET', '/system/upstreams'], ['GET', '/system/rate-limit/status?client=ip:127.0.0.1'],
      ['POST', '/system/cache/invalidate?pattern=/c/cache%3F*k=1*'], ['DELETE', '/system/cache/endpoint?endpoint_pattern=/vary/*'], ['GET', '/nothing/here']]);
    const answer = await ask(world, path, { method, base: world.admin });
    isOurs(answer, [path === '/nothing/here' ? 404 : 200], `admin ${path}`);
  } },
};
