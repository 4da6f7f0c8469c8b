#!/bin/sh
# ci.sh [SERVER...] - the web servers of deploy/, each through tests/http: the real ones of
# Debian with the fragments as `make install` puts them.  As root on Debian.
#
#   WEB_GROUPS="basics contract"   some groups instead of those that are usual for a server
#
# lighttpd, apache-fcgid, apache-cgid, nginx.  No service of the distribution is started.
# Closes with `N passed, N failed`.
set -eu
cd "$(dirname "$0")/../.."
[ $# != 0 ] || set -- apache-fcgid nginx lighttpd apache-cgid
: "${BUILD:=build}" "${WEB_GROUPS:=}"
export BUILD

sh deploy/deps.sh install build test web
make -s all >/dev/null
# The web server's user has to reach the programs, and the checkout may be root's alone.
WEB_STAGE=$(mktemp -d)
chmod 755 "$WEB_STAGE"
trap 'rm -rf "$WEB_STAGE"' EXIT
trap 'exit 1' INT TERM HUP
export WEB_STAGE
make -s BUILD="$BUILD" PREFIX="$WEB_STAGE" install >/dev/null

passed=0 failed=0
for server; do
    # All for two of them.  The others differ in how a program is started and what the web
    # server refuses, which these groups are about.
    case $server in
    apache-fcgid | nginx) groups= ;;
    *)                    groups='basics contract webhook status' ;;
    esac
    # shellcheck disable=SC2086
    python3 -B tests/web/suite.py "$server" ${WEB_GROUPS:-$groups} >"$BUILD/web-$server.log" 2>&1 || :
    grep -aE '^(FAIL|skip|#)' "$BUILD/web-$server.log" || :
    # shellcheck disable=SC2046
    set -- $(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3 } END { print p + 0, p + f ? f + 0 : 1 }' "$BUILD/web-$server.log")
    echo "$server: $1 passed, $2 failed"
    passed=$((passed + $1)) failed=$((failed + $2))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
