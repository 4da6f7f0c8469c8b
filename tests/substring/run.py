#!/usr/bin/env python3
"""
run.py - the substring model against a plain reference:  run.py [PAIRS [SEED]]

Random texts over an alphabet in which folding changes lengths, marks combine and words
end in odd places; random selections of them, and random annotations to learn from.
The reference below is written on its own: str.casefold() and a loop over all
places, in code points.  Then how long large and hostile texts take.

PAIRS (10000) of a text and a selection; SEED (drawn, and printed).
"""
import collections
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import unicodedata

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
SLOW = 20 if os.environ.get("SANITIZE") else 1
LABELS = ["Person", "Place", "Thing"]
CONFIG = ('<View><Labels name="ner" toName="text">' + "".join(f'<Label value="{v}"/>' for v in LABELS) +
          '</Labels><Text name="text" value="$text"/></View>')
ALPHABET = ("a A b k \u212a s S ss SS ß ẞ i I İ ı i̇ f ﬁ fi FI ﬄ ŉ ΐ Σ σ ς é e\u0301 E\u0301 \u0345 ǰ 1 _ - . "
            "\U0001F600 \U00010400 \U00010428 \u05e9 \u05dc \u0627 \u0644 \u4e2d \u200d").split() + [" ", " ", "\r\n", "\n", "\r", "\0", "\u00a0"]
passed = failed = 0


def check(name, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"ok   {name}" if ok else f"FAIL {name} {detail}", flush=True)


