#!/usr/bin/env python3
"""
run.py - runs the HTTP tests:  run.py [--list] [--mutations] [NAME...]

A NAME is a group (basics), a test (r12_json) or a part of a test's name.  One line a
check (`ok   name`, `FAIL name [detail]`), then `N passed, N failed`; the exit
status is 0 when none failed.  JOBS tests run at a time (4: they mostly wait);
LIMIT seconds for all of them (900).

--mutations: every check must be able to fail.  Each mutation of mutations.py spoils
the answers on their way to the checks; one that no check notices is a failure.
"""
import glob
import importlib
import os
import queue
import re
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness  # noqa: E402

# The long ones first, so that nothing long runs alone at the end.
ORDER = ("promises", "metrics", "training", "webhook", "older", "shapes", "contract", "reliability", "cli", "history", "setup", "predict", "interactive", "settings", "status", "basics")
TEST = re.compile(r"^(t_|r\d\d_)")


def tests(names):
    """(group, test name, transport, function), chosen by names."""
    out = []
    files = [os.path.basename(f)[5:-3] for f in glob.glob(os.path.join(harness.HERE, "test_*.py"))]
    for group in sorted(files, key=lambda g: ORDER.index(g) if g in ORDER else 99):
        module = importlib.import_module("test_" + group)
        for name, fn in vars(module).items():
            if TEST.match(name) and callable(fn):
                for transport in getattr(fn, "transports", (None,)):
                    if not names or any(n == group if n in files else n in name for n in names):
                        out.append((group, name, transport, fn))
    return out


def run_one(group, name, transport, fn):
    title = group + (" cgi" if transport == "cgi" else "")
    report = harness.Report(title)
    harness.use_report(report)
    try:
        fn(harness.TRANSPORT[transport]) if transport else fn()
    except Exception as e:      # a test that breaks off is a failed check, named for the test
        where = traceback.extract_tb(e.__traceback__)
        at = next((f"{os.path.basename(w.filename)}:{w.lineno}" for w in where if "test_" in w.filename), "")
        report.check(name.removeprefix("t_"), False, f"{type(e).__name__} at {at}: {e}")
    if not report.lines:
        report.check(name.removeprefix("t_"), False, "no check ran")
    return report


def run(chosen, out=print):
    work, done, lock = queue.Queue(), [], threading.Lock()
    for t in chosen:
        work.put(t)
    open_tests = {}

    def worker():
        while True:
            try:
                t = work.get_nowait()
            except queue.Empty:
                return
            key = t[:3]
            with lock:
                open_tests[key] = time.time()
            report = run_one(*t)
            with lock:
                took = time.time() - open_tests.pop(key)
                done.append((report, took, key))
                for line in report.lines:
                    out(line)

    threads = [threading.Thread(target=worker, daemon=True) for _ in range(int(os.environ.get("JOBS", "4")))]
    end = time.time() + float(os.environ.get("LIMIT", "900")) * harness.SLOW
    for t in threads:
        t.start()
    for t in threads:
        t.join(max(0.0, end - time.time()))
    with lock:
        passed, failed = sum(r.passed for r, _, _ in done), sum(r.failed for r, _, _ in done)
        failures = [f for r, _, _ in done for f in r.failures]
        late = list(open_tests) + [t[:3] for t in list(work.queue)]
    for key in late:
        out(f"FAIL {key[0]}: {key[1]} [not finished in time]")
        failed += 1
        failures.append(f"{key[0]}: {key[1]}")
    if os.environ.get("TIMES"):
        for r, took, key in sorted(done, key=lambda d: -d[1])[:25]:
            out(f"# {took:6.1f} s  {key[0]} {key[1]} {key[2] or ''}")
    return passed, failed, failures


def run_mutations():
    import mutations
    passed = failed = 0
    before = {}     # what fails without a mutation proves nothing
    for name, names, spoil in mutations.ALL:
        if names[0] not in before:
            before[names[0]] = set(run(tests(names), out=lambda line: None)[2])
        harness.MUTATION = spoil
        seen = sorted(set(run(tests(names), out=lambda line: None)[2]) - before[names[0]])
        harness.MUTATION = None
        if seen:
            passed += 1
            print(f"ok   mutation {name}: seen by {len(seen)} checks, first: {seen[0]}", flush=True)
        else:
            failed += 1
            print(f"FAIL mutation {name}: no check of {' '.join(names)} noticed", flush=True)
    return passed, failed


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("-")]
    flags = [a for a in sys.argv[1:] if a.startswith("-")]
    if set(flags) - {"--list", "--mutations"}:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    if "--mutations" in flags:
        passed, failed = run_mutations()
    else:
        chosen = tests(args)
        if "--list" in flags:
            for group, name, transport, fn in chosen:
                print(group, name, transport or "")
            return 0
        if not chosen:
            print(f"no test is called {' '.join(args)}", file=sys.stderr)
            return 2
        t = time.time()
        passed, failed, _ = run(chosen, out=lambda line: print(line, flush=True))
        print(f"# {time.time() - t:.0f} s")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)        # a test that hangs is a daemon thread; its lines are out
