"""test_setup.py - POST /setup: label config in, version out; what the version string depends on."""
import os
import re
import tempfile
import time

from harness import BUILD, NER, SLOW, Project, Server, VERSION, both, check, choices_config, content, digest, entries, feed, number, train, wait_for, wrong_predictions


def t_a_broken_process_goes_on():
    """Where libxml2 could not be opened, dlopen() may never open it again in that process: another takes its place."""
    with open(os.path.join(BUILD, "cgi/setup"), "rb") as f:
        library = re.search(rb"libxml2\.so[.0-9]*", f.read())
    if library is None or os.environ.get("HTTP_CMD"):
        check("libxml2 is linked, or the programs are another's: not looked at", os.path.exists(os.path.join(BUILD, "cgi/setup")))
        return
    with tempfile.TemporaryDirectory() as none:
        fake = os.path.join(none, library[0].decode())
        open(fake, "w").close()
        with Server(LD_LIBRARY_PATH=none) as b:
            p = Project()
            first = {pid for pid, command in b.tree().items() if command.endswith("setup")}
            a = b.setup(p)
            check("libxml2 can't be opened: 503", a.status == 503 and not a.error_form(), a)
            os.unlink(fake)
            deadline = time.time() + 10 * SLOW
            while time.time() < deadline and first <= set(b.tree()):
                time.sleep(0.05)
            check("that process has ended", bool(first) and not first <= set(b.tree()), (first, b.tree()))
            a = b.setup(p)
            while time.time() < deadline and a.status != 200:
                time.sleep(0.05)
                a = b.setup(p)
            check("and the next one reads the config", a.status == 200, f"{a} {b.log_text()[-600:]}")


@both
def t_cold_start(open_backend):
    with open_backend() as b:
        p = Project()
        b.warm()
        a = b.timed(lambda: b.setup(p))
        check("200 and exactly a model_version", a.status == 200 and isinstance(a.json, dict) and set(a.json) == {"model_version"}, a)
        v = b.version(p)
        check("tfidf_logreg-0-<hex>", bool(VERSION.match(v or "")) and number(v) == 0, v)
        check("asked again: the same", b.version(p) == v)
        check("within 3 s", a.seconds < 3 * SLOW)
        a = b.predict(p, ["a positive thing", "quite negative"])
        why = wrong_predictions(a, 2, p, version=v)
        check("predictions carry the version of setup", not why, why)
        check("cold start knows the label names", not why and [e["result"][0]["value"]["choices"] for e in a.json["results"]] == [["positive"], ["negative"]], a)


@both
def t_predict_before_setup(open_backend):
    with open_backend() as b:
        p = Project(7, ["a label", "another"])
        why = wrong_predictions(b.predict(p, ["another one"]), 1, p)
        check("an unknown project is predicted cold", not why, why)
        v = (entries(b.predict(p, ["x"])) or [{}])[0].get("model_version")
        check("predict before setup tells the version of setup", v and v == b.version(p), v)


@both
def t_hash_depends_on(open_backend):
    with open_backend() as b:
        base = Project(1, ["alpha", "beta"])
        v = b.version(base)
        check("the label set is in the hash", digest(b.version(Project(2, ["alpha", "gamma"]))) not in (None, digest(v)))
        check("one label more, another hash", digest(b.version(Project(3, ["alpha", "beta", "gamma"]))) not in (None, digest(v)))
        check("the project is not: same labels, same string", b.version(Project(4, ["alpha", "beta"])) == v)
        check("nor the order of the labels (a set)", b.version(Project(5, ["beta", "alpha"])) == v)
        check("nor a header and the order of attributes", b.version(Project(6, ["alpha", "beta"], config=choices_config(
            ["alpha", "beta"], extra='<Header value="Say"/>').replace('choice="single" showInLine="true"', 'showInLine="true" choice="single"'))) == v)
        changed = Project(1, ["alpha", "beta", "delta"])
        v2 = b.version(changed)
        check("a changed label set changes the string at once", v2 and v2 != v and number(v2) == 0, (v, v2))
        check("and back brings the old one back", b.version(base) == v)


