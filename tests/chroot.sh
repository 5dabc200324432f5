#!/bin/bash
# chroot.sh SUITE [--no-network] COMMAND - runs a shell command as root in a small Debian of
# that SUITE, kept in build/SUITE and made at the first use. Mirror, proxy and keys are those
# of this machine's apt. The mounts, the processes and, with --no-network, the network (a
# loopback of its own, so that no port is ever taken) belong to namespaces that end with the
# command: nothing is left behind, whatever happens. A new one has PACKAGES (make).
set -eu
cd "$(dirname "$0")/.."
suite=$1 root=$PWD/${CHROOT:-build/$1}
shift
namespaces=(--mount --pid --fork --kill-child)
if [ "$1" = --no-network ]; then
    namespaces+=(--net)
    shift
fi
[ "$(id -u)" = 0 ] || { echo "chroot.sh: needs root" >&2; exit 1; }

# "deb URI SUITE main" for the release, its updates and its security fixes, as apt has them here
sources() {
    local here
    here=$(. /etc/os-release && echo "$VERSION_CODENAME")
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        sed -nE "s,^(\S+) $here(-updates|-security|) main\$,deb \1 $suite\2 main,p" | sort -u
}

make_root() {
    local options=() option
    tests/deps.sh chroot
    while read -r option; do
        options+=(--aptopt="$option")
    done < <(apt-config dump --format '%f "%v";%n' Acquire::Check-Date Acquire::Check-Valid-Until \
        Acquire::http::Proxy Acquire::https::Proxy | grep -v '""')
    rm -rf --one-file-system "$root.new"
    mmdebstrap --quiet --mode=root --variant=minbase --include="${PACKAGES:-make}" \
        --aptopt='Acquire::Languages "none";' "${options[@]}" "$suite" "$root.new" - < <(sources)
    mv "$root.new" "$root"
}

mkdir -p build
[ -d "$root" ] || make_root
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts" # an installed Debian has it, this one would not
export root command="$*"
exec unshare "${namespaces[@]}" bash -euc '
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    ip link set lo up
    exec env -i HOME=/root LANG=C.UTF-8 TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "$root" bash -euc "$command"'
