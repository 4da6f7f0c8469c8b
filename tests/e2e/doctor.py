"""The group `doctor`: faults made in a real Label Studio, each of which prelabel doctor must name."""
import json
import os
import re
import subprocess

import lslib
from lslib import choice, http, wait_for
from texts import review

LABELS = ["positive", "negative"]
CONFIG = ('<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single">'
          '<Choice value="positive"/><Choice value="negative"/></Choices></View>')


def run(R, pid, **env):
    """(exit status, names, the faulty checks)"""
    tool = os.environ.get("E2E_PRELABEL") or os.environ.get("BUILD", "build") + "/prelabel"
    host, port = re.match("http://([^:/]+):([0-9]+)", R.main.url).groups()
    own = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "BASIC_AUTH_")) and k != "WEBHOOK_SECRET"}
    own.update({"MODEL_DIR": R.main.dir, "HOST": host, "PORT": port, "LABEL_STUDIO_HOST": R.ls.url, "LABEL_STUDIO_API_KEY": R.key,
                "START_TRAINING_EACH_N_UPDATES": str(R.n)}, **env)
    p = subprocess.run(f"{tool} doctor --json --project {pid}", shell=True, env=own, capture_output=True, text=True, timeout=60)
    try:
        out = json.loads(p.stdout)
    except ValueError:
        return p.returncode, [p.stdout + p.stderr], []
    return p.returncode, out["faults"], [c for c in out["checks"] if not c["ok"]]


def g_doctor(R):
    a = R.api

    def names(what, *faults, **env):
        code, got, bad = run(R, pid, **env)
        R.rep.check(f"{what}: {' '.join(faults) or 'healthy'}", got == list(faults) and code == bool(faults), (code, got, bad))

    pid = a.project("Doctor", CONFIG)
    ids = a.import_tasks(pid, [{"text": review(LABELS[i % 2], i)} for i in range(R.n + 4)])
    names("not connected yet", "backend-not-connected")
    st, ml = R.main.connect(a, pid)
    R.rep.check("connected", st == 201, (st, ml))
    mid = ml["id"]
    names("newly connected")
    for i in range(R.n):
        a.annotate(ids[i], choice("label", "text", [LABELS[i % 2]]))
    v = R.settled_version(mid, ml["model_version"])
    a.retrieve(pid)
    names("trained and predicted")
    wh = a.webhooks(pid)[0]

    def with_hook(what, fault, back, **new):
        a.ok("PATCH", f"/api/webhooks/{wh['id']}/", dict(url=wh["url"], **new))
        names(what, fault)
        a.ok("PATCH", f"/api/webhooks/{wh['id']}/", dict({"url": wh["url"]}, **back))

    with_hook("the webhook is inactive", "webhook-inactive", {"is_active": True}, is_active=False)
    with_hook("without payload", "webhook-no-payload", {"send_payload": True}, send_payload=False)
    with_hook("for chosen actions", "webhook-actions", {"send_for_all_actions": True}, send_for_all_actions=False, actions=["TASKS_CREATED"])
    a.ok("PATCH", f"/api/webhooks/{wh['id']}/", {"url": R.main.url + "/hook"})
    names("to another path", "webhook-wrong-url")
    a.raw("DELETE", f"/api/webhooks/{wh['id']}/")
    names("deleted", "webhook-missing")
    a.ok("POST", "/api/webhooks/", {"project": pid, "url": wh["url"], "headers": {"X-Webhook-Secret": "right-secret"}})
    names("made again")
    names("with the secret that is asked for", WEBHOOK_SECRET="right-secret")
    names("with another", "webhook-wrong-secret", WEBHOOK_SECRET="other-secret")
    names("without basic auth", "webhook-no-secret", BASIC_AUTH_USER="u", BASIC_AUTH_PASS="p")
    st, two = a.connect(pid, R.main.url.replace("127.0.0.1", "localhost"), title="again")
    names("connected twice", "backend-twice")
    a.raw("DELETE", f"/api/ml/{two.get('id')}")
    for w in a.webhooks(pid):
        if "localhost" in w["url"]:
            a.raw("DELETE", f"/api/webhooks/{w['id']}/")
    a.patch_project(pid, show_collab_predictions=False)
    names("predictions switched off", "predictions-off")
    a.patch_project(pid, show_collab_predictions=True, model_version="prelabel", sampling="Uncertainty sampling")
    names("uncertainty sampling as it comes", "uncertainty-random")
    a.patch_project(pid, model_version=v)
    names("with the predictions' version")
    a.patch_project(pid, sampling="Sequential sampling", model_version="prelabel")
    R.train_now(mid)
    names("trained once more", "predictions-behind")
    a.retrieve(pid)
    names("predicted once more")
    names("a wrong key", "key-wrong" if R.key_kind == "legacy" else "key-legacy-disabled", LABEL_STUDIO_API_KEY=lslib.LEGACY_TOKEN
          if R.key_kind != "legacy" else "0" * 40)
    pat = R.ls.personal_access_token() if R.key_kind == "legacy" else None
    if pat is None:
        st, out = http("POST", R.ls.url + "/api/token/refresh/", {"refresh": R.key})
        names("an access token", "key-access-token", LABEL_STUDIO_API_KEY=out["access"])
        # Of one more token only one may live: this one is refused by its signature.
        head, body, sign = R.key.split(".")
        names("a personal token that Label Studio does not know", "key-revoked", LABEL_STUDIO_API_KEY=".".join((head, body, sign[::-1])))
    names("nobody listens", "ls-unreachable", LABEL_STUDIO_HOST=f"http://127.0.0.1:{lslib.free_port()}")
    names("https", "ls-wrong-scheme", LABEL_STUDIO_HOST=R.ls.url.replace("http:", "https:"))
    names("a prefix", "ls-wrong-prefix", LABEL_STUDIO_HOST=R.ls.url + "/label")
    a.raw("DELETE", f"/api/ml/{mid}")
    names("deleted in Label Studio", "backend-not-connected")
    if R.key_kind == "pat":
        # The last, since the run's own key is the one that goes: another takes its place.
        R.rep.check("the token is revoked", revoke(R), R.ls.url)
        names("revoked", "key-revoked")
        R.key = R.ls.personal_access_token()
        R.api.token, R.api.access = R.key, None
        R.rep.check("another token works", wait_for(lambda: R.api.raw("GET", "/api/projects/")[0] == 200, 10))


def revoke(R):
    """POST /api/token/blacklist/ with the web session."""
    op, tok = R.ls.session()
    st, _ = http("POST", R.ls.url + "/api/token/blacklist/", {"refresh": R.key}, {"X-CSRFToken": tok, "Referer": R.ls.url}, opener=op)
    return 200 <= st < 300
