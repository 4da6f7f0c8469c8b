#!/bin/sh
# ci.sh - /metrics and /livez of the real programs, and the files of deploy/prometheus, by
# Prometheus' own promtool.
#
# promtool: PROMTOOL, or the one of PATH, or taken out of Debian's package prometheus
# (19 MB, into E2E_CACHE), which is not installed: nothing is started and nothing of it
# stays.  Where there is neither, what needs it is a failure.
set -eu
: "${BUILD:=build}" "${E2E_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/prelabel-e2e}" "${PROMTOOL:=}"
here=$(dirname "$0")
mkdir -p "$E2E_CACHE"
cache=$(cd "$E2E_CACHE" && pwd)/promtool

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

take_out() {
    new=$(mktemp -d "$cache.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    cd "$new"
    { apt-get -q download prometheus || { as_root apt-get -q update; apt-get -q download prometheus; }; } >&2
    dpkg -x prometheus_*.deb tree
    mv tree/usr/bin/promtool "$cache"
}

if [ -z "$PROMTOOL" ] && ! PROMTOOL=$(command -v promtool); then
    [ -x "$cache" ] || (take_out) || echo "metrics: promtool can't be had" >&2
    PROMTOOL=$cache
fi
export BUILD PROMTOOL
exec python3 -u "$here/check.py"
