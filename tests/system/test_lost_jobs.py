"""What becomes of a synchronous request whose process is killed: it goes on where the provider knows it by name, else its
outcome is not known, and a repetition is told so.  Never is it bought again."""
import base64
import os
import signal
import socket

import pytest

from redis_server import Redis
from store_away import Stopped, gives_slots
from support import SIM_KEY, SLOW, Request, Watch, alive, expect_error, merge, modelscope, sim_config, wait_until
from tasks import kill_program

MAKER = "images-generations"
NAMED = "Qwen/Qwen-Image@task-seconds=2"
NOWHERE = "gpt-image-1@nowhere"
SERIAL = "Qwen/Qwen-Image@task-seconds=5"
FOREVER = "Qwen/Qwen-Image@task-forever"
NAMELESS = "gpt-image-1@delay=2"
RETRY = {"x-stainless-retry-count": "1"}


@pytest.fixture(scope="module")
def nowhere():
    """An address whose connections nobody takes, after the first."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def easel(request, start_easel, sim, nowhere):
    config = merge(sim_config(sim, ["delay=2"]), {
        "providers": {"serial": modelscope(sim, concurrency=1),
                      "nowhere": {"dialect": "openai", "base_url": nowhere, "api_key": SIM_KEY,
                                  "connect_timeout": "60s"}},
        "models": {m: {"provider": "modelscope"} for m in (NAMED, FOREVER)} | {NOWHERE: {"provider": "nowhere"}, SERIAL: {"provider": "serial"}}, "deadline": {"grace": "30s"}, "store": {"task_lease": "3s"}})
    if request.param == "sqlite":
        yield start_easel(config)
        return
    redis = Redis()
    try:
        easel = start_easel(merge(config, {"store": {"url": redis.url}}))
        yield easel
        easel.stop()
        easel.process = None
    finally:
        redis.stop()


def killed(easel, sim, headers, **members):
    """A request is sent and accepted by the provider, and its program killed within its first second."""
    watch = Watch(sim)
    first = Request(easel, headers=headers, **members)
    wait_until(lambda: any(r["body_end"] for r in watch.requests("generate")), 10, "the purchase")
    if members["model"] == NAMED:  # its name has come
        wait_until(lambda: watch.requests("task"), 10, "a poll")
    kill_program(easel, MAKER)
    first.join()
    return watch, first.answer


def purchases(watch):
    return [r for r in watch.requests("generate") if r["purchase"]]


@pytest.mark.parametrize("headers,again", [({"Idempotency-Key": "lost-named"}, {}), ({}, RETRY)])
def test_a_repetition_gets_what_the_provider_had_named(easel, sim, headers, again):
    members = {"model": NAMED, "prompt": f"named {headers}", "response_format": "url"}
    watch, answer = killed(easel, sim, headers, **members)
    expect_error(answer, 500, "handler_crashed", billed=True)
    answer = easel.generate(headers={**headers, **again}, **members)
    assert answer.status == 200 and answer.header("idempotent-replayed") == "true", answer
    assert easel.stored(answer.json["data"][0]["url"])[:4] == b"\x89PNG"
    assert len(purchases(watch)) == 1
    task = easel.get("/v1/tasks?limit=1").json["data"][0]
    assert (task["status"], task["model"], task["provider"]) == ("SUCCESS", NAMED, "modelscope"), task
    assert [a["outcome"] for a in task["attempts"]] == ["worker_lost", "succeeded"], task


@pytest.mark.parametrize("headers,again", [({"Idempotency-Key": "lost-nameless"}, {}), ({}, RETRY)])
def test_a_repetition_is_told_that_nobody_knows(easel, sim, headers, again):
    members = {"model": NAMELESS, "prompt": f"nameless {headers}"}
    watch, answer = killed(easel, sim, headers, **members)
    expect_error(answer, 500, "handler_crashed", billed=True)
    error = expect_error(easel.generate(headers={**headers, **again}, **members), 502, "outcome_unknown", billed=True)
    assert error["task_id"] is None and len(purchases(watch)) == 1


def test_a_prompt_that_is_too_long_to_be_noted_does_not_hinder(easel, sim):
    members = {"model": NAMED, "prompt": '"long"\n' * 280, "response_format": "url", "output_format": "jpeg"}
    watch, _ = killed(easel, sim, {}, **members)
    answer = easel.generate(headers=RETRY, **members)
    assert answer.status == 200, answer
    assert easel.stored(answer.json["data"][0]["url"])[:3] == b"\xff\xd8\xff", "what was asked for is known"
    assert len(purchases(watch)) == 1


def test_what_its_workers_die_of_ends(easel, sim):
    """Also when the provider knows it by name, and each could go on."""
    watch = Watch(sim)
    answer = easel.post("/v1/tasks", {"model": FOREVER, "prompt": "poison"})
    path = "/v1/tasks/" + answer.json["id"]

    def attempts():
        return easel.get(path).json["attempts"]

    for deaths in range(4):
        wait_until(lambda: len(attempts()) == deaths + 1 and attempts()[-1]["outcome"] is None, 20, "the next attempt")
        if not deaths:
            wait_until(lambda: watch.requests("task"), 10, "a poll")
        kill_program(easel, "task-worker")
    task = wait_until(lambda: (lambda t: t["status"] == "FAILURE" and t)(easel.get(path).json), 20, "its end")
    assert task["error"]["code"] == "outcome_unknown" and task["error"]["may_have_been_billed"] is True, task
    assert [a["outcome"] for a in task["attempts"]] == ["worker_lost"] * 4, task
    assert len(purchases(watch)) == 1


def test_what_waits_to_be_gone_on_with_is_not_bought_again(easel, sim):
    """A worker takes over a task that has a name at the provider, waits for the account's turn, and dies as well."""
    watch = Watch(sim)
    path = "/v1/tasks/" + easel.post("/v1/tasks", {"model": SERIAL, "prompt": "goes on later"}).json["id"]

    def attempts():
        return [a["outcome"] for a in easel.get(path).json["attempts"]]

    wait_until(lambda: watch.requests("task"), 10, "a poll")
    kill_program(easel, "task-worker")
    first = Request(easel, model=SERIAL, prompt="has the turn", response_format="url")
    wait_until(lambda: attempts() == ["worker_lost", None], 20, "the second worker")
    kill_program(easel, "task-worker")
    task = wait_until(lambda: (lambda t: t["status"] == "SUCCESS" and t)(easel.get(path).json), 40, "its end")
    assert [a["outcome"] for a in task["attempts"]] == ["worker_lost", "worker_lost", "succeeded"], task
    first.join()
    assert first.answer.status == 200, first.answer
    assert sorted(r["body"]["prompt"] for r in purchases(watch)) == ["goes on later", "has the turn"]