def t_hash_and_settings():
    p = Project()
    with Server() as b:
        v = b.version(p)
    with Server(LOGISTIC_REGRESSION_C=5) as b:
        check("C is in the hash", digest(b.version(p)) not in (None, digest(v)))
    with Server(TOKEN_PATTERN="word1") as b:
        check("the token pattern is in the hash", digest(b.version(p)) not in (None, digest(v)))
    with Server(TRAIN_THREADS=3, WORKERS=1, THREADS=1, LOG_LEVEL="ERROR", START_TRAINING_EACH_N_UPDATES=3) as b:
        check("threads, workers, log level, N are not", b.version(p) == v)
    with Server(LOGISTIC_REGRESSION_C="10.0", TOKEN_PATTERN="word") as b:
        check("the defaults said aloud are the defaults", b.version(p) == v)


def t_setting_changes_hash_of_a_trained_version():
    p = Project()
    with Server() as b:
        feed(b, p.some(8))
        v = train(b, p)
        check("trained", number(v) == 1, v)
        b.stop()
        b.env["LOGISTIC_REGRESSION_C"] = "3"
        b.start()
        w = b.version(p)
        check("another C changes the hash of the version in force at once", w and digest(w) != digest(v), (v, w))
        # The new setting also starts a training: it may publish between two requests.
        for _ in range(3):
            before, answer, after = b.version(p), b.predict(p, ["great food"]), b.version(p)
            if before == after:
                break
        why = wrong_predictions(answer, 1, p, version=after)
        check("and predict agrees", not why, why)


# The first Choices over a Text is used; everything else is ordinary.
ORDINARY = {
    "alias": ('<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="Good one" alias="good"/><Choice value="bad"/></Choices></View>',
              ["good", "bad"]),
    "nested choices and views": ('<View><View style="x"><Text name="t" value="$text"/></View><View visibleWhen="region-selected"><Choices name="c" toName="t">'
                                 '<Choice value="good"><Choice value="very"/></Choice><View><Choice value="bad"/></View></Choices></View></View>', ["good", "very", "bad"]),
    "entities": ('<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="a&amp;b"/><Choice value="&#x3b1;&#946;"/>'
                 '<Choice value="&lt;c&gt; &quot;d&quot;"/></Choices></View>', ["a&b", "αβ", '<c> "d"']),
    "comment, declaration, single quotes": ("<?xml version='1.0' encoding='UTF-8'?><!-- a > b --><View><!-- <Choices name='x' toName='t'/> --><Text name='t' value='$text'/>"
                                            "<Choices name='c' toName='t'><Choice value='good'/><Choice value='bad'/></Choices></View>", ["good", "bad"]),
    "labels before": ('<View><Labels name="n" toName="t"><Label value="Person"/></Labels><Text name="t" value="$text"/><Choices name="c" toName="t">'
                      '<Choice value="good"/><Choice value="bad"/></Choices></View>', ["good", "bad"]),
    "choices over an image first": ('<View><Image name="i" value="$image"/><Choices name="ci" toName="i"><Choice value="cat"/></Choices><Text name="t" value="$text"/>'
                                    '<Choices name="c" toName="t"><Choice value="good"/><Choice value="bad"/></Choices></View>', ["good", "bad"]),
    "toName with two": ('<View><Image name="i" value="$image"/><Text name="t" value="$text"/><Choices name="c" toName="i,t"><Choice value="good"/><Choice value="bad"/>'
                        '</Choices></View>', ["good", "bad"]),
    "two choices": ('<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="good"/><Choice value="bad"/></Choices>'
                    '<Choices name="d" toName="t"><Choice value="other"/></Choices></View>', ["good", "bad"]),
    "unicode labels": ('<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="хорошо"/><Choice value="很差"/></Choices></View>', ["хорошо", "很差"]),
    "one-letter labels (no term at all)": ('<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="A"/><Choice value="B"/></Choices></View>', ["A", "B"]),
    "a single label": ('<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="only"/></Choices></View>', ["only"]),
    "the same label twice": ('<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="good"/><Choice value="good"/><Choice value="bad"/></Choices></View>', ["good", "bad"]),
}

# No cold model can be fitted (model.md 2 and 3): equal probabilities or an empty prediction are both in order.
NOTHING_TO_FIT = ("one-letter labels (no term at all)", "a single label")


