// wire.mjs - a socket that says exactly what it is told to, and a reader of what comes back.
//
// The reader is strict: one Content-Length or chunks, no bytes that belong to no answer. What it
// cannot read ends the reading with a fault, which fails the run (but for rows that allow it).
import net from 'node:net';
import tls from 'node:tls';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { piecesOf } from './rows.mjs';

const readHead = (text) => {
    const lines = text.split('\r\n');
    const line = /^HTTP\/1\.[01] (\d{3})(?: .*)?$/.exec(lines.shift());
    if (!line) return null;
    const headers = {};
    for (const one of lines) {
        const colon = one.indexOf(':');
        if (colon < 1) return null;
        const name = one.slice(0, colon).toLowerCase();
        (headers[name] ??= []).push(one.slice(colon + 1).trim());
    }
    return { status: Number(line[1]), headers };
};

// The body of an answer from `at`: { end, body, whole }, or null when it is malformed.
const readBody = (bytes, at, answer, isHead) => {
    const { status, headers } = answer;
    if (isHead || status < 200 || status === 204 || status === 304)
        return { end: at, body: '', whole: true };
    const length = headers['content-length'];
    if (headers['transfer-encoding']) return readChunks(bytes, at);
    if (length === undefined) return { end: bytes.length, body: bytes.toString('latin1', at), untilClose: true };
    if (length.length !== 1 || !/^\d+$/.test(length[0])) return null;
    const end = at + Number(length[0]);
    const whole = bytes.length >= end;
    return { end: whole ? end : bytes.length, body: bytes.toString('latin1', at, Math.min(end, at + 4096)), whole };
};

const readChunks = (bytes, at) => {
    let body = '';
    for (;;) {
        const eol = bytes.indexOf('\r\n', at);
        if (eol < 0) return { end: bytes.length, body, whole: false };
        const size = bytes.toString('latin1', at, eol);
        if (!/^[0-9a-fA-F]{1,8}$/.test(size)) return null;
        const length = parseInt(size, 16);
        at = eol + 2;
        if (length === 0) {
            const end = bytes.toString('latin1', at, at + 2) === '\r\n' ? at : bytes.indexOf('\r\n\r\n', at);
            if (end < 0) return { end: bytes.length, body, whole: false };
            return { end: end === at ? at + 2 : end + 4, body, whole: true };
        }
        if (bytes.length < at + length + 2) return { end: bytes.length, body, whole: false };
        if (body.length < 4096) body += bytes.toString('latin1', at, at + length);
        if (bytes.toString('latin1', at + length, at + length + 2) !== '\r\n') return null;
        at += length + 2;
    }
};

// All answers in `bytes`. most: stop after so many final ones.
export const readAnswers = (bytes, isHead, isClosed, most = Infinity) => {
    const answers = [];
    const interim = [];
    let at = 0;
    while (at < bytes.length && answers.length < most) {
        const end = bytes.indexOf('\r\n\r\n', at);
        if (end < 0) return { answers, interim, fault: isClosed ? 'a head without end' : null, isPartial: true };
        const answer = readHead(bytes.toString('latin1', at, end));
        if (answer === null) return { answers, interim, fault: `no answer: ${bytes.toString('latin1', at, at + 80)}` };
        if (answer.status < 200 && answer.status !== 101) {
            interim.push(answer.status);
            at = end + 4;
            continue;
        }
        const body = readBody(bytes, end + 4, answer, isHead);
        if (body === null) return { answers, interim, fault: `bad framing of a ${answer.status}` };
        if (body.untilClose) body.whole = isClosed;
        answers.push({ ...answer, body: body.body, whole: body.whole });
        at = body.end;
        if (!body.whole) break;
    }
    return { answers, interim, fault: null };
};

export class Wire {
    constructor(target) {
        this.chunks = [];
        this.isClosed = false;
        this.wasReset = false;
        this.waiters = [];
        this.socket = target.isTls
            ? tls.connect({ ...target, rejectUnauthorized: false, servername: 'localhost' })
            : net.connect({ ...target, allowHalfOpen: true });
        this.ready = new Promise((done) => {
            this.socket.once(target.isTls ? 'secureConnect' : 'connect', () => done(true));
            this.socket.once('close', () => done(false));
        });
        this.socket.setNoDelay(true);
        this.socket.on('data', (chunk) => {
            this.chunks.push(chunk);
            this.wake();
        });
        this.socket.on('error', () => {
            this.wasReset = true;
        });
        for (const event of ['end', 'close'])
            this.socket.on(event, () => {
                this.isClosed = true;
                this.wake();
            });
    }

    wake() {
        for (const waiter of this.waiters.splice(0)) waiter();
    }

    get bytes() {
        if (this.chunks.length > 1) this.chunks = [Buffer.concat(this.chunks)];
        return this.chunks[0] ?? Buffer.alloc(0);
    }

    read(isHead, most) {
        return readAnswers(this.bytes, isHead, this.isClosed, most);
    }

    // Until isDone() or the time is over.
    async until(isDone, ms) {
        const deadline = Date.now() + ms;
        while (!isDone() && Date.now() < deadline) {
            let timer;
            await new Promise((done) => {
                this.waiters.push(done);
                timer = setTimeout(done, deadline - Date.now());
            });
            clearTimeout(timer);
        }
        return isDone();
    }

    async write(bytes) {
        if (this.isClosed || this.socket.destroyed || !this.socket.writable) return;
        if (!this.socket.write(bytes) && bytes.length > 65536)
            await this.until(() => this.isClosed || this.socket.writableLength === 0, 3000);
    }

    async say(bytes, mode) {
        for (const piece of piecesOf(bytes, mode)) {
            if (this.isClosed) return;
            await this.write(piece);
            if (mode === 'crlf') await sleep(2);
            else await turn();
        }
    }

    async step(step, mode) {
        if (Buffer.isBuffer(step)) await this.say(step, mode);
        else if (step.wait) await this.until(() => false, step.wait);
        else if (step.until) await this.until(() => this.isClosed, step.until);
        else if (step.fin) this.socket.end();
        else if (step.rst) this.socket.resetAndDestroy();
        else if (step.pause) this.socket.pause();
        else if (step.resume) this.socket.resume();
        else throw new Error(`no such step: ${JSON.stringify(step)}`);
    }

    close() {
        this.socket.destroy();
    }
}
