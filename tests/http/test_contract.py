"""
test_contract.py - every request that was recorded from Label Studio (protocol/),
replayed, against contract/NAME.expected.json.

Four ways: in a sensible order on one store (sequence), each alone on a fresh store
(alone), with basic auth user / pa:ss (auth), with a webhook secret (secret).

In an expectation a string in angle brackets is a wildcard:
    <version> <version N>   KIND-N-hex, the same all over the answer
    <versions> <versions, some>  a list of such strings; at least one
    <probability> <probability P>  finite, 0 to 1; within 1e-6 of P
    <same score>            the same number as the score of the entry
    <label A B>             one of these labels
    <regions>               a list of well-formed results, maybe empty
    <training>              no, queued or running
    <+N>                    the counter of this project, N more than before
    <count>                 an integer, 0 or more
    <string>                not empty
{"<any of>": […]} is one of the alternatives; "<more>": true allows other keys.
"""
import json
import math
import os
import re

from harness import HERE, Server, VERSION, both, check

# As a person would cause them: connect, predict, annotate, delete, edit; other projects last.
ORDER = ("health", "setup", "predict-one-task", "predict-batch", "webhook-TASKS_CREATED", "webhook-ANNOTATION_CREATED",
         "webhook-ANNOTATION_UPDATED", "webhook-ANNOTATION_CREATED-skipped", "webhook-ANNOTATION_CREATED-empty-result",
         "webhook-ANNOTATIONS_CREATED", "webhook-ANNOTATIONS_DELETED", "webhook-ANNOTATIONS_DELETED-bulk", "webhook-START_TRAINING",
         "webhook-TASKS_DELETED", "webhook-TASKS_DELETED-bulk", "webhook-PROJECT_UPDATED", "webhook-PROJECT_UPDATED-new-config",
         "webhook-with-headers", "setup-subpath-extra-params", "predict-interactive", "health-basic-auth", "predict-basic-auth",
         "webhook-to-basic-auth-backend", "webhook-no-payload", "versions")


def load(folder, name):
    with open(os.path.join(HERE, folder, name), encoding="utf-8") as f:
        return json.load(f)


def is_version(v, number=None):
    m = VERSION.match(v) if isinstance(v, str) else None
    return bool(m) and (number is None or m.group(1) == number)


def is_region(r):
    return isinstance(r, dict) and {"from_name", "to_name", "type", "value"} <= set(r) and isinstance(r["value"], dict)


class Match:
    """Compares an answer with an expectation; `why` says where they part."""

    def __init__(self, counter):
        self.counter, self.new_counter, self.version, self.score, self.why = counter, None, None, None, ""

    def no(self, where, why):
        self.why = f"{where}: {why}"
        return False

    def wild(self, want, got, where):
        word, _, rest = want[1:-1].partition(" ")
        ok = False
        if word == "version":
            ok = is_version(got, rest or None) and self.version in (None, got)
            self.version = got
        elif word == "versions" or word == "versions,":
            ok = isinstance(got, list) and all(is_version(v) for v in got) and (not rest or len(got) > 0)
        elif word == "probability":
            ok = isinstance(got, (int, float)) and not isinstance(got, bool) and math.isfinite(got) and 0 <= got <= 1
            ok = ok and (not rest or abs(got - float(rest)) <= 1e-6)
            self.score = got
        elif word == "same":
            ok = got == self.score
        elif word == "label":
            ok = got in rest.split()
        elif word == "regions":
            ok = isinstance(got, list) and all(is_region(r) for r in got)
        elif word == "training":
            ok = got in ("no", "queued", "running")
        elif word == "string":
            ok = isinstance(got, str) and got.strip() != ""
        elif word == "count":
            ok = isinstance(got, int) and not isinstance(got, bool) and got >= 0
        elif word.startswith("+"):
            ok = isinstance(got, int) and not isinstance(got, bool) and got == self.counter + int(word)
            self.new_counter = got
        else:
            raise ValueError(f"unknown wildcard {want}")
        return ok or self.no(where, f"{json.dumps(got)[:200]}, expected {want}" + (f" over {self.counter}" if word[0] == "+" else ""))

    def same(self, want, got, where="$"):
        if isinstance(want, dict) and "<any of>" in want:
            whys = []
            for option in want["<any of>"]:
                m = Match(self.counter)
                m.version = self.version
                if m.same(option, got, where):
                    self.__dict__.update(m.__dict__)
                    return True
                whys.append(m.why)
            return self.no(where, "none of: " + "; ".join(whys))
        if isinstance(want, str) and want.startswith("<") and want.endswith(">"):
            return self.wild(want, got, where)
        if isinstance(want, dict):
            keys = {k for k in want if k != "<more>"}
            if not isinstance(got, dict):
                return self.no(where, f"no object: {json.dumps(got)[:200]}")
            if keys - set(got) or (set(got) - keys and "<more>" not in want):
                return self.no(where, f"keys {sorted(got)}, expected {sorted(keys)}")
            # The score of an entry is compared before the regions that repeat it.
            return all(self.same(want[k], got[k], f"{where}.{k}") for k in sorted(keys, key=lambda k: k != "score"))
        if isinstance(want, list):
            if not isinstance(got, list) or len(want) != len(got):
                return self.no(where, f"{len(got) if isinstance(got, list) else got!r} elements, expected {len(want)}")
            return all(self.same(w, g, f"{where}[{i}]") for i, (w, g) in enumerate(zip(want, got)))
        return (type(want) is type(got) and want == got) or self.no(where, f"{json.dumps(got)[:200]}, expected {json.dumps(want)}")


