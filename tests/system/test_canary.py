"""A secret in every place where one can stand, every endpoint, and then a search for all of them.

The story is told once for each store: everything is asked for, well and badly, providers throw keys back, processes are killed
and made to dump core.  A secret may be in the settings, in its own file, in the one answer that hands it out, and nowhere else.
"""
import base64
import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest

from canary import PART_BYTES, Canaries, Watcher, files_below, forms, is_core, secret
from sim import certs
from sim.pictures import Picture
from support import (EASEL, SLOW, Easel, alive, clean_environment, descendants, grok, merge, modelscope, novelai, raw, request,
                     sim_config, wait_until)

CORES = ("prlimit", "--core=unlimited:unlimited")  # as a machine whose operator wants cores
FAULTS = ("silence", "headers-then-silence", "reset-before", "reset-mid", "truncate", "not-json", "delay=2", "status=401")
NAI_EMAIL, NAI_PASSWORD = "user@example.com", "password123"  # an account that the simulator knows
OWN_KEYS = "webhook.key", "task-seal.key", "fingerprint.key"  # the installation's, each in its own file
PLACES = "answers", "cores", "log", "processes", "state", "store"


class Redis:
    """A redis-server on a port, with a user and a password, that writes down every command it gets."""

    def __init__(self, user, password):
        self.folder = tempfile.mkdtemp(prefix="easel-redis-")
        self.socket = f"{self.folder}/s"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        with open(os.open(f"{self.folder}/users.acl", os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"user default on nopass ~* &* +@all\nuser {user} on >{password} ~easel:* +@all\n")
        end = {"stdin": subprocess.DEVNULL, "preexec_fn": lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)}
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket, "--dir", self.folder,
             "--aclfile", f"{self.folder}/users.acl", "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, **end)
        wait_until(lambda: os.path.exists(self.socket), 20, "redis-server listens")
        with open(f"{self.folder}/monitor", "wb") as f:
            self.monitor = subprocess.Popen(["redis-cli", "-s", self.socket, "monitor"], stdout=f, stderr=subprocess.DEVNULL, **end)
        wait_until(lambda: os.path.getsize(f"{self.folder}/monitor"), 20, "redis-cli watches")
        self.url = f"redis://{user}:{password}@127.0.0.1:{self.port}/0"

    def blobs(self):
        """Every command that there was, and every write that is kept."""
        done = subprocess.run(["redis-cli", "-s", self.socket, "debug", "jmap"], capture_output=True)  # a word after the last
        assert done.returncode == 0
        for path, data in files_below(self.folder):
            if not path.endswith("users.acl"):
                yield path, data

    def stop(self):
        for process in (self.monitor, self.process):
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)


def account_secrets():
    """Every credential that has a place in the settings."""
    return Canaries(
        single=secret("sk-sim-"), openai_file=secret("sk-sim-"), openai_env=secret("sk-sim-"), modelscope=secret("ms-sim-"), chat=secret("sk-sim-"),
        novelai=secret("pst-sim-"), nai_email=NAI_EMAIL, nai_password=NAI_PASSWORD, grok=secret("sso-sim-"),
        xai=secret("xai-sim-"), nowhere=secret("sk-sim-"), proxied=secret("sk-sim-"), proxy_user=secret("proxy", 24),
        proxy_password=secret("", 24), socks_password=secret("", 24), redis_password=secret("", 32))


def settings(c, sim, image_ws):
    """The simulator with a secret in every place, each come by in another way."""
    own = {"dialect": "openai", "base_url": sim.base_url + "/v1", "connect_timeout": "2s"}
    base = sim_config(sim, FAULTS)
    del base["providers"]["sim"]["api_key"]
    return merge(base, {
        "providers": {
            "sim": {**own, "api_keys": ["file:secrets/openai.key", "${CANARY_OPENAI}"]},
            "modelscope": modelscope(sim, api_key="overridden"),
            "novelai": novelai(sim, token=c["novelai"]),
            "nai-login": novelai(sim, email="file:secrets/nai.email", password="${CANARY_NAI_PASSWORD}"),
            "grok": grok(sim, token="file:secrets/grok.token"),
            "xai": {"dialect": "grok", "base_url": sim.base_url + "/grok/v1", "api_key": "${CANARY_XAI}"},
            "single": {**own, "api_key": c["single"]},
            "writer": {**own, "api_key": c["chat"]},
            "nowhere": {**own, "base_url": "http://127.0.0.1:1/v1", "api_key": c["nowhere"]},
            "proxied": {**own, "base_url": "http://no-such-host.invalid/v1", "api_key": c["proxied"], "proxy": "file:secrets/proxy.url"},
            "socks": {**own, "api_key": c["proxied"], "proxy": f"socks5h://{c['proxy_user']}:{c['socks_password']}@127.0.0.1:1"}},
        "models": {**{f"gpt-image-1@{f}": {"provider": "single"} for f in FAULTS},
                   "echo": {"provider": "single", "upstream_model": "gpt-image-1"},
                   "hosted": {"provider": "single", "upstream_model": "relay-url"}, "nai-diffusion-3": {"provider": "nai-login"}, "grok-official": {"provider": "xai", "upstream_model": "grok-imagine-image"},
                   "gpt-image-2": {"provider": "nowhere"}, "gpt-image-1-mini": {"provider": "proxied"},
                   "gpt-image-1.5": {"provider": "socks"}, "gpt-4o-mini": {"provider": "writer"}},
        "log": {"level": "debug", "prompts": "full"}, "image": {"image_ws": image_ws},
        "deadline": {"grace": "3s"}, "server": {"trusted_proxies": ["127.0.0.0/8"]}})


