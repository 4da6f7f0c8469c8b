"""test_sync.py - the store is brought in line: by prelabel sync, at the first connection, after a start; whatever Label Studio answers."""
import json
import sqlite3
import threading
import time

from harness import Project, Server, Studio, check, feed, free_port, number, prelabel, wait_for, wrong_predictions

QUIET = {"START_TRAINING_EACH_N_UPDATES": 10**6}


def rows(b):
    return b.db("SELECT id, task, result, was_cancelled, ground_truth, updated_us, deleted FROM annotation ORDER BY id")


def job(b):
    """(state, reason, note) of the last one, or None."""
    got = b.db("SELECT state, reason, note FROM train_job ORDER BY row DESC LIMIT 1")
    return got[0] if got else None


def exports(ls):
    return sum("/export" in p for p in ls.paths())


def idle(b):
    return b.db("SELECT count(*) FROM train_job WHERE state IN ('queued', 'running')") == [(0,)]


def past_start():
    """A second after its start, the server asks for every project that it knows: none, where /setup comes after that."""
    time.sleep(1.5)


def status_error(b):
    one = b.get("/status?project=1").json
    return one.get("fetch_error") if isinstance(one, dict) else None


# ---- prelabel sync ------------------------------------------------------------

def t_sync():
    """What was missed, changed, skipped or deleted; one line; a training that it makes due is queued and run."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, START_TRAINING_EACH_N_UPDATES=10) as b:
        b.version(p)
        wait_for(lambda: job(b) and idle(b), 60)
        p.some(8)
        code, out, err = b.cli("sync", "--json")
        said = json.loads(out) if code == 0 else None
        check("as JSON", said == {"project": 1, "tasks": 8, "changed": 8, "deleted": 0, "unreadable": 0, "counter": 8, "training": "no"}, (code, out, err))
        a = p.annotations
        a[2] = dict(a[2], result=[p.region("positive")], updated_at=p.now())
        a[3] = dict(a[3], was_cancelled=True, updated_at=p.now())
        a[4] = dict(a[4], ground_truth=True)            # without a later time: what was read later has the last word
        del a[5]
        code, out, err = b.cli("sync")
        check("in words", code == 0 and out == "project 1: 7 tasks read, 3 annotations new or changed, 1 deleted, 0 could not be read; "
              "a training is queued\n", (code, out, err))
        check("that training is run", wait_for(lambda: number(b.version(p)) == 1 and idle(b), 60), lambda: job(b))
        check("a change without a later updated_at is taken over", b.db("SELECT ground_truth FROM annotation WHERE id = 4") == [(1,)])
        before = rows(b), b.db("SELECT updates FROM project")
        code, out, err = b.cli("sync")
        check("in line: nothing changes", code == 0 and " 0 annotations new or changed, 0 deleted" in out and
              (rows(b), b.db("SELECT updates FROM project")) == before, (code, out, err))
        # The reading after the start may still be due: it trains nothing either.
        check("nor is a training queued", wait_for(lambda: idle(b), 60) and number(b.version(p)) == 1, lambda: job(b))


def t_sync_says_why_not():
    p, q = Project(1), Project(2)
    with Studio(p, q) as ls, Server(LABEL_STUDIO_HOST=ls.url, **QUIET) as b:
        b.version(p)
        for name, args, env, want in (("without a key", (), {}, (2, "no LABEL_STUDIO_API_KEY is set")),
                                      ("a refused key", (), {"LABEL_STUDIO_API_KEY": "f" * 40}, (1, "refused the key")),
                                      ("an unknown project", ("--project", 7), {"LABEL_STUDIO_API_KEY": ls.key}, (1, "project 7 is not known")),
                                      ("nobody answers", (), {"LABEL_STUDIO_API_KEY": ls.key, "LABEL_STUDIO_HOST": f"http://127.0.0.1:{free_port()}"},
                                       (1, "does not answer")),
                                      ("an operand", ("x",), {"LABEL_STUDIO_API_KEY": ls.key}, (2, "takes no operands"))):
            code, out, err = prelabel("sync", *args, env=dict(b.env, **env))
            check(f"{name}: exit {want[0]}, one line says why", code == want[0] and want[1] in err and len(err.splitlines()) == 1 and not out, (code, out, err))
            check(f"{name}: no job is left", idle(b), lambda: job(b))
        b.version(q)
        code, out, err = prelabel("sync", env=dict(b.env, LABEL_STUDIO_API_KEY=ls.key))
        check("two projects, none named: exit 2", code == 2 and "--project N" in err, (code, err))


def drip(h, path):
    """An export of a byte now and then."""
    if not path.endswith("/export"):
        return False
    h.send_response(200)
    h.end_headers()
    h.close_connection = True
    while True:
        h.wfile.write(b" ")
        time.sleep(0.2)


def t_sync_loses_its_lease():
    """The reason is the lease, not that somebody told it to stop."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, **QUIET) as b:
        b.version(p)
        ls.fault = drip

        def take_over():
            wait_for(lambda: exports(ls), 60)
            with sqlite3.connect(b.dir + "/prelabel.sqlite3", timeout=20) as db:
                db.execute("UPDATE train_job SET owner = 'another', attempt = attempt + 1 WHERE state = 'running'")
        threading.Thread(target=take_over, daemon=True).start()
        code, out, err = prelabel("sync", env=dict(b.env, LABEL_STUDIO_API_KEY=ls.key), timeout=60)
        check("exit 1, and the lease is the reason", code == 1 and "another trainer has taken it over" in err and "told to stop" not in err, (code, out, err))


