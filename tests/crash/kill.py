#!/usr/bin/env python3
"""kill.py - kill -9 anywhere: the service comes back, nothing acknowledged is lost, the due training completes.

    tests/crash/kill.py [KILLS]       60 random kills; 12 is the short form, about two minutes in all

Run from the root of a built tree; Python's standard library only. Two parts:

1. Each of lighttpd, the four programs, the supervisor and a trainer is killed while a training is due. The next
   start, from another copy of the built tree and with other settings, must serve with its own settings and its own
   binaries; no process of the former start may live; and without any request the due training must complete within
   45 s of the kill.
2. KILLS times a random process is killed under webhook and predict load, and started again where that is needed.
   At the end the file is whole, every acknowledged annotation is there exactly once, the counter equals the rows,
   and a training completes.

Processes are found by walking the tree below the start's own process id, and by a marker in their environment (a
password that only this start has), never by name. Only what was found so is ever signalled.

Environment: KILL_START, the command of a start (make -s run); KILL_SEED, the seed of all that is random (printed);
KILL_ONLY, victims of the first part, comma-separated, or "load"; KILL_KEEP=1 keeps the stores and logs.
"""
import base64
import concurrent.futures
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "http"))
sys.dont_write_bytecode = True
from harness import Stopwatch, free_port  # noqa: E402

COMMAND = os.environ.get("KILL_START", "make -s run")
SEED = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(1 << 31))
WAIT_S = 180       # patience, where the time is measured or not promised
DUE_S = 45         # a due training completes within this: the lease (30 s), a look a second, the training itself
EXAMPLES = 9000    # of a training that is long enough to be killed
N_LABELS = 24
CREATED = "2026-01-02T03:04:05.000000Z"
CREATED_S = 1767323045
PROGRAMS = ("predict", "setup", "webhook", "status")
ANSWERS = {200, 201, 503, 507}  # nothing else may come out, whatever is killed

passed = failed = 0
print_lock = threading.Lock()


def check(name, good, detail=""):
    """One line; detail is shown, and called if it can be, on failure alone."""
    global passed, failed
    detail = detail() if callable(detail) and not good else detail
    with print_lock:
        passed, failed = passed + bool(good), failed + (not good)
        print(("ok   " if good else "FAIL ") + name + (f"  [{str(detail)[:400]}]" if not good else ""), flush=True)
    return good


def wait_for(fn, timeout, step=0.05):
    """Call fn until it is true; its last value."""
    end = time.monotonic() + timeout
    while True:
        got = fn()
        if got or time.monotonic() > end:
            return got
        time.sleep(step)


# ---- processes -------------------------------------------------------------------
def stat_of(pid):
    """(parent, start time, state) of a process, None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            field = f.read().rsplit(")", 1)[1].split()
        return int(field[1]), int(field[19]), field[0]
    except (OSError, IndexError, ValueError):
        return None


def all_pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def alive(proc):
    """proc is (pid, start time): a reused id is not the same process, a zombie does not live."""
    st = stat_of(proc[0])
    return bool(st) and st[1] == proc[1] and st[2] != "Z"


def binary(pid):
    """The file it runs; None once it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def role_of(pid):
    """What a process of a start is, by the file it runs: supervisor, trainer, lighttpd, predict, ... or other."""
    try:
        name = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            argv = f.read().split(b"\0")
    except OSError:
        return "gone"
    if name == "prelabel":
        verb = argv[1:2]
        return "trainer" if verb == [b"train"] else "supervisor" if verb == [b"start"] else "other"
    return name if name in PROGRAMS or name == "lighttpd" else "other"


def kill9(procs):
    for p in procs:
        if alive(p):
            try:
                os.kill(p[0], signal.SIGKILL)
            except ProcessLookupError:
                pass