def test_what_waits_longer_than_a_task_may_take_is_not_bought_again_either(start_easel, sim):
    """It has its name at the provider; in the queue that would be forgotten."""
    easel = start_easel(merge(sim_config(sim), {
        "providers": {"serial": modelscope(sim, concurrency=1)}, "models": {SERIAL: {"provider": "serial"}},
        "store": {"task_lease": "3s"}, "deadline": {"task_run": "2s"}}))
    watch = Watch(sim)
    path = "/v1/tasks/" + easel.post("/v1/tasks", {"model": SERIAL, "prompt": "waits long"}).json["id"]
    wait_until(lambda: watch.requests("task"), 10, "a poll")
    kill_program(easel, "task-worker")
    others = [Request(easel, model=SERIAL, prompt=f"has the turn {i}", response_format="url") for i in range(2)]
    task = wait_until(lambda: (lambda t: t["ended"] and t)(easel.get(path).json), 60, "its end")
    assert task["status"] == "SUCCESS", task
    assert [a["outcome"] for a in task["attempts"]] == ["worker_lost", "succeeded"], task
    assert [other.end().status for other in others] == [200, 200]
    assert len(purchases(watch)) == 3
    easel.stop()
    easel.process = None


def test_nor_when_the_store_is_away_while_it_waits(start_easel, sim, next_redis):
    redis = next_redis()
    config = merge(sim_config(sim), {"providers": {"serial": modelscope(sim, concurrency=1)},
                                     "models": {SERIAL: {"provider": "serial"}}, "store": {"url": redis.url, "task_lease": "3s"}})
    try:
        easel = start_easel(config)
        wait_until(lambda: gives_slots(redis), 10, "slots")
        watch = Watch(sim)
        path = "/v1/tasks/" + easel.post("/v1/tasks", {"model": SERIAL, "prompt": "waits without a store"}).json["id"]
        wait_until(lambda: watch.requests("task"), 10, "a poll")
        kill_program(easel, "task-worker")
        others = [Request(easel, model=SERIAL, prompt=f"has the turn {i}", response_format="url") for i in range(2)]
        wait_until(lambda: "its worker died; goes on with" in easel.log(), 20, "the second worker")
        Stopped(redis).go()
        wait_until(lambda: "left to whoever finds it" in easel.log(), 20, "it cannot wait")
        Stopped(redis).come()
        task = wait_until(lambda: (lambda t: t["ended"] and t)(easel.get(path).json), 60, "its end")
        assert task["status"] == "SUCCESS", task
        for other in others:
            other.end()
        assert [r["body"]["prompt"] for r in purchases(watch)].count("waits without a store") == 1
        easel.stop()
        easel.process = None
    finally:
        Stopped(redis).come()
        redis.stop()


