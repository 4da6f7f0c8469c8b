"""
test_reliability.py - the promises about what goes on around the requests: events that never came, deletion, idle
connections, secrets, files, restarts, a Label Studio that can't be trusted.  Named by number, as in test_promises.py.

IDLE: idle and half-spoken connections of r14 (500; a release: 10000, with a limit of open files that allows it).
"""
import base64
import json
import os
import re
import resource
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time

from harness import (BUILD, LEGACY, PERSONAL, ROOT, SLOW, Cgi, Project, Server, Studio, check, content, feed, number, prelabel, review, stall,
                     train, wait_for, wrong_predictions)

QUIET = {"START_TRAINING_EACH_N_UPDATES": 100000}
IDLE = int(os.environ.get("IDLE", 500))


def big(b, n=4000):
    """A project whose training takes a while."""
    p = Project(1)
    p.labels = ["positive", "negative", "neutral"]
    tasks = [p.task(review(p.labels[i % 3], i) + f" and {i % 97} more words {i}") for i in range(n)]
    many = [p.annotation(t, t, p.labels[t % 3]) for t in tasks]
    v = b.version(p)
    for i in range(0, n, 1000):
        b.hook(p.created_many(many[i:i + 1000]))
    return p, v


def idle(b):
    return b.db("select count(*) from train_job where state in ('queued', 'running')") == [(0,)]


def in_folder(b):
    """{name: bytes} of all files of its folder."""
    return {f: content(os.path.join(b.dir, f)) for f in os.listdir(b.dir) if os.path.isfile(os.path.join(b.dir, f))}


# ---- R3 not lost in silence -------------------------------------------------

def r03_answered_in_time():
    """99 of 100 events within 200 ms while trainings run one after the other, each with thousands of texts."""
    with Server(START_TRAINING_EACH_N_UPDATES=50) as b:
        p, _ = big(b, 3000)
        answers, stalls = [], []
        for i in range(300):
            e = p.labelled(review("positive", 90000 + i), "positive")
            answers.append(b.timed(lambda e=e: b.hook(e)))
            stalls.append(stall(b.dir))
        took, stalls = sorted(a.seconds for a in answers), sorted(stalls)
        usual, most = stalls[-len(stalls) // 100 - 1], stalls[-1]
        check("all stored", {a.status for a in answers} == {201}, [str(a) for a in answers if a.status != 201][:2])
        check("p99 within 200 ms", took[-len(took) // 100 - 1] < 0.2 * SLOW + usual, (took[-5:], stalls[-5:]))
        check("none over 900 ms", took[-1] < 0.9 * SLOW + most, (took[-5:], stalls[-5:]))
        check("and trainings ran meanwhile", b.db("select count(*) from train_job")[0][0] >= 2, b.db("select state, count(*) from train_job group by 1"))


def r03_a_hundred_events_dropped():
    """Of 300 events a hundred never come; the next reading of the export finds every one."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **QUIET) as b:
        v = b.version(p)
        wait_for(lambda: b.db("select fetched_s from project where fetched_s > 0") and idle(b), 60)        # that of the first connection
        time.sleep(1.5)         # a second after its start, the server asks for every project that it knows
        wait_for(lambda: idle(b), 60)
        events = p.some(300)
        feed(b, [e for i, e in enumerate(events) if i % 3])
        check("200 came", b.db("select count(*) from annotation") == [(200,)])
        w = train(b, p, v)
        want = sorted((str(a["task"]), p.tasks[a["task"]]["text"], a["result"][0]["value"]["choices"][0], "1") for a in p.annotations.values())
        check("all 300 are learned from", number(w) == 1 and b.examples() == want and b.db("select n_examples from model_version order by number desc limit 1") == [(300,)], (w, len(b.examples())))


# ---- R8 privacy ---------------------------------------------------------------

def r08_a_thousand_words():
    """forget: none of 1,000 words that were in a project's texts, labels, settings or title is left anywhere in the folder."""
    with Server(**QUIET) as b:
        p, q = Project(1, [f"markzq{i}label" for i in range(4)]), Project(2)
        feed(b, q.some(8))
        train(b, q)
        b.post("/setup", p.setup_body(extra_params='{"note": "markzq9998"}'))
        for i in range(0, 996, 4):
            feed(b, [p.labelled(f"text with markzq{k}word in it", p.labels[k % 4]) for k in range(i, i + 4)])
        renamed = p.event("PROJECT_UPDATED")
        renamed["project"]["title"] = "markzq9999"
        b.hook(renamed)
        b.hook(p.deleted(5))
        train(b, p)
        before = sum(raw.count(b"markzq") for raw in in_folder(b).values())
        check("control: they are there", before > 1000, before)
        code, out, err = b.cli("forget", "--project", 1)
        check("forget: exit 0", code == 0, (code, out, err))
        left = {f: raw.count(b"markzq") for f, raw in in_folder(b).items() if b"markzq" in raw}
        check("none is left in any file of the folder, log and journal among them", not left, left)
        check("nor a row of it", {t: n for t in ("annotation", "task", "event", "train_job", "model_version", "train_job_pruned")
                                  for n in [b.db(f"select count(*) from {t} where project not in (select row from project where id = 2)")[0][0]] if n} == {})
        check("the other project serves on", number(b.version(q)) == 1 and not wrong_predictions(b.predict(q, ["x"]), 1, q))


# ---- R14 idle and half-spoken connections ---------------------------------------

def r14_many_idle_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, IDLE + 2000)), hard))
    with Server(**QUIET) as b:
        p, silent = Project(), []
        v = b.version(p)
        b.warm()
        try:
            for i in range(IDLE):
                s = b.connect()
                if i % 3 == 1:
                    s.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Le")
                elif i % 3 == 2:
                    s.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
                silent.append(s)
            asks = (lambda: b.get("/health"), lambda: b.predict(p, ["x"]), lambda: b.hook(p.labelled("great", "positive")))
            times = [b.timed(ask).seconds for ask in asks]
            waiting = select.poll()         # one that was closed, since it was silent for 10 s, can be read
            for s in silent:
                waiting.register(s, select.POLLIN)
            there = len(silent) - len(waiting.poll(0))
            check(f"{IDLE} idle or half-spoken connections: each answer within 1 s", there > IDLE * 0.9 and max(times) < 1 * SLOW, (there, times))
        finally:
            for s in silent:
                s.close()
        check("and afterwards all is as before", b.version(p) == v and not wrong_predictions(b.predict(p, ["x"]), 1, p))


