"""test_cli.py - the command line: exit statuses 0, 1, 2; --json; import, train, evaluate, predict, versions, rollback, forget, env, health."""
import json
import math
import os
import re
import shutil
import socket
import tempfile
import threading
import time

from harness import BUILD, Project, Server, check, content, digest, feed, free_port, number, prelabel, review, settings, train

THREE = ["positive", "negative", "neutral"]


class Store:
    """A folder of its own and the command line on it."""

    def __init__(self, **extra):
        self.dir = tempfile.mkdtemp(prefix="prelabel-cli-")
        self.env = settings(self.dir, **extra)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def __call__(self, *args, stdin=None, timeout=60):
        return prelabel(*args, env=self.env, stdin=stdin, timeout=timeout)

    def file(self, name, rows):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            for r in rows:
                f.write(r if isinstance(r, str) else json.dumps(r, ensure_ascii=False))
                f.write("\n")
        return path


def rows(n, start=0, labels=THREE):
    return [{"text": review(labels[i % len(labels)], i), "label": labels[i % len(labels)]} for i in range(start, start + n)]


def one_line(err):
    return len(err.strip().splitlines()) == 1


def parse(out):
    try:
        return json.loads(out)
    except ValueError:
        return None


def t_usage():
    with Store() as run:
        for args in ((), ("nonsense",), ("import",), ("import", "--project", "1"), ("versions", "--project"), ("status", "--project", "x"), ("status", "--wat"),
                     ("rollback", "--project", "1"), ("train", "--project", "-1"), ("forget",), ("predict", "--project", "99999999999999999999", "-")):
            code, out, err = run(*args)
            check(f"exit 2: prelabel {' '.join(args)}", code == 2 and (err.strip() or not args and out.strip()), (code, out[:200], err[:200]))
        for args in (("help",), ("--help",)):
            code, out, err = run(*args)
            check(f"exit 0: prelabel {' '.join(args)}", code == 0 and "import" in out and "rollback" in out, (code, out[:200], err))
        for verb in ("status", "train", "push", "predict", "evaluate", "import", "versions", "rollback", "env", "health", "start", "forget"):
            code, out, err = run("help", verb)
            check(f"prelabel help {verb}", code == 0 and verb in out, (code, out[:100], err))


def t_failures():
    with Store() as run:
        good = run.file("a.jsonl", rows(6))
        for args in (("versions", "--project", "1"), ("train", "--project", "1"), ("evaluate", "--project", "1"), ("forget", "--project", "1"),
                     ("import", "--project", "1", "/no/such/file"), ("predict", "--project", "1", "/no/such/file"), ("rollback", "--project", "1", "tfidf_logreg-1-abcdef")):
            code, out, err = run(*args)
            check(f"exit 1, one line on stderr: prelabel {' '.join(args)}", code == 1 and one_line(err), (code, out[:200], err[:300]))
        run("import", "--project", 1, good)
        code, out, err = run("rollback", "--project", 1, "tfidf_logreg-99-abcdef")
        check("rollback to a version that never was: exit 1", code == 1 and one_line(err), (code, err))