class Story:
    """One installation, everything that was said to it and by it."""

    def __init__(self, sim, store):
        self.sim, self.c, self.answers, self.searched = sim, account_secrets(), [], {}
        self.redis = Redis("easel", self.c["redis_password"]) if store == "redis" else None
        self.easel = None
        self.told = {}

    def start(self):
        c = self.c
        config = settings(c, self.sim, image_ws=self.redis is None)
        if self.redis:
            config["store"] = {"url": "file:secrets/store.url"}
        self.easel = Easel(config, start=False, command=(*CORES, EASEL), env={
            "CANARY_OPENAI": c["openai_env"], "CANARY_NAI_PASSWORD": c["nai_password"], "CANARY_XAI": c["xai"],
            "EASEL_PROVIDERS_MODELSCOPE_API_KEY": c["modelscope"]})
        self.folder = f"{self.easel.folder}/secrets"
        os.mkdir(self.folder, 0o700)
        for name, value in (("openai.key", c["openai_file"]), ("nai.email", c["nai_email"]), ("grok.token", c["grok"] + "\n"),
                            ("proxy.url", f"http://{c['proxy_user']}:{c['proxy_password']}@127.0.0.1:{self.sim.port}\n"),
                            ("store.url", self.redis.url if self.redis else "")):
            with open(f"{self.folder}/{name}", "w") as f:
                f.write(value)
        self.begin()
        self.key = c.add("key", self.cli("keys", "create", "--name", "canary", but=["key"], learn="key"))
        self.easel.key = self.key
        for name in OWN_KEYS:
            wait_until(lambda: os.path.exists(f"{self.easel.state}/{name}"), 10, name)
            with open(f"{self.easel.state}/{name}", "rb") as f:
                c.add(name, f.read())

    def begin(self):
        self.easel.start()
        self.watcher = Watcher(self.easel.process)

    def cli(self, *arguments, but=(), learn=None, **more):
        done = self.easel.run(*arguments, **more)
        if learn:
            self.c.add(learn, done.stdout.strip())
        self.keep(f"easel {arguments[0]} {arguments[1] if len(arguments) > 1 else ''}", done.stdout + done.stderr, but)
        return done.stdout.strip()

    def keep(self, label, data, but=()):
        self.answers.append((label, data if isinstance(data, bytes) else data.encode(), but))

    def said(self, label, answer, status=None, but=()):
        """The answer, kept; it must have that status where one is given."""
        assert status is None or answer.status == status, (label, answer)
        self.keep(label, str(answer.headers).encode() + b"\n" + answer.body, but)
        return answer

    def ask(self, method, path, value=None, status=None, but=(), headers=(), **more):
        if value is not None:
            headers = {"Content-Type": "application/json", **dict(headers)}
            value = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.said(f"{method} {path.partition('?')[0]}", self.easel.request(method, path, value, headers, **more), status, but)

    def generate(self, model="gpt-image-1", status=None, headers=(), **members):
        return self.ask("POST", "/v1/images/generations", {"prompt": "a panda", "model": model, **members}, status, headers=headers)

    def ended(self, task_id, **more):
        return wait_until(lambda: (lambda a: a if a.json["status"] in ("SUCCESS", "FAILURE", "REVOKED") else None)(
            self.ask("GET", f"/v1/tasks/{task_id}", status=200, **more)), 60, "the task ends")

    def learn_from_the_provider(self):
        """Whatever credential a request bore: tokens that logins gave, access keys made of passwords."""
        for r in self.sim.requests():
            authorization = r["headers"].get("authorization", "").removeprefix("Bearer ")
            if len(authorization) > 20:
                self.c.add("sent", authorization)
            key = r["body"].get("key") if isinstance(r["body"], dict) else None
            if r["kind"] == "login" and key:
                self.c.add("access_key", key)

    # ---- the search ----

    def search(self, when):
        """Adds what is found to what was found already."""
        self.learn_from_the_provider()
        e = self.easel
        own = {f"{e.state}/{n}": [n] for n in OWN_KEYS}
        found = self.told
        for path, data in files_below(e.folder):
            if path in (e.file, e.log_file) or path.startswith(self.folder + "/"):
                continue
            found.setdefault("state", []).extend((when, path, *f) for f in self.c.found(data, own.get(path, [])))
            if is_core(data):
                found.setdefault("cores", []).append((when, path))
            self.searched["state"] = self.searched.get("state", 0) + 1
        found.setdefault("log", []).extend((when, *f) for f in self.c.found(e.log().encode()))
        for label, data, but in self.answers:
            found.setdefault("answers", []).extend((label, *f) for f in self.c.found(data, but))
        self.searched["answers"] = self.searched.get("answers", 0) + len(self.answers)
        self.answers.clear()
        for name, what, data in set(self.watcher.blobs):
            found.setdefault("processes", []).extend((when, name, what, *f) for f in self.c.found(data))
        for pid, (name, limits) in self.watcher.limits.items():
            row = [line for line in limits.decode().splitlines() if line.startswith("Max core file size")]
            if row and row[0].split()[4:6] != ["0", "0"]:
                found.setdefault("cores", []).append((when, name, row[0]))
        for path, data in self.redis.blobs() if self.redis else files_below(e.state):
            if self.redis or os.path.basename(path).startswith("easel.db"):
                found.setdefault("store", []).extend((when, path, *f) for f in self.c.found(data))
                self.searched["store"] = self.searched.get("store", 0) + data.count(b"task_")


