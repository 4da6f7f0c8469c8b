"""
test_metrics.py - GET /metrics and GET /livez: the text format, what each family counts, and that no state of the
store or of the counters' file (MODEL_DIR/metrics) gets in the way of an answer.

A request is counted when its last byte has been handed over, which may be after the client has read it: counts
are asked for again until they are there (settle), for a bounded time.
"""
import collections
import contextlib
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time

from harness import BUILD, NER, ROOT, SLOW, Cgi, Project, Server, basic, both, check, feed, kill9, number, processes_with, review, train, wait_for

QUIET = {"START_TRAINING_EACH_N_UPDATES": 100000}
KIND = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, math.inf]
STATES = {"queued", "running", "done", "skipped", "failed"}
ROUTES = {"/predict": "predict", "/setup": "setup", "/webhook": "webhook", "/train": "train", "/versions": "versions", "/status": "status",
          "/validate": "validate", "/delete": "delete", "/duplicate_model": "duplicate_model", "/job_status": "job_status", "/metrics": "metrics", "/": "health", "/health": "health", "/livez": "livez"}
ENDPOINTS = set(ROUTES.values()) | {"other"}
REQUESTS, SECONDS = "prelabel_http_requests_total", "prelabel_http_request_duration_seconds"
TASKS, EVENTS, LOADS = "prelabel_predicted_tasks_total", "prelabel_webhook_events_total", "prelabel_model_loads_total"
P = ("project", "created")

# name: (type, labels)
PROGRAM = {REQUESTS: ("counter", ("endpoint", "status")), SECONDS: ("histogram", ("endpoint",)), TASKS: ("counter", ()),
           EVENTS: ("counter", ("outcome",)), LOADS: ("counter", ())}
ROWS = {"prelabel_projects": ("gauge", ()), "prelabel_tasks": ("gauge", P), "prelabel_annotations": ("gauge", P), "prelabel_examples": ("gauge", P),
        "prelabel_updates_total": ("counter", P), "prelabel_updates_pending": ("gauge", P), "prelabel_jobs": ("gauge", P + ("state",)),
        "prelabel_training_duration_seconds": ("gauge", P), "prelabel_model_version_number": ("gauge", P),
        "prelabel_model_info": ("gauge", P + ("model_version",)), "prelabel_model_published_timestamp_seconds": ("gauge", P),
        "prelabel_last_webhook_timestamp_seconds": ("gauge", P), "prelabel_accuracy_ratio": ("gauge", P)}
FAMILIES = dict(PROGRAM, **ROWS, prelabel_build_info=("gauge", ("version",)), prelabel_store_up=("gauge", ()), prelabel_store_size_bytes=("gauge", ("file",)))


# ---- the text format --------------------------------------------------------

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|Inf|NaN)")
ESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Family:
    def __init__(self, name):
        self.name, self.type, self.help, self.samples = name, None, None, {}


def parse(raw):
    """{name: Family} of a text in format 0.0.4; ValueError with the line where it is not strictly that."""
    text = raw.decode("utf-8")
    if not text.endswith("\n") or "\r" in text or "\0" in text:
        raise ValueError("the last line has no end, or a CR or NUL is in the text")
    families, now = {}, None
    for line in text.split("\n")[:-1]:
        def wrong(why, line=line):
            raise ValueError(f"{why}: {line!r}")
        if line == "":
            continue
        m = re.fullmatch(r"# (HELP|TYPE) (\S+) (.+)", line)
        if line.startswith("#"):
            if not m or not NAME.fullmatch(m.group(2)):
                wrong("a comment that is no HELP or TYPE")
            what, name, rest = m.groups()
            if now is None or now.name != name:
                if name in families:
                    wrong("the family is in two places")
                now = families[name] = Family(name)
            if what == "HELP":
                if now.help is not None or now.samples:
                    wrong("HELP twice, or after samples")
                if re.sub(r"\\\\|\\n", "", rest).count("\\") or not rest.strip():
                    wrong("HELP empty, or with a wrong escape")
                now.help = rest
            else:
                if now.type is not None or now.samples:
                    wrong("TYPE twice, or after samples")
                if rest not in ("counter", "gauge", "histogram", "summary", "untyped"):
                    wrong("no such TYPE")
                now.type = rest
            continue
        m = NAME.match(line)
        if not m:
            wrong("no name")
        name, rest, labels = m.group(), line[m.end():], []
        if rest.startswith("{"):
            rest = rest[1:]
            while not rest.startswith("}"):
                m = LABEL.match(rest)
                if not m:
                    wrong("a label")
                labels.append((m.group(1), re.sub(r'\\[\\"n]', lambda e: ESCAPED[e.group()], m.group(2))))
                rest = rest[m.end():]
                if rest.startswith(","):
                    rest = rest[1:]
                elif not rest.startswith("}"):
                    wrong("labels")
            rest = rest[1:]
        if not rest.startswith(" ") or not NUMBER.fullmatch(rest.strip(" ")):
            wrong("a value (and no timestamp)")
        if now is None or name != now.name and not (now.type == "histogram" and name in (now.name + "_bucket", now.name + "_sum", now.name + "_count")):
            wrong("a sample outside of its family")
        if now.type == "histogram" and name == now.name:
            wrong("a histogram's sample without a suffix")
        if now.help is None or now.type is None:
            wrong("a sample without HELP and TYPE before it")
        if len({k for k, _ in labels}) != len(labels) or any(k.startswith("__") for k, _ in labels):
            wrong("a label twice, or a reserved one")
        key = (name, tuple(sorted(labels)))
        if key in now.samples:
            wrong("the series is there already")
        now.samples[key] = float(rest)
    for f in families.values():
        if f.help is None or f.type is None:
            raise ValueError(f"{f.name}: no HELP or no TYPE")
    return families


class Metrics:
    def __init__(self, raw):
        self.families = parse(raw)
        self.samples = {k: v for f in self.families.values() for k, v in f.samples.items()}

    def value(self, name, **labels):
        """The value of the one series with exactly these labels, or None."""
        return self.samples.get((name, tuple(sorted((k, str(v)) for k, v in labels.items()))))

    def series(self, name, **labels):
        """[(labels, value)] of those that have at least these labels."""
        return [(dict(key), v) for (n, key), v in self.samples.items() if n == name and {k: str(w) for k, w in labels.items()}.items() <= dict(key).items()]

    def requests(self):
        """{(endpoint, status): count}"""
        return collections.Counter({(x["endpoint"], x["status"]): int(v) for x, v in self.series(REQUESTS)})

    def of(self, name, p):
        return self.value(name, project=p.id, created=p.seconds)

    def info(self, p):
        return [x["model_version"] for x, v in self.series("prelabel_model_info", project=p.id, created=p.seconds) if v == 1]

    def jobs(self, p):
        return {x["state"]: int(v) for x, v in self.series("prelabel_jobs", project=p.id, created=p.seconds)}

    def counters(self):
        """{series: value} of what may never go down."""
        return {k: v for f in self.families.values() if f.type in ("counter", "histogram") for k, v in f.samples.items()}


def wrong_families(m):
    """'' when names, types and labels are those of the table and every value can be one, else what is not."""
    for f in m.families.values():
        if f.name not in FAMILIES:
            return f"{f.name}: not in the table"
        kind, labels = FAMILIES[f.name]
        if f.type != kind:
            return f"{f.name}: {f.type}, not {kind}"
        for (name, pairs), v in f.samples.items():
            want = set(labels) | ({"le"} if name == f.name + "_bucket" else set())
            if {k for k, _ in pairs} != want:
                return f"{name}: labels {pairs}"
            if not math.isfinite(v) or v < 0:
                return f"{name}: {v}"
            seconds = name == SECONDS + "_sum" or f.name in ("prelabel_training_duration_seconds", "prelabel_accuracy_ratio")
            if not seconds and v != int(v):
                return f"{name}: {v} is no whole number"
            if f.name.endswith("_info") and v != 1 or f.name == "prelabel_accuracy_ratio" and v > 1 or f.name == "prelabel_store_up" and v > 1:
                return f"{name}: {v}"
            d = dict(pairs)
            if d.get("endpoint", "other") not in ENDPOINTS or not re.fullmatch(r"[1-5]\d\d", d.get("status", "200")) or d.get("state", "done") not in STATES:
                return f"{name}: {d}"
            if d.get("outcome", "stored") not in ("stored", "ignored", "refused", "failed") or d.get("file", "wal") not in ("database", "wal"):
                return f"{name}: {d}"
            if not re.fullmatch(r"\d+", d.get("project", "0")) or not re.fullmatch(r"\d+", d.get("created", "0")):
                return f"{name}: {d}"
    return ""


