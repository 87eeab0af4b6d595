"""Hand-off with every kind of provider and every kind of request: the work goes on, and its task has the picture."""
import base64
import json
import re

import pytest

from sim.pictures import png
from support import NOVELAI_TOKEN, SLOW, Watch, expect_error, grok, merge, novelai, sim_config, start_sim, wait_until

LATE = {"x-easel-deadline": "1500ms"}
PANDA = [{"role": "user", "content": "a panda"}]
SOURCE = "data:image/png;base64," + base64.b64encode(png(900301, 64, 64)).decode()
DELAYED = "gpt-image-1@delay=3"
NAI = "nai-diffusion-4-5-full@delay=3"
QWEN, QWEN_EDIT = "Qwen/Qwen-Image@task-seconds=3", "Qwen/Qwen-Image-Edit@task-seconds=3"
GROK, GROK_HTTP, GROK_API = "grok ws", "grok http", "grok api"
PROMPT = {GROK_HTTP: "a panda @delay=3"}
MODELS = (DELAYED, NAI, QWEN, GROK, GROK_HTTP, GROK_API)
EDITORS = (DELAYED, NAI, QWEN_EDIT)


@pytest.fixture(scope="module")
def sim():
    sim = start_sim()
    yield sim
    sim.stop()


def config(sim):
    return merge(sim_config(sim), {
        "providers": {"ws": grok(sim, "delay=3"), "http": grok(sim),
                      "api": {"dialect": "grok", "base_url": sim.base_url + "/grok/v1", "api_key": "xai-sim-0123456789abcdef"},
                      "novelai": novelai(sim, token=NOVELAI_TOKEN, concurrency=0)},
        "models": {DELAYED: {"provider": "sim"}, NAI: {"provider": "novelai"}, QWEN: {"provider": "modelscope"},
                   QWEN_EDIT: {"provider": "modelscope"}, GROK: {"provider": "ws", "upstream_model": "grok-imagine-1.0"},
                   GROK_HTTP: {"provider": "http", "upstream_model": "grok-imagine-1.0"},
                   GROK_API: {"provider": "api", "upstream_model": "grok-imagine-image@delay=3"}},
        "deadline": {"grace": f"{30 * SLOW}s"}, "server": {"stream_keep_alive": "500ms"}})


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def both(request, start_easel, sim):
    """Two installations: the page's HTTP door is a switch of the whole one."""
    store = {"store": {"url": request.getfixturevalue("redis").replace("db=0", "db=1")}} if request.param == "redis" else {}
    ws = start_easel(merge(config(sim), store))
    store = {"store": {"url": request.getfixturevalue("redis").replace("db=0", "db=2")}} if request.param == "redis" else {}
    return ws, start_easel(merge(merge(config(sim), store), {"image": {"image_ws": False}}))


def choose(both, model):
    return both[model == GROK_HTTP]


def bought(watch):
    return [r for r in watch.requests() if r["kind"] in ("generate", "edit", "ws", "conversation")]


def has_the_picture(easel, watch, error):
    def look():
        answer = easel.get(f"/v1/tasks/{error['task_id']}")
        assert answer.status == 200, answer
        return answer.json if answer.json["ended"] else None
    task = wait_until(look, 20, "the task's end")
    assert task["status"] == "SUCCESS" and len(task["images"]) == 1, task
    assert easel.stored(task["images"][0]["url"])
    assert len(bought(watch)) == 1, bought(watch)
    return task


@pytest.mark.parametrize("model", MODELS)
def test_a_plain_request(both, sim, model):
    easel, watch = choose(both, model), Watch(sim)
    answer = easel.generate(LATE, model=model, prompt=PROMPT.get(model, "a panda"))
    error = expect_error(answer, 504, "deadline_exceeded", billed=True)
    assert answer.header("x-should-retry") == "false" and 1 < answer.seconds < 2.5 * SLOW, answer
    task = has_the_picture(easel, watch, error)
    assert task["model"] == model and task["request_id"] == error["request_id"], task


@pytest.mark.parametrize("model", MODELS)
def test_a_stream(both, sim, model):
    easel, watch = choose(both, model), Watch(sim)
    answer = easel.generate(LATE, model=model, prompt=PROMPT.get(model, "a panda"), stream=True)
    assert answer.status == 200 and answer.body.startswith(b":"), answer
    data = json.loads(re.search(rb"event: error\ndata: (.*)", answer.body).group(1))
    assert data["error"]["code"] == "deadline_exceeded" and data["easel"]["task_id"] == data["error"]["task_id"], data
    has_the_picture(easel, watch, data["error"])


@pytest.mark.parametrize("model", EDITORS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_edit(both, sim, model, stream):
    easel, watch = both[0], Watch(sim)
    answer = easel.post("/v1/images/edits", {"model": model, "prompt": "a panda", "image": SOURCE, "stream": stream}, LATE)
    if stream:
        error = json.loads(re.search(rb"event: error\ndata: (.*)", answer.body).group(1))["error"]
        assert answer.status == 200 and error["code"] == "deadline_exceeded", answer
    else:
        error = expect_error(answer, 504, "deadline_exceeded", billed=True)
    has_the_picture(easel, watch, error)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_chat(both, sim, model, stream):
    easel, watch = choose(both, model), Watch(sim)
    messages = [{"role": "user", "content": PROMPT.get(model, "a panda")}]
    answer = easel.post("/v1/chat/completions", {"model": model, "messages": messages, "stream": stream}, LATE)
    if stream:
        assert answer.status == 200 and answer.header("content-type").startswith("text/event-stream"), answer
        events = [json.loads(e) for e in re.findall(rb"^data: (\{.*)$", answer.body, re.M)]
        error = events[-1]["error"]
        assert error["code"] == "deadline_exceeded" and "choices" not in events[-1], answer
    else:
        error = expect_error(answer, 504, "deadline_exceeded", billed=True)
    has_the_picture(easel, watch, error)


@pytest.mark.parametrize("path, body", [
    ("/v1/images/edits", {"image": SOURCE, "prompt": "a panda"}), ("/v1/chat/completions", {"messages": PANDA})])
def test_who_prefers_it_gets_the_task_at_once_on_every_route(both, sim, path, body):
    easel, watch = both[0], Watch(sim)
    answer = easel.post(path, {"model": DELAYED, **body}, {"Prefer": "respond-async"})
    assert answer.status == 202 and answer.seconds < 1 * SLOW, answer
    assert answer.header("location") == f"/v1/tasks/{answer.json['id']}", answer
    has_the_picture(easel, watch, {"task_id": answer.json["id"]})


@pytest.mark.parametrize("model", [NAI, QWEN, GROK])
def test_a_repetition_joins_whatever_the_provider(both, sim, model):
    easel, watch, headers = both[0], Watch(sim), {"Idempotency-Key": f"k {model}"}
    first = easel.generate({**headers, **LATE}, model=model)
    again = easel.generate(headers, model=model, response_format=None)
    assert first.status == 504 and again.status == 200 and again.header("idempotent-replayed") == "true", (first, again)
    assert len(bought(watch)) == 1
