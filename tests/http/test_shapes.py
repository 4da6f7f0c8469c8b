"""test_shapes.py - every event and every shape of protocol.md 6 that test_webhook.py has not: what comes of it in the store and in a training."""
import itertools

from harness import SLOW, Project, Server, Studio, both, check, feed, number, review, train, wait_for
from test_webhook import expect

QUIET = {"START_TRAINING_EACH_N_UPDATES": 100000}


def rows(b, what="count(*)", where="deleted = 0"):
    return b.db(f"select {what} from annotation where {where} order by project, id")


def version(b, project=1):
    return (b.get(f"/status?project={project}").json or {}).get("version") or {}


# ---- what a training makes of each shape ---------------------------------------

def region_of(p, label, **kw):
    return dict(p.region(label), **kw)


def shapes(p):
    """(name, annotation's fields, what a training makes of it: a label, or the reason why not)"""
    text = {"start": 0, "end": 4, "text": "Some"}
    ner = {"id": "n", "from_name": "ner", "to_name": "text", "type": "labels", "value": dict(text, labels=["positive"])}
    stars = {"from_name": "stars", "to_name": "text", "type": "rating", "value": {"rating": 4}}
    note = {"from_name": "note", "to_name": "text", "type": "textarea", "value": {"text": ["positive"]}}
    mood = {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["negative"]}}
    link = {"from_id": "n", "to_id": "m", "type": "relation", "direction": "right", "labels": []}
    yield "alone", {"result": [p.region("positive")]}, "positive"
    yield "made by the editor", {"result": [region_of(p, "positive", id="aB3", origin="manual")]}, "positive"
    yield "from a prediction", {"result": [region_of(p, "negative", id="aB3", origin="prediction", score=.4)], "parent_prediction": 5, "prediction": {"id": 5}}, "negative"
    yield "regions of five other controls first", {"result": [ner, stars, note, mood, link, p.region("positive")]}, "positive"
    yield "regions of other controls after it", {"result": [p.region("negative"), mood, ner]}, "negative"
    yield "another control alone", {"result": [mood, stars]}, "empty"
    yield "over a region of the text", {"result": [region_of(p, "positive", id="r", value=dict(text, choices=["positive"]))]}, "positive"
    yield "two regions of the text", {"result": [region_of(p, c, id=c, value=dict(text, choices=[c])) for c in ("negative", "positive")]}, "negative"
    yield "the span that the choice is about, then the choice", {"result": [dict(ner, id="r"), region_of(p, "positive", id="r", value=dict(text, choices=["positive"]))]}, "positive"
    yield "nothing chosen", {"result": []}, "empty"
    yield "result null", {"result": None}, "empty"
    yield "the choice taken back", {"result": [region_of(p, [])]}, "empty"
    yield "skipped", {"result": [], "was_cancelled": True}, "skipped"
    yield "skipped with a choice", {"result": [p.region("positive")], "was_cancelled": True}, "skipped"
    yield "a label that is not there", {"result": [p.region("neutral")]}, "unknown_label"
    yield "a value that has an alias", {"result": [p.region("Bad one")]}, "unknown_label"
    yield "of a user who is gone", {"result": [p.region("positive")], "completed_by": None}, "positive"
    yield "of a user in full", {"result": [p.region("positive")], "completed_by": {"id": 3, "email": "a@b.c", "first_name": "", "last_name": ""}}, "positive"
    yield "once a draft", {"result": [p.region("positive")], "draft_created_at": "2026-11-22T00:10:00Z"}, "positive"
    yield "flags null", {"result": [p.region("positive")], "was_cancelled": None, "ground_truth": None}, "positive"
    yield "without time and user", {"result": [p.region("positive")], "updated_at": None, "completed_by": None}, "positive"
    yield "new keys", {"result": [p.region("positive")], "state": {"x": [1, 2 ** 70]}, "reviews": [{"id": 1}]}, "positive"


ALIASED = ('<View><Rating name="stars" toName="text"/><Text name="text" value="$text"/>'
           '<Choices name="label" toName="text" choice="single"><Choice value="Good one" alias="positive"/><Choice value="Bad one" alias="negative"/></Choices>'
           '<Choices name="mood" toName="text"><Choice value="negative"/></Choices></View>')