# ---- one start of the service ------------------------------------------------------
class Start:
    """`make run` from one copy of the tree, with a password of its own; known are all processes it ever had."""

    serial = 0
    lock = threading.Lock()

    def __init__(self, root, store, port, n_updates):
        with Start.lock:
            Start.serial += 1
            self.password = f"start-{os.getpid()}-{Start.serial}"
        self.root, self.store, self.port, self.known = root, store, port, set()
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "BASIC_AUTH_", "MAKE", "MFLAGS"))}
        env.update(HOST="127.0.0.1", PORT=str(port), MODEL_DIR=store, START_TRAINING_EACH_N_UPDATES=str(n_updates),
                   BASIC_AUTH_USER="kill", BASIC_AUTH_PASS=self.password, LABEL_STUDIO_HOST="http://127.0.0.1:9")
        self.log = open(os.path.join(store, "start.log"), "ab")
        self.born = time.monotonic()
        self.child = subprocess.Popen(COMMAND, shell=True, cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=self.log,
                                      stderr=subprocess.STDOUT, start_new_session=True)

    def processes(self):
        """{role: [(pid, start time)]} of all that live now, and remember them: descendants, and who has the password."""
        stats = {p: s for p in all_pids() if (s := stat_of(p))}
        mine = {self.child.pid} if self.child.poll() is None else set()
        grown = True
        while grown:
            grown = {p for p, s in stats.items() if s[0] in mine and p not in mine}
            mine |= grown
        marker = ("BASIC_AUTH_PASS=" + self.password).encode()
        for p in stats:
            try:
                with open(f"/proc/{p}/environ", "rb") as f:
                    if marker in f.read().split(b"\0"):
                        mine.add(p)
            except OSError:
                pass
        out = {}
        for p in mine:
            if p in stats and stats[p][2] != "Z":
                self.known.add((p, stats[p][1]))
                out.setdefault(role_of(p), []).append((p, stats[p][1]))
        return out

    def zombies(self):
        """Children without a grave, of any process of this start: one that has just ended is buried soon."""
        mine = {p for p, _ in self.known}

        def now():
            return {(p, s[1]) for p in all_pids() if (s := stat_of(p)) and s[2] == "Z" and s[0] in mine}

        first = now()
        if first:
            time.sleep(2)
        return sorted(p for p, _ in first & now())

    def ask(self, method, path, body=None, password=None, timeout=30):
        """(status, parsed body or None); a refused or broken connection raises OSError."""
        con = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            cred = base64.b64encode(f"kill:{password or self.password}".encode()).decode()
            con.request(method, path, None if body is None else json.dumps(body),
                        {"Authorization": "Basic " + cred, "Content-Type": "application/json"})
            r = con.getresponse()
            raw = r.read()
        except http.client.HTTPException as e:
            raise OSError(f"broken answer: {e!r}") from e
        finally:
            con.close()
        try:
            return r.status, json.loads(raw)
        except ValueError:
            return r.status, None

    def answers(self, password=None):
        """The status of one request to each program, None where the connection broke."""
        out = {}
        for name, (method, path, body) in PROBES.items():
            try:
                out[name] = self.ask(method, path, body, password)[0]
            except OSError:
                out[name] = None
        return out

    def serves(self):
        return set(self.answers().values()) <= {200, 201}

    def up(self):
        """GET /health alone, which touches no table and so can't set off a training."""
        try:
            return self.ask("GET", "/health")[0] == 200
        except OSError:
            return False

    def stopwatch(self):
        """Of all that runs now: what the machine has no processor for is not its time."""
        return Stopwatch([p for ps in self.processes().values() for p, _ in ps])

    def wait_until(self, fn, timeout=WAIT_S):
        """fn, one of the two above, became true and the start lives."""
        return wait_for(lambda: self.child.poll() is not None or fn(), timeout) and self.child.poll() is None

    def ended(self, timeout):
        """Wait until every process ever seen is dead; what still lives."""
        def living():
            self.child.poll()
            self.processes()
            return [p for p in self.known if alive(p)]
        def none():
            """Twice: one that just becomes its program has no environment to be known by, and is orphaned by now."""
            nonlocal left
            left = living()
            if not left:
                time.sleep(0.1)
                left = living()
            return not left
        left = []
        wait_for(none, timeout)
        return [(p, role_of(p[0])) for p in left]

    def stop(self, grace=60):
        """SIGTERM to the supervisor, as a service manager would send it; what still lives after that."""
        procs = self.processes()
        for p in procs.get("supervisor", [(self.child.pid, 0)] if self.child.poll() is None else []):
            try:
                os.kill(p[0], signal.SIGTERM)
            except ProcessLookupError:
                pass
        return self.ended(grace)

    def clean_up(self):
        self.processes()
        kill9(self.known)
        self.child.wait()
        self.log.close()

    def tail(self, n=6):
        with open(self.log.name, errors="replace") as f:
            return " | ".join(line.strip() for line in f.readlines()[-n:])