# ---- what is done ----

def picture_data():
    return Picture(7, 512, 512).render()


def multipart(picture, **fields):
    parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    parts.append(b'--b\r\nContent-Disposition: form-data; name="image"; filename="p.png"\r\n\r\n' + picture + b"\r\n--b--\r\n")
    return b"".join(parts)


def every_endpoint(s):
    """All goes well."""
    picture = picture_data()
    data_url = "data:image/png;base64," + base64.b64encode(picture).decode()
    for model in ("gpt-image-1", "relay-url", "Qwen/Qwen-Image", "nai-diffusion-4-5-full", "nai-diffusion-3", "grok-imagine-1.0",
                  "grok-official"):
        s.generate(model, 200)
        s.generate(model, 200, response_format="url", stream=True)
    s.ask("POST", "/v1/images/edits", multipart(picture, prompt="at night", model="gpt-image-1"), 200,
          headers={"Content-Type": "multipart/form-data; boundary=b"})
    s.ask("POST", "/v1/images/edits", {"prompt": "at night", "model": "gpt-image-1", "images": [{"image_url": data_url}]}, 200)
    listed = s.ask("GET", "/v1/images?limit=5", status=200).json["data"]
    s.ask("GET", f"/v1/images/{listed[0]['id']}", status=200)
    s.ask("DELETE", f"/v1/images/{listed[0]['id']}", status=200)
    for stream in (False, True):
        words = [{"role": "user", "content": "a panda"}]
        s.ask("POST", "/v1/chat/completions", {"model": "gpt-image-1", "messages": words, "stream": stream}, 200)
        s.ask("POST", "/v1/chat/completions", {"model": "gpt-4o-mini", "messages": words, "stream": stream}, 200)
    for path in ("/v1/models", "/v1/models/gpt-image-1", "/login", "/healthz", "/readyz", "/v1/tasks", "/queue_status"):
        s.ask("GET", path, status=200)
    for path in ("/metrics", "/v1/requests", "/v1/nothing", "/", "/files/none.png"):
        s.ask("GET", path)


def logins(s):
    c, email = s.c, "canary.user@example.org"
    password, changed = c.add("password", secret("", 24)), c.add("changed_password", secret("", 24))
    s.cli("users", "add", email, stdin=password + "\n")

    def log_in(word, status, but=()):
        return s.ask("POST", "/login", {"email": email, "password": word}, status, but, key=False)

    for _ in range(2):
        answer = s.easel.post("/login", {"email": email, "password": password}, key=False)
        token = c.add("session", answer.json["token"])
        s.said("POST /login", answer, 200, but=["session"])
    s.ask("GET", "/login", status=200, key=token)
    s.generate("gpt-image-1", 200, headers={})
    assert s.easel.get("/v1/models", key=token).status == 200
    s.ask("DELETE", "/login", status=200, key=token)
    s.ask("GET", "/v1/models", key=token)
    log_in(c.add("wrong_password", secret("", 24)), 401)
    s.ask("POST", "/login", {"email": c.add("wrong_field", secret("", 30)), "password": password}, 401, key=False)
    s.ask("POST", "/login", {"email": email, "password": {"a": password}}, 400, key=False)
    s.ask("POST", "/login", {"email": email, "password": password * 200}, 400, key=False)
    s.ask("POST", "/login", b'{"email": "a", "password": "' + password.encode() + b'"]}', 400, key=False)
    s.ask("POST", "/login?password=" + password, {"email": email, "password": password, "token": token}, 400, key=False)
    s.cli("users", "passwd", email, stdin=changed + "\n")
    s.ask("POST", "/login", {"provider": "novelai", "email": NAI_EMAIL, "password": NAI_PASSWORD}, 200)
    for password in (c.add("nai_wrong", secret("", 24)), NAI_PASSWORD):
        s.ask("POST", "/login", {"provider": "novelai", "email": c.add("nai_address", secret("", 20) + "@example.org"),
                                 "password": password}, 401)
    s.ask("POST", "/login", {"provider": c.add("wrong_provider", secret("sk-", 30)), "email": email, "password": "a"}, 400)


