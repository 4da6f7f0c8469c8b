"""test_predict.py - POST /predict: one entry a task, in order, within the labels of the config."""
import contextlib
import json
import math
import os
import re
import sqlite3
import tempfile

from harness import BUILD, SLOW, Cgi, Project, Server, both, check, content, entries, feed, label_of, number, review, train, wrong_predictions


def trained(open_backend, p, n=12, **kw):
    b = open_backend(**dict({"START_TRAINING_EACH_N_UPDATES": 1000}, **kw))
    b.__enter__()
    try:
        feed(b, p.some(n))
        train(b, p)
    except BaseException:
        b.__exit__(None, None, None)
        raise
    return b


@both
def t_one_entry_a_task(open_backend):
    p = Project()
    b = trained(open_backend, p, n=24)
    try:
        v = b.version(p)
        check("a version was trained", number(v) == 1, v)
        texts = [review(p.labels[i % 2], i + 50) for i in range(100)]
        singles = {t: entries(b.predict(p, [t]))[0] for t in texts[:12]}
        for n in (1, 2, 100):
            a = b.predict(p, texts[:n])
            why = wrong_predictions(a, n, p, version=v)
            check(f"{n} tasks: {n} entries of the version of setup", not why, why)
            if not why:
                check(f"{n} tasks: in the order of the tasks", all(singles[t] == e for t, e in zip(texts[:12], entries(a))))
        back = entries(b.predict(p, texts[::-1]))
        check("reversed tasks, reversed entries", back == entries(b.predict(p, texts))[::-1])
        right = sum(label_of(e) == p.labels[i % 2] for i, e in enumerate(entries(b.predict(p, texts))))
        check("and it has learned (95 of 100)", right >= 95, right)
        check("scores differ from text to text", len({e["score"] for e in entries(b.predict(p, texts))}) > 20)
        check("asked again: the same bytes", b.predict(p, texts).body == b.predict(p, texts).body)
    finally:
        b.__exit__(None, None, None)


def t_two_thousand_tasks():
    with Server() as b:
        p = Project(1, ["positive", "negative", "neutral"])
        texts = [review(p.labels[i % 3], i) + f" {i}" for i in range(2000)]
        b.warm()
        a = b.timed(lambda: b.post("/predict", p.predict_body(texts), timeout=60))
        why = wrong_predictions(a, 2000, p)
        check("2000 tasks: 2000 entries", not why, why)
        check("2000 tasks within 10 s", a.seconds < 10 * SLOW, a.seconds)
        body = p.predict_body(texts[:300])
        for t in body["tasks"]:     # former predictions and annotations travel along
            t["predictions"] = [{"id": i, "result": [p.region("positive")], "score": .5, "model_version": "v"} for i in range(40)]
            t["annotations"] = [p.annotation(1, 1, "positive")] * 5
        why = wrong_predictions(b.post("/predict", body), 300, p)
        check(f"tasks with all their history ({len(json.dumps(body)) >> 20} MB)", not why, why)


@both
def t_bare_tasks(open_backend):
    with open_backend() as b:
        p = Project()
        a = b.post("/predict", {"tasks": [{"data": {"text": "a positive thing"}}, {"id": None, "data": {"text": "x"}}, {"id": 7, "data": {"text": "x"}}, {"id": 7, "data": {"text": "x"}}],
                                "project": p.key, "label_config": p.config})
        why = wrong_predictions(a, 4, p)
        check("tasks of data alone, without an id, with the same id: an entry each", not why, why)


@both
def t_no_tasks(open_backend):
    with open_backend() as b:
        a = b.predict(Project(), [])
        check("no tasks: 200 and no results", a.status == 200 and a.json == {"results": []}, a)