# ---- what is sent -------------------------------------------------------------------
WORDS = ["".join(random.Random(i).choices("aeioulmnrstk", k=3 + i % 6)) + str(i) for i in range(3000)]
LABELS = [f"label {i}" for i in range(N_LABELS)]
CONFIG = ('<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single">'
          + "".join(f'<Choice value="{v}"/>' for v in LABELS) + "</Choices></View>")


def text_of(rng, label):
    own = LABELS.index(label) * 40
    return " ".join(WORDS[own + rng.randrange(40)] if rng.random() < 0.3 else rng.choice(WORDS) for _ in range(6 + rng.randrange(20)))


def project(pid):
    return {"id": pid, "title": f"Project {pid}", "label_config": CONFIG, "created_at": CREATED}


def annotated(pid, i, text, label):
    return ({"id": i, "data": {"text": text}, "project": pid, "updated_at": CREATED},
            {"id": i, "task": i, "project": pid, "completed_by": 1, "was_cancelled": False, "ground_truth": False,
             "created_at": CREATED, "updated_at": CREATED,
             "result": [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]})


def bulk(pid, n, rng):
    """ANNOTATIONS_CREATED of n annotations, ids 1..n, and {id: label}."""
    labels = {i: LABELS[(i - 1) % N_LABELS] for i in range(1, n + 1)}
    pairs = [annotated(pid, i, text_of(rng, v), v) for i, v in labels.items()]
    return {"action": "ANNOTATIONS_CREATED", "project": project(pid), "task": [t for t, _ in pairs], "annotation": [a for _, a in pairs]}, labels


def setup_body(pid):
    return {"project": f"{pid}.{CREATED_S}", "schema": CONFIG, "hostname": "http://127.0.0.1:9", "access_token": "none", "extra_params": None}


def predict_body(pid, texts):
    return {"tasks": [{"id": i, "data": {"text": t}, "project": pid, "annotations": [], "predictions": []} for i, t in enumerate(texts)],
            "project": f"{pid}.{CREATED_S}", "label_config": CONFIG, "params": {"login": None, "password": None, "context": None}}


PROBES = {"status": ("GET", "/health", None), "setup": ("POST", "/setup", setup_body(1)),
          "predict": ("POST", "/predict", predict_body(1, ["probe"])),
          "webhook": ("POST", "/webhook", {"action": "PROJECT_UPDATED", "project": project(1)})}


# ---- what is in the store -------------------------------------------------------------
def rows(store, sql, *args):
    db = sqlite3.connect(f"file:{store}/prelabel.sqlite3?mode=ro", uri=True, timeout=10)
    try:
        return db.execute(sql, args).fetchall()
    finally:
        db.close()


def trained(store):
    """True when no project has a job waiting or running, and all has been trained on (asks no program)."""
    try:
        return rows(store, "SELECT count(*) FROM train_job WHERE state IN ('queued', 'running')") == [(0,)] and \
            rows(store, "SELECT count(*) FROM project WHERE updates > updates_trained OR current_version IS NULL") == [(0,)]
    except sqlite3.OperationalError:
        return False


def jobs(store):
    try:
        return rows(store, "SELECT project, state, reason, attempt, note FROM train_job ORDER BY row DESC LIMIT 6")
    except sqlite3.Error as e:
        return e


