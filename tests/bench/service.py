"""service.py - what a running service costs: requests, memory, start, trainings beside requests, plain CGI."""
import os
import random
import sqlite3
import subprocess
import sys
import time

from common import *
from fit import data_sets

FLOOR = "floor, the body of 1 task"


def trained(work, name, n=1000):
    s = Service(COMMAND, os.path.join(work, name))
    cold = s.version()
    s.annotate(1, n, 1)
    s.ok("POST", "/train", {"project": 1})
    s.wait_version(cold)
    return s


def load(work):
    s, floor = trained(work, "load"), floor_service(work)
    try:
        kinds = [(FLOOR, floor, "predict.lua", {"TASKS": 1}), ("/predict, 1 task", s, "predict.lua", {"TASKS": 1}),
                 ("/predict, 10 tasks", s, "predict.lua", {"TASKS": 10}), ("/predict, 100 tasks", s, "predict.lua", {"TASKS": 100}),
                 ("floor, the body of a webhook", floor, "webhook.lua", {}), ("/webhook, new annotations", s, "webhook.lua", {})]
        runs, first = {}, 10 ** 6
        for _ in range(RUNS):                   # in turn, so that a busy minute of the machine hits all of them
            for name, service, script, env in kinds:
                for c in (1, 8):
                    runs.setdefault((name, c), []).append(wrk(service, script, c, FIRST_ID=first, **env))
                    first += 10 ** 6
        got = {k: {x: median(r[x] for r in v) for x in v[0]} for k, v in runs.items()}
        refused = {k: int(sum(r["non2xx"] + r["socket_errors"] for r in v)) for k, v in runs.items()}
        body = []
        for (name, c), g in got.items():
            base = got["floor, the body of a webhook" if "webhook" in name else FLOOR, c]
            body.append((name, str(c), g["rps"], g["p50_ms"], g["p99_ms"], g["cpu_ms"], g["cpu_ms"] / base["cpu_ms"], base["rps"] / g["rps"],
                         str(refused[name, c])))
        one = median(a["cpu_ms"] / b["cpu_ms"] for a, b in zip(runs["/predict, 1 task", 8], runs[FLOOR, 8]))
        goal("`/predict` 1 task, 8 connections: CPU over the empty FastCGI program's", f"{one:.2f} × ({got['/predict, 1 task', 8]['cpu_ms']:.3f} ms)", "≤ 2 ×", one <= 2)
        many = got["/predict, 100 tasks", 8]["cpu_ms"]
        goal("`/predict` 100 tasks (20 words each, 4 classes)", f"{many:.2f} ms CPU", "≤ 1 ms CPU", many <= 1)
        table(f"Load: model of 1,000 examples, medians of {RUNS} runs of {SECONDS} s",
              ("request", "connections", "requests/s", "p50 ms", "p99 ms", "CPU ms a request", "CPU, floor = 1", "time, floor = 1", "not 2xx"), body,
              "CPU is that of the whole process tree. The floor is an empty FastCGI program (floor.c) that reads the same body, behind the same lighttpd.")
        return sum(refused.values())
    finally:
        s.stop()
        floor.stop()


def many(work):
    s = trained(work, "many")
    try:
        rng, n = random.Random(5), 100000
        text = [" ".join(text_of(rng, LABELS[i % 4]) for _ in range(5)) for i in range(500)]
        body = ('{"project":"1.%d","label_config":%s,"params":{"context":null},"tasks":[' % (PROJECT_S, json.dumps(CONFIG)) + ",".join(
            '{"id":%d,"data":{"text":%s},"annotations":[],"predictions":[],"project":1}' % (i, json.dumps(f"{i} {text[i % 500]}")) for i in range(n)) + "]}").encode()
        model_mb = store_bytes(os.path.join(work, "many"), 1) / 1e6
        predict = [p for p in s.tree() if os.path.basename(os.readlink(f"/proc/{p}/exe")) == "predict"]
        took, peak, cpu = [], [], []
        for _ in range(RUNS):
            for p in predict:
                with open(f"/proc/{p}/clear_refs", "w") as f:      # the peak counts from here
                    f.write("5")
            at, t = s.cpu_s(), time.monotonic()
            con = http.client.HTTPConnection("127.0.0.1", s.port, timeout=100)
            con.request("POST", "/predict", body, {"Content-Type": "application/json"})
            r = con.getresponse()
            out = r.read()
            took.append(time.monotonic() - t)
            cpu.append(s.cpu_s() - at)
            con.close()
            if r.status != 200 or out.count(b'"model_version"') != n:
                sys.exit(f"bench: 100,000 tasks: {r.status} {out[:200]!r}")
            peak.append(max(status_kb(p, "VmHWM:") for p in predict) / 1024 * 1.048576)
        size = len(body) / 1e6
        goal("`/predict` 100,000 tasks in one request", f"{median(took):.1f} s (CPU {median(cpu):.1f} s)", "≤ 20 s", median(took) <= 20)
        over = max(peak) - size - model_mb
        goal("memory of it beyond body and model", f"{over:.1f} MB (peak {max(peak):.0f} = body {size:.0f} + model {model_mb:.1f} + {over:.1f})", "a constant: ≤ 16 MB", over <= 16)
        say(f"\nThe answer has {len(out) / 1e6:.0f} MB; it takes the place of the tasks that are done.")
    finally:
        s.stop()


