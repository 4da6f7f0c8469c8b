"""test_settings.py - a bad value stops the start with one line that names variable, value and what is allowed."""
import os
import shutil
import subprocess
import tempfile
import time

from harness import BUILD, ROOT, Project, Server, check, content, free_port, kill9, prelabel, processes_with, settings, wait_for

BAD = (("PORT", "abc"), ("PORT", "70000"), ("PORT", "-1"), ("PORT", "90.5"), ("PORT", "9090x"), ("START_TRAINING_EACH_N_UPDATES", "0"),
       ("START_TRAINING_EACH_N_UPDATES", "-5"), ("START_TRAINING_EACH_N_UPDATES", "ten"), ("START_TRAINING_EACH_N_UPDATES", "1.5"),
       ("START_TRAINING_EACH_N_UPDATES", "99999999999999999999"), ("LOGISTIC_REGRESSION_C", "0"), ("LOGISTIC_REGRESSION_C", "-1"),
       ("LOGISTIC_REGRESSION_C", "nan"), ("LOGISTIC_REGRESSION_C", "inf"), ("LOGISTIC_REGRESSION_C", "1,5"), ("LOGISTIC_REGRESSION_C", "x"),
       ("LOG_LEVEL", "LOUD"), ("WORKERS", "-1"), ("WORKERS", "two"), ("THREADS", "-1"), ("THREADS", "4 threads"), ("TRAIN_THREADS", "0"), ("TRAIN_THREADS", "x"),
       ("TOKEN_PATTERN", "words"), ("MAX_BODY_MB", "0"), ("MAX_BODY_MB", "-1"), ("MAX_BODY_MB", "1GB"), ("LABEL_STUDIO_HOST", "ftp://host/"),
       ("LABEL_STUDIO_HOST", "file:///etc/passwd"), ("LABEL_STUDIO_HOST", "not a url"))


def start(**extra):
    """(exit status or None, stderr) of a start that should not come up."""
    folder = tempfile.mkdtemp(prefix="prelabel-bad-")
    env = settings(folder, **dict({"PORT": free_port()}, **extra))
    try:
        p = subprocess.run([os.path.join(BUILD, "prelabel"), "start"], cwd=ROOT, env=env, capture_output=True, timeout=10, stdin=subprocess.DEVNULL)
        return p.returncode, p.stderr.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as e:
        return None, (e.stderr or b"").decode("utf-8", "replace")
    finally:
        for pid in processes_with("MODEL_DIR=" + folder):
            kill9(pid)
        shutil.rmtree(folder, ignore_errors=True)


def t_bad_values():
    for name, value in BAD:
        code, err = start(**{name: value})
        lines = err.strip().splitlines()
        rest = err.replace(name, "", 1).replace(value, "", 1)
        check(f"{name}={value}: the start stops", code in (1, 2), (code, err[-300:]))
        check(f"{name}={value}: one line with variable, value and what is allowed",
              len(lines) == 1 and name in err and value in err and len(rest.split()) >= 3, err[-400:])


def t_basic_auth_needs_both():
    code, err = start(BASIC_AUTH_USER="someone")
    check("a user without a password: the start stops, one line names the other", code in (1, 2) and "BASIC_AUTH_PASS" in err and len(err.strip().splitlines()) == 1, (code, err))
    code, err = start(BASIC_AUTH_PASS="hunter2hunter2")
    check("a password without a user: the start stops, one line names the other", code in (1, 2) and "BASIC_AUTH_USER" in err and len(err.strip().splitlines()) == 1, (code, err))
    check("the password is not shown", "hunter2" not in err, err)


def t_host_and_url():
    code, err = start(LABEL_STUDIO_HOST="http://one:8080", LABEL_STUDIO_URL="http://two:8080")
    check("LABEL_STUDIO_HOST and _URL different: the start stops", code in (1, 2) and "LABEL_STUDIO_HOST" in err and "LABEL_STUDIO_URL" in err
          and len(err.strip().splitlines()) == 1, (code, err))
    with Server(LABEL_STUDIO_HOST="http://127.0.0.1:9", LABEL_STUDIO_URL="http://127.0.0.1:9") as b:
        check("both the same: fine", b.get("/health").status == 200)
    with Server(LABEL_STUDIO_HOST=None, LABEL_STUDIO_URL="http://127.0.0.1:9/prefix/") as b:
        check("the alias alone: fine", b.get("/health").status == 200)
        code, out, err = b.cli("env")
        check("and in force", "http://127.0.0.1:9/prefix" in out, out)


def t_empty_values():
    """An empty variable is what docker-compose makes of an unset one."""
    with Server(BASIC_AUTH_USER="", BASIC_AUTH_PASS="", WEBHOOK_SECRET="", LABEL_STUDIO_API_KEY="") as b:
        check("empty credentials are none", b.get("/health").status == 200 and b.predict(Project(), ["x"]).status == 200)


