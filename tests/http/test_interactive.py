"""test_interactive.py - Labels over Text: selections found again while a person annotates, and spans learned from annotations."""
import json
import os
import random

from harness import HERE, NER, Project, Server, both, check, choices_config, digest, entries, feed, number, train

LABELS = '<Labels name="ner" toName="text"><Label value="Person"/><Label value="Place"/></Labels>'
BOTH = choices_config(["positive", "negative"], extra=LABELS)


def labels_project(**kw):
    return Project(1, ["Person", "Place"], config=NER, name="ner", **kw)


def region(start, end, label, text=None, **kw):
    value = {"start": start, "end": end, "labels": [label]}
    return dict({"id": "r", "from_name": "ner", "to_name": "text", "type": "labels", "origin": "manual",
                 "value": value if text is None else dict(value, text=text)}, **kw)


def mark(text, words):
    """A result: each word, wherever it stands, with its label."""
    out = []
    for w, label in words.items():
        at = text.find(w)
        while at >= 0:
            out.append(region(at, at + len(w), label, w))
            at = text.find(w, at + len(w))
    return {"result": out}


def found(entry):
    """[(start, end, text, label)] of the Labels regions of an entry."""
    return [(r["value"]["start"], r["value"]["end"], r["value"]["text"], *r["value"]["labels"]) for r in entry["result"] if r["type"] == "labels"]


def ask(b, p, text, *regions):
    a = b.post("/predict", p.predict_body([text], context={"result": list(regions)}))
    return a, (entries(a) or [{"result": []}])[0]


@both
def t_recorded(open_backend):
    with open(os.path.join(HERE, "protocol", "predict-interactive.json"), encoding="utf-8") as f:
        body = json.load(f)["body"]
    with open_backend() as b:
        a = b.post("/predict", body)
        e = entries(a)
        check("as recorded: the one place is annotated already, nothing is proposed", a.status == 200 and len(e) == 1 and e[0]["result"] == [], a)
        body["tasks"][0]["data"]["text"] = "Ann lives in Oslo. ANN, not Annual or Joann, is Ann."
        a = b.post("/predict", body)
        e = entries(a)[0]
        check("as recorded with a longer text: the other places, at words, in any case",
              found(e) == [(19, 22, "ANN", "Person"), (48, 51, "Ann", "Person")], a)
        check("each region as documented", all(r == {"from_name": "ner", "to_name": "text", "type": "labels", "score": 1,
                                                     "value": dict(r["value"])} and set(r["value"]) == {"start", "end", "text", "labels"} for r in e["result"]), e)
        check("score 1: a person said so", e["score"] == 1, e)
        check("of the version that setup tells", e["model_version"] == b.version(Project(2, created="2026-11-22T00:10:36Z", config=body["label_config"])) or
              number(e["model_version"]) == 0, e)


OFFSETS = [     # text, start and end of the selection, where else it is
    ("emoji", "😀 Ann 😀 met 👩‍👩‍👧 ann", 2, 5, [(18, 21)]),
    ("combining marks", "cafe\u0301 x cafe\u0301 cafe", 0, 5, [(8, 13)]),
    ("a word with a mark is another word", "cafe x cafe\u0301 cafe", 0, 4, [(13, 17)]),
    ("İ", "İzmir 😀 i\u0307zmir İZMIR", 0, 5, [(8, 14), (15, 20)]),
    ("ß and ss", "Straße, STRASSE, strasse", 0, 6, [(8, 15), (17, 24)]),
    ("a ligature", "ﬁsh fish FISH", 0, 3, [(4, 8), (9, 13)]),
    ("final sigma", "ΟΔΟΣ οδος οδοσ", 0, 4, [(5, 9), (10, 14)]),
    ("half of a letter is no match", "s s ß ss", 0, 1, [(2, 3)]),
    ("CRLF", "Ann\r\nBob\r\nAnn\r\n\r\nAnn", 0, 3, [(10, 13), (17, 20)]),
    ("a selection over a line break", "a\r\nb, a\r\nb", 0, 4, [(6, 10)]),
    ("right-to-left", "שלום עולם, שלום. \u202bשלום", 0, 4, [(11, 15), (18, 22)]),
    ("Arabic", "قال علي لعلي: علي", 4, 7, [(14, 17)]),
    ("within words, where it was selected so", "Hannah, Joanna, ann", 1, 4, [(10, 13), (16, 19)]),
    ("digits", "12 112 12", 0, 2, [(7, 9)]),
    ("no word", "(c) C++ c++; (C)", 4, 7, [(8, 11)]),
    ("NUL", "a\0b a\0b", 0, 3, [(4, 7)]),
    ("beyond the basic plane, in another case", "𐐀𐐁 x 𐐨𐐩", 0, 2, [(5, 7)]),
]


@both
def t_offsets(open_backend):
    with open_backend() as b:
        p = labels_project()
        for name, text, start, end, want in OFFSETS:
            want = [(s, e, text[s:e], "Person") for s, e in want]
            for said in (text[start:end], None):
                a, e = ask(b, p, text, region(start, end, "Person", said))
                check(f"offsets: {name}{'' if said else ', value.text absent'}", found(e) == want, lambda: f"{a} for {want}")


