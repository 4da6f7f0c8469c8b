#!/usr/bin/env python3
"""differential.py - the tokenizer, the vectoriser and the JSON check against Python's own.

    differential.py [N]     N random texts, N / 100 corpora of texts, N changed documents (20000)

str.lower(), re and float arithmetic of Python 3.11 or later are the other implementation of
the first two (Unicode 14.0: code points that a later one assigned are left out where the
versions differ), json of the third, made strict: no NaN, no Infinity, UTF-8, 64 levels.
"""
import collections, json, math, os, random, re, struct, subprocess, sys, unicodedata

HERE = os.path.dirname(os.path.abspath(__file__))
PIPE = os.path.join(os.environ.get("BUILD", "build"), "tests", "fuzz-pipe")
N = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
rng = random.Random(int(os.environ.get("SEED", "1")))
failed = 0
WORD, WORD1 = re.compile(r"(?u)\b\w\w+\b"), re.compile(r"(?u)\b\w\w+\b|\w")
sys.setrecursionlimit(10000)


def check(name, good, detail=""):
    global failed
    failed += not good
    print(f"ok   {name}" if good else f"FAIL {name}  [{detail[:800]}]", flush=True)


def ask(mode, frames):
    """Answers of the C program, in order: a thousand frames at a time."""
    data = b"".join(struct.pack("<I", len(f)) + f for f in frames)
    r = subprocess.run([PIPE, mode], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    if r.returncode != 0:
        raise SystemExit(f"FAIL pipe {mode}: status {r.returncode}: {r.stderr[-400:].decode(errors='replace')}")
    out, at = [], 0
    while at < len(r.stdout):
        n, = struct.unpack_from("<I", r.stdout, at)
        out.append(r.stdout[at + 4:at + 4 + n])
        at += 4 + n
    assert len(out) == len(frames), (mode, len(out), len(frames))
    return out


# ---- random text -------------------------------------------------------------------------
ASSIGNED = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) not in ("Cn", "Co")]
WORDS = [c for c in ASSIGNED if re.match(r"\w", chr(c))]
CHANGES = [c for c in ASSIGNED if chr(c).lower() != chr(c)]
MARKS = [c for c in ASSIGNED if unicodedata.category(chr(c)) in ("Mn", "Mc", "Me", "Cf", "Lm", "Sk")]
TRICKY = [ord(c) for c in "\u03a3\u03c3\u03c2\u0391\u0130\u0131iI'.:\u00b7\u2019\u00ad\u0301\u0307\u200b\u200d\u212a\u212b\u023a\u1e9e\u24b6\u2160_ \n\t0aA\u0000\u02b0\u00aa\U0001f3fb\u4e2d-"]


def text():
    kinds = rng.choices((ASSIGNED, WORDS, CHANGES, MARKS, TRICKY, range(128)), weights=(1, 3, 2, 2, 4, 3), k=rng.randint(1, 3))
    return "".join(chr(rng.choice(rng.choice(kinds))) for _ in range(rng.choice((1, 2, 3, 5, 8, 13, 21, 40))))


def damaged(data):
    """Some bytes that are no UTF-8: each counts as one U+FFFD."""
    b = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if b and rng.random() < 0.5:
            b[rng.randrange(len(b))] = rng.randrange(256)
        else:
            b.insert(rng.randint(0, len(b)), rng.choice((0x80, 0xbf, 0xc0, 0xc3, 0xe2, 0xed, 0xf0, 0xf4, 0xff, rng.randrange(256))))
    return bytes(b)


def decoded(data):
    """Byte by byte: a valid sequence, or one byte that is none."""
    out, at = [], 0
    while at < len(data):
        for n in (1, 2, 3, 4):
            try:
                out.append(data[at:at + n].decode("utf-8"))
                at += n
                break
            except UnicodeDecodeError:
                pass
        else:
            out.append("\ufffd")
            at += 1
    return "".join(out)


def tokens(s, pattern):
    return pattern.findall(s.lower())


