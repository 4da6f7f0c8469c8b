#!/usr/bin/env python3
"""The manifests of deploy/kubernetes: right by the schemas, and agreeing with the programs and with each other.

problems() lists what is wrong with a set of manifests.  It finds nothing in ours, and has to find every mistake that
is made in a copy of them: a check that can't fail says nothing.
"""
import copy
import glob
import os
import re
import subprocess
import sys

import kubernetes_validate
import yaml

BUILD = os.environ.get("BUILD", "build")
PRELABEL = os.path.join(BUILD, "prelabel")
FOLDER = "deploy/kubernetes"
VERSIONS = ("1.30", "1.37")       # of Kubernetes: the oldest that is promised, the newest that the package knows
passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok   " if good else "FAIL ") + name + (f"  [{str(detail)[:600]}]" if not good else ""), flush=True)


# ---- Knative's Service: serving.knative.dev/v1, CRD of Knative Serving 1.23 --------------------------------------
# What its pod may have is a part of Kubernetes' own, so that types are checked there; here are the names that
# are left.  A value is the flag of config-features without which the field is refused.
POD = "kubernetes.podspec-"
KNATIVE_ONLY = {"containerConcurrency": int, "timeoutSeconds": int, "responseStartTimeoutSeconds": int, "idleTimeoutSeconds": int}
POD_SPEC = dict.fromkeys(("automountServiceAccountToken", "containers", "enableServiceLinks", "imagePullSecrets", "serviceAccountName", "volumes"))
POD_SPEC.update({"affinity": POD + "affinity", "dnsConfig": POD + "dnsconfig", "dnsPolicy": POD + "dnspolicy", "hostAliases": POD + "hostaliases",
                 "initContainers": POD + "init-containers", "nodeSelector": POD + "nodeselector", "priorityClassName": POD + "priorityclassname",
                 "runtimeClassName": POD + "runtimeclassname", "schedulerName": POD + "schedulername", "securityContext": POD + "securitycontext",
                 "shareProcessNamespace": POD + "shareprocessnamespace", "tolerations": POD + "tolerations",
                 "topologySpreadConstraints": POD + "topologyspreadconstraints"})
CONTAINER = ("args", "command", "env", "envFrom", "image", "imagePullPolicy", "livenessProbe", "name", "ports", "readinessProbe", "resources",
             "securityContext", "startupProbe", "terminationMessagePath", "terminationMessagePolicy", "volumeMounts", "workingDir")
CONTAINER_SECURITY = ("allowPrivilegeEscalation", "capabilities", "privileged", "readOnlyRootFilesystem", "runAsGroup", "runAsNonRoot",
                      "runAsUser", "seccompProfile")
POD_SECURITY = ("runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup", "supplementalGroups", "seccompProfile")
VOLUME = {"name": None, "configMap": None, "secret": None, "projected": None, "emptyDir": None,
          "persistentVolumeClaim": POD + "persistent-volume-claim"}
RESERVED_PORTS = (8008, 8012, 8013, 8022, 9090, 9091)
RESERVED_ENV = ("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")
PORT_NAMES = ("", "http1", "h2c")


