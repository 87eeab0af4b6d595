"""What is promised while the store is away: work that outlives its request is named as a task, pictures get their records,
each once the store is back, whatever was killed in between."""
import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import sqlite3
import threading
import time

import pytest

from redis_server import Redis
from support import SIM_KEY, SLOW, Easel, Watch, expect_error, merge, sim_config, start_sim, wait_until

SIM, QWEN = "gpt-image-1@delay=4", "Qwen/Qwen-Image@task-seconds=4"
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


@pytest.fixture(params=["stopped", "killed", "locked"])
def away(request, sim):
    """An installation, and how its store goes and comes."""
    config = merge(sim_config(sim, ["delay=4"]), {
        "models": {m: {"provider": "modelscope"} for m in (QWEN, NAMED_LATE)}, "store": {"task_lease": f"{3 * SLOW}s"},
        "deadline": {"grace": f"{60 * SLOW}s"}})
    redis = None if request.param == "locked" else Redis()
    easel = Easel(merge(config, {"store": {"url": redis.url}}) if redis else config)
    store = {"stopped": Stopped, "killed": Killed}[request.param](redis) if redis else \
        Locked(os.path.join(easel.state, "easel.db"))
    try:
        yield easel, store
        store.come()
        easel.stop()
    finally:
        store.come()
        easel.kill()
        if redis:
            redis.stop()


class Request(threading.Thread):
    """One that is waited for elsewhere; its answer, or how it broke."""

    def __init__(self, easel, **members):
        super().__init__()
        self.easel, self.members, self.answer = easel, members, None
        self.start()

    def run(self):
        try:
            self.answer = self.easel.generate(**self.members)
        except (OSError, http.client.HTTPException) as error:
            self.answer = error

    def end(self):
        self.join(60 * SLOW)
        assert self.answer is not None, "no answer came"
        return self.answer


def told(ask, **members):
    """Its answer, or that of the next one when it was told to come again."""
    answers = [ask.end()]

    def look():
        if answers[-1].status != 503:
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


@pytest.mark.parametrize("model", [SIM, QWEN])
def test_the_task_is_named_and_has_its_picture_when_the_store_is_back(away, sim, model):
    easel, store = away
    ask, watch = sent(easel, sim, store, model=model)
    task_id = named(ask.end())
    waits(easel, task_id)
    store.come()
    task = ended(easel, task_id)
    one_picture(easel, task)
    assert [(a["provider"] != "", a["outcome"]) for a in task["attempts"]] == [(True, "succeeded")], task
    assert task["id"] in [t["id"] for t in easel.get("/v1/tasks").json["data"]]
    assert len(bought(watch)) == 1
    nothing_owed(easel)


def test_what_ends_before_the_store_is_back_is_kept_with_its_end(away, sim):
    easel, store = away
    ask, watch = sent(easel, sim, store)
    task_id = named(ask.end())
    wait_until(lambda: any(f"task {task_id}: 1 of 1 pictures are stored" in line for line in easel.log().splitlines()), 20,
               "the picture has come")
    store.come()
    one_picture(easel, ended(easel, task_id))
    assert len(bought(watch)) == 1
    nothing_owed(easel)


@pytest.mark.parametrize("model,ends", [(SIM, "FAILURE"), (QWEN, "SUCCESS")])
def test_it_outlives_its_process_too(away, sim, model, ends):
    easel, store = away
    ask, watch = sent(easel, sim, store, model=model)
    task_id = named(ask.end())
    kill_makers(easel)
    store.come()
    task = ended(easel, task_id)
    assert task["status"] == ends, task
    if ends == "SUCCESS":
        one_picture(easel, task)
    else:
        assert task["error"]["code"] == "outcome_unknown" and task["error"]["may_have_been_billed"] is True, task
    assert len(bought(watch)) == 1
    nothing_owed(easel)


def test_its_end_outlives_its_process_too(away, sim):
    easel, store = away
    ask, watch = sent(easel, sim, store)
    task_id = named(ask.end())
    wait_until(lambda: any(f"task {task_id}: 1 of 1 pictures are stored" in line for line in easel.log().splitlines()), 20,
               "the picture has come")
    folder = os.path.join(easel.state, "run", "owed", task_id)
    wait_until(lambda: '"SUCCESS"' in open(folder, encoding="utf-8").read(), 10, "its end is written down")
    kill_makers(easel)
    store.come()
    one_picture(easel, ended(easel, task_id))
    assert len(bought(watch)) == 1
    nothing_owed(easel)


def test_who_prefers_it_is_answered_with_the_task_without_the_store(away, sim):
    easel, store = away
    ask, watch = sent(easel, sim, store, headers={"Prefer": "respond-async, wait=2"})
    answer = ask.end()
    assert answer.status == 202 and answer.json["status"] == "STARTED", answer
    assert answer.header("location") == f"/v1/tasks/{answer.json['id']}", answer
    store.come()
    one_picture(easel, ended(easel, answer.json["id"]))
    assert len(bought(watch)) == 1


@pytest.mark.parametrize("key", [{"Idempotency-Key": "owed-key"}, {}])
@pytest.mark.parametrize("kill", [False, True])
def test_a_repetition_joins_it(away, sim, key, kill):
    easel, store = away
    ask, watch = sent(easel, sim, store, headers={**DEADLINE, **key}, model=QWEN)
    task_id = named(ask.end())
    if kill:
        kill_makers(easel)
    members = {**ask.members, "headers": {**key, **({} if key else RETRY)}}
    early = Request(easel, **members)  # while the store is away: told to come again, or waits
    store.come()
    answer = told(early, **members)
    assert answer.status == 200 and answer.header("idempotent-replayed") == "true", answer
    one_picture(easel, ended(easel, task_id))
    assert len(bought(watch)) == 1


