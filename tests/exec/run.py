#!/usr/bin/env python3
"""
run.py - models in other languages behind a real server:  run.py [FAULTS]

1. A model in Python is trained by webhooks, and its predictions change: healthy.py and
   the template of `prelabel init`.
2. FAULTS random faults of a child (100; a release: 1000), from all of faulty.py, by four
   clients at once: a fault costs its answer, 503 with a reason and Retry-After, never
   another; every 200 is the answer to its own question; the next request after a fault is
   right as soon as the pause is over; no zombie is left, memory and descriptors stay.
3. A worker that is killed takes its child along, also one that reads nothing.

SEED seeds what is random (printed).
"""
import json
import os
import random
import signal
import sys
import threading
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
import faulty  # noqa: E402
import harness as h  # noqa: E402

CLIENTS = 4
PREDICT_S = 0.4
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
LABELS = ["positive", "negative"]


def command(name):
    """Relative to the folder in which prelabel is started."""
    return "./" + (name if "/" in name else "tests/exec/" + name)


def with_(**kw):
    return "".join(f"{k}={v}\n" for k, v in kw.items())


# ---- processes ----------------------------------------------------------------------------

def read(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            return f.read()
    except OSError:
        return b""


def stat(pid):
    """(state, parent) of a process, or None."""
    text = read(pid, "stat").decode("utf-8", "replace")
    return text.rsplit(")", 1)[1].split()[:2] if text else None


def all_pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def workers(server):
    return sorted(p for p, command_line in server.tree().items() if command_line.endswith("/cgi/predict"))


def children(server):
    """The processes of models: they have the store's folder in their environment, and no WORKERS."""
    return sorted(p for p in server.tree() if b"\0WORKERS=" not in b"\0" + read(p, "environ"))


def zombies(pids):
    found = {p: stat(p) for p in all_pids()}
    return [p for p, s in found.items() if s and s[0] == "Z" and int(s[1]) in pids]


def usage(pid):
    """(descriptors, threads, private kB)"""
    status = read(pid, "status").decode()
    kb = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)
    return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")), kb


# ---- 1: a model that learns ------------------------------------------------------------------

def learns(name, more):
    project = h.Project(3)
    with h.Server(MODEL_COMMAND=command(name), PRELABEL_WITH=with_(GREETING="hello there"),
                  LABEL_STUDIO_API_KEY=None, WEBHOOK_SECRET="s3cret-word", START_TRAINING_EACH_N_UPDATES=1000) as s:
        texts = [h.review(label, i) for i in range(20, 30) for label in LABELS]

        def labels():
            a = s.predict(project, texts)
            return [h.label_of(e) for e in h.entries(a)] if a.status == 200 else a
        cold = s.version(project)
        h.check("a version before any training", cold and cold.startswith("exec-0-"), cold)
        before = labels()
        h.check("cold: one answer a task", isinstance(before, list) and len(before) == len(texts), before)
        bad = [a for a in (s.post("/webhook", e, headers={"X-Webhook-Secret": "s3cret-word"}) for e in project.some(20))
               if a.status != 201]
        h.check("webhooks are taken", not bad, bad)
        s.hook(project.event("START_TRAINING"))
        trained = s.wait_version(project, cold)
        h.check("a new version", trained and trained.startswith("exec-1-"), f"{trained} {s.log_text()[-800:]}")
        after = labels()
        h.check("what was learned is right", after == LABELS * 10, after)
        h.check("predictions change", before != after)
        s.hook(project.event("START_TRAINING"))
        again = s.wait_version(project, trained)
        h.check("a second training", again and again.startswith("exec-2-"), again)
        more(s, project, texts)
        for pid in children(s):
            env = read(pid, "environ")
            h.check("a child gets no secret", b"s3cret" not in env and b"PRELABEL_WITH" not in env)
            h.check("a child gets what --with gave", b"GREETING=hello there\0" in env, env)
            fds = sorted(os.listdir(f"/proc/{pid}/fd"), key=int)
            h.check("a child has no descriptors but its own", set(fds) <= {"0", "1", "2", "3"}, fds)


def healthy_more(s, project, texts):
    s.predict(project, texts)
    def logged(*words):         # a child's lines come when they come, not with its answer
        return h.wait_for(lambda: all(w in s.log_text() for w in words))
    h.check("train_output of before is given", logged("fit 2 times"), s.log_text()[-800:])
    h.check("standard error is logged, --with reaches it", logged("healthy.py: 20 tasks, fit 0 times, hello there"), s.log_text()[-800:])
    with open(os.path.join(s.dir, "exec", "words.txt")) as f:
        h.check("workdir is kept", "item0" in f.read())
    many = s.predict(project, [f"item{i}" for i in range(1000)])
    h.check("1000 tasks in one request", many.status == 200 and len(h.entries(many)) == 1000, many)
    h.check("at most 256 to a question", logged("healthy.py: 256 tasks", "healthy.py: 232 tasks"))
    code, out, err = s.cli("predict", "--project", 3, stdin=texts[0] + "\n", env={"MODEL_COMMAND": command("healthy.py")})
    h.check("the command line answers as well", code == 0 and json.loads(out)["label"] == "positive", out + err)


