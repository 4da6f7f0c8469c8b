#!/bin/sh
# deb.sh - builds Debian packages of the files of this tree, into FOLDER.
#
#   deploy/deb.sh FOLDER            the packages
#   deploy/deb.sh FOLDER source     the source package's tree alone
#
# The source package is put together in FOLDER/prelabel-VERSION: the tree, with
# deploy/debian/ as debian/ and a changelog of the version in lib/status.h.  Its date, which
# goes into every file, is $SOURCE_DATE_EPOCH, or that of the last commit: the same files
# make the same packages, byte by byte.  DEB_BUILD_OPTIONS (nocheck, noopt, parallel=N) are
# those of Debian's policy.
set -eu
out=${1:?folder}
umask 022
LC_ALL=C
export LC_ALL

version=$(sed -n 's/^#define PRELABEL_VERSION "\(.*\)"$/\1/p' lib/status.h)
abi=$(sed -n 's/^#define MODEL_ABI \([0-9]*\).*/\1/p' lib/models/model.h)
if ! grep -q "^Package: libprelabel$abi\$" deploy/debian/control; then
    echo "deb: MODEL_ABI is $abi, and deploy/debian/ has no libprelabel$abi" >&2
    exit 1
fi

# An export of the tree has no .git; what was built and __pycache__ are none of it.
files() {
    { [ -e .git ] && git ls-files 2>/dev/null; } ||
        find Makefile LICENSE README.md lighttpd.conf cgi lib schema deploy tests -type f \
            ! -path '*/__pycache__/*'
}

epoch() {
    if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
        echo "$SOURCE_DATE_EPOCH"
    else
        { [ -e .git ] && git log -1 --format=%ct 2>/dev/null; } || stat -c %Y lib/status.h
    fi
}

SOURCE_DATE_EPOCH=$(epoch)
export SOURCE_DATE_EPOCH
source=$out/prelabel-$version
rm -rf "$out"
mkdir -p "$source"
# Of the files in git's list some may have been deleted.
files | sort | while read -r f; do [ ! -e "$f" ] || printf '%s\n' "$f"; done |
    tar -c --no-recursion --mode=u=rwX,go=rX -T - | tar -x -C "$source"
mv "$source/deploy/debian" "$source/debian"
sed -e "s|@VERSION@|$version|" -e "s|@DATE@|$(date -u -R -d "@$SOURCE_DATE_EPOCH")|" \
    "$source/debian/changelog.in" >"$source/debian/changelog"
rm "$source/debian/changelog.in"
[ "${2:-}" != source ] || exit 0

# Of a make around this one: its options and variables are none of the package's.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CFLAGS CPPFLAGS LDFLAGS BUILD CC OPT PREFIX DESTDIR
: "${DEB_BUILD_OPTIONS:=}"
case $DEB_BUILD_OPTIONS in *parallel=*) ;; *) DEB_BUILD_OPTIONS="$DEB_BUILD_OPTIONS parallel=$(nproc)" ;; esac
export DEB_BUILD_OPTIONS
(cd "$source" && dpkg-buildpackage -b -us -uc) >"$out/build.log" 2>&1 || {
    tail -n 60 "$out/build.log" >&2
    exit 1
}
ls "$out"/*.deb
