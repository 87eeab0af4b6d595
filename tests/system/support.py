"""Easel, a provider that fails on request, and HTTP without manners: what the tests stand on.

Standard library only: tests/run uses it too.
"""
import ctypes
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD") or "build")
EASEL = os.path.join(BUILD, "easel")
SIMULATOR = os.path.join(ROOT, "tests/provider-sim")
# The sanitizers cost time; so does a machine that does other things.
SLOW = 4 if "san" in os.path.basename(BUILD) else 1

sys.path.insert(0, SIMULATOR)


# ---- processes ----

class Process:
    """A row of /proc.  Numbers are given out anew, within minutes when many tests run: the start makes it the same process."""

    def __init__(self, pid):
        self.pid = pid
        with open(f"/proc/{pid}/stat", errors="replace") as f:
            stat = f.read()
        self.name = stat[stat.index("(") + 1:stat.rindex(")")]
        rest = stat[stat.rindex(")") + 2:].split()
        self.state, self.parent, self.started = rest[0], int(rest[1]), int(rest[19])
        self.command = self.read("cmdline").decode(errors="replace").replace("\0", " ").strip()

    def read(self, what):
        try:
            with open(f"/proc/{self.pid}/{what}", "rb") as f:
                return f.read()
        except OSError:
            return b""

    def __repr__(self):
        return f"{self.pid} {self.name} {self.state} ({self.command})"


def processes():
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found.append(Process(int(entry)))
            except (OSError, ValueError):
                pass  # it ended
    return found


def children(pid):
    return [p for p in processes() if p.parent == pid]


def descendants(pid):
    """Of pid, without it, parents before their children; those that have ended are left out."""
    by_parent, found = {}, []
    for p in processes():
        by_parent.setdefault(p.parent, []).append(p)
    queue = [pid]
    while queue:
        below = by_parent.get(queue.pop(0), [])
        found += [p for p in below if p.state not in "ZX"]
        queue += [p.pid for p in below]
    return found


def alive(process):
    """Of a Process whether that one lives, of a number whether any does that has it now."""
    try:
        now = Process(getattr(process, "pid", process))
    except (OSError, ValueError):
        return False
    return now.state not in "ZX" and now.started == getattr(process, "started", now.started)


def adopt_orphans():
    """Whatever is orphaned below this process becomes its child, so that it can be found."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def wait_until(condition, seconds=10, what="the condition"):
    """The condition's first true value.  Raises AssertionError after so many seconds (times SLOW)."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true within {seconds * SLOW} s"
        time.sleep(0.02)


# ---- TOML ----

def toml(config):
    """A configuration file from nested dictionaries: {"server": {"listen": …}, "models": {"a/b": {…}}}."""
    lines = []

    def table(path, value):
        plain = {k: v for k, v in value.items() if not isinstance(v, dict)}
        if plain or not value:
            lines.append("[" + ".".join(json.dumps(p) for p in path) + "]")
            lines.extend(f"{json.dumps(k)} = {json.dumps(v, ensure_ascii=False)}"
                         for k, v in plain.items())
        for k, v in value.items():
            if isinstance(v, dict):
                table(path + [k], v)

    for name, value in config.items():
        table([name], value)
    return "\n".join(lines) + "\n"


def merge(base, over):
    """base with over laid on top, table by table."""
    out = dict(base)
    for k, v in over.items():
        out[k] = merge(out[k], v) if isinstance(v, dict) and isinstance(out.get(k), dict) else v
    return out


# ---- HTTP ----

class Answer:
    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    def header(self, name):
        return self.headers.get(name)

    def __repr__(self):
        return f"{self.status} {dict(self.headers.items())} {self.body[:2000]!r} ({self.seconds:.2f} s)"


def request(url, method, path, body=None, headers=(), timeout=60):
    """One exchange on a connection of its own.  headers: pairs or a dictionary."""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout * SLOW)
    start = time.monotonic()
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        given = {name.lower() for name, _ in headers}
        if not given & {"content-length", "transfer-encoding"} and (
                body is not None or method in ("POST", "PUT", "PATCH")):
            headers.append(("Content-Length", str(len(body or b""))))
        for name, value in headers:
            connection.putheader(name, value)
        try:
            connection.endheaders(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before it had read all: the answer says
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read(), time.monotonic() - start)
    finally:
        connection.close()


