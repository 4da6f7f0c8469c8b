"""
test_older.py - Label Studio 1.4.1, 1.7.0 and 1.10.0: their requests (older/*.json), written
from the packages of those versions; each names the function that builds it, and what is
done there with the answer.

The answers are compared exactly, with the wildcards of test_contract.py, and read as those
versions read them.
"""
import contextlib
import json
import os
import sqlite3
import threading

from harness import HERE, Cgi, Project, Server, basic, both, check, feed, number, wait_for
from test_contract import answered, load, send, settled

QUIET = {"START_TRAINING_EACH_N_UPDATES": 1000}
VERSIONS = ("1.4.1", "1.7.0", "1.10.0")


def requests(version):
    """(name, request) in the order in which a person would cause them."""
    names = sorted(f for f in os.listdir(os.path.join(HERE, "older")) if f.startswith(version + "-"))
    return [(n.removesuffix(".json").split("-", 2)[2], load("older", n)) for n in names]


def request(version, name):
    return next(r for n, r in requests(version) if n == name)


# ---- what those versions make of an answer ------------------------------------

def good_setup(a, _):
    return isinstance(a.json["model_version"], str) and a.json["model_version"] != ""


def good_predictions(a, body):
    results = a.json["results"]
    return len(results) == len(body["tasks"]) and all(isinstance(r["result"], list) and isinstance(r.get("score"), (int, float))
                                                       for r in results)


def good_job(a, _):
    return len(str(a.json.get("job") or "")) <= 128


def good_versions(a, _):
    return a.status == 200 and all(isinstance(v, str) for v in a.json["versions"])


def good_job_status(a, _):
    return a.json["job_status"] in ("queued", "started", "finished", "failed", "removed")


READ = {"/setup": good_setup, "/predict": good_predictions, "/train": good_job, "/versions": good_versions, "/job_status": good_job_status}


def understood(r, a):
    """Any status under 400, a body of JSON, an object; and what the version looks at."""
    return a.status < 400 and isinstance(a.json, dict) and READ.get(r["path"], lambda *_: True)(a, r["body"])


# ---- the requests ------------------------------------------------------------

def replay_all(backend, version, headers=None):
    for name, r in requests(version):
        r = dict(r, headers=dict(r["headers"], **(headers or {})))
        a = send(backend, r)
        why = answered(a, r["expected"])
        check(f"{version}: {name}", not why, why)
        check(f"{version} can read it: {name}", understood(r, a), a)
        settled(backend)


@both
def t_requests(open_backend):
    for version in VERSIONS:
        with open_backend(**QUIET) as b:
            replay_all(b, version)
            rows = b.db("select count(*), sum(deleted) from annotation")
            labels = sorted((e[1], e[2]) for e in b.examples())
            want = [("der Kaffee war \u00fcbel \U0001f600", "negative"), ("the phone arrived broken", "negative"), ("the room was charming", "positive")]
            check(f"{version}: what is left to learn from", labels == want, f"{labels} {rows}")


def t_every_version_has_its_requests():
    """What 1.4 to 1.10 have in common; 1.4.1 knows neither /versions nor ANNOTATIONS_CREATED."""
    common = {"/health", "/setup", "/predict", "/train", "/validate", "/job_status", "/delete", "/duplicate_model", "/webhook"}
    for version in VERSIONS:
        rs = [r for _, r in requests(version)]
        want = common | ({"/versions"} if version != "1.4.1" else set())
        check(f"{version}: every path it has a function for", {r["path"] for r in rs} == want, {r["path"] for r in rs} ^ want)
        check(f"{version}: each names its source", all(r["source"].startswith(f"label-studio {version}: label_studio/") for r in rs))
        check(f"{version}: its own clients", {r["headers"]["User-Agent"].split("/")[0] for r in rs} == {"heartex", "python-requests"})


def t_credentials_in_the_address():
    """They have no fields for them: http://user:password@host is the only way, and goes along with webhooks, too."""
    with Server(BASIC_AUTH_USER="u", BASIC_AUTH_PASS="p", **QUIET) as b:
        b.auth = None
        replay_all(b, "1.10.0", {"Authorization": basic("u", "p")})
        for name, r in requests("1.10.0"):
            a = send(b, r)
            check(f"without them: 401 for {name}", a.status == 401 and a.headers.get("www-authenticate") == 'Basic realm="prelabel"', a)


# ---- /train ------------------------------------------------------------------

