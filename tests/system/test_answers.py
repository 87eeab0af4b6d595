"""What an answer says beside its pictures: tokens, revised prompts, the receipt; and the errors that hold pictures."""
import re
import secrets

import pytest

from sse import Stream
from support import expect_error, merge, sim_config, wait_until
from tasks import create, ended


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(merge(sim_config(sim, faults=("fewer",)), {
        "models": {"chat-images": {"provider": "sim", "via": "chat"}, "dall-e-2@format=jpeg": {"provider": "sim"}}}))


@pytest.fixture
def say(sim):
    """say(a=…): the provider's next answer says that."""
    yield lambda **what: sim.faults(what)
    sim.clear_faults()


def streamed(easel, **members):
    with Stream(easel, **members) as s:
        return s.rest()


def images(easel, **members):
    return easel.generate(**members)


def chat(easel, headers=(), **members):
    return easel.post("/v1/chat/completions", {"model": "gpt-image-1", "messages": [{"role": "user", "content": "a panda"}],
                                               **members}, headers)


# ---- tokens ----

def counted(total, input_, output, text=0, image=0):
    return {"total_tokens": total, "input_tokens": input_, "output_tokens": output,
            "input_tokens_details": {"text_tokens": text, "image_tokens": image}}


USAGES = [
    ({"prompt_tokens": 7, "completion_tokens": 20, "total_tokens": 27}, counted(27, 7, 20)),
    ({"prompt_tokens": 7, "completion_tokens": 20, "total_tokens": 27, "input_tokens": 0, "output_tokens": 0}, counted(27, 7, 20)),
    ({"input_tokens": 7, "output_tokens": 20, "total_tokens": 27, "prompt_tokens": 0, "completion_tokens": 0}, counted(27, 7, 20)),
    ({"input_tokens": 7, "output_tokens": 20, "total_tokens": 27}, counted(27, 7, 20)),
    ({"input_tokens": 7, "output_tokens": 20}, counted(27, 7, 20)),
    ({"total_tokens": 27}, counted(27, 0, 0)),
    ({"total_tokens": 27, "input_tokens": 7, "output_tokens": 20, "input_tokens_details": {"text_tokens": 7}},
     counted(27, 7, 20, text=7)),
]


@pytest.mark.parametrize("said,told", USAGES)
def test_tokens_are_counted_or_0_whatever_the_provider_calls_them(easel, say, said, told):
    say(usage=said)
    assert easel.generate().json["usage"] == told
    say(usage=said)
    event, = streamed(easel)
    assert event.data["usage"] == told
    say(usage=said)
    assert chat(easel).json["usage"] == {"prompt_tokens": told["input_tokens"], "completion_tokens": told["output_tokens"],
                                         "total_tokens": told["total_tokens"]}


@pytest.mark.parametrize("said", [{}, None, "none", {"total_tokens": "27"}])
def test_a_provider_that_counts_no_tokens_is_not_said_to(easel, say, said):
    say(usage=said)
    assert "usage" not in easel.generate().json


def test_a_picture_made_in_chat_has_its_tokens(easel):
    usage = easel.generate(model="chat-images").json["usage"]
    assert usage == counted(usage["total_tokens"], usage["input_tokens"], usage["output_tokens"])
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] and usage["output_tokens"] > 0


def test_a_repetition_says_the_same_tokens(easel, say):
    say(usage=USAGES[0][0])
    answers = [easel.generate(headers={"Idempotency-Key": "the same tokens"}).json for _ in range(2)]
    assert answers[0]["usage"] == answers[1]["usage"] == USAGES[0][1]


# ---- revised prompts ----

# What JSON makes two bytes and six bytes of each of; the longest that is kept, and more.
LONG = ['"' * 4000, "\x01" * 4096, '"' * 5000]


@pytest.mark.parametrize("revised", LONG, ids=["quotes", "longest", "longer"])
@pytest.mark.parametrize("n", [6, 10])
def test_a_long_revised_prompt_costs_no_picture(easel, say, n, revised):
    kept = [revised[:4096]] * n
    for response_format in ("url", "b64_json"):
        say(revised_prompt=revised)
        answer = easel.generate(n=n, response_format=response_format)
        assert answer.status == 200, answer
        assert [item["revised_prompt"] for item in answer.json["data"]] == kept
        assert all(item[response_format] for item in answer.json["data"])
    say(revised_prompt=revised)
    events = streamed(easel, n=n)
    assert [event.name for event in events] == ["image_generation.completed"] * n
    assert [event.data["revised_prompt"] for event in events] == kept and all(event.picture for event in events)


