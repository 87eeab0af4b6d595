"""Several pictures whose process is killed, or whose client leaves, between them: what came is kept, the one in hand is
asked for by its name, the rest is asked for where it still can be, and nothing twice."""
import base64
import itertools
import os
import re
import select
import socket
import threading
import urllib.parse

import pytest

from sim.pictures import png
from store_away import Locked
from support import SLOW, Request, Watch, merge, modelscope, send_in_two, sim_config, wait_until
from tasks import kill_program

NAMED, EDIT = "Qwen/Qwen-Image@task-seconds=2", "Qwen/Qwen-Image-Edit@task-seconds=2"
SOURCE = "data:image/png;base64," + base64.b64encode(png(900302, 64, 64)).decode()
RETRY = {"x-stainless-retry-count": "1"}
LATE = {"x-easel-deadline": "500ms"}
DATABASES = itertools.count(1)
LONG = "long " * 300
MAKERS = {"/v1/images/edits": "images-edits", "/v1/images/generations": "images-generations"}


class Door:
    """A way to the simulator that shuts behind the first picture: who comes then waits outside."""

    def __init__(self, sim):
        where = urllib.parse.urlsplit(sim.base_url)
        self.behind = (where.hostname, where.port)
        self.shut, self.holds, self.full, self.opened = (threading.Event() for _ in range(4))
        self.held, self.listener = [], socket.create_server(("127.0.0.1", 0), backlog=0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.let_in, daemon=True).start()

    def let_in(self):
        while True:
            try:
                front, _ = self.listener.accept()
            except OSError:
                return
            if self.shut.is_set():
                self.holds.set()
                if not self.opened.wait(60 * SLOW):
                    return
            threading.Thread(target=self.pass_through, args=(front,), daemon=True).start()

    def pass_through(self, front):
        left = head = None  # of the picture
        with front, socket.create_connection(self.behind) as back:
            while not self.shut.is_set() or self.opened.is_set():
                for side in select.select([front, back], [], [], 0.05)[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    if side is back and left is None and b"image/png" in data:
                        head = data[:data.index(b"\r\n\r\n") + 4]
                        left = len(head) + int(re.search(rb"(?i)content-length: (\d+)", head)[1])
                    if side is back and left is not None:
                        left -= len(data)
                        # else its caller might ask for the next one here, and not outside
                        data = data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) if head else data
                        head = None
                    if left == 0 and not self.shut.is_set():
                        self.shut.set()  # before the caller has all of it
                        self.fill()
                    (front if side is back else back).sendall(data)
                    if self.shut.is_set() and not self.opened.is_set():
                        return

    def fill(self):
        """One connection is taken and held; then until none is made any more."""
        self.held.append(socket.create_connection(self.listener.getsockname()))
        self.holds.wait(60 * SLOW)
        try:
            while True:
                self.held.append(socket.create_connection(self.listener.getsockname(), timeout=0.5))
        except TimeoutError:
            self.full.set()

    def is_knocked_at(self):
        """Somebody is about to connect (SYN_SENT)."""
        port = f":{self.listener.getsockname()[1]:04X}"
        with open("/proc/net/tcp", encoding="ascii") as f:
            return any(line.split()[2].endswith(port) and line.split()[3] == "02" for line in f)

    def open(self):
        for s in self.held:
            s.close()
        self.opened.set()

    def close(self):
        self.listener.close()


def settings(sim, door=None):
    members = {} if door is None else {"base_url": door.url + "/modelscope/v1", "connect_timeout": "60s"}
    return merge(sim_config(sim), {
        "providers": {"several": {**modelscope(sim), **members}}, "models": {m: {"provider": "several"} for m in (NAMED, EDIT)},
        "deadline": {"grace": "30s"}, "store": {"task_lease": "60s" if door else "3s"}})


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def store(request):
    """A function that answers the settings of a store of an installation's own."""
    if request.param == "sqlite":
        return dict
    url = request.getfixturevalue("redis")
    return lambda: {"store": {"url": url.replace("db=0", f"db={next(DATABASES)}")}}


@pytest.fixture(scope="module")
def easel(start_easel, sim, store):
    easel = start_easel(merge(settings(sim), store()))
    yield easel
    easel.stop()
    easel.process = None


@pytest.fixture
def behind(start_easel, sim, store):
    """An installation whose way to the provider shuts behind the first picture."""
    door = Door(sim)
    try:
        easel = start_easel(merge(settings(sim, door), store()))
        yield easel, door
        easel.stop()
        easel.process = None
    finally:
        door.close()


def several(path, n, **members):
    """A request for n pictures."""
    edit = path.endswith("edits")
    return {"path": path, "n": n, "response_format": "url", "prompt": "several",
            **({"model": EDIT, "image": SOURCE} if edit else {"model": NAMED}), **members}


