"""Chat: pictures for models that make them, everything else passed through to its provider."""
import base64
import http.client
import json
import re
import time
import urllib.parse

import pytest

from sim.pictures import png, serial_of
from support import SIM_KEY, SLOW, Watch, expect_error, merge, request, sim_config, wait_until

PICTURE = r"!\[image\]\((http://[^)]+/files/[0-9a-hjkmnp-tv-z]{26}\.(?:png|jpg|webp))\)"


def config(sim, **more):
    return merge(sim_config(sim), merge({
        "models": {
            "gpt-4o-mini": {"provider": "sim", "type": "chat", "aliases": ["mini"]},
            **{f"gpt-4o-mini@{f}": {"provider": "sim", "type": "chat"} for f in FAULTS},
            "writer": {"provider": "sim", "type": "chat", "upstream_model": "gpt-4o-mini"},
            "absent-writer": {"provider": "sim", "type": "chat", "upstream_model": "no-such-model"},
            "preview-writer": {"provider": "preview", "type": "chat"},
            "draws": {"provider": "preview", "upstream_model": "easel-preview"},
            "gpt-image-1@delay=1.6": {"provider": "sim"},
            **{m: {"provider": "sim", "via": "chat"} for m in PAINTERS + UNWILLING},
            "chat-images@gif": {"provider": "sim", "via": "chat"},
            "fallen-back": {"provider": "sim", "via": "chat", "upstream_model": "no-such-model", "fallback": ["chat-images"]},
            "gpt-image-1@delay=1.6,status=500": {"provider": "sim"},
        },
        "providers": {"preview": {"dialect": "preview"}},
        "deadline": {"chat_idle": "1s"},
    }, more))


# How their upstreams say a picture, and how they say none.
PAINTERS = ("chat-markdown-data", "chat-markdown-url", "chat-bare-url", "chat-images", "chat-progress", "chat-gemini",
            "chat-only-events")
UNWILLING = ("chat-gemini-empty", "chat-gemini-blocked", "chat-refusal")

FAULTS = ("status=401", "status=429", "status=500", "code=moderation_blocked", "code=insufficient_quota", "error-200",
          "not-json", "truncate", "empty-body", "wrong-type", "sse-error", "sse-error,after=0", "sse-cut", "stall,chunks=40",
          "truncate-chunked,after=0.5", "silence", "gap=0.05,chunks=20", "chunks=2000", "delay=3")


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(config(sim))


@pytest.fixture
def watch(sim):
    return Watch(sim)


def user(text, *pictures):
    return {"role": "user", "content": text if not pictures else
            [{"type": "text", "text": text}, *({"type": "image_url", "image_url": {"url": p}} for p in pictures)]}


def chat(easel, model="gpt-image-1", messages=None, headers=(), timeout=60, **members):
    value = {"model": model, "messages": messages or [user("a panda")], **members}
    return easel.post("/v1/chat/completions", {k: v for k, v in value.items() if v is not None}, headers, timeout=timeout)


def events(body):
    """The data of a stream's events, comments aside; [DONE] must be the last."""
    found = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    assert found and found[-1] == "[DONE]", body[-500:]
    return [json.loads(line) for line in found[:-1]]


def content(answer):
    assert answer.status == 200, answer
    return answer.json["choices"][0]["message"]["content"]


def picture_urls(answer):
    text, images = content(answer), answer.json["choices"][0]["message"]["images"]
    urls = re.findall(PICTURE, text)
    assert urls and text == "\n\n".join(f"![image]({u})" for u in urls)
    assert [i["image_url"]["url"] for i in images] == urls
    assert [i["index"] for i in images] == list(range(len(urls)))
    assert {i["type"] for i in images} == {"image_url"}
    return urls


# ---- pictures ----

