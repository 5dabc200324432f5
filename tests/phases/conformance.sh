#!/bin/bash
# conformance - the public HTTP cache suite as npm has it (tests/conformance/run.mjs), against the plain build. Each
# required or optimal test that passes counts; what is missing to the floor of floor.json failed. Without npm, or
# without the network when the suite is not there yet, there is nothing to run.
set -u
command -v npm >/dev/null || { echo "npm is missing: skipped"; echo "count 0 0"; exit 0; }
[ -n "${GATEWAY:-}" ] || make -s -j2 || { echo "count 0 1"; exit 1; }
cd tests/conformance || exit 2
lock=node_modules/.package-lock.json
if [ ! -f $lock ] || [ package-lock.json -nt $lock ]; then
    npm ci --silent --no-audit --no-fund || { echo "the suite cannot be had: skipped"; echo "count 0 0"; exit 0; }
    touch $lock
fi
cd ../..
out=$(node tests/conformance/run.mjs)
status=$?
echo "$out"
read -r passed short < <(sed -nE 's/^score ([0-9]+) of [0-9]+, ([0-9]+) below the floor$/\1 \2/p' <<<"$out")
[ $status = 0 ] || [ "${short:-0}" -gt 0 ] || short=1
echo "count ${passed:-0} ${short:-1}"