def knative(doc, flags):
    """Problems of a Knative service; adds the flags that it needs to `flags`."""
    out = []

    def only(where, got, allowed):
        for name in got:
            if name not in allowed:
                out.append(f"{where}.{name}: not a field of Knative's")
            elif isinstance(allowed, dict) and isinstance(allowed[name], str):
                flags.add(allowed[name])

    only("service", doc, ("apiVersion", "kind", "metadata", "spec"))
    only("spec", doc.get("spec", {}), ("template", "traffic"))
    template = doc.get("spec", {}).get("template", {})
    only("template", template, ("metadata", "spec"))
    spec = dict(template.get("spec", {}))
    for name, kind in KNATIVE_ONLY.items():
        if not isinstance(spec.pop(name, 0), kind):
            out.append(f"{name}: not a whole number")
    only("template.spec", spec, POD_SPEC)
    only("template.spec.securityContext", spec.get("securityContext", {}), POD_SECURITY)
    for volume in spec.get("volumes", []):
        only("volume", volume, VOLUME)
        if "persistentVolumeClaim" in volume and not volume["persistentVolumeClaim"].get("readOnly"):
            flags.add(POD + "persistent-volume-write")
    for c in spec.get("containers", []):
        only("container", c, CONTAINER)
        only("container.securityContext", c.get("securityContext", {}), CONTAINER_SECURITY)
        if "add" in c.get("securityContext", {}).get("capabilities", {}):
            out.append("capabilities.add: needs a flag of its own")
        ports = c.get("ports", [])
        if len(ports) != 1:
            out.append("container.ports: Knative wants one")
        for p in ports:
            if p.get("containerPort") in RESERVED_PORTS:
                out.append(f"containerPort {p.get('containerPort')}: a port of Knative's own proxy")
            if p.get("name", "") not in PORT_NAMES:
                out.append(f"port name {p.get('name')}: Knative wants http1 or h2c")
        out += [f"{e['name']}: Knative sets it itself" for e in c.get("env", []) if e.get("name") in RESERVED_ENV]
    # The rest is a pod.
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": template.get("metadata", {}), "spec": spec}
    return out + schema(pod)


def schema(doc):
    out = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(doc, version, strict=True)
        except kubernetes_validate.ValidationError as e:
            out.append(f"Kubernetes {version}: {'.'.join(map(str, e.path))}: {e.message}")
        except kubernetes_validate.SchemaNotFoundError as e:
            out.append(e.message)
    return out


# ---- what the programs and the image say --------------------------------------------------------------------------
def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def settings():
    out = subprocess.run([PRELABEL, "env"], env={}, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^([A-Z_]+)=", out, re.M)) | set(re.findall(r"; also ([A-Z_]+)$", out, re.M))


def stop_seconds():
    """The longest stop of the supervisor."""
    s = dict(re.findall(r"^#define (SERVER_GRACE|SERVER_TERM|PROGRAMS_TERM|TRAINERS_TERM|KILLED)\s+([0-9.]+)", text_of("lib/supervisor.c"), re.M))
    return sum(map(float, s.values())) + 2 * float(s["KILLED"])


SETTINGS = settings()
OPEN_PATHS = set(re.findall(r'\{ GET, "(/[a-z]+)",[^}]*ROUTE_OPEN', text_of("cgi/status.c")))
DOCKERFILE = text_of("deploy/docker/Dockerfile").rsplit("\nFROM ", 1)[1]        # its last stage is the image
IMAGE_USER = [int(n) for n in re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.M).groups()]
IMAGE_ENV = dict(re.findall(r"([A-Z_]+)=(\S+)", "\n".join(re.findall(r"^ENV (.*)$", DOCKERFILE, re.M))))
IMAGE_PORT = int(re.search(r"^EXPOSE (\d+)$", DOCKERFILE, re.M).group(1))


# ---- the manifests --------------------------------------------------------------------------------------------------
def load():
    """{path: [documents]}"""
    docs = {}
    for path in sorted(glob.glob(FOLDER + "/**/*.yaml", recursive=True)):
        with open(path, encoding="utf-8") as f:
            docs[path] = list(yaml.safe_load_all(f))
    return docs


def pods(docs):
    """(what, labels, spec) of every pod that a manifest makes."""
    for d in docs:
        if d["kind"] in ("Deployment", "Service") and "template" in d["spec"]:
            yield d, d["spec"]["template"]["metadata"]["labels"], d["spec"]["template"]["spec"]
        elif d["kind"] == "CronJob":
            t = d["spec"]["jobTemplate"]["spec"]["template"]
            yield d, t["metadata"]["labels"], t["spec"]


