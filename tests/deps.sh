#!/bin/bash
# deps.sh GROUP... - installs the Debian packages that a group of make targets needs.
# Groups: build, run, check, test, bench, chroot, deb. Quick and without network when all is there.
# Works on Debian 12 and 13. "package=command" counts as there when the command is,
# however it came. Without root or sudo it names what is missing and fails.
set -eu

packages_of() {
    case $1 in
    build) echo gcc libc6-dev libcrypt-dev make pkg-config=pkg-config libmicrohttpd-dev libcurl4-openssl-dev=curl-config \
        libcjson-dev libuv1-dev libgnutls28-dev libssl-dev zlib1g-dev libbrotli-dev libzstd-dev libhiredis-dev \
        libjpeg62-turbo-dev libpng-dev libwebp-dev ;;
    check) echo clang clang-format=clang-format clang-tidy=clang-tidy cppcheck universal-ctags libcmocka-dev \
        nodejs=node npm=npm ;;
    test)  echo clang libclang-rt-dev libcmocka-dev varnish=varnishtest ca-certificates curl jq nodejs=node \
        npm=npm openssl python3 python3-pil python3-numpy prometheus=promtool prometheus-alertmanager=amtool wrk=wrk redis-server=redis-server \
        prometheus-redis-exporter=prometheus-redis-exporter chromium=chromium docker-compose=docker-compose ;;
    run)   echo ca-certificates curl ;;
    chroot) echo mmdebstrap=mmdebstrap iproute2=ip debian-archive-keyring ;;
    deb)   echo dpkg-dev=dpkg-shlibdeps binutils=strip lintian=lintian ;;
    bench) echo libcmocka-dev wrk=wrk nginx-light=nginx haproxy=haproxy varnish=varnishd redis-server=redis-server \
        libnginx-mod-http-lua lua-nginx-redis ;;
    *)     echo "deps.sh: no group '$1'" >&2; exit 2 ;;
    esac
}

is_there() {
    local package=${1%%=*} command=${1#*=}
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
        { [ "$command" != "$1" ] && PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null; }
}

missing=()
for group in "$@"; do
    for item in $(packages_of "$group"); do
        is_there "$item" || missing+=("${item%%=*}")
    done
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
    sudo=()
elif sudo -n true 2>/dev/null; then
    sudo=(sudo -n)
else
    echo "These packages are missing, and installing them needs root:" >&2
    echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}"

# Debian starts a service when its package is installed. policy-rc.d says no for now,
# and what came new is disabled, so that it does not start with the machine either.
guard=/usr/sbin/policy-rc.d
if [ ! -e $guard ]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $guard >/dev/null
    "${sudo[@]}" chmod 755 $guard
    trap '"${sudo[@]}" rm -f $guard' EXIT
fi
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
for package in "${missing[@]}"; do
    case $package in prometheus | prometheus-alertmanager | prometheus-redis-exporter | varnish | nginx-light | haproxy | redis-server)
        ! command -v systemctl >/dev/null ||
            "${sudo[@]}" systemctl disable -q "${package%-light}" 2>/dev/null || true ;;
    esac
done