def train_body(p, annotations, **kw):
    """The tasks with these annotations as data_export/serializers.py writes them."""
    tasks = [dict(p.event_task(t), annotations=[a for a in annotations if a["task"] == t], drafts=[], predictions=[])
             for t in sorted({a["task"] for a in annotations})]
    return dict({"annotations": tasks, "project": p.key, "label_config": p.config, "params": {"login": None, "password": None}}, **kw)


@both
def t_train_with_tasks(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        old = b.version(p)
        anns = [p.annotation(i, p.task(f"{('superb', 'awful')[i % 2]} thing {i}"), p.labels[i % 2]) for i in range(1, 7)]
        a = b.post("/train", train_body(p, anns))
        check("six annotations it never heard of: taken", a.status == 202 and a.json["changed"] == 6 and a.json["unreadable"] == 0, a)
        job = a.json["job"]
        v = b.wait_version(p, old)
        check("and trained on", number(v) == 1, v)
        a = wait_for(lambda: (lambda x: x if x.json["job_status"] == "finished" else None)(b.post("/job_status", {"job": str(job)})))
        check("the job, asked for by its number as text: finished", a and a.status == 200 and a.json["job"] == str(job) and a.json["ended_at"]
              and sorted(a.json) == ["ended_at", "enqueued_at", "job", "job_status", "note", "started_at"], a)
        check("the counter is that of the training", b.counter(p) == 0, b.counter(p))
        a = b.post("/train", train_body(p, anns))
        check("the same again changes nothing", a.status == 202 and a.json["changed"] == 0 and b.counter(p) == 0, a)
        settled(b)
        # Events that came since are newer than the list.
        b.hook(p.updated(dict(anns[0], updated_at=p.now(), result=[p.region("positive")])))
        b.hook(p.deleted(2))
        b.hook(p.tasks_deleted(anns[2]["task"]))
        a = b.post("/train", train_body(p, [p.annotations.get(0, x) for x in anns]))
        check("a list made before later events changes nothing", a.json["changed"] == 0, a)
        got = {e[1]: e[2] for e in b.examples()}
        check("the update stays, the deleted stay away", len(got) == 4 and got[p.tasks[anns[0]["task"]]["text"]] == "positive", got)
        late = [dict(anns[3], updated_at="2030-01-01T00:00:00.000000Z", result=[p.region("positive")])]
        a = b.post("/train", train_body(p, late))
        check("what is newer in the list counts", a.json["changed"] == 1 and len(b.examples()) == 4, a)
        check("what the list lacks is not deleted", b.db("select count(*) from annotation where deleted = 0") == [(4,)])


@both
def t_train_makes_its_project(open_backend):
    with open_backend(**QUIET) as b:
        p = Project(31)
        anns = [p.annotation(i, p.task(f"{('superb', 'awful')[i % 2]} thing {i}"), p.labels[i % 2]) for i in range(1, 7)]
        a = b.post("/train", train_body(p, anns))
        check("an unknown project with its tasks: made", a.status == 202 and a.json["changed"] == 6, a)
        check("with its labeling config", b.predict(p, ["x"]).json["results"][0]["result"] != [])
        q = Project(32)
        a = b.post("/train", {"project": q.key, "label_config": q.config})
        check("an unknown project without: 404", a.status == 404 and not a.error_form(), a)
        a = b.post("/train", train_body(q, [], label_config="<View"))
        check("a config that can't be read costs nothing else", a.status == 202 and a.json["changed"] == 0, a)
        check("one row for each of the two", sorted(r[0] for r in b.db("select id from project")) == [31, 32])


@both
def t_train_with_what_cannot_be_read(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        good = [p.annotation(i, p.task(f"thing {i}"), "positive") for i in range(1, 5)]
        body = train_body(p, good)
        body["annotations"][0]["annotations"].append({"id": "x"})
        body["annotations"][1]["data"] = None
        body["annotations"].insert(1, 7)
        a = b.post("/train", body)
        check("three things are left out, the rest is taken", a.status == 202 and a.json["changed"] == 3 and a.json["unreadable"] == 3, a)
        check("an annotation without its task's number belongs to the task around it",
              b.post("/train", {"project": p.key, "annotations": [dict(p.event_task(good[1]["task"]), annotations=[{k: v for k, v in good[1].items() if k != "task"}])]}).json["changed"] == 1)
        check("four labels", len(b.examples()) == 4, b.examples)
        a = b.post("/train", {"project": p.key, "annotations": [dict(p.event_task(good[1]["task"]), annotations=[dict(good[2], result=good[2]["result"] * 2)])]})
        check("an annotation of another task than the one around it is left out, as an export's is", a.json["changed"] == 0 and a.json["unreadable"] == 1, a)
        for name, bad, word in (("annotations an object", dict(body, annotations={}), "annotations"), ("annotations a string", dict(body, annotations="x"), "annotations"),
                                ("project words", dict(body, project="x"), "project"), ("label_config a number", dict(body, label_config=5), "label_config")):
            a = b.post("/train", bad)
            check(f"422 that names the field: {name}", a.status == 422 and not a.error_form() and word in a.json["error"], a)
        check("not JSON: 400", b.post("/train", b"{").status == 400)
        a = b.post("/train", dict(body, annotations=None))
        check("null counts as none", a.status == 202 and list(a.json) == ["job"], a)
        check("and nothing has changed", len(b.examples()) == 4 and b.counter(p) == 4, lambda: (b.counter(p), b.examples()))


def t_train_and_the_secret():
    """Like START_TRAINING it never carries the header: a training for anyone who may ask, but no labels on trust."""
    with Server(WEBHOOK_SECRET="s3cret-of-the-hook", **QUIET) as b:
        p = Project()
        anns = [p.annotation(1, p.task("superb"), "positive")]
        a = b.post("/train", train_body(p, anns))
        check("without the secret: a job, and nothing is taken", a.status == 202 and a.json["changed"] == 0 and "note" in a.json and b.examples() == [], a)
        a = b.post("/train", train_body(p, anns), headers={"X-Webhook-Secret": "s3cret-of-the-hook"})
        check("with it: taken", a.status == 202 and a.json["changed"] == 1 and "note" not in a.json and len(b.examples()) == 1, a)
    with Server(WEBHOOK_SECRET="hook", BASIC_AUTH_USER="u", BASIC_AUTH_PASS="p", **QUIET) as b:
        a = b.post("/train", train_body(p, anns))
        check("with basic auth in its place: taken", a.status == 202 and a.json["changed"] == 1, a)
        b.auth = None
        check("the secret alone is not enough for a training: 401", b.post("/train", train_body(p, anns), headers={"X-Webhook-Secret": "hook"}).status == 401)


def t_train_with_many():
    """3000 annotated tasks, while annotators go on: no event is lost or waits for the whole list."""
    with Server(START_TRAINING_EACH_N_UPDATES=100000) as b:
        b.warm()
        for turn in range(1, 4):        # where the machine itself kept an event waiting, once more
            p, out, beside = Project(turn), [], []
            b.version(p)
            anns = [p.annotation(i, p.task(f"thing {i}"), p.labels[i % 2]) for i in range(1, 3001)]
            body = json.dumps(train_body(p, anns)).encode()
            t = threading.Thread(target=lambda body=body, out=out: out.append(b.post("/train", body, timeout=60)))
            extra = [p.labelled(f"extra {i}", "positive") for i in range(20)]
            t.start()
            for e in extra:
                beside.append((not out, b.hook(e)))
            t.join()
            bad = [str(a) for _, a in beside if a.status != 201]
            slowest = max(a.seconds for meanwhile, a in beside if meanwhile)
            if bad or not out or slowest < 0.6 * out[0].seconds:
                break
        check("every event beside it is stored", not bad, bad)
        check("all are taken", out and out[0].status == 202 and out[0].json["changed"] == 3000, out)
        check("an event waits for a part of the list alone", out and slowest < 0.6 * out[0].seconds, lambda: f"{slowest:.2f} s of {out[0].seconds:.2f} s")
        check("3020 labels", b.db("select count(*) from annotation where deleted = 0") == [(3020 * turn,)])


# ---- the others -----------------------------------------------------------------

@both
def t_job_status_of_all_kinds(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        job = b.post("/train", {"project": p.key}).json["job"]
        settled(b)
        a = b.post("/job_status", {"job": job})
        check("without a label there is nothing to train: over, and it says why", a.status == 200 and a.json["job_status"] == "finished" and a.json["note"], a)
        check("a number or a text", b.post("/job_status", {"job": str(job)}).json == dict(a.json, job=str(job)))
        for odd in ("77", 77, "", "9" * 30, "\u0000", "1 ", "-1"):
            a = b.post("/job_status", {"job": odd})
            check(f"nobody's job {str(odd)[:20]!r}: removed", a.status == 200 and a.json == {"job": str(odd), "job_status": "removed"}, a)
        for bad in ({}, {"job": None}, {"job": [1]}, {"job": 1.5}, {"job": -1}, []):
            a = b.post("/job_status", bad)
            check(f"422: {bad}", a.status == 422 and not a.error_form(), a)


def t_job_status_in_the_words_of_1_4():
    """MLBackendTrainJob.is_running compares with queued and started."""
    with Cgi(**QUIET) as b:
        p = Project()
        b.version(p)
        job = b.post("/train", {"project": p.key}).json["job"]
        settled(b)
        for state, word in (("queued", "queued"), ("running", "started"), ("done", "finished"), ("skipped", "finished"), ("failed", "failed")):
            with contextlib.closing(sqlite3.connect(f"{b.dir}/prelabel.sqlite3")) as db, db:
                db.execute("update train_job set state = ? where row = ?", (state, job))
            a = b.post("/job_status", {"job": job})
            check(f"{state}: {word}", a.json["job_status"] == word, a)


@both
def t_versions_by_post(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        v = b.version(p)
        check("those of the project", b.post("/versions", {"project": p.key}).json == {"versions": [v]})
        check("without one: those in force of all", b.post("/versions", {}).json == {"versions": [v]})
        check("an unknown project: 404, which 1.7 takes for an old backend", b.post("/versions", {"project": "99.1"}).status == 404)
        check("a project that is none: 422", b.post("/versions", {"project": "x"}).status == 422)


@both
def t_validate(open_backend):
    with open_backend() as b:
        p = Project()
        check("Choices over Text: ok", b.post("/validate", {"config": p.config}).json == {"status": "ok"})
        cases = (("malformed", {"config": "<View"}, "labeling config"), ("nothing to choose", {"config": '<View><Text name="t" value="$t"/></View>'}, "Choices"),
                 ("a picture", {"config": '<View><Image name="i" value="$i"/><Choices name="c" toName="i"><Choice value="a"/><Choice value="b"/></Choices></View>'}, "Image"),
                 ("absent", {}, "config"), ("a number", {"config": 5}, "config"))
        for name, body, word in cases:
            a = b.post("/validate", body)
            check(f"{name}: 422 with the reason", a.status == 422 and not a.error_form() and word in a.json["error"], a)
        check("nothing is stored", not os.path.exists(os.path.join(b.dir, "prelabel.sqlite3")) or b.db("select count(*) from project") == [(0,)])


@both
def t_delete_loses_nothing(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        old = b.version(p)
        feed(b, p.some(6))
        b.post("/train", {"project": p.key})
        v = b.wait_version(p, old)
        settled(b)
        wait_for(lambda: b.db("select n_held_out from model_version")[0][0])       # the trainer goes on to measure itself
        before = b.db("select * from annotation"), b.db("select * from task"), b.db("select * from model_version")
        for path, body in (("/delete", {"project": p.key}), ("/duplicate_model", {"project_src": p.key, "project_dst": "2.5"})):
            a = b.post(path, body)
            check(f"{path}: 200 with a note", a.status == 200 and a.json["status"] == "ok" and a.json["note"], a)
            after = b.db("select * from annotation"), b.db("select * from task"), b.db("select * from model_version")
            check(f"{path}: the store is as it was", after == before)
            for bad in ({}, {"project": "x", "project_src": "x"}, {"project": None, "project_src": p.key}):
                check(f"{path} {bad}: 422", b.post(path, bad).status == 422)
        check("the model serves on", b.version(p) == v)


@both
def t_a_training_by_project_updated(open_backend):
    """With its flag on, 1.4 to 1.10 asks by PROJECT_UPDATED; only the client tells it from the event."""
    with open_backend(**QUIET) as b:
        p = Project()
        old = b.version(p)
        feed(b, p.some(6))
        event = p.event("PROJECT_UPDATED")
        check("the event starts none", b.post("/webhook", event, headers={"User-Agent": "python-requests/2.28.1"}).json["training"] == "no")
        a = b.post("/webhook", event, headers={"User-Agent": "heartex/1.10.0"})
        check("the request does", a.status == 201 and a.json["training"] == "queued", a)
        check("and it comes", number(b.wait_version(p, old)) == 1)


def t_a_training_by_project_updated_and_the_secret():
    with Server(WEBHOOK_SECRET="hook", **QUIET) as b:
        p = Project()
        b.version(p)
        event = p.event("PROJECT_UPDATED")
        check("the event needs the secret", b.post("/webhook", event, headers={"User-Agent": "python-requests/2.28.1"}).status == 401)
        check("the request for a training does not", b.post("/webhook", event, headers={"User-Agent": "heartex/1.10.0"}).status == 201)
