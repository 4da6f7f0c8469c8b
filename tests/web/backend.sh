#!/bin/sh
# backend.sh SERVER - a command for BACKEND_CMD of tests/e2e: one of the web servers, from
# what `make install` puts into a folder of this run.  As root on Debian.
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}"
sh deploy/deps.sh install build test web
# The web server's user has to reach the programs, and the checkout may be root's alone.
WEB_STAGE=$(mktemp -d)
chmod 755 "$WEB_STAGE"
export WEB_STAGE
trap 'rm -rf "$WEB_STAGE"' EXIT
# The group gets the signal: serve.py ends by it, then this.
trap : INT TERM
make -s BUILD="$BUILD" PREFIX="$WEB_STAGE" install >&2
python3 -B tests/web/serve.py "$1"
