"""The dialect novelai's own tests.  python3 -m unittest, or pytest."""
import base64
import io
import json
import os
import struct
import sys
import threading
import unittest
import urllib.error
import urllib.request
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from sim import client, pictures  # noqa: E402
from sim.dialects import novelai, novelai_wire  # noqa: E402

KEY = "pst-sim-test"
ACCESS_KEY = "MJHRm_FkFBi8S-Ld8VFwX9IxrgsfiyNZBj_-KwnVag6arJ_oofQpBIho43MlnAcW"
JSON = {"Accept": "application/json"}
WAIT_S = 60
V3, V45 = "nai-diffusion-3", "nai-diffusion-4-5-full"
sim = None


def setUpModule():
    global sim
    sim = client.start()


def tearDownModule():
    sim.stop()


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def call(method, path, value=None, headers=(), key=KEY):
    headers = dict(headers) | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None
    if value is not None:
        data, headers["Content-Type"] = json.dumps(value).encode(), "application/json"
    request = urllib.request.Request(sim.base_url + "/novelai" + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as r:
            return Reply(r.status, r.headers, r.read())
    except urllib.error.HTTPError as e:
        with e:
            return Reply(e.code, e.headers, e.read())


def body(model=V3, action="generate", prompt="1girl", **parameters):
    p = {"width": 832, "height": 1216, "scale": 5, "sampler": "k_euler_ancestral", "steps": 28, "seed": 7,
         "n_samples": 1, "negative_prompt": "lowres"}
    if "-4" in model:
        p["v4_prompt"] = {"caption": {"base_caption": prompt, "char_captions": []}}
        p["v4_negative_prompt"] = {"caption": {"base_caption": "lowres", "char_captions": []}}
    p |= parameters
    return {"input": prompt, "model": model, "action": action, "parameters": {k: v for k, v in p.items() if v is not ...}}


def generate(value=None, headers=JSON, key=KEY, path="/ai/generate-image"):
    return call("POST", path, value or body(), headers, key)


def frames(data):
    """The maps of a stream of frames, with the pictures as bytes."""
    out = []
    while data:
        n, = struct.unpack(">I", data[:4])
        assert len(data) >= 4 + n, "a frame is cut"
        out.append(unpack(io.BytesIO(data[4:4 + n])))
        data = data[4 + n:]
    return out


def unpack(f):
    c = f.read(1)[0]
    if c < 0x80:
        return c
    if c & 0xF0 == 0x80:
        return {unpack(f): unpack(f) for _ in range(c & 15)}
    if c & 0xE0 == 0xA0:
        return f.read(c & 31).decode()
    size = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B"}.get(c)
    if size:
        data = f.read(struct.unpack(size, f.read(struct.calcsize(size)))[0])
        return data.decode() if c == 0xD9 else data
    form = {0xCB: ">d", 0xCE: ">I"}[c]
    return struct.unpack(form, f.read(struct.calcsize(form)))[0]


class Novelai(unittest.TestCase):
    def setUp(self):
        sim.reset()

    def test_json_where_it_is_asked_for_else_a_zip(self):
        answer = generate()
        image, = answer.json["images"]
        self.assertEqual((image["index"], image["seed"]), (0, 7))
        self.assertTrue(pictures.serial_of(base64.b64decode(image["image"])))
        answer = generate(headers={})
        with zipfile.ZipFile(io.BytesIO(answer.body)) as z:
            self.assertEqual(z.namelist(), ["image_0.png"])
            self.assertTrue(pictures.serial_of(z.read("image_0.png")))

    def test_the_lying_forms_of_an_archive(self):
        counts = {"zip-several": 3, "zip-empty": 0, "zip-text": 1, "zip-mixed": 3, "zip-many": 20_000, "zip-deflated": 1}
        for form, count in counts.items():
            sim.faults({"answer": form})
            with zipfile.ZipFile(io.BytesIO(generate().body)) as z:
                self.assertEqual(len(z.namelist()), count, form)
        for form in ("zip-truncated", "zip-damaged", "zip-encrypted"):
            sim.faults({"answer": form})
            with self.assertRaises((zipfile.BadZipFile, RuntimeError), msg=form):
                with zipfile.ZipFile(io.BytesIO(generate().body)) as z:
                    z.read("image_0.png")
        with zipfile.ZipFile(io.BytesIO(novelai_wire.bomb())) as z:
            self.assertGreater(z.getinfo("image_0.png").file_size, 200 * z.getinfo("image_0.png").compress_size)
        sim.faults({"answer": "png"})
        self.assertTrue(generate().body.startswith(b"\x89PNG"))

    def test_login_gives_a_token_that_works(self):
        answer = call("POST", "/user/login", {"key": ACCESS_KEY}, key=None)
        self.assertEqual(answer.status, 201)
        token = answer.json["accessToken"]
        self.assertTrue(token.startswith("eyJ") and token.count(".") == 2)
        self.assertEqual(generate(key=token).status, 200)
        self.assertEqual(generate(key=token + "x").status, 401)
        self.assertEqual(call("POST", "/user/login", {"key": "A" * 64}, key=None).json,
                         {"statusCode": 401, "message": "Incorrect access key."})
        self.assertEqual(call("POST", "/user/login", {"key": "short"}, key=None).status, 400)
        self.assertEqual(call("GET", "/user/subscription").json["tier"], 3)
        stats = sim.stats()
        self.assertEqual((stats["logins"], stats["refused_logins"]), (1, 1))

    def test_an_account_makes_one_picture_at_a_time(self):
        sim.faults({"delay": 2})
        first = threading.Thread(target=generate)
        first.start()
        sim.wait_for(lambda s: s["in_flight"] == 1)
        answer = generate()
        self.assertEqual((answer.status, answer.json["message"]), (429, "Concurrent generation is locked"))
        self.assertEqual(generate(key="pst-sim-other").status, 200)
        self.assertEqual(sim.stats()["max_generations_by_account"][KEY], 2)
        self.assertEqual(sim.stats()["locked_accounts"], 1)
        first.join()
        sim.wait_for(lambda s: s["locked_accounts"] == 0)
        self.assertEqual(generate().status, 200)

    def test_scripted_errors_have_its_shape(self):
        for code, (status, message) in novelai.ERRORS.items():
            sim.faults({"code": code})
            answer = generate()
            self.assertEqual((answer.status, answer.json["statusCode"]), (status, status))
            self.assertEqual(answer.json["message"], message.format(model=V3))
        sim.faults({"status": 401, "on": "login"})
        self.assertIn("access key", call("POST", "/user/login", {"key": ACCESS_KEY}, key=None).json["message"])

    def test_parameters_are_judged(self):
        rows = [body(width=833), body(height=8192), body(steps=51), body(scale=11), body(sampler="euler"),
                body(sm="false"), body(seed=-1), body(action="img2img"), body(image="AAAA"), body("nai-diffusion-9"),
                body(negative_prompt=...), body(V45, sampler="ddim_v3"),
                body(action="img2img", image="data:image/png;base64,AAAA")]
        for value in rows:
            self.assertEqual(generate(value).status, 400, value)
        for missing in ("v4_prompt", "v4_negative_prompt"):
            answer = generate(body(V45, **{missing: ...}))
            self.assertEqual((answer.status, answer.body), (500, b""))
        answer = generate(body(action="infill"))
        self.assertEqual(answer.status, 400)
        self.assertIn(b"}PK\x03\x04", answer.body)
        self.assertEqual(sim.stats()["purchases"], 2, "a 500 may have been billed, a 400 was not")

    def test_pictures_must_have_the_size_that_is_asked_for(self):
        def png(width, height):
            return base64.b64encode(pictures.png(1, width, height)).decode()
        self.assertEqual(generate(body(action="img2img", image=png(832, 1216), strength=0.7, noise=0)).status, 200)
        self.assertEqual(generate(body(action="img2img", image=png(800, 1216))).status, 400)
        self.assertEqual(generate(body(V3 + "-inpainting", "infill", image=png(832, 1216), mask=png(832, 1216))).status, 200)
        self.assertEqual(generate(body(V3 + "-inpainting", "infill", image=png(832, 1216), mask=png(104, 152))).status, 400)

    def test_a_stream_has_previews_and_an_end(self):
        path = "/ai/generate-image-stream"
        events = frames(generate(body(V45, stream="msgpack"), path=path).body)
        self.assertEqual([e["event_type"] for e in events], ["intermediate"] * novelai.PREVIEWS + ["retry", "final"])
        self.assertTrue(events[0]["image"].startswith(b"\xff\xd8"))
        self.assertTrue(events[-1]["image"].startswith(b"\x89PNG"))
        sim.faults("sse-error", "sse-cut")
        self.assertEqual(frames(generate(body(V45), path=path).body)[-1]["event_type"], "error")
        self.assertEqual(frames(generate(body(V45), path=path).body)[-1]["event_type"], "retry")
        answer = generate(body(V45, stream="sse"), path=path)
        last = json.loads(answer.body.decode().strip().split("\n\n")[-1].removeprefix("data: "))
        self.assertTrue(pictures.serial_of(base64.b64decode(last["image"])))


if __name__ == "__main__":
    unittest.main()
