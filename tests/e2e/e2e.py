#!/usr/bin/env python3
"""End-to-end checks of an ML backend against a real Label Studio.

Started by e2e.sh (see its header for the environment). Groups of checks can be chosen:
    E2E_ONLY=connect,train   E2E_SKIP=interactive,nopayload
"""
import datetime
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
import types

import lslib
from doctor import g_doctor
from lslib import LabelStudio, Process, Report, basic, choice, free_port, http, wait_for, wait_port
from texts import mail, review

LABELS = ["positive", "negative"]
CONFIG = ('<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single" showInLine="true">'
          '<Choice value="positive"/><Choice value="negative"/></Choices></View>')
CONFIG3 = CONFIG.replace("</Choices>", '<Choice value="neutral"/></Choices>')
MAIL = ('<View><Header value="Mail"/><Text name="body" value="$message"/><Choices name="kind" toName="body" choice="single">'
        '<Choice value="spam"/><Choice value="ham"/></Choices></View>')
NER = ('<View><Labels name="ner" toName="text"><Label value="Person"/><Label value="Place"/></Labels>'
       '<Text name="text" value="$text"/></View>')


class Backend:
    """The backend under test: started here from BACKEND_CMD, or already running at BACKEND_URL."""

    def __init__(self, run, name, auth=None, key=True):
        self.auth, self.proc, self.name = auth, None, name
        self.dir = os.path.join(run.dir, name)
        os.makedirs(self.dir, exist_ok=True)
        if run.cmd:
            port = free_port()
            self.url = f"http://127.0.0.1:{port}"
            env = dict(os.environ, PORT=str(port), MODEL_DIR=self.dir, LABEL_STUDIO_URL=run.ls.url, LABEL_STUDIO_HOST=run.ls.url,
                       START_TRAINING_EACH_N_UPDATES=str(run.n),
                       NO_PROXY="127.0.0.1,localhost", no_proxy="127.0.0.1,localhost")
            for k in ("BASIC_AUTH_USER", "BASIC_AUTH_PASS", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN",
                      "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):  # of a `make e2e` around this run
                env.pop(k, None)
            if key:
                env["LABEL_STUDIO_API_KEY"] = run.key
            if auth:
                env.update(BASIC_AUTH_USER=auth[0], BASIC_AUTH_PASS=auth[1])
            self.launch = lambda: Process(run.cmd, env, os.path.join(self.dir, "backend.log"), shell=True)
            self.proc = self.launch()
        else:
            self.url = run.url if name == "main" else os.environ["BACKEND_AUTH_URL"].rstrip("/")

    def ready(self):
        return wait_port(self.url, int(os.environ.get("E2E_BACKEND_START", "300")), basic(*self.auth) if self.auth else None)

    def connect(self, api, pid, **kw):
        u, p = self.auth or (None, None)
        return api.connect(pid, self.url, u, p, **kw)

    def predict(self, api, pid, config, texts):
        """POST /predict as Label Studio sends it: one (label, score, version) a text."""
        made = datetime.datetime.fromisoformat(api.ok("GET", f"/api/projects/{pid}/")["created_at"].replace("Z", "+00:00"))
        st, out = http("POST", self.url + "/predict", {
            "tasks": [{"id": i + 1, "data": {"text": t}, "project": pid, "annotations": [], "predictions": []} for i, t in enumerate(texts)],
            "project": f"{pid}.{int(made.timestamp())}", "label_config": config,
            "params": {"login": None, "password": None, "context": None}},
            {"Authorization": basic(*self.auth)} if self.auth else {})
        if st != 200 or len(out["results"]) != len(texts):
            raise RuntimeError(f"predict: {st} {str(out)[:300]}")
        return [(r["result"][0]["value"]["choices"][0], r["score"], r["model_version"]) for r in out["results"]]

    def command_line(self, pid, texts):
        """The same texts through `prelabel predict` on this backend's store: one parsed line a text."""
        tool = os.environ.get("E2E_PRELABEL") or os.environ.get("BUILD", "build") + "/prelabel"
        env = {k: v for k, v in os.environ.items() if not k.startswith("LABEL_STUDIO_")}
        run = subprocess.run(f"{tool} predict --project {pid} -", shell=True, env=dict(env, MODEL_DIR=self.dir),
                             input="".join(t + "\n" for t in texts), capture_output=True, text=True, timeout=60)
        if run.returncode:
            raise RuntimeError(f"prelabel predict: exit {run.returncode}: {run.stderr[-300:]}")
        out = [json.loads(line) for line in run.stdout.splitlines()]
        if [o["text"] for o in out] != texts:
            raise RuntimeError(f"prelabel predict: {len(out)} lines for {len(texts)} texts, or others: {str(out)[:300]}")
        return out

    def restart(self):
        self.proc.stop()
        self.proc = self.launch()
        return self.ready()

    def stop(self):
        if self.proc:
            self.proc.stop()


class Run:
    def __init__(self):
        self.cmd = os.environ.get("BACKEND_CMD")
        self.url = (os.environ.get("BACKEND_URL") or (sys.argv[1] if len(sys.argv) > 1 else "")).rstrip("/")
        if not self.cmd and not self.url:
            sys.exit("set BACKEND_URL (a running backend) or BACKEND_CMD (a command that starts one on $PORT)")
        self.n = int(os.environ.get("E2E_N", "10"))  # the backend's START_TRAINING_EACH_N_UPDATES
        self.train_timeout = float(os.environ.get("E2E_TRAIN_TIMEOUT", "60"))
        self.only = set(filter(None, os.environ.get("E2E_ONLY", "").split(",")))
        self.skip = set(filter(None, os.environ.get("E2E_SKIP", "").split(",")))
        self.dir = tempfile.mkdtemp(prefix="e2e-")
        self.rep = Report()
        self.dbfile = None
        self.key_kind = os.environ.get("E2E_KEY", "pat")  # pat | legacy
        port = os.environ.get("E2E_LS_PORT")
        self.ls = LabelStudio(os.environ["LABEL_STUDIO_EXE"], port=int(port) if port else None,
                              template_dir=os.environ.get("E2E_CACHE"), legacy=True)

    def start(self):
        t = time.time()
        self.ls.start()
        self.dbfile = os.path.join(self.ls.dir, "data", "label_studio.sqlite3")
        self.api = self.ls.api()
        self.key = self.ls.personal_access_token() if self.key_kind == "pat" else lslib.LEGACY_TOKEN
        if self.key_kind == "pat":  # as in a fresh installation: only personal access tokens are accepted
            pat = lslib.Api(self.ls.url, self.key)
            pat.ok("POST", "/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False})
            self.api = pat
        print(f"# Label Studio {lslib.LS_VERSION} up in {time.time() - t:.0f} s, token kind: {self.key_kind}", flush=True)
        self.main = Backend(self, "main", tuple(os.environ["BACKEND_BASIC_AUTH"].split(":", 1)) if os.environ.get("BACKEND_BASIC_AUTH") else None)
        return self.rep.check("backend answers at its address", self.main.ready(), self.main.proc.tail() if self.main.proc else self.main.url)

    def wanted(self, group):
        return group not in self.skip and (not self.only or group in self.only)

    # ---- helpers --------------------------------------------------------------
    def stored_state(self, mid):
        """Backend state as stored, without the refresh that an API read would cause."""
        db = sqlite3.connect(f"file:{self.dbfile}?mode=ro", uri=True)
        try:
            return db.execute("select state, error_message from ml_mlbackend where id=?", (mid,)).fetchone()
        finally:
            db.close()

    def version(self, mid):
        return self.api.backend(mid)["model_version"]

    def settled_version(self, mid, old, timeout=None):
        """Wait for a version other than old, then until it has stood still for two seconds; None if none came."""
        new = wait_for(lambda: (lambda v: v if v != old else None)(self.version(mid)), timeout or self.train_timeout)
        if new is None:
            return None
        since = time.time()
        end = since + self.train_timeout
        while time.time() < end and time.time() - since < 2:
            time.sleep(0.5)
            v = self.version(mid)
            if v != new:
                new, since = v, time.time()
        return new

    def new_project(self, title, config, datas, backend=None, **kw):
        pid = self.api.project(title, config)
        st, ml = (backend or self.main).connect(self.api, pid, **kw)
        if st != 201:
            raise RuntimeError(f"connect: {st} {str(ml)[:300]}")
        return pid, ml["id"], self.api.import_tasks(pid, datas)

    def predicted(self, pid, version=None):
        """{task id: (labels, score, version)} of the newest prediction of each task, after a batch retrieval."""
        self.api.retrieve(pid)
        out = {}
        for p in sorted(self.api.predictions(pid), key=lambda p: p["id"]):
            if version is None or p["model_version"] == version:
                res = [r for r in p["result"] if r.get("type") == "choices"]
                out[p["task"]] = (tuple(res[0]["value"]["choices"]) if res else (), p["score"], p["model_version"])
        return out

    def accuracy(self, pid, truth, version=None):
        got = self.predicted(pid, version)
        right = sum(got.get(t, ((),))[0] == (lab,) for t, lab in truth.items())
        return right, len(truth), {t: got.get(t, ((),))[0] for t in list(truth)[:4]}

    def train_now(self, mid, old=None):
        """START_TRAINING through Label Studio, then the settled new version."""
        old = self.version(mid) if old is None else old
        st, out = self.api.raw("POST", f"/api/ml/{mid}/train", {})
        if st != 200:
            raise RuntimeError(f"train: {st} {str(out)[:200]}")
        return self.settled_version(mid, old)


def valid(p, from_name, to_name, labels):
    s = p["score"]
    if not (isinstance(s, (int, float)) and 0 <= s <= 1):
        return False
    if not p["result"] or not isinstance(p["model_version"], str) or not p["model_version"]:
        return False
    return all(r["from_name"] == from_name and r["to_name"] == to_name and r["type"] == "choices"
               and r["value"]["choices"] and set(r["value"]["choices"]) <= set(labels) for r in p["result"])


# ---- the groups -----------------------------------------------------------------
def prelabel(R, backend, *args, **more):
    """The command line with the settings of a backend that was started here."""
    tool = (os.environ.get("E2E_PRELABEL") or os.environ.get("BUILD", "build") + "/prelabel").split()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "BASIC_AUTH_"))}
    env.update(PORT=backend.url.rsplit(":", 1)[1], MODEL_DIR=backend.dir, LABEL_STUDIO_HOST=R.ls.url, LABEL_STUDIO_API_KEY=R.key,
               START_TRAINING_EACH_N_UPDATES=str(R.n))
    if backend.auth:
        env.update(BASIC_AUTH_USER=backend.auth[0], BASIC_AUTH_PASS=backend.auth[1])
    run = subprocess.run(tool + list(args), env=dict(env, **more), capture_output=True, text=True, timeout=120)
    return types.SimpleNamespace(code=run.returncode, out=run.stdout, err=run.stderr, all=(run.returncode, run.stdout, run.stderr),
                                 did={line.split()[0] for line in run.stdout.splitlines()})


