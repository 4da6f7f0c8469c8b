#!/usr/bin/env python3
"""live.py - the installed programs as the units start them, without systemd as process 1.

    live.py DESTDIR PREFIX        called by ci.sh, which installed them there

Each command is the unit's own ExecStart with the unit's own Environment, run by confined.py
under the unit's own restrictions.  Sockets are handed over by systemd-socket-activate; the
journal is a pipe that JOURNAL_STREAM names.  Closes with `N passed, N failed`.
"""
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "http")]
from fastcgi import fastcgi                # noqa: E402
from harness import Project, free_port     # noqa: E402

DEST, PREFIX = sys.argv[1], sys.argv[2]
UNITS = f"{DEST}{PREFIX}/lib/systemd/system"
ROOT = os.getuid() == 0
SCRATCH = tempfile.mkdtemp(prefix="prelabel-systemd-")
os.chmod(SCRATCH, 0o711)
passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    text = " ".join(str(detail).split())[-900:]
    print(f"ok   {name}" if good else f"FAIL {name}" + (f" [{text}]" if text else ""), flush=True)
    return good


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.05)
    return None


# ---- a unit -------------------------------------------------------------------

class Unit:
    """Its file, and folders of its own for the state and the runtime."""

    def __init__(self, name, state=None):
        self.path, self.instance = f"{UNITS}/{name}", ""
        if "@" in name:
            stem, rest = name.split("@")
            self.instance = rest.split(".")[0]
            self.path = f"{UNITS}/{stem}@.service"
        self.settings = {}
        for line in open(self.path):
            if "=" in line and line[0].isalpha():
                key, value = line.strip().split("=", 1)
                self.settings.setdefault(key, []).append(value.replace("%i", self.instance))
        self.state = state or tempfile.mkdtemp(prefix="state.", dir=SCRATCH)
        self.run = tempfile.mkdtemp(prefix="run.", dir=SCRATCH)

    def environment(self):
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        for word in " ".join(self.settings.get("Environment", [])).split():
            name, value = word.split("=", 1)
            env[name] = re.sub("^%t/.*", self.run, re.sub("^%S/prelabel", self.state, value))
        return env

    def command(self):
        exe, *rest = self.settings["ExecStart"][0].split()
        return ["/usr/bin/python3", f"{HERE}/confined.py", self.path, self.state, self.run, "--", DEST + exe, *rest]

    def versions(self, project=1):
        with contextlib.closing(sqlite3.connect(f"file:{self.state}/prelabel.sqlite3?mode=ro", uri=True)) as db:
            return [r[0] for r in db.execute("SELECT v.name FROM model_version v JOIN project p ON p.row = v.project WHERE p.id = ?", (project,))]


class Journal:
    """A pipe that JOURNAL_STREAM names, read as it comes."""

    def __init__(self):
        self.r, self.w = os.pipe()
        st = os.fstat(self.w)
        self.name, self.bytes = f"{st.st_dev}:{st.st_ino}", b""
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while more := os.read(self.r, 65536):
            self.bytes += more

    def lines(self):
        return self.bytes.decode("utf-8", "replace").splitlines()

    def ours(self):
        """Without what lighttpd and the helpers of this test say."""
        return [s for s in self.lines() if not re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: \(|confined: |Listening on |Communication attempt |Execing ", s)]


def children(pid):
    with contextlib.suppress(OSError):
        return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]
    return []


def family(pid):
    return [pid] + [p for c in children(pid) for p in family(c)]


def status_of(pid):
    return dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)


def name_of(pid):
    with contextlib.suppress(OSError):
        return os.path.basename(open(f"/proc/{pid}/cmdline").read().split("\0")[0])
    return ""


def processes(what, pids):
    """The restrictions as the kernel tells them, of every process."""
    st = {p: status_of(p) for p in pids}
    check(f"{what}: no new privileges, system calls filtered", all(s["NoNewPrivs"] == "1" and s["Seccomp"] == "2" for s in st.values()), st.keys())
    if ROOT:
        check(f"{what}: another user, no capability", all(s["Uid"].split()[0] != "0" and int(s["CapEff"], 16) == int(s["CapBnd"], 16) == 0 for s in st.values()))
    wx = [(name_of(p), line) for p in pids for line in open(f"/proc/{p}/maps") if "w" in line.split()[1] and "x" in line.split()[1]]
    check(f"{what}: no memory both writable and executable, in {len(pids)} processes", not wx, wx[:3])


