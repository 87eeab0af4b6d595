"""POST /v1/images/edits: pictures go in whole and unchanged, and what cannot be one is refused before anything is bought."""
import base64
import hashlib
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import time
import urllib.parse
import zlib

import pytest

from sim.pictures import GIF, HTML, SVG, bare, chunk, jpeg, noise, png, segment, serial_of, webp
from support import BUILD, SLOW, Watch, expect_error, merge, raw, sim_config, wait_until

PATH = "/v1/images/edits"
BOUNDARY = "----formdata-undici-062471767609"
PNG, JPEG, WEBP = bare(png(900001, 64, 48)), bare(jpeg(900002, 64, 48)), bare(webp(900003, 64, 48))
MASK = bare(png(900004, 64, 48, None, True))
KINDS = {"image/png": PNG, "image/jpeg": JPEG, "image/webp": WEBP}


def form(*parts, boundary=BOUNDARY, end=True):
    """A multipart body of (name, text) and (name, file name, type, bytes)."""
    out = b""
    for name, *rest in parts:
        head = f'Content-Disposition: form-data; name="{name}"'
        if len(rest) > 1:
            head += "" if rest[0] is None else f'; filename="{rest[0]}"'
            head += "" if rest[1] is None else f"\r\nContent-Type: {rest[1]}"
        data = rest[-1] if isinstance(rest[-1], bytes) else str(rest[-1]).encode()
        out += f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"
    return out + (f"--{boundary}--\r\n".encode() if end else b"")


def file(name="image", data=PNG, filename="a.png", kind="image/png"):
    return name, filename, kind, data


def send(easel, *parts, headers=(), boundary=BOUNDARY, **more):
    body = parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else form(*parts, boundary=boundary)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", **dict(headers)}
    return easel.request("POST", PATH, body, headers, **more)


def edit(easel, *parts, **more):
    """With a picture and a prompt, whatever else there is."""
    return send(easel, file(), ("prompt", "a panda"), ("response_format", "url"), *parts, **more)


def sent(watch):
    """The parts that the provider was sent by one call."""
    return watch.one("edit")["body"]


def files_of(parts):
    return [p for p in parts if p["filename"] is not None]


def fields_of(parts):
    return {p["name"]: p["value"] for p in parts if p["filename"] is None}


def sha(data):
    return hashlib.sha256(data).hexdigest()


def data_url(data, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(merge(sim_config(sim, faults=("delay=20", "status=400,code=invalid_image_file")), {
        "models": {"Qwen/Qwen-Image-Edit": {"provider": "modelscope"},
                   "Qwen/Qwen-Image-Edit-2509": {"provider": "modelscope"}},
        "limits": {"image_bytes": "11MB", "image_pixels": 4000000}, "log": {"prompts": "none"}}))


@pytest.fixture(scope="module")
def narrow(start_easel, sim):
    """Takes forms of at most 4000 bytes and JSON of at most 3000."""
    return start_easel(merge(sim_config(sim), {"limits": {"upload_bytes": "4000B", "json_bytes": "3000B"}}))


@pytest.fixture(scope="module")
def preview(start_easel):
    return start_easel()


@pytest.fixture
def watch(sim):
    return Watch(sim)


# ---- what goes in comes out ----

@pytest.mark.parametrize("response_format", ["url", "b64_json"])
def test_the_stored_bytes_are_the_providers(easel, watch, response_format):
    answer = send(easel, file(), ("prompt", "a panda"), ("response_format", response_format))
    assert answer.status == 200, answer
    item = answer.json["data"][0]
    data = easel.stored(item["url"]) if response_format == "url" else base64.b64decode(item["b64_json"])
    serial = serial_of(data)
    assert serial is not None and data == png(serial, *struct.unpack(">II", data[16:24]), size=len(data))
    assert "input_images" not in answer.json and answer.json["created"] > 0
    assert len(watch.requests("edit")) == 1 and not watch.requests("generate")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("called", ["application/octet-stream", "image/gif", None])
def test_a_part_goes_on_as_what_it_is_not_as_what_it_is_called(easel, watch, kind, called):
    answer = send(easel, file(data=KINDS[kind], filename="upload", kind=called), ("prompt", "a panda"))
    assert answer.status == 200, answer
    part, = files_of(sent(watch))
    extension = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}[kind]
    assert (part["name"], part["filename"], part["type"]) == ("image", f"image-1.{extension}", kind)
    assert part["sha256"] == sha(KINDS[kind])


def full(n):
    """A PNG with so many bytes of pixels, or what would be if anybody looked: not a byte of it can be left out."""
    return bare(png(900005, 64, 48, idat=noise(n)))


