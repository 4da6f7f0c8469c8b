"""test_webhook.py - POST /webhook: every action, the counter, tombstones, order and repetition, projects, examples."""
import itertools
import random
import threading

from harness import SLOW, Project, Server, basic, both, check, feed, number, review, wait_for

QUIET = {"START_TRAINING_EACH_N_UPDATES": 1000}


def form(a, status, counter, training=("no",)):
    """'' when the answer is exactly the documented one."""
    j = a.json
    status = status if isinstance(status, tuple) else (status,)
    if a.status not in status or not isinstance(j, dict) or j.get("status") != "ok" or j.get("training") not in training:
        return f"{a}, expected {status}, counter {counter}, training {training}"
    if set(j) - {"status", "counter", "training"} or (counter is None) != ("counter" not in j) or counter is not None and j["counter"] != counter:
        return f"{a}, expected counter {counter}"
    return ""


def expect(name, a, status, counter, training=("no",)):
    why = form(a, status, counter, training)
    return check(name, not why, why)


@both
def t_counter(open_backend):
    """interface.md: 201 stored, 200 for what changes nothing; the counter moves by one for each annotation row that changes."""
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        t1, t2, t3 = p.task("great food"), p.task("bad food"), p.task("odd food")
        a1 = p.annotation(1, t1, "positive")
        first = p.created(a1)
        expect("created: 1", b.hook(first), 201, 1)
        expect("the same again: nothing", b.hook(first), 200, 1)
        old = dict(a1, updated_at="2026-01-01T00:00:00.000000Z", result=[p.region("negative")])
        expect("an older updated_at: nothing", b.hook(p.updated(old)), 200, 1)
        a1n = p.annotation(1, t1, "negative")
        second = p.updated(a1n)
        expect("a later update: 2", b.hook(second), 201, 2)
        expect("the first event once more: nothing", b.hook(first), 200, 2)
        expect("the update once more: nothing", b.hook(second), 200, 2)
        check("one example, the later label", [e[2] for e in b.examples()] == ["negative"], b.examples)
        same = dict(p.created(dict(a1n, result=[p.region("positive")])))
        expect("the same updated_at with another label: nothing", b.hook(same), 200, 2)
        many = [p.annotation(10 + i, t2, "negative", by=i + 1) for i in range(3)] + [p.annotation(20, t3, "positive")]
        expect("ANNOTATIONS_CREATED with four: 6", b.hook(p.created_many(many)), 201, 6)
        expect("again: nothing", b.hook(p.created_many(many)), 200, 6)
        more = many + [p.annotation(21, t3, "negative", by=5)]
        expect("again with one new: 7", b.hook(p.created_many(more)), 201, 7)
        check("six examples", len(b.examples()) == 6, b.examples)
        expect("ANNOTATIONS_DELETED of one: 8", b.hook(p.deleted(10)), 201, 8)
        expect("again: nothing", b.hook(p.event("ANNOTATIONS_DELETED", annotations=[{"id": 10}])), 200, 8)
        expect("of three, one gone before: 10", b.hook(p.deleted(10, 11, 12)), 201, 10)
        check("three examples", len(b.examples()) == 3, b.examples)
        expect("TASKS_DELETED counts its annotations: 12", b.hook(p.tasks_deleted(t3)), 201, 12)
        check("one example is left", len(b.examples()) == 1, b.examples)
        expect("an update of a deleted annotation: nothing", b.hook(p.updated(dict(many[0], updated_at="2030-01-01T00:00:00.000000Z"))), 200, 12)


