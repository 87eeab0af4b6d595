"""Chat that is passed through: other models when the first cannot answer, the end of the drain, answers of any length."""
import http.client
import json
import signal
import threading
import time

import pytest

from support import SIM_KEY, SLOW, Easel, Watch, expect_error, merge, request, sim_config, wait_until

MIB = 1 << 20
PLAIN, STREAM = "chat-images@picture-bytes=14000000", "chat-only-events@picture-bytes=14000000"
CUT = ",truncate-chunked,after=0.95"


def config(sim, **more):
    away = {"dialect": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": SIM_KEY}
    return merge(sim_config(sim), merge({
        "providers": {"away": away, "preview": {"dialect": "preview"}, "none": {**away, "base_url": "http://127.0.0.1:2/v1"},
                      "single": {"dialect": "openai", "base_url": sim.base_url + "/v1", "api_key": SIM_KEY, "concurrency": 1}},
        "models": {
            **{m: {"provider": "sim", "type": "chat"} for m in (PLAIN, STREAM, PLAIN + CUT, STREAM + CUT)},
            "writer": {"provider": "sim", "type": "chat", "upstream_model": "gpt-4o-mini"},
            "mute": {"provider": "sim", "type": "chat", "upstream_model": "gpt-4o-mini@silence", "fallback": ["writer"]},
            "halting": {"provider": "sim", "type": "chat", "upstream_model": "gpt-4o-mini@stall,chunks=40"},
            "queued": {"provider": "single", "type": "chat", "upstream_model": "gpt-4o-mini@silence"},
            "away": {"provider": "away", "type": "chat", "fallback": ["no-chat", "writer"]},
            "no-chat": {"provider": "preview", "type": "chat"},
            "refused": {"provider": "sim", "type": "chat", "upstream_model": "gpt-4o-mini@status=401", "fallback": ["far", "writer"]},
            "far": {"provider": "away", "type": "chat"},
            "lost": {"provider": "away", "type": "chat", "fallback": ["lost-too"]},
            "lost-too": {"provider": "none", "type": "chat"},
            "bought": {"provider": "sim", "type": "chat", "upstream_model": "gpt-4o-mini@status=500", "fallback": ["writer"]},
            "wrong": {"provider": "sim", "type": "chat", "upstream_model": "gpt-4o-mini@status=400", "fallback": ["writer"]},
            "broken": {"provider": "sim", "type": "chat", "upstream_model": "gpt-4o-mini@truncate-chunked,after=0.5",
                       "fallback": ["writer"]},
        },
        "deadline": {"chat_idle": ""}}, more))


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(config(sim))


@pytest.fixture
def watch(sim):
    return Watch(sim)


def body(model, **members):
    return {"model": model, "messages": [{"role": "user", "content": "a panda"}], **members}


def chat(easel, model, **members):
    return easel.post("/v1/chat/completions", body(model, **members))


def data(answer):
    """What a stream's events hold, [DONE] aside."""
    lines = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


# ---- other models ----

def says_a_lighthouse(answer, stream):
    assert answer.status == 200, answer
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in data(answer)) if stream else \
        answer.json["choices"][0]["message"]["content"]
    return text.startswith("A lighthouse")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model, attempts", [("away", 4), ("refused", 5)])
def test_the_next_model_is_asked_when_nothing_can_have_been_bought(easel, watch, model, attempts, stream):
    answer = chat(easel, model, stream=stream)
    assert says_a_lighthouse(answer, stream), answer
    assert answer.headers.get_all("x-easel-model") == ["writer"]
    assert answer.header("x-easel-attempts") == str(attempts)  # three where nobody is
    assert watch.requests("chat")[-1]["body"]["model"] == "gpt-4o-mini"


def test_the_last_models_failure_is_told(easel):
    answer = chat(easel, "lost", stream=True)
    assert expect_error(answer, 502, "upstream_connect_failed")["upstream"]["name"] == "none"
    assert answer.header("x-easel-model") == "lost-too" and answer.header("x-easel-attempts") == "6"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model, status, code, billed", [
    ("bought", 502, "upstream_failed", True), ("wrong", 400, "upstream_task_rejected", False)])
def test_no_other_model_is_asked_for_what_may_be_bought_or_is_wrong(easel, watch, model, status, code, billed, stream):
    answer = chat(easel, model, stream=stream)
    assert expect_error(answer, status, code, param=answer.error["param"], billed=billed)
    assert answer.header("x-easel-model") == model and answer.header("x-easel-attempts") == "1"
    assert len(watch.requests("chat")) == 1


def test_no_other_model_goes_on_with_a_stream_that_broke_off(easel, watch):
    answer = chat(easel, "broken", stream=True)
    assert data(answer)[-1]["error"]["code"] == "upstream_truncated" and answer.header("x-easel-model") == "broken"
    assert len(watch.requests("chat")) == 1


# ---- the end of the drain ----

class Ask(threading.Thread):
    """A request in a thread of its own; its answer, or how it broke, once it has ended."""

    def __init__(self, easel, model, **members):
        super().__init__(daemon=True)
        self.easel, self.model, self.members, self.answer = easel, model, members, None
        self.start()

    def run(self):
        try:
            self.answer = chat(self.easel, self.model, **self.members)
        except (OSError, http.client.HTTPException) as error:
            self.answer = error

    def end(self):
        self.join(60 * SLOW)
        assert self.answer is not None and not isinstance(self.answer, Exception), self.answer
        return self.answer