def status_kb(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key))


def store_bytes(folder, project):
    db = sqlite3.connect(os.path.join(folder, "prelabel.sqlite3"), timeout=10)
    try:
        return db.execute("SELECT sum(length(bytes)) FROM model_part WHERE version = (SELECT max(v.row) FROM model_version v JOIN project p ON p.row = v.project "
                          "WHERE p.id = ?)", (project,)).fetchone()[0]
    finally:
        db.close()


def labelled(path, n, seed=3):
    rng = random.Random(seed)
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"text": text_of(rng, LABELS[i % 4]), "label": LABELS[i % 4]}) + "\n" for i in range(n))


def texts_for(work, key, least):
    """A file of as many made-up texts as give a model with `key` (terms or bytes) of `least` or a little more, and what it has."""
    path, n = os.path.join(work, key + ".jsonl"), 1000
    for _ in range(6):
        labelled(path, n)
        got = json.loads(once([MEASURE, "fit", "1", path])[0])
        if least <= got[key] <= 1.1 * least:
            break
        n = int(n * 1.05 * least / got[key]) + 1
    return path, got


def clean_env(**more):
    return dict({k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "BASIC_AUTH_", "WEBHOOK_SECRET"))}, LOG_LEVEL="WARNING", **more)


def import_and_train(folder, path, project=1):
    env = clean_env(MODEL_DIR=folder)
    once([PRELABEL, "import", "--project", str(project), path], env=env)
    once([PRELABEL, "train", "--project", str(project)], env=env, stderr=subprocess.DEVNULL)


