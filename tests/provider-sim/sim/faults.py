"""Faults: their words, how they are written, the queue of them, and those that happen on the wire.

A fault is written NAME=VALUE,NAME=VALUE,WORD: "truncate", "fault=drip,rate=10", "status=429,code=
insufficient_quota", or as a JSON object with the same names.  Words may be joined by +.
"""
import base64
import gzip
import time
import zlib
from dataclasses import dataclass, field, replace

from .exchange import Answer
from .pages import PAGES
from .pictures import KINDS, PNG_MAGIC
from .wire import head_bytes, reset_socket

# Every word, by where it acts.  README.md has the same list for people; a self-test compares them.
AT_ACCEPT = {"accept-then-close", "accept-silence", "accept-reset"}
AT_HEAD = {"reset-early", "accept-then-close", "accept-reset"}
CONTENT = set(KINDS) | {
    "bad-base64", "fewer", "more", "private-url", "slow-picture-url", "url-redirect", "no-pictures",
    "sse-error", "sse-flat-error", "sse-cut", "sse-cut-after", "sse-plain", "sse-refused", "sse-crlf", "sse-cr",
    "sse-unnamed", "sse-late-type", "sse-bad-partial", "sse-comments", "sse-giant", "sse-done", "sse-hold",
    "sse-silence", "sse-endless", "stall", "url-404-once",
    "ws-old", "ws-order", "ws-no-percent", "ws-no-completed", "ws-rate-limit", "ws-notice", "ws-garbage", "ws-binary",
    "ws-fragments", "ws-masked", "ws-cut", "ws-close", "ws-close-after", "ws-wrong-accept", "data-blob", "blocked",
    "moderated",
    "task-fail", "task-moderated", "task-forever", "task-pending", "task-lost", "no-sync-text", "old-sync"}
BODY = set(PAGES) | {
    "not-json", "wrong-type", "wrong-label", "no-type", "error-string", "errors-plural", "error-200",
    "error-numeric-code", "empty-body-500", "empty-body", "redirect", "duplicate-keys", "deep-json"}
WIRE = {
    "silence", "headers-then-silence", "drip", "truncate", "truncate-chunked", "reset-before", "reset-mid",
    "garbage", "endless", "endless-spaces", "spaces", "no-length", "no-length-cut", "chunked", "gzip",
    "headers-huge", "http10", "no-continue", "bad-chunk", "two-lengths", "close", "half-head", "early-hints"}
WORDS = AT_ACCEPT | AT_HEAD | CONTENT | BODY | WIRE

OPTIONS = {
    "delay", "status", "code", "message", "retry_after", "retry_after_ms", "retry_date", "x_should_retry",
    "after", "rate", "chunk", "gap", "seconds", "bytes", "picture_bytes", "format", "size", "to", "which", "url",
    "url_fault", "misses", "type", "bought", "headers", "on", "times",
    "task_seconds", "task_limit", "task_id", "running", "succeeded", "failed", "words", "result", "sync", "shape", "quota",
    "poll_fault", "poll_times", "answer", "token_seconds", "sse_code", "chunks",
    "per_round", "moderated", "close_code", "revised_prompt", "usage"}


class UnknownFault(ValueError):
    pass


@dataclass
class Fault:
    words: frozenset = frozenset()
    options: dict = field(default_factory=dict)

    def has(self, *words):
        return any(w in self.words for w in words)

    def __str__(self):
        return ",".join(sorted(self.words) + [f"{k}={v}" for k, v in self.options.items()])

    def __bool__(self):
        return bool(self.words or self.options)


def parse(spec):
    """A Fault of a string or of a JSON object.  UnknownFault for a word or name that there is not."""
    if isinstance(spec, str):
        pairs = []
        for item in spec.replace(";", ",").split(","):
            name, eq, value = item.partition("=")
            if item.strip():
                pairs.append((name, value) if eq else ("fault", name))
    elif isinstance(spec, dict):
        pairs = list(spec.items())
    else:
        raise UnknownFault(f"a fault is a string or an object, not {spec!r}")
    words, options = set(), {}
    for name, value in pairs:
        name = name.strip().replace("-", "_")
        if name == "fault":
            for word in value if isinstance(value, list) else str(value).split("+"):
                word = word.strip().replace("_", "-")
                if word not in WORDS:
                    raise UnknownFault(f"unknown fault {word!r}")
                words.add(word)
        elif name == "error":
            options["code"] = value
        elif name in OPTIONS:
            options[name] = value
        else:
            raise UnknownFault(f"unknown parameter {name!r} of a fault")
    return Fault(frozenset(words), options)


def split(text):
    """("gpt-image-1", Fault) of "gpt-image-1@fault=truncate".  An @ at the beginning is part of the name."""
    name, at, spec = text.rpartition("@")
    if not at or not name:
        return text, None
    return name, parse(spec)


