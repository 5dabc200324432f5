// rows.mjs - from a row of a section file to the runs of it: one for each way of sending.
//
// A row may have "each": a list of texts that stand for $X in turn, or of objects whose members
// stand for $name: the row becomes one row per item. Every run gets an id of eight characters
// for $ID, so that what the backend recorded can be told apart.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const BYTES_MODE_MOST = 3000; // longer rows are not sent byte by byte
const SPLIT_MODE_MOST = 60; // pieces
const MODES = ['whole', 'bytes', 'crlf', 'second', 'tls'];

const substitute = (value, from, to) => {
    if (typeof value === 'string') return value.replaceAll(from, to);
    if (Array.isArray(value)) return value.map((v) => substitute(v, from, to));
    if (value !== null && typeof value === 'object')
        return Object.fromEntries(
            Object.entries(value).map(([k, v]) => [substitute(k, from, to), substitute(v, from, to)]),
        );
    return value;
};

const latin1 = (text) => Buffer.from(text, 'latin1');

// One step of "bytes": text, {"hex"}, {"repeat", "times"} are bytes; {"wait"}, {"fin"}, {"rst"},
// {"pause"} and {"resume"} are done as they are.
const stepBytes = (step) => {
    if (typeof step === 'string') return latin1(step);
    if ('hex' in step) return Buffer.from(step.hex, 'hex');
    if ('repeat' in step) return latin1(step.repeat.repeat(step.times));
    return null;
};

const mergeSteps = (steps) => {
    const merged = [];
    for (const step of steps) {
        const bytes = stepBytes(step);
        const last = merged[merged.length - 1];
        if (bytes === null) merged.push(step);
        else if (Buffer.isBuffer(last)) merged[merged.length - 1] = Buffer.concat([last, bytes]);
        else merged.push(bytes);
    }
    return merged;
};

// $CL: the bytes that follow the first blank line, in all steps.
const fillLength = (steps, id) => {
    if (!JSON.stringify(steps).includes('$CL')) return steps;
    const filled = substitute(steps, '$ID', id);
    const all = Buffer.concat(mergeSteps(filled).filter(Buffer.isBuffer));
    const blank = all.indexOf('\r\n\r\n');
    return substitute(steps, '$CL', String(all.length - blank - 4));
};

const splitAtLines = (bytes) => {
    const pieces = [];
    let from = 0;
    for (let at = bytes.indexOf('\r\n'); at >= 0; at = bytes.indexOf('\r\n', from)) {
        pieces.push(bytes.subarray(from, at + 2));
        from = at + 2;
    }
    if (from < bytes.length) pieces.push(bytes.subarray(from));
    return pieces;
};

// How one step is written in a mode: a list of buffers, each by a write of its own.
export const piecesOf = (bytes, mode) => {
    if (mode === 'bytes') return Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
    if (mode === 'crlf') return splitAtLines(bytes);
    return [bytes];
};

const modesOf = (row, section) => {
    const wanted = row.modes ?? section.modes ?? MODES;
    const steps = mergeSteps([].concat(row.bytes));
    const size = steps.filter(Buffer.isBuffer).reduce((sum, b) => sum + b.length, 0);
    const lines = steps.filter(Buffer.isBuffer).reduce((sum, b) => sum + splitAtLines(b).length, 0);
    return wanted.filter(
        (m) =>
            !(m === 'bytes' && size > BYTES_MODE_MOST) &&
            !(m === 'crlf' && (lines > SPLIT_MODE_MOST || lines < 2)),
    );
};

// "200 404 k": statuses, each with its alternatives after "|", and how it ends:
// k kept, c closed, cut (closed inside the last answer), any. "100x200 k" repeats.
export const parseExpectation = (text) => {
    const words = text.trim().split(/\s+/);
    const end = words.pop();
    if (!['k', 'c', 'cut', 'any'].includes(end)) throw new Error(`no such end: ${text}`);
    const statuses = words.flatMap((word) => {
        const [, times, list] = /^(?:(\d+)x)?([\d|]+)$/.exec(word) ?? [];
        if (!list) throw new Error(`no such status: ${text}`);
        return Array(Number(times ?? 1)).fill(list.split('|').map(Number));
    });
    return { text, statuses, end };
};

const expandRow = (row) => {
    if (!row.each) return [row];
    return row.each.map((item, i) => {
        const { each, ...rest } = row;
        const values = typeof item === 'string' ? { X: item } : item;
        let one = rest;
        for (const [key, value] of Object.entries(values))
            one =
                key === 'expect' || typeof value !== 'string'
                    ? { ...one, [key]: value }
                    : substitute(one, `$${key}`, value);
        return { ...one, id: `${row.id}.${i + 1}`, shown: JSON.stringify(values) };
    });
};

let counter = 0;
const nextId = () => `q${(counter++).toString(36).padStart(7, '0')}`;

const makeRun = (row, section, mode, version) => {
    const id = nextId();
    const expect = [].concat(row[version] ?? row.expect);
    const steps = substitute(fillLength([].concat(row.bytes), id), '$ID', id);
    return {
        ...substitute({ ...row, each: undefined }, '$ID', id),
        token: id,
        mode,
        label: `${row.id}/${mode}`,
        steps: mergeSteps(steps),
        expect: expect.map(parseExpectation),
        origin: substitute(row.origin ?? section.origin ?? null, '$ID', id),
    };
};

// All runs of all sections: [{ section, runs }]. `only` filters by id ("S01", "S01.2", "smuggling").
export const loadSections = (folder, version, only) =>
    readdirSync(folder)
        .filter((name) => name.endsWith('.json'))
        .sort()
        .map((name) => {
            const section = JSON.parse(readFileSync(join(folder, name), 'utf8'));
            const title = name.replace('.json', '');
            const rows = section.rows
                .flatMap(expandRow)
                .filter(
                    (row) =>
                        only.length === 0 ||
                        only.some((o) => o === title || row.id === o || row.id.startsWith(`${o}.`)),
                );
            const runs = rows.flatMap((row) =>
                modesOf(row, section).map((mode) => makeRun(row, section, mode, version)),
            );
            return { title, inTurn: section.inTurn === true, canary: section.canary === true, runs };
        });
