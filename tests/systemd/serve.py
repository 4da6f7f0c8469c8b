#!/usr/bin/env python3
"""
serve.py WAY - prelabel by its units, on $PORT with the settings of the environment, until
SIGTERM: what HTTP_CMD wants.  Where systemd is process 1 (boot.sh):

    systemd            prelabel.service
    systemd-sockets    prelabel@.socket and prelabel@.service behind nginx with its fragment

and where it can't be, as root:

    confined           the command of prelabel.service under its restrictions (confined.py);
                       without what only systemd does: /proc and /tmp of its own, start, restart
                       and end by the unit, limits of memory, the journal

The tests have several at a time: each run has units of its own, copies of the installed
files.  Their drop-ins hold what the README has for a MODEL_DIR elsewhere, and what two copies
can't share: the file of settings, the runtime folder, the sockets.  All else is in force.
What the journal has of them goes to standard error.

UNITS: the folder of the installed units; BUILD: of the installed programs.  SYSTEMCTL:
systemctl with the right to start units.
"""
import glob
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "web"))
sys.dont_write_bytecode = True
from serve import LIBC, PR_SET_PDEATHSIG, SETTINGS, die_with_parent, nginx       # noqa: E402

UNITS, SYSTEMCTL = os.environ["UNITS"], os.environ.get("SYSTEMCTL", "systemctl")
UID = 64990         # confined.py's
PROGRAMS = ("predict", "setup", "webhook", "status")
RUN = "/run/systemd/system"
# No MODEL_DIR: the tests know the processes of a server by it, and these are none.
ENV = {"PATH": os.environ["PATH"]}