def test_an_image_model_answers_with_markdown_and_with_images(easel, watch):
    answer = chat(easel, n=2, temperature=0.7, max_tokens=5, quality="low", size="1024x1536")
    assert answer.json["object"] == "chat.completion" and answer.json["model"] == "gpt-image-1"
    assert answer.json["id"].startswith("chatcmpl-")
    choice = answer.json["choices"][0]
    assert (choice["finish_reason"], choice["index"], choice["message"]["role"]) == ("stop", 0, "assistant")
    urls = picture_urls(answer)
    assert len(urls) == 2
    sent = watch.one()["body"]
    assert sent["prompt"] == "a panda" and sent["n"] == 2 and sent["size"] == "1024x1536" and sent["quality"] == "low"
    assert not sent.keys() & {"messages", "temperature", "max_tokens"}
    for url in urls:
        data = easel.stored(url)
        assert data == png(serial_of(data), 1024, 1536, size=len(data))
    usage = answer.json["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert answer.header("x-easel-model") == "gpt-image-1" and answer.header("x-easel-attempts") == "1"


def test_a_stream_has_the_pictures_in_one_piece_each_way(easel, watch):
    answer = chat(easel, stream=True, n=2, stream_options={"include_usage": True})
    assert answer.status == 200 and answer.header("content-type").startswith("text/event-stream")
    chunks = events(answer.body)
    assert b"event:" not in answer.body
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    deltas = [c["choices"][0] for c in chunks if c["choices"]]
    assert deltas[0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(d["delta"].get("content") or "" for d in deltas)
    images = [i for d in deltas for i in d["delta"].get("images", [])]
    assert re.findall(PICTURE, text) == [i["image_url"]["url"] for i in images] and len(images) == 2
    assert [d["finish_reason"] for d in deltas] == [None] * (len(deltas) - 1) + ["stop"]
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] > 0
    assert all(c["usage"] is None for c in chunks[:-1])
    assert len(watch.requests("generate")) == 1
    assert all(serial_of(easel.stored(i["image_url"]["url"])) is not None for i in images)


def test_a_stream_without_include_usage_says_nothing_of_it(easel):
    assert all("usage" not in c and c["choices"] for c in events(chat(easel, stream=True).body))


def test_a_stream_stays_alive_while_the_provider_takes_its_time(start_easel, sim):
    easel = start_easel(config(sim, server={"stream_keep_alive": "300ms"}))
    answer = chat(easel, model="gpt-image-1@delay=1.6", stream=True)
    assert b": keep-alive\n\n" in answer.body
    assert len(events(answer.body)) == 4
    # an error after the first comment is in the stream
    answer = chat(easel, model="gpt-image-1@delay=1.6,status=500", stream=True)
    assert answer.status == 200
    last = json.loads(answer.body.decode().split("data: ")[-1])
    assert last["error"]["code"] == "upstream_failed" and last["error"]["may_have_been_billed"] is True
    assert b"[DONE]" not in answer.body


def test_an_error_before_the_stream_began_has_a_status(easel, watch):
    answer = chat(easel, model="relay-error-200", stream=True)
    expect_error(answer, 502, "upstream_failed", billed=True)
    assert len(watch.requests("generate")) == 1


def test_the_log_says_what_was_detected(easel):
    answer = chat(easel, messages=[user("a lighthouse in the log")])
    lines = wait_until(lambda: [line for line in easel.log_lines(answer.header("x-request-id"))
                                if "Image model detected" in line], what="the line")
    assert "Image model detected: model=gpt-image-1, prompt='a lighthouse in the log', stream=False request=" in lines[0]


def test_the_prompt_is_the_text_of_the_last_user_message(easel, watch):
    chat(easel, messages=[
        {"role": "system", "content": "You draw."}, user("a cat"), {"role": "assistant", "content": "no"},
        {"role": "user", "content": [{"type": "text", "text": "a dog"}, {"type": "text", "text": "on a boat"}]}])
    assert watch.one()["body"]["prompt"] == "a dog\non a boat"


@pytest.mark.parametrize("messages, code, param", [
    (None, "missing_required_parameter", "messages"),
    ("hello", "invalid_type", "messages"),
    ([], "invalid_value", "messages"),
    ([{"role": "system", "content": "x"}], "missing_required_parameter", "messages"),
    ([user("  ")], "invalid_value", "messages[0].content"),
    ([{"role": "user", "content": 7}], "invalid_type", "messages[0].content"),
    ([{"role": "user", "content": [{"type": "text"}]}], "invalid_type", "messages[0].content[0]"),
    ([{"role": "user", "content": ["x"]}], "invalid_type", "messages[0].content[0]"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": 3}]}], "invalid_type",
     "messages[0].content[0].image_url"),
    ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}], "unsupported_parameter",
     "messages[0].content[0]"),
    ([user("x" * 32001)], "string_above_max_length", "messages[0].content"),
])
def test_messages_that_make_no_picture_are_refused(easel, watch, messages, code, param):
    body = {"model": "gpt-image-1", "messages": messages}
    if messages is None:
        del body["messages"]
    expect_error(easel.post("/v1/chat/completions", body), 400, code, param=param)
    assert not watch.requests("generate")


