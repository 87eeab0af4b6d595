"""Grok: the WebSocket, the HTTP of its page, the official API, and which of them is taken, through the front door."""
import base64
from concurrent.futures import ThreadPoolExecutor
import os
import re
import socket
import threading

import pytest

from sim import certs, client
from sim.pictures import Picture, bare, noise, png, serial_of
from sse import Stream
from support import GROK_TOKEN as TOKEN, SLOW, Watch, expect_error, grok, wait_until

XAI_KEY = "xai-sim-0123456789abcdef"
PAGE, API = "grok-imagine-1.0", "grok-imagine-image"
DEADLINE_S = 4
HEADERS = {"x-easel-deadline": f"{DEADLINE_S}s"}
CREDENTIAL, POLICY, PROVIDER = "provider-credential", "provider-policy", "provider"

# Over the socket.  What comes to two pictures all the same.
PASSING = ["ws-old", "ws-order", "ws-no-percent", "ws-no-completed", "ws-notice", "ws-garbage", "ws-binary",
           "ws-fragments", "ws-close-after", "data-blob", "per-round=1", "per-round=1,fault=ws-close-after",
           "picture-bytes=20000", "format=png,picture-bytes=3000000", "gap=0.05", "delay=0.3",
           "fault=ws-old+ws-fragments+data-blob"]
# the fault; status, code, party, stage, may have been billed, words of the message
FAILING = [
    ("status=401", 502, "upstream_auth_failed", CREDENTIAL, "provider.connect", False, "bad credentials"),
    ("code=blocked_user", 502, "upstream_auth_failed", CREDENTIAL, "provider.connect", False, "User is blocked"),
    ("html403", 502, "upstream_challenge_page", POLICY, "provider.connect", False, "says nothing about the credential"),
    ("status=429,retry-after=60", 429, "upstream_rate_limited", PROVIDER, "provider.connect", False, "rate limit"),
    ("headers-then-silence", 502, "upstream_task_rejected", PROVIDER, "provider.connect", False, "HTTP 426"),
    ("redirect", 502, "upstream_garbage", PROVIDER, "provider.connect", False, "redirects to localhost"),
    ("half-head", 502, "upstream_garbage", PROVIDER, "provider.wait", False, "headers end in the middle"),
    ("garbage", 502, "upstream_garbage", PROVIDER, "provider.wait", False, None),
    ("headers-huge", 502, "upstream_garbage", PROVIDER, "provider.wait", False, "headers are larger"),
    ("ws-wrong-accept", 502, "upstream_garbage", PROVIDER, "provider.wait", False, "handshake is no WebSocket's"),
    ("ws-masked", 502, "upstream_garbage", PROVIDER, "provider.recv", True, "must not mask"),
    ("ws-cut", 502, "upstream_truncated", PROVIDER, "provider.recv", True, None),
    ("ws-close", 502, "upstream_failed", PROVIDER, "provider.recv", True, "closed with code 1011"),
    ("ws-close,close-code=1013", 502, "upstream_failed", PROVIDER, "provider.recv", True, "code 1013"),
    ("moderated", 400, "upstream_content_policy", POLICY, "provider.recv", True, "withheld 2"),
    ("not-an-image", 502, "result_not_image", PROVIDER, "provider.recv", True, "HTML"),
    ("truncated-picture", 502, "result_not_image", PROVIDER, "provider.recv", True, "ends in the middle"),
    ("gif", 502, "result_not_image", PROVIDER, "provider.recv", True, "GIF"),
]
SLOW_ONES = [("silence", "provider.recv"), ("delay=30", "provider.recv"), ("gap=30", "provider.recv")]

