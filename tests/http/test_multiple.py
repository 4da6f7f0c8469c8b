"""test_multiple.py - choice="multiple", and Choices over HyperText and Paragraphs; text that looks like an address or a path."""
import json
import random
import socket
import threading

from harness import (Project, Server, check, digest, entries, feed, free_port, number, review, train, wrong_predictions)

QUIET = {"START_TRAINING_EACH_N_UPDATES": 1000}
TOPICS = {"food": "soup bread salad pizza sauce dish".split(), "service": "waiter staff rude friendly quick smile".split(),
          "price": "cheap bill euro value money fair".split()}


def said(topics, i):
    """The i-th text about these topics, with words that tell nothing."""
    r = random.Random(i * 7919 + len(topics))
    return " ".join(f"the {r.choice(TOPICS[t])} and {r.choice(TOPICS[t])} was {r.choice(TOPICS[t])}" for t in topics) + f" item{i}"


SETS = [["food"], ["price"], ["service"], ["food", "price"], ["service", "food"], ["price", "service"], ["food", "service", "price"]]


def topics_project(**kw):
    return Project(labels=list(TOPICS), choice="multiple", **kw)


def labels_of(entry):
    return entry["result"][0]["value"]["choices"] if entry["result"] else []


def multiple_wrong(entry, p):
    """'' when an entry has the documented form: labels of the config, each once, in its order; the score of the region that of the prediction."""
    if not (isinstance(entry["result"], list) and len(entry["result"]) == 1):
        return f"result {entry['result']!r}"
    r = entry["result"][0]
    got = r["value"]["choices"]
    if got != [v for v in p.labels if v in got] or not got:
        return f"choices {got!r}"
    if r["score"] != entry["score"] or not 0.5 <= entry["score"] <= 1:
        return f"scores {r['score']!r} {entry['score']!r}"
    return "" if set(r["value"]) == {"choices"} and r["type"] == "choices" else f"region {r!r}"


def t_multiple_from_cold_to_trained():
    with Server(**QUIET) as b:
        p = topics_project()
        b.setup(p)
        got = entries(b.predict(p, ["the food", "", "something"]))
        check("cold: at least one label, the form", len(got) == 3 and not any(multiple_wrong(e, p) for e in got), got)
        check("cold: the names stand for texts", labels_of(got[0]) == ["food"], got[0])
        v0 = b.version(p)
        feed(b, [p.labelled(said(s, i), s) for i in range(20) for s in SETS])
        v1 = train(b, p, v0)
        check("a version", number(v1) == 1 and digest(v1) != digest(v0), (v0, v1))
        asked = [(s, said(s, i)) for i in range(100, 104) for s in SETS]
        got = entries(b.predict(p, [t for _, t in asked]))
        why = [multiple_wrong(e, p) for e in got]
        check("every entry has the form", not any(why), why)
        right = sum(labels_of(e) == [v for v in p.labels if v in s] for (s, _), e in zip(asked, got))
        check("all labels of a text are found", right >= 24, f"{right} of {len(asked)}")
        check("several labels in one region", any(len(labels_of(e)) == 3 for e in got) and any(len(labels_of(e)) == 1 for e in got))
        check("nothing known: the best one alone", [len(labels_of(e)) for e in entries(b.predict(p, ["", "zzz qqq"]))] == [1, 1])
        code, out, err = b.cli("predict", "--project", str(p.id), stdin=asked[3][1] + "\n")
        j = json.loads(out)
        check("prelabel predict lists them", code == 0 and j["label"] == ["food", "price"] and abs(j["score"] - got[3]["score"]) < 1e-9, (out, err))
        proba = j["probabilities"]
        certainty = sum(max(x, 1 - x) for x in proba.values()) / len(proba)
        check("the score is the mean certainty", abs(certainty - j["score"]) < 1e-12 and [v for v in p.labels if proba[v] > 0.5] == j["label"], j)
        code, out, err = b.cli("evaluate", "--project", str(p.id), "--json")
        j = json.loads(out)
        check("evaluate: exact matches, F1 a label", code == 0 and j["n"] == 140 and j["accuracy"] > 0.7 and set(j["per_label"]) == set(p.labels)
              and j["per_label"]["food"]["support"] == 80 and j["confusion"] is None and 0 < j["log_loss"] < 0.7, out)
        rows = b.db("select label from v_example order by task")
        check("v_example: a line an example, all its labels", [json.loads(r[0]) for r in rows[:7]]
              == [[v for v in p.labels if v in s] for s in SETS] and len(rows) == 140, rows[:7])
        versions = json.loads(b.cli("versions", "--project", str(p.id), "--json")[1])
        check("140 examples", "140" in json.dumps(versions), versions)