@both
def t_text_of_any_type_is_empty_text(open_backend):
    p = Project()
    b = trained(open_backend, p)
    try:
        empty = entries(b.predict(p, [""]))
        odd = [{}, {"text": None}, {"text": 5}, {"text": 1.5e300}, {"text": True}, {"text": []}, {"text": ["great"]}, {"text": {"a": "great"}},
               {"other": "great food"}]
        a = b.predict(p, odd)
        why = wrong_predictions(a, len(odd), p)
        check("missing, null, number, list, object: answered", not why, why)
        check("as the empty text is", not why and all(e == empty[0] for e in entries(a)), a)
        check("a text of unknown words as well", entries(b.predict(p, ["zzz qqq"])) == empty)
    finally:
        b.__exit__(None, None, None)


@both
def t_data_missing(open_backend):
    with open_backend() as b:
        p = Project()
        for name, spoil in (("missing", lambda t: t.pop("data")), ("null", lambda t: t.update(data=None)), ("a string", lambda t: t.update(data="x")),
                            ("a list", lambda t: t.update(data=[])), ("a number", lambda t: t.update(data=3))):
            body = p.predict_body(["x"] * 5)
            spoil(body["tasks"][3])
            a = b.post("/predict", body)
            check(f"data {name}: 422 that names tasks[3].data", a.status == 422 and not a.error_form() and "tasks[3].data" in a.json["error"], a)
        for name, task in (("null", None), ("a string", "x"), ("a list", [])):
            body = p.predict_body(["x"] * 5)
            body["tasks"][2] = task
            a = b.post("/predict", body)
            check(f"a task that is {name}: 422 that names tasks[2]", a.status == 422 and not a.error_form() and "tasks[2]" in a.json["error"], a)


@both
def t_wrong_shapes(open_backend):
    with open_backend() as b:
        p = Project()
        ok = p.predict_body(["x"])
        for name, body, word in (
                ("tasks missing", {k: v for k, v in ok.items() if k != "tasks"}, "tasks"), ("tasks null", dict(ok, tasks=None), "tasks"),
                ("tasks an object", dict(ok, tasks={}), "tasks"), ("tasks a string", dict(ok, tasks="x"), "tasks"),
                ("label_config a number", dict(ok, label_config=3), "label_config"), ("label_config a list", dict(ok, label_config=[]), "label_config"),
                ("project a list", dict(ok, project=[1]), "project"), ("project words", dict(ok, project="one.two"), "project"),
                ("project beyond 2^63", dict(ok, project="9223372036854775808.1"), "project"),
                ("an array", [ok], ""), ("a number", 4, ""), ("an empty object", {}, "tasks")):
            a = b.post("/predict", body)
            check(f"422 that names the field: {name}", a.status == 422 and not a.error_form() and word in a.json["error"], lambda: f"{a} {a.error_form()}")
        for name, body in (("params missing", p.predict_body(["x"], drop=["params"])), ("params null", p.predict_body(["x"], params=None)),
                           ("context an empty object", p.predict_body(["x"], context={})), ("unknown keys", p.predict_body(["x"], model_version="v", more={"a": 1}))):
            why = wrong_predictions(b.post("/predict", body), 1, p)
            check(f"taken: {name}", not why, why)


@both
def t_label_config_absent(open_backend):
    with open_backend() as b:
        p = Project(5, ["one label", "other label"])
        body = p.predict_body(["other label"], drop=["label_config"])
        a = b.post("/predict", body)
        check("no label_config, project unknown: 422", a.status == 422 and not a.error_form() and "label_config" in a.json["error"], a)
        v = b.version(p)
        why = wrong_predictions(b.post("/predict", body), 1, p, version=v)
        check("no label_config: the stored one", not why, why)
        # null stands for absent or is a wrong type: both are readings of interface.md.
        a = b.post("/predict", dict(body, label_config=None))
        check("label_config null: the stored one, or 422", a.status in (200, 422), a)


