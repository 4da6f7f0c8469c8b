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


def metrics(fn):
    """A mutation of the text of GET /metrics."""
    def spoil(method, where, a):
        if method != "GET" or where.split("?")[0] != "/metrics" or a.status != 200:
            return a
        return Answer(a.status, list(a.headers.items()), fn(a.body.decode()).encode(), a.seconds)
    return spoil


def sample(series, fn):
    """A mutation of the values of the samples whose beginning fits; fn returns None: the sample is dropped."""
    def one(m):
        v = fn(float(m.group(2)))
        return "" if v is None else f"{m.group(1)} {v!r}\n"
    return metrics(lambda text: re.sub(rf"(?m)^({series}\S*) (\S+)\n", one, text))


def more(by):
    return lambda v: v + by


def family_at_the_end(text):
    """The first sample of a family of several, behind all others."""
    m = re.search(r"(?m)^prelabel_http_requests_total.*\n", text)
    return text[:m.start()] + text[m.end():] + m.group() if m else text


def shrinking():
    """Counters that start anew once in a while."""
    seen = [0]

    def fn(v):
        seen[0] += 1
        return 0.0 if seen[0] % 3 == 0 else v
    return fn


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
    ("metrics of another family", ["t_metrics_form"], lambda m, w, a: Answer(a.status, list(a.headers.items()), a.body + b"\nup 1\n", 0) if w == "/metrics" else a),
    ("metrics: another content type", ["t_metrics_form"], lambda m, w, a: Answer(a.status, [("content-type", "text/plain")], a.body, a.seconds) if w == "/metrics" else a),
    ("metrics: no end of the last line", ["t_metrics_form"], metrics(lambda t: t.rstrip("\n"))),
    ("metrics: HELP left out", ["t_metrics_form"], metrics(lambda t: re.sub(r"# HELP prelabel_projects .*\n", "", t))),
    ("metrics: HELP twice", ["t_metrics_form"], metrics(lambda t: re.sub(r"(# HELP prelabel_projects .*\n)", r"\1\1", t))),
    ("metrics: another type", ["t_metrics_form"], metrics(lambda t: t.replace("TYPE prelabel_predicted_tasks_total counter", "TYPE prelabel_predicted_tasks_total gauge"))),
    ("metrics: a family in two places", ["t_metrics_form"], metrics(family_at_the_end)),
    ("metrics: a series twice", ["t_metrics_form"], metrics(lambda t: re.sub(r"(?m)^(prelabel_store_up .*\n)", r"\1\1", t))),
    ("metrics: a counter without _total", ["t_metrics_form"], metrics(lambda t: t.replace("prelabel_predicted_tasks_total", "prelabel_predicted_tasks"))),
    ("metrics: a label too many", ["t_metrics_form"], metrics(lambda t: t.replace("prelabel_build_info{", 'prelabel_build_info{host="x",'))),
    ("metrics: another version", ["t_metrics_form"], metrics(lambda t: t.replace('version="', 'version="9'))),
    ("metrics: seconds in milliseconds", ["t_metrics_seconds"], sample("prelabel_http_request_duration_seconds_sum", lambda v: v * 1000)),
    ("metrics: no seconds", ["t_metrics_seconds"], sample("prelabel_http_request_duration_seconds_sum", lambda v: 0.0)),
    ("metrics: no +Inf", ["t_metrics_exact"], metrics(lambda t: re.sub(r"(?m)^.*Inf.*\n", "", t))),
    ("metrics: buckets that are not cumulative", ["t_metrics_exact"], sample('prelabel_http_request_duration_seconds_bucket{endpoint="predict",le="5"', lambda v: 0.0)),
    ("metrics: a bucket of another edge", ["t_metrics_exact"], metrics(lambda t: t.replace('le="2.5"', 'le="2"'))),
    ("metrics: count of another number", ["t_metrics_exact"], sample("prelabel_http_request_duration_seconds_count", more(1))),
    ("metrics: livez counted as health", ["t_metrics_exact"], metrics(lambda t: t.replace('"livez"', '"?"').replace('"health"', '"livez"').replace('"?"', '"health"'))),
    ("metrics: one status for another", ["t_metrics_exact"], metrics(lambda t: re.sub(r'(requests_total{endpoint="predict",status=)"415"', r'\1"413"', t))),
    ("metrics: twice as many tasks", ["t_metrics_exact"], sample("prelabel_predicted_tasks_total", lambda v: 2 * v)),
    ("metrics: stored and ignored swapped", ["t_metrics_exact"], metrics(lambda t: t.replace('"stored"', '"?"').replace('"ignored"', '"stored"').replace('"?"', '"ignored"'))),
    ("metrics: refused as failed", ["t_metrics_refused"], metrics(lambda t: re.sub(r'(?m)^.*outcome="failed".*\n', "", t).replace('"refused"', '"failed"'))),
    ("metrics: one lost in the crowd", ["t_metrics_parallel"], sample('prelabel_http_requests_total{endpoint="predict",status="200"', lambda v: v - (v > 40))),
    ("metrics: counters that go down", ["t_metrics_parallel"], sample("prelabel_predicted_tasks_total", shrinking())),
    ("metrics: 413 not counted", ["t_metrics_too_large"], metrics(lambda t: re.sub(r'(?m)^.*status="413".*\n', "", t))),
    ("metrics: loads counted at each request", ["t_metrics_model_loads"], (lambda n: sample("prelabel_model_loads_total", lambda v: n.append(1) or v + len(n)))([])),
    ("metrics: nothing is left after a restart", ["t_metrics_restart"], (lambda n: sample("prelabel_predicted_tasks_total", lambda v: n.append(1) or (v if len(n) < 6 else 0.0)))([])),
    ("metrics: the old numbers without the file", ["t_metrics_restart"], (lambda n: sample("prelabel_predicted_tasks_total", lambda v: n.append(v) or max(n)))([])),
    ("metrics: a wild number of a damaged file", ["t_metrics_damaged_file"], sample("prelabel_http_requests_total", more(0.5))),
    ("metrics: 503 for a damaged file", ["t_metrics_damaged_file"], (lambda n: lambda m, w, a: Answer(503, list(a.headers.items()), a.body, a.seconds) if w == "/predict" and n.append(1) or len(n) > 12 and w == "/predict" else a)([])),
    ("metrics: a file cut under way ends a program", ["t_metrics_file_changed"], (lambda n: lambda m, w, a: Answer(503, list(a.headers.items()), a.body, a.seconds) if w == "/setup" and (n.append(1) or len(n) % 20 == 19) else a)([])),
    ("metrics: a file nobody may write stops answers", ["t_metrics_read_only"], status(201, 503)),
    ("metrics: no room, no answer", ["t_metrics_no_room"], lambda m, w, a: Answer(507, list(a.headers.items()), a.body, a.seconds) if w == "/predict" else a),
    ("metrics: removed under way, the old numbers stay", ["t_metrics_file_changed"], sample("prelabel_predicted_tasks_total", more(20))),
    ("metrics: tombstones counted", ["t_metrics_project"], sample("prelabel_annotations{", more(1))),
    ("metrics: examples of skipped ones", ["t_metrics_project"], sample("prelabel_examples{", more(1))),
    ("metrics: pending never falls", ["t_metrics_project"], (lambda n: sample("prelabel_updates_pending", lambda v: n.append(v) or max(n)))([])),
    ("metrics: only the states that there are", ["t_metrics_project"], sample("prelabel_jobs", lambda v: v or None)),
    ("metrics: times in milliseconds", ["t_metrics_project"], sample("prelabel_(?:last_webhook|model_published)_timestamp_seconds", lambda v: v * 1000)),
    ("metrics: no duration of the training", ["t_metrics_project"], sample("prelabel_training_duration_seconds", lambda v: None)),
    ("metrics: accuracy in percent", ["t_metrics_project"], sample("prelabel_accuracy_ratio", lambda v: v * 100)),
    ("metrics: version number of before", ["t_metrics_project"], sample("prelabel_model_version_number", lambda v: max(0.0, v - 1))),
    ("metrics: model_info of before", ["t_metrics_version_follows"], (lambda n: metrics(lambda t: re.sub(r'(model_version=)"([^"]*)"', lambda m: n.append(m.group(2)) or f'{m.group(1)}"{n[0]}"', t)))([])),
    ("metrics: created left at 0", ["t_metrics_several"], metrics(lambda t: re.sub(r'created="\d+"', 'created="0"', t))),
    ("metrics: project through a double", ["t_metrics_several"], metrics(lambda t: t.replace("9007199254740993", "9007199254740992"))),
    ("metrics: numbers of a page before", ["t_metrics_follow_each"], (lambda n: sample("prelabel_tasks{", lambda v: n.append(v) or n[max(0, len(n) - 4)]))([])),
    ("metrics: two files after one was moved", ["t_metrics_file_moved"], sample("prelabel_predicted_tasks_total", more(1))),
    ("metrics: failed jobs with the skipped", ["t_metrics_jobs"], metrics(lambda t: t.replace('"failed"', '"?"').replace('"skipped"', '"failed"').replace('"?"', '"skipped"'))),
    ("metrics: a skipped training told as done", ["t_metrics_skipped"], metrics(lambda t: t.replace('"done"', '"?"').replace('"skipped"', '"done"').replace('"?"', '"skipped"'))),
    ("metrics: size of the store in kilobytes", ["t_metrics_store_size"], sample("prelabel_store_size_bytes", lambda v: v // 1024)),
    ("metrics: up all the time", ["t_metrics_store_unreadable"], sample("prelabel_store_up", lambda v: 1.0)),
    ("metrics: 0 projects in a store that can't be read", ["t_metrics_store_unreadable"], metrics(lambda t: t if "prelabel_projects " in t else t + "# HELP prelabel_projects x\n# TYPE prelabel_projects gauge\nprelabel_projects 0\n")),
    ("metrics: no counters without a store", ["t_metrics_store_unreadable"], metrics(lambda t: t if "prelabel_projects " in t else re.sub(r"(?m)^(# (HELP|TYPE) )?prelabel_http.*\n", "", t))),
    ("metrics: half an answer from a damaged page", ["t_metrics_store_damaged_page"], metrics(lambda t: t.replace("prelabel_store_up 1", "prelabel_store_up 0"))),
    ("metrics: 503 for a junk store", ["t_metrics_store_damaged_under_way"], lambda m, w, a: Answer(503, list(a.headers.items()), a.body, a.seconds) if w == "/metrics" and b"prelabel_store_up 0" in a.body else a),
    ("metrics: down when a writer holds the store", ["t_metrics_store_locked"], sample("prelabel_store_up", lambda v: 0.0)),
    ("metrics: a raw quote in a label", ["t_metrics_escaping"], metrics(lambda t: re.sub(r'(model_version|version)="', r'\1=""', t))),
    ("metrics: each program for itself", ["t_metrics_one_folder"], sample("prelabel_", lambda v: v // 2)),
    ("metrics: one of the first ones lost", ["t_metrics_first_requests"], sample('prelabel_http_requests_total{endpoint="livez"', more(-1))),
    ("metrics: another number of unknown paths", ["t_metrics_unknown_paths"], sample('prelabel_http_requests_total{endpoint="other"', more(1))),
    ("metrics: lost by a killed program", ["t_metrics_killed"], sample("prelabel_predicted_tasks_total", lambda v: v // 2)),
    ("metrics: slow", ["t_metrics_many"], lambda m, w, a: Answer(a.status, list(a.headers.items()), a.body, 9.0)),
    ("livez needs credentials", ["t_livez"], lambda m, w, a: Answer(401, list(a.headers.items()), a.body, a.seconds) if w == "/livez" else a),
    ("metrics open without credentials", ["t_livez"], lambda m, w, a: Answer(200, list(a.headers.items()), a.body, a.seconds) if w == "/metrics" else a),
]
