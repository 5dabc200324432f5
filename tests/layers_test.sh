#!/bin/bash
# layers_test.sh - layers.sh names each kind of break, and nothing else.
# Ends with the line "count PASSED FAILED".
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
passed=0 failed=0

result() { # NAME OK
    if [ "$2" = yes ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

mkdir -p "$tree"/gateway/{base,left,right,top,stray}
cat >"$tree/gateway/LAYERS" <<'LAYERS'
# a comment
0 base
1 left
1 right
2 top
only uv.h left
only curl/ top right
LAYERS
put() { printf '%s\n' "$2" >"$tree/gateway/$1"; }
put base/base.h '#include <stdio.h>'
put left/left.h '#include "base/base.h"'
put left/left_priv.h '#include "left/left.h"'
put left/left.c $'#include "left/left_priv.h"\n#include <uv.h>'
put right/right.h '  # include "base/base.h"'
put top/top.h $'#include "left/left.h"\n#include "right/right.h"\n#include <curl/curl.h>'
put main.c '#include "top/top.h"'
if out=$("$here/layers.sh" "$tree"); then result "a clean tree" yes; else result "a clean tree: $out" no; fi

expect() { # NAME FILE TEXT WORDS: the file alone is reported, with the words
    local out status=0
    mkdir -p "$(dirname "$tree/gateway/$2")"
    put "$2" "$3"
    out=$("$here/layers.sh" "$tree") || status=$?
    if [ $status = 1 ] && [ "$(wc -l <<<"$out")" = 1 ] && [[ $out == "gateway/$2:"*"$4"* ]]; then
        result "$1" yes
    else
        result "$1: exit $status, '$out'" no
    fi
    rm "$tree/gateway/$2"
}
expect "a sibling"            left/bad.c  '#include "right/right.h"'     "rank: left"
expect "a higher room"        base/bad.h  '#include "top/top.h"'         "rank: base"
expect "a private header"     top/bad.c   '#include "left/left_priv.h"'  "private:"
expect "a relative path"      top/bad.c   '#include "../left/left.h"'    "relative:"
expect "no room at all"       left/bad.c  '#include "left.h"'            "relative:"
expect "a path from the root" top/bad.c   '#include "gateway/left/left.h"' "relative:"
expect "a fenced header"      top/bad.c   '#include <uv.h>'              "fence:"
expect "a fenced folder"      left/bad.c  '#	include <curl/multi.h>'   "fence:"
expect "a room without rank"  stray/bad.c '#include "base/base.h"'           "unknown: stray"
expect "a fence, from above"  main.c      '#include <uv.h>'              "fence:"
expect "an include of it"     top/bad.c   '#include "stray/stray.h"'     "unknown:"
echo "count $passed $failed"
[ $failed = 0 ]
