"""Bad input: what is wrong is said, with the field, what was expected and what was found.  Never a 5xx."""
import json
import random
import re

import pytest

from support import REQUEST_ID, expect_error, raw, request, wait_until

PATH = "/v1/images/generations"
SMALL = {"prompt": "a panda", "size": "256x256", "response_format": "url"}


@pytest.fixture(scope="module")
def easel(start_easel):
    return start_easel({"limits": {"json_bytes": "8MB"}})


@pytest.fixture(scope="module")
def narrow(start_easel):
    """Takes bodies of at most 1000 bytes."""
    return start_easel({"limits": {"json_bytes": "1000B"}})


# ---- fields ----

TYPE, VALUE = "invalid_type", "invalid_value"
ABOVE, BELOW, LONG = "integer_above_max_value", "integer_below_min_value", "string_above_max_length"
MISSING = "missing_required_parameter"
TEXTS = ("size", "quality", "response_format", "output_format", "background", "moderation", "style",
         "user", "negative_prompt", "sampler", "aspect_ratio", "model")
INTEGERS = ("n", "output_compression", "partial_images", "seed", "steps")
NUMBERS = ("guidance", "strength", "noise")

FIELDS = [
    ("prompt", None, MISSING), ("prompt", 7, TYPE), ("prompt", True, TYPE), ("prompt", [], TYPE),
    ("prompt", {}, TYPE), ("prompt", "", VALUE), ("prompt", "x" * 32001, LONG),
    ("prompt", "熊" * 32001, LONG), ("prompt", " \n\t", VALUE),
    *((name, "x" * 257, LONG) for name in ("model", "quality", "moderation", "style", "user", "sampler",
                                           "aspect_ratio")), ("negative_prompt", "x" * 32001, LONG),
    ("n", 0, BELOW), ("n", -1, BELOW), ("n", 11, ABOVE), ("n", 2**53, ABOVE), ("n", 1.5, TYPE),
    ("size", "", VALUE), ("size", "1024*1024", VALUE), ("size", "１０２４x1024", VALUE),
    ("size", "99999x99999", VALUE), ("size", "0x0", VALUE),
    ("size", "-1024x1024", VALUE), ("size", "1024x", VALUE), ("size", "x1024", VALUE),
    ("size", "1024x1024x3", VALUE), ("size", " 1024x1024", VALUE), ("size", "big", VALUE),
    ("response_format", "xml", VALUE), ("response_format", "", VALUE), ("response_format", "URL", VALUE),
    ("output_format", "gif", VALUE), ("output_format", "jpg", VALUE), ("output_format", "", VALUE),
    ("output_compression", -1, BELOW), ("output_compression", 101, ABOVE),
    ("partial_images", -1, BELOW), ("partial_images", 4, ABOVE),
    ("seed", -1, BELOW), ("steps", 0, BELOW), ("steps", -5, BELOW), ("steps", 10**6, ABOVE),
    ("guidance", -1, VALUE), ("strength", -0.5, VALUE), ("strength", 1.5, VALUE), ("noise", 1.5, VALUE),
    ("stream", "true", TYPE), ("stream", 1, TYPE), ("stream", [], TYPE),
    *((name, 7, TYPE) for name in TEXTS), *((name, ["a"], TYPE) for name in TEXTS),
    *((name, {"a": 1}, TYPE) for name in TEXTS), *((name, True, TYPE) for name in TEXTS),
    *((name, "1", TYPE) for name in INTEGERS), *((name, True, TYPE) for name in INTEGERS),
    *((name, 1.5, TYPE) for name in INTEGERS), *((name, [], TYPE) for name in INTEGERS),
    *((name, "1", TYPE) for name in NUMBERS), *((name, {}, TYPE) for name in NUMBERS),
]


