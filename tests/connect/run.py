#!/usr/bin/env python3
"""`prelabel connect` and `prelabel disconnect` against tests/studio/studio.py, with the server running.

    tests/connect/run.py [GROUP...]     BUILD as in tests/http/harness.py
"""
import fcntl
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "studio"), os.path.join(HERE, "..", "http")]
import harness  # noqa: E402
from harness import BUILD, SLOW, Report, Server, check, free_port, use_report, wait_for  # noqa: E402
from studio import LEGACY, PERSONAL, Studio, config_of  # noqa: E402

PASSWORD, SECRET = "pass:word-4711", "webhook-secret-4711"
TEXTS = ["the food was great", "never again", "friendly staff", "cold soup", "rude waiter", "I would come again"]
OUTPUTS = []            # all that the commands printed: no secret may be in it
LOGS = []               # of servers with secrets


class Result:
    def __init__(self, run):
        self.code, self.out, self.err = run.returncode, run.stdout, run.stderr

    def __str__(self):
        return f"exit {self.code} | {self.out} | {self.err}"

    __repr__ = __str__

    @property
    def json(self):
        return json.loads(self.out)


def prelabel(env, *args):
    run = subprocess.run([os.path.join(BUILD, "prelabel"), *args], env=env, capture_output=True, text=True, timeout=120 * SLOW)
    OUTPUTS.append(run.stdout + run.stderr)
    return Result(run)


def server(ls, folder=None, **more):
    return Server(folder, LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, START_TRAINING_EACH_N_UPDATES=10, **more)


def with_env(env, **more):
    return {k: v for k, v in dict(env, **more).items() if v is not None}


def data_file(folder, text, name="data.txt"):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def stored(srv, what, pid=1):
    with sqlite3.connect(f"file:{srv.dir}/prelabel.sqlite3?mode=ro", uri=True) as db:
        row = db.execute(f"SELECT {what} FROM project WHERE id = ?", (pid,)).fetchone()
    return row[0] if row else None


def hooks(ls, pid=1):
    return [w for w in ls.webhooks.values() if w["project"] == pid]


def state_of(ls):
    """All that Label Studio has, but when it was last looked at."""
    return json.dumps([ls.projects, ls.tasks, ls.annotations, ls.webhooks, ls.passwords,
                       {k: {f: v for f, v in b.items() if f not in ("state", "error_message", "model_version", "updated_at")}
                        for k, b in ls.backends.items()}], sort_keys=True)


# ---- the checks -------------------------------------------------------------------


def t_usage():
    with Studio() as ls:
        env = harness.settings(tempfile.gettempdir() + "/absent", PORT=free_port(), LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key)
        for name, args in (("neither --project nor --title", []), ("both", ["--project", "1", "--title", "T"]),
                           ("one --label", ["--title", "T", "--label", "a"]), ("an empty title", ["--title", ""]),
                           ("the same label twice", ["--title", "T", "--label", "a", "--label", "a"]),
                           ("an empty label", ["--title", "T", "--label", "a", "--label", ""]),
                           ("--label with --config", ["--title", "T", "--label", "a", "--label", "b", "--config", "x"]),
                           ("--label with --project", ["--project", "1", "--label", "a", "--label", "b"]),
                           ("an operand", ["--project", "1", "x"]), ("a title without value", ["--title"])):
            r = prelabel(env, "connect", *args)
            check(f"{name}: exit 2, one line", r.code == 2 and r.err.count("\n") == 1 and r.out == "", r)
        for name, url in (("no scheme", "localhost:9090"), ("no host", "http://"), ("a query", "http://h/?a"),
                          ("a password", f"http://u:{PASSWORD}@h:1")):
            r = prelabel(env, "connect", "--project", "1", "--dry-run", "--url", url)
            check(f"--url with {name}: exit 2", r.code == 2 and "--url" in r.err, r)
        r = prelabel(env, "disconnect")
        check("disconnect without --project: exit 2", r.code == 2, r)
        check("of all that Label Studio heard nothing", ls.seen == [], ls.seen[:3])