def riff(picture, *chunks):
    """The WebP with further chunks, each of type and data."""
    body = picture[8:] + b"".join(k + struct.pack("<I", len(d)) + d + b"\0" * (len(d) & 1) for k, d in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


EXTENDED = b"VP8X" + struct.pack("<IB3s", 10, 0x04, b"") + struct.pack("<I", 63)[:3] + struct.pack("<I", 47)[:3]
SEED = b'{"prompt": "a panda", "seed": 1, "Software": "NovelAI"}'
XMP = b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>"
TELLING = {  # where a photograph says where it was taken: behind the signature and the first block
    "png": PNG[:33] + chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\0") + PNG[33:],
    "jpeg": JPEG[:2] + segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0") + JPEG[2:],
    "jpeg-last": JPEG[:2] + segment(0xFE, b"a") + segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0") + JPEG[2:],
    "webp": riff(WEBP, (b"EXIF", b"MM\0*\0\0\0\x08\0\0\0\0\0\0")),
}
PROFILE = chunk(b"iCCP", b"a\0\0" + zlib.compress(b"profile"))
ICC = segment(0xE2, b"ICC_PROFILE\0\1\1profile")
# with: without.  Not a pixel changes, and the colours stay.
SPEAKING = {
    "png-text": (PNG[:33] + chunk(b"tEXt", b"Comment\0" + SEED) + PNG[33:], PNG),
    "png-compressed": (PNG[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(SEED)) + PNG[33:], PNG),
    "png-text-last": (PNG[:-12] + chunk(b"iTXt", b"Comment\0\0\0\0\0" + SEED) + PNG[-12:], PNG),
    "png-xmp": (PNG[:33] + chunk(b"iTXt", XMP) + PNG[33:], PNG),
    "png-time": (PNG[:33] + chunk(b"tIME", bytes(7)) + chunk(b"caBX", SEED) + PNG[33:], PNG),
    "png-behind": (PNG + b"\n", PNG),
    "png-profile": (PNG[:33] + PROFILE + chunk(b"tEXt", b"Comment\0" + SEED) + PNG[33:], PNG[:33] + PROFILE + PNG[33:]),
    "png-serial": (png(900001, 64, 48), PNG),
    "jpeg-comment": (JPEG[:2] + segment(0xFE, SEED) + JPEG[2:], JPEG),
    "jpeg-iptc": (JPEG[:2] + segment(0xED, b"Photoshop 3.0\0" + bytes(12)) + JPEG[2:], JPEG),
    "jpeg-xmp": (JPEG[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>") + JPEG[2:], JPEG),
    "jpeg-others": (JPEG[:2] + segment(0xEB, b"JP" + SEED) + segment(0xE2, b"MPF\0" + bytes(20)) + JPEG[2:], JPEG),
    "jpeg-profile": (JPEG[:2] + ICC + segment(0xFE, SEED) + JPEG[2:], JPEG[:2] + ICC + JPEG[2:]),
    "jpeg-behind": (JPEG + b"\0\0", JPEG),
    "webp-xmp": (riff(WEBP[:12] + EXTENDED + WEBP[12:], (b"XMP ", SEED)),
                 riff(WEBP[:12] + EXTENDED.replace(b"\x04", b"\0") + WEBP[12:])),
    "webp-others": (riff(WEBP, (b"seed", SEED)), WEBP),
}


@pytest.mark.parametrize("kind", SPEAKING)
def test_what_a_picture_says_beside_itself_is_left_out(easel, watch, kind):
    given, wanted = SPEAKING[kind]
    answer = send(easel, file(data=given), ("prompt", "a panda"))
    assert answer.status == 200, answer
    part, = files_of(sent(watch))
    assert (part["bytes"], part["sha256"]) == (len(wanted), sha(wanted))


@pytest.mark.parametrize("kind", TELLING)
def test_what_a_photograph_tells_about_its_maker_is_left_out(easel, watch, kind):
    answer = send(easel, file(data=TELLING[kind]), ("prompt", "a panda"))
    assert answer.status == 200, answer
    part, = files_of(sent(watch))
    assert part["sha256"] not in (sha(TELLING[kind]), sha(PNG), sha(JPEG), sha(WEBP)), "written anew"
    assert part["type"] == "image/" + kind.partition("-")[0]


@pytest.mark.parametrize("names", [["image[]", "image[]", "image[]"], ["image", "image", "image"],
                                   ["image[0]", "image[1]", "image[2]"], ["image", "image[]", "image[7]"]])
def test_several_pictures_by_any_name_keep_their_order(easel, watch, names):
    pictures = [PNG, JPEG, WEBP]
    answer = send(easel, *(file(n, p) for n, p in zip(names, pictures)), ("prompt", "a panda"))
    assert answer.status == 200, answer
    found = files_of(sent(watch))
    assert [p["name"] for p in found] == ["image[]"] * 3
    assert [p["sha256"] for p in found] == [sha(p) for p in pictures]
    assert [p["type"] for p in found] == list(KINDS)


def test_an_array_of_one_is_one(easel, watch):
    assert send(easel, file("image[]"), ("prompt", "a panda")).status == 200
    assert [p["name"] for p in files_of(sent(watch))] == ["image"]


@pytest.mark.parametrize("order", ["files first", "files last"])
def test_the_parts_come_in_any_order(easel, watch, order):
    texts = [("prompt", "一只熊猫\r\nwith a hat"), ("model", "gpt-image-1.5"), ("n", "2"), ("size", "1024x1024"),
             ("quality", "high"), ("user", "u-1"), ("background", "opaque"), ("output_format", "png")]
    parts = [file(), file("mask", MASK)]
    answer = send(easel, *(parts + texts if order == "files first" else texts + parts))
    assert answer.status == 200, answer
    assert len(answer.json["data"]) == 2
    assert fields_of(sent(watch)) == dict(texts)
    mask = files_of(sent(watch))[1]
    assert (mask["name"], mask["filename"], mask["type"], mask["sha256"]) == ("mask", "mask.png", "image/png", sha(MASK))


def test_parameters_of_edits_go_on_and_those_of_generations_do_not(easel, watch):
    answer = edit(easel, ("input_fidelity", "high"), ("moderation", "low"), ("seed", "7"), ("colour", "blue"))
    assert answer.status == 200, answer
    fields = fields_of(sent(watch))
    assert fields["input_fidelity"] == "high" and not fields.keys() & {"moderation", "seed", "colour", "response_format"}
    receipt = answer.header("x-easel-params")
    assert "moderation=dropped" in receipt and "seed=dropped" in receipt and "colour" in receipt, receipt
    assert "image" not in receipt and "prompt" not in receipt, receipt


def test_input_fidelity_is_dropped_where_there_is_no_picture(easel):
    assert "input_fidelity=dropped" in easel.generate(input_fidelity="high").header("x-easel-params")


def test_n_is_honoured(easel, watch):
    answer = edit(easel, ("model", "dall-e-2"), ("n", "2"))
    assert answer.status == 200 and len(answer.json["data"]) == 2, answer
    assert fields_of(sent(watch))["n"] == "2"


def test_the_content_length_is_known(easel, watch):
    assert edit(easel).status == 200
    record = watch.one("edit")
    assert int(record["headers"]["content-length"]) == record["body_bytes"]
    assert "transfer-encoding" not in record["headers"]
    assert re.fullmatch(r"multipart/form-data; boundary=easel-[0-9a-z]{26}", record["headers"]["content-type"])


def test_a_chunked_upload_is_one_like_any_other(easel, watch):
    body = form(file(), ("prompt", "a panda"))
    where = urllib.parse.urlsplit(easel.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60 * SLOW)
    connection.request("POST", PATH, iter([body[:100], body[100:101], body[101:]]), {
        "Authorization": f"Bearer {easel.key}", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert [p["sha256"] for p in files_of(sent(watch))] == [sha(PNG)]


@pytest.mark.parametrize("content_type", [
    'multipart/form-data; boundary="BBB"', "multipart/form-data; charset=utf-8; boundary=BBB",
    "Multipart/Form-Data;boundary=BBB"])
def test_the_content_type_may_be_spelt_in_these_ways(easel, content_type):
    assert send(easel, form(file(), ("prompt", "a panda"), boundary="BBB"),
                headers={"Content-Type": content_type}).status == 200


@pytest.mark.parametrize("path", ["/images/edits", "/v1//images/edits", "/v1/v1/images/edits"])
def test_every_spelling_of_the_path_answers(easel, path):
    answer = easel.request("POST", path, form(file(), ("prompt", "a panda")),
                           {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    assert answer.status == 200, answer


@pytest.mark.parametrize("path,said", [("/v1/images/edit", "/v1/images/edits"), ("/v1/images/edits/", "slash"),
                                       ("/v1/images/edits/images/edits", "base URL")])
def test_a_path_that_is_nearly_right_is_explained(easel, path, said):
    answer = easel.request("POST", path, b"{}", {"Content-Type": "application/json"})
    error = expect_error(answer, 404, "endpoint_not_found")
    assert said in error["message"] + error["hint"]["text"]


def test_an_empty_file_field_of_a_browser_is_none(easel, watch):
    answer = send(easel, file(), ("mask", "", "application/octet-stream", b""), ("prompt", "a panda"))
    assert answer.status == 200, answer
    assert len(files_of(sent(watch))) == 1


# ---- the other dialects ----

def clipped(text):
    """As the simulator keeps a long text."""
    return text if len(text) <= 16384 else f"{text[:64]}… ({len(text)} bytes, sha256 {sha(text.encode())})"


@pytest.mark.parametrize("size", [None, 3000, 3001, 3002, 12286, 12287, 12288, 1000000])
def test_modelscope_is_sent_a_data_url(easel, watch, size):
    data = full(size - 75) if size else PNG
    assert not size or len(data) == size
    answer = send(easel, file(data=data), ("prompt", 'a "panda"'), ("model", "Qwen/Qwen-Image-Edit"), ("seed", "7"))
    assert answer.status == 200, answer
    assert watch.one("generate")["body"] == {"model": "Qwen/Qwen-Image-Edit", "prompt": 'a "panda"', "seed": 7,
                                             "image_url": clipped(data_url(data))}


@pytest.mark.parametrize("count", [1, 3])
def test_modelscopes_later_models_are_sent_an_array(easel, watch, count):
    answer = edit(easel, *[file(data=WEBP)] * (count - 1), ("model", "Qwen/Qwen-Image-Edit-2509"))
    assert answer.status == 200, answer
    assert watch.one("generate")["body"]["image_url"] == \
        [data_url(PNG)] + [data_url(WEBP, "image/webp")] * (count - 1)


@pytest.mark.parametrize("model", ["Qwen/Qwen-Image-Edit", "Qwen/Qwen-Image-Edit-2509"])
def test_modelscope_takes_no_mask(easel, watch, model):
    expect_error(edit(easel, file("mask", MASK), ("model", model)), 400, "unsupported_parameter", param="mask")
    assert not watch.requests()


def size_of(data):
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize("source,size", [(JPEG, (1024, 1024)), (WEBP, (1024, 1024)), (jpeg(1, 320, 200), (320, 200)),
                                         (png(1, 300, 200, None, True), (300, 200))], ids=range(4))
def test_the_preview_shows_the_picture_through_its_drawing(preview, source, size):
    def made(*parts):
        answer = send(preview, file(data=source), ("prompt", "a panda"), ("response_format", "url"), *parts)
        assert answer.status == 200, answer
        return preview.stored(answer.json["data"][0]["url"])
    data = made()
    assert size_of(data) == size, "its own size, unless that is too small to draw"
    assert data == made() and data != made(("seed", "9"))
    assert size_of(made(("size", "128x256"))) == (128, 256)
    drawing = preview.generate(size="%dx%d" % size, response_format="url").json["data"][0]["url"]
    assert preview.stored(drawing) != data


def test_a_picture_that_cannot_be_decoded_is_refused_by_the_preview(preview):
    damaged = PNG[:60] + bytes(len(PNG) - 80) + PNG[-20:]
    answer = send(preview, file(data=damaged), ("prompt", "a panda"))
    error = expect_error(answer, 400, "invalid_value", param="image", party="client")
    assert "damaged" in error["message"]


def test_the_preview_takes_one_picture_and_no_mask(preview):
    answer = send(preview, file(), file("mask", MASK), ("prompt", "a panda"))
    expect_error(answer, 400, "unsupported_parameter", param="mask")
    expect_error(send(preview, file(), file(), ("prompt", "a panda")), 400, "integer_above_max_value", param="image")


# ---- JSON ----

def post(easel, value, **more):
    value = {"prompt": "a panda", "response_format": "url", **value}
    return easel.post(PATH, {k: v for k, v in value.items() if v is not None}, **more)


@pytest.mark.parametrize("members", [
    {"images": [{"image_url": data_url(PNG)}]}, {"image": data_url(PNG)}, {"image": [data_url(PNG)]},
    {"image": base64.b64encode(PNG).decode()}, {"images": [data_url(PNG)]}, {"image": {"image_url": data_url(PNG)}},
    {"image": [{"image_url": {"url": data_url(PNG)}}]}, {"images": [{"image_url": data_url(PNG), "file_id": None}]},
    {"image": data_url(PNG, "application/octet-stream"), "mask": None}])
def test_a_picture_in_json_goes_on_as_a_part(easel, watch, members):
    answer = post(easel, members)
    assert answer.status == 200, answer
    part, = files_of(sent(watch))
    assert (part["type"], part["sha256"]) == ("image/png", sha(PNG))


def test_json_takes_several_pictures_a_mask_and_parameters(easel, watch):
    answer = post(easel, {"images": [{"image_url": data_url(p, k)} for k, p in KINDS.items()], "n": 2,
                          "mask": {"image_url": data_url(MASK)}, "output_compression": 80, "output_format": "jpeg"})
    assert answer.status == 200 and len(answer.json["data"]) == 2, answer
    assert [p["sha256"] for p in files_of(sent(watch))] == [sha(p) for p in (PNG, JPEG, WEBP, MASK)]
    assert fields_of(sent(watch))["output_compression"] == "80"


JSON_ERRORS = [
    ({}, "missing_required_parameter", "images"),
    ({"images": []}, "missing_required_parameter", "images"),
    ({"images": data_url(PNG)}, "invalid_type", "images"),
    ({"images": [7]}, "invalid_type", "images[0]"),
    ({"images": [{}]}, "missing_required_parameter", "images[0].image_url"),
    ({"images": [{"image_url": 7}]}, "invalid_type", "images[0].image_url"),
    ({"images": [{"file_id": "file-abc123"}]}, "unsupported_parameter", "images[0].file_id"),
    ({"images": [{"file_id": "file-abc123", "image_url": data_url(PNG)}]}, "invalid_value", "images[0]"),
    ({"image": data_url(PNG), "mask": {"file_id": "file-abc123"}}, "unsupported_parameter", "mask.file_id"),
    ({"image": data_url(PNG), "images": [data_url(PNG)]}, "invalid_value", "image"),
    ({"image": [data_url(PNG)] * 17}, "invalid_value", "image"),
    ({"image": "a panda"}, "invalid_value", "image"),
    ({"image": "data:image/png;base64,"}, "invalid_value", "image"),
    ({"image": "data:image/png," + "A" * 40}, "invalid_value", "image"),
    ({"image": data_url(GIF)}, "invalid_value", "image"),
    ({"image": [data_url(PNG), data_url(PNG[:-20])]}, "invalid_value", "image[1]"),
    ({"image": data_url(PNG), "n": "2"}, "invalid_type", "n"),
    ({"image": data_url(PNG), "prompt": None}, "missing_required_parameter", "prompt"),
    ({"image": data_url(PNG), "mask": data_url(JPEG)}, "invalid_value", "mask"),
    ({"image": data_url(PNG), "mask": data_url(png(1, 48, 64))}, "invalid_value", "mask"),
    ({"image": 7}, "invalid_type", "image"),
    ({"image": data_url(png(1, 60000, 60000))}, "body_too_large", "image"),
]


@pytest.mark.parametrize("members,code,param", JSON_ERRORS, ids=range(len(JSON_ERRORS)))
def test_json_that_is_no_edit_is_refused(easel, watch, members, code, param):
    answer = post(easel, members)
    expect_error(answer, 413 if code == "body_too_large" else 400, code, param=param, party="client")
    assert not watch.requests()


@pytest.mark.parametrize("member", ["image", "images", "mask", "image_url"])
def test_a_picture_is_not_dropped_where_none_is_taken(easel, watch, member):
    answer = easel.generate(**{member: data_url(PNG)})
    error = expect_error(answer, 400, "unsupported_parameter", param=member, party="client")
    assert "/v1/images/edits" in error["message"]
    assert not watch.requests()


# ---- URLs ----

@pytest.mark.parametrize("url", [
    "http://127.0.0.1/a.png", "http://127.0.0.1:{port}/a.png", "http://localhost:{port}/a.png", "http://[::1]/a.png",
    "http://2130706433/a.png", "http://0x7f.1/a.png", "http://10.0.0.1/a.png", "https://192.168.1.1/a.png",
    "http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/a.png", "http://0/a.png",
    "file:///etc/passwd", "ftp://example.com/a.png", "gopher://example.com/_GET", "http://u:p@example.com/a.png",
    "https://example.com:8443/a.png", "javascript:alert(1)", "http://example.com:99999/"])
def test_a_url_that_leads_inside_is_not_fetched(easel, sim, watch, url):
    url = url.format(port=urllib.parse.urlsplit(sim.base_url).port)
    answer = post(easel, {"images": [{"image_url": url}]})
    error = expect_error(answer, 400, "url_not_allowed", param="images[0].image_url", party="client")
    assert "upstream" not in error or not error["upstream"]
    assert not watch.requests()


def test_a_url_that_cannot_be_fetched_is_the_callers(easel):
    answer = post(easel, {"image": "http://no-such-host.invalid/a.png"}, timeout=60)
    expect_error(answer, 400, "url_fetch_failed", param="image", party="client", stage="fetch")


# ---- what is no picture ----

def bomb(width=20000, height=20000):
    """A few kilobytes that unpack to a gigabyte."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packed = zlib.compressobj(9)
    row = packed.compress(bytes(1 << 20)) * 8
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)) +
            chunk(b"IDAT", row + packed.flush()) + chunk(b"IEND", b""))


POLYGLOT = PNG + b"PK\x03\x04" + bytes(200) + b"PK\x05\x06" + bytes(18)
NO_PICTURES = [(GIF, "a GIF"), (SVG, "XML"), (HTML, "HTML"), (b"", "nothing"), (b"just some text", "text"), (bytes(100), "another kind"),
               (b"%PDF-1.7\n", "a PDF"), (b"PK\x03\x04" + PNG, "ZIP"), (PNG[:-1], "middle"), (PNG[:30], "middle"),
               (PNG[:8], "middle"), (JPEG[:-2], "middle"), (WEBP[:-8], "middle"), (POLYGLOT, "middle"),
               (b"\n" + PNG, "another kind"), (data_url(PNG).encode(), "data URL"), (b"\xff\xd8\xff\xe0" * 5, "JPEG")]


@pytest.mark.parametrize("data,found", NO_PICTURES, ids=range(len(NO_PICTURES)))
def test_what_is_no_picture_is_refused_whatever_it_is_called(easel, watch, data, found):
    answer = send(easel, file(data=data), ("prompt", "a panda"))
    error = expect_error(answer, 400, "invalid_value", param="image", party="client")
    assert "a PNG, JPEG or WebP" in error["message"] and found in error["message"], error["message"]
    assert not watch.requests() and not easel.named("easel-image")


@pytest.mark.parametrize("width,height", [(60000, 60000), (2000, 2001), (20000, 20000)])
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(easel, watch, width, height):
    data = bomb() if width == 20000 else png(1, width, height)
    error = expect_error(send(easel, file(data=data), ("prompt", "a panda")), 413, "body_too_large", param="image")
    assert f"{width}x{height}" in error["message"] and "4000000 pixels" in error["message"]
    assert not watch.requests()


def test_a_picture_of_just_enough_pixels_is_taken(easel):
    assert send(easel, file(data=png(1, 2000, 2000)), ("prompt", "a panda")).status == 200


@pytest.mark.parametrize("more", [0, 1])
def test_the_limit_of_a_picture_holds_on_both_sides(easel, watch, more):
    answer = send(easel, file(data=png(1, 64, 48, 11 * 1024 * 1024 + more)), ("prompt", "a panda"))
    if not more:
        assert answer.status == 200, answer
    else:
        error = expect_error(answer, 413, "body_too_large", param="image", party="client")
        assert "11534336" in error["message"] and not watch.requests()


@pytest.mark.parametrize("count,status", [(16, 200), (17, 400)])
def test_sixteen_pictures_are_taken_and_no_more(easel, watch, count, status):
    answer = send(easel, *(file("image[]") for _ in range(count)), ("prompt", "a panda"))
    if status == 400:
        expect_error(answer, 400, "invalid_value", param="image", party="client")
        assert not watch.requests()
    else:
        assert answer.status == 200 and len(files_of(sent(watch))) == 16, answer


@pytest.mark.parametrize("members,code,param", [
    (("model", "dall-e-3"), "unsupported_parameter", "image"),
    (("model", "Qwen/Qwen-Image"), "unsupported_parameter", "image"),
])
def test_a_model_that_takes_no_picture_says_so(easel, watch, members, code, param):
    expect_error(edit(easel, members), 400, code, param=param, party="client")
    assert not watch.requests()


def test_a_model_that_takes_one_picture_refuses_two(easel, watch):
    answer = send(easel, file("image[]"), file("image[]"), ("prompt", "a panda"), ("model", "dall-e-2"))
    expect_error(answer, 400, "integer_above_max_value", param="image")
    assert not watch.requests()


# ---- forms that are not right ----

def part(name, text):
    return [file(), ("prompt", "a panda"), (name, text)]


FORM_ERRORS = [
    ([file()], "missing_required_parameter", "prompt"),
    ([("prompt", "a panda")], "missing_required_parameter", "image"),
    ([("mask", "m.png", "image/png", MASK), ("prompt", "a panda")], "missing_required_parameter", "image"),
    (part("n", "two"), "invalid_type", "n"), (part("n", ""), "invalid_type", "n"), (part("n", "1.5"), "invalid_type", "n"),
    (part("n", "11"), "integer_above_max_value", "n"), (part("n", "0"), "integer_below_min_value", "n"),
    (part("n", "+1"), "invalid_type", "n"), (part("n", "9" * 40), "invalid_type", "n"),
    (part("stream", "yes"), "invalid_type", "stream"), (part("guidance", "x"), "invalid_type", "guidance"),
    (part("guidance", "0x1"), "invalid_type", "guidance"), (part("strength", "2"), "invalid_value", "strength"),
    (part("size", "big"), "invalid_value", "size"), (part("output_compression", "101"), "integer_above_max_value",
                                                     "output_compression"),
    # What is left empty has not the value of the part before it.
    *((part(full, text) + [(name, "")], "invalid_type", name) for full, text, name in (
        ("seed", "7", "n"), ("quality", "true", "stream"), ("n", "1", "seed"), ("seed", "2", "partial_images"),
        ("seed", "50", "output_compression"), ("seed", "5", "guidance"))),
    (part("size", b"1024x1024\0"), "invalid_value", "size"), (part("user", b"\xff\xfe"), "invalid_value", "user"),
    (part("prompt", "again"), "duplicate_key", "prompt"), (part("n", "1") + [("n", "1")], "duplicate_key", "n"),
    ([file(), ("prompt", "x" * 32001)], "string_above_max_length", "prompt"),
    ([file(), ("prompt", "x" * (1 << 20) + "x")], "string_above_max_length", "prompt"),
    ([file(), ("prompt", " ")], "invalid_value", "prompt"), (part("model", "no-such-model"), "model_not_found", "model"),
    (part("model", "gpt-4o-mini"), "model_not_image", "model"),
    ([file(), file("mask", MASK), file("mask", MASK), ("prompt", "a panda")], "invalid_value", "mask"),
    ([file(), file("mask", JPEG), ("prompt", "a panda")], "invalid_value", "mask"),
    ([file(), file("mask", png(1, 48, 64)), ("prompt", "a panda")], "invalid_value", "mask"),
    ([file(), file("mask", b"no"), ("prompt", "a panda")], "invalid_value", "mask"),
    ([file(), file(data=GIF), ("prompt", "a panda")], "invalid_value", "image[1]"),
]


@pytest.mark.parametrize("parts,code,param", FORM_ERRORS, ids=range(len(FORM_ERRORS)))
def test_a_form_that_is_no_edit_is_refused(easel, watch, parts, code, param):
    answer = send(easel, *parts)
    expect_error(answer, 404 if code == "model_not_found" else 400, code, param=param, party="client")
    assert not watch.requests()


@pytest.mark.parametrize("body,about", [
    (b"", "does not stand in it"), (b"prompt=a+panda", "does not stand in it"),
    (form(file(), end=False), "final boundary|middle"), (form(file())[:200], "in the middle of the part 'image'"),
    (form(file()).replace(b"\r\n", b"\n"), "goes on|CRLF|middle"), (form(file(), boundary="other"), "does not stand in it"),
    (form(("a\"; name=\"b", "1")), "cannot be read"), (b"--" + BOUNDARY.encode() + b"\r\n\r\nx", "Content-Disposition"),
    (form(("a\0b", "1")), "control character"), (form(*[(f"x{i}", "1") for i in range(129)]), "more than 128 parts")])
def test_a_body_that_is_no_form_is_refused(easel, body, about):
    error = expect_error(send(easel, body), 400, "invalid_multipart", party="client")
    assert re.search(about, error["message"]), error["message"]


@pytest.mark.parametrize("content_type,code", [
    ("multipart/form-data", "invalid_multipart"), (f"multipart/form-data; boundary={'b' * 71}", "invalid_multipart"),
    ("multipart/form-data; boundary=b; charset=gbk", "unsupported_media_type"), ("text/plain", "unsupported_media_type"),
    ("multipart/mixed; boundary=b", "unsupported_media_type"), ("image/png", "unsupported_media_type"),
    ("application/x-www-form-urlencoded", "unsupported_media_type"), ("", "unsupported_media_type")])
def test_a_content_type_that_is_neither_is_refused(easel, content_type, code):
    answer = easel.request("POST", PATH, form(file()), {"Content-Type": content_type})
    error = expect_error(answer, 415 if code == "unsupported_media_type" else 400, code)
    if code == "unsupported_media_type" and "charset" not in content_type:
        assert "multipart/form-data or application/json" in error["message"]


@pytest.mark.parametrize("more", [0, 1])
def test_the_limit_of_a_form_holds_on_both_sides(narrow, more):
    body = form(file(), ("prompt", "a panda"), ("user", ""))
    body = form(file(), ("prompt", "a panda"), ("x", "x" * (4000 + more - len(body) + 3)))
    assert len(body) == 4000 + more
    answer = send(narrow, body)
    if more:
        error = expect_error(answer, 413, "body_too_large", party="client")
        assert "4000" in error["message"] and "4001" in error["message"]
    else:
        assert answer.status == 200, answer


def test_the_platforms_limit_of_a_body_is_named(start_easel, sim):
    easel = start_easel(merge(sim_config(sim), {"deadline": {"profile": "vercel"}}))
    limit = 9 * (1 << 20) // 2
    assert send(easel, file(data=png(1, 64, 48, limit - 1000)), ("prompt", "a panda")).status == 200
    error = expect_error(send(easel, file(data=png(1, 64, 48, limit)), ("prompt", "a panda")), 413, "body_too_large")
    assert "vercel" in error["message"], error["message"]


@pytest.mark.parametrize("more", [0, 1])
def test_the_limit_of_json_is_its_own(narrow, more):
    value = {"prompt": "a panda", "image": data_url(PNG), "x": ""}
    value["x"] = "x" * (3000 + more - len(json.dumps(value)))
    answer = narrow.post(PATH, value)
    if more:
        expect_error(answer, 413, "body_too_large", party="client")
    else:
        assert answer.status == 200, answer


def test_it_needs_a_key_and_its_scope(easel, watch):
    expect_error(send(easel, file(), ("prompt", "a panda"), key=False), 401, "missing_bearer_token")
    other = easel.run("keys", "create", "--name", "tasks", "--scope", "tasks").stdout.strip()
    expect_error(send(easel, file(), ("prompt", "a panda"), key=other), 403, "insufficient_scope")
    assert not watch.requests()


# ---- what the provider says ----

def test_the_providers_refusal_of_a_picture_is_told(easel, watch):
    answer = edit(easel, ("model", "gpt-image-1@status=400,code=invalid_image_file"))
    error = expect_error(answer, 400, "upstream_task_rejected", party="client")
    assert error["upstream"]["status"] == 400


def test_the_deadline_holds(easel):
    start = time.monotonic()
    answer = edit(easel, ("model", "gpt-image-1@delay=20"), headers={"x-easel-deadline": "1s"})
    expect_error(answer, 504, "deadline_exceeded", billed=True)
    assert time.monotonic() - start < 3 * SLOW


# ---- memory, and clients that stall ----

def pss_kb(processes):
    found = 0
    for p in processes:
        for line in p.read("smaps_rollup").decode().splitlines():
            if line.startswith("Pss_Anon:"):
                found += int(line.split()[1])
    return found


def test_sixteen_pictures_of_ten_megabytes_leave_memory_flat(easel, watch):
    picture = full(10 * 1000 * 1000)
    workers = easel.named("images-edits")
    assert workers
    assert edit(easel).status == 200
    before = pss_kb(workers)
    body = form(*(file("image[]", picture) for _ in range(16)), ("prompt", "a panda"), ("response_format", "url"))
    for _ in range(2):
        answer = send(easel, body, timeout=120)
        assert answer.status == 200, answer
    found = files_of(watch.requests("edit")[-1]["body"])
    assert [p["sha256"] for p in found] == [sha(picture)] * 16
    grown = pss_kb(workers) - before
    # The sanitizer keeps what was freed.
    assert grown < (4000 if SLOW == 1 else 12000), f"{grown} kB more"
    folder = os.path.join(easel.state, "files")
    held = [os.readlink(f"/proc/{p.pid}/fd/{fd}") for p in workers for fd in os.listdir(f"/proc/{p.pid}/fd")
            if os.path.exists(f"/proc/{p.pid}/fd/{fd}") or os.path.islink(f"/proc/{p.pid}/fd/{fd}")]
    assert not [h for h in held if h.startswith(folder) and "(deleted)" in h], "an input picture is still open"


def test_uploads_leave_nothing_behind(easel):
    before = easel.files()
    for data in (GIF, PNG[:-4], png(1, 60000, 60000)):
        assert send(easel, file(), file(data=data), ("prompt", "a panda")).status in (400, 413)
    assert easel.files() == before


def test_a_client_that_stalls_takes_nobody_with_it(easel, watch):
    body = form(file(), ("prompt", "a panda"))
    where = urllib.parse.urlsplit(easel.url)
    with socket.create_connection((where.hostname, where.port)) as s:
        s.sendall((f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {easel.key}\r\n"
                   f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
                   f"Content-Length: {len(body)}\r\n\r\n").encode() + body[:300])
        assert edit(easel).status == 200
    assert len(watch.requests("edit")) == 1


class Printed:
    """What the program alone printed, as a CGI program."""

    def __init__(self, out):
        head, _, self.body = out.partition(b"\r\n\r\n")
        self.headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in head.decode().split("\r\n"))}
        self.status = int(self.headers["status"].split()[0])
        self.error = json.loads(self.body).get("error")

    def header(self, name):
        return self.headers.get(name.lower())


def alone(easel, body, length=None, more=b"", **variables):
    """The program reads from a pipe that stays open until it has answered."""
    env = {**easel.env, "EASEL_CONFIG": easel.file, "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "POST",
           "REQUEST_URI": PATH, "HTTP_AUTHORIZATION": f"Bearer {easel.key}",
           "CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}",
           "CONTENT_LENGTH": str(len(body) if length is None else length), **variables}
    with subprocess.Popen([f"{BUILD}/handlers/images-edits"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        process.stdin.write(body)
        process.stdin.flush()
        if more is None:
            process.stdin.close()
        out = process.stdout.read()
    return Printed(out)


def test_without_a_web_server_a_picture_is_edited_too(preview):
    assert alone(preview, form(file(), ("prompt", "a panda"), ("size", "64x64"))).status == 200


def test_an_upload_that_stalls_ends_with_its_deadline(preview):
    body = form(file(), ("prompt", "a panda"))
    start = time.monotonic()
    answer = alone(preview, body[:-50], len(body), HTTP_X_EASEL_DEADLINE="700ms")
    expect_error(answer, 504, "deadline_exceeded", party="client", stage="recv")
    assert 0.2 < time.monotonic() - start < 3 * SLOW


def test_an_upload_that_ends_early_is_said(preview):
    body = form(file(), ("prompt", "a panda"))
    answer = alone(preview, body[:-50], len(body), more=None)
    error = expect_error(answer, 400, "body_incomplete", party="client")
    assert str(len(body)) in error["message"] and str(len(body) - 50) in error["message"]


def test_a_truncated_upload_buys_nothing(easel, watch):
    body = form(file(), ("prompt", "a panda"))
    raw(easel.url, (f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {easel.key}\r\n"
                    f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n").encode() + body[:-100], timeout=1)
    assert edit(easel).status == 200
    assert len(watch.requests("edit")) == 1


def test_workers_survive_all_of_it(easel):
    assert all(p.state not in "ZX" for p in easel.named("images-edits"))
    assert not re.search(r"crash|signal|Sanitizer", easel.log())
    wait_until(lambda: edit(easel).status == 200)