@pytest.mark.parametrize("members, code, param", [
    ({"n": 11}, "integer_above_max_value", "n"), ({"size": "big"}, "invalid_value", "size"),
    ({"stream": "yes"}, "invalid_type", "stream"), ({"model": 7}, "invalid_type", "model"),
    ({"model": ""}, "invalid_value", "model"), ({"model": "m" * 300}, "string_above_max_length", "model"),
])
def test_parameters_are_judged_as_on_the_images_endpoint(easel, watch, members, code, param):
    expect_error(chat(easel, **members), 400, code, param=param)
    assert not watch.requests("generate")


def test_an_input_picture_for_a_model_that_takes_none_is_refused(easel):
    data = "data:image/png;base64," + base64.b64encode(png(1, 64, 64)).decode()
    expect_error(chat(easel, model="dall-e-3", messages=[user("bluer", data)]), 400, "unsupported_parameter",
                 param="messages[0].content[1].image_url")
    # a picture of the conversation is no demand
    answer = chat(easel, model="dall-e-3", messages=[user("a cat"), {"role": "assistant", "content": f"![image]({data})"},
                                                  user("bluer")])
    assert len(picture_urls(answer)) == 1


# ---- which model ----

def test_the_conventional_variables_keep_chat_and_pictures_apart(start_easel, sim):
    easel, watch = start_easel(env={
        "OPENAI_API_KEY": SIM_KEY, "OPENAI_BASE_URL": sim.base_url + "/v1", "OPENAI_CHAT_MODEL": "gpt-4o-mini",
        "OPENAI_IMAGE_MODEL": "gpt-image-2", "OPENAI_MODEL": "gpt-image-1"}), Watch(sim)
    assert content(chat(easel, model=None)).startswith("A lighthouse")
    assert watch.one("chat")["model"] == "gpt-4o-mini"
    assert easel.generate().status == 200
    assert watch.one()["model"] == "gpt-image-2"
    expect_error(easel.generate(model="gpt-4o-mini"), 400, "model_not_image", param="model")
    assert "OPENAI_MODEL is set but never read" in easel.log()


def test_without_a_model_there_must_be_a_default(easel, start_easel, sim):
    expect_error(chat(easel, model=None), 400, "missing_required_parameter", param="model")
    other = start_easel(config(sim, defaults={"chat_model": "writer"}))
    assert content(chat(other, model=None)).startswith("A lighthouse")
    assert len(picture_urls(chat(other, model=None, modalities=["image"]))) == 1


def test_an_unknown_model_is_404_with_the_nearest_name(easel):
    error = expect_error(chat(easel, model="gpt-4o-mimi"), 404, "model_not_found", param="model")
    assert "gpt-4o-mini" in error["message"]
    error = expect_error(chat(easel, model="gpt-4o-turba"), 404, "model_not_found", param="model")
    assert "gpt-4o-turbo" in error["message"], "a name from the provider's list"


