#!/usr/bin/env python3
"""prelabel-operations(7) is true: its commands are run as they stand on the page, its messages are those of the sources.

    tests/operations/run.py [backup] [restore] [upgrade] [logs] [move] [disk] [stop] [page]     all of them without an argument

Run from the root of a built tree, with BUILD; Python's standard library and sqlite3.  A block of the page that follows a
comment `.\\" run NAME` is a shell script here; MODEL_DIR, BACKUP and NEW_DIR are the test's own.
"""
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "http"))
sys.dont_write_bytecode = True
import messages  # noqa: E402
from harness import free_port  # noqa: E402

TOP = os.getcwd()
BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
SLOW = 5 if os.environ.get("SANITIZE") else 1
SCRATCH = tempfile.mkdtemp(prefix="operations.")
PROJECT, CREATED = 3, "2026-01-02T03:04:05.000000Z"
CONFIG = ('<View><Text name="text" value="$text"/><Choices name="label" toName="text">'
          '<Choice value="good"/><Choice value="bad"/></Choices></View>')
TEXTS = {"good": ("great friendly staff", "lovely warm place", "would come again"), "bad": ("cold soup rude waiter", "never again awful", "waste of money")}
passed = failed = 0
with open(messages.PAGE, encoding="utf-8") as f:
    PAGE = f.read()


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok   " if good else "FAIL ") + name + (f"  [{str(detail)[-600:]}]" if not good else ""), flush=True)
    return good


def until(fn, seconds):
    end = time.monotonic() + seconds * SLOW
    while True:
        got = fn()
        if got or time.monotonic() > end:
            return got
        time.sleep(0.02)


def environment(store, **more):
    env = {"PATH": SCRATCH + "/bin:" + os.environ["PATH"], "MODEL_DIR": store, "LC_ALL": "C"}
    env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
    env.update(more)
    return env


def block(name):
    """The commands of the page under `run NAME`."""
    found = re.search(r'^\.\\" run %s\n\.Bd [^\n]*\n(.*?)^\.Ed$' % re.escape(name), PAGE, re.M | re.S)
    return found.group(1) if found else None


def sh(name, store, cwd=SCRATCH, **more):
    """Runs a block: (status, output)."""
    script = block(name)
    if script is None:
        return 99, f"the page has no block {name}"
    r = subprocess.run(["sh", "-eu", "-c", script], env=environment(store, **more), cwd=cwd, capture_output=True, text=True, timeout=120)
    return r.returncode, r.stdout + r.stderr


def prelabel(store, *args, **more):
    r = subprocess.run(["prelabel", *args], env=environment(store, **more), cwd=SCRATCH, capture_output=True, text=True, timeout=120 * SLOW)
    return r.returncode, r.stdout, r.stderr


