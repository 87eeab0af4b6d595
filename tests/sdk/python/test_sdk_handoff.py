"""What outlives its request, through both official SDKs with their default settings: they retry twice by themselves."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse

import pytest

from sim.pictures import png
from support import ROOT, SLOW, Watch, merge, sim_config, wait_until

DELAY = "delay=3"
MODEL = f"gpt-image-1@{DELAY}"
SDKS = {"python": [sys.executable, f"{ROOT}/tests/sdk/python/ask.py"], "node": ["node", f"{ROOT}/tests/sdk/node/ask.mjs"]}
KINDS = ("images", "stream", "edit", "chat")
AGAIN = {"x-stainless-retry-count": "1"}


def config(sim, **more):
    return merge(merge(sim_config(sim, [DELAY]), {"deadline": {"grace": f"{30 * SLOW}s"}}), more)


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    """Its deadline is shorter than the provider takes."""
    routes = ("images_generations", "images_edits", "chat_completions")
    return start_easel(config(sim, deadline=dict.fromkeys(routes, "1500ms"), server={"stream_keep_alive": "500ms"}))


@pytest.fixture(scope="module")
def patient(start_easel, sim):
    """Its deadline is long enough; what is in front of it is not as patient."""
    return start_easel(config(sim))


@pytest.fixture(params=sorted(SDKS))
def sdk(request):
    return SDKS[request.param]


def start(sdk, easel, base_url=None, **request):
    if request["kind"] == "edit":
        request["image"] = os.path.join(easel.folder, "a.png")
        with open(request["image"], "wb") as f:
            f.write(png(900201, 64, 48))
    text = json.dumps({"model": MODEL, "prompt": "a panda", **request})
    return subprocess.Popen([*sdk, f"{base_url or easel.url}/v1", easel.key_file, text], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


def ask(sdk, easel, base_url=None, **request):
    """What the client says when it has ended."""
    process = start(sdk, easel, base_url, **request)
    out, err = process.communicate(timeout=60 * SLOW)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def bought(watch):
    return len(watch.requests("generate")) + len(watch.requests("edit"))


def is_stored(easel, url):
    return easel.stored(url)[:4] == b"\x89PNG"


# ---- the deadline passes ----

@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_provider_is_paid_once_and_the_picture_is_the_one_of_the_task_that_the_504_names(easel, sim, sdk, kind):
    watch = Watch(sim)
    said = ask(sdk, easel, kind=kind, prompt=f"slow {kind} {os.path.basename(sdk[-1])}")
    assert said["error"] == "deadline_exceeded" and said.get("status") == (None if kind == "stream" else 504), said
    assert said["task"]["status"] == "SUCCESS" and len(said["task"]["urls"]) == 1, said
    assert is_stored(easel, said["task"]["urls"][0])
    assert bought(watch) == 1, "one purchase"


# ---- a front that is less patient ----

class Front:
    """A TCP proxy that gives up on the first `times` POSTs after so many seconds; `how` it tells the client."""

    def __init__(self, url, how, seconds, times=1):
        where = urllib.parse.urlsplit(url)
        self.to, self.how, self.seconds, self.left = (where.hostname, where.port), how, seconds, times
        self.posts, self.lock, self.open = 0, threading.Lock(), []
        self.deaf = set()  # clients that get nothing of the answer any more
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(self.to)
            self.open += [client, server]
            threading.Thread(target=self.up, args=(client, server), daemon=True).start()
            threading.Thread(target=self.copy, args=(server, client), daemon=True).start()

    def copy(self, source, to):
        try:
            while data := source.recv(65536):
                if to not in self.deaf:
                    to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def up(self, client, server):
        try:
            while data := client.recv(65536):
                if data.startswith(b"POST "):
                    with self.lock:
                        self.posts += 1
                        gives_up, self.left = self.left > 0, self.left - 1
                    if gives_up:
                        self.deaf.add(client)
                        threading.Timer(self.seconds, self.give_up, (client, server)).start()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def give_up(self, client, server):
        try:
            if self.how == "answers 504":
                client.sendall(b"HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/html\r\nContent-Length: 6\r\n"
                               b"Connection: close\r\n\r\n<html>")
            client.shutdown(socket.SHUT_RDWR)
            if self.how != "cuts one side":
                server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the test has ended before

    def close(self):
        self.listener.close()
        for s in self.open:
            s.close()


@pytest.fixture
def front():
    fronts = []

    def make(*arguments):
        fronts.append(Front(*arguments))
        return fronts[-1]
    yield make
    for f in fronts:
        f.close()


@pytest.mark.parametrize("how", ["cuts both sides", "cuts one side", "answers 504"])
@pytest.mark.parametrize("seconds, times", [(0.5, 1), (1.5, 1), (0.7, 2)])
def test_a_front_that_cuts_the_connection_costs_nothing_more_because_the_sdks_retry_joins(
        patient, sim, sdk, front, how, seconds, times):
    watch, before = Watch(sim), front(patient.url, how, seconds, times)
    said = ask(sdk, patient, before.url, kind="images", prompt=f"cut {how} {seconds} {times} {os.path.basename(sdk[-1])}")
    assert before.posts == times + 1, "the SDK has tried again"
    assert len(said["urls"]) == 1 and is_stored(patient, said["urls"][0]), said
    assert bought(watch) == 1, "one purchase"


@pytest.mark.parametrize("kind", ["stream", "edit", "chat"])
def test_other_requests_that_are_cut_off_are_joined_too(patient, sim, sdk, front, kind):
    watch, before = Watch(sim), front(patient.url, "cuts both sides", 1)
    said = ask(sdk, patient, before.url, kind=kind, prompt=f"cut {kind} {os.path.basename(sdk[-1])}")
    assert before.posts == 2, "the SDK has tried again"
    assert len(said["urls"]) == 1 and is_stored(patient, said["urls"][0]), said
    assert bought(watch) == 1, "one purchase"


def test_a_retry_whose_own_deadline_passes_is_told_the_task_of_the_first(easel, sim, sdk, front):
    watch, before = Watch(sim), front(easel.url, "cuts both sides", 0.4)
    said = ask(sdk, easel, before.url, kind="images", prompt=f"cut and late {os.path.basename(sdk[-1])}")
    assert said["error"] == "deadline_exceeded" and said["task"]["status"] == "SUCCESS", said
    assert is_stored(easel, said["task"]["urls"][0]) and bought(watch) == 1, said


# ---- the client is killed ----

def kill_in_the_middle(sdk, easel, watch, **request):
    process = start(sdk, easel, **request)
    wait_until(lambda: bought(watch) == 1, 20, "the purchase")
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_who_repeats_what_a_killed_client_asked_for_gets_its_picture(patient, sim, sdk):
    watch, prompt = Watch(sim), f"killed {os.path.basename(sdk[-1])}"
    kill_in_the_middle(sdk, patient, watch, kind="images", prompt=prompt)
    said = patient.generate(AGAIN, model=MODEL, prompt=prompt, response_format="url")
    assert said.status == 200 and said.header("idempotent-replayed") == "true", said
    assert is_stored(patient, said.json["data"][0]["url"]) and bought(watch) == 1


def test_what_a_killed_client_asked_for_is_in_the_list_of_tasks_when_it_takes_longer_than_its_deadline(easel, sim, sdk):
    watch, prompt = Watch(sim), f"killed and late {os.path.basename(sdk[-1])}"
    before = {t["id"] for t in easel.get("/v1/tasks?limit=100").json["data"]}
    kill_in_the_middle(sdk, easel, watch, kind="images", prompt=prompt)

    def found():
        return [t for t in easel.get("/v1/tasks?limit=1").json["data"] if t["id"] not in before and t["ended"]]
    task, = wait_until(found, 20, "the task's end")
    assert is_stored(easel, task["images"][0]["url"]) and bought(watch) == 1, task
    picture, = wait_until(lambda: [p for p in easel.get("/v1/images").json["data"] if p["prompt"] == prompt], 10, "its record")
    assert picture["task_id"] == task["id"] and picture["url"] == task["images"][0]["url"], picture


# ---- tasks ----

@pytest.mark.parametrize("how", ["cuts one side", "answers 504"])
def test_a_task_whose_answer_was_lost_is_not_made_twice(patient, sim, sdk, front, how):
    """The front gives up before the answer comes; the task is taken in all the same."""
    watch, before = Watch(sim), front(patient.url, how, 0.3)
    tasks = len(patient.get("/v1/tasks?limit=100").json["data"])
    said = ask(sdk, patient, before.url, kind="task", model="gpt-image-1", prompt=f"task {how} {os.path.basename(sdk[-1])}")
    assert before.posts == 2, "the SDK has tried again"
    assert said["task"]["status"] == "SUCCESS" and is_stored(patient, said["task"]["urls"][0]), said
    assert bought(watch) == 1 and len(patient.get("/v1/tasks?limit=100").json["data"]) == tasks + 1