def refused(trace):
    """What the restrictions refused, from strace: how often each."""
    count, begun = {}, False
    for line in open(trace, errors="replace"):
        begun = begun or ("execve(" in line and "= 0" in line and DEST in line and "confined.py" not in line)
        if begun and (m := re.search(r"= -1 (EPERM|EAFNOSUPPORT|EROFS|ENOSYS)", line)):
            call = re.match(r"\d+ +(?:<\.\.\. )?(\w+)", line)[1]
            count[f"{call} {m[1]}"] = count.get(f"{call} {m[1]}", 0) + 1
    return begun, count


# ---- the ordinary unit -------------------------------------------------------------

def http(port, path, body=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body), timeout=20) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()
    except OSError as e:
        return 0, str(e).encode()


def post(port, path, what):
    return http(port, path, json.dumps(what).encode())


def manager(name):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind("\0" + name[1:] if name[0] == "@" else name)
    if name[0] == "/":
        os.chmod(name, 0o777)
    return s


def hears(s, seconds=60):
    return s.recv(4096) if select.select([s], [], [], seconds)[0] else b"(nothing)"


def t_start():
    unit, journal, port, trace = Unit("prelabel.service"), Journal(), free_port(), f"{SCRATCH}/trace"
    address = f"{SCRATCH}/notify"
    told = manager(address)
    env = dict(unit.environment(), PORT=str(port), JOURNAL_STREAM=journal.name, NOTIFY_SOCKET=address, START_TRAINING_EACH_N_UPDATES="4")
    p = subprocess.Popen(["strace", "-f", "-qq", "-o", trace, *unit.command()], env=env, stdin=subprocess.DEVNULL, stdout=journal.w, stderr=journal.w)
    main = 0
    try:
        word = hears(told)
        first = http(port, "/")
        check("prelabel.service: READY=1 is told, and a request is answered at once", word == b"READY=1" and first[0] == 200, (word, first, journal.lines()))
        main = children(p.pid)[0]
        project = Project(1)
        setup = post(port, "/setup", project.setup_body())
        events = [post(port, "/webhook", e)[0] for e in project.some(4)]
        name = until(unit.versions)
        served = until(lambda: (lambda r: r[0] == 200 and name and name[0].encode() in r[1] and r)(post(port, "/predict", project.predict_body(["good"]))))
        check("prelabel.service: serves, learns and trains under its restrictions", setup[0] == 200 and set(events) <= {200, 201, 202} and served,
              (setup, events, name, served, journal.lines()[-10:]))
        pids = family(main)
        check("prelabel.service: lighttpd and all programs run", {"lighttpd", "predict", "setup", "webhook", "status"} <= {name_of(q) for q in pids},
              [name_of(q) for q in pids])
        processes("prelabel.service", pids)
        os.kill(main, signal.SIGTERM)
        word = hears(told)
        check("prelabel.service: STOPPING=1, exit status 0", word == b"STOPPING=1" and p.wait(60) == 0, (word, p.poll()))
    finally:
        if p.poll() is None:
            for q in family(p.pid)[::-1]:
                with contextlib.suppress(OSError):
                    os.kill(q, signal.SIGKILL)
            p.wait(10)
    began, count = refused(trace)
    # ENOSYS of clone3 is how systemd has glibc take clone; a hard limit may be lower than
    # what is asked for.
    other = {k: n for k, n in count.items() if k not in ("clone3 ENOSYS", "prlimit64 EPERM")}
    check("prelabel.service: nothing that it does is refused", began and not other, count)
    calls = {m[1] for m in (re.match(r"\d+ +(\w+)\(", line) for line in open(trace, errors="replace")) if m}
    print(f"     {len(calls)} system calls used; refused: {count or 'none'}")
    written = {m[1] for line in open(trace, errors="replace")
               if (m := re.search(r'\b(?:open|openat|mkdir|mkdirat|unlink|unlinkat|rename|renameat|renameat2|chmod|symlink|creat)\([^"]*"(/[^"]*)".*(?:O_WRONLY|O_RDWR|O_CREAT|mkdir|unlink|rename|chmod)', line))}
    strange = {w for w in written if not w.startswith((unit.state, unit.run, "/dev/", "/proc/", os.path.join(tempfile.gettempdir(), "prelabel-systemd-")))}
    check("prelabel.service: writes into its two folders alone", written and not strange, sorted(strange))
    modes = [(f, oct(os.stat(os.path.join(d, f)).st_mode & 0o777)) for d, _, files in os.walk(unit.state) for f in files]
    check("prelabel.service: what it leaves is its own, mode 0600", modes and all(m == "0o600" for _, m in modes), modes)
    check("prelabel.service: its runtime folder is empty afterwards", os.listdir(unit.run) == [], os.listdir(unit.run))
    ours = journal.ours()
    check("journal: every line begins with its priority, none with the time", ours and all(re.match(r"<[3467]>(DEBUG|INFO|WARNING|ERROR) \w", s) for s in ours),
          [s for s in ours if not re.match(r"<[3467]>", s)][:3])
    names = {s.split()[1] for s in ours if len(s.split()) > 1}
    check("journal: the programs behind lighttpd and the trainer are heard", {"prelabel", "predict", "setup", "webhook", "train"} <= names, names)
    log = open(f"{unit.state}/train.log").read()
    check("journal: train.log keeps the time", re.match(r"\d{4}-\d\d-\d\dT[\d:]+Z ", log), log[:200])