# Over HTTP: a fault stands at the end of the prompt.
HTTP_PASSING = ["data-blob", "ws-order", "fewer", "chunked", "gzip", "delay=0.2"]
HTTP_FAILING = [
    ("html403", 502, "upstream_challenge_page", POLICY, "provider.submit", False, "says nothing about the credential"),
    ("code=blocked_user", 502, "upstream_auth_failed", CREDENTIAL, "provider.submit", False, "User is blocked"),
    ("status=401", 502, "upstream_auth_failed", CREDENTIAL, "provider.submit", False, "bad credentials"),
    ("status=429,retry_after=60", 429, "upstream_rate_limited", PROVIDER, "provider.submit", False, "rate limit"),
    ("status=500", 502, "upstream_failed", PROVIDER, "provider.submit", True, "Internal error"),
    ("moderated", 400, "upstream_content_policy", POLICY, "provider.recv", True, "moderated"),
    ("no-pictures", 502, "upstream_garbage", PROVIDER, "provider.submit", True, "without a picture"),
    ("not-json", 502, "upstream_garbage", PROVIDER, "provider.submit", True, "not JSON"),
    ("wrong-type", 502, "upstream_garbage", PROVIDER, "provider.submit", True, "web page"),
    ("reset-before", 502, "upstream_reset", PROVIDER, "provider.wait", True, None),
    ("truncate-chunked,after=20", 502, "upstream_truncated", PROVIDER, "provider.recv", True, None),
    ("not-an-image", 502, "result_not_image", PROVIDER, "fetch", True, "HTML"),
]

API_FAILING = [
    ("moderated", 400, "upstream_content_policy", POLICY, "provider.submit", True, "content_moderated"),
    ("no-pictures", 400, "upstream_content_policy", POLICY, "provider.submit", True, None),
    ("code=bad_key", 502, "upstream_auth_failed", CREDENTIAL, "provider.submit", False, "Incorrect API key"),
    ("code=no_credits", 502, "upstream_quota_exhausted", CREDENTIAL, "provider.submit", False, "spending limit"),
    ("html403", 502, "upstream_challenge_page", POLICY, "provider.submit", False, "says nothing about the credential"),
    ("status=429,retry_after=60", 429, "upstream_rate_limited", PROVIDER, "provider.submit", False, None),
    ("status=500", 502, "upstream_failed", PROVIDER, "provider.submit", True, None),
    ("truncate", 502, "upstream_truncated", PROVIDER, "provider.recv", True, None),
    ("not-an-image", 502, "result_not_image", PROVIDER, "provider.recv", True, "HTML"),
]


def xai(sim, **more):
    return {"dialect": "grok", "base_url": sim.base_url + "/grok/v1", "api_key": XAI_KEY, "connect_timeout": "2s", **more}


def scripted(sim, faults):
    """A provider and a model for each of the socket's faults: its model is named by the fault."""
    return ({f"p{i}": grok(sim, f) for i, f in enumerate(faults)},
            {f"grok {f}": {"provider": f"p{i}"} for i, f in enumerate(faults)})


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    providers, models = scripted(sim, [*PASSING, *(r[0] for r in FAILING), *(r[0] for r in SLOW_ONES), "blocked",
                                       "moderated=1", "ws-rate-limit", "fewer", "format=png,picture-bytes=48000000"])
    api = [r[0] for r in API_FAILING] + ["data-blob"]
    return start_easel({
        "providers": {"grok": grok(sim), "xai": xai(sim), **providers},
        "models": {PAGE: {"provider": "grok"}, API: {"provider": "xai"}, **models,
                   **{f"{API}@{f}": {"provider": "xai"} for f in api}},
        "deadline": {"grace": "1s"}, "defaults": {"image_model": PAGE}})


@pytest.fixture(scope="module")
def by_http(start_easel, sim):
    """The same token and provider; one switch is different."""
    return start_easel({"providers": {"grok": grok(sim)}, "models": {PAGE: {"provider": "grok"}},
                        "image": {"image_ws": False}, "deadline": {"grace": "1s"}, "defaults": {"image_model": PAGE}})


