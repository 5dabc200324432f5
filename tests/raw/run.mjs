// run.mjs - the corpus runner: every row of *.json, in every way of sending it, through a
// gateway of its own. Prints a line for what failed; the last line is "N passed, N failed".
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { judgeOrigin, play } from './judge.mjs';
import { loadSections } from './rows.mjs';
import { Wire } from './wire.mjs';
import { makeWorld, versionOf } from './world.mjs';

const AT_ONCE = 32;
const here = dirname(fileURLToPath(import.meta.url));
const { GATEWAY, ORIGIN } = process.env;
const only = process.argv.slice(2);

const playSection = async (section, world) => {
    const queue = [...section.runs];
    const one = async () => {
        for (let run = queue.shift(); run; run = queue.shift())
            run.complaints = await play(run, world, section.canary).catch((error) => [String(error.stack)]);
    };
    await Promise.all(Array.from({ length: section.inTurn ? 1 : AT_ONCE }, one));
};

// A record belongs to the run whose id it holds; the runner's own questions are left out.
const sortRecords = (records, runs) => {
    const mine = new Map(runs.map((run) => [run.token, []]));
    const orphans = [];
    for (const record of records) {
        if (/^\/canary\?id=(first|after)-/.test(record.target ?? '') && record.sound) continue;
        const token = /q[0-9a-z]{7}(?![0-9a-z])/g;
        const owner = (record.line.match(token) ?? []).find((word) => mine.has(word));
        if (owner) mine.get(owner).push(record);
        else orphans.push(record.line.slice(0, 300));
    }
    return { mine, orphans };
};

const ask = async (target, path, headers = '') => {
    const wire = new Wire(target);
    await wire.ready;
    await wire.write(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}Connection: close\r\n\r\n`));
    await wire.until(() => wire.isClosed, 5000);
    wire.close();
    return wire.bytes.toString('latin1');
};

const checkWhole = async (world, orphans) => {
    const checks = [];
    const metrics = await ask(world.admin, '/metrics');
    checks.push(['the metrics know no path and no host of a client', metrics.startsWith('HTTP/1.1 200') && !/q000[0-9a-z]{4}|evil/.test(metrics)]);
    checks.push([`the origin got nothing that belongs to no row ${orphans.join('\n  ')}`, orphans.length === 0]);
    checks.push([`the gateway lives (${world.ended()})`, world.ended() === null]);
    const status = await world.stopGateway();
    const noise = /runtime error:|Sanitizer|CHECK|assert/i.exec(world.errors());
    checks.push([`the gateway ends with status ${status}`, status === 0]);
    checks.push([`its stderr is clean: ${noise ? world.errors().slice(noise.index, noise.index + 1500) : ''}`, noise === null]);
    return checks;
};

const report = (sections, checks, folder) => {
    let passed = 0;
    const failed = [];
    for (const section of sections) {
        const bad = section.runs.filter((run) => run.complaints.length > 0);
        passed += section.runs.length - bad.length;
        for (const run of bad)
            failed.push(`${run.label}${run.shown ? ` ${run.shown}` : ''} (${run.name}): ${run.complaints.join('; ')}`);
        console.log(`${section.title}: ${section.runs.length - bad.length} passed, ${bad.length} failed, ${section.seconds} s`);
    }
    for (const [name, isGood] of checks) isGood ? passed++ : failed.push(name);
    for (const line of failed) console.log(`FAILED ${line}`);
    if (failed.length > 0) console.log(`what the origin recorded: ${folder}/record`);
    console.log(`count ${passed} ${failed.length}`);
    console.log(`${passed} passed, ${failed.length} failed`);
    return failed.length === 0;
};

const sections = loadSections(here, versionOf(GATEWAY), only);
const world = await makeWorld(GATEWAY, ORIGIN);
await ask(world.plain, '/canary?id=first-tiny', 'X-API-Key: tiny-key\r\n'); // its hour is spent
for (const section of sections) {
    const from = Date.now();
    await playSection(section, world);
    section.seconds = Math.round((Date.now() - from) / 1000);
}
const runs = sections.flatMap((section) => section.runs);
const checksBefore = sortRecords(world.records(), runs);
for (const run of runs) run.complaints.push(...judgeOrigin(run, checksBefore.mine.get(run.token)));
const checks = await checkWhole(world, checksBefore.orphans);
const isGood = report(sections, checks, world.folder);
await world.stop(isGood);
process.exitCode = isGood ? 0 : 1;
