#!/bin/sh
# ci.sh - deploy/docker: the image is built and run (container.sh), the compose files are read.
#
#   tests/docker/ci.sh [PART...]      all, or some of: compose image static crlf http e2e
#
# As root on Debian; installs what it needs.  Needs a build (build/prelabel): the list of
# settings, and the command line that the HTTP tests use beside the server.  e2e is run only
# when it is named: it wants Label Studio, which tests/e2e installs.
#
# Through the container run all groups of tests/http, but for checks that are not true of
# a container: killing what the harness started kills its supervisor (here: the runtime),
# HOST is 127.0.0.1 by default (here: 0.0.0.0, since a container's loopback is its own), and
# a CGI program of the test's own is of another user, whose file of counts is another.
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}"
here=tests/docker
work=$(mktemp -d "${TMPDIR:-/tmp}/prelabel-docker.XXXXXX")
passed=0
failed=0
server=

finish() {
    [ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

# check NAME COMMAND...
check() {
    name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        passed=$((passed + 1))
        echo "ok   docker: $name"
    else
        failed=$((failed + 1))
        echo "FAIL docker: $name [$(tail -n 4 "$work/said" | tr '\n' ' ' | cut -c 1-400)]"
    fi
}

# count FILE WHAT PATTERN: what another test script said; the lines of the pattern are shown.
count() {
    grep -E "$3" "$1" || true
    passed=$((passed + $(grep -c '^ok ' "$1" || true)))
    failed=$((failed + $(grep -c '^FAIL ' "$1" || true)))
    grep -q '^[0-9]* passed, [0-9]* failed$' "$1" || { failed=$((failed + 1)); echo "FAIL docker: $2 came to no end"; }
}

need() {
    for p in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -q '^installed' || set -- "$@" "+$p"
    done
    # shellcheck disable=SC2046
    set -- $(printf '%s\n' "$@" | sed -n 's/^+//p')
    [ $# = 0 ] || { apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "$@" >/dev/null; }
}

container() { sh "$here/container.sh" "$@"; }
config() { jq -e "$1" "$work/image/image.json"; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
now_ms() { date +%s%3N; }

# start FOLDER OF AN IMAGE: $server, $port and its /data; started_ms until the first 200.
start() {
    port=$(free_port)
    rm -rf "$work/data"
    install -d -o 9090 -g 9090 -m 700 "$work/data"
    began=$(now_ms)
    sh "$here/container.sh" run "$1" -v "$work/data:/data" PORT="$port" >"$work/log" 2>&1 &
    server=$!
    for _ in $(seq 3000); do
        ! curl -sf -o "$work/livez" "http://127.0.0.1:$port/livez" || break
        sleep 0.02
    done
    started_ms=$(($(now_ms) - began))
    [ -s "$work/livez" ]
}

# Ends it; the milliseconds are in $stopped_ms, its exit status in $status.
stop() {
    began=$(now_ms)
    kill -TERM "$server"
    status=0
    wait "$server" || status=$?
    server=
    stopped_ms=$(($(now_ms) - began))
}

# The ids, on this machine, of all processes of the container: the runtime's children.
processes() {
    todo=$(cat /proc/"$server"/task/"$server"/children)
    while [ -n "$todo" ]; do
        echo "$todo" | tr ' ' '\n' | grep .
        todo=$(for p in $todo; do cat /proc/"$p"/task/*/children 2>/dev/null; done | tr -d '\n')
    done
}

predicts() {
    # shellcheck disable=SC2016
    curl -sf "http://127.0.0.1:$port/predict" -d '{"project": "1.1", "tasks": [{"data": {"text": "a positive surprise"}}],
        "label_config": "<View><Text name=\"t\" value=\"$text\"/><Choices name=\"c\" toName=\"t\"><Choice value=\"positive\"/><Choice value=\"negative\"/></Choices></View>"}' |
        grep -F '"choices":["positive"]'
}

# ---- parts --------------------------------------------------------------------------------

compose() {
    need docker-compose python3-yaml
    python3 $here/compose.py check >"$work/compose" 2>&1 || true
    count "$work/compose" compose '^(ok|FAIL) '
}

# Everything else needs it.
image() {
    check "the image is built" container build prelabel-test -f deploy/docker/Dockerfile .
    check "and unpacked" container unpack prelabel-test "$work/image"
}

# The health check of the image, run as an engine does: without a shell.
healthy() {
    test "$(config '.Healthcheck.Test[0]')" = '"CMD"' || return 9
    eval "set -- $(jq -r '.Healthcheck.Test[1:] | @sh' "$work/image/image.json")"
    container exec "$work/image" "$server" "$@"
}

# down FOLDER: what it says of a port where nothing listens.
down() {
    ! said=$(container exec "$1" "$server" prelabel health --port "$(free_port)" 2>&1) && echo "$said" | grep 'DOWN.*no connection'
}

look_at_image() {
    root=$work/image/rootfs
    check "entry point and health check are programs, not shell lines" config '.Entrypoint == ["prelabel", "start"] and
        (.Cmd | length) == 0 and .Healthcheck.Test == ["CMD", "prelabel", "health"]'
    check "its user is a number, and not root" config '.User == "9090:9090"'
    check "that user has no shell" grep -q '^prelabel:x:9090:9090:.*:/usr/sbin/nologin$' "$root/etc/passwd"
    check "/data is a volume, 9090 the port, SIGTERM the stop" config '.Volumes["/data"] and .ExposedPorts["9090/tcp"] and .StopSignal == "SIGTERM"'
    check "/data is that user's alone" test "$(stat -c '%u:%g %a' "$root/data")" = "9090:9090 700"
    check "the label names this version" config ".Labels[\"org.opencontainers.image.version\"] == \"$("$BUILD/prelabel" --version | cut -d' ' -f2)\""
    check "no file is setuid or setgid" test -z "$(find "$root" -xdev -type f -perm /6000)"
    check "no compiler, no make, no headers" test -z "$(cd "$root" && find . -xdev \( -path '*/bin/cc' -o -path '*/bin/gcc*' -o -path '*/bin/make' -o -path './usr/include/*.h' -o -name '*.a' \) | head)"
    check "no package lists, and no documentation but Debian's base" test -z "$(find "$root/var/lib/apt/lists" "$root/usr/share/doc/lighttpd" -type f 2>/dev/null | head)"
    check "nothing that starts lighttpd by itself" test -z "$(find "$root/etc" "$root/usr/lib/systemd" "$root/lib/systemd" -name '*lighttpd*' 2>/dev/null)"
}

run_image() {
    check "it starts and answers" start "$work/image"
    first=$started_ms
    main=$(processes | head -n 1)
    check "nobody in it is root" test "$(for p in $(processes); do awk '/^(Uid|Gid):/ { print $2, $3, $4, $5 }' "/proc/$p/status"; done | sort -u)" = "9090 9090 9090 9090"
    check "prelabel is process 1" sh -c "grep -q '^NSpid:.*[[:space:]]1\$' /proc/$main/status && grep -q '^Name:[[:space:]]prelabel\$' /proc/$main/status"
    check "no shell runs" test -z "$(for p in $(processes); do readlink "/proc/$p/exe"; done | grep -E 'sh$')"
    check "no capability, no new privileges" sh -c "grep -q '^CapBnd:[[:space:]]0000000000000000\$' /proc/$main/status && grep -q '^NoNewPrivs:[[:space:]]1\$' /proc/$main/status"
    inside=/proc/$main/root
    check "the root is read-only" sh -c "! touch $inside/etc/x && ! touch $inside/usr/lib/prelabel/x"
    check "it predicts" predicts
    check "the store is in /data" test -s "$work/data/prelabel.sqlite3"
    check "health, while it is up: 0" healthy
    for p in $(processes); do awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup"; done >"$work/pss"
    kill -STOP "$(processes | while read -r p; do grep -q lighttpd "/proc/$p/comm" && echo "$p"; done)"
    check "health, while the web server hangs: 1 within 3 s" sh -c "! timeout 3 sh $here/container.sh exec '$work/image' $server prelabel health"
    kill -CONT "$(processes | while read -r p; do grep -q lighttpd "/proc/$p/comm" && echo "$p"; done)"
    check "health, where nothing listens: 1" down "$work/image"
    stop
    check "SIGTERM ends it with 0 ($stopped_ms ms)" test "$status" = 0 -a "$stopped_ms" -lt 5000

    cp -a "$work/image" "$work/bare"
    find "$work/bare/rootfs/usr/bin" \( -name sh -o -name dash -o -name bash -o -name rbash \) -delete
    check "there is no shell in the copy" sh -c "! sh $here/container.sh run '$work/bare' -- sh -c true"
    check "without a shell it starts" start "$work/bare"
    check "and predicts" predicts
    stop
    rm -rf "$work/bare"
    printf '# image %s MB uncompressed, %s MB as tar.gz; first 200 after %s ms, stopped in %s ms; memory of its %s processes %s KB (PSS)\n' \
        "$(du -sm --apparent-size "$work/image/rootfs" | cut -f1)" "$(tar -C "$work/image/rootfs" -cf - . | gzip -6 | wc -c | awk '{ printf "%.1f", $1 / 1e6 }')" \
        "$first" "$stopped_ms" "$(wc -l <"$work/pss")" "$(awk '{ s += $1 } END { print s }' "$work/pss")"
    printf '# of it, added to the base: %s MB\n' "$(($(du -sm --apparent-size "$work/image/rootfs" | cut -f1) - $(container size debian:bookworm-slim)))"
}

# The image of one file.
static() {
    check "the image of one file is built" container build prelabel-static --target static -f deploy/docker/Dockerfile .
    check "and unpacked" container unpack prelabel-static "$work/one"
    check "there is one program in it" test "$(cd "$work/one/rootfs" && find . -path ./etc -prune -o -type f -perm /111 -print)" = ./usr/bin/prelabel
    check "it starts and answers" start "$work/one"
    first=$started_ms
    check "it predicts" predicts
    check "the store is in /data" test -s "$work/data/prelabel.sqlite3"
    check "health, while it is up: 0" sh $here/container.sh exec "$work/one" "$server" prelabel health
    check "health, where nothing listens: 1" down "$work/one"
    for p in $(processes); do awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup"; done >"$work/pss"
    stop
    check "SIGTERM ends it with 0 ($stopped_ms ms)" test "$status" = 0 -a "$stopped_ms" -lt 5000
    printf '# image of one file %s MB; first 200 after %s ms; memory of its %s processes %s KB (PSS)\n' \
        "$(du -sm --apparent-size "$work/one/rootfs" | cut -f1)" "$first" "$(wc -l <"$work/pss")" "$(awk '{ s += $1 } END { print s }' "$work/pss")"
    rm -rf "$work/one"
}

# A tree as Windows has it, with what must not get into an image: the same programs come out.
crlf() {
    tree=$work/tree
    mkdir -p "$tree/build/cgi" "$tree/data"
    git ls-files -co --exclude-standard 2>/dev/null >"$work/files" || find . -type f ! -path './.git/*' ! -path "./$BUILD/*" >"$work/files"
    tar -cf - -T "$work/files" | tar -xf - -C "$tree"
    find "$tree" -type f -exec grep -Iq . {} \; -exec sed -i 's/$/\r/' {} +
    check "every text file of the copy has CR LF" sh -c "for f in deploy/deps.sh Makefile deploy/docker/Dockerfile .dockerignore; do grep -q \"\$(printf '\\r')\" '$tree'/\$f || exit 1; done"
    for f in build/prelabel build/cgi/predict data/prelabel.sqlite3 deploy/docker/.env lib/left.o cgi/left.o; do echo local >"$tree/$f"; done
    check "a tree with CR LF is built" container build prelabel-crlf -f "$tree/deploy/docker/Dockerfile" "$tree"
    check "and unpacked" container unpack prelabel-crlf "$work/crlf"
    check "its programs are the same, byte by byte" diff -r "$work/image/rootfs/usr/lib/prelabel" "$work/crlf/rootfs/usr/lib/prelabel"
    check "it starts" start "$work/crlf"
    check "it predicts" predicts
    stop
    printf 'FROM scratch\nCOPY . /\n' >"$work/Context"
    check "what is sent to a build" container build prelabel-context -f "$work/Context" "$tree"
    check "and unpacked" container unpack prelabel-context "$work/context"
    check "has no local output, data or passwords" test -z "$(cd "$work/context/rootfs" && find . \( -name build -o -name data -o -name '.env' -o -name '*.o' -o -name .git \))"
    # All that `make install` puts somewhere, which the images of `prelabel init` run on this tree.
    check "and has the sources" sh -c "cd '$work/context/rootfs' && for f in lib/base/err.c cgi/predict.c schema/statements.sql lighttpd.conf LICENSE \\
        deploy/install.sh deploy/deps.sh deploy/man deploy/completion deploy/systemd deploy/web deploy/apache deploy/nginx deploy/lighttpd deploy/init; do test -e \$f || exit 1; done"
    rm -rf "$tree" "$work/crlf" "$work/context"
}

http() {
    # shellcheck disable=SC2086
    LIMIT=${LIMIT:-600} HTTP_CMD="sh $here/container.sh serve $work/image" python3 -u tests/http/run.py ${HTTP_GROUPS:-} >"$work/http.all" 2>&1 || true
    # Without those that are said above.
    grep -vE '^FAIL (promises: supervisor killed: no process of this start lives|settings: by default it listens on 127\.0\.0\.1 alone|metrics: (12 by the server, 12 by CGI|a CGI program tells the same|moved away: a program that came later))' "$work/http.all" >"$work/http" || true
    count "$work/http" http '^(FAIL|#)'
    echo "# tests/http through the container: $(tail -n 1 "$work/http.all"), with those that do not hold for one"
}

e2e() {
    python3 $here/compose.py env label-studio >"$work/studio.env"
    E2E_LS_ENV=$work/studio.env E2E_KEY=legacy E2E_ONLY=${E2E_ONLY:-connect,predict,train} \
        BACKEND_CMD="exec sh $here/container.sh serve $work/image" sh tests/e2e/e2e.sh >"$work/e2e" 2>&1 || true
    count "$work/e2e" e2e '^(ok|FAIL|#) '
}

[ "$(id -u)" = 0 ] || { echo "ci.sh: needs root" >&2; exit 2; }
need jq curl python3
[ $# -gt 0 ] || set -- compose image static crlf http
case " $* " in *" compose "*) compose ;; esac
case " $* " in
*" image "* | *" crlf "* | *" http "* | *" e2e "*) image ;;
esac
for part in "$@"; do
    case $part in
    compose)               ;;
    image)                 look_at_image; run_image ;;
    static|crlf|http|e2e)  $part ;;
    *)                     echo "ci.sh: no part $part" >&2; exit 2 ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
