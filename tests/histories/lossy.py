"""
lossy.py - a proxy between Label Studio and prelabel that loses, delays and repeats webhooks.

Everything but webhooks is handed on as it is, START_TRAINING too: Label Studio sends that
by another way and looks at the answer (protocol.md 4.7).  A webhook is answered 200 at
once, as if the backend had taken it, and then
    dropped (30 of 100), or handed on (40), or held back for 1 to 12 later webhooks, so that it
    comes out of order (30);
one in six of those that come comes a second time, later still.  One that finds nobody is lost:
Label Studio does not repeat it.  The same seed and the same sequence of webhooks: the same fate.
"""
import http.client
import http.server
import json
import random
import threading

DROP, HOLD, TWICE, LATER = 0.30, 0.30, 1 / 6, 12


class Lossy:
    """Proxy(seed).to = (host, port); a context manager; .url is what Label Studio is told."""

    def __init__(self, seed, to=None, port=0):
        self.rng, self.to, self.held, self.lock = random.Random(seed), to, [], threading.Lock()
        self.counts = dict(webhooks=0, dropped=0, delayed=0, repeated=0, delivered=0, lost=0)
        self.closed = False     # set: webhooks are dropped all, as while the network is away
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path.partition("?")[0].endswith("/webhook") and not starts_training(body):
                    proxy.webhook(self.path, body, dict(self.headers))
                    status, raw = 200, b"{}"
                else:
                    try:
                        status, raw = proxy.forward(self.command, self.path, body, dict(self.headers))
                    except (OSError, http.client.HTTPException):
                        status, raw = 502, b"{}"
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = any

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def forward(self, method, path, body, headers):
        conn = http.client.HTTPConnection(*self.to, timeout=20)
        keep = {k: v for k, v in headers.items() if k.lower() not in ("host", "connection", "content-length", "accept-encoding")}
        try:
            conn.request(method, path, body or None, keep)
            r = conn.getresponse()
            return r.status, r.read()
        finally:
            conn.close()

    def deliver(self, item):
        try:
            status, _ = self.forward("POST", *item)
            self.counts["delivered" if status in (200, 201) else "lost"] += 1
        except (OSError, http.client.HTTPException):
            self.counts["lost"] += 1

    def webhook(self, path, body, headers):
        """Decides the fate of one, and hands on what has been held long enough."""
        item = path, body, headers
        with self.lock:
            self.counts["webhooks"] += 1
            self.held = [(left - 1, it) for left, it in self.held]
            due = [it for left, it in self.held if left <= 0]
            self.held = [(left, it) for left, it in self.held if left > 0]
            fate = self.rng.random()
            again = self.rng.random() < TWICE
            later = self.rng.randint(1, LATER), self.rng.randint(1, LATER)
            if fate < DROP or self.closed:
                self.counts["dropped"] += 1
            else:
                if fate < DROP + HOLD:
                    self.counts["delayed"] += 1
                    self.held.append((later[0], item))
                else:
                    due.append(item)
                if again:
                    self.counts["repeated"] += 1
                    self.held.append((later[0] + later[1], item))
            self.rng.shuffle(due)
            for it in due:
                self.deliver(it)

    def flush(self):
        """Hands on all that is held, in any order."""
        with self.lock:
            due, self.held = [it for _, it in self.held], []
            self.rng.shuffle(due)
            for it in due:
                self.deliver(it)


def starts_training(body):
    try:
        return json.loads(body).get("action") == "START_TRAINING"
    except (ValueError, AttributeError):
        return False