def shown(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 30 else f"{text[:20]}…{len(text)}"


@pytest.mark.parametrize("name,value,code", FIELDS, ids=[f"{f}={shown(v)}" for f, v, _ in FIELDS])
def test_a_wrong_field_is_named(easel, name, value, code):
    answer = easel.post(PATH, {**SMALL, name: value})
    error = expect_error(answer, 400, code, param=name, party="client")
    assert error["type"] == "invalid_request_error"
    assert f"'{name}'" in error["message"]
    if code != MISSING:
        assert re.search(r"[Ee]xpected .+, but got .+ instead", error["message"]), error["message"]
    assert len(error["message"]) < 500, "a message is not an echo"


@pytest.mark.parametrize("name", [*TEXTS, *INTEGERS, *NUMBERS, "stream"])
def test_null_means_not_given(easel, name):
    answer = easel.post(PATH, {**SMALL, name: None})
    assert answer.status == 200, answer


def test_the_prompts_characters_are_counted_not_its_bytes(easel):
    assert easel.post(PATH, {**SMALL, "prompt": "熊" * 32000}).status == 200


@pytest.mark.parametrize("prompt", ["🐼👨‍👩‍👧‍👦", "\u202eabc", "a\nb\tc", '"><img src=x onerror=1>', "%s%n%d", "'; DROP TABLE keys; --"])
def test_a_strange_prompt_is_a_prompt(easel, prompt):
    assert easel.post(PATH, {**SMALL, "prompt": prompt}).status == 200


# ---- models ----

def test_an_unknown_model_is_404_with_the_nearest_name(easel):
    error = expect_error(easel.post(PATH, {**SMALL, "model": "easel-previw"}), 404, "model_not_found",
                         param="model")
    assert "easel-preview" in error["message"]


@pytest.mark.parametrize("model", ["x" * 200, "../../etc/passwd", "a\nb", "模型", "%2e%2e", "\u202e"])
def test_an_impossible_model_does_not_exist(easel, model):
    expect_error(easel.post(PATH, {**SMALL, "model": model}), 404, "model_not_found", param="model")


# ---- JSON ----

def deep(opening, closing, levels):
    return b'{"prompt":"a panda","x":' + opening * levels + closing * levels + b"}"


JSON = [
    ("nothing", b"", "invalid_json"),
    ("white space", b" \n\t ", "invalid_json"),
    ("no JSON", b"prompt=a panda", "invalid_json"),
    ("cut off in a string", b'{"prompt":"a pan', "invalid_json"),
    ("cut off after a comma", b'{"prompt":"a panda",', "invalid_json"),
    ("a trailing comma", b'{"prompt":"a panda",}', "invalid_json"),
    ("a comment", b'{"prompt":"a panda"/* big */}', "invalid_json"),
    ("single quotes", b"{'prompt':'a panda'}", "invalid_json"),
    ("something after it", b'{"prompt":"a panda"} {}', "invalid_json"),
    ("two objects", b'{"prompt":"a panda"}\n{"prompt":"a bear"}', "invalid_json"),
    ("NaN", b'{"prompt":"a panda","guidance":NaN}', "invalid_json"),
    ("a number that is too large", b'{"prompt":"a panda","guidance":1e999}', "invalid_json"),
    ("an integer that is too large", b'{"prompt":"a panda","seed":123456789012345678901234567890}',
     "invalid_json"),
    ("a leading zero", b'{"prompt":"a panda","n":01}', "invalid_json"),
    ("a byte order mark", b'\xef\xbb\xbf{"prompt":"a panda"}', "invalid_json"),
    ("UTF-16", '{"prompt":"a panda"}'.encode("utf-16"), "invalid_json"),
    ("latin-1", '{"prompt":"un pandá"}'.encode("latin-1"), "invalid_json"),
    ("overlong UTF-8", b'{"prompt":"\xc0\xaf"}', "invalid_json"),
    ("a surrogate in UTF-8", b'{"prompt":"\xed\xa0\x80"}', "invalid_json"),
    ("a lone surrogate", b'{"prompt":"\\ud83d"}', "invalid_json"),
    ("surrogates the wrong way round", b'{"prompt":"\\udc3c\\ud83d"}', "invalid_json"),
    ("an escaped NUL", b'{"prompt":"a\\u0000b"}', "invalid_json"),
    ("an escaped NUL in a key", b'{"prompt":"a","x\\u0000y":1}', "invalid_json"),
    ("a raw NUL", b'{"prompt":"a\0b"}', "invalid_json"),
    ("a raw line break in a string", b'{"prompt":"a\nb"}', "invalid_json"),
    ("an unknown escape", b'{"prompt":"\\x41"}', "invalid_json"),
    ("33 lists in each other", deep(b"[", b"]", 33), "invalid_json"),
    ("10,000 lists in each other", deep(b"[", b"]", 10000), "invalid_json"),
    ("a million opening brackets", b"[" * 1000000, "invalid_json"),
    ("a million opening braces", b'{"a":' * 200000, "invalid_json"),
    ("a key twice", b'{"prompt":"a panda","prompt":"a bear"}', "duplicate_key"),
    ("a key twice, once escaped", b'{"prompt":"a panda","pr\\u006fmpt":"a bear"}', "duplicate_key"),
    ("a list", b"[]", "invalid_type"),
    ("a string", b'"a panda"', "invalid_type"),
    ("null", b"null", "invalid_type"),
    ("a number", b"7", "invalid_type"),
]


@pytest.mark.parametrize("body,code", [row[1:] for row in JSON], ids=[row[0] for row in JSON])
def test_json_is_read_strictly(easel, body, code):
    answer = easel.post(PATH, body)
    param = {"duplicate_key": "prompt", "invalid_type": "body"}.get(code)
    error = expect_error(answer, 400, code, param=param, party="client")
    assert answer.seconds < 5
    if code == "invalid_json" and body.strip():
        assert re.search(r"offset|line|UTF-8|byte", error["message"]), "it says where"


def test_a_value_may_be_nested_as_deep_as_the_limit(easel):
    assert easel.post(PATH, deep(b"[", b"]", 31).replace(b"{", b'{"size":"256x256",', 1)).status == 200


def test_a_hundred_thousand_unknown_members_are_no_trouble(easel):
    body = json.dumps({**SMALL, **{f"k{i}": i for i in range(100000)}}).encode()
    answer = easel.post(PATH, body)
    assert answer.status in (200, 400), answer
    assert len(answer.header("x-easel-params") or "") < 4096


def test_more_values_than_there_may_be_are_counted(easel):
    body = b'{"prompt":"a panda","size":"256x256","x":[%s]}'
    assert easel.post(PATH, body % b",".join([b"{}"] * 124000)).status == 200
    error = expect_error(easel.post(PATH, body % b",".join([b"{}"] * 126000)), 400, "invalid_json", party="client")
    assert re.search(r"about 25200\d values, where at most 250000 may be", error["message"]), error["message"]


def test_an_unknown_parameter_is_dropped_and_said(easel):
    answer = easel.post(PATH, {**SMALL, "colour_of_panda": "blue", "Prompt": "not this"})
    assert answer.status == 200
    assert "colour_of_panda" in answer.header("x-easel-params")
    assert "Prompt" in answer.header("x-easel-params")


def test_an_unknown_parameters_name_cannot_add_a_header(easel):
    answer = easel.post(PATH, {**SMALL, "x\r\nX-Injected: 1": 1, "é\u202e": 2})
    assert answer.status == 200
    assert answer.header("x-injected") is None


# ---- bodies ----

def body_of(length):
    base = len(json.dumps({"prompt": ""}))
    return json.dumps({"prompt": "x" * (length - base)}).encode()


def test_a_body_at_the_limit_is_read(narrow):
    assert narrow.post(PATH, body_of(1000)).status == 200


@pytest.mark.parametrize("length", [1001, 5000, 200000])
def test_a_body_over_the_limit_is_413(narrow, length):
    error = expect_error(narrow.post(PATH, body_of(length)), 413, "body_too_large", party="client")
    # Far beyond the limit it is the web server that stops reading.
    assert "1000" in error["message"] and (str(length) in error["message"] or "more" in error["message"])


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def send_chunked(easel, *pieces):
    return easel.request("POST", PATH, chunked(*pieces), {"Content-Type": "application/json",
                                                          "Transfer-Encoding": "chunked"})


def test_a_chunked_body_is_read(narrow):
    body = json.dumps(SMALL).encode()
    assert send_chunked(narrow, body[:7], body[7:8], body[8:]).status == 200


def test_a_chunked_body_over_the_limit_is_413(narrow):
    expect_error(send_chunked(narrow, body_of(1001)), 413, "body_too_large")
    expect_error(send_chunked(narrow, *[b"x" * 500] * 20), 413, "body_too_large")


def head_of(easel, *lines, path=PATH):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close",
                        f"Authorization: Bearer {easel.key}", "Content-Type: application/json", *lines,
                        "", ""]).encode()