def t_what_is_there_is_not_proposed():
    with Server() as b:
        p = labels_project()
        text = "Ann Ann Ann Bob Bob"
        a, e = ask(b, p, text, region(0, 3, "Person"), region(12, 15, "Place"), region(4, 7, "Place"))
        check("several selections, several labels; annotated places are left alone",
              found(e) == [(8, 11, "Ann", "Person"), (16, 19, "Bob", "Place")], a)
        body = p.predict_body([text], context={"result": [region(0, 3, "Person")]})
        body["tasks"][0].update(annotations=[{"id": 1, "result": [region(4, 7, "Person"), region(8, 11, "Place")], "was_cancelled": False},
                                             {"id": 2, "result": [region(8, 11, "Person")], "was_cancelled": True}])
        check("what another annotation has with this label", found(entries(b.post("/predict", body))[0]) == [(8, 11, "Ann", "Person")])
        body["tasks"][0].update(drafts=[{"id": 3, "result": [region(8, 11, "Person")]}])
        check("or a draft", found(entries(b.post("/predict", body))[0]) == [])
        a, e = ask(b, p, "New York, York, New York", region(0, 8, "Place"), region(10, 14, "Person"))
        check("the longest: York within New York is none", found(e) == [(16, 24, "New York", "Place")], a)
        a, e = ask(b, p, text, region(0, 3, "Gone"))
        check("a label that the config lacks: an empty result", a.status == 200 and e["result"] == [] and e["score"] == 0, a)
        for name, value in (("null", None), ("a list", []), ("without offsets and text", {"labels": ["Person"]}), ("empty", {"start": 2, "end": 2, "labels": ["Person"]}),
                            ("negative", {"start": -1, "end": 2, "labels": ["Person"]}), ("huge", {"start": 0, "end": 10**30, "labels": ["Person"]}),
                            ("real", {"start": 0.5, "end": 2.5, "labels": ["Person"]}), ("labels of no form", {"start": 0, "end": 3, "labels": [1, None, {}]}),
                            ("labels a string", {"start": 0, "end": 3, "labels": "Person"})):
            a, e = ask(b, p, text, dict(region(0, 3, "Person"), value=value))
            check(f"a value that is {name}: an empty result", a.status == 200 and e["result"] == [], a)
        a, e = ask(b, p, text, dict(region(0, 3, "Person"), value={"text": "Bob", "labels": ["Person"]}))
        check("text without offsets is looked for", found(e) == [(12, 15, "Bob", "Person"), (16, 19, "Bob", "Person")], a)


def t_choices_and_labels():
    with Server(START_TRAINING_EACH_N_UPDATES=1000) as b:
        p = Project(1, ["positive", "negative"], config=BOTH)
        v0 = b.version(p)
        check("both kinds are in the version", v0.startswith("substring+tfidf_logreg-0-"), v0)
        text = "Ann says a positive thing to Bob"
        for i in range(6):
            label = p.labels[i % 2]
            t = f"Ann says a {label} thing {i}"
            feed(b, [p.labelled(t, {"result": [p.region(label)] + mark(t, {"Ann": "Person"})["result"]})])
        v1 = train(b, p)
        check("both are trained, in one version", number(v1) == 1 and v1.startswith("substring+tfidf_logreg-1-"), v1)
        for name, context in (("null", None), ("empty", {}), ("result empty", {"result": []})):
            e = entries(b.post("/predict", p.predict_body([text], context=context)))[0]
            chosen = [r for r in e["result"] if r["type"] == "choices"]
            check(f"context {name}: both answer in one prediction", found(e) == [(0, 3, "Ann", "Person")] and len(chosen) == 1 and
                  chosen[0]["value"] == {"choices": ["positive"]} and e["model_version"] == v1, e)
            check(f"context {name}: the score is the lowest of the two", e["score"] == min(r["score"] for r in e["result"]), e)
        a, e = ask(b, p, text, region(29, 32, "Place"))
        check("a selection: spans alone", a.status == 200 and e["result"] == [], a)
        a, e = ask(b, p, text, dict(p.region("negative"), id="c"))
        check("a choice made: choices alone", [r["type"] for r in e["result"]] == ["choices"], a)
        code, out, err = b.cli("predict", "--project", 1, "-", stdin=text + "\n")
        check("prelabel predict tells the choice, not the span", code == 0 and json.loads(out)["label"] == "positive", (code, out, err))


