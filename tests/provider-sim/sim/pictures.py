"""Pictures: real PNG, JPEG and WebP of any size in pixels and bytes, each one different, without a library.

A picture is made from its serial number alone, so the same number gives the same bytes.  Its pixels
cost nothing: PNG has a cached IDAT and a palette of its own, JPEG only DC coefficients, WebP prefix
codes of zero bits.  The serial stands inside (tEXt, COM, a RIFF chunk): serial_of() reads it back.
"""
import base64
import re
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from random import Random

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
MIME = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
        "svg": "image/svg+xml", "html": "text/html"}
EXTENSION = {"jpeg": "jpg"}
GIF = base64.b64decode("R0lGODlhAgACAIAAAP8AAAAA/yH5BAAAAAAALAAAAAACAAIAAAIDRAIFADs=")
SVG = (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">'
       b'<script>document.title="sim-svg-script"</script><rect width="64" height="64"/></svg>')
HTML = b"<!DOCTYPE html><html><body><h1>Your picture is not ready</h1></body></html>"

# What a fault makes of a picture.
KINDS = ("gif", "svg", "not-an-image", "truncated-png", "truncated-picture", "pixels", "huge",
         "garbage-tail")


@dataclass
class Picture:
    serial: int
    width: int = 1024
    height: int = 1024
    format: str = "png"
    bytes: int = None          # exactly so many
    kind: str = None           # one of KINDS
    transparent: bool = False
    misses: int = 0            # so many times its URL answers 404

    def render(self):
        if self.kind == "gif":
            return GIF
        if self.kind == "svg":
            return SVG
        if self.kind == "not-an-image":
            return HTML
        if self.kind == "pixels":
            return png(self.serial, 60000, 60000, idat=zlib.compress(bytes(65536)))
        size = self.bytes
        if self.kind == "huge":
            size = max(size or 0, 60_000_000)
        if self.format == "jpeg" and self.kind != "truncated-png":
            data = jpeg(self.serial, self.width, self.height, size)
        elif self.format == "webp" and self.kind != "truncated-png":
            data = webp(self.serial, self.width, self.height, size)
        else:
            data = png(self.serial, self.width, self.height, size, self.transparent)
        if self.kind in ("truncated-png", "truncated-picture"):
            return data[:max(60, len(data) * 2 // 3)]
        if self.kind == "garbage-tail":
            return data[:max(60, len(data) // 2)] + noise(len(data) - max(60, len(data) // 2))
        return data

    @property
    def mime(self):
        return MIME[{"gif": "gif", "svg": "svg", "truncated-png": "png", "pixels": "png"}.get(
            self.kind, self.format)]

    @property
    def name(self):
        return f"p{self.serial:06d}.{EXTENSION.get(self.format, self.format)}"


def serial_of(data):
    """The serial number inside a picture, or None."""
    found = re.search(rb"sim-picture-(\d{8})", data)
    return int(found.group(1)) if found else None


def mark(serial):
    return b"sim-picture-%08d" % serial


@lru_cache(maxsize=4)
def noise_block(size):
    return Random(20260821).randbytes(size)


def noise(n):
    """n incompressible bytes, always the same."""
    size = 4 << 20
    return noise_block(size)[:n] if n <= size else (noise_block(size) * (n // size + 1))[:n]


def colour(serial, k=0):
    x = (serial * 2 + k + 1) * 0x9E3779B1 & 0xFFFFFFFF
    return x >> 24, x >> 16 & 255, x >> 8 & 255


# ---- PNG ----

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


@lru_cache(maxsize=4)
def noise_chunk(n):
    return chunk(b"siMp", noise(n))


@lru_cache(maxsize=64)
def stripes(width, height):
    """The IDAT data: one bit a pixel, one colour above the other."""
    row, half = (width + 7) // 8, height // 2
    return zlib.compress((b"\0" + b"\0" * row) * half + (b"\0" + b"\xff" * row) * (height - half), 9)


def png(serial, width, height, size=None, transparent=False, idat=None):
    head = PNG_MAGIC + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0))
    head += chunk(b"PLTE", b"".join(bytes(colour(serial, k)) for k in range(2)))
    if transparent:
        head += chunk(b"tRNS", b"\0")
    head += chunk(b"tEXt", b"Comment\0" + mark(serial))
    tail = chunk(b"IDAT", idat or stripes(width, height)) + chunk(b"IEND", b"")
    if size is None:
        return head + tail
    padding = size - len(head) - len(tail) - 12
    return head + (noise_chunk(padding) if padding >= 0 else b"") + tail


# ---- JPEG (ITU T.81): baseline, 4:4:4, one colour ----

DC_BITS = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0))  # table K.3
DC_CODES = {0: "00", 1: "010", 2: "011", 3: "100", 4: "101", 5: "110", 6: "1110", 7: "11110",
            8: "111110", 9: "1111110", 10: "11111110", 11: "111111110"}


def segment(marker, data):
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def dc_code(value):
    if value == 0:
        return DC_CODES[0]
    category = abs(value).bit_length()
    low = value if value > 0 else value + (1 << category) - 1
    return DC_CODES[category] + format(low, f"0{category}b")


@lru_cache(maxsize=64)
def jpeg_scan(width, height, y, cb, cr):
    eob = "0"  # the AC table below has one code: 0 = end of block
    blocks = ((width + 7) // 8) * ((height + 7) // 8)
    bits = "".join(dc_code(v) + eob for v in (y, cb, cr)) + ("00" + eob) * 3 * (blocks - 1)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def jpeg(serial, width, height, size=None):
    r, g, b = colour(serial)
    y = round(0.299 * r + 0.587 * g + 0.114 * b) - 128
    cb = round(-0.1687 * r - 0.3313 * g + 0.5 * b)
    cr = round(0.5 * r - 0.4187 * g - 0.0813 * b)
    head = b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + segment(0xFE, mark(serial))
    # quantiser 8 throughout: a DC coefficient of v is v grey levels
    tail = segment(0xDB, b"\0" + bytes([8]) * 64)
    tail += segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0)))
    tail += segment(0xC4, b"\0" + DC_BITS + bytes(range(12)))
    tail += segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
    tail += segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0)))
    tail += jpeg_scan(width, height, y, cb, cr) + b"\xff\xd9"
    padding = 0 if size is None else size - len(head) - len(tail)
    comments = []
    while padding >= 4:
        n = min(padding, 65537)
        if 0 < padding - n < 4:
            n -= 4
        comments.append(segment(0xFE, noise(n - 4)))
        padding -= n
    return head + b"".join(comments) + tail