def test_a_model_that_the_provider_lists_needs_no_configuration(easel, watch):
    assert content(chat(easel, model="gpt-4o-turbo")).startswith("A lighthouse")
    assert watch.one("chat")["body"]["model"] == "gpt-4o-turbo"
    assert len(watch.requests("models")) <= 2, "asked once in each worker"


def test_models_that_are_not_configured_can_be_turned_off(start_easel, sim):
    easel = start_easel(config(sim, defaults={"provider_models": False}))
    expect_error(chat(easel, model="gpt-4o-turbo"), 404, "model_not_found", param="model")


def test_a_name_pattern_makes_an_image_model(start_easel, sim):
    base = config(sim, defaults={"image_model_patterns": ["GPT-image-*"]})
    for name in ("gpt-image-1.5", "gpt-image-2"):
        del base["models"][name]
    easel, watch = start_easel(base), Watch(sim)
    assert len(picture_urls(chat(easel, model="gpt-image-2"))) == 1
    assert watch.one()["model"] == "gpt-image-2"


def test_modalities_ask_a_chat_model_for_a_picture(easel, watch):
    answer = chat(easel, model="omni-painter", modalities=["image", "text"])
    assert len(picture_urls(answer)) == 1
    assert watch.one("chat")["body"]["modalities"] == ["image", "text"]
    assert content(chat(easel, model="omni-painter")).startswith("A lighthouse")


# ---- models that make their pictures in chat ----

@pytest.mark.parametrize("model", PAINTERS)
def test_every_form_in_which_a_relay_says_a_picture(easel, sim, watch, model):
    for url in (picture_urls(chat(easel, model=model))[0],
                easel.generate(model=model, response_format="url").json["data"][0]["url"]):
        data = easel.stored(url)
        assert data == png(serial_of(data), 512, 512, size=len(data))
    sent = watch.requests("chat")
    assert len(sent) == 2, "one purchase each"
    assert all(r["body"]["modalities"] == ["image", "text"] and r["body"]["stream"] is False for r in sent)
    assert all(r["body"]["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a panda"}]}] for r in sent)


def test_several_pictures_are_several_calls_in_chat(easel, watch):
    answer = chat(easel, model="chat-images", n=3, size="1536x1024", stream=True)
    urls = re.findall(PICTURE, answer.body.decode())
    assert len({serial_of(easel.stored(u)) for u in urls}) == 3
    assert [r["body"]["image_config"] for r in watch.requests("chat")] == [{"aspect_ratio": "3:2"}] * 3
    assert "size→aspect_ratio=3:2" in easel.generate(model="chat-images", size="1536x1024").header(
        "x-easel-params").encode("latin-1").decode()


@pytest.mark.parametrize("model, status, code", [
    ("chat-gemini-empty", 502, "upstream_garbage"), ("chat-gemini-blocked", 400, "upstream_content_policy"),
    ("chat-refusal", 502, "upstream_garbage"), ("chat-images@gif", 502, "result_not_image")])
def test_no_picture_is_an_error_that_says_what_came_instead(easel, watch, model, status, code):
    error = expect_error(chat(easel, model=model), status, code, billed=True)
    if model == "chat-refusal":
        assert "I would rather write a poem" in error["upstream"]["message"]
    assert len(watch.requests("chat")) == 1


def bare(data):
    """Without its text, which does not go on to a provider."""
    at = data.index(b"tEXt") - 4
    return data[:at] + data[at + 12 + int.from_bytes(data[at:at + 4], "big"):]


