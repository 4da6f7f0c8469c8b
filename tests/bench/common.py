"""common.py - what the groups of tests/bench/run share: texts, a start of the service, load, tables."""
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = min(int(os.environ.get("BENCH_SECONDS", "3")), 5)
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
BUILD = os.environ.get("BUILD", "build")
PRELABEL = BUILD + "/prelabel"
MEASURE = BUILD + "/tests/measure"
COMMAND = os.environ.get("BENCH_START", PRELABEL + " start")
TICK = os.sysconf("SC_CLK_TCK")
PROJECT_S = 1767225600  # the creation second that predict.lua names
NEVER = 1000000         # START_TRAINING_EACH_N_UPDATES while nothing but the load shall run
median = statistics.median


# ---- texts, as texts.lua makes them ---------------------------------------------------
def vocabulary():
    words = {}
    with open(os.path.join(HERE, "vocab.txt"), encoding="utf-8") as f:
        for line in f:
            if ":" in line and not line.startswith("#"):
                name, _, rest = line.partition(":")
                words[name] = rest.split()
    return words


VOCAB = vocabulary()
LABELS = sorted(k for k in VOCAB if k != "*")
CONFIG = ('<View><Text name="text" value="$text"/><Choices name="topic" toName="text" choice="single" showInLine="true">'
          + "".join(f'<Choice value="{v}"/>' for v in LABELS) + "</Choices></View>")
SYLLABLES = "ba ko ri ma ten lor vi sa du mar el no ki pra fen os".split()


def text_of(rng, label):
    def pick(words):
        return words[int(rng.random() ** 2 * len(words))]

    def word():
        r = rng.random()
        if r < 0.55:
            return pick(VOCAB["*"])
        if r < 0.90:
            return pick(VOCAB[label if rng.random() < 0.88 else rng.choice(LABELS)])
        return "".join(rng.choice(SYLLABLES) for _ in range(3))
    return " ".join(word() for _ in range(8 + rng.randrange(25))) + "."


# ---- one start of a service --------------------------------------------------------------
def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Service:
    def __init__(self, command, store, n_updates=NEVER):
        self.port = free_port()
        os.makedirs(store, 0o700, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "BASIC_AUTH_", "MAKE", "MFLAGS", "WEBHOOK_SECRET"))}
        env.update(HOST="127.0.0.1", PORT=str(self.port), MODEL_DIR=store, START_TRAINING_EACH_N_UPDATES=str(n_updates), LOG_LEVEL="WARNING")
        self.log = open(os.path.join(store, "service.log"), "ab")
        t = time.monotonic()
        self.child = subprocess.Popen("exec " + command, shell=True, env=env, stdin=subprocess.DEVNULL,
                                      stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)
        while True:
            try:
                if self.ask("GET", "/health")[0] == 200:
                    break
            except OSError:
                pass
            if self.child.poll() is not None or time.monotonic() - t > 120:
                sys.exit(f"bench: the service did not start: {open(self.log.name, errors='replace').read()[-500:]}")
            time.sleep(0.001)
        self.start_s = time.monotonic() - t

    def ask(self, method, path, body=None):
        con = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
        try:
            con.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            r = con.getresponse()
            return r.status, json.loads(r.read())
        except (http.client.HTTPException, ValueError) as e:
            raise OSError(repr(e)) from e
        finally:
            con.close()

    def ok(self, method, path, body=None):
        st, out = self.ask(method, path, body)
        if st >= 300:
            sys.exit(f"bench: {method} {path}: {st} {str(out)[:300]}")
        return out

    def version(self):
        return self.ok("POST", "/setup", {"project": f"1.{PROJECT_S}", "schema": CONFIG, "hostname": "", "access_token": "", "extra_params": None})["model_version"]

    def annotate(self, first, n, seed, config=CONFIG, labels=LABELS, project=1):
        """ANNOTATIONS_CREATED with the ids first .. first + n - 1."""
        rng, tasks, anns = random.Random(seed), [], []
        name = "topic" if config is CONFIG else re.search(r'<Choices[^>]*\bname="([^"]*)"', config)[1]
        for i in range(first, first + n):
            label = labels[i % len(labels)]
            tasks.append({"id": i, "data": {"text": text_of(rng, label if label in VOCAB else LABELS[0])}, "project": project})
            anns.append({"id": i, "task": i, "project": project, "completed_by": 1, "was_cancelled": False, "ground_truth": False, "result": [
                {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [label]}}]})
        return self.ok("POST", "/webhook", {"action": "ANNOTATIONS_CREATED", "task": tasks, "annotation": anns,
                                            "project": {"id": project, "title": "bench", "label_config": config}})

    def wait_version(self, old, timeout=300):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            v = self.version()
            if v != old:
                return v
            time.sleep(0.005)
        sys.exit(f"bench: no new version after {old} in {timeout} s")

    def tree(self):
        """Process ids of the service, found by walking down from the one started here."""
        parent = {}
        for p in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{p}/stat") as f:
                    parent[int(p)] = int(f.read().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError):
                pass
        mine, more = set(), {self.child.pid}
        while more:
            mine |= more
            more = {p for p, q in parent.items() if q in mine} - mine
        return sorted(p for p in mine if p in parent)

    def cpu_s(self):
        """Processor seconds of the tree so far, with those of children that ended in it."""
        total = 0
        for p in self.tree():
            try:
                with open(f"/proc/{p}/stat") as f:
                    total += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:15]))
            except OSError:
                pass
        return total / TICK

    def memory(self):
        """[(program, processes, PSS in MB, private in MB)]"""
        out = {}
        for p in self.tree():
            try:
                name = os.path.basename(os.readlink(f"/proc/{p}/exe"))
                with open(f"/proc/{p}/smaps_rollup") as f:
                    kb = {k.split()[0]: int(k.split()[1]) for k in f if k.endswith("kB\n")}
            except OSError:
                continue
            n, pss, own = out.get(name, (0, 0, 0))
            out[name] = n + 1, pss + kb["Pss:"] / 1024, own + (kb["Private_Clean:"] + kb["Private_Dirty:"]) / 1024
        return [(k, *v) for k, v in sorted(out.items())]

    def stop(self):
        os.killpg(self.child.pid, signal.SIGTERM)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
            print("bench: the service did not end at SIGTERM within 20 s", file=sys.stderr)
        self.log.close()


