"""What clients ask for while a part of Easel is killed: tests/kills.

Each request has a prompt of its own, by which the provider's purchases are counted, and a way to go on when its answer
does not come: a person's (not at all), an Idempotency-Key's (the same again, until there is an answer), an SDK's.
"""
import http.client
import json
import threading
import time

import support
from support import SLOW

NAI = "nai-diffusion-4-5-full"
SPREAD_S = 0.8      # within which a run's requests are sent
FINAL_S = 40 * SLOW  # so long a key's answer may take, everything restarted
SDK_TRIES = 3
BROKEN = "broken connection"

OPENAI = [f"gpt-image-1@delay={s}" for s in (0.1, 0.5, 1)]
MODELSCOPE = [f"Qwen/Qwen-Image@task-seconds={s}" for s in (0.3, 0.8)]
EDITS = [f"Qwen/Qwen-Image-Edit@task-seconds={s}" for s in (0.3, 0.8)]
NOVELAI = [f"{NAI}@delay={s}" for s in (0.1, 0.3)]
LATE = "gpt-image-1@delay=1.6"  # longer than the deadlines that are given

# what is done as something else is
WAYS = {"async": "plain", "late": "plain", "chat": "plain", "edit": "key", "task key": "key"}
KEYED = ("key", "edit", "task key")
PROGRAMS = {"/v1/images/generations": "images-generations", "/v1/images/edits": "images-edits",
            "/v1/chat/completions": "chat-completions"}
# what the client sees of the end of a program
PROGRAM_ENDED = ("500 handler_crashed", "502 handler_down", "503 handler_down")
STORE_AWAY = ("503 store_unavailable",)


class Ask:
    """One thing that a client wants, and what it was told."""

    def __init__(self, name, how, model, at, n=1, headers=None, more=None):
        self.name, self.how, self.model, self.at, self.n = name, how, model, at, n
        self.headers, self.more = headers or {}, more or {}
        self.task = self.pictures = self.failure = None  # an acknowledged task; URLs; what came instead
        self.says, self.sent, self.at_end = "", 0, 0.0

    @property
    def dialect(self):
        return "modelscope" if self.model in MODELSCOPE + EDITS else "novelai" if self.model in NOVELAI else "openai"

    @property
    def program(self):
        return PROGRAMS.get(self.path, "task-create")

    @property
    def path(self):
        return {"edit": "/v1/images/edits", "chat": "/v1/chat/completions", "older": "/generate"}.get(
            self.how, "/v1/tasks" if self.how in ("task", "cancel", "task key") else "/v1/images/generations")

    def __repr__(self):
        return f"{self.name} ({self.how}, {self.model}, task {self.task}, {self.failure or 'answered'} {self.says[:400]})"


# ---- which ----

def make_load(rng, prefix):
    """The requests of one run, in the order of their sending."""
    asks, models = [], OPENAI + MODELSCOPE + NOVELAI

    def add(how, model, **more):
        asks.append(Ask(f"{prefix}-{len(asks)}", how, model, rng.uniform(0, SPREAD_S), **more))

    for _ in range(2):
        for dialect in (OPENAI, MODELSCOPE, NOVELAI):
            add("task", rng.choice(dialect))
    add("task", rng.choice(MODELSCOPE), n=2)
    add("task", rng.choice(OPENAI), more={"image": "data:image/png;base64,"})
    for account in rng.sample("abc", 2):
        add("older", rng.choice(NOVELAI), more={"token": f"pst-sim-killed-account-{account}"})
    add("cancel", rng.choice(models))
    for dialect in (OPENAI, MODELSCOPE, NOVELAI):
        add("key", rng.choice(dialect), headers={"Idempotency-Key": f"{prefix}-{len(asks)}"})
    for how in ("edit", "task key"):
        add(how, rng.choice(OPENAI), headers={"Idempotency-Key": f"{prefix}-{len(asks)}"},
            more={"image": "data:image/png;base64,"})
    add("key", rng.choice(MODELSCOPE), n=2, headers={"Idempotency-Key": f"{prefix}-{len(asks)}"})
    add("edit", rng.choice(EDITS), n=2, headers={"Idempotency-Key": f"{prefix}-{len(asks)}"},
        more={"image": "data:image/png;base64,"})
    add("chat", rng.choice(models))
    add("plain", rng.choice(models))
    add("sdk", rng.choice(models))
    add("async", rng.choice(models), headers={"Prefer": f"respond-async, wait={rng.choice((0, 0, 1))}"})
    add("late", LATE, headers={"x-easel-deadline": f"{rng.choice((600, 1000))}ms"})
    return sorted(asks, key=lambda a: a.at)


