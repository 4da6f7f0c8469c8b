#!/bin/bash
# machine.sh - the packages in /debs on a bare Debian that is ours alone: tests/deb/ci.sh
# calls it there.  A line a check; exit status 0: it came to its end.
#
# systemd does not run here.  Before systemctl stands one that writes down what it is
# asked, and starts nothing: what the packages' scripts want started is seen.
set -u
record=/run/systemctl.record

# In this shell, not in one below: what a check sets is there for the next.
check() {
    local name=$1
    shift
    if "$@" >/run/said 2>&1; then echo "ok   $name"; else echo "FAIL $name [$(tail -n 8 /run/said)]"; fi
}
not() { ! "$@"; }
is()  { [ "$1" = "$2" ] || { echo "$1, not $2"; return 1; }; }
mode() { is "$(stat -c '%A %U:%G' "$1" 2>&1)" "$2"; }
apt()  { apt-get -q -y -o Dpkg::Use-Pty=0 "$@" >/run/apt.log 2>&1 || { tail -n 20 /run/apt.log; return 1; }; }
user=(setpriv --reuid prelabel --regid prelabel --init-groups env)
as()   { "${user[@]}" "$@"; }
size() { dpkg-query -W -f '${Installed-Size}\n' | awk '{ n += $1 } END { print n }'; }

# http PORT METHOD PATH [BODY]: status line, headers, body
http() {
    timeout 10 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 1
        printf "%s %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" "$1" "$2" "${#3}" "$3" >&3
        cat <&3' "$1" "$2" "$3" "${4:-}" 2>/dev/null
}

free_port() {
    local p
    for p in $(shuf -i 20000-30000 -n 50); do
        timeout 1 bash -c "exec 3<>/dev/tcp/127.0.0.1/$p" 2>/dev/null || { echo "$p"; return; }
    done
}

# What a port 80 of any address has for a listener, by /proc/net/tcp.
listens_80() { grep -hE '^ *[0-9]+: [0-9A-F]+:0050 [0-9A-F:]+ 0A ' /proc/net/tcp /proc/net/tcp6 | sort; }
lighttpds()  { grep -lx lighttpd /proc/[0-9]*/comm 2>/dev/null | wc -l; }

fake_systemctl() {
    mkdir -p /run/systemd/system
    dpkg-divert --quiet --add --rename --divert /bin/systemctl.real /bin/systemctl
    cat >/bin/systemctl <<'END'
#!/bin/sh
echo "$*" >>/run/systemctl.record
# What is read from and written to files is the real one's.
case " $* " in
*" is-enabled "* | *" preset "* | *" enable "* | *" disable "*)
    [ ! -x /bin/systemctl.real ] || exec /bin/systemctl.real --root=/ "$@" ;;
*" is-active "*) echo inactive; exit 3 ;;
esac
END
    chmod 755 /bin/systemctl
    : >$record
}

# Files with prelabel in their path or of its user, outside of logs and lists of packages.
traces() {
    find / -xdev \( -path /proc -o -path /debs -o -path /run -o -path /dev -o -path /tmp -o -path /var/log \
        -o -path /var/cache/apt -o -path /usr/share/doc -prune \) -prune -o \
        \( -path '*prelabel*' -o -user prelabel -o -group prelabel \) -print 2>/dev/null
}

# serve COMMAND...: started in the background; waits for its answer, at most 10 s.
serve() {
    local began
    began=$(date +%s%N)
    "$@" >/run/serve.log 2>&1 </dev/null &
    server=$!
    for _ in $(seq 500); do
        case $(http "$port" GET /) in *" 200 "*) took_ms=$((($(date +%s%N) - began) / 1000000)); return 0 ;; esac
        kill -0 "$server" 2>/dev/null || break
        sleep 0.02
    done
    cat /run/serve.log
    return 1
}
end() {
    kill "$server" 2>/dev/null
    wait "$server"
}

setup='{"project": "1.1700000000", "schema": "<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\"><Choice value=\"positive\"/><Choice value=\"negative\"/></Choices></View>"}'
ask='{"project": "1.1700000000", "tasks": [{"data": {"text": "a positive surprise"}}]}'
predicts() {
    http "$port" POST /setup "$setup" | grep -q '"model_version"' || { echo "no setup"; return 1; }
    http "$port" POST /predict "$ask" | grep -q '"choices":\["positive"\]' || { echo "no prediction"; return 1; }
}