def t_the_hash_covers_every_label():
    """Two stores that differ in one label of one example, which is not its first; and one that differs in nothing but order."""
    hashes = []
    for last in (["food", "price"], ["food", "service"], ["price", "food"]):
        with Server(**QUIET) as b:
            p = topics_project()
            v0 = b.version(p)
            feed(b, [p.labelled(said(s, i), s) for i in range(2) for s in SETS] + [p.labelled("the soup", last)])
            hashes.append(digest(train(b, p, v0)))
    check("another second label: another hash", hashes[0] != hashes[1], hashes)
    check("the same labels in another order: the same hash", hashes[0] == hashes[2], hashes)


def t_what_is_no_example():
    with Server(**QUIET) as b:
        p = topics_project()
        feed(b, [p.labelled(said(s, 1), s) for s in SETS])
        v1 = train(b, p)
        feed(b, [p.labelled("the soup", []), p.labelled("the soup", None), p.labelled("the soup", ["gone"]),
                 p.labelled("the soup", ["food"], was_cancelled=True)])
        v2 = train(b, p, v1)
        check("no choice, an unknown one, a skip teach nothing", digest(v1) == digest(v2) and len(b.db("select * from v_example")) == 7, (v1, v2))
        feed(b, [p.labelled("a soup", ["gone", "food"])])
        v3 = train(b, p, v2)
        rows = b.db("select label from v_example order by task desc limit 1")
        check("a removed label beside a known one: the known one", digest(v3) != digest(v2) and rows == [('["food"]',)], (v3, rows))
        two = p.region("food"), p.region("price")
        feed(b, [p.labelled("x soup", {"result": list(two)})])
        v4 = train(b, p, v3)
        rows = b.db("select label from v_example order by task desc limit 1")
        check("the choices of all regions", json.loads(rows[0][0]) == ["food", "price"] and digest(v4) != digest(v3), rows)


def t_choice_changes():
    """single to multiple: the version string changes at once, predictions go on, a training follows."""
    with Server(**QUIET) as b:
        p = Project(labels=list(TOPICS))
        feed(b, [p.labelled(said(s, i), s[0]) for i in range(4) for s in SETS])
        v1 = train(b, p)
        single = labels_of(entries(b.predict(p, ["soup bread"]))[0])
        p.choice = "multiple"
        b.setup(p)
        v2 = b.version(p)
        got = entries(b.predict(p, ["soup bread"]))
        check("the hash changes at once", digest(v2) != digest(v1), (v1, v2))
        check("predictions go on", labels_of(got[0]) == single and not multiple_wrong(got[0], p), got)
        v3 = b.wait_version(p, v2) if number(v2) == 1 else v2
        check("a training follows by itself", number(v3) == 2, v3)
        p.choice = "single"
        b.setup(p)
        why = wrong_predictions(b.predict(p, ["soup bread", ""]), 2, p)
        check("and back: one label", not why, why)


def t_labels_needed():
    with Server(**QUIET) as b:
        p = topics_project()
        feed(b, [p.labelled(said(["food"], i), ["food"]) for i in range(3)])
        b.hook(p.event("START_TRAINING"))
        state = b.get(f"/status?project={p.id}").json["state"]
        check("one label only: the reason", "needs 2 labels, has 1" in state or "training" in state, state)
        v = b.version(p)
        feed(b, [p.labelled("the bill", ["food", "price"])])
        w = train(b, p, v)
        check("a second one in one example is enough", (number(w) or 0) >= 1, (v, w, b.get(f"/status?project={p.id}").json))