def again(easel, headers=RETRY, **members):
    """The answer of its program, once that is there again."""
    def look():
        answer = easel.generate(headers=headers, timeout=100, **members)
        return answer if answer.status < 500 or answer.error["code"] not in ("handler_crashed", "handler_down") else None
    answer = wait_until(look, 20, "its program")
    assert answer.header("idempotent-replayed") == "true", answer
    return answer


def purchases(watch):
    return [r for r in watch.requests("generate") if r["purchase"]]


def has_a_name(watch, n):
    """The n-th picture is being made, and its name is known here."""
    wait_until(lambda: len(purchases(watch)) == n, 30, "the purchases")
    polls = len(watch.requests("task"))
    wait_until(lambda: len(watch.requests("task")) > polls, 10, "the last one's name has come")


def are_there(easel, pictures, n):
    urls = {p["url"] for p in pictures}
    assert len(urls) == n and all(easel.stored(url)[:4] == b"\x89PNG" for url in urls), pictures


def ended(easel, path):
    return wait_until(lambda: (lambda t: t["status"] in ("SUCCESS", "FAILURE", "REVOKED") and t)(easel.get(path).json), 40, "its end")


def lacks(error, came, n, party="gateway"):
    assert error["code"] == "images_incomplete" and error["party"] == party, error
    assert error["may_have_been_billed"] is True and f"Expected {n} images, but {came} came." in error["message"], error


# ---- the one in hand has a name ----

@pytest.mark.parametrize("asked_before", [1, 2])
@pytest.mark.parametrize("key", [{"Idempotency-Key": "k"}, {}])
def test_those_that_came_are_kept_and_the_rest_follows(easel, sim, asked_before, key):
    members = several("/v1/images/generations", 3, prompt=f"rest {asked_before} {key}")
    key = {k: f"rest-{asked_before}" for k in key}
    watch = Watch(sim)
    first = Request(easel, headers=key, **members)
    has_a_name(watch, asked_before)
    kill_program(easel, "images-generations")
    first.join()
    answer = again(easel, key or RETRY, **members)
    assert answer.status == 200, answer
    are_there(easel, answer.json["data"], 3)
    assert len(purchases(watch)) == 3


REMNANTS = [several("/v1/images/edits", 2), several("/v1/images/generations", 2, prompt=LONG)]


@pytest.mark.parametrize("members", REMNANTS, ids=["edit", "long prompt"])
@pytest.mark.parametrize("asked_before", [1, 2])
def test_what_cannot_be_asked_for_again_is_told_as_missing(easel, sim, members, asked_before):
    """The pictures that an edit starts from, or the end of a long prompt, went with the process."""
    members = {**members, "prompt": f"{asked_before} {members['prompt']}"}
    watch = Watch(sim)
    first = Request(easel, **members)
    has_a_name(watch, asked_before)
    kill_program(easel, MAKERS[members["path"]])
    first.join()
    answer = again(easel, **members)
    if asked_before == 2:
        assert answer.status == 200, answer
        are_there(easel, answer.json["data"], 2)
    else:
        assert answer.status == 502, answer
        lacks(answer.error, 1, 2)
        are_there(easel, answer.error["images"], 1)
    assert len(purchases(watch)) == asked_before
    # Its end is one: who asks once more is told the same.
    assert again(easel, **members).status == answer.status
    assert len(purchases(watch)) == asked_before


@pytest.mark.parametrize("asked_before", [1, 2])
@pytest.mark.parametrize("headers", [{"Prefer": "respond-async"}, LATE], ids=["async", "late"])
def test_an_edit_that_was_handed_off(easel, sim, asked_before, headers):
    members = several("/v1/images/edits", 2, prompt=f"handed off {asked_before} {headers}")
    watch = Watch(sim)
    answer = easel.generate(headers=headers, **members)
    path = "/v1/tasks/" + (answer.json["id"] if answer.status == 202 else answer.error["task_id"])
    has_a_name(watch, asked_before)
    kill_program(easel, "images-edits")
    task = ended(easel, path)
    are_there(easel, task["images"], asked_before)
    if asked_before == 2:
        assert task["status"] == "SUCCESS", task
    else:
        lacks(task["error"], 1, 2)
    assert len(purchases(watch)) == asked_before


