#!/usr/bin/env python3
"""
bare.py - the static binary alone in an empty root:  run.py FOLDER   (build/static; as root)

The file itself; then, by chroot into a folder with nothing but it and /tmp: the command
line, a server that learns and predicts, a model of the kind exec, names and certificates.
"""
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
sys.dont_write_bytecode = True
import harness as h  # noqa: E402

FOLDER = os.path.abspath(sys.argv[1])
BINARY = os.path.join(FOLDER, "prelabel")
LABELS = ["positive", "negative"]
BYTES_MAX = 10_000_000
NEW_S = 60
report = h.Report("static")
h.use_report(report)


def check(name, ok, detail=""):
    report.lines.clear()
    h.check(name, ok, detail)
    print(*report.lines, sep="\n", flush=True)
    return ok


def readelf(*args):
    return subprocess.run(["readelf", "-W", *args, BINARY], capture_output=True, text=True, check=True).stdout


class Root:
    """A folder to be the root: the binary, /data, /tmp and what a check puts there."""

    def __init__(self, **files):
        self.dir = tempfile.mkdtemp(prefix="prelabel-root-")
        os.chmod(self.dir, 0o755)
        shutil.copy(BINARY, os.path.join(self.dir, "prelabel"))
        for d in ("data", "tmp"):
            os.mkdir(os.path.join(self.dir, d))

    def put(self, path, text, mode=0o644):
        at = os.path.join(self.dir, path.lstrip("/"))
        os.makedirs(os.path.dirname(at), exist_ok=True)
        with open(at, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(at, mode)

    def popen(self, *args, program="/prelabel", **kw):
        env = {"MODEL_DIR": "/data", "WORKERS": "1", "LABEL_STUDIO_HOST": "http://127.0.0.1:9", **kw.pop("env", {})}
        return subprocess.Popen([program, *args], env=env, preexec_fn=lambda: (os.chroot(self.dir), os.chdir("/")), **kw)

    def run(self, *args, stdin="", timeout=60, **kw):
        p = self.popen(*args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
        try:
            out, err = p.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
        return p.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)


class Bare(h.Backend):
    """`prelabel start` in a Root."""

    def __init__(self, root, **env):
        self.root, self.port, self.host, self.auth = root, h.free_port(), "127.0.0.1", None
        self.log = open(os.path.join(root.dir, "log"), "w+")
        began = time.monotonic()
        self.proc = root.popen("start", env={"PORT": str(self.port), "HOST": self.host, "START_TRAINING_EACH_N_UPDATES": "2", **env},
                               stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.up = h.wait_for(lambda: self.proc.poll() is None and self.alive(), 60, 0.005)
        self.seconds = time.monotonic() - began

    request = h.Server.request
    alive = h.Server.alive

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.proc.terminate()
        try:
            self.proc.wait(60)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.log.close()


# ---- the file ----------------------------------------------------------------

def t_file():
    size = os.path.getsize(BINARY)
    check(f"{size / 1e6:.1f} MB, under {BYTES_MAX / 1e6:.0f}", size < BYTES_MAX)
    check("needs no interpreter and no library", "INTERP" not in readelf("-l") and "NEEDED" not in readelf("-d"), readelf("-l"))
    check("position-independent, stack not executable, relocations read-only",
          re.search(r"Type:\s+DYN", readelf("-h")) and re.search(r"GNU_STACK.* RW ", readelf("-l")) and "GNU_RELRO" in readelf("-l"), readelf("-l"))
    check("stripped", ".symtab" not in readelf("-S"))
    text = subprocess.run([BINARY, "--licences"], capture_output=True, text=True, timeout=10).stdout
    missing = [w for w in ("lighttpd", "curl", "libxml2", "libssl-dev", "libsqlite3-dev", "libjson-c-dev", "libsodium-dev", "libunistring-dev",
                           "libfcgi-dev", "libc6-dev", "libgcc", "prelabel") if not re.search(rf"^======== {w}", text, re.M)]
    check("carries the licences of all it is made of", not missing and "GNU LESSER GENERAL PUBLIC LICENSE" in text, missing)


# ---- in an empty root ---------------------------------------------------------

def rows(n):
    return "".join(json.dumps({"text": h.review(LABELS[i % 2], i), "label": LABELS[i % 2]}) + "\n" for i in range(n))


def t_commands():
    with Root() as r:
        check("version", r.run("--version")[0] == 0)
        r.put("rows.jsonl", rows(40))
        code, out, err = r.run("import", "--project", "1", "/rows.jsonl")
        check("import", code == 0, err)
        code, out, err = r.run("train", "--json")
        check("train", code == 0 and re.search(r"tfidf_logreg-1-[0-9a-f]+", out), out + err)
        code, out, err = r.run("predict", "-", stdin="an excellent, wonderful thing\n")
        check("predict", code == 0 and any(f'"{w}"' in out for w in LABELS), out + err)
        code, out, err = r.run("status")
        check("status", code == 0 and "project 1" in out, out + err)
        code, out, err = r.run("init", "/mine", "--script", "model.py")
        names = sorted(os.listdir(os.path.join(r.dir, "mine"))) if code == 0 else []
        check("init writes its folder", "model.py" in names and "lighttpd.conf" in names and "README.md" in names, (err, names))
        code, out, err = r.run("GET", program="/prelabel")
        check("an unknown word: status 2", code == 2, (code, err))


def t_server():
    with Root() as r, Bare(r) as b:
        if not check(f"serves without /proc, /dev, /etc ({b.seconds * 1e3:.0f} ms to the first 200)", b.up, b.said()):
            return
        p = h.Project()
        first = b.version(p)
        check("setup", bool(first), b.said())
        for i in range(10):
            b.hook(p.labelled(h.review(LABELS[i % 2], i), LABELS[i % 2]))
        new = b.wait_version(p, first, NEW_S)
        check("events train a new version", bool(new), b.said())
        a = b.predict(p, [h.review("positive", 77)])
        check("predictions are of the new version", h.wrong_predictions(a, 1, p, version=new) in ("", None, []), h.wrong_predictions(a, 1, p, version=new))
        check("what lighttpd refuses is JSON", not b.request("GET", "/" + "x" * 20000).error_form())
    left = [f for f in os.listdir(os.path.join(r.dir, "tmp"))] if os.path.isdir(r.dir) else []
    check("nothing is left in /tmp", not left, left)


def t_cgi():
    with Root() as r:
        os.symlink("prelabel", os.path.join(r.dir, "status"))
        env = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/health", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_URI": "/health"}
        code, out, err = r.run(program="/status", env=env)
        check("as plain CGI under a program's name", code == 0 and '"UP"' in out, (code, out, err))


def t_exec():
    with Root() as r:
        with open(os.path.join(FOLDER, "obj/model"), "rb") as f:
            r.put("model", f.read(), 0o755)
        with Bare(r, MODEL="exec", MODEL_COMMAND="/model") as b:
            p = h.Project()
            first = b.version(p)
            for i in range(6):
                b.hook(p.labelled(h.review(LABELS[i % 2], i), LABELS[i % 2]))
            new = h.wait_for(lambda: (lambda v: v if v and v != first else None)(b.version(p)), NEW_S)
            a = b.predict(p, ["whatever"])
            check("a model of the kind exec, a static binary too", a.status == 200 and "0.25" in a.body.decode() and new, f"{new} {a} {b.said()[-600:]}")


# ---- names and certificates ----------------------------------------------------

class Https:
    """Says who asks, as Label Studio does, by a certificate for localhost of a CA of its own."""

    def __init__(self, folder):
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                body = b'{"email": "anna@example.com", "release": "1.23.2"}'
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):         # refused handshakes are what is tested
                pass

        with open(os.path.join(folder, "ext"), "w") as f:
            f.write("subjectAltName=DNS:localhost,DNS:studio.example\n")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=a CA")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "csr", "-subj", "/CN=localhost")
        openssl("x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "pem", "-days", "2", "-extfile", "ext")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(os.path.join(folder, "pem"), os.path.join(folder, "key"))
        with open(os.path.join(folder, "ca.pem"), "rb") as f:
            self.ca = f.read()
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def t_https():
    with tempfile.TemporaryDirectory() as folder:
        s = Https(folder)

        def asks(root, name, **env):
            env = {"LABEL_STUDIO_HOST": f"https://{name}:{s.port}", "LABEL_STUDIO_API_KEY": "0123456789abcdef0123456789abcdef01234567", **env}
            code, out, err = root.run("start", "--check", env=env)
            return ("anna@example.com" in out and code == 0), (out + err)[-500:]

        with Root() as r:
            r.put("ca.pem", s.ca)
            ok, said = asks(r, "localhost")
            check("https: refused without the CA, and the certificate is named", not ok and "ertificate" in said, said)
            check("https: accepted with SSL_CERT_FILE", *asks(r, "localhost", SSL_CERT_FILE="/ca.pem"))
            r.put("etc/hosts", "127.0.0.1 studio.example other.example\n")
            check("a name of /etc/hosts", *asks(r, "studio.example", SSL_CERT_FILE="/ca.pem"))
            ok, said = asks(r, "other.example", SSL_CERT_FILE="/ca.pem")
            check("https: refused under a name that is not the certificate's", not ok and "ertificate" in said, said)
            r.put("etc/nsswitch.conf", "hosts: mdns4_minimal [!SUCCESS=return] files\n")
            check("nsswitch.conf loads nothing", *asks(r, "studio.example", SSL_CERT_FILE="/ca.pem"))
            for path in ("etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/certs/ca-certificates.crt"):
                r.put(path, s.ca)
                check(f"https: the CAs of /{path}", *asks(r, "localhost"))
                os.remove(os.path.join(r.dir, path))
        s.server.shutdown()


if __name__ == "__main__":
    for t in (t_file, t_commands, t_server, t_cgi, t_exec, t_https):
        try:
            t()
        except Exception as e:      # the other tests are still worth running
            check(f"{t.__name__} runs to its end", False, f"{type(e).__name__}: {e}")
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(report.failed != 0)
