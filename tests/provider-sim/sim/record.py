"""What the provider was sent: one Record per request, in order of arrival."""
import hashlib
import json
import re
import time
from collections import deque

KEEP = 200_000         # records
STRING_MAX = 16_384    # longer strings in a recorded body become their size and hash


class Record:
    def __init__(self, index, conn, method, target, headers, in_flight):
        self.index, self.connection = index, conn.number if conn else None
        self.method, self.target, self.headers = method, target, headers
        self.start, self.time = time.monotonic(), time.time()
        self.body_end = self.first_byte = self.end = None
        self.kind = self.fault = self.model = self.status = None
        self.body, self.body_bytes, self.body_sha256 = None, 0, None
        self.bytes_sent = 0
        self.aborted = self.purchase = False
        self.pictures = 0
        self.in_flight = in_flight

    def took_body(self, request):
        self.body_end = time.monotonic()
        self.body_bytes = len(request.body)
        self.body_sha256 = sha256(request.body)
        value, self.body = parse_body(request)
        return value

    def to_dict(self):
        out = {k: v for k, v in vars(self).items() if k != "headers"}
        out["path"] = (self.target or "").partition("?")[0]
        out["raw_headers"] = [list(h) for h in self.headers]
        out["headers"] = {}
        for name, value in self.headers:
            name = name.lower()
            out["headers"][name] = f"{out['headers'][name]}, {value}" if name in out["headers"] else value
        return out


class Recorder:
    def __init__(self):
        self.connections = self.open_connections = self.tls_failures = 0
        self.in_flight = 0
        self.clear()

    def clear(self):
        self.records, self.count = deque(maxlen=KEEP), 0
        self.purchases = self.pictures = self.aborted = 0
        self.max_in_flight = self.in_flight

    def add(self, conn, method, target, headers):
        record = Record(self.count, conn, method, target, headers, self.in_flight)
        self.count += 1
        self.records.append(record)
        return record

    def enter(self, record):
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        record.in_flight = self.in_flight

    def leave(self):
        self.in_flight -= 1

    def since(self, index):
        return [r.to_dict() for r in self.records if r.index >= index]

    def stats(self):
        return {name: getattr(self, name) for name in (
            "in_flight", "max_in_flight", "purchases", "pictures", "aborted", "connections",
            "open_connections", "tls_failures")} | {"requests": self.count}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def parse_body(request):
    """(the value for the handlers, the value for the record)."""
    if not request.body:
        return None, None
    kind = (request.header("content-type") or "").lower()
    if kind.startswith("multipart/form-data"):
        parts = parse_multipart(request.body, request.header("content-type"))
        if parts is not None:
            return parts, [part_record(p) for p in parts]
    elif "json" in kind or not kind:
        try:
            value = json.loads(request.body)
            return value, clip(value)
        except (ValueError, RecursionError):
            pass
    return None, clip(request.body.decode("utf-8", "replace"))


def parse_multipart(body, content_type):
    """[{name, filename, type, headers, data}] (RFC 7578), or None when it is no multipart body."""
    found = re.search(r'boundary=(?:"([^"]+)"|([^;\s]+))', content_type, re.IGNORECASE)
    if not found:
        return None
    line = b"--" + (found.group(1) or found.group(2)).encode("latin-1")
    pieces = (b"\r\n" + body).split(b"\r\n" + line)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        return None
    parts = []
    for piece in pieces[1:-1]:
        head, _, data = piece.partition(b"\r\n\r\n")
        headers = {}
        for row in head.decode("utf-8", "replace").strip().split("\r\n"):
            key, _, value = row.partition(":")
            headers[key.strip().lower()] = value.strip()
        said = headers.get("content-disposition", "")
        names = dict(re.findall(r'(?<![\w*])(name|filename)="((?:[^"\\]|\\.)*)"', said))
        parts.append({"name": names.get("name"), "filename": names.get("filename"),
                      "type": headers.get("content-type"), "headers": headers, "data": data})
    return parts


def part_record(part):
    out = {k: part[k] for k in ("name", "filename", "type", "headers")}
    out |= {"bytes": len(part["data"]), "sha256": sha256(part["data"])}
    if part["filename"] is None:
        out["value"] = clip(part["data"].decode("utf-8", "replace"))
    return out


def clip(value):
    if isinstance(value, str) and len(value) > STRING_MAX:
        data = value.encode("utf-8", "surrogatepass")
        return f"{value[:64]}… ({len(data)} bytes, sha256 {sha256(data)})"
    if isinstance(value, list):
        return [clip(v) for v in value]
    if isinstance(value, dict):
        return {k: clip(v) for k, v in value.items()}
    return value
