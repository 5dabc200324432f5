#!/bin/bash
# image.sh - the steps of gateway/Dockerfile, taken in chroots of its release, for machines where
# no container engine runs. The packages of the build stage make the programs from what is
# committed; then the packages of the base stage alone must run them, as the image's user, with
# the image's command and health check. The chroots stay in build/image-*.
set -eu
cd "$(dirname "$0")/.."
file=gateway/Dockerfile
suite=$(sed -nE '1,/^FROM/s/^FROM debian:([a-z]+)-[0-9]+-slim AS build$/\1/p' $file)
[ -n "$suite" ] || { echo "image.sh: the build stage is no dated Debian" >&2; exit 1; }

# the RUN steps of stage NAME, one command a line
steps() {
    sed -e ':a' -e '/\\$/N; s/\\\n//; ta' $file |
        awk -v stage="$1" '/^FROM / {at = $NF} at == stage && sub(/^RUN /, "")'
}
in_image() { # STAGE [--no-network] COMMAND
    CHROOT=build/image-$1 PACKAGES=passwd tests/chroot.sh "$suite" "${@:2}"
}

in_image build 'rm -rf /src; mkdir -p /src'
git archive HEAD Makefile gateway tests/deps.sh tests/origin | tar -x -C build/image-build/src
while read -r step; do
    in_image build "cd /src; $step"
done < <(steps build)

in_image base true
in_image base "id gateway >/dev/null 2>&1 || { $(steps base); }"
for program in release/gateway origin; do
    install -D -m 755 -t build/image-base/usr/local/bin "build/image-build/src/build/$program"
done
mkdir -p build/image-base/etc/gateway
git show HEAD:config/gateway.json >build/image-base/etc/gateway/gateway.json
in_image base --no-network '
    ! ldd /usr/local/bin/gateway /usr/local/bin/origin | grep "not found"
    as_user="setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs --inh-caps=-all"
    $as_user gateway --version
    $as_user gateway --check -c /etc/gateway/gateway.json
    $as_user origin --port 9001 2>/dev/null & origin=$!
    $as_user gateway -c /etc/gateway/gateway.json >/dev/null & gateway=$!
    curl -fsS -o /dev/null --retry 20 --retry-delay 1 --retry-connrefused http://127.0.0.1:8080/health
    curl -fsS -o /dev/null -w "/products: %{http_code}\n" http://127.0.0.1:8080/products
    kill $gateway $origin
    wait $gateway'
echo "image: the steps of $file hold on $suite"
