#!/bin/sh
# logged.sh FILE PATTERN... - waits until one line of the log holds every pattern (of grep), and shows
# it. Lines are written by a thread of the log's own, a moment after the answer.
file=$1
shift
for _ in $(seq 100); do
    cp "$file" logged.tmp
    for pattern; do
        grep -e "$pattern" logged.tmp >logged.next
        mv logged.next logged.tmp
    done
    [ -s logged.tmp ] && exec cat logged.tmp
    sleep 0.02
done
echo "no line of $file has all of: $*"
cat "$file"
exit 1
