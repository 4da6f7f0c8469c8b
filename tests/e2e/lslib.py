"""Start a real Label Studio on loopback and talk to its API (standard library only); e2e.py has the checks."""
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "http"))
from harness import free_port  # noqa: E402, F401

LS_VERSION = "1.23.2"
ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "Passw0rd-for-tests"
LEGACY_TOKEN = "e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0"  # 40 chars, as Label Studio's own


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *a, **k):
        return None


def http(method, url, body=None, headers=None, timeout=120, opener=None):
    """One request. Returns (status, parsed JSON or text). HTTP errors are returned, not raised."""
    headers = dict(headers or {})
    data = None
    if body is not None:
        if isinstance(body, (bytes, str)):
            data = body.encode() if isinstance(body, str) else body
        else:
            data = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
    req = urllib.request.Request(url, data=data, headers=headers, method=method)
    op = opener or urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with op.open(req, timeout=timeout) as r:
            status, raw = r.status, r.read()
    except urllib.error.HTTPError as e:
        status, raw = e.code, e.read()
    text = raw.decode("utf-8", "replace")
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Process:
    """A child in its own process group, stopped by that group's id."""

    def __init__(self, cmd, env, log, cwd=None, shell=False):
        self.log = log
        self._fh = open(log, "ab")
        self.p = subprocess.Popen(cmd, env=env, cwd=cwd, shell=shell, stdin=subprocess.DEVNULL,
                                  stdout=self._fh, stderr=subprocess.STDOUT, start_new_session=True)

    def alive(self):
        return self.p.poll() is None

    def stop(self, grace=8):
        """SIGTERM to the whole group, time for all of it to end by itself, SIGKILL for what is left."""
        for sig in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.p.pid, sig)
            except ProcessLookupError:
                break
            end = time.time() + grace
            while self._group_lives() and time.time() < end:
                time.sleep(0.05)
            if not self._group_lives():
                break
        self._fh.close()

    def _group_lives(self):
        """True while the group has a process that is no zombie."""
        self.p.poll()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    state, _, group = f.read().rsplit(")", 1)[1].split()[:3]
            except (OSError, ValueError):
                continue
            if int(group) == self.p.pid and state != "Z":
                return True
        return False

    def tail(self, n=30):
        try:
            with open(self.log, errors="replace") as f:
                return "".join(f.readlines()[-n:])
        except OSError:
            return ""