def t_labels_alone_learn():
    with Server(START_TRAINING_EACH_N_UPDATES=5) as b:
        p = labels_project()
        v0 = b.version(p)
        check("substring-0-<hash>", v0.startswith("substring-0-"), v0)
        check("nothing learned: an empty result", entries(b.predict(p, ["Ann in Oslo"]))[0] == {"model_version": v0, "score": 0, "result": []})
        text = "😀 Ann met Ann's friend in Oslo"
        for i in range(4):
            feed(b, [p.labelled(text, mark(text, {"Ann": "Person", "Oslo": "Place"} if i else {"Ann": "Place"}))])
        status = b.get("/status?project=1").json
        check("the status counts what is missing", status["counter"] == 4 and status["state"] == "waiting for 1 more annotation", status)
        feed(b, [p.labelled("none", None)])
        v1 = b.wait_version(p, v0)
        check("the fifth annotation trains", number(v1) == 1 and v1.startswith("substring-1-"), v1)
        e = entries(b.predict(p, ["oslo 😀 ANN, Anna"]))[0]
        check("learned texts are proposed", found(e) == [(0, 4, "oslo", "Place"), (7, 10, "ANN", "Person")] and e["model_version"] == v1, e)
        check("with the share of the label; the task with the lowest", [r["score"] for r in e["result"]] == [1, .75] and e["score"] == .75, e)
        status = b.get("/status?project=1").json
        check("status: version, examples, state", status["model_version"] == v1 and status["version"]["examples"] == 5 and status["version"]["kind"] == "substring" and
              status["state"].startswith("waiting for 5 more"), status)
        code, out, err = b.cli("status", "--project", "1")
        check("prelabel status names it", code == 0 and v1 in out, (code, out, err))
        code, out, err = b.cli("train", "--project", "1")
        v2 = b.version(p)
        check("trained again: a new number, the same hash", code == 0 and number(v2) == 2 and digest(v2) == digest(v1) and v2.startswith("substring-2-"), (out, err, v2))
        q = Project(1, ["Place"], config=NER.replace('<Label value="Person"/>', ""), name="ner")
        e = entries(b.predict(q, ["oslo 😀 ANN, Anna"]))[0]
        check("a label removed: its spans go to what is left, renormalised",
              found(e) == [(0, 4, "oslo", "Place"), (7, 10, "ANN", "Place")] and e["score"] == 1 and e["model_version"] != v2, e)
        e = entries(b.predict(Project(1, [], config=NER.replace("Person", "New").replace("Place", "Other"), name="ner"), ["oslo"]))[0]
        check("all labels replaced: an empty result", e["result"] == [], e)
        p2 = Project(3, ["Person", "Place"], config=NER, name="ner")
        b.version(p2)
        feed(b, [p2.labelled("none", None)])
        code, out, err = b.cli("train", "--project", "3")
        check("no span annotated: not trained, and the reason is told", "needs 1 annotated span, has 0" in out + err and
              "needs 1 annotated span, has 0" in b.get("/status?project=3").body.decode(), (code, out, err))


def t_large_text():
    r = random.Random(1)
    words = ["".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randint(2, 9))) for _ in range(20000)]
    text = " ".join(r.choice(words) for _ in range(170000))[:1 << 20]
    with Server() as b:
        p = labels_project()
        n = len(words[0])
        text = words[0] + " " + text
        took = sorted(ask(b, p, text, region(0, n, "Person"))[0].seconds for _ in range(9))
        a, e = ask(b, p, text, region(0, n, "Person"))
        check(f"1 MB, interactive: {len(e['result'])} places", len(e["result"]) > 0 and all(text[s:t] == words[0] == w for s, t, w, _ in found(e)), str(a)[:300])
        check("in less than a second", took[4] < 1, took)
        print(f"# 1 MB interactive through the web server: median {took[4] * 1000:.0f} ms", flush=True)


@both
def t_the_kinds_can_be_chosen(open_backend):
    """By extra_params for a project, by MODEL for all; unknown names in extra_params change nothing."""
    def kinds(b, p, **kw):
        version = b.post("/setup", p.setup_body(**kw)).json["model_version"]
        a = b.post("/predict", p.predict_body(["Ann is positive"]))
        return version.rsplit("-", 2)[0], sorted({r["type"] for r in entries(a)[0]["result"]}), version == entries(a)[0]["model_version"]

    with open_backend() as b:
        p = Project(1, config=BOTH)
        for extra, want in ((None, "substring+tfidf_logreg"), ({"model": "tfidf_logreg"}, "tfidf_logreg"), ({"model": "substring"}, "substring"),
                            ({"model": "tfidf_logreg+substring"}, "tfidf_logreg+substring"), ({"model": "nonsense"}, "substring+tfidf_logreg"),
                            ({"other": 1}, "substring+tfidf_logreg"), ("text", "substring+tfidf_logreg")):
            got = kinds(b, p, extra_params=extra)
            check(f"extra_params {extra}: {want}", got == (want, [] if want == "substring" else ["choices"], True), got)
    with open_backend(MODEL="tfidf_logreg") as b:
        got = kinds(b, Project(1, config=BOTH))
        check("MODEL: the kind for all projects", got == ("tfidf_logreg", ["choices"], True), got)
        got = kinds(b, Project(2, config=BOTH), extra_params={"model": "substring"})
        check("extra_params of a project before MODEL", got == ("substring", [], True), got)