def t_down():
    """prelabel not running, no key, keys that are no good, a Label Studio that is none."""
    with Studio() as ls, tempfile.TemporaryDirectory() as folder:
        pid = ls.add_project()
        env = harness.settings(folder, PORT=free_port(), LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key)
        r = prelabel(env, "connect", "--project", str(pid))
        check("not running: exit 1, cause and cure", r.code == 1 and "not running" in r.err and "prelabel start" in r.err, r)
        check("not running: Label Studio is not asked", ls.seen == [], ls.seen[:3])
        r = prelabel(env, "connect", "--project", str(pid), "--dry-run")
        check("not running, --dry-run: a warning only", r.code == 0 and "warning" in r.out and "DOWN" in r.out, r)
        check("--dry-run makes no store", os.listdir(folder) == [], os.listdir(folder))
        r = prelabel(with_env(env, LABEL_STUDIO_API_KEY=None), "connect", "--project", "1", "--dry-run")
        check("no key: exit 2, names LABEL_STUDIO_API_KEY and where to get one",
              r.code == 2 and "LABEL_STUDIO_API_KEY" in r.err and "Personal Access Token" in r.err, r)
        for name, key, says in (("a wrong key", "f" * 40, "refused the key"), ("a legacy key", LEGACY, "legacy tokens are disabled"),
                                ("a made-up personal key", PERSONAL.replace("x", "y"), "wrong, expired or revoked")):
            r = prelabel(with_env(env, LABEL_STUDIO_API_KEY=key), "connect", "--project", "1", "--dry-run")
            check(f"{name}: exit 1, cause and cure", r.code == 1 and says in r.err and "Account & Settings" in r.err, r)
        ls.revoked.add(PERSONAL)
        r = prelabel(env, "connect", "--project", "1", "--dry-run")
        check("a revoked key: exit 1", r.code == 1 and "revoked" in r.err, r)
        ls.revoked.clear()
        r = prelabel(with_env(env, LABEL_STUDIO_HOST=ls.url + "/prefix"), "connect", "--project", "1", "--dry-run")
        check("a wrong prefix: is not Label Studio", r.code == 1 and "LABEL_STUDIO_HOST" in r.err and "not Label Studio" in r.err, r)
        ls.fault = lambda h, path: h.reply(200, b"<html>Sign in</html>") or True
        r = prelabel(env, "connect", "--project", "1", "--dry-run")
        check("HTML in place of JSON: exit 1, one line", r.code == 1 and r.err.count("\n") == 1, r)
        ls.fault = None
        r = prelabel(env, "connect", "--project", "9", "--dry-run")
        check("an unknown project: exit 1, named", r.code == 1 and "no project 9" in r.err, r)
        r = prelabel(env, "connect", "--title", "Nothing", "--dry-run")
        check("an unknown title without labels: exit 1, says what is needed", r.code == 1 and "--label" in r.err, r)
        ls.add_project()
        r = prelabel(env, "connect", "--title", "Reviews", "--dry-run")
        check("two projects of that title: exit 2, --project is named", r.code == 2 and "--project" in r.err, r)
        check("none of these wrote anything", ls.writes() == [], ls.writes())


def t_empty():
    """From an empty Label Studio to the first pre-annotation."""
    labels = ["positive", 'bad & <"worse">', "größer"]
    for kind in ("personal", "legacy"):
        with Studio(legacy=kind == "legacy", personal=kind == "personal") as ls, server(ls) as srv:
            data = data_file(srv.dir, "\n".join(TEXTS) + "\n\n")
            args = ["connect", "--title", "My reviews: é & 100 %", *[x for lab in labels for x in ("--label", lab)], "--data", data]
            before = state_of(ls)
            r = prelabel(srv.env, *args, "--dry-run")
            check(f"{kind}: --dry-run says what it would do", r.code == 0 and r.out.count("would be made") >= 4 and "6 tasks" in r.out, r)
            check(f"{kind}: --dry-run changes nothing", ls.writes() == [] and state_of(ls) == before, ls.writes())
            r = prelabel(srv.env, *args)
            if not check(f"{kind}: one command: exit 0", r.code == 0 and r.err == "", r):
                continue
            p = ls.projects.get(1, {})
            config = p.get("label_config", "")
            check("the project has its title", p.get("title") == "My reviews: é & 100 %", p)
            b = list(ls.backends.values())
            check("one backend: our address, connected, our title", len(b) == 1 and b[0]["url"] == f"http://localhost:{srv.port}" and
                  b[0]["state"] == "CO" and b[0]["title"] == "prelabel" and b[0]["auth_method"] == "NONE", b)
            w = hooks(ls)
            check("one webhook: to the backend, active, payload, all actions, no header",
                  len(w) == 1 and w[0]["url"] == f"http://localhost:{srv.port}/webhook" and w[0]["is_active"] and w[0]["send_payload"]
                  and w[0]["send_for_all_actions"] and w[0]["headers"] == {}, w)
            check("its predictions are those the project shows", p.get("model_version") == "prelabel" and p.get("show_collab_predictions"), p)
            check("the tasks are there, in their order", [t["data"] for t in ls.tasks.values()] == [{"text": t} for t in TEXTS], ls.tasks)
            version = ls.predict(1, [1])
            made = ls.of(ls.predictions, task=1)
            check("opening a task shows a pre-annotation, with a label of the config", len(made) == 1 and made[0]["model_version"] == version
                  and made[0]["result"][0]["value"]["choices"][0] in labels, made)
            check("it says what to do next", "next" in r.out and f"{ls.url}/projects/1/data" in r.out, r)
            parsed = json.loads(stored(srv, "labels"))
            check("the labels are those given, whatever they hold", parsed == labels, (parsed, config))
            seen, before = len(ls.seen), state_of(ls)
            r = prelabel(srv.env, *args)
            check("the second run: exit 0, all is right", r.code == 0 and {line.split()[0] for line in r.out.splitlines()} == {"ok", "next"}, r)
            check("the second run writes nothing", ls.writes(seen) == [] and state_of(ls) == before, ls.writes(seen))