def tasks(s):
    c = s.c
    made = s.ask("POST", "/v1/tasks", {"prompt": "a panda", "model": "gpt-image-1"}, 202).json["id"]
    s.ask("GET", f"/v1/tasks/{made}/events", status=200)
    s.ended(made)
    failing = s.ask("POST", "/v1/tasks", {"prompt": "a panda", "model": "gpt-image-1@status=401"}, 202).json["id"]
    s.ended(failing)
    older = {"prompt": "a cat", "model": "nai-v4.5"}
    accounts = [{"auth_type": "token", "token": c.add("callers_token", secret("pst-sim-"))},
                {"auth_type": "token", "token": f" \n{c.add('refused_token', secret('pst-bad-'))}\r\n"},
                {"auth_type": "login", "email": f" {NAI_EMAIL}\n", "password": f" {NAI_PASSWORD} \n"},
                {"auth_type": "login", "email": c.add("callers_email", secret("", 24) + "@example.org"),
                 "password": c.add("callers_password", secret("", 24))}]
    for account in accounts:
        task = s.ask("POST", "/generate", {**older, **account}, 200).json["task_id"]
        s.search("while a task may wait")
        s.ended(task)
        s.ask("GET", f"/task_status/{task}", status=200)
    waiting = [s.ask("POST", "/generate", {**older, **accounts[0]}, 200).json["task_id"] for _ in range(3)]
    s.ask("POST", f"/cancel_task/{waiting[-1]}")
    for wrong in ({"auth_type": accounts[0]["token"]}, {"auth_type": "token", "token": accounts[0]["token"] + "\nb"},
                  {"auth_type": "token", "token": accounts[0]["token"] * 100}, {"auth_type": "login", "email": accounts[0]["token"]},
                  {**accounts[0], "model": accounts[0]["token"]}, {**accounts[0], "resolution": accounts[0]["token"]}):
        if wrong.get("model") or wrong.get("resolution"):
            continue  # what is no credential's place is told back to the one who wrote it there
        s.ask("POST", "/generate", {**older, **wrong}, 400)
    for task in waiting:
        s.ended(task)


def wrong_places(s):
    """A key where none belongs."""
    key = s.key
    joined = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    s.keep("two headers", raw(s.easel.url, joined.encode()))
    long = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}{'a' * 9000}\r\nConnection: close\r\n\r\n"
    s.keep("a header too long", raw(s.easel.url, long.encode()))
    odd = f"GET /v1/models?key={key} HTTP/9.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    s.keep("another protocol", raw(s.easel.url, odd.encode()))
    broken = f"GET /v1/models?key={key} HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {key}\r\n {key}\r\nConnection: close\r\n\r\n"
    s.keep("a broken header", raw(s.easel.url, broken.encode()))
    basic = base64.b64encode(f"{key}:".encode()).decode()
    for headers in ({"X-Api-Key": key}, {"Cookie": f"token={key}"}, {"Authorization": key}, {"Authorization": f"Basic {basic}"},
                    {"Authorization": f"Bearer Bearer {key}"}, {"Authorization": f"Bearer {key}, Bearer {key}"},
                    {"Authorization": f"Bearer <{key}>"}, {"Authorization": f"{key} Bearer"},
                    {"Authorization": f"Bearer {key[:-1]}"}, {"Authorization": f"Bearer {key}x"}, {"Api-Key": key},
                    {"Authorization": f"Bearer OPENAI_API_KEY={key}"}, {"Authorization": f'Bearer {{"key":"{key}"}}'}):
        s.ask("GET", "/v1/models", headers=headers, key=False)
    for name in ("api_key", "key", "token", "access_token", "sig", "whatever"):
        s.ask("GET", f"/v1/models?{name}={key}", key=False)
        s.ask("POST", f"/v1/images/generations?{name}={key}", {"prompt": "a panda"}, key=False)
    s.ask("GET", f"/v1/nothing?{key}", key=False)
    s.ask("GET", f"/files/{key}.png?sig={key}", key=False)
    s.ask("POST", "/v1/images/generations", {"prompt": "a panda", "api_key": key, "headers": {"Authorization": f"Bearer {key}"}}, 200)
    s.ask("POST", "/v1/tasks", {"prompt": "a panda", "model": "gpt-image-1", "api_key": key}, 202)
    s.ask("POST", "/v1/images/generations", {"prompt": "a panda"}, headers={
        "Idempotency-Key": "canary", "Referer": f"https://a.example/?k={key}", "User-Agent": f"curl {key}", "X-Request-Id": key})
    s.ask("POST", "/v1/images/generations", b'{"prompt": "a panda", "api_key": "' + key.encode() + b'"', 400)


