#!/usr/bin/env python3
"""`prelabel push`, and Label Studio's queue kept in the order of our scores, against tests/studio.

    tests/push/run.py [GROUP...]     all groups without an argument: the t_… below

Run from the root of a built tree, with BUILD; Python's standard library alone.
"""
import collections
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "studio"))
from studio import Studio  # noqa: E402

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
SANITIZED = bool(os.environ.get("SANITIZE"))
SLOW = 5 if SANITIZED else 1
SCRATCH = tempfile.mkdtemp(prefix="push.")
WORDS = {"positive": ("great", "lovely", "friendly", "warm", "fine"), "negative": ("cold", "rude", "awful", "waste", "never")}
passed = failed = 0
children = []


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok   " if good else "FAIL ") + name + ("" if good else f"  [{str(detail)[-600:]}]"), flush=True)
    return good


def until(fn, seconds):
    end = time.monotonic() + seconds * SLOW
    while True:
        got = fn()
        if got or time.monotonic() > end:
            return got
        time.sleep(0.02)


def text(i):
    """No two have the same score: words of both kinds, as many as the number says."""
    p, n = WORDS["positive"], WORDS["negative"]
    return f"{p[i % 5]} {n[(i // 5) % 5]} {p[(i // 25) % 5]} {n[(i * 7 // 3) % 5]} {(p, n)[i % 2][i % 3]} number{i}"


