"""Pictures through the openai dialect: what the provider is asked, what it sends, what the caller gets."""
import base64
import re
import struct

import pytest

from sim.pictures import png, serial_of
from support import DALLE, GPT, RELAYS, SIM_KEY, Watch, expect_error, expect_one_name, merge, request, sim_config


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(merge(sim_config(sim, faults=(
        "format=jpeg", "format=webp", "picture_bytes=2000000", "chunk=1", "chunk=7", "gzip", "chunked", "no-length",
        "more", "spaces,seconds=0.3", "early-hints", "http10")), {"log": {"prompts": "none"}}))


@pytest.fixture
def watch(sim):
    return Watch(sim)


def kind_of(data):
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def picture(easel, answer, index=0):
    """The bytes of a picture of the answer, whichever way it came."""
    assert answer.status == 200, answer
    item = answer.json["data"][index]
    assert ("url" in item) != ("b64_json" in item), "one or the other"
    if "url" in item:
        assert re.fullmatch(re.escape(easel.url) + r"/files/[0-9a-hjkmnp-tv-z]{26}\.(png|jpg|webp)", item["url"])
        return easel.stored(item["url"])
    assert not item["b64_json"].startswith("data:")
    return base64.b64decode(item["b64_json"], validate=True)


# ---- every model, both ways ----

@pytest.mark.parametrize("response_format", ["url", "b64_json"])
@pytest.mark.parametrize("model", [*GPT, *DALLE, *RELAYS, "Qwen/Qwen-Image", "qwen-image"])
def test_both_response_formats_whatever_the_provider_sends(easel, sim, watch, model, response_format):
    answer = easel.generate(model=model, response_format=response_format)
    data = picture(easel, answer)
    assert len(answer.json["data"]) == 1
    assert ("url" if response_format == "url" else "b64_json") in answer.json["data"][0]
    # the very bytes that the provider made, and only one purchase
    serial = serial_of(data)
    assert serial is not None
    if kind_of(data) == "png":
        assert data == png(serial, *struct.unpack(">II", data[16:24]), size=len(data))
    assert len(watch.requests("generate")) == 1
    assert isinstance(answer.json["created"], int)


@pytest.mark.parametrize("model,default", [*((m, "b64_json") for m in GPT), *((m, "url") for m in DALLE),
                                           *((m, "url") for m in RELAYS)])
def test_the_default_response_format_is_openais(easel, model, default):
    assert default in easel.generate(model=model).json["data"][0]


def test_no_model_means_the_default_model(easel, watch):
    assert easel.generate().status == 200
    assert watch.one()["body"]["model"] == "gpt-image-1"


def test_an_alias_leads_to_its_model(easel, watch):
    answer = easel.generate(model="studio-model", response_format="url")
    assert answer.status == 200 and answer.header("x-easel-model") == "studio/model"
    assert watch.one()["model"] == "relay-url"


# ---- however the answer travels ----

@pytest.mark.parametrize("fault", ["picture_bytes=2000000", "chunk=1", "chunk=7", "gzip", "chunked", "no-length",
                                   "spaces,seconds=0.3", "early-hints", "http10"])
def test_the_picture_arrives_whole_however_it_travels(easel, fault):
    answer = easel.generate(model=f"gpt-image-1@{fault}", response_format="url")
    data = picture(easel, answer)
    size = 2000000 if "2000000" in fault else None
    assert data == png(serial_of(data), 1024, 1024, size)


def test_two_megabytes_come_back_in_base64(easel):
    data = picture(easel, easel.generate(model="gpt-image-1@picture_bytes=2000000", response_format="b64_json"))
    assert data == png(serial_of(data), 1024, 1024, 2000000)


# ---- output_format ----

