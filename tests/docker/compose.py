#!/usr/bin/env python3
"""
compose.py - the compose files of deploy/docker, as docker-compose reads them.

    compose.py check             one line a check, then `N passed, N failed`
    compose.py env SERVICE       the environment of a service of docker-compose.yml with a .env made of
                                 env.example and the user of tests/e2e: NAME=VALUE lines

docker-compose (Debian's) needs no engine to read a file; PRELABEL is the program whose `env`
is the list of settings (build/prelabel).
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "deploy", "docker")
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
sys.dont_write_bytecode = True
import lslib  # noqa: E402

GIVEN = {"LABEL_STUDIO_USERNAME": lslib.ADMIN_EMAIL, "LABEL_STUDIO_PASSWORD": lslib.ADMIN_PASSWORD,
         "LABEL_STUDIO_USER_TOKEN": lslib.LEGACY_TOKEN}
passed = failed = 0


def check(name, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"ok   compose: {name}" if ok else f"FAIL compose: {name} [{' '.join(str(detail).split())[:600]}]", flush=True)


def read(name, given=GIVEN, crlf=False):
    """(resolved file or None, what it said): in a folder that holds the compose file and .env alone."""
    with tempfile.TemporaryDirectory() as top:
        folder = os.path.join(top, "deploy", "docker")
        os.makedirs(folder)
        shutil.copy(os.path.join(HERE, name), folder)
        with open(os.path.join(HERE, "env.example")) as f:
            lines = f.read().splitlines()
        if given is not None:
            for k, v in given.items():
                lines = [f"{k}={v}" if line.startswith(k + "=") else line for line in lines]
            with open(os.path.join(folder, ".env"), "w", newline="") as f:
                f.write("\n".join(lines) + "\n")
        if crlf:
            for path in (os.path.join(folder, name), os.path.join(folder, ".env")):
                with open(path, "rb") as f:
                    raw = f.read().replace(b"\n", b"\r\n")
                with open(path, "wb") as f:
                    f.write(raw)
        env = {k: os.environ[k] for k in ("PATH", "HOME") if k in os.environ}
        p = subprocess.run(["docker-compose", "-f", os.path.join(folder, name), "config"], cwd=folder, env=env, capture_output=True,
                           text=True, timeout=60)
        return (yaml.safe_load(p.stdout.replace(top, "TOP")) if p.returncode == 0 else None), p.stderr


def variables(service):
    env = service["environment"]
    return dict(e.split("=", 1) for e in env) if isinstance(env, list) else {k: str(v or "") for k, v in env.items()}


def settings():
    """{name: default} of `prelabel env`."""
    tool = os.environ.get("PRELABEL") or os.path.join(ROOT, os.environ.get("BUILD", "build"), "prelabel")
    out = subprocess.run([tool, "env"], env={}, capture_output=True, text=True, check=True).stdout
    found = {}
    for m in re.finditer(r"^([A-Z_]+)=.*\n    (.*)$", out, re.M):
        default = re.search(r"; default ([^;]*)", m.group(2))
        found[m.group(1)] = default.group(1) if default else ""
    return found


def check_together():
    both, said = read("docker-compose.yml")
    check("docker-compose.yml is read", both, said)
    if not both:
        return
    studio, ours = both["services"]["label-studio"], both["services"]["prelabel"]
    ls, env = variables(studio), variables(ours)
    check("Label Studio takes a private address as a backend's, and for webhooks",
          (ls.get("ML_BLOCK_LOCAL_IP"), ls.get("SSRF_PROTECTION_ENABLED")) == ("false", "false"), ls)
    check("the key of prelabel is the token of Label Studio's user", env.get("LABEL_STUDIO_API_KEY") == ls["LABEL_STUDIO_USER_TOKEN"] ==
          lslib.LEGACY_TOKEN and ls["LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"] == "true", (env, ls))
    check("prelabel reaches Label Studio by its service's name", env["LABEL_STUDIO_HOST"] == "http://label-studio:8080", env)
    check("Label Studio is of the version the tests know", studio["image"] == "heartexlabs/label-studio:" + lslib.LS_VERSION, studio["image"])
    check("Label Studio waits until prelabel is healthy, which has a health check",
          studio["depends_on"]["prelabel"]["condition"] == "service_healthy" and ours["healthcheck"]["test"] == ["CMD", "prelabel", "health"], ours)
    check("both keep their data in volumes", "label-studio:/label-studio/data:rw" in studio["volumes"] and "prelabel:/data:rw" in ours["volumes"]
          and set(both["volumes"]) == {"label-studio", "prelabel"}, both)
    check("Label Studio is published on the loopback alone, prelabel not at all",
          str(studio["ports"]).count("127.0.0.1") == len(studio["ports"]) == 1 and "ports" not in ours, studio["ports"])
    check("every setting of prelabel's is one", set(env) <= set(settings()), set(env) - set(settings()))
    none, said = read("docker-compose.yml", given=None)
    check("without a password and a token nothing starts, and a line says where they go", none is None and "env.example" in said, said)
    crlf, said = read("docker-compose.yml", crlf=True)
    check("lines that end in CR LF make no difference", crlf == both, said)
    hardened("docker-compose.yml", ours)


def check_env_example():
    with open(os.path.join(HERE, "docker-compose.yml")) as f:
        used = set(re.findall(r"\$\{([A-Z_]+)", f.read())) | {"COMPOSE_PROJECT_NAME"}
    with open(os.path.join(HERE, "env.example")) as f:
        lines = f.read().splitlines()
    named = [line.split("=")[0] for line in lines if re.match(r"[A-Z]", line)]
    check("env.example has what docker-compose.yml takes, each once", sorted(named) == sorted(used), (named, used))
    bare = [line for before, line in zip([""] + lines, lines) if re.match(r"[A-Z]", line) and not (before.startswith("#") or re.match("[A-Z]", before))]
    check("env.example says what each is", not bare, bare)


def hardened(name, service):
    check(f"{name}: read-only root, /tmp, no capability, no new privileges",
          service.get("read_only") is True and service.get("tmpfs") == ["/tmp"] and service.get("cap_drop") == ["ALL"] and
          "no-new-privileges:true" in service.get("security_opt", []), service)


def check_alone():
    name = "docker-compose.prelabel.yml"
    alone, said = read(name, given=None)
    check(f"{name} is read", alone, said)
    if not alone:
        return
    ours, owner = alone["services"]["prelabel"], alone["services"]["data-owner"]
    env, known = variables(ours), settings()
    check("its environment lists exactly the settings of prelabel env", set(env) == set(known), set(env) ^ set(known))
    # What a container needs otherwise, and what depends on the machine.
    known.update(HOST="0.0.0.0", MODEL_DIR="/data", LABEL_STUDIO_HOST="http://host.docker.internal:8080", WORKERS="")
    wrong = {k: (v, known.get(k)) for k, v in env.items() if v != known.get(k)}
    check("each with its default", not wrong, wrong)
    with open(os.path.join(HERE, name)) as f:
        lines = f.read().splitlines()
    order = [m.group(1) for line in lines if (m := re.match(r" +- ([A-Z_]+)=", line))]
    check("in the order of prelabel env", order == list(known), order)
    check("the port and the folder that Label Studio's users know", [(p["published"], p["target"]) for p in ours["ports"]] == [(9090, 9090)] and
          any(v.endswith("/data/server:/data:rw") for v in ours["volumes"]), (ours["ports"], ours["volumes"]))
    check("its folder becomes prelabel's before it starts", owner["entrypoint"] == ["chown", "9090:9090", "/data"] and owner["user"] == "0:0" and
          owner["cap_drop"] == ["ALL"] and owner["cap_add"] == ["CHOWN"] and owner["volumes"] == ours["volumes"] and
          ours["depends_on"]["data-owner"]["condition"] == "service_completed_successfully", owner)
    hardened(name, ours)


if __name__ == "__main__":
    if sys.argv[1:2] == ["env"]:
        for item in variables(read("docker-compose.yml")[0]["services"][sys.argv[2]]).items():
            print("=".join(item))
    elif sys.argv[1:] == ["check"]:
        check_together()
        check_env_example()
        check_alone()
        print(f"{passed} passed, {failed} failed")
        sys.exit(failed > 0)
    else:
        sys.exit(__doc__.strip())
