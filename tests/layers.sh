#!/bin/sh
# layers.sh [ROOT] - one line for each #include under ROOT/gateway that breaks
# gateway/LAYERS; exit 1 if there is one. What counts:
#   rank      a room includes its own folder and the doors of lower ranks
#   private   of another room only the door, room/room.h
#   relative  includes in quotes are "room/file.h", from -Igateway
#   fence     a library with an "only" line stays in the rooms of that line
#   unknown   every folder has a rank
# main.c stands above all ranks.
set -eu
cd "${1:-$(dirname "$0")/..}"

# no path of ours holds a blank
awk '
function broken(what) { print FILENAME ":" FNR ": " what; bad = 1 }
function is_fenced_in(rooms, own,    list, n, i) {
    n = split(rooms, list, " ")
    for (i = 1; i <= n; i++)
        if (list[i] == own)
            return 1
    return 0
}
BEGIN {
    while ((getline line < "gateway/LAYERS") > 0) {
        n = split(line, word, /[ \t]+/)
        if (word[1] ~ /^[0-9]+$/)
            rank[word[2]] = word[1]
        else if (word[1] == "only")
            fence[word[2]] = substr(line, index(line, word[2]) + length(word[2]) + 1)
    }
    rank["main.c"] = 1000
}
FNR == 1 {
    split(FILENAME, path, "/")
    own = path[2]
    if (!(own in rank))
        broken("unknown: " own " has no rank in gateway/LAYERS")
    is_ranked = own in rank
}
is_ranked && /^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    name = quoted[2]
    n = split(name, part, "/")
    if (n != 2 || part[1] ~ /^\.\.?$/) {
        broken("relative: \"" name "\" is not \"room/file.h\"")
        next
    }
    if (part[1] == own)
        next
    if (!(part[1] in rank))
        broken("unknown: \"" name "\": " part[1] " has no rank in gateway/LAYERS")
    else if (rank[part[1]] + 0 >= rank[own] + 0)
        broken("rank: " own " may not include \"" name "\"")
    else if (part[2] != part[1] ".h")
        broken("private: \"" name "\" belongs to " part[1])
}
is_ranked && /^[ \t]*#[ \t]*include[ \t]*</ {
    name = $0
    sub(/^[^<]*</, "", name)
    sub(/>.*/, "", name)
    for (library in fence) {
        is_of = library ~ /\/$/ ? index(name, library) == 1 : name == library
        if (is_of && !is_fenced_in(fence[library], own))
            broken("fence: <" name "> may be included by " fence[library] " only")
    }
}
END { exit bad }' $(find gateway -name '*.[ch]' | sort)
