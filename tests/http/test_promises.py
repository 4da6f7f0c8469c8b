"""
test_promises.py - reliability.md, its first group in the short form: one test for
each promise, named by its number.  The long forms belong to the reliability tests.
"""
import base64
import contextlib
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

from harness import (BUILD, DOCUMENTED, LEGACY, PERSONAL, ROOT, SLOW, Answer, Cgi, Project, Server, Stopwatch, Studio, basic, both, check, choices_config, content, digest,
                     entries, feed, kill9, number, review, train, wait_for, wrong_prediction, wrong_predictions)

QUIET = {"START_TRAINING_EACH_N_UPDATES": 100000}


# ---- R1 durable, R2 once ----------------------------------------------------

def r01_durable_kill():
    """Every process killed by -9 at a random moment under load, 20 times; what was answered 2xx is there, once."""
    rnd = random.Random(11)
    with Server(**QUIET) as b:
        p = Project()
        b.version(p)
        acknowledged, sent, lock, bad = {}, [], threading.Lock(), []
        for cycle in range(20):
            stop = threading.Event()

            def send():
                while not stop.is_set():
                    with lock:
                        i = p.next
                        e = p.labelled(review(p.labels[i % 2], i), p.labels[i % 2])
                        sent.append(e)
                    try:
                        a = b.hook(e)
                    except OSError:
                        return
                    if a.status == 201:
                        acknowledged[e["annotation"]["id"]] = e
                    elif a.status != 503:
                        bad.append(str(a))
            threads = [threading.Thread(target=send) for _ in range(3)]
            for t in threads:
                t.start()
            wait_for(lambda before=len(acknowledged): len(acknowledged) > before + 1, 30, 0.01)
            time.sleep(0.05 + rnd.random() * 0.15)
            b.kill9()
            stop.set()
            for t in threads:
                t.join(20)
            b.start()
        check("under load only 201 (or 503)", not bad, bad[:3])
        have = {int(e[0]) for e in b.examples()}
        lost = sorted(set(acknowledged) - have)
        check(f"R1: {len(acknowledged)} acknowledged over 20 kills, none lost", acknowledged and not lost, lost[:5])
        check("R1: and those are more than one a kill", len(acknowledged) > 20, len(acknowledged))
        rows = b.db("select count(*) from annotation")[0][0]
        check("R2: each one once, counter = rows", rows == len(have) and b.counter(p) == rows, (rows, len(have), b.counter(p)))
        again = [b.hook(e).status for e in list(acknowledged.values())[:200]]
        check("R2: sent again they change nothing", set(again) == {200} and b.counter(p) == rows, set(again))
        check("integrity_check", b.db("pragma integrity_check") == [("ok",)])


def r01_durable_sync():
    """By strace: the WAL is synced after the last write to it and before the first byte of the answer."""
    if not shutil.which("strace"):
        return check("strace is installed (see the packages of make test)", False)
    with Cgi(**QUIET) as b:
        p = Project()
        b.version(p)
        trace = os.path.join(b.dir, "trace")
        data = json.dumps(p.labelled("great food", "positive")).encode()
        program, env = b.variables("POST", "/webhook", data, None)
        r = subprocess.run(["strace", "-f", "-y", "-o", trace, "-e", "trace=write,pwrite64,writev,fsync,fdatasync,sync_file_range,msync", os.path.join(BUILD, "cgi", program)],
                           cwd=ROOT, env=dict(env, ASAN_OPTIONS="detect_leaks=0"), input=data, capture_output=True, timeout=60)
        a = Cgi.parse(r.returncode, r.stdout)
        check("stored", a.status == 201, a)
        lines = open(trace, encoding="utf-8", errors="replace").read().splitlines()
        answer = next((i for i, line in enumerate(lines) if re.search(r"\b(write|writev)\(1<", line)), None)
        wal = [i for i, line in enumerate(lines) if "pwrite64(" in line and "-wal>" in line]
        sync = [i for i, line in enumerate(lines) if re.search(r"f(data)?sync\(\d+<[^>]*-wal>", line)]
        ok = answer is not None and wal and sync and any(max(w for w in wal if w < answer) < s < answer for s in sync if [w for w in wal if w < answer])
        check("commit, sync, then answer", ok, f"answer at {answer}, wal writes {wal[-3:]}, syncs {sync[-3:]}")


# ---- R3 not lost in silence -------------------------------------------------

def r03_store_locked():
    """A writer that holds the store: webhooks are refused with 503 within 900 ms, reads go on."""
    with Server(**QUIET) as b:
        p = Project()
        v = b.version(p)
        b.hook(p.labelled("great", "positive"))
        b.warm()
        db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), isolation_level=None)
        try:
            db.execute("begin immediate")
            e = p.labelled("food", "negative")
            a = b.timed(lambda: b.hook(e, patient=False))
            check("webhook: 503 with Retry-After and the error form", a.status == 503 and a.headers.get("retry-after", "").isdigit() and not a.error_form(), lambda: f"{a} {a.headers} {a.error_form()}")
            check("within 900 ms", a.seconds < 0.9 * SLOW, a.seconds)
            times = [b.timed(ask).seconds for ask in (lambda: b.get("/health"), lambda: b.setup(p), lambda: b.predict(p, ["x"]), lambda: b.get("/status?project=1"))]
            check("health, setup, predict, status: each within 500 ms", max(times) < 0.5 * SLOW, times)
            check("setup and predict answer as before", b.version(p) == v and not wrong_predictions(b.predict(p, ["x"]), 1, p, version=v))
        finally:
            db.execute("rollback")
            db.close()
        check("afterwards the same event is stored", b.hook(e).status == 201)


def r03_refused_although_there_was_time():
    """Label Studio gives a webhook one second, /setup three and /predict a hundred: a store that another writes for
    longer than a webhook can wait is no reason to refuse those."""
    with Server(**QUIET) as b:
        b.hook(Project(1).labelled("great", "positive"))
        b.warm()
        db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), isolation_level=None, check_same_thread=False)
        db.execute("begin immediate")
        timer = threading.Timer(1.3, lambda: db.execute("rollback"))
        timer.start()
        a = b.setup(Project(2), patient=False)
        timer.join()
        db.close()
        check("setup of a new project waits for the other write, then answers", a.status == 200, f"{a} {a.seconds}")
    with Cgi() as b:
        db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), isolation_level=None, check_same_thread=False)
        db.execute("pragma journal_mode = wal")
        db.execute("begin immediate")
        timer = threading.Timer(2, lambda: db.execute("rollback"))
        timer.start()
        a = b.predict(Project(), ["good food"], patient=False)
        timer.join()
        db.close()
        check("predict waits until another has made the new store", a.status == 200, f"{a} {a.seconds}")


def r03_busy_at_once_while_another_makes_the_store():
    """SQLite does not wait where one has begun to write a store that has no journal yet: it was refused within a
    hundredth of a second."""
    for ask, held in (("predict", 1.5), ("setup", 1.2), ("webhook", 0.4)):
        with Cgi() as b:
            p = Project()
            db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), isolation_level=None, check_same_thread=False)
            db.execute("begin immediate")
            timer = threading.Timer(held, lambda: db.execute("rollback"))
            timer.start()
            a = {"predict": lambda: b.predict(p, ["good food"], patient=False), "setup": lambda: b.setup(p, patient=False),
                 "webhook": lambda: b.hook(p.labelled("good food", "positive"), patient=False)}[ask]()
            timer.join()
            db.close()
            check(f"{ask} waits {held} s for it", a.status in (200, 201), f"{a} {a.seconds}")


