"""What is to be known once the store is back: repetitions, a provider's name for a task, pictures' records."""
import json
import os
import time

import pytest

from store_away import (DEADLINE, NAMED_LATE, QWEN, RETRY, SIM, Request, away, bought, ended, kill_makers, kill_workers,  # noqa: F401
                        named, numbers, one_picture, sent, sim, told)
from support import Watch, wait_until


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