def test_pictures_to_start_from_go_into_the_conversation(easel, sim, watch):
    data = "data:image/png;base64," + base64.b64encode(bare(png(7, 64, 64))).decode()
    first = picture_urls(chat(easel, model="chat-images", messages=[user("bluer", data)]))[0]
    assert watch.one("chat")["body"]["messages"][0]["content"] == [
        {"type": "text", "text": "bluer"}, {"type": "image_url", "image_url": {"url": data}}]
    # the picture of the answer before is taken from the store: in Markdown, in images[], and asked for by URL
    stored = "data:image/png;base64," + base64.b64encode(easel.stored(first)).decode()
    path = urllib.parse.urlsplit(first).path
    for before, last in (
            ({"content": f"![image]({first})"}, user("brighter")),
            ({"content": "", "images": [{"type": "image_url", "image_url": {"url": first}}]}, user("brighter")),
            ({"content": f"![image]({first})", "images": [{"type": "image_url", "image_url": {"url": first}}]}, user("x")),
            ({"content": "hello"}, user("brighter", first)), ({"content": "hello"}, user("brighter", path))):
        watch = Watch(sim)
        messages = [user("a cat"), {"role": "assistant", **before}, last]
        assert chat(easel, model="chat-images", messages=messages).status == 200
        assert [p["image_url"]["url"] for p in watch.one("chat")["body"]["messages"][0]["content"][1:]] == [stored]


def test_a_url_is_fetched_under_the_policy_alone(easel, sim, watch):
    for url, status, code in ((f"{sim.base_url}/pictures/x.png", 400, "url_not_allowed"),
                              ("http://169.254.169.254/latest", 400, "url_not_allowed"),
                              ("file:///etc/passwd", 400, "url_not_allowed"),
                              ("https://nowhere.invalid/x.png", 400, "url_fetch_failed")):
        expect_error(chat(easel, model="chat-images", messages=[user("x", url)]), status, code,
                     param="messages[0].content[1].image_url")
        # in the conversation's history it is left out
        assert chat(easel, model="chat-images", messages=[
            user("x"), {"role": "assistant", "content": f"![image]({url})"}, user("y")]).status == 200
    assert all(len(r["body"]["messages"][0]["content"]) == 1 for r in watch.requests("chat"))
    expect_error(chat(easel, model="chat-images", messages=[user("x", "data:image/png;base64,AAAA")]), 400, "invalid_value",
                 param="messages[0].content[1].image_url")
    missing = easel.url + "/files/" + "0" * 26 + ".png"
    assert chat(easel, model="chat-images", messages=[user("x", missing)]).status == 404


def test_a_fallback_may_be_made_in_chat(easel, watch):
    answer = chat(easel, model="fallen-back")
    assert len(picture_urls(answer)) == 1 and answer.header("x-easel-model") == "chat-images"


# ---- other models ----

def test_the_body_goes_on_as_it_came_but_for_the_model(easel, sim, watch):
    body = (b'{"temperature":0.1, "model" : "wr\\u0069ter","messages":[{"role":"user","content":"h\\u00e9 \\"model\\":1"}],'
            b'"big":12345678901234567,"x":1e-7,"metadata":{"model":"inner"}}')
    answer = easel.post("/v1/chat/completions", body)
    assert content(answer).startswith("A lighthouse"), answer
    sent = watch.one("chat")
    assert sent["body"] == json.loads(body) | {"model": "gpt-4o-mini"}
    assert sent["headers"]["authorization"] == f"Bearer {SIM_KEY}"
    assert answer.header("x-easel-model") == "writer"
    assert len(watch.requests("chat")) == 1


def test_an_answer_may_be_long_for_all_that_it_says_of_each_token(easel):
    choice = chat(easel, model="gpt-4o-mini@chunks=2000", logprobs=True, top_logprobs=20).json["choices"][0]
    said = choice["logprobs"]["content"]
    assert len(said) == 2000 and {len(token["top_logprobs"]) for token in said} == {20}
    assert "".join(token["token"] for token in said) == choice["message"]["content"]