def t_elements_that_are_kept():
    """A plain CGI program needs no libxml2 for the config that is kept; one that differs, or was kept by an older prelabel, is parsed."""
    p, other = Project(1), Project(1, ["positive", "negative", "neutral"])
    with open(os.path.join(BUILD, "cgi/predict"), "rb") as f:
        library = re.search(rb"libxml2\.so[.0-9]*", f.read())
    if library is None:
        check("libxml2 is linked: nothing is opened", b"Extra content at the end of the document" in content(os.path.join(BUILD, "cgi/predict")))
        return
    with Cgi() as b, tempfile.TemporaryDirectory() as none:
        open(os.path.join(none, library[0].decode()), "w").close()

        def asked(project=p, without=False, **kw):
            if without:
                b.env["LD_LIBRARY_PATH"] = none
            try:
                return b.post("/predict", project.predict_body(["a positive thing"], **kw))
            finally:
                b.env.pop("LD_LIBRARY_PATH", None)

        def kept(value=None):
            if value is not None:
                with contextlib.closing(sqlite3.connect(b.dir + "/prelabel.sqlite3")) as db:
                    db.execute("update project set config_elements = " + value)
                    db.commit()
            return b.db("select config_elements from project")[0][0]

        v = b.version(p)
        elements, answer = kept(), asked()
        check("elements are kept, as JSON", elements is not None and [e[0] for e in json.loads(elements)[1:] if e] ==
              ["View", "Text", "Choices", "Choice", "Choice"], elements)
        for name, kw in (("with the config", {}), ("without", {"drop": ["label_config"]})):
            a = asked(without=True, **kw)
            check(f"{name}, and without libxml2: the same answer", a.status == 200 and a.body == answer.body, a)
        a = asked(other, without=True)
        check("another config, without libxml2: 503", a.status == 503, a)
        a = asked(other)
        check("another config is parsed", not wrong_predictions(a, 1, other), a)
        for name, value in (("an older row", "NULL"), ("damaged", "replace(config_elements, 'positive', 'positivf')"),
                            ("cut off", "substr(config_elements, 1, 90)"), ("empty", "''"), ("not JSON", "'x'"),
                            ("another config's", "'" + kept().replace("'", "''") + "x'")):
            broken, a, missing = kept(value), asked(), asked(without=True)
            check(f"{name}: the config is parsed", a.body == answer.body and missing.status == 503, (a, missing))
            check(f"{name}: /predict leaves it", kept() == broken)
            kept("'" + elements.replace("'", "''") + "'")
        kept("NULL")
        check("an older row: /setup keeps the elements", b.version(p) == v and kept() == elements, kept())
        kept("NULL")
        b.hook(p.event("PROJECT_UPDATED"))
        check("an older row: an event with the config keeps the elements", kept() == elements, kept())
        b.version(other)
        check("a new config: its elements", '"neutral"' in kept() and asked(other, without=True).status == 200, kept())


@both
def t_predict_writes_nothing(open_backend):
    """architecture.md 4: reads only; an unknown project leaves no row."""
    with open_backend() as b:
        b.version(Project(1))
        b.predict(Project(77, ["x label", "y label"]), ["x"])
        check("no project row from a prediction", b.db("select count(*) from project") == [(1,)])


