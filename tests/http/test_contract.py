"""
test_contract.py - every request that was recorded from Label Studio (protocol/),
replayed, against contract/NAME.expected.json, which is written from the documents.

Four ways: in a sensible order on one store (sequence), each alone on a fresh store
(alone), with basic auth user / pa:ss (auth), with a webhook secret (secret).  A training
that an answer has queued is over before the next request, so that each answer is one.

An answer is compared value by value, and a number with a fraction to 1e-6.  The only
wildcards are what differs from one release or request to the next:
    <version N>          KIND-N-hex, the same all over the answer
    <another version N>  the same, but each for itself
    <release>            1.2.3
    <request id>         hexadecimal
"""
import json
import os
import re

from harness import HERE, ROOT, Server, VERSION, both, check, wait_for

# As a person would cause them: connect, predict, annotate, delete, edit; other projects last.
ORDER = ("health", "setup", "predict-one-task", "predict-batch", "webhook-TASKS_CREATED", "webhook-ANNOTATION_CREATED",
         "webhook-ANNOTATION_UPDATED", "webhook-ANNOTATION_CREATED-skipped", "webhook-ANNOTATION_CREATED-empty-result",
         "webhook-ANNOTATIONS_CREATED", "webhook-ANNOTATIONS_DELETED", "webhook-ANNOTATIONS_DELETED-bulk", "webhook-TASKS_DELETED",
         "webhook-TASKS_DELETED-bulk", "webhook-PROJECT_UPDATED", "webhook-with-headers", "webhook-PROJECT_UPDATED-new-config",
         "webhook-START_TRAINING", "setup-subpath-extra-params", "predict-interactive", "health-basic-auth", "predict-basic-auth",
         "webhook-to-basic-auth-backend", "webhook-no-payload", "versions")


def load(folder, name):
    with open(os.path.join(HERE, folder, name), encoding="utf-8") as f:
        return json.load(f)


class Match:
    """Compares an answer with an expectation; `why` says where they part."""

    def __init__(self):
        self.version, self.why = None, ""

    def no(self, where, got, want):
        self.why = f"{where}: {json.dumps(got)[:200]}, expected {json.dumps(want)[:200]}"
        return False

    def wild(self, want, got, where):
        if not isinstance(got, str):
            return self.no(where, got, want)
        word, _, number = want[1:-1].rpartition(" ")
        if word in ("version", "another version"):
            m = VERSION.match(got)
            ok = m and m.group(1) == number and (word != "version" or self.version in (None, got))
            self.version = got if word == "version" else self.version
        elif want == "<release>":
            ok = re.fullmatch(r"\d+\.\d+\.\d+", got)
        elif want == "<request id>":
            ok = re.fullmatch(r"[0-9a-f]{32}", got)
        else:
            raise ValueError(f"unknown wildcard {want}")
        return bool(ok) or self.no(where, got, want)

    def same(self, want, got, where="$"):
        if isinstance(want, str) and want.startswith("<"):
            return self.wild(want, got, where)
        if type(want) is not type(got):
            return self.no(where, got, want)
        if isinstance(want, dict):
            if sorted(want) != sorted(got):
                return self.no(where, sorted(got), sorted(want))
            return all(self.same(want[k], got[k], f"{where}.{k}") for k in want)
        if isinstance(want, list):
            if len(want) != len(got):
                return self.no(where, len(got), len(want))
            return all(self.same(w, g, f"{where}[{i}]") for i, (w, g) in enumerate(zip(want, got)))
        if isinstance(want, float):
            return abs(want - got) <= 1e-6 or self.no(where, got, want)
        return want == got or self.no(where, got, want)


def settled(backend):
    """No training is queued or under way."""
    if not os.path.exists(os.path.join(backend.dir, "prelabel.sqlite3")):
        return True
    return wait_for(lambda: backend.db("select count(*) from train_job where state in ('queued', 'running')") == [(0,)], 30)