# ---- 2: faults ---------------------------------------------------------------------------------

class Load:
    def __init__(self, server, project, faults, seed):
        self.server, self.project, self.left, self.seed = server, project, faults, seed
        self.lock, self.wrong, self.done, self.n, self.recovered = threading.Lock(), [], {}, 0, 0.0

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def say(self, what, answer):
        with self.lock:
            self.wrong.append(f"{what}: {answer}")

    def ask(self, text, limit):
        """One request; says what is wrong with the answer whatever was asked."""
        t = time.time()
        try:
            a = self.server.predict(self.project, [text, "second " + text] if not text.startswith("fault:") else [text])
        except OSError as e:
            self.say(text, f"no answer: {e}")
            return None
        with self.lock:
            self.n += 1
        if time.time() - t > limit * h.SLOW:
            self.say(text, f"after {time.time() - t:.1f} s: {a}")
        if a.status == 200:
            for i, e in enumerate(h.entries(a)):
                n = zlib.crc32((text if i == 0 else "second " + text).encode())
                if h.label_of(e) != LABELS[n % 2] or abs(e["score"] - n / 2**32) > 1e-9:
                    self.say(text, f"the answer to another question: {a}")
        elif a.status != 503 or a.error_form() or "retry-after" not in a.headers:
            self.say(text, a)
        elif "faulty.py" not in a.json["error"] or "/" in a.json["error"]:
            self.say(text, f"the reason: {a}")
        return a

    def client(self, i):
        rng = random.Random(f"{self.seed} {i}")
        names = list(faulty.FAULTS) * 2 + list(faulty.HARMLESS) + list(faulty.LATE)
        # A hang costs its time and a huge line its transfer: in their share, but not more.
        slow = {"hang", "spin", "deaf", "unended", "closed", "huge"}
        names = [n for n in names if n not in slow] * 2 + sorted(slow)
        while self.take():
            name = rng.choice(names)
            self.fault(name, f"fault:{name} {rng.getrandbits(60)}")
            began = time.time()
            while True:     # right again, whatever the other clients do meanwhile
                a = self.ask(f"text {rng.getrandbits(60)}", 2 * PREDICT_S + 5)
                if a is None or a.status == 200:
                    break
                if time.time() - began > 40 * h.SLOW:
                    self.say(name, f"no right answer for 40 s: {a}")
                    break
                time.sleep(0.02)
            with self.lock:
                self.recovered = max(self.recovered, time.time() - began)

    def fault(self, name, text):
        """Asks until the child was asked: while it is down it can do nothing wrong."""
        for _ in range(2000):
            a = self.ask(text, 2 * PREDICT_S + 5)
            why = a.json["error"] if a is not None and a.status == 503 and a.json else ""
            # What another client's `unasked` says too late is read as the answer to this
            # question, or with it: one of HARMLESS itself says one line, of JSON.
            if name in faulty.HARMLESS and ("not JSON" in why or "more than one line" in why):
                time.sleep(0.02)
                continue
            if "started again in" not in why and "without being asked" not in why and "in time" not in why:
                break
            if "in time" in why and "get to" not in why and name in ("hang", "spin", "deaf", "unended"):
                break
            time.sleep(0.02)
        with self.lock:
            self.done[name] = self.done.get(name, 0) + 1
        if a is None:
            return
        if name in faulty.FAULTS and a.status != 503:
            self.say(name, f"not 503: {a}")
        if name in faulty.HARMLESS and a.status != 200:
            self.say(name, f"not 200: {a}")

    def run(self):
        threads = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()