def t_old():
    """Annotations that are older than the connection are learned."""
    with Studio() as ls, server(ls) as srv:
        pid = ls.add_project()
        for i, t in enumerate(ls.add_tasks(pid, TEXTS * 2)):
            ls.annotate(t, ("positive", "negative")[i % 2])
        r = prelabel(srv.env, "connect", "--project", str(pid))
        # The reading that /setup began may have been faster.
        check("12 annotations are read", r.code == 0 and "12 annotated tasks read" in r.out and
              ("12 annotations new" in r.out and "queued" in r.out or stored(srv, "updates") == 12), r)
        got = wait_for(lambda: not (ls.refresh(ls.backends[1]) or "tfidf_logreg-0-").startswith("tfidf_logreg-0-"), 30 * SLOW, 0.2)
        check("a version is trained from them", got, ls.backends)
        r = prelabel(srv.env, "connect", "--project", str(pid))
        check("a second run queues none", r.code == 0 and "queued" not in r.out, r)
        ls.annotate(3, "negative")
        check("the webhook arrives", ls.sent[-1][2] == 201, ls.sent)


def t_repair():
    with Studio() as ls, server(ls) as srv:
        pid = ls.add_project()
        url, hook = f"http://localhost:{srv.port}", f"http://localhost:{srv.port}/webhook"
        other = ls.add_webhook(pid, "http://other.example/webhook", is_active=False)
        foreign = ls.add_webhook(ls.add_project("Other"), hook, is_active=False)
        prelabel(srv.env, "connect", "--project", str(pid))
        ours = next(w for w in hooks(ls, pid) if w["url"] == hook)
        for name, change in (("inactive", {"is_active": False}), ("without payload", {"send_payload": False}),
                             ("for chosen actions", {"send_for_all_actions": False, "actions": ["ANNOTATION_CREATED"]}),
                             ("with a slash at its end", {"url": hook + "/"}), ("with a password in its address", {"url": hook.replace("//", "//u:p@")}),
                             ("wrong in all ways", {"is_active": False, "send_payload": False, "send_for_all_actions": False})):
            ls.webhooks[ours["id"]].update(change, headers={"X-Mine": "1"})
            before, seen = state_of(ls), len(ls.seen)
            r = prelabel(srv.env, "connect", "--project", str(pid), "--dry-run")
            check(f"a webhook {name}: --dry-run sees it and changes nothing",
                  r.code == 0 and "would be changed" in r.out and ls.writes(seen) == [] and state_of(ls) == before, (r.out, ls.writes(seen)))
            seen = len(ls.seen)
            r = prelabel(srv.env, "connect", "--project", str(pid))
            w = ls.webhooks[ours["id"]]
            check(f"a webhook {name} is made right, by one call", r.code == 0 and len(ls.writes(seen)) == 1 and w["url"] == hook and w["is_active"]
                  and w["send_payload"] and w["send_for_all_actions"] and w["headers"] == {"X-Mine": "1"}, (r, w, ls.writes(seen)))
        ls.add_webhook(pid, hook)
        ls.add_webhook(pid, hook + "/")
        r = prelabel(srv.env, "connect", "--project", str(pid))
        check("a webhook made twice is there once", r.code == 0 and [w["id"] for w in hooks(ls, pid)] == [other["id"], ours["id"]] and
              r.out.count("removed") == 2, (r, hooks(ls, pid)))
        twin = dict(ls.backends[1], id=2)
        ls.backends[2] = twin
        r = prelabel(srv.env, "connect", "--project", str(pid))
        check("a backend connected twice is there once", r.code == 0 and list(ls.backends) == [1], (r, ls.backends))
        twin = dict(ls.backends[1], id=2, url=url.replace("http://localhost", "HTTP://LocalHost"))
        ls.backends[2] = twin
        r = prelabel(srv.env, "connect", "--project", str(pid))
        check("nor is one in other letters, which the doctor calls twice", r.code == 0 and list(ls.backends) == [1], (r, ls.backends))
        ls.backends[1]["url"] = url + "/"
        r = prelabel(srv.env, "connect", "--project", str(pid))
        check("a backend whose address was written otherwise is not doubled", r.code == 0 and [b["url"] for b in ls.backends.values()] == [url], r)
        ls.projects[pid].update(show_collab_predictions=False, model_version="")
        r = prelabel(srv.env, "connect", "--project", str(pid))
        p = ls.projects[pid]
        check("predictions switched off are shown again", r.code == 0 and p["show_collab_predictions"] and p["model_version"] == "prelabel", (r, p))
        t = ls.add_tasks(pid, ["x"])[0]
        ls.add_prediction(t, [], 0.5, "mine-7")
        ls.projects[pid]["model_version"] = "mine-7"
        r = prelabel(srv.env, "connect", "--project", str(pid))
        check("a version that a person chose is left alone, and named", r.code == 0 and p["model_version"] == "mine-7" and "mine-7" in r.out, r)
        check("webhooks elsewhere and of other projects are untouched", ls.webhooks[other["id"]] == other and ls.webhooks[foreign["id"]] == foreign,
              ls.webhooks)
        ls.backends[1].update(state="DI", title="Theirs", model_version="")
        old, ls.calls = ls.refresh, []
        ls.refresh = lambda b: None
        r = prelabel(srv.env, "connect", "--project", str(pid))
        ls.refresh = old
        check("a backend shown as disconnected is connected again, under its own title",
              r.code == 0 and "Disconnected" in r.out and ls.backends[1]["title"] == "Theirs" and ("POST", url + "/setup", 200) in ls.calls, (r, ls.calls))


