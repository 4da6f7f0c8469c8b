#!/bin/sh
# deps.sh - finds what prelabel is built from and run with, installs what is missing.
#
#   deploy/deps.sh check   [--make FILE] SET...   names what is missing; exit status 1 if anything is
#   deploy/deps.sh install [--make FILE] SET...   installs it by apt (with sudo where needed); where
#                                                 there is no apt, the same as check
#
# SET: build (compiler, libraries, lighttpd), test, e2e, bench, ci, static, deb, fuzz and check (for the
# targets of these names, check for analyze and memcheck); and what only the tests of a way of running want: systemd, web (other
# web servers), debtest.  --make FILE: writes what the Makefile needs of the set "build":
# compiler and linker flags, and the files they rest on, so that later runs have to look at
# nothing but those.
#
# Installing a web server leaves none on port 80: its package would start and enable a
# service of its own, which is refused while it is installed and disabled afterwards,
# unless it was there before.  DEPS_ROOT (tests): the root of the file system.
set -eu
: "${CC:=cc}" "${PKG_CONFIG:=pkg-config}" "${DEPS_ROOT:=}"
PATH=$PATH:$DEPS_ROOT/usr/local/sbin:$DEPS_ROOT/usr/sbin:$DEPS_ROOT/sbin
export PATH

# set, Debian package, how it is found, what
table() {
    cat <<EOF
build gcc              cmd cc
build libc6-dev        inc stdio.h
build pkg-config       cmd $PKG_CONFIG
build libfcgi-dev      inc fcgiapp.h
build libunistring-dev inc unicase.h
build libjson-c-dev    pc  json-c
build libsqlite3-dev   pc  sqlite3
build libxml2-dev      pc  libxml-2.0
build libsodium-dev    pc  libsodium
build libcurl4-openssl-dev pc libcurl
build lighttpd         cmd lighttpd
test  libcmocka-dev    inc cmocka.h
test  binutils         cmd readelf
test  python3          cmd python3
test  curl             cmd curl
test  sqlite3          cmd sqlite3
test  mandoc           cmd mandoc
test  groff-base       cmd groff
test  python3-venv     py  ensurepip
test  strace           cmd strace
test  faketime         cmd faketime
static openssl         cmd openssl
static dpkg-dev        cmd dpkg-source
static libssl-dev      pc  libssl
bench wrk              cmd wrk
bench python3          cmd python3
bench python3-venv     py  ensurepip
bench liblinear-tools  cmd liblinear-train
e2e   python3          cmd python3
e2e   python3-venv     py  ensurepip
e2e   curl             cmd curl
systemd systemd        cmd systemd-socket-activate
systemd python3-seccomp dpkg python3-seccomp
systemd strace         cmd strace
systemd python3        cmd python3
systemd nginx-light    cmd nginx
web   apache2          cmd apache2
web   libapache2-mod-fcgid file /usr/lib/apache2/modules/mod_fcgid.so
web   nginx-light      cmd nginx
web   spawn-fcgi       cmd spawn-fcgi
web   multiwatch       cmd multiwatch
deb   build-essential  dpkg build-essential
deb   debhelper        cmd dh
deb   libcmocka-dev    inc cmocka.h
deb   python3          cmd python3
debtest lintian        cmd lintian
debtest mmdebstrap     cmd mmdebstrap
debtest faketime       cmd faketime
debtest curl           cmd curl
fuzz  clang            cmd clang
fuzz  libclang-rt-14-dev rt clang
check valgrind         cmd valgrind
check cppcheck         cmd cppcheck
ci    clang            cmd clang
ci    clang-tidy       cmd clang-tidy
EOF
    # A compiler of one's own choice, as in make CC=clang.
    case $CC in cc | gcc) ;; *) echo "build $CC cmd $CC" ;; esac
}

# The file of an include, as the compiler finds it.
header() { echo "#include <$1>" | ${CC%% *} -E - 2>/dev/null | sed -n "s|^# 1 \"\\(/.*/$1\\)\".*|\\1|p" | head -n 1; }

# The file that shows it is there; status 1: it is not.
found() {
    case $1 in
    cmd) command -v "$2" ;;
    inc) header "$2" | grep . ;;
    pc)  "$PKG_CONFIG" --exists "$2" 2>/dev/null && echo "$("$PKG_CONFIG" --variable=pcfiledir "$2")/$2.pc" ;;
    dpkg) installed "$2" ;;
    file) [ -e "$DEPS_ROOT$2" ] && echo "$DEPS_ROOT$2" ;;
    rt)  for f in "$("$2" -print-runtime-dir 2>/dev/null)"/libclang_rt.fuzzer*.a; do [ -e "$f" ] && echo "$f" && break; done ;;
    py)  python3 -c "import $2" 2>/dev/null ;;
    esac
}

