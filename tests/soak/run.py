#!/usr/bin/env python3
"""
run.py - many mixed requests through `prelabel start`:  run.py [REQUESTS]   (20000; before a release 1000000)

Predictions of one and of many tasks, with and without a context, events that are new, repeated, deleted, cut off and
malformed, setups, hostile labeling configs, pages of the status, bodies of megabytes, trainings all the while.  The
annotations are of a fixed number of tasks, so that what is kept has a size that it should not leave.  After a warm-up
and at the end the load pauses, and each process is looked at:

    private memory has grown by 1 MB at most, descriptors by none; the processes are the same
    the store has not grown by more than a tenth and 1 MB; the write-ahead log never had 64 MB
    every answer had its documented status, and predictions are whole
    the peak of each process is at most 4 bodies of MAX_BODY_MB and its model above what it had

CLIENTS (4) processes ask at a time.  Prints a line a check, a table with --table, and `N passed, N failed`.
"""
import json
import multiprocessing
import os
import random
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
sys.dont_write_bytecode = True
import harness  # noqa: E402
from harness import Project, Server, review, wait_for  # noqa: E402

REQUESTS = int(next((a for a in sys.argv[1:] if a.isdigit()), 20000))
CLIENTS = int(os.environ.get("CLIENTS", 4))
PROJECTS, TASKS, BODY_MB = 3, 200, 4
MB = 1 << 20
report = harness.Report("soak")
harness.use_report(report)


def check(name, ok, detail=""):
    harness.check(name, ok, detail)
    print(report.lines[-1], flush=True)


# ---- one who asks -------------------------------------------------------------

