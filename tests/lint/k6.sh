#!/bin/bash
# k6.sh - the types of the scripts under k6/ (tsc --checkJs, versions pinned by the lock file).
# npm ci runs when the lock file is newer than what is installed. The lock file must name no
# registry: everybody installs from the one that their own npm is set up for.
set -eu
cd "$(dirname "$0")/../../k6"
if grep -nE '"resolved"|https?://' package-lock.json; then
    echo "k6/package-lock.json names a registry: npm config set omit-lockfile-registry-resolved true, and write it anew" >&2
    exit 1
fi
if ! command -v npm >/dev/null; then
    echo "k6.sh: npm is missing (apt-get install npm): the types of k6/ were not checked" >&2
    [ "${CI:-}" != true ] # a green run there must have checked everything
    exit
fi
[ node_modules/.package-lock.json -nt package-lock.json ] ||
    npm ci --silent --no-audit --no-fund >/dev/null
node_modules/.bin/tsc -p .
