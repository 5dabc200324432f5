#!/bin/bash
# node - tests/node/*.test.mjs under node's own runner, one file at a time. GATEWAY and
# ORIGIN name the programs (ASan). What tests/node/package.json names is fetched once; without
# npm or the network the tests that need it are skipped.
set -u
shopt -s nullglob
files=(tests/node/*.test.mjs)
[ ${#files[@]} -gt 0 ] || { echo "count 0 0"; exit 0; }
make -s -j2 SAN=address programs || { echo "count 0 1"; exit 1; }
export GATEWAY=$PWD/build/address/gateway ORIGIN=$PWD/build/address/origin
lock=tests/node/node_modules/.package-lock.json
if [ ! -f $lock ] || [ tests/node/package-lock.json -nt $lock ]; then
    (cd tests/node && npm ci --silent --no-audit --no-fund && touch node_modules/.package-lock.json) ||
        echo "npm's packages cannot be had: some tests are skipped"
fi
passed=0 failed=0
for file in "${files[@]}"; do
    status=0
    out=$(timeout -k 5 300 node --test --test-reporter=tap "$file" 2>&1) || status=$?
    good=$(sed -nE 's/^# pass ([0-9]+)$/\1/p' <<<"$out" | tail -1)
    bad=$(sed -nE 's/^# fail ([0-9]+)$/\1/p' <<<"$out" | tail -1)
    good=${good:-0} bad=${bad:-0}
    [ $status = 0 ] || [ "$bad" -gt 0 ] || bad=1
    echo "$file: $good passed, $bad failed"
    [ "$bad" = 0 ] || echo "$out"
    passed=$((passed + good)) failed=$((failed + bad))
done
echo "count $passed $failed"
