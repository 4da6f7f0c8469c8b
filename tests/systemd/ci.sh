#!/bin/sh
# ci.sh - the units as they are installed, by systemd's own tools, and run.
#
#   BUILD=build tests/systemd/ci.sh        from the root of the tree
#
# Installs into a folder, with what systemd itself has there, so that it can check the
# whole; then live.py runs the programs as the units say, and boot.sh has systemd itself
# do it, where that can be had.  Needs the set "systemd" of deploy/deps.sh and installs it.
# Closes with `N passed, N failed`.
set -eu
: "${BUILD:=build}"
prefix=/usr/local
threshold=25        # tenths: R26 wants 2.5 at most
sh deploy/deps.sh install build systemd >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
chmod 711 "$work"   # the programs run as another user
dest=$work/dest
units=$dest$prefix/lib/systemd/system
passed=0
failed=0

ok()   { passed=$((passed + 1)); echo "ok   $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1 [$(tr '\n' ' ' | cut -c 1-1500)]"; }

# check NAME COMMAND...: its status is the answer, what it says the detail
check() {
    name=$1
    shift
    if "$@" >"$work/out" 2>&1; then ok "$name"; else fail "$name" <"$work/out"; fi
}

# silent COMMAND...: verify ends with 0 after a mere warning
silent() {
    "$@" >"$work/said" 2>&1 || echo "status $?" >>"$work/said"
    cat "$work/said"
    [ ! -s "$work/said" ]
}

no_placeholder() { ! grep -rn '@[A-Z]*@' "$units" "$dest$prefix/lib/sysusers.d"; }

nothing_left() {
    make -s uninstall BUILD="$BUILD" DESTDIR="$dest" PREFIX=$prefix
    ! find "$dest$prefix" ! -type d | grep . && ! find "$dest$prefix" -name 'prelabel*' | grep .
}

check "make install" make -s install BUILD="$BUILD" DESTDIR="$dest" PREFIX=$prefix
check "no placeholder is left" no_placeholder

# What the units refer to: targets, and the web server's group.
mkdir -p "$dest/usr/lib/systemd" "$dest/etc"
for at in /usr/lib/systemd/system /lib/systemd/system; do
    if [ -d "$at" ]; then cp -R "$at" "$dest/usr/lib/systemd/"; break; fi
done
getent passwd root >"$dest/etc/passwd"
getent group root www-data >"$dest/etc/group"

for unit in prelabel.service prelabel@predict.socket prelabel@setup.socket prelabel@webhook.socket prelabel@status.socket \
            prelabel@predict.service prelabel@setup.service prelabel@webhook.service prelabel@status.service \
            prelabel-train.service prelabel-train.timer; do
    check "verify: $unit" silent systemd-analyze --root="$dest" --man=no --recursive-errors=one verify "$unit"
done
for unit in prelabel.service prelabel@predict.service prelabel@webhook.service prelabel-train.service; do
    check "security: $unit" systemd-analyze --root="$dest" --offline=yes --threshold=$threshold security "$unit"
    grep 'Overall exposure' "$work/out" | sed 's/.*Overall/     Overall/; s/ [^ ]*$//' || true
done
check "sysusers.d: the account is made" systemd-sysusers --root="$dest"
check "sysusers.d: its home, no login" grep -q '^prelabel:.*:/var/lib/prelabel:.*/nologin$' "$dest/etc/passwd"
for program in predict status; do
    check "$program is not given the key" grep -q 'UnsetEnvironment=.*LABEL_STUDIO_API_KEY' "$units/prelabel@$program.service.d/no-key.conf"
done
check "nothing but the journal is written to: the socket is descriptor 0 alone" \
    awk '/^Standard(Output|Error)=journal$/ { n++ } /^StandardInput=socket$/ { n++ } END { exit n != 3 }' "$units/prelabel@.service"

# more NAME COMMAND...: a program with checks of its own
more() {
    name=$1
    shift
    "$@" >"$work/more" 2>&1 || true
    grep -v ' passed, ' "$work/more" || true
    if sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/more" | tail -n 1) && [ -n "$sum" ]; then
        passed=$((passed + ${sum%% *}))
        sum=${sum#*, }
        failed=$((failed + ${sum%% *}))
    else
        echo "did not come to its end" | fail "$name"
    fi
}
more live python3 -u tests/systemd/live.py "$dest" $prefix
[ "$(id -u)" != 0 ] || more boot sh tests/systemd/boot.sh "$dest" $prefix

check "make uninstall takes the units away" nothing_left
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
