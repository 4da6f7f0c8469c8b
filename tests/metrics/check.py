#!/usr/bin/env python3
"""
check.py - /metrics as promtool reads it, in every state of a server; what /livez promises;
the rules of deploy/prometheus.  Called by ci.sh with BUILD and PROMTOOL.
"""
import os
import re
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "http"))
sys.dont_write_bytecode = True
import harness  # noqa: E402
from harness import Cgi, Project, Server, check  # noqa: E402


def promtool(*args, stdin=None):
    p = subprocess.run([os.environ["PROMTOOL"], *args], input=stdin, capture_output=True, timeout=60, cwd=ROOT)
    return p.returncode, (p.stdout + p.stderr).decode()


def samples(page):
    """{'name{labels}': value}"""
    return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in page.decode().splitlines() if line[:1] not in ("#", ""))}


def lint(name, answer):
    status, said = promtool("check", "metrics", stdin=answer.body)
    check(f"promtool check metrics: {name}: nothing to say", answer.status == 200 and status == 0 and said == "", said or answer)


def pages():
    """A server with nothing, at work, and without its store."""
    with Server(START_TRAINING_EACH_N_UPDATES=4) as b:
        lint("an empty store", b.get("/metrics"))
        p, q = Project(1), Project(2, created="2026-11-22T01:00:00Z")
        old = b.version(p)
        b.version(q)
        for i in range(4):
            b.hook(p.labelled(f"good {i}", "positive"))
            b.hook(p.labelled(f"bad {i}", "negative"))
        b.wait_version(p, old)

        def work(n):
            for i in range(40):
                b.predict(p, [f"good {n} {i}", "bad"])
                b.hook(q.event("NO_SUCH_ACTION"), "?project=2")
                b.get("/nothing/here")
        many = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for t in many:
            t.start()
        while any(t.is_alive() for t in many):
            a = b.get("/metrics")
            s = samples(a.body)
            uneven = [e for e in set(re.findall(r'_count\{endpoint="(\w+)"', a.body.decode())) if sum(
                v for k, v in s.items() if k.startswith(f'prelabel_http_requests_total{{endpoint="{e}"')) !=
                s[f'prelabel_http_request_duration_seconds_count{{endpoint="{e}"}}']]
            if a.status != 200 or uneven:
                break
        check("under load, count and requests of each endpoint agree on every page", a.status == 200 and not uneven, uneven)
        for t in many:
            t.join()
        a = b.get("/metrics")
        lint("a busy server", a)
        s = samples(a.body)
        check("160 requests of 4 clients at once are 160, and their tasks 320",
              s['prelabel_http_requests_total{endpoint="predict",status="200"}'] == 160 and s["prelabel_predicted_tasks_total"] == 320, s)
        check("the meter is the owner's alone", os.stat(os.path.join(b.dir, "metrics")).st_mode & 0o777 == 0o600)
        with open(os.path.join(b.dir, "more.json"), "w") as f:
            f.write('[{"id": 900, "data": {"text": "only a task"}, "annotations": []}]')
        code, _, err = b.cli("import", "--project", "1", os.path.join(b.dir, "more.json"))
        t = samples(b.get("/metrics").body)
        tasks = [k for k in t if k.startswith('prelabel_tasks{project="1"')]
        check("a task without an annotation is counted, also by a process that had counted", code == 0 and tasks and
              t[tasks[0]] == s[tasks[0]] + 1, (err, tasks and (s[tasks[0]], t[tasks[0]])))
        code, _, err = b.cli("forget", "--project", "2")
        a = b.get("/metrics")
        check("forget: its lines are gone, the counters stay", code == 0 and b'project="2"' not in a.body and
              samples(a.body)["prelabel_predicted_tasks_total"] == 320, err)
    for name, backend in (("fastcgi", Server), ("cgi", Cgi)):
        with backend() as b:
            # Only now: a start would refuse it.
            spoil(b)
            a = b.get("/metrics")
            check(f"{name}: a store that is none: 200, prelabel_store_up 0, nothing of the store", a.status == 200 and
                  samples(a.body).get("prelabel_store_up") == 0 and b"prelabel_projects" not in a.body and b"prelabel_build_info" in a.body, a)
            lint(f"{name}: a store that is none", a)


