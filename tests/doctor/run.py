#!/usr/bin/env python3
"""`prelabel doctor`: every fault is made, and must be named, and no other with it.

A real `prelabel start` with a Label Studio of tests/studio; before and after each fault
the set-up is healthy, and the doctor says so.
"""
import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "studio"))
from studio import LEGACY, PERSONAL, Studio, config_of, jwt  # noqa: E402

PRELABEL = os.path.join(TOP, os.environ.get("BUILD", "build"), "prelabel")
SLOW = 4 if os.environ.get("SANITIZE") else 1
USER, WORD, SECRET = "labeler", "s3cret:with colon", "a-secret-for-webhooks"
SETTINGS = ("HOST", "PORT", "MODEL_DIR", "LABEL_STUDIO_HOST", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN",
            "START_TRAINING_EACH_N_UPDATES", "BASIC_AUTH_USER", "BASIC_AUTH_PASS", "WEBHOOK_SECRET", "LOG_LEVEL", "MODEL", "MODEL_COMMAND")
WORK = tempfile.mkdtemp(prefix="doctor.")
named, printed, secrets = set(), [], {PERSONAL, LEGACY, WORD, SECRET}
passed = failed = 0


def check(name, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(("ok   " if ok else "FAIL ") + name + ("" if ok else " [%s]" % str(detail)[:1500]), flush=True)
    return ok


def until(condition, seconds=20):
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.05)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def environment(env):
    out = {k: v for k, v in os.environ.items() if k not in SETTINGS}
    out.update({k: str(v) for k, v in env.items() if v is not None})
    return out


def prelabel(*args, program=PRELABEL, user=None, **env):
    r = subprocess.run([program, *map(str, args)], env=environment(env), cwd=WORK, stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=120, user=user)
    printed.append(r.stdout + r.stderr)
    return r.returncode, r.stdout, r.stderr


def doctor(env, *args, **how):
    """(exit status, names of the faults, the document)"""
    code, out, err = prelabel("doctor", "--json", *args, **dict(env, **how))
    try:
        found = json.loads(out)
    except ValueError:
        return code, ["no JSON: " + out + err], {}
    return code, found["faults"], found


def names(what, env, *faults, args=(), **how):
    """The doctor names these, once each, and nothing else."""
    code, got, found = doctor(env, *args, **how)
    named.update(got)
    bad = [c for c in found.get("checks", ()) if not c["ok"]]
    check("%s: %s" % (what, " ".join(faults)), code == 1 and sorted(got) == sorted(faults) and found["healthy"] is False
          and all(c["text"] and c["cure"] and c["cure"].endswith(".") for c in bad), (code, got, bad or found))
    return bad


def healthy(what, env, args=(), **how):
    code, got, found = doctor(env, *args, **how)
    check("%s: healthy" % what, code == 0 and got == [] and found.get("healthy") is True, (code, [c for c in found.get("checks", ()) if not c["ok"]]))


