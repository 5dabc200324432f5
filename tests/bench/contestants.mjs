// contestants.mjs - the gateway and its peers, each configured for the same work: one thread on one core, kept
// connections to the origin, a cache, and a limit that is counted for every request but never reached ("open"),
// or reached at once ("shut"). Ports are given; everything lives in `dir`.
import { spawn, execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync, openSync, existsSync } from 'node:fs';
import { join } from 'node:path';

const has = program => ['/usr/sbin/', '/usr/bin/'].map(d => d + program).find(existsSync);

function gateway(dir, port, origin, program) {
  const config = limit => ({
    server: { listen: [`127.0.0.1:${port}`], workers: 1, max_connections: 30000, idle_timeout: '300s', header_timeout: '300s',
      max_header_bytes: '16KiB' }, // as HAProxy's buffer; libmicrohttpd clears a connection's memory after each request
    admin: { listen: '127.0.0.1:0' },
    tiers: { all: limit },
    limits: { default_tier: 'all' },
    cache: { memory: '64MiB' },
    upstreams: { origin: { targets: [`http://127.0.0.1:${origin}`], keepalive: 128 } },
    routes: [
      { name: 'hit', match: { path: '/hit/*' }, strip_prefix: '/hit', upstream: 'origin', cache: { ttl: '1h', per_user: false } },
      { name: 'rest', match: { path: '/*' }, upstream: 'origin' },
    ],
    log: { access: 'off', errors: 'stderr' },
  });
  const start = (name, limit) => {
    const file = join(dir, `gateway-${name}.json`);
    writeFileSync(file, JSON.stringify(config(limit)));
    return [program, '-c', file];
  };
  return {
    open: () => start('open', { per_second: 10000000, burst: 10000000, per_minute: 600000000, per_hour: 4000000000 }),
    shut: () => start('shut', { per_second: 1, burst: 1, per_minute: 1, per_hour: 1 }),
  };
}

function nginx(dir, port, origin) {
  const program = has('nginx');
  if (!program) return null;
  const config = (rate, burst) => `
daemon off; user root; worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/nginx.log crit;
events { worker_connections 30000; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; client_header_timeout 300s;
  client_body_temp_path ${dir}/nginx-body; proxy_temp_path ${dir}/nginx-proxy; fastcgi_temp_path ${dir}/nginx-f;
  uwsgi_temp_path ${dir}/nginx-u; scgi_temp_path ${dir}/nginx-s;
  proxy_cache_path ${dir}/nginx-cache keys_zone=c:16m max_size=64m;
  limit_req_zone $binary_remote_addr zone=l:16m rate=${rate}; limit_req_status 429;
  upstream origin { server 127.0.0.1:${origin}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096; limit_req zone=l burst=${burst} nodelay;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr; client_body_buffer_size 64k;
    location /hit/ { proxy_pass http://origin/; proxy_cache c; proxy_cache_valid 200 1h; add_header X-Cache-Status $upstream_cache_status; }
    location / { proxy_pass http://origin; }
  }
}`;
  const start = (name, rate, burst) => {
    const file = join(dir, `nginx-${name}.conf`);
    writeFileSync(file, config(rate, burst));
    return [program, '-c', file];
  };
  return { open: () => start('open', '1000000r/s', 1000000), shut: () => start('shut', '1r/m', 1) };
}

function haproxy(dir, port, origin) {
  const program = has('haproxy');
  if (!program) return null;
  const config = most => `
global
  nbthread 1
  no strict-limits
  maxconn 11000
  tune.http.logurilen 64
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 60s
  timeout http-keep-alive 300s
cache c
  total-max-size 64
  max-object-size 1000000
  max-age 3600
frontend f
  bind 127.0.0.1:${port} backlog 4096
  stick-table type ip size 100k expire 60s store http_req_rate(10s)
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt ${most} }
  use_backend hit if { path_beg /hit/ }
  default_backend rest
backend hit
  http-request replace-path /hit(/.*) \\1
  http-request cache-use c
  http-response cache-store c
  http-response set-header Cache-Control max-age=3600
  option forwardfor
  server o 127.0.0.1:${origin} pool-max-conn 128
backend rest
  option forwardfor
  server o 127.0.0.1:${origin} pool-max-conn 128
`;
  const start = (name, most) => {
    const file = join(dir, `haproxy-${name}.cfg`);
    writeFileSync(file, config(most));
    return [program, '-db', '-f', file];
  };
  return { open: () => start('open', 2000000000), shut: () => start('shut', 1) };
}

function varnish(dir, port, origin) {
  const program = has('varnishd');
  if (!program) return null;
  const file = join(dir, 'varnish.vcl');
  writeFileSync(file, `vcl 4.1;
backend o { .host = "127.0.0.1"; .port = "${origin}"; }
sub vcl_recv { if (req.url ~ "^/hit/") { set req.url = regsub(req.url, "^/hit", ""); return (hash); } return (pass); }
sub vcl_backend_response { set beresp.ttl = 1h; }
`);
  const home = join(dir, 'varnish');
  mkdirSync(home, { recursive: true });
  return {
    open: () => [program, '-F', '-j', 'none', '-n', home, '-a', `127.0.0.1:${port}`, '-f', file, '-s', 'malloc,64m',
      '-p', 'thread_pools=1', '-p', 'thread_pool_min=100', '-p', 'thread_pool_max=400', '-p', 'timeout_idle=300', '-T', 'none'],
    shut: () => null, // limits need a module that Debian packages apart
  };
}

export function contestants(dir, ports, origin, program) {
  const all = {
    gateway: gateway(dir, ports[0], origin, program),
    nginx: nginx(dir, ports[1], origin),
    haproxy: haproxy(dir, ports[2], origin),
    varnish: varnish(dir, ports[3], origin),
  };
  return Object.entries(all).map(([name, c], i) => c && { name, port: ports[i], ...c }).filter(Boolean);
}

// Starts a command pinned to a core; the child is ended by its id.
export function startPinned(core, command, log) {
  const out = openSync(log, 'a');
  return spawn('taskset', ['-c', String(core), ...command], { stdio: ['ignore', out, out] });
}

// A process with all that it has started: ids.
export function family(pid) {
  let out = '';
  try { out = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' }); } catch { /* no children */ }
  return [pid, ...out.split('\n').map(s => Number(s)).filter(Boolean).flatMap(family)];
}