def t_model_dir():
    folder = tempfile.mkdtemp(prefix="prelabel-dir-")
    try:
        deep = os.path.join(folder, "a b", "c")
        with Server(folder=folder, MODEL_DIR=deep) as b:
            b.dir = deep
            b.version(Project())
            check("MODEL_DIR is made, spaces and all", os.path.exists(os.path.join(deep, "prelabel.sqlite3")), os.listdir(folder))
            check("0700", oct(os.stat(deep).st_mode & 0o777) == "0o700", oct(os.stat(deep).st_mode))
        blocker = os.path.join(folder, "file")
        open(blocker, "w").close()
        code, err = start(MODEL_DIR=os.path.join(blocker, "x"))
        check("a MODEL_DIR that can't be: the start stops and names it", code in (1, 2) and blocker in err, (code, err))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def t_host():
    with Server() as b:
        check("by default it listens on 127.0.0.1 alone", refused_at("127.0.0.2", b.port))
    with Server(HOST="0.0.0.0") as b:
        check("HOST=0.0.0.0: on every address", not refused_at("127.0.0.2", b.port) and b.get("/health").status == 200)


def refused_at(host, port):
    import socket
    try:
        socket.create_connection((host, port), 2).close()
        return False
    except OSError:
        return True


def t_newer_store():
    """reliability.md R6: an older program refuses a newer file, with a clear message."""
    import sqlite3
    with Server() as b:
        b.version(Project())
        b.stop()
        db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"))
        db.execute("pragma user_version = 999")
        db.commit()
        db.close()
        code, err = start(MODEL_DIR=b.dir)
        check("a store of a newer version: the start stops and says so", code == 1 and "newer" in err and len(err.strip().splitlines()) == 1, (code, err))
        code, out, err = b.cli("status")
        check("and so does the command line", code == 1 and "newer" in err, (code, out, err))
        db = sqlite3.connect(os.path.join(b.dir, "prelabel.sqlite3"))
        check("the file is left as it is", db.execute("pragma user_version").fetchone() == (999,))
        db.close()


def t_not_a_store():
    for name, raw in (("text", b"this is no database at all\n" * 200), ("a header and junk", b"SQLite format 3\0" + b"\xff" * 8000)):
        folder = tempfile.mkdtemp(prefix="prelabel-junk-")
        try:
            with open(os.path.join(folder, "prelabel.sqlite3"), "wb") as f:
                f.write(raw)
            code, err = start(MODEL_DIR=folder)
            check(f"a file that is no store ({name}): the start stops, one line", code == 1 and "store" in err and len(err.strip().splitlines()) == 1, (code, err))
            with open(os.path.join(folder, "prelabel.sqlite3"), "rb") as f:
                check(f"and the file ({name}) is left as it is", f.read() == raw)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def t_log_level():
    with Server(LOG_LEVEL="ERROR") as b:
        b.predict(Project(), ["x"])
        b.post("/predict", b"{")
        quiet = b.log_text()
    with Server(LOG_LEVEL="DEBUG") as b:
        b.predict(Project(), ["secret text of a task"])
        b.post("/predict", b"{")
        wait_for(lambda: len(b.log_text()) > len(quiet))        # a journal takes its time
        loud = b.log_text()
        check("DEBUG says more than ERROR", len(loud) > len(quiet), (len(loud), len(quiet)))
        check("texts of tasks are not logged", "secret text" not in loud)


def t_workers_and_threads():
    for w, t in ((1, 1), (3, 2)):
        with Server(WORKERS=w, THREADS=t) as b:
            b.warm()
            n = sum("/cgi/predict" in c or c.split(" ")[0].endswith("predict") for c in b.tree().values())
            check(f"WORKERS={w}: {w} predict processes", n == w, b.tree())
            pid = next(p for p, c in b.tree().items() if "/cgi/predict" in c or c.split(" ")[0].endswith("predict"))
            threads = len(os.listdir(f"/proc/{pid}/task"))
            check(f"THREADS={t}: at least {t} threads in it", threads >= t, threads)
    with Server(THREADS=4) as b:
        b.warm()
        b.get("/status")
        more = 2 if "thread" in os.environ.get("SANITIZE", "") else 1     # one waits for signals; that sanitizer has one of its own
        for _ in range(100):            # the second of its processes may still be starting
            there = [len(os.listdir(f"/proc/{p}/task")) for p, c in b.tree().items() if "/cgi/status" in c or c.split(" ")[0].endswith("status")]
            if set(there) == {more + 2}:
                break
            time.sleep(0.05)
        check("THREADS=4: two in a process of status", set(there) == {more + 2}, there)


def t_env_of_the_tree():
    """Secrets go to the programs by a list (architecture.md 7); what is not prelabel's stays out."""
    code, out, err = prelabel("env", env=settings("/tmp/nowhere", LOGISTIC_REGRESSION_C="7"))
    check("prelabel env shows a set value", code == 0 and "7" in out, (code, err))
    with Server(AWS_SECRET_THING="do-not-pass-me") as b:
        b.version(Project())
        got = [c for p, c in b.tree().items() if "/cgi/" in c and b"do-not-pass-me" in content(f"/proc/{p}/environ")]
        check("an unrelated variable does not reach the programs", not got, got)