def t_import_lists():
    with Server(**QUIET) as b:
        rows = "".join(json.dumps({"text": said(s, i), "label": s}) + "\n" for i in range(6) for s in SETS)
        path = f"{b.dir}/rows.jsonl"
        with open(path, "w", encoding="utf-8") as f:
            f.write(rows + '{"text": "x", "label": []}\n{"text": "x", "label": ["food", 7]}\n')
        code, out, err = b.cli("import", "--project", "5", path)
        check("lists of labels are imported", code == 0 and "42" in out + err, (out, err))
        code, out, err = b.cli("train", "--project", "5")
        code, out, err = b.cli("evaluate", "--project", "5", path, "--json")
        j = json.loads(out)
        check("the project has any number of labels a text", j["n"] == 42 and j["accuracy"] == 1 and j["unreadable"] == 2, out)
        with open(path, "w", encoding="utf-8") as f:
            f.write(json.dumps({"text": "soup bread", "label": ["food", "unknown"]}) + "\n")
        j = json.loads(b.cli("evaluate", "--project", "5", path, "--json")[1])
        check("a label that the config lacks: never right", j["n"] == 1 and j["accuracy"] == 0, j)


# ---- objects ------------------------------------------------------------------------------

def config_over(tag, attrs="", labels=("positive", "negative")):
    return (f'<View><{tag} name="text" value="$body" {attrs}/><Choices name="label" toName="text">'
            + "".join(f'<Choice value="{v}"/>' for v in labels) + "</Choices></View>")


def page(text):
    return (f"<html><head><style>.{text} {{ color: red }}</style><script>var misled = 'horrible awful broken';</script></head>"
            f"<body><!-- awful --><p class='awful'>{text.replace(' and ', ' &amp; and<br>')}</p></body></html>")


def talk(text):
    words = text.split()
    return [{"author": "awful", "text": " ".join(words[:4])}, {"author": "great", "text": " ".join(words[4:])}]


def over(tag, made, attrs=""):
    with Server(**QUIET) as plain, Server(**QUIET) as b:
        p = Project(config=config_over(tag, attrs), text="body")
        q = Project(config=config_over("Text"), text="body")
        texts = [review(v, i) for i in range(12) for v in p.labels]
        feed(b, [p.labelled({"body": made(t)}, gold(t, p)) for t in texts])
        feed(plain, [q.labelled({"body": t}, gold(t, p)) for t in texts])
        train(b, p), train(plain, q)
        asked = [review(v, i) for i in range(50, 60) for v in p.labels]
        got, want = entries(b.predict(p, [{"body": made(t)} for t in asked])), entries(plain.predict(q, [{"body": t} for t in asked]))
        why = wrong_predictions(b.predict(p, [{"body": made(t)} for t in asked]), len(asked), p)
        check(f"{tag}: served, trained", not why, why)
        check(f"{tag}: predicted is what is predicted of its text", [labels_of(e) for e in got] == [labels_of(e) for e in want]
              and sum(labels_of(e) == [gold(t, p)] for e, t in zip(got, asked)) >= 18, [labels_of(e) for e in got])
        check(f"{tag}: the probabilities too", max(abs(x["score"] - y["score"]) for x, y in zip(got, want)) < 1e-9,
              [(x["score"], y["score"]) for x, y in zip(got, want)][:3])
        code, out, err = b.cli("evaluate", "--project", str(p.id), "--json")
        check(f"{tag}: evaluate", code == 0 and json.loads(out)["accuracy"] > 0.8, (out, err))
        code, out, err = b.cli("predict", "--project", str(p.id), stdin="great lovely excellent <b>\n")
        check(f"{tag}: prelabel predict takes texts", code == 0 and json.loads(out)["label"] == "positive" and json.loads(out)["text"].endswith("<b>"), (out, err))
        strange = [{"body": 7}, {"body": None}, {}, {"body": {"text": "great"}}, {"body": [7, None, "great", {"text": 7}, {"author": "great"}]}, {"body": ""}]
        got = entries(b.predict(p, strange))
        check(f"{tag}: anything else is empty text", len(got) == 6 and len({e["score"] for e in got}) == 1, got)
        check(f"{tag}: the version has a hash of its own", digest(b.version(p)) != digest(plain.version(q)))


def gold(text, p):
    return next(v for v in p.labels if any(text == review(v, i) for i in range(70)))