@both
def t_bulk_delete_of_23(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        for e in p.some(25):
            b.hook(e)
        expect("a bulk delete of 23 counts 23", b.hook(p.deleted(*list(p.annotations)[:23])), 201, 48)
        check("two examples are left", len(b.examples()) == 2, b.examples)


@both
def t_actions(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        tids = [p.task(f"t {i}") for i in range(3)]
        expect("TASKS_CREATED: the counter stays", b.hook(p.tasks_created(tids)), (200, 201), 0)
        expect("PROJECT_UPDATED: the counter stays", b.hook(p.event("PROJECT_UPDATED")), (200, 201), 0)
        for action in ("LABEL_LINK_CREATED", "LABEL_LINK_UPDATED", "LABEL_LINK_DELETED"):
            expect(f"{action}: 200, nothing", b.hook(p.event(action, label_link={"id": 1, "label": 2})), 200, 0)
        for action in ("ANNOTATION_DELETED_SOMEHOW", "annotation_created", "", "PROJECT_CREATED", "X" * 500, "ANNOTATION_CREATED\u0000"):
            a = b.hook(p.event(action, annotation=p.annotation(5, tids[0], "positive"), task=p.event_task(tids[0])))
            expect(f"unknown action {action[:30]!r}: 200, nothing", a, 200, 0)
        check("no annotation was stored", b.db("select count(*) from annotation") == [(0,)])
        a = b.hook(p.event("START_TRAINING"))
        check("START_TRAINING: 2xx, a JSON object, training said", a.status in (200, 201, 202) and a.json["training"] in ("no", "queued", "running"), a)


@both
def t_unknown_action_stores_nothing(open_backend):
    with open_backend() as b:
        a = b.hook(Project(4).event("SOMETHING_NEW"))
        expect("unknown action, unknown project: 200, no counter", a, 200, None)
        b.version(Project(1))
        check("no project was made", b.db("select count(*) from project") == [(1,)])


@both
def t_webhook_makes_its_project(open_backend):
    with open_backend(**QUIET) as b:
        p = Project(9, ["one word", "two word"])
        expect("an annotation of an unknown project is stored", b.hook(p.labelled("text", "one word")), 201, 1)
        a = b.post("/predict", p.predict_body(["x"], drop=["label_config"]))
        check("and its label config with it", a.status == 200 and a.json["results"][0]["result"][0]["value"]["choices"][0] in p.labels, a)
        check("setup knows it", number(b.version(p)) == 0)
        expect("the counter goes on", b.hook(p.labelled("text", "two word")), 201, 2)


@both
def t_examples(open_backend):
    """Issue part 8, protocol.md 6.3: what is an example and what is not."""
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        n = itertools.count(100)

        def send(text, label, tid=None, **kw):
            tid = tid or p.task(text)
            a = p.annotation(next(n), tid, label, **kw)
            check(f"stored: {text or '(empty)'} {str(label)[:40]}", b.hook(p.created(a)).status == 201)
            return tid, a
        send("plain", "positive")
        send("skipped", "positive", was_cancelled=True)
        send("submitted empty", None)
        send("label no longer there", "neutral")
        t, _ = send("two annotators", "positive", by=1)
        send("two annotators", "negative", tid=t, by=2)
        t, _ = send("ground truth", "positive", by=1)
        send("ground truth", "positive", tid=t, by=2)
        send("ground truth", "negative", tid=t, by=3, ground_truth=True)
        send("several choices", ["negative", "positive"])
        other = {"from_name": "ner", "to_name": "text", "type": "labels", "value": {"start": 0, "end": 2, "text": "af", "labels": ["positive"]}}
        send("after other regions", {"result": [other, {"from_name": "stars", "to_name": "text", "type": "rating", "value": {"rating": 3}},
                                                dict(p.region("negative"), id="r1", origin="manual")]})
        send("two regions of the control", {"result": [dict(p.region("positive"), id="r1"), dict(p.region("negative"), id="r2")]})
        send("the first without a choice", {"result": [{**p.region("positive"), "value": {"choices": []}}, p.region("negative")]})
        send("a choice within a choice", {"result": [{**p.region("positive"), "value": {"choices": [["negative", "positive"]]}}]})
        send("of another control", {"result": [dict(p.region("positive"), from_name="mood")]})
        got = sorted((e[1], e[2]) for e in b.examples())
        want = sorted([("plain", "positive"), ("two annotators", "positive"), ("two annotators", "negative"), ("ground truth", "negative"),
                       ("several choices", "negative"), ("after other regions", "negative"), ("two regions of the control", "positive"),
                       ("the first without a choice", "negative"), ("a choice within a choice", "positive")])
        # v_example is one line a training example (interface.md, The database).
        check("v_example: exactly the training examples", got == want, f"{got} expected {want}")
        check("every annotation is kept all the same", b.db("select count(*) from annotation") == [(15,)], b.db("select count(*) from annotation"))


@both
def t_skip_and_unskip(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        t = p.task("food")
        b.hook(p.created(p.annotation(1, t, "positive")))
        b.hook(p.updated(p.annotation(1, t, "positive", was_cancelled=True)))
        check("skipped later: no example", b.examples() == [], b.examples)
        expect("un-skipped: counts", b.hook(p.updated(p.annotation(1, t, "negative"))), 201, 3)
        check("un-skipped: an example again", [e[2] for e in b.examples()] == ["negative"], b.examples)


def r02_every_order_ends_equal():
    """reliability.md R2: create, two updates, delete, each delivered in every order, with a replay of each: the same end."""
    with Server(**QUIET) as b:
        wrong, moved = [], []
        for i, order in enumerate(itertools.permutations(range(4))):
            p = Project(1000 + i)
            t = p.task("great food")
            events = [p.created(p.annotation(1, t, "positive")), p.updated(p.annotation(1, t, "negative")), p.updated(p.annotation(1, t, "positive")), p.deleted(1)]
            for k in order:
                b.hook(events[k])
            before = b.counter(p)
            answers = [b.hook(e) for e in events + events[::-1]]
            if [a.status for a in answers] != [200] * 8 or b.counter(p) != before or not 0 <= before <= 4:
                moved.append((order, before, b.counter(p), [a.status for a in answers]))
        wrong = b.examples()
        check("24 orders of create, update, update, delete: no example is left in any", wrong == [], wrong)
        check("replays of all of them change nothing: 200, the counter at most 4", not moved, moved[:3])
        ends = []
        for i, order in enumerate(itertools.permutations(range(3))):
            p = Project(2000 + i, first=10 * i + 1)
            t = p.task(f"food {i}")
            events = [p.created(p.annotation(7, t, "positive")), p.updated(p.annotation(7, t, "negative")), p.updated(p.annotation(7, t, "positive"))]
            for k in order + order:
                b.hook(events[k])
            ends.append(b.counter(p))
        labels = [e[2] for e in b.examples()]
        check("6 orders of create, update, update: the last label in all", labels == ["positive"] * 6, labels)
        # In order 3 changes; the last one first: 1 change; each order has as many changes as there are records in it.
        want = [sum(k == max(order[:j + 1]) for j, k in enumerate(order)) for order in itertools.permutations(range(3))]
        check("and the counter tells the accepted changes", ends == want, f"{ends} expected {want}")


@both
def t_created_after_deleted(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        t = p.task("food")
        made = p.created(p.annotation(1, t, "positive"))
        b.hook(p.event("ANNOTATIONS_DELETED", annotations=[{"id": 1}]))
        before, a = b.counter(p), b.hook(made)
        # The task is new and may be stored for itself (201); the annotation stays deleted and nothing counts.
        check("a late created does not bring a deleted one back", a.status in (200, 201) and a.json["counter"] == before and b.examples() == [], lambda: f"{before} {a} {b.examples()}")
        t2 = p.task("more food")
        b.hook(p.created(p.annotation(2, t2, "positive")))
        b.hook(p.tasks_deleted(t2))
        check("deleted with its task: gone", b.examples() == [], b.examples)
        p.tasks[t2] = {"text": "more food"}
        b.hook(p.updated(p.annotation(2, t2, "negative")))
        check("and stays gone", b.examples() == [], b.examples)
        late = p.task("late food")
        b.hook(p.event("TASKS_DELETED", tasks=[{"id": late}]))
        b.hook(p.created(p.annotation(3, late, "positive")))
        check("an annotation of a task that was deleted before it came: no example", b.examples() == [], b.examples)


@both
def t_without_updated_at(open_backend):
    """interface.md: an event without updated_at counts as newer unless it is equal."""
    with open_backend(**QUIET) as b:
        p = Project()
        t = p.task("food")

        def bare(label):
            a = p.annotation(1, t, label)
            del a["updated_at"], a["created_at"]
            return p.updated(a)
        expect("without updated_at: stored", b.hook(bare("positive")), 201, 1)
        expect("equal: nothing", b.hook(bare("positive")), 200, 1)
        expect("other: newer", b.hook(bare("negative")), 201, 2)
        expect("with updated_at after it: newer", b.hook(p.updated(p.annotation(1, t, "positive"))), 201, 3)
        expect("without again, other: newer", b.hook(bare("negative")), 201, 4)
        check("the last label", [e[2] for e in b.examples()] == ["negative"], b.examples)


@both
def t_times_are_compared_as_times(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        t = p.task("food")

        def at(when, label):
            return b.hook(p.updated(p.annotation(1, t, label, at=when)))
        expect("12:00 UTC", at("2026-11-22T12:00:00.000000Z", "positive"), 201, 1)
        expect("12:30 at +02:00 is earlier", at("2026-11-22T12:30:00.000000+02:00", "negative"), 200, 1)
        expect("a microsecond later", at("2026-11-22T12:00:00.000001Z", "negative"), 201, 2)
        expect("without a fraction, a second later", at("2026-11-22T12:00:01Z", "positive"), 201, 3)
        expect("11:30 at -01:00 is later", at("2026-11-22T11:30:00-01:00", "negative"), 201, 4)


@both
def t_no_payload(open_backend):
    """protocol.md 6.2: the action alone."""
    with open_backend(**QUIET) as b:
        expect("no project known: 200, no counter", b.hook({"action": "ANNOTATION_CREATED"}), 200, None)
        a = b.hook({"action": "ANNOTATION_CREATED"}, "?project=12")
        # "A webhook may create its project": then it is known and its counter 0.
        check("?project=12 unknown: 2xx without a counter or with 0, or 404", a.status in (200, 201, 404) and not (a.json or {"counter": 1}).get("counter"), a)
        p, q = Project(1), Project(2)
        b.version(p)
        b.version(q)
        b.hook(p.labelled("food", "positive"))
        a = b.hook({"action": "ANNOTATION_CREATED"})
        check("two projects known: 2xx", a.status in (200, 201) and a.json["status"] == "ok" and a.json["training"] in ("no", "queued", "running"), a)
        a = b.hook({"action": "ANNOTATION_UPDATED"}, "?project=1")
        check("?project=1: the counter of project 1; no annotation row changed", a.status in (200, 201) and a.json.get("counter") == 1, a)
        check("an unknown action without payload: 200", b.hook({"action": "NEW_THING"}).status == 200)
        a = b.hook({"action": "START_TRAINING"}, "?project=1")
        check("START_TRAINING without payload: 2xx", a.status in (200, 201, 202), a)
        for bad in ("abc", "-1", "1e3", "99999999999999999999", ""):
            a = b.hook({"action": "ANNOTATION_CREATED"}, "?project=" + bad)
            check(f"?project={bad}: 422 (empty: as without)", a.status == 422 and not a.error_form() or not bad and a.status in (200, 201), a)


@both
def t_project_of_the_payload_wins(open_backend):
    with open_backend(**QUIET) as b:
        p, q = Project(1), Project(2)
        b.version(p)
        b.version(q)
        a = b.hook(p.labelled("food", "positive"), "?project=1")
        check("payload and the same ?project", a.status == 201 and a.json["counter"] == 1, a)
        check("project 2 is untouched", b.counter(q) == 0)


@both
def t_wrong_shapes(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        t = p.task("food")
        ok = p.annotation(1, t, "positive")

        def event(**kw):
            return p.created(dict(ok, **kw))

        def without(*keys):
            e = p.created({k: v for k, v in ok.items() if k not in keys})
            return e
        cases = (
            ("no action", {"annotation": ok}, "action"), ("action null", {"action": None}, "action"), ("action a number", {"action": 3}, "action"),
            ("annotation a string", dict(p.created(ok), annotation="x"), "annotation"), ("annotation null", dict(p.created(ok), annotation=None), "annotation"),
            ("annotation without id", without("id"), "annotation"), ("annotation id a string of words", event(id="one"), "annotation"),
            ("annotation id null", event(id=None), "annotation"), ("annotation id a fraction", event(id=1.5), "annotation"),
            ("annotation id beyond 2^63", event(id=99999999999999999999), "annotation"), ("annotation id negative", event(id=-1), "annotation"),
            ("result a string", event(result="x"), "result"), ("result an object", event(result={}), "result"),
            ("updated_at a number", event(updated_at=5), "updated_at"), ("updated_at words", event(updated_at="yesterday"), "updated_at"),
            ("project a string", dict(p.created(ok), project="x"), "project"), ("project without id", dict(p.created(ok), project={}), "project"),
            ("project id words", dict(p.created(ok), project={"id": "x"}), "project"), ("project id beyond 2^63", dict(p.created(ok), project={"id": 10**19}), "project"),
            ("annotations an object", p.event("ANNOTATIONS_DELETED", annotations={}), "annotations"),
            ("annotations of words", p.event("ANNOTATIONS_DELETED", annotations=["a"]), "annotations[0]"),
            ("second annotation without id", p.event("ANNOTATIONS_DELETED", annotations=[{"id": 1}, {}]), "annotations[1]"),
            ("tasks a string", p.event("TASKS_DELETED", tasks="x"), "tasks"), ("task id beyond 2^63", p.event("TASKS_DELETED", tasks=[{"id": 10**19}]), "tasks[0]"),
            ("an array", [1], ""), ("a string", "x", ""), ("an empty object", {}, "action"))
        for name, body, word in cases:
            a = b.hook(body)
            check(f"422 that names the field: {name}", a.status == 422 and not a.error_form() and word in a.json["error"], lambda: f"{a} {a.error_form()}")
        check("nothing was stored by any of them", b.counter(p) == 0 and b.examples() == [], lambda: (b.counter(p), b.examples()))
        a = b.hook(dict(p.created_many([ok]), task=[]))
        check("parallel lists of unequal length: 422 or stored, never a crash", a.status in (201, 422), a)


@both
def t_a_bad_list_is_all_or_nothing(open_backend):
    """One write transaction (architecture.md 4): no half of a refused event stays."""
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        t = p.task("food")
        many = [p.annotation(i, t, "positive", by=i) for i in range(1, 6)]
        many[3] = dict(many[3], id="four")
        a = b.hook(p.created_many(many))
        check("the fourth of five is unreadable: 422 that names it", a.status == 422 and "annotation[3]" in a.json["error"], a)
        check("and none of the others is stored", b.db("select count(*) from annotation") == [(0,)] and b.counter(p) == 0)


@both
def t_config_of_the_event(open_backend):
    """PROJECT_UPDATED announces a changed label config (protocol.md 4.2)."""
    with open_backend(**QUIET) as b:
        p = Project()
        v = b.version(p)
        p.labels.append("neutral")
        b.hook(p.event("PROJECT_UPDATED"))
        body = p.predict_body(["neutral"], drop=["label_config"])
        got = wait_for(lambda: b.post("/predict", body).json["results"][0]["result"][0]["value"]["choices"] == ["neutral"])
        check("the new label is known without a setup", got)
        check("and the version is another", b.version(p) != v)
        e = p.labelled("food", "positive")
        e["project"]["label_config"] = "<View"
        a = b.hook(e)
        check("a malformed config in an event: 422, or stored without it", a.status in (201, 422), a)
        check("and the stored config stays", b.post("/predict", body).status == 200)


@both
def t_same_ids_in_two_projects(open_backend):
    with open_backend(**QUIET) as b:
        p, q = Project(1), Project(2, created="2026-12-01T00:00:00.000000Z")
        expect("annotation 1 of task 1 of project 1", b.hook(p.labelled("food of one", "positive", aid=1)), 201, 1)
        expect("annotation 1 of task 1 of project 2", b.hook(q.labelled("food of two", "negative", aid=1)), 201, 1)
        b.hook(q.deleted(1))
        check("deleting the one leaves the other", [(e[1], e[2]) for e in b.examples()] == [("food of one", "positive")], b.examples)


@both
def t_task_data_edited(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        t = p.task("old text")
        b.hook(p.created(p.annotation(1, t, "positive")))
        p.tasks[t] = {"text": "new text"}
        b.hook(p.updated(p.annotation(1, t, "positive")))
        check("the text of the later event", [e[1] for e in b.examples()] == ["new text"], b.examples)


@both
def t_odd_texts_are_kept(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        texts = ["", "a\u0000b", "İ ß 🙂 \u2028", "' or 1=1; --", "x" * 200000, "line\nbreak\ttab"]
        bad = feed(b, [p.labelled(t, "positive") for t in texts])
        check("every text is stored", not bad, bad)
        rows = b.db("select cast(text as blob) from v_example")
        # The JSON functions of SQLite 3.40 end a text at NUL: the view may, the task's data may not.
        check("byte for byte", sorted(r[0] for r in rows) in (sorted(t.encode() for t in texts), sorted(t.encode().split(b"\0")[0] for t in texts)), sorted(r[0][:30] for r in rows))
        check("the NUL is in the task", any("a\\u0000b" in str(c) or "a\0b" in str(c) for r in b.db("select * from task") for c in r))
        for data in ({}, {"text": None}, {"text": 5}, {"text": ["x"]}):
            tid = p.task(dict(data, _="x"))
            a = b.hook(p.created(p.annotation(500 + tid, tid, "positive")))
            # Counts as an empty text; model.md 5 suggests leaving such a task out of training.  Stored it is in any case.
            check(f"text {data}: stored", a.status == 201, a)


@both
def t_large_bulk(open_backend):
    """WEBHOOK_BATCH_SIZE: up to 5000 in one request."""
    with open_backend(START_TRAINING_EACH_N_UPDATES=100000) as b:
        p = Project()
        many = []
        for i in range(5000):
            t = p.task(review(p.labels[i % 2], i) + f" {i}")
            many.append(p.annotation(t, t, p.labels[i % 2]))
        event = p.created_many(many)
        b.warm()
        a = b.timed(lambda: b.hook(event))
        expect("5000 annotations in one request", a, 201, 5000)
        check("answered within the second Label Studio gives", a.seconds < SLOW or open_backend is not Server, a.seconds)
        a = b.hook(p.deleted(*[m["id"] for m in many]))
        expect("5000 deletions in one request", a, 201, 10000)
        check("no example is left", b.examples() == [])


def r17_secret():
    """reliability.md R17; interface.md WEBHOOK_SECRET."""
    with Server(WEBHOOK_SECRET="s3cret-of-the-hook", **QUIET) as b:
        p = Project()
        b.version(p)
        e = p.labelled("food", "positive")
        for name, value in (("none", None), ("wrong", "x"), ("a prefix", "s3cret-of-the-hoo"), ("longer", "s3cret-of-the-hookk"), ("other case", "S3CRET-OF-THE-HOOK"),
                            ("empty", ""), ("twice", "s3cret-of-the-hook, s3cret-of-the-hook")):
            a = b.hook(e, headers={"X-Webhook-Secret": value} if value is not None else None)
            check(f"secret {name}: 401", a.status == 401 and not a.error_form(), lambda: f"{a} {a.error_form()}")
        # Only the body tells START_TRAINING, which needs no secret: 400 for what is no JSON is in order.
        a = b.hook(b"not json", headers={})
        check("not JSON and no secret: refused", a.status in (400, 401) and not a.error_form(), a)
        check("nothing was stored", b.db("select count(*) from annotation") == [(0,)])
        expect("the right secret", b.hook(e, headers={"X-Webhook-Secret": "s3cret-of-the-hook"}), 201, 1)
        check("START_TRAINING needs none", b.hook(p.event("START_TRAINING")).status in (200, 201, 202))
        check("predict and setup need none", b.predict(p, ["x"]).status == 200)
        check("the secret is not in the log", "s3cret-of-the-hook" not in b.log_text())


def r17_secret_and_basic_auth():
    """Basic auth is the alternative to the secret for events; START_TRAINING needs what the other endpoints need."""
    with Server(WEBHOOK_SECRET="hook", BASIC_AUTH_USER="u", BASIC_AUTH_PASS="p", **QUIET) as b:
        p = Project()
        good, b.auth = basic("u", "p"), None
        e = p.labelled("food", "positive")
        check("neither: 401", b.hook(e).status == 401)
        check("the secret alone: stored", b.hook(e, headers={"X-Webhook-Secret": "hook"}).status == 201)
        check("basic auth alone: taken", b.hook(e, headers={"Authorization": good}).status == 200)
        check("START_TRAINING with the secret alone: 401", b.hook(p.event("START_TRAINING"), headers={"X-Webhook-Secret": "hook"}).status == 401)
        check("START_TRAINING with basic auth: taken", b.hook(p.event("START_TRAINING"), headers={"Authorization": good}).status in (200, 201, 202))


def r02_replays_under_load():
    """R2 under load: four senders, a third of the events twice, each annotation in its own order: counter = changes."""
    with Server(**QUIET) as b:
        p = Project()
        lanes, changes = [[] for _ in range(4)], 0
        rnd = random.Random(5)
        alive = 0
        for i in range(120):
            t = p.task(review(p.labels[i % 2], i))
            mine = [p.created(p.annotation(t, t, "positive"))] + [p.updated(p.annotation(t, t, p.labels[k % 2])) for k in range(rnd.randrange(3))]
            gone = rnd.random() < .3
            if gone:
                mine.append(p.deleted(t))
            changes += len(mine)
            alive += not gone
            lanes[i % 4] += [x for e in mine for x in ([e, e] if rnd.random() < .3 else [e])]
        bad = []

        def send(lane):
            for e in lane:
                a = b.hook(e)
                if a.status not in (200, 201):
                    bad.append(str(a))
        ts = [threading.Thread(target=send, args=(lane,)) for lane in lanes]
        for t in ts:
            t.start()
        for t in ts:
            t.join(120 * SLOW)
        check("every event answered 200 or 201", not bad, bad[:3])
        check("counter = accepted changes", b.counter(p) == changes, f"{b.counter(p)} for {changes}")
        check("examples = annotations alive", len(b.examples()) == alive, f"{len(b.examples())} for {alive}")