class Server:
    """`prelabel start` on a free port."""

    def __init__(self, ls, name, **env):
        self.dir, self.port = os.path.join(WORK, name), free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.env = dict({"HOST": "127.0.0.1", "PORT": self.port, "MODEL_DIR": self.dir, "LABEL_STUDIO_HOST": ls.url,
                         "LABEL_STUDIO_API_KEY": ls.key, "START_TRAINING_EACH_N_UPDATES": 4, "WORKERS": 1, "THREADS": 2}, **env)
        self.log = os.path.join(WORK, name + ".log")
        with open(self.log, "wb") as out:
            self.p = subprocess.Popen([PRELABEL, "start"], env=environment(self.env), cwd=WORK, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        if not until(lambda: prelabel("health", **self.env)[0] == 0):
            raise RuntimeError("no start: " + open(self.log).read())

    def stop(self):
        self.p.terminate()
        try:
            self.p.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            self.p.kill()

    def get(self, path, auth=None):
        r = urllib.request.Request(self.url + path, headers={"Authorization": auth} if auth else {})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(r, timeout=20) as a:
            return json.loads(a.read())


def call(ls, method, path, body=None):
    """To Label Studio's API, as a person's browser would."""
    token = next((t for t, end in ls.issued.items() if end > time.time() + 30), None)
    c = http.client.HTTPConnection(*ls.server.server_address)
    if token is None and not ls.legacy:
        c.request("POST", ls.prefix + "/api/token/refresh/", json.dumps({"refresh": PERSONAL}))
        token = json.loads(c.getresponse().read())["access"]
    c.request(method, ls.prefix + path, None if body is None else json.dumps(body),
              {"Authorization": "Token " + LEGACY if ls.legacy else "Bearer " + token})
    r = c.getresponse()
    raw = r.read()
    c.close()
    return r.status, json.loads(raw) if raw else None


def connect(ls, server, pid, **more):
    return call(ls, "POST", "/api/ml/", dict({"project": pid, "url": server.url, "title": "prelabel"}, **more))


def retrieve(ls, pid):
    call(ls, "POST", "/api/dm/actions?id=retrieve_tasks_predictions&project=%d" % pid, {"selectedItems": {"all": True, "excluded": []}})


def backend(ls, pid):
    return ls.of(ls.backends, project=pid)[0]


def hook(ls, pid):
    return ls.of(ls.webhooks, project=pid)[0]


@contextlib.contextmanager
def changed(thing, **new):
    """Members of a dict, or attributes, for a while."""
    kind = isinstance(thing, dict)
    old = {k: thing[k] if kind else getattr(thing, k) for k in new}
    put = thing.update if kind else lambda d: [setattr(thing, k, v) for k, v in d.items()]
    put(new)
    try:
        yield
    finally:
        put(old)


@contextlib.contextmanager
def serving(answer, tls=None):
    """A web server of a few lines: answer(handler)."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def any(self):
            n = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(n)
            answer(self)
        do_GET = do_POST = any

        def log_message(self, *_):
            pass

        def say(self, status, body=b"{}", **headers):
            self.send_response(status)
            for k, v in dict(headers, **{"Content-Length": str(len(body))}).items():
                self.send_header(k, v)
            self.end_headers()
            self.wfile.write(body)
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    s.daemon_threads = True
    s.handle_error = lambda *_: None            # who does not speak TLS leaves
    if tls:
        s.socket = tls.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield "http://127.0.0.1:%d" % s.server_address[1]
    finally:
        s.shutdown()
        s.server_close()


def learn(ls, server, pid, n=8):
    """Annotated, trained, predicted."""
    ids = ls.add_tasks(pid, ["the staff was %s today %d" % (("great", "awful")[i % 2], i) for i in range(n)] + ["a lovely day", "a bad day"])
    for i in range(n):
        ls.annotate(ids[i], ("positive", "negative")[i % 2])
    code, out, err = prelabel("train", "--project", pid, **server.env)
    if code != 0:
        raise RuntimeError("no training: " + out + err)
    until(lambda: sqlite3.connect(server.dir + "/prelabel.sqlite3").execute(
        "SELECT count(*) FROM train_job WHERE state IN ('queued', 'running')").fetchone()[0] == 0)
    retrieve(ls, pid)
    return ids


# ---- the groups -----------------------------------------------------------------

def t_studio(ls, s, pid):
    """Is Label Studio there, and is it its address?"""
    env = s.env
    host = ls.url[len("http://"):]
    names("nobody listens", env, "ls-unreachable", LABEL_STUDIO_HOST="http://127.0.0.1:%d" % free_port())
    names("no such host", env, "ls-unreachable", LABEL_STUDIO_HOST="http://label-studio.invalid:8080")
    names("https where http is spoken", env, "ls-wrong-scheme", LABEL_STUDIO_HOST="https://" + host)
    with serving(lambda h: h.say(301, Location="https://" + h.headers["Host"] + h.path)) as url:
        names("http where https is wanted", env, "ls-wrong-scheme", LABEL_STUDIO_HOST=url)
    names("a path that is not there", env, "ls-wrong-prefix", LABEL_STUDIO_HOST=ls.url + "/studio")
    with Studio(prefix="/label") as deep:
        names("no path where there is one", env, "ls-wrong-prefix", LABEL_STUDIO_HOST=deep.url[:-len("/label")])
    with serving(lambda h: h.say(302, Location="/label" + h.path)) as url:
        names("a path that a redirect tells", env, "ls-wrong-prefix", LABEL_STUDIO_HOST=url)
    with serving(lambda h: h.say(200, b"<html>", **{"Content-Type": "text/html"})) as url:
        names("another program", env, "ls-wrong-prefix", LABEL_STUDIO_HOST=url)
    with serving(lambda h: h.say(200, b'{"release": "1.23.2"}') if "/api/version" in h.path else h.say(404)) as url:
        names("a path below which only the version is told", env, "ls-wrong-prefix", LABEL_STUDIO_HOST=url)
    with serving(lambda h: h.say(502, b"Bad Gateway")) as url:
        names("a proxy without Label Studio", env, "ls-error", LABEL_STUDIO_HOST=url)
    pem = os.path.join(WORK, "pem")
    if shutil.which("openssl") and subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out", pem + ".crt", "-days", "2", "-subj",
                                                   "/CN=localhost"], capture_output=True).returncode == 0:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem + ".crt", pem)
        with serving(lambda h: h.say(200, b'{"release": "1.23.2"}'), tls) as url:
            names("http where TLS is spoken", env, "ls-wrong-scheme", LABEL_STUDIO_HOST=url)
            bad = names("a certificate that nobody signed", env, "ls-unreachable", LABEL_STUDIO_HOST=url.replace("http:", "https:"))
            check("and it is named", bad and "certificate" in bad[0]["cure"], bad)
    else:
        print("#    no openssl here: no certificate")
    for off in (300, -300):
        with changed(ls, clock_off=off):
            names("Label Studio's clock is %d s off" % off, env, "clock-off")
    with changed(ls, clock_off=20):
        healthy("20 s are no fault", env)


def t_key(ls, s, pid):
    env = s.env
    names("no key", env, "key-missing", LABEL_STUDIO_API_KEY=None)
    names("two words", env, "key-malformed", LABEL_STUDIO_API_KEY="not a-key-at-all")
    with changed(ls, legacy=True):
        names("a wrong key", env, "key-wrong", LABEL_STUDIO_API_KEY="f" * 40)
        healthy("a legacy token that is allowed", env, LABEL_STUDIO_API_KEY=LEGACY)
    names("a legacy token, disabled", env, "key-legacy-disabled", LABEL_STUDIO_API_KEY=LEGACY)
    with changed(ls, revoked={PERSONAL}):
        names("revoked", env, "key-revoked")
    old = jwt("refresh", time.time() - 3600, "expired")
    access = jwt("access", time.time() - 10, "ended")
    secrets.update((old, access, "f" * 40, "not a-key-at-all"))
    names("expired", env, "key-expired", LABEL_STUDIO_API_KEY=old)
    names("an access token that has ended", env, "key-access-token", LABEL_STUDIO_API_KEY=access)
    doctor(env)
    good = max(ls.issued, key=ls.issued.get)
    secrets.add(good)
    names("an access token that still works", env, "key-access-token", LABEL_STUDIO_API_KEY=good)


def t_backend(ls, s, pid):
    env, b = s.env, backend(ls, pid)
    with changed(ls, ml_block_local_ip=True):
        healthy("connected before ML_BLOCK_LOCAL_IP was set", env)
    with changed(ls, ssrf_protection=True):
        names("SSRF_PROTECTION_ENABLED", env, "ls-blocks-webhook")
    with changed(ls, backends={}):
        names("deleted in Label Studio", env, "backend-not-connected")
        with changed(ls, ml_block_local_ip=True):
            names("ML_BLOCK_LOCAL_IP", env, "ls-blocks-backend")
    empty = os.path.join(WORK, "empty")
    names("nothing has connected yet", env, "backend-not-connected", MODEL_DIR=empty)
    check("looking makes no folder", not os.path.exists(empty))
    with changed(b, url="http://backend.invalid:9090"):
        names("a name that Label Studio does not know", env, "backend-disconnected")
    with serving(lambda h: h.say(200, b'{"model_version": "another"}')) as url, \
            changed(ls, newest_first=True, backends={b["id"]: b, b["id"] + 1: dict(b, id=b["id"] + 1, url=url)}):
        healthy("another backend, connected later and listed first", env)
    closed = free_port()
    with changed(b, url="http://localhost:%d" % closed):
        names("localhost, from a container", env, "backend-localhost")
        names("and prelabel does not run", env, "server-down", PORT=closed)
    with serving(lambda h: h.say(200 if h.command == "GET" else 500)) as url:
        with changed(b, url=url):
            names("/setup fails", env, "backend-error")
        with changed(b, url=url.replace("://", "://labeler:in-the-url@")):
            secrets.add("in-the-url")
            bad = names("/setup fails, and Label Studio's reason repeats the password in its address", env, "backend-error")
            check("the reason is told without it", bad and url + "/setup" in bad[0]["text"], bad)
    with changed(b, title="x" + "é" * 50):
        code, got, found = doctor(env)
        check("a title that is cut in the middle of a character: the output is JSON still", "é" * 40 in str(found), (code, got))
    for url in (s.url, s.url.replace("127.0.0.1", "localhost")):
        _, two = call(ls, "POST", "/api/ml/", {"project": pid, "url": url, "title": "again"})
        names("connected twice, as " + re.sub(":[0-9]+$", "", url), env, "backend-twice")
        call(ls, "DELETE", "/api/ml/%d" % two["id"])
        for w in ls.of(ls.webhooks, project=pid)[1:]:
            del ls.webhooks[w["id"]]


def t_webhook(ls, s, pid):
    env, w = s.env, hook(ls, pid)
    with changed(ls, webhooks={}):
        names("deleted", env, "webhook-missing")
    for what, fault, new in (("inactive", "webhook-inactive", {"is_active": False}), ("without payload", "webhook-no-payload", {"send_payload": False}),
                             ("chosen actions", "webhook-actions", {"send_for_all_actions": False, "actions": ["ANNOTATION_CREATED"]}),
                             ("another path", "webhook-wrong-url", {"url": s.url + "/hook"}),
                             ("a slash behind it, where nobody answers", "webhook-wrong-url", {"url": s.url + "/webhook/"}),
                             ("another port", "webhook-wrong-url", {"url": "http://127.0.0.1:1/webhook"})):
        with changed(w, **new):
            names(what, env, fault)
    with changed(w, is_active=False, send_payload=False):
        names("two at once", env, "webhook-inactive", "webhook-no-payload")
    with changed(w, url=s.url.replace("127.0.0.1", "LocalHost") + "/webhook"), changed(backend(ls, pid), url=s.url.replace("127.0.0.1", "localhost")):
        healthy("the host in other letters than the backend's", env)
    with changed(w, send_for_all_actions=False, actions=["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED", "ANNOTATIONS_DELETED",
                                                         "TASKS_DELETED", "PROJECT_UPDATED"]):
        healthy("all actions that matter", env)


def t_predictions(ls, s, pid):
    env, p = s.env, ls.projects[pid]
    with changed(p, show_collab_predictions=False, model_version=""):
        names("switched off in the project", env, "predictions-off")
    with changed(p, model_version="a model that is gone"):
        names("of another model", env, "predictions-other-model")
    version = s.get("/status?project=%d" % pid)["model_version"]
    older = {n: dict(m, model_version=re.sub("-[0-9]+-[0-9a-f]+$", "-0-000000", m["model_version"])) for n, m in ls.predictions.items()}
    with changed(ls, predictions=older):
        names("of a former version", env, "predictions-behind")
    labelled = {a["task"] for a in ls.annotations.values()}
    with changed(ls, predictions={n: m for n, m in older.items() if m["task"] in labelled}):
        healthy("of a former version, and of labelled tasks alone", env)
    with changed(p, sampling="Uncertainty sampling"):
        names("uncertainty sampling by the backend's title", env, "uncertainty-random")
        with changed(p, model_version=version):
            healthy("and by the version", env)
            with changed(ls, predictions=older):
                names("which no prediction has", env, "uncertainty-random", "predictions-behind")


def t_project(ls, s, pid):
    env = s.env
    names("a project that is not there", env, "project-unknown", args=("--project", 4711))
    with changed(ls.projects[pid], created_at="2020-01-01T00:00:00.000000Z"):
        with changed(ls, backends={}):
            names("made anew under the same number", env, "project-unknown")
    config = '<View><Image name="image" value="$image"/><RectangleLabels name="r" toName="image"><Label value="a"/></RectangleLabels></View>'
    other = ls.add_project("Pictures", config=config)
    connect(ls, s, other)
    names("without Choices over a Text", env, "config-no-choices", args=("--project", other))
    one = ls.add_project("One label", config=config_of(["only"]))
    connect(ls, s, one)
    names("one label in the config", env, "labels-too-few", args=("--project", one))
    few = ls.add_project("Few")
    connect(ls, s, few)
    healthy("newly connected", env, args=("--project", few))
    ids = ls.add_tasks(few, ["good %d" % i for i in range(5)])
    for i in ids[:2]:
        ls.annotate(i, "positive")
    healthy("two annotations, one label, four needed", env, args=("--project", few))
    for i in ids[2:4]:
        ls.annotate(i, "positive")
    names("four annotations, one label", env, "labels-too-few", args=("--project", few))
    _, got, _ = doctor(env)
    check("all projects: what is wrong with each", sorted(got) == ["config-no-choices", "labels-too-few", "labels-too-few"], got)
    for n in (other, one, few):
        prelabel("forget", "--project", n, **env)
        call(ls, "DELETE", "/api/projects/%d" % n)


def copy_of(s, name, sql=None):
    """The folder of a server, with its store changed."""
    to = os.path.join(WORK, name)
    os.mkdir(to, 0o700)
    db, out = sqlite3.connect(s.dir + "/prelabel.sqlite3"), sqlite3.connect(to + "/prelabel.sqlite3")
    db.backup(out)
    if sql:
        out.execute(sql)
        out.commit()
    out.close()
    db.close()
    return to


def t_trainer(ls, s, pid):
    bad = lambda h, path: path.endswith("/export") and (h.reply(200, b"not a list"), True)[1]
    folder = copy_of(s, "failing")
    with changed(ls, fault=bad):
        code, _, err = prelabel("train", "--full", "--project", pid, **dict(s.env, MODEL_DIR=folder))
        check("a training that fails for the injection", code == 1, err)
        names("the last training failed", s.env, "trainer-failing", MODEL_DIR=folder)
    folder = copy_of(s, "absent", "INSERT INTO train_job (project, state, reason, queued_s) SELECT row, 'queued', 'start', %d FROM project" % (time.time() - 600))
    names("queued, and nobody comes", s.env, "trainer-absent", MODEL_DIR=folder)


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
int statfs(const char *p, struct statfs *b)
{
	int (*real)(const char *, struct statfs *) = (int (*)(const char *, struct statfs *))dlsym(RTLD_NEXT, "statfs");
	int rc = real(p, b);
	if (getenv("FAKE_TYPE") != NULL)
		b->f_type = (long)strtoul(getenv("FAKE_TYPE"), NULL, 16);
	return rc;
}
int statvfs(const char *p, struct statvfs *b)
{
	int (*real)(const char *, struct statvfs *) = (int (*)(const char *, struct statvfs *))dlsym(RTLD_NEXT, "statvfs");
	int rc = real(p, b);
	if (getenv("FAKE_LEFT") != NULL)
		b->f_bavail = strtoul(getenv("FAKE_LEFT"), NULL, 10) / b->f_frsize;
	return rc;
}
"""


def t_folder(ls, s, pid):
    env = s.env
    shim = os.path.join(WORK, "shim.so")
    with open(shim[:-2] + "c", "w") as f:
        f.write(SHIM)
    r = subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", shim, shim[:-2] + "c", "-ldl"], capture_output=True, text=True)
    if check("statfs can be made to say what it must", r.returncode == 0, r.stderr):
        for name, magic in (("NFS", "6969"), ("CIFS", "ff534d42")):
            bad = names("a folder on " + name, env, "network-file-system", LD_PRELOAD=shim, FAKE_TYPE=magic)
            check("and it is named", bad and name in bad[0]["text"], bad)
        names("10 MB left", env, "disk-full", LD_PRELOAD=shim, FAKE_LEFT=10 << 20)
        healthy("1 GB left", env, LD_PRELOAD=shim, FAKE_LEFT=1 << 30)
    small = os.path.join(WORK, "small")
    os.mkdir(small)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "prelabel-test", small], capture_output=True).returncode == 0:
        try:
            db, out = sqlite3.connect(s.dir + "/prelabel.sqlite3"), sqlite3.connect(small + "/prelabel.sqlite3")
            db.backup(out)
            out.close()
            names("a real disk of 8 MB", env, "disk-full", MODEL_DIR=small)
        finally:
            subprocess.run(["umount", small])
    else:
        print("#    nothing can be mounted here: no disk of 8 MB")
    locked = copy_of(s, "locked")
    os.chmod(locked + "/prelabel.sqlite3", 0o444)
    os.chmod(locked, 0o555)
    program, user = PRELABEL, None
    if os.geteuid() == 0:               # to whom no folder is read-only
        program, user = os.path.join(WORK, "prelabel"), 65534
        shutil.copy(PRELABEL, program)
        os.chmod(WORK, 0o755)
    code, out, err = prelabel("doctor", "--json", program=program, user=user, **dict(env, MODEL_DIR=locked))
    got = json.loads(out)["faults"] if out.startswith("{") else out + err
    named.update(got)
    # Without its store there is no project to look at.
    check("read-only: folder-not-writable", code == 1 and got[0] == "folder-not-writable" and set(got[1:]) <= {"backend-not-connected"}, (code, got, err))
    code, out, err = prelabel("doctor", "--json", "--project", pid, program=program, user=user, **dict(env, MODEL_DIR=locked))
    got = json.loads(out)["faults"] if out.startswith("{") else out + err
    check("read-only, the project named: that alone", code == 1 and got == ["folder-not-writable"], (code, got, err))
    broken = os.path.join(WORK, "broken")
    os.mkdir(broken, 0o700)
    with open(broken + "/prelabel.sqlite3", "wb") as f:
        f.write(b"no database at all " * 500)
    names("a store that is none", env, "store-unreadable", args=("--project", pid), MODEL_DIR=broken)