class Queue:
    """Scripted faults, each for one provider request."""

    def __init__(self):
        self.faults = []

    def add(self, specs):
        new = []
        for spec in specs if isinstance(specs, list) else [specs]:
            fault = parse(spec)
            new += [fault] * int(fault.options.get("times", 1))
        self.faults += new

    def take(self, route):
        """The first one that is meant for this kind of request: by default those that cost money."""
        for i, fault in enumerate(self.faults):
            on = fault.options.get("on", "spending")
            if on == "any" or (on == "spending" and route.spends) or on == route.kind:
                return self.faults.pop(i)
        return None

    def take_at_accept(self):
        if self.faults and self.faults[0].has(*AT_ACCEPT):
            return self.faults.pop(0)
        return None


# ---- instead of the answer, or on it ----

def on_answer(ex, answer):
    """The answer with those faults done that need no wire."""
    fault = ex.fault
    status = int(fault.options.get("status", 0))
    for word in fault.words & set(PAGES):
        answer = PAGES[word]()
    if fault.has("not-json"):
        answer = replace(answer, body=b"{'created': 1713833628, data: [<object at 0x7f1>]}", pieces=None)
    if fault.has("wrong-type"):
        answer = Answer.of_text("<!DOCTYPE html><html><body><h1>Welcome to our API</h1></body></html>", 200,
                                "text/html; charset=utf-8")
    if fault.has("wrong-label"):
        answer.content_type = "text/plain; charset=utf-8"
    if fault.has("no-type"):
        answer.content_type = None
    if fault.has("error-string"):
        answer = Answer.of_json({"error": fault.options.get("message", "The model is sleeping")}, status or 400)
    if fault.has("errors-plural"):
        answer = Answer.of_json({"errors": {"message": fault.options.get(
            "message", "submit image generation task error")}, "request_id": "83e4559e-6f4c-4c3a-9c0e-1f9a1d0b7a55"},
            status or 400)
    if fault.has("error-200"):
        answer = Answer.of_json({"error": {"message": "The upstream account is out of credit", "type": "upstream_error",
                                           "param": "", "code": "bad_response_status_code"}}, status or 200)
    if fault.has("error-numeric-code"):
        answer = Answer.of_json({"error": {"message": "Gateway timeout.", "type": "cf_gateway_timeout",
                                           "param": None, "code": status or 524}}, status or 524)
    if fault.has("empty-body-500"):
        answer = Answer(status or 500, b"", None)
    if fault.has("empty-body"):
        answer = Answer(status or 200, b"", "application/json")
    if fault.has("redirect"):
        to = fault.options.get("to") or ex.origin.replace("127.0.0.1", "localhost", 1) + "/elsewhere"
        answer = Answer(status or 302, b"", None, [("location", str(to))])
    if fault.has("duplicate-keys"):
        answer = replace(answer, body=b'{"data":[],' + answer.body.lstrip(b"{"))
    if fault.has("deep-json"):
        answer = replace(answer, body=b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    return answer


# ---- on the wire ----

async def before_body(sim, conn, fault):
    """True when the fault has ended the connection before the body was read."""
    if fault.has("reset-early", "accept-reset"):
        conn.reset()
        return True
    if fault.has("accept-then-close"):
        conn.close()
        return True
    if fault.has("accept-silence"):
        await conn.wait(None)
    return False


async def deliver(ex, answer):
    """Sends the answer as the fault wants it.  True: the connection may be used again."""
    conn, fault, record = ex.conn, ex.fault, ex.record
    await conn.wait(ex.number("delay", 0))
    if fault.has("silence", "accept-silence"):
        await conn.wait(None)
    if fault.has("reset-before", "reset-early", "accept-reset"):
        conn.reset()
        return False
    if fault.has("accept-then-close"):
        return False

    record.status = answer.status
    headers = [("content-type", answer.content_type)] if answer.content_type else []
    headers += answer.headers
    body = b"".join(answer.pieces) if answer.pieces is not None else answer.body
    pieces = answer.pieces
    if fault.has("gzip"):
        body, pieces = gzip.compress(body, 1), None
        headers.append(("content-encoding", "gzip"))
    spaces = max(1, round(ex.number("seconds", 1) * 10)) if fault.has("spaces") else 0
    framing = "length"
    if fault.has("truncate-chunked", "chunked", "bad-chunk") or pieces is not None:
        framing = "chunked"
    if fault.has("no-length", "no-length-cut", "endless", "endless-spaces"):
        framing = "close"
    keep = framing != "close" and ex.request.keep_alive and not fault.has("http10", "close", "two-lengths")
    cut = None
    announced = len(body)
    if fault.has("truncate", "truncate-chunked", "reset-mid", "no-length-cut", "bad-chunk"):
        cut, pieces = cut_at(ex, body), None
        announced += 1000 if cut == len(body) else 0
        body = body[:cut]
    if framing == "length":
        announced += spaces
        headers.append(("content-length", str(announced)))
        if fault.has("two-lengths"):
            headers.append(("content-length", str(announced + 7)))
    elif framing == "chunked":
        headers.append(("transfer-encoding", "chunked"))
    if fault.has("headers-huge"):
        total, line = int(ex.number("bytes", 1_000_000)), 8000
        headers += [(f"x-huge-{i}", "h" * line) for i in range(total // line)]
    headers.append(("connection", "keep-alive" if keep else "close"))
    head = head_bytes(answer.status, headers, "HTTP/1.0" if fault.has("http10") else "HTTP/1.1")

    if fault.has("garbage"):
        await conn.send(b"\x00\x01\x02 220 mail.example.com ESMTP ready\r\nwhat is this\r\n\r\n")
        return False
    if fault.has("early-hints"):
        await conn.send(head_bytes(103, [("link", "</style.css>; rel=preload")], reason="Early Hints"))
    if fault.has("half-head"):
        await conn.send(head[:len(head) // 2])
        return False
    record.first_byte = time.monotonic()
    if fault.has("endless", "endless-spaces"):
        await conn.send(head)
        await endless(ex)
        return False
    if ex.request.method == "HEAD" or answer.status in (204, 304):
        await conn.send(head)
        return keep
    if fault.has("headers-then-silence"):
        await conn.send(head)
        await conn.wait(None)
    if spaces:
        # the blank bytes by which a server keeps a proxy waiting; JSON allows them
        await conn.send(head)
        head = b""
        for _ in range(spaces):
            await conn.send(b"1\r\n \r\n" if framing == "chunked" else b" ")
            await conn.wait(0.1)

    await send_body(ex, head, body, pieces, framing)
    if fault.has("bad-chunk"):
        await conn.send(b"zz\r\nnot a size\r\n")
        return False
    if fault.has("reset-mid"):
        await conn.wait(0.05)
        conn.reset()
        return False
    if cut is not None:
        return False
    if framing == "chunked":
        await conn.send(b"0\r\n\r\n")
    return keep


def cut_at(ex, body):
    """Where a cut body ends: after=BYTES, a fraction below 1, or "all" (the announced length is larger)."""
    after = ex.option("after", 0.5)
    if after == "all":
        return len(body)
    after = float(after)
    return int(len(body) * after) if after < 1 else min(int(after), len(body))


async def send_body(ex, head, body, pieces, framing):
    conn = ex.conn

    def framed(data):
        return b"%x\r\n%s\r\n" % (len(data), data) if framing == "chunked" else data

    if pieces is not None:
        last = max((i for i, piece in enumerate(pieces) if not piece.startswith(b":")), default=0)
        await conn.send(head)
        for i, piece in enumerate(pieces):
            if i:
                await conn.wait(ex.number("gap", 0))
            if i == last and ex.fault.has("sse-hold"):
                await ex.sim.hold(conn)
            while i == last and ex.fault.has("sse-silence"):
                await conn.wait(0.1)
                if ex.fault.has("sse-comments"):
                    await conn.send(framed(b": keep-alive\n\n"))
            if ex.fault.has("stall") and i == int(ex.number("after", 2)):
                await conn.wait(None)
            await conn.send(framed(piece))
        while ex.fault.has("sse-endless"):
            await conn.wait(0.1)
            await conn.send(framed(b": keep-alive\n\n"))
        return
    if ex.fault.has("drip"):
        rate = ex.number("rate", 1)
        step = max(1, int(rate / 10))
        await conn.send(head)
        for at in range(0, len(body), step):
            await conn.send(framed(body[at:at + step]))
            await conn.wait(step / rate)
        return
    if framing == "chunked" or ex.option("chunk"):
        step = int(ex.number("chunk", 16384))
        await conn.send(head)
        for at in range(0, len(body), step):
            await conn.send(framed(body[at:at + step]))
            if ex.option("gap"):
                await conn.wait(ex.number("gap", 0))
        return
    if len(body) < 65536:
        await conn.send(head + body)
    else:
        await conn.send(head)
        await conn.send(body)


async def endless(ex):
    conn = ex.conn
    if ex.fault.has("endless-spaces"):
        block = b" " * 65536
    else:
        await conn.send(b'{"created":1713833628,"data":[{"b64_json":"')
        block = base64_forever()
    while True:
        await conn.send(block)
        if ex.option("rate"):
            await conn.wait(len(block) / ex.number("rate", 1))


def base64_forever():
    """The beginning of a good PNG would end; this block repeats: a signature, then bytes without end."""
    ihdr = b"\0\0\0\rIHDR\0\0\4\0\0\0\4\0\1\0\0\0\0"
    head = PNG_MAGIC + ihdr + zlib.crc32(ihdr[4:]).to_bytes(4, "big") + b"\x3b\x9a\xca\x00siMp"
    return base64.b64encode(head + bytes(49152 - len(head)))


def reset_at_accept(sock):
    reset_socket(sock)
    sock.close()

