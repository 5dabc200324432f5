// world.mjs - the two programs of a run: the backend that records, and the gateway before it.
//
// Everything listens on free ports of 127.0.0.1 and lives in a folder of its own, which goes
// when all went well. Deadlines are short, so that rows about silence do not take minutes.
import { spawn, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

const route = (path, upstream, more = {}) => ({
    name: path.replace(/[^a-z0-9]+/gi, '-').replace(/^-|-$/g, ''),
    match: { path, ...(more.match ?? {}) },
    upstream,
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== 'match')),
});

const upstream = (port, retries) => ({
    targets: [`http://127.0.0.1:${port}`],
    first_byte_timeout: '1s',
    timeout: '3s',
    retry: { attempts: retries, on: ['connect', 'reset'] },
    ejection: { failures: 0 },
    breaker: { failures: 0 },
});

const configuration = (folder, port) => ({
    server: {
        listen: ['127.0.0.1:0', { address: '127.0.0.1:0', tls: ['main'] }],
        workers: 1,
        tls: { main: { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') } },
        max_body_bytes: '1MiB',
        header_timeout: '1s',
        body_timeout: '1s',
        write_timeout: '2s',
        idle_timeout: '2s',
        shutdown_grace: '2s',
    },
    admin: { listen: '127.0.0.1:0' },
    identity: {
        sources: ['api_key', 'ip'],
        api_key: {
            header: 'X-API-Key',
            keys: {
                [sha256('good-key')]: { id: 'acme', tier: 'free' },
                [sha256('tiny-key')]: { id: 'tiny', tier: 'tiny' },
            },
        },
    },
    tiers: { free: { per_minute: 100000000 }, tiny: { per_hour: 1 } },
    limits: { default_tier: 'free' },
    upstreams: { origin: upstream(port, 0), again: upstream(port, 1) },
    routes: [
        route('/echo/*', 'origin'),
        route('/echo/admin/*', 'origin', { auth: 'identity' }),
        route('/admin/*', 'origin', { auth: 'identity', rewrite: '/echo/{*}' }),
        route('/small/*', 'origin', { max_body_bytes: 1000, rewrite: '/echo/{*}' }),
        route('/strip/*', 'origin', { strip_prefix: '/strip' }),
        route('/rewrite/{name}', 'origin', { rewrite: '/echo/{name}' }),
        route('/get-only/*', 'origin', { match: { methods: ['GET'] }, rewrite: '/echo/{*}' }),
        route('/again/*', 'again', { strip_prefix: '/again' }),
        route('/hosted/*', 'origin', { match: { host: 'known.test' }, rewrite: '/echo/{*}' }),
        route('/cache/*', 'origin', { cache: {} }),
        ...['/bytes/*', '/chunked/*', '/slow', '/slow-body', '/upload', '/canary', '/broken/*'].map((path) =>
            route(path, 'origin'),
        ),
    ],
    log: { access: 'off', errors: 'stderr', level: 'warn' },
});

// A program whose ready line on stderr matches `ready`; rejects when it ends or is silent.
const start = (program, args, ready, env) =>
    new Promise((done, failed) => {
        const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
        const it = { child, stderr: '', ended: null };
        const timer = setTimeout(() => failed(new Error(`${program} is not ready: ${it.stderr}`)), 15000);
        child.stderr.on('data', (chunk) => {
            it.stderr += chunk;
            const match = ready.exec(it.stderr);
            if (match) {
                clearTimeout(timer);
                done({ ...it, match, text: () => it.stderr, ended: () => it.ended });
            }
        });
        child.on('error', failed);
        child.on('exit', (code, signal) => {
            it.ended = code ?? signal;
            clearTimeout(timer);
            failed(new Error(`${program} ended with ${it.ended}: ${it.stderr}`));
        });
    });

// SIGTERM, and SIGKILL when that does not do; the exit status or the signal's name.
const stop = async ({ child, ended }) => {
    if (ended() !== null) return ended();
    const gone = new Promise((done) => child.once('exit', (code, signal) => done(code ?? signal)));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 15000);
    const how = await gone;
    clearTimeout(timer);
    return how;
};

export const versionOf = (gateway) => {
    const [, major] = /libmicrohttpd (\d+)\./.exec(execFileSync(gateway, ['--version']).toString()) ?? [];
    return major === '0' ? 'old' : 'new';
};

export const makeWorld = async (gatewayProgram, originProgram) => {
    const folder = mkdtempSync(join(tmpdir(), 'raw-'));
    const record = join(folder, 'record');
    execFileSync(
        'openssl',
        ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
            '/CN=localhost', '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')],
        { stdio: 'ignore' },
    );
    const origin = await start(originProgram, ['--port', '0', '--record', record], /ready on http:\/\/127\.0\.0\.1:(\d+)/);
    const file = join(folder, 'gateway.json');
    writeFileSync(file, JSON.stringify(configuration(folder, Number(origin.match[1])), null, 1));
    const gateway = await start(
        gatewayProgram,
        ['-c', file],
        /ready on http:\/\/127\.0\.0\.1:(\d+) https:\/\/127\.0\.0\.1:(\d+), admin on http:\/\/127\.0\.0\.1:(\d+)/,
    ).catch(async (error) => {
        await stop(origin);
        throw error;
    });
    const [plain, secure, admin] = gateway.match.slice(1).map(Number);
    return {
        folder,
        plain: { host: '127.0.0.1', port: plain },
        secure: { host: '127.0.0.1', port: secure, isTls: true },
        secureRaw: { host: '127.0.0.1', port: secure },
        admin: { host: '127.0.0.1', port: admin },
        originPort: origin.match[1],
        errors: () => gateway.text(),
        ended: () => gateway.ended(),
        records: () =>
            readFileSync(record, 'utf8').split('\n').filter(Boolean).map((line) => ({ line, ...JSON.parse(line) })),
        stopGateway: () => stop(gateway),
        stop: async (isGood) => {
            await stop(gateway);
            await stop(origin);
            if (isGood) rmSync(folder, { recursive: true, force: true });
        },
    };
};