class LabelStudio:
    """A private Label Studio: SQLite, own data directory, own port, stopped by stop()."""

    def __init__(self, executable, port=None, workdir=None, legacy=True, template_dir=None, env=None):
        self.exe = executable
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.own_dir = workdir is None
        self.dir = workdir or tempfile.mkdtemp(prefix="ls-e2e-")
        self.legacy = legacy
        self.template_dir = template_dir
        self.extra_env = env or {}
        # A file of NAME=VALUE lines: the environment that makes Label Studio's user, token and
        # settings, in place of ours (E2E_LS_ENV).
        self.env_file = os.environ.get("E2E_LS_ENV")
        self.proc = None
        self.log = os.path.join(self.dir, "label-studio.log")

    def start(self, timeout=240):
        data = os.path.join(self.dir, "data")
        template = None
        if self.template_dir and not self.env_file:
            template = os.path.join(self.template_dir, f"data-{LS_VERSION}-{'legacy' if self.legacy else 'pat'}")
        if template and os.path.isdir(template):
            shutil.copytree(template, data)
        os.makedirs(data, exist_ok=True)
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("LABEL_STUDIO_", "HEARTEX_")) and k not in ("HOST", "PORT", "USERNAME", "PASSWORD", "CI", "DEBUG")}  # it reads all of these, CI="" to its ruin
        env.update({
            "ML_BLOCK_LOCAL_IP": "false",       # else 127.0.0.1 is refused as a backend address
            "SSRF_PROTECTION_ENABLED": "false", # else webhooks to 127.0.0.1 are refused
            "COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "PYTHONUNBUFFERED": "1",
            "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
        })
        env.update(self.extra_env)
        cmd = [self.exe, "start", "--no-browser", "--data-dir", data, "--internal-host", "127.0.0.1",
               "--port", str(self.port), "--log-level", os.environ.get("LS_LOG_LEVEL", "INFO")]
        if self.env_file:
            for name in ("ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED"):
                del env[name]
            with open(self.env_file) as f:
                env.update(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
        else:
            cmd += ["--username", ADMIN_EMAIL, "--password", ADMIN_PASSWORD, "--user-token", LEGACY_TOKEN]
            if self.legacy:
                cmd.append("--enable-legacy-api-token")
        self.proc = Process(cmd, env, self.log, cwd=self.dir)
        if self.env_file:       # its first start makes the database, too
            timeout *= 3
        end = time.time() + timeout
        while time.time() < end:
            if not self.proc.alive():
                raise RuntimeError("Label Studio exited at start:\n" + self.proc.tail())
            try:
                if http("GET", self.url + "/health", timeout=3)[0] == 200:
                    break
            except OSError:
                time.sleep(0.3)
        else:
            raise RuntimeError("Label Studio did not answer in time:\n" + self.proc.tail())
        if template and not os.path.isdir(template):
            tmp = template + ".tmp%d" % os.getpid()
            try:
                shutil.copytree(data, tmp)
                os.rename(tmp, template)
            except OSError:
                shutil.rmtree(tmp, ignore_errors=True)
        return self

    def stop(self):
        if self.proc:
            self.proc.stop()
            self.proc = None
        if self.own_dir and not os.environ.get("E2E_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def session(self):
        """Log in with the web form; returns (opener, csrf token)."""
        jar = CookieJar()
        op = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar), NoRedirect())
        http("GET", self.url + "/user/login/", opener=op)
        tok = next((c.value for c in jar if c.name == "csrftoken"), "")
        form = urllib.parse.urlencode({"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD, "persist_session": "on",
                                       "csrfmiddlewaretoken": tok})
        st, out = http("POST", self.url + "/user/login/", form,
                       {"Content-Type": "application/x-www-form-urlencoded", "Referer": self.url + "/user/login/"}, opener=op)
        if st != 302:
            raise RuntimeError(f"login failed: {st}")
        tok = next((c.value for c in jar if c.name == "csrftoken"), tok)
        return op, tok

    def personal_access_token(self):
        """A personal access token (JWT refresh token) for the administrator, made with the web session."""
        op, tok = self.session()
        hdr = {"X-CSRFToken": tok, "Referer": self.url}
        st, out = http("POST", self.url + "/api/token/", {}, hdr, opener=op)
        if st != 201:
            raise RuntimeError(f"no personal access token: {st} {out}")
        return out["token"]

    def api(self, token=None):
        return Api(self.url, token or (LEGACY_TOKEN if self.legacy else self.personal_access_token()))


