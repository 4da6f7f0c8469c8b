#!/bin/sh
# include-directions.sh - who may include what: the dependency order of the folders.
#
#   cgi -> lib/*.c -> models -> learn -> text -> base
#            |   |-> studio ------------------> base
#            |   +-> store  ------------------> base
#   cgi -> web -------------------------------> base
#
# One check a folder, over all #include lines but those of the C library; then one of
# each wrong direction in a made-up tree, which has to be found.
#
#   tests/include-directions.sh [TREE]
set -u
top=${1:-.}

# Prints the includes in the files "$2"... that the pattern $1 does not allow.
strangers() {
    allowed=$1
    shift
    [ $# != 0 ] || return 0
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]\([^>"]*\)[>"].*/\1/p' "$@" |
        sort -u | grep -vxE "$libc" | grep -vxE "$allowed"
}

libc='(assert|endian|getopt|malloc|ctype|dirent|dlfcn|endian|errno|fcntl|float|fenv|getopt|inttypes|limits|locale|malloc|math|netdb|poll|pthread|sched|setjmp|signal|spawn|std[a-z]+|string|strings|threads|time|unistd)\.h|(sys|sys/platform|netinet|arpa|net|linux)/[a-z0-9_]+\.h'
base='base/.*'
text="$base|text/.*|uni[a-z]*\.h"
learn="$base|learn/.*|text/.*"
studio="$base|studio/.*|json-c/.*|json\.h|libxml/.*|sodium\.h"
models="$base|models/.*|learn/.*|text/.*|studio/.*"
store="$base|store/.*|sqlite3\.h|sql\.h|schema\.h|sodium\.h"
web="$base|web/.*|fcgiapp\.h|fcgi_config\.h|fcgios\.h|fastcgi\.h|json-c/.*|json\.h|sodium\.h"
# Use cases see all folders, of web only the request and the reply, who may ask and
# whether it is up, and no FastCGI;
# programs see use cases and web.
own=$(cd "$top/lib" && ls ./*.h 2>/dev/null | sed 's|^\./||; s|\.|\\.|' | tr '\n' '|')
lib="$base|text/.*|learn/.*|studio/.*|models/.*|store/.*|web/(serve|auth|health)\.h|json-c/.*|json\.h|sodium\.h|${own%|}"
cgi="$base|web/.*|${own%|}"
# base itself hashes (json_digest.c) and opens libcurl (curl.h).
base="$base|sodium\.h|curl/.*"

n=0
bad=0
check() {
    # shellcheck disable=SC2086
    found=$(strangers "$2" $3 | tr '\n' ' ')
    n=$((n + 1))
    if [ -z "$found" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1 includes $found"
        bad=$((bad + 1))
    fi
}

folders() {
    for f in base text learn studio models store web; do
        eval "allowed=\$$f"
        # shellcheck disable=SC2154
        check "lib/$f" "$allowed" "$(ls "$top/lib/$f"/*.[ch] 2>/dev/null | tr '\n' ' ')"
    done
    check lib "$lib" "$(ls "$top"/lib/*.[ch] 2>/dev/null | tr '\n' ' ')"
    check cgi "$cgi" "$(ls "$top"/cgi/*.[ch] 2>/dev/null | tr '\n' ' ')"
}

folders

# Each wrong direction in turn, in a tree of its own: the check must see it.
if [ "$top" = . ]; then
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    for wrong in base:json.h:json-c/json.h text:t.c:learn/logreg.h learn:l.c:unicase.h studio:s.c:store/store.h \
                 models:m.c:sqlite3.h store:s.c:models/model.h web:w.c:studio/label_config.h .:use.c:fcgiapp.h \
                 .:use.c:web/route.h ../cgi:p.c:store/store.h; do
        folder=${wrong%%:*} include=${wrong##*:} file=${wrong#*:}
        rm -rf "$tree/lib" "$tree/cgi"
        mkdir -p "$tree/lib/base" "$tree/lib/$folder" "$tree/cgi"
        : >"$tree/lib/use.h"
        echo "#  include <$include>" >"$tree/lib/$folder/${file%%:*}"
        n=$((n + 1))
        if sh "$0" "$tree" | grep -q "^not ok .* includes $include"; then
            echo "ok $n - $include in lib/$folder is found"
        else
            echo "not ok $n - $include in lib/$folder is not found"
            bad=$((bad + 1))
        fi
    done
fi
exit $((bad > 0))
