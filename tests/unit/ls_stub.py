#!/usr/bin/env python3
"""A Label Studio that misbehaves, for tests/unit/test_ls_api.c.

Listens on two free ports of 127.0.0.1 and prints both.  The first part of the
path on the first port chooses what goes wrong (the functions below); the rest is
Label Studio's own path.  The second port stands for every other host: nothing may
ever connect to it.  GET /ctl/MODE tells what was seen; end of standard input ends
the program.
"""
import base64
import gzip
import json
import os
import socket
import struct
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROTOCOL = os.path.join(HERE, "..", "data", "protocol")

lock = threading.Lock()
hits, auths, exchanges = {}, {}, {}
foreign_hits = 0
foreign_port = 0


def recorded(name):
    with open(os.path.join(PROTOCOL, name), encoding="utf-8") as f:
        return f.read()


EXPORT = recorded("api-export.json").encode()
PROJECT = recorded("api-project.json").encode()
LEGACY_REFUSED = json.dumps(json.loads(recorded("api-legacy-token-refused.json"))["body"]).encode()


def jwt(**payload):
    part = lambda o: base64.urlsafe_b64encode(json.dumps(o).encode()).decode().rstrip("=")
    return part({"alg": "HS256", "typ": "JWT"}) + "." + part(payload) + ".c2lnbmF0dXJl"


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.auth = headers.get("authorization", "")