def t_an_older_event_brings_no_older_data():
    """A text is edited and edited back; the event in between comes last."""
    with Server(**QUIET) as b:
        p = Project()
        a = p.annotation(1, p.task("the text"), "positive")
        first, times = p.created(a), [p.now() for _ in range(3)]
        for at, text in ((times[0], "the text"), (times[2], "the text"), (times[1], "another text")):
            first["task"] = dict(first["task"], data={"text": text}, updated_at=at)
            b.hook(first)
        check("the later data stays", [x[1] for x in b.examples()] == ["the text"], b.examples)


# ---- by itself ------------------------------------------------------------------

def t_first_connection():
    """What was annotated before the backend is connected: read once, in the background; trained on where it suffices."""
    for kind in ("pat", "legacy"):
        p = Project()
        p.some(24)
        with Studio(p, kind=kind) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key) as b:
            past_start()
            v = b.version(p)
            check(f"{kind}: /setup answers the cold start", number(v) == 0, v)
            check(f"{kind}: soon there is a trained version, without a webhook", number(b.wait_version(p, v, 60)) == 1, lambda: job(b))
            wait_for(lambda: idle(b), 60)
            check(f"{kind}: the job says why it was", job(b)[:2] == ("done", "connect"), lambda: job(b))
            for _ in range(5):
                b.setup(p)
            time.sleep(0.5)
            check(f"{kind}: further /setups read nothing more", exports(ls) == 1 and idle(b), ls.paths())
    p = Project()
    p.some(7)
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key) as b:
        past_start()
        b.version(p)
        wait_for(lambda: job(b) and idle(b), 60)
        check("7 of 10: read, not trained", b.counter(p) == 7 and number(b.version(p)) == 0 and
              job(b) == ("done", "connect", None), lambda: job(b))
        v0 = b.version(p)
        feed(b, p.some(3, start=7))
        check("three more by webhook: trained", number(v0) == 0 and number(b.wait_version(p, v0, 60)) == 1, lambda: job(b))
    with Server() as b:
        b.version(Project())
        time.sleep(0.3)
        check("without a key nothing is read", job(b) is None, lambda: job(b))


