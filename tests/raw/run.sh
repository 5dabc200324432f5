#!/bin/bash
# run.sh [ID...] - sends the rows of tests/raw/*.json through the gateway and judges what the
# client got and what the backend received (README.md). GATEWAY and ORIGIN name the programs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
first_of() {
    for program in "$@"; do
        if [ -x "$program" ]; then
            echo "$program"
            return
        fi
    done
    echo "none of these is there: $*" >&2
    exit 2
}
gateway=${GATEWAY:-$(first_of "$root/build/address/gateway" "$root/build/gateway")}
origin=${ORIGIN:-$(first_of "$root/build/address/origin" "$root/build/origin")}
GATEWAY=$gateway ORIGIN=$origin exec node "$here/run.mjs" "$@"
