"""
harness.py - what every HTTP test stands on: the product on a free port, the
product as plain CGI programs, a Label Studio made of its events, and a stub of
Label Studio's API.

    Server   build/prelabel start: lighttpd with the FastCGI programs
    Cgi      build/cgi/X run as a child process with CGI variables, a request each
    Project  one Label Studio project: its label config, tasks and annotations,
             and the requests and events Label Studio would send for them
    Studio   a threaded HTTP server that speaks the API side of Label Studio

Environment:
    BUILD        the build folder (build)
    HTTP_SERVER  a base URL: the checks that need no settings of their own run
                 against a server that runs already
    HTTP_CMD     a command in place of `build/prelabel start`: it serves on $PORT with
                 the same settings in its environment (Apache, nginx, a container)
    KEEP         set: the folders of failed tests stay

A test is a function; it calls check(name, condition, detail) once for each line
of the report.  Only the standard library is used.
"""
import base64
import calendar
import contextlib
import http.client
import http.server
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
VERSION = re.compile(r"^(?:substring|(?:substring\+)?tfidf_logreg)-(\d+)-([0-9a-f]{4,64})$")
DOCUMENTED = {200, 201, 202, 400, 401, 404, 405, 411, 413, 415, 422, 429, 503, 507}
# Time limits are multiplied by this.
SLOW = float(os.environ.get("SLOW") or (4 if os.environ.get("SANITIZE") else 1))


# ---- the report -------------------------------------------------------------

class Report:
    """The checks of one test function."""

    def __init__(self, group):
        self.group, self.lines, self.passed, self.failed, self.failures = group, [], 0, 0, []

    def check(self, name, ok, detail=""):
        name = f"{self.group}: {name}"
        if ok:
            self.passed += 1
            self.lines.append(f"ok   {name}")
        else:
            self.failed += 1
            text = " ".join(str(detail).split())
            self.lines.append(f"FAIL {name}" + (f" [{text[:1500]}]" if text else ""))
            self.failures.append(name)
        return bool(ok)


_local = threading.local()


def use_report(report):
    _local.report = report


def check(name, ok, detail=""):
    """One line of the report; returns whether it passed.  `detail` may be a function."""
    if callable(detail):
        detail = "" if ok else detail()
    return _local.report.check(name, ok, detail)


def both(test):
    """The test takes a function that opens a backend, and runs behind the web server and as plain CGI."""
    test.transports = ("fastcgi", "cgi")
    return test


# ---- answers ----------------------------------------------------------------

def strict_json(raw):
    """RFC 8259: no NaN, no Infinity, valid UTF-8."""
    def refuse(word):
        raise ValueError(f"{word} is not JSON")
    return json.loads(raw.decode("utf-8") if isinstance(raw, bytes) else raw, parse_constant=refuse)


# Seconds that a write of the request waits while another holds the store (lib/context.c), and what is said then.
WAITS, BUSY = {"/webhook": 0.7, "/train": 0.7, "/setup": 2.0, "/predict": 4.0}, "the store is busy, try again"


class Answer:
    def __init__(self, status, headers, body, seconds=0.0):
        self.status, self.body, self.seconds = status, body, seconds
        self.refused = 0        # so often before, the store being busy (Backend.post)
        self.headers = {}
        for k, v in headers:
            k = k.lower()
            self.headers[k] = self.headers[k] + ", " + v if k in self.headers else v

    @property
    def json(self):
        try:
            return strict_json(self.body)
        except (ValueError, RecursionError):
            return None

    def error_form(self):
        """'' when this is the documented error document, else what is wrong with it."""
        j = self.json
        if not isinstance(j, dict):
            return f"no JSON object: {self.body[:200]!r}"
        if j.get("status") != self.status:
            return f"status in the body: {j.get('status')!r}"
        if not isinstance(j.get("error"), str) or not j["error"].strip():
            return f"no error text: {j!r}"
        if not isinstance(j.get("request_id"), str) or not j["request_id"]:
            return f"no request_id: {j!r}"
        if "\n" in j["error"] or "<html" in j["error"].lower():
            return f"not one sentence: {j['error']!r}"
        return ""

    def __str__(self):
        return f"{self.status} {self.body[:400].decode('utf-8', 'replace')}"


MUTATION = None          # a function (method, path, answer) that run.py --mutations puts in


def _mutated(method, path, answer):
    return MUTATION(method, path, answer) or answer if MUTATION else answer