def wrong_histograms(m, quiet=True):
    """quiet: no request is being answered, so that count and requests have to agree."""
    for endpoint in sorted({x["endpoint"] for x, _ in m.series(SECONDS + "_bucket")} | {x["endpoint"] for x, _ in m.series(SECONDS + "_count")}):
        buckets = [(x["le"], v) for x, v in m.series(SECONDS + "_bucket", endpoint=endpoint)]
        edges = [math.inf if le == "+Inf" else float(le) for le, _ in buckets]
        counts = [v for _, v in buckets]
        total, seconds = m.value(SECONDS + "_count", endpoint=endpoint), m.value(SECONDS + "_sum", endpoint=endpoint)
        if edges != BUCKETS:
            return f"{endpoint}: buckets {edges}"
        if counts != sorted(counts):
            return f"{endpoint}: not cumulative {counts}"
        if total is None or seconds is None or counts[-1] != total:
            return f"{endpoint}: count {total}, sum {seconds}, +Inf {counts[-1]}"
        each = [c - (counts[i - 1] if i else 0) for i, c in enumerate(counts)]
        low = sum(n * (BUCKETS[i - 1] if i else 0) for i, n in enumerate(each))
        high = sum(n * BUCKETS[i] for i, n in enumerate(each) if n)
        if not low - 1e-5 * total <= seconds <= high + 1e-5 * total:
            return f"{endpoint}: the sum {seconds} can't be: {low} to {high}"
    if quiet:
        by = collections.Counter()
        for (endpoint, _), n in m.requests().items():
            by[endpoint] += n
        counts = {x["endpoint"]: v for x, v in m.series(SECONDS + "_count")}
        if dict(by) != counts:
            return f"count {counts}, requests {dict(by)}"
    return ""


def wrong(m, quiet=True):
    return wrong_families(m) or wrong_histograms(m, quiet)


def scrape(b, **kw):
    """GET /metrics, strictly read.  The answer's headers are in .answer."""
    a = b.get("/metrics", **kw)
    if a.status != 200 or a.headers.get("content-type") != KIND:
        raise ValueError(f"{a.status} {a.headers.get('content-type')}: {a}")
    m = Metrics(a.body)
    m.answer = a
    b.scrapes = getattr(b, "scrapes", 0) + 1
    return m


def settle(b, fn, seconds=30):
    """A scrape of which fn holds, or the last one."""
    last = []

    def look():
        last[:] = [scrape(b)]
        return fn(last[0])
    wait_for(look, seconds, 0.05)
    return last[0]


def in_step(b, p, seconds=30):
    """(info, version, metrics): what model_info shows while /setup answers the same before and after."""
    got = []

    def look():
        before, m = b.version(p), scrape(b)
        got[:] = [m.info(p), before, m]
        return before == b.version(p)
    return got if wait_for(look, seconds) else [None, "changes all the time", got[2]]


class Count:
    """What is counted from here on: `add` what is asked, `check` compares."""

    def __init__(self, b):
        self.b, self.want, self.tasks, self.events, self.lock, self.again = b, collections.Counter(), 0, collections.Counter(), threading.Lock(), 0
        # The requests before this are counted when the same numbers come twice, a while apart.
        before = [scrape(b)]

        def still():
            time.sleep(0.1)
            before.append(scrape(b))
            x, y = before[-2].requests(), before[-1].requests()
            y[("metrics", "200")] -= 1
            return x == y
        wait_for(still)
        self.start, self.scrapes = before[-1], b.scrapes - 1    # the last one is not in what it showed

    def add(self, endpoint, a, tasks=0, event=False):
        with self.lock:
            self.want[(endpoint, str(a.status))] += 1
            self.want.update({(endpoint, "503"): a.refused} if a.refused else {})
            self.again += a.refused
            self.tasks += tasks if a.status == 200 and endpoint == "predict" else 0
            if event:
                self.events[{201: "stored", 200: "ignored", 401: "refused", 403: "refused"}.get(a.status, "failed")] += 1
                self.events["failed"] += a.refused
        return a

    def got(self, m):
        d = m.requests()
        d.subtract(self.start.requests())
        d[("metrics", "200")] -= self.b.scrapes - 1 - self.scrapes     # all but the one that tells it
        return collections.Counter({k: v for k, v in d.items() if v})

    def of_events(self, m):
        return {o: (m.value(EVENTS, outcome=o) or 0) - (self.start.value(EVENTS, outcome=o) or 0) for o in ("stored", "ignored", "refused", "failed")}

    def of_tasks(self, m):
        return m.value(TASKS) - self.start.value(TASKS)

    def check(self, title, each=False):
        m = settle(self.b, lambda m: self.got(m) == self.want)
        got, want = self.got(m), self.want
        if each:
            for e in sorted({e for e, _ in want} | {e for e, _ in got}):
                mine, theirs = ({s: n for (x, s), n in c.items() if x == e} for c in (want, got))
                check(f"{title}: requests of {e}, by status {' '.join(sorted(mine))}", mine == theirs, f"{theirs}, not {mine}")
        else:
            check(f"{title}: requests by endpoint and status", got == want, f"{dict(got)}, not {dict(want)}")
        check(f"{title}: predicted tasks", self.of_tasks(m) == self.tasks, f"{self.of_tasks(m)}, not {self.tasks}")
        events = {o: self.events[o] for o in ("stored", "ignored", "refused", "failed")}
        check(f"{title}: events by outcome", self.of_events(m) == events, f"{self.of_events(m)}, not {events}")
        check(f"{title}: families and histograms in order", not wrong(m), wrong(m))
        return m


# ---- the answer -------------------------------------------------------------

def t_metrics_parser():
    """The reader itself: what is not strictly the format does not get through."""
    good = b'# HELP a_total x\n# TYPE a_total counter\na_total{b="c\\\\d\\"e\\nf"} 1\n'
    f = parse(good)["a_total"]
    check("escapes are read", list(f.samples) == [("a_total", (("b", 'c\\d"e\nf'),))], f.samples)
    for name, bad in (("no end of line", good[:-1]), ("HELP twice", good[:17] + good), ("no TYPE", b"# HELP a x\na 1\n"), ("no HELP", b"# TYPE a gauge\na 1\n"),
                      ("a family in two places", good + b"# HELP b x\n# TYPE b gauge\nb 1\n" + good), ("a series twice", good + good.split(b"\n")[2] + b"\n"),
                      ("a label with a raw quote", b'# HELP a x\n# TYPE a gauge\na{b="c"d"} 1\n'), ("a wrong escape", b'# HELP a x\n# TYPE a gauge\na{b="\\t"} 1\n'),
                      ("a raw newline", b'# HELP a x\n# TYPE a gauge\na{b="c\nd"} 1\n'), ("no number", b"# HELP a x\n# TYPE a gauge\na one\n"),
                      ("a number with a comma", b"# HELP a x\n# TYPE a gauge\na 1,5\n"), ("nan in C's spelling", b"# HELP a x\n# TYPE a gauge\na -nan\n"),
                      ("a family's sample after another", good + b"# HELP b x\n# TYPE b gauge\nb 1\na_total 1\n"), ("carriage returns", good.replace(b"\n", b"\r\n"))):
        try:
            parse(bad)
            check(f"refused: {name}", False)
        except ValueError:
            check(f"refused: {name}", True)


@both
def t_metrics_form(open_backend):
    with open_backend(**QUIET) as b:
        health = b.get("/health").json
        for _ in range(2):
            a = b.get("/metrics")
        check("200, the content type of format 0.0.4", a.status == 200 and a.headers.get("content-type") == KIND, f"{a.status} {a.headers}")
        m = scrape(b)
        check("a fresh store: every line in order", not wrong(m), wrong(m))
        missing = [n for n in (REQUESTS, SECONDS, TASKS, LOADS, "prelabel_build_info", "prelabel_store_up", "prelabel_store_size_bytes", "prelabel_projects")
                   if n not in m.families or not m.families[n].samples]
        check("a fresh store: what needs no project is there", not missing, missing)
        check("a fresh store: up, 0 projects, 0 tasks predicted, 0 models loaded",
              (m.value("prelabel_store_up"), m.value("prelabel_projects"), m.value(TASKS), m.value(LOADS)) == (1, 0, 0, 0), m.samples)
        check("a fresh store: no project has a series", not [k for k in m.samples if "project" in dict(k[1])])
        check("build_info tells the version of /health", m.value("prelabel_build_info", version=health["version"]) == 1, m.series("prelabel_build_info"))
        check("only endpoints and statuses seen so far", {e for e, _ in m.requests()} == {"health", "metrics"} and set(m.requests().values()) - {0} == set(m.requests().values()), m.requests())
        p = Project()
        b.version(p)
        feed(b, p.some(4))
        a = b.get("/metrics?name=x")
        check("a query changes nothing", a.status == 200 and Metrics(a.body).value("prelabel_projects") == 1, a)
        a = b.request("HEAD", "/metrics")
        check("HEAD: 200 or 405, no body", a.status in (200, 405) and a.body == b"" and (a.status != 200 or a.headers.get("content-type") == KIND), f"{a.status} {a.headers} {a.body[:80]}")
        a = b.post("/metrics", {})
        check("POST: 405, Allow: GET, error form", a.status == 405 and "GET" in re.split(r", *", a.headers.get("allow", "")) and not a.error_form(), lambda: f"{a} {a.headers}")
        text = scrape(b).answer.body.decode()
        check("no text, label or title of a project in it", not re.search(r"Reviews|item\d|positive|negative", text), text)