def test_a_tool_call_is_passed_on(easel):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    choice = chat(easel, model="mini", tools=tools).json["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "weather"
    chunks = events(chat(easel, model="mini", tools=tools, stream=True).body)
    assert chunks[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "weather"


def test_a_stream_is_passed_on_byte_for_byte(easel, sim):
    members = {"messages": [user("x")], "stream": True, "stream_options": {"include_usage": True}}
    there = request(sim.base_url, "POST", "/v1/chat/completions", json.dumps({"model": "gpt-4o-mini@chunks=2000", **members}).encode(),
                    {"Authorization": f"Bearer {SIM_KEY}", "Content-Type": "application/json"})
    here = chat(easel, model="gpt-4o-mini@chunks=2000", **members)
    assert here.status == 200 and here.header("content-type").startswith("text/event-stream")

    def same(body):
        return re.sub(rb'"created":\d+|chatcmpl-sim\d+', b"", body)
    assert same(here.body) == same(there.body) and len(events(here.body)) == 2003


def test_a_stream_arrives_as_it_is_written(easel):
    where = urllib.parse.urlsplit(easel.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30 * SLOW)
    body = {"model": "gpt-4o-mini@gap=0.05,chunks=20", "messages": [user("x")], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body),
                       {"Authorization": f"Bearer {easel.key}", "Content-Type": "application/json"})
    answer, at = connection.getresponse(), []
    while line := answer.readline():
        if line.startswith(b"data: "):
            at.append(time.monotonic())
    connection.close()
    assert len(at) == 23
    assert at[-1] - at[0] > 0.7, "they came one after the other"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault, status, code, billed", [
    ("status=401", 502, "upstream_auth_failed", False),
    ("status=500", 502, "upstream_failed", True),
    ("code=moderation_blocked", 400, "upstream_content_policy", False),
    ("code=insufficient_quota", 502, "upstream_quota_exhausted", False),
    ("error-200", 502, "upstream_quota_exhausted", False),
    ("wrong-type", 502, "upstream_garbage", True),
])
def test_the_providers_refusals_are_our_errors(easel, watch, stream, fault, status, code, billed):
    answer = chat(easel, model=f"gpt-4o-mini@{fault}", stream=stream)
    expect_error(answer, status, code, billed=billed)
    assert len(watch.requests("chat")) == 1, "asked once"
    lines = wait_until(lambda: [line for line in easel.log_lines(answer.header("x-request-id")) if "Chat failed" in line])
    assert re.search(r"Chat failed: status=\d+, token=fp:[0-9a-f]{8}\b", lines[0])


@pytest.mark.parametrize("fault, code", [
    ("not-json", "upstream_garbage"), ("truncate", "upstream_truncated"), ("empty-body", "upstream_garbage")])
def test_an_answer_that_breaks_off_or_is_none_is_an_error(easel, watch, fault, code):
    expect_error(chat(easel, model=f"gpt-4o-mini@{fault}"), 502, code, billed=True)
    assert len(watch.requests("chat")) == 1


def test_a_model_that_the_provider_does_not_know_is_no_404_of_ours(easel):
    expect_error(chat(easel, model="absent-writer"), 502, "upstream_not_found")


def test_a_provider_without_chat_says_so(easel):
    expect_error(chat(easel, model="preview-writer"), 400, "unsupported_parameter", param="model")


def test_what_cannot_have_been_bought_is_tried_again(easel, sim, watch):
    sim.faults({"status": 429, "retry_after": 1})
    assert content(chat(easel, model="mini")).startswith("A lighthouse")
    assert len(watch.requests("chat")) == 2


def test_several_keys_take_turns(start_easel, sim):
    several = config(sim, providers={"sim": {"api_keys": ["sk-sim-dead-0123456789@status=401", SIM_KEY]}})
    del several["providers"]["sim"]["api_key"]
    easel, watch = start_easel(several), Watch(sim)
    for _ in range(3):
        assert content(chat(easel, model="mini")).startswith("A lighthouse")
    assert 4 <= len(watch.requests("chat")) <= 5, "each of two workers asks with the refused key once at most"


