#!/bin/sh
# libs.sh - what of the static binary is built from Debian's source packages.
#
#   deploy/static/libs.sh        prints the folder: lib/, include/, licences/
#
# libcurl: Debian's .a needs LDAP, Kerberos and more, of which there are no .a; here HTTP(S)
# only.  libxml2: its .a needs ICU, 30 MB; here the SAX parser only.  lighttpd: one object,
# for the binary to be its own web server.
#
# Kept in $XDG_CACHE_HOME/prelabel-static, under a key of these scripts, the compiler and the
# versions, which are those of the packages that are installed here: what this machine
# has of security updates is in its next binary.
set -eu
cd "$(dirname "$0")/../.."
. deploy/static/flags.sh
version() { dpkg-query -W -f '${source:Version}' "$1"; }
# Debian's patches make configure younger than what it is made from: it is good as it is.
as_it_is='AUTOCONF=: AUTOMAKE=: ACLOCAL=: AUTOHEADER=:'

lighttpd=$(version lighttpd) curl=$(version libcurl4-openssl-dev) libxml2=$(version libxml2-dev)
key=$({ cat deploy/static/libs.sh deploy/static/flags.sh; $CC --version; echo "$lighttpd $curl $libxml2"
        version libssl-dev; version libc6-dev; } | sha256sum | cut -c 1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/prelabel-static/$key

# ---- the three packages ----------------------------------------------------------

# apt as this machine has it, with the sources of the packages it already reads: in a
# folder of ours, so that nothing of the machine's apt changes, and without root.
apt() {
    program=$1
    shift
    "$program" -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/apt/sources" \
        -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}

lists() {
    mkdir -p "$work/apt/sources" "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    # shellcheck disable=SC1091
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # Other people's archives have suites of other names.
    for f in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$f" ] || { grep -v '^#' "$f"; echo; }
    done | awk -v RS= -v suite="$codename" '
        $0 ~ "(^|\n)Suites:[^\n]*[ \t]" suite "([ \t\n-]|$)" {
            sub(/(^|\n)Types:[^\n]*/, "\nTypes: deb-src"); print; print "" }' >"$work/apt/sources/debian.sources"
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -f "$f" ] || cat "$f"
    done | awk -v suite="$codename" '
        $1 == "deb" { at = 2; if ($2 ~ /^\[/) { while ($at !~ /\]$/) at++; at++ }
                      if ($(at + 1) ~ "^" suite "(-|$)") { sub(/deb/, "deb-src"); print } }' >"$work/apt/sources/debian.list"
    apt apt-get update >&2
}

# unpack PACKAGE VERSION: unpacked as $work/PACKAGE.  A mirror keeps the newest only.
unpack() {
    mkdir -p "$work/dl/$1"
    (cd "$work/dl/$1" &&
        { apt apt-get source "$1=$2" || { say "$1 $2 is not there any more: the newest"; apt apt-get source "$1"; }; }) >&2
    mv "$work/dl/$1/$1"-*/ "$work/$1"
    cp "$work/$1/debian/copyright" "$work/keep/licences/$1"
}

# One source file after another would be half as fast.
compile() {                  # FLAGS, names on standard input, from $PWD into o/
    mkdir -p o
    xargs -P "$jobs" -I{} sh -c "f={}; $CC $1 -c -o o/\$(echo \"\${f%.c}\" | tr / _).o $2/\$f"
}

build_lighttpd() {
    cd "$work/lighttpd"
    LIGHTTPD_STATIC=yes ./configure -q --disable-shared --without-pcre2 --without-zlib --without-bzip2 \
        --without-brotli --without-zstd CFLAGS="-Os $harden $sections"
    cd src
    # Those of the configuration, and the three that lighttpd adds to every one.
    modules='mod_fastcgi mod_indexfile mod_dirlisting mod_staticfile'
    for m in $modules; do echo "PLUGIN_INIT($m)"; done >plugin-static.h
    # shellcheck disable=SC2016,SC2086
    { printf 'include Makefile\nlist:\n\t@printf "%%s\\n" $(src)\n' | $MAKE -s $as_it_is -f - list
      for m in $modules; do echo "$m.c"; done; } |
        compile "-std=gnu11 -Os $harden $sections -DHAVE_CONFIG_H -DLIGHTTPD_STATIC -DLIBRARY_DIR='\"\"' \
                 -DSBIN_DIR='\"\"' -I. -I.. -w" .
    # One object with one name to the outside: others of its names are ours too.  Its
    # way to /dev/null is replaced (main.c).
    ld -r -o all.o o/*.o
    objcopy --redefine-sym main=lighttpd_main all.o
    objcopy --keep-global-symbol=lighttpd_main --keep-global-symbol=fdevent_open_devnull \
        --weaken-symbol=fdevent_open_devnull all.o "$work/keep/lib/lighttpd.o"
}

build_libxml2() {
    cd "$work/libxml2"
    ./configure -q --disable-shared --with-minimum --with-sax1 --with-threads --without-python --without-lzma --without-zlib \
        CFLAGS="-Os $harden $sections"
    # shellcheck disable=SC2086
    $MAKE -s -j"$jobs" $as_it_is libxml2.la
    cp .libs/libxml2.a "$work/keep/lib"
    mkdir -p "$work/keep/include/libxml"
    cp include/libxml/*.h "$work/keep/include/libxml"
}

# Certificates: where OpenSSL looks ($SSL_CERT_FILE, $SSL_CERT_DIR).  No openssl.cnf: it
# may name shared libraries.
build_curl() {
    cd "$work/curl"
    no=
    for f in ldap ldaps ftp file rtsp dict telnet tftp pop3 imap smb smtp gopher mqtt manual ntlm cookies doh \
             mime netrc alt-svc hsts websockets tls-srp unix-sockets libcurl-option crypto-auth progress-meter \
             get-easy-options dnsshuffle ares openssl-auto-load-config symbol-hiding; do no="$no --disable-$f"; done
    for f in zlib brotli zstd libpsl libidn2 nghttp2 librtmp libssh2 ca-bundle ca-path; do no="$no --without-$f"; done
    # shellcheck disable=SC2086
    ./configure -q --disable-shared --with-openssl --with-ca-fallback --enable-threaded-resolver $no \
        CFLAGS="-Os $harden $sections"
    # shellcheck disable=SC2086
    $MAKE -s -j"$jobs" $as_it_is -C lib libcurl.la
    cp lib/.libs/libcurl.a "$work/keep/lib"
    mkdir -p "$work/keep/include/curl"
    cp include/curl/*.h "$work/keep/include/curl"
}

if [ ! -d "$cache" ]; then
    mkdir -p "${cache%/*}"
    work=$(mktemp -d "${cache%/*}/new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    mkdir -p "$work/keep/lib" "$work/keep/include" "$work/keep/licences"
    say "lighttpd $lighttpd, curl $curl, libxml2 $libxml2 are built from source, once"
    lists
    unpack lighttpd "$lighttpd"
    unpack curl "$curl"
    unpack libxml2 "$libxml2"
    pids=
    for p in lighttpd libxml2 curl; do
        (build_$p) >"$work/$p.log" 2>&1 &
        pids="$pids $p:$!"
    done
    failed=
    for p in $pids; do
        wait "${p#*:}" || { tail -n 40 "$work/${p%:*}.log" >&2; failed="$failed ${p%:*}"; }
    done
    [ -z "$failed" ] || { say "can't be built:$failed"; exit 1; }
    mv "$work/keep" "$cache" 2>/dev/null || [ -d "$cache" ]      # another build was quicker
fi
echo "$cache"