def sound(prefix, answer, n):
    """A /predict answer is whole: n results, each a label of the config with a finite score and one version."""
    res = answer.get("results") if isinstance(answer, dict) else None
    good = isinstance(res, list) and len(res) == n and len({r["model_version"] for r in res}) == 1 and all(
        r["result"][0]["value"]["choices"][0] in LABELS and 0 <= r["score"] <= 1 for r in res)
    return good or (check(f"{prefix}: a whole answer", False, answer) and False)


def tree_copy(into):
    """A built tree of its own, so that its processes can be told from another's by the file they run."""
    # Of build/ what `make run` looks at: not the images, packages and other builds beside it.
    left = {".": (".git", "data"), "./build": ("containers", "static", "deb", "ci", "clang", "asan", "tsan", "tests", "pic")}
    shutil.copytree(".", into, symlinks=True, ignore=lambda d, names: [n for n in names if n in left.get(d, ())])
    return into


def comes_true(start, fn):
    """(fn's last value, the seconds it took the start).  Trainers come and go: what the machine holds them up is noted
    while they live."""
    watch, held = start.stopwatch(), {}

    def look():
        got = fn()
        for p, _ in start.processes().get("trainer", []):
            if p not in watch.pids:
                held.update({k: t for k, t in Stopwatch([p]).before.items() if k[0] == p})
        return got
    return wait_for(look, WAIT_S, 0.2), max(0.0, watch.seconds() - sum(held.values()))


# ---- part 1: each process in turn -------------------------------------------------------
def each_in_turn(victim, work, roots):
    """Kill `victim` while a training is due; "trainer, same start" stays with the start that lost its trainer."""
    store = os.path.join(work, victim.replace(", ", "-").replace(" ", "-"))
    os.makedirs(store, 0o700)
    port, stay, role = free_port(), victim.endswith("same start"), victim.split(",")[0]
    first = Start(roots[0], store, port, EXAMPLES)
    then = None
    try:
        if not check(f"{victim}: the first start serves", first.wait_until(first.serves), first.tail):
            return None
        event, labels = bulk(1, EXAMPLES, random.Random(SEED))
        st, out = first.ask("POST", "/webhook", event)
        check(f"{victim}: a training is due", st == 201 and out.get("training") in ("queued", "running"), (st, out))
        if role in ("trainer", "supervisor"):   # not before the lease is taken: its end has to be waited for
            wait_for(lambda: rows(store, "SELECT 1 FROM train_job WHERE state = 'running'"), 60, 0.005)
        procs = first.processes()
        died = time.monotonic()
        kill9(procs.get(role, []))
        check(f"{victim}: killed, the training not done yet", procs.get(role) and not trained(store), lambda: (sorted(procs), jobs(store)))
        if role in PROGRAMS:
            watch = first.stopwatch()
            again, took = first.wait_until(first.serves), watch.seconds()
            check(f"{victim}: the same start serves again in 5 s", again and took < 5, lambda: (took, first.answers(), first.tail()))
        elif role != "trainer":
            wait_for(lambda: first.child.poll() is not None, 30)
        if not stay:
            living = first.stop()
            check(f"{victim}: no process of the former start lives", not living, living)
            then = Start(roots[1], store, port, EXAMPLES + 1)
            if not check(f"{victim}: the next start serves", then.wait_until(then.up), then.tail):
                return None
        now = then or first
        before = time.monotonic() - died
        finished, took = comes_true(now, lambda: trained(store))
        took += before
        check(f"{victim}: the due training completes within {DUE_S} s, without a request", finished and took < DUE_S,
              lambda: (took, jobs(store), now.tail()))
        if then:
            check(f"{victim}: the next start has its own settings, in every program",
                  set(then.answers(first.password).values()) == {401} and then.serves(), lambda: (then.answers(first.password), then.answers()))
            files = {binary(p) for r, l in then.processes().items() if r in PROGRAMS or r in ("supervisor", "trainer") for p, _ in l} - {None}
            check(f"{victim}: the next start has its own binaries", files and all(f.startswith(roots[1] + "/") for f in files), files)
        got = rows(store, "SELECT count(*), count(DISTINCT id) FROM annotation WHERE deleted = 0")
        check(f"{victim}: every annotation is there once", got == [(EXAMPLES, EXAMPLES)], got)
        version = now.ask("POST", "/setup", setup_body(1))[1]["model_version"]
        st, out = now.ask("POST", "/predict", predict_body(1, [text_of(random.Random(5), LABELS[3])]))
        check(f"{victim}: the new version answers", st == 200 and sound(victim, out, 1) and out["results"][0]["model_version"] == version
              and version.split("-")[1] != "0", (st, out, version))
        check(f"{victim}: no zombie", not now.zombies(), now.zombies())
        living = now.stop()
        check(f"{victim}: SIGTERM ends every process", not living, living)
        with print_lock:
            print(f"#    {victim}: {version} {took:.1f} s after the kill", flush=True)
        return version.rsplit("-", 1)[1], out["results"][0]["score"]
    finally:
        for s in filter(None, (first, then)):
            s.clean_up()