def r09_a_wait_for_the_store_is_longer_than_an_answer_may_take():
    """Any request is answered within 5 s: also where each step of opening the store has to wait."""
    with Cgi() as b:
        db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), isolation_level=None)
        db.execute("begin exclusive")
        a = b.predict(Project(), ["good food"], patient=False)
        db.execute("rollback")
        db.close()
        check("predict: 503 within 5 s, after it has waited", a.status == 503 and 3 < a.seconds < 5 * SLOW, f"{a} {a.seconds}")


def r03_a_new_store_costs_many_syncs():
    """Programs that start together wait for the one that makes the store: of a disk that takes a tenth of a second a
    sync, eight of them are longer than a webhook can wait."""
    with Cgi() as b:
        strace = os.path.join(b.dir, "strace")
        e = Project().labelled("good food", "positive")
        data = json.dumps(e).encode()
        program, env = b.variables("POST", "/webhook", data, None)
        r = subprocess.run(["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", strace, os.path.join(BUILD, "cgi", program)],
                           env=dict(env, SANDBOX="off"), cwd=ROOT, input=data, capture_output=True, timeout=30 * SLOW)
        with open(strace) as f:
            n = len(re.findall(r"sync\(", f.read()))
        check("an event that makes the store: at most twelve syncs", r.stdout.startswith(b"Status: 201") and 0 < n <= 12, f"{n} {r.stdout[:200]}")


# ---- R4 models are whole ----------------------------------------------------

def r04_readers_during_publishing():
    with Server(**QUIET) as b:
        p = Project(1, ["positive", "negative", "neutral"])
        feed(b, p.some(60))
        train(b, p)
        texts = [review(p.labels[i % 3], i + 7) for i in range(8)]
        bad, by_version, n, stop, lock = [], {}, [0], threading.Event(), threading.Lock()

        def read():
            while not stop.is_set():
                a = b.predict(p, texts)
                why = wrong_predictions(a, 8, p)
                with lock:
                    n[0] += 1
                    if why:
                        bad.append(why)
                    elif by_version.setdefault(a.json["results"][0]["model_version"], a.body) != a.body:
                        bad.append("two answers of one version differ")
        threads = [threading.Thread(target=read) for _ in range(3)]
        for t in threads:
            t.start()
        v = b.version(p)
        for i in range(60):
            if i >= 8 and n[0] > 50:        # where the readers get little of the machine, a few versions more
                break
            b.hook(p.labelled(review(p.labels[i % 3], 200 + i), p.labels[i % 3]))
            v = train(b, p, v) or v
        stop.set()
        for t in threads:
            t.join(20)
        check(f"{n[0]} answers while {number(v) - 1} versions were published: all whole", number(v) >= 8 and n[0] > 50 and not bad, (v, n[0], bad[:2]))
        check("more than one version was seen by the readers", len(by_version) > 2, len(by_version))


def blob_column(b):
    for row in b.db("pragma table_info(model_part)"):
        if b.db(f"select typeof({row[1]}), max(length({row[1]})) from model_part")[0][0] == "blob" and (b.db(f"select max(length({row[1]})) from model_part")[0][0] or 0) > 40:
            return row[1]
    return None


def r04_damaged_part():
    """A bad blob: said once, the previous version serves, else the cold start; never a 500."""
    rnd = random.Random(4)

    def flip(raw):
        at = rnd.randrange(len(raw))
        return raw[:at] + bytes([raw[at] ^ (1 << rnd.randrange(8))]) + raw[at + 1:]
    ways = {"a flipped bit": flip, "another flipped bit": flip, "cut": lambda r: r[:len(r) // 2], "empty": lambda r: b"", "longer": lambda r: r + b"\0" * 8,
            "zeros": lambda r: b"\0" * len(r), "ones": lambda r: b"\xff" * len(r), "header of ones": lambda r: b"\xff" * 32 + r[32:]}
    with Server(**QUIET) as b:
        p = Project()
        v0 = b.version(p)
        feed(b, p.some(8))
        v1 = train(b, p)
        feed(b, p.some(8, start=8))
        v2 = train(b, p)
        blob = blob_column(b)
        check("two versions, a blob column in model_part", number(v2) == 2 and blob, (v2, blob))
        b.stop()
        with contextlib.closing(sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"))) as db:
            db.execute("pragma wal_checkpoint(truncate)")       # a program that was killed has left its log
        whole = open(os.path.join(b.dir, "prelabel.sqlite3"), "rb").read()

        def spoil(change, which):
            with open(os.path.join(b.dir, "prelabel.sqlite3"), "wb") as f:
                f.write(whole)
            for extra in ("-wal", "-shm"):
                if os.path.exists(os.path.join(b.dir, "prelabel.sqlite3" + extra)):
                    os.unlink(os.path.join(b.dir, "prelabel.sqlite3" + extra))
            db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"))
            names = [c[1] for c in db.execute("pragma table_info(model_part)")]
            version = next(c for c in names if "version" in c)
            keys = [c for c in names if c != blob and "sum" not in c]
            newest = db.execute(f"select max({version}) from model_part").fetchone()[0]
            for row in db.execute("select * from model_part").fetchall():
                row = dict(zip(names, row))
                if which == "all" or row[version] == newest:
                    db.execute(f"update model_part set {blob} = ? where " + " and ".join(f"{k} is ?" for k in keys), (change(bytes(row[blob])), *[row[k] for k in keys]))
            db.commit()
            db.close()
        for which, want in (("newest", v1), ("all", v0)):
            for name, change in list(ways.items())[:8 if which == "newest" else 3]:
                spoil(change, which)
                open(b.log, "w").close()
                b.start()
                answers = [b.predict(p, ["great food"]) for _ in range(6)]
                whys = {wrong_predictions(a, 1, p) for a in answers}
                got = {e["model_version"] for a in answers for e in entries(a) or []}
                check(f"{which} part {name}: well-formed predictions, never a 500", whys == {""}, whys)
                # "The previous version, else cold start": its own string; setup tells the same one (interface.md).
                check(f"{which} part {name}: {'the previous version' if which == 'newest' else 'the cold start'} serves, setup agrees", got == {want} and b.version(p) == want, (got, b.version(p), want))
                b.stop()
        spoil(lambda r: r, "all")
        b.start()
        check("the undamaged store serves the newest again", b.version(p) == v2)


def r04_read_in_part():
    """Plain CGI reads of a model what the request needs, and answers the very same; what it reads is checked, what it does not read is not."""
    with Server(**QUIET) as b:
        p, v1 = big_project(b, 800)
        v1 = train(b, p, v1)
        feed(b, p.some(4))
        v2 = train(b, p, v1)
        texts = ["w17 w3 w99 delicious item5", "w17 w3", "", "nothing of it", " ".join(f"w{i}" for i in range(40))]
        cgi = Cgi(folder=b.dir, **QUIET)

        def same(name, version):
            got = [(b.predict(p, [t]), cgi.predict(p, [t])) for t in texts] + [(b.predict(p, texts), cgi.predict(p, texts))]
            check(name, all(x.body == y.body and not wrong_predictions(y, len(entries(y) or []), p, version=version) for x, y in got),
                  [(str(x), str(y)) for x, y in got if x.body != y.body][:1] or [str(y) for _, y in got][:1])
        same("read in part: byte for byte what the whole model answers", v2)
        check("two versions of several blocks each", number(v2) == 2 and b.db("select min(length) from model_blocks where name like '%words'")[0][0] > 20000)
        words = bytes(b.db("select bytes from model_part where name like '%/words' order by version desc limit 1")[0][0])

        def spoil(at, part="words", table="model_part", column="bytes"):
            with contextlib.closing(sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), timeout=20)) as db:
                row, raw = db.execute(f"select rowid, {column} from {table} where name like ? and version = (select max(version) from {table})", ("%/" + part,)).fetchone()
                db.execute(f"update {table} set {column} = ? where rowid = ?", (raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:], row))
                db.commit()
            return raw

        def put_back(raw, part="words", table="model_part", column="bytes"):
            with contextlib.closing(sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), timeout=20)) as db:
                db.execute(f"update {table} set {column} = ? where name like ? and version = (select max(version) from {table})", (raw, "%/" + part))
                db.execute("update model_version set damaged = 0")
                db.commit()

        far = words.rindex(b"w4999")        # in the other half than "delicious"
        raw = spoil(far)
        cgi.stderr = b""
        a = cgi.predict(p, ["delicious"])
        check("damage that the request does not come by: the version in force answers", not wrong_predictions(a, 1, p, version=v2) and b"damaged" not in cgi.stderr, (str(a), cgi.stderr[-200:]))
        a = cgi.predict(p, [" ".join(f"w{i}" for i in range(6000))[:60000]])
        check("a large request loads the whole, and finds it", not wrong_predictions(a, 1, p, version=v1) and cgi.stderr.count(b"is damaged") == 1, (str(a), cgi.stderr[-300:]))
        put_back(raw)
        raw = spoil(len(words) - 100)
        cgi.stderr = b""
        for _ in range(3):
            a = cgi.predict(p, ["zzz wwww w5999 w5998"])
            check("damage on its way: the version before answers", not wrong_predictions(a, 1, p, version=v1), a)
        check("and it is said once, by the first", cgi.stderr.count(b"is damaged") == 1, cgi.stderr[-400:])
        put_back(raw)
        same("put back: as before", v2)
        for name, at in (("the sum of the sums", 0), ("a sum", 40)):
            raw = spoil(at, "groups", "model_blocks", "sums")
            cgi.stderr = b""
            same(f"{name} is damaged, the part is not: it is loaded", v2)
            check(f"{name}: no version is given up", b"is damaged" not in cgi.stderr, cgi.stderr[-300:])
            put_back(raw, "groups", "model_blocks", "sums")
        with contextlib.closing(sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), timeout=20)) as db:
            db.execute("delete from model_blocks")
            db.commit()
        same("stored before blocks had sums: it is loaded", v2)


