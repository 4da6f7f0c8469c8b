#!/usr/bin/env python3
"""readme.py - runs the commands of README.md, so that they stay true.

    tests/e2e/readme.py [README.md]     from the root of the tree

Fenced blocks with these info strings are run in order, in a scratch copy of the tree, by `sh -e`; others are only read.

    ```sh run            must end with status 0
    ```sh run server     starts something that stays: the next block runs when its port answers; SIGTERM at the end
    ```json output       (any language) what the block before it printed: each line must be found in the output, in
                         order; … in a line stands for anything

The port 9090 of the text is exchanged for a free one, the store is the copy's own. A README without such a block fails.
"""
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok   " if good else "FAIL ") + name + (f"\n     {detail.strip()[-600:]}" if detail and not good else ""), flush=True)
    return good


def blocks(text):
    """(line number, info words, body) of each fenced block."""
    for m in re.finditer(r"^```([^\n`]*)\n(.*?)^```[ \t]*$", text, re.M | re.S):
        yield text.count("\n", 0, m.start()) + 1, m.group(1).split(), m.group(2)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    try:
        con = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
        con.request("GET", "/livez")
        return con.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def in_order(shown, printed):
    """The first line of `shown` that is not in `printed` after the ones before it; None when all are."""
    at = 0
    for line in filter(str.strip, shown.splitlines()):
        m = re.compile(".*?".join(map(re.escape, line.strip().split("…"))), re.S).search(printed, at)
        if not m:
            return line
        at = m.end()
    return None


def stop(server):
    os.killpg(server.pid, signal.SIGTERM)
    try:
        return server.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        return None


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "README.md"
    with open(name, encoding="utf-8") as f:
        text = f.read()
    work = tempfile.mkdtemp(prefix="prelabel-readme-")
    tree, port = os.path.join(work, "prelabel"), free_port()
    shutil.copytree(".", tree, symlinks=True, ignore=lambda d, names: [n for n in names if d == "." and n in (".git", "data")])
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "BASIC_AUTH_", "MAKE", "MFLAGS", "MODEL_DIR"))}
    env["PORT"] = str(port)
    servers, printed = [], None
    try:
        for line, info, body in blocks(text):
            where = f"{os.path.basename(name)}:{line}: {body.strip().splitlines()[0] if body.strip() else ''}"
            body = body.replace("9090", str(port))
            if info[:3] == ["sh", "run", "server"]:
                log = open(os.path.join(work, f"server-{line}.log"), "w+", encoding="utf-8")
                servers.append((where, subprocess.Popen(["sh", "-e", "-c", body], cwd=tree, env=env, stdin=subprocess.DEVNULL, stdout=log,
                                                        stderr=subprocess.STDOUT, start_new_session=True)))
                end = time.monotonic() + 300
                while not answers(port) and servers[-1][1].poll() is None and time.monotonic() < end:
                    time.sleep(0.1)
                log.seek(0)
                printed = log.read()
                check(f"{where} answers", servers[-1][1].poll() is None and answers(port), printed)
            elif info[:2] == ["sh", "run"]:
                try:
                    run = subprocess.run(["sh", "-e", "-c", body], cwd=tree, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, text=True, timeout=600)
                    printed = run.stdout
                    check(where, run.returncode == 0, f"exit {run.returncode}: {printed}")
                except subprocess.TimeoutExpired:
                    check(where, False, "did not end in 600 s")
            elif info[1:2] == ["output"]:
                missing = "no block was run before it" if printed is None else in_order(body, printed)
                check(f"{where} was printed", missing is None, f"not found: {missing}\n     in: {printed}")
        check("the README has commands to run", printed is not None)
        for where, server in servers:
            check(f"{where} ends at SIGTERM", server.poll() is None and stop(server) is not None)
    finally:
        for _, server in servers:
            if server.poll() is None:
                stop(server)
        shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
