#!/bin/sh
# boot.sh - the units under systemd itself: as process 1 of namespaces of its own, on this
# file system, of which nothing but what is mounted over it can be written to.
#
#   boot.sh DESTDIR PREFIX      called by ci.sh
#   BOOT_WAYS="systemd systemd-sockets"     tests/http through these (tests/systemd/serve.py)
#   BOOT_GROUPS="basics webhook"            these of its groups
#   BOOT_SECONDS=740                        for all of it, which is most of what .ci/run gives the step
#
# Where namespaces, mounts or cgroups are not to be had, it says so, and tests/http runs
# under the restrictions of prelabel.service alone (serve.py confined).
set -eu
here=$(cd "$(dirname "$0")" && pwd)

# ---- inside, before systemd ---------------------------------------------------------
if [ "${1:-}" = inside ]; then
    dest=$2 prefix=$3 out=$4
    mount --make-rprivate /
    cp -R /etc "$out/etc"
    mkdir -p "$dest$prefix" "$out/bin"
    mount --bind "$dest$prefix" "$prefix"
    mount -t tmpfs -o mode=755 run /run
    mkdir /run/out
    mount --bind "$out" /run/out
    mount --bind /run/out/etc /etc
    for at in /var/lib /var/log; do mount -t tmpfs -o mode=755 none $at; done
    # mknod is what PrivateDevices= needs.
    devices=yes
    mknod /run/null c 1 3 2>/dev/null || devices=no
    for at in /var/tmp /tmp; do mount -t tmpfs none $at; done
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
    mount -t tmpfs none /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    mount -o remount,bind,ro /
    # Of the machine's own units the journal alone: nothing else is started, and the manager
    # reads the names of all that there are again whenever units come or go, as they do here.
    mkdir /run/units
    (cd /lib/systemd/system && cp -a --parents ./*.target ./*.slice systemd-journald.s* systemd-journald-dev-log.socket \
        ./*.target.wants/systemd-journald.s* ./*.target.wants/systemd-journald-dev-log.socket /run/units)
    mount --bind /run/units /lib/systemd/system
    rm -rf /etc/systemd/system
    mkdir -p /etc/systemd/system
    if [ $devices = no ]; then
        echo "     no device nodes here: without PrivateDevices=" >>"$out/log"
        for unit in prelabel prelabel@ prelabel-train; do
            mkdir "/etc/systemd/system/$unit.service.d"
            printf '[Service]\nPrivateDevices=no\n' >"/etc/systemd/system/$unit.service.d/devices.conf"
        done
    fi
    printf '[Unit]\nAfter=basic.target\nRequires=basic.target\n[Service]\nType=oneshot\nExecStart=/bin/sh /run/out/probe.sh\n' >/etc/systemd/system/probe.service
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=probe.service \
        --log-target=null --show-status=no
fi

dest=$1 prefix=$2 seconds=${BOOT_SECONDS:-740}
out=$dest/boot
mkdir -p "$out"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cp "$here/fastcgi.py" "$out/"
mkdir "$out/tests"
cp -R "$here" "$here/../http" "$here/../web" "$out/tests/"
sed "s/@PORT@/$port/g; s|@PREFIX@|$prefix|g; s/@WAYS@/${BOOT_WAYS-systemd systemd-sockets}/; s/@GROUPS@/${BOOT_GROUPS:-}/; s/@TIMES@/${TIMES:-}/; s/@UNTIL@/$(($(date +%s) + seconds))/" >"$out/probe.sh" <<'END'
# Run by systemd.  Every line of the log is a check.
cd /run/out
exec 2>>trace
check() {
    name=$1
    shift
    if said=$("$@" 2>&1); then echo "ok   $name"; else echo "FAIL $name [$(echo "$said" | tr '\n' ' ' | cut -c 1-900)]"; fi >>log
}
get() { curl -s -m 10 http://127.0.0.1:@PORT@/ | grep -q '"UP"'; }
is() { [ "$(systemctl show -P "$1" "$2")" = "$3" ] || { systemctl status "$2" --no-pager; return 1; }; }
ask() { /usr/bin/python3 fastcgi.py /run/prelabel/$1.sock "$2" "$3" "${4:-}"; }
asks() { ask "$@" | grep -q '^20[01] {' || ask "$@"; }
journal() { journalctl -q --no-pager -o cat "$@"; }
start() { systemctl start prelabel.service || { journal -n 20; return 1; }; }
again() { kill -9 "$(systemctl show -P MainPID prelabel@predict)" && asks predict POST /predict "$task"; }
only_0() { pid=$(systemctl show -P MainPID "prelabel@$1"); [ "$(readlink /proc/$pid/fd/2)" != "$(readlink /proc/$pid/fd/0)" ] &&
           [ "$(readlink /proc/$pid/fd/1)" = "$(readlink /proc/$pid/fd/2)" ]; }
key() { tr '\0' '\n' <"/proc/$(systemctl show -P MainPID "prelabel@$1")/environ" | grep -q ^LABEL_STUDIO_API_KEY; }
trained() { for i in $(seq 300); do journal -u prelabel@webhook | grep -q 'INFO train .*published' && return; sleep 0.2; done; journal; return 1; }
none() { ! "$@"; }

systemd-sysusers
systemctl daemon-reload
mkdir -p /etc/prelabel
printf 'PORT=@PORT@\nSTART_TRAINING_EACH_N_UPDATES=2\n' >/etc/prelabel/prelabel.conf
check "process 1: start returns, and a request is answered" start
check "process 1: at once" get
check "process 1: the start is another user, without capabilities" grep -q '^CapBnd:.0*$' "/proc/$(systemctl show -P MainPID prelabel)/status"
check "process 1: the journal has the priority, the line no time" sh -c \
    "journalctl -q -u prelabel -p info..info -o cat --no-pager | grep -q '^INFO prelabel serving'"
check "process 1: stop" systemctl stop prelabel.service
check "process 1: and it was a success" is Result prelabel.service success
systemctl start prelabel@predict.socket prelabel@setup.socket prelabel@webhook.socket prelabel@status.socket prelabel-train.timer
check "process 1: sockets are the web server's, and nobody else's" sh -c 'stat -c %a:%U:%G /run/prelabel/*.sock | sort -u | grep -qx 660:prelabel:www-data'
check "process 1: status by its socket" asks status GET /
config='<View><Text name=\"text\" value=\"$text\"/><Choices name=\"label\" toName=\"text\"><Choice value=\"yes\"/><Choice value=\"no\"/></Choices></View>'
check "process 1: setup" asks setup POST /setup "{\"project\":\"1.1700000000\",\"schema\":\"$config\"}"
# Not before: with a key, setup would have a trainer of its own read the export.
echo LABEL_STUDIO_API_KEY=0 >>/etc/prelabel/prelabel.conf
echo LABEL_STUDIO_URL=http://127.0.0.1:9 >>/etc/prelabel/prelabel.conf
task='{"project":"1.1700000000","tasks":[{"data":{"text":"yes"}}]}'
check "process 1: predict" asks predict POST /predict "$task"
check "process 1: predict has no key" none key predict
check "process 1: one that was killed is back for the next request" again
check "process 1: standard output is not the socket" only_0 predict
event() { echo '{"action":"ANNOTATION_CREATED","project":{"id":1,"created_at":"2023-11-14T22:13:20Z"},"task":{"id":'$1',"data":{"text":"thing '$1' '$2'"}},"annotation":{"id":'$1',"task":'$1',"created_at":"2026-11-22T00:00:00Z","updated_at":"2026-11-22T00:00:00Z","result":[{"from_name":"label","to_name":"text","type":"choices","value":{"choices":["'$2'"]}}]}}'; }
systemctl stop prelabel@webhook.service
sed -i /LABEL_STUDIO/d /etc/prelabel/prelabel.conf
check "process 1: webhook" asks webhook POST /webhook "$(event 1 yes)"
check "process 1: and another" asks webhook POST /webhook "$(event 2 no)"
check "process 1: the trainer of webhook publishes, and the journal has it" trained
check "process 1: the timer's service" systemctl start prelabel-train.service
check "process 1: the timer waits" is ActiveState prelabel-train.timer active
check "process 1: the programs stop" systemctl stop 'prelabel@*.service' 'prelabel@*.socket'
check "process 1: with success" is Result prelabel@webhook.service success
echo PORT=x >/etc/prelabel/prelabel.conf
check "process 1: a wrong setting fails the start" none systemctl start prelabel.service
sleep 1.5
check "process 1: and is not tried again" is NRestarts prelabel.service 0
# tests/http through copies of the units.  By the units' user, to whom the tests' files then
# belong; the right to start units is lent by this copy of systemctl.
systemd-tmpfiles --create --prefix=/run/log/journal
install -m 4755 /usr/bin/systemctl /run/systemctl
install -d -o prelabel -g prelabel /run/systemd/system /var/lib/prelabel-http
for way in @WAYS@; do
    setpriv --reuid=prelabel --regid=prelabel --groups=systemd-journal env -i PATH="$PATH" LANG=C.UTF-8 LIMIT=$((@UNTIL@ - $(date +%s))) TIMES=@TIMES@ \
        UNITS=@PREFIX@/lib/systemd/system WEB_STAGE=@PREFIX@ BUILD=@PREFIX@/lib/prelabel SYSTEMCTL=/run/systemctl \
        TMPDIR=/var/lib/prelabel-http /usr/bin/python3 -B tests/web/suite.py $way @GROUPS@ >http-$way 2>&1
done
echo end >>trace
systemctl --force --force poweroff
END
status=0
timeout -k 5 $((seconds + 40)) unshare -fpmCui --mount-proc --kill-child sh "$here/boot.sh" inside "$dest" "$prefix" "$out" >"$out/unshare" 2>&1 </dev/null || status=$?
touch "$out/log"
if [ ! -e "$out/trace" ]; then
    echo "     systemd can't be process 1 here: $(tail -n 1 "$out/unshare")"
    # The same programs under the unit's restrictions at least.
    # shellcheck disable=SC2086
    UNITS=$dest$prefix/lib/systemd/system BUILD=$dest$prefix/lib/prelabel LIMIT=$seconds \
        /usr/bin/python3 -B "$here/../web/suite.py" confined ${BOOT_GROUPS:-} >"$out/http-confined" 2>&1 || true
else
    grep -q '^end$' "$out/trace" || echo "FAIL process 1: came to its end [status $status: $(tail -n 3 "$out/trace" | tr '\n' ' ')]" >>"$out/log"
fi
{ cat "$out/log"
for f in "$out"/http-*; do
    [ ! -e "$f" ] || { cat "$f"; grep -qE '^[0-9]+ passed, ' "$f" || echo "FAIL ${f##*/}: came to its end [$(tail -n 3 "$f" | tr '\n' ' ')]"; }
done; } >"$out/all"
grep -avE '^ok   (systemd|systemd-sockets|confined): |^[0-9]+ passed, ' "$out/all"
failed=$(grep -ac '^FAIL' "$out/all" || true)
echo "$(grep -ac '^ok' "$out/all") passed, $failed failed"
[ "$failed" = 0 ]