@both
def t_ordinary_configs(open_backend):
    with open_backend() as b:
        for i, (name, (config, labels)) in enumerate(ORDINARY.items()):
            p = Project(20 + i, labels, config=config, name="c", to="t")
            v = b.version(p)
            check(f"config: {name}: a version", bool(v and VERSION.match(v)), lambda: b.setup(p))
            a = b.predict(p, ["a text", "", labels[-1]])
            why = wrong_predictions(a, 3, p, labels=labels, version=v)
            if name in NOTHING_TO_FIT and [e.get("result") for e in entries(a) or []] == [[]] * 3:
                why = ""
            check(f"config: {name}: predictions within its labels", not why, why)


EMPTY = {
    "Labels over Text": NER,
    "Choices over an image": '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="cat"/><Choice value="dog"/></Choices></View>',
    "no control": '<View><Text name="t" value="$text"/></View>',
    "toName of nothing": '<View><Text name="t" value="$text"/><Choices name="c" toName="x"><Choice value="a"/><Choice value="b"/></Choices></View>',
    "Choices without a choice": '<View><Text name="t" value="$text"/><Choices name="c" toName="t"></Choices></View>',
    "an empty View": "<View/>",
}


@both
def t_configs_without_choices_over_text(open_backend):
    with open_backend() as b:
        for i, (name, config) in enumerate(EMPTY.items()):
            p = Project(50 + i, [], config=config)
            v = b.version(p)
            check(f"no Choices over Text ({name}): setup 200 with a version", bool(v), lambda: b.setup(p))
            a = b.predict(p, ["a", "b"])
            got = entries(a) or []
            check(f"no Choices over Text ({name}): empty predictions, one a task",
                  a.status == 200 and len(got) == 2 and all(e.get("result") == [] and e.get("model_version") == v and
                                                             ("score" not in e or isinstance(e["score"], (int, float)) and 0 <= e["score"] <= 1) for e in got), a)
        a = b.get("/status?project=51")
        check("status gives the reason", a.status == 200 and "Choices" in a.body.decode(), a)


REFUSED = {
    "not XML": "hello", "empty": "", "cut": "<View><Text name='t'", "not closed": "<View><Text name='t' value='$text'></View>", "two roots": "<View/><View/>",
    "DOCTYPE": '<!DOCTYPE View><View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="a"/><Choice value="b"/></Choices></View>',
    "DOCTYPE with an entity": '<!DOCTYPE View [<!ENTITY e "x">]><View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="&e;"/></Choices></View>',
    "DOCTYPE after a comment": '<!-- x --><!DOCTYPE View SYSTEM "file:///etc/passwd"><View/>',
    "unknown entity": '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="&nope;"/></Choices></View>',
    "attribute twice": '<View><Text name="t" name="u" value="$text"/></View>', "bare &": "<View><Header value='a & b'/></View>",
    "NUL in it": "<View>\0</View>",
}


@both
def t_refused_configs(open_backend):
    with open_backend() as b:
        for name, config in REFUSED.items():
            p = Project(90, ["a", "b"], config=config or " ")
            a = b.post("/setup", dict(p.setup_body(), schema=config))
            check(f"setup 422: {name}", a.status == 422 and not a.error_form(), lambda: f"{a} {a.error_form()}")
            a = b.post("/predict", dict(p.predict_body(["x"]), label_config=config))
            check(f"predict 422: {name}", a.status == 422 and not a.error_form(), lambda: f"{a} {a.error_form()}")
        good = Project(90)
        v = b.version(good)
        b.post("/setup", dict(good.setup_body(), schema="<View"))
        check("a refused config leaves the stored one", b.version(good) == v and b.post("/predict", good.predict_body(["x"], drop=["label_config"])).status == 200)