def t_secret(ls, s, pid):
    """Basic auth, a secret, and webhooks without."""
    for name, extra, right, wrong in (
            ("basic auth", {}, {"Authorization": "Basic bGFiZWxlcjpzM2NyZXQ6d2l0aCBjb2xvbg=="}, {"Authorization": "Basic bGFiZWxlcjp3cm9uZw=="}),
            ("a secret", {"WEBHOOK_SECRET": SECRET}, {"x-webhook-secret": SECRET}, {"X-Webhook-Secret": "another"})):
        b = Server(ls, name.replace(" ", "-"), BASIC_AUTH_USER=USER, BASIC_AUTH_PASS=WORD, **extra)
        try:
            own = ls.add_project(name)
            st, out = connect(ls, b, own, auth_method="BASIC_AUTH", basic_auth_user=USER, basic_auth_pass=WORD)
            check(name + ": connected", st == 201 and out["state"] == "CO", (st, out))
            h = hook(ls, own)
            names(name + ": the webhook has no header", b.env, "webhook-no-secret")
            with changed(h, headers=wrong):
                names(name + ": the webhook has a wrong header", b.env, "webhook-wrong-secret")
            ids = ls.add_tasks(own, ["good %d" % i for i in range(6)])
            for i, label in zip(ids, ("positive", "negative", "positive")):
                ls.annotate(i, label)
            status = b.get("/status?project=%d" % own, "Basic bGFiZWxlcjpzM2NyZXQ6d2l0aCBjb2xvbg==")
            check(name + ": three refused ones are counted, with the cure", status["refused_webhooks"] == 3 and status["last_refused"]
                  and "X-Webhook-Secret" in status["cure"] and "prelabel connect" in status["cure"], status)
            code, text, _ = prelabel("status", **b.env)
            check(name + ": prelabel status says so, too", code == 0 and "refused        3 webhooks" in text and "prelabel connect" in text, text)
            with open(b.log) as f:
                lines = [line for line in f if "a webhook was refused" in line]
            check(name + ": the log says so once a minute", len(lines) == 1 and "WARNING" in lines[0] and "prelabel connect" in lines[0], lines)
            with changed(h, headers=right):
                names(name + ": right now, but none came since", b.env, "webhook-refused")
                time.sleep(1.1)             # times are kept in seconds
                with changed(h, updated_at=ls.now()):
                    healthy(name + ": put right after the last that was refused", b.env)
                ls.annotate(ids[3], "positive")
                healthy(name + ": the right header, and one came", b.env)
                check(name + ": no cure where nothing is ill", b.get("/status?project=%d" % own, right.get("Authorization", "Basic bGFiZWxlcjpzM2NyZXQ6d2l0aCBjb2xvbg=="))["cure"] is None)
                if not extra:
                    with changed(backend(ls, own), basic_auth_user="", auth_method="NONE"):
                        names(name + ": the backend without user", b.env, "backend-auth")
            if not extra:
                with changed(h, url=b.url.replace("://", "://labeler:s3cret%3Awith%20colon@") + "/webhook"):
                    healthy(name + ": credentials in the webhook's URL", b.env)
                with changed(h, url=b.url.replace("://", "://labeler:wrong-word@") + "/webhook"):
                    secrets.add("wrong-word")
                    names(name + ": wrong credentials in the webhook's URL", b.env, "webhook-wrong-secret")
        finally:
            b.stop()