@pytest.fixture(autouse=True)
def fresh(sim):
    sim.reset()
    yield
    sim.reset()


@pytest.fixture
def watch(sim):
    return Watch(sim)


def at_once(values, function):
    """Most of their time is waiting."""
    with ThreadPoolExecutor(len(values)) as pool:
        return dict(zip(values, pool.map(function, values)))


@pytest.fixture(scope="module")
def passing(easel):
    return at_once(PASSING, lambda f: easel.generate(model=f"grok {f}", n=2))


@pytest.fixture(scope="module")
def failing(easel):
    before = easel.files()
    answers = at_once([r[0] for r in FAILING], lambda f: easel.generate(model=f"grok {f}", n=2, headers={
        "x-easel-deadline": "10s"}))
    assert easel.files() == before, "a picture, or a piece of one, was left behind"
    return answers


@pytest.fixture(scope="module")
def slow(easel):
    return at_once([r[0] for r in SLOW_ONES], lambda f: easel.generate(model=f"grok {f}", headers=HEADERS))


def serials(easel, answer, status=200):
    """The numbers of the pictures of an answer, from their stored bytes."""
    assert answer.status == status, answer
    items = answer.json["data"] if status == 200 else answer.error["images"]
    found = [serial_of(easel.stored(item["url"])) for item in items]
    assert None not in found and len(set(found)) == len(found), found
    return found


def messages(record):
    return [m["item"]["content"][0] for m in record["body"]]


def lines(easel, answer, count=1):
    """The log's lines of a request, each ending in request=…; the last may come after the answer."""
    request_id = answer.header("x-request-id")
    wait_until(lambda: any("POST /v1" in line for line in easel.log_lines(request_id)), what="the request's last line")
    return [line.split(" ", 3)[3] if line[:4].isdigit() else line for line in easel.log_lines(request_id)]


# ---- the WebSocket ----

def test_pictures_come_over_the_socket(easel, watch):
    answer = easel.generate(n=3, size="1024x1536")
    assert len(serials(easel, answer)) == 3
    assert answer.header("x-easel-params").encode("latin-1").decode() == "size→aspect_ratio=2:3"
    record = watch.one("ws")
    assert record["headers"]["cookie"] == f"sso={TOKEN}; sso-rw={TOKEN}"
    assert record["headers"]["user-agent"].startswith("easel/")
    assert "authorization" not in record["headers"]
    reset, asked = messages(record)
    assert reset == {"type": "reset"}
    assert asked["text"] == "a panda" and asked["type"] == "input_text"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", asked["requestId"])
    assert asked["properties"] == {
        "section_count": 0, "is_kids_mode": False, "enable_nsfw": False, "skip_upsampler": False, "is_initial": False,
        "aspect_ratio": "2:3", "enable_side_by_side": True, "enable_pro": False, "num_generations": 3}


def test_the_stored_bytes_are_the_providers(easel, sim):
    answer = easel.generate()
    data = easel.stored(answer.json["data"][0]["url"])
    assert data == Picture(serial_of(data), 832, 1248, "jpeg", bytes=105000).render()


def test_b64_json_is_served_here(easel):
    answer = easel.generate(response_format="b64_json")
    assert "response_format=served-here" in answer.header("x-easel-params")
    assert set(answer.json["data"][0]) == {"b64_json"}


def test_ten_rounds_of_one(easel, watch):
    assert len(serials(easel, easel.generate(model="grok per-round=1,fault=ws-close-after", n=10))) == 10
    assert len(watch.requests("ws")) == 10


def test_the_members_about_the_model_say_what_it_can(easel):
    said = easel.get(f"/v1/models/{PAGE}").json["easel"]
    assert said["dialect"] == "grok" and said["input_images"] == 0 and said["partial_images"] is True
    assert easel.get(f"/v1/models/{API}").json["easel"]["input_images"] == 3


