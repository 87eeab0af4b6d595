"""Grok's socket has long been open when the pictures are asked for: what a task's worker finds out by then holds."""
import os
import signal
import socket
import threading
import urllib.parse

import pytest

from store_away import Locked
from support import SLOW, Watch, grok, wait_until
from tasks import create, ended

MODEL = "grok-imagine-1.0"


class Gate:
    """A way to the simulator; what that says on a connection waits until it is opened."""

    def __init__(self, sim):
        where = urllib.parse.urlsplit(sim.base_url)
        self.behind, self.opened, self.answered = (where.hostname, where.port), threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/grok/ws/imagine/listen"
        threading.Thread(target=self.let_in, daemon=True).start()

    def let_in(self):
        while True:
            try:
                front, _ = self.listener.accept()
            except OSError:
                return
            back = socket.create_connection(self.behind)
            threading.Thread(target=self.pump, args=(front, back, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(back, front, True), daemon=True).start()

    def pump(self, source, to, held):
        try:
            while data := source.recv(65536):
                if held:
                    self.answered.set()
                    self.opened.wait(60 * SLOW)
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other one has ended

    def close(self):
        self.opened.set()
        self.listener.close()


@pytest.fixture
def gate(sim):
    gate = Gate(sim)
    yield gate
    gate.close()


@pytest.fixture
def easel(start_easel, sim, gate):
    """One worker, whose handshake has an answer that stands before the gate."""
    return start_easel({"providers": {"grok": grok(sim, ws_url=gate.url)}, "models": {MODEL: {"provider": "grok"}},
                        "process": {"task-worker": {"workers": 1}}, "deadline": {"grace": f"{30 * SLOW}s"}})


def asked(watch):
    """How many pictures each socket was asked for, the oldest first."""
    return [[m["item"]["content"][0]["properties"]["num_generations"] for m in record["body"] or []
             if m["item"]["content"][0]["type"] == "input_text"] for record in watch.requests("ws")]


def begun(easel, gate):
    task = create(easel, model=MODEL)
    assert gate.answered.wait(20 * SLOW), "the handshake's answer"
    return task


def has_bought_once(easel, task, watch):
    end = ended(easel, task, 60)
    assert end["status"] == "SUCCESS" and len(end["images"]) == 1, end
    assert asked(watch) == [[], [1]], "the first socket was asked for nothing"


def test_what_the_store_does_not_take_is_not_asked_for(easel, sim, gate):
    watch, store = Watch(sim), Locked(os.path.join(easel.state, "easel.db"))
    task = begun(easel, gate)
    store.go()
    try:
        gate.opened.set()
        wait_until(lambda: any("its way cannot be written down" in line for line in easel.log().splitlines()), 20, "its try")
    finally:
        store.come()
    has_bought_once(easel, task, watch)


def test_a_worker_that_is_told_to_leave_asks_for_nothing_more(easel, sim, gate):
    watch = Watch(sim)
    task = begun(easel, gate)
    parent, = [p for p in easel.named("handlers/task-worker") if p.parent == easel.process.pid]
    worker, = [p for p in easel.named("handlers/task-worker") if p.parent == parent.pid]

    def threads():
        return len(os.listdir(f"/proc/{worker.pid}/task"))
    before = threads()
    os.kill(worker.pid, signal.SIGTERM)
    wait_until(lambda: threads() < before, 20, "it claims no more")
    gate.opened.set()
    has_bought_once(easel, task, watch)
