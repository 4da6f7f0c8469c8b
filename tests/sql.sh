#!/bin/sh
# sql.sh - SQL is written in schema/ alone and its values are bound: none is put together
# at run time (reliability R19).
#
#   tests/sql.sh [TREE]
#
# One check a rule, over all C sources; then one of each breach in a made-up tree, which
# has to be found.  PRAGMA takes no bound values: user_version is the one number set so.
set -u
top=${1:-.}
n=0
bad=0
verbs='SELECT|INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|ATTACH|PRAGMA|WITH|VACUUM'

# check NAME LINES: LINES is what breaks the rule
check() {
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1: $(echo "$2" | head -n 3 | tr '\n' ' ')"
        bad=$((bad + 1))
    fi
}

sources() {
    find "$top/lib" "$top/cgi" -name '*.[ch]'
}

# shellcheck disable=SC2046
{
    check "no SQL goes through printf" "$(grep -nE "(printf|buf_addf?|strcat|strcpy)[a-z]*\(.*\"[^\"]*\b($verbs) [A-Za-z]" $(sources) |
        grep -vF '"PRAGMA user_version = %d"')"
    check "no printf in a statement's text" "$(grep -nE "\"[^\"]*\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b[^\"]*%[a-z]" $(sources))"
    check "SQLite prepares the texts of schema/ and the pragmas of the store alone" "$(grep -nE 'sqlite3_(exec|prepare[a-z0-9_]*|get_table|mprintf|vmprintf|snprintf)\(' $(sources) |
        grep -vE 'lib/store/store_sqlite\.c:[0-9]+:.*(sqlite3_prepare_v3\(st->db, (sql_text\[id\]|"ROLLBACK")|sqlite3_prepare_v2\(st->db, (sql|"PRAGMA auto_vacuum = INCREMENTAL"),|sqlite3_exec\(st->db, (sql|"ROLLBACK"),)')"
    check "exec() and pragma() get a text that stands there" "$(grep -nE '\b(exec|pragma|begin)\(st, ' "$top/lib/store/store_sqlite.c" 2>/dev/null |
        grep -vE '\((st), ("|schema_sql\[version\]|mark, e|sql, e)')"
}
if [ "$top" = . ]; then
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    for breach in 'snprintf(q, 9, "SELECT x FROM t WHERE y = %d", y);' 'buf_adds(&b, "DELETE FROM task WHERE id = ");' \
                  'sqlite3_exec(db, q, NULL, NULL, NULL);' 'f("UPDATE t SET x = %s");' 'if (exec(st, text, e) < 0)'; do
        rm -rf "${tree:?}/lib"
        mkdir -p "$tree/lib/store" "$tree/cgi"
        echo "$breach" >"$tree/lib/store/store_sqlite.c"
        n=$((n + 1))
        if sh "$0" "$tree" | grep -q '^not ok'; then
            echo "ok $n - found: $breach"
        else
            echo "not ok $n - not found: $breach"
            bad=$((bad + 1))
        fi
    done
fi
exit $((bad > 0))
