"""Tasks end to end: taken in, run by the worker, read, listed, followed, cancelled; the older service's shapes."""
import base64
import json
import os
import re
import time
import urllib.parse

import pytest

from support import (SLOW, Watch, expect_error, merge, modelscope, novelai, sim_config, wait_until)

TASK_ID = r"^task_[0-9a-hjkmnp-tv-z]{26}$"
ENDED = ("SUCCESS", "FAILURE", "REVOKED")


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(merge(sim_config(sim), {"limits": {"requests_per_minute": 0}}))


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


# ---- the main way ----

def test_a_task_is_taken_in_run_and_read(easel, sim):
    watch = Watch(sim)
    answer = easel.post("/v1/tasks", {"prompt": "a panda", "model": "gpt-image-1"})
    task = answer.json
    assert answer.status == 202 and answer.header("location") == task["urls"]["self"], answer
    assert re.match(TASK_ID, task["id"]) and task["object"] == "task", task
    assert task["status"] in ("PENDING", "STARTED", "SUCCESS"), task
    assert task["urls"] == {"self": f"{easel.url}/v1/tasks/{task['id']}",
                            "events": f"{easel.url}/v1/tasks/{task['id']}/events",
                            "cancel": f"{easel.url}/v1/tasks/{task['id']}"}
    end = ended(easel, task)
    assert end["status"] == "SUCCESS" and end["error"] is None, end
    assert end["request_id"] == answer.header("x-request-id")
    assert end["created"] <= end["started"] <= end["ended"] <= time.time() + 1, end
    assert end["model"] == "gpt-image-1" and end["provider"] == "sim"
    assert end["queue_position"] is None and end["progress"] is None
    assert [(a["n"], a["provider"], a["outcome"], a["code"]) for a in end["attempts"]] == \
        [(1, "sim", "succeeded", None)], end
    picture, = end["images"]
    assert easel.stored(picture["url"])[:4] == b"\x89PNG"
    assert len(watch.requests("generate")) == 1
