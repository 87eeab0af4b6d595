"""stream: true on the images endpoints, through lighttpd: events as they arrive, errors in band, clients that leave."""
import base64
import re
import struct
import time

import pytest

from sim.pictures import png, serial_of
from sse import Stream
from support import DALLE, GPT, RELAYS, SLOW, Watch, expect_error, merge, modelscope, send_in_two, sim_config, wait_until

KEEP_ALIVE_S = 0.5
WIRES = ("sse-crlf", "sse-cr", "sse-unnamed", "sse-late-type", "sse-comments", "sse-done", "sse-plain", "sse-refused",
         "sse-endless", "wrong-label", "gzip", "sse-comments+sse-crlf")
FAULTS = (*WIRES, "sse-hold", "sse-silence+sse-comments", "sse-error", "sse-flat-error", "sse-cut", "sse-cut-after", "sse-silence",
          "sse-giant", "sse-bad-partial", "fewer", "more", "delay=1.5", "delay=4", "picture_bytes=8000000", "status=429",
          "code=moderation_blocked", "status=401", "silence", "sse-error,sse_code=moderation_blocked", "no-pictures",
          "truncate-chunked,after=0.7", "reset-mid,after=0.7", "not-an-image", "empty-body")
SCHEMA = {"type", "b64_json", "created_at", "size", "quality", "background", "output_format"}


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(merge(sim_config(sim, FAULTS), {
        "server": {"stream_keep_alive": "500ms"},
        "providers": {"narrow": {"dialect": "openai", "base_url": sim.base_url + "/v1", "api_key": "sk-sim-narrow01234567",
                                 "concurrency": 1},
                      "slow": modelscope(sim, base_url=sim.base_url + "/@task_seconds=1.5/modelscope/v1",
                                         api_key="ms-sim-slow0000-89ab-cdef-0123")},
        "models": {"narrow": {"provider": "narrow", "upstream_model": "gpt-image-1@sse-hold"},
                   "slow": {"provider": "slow", "upstream_model": "Qwen/Qwen-Image"},
                   "with-fallback": {"provider": "sim", "upstream_model": "gpt-image-1@status=401",
                                     "fallback": ["gpt-image-1"]}}}))


@pytest.fixture
def watch(sim):
    return Watch(sim)


def stream(easel, **members):
    with Stream(easel, **members) as s:
        events = s.rest()
        for event in events:
            assert event.data["type"] == event.name, event
        return events


def check_picture(easel, event, kind="image_generation.completed"):
    """OpenAI's fields, and the very bytes that the provider made and Easel stored."""
    assert event.name == kind, event
    assert SCHEMA <= set(event.data), event
    data = event.picture
    serial = serial_of(data)
    assert serial is not None
    if data.startswith(b"\x89PNG"):
        width, height = struct.unpack(">II", data[16:24])
        assert data == png(serial, width, height, size=len(data))
        assert event.data["size"] == f"{width}x{height}"
    assert isinstance(event.data["created_at"], int)
    if kind.endswith("completed"):
        assert set(event.data["usage"]) == {"total_tokens", "input_tokens", "output_tokens", "input_tokens_details"}
        assert easel.stored(event.data["url"]) == data
    return serial


def in_band(event, code, party=None, billed=None):
    assert event.name == "error" and event.data["type"] == "error", event
    error = event.data["error"]
    assert error["code"] == code, event
    assert {"message", "type", "param", "request_id", "stage"} <= set(error), event
    assert billed is None or error["may_have_been_billed"] is billed, event
    assert party is None or error["party"] == party
    assert "ledger" in event.data["easel"], event
    return error


# ---- every dialect ----

@pytest.mark.parametrize("model", [*GPT, *DALLE, *RELAYS, "Qwen/Qwen-Image"])
def test_every_provider_yields_openais_events(easel, watch, model):
    events = stream(easel, model=model, partial_images=2)
    partials = 2 if model in GPT else 0
    assert [e.name for e in events] == ["image_generation.partial_image"] * partials + ["image_generation.completed"]
    serials = [check_picture(easel, e, e.name) for e in events]
    assert serials == sorted(set(serials)), "each its own picture, in their order"
    assert [e.data["partial_image_index"] for e in events[:-1]] == list(range(partials))
    assert len(watch.requests("generate")) == 1


