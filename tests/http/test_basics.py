"""test_basics.py - health, unknown paths, methods, HEAD, the error form, what the web server itself refuses."""
import contextlib
import json
import os
import socket
import subprocess
import time

from harness import BUILD, SLOW, Cgi, Project, Server, Stopwatch, basic, both, check, content

ENDPOINTS = {"/": "GET", "/health": "GET", "/livez": "GET", "/versions": "GET", "/status": "GET", "/job_status": "GET", "/metrics": "GET",
             "/setup": "POST", "/predict": "POST", "/webhook": "POST", "/train": "POST",
             "/validate": "POST", "/delete": "POST", "/duplicate_model": "POST"}
TWO = {"/versions": ("GET", "POST"), "/job_status": ("GET", "POST")}      # older releases ask by POST


@both
def t_health(open_backend):
    with open_backend() as b:
        for path in ("/", "/health", "/livez", "/health?x=1"):
            a = b.get(path)
            j = a.json or {}
            check(f"GET {path}: 200, UP, model class, version", a.status == 200 and j.get("status") == "UP" and
                  isinstance(j.get("model_class"), str) and j["model_class"] and isinstance(j.get("version"), str) and j["version"], a)
        check("the model class is that of the kind that serves", (b.get("/health").json or {}).get("model_class") == "tfidf_logreg", b.get("/health"))
        check("health is application/json", b.get("/health").headers.get("content-type", "").startswith("application/json"))
        check("health within 1 s", b.timed(lambda: b.get("/health")).seconds < SLOW)


@both
def t_unknown_paths(open_backend):
    with open_backend() as b:
        for path in ("/nothing", "/predict2", "/predict/x", "/Health", "/setup/extra/path", "/api/predict", "/cgi/predict", "/favicon.ico",
                     "/health%00", "/%2e%2e/%2e%2e/etc/passwd", "/lighttpd.conf", "/data/prelabel.sqlite3"):
            if "%00" in path and open_backend is not Server:
                continue    # an environment variable cannot hold it
            a = b.get(path)
            # The web server may refuse a path with NUL or one that leaves the root by itself, with 400.
            allowed = (404, 400) if "%" in path else (404,)
            check(f"404 as JSON: {path}", a.status in allowed and not a.error_form(), lambda: f"{a} {a.error_form()}")


@both
def t_wrong_methods(open_backend):
    with open_backend() as b:
        for path, right in ENDPOINTS.items():
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                if method in TWO.get(path, (right,)):
                    continue
                a = b.request(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else None)
                allow = [m.strip() for m in a.headers.get("allow", "").split(",")]
                check(f"405 with Allow: {method} {path}", a.status == 405 and right in allow and method not in allow and not a.error_form(),
                      lambda: f"{a} Allow: {a.headers.get('allow')} {a.error_form()}")


@both
def t_head(open_backend):
    with open_backend() as b:
        a = b.request("HEAD", "/health")
        # HEAD is no GET in the table of interface.md: an answer like GET's without a body, or 405, are both in order; a body is not.
        check("HEAD /health: 200 or 405, no body", a.status in (200, 405) and a.body == b"", a)


def t_trace_refused():
    with Server() as b:
        out = b.raw(b"TRACE /health HTTP/1.1\r\nHost: x\r\nX-Secret-Thing: not-hexadecimal\r\nConnection: close\r\n\r\n")
        check("TRACE is refused and echoes nothing", out[9:12] in (b"405", b"501", b"400") and b"not-hexadecimal" not in out, out[:300])


@both
def t_error_form(open_backend):
    with open_backend() as b:
        seen = set()
        p = Project()
        for name, a, status in (
                ("not JSON", b.post("/predict", b"{"), 400), ("wrong shape", b.post("/predict", {}), 422), ("unknown path", b.get("/x"), 404),
                ("method", b.get("/predict"), 405), ("not JSON, setup", b.post("/setup", b"nope"), 400),
                ("not JSON, webhook", b.post("/webhook", b"[1,"), 400), ("coding", b.post("/predict", p.predict_body(["x"]), headers={"Content-Encoding": "gzip"}), 415)):
            check(f"error document: {name} {status}", a.status == status and not a.error_form(), lambda: f"{a} {a.error_form()}")
            seen.add((a.json or {}).get("request_id"))
        check("each request has its own id", len(seen) == 7, seen)
        a = b.post("/predict", b"", headers={"Content-Length": None} if open_backend is not Server else None)
        check("no body: 400 or 411", a.status in (400, 411) and not a.error_form(), lambda: f"{a} {a.error_form()}")


