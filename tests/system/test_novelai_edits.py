"""Edits by NovelAI's models: the source in the size that is asked for, the mask in its form, nothing private sent on."""
import base64
import struct
import zlib

import pytest

from sim.pictures import jpeg, png, segment, serial_of
from support import Watch, expect_error, novelai

V3, V45 = "nai-diffusion-3", "nai-diffusion-4-5-full"
PATH = "/v1/images/edits"


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel({"providers": {"novelai": novelai(sim)}, "models": {m: {"provider": "novelai"} for m in (V3, V45)},
                        "defaults": {"image_model": V45}})


@pytest.fixture(autouse=True)
def fresh(sim):
    sim.reset()
    yield
    sim.reset()


def data_url(data, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def edit(easel, data, mask=None, kind="image/png", **members):
    value = {"prompt": "a panda", "images": [{"image_url": data_url(data, kind)}], "response_format": "url", **members}
    if mask:
        value["mask"] = {"image_url": data_url(mask)}
    return easel.post(PATH, value)


def one_picture(easel, answer):
    assert answer.status == 200, answer
    assert serial_of(easel.stored(answer.json["data"][0]["url"]))


def sent(watch):
    body = watch.one()["body"]
    return body, body["parameters"]


def head_of(text):
    """Width and height of a PNG in base64."""
    data = base64.b64decode(text, validate=True)
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


def rgba(width, height, pixel):
    """A PNG of 8 bits with transparency."""
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.mark.parametrize("model", [V3, V45])
@pytest.mark.parametrize("size,given,expected", [((128, 64), None, (128, 64)), ((100, 100), None, (128, 128)),
                                                 ((2000, 1000), None, (1472, 704)), ((300, 300), "832x1216", (832, 1216)),
                                                 ((640, 480), "600x500", (576, 512))])
def test_the_source_is_sent_in_the_size_of_the_picture(easel, sim, model, size, given, expected):
    watch = Watch(sim)
    answer = edit(easel, png(900001, *size), model=model, strength=0.5, noise=0.1, **({"size": given} if given else {}))
    one_picture(easel, answer)  # the simulator refuses a source of another size
    body, p = sent(watch)
    assert (body["action"], body["model"]) == ("img2img", model)
    assert (p["width"], p["height"]) == expected
    assert (p["strength"], p["noise"]) == (0.5, 0.1)
    assert "mask" not in p and sim.stats()["purchases"] == 1


def test_a_mask_becomes_white_on_black(easel, sim):
    watch = Watch(sim)
    picture = rgba(128, 64, lambda x, y: (x, y, 9, 0 if x < 64 else 255))
    one_picture(easel, edit(easel, picture, mask=picture))
    body, p = sent(watch)
    assert (body["action"], body["model"]) == ("infill", V45 + "-inpainting")
    assert head_of(p["image"]) == head_of(p["mask"]) == (128, 64)
    assert p["add_original_image"] is False and p["img2img"]["strength"] == p["strength"] == 0.7


def test_a_mask_that_covers_nothing_is_refused_before_anything_is_bought(easel, sim):
    picture = rgba(64, 64, lambda x, y: (x, y, 9, 255))
    error = expect_error(edit(easel, picture, mask=picture), 400, "invalid_value", param="mask", party="client", stage="validate")
    assert "transparent" in error["message"]
    assert not sim.requests(kind="generate")


def test_a_jpeg_with_a_place_on_the_globe_is_sent_without_it(easel, sim):
    watch = Watch(sim)
    whole = jpeg(900002, 128, 64)
    private = whole[:2] + segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08gps-secret-place") + whole[2:]
    one_picture(easel, edit(easel, private, kind="image/jpeg"))
    _, p = sent(watch)
    data = base64.b64decode(p["image"])
    assert data.startswith(b"\x89PNG") and b"gps-secret" not in data and serial_of(data) is None


def test_a_damaged_source_buys_nothing(easel, sim):
    picture = rgba(64, 64, lambda x, y: (x, y, 9, 255))
    at = picture.index(b"IDAT") + 20
    damaged = picture[:at] + bytes(20) + picture[at + 20:]
    expect_error(edit(easel, damaged), 400, "invalid_value", param="image", party="client", stage="validate")
    assert not sim.requests(kind="generate")


def test_two_sources_are_too_many(easel, sim):
    value = {"prompt": "x", "images": [{"image_url": data_url(png(900001, 64, 64))}] * 2}
    expect_error(easel.post(PATH, value), 400, "integer_above_max_value", param="image", party="client")
    assert not sim.requests(kind="generate")
