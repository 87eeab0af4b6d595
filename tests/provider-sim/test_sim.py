"""The simulator's own tests: real sockets, the bytes as they are.  python3 -m unittest, or pytest."""
import asyncio
import base64
import gzip
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from sim import client, faults, pages, pictures  # noqa: E402
from sim.dialects import openai  # noqa: E402

GENERATIONS = "/v1/images/generations"
WAIT_S = 60
sim = None


def setUpModule():
    global sim
    sim = client.start()


def tearDownModule():
    sim.stop()


class Reply:
    def __init__(self, raw):
        self.raw = raw
        self.head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = self.head.decode("latin-1").split("\r\n")
        self.status_line, self.status = lines[0], int(lines[0].split(" ")[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


def request_bytes(body=b"", path=GENERATIONS, method="POST", key="sk-sim-test", headers=(), close=True):
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{sim.port}", "Content-Type: application/json"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"Content-Length: {len(body)}"] if body else []
    lines += ["Connection: close"] if close else []
    return "\r\n".join(lines + list(headers)).encode() + b"\r\n\r\n" + body


def connect(port=None, context=None, name="localhost"):
    s = socket.create_connection(("127.0.0.1", port or sim.port), WAIT_S)
    return context.wrap_socket(s, server_hostname=name) if context else s


def read_to_end(s, limit=1 << 30):
    data = bytearray()
    while len(data) < limit:
        piece = s.recv(1 << 18)
        if not piece:
            break
        data += piece
    return bytes(data)


def read_reply(s):
    """One answer with a Content-Length on a connection that stays."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            raise EOFError(data)
        data += piece
    length = int(re.search(rb"content-length: (\d+)", data).group(1))
    while len(data) < data.index(b"\r\n\r\n") + 4 + length:
        data += s.recv(65536)
    return Reply(data)


def send(data):
    with connect() as s:
        s.sendall(data)
        return read_to_end(s)


def ask(model="gpt-image-1", path=GENERATIONS, key="sk-sim-test", headers=(), **fields):
    fields = {"model": model, "prompt": "a panda"} | fields
    return Reply(send(request_bytes({k: v for k, v in fields.items() if v is not ...}, path, key=key, headers=headers)))


def get(path, key="sk-sim-test"):
    return Reply(send(request_bytes(path=path, method="GET", key=key)))


def picture_at(url):
    return get(url[url.index("/", 8):], key=None)


def dechunk(data):
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            return out
        if len(data) < n + 2:
            raise EOFError
        out, data = out + data[:n], data[n + 2:]
    raise EOFError


def png_size(data):
    """Checks every chunk of a PNG and its pixels; (width, height)."""
    assert data[:8] == pictures.PNG_MAGIC
    at, idat, size, kinds = 8, b"", None, []
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + n]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + n:at + 12 + n])[0], kind
        kinds.append(kind)
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        idat += body if kind == b"IDAT" else b""
        at += 12 + n
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND"
    assert len(zlib.decompress(idat)) == size[1] * (1 + (size[0] + 7) // 8)
    return size


class Case(unittest.TestCase):
    def setUp(self):
        sim.reset()

    def last(self):
        return sim.requests()[-1]


class Http(Case):
    def test_a_connection_carries_several_requests(self):
        with connect() as s:
            for _ in range(3):
                s.sendall(request_bytes({"model": "gpt-image-1", "prompt": "x"}, close=False))
                self.assertEqual(read_reply(s).status, 200)
        records = sim.requests()
        self.assertEqual(len({r["connection"] for r in records}), 1)
        self.assertEqual([r["index"] for r in records], [0, 1, 2])

    def test_two_requests_sent_at_once_are_answered_in_order(self):
        with connect() as s:
            s.sendall(request_bytes(path="/v1/models", method="GET", close=False)
                      + request_bytes(path="/v1/models/dall-e-3", method="GET"))
            data = read_to_end(s)
        self.assertEqual(data.count(b"HTTP/1.1 200 OK"), 2)
        self.assertLess(data.index(b'"object":"list"'), data.rindex(b'{"id":"dall-e-3"'))

    def test_a_chunked_body_is_understood(self):
        body = json.dumps({"model": "gpt-image-1", "prompt": "分块"}).encode()
        chunked = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(p), p) for p in (body[:5], body[5:])) + b"0\r\nx-t: 1\r\n\r\n"
        head = request_bytes(headers=["Transfer-Encoding: chunked"])
        self.assertEqual(Reply(send(head + chunked)).status, 200)
        self.assertEqual(self.last()["body"]["prompt"], "分块")

    def test_expect_continue_is_answered_before_the_body(self):
        body = b'{"model":"gpt-image-1","prompt":"x"}'
        head = request_bytes(body, headers=["Expect: 100-continue"])[:-len(body)]
        with connect() as s:
            s.sendall(head)
            self.assertEqual(s.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(body)
            self.assertEqual(Reply(read_to_end(s)).status, 200)

    def test_http_1_0_closes(self):
        data = send(request_bytes({"model": "gpt-image-1", "prompt": "x"}, close=False).replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assertIn("close", Reply(data).headers["connection"])

    def test_nonsense_gets_400(self):
        for raw in (b"HELLO\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"POST /v1/images/generations HTTP/1.1\r\n"
                    b"Content-Length: x\r\n\r\n", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            with self.subTest(raw=raw):
                self.assertEqual(Reply(send(raw)).status, 400)


class OpenAi(Case):
    def test_a_gpt_image_model_answers_raw_base64_and_its_members(self):
        reply = ask(size="1536x1024", quality="low")
        item = reply.json["data"][0]
        self.assertEqual(set(item), {"b64_json"})
        self.assertEqual(png_size(base64.b64decode(item["b64_json"], validate=True)), (1536, 1024))
        self.assertEqual({k: reply.json[k] for k in ("background", "output_format", "quality", "size")}, {
            "background": "opaque", "output_format": "png", "quality": "low", "size": "1536x1024"})
        usage = reply.json["usage"]
        self.assertEqual(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])
        self.assertRegex(reply.headers["x-request-id"], r"^req_[0-9a-f]{32}$")

    def test_response_format_is_refused_by_gpt_image_models_in_openais_words(self):
        for model in openai.GPT:
            with self.subTest(model=model):
                reply = ask(model, response_format="b64_json")
                self.assertEqual((reply.status, reply.json), (400, {"error": {
                    "message": "Unknown parameter: 'response_format'.", "type": "invalid_request_error",
                    "param": "response_format", "code": "unknown_parameter"}}))

    def test_formats_and_counts_are_honoured_and_no_two_pictures_are_alike(self):
        starts = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}
        for form, start in starts.items():
            data = [base64.b64decode(i["b64_json"]) for i in ask(n=10, output_format=form).json["data"]]
            self.assertEqual(len(set(data)), 10)
            self.assertTrue(all(d.startswith(start) for d in data))
            self.assertEqual(len({pictures.serial_of(d) for d in data}), 10)
        self.assertEqual(sim.stats()["pictures"], 30)

    def test_the_key_is_demanded(self):
        reply = ask(key=None)
        self.assertEqual((reply.status, reply.error["code"]), (401, None))
        self.assertTrue(reply.error["message"].startswith("You didn't provide an API key."))
        reply = ask(key="sk-wrong-0123456789")
        self.assertEqual((reply.status, reply.error["code"]), (401, "invalid_api_key"))
        self.assertTrue(reply.error["message"].startswith("Incorrect API key provided: sk-wrong*********6789."))
        self.assertEqual(sim.stats()["purchases"], 0)

    def test_bad_parameters_are_refused(self):
        rows = [({"prompt": ...}, "missing_required_parameter", "prompt"), ({"n": "2"}, "invalid_type", "n"),
                ({"n": 11}, "integer_above_max_value", "n"), ({"n": 0}, "integer_below_min_value", "n"),
                ({"size": "1254x836"}, "invalid_value", "size"), ({"quality": "hd"}, "invalid_value", "quality"),
                ({"seed": 1}, "unknown_parameter", "seed"), ({"prompt": "x" * 32001}, "string_above_max_length", "prompt"),
                ({"model": "bad model"}, "invalid_value", "model"),
                ({"model": "dall-e-3", "output_format": "png"}, "unknown_parameter", "output_format"),
                ({"model": "gpt-image-2", "size": "1000x1000"}, "invalid_value", "size")]
        for fields, code, param in rows:
            with self.subTest(fields=str(fields)[:60]):
                reply = ask(**fields)
                self.assertEqual((reply.status, reply.error["code"], reply.error["param"]), (400, code, param))
        self.assertEqual(ask("dall-e-3", n=2).status, 400)
        self.assertEqual(Reply(send(request_bytes(b"{nope"))).status, 400)
        self.assertEqual(ask("gpt-image-2", size="2048x1152").json["size"], "2048x1152")
        self.assertEqual(sim.stats()["purchases"], 1)

    def test_dall_e_gives_urls_unless_told_otherwise(self):
        item = ask("dall-e-3").json["data"][0]
        self.assertEqual(set(item), {"url", "revised_prompt"})
        self.assertEqual(png_size(picture_at(item["url"]).body), (1024, 1024))
        self.assertIn("b64_json", ask("dall-e-2", response_format="b64_json", size="256x256").json["data"][0])
        self.assertNotIn("usage", ask("dall-e-2").json)

    def test_a_stream_has_openais_events(self):
        reply = ask(stream=True, partial_images=2)
        text = dechunk(reply.body).decode()
        self.assertIn("text/event-stream", reply.headers["content-type"])
        self.assertEqual(re.findall(r"^event: (.*)$", text, re.MULTILINE),
                         ["image_generation.partial_image"] * 2 + ["image_generation.completed"])
        last = json.loads(text.strip().split("data: ")[-1])
        self.assertEqual(png_size(base64.b64decode(last["b64_json"])), (1024, 1024))
        self.assertIn("usage", last)

    def test_edits_take_multipart_and_record_its_parts(self):
        png = pictures.png(1, 16, 16)
        body = (b'--B0\r\nContent-Disposition: form-data; name="image[]"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
                + png + b'\r\n--B0\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-image-1.5\r\n'
                b'--B0\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nblue\r\n--B0--\r\n')
        raw = request_bytes(body, "/v1/images/edits").replace(b"application/json", b"multipart/form-data; boundary=B0")
        reply = Reply(send(raw))
        self.assertEqual(reply.status, 200, reply.body[:200])
        part = self.last()["body"][0]
        self.assertEqual((part["name"], part["filename"], part["type"], part["bytes"], part["sha256"]),
                         ("image[]", "a.png", "image/png", len(png), hashlib.sha256(png).hexdigest()))
        self.assertEqual(self.last()["body"][2]["value"], "blue")
        self.assertEqual((self.last()["model"], self.last()["kind"]), ("gpt-image-1.5", "edit"))
        reply = Reply(send(raw.replace(b"Content-Type: image/png", b"Content-Type: image/foo")))
        self.assertEqual(reply.error["code"], "unsupported_file_mimetype")

    def test_models_are_listed_and_found(self):
        ids = [m["id"] for m in get("/v1/models").json["data"]]
        self.assertIn("gpt-image-2", ids)
        for path in ("/v1/models/dall-e-3", "/models/dall-e-3"):
            self.assertEqual(get(path).json, {"id": "dall-e-3", "object": "model", "created": 1686935002,
                                              "owned_by": "openai"})
        self.assertEqual(get("/v1/models/no%2Fsuch").error["message"], "The model 'no/such' does not exist")

    def test_unknown_paths_and_methods(self):
        self.assertEqual(get("/v1/foo").error["message"], "Invalid URL (GET /v1/foo)")
        reply = get(GENERATIONS)
        self.assertEqual((reply.status, reply.headers["allow"]), (405, "POST"))
        self.assertEqual(ask(path="/images/generations").status, 200)
        self.assertEqual(ask(path="/openai/v1/images/generations").status, 200)


class Relays(Case):
    def test_each_relay_has_its_habit(self):
        item = ask("relay-data-url").json["data"][0]
        self.assertTrue(item["b64_json"].startswith("data:image/png;base64,iVBOR"))
        item = ask("relay-url", response_format="b64_json").json["data"][0]
        self.assertTrue(item["url"].startswith(f"http://127.0.0.1:{sim.port}/pictures/"))
        item = ask("relay-url-data").json["data"][0]
        self.assertTrue(item["url"].startswith("data:image/png;base64,iVBOR"))
        reply = ask("relay-escaped", response_format="b64_json")
        self.assertIn(b"\\/", reply.body)
        self.assertNotRegex(reply.body, rb"[^\\]/")
        png_size(base64.b64decode(reply.json["data"][0]["b64_json"]))
        reply = ask("relay-error-200")
        self.assertEqual((reply.status, reply.error["type"]), (200, "one_api_error"))
        self.assertEqual(ask("relay-empty").json["data"], [])
        self.assertIsNone(ask("relay-nulls").json["data"][0]["b64_json"])

    def test_a_fresh_url_is_missing_twice(self):
        url = ask("relay-404-once").json["data"][0]["url"]
        self.assertEqual([picture_at(url).status for _ in range(3)], [404, 404, 200])

    def test_new_api_errors(self):
        reply = ask("relay-new-api")
        self.assertEqual((reply.status, reply.error["type"], reply.error["param"]), (500, "new_api_error", ""))
        self.assertRegex(reply.error["message"], r"\(request id: 2026\d{16}\)$")
        self.assertIn("x-oneapi-request-id", reply.headers)
        self.assertEqual(ask("relay-new-api@status=503,code=no_available_channel").status, 503)

    def test_an_asynchronous_relay(self):
        task = ask("relay-async").json["data"][0]["task_id"]
        url = get(f"/v1/tasks/{task}").json["data"]["output"]["image_urls"][0]
        png_size(picture_at(url).body)


class Errors(Case):
    def test_every_scripted_error_has_its_status_and_openais_keys(self):
        for name, (status, kind, code, param, _) in openai.ERRORS.items():
            with self.subTest(name=name):
                reply = ask(f"gpt-image-1@status={status},code={name}")
                self.assertEqual(reply.status, status)
                self.assertEqual({k: reply.error[k] for k in ("type", "code", "param")},
                                 {"type": kind, "code": code, "param": param})
                self.assertNotIn("{", reply.error["message"])
        self.assertEqual(ask("gpt-image-1@code=moderation_blocked").error["moderation_details"]["categories"], ["violence"])

    def test_status_alone_means_the_usual_error(self):
        for status, code in ((401, "invalid_api_key"), (403, None), (404, "model_not_found"), (429, "rate_limit_exceeded"),
                             (500, "server_error"), (503, "server_is_overloaded"), (524, 524), (418, None)):
            reply = ask(f"gpt-image-1@status={status}")
            self.assertEqual((reply.status, reply.error["code"]), (status, code))
        for status in (502, 504):
            reply = ask(f"gpt-image-1@status={status}")
            self.assertEqual((reply.status, reply.headers["content-type"]), (status, "text/html; charset=UTF-8"))
            self.assertIn(b"<center>nginx", reply.body)

    def test_retry_after_in_its_three_forms(self):
        self.assertEqual(ask("gpt-image-1@status=429").headers["retry-after"], "1")
        self.assertEqual(ask("gpt-image-1@status=429,retry-after=7").headers["retry-after"], "7")
        self.assertNotIn("retry-after", ask("gpt-image-1@status=429,retry-after=none").headers)
        headers = ask("gpt-image-1@status=429,retry-after-ms=250").headers
        self.assertEqual((headers["retry-after-ms"], headers.get("retry-after")), ("250", None))
        self.assertRegex(ask("gpt-image-1@status=429,retry-date=5").headers["retry-after"], r"^\w{3}, \d\d \w{3} \d{4} .* GMT$")

    def test_pages_of_proxies(self):
        for word in pages.PAGES:
            with self.subTest(word=word):
                reply = ask(f"gpt-image-1@fault={word}")
                self.assertEqual(str(reply.status), word[-3:])
        reply = ask("gpt-image-1@html403")
        self.assertEqual((reply.headers["cf-mitigated"], "cf-ray" in reply.headers), ("challenge", True))

    def test_odd_errors(self):
        rows = [("error-string", 400, {"error": "The model is sleeping"}), ("error-numeric-code", 524, None),
                ("errors-plural", 400, None), ("error-200", 200, None)]
        for word, status, body in rows:
            reply = ask(f"gpt-image-1@{word}")
            self.assertEqual(reply.status, status)
            if body:
                self.assertEqual(reply.json, body)
        self.assertIs(type(ask("gpt-image-1@error-numeric-code").error["code"]), int)
        self.assertIn("errors", ask("gpt-image-1@errors-plural").json)
        reply = ask("gpt-image-1@empty-body-500")
        self.assertEqual((reply.status, reply.body), (500, b""))


class Wire(Case):
    def reset_after(self, data):
        """What came before the connection was reset; fails when it was not."""
        got = bytearray()
        with connect() as s:
            s.sendall(data)
            with self.assertRaises(ConnectionResetError):
                while piece := s.recv(65536):
                    got += piece
        return bytes(got)

    def fault(self, spec, **fields):
        return request_bytes({"model": f"gpt-image-1@{spec}", "prompt": "x"} | fields)

    def test_resets(self):
        self.assertEqual(self.reset_after(self.fault("reset-before")), b"")
        reply = Reply(self.reset_after(self.fault("reset-mid")))
        self.assertEqual(len(reply.body), int(reply.headers["content-length"]) // 2)
        # before the body: only its head and a byte of it are sent
        whole = request_bytes({"model": "gpt-image-1", "prompt": "x" * 999}, "/@reset-early" + GENERATIONS)
        self.assertEqual(self.reset_after(whole[:-998]), b"")
        self.assertEqual([r["purchase"] for r in sim.requests()], [True, True, False])

    def test_a_cut_body(self):
        reply = Reply(send(self.fault("truncate")))
        self.assertEqual(len(reply.body), int(reply.headers["content-length"]) // 2)
        reply = Reply(send(self.fault("truncate,after=all")))
        self.assertEqual(len(reply.body), int(reply.headers["content-length"]) - 1000)
        self.assertEqual(len(reply.json["data"]), 1)
        reply = Reply(send(self.fault("truncate,after=10")))
        self.assertEqual(reply.body, b'{"created"')
        reply = Reply(send(self.fault("truncate-chunked")))
        self.assertEqual(reply.headers["transfer-encoding"], "chunked")
        self.assertRaises(EOFError, dechunk, reply.body)
        reply = Reply(send(self.fault("no-length-cut")))
        self.assertNotIn("content-length", reply.headers)
        self.assertRaises(ValueError, json.loads, reply.body)

    def test_framings(self):
        reply = Reply(send(self.fault("no-length").replace(b"Connection: close\r\n", b"")))
        self.assertEqual((reply.headers["connection"], "content-length" in reply.headers), ("close", False))
        self.assertEqual(len(reply.json["data"]), 1)
        reply = Reply(send(self.fault("chunked,chunk=7")))
        self.assertEqual(len(json.loads(dechunk(reply.body))["data"]), 1)
        self.assertTrue(Reply(send(self.fault("http10"))).status_line.startswith("HTTP/1.0 200"))
        reply = Reply(send(self.fault("gzip")))
        self.assertEqual(reply.headers["content-encoding"], "gzip")
        self.assertEqual(len(json.loads(gzip.decompress(reply.body))["data"]), 1)
        self.assertGreater(len(Reply(send(self.fault("headers-huge"))).head), 900_000)
        self.assertEqual(Reply(send(self.fault("two-lengths"))).head.count(b"content-length"), 2)
        self.assertEqual(len(json.loads(Reply(send(self.fault("spaces,seconds=0.2"))).body)["data"]), 1)
        self.assertTrue(send(self.fault("early-hints")).startswith(b"HTTP/1.1 103 "))

    def test_no_http(self):
        self.assertNotIn(b"HTTP/", send(self.fault("garbage")))
        self.assertEqual(send(self.fault("accept-then-close")), b"")
        self.assertEqual(send(request_bytes({"model": "gpt-image-1", "prompt": "x"}, "/@accept-then-close" + GENERATIONS)), b"")
        self.assertTrue(send(self.fault("half-head")).startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_faults_at_accept_need_no_request(self):
        sim.faults("accept-then-close", "accept-reset")
        with connect() as s:
            self.assertEqual(s.recv(10), b"")
        with self.assertRaises(ConnectionResetError), connect() as s:  # also while it connects
            s.recv(10)
        self.assertEqual([r["fault"] for r in sim.requests()], ["accept-then-close", "accept-reset"])
        self.assertEqual((ask().status, sim.pending_faults()), (200, []))

    def test_silence_lasts_until_the_client_leaves(self):
        for spec, answered in (("silence", False), ("headers-then-silence", True)):
            with self.subTest(spec=spec):
                sim.reset()
                with connect() as s:
                    s.sendall(self.fault(spec))
                    sim.wait_for(lambda stats: stats["in_flight"] == 1)
                    if answered:
                        self.assertEqual(s.recv(1000)[:12], b"HTTP/1.1 200")
                    s.settimeout(0.2)
                    self.assertRaises(TimeoutError, s.recv, 1)
                    self.assertIsNone(self.last()["end"])
                sim.wait_for(lambda stats: stats["in_flight"] == 0)
                self.assertTrue(self.last()["aborted"])
                self.assertTrue(self.last()["purchase"])

    def test_drip(self):
        start = time.monotonic()
        with connect() as s:
            s.sendall(self.fault("drip,rate=20"))
            data = b""
            while len(data.partition(b"\r\n\r\n")[2]) < 10:
                data += s.recv(100)
        self.assertGreater(time.monotonic() - start, 0.35)
        sim.wait_for(lambda stats: stats["aborted"] == 1)

    def test_delay(self):
        start = time.monotonic()
        self.assertEqual(Reply(send(self.fault("delay=0.3"))).status, 200)
        self.assertGreaterEqual(time.monotonic() - start, 0.3)

    def test_endless(self):
        for spec in ("endless", "endless-spaces"):
            with connect() as s:
                s.sendall(self.fault(spec))
                self.assertGreaterEqual(len(read_to_end(s, 20_000_000)), 20_000_000)
        sim.wait_for(lambda stats: stats["aborted"] == 2)

    def test_bodies_that_are_no_answer(self):
        rows = [("not-json", "application/json", False), ("wrong-type", "text/html; charset=utf-8", False),
                ("wrong-label", "text/plain; charset=utf-8", True), ("no-type", None, True),
                ("empty-body", "application/json", False)]
        for word, kind, good in rows:
            reply = Reply(send(self.fault(word)))
            self.assertEqual((reply.status, reply.headers.get("content-type")), (200, kind))
            if good:
                self.assertEqual(len(reply.json["data"]), 1)
            else:
                self.assertRaises(ValueError, json.loads, reply.body)

    def test_a_redirect_leads_elsewhere(self):
        reply = Reply(send(self.fault("redirect")))
        self.assertEqual((reply.status, reply.headers["location"]), (302, f"http://localhost:{sim.port}/elsewhere"))
        reply = Reply(send(self.fault("redirect,status=307,to=http://10.0.0.1/x")))
        self.assertEqual((reply.status, reply.headers["location"]), (307, "http://10.0.0.1/x"))

    def test_a_client_that_leaves_in_its_own_body_is_recorded(self):
        with connect() as s:
            s.sendall(request_bytes({"model": "gpt-image-1", "prompt": "x" * 999})[:-500])
            sim.wait_for(lambda stats: stats["in_flight"] == 1)
        sim.wait_for(lambda stats: stats["in_flight"] == 0)
        self.assertEqual([self.last()[k] for k in ("aborted", "purchase", "body_end")], [True, False, None])


class Pictures(Case):
    def b64_of(self, spec, **fields):
        return ask(f"gpt-image-1@{spec}", **fields).json["data"]

    def test_sizes_in_bytes_are_exact(self):
        for form in ("png", "jpeg", "webp"):
            for size in (40_000, 66_000, 200_000, 2_000_000):
                data = pictures.Picture(1, format=form, bytes=size).render()
                self.assertEqual(len(data), size)
        sim.defaults(picture_bytes=2_000_000)
        data = base64.b64decode(ask().json["data"][0]["b64_json"])
        self.assertEqual((len(data), png_size(data)), (2_000_000, (1024, 1024)))
        self.assertGreater(len(zlib.compress(data)), 1_990_000)

    def test_the_same_number_gives_the_same_bytes(self):
        for form in ("png", "jpeg", "webp"):
            one, same, other = (pictures.Picture(n, format=form).render() for n in (5, 5, 6))
            self.assertEqual(one, same)
            self.assertNotEqual(one, other)

    def test_bad_pictures(self):
        rows = [("gif", b"GIF89a"), ("svg", b"<?xml"), ("not-an-image", b"<!DOCTYPE html>"), ("truncated-png", b"\x89PNG"),
                ("pixels", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60")]
        for word, start in rows:
            data = base64.b64decode(self.b64_of(word)[0]["b64_json"], validate=True)
            self.assertTrue(data.startswith(start), word)
            if word == "truncated-png":
                self.assertNotIn(b"IEND", data)
        with self.assertRaises(ValueError):
            base64.b64decode(self.b64_of("bad-base64")[0]["b64_json"], validate=True)

    def test_fewer_and_more(self):
        self.assertEqual([len(self.b64_of(w, n=3)) for w in ("fewer", "more", "no-pictures")], [2, 4, 0])

    def test_a_huge_picture(self):
        data = base64.b64decode(self.b64_of("huge")[0]["b64_json"])
        self.assertGreater(len(data), 52_428_800)
        self.assertEqual(png_size(data), (1024, 1024))

    def test_urls_that_should_not_be_followed(self):
        self.assertEqual(self.b64_of("private-url")[0]["url"], openai.PRIVATE["metadata"])
        self.assertEqual(self.b64_of("private-url,which=ssh")[0]["url"], "http://127.0.0.1:22/")
        reply = picture_at(self.b64_of("url-redirect")[0]["url"])
        self.assertEqual((reply.status, reply.headers["location"]), (302, f"http://localhost:{sim.port}/elsewhere"))
        reply = picture_at(self.b64_of("url-redirect,to=http://169.254.169.254/x")[0]["url"])
        self.assertEqual(reply.headers["location"], "http://169.254.169.254/x")

    def test_faults_of_the_download(self):
        reply = picture_at(self.b64_of("url-fault=truncate")[0]["url"])
        self.assertEqual(reply.headers["content-type"], "image/png")
        self.assertLess(len(reply.body), int(reply.headers["content-length"]))
        self.assertEqual(picture_at(self.b64_of("url-fault=status:403")[0]["url"]).status, 403)
        self.assertIn("/@drip/pictures/", self.b64_of("slow-picture-url")[0]["url"])
        url = ask("dall-e-3").json["data"][0]["url"]
        sim.faults({"status": 403, "on": "picture"})
        self.assertEqual([picture_at(url).status for _ in range(2)], [403, 200])


class Control(Case):
    def test_queued_faults_are_used_one_per_purchase(self):
        sim.faults({"status": 503, "times": 2}, "status=429,retry-after=3")
        self.assertEqual(get("/v1/models").status, 200)
        self.assertEqual([ask().status for _ in range(4)], [503, 503, 429, 200])
        self.assertEqual(sim.stats()["purchases"], 1)
        self.assertEqual([r["purchase"] for r in sim.requests(kind="generate")], [False, False, False, True])

    def test_a_typing_error_in_a_fault_is_refused(self):
        with self.assertRaisesRegex(ValueError, "unknown fault 'trunkate'"):
            sim.faults("trunkate")
        with self.assertRaisesRegex(ValueError, "unknown parameter 'staus'"):
            sim.faults({"staus": 1})
        self.assertIn(b"unknown fault 'nope'", ask("gpt-image-1@nope").body)

    def test_a_fault_can_come_with_the_key_or_the_path(self):
        self.assertEqual(ask(key="sk-sim-a@code=insufficient_quota").error["code"], "insufficient_quota")
        self.assertEqual(ask(path="/@status=500" + GENERATIONS).status, 500)
        self.assertEqual(ask(key="sk-sim-b").status, 200)

    def test_requests_are_recorded_in_order(self):
        ask(prompt="一只可爱的熊猫", headers=["X-Two: a", "X-Two: b"])
        get("/v1/models", key=None)
        first, second = sim.requests()
        self.assertEqual(first["body"], {"model": "gpt-image-1", "prompt": "一只可爱的熊猫"})
        self.assertEqual((first["headers"]["x-two"], first["headers"]["authorization"]), ("a, b", "Bearer sk-sim-test"))
        self.assertIn(["X-Two", "a"], first["raw_headers"])
        self.assertLessEqual(first["start"], first["end"])
        self.assertLessEqual(first["end"], second["start"])
        self.assertGreater(first["bytes_sent"], 800)
        self.assertEqual((second["method"], second["path"], second["kind"], second["status"]), ("GET", "/v1/models", "models", 401))
        self.assertEqual([r["index"] for r in sim.requests(since=1)], [1])
        sim.clear()
        self.assertEqual((sim.requests(), sim.stats()["purchases"]), ([], 0))

    def test_long_strings_are_recorded_as_their_hash(self):
        ask("relay-url", image="data:image/png;base64," + "A" * 100_000)
        self.assertIn("(100022 bytes, sha256 ", self.last()["body"]["image"])

    def test_defaults(self):
        sim.defaults(delay=0.2, format="webp")
        start = time.monotonic()
        data = base64.b64decode(ask().json["data"][0]["b64_json"])
        self.assertGreaterEqual(time.monotonic() - start, 0.2)
        self.assertEqual(data[8:12], b"WEBP")
        with self.assertRaises(ValueError):
            sim.defaults(dealy=1)

    def test_simultaneous_purchases_are_counted(self):
        sim.defaults(delay=WAIT_S)
        waiting = [connect() for _ in range(5)]
        for s in waiting:
            s.sendall(request_bytes({"model": "gpt-image-1", "prompt": "x"}))
        sim.wait_for(lambda stats: stats["purchases"] == 5)
        self.assertEqual(sorted(r["in_flight"] for r in sim.requests()), [1, 2, 3, 4, 5])
        for s in waiting:
            s.close()
        stats = sim.wait_for(lambda stats: stats["in_flight"] == 0)
        self.assertEqual((stats["max_in_flight"], stats["aborted"]), (5, 5))


class Process(unittest.TestCase):
    def test_it_says_when_it_is_ready_and_ends_on_sigterm(self):
        with tempfile.TemporaryDirectory() as folder:
            ready = os.path.join(folder, "ready")
            with client.start("--ready-file", ready) as own:
                with open(ready, encoding="ascii") as f:
                    self.assertEqual(f.read(), f"ready {own.base_url}\n")
                own.process.send_signal(signal.SIGTERM)
                self.assertEqual(own.process.wait(WAIT_S), 0)

    def test_it_ends_when_asked(self):
        with client.start() as own:
            own._call("POST", "/_sim/quit")
            self.assertEqual(own.process.wait(WAIT_S), 0)

    def test_it_dies_with_its_parent(self):
        code = f"import sys,time; sys.path.insert(0,{HERE!r}); from sim import client; s=client.start(); " \
               "print(s.port, flush=True); time.sleep(600)"
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        try:
            port = int(parent.stdout.readline())
            with connect(port) as s:
                parent.kill()
                self.assertIn(s.recv(1), (b"",))  # its end closes our connection
        finally:
            parent.kill()
            parent.wait()
            parent.stdout.close()

    def test_a_thousand_connections_wait(self):
        with client.start() as own:
            asyncio.run(self.crowd(own, 1000, None))

    async def crowd(self, own, n, context):
        own.defaults(delay=600)
        raw = b'{"model":"gpt-image-1","prompt":"x"}'
        head = (b"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-sim-t\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw))
        gate, writers = asyncio.Semaphore(64), []

        async def one():
            async with gate:
                _, writer = await asyncio.open_connection("127.0.0.1", own.port, ssl=context,
                                                          server_hostname="localhost" if context else None)
                writer.write(head + raw)
                await writer.drain()
                writers.append(writer)

        await asyncio.gather(*(one() for _ in range(n)))
        ask_thread = asyncio.get_running_loop().run_in_executor
        stats = await ask_thread(None, lambda: own.wait_for(lambda s: s["in_flight"] == n, 120))
        self.assertEqual(stats["max_in_flight"], n)
        for writer in writers:
            writer.transport.abort()
        await ask_thread(None, lambda: own.wait_for(lambda s: s["in_flight"] == 0, 120))


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        client.make_certs(cls.folder.name)
        cls.trusting = ssl.create_default_context(cafile=os.path.join(cls.folder.name, "ca.crt"))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_the_good_certificate_is_trusted_by_both_names(self):
        with client.start(tls_dir=self.folder.name) as own:
            self.assertTrue(own.base_url.startswith("https://"))
            for name in ("localhost", "127.0.0.1"):
                with connect(own.port, self.trusting, name) as s:
                    s.sendall(request_bytes({"model": "dall-e-3", "prompt": "x"}))
                    reply = Reply(read_to_end(s))
                self.assertTrue(reply.json["data"][0]["url"].startswith("https://"))
            with connect(own.port, self.trusting) as s, socket.socket(fileno=os.dup(s.fileno())) as below:
                s.sendall(request_bytes({"model": "gpt-image-1@reset-mid", "prompt": "x"}))
                # ssl would make an end of file of the reset, so look below it
                below.settimeout(WAIT_S)
                with self.assertRaises(ConnectionResetError):
                    read_to_end(below)
            own.faults("accept-then-close")
            with self.assertRaises(OSError):
                connect(own.port, self.trusting)

    def test_the_bad_ones_are_not(self):
        rows = [("expired", "certificate has expired"), ("self-signed", "self-signed certificate"),
                ("wrong-host", "Hostname mismatch|IP address mismatch")]
        for cert, reason in rows:
            with self.subTest(cert=cert), client.start(tls_dir=self.folder.name, cert=cert) as own:
                with self.assertRaisesRegex(ssl.SSLCertVerificationError, reason):
                    connect(own.port, self.trusting)
                own.wait_for(lambda stats: stats["tls_failures"] + stats["open_connections"] >= 1)

    def test_an_old_protocol(self):
        with client.start("--tls-version", "1.0", tls_dir=self.folder.name) as own, self.assertRaises(ssl.SSLError):
            self.trusting.minimum_version = ssl.TLSVersion.TLSv1_2
            connect(own.port, self.trusting)

    def test_a_crowd_waits(self):
        with client.start(tls_dir=self.folder.name) as own:
            asyncio.run(Process.crowd(self, own, int(os.environ.get("SIM_TLS_CROWD", "200")), self.trusting))


class Manual(unittest.TestCase):
    def test_the_readme_lists_every_fault_and_parameter(self):
        with open(os.path.join(HERE, "README.md"), encoding="utf-8") as f:
            text = f.read()
        listed = set(re.findall(r"`([\w-]+)`", "\n".join(re.findall(r"^\| (.*?) \|", text, re.MULTILINE))))
        self.assertEqual(faults.WORDS - listed, set())
        self.assertEqual({o.replace("_", "-") for o in faults.OPTIONS} - {i.replace("_", "-") for i in listed}, set())


if __name__ == "__main__":
    unittest.main()