# ---- before
fake_systemctl
at_80=$(listens_80)
check "apt has lists" apt update
bare=$(size)

# ---- installed without what is recommended: the commands work
check "installs without recommended packages" apt install --no-install-recommends /debs/prelabel_*.deb
alone=$(size)
check "and without a web server" not test -e /usr/sbin/lighttpd
says_lighttpd() { as MODEL_DIR=/var/lib/prelabel PORT="$(free_port)" timeout 20 prelabel start 2>&1 | grep "can't run lighttpd"; }
check "start says that lighttpd is missing" says_lighttpd
printf '%s\n' '{"text": "great food", "label": "positive"}' '{"text": "cold soup", "label": "negative"}' >/run/reviews.jsonl
learns() {
    as MODEL_DIR=/var/lib/prelabel prelabel import --project 2 /run/reviews.jsonl &&
        as MODEL_DIR=/var/lib/prelabel prelabel train --project 2 &&
        echo "the food" | as MODEL_DIR=/var/lib/prelabel prelabel predict --project 2 | grep '"label":"positive"'
}
check "import, train and predict do" learns
check "purges" apt purge prelabel

# ---- as README.Debian says it: without the service of lighttpd
: >$record
mkdir -p /etc/systemd/system
ln -s /dev/null /etc/systemd/system/lighttpd.service
check "installs" apt install -o APT::Install-Recommends=false -o APT::Install-Suggests=false /debs/prelabel_*.deb lighttpd
whole=$(size)
check "nobody listens on port 80 who did not before" is "$(listens_80)" "$at_80"
check "no lighttpd runs" is "$(lighttpds)" 0
check "and nobody was asked to start it" not grep -E '(^| )(start|restart|enable) .*lighttpd' $record
check "prelabel was asked to start" grep -E '(^| )start .*prelabel\.service' $record
check "and is enabled" test -L /etc/systemd/system/multi-user.target.wants/prelabel.service

check "settings: read by the group alone"  mode /etc/prelabel/prelabel.conf '-rw-r----- root:prelabel'
check "settings: a conffile" is "$(dpkg-query -W -f '${Conffiles}' prelabel | awk '{ print $1 }' | tr -d '\n')" /etc/prelabel/prelabel.conf
check "state: the user's alone"  mode /var/lib/prelabel 'drwx------ prelabel:prelabel'
check "programs: root's"  mode /usr/lib/prelabel/cgi/predict '-rwxr-xr-x root:root'
check "the user is a system user without a shell" sh -c 'getent passwd prelabel | grep -E "^prelabel:[^:]*:[1-9][0-9]{0,2}:.*:/var/lib/prelabel:/usr/sbin/nologin$"'
check "what is linked is there" sh -c 'for f in /usr/lib/prelabel/prelabel /usr/lib/prelabel/cgi/*; do ! ldd $f | grep "not found" || exit 1; done'
check "nothing is anybody's to write" sh -c '! dpkg -L prelabel | while read -r f; do find "$f" -maxdepth 0 ! -type l -perm /022; done | grep .'

# ---- runs
port=$(free_port)
echo "PORT=$port" >>/etc/prelabel/prelabel.conf
check "prelabel start, as user prelabel, with the settings of the package" serve "${user[@]}" prelabel start /etc/prelabel
first=$took_ms
check "answers with a prediction" predicts
others() {
    is "$(for p in /proc/[0-9]*; do case $(cat "$p/comm" 2>/dev/null) in
    prelabel | lighttpd | predict | setup | webhook | status) stat -c %U "$p" ;; esac; done | sort -u)" prelabel
}
check "every process of it is the user prelabel's" others
memory=$(for p in /proc/[0-9]*; do case $(cat "$p/comm" 2>/dev/null) in
    prelabel | lighttpd | predict | setup | webhook | status) cat "$p/smaps_rollup" ;; esac; done 2>/dev/null | awk '/^Pss:/ { n += $2 } END { print n }')