class Service:
    started = []

    def __init__(self, store, log=None, **more):
        self.port = free_port()
        self.log_path = log or tempfile.mktemp(prefix="log.", dir=SCRATCH)
        more.setdefault("START_TRAINING_EACH_N_UPDATES", "1000000")
        with open(self.log_path, "ab") as out:
            self.child = subprocess.Popen(["prelabel", "start"], env=environment(store, PORT=str(self.port), **more), cwd=SCRATCH,
                                          stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        Service.started.append(self)
        until(lambda: self.child.poll() is not None or self.ask("GET", "/livez")[0] == 200, 60)

    def ask(self, method, path, body=None, **headers):
        con = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            con.request(method, path, None if body is None else json.dumps(body), dict(headers, **{"Content-Type": "application/json"}))
            r = con.getresponse()
            data = r.read().decode()
            return r.status, json.loads(data) if data.startswith("{") else data
        except (OSError, ValueError, http.client.HTTPException) as e:
            return 0, repr(e)
        finally:
            con.close()

    def annotate(self, i, **headers):
        label = ("good", "bad")[i % 2]
        text = "%s %s number%d" % (TEXTS[label][i % 3], TEXTS[label][(i // 3) % 3], i % 50)
        return self.ask("POST", "/webhook", {
            "action": "ANNOTATION_CREATED", "project": {"id": PROJECT, "title": "p", "label_config": CONFIG, "created_at": CREATED},
            "task": {"id": i, "project": PROJECT, "data": {"text": text}},
            "annotation": {"id": i, "task": i, "project": PROJECT, "completed_by": 1, "was_cancelled": False, "ground_truth": False, "result": [
                {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]}}, **headers)[0]

    def serves(self):
        """What /setup and /predict answer: the version, and the prediction of a text."""
        key = f"{PROJECT}.1767323045"
        setup = self.ask("POST", "/setup", {"project": key, "schema": CONFIG})[1]
        got = self.ask("POST", "/predict", {"project": key, "tasks": [{"id": 1, "data": {"text": "friendly rude place again"}}]})[1]
        return (setup.get("model_version"), got.get("results")) if isinstance(setup, dict) and isinstance(got, dict) else (None, (setup, got))

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        return self.child.returncode

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()


def labelled(store, n=60):
    """A store with n annotations and one version."""
    s = Service(store)
    ok = all(s.annotate(i) == 201 for i in range(1, n + 1))
    s.stop()
    code, _, err = prelabel(store, "train")
    return check("a store to work on", ok and code == 0, err)


def count(path, what="SELECT count(*) FROM annotation"):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute(what).fetchone()[0]
    finally:
        db.close()


class Load:
    """Annotates without a pause, until it is told to stop."""

    def __init__(self, service, first):
        self.service, self.next, self.stored, self.other, self.on = service, first, 0, [], True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        until(lambda: self.stored > 20, 60)

    def run(self):
        while self.on:
            status = self.service.annotate(self.next)
            self.next += 1
            if status == 201:
                self.stored += 1
            else:
                self.other.append(status)

    def stop(self):
        self.on = False
        self.thread.join()


# ---- the groups -----------------------------------------------------------------------------------------------------
def t_backup():
    store = SCRATCH + "/backup"
    labelled(store)
    for name in ("backup", "dot-backup"):
        s = Service(store)
        before = s.serves()
        to = f"{SCRATCH}/{name}.sqlite3"
        load = Load(s, count(store + "/prelabel.sqlite3", "SELECT max(id) FROM annotation") + 1)
        # All that was answered before the copy began must be in it.
        least = count(store + "/prelabel.sqlite3")
        if name == "dot-backup":
            load.stop()         # it begins again at every write: the page says so
        code, out = sh(name, store, BACKUP=to)
        load.stop()
        most = count(store + "/prelabel.sqlite3")
        check(f"{name}: says ok", code == 0 and out.strip().splitlines()[-1:] == ["ok"], out)
        if not os.path.exists(to):
            s.stop()
            continue
        n = count(to)
        check(f"{name}: holds what was there when it began, and nothing that is not there", least <= n <= most and load.stored > 20, (least, n, most))
        check(f"{name}: every event was taken meanwhile", not load.other, load.other)
        check(f"{name}: is for its owner alone", os.stat(to).st_mode & 0o777 == 0o600, oct(os.stat(to).st_mode))
        check(f"{name}: keeps the number of the schema", count(to, "PRAGMA user_version") == count(store + "/prelabel.sqlite3", "PRAGMA user_version"))
        check(f"{name}: keeps numbers from being given twice", count(to, "SELECT seq FROM sqlite_sequence WHERE name = 'event'") >= n)
        check(f"{name}: the service goes on", s.serves() == before, s.serves())
        s.stop()


def t_restore():
    store, to = SCRATCH + "/restore", SCRATCH + "/restore.backup"
    labelled(store)
    s = Service(store)
    before = s.serves()
    check("a version serves", before[0] and "-1-" in before[0], before)
    check("restore: the backup", sh("backup", store, BACKUP=to)[0] == 0)
    more = [s.annotate(i) for i in range(61, 90)]
    prelabel(store, "train")
    later = until(lambda: s.serves()[0] != before[0] and s.serves(), 60)
    check("restore: later there is another version", later and "-2-" in later[0] and set(more) == {201}, later)
    # As after a crash: the log stays.
    with open(store + "/prelabel.sqlite3-wal", "rb") as f:
        wal = f.read()
    s.stop()
    with open(store + "/prelabel.sqlite3-wal", "wb") as f:
        f.write(wal)
    code, out = sh("restore", store, BACKUP=to)
    check("restore: runs", code == 0, out)
    check("restore: no log of the other store stays", not os.path.exists(store + "/prelabel.sqlite3-wal"))
    s = Service(store)
    check("restore: the same version serves, with the same predictions", s.serves() == before, (before, s.serves()))
    check("restore: as many annotations as in the backup", count(store + "/prelabel.sqlite3") == 60)
    check("restore: events are taken", s.annotate(100) == 201)
    s.stop()
    code, _, err = prelabel(store, "train")
    check("restore: and trained on", code == 0 and count(store + "/prelabel.sqlite3", "SELECT max(number) FROM model_version") == 2, err)


def cgi(store, program, path):
    env = environment(store, REQUEST_METHOD="GET", SCRIPT_NAME=path, PATH_INFO="", SERVER_PROTOCOL="HTTP/1.1", GATEWAY_INTERFACE="CGI/1.1",
                      REQUEST_URI=path, SERVER_NAME="localhost", SERVER_PORT="80", QUERY_STRING="")
    r = subprocess.run([f"{BUILD}/cgi/{program}"], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return r.stdout


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def t_upgrade():
    store = SCRATCH + "/upgrade"
    labelled(store)
    path = store + "/prelabel.sqlite3"
    code, out = sh("version", store)
    n = len([f for f in os.listdir("schema") if re.match(r"\d{4}_", f)])
    check("upgrade: user_version is the number of the last schema", code == 0 and out.strip() == str(n), out)
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {n + 1}")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    was = digest(path)
    refusal = f"the store has schema {n + 1}, this program knows {n}: it was made by a newer prelabel"
    code, out, err = prelabel(store, "status")
    check("downgrade: a command refuses", code == 1 and refusal in err, err)
    s = Service(store)
    until(lambda: s.child.poll() is not None, 60)
    check("downgrade: a start refuses", s.child.poll() == 1 and refusal in s.log(), (s.child.poll(), s.log()))
    s.stop()
    answer = cgi(store, "status", "/status")
    check("downgrade: under another web server it is 503, and says why", "Status: 503" in answer and refusal in answer, answer)
    check("downgrade: nothing is changed", digest(path) == was)
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {n}")
    db.close()
    check("downgrade: the newer one serves on", "-1-" in prelabel(store, "status")[1])
    # Weights of a newer prelabel: the version before serves.
    prelabel(store, "import", "--project", str(PROJECT), jsonl(5))
    prelabel(store, "train", "--project", str(PROJECT))
    db = sqlite3.connect(path)
    db.execute("UPDATE model_version SET formats = '999' WHERE number = 2")
    db.commit()
    db.close()
    s = Service(store)
    got = s.serves()[0]
    check("downgrade: weights of a newer prelabel give way to the version before", got and "-1-" in got and "is damaged (format 999 of" in s.log(), (got, s.log()))
    s.stop()


def jsonl(n, classes=2):
    path = tempfile.mktemp(suffix=".jsonl", dir=SCRATCH)
    with open(path, "w", encoding="utf-8") as f:
        for i in range(n):
            f.write(json.dumps({"text": "%s word%d" % (TEXTS[("good", "bad")[i % 2]][i % 3], i), "label": ("good", "bad")[i % 2]}) + "\n")
    return path


def t_logs():
    store, folder = SCRATCH + "/logs", SCRATCH + "/logfolder"
    os.mkdir(folder)
    log = folder + "/prelabel.log"
    secret = {"BASIC_AUTH_USER": "someone", "BASIC_AUTH_PASS": "verysecret1", "WEBHOOK_SECRET": "verysecret2", "LABEL_STUDIO_API_KEY": "0123456789abcdef0123456789abcdef01234567",
              "LABEL_STUDIO_URL": f"http://127.0.0.1:{free_port()}"}
    s = Service(store, log=log, **secret)
    check("logs: /livez asks for no credentials, /metrics does", s.ask("GET", "/livez")[0] == 200 and s.ask("GET", "/metrics")[0] == 401)
    refused = s.annotate(1)
    stored = [s.annotate(i, **{"X-Webhook-Secret": "verysecret2"}) for i in range(1, 20)]
    check("logs: an event needs the secret", refused == 401 and set(stored) == {201}, (refused, stored))
    until(lambda: s.log().count("/webhook 201") == 19, 60)      # a line is written when the answer is out
    code, out = sh("rotate", store, cwd=folder)
    check("logs: rotating runs", code == 0, out)
    s.ask("GET", "/nowhere")
    with open(log + ".1", "rb") as f:
        old = f.read()
    new = until(lambda: b"/nowhere" in open(log, "rb").read() and open(log, "rb").read(), 60) or b""
    check("logs: the old lines are in the old file", b"serving http://" in old and b"/webhook 201" in old, old[-300:])
    check("logs: the new file begins with new lines", re.match(rb"\d{4}-\d\d-\d\dT", new) and b"\0" not in new and b"/webhook" not in new, new[:300])
    s.stop()
    prelabel(store, "train", **secret)
    every = old + open(log, "rb").read() + open(store + "/train.log", "rb").read()
    held = [w for w in ("verysecret", "0123456789abcdef", "friendly", "waiter") if w.encode() in every]
    check("logs: no text, key or password is in them", not held and len(every) > 1000, held)
    with open(store + "/train.log", "ab") as f:
        f.write(b"x" * (4 << 20))
    prelabel(store, "train")
    check("logs: train.log is renamed when it has passed 4 MB", os.path.getsize(store + "/train.log") < 10000 and os.path.getsize(store + "/train.log.1") > 4 << 20)


def t_move():
    store, new = SCRATCH + "/move", SCRATCH + "/moved here"
    labelled(store)
    s = Service(store)
    before = s.serves()
    s.stop()
    code, out = sh("move", store, NEW_DIR=new)
    check("move: the status in the new folder has the version", code == 0 and before[0] in out, out)
    s = Service(new)
    check("move: it serves the same", s.serves() == before, (before, s.serves()))
    # Several of one machine.
    other = Service(SCRATCH + "/second")
    check("several: each has its own projects", other.ask("GET", "/status")[1] == {"projects": []} and len(s.ask("GET", "/status")[1]["projects"]) == 1)
    other.stop()
    shared = Service(new)
    n = count(new + "/prelabel.sqlite3")
    taken = [x.annotate(1000 + i) for i, x in enumerate((s, shared) * 10)]
    check("several: two may share a folder", set(taken) == {201} and count(new + "/prelabel.sqlite3") == n + 20 and shared.serves() == before, taken)
    shared.stop()
    check("several: the one stays when the other ends", s.serves() == before)
    s.stop()


def t_disk():
    store = SCRATCH + "/disk"
    path = store + "/prelabel.sqlite3"
    for i in range(7):
        prelabel(store, "import", "--project", "5", jsonl(200 + i))
        prelabel(store, "train", "--project", "5")
    kept = count(path, "SELECT count(DISTINCT version) FROM model_part")
    versions = count(path, "SELECT count(*) FROM model_version")
    check("disk: the weights of the last five versions are kept", (versions, kept) == (7, 5), (versions, kept))
    full = os.path.getsize(path)
    code, _, err = prelabel(store, "forget", "--project", "5")
    check("disk: forget gives the space back", code == 0 and os.path.getsize(path) < full / 4, (full, os.path.getsize(path), err))
    with open("lib/store/store_sqlite.c", encoding="utf-8") as f:
        check("disk: the write-ahead log is cut at 32 MB", f'WAL_BYTES_MAX "{32 << 20}"' in f.read())


def t_stop():
    """What a training that is stopped leaves: the next start, or a timer, goes on."""
    store, path = SCRATCH + "/stop", SCRATCH + "/many.jsonl"
    with open(path, "w", encoding="utf-8") as f:
        for i in range(12000):
            words = " ".join("w%d" % ((i * 7919 + k * k * 104729 + (i % 40) * k) % 9973) for k in range(20))
            f.write(json.dumps({"text": words, "label": "label %d" % (i % 40)}) + "\n")
    prelabel(store, "import", "--project", "5", path)
    db = store + "/prelabel.sqlite3"
    job = "SELECT state FROM train_job ORDER BY row DESC LIMIT 1"
    for who in ("the next start", "prelabel train --due"):
        s = Service(store)
        s.ask("POST", "/train", {"project": 5})
        running = until(lambda: count(db, job) == "running", 60)
        s.stop()
        check("stop: a training under way is handed back", running and count(db, job) == "queued" and "handed back" in s.log(), s.log())
        number = count(db, "SELECT count(*) FROM model_version")
        if who == "the next start":
            s = Service(store)
            done = until(lambda: count(db, job) == "done", 300)
            s.stop()
        else:
            code, _, err = prelabel(store, "train", "--due")
            done = code == 0 and count(db, job) == "done"
        check(f"stop: {who} does it, unasked", done and count(db, "SELECT count(*) FROM model_version") == number + 1, s.log())


def t_page():
    sources = messages.sources()
    texts = [t for s in sources.values() for _, t in messages.literals(s)]
    quoted = list(messages.quoted(PAGE))
    unknown = [q for q in quoted if not any(messages.pattern(q).search(t) for t in texts)]
    check(f"page: every message of it is in the sources ({len(quoted)})", len(quoted) > 60 and not unknown, unknown)
    trivial = [q for q in quoted if len(q.replace("...", "")) < 5]
    check("page: no message is nothing but dots", not trivial, trivial)
    check("page: none stands there twice", len(set(quoted)) == len(quoted), [q for q in quoted if quoted.count(q) > 1])
    patterns = [messages.pattern(q) for q in quoted]
    told = [(p, t) for p in messages.COVERED for t in messages.told(sources[p]) if len(t) > 6]
    missing = [x for x in told if not any(p.search(x[1]) for p in patterns) and not any(n in x[1] for n in messages.NOT_ON_PAGE)]
    check(f"page: it has the messages of {', '.join(messages.COVERED)} ({len(told)})", len(told) > 60 and not missing, missing)
    all_sources = "".join(sources.values())
    metrics = set(re.findall(r"\b(prelabel_[a-z_]+)\b", PAGE))
    unknown = [m for m in metrics if m not in all_sources and f'"{m[9:]}"' not in all_sources]
    check("page: every metric of it is in the sources", metrics and not unknown, unknown)
    code, out, _ = prelabel(SCRATCH + "/none", "env")
    known = set(re.findall(r"^([A-Z_]+)=", out, re.M)) | {"BACKUP", "NEW_DIR", "XDG_RUNTIME_DIR", "SSRF_PROTECTION_ENABLED"}
    unknown = [v for v in re.findall(r"^\.(?:Pq )?Ev ([A-Z_]+)", PAGE, re.M) if v not in known]
    check("page: every variable of it is a setting", code == 0 and not unknown, unknown)
    _, helped, _ = prelabel(SCRATCH + "/none", "help")
    commands = set(re.findall(r"^\.Ql prelabel ([a-z]+)", PAGE, re.M))
    check("page: every command of it is one", commands and all(f"prelabel {c} " in helped for c in commands), commands)
    blocks = set(re.findall(r'^\.\\" run (\S+)$', PAGE, re.M))
    check("page: every block is run here", blocks == {"backup", "dot-backup", "restore", "version", "rotate", "move"}, blocks)
    # As the Makefile makes it.
    for name, said in (("help", helped), ("env", out)):
        with open(f"{SCRATCH}/{name}", "w", encoding="utf-8") as f:
            f.write(said)
    made = SCRATCH + "/prelabel-operations.7"
    with open(made, "w", encoding="utf-8") as f:
        subprocess.run(["awk", "-v", f"help={SCRATCH}/help", "-v", f"env={SCRATCH}/env", "-v", "version=1.0", "-v", "date=January 2, 2026",
                        "-f", "deploy/man/fill.awk", messages.PAGE], stdout=f, check=True)
    for lint in (["mandoc", "-Tlint", "-Wwarning", made], ["groff", "-mandoc", "-ww", "-Tutf8", "-P-cbou", "-z", made]):
        r = subprocess.run(lint, capture_output=True, text=True)
        check(f"page: {lint[0]} has nothing to say", r.returncode == 0 and not r.stdout + r.stderr, r.stdout + r.stderr)
    r = subprocess.run(["mandoc", "-Tutf8", made], capture_output=True, text=True)
    check("page: no mark is left unfilled", not re.search(r"@[A-Z]+@", r.stdout), r.stdout)


GROUPS = {n[2:]: f for n, f in list(globals().items()) if n.startswith("t_")}


def main():
    os.mkdir(SCRATCH + "/bin")
    os.symlink(BUILD + "/prelabel", SCRATCH + "/bin/prelabel")
    os.environ["PATH"] = SCRATCH + "/bin:" + os.environ["PATH"]
    try:
        for name in sys.argv[1:] or GROUPS:
            try:
                GROUPS[name]()
            except Exception as e:      # what is broken may break the test too: the other groups go on
                check(f"{name}: to its end", False, repr(e))
    finally:
        for s in Service.started:
            s.stop()
        shutil.rmtree(SCRATCH, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


main()
