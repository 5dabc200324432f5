#!/bin/bash
# fresh.sh - a newcomer's first hour: a Debian 12 with nothing but git and make, a new clone of
# what is committed, and the README's two commands. `make run` is tried with the very lines
# that it prints; then `make test` runs whole. What these two would install is installed just
# before, by the targets they stand on, since they themselves run without a network.
# SUITE=trixie takes Debian 13 instead.
set -eu
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
rm -rf --one-file-system "build/fresh-$suite"
in_fresh() { CHROOT=build/fresh-$suite PACKAGES='git make' tests/chroot.sh "$suite" "$@"; }

in_fresh true
git clone -q --no-local --depth 1 "file://$PWD" "build/fresh-$suite/root/gateway"
in_fresh 'cd /root/gateway; make -s -j2 deps-run programs'
in_fresh --no-network '
    cd /root/gateway
    make -s run >run.log 2>&1 &
    run=$!
    for _ in $(seq 100); do
        grep -q "^Ctrl-C" run.log && break
        sleep 0.1
    done
    while read -r line; do
        echo "\$ $line"
        printf "%s\n" "$line" "$line" | bash 2>/dev/null # twice, as the first one says
        echo
    done < <(grep -E "^  (curl|for) " run.log) >tried.log
    kill $run
    wait $run || true
    cat run.log tried.log
    for told in "X-Cache-Status: MISS" "X-Cache-Status: HIT" "^429" "\"hits\""; do
        grep -qi "$told" tried.log || { echo "fresh.sh: the lines that make run prints do not show $told"; exit 1; }
    done'
in_fresh 'cd /root/gateway; make deps-build deps-test'
suite_packages=tests/conformance/node_modules # from npm, as this machine has them; without them that phase is skipped
[ ! -d $suite_packages ] || cp -r $suite_packages "build/fresh-$suite/root/gateway/tests/conformance/"
in_fresh --no-network 'cd /root/gateway; make test'
