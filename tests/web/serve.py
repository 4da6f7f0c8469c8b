#!/usr/bin/env python3
"""
serve.py SERVER - one of the web servers with its shipped fragment, on $PORT with the
settings of the environment, until SIGTERM: what HTTP_CMD and BACKEND_CMD want.

SERVER: lighttpd, apache-fcgid, apache-cgid, nginx.  WEB_STAGE: a folder that `make install`
filled (tests/web/ci.sh makes one).

Here stands what is the distribution's (the server's own main configuration) and what is
systemd's: the services start with an environment of their own, and all processes of a
service end with it.  The fragments are taken as they were installed; what a person would
edit is replaced: the address, the limit of a body, the folders.
"""
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None)
STAGE = os.environ.get("WEB_STAGE", "")
SHARE = os.path.join(STAGE, "share/prelabel/web")
LIB = os.path.join(STAGE, "lib/prelabel")
MODULES = "/usr/lib/apache2/modules/mod_"
APACHE = ("mpm_event", "authz_core", "alias", "env", "headers", "reqtimeout", "setenvif", "mime", "dir")
SETTINGS = ("MODEL_DIR", "LABEL_STUDIO_HOST", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN",
            "START_TRAINING_EACH_N_UPDATES", "LOGISTIC_REGRESSION_C", "BASIC_AUTH_USER", "BASIC_AUTH_PASS", "WEBHOOK_SECRET", "LOG_LEVEL",
            "WORKERS", "THREADS", "TRAIN_THREADS", "TOKEN_PATTERN", "MODEL", "MODEL_COMMAND", "MAX_BODY_MB", "KEEP_VERSIONS", "KEEP_HISTORY", "SANDBOX",
            # Not settings: what the programs must not heed.
            "http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")


def setting(name, default):
    return os.environ.get(name) or default


def fragment(name, run):
    """The installed file, with what a person would edit replaced."""
    with open(os.path.join(SHARE, name)) as f:
        text = f.read()
    mb = int(setting("MAX_BODY_MB", "128"))
    for old, new in (("127.0.0.1:9090", f"{setting('HOST', '127.0.0.1')}:{setting('PORT', '9090')}"), ("/etc/prelabel", run), ("/run/prelabel", run), ("/run/lighttpd", run),
                     ("128m;", f"{mb}m;"), ("134217728", str(mb << 20)), ("131072", str(mb << 10))):
        text = text.replace(old, new)
    path = os.path.join(run, "fragment-" + os.path.basename(name))
    with open(path, "w") as f:
        f.write(text)
    return path