def check_tokens():
    for mode, pattern in (("tokens", WORD), ("tokens1", WORD1)):
        wrong, done = [], 0
        while done < N // 2 and len(wrong) < 5:
            raw = []
            for _ in range(min(5000, N // 2 - done)):
                data = text().encode()
                raw.append(damaged(data) if rng.random() < 0.2 else data)
            for data, got in zip(raw, ask(mode, raw)):
                want = " ".join(tokens(decoded(data), pattern)).encode()
                if want != got:
                    wrong.append((data, got, want))
            done += len(raw)
        check(f"{mode}: {done} texts", not wrong, repr(wrong[:2]))


# ---- the vectoriser ---------------------------------------------------------------------
def terms(s, pattern):
    t = tokens(s, pattern)
    return [" ".join(t[i:i + n]) for n in (1, 2, 3) for i in range(len(t) - n + 1)]


def rows_of(docs, pattern):
    counted = [collections.Counter(terms(d, pattern)) for d in docs]
    df = collections.Counter(t for c in counted for t in c)
    idf = {t: math.log((1 + len(docs)) / (1 + n)) + 1 for t, n in df.items()}
    rows = []
    for c in counted:
        x = {t: n * idf[t] for t, n in c.items()}
        norm = math.sqrt(math.fsum(v * v for v in x.values()))
        rows.append({t: v / norm for t, v in x.items()})
    return rows


def check_rows():
    some = [text() for _ in range(50)]
    for mode, pattern in (("rows", WORD), ("rows1", WORD1)):
        wrong, done = [], 0
        while done < max(N // 200, 1) and len(wrong) < 5:
            sets = []
            for _ in range(min(500, max(N // 200, 1) - done)):
                sets.append([" ".join(rng.choice(some) if rng.random() < 0.8 else text() for _ in range(rng.randint(0, 6))) for _ in range(rng.randint(1, 8))])
            frames = [b"".join(d.encode() + b"\xff" for d in docs) for docs in sets]
            for docs, got in zip(sets, ask(mode, frames)):
                have = split_rows(got.decode(), len(docs))
                want = rows_of(docs, pattern)
                if [r.keys() for r in have] != [r.keys() for r in want] or any(abs(h[t] - w[t]) > 1e-12 for h, w in zip(have, want) for t in w):
                    wrong.append((docs, have, want))
            done += len(sets)
        check(f"{mode}: {done} corpora", not wrong, repr(wrong[:1]))


def split_rows(answer, n):
    rows = [{}]
    for line in answer.split("\n")[:-1]:
        if line == "":
            rows.append({})
        else:
            term, weight = line.rsplit("\t", 1)
            rows[-1][term] = float(weight)
    return rows[:n]


# ---- JSON -----------------------------------------------------------------------------------
class Refused(Exception):
    pass


def refuse(_):
    raise Refused


class Number(str):
    pass


def depth(data):
    """Of brackets, in a document that is one."""
    most = now = 0
    inside = escape = False
    for c in data:
        if inside:
            inside, escape = (inside and not (c == 34 and not escape)), (c == 92 and not escape)
        elif c == 34:
            inside = True
        elif c in b"[{":
            now += 1
            most = max(most, now)
        elif c in b"]}":
            now -= 1
    return most


def python_verdict(data):
    try:
        s = data.decode("utf-8")
        value = json.loads(s, parse_constant=refuse, parse_int=Number, parse_float=Number, object_pairs_hook=lambda pairs: ("object", pairs))
    except (UnicodeDecodeError, json.JSONDecodeError, Refused):
        return b"no"
    return b"no" if depth(data) > 64 else b"yes" + written(value)


def written(v):
    if isinstance(v, Number):
        return str(v).encode()
    if isinstance(v, str):
        # A lone half of a pair reads as U+FFFD.
        s = "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in v)
        return json.dumps(s, ensure_ascii=False).encode()
    if isinstance(v, tuple):
        return b"{" + b",".join(written(k) + b":" + written(x) for k, x in v[1]) + b"}"
    if isinstance(v, list):
        return b"[" + b",".join(written(x) for x in v) + b"]"
    return {None: b"null", True: b"true", False: b"false"}[v]


PIECES = [b'"', b"\\", b"\\u00e9", b"\\ud83d\\ude00", b"\\ud800", b"\\udc00", b"\\u12", b"\\x", b"{", b"}", b"[", b"]", b":", b",", b"null", b"true", b"fals", b"NaN",
          b"Infinity", b"-Infinity", b"-", b"0", b"01", b"1.", b".5", b"1e", b"1E+5", b"-0.0e-0", b"\x00", b"\x1f", b"\x7f", b"\xff", b"\xc3\xa9", b"\xc0\x80", b"\xed\xa0\x80",
          b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b" ", b"\t", b"\n", b"\r", b"\x0b", b"\xc2\xa0", b"//", b"'", b'"a":', b'{"a":1}', b"[[", b"]]"]


def corpus():
    out = [b"[" * 63 + b"]" * 63, b"[" * 64 + b"{}" + b"]" * 64]
    for folder in ("json", "predict", "webhook", "setup", "tasks"):
        for f in sorted(os.listdir(f"{HERE}/corpus/{folder}")):
            with open(f"{HERE}/corpus/{folder}/{f}", "rb") as g:
                out.append(g.read()[:1200])
    return out


def changed(data, others):
    b = bytearray(data)
    for _ in range(rng.randint(0, 4)):
        at, kind = rng.randint(0, len(b)), rng.random()
        if kind < 0.45:
            b[at:at] = rng.choice(PIECES)
        elif kind < 0.6:
            del b[at:at + rng.randint(1, 6)]
        elif kind < 0.75 and b:
            b[min(at, len(b) - 1)] = rng.randrange(256)
        elif kind < 0.85:
            other = rng.choice(others)
            i = rng.randint(0, len(other))
            b[at:at] = other[i:i + rng.randint(1, 40)]
        else:
            del b[at:]
    return bytes(b)


def check_json():
    start, wrong, done, good = corpus(), [], 0, 0
    while done < N and len(wrong) < 5:
        docs = [changed(rng.choice(start), start) for _ in range(min(5000, N - done))]
        for data, got in zip(docs, ask("json", docs)):
            want = python_verdict(data)
            good += got != b"no"
            if got != want and not same_text(got, want):
                wrong.append((data, got, want))
        done += len(docs)
    check(f"json: {done} documents, {good} of them good", not wrong and good > done // 20, repr(wrong[:2]))


def same_text(got, want):
    """Control characters may be written in another of the ways that JSON has."""
    if got[:3] != b"yes" or want[:3] != b"yes":
        return False
    plain = dict(parse_int=Number, parse_float=Number, object_pairs_hook=lambda p: ("object", p))
    return json.loads(got[3:], **plain) == json.loads(want[3:], **plain)


if not os.path.exists(PIPE):
    raise SystemExit(f"FAIL {PIPE} is not there: make tests")
check_tokens()
check_rows()
check_json()
sys.exit(failed > 0)