def t_after_a_start():
    """Events that came while nothing ran: found without a request."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key) as b:
        past_start()
        b.version(p)
        wait_for(lambda: job(b) and idle(b), 60)
        b.stop()
        p.some(12)
        before = exports(ls)
        b.start()
        if not check("found and trained on", wait_for(lambda: b.db("SELECT max(number) FROM model_version") == [(1,)]), lambda: job(b)):
            return
        wait_for(lambda: idle(b), 60)
        check("by the reading of the start", job(b)[1] == "sync" and exports(ls) == before + 1, lambda: (job(b), ls.paths()))
        time.sleep(2.5)
        check("once", exports(ls) == before + 1, ls.paths)
        b.stop()
        with sqlite3.connect(b.dir + "/prelabel.sqlite3", timeout=20) as db:
            db.execute("CREATE TRIGGER full BEFORE INSERT ON train_job BEGIN SELECT RAISE(ABORT, 'no room'); END")
        b.start()

        def said():
            return [line for line in b.log_text().splitlines() if "not yet read" in line]
        wait_for(said, 60)
        time.sleep(3)
        check("one that can't be asked for is said once, not once a second", len(said()) == 1 and "the store refuses" in said()[0], said)


def t_what_reads_is_in_nobodys_way():
    """Label Studio is down or refuses: predictions and trainings go on, and it is not asked again and again."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY="0" * 40) as b:
        b.version(p)

        def asked():
            """Jobs of /setup; the reading of the start, a second after it, is another ("sync")."""
            return b.db("SELECT state, note FROM train_job WHERE reason = 'connect'")
        check("a refused key: the job ends", wait_for(lambda: [state for state, _ in asked()] == ["skipped"], 60), asked)
        check("and says so", "refused the key" in (asked()[0][1] or "") and "refused the key" in (status_error(b) or ""), lambda: (asked(), status_error(b)))
        for _ in range(5):
            b.setup(p)
        time.sleep(0.5)
        check("/setup asks for no other", len(asked()) == 1 and len(ls.seen) <= b.db("SELECT count(*) FROM train_job")[0][0], lambda: (asked(), ls.paths()))
        v0 = b.version(p)
        feed(b, p.some(10))
        check("the webhooks are trained on", number(v0) == 0 and number(b.wait_version(p, v0, 60)) == 1, lambda: job(b))
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key) as b:
        ls.fault = lambda h, path: h.fail(503, "starting up") or True
        v = b.version(p)
        wait_for(lambda: exports(ls) or len(ls.seen) > 2, 60)
        feed(b, p.some(10))
        check("503: predictions go on", not wrong_predictions(b.predict(p, ["x"]), 1, p))
        check("503: a training that is due takes the reading's place", wait_for(lambda: job(b)[1] == "updates" and (job(b)[0] != "running"), 30), lambda: job(b))
        ls.fault = None
        b.hook(p.event("START_TRAINING"))
        check("well again: it trains", number(b.wait_version(p, v, 60)) == 1, lambda: job(b))


# ---- R18, R29: a Label Studio that misbehaves ----------------------------------------

def spoiled(p):
    """{name: (what it answers to the export, part of the reason)}; None: the reading succeeds and counts what it could not read."""
    good = json.dumps(p.export()).encode()

    def change(**kw):
        """The first task otherwise."""
        tasks = p.export()
        tasks[0] = {k: v for k, v in dict(tasks[0], **kw).items() if v is not change}
        return lambda h: h.reply(200, tasks)

    def annotation(**kw):
        return change(annotations=[dict(p.export()[0]["annotations"][0], **kw)])

    def cut(h):
        h.send_response(200)
        h.send_header("Content-Length", str(len(good)))
        h.end_headers()
        h.wfile.write(good[:-40])
        h.close_connection = True

    other = [dict(t, project=99) for t in p.export()]
    return {
        "truncated": (cut, "broke off"),
        "an array that is cut": (lambda h: h.reply(200, good[:good.rindex(b', {"id"')]), "not whole"),
        "no byte": (lambda h: h.reply(200, b""), "not whole"),
        "an HTML page with 200": (lambda h: h.reply(200, b"<!DOCTYPE html><html>Sign in</html>"), "not a JSON array"),
        "an object": (lambda h: h.reply(200, {"detail": "no"}), "not a JSON array"),
        "null": (lambda h: h.reply(200, None), "not a JSON array"),
        "nulls for tasks": (lambda h: h.reply(200, [None, None]), "element 0 is not a task"),
        "NaN": (lambda h: h.reply(200, good.replace(b'"lead_time": 1.5', b'"lead_time": NaN')), "can't be read"),
        "the export of another project": (lambda h: h.reply(200, other), "of another project"),
        "a project that is no number": (change(project="1"), "of another project"),
        "500": (lambda h: h.reply(500, b"<html>"), "answered 500"),
        "403": (lambda h: h.fail(403, "You do not have permission"), "answered 403"),
        "404": (lambda h: h.fail(404, "Not found."), "answered 404"),
        "401 midway": (lambda h: h.fail(401, "Authentication credentials were not provided."), "refused the key"),
        "a task without annotations": (change(annotations=change), None),
        "annotations: null": (change(annotations=None), None),
        "annotations: an object": (change(annotations={}), None),
        "annotations of null": (change(annotations=[None]), None),
        "a result that is an object": (annotation(result={}), None),
        "a result that is a text": (annotation(result="positive"), None),
        "an annotation without an id": (annotation(id=None), None),
        "an annotation of another task": (annotation(task=12345), None),
        "a time that is none": (annotation(updated_at="yesterday"), None),
        "was_cancelled: \"no\"": (annotation(was_cancelled="no"), None),
        "a task's id that is a text": (change(id="1"), None),
        "a task's data that is null": (change(data=None), None),
    }