class Connection:
    """HTTP as cheap as it goes, since the one who asks shares the processors with what is asked."""

    def __init__(self, port):
        self.port, self.s, self.rest = port, None, b""

    def close(self):
        if self.s:
            self.s.close()
        self.s, self.rest = None, b""

    def fill(self):
        got = self.s.recv(1 << 16)
        if not got:
            raise ConnectionResetError
        self.rest += got

    def until(self, mark):
        while mark not in self.rest:
            self.fill()
        head, self.rest = self.rest.split(mark, 1)
        return head

    def exactly(self, n):
        while len(self.rest) < n:
            self.fill()
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def answer(self):
        head = self.until(b"\r\n\r\n").lower()
        m = re.search(rb"\r\ncontent-length: *(\d+)", head)
        body = b""
        if m:
            body = self.exactly(int(m[1]))
        elif b"\r\ntransfer-encoding: *chunked" in head or b"chunked" in head:
            while True:
                n = int(self.until(b"\r\n"), 16)
                body += self.exactly(n)
                self.until(b"\r\n")
                if n == 0:
                    break
        if b"\r\nconnection: close" in head:
            self.close()
        return int(head[9:12]), body

    def ask(self, method, path, body=None, agent="heartex/1.23.2"):
        head = f"{method} {path} HTTP/1.1\r\nHost: soak\r\nUser-Agent: {agent}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        data = (head + "\r\n").encode() + (body or b"")
        for _ in range(20):
            try:
                if self.s is None:
                    self.s = socket.create_connection(("127.0.0.1", self.port), 60)
                self.s.sendall(data)
                return self.answer()
            except (ConnectionResetError, BrokenPipeError):
                self.close()        # one that was kept alive has ended
        raise ConnectionResetError(f"{method} {path}: no answer in 20 attempts")

    def cut(self):
        """An event that is never sent to its end."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as s:
            s.sendall(b"POST /webhook HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"action\":")


def dump(doc):
    return json.dumps(doc, separators=(",", ":")).encode()


class Client:
    def __init__(self, k, port):
        self.random, self.conn, self.turn = random.Random(k), Connection(port), 0
        self.mine = [i for i in range(1, TASKS + 1) if i % CLIENTS == k]
        self.projects = [Project(pid) for pid in range(1, PROJECTS + 1)]
        self.clock = k
        self.one = [[dump(p.predict_body([review("positive", 5000 + i)])) for i in range(20)] for p in self.projects]
        self.many = [dump(p.predict_body([review(p.labels[i % 2], 6000 + i) for i in range(50)])) for p in self.projects]
        self.context = [dump(p.predict_body(["some text"], context={"result": [p.region("negative")]})) for p in self.projects]
        self.setup = [dump(p.setup_body()) for p in self.projects]
        self.hostile = [dump(self.projects[0].setup_body(schema=s)) for s in
                        ("<View", "<!DOCTYPE a [<!ENTITY b 'c'>]><View>&b;</View>", "<View>" * 200 + "</View>" * 200, "<View>" + "&amp;" * 20000)]
        self.junk = [b"", b"{", b"[]", b'{"tasks":' + b"[" * 5000, b'{"tasks":1}', b'"\\ud800"', b'{"action":7}', b"\xff\xfe", b'{"x":1}' + b" " * 40000]
        self.big = dump(self.projects[0].predict_body(["word " * 100] * 100))
        self.big = self.big[:-1] + b',"filler":"' + b"x" * (BODY_MB * MB - len(self.big) - 200) + b'"}'
        self.last = None

    def event(self):
        """The next change of one of the tasks: ids and texts are always the same, times grow."""
        p, i = self.random.choice(self.projects), self.random.choice(self.mine)
        self.clock += 1
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1795306200 + self.clock)) + ".000000Z"
        p.tasks[i] = {p.text: review(p.labels[i % 2], i)}
        self.last = dump(p.updated(p.annotation(i, i, p.labels[(i + self.clock) % 7 == 0], at=at)) if i % 2 else
                         p.created(p.annotation(i, i, p.labels[i % 2], at=at)))
        return self.last

    def next(self):
        """(kind, statuses allowed, method, path, body, agent)"""
        self.turn += 1
        r, k = self.random.random(), self.random.randrange(PROJECTS)
        if self.turn % 5000 == 2500:
            return "body of megabytes", {200}, "POST", "/predict", self.big, None
        if r < 0.45:
            return "predict", {200}, "POST", "/predict", self.random.choice(self.one[k]), None
        if r < 0.50:
            return "predict 50", {200}, "POST", "/predict", self.many[k], None
        if r < 0.53:
            return "interactive", {200}, "POST", "/predict", self.context[k], None
        if r < 0.68:
            return "event", {200, 201}, "POST", "/webhook", self.event(), "python-requests/2.34.2"
        if r < 0.73:
            return "repeat", {200, 201}, "POST", "/webhook", self.last or self.event(), "python-requests/2.34.2"
        if r < 0.74:
            gone = 10000 + self.random.randrange(50)
            return "deletion", {200, 201}, "POST", "/webhook", dump(self.projects[k].event("ANNOTATIONS_DELETED", annotations=[{"id": gone}])), "python-requests/2.34.2"
        if r < 0.75:
            return "no payload", {200, 201}, "POST", "/webhook", b'{"action":"ANNOTATION_CREATED"}', "python-requests/2.34.2"
        if r < 0.81:
            return "setup", {200}, "POST", "/setup", self.setup[k], None
        if r < 0.82:
            return "hostile config", {422, 413}, "POST", "/setup", self.random.choice(self.hostile), None
        if r < 0.85:
            return "junk", {400, 411, 422}, "POST", self.random.choice(("/predict", "/webhook", "/setup")), self.random.choice(self.junk), None
        if r < 0.90:
            return "health", {200}, "GET", self.random.choice(("/", "/health", "/livez")), None, None
        if r < 0.93:
            return "status", {200}, "GET", self.random.choice(("/status", f"/status?project={k + 1}", f"/versions?project={k + 1}")), None, None
        if r < 0.94:
            return "metrics", {200}, "GET", "/metrics", None, None
        if r < 0.97:
            return "no such page", {404}, "GET", "/nothing" + str(self.turn % 100), None, None
        return "wrong method", {405}, self.random.choice(("GET", "PUT", "DELETE")), "/predict", None, None

    def run(self, n):
        seen, wrong = {}, []
        for _ in range(n):
            if self.random.random() < 0.002:
                self.conn.cut()
            kind, allowed, method, path, body, agent = self.next()
            status, answer = self.conn.ask(method, path, body, agent or "heartex/1.23.2")
            seen[kind, status] = seen.get((kind, status), 0) + 1
            # A whole answer has an entry a task; 503: a program or the store had no time.
            tasks = 1 if kind in ("predict", "interactive") else 50 if kind == "predict 50" else None
            if (status not in allowed and status != 503) or (tasks and status == 200 and answer.count(b'"model_version"') != tasks):
                if len(wrong) < 5:
                    wrong.append(f"{kind}: {status} {answer[:200]!r}")
        return seen, wrong


def client(k, port, jobs, results):
    c = Client(k, port)
    while True:
        n = jobs.get()
        if n is None:
            return
        try:
            results.put(c.run(n))
        except Exception as e:      # told to the parent, which waits for an answer
            results.put(({}, [f"{type(e).__name__}: {e}"]))


# ---- what is looked at ----------------------------------------------------------

def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_"))


def peak_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))


def look(b):
    """{(pid, name): (private kB, descriptors, peak kB)} of all processes that serve."""
    out = {}
    for pid in b.serving():
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            name = os.path.basename(f.read().split(b"\0")[0].decode())
        out[pid, name] = private_kb(pid), len(os.listdir(f"/proc/{pid}/fd")), peak_kb(pid)
    return out


def settle(b):
    """Trainings are done, and every process of predict has loaded what is in force."""
    wait_for(lambda: b.db("select count(*) from train_job where state in ('queued', 'running')") == [(0,)]
             and not [c for c in b.tree().values() if re.search(r"prelabel\s.*\btrain\b", c)], 120)
    for p in (Project(pid) for pid in range(1, PROJECTS + 1)):
        threads = [threading.Thread(target=lambda p=p: [b.predict(p, ["x"] * 200) for _ in range(15)]) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    time.sleep(6)       # lighttpd closes what it kept alive


def main():
    jobs, results = [multiprocessing.SimpleQueue() for _ in range(CLIENTS)], multiprocessing.SimpleQueue()
    b = Server(START_TRAINING_EACH_N_UPDATES=400, KEEP_HISTORY=100, KEEP_VERSIONS=2, MAX_BODY_MB=BODY_MB, WORKERS=2)
    clients = [multiprocessing.Process(target=client, args=(k, b.port, jobs[k], results), daemon=True) for k in range(CLIENTS)]
    for c in clients:
        c.start()       # before there are threads here
    seen, wrong, wal, stop = {}, [], [0], threading.Event()

    def watch():
        while not stop.wait(0.02):
            try:
                wal[0] = max(wal[0], os.stat(b.dir + "/prelabel.sqlite3-wal").st_size)
            except OSError:
                pass

    def ask(n):
        for j in jobs:
            j.put(n // CLIENTS)
        for _ in jobs:
            got, bad = results.get()
            wrong.extend(bad)
            for key, k in got.items():
                seen[key] = seen.get(key, 0) + k

    with b:
        threading.Thread(target=watch, daemon=True).start()
        began = time.monotonic()
        for pid in range(1, PROJECTS + 1):
            b.version(Project(pid))         # else one may be asked for its status before it is known
        warm = max(8000, min(REQUESTS // 4, 50000))
        ask(warm)
        settle(b)
        before, size, trained = look(b), os.stat(b.dir + "/prelabel.sqlite3").st_size, b.db("select sum(last_number) from project")[0][0]
        middle = {}
        left = max(0, REQUESTS - warm)
        for part in range(4):
            ask(left // 4)
            if part == 1:
                settle(b)
                middle = look(b)
        settle(b)
        after, took = look(b), time.monotonic() - began
        grown = os.stat(b.dir + "/prelabel.sqlite3").st_size - size
        versions = b.db("select sum(last_number) from project")[0][0] - trained
        rows = b.db("select (select count(*) from event), (select count(*) from train_job), (select count(*) from model_version), (select count(*) from annotation)")[0]
        whole = b.db("pragma integrity_check")
        stop.set()
        for j in jobs:
            j.put(None)
        log = b.log_text()
    n, busy = sum(seen.values()), sum(k for (_, status), k in seen.items() if status == 503)
    check(f"{n} requests of {len({kind for kind, _ in seen})} kinds, {versions} trainings: documented statuses, whole predictions", n >= REQUESTS - 8 * CLIENTS and not wrong, wrong[:5])
    check("no 5xx but 503, and that once in a thousand at most", busy <= n // 1000 and not [s for s in seen if s[1] >= 500 and s[1] != 503], {k: v for k, v in seen.items() if k[1] >= 500})
    check("the processes are those of the start", set(before) == set(after), (sorted(before), sorted(after)))
    for key in sorted(set(before) & set(after), key=lambda key: (key[1], key[0])):
        (kb, fds, _), (kb2, fds2, peak) = before[key], after[key]
        if "--table" in sys.argv:
            print(f"     {key[1]:10} {key[0]:8}  private {kb:7} -> {middle.get(key, (0,))[0]:7} -> {kb2:7} kB  descriptors {fds:3} -> {fds2:3}  peak {peak:7} kB")
        check(f"{key[1]}: private memory grew by 1 MB at most", kb2 - kb <= 1024, f"{kb} -> {kb2} kB")
        check(f"{key[1]}: no descriptor more", fds2 <= fds, (fds, fds2))
        check(f"{key[1]}: peak at most 4 bodies above what it has", peak <= kb2 + 4 * BODY_MB * 1024 + 16 * 1024, (kb2, peak))
    check("the write-ahead log stayed below 64 MB", 0 < wal[0] < 64 * MB, wal[0])
    check("the store has not grown", grown <= size // 10 + MB, (size, grown))
    check("its record is short", rows[0] <= PROJECTS * (100 + 400 + 200) and rows[1] <= PROJECTS * 102 and rows[2] <= PROJECTS * 100, rows)
    check("and it is whole", whole == [("ok",)], whole)
    check("no error in the log", not re.search(r" ERROR ", log), lambda: [line for line in log.splitlines() if " ERROR " in line][:3])
    if "--table" in sys.argv:
        print(f"     {took:.0f} s, WAL at most {wal[0] / MB:.1f} MB, store {size / MB:.2f} MB + {grown / MB:.2f} MB, {busy} x 503, rows {rows}")
    print(f"{report.passed} passed, {report.failed} failed")
    return report.failed > 0


if __name__ == "__main__":
    sys.exit(main())