class Model:
    """The C model, a line at a time."""

    def __init__(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml", delete=False) as f:
            f.write(CONFIG)
        self.config = f.name
        self.proc = subprocess.Popen([os.path.join(BUILD, "tests", "spans"), f.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, doc):
        self.proc.stdin.write(json.dumps(doc).encode() + b"\n")
        self.proc.stdin.flush()
        return json.loads(self.proc.stdout.readline())

    def spans(self, text, context=None, **task):
        p = self.ask({"task": dict(task, data={"text": text}), "context": context})
        return p["score"], [(r["value"]["start"], r["value"]["end"], r["value"]["text"], r["value"]["labels"], r["score"]) for r in p["result"]]

    def close(self):
        self.proc.stdin.close()
        os.unlink(self.config)
        return self.proc.wait()


# ---- the reference -----------------------------------------------------------

def is_word(c):
    return c == "_" or unicodedata.category(c)[0] in "LNM"


def edge(text, i):
    return not 0 < i < len(text) or not (is_word(text[i - 1]) and is_word(text[i]))


def edges_of(text, start, end):
    return is_word(text[start]) and edge(text, start), is_word(text[end - 1]) and edge(text, end)


def places(text, wanted, left, right):
    """Every (start, end) at which the folded string `wanted` stands."""
    folded, origin = "", []
    for i, c in enumerate(text):
        origin += [i] + [None] * (len(c.casefold()) - 1)
        folded += c.casefold()
    origin.append(len(text))
    at = folded.find(wanted)
    while at >= 0:
        start, end = origin[at], origin[at + len(wanted)]
        if start is not None and end is not None and (not left or edge(text, start)) and (not right or edge(text, end)):
            yield start, end
        at = folded.find(wanted, at + 1)


def agree(a, b):
    def bare(s):
        return "".join(c for c in s.replace("\\n", "") if c not in " \t\n\v\f\r\u00a0")
    return a == b or bare(a) == bare(b)


def selected(text, value):
    """(folded, left, right) of a region's value, or None."""
    start, end, said = value.get("start"), value.get("end"), value.get("text")
    if isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text) and (said is None or agree(text[start:end], said)):
        return (text[start:end].casefold(), *edges_of(text, start, end))
    return (said.casefold(), *edges_of(said, 0, len(said))) if said else None


def longest(candidates):
    """candidates: (start, end, …) in order of preference among equal spans."""
    kept = []
    for c in sorted(candidates, key=lambda c: (c[0] - c[1], c[0])):         # stable
        if all(c[1] <= k[0] or k[1] <= c[0] for k in kept):
            kept.append(c)
    return sorted(kept)


def reference(text, context, annotations=(), drafts=()):
    regions = [r for r in context["result"] if r["type"] == "labels" and r["from_name"] == "ner"]
    candidates = []
    for r in regions:
        names = list(dict.fromkeys(v for v in r["value"]["labels"] if v in LABELS))
        s = selected(text, r["value"])
        if s and names:
            candidates += [(a, b, names) for a, b in places(text, *s)]
    done = {(r["value"].get("start"), r["value"].get("end")) for r in regions}
    others = {(r["value"]["start"], r["value"]["end"], v) for a in [x for x in annotations if not x.get("was_cancelled")] + list(drafts)
              for r in a["result"] for v in r["value"]["labels"]}
    out = []
    for a, b, names in longest(candidates):
        names = [v for v in names if (a, b) not in done and (a, b, v) not in others]
        if names:
            out.append((a, b, text[a:b], names, 1))
    return (1 if out else 0), out


def learn(examples):
    seen = {}
    for ex in examples:
        for r in ex["result"]:
            s = selected(ex["data"]["text"], r["value"])
            for v in r["value"]["labels"] if s else ():
                seen.setdefault(s[0], []).append((v, s[1], s[2]))
    out = {}
    for folded, given in seen.items():
        n = len(given)
        names = [g[0] for g in given]
        best = max(LABELS, key=lambda v: (names.count(v), -LABELS.index(v)))
        out[folded] = (best, names.count(best) / n, 2 * sum(g[1] for g in given) >= n, 2 * sum(g[2] for g in given) >= n)
    return out


def reference_learned(text, learned):
    out = [(a, b, text[a:b], [v], p) for a, b, v, p in
           longest([(a, b, v, p) for folded, (v, p, left, right) in learned.items() for a, b in places(text, folded, left, right)])]
    return (min(o[4] for o in out) if out else 0), out


# ---- random texts -----------------------------------------------------------

def random_text(r, most=40):
    few = r.sample(ALPHABET, r.randint(1, 8)) + ([" "] if r.random() < .5 else [])
    return "".join(r.choice(few) for _ in range(r.randint(0, most)))


def random_value(r, text):
    kind = r.random()
    if not text or kind < .05:
        return {"start": r.randint(-2, 50), "end": r.randint(-2, 50), **({"text": random_text(r, 3)} if r.random() < .7 else {})}
    a = r.randrange(len(text))
    b = min(len(text), a + 1 + int(r.expovariate(.5)))
    v = {"start": a, "end": b, "text": text[a:b]}
    if kind < .15:
        del v["text"]
    elif kind < .22:
        v["text"] = r.choice([text[a:b].upper(), text[a:b].lower(), text[a:b].replace("\n", "\\n"), text[a:b] + " ", random_text(r, 4)])
    elif kind < .30:
        del v["start"], v["end"]
    return v


def random_region(r, text):
    return {"id": "r", "from_name": r.choice(["ner"] * 15 + ["other"]), "to_name": "text", "type": r.choice(["labels"] * 15 + ["choices"]),
            "value": dict(random_value(r, text), labels=r.choices(LABELS + ["gone"], k=r.choice([1, 1, 1, 1, 2, 0])))}


def random_annotation(r, text):
    n = len(text)
    out = []
    for _ in range(r.randint(0, 3)):
        a, b = sorted((r.randint(0, n), r.randint(0, n)))
        if a < b:
            out.append({"from_name": "ner", "to_name": "text", "type": "labels", "value": {"start": a, "end": b, "labels": [r.choice(LABELS)]}})
    return {"result": out, "was_cancelled": r.random() < .2}


def with_matches(r, text, context):
    """An annotation of what will be found: it must not be proposed again."""
    found = reference(text, context)[1]
    return {"result": [{"from_name": "ner", "to_name": "text", "type": "labels", "value": {"start": a, "end": b, "labels": r.sample(LABELS, 1)}}
                       for a, b, *_ in found if r.random() < .5], "was_cancelled": r.random() < .3}


def pairs(m, n, r):
    wrong, regions, held = [], 0, 0
    for _ in range(n):
        text = random_text(r)
        context = {"result": [random_region(r, text) for _ in range(r.choice([1, 1, 1, 2, 3, 5]))]}
        if not any(x["type"] == "labels" and x["from_name"] == "ner" for x in context["result"]):
            context["result"][0].update(type="labels", from_name="ner")
        annotations = [random_annotation(r, text)] if r.random() < .1 else [with_matches(r, text, context)] if r.random() < .1 else []
        drafts = [random_annotation(r, text) for _ in range(r.random() < .05)]
        for d in drafts:
            del d["was_cancelled"]
        want = reference(text, context, annotations, drafts)
        got = m.spans(text, context, annotations=annotations, drafts=drafts)
        regions += len(want[1])
        held += any(b - a != len(t.casefold()) for a, b, t, *_ in want[1])
        if got != want:
            wrong.append((text, context, annotations, drafts, got, want))
    check(f"{n} pairs of a text and a selection: {regions} regions, as the reference has them", not wrong, f"{len(wrong)} differ: {wrong[:1]!r}")
    check("with regions in them, and foldings that change a length", regions > n / 2 and held > n / 100, (regions, held))


def learned(m, n, r):
    wrong, regions = [], 0
    for _ in range(max(1, n // 100)):
        examples = []
        for _ in range(r.randint(1, 6)):
            text = random_text(r)
            result = [dict(random_region(r, text), from_name="ner", type="labels") for _ in range(r.randint(1, 4))]
            for x in result:
                x["value"]["labels"] = [v for v in x["value"]["labels"] if v in LABELS]
            examples.append({"data": {"text": text}, "result": result})
        known = learn(examples)
        made = m.ask({"fit": examples})["fit"]
        if made is not (True if known else made) or (not known and made != "needs 1 annotated span, has 0"):
            wrong.append((examples, made))
        for _ in range(20):
            text = random_text(r) + r.choice(examples)["data"]["text"]
            want = reference_learned(text, known)
            got = m.spans(text, r.choice([None, {}, {"result": []}]))
            regions += len(want[1])
            if got != want:
                wrong.append((examples, text, got, want))
    check(f"{max(1, n // 100)} sets of annotations, 20 texts each: {regions} learned regions, as the reference has them", not wrong,
          f"{len(wrong)} differ: {wrong[:1]!r}")
    check("with regions in them", regions > n / 20, regions)


# ---- large and hostile --------------------------------------------------------

def timed(m, name, limit, text, context=None):
    t = time.time()
    score, got = m.spans(text, context)
    took = time.time() - t
    check(f"{name}: {len(got)} regions, {took * 1000:.0f} ms", took < limit * SLOW, f"limit {limit} s")
    return got


def select(start, end, *labels, text=None):
    return {"from_name": "ner", "to_name": "text", "type": "labels",
            "value": {"start": start, "end": end, "labels": list(labels or ("Person",)), **({} if text is None else {"text": text})}}


def large(m, r):
    mega = 1 << 20
    words = ["".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randint(2, 9))) for _ in range(20000)]
    text = " ".join(r.choice(words) for _ in range(160000))[:mega]
    word = collections.Counter(text.split()).most_common(1)[0][0]
    at = text.index(" " + word + " ") + 1
    got = timed(m, "1 MB of words, one selected", 1, text, {"result": [select(at, at + len(word))]})
    want = list(places(text, word, True, True))
    check("and they are all there", [g[:2] for g in got] == [w for w in want if w[0] != at] and len(got) > 3, len(got))
    other = "".join(chr(ord(c) + 0x430 - 97) if c != " " else c for c in text)
    timed(m, "1 M of Cyrillic letters, one word selected", 1, other, {"result": [select(at, at + len(word))]})
    names = [f"{r.choice(words)} {r.choice(words)}" for _ in range(500)] + r.sample(words, 500)
    m.ask({"fit": [{"data": {"text": w}, "result": [select(0, len(w), LABELS[i % 3])]} for i, w in enumerate(names)]})
    got = timed(m, "1 MB of words, 1,000 learned texts", 1, text)
    check("and the longest of them", len(got) > 1000 and all(a[1] <= b[0] for a, b in zip(got, got[1:])), len(got))
    same = "a" * mega
    check("'a' selected at the start of 1 MB of it", timed(m, "'a' in 1 MB of 'a'", 1, same, {"result": [select(0, 1)]}) == [])
    got = timed(m, "'a' within it", 2, same, {"result": [select(5, 6)]})
    check("proposes the first 10000 of the text", [g[0] for g in got] == [i for i in range(10001) if i != 5])
    timed(m, "half of it", 2, same, {"result": [select(1, mega // 2)]})
    timed(m, "1 MB selected", 2, same, {"result": [select(0, mega)]})
    timed(m, "1,000 selections, each a letter longer", 4, same, {"result": [select(1, i + 2) for i in range(1000)]})
    timed(m, "1,000 selections of all", 4, same, {"result": [select(0, mega)] * 1000})
    timed(m, "ß in 1 MB of 's'", 2, "s" * mega, {"result": [select(5, 6, text="ß")]})
    timed(m, "1 MB of text that stands nowhere", 2, same[:-1], {"result": [select(0, 0, text="b" * mega)]})
    timed(m, "10,000 selections", 3, text, {"result": [select(i * 50, i * 50 + 40) for i in range(10000)]})
    timed(m, "1 M of İ", 2, "İ" * mega, {"result": [select(3, 5)]})


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10000 // SLOW
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"# {n} pairs, seed {seed}", flush=True)
    r = random.Random(seed)
    m = Model()
    pairs(m, n, r)
    learned(m, n, r)
    large(m, r)
    check("the program ends well", m.close() == 0)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