def g_command(R):
    """`prelabel connect`: from an empty Label Studio to the first pre-annotation, and back."""
    a = R.api
    if not R.cmd:
        return
    R.rep.check("Label Studio is empty", a.ok("GET", "/api/projects/")["count"] == 0)
    data = os.path.join(R.dir, "reviews.jsonl")
    with open(data, "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"text": review(LABELS[i % 2], i)}) + "\n" for i in range(30))
    args = ["connect", "--title", "By command", "--label", "positive", "--label", "negative", "--data", data, "--url", R.main.url]
    dry = prelabel(R, R.main, *args, "--dry-run")
    R.rep.check("connect --dry-run: says what it would do", dry.code == 0 and dry.out.count("would be made") >= 4, dry.all)
    R.rep.check("connect --dry-run: Label Studio is still empty", a.ok("GET", "/api/projects/")["count"] == 0)
    t = time.time()
    run = prelabel(R, R.main, *args)
    took = time.time() - t
    found = a.ok("GET", "/api/projects/")["results"]
    if not R.rep.check("one connect: a project", run.code == 0 and len(found) == 1 and found[0]["title"] == "By command", run.all):
        return
    pid = found[0]["id"]
    ml, hooks = a.ok("GET", f"/api/ml/?project={pid}"), a.webhooks(pid)
    R.rep.check("one connect: one backend, Connected, at our address", [(b["url"], b["readable_state"]) for b in ml] == [(R.main.url, "Connected")], ml)
    R.rep.check("one connect: one webhook, active, with payload, for all actions", len(hooks) == 1 and hooks[0]["url"] == R.main.url + "/webhook"
                and hooks[0]["is_active"] and hooks[0]["send_payload"] and hooks[0]["send_for_all_actions"], hooks)
    tasks = a.tasks(pid)
    R.rep.check("one connect: 30 tasks", len(tasks) == 30, len(tasks))
    first = a.task(tasks[0]["id"])["predictions"]
    R.rep.check("opening a task shows the first pre-annotation", len(first) == 1 and valid(first[0], "label", "text", LABELS), first)
    print(f"#    from an empty Label Studio to the first pre-annotation: one command, {took:.1f} s; with the task opened {time.time() - t:.1f} s")
    again = prelabel(R, R.main, *args)
    R.rep.check("connect again: all is right, nothing is made", again.code == 0 and again.did == {"ok", "next"} and len(a.tasks(pid)) == 30
                and len(a.webhooks(pid)) == 1 and len(a.ok("GET", f"/api/ml/?project={pid}")) == 1, again.all)
    a.ok("PATCH", f"/api/webhooks/{hooks[0]['id']}/", {"is_active": False, "send_payload": False, "send_for_all_actions": False,
                                                       "actions": ["ANNOTATION_CREATED"], "headers": {"X-Mine": "1"}})
    a.ok("POST", "/api/webhooks/", {"project": pid, "url": R.main.url + "/webhook", "is_active": False})
    a.connect(pid, R.main.url, *(R.main.auth or (None, None)))
    a.patch_project(pid, show_collab_predictions=False)
    for i in range(R.n + 2):            # which nobody hears
        a.annotate(tasks[i]["id"], choice("label", "text", [LABELS[i % 2]]))
    v0 = R.version(ml[0]["id"])
    fixed = prelabel(R, R.main, *args)
    hooks = a.webhooks(pid)
    R.rep.check("connect: what was changed by hand is right again, twins are gone", fixed.code == 0 and len(hooks) == 1 and hooks[0]["is_active"]
                and hooks[0]["send_payload"] and hooks[0]["send_for_all_actions"] and hooks[0]["headers"].get("X-Mine") == "1"
                and len(a.ok("GET", f"/api/ml/?project={pid}")) == 1 and a.ok("GET", f"/api/projects/{pid}/")["show_collab_predictions"],
                (fixed.all, hooks))
    R.rep.check("connect: the project asks our backend again", a.ok("GET", f"/api/projects/{pid}/")["model_version"] == "prelabel")
    R.rep.check("connect: annotations nobody heard of are read, and trained on", f"{R.n + 2} annotations new" in fixed.out
                and R.settled_version(ml[0]["id"], v0), fixed.all)
    order = prelabel(R, R.main, "connect", "--project", str(pid), "--uncertainty", "--url", R.main.url)
    R.rep.check("connect --uncertainty: Label Studio's sampling", order.code == 0
                and a.ok("GET", f"/api/projects/{pid}/")["sampling"] == "Uncertainty sampling", order.all)
    nowhere = prelabel(R, R.main, "connect", "--project", str(pid), "--url", f"http://127.0.0.1:{free_port()}")
    R.rep.check("an address that Label Studio can't reach: exit 1, cause and cure", nowhere.code == 1 and "can't reach" in nowhere.err, nowhere.all)
    back = prelabel(R, R.main, "disconnect", "--project", str(pid), "--url", R.main.url)
    p = a.ok("GET", f"/api/projects/{pid}/")
    R.rep.check("disconnect: no backend, no webhook, no version, the usual order", back.code == 0 and not a.webhooks(pid)
                and not a.ok("GET", f"/api/ml/?project={pid}") and not p["model_version"] and p["sampling"] == "Sequential sampling", (back.all, p))
    again = prelabel(R, R.main, "disconnect", "--project", str(pid), "--url", R.main.url)
    R.rep.check("disconnect again: nothing to do", again.code == 0 and again.did == {"ok", "next"}, again.all)

    b = Backend(R, "command-auth", ("labeler", "s3cret:with colon&amp"))
    try:
        if R.rep.check("a backend with basic auth starts", b.ready(), b.proc.tail()):
            p2 = a.project("By command, with basic auth", CONFIG)
            run = prelabel(R, b, "connect", "--project", str(p2), "--url", b.url)
            R.rep.check("basic auth: connected", run.code == 0, run.all)
            ids = a.import_tasks(p2, [{"text": review(LABELS[i % 2], i)} for i in range(R.n + 4)])
            mid = a.ok("GET", f"/api/ml/?project={p2}")[0]["id"]
            v0 = R.version(mid)
            for i in range(R.n):
                a.annotate(ids[i], choice("label", "text", [LABELS[i % 2]]))
            R.rep.check("basic auth: the webhook is heard, a version is trained", R.settled_version(mid, v0), (v0, b.proc.tail()))
            again = prelabel(R, b, "connect", "--project", str(p2), "--url", b.url)
            R.rep.check("basic auth: connect again, all is right", again.code == 0 and again.did == {"ok", "next"}, again.all)
            R.rep.check("no key and no password was printed", not any(s in o for s in (R.key, b.auth[1], basic(*b.auth).split()[1])
                        for o in (run.out + run.err, again.out, fixed.out, nowhere.err)))
    finally:
        b.stop()


def g_private(R):
    """Label Studio's settings for private addresses, at their defaults (protocol: a 403, with and without a backend)."""
    if not R.cmd or R.key_kind != "pat" or os.environ.get("E2E_LS_ENV"):
        return
    for name, env, says, backends in (("both on", {"ML_BLOCK_LOCAL_IP": "true", "SSRF_PROTECTION_ENABLED": "true"}, "(ML_BLOCK_LOCAL_IP)", 0),
                                      ("webhooks alone", {"SSRF_PROTECTION_ENABLED": "true"}, "(SSRF_PROTECTION_ENABLED)", 1)):
        ls = LabelStudio(R.ls.exe, template_dir=R.ls.template_dir, env=env)
        try:
            ls.start()
            api = ls.api()
            pid = api.project("Private", CONFIG)
            for turn in ("", ", again"):
                run = prelabel(R, R.main, "connect", "--project", str(pid), "--url", R.main.url, LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=lslib.LEGACY_TOKEN,
                               MODEL_DIR=os.path.join(R.dir, "private"))
                R.rep.check(f"{name}{turn}: exit 1, the setting and the cure", run.code == 1 and says in run.err and "SSRF_PROTECTION_ENABLED=false" in run.err, run.all)
            R.rep.check(f"{name}: {backends} backends, no webhook", len(api.ok("GET", f"/api/ml/?project={pid}")) == backends and not api.webhooks(pid))
        finally:
            ls.stop()


def g_connect(R):
    st, h = http("GET", R.main.url + "/health", headers={"Authorization": basic(*R.main.auth)} if R.main.auth else {})
    R.rep.check("health: 200, a JSON object, status UP", st == 200 and isinstance(h, dict) and h.get("status") == "UP", (st, h))
    pid = R.api.project("Connect", CONFIG)
    st, ml = R.main.connect(R.api, pid)
    R.rep.check("Label Studio accepts the backend (201, Connected)", st == 201 and ml.get("readable_state") == "Connected", (st, ml))
    if st != 201:
        return
    R.rep.check("it shows a model version", isinstance(ml["model_version"], str) and ml["model_version"], ml["model_version"])
    R.rep.attempt("the webhook is registered", lambda: [w["url"] for w in R.api.webhooks(pid)] == [R.main.url + "/webhook"])
    R.rep.attempt("an empty project keeps the backend connected", lambda: R.api.backend(ml["id"])["readable_state"] == "Connected")
    t = time.time()
    R.api.backend(ml["id"])
    R.rep.check("health and setup together take under a second", time.time() - t < 1.0, f"{time.time() - t:.2f} s")
    st, v = R.api.raw("GET", f"/api/ml/{ml['id']}/versions")
    R.rep.check("the versions call is answered with a list", st == 200 and isinstance(v.get("versions"), list), (st, v))
    st, out = R.api.raw("POST", f"/api/ml/{ml['id']}/train", {})
    time.sleep(1)
    R.rep.check("training an empty project is not an error", st == 200 and R.stored_state(ml["id"])[0] != "ER", R.stored_state(ml["id"]))


def g_predict(R):
    datas = [{"text": review(k, i)} for i in range(15) for k in LABELS]
    pid, mid, ids = R.new_project("Predict", CONFIG, datas)
    R.rep.attempt("opening a task shows one valid prediction before any training",
                  lambda: (lambda ps: (len(ps) == 1 and valid(ps[0], "label", "text", LABELS), ps))(R.api.task(ids[0])["predictions"]))
    R.rep.attempt("the labelling stream shows a prediction", lambda: (lambda t: (len(t["predictions"]) == 1, t["predictions"]))(R.api.ok("GET", f"/api/projects/{pid}/next")))
    R.api.retrieve(pid)
    ps = R.api.predictions(pid)
    R.rep.check("batch retrieval: one valid prediction for each of 30 tasks",
                len(ps) == 30 and len({p["task"] for p in ps}) == 30 and all(valid(p, "label", "text", LABELS) for p in ps),
                (len(ps), ps[:1]))
    v = R.version(mid)
    R.rep.check("predictions carry the backend's model version", {p["model_version"] for p in ps} == {v}, (v, {p["model_version"] for p in ps}))
    R.api.retrieve(pid)
    R.rep.check("retrieving again with the same version adds nothing", len(R.api.predictions(pid)) == len(ps), len(R.api.predictions(pid)))
    st, out = R.api.raw("POST", f"/api/ml/{mid}/predict/test?random=true")
    R.rep.check("the test prediction works", st == 200 and isinstance(out, dict) and len(out.get("response") or []) == 1, (st, out))
    big = R.api.import_tasks(pid, [{"text": review(LABELS[i % 2], i)} for i in range(120)])
    t = time.time()
    R.api.retrieve(pid)
    dt = time.time() - t
    got = {p["task"] for p in R.api.predictions(pid)}
    R.rep.check("120 tasks in one batch are all answered", set(big) <= got, f"{len(set(big) & got)} of 120")
    print(f"#    120 tasks retrieved in {dt:.1f} s")


def g_train(R):
    n = 2 * R.n
    datas = [{"text": review(LABELS[i % 2], i)} for i in range(n + 12)]
    pid, mid, ids = R.new_project("Train", CONFIG, datas)
    R.api.retrieve(pid)
    v0 = R.version(mid)
    took, anns = [], []
    for i in range(n):
        t = time.time()
        anns.append(R.api.annotate(ids[i], choice("label", "text", [LABELS[i % 2]]))["id"])
        took.append(time.time() - t)
    took.sort()  # Label Studio waits at most a second for a webhook; one hiccup of the machine is allowed
    R.rep.check("annotations are saved in under a second (the webhook answers at once)", took[-2] < 1.0, f"slowest {took[-3:]} s")
    v1 = R.settled_version(mid, v0)
    R.rep.check("annotating triggers training: the version shown changes", v1, (v0, v1))
    held = {ids[n + i]: LABELS[(n + i) % 2] for i in range(12)}
    R.rep.attempt("new predictions match the annotations (held-out texts)", lambda: (lambda a: (a[0] >= 11, a))(R.accuracy(pid, held, v1)))
    R.rep.attempt("predictions of the new version are valid",
                  lambda: (lambda ps: (len(ps) == len(ids) and all(valid(p, "label", "text", LABELS) for p in ps), ps[:1]))(
                      [p for p in R.api.predictions(pid) if p["model_version"] == v1]))
    R.rep.attempt("scores differ from task to task", lambda: len({round(p["score"], 6) for p in R.api.predictions(pid) if p["model_version"] == v1}) > 5)
    # the other way round: change every label, train by the button
    for i, aid in enumerate(anns):
        R.api.ok("PATCH", f"/api/annotations/{aid}/", {"result": choice("label", "text", [LABELS[1 - i % 2]])})
    time.sleep(1)
    R.settled_version(mid, v1, timeout=8)
    v1 = R.version(mid)
    t = time.time()
    st, out = R.api.raw("POST", f"/api/ml/{mid}/train", {})
    dt = time.time() - t
    R.rep.check("START_TRAINING is accepted without an error state", st == 200 and R.stored_state(mid)[0] in ("TR", "CO"), (st, R.stored_state(mid)))
    R.rep.check("START_TRAINING returns at once (training is in the background)", dt < 3, f"{dt:.1f} s")
    v2 = R.settled_version(mid, v1)
    R.rep.check("START_TRAINING changes the version", v2, (v1, v2))
    flipped = {t: LABELS[1 - LABELS.index(l)] for t, l in held.items()}
    R.rep.attempt("changed annotations (ANNOTATION_UPDATED) change the predictions", lambda: (lambda a: (a[0] >= 11, a))(R.accuracy(pid, flipped, v2)))
    R.rep.attempt("the backend is still connected", lambda: R.api.backend(mid)["readable_state"] == "Connected")


def g_delete(R):
    """Wrong annotations outweigh the right ones until they are deleted; skipped ones never count."""
    a = R.api
    rows = [{"text": review(LABELS[i % 2], i)} for i in range(12 + 24)] + [{"text": review(LABELS[i % 2], 40 + i)} for i in range(8)]
    pid, mid, ids = R.new_project("Delete", CONFIG, rows)
    truth = {ids[36 + i]: LABELS[i % 2] for i in range(8)}

    def label(first, last, wrong, **kw):
        for i in range(first, last):
            a.annotate(ids[i], choice("label", "text", [LABELS[(i + wrong) % 2]]), **kw)
        R.settled_version(mid, R.version(mid), timeout=3)
        R.train_now(mid)
    label(0, 12, 0)
    R.rep.attempt("right annotations are learned", lambda: (lambda x: (x[0] >= 7, x))(R.accuracy(pid, truth)))
    label(12, 36, 1, was_cancelled=True)
    R.rep.attempt("skipped annotations are not trained on", lambda: (lambda x: (x[0] >= 7, x))(R.accuracy(pid, truth)))
    a.action(pid, "delete_tasks_annotations", ids[12:36])
    label(12, 36, 1)
    wrong = {t: LABELS[1 - LABELS.index(l)] for t, l in truth.items()}
    R.rep.attempt("wrong annotations mislead (control)", lambda: (lambda x: (x[0] >= 7, x))(R.accuracy(pid, wrong)))
    first = a.ok("GET", f"/api/tasks/{ids[12]}/annotations/")[0]["id"]
    st, _ = a.raw("DELETE", f"/api/annotations/{first}/")
    R.rep.check("deleting one annotation succeeds and leaves the backend connected", st == 204 and a.backend(mid)["readable_state"] == "Connected")
    a.action(pid, "delete_tasks_annotations", ids[13:36])
    R.settled_version(mid, R.version(mid), timeout=3)
    R.train_now(mid)
    R.rep.attempt("deleted annotations are forgotten", lambda: (lambda x: (x[0] >= 7, x))(R.accuracy(pid, truth)))
    st, _ = a.raw("DELETE", f"/api/tasks/{ids[0]}/")
    a.action(pid, "delete_tasks", ids[1:3])
    R.rep.attempt("deleting tasks leaves the backend connected", lambda: st == 204 and a.backend(mid)["readable_state"] == "Connected")


def g_projects(R):
    """Two projects with different label sets, field names and control names on one backend."""
    a = R.api
    n = 2 * R.n
    p1, m1, i1 = R.new_project("First", CONFIG, [{"text": review(LABELS[i % 2], i)} for i in range(n + 6)])
    K = ["spam", "ham"]
    p2, m2, i2 = R.new_project("Second", MAIL, [{"message": mail(K[i % 2], i)} for i in range(n + 6)])
    for i in range(n):
        a.annotate(i1[i], choice("label", "text", [LABELS[i % 2]]))
    v1 = R.settled_version(m1, "", timeout=10)
    R.train_now(m1)
    v1 = R.version(m1)
    for i in range(n):
        a.annotate(i2[i], choice("kind", "body", [K[i % 2]]))
    time.sleep(1)
    R.train_now(m2)
    v2 = R.version(m2)
    R.rep.check("training one project leaves the other's version alone", R.version(m1) == v1, (v1, R.version(m1)))
    R.rep.attempt("first project: its own labels, learned", lambda: (lambda x: (x[0] >= 5, x))(R.accuracy(p1, {i1[n + i]: LABELS[(n + i) % 2] for i in range(6)})))
    R.rep.attempt("second project: its own labels, learned", lambda: (lambda x: (x[0] >= 5, x))(R.accuracy(p2, {i2[n + i]: K[(n + i) % 2] for i in range(6)})))
    R.rep.attempt("no label of one project appears in the other", lambda: (
        all(valid(p, "label", "text", LABELS) for p in a.predictions(p1)) and all(valid(p, "kind", "body", K) for p in a.predictions(p2)), ""))


def g_labels(R):
    """The label set grows while the project is in use."""
    a = R.api
    three = LABELS + ["neutral"]
    pid, mid, ids = R.new_project("Labels", CONFIG, [{"text": review(three[i % 3], i)} for i in range(36)])
    for i in range(24):
        if i % 3 < 2:
            a.annotate(ids[i], choice("label", "text", [three[i % 3]]))
    R.settled_version(mid, R.version(mid), timeout=5)
    R.train_now(mid)
    a.patch_project(pid, label_config=CONFIG3)
    R.rep.attempt("after the label set changes the backend stays connected", lambda: a.backend(mid)["readable_state"] == "Connected")
    got = R.predicted(pid)
    R.rep.check("predictions stay within the new label set", got and all(set(g[0]) <= set(three) and g[0] for g in got.values()), list(got.values())[:3])
    for i in range(24):
        if i % 3 == 2:
            a.annotate(ids[i], choice("label", "text", ["neutral"]))
    R.settled_version(mid, R.version(mid), timeout=5)
    R.train_now(mid)
    R.rep.attempt("the added label is learned", lambda: (lambda x: (x[0] >= 10, x))(R.accuracy(pid, {ids[i]: three[i % 3] for i in range(24, 36)})))


def g_nopayload(R):
    """A webhook that says only which action happened: the backend has to read the annotations from Label Studio's API."""
    a = R.api
    n = 2 * R.n
    pid, mid, ids = R.new_project("No payload", CONFIG, [{"text": review(LABELS[i % 2], i)} for i in range(n + 8)])
    wh = a.webhooks(pid)[0]
    a.ok("PATCH", f"/api/webhooks/{wh['id']}/", {"url": wh["url"], "send_payload": False})
    for i in range(n):
        a.annotate(ids[i], choice("label", "text", [LABELS[i % 2]]))
    v0 = R.version(mid)
    R.settled_version(mid, v0, timeout=8)
    v = R.train_now(mid)
    R.rep.check("training without payloads, annotations read through the API", v or R.version(mid) != v0, (v0, v))
    R.rep.attempt("and they were learned", lambda: (lambda x: (x[0] >= 7, x))(R.accuracy(pid, {ids[n + i]: LABELS[(n + i) % 2] for i in range(8)})))
    p2 = a.project("Imported", CONFIG)
    a.ok("POST", f"/api/projects/{p2}/import", [{"data": {"text": review(LABELS[i % 2], i)}, "annotations": [
        {"result": choice("label", "text", [LABELS[i % 2]])}]} for i in range(20)])
    st, ml = R.main.connect(a, p2)
    t2 = a.import_tasks(p2, [{"text": review(LABELS[i % 2], 50 + i)} for i in range(8)])
    R.train_now(ml["id"])
    R.rep.attempt("annotations made before the backend was connected are read when training starts",
                  lambda: (lambda x: (x[0] >= 7, x))(R.accuracy(p2, {t: LABELS[i % 2] for i, t in enumerate(t2)})))


def g_agree(R):
    """The export alone and the webhooks alone teach the same model: the same hash in the version, the same probabilities."""
    a = R.api
    three = LABELS + ["neutral"]
    learn = [review(three[i % 3], i) for i in range(30)]
    learn[3] += " caf\u00e9 \u0130stanbul \U0001f600"
    learn[7] = ""
    extra = [review("negative", 200), review("neutral", 201), review("positive", 202)]
    held = [review(three[i % 3], 40 + i) for i in range(50)]
    datas = [{"text": t} for t in learn + extra + held]

    def label(ids):
        """30 annotations, not in the order of the tasks, then one of each other change."""
        anns = [a.annotate(ids[i], choice("label", "text", [three[i % 3]]))["id"] for i in (7 * k % 30 for k in range(30))]
        a.ok("PATCH", f"/api/annotations/{anns[4]}/", {"result": choice("label", "text", ["neutral"])})
        a.annotate(ids[30], choice("label", "text", ["positive"]), was_cancelled=True)
        gone = a.annotate(ids[31], choice("label", "text", ["negative"]))["id"]
        a.raw("DELETE", f"/api/annotations/{gone}/")
        a.annotate(ids[0], choice("label", "text", ["neutral"]))  # a second opinion on the same task
        return anns

    def change(pid, ids, anns):
        """What a store that knows them has to unlearn: others' labels, deleted annotations, a deleted task."""
        for k in (1, 2):
            a.ok("PATCH", f"/api/annotations/{anns[k]}/", {"result": choice("label", "text", ["negative"])})
        a.raw("DELETE", f"/api/annotations/{anns[9]}/")
        a.ok("PATCH", f"/api/annotations/{anns[10]}/", {"was_cancelled": True})
        a.action(pid, "delete_tasks_annotations", [ids[20], ids[22]])
        a.action(pid, "delete_tasks", [ids[25]])

    # A: a key, and a webhook that is switched off in Label Studio
    pa, ma, ia = R.new_project("Agree by export", CONFIG3, datas)
    wh = a.webhooks(pa)[0]
    a.ok("PATCH", f"/api/webhooks/{wh['id']}/", {"url": wh["url"], "is_active": False})
    cold = R.main.predict(a, pa, CONFIG3, held)
    v0 = R.version(ma)
    anns_a = label(ia)
    time.sleep(3)
    R.rep.check("export: with the webhook off the backend hears of no annotation", R.version(ma) == v0, (v0, R.version(ma)))
    va = R.train_now(ma, v0)
    if not R.rep.check("export: START_TRAINING makes a version of kind, number and hash", va and re.fullmatch(r"\w+-\d+-[0-9a-f]+", va), va):
        return
    # B: no key, webhooks alone
    b = Backend(R, "keyless", key=False)
    try:
        if not R.rep.check("a backend without a key starts", b.ready(), b.proc.tail() if b.proc else ""):
            return
        pb, mb, ib = R.new_project("Agree by webhooks", CONFIG3, datas, backend=b)
        def tail(v):
            return (v or "").rsplit("-", 1)[-1]

        def reach(want):
            """START_TRAINING for the second backend, and the version it comes to rest at."""
            a.raw("POST", f"/api/ml/{mb}/train", {})
            wait_for(lambda: tail(R.version(mb)) == tail(want), R.train_timeout)
            time.sleep(2)
            return R.version(mb)
        anns_b = label(ib)
        vb = reach(va)
        R.rep.check("webhooks alone reach the hash of the export alone", tail(va) == tail(vb), (va, vb))
        ga, gb = R.main.predict(a, pa, CONFIG3, held), b.predict(a, pb, CONFIG3, held)
        right = sum(x[0] == three[i % 3] for i, x in enumerate(ga))
        moved = max(abs(x[1] - c[1]) for x, c in zip(ga, cold))
        R.rep.check("both have learned (control)", right >= 45 and moved > 0.05 and len({round(x[1], 6) for x in ga}) > 20, (right, moved))

        def apart(x, y):
            return max(abs(p - q) for p, q in zip(x, y))
        d = apart([x[1] for x in ga], [x[1] for x in gb])
        R.rep.check("POST /predict: the same labels and the same scores to 1e-9 on 50 texts",
                    [x[0] for x in ga] == [x[0] for x in gb] and d <= 1e-9, (d, ga[:2], gb[:2]))
        R.rep.check("POST /predict: each answers under its own version",
                    {x[2] for x in ga} == {va} and {x[2] for x in gb} == {vb}, (va, vb, ga[0], gb[0]))
        ca, cb = R.main.command_line(pa, held), b.command_line(pb, held)
        worst = max(abs(x["probabilities"][k] - y["probabilities"][k]) for x, y in zip(ca, cb) for k in three)
        R.rep.check("prelabel predict: all probabilities the same to 1e-9",
                    worst <= 1e-9 and all(set(x["probabilities"]) == set(three) for x in ca + cb), (worst, ca[0], cb[0]))
        R.rep.check("prelabel predict: what POST /predict says, to 1e-9", all(
            x["label"] == g[0] and abs(x["score"] - g[1]) <= 1e-9 and abs(sum(x["probabilities"].values()) - 1) <= 1e-9
            and abs(x["probabilities"][x["label"]] - x["score"]) <= 1e-9 for x, g in zip(ca, ga)), (ca[0], ga[0]))
        sa, sb = R.predicted(pa, va), R.predicted(pb, vb)
        sa, sb = [sa.get(t) for t in ia[-50:]], [sb.get(t) for t in ib[-50:]]
        full = all(sa) and all(sb)
        R.rep.check("stored in Label Studio: the same labels and scores to 1e-9 on 50 tasks",
                    full and [x[0] for x in sa] == [x[0] for x in sb] and apart([x[1] for x in sa], [x[1] for x in sb]) <= 1e-9
                    and apart([x[1] for x in sa], [x[1] for x in ga]) <= 1e-9, (full, sa[:2], sb[:2]))
        change(pa, ia, anns_a)
        change(pb, ib, anns_b)
        va2 = R.train_now(ma, va)
        vb2 = reach(va2)
        R.rep.check("changed and deleted annotations: both unlearn them, to one new hash", tail(va2) == tail(vb2) != tail(va), (va2, vb2, va))
        print(f"#    {va} and {vb}; scores differ by at most {d:.1e}, probabilities by {worst:.1e}")
    finally:
        b.stop()


def g_auth(R):
    a = R.api
    user, pw = (os.environ.get("BACKEND_AUTH_USERPASS") or "labeler:s3cret:with:colons").split(":", 1) if not R.cmd else ("labeler", "s3cret:with colon&amp")
    b = Backend(R, "auth", (user, pw))
    try:
        if not R.rep.check("a backend with basic authentication starts", b.ready(), b.proc.tail() if b.proc else ""):
            return
        pid = a.project("Auth", CONFIG)
        st, out = a.connect(pid, b.url)
        R.rep.check("without credentials Label Studio reports an authentication error", st == 400 and "auth" in str(out).lower(), (st, out))
        st, out = a.connect(pid, b.url, user, "wrong")
        R.rep.check("with a wrong password Label Studio reports an authentication error", st == 400 and "auth" in str(out).lower(), (st, out))
        for path in ("/predict", "/setup", "/health"):
            st, _ = http("GET" if path == "/health" else "POST", b.url + path, None if path == "/health" else {"tasks": []})
            R.rep.check(f"{path} without credentials is refused with 401", st == 401, st)
        st, ml = b.connect(a, pid)
        if not R.rep.check("with the right credentials it connects", st == 201 and ml["readable_state"] == "Connected", (st, ml)):
            return
        n = 2 * R.n
        ids = a.import_tasks(pid, [{"text": review(LABELS[i % 2], i)} for i in range(n + 8)])
        a.retrieve(pid)
        R.rep.attempt("and predicts", lambda: len(a.predictions(pid)) == n + 8)
        wh = a.webhooks(pid)[0]
        a.ok("PATCH", f"/api/webhooks/{wh['id']}/", {"url": wh["url"], "headers": {"Authorization": basic(user, pw)}})
        v0 = R.version(ml["id"])
        for i in range(n):
            a.annotate(ids[i], choice("label", "text", [LABELS[i % 2]]))
        v1 = R.settled_version(ml["id"], v0)
        R.rep.check("a webhook that carries the credentials in its headers trains", v1, (v0, v1))
    finally:
        b.stop()


def g_interactive(R):
    """Interactive pre-annotation on Labels over Text."""
    a = R.api
    pid, mid, ids = R.new_project("Interactive", NER, [{"text": "Ann met Bob in Oslo. Later Ann went to Rome."}], interactive=True)
    ctx = {"result": [{"id": "r1", "from_name": "ner", "to_name": "text", "type": "labels", "origin": "manual",
                       "value": {"start": 0, "end": 3, "text": "Ann", "labels": ["Person"]}}]}
    st, out = a.raw("POST", f"/api/ml/{mid}/interactive-annotating", {"task": ids[0], "context": ctx})
    data = out.get("data") if isinstance(out, dict) else None
    R.rep.check("an interactive request is answered with data, not errors", st == 200 and isinstance(data, dict) and isinstance(data.get("result"), list), (st, out))
    spans = sorted((r["value"]["start"], r["value"]["end"], tuple(r["value"]["labels"])) for r in (data or {}).get("result", []) if r.get("type") == "labels")
    R.rep.check("the selected substring is found at its other places", (27, 30, ("Person",)) in spans, spans)
    st, out = a.raw("POST", f"/api/ml/{mid}/interactive-annotating", {"task": ids[0], "context": None})
    R.rep.check("an interactive request without context is no error", st == 200 and "errors" not in out, (st, out))
    t = a.task(ids[0])
    R.rep.check("a project without Choices opens normally", t["id"] == ids[0])

    # What is proposed, accepted as an annotation, and read again from Label Studio's own export.
    texts = {"emoji": ("😀 Ann 👩‍👩‍👧 ann", "Ann", 1), "combining marks": ("cafe\u0301 x cafe\u0301 cafe", "cafe\u0301", 1), "İ": ("İzmir 😀 i\u0307zmir İZMIR", "İzmir", 2),
             "CRLF": ("Ann\r\nBob\r\n\r\nAnn", "Ann", 1), "right-to-left": ("שלום עולם, שלום", "שלום", 1), "ß": ("Straße, STRASSE", "Straße", 1)}
    ids = a.import_tasks(pid, [{"text": t} for t, _, _ in texts.values()])
    for tid, (name, (text, word, _)) in zip(ids, texts.items()):
        at = text.index(word)
        first = {"id": "s1", "from_name": "ner", "to_name": "text", "type": "labels", "origin": "manual",
                 "value": {"start": at, "end": at + len(word), "text": word, "labels": ["Place"]}}
        st, out = a.raw("POST", f"/api/ml/{mid}/interactive-annotating", {"task": tid, "context": {"result": [first]}})
        proposed = ((out.get("data") or {}).get("result") if isinstance(out, dict) else None) or []
        a.annotate(tid, [first] + proposed)
    export = {t["id"]: t for t in a.ok("GET", f"/api/projects/{pid}/export?exportType=JSON")}
    for tid, (name, (text, word, more)) in zip(ids, texts.items()):
        task = export[tid]
        spans = [r["value"] for r in task["annotations"][0]["result"]]
        R.rep.check(f"{name}: {more} more found, and the export's offsets give their texts", task["data"]["text"] == text and len(spans) == 1 + more and
                    all(task["data"]["text"][v["start"]:v["end"]] == v["text"] and v["text"].casefold() == word.casefold() for v in spans), spans)
    # They are learned from: a task that nobody saw gets them without a context.
    new = a.import_tasks(pid, [{"text": "😀 IN STRASSE, İzmir"}])[0]
    v0 = R.version(mid)
    v1 = R.train_now(mid, v0)
    R.rep.check("the annotated texts are trained on: another version", bool(v1) and v1.startswith("substring-"), (v0, v1))
    a.retrieve(pid)
    R.rep.attempt("and proposed for a new task, by Retrieve Predictions",
                  lambda: sorted((r["value"]["start"], r["value"]["end"]) for p in a.predictions(pid) if p["task"] == new
                                 for r in p["result"]) == [(5, 12), (14, 19)])


def g_active(R):
    """Uncertainty sampling: Label Studio compares the project's model_version with that of the predictions."""
    a = R.api
    n = 2 * R.n
    pid, mid, ids = R.new_project("Active", CONFIG, [{"text": review(LABELS[i % 2], i)} for i in range(n)] +
                                  [{"text": "great terrible"}, {"text": review("positive", 3)}, {"text": review("negative", 4)}, {"text": "the order of the desk"}])
    for i in range(n):
        a.annotate(ids[i], choice("label", "text", [LABELS[i % 2]]))
    v0 = R.version(mid)
    R.settled_version(mid, v0, timeout=6)
    R.train_now(mid)
    v = R.version(mid)
    got = R.predicted(pid, v)
    a.patch_project(pid, sampling="Uncertainty sampling", model_version=v)
    rest = sorted((got[t][1], t) for t in ids[n:] if t in got)
    R.rep.check("every open task has a score", len(rest) == 4, rest)
    nxt = a.ok("GET", f"/api/projects/{pid}/next")["id"]
    R.rep.check("the next task to label is the least certain one", rest and got[nxt][1] <= rest[0][0] + 1e-9, (nxt, rest))


def g_uncertainty(R):
    """Label Studio's own queue in the order of our scores, before and after a training; and `prelabel push`."""
    a = R.api
    pid, mid, ids = R.new_project("Uncertainty", CONFIG, [{"text": review(LABELS[i % 2], i) + (" " + review(LABELS[i // 3 % 2], 3 * i) if i % 3 == 0 else "")
                                                           # The names of the labels are what the first ranking goes by.
                                                           + " positive" * (2 + i % 7) + " negative" * (i % 3)} for i in range(2 * R.n + 12)])
    tool = os.environ.get("E2E_PRELABEL") or os.environ.get("BUILD", "build") + "/prelabel"
    env = dict(os.environ, MODEL_DIR=R.main.dir, LABEL_STUDIO_HOST=R.ls.url, LABEL_STUDIO_URL=R.ls.url, LABEL_STUDIO_API_KEY=R.key)
    # What `connect --uncertainty` sets.
    a.patch_project(pid, sampling="Uncertainty sampling")
    db = sqlite3.connect(os.path.join(R.main.dir, "prelabel.sqlite3"), timeout=10)
    with db:
        known = db.execute("UPDATE project SET uncertainty = 1 WHERE id = ?", (pid,)).rowcount
    db.close()
    R.rep.check("the backend knows the project", known == 1, known)

    def push():
        run = subprocess.run(f"{tool} push --project {pid} --json", shell=True, env=env, capture_output=True, text=True, timeout=120)
        if run.returncode:
            raise RuntimeError(f"prelabel push: exit {run.returncode}: {run.stderr[-300:]}")
        return json.loads(run.stdout)

    def scores(version):
        """Of the open tasks; None when one has another number of predictions of the version than one."""
        have = {}
        for p in a.predictions(pid):
            if p["model_version"] == version:
                have.setdefault(p["task"], []).append(p["score"])
        todo = [t["id"] for t in a.tasks(pid) if not t["is_labeled"]]
        return {t: have[t][0] for t in todo} if all(len(have.get(t, [])) == 1 for t in todo) else None

    def names():
        b = a.ok("GET", f"/api/ml?project={pid}")[0]
        return {b["title"], b["model_version"], a.ok("GET", f"/api/projects/{pid}/")["model_version"]}

    def ours(rank):
        """The same tasks with the scores that /predict says now."""
        got = R.main.predict(a, pid, CONFIG, [texts[t] for t in rank])
        return {t: score for t, (_, score, _) in zip(rank, got)}

    def serve(n, rank):
        """Labels the next n tasks; their scores, and those that a ranking by `rank` would give."""
        got = []
        for _ in range(n):
            t = a.ok("GET", f"/api/projects/{pid}/next")
            got.append(t["id"])
            a.annotate(t["id"], choice("label", "text", [LABELS[ids.index(t["id"]) % 2]]))
        return [round(rank[t], 9) for t in got], [round(x, 9) for x in sorted(rank.values())[:n]]

    out = push()
    v0, rank = out["model_version"], scores(out["model_version"])
    R.rep.check("push: every open task has one prediction of the version in force", out["written"] == len(ids) and rank and len(rank) == len(ids), (out, rank and len(rank)))
    R.rep.check("title, project and predictions agree", names() == {v0}, (names(), v0))
    R.rep.attempt("the second push writes none", lambda: (lambda o: (o["written"] == 0 and o["open"] == 0, o))(push()))
    texts = {t["id"]: t["data"]["text"] for t in a.tasks(pid)}
    ask = {"tasks": [{"id": t, "data": {"text": texts[t]}} for t in ids[:5]], "project": str(pid), "label_config": CONFIG}
    st, direct = http("POST", R.main.url + "/predict", ask, {"Authorization": basic(*R.main.auth)} if R.main.auth else {})
    kept = {p["task"]: (p["result"], p["score"], p["model_version"]) for p in a.predictions(pid)}
    R.rep.check("what is stored is what /predict says", st == 200 and
                all(kept[t] == (r["result"], r["score"], r["model_version"]) for t, r in zip(ids, direct["results"])), (st, direct))
    got, want = serve(R.n, ours(rank))
    R.rep.check("before a training the order of served tasks is our ranking", got == want and len(set(want)) > 2, (got, want))
    v1 = wait_for(lambda: next(iter(names() - {v0}), None) if len(names()) == 1 and names() != {v0} else None, R.train_timeout)
    rank = scores(v1) if v1 else None
    R.rep.check("after it the queue has the new version, and every open task one prediction of it", v1 and rank and len(set(rank.values())) > 5, (v1, names(), rank))
    got, want = serve(6, ours(rank or {}))
    R.rep.check("and the order of served tasks is the new ranking", rank and got == want, (got, want))
    late = a.import_tasks(pid, [{"text": review("positive", 77)}])[0]
    R.rep.check("a task that comes later is opened with a prediction", wait_for(lambda: [p for p in a.task(late)["predictions"]], 10))
    R.rep.attempt("of which push writes no second one", lambda: (lambda o: (o["written"] == 0, o))(push()))


def g_load(R):
    """Several annotators and readers at once."""
    a = R.api
    pid, mid, ids = R.new_project("Load", CONFIG, [{"text": review(LABELS[i % 2], i)} for i in range(40)])
    bad = []

    def work(k):
        for i in range(k, 40, 4):
            try:
                st, _ = a.raw("POST", f"/api/tasks/{ids[i]}/annotations/", {"result": choice("label", "text", [LABELS[i % 2]])})
                if st != 201:
                    bad.append(st)
                st, t = a.raw("GET", f"/api/tasks/{ids[(i + 7) % 40]}/")
                if st != 200:
                    bad.append(st)
            except Exception as e:
                bad.append(repr(e))
    a.header()
    th = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [t.start() for t in th]
    [t.join() for t in th]
    R.rep.check("four annotators at once: nothing fails", not bad, bad[:5])
    R.settled_version(mid, R.version(mid), timeout=5)
    R.train_now(mid)
    R.rep.attempt("and all of it was learned", lambda: (lambda x: (x[0] >= 36, x))(R.accuracy(pid, {t: LABELS[i % 2] for i, t in enumerate(ids)}, R.version(mid))))


def g_restart(R):
    """What was learned is kept when the backend is stopped and started again."""
    a = R.api
    pid, mid, ids = R.new_project("Restart", CONFIG, [{"text": review(LABELS[i % 2], i)} for i in range(20)])
    for i in range(12):
        a.annotate(ids[i], choice("label", "text", [LABELS[1 - i % 2]]))  # the unusual way round, so that chance does not help
    R.settled_version(mid, R.version(mid), timeout=5)
    R.train_now(mid)
    v = R.version(mid)
    before = R.predicted(pid, v)
    R.rep.check("the backend starts again", R.main.restart(), R.main.proc.tail())
    R.rep.attempt("with the same model version", lambda: (R.version(mid) == v, (v, R.version(mid))))
    p2, m2, i2 = R.new_project("Restart 2", CONFIG, [{"text": "other project"}])
    R.rep.attempt("and it predicts as before", lambda: (lambda out: (out["status"] == 200 and (tuple(
        out["response"][0]["result"][0]["value"]["choices"]) == before[out["task"]["id"]][0]), out["response"]))(
            a.ok("POST", f"/api/ml/{mid}/predict/test?random=true")))
    for i in range(12, 20):
        a.annotate(ids[i], choice("label", "text", [LABELS[1 - i % 2]]))
    R.rep.check("and goes on training", R.train_now(mid, v))


def g_several(R):
    """Any number of labels a text; and Choices over HyperText and Paragraphs."""
    a = R.api
    words = {"food": "soup bread pizza", "price": "cheap bill euro", "staff": "waiter rude smile"}
    sets = [["food"], ["price"], ["staff"], ["food", "price"], ["price", "staff"], ["food", "staff"]]
    config = ('<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="multiple">'
              + "".join(f'<Choice value="{w}"/>' for w in words) + "</Choices></View>")
    rows = [sets[i % 6] for i in range(48)]
    n = 36
    pid, mid, ids = R.new_project("Several", config, [{"text": " and ".join(words[w] for w in s) + f" item{i}"} for i, s in enumerate(rows)])
    for i in range(n):
        a.annotate(ids[i], choice("label", "text", rows[i]))
    R.settled_version(mid, R.version(mid), timeout=6)
    R.train_now(mid)
    got = R.predicted(pid, R.version(mid))
    right = sum(got[ids[i]][0] == tuple(rows[i]) for i in range(n, 48))
    R.rep.check("multiple: every label of a new task is predicted", right >= 10, (right, [got[t][0] for t in ids[n:]]))
    R.rep.check("multiple: the score is a certainty", all(0.5 <= got[t][1] <= 1 for t in ids), sorted(got[t][1] for t in ids)[:3])
    for tag, attrs, made in (("HyperText", "", lambda t: f"<div><style>p {{}}</style><p>{t.replace(' ', '</p><p>')}</p></div>"),
                             ("Paragraphs", ' nameKey="who" textKey="said"', lambda t: [{"who": "x", "said": t}, {"who": "y", "said": "ok"}])):
        over = CONFIG.replace("<Text", f"<{tag}").replace('value="$text"', f'value="$text"{attrs}')
        pid, mid, ids = R.new_project(tag, over, [{"text": made(review(LABELS[i % 2], i))} for i in range(32)])
        for i in range(24):
            a.annotate(ids[i], choice("label", "text", [LABELS[i % 2]]))
        R.settled_version(mid, R.version(mid), timeout=6)
        R.train_now(mid)
        R.rep.attempt(f"{tag}: trained, and predicts new tasks", lambda: (lambda x: (x[0] >= 7, x))(
            R.accuracy(pid, {ids[i]: LABELS[i % 2] for i in range(24, 32)}, R.version(mid))))


def g_own(R):
    """Models from outside of the tree, in C and in Python with scikit-learn: scaffolded, built, connected, trained."""
    a = R.api
    here = os.path.dirname(os.path.abspath(__file__))
    prelabel = os.path.abspath((os.environ.get("E2E_PRELABEL") or os.environ.get("BUILD", "build") + "/prelabel").split()[0])
    for what, script, kind, needs in (("C", "cues.c", "cues", None), ("Python", "sk.py", "exec", "scikit-learn==1.5.2")):
        folder = os.path.join(R.dir, "own-" + kind)
        shutil.copy(os.path.join(here, "own", script), R.dir)
        made = subprocess.run([prelabel, "init", folder, "--script", os.path.join(R.dir, script)], capture_output=True, text=True, timeout=60)
        if not R.rep.check(f"{what}: init --script {script}", made.returncode == 0, made.stderr):
            continue
        if needs:
            with open(os.path.join(folder, "requirements.txt"), "a", encoding="utf-8") as f:
                f.write(needs + "\n")
        t = time.time()
        b = Backend(types.SimpleNamespace(cmd=f"exec '{prelabel}' start '{folder}'", ls=R.ls, n=R.n, key=R.key, dir=R.dir), "store-" + kind)
        try:
            if not R.rep.check(f"{what}: builds and starts", b.ready(), b.proc.tail()):
                continue
            print(f"#    {what}: built and started in {time.time() - t:.0f} s")
            n = 2 * R.n
            pid, mid, ids = R.new_project(f"Own {what}", CONFIG, [{"text": review(LABELS[i % 2], i)} for i in range(n + 12)], backend=b)
            R.api.retrieve(pid)
            v0 = R.version(mid)
            R.rep.check(f"{what}: the version is its model's", v0.startswith(kind + "-0-"), v0)
            R.rep.attempt(f"{what}: every task has one valid prediction", lambda: (lambda ps: (
                len(ps) == len(ids) and all(valid(p, "label", "text", LABELS) for p in ps), (len(ps), ps[:1])))(a.predictions(pid)))
            for i in range(n):
                a.annotate(ids[i], choice("label", "text", [LABELS[i % 2]]))
            v1 = R.settled_version(mid, v0)
            R.rep.check(f"{what}: annotating trains a new version", v1 and re.match(kind + r"-[1-9]\d*-", v1), (v0, v1, b.proc.tail()))
            held = {ids[n + i]: LABELS[(n + i) % 2] for i in range(12)}
            R.rep.attempt(f"{what}: it predicts what was annotated (held-out texts)", lambda: (lambda x: (x[0] >= 11, x))(R.accuracy(pid, held, v1)))
            R.rep.check(f"{what}: starts again", b.restart(), b.proc.tail())
            R.rep.attempt(f"{what}: with the same version", lambda: (R.version(mid) == v1, (v1, R.version(mid))))
        finally:
            b.stop()


def g_lossy(R):
    from lossy_history import g_lossy as run
    run(R, Backend)


GROUPS = [("connect", g_command), ("connect", g_private), ("connect", g_connect), ("predict", g_predict), ("train", g_train),
          ("delete", g_delete), ("projects", g_projects), ("labels", g_labels), ("nopayload", g_nopayload), ("agree", g_agree),
          ("auth", g_auth), ("interactive", g_interactive), ("active", g_active), ("uncertainty", g_uncertainty), ("load", g_load),
          ("several", g_several), ("lossy", g_lossy), ("own", g_own), ("doctor", g_doctor), ("restart", g_restart)]


def main(groups=GROUPS):
    for sig in (signal.SIGTERM, signal.SIGINT):  # so that what was started is stopped when the run is cut short
        signal.signal(sig, lambda *a: sys.exit(130))
    R = Run()
    try:
        if R.start():
            for name, fn in groups:
                if not R.wanted(name):
                    continue
                if name in ("agree", "lossy", "restart", "uncertainty") and not R.cmd:
                    print(f"# {name} skipped: no BACKEND_CMD")
                    continue
                if name == "auth" and not R.cmd and not os.environ.get("BACKEND_AUTH_URL"):
                    print("# auth skipped: no BACKEND_AUTH_URL")
                    continue
                t = time.time()
                print(f"# {name}", flush=True)
                try:
                    fn(R)
                except Exception as e:
                    R.rep.check(f"{name}: ran to its end", False, f"{type(e).__name__}: {e}")
                    print("".join(f"#    {line}\n" for line in R.main.proc.tail(15).splitlines()) if R.main.proc else "", end="", flush=True)
                print(f"#    {time.time() - t:.0f} s", flush=True)
    finally:
        if getattr(R, "main", None):
            R.main.stop()
        R.ls.stop()
    if os.environ.get("E2E_KEEP"):
        print(f"# kept: {R.dir} {R.ls.dir}")
    else:
        shutil.rmtree(R.dir, ignore_errors=True)
    return R.rep.close()


if __name__ == "__main__":
    sys.exit(main())