def t_auth():
    """The webhook carries what the backend demands, and events arrive."""
    auth = {"BASIC_AUTH_USER": "labeler", "BASIC_AUTH_PASS": PASSWORD}
    basic = harness.basic("labeler", PASSWORD)
    for name, more, want in (("basic auth", auth, {"Authorization": basic}), ("a secret", {"WEBHOOK_SECRET": SECRET}, {"X-Webhook-Secret": SECRET}),
                             ("both", {**auth, "WEBHOOK_SECRET": SECRET}, {"X-Webhook-Secret": SECRET})):
        with Studio() as ls, server(ls, **more) as srv:
            pid = ls.add_project()
            r = prelabel(srv.env, "connect", "--project", str(pid))
            w = hooks(ls)
            check(f"{name}: exit 0, the webhook's header", r.code == 0 and len(w) == 1 and w[0]["headers"] == want, (r, w))
            b = list(ls.backends.values())
            has = ("BASIC_AUTH", "labeler", PASSWORD) if "BASIC_AUTH_USER" in more else ("NONE", "", None)
            check(f"{name}: what the backend got", len(b) == 1 and (b[0]["auth_method"], b[0]["basic_auth_user"], ls.passwords[1]) == has and
                  b[0]["state"] == "CO", b)
            ids = ls.add_tasks(pid, TEXTS)
            ls.annotate(ids[0], "positive")
            # 200: the reading that follows the connection had it before.
            check(f"{name}: an annotation arrives", ls.sent and ls.sent[-1][2] in (200, 201), ls.sent)
            told = []
            for bad in ({}, {k.lower(): "old" for k in want}, {k: "old" for k in want}):
                ls.webhooks[w[0]["id"]]["headers"] = {"X-Mine": "1", **bad}
                ls.annotate(ids[1], "positive")
                refused = ls.sent[-1][2]
                told.append(prelabel(srv.env, "status", "--project", str(pid)).out)
                r = prelabel(srv.env, "connect", "--project", str(pid))
                ls.annotate(ids[2], "negative")
                check(f"{name}: header {sorted(bad)} {'wrong' if bad else 'missing'}: refused, then made right", refused == 401 and r.code == 0 and
                      ls.sent[-1][2] == 201 and hooks(ls)[0]["headers"] == {"X-Mine": "1", **want}, (refused, ls.sent[-1:], hooks(ls)))
            seen = len(ls.seen)
            r = prelabel(srv.env, "connect", "--project", str(pid))
            check(f"{name}: once more writes nothing", r.code == 0 and ls.writes(seen) == [], ls.writes(seen))
            check(f"{name}: the status names refused webhooks and the cure", all("refused" in t and "prelabel connect" in t for t in told) and
                  "3 webhooks" in told[2], told)
            time.sleep(1)
            ls.annotate(ids[3], "positive")
            quiet = prelabel(srv.env, "status", "--project", str(pid))
            count = prelabel(srv.env, "status", "--project", str(pid), "--json").json
            check(f"{name}: once events arrive again it is counted, and no longer a complaint", "refused" not in quiet.out and
                  count["refused_webhooks"] == 3 and count["cure"] is None, (quiet, count))
            LOGS.append(srv.log_text())
            said = srv.log_text().count("a webhook was refused")
            check(f"{name}: the log says so once a minute, with the cure", said in (1, 2) and "prelabel connect" in srv.log_text(), said)
            def repeats(what):
                """500, with the secret that came for a reason."""
                def fault(h, path):
                    secret = re.search(what, h.body.decode()) if h.command in ("POST", "PATCH") else None
                    return bool(secret) and (h.fail(500, secret.group(0)), True)[1]
                return fault
            ls.webhooks[w[0]["id"]]["headers"] = {}
            ls.fault = repeats(r'"headers".*')
            r = prelabel(srv.env, "connect", "--project", str(pid))
            check(f"{name}: a 500 for the webhook that repeats the header is told without it", r.code == 1 and "500" in r.err, r)
            ls.webhooks[w[0]["id"]]["headers"] = want
            if "BASIC_AUTH_PASS" in more:
                ls.fault, b[0]["url"] = repeats(r'"basic_auth_pass".*'), b[0]["url"] + "/"
                r = prelabel(srv.env, "connect", "--project", str(pid))
                check(f"{name}: one for the backend that repeats the password, too", r.code == 1 and "500" in r.err, r)
                b[0]["url"] = b[0]["url"].rstrip("/")
            ls.fault = None
            full = {f"X-{i}": "1" for i in range(10)}
            ls.webhooks[w[0]["id"]]["headers"] = dict(full)
            r = prelabel(srv.env, "connect", "--project", str(pid))
            check(f"{name}: no room for the header: exit 1, without Label Studio's words, which repeat it",
                  r.code == 1 and "headers" in r.err and ls.webhooks[w[0]["id"]]["headers"] == full, r)
            if "BASIC_AUTH_PASS" in more:
                r = prelabel(with_env(srv.env, BASIC_AUTH_USER="other", BASIC_AUTH_PASS="other"), "connect", "--project", str(pid))
                check(f"{name}: run with others than the server's: cause and cure", r.code == 1 and "BASIC_AUTH_PASS" in r.err and
                      "refuses" in r.err, r)
    with Studio() as ls:
        r = prelabel(harness.settings("/nowhere", LABEL_STUDIO_HOST=ls.url, LABEL_STUDIO_API_KEY=ls.key, WEBHOOK_SECRET="naïve"),
                     "connect", "--project", "1", "--dry-run")
        check("a secret that fits no header: exit 2", r.code == 2 and "WEBHOOK_SECRET" in r.err and "na" not in r.err.split("WEBHOOK_SECRET")[0], r)


