#!/bin/sh
# ci.sh [SERVER...] - the web servers of deploy/, each through tests/http: the real ones of
# Debian with the fragments as `make install` puts them.  As root on Debian.
#
#   WEB_GROUPS="basics contract"   some groups in place of all
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

# refused NAME COMMAND...: it ends with 2 and says why, as CGI, before it is a program of ours.
refused() {
    name=$1
    shift
    if said=$(env REQUEST_METHOD=GET SCRIPT_NAME=/health MODEL_DIR="$WEB_STAGE/data" "$@" 2>&1); then status=0; else status=$?; fi
    if [ "$status" = 2 ] && echo "$said" | grep -q 'not readable by'; then
        passed=$((passed + 1))
        echo "ok   $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name [$status: $said]"
    fi
}
web=$WEB_STAGE/lib/prelabel/web
install -d -m 700 "$WEB_STAGE/closed"
echo BASIC_AUTH_USER=u >"$WEB_STAGE/closed/prelabel.conf"
refused "settings that are named and not there: no start without the password" PRELABEL_CONF="$WEB_STAGE/none" "$web/status"
refused "settings in a folder that is closed to us: no start either" \
    PRELABEL_CONF="$WEB_STAGE/closed/prelabel.conf" setpriv --reuid=www-data --regid=www-data --clear-groups "$web/status"
printf '  # a comment\r\n\r\n  BASIC_AUTH_USER=u\r\nBASIC_AUTH_PASS=p  \n' >"$WEB_STAGE/crlf.conf"
if env REQUEST_METHOD=GET SCRIPT_NAME=/health MODEL_DIR="$WEB_STAGE/data" HTTP_AUTHORIZATION="Basic $(printf u:p | base64)" \
    PRELABEL_CONF="$WEB_STAGE/crlf.conf" "$web/status" 2>&1 | grep -q '^Status: 200'; then
    passed=$((passed + 1)); echo "ok   settings with CR LF and blanks are what they look like"
else
    failed=$((failed + 1)); echo "FAIL settings with CR LF and blanks are what they look like"
fi
way="lighttpd of one's own"
if tests/ways "$way" 2>"$BUILD/ways.log" | grep -qE "^\| $way \| .* \| [0-9.]+ s \| [0-9]+ MB \|\$"; then
    passed=$((passed + 1)); echo "ok   tests/ways measures a line of README.md's table"
else
    failed=$((failed + 1)); echo "FAIL tests/ways measures a line of README.md's table [$(tail -n 3 "$BUILD/ways.log" | tr '\n' ' ')]"
fi

for server; do
    # shellcheck disable=SC2086
    LIMIT=${LIMIT:-500} python3 -B tests/web/suite.py "$server" $WEB_GROUPS >"$BUILD/web-$server.log" 2>&1 || :
    grep -aE '^(FAIL|skip|#)' "$BUILD/web-$server.log" || :
    # shellcheck disable=SC2046
    set -- $(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3 } END { print p + 0, p + f ? f + 0 : 1 }' "$BUILD/web-$server.log")
    echo "$server: $1 passed, $2 failed"
    passed=$((passed + $1)) failed=$((failed + $2))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
