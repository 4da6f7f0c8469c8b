#!/usr/bin/env python3
"""run.py - a backend of one's own, and what is installed.

    BUILD=build python3 tests/init/run.py [NAME...]     from the root of the tree; names of the functions below, without t_

Installs into a folder, makes backends with `prelabel init` from there and from $BUILD, in C and in Python, starts them
with `prelabel start DIR` and runs their own test_api.py.  Closes with `N passed, N failed`.
"""
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/http"))
sys.dont_write_bytecode = True
from harness import free_port  # noqa: E402
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
WORK = tempfile.mkdtemp(prefix="prelabel-init-")
DEST = os.path.join(WORK, "dest")
INSTALLED = DEST + "/usr/local"
SANITIZE = os.environ.get("SANITIZE", "")
CONFIG = ('<View><Text name="text" value="$text"/><Choices name="sentiment" toName="text">'
          '<Choice value="positive"/><Choice value="negative"/></Choices></View>')
passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok   " if good else "FAIL ") + name + (f"\n     {str(detail).strip()[-1500:]}" if not good and detail else ""), flush=True)
    return good


def clean_env(**more):
    names = ("LABEL_STUDIO_", "BASIC_AUTH_", "WEBHOOK_", "MODEL", "PRELABEL", "MAKE", "MFLAGS", "PORT", "HOST", "START_TRAINING", "CFLAGS", "LDFLAGS", "BUILD",
             "DESTDIR", "PREFIX", "CPPFLAGS", "LIBS")
    env = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    if SANITIZE:
        env.update(CFLAGS=f"-O1 -g -Wall -Wextra -fPIE -fsanitize={SANITIZE}", LDFLAGS=f"-pie -fsanitize={SANITIZE}")
    else:
        env["CFLAGS"] = "-O1 -g -Wall -Wextra -Wconversion -Werror -fPIE"
        if os.environ.get("EXTRA_LDFLAGS"):     # what the library of this build is linked with (make cover)
            env["LDFLAGS"] = os.environ["EXTRA_LDFLAGS"]
    env.update(more)
    return env


