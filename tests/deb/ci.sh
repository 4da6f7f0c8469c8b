#!/bin/sh
# ci.sh - the Debian packages: built, looked at, installed on a bare Debian 12, run,
# upgraded, removed.
#
# As root on Debian; installs what it needs.  Closes with `N passed, N failed`.  The bare
# system is made once, in ${XDG_CACHE_HOME:-~/.cache}/prelabel-deb; what happens in it is
# tests/deb/machine.sh, with mounts and processes of its own.
set -u
cd "$(dirname "$0")/../.." || exit 1
top=$PWD
cache=${XDG_CACHE_HOME:-$HOME/.cache}/prelabel-deb
bare=$cache/bookworm-minbase.tar
passed=0
failed=0

ok()   { passed=$((passed + 1)); echo "ok   $1"; }
bad()  { failed=$((failed + 1)); echo "FAIL $1 ${2:+[$2]}"; }
# check NAME COMMAND...
check() {
    name=$1
    shift
    if said=$("$@" 2>&1); then ok "$name"; else bad "$name" "$(echo "$said" | tail -n 8)"; fi
}
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    exit
}
took() { echo "     $1: $(($(date +%s) - $2)) s"; }

[ "$(id -u)" = 0 ] || { bad "needs root, to make a system in a folder"; finish; }
sh deploy/deps.sh install build deb debtest || { bad "what it needs is installed"; finish; }
work=$(mktemp -d "${TMPDIR:-/tmp}/prelabel-deb.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' INT TERM HUP

# ---- built --------------------------------------------------------------------
began=$(date +%s)
check "make deb" make -s deb
took "built, with its tests" "$began"
debs=build/deb
version=$(sed -n 's/^#define PRELABEL_VERSION "\(.*\)"$/\1/p' lib/status.h)
arch=$(dpkg --print-architecture)
prelabel=prelabel_${version}_$arch.deb
[ -f "$debs/$prelabel" ] || { bad "$prelabel is there"; finish; }

check "its tests ran" grep -q '^[1-9][0-9]* passed, 0 failed$' $debs/build.log
flags() {
    lines=$(grep -E '^(cc|gcc) .* -c -o build/(lib|cgi|pic)' $debs/build.log)
    [ -n "$lines" ] || return 1
    ! echo "$lines" | grep -vE -m 1 'ffile-prefix-map=.*-Werror=format-security.*-fstack-clash-protection.*-D_FORTIFY_SOURCE=3'
}
check "compiled with the flags of dpkg-buildflags and those of the Makefile" flags
# Before they are stripped: it looks for functions by name.
check "programs are hardened" env BUILD="$debs/prelabel-$version/build" sh tests/hardening.sh
# Nothing but what is known and overridden, with its reason.
check "lintian has nothing to say" lintian -EviI --pedantic --allow-root \
    --fail-on error,warning,info,pedantic,experimental $debs/*.changes

# ---- built again: another folder, date, umask, locale, time zone, without tests, one
# ---- job, and as dpkg-buildpackage does it, without deploy/deb.sh around it.
again() (
    epoch=$(dpkg-parsechangelog -l "$debs/prelabel-$version/debian/changelog" -S Timestamp)
    SOURCE_DATE_EPOCH=$epoch sh deploy/deb.sh "$work/elsewhere/and/deeper" source &&
        cd "$work/elsewhere/and/deeper/prelabel-$version" || exit 1
    umask 077
    unset SOURCE_DATE_EPOCH MAKEFLAGS MFLAGS MAKELEVEL
    LC_ALL=C.UTF-8 LANG=C.UTF-8 TZ=Pacific/Kiritimati DEB_BUILD_OPTIONS='nocheck parallel=2' HOME=/nonexistent \
        NO_FAKE_STAT=1 faketime -f +400d dpkg-buildpackage -b -us -uc
)
began=$(date +%s)
check "built in another folder, 400 days later" again
took "built again, without tests" "$began"
check "nocheck: no test was built there" test -d "$work/elsewhere/and/deeper/prelabel-$version/build/lib" -a \
    ! -e "$work/elsewhere/and/deeper/prelabel-$version/build/tests"
for f in "$debs"/*.deb; do
    check "${f##*/}: the same bytes" cmp "$f" "$work/elsewhere/and/deeper/${f##*/}"
done

# ---- the next version, as far as an upgrade can see
for p in "$debs"/prelabel_*.deb "$debs"/libprelabel1_*.deb "$debs"/libprelabel-dev_*.deb; do
    dpkg-deb -R "$p" "$work/next" &&
        sed -i "s/^Version: .*/Version: $version+1/; s/(= $version)/(= $version+1)/" "$work/next/DEBIAN/control" &&
        mkdir -p "$work/upgrade" &&
        dpkg-deb -Zgzip -b "$work/next" "$work/upgrade" >/dev/null || bad "made ${p##*/} of the next version"
    rm -rf "$work/next"
done

# ---- a bare Debian 12
bare_make() {
    set -- --quiet --format=tar --variant=minbase --include=ca-certificates
    for f in /etc/apt/apt.conf.d/*proxy*; do [ ! -f "$f" ] || set -- "$@" --aptopt="$f"; done
    for s in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do [ ! -s "$s" ] || break; done
    mmdebstrap "$@" bookworm "$bare.part" "$s" && mv "$bare.part" "$bare"
}
began=$(date +%s)
mkdir -p "$cache/archives"
if [ ! -s "$bare" ]; then check "a bare Debian 12" bare_make; took "made" "$began"; fi
[ -s "$bare" ] || finish
root=$work/root
mkdir "$root"
tar -C "$root" -xf "$bare"
# This machine's way to its package mirror, and nothing else.
rm -rf "$root/etc/apt/sources.list.d" "$root/etc/apt/sources.list"
mkdir -p "$root/etc/apt/sources.list.d" "$root/debs"
cp /etc/apt/sources.list.d/debian.sources "$root/etc/apt/sources.list.d/" 2>/dev/null ||
    cp /etc/apt/sources.list "$root/etc/apt/"
cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp $debs/*.deb "$root/debs/"
mkdir "$root/debs/upgrade"
cp "$work"/upgrade/*.deb "$root/debs/upgrade/"
cp tests/deb/machine.sh "$root/debs/"
mkdir "$root/debs/tests"
cp -R tests/http "$root/debs/tests/"

began=$(date +%s)
# shellcheck disable=SC2016
ROOT=$root CACHE=$cache/archives VERSION=$version unshare --mount --pid --fork --kill-child sh -c '
    mount --make-rprivate / &&
    mount -t proc proc "$ROOT/proc" &&
    mount --rbind /dev "$ROOT/dev" &&
    mount -t tmpfs tmpfs "$ROOT/run" &&
    mount --bind "$CACHE" "$ROOT/var/cache/apt/archives" || exit 1
    exec env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive VERSION="$VERSION" chroot "$ROOT" timeout 700 bash /debs/machine.sh' >"$work/said" 2>&1
status=$?
grep -av '^ok   http: ' "$work/said"
took "on the bare machine" "$began"
passed=$((passed + $(grep -c '^ok   ' "$work/said")))
failed=$((failed + $(grep -c '^FAIL ' "$work/said")))
[ "$status" = 0 ] || grep -q '^FAIL ' "$work/said" || bad "machine.sh came to its end" "exit status $status"
cd "$top" || exit 1
finish