def echoes(s):
    """Providers that throw back what they were sent, whole and in part."""
    sim, c = s.sim, s.c
    s.learn_from_the_provider()
    targets = [("echo", "single", {}), ("echo", "single", {"stream": True}),
               ("Qwen/Qwen-Image", "modelscope", {}), ("nai-diffusion-4-5-full", "novelai", {}),
               ("nai-diffusion-4-5-full", "novelai", {"stream": True}), ("grok-imagine-1.0", "grok", {}), ("grok-official", "xai", {}),
               ("nai-diffusion-3", "sent", {}), ("gpt-image-1", "openai_file", {}), ("gpt-image-1", "openai_env", {})]
    for model, name, members in targets:
        key = c[name]
        for fault in ({"status": 401, "message": f"Incorrect API key provided: {key}. You can find it at https://x.example/keys?k={key}"},
                      {"status": 400, "message": f"header 'authorization: Bearer {key}' is wrong"},
                      {"status": 500, "message": f"cookie sso={key}; sso-rw={key}"},
                      {"status": 429, "message": f"{key[:20]} is too fast, so is ...{key[-20:]}", "retry_after": 0},
                      {"status": 400, "message": "no", "headers": {"x-request-id": key, "request-id": key, "cf-ray": key}},
                      {"fault": "error-string", "message": f"bad key {key}"},
                      {"fault": "errors-plural", "message": f"bad key {key}"},
                      {"fault": "redirect", "to": f"http://localhost:1/login?token={key}"},
                      {"fault": "ws-rate-limit", "message": f"bad key {key}"},
                      {"fault": "task-fail", "message": f"bad key {key}"},
                      {"fault": "sse-error", "message": f"bad key {key}"},
                      {"status": 403, "message": f"%22{urllib.parse.quote(key)}%22"}):
            sim.clear_faults()
            sim.faults({**fault, "times": 2, "on": "any"})
            s.generate(model, headers={"x-easel-deadline": "2s"}, **members)
    for fault in ({"status": 401, "message": f"bad key {c['chat']}"}, {"fault": "sse-error", "message": f"bad key {c['chat']}"},
                  {"fault": "sse-error", "message": f"bad key {c['chat']}", "chunk": 7}):
        for stream in (False, True):
            sim.clear_faults()
            sim.faults({**fault, "on": "any"})
            s.ask("POST", "/v1/chat/completions",
                  {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "stream": stream})
    for status in (400, 401, 500):
        sim.clear_faults()
        sim.faults({"status": status, "message": f"bad key {c['access_key']}", "headers": {"x-request-id": c["access_key"]}, "on": "login"})
        s.ask("POST", "/login", {"provider": "novelai", "email": NAI_EMAIL, "password": NAI_PASSWORD})
    sim.clear_faults()
    sim.faults({"status": 401, "message": f"bad token {c['callers_token']}", "on": "any"})
    task = s.ask("POST", "/generate", {"prompt": "a cat", "model": "nai-v4.5", "auth_type": "token", "token": c["callers_token"]},
                 200).json["task_id"]
    s.ended(task)
    s.ask("GET", f"/task_status/{task}")
    sim.clear_faults()
    quoted = sum(b"***" in data for _, data, _ in s.answers)
    assert quoted > 40, f"only {quoted} of {len(s.answers)} answers quote what the provider said"


