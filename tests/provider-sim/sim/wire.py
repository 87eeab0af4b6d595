"""HTTP/1.1 by hand: one connection, its requests in, bytes out.  Every rule can be broken from here."""
import asyncio
import socket
import struct
from urllib.parse import parse_qs, unquote

HEAD_MAX = 256 * 1024
BODY_MAX = 512 * 1024 * 1024

REASONS = {
    100: "Continue", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently",
    302: "Found", 303: "See Other", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request",
    401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 410: "Gone",
    411: "Length Required", 413: "Payload Too Large", 415: "Unsupported Media Type",
    422: "Unprocessable Entity", 429: "Too Many Requests", 451: "Unavailable For Legal Reasons",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout",
}


class ClientGone(Exception):
    """The client left before it had its answer."""


class BadRequest(Exception):
    """What came is no HTTP request."""


class Peer(asyncio.StreamReaderProtocol):
    """Tells at once when the other side has left, also while nobody reads."""

    def __init__(self, reader):
        super().__init__(reader)
        self.gone = asyncio.Event()

    def eof_received(self):
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc):
        self.gone.set()
        super().connection_lost(exc)


class Request:
    def __init__(self, method, target, version, headers):
        self.method, self.target, self.version, self.headers = method, target, version, headers
        self.path, _, query = target.partition("?")
        self.query = {k: v[-1] for k, v in parse_qs(query, keep_blank_values=True).items()}
        self.body = b""

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None

    @property
    def keep_alive(self):
        said = (self.header("connection") or "").lower()
        return "close" not in said and (self.version != "HTTP/1.0" or "keep-alive" in said)


class Connection:
    def __init__(self, reader, transport, peer, number, tls):
        self.reader, self.transport, self.peer = reader, transport, peer
        self.writer = asyncio.StreamWriter(transport, peer, reader, asyncio.get_running_loop())
        self.number, self.tls = number, tls
        self.handed_over = 0
        # drain() then means: it has left this program (high=0 would stop TLS for ever: it pauses at >=)
        transport.set_write_buffer_limits(high=1, low=0)

    # ---- in ----

    async def read_head(self):
        """The next Request, or None at the end of the connection."""
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, OSError):
            return None
        except asyncio.LimitOverrunError:
            raise BadRequest("headers too large") from None
        lines = raw.decode("latin-1").lstrip("\r\n").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise BadRequest(f"bad request line {lines[0][:80]!r}")
        headers = []
        for line in lines[1:]:
            if not line:
                continue
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise BadRequest(f"bad header line {line[:80]!r}")
            headers.append((name, value.strip(" \t")))
        return Request(parts[0], parts[1], parts[2], headers)

    async def read_body(self, request, say_continue=True):
        """Reads the body into request.body.  Raises ClientGone when it does not all come."""
        encoding = (request.header("transfer-encoding") or "").lower()
        length = request.header("content-length")
        if not encoding and length in (None, "0"):
            return
        if say_continue and (request.header("expect") or "").lower() == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            if encoding:
                if encoding != "chunked":
                    raise BadRequest(f"transfer-encoding {encoding[:40]!r}")
                request.body = await self.read_chunked()
            else:
                if not length.isdigit() or int(length) > BODY_MAX:
                    raise BadRequest(f"content-length {length[:40]!r}")
                request.body = await self.reader.readexactly(int(length))
        except (asyncio.IncompleteReadError, ConnectionError, OSError) as e:
            request.body = getattr(e, "partial", b"")
            raise ClientGone from None

    async def read_chunked(self):
        body = bytearray()
        while True:
            line = await self.reader.readuntil(b"\r\n")
            try:
                size = int(line.split(b";")[0].strip(), 16)
            except ValueError:
                raise BadRequest("bad chunk size") from None
            if size < 0 or len(body) + size > BODY_MAX:
                raise BadRequest("chunked body too large")
            if size == 0:
                break
            body += await self.reader.readexactly(size)
            if await self.reader.readexactly(2) != b"\r\n":
                raise BadRequest("chunk without its end")
        while await self.reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return bytes(body)

    # ---- out ----

    async def send(self, data, piece=256 * 1024):
        """Writes and waits until the kernel has it.  Raises ClientGone."""
        view = memoryview(data)
        for at in range(0, len(view), piece):
            if self.peer.gone.is_set():
                raise ClientGone
            part = view[at:at + piece]
            self.writer.write(part)
            self.handed_over += len(part)
            try:
                await self.writer.drain()
            except (ConnectionError, OSError):
                raise ClientGone from None

    async def wait(self, seconds):
        """Waits; ClientGone when the client leaves meanwhile.  None: until it does."""
        if seconds is not None and seconds <= 0:
            return
        try:
            await asyncio.wait_for(self.peer.gone.wait(), seconds)
        except asyncio.TimeoutError:
            return
        raise ClientGone

    @property
    def sent(self):
        """Bytes that the kernel took."""
        try:
            return self.handed_over - self.transport.get_write_buffer_size()
        except Exception:  # a TLS transport that is closed has no buffer to ask
            return self.handed_over

    def reset(self):
        """Closes with a RST instead of a FIN."""
        reset_socket(self.transport.get_extra_info("socket"))
        self.transport.abort()

    def close(self):
        self.transport.close()


def reset_socket(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass  # it has closed already


def head_bytes(status, headers, version="HTTP/1.1", reason=None):
    if reason is None:
        reason = REASONS.get(status, "Unknown")
    lines = [f"{version} {status} {reason}"] + [f"{k}: {v}" for k, v in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def decode_path(path):
    return unquote(path)
