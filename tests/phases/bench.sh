#!/bin/bash
# bench - the quick bench (tests/bench/run.mjs --quick) of the plain build: does it still run, for everyone who is
# installed, and without an error? One pass; speed is never judged here. Without wrk there is nothing to run.
set -u
command -v wrk >/dev/null || { echo "wrk is missing (make deps-bench): skipped"; echo "count 0 0"; exit 0; }
make -s -j2 programs || { echo "count 0 1"; exit 1; }
rm -f tests/bench/latest.json
node tests/bench/run.mjs --quick && jq -e '
    .medians | (.["hit-1k"].gateway != null) and (.idle.gateway.alive > 0) and ([.. | .bad? // empty] | add == 0)
' tests/bench/latest.json >/dev/null && { echo "count 1 0"; exit 0; }
echo "a contestant did not run, or had errors (column bad)"
echo "count 0 1"
