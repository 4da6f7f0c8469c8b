#!/bin/sh
# run.sh - deploy/deps.sh against a made-up package and service manager that record what
# they are asked, and behave as Debian's do: installing lighttpd enables its service, and
# starts it unless policy-rc.d says no.  Nothing of this machine is touched.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
bad=0

check() {
    n=$((n + 1))
    name=$1
    shift
    if "$@"; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$work/record" "$work/out"
        bad=$((bad + 1))
    fi
}

fake() {
    cat >"$work/bin/$1"
    chmod 755 "$work/bin/$1"
}

# A machine with the tools of a minimal system and nothing else in PATH.
machine() {
    rm -rf "$work/bin" "$work/sys" "$work/state"
    mkdir -p "$work/bin" "$work/sys/usr/sbin" "$work/state"
    : >"$work/record"
    : >"$work/out"
    for tool in sh cat sed awk grep tr head mv rm chmod mkdir touch ls env; do
        ln -s "$(command -v "$tool")" "$work/bin/$tool"
    done
    fake id <<EOF
#!/bin/sh
cat "$work/state/uid" 2>/dev/null || echo 0
EOF
    fake dpkg-query <<EOF
#!/bin/sh
for p; do :; done
[ -e "$work/state/installed.\$p" ] && printf installed
EOF
    fake apt-get <<EOF
#!/bin/sh
echo "apt-get \$*" >>"$work/record"
case " \$* " in *" update "*) [ ! -e "$work/state/offline" ]; exit ;; esac
for p; do
    case \$p in -* | DPkg* | install) continue ;; esac
    : >"$work/state/installed.\$p"
    if [ "\$p" = lighttpd ]; then
        : >"$work/state/enabled"
        policy=$work/sys/usr/sbin/policy-rc.d
        if [ ! -x \$policy ] || \$policy lighttpd start; then
            echo "service lighttpd started" >>"$work/record"
            : >"$work/state/running"
        fi
        if [ -x \$policy ] && ! \$policy dbus start; then echo "service dbus refused" >>"$work/record"; fi
        for c in cc pkg-config lighttpd; do
            printf '#!/bin/sh\nexec "$here/found" %s "\$@"\n' \$c >$work/bin/\$c
            chmod 755 $work/bin/\$c
        done
    fi
done
[ ! -e "$work/state/broken" ]
EOF
}

with_systemd() {
    fake systemctl <<EOF
#!/bin/sh
echo "systemctl \$*" >>"$work/record"
case "\$*" in
*"--now"*) [ ! -e "$work/state/no-systemd-running" ] || exit 1; rm -f "$work/state/running" ;;
esac
case "\$*" in disable*) rm -f "$work/state/enabled" ;; esac
EOF
}

with_sysv() {
    fake update-rc.d <<EOF
#!/bin/sh
echo "update-rc.d \$*" >>"$work/record"
[ "\$*" != "lighttpd disable" ] || rm -f "$work/state/enabled"
EOF
    fake invoke-rc.d <<EOF
#!/bin/sh
echo "invoke-rc.d \$*" >>"$work/record"
[ "\$*" != "lighttpd stop" ] || rm -f "$work/state/running"
EOF
}

deps() { (cd "$top" && PATH=$work/bin DEPS_ROOT=$work/sys CC=cc PKG_CONFIG=pkg-config "$work/bin/sh" deploy/deps.sh "$@") >"$work/out" 2>&1; }
said() { grep -qE -e "$1" "$work/out"; }
recorded() { grep -qE -e "$1" "$work/record"; }
not() { ! "$@"; }
absent() { [ ! -e "$1" ]; }
there() { [ -e "$1" ]; }

machine
with_systemd
check "check names what is missing and fails" not deps check build
check "by Debian's names" said 'missing: gcc libc6-dev pkg-config .*libsqlite3-dev.* lighttpd'
check "and installs nothing" not recorded apt-get

check "install succeeds where apt brings it all" deps install build
check "by one call, without recommended packages" recorded '^apt-get .*--no-install-recommends .*install gcc libc6-dev.* lighttpd$'
check "lighttpd's service never ran" not recorded 'lighttpd started'
check "other services are not refused" not recorded 'dbus refused'
check "and is not enabled for the next boot" absent "$work/state/enabled"
check "policy-rc.d is gone again" absent "$work/sys/usr/sbin/policy-rc.d"
: >"$work/record"
check "a second install has nothing to do" deps install build
check "and calls nobody" not recorded .

machine
with_systemd
: >"$work/state/no-systemd-running"
deps install build
check "systemd is there but does not run: no service is left enabled" absent "$work/state/enabled"

machine
with_sysv
deps install build
check "without systemd: not running" absent "$work/state/running"
check "without systemd: not enabled" absent "$work/state/enabled"

machine
with_systemd
printf '#!/bin/sh\nexit 0\n' >"$work/sys/usr/sbin/policy-rc.d"
chmod 755 "$work/sys/usr/sbin/policy-rc.d"
deps install build
check "an administrator's policy-rc.d stays as it is" grep -q 'exit 0' "$work/sys/usr/sbin/policy-rc.d"
check "and the service that it let start is stopped" absent "$work/state/running"
check "and disabled" absent "$work/state/enabled"

machine
with_systemd
: >"$work/state/installed.lighttpd"
: >"$work/state/running"
: >"$work/state/enabled"
deps install build
check "a lighttpd that was there before keeps running" there "$work/state/running"
check "and stays enabled" there "$work/state/enabled"

machine
with_systemd
: >"$work/state/broken"
check "apt fails: so does the step" not deps install build
check "policy-rc.d is gone then too" absent "$work/sys/usr/sbin/policy-rc.d"
check "and the service is not left enabled" absent "$work/state/enabled"

machine
with_systemd
: >"$work/state/offline"
check "without fresh lists it tries all the same" deps install build

machine
echo 1000 >"$work/state/uid"
check "no root, no sudo: fails" not deps install build
check "and says what root has to do" said 'as root: apt-get install gcc'
fake sudo <<EOF
#!/bin/sh
echo "sudo \$*" >>"$work/record"
echo 0 >"$work/state/uid"
exec "\$@"
EOF
with_systemd
check "with sudo it installs" deps install build
check "by way of sudo" recorded '^sudo sh deploy/deps.sh apt gcc'

machine
rm "$work/bin/apt-get"
check "no apt: fails" not deps install build
check "and names the packages" said 'missing: gcc .*lighttpd \(the names are Debian'

exit $((bad > 0))