def t_private():
    """What Label Studio says of private addresses, and of one that it can't reach."""
    with Studio(ml_block_local_ip=True, ssrf_protection=True) as ls, server(ls) as srv:
        pid = ls.add_project()
        r = prelabel(srv.env, "connect", "--project", str(pid))
        check("both settings on: ML_BLOCK_LOCAL_IP and the cure", r.code == 1 and "(ML_BLOCK_LOCAL_IP)" in r.err and
              "SSRF_PROTECTION_ENABLED=false" in r.err, r)
        check("and no backend", ls.backends == {}, ls.backends)
        ls.ml_block_local_ip = False
        for name in ("the first time, though the backend was made", "again"):
            r = prelabel(srv.env, "connect", "--project", str(pid))
            check(f"webhooks refused, {name}: SSRF_PROTECTION_ENABLED, never learns, the cure", r.code == 1 and
                  "(SSRF_PROTECTION_ENABLED)" in r.err and "never learn" in r.err and "ML_BLOCK_LOCAL_IP=false" in r.err, r)
            check(f"{name}: one backend, no webhook", len(ls.backends) == 1 and ls.webhooks == {}, (ls.backends, ls.webhooks))
        ls.ssrf_protection = False
        r = prelabel(srv.env, "connect", "--project", str(pid))
        check("with both off the same command ends what was begun", r.code == 0 and len(ls.backends) == 1 and len(hooks(ls)) == 1 and
              ls.projects[pid]["model_version"] == "prelabel", (r, ls.backends, ls.webhooks))
        r = prelabel(srv.env, "connect", "--project", str(pid), "--url", f"http://127.0.0.1:{free_port()}")
        check("an address that Label Studio can't reach: cause and cure", r.code == 1 and "can't reach" in r.err and "HOST=0.0.0.0" in r.err, r)
        other = f"http://127.0.0.1:{srv.port}"
        r = prelabel(srv.env, "connect", "--project", str(pid), "--url", other + "/")
        check("a second address is a second backend: only the first is asked, a warning says", r.code == 0 and len(ls.backends) == 2 and
              "was connected first" in r.out and sorted(w["url"] for w in hooks(ls))[0] == other + "/webhook", (r, ls.webhooks))