def kustomization_problems(path, docs, files):
    out = []
    doc = docs[0]
    out += [f"{path}: {k}: not known here" for k in doc if k not in ("apiVersion", "kind", "resources", "images")]
    for r in doc["resources"]:
        at = os.path.normpath(os.path.join(os.path.dirname(path), r))
        if at not in files and os.path.join(at, "kustomization.yaml") not in files:
            out.append(f"{path}: {r} is not there")
    beside = {os.path.basename(f) for f in files if os.path.dirname(f) == os.path.dirname(path)} - {"kustomization.yaml"}
    out += [f"{path}: {f} is not listed" for f in sorted(beside - set(doc["resources"]))]
    return out


def pod_problems(what, spec, names):
    name, out = what["metadata"]["name"], []
    context = spec.get("securityContext", {})
    if [context.get("runAsUser"), context.get("runAsGroup")] != IMAGE_USER or context.get("fsGroup") != IMAGE_USER[1]:
        out.append(f"user {context.get('runAsUser')}: the image's is {IMAGE_USER}")
    if context.get("runAsNonRoot") is not True or context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        out.append("the pod may be root, or has no seccomp profile")
    if spec.get("automountServiceAccountToken") is not False:
        out.append("the pod gets a token of the cluster's API")
    if spec.get("terminationGracePeriodSeconds", spec.get("timeoutSeconds", 30)) < stop_seconds():
        out.append(f"a stop may take {stop_seconds()} s")
    volumes = {v["name"]: v for v in spec.get("volumes", [])}
    for c in spec["containers"]:
        s = c.get("securityContext", {})
        if s.get("readOnlyRootFilesystem") is not True or s.get("allowPrivilegeEscalation") is not False or \
                s.get("capabilities", {}).get("drop") != ["ALL"]:
            out.append("a container may do more than it needs")
        if not c.get("resources", {}).get("limits", {}).get("memory") or not c["resources"].get("requests"):
            out.append("no limit of memory, or nothing requested")
        mounts = {m["mountPath"]: volumes.get(m["name"], {}) for m in c.get("volumeMounts", [])}
        if mounts.get(IMAGE_ENV["MODEL_DIR"], {}).get("persistentVolumeClaim", {}).get("claimName") not in names["PersistentVolumeClaim"]:
            out.append(f"{IMAGE_ENV['MODEL_DIR']} is on no volume that is kept")
        if "emptyDir" not in mounts.get("/tmp", {}):
            out.append("/tmp can't be written to")
        for source in c.get("envFrom", []):
            for kind, ref in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if ref in source and source[ref]["name"] not in names[kind]:
                    out.append(f"{kind} {source[ref]['name']} is not there")
        env = {e["name"]: e.get("value") for e in c.get("env", [])}
        out += [f"{n} is no setting" for n in env if n not in SETTINGS]
        ports = {p.get("name"): p["containerPort"] for p in c.get("ports", [])}
        if ports and "knative" not in what["apiVersion"] and set(ports.values()) != {int(env.get("PORT", IMAGE_PORT))}:
            out.append(f"ports {ports}, but PORT={env.get('PORT')}")
        for probe in ("livenessProbe", "readinessProbe"):
            get = c.get(probe, {}).get("httpGet")
            if ports and get is None:
                out.append(f"no {probe}")
            if get and get.get("path") not in OPEN_PATHS:
                out.append(f"{probe} {get.get('path')}: needs credentials, or is no path")
            if get and get.get("port") not in set(ports) | set(ports.values()):
                out.append(f"{probe}: port {get.get('port')} is none of the container")
        command = c.get("command", [])
        if command:
            helped = subprocess.run([PRELABEL, "help"] + command[1:2], capture_output=True, text=True)
            out += [f"{' '.join(command)}: {a} is unknown" for a in command[2:] if a not in helped.stdout]
            if command[0] != "prelabel" or helped.returncode != 0:
                out.append(f"{command}: no command of prelabel")
    return [f"{what['kind']} {name}: {o}" for o in out]