# ---- WebP (RFC 9649): lossless, one colour ----

def webp(serial, width, height, size=None):
    bits, count = 0, 0

    def put(value, n):
        nonlocal bits, count
        bits |= value << count
        count += n

    r, g, b = colour(serial)
    put(0x2F, 8), put(width - 1, 14), put(height - 1, 14), put(0, 1), put(0, 3)
    put(0, 1), put(0, 1), put(0, 1)  # no transform, no colour cache, one set of prefix codes
    for value in (g, r, b, 255):
        put(1, 1), put(0, 1), put(1, 1), put(value, 8)  # simple code, one symbol, of 8 bits
    put(1, 1), put(0, 1), put(0, 1), put(0, 1)  # distances: one symbol, never used
    data = bits.to_bytes((count + 7) // 8, "little")
    body = b"WEBP" + riff(b"VP8L", data) + riff(b"siMp", mark(serial))
    if size is not None:
        padding = size - 8 - len(body) - 8
        if padding >= 0:
            # a RIFF file has an even length: an odd size becomes one byte less
            body += riff(b"siMp", noise(padding & ~1))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)


def bare(data):
    """The picture without what only speaks about it: text, comments, this module's marks, what stands behind its end."""
    if data.startswith(PNG_MAGIC):
        out, at, kind = PNG_MAGIC, 8, b""
        while kind != b"IEND":
            size, kind = struct.unpack(">I4s", data[at:at + 8])
            if kind in (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"gAMA", b"pHYs", b"IDAT", b"IEND"):
                out += data[at:at + 12 + size]
            at += 12 + size
        return out
    if data.startswith(b"RIFF"):
        body, at = b"WEBP", 12
        while at < len(data):
            size = 8 + int.from_bytes(data[at + 4:at + 8], "little")
            size += size & 1
            if data[at:at + 4] in (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP"):
                body += data[at:at + size]
            at += size
        return b"RIFF" + struct.pack("<I", len(body)) + body
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        size = 2 + int.from_bytes(data[at + 2:at + 4], "big")
        profile = data[at + 1] == 0xE2 and data[at + 4:at + 16] == b"ICC_PROFILE\0"
        if data[at + 1] not in (0xFE, *range(0xE1, 0xF0)) or profile:
            out += data[at:at + size]
        at += size
    return out + data[at:data.index(b"\xff\xd9", at) + 2]


class Gallery:
    """Counts the pictures and keeps those that were given out by URL (their recipe, not their bytes)."""

    def __init__(self, keep=100_000):
        self.count, self.keep, self.hosted = 0, keep, {}

    def make(self, **recipe):
        self.count += 1
        return Picture(self.count, **recipe)

    def host(self, picture):
        self.hosted[picture.name] = picture
        if len(self.hosted) > self.keep:
            del self.hosted[next(iter(self.hosted))]
        return f"/pictures/{picture.name}"
