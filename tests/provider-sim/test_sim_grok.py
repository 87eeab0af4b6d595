"""The dialect grok's own tests.  python3 -m unittest, or pytest."""
import base64
import hashlib
import json
import os
import socket
import struct
import sys
import unittest
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from sim import client, pictures  # noqa: E402
from sim.websocket import GUID  # noqa: E402

TOKEN, KEY = "sso-sim-test", "xai-sim-test"
WAIT_S = 60
sim = None


def setUpModule():
    global sim
    sim = client.start()


def tearDownModule():
    sim.stop()


class Socket:
    """A client of WebSocket, as small as it can be."""

    def __init__(self, fault="", token=TOKEN):
        self.sock = socket.create_connection(("127.0.0.1", sim.port), WAIT_S)
        self.file = self.sock.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        at = f"/@{fault}" if fault else ""
        self.sock.sendall((f"GET {at}/grok/ws/imagine/listen HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                           f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                           f"Cookie: sso={token}; sso-rw={token}\r\n\r\n").encode())
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        self.accepted = self.headers.get("sec-websocket-accept") == base64.b64encode(
            hashlib.sha1(key.encode() + GUID).digest()).decode()
        self.frames, self.code = [], None   # (opcode, final, masked) of all that came; that of the close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def body(self):
        return self.file.read(int(self.headers["content-length"]))

    def send(self, value, opcode=1):
        data = json.dumps(value).encode() if opcode == 1 else value
        head = bytes([128 | opcode, 128 | len(data)]) if len(data) < 126 else \
            bytes([128 | opcode, 254]) + struct.pack(">H", len(data))
        self.sock.sendall(head + b"\0\0\0\0" + data)

    def ask(self, prompt="a panda", **properties):
        self.send({"type": "conversation.item.create", "item": {"type": "message", "content": [{"type": "reset"}]}})
        self.send({"type": "conversation.item.create", "item": {"type": "message", "content": [{
            "requestId": "r", "text": prompt, "type": "input_text", "properties": properties}]}})

    def frame(self):
        """(opcode, final, data), or None at the end."""
        head = self.file.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 127
        if size > 125:
            size, = struct.unpack(">H" if size == 126 else ">Q", self.file.read(2 if size == 126 else 8))
        mask = self.file.read(4) if head[1] & 128 else None
        data = self.file.read(size)
        if len(data) < size:
            return None
        if mask:
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        self.frames.append((head[0] & 15, bool(head[0] & 128), bool(mask)))
        return head[0] & 15, bool(head[0] & 128), data

    def message(self):
        """The next text message (bytes), or None at the end."""
        parts = []
        while (frame := self.frame()) is not None:
            opcode, final, data = frame
            if opcode == 9:
                self.send(data, 10)
            elif opcode == 8:
                self.code, = struct.unpack(">H", data[:2])
                return None
            elif opcode in (0, 1):
                parts.append(data)
                if final:
                    return b"".join(parts)
        return None

    def round(self, count):
        """Messages until so many pictures are completed."""
        out = []
        while count and (text := self.message()) is not None:
            out.append(json.loads(text))
            count -= out[-1].get("current_status") == "completed"
        return out


def finals(messages):
    """Pictures by id: the bytes of their last frame."""
    found = {}
    for m in messages:
        if m["type"] == "image":
            found[m["id"]] = base64.b64decode(m["blob"].rpartition(",")[2])
    return found


def call(method, path, value=None, headers=()):
    data = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(sim.base_url + path, data, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read()


def chat(prompt="Image Generation: a panda", token=TOKEN, **more):
    status, body = call("POST", "/grok/rest/app-chat/conversations/new",
                        {"message": prompt, "enableImageGeneration": True, "imageGenerationCount": 2} | more,
                        {"Cookie": f"sso={token}", "Content-Type": "application/json"})
    return status, body


def official(path="generations", key=KEY, **fields):
    status, body = call("POST", f"/grok/v1/images/{path}",
                        {"model": "grok-imagine-image", "prompt": "a panda", "response_format": "b64_json"} | fields,
                        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    return status, json.loads(body)


class Base(unittest.TestCase):
    def setUp(self):
        sim.reset()


class WebSocket(Base):
    def test_a_round(self):
        with Socket() as ws:
            self.assertEqual((ws.status, ws.accepted), (101, True))
            ws.ask(num_generations=3, aspect_ratio="16:9")
            said = ws.round(3)
            self.assertEqual([m.get("current_status") for m in said[:3]], ["start_stage"] * 3)
            self.assertEqual([m.get("percentage_complete") for m in said[3:5]], [20, 50])
            made = finals(said)
            self.assertEqual(len({pictures.serial_of(d) for d in made.values()}), 3)
            self.assertEqual({(m["width"], m["height"]) for m in said if "width" in m}, {(1280, 720)})
        record, = sim.requests(kind="ws")
        self.assertEqual([m["item"]["content"][0]["type"] for m in record["body"]], ["reset", "input_text"])

    def test_every_round_is_a_purchase(self):
        with Socket() as ws:
            for _ in range(2):
                ws.ask(num_generations=9)
                ws.round(6)
            stats = sim.wait_for(lambda s: s["purchases"] == 2)
        self.assertEqual(stats["pictures"], 12)

    def test_handshakes_that_are_refused(self):
        for fault, token, status in (("", "other", 401), ("status=429", TOKEN, 429), ("html403", TOKEN, 403),
                                     ("code=blocked_user", TOKEN, 403), ("status=500", TOKEN, 500)):
            with self.subTest(fault=fault), Socket(fault, token) as ws:
                self.assertEqual(ws.status, status)
                self.assertEqual(ws.body()[:1] == b"<", fault == "html403")
        self.assertEqual(sim.stats()["purchases"], 0)
        with Socket("ws-wrong-accept") as ws:
            self.assertEqual((ws.status, ws.accepted), (101, False))
        with self.assertRaises((IndexError, ConnectionError)):
            Socket("reset-before")

    def test_the_scripts(self):
        for fault, count in (("ws-no-percent", 2), ("data-blob", 2), ("ws-order", 2), ("fewer", 2), ("moderated=1", 3)):
            with self.subTest(fault=fault), Socket(fault) as ws:
                ws.ask(num_generations=3)
                said = ws.round(count if fault == "fewer" else 3)
                images = [m for m in said if m["type"] == "image"]
                last = images[-1]
                if fault == "ws-no-percent":
                    self.assertNotIn("percentage_complete", last)
                elif fault == "data-blob":
                    self.assertTrue(last["blob"].startswith("data:image/jpeg;base64,"))
                elif fault == "ws-order":
                    done = [m for m in said if m.get("current_status") == "completed" or m.get("percentage_complete") == 100]
                    self.assertEqual([m["type"] for m in done], ["json", "image"] * 3 if len(done) == 6 else
                                     ["json", "image"] * 2 + ["json"])
                    self.assertEqual([m["order"] for m in done if m["type"] == "json"], [2, 1, 0])
                elif fault == "moderated=1":
                    self.assertEqual([m["moderated"] for m in said if m.get("current_status") == "completed"],
                                     [True, False, False])

    def test_old_frames(self):
        with Socket("ws-old") as ws:
            ws.ask(num_generations=2)
            said = [json.loads(ws.message()) for _ in range(6)]
        self.assertEqual({m["type"] for m in said}, {"image"})
        self.assertFalse(any("percentage_complete" in m for m in said))
        self.assertTrue(all(len(m["blob"]) > 100_000 for m in said[4:]))
        self.assertTrue(all(len(m["blob"]) < 60_000 for m in said[:4]))

    def test_frames_that_are_wrong(self):
        with Socket("ws-fragments") as ws:
            ws.ask(num_generations=1)
            self.assertEqual(len(finals(ws.round(1))), 1)
            self.assertIn((9, True, False), ws.frames)
            self.assertIn((0, False, False), ws.frames)
        with Socket("ws-masked") as ws:
            ws.ask(num_generations=1)
            ws.message()
            self.assertTrue(ws.frames[-1][2])
        with Socket("ws-cut") as ws:
            ws.ask(num_generations=1)
            self.assertIsNone(ws.message())
            self.assertIsNone(ws.code)
        with Socket("ws-garbage") as ws:
            ws.ask(num_generations=1)
            self.assertRaises(ValueError, json.loads, ws.message())
        with Socket("ws-binary") as ws:
            ws.ask(num_generations=1)
            self.assertEqual(ws.frame()[0], 2)
        with Socket("ws-notice") as ws:
            ws.ask(num_generations=1)
            self.assertEqual(json.loads(ws.message())["type"], "session_notice")

    def test_ends(self):
        for fault, code in (("ws-close", 1011), ("ws-close,close-code=1013", 1013), ("ws-close-after", 1000)):
            with self.subTest(fault=fault), Socket(fault) as ws:
                ws.ask(num_generations=1)
                while ws.message() is not None:
                    pass
                self.assertEqual(ws.code, code)
        with Socket("ws-rate-limit") as ws:
            ws.ask()
            self.assertEqual(json.loads(ws.message())["err_code"], "rate_limit_exceeded")
        with Socket("blocked") as ws:
            ws.ask(num_generations=1)
            for _ in range(3):
                ws.message()
            ws.sock.settimeout(0.2)
            self.assertRaises(TimeoutError, ws.message)


class Http(Base):
    def lines(self, body):
        return [json.loads(line.removeprefix("data: ")) for line in body.decode().splitlines() if not line.endswith("[DONE]")]

    def urls(self, lines):
        return [u for line in lines for u in line.get("result", {}).get("response", {}).get("modelResponse", {}).get(
            "generatedImageUrls", [])]

    def test_two_pictures_from_the_assets(self):
        status, body = chat()
        urls = self.urls(self.lines(body))
        self.assertEqual((status, len(urls)), (200, 2))
        for url in urls:
            status, data = call("GET", "/grok/assets/" + url, headers={"Cookie": f"sso={TOKEN}"})
            self.assertEqual(status, 200)
            self.assertIsNotNone(pictures.serial_of(data))
        self.assertEqual(call("GET", "/grok/assets/" + urls[0])[0], 403)

    def test_faults(self):
        self.assertEqual(chat(token="other")[0], 401)
        self.assertEqual(chat("a panda @html403")[0], 403)
        self.assertEqual(chat("a panda @code=blocked_user")[0], 403)
        self.assertTrue(chat("a panda @data-blob")[1].startswith(b"data: {"))
        self.assertIn(b'"moderated": true', chat("a panda @moderated")[1])
        self.assertIn(b"jsonData", chat("a panda @ws-order")[1])
        self.assertIn(b'"error"', chat("a panda @error-200")[1])
        self.assertEqual(chat(enableImageGeneration=False)[0], 400)


class Official(Base):
    def test_pictures(self):
        status, body = official(n=2, aspect_ratio="2:3", resolution="2k")
        self.assertEqual(status, 200)
        self.assertEqual(len(body["data"]), 2)
        self.assertIsNotNone(pictures.serial_of(base64.b64decode(body["data"][0]["b64_json"])))

    def test_refusals(self):
        self.assertEqual(official(size="1024x1024")[0], 400)
        self.assertEqual(official(key="other")[0], 400)
        self.assertEqual(official(model="grok-9")[0], 404)
        self.assertEqual(official(aspect_ratio="7:7")[0], 400)
        status, body = official(model="grok-imagine-image@moderated")
        self.assertEqual((status, body["data"], body["block_reason"]), (200, [], "content_moderated"))

    def test_edits(self):
        picture = {"type": "image_url", "url": "data:image/png;base64,AAAA"}
        self.assertEqual(official("edits", image=picture)[0], 200)
        self.assertEqual(official("edits", images=[picture] * 3)[0], 200)
        self.assertEqual(official("edits", images=[picture] * 4)[0], 400)
        self.assertEqual(official("edits")[0], 400)


if __name__ == "__main__":
    unittest.main()
