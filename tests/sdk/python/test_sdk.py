"""The official Python SDK, unchanged, against Easel."""
import asyncio
import base64
import hashlib
import http.server
import io
import re
import threading

import openai
import pytest

from sim.pictures import bare, png
from support import SDK_FAULTS, Watch, merge, request, sim_config

PROMPT = "一只可爱的熊猫"


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    config = merge(sim_config(sim, SDK_FAULTS), {"limits": {"json_bytes": "100kB"},
                                                 "server": {"cors_origins": ["https://app.example"]}})
    easel = start_easel(config)
    easel.narrow = easel.run("keys", "create", "--name", "narrow", "--scope", "chat").stdout.strip()
    return easel


@pytest.fixture
def client(easel):
    with openai.OpenAI(base_url=easel.url + "/v1", api_key=easel.key) as client:
        yield client


@pytest.fixture
def watch(sim):
    return Watch(sim)


# ---- pictures ----

def test_generate_by_url(easel, client):
    answer = client.images.generate(model="relay-url", prompt=PROMPT, response_format="url")
    assert answer.data[0].b64_json is None
    assert easel.stored(answer.data[0].url).startswith(b"\x89PNG")
    assert re.match("req_", answer._request_id)


@pytest.mark.parametrize("model", ["gpt-image-1", "dall-e-3", "relay-data-url"])
def test_generate_by_b64_json(client, model):
    answer = client.images.generate(model=model, prompt=PROMPT, response_format="b64_json")
    assert answer.data[0].url is None
    assert base64.b64decode(answer.data[0].b64_json, validate=True).startswith(b"\x89PNG")


def test_generate_with_everything(client):
    answer = client.images.generate(
        model="gpt-image-1", prompt=PROMPT, n=2, size="1536x1024", quality="low", background="transparent",
        moderation="low", output_format="webp", output_compression=80, user="someone", extra_body={"seed": 7})
    assert len(answer.data) == 2 and answer.output_format == "webp" and answer.size == "1536x1024"
    assert answer.quality == "low" and answer.background == "transparent"
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    for item in answer.data:
        assert base64.b64decode(item.b64_json)[8:12] == b"WEBP"


def test_generate_with_the_default_model(client):
    assert client.images.generate(prompt=PROMPT).data[0].b64_json


# ---- edits ----

def parts_sent(watch):
    return [(p["name"], p["filename"], p["type"], p["sha256"]) for p in watch.one("edit")["body"] if p["filename"]]


def expected(name, *pictures, kind="png"):
    return [(name, f"image-{i + 1}.{kind}", f"image/{kind}", hashlib.sha256(p).hexdigest()) for i, p in enumerate(pictures)]


ONE, TWO = bare(png(900101, 64, 48)), bare(png(900102, 64, 48))


def test_edit_one_picture(easel, client, watch, tmp_path):
    file = tmp_path / "panda.png"
    file.write_bytes(ONE)
    with open(file, "rb") as f:
        answer = client.images.edit(model="gpt-image-1", image=f, prompt=PROMPT)
    assert base64.b64decode(answer.data[0].b64_json, validate=True).startswith(b"\x89PNG")
    assert answer.usage.total_tokens > 0 and re.match("req_", answer._request_id)
    assert parts_sent(watch) == expected("image", ONE)


@pytest.mark.parametrize("image", [ONE, ("x.gif", ONE), ("x", ONE, "application/octet-stream"), io.BytesIO(ONE)],
                         ids=["bytes without a name", "a wrong name", "a wrong type", "a stream"])
def test_edit_a_picture_whatever_it_is_called(client, watch, image):
    assert client.images.edit(model="gpt-image-1", image=image, prompt=PROMPT).data[0].b64_json
    assert parts_sent(watch) == expected("image", ONE)


