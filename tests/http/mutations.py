"""
mutations.py - defects put into the answers, to see that the checks notice.

Each is (name, tests that must notice, function of method, path, answer).  The
function changes the answer on its way to the check; the product itself is left alone.
"""
import json
import re

from harness import Answer


def change(path, fn, methods=("GET", "POST"), status=None):
    """A mutation of the JSON of a successful answer."""
    def spoil(method, where, a):
        j = a.json
        if method not in methods or where.split("?")[0] != path or j is None or a.status >= 400 and status is None:
            return a
        j = fn(j)
        return Answer(a.status, list(a.headers.items()), json.dumps(j).encode(), a.seconds)
    return spoil


def header(name, value, when=lambda a: True):
    def spoil(method, where, a):
        if when(a):
            a.headers.pop(name, None)
            if value is not None:
                a.headers[name] = value
        return a
    return spoil


def status(old, new):
    def spoil(method, where, a):
        if a.status == old:
            a.status = new
        return a
    return spoil


def each(fn):
    def all_entries(j):
        if isinstance(j, dict):
            for e in j.get("results", []):
                fn(e)
        return j
    return all_entries


def region(fn):
    return each(lambda e: [fn(r) for r in e["result"]])


def error(fn):
    def spoil(method, where, a):
        j = a.json
        if a.status >= 400 and isinstance(j, dict):
            fn(j)
            a.body = json.dumps(j).encode()
        return a
    return spoil


def counter(by):
    return lambda j: dict(j, counter=j["counter"] + by) if "counter" in j else j


def first_version_only():
    seen = []

    def fn(j):
        v = j.get("model_version")
        seen.append(v)
        return dict(j, model_version=seen[0])
    return fn


ALL = [
    ("one result dropped", ["t_one_entry_a_task"], change("/predict", lambda j: dict(j, results=j["results"][:-1]))),
    ("one result too many", ["recorded_requests_alone"], change("/predict", lambda j: dict(j, results=j["results"] + j["results"][:1]))),
    ("results sorted by score", ["t_one_entry_a_task"], change("/predict", lambda j: dict(j, results=sorted(j["results"], key=lambda e: e["score"])))),
    ("score above 1", ["recorded_requests_alone"], change("/predict", each(lambda e: e.update(score=1.0000001)))),
    ("score of the loser", ["t_one_entry_a_task"], change("/predict", each(lambda e: (e.update(score=1 - e["score"]), [r.update(score=e["score"]) for r in e["result"]])))),
    ("score as text", ["recorded_requests_alone"], change("/predict", each(lambda e: e.update(score=str(e["score"]))))),
    ("region without score", ["recorded_requests_alone"], change("/predict", region(lambda r: r.pop("score")))),
    ("wrong from_name", ["t_cold_start"], change("/predict", region(lambda r: r.update(from_name="choice")))),
    ("a label of no config", ["t_always_within"], change("/predict", region(lambda r: r["value"].update(choices=["neutral"])))),
    ("labels swapped", ["t_cold_start"], change("/predict", region(lambda r: r["value"].update(choices=["negative" if r["value"]["choices"] == ["positive"] else "positive"])))),
    ("model_version null", ["recorded_requests_alone"], change("/predict", each(lambda e: e.update(model_version=None)))),
    ("setup tells another version", ["t_cold_start"], change("/setup", lambda j: dict(j, model_version=j["model_version"] + "0"))),
    ("setup answers a number", ["recorded_requests_alone"], change("/setup", lambda j: {"model_version": 3})),
    ("setup says more", ["t_cold_start"], change("/setup", lambda j: dict(j, more=1))),
    ("version never changes", ["t_nth_annotation"], change("/setup", first_version_only())),
    ("hash forgets the label set", ["t_hash_depends_on"], change("/setup", lambda j: dict(j, model_version=re.sub(r"-[0-9a-f]+$", "-abcdef", j["model_version"])))),
    ("counter one too high", ["t_counter"], change("/webhook", counter(1))),
    ("counter one too high, recorded", ["recorded_requests_alone"], change("/webhook", counter(1))),
    ("replays answered 201", ["t_counter"], status(200, 201)),
    ("stored answered 200", ["t_counter"], status(201, 200)),
    ("training always no", ["t_nth_annotation"], change("/webhook", lambda j: dict(j, training="no"))),
    ("training always queued", ["t_counter"], change("/webhook", lambda j: dict(j, training="queued"))),
    ("unknown action refused", ["t_actions"], lambda m, w, a: Answer(422, list(a.headers.items()), a.body, a.seconds) if w.startswith("/webhook") and a.status == 200 else a),
    ("errors without request id", ["t_error_form"], error(lambda j: j.pop("request_id", None))),
    ("errors with a constant request id", ["t_error_form"], error(lambda j: j.update(request_id="1"))),
    ("errors with another status inside", ["t_error_form"], error(lambda j: j.update(status=500))),
    ("errors that name nothing", ["t_data_missing"], error(lambda j: j.update(error="bad request"))),
    ("422 instead of 400", ["r12_json"], status(400, 422)),
    ("405 without Allow", ["t_wrong_methods"], header("allow", None)),
    ("401 without a challenge", ["recorded_requests_with_basic_auth"], header("www-authenticate", None)),
    ("health down", ["t_health"], change("/health", lambda j: dict(j, status="DOWN"))),
    ("HTML instead of JSON", ["t_unknown_paths"], lambda m, w, a: Answer(a.status, [("content-type", "text/html")], b"<html>", a.seconds) if a.status == 404 else a),
    ("503 without Retry-After", ["r03_store_locked"], header("retry-after", None)),
    ("500 once in a while", ["r09_any_input"], lambda m, w, a: Answer(500, list(a.headers.items()), a.body, a.seconds) if len(a.body) % 7 == 0 else a),
    ("text leaks into errors", ["r09_any_input"], error(lambda j: j.update(error=j["error"] + " near SELECT x"))),
    ("slow", ["t_cold_start"], lambda m, w, a: Answer(a.status, list(a.headers.items()), a.body, 9.0)),
    ("metrics of another family", ["t_metrics"], lambda m, w, a: Answer(a.status, list(a.headers.items()), a.body + b"\nup 1\n", 0) if w == "/metrics" else a),
]