def settle(server, project):
    """Every worker has a child that is well: {worker: usage}."""
    load = Load(server, project, 0, 0)
    end = time.time() + 60 * h.SLOW
    while time.time() < end:
        got = []
        threads = [threading.Thread(target=lambda: got.append(quiet(server, project, f"settle {len(got)}"))) for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if got == [200] * 16 and len(children(server)) == len(workers(server)):
            break
        time.sleep(0.1)
    for text in range(20):
        load.ask(f"settle {text}", 60)
    h.check("well again", not load.wrong, load.wrong[:3])
    return {p: usage(p) for p in workers(server)}


def faults(n):
    project = h.Project(4)
    with h.Server(MODEL_COMMAND=command("faulty.py"),
                  PRELABEL_WITH=with_(PRELABEL_PREDICT_S=PREDICT_S * h.SLOW, PRELABEL_START_S=5)) as s:
        warm = Load(s, project, 30, SEED + 1)
        warm.run()
        samples, loads, began = [settle(s, project)], [], time.time()
        for quarter in range(4):
            loads.append(Load(s, project, (n + quarter) // 4, SEED + 4 * quarter))
            loads[-1].run()
            samples.append(settle(s, project))
        before, after = samples[0], samples[-1]
        done = {k: sum(load.done.get(k, 0) for load in loads) for k in sorted(set().union(*(load.done for load in loads)))}
        wrong = [w for load in [warm, *loads] for w in load.wrong]
        print(f"{n} faults, {sum(load.n for load in loads)} requests in {time.time() - began:.1f} s; "
              f"longest until right again {max(load.recovered for load in loads):.1f} s")
        print("faults:", " ".join(f"{k}:{v}" for k, v in done.items()))
        print("descriptors, threads, private kB of the workers, before and after each quarter:")
        for sample in samples:
            print("   ", *sample.values())
        h.check("every answer is right or an explained 503", not wrong, wrong[:5])
        h.check("as many faults as asked for", sum(done.values()) == n and n >= 100, done)
        h.check("no worker ended", sorted(before) == sorted(after), f"{before} {after}")
        h.check("every worker has one child", len(children(s)) == len(after), s.tree())
        h.check("no zombie", not zombies(set(s.tree())), zombies(set(s.tree())))
        for i, p in enumerate(sorted(set(before) & set(after))):
            h.check(f"descriptors of worker {i} stay", abs(after[p][0] - before[p][0]) <= 4, f"{before[p]} {after[p]}")
            h.check(f"threads of worker {i} stay", after[p][1] <= before[p][1], f"{before[p]} {after[p]}")
            if not os.environ.get("SANITIZE"):
                h.check(f"memory of worker {i} stays", after[p][2] - before[p][2] <= 4096, f"{before[p]} {after[p]}")
                # Each thread's heap grows to its largest answer once; a leak goes on.
                if n >= 1000:
                    late = after[p][2] - samples[-2][p][2]
                    h.check(f"memory of worker {i} has levelled off", late <= 256, [x[p][2] for x in samples])
        # Of a hundred faults drawn by lot one in fourteen times none is this one.
        loads[-1].fault("flood", "fault:flood 0")
        h.check("control characters are escaped", h.wait_for(lambda: "\\x1b" in s.log_text()), lambda: repr(s.log_text()[-600:]))
        log = s.log_text()
        h.check("the log has no raw control character", "\x1b" not in log, lambda: repr(log[max(0, log.find("\x1b") - 300):log.find("\x1b") + 100]))
        h.check("the log is not flooded", "lines left out" in log and len(log) < 4_000_000 + n * 20_000, len(log))


# ---- 3: the worker dies ---------------------------------------------------------------------------

def orphans():
    project = h.Project(5)
    with h.Server(MODEL_COMMAND=command("faulty.py"), WORKERS=1, PRELABEL_WITH=with_(PRELABEL_PREDICT_S=60)) as s:
        for name in ("text", "fault:hang 1", "fault:spin 1", "fault:deaf 1"):
            s.predict(project, ["text"])
            if name != "text":
                threading.Thread(target=lambda n=name: quiet(s, project, n), daemon=True).start()
                time.sleep(0.3)
            old, worker = children(s), workers(s)
            for p in worker:
                os.kill(p, signal.SIGKILL)
            gone = h.wait_for(lambda o=old: not set(o) & set(children(s)))
            h.check(f"kill -9 of a worker ends its child: {name}", len(old) == 1 and len(worker) == 1 and gone, f"{old} {s.tree()}")
            h.check(f"and the next one answers: {name}", h.wait_for(lambda: quiet(s, project, "text") == 200))
    # Server.__exit__ looks for what is left after SIGTERM.


def quiet(s, project, text):
    try:
        return s.predict(project, [text]).status
    except OSError:
        return 0


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"SEED={SEED}")
    passed = failed = 0
    for name, test in (("healthy", lambda: learns("healthy.py", healthy_more)),
                       ("template", lambda: learns("deploy/init/model.py", lambda *_: None)),
                       ("faults", lambda: faults(n)), ("orphans", orphans)):
        report = h.Report(name)
        h.use_report(report)
        began = time.time()
        try:
            test()
        except Exception as e:      # a test that breaks off is a failed check
            import traceback
            traceback.print_exc()
            report.check("whole", False, f"{type(e).__name__}: {e}")
        print("\n".join(report.lines))
        print(f"{name}: {time.time() - began:.1f} s")
        passed, failed = passed + report.passed, failed + report.failed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
