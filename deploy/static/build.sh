#!/bin/sh
# build.sh - one static binary of all programs and the web server: build/static/prelabel.
#
#   deploy/static/build.sh [FOLDER]      (build/static)
#
# Debian's static libraries, and what libs.sh builds, with the hardening of the Makefile.
set -eu
cd "$(dirname "$0")/../.."
. deploy/static/flags.sh
: "${PKG_CONFIG:=pkg-config}"
unset MAKEFLAGS MFLAGS MAKELEVEL        # of a make around this: its variables are not for those below
out=${1:-build/static}
obj=$out/obj
libs="json-c sqlite3 sodium unistring fcgi ssl crypto"
gcc=$(dpkg -S "$(readlink -f "$(gcc -print-libgcc-file-name)")" | cut -d: -f1)
headers="libjson-c-dev libsqlite3-dev libsodium-dev libunistring-dev libfcgi-dev libssl-dev libc6-dev $gcc"
cache=$(CC=$CC MAKE=$MAKE sh deploy/static/libs.sh)

# ---- the binary --------------------------------------------------------------------

programs='predict setup webhook status prelabel'
objects=$(for p in $programs; do echo "$obj/cgi/$p.o"; done)
# By a path that stays, or other versions of other libraries would compile all anew.
mkdir -p "$obj"
ln -sfn "$cache/include" "$obj/include"
# shellcheck disable=SC2086
$MAKE -s -j"$jobs" CC="$CC" BUILD="$obj" PKG_CFLAGS="-I$obj/include $("$PKG_CONFIG" --cflags json-c sqlite3 libsodium)" EXTRA_CFLAGS="$sections" LINK_ALL=yes $objects "$obj/libprelabel.a"
for p in $programs; do
    objcopy --redefine-sym main="${p}_main" "$obj/cgi/$p.o" "$obj/$p.main.o"
done

{
    echo "prelabel is made of the following.  What it is built from and how, deploy/static/build.sh"
    echo "in its sources says; with them it can be linked again with other versions of each part."
    for f in LICENSE:prelabel "$cache"/licences/*; do
        printf '\n\n======== %s ========\n\n' "${f##*[/:]}"
        cat "${f%:prelabel}"
    done
    for p in $headers; do
        printf '\n\n======== %s ========\n\n' "$p"
        cat "/usr/share/doc/$p/copyright"
    done
    for f in Apache-2.0 GPL-2 GPL-3 LGPL-2.1 LGPL-3; do
        printf '\n\n======== /usr/share/common-licenses/%s ========\n\n' "$f"
        cat "/usr/share/common-licenses/$f"
    done
} >"$obj/LICENCES.new"
mv "$obj/LICENCES.new" "$out/LICENCES"

# name=file of all that the binary carries, as program.h's table.
n=0
for f in lighttpd.conf=lighttpd.conf LICENCES="$out/LICENCES" deploy/init/*; do
    case $f in *=*) ;; *) f=init/${f##*/}=$f ;; esac
    n=$((n + 1))
    printf 'DATA(%d, "%s")\nNAME(%d, "%s")\n' "$n" "${f#*=}" "$n" "${f%%=*}"
done >"$obj/files.list"
{
    echo '#include "program.h"'
    cat <<'EOF'
#define DATA(n, path) extern const char file_##n[], file_##n##_end[]; \
    __asm__(".pushsection .rodata\nfile_" #n ": .incbin \"" path "\"\nfile_" #n "_end: .byte 0\n.popsection");
#define NAME(n, name) { name, file_##n, file_##n##_end },
EOF
    grep '^DATA' "$obj/files.list"
    echo 'const struct program_file program_files[] = {'
    grep '^NAME' "$obj/files.list"
    echo '{ NULL, NULL, NULL } };'
} >"$obj/files.c"

for f in deploy/static/main.c "$obj/files.c"; do
    # shellcheck disable=SC2086
    $CC -std=c11 -O2 -g -Wall -Wextra -Werror $harden -D_GNU_SOURCE -Ilib -c -o "$obj/$(basename "$f" .c).o" "$f"
done

# The linker's warnings on getaddrinfo and its like: main.c sees to it that no shared
# library of another libc is ever loaded.
# shellcheck disable=SC2046,SC2086
$CC -static-pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--gc-sections -o "$obj/prelabel.debug" \
    "$obj/main.o" "$obj/files.o" $(for p in $programs; do echo "$obj/$p.main.o"; done) "$cache/lib/lighttpd.o" \
    "$obj/libprelabel.a" "$cache/lib/libcurl.a" "$cache/lib/libxml2.a" \
    -Wl,-Bstatic $(printf -- '-l%s ' $libs) -lcrypt -lm -lpthread 2>"$obj/link.log" || { cat "$obj/link.log" >&2; exit 1; }
strip -o "$out/prelabel.new" "$obj/prelabel.debug"
mv "$out/prelabel.new" "$out/prelabel"

# By these names another web server, or none, calls the programs.
mkdir -p "$out/cgi"
for p in predict setup webhook status; do ln -sfn ../prelabel "$out/cgi/$p"; done
say "$out/prelabel: $(stat -c %s "$out/prelabel") bytes"