def t_data():
    with Studio() as ls, server(ls) as srv:
        config = config_of(["a", "b"]).replace("$text", "$message")
        conf = data_file(srv.dir, config + "\n", "config.xml")

        def connect(text, name="data.txt", *more):
            seen = len(ls.seen)
            r = prelabel(srv.env, "connect", "--title", "Data", "--config", conf, "--data", data_file(srv.dir, text, name), *more)
            return r, [t["data"] for t in ls.tasks.values()], [w for w in ls.writes(seen) if "import" in w[1]]
        for name, text in (("an array cut off", '[{"message": "a"}, '), ("a number in an array", '["a", 7]'), ("a line that is no JSON", '{"message": "a"}\n{"mess'),
                           ("half a surrogate pair", '{"message": "whole \\ud83d\\ude00"}\n{"message": "\\ud800 half"}\n'), ("no task", "\n\n"), ("an empty array", "[]")):
            r, data, _ = connect(text)
            check(f"{name}: exit 1, before anything is made", r.code == 1 and ls.projects == {} and ls.writes() == [] and "data.txt" in r.err, r)
        r = prelabel(srv.env, "connect", "--title", "Data", "--config", conf, "--data", "/nowhere/x")
        check("a file that is not there: exit 1", r.code == 1 and "/nowhere/x" in r.err, r)
        r = prelabel(srv.env, "connect", "--title", "Data", "--config", data_file(srv.dir, "<View><Text", "bad.xml"))
        check("a labeling config that is no XML: exit 2, before anything is made", r.code == 2 and "bad.xml" in r.err and ls.writes() == [], r)
        r, data, _ = connect('\ufefffirst\r\n  "second", said he\n\n7\n')
        check("texts, a line each, under the key of the config", r.code == 0 and data == [
            {"message": "first"}, {"message": '"second", said he'}, {"message": "7"}], (r, data))
        check("the config is the file's", ls.projects[1]["label_config"] == config, ls.projects[1]["label_config"])
        seen = len(ls.seen)
        r, data, calls = connect("first\nanother", "dry.txt", "--dry-run")
        check("--dry-run into a project that is there: says how many are new, imports none",
              r.code == 0 and "would be made" in r.out and "1 tasks of" in r.out and ls.writes(seen) == [] and len(data) == 3, (r, ls.writes(seen)))
        r, data, calls = connect('{"message": "first"}\n{"data": {"message": "fourth \\u00e9", "n": [1, 2.50, {"b": null, "a": true}]}}\n', "more.jsonl")
        check("JSON lines: what is there already stays out", r.code == 0 and len(data) == 4 and data[3]["message"] == "fourth é", (r, data))
        r, data, calls = connect('[{"n": [1.0, 2.5, {"a": true, "b": null}], "message": "fourth é"}]', "other.json")
        check("the same data written otherwise is the same", r.code == 0 and len(data) == 4 and calls == [] and "all its tasks" in r.out, (r, data))
        r, data, calls = connect('["first", "first", "first", {"message": "second", "id": 1}]', "twice.json")
        check("a text three times in the file and once there: twice more", r.code == 0 and len(data) == 7, (r, data))
        r, data, calls = connect('["first", "first", "first", {"message": "second", "id": 1}]', "twice.json")
        check("and then no more", r.code == 0 and len(data) == 7 and calls == [], (r, data))
        r, data, calls = connect('[{"message": "a", "id": 9007199254740993}]', "id.json")
        r, data, calls = connect('[{"message": "a", "id": 9007199254740993}, {"message": "a", "id": 9007199254740992}]', "ids.json")
        check("ids that differ in their last digit, beyond 2^53, are two tasks", len(data) == 9, (r, data))
        r, data, calls = connect('[{"message": "a", "id": 9007199254740993}]', "id.json")
        check("and each of them is there then", r.code == 0 and calls == [], (r, calls))
        seen = len(ls.seen)
        r, data, calls = connect('["s3://bucket/text"]', "uri.txt")
        check("tasks are compared with what was imported, not with Label Studio's links",
              any("/api/tasks?" in p and "resolve_uri=false" in p for _, p, _, _ in ls.seen[seen:]), [p for _, p, _, _ in ls.seen[seen:]])
        ls.drop_task(max(ls.tasks)), ls.drop_task(max(ls.tasks)), ls.drop_task(max(ls.tasks))
        fifo, held = os.path.join(srv.dir, "pipe"), None
        os.mkfifo(fifo)
        held = os.open(fifo, os.O_RDWR)
        os.write(held, b"from a pipe\n")
        r = prelabel(srv.env, "connect", "--title", "Data", "--config", conf, "--data", fifo)
        os.close(held)
        check("a pipe: exit 1, not \"all its tasks are there\" of what was read up", r.code == 1 and "regular file" in r.err and len(ls.tasks) == 7, r)
        r, data, calls = connect('[{"data": {"message": "known"}, "annotations": [{"result": []}]}]', "annotated.json")
        check("annotations of the file go with their tasks", r.code == 0 and len(ls.annotations) == 1, r)
        r, data, calls = connect('[{"text": "x"}]', "key.json")
        check("data without the config's key: exit 1, the key is named", r.code == 1 and "message" in r.err and len(data) == 8, r)
    with Studio() as ls, server(ls) as srv:
        many = data_file(srv.dir, json.dumps([{"text": f"text {i} " + "x" * 100} for i in range(1300)]), "many.json")
        count = [0]

        def broken(h, path):
            if path.endswith("/import"):
                count[0] += 1
                if count[0] == 2:
                    h.fail(500, "database is locked")
                    return True
        ls.fault = broken
        args = ["connect", "--title", "Many", "--label", "a", "--label", "b", "--data", many]
        r = prelabel(srv.env, *args)
        check("an import that breaks off: exit 1", r.code == 1 and "500" in r.err and 0 < len(ls.tasks) < 1300, (r, len(ls.tasks)))
        ls.fault = None
        seen = len(ls.seen)
        r = prelabel(srv.env, *args)
        check("the next run brings the rest, each task once", r.code == 0 and len(ls.tasks) == 1300 and
              len({t["data"]["text"] for t in ls.tasks.values()}) == 1300, (r, len(ls.tasks)))
        sizes = [len(json.loads(b)) for m, p, _, b in ls.seen[seen:] if p.endswith("/import")]
        check("in parts", sizes == [500, 300], sizes)