# ---- R16, R18 secrets ---------------------------------------------------------------

SECRETS = {"LABEL_STUDIO_API_KEY": LEGACY, "BASIC_AUTH_PASS": "passzq:with/odd", "WEBHOOK_SECRET": "hooksecretzq"}


def traces(b, outputs):
    """Where the secrets show, as they are or in base64: command lines and titles, files, what was answered and printed."""
    words = [w for s in SECRETS.values() for w in (s.encode(), base64.b64encode(s.encode()))] + [base64.b64encode(b"ann:" + SECRETS["BASIC_AUTH_PASS"].encode())]
    found = []
    for pid in b.tree():
        for name in ("cmdline", "comm"):
            found += [f"/proc/{name} of {pid}" for w in words if w in content(f"/proc/{pid}/{name}")]
    for folder, _, files in os.walk(b.dir):
        found += [f for f in files for w in words if w in content(os.path.join(folder, f))]
    for run in {os.path.dirname(line.split()[-1]) for line in open("/proc/net/unix") if "/prelabel." in line}:
        for folder, _, files in os.walk(run):
            found += [f for f in files for w in words if os.path.isfile(os.path.join(folder, f)) and w in content(os.path.join(folder, f))]
    return found + [f"output {i}: {o[:200]}" for i, o in enumerate(outputs) for w in words if w in (o if isinstance(o, bytes) else str(o).encode())]


