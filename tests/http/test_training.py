"""test_training.py - annotations become versions: in the background, by number, by hash, with and without Label Studio's export."""
import contextlib
import json
import math
import os
import random
import threading
import time

from harness import (PERSONAL, SLOW, Project, Server, Studio, both, check, digest, entries, feed, jwt, label_of, number, review, train, wait_for,
                     wrong_predictions)

QUIET = {"START_TRAINING_EACH_N_UPDATES": 1000}
THREE = ["positive", "negative", "neutral"]


def learned(b, p, n=24, start=100):
    """How many of n texts that were never sent get their label."""
    got = entries(b.predict(p, [review(p.labels[i % len(p.labels)], i) for i in range(start, start + n)])) or []
    return sum(bool(e["result"]) and label_of(e) == p.labels[(start + i) % len(p.labels)] for i, e in enumerate(got))


def open_jobs(b):
    return b.db("select count(*) from train_job where state in ('queued', 'running')")[0][0]


@both
def t_nth_annotation(open_backend):
    with open_backend(START_TRAINING_EACH_N_UPDATES=10) as b:
        p = Project()
        v0 = b.version(p)
        b.warm()
        answers = [b.timed(lambda e=e: b.hook(e)) for e in p.some(10)]
        check("nine events: no training, the counter counts", [(a.status, a.json.get("counter"), a.json.get("training")) for a in answers[:9]]
              == [(201, i, "no") for i in range(1, 10)], [str(a) for a in answers[:9]])
        check("the tenth queues one", answers[9].status == 201 and answers[9].json.get("training") in ("queued", "running"), answers[9])
        check("answered at once", max(a.seconds for a in answers) < SLOW, max(a.seconds for a in answers))
        why = wrong_predictions(b.predict(p, ["great food"]), 1, p)
        check("predictions go on", not why, why)
        v1 = b.wait_version(p, v0)
        check("a new version, number 1, another hash", number(v1) == 1 and digest(v1) != digest(v0), (v0, v1))
        whys = {wrong_predictions(b.predict(p, ["great food"]), 1, p, version=v1) for _ in range(12)}
        check("the next predictions are of it, whichever process answers", whys == {""}, whys)
        check("the counter is back", b.counter(p) == 0, b.counter(p))
        check("it has learned", learned(b, p) >= 18, learned(b, p))
        for e in p.some(10, start=10):
            b.hook(e)
        v2 = b.wait_version(p, v1)
        check("ten more: number 2", number(v2) == 2 and digest(v2) != digest(v1), v2)
        check("and the counter is back again", b.counter(p) == 0)


@both
def t_replays_do_not_train(open_backend):
    with open_backend(START_TRAINING_EACH_N_UPDATES=5) as b:
        p = Project()
        v0 = b.version(p)
        for e in p.some(4) * 4:
            a = b.hook(e)
        check("sixteen deliveries of four events: counter 4, no training", a.json == {"status": "ok", "counter": 4, "training": "no"}, a)
        time.sleep(1)
        check("and no new version", b.version(p) == v0)


def t_bulk_reaches_n():
    with Server(START_TRAINING_EACH_N_UPDATES=10) as b:
        p = Project()
        v0 = b.version(p)
        many = [p.annotation(i + 1, p.task(review(p.labels[i % 2], i)), p.labels[i % 2]) for i in range(23)]
        a = b.hook(p.created_many(many))
        check("a bulk of 23 is due at once", a.json.get("counter") == 23 and a.json["training"] in ("queued", "running"), a)
        v1 = b.wait_version(p, v0)
        check("one training for all of them", number(v1) == 1 and b.counter(p) == 0, (v1, b.counter(p)))


def t_events_during_a_training_count_for_the_next():
    with Server(START_TRAINING_EACH_N_UPDATES=10) as b:
        p = Project()
        v0 = b.version(p)
        feed(b, p.some(10))
        feed(b, p.some(7, start=10))
        v1 = b.wait_version(p, v0)
        c = b.counter(p)
        # Gathered before or after the seven came: what was not trained on still counts.
        check("after the training the counter is what it did not see", v1 and 0 <= c <= 7, (v1, c))
        feed(b, p.some(10, start=17))
        v2 = b.wait_version(p, v1)
        check("nothing is lost for the next", (number(v2) or 0) >= 2, v2)
        train(b, p, v2)
        check("and in the end 27 examples are trained on", wait_for(lambda: b.counter(p) == 0, 60) and len(b.examples()) == 27, b.counter(p))