def t_uncertainty():
    with Studio() as ls, server(ls) as srv:
        pid = ls.add_project()
        ls.add_tasks(pid, TEXTS)
        prelabel(srv.env, "connect", "--project", str(pid))
        check("without --uncertainty the order is left alone", ls.projects[pid]["sampling"] == "Sequential sampling" and not stored(srv, "uncertainty"))
        r = prelabel(srv.env, "connect", "--project", str(pid), "--uncertainty", "--dry-run")
        check("--dry-run: neither in Label Studio nor in the store", ls.projects[pid]["sampling"] == "Sequential sampling" and not stored(srv, "uncertainty"), r)
        r = prelabel(srv.env, "connect", "--project", str(pid), "--uncertainty")
        check("--uncertainty: sampling, and the store's mark", r.code == 0 and ls.projects[pid]["sampling"] == "Uncertainty sampling" and
              stored(srv, "uncertainty") == 1, (r, ls.projects[pid], stored(srv, "uncertainty")))
        of = {p["model_version"] for p in ls.predictions.values()}
        check("predictions of the version in force, which the project shows", len(ls.predictions) == len(ls.tasks) and
              of == {ls.projects[pid]["model_version"]} == {ls.backends[1]["title"]}, (of, ls.projects[pid], ls.backends))
        seen = len(ls.seen)
        r = prelabel(srv.env, "connect", "--project", str(pid), "--uncertainty")
        check("again: nothing is written", r.code == 0 and ls.writes(seen) == [], ls.writes(seen))
        ls.add_prediction(1, [], 0.5, "tfidf_logreg-1-abcd")
        ls.projects[pid]["model_version"] = "tfidf_logreg-1-abcd"
        r = prelabel(srv.env, "connect", "--project", str(pid))
        check("a version that was pushed is no reason for a warning", r.code == 0 and "warning" not in r.out, r)
        with open(os.path.join(srv.dir, "push.lock"), "r+b") as f:
            fcntl.lockf(f, fcntl.LOCK_EX, 1, stored(srv, "row"))
            run = subprocess.Popen([os.path.join(BUILD, "prelabel"), "disconnect", "--project", str(pid)], env=srv.env,
                                   stdout=subprocess.DEVNULL)
            told = wait_for(lambda: stored(srv, "uncertainty") == 0)
            check("disconnect tells a push that is under way to end, and waits", told and run.poll() is None and len(ls.backends) == 1)
        run.wait()
        check("then there is no backend", run.returncode == 0 and ls.backends == {}, ls.backends)
        p = ls.projects[pid]
        check("disconnect takes it back", p["sampling"] == "Sequential sampling" and p["model_version"] == "" and
              stored(srv, "uncertainty") == 0, p)