def floor_service(work):
    """floor.c behind a lighttpd of the same shape, every path."""
    binary, conf = BUILD + "/tests/floor", os.path.join(work, "floor.conf")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f'''server.document-root = "{work}"
server.bind = "127.0.0.1"
server.port = env.PORT
server.modules = ("mod_fastcgi")
server.max-keep-alive-requests = 65535
fastcgi.server = ("/" => (("socket" => "{work}/floor.sock", "bin-path" => "{os.path.abspath(binary)}",
  "max-procs" => {os.environ.get("WORKERS") or os.cpu_count()}, "check-local" => "disable")))
''')
    lighttpd = shutil.which("lighttpd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return Service(f"{lighttpd} -D -f {conf}", os.path.join(work, "floor"))


# ---- what comes out: Markdown on standard output, kept for the file ------------------------
goals, printed = [], []


def say(text):
    print(text, flush=True)
    printed.append(text)


def cell(x):
    return x if isinstance(x, str) else f"{x:.3g}" if abs(x) < 100 else f"{x:,.0f}"


def rows(head, body):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(map(cell, r)) + " |" for r in body])


def table(title, head, body, note=""):
    say(f"\n### {title}\n\n" + (note + "\n\n" if note else "") + rows(head, body))


def goal(figure, value, text, met):
    """A figure that has a goal: into the table that stands first."""
    goals.append((figure, value, text, "yes" if met else "**no**"))
    say(f"\n{figure}: {value}; goal {text}: {goals[-1][3]}")


def once(argv, **kw):
    """(standard output, wall seconds, processor seconds) of one command."""
    t = time.monotonic()
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, **kw)
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    wall = time.monotonic() - t
    p.stdout.close()
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        sys.exit(f"bench: {' '.join(argv)}: exit {p.returncode}")
    return out, wall, usage.ru_utime + usage.ru_stime


def wrk(service, script, connections, **env):
    """One bounded run: the RESULT line as numbers, with the processor milliseconds a request."""
    before = service.cpu_s()
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", os.path.join(HERE, script), f"http://127.0.0.1:{service.port}"],
                         env=dict(os.environ, **{k: str(v) for k, v in env.items()}), capture_output=True, text=True, check=True).stdout
    got = {k: float(v) for k, v in (x.split("=") for x in out[out.index("RESULT"):].split()[2:])}
    if not got["requests"]:
        sys.exit(f"bench: {script} {env}: nothing was answered: {out}")
    got["cpu_ms"] = 1000 * (service.cpu_s() - before) / got["requests"]
    return got
