#!/usr/bin/env python3
"""
run.py - power cuts, failing and full disks, damaged stores, trainers that die.

    tests/power/run.py [PART...]     PART: one of build/tests/powercut (cuts, migrations, faults, orders, trainers,
                                     damage), or of those made with processes: damaged, readonly, killed

build/tests/powercut puts SQLite on a disk in memory (disk.h) under the code of lib. With real files and the real
programs: damaged stores opened by each program, a store on a disk mounted read-only, and trainers killed with SIGKILL, the next one with a clock beyond
their lease.

Environment: POWER_LONG=1, the long form (minutes of processor; half a minute without); POWER_SEED, the seed of all that is random
(printed); KEEP=1 keeps the stores.
"""
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
sys.dont_write_bytecode = True
import harness as h  # noqa: E402

LONG = bool(os.environ.get("POWER_LONG"))
SEED = int(os.environ.get("POWER_SEED") or random.SystemRandom().randrange(1 << 31))
OF_PROCESSES = ("damaged", "readonly", "killed")
STORE = "prelabel.sqlite3"
ANSWERS = {200, 201, 202, 404, 422, 503, 507}
BEYOND_S = 41       # a lease of 30 s, and 10
passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok   " if good else "FAIL ") + name + (f"  [{' '.join(str(detail).split())[:500]}]" if not good else ""), flush=True)
    return good


def in_memory(parts):
    """The program's own lines; its sums are added to ours."""
    global passed, failed
    command = [os.path.join(h.BUILD, "tests", "powercut"), "--seed", str(SEED), *(["--long"] if LONG else []), *parts]
    p = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace")
    sums = None
    for line in p.stdout:
        words = line.split()
        if len(words) == 4 and words[1] == "passed," and words[3] == "failed":
            sums = int(words[0]), int(words[2])
        else:
            print(line, end="", flush=True)
    p.wait()
    if check("powercut: it comes to its end", sums and p.returncode == (sums[1] > 0), p.returncode):
        passed, failed = passed + sums[0], failed + sums[1]


def make_store(folder, queued):
    """A store with a version in force and, if told so, the next training queued: by hand, so that no trainer starts."""
    with h.Cgi(folder, START_TRAINING_EACH_N_UPDATES="1000000") as b:
        project = h.Project()
        b.setup(project)
        assert b.hook(project.created_many([event["annotation"] for event in project.some(60)])).status == 201
        code, out, err = b.cli("train", "--project", 1)
        assert code == 0, (out, err)
        if queued:
            many = [event["annotation"] for event in project.some(300, start=60)]
            assert b.hook(project.created_many(many)).status == 201
            db = sqlite3.connect(os.path.join(folder, STORE))
            db.execute("INSERT INTO train_job (project, state, reason, queued_s) VALUES (1, 'queued', 'updates', ?)", (int(time.time()),))
            db.commit()
            db.close()
    return project


# ---- damaged stores, opened by the programs ------------------------------------------
KINDS = ["bytes", "page zeroed", "page of noise", "cut off", "header", "empty", "schema"]