class Api:
    """Client for Label Studio's API; accepts a legacy token or a personal access token."""

    def __init__(self, url, token):
        self.url = url
        self.token = token
        self.access = None
        self.access_at = 0.0

    def header(self):
        if self.token.count(".") != 2:
            return "Token " + self.token
        if not self.access or time.time() - self.access_at > 240:
            st, out = http("POST", self.url + "/api/token/refresh/", {"refresh": self.token})
            if st != 200:
                raise RuntimeError(f"token refresh: {st} {out}")
            self.access, self.access_at = out["access"], time.time()
        return "Bearer " + self.access

    def raw(self, method, path, body=None, timeout=150):
        return http(method, self.url + path, body, {"Authorization": self.header()}, timeout)

    def ok(self, method, path, body=None, timeout=150):
        st, out = self.raw(method, path, body, timeout)
        if st >= 300:
            raise RuntimeError(f"{method} {path}: {st} {str(out)[:600]}")
        return out

    # ---- what the checks need -------------------------------------------------
    def project(self, title, config, **kw):
        return self.ok("POST", "/api/projects/", dict(title=title, label_config=config, **kw))["id"]

    def patch_project(self, pid, **kw):
        return self.ok("PATCH", f"/api/projects/{pid}/", kw)

    def import_tasks(self, pid, datas):
        out = self.ok("POST", f"/api/projects/{pid}/import?return_task_ids=true", [{"data": d} for d in datas])
        ids = out.get("task_ids")
        return ids or [t["id"] for t in self.tasks(pid)]

    def tasks(self, pid, fields_all=False):
        """All tasks of a project, page after page (page_size 100)."""
        res, page = [], 1
        while True:
            st, out = self.raw("GET", f"/api/tasks?project={pid}&page={page}&page_size=100" + ("&fields=all" if fields_all else ""))
            if st == 404:
                return res
            if st != 200:
                raise RuntimeError(f"tasks: {st} {out}")
            res += out["tasks"]
            if len(res) >= out["total"] or not out["tasks"]:
                return res
            page += 1

    def task(self, tid):
        return self.ok("GET", f"/api/tasks/{tid}/")

    def predictions(self, pid):
        return self.ok("GET", f"/api/predictions/?project={pid}")

    def annotate(self, tid, result, **kw):
        return self.ok("POST", f"/api/tasks/{tid}/annotations/", dict(result=result, lead_time=1.5, **kw))

    def connect(self, pid, url, user=None, password=None, interactive=False, title="prelabel", **kw):
        body = dict(project=pid, url=url, title=title, is_interactive=interactive, **kw)
        if user:
            body.update(auth_method="BASIC_AUTH", basic_auth_user=user, basic_auth_pass=password)
        return self.raw("POST", "/api/ml/", body)

    def backend(self, mid):
        return self.ok("GET", f"/api/ml/{mid}")

    def retrieve(self, pid, ids=None):
        sel = {"all": False, "included": ids} if ids else {"all": True, "excluded": []}
        return self.ok("POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={pid}",
                       {"selectedItems": sel, "filters": {"conjunction": "and", "items": []}, "ordering": []})

    def action(self, pid, action, ids):
        return self.ok("POST", f"/api/dm/actions?id={action}&project={pid}",
                       {"selectedItems": {"all": False, "included": ids}, "project": pid})

    def webhooks(self, pid):
        return self.ok("GET", f"/api/webhooks/?project={pid}")


def choice(from_name, to_name, values):
    return [{"from_name": from_name, "to_name": to_name, "type": "choices", "value": {"choices": list(values)}}]


class Report:
    """One line per check, closing count, exit status."""

    def __init__(self):
        self.passed = self.failed = 0
        self.t0 = time.time()

    def check(self, name, good, detail=""):
        good = bool(good)
        self.passed += good
        self.failed += not good
        d = str(detail).replace("\n", " ")
        print(f"{'ok  ' if good else 'FAIL'} {name}" + (f"  [{d[:300]}]" if d and not good else ""), flush=True)
        return good

    def attempt(self, name, fn):
        """Run fn() as one check: its return value (or exception) decides."""
        try:
            r = fn()
        except Exception as e:  # a broken backend must fail the check, not the run
            return self.check(name, False, f"{type(e).__name__}: {e}")
        if isinstance(r, tuple):
            return self.check(name, *r)
        return self.check(name, r)

    def close(self):
        print(f"# {time.time() - self.t0:.0f} s\n{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def wait_for(fn, timeout=30, step=0.5):
    """Call fn until it is truthy; returns its last value (falsy on timeout)."""
    end = time.time() + timeout
    while True:
        r = fn()
        if r or time.time() > end:
            return r
        time.sleep(step)


def wait_port(url, timeout=30, auth=None):
    """True when <url>/health answers at all."""
    def up():
        try:
            http("GET", url.rstrip("/") + "/health", headers={"Authorization": auth} if auth else {}, timeout=3)
            return True
        except OSError:
            return False
    return wait_for(up, timeout, 0.2)
