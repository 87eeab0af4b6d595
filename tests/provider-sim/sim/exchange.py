"""What goes in and out of a handler: Answer and Exchange."""
import json
from dataclasses import dataclass, field


@dataclass
class Answer:
    """A response before the wire faults had their turn."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: list = field(default_factory=list)
    pieces: list = None  # an event stream: sent one by one instead of body
    pictures: int = 0    # how many it carries

    @classmethod
    def of_json(cls, value, status=200, headers=(), pictures=0):
        return cls(status, to_json(value), "application/json", list(headers), pictures=pictures)

    @classmethod
    def of_text(cls, text, status=200, content_type="text/plain; charset=utf-8", headers=()):
        return cls(status, text.encode(), content_type, list(headers))


def to_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_with_blobs(value, blobs):
    """JSON in which each string "@@BLOB-i@@" has become blobs[i]: megabytes of base64 need no escaping."""
    out = to_json(value)
    for i, blob in enumerate(blobs):
        out = out.replace(b"@@BLOB-%d@@" % i, blob, 1)
    return out


@dataclass
class Exchange:
    """One provider request on its way through a dialect's handler."""

    sim: object       # the Simulator: gallery, defaults
    conn: object      # the Connection, for handlers that take it over (WebSocket)
    request: object   # the Request, body included
    record: object
    fault: object
    route: object
    match: object     # of the route's pattern
    body: object = None   # JSON value, list of multipart parts, or None
    model: str = None     # without its @ part
    serial: int = 0       # of this request
    at_end: list = field(default_factory=list)   # called when all of it is over, whatever came of it

    def option(self, name, default=None):
        """A fault's parameter, else the default that the control API has set, else the given one."""
        if name in self.fault.options:
            return self.fault.options[name]
        return self.sim.defaults.get(name, default)

    def number(self, name, default):
        value = self.option(name, default)
        return default if value is None else float(value)

    @property
    def origin(self):
        """Where this server is, as the client calls it."""
        host = self.request.header("host") or self.sim.authority
        return f"{'https' if self.conn.tls else 'http'}://{host}"

    @property
    def request_id(self):
        return "req_" + format(0x9E3779B97F4A7C15F39CC0605CEDC834 * (self.serial + 1) % (1 << 128), "032x")