@both
def t_livez(open_backend):
    with open_backend(BASIC_AUTH_USER="u", BASIC_AUTH_PASS="p", **QUIET) as b:
        good, b.auth = b.auth, None
        a = b.get("/livez")
        check("200, UP, JSON, without credentials", a.status == 200 and a.json.get("status") == "UP" and a.headers.get("content-type", "").startswith("application/json"), a)
        check("with wrong ones, too", b.get("/livez", headers={"Authorization": basic("u", "x")}).status == 200)
        check("/metrics without: 401 with a challenge, error form", (lambda a: a.status == 401 and "www-authenticate" in a.headers and not a.error_form())(b.get("/metrics")))
        check("/metrics with wrong ones: 401", b.get("/metrics", headers={"Authorization": basic("u", "x")}).status == 401)
        check("/metrics: a 401 shows no number", b"prelabel_" not in b.get("/metrics").body)
        check("/metrics with the right ones: 200", b.get("/metrics", headers={"Authorization": good}).status == 200)
        a = b.post("/livez", {})
        check("POST /livez: 405 with Allow, or 401", a.status == 401 or a.status == 405 and "GET" in a.headers.get("allow", ""), a)
        a = b.request("HEAD", "/livez")
        check("HEAD /livez: 200 or 405, no body", a.status in (200, 405) and a.body == b"", a)
        check("/livez/ and /livez/x are other paths: not open, or unknown", all(b.get(x).status in (401, 404) for x in ("/livez/x", "/livez/../metrics")))


# ---- the counters of the programs -------------------------------------------

def walk(b, p, c):
    """A known sequence of requests; c.add has each with the endpoint that it belongs to."""
    gz = {"Content-Encoding": "gzip"}
    for path in ("/", "/health", "/livez", "/livez", "/versions", "/status", "/job_status", "/status?project=77", "/status?project=abc", "/versions?project=77"):
        c.add(ROUTES[path.partition("?")[0]], b.get(path))
    for path in ("/nothing", "/predict2", "/predict/x", "/setup/extra/path", "/Health", "/livez/x", "/error", "/metrics/x", '/"a\\b'):
        c.add("other", b.get(path))
    c.add("other", b.post("/nowhere", {}))
    for path, endpoint in ROUTES.items():
        c.add(endpoint, b.request("DELETE", path))
        c.add(endpoint, b.request("PUT", path, b"{}"))
    for path in ("/predict", "/setup", "/webhook", "/train"):
        c.add(path[1:], b.get(path))
    for path in ("/validate", "/delete", "/duplicate_model", "/job_status", "/versions"):
        c.add(path[1:], b.post(path, {}))
    for path in ("/health", "/livez", "/metrics", "/status"):
        c.add(path[1:], b.post(path, {}))
        c.add(path[1:], b.request("HEAD", path)) if path != "/metrics" else None
    for body in (p.setup_body(), p.setup_body(), b"{", {}):
        c.add("setup", b.post("/setup", body))
    for n in (1, 3, 7, 0):
        c.add("predict", b.predict(p, ["good"] * n), n)
    ner = Project(8, config=NER)
    c.add("predict", b.predict(ner, ["Ann went to Paris", "x"]), 2)
    c.add("predict", b.post("/predict", p.predict_body(["x"], context={"result": []})), 1)
    for body, kw in ((b"{", {}), ({}, {}), (p.predict_body(["a", "b", {"text": 1}], drop=("tasks",)), {}), (p.predict_body(["a"]), {"headers": gz})):
        c.add("predict", b.post("/predict", body, **kw))
    event = p.labelled("good food", "positive")
    for body in (event, event, p.labelled("bad food", "negative"), p.event("NO_SUCH_ACTION"), {"action": "NO_SUCH_ACTION"}, b"[1,", {}, [], b"nope"):
        c.add("webhook", b.post("/webhook", body), event=True)
    c.add("webhook", b.post("/webhook", event, headers=gz), event=True)
    c.add("train", b.post("/train?project=77", {}))


