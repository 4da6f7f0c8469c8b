"""lossy_history.py - the group "lossy": one random history through the real Label Studio, its webhooks through a proxy that loses them.

The proxy is tests/histories/lossy.py; the backend is registered under its address.  What the store
has to hold afterwards is what Label Studio's own export says.
"""
import datetime
import json
import os
import random
import signal
import sqlite3
import sys
import time

from lslib import choice, http, wait_for
from texts import review

sys.path[1:1] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", d) for d in ("histories", "http")]
from harness import processes_with  # noqa: E402
from lossy import Lossy  # noqa: E402

LABELS = ["positive", "negative", "neutral"]
ACTIONS = 200
SECONDS = 60            # of the actions: a slow machine does fewer
WEIGHTS = {"create": 40, "skip_new": 3, "update": 12, "skip": 3, "unskip": 3, "ground_truth": 3, "delete": 7, "delete_bulk": 2, "delete_task": 3,
           "to_draft": 4, "import_annotated": 4, "take_over": 2, "edit_task": 4, "labels": 3, "recreate": 3, "start_training": 3, "open": 3}


def config(labels):
    return ('<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single" showInLine="true">'
            + "".join(f'<Choice value="{v}"/>' for v in labels) + "</Choices></View>")


class World:
    """The project in Label Studio, by its API; what is there is asked, not remembered, where it matters."""

    def __init__(self, api, pid, mid, seed):
        self.api, self.pid, self.mid, self.rng, self.labels, self.n = api, pid, mid, random.Random(seed), list(LABELS), 0
        self.tasks, self.annotations = [], {}           # {annotation id: [task, skipped]}

    def text(self):
        self.n += 1
        return review(LABELS[self.n % 3], self.n)

    def result(self):
        return choice("label", "text", [self.rng.choice(LABELS)])

    def any(self):
        return self.rng.choice(sorted(self.annotations))

    def new_tasks(self, n):
        self.tasks += self.api.import_tasks(self.pid, [{"text": self.text()} for _ in range(n)])

    def create(self, **kw):
        tid = self.rng.choice(self.tasks)
        a = self.api.annotate(tid, self.result(), **kw)
        self.annotations[a["id"]] = [tid, bool(kw)]

    def skip_new(self):
        self.create(was_cancelled=True)

    def patch(self, i, **kw):
        self.api.ok("PATCH", f"/api/annotations/{i}/", kw)

    def update(self):
        self.patch(self.any(), result=self.result())

    def skip(self):
        i = self.any()
        self.patch(i, was_cancelled=True)
        self.annotations[i][1] = True

    def unskip(self):
        for i in [i for i, a in self.annotations.items() if a[1]][:1]:
            self.patch(i, was_cancelled=False)
            self.annotations[i][1] = False

    def ground_truth(self):
        self.patch(self.any(), ground_truth=self.rng.random() < 0.7)

    def delete(self):
        i = self.any()
        self.api.raw("DELETE", f"/api/annotations/{i}/")
        del self.annotations[i]

    def without(self, tids):
        self.annotations = {i: a for i, a in self.annotations.items() if a[0] not in tids}

    def delete_bulk(self):
        tids = self.rng.sample(self.tasks, min(4, len(self.tasks)))
        self.api.action(self.pid, "delete_tasks_annotations", tids)
        self.without(tids)

    def delete_task(self):
        tids = self.rng.sample(self.tasks, 1)
        if self.rng.random() < 0.5:
            self.api.raw("DELETE", f"/api/tasks/{tids[0]}/")
        else:
            self.api.action(self.pid, "delete_tasks", tids)
        self.tasks.remove(tids[0])
        self.without(tids)
        self.new_tasks(1)

    def to_draft(self):
        i = self.any()
        self.api.ok("POST", f"/api/annotations/{i}/convert-to-draft", {})
        del self.annotations[i]

    def import_annotated(self):
        self.api.ok("POST", f"/api/projects/{self.pid}/import", [{"data": {"text": self.text()}, "annotations": [{"result": self.result()}]}
                                                               for _ in range(3)])

    def take_over(self):
        tid = self.rng.choice(self.tasks)
        self.api.ok("POST", "/api/predictions/", {"task": tid, "result": self.result(), "score": 0.5, "model_version": "taken"})
        self.api.action(self.pid, "predictions_to_annotations", [tid])

    def edit_task(self):
        self.api.ok("PATCH", f"/api/tasks/{self.rng.choice(self.tasks)}/", {"data": {"text": self.text() + " caf\u00e9"}})

    def set_labels(self):
        self.labels = self.rng.sample(LABELS, self.rng.choice((2, 3)))
        self.api.patch_project(self.pid, label_config=config(self.labels))

    def recreate(self):
        i = self.any()
        tid = self.annotations[i][0]
        self.delete()
        self.annotations[self.api.annotate(tid, self.result())["id"]] = [tid, False]

    def start_training(self):
        self.api.raw("POST", f"/api/ml/{self.mid}/train", {})

    def open(self):
        self.api.raw("GET", f"/api/projects/{self.pid}/next")

    def delete_all(self):
        """Nothing is sent for it."""
        self.api.raw("DELETE", f"/api/projects/{self.pid}/tasks/")
        self.tasks, self.annotations = [], {}
        self.new_tasks(20)

    def step(self):
        name = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if name != "create" and not self.annotations:
            name = "create"
        getattr(self, "set_labels" if name == "labels" else name)()
        return name