def test_the_partial_pictures_of_novelai(easel):
    events = stream(easel, model="nai-diffusion-4-5-full", size="832x1216", steps=3, partial_images=2)
    assert [e.name for e in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [e.data["partial_image_index"] for e in events[:2]] == [0, 1]
    assert easel.stored(events[-1].data["url"]) == events[-1].picture
    assert "partial_images" not in events[-1].data["easel"]["receipt"]


def test_the_preview_streams_too(preview):
    with Stream(preview, n=2, partial_images=3, size="128x128") as s:
        events = s.rest()
    assert [e.name for e in events] == ["image_generation.completed"] * 2
    for event in events:
        assert preview.stored(event.data["url"]) == event.picture
        assert event.data["size"] == "128x128"
    assert events[0].picture != events[1].picture


@pytest.mark.parametrize("fault", WIRES)
def test_however_the_provider_streams(easel, watch, fault):
    events = stream(easel, model=f"gpt-image-1@{fault}", partial_images=2)
    serials = [check_picture(easel, e, e.name) for e in events]
    partials = 0 if fault in ("sse-plain", "sse-refused", "sse-late-type") else 2
    assert [e.name for e in events] == ["image_generation.partial_image"] * partials + ["image_generation.completed"]
    assert serials == sorted(set(serials))
    assert sum(r["purchase"] for r in watch.requests("generate")) == 1


def test_the_provider_is_asked_for_events(easel, watch):
    stream(easel, model="gpt-image-1", partial_images=3)
    body = watch.one()["body"]
    assert body["stream"] is True and body["partial_images"] == 3
    stream(easel, model="gpt-image-1")
    body = watch.requests("generate")[-1]["body"]
    assert body["stream"] is True and "partial_images" not in body
    stream(easel, model="relay-url", partial_images=3)
    assert "stream" not in watch.requests("generate")[-1]["body"]


def test_without_partial_images_none_come(easel):
    assert [e.name for e in stream(easel, model="gpt-image-1")] == ["image_generation.completed"]
    assert [e.name for e in stream(easel, model="gpt-image-1", partial_images=0)] == ["image_generation.completed"]


@pytest.mark.parametrize("model", ["gpt-image-1", "dall-e-2", "dall-e-3", "Qwen/Qwen-Image"])
def test_one_completed_event_a_picture(easel, model):
    events = stream(easel, model=model, n=3)
    assert len({check_picture(easel, e) for e in events}) == len(events) == 3
    assert ["easel" in e.data for e in events] == [False, False, True]
    tokens = [e.data["usage"]["total_tokens"] for e in events]
    assert tokens == ([4162] * 3 if model == "gpt-image-1" else [0] * 3)


def test_pictures_leave_as_they_come(easel):
    events = stream(easel, model="slow", n=2)
    assert len(events) == 2
    assert events[1].at - events[0].at > 1, "the first did not wait for the second"


def test_more_pictures_than_wanted_are_not_told_of(easel):
    before = easel.files()
    assert len(stream(easel, model="gpt-image-1@more", n=2)) == 2
    assert len(easel.files() - before) == 2


def test_the_last_event_says_what_the_headers_say(easel):
    events = stream(easel, model="gpt-image-1", style="vivid", colour="red", partial_images=1)
    assert "easel" not in events[0].data
    told = events[-1].data["easel"]
    assert told["model"] == "gpt-image-1" and told["mode"] == "http" and told["attempts"] == 1
    assert told["receipt"] == {"style": "dropped", "colour": "dropped"}
    assert told["ledger"]["provider"] > 0 and told["task_id"] is None
    assert re.match(r"^req_", told["request_id"])


def test_dropped_partials_are_in_the_receipt(easel):
    told = stream(easel, model="dall-e-3", partial_images=2)[-1].data["easel"]
    assert told["receipt"] == {"stream": "served-here", "partial_images": "dropped"}


def test_the_times_make_up_the_whole(easel):
    with Stream(easel, model="gpt-image-1@delay=1.5", partial_images=1) as s:
        events = s.rest()
        seconds = time.monotonic() - s.start
    ledger = events[-1].data["easel"]["ledger"]
    assert 1.5 <= sum(ledger.values()) / 1000 <= seconds + 0.01
    assert ledger["provider"] >= 1490


def test_fallback_in_a_stream(easel):
    events = stream(easel, model="with-fallback", partial_images=1)
    assert [e.name for e in events] == ["image_generation.partial_image", "image_generation.completed"]
    assert events[-1].data["easel"]["model"] == "gpt-image-1"
    assert events[-1].data["easel"]["attempts"] == 2


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
def test_events_hold_base64_whatever_the_response_format(easel, response_format):
    for event in stream(easel, model="gpt-image-1", partial_images=1, response_format=response_format):
        assert serial_of(event.picture) is not None


def test_a_converted_picture(easel):
    (event,) = stream(easel, model="relay-jpeg", output_format="webp")
    assert event.picture[8:12] == b"WEBP" and event.data["output_format"] == "webp"
    assert easel.stored(event.data["url"]) == event.picture


def test_a_large_picture(easel):
    events = stream(easel, model="gpt-image-1@picture_bytes=8000000", partial_images=2)
    assert [len(e.picture) for e in events] == [8000000] * 3
    for event in events:
        check_picture(easel, event, event.name)


def test_nothing_stays_of_partial_pictures(easel):
    before = easel.files()
    events = stream(easel, model="gpt-image-1", partial_images=3)
    assert easel.files() - before == {events[-1].data["url"].rpartition("/")[2]}


def test_a_partial_picture_that_is_none_is_passed_over(easel):
    (event,) = stream(easel, model="gpt-image-1@sse-bad-partial", partial_images=2)
    check_picture(easel, event)


def test_the_log_says_that_it_streams(easel):
    with Stream(easel, model="gpt-image-1") as s:
        s.rest()
        lines = wait_until(lambda: easel.log_lines(s.request_id), what="the log line")
    assert any("Image generation: stream=True" in line for line in lines)
    assert any("(streaming)" in line for line in lines)


# ---- edits ----

def data_url(side=64):
    return "data:image/png;base64," + base64.b64encode(png(1, side, side)).decode()


@pytest.mark.parametrize("model,partials", [("gpt-image-1", 2), ("dall-e-2", 0), ("relay-data-url", 0)])
def test_an_edit_streams_its_own_events(easel, watch, model, partials):
    events = stream(easel, path="/v1/images/edits", model=model, partial_images=2, images=[{"image_url": data_url()}])
    assert [e.name for e in events] == ["image_edit.partial_image"] * partials + ["image_edit.completed"]
    serials = [check_picture(easel, e, e.name) for e in events]
    assert serials == sorted(set(serials))
    assert len(watch.requests("edit")) == 1


def test_an_edit_by_form_streams_too(easel, watch):
    boundary = "panda"
    fields = {"prompt": "blue", "model": "gpt-image-1", "stream": "true", "partial_images": "1"}
    body = b"".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
                    for k, v in fields.items())
    body += (f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
             "Content-Type: image/png\r\n\r\n").encode() + png(1, 64, 64) + f"\r\n--{boundary}--\r\n".encode()
    answer = easel.request("POST", "/v1/images/edits", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    assert answer.status == 200 and answer.header("content-type").startswith("text/event-stream"), answer
    assert re.findall(rb"^event: (.*)$", answer.body, re.M) == [b"image_edit.partial_image", b"image_edit.completed"]
    sent = {p["name"]: p.get("value") for p in watch.one("edit")["body"]}
    assert sent["stream"] == "true" and sent["partial_images"] == "1"


def test_an_edit_that_fails_in_its_stream(easel):
    events = stream(easel, path="/v1/images/edits", model="gpt-image-1@sse-cut", partial_images=1,
                    images=[{"image_url": data_url()}])
    assert [e.name for e in events] == ["image_edit.partial_image", "error"]
    in_band(events[1], "upstream_truncated", billed=True)


def test_an_edit_by_the_preview(preview):
    with Stream(preview, path="/v1/images/edits", images=[{"image_url": data_url()}]) as s:
        assert [e.name for e in s.rest()] == ["image_edit.completed"]


# ---- as they arrive ----

def test_a_partial_picture_arrives_while_the_last_is_made(easel, sim):
    with Stream(easel, model="gpt-image-1@sse-hold", partial_images=2) as s:
        first, second = s.next(), s.next()
        assert [first.name, second.name] == ["image_generation.partial_image"] * 2
        s.comment()  # and the stream lives on meanwhile
        s.comment()
        sim.release()
        (last,) = s.rest()
    check_picture(easel, last)


def test_a_stream_is_never_silent_for_long(easel):
    with Stream(easel, model="gpt-image-1@delay=4") as s:
        s.begin()
        assert KEEP_ALIVE_S - 0.05 <= s.begun_s < 3.9, "the 200 leaves with the first comment"
        (event,) = s.rest()
    check_picture(easel, event)
    assert s.comments >= 2


def test_a_quick_answer_has_no_comment(easel):
    with Stream(easel, model="gpt-image-1", partial_images=1) as s:
        assert len(s.rest()) == 2
    assert s.comments == 0


# ---- errors ----

@pytest.mark.parametrize("members,status,code", [
    ({"model": "gpt-image-1@status=429"}, 429, "upstream_rate_limited"),
    ({"model": "gpt-image-1@code=moderation_blocked"}, 400, "upstream_content_policy"),
    ({"model": "gpt-image-1@status=401"}, 502, "upstream_auth_failed"),
    ({"model": "gpt-image-1@sse-giant"}, 502, "upstream_too_large"),
    ({"model": "gpt-image-1@sse-cut"}, 502, "upstream_truncated"),
    ({"model": "gpt-image-1@sse-error"}, 502, "upstream_failed"),
    ({"model": "gpt-image-1@sse-flat-error"}, 502, "upstream_failed"),
    ({"model": "gpt-image-1@sse-error,sse_code=moderation_blocked"}, 400, "upstream_content_policy"),
    ({"model": "gpt-image-1@not-an-image"}, 502, "result_not_image"),
    ({"model": "gpt-image-1@empty-body"}, 502, "upstream_garbage"),
    ({"model": "no-such-model"}, 404, "model_not_found"),
    ({"model": "gpt-4o-mini"}, 400, "model_not_image"),
    ({"n": 11}, 400, "integer_above_max_value"),
    ({"stream": "yes"}, 400, "invalid_type"),
    ({"prompt": None}, 400, "missing_required_parameter"),
])
def test_what_fails_at_once_has_its_own_status(easel, members, status, code):
    # no time for a second attempt: what waits for one has begun its stream
    headers = {"x-easel-deadline": "1s"} if status == 429 else {}
    answer = easel.generate(**{"stream": True, **members}, headers=headers)
    assert answer.status == status and answer.error["code"] == code, answer
    assert answer.header("content-type") == "application/json"


def test_it_has_the_headers_then_of_an_answer_without_events(preview):
    members = {"prompt": "x", "size": "32x32", "style": "vivid"}
    plain, streamed = preview.generate(**members), preview.generate(stream=True, **members)
    assert plain.status == streamed.status == 400 and plain.error["code"] == streamed.error["code"]
    told = [{k: v for k, v in answer.headers.items() if k.startswith("x-easel-")} for answer in (plain, streamed)]
    assert told[0] == {"x-easel-model": "easel-preview", "x-easel-attempts": "1", "x-easel-mode": "local",
                       "x-easel-params": "style=dropped"}
    assert told[1] == {**told[0], "x-easel-params": "style=dropped; stream=served-here"}


@pytest.mark.parametrize("fault,code", [
    ("sse-error", "upstream_failed"), ("sse-cut", "upstream_truncated"), ("sse-flat-error", "upstream_failed"),
    ("truncate-chunked,after=0.7", "upstream_truncated"), ("reset-mid,after=0.7", "upstream_truncated"),
    ("sse-error,sse_code=moderation_blocked", "upstream_content_policy")])
def test_what_fails_later_is_told_in_band(easel, fault, code):
    before = easel.files()
    with Stream(easel, model=f"gpt-image-1@{fault}", partial_images=2) as s:
        events = s.rest()
        lines = wait_until(lambda: [x for x in easel.log_lines(s.request_id) if " POST " in x], what="the log line")
    assert events[0].name == "image_generation.partial_image"
    error = in_band(events[-1], code)
    assert error["may_have_been_billed"] is True
    assert error["stage"] == "provider.recv"
    assert [e.name for e in events].count("error") == 1
    assert f"code={code}" in lines[0] and " 200 " in lines[0]
    assert easel.files() == before


@pytest.mark.parametrize("fault", ["sse-cut-after", "fewer"])
def test_pictures_that_came_are_told_of_before_the_error(easel, fault):
    events = stream(easel, model=f"gpt-image-1@{fault}", n=2)
    assert len(events) == 2
    check_picture(easel, events[0])
    error = in_band(events[1], "images_incomplete", billed=True)
    assert [i["url"] for i in error["images"]] == [events[0].data["url"]]


def test_a_deadline_that_passes_in_a_stream(easel):
    with Stream(easel, {"x-easel-deadline": "2s"}, model="gpt-image-1@sse-silence", partial_images=1) as s:
        events = s.rest()
    assert [e.name for e in events] == ["image_generation.partial_image", "error"]
    error = in_band(events[1], "deadline_exceeded", billed=True)
    assert "2 s" in error["message"] and "task_id" in error
    assert 1.5 <= events[1].at <= 3 * SLOW


def test_comments_of_the_provider_do_not_extend_the_deadline(easel):
    with Stream(easel, {"x-easel-deadline": "2s"}, model="gpt-image-1@sse-silence+sse-comments") as s:
        events = s.rest()
    in_band(events[-1], "deadline_exceeded", billed=True)
    assert events[-1].at <= 3 * SLOW


def test_a_deadline_that_passes_before_the_stream_begins(easel):
    answer = easel.generate(stream=True, model="gpt-image-1@silence", headers={"x-easel-deadline": "300ms"})
    expect_error(answer, 504, "deadline_exceeded", billed=True)


def test_a_wrong_key_is_no_stream(easel):
    answer = easel.generate(stream=True)
    assert answer.status == 200
    answer = easel.request("POST", "/v1/images/generations", b'{"prompt":"x","stream":true}',
                           {"Content-Type": "application/json"}, key="sk-easel-wrong")
    expect_error(answer, 401, "invalid_api_key")


def test_the_language_of_an_error_in_band(easel):
    with Stream(easel, {"Accept-Language": "zh"}, model="gpt-image-1@sse-cut", partial_images=1) as s:
        assert re.search("[\u4e00-\u9fff]", s.rest()[-1].data["error"]["message"])


# ---- clients that leave ----

def test_what_was_bought_is_stored_although_the_client_has_left(easel, sim):
    before = easel.files()
    with Stream(easel, model="gpt-image-1@sse-hold", partial_images=1) as s:
        assert s.next().name == "image_generation.partial_image"
        request_id = s.request_id
    wait_until(lambda: any("the client has left" in x for x in easel.log_lines(request_id)), what="the log line")
    sim.release()
    (name,) = wait_until(lambda: easel.files() - before, what="the picture")
    data = easel.stored("/files/" + name)
    assert data == png(serial_of(data), 1024, 1024, len(data))
    lines = wait_until(lambda: [x for x in easel.log_lines(request_id) if " POST " in x], what="the log line")
    assert "client=gone" in lines[0]
    (left,) = [x for x in easel.log_lines(request_id) if "for a client that has left" in x]
    assert "1 of 1 pictures are stored" in left and name.partition(".")[0] in left


def test_who_leaves_while_waiting_in_line_buys_nothing(easel, sim, watch):
    with Stream(easel, model="narrow", partial_images=1) as first:
        assert first.next().name == "image_generation.partial_image"
        with Stream(easel, model="narrow") as second:
            second.comment()  # it stands in line
            request_id = second.request_id
        wait_until(lambda: [x for x in easel.log_lines(request_id) if " POST " in x], what="the second's end")
        sim.release()
        assert [e.name for e in first.rest()] == ["image_generation.completed"]
    assert len(watch.requests("generate")) == 1
    assert any("0 of 1 pictures are stored" in x for x in easel.log_lines(request_id))


def test_a_plain_request_need_not_wait_in_line_for_nobody(easel, sim, watch):
    with Stream(easel, model="narrow", partial_images=1) as first:
        assert first.next().name == "image_generation.partial_image"
        second = send_in_two(easel, "/v1/images/generations", {"prompt": "a panda", "model": "narrow"})
        time.sleep(0.2)  # it may or may not stand in line yet: either way it must not buy
        second.close()
        code = "client_closed_request"
        wait_until(lambda: f"code={code}" in easel.log(), what="the end of the second")
        assert re.search(f" POST /v1/images/generations 499 .*code={code}", easel.log())
        sim.release()
        assert [e.name for e in first.rest()] == ["image_generation.completed"]
    assert len(watch.requests("generate")) == 1


def test_further_pictures_are_not_bought_for_nobody(easel, watch):
    before = easel.files()
    with Stream(easel, model="slow", n=3) as s:
        s.comment()
        request_id = s.request_id
    wait_until(lambda: [x for x in easel.log_lines(request_id) if " POST " in x], seconds=20, what="its end")
    assert len(easel.files() - before) == len(watch.requests("generate")) == 1