@both
def t_fewer_than_two_labels(open_backend):
    with open_backend(START_TRAINING_EACH_N_UPDATES=5) as b:
        p = Project()
        v0 = b.version(p)
        bad = feed(b, [p.labelled(review("positive", i), "positive") for i in range(6)])
        check("stored", not bad, bad)
        text = wait_for(lambda: (lambda t: t if "needs 2 labels, has 1" in t else None)(b.get("/status?project=1").body.decode()))
        check("status says: needs 2 labels, has 1", text, lambda: b.get("/status?project=1"))
        code, out, err = b.cli("status", "--project", 1)
        check("prelabel status says it too", code == 0 and "needs 2 labels, has 1" in out, (code, out, err))
        check("the version in force stays", b.version(p) == v0)
        a = b.hook(p.event("START_TRAINING"))
        check("START_TRAINING is no error for Label Studio", a.status in (200, 201, 202), a)
        check("it ends", wait_for(lambda: not open_jobs(b)), lambda: b.get("/status?project=1"))
        check("and publishes nothing", b.version(p) == v0)
        code, out, err = b.cli("train", "--project", 1)
        check("prelabel train: exit 1, one line says why", code == 1 and "needs 2 labels, has 1" in err and len(err.strip().splitlines()) == 1, (code, out, err))
        b.hook(p.labelled(review("negative", 1), "negative"))
        if open_backend is not Server:
            b.hook(p.event("START_TRAINING"))
        v1 = b.wait_version(p, v0)
        check("with the second label a training follows", (number(v1) or 0) >= 1, v1)


def t_no_annotation_at_all():
    with Server() as b:
        p = Project()
        v0 = b.version(p)
        check("START_TRAINING of an empty project: 2xx", b.hook(p.event("START_TRAINING")).status in (200, 201, 202))
        check("it ends", wait_for(lambda: not open_jobs(b)), lambda: b.get("/status?project=1"))
        check("nothing is published, nothing breaks", b.version(p) == v0 and "needs 2 labels, has 0" in b.get("/status?project=1").body.decode(),
              lambda: b.get("/status?project=1"))


def t_a_label_is_added():
    with Server(**QUIET) as b:
        p = Project(1, ["positive", "negative"])
        feed(b, p.some(12))
        v1 = train(b, p)
        p.labels.append("neutral")
        v = b.version(p)
        check("a changed label set: another string at once", v and v != v1 and digest(v) != digest(v1), (v1, v))
        # A changed label set is trained on by itself: its version may come between two requests.
        a = b.predict(p, [review("positive", 3), ""])
        after = b.version(p)
        got = (entries(a) or [{}])[0].get("model_version")
        check("predictions are of the version before or after", got in (v, after), (v, got, after))
        why = wrong_predictions(a, 2, p, version=got)
        check("predictions stay well-formed", not why, why)
        v2 = wait_for(lambda: (lambda w: w if number(w) == 2 else None)(b.version(p)), 90)
        check("the changed label set is trained on without being asked", v2 and digest(v2) == digest(v), (v, v2))
        feed(b, p.some(18, labels=["neutral", "positive", "negative"], start=12))
        v2 = train(b, p, v2)
        check("the new label is learned", v2 and learned(b, p) >= 18, (v2, learned(b, p)))


def t_a_label_is_removed():
    """protocol.md 5: annotations of a label that is gone are not trained on."""
    with Server(**QUIET) as b, Server(**QUIET) as c:
        p = Project(1, list(THREE))
        feed(b, p.some(30))
        v1 = train(b, p)
        p.labels.remove("neutral")
        v = b.version(p)
        check("another string at once", v and digest(v) != digest(v1))
        w = train(b, p)
        check("the next training leaves the label out", w and len(b.examples()) == 20 and {e[2] for e in b.examples()} == {"positive", "negative"}, b.examples)
        # The same examples and label set on a store that never knew the third label.
        q = Project(1, list(THREE))
        events = [e for e in q.some(30) if e["annotation"]["result"][0]["value"]["choices"] != ["neutral"]]
        q.labels.remove("neutral")
        feed(c, [q.created(e["annotation"]) for e in events])
        u = train(c, q)
        check("its hash is that of the examples that are left, whatever came before", u and digest(u) == digest(wait_for(lambda: b.version(p), 1)), (w, u))