def test_previews_are_the_partial_pictures_of_a_stream(easel, by_http, watch):
    with Stream(easel, n=2, partial_images=2) as s:
        events = s.rest()
    partial, completed = "image_generation.partial_image", "image_generation.completed"
    assert [e.name for e in events] == [partial] * 4 + [completed] * 2
    assert [e.data["partial_image_index"] for e in events[:4]] == [0, 1, 0, 1]
    assert all(e.picture.startswith(b"\x89PNG") for e in events[:4])
    assert all(e.picture.startswith(b"\xff\xd8\xff") and serial_of(e.picture) for e in events[4:])
    assert "partial_images" not in events[-1].data["easel"]["receipt"]
    assert watch.one("ws")["purchase"]
    with Stream(by_http, n=2, partial_images=2) as s:
        events = s.rest()
    assert [e.name for e in events] == [completed] * 2
    assert events[-1].data["easel"]["receipt"]["partial_images"] == "dropped"


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes(easel, passing, fault):
    assert len(serials(easel, passing[fault])) == 2


@pytest.mark.parametrize("fault,status,code,party,stage,billed,words", FAILING, ids=[r[0] for r in FAILING])
def test_what_fails(failing, fault, status, code, party, stage, billed, words):
    error = expect_error(failing[fault], status, code, party=party, stage=stage, billed=billed)
    assert words is None or words in error["message"], error
    assert TOKEN not in failing[fault].body.decode()


@pytest.mark.parametrize("fault,stage", SLOW_ONES, ids=[r[0] for r in SLOW_ONES])
def test_a_deadline_ends_it(slow, fault, stage):
    error = expect_error(slow[fault], 504, "deadline_exceeded", stage=stage, billed=True)
    assert DEADLINE_S - 0.5 <= slow[fault].seconds < (DEADLINE_S + 1) * SLOW, error


def test_more_than_a_round_makes_is_several_rounds_on_one_socket(easel, watch):
    assert len(serials(easel, easel.generate(n=8))) == 8
    record = watch.one("ws")
    assert [m["properties"]["num_generations"] for m in messages(record) if "text" in m] == [8, 2]
    assert record["pictures"] == 8


def test_a_socket_that_closes_after_a_round_is_opened_again(easel, watch):
    assert len(serials(easel, easel.generate(model="grok per-round=1,fault=ws-close-after", n=3))) == 3
    assert [r["pictures"] for r in watch.requests("ws")] == [1, 1, 1]


def test_it_stops_at_as_many_as_were_asked_for(easel, sim, watch):
    """The old servers make six, whatever is asked for."""
    sim.faults("ws-old,gap=0.02")
    assert len(serials(easel, easel.generate(n=1))) == 1
    assert len(easel.files()) and watch.one("ws")["status"] == 101


def test_previews_and_then_silence_is_blocked(easel):
    answer = easel.generate(model="grok blocked", headers=HEADERS)
    error = expect_error(answer, 400, "upstream_content_policy", party=POLICY, stage="provider.recv", billed=True)
    assert "previews, but no final picture within 3 s" in error["message"]
    assert answer.seconds < DEADLINE_S * SLOW
    assert any("WebSocket blocked" in line for line in lines(easel, answer))


def test_what_one_moderated_leaves_is_in_the_error(easel):
    answer = easel.generate(model="grok moderated=1", n=3)
    expect_error(answer, 502, "images_incomplete", billed=True)
    assert len(serials(easel, answer, 502)) == 2


def test_a_rate_limit_is_tried_again_and_then_told(easel, sim, watch):
    sim.faults("ws-rate-limit")
    assert len(serials(easel, easel.generate())) == 1
    assert len(watch.requests("ws")) == 2
    answer = easel.generate(model="grok ws-rate-limit", headers=HEADERS)
    error = expect_error(answer, 429, "upstream_rate_limited", party=PROVIDER, billed=False)
    assert "Image rate limit exceeded" in error["message"]


