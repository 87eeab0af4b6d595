"""What is to be known once the store is back: repetitions, a provider's name for a task."""
import contextlib
import fcntl
import http.client
import json
import os
import time
import urllib.parse

import pytest

from store_away import (DEADLINE, NAMED_LATE, QWEN, RETRY, SIM, Locked, Request, away, bought, ended, kill_makers, kill_workers,  # noqa: F401
                        named, numbers, one_picture, sent, sim, told)
from support import SLOW, Easel, Watch, merge, sim_config, wait_until


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
    client = http.client.HTTPConnection(urllib.parse.urlsplit(easel.url).netloc)
    client.request("POST", "/v1/images/generations", json.dumps(members),
                   {"Authorization": f"Bearer {easel.key}", "Content-Type": "application/json"})
    wait_until(lambda: bought(watch), 10, "the purchase")
    store.go()
    client.close()
    retry = Request(easel, headers=RETRY, **members)
    time.sleep(comes)  # before and after the picture
    store.come()
    answer = told(retry, headers=RETRY, **members)
    assert answer.status == 200 and answer.header("idempotent-replayed") == "true", answer
    assert len(bought(watch)) == 1


def test_what_came_after_the_lease_is_the_result_as_long_as_nobody_has_claimed_it(sim):
    easel = Easel(merge(sim_config(sim, ["delay=3"]), {  # one worker, which does not claim while it has a task
        "store": {"task_lease": f"{3 * SLOW}s"}, "process": {"workers": 1, "max_in_flight": 1}}))
    store = Locked(os.path.join(easel.state, "easel.db"))
    try:
        watch = Watch(sim)
        task_id = easel.post("/v1/tasks", {"model": SIM, "prompt": "late"}).json["id"]
        wait_until(lambda: bought(watch), 10, "the purchase")
        store.go()
        wait_until(lambda: watch.requests("generate")[0]["end"], 20, "the picture")
        time.sleep(4 * SLOW)  # the worker takes its lease for lost
        store.come()
        one_picture(easel, ended(easel, task_id))
        assert len(bought(watch)) == 1
        easel.stop()
    finally:
        store.come()
        easel.kill()


@contextlib.contextmanager
def slowly_seen_to(easel, dead):
    """Somebody is about to see to what these processes have left, and does not get on with it."""
    with contextlib.ExitStack() as stack:
        for pid in dead:
            with contextlib.suppress(FileNotFoundError):  # a parent's, which has none
                path = os.path.join(easel.state, "run", "intent", f"task-worker.{pid}")
                fcntl.flock(stack.enter_context(open(path, "rb")), fcntl.LOCK_EX)
        yield


# Redis that was stopped goes on with what dead workers have sent it: a claim may be among that.
@pytest.mark.parametrize("away", ["killed", "locked"], indirect=True)
@pytest.mark.parametrize("taken_over_first", [False, True])
def test_a_name_that_the_store_could_not_be_told_is_not_forgotten(away, sim, taken_over_first):
    easel, store = away
    watch = Watch(sim)
    path = "/v1/tasks/" + easel.post("/v1/tasks", {"model": NAMED_LATE, "prompt": "named late"}).json["id"]
    wait_until(lambda: bought(watch), 10, "the purchase")
    store.go()
    wait_until(lambda: watch.requests("task"), 20, "a poll")
    dead = [p.pid for p in easel.named("handlers/task-worker")]
    kill_workers(easel)
    with slowly_seen_to(easel, dead if taken_over_first else []):
        store.come()
        task = ended(easel, path.rpartition("/")[2])
    one_picture(easel, task)
    assert [a["outcome"] for a in task["attempts"]] == ["worker_lost", "succeeded"], task
    assert len(bought(watch)) == 1
