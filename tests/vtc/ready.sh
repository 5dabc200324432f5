#!/bin/sh
# ready.sh STDERR - waits for the ready line of the gateway whose stderr goes to this file; gives up
# after ten seconds, which is long even for a sanitizer on a busy machine.
for _ in $(seq 500); do
    grep -q '^gateway: ready on ' "$1" && exit 0
    sleep 0.02
done
cat "$1"
exit 1
