#!/bin/bash
# stores.sh - the store's tests on Redis 8.0 and Valkey 8.1, the servers of Debian 13, beside the Redis
# of this machine: the script of the limiter against the slow model (the property test), NOSCRIPT
# and every other fault, exactness, Sentinel and Cluster, leases, roles, and TLS. The servers come
# from Debian's mirror into a chroot (build/stores, needs root, once) and run out of it on this
# machine's kernel by its own loader, so that sockets and ports are where tests look for them.
# TESTS are those of tests/node, without .test.mjs. Gateways are this tree's, and as TLS is built in
# only where hiredis has it, another build for that.
set -eu
cd "$(dirname "$0")/.."
root=$PWD/build/stores log=build/test/stores
[ -d "$root" ] || CHROOT=build/stores PACKAGES='redis-server valkey-server' tests/chroot.sh trixie true
mkdir -p "$log"
make -s -j2 all programs build/unit/limit/script_test
make -s -j2 BUILD=build/tls CFLAGS='-O1 -g -DREDIS_HAS_TLS=1' build/tls/gateway

loader=$(find "$root/usr/lib" -name 'ld-linux*.so.*' | head -1)
passed=0 failed=0
run() { # NAME PROGRAM...
    local name=$1 status=0
    shift
    timeout -k 5 400 "$@" >"$log/$name.log" 2>&1 || status=$?
    [ $status = 0 ] && passed=$((passed + 1)) || failed=$((failed + 1))
    printf '  %-22s %s\n' "${name#*-}" "$([ $status = 0 ] && echo passed || echo "failed: $log/$name.log")"
}

for server in redis valkey; do
    export REDIS_SERVER=$PWD/build/stores-$server
    printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$loader" "$(dirname "$loader")" \
        "$root/usr/bin/$server-server" >"$REDIS_SERVER"
    chmod +x "$REDIS_SERVER"
    "$REDIS_SERVER" --version | cut -d' ' -f1-3
    run $server-script build/unit/limit/script_test
    for test in ${TESTS:-l_redis l_faults l_kinds l_holds l_share r_store r_level2 r_roles}; do
        run "$server-$test" node --test --test-reporter=tap "tests/node/$test.test.mjs"
    done
    GATEWAY=build/tls/gateway run $server-tls node --test --test-reporter=tap tests/node/r_roles.test.mjs
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