def selects(selector, labels):
    return bool(selector) and all(labels.get(k) == v for k, v in selector.items())


def problems(files):
    docs = [d for ds in files.values() for d in ds if d["kind"] != "Kustomization"]
    names, out, flags = {}, [], set()
    for d in docs:
        names.setdefault(d["kind"], set()).add(d["metadata"]["name"])
    for path, ds in files.items():
        for d in ds:
            if d["kind"] == "Kustomization":
                out += kustomization_problems(path, ds, files)
            elif d["apiVersion"] == "serving.knative.dev/v1":
                out += [f"{path}: {p}" for p in knative(d, flags)]
            else:
                out += [f"{path}: {p}" for p in schema(d)]
    if out:
        return out      # what follows relies on the shape
    text = "".join(text_of(p) for p in files if "/knative/" in p)
    out += [f"{f}: a flag that Knative needs is not named" for f in sorted(flags) if f not in text]
    for d in docs:
        if d["kind"] in ("ConfigMap", "Secret"):
            given = d.get("data") or d.get("stringData")
            out += [f"{d['kind']}: {n} is no setting" for n in given if n not in SETTINGS]
            run = subprocess.run([PRELABEL, "env"], env={k: str(v) for k, v in given.items() if k in SETTINGS}, capture_output=True, text=True)
            if run.returncode != 0:
                out.append(f"{d['kind']}: {run.stderr.strip()}")
        if d["kind"] == "ConfigMap" and {k: d["data"].get(k) for k in IMAGE_ENV} != IMAGE_ENV:
            out.append(f"ConfigMap: not as the image has it: {IMAGE_ENV}")
        if d["kind"] == "PersistentVolumeClaim" and d["spec"]["accessModes"] != ["ReadWriteOnce"]:
            out.append("the volume may be on several nodes")
        if d["kind"] == "Deployment" and (d["spec"]["replicas"], d["spec"]["strategy"]["type"]) != (1, "Recreate"):
            out.append("more than one pod may write the store")
        if d["apiVersion"].startswith("serving.knative.dev"):
            a = d["spec"]["template"]["metadata"]["annotations"]
            if (a.get("autoscaling.knative.dev/min-scale"), a.get("autoscaling.knative.dev/max-scale")) != ("0", "1"):
                out.append("Knative: from none to one pod")
    servers = []
    for what, labels, spec in pods(docs):
        out += pod_problems(what, spec, names)
        servers.append((what, labels, spec))
        policies = [d for d in docs if d["kind"] == "NetworkPolicy" and selects(d["spec"]["podSelector"]["matchLabels"], labels)]
        if not policies:
            out.append(f"{what['kind']}: no network policy is for it")
        if what["kind"] == "Deployment" and not selects(what["spec"]["selector"]["matchLabels"], labels):
            out.append("the deployment does not select its own pods")
        images = {i["name"] for path, ds in files.items() for d in ds if d["kind"] == "Kustomization" for i in d.get("images", [])}
        out += [f"image {c['image']}: no kustomization names it" for c in spec["containers"] if c["image"] not in images]
    for d in docs:
        if d["kind"] == "Service" and "selector" in d["spec"]:
            chosen = [s for w, l, s in servers if selects(d["spec"]["selector"], l) and w["kind"] == "Deployment"]
            ports = {p["name"] for s in chosen for c in s["containers"] for p in c.get("ports", [])}
            out += [f"Service: port {p['targetPort']} is none of its pods" for p in d["spec"]["ports"] if p["targetPort"] not in ports]
    return out


# ---- mistakes ---------------------------------------------------------------------------------------------------------
def at(files, path, *keys):
    """(container, last key) of a place in the first document of a file."""
    place = files[f"{FOLDER}/{path}"][0]
    for k in keys[:-1]:
        place = place[k]
    return place, keys[-1]