def t_import_train_evaluate():
    with Store() as run:
        train_file, test_file = run.file("train.jsonl", rows(120)), run.file("test.jsonl", rows(45, 300))
        code, out, err = run("import", "--project", 1, train_file)
        check("import makes the project: exit 0", code == 0 and "120" in out + err, (code, out, err))
        code, out, err = run("train", "--project", 1)
        check("train: exit 0", code == 0, (code, out, err))
        code, out, err = run("versions", "--project", 1, "--json")
        j = parse(out)
        check("versions --json: JSON with version 1", code == 0 and j is not None and "tfidf_logreg-1-" in out, (code, out, err))
        code, out, err = run("versions", "--project", 1)
        check("versions: a line with it", code == 0 and "tfidf_logreg-1-" in out, (code, out, err))
        code, out, err = run("evaluate", "--project", 1, test_file, "--json")
        j = parse(out) or {}
        check("evaluate FILE --json: the documented keys", code == 0 and {"n", "accuracy", "macro_f1", "log_loss", "per_label", "confusion"} <= set(j), (code, out[:300], err))
        check("evaluate: n, accuracy, labels", j.get("n") == 45 and j.get("accuracy", 0) >= 0.95 and set(j.get("per_label", {})) == set(THREE), out[:300])
        code, out, err = run("predict", "--project", 1, test_file)
        got = [parse(line) for line in out.splitlines()]
        check("predict FILE: a line of JSON for each row", code == 0 and len(got) == 45 and all(isinstance(g, dict) and set(g) >= {"text", "label", "score", "probabilities"} for g in got), (code, out[:200], err))
        truth = rows(45, 300)
        acc = sum(g["label"] == t["label"] for g, t in zip(got, truth)) / 45
        loss = -math.fsum(math.log(g["probabilities"][t["label"]]) for g, t in zip(got, truth)) / 45
        check("accuracy is that of the predictions", abs(acc - j.get("accuracy", -1)) < 1e-9, (acc, j.get("accuracy")))
        check("log loss is the mean of -ln p", abs(loss - j.get("log_loss", -1)) < 1e-6, (loss, j.get("log_loss")))
        check("texts come back as they went in", [g["text"] for g in got] == [t["text"] for t in truth])
        f1 = []
        for k in THREE:
            tp = sum(g["label"] == k == t["label"] for g, t in zip(got, truth))
            f1.append(2 * tp / (sum(g["label"] == k for g in got) + sum(t["label"] == k for t in truth)))
        check("macro F1 is the mean over the labels", abs(sum(f1) / 3 - j.get("macro_f1", -1)) < 1e-9, (f1, j.get("macro_f1")))
        code, out, err = run("evaluate", "--project", 1, test_file)
        check("evaluate for people: exit 0, accuracy in it", code == 0 and "accuracy" in out.lower(), (code, out[:200], err))
        code, out, err = run("evaluate", "--project", 1, "--json")
        j = parse(out) or {}
        check("evaluate without FILE: cross-validated on the own annotations", code == 0 and j.get("n") == 120 and 0.8 <= j.get("accuracy", 0) <= 1, (code, out[:300], err))
        unknown = run.file("unknown.jsonl", [{"text": review("positive", 1), "label": "positive"}, {"text": "never trained", "label": "brand new"}])
        code, out, err = run("evaluate", "--project", 1, unknown, "--json")
        j = parse(out) or {}
        check("log loss is over rows whose label was trained", code == 0 and j.get("n") == 2 and isinstance(j.get("log_loss"), float) and 0 <= j["log_loss"] < 2
              and j.get("accuracy") == 0.5, (code, out[:300], err))


def t_import_twice_and_bad_lines():
    with Store() as run:
        bad = run.file("bad.jsonl", [json.dumps(r) for r in rows(10)] + ["not json", '{"text": "no label"}', '{"label": "positive"}', "[]", "", '{"text": "t", "label": NaN}'])
        code, out, err = run("import", "--project", 1, bad)
        text = out + err
        check("lines that can't be read stop nothing", code == 0 and "10" in text, (code, out, err))
        check("and are named by their number", "11" in text, (out, err))
        n = len(sqlite(run, "select * from v_example"))
        check("ten examples", n == 10, n)
        code, out, err = run("import", "--project", 1, bad)
        # Rows of JSONL carry no ids: known again or several samples, both are readings of interface.md; nothing in between is.
        n2 = len(sqlite(run, "select * from v_example"))
        check("again: ten or twenty", n2 in (10, 20), n2)
        code, out, err = run("import", "--project", 1, run.file("empty.jsonl", []))
        check("an empty file does no harm", code in (0, 1) and len(sqlite(run, "select * from v_example")) == n2, (code, err))