@pytest.mark.parametrize("comes", [2, 6])
def test_a_retry_of_a_client_that_left_while_the_store_was_away_joins_its_work(away, sim, comes):
    """Which a web server need not tell: then its answer seems to have been taken."""
    easel, store = away
    watch = Watch(sim)
    members = {"model": SIM, "prompt": f"owed {next(numbers)}"}
    client = Request(easel, timeout=1, **members)
    wait_until(lambda: bought(watch), 10, "the purchase")
    store.go()
    assert isinstance(client.end(), TimeoutError), client.answer
    retry = Request(easel, headers=RETRY, **members)
    time.sleep(comes)  # before and after the picture
    store.come()
    answer = told(retry, headers=RETRY, **members)
    assert answer.status == 200 and answer.header("idempotent-replayed") == "true", answer
    assert len(bought(watch)) == 1


def test_while_the_store_is_locked_the_task_is_shown_as_started(away, sim):
    easel, store = away
    ask, _ = sent(easel, sim, store)
    task_id = named(ask.end())
    answer = easel.get(f"/v1/tasks/{task_id}")
    if isinstance(store, Locked):  # which can be read
        assert answer.status == 200 and answer.json["status"] == "STARTED" and answer.json["images"] == [], answer
        older = easel.get(f"/task_status/{task_id}")
        assert older.json == {"task_id": task_id, "status": "STARTED", "done": False}, older
        expect_error(easel.request("DELETE", f"/v1/tasks/{task_id}"), 503, "store_unavailable")
    else:
        expect_error(answer, 503, "store_unavailable")
    store.come()
    one_picture(easel, ended(easel, task_id))
    assert easel.get("/v1/tasks/task_00000000000000000000000000").status == 404


# Redis that was stopped goes on with what dead workers have sent it: a claim may be among that.
@pytest.mark.parametrize("away", ["killed", "locked"], indirect=True)
def test_a_name_that_the_store_could_not_be_told_is_not_forgotten(away, sim):
    easel, store = away
    watch = Watch(sim)
    path = "/v1/tasks/" + easel.post("/v1/tasks", {"model": NAMED_LATE, "prompt": "named late"}).json["id"]
    wait_until(lambda: bought(watch), 10, "the purchase")
    store.go()
    wait_until(lambda: watch.requests("task"), 20, "a poll")
    kill_workers(easel)
    store.come()
    task = ended(easel, path.rpartition("/")[2])
    one_picture(easel, task)
    assert [a["outcome"] for a in task["attempts"]] == ["worker_lost", "succeeded"], task
    assert len(bought(watch)) == 1


# ---- pictures and their records ----

def records(easel, prompt):
    return easel.get(f"/v1/images?q={prompt}").json["data"]


def verified(easel):
    return not easel.run("files", "verify", code=None).stdout.count("a picture without a record")


def files(easel):
    return [n for n in os.listdir(os.path.join(easel.state, "files")) if not n.startswith("tmp-")]


def used(easel):
    return json.loads(easel.run("usage", "--by", "model", "--json").stdout)


def test_answered_pictures_get_their_records_though_their_process_is_killed_before(away, sim):
    easel, store = away
    ask, _ = sent(easel, sim, store, headers={}, n=2, output_format="jpeg", size="1024x1024")
    answer = ask.end()
    assert answer.status == 200 and len(answer.json["data"]) == 2, answer
    kill_makers(easel)
    store.come()
    prompt = ask.members["prompt"].replace(" ", "+")
    found = wait_until(lambda: (lambda f: len(f) == 2 and f)(records(easel, prompt)), 20, "both have their records")
    for picture in found:
        assert (picture["model"], picture["type"], picture["size"], picture["provider"]) == (SIM, "image/jpeg", "1024x1024", "sim"), picture
        assert picture["prompt"] == ask.members["prompt"] and picture["request_id"] == answer.header("x-request-id"), picture
        assert picture["parameters"] == {"n": 2, "output_format": "jpeg", "size": "1024x1024"}, picture
        assert easel.stored(picture["url"])[:3] == b"\xff\xd8\xff"
    assert verified(easel) and len(files(easel)) == 2
    assert [(u["model"], u["pictures"]) for u in used(easel)["data"]] == [(SIM, 2)], used(easel)


def test_a_tasks_picture_gets_its_record_though_its_worker_is_killed_before(away, sim):
    easel, store = away
    watch, prompt = Watch(sim), "owed-" + "long" * 400
    path = "/v1/tasks/" + easel.post("/v1/tasks", {"model": SIM, "prompt": prompt}).json["id"]
    wait_until(lambda: bought(watch), 10, "the purchase")
    store.go()
    wait_until(lambda: files(easel), 20, "the picture")
    kill_workers(easel)
    store.come()
    found, = wait_until(lambda: records(easel, "owed-long"), 20, "its record")
    assert prompt.startswith(found["prompt"].rstrip("…")) and len(found["prompt"]) >= 100, found
    assert found["task_id"] == path.rpartition("/")[2], found
    task = ended(easel, found["task_id"])
    assert task["status"] in ("SUCCESS", "FAILURE"), task
    assert verified(easel) and len(bought(watch)) == 1