def failures(s):
    """Timeouts, resets, pictures that cannot be fetched from where they are said to be."""
    sim, c = s.sim, s.c
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda m: s.generate(m, headers={"x-easel-deadline": "1500ms"}),
                      [*(f"gpt-image-1@{f}" for f in FAULTS), "gpt-image-2", "gpt-image-1.5", "gpt-image-1-mini"]))
    assert any("proxy-authorization" in r["headers"] for r in sim.requests()), "the proxy was told its password"
    s.generate("hosted", 200)
    path = [r for r in sim.requests() if r["kind"] == "picture"][-1]["path"]
    query = f"?X-Amz-Credential={c.add('presigned_id', secret('AKIA', 30))}&X-Amz-Signature={c.add('presigned', secret('', 64))}"
    user = c.add("presigned_user", secret("", 24))
    redirect = f"/@redirect,to=http:%2F%2F10.0.0.1{path.replace('/', '%2F')}"
    for url in (*(sim.base_url + at + path for at in ("", "/@status=403", "/@truncate", "/@reset-before", "/@silence", "/@not-json",
                                                      redirect, "/missing")),
                "http://10.0.0.1" + path, sim.base_url.replace("//", f"//{user}:{user}@") + path):
        sim.clear_faults()
        sim.faults({"fault": "private-url", "url": url + query})
        answer = s.generate("hosted", headers={"x-easel-deadline": "2s"})
        assert answer.status == (200 if url == sim.base_url + path else answer.status) and sim.pending_faults() == [], (url, answer)
    sim.clear_faults()
    for url in (sim.base_url + path, "https://no-such-host.invalid/p.png", "http://10.0.0.1/p.png", "file:///etc/passwd"):
        s.ask("POST", "/v1/images/edits", {"prompt": "at night", "model": "gpt-image-1", "images": [{"image_url": url + query}]}, 400)


def commands(s):
    """What the command line says of an installation."""
    for words in (("config", "show", "--origin"), ("config", "show", "--json"), ("config", "check"), ("keys", "list"),
                  ("keys", "list", "--json"), ("users", "list", "--json"), ("usage",), ("files", "verify"), ("files", "prune"),
                  ("config", "web-server", "apache")):
        s.cli(*words, code=None)
    s.cli("config", "webhook-secret", but=["webhook.key"])
    s.cli("keys", "revoke", "canary", code=None)