def t_every_shape_in_a_training():
    """A project for each way in: events one by one, one list, and the /train of older releases; the same is learned from each."""
    with Server(**QUIET) as b:
        told = []
        for pid, way in ((1, "created"), (2, "updated"), (3, "a list"), (4, "/train")):
            p = Project(pid, config=ALIASED)
            old = b.version(p)
            made = []
            for i, (name, fields, _) in enumerate(shapes(p), 1):
                made.append(p.annotation(i, p.task(f"text {i} of {name}"), None, **fields))
            if way == "a list":
                answers = [b.hook(p.created_many(made))]
            elif way == "/train":
                tasks = [dict(p.event_task(a["task"]), annotations=[a], drafts=[], predictions=[]) for a in made]
                answers = [b.post("/train", {"annotations": tasks, "project": p.key, "label_config": p.config, "params": {}})]
            else:
                answers = [b.hook(p.created(a) if way == "created" else p.updated(a)) for a in made]
            check(f"{way}: every shape is stored", all(a.status in (201, 202) for a in answers) and rows(b, "count(*)", f"project = {pid}") == [(len(made),)],
                  lambda: [str(a) for a in answers if a.status not in (201, 202)])
            check(f"{way}: a training follows", number(train(b, p, old)), b.get(f"/status?project={pid}"))
            v = version(b, pid)
            told.append((v.get("examples"), v.get("left_out")))
            want = [w for _, _, w in shapes(p)]
            left = {k: want.count(k) for k in ("skipped", "empty", "unknown_label")}
            left["overruled"] = 0
            check(f"{way}: learned from what has a label, left out what has none", told[-1] == (sum(w in p.labels for w in want), left), f"{told[-1]} expected {left}")
            got = b.predict(p, ["text 2 of made by the editor"]).json["results"][0]["result"][0]
            check(f"{way}: a prediction says the alias, of our control", got["from_name"] == "label" and got["value"]["choices"] == ["positive"], got)


@both
def t_each_shape_by_its_label(open_backend):
    with open_backend(**QUIET) as b:
        p = Project(config=ALIASED)
        b.version(p)
        ids = {}
        for i, (name, fields, want) in enumerate(shapes(p), 1):
            ids[str(p.task(f"text {i}"))] = name, want
            b.hook(p.created(p.annotation(i, i, None, **fields)))
        got = {t: label for t, _, label, _ in b.examples()}
        # v_example shows each region of an annotation, a training takes the first.
        for t, (name, want) in ids.items():
            if name != "two regions of the text":
                check(f"v_example, {name}: {want}", got.get(t) == (want if want in p.labels else None), got.get(t))


# ---- one annotation through its life ---------------------------------------------

@both
def t_the_life_of_an_annotation(open_backend):
    with open_backend(**QUIET) as b:
        p = Project(labels=["positive", "negative", "neutral"])
        b.version(p)
        t = p.task("food")
        n = itertools.count(1)

        def step(name, event, labels, status=201):
            want = next(n) if status == 201 else b.counter(p)
            expect(name, b.hook(event), status, want)
            check(f"{name}: {labels}", sorted(e[2] for e in b.examples()) == sorted(labels), b.examples)
        step("skipped at first", p.created(p.annotation(1, t, None, was_cancelled=True)), [])
        step("un-skipped with a label", p.updated(p.annotation(1, t, "positive")), ["positive"])
        step("skipped, the label stays in it", p.updated(p.annotation(1, t, "positive", was_cancelled=True)), [])
        step("un-skipped as it was", p.updated(p.annotation(1, t, "positive")), ["positive"])
        step("emptied", p.updated(p.annotation(1, t, None)), [])
        step("labelled again", p.updated(p.annotation(1, t, "negative")), ["negative"])
        step("a second annotator", p.created(p.annotation(2, t, "positive", by=2)), ["negative", "positive"])
        step("the first is the ground truth", p.updated(p.annotation(1, t, "negative", ground_truth=True)), ["negative"])
        step("both are", p.updated(p.annotation(2, t, "positive", by=2, ground_truth=True)), ["negative", "positive"])
        step("the ground truth is skipped: the other's holds", p.updated(p.annotation(1, t, "negative", ground_truth=True, was_cancelled=True)), ["positive"])
        step("neither is", p.updated(p.annotation(2, t, "positive", by=2)), ["positive"])
        step("the first is back", p.updated(p.annotation(1, t, "neutral")), ["neutral", "positive"])
        step("a third, of the first annotator", p.created(p.annotation(3, t, "neutral")), ["neutral", "neutral", "positive"])
        step("the second is deleted", p.deleted(2), ["neutral", "neutral"])
        step("an update of it comes late", p.updated(dict(p.annotation(2, t, "positive", by=2))), ["neutral", "neutral"], 200)


