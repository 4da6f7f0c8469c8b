#!/usr/bin/python3
"""confined.py - runs a command under the restrictions of a unit, without systemd.

    confined.py UNIT READ-WRITE-FOLDER... -- COMMAND...

What a process can do to itself is done for real: the system call filter, W^X, address
families, namespaces, realtime, set-user-ID files, no new privileges, no capabilities,
resource limits; as root also an account of its own (64990) and, where mounts are allowed,
every file system but the folders named read-only.  The system's own Python: it has seccomp.
"""
import ctypes
import errno
import os
import re
import resource
import socket
import subprocess
import sys

from seccomp import ALLOW, ERRNO, EQ, GT, MASKED_EQ, NE, Arg, SyscallFilter

UID = 64990
NEW = {"CLONE_NEWNS": 0x20000, "CLONE_NEWCGROUP": 0x2000000, "CLONE_NEWUTS": 0x4000000, "CLONE_NEWIPC": 0x8000000,
       "CLONE_NEWUSER": 0x10000000, "CLONE_NEWPID": 0x20000000, "CLONE_NEWNET": 0x40000000}
libc = ctypes.CDLL(None, use_errno=True)


def settings(path):
    """{name: [values]} of [Service]; one that is assigned empty stays in, as ""."""
    found, section = {}, ""
    for line in open(path):
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and line[0] not in "#;":
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def sets():
    """{"@name": its lines}, of all that systemd knows."""
    found, name = {}, ""
    for line in subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout.splitlines():
        if line.startswith("@"):
            name = line.strip()
        elif line.startswith(" ") and not line.strip().startswith("#"):
            found.setdefault(name, []).append(line.strip())
    return found


def allowed_calls(unit):
    known = sets()

    def calls_of(name):
        return set().union(*map(calls_of, known[name])) if name.startswith("@") else {name}
    allowed = calls_of("@default")
    for line in unit["SystemCallFilter"]:
        names = set().union(*map(calls_of, line.lstrip("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed | calls_of("@default")


def add(f, action, call, *args):
    try:
        f.add_rule(action, call, *args)
    except (RuntimeError, OSError):     # not on this architecture, or not known to this libseccomp
        pass


def refusing(rules):
    f = SyscallFilter(defaction=ALLOW)
    for action, call, *args in rules:
        add(f, action, call, *args)
    f.load()


def filters(unit, allowed):
    no = ERRNO(errno.EPERM)

    def on(name):
        return unit.get(name, [""])[-1] == "yes"
    if on("MemoryDenyWriteExecute"):
        refusing([(no, "mmap", Arg(2, MASKED_EQ, 6, 6)), (no, "mprotect", Arg(2, MASKED_EQ, 4, 4)),
                  (no, "pkey_mprotect", Arg(2, MASKED_EQ, 4, 4)), (no, "shmat", Arg(2, MASKED_EQ, 0o100000, 0o100000))])
    if on("RestrictNamespaces"):
        refusing([(ERRNO(errno.ENOSYS), "clone3"), (no, "setns")] +
                 [(no, call, Arg(0, MASKED_EQ, flag, flag)) for call in ("unshare", "clone") for flag in NEW.values()])
    if on("RestrictRealtime"):
        refusing([(no, "sched_setscheduler", Arg(1, EQ, policy)) for policy in (1, 2, 6)])
    if on("RestrictSUIDSGID"):
        refusing([(no, call, Arg(at, MASKED_EQ, bit, bit)) for call, at in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2))
                  for bit in (0o4000, 0o2000)])
    if on("LockPersonality"):
        refusing([(no, "personality", Arg(0, NE, 0))])
    families = [getattr(socket, w) for w in unit["RestrictAddressFamilies"][-1].split()]
    refusing([(ERRNO(errno.EAFNOSUPPORT), "socket", Arg(0, EQ, n)) for n in range(46) if n not in families] +
             [(ERRNO(errno.EAFNOSUPPORT), "socket", Arg(0, GT, 45))])
    last = SyscallFilter(defaction=no)      # it refuses the next filter, too
    for call in sorted(allowed):
        add(last, ALLOW, call)
    last.load()


def read_only(folders):
    """False where this machine does not let us."""
    def mount(what, at, flags):
        if libc.mount(what.encode(), at.encode(), None, ctypes.c_ulong(flags), None) != 0:
            raise OSError(ctypes.get_errno(), at)
    rdonly, remount, bind, private = 1, 32, 4096, 0x40000 | 16384
    if libc.unshare(NEW["CLONE_NEWNS"]) != 0:
        return False
    try:
        mount("none", "/", private)
        for f in folders:
            mount(f, f, bind)
        mount("none", "/", remount | bind | rdonly)
    except OSError:
        return False
    for line in open("/proc/self/mounts"):
        at = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), line.split()[1])
        if at not in folders and at != "/" and not re.match(r"/(proc|sys|dev)(/|$)", at):
            libc.mount(b"none", at.encode(), None, ctypes.c_ulong(remount | bind | rdonly), None)
    return True


def limits(unit):
    for name, what in (("LimitCORE", resource.RLIMIT_CORE), ("LimitNOFILE", resource.RLIMIT_NOFILE)):
        if name in unit:
            most, hard = int(unit[name][-1]), resource.getrlimit(what)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (most, most))


def main():
    at = sys.argv.index("--")
    unit, folders, command = settings(sys.argv[1]), sys.argv[2:at], sys.argv[at + 1:]
    allowed = allowed_calls(unit)
    limits(unit)
    os.chdir("/")
    if os.getuid() == 0:
        if not read_only(folders):
            print("confined: no mounts here: file systems stay writable", file=sys.stderr)
        for folder in folders:
            os.chown(folder, UID, UID)
        if unit.get("CapabilityBoundingSet") == [""]:
            for capability in range(64):
                libc.prctl(24, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
    if unit["NoNewPrivileges"] == ["yes"]:
        libc.prctl(38, 1, 0, 0, 0)
    os.umask(int(unit["UMask"][-1], 8))
    filters(unit, allowed)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