def cgi(work):
    path, got = texts_for(work, "terms", 100000)
    folder = os.path.join(work, "cgi")
    import_and_train(folder, path)
    body = os.path.join(work, "request.json")
    with open(body, "w", encoding="utf-8") as f:
        json.dump({"project": "1", "tasks": [{"id": 1, "data": {"text": text_of(random.Random(9), LABELS[0])}}]}, f)
    env = clean_env(MODEL_DIR=folder, REQUEST_METHOD="POST", SCRIPT_NAME="/predict", CONTENT_TYPE="application/json", CONTENT_LENGTH=str(os.path.getsize(body)),
                    GATEWAY_INTERFACE="CGI/1.1", SERVER_PROTOCOL="HTTP/1.1", QUERY_STRING="", PATH_INFO="")
    answer, wall, cpu = os.path.join(work, "answer"), [], []
    actions = [(os.POSIX_SPAWN_OPEN, 0, body, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, answer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
    for _ in range(20 * RUNS + 1):
        t = time.monotonic()
        pid = os.posix_spawn(BUILD + "/cgi/predict", ["predict"], env, file_actions=actions)
        _, status, used = os.wait4(pid, 0)
        wall.append(time.monotonic() - t)
        cpu.append(used.ru_utime + used.ru_stime)
        with open(answer, "rb") as f:
            if status or b"-1-" not in f.read():
                sys.exit(f"bench: plain CGI: exit {status}, or not the trained version")
    ms, cpu_ms = 1000 * median(wall[1:]), 1000 * median(cpu[1:])
    goal(f"plain CGI: one prediction, process start included, {got['terms']:,} terms", f"{ms:.1f} ms (CPU {cpu_ms:.1f} ms)", "≤ 5 ms", ms <= 5)


def start(work):
    body = []
    for name, command in (("prelabel start", PRELABEL + " start"), ("make run, nothing to build", f"make -s BUILD={BUILD} run")):
        took = []
        for _ in range(RUNS + 1):                   # the first one is not counted: it makes the store and fills the caches
            s = Service(command, os.path.join(work, "start-" + name.split()[0]))
            took.append(s.start_s)
            s.stop()
        body.append((name, median(took[1:]), max(took[1:]), took[0]))
    goal("start of everything to the first 200", f"{body[0][1]:.3f} s", "≤ 0.1 s", body[0][1] <= 0.1)
    table("Start to first answer", ("command", "median s", "most s", "first, with an empty store"), body)


def memory(work):
    path, got = texts_for(work, "bytes", 2000000)
    folder = os.path.join(work, "memory")
    import_and_train(folder, path)
    s = Service(COMMAND, folder)
    try:
        for _ in range(3):          # more at once than one process has threads: all of them load it
            r = wrk(s, "ask.lua", 32, METHOD="POST", URL_PATH="/predict", BODY=json.dumps({"project": "1", "tasks": [{"data": {"text": "market shares"}}] * 20}))
        for method, url, body in (("POST", "/setup", json.dumps({"project": f"1.{PROJECT_S}", "schema": CONFIG})), ("GET", "/status", ""), ("GET", "/health", "")):
            r = wrk(s, "ask.lua", 16, METHOD=method, URL_PATH=url, BODY=body)
        s.annotate(10 ** 6, 100, 3)
        mem = s.memory()
        pss = sum(m[2] for m in mem)
        goal(f"PSS of lighttpd and all programs, {got['bytes'] / 1e6:.1f} MB model in every predict process", f"{pss:.1f} MiB in {sum(m[1] for m in mem)} processes", "≤ 20 MiB", pss <= 20)
        table("Memory (all processes of the service)", ("program", "processes", "PSS MiB", "private MiB"),
              [(n, str(k), p, o) for n, k, p, o in mem] + [("sum", str(sum(m[1] for m in mem)), pss, sum(m[3] for m in mem))])
        return int(r["non2xx"])
    finally:
        s.stop()


# ---- trainings ---------------------------------------------------------------------------
def labels(work):
    """10 new labels on top of n: from the start of the trainer to the version in the store, and from the webhook to it being served."""
    body = []
    for n in (1000, 10000):
        folder = os.path.join(work, f"labels-{n}")
        path = os.path.join(work, "labels.jsonl")
        rng = random.Random(n)
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps({"text": text_of(rng, LABELS[i % 3]), "label": LABELS[i % 3]}) + "\n" for i in range(n))
        import_and_train(folder, path)
        s = Service(COMMAND, folder)            # with no trainings of its own: here they are started by hand
        db = sqlite3.connect(os.path.join(folder, "prelabel.sqlite3"), timeout=10, isolation_level=None)
        config = db.execute("SELECT label_config FROM project").fetchone()[0]
        newest = "SELECT max(row) FROM model_version"
        published, ended, cpu = [], [], []
        try:
            for k in range(RUNS + 1):
                s.annotate(n + 1000 + 10 * k, 10, k, config, LABELS[:3])
                was, t = db.execute(newest).fetchone()[0], time.monotonic()
                p = subprocess.Popen([PRELABEL, "train", "--project", "1"], env=clean_env(MODEL_DIR=folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                while db.execute(newest).fetchone()[0] == was and time.monotonic() - t < 60:
                    time.sleep(0.0005)
                published.append(time.monotonic() - t)
                _, status, used = os.wait4(p.pid, 0)
                p.returncode = os.waitstatus_to_exitcode(status)
                ended.append(time.monotonic() - t)
                cpu.append(used.ru_utime + used.ru_stime)
                if p.returncode or db.execute(newest).fetchone()[0] == was:
                    sys.exit(f"bench: prelabel train: exit {p.returncode}, no version")
        finally:
            db.close()
            s.stop()
        ms, most = 1000 * median(published[1:]), 20 if n == 1000 else 200
        goal(f"10 new labels on {n:,} (3 classes), no key: job start to published", f"{ms:.0f} ms (CPU of the trainer {1000 * median(cpu[1:]):.0f} ms)", f"≤ {most} ms", ms <= most)
        body.append((f"{n:,}", ms, 1000 * max(published[1:]), 1000 * median(ended[1:]), 1000 * median(cpu[1:]), 1000 * served(work, n)))
    table("10 new labels", ("examples", "published, median ms", "most ms", "trainer ended, median ms", "its CPU ms", "webhook of the last label to the version serving, median ms"), body,
          "A trainer of its own process each time, its start included.")


def served(work, n):
    """Seconds from the N-th annotation's webhook to the new version being served by a service that trains by itself."""
    s = Service(COMMAND, os.path.join(work, f"retrain-{n}"), 10)
    try:
        v = s.version()
        s.annotate(1, n, n)                     # due at once: the version before the first one measured
        v = s.wait_version(v)
        took = []
        for k in range(RUNS):
            time.sleep(0.7)                     # the trainer before has ended, as between an annotator's labels
            s.annotate(n + 1 + 10 * k, 9, k)
            t = time.monotonic()
            s.annotate(n + 10 + 10 * k, 1, k)
            v = s.wait_version(v)
            took.append(time.monotonic() - t)
        return median(took)
    finally:
        s.stop()


def running(db):
    return db.execute("SELECT count(*) FROM train_job WHERE state = 'running'").fetchone()[0] > 0


def wait(db, what, seconds=120):
    end = time.monotonic() + seconds
    while running(db) != what:
        if time.monotonic() > end:
            sys.exit(f"bench: no training {'began' if what else 'ended'} within {seconds} s")
        time.sleep(0.01)


def training(work):
    """Latencies of a closed loop of two connections, idle and while a training of 77 classes runs, in turn."""
    train = next(x for x in data_sets(work) if x[2] == 77)[3]
    with open(train, encoding="utf-8") as f:
        label = json.loads(f.readline())["label"]
    folder = os.path.join(work, "training")
    once([PRELABEL, "import", "--project", "2", train], env=clean_env(MODEL_DIR=folder))
    s = trained(work, "training")
    db = sqlite3.connect(os.path.join(folder, "prelabel.sqlite3"), timeout=10, isolation_level=None)
    asked = {"/predict, 1 task": ("predict.lua", {"TASKS": 1}), "/health": ("ask.lua", {"METHOD": "GET", "URL_PATH": "/health"}),
             "/setup": ("ask.lua", {"METHOD": "POST", "URL_PATH": "/setup", "BODY": json.dumps({"project": f"1.{PROJECT_S}", "schema": CONFIG})})}
    runs, covered, trainings = {}, [], 0
    try:
        wait(db, False)
        config = db.execute("SELECT label_config FROM project WHERE id = 2").fetchone()[0]
        for _ in range(RUNS):
            for name, (script, env) in asked.items():
                runs.setdefault((name, False), []).append(wrk(s, script, 2, **env))
                if not running(db):
                    s.annotate(10 ** 6 * (1 + trainings), 1, trainings, config, [label], 2)
                    s.ok("POST", "/train", {"project": 2})
                    trainings += 1
                    wait(db, True)
                    time.sleep(0.1)
                runs.setdefault((name, True), []).append(wrk(s, script, 2, **env))
                covered.append(running(db))
                wait(db, False)
        body, bad = [], 0
        for name in asked:
            idle, during = ({x: median(r[x] for r in runs[name, b]) for x in runs[name, b][0]} for b in (False, True))
            failed = int(sum(r["non2xx"] + r["socket_errors"] for r in runs[name, True]))
            bad += failed + int(sum(r["non2xx"] + r["socket_errors"] for r in runs[name, False]))
            ratio = during["p99_ms"] / idle["p99_ms"]
            goal(f"`{name.split(',')[0]}` while a training runs: p99 over idle", f"{ratio:.1f} × ({during['p99_ms']:.2f} ms), {failed} failures", "≤ 3 ×, none", ratio <= 3 and not failed)
            body += [(name, "idle", *(idle[x] for x in ("rps", "p50_ms", "p90_ms", "p99_ms", "max_ms")), ""), (name, "training", *(during[x] for x in ("rps", "p50_ms", "p90_ms", "p99_ms", "max_ms")), str(failed))]
        table("While a training runs (77 classes, one thread)", ("request, 2 connections", "when", "requests/s", "p50 ms", "p90 ms", "p99 ms", "most ms", "failed"), body,
              f"Medians of {RUNS} runs of {SECONDS} s, idle and training in turn; in {sum(covered)} of {len(covered)} the training was still at work when the run ended.")
        return bad
    finally:
        db.close()
        s.stop()
