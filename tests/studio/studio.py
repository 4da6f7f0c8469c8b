#!/usr/bin/env python3
"""A Label Studio for tests: its API with what stands behind it, in memory, on a free port.

    from studio import Studio, PERSONAL, LEGACY
    with Studio() as ls:                        # personal tokens only, as a new 1.23.2
        ls.url, ls.key                          # LABEL_STUDIO_HOST, LABEL_STUDIO_API_KEY
        pid = ls.add_project("Reviews", ["positive", "negative"])
        ids = ls.add_tasks(pid, ["good", "bad"])
        ls.annotate(ids[0], "positive")         # sends webhooks, as a person's click would

It speaks protocol.md: connecting asks /health and /setup of the backend really (3),
makes a webhook (6.1) and leaves it behind; opening a task and the next task ask
/predict; annotations, imports and deletions send webhooks with the webhook's own
headers, once, for a second (6.2, 7.2).  What a test sets:

  legacy, personal     which kinds of key the organisation takes (8.2); revoked: keys
                       that are no longer good; lives: seconds of an access token
  ml_block_local_ip,   Label Studio's settings (11), off here, on by default there;
  ssrf_protection      any backend counts as local
  fault                fault(request, path) may answer itself and return True
  deliver              deliver(webhook, action, body): False drops it, a number waits
                       as many seconds first, True sends it
  clock_off            seconds by which its clock (Date, exp) is ahead

and looks at:

  projects, tasks, annotations, predictions, backends, webhooks     {id: object}
  seen                 every request: (method, path with query, Authorization, body)
  writes()             those that changed something
  calls                every request to a backend: (method, url, status or None)
  sent                 every webhook: (webhook id, action, status or None)

As a program it serves until its input ends:  studio.py [--legacy] [--port N]
"""
import base64
import datetime
import http.client
import http.server
import json
import random
import re
import sys
import threading
import time
import urllib.parse
import uuid

VERSION = "1.23.2"
ACTIONS = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_CREATED",
           "TASKS_DELETED", "PROJECT_UPDATED", "START_TRAINING", "LABEL_LINK_CREATED", "LABEL_LINK_UPDATED", "LABEL_LINK_DELETED")
STATES = {"CO": "Connected", "DI": "Disconnected", "ER": "Error", "TR": "Training", "PR": "Predicting"}
RESERVED = "URL resolves to a reserved network address (block: 127.0.0.0/8)"
WEBHOOK_SECONDS, BATCH = 1.0, 5000


def jwt(kind, exp, salt="0"):
    def part(o):
        return base64.urlsafe_b64encode(json.dumps(o).encode()).decode().rstrip("=")
    return ".".join((part({"alg": "HS256", "typ": "JWT"}),
                     part({"token_type": kind, "exp": int(exp), "iat": int(exp) - 300, "jti": salt, "user_id": "1"}), "x" * 43))


LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = jwt("refresh", 8102506261, "personal")


def config_of(labels, choice="single"):
    return ('<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="%s">%s</Choices></View>'
            % (choice, "".join('<Choice value="%s"/>' % x for x in labels)))


def choice(label, from_name="label", to_name="text"):
    return [{"from_name": from_name, "to_name": to_name, "type": "choices", "value": {"choices": [label]}}] if label else []


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status, detail, **errors):
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, errors


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or time.time()) + self.server.studio.clock_off)

    def reply(self, status, body=None, headers=()):
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(raw)))
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def fail(self, status, detail, **errors):
        body = {"id": str(uuid.uuid4()), "status_code": status, "version": VERSION, "detail": detail, "exc_info": None}
        if errors:
            body.update(detail="Validation error", validation_errors={k: [v] for k, v in errors.items()})
        self.reply(status, body)

    def handle_any(self):
        studio = self.server.studio
        n = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(n) if n else b""
        self.auth = self.headers.get("Authorization")
        studio.seen.append((self.command, self.path, self.auth, self.body))
        url = urllib.parse.urlsplit(self.path)
        if studio.fault and studio.fault(self, url.path):
            return
        if not url.path.startswith(studio.prefix + "/"):
            return self.reply(404, b"<!doctype html><h1>Not Found</h1>")
        try:
            studio.answer(self, url.path[len(studio.prefix):].rstrip("/") or "/", urllib.parse.parse_qs(url.query))
        except Refused as e:
            self.fail(e.status, e.detail, **e.errors)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = handle_any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass                                    # the client had enough


