"""test_history.py - KEEP_HISTORY: what lies far back goes, what is in use stays, and every count goes on."""
import json
import sqlite3
import threading

from harness import Project, Server, check, feed, number, review, train, wait_for, wrong_predictions


def metric(b, name, **labels):
    for line in b.get("/metrics").body.decode().splitlines():
        if line.startswith("prelabel_" + name) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rsplit(" ", 1)[1])
    return None


def rows(b):
    """Of events, jobs, versions, and versions with weights."""
    return b.db("select (select count(*) from event), (select count(*) from train_job), (select count(*) from model_version),"
                " (select count(distinct version) from model_part)")[0]


def idle(b):
    return b.db("select count(*) from train_job where state in ('queued', 'running')") == [(0,)]


def t_old_records_go():
    with Server(START_TRAINING_EACH_N_UPDATES=5, KEEP_HISTORY=10, KEEP_VERSIONS=2) as b:
        p = Project()
        v = b.version(p)
        first = p.some(3)
        feed(b, first)
        b.hook(p.deleted(2))
        for i in range(16):
            feed(b, p.some(10, start=10 + 10 * i))
            v = b.wait_version(p, v)
        def short():
            n = rows(b)         # events that came since the last training are there, too
            return n[0] <= 10 + 5 and n[1] <= 10 + 1 and n[2] <= 10 and n[3] == 2
        check("ten events, jobs and versions, and two with weights", wait_for(lambda: idle(b) and short(), 20), rows(b))
        published = number(b.version(p))
        check("trained again and again", published >= 16, published)
        check("the newest of them", b.db("select max(row) from event") == b.db("select seq from sqlite_sequence where name = 'event'")
              and b.db("select max(number) from model_version")[0][0] == number(b.version(p)))
        check("the trainings that are gone are counted on", metric(b, "jobs", state="done") >= published, (metric(b, "jobs", state="done"), published))
        check("updates_total is that of all events", metric(b, "updates_total") == 164, metric(b, "updates_total"))
        check("the counter is below five", b.counter(p) in range(5), b.counter(p))
        check("sent again, the first events change nothing", {b.hook(e).status for e in first} == {200})
        check("what was deleted stays so", b.db("select deleted from annotation where id = 2") == [(1,)])
        check("no annotation is lost", b.db("select count(*) from annotation where deleted = 0") == [(162,)])
        code, out, err = b.cli("versions", "--project", 1, "--json")
        listed = [v["number"] for v in json.loads(out)] if code == 0 else err
        check("prelabel versions lists those that are there, and the cold start", listed == [*range(published, published - rows(b)[2], -1), 0], listed)
        older = b.db("select v.name from model_version v join model_part m on m.version = v.row order by v.number limit 1")[0][0]
        code, out, err = b.cli("rollback", older, "--project", 1)
        check("the version before can still be served", code == 0 and b.version(p) == older, (code, out, err))
        check("and predicts", not wrong_predictions(b.predict(p, ["great food"]), 1, p, version=older))


def t_one_is_enough():
    """KEEP_HISTORY=1: the status still tells of the last training, and trainings go on."""
    with Server(START_TRAINING_EACH_N_UPDATES=1000, KEEP_HISTORY=1, KEEP_VERSIONS=1) as b:
        p = Project()
        v = b.version(p)
        feed(b, p.some(8))
        for n in (1, 2, 3):
            v = train(b, p, v)
            check(f"version {n}", number(v) == n, v)
        wait_for(lambda: rows(b) == (1, 1, 1, 1), 20)
        check("one of each", rows(b) == (1, 1, 1, 1), rows(b))
        code, out, err = b.cli("status", "--json")
        check("prelabel status tells of the training", code == 0 and "done" in out, (code, out, err))
        check("it is counted as the third", metric(b, "jobs", state="done") == 3, metric(b, "jobs", state="done"))


def t_events_that_change_nothing_leave_no_row():
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p = Project()
        b.version(p)
        e = p.labelled("great food", "positive")
        check("stored", b.hook(e).status == 201)
        b.hook(p.event("PROJECT_UPDATED"))         # its title was not known
        before = b.db("select count(*), max(row) from event")
        heard = b.db("select webhook_s from project")[0][0]
        for _ in range(20):
            b.hook(e)
            b.hook(p.event("PROJECT_UPDATED"))
            b.hook({"action": "ANNOTATION_CREATED"})
        after = b.db("select count(*), max(row) from event")
        check("repeats, a project as it was, events without payload: no row", after == before, (before, after))
        check("they were heard", b.db("select webhook_s from project")[0][0] >= heard)
        check("and those without payload remembered", b.db("select unread from project") == [(20,)], b.db("select unread from project"))


def t_a_long_past_is_cleared_while_events_come():
    """An upgrade of a store with a long past: events pass between the deletions."""
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p = Project()
        v = b.version(p)
        feed(b, p.some(8))
        b.stop()
        db = sqlite3.connect(b.dir + "/prelabel.sqlite3")
        db.executemany("insert into event (project, received_us, source, action, changed) values (1, 1, 'webhook', 'ANNOTATION_UPDATED', 0)", [()] * 60000)
        db.commit()
        db.close()
        b.start()
        answers, stop = [], threading.Event()

        def send():
            i = 0
            while not stop.is_set():
                answers.append(b.hook(p.labelled(review("positive", 1000 + i), "positive")))
                i += 1
                stop.wait(0.02)
        t = threading.Thread(target=send)
        t.start()
        b.hook(p.event("START_TRAINING"))
        short = wait_for(lambda: rows(b)[0] <= 1000 + len(answers), 60)
        stop.set()
        t.join()
        check("60,000 old events are gone", short, rows(b))
        check("every event that came meanwhile is stored", {a.status for a in answers} == {201}, [str(a) for a in answers if a.status != 201][:2])
        check("the training published", number(b.version(p)) == 1, (v, b.version(p)))