def r18_secrets_show_nowhere():
    """Key, password and webhook secret: in no log, store, title, answer, message or core; at DEBUG, in errors, while Label Studio repeats them."""
    p = Project()
    with Studio(p, kind="legacy") as ls:
        with Server(LABEL_STUDIO_HOST=ls.url, LOG_LEVEL="DEBUG", BASIC_AUTH_USER="ann", START_TRAINING_EACH_N_UPDATES=8, **SECRETS) as b:
            said = []
            v = b.version(p)
            # What the first reading finds in Label Studio before its event comes is no news.
            check("control: Label Studio is read", wait_for(lambda: b.db("select fetched_s from project where fetched_s is not null"), 60), ls.seen[-3:])
            for path in ("/setup", "/predict", "/webhook", "/status", "/versions", "/metrics", "/nothing"):
                for auth in (b.auth, "Basic " + base64.b64encode(b"ann:wrong" + SECRETS["BASIC_AUTH_PASS"].encode()).decode(), b.auth + "x", "Bearer " + SECRETS["BASIC_AUTH_PASS"]):
                    for body in (b"{", None):
                        said.append(b.request("POST" if body else "GET", path, body, {"Authorization": auth, "X-Webhook-Secret": SECRETS["WEBHOOK_SECRET"] + "?"}).body)
            answers = [b.hook(e, headers={"X-Webhook-Secret": SECRETS["WEBHOOK_SECRET"]}) for e in p.some(8)]
            check("control: events come in", {a.status for a in answers} == {201}, [str(a) for a in answers if a.status != 201])
            w = b.wait_version(p, v)
            check("control: it trains", number(w) == 1, w)

            def echo(h, path):
                h.reply(401, json.dumps({"detail": "no: " + str(dict(h.headers))}).encode())
                return True
            ls.fault = echo
            for args in (("train", "--project", 1, "--full"), ("sync", "--project", 1), ("push", "--project", 1), ("status", "--json"), ("env",), ("doctor",), ("env", "--nothing")):
                said += b.cli(*args, timeout=90)[1:]
            said.append(b.get("/status").body)
            found = traces(b, said)
            check("in no log, store, title, answer or message", not found, found[:5])
            limits = {pid: next((line.split()[4] for line in content(f"/proc/{pid}/limits").decode().splitlines() if line.startswith("Max core")), "0") for pid in b.tree()}
            check("no process of it leaves a core", limits and set(limits.values()) <= {"0", "1"}, limits)


def r18_no_core_of_a_command():
    """A command by hand, killed by a signal that leaves a core: there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with Cgi(**QUIET) as b:
        fifo = os.path.join(b.dir, "wait")
        os.mkfifo(fifo)
        proc = subprocess.Popen([os.path.join(BUILD, "prelabel"), "import", "--project", "1", fifo], cwd=ROOT, env=b.env, stderr=subprocess.DEVNULL,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)))
        got = wait_for(lambda: re.search(rb"Max core file size\s+(\d+|unlimited)", content(f"/proc/{proc.pid}/limits")) and b"prelabel" in content(f"/proc/{proc.pid}/comm")
                       and re.search(rb"Max core file size\s+[01]\s", content(f"/proc/{proc.pid}/limits")), 10)
        proc.send_signal(signal.SIGKILL)
        proc.wait()
        check("its limit of a core is none", bool(got) or hard == 0)


# ---- R27 files ------------------------------------------------------------------------

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/vfs.h>
int statfs(const char *p, struct statfs *b)
{
	int (*real)(const char *, struct statfs *) = (int (*)(const char *, struct statfs *))dlsym(RTLD_NEXT, "statfs");
	int rc = real(p, b);
	if (getenv("FAKE_TYPE") != NULL)
		b->f_type = (long)strtoul(getenv("FAKE_TYPE"), NULL, 16);
	return rc;
}
"""