def sqlite(run, sql):
    import sqlite3
    db = sqlite3.connect(f"file:{run.dir}/prelabel.sqlite3?mode=ro", uri=True)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def t_import_of_an_export():
    """Label Studio's JSON export gives what the webhooks give."""
    p = Project()
    p.some(12)
    p.labelled("skipped", "positive", was_cancelled=True)
    p.labelled("empty", None)
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b, Store() as run:
        b.version(p)
        q = Project()
        events = q.some(12) + [q.labelled("skipped", "positive", was_cancelled=True), q.labelled("empty", None)]
        feed(b, events)
        v = train(b, q)
        path = os.path.join(b.dir, "export.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(p.export(), f)
        before = b.counter(p)
        code, out, err = b.cli("import", "--project", 1, path)
        check("import of the export of what is known: nothing changes", code == 0 and b.counter(p) == before and len(b.examples()) == 12, (code, out, err, b.counter(p)))
        p.labelled("one more great thing", "positive")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(p.export(), f)
        code, out, err = b.cli("import", "--project", 1, path)
        check("one annotation more in the file: one example more", code == 0 and len(b.examples()) == 13, (code, out, err))
        check("trained", number(v) == 1)


def t_predict():
    with Store() as run:
        run("import", "--project", 1, run.file("t.jsonl", rows(60)))
        run("train", "--project", 1)
        texts = ["great food", "", "Ünï \"quoted\" \\ text", "tab\there", "plain broken phone"]
        code, out, err = run("predict", "-", stdin="".join(t + "\n" for t in texts))
        got = [parse(line) for line in out.splitlines()]
        check("lines from standard input, one project: no --project needed", code == 0 and len(got) == 5 and [g["text"] for g in got] == texts, (code, out[:300], err))
        for g in got:
            check(f"probabilities of {g['text'][:12]!r}: the labels, sum 1, score the largest",
                  set(g["probabilities"]) == set(THREE) and abs(math.fsum(g["probabilities"].values()) - 1) < 1e-9
                  and g["score"] == max(g["probabilities"].values()) and g["probabilities"][g["label"]] == g["score"], g)
        code, out2, err = run("predict", "-", stdin="".join(json.dumps({"text": t}) + "\n" for t in texts))
        check("JSONL and lines: the same", code == 0 and out2 == out, (out2[:200], out[:200]))
        code, out, err = run("predict", "-", stdin="")
        check("nothing in, nothing out, exit 0", code == 0 and out == "", (code, out, err))


def t_several_projects():
    with Store() as run:
        f = run.file("t.jsonl", rows(30))
        run("import", "--project", 1, f)
        run("import", "--project", 2, f)
        for verb in (("train",), ("predict", "-"), ("evaluate",)):
            code, out, err = run(*verb)
            check(f"two projects, no --project: exit 2: {verb[0]}", code == 2 and err.strip(), (code, out[:100], err))
        code, out, err = run("status", "--json")
        check("status of all: exit 0, both in it", code == 0 and parse(out) is not None, (code, out[:300], err))
        code, out, err = run("train", "--project", 2)
        code, out, err = run("versions", "--project", 1)
        check("training one leaves the other", "tfidf_logreg-1-" not in out, out)


def t_status():
    with Store() as run:
        code, out, err = run("status")
        check("status of an empty store: exit 0", code == 0, (code, out, err))
        code, out, err = run("status", "--json")
        check("--json of an empty store is JSON", code == 0 and parse(out) is not None, (code, out, err))
        run("import", "--project", 5, run.file("one.jsonl", [{"text": "great food", "label": "positive"}]))
        code, out, err = run("train", "--project", 5)
        check("train: exit 1 and why", code == 1 and "needs 2 labels, has 1" in err and one_line(err), (code, out, err))
        code, out, err = run("status", "--project", 5)
        check("what is missing: needs 2 labels, has 1", code == 0 and "needs 2 labels, has 1" in out, (code, out, err))
        run("import", "--project", 6, run.file("more.jsonl", rows(30)))
        run("train", "--project", 6)
        code, out, err = run("status", "--project", 6, "--json")
        check("after a training: the version in force", code == 0 and parse(out) is not None and "tfidf_logreg-1-" in out, (code, out, err))


def t_rollback():
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p = Project()
        feed(b, p.some(8))
        v1 = train(b, p)
        texts = ["great food", "broken phone", ""]
        first = b.predict(p, texts).body
        feed(b, p.some(20, start=8))
        v2 = train(b, p)
        check("two versions", (number(v1), number(v2)) == (1, 2), (v1, v2))
        code, out, err = b.cli("rollback", "--project", 1, v1)
        check("rollback: exit 0", code == 0, (code, out, err))
        check("the old string is back, at once", b.version(p) == v1, b.version(p))
        check("and the old bytes", b.predict(p, texts).body == first)
        code, out, err = b.cli("rollback", "--project", 1, v2)
        check("and forward again", code == 0 and b.version(p) == v2, (code, err))
        b.cli("rollback", "--project", 1, v1)
        v3 = train(b, p, v1)
        check("the next training is number 3, of all examples", number(v3) == 3 and digest(v3) == digest(v2), (v2, v3))


def t_train_serves():
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p = Project()
        feed(b, p.some(8))
        v0 = b.version(p)
        code, out, err = b.cli("train", "--project", 1)
        v1 = b.version(p)
        check("prelabel train publishes before it returns", code == 0 and number(v1) == 1 and v1 != v0, (code, out, err, v1))
        check("and counts down", b.counter(p) == 0)
        code, out, err = b.cli("train", "--project", 1, "--full")
        check("--full: exit 0, the next number, the same hash", code == 0 and number(b.version(p)) == 2 and digest(b.version(p)) == digest(v1), (code, err))


def t_forget():
    """One command deletes everything kept of a project; nothing of it is left in the bytes of the store (R8)."""
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p, q = Project(1, ["positive", "negative"]), Project(2, ["spam", "ham"])
        feed(b, [p.labelled(review(p.labels[i % 2], i) + f" markerword{i}zq", p.labels[i % 2]) for i in range(20)])
        feed(b, q.some(6))
        b.post("/setup", p.setup_body(project="1.1500000000"))      # of a database that was made anew since
        train(b, p)
        w = train(b, q)
        code, out, err = b.cli("forget", "--project", 1)
        check("forget: exit 0", code == 0, (code, out, err))
        left = {t: b.db(f"select count(*) from {t}")[0][0] for t in ("project", "model_version", "v_example")}
        check("the other project is whole", left["project"] == 1 and b.version(q) == w and left["v_example"] == 6, left)
        raw = b"".join(content(os.path.join(b.dir, f)) for f in os.listdir(b.dir) if f.startswith("prelabel.sqlite3"))
        check("no marker word is left in the bytes", b"markerword" not in raw, raw.count(b"markerword"))
        v = b.version(p)
        check("the project starts from nothing", number(v) == 0 and b.counter(p) == 0, (v, b.counter(p)))
        code, out, err = b.cli("forget", "--project", 77)
        check("an unknown project: exit 1", code == 1 and one_line(err), (code, err))


def t_env():
    names = ("HOST", "PORT", "MODEL_DIR", "LABEL_STUDIO_HOST", "LABEL_STUDIO_API_KEY", "START_TRAINING_EACH_N_UPDATES", "LOGISTIC_REGRESSION_C",
             "BASIC_AUTH_USER", "BASIC_AUTH_PASS", "WEBHOOK_SECRET", "LOG_LEVEL", "WORKERS", "THREADS", "TRAIN_THREADS", "TOKEN_PATTERN", "MAX_BODY_MB")
    with Store(LOGISTIC_REGRESSION_C="2.5", LABEL_STUDIO_API_KEY="0123456789abcdefkey", BASIC_AUTH_USER="u", BASIC_AUTH_PASS="passpasspass", WEBHOOK_SECRET="hookhookhook") as run:
        code, out, err = run("env")
        check("env: exit 0, every setting", code == 0 and all(n in out for n in names), (code, [n for n in names if n not in out], err))
        check("the value in force and the default", "2.5" in out and "9090" in out, out[:500])
        check("no key, password or secret", not any(s in out for s in ("0123456789abcdefkey", "passpasspass", "hookhookhook")), out)
        code, out, err = run("env", "--json")
        check("env --json is JSON", code == 0 and parse(out) is not None, (code, out[:200], err))


class Peer:
    """Answers the first connection with `raw` after `pause` seconds, on 127.0.0.1 or ::1."""

    def __init__(self, raw, pause=0.0, host="127.0.0.1"):
        self.raw, self.pause, self.asked, self.done = raw, pause, b"", threading.Event()
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.answer, daemon=True).start()

    def answer(self):
        try:
            conn, _ = self.listener.accept()
            with conn:
                self.asked = conn.recv(4096)
                self.done.wait(self.pause)
                conn.sendall(self.raw)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.done.set()
        self.listener.close()


