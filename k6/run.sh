#!/bin/bash
# run.sh - make k6: every script, against a gateway that runs already (make run). Without k6 on
# the PATH it says so and succeeds: k6 is not among Debian's packages.
set -u
cd "$(dirname "$0")" || exit 2
if ! command -v k6 >/dev/null; then
    echo "k6 is not installed: nothing was run (https://grafana.com/docs/k6 tells how to get it)"
    exit 0
fi
url=${GATEWAY_URL:-http://127.0.0.1:8080}
if ! curl -fs -o /dev/null --max-time 2 "$url/health"; then
    echo "no gateway answers on $url: start one with 'make run'" >&2
    exit 1
fi
status=0
for script in *.js; do
    if [ "$script" = soak.js ] && [ -z "${MINUTES:-}" ]; then
        echo "soak.js is left out: make k6 MINUTES=60 runs it too"
        continue
    fi
    if [ "$script" = mixed.js ] && [ -z "${KEY_INTERNAL:-}" ]; then
        echo "mixed.js is left out: it needs KEY_INTERNAL (k6/README.md)"
        continue
    fi
    k6 run --quiet "$script" || status=$?
done
exit $status