# ---- part 2: random kills under load ------------------------------------------------------
class Load:
    """Writers and readers; what was acknowledged, and all that was ever sent."""

    def __init__(self, projects, rng):
        self.start, self.projects = None, projects
        self.acked, self.sent = {}, {}                     # {(project, id): label}
        self.lock, self.over = threading.Lock(), threading.Event()
        self.status, self.broken, self.torn, self.html, self.replays = {}, 0, 0, 0, 0
        self.next_id = EXAMPLES
        self.threads = [threading.Thread(target=f, args=(random.Random(rng.random()),), daemon=True)
                        for f in (self.write, self.write, self.read, self.read)]

    def count(self, st, out):
        with self.lock:
            self.status[st] = self.status.get(st, 0) + 1
            self.html += out is None

    def write(self, rng):
        while not self.over.is_set():
            with self.lock:
                replay = self.sent and rng.random() < 0.3
                if replay:                                  # something sent before, acknowledged or not
                    key = rng.choice(list(self.sent))
                    self.replays += 1
                else:
                    self.next_id += 1
                    key = (rng.choice(self.projects), self.next_id)
                    self.sent[key] = rng.choice(LABELS)
            label = self.sent[key]
            task, ann = annotated(key[0], key[1], text_of(random.Random(key[1]), label), label)
            try:
                st, out = self.start.ask("POST", "/webhook", {"action": "ANNOTATION_CREATED", "project": project(key[0]), "task": task, "annotation": ann})
            except OSError:
                self.broken += 1
                time.sleep(0.05)
                continue
            self.count(st, out)
            if st in (200, 201):
                with self.lock:
                    self.acked[key] = label
            time.sleep(0.005)

    def read(self, rng):
        while not self.over.is_set():
            n = rng.choice((1, 3, 10))
            try:
                st, out = self.start.ask("POST", "/predict", predict_body(rng.choice(self.projects), [text_of(rng, rng.choice(LABELS)) for _ in range(n)]))
            except OSError:
                self.broken += 1
                time.sleep(0.05)
                continue
            self.count(st, out)
            if st == 200 and not sound("load", out, n):
                self.torn += 1
            time.sleep(0.005)