def kill(pid, sig):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def quietly(ask, *arguments, **more):
    """Its answer, or None: the connection may break."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return ask(*arguments, **more)


def answers(easel):
    answer = quietly(easel.get, "/v1/models", key=False)
    return answer is not None and answer.status == 401


def half_an_upload(s):
    """A body with a secret in it, of which the web server waits for the rest."""
    where, token = urllib.parse.urlsplit(s.easel.url), s.c["callers_token"]
    half = socket.create_connection((where.hostname, where.port))
    half.sendall(f"POST /generate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {s.key}\r\nContent-Type: application/json\r\n"
                 f"Content-Length: 600000\r\n\r\n".encode() + b'{"token":"' + token.encode() + b'","image":"' + b"A" * 300000)
    folder = f"{s.easel.state}/run/upload"
    wait_until(lambda: os.listdir(folder), 10, "the web server keeps the upload")
    return half


def deaths(s):
    """kill -9 of parts and of the whole, aborts that would dump core."""
    pool = ThreadPoolExecutor(8)
    for word, sig in (("handlers/images-generations", signal.SIGKILL), ("handlers/task-worker", signal.SIGKILL),
                      ("handlers/task-create", signal.SIGABRT), ("lighttpd", signal.SIGKILL), ("lighttpd", signal.SIGABRT),
                      ("handlers/", signal.SIGABRT), ("handlers/", signal.SIGTRAP)):
        task = {"prompt": "a cat", "model": "nai-v4.5", "auth_type": "token", "token": s.c["callers_token"]}
        waiting = [pool.submit(quietly, s.generate, "gpt-image-1@delay=2"),
                   pool.submit(quietly, s.ask, "POST", "/generate", task)]
        half = half_an_upload(s)
        victims = s.easel.named(word)
        assert victims, word
        for p in victims:
            kill(p.pid, sig)
        wait_until(lambda: not any(alive(p) for p in victims), 10, f"{word} is dead")
        half.close()
        for future in waiting:
            future.result()
        wait_until(lambda: answers(s.easel), 20, "it serves again")
        wait_until(lambda: not os.listdir(f"{s.easel.state}/run/upload"), 10, "what was uploaded in vain is gone")
        s.search(f"after {word} got {sig.name}")
    pool.shutdown()
    for sig in (signal.SIGKILL, signal.SIGABRT):
        half = half_an_upload(s)
        s.watcher.end()
        tree = s.easel.tree()
        for p in [s.easel.process.pid, *(p.pid for p in tree)]:
            kill(p, sig)
        s.easel.process.wait()
        wait_until(lambda: not any(alive(p) for p in tree), 10, "all of it is dead")
        half.close()
        s.begin()
        assert not os.listdir(f"{s.easel.state}/run/upload")
        s.search(f"after all of it got {sig.name}")


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def story(request, sim):
    s = Story(sim, request.param)
    try:
        s.start()
        for chapter in (every_endpoint, logins, tasks, wrong_places, echoes, failures, deaths, commands):
            chapter(s)
            s.search(f"after {chapter.__name__}")
        s.watcher.end()
        yield s
    finally:
        if s.easel:
            s.easel.kill()
        if s.redis:
            s.redis.stop()
        sim.reset()


# ---- what is found ----

@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_found_in(story, place):
    found = list({f[:-1]: f for f in story.told.get(place, [])}.values())  # one of each kind, with its context
    assert not found, f"{len(found)}:\n" + "\n".join(map(str, found[:60]))
    # … and it was looked for where there is something to find.
    names = {name for name, _, _ in story.watcher.blobs}
    assert {"answers": story.searched["answers"] > 200, "state": story.searched["state"] > 500,
            "store": story.searched["store"] > 1000, "log": len(story.easel.log()) > 100_000,
            "cores": any(b"Max core file size        0                    0" in limits for _, limits in story.watcher.limits.values()),
            "processes": {"lighttpd", "task-worker", "images-edits", "easel"} <= names}[place], (story.searched, names)


@pytest.mark.parametrize("value", [secret("sk-sim-"), secret("", 33), "pass/word+with?signs%&=", b"\x80\xff" + bytes(range(30))])
def test_the_search_finds_what_is_there(value, tmp_path):
    c = Canaries(planted=value, other=secret())
    for name, text in forms(value).items():
        for skip in range(4):
            assert ("planted", name) in [f[:2] for f in c.found(b"x" * skip + text + b"y")], name
    raw_value = value if isinstance(value, bytes) else value.encode()
    for skip in range(7):  # in the middle of something that is encoded as a whole
        text = base64.b64encode(b"a" * skip + raw_value + b"b" * 5)
        assert c.found(text) and c.found(base64.urlsafe_b64encode(b"a" * skip + raw_value + b"b")), skip
    assert not c.found(b"nothing") and not c.found(raw_value, but=["planted"])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"..." + raw_value)
    assert [c.found(data)[0][0] for _, data in files_below(tmp_path)] == ["planted"]


def test_the_search_finds_what_is_new_in_what_was_searched_before():
    first, second = secret(), secret()
    c = Canaries(first=first)
    data = b"x" * (3 * PART_BYTES) + second.encode() + b"y" * PART_BYTES
    assert not c.found(data) and not c.found(data)
    c.add("second", second)
    assert {f[0] for f in c.found(data)} == {"second"} == {f[0] for f in c.found(data)}
    assert {f[0] for f in c.found(data + first.encode())} == {"first", "second"}
    for at in range(PART_BYTES - len(first) - 1, PART_BYTES + 2):  # across the parts it is searched in
        assert {f[0] for f in c.found(b"z" * at + first.encode() + b"z" * PART_BYTES)} == {"first"}, at


def test_a_core_would_be_found(tmp_path):
    """Where the kernel writes cores to files, the same kill of another program leaves one."""
    canary = secret()
    subprocess.run([*CORES, "sh", "-c", "kill -ABRT $$"], cwd=tmp_path, env={"PATH": os.environ["PATH"], "CANARY": canary})
    with open("/proc/sys/kernel/core_pattern") as f:
        pattern = f.read().strip()
    cores = [data for _, data in files_below(tmp_path) if is_core(data)]
    if pattern[0] not in "|/":
        assert cores and Canaries(canary=canary).found(cores[0]), pattern


def test_the_command_line_leaves_no_core_either(tmp_path):
    process = subprocess.Popen([*CORES, EASEL, "users", "add", "canary@example.org"], cwd=tmp_path, stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
    try:
        def limit():
            with open(f"/proc/{process.pid}/limits") as f:
                return "Max core file size        0                    0" in f.read()
        wait_until(limit, 10, "it allows itself no core")
        process.send_signal(signal.SIGABRT)
        assert process.wait(10 * SLOW) == -signal.SIGABRT
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
    assert not [path for path, data in files_below(tmp_path) if is_core(data)]


# ---- TLS ----

def test_a_tls_key_stays_in_its_file(start_easel, sim):
    folder = tempfile.mkdtemp(prefix="easel-pki-")
    try:
        certs.make(folder)
        with open(f"{folder}/server.key") as f:
            lines = [line.strip() for line in f if "-----" not in line]
        c = Canaries(**{f"line{i}": line for i, line in enumerate(lines) if len(line) > 20})
        assert len(c.values) > 1
        easel = start_easel(merge(sim_config(sim), {"server": {
            "tls_certificate": f"{folder}/server.crt", "tls_key": f"{folder}/server.key"}, "log": {"level": "debug"}}))
        watcher = Watcher(easel.process)
        done = subprocess.run(["curl", "--silent", "--show-error", "--cacert", f"{folder}/ca.crt", "--config", "-",
                               "--json", '{"prompt":"a panda"}', f"{easel.url}/v1/images/generations"], capture_output=True,
                              input=f'header = "Authorization: Bearer {easel.key}"\n'.encode())
        assert b'"created"' in done.stdout, done
        said = easel.run("config", "show", "--origin").stdout + easel.run("config", "check").stdout
        shutil.copy(f"{folder}/server.crt", f"{folder}/server.key.txt")
        easel.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload" in easel.log(), 20, "the reload")
        watcher.end()
        blobs = [("log", easel.log().encode()), ("said", said.encode()), *files_below(easel.folder),
                 *((name, data) for name, _, data in watcher.blobs)]
        assert not [(name, f) for name, data in blobs for f in c.found(data)]
    finally:
        shutil.rmtree(folder)


# ---- settings that are wrong ----

KEY, USER, WORD = secret("sk-sim-"), secret("", 24), secret("", 24)
OPENAI = {"dialect": "openai", "base_url": "http://127.0.0.1:1/v1"}


def provider(**members):
    return {"providers": {"p": {**OPENAI, **members}}}


@pytest.mark.parametrize("config", [
    provider(api_key=[KEY]), provider(api_keys=KEY), provider(api_keys=[KEY, 7]), provider(**{"api-key": KEY}),
    provider(apikey=KEY), provider(api_key=KEY, api_keys=[KEY]), provider(api_key=KEY + "\n"), provider(api_key="file:" + KEY + "\0"),
    provider(base_url=KEY), provider(base_url=f"http://{USER}:{WORD}@127.0.0.1/v1", api_key=KEY),
    provider(base_url=f"ftp://{USER}:{WORD}@127.0.0.1/v1"), provider(api_key=KEY, proxy=f"ftp://{USER}:{WORD}@127.0.0.1:1"),
    provider(api_key=KEY, proxy=f"{USER}:{WORD}@127.0.0.1:1"), provider(api_key=KEY, proxy=f"http://{USER}:{WORD}@127.0.0.1:99999"),
    provider(api_key=KEY, proxy=7), provider(dialect="opena", api_key=KEY), provider(dialect=KEY), provider(api_key=KEY, token=WORD),
    provider(dialect="novelai", email=USER, api_key=KEY), provider(dialect="novelai", email=USER),
    provider(dialect="novelai", token=KEY, email=USER, password=WORD), provider(dialect="grok", token=[KEY]),
    {"store": {"url": f"redis://{USER}:{WORD}@127.0.0.1:99999/0"}}, {"store": {"url": f"rediss://{USER}:{WORD}@127.0.0.1:1/0"}},
    {"store": {"url": f"mysql://{USER}:{WORD}@127.0.0.1/x"}}, {"store": {"url": f"redis://{USER}:{WORD}@127.0.0.1:1/x"}},
    {"store": {"url": f"redis://{USER}:{WORD}@127.0.0.1:1/0"}}, {"files": {"url": f"s3://{USER}:{WORD}@bucket"}},
    {"server": {"public_url": f"https://{USER}:{WORD}@example.com/"}}, {"server": {"listen": KEY}}, {"server": {"api_key": KEY}},
    {"models": {"m": {"provider": KEY}}}, {"auth": {"required": KEY}},
    {"server": {"trusted_proxies": [KEY]}}, {"limits": {"json_bytes": KEY}}, {"server": {"cors_origins": [f"https://{USER}:{WORD}@a"]}},
], ids=range(36))
def test_a_mistake_in_the_settings_is_told_without_the_secret(config):
    easel = Easel(config, start=False, env={"UNUSED": "1"})
    try:
        c = Canaries(key=KEY, user=USER, word=WORD)
        for words in (("config", "check"), ("config", "check", "--json"), ("serve",), ("db", "migrate")):
            if words == ("serve",) and easel.run("config", "check", code=None).returncode == 0:
                continue
            done = easel.run(*words, code=None)
            found = c.found((done.stdout + done.stderr).encode())
            assert not found, (words, found, done.stderr)
    finally:
        easel.kill()


@pytest.mark.parametrize("text", [f'[providers.p]\napi_key = "{KEY}\n', f"[providers.p]\napi_key = {KEY}\n",
                                  f'[providers.p]\napi_key = "{KEY}" "{KEY}"\n', f'[providers.p]\n"{KEY}"\n', KEY,
                                  f'[providers.p]\napi_key = "{KEY}"\napi_key = "{KEY}"\n', f'[providers."{KEY}"]\ndialect = "openai"\n',
                                  f"[providers.p]\napi_key = '{KEY}\\q\n"], ids=range(8))
def test_a_file_that_is_no_toml_is_not_quoted(text):
    easel = Easel({}, start=False)
    try:
        with open(easel.file, "w") as f:
            f.write(text)
        done = easel.run("config", "check", code=3)
        # A table's or a key's name may be told: nobody's secret is one.
        assert done.stderr and (f'"{KEY}"' in text.split("=")[0] or not Canaries(key=KEY).found(done.stderr.encode())), done.stderr
    finally:
        easel.kill()