class Backend:
    """What both transports offer."""

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def patiently(self, path, ask):
        """Where the disk takes a second to sync, a write that waits for another's is refused in the end, and asked for
        again, as by any client.  But not before it has waited: what is refused sooner is the answer, as is any other 503."""
        end, refused, wait = time.monotonic() + 60 * SLOW, 0, WAITS.get(path.partition("?")[0])
        while True:
            a = ask()
            if a.status != 503 or wait is None or a.seconds < wait or time.monotonic() > end or BUSY.encode() not in a.body:
                a.refused = refused
                return a
            refused += 1

    def post(self, path, body, patient=True, **kw):
        return (self.patiently if patient else lambda _, ask: ask())(path, lambda: self.request("POST", path, body, **kw))

    def setup(self, project, patient=True, **kw):
        return self.post("/setup", project.setup_body(**kw), patient)

    def predict(self, project, texts, patient=True):
        return self.post("/predict", project.predict_body(texts), patient)

    def hook(self, event, query="", headers=None, patient=True):
        """START_TRAINING comes from the client of /setup and /predict, events from another (protocol.md 1)."""
        agent = {} if isinstance(event, dict) and event.get("action") == "START_TRAINING" else {"User-Agent": "python-requests/2.34.2"}
        return self.post("/webhook" + query, event, patient, headers=dict(agent, **(headers or {})))

    def serving(self):
        """The processes that answer."""
        return ()

    def stopwatch(self):
        return Stopwatch(self.serving())

    def timed(self, ask):
        """The answer that ask() gives; its `seconds` are those that the product needed (Stopwatch)."""
        watch = self.stopwatch()
        a = ask()
        a.seconds = min(a.seconds, watch.seconds())
        return a

    def warm(self):
        """Asks each program for something that changes nothing: where one is started by its first request, what is timed
        afterwards is the answer alone."""
        for path in ("/predict", "/setup", "/webhook", "/status"):
            self.get(path)

    def version(self, project):
        a = self.setup(project)
        return (a.json or {}).get("model_version") if a.status == 200 else None

    def wait_version(self, project, old, seconds=90):
        """The first version other than `old`, or None."""
        return wait_for(lambda: (lambda v: v if v and v != old else None)(self.version(project)), seconds)

    def counter(self, project):
        """The counter in force, read by an event that changes nothing."""
        return (self.hook(project.event("NO_SUCH_ACTION"), f"?project={project.id}").json or {}).get("counter")

    def db(self, sql, *args):
        """Rows of a query on the store, read as a user of sqlite3 would."""
        db = sqlite3.connect(f"file:{self.dir}/prelabel.sqlite3?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()

    def examples(self):
        """The training examples by the view a person would use: sorted (task, text, label, annotator)."""
        db = sqlite3.connect(f"file:{self.dir}/prelabel.sqlite3?mode=ro", uri=True, timeout=10)
        try:
            cur = db.execute("select * from v_example")
            names = [d[0].lower() for d in cur.description]
            want = [next(i for i, n in enumerate(names) if w in n) for w in ("task", "text", "label", "annotator")]
            return sorted(tuple(str(row[i]) for i in want) for row in cur)
        finally:
            db.close()

    def cli(self, *args, stdin=None, timeout=60, env=None):
        """Runs prelabel ARGS on this backend's store: (exit status, stdout, stderr)."""
        return prelabel(*args, stdin=stdin, timeout=timeout, env=dict(self.env, **(env or {})))


def settings(folder, **extra):
    """An environment with nothing of prelabel's in it but what is given."""
    ours = ("HOST", "PORT", "MODEL_DIR", "LABEL_STUDIO", "START_TRAINING", "LOGISTIC", "BASIC_AUTH", "WEBHOOK_SECRET", "LOG_LEVEL",
            "WORKERS", "THREADS", "TRAIN_THREADS", "TOKEN_PATTERN", "MAX_BODY_MB", "KEEP_", "SANDBOX")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    # strict: a system call that the sandbox lacks shows, as a process that ended.
    env.update(MODEL_DIR=folder, WORKERS="2", THREADS="4", LOG_LEVEL="INFO", SANDBOX="strict")
    # Nothing may leave the machine: the default address of Label Studio is one that refuses at once.
    env.update(LABEL_STUDIO_HOST="http://127.0.0.1:9")
    for k, v in extra.items():
        if v is None:
            env.pop(k, None)
        else:
            env[k] = str(v)
    return env


def prelabel(*args, env, stdin=None, timeout=60):
    p = subprocess.run([os.path.join(BUILD, "prelabel"), *map(str, args)], cwd=ROOT, env=env, timeout=timeout * SLOW,
                       input=stdin.encode() if isinstance(stdin, str) else (stdin or b""), capture_output=True)
    return p.returncode, p.stdout.decode("utf-8", "replace"), p.stderr.decode("utf-8", "replace")


def sanitizer_report(folder):
    """The first report of a sanitizer in the logs of a folder, or ''."""
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.endswith(".log"):
            text = content(os.path.join(folder, name)).decode("utf-8", "replace")
            m = re.search(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:)", text)
            if m:
                return text[max(0, m.start() - 200):m.start() + 900]
    return ""


_ports, _port_lock = set(), threading.Lock()


def free_port():
    """A port that nobody uses.  Below those that the system gives to connections and to listeners without a wish:
    one of these might be taken by another test before the server is there, or while it is started again."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
            high = int(f.read().split()[0])
    except OSError:
        high = 32768
    with _port_lock:
        while True:
            port = random.SystemRandom().randrange(10000, max(high, 12000))
            with socket.socket() as s:
                try:
                    s.bind(("", port))
                except OSError:
                    continue
            if port not in _ports:
                _ports.add(port)
                return port


def wait_for(fn, seconds=30, step=0.05):
    """Where the time is itself promised the check measures it; else it is only patience, and long."""
    end = time.monotonic() + seconds * SLOW
    while True:
        got = fn()
        if got or time.monotonic() > end:
            return got
        time.sleep(step)


class Stopwatch:
    """Seconds that a product needs, on a machine that has other work as well: by the clock, less the time in which
    threads of these processes, or the one that asks, were ready to run and got no processor (schedstat of proc(5)); and
    the longest such time of our other threads, which may have held the interpreter meanwhile.  On a machine that is
    idle that is the time by the clock; where the kernel does not tell, too."""

    def __init__(self, pids=()):
        self.pids, self.me = [os.getpid(), *pids], str(threading.get_native_id())
        self.began, self.before, self.more = time.monotonic(), self.waited(), 0.0

    def waited(self):
        out = {}
        for pid in self.pids:
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with contextlib.suppress(OSError, IndexError, ValueError):
                        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                            out[pid, task] = int(f.read().split()[1]) / 1e9
        return out

    def seconds(self):
        wall = time.monotonic() - self.began
        held = {task: max(0.0, t - self.before.get(task, 0.0)) for task, t in self.waited().items()}
        others = [t for (pid, task), t in held.items() if pid == os.getpid() and task != self.me]
        return max(0.0, wall - sum(held.values()) + sum(others) - max(others, default=0.0) - self.more)


def stall(folder):
    """Seconds that a sync of this disk takes now beyond the twentieth of one that may be called usual: what no program can
    answer before.  0 where the disk is well."""
    with open(os.path.join(folder, "stall"), "wb", buffering=0) as f:
        f.write(b"x" * 4096)
        began = time.monotonic()
        os.fdatasync(f.fileno())
        return max(0.0, time.monotonic() - began - 0.05)


def kill9(pid):
    """Whether it was there to kill: a program that plain CGI starts for a request has ended by itself."""
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def content(path):
    """A file's bytes, b"" when it is gone: the last program to close the store takes the WAL and its index away,
    and a process's folder goes with it."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def processes_with(marker):
    """{pid: command} of the living processes whose environment holds `marker`, and of their children
    (nginx writes its title over the environment of its own)."""
    out, rest = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                marked = marker.encode() in f.read()
            with open(f"/proc/{pid}/stat") as f:
                state, parent = f.read().rsplit(")", 1)[1].split()[:2]
            if state == "Z":
                continue
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                command = f.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except (OSError, IndexError):
            continue
        if marked:
            out[int(pid)] = command
        else:
            rest[int(pid)] = int(parent), command
    for pid, (parent, command) in sorted(rest.items()):
        if parent in out and command.startswith("nginx:"):
            out[pid] = command
    out.pop(os.getpid(), None)
    return out


# ---- the product behind its web server --------------------------------------

class Server(Backend):
    """`build/prelabel start` on a free port; a context manager that stops it and looks for what is left."""

    def __init__(self, folder=None, **extra):
        self.url = os.environ.get("HTTP_SERVER", "").rstrip("/")
        self.own = folder is None
        self.dir = folder or tempfile.mkdtemp(prefix="prelabel-http-")
        self.port = urllib.parse.urlsplit(self.url).port or 80 if self.url else free_port()
        self.host = urllib.parse.urlsplit(self.url).hostname if self.url else "127.0.0.1"
        self.env = settings(self.dir, **dict({"PORT": self.port}, **extra))
        self.auth = None
        if extra.get("BASIC_AUTH_USER"):
            self.auth = basic(extra["BASIC_AUTH_USER"], extra["BASIC_AUTH_PASS"])
        self.proc, self.log = None, os.path.join(self.dir, "stderr.log")

    def __enter__(self):
        if not self.url:
            try:
                self.start()
            except BaseException:       # no __exit__ follows
                self.kill9()
                if self.own:
                    shutil.rmtree(self.dir, ignore_errors=True)
                raise
        return self

    def __exit__(self, kind, *_):
        left = self.stop() if self.proc else None
        report = sanitizer_report(self.dir)
        if self.own and not (kind and os.environ.get("KEEP")):
            shutil.rmtree(self.dir, ignore_errors=True)
        if left and kind is None:
            raise AssertionError(f"left after SIGTERM: {left}")
        if report and kind is None:
            raise AssertionError(report)

    def launch(self):
        cmd = os.environ.get("HTTP_CMD")
        argv = ["/bin/sh", "-c", "exec " + cmd] if cmd else [os.path.join(BUILD, "prelabel"), "start"]
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(argv, cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         start_new_session=True)

    def start(self, seconds=60):
        self.launch()
        if not wait_for(lambda: self.proc.poll() is not None or self.alive(), seconds, 0.01) or self.proc.poll() is not None:
            raise AssertionError(f"no start: exit {self.proc.poll()}; {self.log_text()[-600:]}")
        self.answered = time.clock_gettime(time.CLOCK_BOOTTIME)

    def alive(self):
        try:
            return self.request("GET", "/health").status == 200
        except OSError:
            return False

    def log_text(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def tree(self):
        return processes_with("MODEL_DIR=" + self.dir)

    def serving(self):
        return [pid for pid, command in self.tree().items() if not re.search(r"prelabel\s.*\btrain\b", command)]

    def stop(self, seconds=30):
        """SIGTERM; returns the commands that are left (and ends them), or {}."""
        proc, self.proc = self.proc, None
        if proc.poll() is None:
            proc.send_signal(signal.SIGTERM)
        slow = False
        try:
            proc.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            slow = True
        left = self.tree()
        if left and not slow:
            time.sleep(0.2)
            left = self.tree()
        self.exit_status = proc.returncode
        self.kill_tree()
        proc.wait()
        return left

    def kill_tree(self):
        """kill -9 of everything of this start: processes found by its own folder, nothing else."""
        def gone():
            left = self.tree()
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            return not left
        wait_for(gone, 30, 0.02)

    def kill9(self):
        proc, self.proc = self.proc, None
        self.kill_tree()
        proc.wait()

    def connect(self, timeout=10):
        return socket.create_connection((self.host, self.port), timeout * SLOW)

    def request(self, method, path, body=None, headers=None, timeout=20):
        h = {"User-Agent": "heartex/1.23.2", "Accept": "*/*"}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            h["Content-Type"] = "application/json"
        if self.auth:
            h["Authorization"] = self.auth
        for k, v in (headers or {}).items():
            h.pop(k, None)
            if v is not None:
                h[k] = v
        conn = http.client.HTTPConnection(self.host, self.port, timeout=timeout * SLOW)
        t = time.time()
        try:
            try:
                conn.request(method, path, data, h)
            except (BrokenPipeError, ConnectionResetError):
                pass    # the server answered before it had read everything: the answer is there to read
            r = conn.getresponse()
            raw = r.read()
            return _mutated(method, path, Answer(r.status, r.getheaders(), raw, time.time() - t))
        except (http.client.HTTPException, AttributeError) as e:     # AttributeError: the socket is gone already
            raise OSError(f"{type(e).__name__}: {e}") from e
        finally:
            conn.close()

    def raw(self, data, timeout=8, half_close=False):
        """Sends bytes as they are; returns what comes until the peer closes or nothing more comes."""
        with self.connect(timeout) as s:
            out = b""
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                while True:
                    got = s.recv(65536)
                    if not got:
                        break
                    out += got
            except OSError:
                pass
            return out


# ---- the product as plain CGI -----------------------------------------------

class Cgi(Backend):
    """Each request is one run of the program with CGI variables; a detached trainer may follow a webhook."""

    PROGRAM = {"/predict": "predict", "/setup": "setup", "/webhook": "webhook", "/train": "webhook"}

    def __init__(self, folder=None, **extra):
        self.own = folder is None
        self.dir = folder or tempfile.mkdtemp(prefix="prelabel-cgi-")
        self.env = settings(self.dir, **extra)
        self.auth = basic(extra["BASIC_AUTH_USER"], extra["BASIC_AUTH_PASS"]) if extra.get("BASIC_AUTH_USER") else None
        self.stderr = b""
        self.peak_kb, self.watch = 0, None

    def stopwatch(self):
        self.watch = Stopwatch()
        return self.watch

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # A trainer is detached on purpose; the test is over, so it ends here.
        for pid in processes_with("MODEL_DIR=" + self.dir):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        report = sanitizer_report(self.dir)
        if self.own and not (kind and os.environ.get("KEEP")):
            shutil.rmtree(self.dir, ignore_errors=True)
        if kind is None and (report or b"Sanitizer" in self.stderr or b"runtime error:" in self.stderr):
            raise AssertionError(report or self.log_text()[-900:])

    def log_text(self):
        return self.stderr.decode("utf-8", "replace")

    def variables(self, method, path, data, headers):
        path, _, query = path.partition("?")
        path = urllib.parse.unquote(path)
        route = next((r for r in self.PROGRAM if path == r or path.startswith(r + "/")), None)
        program = self.PROGRAM.get(route)
        env = dict(self.env, GATEWAY_INTERFACE="CGI/1.1", SERVER_PROTOCOL="HTTP/1.1", SERVER_SOFTWARE="test", SERVER_NAME="localhost",
                   SERVER_PORT="9090", REMOTE_ADDR="127.0.0.1", REQUEST_METHOD=method, QUERY_STRING=query, REQUEST_URI=path,
                   SCRIPT_NAME=route or "", PATH_INFO=path[len(route or ""):])
        if data is not None:
            env.update(CONTENT_LENGTH=str(len(data)), CONTENT_TYPE="application/json")
        if self.auth:
            env["HTTP_AUTHORIZATION"] = self.auth
        for k, v in (headers or {}).items():
            key = k.upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key
            if v is None:
                env.pop(key, None)
            else:
                env[key] = v
        return program or "status", env

    def run(self, program, env, data, timeout=20):
        """(exit status, stdout); self.peak_kb is the program's largest memory."""
        out, err, into = tempfile.TemporaryFile(), tempfile.TemporaryFile(), tempfile.TemporaryFile()
        with out, err, into:
            into.write(data or b"")
            into.seek(0)
            p = subprocess.Popen([os.path.join(BUILD, "cgi", program)], cwd=ROOT, env=env, stdin=into, stdout=out, stderr=err)
            end = time.time() + timeout * SLOW
            while True:
                if os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    if self.watch:      # what it was held up is known until it is buried
                        self.watch.more += sum(t for (pid, _), t in Stopwatch([p.pid]).before.items() if pid == p.pid)
                    _, status, usage = os.wait4(p.pid, 0)
                    break
                if time.time() > end:
                    p.kill()
                    os.wait4(p.pid, 0)
                    p.returncode = -9
                    raise OSError("no answer in time")
                time.sleep(0.002)
            p.returncode = os.waitstatus_to_exitcode(status)
            self.peak_kb = usage.ru_maxrss
            out.seek(0)
            err.seek(0)
            self.stderr += err.read()
            return p.returncode, out.read()

    def request(self, method, path, body=None, headers=None, timeout=20):
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        t = time.time()
        program, env = self.variables(method, path, data, headers)
        code, out = self.run(program, env, data, timeout)
        return _mutated(method, path, self.parse(code, out, time.time() - t))

    @staticmethod
    def parse(code, out, seconds=0.0):
        head, sep, body = out.partition(b"\r\n\r\n")
        if not sep:
            head, sep, body = out.partition(b"\n\n")
        if not sep or code != 0:
            raise OSError(f"no CGI answer: exit {code}, {out[:200]!r}")
        status, headers = 200, []
        for line in head.decode("latin-1").splitlines():
            k, _, v = line.partition(":")
            if k.lower() == "status":
                status = int(v.split()[0])
            else:
                headers.append((k, v.strip()))
        return Answer(status, headers, body, seconds)


TRANSPORT = {"fastcgi": Server, "cgi": Cgi}


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# ---- Label Studio: a project and what it sends ------------------------------

def choices_config(labels, text="text", name="label", to="text", choice="single", extra=""):
    def esc(s):
        return s.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return (f'<View>{extra}<Text name="{to}" value="${text}"/><Choices name="{name}" toName="{to}" choice="{choice}" showInLine="true">'
            + "".join(f'<Choice value="{esc(v)}"/>' for v in labels) + "</Choices></View>")


NER = ('<View><Labels name="ner" toName="text"><Label value="Person"/><Label value="Place"/></Labels>'
       '<Text name="text" value="$text"/></View>')
GOOD = "great lovely excellent friendly delicious wonderful perfect happy superb brilliant charming fresh".split()
BAD = "awful broken terrible rude horrible dirty late cold worst useless noisy stale".split()
MILD = "average ordinary usual normal plain middling common standard regular fair typical modest".split()
FILL = "food service room staff phone delivery price table soup coffee battery screen".split()
WORDS = {"positive": GOOD, "negative": BAD, "neutral": MILD, "spam": "win prize cash free claim offer urgent bonus".split(),
         "ham": "meeting lunch report tomorrow family agenda thanks invoice".split()}


def review(label, i):
    """The i-th text of the label, the same on every machine; only the three words of the label tell it."""
    w, r = WORDS[label], random.Random(i * 100003 + len(label))
    return f"the {r.choice(FILL)} was {r.choice(w)} and {r.choice(w)} and the {r.choice(FILL)} {r.choice(w)} item{i}"


class Project:
    """One project of Label Studio.  Times are made up and always grow."""

    def __init__(self, pid=1, labels=("positive", "negative"), created="2026-11-22T00:09:55.382502Z", config=None, text="text",
                 name="label", to="text", choice="single", first=1):
        self.id, self.labels, self.born, self.text, self.name, self.to = pid, list(labels), created, text, name, to
        self.choice = choice
        self.own_config = config
        self.tasks, self.annotations, self.next = {}, {}, first
        self.clock = 1795306200 * 10**6

    @property
    def seconds(self):
        return calendar.timegm(time.strptime(self.born[:19], "%Y-%m-%dT%H:%M:%S"))

    @property
    def key(self):
        return f"{self.id}.{self.seconds}"

    @property
    def config(self):
        return self.own_config or choices_config(self.labels, self.text, self.name, self.to, self.choice)

    def now(self):
        self.clock += 1000003
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.clock // 10**6)) + f".{self.clock % 10**6:06d}Z"

    # requests of the machine learning side
    def setup_body(self, **kw):
        return dict({"project": self.key, "schema": self.config, "hostname": "http://localhost:8080", "access_token": "e2e0" * 10,
                     "extra_params": None}, **kw)

    def task_json(self, tid, data):
        return {"id": tid, "data": data, "meta": {}, "created_at": "2026-11-22T00:09:56.634575Z",
                "updated_at": "2026-11-22T00:09:56.634619Z", "is_labeled": False, "overlap": 1, "inner_id": tid, "total_annotations": 0,
                "cancelled_annotations": 0, "total_predictions": 0, "comment_count": 0, "unresolved_comment_count": 0,
                "last_comment_updated_at": None, "project": self.id, "updated_by": None, "file_upload": None, "comment_authors": [],
                "annotations": [], "predictions": []}

    def predict_body(self, texts, context=None, drop=(), **kw):
        tasks = [self.task_json(900000 + i, t if isinstance(t, dict) else {self.text: t}) for i, t in enumerate(texts)]
        body = {"tasks": tasks, "project": self.key, "label_config": self.config,
                "params": {"login": None, "password": None, "context": context}}
        body.update(kw)
        for k in drop:
            del body[k]
        return body

    # events
    def project_json(self):
        return {"id": self.id, "title": "Reviews", "label_config": self.config,
                "parsed_label_config": {self.name: {"type": "Choices", "to_name": [self.to],
                                                    "inputs": [{"type": "Text", "valueType": None, "value": self.text}],
                                                    "labels": self.labels, "labels_attrs": {v: {"value": v} for v in self.labels}}}
                if not self.own_config else {}, "label_config_hash": 8299478012606210484, "model_version": "prelabel",
                "created_at": self.born, "updated_at": self.born, "maximum_annotations": 1, "is_draft": False,
                "min_annotations_to_start_training": 0, "organization": 1, "created_by": 1, "token": "95iPG98XhGhXCBsjxFqgi8QLpJSYUiiscz3Q3GqW"}

    def event(self, action, **kw):
        return dict({"action": action}, **kw, project=self.project_json())

    def region(self, label):
        labels = [label] if isinstance(label, str) else list(label)
        return {"from_name": self.name, "to_name": self.to, "type": "choices", "value": {"choices": labels}}

    def task(self, text, tid=None):
        tid = tid or self.next
        self.next = max(self.next, tid) + 1
        self.tasks[tid] = text if isinstance(text, dict) else {self.text: text}
        return tid

    def annotation(self, aid, tid, label, by=1, at=None, **kw):
        """An annotation object; label None: submitted empty; a list: several choices; a dict: the region as it is."""
        at = at or self.now()
        result = [] if label is None else label["result"] if isinstance(label, dict) else [self.region(label)]
        a = dict({"id": aid, "result": result, "was_cancelled": False, "ground_truth": False, "created_at": at, "updated_at": at,
                  "draft_created_at": None, "lead_time": 1.5, "prediction": {}, "result_count": len(result),
                  "unique_id": f"00000000-0000-4000-8000-{aid:012d}", "import_id": None, "last_action": None, "bulk_created": False,
                  "task": tid, "project": self.id, "completed_by": by, "updated_by": by, "parent_prediction": None,
                  "parent_annotation": None, "last_created_by": None}, **kw)
        self.annotations[aid] = a
        return a

    def event_task(self, tid):
        t = self.task_json(tid, self.tasks[tid])
        t.pop("annotations")
        t.pop("predictions")
        return dict(t, is_labeled=True, total_annotations=1)

    def created(self, a, action="ANNOTATION_CREATED"):
        return self.event(action, annotation=a, task=self.event_task(a["task"]))

    def updated(self, a):
        return self.created(a, "ANNOTATION_UPDATED")

    def created_many(self, many):
        return self.event("ANNOTATIONS_CREATED", annotation=list(many), task=[self.event_task(a["task"]) for a in many])

    def deleted(self, *ids):
        for i in ids:
            self.annotations.pop(i, None)
        return self.event("ANNOTATIONS_DELETED", annotations=[{"id": i} for i in ids])

    def tasks_created(self, tids):
        return self.event("TASKS_CREATED", tasks=[self.event_task(t) for t in tids])

    def tasks_deleted(self, *tids):
        for a in [a for a in self.annotations.values() if a["task"] in tids]:
            del self.annotations[a["id"]]
        return self.event("TASKS_DELETED", tasks=[{"id": t} for t in tids])

    def labelled(self, text, label, aid=None, **kw):
        """The ANNOTATION_CREATED event of a new task with one annotation."""
        tid = self.task(text)
        return self.created(self.annotation(aid or tid, tid, label, **kw))

    def some(self, n, labels=None, start=0):
        """n ANNOTATION_CREATED events, the labels in turn."""
        labels = labels or self.labels
        return [self.labelled(review(labels[i % len(labels)], i), labels[i % len(labels)]) for i in range(start, start + n)]

    def export(self):
        """The answer of the export: tasks with at least one annotation, skipped ones included."""
        out = []
        for tid in sorted(self.tasks):
            mine = [a for a in self.annotations.values() if a["task"] == tid]
            if mine:
                t = self.task_json(tid, self.tasks[tid])
                t.update(annotations=mine, predictions=[], drafts=[])
                t.pop("is_labeled")
                out.append(t)
        return out


def entries(answer):
    return (answer.json or {}).get("results") if isinstance(answer.json, dict) else None


def wrong_prediction(entry, project, labels=None, version=None):
    """'' when the entry is exactly the documented form with a label of the project, else what is wrong."""
    labels = labels or project.labels
    if not isinstance(entry, dict) or set(entry) != {"model_version", "score", "result"}:
        return f"keys of {entry!r}"
    p = entry["score"]
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        return f"score {p!r}"
    if not isinstance(entry["model_version"], str) or not VERSION.match(entry["model_version"]):
        return f"model_version {entry['model_version']!r}"
    if version is not None and entry["model_version"] != version:
        return f"model_version {entry['model_version']!r}, not {version!r}"
    if not isinstance(entry["result"], list) or len(entry["result"]) != 1:
        return f"result {entry['result']!r}"
    r = entry["result"][0]
    if set(r) != {"from_name", "to_name", "type", "score", "value"} or set(r["value"]) != {"choices"}:
        return f"region {r!r}"
    if (r["from_name"], r["to_name"], r["type"], r["score"]) != (project.name, project.to, "choices", p):
        return f"region {r!r}"
    if len(r["value"]["choices"]) != 1 or r["value"]["choices"][0] not in labels:
        return f"label {r['value']!r}"
    if p < 1 / len(labels) - 1e-6:
        return f"score {p} is below 1/{len(labels)}: not the largest probability"
    return ""


def wrong_predictions(answer, n, project, **kw):
    """'' when the answer is 200 with exactly n right entries of one version."""
    got = entries(answer)
    if answer.status != 200 or not isinstance(got, list) or len(got) != n:
        return f"{len(got) if isinstance(got, list) else None} entries for {n} tasks: {answer}"
    for i, e in enumerate(got):
        w = wrong_prediction(e, project, **kw)
        if w:
            return f"entry {i}: {w}"
    if len({e["model_version"] for e in got}) > 1:
        return "several versions in one answer"
    return ""


def label_of(entry):
    return entry["result"][0]["value"]["choices"][0]


def number(version):
    m = VERSION.match(version or "")
    return int(m.group(1)) if m else None


def digest(version):
    m = VERSION.match(version or "")
    return m.group(2) if m else None


def train(backend, project, old=None, seconds=90):
    """START_TRAINING and the version that follows, or None."""
    old = old or backend.version(project)
    backend.hook(project.event("START_TRAINING"))
    return backend.wait_version(project, old, seconds)


def feed(backend, events):
    """Posts events; returns the answers that are not 201."""
    return [str(a) for a in (backend.hook(e) for e in events) if a.status != 201]


# ---- a stub of Label Studio's API -------------------------------------------

def jwt(kind, exp, salt="0"):
    def part(o):
        return base64.urlsafe_b64encode(json.dumps(o).encode()).decode().rstrip("=")
    return ".".join((part({"alg": "HS256", "typ": "JWT"}), part({"token_type": kind, "exp": exp, "iat": exp - 300, "jti": salt, "user_id": "1"}),
                     "x" * 43))


LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = jwt("refresh", 8102506261, "personal")


class Studio:
    """
    Label Studio's API on a free port.  kind "pat": personal tokens only, access
    tokens live `lives` seconds; "legacy": the 40 digits.  `seen` holds (method,
    path, Authorization) of every request; `fault` may be a function (handler, path)
    that answers itself and returns True.
    """

    def __init__(self, *projects, kind="pat", lives=300):
        self.projects = {p.id: p for p in projects}
        self.kind, self.lives, self.seen, self.fault, self.issued, self.posted = kind, lives, [], None, {}, []
        studio = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, status, body, headers=()):
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                for k, v in headers:
                    self.send_header(k, v)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(raw)

            def fail(self, status, detail):
                self.reply(status, {"id": "0", "status_code": status, "version": "1.23.2", "detail": detail, "exc_info": None})

            def handle_any(self):
                n = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(n) if n else b""
                studio.seen.append((self.command, self.path, self.headers.get("Authorization")))
                url = urllib.parse.urlsplit(self.path)
                if studio.fault and studio.fault(self, url.path):
                    return
                studio.answer(self, url.path.rstrip("/"), urllib.parse.parse_qs(url.query))

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = handle_any

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def key(self):
        return PERSONAL if self.kind == "pat" else LEGACY

    def paths(self):
        return [p for _, p, _ in self.seen]

    def allowed(self, auth):
        if self.kind == "legacy":
            return auth == "Token " + LEGACY
        kind, _, token = (auth or "").partition(" ")
        return kind == "Bearer" and self.issued.get(token, 0) > time.time()

    def answer(self, h, path, query):
        if path == "/api/token/refresh":
            try:
                given = json.loads(h.body).get("refresh")
            except (ValueError, AttributeError):
                given = None
            if not given:
                return h.fail(400, "refresh: This field is required.")
            if self.kind != "pat" or given != PERSONAL:
                return h.fail(401, "Token is invalid or expired")
            exp = int(time.time() + self.lives)
            token = jwt("access", exp, f"access{len(self.issued)}")
            self.issued[token] = time.time() + self.lives
            return h.reply(200, {"access": token})
        auth = h.headers.get("Authorization")
        if not self.allowed(auth):
            return h.fail(401, "Authentication token no longer valid: legacy token authentication has been disabled for this organization"
                          if (auth or "").startswith("Token ") and self.kind == "pat" else "Authentication credentials were not provided.")
        m = re.match(r"^/api/projects/(\d+)(/\w+)?$", path)
        if path == "/api/projects":
            return h.reply(200, {"count": len(self.projects), "next": None, "previous": None,
                                 "results": [p.project_json() for p in self.projects.values()]})
        if m:
            p = self.projects.get(int(m.group(1)))
            if not p:
                return h.fail(404, "No Project matches the given query.")
            if not m.group(2):
                return h.reply(200, p.project_json())
            if m.group(2) == "/export":
                out = p.export()
                if query.get("download_all_tasks") == ["true"]:
                    have = {t["id"] for t in out}
                    out += [dict(p.task_json(t, d), drafts=[]) for t, d in p.tasks.items() if t not in have]
                if "ids[]" in query:
                    out = [t for t in out if str(t["id"]) in query["ids[]"]]
                return h.reply(200, out)
        if path == "/api/tasks" and "project" in query:
            p = self.projects.get(int(query["project"][0]))
            page, size = int(query.get("page", ["1"])[0]), int(query.get("page_size", ["100"])[0])
            rows = [dict(p.task_json(t, d), annotations=[a for a in p.annotations.values() if a["task"] == t]) for t, d in sorted(p.tasks.items())]
            part = rows[(page - 1) * size:page * size]
            if not part and page > 1:
                return h.fail(404, "Invalid page.")
            return h.reply(200, {"total_annotations": len(p.annotations), "total_predictions": 0, "total": len(rows), "tasks": part})
        m = re.match(r"^/api/annotations/(\d+)$", path)
        if m:
            for p in self.projects.values():
                if int(m.group(1)) in p.annotations:
                    return h.reply(200, p.annotations[int(m.group(1))])
            return h.fail(404, "Not found.")
        m = re.match(r"^/api/tasks/(\d+)(/annotations)?$", path)
        if m:
            for p in self.projects.values():
                if int(m.group(1)) in p.tasks:
                    mine = [a for a in p.annotations.values() if a["task"] == int(m.group(1))]
                    return h.reply(200, [a for a in mine if not a["was_cancelled"]] if m.group(2) else
                                   dict(p.task_json(int(m.group(1)), p.tasks[int(m.group(1))]), annotations=mine))
            return h.fail(404, "Not found.")
        if path in ("/api/ml", "/api/webhooks"):
            return h.reply(200, [])
        if path == "/api/version":
            return h.reply(200, {"release": "1.23.2"})
        if h.command == "POST":
            self.posted.append((path, h.body))
            return h.reply(201, {"id": len(self.posted)})
        return h.fail(404, "Not found.")
