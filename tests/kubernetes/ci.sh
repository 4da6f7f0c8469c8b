#!/bin/sh
# ci.sh - the manifests of deploy/kubernetes, against the schemas that the PyPI package
# kubernetes-validate brings along, and against what the programs know.
# Called from the root of the tree, with BUILD.  KUBERNETES_CACHE: where the package is
# installed once.
set -eu
: "${BUILD:=build}"
here=tests/kubernetes
cache=${KUBERNETES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/prelabel-kubernetes}
export BUILD

if ! cmp -s "$here/requirements.txt" "$cache/requirements.txt"; then
    rm -rf "$cache/venv"
    mkdir -p "$cache"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install -q --no-deps -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$cache/requirements.txt"
fi
exec "$cache/venv/bin/python" "$here/check.py"