def test_a_content_length_below_the_body_cuts_it(easel):
    body = json.dumps(SMALL).encode()
    answer = raw(easel.url, head_of(easel, f"Content-Length: {len(body) - 5}") + body)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b'"invalid_json"' in answer


def test_a_body_that_never_comes_holds_nobody_up(easel):
    """The web server waits for the rest; a program does not."""
    import socket
    from urllib.parse import urlsplit
    where = urlsplit(easel.url)
    with socket.create_connection((where.hostname, where.port)) as slow:
        slow.sendall(head_of(easel, "Content-Length: 1000") + b'{"prompt":')
        assert easel.post(PATH, SMALL).status == 200


@pytest.mark.parametrize("lines,body", [
    (["Content-Length: 10", "Content-Length: 20"], b"0123456789"),
    (["Content-Length: -1"], b""),
    (["Content-Length: ten"], b""),
    (["Content-Length: 99999999999999999999"], b""),
    (["Content-Length: 10", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    (["Transfer-Encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n"),
    (["X Y: 1", "Content-Length: 0"], b""),
], ids=["two lengths", "a negative length", "a length in words", "an endless length",
        "length and chunks", "a bad chunk", "a space in a header's name"])
def test_http_that_is_none_is_400(easel, lines, body):
    answer = raw(easel.url, head_of(easel, *lines) + body)
    assert re.match(rb"HTTP/1\.[01] (400|413) ", answer), answer
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["code"] in ("bad_request", "body_too_large") and error["party"] == "client"


def test_headers_that_are_too_large_are_431(easel):
    answer = request(easel.url, "GET", "/v1/models", headers={"X-Long": "x" * 9000})
    assert answer.status == 431, answer
    assert answer.error["code"] == "headers_too_large"
    assert re.match(REQUEST_ID, answer.header("x-request-id"))


# ---- content types ----

@pytest.mark.parametrize("content_type", [
    None, "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "application/jsonp", "application/json; charset=gbk", "json", "image/png", "application/json, text/plain"])
def test_another_content_type_is_415(easel, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = easel.request("POST", PATH, json.dumps(SMALL).encode(), headers)
    error = expect_error(answer, 415, "unsupported_media_type", party="client")
    assert "application/json" in error["message"]


@pytest.mark.parametrize("content_type", [
    "application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8",
    "Application/JSON", 'application/json; charset="utf-8"'])
def test_json_may_be_spelt_in_these_ways(easel, content_type):
    answer = easel.request("POST", PATH, json.dumps(SMALL).encode(), {"Content-Type": content_type})
    assert answer.status == 200, answer


# ---- the request itself ----

@pytest.mark.parametrize("deadline", ["", "soon", "20", "-1s", "1e9s", "20 s", "99999999999999999h"])
def test_a_deadline_that_cannot_be_read_is_said(easel, deadline):
    answer = easel.post(PATH, SMALL, {"x-easel-deadline": deadline})
    if deadline:
        expect_error(answer, 400, "invalid_value", param="x-easel-deadline")
    else:
        assert answer.status == 200


def test_head_has_the_headers_of_get_and_no_body(easel):
    answer = raw(easel.url, f"HEAD /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                            f"Authorization: Bearer {easel.key}\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"application/json" in head and body == b""


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405(easel, method):
    answer = easel.request(method, PATH)
    error = expect_error(answer, 405, "method_not_allowed", party="client")
    assert "POST" in answer.header("allow") and "POST" in error["message"] and method in error["message"]


def test_an_unknown_method_never_is_a_5xx(easel):
    assert 400 <= request(easel.url, "BREW", PATH).status < 500


@pytest.mark.parametrize("path", ["/v1/../v1/models", "/v1/%2e%2e/models", "/v1/models/%2E%2E/x",
                                  "/v1/.%2e/models", "/v1/mod%0aels", "/v1/models%00",
                                  "/v1/%zz", "/%", "/" + "x" * 2000])
def test_a_bad_path_is_400(easel, path):
    expect_error(easel.get(path), 400, "bad_path", party="client")


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/..;/models", "/nothing", "/v1/images/generations/x",
                                  "/v1/images/generation", "/" + "x" * 900, "/v1%2fmodels",
                                  "/v1/images%2Fgenerations"])
def test_an_unknown_path_is_404(easel, path):
    expect_error(easel.post(path, SMALL), 404, "endpoint_not_found", party="client")


# ---- at random ----

VALUES = [None, True, False, 0, -1, 1, 10**9, 2**63 - 1, 1.5, -1e300, "", "x", "1024x1024", "url", "熊", "\u0001",
          [], {}, [None], {"a": []}, "x" * 1000]


def mutate(rng, value):
    """A body like a good one, and not quite."""
    value = dict(value)
    for _ in range(rng.randint(1, 3)):
        name = rng.choice([*TEXTS, *INTEGERS, *NUMBERS, "prompt", "stream", "x"])
        value[name] = rng.choice(VALUES)
    body = bytearray(json.dumps(value, ensure_ascii=rng.random() < 0.5).encode())
    for _ in range(rng.choice([0, 0, 1, 3])):
        at = rng.randrange(len(body))
        kind = rng.randrange(4)
        if kind == 0:
            body[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del body[at:at + rng.randint(1, 8)]
        elif kind == 2:
            body[at:at] = rng.randbytes(rng.randint(1, 4))
        else:
            body[at:at] = body[at:at + rng.randint(1, 16)]
        if not body:
            break
    return bytes(body)


def test_three_hundred_random_bodies_are_no_5xx_and_no_crash(easel):
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    workers = {p.pid for p in easel.named("images-generations")}
    assert workers
    for turn in range(300):
        body = mutate(rng, SMALL)
        answer = easel.post(PATH, body)
        assert answer.status in (200, 400, 404), f"seed {seed}, turn {turn}: {body!r}: {answer}"
        assert answer.status == 200 or answer.error["request_id"] == answer.header("x-request-id")
    assert {p.pid for p in easel.named("images-generations")} == workers, f"seed {seed}: a worker is new"


def test_random_bytes_for_http_are_no_5xx(easel):
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    good = head_of(easel, "Content-Length: 20") + b'{"prompt":"a panda"}'
    for turn in range(60):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        answer = raw(easel.url, bytes(data), timeout=2)
        assert not re.match(rb"HTTP/1\.\d 5\d\d", answer) or b" 501 " in answer[:16] or b" 505 " in answer[:16], \
            f"seed {seed}, turn {turn}: {bytes(data)!r}: {answer}"
    wait_until(lambda: easel.get("/v1/models").status == 200)


# ---- errors about what is no text ----

def test_a_header_that_is_no_utf8_is_told(easel):
    answer = easel.get("/v1/models", headers={"x-easel-deadline": b"\xff"})
    error = expect_error(answer, 400, "invalid_value", param="x-easel-deadline", party="client")
    assert error["found"] == "'?'" and "'?'" in error["message"], error
    content_type = b"multipart/form-data; boundary=b; charset=\xff"
    answer = easel.request("POST", "/v1/images/edits", b"--b--\r\n", {"Content-Type": content_type})
    assert "charset '?'" in expect_error(answer, 415, "unsupported_media_type", party="client")["message"]


def test_the_older_answer_is_told_too(easel):
    answer = easel.post("/generate", {"auth_type": "token"}, {"x-easel-deadline": b"\xff"})
    assert answer.status == 400, answer
    assert answer.json["success"] is False and answer.json["code"] == "invalid_value" and "'?'" in answer.json["error"]


def test_a_name_that_is_cut_inside_a_character_is_told(start_easel):
    long = "m" * 78 + "馬熊"  # its first 80 bytes end in the middle of a character
    easel = start_easel({"providers": {"preview": {"dialect": "preview"}},
                         "models": {long: {"provider": "preview", "upstream_model": "easel-preview"}}})
    value = {"email": "a@example.com", "password": "x", "y" * 47 + "馬": 1}
    expect_error(easel.post("/login", value, key=False), 400, "unsupported_parameter", param="y" * 47 + "?")
    answer = easel.generate(model="m" * 78 + "馬", size="256x256")
    error = expect_error(answer, 404, "model_not_found", param="model")
    assert "Did you mean '" + "m" * 78 in error["message"], error
    error = expect_error(easel.get("/v1/models/" + "m" * 78 + "%E9%A6%AC"), 404, "model_not_found", param="model")
    assert "Did you mean '" + "m" * 78 in error["message"], error