def test_edit_a_list_of_pictures_with_a_mask_and_everything(easel, client, watch):
    answer = client.images.edit(model="gpt-image-1", image=[ONE, TWO], mask=png(900103, 64, 48, None, True), prompt=PROMPT,
                                n=2, size="1536x1024", quality="low", background="opaque", input_fidelity="high",
                                output_format="webp", output_compression=80, user="someone")
    assert len(answer.data) == 2 and answer.output_format == "webp" and answer.size == "1536x1024"
    for item in answer.data:
        assert base64.b64decode(item.b64_json)[8:12] == b"WEBP"
    assert parts_sent(watch)[:2] == expected("image[]", ONE, TWO)
    assert [p[:3] for p in parts_sent(watch)[2:]] == [("mask", "mask.png", "image/png")]
    fields = {p["name"]: p["value"] for p in watch.one("edit")["body"] if not p["filename"]}
    assert fields == {"model": "gpt-image-1", "prompt": PROMPT, "n": "2", "size": "1536x1024", "quality": "low",
                      "background": "opaque", "input_fidelity": "high", "output_format": "webp",
                      "output_compression": "80", "user": "someone"}


def test_edit_by_url_stores_the_picture(easel, client):
    answer = client.images.edit(model="gpt-image-1", image=[ONE], prompt=PROMPT, response_format="url")
    assert easel.stored(answer.data[0].url).startswith(b"\x89PNG")


def test_what_is_no_picture_is_a_bad_request(client, watch):
    with pytest.raises(openai.BadRequestError) as raised:
        client.images.edit(model="gpt-image-1", image=b"GIF89a, not a picture that is taken", prompt=PROMPT)
    assert raised.value.code == "invalid_value" and raised.value.param == "image"
    assert "a GIF" in raised.value.message
    assert not watch.requests(), "nothing was bought"


def test_a_model_without_edits_says_so(client):
    with pytest.raises(openai.BadRequestError) as raised:
        client.images.edit(model="dall-e-3", image=ONE, prompt=PROMPT)
    assert raised.value.code == "unsupported_parameter" and raised.value.param == "image"


def test_headers_can_be_read(client):
    raw = client.images.with_raw_response.generate(model="gpt-image-1", prompt=PROMPT, style="vivid")
    assert raw.headers["x-easel-model"] == "gpt-image-1"
    assert "style=dropped" in raw.headers["x-easel-params"]
    assert "auth;dur=" in raw.headers["server-timing"]
    assert raw.request_id == raw.headers["x-request-id"]


def test_asynchronous_client(easel):
    async def run():
        async with openai.AsyncOpenAI(base_url=easel.url + "/v1", api_key=easel.key) as client:
            return await asyncio.gather(*(client.images.generate(model="gpt-image-1", prompt=PROMPT) for _ in range(8)))

    answers = asyncio.run(run())
    assert len({a.data[0].b64_json for a in answers}) == 8


def test_post_is_the_whole_pipeline(client):
    answer = client.post("/images/generations", cast_to=openai.types.ImagesResponse,
                         body={"model": "relay-url", "prompt": PROMPT})
    assert answer.data[0].url.startswith("http")
    plain = client.post("/images/generations", cast_to=object, body={"model": "relay-url", "prompt": PROMPT})
    assert plain["data"][0]["url"].startswith("http")


def test_the_naked_http_client_gets_the_401_that_explains_itself(client):
    """client._client knows the base URL and not the key."""
    answer = client._client.post("/images/generations", json={"prompt": PROMPT})
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["code"] == "missing_bearer_token" and error["cause"] == "header_absent"
    assert "client._client" in error["hint"]["text"] and "client.post" in error["hint"]["text"]
    assert "f'Bearer {key}'" in error["hint"]["text"]


def test_the_naked_http_client_with_the_header(easel, client):
    answer = client._client.post("/images/generations", json={"model": "relay-url", "prompt": PROMPT},
                                 headers={"Authorization": f"Bearer {easel.key}"})
    assert answer.status_code == 200, answer.text


# ---- models ----

def test_models_list(client):
    page = client.models.list()
    ids = [m.id for m in page]
    assert "Qwen/Qwen-Image" in ids and "gpt-image-1" in ids
    assert all(m.object == "model" and isinstance(m.created, int) and m.owned_by for m in page.data)


@pytest.mark.parametrize("model", ["Qwen/Qwen-Image", "gpt-image-1", "dall-e-3"])
def test_models_retrieve(client, model):
    assert client.models.retrieve(model).id == model


