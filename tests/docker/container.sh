#!/bin/sh
# container.sh - images and containers where no container engine runs: buildah builds by the
# Dockerfile's own lines, crun runs.  As root on Debian; installs both.
#
#   container.sh build TAG [OPTION OF buildah bud]... DIR
#   container.sh unpack TAG FOLDER       FOLDER/rootfs, image.json (its config), config.json (for crun)
#   container.sh size TAG                in MB, as it lies on a disk
#   container.sh run FOLDER [-v DIR:PATH]... [NAME=VALUE]... [-- COMMAND...]
#   container.sh exec FOLDER ID COMMAND...
#   container.sh serve FOLDER            run, with the settings in our environment; MODEL_DIR is
#                                        given to the image's user and lies at the same path within
#
# `run` is what the compose files ask of an engine: the image's user, folder, environment and
# entry point; a read-only root, a tmpfs at /tmp, no capability, no new privileges, processes
# of its own beginning with 1; the network is this machine's.  It runs in the foreground and
# hands signals on.  ID: the id of the process that runs it.
#
# The base image is made of Debian's packages, since there is no registry to have it from.
# shellcheck disable=SC2016
set -eu
export BUILDAH_ISOLATION=chroot
# Images are kept apart from those of this machine.
: "${CONTAINER_STORE:=${BUILD:-build}/containers}"
in_store() { buildah --root "$store" --runroot "$store/run" --storage-driver "$driver" "$@"; }

# Without overlays each step copies all below it: slow and large, but it goes.
need_store() {
    mkdir -p "$CONTAINER_STORE"
    store=$(cd "$CONTAINER_STORE" && pwd)
    driver=${CONTAINER_DRIVER:-overlay}
    in_store info >/dev/null 2>&1 || driver=vfs
}

need_tools() {
    for t in buildah crun jq mmdebstrap; do
        command -v "$t" >/dev/null || set -- "$@" "$t"
    done
    [ $# = 0 ] || {
        echo "container: installing $*" >&2
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "$@" >/dev/null
    }
}

# What the image of that name is made of: no recommended packages, no documentation.
need_base() {
    ! in_store inspect --type image debian:bookworm-slim >/dev/null 2>&1 || return 0
    mmdebstrap --format=tar --variant=minbase --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' bookworm "$store/base.tar" 2>"$store/base.log" || {
        cat "$store/base.log" >&2
        return 1
    }
    base=$(in_store from scratch)
    in_store add -q "$base" "$store/base.tar" / >/dev/null
    in_store config --cmd bash "$base"
    in_store commit -q --rm "$base" docker.io/library/debian:bookworm-slim >/dev/null
    rm -f "$store/base.tar"
}

build() {
    tag=$1
    shift
    in_store bud -q --format docker --isolation chroot --pull-never --layers -t "$tag" "$@"
}

unpack() {
    container=$(in_store from --pull-never "$1")
    mkdir -p "$2/state"
    cp -a "$(in_store mount "$container")" "$2/rootfs"
    in_store rm "$container" >/dev/null
    in_store inspect --type image "$1" | jq .Docker.config >"$2/image.json"
    # Names of this machine, as an engine gives them.
    mkdir -p "$2/rootfs/etc"
    for f in /etc/hosts /etc/resolv.conf; do cp "$f" "$2/rootfs$f"; done
    rm -f "$2/config.json"
    (cd "$2" && crun spec)
    jq --slurpfile i "$2/image.json" '$i[0] as $i | ("\($i.User // "")" | if . == "" then "0:0" else . end | split(":") | map(tonumber)) as [$uid, $gid]
        | .process += {terminal: false, user: {uid: $uid, gid: $gid}, cwd: ($i.WorkingDir // "/"), env: $i.Env,
                       args: (($i.Entrypoint // []) + ($i.Cmd // [])), noNewPrivileges: true, rlimits: [],
                       capabilities: {}}
        | .root = {path: "rootfs", readonly: true} | .hostname = ""
        | .mounts |= map(select(.destination | startswith("/sys") | not))
        | .mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "noexec"]}]
        | .linux.namespaces |= map(select(.type | IN("network", "cgroup", "uts") | not))' \
        "$2/config.json" >"$2/base.json"
}

# A private cgroup folder without anything in it: crun takes some mixtures of versions for an error.
hidden='mount -t tmpfs tmpfs /sys/fs/cgroup; exec crun --cgroup-manager=disabled --root "$0" "$@"'

run() {
    folder=$(cd "$1" && pwd)
    shift
    bundle=$folder/state/bundle.$$
    # An earlier process with our id may have been killed by -9.
    rm -rf "$bundle" "$folder/state/prelabel-$$"
    mkdir "$bundle"
    cp "$folder/base.json" "$bundle/config.json"
    change() {
        jq "$@" <"$bundle/config.json" >"$bundle/new.json"
        mv "$bundle/new.json" "$bundle/config.json"
    }
    change --arg r "$folder/rootfs" '.root.path = $r'
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        case $1 in
        -v)  change --arg from "${2%%:*}" --arg to "${2#*:}" \
                 '.mounts += [{destination: $to, type: "bind", source: $from, options: ["rbind", "rw"]}]'
             shift ;;
        *=*) change --arg n "${1%%=*}" --arg nv "$1" \
                 '.process.env |= map(select(startswith($n + "=") | not)) + [$nv]' ;;
        *)   echo "container: $1?" >&2; exit 2 ;;
        esac
        shift
    done
    [ $# = 0 ] || { shift; change '.process.args = $ARGS.positional' --args -- "$@"; }
    exec unshare --mount sh -c "$hidden" "$folder/state" run --bundle "$bundle" "prelabel-$$"
}

serve() {
    folder=$1
    mkdir -p -m 700 "$MODEL_DIR"
    chown -R 9090:9090 "$MODEL_DIR"
    # Not what is empty in ours: an image's own HOST stays.
    set -- "$folder" -v "$MODEL_DIR:$MODEL_DIR"
    for name in $(env -i "${BUILD:-build}/prelabel" env --json | jq -r 'keys[]') LABEL_STUDIO_URL LABEL_STUDIO_ACCESS_TOKEN; do
        eval "value=\${$name:-}"
        # shellcheck disable=SC2154
        [ -z "$value" ] || set -- "$@" "$name=$value"
    done
    run "$@"
}

size() {
    container=$(in_store from --pull-never "$1")
    du -sm --apparent-size "$(in_store mount "$container")" | cut -f1
    in_store rm "$container" >/dev/null
}

case ${1:-} in
build)  shift; need_tools; need_store; need_base; build "$@" ;;
unpack) need_store; unpack "$2" "$3" ;;
size)   need_store; size "$2" ;;
run)    shift; run "$@" ;;
serve)  shift; serve "$@" ;;
exec)   folder=$2 id=$3
        shift 3
        exec unshare --mount sh -c "$hidden" "$folder/state" exec --no-new-privs "prelabel-$id" "$@" ;;
*)      sed -n '2,22p' "$0"; exit 2 ;;
esac