@both
def t_labels_removed_and_put_back(open_backend):
    """protocol.md 5: a label may go while annotations carry it; they come back with it."""
    with open_backend(**QUIET) as b:
        p = Project(labels=["positive", "negative", "neutral"])
        b.version(p)
        feed(b, p.some(9))
        p.labels.remove("neutral")
        b.hook(p.event("PROJECT_UPDATED"))
        check("removed: six examples, nine annotations", len(b.examples()) == 6 and rows(b) == [(9,)], b.examples)
        b.hook(p.labelled("a late one", "neutral"))
        check("an annotation that still comes with it is kept, too", len(b.examples()) == 6 and rows(b) == [(10,)], b.examples)
        p.labels.append("neutral")
        b.hook(p.event("PROJECT_UPDATED"))
        check("put back: all ten", len(b.examples()) == 10, b.examples)
        p.labels[0] = "good"
        b.setup(p)
        check("renamed: those of the old name are left out, and kept", len(b.examples()) == 7 and rows(b) == [(10,)], b.examples)


@both
def t_task_data(open_backend):
    """Edited data comes with the next event of the task; an older state of it does not take it back."""
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        t = p.task("first text")

        def event(aid, text, at):
            e = p.created(p.annotation(aid, t, "positive", by=aid))
            e["task"] = dict(e["task"], data={"text": text, "more": [1, {"x": None}]}, updated_at=at)
            return e
        b.hook(event(1, "second text", "2026-11-22T02:00:00.000000Z"))
        b.hook(event(2, "first text", "2026-11-22T01:00:00.000000Z"))
        check("an older state of the task behind a newer annotation", {e[1] for e in b.examples()} == {"second text"} and len(b.examples()) == 2, b.examples)
        b.hook(event(3, "third text", "2026-11-22T03:00:00.000000Z"))
        check("a newer one", {e[1] for e in b.examples()} == {"third text"}, b.examples)
        # Away and back again, the way there comes last: same data, but its time has moved on.
        b.hook(event(3, "third text", "2026-11-22T05:00:00.000000Z"))
        b.hook(event(3, "fourth text", "2026-11-22T04:00:00.000000Z"))
        check("the way there overtaken by the way back", {e[1] for e in b.examples()} == {"third text"}, b.examples)
        e = p.created(p.annotation(50, 77, "positive"), "ANNOTATION_CREATED") if 77 in p.tasks else p.event("ANNOTATION_CREATED", annotation=p.annotation(50, 77, "positive"))
        expect("an annotation without its task: kept", b.hook(e), 201, 6)
        check("it has no text yet", len(b.examples()) == 3, b.examples)
        p.task("the text of 77", 77)
        b.hook(p.created(p.annotation(51, 77, "negative", by=2)))
        check("the task comes with another: both are there", sorted((e[1], e[2]) for e in b.examples())[-2:] ==
              [("third text", "positive")] * 2 and len(b.examples()) == 5, b.examples)


@both
def t_config_from_other_events(open_backend):
    """A webhook of chosen actions may never send PROJECT_UPDATED."""
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        p.labels.append("neutral")
        b.hook(p.labelled("plain", "neutral"))
        check("a label that only the annotation's project knows: kept, not yet an example", rows(b) == [(1,)] and b.examples() == [], b.examples)
        b.version(p)
        check("with the next setup it is", len(b.examples()) == 1, b.examples)
        p.labels.append("other")
        b.hook(p.labelled("plainer", "other"))
        a = b.hook(p.event("START_TRAINING"))
        check("START_TRAINING brings the config as well", a.status == 201 and len(b.examples()) == 2, b.examples)


# ---- deletions -----------------------------------------------------------------

@both
def t_annotation_deleted_in_the_singular(open_backend):
    with open_backend(**QUIET) as b:
        p = Project()
        feed(b, p.some(5))
        expect("ANNOTATION_DELETED with the annotation: one", b.hook(p.event("ANNOTATION_DELETED", annotation={"id": 1})), 201, 6)
        expect("with a list, as the plural: two", b.hook(p.event("ANNOTATION_DELETED", annotations=[{"id": 2}, {"id": 3}])), 201, 8)
        expect("again: nothing", b.hook(p.event("ANNOTATION_DELETED", annotation={"id": 1})), 200, 8)
        a = b.hook(p.event("ANNOTATION_DELETED"))
        check("without either: 422", a.status == 422 and "annotation" in a.json["error"], a)
        check("two are left", rows(b, "id") == [(4,), (5,)], rows(b, "id"))