def under_load(kills, work, roots):
    rng = random.Random(SEED)
    store, port, each = os.path.join(work, "load"), free_port(), 40
    projects = [1, 2, 3, 4, 5, 6]   # a killed trainer's project waits for its lease: others give the next trainer
    os.makedirs(store, 0o700)
    start = Start(roots[0], store, port, each)
    load = Load(projects, rng)
    try:
        if not check("load: the start serves", start.wait_until(start.serves), start.tail):
            return
        for p in projects:
            event, labels = bulk(p, EXAMPLES // 3, rng)
            st, out = start.ask("POST", "/webhook", event)
            check(f"load: project {p} filled", st == 201, (st, out))
            load.acked.update({(p, i): v for i, v in labels.items()})
            load.sent.update(load.acked)
        load.start = start
        [t.start() for t in load.threads]
        struck, starts, slow = {}, 1, 0.0
        for k in range(kills):
            time.sleep(rng.uniform(0.1, 1.0))
            procs = start.processes()
            here = sorted(r for r in procs if r in PROGRAMS or r in ("lighttpd", "supervisor", "trainer"))
            if not here:
                if not check(f"load: kill {k}: something runs", False, start.tail):
                    break
            if "trainer" not in struck and {*here} - {"trainer"} <= set(struck):     # each is struck: the load makes one due
                wait_for(lambda: start.processes().get("trainer"), WAIT_S, 0.01)
                procs = start.processes()
                here = sorted(r for r in procs if r in PROGRAMS or r in ("lighttpd", "supervisor", "trainer"))
            role = rng.choice([r for r in here if r not in struck] or here)   # at random, once each was struck
            struck[role] = struck.get(role, 0) + 1
            t = time.monotonic()
            kill9([rng.choice(sorted(procs[role]))])
            if role in ("supervisor", "lighttpd"):
                wait_for(lambda: start.child.poll() is not None or (role == "lighttpd" and start.serves()), 60)
            if start.child.poll() is not None or role == "supervisor":
                living = start.ended(60)
                if not check(f"load: kill {k} ({role}): no process of the former start lives", not living, living):
                    kill9(start.known)
                start.child.wait()
                start.log.close()
                start = Start(roots[starts % 2], store, port, each)
                load.start = start
                starts += 1
            if not wait_for(start.serves, WAIT_S):
                check(f"load: kill {k} ({role}): serves again", False, (start.answers(), start.tail()))
                break
            slow = max(slow, time.monotonic() - t)
        time.sleep(1)
        wait_for(lambda: min(load.status.get(200, 0), load.status.get(201, 0)) > kills, WAIT_S)
        load.over.set()
        [t.join(60) for t in load.threads]
        print(f"#    {sum(struck.values())} kills {struck}, {starts} starts, serving again after at most {slow:.1f} s; answers {load.status}, "
              f"{load.broken} broken connections, {len(load.acked)} acknowledged, {load.replays} replays", flush=True)
        check(f"load: {kills} kills made, each kind of process among them", sum(struck.values()) == kills
              and {"lighttpd", "supervisor", "trainer", *PROGRAMS} <= set(struck), struck)
        check("load: the load was answered between the kills", load.status.get(200, 0) > kills and load.status.get(201, 0) > kills, load.status)
        check(f"load: every status is one of {sorted(ANSWERS)}", set(load.status) <= ANSWERS, load.status)
        check("load: every body is JSON", not load.html, f"{load.html} bodies are not")
        check("load: no answer is torn", not load.torn, load.torn)
        for p in projects:      # a job that lost five trainers is given up until the next event: send one lot more
            event, labels = bulk(p, EXAMPLES // 3 + each, rng)
            for key in ("task", "annotation"):
                event[key] = [dict(o, id=10 ** 6 + o["id"], **({"task": 10 ** 6 + o["id"]} if key == "annotation" else {})) for o in event[key][:each]]
            st, out = start.ask("POST", "/webhook", event)
            if check(f"load: project {p}: the next lot is taken", st == 201, (st, out)):
                labels = {(p, a["id"]): a["result"][0]["value"]["choices"][0] for a in event["annotation"]}
                load.acked.update(labels)
                load.sent.update(labels)
        def settled():
            return rows(store, "SELECT count(*) FROM train_job WHERE state IN ('queued', 'running')") == [(0,)] and \
                rows(store, "SELECT count(*) FROM project WHERE updates - updates_trained >= ? OR current_version IS NULL", each) == [(0,)]
        finished, took = comes_true(start, settled)
        check(f"load: trainings complete within {DUE_S} s of the last event", finished and took < DUE_S,
              lambda: (took, jobs(store), rows(store, "SELECT * FROM v_project")))
        newest = rows(store, "SELECT p.id, v.n_examples FROM project p JOIN model_version v ON v.row = p.current_version ORDER BY p.id")
        check("load: each project's version in force has learned from the load", len(newest) == len(projects) and all(n > EXAMPLES // 3 for _, n in newest), newest)
        check("load: no zombie", not start.zombies(), start.zombies())
        living = start.stop()
        check("load: SIGTERM ends every process", not living, living)
    finally:
        load.over.set()
        start.clean_up()
    db = sqlite3.connect(os.path.join(store, "prelabel.sqlite3"))
    got = db.execute("PRAGMA integrity_check").fetchall() + db.execute("PRAGMA foreign_key_check").fetchall()
    check("load: PRAGMA integrity_check", got == [("ok",)], got[:3])
    there = {}
    for p, i, label in db.execute("SELECT p.id, a.id, a.result ->> '$[0].value.choices[0]' FROM annotation a JOIN project p ON p.row = a.project WHERE a.deleted = 0"):
        there.setdefault((p, i), []).append(label)
    lost = [k for k in load.acked if k not in there]
    check("load: every acknowledged annotation is there", not lost, (len(lost), lost[:5]))
    check("load: each exactly once, with the label that was sent", all(v == [load.sent[k]] for k, v in there.items() if k in load.sent),
          [(k, v, load.sent[k]) for k, v in there.items() if k in load.sent and v != [load.sent[k]]][:3])
    check("load: none that was never sent", set(there) <= set(load.sent), sorted(set(there) - set(load.sent))[:5])
    texts = db.execute("SELECT p.id, a.id, t.data ->> '$.text' FROM annotation a JOIN project p ON p.row = a.project "
                       f"JOIN task t ON t.project = a.project AND t.id = a.task WHERE a.id BETWEEN {EXAMPLES + 1} AND 999999").fetchall()
    check("load: each with its own text", len(texts) > 0 and all(t == text_of(random.Random(i), load.sent[p, i]) for p, i, t in texts))
    got = db.execute("SELECT p.id, p.updates, (SELECT count(*) FROM annotation a WHERE a.project = p.row) FROM project p").fetchall()
    check("load: the counter equals the rows, in each project", len(got) == len(projects) and all(u == n for _, u, n in got), got)
    db.close()


VICTIMS = ["lighttpd", *PROGRAMS, "supervisor", "trainer", "trainer, same start"]


def main():
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and not sys.argv[1].isdigit()):
        sys.exit(__doc__.split("\n\n")[1])
    kills = int(sys.argv[1]) if len(sys.argv) == 2 else 60
    if not os.access("build/prelabel", os.X_OK):
        sys.exit("kill.py: no build/prelabel here: run it from the root of a built tree")
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *a: sys.exit(130))
    only = set(filter(None, os.environ.get("KILL_ONLY", "").split(",")))
    victims = [v for v in VICTIMS if not only or v.split(",")[0] in only]
    work = tempfile.mkdtemp(prefix="prelabel-kill-")
    print(f"# seed {SEED} (KILL_SEED), {kills} kills, start: {COMMAND}", flush=True)
    try:
        roots = [tree_copy(os.path.join(work, name)) for name in ("tree-a", "tree-b")]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:    # most of the time is spent waiting for leases
            done = {v: pool.submit(each_in_turn, v, work, roots) for v in victims}
        models = set()
        for v, f in done.items():
            if f.exception():
                check(f"{v}: ran to its end", False, repr(f.exception()))
            else:
                models.add(f.result())
        if victims:
            check("all of them trained the same model: one hash, one score", len(models) == 1 and None not in models, models)
        if not only or "load" in only:
            try:
                under_load(kills, work, roots)
            except Exception as e:
                check("load: ran to its end", False, repr(e))
    finally:
        if os.environ.get("KILL_KEEP"):
            print(f"# kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    print(f"# seed {SEED}\n{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
