"""Streams of pictures through the official Python SDK, unchanged."""
import asyncio
import base64

import openai
import pytest

from support import SDK_FAULTS, sim_config

PROMPT = "一只可爱的熊猫"


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(sim_config(sim, SDK_FAULTS))


@pytest.fixture
def client(easel):
    with openai.OpenAI(base_url=easel.url + "/v1", api_key=easel.key, max_retries=0) as client:
        yield client


def collect(stream):
    events = []
    try:
        for event in stream:
            events.append(event)
    except openai.APIError as error:
        return events, error
    return events, None


def test_partial_images(easel, client):
    events, error = collect(client.images.generate(
        model="gpt-image-1", prompt=PROMPT, stream=True, partial_images=2))
    assert error is None
    assert [e.type for e in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [type(e).__name__ for e in events] == ["ImageGenPartialImageEvent"] * 2 + ["ImageGenCompletedEvent"]
    assert [e.partial_image_index for e in events[:2]] == [0, 1]
    last = events[-1]
    assert last.usage.total_tokens == last.usage.input_tokens + last.usage.output_tokens
    assert last.size == "1024x1024" and last.output_format == "png" and last.quality == "high"
    assert base64.b64decode(last.b64_json) == easel.stored(last.url)
    assert last.easel["attempts"] == 1


@pytest.mark.parametrize("model", ["dall-e-3", "relay-data-url", "Qwen/Qwen-Image"])
def test_a_provider_that_cannot_stream(client, model):
    events, error = collect(client.images.generate(model=model, prompt=PROMPT, n=2, stream=True, partial_images=1))
    assert error is None
    assert [e.type for e in events] == ["image_generation.completed"] * 2


def test_edits(easel, client):
    from sim.pictures import png
    events, error = collect(client.images.edit(
        model="gpt-image-1", prompt=PROMPT, image=("a.png", png(1, 64, 64), "image/png"), stream=True, partial_images=1))
    assert error is None
    assert [e.type for e in events] == ["image_edit.partial_image", "image_edit.completed"]
    assert base64.b64decode(events[-1].b64_json) == easel.stored(events[-1].url)


def test_what_fails_at_once_has_its_own_class(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="gpt-image-1@code=moderation_blocked", prompt=PROMPT, stream=True)
    assert caught.value.code == "upstream_content_policy"


@pytest.mark.parametrize("fault,code", [("sse-error", "upstream_failed"), ("sse-cut", "upstream_truncated")])
def test_what_fails_later_is_raised_in_the_loop(client, fault, code):
    events, error = collect(client.images.generate(
        model=f"gpt-image-1@{fault}", prompt=PROMPT, stream=True, partial_images=1))
    assert [e.type for e in events] == ["image_generation.partial_image"]
    assert isinstance(error, openai.APIError) and error.code == code and error.body["may_have_been_billed"] is True


def test_a_stream_may_be_left_early(client):
    with client.images.generate(model="gpt-image-1@gap=0.5", prompt=PROMPT, stream=True, partial_images=1) as stream:
        assert next(iter(stream)).type == "image_generation.partial_image"


def test_the_asynchronous_client(easel):
    async def main():
        async with openai.AsyncOpenAI(base_url=easel.url + "/v1", api_key=easel.key, max_retries=0) as client:
            stream = await client.images.generate(model="gpt-image-1", prompt=PROMPT, stream=True, partial_images=1)
            return [event.type async for event in stream]

    assert asyncio.run(main()) == ["image_generation.partial_image", "image_generation.completed"]