def t_disconnect():
    with Studio() as ls:
        srv = server(ls)
        with srv:
            pid = ls.add_project()
            other = ls.add_webhook(pid, "http://other.example/webhook")
            for i, t in enumerate(ls.add_tasks(pid, TEXTS)):
                ls.annotate(t, ("positive", "negative")[i % 2])
            prelabel(srv.env, "connect", "--project", str(pid))
            ls.backends[2] = dict(ls.backends[1], id=2)
            hook = ls.add_webhook(pid, f"http://localhost:{srv.port}/webhook/")
            before, seen = state_of(ls), len(ls.seen)
            r = prelabel(srv.env, "disconnect", "--project", str(pid), "--dry-run")
            check("--dry-run: says so, changes nothing", r.code == 0 and r.out.count("would be removed") == 4 and state_of(ls) == before and
                  ls.writes(seen) == [], (r, ls.writes(seen)))
            r = prelabel(srv.env, "disconnect", "--project", str(pid))
            check("both backends and both webhooks are gone", r.code == 0 and ls.backends == {} and hook["id"] not in ls.webhooks and
                  hooks(ls, pid) == [other], (r, ls.backends, ls.webhooks))
            check("the project's version is empty again", ls.projects[pid]["model_version"] == "", ls.projects[pid])
            sent = len(ls.sent)
            ls.annotate(1, "positive")
            check("no event is sent any more", [s for s in ls.sent[sent:] if s[0] != other["id"]] == [], ls.sent[sent:])
            with sqlite3.connect(f"file:{srv.dir}/prelabel.sqlite3?mode=ro", uri=True) as db:
                kept = db.execute("SELECT count(*) FROM annotation WHERE deleted = 0").fetchone()[0]
            check("what was learned is kept", kept == 6, kept)
            seen = len(ls.seen)
            r = prelabel(srv.env, "disconnect", "--project", str(pid))
            check("a second time: exit 0, nothing written", r.code == 0 and ls.writes(seen) == [] and "none" in r.out, (r, ls.writes(seen)))
            r = prelabel(srv.env, "disconnect", "--project", "9")
            check("an unknown project: exit 1", r.code == 1, r)
            prelabel(srv.env, "connect", "--project", str(pid))
            check("connected again", len(ls.backends) == 1 and len(hooks(ls, pid)) == 2, (ls.backends, ls.webhooks))
            r = prelabel(srv.env, "disconnect", "--project", str(pid), "--url", "http://elsewhere:1")
            check("another address: nothing is taken, a hint says why", r.code == 0 and len(ls.backends) == 1 and "--url" in r.out, r)
            srv.stop()
            r = prelabel(srv.env, "disconnect", "--project", str(pid))
            check("with prelabel stopped it works as well", r.code == 0 and ls.backends == {} and hooks(ls, pid) == [other], r)
            srv.start()


def t_json():
    with Studio() as ls, server(ls) as srv:
        pid = ls.add_project()
        r = prelabel(srv.env, "connect", "--project", str(pid), "--json")
        j = r.json
        check("--json: project, changes, steps, next", r.code == 0 and j["project"] == pid and j["changes"] == 1 and j["dry_run"] is False and
              j["error"] is None and {s["step"] for s in j["steps"]} == {"project", "backend", "webhook", "predictions", "annotations"} and
              all(s["did"] in ("ok", "made", "changed", "removed", "warning") for s in j["steps"]) and len(j["next"]) == 2, j)
        j = prelabel(srv.env, "connect", "--project", str(pid), "--json").json
        check("--json: a second run has no changes", j["changes"] == 0, j)
        r = prelabel(srv.env, "connect", "--project", "9", "--json")
        check("--json: an error is in it, and on standard error", r.code == 1 and "no project 9" in r.json["error"] and r.json["cure"] and
              r.err.count("\n") == 1, r)
        # Answers of the wrong shape, one call after the other: never a crash, a changed host, or a false word.
        for name, body in (("an array", b"[]"), ("an empty answer", b""), ("a string", b'"x"'), ("members of other types", b'{"id": "x", "title": 7, "results": {}, "url": []}')):
            for path in ("/api/current-user/whoami", "/api/projects/1/", "/api/ml/", "/api/webhooks/"):
                def wrong(h, p, path=path, body=body):
                    if p == path:
                        h.reply(200, body)
                        return True
                ls.fault = wrong
                r = prelabel(srv.env, "connect", "--project", str(pid), "--dry-run")
                check(f"{name} from {path}: exit 0 or 1, no crash", r.code in (0, 1) and "\x00" not in r.out, r)
        ls.fault = None
        check("of these nothing was kept", len(ls.backends) == 1 and len(hooks(ls)) == 1, (ls.backends, ls.webhooks))


def t_secrets():
    """Last: over all that was printed."""
    text = "".join(OUTPUTS + LOGS)
    words = [LEGACY, PERSONAL, PERSONAL.split(".")[1], PASSWORD, SECRET, harness.basic("labeler", PASSWORD).split()[1]]
    check("no key, password or secret in any output", len(OUTPUTS) > 0 and not [w for w in words if w in text])


TESTS = [t_usage, t_down, t_empty, t_old, t_repair, t_auth, t_private, t_data, t_uncertainty, t_disconnect, t_json, t_secrets]


def main():
    passed = failed = 0
    for test in TESTS:
        name = test.__name__[2:]
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        report = Report(name)
        use_report(report)
        try:
            test()
        except Exception as e:  # noqa: BLE001 - a broken test is a failed one
            report.check("runs to its end", False, f"{type(e).__name__}: {e}")
        print("\n".join(report.lines), flush=True)
        passed, failed = passed + report.passed, failed + report.failed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