def raw(url, data, timeout=30):
    """Sends bytes as they are, answers all that comes back until the end of the connection."""
    where = urllib.parse.urlsplit(url)
    out = b""
    with socket.create_connection((where.hostname, where.port), timeout=timeout * SLOW) as s:
        try:
            s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            while piece := s.recv(65536):
                out += piece
        except (ConnectionResetError, TimeoutError):
            pass
    return out


# ---- Easel ----

# No word of the caller's environment reaches it, but for what the sanitizers need.
def clean_environment(env=None):
    keep = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS")
    return {**{k: os.environ[k] for k in keep if k in os.environ}, "HOME": "/nonexistent",
            "LANG": "C.UTF-8", **(env or {})}


# A test asks for more in a minute than a person does, and does not wait for what outlives its request.
BASE = {"server": {"listen": "127.0.0.1:0", "state_dir": "var"}, "limits": {"requests_per_minute": 0},
        "deadline": {"grace": "2s"}}


class Easel:
    """`easel serve` with a configuration and a state of its own, and a key for it."""

    def __init__(self, config=None, env=None, start=True, command=(EASEL,)):
        # A short name: the path of a Unix socket has room for 108 bytes.
        self.folder = tempfile.mkdtemp(prefix="easel-")
        self.command = list(command)  # what stands before "serve"
        self.config = merge(BASE, config or {})
        self.env = clean_environment(env)
        self.file = os.path.join(self.folder, "easel.toml")
        self.state = os.path.join(self.folder, "var")
        self.key_file = os.path.join(self.folder, "key")
        self.log_file = os.path.join(self.folder, "log")
        self.process = self.url = self.key = None
        self.write_config()
        if start:
            try:
                self.start()
                self.make_key()
            except BaseException:
                print(self.log()[-4000:], file=sys.stderr)
                self.kill()
                raise

    def write_config(self, config=None):
        self.config = merge(self.config, config or {})
        with open(self.file, "w") as f:
            f.write(toml(self.config))

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "serve", "--config", self.file], cwd=self.folder, env=self.env,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        line, end = b"", time.monotonic() + 30 * SLOW
        while not line.endswith(b"\n"):
            ready = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]
            piece = os.read(self.process.stdout.fileno(), 1) if ready else b""
            assert piece, f"easel serve did not become ready: {self.log()[-3000:]}"
            line += piece
        words = line.decode().split()
        assert len(words) == 2 and words[0] == "ready", f"not the ready line: {line!r}"
        self.url = words[1].rstrip("/")

    def make_key(self):
        self.key = self.run("keys", "create", "--name", "test").stdout.strip()
        with open(os.open(self.key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(self.key)

    def run(self, *arguments, code=0, env=None, stdin=None, config=True):
        """An easel command on this installation, ended with that exit code."""
        done = subprocess.run(
            [*self.command, *arguments, *(["--config", self.file] if config else [])], cwd=self.folder,
            env={**self.env, **(env or {})}, input=stdin, capture_output=True, text=True,
            timeout=30 * SLOW)
        assert code is None or done.returncode == code, \
            f"easel {' '.join(arguments)} ended with {done.returncode}, not {code}\n" \
            f"stdout: {done.stdout}\nstderr: {done.stderr}"
        return done

    # ---- requests ----

    def request(self, method, path, body=None, headers=(), key=True, timeout=60):
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        if key:
            headers.append(("Authorization", f"Bearer {self.key if key is True else key}"))
        return request(self.url, method, path, body, headers, timeout)

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, value, headers=(), **more):
        headers = {"Content-Type": "application/json", **dict(headers)}
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.request("POST", path, body, headers, **more)

    def generate(self, headers=(), timeout=60, path="/v1/images/generations", **members):
        """A request for a picture; a member that is None is left out."""
        value = {"prompt": "a panda", **members}
        return self.post(path, {k: v for k, v in value.items() if v is not None}, headers, timeout=timeout)

    # ---- what it leaves and what it is made of ----

    def log(self):
        try:
            with open(self.log_file, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log_lines(self, request_id):
        return [line for line in self.log().splitlines() if line.endswith(f"request={request_id}")]

    def files(self):
        """Names of the stored pictures and of anything else in their folder."""
        folder = os.path.join(self.state, "files")
        return {name for _, _, names in os.walk(folder) for name in names}

    def stored(self, url):
        """The bytes of a stored picture by its URL, as the web server hands them out."""
        answer = request(self.url, "GET", urllib.parse.urlsplit(url).path)
        assert answer.status == 200, answer
        return answer.body

    def tree(self):
        return descendants(self.process.pid)

    def named(self, word):
        """Processes of the installation whose command line holds the word, or is the program "handlers/NAME"."""
        exact = word.startswith("handlers/") and word != "handlers/"
        return [p for p in self.tree() if (p.command.endswith(word) if exact else word in p.command)]

    # ---- its end ----

    def stop(self):
        """SIGTERM; it must end with 0, in time, and leave nothing."""
        if not self.process:
            return
        tree, process = self.tree(), self.process
        try:
            early = process.poll()
            assert early is None, f"easel serve had ended with {early}: {self.log()[-3000:]}"
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=30 * SLOW)
            assert code == 0, f"easel serve ended with {code}: {self.log()[-3000:]}"
            left = [p for p in tree if alive(p)]
            assert not left, f"easel serve left behind: {left}"
        finally:
            self.kill(tree)

    def kill(self, tree=()):
        """Whatever is left of it, and its folder."""
        if self.process:
            tree = [*tree, *self.tree()]
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None
        for p in tree:
            if alive(p):
                try:
                    os.kill(p.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        shutil.rmtree(self.folder, ignore_errors=True)


class Request(threading.Thread):
    """A request for a picture that is waited for elsewhere; its answer, or how it broke."""

    def __init__(self, easel, path="/v1/images/generations", **members):
        super().__init__(daemon=True)
        self.easel, self.path, self.members, self.answer = easel, path, members, None
        self.start()

    def run(self):
        try:
            self.answer = self.easel.generate(path=self.path, timeout=100, **self.members)
        except (OSError, http.client.HTTPException) as error:
            self.answer = error

    def end(self):
        self.join(120 * SLOW)
        assert self.answer is not None, "no answer came"
        return self.answer


def send_in_two(easel, path, members):
    """The connection of a JSON request whose body came later than its head: lighttpd tells for certain when it is closed.

    It does not look after a client whose whole request was there when it began to read it.
    """
    body = json.dumps(members).encode()
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(easel.url).netloc, timeout=60 * SLOW)
    connection.putrequest("POST", path)
    for name, value in (("Authorization", f"Bearer {easel.key}"), ("Content-Type", "application/json"),
                        ("Content-Length", str(len(body)))):
        connection.putheader(name, value)
    connection.endheaders()
    time.sleep(0.2 * SLOW)
    connection.send(body)
    return connection


# ---- what every error must be ----

PARTIES = {"client", "web-server", "gateway-config", "gateway", "provider-credential", "provider-policy",
           "provider", "network"}
RETRIED = {"rate_limited", "overloaded", "shutting_down", "handler_down", "store_unavailable", "upstream_rate_limited",
           "upstream_dns_failed", "upstream_connect_failed"}
REQUEST_ID = r"^req_[0-9a-hjkmnp-tv-z]{26}$"


def expect_error(answer, status, code, param=None, party=None, stage=None, billed=False):
    """The answer is an error object with these members.  Answers the object."""
    assert answer.status == status, answer
    assert answer.header("content-type").startswith("application/json"), answer
    error = answer.error
    assert error["code"] == code, answer
    assert error["param"] == param, answer
    assert isinstance(error["message"], str) and error["message"], answer
    assert not re.search(r"\{(param|expected|found|about|provider|status|said|cause|cause_hint)\}", error["message"]), \
        f"a place was not filled: {error['message']}"
    assert isinstance(error["type"], str) and error["type"], answer
    assert error["request_id"] == answer.header("x-request-id"), answer
    assert error["party"] in PARTIES, answer
    assert error["may_have_been_billed"] is billed, answer
    if party:
        assert error["party"] == party, answer
    if stage:
        assert error["stage"] == stage, answer
    retry = answer.header("x-should-retry")
    if status == 401:
        assert answer.header("www-authenticate").startswith("Bearer"), answer
    if status == 429 or status >= 500:
        assert (retry != "false") == (code in RETRIED and not billed), answer
    return error


def expect_one_name(url, path):
    """The picture at that path is there by the name that was handed out, its letters encoded or its slashes doubled."""
    name = path.removeprefix("/files/")
    for same in (path, "/" + path, "/files//" + name, f"/files/%{ord(name[0]):02x}{name[1:]}", path + "?v=/../1"):
        assert request(url, "GET", same).status == 200, same
    for dotted in ("/v1/.." + path, "/." + path, "/files/./" + name, "/files/%2e/" + name, "/files/x/%2E%2e/" + name,
                   "/files/.%2e" + path, "/v1/..%2Ffiles/" + name, "/v1%2f.." + path, "/files/../files//" + name):
        for method in ("GET", "HEAD"):
            answer = request(url, method, dotted)
            assert answer.status == 400, f"{dotted}: {answer}"
        expect_error(request(url, "GET", dotted), 400, "bad_path")
    expect_error(request(url, "GET", "/files%2F" + name), 401, "missing_bearer_token")


# ---- the provider ----

SIM_KEY = "sk-sim-0123456789abcdefghij"
MODELSCOPE_KEY = "ms-sim-01234567-89ab-cdef-0123"
GPT = ("gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5", "gpt-image-2")
DALLE = ("dall-e-2", "dall-e-3")
RELAYS = ("relay-data-url", "relay-url", "relay-url-data", "relay-escaped", "relay-nulls", "relay-jpeg",
          "relay-no-created")


# What the tests of both SDKs provoke in chat.
CHAT_FAULTS = ("gpt-4o-mini@status=401", "gpt-4o-mini@truncate-chunked,after=0.5")


def start_sim(*arguments, **more):
    """Call it in the main thread: the simulator ends with the thread that started it."""
    from sim import client
    return client.start(*arguments, **more)


def modelscope(sim, **more):
    """The provider that answers with tasks."""
    return {"dialect": "modelscope", "base_url": sim.base_url + "/modelscope/v1", "api_key": MODELSCOPE_KEY,
            "connect_timeout": "2s", **more}


NOVELAI_TOKEN = "pst-sim-0123456789abcdefghijklmn"


def novelai(sim, **more):
    """The provider with a login, archives and a lock."""
    return {"dialect": "novelai", "base_url": sim.base_url + "/novelai", "connect_timeout": "2s",
            **({} if "email" in more else {"token": NOVELAI_TOKEN}), **more}


GROK_TOKEN = "sso-sim-0123456789abcdef"


def grok(sim, fault="", **more):
    """The provider with several doors; a fault of the WebSocket stands in its address."""
    at = f"/@{fault}" if fault else ""
    return {"dialect": "grok", "base_url": sim.base_url + "/grok", "token": GROK_TOKEN, "connect_timeout": "2s",
            "ws_url": sim.base_url.replace("http", "ws", 1) + f"{at}/grok/ws/imagine/listen",
            "assets_url": sim.base_url + "/grok/assets", **more}


def sim_config(sim, faults=(), base_url=None):
    """A configuration whose provider is the simulator.  A fault is a model: "gpt-image-1@truncate"."""
    models = [*GPT, *DALLE, *RELAYS, "relay-404-once", "relay-error-200", "relay-empty", "relay-new-api",
              "relay-async", *(f if "@" in f else f"gpt-image-1@{f}" for f in faults)]
    return {
        "providers": {"sim": {"dialect": "openai", "base_url": base_url or sim.base_url + "/v1",
                              "api_key": SIM_KEY, "connect_timeout": "2s"},
                      "modelscope": modelscope(sim), "novelai": novelai(sim), "grok": grok(sim)},
        "models": {**{m: {"provider": "sim"} for m in models},
                   "Qwen/Qwen-Image": {"provider": "modelscope", "aliases": ["qwen-image"]},
                   "studio/model": {"provider": "sim", "upstream_model": "relay-url", "aliases": ["studio-model"]},
                   "MAILAND/majicflus_v1": {"provider": "modelscope"},
                   "nai-diffusion-4-5-full": {"provider": "novelai", "aliases": ["nai-v4.5"]},
                   "grok-imagine-1.0": {"provider": "grok"},
                   **{m: {"provider": "sim", "type": "chat"} for m in ("gpt-4o-mini", *CHAT_FAULTS)}},
        "defaults": {"image_model": "gpt-image-1"},
    }


class Watch:
    """What the simulator is sent from here on."""

    def __init__(self, sim):
        self.sim, self.since = sim, sim.stats()["requests"]

    def requests(self, kind=None):
        return self.sim.requests(self.since, kind)

    def one(self, kind="generate"):
        found = self.requests(kind)
        assert len(found) == 1, found
        return found[0]

# What the tests of both SDKs provoke.
SDK_FAULTS = ("code=moderation_blocked", "status=401", "status=429", "status=500", "code=insufficient_quota",
              "truncate", "delay=20", "sse-error", "sse-cut", "gap=0.5")
