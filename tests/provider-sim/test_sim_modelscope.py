"""The dialect modelscope's own tests.  python3 -m unittest, or pytest."""
import base64
import json
import os
import sys
import time
import unittest
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from sim import client, pictures  # noqa: E402
from sim.dialects import modelscope  # noqa: E402

KEY = "ms-sim-test"
ASYNC = {"X-ModelScope-Async-Mode": "true"}
TYPE = {"X-ModelScope-Task-Type": "image_generation"}
WAIT_S = 60
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
    request = urllib.request.Request(sim.base_url + "/modelscope/v1" + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as r:
            return Reply(r.status, r.headers, r.read())
    except urllib.error.HTTPError as e:
        with e:
            return Reply(e.code, e.headers, e.read())


def submit(model="Qwen/Qwen-Image", headers=ASYNC, key=KEY, **fields):
    fields = {"model": model, "prompt": "a panda"} | fields
    return call("POST", "/images/generations", {k: v for k, v in fields.items() if v is not ...}, headers, key)


def poll(task_id, headers=TYPE, key=KEY):
    return call("GET", f"/tasks/{task_id}", headers=headers, key=key)


def finish(task_id):
    """Every state that was seen, in order, and the last answer."""
    states, deadline = [], time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        answer = poll(task_id).json
        if answer["task_status"] not in states:
            states.append(answer["task_status"])
        if answer["task_status"] not in ("PENDING", "PROCESSING", "RUNNING", "WARMING"):
            return states, answer
        time.sleep(0.02)
    raise TimeoutError(states)


def picture_at(url):
    with urllib.request.urlopen(url, timeout=WAIT_S) as r:
        return r.read()


class Case(unittest.TestCase):
    def setUp(self):
        sim.reset()


class Submissions(Case):
    def test_a_task_goes_its_way_to_a_picture(self):
        sim.defaults(task_seconds=0.6)
        reply = submit(size="512x768")
        self.assertEqual((reply.status, reply.json["task_status"]), (200, "PENDING"))
        self.assertRegex(reply.json["task_id"], r"^[0-9a-f]{8}-[0-9a-f-]{27}$")
        states, answer = finish(reply.json["task_id"])
        self.assertEqual(states, ["PENDING", "PROCESSING", "SUCCEED"])
        self.assertGreater(pictures.serial_of(picture_at(answer["output_images"][0])), 0)
        self.assertEqual((sim.stats()["purchases"], sim.stats()["tasks"]), (1, 1))

    def test_without_the_header_it_is_refused(self):
        reply = submit(headers={})
        self.assertEqual((reply.status, reply.json["errors"]["message"]), (400, "submit image generation task error"))
        self.assertIn("request_id", reply.json)
        self.assertIn("does not support synchronous calls", submit("Qwen/Qwen-Image@no-sync-text", {}).json["errors"]["message"])
        images = submit("MAILAND/majicflus_v1@old-sync", {}).json["images"]
        self.assertTrue(picture_at(images[0]["url"]).startswith(b"\x89PNG"))
        self.assertEqual((sim.stats()["purchases"], sim.stats()["tasks"]), (1, 0))

    def test_bad_parameters_are_refused(self):
        rows = [({"prompt": ...}, "prompt"), ({"prompt": "x" * 2000}, "prompt"), ({"negative_prompt": "x" * 2000}, "negative"),
                ({"n": 1}, "'n'"), ({"quality": "high"}, "'quality'"), ({"response_format": "url"}, "'response_format'"),
                ({"seed": 2**31}, "'seed'"), ({"seed": -1}, "'seed'"), ({"steps": 0}, "'steps'"), ({"steps": 101}, "'steps'"),
                ({"guidance": 1.4}, "'guidance'"), ({"guidance": 20.5}, "'guidance'"), ({"size": "1665x64"}, "1664x1664"),
                ({"size": "63x64"}, "1664x1664"), ({"size": "1024*1024"}, "'size'"), ({"model": "gpt-image-1"}, "model"),
                ({"model": "MAILAND/majicflus_v1", "size": "1032x64"}, "1024x1024"),
                ({"model": "black-forest-labs/FLUX.1-Krea-dev", "size": "64x1032"}, "1024x1024"),
                ({"model": "Tongyi-MAI/Z-Image-Turbo", "size": "2056x64"}, "2048x2048")]
        for fields, word in rows:
            with self.subTest(fields=str(fields)[:60]):
                reply = submit(**fields)
                self.assertEqual(reply.status, 400)
                self.assertIn(word, reply.json["errors"]["message"])
        self.assertEqual(submit(prompt="x" * 1999, size="1664x64", seed=2**31 - 1, steps=100, guidance=20).status, 200)
        self.assertEqual(submit("Tongyi-MAI/Z-Image-Turbo", size="2048x64").status, 200)
        self.assertEqual(sim.stats()["purchases"], 2)

    def test_edit_models_need_their_pictures(self):
        url = "data:image/png;base64," + base64.b64encode(pictures.png(1, 8, 8)).decode()
        one, several = modelscope.EDITS
        for model, value, status in (
                (one, url, 200), (one, "https://example.com/a.png", 200), (one, ..., 400), (one, [url], 400), (one, "a.png", 400),
                (one, "data:image/png;base64,AAAA", 400), (several, [url], 200), (several, [url] * 3, 200),
                (several, [url] * 4, 400), (several, [], 400), (several, url, 400), ("Qwen/Qwen-Image", url, 400)):
            self.assertEqual(submit(model, image_url=value).status, status, (model, value))

    def test_the_key_is_demanded(self):
        for key in (None, "sk-sim-other"):
            reply = submit(key=key)
            self.assertEqual((reply.status, reply.json["errors"]["message"]), (
                401, "Authentication failed, please make sure that a valid ModelScope token is supplied."))

    def test_errors_have_both_shapes(self):
        sim.defaults(shape="error")
        self.assertEqual(set(submit(headers={}).json["error"]), {"message", "request_id"})

    def test_pictures_at_once_in_every_shape(self):
        for shape, key in (("images", "images"), ("data", "data"), ("output", "output_images"), ("strings", "output_images")):
            with self.subTest(shape=shape):
                item = submit(f"Qwen/Qwen-Image@sync={shape}").json[key][0]
                self.assertTrue(picture_at(item if shape == "strings" else item["url"]).startswith(b"\x89PNG"))
        self.assertTrue(submit("Qwen/Qwen-Image@sync=b64").json["data"][0]["b64_json"].startswith("iVBOR"))


class Limits(Case):
    def test_quota_headers_count_down_to_a_429(self):
        sim.defaults(quota=2)
        names = ["modelscope-ratelimit-requests-remaining", "modelscope-ratelimit-model-requests-remaining"]
        for expected in (["1999", "1"], ["1998", "0"]):
            reply = submit()
            self.assertEqual([reply.headers[n] for n in names], expected)
        reply = submit()
        self.assertEqual(reply.status, 429)
        self.assertIn("exceeded today's quota for model Qwen/Qwen-Image", reply.json["errors"]["message"])
        self.assertEqual(submit("MAILAND/majicflus_v1").status, 200)
        self.assertEqual(submit(key="ms-sim-other").status, 200)

    def test_tasks_of_a_key_at_once_are_counted_and_can_be_limited(self):
        sim.defaults(task_seconds=30)
        for key in ("ms-sim-a", "ms-sim-b", "ms-sim-a"):
            self.assertEqual(submit(key=key).status, 200)
        stats = sim.stats()
        self.assertEqual((stats["max_tasks_of_a_key"], stats["tasks_running"]), (2, 3))
        self.assertEqual(stats["max_tasks_by_key"], {"ms-sim-a": 2, "ms-sim-b": 1})
        sim.defaults(task_limit=2)
        reply = submit(key="ms-sim-a")
        self.assertEqual(reply.status, 429)
        self.assertIn("one image generation task at a time", reply.json["errors"]["message"])
        self.assertEqual(submit(key="ms-sim-b").status, 200)

    def test_one_after_the_other_is_one_at_a_time(self):
        sim.defaults(task_seconds=0.05, task_limit=1)
        for _ in range(3):
            finish(submit(key=KEY).json["task_id"])
        self.assertEqual(sim.stats()["max_tasks_by_key"][KEY], 1)


class Polls(Case):
    def task(self, fault="", **fields):
        return submit("Qwen/Qwen-Image" + ("@task_seconds=0," + fault if fault else "@task_seconds=0"), **fields).json["task_id"]

    def test_a_poll_needs_its_header_its_key_and_a_task(self):
        task = self.task()
        self.assertEqual(poll(task, headers={}).status, 400)
        self.assertEqual(poll(task, key="ms-sim-other").status, 404)
        self.assertEqual(poll("no-such-task").status, 404)
        self.assertEqual(poll(self.task("task-lost")).status, 404)
        self.assertEqual(poll(task).json["task_status"], "SUCCEED")

    def test_a_failure_has_its_words_where_they_are_wanted(self):
        self.assertIn("CUDA", poll(self.task("task-fail")).json["errors"]["message"])
        for words in ("message", "error", "task_msg"):
            answer = poll(self.task(f"task-fail,words={words},message=no luck")).json
            self.assertEqual((answer["task_status"], answer[words]), ("FAILED", "no luck"))
        self.assertNotIn("errors", poll(self.task("task-fail,words=none")).json)
        self.assertIn("moderation", poll(self.task("task-moderated")).json["errors"]["message"])
        self.assertEqual(poll(self.task("task-fail,failed=CANCELED")).json["task_status"], "CANCELED")
        self.assertGreater(sim.stats()["purchases"], 5, "what was accepted was bought")

    def test_results_have_every_shape(self):
        self.assertIn("url", poll(self.task("result=objects")).json["output_images"][0])
        for shape in ("data", "images"):
            self.assertIn("url", poll(self.task(f"result={shape}")).json[shape][0])
        self.assertNotIn("output_images", poll(self.task("result=nothing")).json)
        self.assertEqual(poll(self.task("no-pictures")).json["output_images"], [])

    def test_states_can_have_other_names_and_never_end(self):
        sim.defaults(running="WARMING")
        states, _ = finish(submit("Qwen/Qwen-Image@task_seconds=0.6,succeeded=SUCCEEDED").json["task_id"])
        self.assertEqual(states, ["PENDING", "WARMING", "SUCCEEDED"])
        self.assertEqual(poll(self.task("task-pending")).json["task_status"], "PENDING")
        self.assertEqual(poll(self.task("task-forever,running=RUNNING")).json["task_status"], "RUNNING")

    def test_polls_fail_as_told_and_then_succeed(self):
        task = self.task("poll-fault=status:502,poll-times=2")
        self.assertEqual([poll(task).status for _ in range(3)], [502, 502, 200])
        task = self.task()
        sim.faults({"status": 429, "retry_after": 3, "on": "task"})
        reply = poll(task)
        self.assertEqual((reply.status, reply.headers["retry-after"]), (429, "3"))
        self.assertEqual(poll(task).status, 200)

    def test_faults_of_the_urls_are_those_of_the_submission(self):
        url = poll(self.task("url-404-once,misses=1")).json["output_images"][0]
        with self.assertRaises(urllib.error.HTTPError) as raised:
            picture_at(url)
        raised.exception.close()
        self.assertTrue(picture_at(url).startswith(b"\x89PNG"))


class Models(Case):
    def test_models_are_listed(self):
        self.assertEqual({m["id"] for m in call("GET", "/models").json["data"]}, set(modelscope.MODELS))
        self.assertEqual(call("GET", "/images/edits").status, 404)


if __name__ == "__main__":
    unittest.main()
