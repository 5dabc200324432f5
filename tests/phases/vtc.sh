#!/bin/bash
# vtc - what a user can see: tests/vtc/*.vtc against the gateway built with ASan and
# UBSan, two at a time. Macros for the tests: ${gateway} and ${origin} (programs), ${root}.
set -u
shopt -s nullglob
files=(tests/vtc/*.vtc)
[ ${#files[@]} -gt 0 ] || { echo "count 0 0"; exit 0; }
make -s -j2 SAN=address programs || { echo "count 0 1"; exit 1; }
root=$PWD
out=$(varnishtest -k -j2 -t 60 -Droot="$root" -Dgateway="$root/build/address/gateway" \
    -Dorigin="$root/build/address/origin" "${files[@]}" 2>&1)
echo "$out" | grep -vE '^#.* TEST .* passed'
passed=$(grep -cE '^# +top +TEST .* passed' <<<"$out")
skipped=$(grep -cE '^# +top +TEST .* skipped' <<<"$out")
echo "$skipped skipped"
echo "count $passed $((${#files[@]} - passed - skipped))"
