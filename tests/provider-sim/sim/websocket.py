"""The server's side of WebSocket (RFC 6455), by hand, so that every rule of it can be broken."""
import asyncio
import base64
import hashlib
import struct

from .wire import ClientGone, head_bytes

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MESSAGE_MAX = 16 * 1024 * 1024


class Socket:
    def __init__(self, conn):
        self.conn, self.pings, self.pongs = conn, 0, []

    async def accept(self, request, key=None):
        """The 101; `key`: another Sec-WebSocket-Accept than the right one."""
        asked = (request.header("sec-websocket-key") or "").encode()
        right = base64.b64encode(hashlib.sha1(asked + GUID).digest()).decode()
        await self.conn.send(head_bytes(101, [
            ("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", key or right)],
            reason="Switching Protocols"))

    async def message(self):
        """The next text message, or None at its close.  Pings are answered, pongs are kept."""
        parts = []
        while True:
            try:
                first, second = await self.conn.reader.readexactly(2)
                size = second & 127
                if size == 126:
                    size, = struct.unpack(">H", await self.conn.reader.readexactly(2))
                elif size == 127:
                    size, = struct.unpack(">Q", await self.conn.reader.readexactly(8))
                mask = await self.conn.reader.readexactly(4) if second & 128 else None
                data = await self.conn.reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError, OSError):
                return None
            if mask is None or size > MESSAGE_MAX:
                await self.close(1002)  # a client must mask
                return None
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
            opcode = first & 15
            if opcode == CLOSE:
                await self.frame(CLOSE, data[:2])
                return None
            if opcode == PING:
                self.pings += 1
                await self.frame(PONG, data)
            elif opcode == PONG:
                self.pongs.append(data)
            else:
                parts.append(data)
                if first & 128:
                    return b"".join(parts).decode()

    async def frame(self, opcode, data, final=True, mask=None, cut=None):
        n = len(data)
        second = 128 if mask else 0
        head = bytes([(128 if final else 0) | opcode])
        if n < 126:
            head += bytes([second | n])
        elif n < 65536:
            head += bytes([second | 126]) + struct.pack(">H", n)
        else:
            head += bytes([second | 127]) + struct.pack(">Q", n)
        if mask:
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
            head += mask
        whole = head + data
        await self.conn.send(whole if cut is None else whole[:cut])

    async def text(self, data, pieces=1, between=None):
        """A text message in so many frames, with a control frame between them."""
        step = max(1, -(-len(data) // pieces))
        for at in range(0, len(data), step):
            last = at + step >= len(data)
            await self.frame(TEXT if at == 0 else CONTINUATION, data[at:at + step], final=last)
            if between is not None and not last:
                await self.frame(PING, between)

    async def close(self, code, reason=b""):
        try:
            await self.frame(CLOSE, struct.pack(">H", code) + reason)
        except ClientGone:
            pass
