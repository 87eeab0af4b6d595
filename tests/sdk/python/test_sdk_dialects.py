"""Every dialect through the official Python SDK: pictures, edits and chat, plain and streamed; nothing is changed on the way."""
import base64
import re

import openai
import pytest

from sim.pictures import Picture, png, serial_of
from support import grok, merge, sim_config

PROMPT = "一只可爱的熊猫"
MODELS = ("gpt-image-1", "dall-e-3", "relay-url", "Qwen/Qwen-Image", "nai-diffusion-4-5-full", "grok-imagine-1.0",
          "grok-imagine-image")
EDIT_MODELS = ("gpt-image-1", "Qwen/Qwen-Image-Edit", "nai-diffusion-4-5-full", "grok-imagine-image")
PARTIALS = ("gpt-image-1", "grok-imagine-1.0")


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    official = {k: v for k, v in grok(sim, base_url=sim.base_url + "/grok/v1", api_key="xai-sim-0123456789").items()
                if k in ("dialect", "base_url", "api_key")}
    return start_easel(merge(sim_config(sim), {
        "providers": {"xai": official},
        "models": {"grok-imagine-image": {"provider": "xai"}, "Qwen/Qwen-Image-Edit": {"provider": "modelscope"}}}))


@pytest.fixture
def client(easel):
    with openai.OpenAI(base_url=easel.url + "/v1", api_key=easel.key, max_retries=0) as client:
        yield client


def check(data, size=None):
    """The very bytes that the provider made."""
    kind = {b"\x89PNG": "png", b"RIFF": "webp"}.get(data[:4], "jpeg")
    assert serial_of(data) is not None
    if size:
        width, height = map(int, size.split("x"))
        assert data == Picture(serial_of(data), width, height, kind, bytes=len(data)).render()
    return data


def picture():
    return ("a.png", png(1, 64, 64), "image/png")


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
@pytest.mark.parametrize("model", MODELS)
def test_generate(easel, client, model, response_format):
    answer = client.images.generate(model=model, prompt=PROMPT, response_format=response_format)
    item = answer.data[0]
    assert (item.url is None) != (item.b64_json is None)
    check(easel.stored(item.url) if item.url else base64.b64decode(item.b64_json), answer.size)


@pytest.mark.parametrize("model", MODELS)
def test_generate_streamed(easel, client, model):
    events = list(client.images.generate(model=model, prompt=PROMPT, stream=True, partial_images=1))
    assert events[-1].type == "image_generation.completed"
    assert [e.type for e in events[:-1]] == ["image_generation.partial_image"] * (model in PARTIALS)
    check(base64.b64decode(events[-1].b64_json), events[-1].size)
    assert base64.b64decode(events[-1].b64_json) == easel.stored(events[-1].url)


@pytest.mark.parametrize("model", EDIT_MODELS)
def test_edit(easel, client, model):
    answer = client.images.edit(model=model, prompt=PROMPT, image=picture(), response_format="url")
    check(easel.stored(answer.data[0].url), answer.size)


@pytest.mark.parametrize("model", EDIT_MODELS)
def test_edit_streamed(easel, client, model):
    events = list(client.images.edit(model=model, prompt=PROMPT, image=picture(), stream=True))
    assert [e.type for e in events] == ["image_edit.completed"]
    assert check(base64.b64decode(events[0].b64_json)) == easel.stored(events[0].url)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("model", MODELS)
def test_chat(easel, client, model, stream):
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": PROMPT}], stream=stream)
    if stream:
        text = "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
    else:
        text = answer.choices[0].message.content
    urls = re.findall(r"!\[image\]\(([^)]+)\)", text)
    assert len(urls) == 1
    check(easel.stored(urls[0]))
