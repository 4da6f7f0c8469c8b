#!/bin/sh
# install.sh - puts what was built into $DESTDIR$PREFIX, and takes away what it put there.
#
#   BUILD=build DESTDIR= PREFIX=/usr/local deploy/install.sh install | uninstall
#
# share/prelabel/manifest lists every file and link, and the folders that are prelabel's
# alone: uninstall goes by it, so that it takes away what was installed, of whichever
# version, and needs no build.
set -eu
: "${BUILD:=build}" "${DESTDIR:=}" "${PREFIX:=/usr/local}" "${LIBDIR:=lib}"
root=$DESTDIR$PREFIX
manifest=share/prelabel/manifest

note() { echo "$1" >>"$root/$manifest"; }

# put MODE FOLDER FILE...
put() {
    mode=$1 folder=$2
    shift 2
    install -d "$root/$folder"
    install -m "$mode" "$@" "$root/$folder"
    for f in "$@"; do note "$folder/${f##*/}"; done
}

# headers FOLDER FILE...: each keeps its folder below lib/
headers() {
    top=$1
    shift
    for h in "$@"; do
        sub=${h#lib/}
        case $sub in
        */*) put 644 "$top/${sub%/*}" "$h" ;;
        *)   put 644 "$top" "$h" ;;
        esac
    done
}

# as MODE FILE NEW: under another name
as() {
    install -d "$root/${3%/*}"
    install -m "$1" "$2" "$root/$3"
    note "$3"
}

link() {
    install -d "$root/${2%/*}"
    ln -sfn "$1" "$root/$2"
    note "$2"
}

# units: systemd's, with the folders they are installed to
units() {
    install -d "$BUILD/systemd"
    for unit in deploy/systemd/*.in; do
        name=${unit##*/}
        name=${name%.in}
        sed -e "s|@BINDIR@|$PREFIX/bin|" -e "s|@LIBEXECDIR@|$PREFIX/lib/prelabel|" "$unit" >"$BUILD/systemd/$name"
        as 644 "$BUILD/systemd/$name" "lib/systemd/system/$name"
    done
    # These two never start a trainer, which is all that needs the key.
    for program in predict status; do
        as 644 deploy/systemd/no-key.conf "lib/systemd/system/prelabel@$program.service.d/no-key.conf"
        note "lib/systemd/system/prelabel@$program.service.d/"
    done
    as 644 deploy/systemd/prelabel.sysusers lib/sysusers.d/prelabel.conf
}

# Headers of ours that the files need, themselves included where they are headers.
needs() {
    # shellcheck disable=SC2086
    for f in "$@"; do echo "#include \"$f\""; done |
        ${CC:-cc} $CPPFLAGS -MM -MT x -x c - | tr -d '\\' | tr ' ' '\n' | grep '^lib/.*\.h$' | sort
}

uninstall() {
    if [ ! -f "$root/$manifest" ]; then
        echo "uninstall: $root/$manifest is not there: nothing was installed by make install" >&2
        return 0
    fi
    # The folders come last, the deepest first; of others' files in them nothing is touched.
    files=$(grep -v '/$' "$root/$manifest")
    folders=$(grep '/$' "$root/$manifest" | sort -r)
    for f in $files; do rm -f "$root/$f"; done
    for f in $folders; do
        [ ! -d "$root/$f" ] || rmdir "$root/$f" 2>/dev/null || echo "uninstall: $root/$f is not empty: left" >&2
    done
}

# For a web server of one's own: what it starts, a file each since mod_fcgid tells programs
# apart by their inodes, and the fragments of its configuration.
web() {
    for f in predict setup webhook status; do as 755 deploy/web/program "lib/prelabel/web/$f"; done
    for f in lighttpd/prelabel.conf apache/prelabel-fcgid.conf apache/prelabel-cgid.conf nginx/prelabel.conf nginx/prelabel-fcgi; do
        sed "s|/usr/lib/prelabel|$PREFIX/lib/prelabel|g" "deploy/$f" >"$BUILD/${f##*/}.installed"
        mode=644
        [ ! -x "deploy/$f" ] || mode=755
        as "$mode" "$BUILD/${f##*/}.installed" "share/prelabel/web/$f"
    done
}

install_all() {
    # Of an older version nothing stays.
    [ ! -f "$root/$manifest" ] || uninstall
    install -d "$root/share/prelabel"
    : >"$root/$manifest"
    version=$(sed -n 's/^#define PRELABEL_VERSION "\(.*\)"$/\1/p' lib/status.h)
    so=$(basename "$(ls "$BUILD"/libprelabel.so.*)")

    # One folder laid out like build/, so that a program finds the others beside it.
    put 755 lib/prelabel "$BUILD/prelabel"
    put 755 lib/prelabel/cgi "$BUILD/cgi/predict" "$BUILD/cgi/setup" "$BUILD/cgi/webhook" "$BUILD/cgi/status"
    put 644 lib/prelabel "$BUILD/lighttpd.conf"
    link ../../share/prelabel/init lib/prelabel/init
    link ../lib/prelabel/prelabel bin/prelabel

    put 644 "$LIBDIR" "$BUILD/libprelabel.a"
    put 755 "$LIBDIR" "$BUILD/$so"
    link "$so" "$LIBDIR/libprelabel.so"

    # For models: what lib/models may include.  For programs with models: the rest that cgi/ needs.
    public=$(needs models/model.h models/chooser.h base/json.h base/log.h base/clock.h \
                   $(cd lib && ls text/*.h learn/*.h) | grep -v kernels_body)
    # shellcheck disable=SC2086
    headers include/prelabel $public
    put 644 share/prelabel/cgi cgi/*.c
    # shellcheck disable=SC2046
    headers share/prelabel/cgi $(needs $(sed -n 's/^#include "\(.*\)"/\1/p' cgi/*.c | sort -u) |
        grep -vxF "$public")
    put 644 share/prelabel "$BUILD/model_table.c"
    put 644 share/prelabel/init "$BUILD"/init/*
    put 644 share/prelabel/schema schema/*.sql

    web

    # Found by where it lies itself: a DESTDIR or a moved PREFIX is right, too.
    up=$(echo "$LIBDIR/pkgconfig" | sed 's|[^/][^/]*|..|g')
    # shellcheck disable=SC2016
    sed -e "s|@VERSION@|$version|" -e "s|@PREFIX@|\${pcfiledir}/$up|" -e "s|@LIBDIR@|\${prefix}/$LIBDIR|" \
        -e 's|@INCLUDEDIR@|${prefix}/include/prelabel|' -e 's|@CGIDIR@|${prefix}/share/prelabel/cgi|' \
        -e 's|@TABLE@|${prefix}/share/prelabel/model_table.c|' -e "s|@LIBS@|$LIBS|" deploy/prelabel.pc.in >"$BUILD/prelabel.pc.installed"
    as 644 "$BUILD/prelabel.pc.installed" "$LIBDIR/pkgconfig/prelabel.pc"

    for page in "$BUILD"/man/*.[0-9]; do
        put 644 "share/man/man${page##*.}" "$page"
    done
    as 644 deploy/completion/prelabel.bash share/bash-completion/completions/prelabel
    as 644 deploy/completion/prelabel.zsh share/zsh/site-functions/_prelabel
    units

    (cd "$root" && find lib/prelabel include/prelabel share/prelabel -type d | sed 's|$|/|') >>"$root/$manifest"
    note "$manifest"
}

case ${1:-} in
install)   install_all ;;
uninstall) uninstall ;;
*)         echo "usage: deploy/install.sh install|uninstall" >&2; exit 2 ;;
esac