class Bench:
    """A project in a stub, a store, and the command line between them."""

    def __init__(self, ls, name, tasks=0, key=True, **more):
        self.ls, self.store = ls, os.path.join(SCRATCH, name)
        self.env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "MODEL_DIR": self.store, "LABEL_STUDIO_HOST": ls.url,
                    "START_TRAINING_EACH_N_UPDATES": "1000000"}
        self.env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        self.pid = ls.add_project(name, **more)
        self.ids = ls.add_tasks(self.pid, [text(i) for i in range(tasks)])
        self.n = 0
        self.train()

    def run(self, *args, key=True, wait=True):
        env = dict(self.env, LABEL_STUDIO_API_KEY=self.ls.key) if key else self.env
        p = subprocess.Popen([BUILD + "/prelabel", *args, "--project", str(self.pid)], env=env, cwd=SCRATCH, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if not wait:
            children.append(p)
            return p
        out, err = p.communicate(timeout=180 * SLOW)
        return p.returncode, out, err

    def train(self):
        """Another version, from examples of our own."""
        path = self.store + ".jsonl"
        with open(path, "w", encoding="utf-8") as f:
            for label, words in WORDS.items():
                for w in words:
                    self.n += 1
                    f.write(json.dumps({"text": f"{w} example{self.n}", "label": label}) + "\n")
        env, run = dict(self.env), BUILD + "/prelabel"
        subprocess.run([run, "import", "--project", str(self.pid), path], env=env, check=True, capture_output=True, timeout=60 * SLOW)
        r = subprocess.run([run, "train", "--project", str(self.pid), "--json"], env=env, capture_output=True, text=True, timeout=60 * SLOW)
        self.version = json.loads(r.stdout)["model_version"]
        return self.version

    def push(self, **kw):
        """(exit status, its JSON or None, stderr)"""
        code, out, err = self.run("push", "--json", **kw)
        return code, json.loads(out) if out else None, err

    def sql(self, statement, *args):
        db = sqlite3.connect(self.store + "/prelabel.sqlite3", timeout=20)
        try:
            with db:
                return db.execute(statement, args).fetchall()
        finally:
            db.close()

    def stored(self, version=None):
        """How many predictions of a version each task has."""
        return collections.Counter(p["task"] for p in self.ls.of(self.ls.predictions, project=self.pid)
                                   if p["model_version"] == (version or self.version))

    def complete(self, version=None, labelled=()):
        """Every open task one of the version, no other any: None, or what is wrong."""
        have, want = self.stored(version), set(self.ids) - set(labelled)
        twice = [t for t, n in have.items() if n > 1]
        return None if set(have) == want and not twice else \
            f"missing {sorted(want - set(have))[:5]}, too many {sorted(set(have) - want)[:5]}, twice {twice[:5]}"

    def bodies(self, since=0):
        return [json.loads(b) for m, p, _, b in self.ls.seen[since:] if m == "POST" and p.endswith("/import/predictions")]


class Fault:
    """At the n-th request that writes predictions of a project: what(handler) decides, True: it answered itself."""

    def __init__(self, bench, n, what, every=False):
        self.n, self.what, self.every, self.count = n, what, every, 0
        self.path = f"/api/projects/{bench.pid}/import/predictions"
        self.seen = threading.Event()
        bench.ls.fault = self

    def __call__(self, h, path):
        if h.command != "POST" or path.rstrip("/") != self.path:
            return False
        self.count += 1
        if self.count != self.n and not (self.every and self.count >= self.n):
            return False
        self.seen.set()
        return self.what(h)


def store_all(ls, pid, h):
    """Carries a request out without an answer."""
    with ls.lock:
        for r in json.loads(h.body):
            ls.add_prediction(r["task"], r["result"], r["score"], r["model_version"])


# ---- the groups -----------------------------------------------------------------------------------------------------
def t_chunks():
    with Studio() as ls:
        b = Bench(ls, "chunks", 1234)
        labelled = b.ids[5::100]
        for t in labelled:
            ls.annotate(t, "positive", send=False)
        ls.annotate(b.ids[7], "", send=False, was_cancelled=True)
        for t in b.ids[:40]:
            ls.add_prediction(t, [], 0.5, "tfidf_logreg-0-older1")
        since = len(ls.seen)
        code, out, err = b.push()
        check("exit 0", code == 0, (code, err))
        check("every open task has one of the version, a labelled one none", b.complete(labelled=labelled) is None, b.complete(labelled=labelled))
        check("its answer counts them", out and out["written"] == out["open"] == 1234 - len(labelled) and out["model_version"] == b.version
              and out["left_out"] == 0 and out["passes"] == 1, out)
        check("predictions of older versions are kept", sum(b.stored("tfidf_logreg-0-older1").values()) == 40)
        sizes = [len(x) for x in b.bodies(since)]
        check("in requests of at most 500", sizes == [500, 500, 221], sizes)
        check("nothing else is changed", {p for _, p in ls.writes(since)} == {f"/api/projects/{b.pid}/import/predictions"})
        listed = [p for m, p, _, _ in ls.seen[since:] if "/api/tasks?" in p]
        check("predictions, annotations and drafts are not asked for", listed and not any("fields=all" in p for p in listed), listed[:1])
        since = len(ls.seen)
        code, out, err = b.push()
        check("the second push writes nothing", code == 0 and out["written"] == 0 and not ls.writes(since), (code, out, err))
        new = ls.add_tasks(b.pid, ["a new one", {"other": 1}])
        b.ids += new
        code, out, err = b.push()
        check("after an import only what is new", code == 0 and out["written"] == 2 and b.complete(labelled=labelled) is None, (code, out, b.complete(labelled=labelled)))
        code, out, err = b.run("push")
        check("without --json a line a person reads", code == 0 and out.startswith(b.version + ": 0 predictions written"), (code, out, err))
        code, _, err = b.push(key=False)
        check("without a key: exit 2 and a line that says so", code == 2 and "LABEL_STUDIO_API_KEY" in err, (code, err))
        b.ids += ls.add_tasks(b.pid, ["one that lacks it"])
        since = len(ls.seen)
        b.sql("UPDATE project SET created_s = 1000")
        code, _, err = b.push()
        check("another project under the same number is left alone", code == 1 and "another one" in err and not ls.writes(since), (code, err))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Service:
    def __init__(self, bench, **more):
        self.port, self.b = free_port(), bench
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = bench.store + ".log"
        with open(self.log_path, "ab") as out:
            self.child = subprocess.Popen([BUILD + "/prelabel", "start"], cwd=SCRATCH, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          env=dict(bench.env, PORT=str(self.port), LABEL_STUDIO_API_KEY=bench.ls.key, **more))
        children.append(self.child)
        until(lambda: bench.ls.ask("GET", self.url + "/livez")[0] == 200, 20)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(timeout=30 * SLOW)


def t_equal():
    import urllib.request
    with Studio() as ls:
        b = Bench(ls, "equal")
        texts = [text(i) for i in range(60)] + ["", "\U0001f600 caf\u00e9 \"quoted\" \\ back", "a\nb\tc\u0000d", "great " * 3000]
        b.ids = ls.add_tasks(b.pid, texts + [{"text": 5}, {"text": None}, {"text": ["great", "cold"]}])
        s = Service(b)
        body = json.dumps({"tasks": [ls.task_json(t, full=True) for t in b.ids], "project": f"{b.pid}.1",
                           "label_config": ls.projects[b.pid]["label_config"]}).encode()
        b.sql("UPDATE project SET created_s = NULL")
        body = body.replace(b'"%d.1"' % b.pid, b'"%d"' % b.pid)
        raw = urllib.request.urlopen(urllib.request.Request(s.url + "/predict", body, {"Content-Type": "application/json"}), timeout=60).read()
        code, out, err = b.push()
        sent = b"".join(x for m, p, _, x in ls.seen if m == "POST" and p.endswith("/import/predictions"))
        answers = raw[len(b'{"results":['):-2]
        want = b"[" + b",".join(b'{"task":%d,' % t + one.lstrip(b"{") for t, one in
                                zip(b.ids, answers.split(b',{"model_version"') and [a if i == 0 else b'"model_version"' + a for i, a in
                                                                                     enumerate(answers.split(b',{"model_version"'))])) + b"]"
        check("scores and results are /predict's, byte for byte", code == 0 and sent == want, (code, err, sent[:300], want[:300]))
        check("and of the same version", json.loads(raw)["results"][0]["model_version"] == out["model_version"] == b.version, out)
        s.stop()


def t_killed():
    with Studio() as ls:
        for what, n in (("the first", 1), ("a middle", 2), ("the last", 3)):
            b, done = Bench(ls, f"killed{n}", 1200), threading.Event()

            def late(h, done=done):
                time.sleep(1.0)             # Label Studio goes on, whoever hangs up
                store_all(ls, b.pid, h)
                done.set()
                return True
            f = Fault(b, n, late)
            p = b.run("push", wait=False)
            f.seen.wait(60 * SLOW)
            p.kill()
            p.communicate()
            code, out, err = b.push()
            done.wait(10)
            check(f"killed while {what} request was out: the next run waits for it, and nothing is there twice", code == 0 and b.complete() is None,
                  (code, err, b.complete()))
            check("and writes only what was missing", out and out["written"] == 1200 - 500 * n * (n < 3) - 1200 * (n == 3), out)
            ls.fault = None
        b = Bench(ls, "lost", 1200)
        f = Fault(b, 2, lambda h: time.sleep(0.5) or True)         # never carried out
        p = b.run("push", wait=False)
        f.seen.wait(60 * SLOW)
        p.kill()
        p.communicate()
        ls.fault = None
        check("what was sent is noted before it is", len(b.sql("SELECT 1 FROM push WHERE sent_s IS NOT NULL AND sent_task IS NOT NULL")) == 1)
        b.sql("UPDATE push SET sent_s = sent_s - 100")
        code, out, err = b.push()
        check("one that Label Studio never carried out is written in the end", code == 0 and out["written"] == 700 and b.complete() is None, (code, out, err, b.complete()))
        b = Bench(ls, "stopped", 1200)
        f = Fault(b, 2, lambda h: time.sleep(0.4))
        p = b.run("push", wait=False)
        f.seen.wait(60 * SLOW)
        p.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, err = p.communicate(timeout=30 * SLOW)
        check("stopped: exit 1 within seconds, and a line that says how to go on", p.returncode == 1 and "goes on" in err and time.monotonic() - began < 5 * SLOW, (p.returncode, err))
        ls.fault = None
        code, out, err = b.push()
        check("and the next run does, nothing twice", code == 0 and b.complete() is None and out["written"] < 1200, (code, out, b.complete()))


def t_version():
    with Studio() as ls:
        b = Bench(ls, "version", 1200)
        old = b.version

        def trained(h):
            b.train()
            return False
        Fault(b, 2, trained)
        code, out, err = b.push()
        ls.fault = None
        check("a version that changes under way: every open task has the newest, once", code == 0 and out["model_version"] == b.version != old
              and b.complete() is None, (code, out, err, b.complete()))
        versions = [{p["model_version"] for p in x} for x in b.bodies()]
        check("no request holds two", all(len(v) == 1 for v in versions), versions)
        check("and none of the old follows one of the new", [next(iter(v)) == old for v in versions] == sorted((next(iter(v)) == old for v in versions), reverse=True), versions)
        check("it says that it began anew", out["passes"] == 2 and out["written"] == 1000 + 1200, out)


def t_errors():
    with Studio() as ls:
        b = Bench(ls, "e500", 1200)
        Fault(b, 2, lambda h: h.fail(500, "database is locked") or True)
        code, _, err = b.push()
        check("500 in the middle: exit 1 with Label Studio's reason", code == 1 and "500" in err and "locked" in err, (code, err))
        st = json.loads(b.run("status", "--json")[1])
        check("the status tells it", "500" in (st["push_error"] or ""), st)
        ls.fault = None
        code, out, err = b.push()
        check("the next run writes what is missing", code == 0 and out["written"] == 700 and b.complete() is None, (code, out, err, b.complete()))
        check("and the status is clear again", json.loads(b.run("status", "--json")[1])["push_error"] is None)

        b = Bench(ls, "e500late", 1200)
        Fault(b, 2, lambda h: (store_all(ls, b.pid, h), h.fail(500, "counters"), True)[2])
        code, _, err = b.push()
        ls.fault = None
        code, out, err = b.push()
        check("500 after it was stored: nothing twice", code == 0 and out["written"] == 200 and b.complete() is None, (code, out, err, b.complete()))

        b = Bench(ls, "e504", 1200)
        Fault(b, 2, lambda h: (h.reply(504, b"<html>gateway"), time.sleep(1), store_all(ls, b.pid, h), True)[3])
        code, out, err = b.push()
        ls.fault = None
        check("504 from a server in between while Label Studio goes on: it goes on too", code == 0 and b.complete() is None, (code, out, err, b.complete()))

        b = Bench(ls, "e400", 1200)
        gone = b.ids[700]

        def deleted(h):
            with ls.lock:
                ls.drop_task(gone)
            return False
        Fault(b, 2, deleted)
        code, out, err = b.push()
        ls.fault = None
        b.ids.remove(gone)
        check("a task deleted between list and request (400): all others are written", code == 0 and b.complete() is None and out["open"] == 1199, (code, out, err, b.complete()))

        b = Bench(ls, "bad", 40)

        def refuses(h):
            if any(r["task"] == b.ids[21] for r in json.loads(h.body)):
                h.fail(400, "task 21 is not to my liking")
                return True
            return False
        Fault(b, 1, refuses, every=True)
        code, _, err = b.push()
        ls.fault = None
        have = set(b.stored())
        check("400 for good: those before are written, then exit 1 with the reason", code == 1 and "400" in err and have == set(b.ids[:21]), (code, err, len(have)))

        b = Bench(ls, "e413", 700)

        def large(h):
            if len(json.loads(h.body)) > 130:
                h.reply(413, b"<html>too large")
                return True
            return False
        Fault(b, 1, large, every=True)
        code, out, err = b.push()
        ls.fault = None
        check("413 of a server in between: smaller requests", code == 0 and b.complete() is None and max(map(len, b.bodies()[-3:])) <= 130, (code, out, err, b.complete()))

        b = Bench(ls, "less", 20)

        def less(h):
            h.body = json.dumps(json.loads(h.body)[1:]).encode()
            h.given = None
            with ls.lock:
                for r in json.loads(h.body):
                    ls.add_prediction(r["task"], r["result"], r["score"], r["model_version"])
            h.reply(201, {"created": 19})
            return True
        Fault(b, 1, less)
        code, out, err = b.push()
        ls.fault = None
        check("one that Label Studio leaves out is counted", code == 0 and out["written"] == 19 and out["left_out"] == 1, (code, out, err))

        b = Bench(ls, "two", 1200)
        f = Fault(b, 1, lambda h: time.sleep(1.5))
        p = b.run("push", wait=False)
        f.seen.wait(60 * SLOW)
        code, _, err = b.push()
        check("two at once: the second is refused", code == 1 and "under way" in err, (code, err))
        p.communicate(timeout=60 * SLOW)
        ls.fault = None
        check("and the first is done", p.returncode == 0 and b.complete() is None, (p.returncode, b.complete()))
        revoked = Bench(ls, "auth", 5)
        ls.revoked.add(ls.key)
        since = len(ls.seen)
        code, _, err = revoked.push()
        ls.revoked.clear()
        check("a key that is refused: exit 1, nothing written", code == 1 and "refused" in err and not revoked.bodies(since), (code, err))


def t_pages():
    """Lists of tasks that are not as they were asked for."""
    with Studio() as ls:
        def listing(b, size, query):
            """Pages of at most `size`; query: what is made of the filters."""
            def fault(h, path):
                if h.command != "GET" or path.rstrip("/") != "/api/tasks":
                    return False
                q = urllib.parse.parse_qs(urllib.parse.urlsplit(h.path).query)
                ls.on_tasks_query(h, b.pid, 1, min(size, int(q["page_size"][0])), query(json.loads(q["query"][0])))
                return True
            ls.fault = fault

        b = Bench(ls, "capped", 250)
        listing(b, 100, lambda q: q)
        code, out, err = b.push()
        check("pages smaller than asked for (TASK_API_PAGE_SIZE_MAX): the tasks behind them are not left out",
              code == 0 and b.complete() is None and out["written"] == 250, (code, out, err, b.complete()))
        b = Bench(ls, "unfiltered", 600)
        listing(b, 500, lambda q: {})
        p = b.run("push", wait=False)
        try:
            _, err = p.communicate(timeout=60 * SLOW)
        except subprocess.TimeoutExpired:
            p.kill()
            _, err = p.communicate()
        check("a list that knows no filter: exit 1 with the reason, not the same page for ever",
              p.returncode == 1 and "lists the same tasks again" in err, (p.returncode, err))
        ls.fault = None
        code, out, err = b.push()
        check("and nothing was written twice", code == 0 and b.complete() is None, (code, out, err, b.complete()))


def t_automatic():
    with Studio() as ls:
        b = Bench(ls, "automatic", 60, evaluate_predictions_automatically=True)
        for t in b.ids[:10]:
            ls.add_prediction(t, [], 0.5, "older")
        s = Service(b)
        connect(ls, b.pid, s.url)
        version = json.loads(b.run("status", "--json")[1])["model_version"]
        code, out, err = b.push()
        check("a listing that makes Label Studio predict: nothing twice", code == 0 and b.complete(version) is None and out["written"] == 10, (code, out, err, b.complete(version)))
        s.stop()


# ---- the queue ------------------------------------------------------------------------------------------------------
def call(ls, method, path, body=None):
    """As a client with the key."""
    import urllib.request
    if not ls.key.count("."):
        auth = "Token " + ls.key
    else:
        r = urllib.request.Request(ls.url + "/api/token/refresh/", json.dumps({"refresh": ls.key}).encode(), {"Content-Type": "application/json"})
        auth = "Bearer " + json.loads(urllib.request.urlopen(r, timeout=30).read())["access"]
    r = urllib.request.Request(ls.url + path, None if body is None else json.dumps(body).encode(),
                               {"Content-Type": "application/json", "Authorization": auth}, method=method)
    with urllib.request.urlopen(r, timeout=60) as a:
        return json.loads(a.read() or b"null")


def connect(ls, pid, url, **more):
    return call(ls, "POST", "/api/ml/", dict({"project": pid, "url": url, "title": "prelabel"}, **more))


def served(b, n):
    """The next n tasks, each labelled when it comes."""
    got = []
    for _ in range(n):
        t = call(b.ls, "GET", f"/api/projects/{b.pid}/next")
        got.append(t["id"])
        b.ls.annotate(t["id"], "positive" if t["id"] % 2 else "negative")
    return got


def ranking(b, service):
    """Open tasks as /predict says, least certain first."""
    done = {a["task"] for a in b.ls.of(b.ls.annotations, project=b.pid)}
    rows = [t for t in b.ids if t not in done]
    _, out = b.ls.ask("POST", service.url + "/predict", {"tasks": [b.ls.task_json(t) for t in rows], "project": str(b.pid),
                                                         "label_config": b.ls.projects[b.pid]["label_config"]}, timeout=30)
    return [t for _, t in sorted(zip((r["score"] for r in out["results"]), rows))]


def agree(b):
    """The three that have to be the same (protocol 9)."""
    first = b.ls.of(b.ls.backends, project=b.pid)[0]
    return first["title"], b.ls.projects[b.pid]["model_version"], first["model_version"]


def connected(ls, name, tasks, every, **more):
    """As `connect --uncertainty` leaves it: (bench, service, the backend's id)."""
    b = Bench(ls, name, tasks, sampling="Uncertainty sampling")
    b.env["START_TRAINING_EACH_N_UPDATES"] = str(every)
    s = Service(b)
    mid = connect(ls, b.pid, s.url, **more)["id"]
    b.sql("UPDATE project SET uncertainty = 1")
    return b, s, mid


def t_uncertainty():
    with Studio() as ls:
        b, s, mid = connected(ls, "queue", 300, 30, extra_params={"note": 1})
        since = len(ls.seen)
        code, out, err = b.push()
        version = out["model_version"]
        check("push: all open tasks have the version", code == 0 and b.complete(version) is None, (code, out, err, b.complete(version)))
        check("title, project and predictions agree", set(agree(b)) == {version}, (agree(b), version))
        order = ["POST" if m == "POST" else m + " ml" if "/api/ml/" in p else m for m, p in ls.writes(since) if "/webhooks" not in p]
        check("predictions first, then the switch, in one request", order and order[-1] == "PATCH ml" and order.count("PATCH ml") == 1
              and set(order[:-1]) == {"POST"}, order)
        patch = [json.loads(x) for m, p, _, x in ls.seen[since:] if m == "PATCH" and p == f"/api/ml/{mid}"]
        check("which holds the backend's parameters, since Label Studio sends us those of the request", [x.get("extra_params") for x in patch] == [{"note": 1}], patch)
        want = ranking(b, s)[:20]
        got = served(b, 20)
        check("the order of served tasks is our ranking", got == want, (got, want))
        check("which is neither the order of ids nor its reverse", want != sorted(want) and want != sorted(want, reverse=True), want)
        new = ls.add_tasks(b.pid, ["a task that came later"], send=True)[0]
        check("the stream still asks the backend", ls.live(b.pid))
        served(b, 10)               # and now it is trained
        b.ids.append(new)
        good = until(lambda: set(agree(b)) != {version} and len(set(agree(b))) == 1, 30)
        version2 = agree(b)[1]
        done = {a["task"] for a in ls.of(ls.annotations, project=b.pid)}
        check("after a training all agree on the new version", good, (agree(b), s.log()[-500:]))
        have = b.stored(version2)
        check("every open task has it once, the new one too", all(have[t] == 1 for t in b.ids if t not in done), [t for t in b.ids if t not in done and have[t] != 1][:5])
        want = ranking(b, s)[:20]
        got = served(b, 20)
        check("and the order of served tasks is the new ranking", got == want and version2 != version, (got, want))
        ls.fault = lambda h, path: path.endswith("/import/predictions") and (h.fail(500, "no"), True)[1]
        served(b, 10)
        told = until(lambda: json.loads(b.run("status", "--json")[1])["push_error"], 30)
        ls.fault = None
        check("a push that fails after a training: the status tells, the queue keeps the version before", told and agree(b)[1] == version2, (told, agree(b)))
        served(b, 30)
        good = until(lambda: agree(b)[1] not in (version, version2) and len(set(agree(b))) == 1 and
                     json.loads(b.run("status", "--json")[1])["push_error"] is None, 30)
        check("and the next training makes it good", good, (agree(b), s.log()[-500:]))
        ls.newest_first, ls.backends[mid]["title"] = True, "ours"
        ls.backends[mid + 1] = dict(ls.backends[mid], id=mid + 1, title="another", url="http://127.0.0.1:1")
        code, _, err = b.push()
        check("a backend that was connected later and is listed first: the one that predicts has the title", code == 0 and not err
              and len(set(agree(b))) == 1 and ls.backends[mid + 1]["title"] == "another", (code, err, agree(b)))
        del ls.backends[mid + 1]
        s.stop()
        b.train()
        code, out, err = b.push()
        check("while the backend is down: the project's version alone is set", code == 0 and agree(b)[1] == b.version and agree(b)[0] != b.version
              and "new tasks" in err, (code, err, agree(b)))


def t_way():
    """A training that waits comes first; but not for ever."""
    with Studio() as ls:
        b, s, _ = connected(ls, "way", 1200, 1)
        seen = []

        def slow(h):
            seen.append(json.loads(h.body)[0]["model_version"])
            if len(seen) < 12:
                ls.annotate(b.ids[len(seen)], "positive" if len(seen) % 2 else "negative")
            time.sleep(1.5)
            return False
        Fault(b, 1, slow, every=True)
        ls.annotate(b.ids[0], "negative")
        until(lambda: len(seen) >= 3, 30)
        gave = until(lambda: s.log().count("another job waits") >= 2, 30)
        check("a push gives way to a training that waits", gave, s.log()[-800:])
        good = until(lambda: "is in their order" in s.log(), 60)
        check("the third is done all the same", good and s.log().count("another job waits") == 2, (s.log().count("another job waits"), s.log()[-800:]))
        ls.fault = None
        twice = [(v, t) for (v, t), n in collections.Counter((p["model_version"], p["task"]) for p in ls.of(ls.predictions, project=b.pid)).items() if n > 1]
        check("and nothing is there twice", not twice, twice[:5])
        s.stop()


def kilobytes(pid, key):
    try:
        with open(f"/proc/{pid}/status") as f:
            return int(dict(line.split(":", 1) for line in f)[key].split()[0])
    except (OSError, KeyError):
        return 0                # it has ended


def t_large():
    with Studio() as ls:
        b = Bench(ls, "large", 10000)
        began = time.monotonic()
        p, peak = b.run("push", wait=False), 0
        while p.poll() is None:         # getrusage() would count what this program had when it forked
            peak = max(peak, kilobytes(p.pid, "VmHWM"))
            time.sleep(0.01)
        check("10,000 tasks: every one has a prediction", p.returncode == 0 and b.complete() is None, (p.returncode, p.stderr.read(), b.complete()))
        print(f"# 10,000 tasks: {time.monotonic() - began:.1f} s with the stub, {peak / 1024:.1f} MB")
        check("in bounded memory", SANITIZED or 0 < peak < 24 * 1024, peak)


def main():
    groups = {k[2:]: f for k, f in globals().items() if k.startswith("t_")}
    try:
        for name in sys.argv[1:] or groups:
            began = time.monotonic()
            print("# " + name, flush=True)
            try:
                groups[name]()
            except Exception as e:
                check(f"{name}: ran to its end", False, f"{type(e).__name__}: {e}")
            print(f"#    {time.monotonic() - began:.1f} s", flush=True)
    finally:
        for p in children:
            if p.poll() is None:
                p.terminate()
                try:
                    p.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait()
        shutil.rmtree(SCRATCH, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