def t_start_abstract():
    unit, port = Unit("prelabel.service"), free_port()
    told = manager(f"@prelabel-test-{os.getpid()}")
    env = dict(unit.environment(), PORT=str(port), NOTIFY_SOCKET=f"@prelabel-test-{os.getpid()}", JOURNAL_STREAM="1:1")
    p = subprocess.Popen(unit.command(), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    word = hears(told)
    p.send_signal(signal.SIGTERM)
    out = p.communicate(timeout=90)[0].decode()
    check("notify: an abstract name, too", word == b"READY=1", (word, out))
    check("journal: another JOURNAL_STREAM leaves the time in the lines", re.search(r"(?m)^\d{4}-\d\d-\d\dT[\d:]+Z INFO prelabel serving", out) and "<6>" not in out, out)


def t_start_wrong():
    unit = Unit("prelabel.service")
    p = subprocess.run(unit.command(), env=dict(unit.environment(), PORT="x"), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    check("prelabel.service: a wrong setting ends with the status that prevents a restart",
          str(p.returncode) in unit.settings["RestartPreventExitStatus"][0].split(), (p.returncode, p.stderr))


# ---- the socket-activated units --------------------------------------------------------

class Activated:
    """One instance of prelabel@.service, its socket held by systemd-socket-activate."""

    def __init__(self, program, state, journal, **env):
        self.unit = Unit(f"prelabel@{program}.service", state)
        self.socket = f"{SCRATCH}/{program}.sock"
        env = dict(self.unit.environment(), JOURNAL_STREAM=journal.name, **env)
        names = [w for n in env for w in ("-E", n)]
        # As StandardInput=socket does with Accept=no: the listening socket is descriptor 0.
        self.p = subprocess.Popen(["systemd-socket-activate", "--inetd", "-l", self.socket, *names, *self.unit.command()],
                                  env=env, stdin=subprocess.DEVNULL, stderr=journal.w)
        until(lambda: os.path.exists(self.socket))

    def ask(self, method, uri, what=None):
        return fastcgi(self.socket, method, uri, b"" if what is None else json.dumps(what).encode())

    def stop(self):
        """The exit status; it is a bounded stop."""
        self.p.send_signal(signal.SIGTERM)
        try:
            return self.p.wait(60)
        except subprocess.TimeoutExpired:
            self.p.kill()
            return self.p.wait(5)


def t_sockets():
    state, journal = tempfile.mkdtemp(prefix="state.", dir=SCRATCH), Journal()
    all_of_them = {n: Activated(n, state, journal, START_TRAINING_EACH_N_UPDATES="4") for n in ("predict", "setup", "webhook", "status")}
    a = all_of_them
    try:
        check("sockets: no program runs before a request", all(name_of(x.p.pid) == "systemd-socket-activate" for x in a.values()))
        status, body, err = a["status"].ask("GET", "/")
        check("sockets: the first request starts status and is answered", status == 200 and json.loads(body)["status"] == "UP" and err == b"", (status, body, err))
        project = Project(1)
        got = a["setup"].ask("POST", "/setup", project.setup_body())
        check("sockets: setup", got[0] == 200 and b"model_version" in got[1], got)
        cold = a["predict"].ask("POST", "/predict", project.predict_body(["good"]))
        check("sockets: predict", cold[0] == 200 and b"results" in cold[1], cold)
        events = [a["webhook"].ask("POST", "/webhook", e)[0] for e in project.some(4)]
        name = until(a["webhook"].unit.versions)
        check("sockets: four events, and the trainer that webhook starts publishes", set(events) <= {200, 201, 202} and name, (events, journal.lines()[-8:]))
        served = a["predict"].ask("POST", "/predict", project.predict_body(["good"]))
        check("sockets: the new version serves", name and name[0].encode() in served[1], served)
        processes("sockets", [x.p.pid for x in a.values()])
        check("journal: the trainer of webhook is heard", until(lambda: any(re.match(r"<6>INFO train .* published", s) for s in journal.lines())), journal.lines()[-8:])
    finally:
        ends = {n: x.stop() for n, x in a.items()}
    check("sockets: SIGTERM ends each with status 0", set(ends.values()) == {0}, ends)
    ours = journal.ours()
    check("journal: every line of the programs begins with its priority", len(ours) > 8 and all(re.match(r"<[3467]>", s) for s in ours),
          [s for s in ours if not re.match(r"<[3467]>", s)][:3])
    # The other way of handing it over, which a unit without StandardInput=socket would take.
    unit = Unit("prelabel@status.service")
    at = f"{SCRATCH}/third.sock"
    p = subprocess.Popen(["systemd-socket-activate", "-l", at, *unit.command()], env=unit.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until(lambda: os.path.exists(at))
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(at)
        err = p.communicate(timeout=60)[1]
    check("sockets: on descriptor 3 the program says what it is and ends", p.returncode == 1 and "started by a web server" in err, (p.returncode, err))


# ---- the timer's unit ---------------------------------------------------------------------

class Orphans:
    """Two projects whose trainers were killed, a third whose training is under way."""

    def __init__(self):
        self.unit = Unit("prelabel-train.service")
        self.hang = socket.create_server(("127.0.0.1", 0))      # takes connections and never answers
        self.prelabel = f"{DEST}{PREFIX}/bin/prelabel"
        for n in (1, 2, 3):
            path = f"{SCRATCH}/{n}.jsonl"
            with open(path, "w") as f:
                f.writelines(json.dumps({"text": f"{'good' if i % 2 else 'bad'} thing {i} {n}", "label": "yes" if i % 2 else "no"}) + "\n" for i in range(12))
            subprocess.run([self.prelabel, "import", "--project", str(n), path], env=self.unit.environment(), check=True, stdout=subprocess.DEVNULL)
        hanging = dict(self.unit.environment(), LABEL_STUDIO_URL=f"http://127.0.0.1:{self.hang.getsockname()[1]}", LABEL_STUDIO_API_KEY="0" * 40)
        self.trainers = [subprocess.Popen([self.prelabel, "train", "--project", str(n)], env=hanging, stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for n in (1, 2, 3)]
        self.running = until(lambda: self.states() == ["running"] * 3)
        self.killed_at = time.monotonic()
        for t in self.trainers[:2]:
            t.kill()
            t.wait()

    def states(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.unit.state}/prelabel.sqlite3?mode=ro", uri=True)) as db:
            return [r[0] for r in db.execute("SELECT j.state FROM train_job j JOIN project p ON p.row = j.project ORDER BY p.id")]

    def due(self):
        own = [os.path.join(d, f) for d, _, files in os.walk(self.unit.state) for f in files] if ROOT else []
        for f in own:
            os.chown(f, 64990, 64990)           # made by root above
        p = subprocess.run(self.unit.command(), env=self.unit.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        return p.returncode, p.stdout + p.stderr

    def while_good(self):
        check("train: three trainers are at it, two are killed", self.running, self.states())
        code, out = self.due()
        check("train --due: a lease that is good is left alone", code == 0 and self.states() == ["running"] * 3 and time.monotonic() - self.killed_at < 18,
              (code, out, self.states()))

    def afterwards(self):
        left = 32 - (time.monotonic() - self.killed_at)     # a lease is 30 s, counted in whole ones
        time.sleep(max(0, left))
        code, out = self.due()
        check("train --due: takes both jobs whose trainer died, and ends", code == 0 and self.states()[:2] == ["done", "done"], (code, out, self.states()))
        check("train --due: their versions are there, of the third none", [len(self.unit.versions(n)) for n in (1, 2, 3)] == [1, 1, 0], out)
        check("train --due: the one whose trainer lives is left to it", self.states()[2] == "running" and self.trainers[2].poll() is None, self.states())
        code, out = self.due()
        check("train --due: nothing due, nothing said", code == 0 and out.replace("confined: no mounts here: file systems stay writable\n", "") == "", (code, out))
        self.trainers[2].send_signal(signal.SIGTERM)
        self.trainers[2].wait(60)
        code, out = self.due()
        check("train --due: and a job that was handed back", code == 0 and self.states()[2] == "done", (code, out, self.states()))
        p = subprocess.run([self.prelabel, "train", "--due", "--project", "1"], env=self.unit.environment(), capture_output=True, text=True)
        check("train --due: with --project it is wrong usage", p.returncode == 2 and "--due" in p.stderr, (p.returncode, p.stderr))

    def end(self):
        for t in self.trainers:
            if t.poll() is None:
                t.kill()
            t.wait()
        self.hang.close()


def main():
    orphans = Orphans()
    try:
        orphans.while_good()
        t_start()
        t_start_abstract()
        t_start_wrong()
        t_sockets()
        orphans.afterwards()
    finally:
        orphans.end()
        shutil.rmtree(SCRATCH, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