class Studio:
    def __init__(self, legacy=False, personal=True, lives=300, prefix="", port=0, ml_block_local_ip=False,
                 ssrf_protection=False):
        self.legacy, self.personal, self.lives, self.prefix = legacy, personal, lives, prefix
        self.ml_block_local_ip, self.ssrf_protection = ml_block_local_ip, ssrf_protection
        self.projects, self.tasks, self.annotations, self.predictions = {}, {}, {}, {}
        self.backends, self.webhooks, self.passwords = {}, {}, {}
        self.seen, self.calls, self.sent, self.issued, self.revoked = [], [], [], {}, set()
        self.fault, self.deliver, self.clock_off = None, None, 0
        self.newest_first = False                       # backends: a database lists them in any order
        self.lock, self.numbers = threading.RLock(), {}
        self.random, self.stamp = random.Random(1), 0.0
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.studio = self
        self.url = "http://127.0.0.1:%d%s" % (self.server.server_address[1], prefix)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    # ---- for tests ---------------------------------------------------------------

    @property
    def key(self):
        return PERSONAL if self.personal and not self.legacy else LEGACY

    def paths(self):
        return [p for _, p, _, _ in self.seen]

    def writes(self, since=0):
        """Requests that changed something, or meant to; an exchange of a key does not."""
        return [(m, p) for m, p, _, _ in self.seen[since:] if m not in ("GET", "HEAD") and "/api/token/refresh" not in p]

    def add_project(self, title="Reviews", labels=("positive", "negative"), config=None, **more):
        with self.lock:
            n = self.number("project")
            self.projects[n] = dict({
                "id": n, "title": title, "description": "", "label_config": config or config_of(labels), "organization": 1,
                "maximum_annotations": 1, "is_published": False, "model_version": "", "created_by": {"id": 1},
                "created_at": self.now(), "min_annotations_to_start_training": 0, "show_collab_predictions": True,
                "sampling": "Sequential sampling", "evaluate_predictions_automatically": False}, **more)
            return n

    def add_tasks(self, pid, texts, send=False):
        """Texts, or data objects; send: with the webhook of an import."""
        with self.lock:
            ids = [self.add_task(pid, t if isinstance(t, dict) else {"text": t}) for t in texts]
        if send:
            self.emit(pid, "TASKS_CREATED", tasks=[self.task_json(t) for t in ids])
        return ids

    def annotate(self, task, label, send=True, **more):
        """A label, "" for an empty annotation, or a list of regions; was_cancelled=True: skipped."""
        with self.lock:
            a = self.add_annotation(task, label if isinstance(label, list) else choice(label), **more)
        if send:
            self.emit_annotation("ANNOTATION_CREATED", a)
        return a["id"]

    def change(self, annotation, label, send=True, **more):
        with self.lock:
            a = self.annotations[annotation]
            a.update({"result": label if isinstance(label, list) else choice(label), "updated_at": self.now()}, **more)
        if send:
            self.emit_annotation("ANNOTATION_UPDATED", a)

    def delete_annotations(self, ids, send=True):
        with self.lock:
            pid = self.annotations[ids[0]]["project"]
            for i in ids:
                del self.annotations[i]
        if send:
            self.emit(pid, "ANNOTATIONS_DELETED", annotations=[{"id": i} for i in ids])

    def delete_tasks(self, ids, send=True):
        with self.lock:
            pid = self.tasks[ids[0]]["project"]
            for i in ids:
                self.drop_task(i)
        if send:
            self.emit(pid, "TASKS_DELETED", tasks=[{"id": i} for i in ids])

    # ---- objects -----------------------------------------------------------------

    def number(self, kind):
        self.numbers[kind] = self.numbers.get(kind, 0) + 1
        return self.numbers[kind]

    def now(self):
        """No two stamps are the same."""
        with self.lock:
            self.stamp = max(time.time() + self.clock_off, self.stamp + 1e-6)
            return datetime.datetime.fromtimestamp(self.stamp, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def add_task(self, pid, data, **more):
        n = self.number("task")
        now = self.now()
        self.tasks[n] = dict({"id": n, "data": data, "meta": {}, "created_at": now, "updated_at": now, "overlap": 1,
                              "inner_id": n, "updated_by": None, "file_upload": None, "comment_authors": [], "project": pid}, **more)
        return n

    def add_annotation(self, task, result, **more):
        n, now = self.number("annotation"), self.now()
        a = dict({"id": n, "completed_by": 1, "result": result, "was_cancelled": False, "ground_truth": False, "created_at": now,
                  "updated_at": now, "lead_time": 1.5, "prediction": {}, "unique_id": str(uuid.uuid4()), "task": task,
                  "project": self.tasks[task]["project"], "parent_prediction": None, "parent_annotation": None}, **more)
        self.annotations[n] = a
        return a

    def add_prediction(self, task, result, score=None, model_version=None, **_):
        if isinstance(score, str):
            score = float(score)
        n, now = self.number("prediction"), self.now()
        self.predictions[n] = {"id": n, "result": result, "score": score, "model_version": model_version, "task": task,
                               "project": self.tasks[task]["project"], "created_at": now, "updated_at": now, "cluster": None,
                               "neighbors": None, "mislabeling": 0.0}
        return self.predictions[n]

    def drop_task(self, n):
        del self.tasks[n]
        for kind in (self.annotations, self.predictions):
            for i in [i for i, o in kind.items() if o["task"] == n]:
                del kind[i]

    def of(self, kind, **where):
        with self.lock:
            return [o for _, o in sorted(kind.items()) if all(o[k] == v for k, v in where.items())]

    def labelled(self, task):
        return any(not a["was_cancelled"] for a in self.of(self.annotations, task=task))

    def task_json(self, n, full=False):
        notes, made = self.of(self.annotations, task=n), self.of(self.predictions, task=n)
        t = dict(self.tasks[n], is_labeled=self.labelled(n), total_annotations=sum(not a["was_cancelled"] for a in notes),
                 cancelled_annotations=sum(a["was_cancelled"] for a in notes), total_predictions=len(made))
        return dict(t, annotations=notes, predictions=made, drafts=[]) if full else t

    def project_json(self, p):
        tasks, notes = self.of(self.tasks, project=p["id"]), self.of(self.annotations, project=p["id"])
        return dict(p, task_number=len(tasks), total_annotations_number=len(notes),
                    total_predictions_number=len(self.of(self.predictions, project=p["id"])))

    def backend_json(self, b):
        return dict(b, readable_state=STATES[b["state"]], basic_auth_pass_is_set=bool(self.passwords.get(b["id"])))

    # ---- requests to backends (protocol 3, 4, 7) ---------------------------------

    def ask(self, method, url, body=None, auth=None, timeout=3.0, headers=None):
        """(status, JSON or None); status None: no answer in time."""
        u = urllib.parse.urlsplit(url)
        head = {"Content-Type": "application/json", "User-Agent": "heartex/" + VERSION, **(headers or {})}
        if u.username:
            auth = (urllib.parse.unquote(u.username), urllib.parse.unquote(u.password or ""))
        if auth:
            head["Authorization"] = "Basic " + base64.b64encode(("%s:%s" % auth).encode("latin-1")).decode()
        status, out = None, None
        try:
            c = http.client.HTTPConnection(u.hostname, u.port or 80, timeout=timeout)
            c.request(method, u.path or "/", None if body is None else json.dumps(body).encode(), head)
            r = c.getresponse()
            status, raw = r.status, r.read()
            c.close()
            out = json.loads(raw)
        except (OSError, ValueError, http.client.HTTPException):
            pass
        self.calls.append((method, url, status))
        return status, out

    def ask_backend(self, b, method, name, body=None, timeout=3.0):
        user, word = b["basic_auth_user"], self.passwords.get(b.get("id"), b.get("basic_auth_pass"))
        return self.ask(method, b["url"].rstrip("/") + "/" + name, body, (user, word) if user and word else None, timeout)

    def ask_setup(self, b):
        p = self.projects[b["project"]]
        made = datetime.datetime.fromisoformat(p["created_at"].replace("Z", "+00:00"))
        return self.ask_backend(b, "POST", "setup", {
            "project": "%d.%d" % (p["id"], made.timestamp()), "schema": p["label_config"], "hostname": "http://localhost:8080",
            "access_token": LEGACY, "extra_params": b.get("extra_params")})

    def refresh(self, b):
        """Its state, as every read of it makes it; its version, None: not ready."""
        version = None
        if self.ask_backend(b, "GET", "health", timeout=1.0)[0] != 200:
            b["state"] = "DI"
        else:
            status, out = self.ask_setup(b)
            if status is None or status >= 400 or not isinstance(out, dict):
                b.update(state="ER", error_message="%s Error for url: %s/setup" % (status, b["url"]))
            else:
                version = b["model_version"] = out.get("model_version")
                b.update(state="CO", error_message=None)
        return version

    def predict(self, pid, tasks):
        """Of the first backend, for tasks without its version; the version, or None."""
        backends = self.of(self.backends, project=pid)
        version = self.refresh(backends[0]) if backends else None
        if version is None:
            return None
        lack = [t for t in tasks if not self.of(self.predictions, task=t, model_version=version)]
        if not lack:
            return version
        p = self.projects[pid]
        made = datetime.datetime.fromisoformat(p["created_at"].replace("Z", "+00:00"))
        _, out = self.ask_backend(backends[0], "POST", "predict", {
            "tasks": [self.task_json(t, full=True) for t in lack], "project": "%d.%d" % (pid, made.timestamp()),
            "label_config": p["label_config"], "params": {"login": None, "password": None, "context": None}}, 100.0)
        results = out.get("results") if isinstance(out, dict) else None
        if isinstance(results, list) and len(results) == len(lack):
            with self.lock:
                for t, r in zip(lack, results):
                    if t in self.tasks and "result" in r:
                        self.add_prediction(t, r["result"], r.get("score"), r.get("model_version", version))
        return version

    def live(self, pid):
        """The labelling stream asks the backend."""
        p, b = self.projects[pid], self.of(self.backends, project=pid)
        return bool(p["show_collab_predictions"] and b and b[0]["title"] == p["model_version"])

    # ---- webhooks (protocol 6) ---------------------------------------------------

    def emit_annotation(self, action, a):
        with self.lock:
            payload = {"annotation": dict(a), "task": self.task_json(a["task"])}
        self.emit(a["project"], action, **payload)

    def emit(self, pid, action, **payload):
        lists = [k for k, v in payload.items() if isinstance(v, list)]
        if lists and len(payload[lists[0]]) > BATCH:
            for i in range(0, len(payload[lists[0]]), BATCH):
                self.emit(pid, action, **{k: v[i:i + BATCH] for k, v in payload.items()})
            return
        for w in self.of(self.webhooks, project=pid):
            if not w["is_active"] or not (w["send_for_all_actions"] or action in w["actions"]):
                continue
            body = {"action": action}
            if w["send_payload"]:
                body.update(payload, project=self.project_json(self.projects[pid]))
            go = True if self.deliver is None else self.deliver(w, action, body)
            if go is False:
                continue
            if go is not True:
                time.sleep(go)
            status = None
            if not self.ssrf_protection:
                status, _ = self.ask("POST", w["url"], body, timeout=WEBHOOK_SECONDS,
                                     headers={"User-Agent": "python-requests/2.32", **w["headers"]})
            self.sent.append((w["id"], action, status))

    def add_webhook(self, pid, url, **more):
        if self.ssrf_protection:
            raise Refused(403, RESERVED)
        with self.lock:
            n, now = self.number("webhook"), self.now()
            self.webhooks[n] = dict({"id": n, "organization": 1, "project": pid, "url": url, "send_payload": True,
                                     "send_for_all_actions": True, "headers": {}, "is_active": True, "actions": [],
                                     "created_at": now, "updated_at": now}, **more)
            return self.webhooks[n]

    # ---- who asks (protocol 8.2) -------------------------------------------------

    def allowed(self, auth):
        kind, _, token = (auth or "").partition(" ")
        if token in self.revoked:
            return False
        return kind == "Bearer" and self.issued.get(token, 0) > time.time() or kind == "Token" and self.legacy and token == LEGACY

    def exchange(self, h):
        given = h.given.get("refresh") if isinstance(h.given, dict) else None
        if not given:
            raise Refused(400, "", refresh="This field is required.")
        if not self.personal or given != PERSONAL or given in self.revoked:
            raise Refused(401, "Token is invalid or expired")
        end = time.time() + self.lives
        token = jwt("access", end + self.clock_off, "access%d" % len(self.issued))
        self.issued[token] = end
        h.reply(200, {"access": token})

    def refuse(self, auth):
        if (auth or "").startswith("Token ") and not self.legacy and auth == "Token " + LEGACY:
            raise Refused(401, "Authentication token no longer valid: legacy token authentication has been disabled for this organization")
        raise Refused(401, "Invalid token." if (auth or "").startswith("Token ") else "Authentication credentials were not provided.")

    # ---- the API -----------------------------------------------------------------

    def answer(self, h, path, query):
        try:
            h.given = json.loads(h.body) if h.body else {}
        except ValueError:
            raise Refused(400, "JSON parse error")
        q = {k: v[-1] for k, v in query.items()}
        if path == "/api/token/refresh":
            return self.exchange(h)
        if path == "/health":
            return h.reply(200, {"status": "UP"})
        if path in ("/api/version", "/version"):
            return h.reply(200, {"release": VERSION, "label-studio-os-package": {"version": VERSION}, "edition": "Community"})
        if not path.startswith("/api/"):
            return h.reply(404, b"<!doctype html><h1>Not Found</h1>")
        if not self.allowed(h.auth):
            self.refuse(h.auth)
        for pattern, call in ROUTES:
            m = re.match(pattern + "$", path)
            if m:
                return call(self, h, q, *[int(g) for g in m.groups()])
        raise Refused(404, "Not found.")

    def find(self, kind, n, what):
        if n not in kind:
            raise Refused(404, "No %s matches the given query." % what)
        return kind[n]

    def paged(self, h, q, rows, size=30, most=100):
        size, page = min(int(q.get("page_size", size)), most), int(q.get("page", 1))
        part = rows[(page - 1) * size:page * size]
        if page > 1 and not part:
            raise Refused(404, "Invalid page.")
        more = "%s%s?page=%d" % (self.url, h.path.split("?")[0], page + 1) if page * size < len(rows) else None
        h.reply(200, {"count": len(rows), "next": more, "previous": None, "results": part})

    def on_user(self, h, q):
        h.reply(200, {"id": 1, "email": "admin@example.com", "username": "admin", "active_organization": 1})

    def on_jwt(self, h, q):
        if h.command == "POST":
            self.legacy = bool(h.given.get("legacy_api_tokens_enabled", self.legacy))
            self.personal = bool(h.given.get("api_tokens_enabled", self.personal))
        h.reply(200, {"api_tokens_enabled": self.personal, "legacy_api_tokens_enabled": self.legacy})

    def on_organization(self, h, q, n):
        h.reply(200, {"id": n, "title": "Label Studio", "created_at": self.now()})

    def on_projects(self, h, q):
        if h.command == "POST":
            g = h.given
            if len(g.get("title", "")) > 50 or "label_config" in g and "<View" not in g["label_config"]:
                raise Refused(400, "", **({"title": "Ensure this field has no more than 50 characters."} if len(g.get("title", "")) > 50
                                          else {"label_config": "Provided label configuration is not a valid XML"}))
            n = self.add_project(g.get("title", "New project"), config=g.get("label_config", "<View></View>"))
            self.projects[n].update({k: v for k, v in g.items() if k in self.projects[n] and k not in ("id", "created_at")})
            return h.reply(201, self.project_json(self.projects[n]))
        rows = [self.project_json(p) for p in sorted(self.projects.values(), key=lambda p: -p["id"])]
        self.paged(h, q, [p for p in rows if q.get("title", "").lower() in p["title"].lower()])

    def on_project(self, h, q, n):
        p = self.find(self.projects, n, "Project")
        if h.command == "PATCH":
            g = dict(h.given)
            version = g.get("model_version")
            if version and version != p["model_version"] and not self.of(self.backends, project=n, title=version) \
                    and not self.of(self.predictions, project=n, model_version=version):
                raise Refused(400, "", model_version="Model version doesn't exist either as live model or as static predictions.")
            if g.get("show_collab_predictions") is False:
                g["model_version"] = g.get("model_version", "")
                p["model_version"] = ""
            p.update({k: v for k, v in g.items() if k in p and k not in ("id", "created_at")})
            self.emit(n, "PROJECT_UPDATED")
        elif h.command == "DELETE":
            with self.lock:
                for t in self.of(self.tasks, project=n):
                    self.drop_task(t["id"])
                for kind in (self.backends, self.webhooks):
                    for o in self.of(kind, project=n):
                        del kind[o["id"]]
                del self.projects[n]
            return h.reply(204)
        h.reply(200, self.project_json(p))

    def on_export(self, h, q, n):
        self.find(self.projects, n, "Project")
        every, ids = q.get("download_all_tasks") == "true", re.findall(r"ids(?:\[\]|%5B%5D)=(\d+)", h.path)
        with self.lock:
            out = []
            for t in self.of(self.tasks, project=n):
                full = self.task_json(t["id"], full=True)
                if (full["annotations"] or every) and (not ids or str(t["id"]) in ids):
                    full["predictions"] = [p["id"] for p in full["predictions"]]
                    out.append(full)
        h.reply(200, out)

    def on_import(self, h, q, n):
        p = self.find(self.projects, n, "Project")
        rows = h.given if isinstance(h.given, list) else [h.given]
        wanted = re.findall(r'value="\$(\w+)"', p["label_config"])
        for i, r in enumerate(rows):
            data = r.get("data", r) if isinstance(r, dict) else None
            if not isinstance(data, dict) or any(w not in data for w in wanted):
                raise Refused(400, "", non_field_errors="Error at item %d: \"%s\" key is expected in task data" % (i, wanted[:1]))
        with self.lock:
            ids, notes, made = [], 0, 0
            for r in rows:
                ids.append(self.add_task(n, r.get("data", r)))
                for a in r.get("annotations") or []:
                    self.add_annotation(ids[-1], a.get("result", []), was_cancelled=bool(a.get("was_cancelled")))
                    notes += 1
                for one in r.get("predictions") or []:
                    self.add_prediction(ids[-1], one.get("result", []), one.get("score"), one.get("model_version", "undefined"))
                    p["model_version"] = p["model_version"] or one.get("model_version", "undefined")
                    made += 1
            tasks = [self.task_json(t) for t in ids]
        self.emit(n, "TASKS_CREATED", tasks=tasks)
        out = {"task_count": len(ids), "annotation_count": notes, "prediction_count": made, "duration": 0.1,
               "file_upload_ids": [], "could_be_tasks_list": False, "found_formats": [], "data_columns": []}
        if q.get("return_task_ids") == "true":
            out["task_ids"] = ids
        h.reply(201, out)

    def on_import_predictions(self, h, q, n):
        self.find(self.projects, n, "Project")
        rows = h.given if isinstance(h.given, list) else [h.given]
        if any(self.tasks.get(r.get("task"), {}).get("project") != n for r in rows):
            raise Refused(400, "", task="Tasks are not of this project.")
        with self.lock:
            for r in rows:
                self.add_prediction(r["task"], r.get("result", []), r.get("score"), r.get("model_version", "undefined"))
        h.reply(201, {"created": len(rows)})

    def on_next(self, h, q, n):
        p = self.find(self.projects, n, "Project")
        mine = {a["task"] for a in self.annotations.values()}
        open_tasks = [t["id"] for t in self.of(self.tasks, project=n) if t["id"] not in mine]
        if not open_tasks:
            raise Refused(404, "There are still some tasks to complete for the user, but they seem to be locked by another user.")
        one = open_tasks[0]
        if p["sampling"] == "Uniform sampling":
            one = self.random.choice(open_tasks)
        elif p["sampling"] == "Uncertainty sampling":
            scored = [(m["score"], m["task"]) for m in self.of(self.predictions, project=n, model_version=p["model_version"])
                      if m["task"] in open_tasks]
            one = min(scored, key=lambda s: (s[0] is not None, s[0] or 0))[1] if scored else self.random.choice(open_tasks)
        made = self.of(self.predictions, task=one)
        if self.live(n):
            version = self.predict(n, [one])
            made = self.of(self.predictions, task=one, model_version=version)
        elif p["show_collab_predictions"] and p["model_version"]:
            made = [m for m in made if m["model_version"] == p["model_version"]]
        h.reply(200, dict(self.task_json(one, full=True), predictions=made))

    def on_model_versions(self, h, q, n):
        self.find(self.projects, n, "Project")
        counts = {}
        for m in self.of(self.predictions, project=n):
            counts[m["model_version"]] = counts.get(m["model_version"], 0) + 1
        if q.get("extended") == "true":
            return h.reply(200, {"static": [{"model_version": k, "count": v, "latest": self.now()} for k, v in counts.items()],
                                 "live": [self.backend_json(b) for b in self.of(self.backends, project=n)]})
        h.reply(200, counts)

    def on_project_tasks(self, h, q, n):
        self.find(self.projects, n, "Project")
        if h.command == "DELETE":
            with self.lock:
                for t in self.of(self.tasks, project=n):
                    self.drop_task(t["id"])
            return h.reply(204)
        h.reply(200, [self.task_json(t["id"]) for t in self.of(self.tasks, project=n)])

    def on_tasks(self, h, q):
        if h.command == "POST":
            n = self.add_task(self.find(self.projects, h.given.get("project"), "Project")["id"], h.given.get("data", {}))
            self.emit(h.given["project"], "TASKS_CREATED", tasks=[self.task_json(n)])
            return h.reply(201, self.task_json(n))
        pid, page, size = int(q.get("project", 0)), int(q.get("page", 1)), int(q.get("page_size", 100))
        self.find(self.projects, pid, "Project")
        if "query" in q:
            return self.on_tasks_query(h, pid, page, size, json.loads(urllib.parse.unquote(q["query"])))
        with self.lock:
            rows = self.of(self.tasks, project=pid)
            part = rows[(page - 1) * size:page * size]
            if page > 1 and not part:
                raise Refused(404, "Invalid page.")
            out = [self.task_json(t["id"], full=True) for t in part]
            if q.get("fields") != "all":
                out = [dict(t, annotations=[], predictions=[]) for t in out]
            h.reply(200, {"total_annotations": len(self.of(self.annotations, project=pid)),
                          "total_predictions": len(self.of(self.predictions, project=pid)), "total": len(rows), "tasks": out})

    def on_tasks_query(self, h, pid, page, size, query):
        """The Data Manager's filters, those that are needed here; by id."""
        with self.lock:
            labelled = {a["task"] for a in self.annotations.values() if a["project"] == pid and not a["was_cancelled"]}
            versions = {}
            for m in self.predictions.values():
                versions.setdefault(m["task"], []).append(m["model_version"] or "")
            tests = {("predictions_model_versions", "not_contains"): lambda t, v: not any(x in m for x in v for m in versions.get(t, ())),
                     ("id", "greater"): lambda t, v: t > v, ("id", "equal"): lambda t, v: t == v,
                     ("total_predictions", "greater"): lambda t, v: len(versions.get(t, ())) > v,
                     ("is_labeled", "equal"): lambda t, v: (t in labelled) == (str(v).lower() == "true")}
            rows = sorted(t["id"] for t in self.tasks.values() if t["project"] == pid)
            for f in query.get("filters", {}).get("items", []):
                test = tests[f["filter"].replace("filter:tasks:", ""), f["operator"]]
                rows = [t for t in rows if test(t, f["value"])]
            part = rows[(page - 1) * size:page * size]
            if page > 1 and not part:
                raise Refused(404, "Invalid page.")
            out = [dict(self.tasks[t], is_labeled=t in labelled, total_predictions=len(versions.get(t, ()))) for t in part]
        bare = [t for t in part if t not in versions]
        if bare and self.projects[pid]["evaluate_predictions_automatically"]:
            self.predict(pid, bare)
        h.reply(200, {"total_annotations": 0, "total_predictions": 0, "total": len(rows), "tasks": out})

    def on_task(self, h, q, n):
        t = self.find(self.tasks, n, "Task")
        if h.command == "DELETE":
            self.delete_tasks([n])
            return h.reply(204)
        if h.command == "PATCH":
            t.update({k: v for k, v in h.given.items() if k in ("data", "meta", "overlap")}, updated_at=self.now())
            return h.reply(200, self.task_json(n))
        if not self.of(self.predictions, task=n) and self.projects[t["project"]]["show_collab_predictions"]:
            self.predict(t["project"], [n])
        h.reply(200, self.task_json(n, full=True))

    def on_task_annotations(self, h, q, n):
        self.find(self.tasks, n, "Task")
        if h.command != "POST":
            return h.reply(200, [a for a in self.of(self.annotations, task=n) if not a["was_cancelled"]])
        a = self.annotate(n, h.given.get("result", []), **{k: h.given[k] for k in ("was_cancelled", "ground_truth") if k in h.given})
        h.reply(201, self.annotations[a])

    def on_annotation(self, h, q, n):
        a = self.find(self.annotations, n, "Annotation")
        if h.command == "DELETE":
            self.delete_annotations([n])
            return h.reply(204)
        if h.command in ("PATCH", "PUT"):
            self.change(n, h.given.get("result", a["result"]),
                        **{k: h.given[k] for k in ("was_cancelled", "ground_truth") if k in h.given})
        h.reply(200, self.annotations[n])

    def on_predictions(self, h, q):
        if h.command == "POST":
            t = self.find(self.tasks, h.given.get("task"), "Task")
            if "model_version" in h.given and h.given["model_version"] is None:
                raise Refused(400, "", model_version="This field may not be null.")
            with self.lock:
                return h.reply(201, self.add_prediction(t["id"], h.given.get("result", []), h.given.get("score"),
                                                        h.given.get("model_version", "")))
        where = {k: int(q[k]) for k in ("project", "task") if k in q}
        h.reply(200, self.of(self.predictions, **where))

    def on_prediction(self, h, q, n):
        m = self.find(self.predictions, n, "Prediction")
        if h.command == "DELETE":
            with self.lock:
                del self.predictions[n]
            return h.reply(204)
        if h.command in ("PATCH", "PUT"):
            m.update({k: v for k, v in h.given.items() if k in ("result", "score", "model_version")})
        h.reply(200, m)

    def check_backend(self, b, stored=None):
        """What is refused before a backend is kept."""
        if self.ml_block_local_ip:
            raise Refused(403, RESERVED)
        if b.get("auth_method") == "BASIC_AUTH" and not (b.get("basic_auth_user") and b.get("basic_auth_pass")):
            raise Refused(400, "", non_field_errors="Authentication username and password is required for Basic Authentication.")
        status, _ = self.ask_backend(b, "GET", "health", timeout=1.0)
        if status != 200:
            raise Refused(400, "", non_field_errors="Able to connect to ML Server, but authentication parameters were either not "
                          "provided or are incorrect." if status == 401 else
                          "Can't connect to ML backend %s, health check failed. Make sure it is up and your firewall is properly "
                          "configured." % b["url"])
        status, out = self.ask_setup(dict(b, project=stored["project"] if stored else b["project"]))
        if status is None or status >= 400 or not isinstance(out, dict):
            raise Refused(400, "", non_field_errors="Successfully connected to %s but it doesn't look like a valid ML backend. "
                          "Reason: %s Error." % (b["url"], status))

    def on_backends(self, h, q):
        if h.command != "POST":
            pid = int(q.get("project", 0))
            self.find(self.projects, pid, "Project")
            for b in self.of(self.backends, project=pid):
                self.refresh(b)
            listed = [self.backend_json(b) for b in self.of(self.backends, project=pid)]
            return h.reply(200, listed[::-1] if self.newest_first else listed)
        g = dict({"title": "default", "is_interactive": False, "auth_method": "NONE", "basic_auth_user": "", "basic_auth_pass": None,
                  "description": "", "extra_params": None, "timeout": 100.0, "auto_update": True}, **h.given)
        if self.ml_block_local_ip:                      # the address before the project
            raise Refused(403, RESERVED)
        p = self.find(self.projects, g.get("project"), "Project")
        if h.given.get("basic_auth_pass") == "":
            raise Refused(500, "'NoneType' object has no attribute 'basic_auth_pass'")
        self.check_backend(g)
        with self.lock:
            n, now = self.number("backend"), self.now()
            word = g.pop("basic_auth_pass")
            b = dict(g, id=n, state="DI", error_message=None, model_version="", created_at=now, updated_at=now)
            self.backends[n], self.passwords[n] = b, word
        hook = b["url"].rstrip("/") + "/webhook"
        if not self.of(self.webhooks, project=p["id"], url=hook):
            self.add_webhook(p["id"], hook)             # refused: the backend is there, and no more is done
        self.refresh(b)
        if p["show_collab_predictions"] and not p["model_version"]:
            p["model_version"] = b["title"]
        h.reply(201, self.backend_json(b))

    def on_backend(self, h, q, n):
        b = self.find(self.backends, n, "MLBackend")
        self.refresh(b)
        if h.command == "DELETE":
            with self.lock:
                del self.backends[n]
            return h.reply(204)
        if h.command == "PATCH":
            g = dict(h.given)
            if "url" not in g or "project" not in g:
                raise Refused(500, "'url'")
            if "basic_auth_pass" in g and not g["basic_auth_pass"]:
                if not self.passwords.get(n):
                    raise Refused(400, "", basic_auth_pass="Authentication password is required for Basic Authentication.")
                g["basic_auth_pass"] = self.passwords[n]
            self.check_backend(dict({"basic_auth_user": None, "basic_auth_pass": None}, **g), b)
            with self.lock:
                self.passwords[n] = g.pop("basic_auth_pass", self.passwords.get(n))
                p = self.projects[b["project"]]
                if g.get("title", b["title"]) != b["title"] and p["model_version"] == b["title"]:
                    p["model_version"] = g["title"]
                b.update(g, updated_at=self.now())
            self.refresh(b)
        h.reply(200, self.backend_json(b))

    def on_train(self, h, q, n):
        b = self.find(self.backends, n, "MLBackend")
        status, out = self.ask_backend(b, "POST", "webhook", {
            "action": "START_TRAINING", "project": self.project_json(self.projects[b["project"]])}, 100.0)
        good = status is not None and status < 400 and isinstance(out, dict)
        b.update(state="TR" if good else "ER", error_message=None if good else "%s Error" % status)
        h.reply(200)

    def on_versions(self, h, q, n):
        status, out = self.ask_backend(self.find(self.backends, n, "MLBackend"), "GET", "versions")
        h.reply(200, out if status == 200 else {"versions": [], "message": "Status: %s" % status})

    def on_webhooks(self, h, q):
        if h.command != "POST":
            return h.reply(200, self.of(self.webhooks, **({"project": int(q["project"])} if "project" in q else {})))
        if not re.match("https?://[^ ]+$", h.given.get("url", "")):
            raise Refused(400, "", url="Enter a valid URL.")
        if self.ssrf_protection:
            raise Refused(403, RESERVED)
        self.find(self.projects, h.given.get("project"), "Project")
        self.check_hook(h.given)
        keep = ("send_payload", "send_for_all_actions", "headers", "is_active", "actions")
        h.reply(201, self.add_webhook(h.given["project"], h.given["url"], **{k: h.given[k] for k in keep if k in h.given}))

    def check_hook(self, g):
        head = g.get("headers", {})
        if not isinstance(head, dict) or len(head) > 10 or \
                any(not re.match("[A-Za-z0-9_-]+$", k) or not isinstance(v, str) for k, v in head.items()):
            raise Refused(400, "", headers="%r does not fit" % head)   # repeats them, as the real one does
        for a in g.get("actions", []):
            if a not in ACTIONS:
                raise Refused(400, "", actions='"%s" is not a valid choice.' % a)

    def on_webhook(self, h, q, n):
        w = self.find(self.webhooks, n, "Webhook")
        if h.command == "DELETE":
            with self.lock:
                del self.webhooks[n]
            return h.reply(204)
        if h.command in ("PATCH", "PUT"):
            if "url" in h.given and self.ssrf_protection:
                raise Refused(403, RESERVED)
            self.check_hook(h.given)
            w.update({k: v for k, v in h.given.items() if k in w and k not in ("id", "organization", "project", "created_at")},
                     updated_at=self.now())
        h.reply(200, w)

    def on_action(self, h, q):
        pid = int(q.get("project", 0))
        self.find(self.projects, pid, "Project")
        chosen = h.given.get("selectedItems") or {}
        ids = [t["id"] for t in self.of(self.tasks, project=pid)]
        ids = [i for i in ids if i not in chosen.get("excluded", [])] if chosen.get("all") else \
            [i for i in ids if i in chosen.get("included", [])]
        what = q.get("id")
        if what == "retrieve_tasks_predictions":
            self.predict(pid, ids)
        elif what == "delete_tasks":
            self.delete_tasks(ids) if ids else None
        elif what == "delete_tasks_annotations":
            notes = [a["id"] for a in self.of(self.annotations, project=pid) if a["task"] in ids]
            self.delete_annotations(notes) if notes else None
        elif what == "delete_tasks_predictions":
            with self.lock:
                for m in [m["id"] for m in self.of(self.predictions, project=pid) if m["task"] in ids]:
                    del self.predictions[m]
        elif what == "predictions_to_annotations":
            with self.lock:
                made = [self.add_annotation(m["task"], m["result"], parent_prediction=m["id"])
                        for m in self.of(self.predictions, project=pid) if m["task"] in ids
                        and m["model_version"] == h.given.get("model_version", m["model_version"])]
                tasks = [self.task_json(a["task"]) for a in made]
            self.emit(pid, "ANNOTATIONS_CREATED", annotation=made, task=tasks)
        else:
            raise Refused(404, "Not found.")
        h.reply(200, {"processed_items": len(ids), "detail": "Retrieved %d predictions" % len(ids)})


ROUTES = [(r"/api/" + p, c) for p, c in (
    (r"current-user/whoami", Studio.on_user), (r"jwt/settings", Studio.on_jwt), (r"organizations/(\d+)", Studio.on_organization),
    (r"projects", Studio.on_projects), (r"projects/(\d+)", Studio.on_project), (r"projects/(\d+)/export", Studio.on_export),
    (r"projects/(\d+)/import", Studio.on_import), (r"projects/(\d+)/import/predictions", Studio.on_import_predictions),
    (r"projects/(\d+)/next", Studio.on_next), (r"projects/(\d+)/model-versions", Studio.on_model_versions),
    (r"projects/(\d+)/tasks", Studio.on_project_tasks), (r"tasks", Studio.on_tasks), (r"tasks/(\d+)", Studio.on_task),
    (r"tasks/(\d+)/annotations", Studio.on_task_annotations), (r"annotations/(\d+)", Studio.on_annotation),
    (r"predictions", Studio.on_predictions), (r"predictions/(\d+)", Studio.on_prediction), (r"ml", Studio.on_backends),
    (r"ml/(\d+)", Studio.on_backend), (r"ml/(\d+)/train", Studio.on_train), (r"ml/(\d+)/versions", Studio.on_versions),
    (r"webhooks", Studio.on_webhooks), (r"webhooks/(\d+)", Studio.on_webhook), (r"dm/actions", Studio.on_action))]


def main():
    port = int(sys.argv[sys.argv.index("--port") + 1]) if "--port" in sys.argv else 0
    with Studio(legacy="--legacy" in sys.argv, port=port) as ls:
        print("LABEL_STUDIO_HOST=%s LABEL_STUDIO_API_KEY=%s" % (ls.url, ls.key), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