# ---- R5 the trainer may die -------------------------------------------------

def big_project(b, n=4000, labels=("positive", "negative", "neutral")):
    """A project whose training takes a while; returns (project, version before)."""
    p, rnd, many = Project(1, list(labels)), random.Random(2), []
    for i in range(n):
        t = p.task(" ".join(f"w{rnd.randrange(6000)}" for _ in range(25)) + " " + review(labels[i % 3], i))
        many.append(p.annotation(t, t, labels[i % len(labels)]))
    v = b.version(p)
    for k in range(0, n, 2000):
        b.hook(p.created_many(many[k:k + 2000]))
    return p, v


def trainers(b):
    return [pid for pid, c in b.tree().items() if re.search(r"prelabel\s.*\btrain\b", c)]


def r05_trainer_killed():
    with Server(**QUIET) as b:
        p, v = big_project(b)
        b.hook(p.event("START_TRAINING"))
        pids = wait_for(lambda: trainers(b), 30, 0.005)
        check("a trainer runs as a process of its own", pids, b.tree)
        for pid in pids or []:
            kill9(pid)
        check("predictions go on", not wrong_predictions(b.predict(p, ["x"]), 1, p))
        watch = Stopwatch(b.tree())
        w = b.wait_version(p, v, 120)
        took = watch.seconds()
        check("killed by -9: another finishes the job within 45 s, without further traffic", number(w or v) == 1 and took < 45 * SLOW, f"{w} after {took:.0f} s; {b.get('/status?project=1')}")


def refused(a):
    """503 in the error form.  Where the program that writes it is killed under the same request, only lighttpd is left
    to answer: its static page, JSON too, with the 500 it cannot rename (both kills must hit one request)."""
    return a.status == 503 and not a.error_form() or a.status == 500 and isinstance(a.json, dict) and set(a.json) == {"status", "error"}


def r05_random_process_killed():
    """kill -9 of a random process, 15 times, under load: the store is whole, what was acknowledged is there once, a training completes."""
    rnd = random.Random(8)
    with Server(START_TRAINING_EACH_N_UPDATES=20) as b:
        p = Project()
        v = b.version(p)
        acknowledged, bad, stop = [], [], threading.Event()

        def send(base):
            q = Project(1, first=base)
            while not stop.is_set():
                i = q.next
                try:
                    a = b.hook(q.labelled(review(q.labels[i % 2], i), q.labels[i % 2]))
                    c = b.predict(p, ["great food"])
                except OSError:
                    time.sleep(0.02)
                    continue
                if a.status == 201:
                    acknowledged.append(i)
                elif not refused(a):
                    bad.append(str(a))
                if not refused(c) and wrong_predictions(c, 1, p):
                    bad.append(str(c))
        threads = [threading.Thread(target=send, args=(10**6 * (k + 1),)) for k in range(3)]
        for t in threads:
            t.start()
        for _ in range(15):
            time.sleep(0.05 + rnd.random() * 0.2)
            victims = [pid for pid in b.tree() if b.proc and pid != b.proc.pid]
            if victims:
                kill9(rnd.choice(victims))
            if b.proc.poll() is not None:       # it may end when its web server dies; then it is started again
                b.kill9()
                b.start()

        def serving():
            """The version in force.  The last kill may have been the web server's: then the start ends, at once or a moment later."""
            if b.proc.poll() is not None:
                b.kill9()
                b.start()
            try:
                return b.version(p)
            except OSError:
                return None
        wait_for(lambda: serving() and len(acknowledged) > 20, 60, 0.1)      # where a killed program is slow to come back
        stop.set()
        for t in threads:
            t.join(30)
        check("answers under kills: stored, predicted, or 503 as JSON", not bad, f"{len(bad)}: {bad[:3]}")
        have = [e[0] for e in b.examples()]
        check(f"{len(acknowledged)} acknowledged, all there, once", len(acknowledged) > 20 and len(have) == len(set(have)) and not {str(i) for i in acknowledged} - set(have),
              lambda: sorted({str(i) for i in acknowledged} - set(have))[:5])
        check("integrity_check", b.db("pragma integrity_check") == [("ok",)])

        def trained():
            x = serving()
            try:
                left = b.counter(p)
            except OSError:
                return None
            return x if (number(x) or 0) >= 1 and left is not None and left < 20 else None
        w = wait_for(trained, 120, 0.3)
        check("the training that is due completes", w and w != v, lambda: (b.version(p), b.counter(p), str(b.get("/status?project=1"))))


