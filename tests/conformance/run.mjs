// run.mjs - make conformance: how much of the public HTTP cache suite the gateway's cache does.
//
// The suite is http-tests/cache-tests: the published cut of npm (0.4.5, 350 tests), or the checkout that
// CACHE_TESTS_DIR names (the measure that counts, see cache-tests.fyi). Its server, its client and its scoring are
// used as they are: a test counts when all that it depends on passed too. Lifetimes of a second stand against pauses
// of three, so a starved machine may fail one: below the floor of floor.json the suite runs once more.
//   node tests/conformance/run.mjs [--raise] [--verbose]     --raise writes a higher score to floor.json
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { folder, freePort, root, start, startGatewayFile, stop, stopAll } from '../node/programs.mjs';

const here = join(root, 'tests/conformance');
const floorFile = join(here, 'floor.json');
const modules = join(here, 'node_modules');
const words = new Set(process.argv.slice(2));

// A checkout brings no node_modules: it is copied beside the build, where ours can be found.
function locate() {
  const checkout = process.env.CACHE_TESTS_DIR;
  if (!checkout) return { name: 'npm', at: join(modules, 'http-cache-tests'), engine: '', results: 'lib/display.mjs', more: ['tests/surrogate-control.mjs'] };
  const at = join(root, 'build/conformance/suite');
  rmSync(at, { recursive: true, force: true });
  mkdirSync(at, { recursive: true });
  for (const part of ['package.json', 'tests', 'test-engine']) cpSync(join(resolve(checkout), part), join(at, part), { recursive: true });
  symlinkSync(modules, join(at, 'node_modules'));
  return { name: 'git', at, engine: 'test-engine', results: 'test-engine/lib/results.mjs', more: [] };
}

async function load(suite) {
  const module = path => import(pathToFileURL(join(suite.at, path)).href);
  const groups = [...(await module('tests/index.mjs')).default];
  for (const path of suite.more) groups.push((await module(path)).default);
  const { determineTestResult } = await module(suite.results);
  return { groups, judge: determineTestResult };
}

// The suite's server would listen on every address: a word before it starts keeps it on loopback.
const loopbackOnly = 'data:text/javascript,' + encodeURIComponent(
  "import net from 'node:net'; const listen = net.Server.prototype.listen;" +
  "net.Server.prototype.listen = function (port) { return listen.call(this, Number(port), '127.0.0.1'); };");

function startSuiteServer(suite, port, dir) {
  const child = spawn(process.execPath, ['--no-warnings', '--import', loopbackOnly, join(suite.at, suite.engine, 'server/server.mjs')], {
    cwd: dir,
    env: { ...process.env, npm_config_protocol: 'http', npm_config_port: String(port), npm_config_pidfile: join(dir, 'pid') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return new Promise((done, failed) => {
    child.on('exit', code => failed(new Error(`the suite's server ended with ${code}`)));
    child.stdout.once('data', () => { child.stdout.resume(); done(child); });
  });
}

function runClient(suite, base, dir) {
  const child = spawn(process.execPath, ['--no-warnings', join(suite.at, suite.engine, 'cli.mjs')], {
    cwd: dir, env: { ...process.env, npm_config_base: base, npm_config_id: process.env.CACHE_TEST_ID ?? '', npm_package_config_id: '' }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '', said = '';
  child.stdout.on('data', bytes => { out += bytes; });
  child.stderr.on('data', bytes => { said += bytes; });
  return new Promise((done, failed) => child.on('exit', code => {
    if (process.env.CACHE_TEST_ID) return done(console.log(out));
    try {
      done(JSON.parse(out.slice(out.search(/^\{$/m))));
    } catch {
      failed(new Error(`the suite's client ended with ${code}:\n${said.slice(-4000)}`));
    }
  }));
}

async function runOnce(suite) {
  const dir = folder(), port = await freePort();
  const server = await startSuiteServer(suite, port, dir);
  try {
    const gateway = await startGatewayFile(join(here, 'gateway.json'), { CONFORMANCE_ORIGIN: `http://127.0.0.1:${port}` });
    const results = await runClient(suite, gateway.url, dir);
    const status = await stop(gateway.child);
    if (status !== 0) throw new Error(`the gateway ended with ${status}:\n${gateway.said()}`);
    return results;
  } finally {
    server.removeAllListeners('exit');
    server.kill('SIGTERM');
  }
}

function score({ groups, judge }, results) {
  const kinds = { required: [], optimal: [], check: [] };
  for (const test of groups.flatMap(group => group.tests)) {
    if (!(test.id in results)) continue; // for browsers only
    const symbol = judge(groups, test.id, results)[2];
    const passed = symbol === '✅' || symbol === 'Y';
    kinds[test.kind ?? 'required'].push({ id: test.id, passed, why: results[test.id] === true ? 'dependency' : `${results[test.id][0]}: ${results[test.id][1]}` });
  }
  return kinds;
}

const count = list => list.filter(test => test.passed).length;

function show(kinds) {
  for (const [kind, list] of Object.entries(kinds)) {
    console.log(`${kind} ${count(list)} of ${list.length}`);
    if (kind === 'check' && !words.has('--verbose')) continue;
    for (const test of list.filter(t => !t.passed)) console.log(`  ${test.id}  (${test.why})`);
  }
}

const shortOf = (kinds, floor) => Object.entries(floor).reduce((sum, [kind, least]) => sum + Math.max(0, least - count(kinds[kind])), 0);

let status = 0;
try {
  if (!existsSync(join(modules, 'http-cache-tests'))) throw new Error('run npm ci in tests/conformance first');
  const suite = locate(), tests = await load(suite);
  if (process.env.CACHE_TEST_ID) { // one test, with what went over the wire
    await runOnce(suite);
  } else {
    const floors = JSON.parse(readFileSync(floorFile, 'utf8'));
    const floor = floors[suite.name];
    let kinds = score(tests, await runOnce(suite));
    if (shortOf(kinds, floor) > 0) {
      show(kinds);
      console.log('below the floor: once more');
      kinds = score(tests, await runOnce(suite));
    }
    show(kinds);
    const short = shortOf(kinds, floor);
    if (short > 0) status = 1;
    else if (words.has('--raise')) {
      for (const kind of Object.keys(floor)) floor[kind] = Math.max(floor[kind], count(kinds[kind]));
      writeFileSync(floorFile, JSON.stringify(floors, null, 2) + '\n');
    }
    const passed = count(kinds.required) + count(kinds.optimal);
    console.log(`score ${passed} of ${kinds.required.length + kinds.optimal.length}, ${short} below the floor`);
  }
} catch (error) {
  console.log(error.message);
  status = 1;
} finally {
  await stopAll();
}
process.exit(status);
