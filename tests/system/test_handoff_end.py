"""Work whose process ends before it does: told to (the end of the drain) or killed.  It is never bought again."""
import itertools
import os
import re
import signal
import threading
import time

import pytest

from support import SLOW, Easel, Watch, expect_error, merge, sim_config, start_sim, wait_until

SIM, QWEN = "gpt-image-1@delay=6", "Qwen/Qwen-Image@task-seconds=6"
AGAIN = {"x-stainless-retry-count": "1"}
LEASE_S = 15
DATABASES = itertools.count(1)


@pytest.fixture(scope="module")
def sim():
    sim = start_sim()
    yield sim
    sim.stop()


@pytest.fixture(params=["sqlite", "redis"])
def easel(request, sim):
    """An installation that may end and be started again."""
    config = merge(sim_config(sim, ["delay=6"]), {
        "models": {QWEN: {"provider": "modelscope"}, "gpt-image-1@only": {"provider": "single", "upstream_model": SIM}},
        "providers": {"single": {"dialect": "openai", "base_url": sim.base_url + "/v1", "api_key": "sk-sim-single-0123456789",
                                 "concurrency": 1}},
        "deadline": {"grace": f"{30 * SLOW}s"}, "process": {"drain": "1s", "workers": 1},
        "server": {"stream_keep_alive": "500ms"}})
    if request.param == "redis":
        config = merge(config, {"store": {"url": request.getfixturevalue("redis").replace("db=0", f"db={next(DATABASES)}")}})
    easel = Easel(config)
    yield easel
    try:
        if easel.process and easel.process.poll() is None:
            easel.stop()
    finally:
        easel.kill()


class Ask(threading.Thread):
    """A request in a thread of its own; its answer, once it has ended."""

    def __init__(self, easel, headers=(), **members):
        super().__init__()
        self.easel, self.headers, self.members, self.answer = easel, headers, members, None
        self.start()

    def run(self):
        self.answer = self.easel.generate(self.headers, **self.members)

    def end(self):
        self.join(60 * SLOW)
        assert self.answer is not None, "no answer came"
        return self.answer


def at_the_provider(sim, watch, n=1):
    wait_until(lambda: len(watch.requests("generate")) >= n, 20, "the provider has been asked")


def end_and_start(easel):
    """SIGTERM, its end within the time it has, and the start after that."""
    easel.process.send_signal(signal.SIGTERM)
    assert easel.process.wait(15 * SLOW) == 0, easel.log()[-3000:]
    easel.process.stdout.close()
    easel.start()


def ended(easel, task_id):
    def look():
        answer = easel.get(f"/v1/tasks/{task_id}")
        assert answer.status == 200, answer
        return answer.json if answer.json["ended"] else None
    return wait_until(look, LEASE_S + 20, "the task's end")


def became(easel, model, task_id):
    """What must have become of it: the picture where the provider can be asked for it, else nobody knows."""
    task = ended(easel, task_id)
    if model == QWEN:
        assert task["status"] == "SUCCESS" and task["error"] is None, task
        assert easel.stored(task["images"][0]["url"])[:4] == b"\x89PNG"
    else:
        assert task["status"] == "FAILURE" and task["error"]["code"] == "outcome_unknown", task
        assert task["error"]["may_have_been_billed"] is True, task
    return task


def repeated(easel, model, headers, **members):
    """The same request again gets the same, and buys nothing."""
    answer = easel.generate(headers, model=model, **members)
    assert answer.header("idempotent-replayed") == "true", answer
    if model == QWEN:
        assert answer.status == 200, answer
    else:
        assert answer.status == 502 and answer.error["code"] == "outcome_unknown", answer
        assert answer.error["may_have_been_billed"] is True and answer.header("x-should-retry") == "false", answer
    return answer


# ---- the end of the drain ----

@pytest.mark.parametrize("model", [SIM, QWEN])
def test_at_the_end_of_the_drain_who_waits_is_told_the_task(easel, sim, model):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-drain"}
    ask = Ask(easel, headers, model=model)
    at_the_provider(sim, watch)
    begun = time.monotonic()
    end_and_start(easel)
    answer = ask.end()
    error = expect_error(answer, 503, "shutting_down", party="gateway", billed=True)
    assert re.match("^task_", error["task_id"]) and f"/v1/tasks/{error['task_id']}" in error["hint"]["text"], error
    assert answer.seconds < time.monotonic() - begun + 2 and answer.header("x-should-retry") == "false", answer
    became(easel, model, error["task_id"])
    repeated(easel, model, headers)
    assert len(watch.requests("generate")) == 1, "one purchase"


def test_a_stream_is_told_in_band(easel, sim):
    watch = Watch(sim)
    ask = Ask(easel, model=QWEN, stream=True)
    at_the_provider(sim, watch)
    time.sleep(1)  # the stream has begun: a comment has left
    end_and_start(easel)
    answer = ask.end()
    assert answer.status == 200 and b'"code":"shutting_down"' in answer.body, answer
    became(easel, QWEN, re.search(rb'"task_id":"(task_\w+)"', answer.body).group(1).decode())
    assert len(watch.requests("generate")) == 1