def damaged(data, kind, rng):
    """The bytes after it."""
    data, page = bytearray(data), 4096
    if kind == "bytes":
        for _ in range(rng.randint(1, 40)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind.startswith("page"):
        at = rng.randrange(len(data) // page) * page
        data[at:at + page] = bytes(page) if kind == "page zeroed" else rng.randbytes(page)
    elif kind == "cut off":
        del data[rng.randrange(len(data)):]
    elif kind == "empty":
        del data[rng.choice([0, 1, 15, 99, 511]):]
    else:
        at = rng.randrange(16 if kind == "header" else 100, 100 if kind == "header" else page)
        data[at:at + 4] = rng.randbytes(4)
    return bytes(data)


def ask_all(b, project):
    """What is wrong with the answers, '' if nothing."""
    for name, ask in (("GET /health", lambda: b.get("/health", timeout=5)), ("GET /status", lambda: b.get("/status", timeout=5)),
                      ("POST /predict", lambda: b.post("/predict", project.predict_body(["a text"]), timeout=5)),
                      ("POST /setup", lambda: b.post("/setup", project.setup_body(), timeout=5)),
                      ("POST /webhook", lambda: b.post("/webhook", project.some(1, start=900)[0], timeout=5))):
        try:
            answer = ask()
        except OSError as e:
            return f"{name}: {e}"
        if answer.status not in ANSWERS or answer.json is None:
            return f"{name}: {answer}"
    return ""


def damaged_stores(work):
    n, rng = 300 if LONG else 12, random.Random(SEED)
    folder = os.path.join(work, "whole")
    project = make_store(folder, queued=False)
    with open(os.path.join(folder, STORE), "rb") as f:
        whole = f.read()
    for i in range(n):
        copy = os.path.join(work, f"damaged-{i}")
        os.mkdir(copy, 0o700)
        kind = KINDS[i % len(KINDS)]
        with open(os.path.join(copy, STORE), "wb") as f:
            f.write(damaged(whole, kind, rng))
        with h.Cgi(copy, START_TRAINING_EACH_N_UPDATES="1000000") as b:
            wrong = ask_all(b, project)
            for command in ("status", "versions"):
                try:
                    code, _, err = b.cli(command, timeout=5)
                except subprocess.TimeoutExpired:
                    code, err = None, "no answer in time"
                if not wrong and (code not in (0, 1) or (code == 1 and not err.strip())):
                    wrong = f"prelabel {command}: {code} {err}"
        check(f"damaged: store {i}, {kind}: no crash, no hang, no 500, and a reason", not wrong, wrong)
        shutil.rmtree(copy)


# ---- a disk that is mounted read-only ---------------------------------------------------
def ask_there(b, path, body):
    """One request to a program within a mount of its own, in which the store's folder is read-only."""
    data = b"" if body is None else json.dumps(body).encode()
    program, env = b.variables("GET" if body is None else "POST", path, None if body is None else data, {})
    script = f"mount --bind '{b.dir}' '{b.dir}' && mount -o remount,ro,bind '{b.dir}' && exec '{h.BUILD}/cgi/{program}'"
    p = subprocess.run(["unshare", "--mount", "sh", "-c", script], env=env, input=data, capture_output=True, timeout=60)
    return b.parse(p.returncode, p.stdout)


def read_only(work):
    if subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True).returncode != 0:
        print("#    readonly: left out, since nothing can be mounted here")
        return
    for title, name in (("", "readonly"), (", in a folder with an odd name", "read only? 100%23#")):
        folder = os.path.join(work, name)
        project = make_store(folder, queued=False)
        with h.Cgi(folder) as b:
            before = b.post("/predict", project.predict_body(["a text"]))
            after = ask_there(b, "/predict", project.predict_body(["a text"]))
            check(f"readonly: predictions go on{title}", after.status == 200 and after.json == before.json, after)
            after = ask_there(b, "/setup", project.setup_body())
            check(f"readonly: /setup says the version{title}", after.status == 200, after)
            after = ask_there(b, "/status", None)
            check(f"readonly: /status answers{title}", after.status == 200, after)
            after = ask_there(b, "/webhook", project.some(1, start=900)[0])
            check(f"readonly: an event is refused, and says why{title}", after.status == 503 and "readonly" in str(after.json), after)


# ---- trainers that are killed ----------------------------------------------------------
def numbers(folder):
    """(jobs not done, versions, integrity) of project 1."""
    db = sqlite3.connect(os.path.join(folder, STORE), timeout=10)
    try:
        return (db.execute("SELECT count(*) FROM train_job WHERE state <> 'done'").fetchone()[0],
                db.execute("SELECT count(*) FROM model_version").fetchone()[0], db.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        db.close()


def train(folder, *before):
    return subprocess.Popen([*before, os.path.join(h.BUILD, "prelabel"), "train", "--due"], env=h.settings(folder),
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_trainers(work):
    n, rng, struck = 100 if LONG else 6, random.Random(SEED), 0
    folder = os.path.join(work, "queued")
    make_store(folder, queued=True)
    copy = os.path.join(work, "undisturbed")
    shutil.copytree(folder, copy)
    began = time.monotonic()
    train(copy).wait()
    takes = time.monotonic() - began
    for i in range(4 * n):          # one that has ended before it was killed does not count
        if struck == n:
            break
        copy = os.path.join(work, f"killed-{i}")
        shutil.copytree(folder, copy)
        p = train(copy)
        time.sleep(takes * rng.random())
        struck += p.poll() is None
        p.send_signal(signal.SIGKILL)
        p.wait()
        # Another day's clock is no reason to wait for ever.
        step = rng.choice([f"+{BEYOND_S}s", f"+{BEYOND_S}s", "+1d", "-1d"])
        code = train(copy, "faketime", "-f", step).wait(120)
        got = numbers(copy)
        check(f"killed: trainer {i}, next clock {step}: the job is done, published once", code == 0 and got == (0, 2, "ok"), (code, got))
        shutil.rmtree(copy)
    print(f"#    {struck} of {i + (struck < n)} trainers were killed at work, which took {takes:.3f} s")
    check("killed: at work, most of them", struck >= n * 0.5, struck)


def main():
    parts = sys.argv[1:]
    if any(p.startswith("-") for p in parts):
        sys.exit(__doc__.split("\n\n")[1])
    work = tempfile.mkdtemp(prefix="prelabel-power-")
    began = time.monotonic()
    print(f"# seed {SEED} (POWER_SEED), {'long' if LONG else 'short'} form", flush=True)
    try:
        if not parts or set(parts) - set(OF_PROCESSES):
            in_memory([p for p in parts if p not in OF_PROCESSES])
        if not parts or "damaged" in parts:
            damaged_stores(work)
        if not parts or "readonly" in parts:
            read_only(work)
        if not parts or "killed" in parts:
            if os.environ.get("SANITIZE"):
                print("#    killed: left out, since a sanitizer's runtime and faketime don't go together")
            else:
                killed_trainers(work)
    finally:
        if os.environ.get("KEEP"):
            print(f"# kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    used = os.times()
    cpu = used.user + used.system + used.children_user + used.children_system
    print(f"# seed {SEED}, {time.monotonic() - began:.0f} s, {cpu:.0f} s of processor\n{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
