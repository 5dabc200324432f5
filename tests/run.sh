#!/bin/bash
# run.sh [PHASE...] - runs the phases of `make test` (tests/README.md) and adds them up.
# Each is tests/phases/NAME.sh; its last line of the form "count PASSED FAILED" is its
# result. A phase that ends without one, or with a bad status and no failure counted,
# counts as one failed. The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 2
logs=build/test
mkdir -p $logs
phases=("$@")
if [ $# = 0 ]; then
    phases=(tools unit vtc tsan fuzz raw node prometheus)
    for script in tests/phases/*.sh; do
        name=$(basename "$script" .sh)
        [[ " ${phases[*]} " == *" $name "* ]] || phases+=("$name")
    done
fi

passed=0 failed=0
for name in "${phases[@]}"; do
    start=$SECONDS status=0
    timeout -k 10 1200 bash "tests/phases/$name.sh" >"$logs/$name.log" 2>&1 </dev/null || status=$?
    read -r good bad < <(sed -nE 's/^count ([0-9]+) ([0-9]+)$/\1 \2/p' "$logs/$name.log" | tail -1)
    if [ -z "${good:-}" ] || { [ $status != 0 ] && [ "$bad" = 0 ]; }; then
        bad=$((${bad:-0} + 1)) good=${good:-0}
        echo "phase $name ended with status $status" >>"$logs/$name.log"
    fi
    [ "$bad" = 0 ] || sed "s/^/$name: /" "$logs/$name.log"
    printf '%-12s %5d passed %3d failed  %4d s\n' "$name" "$good" "$bad" $((SECONDS - start))
    passed=$((passed + good)) failed=$((failed + bad))
    unset good bad
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
