"""What the tests of tasks have in common: installations, the calls of both interfaces, an event stream."""
import base64
import contextlib
import http.client
import os
import signal
import time
import urllib.parse

from sse import Stream
from support import NOVELAI_TOKEN, SLOW, alive, merge, sim_config, wait_until

TASK_ID = r"^task_[0-9a-hjkmnp-tv-z]{26}$"
ENDED = ("SUCCESS", "FAILURE", "REVOKED")
NAI = "nai-diffusion-4-5-full"
FAULTS = ("delay=2", "delay=6", "status=401", "status=500", "code=moderation_blocked")


def faulty(sim):
    """Every provider, and models whose names say what goes wrong."""
    return merge(sim_config(sim, FAULTS), {
        "models": {**{f"{NAI}@{f}": {"provider": "novelai"} for f in ("delay=0.05", "delay=0.2", "delay=2", "delay=3", "delay=6")},
                   "Qwen/Qwen-Image@task-seconds=6": {"provider": "modelscope"}},
        "providers": {"novelai": {"concurrency": 1}}, "limits": {"requests_per_minute": 0}})


def with_store(request, config, database=0):
    """The configuration with the store that request.param names, and an account of its own at NovelAI."""
    config = merge(config, {"providers": {"novelai": {"token": f"{NOVELAI_TOKEN}-{request.module.__name__}-{request.param}"}}})
    if request.param == "redis":
        config = merge(config, {"store": {"url": request.getfixturevalue("redis").replace("db=0", f"db={database}")}})
    return config


# ---- /v1/tasks ----

def create(easel, key=True, **members):
    value = {"prompt": "a panda", "model": "gpt-image-1", **members}
    answer = easel.post("/v1/tasks", {k: v for k, v in value.items() if v is not None}, key=key)
    assert answer.status == 202, answer
    return answer.json


def read(easel, task, **more):
    answer = easel.get("/v1/tasks/" + task["id"], **more)
    assert answer.status == 200, answer
    return answer.json


def ended(easel, task, seconds=30):
    def look():
        now = read(easel, task)
        return now if now["status"] in ENDED else None
    return wait_until(look, seconds, "the task's end")


def path_of(url):
    return urllib.parse.urlsplit(url).path


def data_url(data, kind="png"):
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


def cancel(easel, task):
    return easel.request("DELETE", path_of(task["urls"]["cancel"]))


class Events(Stream):
    """A task's events, read as they come."""

    def __init__(self, easel, task):
        where = urllib.parse.urlsplit(easel.url)
        self.start = time.monotonic()
        self.http = http.client.HTTPConnection(where.hostname, where.port, timeout=60 * SLOW)
        self.http.request("GET", path_of(task["urls"]["events"]), headers={"Authorization": f"Bearer {easel.key}"})
        self.answer, self.comments = None, 0


# ---- the older service's shapes ----

OLDER = {"auth_type": "token", "token": NOVELAI_TOKEN, "model": "nai-v4.5", "prompt": "一只可爱的猫咪，高清照片",
         "negative_prompt": "模糊，低质量", "sampler": "k_euler_ancestral", "steps": 28, "scale": 11,
         "resolution": "portrait"}


def older(easel, **members):
    value = {**OLDER, **members}
    return easel.post("/generate", {k: v for k, v in value.items() if v is not None})


def older_end(easel, task_id):
    def look():
        answer = easel.get("/task_status/" + task_id)
        assert answer.status == 200, answer
        if not answer.json["done"]:
            assert answer.json == {"task_id": task_id, "status": answer.json["status"], "done": False}
            assert answer.json["status"] in ("PENDING", "STARTED", "RETRY")
        return answer.json if answer.json["done"] else None
    return wait_until(look, 30, "the older task's end")


# ---- workers that die ----

def kill_program(easel, program):
    """Every process of it at once, a parent and two workers."""
    def processes():
        found = easel.named("handlers/" + program)
        return found if len(found) == 3 else None
    victims = wait_until(processes, 20, "all of " + program)
    for p in victims:
        with contextlib.suppress(ProcessLookupError):  # workers end with their parent
            os.kill(p.pid, signal.SIGKILL)
    # One that is not dead yet still takes connections, to drop them.
    wait_until(lambda: not any(alive(p) for p in victims), 20, "all of them are dead")
    return victims


def kill_workers(easel):
    old = {p.pid for p in kill_program(easel, "task-worker")}
    wait_until(lambda: len(easel.named("handlers/task-worker")) == 3 and
               not old & {p.pid for p in easel.named("handlers/task-worker")}, 20, "new workers")
