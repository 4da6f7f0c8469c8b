#!/usr/bin/env python3
"""run.py - the fuzz targets of this folder, and what is compared with other implementations.

    run.py [GROUP...]                without libFuzzer: files, mutate, differential, records;
                                     all of them in a short form, which `make test STEPS=fuzz` is
    run.py GROUP --count N           that group in a longer form
    run.py search [--seconds N] [TARGET...]
                                     libFuzzer, N seconds a target, JOBS at a time (make fuzz)
    run.py keep [TARGET...]          what search found into corpus/, only what adds something

Closes with `N passed, N failed`.  In the environment: BUILD, JOBS (1), SEED.
An input that breaks a promise is named, and kept under $BUILD/fuzz/found; with the fix it
goes into regress/TARGET, under a name that says what went wrong.
"""
import argparse, concurrent.futures, glob, hashlib, os, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD", "build")
SEED = int(os.environ.get("SEED", "1"))
COMMON = {"fuzz", "plain", "mutate", "pipe"}
TARGETS = sorted(os.path.basename(f)[:-2] for f in glob.glob(HERE + "/*.c") if os.path.basename(f)[:-2] not in COMMON)
FOUND = os.path.abspath(BUILD + "/fuzz/found")
INPUT_MAX = 4096                # bytes of an input that is searched
KEPT_MAX = 1024                 # of one that is kept
passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(f"ok   {name}" if good else f"FAIL {name}  [{' '.join(str(detail).split())[:600]}]", flush=True)
    return good


def files(kind, target):
    return sorted(glob.glob(f"{HERE}/{kind}/{target}/*"))


def work():
    """Stores are made here: in memory where there is some."""
    return tempfile.TemporaryDirectory(prefix="prelabel-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def run(command, folder, seconds):
    env = dict(os.environ, TMPDIR=folder)
    for name in ("BASIC_AUTH_USER", "BASIC_AUTH_PASS", "WEBHOOK_SECRET", "LABEL_STUDIO_API_KEY", "MODEL", "MODEL_DIR", "PRELABEL_RUN_DIR"):
        env.pop(name, None)
    try:
        return subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=seconds, errors="replace")
    except subprocess.TimeoutExpired as e:
        return subprocess.CompletedProcess(command, 124, (e.stdout or b"").decode(errors="replace") + f"\nnot done after {seconds} s", "")


def why(output):
    said = re.findall(r"^.*(?:broken:|ERROR: |runtime error|SUMMARY|not done after|leak of).*$", output, re.M)
    return " | ".join(said[:3]) or output[-300:]


def plain(target):
    return os.path.abspath(f"{BUILD}/tests/fuzz-{target}")


def group_files(count):
    """Every kept input, once."""
    for target in TARGETS:
        for kind in ("corpus", "regress"):
            inputs = files(kind, target)
            if not inputs:
                if kind == "corpus":
                    check(f"{target}: it has a corpus", False)
                continue
            with work() as folder:
                r = run([plain(target)] + inputs, folder, 300)
            last = [line for line in r.stdout.splitlines() if line.startswith(HERE)][-1:] or [""]
            check(f"{target}: {len(inputs)} files of {kind}", r.returncode == 0, f"status {r.returncode} at {os.path.basename(last[0])}: {why(r.stdout)}")


# Of the short form, as many as take about a second without a sanitizer.
MUTATIONS = {"weights": 10000, "auth": 20000, "json": 20000, "log": 20000, "label_config": 3000, "tokenize": 1000, "predict": 2000,
             "variables": 2000, "setup": 500, "webhook": 300, "tasks": 150, "ls_answers": 500}


