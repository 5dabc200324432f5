#!/usr/bin/env bash
# make run: the sample backend and the gateway in front of it, until Ctrl-C.
# Usage: tests/origin/run.sh BUILD_DIRECTORY
set -eu
build=${1:-build}
origin_pid='' gateway_pid=''

stop() {
    trap - EXIT INT TERM
    for pid in $gateway_pid $origin_pid; do
        kill "$pid" 2>/dev/null || true
    done
    wait
}
trap stop EXIT
trap 'exit 0' INT TERM

"$build/origin" --listen 127.0.0.1:9001 &
origin_pid=$!
"$build/gateway" -c config/gateway.json &
gateway_pid=$!

for _ in $(seq 50); do
    curl -fs -o /dev/null http://127.0.0.1:8080/health && break
    kill -0 "$origin_pid" "$gateway_pid" 2>/dev/null || exit 1 # it has said why
    sleep 0.1
done
cat <<'END'

The gateway listens on http://127.0.0.1:8080, its admin endpoints on http://127.0.0.1:8081. Try:

  curl -i http://127.0.0.1:8080/products                    # twice: X-Cache-Status MISS, then HIT
  for i in $(seq 12); do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/products; done   # 429 after the burst
  curl -s http://127.0.0.1:8081/system/cache/stats

Ctrl-C stops both.
END
wait "$gateway_pid"
