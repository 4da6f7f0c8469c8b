#!/bin/sh
# ci.sh - the static binary: what it is made of, alone in an empty root, and under tests/http.
#
#   tests/static/ci.sh [bare] [http]      (both)        as root, for chroot
#
# http: all of tests/http with the binary in place of build/, then what needs no file of
# the machine once more with the server in an empty root, without /proc, /dev, /etc.
set -eu
cd "$(dirname "$0")/../.."
: "${MAKE:=make}" "${CC:=cc}" "${STATIC:=build/static}"
[ $# -gt 0 ] || set -- bare http
rc=0
for part in "$@"; do
    case $part in
    bare)
        $CC -O2 -static -o "$STATIC/obj/model" tests/static/model.c
        python3 tests/static/bare.py "$STATIC" || rc=1 ;;
    http)
        BUILD=$STATIC python3 tests/http/run.py || rc=1
        # The folders of the tests have the same path in the root and outside: by a mount of
        # our own, since a store is not opened through a symbolic link.
        root=$(mktemp -d) && folders=$(mktemp -d)
        trap 'rm -rf "$root" "$folders"' EXIT
        mkdir -p "$root$folders" "$root/tmp"
        cp "$STATIC/prelabel" "$root/"
        # shellcheck disable=SC2016
        TMPDIR=$folders BUILD=$STATIC HTTP_CMD="chroot $root /prelabel start" unshare -m sh -c \
            'mount --bind "$1" "$2" && exec python3 tests/http/run.py basics predict setup webhook training' \
            sh "$root$folders" "$folders" || rc=1 ;;
    *)  echo "ci.sh: $part is none of bare, http" >&2; exit 2 ;;
    esac
done
exit $rc
