#!/usr/bin/env python3
"""records.py - damaged FastCGI records sent to the request programs.

    records.py [N]      N connections (2000), spread over predict, setup, webhook and status

The peer of the socket is a web server and is trusted, so that only this is promised: what
comes is answered or the connection ends; a program that ends (libfcgi asserts on some
lengths) does so without a memory error, and the next request is answered within 1 s by the
one that a process manager, here this script, starts in its place.
"""
import os, random, re, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
N = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
BACK_S = 4.0 if os.environ.get("SANITIZE") else 1.0     # until the service is back; a sanitizer starts slowly
CHECK_EACH = 50         # connections between two good requests
rng = random.Random(int(os.environ.get("SEED", "1")))
failed = 0
BEGIN, ABORT, END, PARAMS, STDIN, DATA, GET_VALUES = 1, 2, 3, 4, 5, 8, 9

CONFIG = "<View><Text name='t' value='$t'/><Choices name='c' toName='t'><Choice value='a'/><Choice value='b'/></Choices></View>"
GOOD = {    # a good request of each program, and what it is answered
    "predict": ("POST", "/predict", b'{"tasks":[{"data":{"t":"x"}}],"label_config":"%s","project":"1.1"}' % CONFIG.encode(), 200),
    "setup": ("POST", "/setup", b'{"project":"1.1","schema":"%s"}' % CONFIG.encode(), 200),
    "webhook": ("POST", "/webhook", b'{"action":"SOMETHING"}', 200),
    "status": ("GET", "/health", b"", 200),
}


def check(name, good, detail=""):
    global failed
    failed += not good
    print(f"ok   {name}" if good else f"FAIL {name}  [{' '.join(str(detail).split())[:800]}]", flush=True)


def record(kind, content, request=1, length=None, padding=0):
    return struct.pack(">BBHHBB", 1, kind, request, len(content) if length is None else length, padding, 0) + content + b"\0" * padding


def pair(name, value):
    size = lambda n: struct.pack("B", n) if n < 128 else struct.pack(">I", n | 0x80000000)
    return size(len(name)) + size(len(value)) + name + value


def request(method, path, body, keep=0):
    """Its records, one by one."""
    params = pair(b"REQUEST_METHOD", method.encode()) + pair(b"SCRIPT_NAME", path.encode()) + pair(b"CONTENT_LENGTH", str(len(body)).encode()) + \
        pair(b"CONTENT_TYPE", b"application/json") + pair(b"QUERY_STRING", b"") + pair(b"HTTP_X", b"y" * 200)
    return [record(BEGIN, struct.pack(">HB5x", 1, keep)), record(PARAMS, params), record(PARAMS, b"")] + \
        ([record(STDIN, body)] if body else []) + [record(STDIN, b"")]


LENGTHS = (0, 1, 7, 8, 127, 128, 255, 256, 0x7fff, 0x8000, 0xfff8, 0xffff)
LONG = (0, 127, 128, 0x7fffffff, 0x7ffffffe, 0x7fffff00, 0x80000000, 0xffffffff, 0x40000000, 0x10000)


def damaged(records):
    rs = [bytearray(r) for r in records]
    for _ in range(rng.randint(1, 3)):
        r = rng.choice(rs)
        kind = rng.randrange(11)
        if kind == 0:
            r[rng.randrange(len(r))] = rng.randrange(256)
        elif kind == 1 and len(r) >= 8:
            r[4:6] = struct.pack(">H", rng.choice(LENGTHS))
        elif kind == 2 and len(r) > 1:
            r[1] = rng.choice((0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 255))
        elif kind == 3 and len(r) > 3:
            r[2:4] = struct.pack(">H", rng.choice((0, 2, 0xffff)))
        elif kind == 4:
            rs.remove(r)
        elif kind == 5:
            rs.insert(rng.randint(0, len(rs)), bytearray(r))
        elif kind == 6:
            del r[rng.randrange(len(r)):]
        elif kind == 7:         # lengths of a name and a value
            rs.insert(1, bytearray(record(PARAMS, struct.pack(">II", rng.choice(LONG) | 0x80000000 * rng.randrange(2), rng.choice(LONG) | 0x80000000 * rng.randrange(2)) + os.urandom(rng.randrange(20)))))
        elif kind == 8:
            rs.insert(rng.randint(0, len(rs)), bytearray(record(rng.choice((ABORT, GET_VALUES, DATA, 77)), b"x" * rng.randrange(20), rng.choice((0, 1, 2)), None, rng.randrange(256))))
        elif kind == 9 and len(r) > 6:
            r[6] = rng.randrange(256)
        else:
            rng.shuffle(rs)
        if not rs:
            rs = [bytearray(b"")]
        rs = [x if x else bytearray(b"\0") for x in rs]
    return b"".join(rs)