@pytest.mark.parametrize("fault", ["status", "sse-error"])
def test_no_key_of_a_provider_is_quoted_whichever_it_was_sent(start_easel, sim, fault):
    keys = ["sk-sim-Wq7rT2mXe9Lk4Zb", "sk-sim-h5VnY8cJd3Pf6Gs"]
    several = config(sim, providers={"sim": {"api_keys": keys}})
    del several["providers"]["sim"]["api_key"]
    easel = start_easel(several)
    for key in keys:
        said = key if fault == "sse-error" else key[len("sk-sim-"):]
        sim.faults({"status": 400, "message": f"is {said} yours?"} if fault == "status" else
                   {"fault": "sse-error", "message": f"is {said} yours?"})
        answer = chat(easel, model="mini", stream=fault == "sse-error")
        assert b"yours?" in answer.body, answer
        assert not any(k[7:] in str(answer) or k[7:] in easel.log() for k in keys), answer


def test_an_error_in_the_middle_of_a_stream_is_passed_on(easel):
    body = chat(easel, model="gpt-4o-mini@sse-error", stream=True).body
    assert b'"server_error"' in body and b"[DONE]" not in body


def test_a_stream_that_begins_with_an_error_is_an_error(easel):
    expect_error(chat(easel, model="gpt-4o-mini@sse-error,after=0", stream=True), 502, "upstream_failed", billed=True)


def test_a_stream_that_breaks_off_ends_with_an_error(easel):
    answer = chat(easel, model="gpt-4o-mini@truncate-chunked,after=0.5", stream=True)
    assert answer.status == 200
    lines = [line for line in answer.body.decode().split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    said = [json.loads(line[6:]) for line in lines]
    assert len(said) > 3 and said[-1]["error"]["code"] == "upstream_truncated"
    assert said[-1]["error"]["request_id"] == answer.header("x-request-id")


def test_silence_ends_a_stream(easel):
    answer = chat(easel, model="gpt-4o-mini@stall,chunks=40", stream=True)
    last = json.loads(answer.body.decode().strip().split("data: ")[-1])
    assert last["error"]["code"] == "upstream_stalled" and "1 s" in last["error"]["message"]
    assert 1 <= answer.seconds < 6 * SLOW
    expect_error(chat(easel, model="gpt-4o-mini@silence"), 504, "upstream_stalled", billed=True)


def test_the_deadline_holds(start_easel, sim):
    easel = start_easel(config(sim, deadline={"chat_idle": "", "chat_completions": "1s"}))
    answer = chat(easel, model="gpt-4o-mini@delay=3")
    expect_error(answer, 504, "deadline_exceeded", billed=True)
    assert answer.seconds < 2 * SLOW
    last = chat(easel, model="gpt-4o-mini@stall,chunks=40", stream=True).body.decode().strip().split("data: ")[-1]
    assert json.loads(last)["error"]["code"] == "deadline_exceeded"


def test_a_client_that_leaves_ends_the_providers_work(easel, sim):
    where = urllib.parse.urlsplit(easel.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30 * SLOW)
    since = Watch(sim)
    body = {"model": "gpt-4o-mini@gap=0.05,chunks=20", "messages": [user("x")], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body),
                       {"Authorization": f"Bearer {easel.key}", "Content-Type": "application/json"})
    connection.getresponse().readline()
    connection.close()
    wait_until(lambda: any(r.get("aborted") for r in since.requests("chat")), what="the end of the provider's stream")


# ---- scopes and limits ----

def test_chat_needs_its_own_scope(easel):
    images = easel.run("keys", "create", "--name", "images", "--scope", "images").stdout.strip()
    both = easel.run("keys", "create", "--name", "chat", "--scope", "chat").stdout.strip()
    body = {"model": "gpt-image-1", "messages": [user("x")]}
    expect_error(easel.post("/v1/chat/completions", body, key=images), 403, "insufficient_scope")
    assert easel.post("/v1/chat/completions", body, key=both).status == 200


def test_pictures_in_chat_count(start_easel, sim):
    easel = start_easel(config(sim, limits={"images_per_day": 2}))
    assert len(picture_urls(chat(easel, n=2))) == 2
    expect_error(chat(easel), 429, "rate_limited")
    assert content(chat(easel, model="mini")).startswith("A lighthouse"), "words are no pictures"