check "the store is its own" mode /var/lib/prelabel/prelabel.sqlite3 '-rw------- prelabel:prelabel'
check "ends with status 0" end
check "learns into the same store" learns

# ---- tests/http: the installed programs, started as the package's unit starts them, by its user
check "apt has what the HTTP tests need" apt install --no-install-recommends python3 strace
suite() {
    install -d -o prelabel -g prelabel /run/folders
    as TMPDIR=/run/folders LIMIT=360 BUILD=/usr/lib/prelabel python3 -B /debs/tests/http/run.py
}
suite >/run/http 2>&1
grep -aE '^(ok   |FAIL )' /run/http | sed -E 's/^(ok   |FAIL )/\1http: /'
check "tests/http came to its end" grep -aE '^[1-9][0-9]* passed, [0-9]+ failed$' /run/http
echo "     tests/http through the package: $(tail -n 1 /run/http), $(grep -a '^# [0-9]* s$' /run/http | tr -d '# ')"

# ---- read
check "apt has a reader of manual pages" apt install --no-install-recommends man-db
for page in 'prelabel(1)' 'prelabel.conf(5)'; do
    section=${page##*(}
    check "man $page renders" sh -c "man -E UTF-8 --warnings ${section%)} ${page%(*} 2>/run/man.err | grep -q SYNOPSIS\\\\\|DESCRIPTION && ! grep . /run/man.err"
done

# ---- upgraded
before=$(as MODEL_DIR=/var/lib/prelabel prelabel versions --project 2 --json)
chmod 600 /etc/prelabel/prelabel.conf
: >$record
check "upgrades" apt install /debs/upgrade/prelabel_*.deb
check "to the other version" is "$(dpkg-query -W -f '${Version}' prelabel)" "$VERSION+1"
check "keeps the settings" grep -qx "PORT=$port" /etc/prelabel/prelabel.conf
check "and what the administrator made of their mode" mode /etc/prelabel/prelabel.conf '-rw------- root:prelabel'
chmod 640 /etc/prelabel/prelabel.conf
check "keeps the data" is "$(as MODEL_DIR=/var/lib/prelabel prelabel versions --project 2 --json)" "$before"
check "the service was asked to restart" grep -E '(^| )restart .*prelabel\.service' $record
check "lighttpd's was not touched" not grep lighttpd $record

# ---- a model in C
check "libprelabel-dev and a compiler install" apt install --no-install-recommends /debs/upgrade/libprelabel1_*.deb /debs/upgrade/libprelabel-dev_*.deb gcc libc6-dev make
mine=$(mktemp -d)
builds() { prelabel init "$mine" && make -s -C "$mine"; }
check "prelabel init, and its model builds" builds
port=$(free_port)
check "starts" serve env PORT="$port" prelabel start "$mine"
check "and predicts" predicts
by_its_own() { http "$port" POST /setup "$setup" | grep -o '"model_version": *"words-'; }
check "by that model" by_its_own
end
cat >/run/shared.c <<'END'
#include "models/model.h"
#include <stdio.h>
int main(void) { for (int i = 0; model_kinds[i] != NULL; i++) puts(model_kinds[i]->name); return 0; }
END
shared() {
    # shellcheck disable=SC2046
    cc -o /run/shared /run/shared.c $(pkg-config --cflags --libs prelabel) && ldd /run/shared | grep 'libprelabel\.so\.1 => /' &&
        /run/shared | grep -x tfidf_logreg
}
check "a program links the shared library by pkg-config" shared

# ---- removed
apt purge libprelabel-dev libprelabel1
rm -rf "$mine"
check "removes" apt remove prelabel
check "no program stays" not test -e /usr/bin/prelabel
check "settings and data do" test -f /etc/prelabel/prelabel.conf -a -f /var/lib/prelabel/prelabel.sqlite3
check "purges what was removed" apt purge prelabel
check "and leaves nothing" is "$(traces)" ""
check "but the user" getent passwd prelabel

echo "     bare $bare kB; with prelabel alone +$((alone - bare)), and with lighttpd +$((whole - bare))"
echo "     first 200 after ${first:-?} ms; all processes ${memory:-?} kB (PSS)"