def r29_misbehaving_export():
    """Nothing is stored wrongly, nothing deleted, the reason is in the status, and well again, the store is in line."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, **QUIET) as b:
        b.version(p)
        env = dict(b.env, LABEL_STUDIO_API_KEY=ls.key)
        p.some(6)
        prelabel("sync", env=env)
        first = rows(b)
        check("control: 6 annotations are there", len(first) == 6 and not any(r[-1] for r in first), first)
        gone = p.annotations.pop(6)     # a reading that came to its end would delete it
        for name, (reply, reason) in spoiled(p).items():
            def fault(h, path, reply=reply):
                if not path.endswith("/export"):
                    return False
                reply(h)
                return True
            ls.fault = fault
            code, out, err = prelabel("sync", "--json", env=env, timeout=60)
            have = rows(b)
            if reason is None:
                check(f"{name}: left out and counted", code == 0 and json.loads(out)["unreadable"] == 1, (code, out, err))
                check(f"{name}: what is there stays as it is", have[:5] == first[:5], have)
            else:
                check(f"{name}: exit 1 with the reason", code == 1 and reason in err, (code, out, err))
                check(f"{name}: nothing is deleted, nothing changed", have == first, have)
                check(f"{name}: the reason is in the status", reason in (status_error(b) or ""), status_error(b))
            check(f"{name}: not the key", ls.key not in out + err + b.get("/status").body.decode())
            # as it was: the sixth is back
            ls.fault, p.annotations[6] = None, gone
            code, out, err = prelabel("sync", "--json", env=env)
            check(f"{name}: well again, in line", code == 0 and json.loads(out)["unreadable"] == 0 and rows(b) == first and status_error(b) is None,
                  (code, out, err, rows(b)))
            del p.annotations[6]


def r29_slow_without_end():
    """A byte now and then: given up after 15 s, and the lease is kept meanwhile."""
    p = Project()
    with Studio(p) as ls, Server(LABEL_STUDIO_HOST=ls.url, **QUIET) as b:
        b.version(p)
        feed(b, p.some(3))
        before = rows(b)
        ls.fault = drip
        began = time.time()
        code, out, err = prelabel("sync", env=dict(b.env, LABEL_STUDIO_API_KEY=ls.key), timeout=60)
        check("given up after about 15 s", code == 1 and "less than 1 KB/s" in err and 12 < time.time() - began < 40, (code, err, time.time() - began))
        check("nothing changed", rows(b) == before)


def r18_sync_redirected():
    """No other host hears of the key, whichever call is redirected."""
    p = Project()
    for kind in ("pat", "legacy"):
        with Studio(p, kind=kind) as ls, Studio(p, kind=kind) as other, Server(LABEL_STUDIO_HOST=ls.url, **QUIET) as b:
            b.version(p)
            for where in ("/export", "/api/projects/1", "/api/token/refresh"):
                if kind == "legacy" and "token" in where:
                    continue

                def away(h, path, where=where):
                    if where not in path:
                        return False
                    h.reply(302, b"", [("Location", other.url + h.path)])
                    return True
                ls.fault = away
                code, _, err = prelabel("sync", env=dict(b.env, LABEL_STUDIO_API_KEY=ls.key))
                check(f"{kind}: {where} redirected: not followed, and said", code == 1 and "redirects" in err and not other.seen, (code, err, other.seen))
                check(f"{kind}: {where}: the reason is in the status", "redirects" in (status_error(b) or ""), status_error(b))