def test_what_had_not_left_is_not_unknown(easel):
    """Its row says beforehand that the provider may be reached, its intent that nothing had left."""
    path = "/v1/tasks/" + easel.post("/v1/tasks", {"model": NOWHERE, "prompt": "nowhere"}).json["id"]

    def attempts():
        return [a["outcome"] for a in easel.get(path).json["attempts"]]

    wait_until(lambda: attempts() == [None], 10, "the first attempt")
    kill_program(easel, "task-worker")
    wait_until(lambda: attempts() == ["worker_lost", None], 10, "the second attempt")
    assert easel.request("DELETE", path).status == 200
    wait_until(lambda: easel.get(path).json["status"] == "REVOKED", 10, "its end")


def test_pictures_that_went_with_a_request_are_not_done_without(easel):
    """It became a task before it was sent; another worker has no picture to start from."""
    picture = base64.b64encode(easel.stored(easel.generate(prompt="first", model="relay-url").json["data"][0]["url"]))
    answer = easel.post("/v1/images/edits", {"model": NOWHERE, "prompt": "edit", "image":
                                             "data:image/png;base64," + picture.decode()}, {"Prefer": "respond-async"})
    assert answer.status == 202, answer
    path = "/v1/tasks/" + answer.json["id"]
    wait_until(lambda: easel.get(path).json["progress"]["stage"] == "provider.submit", 10, "its attempt")
    kill_program(easel, "images-edits")
    task = wait_until(lambda: (lambda t: t["status"] == "FAILURE" and t)(easel.get(path).json), 20, "its end")
    assert (task["error"]["code"], task["error"]["may_have_been_billed"]) == ("handler_crashed", False), task


def test_a_repetition_of_what_had_not_left_begins_anew(easel, sim):
    members = {"model": NOWHERE, "prompt": "nowhere at once"}
    headers = {"Idempotency-Key": "lost-nowhere"}
    first = Request(easel, headers=headers, **members)
    wait_until(lambda: "prompt='nowhere at once'" in easel.log(), 10, "its attempt")
    kill_program(easel, MAKER)
    first.join()
    answer = easel.generate(headers={**headers, "x-easel-deadline": "1s"}, **members)
    error = expect_error(answer, 504, "deadline_exceeded", stage="provider.connect")
    assert error["task_id"] is None and answer.header("idempotent-replayed") is None, answer


def test_one_that_has_a_successor_already_is_found_too(easel, sim):
    """Its parent was killed: the worker goes on beside its successors, until it is killed as well."""
    members, headers = {"model": NAMELESS, "prompt": "orphan"}, {"Idempotency-Key": "lost-orphan"}
    watch = Watch(sim)
    first = Request(easel, headers=headers, **members)
    wait_until(lambda: any(r["body_end"] for r in watch.requests("generate")), 10, "the purchase")
    before = easel.named("handlers/" + MAKER)
    parent, = [p for p in before if p.parent == easel.process.pid]
    os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: len({p.pid for p in easel.named("handlers/" + MAKER)} - {p.pid for p in before}) == 3, 10,
               "the successors")
    assert any(alive(p) for p in before), "the worker goes on"
    for p in before:
        if p != parent and alive(p):
            os.kill(p.pid, signal.SIGKILL)
    first.join()
    answer = easel.generate(headers=headers, **members)
    expect_error(answer, 502, "outcome_unknown", billed=True)
    assert answer.seconds < 5 * SLOW and len(purchases(watch)) == 1, answer