def r05_each_process_killed():
    """kill -9 of the web server, of each program and of the supervisor: the next start serves, nothing of the former one lives."""
    for kind in ("lighttpd", "cgi/predict", "cgi/setup", "cgi/webhook", "cgi/status", "supervisor"):
        with Server(START_TRAINING_EACH_N_UPDATES=6, WORKERS=1) as b:
            p = Project()
            b.warm()
            v = b.version(p)
            pid = b.proc.pid if kind == "supervisor" else next((i for i, c in b.tree().items() if kind in c.split(" -")[0].split(" ")[0] or kind in c), None)
            if not check(f"{kind} is there", pid, b.tree):
                continue
            feed(b, p.some(5))
            if not kill9(pid):
                check(f"{kind} is there", False, "no longer")
                continue
            if kind.startswith("cgi/"):
                seen = []

                def back():
                    try:
                        a = b.get("/health") if kind == "cgi/status" else b.setup(p) if kind == "cgi/setup" else b.predict(p, ["x"]) if kind == "cgi/predict" else b.hook(p.event("NOTHING"))
                    except OSError:
                        return False
                    seen.append(a)
                    return a.status == 200
                watch = b.stopwatch()
                # R15 wants less than 1 s; beside three other tests on two processors the clock here may not be that strict.
                came, took = wait_for(back, 30), watch.seconds()
                check(f"{kind} killed: service back within 2 s", came and took < 2 * SLOW, lambda: f"{took:.2f} s {[str(a) for a in seen[-2:]]}")
                check(f"{kind} killed: meanwhile nothing but 503 as JSON", all(a.status == 200 or a.status == 503 and not a.error_form() for a in seen), [str(a) for a in seen[:2]])
                left = b.stop()
            elif kind == "supervisor":
                gone = wait_for(lambda: not b.tree())
                left = {} if gone else b.tree()
                b.kill9()
            else:
                # Without its web server the supervisor ends, or starts another; in both cases nothing is left after a SIGTERM.
                wait_for(lambda: b.proc.poll() is not None, 2)
                left = b.stop()
            check(f"{kind} killed: no process of this start lives", not left, left)
            b.env["LOGISTIC_REGRESSION_C"] = "3"
            b.start()
            w = b.version(p)
            check(f"{kind} killed: the next start serves with its own settings", w and digest(w) != digest(v), (v, w))
            check(f"{kind} killed: the annotations are there", len(b.examples()) == 5, b.examples)


# ---- R9 any input gets an answer --------------------------------------------

def junk():
    p = Project()
    good = {"/predict": p.predict_body(["great food"]), "/setup": p.setup_body(), "/webhook": p.labelled("great", "positive"), "/train": {"project": p.key}}
    anything = [b"", b" ", b"\n", b"\0", b"{", b"}", b"[", b"]", b"[[", b"{}", b"[]", b"null", b"true", b"false", b"0", b"-1", b"1e400", b'""', b'"x"', b"nul", b"{]", b"[}",
                b'{"a"}', b'{"a":}', b'{"a":1,}', b"[1,]", b"[,1]", b'{"a":1 "b":2}', b'{1:2}', b"'x'", b"\xff", b"\xef\xbb\xbf{}", b"\xc0\x80", b'"\xed\xa0\x80"', b'"\\x"', b'"\\u12"',
                b'"\\ud800"', b"{}{}", b"{} x", b"<html>", b"tasks=1&project=2", b"--x\r\nContent-Disposition: form-data\r\n", b"\x1f\x8b\x08\0", b"%PDF-1.4", b"A" * 100000, b"[" * 200,
                b"[" * 100000, b'{"a":' * 5000, b"-", b"+1", b"01", b"1.", b".5", b"1e", b"0x10", b"NaN", b"Infinity", b"-Infinity", b'{"tasks":[NaN]}', b"// c\n{}", b"/* c */{}", b"{\t\"a\":\t1}\x00", b"\r\n\r\n{}",
                b'{"action":"ANNOTATION_CREATED","action":"START_TRAINING"}', b'{"project":"1.2","schema":"<View/>"', b'"' + b"\\u0000" * 1000 + b'"', b'{"' + b"k" * 70000 + b'":1}']
    out = {}
    for path, doc in good.items():
        mine = list(anything)
        for k in doc:
            for v in (None, True, -1, 1.5, 10**30, "", "x", "\0", "x" * 3000, [], {}, [[]], [None], {"id": None}, {"id": {}}, {"id": "1"}, {"result": 3}):
                mine.append(json.dumps(dict(doc, **{k: v})).encode())
            mine.append(json.dumps({a: b for a, b in doc.items() if a != k}).encode())
        out[path] = mine
    return out


@both
def r09_any_input(open_backend):
    leaks = re.compile(r"SELECT |INSERT |UPDATE |sqlite|/tmp|/root|/home|\.c:\d|0x[0-9a-f]{6}|prelabel-http|prelabel-cgi", re.I)
    with open_backend(LABEL_STUDIO_API_KEY=LEGACY, **QUIET) as b:
        wrong, n = [], 0
        for path, bodies in junk().items():
            for body in bodies[:: 1 if open_backend is Server else 3]:
                n += 1
                try:
                    a = b.post(path, body)
                    if a.seconds > 5 * SLOW:        # the machine may have been busy: then it is measured once more
                        a = b.timed(lambda path=path, body=body: b.post(path, body))
                except OSError as e:
                    wrong.append(f"{path} {body[:80]!r}: {e}")
                    continue
                why = ("status" if a.status not in DOCUMENTED else "slow" if a.seconds > 5 * SLOW else "no JSON" if a.json is None else a.error_form() if a.status >= 400 else
                       "content type" if "application/json" not in a.headers.get("content-type", "") else "leak" if leaks.search(a.body.decode()) else
                       "long" if a.status >= 400 and len(a.body) > 900 else "")
                if why:
                    wrong.append(f"{path} {body[:120]!r}: {why}: {a}")
        check(f"R9: {n} bodies: documented status, JSON, the error form, within 5 s, no 500", not wrong, f"{len(wrong)}: " + " | ".join(wrong[:6]))
        wrong = []
        queries = ["project=" + q for q in ("", "x", "-1", "1e9", "1.5", "%00", "%ff", "%", "%zz", "1%20or%201=1", "9" * 30, "a" * 3000, "1&project=2", "%E2%80%AE", "1;2", "[]")] + ["&&&", "=", "x", "?" * 50, "project"]
        for path in ("/versions", "/status", "/job_status", "/health", "/metrics", "/"):
            for q in queries:
                try:
                    a = b.get(f"{path}?{q}")
                    if a.seconds > 5 * SLOW:
                        a = b.timed(lambda path=path, q=q: b.get(f"{path}?{q}"))
                except (OSError, ValueError) as e:
                    if "%00" in q and open_backend is not Server:
                        continue
                    wrong.append(f"{path}?{q}: {e}")
                    continue
                if a.status not in DOCUMENTED or a.seconds > 5 * SLOW or a.status >= 400 and a.error_form() or leaks.search(a.body.decode()) or path != "/metrics" and a.json is None:
                    wrong.append(f"{path}?{q[:40]}: {a}")
        check("R9: odd query strings", not wrong, f"{len(wrong)}: " + " | ".join(wrong[:6]))
        p = Project(31)
        check("and the next requests are right", not wrong_predictions(b.predict(p, ["x"]), 1, p) and b.version(p) and b.hook(p.labelled("great", "positive")).status == 201)
        check("the key is in no answer and no log", LEGACY not in b.log_text())


