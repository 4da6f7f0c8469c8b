#!/bin/sh
# run.sh - README.md is true: its settings are those of `prelabel env`, its commands run.
# Called from the root of the tree, with BUILD.
set -u
: "${BUILD:=build}"
passed=0
failed=0

check() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1)); echo "ok   $1"
    else
        failed=$((failed + 1)); echo "FAIL $1"
    fi
}

# "NAME default" of each setting, of the program and of the table.
program=$(env -i "$BUILD/prelabel" env | sed -n '/^[A-Z]/{s/=.*//;h;n;s/.*; default \([^;]*\).*/\1/;t ok;s/.*//;:ok;H;x;s/\n/ /;s/ $//;p;}')
readme=$(sed -n 's/^| `\([A-Z_]*\)`[^|]*| *\([^|]*[^| ]\)* *|.*/\1 \2/p' README.md | grep '^[A-Z][A-Z_]* \{0,1\}' | sed 's/ $//')
[ -n "$program" ] && [ "$program" = "$readme" ]
check "the settings table is that of the program" $?
[ "$program" = "$readme" ] || { echo "$program"; echo "--"; echo "$readme"; }

out=$(python3 tests/e2e/readme.py README.md 2>&1)
echo "$out" | grep -v '^[0-9]* passed'
set -- $(echo "$out" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p') 0 1
passed=$((passed + $1))
failed=$((failed + $2))

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