def systemctl(*args):
    return subprocess.run([SYSTEMCTL, *args], env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()


def model_dir():
    """Its folder and the one above it that is there already, where prelabel is to make it."""
    folder = there = os.path.abspath(os.environ["MODEL_DIR"])
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    return folder, there


def quoted(value):
    """As systemd reads it in a file of settings and in a list of paths."""
    return '"' + "".join("\\" + c if c in '"\\`$' else c for c in value) + '"'


def write(path, text):
    with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
        f.write(text)
    return path


class Copy:
    """The units of this run, written; their names begin with ours."""

    def __init__(self):
        self.me = "prelabel-" + secrets.token_hex(6)        # a process's number comes again, and the journal remembers
        self.folder, self.there = model_dir()
        values = dict({k: os.environ[k] for k in SETTINGS + ("HOST", "PORT") if k in os.environ}, MODEL_DIR=self.folder)
        self.conf = write(f"{RUN}/{self.me}.conf", "".join(f"{k}={quoted(v)}\n" for k, v in values.items()))

    def copy(self, name, *dropin):
        """The installed file under our name, and with a drop-in."""
        ours = name.replace("prelabel", self.me, 1)
        os.makedirs(f"{RUN}/{ours}.d", exist_ok=True)
        with open(f"{UNITS}/{name}") as f:
            write(f"{RUN}/{ours}", f.read().replace("prelabel@", self.me + "@"))
        write(f"{RUN}/{ours}.d/http.conf", "\n".join(dropin) + "\n")
        for at in glob.glob(f"{UNITS}/{name.replace('.', '*.')}.d") if "@" in name else ():
            shutil.copytree(at, f"{RUN}/{os.path.basename(at).replace('prelabel', self.me, 1)}", dirs_exist_ok=True)
        return ours

    def service(self, name, *more):
        if os.path.exists("/etc/systemd/system/prelabel.service.d/devices.conf"):      # boot.sh: no device nodes here
            more += ("PrivateDevices=no",)
        return self.copy(name, "[Service]", "EnvironmentFile=", f"EnvironmentFile={self.conf}", f"ReadWritePaths={quoted(self.there)}", *more)


def run(*argv, **kw):
    return subprocess.Popen(argv, env=kw.pop("env", ENV), stdin=subprocess.DEVNULL, stdout=2, preexec_fn=die_with_parent, **kw)


def serve(name, others, stop):
    """The service of that name and what goes with it, until it ends for good or is to; its exit status, 1 where another
    has failed."""
    services = [n for n in (name, *others) if n.endswith(".service")]
    start = run(SYSTEMCTL, "start", name)
    while not stop and start.poll() is None:
        time.sleep(0.02)
    pid = systemctl("show", "-P", "MainPID", name)
    while not stop and pid != "0":
        while not stop and os.path.isdir(f"/proc/{pid}"):
            time.sleep(0.05)
        while not stop and systemctl("show", "-P", "ActiveState", name) in ("activating", "deactivating"):
            time.sleep(0.1)
        pid = systemctl("show", "-P", "MainPID", name)
    systemctl("stop", name, *others)
    ends = re.findall(r"^Result=(.*)\nExecMainStatus=(\d+)$", systemctl("show", "-p", "Result,ExecMainStatus", *services), re.M)
    return int(ends[0][1]) or int(any(result != "success" for result, _ in ends[1:]))


def ordinary(copy, stop):
    return serve(copy.service("prelabel.service", "RuntimeDirectory=", f"RuntimeDirectory={copy.me}", f"Environment=XDG_RUNTIME_DIR=%t/{copy.me}"), (), stop)


def activated(copy, stop):
    """The socket units, and nginx as a service; it is their end when that ends."""
    at = tempfile.mkdtemp(prefix="prelabel-web-")
    copy.service("prelabel@.service")
    sockets = copy.copy("prelabel@.socket", "[Socket]", "ListenStream=", f"ListenStream={at}/%i.sock")
    names = [sockets.replace("@", "@" + n) for n in PROGRAMS]
    services = [n.replace(".socket", ".service") for n in names]
    nginx_argv = " ".join(map(quoted, nginx(at)[-1]))
    write(f"{RUN}/{copy.me}.service", f"[Unit]\nWants={' '.join(names)}\nAfter={' '.join(names)}\n[Service]\nType=exec\nUser=prelabel\n"
                                      f"Environment={quoted('MODEL_DIR=' + copy.folder)}\nExecStart={nginx_argv}\n")
    status = serve(copy.me + ".service", (*names, *services), stop)
    shutil.rmtree(at, ignore_errors=True)
    return status


def confined():
    """Becomes it."""
    _, there = model_dir()
    at = tempfile.mkdtemp(prefix="prelabel-run-")
    for folder, _, files in os.walk(there):         # as ReadWritePaths= needs it: the unit's user's
        for path in [folder] + [os.path.join(folder, f) for f in files]:
            os.chown(path, UID, UID, follow_symlinks=False)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    os.execve("/usr/bin/python3", ["/usr/bin/python3", "-B", f"{HERE}/confined.py", f"{UNITS}/prelabel.service", there, at, "--",
                                   f"{os.environ['BUILD']}/prelabel", "start"], dict(os.environ, XDG_RUNTIME_DIR=at))


def main():
    if sys.argv[1] == "confined":
        confined()
    stop, copy = [], Copy()
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: stop.append(1))
    # Killed ourselves, we take the units along: systemd would start them again.
    watch = subprocess.Popen(["/bin/sh", "-c", 'trap "" TERM INT; read ended || "$0" stop "$1.service" "$1@*.socket" "$1@*.service"; rm -rf "$2/$1"[.@]*',
                              SYSTEMCTL, copy.me, RUN], env=ENV, stdin=subprocess.PIPE)
    journal = run("journalctl", "-q", "-f", "-o", "cat", "-n", "all", *(w for n in ("", *("@" + n for n in PROGRAMS)) for w in ("-u", f"{copy.me}{n}.service")))
    status = {"systemd": ordinary, "systemd-sockets": activated}[sys.argv[1]](copy, stop)
    time.sleep(0.1)                         # the journal's last lines
    journal.terminate()
    watch.communicate(b"ended\n")
    return status if stop else status or 1


if __name__ == "__main__":
    sys.exit(main())