# ---- asking ----

class Client(threading.Thread):
    """Sends one of them at its time, and goes on as its way says."""

    def __init__(self, easel, ask, begin, picture):
        super().__init__(daemon=True)
        self.easel, self.ask, self.begin, self.picture = easel, ask, begin, picture
        self.error = None

    def run(self):
        time.sleep(max(0, self.begin + self.ask.at - time.monotonic()))
        try:
            getattr(self, WAYS.get(self.ask.how, self.ask.how))()
        except Exception as error:  # told by the judge
            self.error = repr(error)
        self.ask.at_end = time.monotonic()

    def exchange(self, method, path, value=None, headers=()):
        """Status, headers and body; a broken connection is status 0."""
        ask = self.ask
        ask.sent += 1
        ask.failure, ask.says = None, ""
        body = None if value is None else json.dumps(value).encode()
        try:
            answer = self.easel.request(method, path, body, {"Content-Type": "application/json", **dict(headers)},
                                        timeout=FINAL_S)
        except (OSError, http.client.HTTPException) as error:
            ask.failure, ask.says = BROKEN, repr(error)
            return 0, {}, {}
        told = {}
        try:
            told = answer.json
        except ValueError:
            ask.says = "no JSON"
        if answer.status >= 400:
            error = told.get("error")
            code = error.get("code") if isinstance(error, dict) else told.get("code")
            ask.failure, ask.says = f"{answer.status} {code}", answer.body[:2000].decode(errors="replace")
        return answer.status, answer.headers, told

    def body(self):
        value = {"prompt": self.ask.name, "model": self.ask.model, **self.ask.more}
        if self.ask.n > 1:
            value["n"] = self.ask.n
        if "image" in value:
            value["image"] += self.picture
        return value

    # ---- tasks ----

    def task(self):
        status, _, told = self.exchange("POST", self.ask.path, self.body())
        if status == 202:
            self.ask.task = told["id"]

    def older(self):
        value = {"auth_type": "token", **self.body()}
        status, _, told = self.exchange("POST", self.ask.path, value)
        if status == 200 and told.get("success"):
            self.ask.task = told["task_id"]

    def cancel(self):
        """Taken back at once; whether that is heard does not matter, only that it ends."""
        self.task()
        if self.ask.task:
            self.exchange("DELETE", f"/v1/tasks/{self.ask.task}")
            self.ask.failure, self.ask.says = None, ""

    # ---- images ----

    def generate(self, headers=()):
        value = self.body()
        if self.ask.how == "chat":
            value = {"model": self.ask.model, "messages": [{"role": "user", "content": self.ask.name}]}
        elif self.ask.dialect != "openai":
            value["response_format"] = "url"
        status, got, told = self.exchange("POST", self.ask.path, value, {**self.ask.headers, **dict(headers)})
        if status == 200 and self.ask.how == "chat":
            self.ask.pictures = [p["image_url"] for p in told["choices"][0]["message"]["images"]]
        elif status == 200:
            self.ask.pictures = told["data"]
        elif status == 202:
            self.ask.task = told["id"]
        elif isinstance(told.get("error"), dict) and told["error"].get("task_id"):
            self.ask.task = told["error"]["task_id"]
        return status, got

    def plain(self):
        self.generate()

    def key(self):
        """The same again until somebody has the answer: that is what the key is for."""
        end = time.monotonic() + FINAL_S
        while time.monotonic() < end:
            self.ask.task = None
            status, got = self.generate()
            ended = status in (200, 202) or (status and got.get("x-should-retry") == "false" and
                                      self.ask.failure not in PROGRAM_ENDED)
            if ended:
                return
            time.sleep(0.2)
        self.ask.failure = f"no final answer: {self.ask.failure}"

    def sdk(self):
        """As OpenAI's SDKs: connections that break, 408, 409, 429 and 5xx twice more, unless told not to."""
        for i in range(SDK_TRIES):
            status, got = self.generate({"x-stainless-retry-count": str(i)})
            may = status == 0 or status in (408, 409, 429) or status >= 500
            if not may or got.get("x-should-retry") == "false":
                return
            time.sleep(0.5 * 2 ** i)


class Load:
    def __init__(self, easel, rng, prefix, picture):
        self.begin = time.monotonic()
        self.asks = make_load(rng, prefix)
        self.clients = [Client(easel, a, self.begin, picture) for a in self.asks]
        for c in self.clients:
            c.start()

    def join(self):
        for c in self.clients:
            c.join(FINAL_S + 30 * SLOW)
        return [f"{c.ask}: the client ended with {c.error or 'nothing in time'}" for c in self.clients
                if c.error or c.is_alive()]