def t_command(ls, s, pid):
    code, out, err = prelabel("doctor", **s.env)
    check("healthy: exit status 0, and it says so", code == 0 and out.endswith("nothing is wrong\n") and "FAIL" not in out and not err, (code, out, err))
    code, out, err = prelabel("doctor", **dict(s.env, LABEL_STUDIO_API_KEY=None))
    check("one fault: exit status 1, cause, name, cure", code == 1 and re.search(r"^FAIL key .*\(key-missing\)\n +Make a personal", out, re.M)
          and out.endswith("1 thing is wrong\n"), (code, out, err))
    for args in (("doctor", "more"), ("doctor", "--project", "x"), ("doctor", "--nothing")):
        code, out, err = prelabel(*args, **s.env)
        check("wrong usage: %s: exit status 2" % " ".join(args), code == 2 and out == "" and err, (code, out, err))
    before = len(ls.writes())
    doctor(s.env)
    new = ls.writes(0)[before:]
    check("nothing is changed in Label Studio", new and {p.rstrip("/") for _, p in new} <= {"/api/webhooks", "/api/ml"}, new)
    status = s.get("/status?project=%d" % pid)
    check("the status: when Label Studio last answered, and what serves", re.match("20..-", status["last_answer"]) and re.search(r"serving version \d+ since 20", status["state"]), status)
    check("GET /job_status says what is going on", s.get("/job_status?project=%d" % pid)["doing"] == status["state"], s.get("/job_status?project=%d" % pid))
    code, out, _ = prelabel("status", **s.env)
    check("prelabel status: the state, the last webhook, the last answer", code == 0 and "serving version" in out and "last webhook   20" in out and "last answer    20" in out, out)
    code, out, _ = prelabel("start", "--check", **s.env)
    check("start --check: the same looks", code == 0 and "ok   clock" in out and "admin@example.com" in out, out)
    code, out, _ = prelabel("start", "--check", **dict(s.env, LABEL_STUDIO_API_KEY=LEGACY))
    check("start --check: the same names", code == 1 and "(key-legacy-disabled)" in out, out)
    code, out, _ = prelabel("start", "--check", **dict(s.env, MODEL_COMMAND="/no/such/program"))
    named.update(re.findall(r"\(([a-z-]+)\)$", out, re.M))
    check("start --check: model-command", code == 1 and "(model-command)" in out, out)