@both
def t_metrics_exact(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        c = Count(b)
        walk(b, p, c)
        seen = {s for _, s in c.want}
        check("the sequence has 200 201 400 404 405 415 422", {"200", "201", "400", "404", "405", "415", "422"} <= seen, seen)
        check("and events stored, ignored and failed", c.events["stored"] == 2 and c.events["ignored"] >= 2 and c.events["failed"] >= 3, c.events)
        c.check("after a known sequence", each=True)
        check("the file of the counters: MODEL_DIR/metrics, for its owner alone", (lambda s: stat.S_ISREG(s.st_mode) and not s.st_mode & 0o077)(os.lstat(os.path.join(b.dir, "metrics"))))


def t_metrics_refused():
    """401: of the endpoint that was asked; at /webhook also an event refused."""
    for extra in ({}, {"WEBHOOK_SECRET": "hook"}):
        with Server(BASIC_AUTH_USER="u", BASIC_AUTH_PASS="pass", **extra, **QUIET) as b:
            p = Project()
            b.version(p)
            c, bad = Count(b), {"Authorization": basic("u", "x")}
            for path, endpoint in ROUTES.items():
                method = "POST" if endpoint in ("predict", "setup", "webhook", "train") else "GET"
                a = c.add(endpoint, b.request(method, path, json.dumps(p.predict_body(["x"])).encode() if method == "POST" else None, headers=bad), 1, event=endpoint == "webhook")
                if endpoint != "livez":
                    check(f"{method} {path}: 401", a.status == 401, a)
            c.add("other", b.get("/nothing", headers=bad))
            e = p.labelled("good", "positive")
            if extra:
                for secret in ("", "x", "hook", "hook"):
                    c.add("webhook", b.hook(e, headers=dict(bad, **{"X-Webhook-Secret": secret})), event=True)
                check("a right secret: stored, then ignored", c.events["stored"] == 1 and c.events["ignored"] == 1, c.events)
            check("events refused", c.events["refused"] == (3 if extra else 1), c.events)
            c.add("metrics", b.get("/metrics", headers={"Authorization": None}))
            c.check("with a secret" if extra else "with basic auth")


@both
def t_metrics_too_large(open_backend):
    """413 and 411: in front of the programs by the web server, whose error comes from /error (other), else by the program."""
    with open_backend(MAX_BODY_MB=1, **QUIET) as b:
        c = Count(b)
        a = b.post("/predict", b'{"tasks": [' + b'"x",' * 600000 + b'"x"]}')
        check("413", a.status == 413, a)
        if open_backend is Server:
            b.raw(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
        else:
            b.post("/predict", b"", headers={"Content-Length": None})

        def counted(m):
            return [sum(n for (e, s), n in c.got(m).items() if e in ("predict", "other") and s in which) for which in (("413",), ("411", "400"))]
        m = settle(b, lambda m: counted(m) == [1, 1])
        check("a body too large and one without a length are counted, once each", counted(m) == [1, 1], c.got(m))
        if open_backend is Cgi:
            check("by the program: of predict", {e for e, _ in c.got(m)} == {"predict"}, c.got(m))
        check("no task of theirs", c.of_tasks(m) == 0 and not wrong(m), wrong(m))


@both
def t_metrics_seconds(open_backend):
    with open_backend(WORKERS=1, **QUIET) as b:
        p = Project()
        v = b.version(p)
        feed_at_once(b, p, 12)
        train(b, p, v)
        b.predict(p, ["x"])
        for title, n, texts in (("20 small requests", 20, ["good"]), ("a large one", 1, ["good food and bad service " * 40] * 1500)):
            # A client that the machine kept waiting says little of the program's part: the best of a few.
            for _ in range(5):
                c = Count(b)
                took = sum(c.add("predict", b.predict(p, texts), len(texts)).seconds for _ in range(n))
                m = c.check(title)
                s = m.value(SECONDS + "_sum", endpoint="predict") - c.start.value(SECONDS + "_sum", endpoint="predict")
                if s >= 0.05 * took:
                    break
            check(f"{title}: their seconds are part of the client's", 0 < s <= took + 0.02 * n * SLOW, f"{s} of {took}")
            if n == 1:
                check(f"{title}: and a fair part", s >= 0.05 * took, f"{s} of {took}")
                where = [x["le"] for x, v in m.series(SECONDS + "_bucket", endpoint="predict") if v > (c.start.value(SECONDS + "_bucket", endpoint="predict", le=x["le"]) or 0)]
                first = next(i for i, e in enumerate(BUCKETS) if s <= e + 1e-6)
                check(f"{title}: in the buckets from its own on", len(where) == len(BUCKETS) - first, f"{s}: {where}")


def crowd(n, fn):
    """fn(i) for i < n in 16 threads; what they raised."""
    todo, bad, lock = iter(range(n)), [], threading.Lock()

    def work():
        while True:
            with lock:
                i = next(todo, None)
            if i is None:
                return
            try:
                fn(i)
            except Exception as e:
                bad.append(f"{type(e).__name__}: {e}")
    ts = [threading.Thread(target=work) for _ in range(16)]
    for t in ts:
        t.start()
    for t in ts:
        t.join(90 * SLOW)
    return bad


@both
def t_metrics_parallel(open_backend):
    """Several programs, processes and threads count into one sum, and no scrape meanwhile shows one go down."""
    with open_backend(WORKERS=2, THREADS=4, **QUIET) as b:
        p = Project()
        b.version(p)
        events, repeated = p.some(50), p.labelled("good", "positive")
        b.hook(repeated)
        c = Count(b)

        def one(i):
            k = i % 4
            if k == 0:
                c.add("predict", b.predict(p, ["good"] * (1 + i % 7)), 1 + i % 7)
            elif k == 1:
                c.add("webhook", b.hook(events[i // 4] if i % 8 == 1 else repeated), event=True)
            elif k == 2:
                c.add("setup", b.setup(p)) if i % 8 == 2 else c.add("livez", b.get("/livez"))
            else:
                c.add("predict", b.post("/predict", b"{")) if i % 8 == 3 else c.add("other", b.get("/nothing"))
        down, stop, looks = [], threading.Event(), [0]

        def watch():
            last = {}
            while not stop.is_set():
                m = scrape(b)
                why = wrong_families(m)
                if why:
                    down.append(why)
                for k, v in m.counters().items():
                    if v < last.get(k, 0):
                        down.append(f"{k}: {last[k]} -> {v}")
                # A store that another holds for longer than a program may wait (a disk that stalls) is down, and says so.
                gone = {k for k in set(last) - set(m.counters()) if m.value("prelabel_store_up") != 0 or k[0] not in ROWS}
                if gone:
                    down.append(f"gone: {gone}")
                last.update(m.counters())
                looks[0] += 1
        t = threading.Thread(target=watch)
        t.start()
        bad = crowd(200, one)
        wait_for(lambda: looks[0] >= 3 or not t.is_alive())
        stop.set()
        t.join(20)
        check("200 requests answered", not bad and sum(c.want.values()) == 200 + c.again, bad[:3])
        check(f"counters never went down, at {'least 3' if looks[0] >= 3 else looks[0]} looks", not down and looks[0] >= 3, down[:3])
        c.check("200 in parallel")


def t_metrics_one_folder():
    """A server and plain CGI programs of one MODEL_DIR count into one file, whoever tells it."""
    with Server(**QUIET) as b:
        p = Project()
        b.version(p)
        other, c = Cgi(folder=b.dir, **QUIET), Count(b)

        def one(i):
            a = (b if i % 2 else other).predict(p, ["x"])
            c.add("predict", a, 1)
        bad = crowd(24, one)
        check("all answered", not bad, bad[:2])
        m = c.check("12 by the server, 12 by CGI")
        n = scrape(other)
        check("a CGI program tells the same", n.value(TASKS) == m.value(TASKS) and n.requests()[("predict", "200")] == m.requests()[("predict", "200")], n.requests())


def t_metrics_first_requests_at_once():
    """The file is made by whoever comes first; nothing is lost when many do."""
    for round in range(3):
        with Cgi(**QUIET) as b:
            c = collections.Counter()
            bad = crowd(24, lambda i: c.update([b.get("/livez").status]))
            m = scrape(b)
            check(f"24 first requests at once, round {round + 1}: all counted", not bad and c == {200: 24} and m.requests() == {("livez", "200"): 24} and not wrong(m), (bad[:2], m.requests(), wrong(m)))
            put(os.path.join(b.dir, "metrics"), random_bytes(20000, round))
            bad = crowd(24, lambda i: c.update([b.get("/livez").status]))
            m = scrape(b)
            check(f"and with a damaged file, round {round + 1}: all answered, none twice", not bad and c == {200: 48} and m.requests()[("livez", "200")] <= 24 and not wrong(m), (bad[:2], m.requests(), wrong(m)))


def t_metrics_unknown_paths_add_no_series():
    with Server(**QUIET) as b:
        c = Count(b)
        crowd(60, lambda i: c.add("other", b.request(("GET", "POST", "PUT")[i % 3], f"/x{i}", b"{}" if i % 3 else None)))
        m = c.check("60 paths nobody knows")
        check("their series: one a status", len([k for k in m.requests() if k[0] == "other"]) <= 3, m.requests())


@both
def t_metrics_model_loads(open_backend):
    with open_backend(WORKERS=1, THREADS=1, **QUIET) as b:
        p = Project()
        v = b.version(p)
        for _ in range(3):
            b.predict(p, ["x"])
        check("a cold start loads nothing from the store", scrape(b).value(LOADS) == 0)
        feed_at_once(b, p, 12)
        v = train(b, p, v)
        # What the trainer still does after publishing is done when its job is.
        wait_for(lambda: b.db("select count(*) from train_job where state in ('queued', 'running')") == [(0,)] and b.db("select n_held_out from model_version")[0][0])
        b.predict(p, ["x"])
        m = settle(b, lambda m: m.value(LOADS) > 0)
        check("a version in force: loaded by the first request", m.value(LOADS) >= 1, m.value(LOADS))
        for _ in range(5):
            b.predict(p, ["x"])
        n = settle(b, lambda n: n.value(LOADS) - m.value(LOADS) >= 5, 0.5).value(LOADS) - m.value(LOADS)
        want = 5 if open_backend is Cgi else 0
        check(f"5 more requests: {want} more loads ({'a process each' if want else 'one process, which has it'})", n == want, n)


# ---- across restarts; the file ----------------------------------------------

def lasting(m):
    """The counters, without what starting and scraping adds to."""
    return {k: v for k, v in m.counters().items() if k[0] not in ("prelabel_updates_total",) and dict(k[1]).get("endpoint") not in ("health", "metrics")}


def t_metrics_restart():
    with Server(**QUIET) as b:
        p = Project()
        b.version(p)
        c = Count(b)
        walk(b, p, c)
        before = lasting(c.check("before the restart"))
        b.stop()
        b.start()
        after = lasting(scrape(b))
        check("SIGTERM and start: every counter as before", after == before, [(k, before.get(k), after.get(k)) for k in set(before) | set(after) if before.get(k) != after.get(k)][:4])
        b.kill9()
        b.start()
        after = lasting(scrape(b))
        check("kill -9 and start: every counter as before", after == before, [(k, before.get(k), after.get(k)) for k in set(before) | set(after) if before.get(k) != after.get(k)][:4])
        c = Count(b)
        c.add("predict", b.predict(p, ["a", "b"]), 2)
        m = c.check("they go on from there")
        b.stop()
        check("the counters are in MODEL_DIR/metrics", os.path.isfile(os.path.join(b.dir, "metrics")), os.listdir(b.dir))
        os.unlink(os.path.join(b.dir, "metrics"))
        b.start()
        m = scrape(b)
        check("without the file they begin at 0", not any(lasting(m).values()) and m.value(TASKS) == 0, {k: v for k, v in lasting(m).items() if v})
        check("only what was asked since is there", {e for e, _ in m.requests()} <= {"health", "metrics"}, m.requests())
        check("what is in the store stays", m.value("prelabel_projects") >= 1 and m.of("prelabel_updates_total", p) == 2, m.series("prelabel_updates_total"))
        c = Count(b)
        c.add("predict", b.predict(p, ["a", "b"]), 2)
        c.check("and count again")


def t_metrics_killed_while_counting():
    """A program that dies in the middle of anything leaves no lock behind and the file in order."""
    with Server(WORKERS=2, THREADS=4, **QUIET) as b:
        p = Project()
        b.version(p)
        floor, last, stop, answered = 0, {}, threading.Event(), []

        def ask():
            while not stop.is_set():
                try:
                    if b.predict(p, ["a"]).status == 200:
                        answered.append(1)
                except OSError:
                    pass
        ts = [threading.Thread(target=ask) for _ in range(4)]
        for t in ts:
            t.start()
        rnd = random.Random(3)
        for _ in range(8):
            time.sleep(0.1 + rnd.random() / 10)
            mine = [pid for pid, cmd in b.tree().items() if re.search(r"(^|/)predict\b", cmd)]
            if mine:
                kill9(rnd.choice(mine))
        stop.set()
        for t in ts:
            t.join(30)
        for m in [settle(b, lambda m: m.value(TASKS) >= len(answered))]:
            # Counted after the answer: at each kill the threads of a process may lose one each.
            floor, last = len(answered) - 8 * 4, m.value(TASKS)
            check("8 programs killed: what was answered is counted, but for those in the air", floor <= last <= len(answered) + 32, f"{last} for {len(answered)}")
            check("8 programs killed: families and histograms in order", not wrong(m), wrong(m))
        # The web server starts a program again when it needs it; until then /error answers for it.
        wait_for(lambda: all(b.predict(p, ["a"]).status == 200 for _ in range(8)), 60)
        c = Count(b)

        def one(i):
            a = b.predict(p, ["a", "b"])
            c.add("predict" if a.status == 200 else "other", a, 2)
        crowd(40, one)
        check("afterwards: they answer", c.want[("predict", "200")] >= 20, c.want)
        c.check("afterwards")


def random_bytes(n, seed=1):
    return random.Random(seed).randbytes(n)


def put(path, raw):
    if os.path.islink(path) or os.path.exists(path):
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    with open(path, "wb") as f:
        f.write(raw)


# name: what is done to the file `path`, whose bytes are `raw`; `aside` is a path for a link to show to.
DAMAGE = {
    "random bytes": lambda path, raw, aside: put(path, random_bytes(5000)),
    "as many random bytes": lambda path, raw, aside: put(path, random_bytes(len(raw), 2)),
    "its head, then random bytes": lambda path, raw, aside: put(path, raw[:64] + random_bytes(max(0, len(raw) - 64), 3)),
    "all ones": lambda path, raw, aside: put(path, b"\xff" * len(raw)),
    "all zeros": lambda path, raw, aside: put(path, bytes(len(raw))),
    "empty": lambda path, raw, aside: put(path, b""),
    "one byte": lambda path, raw, aside: put(path, raw[:1]),
    "half": lambda path, raw, aside: put(path, raw[:len(raw) // 2]),
    "a byte short": lambda path, raw, aside: put(path, raw[:-1]),
    "a megabyte more": lambda path, raw, aside: put(path, raw + random_bytes(1 << 20)),
    "a link to a file": lambda path, raw, aside: (put(path, b""), os.unlink(path), put(aside, raw), os.symlink(aside, path)),
    "a link to nothing": lambda path, raw, aside: (put(path, b""), os.unlink(path), os.symlink(aside + ".none", path)),
    "a link to itself": lambda path, raw, aside: (put(path, b""), os.unlink(path), os.symlink(path, path)),
    "a folder": lambda path, raw, aside: (put(path, b""), os.unlink(path), os.mkdir(path), put(os.path.join(path, "x"), b"x")),
    "a pipe": lambda path, raw, aside: (put(path, b""), os.unlink(path), os.mkfifo(path, 0o600)),
}
# As plain CGI each request is a start: a few of each sort are enough there.
BY_CGI = ("random bytes", "as many random bytes", "empty", "half", "a link to a file", "a folder", "a pipe")
PLAIN = ("random bytes", "as many random bytes", "all ones", "all zeros", "empty", "one byte", "half", "a byte short")


def ask_all(b, p, i=0):
    """What each endpoint has to answer; '' or what it did."""
    for want, a in ((200, b.predict(p, ["good", "bad"])), (200, b.setup(p)), (201, b.hook(p.labelled(f"good {i}", "positive"))), (200, b.get("/health")), (200, b.get("/livez")),
                    (200, b.get("/status?project=1")), (200, b.get("/versions")), (404, b.get("/nothing")), (422, b.post("/predict", {})), (200, b.get("/metrics"))):
        if a.status != want:
            return f"{want} expected: {a}"
        if a.seconds > 5 * SLOW:
            return f"{a.seconds} s: {a}"
    return ""


@both
def t_metrics_damaged_file(open_backend):
    """A file of counters that can't be used stops no start and no answer."""
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        ask_all(b, p)
        if open_backend is Server:
            b.stop()
        path, aside = os.path.join(b.dir, "metrics"), os.path.join(b.dir, "aside")
        with open(path, "rb") as f:
            raw = f.read()
        check("the file is there and holds no text of a task", len(raw) > 0 and b"good" not in raw, len(raw))
        for name, spoil in DAMAGE.items():
            if open_backend is Cgi and name not in BY_CGI:
                continue
            spoil(path, raw, aside)
            why = ""
            try:
                if open_backend is Server:
                    b.start()
                why = ask_all(b, p)
            except (OSError, AssertionError) as e:
                why = f"{type(e).__name__}: {e}"
            check(f"{name}: the start and every answer as ever", not why, why)
            if why:
                if open_backend is Server and b.proc:
                    b.kill9()
                continue
            m = scrape(b)
            check(f"{name}: the text is in order, the store is shown", m.value("prelabel_store_up") == 1 and m.value("prelabel_projects") == 1, m.series("prelabel_store_up"))
            if name in PLAIN:
                check(f"{name}: numbers that can be", not wrong(m), wrong(m))
                c = Count(b)
                c.add("predict", b.predict(p, ["x"] * 3), 3)
                m = settle(b, lambda m: c.got(m) == c.want)
                check(f"{name}: what comes is counted", c.got(m) == c.want and c.of_tasks(m) == 3, c.got(m))
            if name == "a link to a file":
                with open(aside, "rb") as f:
                    check(f"{name}: that file is left as it is", f.read() == raw)
            check(f"{name}: nothing is made where a link shows to", not os.path.exists(aside + ".none"))
            if open_backend is Server:
                left = b.stop()
                check(f"{name}: it stops as ever", not left and b.exit_status == 0, f"{left} {b.exit_status}")
        put(path, raw)
        if open_backend is Server:
            b.start()
        check("with the right file the old numbers are back", scrape(b).value(TASKS) >= 2, scrape(b).value(TASKS))


def t_metrics_file_changed_under_way():
    """While the programs run: cut in place (a mapped page that is gone), written over, removed, replaced."""
    def cut(n):
        return lambda path: os.truncate(path, n)

    def over(path):
        with open(path, "r+b") as f:
            f.write(random_bytes(os.path.getsize(path), 9))

    for name, spoil in (("cut to nothing", cut(0)), ("cut to 100 bytes", cut(100)), ("written over", over), ("removed", os.unlink),
                        ("replaced by a folder", lambda path: (os.unlink(path), os.mkdir(path))), ("replaced by a pipe", lambda path: (os.unlink(path), os.mkfifo(path)))):
        with Server(WORKERS=2, THREADS=4, **QUIET) as b:
            p = Project()
            b.version(p)
            ask_all(b, p)
            spoil(os.path.join(b.dir, "metrics"))
            before = set(b.tree())
            why = ""
            for i in range(4):
                why = why or ask_all(b, p, i)
            bad = crowd(32, lambda i: None if b.predict(p, ["x"]).status == 200 and b.setup(p).status == 200 else 1 / 0)
            check(f"{name}: every answer as ever", not why and not bad, why or bad[:2])
            if name == "removed":
                asked = scrape(b).value(TASKS)
                check("removed: the counters begin at 0, and count what came since", 32 <= asked <= 4 * 2 + 32, asked)
                c = Count(b)
                crowd(16, lambda i: c.add("predict", b.predict(p, ["x"]), 1))
                c.check("removed: exact from there")
            check(f"{name}: no program died of it", before <= set(b.tree()), b.log_text()[-600:])
            try:
                scrape(b)
                check(f"{name}: the text is in order", True)
            except ValueError as e:
                check(f"{name}: the text is in order", False, e)
            b.stop()
            try:
                b.start()
                check(f"{name}: the next start, too", ask_all(b, p, 99) == "")
            except AssertionError as e:
                check(f"{name}: the next start, too", False, e)


def t_metrics_file_moved_away():
    """Renamed under way it is gone: the counters begin at 0, in one file for those that run and those that come."""
    with Server(**QUIET) as b:
        p = Project()
        b.version(p)
        b.predict(p, ["x"] * 5)
        settle(b, lambda m: m.value(TASKS) == 5)
        path = os.path.join(b.dir, "metrics")
        os.rename(path, path + ".old")
        b.predict(p, ["x"] * 2)
        m = settle(b, lambda m: m.value(TASKS) == 2)
        check("moved away: the counters begin at 0", m.value(TASKS) == 2 and os.path.isfile(path), f"{m.value(TASKS)} {os.listdir(b.dir)}")
        other, before = Cgi(folder=b.dir, **QUIET), m.value(TASKS)
        for _ in range(3):
            other.predict(p, ["x"])
        m = settle(b, lambda m: m.value(TASKS) == before + 3)
        check("moved away: a program that came later counts into the same sum", m.value(TASKS) == before + 3 == scrape(other).value(TASKS), (before, m.value(TASKS), scrape(other).value(TASKS)))
        os.rename(path + ".old", path)
        b.predict(p, ["x"])
        m = settle(b, lambda m: m.value(TASKS) == 6)
        check("moved back: the old numbers go on", m.value(TASKS) == 6, m.value(TASKS))


class NoRoom(Cgi):
    """Plain CGI in which no file can grow: each write beyond an end fails, as on a full disk."""

    def run(self, program, env, data, timeout=20):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        r = subprocess.run([os.path.join(ROOT, BUILD, "cgi", program)], cwd=ROOT, env=env, input=data or b"", capture_output=True, timeout=timeout * SLOW, preexec_fn=limit)
        self.stderr += r.stderr
        return r.returncode, r.stdout


def t_metrics_no_room():
    with Cgi(**QUIET) as first:
        p = Project()
        first.version(p)
        b = NoRoom(folder=first.dir, **QUIET)
        # A reader that stays keeps the WAL and its index there: the store can be read.
        db = sqlite3.connect(os.path.join(first.dir, "prelabel.sqlite3"))
        db.execute("select count(*) from project").fetchone()
        path = os.path.join(first.dir, "metrics")
        with open(path, "rb") as f:
            raw = f.read()
        for title, spoil in (("the file is there", lambda: None), ("it is not, and can't be made", lambda: os.unlink(path)), ("it is empty, and can't grow", lambda: put(path, b"")),
                             ("it is cut, and can't grow", lambda: put(path, raw[:100])), ("it is a sparse file", lambda: (put(path, b""), os.truncate(path, len(raw))))):
            spoil()
            got = []
            for name, ask in (("livez", lambda: b.get("/livez")), ("health", lambda: b.get("/health")), ("predict", lambda: b.predict(p, ["x"])), ("setup", lambda: b.setup(p)), ("metrics", lambda: b.get("/metrics"))):
                try:
                    a = ask()
                    got += [f"{name}: {a}"] if a.status != 200 else []
                except OSError as e:
                    got.append(f"{name}: {e}")
            check(f"no room, {title}: livez, health, predict, setup, metrics 200", not got, got)
            try:
                check(f"no room, {title}: the text is in order", not wrong(scrape(b)), wrong(scrape(b)))
            except (OSError, ValueError) as e:
                check(f"no room, {title}: the text is in order", False, e)
        db.close()
        c = Count(first)
        c.add("predict", first.predict(p, ["a", "b"]), 2)
        c.check("room again")


class Stranger(Cgi):
    """Plain CGI by a user who may not write where the file would be; root needs another user for that."""

    def run(self, program, env, data, timeout=20):
        who = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        r = subprocess.run([os.path.join(self.programs, "cgi", program)], cwd="/", env=env, input=data or b"", capture_output=True, timeout=timeout * SLOW, **who)
        self.stderr += r.stderr
        return r.returncode, r.stdout


def t_metrics_read_only_folder():
    outer = tempfile.mkdtemp(prefix="prelabel-ro-")
    folder, programs = os.path.join(outer, "data"), os.path.join(outer, "build")
    try:
        os.chmod(outer, 0o755)
        os.mkdir(folder)
        # The build may lie where that user can't look.
        shutil.copytree(os.path.join(ROOT, BUILD, "cgi"), os.path.join(programs, "cgi"))
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
        b = Stranger(folder=folder, **QUIET)
        b.programs = programs
        p = Project()
        b.version(p)
        b.hook(p.labelled("good", "positive"))
        # A reader that stays keeps the WAL and its index there: then only the folder refuses, not the store.
        db = sqlite3.connect(os.path.join(folder, "prelabel.sqlite3"))
        db.execute("select count(*) from project").fetchone()
        b.hook(p.labelled("bad", "negative"))
        for f in os.listdir(folder):
            if os.getuid() == 0 and f.startswith("prelabel.sqlite3"):
                os.chown(os.path.join(folder, f), 65534, 65534)
        for title, change in (("a file that may not be written", lambda: os.chmod(os.path.join(folder, "metrics"), 0o400)),
                              ("one that may not even be read", lambda: (os.chown(os.path.join(folder, "metrics"), os.getuid(), -1), os.chmod(os.path.join(folder, "metrics"), 0))),
                              ("none, and none can be made", lambda: os.unlink(os.path.join(folder, "metrics")))):
            os.chmod(folder, 0o755)
            change()
            os.chmod(folder, 0o555)
            why = ask_all(b, p)
            check(f"{title}, in a read-only folder: every answer as ever", not why, why)
            try:
                m = scrape(b)
                check(f"{title}: what the store tells is shown", m.value("prelabel_store_up") == 1 and m.of("prelabel_annotations", p) >= 2 and not wrong_families(m), wrong_families(m))
            except ValueError as e:
                check(f"{title}: what the store tells is shown", False, e)
        db.close()
        # Nothing at all may be written, the store neither.
        for f in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):        # the WAL of a program that has just closed the store
                os.chmod(os.path.join(folder, f), 0o444)
        check("nothing may be written: /livez, /health 200", [b.get(x).status for x in ("/livez", "/health")] == [200, 200])
        try:
            m = scrape(b)
            check("nothing may be written: /metrics 200, in order", m.value("prelabel_store_up") in (0, 1) and not wrong_families(m), wrong_families(m))
        except ValueError as e:
            check("nothing may be written: /metrics 200, in order", False, e)
    finally:
        os.chmod(folder, 0o755)
        shutil.rmtree(outer, ignore_errors=True)


# ---- the families of the store ----------------------------------------------

def feed_at_once(b, p, n):
    """n annotations in one event; returns it."""
    return b.hook(p.created_many([p.annotation(t, t, p.labels[i % len(p.labels)]) for i, t in enumerate([p.task(review(p.labels[i % len(p.labels)], i)) for i in range(n)])]))


def rows(b, p):
    """What the store's tables say of a project."""
    row = b.db("select row from project where id = ? and coalesce(created_s, 0) = ?", p.id, p.seconds)[0][0]
    one = lambda sql: b.db(sql, row)[0][0]  # noqa: E731
    return {"prelabel_tasks": one("select count(*) from task where project = ? and deleted = 0"),
            "prelabel_annotations": one("select count(*) from annotation where project = ? and deleted = 0"),
            "prelabel_updates_total": one("select updates from project where row = ?"),
            "prelabel_updates_pending": one("select updates - updates_trained from project where row = ?")}


def jobs(b, p):
    got = dict(b.db("select state, count(*) from train_job j join project p on p.row = j.project where p.id = ? and coalesce(p.created_s, 0) = ? group by state", p.id, p.seconds))
    return {s: got.get(s, 0) for s in STATES}


@both
def t_metrics_project(open_backend):
    with open_backend(**QUIET) as b:
        p = Project(1)
        v0 = b.version(p)
        m = scrape(b)
        check("a new project: 1 project", m.value("prelabel_projects") == 1, m.value("prelabel_projects"))
        for name in ("tasks", "annotations", "examples", "updates_total", "updates_pending", "model_version_number"):
            check(f"a new project: {name} 0", m.of("prelabel_" + name, p) == 0, m.of("prelabel_" + name, p))
        check("a new project: jobs of every state, 0", m.jobs(p) == dict.fromkeys(STATES, 0), m.jobs(p))
        for name in ("training_duration_seconds", "model_published_timestamp_seconds", "last_webhook_timestamp_seconds", "accuracy_ratio"):
            check(f"a new project: no {name} yet", not m.series("prelabel_" + name), m.series("prelabel_" + name))
        check("a new project: no version in force, or the one that /setup answers", m.info(p) in ([], [v0]), m.info(p))

        t0 = time.time()
        feed_at_once(b, p, 40)
        for e in (p.labelled("skipped", "positive", was_cancelled=True), p.labelled("without a label", None), p.labelled("unknown", "mixed")):
            b.hook(e)
        m = scrape(b)
        check("40 labelled, 1 skipped, 1 empty, 1 of an unknown label: 43 tasks, annotations, updates; 40 examples",
              [m.of("prelabel_" + n, p) for n in ("tasks", "annotations", "updates_total", "updates_pending", "examples")] == [43, 43, 43, 43, 40],
              [m.of("prelabel_" + n, p) for n in ("tasks", "annotations", "updates_total", "updates_pending", "examples")])
        b.hook(p.created(p.annotation(9001, 1, "negative", by=2)))
        b.hook(p.created(p.annotation(9002, 1, "negative", by=3, ground_truth=True)))
        m = scrape(b)
        check("a ground truth stands in place of the two others of its task: 40 examples", m.of("prelabel_examples", p) == 40 and m.of("prelabel_annotations", p) == 45, m.of("prelabel_examples", p))
        b.hook(p.deleted(2, 3))
        b.hook(p.tasks_deleted(4))
        b.hook(p.event("TASKS_CREATED", tasks=[p.event_task(p.task("not labelled yet")) for _ in range(2)]))
        b.hook(p.created(p.annotations[10]))     # a second delivery
        m = scrape(b)
        want = rows(b, p)
        check("2 annotations and a task deleted, 2 tasks added: as the tables say", {k: m.of(k, p) for k in want} == want, f"{[m.of(k, p) for k in want]}, not {want}")
        check("37 examples, as the view says", m.of("prelabel_examples", p) == 37 == len(b.examples()), (m.of("prelabel_examples", p), len(b.examples())))
        check("pending is the counter that events answer", m.of("prelabel_updates_pending", p) == b.counter(p), (m.of("prelabel_updates_pending", p), b.counter(p)))
        seen = m.of("prelabel_last_webhook_timestamp_seconds", p) or 0
        check("the last webhook: seconds of now", t0 - 2 <= seen <= time.time() + 2, seen - t0)
        updates = m.of("prelabel_updates_total", p)

        t1 = time.time()
        v1 = train(b, p, v0)
        took = time.time() - t1
        m = settle(b, lambda m: m.jobs(p).get("done") == 1 and m.of("prelabel_accuracy_ratio", p) is not None)
        check("trained: version number 1, nothing pending, updates as before",
              (m.of("prelabel_model_version_number", p), m.of("prelabel_updates_pending", p), m.of("prelabel_updates_total", p)) == (1, 0, updates), m.samples)
        check("trained: model_info is what /setup answers, the only one", number(v1) == 1 and [x for x, _ in m.series("prelabel_model_info")] == [{"project": "1", "created": str(p.seconds), "model_version": v1}], m.series("prelabel_model_info"))
        check("trained: 1 job done, 0 of every other state", m.jobs(p) == dict(dict.fromkeys(STATES, 0), done=1), m.jobs(p))
        s = m.of("prelabel_training_duration_seconds", p)
        check("trained: its seconds, within the wait for it", s is not None and 0 < s <= took + 1, f"{s} of {took}")
        s = m.of("prelabel_model_published_timestamp_seconds", p) or 0
        check("trained: published at seconds of now", t1 - 2 <= s <= time.time() + 2, s - t1)
        accuracy = b.db("select accuracy from model_version order by number desc")[0][0]
        check("trained: the accuracy of the version", accuracy is not None and abs((m.of("prelabel_accuracy_ratio", p) or 9) - accuracy) < 1e-6, (m.of("prelabel_accuracy_ratio", p), accuracy))

        v2 = train(b, p, v1)
        m = settle(b, lambda m: m.jobs(p).get("done") == 2)
        check("trained again: number 2, its string alone, 2 jobs done", (m.of("prelabel_model_version_number", p), m.info(p), m.jobs(p)["done"]) == (2, [v2], 2), (m.info(p), m.jobs(p)))
        code, out, err = b.cli("rollback", "--project", "1", v1)
        m = settle(b, lambda m: m.info(p) == [v1])
        check("rolled back: number 1 and its string", code == 0 and (m.of("prelabel_model_version_number", p), m.info(p)) == (1, [b.version(p)]) and m.info(p) == [v1], (code, err, m.info(p)))
        check("every line in order", not wrong(m), wrong(m))
        code, out, err = b.cli("forget", "--project", "1")
        m = scrape(b)
        check("forgotten: no series of it, 0 projects", code == 0 and m.value("prelabel_projects") == 0 and not [k for k in m.samples if "project" in dict(k[1])], (code, err))


def t_metrics_follow_each_event():
    """Each change shows at once, whichever program tells it and whatever it told just before."""
    with Server(**QUIET) as b:
        p = Project()
        b.version(p)
        feed_at_once(b, p, 8)

        def many_tasks():
            return p.tasks_created([p.task(f"not labelled {k}") for k in range(3)])

        def relabel():
            t = next(iter(p.tasks))
            p.tasks[t] = {"other": "no text now"}
            return p.updated(p.annotation(t, t, "negative"))
        first = {}

        def export():
            code, out, err = b.cli("import", "--project", "1", first["file"])
            return code == 0 or check("import", False, (out, err))
        first["file"] = os.path.join(b.dir, "more.jsonl")
        with open(first["file"], "w") as f:
            f.write("".join(json.dumps({"text": review(p.labels[i % 2], 70 + i), "label": p.labels[i % 2]}) + "\n" for i in range(4)))
        bare = {}
        for name, do in (("3 tasks without annotations", lambda: bare.update(e=many_tasks()) or b.hook(bare["e"])), ("the same again", lambda: b.hook(bare["e"])),
                         ("a task without annotations deleted", lambda: b.hook(p.tasks_deleted(10))), ("an annotation", lambda: b.hook(p.labelled("good", "positive"))),
                         ("a task's text and label changed", lambda: b.hook(relabel())), ("an annotation deleted that nobody knew", lambda: b.hook(p.deleted(7777))),
                         ("it comes late", lambda: b.hook(p.labelled("late", "positive", 7777))), ("a skip", lambda: b.hook(p.updated(p.annotation(3, 3, "positive", was_cancelled=True)))),
                         ("a task with its annotation deleted", lambda: b.hook(p.tasks_deleted(4))), ("an import", export), ("a label less in the config", lambda: (setattr(p, "labels", ["positive", "neutral"]), b.setup(p))),
                         ("an event of another project", lambda: b.hook(Project(2, first=3000).labelled("x", "positive")))):
            for _ in range(6):      # every program has told the old numbers
                scrape(b)
            do()
            want, bad = dict(rows(b, p), prelabel_examples=len([e for e in b.db("select * from v_example where project = 1")])), []
            for m in (scrape(b) for _ in range(6)):
                got = {k: m.of(k, p) for k in want}
                if got != want:
                    bad.append(got)
            check(f"{name}: shown at once", not bad, f"{bad[:1]}, not {want}")


@both
def t_metrics_version_follows_config(open_backend):
    """model_info is what /setup answers at every moment: after another label set, another setting."""
    with open_backend(**QUIET) as b:
        p = Project(1, ["positive", "negative", "neutral"])
        v = b.version(p)
        feed_at_once(b, p, 30)
        v1 = train(b, p, v)
        p.labels = ["positive", "neutral"]
        v2 = b.version(p)
        info, v, m = in_step(b, p)
        check("another label set: another string at once, and model_info has it", v2 != v1 and info == [v], (v1, v2, v, info))
        check("a label left the config: its examples don't count", m.of("prelabel_examples", p) == 20 == len(b.examples()), (m.of("prelabel_examples", p), len(b.examples())))
        wait_for(lambda: b.db("select count(*) from train_job where state in ('queued', 'running')") == [(0,)])
        if open_backend is Server:
            b.stop()
        b.env["LOGISTIC_REGRESSION_C"] = "3"
        if open_backend is Server:
            b.start()
        info, v, m = in_step(b, p)
        check("another setting: model_info is what /setup answers", info == [v], (info, v))
        p.own_config = "<View><Text name='t' value='$text'/></View>"
        info, v, m = in_step(b, p)
        check("a config without choices: no version, or what /setup answers; in order", info in ([], [v]) and not wrong(m), (info, v, wrong(m)))


@both
def t_metrics_several_projects(open_backend):
    with open_backend(**QUIET) as b:
        one, two, big = Project(1), Project(1, created="2025-01-02T03:04:05.000000Z", first=500), Project(9007199254740993, first=900)
        for n, p in ((2, one), (5, two), (3, big)):
            b.version(p)
            feed(b, p.some(n))
        m = scrape(b)
        check("two projects of one id and one beyond 2^53: 3 series, each with its own number", sorted((x["project"], x["created"], v) for x, v in m.series("prelabel_annotations")) ==
              sorted([("1", str(one.seconds), 2), ("1", str(two.seconds), 5), (str(big.id), str(big.seconds), 3)]), m.series("prelabel_annotations"))
        for name in ("tasks", "examples", "updates_total", "updates_pending", "model_version_number", "last_webhook_timestamp_seconds"):
            check(f"{name}: three series", len(m.series("prelabel_" + name)) == 3, m.series("prelabel_" + name))
        check("jobs: every state of each", len(m.series("prelabel_jobs")) == 3 * len(STATES), m.series("prelabel_jobs"))

        late = Project(7, first=2000)
        e = late.labelled("good", "positive")
        del e["project"]["created_at"]
        a = b.hook(e)
        m = scrape(b)
        check("a project whose creation time nobody told: created is 0", a.status == 201 and [x for x, _ in m.series("prelabel_annotations", project=7)] == [{"project": "7", "created": "0"}], (a, m.series("prelabel_annotations", project=7)))
        check("4 projects, in order", m.value("prelabel_projects") == 4 and not wrong(m), wrong(m))
        b.version(late)
        m = scrape(b)
        check("when /setup tells it: created is that", [x["created"] for x, _ in m.series("prelabel_annotations", project=7)] == [str(late.seconds)] and m.value("prelabel_projects") == 4, m.series("prelabel_annotations", project=7))


def t_metrics_jobs():
    """By state, against the table; rows are put there, since most states last for a moment only."""
    with Cgi(**QUIET) as b:
        p, q = Project(1), Project(2, first=100)
        for x in (p, q):
            b.version(x)
            feed(b, x.some(2))
        b.cli("status")     # nothing of ours holds the store
        db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), timeout=10)
        now = int(time.time())
        r, s = (db.execute("select row from project where id = ?", (x.id,)).fetchone()[0] for x in (p, q))
        add = "insert into train_job (project, state, reason, queued_s, not_before_s, lease_until_s, finished_s) values (?, ?, 'start', ?, ?, ?, ?)"
        for project, state, n in ((r, "failed", 3), (r, "skipped", 2), (r, "done", 4), (r, "queued", 1), (s, "running", 1), (s, "failed", 1)):
            for _ in range(n):
                db.execute(add, (project, state, now, now + 1800 if state == "queued" else 0, now + 25 if state == "running" else None, None if state in ("queued", "running") else now))
        db.commit()
        db.close()
        m = scrape(b)
        check("3 failed, 2 skipped, 4 done, 1 queued", m.jobs(p) == {"failed": 3, "skipped": 2, "done": 4, "queued": 1, "running": 0} == jobs(b, p), m.jobs(p))
        check("of another: 1 running, 1 failed", m.jobs(q) == {"failed": 1, "skipped": 0, "done": 0, "queued": 0, "running": 1} == jobs(b, q), m.jobs(q))
        check("no training published: no duration, no time, number 0", not m.series("prelabel_model_published_timestamp_seconds") and m.of("prelabel_model_version_number", p) == 0, m.samples)


@both
def t_metrics_skipped_training(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        feed(b, [p.labelled("great food", "positive")])
        b.hook(p.event("START_TRAINING"))
        wait_for(lambda: b.db("select count(*) from train_job where state in ('queued', 'running')") == [(0,)] and b.db("select count(*) from train_job") != [(0,)])
        m = settle(b, lambda m: m.jobs(p) == jobs(b, p))
        check("one label only: the job is where the table has it, no version", m.jobs(p) == jobs(b, p) and sum(m.jobs(p).values()) == 1 and m.of("prelabel_model_version_number", p) == 0, (m.jobs(p), jobs(b, p)))


@both
def t_metrics_store_size(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        sizes = []
        for n in (1, 400):
            many = [p.annotation(t, t, "positive") for t in (p.task("good food " * 60) for _ in range(n))]
            b.hook(p.created_many(many))
            path = os.path.join(b.dir, "prelabel.sqlite3")

            def now(path=path):
                return {"database": os.path.getsize(path), "wal": os.path.getsize(path + "-wal") if os.path.exists(path + "-wal") else 0}

            def shown(m):
                return {"database": m.value("prelabel_store_size_bytes", file="database"), "wal": m.value("prelabel_store_size_bytes", file="wal") or 0}
            # As plain CGI the last program that closes takes the WAL away: the database is what can be compared.
            if open_backend is Server:
                m = settle(b, lambda m: shown(m) == now())
                check(f"{n} annotations: bytes of database and WAL", shown(m) == now() and now()["wal"] > 0, (shown(m), now()))
            else:
                m = settle(b, lambda m: shown(m)["database"] == now()["database"])
                check(f"{n} annotations: bytes of the database", shown(m)["database"] == now()["database"] > 0, (shown(m), now()))
            sizes.append(sum(shown(m).values()))
        check("they grow", sizes[1] > sizes[0], sizes)


@both
def t_metrics_escaping(open_backend):
    """What a damaged or strange store may hand on to a label comes out escaped; model_info stays what /setup answers."""
    with open_backend(**QUIET) as b:
        p = Project()
        v = b.version(p)
        feed_at_once(b, p, 6)
        train(b, p, v)
        wait_for(lambda: b.db("select count(*) from train_job where state in ('queued', 'running')") == [(0,)])
        if open_backend is Server:
            b.stop()
        for column in ("name", "kind", "formats", "token_pattern"):
            db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), timeout=10, isolation_level=None)
            old = db.execute(f"select {column} from model_version").fetchone()[0]
            db.execute(f"update model_version set {column} = ?", ('a"b\\c\nd}',))
            db.close()
            if open_backend is Server:
                b.start()
            info, v, m = in_step(b, p)
            check(f"{column} with a quote, a backslash and a newline: the text is in order, as /setup answers", info in ([], [v]) and not wrong(m), (info, v, wrong(m)))
            if open_backend is Server:
                b.stop()
            db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), timeout=10, isolation_level=None)
            db.execute(f"update model_version set {column} = ?, damaged = 0", (old,))
            db.close()
        if open_backend is Server:
            b.start()


def t_metrics_many_projects():
    with Server(**QUIET) as b:
        many = [Project(i, first=1000 * i) for i in range(1, 61)]
        for p in many:
            b.setup(p)
            if p.id % 10 == 0:
                feed(b, p.some(3))
        p = many[0]
        for k in range(0, 4000, 1000):
            b.hook(p.created_many([p.annotation(t, t, p.labels[t % 2]) for t in (p.task(f"good food {i}") for i in range(k, k + 1000))]))
        m = scrape(b)
        check("60 projects, one with 4000 annotations: each has its series", m.value("prelabel_projects") == 60 == len(m.series("prelabel_tasks")) and m.of("prelabel_examples", p) == 4000 and not wrong(m), wrong(m))
        seconds = sorted(scrape(b).answer.seconds for _ in range(5))[0]
        check("within 5 s", seconds < 5 * SLOW, seconds)
        check("/livez meanwhile: within 1 s", b.timed(lambda: b.get("/livez")).seconds < SLOW)


# ---- a store that can't be read ---------------------------------------------

def down(m, counted=True):
    """'' when m shows a store that can't be read as documented."""
    if m.value("prelabel_store_up") != 0:
        return f"store_up {m.value('prelabel_store_up')}"
    there = [k[0] for k in m.samples if k[0] in ROWS]
    if there:
        return f"of the store: {sorted(set(there))}"
    if counted and not (m.requests() and m.value(TASKS) == 5 and m.series(EVENTS, outcome="stored") and m.value(LOADS) is not None and m.series(SECONDS + "_count", endpoint="predict")):
        return f"the counters of the programs: {sorted({k[0] for k in m.samples})}, tasks {m.value(TASKS)}"
    return wrong(m)


def newer(path):
    db = sqlite3.connect(path)
    db.execute("pragma user_version = 999")
    db.commit()
    db.close()


def t_metrics_store_unreadable():
    for name, spoil in (("no database", lambda path: put(path, b"this is no database at all\n" * 400)), ("a header and junk", lambda path: put(path, b"SQLite format 3\0" + b"\xff" * 60000)),
                        ("a folder in its place", lambda path: (os.unlink(path), os.mkdir(path))), ("a newer store", newer), ("a link to itself", lambda path: (os.unlink(path), os.symlink(path, path)))):
        with Cgi(**QUIET) as b:
            p = Project()
            b.version(p)
            b.predict(p, ["x"] * 5)
            b.hook(p.labelled("good", "positive"))
            path = os.path.join(b.dir, "prelabel.sqlite3")
            db = sqlite3.connect(path)
            db.execute("pragma wal_checkpoint(truncate)")
            db.close()
            for end in ("-wal", "-shm"):
                if os.path.exists(path + end):
                    os.unlink(path + end)
            spoil(path)
            try:
                m = scrape(b)
                check(f"{name}: 200, store_up 0, no family of the store, those of the programs", not down(m), down(m))
            except ValueError as e:
                check(f"{name}: 200, store_up 0, no family of the store, those of the programs", False, e)
            check(f"{name}: /livez 200", b.get("/livez").status == 200)
            c = Count(b)
            for _ in range(2):
                c.add("livez", b.get("/livez"))
                c.add("status", b.get("/status"))
                c.add("webhook", b.hook(p.labelled("good", "positive")), event=True)
            check(f"{name}: events fail", c.events["failed"] == 2, c.events)
            c.check(f"{name}: counted as ever")
    with Cgi(**QUIET) as b:
        put(os.path.join(b.dir, "file"), b"")
        b.env["MODEL_DIR"] = os.path.join(b.dir, "file", "x")
        a = b.get("/metrics")
        check("a MODEL_DIR that can't be: 200, store_up 0, in order", a.status == 200 and Metrics(a.body).value("prelabel_store_up") == 0 and not wrong_families(Metrics(a.body)), a)
        check("a MODEL_DIR that can't be: /livez 200", b.get("/livez").status == 200)


def t_metrics_store_damaged_page():
    """Each page of the file in turn is junk: all families of the store or none, never half an answer."""
    with Cgi(**QUIET) as b:
        p = Project()
        v = b.version(p)
        feed_at_once(b, p, 12)
        train(b, p, v)
        wait_for(lambda: b.db("select count(*) from train_job where state in ('queued', 'running')") == [(0,)])
        # The job is done when it is published; its trainer goes on to measure itself, in the file that is spoilt here.
        check("its trainer has ended", wait_for(lambda: not processes_with("MODEL_DIR=" + b.dir)), lambda: processes_with("MODEL_DIR=" + b.dir))
        path = os.path.join(b.dir, "prelabel.sqlite3")
        db = sqlite3.connect(path, timeout=10)
        size = db.execute("pragma page_size").fetchone()[0]
        db.execute("pragma wal_checkpoint(truncate)")
        db.close()
        with open(path, "rb") as f:
            raw = f.read()
        whole = {n for n in scrape(b).families if n in ROWS}
        bad, ups = [], collections.Counter()
        for i in range(len(raw) // size):
            for end in ("-wal", "-shm"):
                if os.path.exists(path + end):
                    os.unlink(path + end)
            put(path, raw[:i * size] + random_bytes(size, i) + raw[(i + 1) * size:])
            a = b.get("/metrics")
            try:
                m = Metrics(a.body)
                up, there = m.value("prelabel_store_up"), {k[0] for k in m.samples if k[0] in ROWS}
                ups[up] += 1
                if a.status != 200 or up not in (0, 1) or up == 0 and there or up == 1 and not there or wrong_families(m):
                    bad.append(f"page {i + 1}: {a.status}, up {up}, {sorted(there)} {wrong_families(m)}")
            except ValueError as e:
                bad.append(f"page {i + 1}: {e} in {a}")
        check("each page junk in turn: 200, up with the families or down without", not bad, bad[:3])
        check("some of them can't be read, and it says so", ups[0] > 0 and "prelabel_projects" in whole, ups)


def t_metrics_store_damaged_under_way():
    with Server(**QUIET) as b:
        p = Project()
        b.version(p)
        b.predict(p, ["x"] * 5)
        b.hook(p.labelled("good", "positive"))
        settle(b, lambda m: m.value(TASKS) == 5)
        path = os.path.join(b.dir, "prelabel.sqlite3")
        for name in (path, path + "-wal"):
            size = os.path.getsize(name)
            with open(name, "r+b") as f:
                f.write(random_bytes(size))
        m = scrape(b)
        check("the file is junk under a running server: 200; up, or down without the families", m.value("prelabel_store_up") == 1 or not down(m), m.value("prelabel_store_up") == 1 or down(m))
        # What has read it before may still know it; a new program can't.
        for pid in [pid for pid, cmd in b.tree().items() if re.search(r"(^|/)status\b", cmd)]:
            kill9(pid)
        a = wait_for(lambda: (lambda a: a if a.status == 200 else None)(b.get("/metrics")))
        m = Metrics(a.body) if a else None
        check("and for new programs: 200, store_up 0, no family of the store, those of the programs", m and not down(m), m and down(m))
        check("/livez 200", b.get("/livez").status == 200)


def t_metrics_store_locked():
    with Server(**QUIET) as b:
        p = Project()
        b.version(p)
        db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"), isolation_level=None)
        try:
            db.execute("begin immediate")
            c = Count(b)
            a = c.add("webhook", b.hook(p.labelled("good", "positive"), patient=False), event=True)
            check("a writer holds the store: an event is refused with 503", a.status == 503, a)
            c.check("a writer holds the store: counted")
            a = b.timed(lambda: b.get("/metrics"))
            check("a writer holds the store: up, within 500 ms", Metrics(a.body).value("prelabel_store_up") == 1 and a.seconds < 0.5 * SLOW, a.seconds)
            check("a writer holds the store: /livez within 500 ms", b.timed(lambda: b.get("/livez")).seconds < 0.5 * SLOW)
        finally:
            db.execute("rollback")
            db.close()
