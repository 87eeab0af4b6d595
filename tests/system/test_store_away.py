"""Work that outlives its request while the store is away: its task is named all the same, and is there when the store is."""
import os

import pytest

from store_away import (QWEN, SIM, Locked, away, bought, ended, kill_makers, named, nothing_owed, one_picture, sent, sim,  # noqa: F401
                        waits)
from support import expect_error, wait_until


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