def test_nor_does_it_in_chat_or_of_a_task(easel, say):
    say(revised_prompt=LONG[1])
    assert len(chat(easel, n=10).json["choices"][0]["message"]["images"]) == 10
    say(revised_prompt=LONG[1])
    task = ended(easel, create(easel, n=10))
    assert task["status"] == "SUCCESS" and [image["revised_prompt"] for image in task["images"]] == [LONG[1]] * 10


# ---- the receipt ----

def receipt(answer):
    assert answer.status == 200, answer
    return dict(note.split("=", 1) for note in (answer.header("x-easel-params") or "").split("; ") if note)


@pytest.mark.parametrize("model,output_format,fate", [
    ("dall-e-2", None, "dropped"), ("dall-e-2", "png", "dropped"),
    ("dall-e-2", "jpeg", "served-here"), ("dall-e-2", "webp", "served-here"),
    # it makes what is asked without being asked
    ("dall-e-2@format=jpeg", "jpeg", "dropped"), ("dall-e-2@format=jpeg", "webp", "served-here"),
    # it is its own affair
    ("gpt-image-1", "jpeg", None), ("gpt-image-1", None, None)])
def test_compression_is_served_where_something_is_made_small(easel, model, output_format, fate):
    answer = easel.generate(model=model, output_format=output_format, output_compression=10)
    assert receipt(answer).get("output_compression") == fate


# ---- errors that hold pictures ----

def logged(easel, answer):
    """The lines of the request, once its last one is there."""
    def look():
        lines = easel.log_lines(answer.header("x-request-id"))
        return lines if lines and " code=" in lines[-1] else None
    return wait_until(look, 10, "the request's last line")


@pytest.mark.parametrize("ask", [images, chat])
def test_an_error_with_pictures_is_logged_as_any_other(easel, ask):
    answer = ask(easel, model="gpt-image-1@fewer", n=3)
    error = expect_error(answer, 502, "images_incomplete", party="provider", billed=True)
    assert len(error["images"]) == 2
    assert answer.headers.get_all("x-should-retry") == ["false"]
    *before, last = logged(easel, answer)
    assert " code=images_incomplete " in last
    assert len([line for line in before if " images_incomplete: stage=provider.recv provider=sim " in line]) == 1, before


@pytest.mark.parametrize("ask", [images, chat])
def test_an_error_with_pictures_says_how_long_the_deadline_was(preview, ask):
    """Of what is drawn here nothing goes on after it: too early there is no picture yet, too late there are all ten."""
    for ms in [100 * 2 ** i for i in range(10)] * 3:
        headers = {"x-easel-deadline": f"{ms}ms", "Idempotency-Key": secrets.token_hex(8)}
        answer = ask(preview, model="easel-preview", n=10, size="1024x1024", headers=headers)
        if answer.status != 200 and "images" in answer.error:
            break
    error = expect_error(answer, 504, "deadline_exceeded")
    assert 0 < len(error["images"]) < 10
    assert re.search(rf"deadline of {ms / 1000:g} s passed", error["message"]), error
    assert " code=deadline_exceeded " in logged(preview, answer)[-1]
    again = ask(preview, model="easel-preview", n=10, size="1024x1024",
                headers={"Idempotency-Key": headers["Idempotency-Key"]})
    assert again.error["message"] == error["message"] and again.error["images"] == error["images"], again


# ---- models that make no pictures ----

def test_who_asks_a_chat_model_is_told_whole_names_of_image_models(start_easel, sim):
    names = [f"studio/a-model-with-quite-a-name-{i:02}" for i in range(20)]
    easel = start_easel({"providers": {"sim": sim_config(sim)["providers"]["sim"]}, "defaults": {"image_model": names[0]},
                         "models": {"writer": {"provider": "sim", "type": "chat"}, **{n: {"provider": "sim"} for n in names}}})
    error = expect_error(easel.generate(model="writer"), 400, "model_not_image", param="model", party="client")
    for text in (error["expected"], error["message"]):
        told = re.findall(r"'(studio/[^']*)'", text)
        more, = re.findall(r"' and (\d+) more\b", text)
        assert set(told) < set(names) and len(told) >= 4 and len(told) + int(more) == len(names), error
