"""A task's events: partial pictures, comments, clients that leave; and the records of what came."""
import os

import pytest

from support import Watch, expect_error, merge, wait_until
from tasks import NAI, Events, cancel, create, ended, faulty, path_of, read, with_store

FAULTS = {"models": {f"gpt-image-1@{f}": {"provider": "sim"} for f in ("sse-hold", "sse-plain")}}


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def easel(request, start_easel, sim):
    return start_easel(merge(with_store(request, faulty(sim)), {**FAULTS, "server": {"stream_keep_alive": "300ms"}}))


def inputs(easel):
    folder = os.path.join(easel.state, "inputs")
    return os.listdir(folder) if os.path.exists(folder) else []


def names(events):
    return [e.name for e in events]


# ---- partial pictures ----

def test_partial_pictures_are_events_for_whoever_comes_while_it_runs(easel, sim):
    task = create(easel, model="gpt-image-1@sse-hold", partial_images=2, size="1024x1024")
    with Events(easel, task) as one:
        first = []
        while names(first).count("partial_image") < 2:
            first.append(one.next())
        assert names(first)[0] == "task" and first[0].data["id"] == task["id"]
        partial = [e for e in first if e.name == "partial_image"]
        with Events(easel, task) as late:
            second = [late.next() for _ in range(3)]
            assert names(second) == ["task", "partial_image", "partial_image"]
            assert [e.data for e in second[1:]] == [e.data for e in partial]
            assert len(inputs(easel)) == 2, "they lie there while it runs"
            sim.release()
            assert names(late.rest()) == ["task", "done"]
        rest = one.rest()
    assert names(rest)[-2:] == ["task", "done"] and "partial_image" not in names(rest)
    assert rest[-1].data["status"] == "SUCCESS" and rest[-1].data["images"]
    for i, e in enumerate(partial):
        assert e.data["type"] == "image_generation.partial_image" and e.data["partial_image_index"] == i
        assert e.picture[:4] == b"\x89PNG" and e.data["size"] == "1024x1024"
        assert {"created_at", "output_format", "quality", "background"} <= e.data.keys()
    wait_until(lambda: not inputs(easel), 5, "what was partial is removed")


@pytest.mark.parametrize("model, partial_images, sent, seen", [
    ("gpt-image-1", 0, False, 0), ("gpt-image-1", 3, True, None), ("gpt-image-1@sse-plain", 2, True, 0),
    ("dall-e-3", 2, False, 0), (NAI, 2, True, None)])
def test_partial_pictures_are_asked_for_where_there_are_some(easel, sim, model, partial_images, sent, seen):
    watch = Watch(sim)
    task = create(easel, model=model, partial_images=partial_images)
    with Events(easel, task) as stream:
        events = stream.rest()
    assert events[-1].data["status"] == "SUCCESS", events
    record = watch.one()
    assert (bool(record["body"].get("stream")) or record["path"].endswith("-stream")) is sent, record
    if seen is not None:
        assert names(events).count("partial_image") == seen
    assert ("partial_images" in events[-1].data["receipt"]) is (model == "dall-e-3"), events[-1].data["receipt"]
    wait_until(lambda: not inputs(easel), 5, "what was partial is removed")


def test_too_many_partial_pictures_are_refused(easel):
    answer = easel.post("/v1/tasks", {"prompt": "a panda", "model": "gpt-image-1", "partial_images": 4})
    expect_error(answer, 400, "integer_above_max_value", param="partial_images")


# ---- comments, clients that leave ----

def test_comments_come_while_nothing_changes(easel):
    task = create(easel, model="gpt-image-1@delay=2")
    with Events(easel, task) as stream:
        events = stream.rest()
        assert stream.comments >= 3, stream.comments
    assert names(events)[-1] == "done"


def test_a_client_that_leaves_ends_its_stream_and_not_the_task(easel, sim):
    task = create(easel, model="gpt-image-1@delay=2")
    with Events(easel, task) as stream:
        assert stream.next().name == "task"
        request_id = stream.request_id
    wait_until(lambda: easel.log_lines(request_id), 5, "its line in the log")
    assert read(easel, task)["status"] == "STARTED", "long before the task has ended"
    assert ended(easel, task)["status"] == "SUCCESS"


def test_what_has_ended_is_told_at_once_and_what_is_cancelled_is_told_to_who_follows(easel, sim):
    task = create(easel)
    done = ended(easel, task)
    with Events(easel, task) as stream:
        events = stream.rest()
    assert names(events) == ["task", "done"] and [e.data for e in events] == [done, done]

    watch = Watch(sim)
    create(easel, model=f"{NAI}@delay=2")
    wait_until(lambda: watch.requests("generate"), 10, "the call that is in the way")
    task = create(easel, model=NAI)
    with Events(easel, task) as stream:
        first = stream.next()
        assert (first.data["status"], first.data["queue_position"]) == ("PENDING", 1)
        assert first.data["progress"]["stage"] == "queue"
        assert cancel(easel, task).status == 200
        rest = stream.rest()
    assert names(rest) == ["task", "done"] and rest[-1].data["status"] == "REVOKED", rest


def test_who_waits_is_told_when_its_place_changes(easel, sim):
    watch = Watch(sim)
    create(easel, model=f"{NAI}@delay=0.2")
    wait_until(lambda: watch.requests("generate"), 10, "the call that is in the way")
    tasks = [create(easel, model=f"{NAI}@delay=0.2") for _ in range(3)]
    with Events(easel, tasks[-1]) as stream:
        events = stream.rest()
    places = [e.data["queue_position"] for e in events if e.data["status"] == "PENDING"]
    assert places == sorted(places, reverse=True) and places[0] >= 2 and places[-1] == 1, places
    assert events[-1].data["status"] == "SUCCESS"


# ---- what came ----

def test_a_tasks_pictures_are_among_the_stored_ones(easel):
    task = create(easel, n=2, prompt="a panda for the record", seed=7)
    end = ended(easel, task)

    def records():
        found = easel.get("/v1/images?q=panda%20for%20the%20record").json["data"]
        return found if len(found) == 2 else None
    found = wait_until(records, 5, "their records")
    assert {p["id"] for p in found} == {p["id"] for p in end["images"]}
    for p in found:
        assert (p["task_id"], p["request_id"], p["model"]) == (task["id"], end["request_id"], "gpt-image-1"), p
        assert p["parameters"]["n"] == 2 and p["seed"] == 7, p


def test_how_long_it_usually_takes_is_said_once_it_is_known(easel, sim):
    for _ in range(3):
        ended(easel, create(easel, model="gpt-image-1@delay=2"))
    task = create(easel, model="gpt-image-1@delay=2")
    assert 2 <= task["progress"]["usual_s"] <= 10, task
    with Events(easel, task) as stream:
        stages = [e.data["progress"]["stage"] for e in stream.rest() if e.data.get("progress")]
    assert "provider.submit" in stages, stages


def test_an_unknown_task_has_no_events(easel):
    answer = easel.get("/v1/tasks/task_00000000000000000000000000/events")
    expect_error(answer, 404, "not_found")
    key = easel.run("keys", "create", "--name", "another").stdout.strip()
    expect_error(easel.get(path_of(create(easel)["urls"]["events"]), key=key), 404, "not_found")
