#!/bin/bash
# fuzz - each tests/fuzz/NAME_fuzz.c first replays tests/fuzz/corpus/NAME/, then looks for
# more for FUZZ_SECONDS (3). One pass each. What it finds new goes to build/fuzz/corpus/NAME,
# a crashing input to build/fuzz/NAME-crash-*.
set -u
shopt -s nullglob
files=(tests/fuzz/*_fuzz.c)
[ ${#files[@]} -gt 0 ] || { echo "count 0 0"; exit 0; }
names=("${files[@]##*/}")
names=("${names[@]%_fuzz.c}")
programs=("${names[@]/#/build/fuzz/fuzz/}")
build() {
    make -s -k -j2 CC=clang SAN=address BUILD=build/fuzz CFLAGS='-O1 -g -fsanitize=fuzzer-no-link' "${programs[@]}"
}
build || { rm -f "${programs[@]}"; build >/dev/null 2>&1; } # yesterday's must not pass

run_one() {
    local name=$1 corpus=build/fuzz/corpus/$1 given=()
    mkdir -p "$corpus"
    [ ! -d "tests/fuzz/corpus/$name" ] || given=("tests/fuzz/corpus/$name")
    if { [ ${#given[@]} = 0 ] || build/fuzz/fuzz/"$name" -runs=0 "${given[@]}"; } &&
        build/fuzz/fuzz/"$name" -max_total_time="${FUZZ_SECONDS:-3}" -timeout=10 -rss_limit_mb=2048 \
            -artifact_prefix="build/fuzz/$name-" -print_final_stats=1 "$corpus" "${given[@]}"; then
        echo pass
    fi >"build/fuzz/$name.log" 2>&1
}
export -f run_one
printf '%s\n' "${names[@]}" | xargs -P2 -I{} bash -c 'run_one {}'
passed=0 failed=0
for name in "${names[@]}"; do
    if [ "$(tail -1 "build/fuzz/$name.log")" = pass ]; then
        passed=$((passed + 1))
        echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log") runs"
    else
        failed=$((failed + 1))
        echo "$name: FAILED"
        tail -60 "build/fuzz/$name.log"
    fi
done
echo "count $passed $failed"
