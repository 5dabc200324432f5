#!/bin/bash
# unit [SAN [LIST]] - the unit tests under a sanitizer (address, with UBSan), two at a
# time. LIST names a file with one ROOM/NAME a line; without it all of tests/unit run.
set -u
san=${1:-address} list=${2:-}
tree=build/$san
if [ -n "$list" ]; then
    mapfile -t tests < <(sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$list")
else
    mapfile -t tests < <(find tests/unit -name '*_test.c' | sed 's|^tests/unit/||; s|\.c$||' | sort)
fi
[ ${#tests[@]} -gt 0 ] || { echo "count 0 0"; exit 0; }
programs=("${tests[@]/#/$tree/unit/}")
# what cannot be built must not pass as the program of yesterday
make -s -k -j2 SAN="$san" "${programs[@]}" ||
    { rm -f "${programs[@]}"; make -s -k -j2 SAN="$san" "${programs[@]}" >/dev/null 2>&1; }

run_one() {
    local status=0
    mkdir -p "${1%/*}"
    timeout -k 5 300 "$1" >"$1.log" 2>&1 || status=$?
    echo "$status" >"$1.status"
}
export -f run_one
printf '%s\n' "${programs[@]}" | xargs -P2 -I{} bash -c 'run_one {}'

passed=0 failed=0
for test in "${tests[@]}"; do
    log=$tree/unit/$test.log status=$(cat "$tree/unit/$test.status")
    good=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p' "$log" | tail -1)
    bad=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) test.*/\1/p' "$log" | tail -1)
    good=${good:-0} bad=${bad:-0}
    # a leak found at the end, a crash, no such program: no test tells of it
    [ "$status" = 0 ] || [ "$bad" -gt 0 ] || bad=1
    echo "$test: $good passed, $bad failed"
    [ "$bad" = 0 ] || grep -vE '^\[ RUN  |^\[       OK' "$log"
    passed=$((passed + good)) failed=$((failed + bad))
done
echo "count $passed $failed"