def test_models_retrieve_of_none(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("Qwen/Qwen-Imgae")
    assert caught.value.code == "model_not_found" and "Qwen/Qwen-Image" in str(caught.value)


# ---- every class of error ----

def generate(client, **more):
    return client.images.generate(**{"prompt": PROMPT, "model": "gpt-image-1", **more})


# class, status, code, param, upstream calls, what is asked
ERRORS = [
    (openai.BadRequestError, 400, "integer_above_max_value", "n", 0, {"n": 11}),
    (openai.BadRequestError, 400, "invalid_value", "size", 0, {"size": "big"}),
    (openai.BadRequestError, 400, "model_not_image", "model", 0, {"model": "gpt-4o-mini"}),
    (openai.BadRequestError, 400, "upstream_content_policy", None, 1, {"model": "gpt-image-1@code=moderation_blocked"}),
    (openai.NotFoundError, 404, "model_not_found", "model", 0, {"model": "gpt-imgae-1"}),
    (openai.InternalServerError, 502, "upstream_auth_failed", None, 1, {"model": "gpt-image-1@status=401"}),
    (openai.InternalServerError, 502, "upstream_failed", None, 1, {"model": "gpt-image-1@status=500"}),
    (openai.InternalServerError, 502, "upstream_truncated", None, 1, {"model": "gpt-image-1@truncate"}),
    (openai.InternalServerError, 502, "upstream_quota_exhausted", None, 1,
     {"model": "gpt-image-1@code=insufficient_quota"}),
    # a 413 has no class of its own
    (openai.APIStatusError, 413, "body_too_large", None, 0, {"prompt": "x" * 200000}),
]


@pytest.mark.parametrize("kind,status,code,param,calls,asked", ERRORS,
                         ids=[f"{r[0].__name__}-{r[2]}" for r in ERRORS])
def test_each_error_is_its_class_and_nothing_is_bought_twice(client, watch, kind, status, code, param, calls, asked):
    """With the SDK's own two retries: what must not be repeated is not."""
    with pytest.raises(kind) as caught:
        generate(client, **asked)
    error = caught.value
    assert type(error) is kind
    assert (error.status_code, error.code, error.param) == (status, code, param)
    assert error.request_id == error.body["request_id"] and error.request_id.startswith("req_")
    assert error.body["message"] in str(error)
    assert len(watch.requests("generate")) == calls


def test_rate_limits_are_retried_as_the_provider_says(client, watch):
    with pytest.raises(openai.RateLimitError) as caught:
        generate(client, model="gpt-image-1@status=429")
    assert caught.value.code == "upstream_rate_limited"
    calls = watch.requests("generate")
    assert len(calls) == 9, "nothing was bought: three attempts here, and the SDK may try again twice"
    assert calls[1]["start"] - calls[0]["start"] >= 0.9, "after as long as retry-after says"


@pytest.mark.parametrize("key,cause", [("sk-easel-" + "A" * 43, "unknown_key"), ("Bearer sk-easel-x", "double_bearer"),
                                       ("${EASEL_API_KEY}", "unexpanded_variable")])
def test_authentication_error(easel, watch, key, cause):
    with openai.OpenAI(base_url=easel.url + "/v1", api_key=key) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            generate(client)
    assert caught.value.status_code == 401 and caught.value.code == "invalid_api_key"
    assert caught.value.body["cause"] == cause
    assert not watch.requests()


def test_permission_denied_error(easel):
    with openai.OpenAI(base_url=easel.url + "/v1", api_key=easel.narrow) as client:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            generate(client)
    assert caught.value.code == "insufficient_scope"


def test_a_405_is_an_api_status_error(client):
    with pytest.raises(openai.APIStatusError) as caught:
        client.get("/images/generations", cast_to=object)
    assert caught.value.status_code == 405 and caught.value.code == "method_not_allowed"


def test_a_deadline_is_an_internal_server_error_and_not_repeated(client, watch):
    with pytest.raises(openai.InternalServerError) as caught:
        generate(client, model="gpt-image-1@delay=20", extra_headers={"x-easel-deadline": "500ms"})
    assert caught.value.status_code == 504 and caught.value.code == "deadline_exceeded"
    assert len(watch.requests("generate")) == 1


# ---- base URLs ----

@pytest.mark.parametrize("base", ["{url}/v1", "{url}/v1/", "{url}", "{url}/", "{url}//v1", "{url}/v1//", "{url}/v1/v1"])
def test_base_urls_that_work(easel, base):
    with openai.OpenAI(base_url=base.format(url=easel.url), api_key=easel.key) as client:
        assert client.models.retrieve("Qwen/Qwen-Image").id == "Qwen/Qwen-Image"
        assert generate(client, model="relay-url").data[0].url


def test_a_base_url_that_is_an_endpoint_says_what_was_meant(easel):
    with openai.OpenAI(base_url=easel.url + "/v1/images/generations", api_key=easel.key) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            generate(client)
    assert "/v1/images/generations" in caught.value.body["hint"]["text"]
    assert caught.value.code == "endpoint_not_found"


NOT_ASKED_FOR = {"host", "connection", "content-length", "accept", "accept-encoding", "user-agent"}  # Fetch, 2.2.2


def headers_of_the_sdk():
    """The names of all that it sends with a picture's request."""
    sent = set()

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            sent.update(name.lower() for name in self.headers)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        with openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="sk-easel-x",
                           organization="org-x", project="proj_x") as client, pytest.raises(openai.BadRequestError):
            client.images.with_raw_response.generate(prompt=PROMPT, timeout=5, extra_headers={
                "Idempotency-Key": "1", "Prefer": "respond-async", "X-Easel-Deadline": "20s"})
        server.shutdown()
        serving.join()
    assert {"authorization", "content-type", "idempotency-key", "openai-organization", "openai-project",
            "x-stainless-lang", "x-stainless-retry-count", "x-stainless-read-timeout"} <= sent
    return sent - NOT_ASKED_FOR