def read_request(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        more = conn.recv(65536)
        if not more:
            return None
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        body += conn.recv(65536)
    return Request(method, path, headers, body)


def answer(conn, status, body=b"", *extra):
    head = ["HTTP/1.1 %d X" % status, "Content-Length: %d" % len(body),
            "Content-Type: application/json", *extra]
    conn.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    return True


def begin(conn, *headers):
    conn.sendall("\r\n".join(["HTTP/1.1 200 OK", *headers]).encode() + b"\r\n\r\n")


def chunk(conn, data):
    conn.sendall(b"%x\r\n" % len(data) + data + b"\r\n")


def detail(text):
    return json.dumps({"status_code": 0, "detail": text}).encode()


# ---- the ways of misbehaviour: mode(conn, request, n), n = 1 for the first request.
#      True: the connection may be used again.

def ok(conn, r, n):
    if "/export" in r.path:
        begin(conn, "Transfer-Encoding: chunked")
        for i in range(0, len(EXPORT), 7):              # every token is cut somewhere
            chunk(conn, EXPORT[i:i + 7])
        chunk(conn, b"")
        return True
    if r.path.endswith("/echo/"):
        return answer(conn, 201, json.dumps({"method": r.method, "body": r.body.decode()}).encode())
    return answer(conn, 200, PROJECT)


def always(status, body=b"", *extra):
    return lambda conn, r, n: answer(conn, status, body, *extra)


def first(times, bad):
    return lambda conn, r, n: bad(conn, r, n) if n <= times else ok(conn, r, n)


def raw(data):
    def mode(conn, r, n):
        conn.sendall(data)
    return mode


def no_answer(conn, r, n):
    time.sleep(20)


def late(conn, r, n):                                   # it was built first
    time.sleep(2)
    return ok(conn, r, n)


def late_then_stalls(conn, r, n):
    time.sleep(1.5)
    begin(conn, "Content-Length: %d" % len(EXPORT))
    conn.sendall(EXPORT[:EXPORT.index(b'"id": 3')])
    time.sleep(20)


def reset(conn, r, n):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(conn, r, n):
    pass


def cut_length(conn, r, n):
    begin(conn, "Content-Length: %d" % len(EXPORT))
    conn.sendall(EXPORT[:len(EXPORT) // 2])


def cut_early(conn, r, n):
    begin(conn, "Content-Length: %d" % len(EXPORT))
    conn.sendall(EXPORT[:40])


def cut_chunked(conn, r, n):
    begin(conn, "Transfer-Encoding: chunked")
    chunk(conn, EXPORT[:len(EXPORT) // 2])


def cut_array(conn, r, n):                              # a whole answer, half an array
    return answer(conn, 200, EXPORT[:EXPORT.index(b'"id": 4')].rstrip().rstrip(b"{").rstrip())


def drip(conn, r, n):
    begin(conn, "Content-Length: %d" % len(EXPORT))
    for i in range(len(EXPORT)):
        conn.sendall(EXPORT[i:i + 1])
        time.sleep(0.1)


def endless_headers(conn, r, n):
    conn.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        conn.sendall(b"X-More: and more\r\n" * 1000)


def endless_continue(conn, r, n):
    while True:
        conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def endless(status, piece):
    def mode(conn, r, n):
        conn.sendall(b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        while True:
            chunk(conn, piece)
    return mode


def huge_element(conn, r, n):
    begin(conn, "Transfer-Encoding: chunked")
    chunk(conn, b'[{"id":1,"data":{"text":"')
    while True:
        chunk(conn, b"x" * 1000000)


def endless_export(conn, r, n):
    begin(conn, "Transfer-Encoding: chunked")
    chunk(conn, b'[{"id": 1}')
    while True:
        chunk(conn, b', {"id": 1, "data": {"text": "again"}}' * 1000)


def redirect(status, same):
    def mode(conn, r, n):
        to = r.path if same else "http://127.0.0.1:%d%s" % (foreign_port, r.path)
        return answer(conn, status, b"", "Location: " + to, "Refresh: 0; url=" + to,
                      "Alt-Svc: http/1.1=\"127.0.0.1:%d\"" % foreign_port)
    return mode


def foreign_links(conn, r, n):                          # 200, but all of it points elsewhere
    to = "http://127.0.0.1:%d/" % foreign_port
    body = json.dumps([{"id": 1, "data": {"text": to, "image": to}, "next": to, "url": to}])
    return answer(conn, 200, body.encode(), "Location: " + to, "Link: <%s>; rel=next" % to,
                  "Alt-Svc: http/1.1=\"127.0.0.1:%d\"" % foreign_port)


def echo_key(conn, r, n):
    return answer(conn, 401, detail("no user has the key " + r.auth))


def echo_part(conn, r, n):
    return answer(conn, 403, detail("key begins with " + r.auth[6:20]))


def retry_after(value):
    return lambda conn, r, n: answer(conn, 429, detail("slow down"), "Retry-After: " + value)


# ---- personal access tokens

def exchanging(access, then):
    """access(n): what the n-th exchange answers; then: the mode of all other calls."""
    def mode(conn, r, n):
        if not r.path.endswith("/api/token/refresh/"):
            return then(conn, r, n)
        given = json.loads(r.body)["refresh"]
        if r.auth or r.method != "POST" or r.headers.get("content-type") != "application/json":
            return answer(conn, 400, detail("this is no exchange"))
        with lock:
            mode_name = r.mode
            exchanges[mode_name] = exchanges.get(mode_name, 0) + 1
            count = exchanges[mode_name]
        return access(conn, given, count)
    return mode


def grant(life_s, **more):
    return lambda conn, given, count: answer(conn, 200, json.dumps({"access": jwt(
        token_type="access", exp=int(time.time()) + life_s, n=count, **more)}).encode())


def takes_bearer(conn, r, n):
    if not r.auth.startswith("Bearer "):
        return answer(conn, 401, detail("Authentication credentials were not provided."))
    return ok(conn, r, n)


def takes_second(conn, r, n):                           # the first access token ended early
    payload = r.auth.split(".")[1]
    if json.loads(base64.urlsafe_b64decode(payload + "==="))["n"] < 2:
        return answer(conn, 401, detail("Authentication credentials were not provided."))
    return ok(conn, r, n)


def takes_none(conn, r, n):
    return answer(conn, 401, detail("Authentication credentials were not provided."))


DEEP = b"[" + b"[" * 100000 + b"]" * 100000 + b"]"
BOMB = gzip.compress(b"[" + b" " * (16 << 20) + b"]")

modes = {
    "ok": ok,
    "html": always(200, b"<!DOCTYPE html><html><body>Sign in</body></html>"),
    "empty": always(200, b""),
    "no_content": always(204),
    "object": always(200, b'{"tasks": []}'),
    "scalar_element": always(200, b'[{"id": 1, "data": {}}, 7]'),
    "garbage_behind": always(200, b'[{"id": 1, "data": {}}] [1]'),
    "trailing_comma": always(200, b'[{"id": 1, "data": {}},]'),
    "not_a_number": always(200, b'[{"id": 1, "data": {}, "score": NaN}]'),
    "bad_utf8": always(200, b'[{"id": 1, "data": {"text": "\xff\xfe"}}]'),
    "nul": always(200, b'[{"id": 1, "data": {}}\0]'),
    "deep": always(200, DEEP),
    "bomb": always(200, BOMB, "Content-Encoding: gzip"),
    "cut_length": cut_length,
    "cut_early_twice": first(2, cut_early),
    "cut_chunked": cut_chunked,
    "cut_array": cut_array,
    "drip": drip,
    "no_answer": no_answer,
    "late": late,
    "late_then_stalls": late_then_stalls,
    "reset": reset,
    "close_once": first(1, close),
    "close": close,
    "not_http": raw(b"220 mail.example.org ESMTP\r\n"),
    "bad_chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n"),
    "two_lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 90\r\n\r\n[]"),
    "endless_headers": endless_headers,
    "endless_continue": endless_continue,
    "endless_answer": endless(200, b"x" * 1000000),
    "endless_refusal": endless(403, b"x" * 65536),
    "endless_export": endless_export,
    "huge_element": huge_element,
    "moved": redirect(302, False),
    "moved_keep_method": redirect(307, False),
    "moved_here": redirect(301, True),
    "foreign_links": foreign_links,
    "legacy_refused": always(401, LEGACY_REFUSED),
    "echo_key": echo_key,
    "echo_part": echo_part,
    "forbidden": always(403, detail("You do not have permission to perform this action.")),
    "absent": always(404, detail("No Project matches the given query.")),
    "bad_request": always(400, detail("two\r\nlines")),
    "invalid": always(400, json.dumps({"detail": "Validation error", "validation_errors": {"url": ["Enter a URL."], "x": []}}).encode()),
    "invalid_odd": always(400, json.dumps({"detail": "Validation error", "validation_errors": {"url": [[[[[7]]]]]}}).encode()),
    "invalid_echo": lambda conn, r, n: answer(conn, 400, json.dumps(
        {"detail": "Validation error", "validation_errors": {"url": ["no " + r.auth]}}).encode()),
    "down": always(503, b"<html>Bad gateway</html>"),
    "down_twice": first(2, always(500, b"")),
    "busy_once": first(1, retry_after("1")),
    "busy_long": retry_after("3600"),
    "busy": retry_after("0"),
    "exchange": exchanging(grant(300), takes_bearer),
    "exchange_short": exchanging(grant(20), takes_bearer),
    "exchange_expired": exchanging(grant(300), takes_second),
    "exchange_in_vain": exchanging(grant(300), takes_none),
    "exchange_refused": exchanging(lambda c, given, n: answer(c, 401, detail("Token is invalid")), takes_bearer),
    "exchange_html": exchanging(lambda c, given, n: answer(c, 200, b"<html>"), takes_bearer),
    "exchange_inject": exchanging(lambda c, given, n: answer(c, 200, json.dumps(
        {"access": "abc\r\nX-Injected: yes"}).encode()), takes_bearer),
    "exchange_echo": exchanging(lambda c, given, n: answer(c, 400, detail("bad: " + given)), takes_bearer),
    "other_project": always(200, PROJECT.replace(b'"id": 1,', b'"id": 2,', 1)),
    "no_config": always(200, b'{"id": 1, "title": "t", "created_at": "2026-11-22T00:09:55Z"}'),
    "config_number": always(200, b'{"id": 1, "title": "t", "label_config": 7, "created_at": "2026-11-22T00:09:55Z"}'),
    "bad_time": always(200, b'{"id": 1, "title": "t", "label_config": "", "created_at": "yesterday"}'),
    "huge_id": always(200, b'{"id": 18446744073709551617, "title": "t", "label_config": "", "created_at": "2026-11-22T00:09:55Z"}'),
}


def serve_one(conn, r):
    _, mode, rest = r.path.split("/", 2)
    if mode == "ctl":
        with lock:
            seen = {"hits": hits.get(rest, 0), "auth": auths.get(rest, []),
                    "exchanges": exchanges.get(rest, 0), "foreign": foreign_hits}
        return answer(conn, 200, json.dumps(seen).encode())
    r.mode, r.path = mode, "/" + rest
    with lock:
        hits[mode] = n = hits.get(mode, 0) + 1
        auths.setdefault(mode, []).append(r.auth)
    return modes[mode](conn, r, n)


def serve(conn):
    try:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            r = read_request(conn)
            if r is None or not serve_one(conn, r):
                break
    except OSError:
        pass                                            # the client had enough
    finally:
        conn.close()


def listen(each):
    s = socket.create_server(("127.0.0.1", 0), backlog=64)

    def loop():
        while True:
            each(s.accept()[0])
    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


def on_foreign(conn):
    global foreign_hits
    with lock:
        foreign_hits += 1
    conn.close()


foreign_port = listen(on_foreign)
port = listen(lambda conn: threading.Thread(target=serve, args=(conn,), daemon=True).start())
print(port, foreign_port, flush=True)
sys.stdin.read()
