#!/bin/bash
# build.sh [PROGRAM [DIRECTORY]] - makes gateway_VERSION_ARCH.deb from a built program (build/gateway)
# into a directory (build). What it depends on is read from the program; dates are those of the last
# commit, so that the same tree gives the same package; DEBFULLNAME and DEBEMAIL name the maintainer. Nothing is enabled or started by it:
#
#   apt install ./build/gateway_*.deb && systemctl enable --now gateway
#
# /etc/gateway/gateway.json is a conffile: an upgrade asks before it touches a changed one.
set -eu
umask 022
cd "$(dirname "$0")/../.."
program=$(realpath "${1:-build/gateway}") out=$(realpath "${2:-build}")
version=$("$program" --version | sed -n 's/^gateway //p')
arch=$(dpkg --print-architecture)
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH
maintainer="${DEBFULLNAME:-Gateway maintainers} <${DEBEMAIL:-maintainers@gateway.example}>"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root doc=$work/root/usr/share/doc/gateway

install -D -m 755 "$program" "$root/usr/bin/gateway"
strip --remove-section=.comment --remove-section=.note "$root/usr/bin/gateway"
install -D -m 644 config/gateway.json "$root/etc/gateway/gateway.json"
install -D -m 644 -t "$root/lib/systemd/system" config/systemd/gateway.socket
config/systemd/unit.sh | install -m 644 /dev/stdin "$root/lib/systemd/system/gateway.service"
install -D -m 644 -t "$doc" README.md
install -D -m 644 config/README.md "$doc/configuration.md"
install -D -m 644 config/deb/copyright "$doc/copyright"
sed -i "s/@YEAR@/$(date -ud "@$SOURCE_DATE_EPOCH" +%Y)/" "$doc/copyright"
install -D -m 644 config/deb/lintian "$root/usr/share/lintian/overrides/gateway"
install -D -m 644 config/deb/gateway.1 "$root/usr/share/man/man1/gateway.1"
sed "s/@VERSION@/$version/; s/@MAINTAINER@/$maintainer/; s/@DATE@/$(date -Rud "@$SOURCE_DATE_EPOCH")/" \
    config/deb/changelog >"$doc/changelog"
gzip -9n "$doc/changelog" "$root/usr/share/man/man1/gateway.1"

# dpkg-shlibdeps wants the tree of a source package
mkdir -p "$work/debian"
printf 'Source: gateway\n\nPackage: gateway\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$root/usr/bin/gateway" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "build.sh: dpkg-shlibdeps found no dependencies" >&2; exit 1; }

mkdir "$root/DEBIAN"
echo /etc/gateway/gateway.json >"$root/DEBIAN/conffiles"
install -m 755 -t "$root/DEBIAN" config/deb/postinst config/deb/prerm config/deb/postrm
size=$(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f1)
sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/; s/@DEPENDS@/$depends/; s/@MAINTAINER@/$maintainer/" \
    config/deb/control >"$root/DEBIAN/control"
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build -Zxz "$root" "$out/gateway_${version}_$arch.deb" >/dev/null
echo "$out/gateway_${version}_$arch.deb"
