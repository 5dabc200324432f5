#!/bin/bash
# raw - bytes on a socket that no client library would send: tests/raw/run.sh, which ends
# with a count line of its own. GATEWAY and ORIGIN name the programs (ASan).
set -u
[ -f tests/raw/run.sh ] || { echo "count 0 0"; exit 0; }
make -s -j2 SAN=address programs || { echo "count 0 1"; exit 1; }
export GATEWAY=$PWD/build/address/gateway ORIGIN=$PWD/build/address/origin
exec bash tests/raw/run.sh
