"""GET /v1/models/{id}: what a model can do is what happens to its parameters."""
import pytest

from support import merge, sim_config

DALLE = "dall-e-3"


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(merge(sim_config(sim), {
        "providers": {"preview": {"dialect": "preview"}}, "models": {"easel-preview": {"provider": "preview"}}}))


def told(easel, model):
    return easel.get(f"/v1/models/{model}").json["easel"]


def receipt(answer):
    notes = answer.header("x-easel-params") or ""
    return dict(note.split("=", 1) for note in notes.split("; ") if "=" in note)


@pytest.mark.parametrize("model", [DALLE, "gpt-image-1", "easel-preview", "Qwen/Qwen-Image"])
@pytest.mark.parametrize("parameter,value", [
    ("style", "vivid"), ("negative_prompt", "rain"), ("seed", 7), ("steps", 9), ("background", "opaque"),
    ("output_format", "webp"), ("user", "a-customer"),
])
def test_what_is_told_is_what_happens(easel, model, parameter, value):
    fate = told(easel, model)["parameters"][parameter]
    answer = easel.generate(model=model, **{parameter: value})
    assert answer.status == 200
    happened = receipt(answer).get(parameter)
    if fate == "kept":
        assert happened not in ("dropped", "served-here"), (fate, happened)
    else:
        assert happened == fate


def test_a_prompt_may_be_as_long_as_told_and_no_longer(easel):
    most = told(easel, DALLE)["prompt_characters"]
    assert easel.generate(model=DALLE, prompt="x" * most).status == 200
    assert easel.generate(model=DALLE, prompt="x" * (most + 1)).status == 400


def test_the_list_stays_as_openai_has_it(easel):
    for model in easel.get("/v1/models").json["data"]:
        assert set(model) == {"id", "object", "created", "owned_by"}