@both
def t_wrong_shapes(open_backend):
    with open_backend() as b:
        p = Project()
        for name, body, word in (
                ("no schema", {"project": "1.2"}, "schema"), ("schema a number", {"project": "1.2", "schema": 4}, "schema"),
                ("schema null", {"project": "1.2", "schema": None}, "schema"), ("no project", {"schema": p.config}, "project"),
                ("project a list", {"schema": p.config, "project": []}, "project"), ("project not an id", {"schema": p.config, "project": "abc"}, "project"),
                ("project empty", {"schema": p.config, "project": ""}, "project"), ("project negative", {"schema": p.config, "project": "-4.5"}, "project"),
                ("project beyond 2^63", {"schema": p.config, "project": "99999999999999999999.1"}, "project"),
                ("project with text after", {"schema": p.config, "project": "1.2x"}, "project"),
                ("an array", [1], ""), ("a string", "x", ""), ("null", None, "")):
            a = b.post("/setup", b"null" if body is None else body)
            check(f"422 that names the field: {name}", a.status == 422 and not a.error_form() and word in a.json["error"], lambda: f"{a} {a.error_form()}")


@both
def t_ignored_fields(open_backend):
    with open_backend() as b:
        p = Project()
        v = b.version(p)
        for extra in ({"k": 1}, None, [1, {"a": None}], "text", 1.5):
            check(f"extra_params {extra!r} is ignored", b.post("/setup", p.setup_body(extra_params=extra)).json == {"model_version": v})
        check("unknown keys are ignored", b.post("/setup", p.setup_body(force_reload=True, other={"a": []})).json == {"model_version": v})
        body = p.setup_body()
        del body["hostname"], body["access_token"], body["extra_params"]
        check("hostname and access_token may be absent", b.post("/setup", body).json == {"model_version": v})
        raw = b"".join(content(b.dir + "/" + f) for f in ("prelabel.sqlite3", "prelabel.sqlite3-wal"))
        check("the access token is not in the store", b"e2e0e2e0" not in raw and len(raw) > 0)


def t_first_setups_at_once():
    import threading
    with Server() as b:
        p, got = Project(), []
        threads = [threading.Thread(target=lambda: got.append(b.setup(p))) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60 * SLOW)
        versions = {(a.json or {}).get("model_version") for a in got}
        check("twelve first setups at once: one version, one row", len(got) == 12 and len(versions) == 1 and versions != {None}
              and {a.status for a in got} == {200} and b.db("select count(*) from project") == [(1,)], lambda: [f"{a} {a.seconds:.1f} s" for a in got])


def t_changed_label_set_is_trained():
    """architecture.md 4, setup: a changed label set is a new version string and a job."""
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p = Project(1, ["positive", "negative", "neutral"])
        feed(b, p.some(30))
        v1 = train(b, p)
        p.labels.remove("neutral")
        v = b.version(p)
        check("the string changes at once", v and digest(v) != digest(v1), (v1, v))
        w = wait_for(lambda: (lambda x: x if number(x) == 2 else None)(b.version(p)), 90)
        check("and a training for the new label set follows by itself", w, lambda: (v, b.version(p), str(b.get("/status?project=1"))))


@both
def t_recreated_project_is_another(open_backend):
    """Same id, another creation second (protocol.md 4.2): nothing of the old one is used."""
    with open_backend(START_TRAINING_EACH_N_UPDATES=1000) as b:
        old, new = Project(1), Project(1, created="2027-01-01T00:00:00.000001Z")
        b.version(old)
        feed(b, old.some(4))
        b.version(new)
        check("the new project starts from nothing", b.hook(new.labelled("great", "positive")).json.get("counter") == 1)
        check("the old one goes on", b.hook(old.labelled("great", "positive")).json.get("counter") == 5)
        rows = b.db("select count(*) from project")
        check("two rows in project", rows == [(2,)], rows)


@both
def t_project_without_seconds(open_backend):
    """A project first heard of without its creation time is the same row when /setup tells it (interface.md)."""
    with open_backend(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p = Project(8)
        e = p.labelled("great", "positive")
        del e["project"]["created_at"]
        a = b.hook(e)
        check("an event without created_at is stored", a.status == 201 and a.json.get("counter") == 1, a)
        b.version(p)
        check("setup gives the seconds to that row", b.hook(p.labelled("bad", "negative")).json.get("counter") == 2)
        rows = b.db("select count(*) from project")
        check("one row in project", rows == [(1,)], rows)
        e = p.labelled("fine", "positive")
        del e["project"]["created_at"]
        check("an event without a time means the newest row", b.hook(e).json.get("counter") == 3)