def answered(a, expected):
    """'' when the answer is exactly the expected one, else where it is not."""
    m = Match()
    if a.status != expected["status"]:
        return f"status {a}, expected {expected['status']}"
    if a.headers.get("content-type") != "application/json":
        return f"content type {a.headers.get('content-type')}"
    for k, value in expected.get("headers", {}).items():
        if a.headers.get(k) != value:
            return f"header {k}: {a.headers.get(k)!r}"
    if a.json is None:
        return f"no strict JSON: {a}"
    return "" if m.same(expected["json"], a.json) else f"{m.why}; answer {a}"


def send(backend, request, path=None):
    """As Label Studio sends it: ASCII with \\u escapes, its own headers."""
    headers = {k: v for k, v in request["headers"].items() if k not in ("Host", "Connection", "Content-Length")}
    body = None if request["body"] is None else json.dumps(request["body"]).encode()
    path = path or request["path"]
    return backend.patiently(path, lambda: backend.request(request["method"], path, body, headers))


def replay(backend, name, expected, path=None):
    """Sends the recorded request; '' when the answer is as expected, else where it is not."""
    r = load("protocol", name + ".json")
    a = send(backend, r, path)
    why = answered(a, expected)
    if not why and "results" in a.json:
        again = {"project": r["body"]["project"], "schema": r["body"]["label_config"]}
        v = backend.post("/setup", again, headers={"Authorization": r["headers"].get("Authorization")}).json
        if v != {"model_version": a.json["results"][0]["model_version"]}:
            why = f"setup tells another version: {v}"
    if not why and (a.json or {}).get("training") not in (None, "no") and not settled(backend):
        why = "the training does not end"
    return why


def routed(name, e):
    r = load("protocol", name + ".json")
    return r["path"].removeprefix(e.get("strip", ""))


def t_every_recording_is_here():
    names = sorted(f[:-5] for f in os.listdir(os.path.join(HERE, "protocol")))
    check("every recorded request is sent", names == sorted(ORDER), sorted(set(names) ^ set(ORDER)))
    want = sorted(f[:-14] for f in os.listdir(os.path.join(HERE, "contract")))
    check("and has an expectation", names == want, sorted(set(names) ^ set(want)))
    shared = os.path.join(ROOT, "..", "shared", "protocol")
    if os.path.isdir(shared):       # where they were made
        made = {f: load(shared, f) for f in os.listdir(shared) if not f.startswith("api-")}
        check("they are the recordings, unchanged", made == {f: load("protocol", f) for f in os.listdir(os.path.join(HERE, "protocol"))})
    known = re.compile(r'"<(?!(another )?version 0>"|release>"|request id>")')
    loose = [n for n in want if known.search(json.dumps(load("contract", n + ".expected.json")))]
    check("no other wildcards than version, release and request id", not loose, loose)


@both
def t_recorded_requests_in_order(open_backend):
    with open_backend() as b:
        for name in ORDER:
            e = load("contract", name + ".expected.json")
            why = replay(b, name, e["sequence"], routed(name, e))
            check(f"in order: {name}", not why, why)
            if "unstripped" in e:
                why = replay(b, name, e["unstripped"])
                check(f"path as recorded: {name}", not why, why)


@both
def t_recorded_requests_alone(open_backend):
    for name in ORDER:
        e = load("contract", name + ".expected.json")
        with open_backend() as b:
            why = replay(b, name, e["alone"], routed(name, e))
            check(f"alone: {name}", not why, why)


def t_recorded_requests_with_basic_auth():
    with Server(BASIC_AUTH_USER="user", BASIC_AUTH_PASS="pa:ss") as b:
        b.auth = None       # only what is in the recording
        for name in ORDER:
            e = load("contract", name + ".expected.json")
            why = replay(b, name, e["auth"], routed(name, e))
            check(f"basic auth: {name}", not why, why)


def t_recorded_requests_with_webhook_secret():
    with Server(WEBHOOK_SECRET="s3") as b:
        for name in ORDER:
            e = load("contract", name + ".expected.json")
            why = replay(b, name, e["secret"], routed(name, e))
            check(f"webhook secret: {name}", not why, why)