def t_projects_never_mix():
    with Server(**QUIET) as b, Server(**QUIET) as c:
        p, q = Project(1), Project(2, ["spam", "ham"], text="message", name="kind", to="body")
        vp, vq = b.version(p), b.version(q)
        both_ways = list(zip(p.some(12), q.some(12)))
        for x, y in both_ways:      # the same task and annotation ids in both
            b.hook(x)
            b.hook(y)
        v1 = train(b, p)
        check("training one leaves the other's version alone", number(v1) == 1 and b.version(q) == vq)
        check("and its counter", (b.counter(p), b.counter(q)) == (0, 12), (b.counter(p), b.counter(q)))
        w1 = train(b, q)
        check("each has its own numbers", number(w1) == 1 and b.version(p) == v1)
        why = wrong_predictions(b.predict(q, [{"message": review("spam", i)} for i in range(10)]), 10, q, version=w1)
        check("the second: own labels, own names", not why, why)
        check("both have learned", learned(b, p) >= 19 and sum(
            label_of(e) == "spam" for e in entries(b.predict(q, [{"message": review("spam", i)} for i in range(40, 50)]))) >= 8, lambda: learned(b, p))
        alone = Project(1)
        feed(c, alone.some(12))
        check("the hash is the one of the project alone", digest(train(c, alone)) == digest(v1))
        check("vp was cold", number(vp) == 0)


def t_order_of_arrival_and_threads():
    """Issue part 10: a version is a function of the set of examples alone, bit for bit."""
    texts = [review(THREE[i % 3], i + 500) for i in range(60)] + ["", "zzz", "food food"]
    seen = []
    for n, (order, threads, repeat) in enumerate(((0, 1, 0), (1, 3, 0), (2, 1, 1), (0, 2, 1))):
        with Server(TRAIN_THREADS=threads, **QUIET) as b:
            p = Project(1, list(THREE))
            b.version(p)
            events = p.some(90)
            if order:
                random.Random(order).shuffle(events)
            feed(b, events)
            if repeat:          # annotations that are gone, changed and changed back leave no trace
                extra = p.labelled("something else", "neutral")
                feed(b, [extra, p.deleted(extra["annotation"]["id"])])
            v = train(b, p)
            seen.append((v, b.predict(p, texts).body))
            if n == 0:
                check("trained", number(v) == 1, v)
    check("any order, any TRAIN_THREADS, detours: the same version string", len({v for v, _ in seen}) == 1, [v for v, _ in seen])
    check("and the same bytes of predictions", len({body for _, body in seen}) == 1)


