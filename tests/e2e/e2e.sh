#!/bin/sh
# e2e.sh - the checks of e2e.py against a real Label Studio (SQLite, loopback, fresh data each run).
#
#   BACKEND_CMD='make -s run' tests/e2e/e2e.sh              the script starts the backend itself (all groups), or
#   BACKEND_URL=http://127.0.0.1:9090 tests/e2e/e2e.sh      a backend that is already running
#
# Label Studio is installed once into a folder of its own; where that fails, so does this script: it never skips.
#
# BACKEND_CMD is run by sh in the current directory, stays in the foreground, and gets in its environment
#   PORT, MODEL_DIR (empty directory), LABEL_STUDIO_URL (also as LABEL_STUDIO_HOST), LABEL_STUDIO_API_KEY,
#   START_TRAINING_EACH_N_UPDATES, and for the group "auth" BASIC_AUTH_USER and BASIC_AUTH_PASS; in the
#   group "agree" a second one runs without LABEL_STUDIO_API_KEY. It is stopped by SIGTERM to its process
#   group, and for the group "restart" started again with the same environment.
# With BACKEND_URL, fix Label Studio's port and token beforehand so that the backend can know them:
#   E2E_LS_PORT=8080 E2E_KEY=legacy  and give the backend the token in lslib.py (LEGACY_TOKEN).
#   BACKEND_BASIC_AUTH=user:pass if that backend asks for it;
#   BACKEND_AUTH_URL and BACKEND_AUTH_USERPASS=user:pass: a second one, for the group "auth".
#
# Other settings:
#   E2E_N (10)              the backend's START_TRAINING_EACH_N_UPDATES
#   E2E_KEY (pat)           token kind given to the backend: pat (personal access token) or legacy
#   E2E_ONLY, E2E_SKIP      comma-separated groups: connect predict train delete projects labels nopayload agree
#                           auth interactive active uncertainty load several lossy own doctor restart
#   E2E_PRELABEL            the command line program of the groups "agree", "own" and "uncertainty" (build/prelabel)
#   E2E_BACKEND_START (300) seconds for the backend to answer (a first start may build it)
#   E2E_TRAIN_TIMEOUT (60)  seconds to wait for a new model version
#   E2E_CACHE               directory outside the repository for the venv and a migrated empty database
#                           (default: $XDG_CACHE_HOME or ~/.cache, /prelabel-e2e)
#   E2E_LS_ENV=FILE         lines NAME=VALUE: Label Studio's first start has its settings, user and token from
#                           these alone (those of lslib.py; with E2E_KEY=legacy), as in a container
#   E2E_KEEP=1              keep logs and data, and print where
#   PIP_ARGS                extra arguments for pip install
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${E2E_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/prelabel-e2e}"
export E2E_CACHE
mkdir -p "$E2E_CACHE"
version=$(sed -n 's/^LS_VERSION = "\(.*\)"$/\1/p' "$here/lslib.py")
venv=$E2E_CACHE/venv-$version

die() {
    echo "e2e: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian splits venv off from python3: the module is there, what it needs to install pip is not.
need_venv() {
    python3 -c 'import venv, ensurepip' 2>/dev/null && return
    command -v apt-get >/dev/null || die "Label Studio needs python3 with venv and pip: install them (python3-venv)"
    echo "# installing python3-venv"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        python3 python3-venv ca-certificates >/dev/null
    python3 -c 'import venv, ensurepip' || die "python3 still has no venv after installing python3-venv"
}

if [ ! -f "$venv/.ready" ]; then
    need_venv
    echo "# installing label-studio $version"
    start=$(date +%s)
    rm -rf "$venv"
    python3 -m venv "$venv" || die "python3 -m venv $venv failed"
    # shellcheck disable=SC2086
    "$venv/bin/pip" install -qq --disable-pip-version-check ${PIP_ARGS-} "label-studio==$version" ||
        die "label-studio $version could not be installed"
    touch "$venv/.ready"
    echo "# installed in $(($(date +%s) - start)) s"
fi
LABEL_STUDIO_EXE=$venv/bin/label-studio
export LABEL_STUDIO_EXE
exec "$venv/bin/python" "$here/e2e.py" "$@"