@both
def t_content_types(open_backend):
    with open_backend() as b:
        body = Project().predict_body(["x"])
        for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
            a = b.post("/predict", body, headers={"Content-Type": kind})
            check(f"content type taken: {kind}", a.status == 200, a)
        # interface.md has 415 and does not say for which types; curl -d sends a JSON text as a form.  Answered or 415, nothing else.
        for kind in ("text/html", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
            a = b.post("/predict", body, headers={"Content-Type": kind})
            check(f"200 or 415: {kind}", a.status == 200 or a.status == 415 and not a.error_form(), lambda: f"{a} {a.error_form()}")
        a = b.post("/predict", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xabV*I,\xceV\xb2\x8a\xd5Q\0", headers={"Content-Encoding": "gzip"})
        check("415: a gzip body", a.status == 415 and not a.error_form(), lambda: f"{a} {a.error_form()}")


def t_web_server_refuses_in_json():
    """What lighttpd refuses itself comes out as the same JSON (interface.md, Statuses)."""
    with Server(MAX_BODY_MB=1) as b:
        big = b.post("/predict", b'{"tasks": [' + b'"x",' * 600000 + b'"x"]}')
        check("413 as JSON", big.status == 413 and not big.error_form(), lambda: f"{big} {big.error_form()}")
        out = b.raw(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n", half_close=False)
        head, _, body = out.partition(b"\r\n\r\n")
        try:
            j = json.loads(body)
        except ValueError:
            j = {}
        check("a POST without a length: 411 (or 400) as JSON", head[9:12] in (b"411", b"400") and j.get("status") == int(head[9:12] or 0)
              and isinstance(j.get("error"), str) and j.get("request_id"), out[:400])
        p = Project()
        check("and the next request is answered", b.predict(p, ["good"]).status == 200)


def t_cgi_refusal_before_the_body_on_one_socket():
    """Apache's mod_cgid: input and output are one socket, which closed with unread bytes is reset, and the reply lost."""
    with Cgi(BASIC_AUTH_USER="u", BASIC_AUTH_PASS="p") as b:
        for name, method, auth, want in (("405", "PUT", basic("u", "p"), b"Status: 405"), ("401", "POST", None, b"Status: 401")):
            program, env = b.variables(method, "/predict", b"x" * 900_000, {"Authorization": auth})
            ours, theirs = socket.socketpair()
            with ours, theirs:
                p = subprocess.Popen([os.path.join(BUILD, "cgi", program)], env=env, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
                theirs.close()
                ours.settimeout(10 * SLOW)
                got, sent = b"", ""
                try:
                    ours.sendall(b"x" * 900_000)
                    while part := ours.recv(65536):
                        got += part
                except OSError as e:
                    sent = str(e)
                check(f"{name} beside 900 KB that nobody reads: the reply arrives", got.startswith(want) and b"request_id" in got and not sent, (got[:200], sent))
                check(f"{name}: and the program ends", p.wait(10 * SLOW) == 0, p.returncode)
        # An input that stays open holds nobody up for long.
        program, env = b.variables("PUT", "/predict", b"x" * 900_000, {"Authorization": basic("u", "p")})
        for name, pause in (("never comes", None), ("comes a byte at a time", 0.2)):
            p = subprocess.Popen([os.path.join(BUILD, "cgi", program)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            watch = Stopwatch([p.pid])
            with contextlib.suppress(BrokenPipeError):
                while pause and p.poll() is None and watch.seconds() < 20 * SLOW:
                    p.stdin.write(b"x")
                    p.stdin.flush()
                    time.sleep(pause)
            got = p.stdout.read()
            took = watch.seconds()
            check(f"a body that {name}: the reply, and the end within 5 s", got.startswith(b"Status: 405") and p.wait(10 * SLOW) == 0 and took < 5 * SLOW, (got[:100], took))
            with contextlib.suppress(BrokenPipeError):
                p.stdin.close()
            p.stdout.close()


def t_no_standard_error():
    """Some that start programs close what the FastCGI specification does not name: a log line must not go into a file of ours."""
    with Cgi() as b:
        b.version(Project())
        program, env = b.variables("POST", "/webhook", b"{}", {})
        p = subprocess.Popen([os.path.join(BUILD, "cgi", program)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=lambda: os.close(2))
        out = p.communicate(b"{}", 10 * SLOW)[0]
        check("descriptor 2 closed: answered", out.startswith(b"Status: 422"), out[:200])
        head = content(os.path.join(b.dir, "metrics"))[:16]
        check("and what would be logged is in no file", head == b"prelabel metrics", head)


def t_keep_alive_and_pipelining():
    with Server() as b:
        body = json.dumps(Project().predict_body(["x"])).encode()
        one = (b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)) + body
        out = b.raw(one * 3 + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        check("four requests on one connection, four answers", out.count(b"HTTP/1.1 200") == 4, out[:200])


def t_stop_and_start():
    with Server() as b:
        p = Project()
        v = b.version(p)
        watch = b.stopwatch()
        left = b.stop()
        took = watch.seconds()
        check("SIGTERM ends every process it started", not left, left)
        check("within 5 s", took < 5 * SLOW, f"{took:.1f} s")
        check("and exits with 0", b.exit_status == 0, b.exit_status)
        b.start()
        check("the version survives a restart", b.version(p) == v and v)


def t_interrupt():
    import signal
    with Server() as b:
        b.version(Project())
        b.proc.send_signal(signal.SIGINT)
        try:
            code = b.proc.wait(30 * SLOW)
        except Exception:
            code = "still there"
        check("SIGINT ends it as SIGTERM does", code == 0 and not b.tree(), f"{code} {b.tree()}")


def t_port_in_use():
    with Server() as b:
        other = Server(PORT=b.port)
        try:
            other.launch()
            try:
                code = other.proc.wait(30 * SLOW)
            except Exception:
                code = None
            text = other.log_text()
            check("a port in use: exit 1, one line that names the port", code == 1 and str(b.port) in text and len(text.strip().splitlines()) <= 2,
                  f"{code}: {text[-400:]}")
            check("the first server goes on", b.get("/health").status == 200)
        finally:
            if other.proc.poll() is None:
                other.stop()
            other.proc = None
            other.__exit__(None)


def t_many_clients():
    import threading
    with Server() as b:
        p, bad = Project(), []

        def ask():
            for _ in range(20):
                a = b.predict(p, ["good food", "bad food"])
                if a.status != 200 or len(a.json["results"]) != 2:
                    bad.append(str(a))
        ts = [threading.Thread(target=ask) for _ in range(12)]
        for t in ts:
            t.start()
        for t in ts:
            t.join(120 * SLOW)
        check("12 clients, 240 answers, all right", not bad, bad[:2])