def t_step_by_step_or_at_once():
    """However the examples came and whatever was trained before: the same bytes of every part of the model."""
    n, seen = 1500, []
    for threads, steps, by_import in ((1, 5, False), (2, 1, False), (4, 1, True)):
        with Server(TRAIN_THREADS=threads, START_TRAINING_EACH_N_UPDATES=10 * n) as b:
            p = Project(1, list(THREE))
            b.version(p)
            many = [p.annotation(i + 1, p.task(review(THREE[i % 3], i)), THREE[i % 3]) for i in range(n)]
            if by_import:
                path = b.dir + "/export.json"
                with open(path, "w") as f:
                    json.dump(p.export(), f)
                code, out, err = b.cli("import", "--project", 1, path)
                check("imported", code == 0, (code, out, err))
            for k in range(0, 0 if by_import else n, n // steps):
                b.hook(p.created_many(many[k:k + n // steps]))
                code, out, err = b.cli("train", "--project", 1)
                check("trained", code == 0, (code, out, err))
            if by_import:
                code, out, err = b.cli("train", "--project", 1)
                check("trained", code == 0, (code, out, err))
            seen.append((b.version(p), b.db("select name, hex(checksum), length(bytes) from model_part where version = "
                                            "(select max(version) from model_part) order by name")))
    check("trained as often as was asked for", [number(v) for v, _ in seen] == [5, 1, 1], [v for v, _ in seen])
    check("the same bytes of all parts, for 1, 2 and 4 threads", len(seen[0][1]) == 6 and seen[0][1] == seen[1][1] == seen[2][1], seen)


def t_same_data_again():
    with Server(**QUIET) as b:
        p = Project()
        feed(b, p.some(10))
        v1 = train(b, p)
        before = entries(b.predict(p, ["great food", "bad food"]))
        v2 = train(b, p)
        check("every finished training publishes a new number, the hash stays", number(v2) == 2 and digest(v2) == digest(v1), (v1, v2))
        check("and the probabilities", [e["score"] for e in entries(b.predict(p, ["great food", "bad food"]))] == [e["score"] for e in before])
        b.hook(p.updated(p.annotation(1, 1, "negative")))
        v3 = train(b, p)
        check("one label changed: another hash", number(v3) == 3 and digest(v3) != digest(v2), v3)
        b.hook(p.updated(p.annotation(1, 1, "positive")))
        v4 = train(b, p)
        check("and changed back: the old hash", number(v4) == 4 and digest(v4) == digest(v1), (v1, v4))


def t_restart_keeps_it():
    with Server(**QUIET) as b:
        p = Project()
        feed(b, p.some(10))
        v = train(b, p)
        feed(b, p.some(3, start=10))
        body = b.predict(p, ["great food", "bad food"]).body
        b.stop()
        b.start()
        check("version, predictions and counter survive a restart", b.version(p) == v and b.predict(p, ["great food", "bad food"]).body == body and b.counter(p) == 3)


def t_a_queued_job_survives_a_stop():
    with Server(START_TRAINING_EACH_N_UPDATES=10) as b:
        p = Project()
        v0 = b.version(p)
        feed(b, p.some(10))
        b.stop()
        b.start()
        check("a training that was due is done after the restart, without further traffic",
              number(b.wait_version(p, v0, 45) or v0) == 1)


def t_stationarity():
    """model.md 3: at the optimum the mean predicted probability of each class over the training set is its share of the labels."""
    for labels in (["positive", "negative"], THREE):
        with Server(**QUIET) as b:
            p = Project(1, list(labels))
            rnd, rows = random.Random(3), []
            for i in range(80):
                label = labels[0] if rnd.random() < .5 else rnd.choice(labels)
                rows.append((review(rnd.choice(labels) if rnd.random() < .3 else label, i), label))
            feed(b, [p.labelled(t, k) for t, k in rows])
            train(b, p)
            code, out, err = b.cli("predict", "--project", 1, "-", stdin="".join(json.dumps({"text": t}) + "\n" for t, _ in rows))
            got = [json.loads(line)["probabilities"] for line in out.splitlines()]
            worst = max(abs(math.fsum(g[k] for g in got) / len(rows) - sum(y == k for _, y in rows) / len(rows)) for k in labels) if len(got) == len(rows) else None
            # |grad F| <= 1e-6 and the intercept's gradient is C * (sum of p - count).
            check(f"{len(labels)} labels: mean probability = share, 1e-6", worst is not None and worst < 1e-6, (worst, code, err))


def t_trained_without_supervisor():
    """architecture.md 5: elsewhere than under `prelabel start` the webhook starts the trainer itself, detached."""
    from harness import Cgi
    with Cgi(START_TRAINING_EACH_N_UPDATES=6) as b:
        p = Project()
        v0 = b.version(p)
        feed(b, p.some(6))
        v1 = b.wait_version(p, v0)
        check("plain CGI: the sixth annotation trains", number(v1) == 1, v1)


def t_one_thread_sees_every_change():
    """What a thread has kept of a project is read again after each change of another process."""
    with Server(START_TRAINING_EACH_N_UPDATES=1000, WORKERS=1, THREADS=1) as b:
        p = Project()
        v0 = b.version(p)

        def served():
            return {e["model_version"] for e in entries(b.predict(p, ["great food"])) or [{"model_version": None}]}
        check("the cold start", served() == {v0} == served(), v0)
        feed(b, p.some(8))
        v1 = train(b, p, v0)
        check("after a training: the new version", served() == {v1} == served(), (v1, served()))
        b.cli("rollback", 0)
        check("after a rollback: the old one", served() == {b.version(p)} == served() and b.version(p) != v1, served())


def t_trainer_gives_way():
    """Whoever starts it, it is nice: here the webhook program, whose own requests are not."""
    from harness import Cgi
    with Cgi(START_TRAINING_EACH_N_UPDATES=2) as b:
        command, said = os.path.join(b.dir, "model"), os.path.join(b.dir, "nice")
        with open(command, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nnice >>{said}\nexit 1\n")
        os.chmod(command, 0o755)
        b.env["MODEL_COMMAND"] = command
        p = Project()
        b.setup(p)
        feed(b, p.some(2))
        own = os.getpriority(os.PRIO_PROCESS, 0)

        def lines():
            with contextlib.suppress(OSError), open(said, encoding="utf-8") as f:
                return set(map(int, f.read().split()))
            return set()
        wait_for(lambda: 10 in lines(), 20 * SLOW)
        check("a trainer that the webhook started runs at nice 10", 10 in lines() and lines() <= {own, 10}, lines())


# ---- with a key: the export -------------------------------------------------

def t_export_finds_what_was_missed():
    for kind in ("pat", "legacy"):
        p = Project()
        with Studio(p, kind=kind) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **QUIET) as b:
            v0 = b.version(p)
            first = p.some(12)
            feed(b, first[:6])                                      # six events never came
            p.annotation(1, 1, "negative")                          # one was changed and the event lost
            p.annotation(2, 2, "negative", was_cancelled=True)      # one skipped
            del p.annotations[3]                                    # one deleted
            p.annotation(77, 4, "positive", by=2)                   # a second annotator
            v1 = train(b, p, v0)
            want = sorted((str(a["task"]), p.tasks[a["task"]]["text"], a["result"][0]["value"]["choices"][0], str(a["completed_by"]))
                          for a in p.annotations.values() if not a["was_cancelled"])
            check(f"{kind}: missed, changed, skipped and deleted annotations are found", number(v1) == 1 and b.examples() == want, lambda: f"{v1} {b.examples()} expected {want}")
            check(f"{kind}: through the export", any("/api/projects/1/export" in x for x in ls.paths()), ls.paths())
            if kind == "pat":
                check("pat: exchanged, then Bearer", ("POST", "/api/token/refresh") == tuple(ls.seen[0][:2]) or ("POST", "/api/token/refresh/") == tuple(ls.seen[0][:2]), ls.seen[:2])
                check("pat: the long token is in no header", not any(PERSONAL in (a or "") for _, _, a in ls.seen))
            check(f"{kind}: the key is in no URL", not any(ls.key in x for x in ls.paths()))
            del p.tasks[5], p.annotations[5]                        # a task deleted without an event
            v2 = train(b, p, v1)
            check(f"{kind}: a task that is gone takes its annotation along", number(v2) == 2 and len(b.examples()) == len(want) - 1, lambda: (v2, b.examples()))
            check(f"{kind}: the counter is back", b.counter(p) == 0, b.counter(p))


def t_no_call_inside_a_request():
    """reliability.md R3: Label Studio is never called inside a request; only a training calls it."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **QUIET) as b:
        well = threading.Event()

        def hang(h, path):
            well.wait(30)
            return False
        ls.fault = hang
        b.warm()
        b.version(p)
        asked = [lambda e=e: b.hook(e) for e in p.some(5)] + [lambda: b.predict(p, ["x"]), lambda: b.setup(p), lambda: b.get("/health"), lambda: b.hook(p.event("START_TRAINING"))]
        worst = max(b.timed(ask).seconds for ask in asked)
        well.set()
        check("a Label Studio that hangs slows no answer", worst < SLOW, worst)


def t_export_and_webhooks_reach_the_same():
    """The issue's condition: without webhooks by the export, and without a key by webhooks: the same hash, the same probabilities."""
    def history():
        p = Project(1, list(THREE))
        events = p.some(30)
        t = p.task("two people say so")
        events += [p.created(p.annotation(301, t, "positive", by=1)), p.created(p.annotation(300, t, "negative", by=2))]
        t = p.task("settled by ground truth")
        events += [p.created(p.annotation(310, t, "positive", by=1)), p.created(p.annotation(311, t, "neutral", by=2, ground_truth=True))]
        events += [p.labelled("skipped one", "neutral", was_cancelled=True), p.labelled("nothing chosen", None)]
        events += [p.updated(p.annotation(4, 4, "neutral")), p.deleted(9)]
        return p, events
    texts = [review(THREE[i % 3], i + 40) for i in range(30)] + [""]
    p, events = history()
    with Server(**QUIET) as b:
        random.Random(1).shuffle(events)
        for e in events:
            b.hook(e)
        v = train(b, p)
        by_hooks = entries(b.predict(p, texts))
    q, _ = history()
    with Studio(q) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **QUIET) as b:
        w0 = b.version(q)
        w = train(b, q, w0)
        by_export = entries(b.predict(q, texts))
    check("the same hash", v and w and digest(v) == digest(w), (v, w))
    check("the same probabilities to 1e-9", by_hooks and by_export and all(label_of(x) == label_of(y) and abs(x["score"] - y["score"]) < 1e-9
                                                                          for x, y in zip(by_hooks, by_export)))


def t_no_payload_and_a_key():
    """Payload off in the webhook: the project comes from the URL or is any; the annotations from the export."""
    p, q = Project(1), Project(2, ["spam", "ham"])
    with Studio(p, q) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **QUIET) as b:
        v0 = b.version(p)
        b.version(q)
        p.some(12)
        for _ in range(12):
            b.hook({"action": "ANNOTATION_CREATED"})
        v1 = train(b, p, v0)
        check("START_TRAINING trains on what the export says", number(v1) == 1 and len(b.examples()) == 12 and learned(b, p) >= 19, (v1, len(b.examples())))


def t_access_tokens_are_renewed():
    p = Project()
    with Studio(p, lives=1) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **QUIET) as b:
        v0 = b.version(p)
        p.some(8)
        v1 = train(b, p, v0)
        time.sleep(1.2)
        v2 = train(b, p, v1)
        check("a training after the access token has ended", number(v2) == 2, (v1, v2))
        revoked = {"n": 0}

        def once(h, path):      # one 401 in spite of a good token: refresh once and repeat
            if "/export" in path and not revoked["n"]:
                revoked["n"] = 1
                h.fail(401, "Authentication credentials were not provided.")
                return True
            return False
        ls.fault = once
        v3 = train(b, p, v2)
        check("a 401 in the middle: refreshed once and repeated", number(v3) == 3 and revoked["n"] == 1, (v3, revoked))


def t_an_access_token_as_key():
    """protocol.md 8.2: a key whose payload says "access" is used as Bearer, without an exchange."""
    p = Project()
    with Studio(p) as ls:
        token = jwt("access", int(time.time()) + 300, "given")
        ls.issued[token] = time.time() + 300
        with Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=token, **QUIET) as b:
            v = b.version(p)
            p.some(8)
            w = train(b, p, v)
            check("an access token: Bearer, no exchange", number(w) == 1 and not any("refresh" in x for x in ls.paths()) and ls.seen[0][2] == "Bearer " + token, (w, ls.seen[:2]))