# Names of the packages that are missing of the sets $*, one a line.
missing() {
    table | while read -r set package how what; do
        case " $* " in *" $set "*) ;; *) continue ;; esac
        found "$how" "$what" >/dev/null || echo "$package"
    done | awk '!seen[$0]++'
}

write_make() {
    web='json-c sqlite3 libxml-2.0 libsodium'
    # shellcheck disable=SC2086
    {
        echo "# Written by deploy/deps.sh; make clean removes it."
        echo "PKG_CFLAGS    := $("$PKG_CONFIG" --cflags $web libcurl)"
        echo "PKG_WEB_LIBS  := $("$PKG_CONFIG" --libs $web)"
        echo "PKG_TOOL_LIBS := $("$PKG_CONFIG" --libs $web libcurl)"
        case $(${CC%% *} -dumpmachine) in
        x86_64* | i?86*) echo "HARDEN_CPU    := -fcf-protection" ;;
        aarch64*)        echo "HARDEN_CPU    := -mbranch-protection=standard" ;;
        *)               echo "HARDEN_CPU    :=" ;;
        esac
        printf 'DEPS_FILES    :='
        table | while read -r set package how what; do
            case $set in build) printf ' %s' "$(found "$how" "$what")" ;; esac
        done
        echo
    } >"$1.new"
    mv "$1.new" "$1"
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Not only now: the package enabled it for the next boot too.
disable_service() {     # SERVICE
    if command -v systemctl >/dev/null; then
        # Where systemd isn't running (a container), the second takes the links away.
        systemctl disable --now "$1.service" || systemctl disable "$1.service" || true
    elif command -v update-rc.d >/dev/null; then
        ! command -v invoke-rc.d >/dev/null || invoke-rc.d "$1" stop || true
        update-rc.d "$1" disable || true
    fi
}

# As root.  policy-rc.d is what Debian's packages ask before they start a service; one
# that is there already is the administrator's and stays.
apt_install() {
    policy=$DEPS_ROOT/usr/sbin/policy-rc.d
    new='' rc=0
    for package in lighttpd:lighttpd apache2:apache2 nginx-light:nginx; do
        case " $* " in *" ${package%:*} "*) installed "${package%:*}" || new="$new $package" ;; esac
    done
    if [ -n "$new" ] && [ ! -e "$policy" ]; then
        # shellcheck disable=SC2064
        trap "rm -f '$policy'" EXIT
        trap 'exit 1' INT TERM HUP
        # shellcheck disable=SC2016
        printf '#!/bin/sh\ncase $1 in lighttpd | apache2 | nginx | lighttpd.service | apache2.service | nginx.service) exit 101 ;; esac\n' >"$policy"
        chmod 755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    options='-q -y --no-install-recommends -o DPkg::Lock::Timeout=120'
    # Without fresh lists a machine may still have what it needs in its cache.
    apt-get -q -o DPkg::Lock::Timeout=120 update || echo "deps: apt-get update failed; trying all the same" >&2
    # shellcheck disable=SC2086
    apt-get $options install "$@" || rc=$?
    for package in $new; do ! installed "${package%:*}" || disable_service "${package#*:}"; done
    return "$rc"
}

action=${1:?check or install}
shift
file=
if [ "${1:-}" = --make ]; then file=$2; shift 2; fi

if [ "$action" = apt ]; then          # ourselves, by way of sudo
    apt_install "$@"
    exit 0
fi

names=$(missing "$@" | tr '\n' ' ')
names=${names% }
if [ -n "$names" ] && [ "$action" = install ] && command -v apt-get >/dev/null; then
    echo "deps: installing $names" >&2
    if [ "$(id -u)" = 0 ]; then
        # shellcheck disable=SC2086
        (apt_install $names) >&2
    elif command -v sudo >/dev/null; then
        # shellcheck disable=SC2086
        sudo sh "$0" apt $names >&2
    else
        echo "deps: root is needed for it, and there is no sudo; as root: apt-get install $names" >&2
        exit 1
    fi
    names=$(missing "$@" | tr '\n' ' ')
    names=${names% }
fi
if [ -n "$names" ]; then
    echo "deps: missing: $names (the names are Debian's)" >&2
    if [ "$action" = check ]; then
        echo "deps: on Debian and Ubuntu, make deps installs them" >&2
    elif ! command -v apt-get >/dev/null; then
        echo "deps: there is no apt-get here: install them with the system's own tool, then run make again" >&2
    fi
    exit 1
fi
[ -z "$file" ] || write_make "$file"