def http_answer(status, body):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def t_health():
    up = http_answer("200 OK", '{"status":"UP"}')
    with Server(BASIC_AUTH_USER="u", BASIC_AUTH_PASS="p") as b:
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            code, out, err = b.cli("health", env={"HOST": host})
            check(f"health of a server that is up, HOST={host}: exit 0, one line", code == 0 and one_line(out) and out.startswith("UP") and not err, (code, out, err))
        code, out, err = b.cli("health", "--json")
        check("health --json", code == 0 and (parse(out) or {}).get("status") == "UP" and parse(out)["url"].endswith(f":{b.port}/livez"), (code, out, err))
        code, out, err = b.cli("health", "--port", free_port())
        check("nothing listens: exit 1, one line that says why", code == 1 and one_line(err) and "refused" in err and not out, (code, out, err))
    with Store() as run:
        for name, raw in (("503", http_answer("503 Service Unavailable", '{"status":503}')), ("401", http_answer("401 Unauthorized", "{}")),
                          ("200 of another program", http_answer("200 OK", "<html>")), ("200, but DOWN", http_answer("200 OK", '{"status":"DOWN"}')),
                          ("no HTTP", b"SSH-2.0-x\r\n\r\n"), ("nothing", b""), ("without an end", b"HTTP/1.1 200 OK\r\n" + b"x" * 20000)):
            with Peer(raw) as peer:
                code, out, err = run("health", "--port", peer.port)
                check(f"health, answered {name}: exit 1, one line", code == 1 and one_line(err) and not out, (code, out, err))
        with Peer(up) as peer:
            code, out, err = run("health", "--port", peer.port)
            check("it asks GET /livez", code == 0 and peer.asked.startswith(b"GET /livez HTTP/1.1\r\n"), (code, peer.asked, err))
        with Peer(up, host="::1") as peer:
            code, out, err = run("health", "--host", "::", "--port", peer.port)
            check("HOST=:: is asked at ::1", code == 0 and f"http://[::1]:{peer.port}/" in out, (code, out, err))
        with Peer(up, pause=20) as peer:
            began = time.time()
            code, out, err = run("health", "--port", peer.port)
            took = time.time() - began
            check("no answer within 2 s: exit 1", code == 1 and "2 s" in err and 1.9 < took < 5, (code, took, err))
        check("a name that can't be found: exit 1", run("health", "--host", "no.such.host.invalid")[0] == 1)
        check("an operand: exit 2", run("health", "now")[0] == 2)
        check("it makes no store", os.listdir(run.dir) == [], os.listdir(run.dir))