def r27_network_file_system():
    if b"ld-linux" not in content(os.path.join(BUILD, "prelabel"))[:4096]:
        check("one file without a loader takes no library beside it: left to the other builds", b"ELF" in content(os.path.join(BUILD, "prelabel"))[:8])
        return
    if shutil.which(os.environ.get("CC", "cc")) is None:
        check("no compiler is here to make statfs say what it must: left to where there is one", not os.path.exists("/usr/bin/cc"))
        return
    work = tempfile.mkdtemp(prefix="prelabel-r27-")
    try:
        shim = os.path.join(work, "shim.so")
        with open(shim[:-2] + "c", "w") as f:
            f.write(SHIM)
        r = subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", shim, shim[:-2] + "c", "-ldl"], capture_output=True, text=True)
        if not check("statfs can be made to say what it must", r.returncode == 0, r.stderr):
            return
        with Cgi(**QUIET) as b:
            for name, magic, refused in (("NFS", "6969", True), ("CIFS", "ff534d42", True), ("Ceph", "c36400", True), ("ext4", "ef53", False), ("9P", "1021997", False)):
                folder = os.path.join(work, name)
                env = dict(b.env, MODEL_DIR=folder, FAKE_TYPE=magic)
                if not os.environ.get("SANITIZE"):
                    env["LD_PRELOAD"] = shim
                else:
                    continue            # the sanitizer's runtime wants to be the first
                code, out, err = prelabel("status", env=env)
                there = os.path.exists(folder + "/prelabel.sqlite3")
                check(f"{name}: {'refused, with the reason, and no store made' if refused else 'served'}",
                      (code == 1 and f"network file system ({name})" in err and not there) if refused else (there and "network" not in err), (code, out, err, there))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if os.environ.get("SANITIZE"):
        check("left to the build without a sanitizer", True)


def r27_links_and_modes():
    """A store that is a link is refused and left alone; what is looser than it should be is tightened at the start."""
    with Cgi(**QUIET) as b:
        p = Project()
        b.hook(p.labelled("great", "positive"))
        store, away = b.dir + "/prelabel.sqlite3", b.dir + "/away"
        os.rename(store, away)
        for name, make in (("a link", lambda: os.symlink(away, store)), ("a link to nothing", lambda: os.symlink(away + "x", store)), ("a folder", lambda: os.mkdir(store)),
                           ("a pipe", lambda: os.mkfifo(store))):
            make()
            before = content(away)
            a = b.hook(p.labelled("food", "negative"))
            code, out, err = b.cli("status")
            check(f"{name} in the place of the store: 503, and the reason", a.status == 503 and code == 1 and "not a regular file" in err, (str(a), code, err))
            check(f"{name}: what is behind it is as it was", content(away) == before and not os.path.exists(away + "x"))
            os.rmdir(store) if name == "a folder" else os.unlink(store)
        os.rename(away, store)
        os.chmod(store, 0o666)
        check("a store for everybody: served", b.hook(p.labelled("food", "negative")).status == 201)
        check("and tightened", stat.S_IMODE(os.stat(store).st_mode) == 0o600, oct(os.stat(store).st_mode))
    with tempfile.TemporaryDirectory() as top:
        umask = os.umask(0)
        try:
            code, out, err = prelabel("status", env=dict(b.env, MODEL_DIR=top + "/a/b"))
        finally:
            os.umask(umask)
        modes = {d: oct(stat.S_IMODE(os.stat(top + d).st_mode)) for d in ("/a", "/a/b")}
        check("folders that it makes are for their owner alone, whatever the umask", set(modes.values()) == {"0o700"}, (modes, err))


# ---- R28 restarts ---------------------------------------------------------------------

def r28_restart_under_load():
    """Four restarts under load: what was being answered ends within 5 s, nothing acknowledged is lost, and it goes on at once."""
    with Server(START_TRAINING_EACH_N_UPDATES=20) as b:
        p = Project()
        b.version(p)
        acknowledged, bad, slow, stop, lock = [], [], [], threading.Event(), threading.Lock()
        first = iter(range(1, 100))

        def send(kind):
            with lock:
                q = Project(1, first=10**6 * next(first))
            while not stop.is_set():
                e = q.labelled(review(q.labels[q.next % 2], q.next), q.labels[q.next % 2])
                began = time.monotonic()
                try:
                    a = b.hook(e) if kind else b.predict(p, ["x"] * 20)
                except OSError:                 # nobody listened, or it was in the queue of who went
                    time.sleep(0.02)
                    continue
                if time.monotonic() - began > 5 * SLOW:
                    slow.append(time.monotonic() - began)
                if kind and a.status == 201:
                    acknowledged.append(e["annotation"]["id"])
                elif a.status not in (200, 503):
                    bad.append(str(a))
        threads = [threading.Thread(target=send, args=(k % 2,)) for k in range(4)]
        for t in threads:
            t.start()
        downs, lefts = [], []
        for _ in range(4):
            n = len(acknowledged)
            wait_for(lambda n=n: len(acknowledged) > n + 10, 30)
            began = time.monotonic()
            lefts.append(b.stop())
            downs.append(time.monotonic() - began)
            b.start()
        n = len(acknowledged)
        wait_for(lambda: len(acknowledged) > n + 10, 30)
        stop.set()
        for t in threads:
            t.join(30)
        check("each stop within 5 s, nothing left", max(downs) < 5 * SLOW and not any(lefts), (downs, lefts))
        check("no answer took longer, none was wrong", not slow and not bad, (slow[:3], bad[:3]))
        have = {int(e[0]) for e in b.examples()}
        check(f"{len(acknowledged)} acknowledged, none lost", len(acknowledged) > 50 and set(acknowledged) <= have, len(set(acknowledged) - have))
        wait_for(lambda: idle(b), 60)
        check("the trainings that were handed back are done", b.db("select count(*) from train_job where state = 'failed'") == [(0,)] and number(b.version(p)) >= 1,
              b.db("select state, attempt, note from train_job order by row desc limit 4"))


