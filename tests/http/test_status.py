"""test_status.py - /versions, /status, /job_status, /metrics, /train."""
import re

from harness import SLOW, Project, Server, Stopwatch, VERSION, both, check, feed, number, train, wait_for


@both
def t_empty_store(open_backend):
    with open_backend() as b:
        a = b.get("/versions")
        check("versions of nothing: an empty list", a.status == 200 and a.json.get("versions") == [], a)
        for path in ("/status", "/job_status"):
            a = b.get(path)
            check(f"{path} of nothing: 200, JSON", a.status == 200 and isinstance(a.json, (dict, list)), a)
        for path in ("/versions?project=12", "/status?project=12"):
            a = b.get(path)
            check(f"{path}: unknown project, 404", a.status == 404 and not a.error_form(), lambda: f"{a} {a.error_form()}")
        for bad in ("abc", "-1", "1;drop", "99999999999999999999", "%27"):
            a = b.get("/status?project=" + bad)
            check(f"/status?project={bad}: 422 or 404", a.status in (404, 422) and not a.error_form(), lambda: f"{a} {a.error_form()}")


@both
def t_versions(open_backend):
    with open_backend(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p, q = Project(1), Project(2, ["spam", "ham"])
        v0, q0 = b.version(p), b.version(q)
        feed(b, p.some(6))
        v1 = train(b, p)
        a = b.get("/versions?project=1")
        check("versions of a project hold the one in force, strings", a.status == 200 and v1 in a.json["versions"] and
              all(isinstance(v, str) and VERSION.match(v) for v in a.json["versions"]), a)
        a = b.get("/versions")
        check("without a project: those in force of all", a.status == 200 and sorted(a.json["versions"]) == sorted([v1, q0]), a)
        check("numbers 0 and 1", (number(v0), number(v1)) == (0, 1), (v0, v1))


@both
def t_status(open_backend):
    with open_backend(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p = Project(1)
        b.version(p)
        feed(b, [p.labelled("great food", "positive")])
        b.hook(p.event("START_TRAINING"))
        check("what is missing for a training: needs 2 labels, has 1", wait_for(lambda: "needs 2 labels, has 1" in b.get("/status?project=1").body.decode()), lambda: b.get("/status?project=1"))
        feed(b, p.some(39, start=1))
        v = train(b, p)
        a = b.get("/status?project=1")
        text = a.body.decode()
        check("the version in force", a.status == 200 and v in text, a)
        check("nothing is said to be missing any more", "needs 2" not in text, a)
        # They may follow the version: what is served does not wait for a cross-validation.
        check("metrics of the version in force", wait_for(lambda: re.search(r"accuracy", b.get("/status?project=1").body.decode())), lambda: b.get("/status?project=1"))
        check("without a project: it is there too", v in b.get("/status").body.decode())
        a = b.get("/job_status")
        check("job_status: 200, a JSON object", a.status == 200 and isinstance(a.json, dict), a)


@both
def t_train(open_backend):
    with open_backend(START_TRAINING_EACH_N_UPDATES=1000) as b:
        a = b.post("/train?project=1", {})
        check("unknown project: 404 or 422", a.status in (404, 422) and not a.error_form(), lambda: f"{a} {a.error_form()}")
        p = Project(1)
        v = b.version(p)
        feed(b, p.some(6))
        a = b.post("/train?project=1", {})
        check("202 with a job", a.status == 202 and isinstance(a.json, dict) and a.json.get("job") is not None, a)
        w = b.wait_version(p, v)
        check("a training follows, though N is far", number(w) == 1, w)
        a = b.post("/train", {"project": p.key})
        check("the project may be in the body", a.status == 202 and number(b.wait_version(p, w)) == 2, a)


def t_metrics():
    with Server() as b:
        p = Project()
        b.version(p)
        for _ in range(3):
            b.predict(p, ["x"])
        b.hook(p.labelled("food", "positive"))
        a = b.get("/metrics")
        check("200, text/plain", a.status == 200 and a.headers.get("content-type", "").startswith("text/plain"), a)
        lines = [line for line in a.body.decode().splitlines() if line]
        sample = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\])*",?)*\})? [-+]?(\d+(\.\d+)?([eE][-+]?\d+)?|\+?Inf|NaN)( \d+)?$')
        bad = [line for line in lines if not line.startswith("#") and not sample.match(line)]
        check("every line is Prometheus text", lines and not bad, bad[:3])
        names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
        typed = {line.split()[2] for line in lines if line.startswith("# TYPE")}
        base = {re.sub(r"_(bucket|sum|count)$", "", n) if re.sub(r"_(bucket|sum|count)$", "", n) in typed else n for n in names}
        check("every family has a TYPE", names and base <= typed, base - typed)
        check("all of them are prelabel's", names and all(n.startswith("prelabel_") for n in names), sorted(names)[:5])


def t_status_during_training():
    """Nothing of this waits for a training."""
    with Server(START_TRAINING_EACH_N_UPDATES=100000) as b:
        p = Project(1, ["positive", "negative", "neutral"])
        many = []
        for i in range(3000):
            t = p.task(f"{' '.join(str(hash((i, k)) % 5000) for k in range(12))} w{i}")
            many.append(p.annotation(t, t, p.labels[i % 3]))
        for k in range(0, 3000, 1000):
            b.hook(p.created_many(many[k:k + 1000]))
        v = b.version(p)
        b.warm()
        b.hook(p.event("START_TRAINING"))
        worst = {}

        served = b.serving()

        def look():
            for name, ask in (("health", lambda: b.get("/health")), ("setup", lambda: b.setup(p)), ("predict", lambda: b.predict(p, ["x"])), ("status", lambda: b.get("/status?project=1"))):
                watch = Stopwatch(served)
                a = ask()
                worst[name] = max(worst.get(name, 0), min(a.seconds, watch.seconds()))
                if a.status != 200:
                    worst["status " + name] = a.status      # which is more than SLOW
            return b.version(p) != v
        done = wait_for(look, 120, 0.01)
        check("a training of 3000 examples finished", done)
        check("health, setup, predict, status meanwhile: each within 1 s", all(s < SLOW for s in worst.values()), worst)