@pytest.fixture
def ending(sim):
    easel = Easel(config(sim, process={"drain": "1s", "workers": 1}))
    yield easel
    easel.kill()


def end(easel):
    start = time.monotonic()
    easel.process.send_signal(signal.SIGTERM)
    assert easel.process.wait(15 * SLOW) == 0, easel.log()[-3000:]
    return time.monotonic() - start


@pytest.mark.parametrize("stream", [False, True])
def test_at_the_end_of_the_drain_who_waits_is_told(ending, watch, stream):
    ask = Ask(ending, "mute", stream=stream)
    wait_until(lambda: watch.requests("chat"), 10, "the provider has been asked")
    assert end(ending) >= 0.9, "it had the drain's time"
    answer = ask.end()
    error = expect_error(answer, 503, "shutting_down", party="gateway", stage="provider.wait", billed=True)
    assert error["upstream"]["name"] == "sim" and error["task_id"] is None
    assert len(watch.requests("chat")) == 1, "no other model is asked"


def test_what_was_not_asked_for_can_be_asked_for_again(ending, watch):
    first = Ask(ending, "queued")
    wait_until(lambda: watch.requests("chat"), 10, "the provider has been asked")
    second = Ask(ending, "queued")
    wait_until(lambda: "place 2 in the line" in ending.post("/v1/chat/completions", body("queued"),
                                                            {"x-easel-deadline": f"{150 * SLOW}ms"}).error["message"])
    end(ending)
    expect_error(first.end(), 503, "shutting_down", billed=True)
    answer = second.end()
    expect_error(answer, 503, "shutting_down", party="gateway", billed=False)
    assert int(answer.header("retry-after")) > 0
    assert len(watch.requests("chat")) == 1


def test_a_stream_is_told_in_band(ending, watch):
    ask = Ask(ending, "halting", stream=True)
    wait_until(lambda: [r for r in watch.requests("chat") if r["first_byte"]], 10, "the stream's beginning")
    end(ending)
    said = data(ask.end())
    assert len(said) > 1 and said[-1]["error"]["code"] == "shutting_down", said
    assert said[-1]["error"]["may_have_been_billed"] is True


# ---- answers of any length ----

def picture(value, name):
    return value["choices"][0][name]["images"][0]["image_url"]["url"]


def test_a_plain_answer_may_be_of_any_length(easel, sim, watch):
    members = {"model": PLAIN, "messages": [{"role": "user", "content": "a panda"}]}
    answer = chat(easel, PLAIN)
    assert answer.status == 200 and answer.header("content-type") == "application/json", answer
    assert answer.header("x-easel-model") == PLAIN and answer.header("x-easel-attempts") == "1"
    assert len(answer.body) > 17 * MIB and answer.header("content-length") == str(len(answer.body))
    assert len(picture(answer.json, "message")) > 17 * MIB
    # byte for byte, but for what is another each time
    there = request(sim.base_url, "POST", "/v1/chat/completions", json.dumps(members).encode(),
                    {"Authorization": f"Bearer {SIM_KEY}", "Content-Type": "application/json"})
    assert len(there.body) == len(answer.body) and there.body[-120:] == answer.body[-120:]


def test_a_streams_line_may_be_of_any_length(easel):
    said = data(chat(easel, STREAM, stream=True))
    assert len(picture(said[-1], "delta")) > 17 * MIB


def test_a_long_answer_that_breaks_off_is_not_taken_for_whole(easel, watch):
    with pytest.raises(http.client.IncompleteRead):
        chat(easel, PLAIN + CUT)
    wait_until(lambda: "code=upstream_truncated" in easel.log(), what="the log line")
    assert len(watch.requests("chat")) == 1
    lines = [line for line in chat(easel, STREAM + CUT, stream=True).body.decode().split("\n\n") if line]
    assert len(lines[-2]) > 16 * MIB and "\n" not in lines[-1]
    assert json.loads(lines[-1][6:])["error"]["code"] == "upstream_truncated"


def test_no_key_is_quoted_in_a_long_line(easel, sim):
    sim.faults({"fault": "sse-error", "message": (SIM_KEY + " ") * (17 * MIB // len(SIM_KEY))})
    said = chat(easel, "writer", stream=True).body
    # nor a part of one, wherever the pieces end
    assert len(said) > 16 * MIB and b"sk-" not in said and SIM_KEY[-5:].encode() not in said


@pytest.mark.parametrize("image_bytes, fits", [("50MB", True), ("1MB", False)])
def test_an_answer_that_becomes_events_has_the_bound_that_its_hint_names(start_easel, sim, image_bytes, fits):
    easel = start_easel(config(sim, limits={"image_bytes": image_bytes}))
    answer = chat(easel, PLAIN, stream=True)
    if fits:
        assert len(picture(data(answer)[0], "delta")) > 17 * MIB
    else:
        error = expect_error(answer, 502, "upstream_too_large", billed=True)
        assert "image_bytes" in error["hint"]["text"]