def group_mutate(count):
    """The kept inputs changed, the same way every time (SEED)."""
    for target in TARGETS:
        n = count or MUTATIONS.get(target, 1000)
        with work() as folder:
            r = run([plain(target), "--mutate", str(n), "--seed", str(SEED)] + files("corpus", target) + files("regress", target), folder, 60 + n // 20)
            broken = f"{folder}/broken-fuzz-{target}"
            kept = ""
            if os.path.exists(broken):
                os.makedirs(FOUND, exist_ok=True)
                kept = f"{FOUND}/{target}-mutated"
                shutil.copy(broken, kept)
        check(f"{target}: {n} changed inputs", r.returncode == 0, f"status {r.returncode}, input {kept}: {why(r.stdout)}")


def script(name, count):
    r = subprocess.run([sys.executable, "-u", f"{HERE}/{name}.py"] + ([str(count)] if count else []), stdin=subprocess.DEVNULL)
    return check(f"{name}.py", r.returncode == 0, f"status {r.returncode}")


def group_differential(count):
    script("differential", count)


def group_records(count):
    script("records", count)


# ---- libFuzzer ---------------------------------------------------------------------

def search_one(target, seconds):
    grown = os.path.abspath(f"{BUILD}/fuzz/corpus/{target}")
    os.makedirs(grown, exist_ok=True)
    os.makedirs(FOUND, exist_ok=True)
    with work() as folder:
        dirs = [grown] + [d for d in (f"{HERE}/corpus/{target}", f"{HERE}/regress/{target}") if os.path.isdir(d)]
        r = run([os.path.abspath(f"{BUILD}/fuzz/fuzzer-{target}"), f"-max_total_time={seconds}", f"-max_len={INPUT_MAX}", "-timeout=10", "-rss_limit_mb=2560",
                 f"-artifact_prefix={FOUND}/{target}-", f"-dict={HERE}/words.dict", "-print_final_stats=1"] + [f"-seed={SEED}"] * ("SEED" in os.environ) + dirs, folder, seconds + 120)
    done = re.search(r"stat::number_of_executed_units:\s+(\d+)", r.stdout)
    cover = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", r.stdout)[-1:] or [("0", "0", "0")]
    return target, r, int(done.group(1)) if done else 0, cover[0]


def search(targets, seconds):
    total = 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "1"))) as pool:
        for target, r, n, (edges, features, inputs) in pool.map(lambda t: search_one(t, seconds), targets):
            total += n
            where = re.search(r"Test unit written to (\S+)", r.stdout)
            check(f"{target}: {n} executions in {seconds} s, {edges} edges, {features} features, {inputs} inputs", r.returncode == 0 and n > 0,
                  f"status {r.returncode}, input {where.group(1) if where else 'none'}: {why(r.stdout)}")
    print(f"{total} executions")


def keep(targets):
    """Merged by libFuzzer: first what is there, then of what was found the small ones that add something."""
    for target in targets:
        there = f"{HERE}/corpus/{target}"
        with work() as folder:
            small, merged = folder + "/small", folder + "/merged"
            os.makedirs(small), os.makedirs(merged)
            for f in glob.glob(f"{BUILD}/fuzz/corpus/{target}/*"):
                if os.path.getsize(f) <= KEPT_MAX:
                    shutil.copy(f, small)
            for f in files("corpus", target):
                shutil.copy(f, merged)
            r = run([os.path.abspath(f"{BUILD}/fuzz/fuzzer-{target}"), "-merge=1", merged, small], folder, 600)
            added = 0
            for f in glob.glob(merged + "/*"):
                with open(f, "rb") as g:
                    data = g.read()
                name = hashlib.sha1(data).hexdigest()[:12]
                if not os.path.exists(f"{there}/{os.path.basename(f)}") and not os.path.exists(f"{there}/{name}"):
                    shutil.copy(f, f"{there}/{name}")
                    added += 1
        check(f"{target}: {added} added, {len(files('corpus', target))} kept", r.returncode == 0, why(r.stdout))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("group", nargs="*")
    p.add_argument("--count", type=int, default=0)
    p.add_argument("--seconds", type=int, default=60)
    a = p.parse_intermixed_args()
    groups = {"files": group_files, "mutate": group_mutate, "differential": group_differential, "records": group_records}
    if a.group[:1] == ["search"]:
        search(a.group[1:] or TARGETS, a.seconds)
    elif a.group[:1] == ["keep"]:
        keep(a.group[1:] or TARGETS)
    else:
        for g in a.group or groups:
            if g not in groups:
                p.error(f"no such group: {g}")
            groups[g](a.count)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
