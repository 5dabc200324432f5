// judge.mjs - one run: say its bytes, watch what comes back, and compare.
//
// A run is judged twice: by what the client saw (judgeClient, at once), and at the end by what
// the backend recorded under the run's id (judgeOrigin). Both give a list of complaints.
import { setTimeout as sleep } from 'node:timers/promises';
import { Wire } from './wire.mjs';

const WAIT_MS = 4000; // the longest deadline of the configuration is 3 s

const fits = (expectation, statuses) =>
    expectation.statuses.length === statuses.length &&
    expectation.statuses.every((allowed, i) => allowed.includes(statuses[i]));

// A request on the same connection that must get its own answer: is it kept?
const askAgain = async (wire, token) => {
    const before = wire.bytes.length;
    await wire.write(Buffer.from(`GET /canary?id=after-${token} HTTP/1.1\r\nHost: t\r\n\r\n`));
    await wire.until(() => wire.isClosed || wire.bytes.includes(`{"canary":"after-${token}"}`, before), 2000);
    const tail = wire.bytes.subarray(before);
    const text = tail.toString('latin1');
    return text.startsWith('HTTP/1.1 200') && text.endsWith(`{"canary":"after-${token}"}\n`);
};

const goFirst = async (wire, token) => {
    const bytes = Buffer.from(`GET /canary?id=first-${token} HTTP/1.1\r\nHost: t\r\n\r\n`);
    await wire.write(bytes);
    await wire.until(() => wire.isClosed || wire.bytes.includes(`"first-${token}"}\n`), 3000);
    const isGood = wire.bytes.includes(`"first-${token}"}\n`);
    wire.chunks = [];
    return isGood;
};

const settle = async (run, wire) => {
    const most = Math.max(...run.expect.map((e) => e.statuses.length));
    const isDone = () => {
        if (wire.isClosed) return true;
        const { answers, fault } = wire.read(run.head, most);
        return fault !== null || (answers.length >= most && most > 0 && answers.every((a) => a.whole));
    };
    await wire.until(isDone, run.wait ?? WAIT_MS);
    return most;
};

// { statuses, answers, interim, end, fault }
const watch = async (run, wire) => {
    const most = await settle(run, wire);
    const { answers } = wire.read(run.head, most);
    const possible = run.expect.filter((e) => fits(e, answers.map((a) => a.status)));
    let end = 'open';
    if (possible.some((e) => e.end === 'k') && !wire.isClosed) {
        const left = wire.read(run.head, most + 1);
        if (left.answers.length > most) return { ...left, end, fault: 'more answers than requests' };
        const isKept = await askAgain(wire, run.token);
        return { ...left, end: isKept ? 'k' : wire.isClosed ? 'c' : 'open' };
    }
    if (!possible.some((e) => e.end === 'any')) await wire.until(() => wire.isClosed, run.wait ?? WAIT_MS);
    else await sleep(50);
    const limit = run.lax ? most : Infinity;
    const all = wire.read(run.head, limit);
    if (wire.isClosed) end = all.answers.length > 0 && !all.answers.at(-1).whole ? 'cut' : 'c';
    return { ...all, end };
};

const judgeHeaders = (wanted, answer) =>
    Object.entries(wanted).flatMap(([name, want]) => {
        const got = answer?.headers[name.toLowerCase()]?.join(', ');
        if (want === null) return got === undefined ? [] : [`${name}: ${got} should not be there`];
        return got !== undefined && new RegExp(want).test(got) ? [] : [`${name}: ${got}, want /${want}/`];
    });

const judgeClient = (run, seen, world) => {
    const statuses = seen.answers.map((a) => a.status);
    const got = `${statuses.join(' ')} ${seen.end}`.trim();
    const matched = run.expect.find((e) => fits(e, statuses) && (e.end === seen.end || e.end === 'any'));
    const complaints = [];
    run.got = got;
    run.matched = matched;
    if (!matched) complaints.push(`got "${got}", want "${run.expect.map((e) => e.text).join('" or "')}"`);
    if (seen.fault && !run.lax) complaints.push(seen.fault);
    if (run.interim && seen.interim.join() !== run.interim.join())
        complaints.push(`interim answers "${seen.interim}", want "${run.interim}"`);
    if (run.headers && matched) complaints.push(...judgeHeaders(run.headers, seen.answers[0]));
    if (run.body && !new RegExp(run.body).test(seen.answers[0]?.body ?? ''))
        complaints.push(`body ${JSON.stringify(seen.answers[0]?.body?.slice(0, 200))}, want /${run.body}/`);
    for (const answer of seen.answers) {
        if (answer.headers['x-poison'] || answer.body.includes('poisoned')) complaints.push('a poisoned answer came through');
        if (answer.status >= 400 && answer.body.includes(`127.0.0.1:${world.originPort}`))
            complaints.push("an error names the upstream's address");
    }
    return complaints;
};

