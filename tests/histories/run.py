#!/usr/bin/env python3
"""
run.py - no label is lost: random histories through a proxy that loses webhooks.

    tests/histories/run.py [N] [--seed S] [--actions A] [--large TASKS]

N (3) histories of A (200) actions each: world.py says what Label Studio's state is after each
and what it sends, lossy.py drops, delays and repeats that, and prelabel's processes are killed
(-9) on the way.  After the next training (by START_TRAINING, by `prelabel train --full`, after `prelabel
sync`, after a start) the store holds what the export holds, annotation by annotation, and
the model is, byte by byte, the one of a fresh store that saw the export alone.  Before that, a
training has kept what it read of annotations (lib/examples.h), and then tasks and annotations
are edited, or the token pattern becomes another.  History k of
seed S is that of seed S + k: a failure names it, and `run.py 1 --seed THAT` repeats its
actions and the fate of its webhooks (not the instants of its kills).

Last, an export of TASKS (100000) annotated tasks, read into a bounded memory; --large 0: not.
KEEP=1 keeps the stores of what failed.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import datetime
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http")]
sys.dont_write_bytecode = True
import harness  # noqa: E402
from harness import Cgi, Server, Studio, check, digest, prelabel, wait_for  # noqa: E402
from lossy import Lossy  # noqa: E402
from world import World  # noqa: E402

AT_ONCE = 6             # histories: they mostly wait
KILLS = 6               # of one history
TRAIN_S = 90            # a lease that nobody holds any more ends after 30 s
PEAK_MB = 48            # of `prelabel sync`, however large the export
print_lock = threading.Lock()


def microseconds(iso):
    t = datetime.datetime.fromisoformat(iso.replace("Z", "+00:00"))
    return (t - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


class Locked(Studio):
    """The export is of one moment."""

    def __init__(self, *a, **kw):
        self.lock = threading.RLock()
        super().__init__(*a, **kw)

    def answer(self, *a):
        with self.lock:
            super().answer(*a)


# ---- what the store holds -------------------------------------------------------

def stored(b):
    """As World.rows() and World.texts()."""
    rows = {i: (t, json.loads(r), bool(c), bool(g), by, us) for i, t, r, c, g, by, us in b.db(
        "SELECT id, task, result, was_cancelled, ground_truth, completed_by, updated_us FROM annotation WHERE deleted = 0")}
    texts = {i: json.loads(d) for i, d in b.db("SELECT id, data FROM task WHERE deleted = 0 AND id IN (SELECT task FROM annotation WHERE deleted = 0)")}
    return rows, texts


def differences(world, b):
    """'' or what differs between Label Studio and the store."""
    want = {i: r[:5] + (microseconds(r[5]),) for i, r in world.rows().items()}
    have, texts = stored(b)
    said = [f"missing {sorted(set(want) - set(have))[:5]}"] if set(want) - set(have) else []
    said += [f"too many {sorted(set(have) - set(want))[:5]}"] if set(have) - set(want) else []
    said += [f"annotation {i}: {have[i]} for {want[i]}" for i in sorted(set(want) & set(have)) if want[i] != have[i]][:3]
    said += [f"task {t}: {texts.get(t)!r} for {d!r}" for t, d in world.texts().items() if texts.get(t) != d][:3]
    return "; ".join(said)


def model(b):
    """(hash of the version in force, hash of its examples, its parts), or (None, why there is none)."""
    v = b.db("SELECT v.row, v.name, v.examples_hash FROM project p JOIN model_version v ON v.row = p.current_version")
    return (digest(v[0][1]), v[0][2], b.db("SELECT name, hex(bytes) FROM model_part WHERE version = ? ORDER BY name", v[0][0])) if v else None


def idle(b):
    return b.db("SELECT count(*) FROM train_job WHERE state IN ('queued', 'running')") == [(0,)]


# ---- one history ---------------------------------------------------------------

class History:
    def __init__(self, seed, actions):
        self.seed, self.n, self.rng = seed, actions, random.Random(seed * 7 + 1)
        self.world = World(seed)
        self.studio = Locked(self.world, kind=self.rng.choice(("pat", "legacy")))
        self.proxy = Lossy(seed * 7 + 2)
        self.kills, self.sent = collections.Counter(), []
        self.title = f"history {seed}"

    def run(self):
        env = dict(LABEL_STUDIO_HOST=self.studio.url, LABEL_STUDIO_API_KEY=self.studio.key,
                   START_TRAINING_EACH_N_UPDATES=self.rng.choice((5, 10, 25)), WORKERS=1,
                   KEEP_HISTORY=1000000)
        with self.studio, self.proxy, Server(**env) as self.b:
            self.proxy.to = self.b.host, self.b.port
            self.live()
            self.settle()
            self.outdate(env)
            self.settle()
            self.end(env)

    def ls(self, method, path, body):
        """A request of Label Studio's machine learning side, through the proxy; what it answers is of no interest here."""
        with contextlib.suppress(OSError):
            self.proxy.forward(method, path, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def act(self, name=None):
        with self.studio.lock:
            _, events = self.world.step(name)
        for e in events:
            if e["action"] == "START_TRAINING":
                self.ls("POST", "/webhook", e)
            else:
                self.sent.append(e)
                self.proxy.webhook("/webhook", json.dumps(e).encode(), {"Content-Type": "application/json"})

    def live(self):
        """Some tasks are annotated before the backend is connected; then everything happens."""
        for _ in range(6):
            self.world.step("import_annotated")
        self.ls("POST", "/setup", self.world.setup_body())
        at = set(self.rng.sample(range(self.n), KILLS))
        for i in range(self.n):
            self.act()
            if self.rng.random() < 0.1:         # a task is opened
                self.ls("POST", "/setup", self.world.setup_body())
                self.ls("POST", "/predict", self.world.predict_body(["a text"]))
            if i in at:
                self.kill()
            if self.b.proc.poll() is not None:
                self.again()
        if self.world.own_config:
            self.world.step("other_config")
        for _ in range(20):                     # enough to train on, whatever was deleted before
            self.world.step("create")

    def kill(self):
        """-9 of one process of our own start; a trainer, where one is at work, half of the time."""
        tree = self.b.tree()
        trainers = [p for p, c in tree.items() if " train " in c]
        pid = self.rng.choice(trainers if trainers and self.rng.random() < 0.5 else sorted(tree) or [0])
        if pid:
            self.kills["trainer" if pid in trainers else "other"] += 1
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def again(self):
        """The service manager's part."""
        self.b.kill_tree()
        self.b.proc.wait()
        self.b.start()
        self.kills["start"] += 1

    def settle(self):
        """What was held back comes at last, and what was killed is back."""
        time.sleep(0.1)
        if self.b.proc.poll() is not None:
            self.again()
        if not wait_for(self.b.alive, 10):
            self.again()
        self.proxy.flush()

    def outdate(self, env):
        """What a training kept of the annotations is not what the next one has to read."""
        b = self.b
        self.act("start_training")
        wait_for(lambda: idle(b) and b.db("SELECT 1 FROM project WHERE words_form NOT LIKE '-%'"), TRAIN_S)
        for _ in range(8):
            self.act("edit_task")
            self.act("update")
        if self.seed % 2:                       # else all would be read anew
            return
        b.stop()
        env["TOKEN_PATTERN"] = b.env["TOKEN_PATTERN"] = "word1"
        b.start()

    def end(self, env):
        way, b, w = self.seed % 4, self.b, self.world
        name = self.title + ": " + ("START_TRAINING", "prelabel train --full", "prelabel sync, then train", "a start, then prelabel train")[way]
        ok, said = True, ""
        if way == 0:
            self.ls("POST", "/webhook", w.event("START_TRAINING"))
        elif way == 2:
            code, out, err = b.cli("sync", timeout=TRAIN_S)
            ok, said = code == 0, (code, out, err)
        elif way == 3:
            b.stop()
            then = int(time.time()) + 1         # it reads a second after the start
            b.start()
            ok = bool(wait_for(lambda: idle(b) and b.db("SELECT 1 FROM project WHERE fetched_s >= ?", then), TRAIN_S))
            said = b.db("SELECT * FROM train_job ORDER BY row DESC LIMIT 4")
        if way > 1:
            why = differences(w, b)
            check(name + ": the store is in line before it trains", ok and not why, (why, said))
        if way > 0:
            code, out, err = b.cli("train", *(["--full"] if way == 1 else []), timeout=TRAIN_S)
            ok, said = code == 0, (code, out, err)
        wait_for(lambda: idle(b), TRAIN_S)
        why = differences(w, b)
        check(name + ": annotation by annotation, the store is the export", ok and not why, lambda: (why, said, self.told()))
        self.compare(name, env)
        self.replay(name)
        events, counter = b.db("SELECT coalesce(sum(changed), 0) FROM event")[0][0], b.db("SELECT updates FROM project")[0][0]
        check(name + ": the counter is the sum of the events", events == counter, (events, counter))
        db = b.db("PRAGMA integrity_check")
        check(name + ": the file is whole", db == [("ok",)], db)

    def compare(self, name, env):
        """The model of a store that saw nothing but the export."""
        key = env.pop("LABEL_STUDIO_API_KEY")
        with Cgi(**env) as fresh:
            fresh.setup(self.world)
            code, out, err = prelabel("train", env=dict(fresh.env, LABEL_STUDIO_API_KEY=key), timeout=TRAIN_S)
            have, want = model(self.b), model(fresh)
            check(name + ": the model is that of the export alone, hash and bytes", code == 0 and have and have == want,
                  lambda: (code, err, have and have[:2], want and want[:2], self.told()))

    def replay(self, name):
        """Every webhook ever sent once more: of what is there or known as deleted, none changes or counts anything."""
        w, b = self.world, self.b
        before = b.db("SELECT updates FROM project"), stored(b)
        known = {i for i, in b.db("SELECT id FROM annotation")}
        wrong = []
        for e in self.rng.sample(self.sent, len(self.sent)):
            about = e.get("annotations") or e.get("annotation") or []
            ids = {a["id"] for a in (about if isinstance(about, list) else [about])}
            deleting = e["action"] == "ANNOTATIONS_DELETED"
            if not ids or not ids <= known or (deleting and ids & set(w.annotations)):
                continue                        # not told by its payload: the next reading puts it right
            if b.hook(e).status != 200:
                wrong.append((e["action"], sorted(ids)))
        check(name + ": repeated webhooks change and count nothing", not wrong and (b.db("SELECT updates FROM project"), stored(b)) == before, wrong[:4])

    def told(self):
        return f"seed {self.seed}, last actions {[a for a, _ in self.world.log[-12:]]}, {self.proxy.counts}, kills {dict(self.kills)}"


def one_history(seed, actions):
    report = harness.Report("histories")
    harness.use_report(report)
    h, began = History(seed, actions), time.time()
    try:
        h.run()
    except Exception as e:      # one that breaks off is a failed check
        report.check(h.title, False, f"{type(e).__name__}: {e}; {h.told()}")
    with print_lock:
        print("\n".join(report.lines))
        c = h.proxy.counts
        print(f"#    {len(h.world.log)} actions, {c['webhooks']} webhooks: {c['dropped']} dropped, {c['delayed']} delayed, {c['repeated']} repeated, "
              f"{c['lost']} found nobody; kills {dict(h.kills)}; {time.time() - began:.1f} s", flush=True)
    return report


# ---- a large export ---------------------------------------------------------------

def write_export(world, path, n):
    """n tasks with one annotation each, as Label Studio's export has them; written and served by pieces."""
    tid = world.task("XTEXT", 10**9)
    world.annotation(10**9, tid, "positive")
    piece = json.dumps(world.export()[0]).replace(str(10**9), "XID")
    with open(path, "w") as f:
        for i in range(1, n + 1):
            f.write(("[" if i == 1 else ", ") + piece.replace("XTEXT", f"the text of number {i} " + "and some more words " * (i % 9)).replace("XID", str(i)))
        f.write("]")
    return os.path.getsize(path)


def run_measured(env, *args):
    """(exit status, stdout, seconds, CPU seconds, peak memory in MB) of prelabel ARGS."""
    began = time.time()
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen([os.path.join(harness.BUILD, "prelabel"), *args], cwd=harness.ROOT, env=env, stdout=out, stderr=out)
        _, status, use = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return p.returncode, out.read().decode(), time.time() - began, use.ru_utime + use.ru_stime, use.ru_maxrss / 1024


def large(n):
    report = harness.Report("large export")
    harness.use_report(report)
    folder = tempfile.mkdtemp(prefix="prelabel-large-")
    world = World(1)
    try:
        path = os.path.join(folder, "export.json")
        size = write_export(world, path, n)

        def serve(h, url):
            if not url.endswith("/export"):
                return False
            h.send_response(200)
            h.send_header("Content-Type", "application/json")
            h.send_header("Content-Length", str(size))
            h.end_headers()
            with open(path, "rb") as f:
                h.connection.sendfile(f)
            return True
        with Studio(world) as ls, Cgi(START_TRAINING_EACH_N_UPDATES=10**6, LABEL_STUDIO_HOST=ls.url) as b:
            ls.fault = serve
            b.setup(world)
            env = dict(b.env, LABEL_STUDIO_API_KEY=ls.key)
            code, out, seconds, cpu, peak = run_measured(env, "sync", "--json")
            got = harness.strict_json(out) if code == 0 else {}
            check(f"{n} annotated tasks come in by one reading", got.get("tasks") == got.get("changed") == n and
                  b.db("SELECT count(*) FROM annotation WHERE deleted = 0") == [(n,)], out)
            limit = PEAK_MB * (8 if os.environ.get("SANITIZE") else 1)
            check(f"in less than {limit} MB", peak < limit, f"{peak:.0f} MB")
            print(f"#    {n} tasks, {size / 1e6:.0f} MB: {seconds:.1f} s ({cpu:.1f} s of CPU), peak memory {peak:.0f} MB", flush=True)
            code, out, seconds, cpu, peak = run_measured(env, "sync", "--json")
            got = harness.strict_json(out) if code == 0 else {}
            check("read once more, nothing changes", got.get("tasks") == n and got.get("changed") == 0, out)
            check(f"in less than {limit} MB as well", peak < limit, f"{peak:.0f} MB")
            print(f"#    once more: {seconds:.1f} s ({cpu:.1f} s of CPU), peak memory {peak:.0f} MB", flush=True)
    except Exception as e:
        report.check("ran to its end", False, f"{type(e).__name__}: {e}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(report.lines), flush=True)
    return report


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("histories", type=int, nargs="?", default=3)
    ap.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 24))
    ap.add_argument("--actions", type=int, default=200)
    ap.add_argument("--large", type=int, default=100000)
    a = ap.parse_args()
    began = time.time()
    print(f"# seed {a.seed}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        reports = list(pool.map(lambda k: one_history(a.seed + k, a.actions), range(a.histories)))
    print(f"# {a.histories} histories in {time.time() - began:.0f} s", flush=True)
    if a.large:
        reports.append(large(a.large))
    failed = sum(r.failed for r in reports)
    print(f"{sum(r.passed for r in reports)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