def write(run, name, text):
    path = os.path.join(run, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def lighttpd(run):
    main = f"""
server.modules = ( "mod_indexfile", "mod_access", "mod_alias", "mod_redirect" )
index-file.names = ( "index.php", "index.html" )
server.feature-flags = ( "server.graceful-shutdown-timeout" => 5 )
server.document-root = "{run}"
server.bind = "127.0.0.1"
server.port = 0
server.upload-dirs = ( "{run}" )
include "{fragment('lighttpd/prelabel.conf', run)}"
"""
    # The main socket of the distribution is not wanted here: the fragment's takes its place.
    main = main.replace("server.port = 0", f"server.port = {setting('PORT', '9090')}").replace(
        'server.bind = "127.0.0.1"', f'server.bind = "{setting("HOST", "127.0.0.1")}"')
    return [["/usr/sbin/lighttpd", "-D", "-f", write(run, "main.conf", main)]]


def apache(run, kind):
    lines = [f"LoadModule {m}_module {MODULES}{m}.so" for m in (*APACHE, kind)]
    lines += [f"ServerRoot {run}", f"PidFile {run}/pid", f"Mutex file:{run} default", "ServerName localhost", "TypesConfig /etc/mime.types", 'ErrorLog "|/bin/cat"', "LogLevel warn",
              f"DocumentRoot {run}", "MaxRequestWorkers 400", "MinSpareThreads 150", "MaxSpareThreads 400", "StartServers 8"]
    if kind == "fcgid":
        lines += [f"FcgidIPCDir {run}/fcgid", f"FcgidProcessTableFile {run}/fcgid_shm"]
        os.mkdir(os.path.join(run, "fcgid"))
    else:
        lines += [f"ScriptSock {run}/cgisock"]
    lines += [f"Include {fragment(f'apache/prelabel-{kind}.conf', run)}"]
    return [["/usr/sbin/apache2", "-DFOREGROUND", "-f", write(run, "main.conf", "\n".join(lines) + "\n")]]


def nginx(run):
    temp = "\n".join(f"{kind}_temp_path {run}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = f"""
pid {run}/pid;
error_log stderr warn;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
access_log off;
{temp}
include {fragment('nginx/prelabel.conf', run)};
}}
"""
    spawn = fragment("nginx/prelabel-fcgi", run)
    os.chmod(spawn, 0o755)
    programs = [[spawn, name, setting("WORKERS", "2") if name == "predict" else "2"] for name in ("predict", "setup", "webhook", "status")]
    return programs + [["/usr/sbin/nginx", "-e", "stderr", "-g", "daemon off;", "-c", write(run, "main.conf", main)]]


SERVERS = {"lighttpd": lighttpd, "apache-fcgid": lambda run: apache(run, "fcgid"), "apache-cgid": lambda run: apache(run, "cgid"), "nginx": nginx}


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def children():
    me, out = str(os.getpid()), []
    with open(f"/proc/{me}/task/{me}/children") as f:
        out = [int(p) for p in f.read().split()]
    return out


def reap():
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def end_rest(seconds):
    """As systemd ends what is left of a service: SIGTERM to each, then SIGKILL."""
    end, told = time.time() + seconds, set()
    while True:
        reap()
        left = children()
        if not left:
            return
        for pid in left:
            if pid not in told or time.time() > end:
                told.add(pid)
                try:
                    os.kill(pid, signal.SIGKILL if time.time() > end else signal.SIGTERM)
                except ProcessLookupError:
                    pass
        time.sleep(0.01)


# Apache does not run as root.  The tests' folders are root's alone: hence the capability.
AS_USER = ["/usr/bin/setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", "--inh-caps=+dac_override",
           "--ambient-caps=+dac_override", "--pdeathsig", "KILL"] if os.geteuid() == 0 else []


def own(folder):
    """Of root's: www-data's, with all that is in it."""
    for at, _, files in os.walk(folder) if AS_USER else ():
        for path in [at] + [os.path.join(at, f) for f in files]:
            user = pwd.getpwnam("www-data")
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def start(argv, env):
    argv = AS_USER + argv
    return subprocess.Popen(argv, cwd="/", env=env, stdin=subprocess.DEVNULL, stdout=2, preexec_fn=die_with_parent)


def reap_others(procs):
    """Trainers, which came to us."""
    for pid in set(children()) - {p.pid for p in procs}:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def end_named(end):
    for pid in children():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().rstrip(b"\0").endswith(end.encode()):
                    os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def serve(name):
    """The service itself; SIGTERM ends it, also the one that comes when its parent died."""
    run = tempfile.mkdtemp(prefix="prelabel-web-")
    stop = []
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: stop.append(1))
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)       # trainers come to us
    model_dir = os.path.abspath(setting("MODEL_DIR", "data"))
    os.makedirs(model_dir, mode=0o700, exist_ok=True)
    values = dict(os.environ, MODEL_DIR=model_dir)
    write(run, "prelabel.conf", "".join(f"{k}={values[k]}\n" for k in SETTINGS if values.get(k)))
    # A service has little in its environment; MODEL_DIR is here for the tests to know our processes by.
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "MODEL_DIR": model_dir, "PRELABEL_CONF": run + "/prelabel.conf"}
    status = 1
    try:
        commands = SERVERS[name](run)
        own(run)
        own(model_dir)
        procs = [start(argv, env) for argv in commands[:-1]]
        end = time.time() + 10
        while sum(f.endswith(".sock") for _, _, fs in os.walk(run) for f in fs) < len(procs) and time.time() < end and not stop:
            time.sleep(0.01)                        # After=prelabel@….socket
        procs.append(start(commands[-1], env))
        server = procs[-1]
        while not stop and server.poll() is None:
            time.sleep(0.05)
            reap_others(procs)
            for i, p in enumerate(procs[:-1]):      # Restart=always: first what is left of the old one ends
                if p.poll() is not None:
                    end_named(f"/cgi/{commands[i][1]}")
                    procs[i] = start(commands[i], env)
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
            end = time.time() + 6
            while server.poll() is None and time.time() < end:
                reap_others(procs)                  # Apache waits for its programs, which are ours once their starter ended
                time.sleep(0.01)
            if server.poll() is None:
                server.kill()
        status = server.wait()
    finally:
        end_rest(4)
        shutil.rmtree(run, ignore_errors=True)
    return 0 if stop and status == 0 else 1


def main():
    child = os.fork()
    if child == 0:
        os._exit(serve(sys.argv[1]))
    # The service manager's part: pass on the word to end.  Killed itself, it takes the service along.
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: os.kill(child, signal.SIGTERM))
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            end_rest(4)
            return os.waitstatus_to_exitcode(status) & 255


if __name__ == "__main__":
    sys.exit(main())