@both
def t_deletions_of_other_projects(open_backend):
    """Ids are of one project each; what names no project deletes nothing."""
    with open_backend(**QUIET) as b:
        p, q = Project(1), Project(2)
        feed(b, p.some(3) + q.some(3))
        expect("tasks without their project: noted, nothing deleted", b.hook({"action": "TASKS_DELETED", "tasks": [{"id": 1}]}), 201, None)
        expect("annotations without it", b.hook({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}]}), 201, None)
        b.hook({"action": "PROJECT_DELETED", "project": {"id": 1}})
        b.hook({"action": "PROJECT_CREATED", "project": p.project_json()})
        check("all six are there", rows(b) == [(6,)], rows(b, "project, id"))
        b.hook(q.tasks_deleted(1, 2))
        check("project 2 has one left, project 1 three", rows(b, "project") == [(1,), (1,), (1,), (2,)], rows(b, "project, id"))
        r = Project(1, created="2030-01-01T00:00:00.000000Z")
        b.hook(r.deleted(1, 2, 3))
        check("a project of the same number, made later, is another one", len(rows(b, "id")) == 4, rows(b, "project, id"))


# ---- lists ---------------------------------------------------------------------

@both
def t_lists_of_5000(open_backend):
    """WEBHOOK_BATCH_SIZE 5000: a longer list comes in several requests."""
    with open_backend(**QUIET) as b:
        p = Project()
        b.version(p)
        tids = [p.task(review(p.labels[i % 2], i)) for i in range(6000)]
        a = b.hook(p.tasks_created(tids[:5000]))
        expect("5000 tasks created: nothing to learn", a, 200, 0)
        anns = [p.annotation(t, t, p.labels[t % 2]) for t in tids]
        for part in (anns[:5000], anns[5000:]):
            a = b.hook(p.created_many(part))
            check(f"{len(part)} annotations: stored", a.status == 201 and a.json["counter"] == part[-1]["id"], a)
        check("6000", rows(b) == [(6000,)])
        again = b.hook(p.created_many(anns[:5000]))
        expect("the first 5000 once more: nothing", again, 200, 6000)
        for part, left in ((tids[:5000], 1000), (tids[5000:], 0)):
            a = b.timed(lambda part=part: b.hook(p.event("TASKS_DELETED", tasks=[{"id": t} for t in part])))
            check(f"{len(part)} tasks deleted: with their annotations", a.status == 201 and a.json["counter"] == 12000 - left and rows(b) == [(left,)], a)
            check("within the second that Label Studio gives", a.seconds < SLOW or open_backend is not Server, a.seconds)
        for action, key in (("ANNOTATIONS_DELETED", "annotations"), ("TASKS_DELETED", "tasks"), ("TASKS_CREATED", "tasks")):
            expect(f"{action} of nobody", b.hook(p.event(action, **{key: []})), 200, 12000)
        expect("ANNOTATIONS_CREATED of nobody", b.hook(p.event("ANNOTATIONS_CREATED", annotation=[], task=[])), 200, 12000)


# ---- webhooks that were edited ----------------------------------------------------

def t_payload_off():
    """The action alone: each known project has one unread event more, START_TRAINING trains all, and a key brings what happened."""
    p, q = Project(1), Project(2)
    with Studio(p, q) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, START_TRAINING_EACH_N_UPDATES=4) as b:
        vp, vq = b.version(p), b.version(q)
        # Newly connected, each is read once without being asked.
        check("both are read at first", wait_for(lambda: all(b.get(f"/status?project={i}").json["last_fetch"] for i in (1, 2)), 30))
        for i in range(6):      # only in Label Studio
            p.labelled(review(p.labels[i % 2], i), p.labels[i % 2])
        for action in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"):
            a = b.hook({"action": action})
            check(f"{action} alone: noted", a.status == 201 and a.json == {"status": "ok", "training": "no"}, a)
        unread = [b.get(f"/status?project={i}").json["unread"] for i in (1, 2)]
        check("three unread for each project", unread == [3, 3], unread)
        a = b.hook({"action": "TASKS_DELETED"})
        check("the fourth queues a training", a.status == 201 and a.json["training"] in ("queued", "running"), a)
        check("which reads what happened and learns it", number(b.wait_version(p, vp)) == 1 and rows(b) == [(6,)], lambda: rows(b))
        check("nothing is unread any more", wait_for(lambda: [b.get(f"/status?project={i}").json["unread"] for i in (1, 2)] == [0, 0]))
        check("the other project, which has no label, has no version", b.version(q) == vq)


def t_chosen_actions():
    """Only ANNOTATION_CREATED is sent: what was changed and deleted since comes with the next training."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **QUIET) as b:
        old = b.version(p)
        feed(b, p.some(8))
        p.updated(p.annotation(1, 1, "negative"))
        p.deleted(2)
        p.tasks_deleted(3)
        p.annotation(4, 4, "positive", was_cancelled=True)
        v = train(b, p, old)
        check("trained", number(v) == 1, v)
        got = {(e[0], e[2]) for e in b.examples()}
        check("the store is what Label Studio has", got == {("1", "negative")} | {(str(i), p.labels[(i - 1) % 2]) for i in range(5, 9)}, got)