@both
def t_always_within_the_config(open_backend):
    three = Project(1, ["positive", "negative", "neutral"])
    b = trained(open_backend, three, n=30)
    try:
        v = b.version(three)
        texts = [review(three.labels[i % 3], i) for i in range(30)] + ["", "zzz"]
        full = entries(b.predict(three, texts))
        check("three labels trained", number(v) == 1 and {label_of(e) for e in full} == set(three.labels), v)
        two = Project(1, ["positive", "negative"])
        a = b.predict(two, texts)
        why = wrong_predictions(a, len(texts), two)
        check("label removed: predictions never name it", not why, why)
        w = entries(a)[0]["model_version"]
        check("label removed: another version string at once, which setup tells too", w != v and b.version(two) == w, (v, w))
        if not why:
            # Renormalised: p(a | a or b).  Where the winner stays, the new score is at least the old one, and at least 1/2.
            check("label removed: the rest is renormalised", all(n["score"] >= o["score"] - 1e-12 and n["score"] >= .5 - 1e-9
                                                                 for o, n in zip(full, entries(a)) if label_of(o) == label_of(n))
                  and any(n["score"] > o["score"] + 1e-6 for o, n in zip(full, entries(a))))
        four = Project(1, ["positive", "negative", "neutral", "brand new"])
        a = b.predict(four, texts)
        why = wrong_predictions(a, len(texts), four, labels=four.labels)
        check("label added: answered within the four", not why, why)
        new = Project(1, ["yes", "no"])
        a = b.predict(new, texts)
        got = entries(a) or []
        check("all labels replaced: within the new ones", a.status == 200 and len(got) == len(texts) and
              all(label_of(e) in new.labels and 0 <= e["score"] <= 1 for e in got), a)
    finally:
        b.__exit__(None, None, None)


def t_renormalised_exactly():
    """Removing a label divides by the rest: with the three probabilities from the command line, the two of the smaller config are known."""
    p = Project(1, ["positive", "negative", "neutral"])
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b:
        feed(b, p.some(30))
        check("trained", number(train(b, p)) == 1)
        texts = [review(p.labels[i % 3], i) for i in range(9)]
        code, out, err = b.cli("predict", "--project", 1, "-", stdin="\n".join(texts) + "\n")
        rows = [json.loads(line) for line in out.splitlines()]
        check("probabilities from prelabel predict", code == 0 and len(rows) == 9 and all(set(r["probabilities"]) == set(p.labels) for r in rows), (code, out[:300], err))
        two = Project(1, ["positive", "negative"])
        got = entries(b.predict(two, texts))
        worst = 0.0
        for r, e in zip(rows, got):
            q = r["probabilities"]
            worst = max(worst, abs(e["score"] - max(q["positive"], q["negative"]) / (q["positive"] + q["negative"])))
        check("score = p / (sum of what is left), 1e-9", worst < 1e-9, worst)


def t_online_is_offline():
    p = Project(1, ["positive", "negative", "neutral"])
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b:
        feed(b, p.some(30))
        train(b, p)
        texts = [review(p.labels[i % 3], i) for i in range(20)] + ["", "Ünï cödé", "a b c"]
        code, out, err = b.cli("predict", "--project", 1, "-", stdin="".join(json.dumps({"text": t}) + "\n" for t in texts))
        rows = [json.loads(line) for line in out.splitlines()]
        got = entries(b.predict(p, texts))
        check("prelabel predict and POST /predict: same labels, same scores",
              len(rows) == len(got) and all(r["label"] == label_of(e) and abs(r["score"] - e["score"]) < 1e-12 for r, e in zip(rows, got)), (code, err, len(rows)))
        check("probabilities sum to 1", all(abs(math.fsum(r["probabilities"].values()) - 1) < 1e-9 for r in rows))
        check("the score is the largest", all(abs(max(r["probabilities"].values()) - r["score"]) < 1e-12 for r in rows))


@both
def t_interactive_context(open_backend):
    with open_backend() as b:
        p = Project()
        plain = b.predict(p, ["a positive thing"])
        ctx = {"result": [dict(p.region("negative"), id="abc", origin="manual")]}
        a = b.post("/predict", p.predict_body(["a positive thing"], context=ctx))
        why = wrong_predictions(a, 1, p, version=b.version(p))
        check("a context of choices: one well-formed entry", not why, why)
        for name, c in (("empty object", {}), ("null", None), ("result empty", {"result": []})):
            check(f"context {name}: as without", b.post("/predict", p.predict_body(["a positive thing"], context=c)).body == plain.body)
        for name, c in (("a list", []), ("a string", "x"), ("result a string", {"result": "x"}), ("regions of no form", {"result": [1, None, {}]})):
            a = b.post("/predict", p.predict_body(["x"], context=c))
            check(f"context {name}: 200 or 422", a.status == 200 or a.status == 422 and not a.error_form(), a)


