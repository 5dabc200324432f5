#!/bin/bash
# trixie.sh - what is committed, built and tested on Debian 13: a newer compiler, libmicrohttpd
# 1.0, libcurl 8, OpenSSL 3.5. The chroot stays in build/trixie with its packages; the checkout
# in it is always new. PHASES are those of `make test` (unit vtc).
set -eu
cd "$(dirname "$0")/.."
in_trixie() { tests/chroot.sh trixie "$@"; }

in_trixie 'rm -rf /root/gateway; mkdir /root/gateway'
git archive HEAD | tar -x -C build/trixie/root/gateway
in_trixie 'cd /root/gateway; make deps-build deps-test'
in_trixie --no-network "cd /root/gateway
    gcc --version | head -1
    make -s -j2
    build/gateway --version
    make test PHASES='${PHASES:-unit vtc}'"
