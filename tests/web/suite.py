#!/usr/bin/env python3
"""
suite.py SERVER [NAME...] - tests/http through one of the web servers (serve.py) or the units of
systemd (tests/systemd/serve.py).

All of it but what goes past the web server (the programs run as CGI by the test itself) and
the checks named below, which speak of `prelabel start`: each with its reason.
"""
import math
import os
import re
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "http"))
sys.dont_write_bytecode = True

OTHER_USER = "the test's own CGI program is of another user than the web server's, whose file of counts it does not trust"

NO_WAL = "between two requests no program has the store open, and the last one took the WAL away"
# Of another folder.
SYSTEMD = os.path.join(os.path.dirname(HERE), "systemd")
COMMAND = {"systemd": SYSTEMD, "systemd-sockets": SYSTEMD, "confined": SYSTEMD}

# servers, the beginning of a check's name, why it says nothing there
SKIPPED = (
    ("*", "basics: a port in use", "exit status and words are those of `prelabel start`"),
    ("apache-fcgid apache-cgid nginx systemd-sockets", "promises: lighttpd is there", "it is another web server"),
    ("apache-fcgid apache-cgid", "promises: cgi/", "a program is started when it is asked for: there may be none to kill"),
    ("apache-fcgid apache-cgid lighttpd", "settings: WORKERS", "how many processes there are stands in the fragment"),
    ("systemd-sockets", "settings: WORKERS=3", "a socket has one process"),
    ("apache-fcgid apache-cgid", "settings: THREADS", "a process has one request at a time"),
    ("apache-fcgid apache-cgid", "settings: workers_and_threads", "as the two above: there may be no process to look at"),
    ("systemd-sockets", "promises: R1: and those are more than one a kill", "50 to 200 ms after the start few programs are there"),
    ("apache-fcgid apache-cgid systemd-sockets", "promises: all four were looked at", "as above: some of them are there"),
    ("apache-fcgid", "older: an event waits for a part of the list", "it waits for a second process, of which Apache starts one a second"),
    ("apache-fcgid", "reliability: 500 idle", "a half-sent event keeps a process, and Apache starts one a second"),
    ("apache-cgid", "predict: memory_of_many_tasks", "a request is a process: none is there to look at"),
    ("apache-cgid", "reliability: each stop within 5 s", "a worker of Apache that was about to hand on a body is killed after 10 s"),
    ("apache-cgid", "promises: store, WAL, shm", "no program is running that has the store open"),
    ("apache-cgid", "promises: answers under kills", "what is killed is Apache's own starter of programs, the one for /error too"),
    ("apache-cgid", "promises: 150 idle", "a request is a process, here one for each of the 100 half-sent ones"),
    ("apache-cgid", "reliability: 500 idle", "as above: the first answer waits until 167 processes have started, a second on two busy cores"),
    ("apache-cgid", "metrics: 5 more requests: 0 more loads", "a request is a process, which loads its model"),
    *(("apache-cgid", f"metrics: {how}: no program died of it", "a request is a process, and the last one may just be ending")
      for how in ("cut to nothing", "cut to 100 bytes", "written over", "removed", "replaced by a folder", "replaced by a pipe")),
    ("apache-cgid", "metrics: 1 annotations: bytes of", NO_WAL),
    ("apache-cgid", "metrics: 400 annotations: bytes of", NO_WAL),
    ("apache-cgid", "metrics: metrics_store_damaged_under_way", NO_WAL),
    ("apache-fcgid apache-cgid lighttpd nginx systemd-sockets", "sync: found and trained on", "the reading after a start is that of `prelabel start`"),
    *(("systemd systemd-sockets confined", f"promises: sandbox {how}", "the unit has a filter of its own") for how in ("off", "MODEL_COMMAND")),
    ("apache-fcgid apache-cgid lighttpd nginx systemd-sockets", "reliability: down: it is tried again", "by the next event, or the timer"),
    ("lighttpd", "promises: sockets for their user alone", "their folder is the user's alone: /run/lighttpd"),
    ("apache-fcgid apache-cgid lighttpd nginx confined", "metrics: 12 by the server, 12 by CGI", OTHER_USER),
    ("apache-fcgid apache-cgid lighttpd nginx confined", "metrics: a CGI program tells the same", OTHER_USER),
    ("apache-fcgid apache-cgid lighttpd nginx confined", "metrics: moved away: a program that came later", OTHER_USER),
    ("nginx systemd-sockets", "promises: sockets for their user alone", "the web server is another user: its group may connect"),
)


def started(pid):
    """By CLOCK_BOOTTIME; of one that has ended: at no time before the others."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return math.inf


def proportional(pid):
    """0 for one that has ended, as a program that plain CGI starts for a request."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return next((int(line.split()[1]) for line in f if line.startswith("Pss:")), 0) / 1024
    except OSError:
        return 0


def measured(harness, beside="serve.py"):
    """What README.md's table says of this way, of one start: seconds from its first process to the first answer, MB
    of all after some requests, their number.  `beside`: commands that are no part of it, an expression."""
    def ours():
        return [pid for pid, command in b.tree().items() if not re.search(beside, command)]
    with harness.Server() as b:
        first = b.answered - min(map(started, ours()))
        p = harness.Project()
        b.version(p)
        for _ in range(3):
            b.predict(p, ["good"]), b.hook(p.labelled("good", "positive")), b.get("/status")
        pids = ours()
        return first, sum(map(proportional, pids)), len(pids)


def main():
    server, names = sys.argv[1], sys.argv[2:]
    os.environ["HTTP_CMD"] = f"{sys.executable} -B {COMMAND.get(server, HERE)}/serve.py {server}"
    import harness
    import run
    skipped = [(name, why) for servers, name, why in SKIPPED if servers == "*" or server in servers.split()]

    class Report(harness.Report):
        def check(self, name, ok, detail=""):
            if not ok and any(f"{self.group}: {name}".startswith(s) for s, _ in skipped):
                self.lines.append(f"skip {self.group}: {name}")
                return False
            return super().check(name, ok, detail)

    harness.Report = Report
    if server.startswith("systemd"):        # process 1 starts and ends the programs: what it waits for a processor is not theirs
        serving = harness.Server.serving
        harness.Server.serving = lambda b: [*serving(b), 1]
    began = time.time()
    # Transport "cgi": the programs without any web server.
    chosen = [t for t in run.tests(names) if t[2] != "cgi"]
    passed, failed, _ = run.run(chosen, out=lambda line: print(f"{server} {line}" if not line[:5] in ("ok   ", "FAIL ", "skip ") else f"{line[:5]}{server}: {line[5:]}", flush=True))
    for name, why in skipped:
        print(f"# {server}: skipped where it fails: {name}: {why}")
    print(f"# {server}: {time.time() - began:.0f} s", flush=True)
    if not names:
        first, memory, n = map(statistics.median, zip(*(measured(harness) for _ in range(5))))
        print(f"# {server}: first answer after {first:.2f} s, {memory:.1f} MB (PSS) in {n} processes, medians of five starts", flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