def r09_busy_statuses_tell_when():
    """A body above the limit and a header above lighttpd's: refused, the connection's end or an answer, and service goes on."""
    with Server(MAX_BODY_MB=1) as b:
        p = Project()
        body = json.dumps(p.predict_body(["x" * 900000])).encode()
        check("just under MAX_BODY_MB: taken", b.post("/predict", body).status == 200)
        a = b.post("/predict", body + b" " * 200000)
        check("above it: 413 in the error form", a.status == 413 and not a.error_form(), lambda: f"{a} {a.error_form()}")
        out = b.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 70000 + b"\r\nConnection: close\r\n\r\n")
        check("a header of 70 KB is refused", out[9:12] in (b"431", b"400", b"413"), out[:100])
        check("service goes on", b.get("/health").status == 200)


# ---- R10 partial bodies -----------------------------------------------------

def r10_partial_bodies():
    with Server(**QUIET) as b:
        p = Project()
        b.version(p)
        event = json.dumps(p.labelled("great food", "positive")).encode()
        for name, claimed, sent in (("one byte short", len(event), event[:-1]), ("half", len(event), event[:len(event) // 2]), ("none", len(event), b""),
                                    ("whole JSON, longer claim", len(event) + 10, event)):
            head = b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % claimed
            with b.connect() as s:
                s.sendall(head + sent)
                time.sleep(0.05)
            time.sleep(0.1)
            check(f"cut body ({name}): nothing is stored", b.db("select count(*) from annotation") == [(0,)])
        for length in (b"-1", b"+5", b"0x10", b"1e3", b"5 5", b"99999999999999999999", b"abc", b""):
            out = b.raw(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + length + b"\r\nConnection: close\r\n\r\n" + event)
            check(f"Content-Length {length.decode()!r}: refused", out[9:12] in (b"400", b"411", b"413") or out == b"", out[:80])
        for extra in (b"Content-Length: %d\r\nContent-Length: 5\r\n" % len(event), b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(event)):
            out = b.raw(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + extra + b"Connection: close\r\n\r\n" + event, timeout=4)
            check(f"two lengths ({extra[:40].decode()!r}…): refused", out[9:12] in (b"400", b"411", b"413", b""), out[:80])
        check("nothing of all this was stored", b.db("select count(*) from annotation") == [(0,)])
        check("the whole event is", b.post("/webhook", event).status == 201)


def r10_content_length_of_cgi():
    with Cgi(**QUIET) as b:
        p = Project()
        b.version(p)
        event = json.dumps(p.labelled("great food", "positive")).encode()

        def send(length, data):
            program, env = b.variables("POST", "/webhook", data, None)
            if length is None:
                env.pop("CONTENT_LENGTH")
            else:
                env["CONTENT_LENGTH"] = length
            return Cgi.parse(*b.run(program, env, data))
        n = len(event)
        for name, length, data, want in (
                ("absent", None, event, (411,)), ("empty", "", event, (411, 400)), ("negative", "-1", event, (400, 411)), ("a sign", f"+{n}", event, (400, 411)),
                ("a space before", f" {n}", event, (400, 411)), ("a space after", f"{n} ", event, (400, 411)), ("hexadecimal", hex(n), event, (400, 411)), ("words", "many", event, (400, 411)),
                ("a fraction", f"{n}.0", event, (400, 411)), ("beyond 64 bits", "99999999999999999999999", event, (400, 411, 413)), ("2^63", str(2**63), event, (400, 411, 413)), ("2^31", str(2**31), event, (413,)),
                ("above the limit", str(129 * 2**20), event, (413,)), ("longer than what comes", str(n + 1), event, (400,)), ("much longer", str(n * 3), event, (400,)),
                ("shorter than the document", str(n - 1), event, (400,)), ("zero", "0", event, (400, 411))):
            a = send(length, data)
            check(f"CONTENT_LENGTH {name}: {want}", a.status in want and not a.error_form(), lambda: f"{a} {a.error_form()}")
        check("nothing was stored", b.db("select count(*) from annotation") == [(0,)])
        check("the exact length is taken", send(str(n), event).status == 201)
        # RFC 3875 4.2 leaves what follows unread (200: known already); a body that is not what its length says is 400.
        a = send(str(n), event + b"garbage")
        check("more than CONTENT_LENGTH: the document alone, or refused", a.status in (200, 400), a)
        # The same section: a server need not close the input, so nothing may wait for its end.
        program, env = b.variables("POST", "/webhook", event, None)
        proc = subprocess.Popen([os.path.join(BUILD, "cgi", program)], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        proc.stdin.write(event)
        proc.stdin.flush()
        timer = threading.Timer(3 * SLOW, proc.kill)
        timer.start()
        out = proc.stdout.read()
        timer.cancel()
        proc.stdin.close()
        check("an input that stays open is not waited for", proc.wait() == 0 and b"ok" in out, (proc.returncode, out[:200]))


# ---- R11 routes -------------------------------------------------------------

def r11_no_file_from_a_path():
    with Server() as b:
        b.version(Project())
        for path in ("/prelabel.sqlite3", "/../prelabel.sqlite3", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/cgi/predict", "/lighttpd.conf", "/Makefile", "/./Makefile", "/health/../Makefile"):
            out = b.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            check(f"no file: {path}", out[9:12] in (b"404", b"400", b"403", b"405") and b"root:" not in out and b"SQLite format" not in out and b"PREFIX" not in out, out[:120])


# ---- R12 strict JSON --------------------------------------------------------

NOT_JSON = {
    "NaN": b"NaN", "Infinity": b"Infinity", "-Infinity": b"-Infinity", "nan": b"nan", "single quotes": b"'x'", "trailing comma in an array": b"[1,]", "trailing comma in an object": b'{"a":1,}',
    "leading comma": b"[,1]", "no colon": b'{"a" 1}', "unquoted key": b"{a:1}", "number key": b"{1:1}", "comment": b"1 /* x */", "line comment": b"1 // x", "leading zero": b"01", "minus alone": b"-", "plus": b"+1",
    "point without digits": b"1.", "point first": b".5", "exponent without digits": b"1e", "hexadecimal": b"0x1F", "underscore": b"1_000", "True": b"True", "raw newline in a string": b'"a\nb"', "raw tab in a string": b'"a\tb"',
    "raw NUL in a string": b'"a\0b"', "raw 0x1f in a string": b'"\x1f"', "unknown escape": b'"\\x41"', "escape of a quote style": b"\"\\'\"", "short \\u": b'"\\u12"', "\\u of no digits": b'"\\uzzzz"', "open string": b'"abc',
    "open array": b"[1", "open object": b'{"a":1', "two documents": b"1 2", "closing too much": b"1]", "word": b"nulll", "capital": b"NULL", "lone byte 0x80": b'"\x80"', "overlong": b'"\xc0\xaf"', "overlong of three": b'"\xe0\x80\xaf"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"', "beyond U+10FFFF": b'"\xf4\x90\x80\x80"', "cut sequence": b'"\xe2\x82"', "0xff": b'"\xff"', "Latin-1": b'"caf\xe9"', "vertical tab": b"\x0b1", "form feed": b"\x0c1", "no-break space": b"\xc2\xa01",
}


@both
def r12_json(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        head, tail = json.dumps(p.predict_body(["great food"]))[:-1].encode(), b"}"
        for name, bad in NOT_JSON.items():
            a = b.post("/predict", head + b', "more": ' + bad + tail)
            check(f"400: {name}", a.status == 400 and not a.error_form(), lambda: f"{a} {a.error_form()}")
        for name, doc in (("after NUL", head + tail + b"\0"), ("a second document after NUL", head + tail + b"\0{}"), ("empty", b""), ("spaces", b"   "), ("text after", head + tail + b" x"), ("UTF-16", (head + tail).decode().encode("utf-16"))):
            a = b.post("/predict", doc)
            check(f"400 (empty: or 411): {name}", (a.status == 400 or not doc and a.status == 411) and not a.error_form(), lambda: f"{a} {a.error_form()}")
        for name, good in (("every escape", b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041"'), ("a pair of surrogates", b'"\\ud83d\\ude00"'), ("numbers", b"[0,-0,1.5,-1.5e10,1E-5,1e+5,123456789012345678]"), ("white space", b" [ 1 ,\n\t2\r] "), ("DEL", b'"\x7f"'),
                           ("four bytes", '"🙂"'.encode()), ("U+2028", '"\u2028"'.encode()), ("an empty key", b'{"":0}'), ("depth 50", b"[" * 50 + b"]" * 50), ("lone surrogates", b'"\\ud800 \\udc00"'), ("NUL by escape", b'"\\u0000"')):
            a = b.post("/predict", head + b', "more": ' + good + tail)
            check(f"taken: {name}", not wrong_predictions(a, 1, p), a)
        for depth in (70, 1000, 200000):
            a = b.post("/predict", head + b', "more": ' + b"[" * depth + b"]" * depth + tail)
            check(f"depth {depth}: refused with 400 or 422", a.status in (400, 422) and not a.error_form(), a)
        a = b.post("/predict", head + b', "more": ' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + tail)
        check("objects 1000 deep: refused", a.status in (400, 422), a)
        # Keys are not cut at \u0000.
        doc = json.dumps(p.predict_body(["x"]))
        a = b.post("/predict", doc.replace('"tasks"', '"tasks\\u0000x"').encode())
        check('"tasks\\u0000x" is not "tasks": 422', a.status in (400, 422) and not a.error_form(), a)
        a = b.post("/predict", doc.replace('"data"', '"data\\u0000"').encode())
        check('"data\\u0000" is not "data": 422', a.status in (400, 422), a)
        event = json.dumps(p.labelled("great", "positive"))
        a = b.post("/webhook", event.replace('"ANNOTATION_CREATED"', '"ANNOTATION_CREATED\\u0000"').encode())
        check("an action with NUL is an unknown action, or refused", a.status in (200, 400, 422) and b.db("select count(*) from annotation") == [(0,)], a)
        # Ids by checked range: two annotations must not become one.
        for big in ("9223372036854775808", "99999999999999999999", "1e19", "1" + "0" * 400, "-9223372036854775809", "1.0000000000000001e300"):
            a = b.post("/webhook", re.sub(r'("annotation": \{"id": )\d+', lambda m: m.group(1) + big, event).encode())
            check(f"annotation id {big[:24]}: refused", a.status in (400, 422) and not a.error_form(), a)
        check("none of them was stored", b.db("select count(*) from annotation") == [(0,)], b.db("select count(*) from annotation"))
        a = b.post("/webhook", re.sub(r'("annotation": \{"id": )\d+', lambda m: m.group(1) + "9223372036854775807", event).encode())
        # 2^63-1 is in range for SQLite; a smaller limit must be told, not wrapped.
        check("annotation id 2^63-1: stored as it is, or refused", a.status == 422 or b.db("select count(*) from annotation where id = 9223372036854775807") == [(1,)], a)
        a = b.post("/webhook", event.replace('"label_config_hash": 8299478012606210484', '"label_config_hash": 829947801260621048412345').encode())
        check("a huge number that nobody reads is no fault", a.status in (200, 201), a)
        a = b.post("/predict", head + b', "params": {"x": 1e999}' + tail)
        check("a number beyond double: answered, and the answer is finite", a.status in (200, 400, 422) and a.json is not None, a)


# ---- R13 XML ----------------------------------------------------------------

def billion(n=10):
    ents = '<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, n))
    return f'<!DOCTYPE View [{ents}]><View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="&a{n - 1};"/></Choices></View>'


def bombs():
    inner = '<Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="a"/><Choice value="b"/></Choices>'
    secret = os.path.join(tempfile.gettempdir(), "prelabel-xml-secret")
    return {
        "billion laughs": billion(), "quadratic": f'<!DOCTYPE View [<!ENTITY q "{"x" * 100000}">]><View><Header value="{"&q;" * 20000}"/>{inner}</View>',
        "external entity": f'<!DOCTYPE View [<!ENTITY e SYSTEM "file:///etc/passwd">]><View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="x">&e;</Choice></Choices></View>',
        "external DTD": f'<!DOCTYPE View SYSTEM "file://{secret}"><View>{inner}</View>', "DTD over the network": f'<!DOCTYPE View SYSTEM "http://127.0.0.1:9/x.dtd"><View>{inner}</View>',
        "parameter entity": f'<!DOCTYPE View [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><View>{inner}</View>', "public": f'<!DOCTYPE View PUBLIC "x" "y"><View>{inner}</View>',
        "plain DOCTYPE": f"<!DOCTYPE View><View>{inner}</View>", "depth 200": "<View>" * 200 + inner + "</View>" * 200, "depth 100000": "<View>" * 100000 + inner + "</View>" * 100000,
        "above 1 MB": f'<View><Header value="{"x" * 1100000}"/>{inner}</View>', "20000 labels": choices_config([f"label {i}" for i in range(20000)]), "a label of 2 KB": choices_config(["x" * 2000, "y"]),
        "30000 attributes": "<View><Header " + " ".join(f'a{i}="1"' for i in range(90000)) + f"/>{inner}</View>",
    }


@both
def r13_xml(open_backend):
    with open_backend(**QUIET) as b:
        b.warm()
        p = Project()
        v = b.version(p)
        for name, config in bombs().items():
            for path, body in (("/setup", p.setup_body(schema=config)), ("/predict", p.predict_body(["x"], label_config=config))):
                a = b.timed(lambda path=path, body=body: b.post(path, body))
                check(f"{path} {name}: 422 (or 413) in the error form", a.status in (422, 413) and not a.error_form(), lambda: f"{a} {a.error_form()}")
                check(f"{path} {name}: within 2 s, nothing of a file", a.seconds < 2 * SLOW and b"root:" not in a.body, a.seconds)
                if open_backend is Cgi:
                    check(f"{path} {name}: under 150 MB", b.peak_kb < 150 * 1024 * SLOW, b.peak_kb)
        for name, config in (("XInclude is not followed", '<View xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd" parse="text"/><Text name="t" value="$text"/><Choices name="c" toName="t">'
                              '<Choice value="a word"/><Choice value="b word"/></Choices></View>'),
                             ("depth 90", "<View>" * 90 + '<Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="a word"/><Choice value="b word"/></Choices>' + "</View>" * 90),
                             ("a label of 1000 bytes", choices_config(["x" * 1000, "y"], name="c", to="t"))):
            a = b.post("/setup", Project(70).setup_body(schema=config))
            check(f"taken: {name}", a.status == 200 and b"root:" not in a.body, a)
        check("the store is as before", b.version(p) == v)


def r13_many_labels():
    """10,000 labels are within the limit; a cold start on them still answers in the time of R9, /setup in Label Studio's 3 s."""
    with Server(**QUIET) as b:
        b.warm()
        for n in (1000, 3000, 10000):
            p = Project(70 + n, [f"label{i}" for i in range(n)])
            for path, body, limit in (("/setup", p.setup_body(), 3), ("/predict", p.predict_body(["label3"]), 5)):
                try:
                    a = b.timed(lambda path=path, body=body: b.post(path, body, timeout=30))
                    check(f"{n} labels, {path}: 200 within {limit} s", a.status == 200 and a.seconds < limit * SLOW, f"{a.status} after {a.seconds:.1f} s")
                except OSError as e:
                    check(f"{n} labels, {path}: 200 within {limit} s", False, f"no answer in 30 s: {e}")
            if not b.get("/health").status == 200:
                break


# ---- R14 the web server's part ----------------------------------------------

def r14_idle_connections():
    with Server() as b:
        p, idle = Project(), []
        b.warm()
        try:
            for i in range(150):
                s = b.connect()
                if i % 3 == 1:
                    s.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Le")
                elif i % 3 == 2:
                    s.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
                idle.append(s)
            times = [b.timed(ask).seconds for ask in (lambda: b.get("/health"), lambda: b.predict(p, ["x"]), lambda: b.setup(p))]
            check("150 idle or half-spoken connections: health, predict, setup within 1 s", max(times) < 1 * SLOW, times)
        finally:
            for s in idle:
                s.close()


# ---- R16 basic auth ---------------------------------------------------------

USER, PASS = "labeler", "s3cret:with:colons"


def credentials():
    """(name, Authorization values, allowed statuses): 32 variants."""
    def b64(raw):
        return base64.b64encode(raw if isinstance(raw, bytes) else raw.encode()).decode()
    good = b64(f"{USER}:{PASS}")
    no = (401,)
    return [
        ("none", [], no), ("right", ["Basic " + good], (200,)), ("empty", [""], no), ("scheme alone", ["Basic"], no), ("scheme and space", ["Basic "], no), ("wrong user", ["Basic " + b64(f"labeles:{PASS}")], no),
        ("wrong password", ["Basic " + b64(f"{USER}:x")], no), ("first byte of the password wrong", ["Basic " + b64(f"{USER}:S3cret:with:colons")], no), ("last byte wrong", ["Basic " + b64(f"{USER}:s3cret:with:colonz")], no),
        ("password cut at a colon", ["Basic " + b64(f"{USER}:s3cret")], no), ("password a prefix", ["Basic " + b64(f"{USER}:s3cret:with:colon")], no), ("password longer", ["Basic " + b64(f"{USER}:{PASS}s")], no),
        ("no colon", ["Basic " + b64(USER + PASS)], no), ("no password", ["Basic " + b64(f"{USER}:")], no), ("no user", ["Basic " + b64(f":{PASS}")], no), ("colon alone", ["Basic " + b64(":")], no), ("user and password swapped", ["Basic " + b64(f"{PASS}:{USER}")], no),
        ("NUL after", ["Basic " + b64(f"{USER}:{PASS}\0")], no), ("NUL and more", ["Basic " + b64(f"{USER}:{PASS}\0more")], no), ("NUL in the user", ["Basic " + b64(f"{USER}\0:{PASS}")], no), ("case of the user", ["Basic " + b64(f"LABELER:{PASS}")], no),
        ("not base64", ["Basic ****"], no), ("base64 with junk in it", ["Basic " + good[:8] + "!" + good[8:]], no), ("base64 cut", ["Basic " + good[:-1]], no), ("base64 and more", ["Basic " + good + "AAAA"], no), ("plain text", [f"Basic {USER}:{PASS}"], no),
        ("Bearer", ["Bearer " + good], no), ("Token", ["Token " + good], no), ("without a scheme", [good], no), ("two in one line", ["Basic " + good + ", Basic " + good], no), ("two headers", ["Basic " + good, "Basic " + good], (401, 400)),
        ("very long", ["Basic " + b64("x" * 4000)], no),
    ]


def r16_basic_auth():
    variants = credentials()
    check("32 variants", len(variants) == 32, len(variants))
    with Server(BASIC_AUTH_USER=USER, BASIC_AUTH_PASS=PASS, **QUIET) as b:
        p, b.auth = Project(), None
        bodies = {"/predict": json.dumps(p.predict_body(["x"])).encode(), "/setup": json.dumps(p.setup_body()).encode(), "/health": None}
        for name, values, want in variants:
            for path, body in bodies.items():
                head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + "".join(f"Authorization: {v}\r\n" for v in values)
                if body:
                    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                out = b.raw(head.encode() + b"\r\n" + (body or b""))
                top, _, rest = out.partition(b"\r\n\r\n")
                a = Answer(int(top[9:12] or 0), [tuple(line.split(": ", 1)) for line in top.decode("latin-1").split("\r\n")[1:] if ": " in line], rest)
                fine = a.status in want and (a.status == 200 or not a.error_form()) and (a.status != 401 or re.search(r'^Basic realm="[^"]+"', a.headers.get("www-authenticate", "")))
                check(f"R16 {path}: {name}: {want}", fine, lambda: f"{a} {a.headers} {a.error_form()}")
        a = b.post("/predict", b"{not json", headers={"Authorization": "Basic eDp5"})
        check("checked before the body is parsed", a.status == 401, a)
        for method, path in (("GET", "/"), ("GET", "/versions"), ("GET", "/status"), ("GET", "/job_status"), ("GET", "/metrics"), ("POST", "/train"), ("POST", "/webhook")):
            a = b.request(method, path, b"{}" if method == "POST" else None)
            check(f"{method} {path} needs them", a.status == 401 and not a.error_form(), a)
        check("only GET /livez is open", b.get("/livez").status == 200)
        check("GET /livez tells no more than that it is up", b.get("/livez").json.get("status") == "UP")
        check("the password is in no log", PASS not in b.log_text() and base64.b64encode(f"{USER}:{PASS}".encode()).decode() not in b.log_text())
    with Cgi(BASIC_AUTH_USER=USER, BASIC_AUTH_PASS=PASS) as b:
        b.auth = None
        for name, values, want in variants:
            if len(values) == 2 or any("\0" in v for v in values):
                continue
            a = b.request("POST", "/predict", bodies["/predict"], {"Authorization": values[0]} if values else None)
            check(f"R16 as CGI: {name}: {want}", a.status in want and (a.status == 200 or not a.error_form()), a)


# ---- R18 tokens and other hosts ---------------------------------------------

def everything_written(b):
    raw = b.log_text().encode()
    for folder, _, files in os.walk(b.dir):
        for f in files:
            raw += content(os.path.join(folder, f))
    return raw


def r18_no_other_host():
    """Redirects, proxies, next links, the caller's hostname: no request to another host, the key leaks nowhere."""
    for kind in ("pat", "legacy"):
        p = Project()
        with Studio(p, kind=kind) as ls, Studio(p, kind=kind) as other:
            env = {n: other.url for n in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")}
            with Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **env, **QUIET) as b:
                b.post("/setup", p.setup_body(hostname=other.url, access_token="f00dcafe" * 5))
                feed(b, p.some(8))
                for status in (301, 302, 303, 307, 308):
                    for where in ("/export", "/api/projects", "/api/token/refresh"):
                        def away(h, path, status=status, where=where):
                            if where in path:
                                h.reply(status, b"", [("Location", other.url + h.path)])
                                return True
                            return False
                        if where == "/api/token/refresh" and (kind == "legacy" or status not in (302, 308)):
                            continue
                        ls.fault = away
                        b.cli("train", "--project", 1, timeout=90)
                        check(f"R18 {kind}: {status} of {where} to another host is not followed", not other.seen, other.seen[:2])
                ls.fault = None
                before = len(ls.seen)
                code, out, err = b.cli("train", "--project", 1, "--full")
                check(f"R18 {kind}: without the fault it trains, past the proxy of the environment", code == 0 and len(ls.seen) > before and not other.seen, (code, err, other.seen[:2]))
                b.hook(p.event("START_TRAINING"))
                time.sleep(0.5)
                for path in ("/status", "/versions", "/metrics"):
                    check(f"R18 {kind}: the key is not in {path}", ls.key.encode() not in b.get(path).body)
                written = everything_written(b)
                check(f"R18 {kind}: the key is in no log and not in the store", ls.key.encode() not in written)
                check(f"R18 {kind}: nor is an access token, nor the token of /setup", not any(t.encode() in written for t in ls.issued) and b"f00dcafe" not in written)
                lines = [c for c in b.tree().values() if ls.key in c]
                check(f"R18 {kind}: nor in a command line", not lines)
                check(f"R18 {kind}: only Label Studio's own host was called", not other.seen, other.seen[:3])


def r18_own_prefix_and_port():
    """The key goes to the configured origin under its prefix."""
    p = Project()
    with Studio(p) as ls:
        seen = []

        def prefixed(h, path):
            seen.append(path)
            if not path.startswith("/labels/studio/"):
                h.fail(404, "Not found.")
                return True
            h.path = h.path[len("/labels/studio"):]
            path = path[len("/labels/studio"):]
            ls.answer(h, path.rstrip("/"), {"exportType": ["JSON"]})
            return True
        ls.fault = prefixed
        with Server(LABEL_STUDIO_HOST=ls.url + "/labels/studio/", LABEL_STUDIO_API_KEY=PERSONAL, **QUIET) as b:
            v = b.version(p)
            p.some(8)
            w = train(b, p, v)
            check("a path prefix of Label Studio is kept", number(w) == 1 and seen and all(s.startswith("/labels/studio/api/") for s in seen), (w, seen[:4]))


# ---- R26 the programs may ask little of the kernel -------------------------------

def programs_of(b):
    """{name: (Seccomp, NoNewPrivs)} of the request programs, as the kernel says (proc(5))."""
    out = {}
    for pid, command in b.tree().items():
        name = os.path.basename(command.split(" ")[0])
        if name in ("predict", "setup", "webhook", "status"):
            told = dict(line.split(":", 1) for line in content(f"/proc/{pid}/status").decode().splitlines())
            if told and told["Name"].strip() != "start-trainers":       # it has ended; or it is there to start what is free
                out[name] = int(told.get("Seccomp", -1)), int(told.get("NoNewPrivs", -1))
    return out


def r26_sandbox():
    if os.environ.get("SANITIZE"):
        check("no sandbox in a sanitizer's build", True)
        return
    every = {"predict", "setup", "webhook", "status"}
    own = os.path.join(ROOT, "tests/exec/healthy.py")
    for title, extra, free in (("as it comes", {"SANDBOX": None}, set()), ("on", {"SANDBOX": "on"}, set()), ("off", {"SANDBOX": "off"}, every),
                               ("MODEL_COMMAND", {"MODEL_COMMAND": own}, {"predict"})):
        with Server(**QUIET, **extra) as b:
            p = Project()
            b.version(p), b.predict(p, ["x"]), b.hook(p.event("NOTHING"))
            got = programs_of(b)
            check(f"all four were looked at: sandbox {title}", set(got) == every, b.tree)
            check(f"sandbox {title}: the programs are confined, but {sorted(free) or 'none'}", all(seccomp == 0 if name in free else (seccomp, rights) == (2, 1) for name, (seccomp, rights) in got.items()), got)


# ---- R19, R27, R28 in passing -----------------------------------------------

def r19_log_lines():
    with Server(LOG_LEVEL="DEBUG", **QUIET) as b:
        p = Project()
        b.get("/x%0aFAKE%0dLINE%1b[31m")
        b.post("/webhook", {"action": "A\nFAKE second line\r\x1b[31m" + "y" * 5000})
        b.post("/predict", p.predict_body(["do not log this text"]))
        b.hook(p.labelled("nor this text", "positive"))
        b.stop()
        log = open(b.log, "rb").read()
        check("no line that a client made up, no control character", b"\nFAKE" not in log and b"\x1b" not in log and b"\r" not in log, log[-600:])
        check("lines of at most 1 KB", max(map(len, log.split(b"\n"))) <= 1024, max(map(len, log.split(b"\n"))))
        check("no text of a task", b"log this text" not in log and b"nor this text" not in log)
        b.start()


def r19_request_id_in_the_log():
    with Server(**QUIET) as b:
        rid = b.post("/predict", {}).json["request_id"]
        check("the request id of an error is in the log", wait_for(lambda: rid in b.log_text()), b.log_text()[-400:])


def r27_files():
    with Server(**QUIET) as b:
        b.version(Project())
        b.hook(Project().labelled("great", "positive"))
        modes = {}
        for f in os.listdir(b.dir):
            with contextlib.suppress(FileNotFoundError):        # the last program to close the store takes the WAL away
                if f.startswith("prelabel.sqlite3"):
                    modes[f] = oct(os.stat(os.path.join(b.dir, f)).st_mode & 0o777)
        check("store, WAL, shm 0600", len(modes) >= 2 and set(modes.values()) == {"0o600"}, modes)
        sockets = [line.split()[-1] for line in open("/proc/net/unix") if "/prelabel." in line]     # others' may be on the machine
        bad = [s for s in sockets if os.path.exists(s) and os.stat(s).st_mode & 0o077]
        check("sockets for their user alone", not bad, bad)


def r28_stop_during_training():
    with Server(**QUIET) as b:
        p, v = big_project(b)
        b.hook(p.event("START_TRAINING"))
        wait_for(lambda: trainers(b), 30, 0.005)
        watch = Stopwatch([*b.tree(), *b.serving()])
        left = b.stop()
        took = watch.seconds()
        check("SIGTERM during a training: all gone within 5 s", not left and took < 5 * SLOW, (left, took))
        b.start()
        w = b.wait_version(p, v)
        check("the job was handed back: it is finished after the next start", number(w or v) == 1, (w, str(b.get("/status?project=1"))))


def r28_stop_under_load():
    with Server(**QUIET) as b:
        p = Project()
        b.version(p)
        acknowledged, bad, stop = [], [], threading.Event()

        def send(base):
            q = Project(1, first=base)
            while not stop.is_set():
                e = q.labelled("great food", "positive")
                try:
                    a = b.hook(e)
                except ConnectionRefusedError:
                    return
                except OSError:
                    return      # a connection that was queued when the listener went away
                if a.status == 201:
                    acknowledged.append(e["annotation"]["id"])
                elif a.status != 503:
                    bad.append(str(a))
        threads = [threading.Thread(target=send, args=(10**6 * (k + 1),)) for k in range(3)]
        for t in threads:
            t.start()
        wait_for(lambda: len(acknowledged) > 10)
        time.sleep(0.4)
        wait_for(lambda: len(acknowledged) > 10)        # where a program starts with its first event
        left = b.stop()
        stop.set()
        for t in threads:
            t.join(20)
        check("stopped under load: nothing left, answers whole", not left and not bad and len(acknowledged) > 10, (left, bad[:2], len(acknowledged)))
        b.start()
        have = {int(e[0]) for e in b.examples()}
        check("nothing acknowledged is lost", not set(acknowledged) - have)