def test_who_waits_for_a_place_has_bought_nothing_and_may_try_again(easel, sim):
    watch = Watch(sim)
    first = Ask(easel, model="gpt-image-1@only")
    at_the_provider(sim, watch)
    second = Ask(easel, {"Idempotency-Key": "k-place"}, model="gpt-image-1@only", prompt="second")
    wait_until(lambda: "Image generation" in easel.log(), 5)
    time.sleep(0.5)
    end_and_start(easel)
    error = expect_error(second.end(), 503, "shutting_down")
    assert error["task_id"] is None and int(second.answer.header("retry-after")) > 0, second.answer
    assert expect_error(first.end(), 503, "shutting_down", billed=True)["task_id"]
    assert len(watch.requests("generate")) == 1
    again = easel.generate({"Idempotency-Key": "k-place"}, model="gpt-image-1@only", prompt="second")
    assert again.status == 200 and not again.header("idempotent-replayed"), again


def test_who_waits_for_a_place_with_a_task_of_its_own_gets_its_picture(easel, sim):
    """It was promised with 202, and nothing of it was bought."""
    watch = Watch(sim)
    first = Ask(easel, model="gpt-image-1@only")
    at_the_provider(sim, watch)
    second = easel.generate({"Prefer": "respond-async"}, model="gpt-image-1@only", prompt="second")
    assert second.status == 202, second
    end_and_start(easel)
    first.end()
    task = ended(easel, second.json["id"])
    assert task["status"] == "SUCCESS", task
    assert easel.stored(task["images"][0]["url"])[:4] == b"\x89PNG"
    assert len(watch.requests("generate")) == 2


def test_a_repetition_that_waits_is_told_the_task_of_the_first(easel, sim):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-both"}
    first = easel.generate({**headers, "x-easel-deadline": "1s"}, model=QWEN)
    again = Ask(easel, headers, model=QWEN)
    wait_until(lambda: easel.log().count("POST /v1/images/generations") >= 1, 5)
    time.sleep(0.5)
    end_and_start(easel)
    assert expect_error(again.end(), 503, "shutting_down", billed=True)["task_id"] == first.error["task_id"]
    became(easel, QWEN, first.error["task_id"])
    assert len(watch.requests("generate")) == 1


# ---- kill -9 ----

def kill_workers(easel, name="handlers/images-generations"):
    """All processes of the program that are no parents of others."""
    found = easel.named(name)
    parents = {p.parent for p in found}
    for p in found:
        if p.pid not in parents:
            os.kill(p.pid, signal.SIGKILL)


def kill_all(easel):
    for p in [*easel.tree(), easel.process]:
        try:
            os.kill(p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    easel.process.wait()
    easel.process.stdout.close()
    easel.start()


def request_that_breaks(easel, headers, model):
    try:
        answer = easel.generate(headers, model=model)
        assert answer.status >= 500 and answer.header("x-should-retry") == "false", answer
    except OSError:
        pass
    except Exception as error:  # http.client's
        assert "Remote" in type(error).__name__ or "Incomplete" in type(error).__name__, error


@pytest.mark.parametrize("kill", [kill_workers, kill_all])
@pytest.mark.parametrize("model", [SIM, QWEN])
def test_after_a_kill_the_key_leads_to_what_became_of_it(easel, sim, model, kill):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-kill"}
    ask = threading.Thread(target=lambda: request_that_breaks(easel, headers, model))
    ask.start()
    at_the_provider(sim, watch)
    if model == QWEN:
        wait_until(lambda: watch.requests("task"), 10, "it was asked for its task")
    kill(easel)
    ask.join(60 * SLOW)
    repeated(easel, model, headers)
    assert len(watch.requests("generate")) == 1, "one purchase"


def test_after_a_kill_an_sdks_retry_finds_what_its_provider_knows_by_name(easel, sim):
    watch = Watch(sim)
    ask = threading.Thread(target=lambda: request_that_breaks(easel, (), QWEN))
    ask.start()
    wait_until(lambda: watch.requests("task"), 10, "it was asked for its task")
    kill_workers(easel)
    ask.join(60 * SLOW)
    repeated(easel, QWEN, AGAIN)
    assert len(watch.requests("generate")) == 1, "one purchase"


@pytest.mark.parametrize("model", [SIM, QWEN])
def test_work_that_was_handed_off_outlives_a_kill_as_its_task(easel, sim, model):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-handed"}
    first = easel.generate({**headers, "x-easel-deadline": "1s"}, model=model)
    kill_workers(easel)
    became(easel, model, expect_error(first, 504, "deadline_exceeded", billed=True)["task_id"])
    repeated(easel, model, headers)
    assert len(watch.requests("generate")) == 1, "one purchase"