def test_a_message_of_64_mb_needs_no_memory(easel, sim):
    def peak():
        return max(int(re.search(rb"VmHWM:\s+(\d+)", p.read("status")).group(1))
                   for p in easel.named("images-generations"))

    easel.generate()
    before = peak()
    answer = easel.generate(model="grok format=png,picture-bytes=48000000")
    assert len(easel.stored(answer.json["data"][0]["url"])) == 48_000_000
    assert peak() - before < (4096 if SLOW == 1 else 65536)


def test_twenty_at_once(easel):
    answers = at_once(range(20), lambda _: easel.generate(n=2))
    assert len({n for a in answers.values() for n in serials(easel, a)}) == 40


def test_descriptors_are_given_back(easel, sim):
    def open_files():
        return sum(len(os.listdir(f"/proc/{p.pid}/fd")) for p in easel.named("images-generations"))

    easel.generate(n=2)
    before = open_files()
    for fault in ("", "ws-cut", "ws-close", "html403"):
        if fault:
            sim.faults(fault)
        easel.generate(n=2)
    wait_until(lambda: open_files() <= before + 2, what="closed descriptors")


def data_url(serial=7):
    return "data:image/png;base64," + base64.b64encode(Picture(serial, 64, 64).render()).decode()


def edit(easel, count=1, **members):
    return easel.post("/v1/images/edits", {"prompt": "give it a hat", **members,
                                           "images": [{"image_url": data_url(i)} for i in range(count)]})


def test_input_pictures_are_refused_where_they_are_not_taken(easel, by_http, watch):
    for installation in (easel, by_http):
        expect_error(edit(installation, model=PAGE), 400, "unsupported_parameter", param="image")
    expect_error(edit(easel, model=API, mask={"image_url": data_url()}), 400, "unsupported_parameter", param="mask")
    expect_error(edit(easel, 4, model=API), 400, "integer_above_max_value", param="image")
    assert not watch.requests()


@pytest.mark.parametrize("more,status", [(0, 200), (1, 400)])
@pytest.mark.parametrize("count", [1, 2])
def test_the_api_takes_input_pictures_of_ten_mebibytes(easel, watch, count, more, status):
    """What is too large is refused before anything is sent."""
    large = bare(png(1, 64, 48, idat=noise((10 << 20) - 75 + more)))
    assert len(large) == (10 << 20) + more
    parts = [("image[]" if count > 1 else "image", p) for p in [png(2, 64, 48)] * (count - 1) + [large]]
    body = b"".join(b'--b\r\nContent-Disposition: form-data; name="%s"; filename="p.png"\r\n\r\n%s\r\n' % (n.encode(), p)
                    for n, p in parts)
    body += f'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n{API}\r\n'.encode()
    body += b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na hat\r\n--b--\r\n'
    answer = easel.request("POST", "/v1/images/edits", body, {"Content-Type": "multipart/form-data; boundary=b"})
    if status == 200:
        assert answer.status == 200 and watch.one("edit"), answer
    else:
        error = expect_error(answer, 400, "invalid_value", param="image[1]" if count > 1 else "image")
        assert "10485760" in error["message"] and "10485761" in error["message"] and not watch.requests(), error


def test_the_next_page_token_is_used_when_one_is_refused(start_easel, sim, watch):
    """A page's tokens are a list of their own: an API key is never a cookie."""
    provider = grok(sim, tokens=["bad-token-0001-of-the-operator", TOKEN])
    del provider["token"]
    for ws in (True, False):
        easel = start_easel({"providers": {"grok": provider}, "models": {PAGE: {"provider": "grok"}},
                             "image": {"image_ws": ws}, "defaults": {"image_model": PAGE}})
        assert easel.generate().status == 200
        assert easel.generate().status == 200
    cookies = [r["headers"]["cookie"] for r in watch.requests() if "cookie" in r["headers"] and r["kind"] != "asset"]
    assert any("bad-token-0001" in c for c in cookies) and any(TOKEN in c for c in cookies), cookies