class Program:
    """One of the request programs, started again as soon as it ends."""

    def __init__(self, name, folder):
        self.name, self.path, self.ends, self.err = name, f"{folder}/{name}.socket", [], f"{folder}/{name}.err"
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(self.path)
        self.listening.listen(128)
        self.env = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LD_LIBRARY_PATH")}
        self.env.update(MODEL_DIR=f"{folder}/store", THREADS="2", LOG_LEVEL="ERROR", WORKERS="1")
        # As malloc() itself does: libfcgi asks for lengths that there can't be, and asserts; of a request
        # that breaks off in its variables it leaks 24 bytes.
        self.env["ASAN_OPTIONS"] = self.env.get("ASAN_OPTIONS", "") + ":allocator_may_return_null=1:detect_leaks=0"
        self.stopping = False
        self.start()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def start(self):
        with open(self.err, "ab") as err:
            self.process = subprocess.Popen([f"{BUILD}/cgi/{self.name}"], stdin=self.listening, stdout=err, stderr=err, env=self.env)

    def watch(self):
        while True:
            status = self.process.wait()
            if self.stopping:
                return
            self.ends.append(status)
            self.start()

    def stop(self):
        self.stopping = True
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.ends.append("it did not stop")
        self.thread.join()
        self.listening.close()

    def send(self, data, seconds):
        """What comes back until the end; None: nothing came to an end within that time."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(seconds)
        out = b""
        try:
            s.connect(self.path)
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError, OSError):
                pass
            while chunk := s.recv(65536):
                out += chunk
        except ConnectionResetError:
            pass
        except socket.timeout:
            return None
        finally:
            s.close()
        return out

    def good(self):
        """Seconds until a good request is answered well; what is wrong otherwise."""
        method, path, body, want = GOOD[self.name]
        began, out = time.monotonic(), b""
        while time.monotonic() - began < 20:
            out = self.send(b"".join(request(method, path, body)), 20) or b""
            if b"Status: %d " % want in out:
                return time.monotonic() - began
            time.sleep(0.005)
        return out[-200:]


def main():
    folder = tempfile.mkdtemp(prefix="prelabel-records-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    os.mkdir(folder + "/store")
    slowest, silent, late = 0.0, 0, []
    programs = []
    try:
        for name in GOOD:
            programs.append(Program(name, folder))
        for p in programs:
            took = p.good()
            check(f"{p.name}: a good request", isinstance(took, float), took)
        done = 0
        while done < N and len(late) < 3:
            p = programs[done // CHECK_EACH % len(programs)]
            method, path, body, _ = GOOD[p.name]
            for _ in range(min(CHECK_EACH, N - done)):
                if p.send(damaged(request(method, path, body, rng.randrange(2))), 10) is None:
                    silent += 1
                done += 1
            ends = len(p.ends)
            took = p.good()
            if not isinstance(took, float) or took > BACK_S:
                late.append((p.name, done, took))
            else:
                slowest = max(slowest, took)
            if ends != len(p.ends) and p.ends[-1] not in (-signal.SIGABRT, -signal.SIGPIPE, 1):
                late.append((p.name, done, p.ends[-1]))
        check(f"{done} connections: the service is back within {BACK_S:.0f} s each time (slowest {slowest:.3f} s)", not late, late)
        check("each connection came to its end within 10 s", silent == 0, f"{silent} did not")
    finally:
        for p in programs:
            p.stop()
    for p in programs:
        with open(p.err, errors="replace") as f:
            err = f.read()
        ours = [line for line in err.splitlines() if re.search(r"ERROR: |runtime error|stack smashing|corrupt|free\(\)|double free", line)]
        asserted = len(re.findall(r"Assertion .* failed", err))
        elsewhere = [line for line in err.splitlines() if "Assertion" in line and not re.search(r"fcgiapp\.c|fcgi_stdio\.c|os_unix\.c|Read", line)]
        check(f"{p.name}: it ended {len(p.ends)} times, {asserted} by an assertion of libfcgi, never by a memory error",
              not ours and not elsewhere and len(p.ends) <= asserted, f"{ours[:3]} {elsewhere[:3]} {p.ends[-5:]} {err[-300:]}")
    shutil.rmtree(folder)
    sys.exit(failed > 0)


main()