def spoil(b):
    for f in os.listdir(b.dir):
        if f.startswith("prelabel.sqlite3-"):
            os.unlink(os.path.join(b.dir, f))
    with open(os.path.join(b.dir, "prelabel.sqlite3"), "w") as f:
        f.write("this is no store " * 1000)


def store_open_in(b):
    """Programs that have the store open."""
    out = set()
    for pid, command in b.tree().items():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{fd}").endswith("prelabel.sqlite3"):
                out.add(os.path.basename(command.split()[0]))
    return out


def livez():
    for name, backend in (("fastcgi", Server), ("cgi", Cgi)):
        with backend(BASIC_AUTH_USER="u", BASIC_AUTH_PASS="pass-word") as b:
            check(f"{name}: /health and /metrics with credentials: 200", [b.get(p).status for p in ("/health", "/metrics")] == [200, 200])
            b.auth = None
            check(f"{name}: without: 401", [b.get(p).status for p in ("/health", "/metrics")] == [401, 401])
            a = b.get("/livez")
            check(f"{name}: /livez without: 200, UP", a.status == 200 and a.json.get("status") == "UP", a)
            head = b.request("HEAD", "/livez")
            check(f"{name}: HEAD too, without a body", head.status == 200 and head.body == b"", head)
            check(f"{name}: POST /livez: 405", b.post("/livez", {}).status == 405)
    with Server() as b:
        for _ in range(20):
            b.get("/livez")
        before = store_open_in(b)
        b.get("/metrics")
        check("fastcgi: /livez leaves the store alone, /metrics does not", "status" not in before and "status" in store_open_in(b), before)
    with Cgi() as b:
        b.get("/livez")
        left = os.listdir(b.dir)
        b.get("/metrics")
        check("cgi: the same", "prelabel.sqlite3" not in left and "prelabel.sqlite3" in os.listdir(b.dir), left)
    with Server() as b:
        p = Project(1)
        b.version(p)
        with open(os.path.join(b.dir, "prelabel.sqlite3"), "r+b") as f:
            f.truncate(0)
        seconds = [b.timed(lambda: b.get("/livez")).seconds for _ in range(5)]
        check("and asks nothing of one that is broken", max(seconds) < 0.5 * harness.SLOW and b.get("/livez").status == 200, seconds)


def rules():
    for args in (("config", "deploy/prometheus/prometheus.yml"), ("rules", "deploy/prometheus/alerts.yml")):
        status, said = promtool("check", *args)
        check(f"promtool check {' '.join(args)}", status == 0 and "FAIL" not in said, said)
    status, said = promtool("test", "rules", "tests/metrics/rules.yml")
    check("promtool test rules: each fires when it should, and only then", status == 0, said)
    alerts = open(os.path.join(ROOT, "deploy/prometheus/alerts.yml")).read()
    known = set(re.findall(r"^# TYPE (\w+)", PAGE, re.M))
    used = {re.sub(r"_bucket$", "", n) for n in re.findall(r"\bprelabel_\w+", re.sub(r"(?m)^ *description:(.|\n)*?\n\n", "\n", alerts))}
    check("the rules ask for nothing that a page does not show", used and used <= known, used - known)


PAGE = ""


def main():
    global PAGE
    report = harness.Report("metrics")
    harness.use_report(report)
    for test in (pages, livez):
        try:
            test()
        except Exception as e:                      # a server that does not come up, say
            check(f"{test.__name__} came to its end", False, repr(e))
    with Server() as b:
        PAGE = b.get("/metrics").body.decode()
    rules()
    print("\n".join(report.lines))
    print(f"{report.passed} passed, {report.failed} failed")
    return report.failed != 0


if __name__ == "__main__":
    sys.exit(main())