# ---- R29 a Label Studio that can't be trusted -------------------------------------------

def r29_hostile_project():
    """The project that Label Studio tells of has a hostile labeling config, title or time: said, and nothing of it is taken over."""
    secret = os.path.join(tempfile.gettempdir(), f"prelabel-r29-{os.getpid()}")
    with open(secret, "w") as f:
        f.write("PREFIX-of-a-secret-file")
    p = Project()
    good = p.config
    inner = good.removeprefix("<View>").removesuffix("</View>")
    bombs = {"an external entity": f'<!DOCTYPE View [<!ENTITY x SYSTEM "file://{secret}">]><View><Header value="&x;"/>{inner}</View>',
             "a billion laughs": "<!DOCTYPE View [" + '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 11)) + f"]><View>&a10;{inner}</View>",
             "no XML": "<View", "2 MB": "<View>" + "<Header/>" * 240000 + inner + "</View>", "1000 deep": "<View>" * 1000 + inner + "</View>" * 1000,
             "XInclude": f'<View xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file://{secret}" parse="text"/>{inner}</View>'}      # the last, since it is an ordinary config
    try:
        with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **QUIET) as b:
            v = b.version(p)
            feed(b, p.some(8))
            before = b.db("select config_hash, title from project")
            for name, config in bombs.items():
                p.own_config = config
                began = time.monotonic()
                code, out, err = b.cli("train", "--project", 1, "--full", timeout=60)
                p.own_config = good
                check(f"{name}: an answer within 20 s, without the file", time.monotonic() - began < 20 * SLOW and "PREFIX" not in out + err + b.log_text(), (code, out, err))
                check(f"{name}: the labeling config that was there is served", not wrong_predictions(b.predict(p, ["x"]), 1, p) and
                      (name == "XInclude" or b.db("select config_hash from project")[0][0] == before[0][0]), b.db("select config_hash, reason from project"))
                check(f"{name}: nothing of the file in the store", not [f for f, raw in in_folder(b).items() if b"PREFIX-of-a-secret" in raw])
            code, out, err = b.cli("train", "--project", 1, "--full")
            check("well again: it trains", code == 0 and number(b.version(p)) >= 1, (v, code, err))
    finally:
        os.unlink(secret)


def r29_asked_seldom():
    """Down for good: at most 6 attempts a minute; a key that is refused: none but those that somebody asks for."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=PERSONAL, START_TRAINING_EACH_N_UPDATES=8) as b:
        b.version(p)
        wait_for(lambda: idle(b), 30)
        ls.fault = lambda h, path: h.fail(503, "down") or True
        feed(b, p.some(8))
        b.hook(p.event("START_TRAINING"))
        began = time.monotonic()

        def attempts():
            return b.db("select attempt from train_job order by row desc limit 1")[0][0]
        check("down: it is tried again", wait_for(lambda: attempts() >= 2, 60), attempts())
        time.sleep(max(0.0, 20 - (time.monotonic() - began)))
        got, most = attempts(), 2 + (time.monotonic() - began) / 10
        check("down: but not more than six times a minute", got <= most, (got, most))
        check("the reason is in the status", "503" in b.get("/status?project=1").body.decode(), b.get("/status?project=1"))
        check("predictions go on", not wrong_predictions(b.predict(p, ["x"]), 1, p))
