// limits_contestants.mjs - the gateway and nginx with the same limit: three windows (second, minute, hour), counted
// for every request and never reached, for clients told apart by X-Forwarded-For from a trusted proxy. Each
// answers by itself, on /plain without the limit and on /limited with it, so that what the limit adds is seen.
//
// nginx has no limit in Redis; what people do is a script of their own under lua-resty-redis (Debian's
// lua-nginx-redis): one EVALSHA that checks all windows and then counts in all (INCR, EXPIRE at the first), on
// kept connections, the hash known, and the usual three headers. That is what stands here.
import { writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';

const MODULES = '/usr/lib/nginx/modules';
const BODY = 'x'.repeat(43); // as long as nginx' empty_gif

export const hasLua = () => existsSync(`${MODULES}/ngx_http_lua_module.so`) && existsSync('/usr/share/lua/5.1/nginx/redis.lua');

/** `store`: "memory" or the port of a Redis. */
export function gateway(dir, { port, admin, store, leases = 'auto' }, program) {
  const file = join(dir, 'gateway-limits.json');
  const respond = { status: 200, body: BODY, headers: { 'Content-Type': 'text/plain' } };
  writeFileSync(file, JSON.stringify({
    server: { listen: [`127.0.0.1:${port}`], workers: 1, trusted_proxies: ['127.0.0.1/32'], max_header_bytes: '16KiB' }, // as in contestants.mjs
    admin: { listen: `127.0.0.1:${admin}` },
    store: { url: store === 'memory' ? 'memory:' : `redis://127.0.0.1:${store}` },
    identity: { hash_secret: 'bench' },
    tiers: { all: { per_second: 10000000, burst: 10000000, per_minute: 600000000, per_hour: 4000000000 } },
    limits: { default_tier: 'all', deadline: '1s', leases },
    routes: [
      { name: 'plain', match: { path: '/plain' }, respond, limit: { exempt: true } },
      { name: 'limited', match: { path: '/limited' }, respond },
    ],
    log: { access: 'off', errors: 'stderr' },
  }));
  return [program, '-c', file];
}

const limiter = redis => `
local redis = require "nginx.redis"
local script = [[
local limits, periods, left = {ARGV[1], ARGV[2], ARGV[3]}, {ARGV[4], ARGV[5], ARGV[6]}, nil
for i = 1, 3 do
  local used = tonumber(redis.call('GET', KEYS[i]) or 0)
  if used >= tonumber(limits[i]) then return {0, i, redis.call('TTL', KEYS[i])} end
end
for i = 1, 3 do
  local used = redis.call('INCR', KEYS[i])
  if used == 1 then redis.call('EXPIRE', KEYS[i], periods[i]) end
  if i == 2 then left = tonumber(limits[i]) - used end
end
return {1, left, redis.call('TTL', KEYS[2])}
]]
local sha
local _M = {}
function _M.check()
  local red = redis:new()
  red:set_timeout(1000)
  local ok, err = red:connect("127.0.0.1", ${redis})
  if not ok then ngx.log(ngx.ERR, err) return ngx.exit(503) end
  if not sha then sha = red:script("load", script) end
  local client = ngx.var.remote_addr
  local answer, err = red:evalsha(sha, 3, "rl:{" .. client .. "}:s", "rl:{" .. client .. "}:m", "rl:{" .. client .. "}:h",
    10000000, 600000000, 4000000000, 1, 60, 3600)
  if not answer then sha = nil ngx.log(ngx.ERR, err) return ngx.exit(503) end
  red:set_keepalive(60000, 256)
  if answer[1] == 0 then
    ngx.header["Retry-After"] = answer[3]
    return ngx.exit(429)
  end
  ngx.header["X-RateLimit-Limit"] = 600000000
  ngx.header["X-RateLimit-Remaining"] = answer[2]
  ngx.header["X-RateLimit-Reset"] = ngx.time() + answer[3]
end
return _M
`;

export function nginx(dir, { port, store }, program) {
  const isLua = store !== 'memory';
  const file = join(dir, 'nginx-limits.conf');
  if (isLua) writeFileSync(join(dir, 'limiter.lua'), limiter(store));
  writeFileSync(file, `
${isLua ? `load_module ${MODULES}/ndk_http_module.so; load_module ${MODULES}/ngx_http_lua_module.so;` : ''}
daemon off; user root; worker_processes 1; pid ${dir}/nginx-limits.pid; error_log ${dir}/nginx-limits.log error;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path ${dir}/nginx-body; proxy_temp_path ${dir}/nginx-proxy; fastcgi_temp_path ${dir}/nginx-f;
  uwsgi_temp_path ${dir}/nginx-u; scgi_temp_path ${dir}/nginx-s;
  set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;
  ${isLua ? `lua_package_path "${dir}/?.lua;/usr/share/lua/5.1/?.lua;;"; init_by_lua_block { limiter = require "limiter" }`
    : 'limit_req_zone $binary_remote_addr zone=l:64m rate=1000000r/s; limit_req_status 429;'}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /plain { empty_gif; }
    location = /limited { ${isLua ? 'access_by_lua_block { limiter.check() }' : 'limit_req zone=l burst=1000000 nodelay;'} empty_gif; }
  }
}`);
  return [program, '-c', file];
}
