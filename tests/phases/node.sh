#!/bin/bash
# node - tests/node/*.test.mjs under node's own runner, two files at a time: they wait more than
# they work. GATEWAY and ORIGIN name the programs (ASan). What tests/node/package.json names is fetched once; without
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
run_file() { # FILE: what it says, and its counts into $counts
    local good bad out status=0
    out=$(timeout -k 5 300 node --test --test-reporter=tap "$1" 2>&1) || status=$?
    good=$(sed -nE 's/^# pass ([0-9]+)$/\1/p' <<<"$out" | tail -1)
    bad=$(sed -nE 's/^# fail ([0-9]+)$/\1/p' <<<"$out" | tail -1)
    good=${good:-0} bad=${bad:-0}
    [ $status = 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$bad" = 0 ] && out= || out=$'\n'$out
    echo "$1: $good passed, $bad failed$out"
    echo "$good $bad" >>"$counts"
}
export -f run_file
export counts=build/test/node.counts
mkdir -p build/test && : >$counts
printf '%s\n' "${files[@]}" | xargs -P 2 -I FILE bash -c 'run_file FILE'
awk -v files=${#files[@]} '{passed += $1; failed += $2} END {print "count", passed + 0, failed + files - NR}' $counts