def microseconds(iso):
    t = datetime.datetime.fromisoformat(iso.replace("Z", "+00:00"))
    return (t - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def rows(folder, sql, *args):
    db = sqlite3.connect(f"file:{folder}/prelabel.sqlite3?mode=ro", uri=True, timeout=10)
    try:
        return db.execute(sql, args).fetchall()
    finally:
        db.close()


def differences(export, folder):
    want = {a["id"]: (t["id"], a["result"], a["was_cancelled"], a["ground_truth"], microseconds(a["updated_at"]))
            for t in export for a in t["annotations"]}
    have = {i: (t, json.loads(r), bool(c), bool(g), us) for i, t, r, c, g, us in rows(
        folder, "SELECT id, task, result, was_cancelled, ground_truth, updated_us FROM annotation WHERE deleted = 0")}
    texts = {i: json.loads(d) for i, d in rows(folder, "SELECT id, data FROM task WHERE deleted = 0")}
    said = [f"missing {sorted(set(want) - set(have))[:5]}, too many {sorted(set(have) - set(want))[:5]}"] if set(want) != set(have) else []
    said += [f"{i}: {have[i]} for {want[i]}" for i in sorted(set(want) & set(have)) if have[i] != want[i]][:2]
    return said + [f"task {t['id']}: {texts.get(t['id'])} for {t['data']}" for t in export if texts.get(t["id"]) != t["data"]][:2]


def model(folder):
    v = rows(folder, "SELECT v.row, v.name, v.examples_hash FROM project p JOIN model_version v ON v.row = p.current_version")
    return (v[0][1].rsplit("-", 1)[-1], v[0][2], rows(folder, "SELECT name, hex(bytes) FROM model_part WHERE version = ? ORDER BY name", v[0][0])) if v else None


def idle(folder):
    return rows(folder, "SELECT count(*) FROM train_job WHERE state IN ('queued', 'running')") == [(0,)]


def g_lossy(R, Backend):
    """After a history with lost webhooks and killed processes: the store is the export, the model that of the export alone."""
    a, seed = R.api, int(os.environ.get("E2E_SEED") or random.SystemRandom().randrange(1 << 20))
    b = Backend(R, "lossy")
    fresh = None
    try:
        if not R.rep.check("a backend behind a proxy that loses webhooks starts", b.ready(), b.proc.tail()):
            return
        host, port = b.url.removeprefix("http://").split(":")
        with Lossy(seed, (host, int(port))) as proxy:
            pid = a.project("Lossy", config(LABELS))
            st, ml = a.connect(pid, proxy.url)
            if not R.rep.check("Label Studio connects it at the proxy's address", st == 201, (st, ml)):
                return
            w, kills, began = World(a, pid, ml["id"], seed), 0, time.time()
            w.new_tasks(40)
            done = 0
            while done < ACTIONS and time.time() - began < SECONDS:
                w.step()
                done += 1
                if done == 60:
                    w.delete_all()
                if done % 25 == 0:
                    kills += kill_one(b, w.rng)
                if not b.proc.alive():
                    b.restart()
            for _ in range(20):
                w.create()
            if not b.ready():
                b.restart()
            proxy.flush()
            print(f"#    seed {seed}: {done} actions in {time.time() - began:.0f} s, {proxy.counts}, {kills} processes killed", flush=True)
            R.rep.check("the history is long enough to tell something", done >= 60 and proxy.counts["dropped"] >= 10, (done, proxy.counts))
            last = rows(b.dir, "SELECT coalesce(max(row), 0) FROM train_job WHERE state = 'done'")[0][0]
            w.start_training()
            wait_for(lambda: idle(b.dir) and rows(b.dir, "SELECT coalesce(max(row), 0) FROM train_job WHERE state = 'done'")[0][0] > last, 60, 0.2)
            export = a.ok("GET", f"/api/projects/{pid}/export?exportType=JSON")
            why = differences(export, b.dir)
            R.rep.check("after the next training the store is Label Studio's export, annotation by annotation", not why and export, (why, seed, b.proc.tail(5)))
            # A store that never heard of a webhook: connected, it reads and trains by itself.
            fresh = Backend(R, "lossy-fresh")
            made = datetime.datetime.fromisoformat(a.ok("GET", f"/api/projects/{pid}/")["created_at"].replace("Z", "+00:00"))
            ready = fresh.ready()
            http("POST", fresh.url + "/setup", {"project": f"{pid}.{int(made.timestamp())}", "schema": config(w.labels), "hostname": R.ls.url,
                                                "access_token": "", "extra_params": None})
            got = ready and wait_for(lambda: model(fresh.dir), 30, 0.2)
            R.rep.check("a backend that is connected only now trains on what is there, without a webhook", got, fresh.proc.tail(5))
            R.rep.check("and its model is the same, hash and bytes", got and model(b.dir) == got,
                        [(m or [])[:2] for m in (model(b.dir), got)])
    finally:
        b.stop()
        if fresh:
            fresh.stop()


def kill_one(b, rng):
    """-9 of one process of our own start: found by its store."""
    tree = sorted(p for p, c in processes_with("MODEL_DIR=" + b.dir).items() if "prelabel" in c or "cgi/" in c or "lighttpd" in c)
    if tree:
        os.kill(rng.choice(tree), signal.SIGKILL)
        time.sleep(0.2)
    return len(tree) > 0
