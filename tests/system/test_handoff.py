"""Work that outlives its request: through lighttpd, with a provider that is slower than the deadline."""
import json
import sqlite3
import os
import re
import socket
import threading
import time

import pytest

from support import BUILD, SIM_KEY, SLOW, Watch, expect_error, merge, sim_config, start_sim, wait_until

DELAY = "delay=3"
MODEL = f"gpt-image-1@{DELAY}"
DEADLINE = "1500ms"
GRACE = {"deadline": {"grace": f"{30 * SLOW}s"}}


@pytest.fixture(scope="module")
def sim():
    sim = start_sim()
    yield sim
    sim.stop()


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    with socket.socket() as nowhere:  # a port whose connections nobody takes, after the first
        nowhere.bind(("127.0.0.1", 0))
        nowhere.listen(0)
        address = nowhere.getsockname()
        with socket.create_connection(address):
            yield start_easel(merge(merge(sim_config(sim, [DELAY]), GRACE), {
                "providers": {"nowhere": {"dialect": "openai", "base_url": f"http://127.0.0.1:{address[1]}/v1",
                                          "api_key": SIM_KEY, "connect_timeout": "60s"}},
                "models": {"gpt-image-1@nowhere": {"provider": "nowhere"}}}))


def task(easel, task_id):
    """Its row."""
    with sqlite3.connect(os.path.join(easel.state, "easel.db"), timeout=10) as db:
        db.row_factory = sqlite3.Row
        row = db.execute("SELECT * FROM tasks WHERE id=?", (task_id,)).fetchone()
    return dict(row) if row else None


def ended(easel, task_id):
    """Its row, once it has ended; the texts parsed."""
    row = wait_until(lambda: (lambda t: t and t["ended_ms"] and t)(task(easel, task_id)), 20, "the task ends")
    for name in ("request", "history", "progress", "result", "error"):
        row[name] = json.loads(row[name]) if row[name] else None
    return row


PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED = range(6)
TASK_ID = r"^task_[0-9a-hjkmnp-tv-z]{26}$"


def one_picture(easel, row):
    """It was stored whole; its name."""
    assert row["status"] == SUCCESS, row
    images = row["result"]["images"]
    assert len(images) == 1, row
    stored = [name for name in easel.files() if name.startswith(images[0]["id"])]
    assert len(stored) == 1, (row, easel.files())
    return stored[0]


# ---- the deadline passes ----

def test_after_the_deadline_the_work_goes_on_and_its_picture_is_kept(easel, sim):
    watch = Watch(sim)
    answer = easel.generate(model=MODEL, headers={"x-easel-deadline": DEADLINE})
    error = expect_error(answer, 504, "deadline_exceeded", billed=True, stage="provider.wait")
    assert 1.0 < answer.seconds < 2.5, answer
    assert answer.header("x-should-retry") == "false", answer
    assert re.match(TASK_ID, error["task_id"]), error
    assert f"/v1/tasks/{error['task_id']}" in error["hint"]["text"], error
    row = task(easel, error["task_id"])
    assert row["status"] == STARTED and row["dispatched"] and row["model"] == MODEL, row
    assert row["request_id"] == error["request_id"] and row["lease_until_ms"] > time.time() * 1000, row
    row = ended(easel, error["task_id"])
    one_picture(easel, row)
    assert row["request"]["prompt"] == "a panda" and row["history"][0]["outcome"] == "succeeded", row
    assert watch.one(), "one purchase"
    wait_until(lambda: any("SUCCESS after" in line for line in easel.log_lines(error["request_id"])), 5, "the log")
    lines = [line for line in easel.log_lines(error["request_id"]) if " 504 " in line]
    assert len(lines) == 1 and "code=deadline_exceeded" in lines[0], lines


def test_what_was_not_sent_in_time_is_no_task(easel, sim):
    watch = Watch(sim)
    answer = easel.generate(model="gpt-image-1@nowhere", headers={"x-easel-deadline": "500ms"})
    error = expect_error(answer, 504, "deadline_exceeded", stage="provider.connect")
    assert error["task_id"] is None and not watch.requests(), error