def t_hypertext():
    over("HyperText", page)


def t_paragraphs():
    over("Paragraphs", talk, 'nameKey="author" textKey="text"')


def t_paragraphs_keys():
    with Server(**QUIET) as b:
        p = Project(config=config_over("Paragraphs", 'nameKey="who" textKey="said"'), text="body")
        feed(b, [p.labelled({"body": [{"who": "x", "said": review(v, i), "text": "same"}]}, v) for i in range(10) for v in p.labels])
        train(b, p)
        got = entries(b.predict(p, [{"body": [{"who": "great", "said": "awful terrible broken"}]}, {"body": [{"said": "great lovely excellent"}]},
                                    {"body": [{"text": "great lovely"}]}, {"body": []}]))
        check("textKey names the text", [labels_of(e) for e in got[:2]] == [["negative"], ["positive"]] and got[2]["score"] == got[3]["score"], got)


def t_nothing_is_opened():
    """Addresses and paths as texts, in every place that a browser or a parser would load: nobody connects, no file is read."""
    port, hits = free_port(), []
    trap = socket.socket()
    trap.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    trap.bind(("127.0.0.1", port))
    trap.listen()
    trap.settimeout(0.2)
    stop = threading.Event()

    def listen():
        while not stop.is_set():
            try:
                conn, _ = trap.accept()
                hits.append(1)
                conn.close()
            except OSError:
                pass

    t = threading.Thread(target=listen)
    t.start()
    try:
        with Server(**QUIET) as b:
            url = f"http://127.0.0.1:{port}/great"
            path = f"{b.dir}/secret.txt"
            with open(path, "w", encoding="utf-8") as f:
                f.write("great lovely excellent")
            html = (f'<!DOCTYPE html [<!ENTITY e SYSTEM "file://{path}">]><link rel=stylesheet href="{url}"><img src="{url}"><iframe src="{url}"></iframe>'
                    f'<script src="{url}"></script><object data="{url}"></object>&e;<base href="{url}"><meta http-equiv=refresh content="0;url={url}">')
            for n, (tag, attrs) in enumerate((("Text", ""), ("HyperText", ""), ("Paragraphs", ""), ("HyperText", 'saveTextResult="yes"'))):
                p = Project(pid=20 + n, config=config_over(tag, attrs), text="body")
                values = [url, path, f"file://{path}", html]
                data = [{"body": [{"text": v}] if tag == "Paragraphs" else v} for v in values]
                feed(b, [p.labelled(d, v) for d in data for v in p.labels])
                train(b, p)
                a = b.predict(p, data + [{"body": url}])
                check(f"{tag} {attrs}: addresses and paths are text", not wrong_predictions(a, 5, p), a)
            for n, tag in enumerate(("Text", "HyperText", "Paragraphs")):
                p = Project(pid=30 + n, config=config_over(tag, 'valueType="url"'), text="body")
                a = b.setup(p)
                b.hook(p.labelled({"body": url}, "positive"))
                got = entries(b.predict(p, [{"body": url}]))
                reason = b.get(f"/status?project={p.id}").json["reason"]
                check(f'{tag} valueType="url": nothing predicted, and the reason', a.status == 200 and len(got) == 1 and got[0]["result"] == []
                      and "not opened" in (reason or ""), (got, reason))
        check("nothing was opened", not hits, len(hits))
    finally:
        stop.set()
        t.join()
        trap.close()


def t_hostile_html():
    """Of what parsers take the square: 2 MB each, answered within seconds."""
    with Server(**QUIET) as b:
        p = Project(config=config_over("HyperText"), text="body")
        b.setup(p)
        n = 2 << 20
        pages = ["<b>" * (n // 7) + "</i>" * (n // 7), "<p " + "a=1 " * (n // 4), "<!--" * (n // 4), "<script>" * (n // 8), "&" * n, "<" * n, "<a b='" * (n // 6)]
        a = b.request("POST", "/predict", json.dumps(p.predict_body([{"body": v} for v in pages])).encode(), {"Content-Type": "application/json"}, timeout=60)
        check("hostile HTML costs no more than text", a.status == 200 and len(entries(a)) == 7 and a.seconds < 20, (a.status, a.seconds))
