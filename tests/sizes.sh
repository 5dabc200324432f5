#!/bin/bash
# sizes.sh - what a machine can hold of style.md: files of at most 500 lines, functions
# of at most 60, no banned function, no unfinished business. One line each; exit 1 if any.
set -eu
cd "$(dirname "$0")/.."
bad=$(mktemp)
trap 'rm -f "$bad"' EXIT
mapfile -t files < <(find gateway tests -name '*.[ch]' -o -path 'gateway/*' -type f | sort -u)
mapfile -t sources < <(printf '%s\n' "${files[@]}" | grep '\.[ch]$')

for file in "${files[@]}"; do
    lines=$(wc -l <"$file")
    [ "$lines" -le 500 ] || echo "$file: $lines lines, at most 500"
done >>"$bad"

ctags --quiet --options=NONE -x --languages=C --langmap=C:.c.h --kinds-C=f --fields=+e \
    --_xformat='%F %n %{end} %N' "${sources[@]}" |
    awk '$3 - $2 + 1 > 60 { print $1 ":" $2 ": " $4 "() has " $3 - $2 + 1 " lines, at most 60" }' >>"$bad"

# comments and strings are blanked, so that they may speak of what they avoid
for file in "${sources[@]}"; do
    sed -E 's/"([^"\\]|\\.)*"/""/g; s://.*$::; s:/\*.*\*/::; s:^[[:space:]]*(/?\*).*$::' "$file" |
        grep -nE '\b(strcpy|strcat|sprintf|vsprintf|atoi|strtok|gets)[[:space:]]*\(' |
        sed -E "s|^([0-9]+):|$file:\1: banned: |" || true
done >>"$bad"

grep -nwE 'TODO|FIXME|XXX' "${sources[@]}" | sed 's/$/  (unfinished)/' >>"$bad" || true
cat "$bad"
[ ! -s "$bad" ]