@pytest.mark.parametrize("origin,allowed", [("https://app.example", True), ("https://other.example", False)])
def test_a_preflight_is_answered(easel, origin, allowed):
    """What a browser asks before the SDK may speak."""
    asked = headers_of_the_sdk()
    answer = request(easel.url, "OPTIONS", "/v1/images/generations", headers={
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ",".join(sorted(asked))})
    assert answer.status == 204, answer
    assert "POST" in answer.header("access-control-allow-methods").split(", ")
    names = {name.strip().lower() for name in answer.header("access-control-allow-headers").split(",")}
    assert asked <= names, asked - names
    assert answer.header("access-control-allow-origin") == (origin if allowed else None)


# ---- chat ----

MESSAGES = [{"role": "user", "content": PROMPT}]


def test_chat_makes_a_picture_with_an_image_model(easel, client):
    answer = client.chat.completions.create(model="gpt-image-1", messages=MESSAGES, n=2)
    message = answer.choices[0].message
    urls = [i["image_url"]["url"] for i in message.images]
    assert len(urls) == 2 and answer.choices[0].finish_reason == "stop"
    assert message.content == "\n\n".join(f"![image]({u})" for u in urls)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert all(easel.stored(u).startswith(b"\x89PNG") for u in urls)


def test_chat_streams_a_picture(easel, client):
    content, images, usage = "", [], None
    for chunk in client.chat.completions.create(model="gpt-image-1", messages=MESSAGES, stream=True,
                                                stream_options={"include_usage": True}):
        if chunk.choices:
            content += chunk.choices[0].delta.content or ""
            images += getattr(chunk.choices[0].delta, "images", None) or []
        usage = chunk.usage or usage
    assert content == f"![image]({images[0]['image_url']['url']})" and usage.total_tokens > 0
    assert easel.stored(images[0]["image_url"]["url"]).startswith(b"\x89PNG")


def test_chat_with_a_model_that_writes(client):
    plain = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.1)
    assert plain.choices[0].message.content.startswith("A lighthouse")
    chunks = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == plain.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_chat_errors_are_the_sdks(client, stream):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="gpt-4o-mini@status=401", messages=MESSAGES, stream=stream)
    assert caught.value.code == "upstream_auth_failed"


def test_a_chat_stream_that_breaks_off_raises(client):
    with pytest.raises(openai.APIError) as caught:
        for _ in client.chat.completions.create(model="gpt-4o-mini@truncate-chunked,after=0.5", messages=MESSAGES,
                                                stream=True):
            pass
    assert caught.value.code == "upstream_truncated"