def t_aliases():
    """protocol.md 5: results contain the alias, in annotations as in predictions."""
    config = ('<View><Text name="text" value="$text"/><Choices name="label" toName="text"><Choice value="Very good" alias="positive"/>'
              '<Choice value="Very bad" alias="negative"/></Choices></View>')
    with Server(**QUIET) as b:
        p = Project(1, config=config)
        feed(b, p.some(24))
        v = train(b, p)
        check("aliases are learned and predicted", number(v) == 1 and learned(b, p) >= 20, (v, learned(b, p)))
        why = wrong_predictions(b.predict(p, ["great food", ""]), 2, p, version=v)
        check("never the value", not why, why)


def t_label_studio_in_trouble():
    """R29, the short form: whatever it answers, requests are served, the reason is in the status, and a later training works."""
    p = Project()
    bad = {"500": lambda h: h.reply(500, b"<html>Server Error</html>"), "not JSON": lambda h: h.reply(200, b"<html>hello</html>"),
           "cut": lambda h: h.reply(200, b'[{"id": 1, "annotations": ['), "an object": lambda h: h.reply(200, {"detail": "x"}),
           "403": lambda h: h.fail(403, "You do not have permission"), "404": lambda h: h.fail(404, "Not found.")}
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, **QUIET) as b:
        v = b.version(p)
        feed(b, p.some(8))
        for name, reply in bad.items():
            def fault(h, path, reply=reply):
                if "/export" in path or "/api/tasks" in path:
                    reply(h)
                    return True
                return False
            ls.fault = fault
            code, out, err = b.cli("train", "--project", 1, timeout=90)
            check(f"export answers {name}: prelabel train says so, exit 1, or trains without it", code == 0 or code == 1 and err.strip(), (code, err))
            check(f"export answers {name}: no annotation is lost", len(b.examples()) == 8, b.examples)
            check(f"export answers {name}: predictions go on", not wrong_predictions(b.predict(p, ["x"]), 1, p))
        ls.fault = None
        code, out, err = b.cli("train", "--project", 1)
        check("well again: it trains", code == 0 and b.version(p) != v, (code, err))


def t_the_key_is_refused():
    p = Project()
    with Studio(p, kind="pat") as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY="0" * 40, **QUIET) as b:
        b.version(p)
        feed(b, p.some(6))
        b.hook(p.event("START_TRAINING"))
        text = wait_for(lambda: (lambda t: t if "401" in t or "refused" in t or "disabled" in t else None)(b.get("/status?project=1").body.decode()))
        check("a refused key shows in the status", text, lambda: b.get("/status?project=1"))
        check("and the key itself does not", "0" * 40 not in b.get("/status").body.decode() + b.log_text())
        check("predictions go on", not wrong_predictions(b.predict(p, ["x"]), 1, p))
