#!/usr/bin/env python3
"""The supervisor with a real lighttpd and programs that do nothing (stub.c).

Each check starts it in a folder of its own on a free port and looks from outside:
who lives, who was told what in which order, what is left.  A process belongs to a
check if its environment names the check's folder, whoever its parent has become.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("BUILD", "build")
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/http"))
sys.dont_write_bytecode = True
from harness import Stopwatch, free_port  # noqa: E402

WAIT = 60       # for what is not itself promised within a time
SLOW = 4 if os.environ.get("SANITIZE") else 1
passed = failed = 0


def check(name, ok, detail=""):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
    print("%s - %s%s" % ("ok" if ok else "not ok", name, "" if ok else ": %s" % (detail,)))


def until(condition, seconds):
    """The first true value of condition(), or its last when time is up."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.01)


class Start:
    """One `prelabel start` of the stub."""

    def __init__(self, folder=None, wait=True, **env):
        self.folder = folder or tempfile.mkdtemp(prefix="supervised with space.")
        self.log_path = os.path.join(self.folder, "stub.log")
        self.due_path = os.path.join(self.folder, "due")
        self.port = int(env.pop("PORT", 0)) or free_port()
        if folder is None:
            os.makedirs(os.path.join(self.folder, "cgi"))
            os.makedirs(os.path.join(self.folder, "data"))
            for name in ("cgi/predict", "cgi/setup", "cgi/webhook", "cgi/status", "prelabel"):
                shutil.copy(os.path.join(TOP, BUILD, "tests/stub"), os.path.join(self.folder, name))
            with open(os.path.join(TOP, "lighttpd.conf")) as f:
                conf = f.read()
            with open(os.path.join(self.folder, "lighttpd.conf"), "w") as f:
                f.write(conf.replace('"TMPDIR"', '"TMPDIR", "STUB_LOG", "STUB_DEAF"', 1))
            open(self.due_path, "w").close()
        self.env = {"PATH": os.environ["PATH"], "PORT": str(self.port), "WORKERS": "2",
                    "MODEL_DIR": os.path.join(self.folder, "data"), "STUB_LOG": self.log_path,
                    "STUB_DUE": self.due_path}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.env.update({k: str(v) for k, v in env.items()})
        self.stderr = open(os.path.join(self.folder, "stderr"), "w+")
        self.process = subprocess.Popen([os.path.join(self.folder, "prelabel"), "start"], env=self.env,
                                        cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.stderr,
                                        stderr=self.stderr, start_new_session=True)
        if wait:
            until(lambda: self.process.poll() is not None or self.get("/") is not None, WAIT)

    def get(self, path, timeout=WAIT):
        """The body of the answer, None where there is none."""
        try:
            with socket.create_connection((self.env.get("HOST", "127.0.0.1"), self.port), timeout) as s:
                s.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
                answer = b""
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    answer += part
        except OSError:
            return None
        head, _, body = answer.decode("latin-1").partition("\r\n\r\n")
        self.status = int(head.split()[1]) if head else 0
        return body if head else None

    def pid_of(self, path):
        body = self.get(path) or ""
        return int(body.split()[1]) if re.match(r"\w+ \d+\n", body) else 0

    def processes(self):
        """{pid: command name} of all that live and are ours."""
        mark, found = self.log_path.encode(), {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if mark not in f.read():
                        continue
                with open("/proc/%s/stat" % pid) as f:
                    stat = f.read()
            except OSError:
                continue
            if stat.rpartition(")")[2].split()[0] != "Z":
                found[int(pid)] = stat[stat.index("(") + 1:stat.rindex(")")]
        return found

    def pids(self, name):
        return [pid for pid, comm in self.processes().items() if comm == name]

    def trainers(self):
        return [pid for pid in self.pids("prelabel") if pid != self.process.pid]

    def log(self, *words):
        """[(seconds, pid, words)] of the stubs' lines that begin with words."""
        lines = []
        if os.path.exists(self.log_path):
            with open(self.log_path) as f:
                for line in f:
                    t, pid, rest = line.split(None, 2)
                    if rest.split()[:len(words)] == list(words):
                        lines.append((float(t), int(pid), rest.strip()))
        return lines

    def said(self):
        self.stderr.flush()
        with open(os.path.join(self.folder, "stderr")) as f:
            return f.read()

    def due(self, *rows, **how):
        for row, what in how.items():
            with open("%s.%s" % (self.due_path, row[1:]), "w") as f:
                f.write(what)
        with open(self.due_path, "w") as f:
            f.write("".join("%d\n" % row for row in rows))

    def run_dir(self):
        with open("/proc/%d/environ" % self.pids("lighttpd")[0], "rb") as f:
            for item in f.read().split(b"\0"):
                if item.startswith(b"PRELABEL_RUN_DIR="):
                    return item.partition(b"=")[2].decode()

    def switches(self):
        """How often the supervisor has gone to sleep so far."""
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", f.read(), re.M).group(1))

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stopwatch(self):
        """Of all that runs now: what the machine has no processor for is not its time."""
        return Stopwatch(self.processes())

    def wait(self, seconds=WAIT):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def close(self):
        """Ends what a failed check left, by its id, and says whether there was anything."""
        left = self.processes()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.process.wait()
        self.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return left


def nobody_within(start, seconds):
    until(lambda: not start.processes(), seconds)
    return start.processes()


# ---- checks --------------------------------------------------------------------

def serves_and_stops():
    s = Start()
    run_dir = s.run_dir()
    names = sorted(s.processes().values())
    check("a start is the supervisor, lighttpd and the programs",
          names == ["lighttpd", "predict", "predict", "prelabel", "setup", "setup", "status", "status",
                    "webhook", "webhook"], names)
    answers = [(s.get(p) or "").split(" ")[0] for p in
               ("/predict", "/setup", "/webhook", "/train", "/", "/health", "/metrics", "/nothing/here")]
    check("each path reaches its program",
          answers == ["predict", "setup", "webhook", "webhook"] + ["status"] * 4, answers)
    modes = {f: oct(os.stat(os.path.join(run_dir, f)).st_mode & 0o777)
             for f in os.listdir(run_dir) if ".socket" in f or f == "wake"}
    check("sockets are the owner's alone", len(modes) == 9 and set(modes.values()) == {"0o600"} and
          os.stat(run_dir).st_mode & 0o777 == 0o700, modes)
    check("the folder for large bodies is beside the store",
          [f for f in os.listdir(s.env["MODEL_DIR"]) if f.startswith("upload.")])
    with open("/proc/%d/limits" % s.pids("predict")[0]) as f:
        core = [line for line in f if line.startswith("Max core")]
    check("no core files", core[0].split()[4] in "01", core)
    watch = s.stopwatch()
    status, took = s.stop(), watch.seconds()
    check("SIGTERM: exit status 0", status == 0, status)
    check("within 2 s when nothing is under way", took < 2 * SLOW, took)
    check("nobody is left", not nobody_within(s, 0), s.processes())
    check("the folders of the start are gone",
          not os.path.exists(run_dir) and os.listdir(s.env["MODEL_DIR"]) == [], run_dir)
    s.close()


def settings_and_secrets():
    s = Start(BASIC_AUTH_USER="u", BASIC_AUTH_PASS="pass-word", WEBHOOK_SECRET="hook-secret",
              LABEL_STUDIO_ACCESS_TOKEN="api-key", LABEL_STUDIO_URL="http://studio:81/", TOKEN_PATTERN="word1")
    env = {p: dict(line.split("=", 1) for line in (s.get(p) or "").splitlines() if "=" in line)
           for p in ("/predict/env", "/setup/env", "/webhook/env", "/env")}
    check("an older name arrives under the newer one",
          all(e.get("LABEL_STUDIO_HOST") == "http://studio:81" and "LABEL_STUDIO_URL" not in e
              for e in env.values()), env["/env"])
    check("settings and defaults reach every program",
          all(e.get("TOKEN_PATTERN") == "word1" and e.get("MAX_BODY_MB") == "128" and
              e.get("BASIC_AUTH_PASS") == "pass-word" for e in env.values()), env["/env"])
    check("the webhook's secret reaches webhook alone",
          [p for p in env if "WEBHOOK_SECRET" in env[p]] == ["/webhook/env"], env)
    check("so does the API key, under its newer name", env["/webhook/env"].get("LABEL_STUDIO_API_KEY") == "api-key" and
          [p for p in env if "api-key" in env[p].values()] == ["/webhook/env"], env)
    with open(os.path.join(TOP, "lib/base/env.c")) as f:
        rows = re.findall(r'^\t\{ "([A-Z_]+)", .*?(ENV_[A-Z]+)', f.read(), re.M)
    plain = [name for name, kind in rows if kind != "ENV_SECRET"]
    missing = [name for name in plain if any(name not in e for e in env.values())]
    check("every setting of env.c is in lighttpd.conf's list", len(plain) > 10 and not missing, missing)
    s.due(7)
    until(lambda: s.log("train", "nice"), WAIT)
    check("a trainer is nice, can read the settings, has the key and none of the passwords",
          [w for _, _, w in s.log("train", "nice")] == ["train nice 10 settings 1 key 1 auth 0"], s.log("train"))
    s.stop()
    s.close()


def order_of_the_stop():
    s = Start()
    s.due(1, 2)
    until(lambda: len(s.log("start", "train")) == 2, WAIT)
    # A request under way when the signal comes.
    slow = subprocess.Popen([sys.executable, "-c", """
import socket
s = socket.create_connection(("127.0.0.1", %d))
s.sendall(b"GET /predict/sleep?3 HTTP/1.0\\r\\n\\r\\n")
print(b"".join(iter(lambda: s.recv(4096), b"")).decode().split()[1])""" % s.port],
                            stdout=subprocess.PIPE, text=True)
    check("the request is under way", until(lambda: s.log("asked", "predict"), WAIT), s.log("asked"))
    pgid = os.getpgid(s.process.pid)
    os.killpg(pgid, signal.SIGTERM)          # as a terminal, make, a service manager do
    time.sleep(0.2)
    for number in (signal.SIGINT, signal.SIGTERM):      # the impatient
        os.killpg(pgid, number)
    status = s.wait()
    check("SIGTERM to the whole group, then SIGINT and SIGTERM: exit status 0", status == 0, status)
    check("the request under way was answered", slow.communicate(timeout=WAIT)[0].strip() == "200")
    answered = [t for t, _, w in s.log("answered", "predict") if w]
    programs = [t for t, _, w in s.log("end") if "train" not in w]
    trainers = [t for t, _, w in s.log("end", "train")]
    check("first the request, then the programs, then the trainers",
          len(programs) == 8 and len(trainers) == 2 and max(answered) < min(programs) and
          max(programs) < min(trainers), s.log("end"))
    check("nobody is left after it", not nobody_within(s, 0), s.processes())
    s.close()


def the_deaf():
    s = Start(STUB_DEAF="setup")
    s.due(1, r1="deaf")
    until(lambda: s.log("start", "train"), WAIT)
    watch, t = s.stopwatch(), time.monotonic()
    status = s.stop()
    took, wall = watch.seconds(), time.monotonic() - t
    check("a program and a trainer that ignore SIGTERM are killed in bounded time",
          status == 0 and 9 < wall and took < 16 and not nobody_within(s, 0), (status, took, wall, s.processes()))
    check("and the log says so", "did not end within" in s.said(), s.said())
    s.close()


def lighttpd_killed():
    s = Start()
    s.due(1)
    until(lambda: s.log("start", "train"), WAIT)
    os.kill(s.pids("lighttpd")[0], signal.SIGKILL)
    status = s.wait()
    check("lighttpd killed: exit status 1", status == 1, status)
    check("the line that says why", "lighttpd was killed by signal 9" in s.said(), s.said())
    check("nobody is left of it", not nobody_within(s, 0), s.processes())
    check("its trainer was told to stop", len(s.log("end", "train")) == 1, s.log("end"))
    s.close()


def orphans_are_ended():
    """Programs that don't die with lighttpd (their PDEATHSIG is their own) come to the supervisor."""
    s = Start(STUB_DEAF="predict")
    lighttpd = s.pids("lighttpd")[0]
    os.kill(lighttpd, signal.SIGSTOP)        # it can't restart or end anybody
    os.kill(lighttpd, signal.SIGKILL)
    status = s.wait()
    check("with deaf orphans too: exit status 1, nobody left", status == 1 and not nobody_within(s, 0),
          (status, s.processes()))
    s.close()


def program_killed():
    s = Start()
    everybody = len(s.processes())
    for path in ("/predict", "/setup", "/webhook", "/"):
        before, answers = s.pid_of(path), []
        os.kill(before, signal.SIGKILL)
        end = time.monotonic() + 0.2
        while time.monotonic() < end or len(answers) < 9:
            s.get(path)
            answers.append(s.status)
        # What was just under way at the one that ended comes back as /error's answer.
        check("killed, %s goes on answering" % path, answers.count(200) >= len(answers) - 2 and answers[-1] == 200,
              answers[:9])
    until(lambda: len(s.processes()) == everybody, WAIT)
    check("each is started again, no zombie is left", len(s.processes()) == everybody, s.processes())
    check("the stop works as before", s.stop() == 0 and not nobody_within(s, 0), s.processes())
    s.close()


def supervisor_killed():
    # Any start sweeps what is dead in /tmp, that of another test as well.
    runs = tempfile.mkdtemp(prefix="runs.")
    s = Start(XDG_RUNTIME_DIR=runs)
    s.due(1, 2, r1="deaf")
    until(lambda: len(s.log("start", "train")) == 2, WAIT)
    run_dir = s.run_dir()
    watch = s.stopwatch()
    s.signal(signal.SIGKILL)
    s.wait()
    left, took = nobody_within(s, WAIT), watch.seconds()
    check("the supervisor killed: within a second nobody lives", not left and took < SLOW, (left, took))
    check("its folder is left", os.path.exists(run_dir) and run_dir.startswith(runs), run_dir)
    again = Start(folder=s.folder, PORT=s.port, TOKEN_PATTERN="word1", XDG_RUNTIME_DIR=runs)
    env = again.get("/predict/env") or ""
    check("the next start serves at once, with its own settings", "TOKEN_PATTERN=word1" in env, env)
    check("and has swept that folder, and not its own",
          not os.path.exists(run_dir) and os.path.exists(again.run_dir()) and
          len([f for f in os.listdir(again.env["MODEL_DIR"]) if f.startswith("upload.")]) == 1, run_dir)
    third = Start(XDG_RUNTIME_DIR=runs)
    check("nor that of another one that runs", os.path.exists(again.run_dir()) and again.pid_of("/predict"))
    third.stop()
    third.close()
    again.stop()
    check("nobody is left of both", not nobody_within(s, 0), s.processes())
    again.close()
    s.stderr.close()
    shutil.rmtree(runs, ignore_errors=True)


def port_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        t = time.monotonic()
        s = Start(PORT=port, wait=False)
        watch = Stopwatch([s.process.pid])
        status = s.wait()
        took, wall = watch.seconds(), time.monotonic() - t
        lines = s.said().splitlines()
        check("a taken port: one line names it, exit status 1 after 2 s",
              status == 1 and len(lines) == 1 and "127.0.0.1:%d is taken" % port in lines[0] and 1.9 < wall and took < 4 * SLOW,
              (status, took, wall, lines))
        check("and nothing was started", not s.log("start") and not s.processes(), s.log("start"))
        s.close()
    # A former start that lets go of it in time; where the machine made it late there is nothing to see.
    for _ in range(5):
        with socket.socket() as former:
            former.bind(("127.0.0.1", 0))
            former.listen()
            t = time.monotonic()
            s = Start(PORT=former.getsockname()[1], wait=False)
            time.sleep(0.7)
            former.close()
            late = time.monotonic() - t > 1.5
        serves = until(lambda: s.process.poll() is not None or s.get("/"), WAIT) and s.process.poll() is None
        said = s.said()
        s.stop()
        s.close()
        if not late:
            break
    check("a port that is let go within 2 s is waited for", serves and not late, (late, said))
    s = Start(HOST="203.0.113.1", wait=False)
    status = s.wait()
    check("an address that isn't ours: one line", status == 1 and "203.0.113.1" in s.said() and
          len(s.said().splitlines()) == 1, s.said())
    s.close()


def trainers():
    s = Start()
    s.due(1, 2, 3)
    until(lambda: len(s.log("start", "train")) >= 2, WAIT)
    time.sleep(2.2)
    rows = [w for _, _, w in s.log("start", "train")]
    check("at most two trainers, none twice for a row", sorted(rows) == ["start train 1", "start train 2"], rows)
    check("they are processes of their own", len(s.trainers()) == 2, s.processes())
    # One killed: its place goes to the row that waits; its own waits a while.
    first = [pid for _, pid, w in s.log("start", "train") if w.endswith(" 1")][0]
    watch, t = s.stopwatch(), time.monotonic()
    os.kill(first, signal.SIGKILL)
    until(lambda: s.log("start", "train", "3"), WAIT)
    took = watch.seconds()
    check("a killed trainer's place is taken at once", s.log("start", "train", "3") and took < 0.5 * SLOW,
          (took, s.log("start", "train")))
    check("the log names the row and the signal", "row 1: the trainer was killed by signal 9" in s.said(), s.said())
    s.due(1)
    os.kill([pid for _, pid, w in s.log("start", "train") if w.endswith(" 2")][0], signal.SIGTERM)
    again = until(lambda: len(s.log("start", "train", "1")) == 2, WAIT)
    gap, took = s.log("start", "train", "1")[-1][0] - t, watch.seconds()
    check("the killed one's row is trained again after a pause", again and 4.5 < gap and took < 7 * SLOW, (gap, took))
    s.stop()
    check("no zombie, nobody left", not nobody_within(s, 0), s.processes())
    s.close()


def failing_trainers():
    s = Start()
    s.due(1, 2, r1="fail", r2="done")
    until(lambda: "row 1: the trainer ended" in s.said() and s.log("start", "train", "2"), WAIT)
    time.sleep(3.5)
    starts = [t for t, _, _ in s.log("start", "train", "1")]
    check("a trainer that fails is not started again and again", starts and all(b - a > 4.5 for a, b in zip(starts, starts[1:])),
          s.log("start", "train"))
    check("one that did its work is not either", len(s.log("start", "train", "2")) == 1, s.log("start", "train"))
    check("the log names the failure", "row 1: the trainer ended with status 1" in s.said(), s.said())
    os.unlink(s.due_path)
    until(lambda: "looking for due trainings" in s.said(), WAIT)
    time.sleep(2.5)
    check("a store that can't be read is said once", s.said().count("looking for due trainings") == 1, s.said())
    s.stop()
    s.close()


def wakes():
    s = Start()
    latencies = []
    for row in range(1, 6):
        how = {"r%d" % row: "done"}
        # Between two looks, so that luck can't pass for a wake.
        last = s.log("look")[-1][0]
        until(lambda: s.log("look")[-1][0] > last, WAIT)
        time.sleep(0.1)
        watch, t = s.stopwatch(), time.monotonic()
        s.due(row, **how)
        s.get("/webhook")
        until(lambda: s.log("start", "train", str(row)), WAIT)
        latencies.append(min(watch.seconds(), s.log("start", "train", str(row))[0][0] - t))
    check("an event starts the trainer at once (%.0f ms at most)" % (max(latencies) * 1000),
          max(latencies) < 0.3 * SLOW, latencies)
    check("the program learns that it was heard", {w for _, _, w in s.log("wake")} == {"wake taken"}, s.log("wake"))
    n, woken, t = len(s.log("look")), s.switches(), time.monotonic()
    time.sleep(3)
    until(lambda: len(s.log("look")) - n >= 2, WAIT)
    looks, woken, took = len(s.log("look")) - n, s.switches() - woken, time.monotonic() - t
    check("without events it looks once a second", 2 <= looks <= took + 1, (looks, took))
    check("and sleeps in between", woken < 20 * took / 3, (woken, took))
    with open("/proc/%d/stat" % s.process.pid) as f:
        ticks = sum(map(int, f.read().rpartition(")")[2].split()[11:13]))
    check("and uses next to no processor time", ticks <= 20 * SLOW, ticks)
    # More than a socket holds, while the supervisor can't read: nobody blocks, and all is well after it.
    s.signal(signal.SIGSTOP)
    watch = s.stopwatch()
    silent = sum(s.get("/webhook", timeout=20) is None for _ in range(400))
    took = watch.seconds()
    until(lambda: len(s.log("wake")) >= 405, WAIT)
    s.signal(signal.SIGCONT)
    check("a wake never blocks and is never lost", not silent and took < 8 * SLOW and
          {w for _, _, w in s.log("wake")} == {"wake taken"} and len(s.log("wake")) == 405,
          (silent, took, len(s.log("wake"))))
    s.stop()
    s.close()


def bad_starts():
    s = Start()
    s.stop()
    shutil.rmtree(os.path.join(s.folder, "cgi"))
    again = Start(folder=s.folder, wait=False)
    status = again.wait()
    check("no programs: exit status 1 and a line, nobody left",
          status == 1 and "folder of the programs" in again.said() and not nobody_within(again, 0),
          (status, again.said()))
    again.close()
    s.stderr.close()
    s = Start()
    s.stop()
    with open(os.path.join(s.folder, "lighttpd.conf"), "a") as f:
        f.write("server.port = env.THIS_IS_NOT_SET\n")
    again = Start(folder=s.folder, wait=False)
    status = again.wait()
    check("a broken lighttpd.conf: exit status 1 and a line",
          status == 1 and "lighttpd ended with status" in again.said(), (status, again.said()))
    again.close()
    s.stderr.close()


def refusals():
    """What lighttpd refuses is JSON, also while the program behind /error is down."""
    s = Start()
    os.rename(os.path.join(s.folder, "cgi/status"), os.path.join(s.folder, "cgi/status.away"))
    for pid in s.pids("status"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not s.pids("status"), WAIT)
    found = {}
    for name, request in {
            400: b"GET / HTTP/1.1\r\n\r\n", 411: b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            413: b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n",
            431: b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
            503: b"GET / HTTP/1.0\r\n\r\n"}.items():
        with socket.create_connection(("127.0.0.1", s.port), WAIT) as c:
            c.sendall(request)
            answer = b""
            while True:
                part = c.recv(4096)
                if not part:
                    break
                answer += part
        head, _, body = answer.decode().partition("\r\n\r\n")
        found[name] = (head.split()[1], "application/json" in head, body.startswith('{"status": %d, ' % name))
    check("refusals are JSON without the program behind /error",
          all(v == (str(k), True, True) for k, v in found.items()), found)
    s.stop()
    s.close()


CHECKS = [serves_and_stops, settings_and_secrets, order_of_the_stop, the_deaf, lighttpd_killed, orphans_are_ended,
          program_killed, supervisor_killed, port_taken, trainers, failing_trainers, wakes, bad_starts, refusals]

for c in CHECKS:
    if len(sys.argv) > 1 and c.__name__ not in sys.argv[1:]:
        continue
    try:
        c()
    except Exception as problem:             # a check that can't be made has failed
        check(c.__name__, False, repr(problem))
print("%d passed, %d failed" % (passed, failed))
sys.exit(failed > 0)