@pytest.mark.parametrize("count", [1, 3])
def test_an_edit_by_the_api(easel, watch, count):
    answer = edit(easel, count, model=API)
    assert len(serials(easel, answer)) == 1
    record = watch.one("edit")
    sent = [record["body"]["image"]] if count == 1 else record["body"]["images"]
    assert len(sent) == count
    for picture in sent:
        assert picture["type"] == "image_url" and picture["url"].startswith("data:image/png;base64,"), picture


@pytest.mark.parametrize("members,param", [({"aspect_ratio": "wide"}, "aspect_ratio")])
def test_what_cannot_be_asked_is_refused(easel, watch, members, param):
    expect_error(easel.generate(**members), 400, "invalid_value", param=param)
    assert not watch.requests()


def test_an_explicit_ratio_wins(easel, watch):
    answer = easel.generate(size="1024x1024", aspect_ratio="16:9")
    assert messages(watch.one("ws"))[1]["properties"]["aspect_ratio"] == "16:9"
    assert answer.header("x-easel-params").startswith("size=dropped")


# ---- the same token, one door open, the other shut ----

def test_one_switch_decides_the_door_and_answer_and_log_say_which(easel, by_http, sim, watch):
    shut = {"fault": "html403", "on": "conversation"}
    sim.faults(shut)
    opened = easel.generate(n=6)
    assert len(serials(easel, opened)) == 6
    told = lines(easel, opened)
    expected = [
        r"Image generation: stream=False, use_ws=True, response_format=url, n=6, token=fp:[0-9a-f]{8}.*",
        r"Using WebSocket mode for image generation \(non-streaming\)",
        r"Image generation: prompt='a panda', n=6, ratio=2:3, nsfw=False",
        r"WebSocket request sent: .*",
        r"WebSocket collected 6 final images",
    ]
    for pattern in expected:
        assert sum(bool(re.search(pattern + r" request=req_\w+$", line)) for line in told) == 1, (pattern, told)
    assert not any("HTTP API mode" in line or "Chat failed" in line for line in told)

    refused = by_http.generate(n=6)
    error = expect_error(refused, 502, "upstream_challenge_page", party=POLICY, billed=False)
    assert "HTTP 403" in error["message"] and "says nothing about the credential" in error["message"]
    assert error["upstream"]["status"] == 403
    told = lines(by_http, refused)
    for pattern in (r"use_ws=False", r"Using HTTP API mode for image generation \(non-streaming\)",
                    r"Chat failed: status=403, token=fp:[0-9a-f]{8}"):
        assert sum(bool(re.search(pattern, line)) for line in told) == 1, (pattern, told)
    assert not any("WebSocket" in line for line in told)
    # no silent change of mode, and one try: the edge's refusal is not argued with
    assert [r["kind"] for r in watch.requests()] == ["ws", "conversation"]
    for log in (easel.log(), by_http.log()):
        assert TOKEN not in log and "sso=" not in log


def test_nsfw_is_what_the_switch_says(start_easel, sim, watch):
    easel = start_easel({"providers": {"grok": grok(sim, token=f"sso={TOKEN}")}, "image": {"image_ws_nsfw": True},
                         "models": {PAGE: {"provider": "grok"}}, "defaults": {"image_model": PAGE},
                         "log": {"prompts": "none"}})
    answer = easel.generate(n=6, prompt="something secret")
    record = watch.one("ws")
    assert messages(record)[1]["properties"]["enable_nsfw"] is True
    assert record["headers"]["cookie"] == f"sso={TOKEN}; sso-rw={TOKEN}"
    assert any("Image generation: prompt='', n=6, ratio=2:3, nsfw=True" in line for line in lines(easel, answer))
    assert "secret" not in easel.log()


# ---- over HTTP ----