def t_names():
    with open(os.path.join(TOP, "lib", "finding.c")) as f:
        every = set(re.findall(r'\[FAULT_[A-Z_]+\] = "([a-z-]+)"', f.read()))
    with open(os.path.join(TOP, "README.md")) as f:
        told = set(re.findall(r"^\| `([a-z]+-[a-z-]+)` \|", f.read(), re.M))
    with open(os.path.join(TOP, "deploy", "man", "prelabel-operations.7.in")) as f:
        man = set(re.findall(r"^\.It (?:Cm )?([a-z]+-[a-z-]+)$", f.read(), re.M))
    check("every fault has been made", named >= every, sorted(every - named))
    check("and none has another name", named <= every, sorted(named - every))
    check("README.md lists them all", told == every, sorted(told ^ every))
    check("prelabel-operations(7) lists them all", man == every, sorted(man ^ every))
    leaks = [(w[:6], o) for o in printed for w in secrets if w in o]
    check("%d outputs: no key, no password, no secret" % len(printed), printed and not leaks, leaks[:2])


GROUPS = {"studio": t_studio, "key": t_key, "backend": t_backend, "webhook": t_webhook, "predictions": t_predictions, "project": t_project,
          "trainer": t_trainer, "folder": t_folder, "secret": t_secret, "command": t_command}


def main():
    wanted = sys.argv[1:] or list(GROUPS)
    try:
        with Studio() as ls:
            s = Server(ls, "main")
            try:
                pid = ls.add_project("Reviews")
                st, out = connect(ls, s, pid)
                check("connected", st == 201 and out["state"] == "CO", (st, out))
                learn(ls, s, pid)
                healthy("at first", s.env)
                for name in wanted:
                    began = time.monotonic()
                    print("# " + name, flush=True)
                    try:
                        GROUPS[name](ls, s, pid)
                    except Exception:
                        check(name + ": ran to its end", False, traceback.format_exc())
                    healthy("after " + name, s.env)
                    print("#    %.1f s" % (time.monotonic() - began), flush=True)
            finally:
                s.stop()
        if len(wanted) == len(GROUPS):
            t_names()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