@pytest.mark.parametrize("headers", [{"Prefer": "respond-async"}, LATE], ids=["async", "late"])
def test_chat_that_was_handed_off_is_gone_on_with_as_it_was_asked_for(easel, sim, headers):
    watch, parameters = Watch(sim), {"negative_prompt": "a bear", "size": "512x512", "steps": 7, "guidance": 4.5}
    answer = easel.post("/v1/chat/completions", {"model": NAMED, "n": 2, "messages": [{"role": "user", "content": "a panda"}],
                                                 "output_format": "jpeg", **parameters}, headers)
    path = "/v1/tasks/" + (answer.json["id"] if answer.status == 202 else answer.error["task_id"])
    has_a_name(watch, 1)
    kill_program(easel, "chat-completions")
    task = ended(easel, path)
    assert task["status"] == "SUCCESS" and len(task["images"]) == 2, task
    assert all(easel.stored(p["url"])[:3] == b"\xff\xd8\xff" for p in task["images"]), task
    sent = [r["body"] for r in purchases(watch)]
    assert sent == [{"model": NAMED, "prompt": "a panda", **parameters}] * 2


def test_what_its_client_left_is_told_as_missing(easel, sim):
    """Who leaves gets no further picture made, and who tries again what came."""
    members = several("/v1/images/generations", 2, prompt="left")
    watch = Watch(sim)
    client = send_in_two(easel, members["path"], {k: v for k, v in members.items() if k != "path"})
    has_a_name(watch, 1)
    client.close()
    wait_until(lambda: "the client has left" in easel.log(), 10)
    answer = again(easel, **members)
    assert answer.status == 502, answer
    lacks(answer.error, 1, 2, "client")
    are_there(easel, answer.error["images"], 1)
    task = ended(easel, "/v1/tasks/" + answer.error["task_id"])
    lacks(task["error"], 1, 2, "client")
    are_there(easel, task["images"], 1)
    assert len(purchases(watch)) == 1


# ---- nobody dies, but the store is away when the next one is to be asked for ----

@pytest.mark.parametrize("handed_off", [False, True], ids=["task", "handed off"])
def test_what_the_store_could_not_be_told_of_is_told_as_missing(start_easel, sim, handed_off):
    easel = start_easel(merge(settings(sim), {"store": {"task_lease": "60s"}}))
    away = Locked(os.path.join(easel.state, "easel.db"))
    watch = Watch(sim)
    members = {"model": NAMED, "prompt": f"away between {handed_off}", "n": 2}
    answer = easel.generate(headers={"Prefer": "respond-async"}, response_format="url", **members) if handed_off \
        else easel.post("/v1/tasks", members)
    has_a_name(watch, 1)
    away.go()
    try:
        wait_until(lambda: "images_incomplete" in easel.log(), 40, "the second one is given up")
    finally:
        away.come()
    task = ended(easel, "/v1/tasks/" + answer.json["id"])
    lacks(task["error"], 1, 2)
    are_there(easel, task["images"], 1)
    assert len(purchases(watch)) == 1
    easel.stop()
    easel.process = None


# ---- nothing is in hand: the rest had not left ----

def between(easel, door, run):
    """The first picture is there, the second one's request stands before the door; then its process dies."""
    wait_until(door.full.is_set, 20, "the first picture")
    wait_until(door.is_knocked_at, 20, "the second one's attempt")
    kill_program(easel, run)
    door.open()


def test_the_rest_of_a_task_is_asked_for_and_what_came_is_not(behind, sim):
    easel, door = behind
    watch = Watch(sim)
    path = "/v1/tasks/" + easel.post("/v1/tasks", {"model": NAMED, "prompt": "two", "n": 2}).json["id"]
    between(easel, door, "task-worker")
    task = ended(easel, path)
    assert task["status"] == "SUCCESS", task
    are_there(easel, task["images"], 2)
    assert len(purchases(watch)) == 2


def test_the_rest_of_a_request_is_asked_for_and_what_came_is_not(behind, sim):
    easel, door = behind
    watch = Watch(sim)
    members = several("/v1/images/generations", 2)
    first = Request(easel, **members)
    between(easel, door, "images-generations")
    first.join()
    answer = again(easel, **members)
    assert answer.status == 200, answer
    are_there(easel, answer.json["data"], 2)
    assert len(purchases(watch)) == 2


@pytest.mark.parametrize("handed_off", [False, True])
def test_the_rest_of_an_edit_is_told_as_missing(behind, sim, handed_off):
    easel, door = behind
    watch = Watch(sim)
    members = several("/v1/images/edits", 2)
    if handed_off:
        path = "/v1/tasks/" + easel.generate(headers={"Prefer": "respond-async"}, **members).json["id"]
        between(easel, door, "images-edits")
        task = ended(easel, path)
        lacks(task["error"], 1, 2)
        are_there(easel, task["images"], 1)
    else:
        first = Request(easel, **members)
        between(easel, door, "images-edits")
        first.join()
        answer = again(easel, **members)
        assert answer.status == 502, answer
        lacks(answer.error, 1, 2)
        are_there(easel, answer.error["images"], 1)
    assert len(purchases(watch)) == 1