def t_what_cannot_be_asked_is_called_down():
    """Where libcurl can't be opened nobody was asked: prelabel is not said to be down, Label Studio's key not to be wrong."""
    with open(os.path.join(BUILD, "prelabel"), "rb") as f:
        library = re.search(rb"libcurl\.so[.0-9]*", f.read())
    if library is None:
        check("libcurl is linked: nothing is opened", b"Couldn't connect to server" in content(os.path.join(BUILD, "prelabel")))
        return
    with Store() as run, tempfile.TemporaryDirectory() as none:
        open(os.path.join(none, library[0].decode()), "w").close()
        run.env.update(LD_LIBRARY_PATH=none, LABEL_STUDIO_HOST="http://127.0.0.1:9", LABEL_STUDIO_API_KEY="f" * 40)
        code, out, err = run("connect", "--project", 1)
        check("connect says that libcurl is missing, not that prelabel is down", code == 1 and "libcurl can't be opened" in err and "not running" not in out + err, (code, out, err))
        code, out, err = run("doctor")
        check("doctor says so, and nothing of the key", code == 1 and "libcurl can't be opened" in out and "Make a personal access token" not in out, (code, out, err))
        check("nor that Label Studio is down", "can't be asked" in out and "Start Label Studio" not in out, out)


def t_store_modes():
    """R27: store 0600."""
    with Store() as run:
        old = os.umask(0)
        os.umask(old)
        run("import", "--project", 1, run.file("t.jsonl", rows(6)))
        modes = {f: oct(os.stat(os.path.join(run.dir, f)).st_mode & 0o777) for f in os.listdir(run.dir) if f.startswith("prelabel.sqlite3")}
        check("the store is readable by its owner alone", modes and set(modes.values()) == {"0o600"}, modes)


def t_views_are_commented():
    with Store() as run:
        run("import", "--project", 1, run.file("t.jsonl", rows(6)))
        run("train", "--project", 1)
        tables = {n: sql for n, sql in sqlite(run, "select name, sql from sqlite_master where type in ('table','view')")}
        check("the documented tables and views", {"project", "task", "annotation", "train_job", "model_version", "model_part", "v_project", "v_training", "v_example"} <= set(tables), sorted(tables))
        check("columns are commented in .schema", all("--" in tables[t] for t in ("project", "task", "annotation", "train_job", "model_version", "model_part") if t in tables))
        n = {v: len(sqlite(run, f"select * from {v}")) for v in ("v_project", "v_training", "v_example")}
        check("one line a project, a job, an example", n == {"v_project": 1, "v_training": 1, "v_example": 6}, n)
        check("v_project names the version in force, with or without its hash", any(isinstance(c, str) and c.startswith("tfidf_logreg-1") for r in sqlite(run, "select * from v_project") for c in r), sqlite(run, "select * from v_project"))
