#!/bin/bash
# prometheus - promtool and amtool on what prometheus/ holds. A file's first words tell
# what it is: rules (groups:), their unit tests (tests:), a server's or an Alertmanager's
# configuration. One pass for each file, each case of a unit test, and each alert that has
# its two cases and its section in the runbook.
set -u
passed=0 failed=0
pass() { passed=$((passed + ${1:-1})); }
fail() { # HOW-MANY WORDS...
    failed=$((failed + $1))
    shift
    echo "$*"
}
run_in() { # FILE COMMAND... : the output, and the status
    local file=$1
    shift
    (cd "$(dirname "$file")" && "$@" "$(basename "$file")" 2>&1)
}
check() { # FILE COMMAND...
    local out
    if out=$(run_in "$@"); then pass; else fail 1 "$*: FAILED"$'\n'"$out"; fi
}
check_cases() { # FILE
    local cases bad out status=0
    cases=$(grep -cE '^[[:space:]]+- (\{ )?eval_time:' "$1")
    out=$(run_in "$1" promtool test rules) || status=$?
    bad=$(grep -cE '^ +alertname: .*, time: ' <<<"$out")
    [ $status = 0 ] || [ "$bad" -gt 0 ] || bad=$cases # not even read
    pass $((cases - bad))
    [ $status = 0 ] || fail "$bad" "$1: promtool test rules FAILED"$'\n'"$out"
}
# each alert: "NAME fires", "NAME is silent", and the section that its runbook_url names
check_alerts() { # FILE
    local name rule folder
    folder=$(dirname "$1")
    while read -r name; do
        rule=$(grep -A14 "^ *- alert: $name\$" "$1")
        if grep -qE "^ *- name: $name fires" "$folder"/*_test.yml &&
            grep -qE "^ *- name: $name is silent" "$folder"/*_test.yml &&
            grep -q "^## $name\$" "$folder/README.md" &&
            grep -q "runbook_url: $folder/README.md#${name,,}\$" <<<"$rule"; then
            pass
        else
            fail 1 "$1: $name lacks a firing case, a silent case or its section in $folder/README.md"
        fi
    done < <(sed -nE 's/^ *- alert: (.*)$/\1/p' "$1")
}
# SEVERITY RECEIVERS: who is told of it
check_route() { # FILE
    local severity want got
    while read -r severity want; do
        got=$(amtool config routes test --config.file="$1" severity="$severity" 2>/dev/null)
        if [ "$got" = "$want" ]; then pass; else fail 1 "$1: $severity goes to '$got', should go to '$want'"; fi
    done <<<$'critical webhook,pager\nwarning webhook,chat\nnone webhook'
}
while read -r file; do
    if grep -q '^tests:' "$file"; then
        check_cases "$file"
    elif grep -q '^groups:' "$file"; then
        check "$file" promtool check rules
        check_alerts "$file"
    elif grep -q '^scrape_configs:' "$file"; then
        check "$file" promtool check config
    elif grep -q '^receivers:' "$file"; then
        check "$file" amtool check-config
        check_route "$file"
    fi
done < <(find prometheus -name '*.yml' -o -name '*.yaml' 2>/dev/null | sort)
echo "count $passed $failed"