def test_two_a_call_from_the_assets_with_the_cookie(by_http, watch):
    answer = by_http.generate(n=3, size="1024x1536", aspect_ratio="2:3")
    assert len(serials(by_http, answer)) == 3
    assert answer.header("x-easel-params") == "n=2 calls; size=dropped; aspect_ratio=dropped"
    calls = watch.requests("conversation")
    assert len(calls) == 2
    body = calls[0]["body"]
    assert body["message"].endswith("a panda") and body["enableImageGeneration"] is True
    for record in calls + watch.requests("asset"):
        assert record["headers"]["cookie"] == f"sso={TOKEN}"
        assert record["headers"]["user-agent"].startswith("easel/")


def test_the_cookie_goes_to_no_other_origin(start_easel, sim, watch):
    """The assets' address is another than that of the pictures that are named in full."""
    easel = start_easel({"providers": {"grok": grok(sim, assets_url="http://127.0.0.1:1/assets")},
                         "models": {PAGE: {"provider": "grok"}}, "image": {"image_ws": False},
                         "defaults": {"image_model": PAGE}})
    error = expect_error(easel.generate(), 502, "result_fetch_failed", stage="fetch", billed=True)
    assert "refused" in error["message"] or "connect" in error["message"], error
    assert not watch.requests("asset")


@pytest.fixture(scope="module")
def http_passing(by_http):
    return at_once(HTTP_PASSING, lambda f: by_http.generate(prompt=f"a panda @{f}", n=2))


@pytest.mark.parametrize("fault", HTTP_PASSING)
def test_what_passes_over_http(by_http, http_passing, fault):
    assert len(serials(by_http, http_passing[fault])) == 2


@pytest.fixture(scope="module")
def http_failing(by_http):
    return at_once([r[0] for r in HTTP_FAILING], lambda f: by_http.generate(prompt=f"a panda @{f}", headers={
        "x-easel-deadline": "10s"}))


@pytest.mark.parametrize("fault,status,code,party,stage,billed,words", HTTP_FAILING, ids=[r[0] for r in HTTP_FAILING])
def test_what_fails_over_http(http_failing, fault, status, code, party, stage, billed, words):
    error = expect_error(http_failing[fault], status, code, party=party, stage=stage, billed=billed)
    assert words is None or words in error["message"], error


def test_a_deadline_ends_http(by_http):
    answer = by_http.generate(prompt="a panda @silence", headers=HEADERS)
    expect_error(answer, 504, "deadline_exceeded", stage="provider.wait", billed=True)
    assert DEADLINE_S - 0.5 <= answer.seconds < (DEADLINE_S + 1) * SLOW


def test_a_rate_limit_among_the_lines(by_http, sim, watch):
    sim.faults("error-200,bought=false")
    assert len(serials(by_http, by_http.generate())) == 1
    assert len(watch.requests("conversation")) == 2


# ---- the official API ----

def test_the_official_api(easel, watch):
    answer = easel.generate(model=API, n=2, size="2048x3072", quality="high", style="vivid", user="u1")
    assert len(serials(easel, answer)) == 2
    said = answer.header("x-easel-params").encode("latin-1").decode()
    assert said == "size→aspect_ratio=2:3, resolution=2k; style=dropped"
    record = watch.one("generate")
    assert record["headers"]["authorization"] == f"Bearer {XAI_KEY}"
    assert "cookie" not in record["headers"]
    assert record["body"] == {"model": API, "prompt": "a panda", "n": 2, "response_format": "b64_json",
                              "aspect_ratio": "2:3", "resolution": "2k", "quality": "high", "user": "u1"}
    told = lines(easel, answer)
    assert any("use_ws=False" in line for line in told) and any("Using HTTP API mode" in line for line in told)


