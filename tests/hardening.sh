#!/bin/sh
# hardening.sh - the binaries are built the way they should be (reliability: hardening).
#
#   BUILD=build tests/hardening.sh          every program of $BUILD
set -u
: "${BUILD:=build}"
n=0
bad=0

# has NAME FILE OUTPUT PATTERN
has() {
    n=$((n + 1))
    if echo "$3" | grep -qE "$4"; then
        echo "ok $n - $2: $1"
    else
        echo "not ok $n - $2: $1"
        bad=$((bad + 1))
    fi
}

for f in "$BUILD/prelabel" "$BUILD/cgi/predict" "$BUILD/cgi/setup" "$BUILD/cgi/webhook" "$BUILD/cgi/status"; do
    if ! all=$(readelf -WhldsVn "$f" 2>/dev/null); then
        n=$((n + 1)) bad=$((bad + 1))
        echo "not ok $n - $f can't be read"
        continue
    fi
    name=${f#"$BUILD/"}
    has "position independent"   "$name" "$all" '^ *Type: +DYN'
    has "relocations read-only"  "$name" "$all" 'GNU_RELRO'
    has "bound at start"         "$name" "$all" 'BIND_NOW|Flags:.* NOW'
    has "stack not executable"   "$name" "$(echo "$all" | grep GNU_STACK)" 'GNU_STACK.* RW '
    has "stack protector"        "$name" "$all" '__stack_chk_fail'
    has "fortified calls"        "$name" "$all" '__[a-z]+_chk@'
    # Of our own code: the note of the whole file needs start files built that way too.
    case $(uname -m) in
    x86_64) has "indirect branches checked" "$name" \
                "$(objdump -d --no-show-raw-insn "$f" | grep -A 1 '<main>:$')" 'endbr64' ;;
    esac
    case $name in cgi/*|prelabel)
        # What each start would pay for: libcurl 8 ms and 4 MB, libxml2 with ICU and libstdc++ 1.5 ms.
        # Those that a library brings count too.
        for lib in libcurl libxml2 libicuuc libstdc++ libssl; do
            n=$((n + 1))
            if echo "$all" | grep -q "NEEDED.*$lib" || ldd "$f" | grep -q "$lib"; then
                echo "not ok $n - $name: links $lib"
                bad=$((bad + 1))
            else
                echo "ok $n - $name: no $lib in it"
            fi
        done ;;
    esac
done
exit $((bad > 0))
