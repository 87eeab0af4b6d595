"""How NovelAI packs its pictures: ZIP archives, good and hostile ones, and frames of msgpack."""
import base64
import io
import struct
import zipfile
import zlib
from functools import lru_cache

from ..exchange import to_json

EPOCH = (2026, 1, 1, 0, 0, 0)
BOMB_BYTES = 256 << 20


# ---- ZIP ----

def archive(entries, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in entries:
            z.writestr(zipfile.ZipInfo(name, EPOCH), data, method)
    return out.getvalue()


def encrypted(data):
    """The flag alone: nobody has the password."""
    data = bytearray(data)
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        found = data.find(magic)
        data[found + at] |= 1
    return bytes(data)


@lru_cache(maxsize=1)
def bomb():
    """A picture's beginning, then zeros: a quarter of a megabyte that becomes 256."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", 832, 1216, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))
    block, info = bytes(1 << 20), zipfile.ZipInfo("image_0.png", EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z, z.open(info, "w") as f:
        f.write(head)
        for _ in range(BOMB_BYTES >> 20):
            f.write(block)
    return out.getvalue()


@lru_cache(maxsize=1)
def many():
    return archive([(f"image_{i}.png", b"") for i in range(20_000)])


def zipped(shape, pictures):
    """pictures: rendered.  shape: what follows "zip" in a fault's answer=zip-…"""
    entries = [(f"image_{i}.png", data) for i, data in enumerate(pictures)]
    if shape == "deflated":
        return archive(entries, zipfile.ZIP_DEFLATED)
    if shape == "several":
        return archive(entries + [(f"image_{len(entries) + i}.png", pictures[0]) for i in range(2)])
    if shape == "empty":
        return archive([])
    if shape == "text":
        return archive([("readme.txt", b"no picture here\n")])
    if shape == "mixed":
        return archive([("readme.txt", b"a picture follows\n"), ("previews/", b""), *entries])
    if shape == "encrypted":
        return encrypted(archive(entries))
    if shape == "truncated":
        whole = archive(entries)
        return whole[:len(whole) * 2 // 3]
    if shape == "damaged":
        whole = bytearray(archive(entries))
        whole[len(whole) // 3] ^= 0xFF  # the sum of the entry is wrong
        return bytes(whole)
    if shape == "bomb":
        return bomb()
    if shape == "many":
        return many()
    if shape == "lies":
        whole = bytearray(archive(entries))
        end = whole.rfind(b"PK\x05\x06")
        whole[end + 8:end + 12] = b"\xff\xff\xff\xff"  # 65,535 entries
        return bytes(whole)
    return archive(entries)


# ---- frames ----

def msgpack(value):
    if isinstance(value, bool) or value is None:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xce" + struct.pack(">I", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 + len(data)]) if len(data) < 32 else b"\xd9" + bytes([len(data)])) + data
    if isinstance(value, bytes):
        if len(value) < 256:
            return b"\xc4" + bytes([len(value)]) + value
        return (b"\xc5" + struct.pack(">H", len(value)) if len(value) < 65536
                else b"\xc6" + struct.pack(">I", len(value))) + value
    return bytes([0x80 + len(value)]) + b"".join(msgpack(k) + msgpack(v) for k, v in value.items())


def frame(event, form):
    """One event of a stream: a frame of msgpack, or a line of SSE with the picture in base64."""
    if form == "sse":
        return b"data: " + to_json({k: base64.b64encode(v).decode() if isinstance(v, bytes) else v
                                    for k, v in event.items()}) + b"\n\n"
    data = msgpack(event)
    return struct.pack(">I", len(data)) + data