DEPLOYED = ("server/deployment.yaml", "spec", "template", "spec")
SERVED = ("knative/service.yaml", "spec", "template", "spec")
MISTAKES = (
    ("a field that is misspelt", DEPLOYED + ("securityContext", "runAsNonroot"), True, "runAsNonroot"),
    ("a text where a number belongs", ("server/deployment.yaml", "spec", "replicas"), "one", "replicas"),
    ("a service without a port's number", ("server/service.yaml", "spec", "ports", 0, "port"), None, "port"),
    ("an unknown kind of a known group", ("server/deployment.yaml", "kind"), "Deploymnet", "schema"),
    ("a field that Knative does not have", SERVED + ("terminationGracePeriodSeconds",), 30, "terminationGracePeriodSeconds"),
    ("a way to own a volume that Knative does not have", SERVED + ("securityContext", "fsGroupChangePolicy"), "OnRootMismatch", "fsGroupChangePolicy"),
    ("a volume that Knative does not have", SERVED + ("volumes", 1, "hostPath"), {"path": "/tmp"}, "hostPath"),
    ("a port of Knative's proxy", SERVED + ("containers", 0, "ports", 0, "containerPort"), 9090, "9090"),
    ("a number where Knative wants none", SERVED + ("containerConcurrency",), "many", "containerConcurrency"),
    ("two pods of Knative", ("knative/service.yaml", "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale"), "2", "from none"),
    ("two replicas", ("server/deployment.yaml", "spec", "replicas"), 2, "more than one"),
    ("another user than the image's", DEPLOYED + ("securityContext", "runAsUser"), 1000, "user 1000"),
    ("a root file system that can be written", DEPLOYED + ("containers", 0, "securityContext", "readOnlyRootFilesystem"), False, "more than it needs"),
    ("a probe that needs credentials", DEPLOYED + ("containers", 0, "readinessProbe", "httpGet", "path"), "/health", "credentials"),
    ("a name that is no setting", ("base/config.yaml", "data", "MODEL_FOLDER"), "/data", "MODEL_FOLDER"),
    ("a value that prelabel refuses", ("base/config.yaml", "data", "WORKERS"), "none", "WORKERS"),
    ("a store outside of the volume", ("base/config.yaml", "data", "MODEL_DIR"), "/var/lib/prelabel", "ConfigMap"),
    ("another port than PORT", DEPLOYED + ("containers", 0, "ports", 0, "containerPort"), 9091, "PORT"),
    ("a secret by another name", DEPLOYED + ("containers", 0, "envFrom", 1, "secretRef", "name"), "keys", "keys"),
    ("a claim by another name", DEPLOYED + ("volumes", 0, "persistentVolumeClaim", "claimName"), "data", "no volume"),
    ("a stop that is cut short", DEPLOYED + ("terminationGracePeriodSeconds",), 10, "a stop may take"),
    ("a service for nobody", ("server/service.yaml", "spec", "selector"), {"app": "prelabel"}, "none of its pods"),
    ("a command that prelabel lacks", ("knative/trainer.yaml", "spec", "jobTemplate", "spec", "template", "spec", "containers", 0, "command"),
     ["prelabel", "train", "--all"], "--all"),
    ("a file that kustomize does not find", ("server/kustomization.yaml", "resources", 1), "deploy.yaml", "deploy.yaml"),
)


def main():
    files = load()
    check("there are manifests", len(files) >= 10, sorted(files))
    found = problems(files)
    for path in files:
        mine = [p for p in found if p.startswith(path)]
        check(f"{path}", not mine, mine)
    rest = [p for p in found if not p.startswith(FOLDER)]
    check("they agree with the programs, the image and each other", not rest, rest)
    for name, where, value, word in MISTAKES if not found else ():     # beside other mistakes they would be hidden
        wrong = copy.deepcopy(files)
        place, key = at(wrong, *where)
        if value is None:
            del place[key]
        else:
            place[key] = value
        found = problems(wrong)
        check(f"is noticed: {name}", any(word in p for p in found), found)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


main()
