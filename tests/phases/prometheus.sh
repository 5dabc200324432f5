#!/bin/bash
# prometheus - promtool and amtool on what prometheus/ holds. A file's first words tell
# what it is: rules (groups:), their unit tests (tests:), a server's or an Alertmanager's
# configuration. One pass each.
set -u
passed=0 failed=0
check() { # FILE COMMAND...
    local file=$1 out
    shift
    if out=$(cd "$(dirname "$file")" && "$@" "$(basename "$file")" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$file: $* FAILED"
        echo "$out"
    fi
}
while read -r file; do
    if grep -q '^tests:' "$file"; then
        check "$file" promtool test rules
    elif grep -q '^groups:' "$file"; then
        check "$file" promtool check rules
    elif grep -q '^scrape_configs:' "$file"; then
        check "$file" promtool check config
    elif grep -q '^receivers:' "$file"; then
        check "$file" amtool check-config
    fi
done < <(find prometheus -name '*.yml' -o -name '*.yaml' 2>/dev/null | sort)
echo "count $passed $failed"