def run(*args, cwd=WORK, timeout=300, **env):
    p = subprocess.run([str(a) for a in args], cwd=cwd, env=clean_env(**env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, timeout=timeout)
    return p.returncode, p.stdout, p.stderr


def make_tree(*args):
    """make in the tree itself, whose flags are those of the build at hand."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    more = [f"CC={os.environ['CC']}"] if os.environ.get("CC") else []
    p = subprocess.run(["make", "-s", f"BUILD={os.environ.get('BUILD', 'build')}", f"SANITIZE={SANITIZE}", *more, *args], cwd=ROOT, env=env,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=800)
    return p.returncode, p.stdout


class Started:
    """`prelabel start DIR ...` until the block ends."""

    def __init__(self, prelabel, folder, *args, **env):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile("w+")
        self.p = subprocess.Popen([prelabel, "start", folder, "--port", str(self.port), *args], cwd=WORK, env=clean_env(**env), stdin=subprocess.DEVNULL,
                                  stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)

    def __enter__(self):
        end = time.monotonic() + 300
        while time.monotonic() < end and self.p.poll() is None:
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
        try:
            self.status = self.p.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.p.pid, signal.SIGKILL)
            self.status = None

    def post(self, path, body):
        r = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(r, timeout=60) as a:
            return json.load(a)

    def setup(self):
        return self.post("/setup", {"project": "5.1767323045", "schema": CONFIG})["model_version"]

    def label(self, text):
        p = self.post("/predict", {"project": "5.1767323045", "label_config": CONFIG, "tasks": [{"id": 1, "data": {"text": text}}]})
        return p["results"][0]["result"][0]["value"]["choices"][0]

    def text(self):
        self.log.seek(0)
        return self.log.read()


def installed():
    """The path of the installed prelabel; installs it on the first call."""
    prelabel = INSTALLED + "/bin/prelabel"
    if not os.path.exists(prelabel):
        code, out = make_tree("install", f"DESTDIR={DEST}")
        if code:
            raise RuntimeError("make install: " + out[-2000:])
    return prelabel


def serve_and_test(what, prelabel, folder, kind):
    """Starts it, runs its test_api.py against it, then looks at who answered and where it keeps things."""
    with Started(prelabel, folder, "--with", "START_TRAINING_EACH_N_UPDATES=24") as s:
        code, out, err = run("python3", os.path.join(folder, "test_api.py"), URL=s.url)
        check(f"{what}: its test_api.py passes, all four tests", code == 0 and "Ran 4 tests" in err, err + s.text()[-1500:])
        try:
            version = s.setup()
        except OSError as e:
            version = str(e)
        check(f"{what}: the answers are its model's", version.startswith(kind + "-"), version)
    check(f"{what}: ends with status 0", s.status == 0, s.text())
    check(f"{what}: keeps its store in its own folder", os.path.exists(os.path.join(folder, "data/prelabel.sqlite3")))


# ---- the tests -------------------------------------------------------------------
def t_install():
    prelabel = installed()
    code, out, err = run(prelabel, "--version")
    check("the installed prelabel runs", code == 0 and out.startswith("prelabel "), err)
    found = set()
    for where, _, names in os.walk(DEST):
        found |= {os.path.relpath(os.path.join(where, n), INSTALLED) for n in names}
    for name in ("bin/prelabel", "lib/prelabel/cgi/predict", "lib/libprelabel.a", "include/prelabel/models/model.h", "lib/pkgconfig/prelabel.pc",
                 "share/man/man1/prelabel.1", "share/man/man3/prelabel-model.3", "share/man/man5/prelabel.conf.5", "share/prelabel/init/model.c",
                 "share/prelabel/cgi/predict.c", "share/prelabel/schema/0001_init.sql", "share/bash-completion/completions/prelabel"):
        check(f"installed: {name}", name in found, sorted(found))
    with open(INSTALLED + "/share/prelabel/manifest") as f:
        listed = {line.strip() for line in f if not line.endswith("/\n")}
    links = {"lib/prelabel/init"}
    check("the manifest lists what was installed, no more, no less", listed - links == found - links, listed ^ found)
    with open(os.path.join(ROOT, "lib/models/model.h")) as f:
        abi = re.search(r"^#define MODEL_ABI (\d+)", f.read(), re.M)[1]
    code, out, err = run("readelf", "-d", INSTALLED + "/lib/libprelabel.so")
    check("the shared library carries the number of the interface", f"[libprelabel.so.{abi}]" in out, out)

    pc = {"PKG_CONFIG_PATH": INSTALLED + "/lib/pkgconfig"}
    code, flags, err = run("pkg-config", "--cflags", "prelabel", **pc)
    check("pkg-config finds it", code == 0, err)
    bad = []
    for h in sorted(n for n in found if n.startswith("include/prelabel/")):
        src = os.path.join(WORK, "one.c")
        with open(src, "w") as f:
            f.write(f'#include "{h[len("include/prelabel/"):]}"\n')
        code, _, err = run("cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", src, *flags.split())
        if code:
            bad.append(err)
    check("every installed header compiles by itself, with the installed ones alone", not bad, bad)
    code, out, err = run("nm", "-D", "--defined-only", INSTALLED + "/lib/libprelabel.so")
    check("the shared library offers the table of kinds", re.search(r" [DR] model_kinds$", out, re.M), out[-300:])


def t_uninstall():
    installed()
    for name in ("share/prelabel/manifest-of-mine", "lib/pkgconfig/other.pc"):
        with open(os.path.join(INSTALLED, name), "w") as f:
            f.write("kept")
    code, out = make_tree("uninstall", f"DESTDIR={DEST}")
    left = sorted(os.path.relpath(os.path.join(w, n), INSTALLED) for w, _, ns in os.walk(DEST) for n in ns)
    check("uninstall takes away what was installed and nothing else", code == 0 and left == ["lib/pkgconfig/other.pc", "share/prelabel/manifest-of-mine"], (out, left))
    os.unlink(INSTALLED + "/share/prelabel/manifest-of-mine")
    installed()
    code, out = make_tree("uninstall", f"DESTDIR={DEST}")
    left = [d for d, _, _ in os.walk(DEST) if "prelabel" in os.path.relpath(d, DEST)]
    check("and no folder of its own is left", code == 0 and not left, (out, left))
    code, out = make_tree("uninstall", f"DESTDIR={DEST}")
    check("a second uninstall says that there is nothing", code == 0 and "nothing was installed" in out, out)
    os.unlink(INSTALLED + "/lib/pkgconfig/other.pc")


def t_manual():
    installed()
    pages = {os.path.basename(p): os.path.join(w, p) for w, _, ps in os.walk(INSTALLED + "/share/man") for p in ps}
    check("four pages", set(pages) == {"prelabel.1", "prelabel-model.3", "prelabel.conf.5", "prelabel-operations.7"}, pages)
    text = {}
    for name, path in pages.items():
        code, out, err = run("mandoc", "-Tlint", "-Wwarning", path)
        check(f"{name}: mandoc has nothing to say", code == 0 and not out + err, out + err)
        code, out, err = run("groff", "-mandoc", "-ww", "-Tutf8", "-P-cbou", path)
        check(f"{name}: groff has nothing to say", code == 0 and not err, err)
        text[name] = out
        check(f"{name}: no mark is left unfilled", not re.search(r"@[A-Z]+@", out), out)
    _, out, _ = run(INSTALLED + "/bin/prelabel", "env")
    names = re.findall(r"^([A-Z_]+)=", out, re.M)
    missing = [n for n in names if not re.search(rf"^\s+{n}\b", text["prelabel.conf.5"], re.M)]
    check("prelabel.conf(5) has every setting", len(names) > 10 and not missing, missing)
    _, out, _ = run(INSTALLED + "/bin/prelabel", "help")
    verbs = re.findall(r"^prelabel ([a-z]+) ", out, re.M)
    missing = [v for v in verbs if not re.search(rf"^\s+{v}\b", text["prelabel.1"], re.M)]
    check("prelabel(1) has every command", len(verbs) > 10 and not missing, missing)
    with open(os.path.join(ROOT, "lib/models/model.h")) as f:
        kind = re.search(r"struct model_kind \{(.*?)^\};", f.read(), re.S | re.M)[1]
    members = re.findall(r"\(\*(\w+)\)\(", kind) + ["abi", "name", "format"]
    missing = [m for m in members if not re.search(rf"\b{m}\b", text["prelabel-model.3"])]
    check("prelabel-model(3) has every member of a kind", len(members) > 8 and not missing, missing)


def t_completion():
    prelabel = installed()
    script = (f"source {INSTALLED}/share/bash-completion/completions/prelabel; prelabel() {{ {prelabel} \"$@\"; }}; "
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _prelabel; echo "${COMPREPLY[@]}"')
    for words, want in ((["prelabel", "st"], {"start", "status"}), (["prelabel", "start", "--ba"], {"--basic-auth-user", "--basic-auth-pass"}),
                        (["prelabel", "init", "--"], {"--script", "--force"}), (["prelabel", "help", "ver"], {"versions"})):
        code, out, err = run("bash", "-c", script, "bash", *words)
        check(f"bash completes `{' '.join(words)}`", code == 0 and set(out.split()) == want, out + err)


def t_c():
    for what, prelabel in (("installed", installed()), ("build", BUILD + "/prelabel")):
        folder = os.path.join(WORK, "c-" + what)
        code, out, err = run(prelabel, "init", folder)
        check(f"C, {what}: init", code == 0 and folder in out, err)
        serve_and_test(f"C, {what}", prelabel, folder, "words")
        code, out, err = run("make", "-s", "test", cwd=folder)
        check(f"C, {what}: make test", code == 0 and "Ran 4 tests" in err, out + err)
        code, out, err = run("make", "-q", cwd=folder)
        check(f"C, {what}: a second make has nothing to do", code == 0, out + err)


def t_shared():
    prelabel = installed()
    folder = os.path.join(WORK, "shared")
    run(prelabel, "init", folder)
    code, out, err = run("make", "-s", cwd=folder)
    check("shared library: the folder builds", code == 0, out + err)
    code, libs, err = run("pkg-config", "--libs", "prelabel", PKG_CONFIG_PATH=INSTALLED + "/lib/pkgconfig")
    extra = [f"-fsanitize={SANITIZE}"] if SANITIZE else []
    objects = [os.path.join(folder, "build/obj", o) for o in ("cgi/prelabel.o", "model.o", "model_table.o")]
    code, out, err = run("cc", *extra, "-o", folder + "/with-so", *objects, *libs.split(), "-ljson-c", "-lm", "-Wl,-rpath," + INSTALLED + "/lib")
    check("shared library: links", code == 0, err)
    code, out, err = run(folder + "/with-so", "env", MODEL="words+tfidf_logreg")
    check("shared library: the program's table takes the place of the library's", code == 0, err)
    code, out, err = run(prelabel, "env", MODEL="words")
    check("shared library: without it there is no such kind", code == 2 and "words" in err, (code, err))


def t_python():
    prelabel = installed()
    folder = os.path.join(WORK, "python")
    code, out, err = run(prelabel, "init", folder, "--script", "model.py")
    check("Python: init writes the template", code == 0 and os.access(folder + "/model.py", os.X_OK), err)
    serve_and_test("Python", prelabel, folder, "exec")
    check("Python: without requirements no virtual environment is made", not os.path.exists(folder + "/.venv"))
    wheel = os.path.join(WORK, "prelabel_test_package-1.0-py3-none-any.whl")    # by hand: no network, no build tools
    info = "prelabel_test_package-1.0.dist-info/"
    with zipfile.ZipFile(wheel, "w") as z:
        z.writestr("prelabel_test_package.py", "NAME = 'required'\n")
        z.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: prelabel-test-package\nVersion: 1.0\n")
        z.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(info + "RECORD", f"prelabel_test_package.py,,\n{info}METADATA,,\n{info}WHEEL,,\n{info}RECORD,,\n")
    with open(folder + "/requirements.txt", "a") as f:
        f.write(wheel + "\n")
    with open(folder + "/model.py") as f:
        text = f.read()
    with open(folder + "/model.py", "w") as f:
        f.write(text.replace("import json\n", "import json\nimport prelabel_test_package\n", 1))
    with Started(prelabel, folder) as s:
        try:
            check("Python: requirements.txt is installed into .venv, which runs the script", s.label("positive") in ("positive", "negative"))
        except OSError as e:
            check("Python: requirements.txt is installed into .venv, which runs the script", False, f"{e}: {s.text()}")
    stamp = os.stat(folder + "/.venv/installed").st_mtime_ns if os.path.exists(folder + "/.venv/installed") else None
    with Started(prelabel, folder) as s:
        check("Python: and only once", stamp is not None and os.stat(folder + "/.venv/installed").st_mtime_ns == stamp)


def t_refusals():
    prelabel = installed()
    one = os.path.join(WORK, "one")
    os.makedirs(one)
    with open(one + "/mine.txt", "w") as f:
        f.write("mine")

    def refused(name, *args, status=1, says=""):
        code, out, err = run(prelabel, "init", *args)
        check(f"init: {name}", code == status and len(err.strip().splitlines()) == 1 and says in err, (code, out, err))
    refused("no folder", status=2)
    refused("two folders", "a", "b", status=2)
    refused("a folder that is not empty", one, says="not empty")
    check("init: and nothing was written", os.listdir(one) == ["mine.txt"])
    refused("a folder whose parent is missing", os.path.join(WORK, "no/such"), says="No such file")
    no_kind = os.path.join(WORK, "nothing.c")
    with open(no_kind, "w") as f:
        f.write("static const struct model_kind model_x;\nint x;\n")
    refused("C without a kind", os.path.join(WORK, "n1"), "--script", no_kind, says="model_NAME")
    refused("C that does not exist", os.path.join(WORK, "n1"), "--script", "no.c", says="No such file")
    refused("a path to a script that does not exist", os.path.join(WORK, "n1"), "--script", "no/such.py", says="No such file")
    refused("a program that does not exist", os.path.join(WORK, "n1"), "--script", "no-such", says="No such file")
    refused("a folder as a script", os.path.join(WORK, "n1"), "--script", one, says="is no file")
    refused("text that can't be run", os.path.join(WORK, "n1"), "--script", one + "/mine.txt", says="executable")
    check("init: a refusal makes no folder", not os.path.exists(os.path.join(WORK, "n1")))
    code, out, err = run(prelabel, "init", one, "--force")
    check("init --force writes beside what is there", code == 0 and {"mine.txt", "model.c", "Makefile"} <= set(os.listdir(one)), err)

    own = os.path.join(WORK, "my own model.c")
    with open(INSTALLED + "/share/prelabel/init/model.c") as f:
        text = "/* mine */\n" + f.read().replace("model_words", "model_mine").replace('"words"', '"mine"')
    with open(own, "w") as f:
        f.write(text)
    folder = os.path.join(WORK, "own")
    code, out, err = run(prelabel, "init", folder, "--script", own)
    same = os.path.exists(folder + "/model.c") and open(folder + "/model.c").read() == text
    check("init --script FILE.c: it becomes model.c, byte by byte", code == 0 and same, err)
    code, out, err = run("make", "-s", cwd=folder)
    code, out, err = run(folder + "/build/prelabel", "env", MODEL="mine+tfidf_logreg")
    check("init --script FILE.c: its kind is built in beside the library's", code == 0, err)
    program = os.path.join(WORK, "answer")
    with open(program, "w") as f:
        f.write("#!/bin/sh\nexec cat\n")
    os.chmod(program, 0o755)
    folder = os.path.join(WORK, "program")
    code, out, err = run(prelabel, "init", folder, "--script", program)
    with open(folder + "/prelabel.conf") as f:
        conf = f.read()
    check("init --script PROGRAM: copied, executable, named in prelabel.conf", code == 0 and os.access(folder + "/answer", os.X_OK)
          and "MODEL_COMMAND=./answer\n" in conf, (err, conf))
    marks = [n for n in os.listdir(folder) if n != "answer" and re.search(r"@(NAME|SCRIPT|PRELABEL_DIR)@", open(os.path.join(folder, n)).read())]
    check("init: no mark is left unfilled", not marks, marks)
    umask = os.stat(folder + "/README.md").st_mode & 0o777
    check("init: files are as the umask has them", umask == 0o644, oct(umask))


def t_start():
    prelabel = installed()
    folder = os.path.join(WORK, "start")
    run(prelabel, "init", folder)
    with open(folder + "/model.c") as f:
        text = f.read()
    with open(folder + "/model.c", "w") as f:
        f.write(text.replace("#include <math.h>\n", "#include <math.h>\n#include <stdlib.h>\n")
                    .replace("\tseen = (void *)notes->p;\n", '\tseen = (void *)notes->p;\n\tseen->examples += span_is(text, getenv("PREFER")) ? 1000000 : 0;\n'))
    with open(folder + "/prelabel.conf", "a") as f:
        f.write("\n# a comment\n  PREFER=negative  \nSTART_TRAINING_EACH_N_UPDATES=17\nLABEL_STUDIO_URL=http://from.file:1\n")
    with Started(prelabel, folder, LABEL_STUDIO_HOST="http://from.environment:2") as s:
        check("prelabel.conf: a variable of its own reaches the model", s.label("positive") == "negative", s.text())
    with Started(prelabel, folder, "--with", "PREFER=positive") as s:
        check("--with comes before prelabel.conf, in the model", s.label("negative") == "positive", s.text())
    with Started(prelabel, folder, PREFER="positive") as s:
        check("so does the environment", s.label("negative") == "positive", s.text())
    code, out, err = run(prelabel, "start", folder, "--with", "no equals sign")
    check("--with without a value: exit 2", code == 2, (code, err))
    code, out, err = run(prelabel, "start", folder, "--with", "A-B=1")
    check("--with a name that can't be one: exit 2", code == 2, (code, err))
    with open(folder + "/prelabel.conf", "a") as f:
        f.write("THREADS=none\n")
    code, out, err = run(prelabel, "start", folder)
    check("prelabel.conf: a value that can't be right stops the start", code == 2 and "THREADS=none" in err, (code, err))
    with open(folder + "/prelabel.conf", "a") as f:
        f.write("what is this\n")
    code, out, err = run(prelabel, "start", folder)
    check("prelabel.conf: a line that is none is named by its number", code == 1 and re.search(r"prelabel\.conf:\d+: ", err), (code, err))
    os.unlink(folder + "/prelabel.conf")
    with open(folder + "/model.c", "a") as f:
        f.write("this is no C\n")
    code, out, err = run(prelabel, "start", folder)
    check("a model that does not compile stops the start: exit 1", code == 1 and "make failed" in err, (code, err))
    code, out, err = run(prelabel, "start", os.path.join(WORK, "nowhere"))
    check("a folder that is not there: exit 1, one line", code == 1 and len(err.strip().splitlines()) == 1, (code, err))


class Whoami(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = self.headers.get("Authorization") == "Token " + "a" * 40
        body = json.dumps({"id": 1, "email": "ann@example.com"} if good else {"detail": "Invalid token."}).encode()
        if self.path.startswith("/api/version"):
            good, body = True, b'{"release": "1.23.2"}'
        self.send_response((200 if good else 401) if self.path.startswith(("/api/current-user/whoami", "/api/version")) else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def t_check():
    prelabel = installed()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Whoami)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    folder = os.path.join(WORK, "check")
    run(prelabel, "init", folder)
    try:
        code, out, err = run(prelabel, "start", "--check", MODEL_DIR=WORK, LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY="a" * 40)
        check("--check: a right key: exit 0, and whose it is", code == 0 and "ann@example.com" in out and "FAIL" not in out, (code, out, err))
        code, out, err = run(prelabel, "start", folder, "--check", LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY="a" * 40)
        check("--check of a folder: built, with its own kind", code == 0 and re.search(r"models +words tfidf_logreg|models +words ", out), (code, out, err))
        check("--check makes no store", not os.path.exists(folder + "/data"))
        code, out, err = run(prelabel, "start", "--check", MODEL_DIR=WORK, LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY="b" * 40)
        check("--check: a wrong key: exit 1, and it is not printed", code == 1 and "(key-wrong)" in out and "b" * 40 not in out + err, (code, out, err))
        code, out, err = run(prelabel, "start", "--check", MODEL_DIR=WORK, LABEL_STUDIO_URL=url)
        check("--check: no key: exit 1", code == 1 and "LABEL_STUDIO_API_KEY" in out, (code, out, err))
        code, out, err = run(prelabel, "start", "--check", MODEL_DIR=WORK, LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY="a" * 40, MODEL_COMMAND="/no/such/program")
        check("--check: a program that is not there: exit 1", code == 1 and "FAIL MODEL_COMMAND" in out, (code, out, err))
        code, out, err = run(prelabel, "start", "--check", MODEL_DIR=os.path.join(prelabel, "below-a-file"), LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY="a" * 40)
        check("--check: a folder that can't be written to: exit 1", code == 1 and "FAIL MODEL_DIR" in out, (code, out, err))
    finally:
        server.shutdown()
        server.server_close()
    code, out, err = run(prelabel, "start", "--check", MODEL_DIR=WORK, LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY="a" * 40)
    check("--check: nobody answers: exit 1", code == 1 and "FAIL Label Studio" in out, (code, out, err))


TESTS = [t_install, t_manual, t_completion, t_refusals, t_c, t_shared, t_start, t_check, t_python, t_uninstall]


def main():
    try:
        for test in TESTS:
            if sys.argv[1:] and test.__name__[2:] not in sys.argv[1:]:
                continue
            try:
                test()
            except Exception as e:
                check(f"{test.__name__[2:]}: ran to its end", False, f"{type(e).__name__}: {e}")
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