export const canary = async (world, token) => {
    const wire = new Wire(world.plain);
    await wire.ready;
    const isGood = await askAgain(wire, token);
    const text = wire.bytes.toString('latin1', 0, 120);
    wire.close();
    return isGood ? [] : [`the canary after it got ${JSON.stringify(text)}`];
};

// What one saying of the bytes gives: { seen, complaint, isUnclear }. It is unclear when the
// client's socket was reset before its answer could be read: node drops what it had received. The
// row is said again then, where all that may happen is a refusal.
const sayOnce = async (run, world) => {
    const target = run.port === 'tls' ? world.secureRaw : run.mode === 'tls' ? world.secure : world.plain;
    const wire = new Wire(target);
    try {
        if (!(await wire.ready)) return { complaint: 'no connection' };
        if (run.mode === 'second' && !(await goFirst(wire, run.token)))
            return { complaint: 'the first request got no answer' };
        for (const step of run.steps) await wire.step(step, run.mode);
        const seen = await watch(run, wire);
        const isUnclear = wire.wasReset && seen.answers.length === 0 && run.expect.every((e) => e.end === 'c');
        return { seen, isUnclear };
    } finally {
        wire.close();
    }
};

export const play = async (run, world, withCanary) => {
    let said = await sayOnce(run, world);
    for (let tries = 0; said.isUnclear && tries < 5; tries++) said = await sayOnce(run, world);
    if (said.complaint) return [said.complaint];
    const complaints = judgeClient(run, said.seen, world);
    if (withCanary) {
        await sleep(60); // what the backend says unasked has arrived by then
        complaints.push(...(await canary(world, run.token)));
    }
    return complaints;
};

// ---- what the backend received ----

const headerOf = (record, name) =>
    (record.headers ?? []).filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, value]) => value);

const judgeRecord = (want, record) => {
    const complaints = [];
    for (const key of ['method', 'target', 'body', 'body_length', 'complete'])
        if (key in want && record[key] !== want[key])
            complaints.push(`origin: ${key} ${JSON.stringify(record[key])}, want ${JSON.stringify(want[key])}`);
    for (const [name, value] of Object.entries(want.headers ?? {})) {
        const got = headerOf(record, name);
        const isRight = value === null ? got.length === 0 : got.length === 1 && new RegExp(value).test(got[0]);
        if (!isRight) complaints.push(`origin: ${name} ${JSON.stringify(got)}, want ${value === null ? 'none' : `/${value}/`}`);
    }
    if (want.trailers) {
        const names = (record.trailers ?? []).map(([n]) => n.toLowerCase());
        const odd = names.filter((n) => !want.trailers.includes(n));
        if (odd.length > 0) complaints.push(`origin: trailers ${odd}`);
    }
    return complaints;
};

// run.origin: null (one sound request for each 2xx), a number, "any", "cut" (nothing but the
// beginning of one), or a list of what each request has.
export const judgeOrigin = (run, records) => {
    const complaints = records
        .filter((r) => !r.sound)
        .map((r) => `origin: unsound (${r.fault}): ${JSON.stringify(r.raw ?? r.target)}`);
    const whole = records.filter((r) => r.complete);
    const good = run.matched?.statuses.length
        ? run.got.split(' ').filter((s) => /^2\d\d$/.test(s)).length
        : 0;
    if (run.origin === 'any') return complaints;
    if (run.origin === 'cut') {
        if (whole.length > 0) complaints.push(`origin: a cut request arrived whole: ${whole[0].target}`);
        return complaints;
    }
    const wanted = Array.isArray(run.origin) && good > 0 ? run.origin : null;
    const count = typeof run.origin === 'number' ? run.origin : (wanted?.length ?? good);
    const seen = Array.isArray(run.origin) && good === 0 ? whole : records; // refused midway: a beginning is no request
    if (seen.length !== count)
        complaints.push(`origin: ${seen.length} requests, want ${count}: ${records.map((r) => `${r.method} ${r.target}`)}`);
    wanted?.forEach((want, i) => complaints.push(...(records[i] ? judgeRecord(want, records[i]) : [])));
    return complaints;
};