def test_without_a_size_the_api_chooses(easel, watch):
    assert len(serials(easel, easel.generate(model=API))) == 1
    assert watch.one("generate")["body"] == {"model": API, "prompt": "a panda", "n": 1, "response_format": "b64_json"}


def test_a_data_prefix_is_dropped(easel):
    assert len(serials(easel, easel.generate(model=f"{API}@data-blob"))) == 1


@pytest.fixture(scope="module")
def api_failing(easel):
    return at_once([r[0] for r in API_FAILING], lambda f: easel.generate(model=f"{API}@{f}", headers={
        "x-easel-deadline": "10s"}))


@pytest.mark.parametrize("fault,status,code,party,stage,billed,words", API_FAILING, ids=[r[0] for r in API_FAILING])
def test_what_fails_at_the_api(api_failing, fault, status, code, party, stage, billed, words):
    error = expect_error(api_failing[fault], status, code, party=party, stage=stage, billed=billed)
    assert words is None or words in error["message"], error
    assert XAI_KEY not in api_failing[fault].body.decode()


# ---- on the way ----

class Tunnel:
    """A proxy that knows CONNECT and nothing else, and what it was asked for."""

    def __init__(self, status="200 Connection established"):
        self.asked, self.status = [], status
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = near.recv(4096)
            if not piece:
                return
            head += piece
        self.asked.append(head.decode())
        near.sendall(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
        if not self.status.startswith("200"):
            near.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        far = socket.create_connection((host, int(port)))
        threading.Thread(target=self.pump, args=(near, far), daemon=True).start()
        self.pump(far, near)

    def pump(self, a, b):
        try:
            while piece := a.recv(65536):
                b.sendall(piece)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def test_the_socket_goes_through_the_proxy(start_easel, sim, watch):
    with Tunnel() as proxy:
        easel = start_easel({"providers": {"grok": grok(sim, proxy=proxy.url)}, "models": {PAGE: {"provider": "grok"}},
                             "defaults": {"image_model": PAGE}})
        assert len(serials(easel, easel.generate(n=2))) == 2
        assert proxy.asked[0].startswith(f"CONNECT 127.0.0.1:{sim.port} HTTP/1.1")
        assert TOKEN not in "".join(proxy.asked), "the token is for the provider alone"
    assert watch.one("ws")["status"] == 101


def test_a_proxy_that_refuses_is_named(start_easel, sim, watch):
    with Tunnel("403 Forbidden") as proxy:
        easel = start_easel({"providers": {"grok": grok(sim, proxy=proxy.url)}, "models": {PAGE: {"provider": "grok"}},
                             "defaults": {"image_model": PAGE}})
        error = expect_error(easel.generate(headers=HEADERS), 502, "upstream_connect_failed", billed=False)
        assert "proxy" in error["message"]
    assert not watch.requests()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certs")
    certs.make(str(folder))
    return str(folder)


def test_wss_with_a_certificate_that_is_trusted(start_easel, certificates):
    with client.start(tls_dir=certificates) as secure:
        easel = start_easel({"providers": {"grok": grok(secure)}, "models": {PAGE: {"provider": "grok"}},
                             "defaults": {"image_model": PAGE}}, env={"SSL_CERT_FILE": f"{certificates}/ca.crt"})
        answer = easel.generate(n=3)
        assert len(serials(easel, answer)) == 3
        assert re.search(r"tls;dur=[0-9.]*[1-9]", answer.header("server-timing")), answer
        assert secure.requests(kind="ws")[0]["status"] == 101


def test_wss_with_a_certificate_that_is_not(start_easel, certificates):
    with client.start(tls_dir=certificates) as secure:
        easel = start_easel({"providers": {"grok": grok(secure)}, "models": {PAGE: {"provider": "grok"}},
                             "defaults": {"image_model": PAGE}})
        error = expect_error(easel.generate(), 502, "upstream_tls_failed", stage="provider.tls", billed=False)
        assert "not signed by an authority" in error["message"]
        assert not secure.requests()