@pytest.mark.parametrize("wanted", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("model", ["gpt-image-1", "relay-url", "relay-jpeg", "dall-e-3", "gpt-image-1@format=jpeg",
                                   "gpt-image-1@format=webp"])
def test_output_format_is_honoured_whatever_the_provider_makes(easel, model, wanted):
    answer = easel.generate(model=model, output_format=wanted, response_format="url")
    data = picture(easel, answer)
    assert kind_of(data) == wanted
    assert answer.json["output_format"] == wanted
    url = answer.json["data"][0]["url"]
    assert url.endswith({"png": ".png", "jpeg": ".jpg", "webp": ".webp"}[wanted])
    served = request(easel.url, "GET", url.removeprefix(easel.url))
    assert served.header("content-type") == f"image/{wanted}"
    assert "immutable" in served.header("cache-control")
    assert served.header("x-content-type-options") == "nosniff"


def test_a_conversion_leaves_one_file(easel):
    before = easel.files()
    url = easel.generate(model="relay-jpeg", output_format="png", response_format="url").json["data"][0]["url"]
    assert easel.files() - before == {url.rsplit("/", 1)[1]}


def test_a_conversion_is_in_the_receipt(easel):
    answer = easel.generate(model="relay-jpeg", output_format="png", response_format="url")
    assert "output_format=served-here" in answer.header("x-easel-params")


def test_without_output_format_the_providers_type_stays(easel):
    answer = easel.generate(model="relay-jpeg", response_format="url")
    assert kind_of(picture(easel, answer)) == "jpeg" and answer.json["output_format"] == "jpeg"


# ---- n ----

@pytest.mark.parametrize("model", ["gpt-image-1", "relay-url", "relay-data-url", "dall-e-2", "dall-e-3"])
@pytest.mark.parametrize("n", [2, 10])
def test_n_pictures_come_each_another_one(easel, watch, model, n):
    answer = easel.generate(model=model, n=n, response_format="url")
    pictures = [picture(easel, answer, i) for i in range(n)]
    assert len(answer.json["data"]) == n
    assert len({serial_of(p) for p in pictures}) == n
    calls = watch.requests("generate")
    assert len(calls) == (n if model == "dall-e-3" else 1), "dall-e-3 makes one at a time"
    assert sum(c["pictures"] for c in calls) == n


def test_more_pictures_than_asked_are_not_handed_out(easel):
    before = easel.files()
    answer = easel.generate(model="gpt-image-1@more", n=2, response_format="url")
    assert answer.status == 200 and len(answer.json["data"]) == 2
    assert len(easel.files() - before) == 2, "and none is left lying about"


# ---- what the provider is told ----

def test_the_provider_gets_its_own_key_and_nothing_of_ours(easel, watch):
    easel.generate(headers={"Cookie": "session=1", "X-Secret": "2"})
    sent = watch.one()
    assert sent["headers"]["authorization"] == f"Bearer {SIM_KEY}"
    assert easel.key not in repr(sent)
    assert "cookie" not in sent["headers"] and "x-secret" not in sent["headers"]
    assert sent["headers"]["content-type"].startswith("application/json")


@pytest.mark.parametrize("model", ["gpt-image-1", "dall-e-3", "relay-url"])
def test_a_chinese_prompt_arrives_intact(easel, watch, model):
    prompt = "一只可爱的熊猫 🐼，“在竹林里”\n\\ \"quoted\""
    assert easel.generate(model=model, prompt=prompt).status == 200
    assert watch.one()["body"]["prompt"] == prompt


@pytest.mark.parametrize("model", GPT)
@pytest.mark.parametrize("response_format", ["url", "b64_json", None])
def test_gpt_image_models_are_never_sent_response_format(easel, watch, model, response_format):
    assert easel.generate(model=model, response_format=response_format).status == 200
    assert "response_format" not in watch.one()["body"]


GPT_PARAMS = {"size": "1536x1024", "quality": "low", "background": "transparent", "moderation": "low",
              "user": "someone"}


def test_what_the_model_knows_is_passed_on(easel, watch):
    answer = easel.generate(model="gpt-image-1", response_format="url", output_format="webp", output_compression=50,
                            **GPT_PARAMS)
    assert answer.status == 200, answer
    body = watch.one()["body"]
    assert {k: body.get(k) for k in GPT_PARAMS} == GPT_PARAMS
    assert body["output_format"] == "webp" and body["output_compression"] == 50
    receipt = answer.header("x-easel-params") or ""
    assert not any(name in receipt for name in GPT_PARAMS), "what was simply passed on is not mentioned"


def test_what_the_model_does_not_know_is_dropped_and_said(easel, watch):
    answer = easel.generate(model="gpt-image-1", response_format="url", style="vivid", negative_prompt="rain", seed=7,
                            steps=20, unheard_of=1)
    assert answer.status == 200, answer
    body = watch.one()["body"]
    receipt = answer.header("x-easel-params")
    for name in ("style", "negative_prompt", "seed", "steps"):
        assert name not in body and f"{name}=dropped" in receipt
    assert "unheard_of" not in body and "unheard_of" in receipt
    assert "response_format=served-here" in receipt


def test_dall_e_3_keeps_its_style(easel, watch):
    assert easel.generate(model="dall-e-3", style="natural", quality="hd").status == 200
    body = watch.one()["body"]
    assert body["style"] == "natural" and body["quality"] == "hd"


def test_n_one_is_one(easel, watch):
    assert easel.generate(model="dall-e-3", n=1).status == 200
    assert watch.one()["body"].get("n", 1) == 1


def test_unset_parameters_are_not_sent(easel, watch):
    easel.generate(model="gpt-image-1")
    assert set(watch.one()["body"]) <= {"model", "prompt", "n"}


@pytest.mark.parametrize("model,limit", [("gpt-image-1", 32000), ("dall-e-3", 4000), ("dall-e-2", 1000)])
def test_the_models_prompt_limit_is_judged_here(easel, watch, model, limit):
    assert easel.generate(model=model, prompt="熊" * limit).status == 200
    error = expect_error(easel.generate(model=model, prompt="熊" * (limit + 1)), 400, "string_above_max_length",
                         param="prompt", party="client")
    assert str(limit) in error["message"]
    assert len(watch.requests("generate")) == 1


def test_a_chat_model_is_refused_and_image_models_are_named(easel, watch):
    error = expect_error(easel.generate(model="gpt-4o-mini"), 400, "model_not_image", param="model", party="client")
    assert "gpt-image-1" in error["message"]
    assert not watch.requests()


# ---- what the caller is told ----

def test_usage_and_what_gpt_models_say_come_along(easel):
    answer = easel.generate(model="gpt-image-1", quality="low", size="1024x1536", background="opaque").json
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    assert usage["input_tokens_details"] == {"text_tokens": usage["input_tokens"], "image_tokens": 0}
    assert answer["quality"] == "low" and answer["size"] == "1024x1536" and answer["background"] == "opaque"


def test_dall_e_3_says_how_it_read_the_prompt(easel):
    for response_format in ("url", "b64_json"):
        answer = easel.generate(model="dall-e-3", prompt='一只"熊猫"', response_format=response_format)
        assert answer.json["data"][0]["revised_prompt"] == 'A detailed picture of: 一只"熊猫"'
        assert "usage" not in answer.json


def test_headers_say_who_made_it_and_how(easel):
    answer = easel.generate(model="relay-url", response_format="url")
    assert answer.header("x-easel-model") == "relay-url"
    assert answer.header("x-easel-attempts") == "1"
    assert answer.header("x-easel-mode") == "http"
    timing = dict(part.strip().split(";dur=") for part in answer.header("server-timing").split(","))
    assert {"auth", "provider", "fetch", "store"} <= set(timing)
    assert all(float(v) >= 0 for v in timing.values())
    assert sum(float(v) for v in timing.values()) <= answer.seconds * 1000 + 5


def test_a_stored_picture_can_be_read_by_anyone_and_listed_by_no_one(easel):
    url = easel.generate(response_format="url").json["data"][0]["url"]
    path = url.removeprefix(easel.url)
    assert request(easel.url, "HEAD", path).status == 200
    assert request(easel.url, "GET", path, headers={"Authorization": "Bearer nonsense"}).status == 200
    for listing in ("/files/", "/files", "/files/."):
        assert request(easel.url, "GET", listing).status in (400, 401, 403, 404)
    for method in ("POST", "PUT", "DELETE"):
        assert 400 <= request(easel.url, method, path).status < 500
    assert request(easel.url, "GET", path).status == 200


def test_a_stored_picture_has_one_name(easel):
    expect_one_name(easel.url, easel.generate(response_format="url").json["data"][0]["url"].removeprefix(easel.url))


def test_public_url_is_what_urls_begin_with(start_easel, sim):
    easel = start_easel(merge(sim_config(sim), {"server": {"public_url": "https://pictures.example/easel/"}}))
    url = easel.generate(response_format="url").json["data"][0]["url"]
    assert re.match(r"https://pictures\.example/easel/files/[0-9a-z]{26}\.png", url)


def test_the_callers_host_is_what_urls_begin_with(easel):
    answer = easel.generate(response_format="url", headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"})
    assert answer.json["data"][0]["url"].startswith(easel.url + "/files/"), "no trusted proxy, no forwarded host"


# ---- the preview model ----

def test_the_preview_is_the_same_for_the_same_prompt_and_seed(preview):
    def draw(**members):
        answer = preview.generate(response_format="b64_json", size="256x256", **members)
        assert answer.status == 200, answer
        return answer.json["data"][0]["b64_json"]

    first = draw(prompt="一只可爱的熊猫", seed=7)
    assert first == draw(prompt="一只可爱的熊猫", seed=7)
    assert first != draw(prompt="一只可爱的熊猫", seed=8)
    assert first != draw(prompt="一只可爱的猫", seed=7)


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("size", ["256x256", "512x768", "1024x1024"])
def test_the_preview_has_the_size_and_type_that_were_asked(preview, size, output_format):
    answer = preview.generate(size=size, output_format=output_format, response_format="url")
    assert answer.json["size"] == size and answer.json["output_format"] == output_format
    data = preview.stored(answer.json["data"][0]["url"])
    assert kind_of(data) == output_format
    if output_format == "png":
        assert "%dx%d" % struct.unpack(">II", data[16:24]) == size


def test_the_preview_makes_n(preview):
    answer = preview.generate(n=3, size="256x256", response_format="b64_json")
    assert len({item["b64_json"] for item in answer.json["data"]}) == 3


def test_the_preview_needs_no_provider_and_says_so(preview):
    answer = preview.generate(size="256x256", response_format="url")
    assert answer.header("x-easel-mode") == "local" and answer.header("x-easel-model") == "easel-preview"
    assert b"preview" in preview.stored(answer.json["data"][0]["url"]), "its metadata says what it is"
