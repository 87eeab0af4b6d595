"""A store that goes away and comes back: test_store_away*.py."""
import contextlib
import itertools
import os
import re
import signal
import socket
import sqlite3

import pytest

from support import SIM_KEY, SLOW, Easel, Request, Watch, expect_error, merge, sim_config, start_sim, wait_until

SIM, QWEN = "gpt-image-1@delay=3", "Qwen/Qwen-Image@task-seconds=3"
NAMED_LATE = "Qwen/Qwen-Image@delay=1,task-seconds=3"
DEADLINE = {"x-easel-deadline": "1500ms"}
RETRY = {"x-stainless-retry-count": "1"}
TASK_ID = r"^task_[0-9a-hjkmnp-tv-z]{26}$"
MAKER = "handlers/images-generations"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def sim():
    sim = start_sim()
    yield sim
    sim.stop()


class Stopped:
    """Redis that takes connections and says nothing."""

    def __init__(self, redis):
        self.redis = redis

    def go(self):
        os.kill(self.redis.process.pid, signal.SIGSTOP)

    def come(self):
        os.kill(self.redis.process.pid, signal.SIGCONT)


class Killed(Stopped):
    def go(self):
        self.redis.kill()

    def come(self):
        if self.redis.process.poll() is not None:
            self.redis.start()


class Locked:
    """SQLite while somebody else writes and does not end."""

    def __init__(self, path):
        self.path, self.other = path, None

    def go(self):
        self.other = sqlite3.connect(self.path, isolation_level=None)
        self.other.execute("PRAGMA busy_timeout = 20000")
        self.other.execute("BEGIN EXCLUSIVE")

    def come(self):
        if self.other:
            self.other.close()
        self.other = None


def gives_slots(redis):
    """Redis has been up for so long that slots are given out: docs/redis.md."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(redis.path)
        s.sendall(b"INFO server\r\n")
        return int(re.search(rb"uptime_in_seconds:(\d+)", s.recv(65536)).group(1)) >= 4


@pytest.fixture(params=["stopped", "killed", "locked"])
def away(request, sim, next_redis):
    """An installation, and how its store goes and comes."""
    config = merge(sim_config(sim, ["delay=3"]), {
        "models": {m: {"provider": "modelscope"} for m in (QWEN, NAMED_LATE)}, "store": {"task_lease": f"{3 * SLOW}s"},
        "deadline": {"grace": f"{60 * SLOW}s"}})
    redis = None if request.param == "locked" else next_redis()
    easel = Easel(merge(config, {"store": {"url": redis.url}}) if redis else config)
    store = {"stopped": Stopped, "killed": Killed}[request.param](redis) if redis else \
        Locked(os.path.join(easel.state, "easel.db"))
    try:
        if redis:
            wait_until(lambda: gives_slots(redis), 10, "slots")
        yield easel, store
        store.come()
        easel.stop()
    finally:
        store.come()
        easel.kill()
        if redis:
            redis.stop()


AGAIN = ("store_unavailable", "handler_crashed", "handler_down")  # the last two: its program was just killed


def told(ask, **members):
    """Its answer, or that of the next one when it was told to come again."""
    answers = [ask.end()]

    def look():
        if answers[-1].status < 500 or answers[-1].error["code"] not in AGAIN:
            return answers[-1]
        answers.append(ask.easel.generate(**members))
        return None
    return wait_until(look, 30, "the store is back")


def bought(watch):
    return [r for r in watch.requests("generate") if r["purchase"] and r["body_end"]]


def sent(easel, sim, store, headers=DEADLINE, model=SIM, **members):
    """A request that the provider has, and then the store goes."""
    watch = Watch(sim)
    ask = Request(easel, model=model, headers=headers, prompt=f"owed {next(numbers)}", **members)
    wait_until(lambda: bought(watch), 10, "the purchase")
    if model == QWEN:  # its name has come
        wait_until(lambda: watch.requests("task"), 10, "a poll")
    store.go()
    return ask, watch


def named(answer):
    error = expect_error(answer, 504, "deadline_exceeded", billed=True)
    assert re.match(TASK_ID, error["task_id"] or ""), error
    assert answer.seconds < 3 * SLOW and answer.header("x-should-retry") == "false", answer
    return error["task_id"]


def ended(easel, task_id):
    """Never is it unknown."""
    def look():
        answer = easel.get(f"/v1/tasks/{task_id}")
        assert answer.status in (200, 503), answer
        return answer.status == 200 and answer.json["ended"] and answer.json
    return wait_until(look, 30, "the task's end")


def one_picture(easel, task):
    assert task["status"] == "SUCCESS" and task["error"] is None, task
    picture, = task["images"]
    assert easel.stored(picture["url"])[:4] == b"\x89PNG", task


def nothing_owed(easel):
    folder = os.path.join(easel.state, "run", "owed")
    wait_until(lambda: os.listdir(folder) == [], 10, "the store has all of them")


def waits(easel, task_id):
    path = os.path.join(easel.state, "run", "owed", task_id)
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert SIM_KEY not in text and easel.key not in text, "no secret lies there"


def kill_makers(easel, name=MAKER):
    for p in easel.named(name):
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.kill(p.pid, signal.SIGKILL)


def kill_workers(easel):
    kill_makers(easel, "handlers/task-worker")