@both
def t_unicode(open_backend):
    p = Project(1, ["хорошо", "плохо"])
    b = open_backend(START_TRAINING_EACH_N_UPDATES=1000)
    with b:
        good, bad = "İstanbul ΑΣ ΣΑΣ ǅ 很好 é", "ужасно ²½ ⅷ 🙂 हिन्दी"
        events = [p.labelled(good + f" {i}", "хорошо") for i in range(4)] + [p.labelled(bad + f" {i}", "плохо") for i in range(4)]
        feed(b, events)
        v = train(b, p)
        got = entries(b.predict(p, [good, bad, good.lower(), bad.upper()]))
        check("texts beyond ASCII are learned, case does not matter", number(v) == 1 and [label_of(e) for e in got] == ["хорошо", "плохо"] * 2, got)
        raw = json.dumps(p.predict_body(["x"]))
        lone = raw.replace('"x"', '"\\ud800 a\\u0000b \\udc00\\ud83d\\ude00"', 1)
        a = b.post("/predict", lone.encode())
        check("lone surrogates and NUL in a text: answered", not wrong_predictions(a, 1, p), a)
        a = b.post("/predict", json.dumps(p.predict_body([good]), ensure_ascii=False).encode())
        check("UTF-8 as it is and \\u escapes: the same", a.body == b.predict(p, [good]).body)
        check("the answer names labels in a readable way", a.json["results"][0]["result"][0]["value"]["choices"] == ["хорошо"], a)


@both
def t_long_text(open_backend):
    with open_backend() as b:
        p = Project()
        b.warm()
        a = b.timed(lambda: b.predict(p, ["positive word " * 40000, "x" * 500000, " " * 100000]))
        check("texts of half a megabyte", not wrong_predictions(a, 3, p), lambda: wrong_predictions(a, 3, p))
        check("within 5 s", a.seconds < 5 * SLOW, a.seconds)


@both
def t_project_forms(open_backend):
    with open_backend() as b:
        p = Project(3, ["a word", "b word"])
        v = b.version(p)
        for name, project in (("ID.SECONDS", p.key), ("ID alone", "3"), ("an integer", 3)):
            a = b.post("/predict", p.predict_body(["x"], project=project))
            # protocol.md 4.2 has the string with the seconds; --project N, and the id alone, mean the newest row.
            check(f"project as {name}", a.status == 200 and entries(a)[0]["model_version"] == v or name == "an integer" and a.status == 422, a)
        a = b.post("/predict", p.predict_body(["x"], drop=["project"]))
        check("no project, but a config: cold, or 422", a.status == 200 and not wrong_predictions(a, 1, p) or a.status == 422, a)


def t_memory_of_many_tasks():
    """However many tasks a request has, it takes the memory of its body, not that of its answer too."""
    p, n = Project(), 30000

    def peak(b):
        with open(f"/proc/{next(pid for pid, c in b.tree().items() if os.path.basename(c.split(' ')[0]) == 'predict')}/status", encoding="utf-8") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
    with Server(START_TRAINING_EACH_N_UPDATES=1000, WORKERS=1, THREADS=1) as b:
        v0 = b.version(p)
        b.predict(p, ["great food"])
        least = peak(b)
        body = json.dumps(p.predict_body([f"{i} " + "great food " * 50 for i in range(n)])).encode()
        a = b.post("/predict", body, timeout=60)
        more = peak(b) - least
        got = entries(a) or []
        check("30,000 tasks: an entry each", len(got) == n and not any(wrong_predictions(a, n, p, version=v0)), a)
        check("memory beyond that of one task: the body and less than half of the answer", more < (len(body) // 1024 + len(a.body) // 2048) * SLOW,
              f"{more} kB, the body has {len(body) // 1024} kB, the answer {len(a.body) // 1024} kB")