def project_of(body):
    p = (body or {}).get("project")
    return p["id"] if isinstance(p, dict) else None


def replay(backend, name, expected, counters, path=None):
    """Sends the recorded request; '' when the answer is as expected, else where it is not."""
    r = load("protocol", name + ".json")
    headers = {k: v for k, v in r["headers"].items() if k not in ("Host", "Connection", "Content-Length")}
    body = None if r["body"] is None else json.dumps(r["body"]).encode()    # ASCII with \u escapes, as Label Studio sends
    a = backend.request(r["method"], path or r["path"], body, headers)
    if a.status not in expected["status"]:
        return f"status {a}, expected {expected['status']}"
    if "application/json" not in a.headers.get("content-type", ""):
        return f"content type {a.headers.get('content-type')}"
    for k, pattern in expected.get("headers", {}).items():
        if not re.search(pattern, a.headers.get(k, "")):
            return f"header {k}: {a.headers.get(k)!r}"
    if a.json is None:
        return f"no strict JSON: {a}"
    m = Match(counters.get(project_of(r["body"]), 0))
    if not m.same(expected["json"], a.json):
        return f"{m.why}; answer {a}"
    if m.new_counter is not None:
        counters[project_of(r["body"])] = m.new_counter
    if "results" in a.json and backend.request("POST", "/setup", json.dumps(
            {"project": r["body"]["project"], "schema": r["body"]["label_config"]}).encode(),
            {"Authorization": r["headers"].get("Authorization")} if "Authorization" in r["headers"] else None).json != {
            "model_version": a.json["results"][0]["model_version"]}:
        return "setup tells another version"
    return ""


def routed(name, e):
    r = load("protocol", name + ".json")
    return r["path"].removeprefix(e.get("strip", ""))


@both
def t_recorded_requests_in_order(open_backend):
    check("every recorded request has an expectation", sorted(ORDER) == sorted(f[:-5] for f in os.listdir(os.path.join(HERE, "protocol")))
          == sorted(f[:-14] for f in os.listdir(os.path.join(HERE, "contract"))), sorted(os.listdir(os.path.join(HERE, "contract"))))
    counters = {}
    with open_backend() as b:
        for name in ORDER:
            e = load("contract", name + ".expected.json")
            why = replay(b, name, e["sequence"], counters, routed(name, e))
            check(f"in order: {name}", not why, why)
            if "unstripped" in e:
                why = replay(b, name, e["unstripped"], counters)
                check(f"path as recorded: {name}", not why, why)


@both
def t_recorded_requests_alone(open_backend):
    for name in ORDER:
        e = load("contract", name + ".expected.json")
        with open_backend() as b:
            why = replay(b, name, e["alone"], {}, routed(name, e))
            check(f"alone: {name}", not why, why)


def t_recorded_requests_with_basic_auth():
    with Server(BASIC_AUTH_USER="user", BASIC_AUTH_PASS="pa:ss") as b:
        b.auth = None       # only what is in the recording
        for name in ORDER:
            e = load("contract", name + ".expected.json")
            why = replay(b, name, e["auth"], {}, routed(name, e))
            check(f"basic auth: {name}", not why, why)


def t_recorded_requests_with_webhook_secret():
    counters = {}
    with Server(WEBHOOK_SECRET="s3") as b:
        for name in ORDER:
            e = load("contract", name + ".expected.json")
            why = replay(b, name, e["secret"], counters, routed(name, e))
            check(f"webhook secret: {name}", not why, why)
