"""How tasks end that nothing goes well with, and what is left of those that have ended."""
import os
import re
import sqlite3
import subprocess
import time
import urllib.parse

import pytest

from sse import Stream
from support import Watch, expect_error, merge, wait_until
from tasks import create, ended, faulty, kill_program, kill_workers, read, with_store

BUSY = "status=429,retry-after=1"
NAMED = "Qwen/Qwen-Image@task-seconds=6"


def installation(request, start_easel, sim, over, database=0):
    return start_easel(merge(with_store(request, faulty(sim), database), merge({
        "models": {f"gpt-image-1@{f}": {"provider": "sim"} for f in (BUSY, "sse-hold", "delay=4", "delay=20")},
        "providers": {"sim": {"concurrency": 1}}}, over)))


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def easel(request, start_easel, sim):
    return installation(request, start_easel, sim, {"store": {"task_lease": "3s", "keep_tasks": "1h"}})


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def short(request, start_easel, sim):
    """Little time for everything."""
    return installation(request, start_easel, sim, {
        "deadline": {"task_run": "2s", "grace": "5s"}, "store": {"keep_tasks": "1s"}, "auth": {"session_ttl": "1s"}}, 1)


class Held:
    """The provider's only slot, taken by a synchronous request until the end of the block."""

    def __init__(self, easel, sim):
        self.sim, self.watch = sim, Watch(sim)
        self.stream = Stream(easel, model="gpt-image-1@sse-hold", partial_images=1)

    def __enter__(self):
        wait_until(lambda: self.watch.requests("generate"), 20, "the call that holds the slot")
        return self

    def __exit__(self, *_):
        self.sim.release()
        self.stream.rest()
        self.stream.close()


# ---- attempts ----

def test_a_provider_that_stays_busy_ends_a_task_after_its_attempts(easel, sim):
    watch = Watch(sim)
    task = create(easel, model=f"gpt-image-1@{BUSY}")
    seen = []

    def look():
        now = read(easel, task)
        seen.append(now)
        return now if now["ended"] else None
    end = wait_until(look, 60, "its end")
    again = [now for now in seen if now["status"] == "RETRY"]
    # Its place is asked for after its status: it may have been claimed in between.
    assert {now["queue_position"] for now in again} - {None} == {1}, again
    assert {now["progress"]["stage"] for now in again} == {"queue"}, again
    assert end["status"] == "FAILURE" and end["error"]["code"] == "upstream_rate_limited", end
    assert end["error"]["may_have_been_billed"] is False and end["error"]["task_id"] == task["id"]
    sent = watch.requests("generate")
    assert len(sent) == 9, "three claims of three attempts"
    assert [(a["n"], a["provider"], a["outcome"], a["code"]) for a in end["attempts"]] == \
        [(n, "sim", "failed", "upstream_rate_limited") for n in range(1, 10)], end["attempts"]
    assert all(b["time"] - a["time"] >= 0.9 for a, b in zip(sent, sent[1:])), "as the provider wanted it"


def test_a_request_that_became_a_task_keeps_its_attempts(easel, sim):
    """One before it became a task, one that its process died in, and the one that went on."""
    sim.faults({"status": 429, "retry_after": 2})
    watch, begun = Watch(sim), int(time.time())
    answer = easel.generate({"Prefer": "respond-async, wait=3"}, model=NAMED)
    assert answer.status == 202, answer
    wait_until(lambda: watch.requests("task"), 20, "its name has come")
    kill_program(easel, "images-generations")
    end = ended(easel, answer.json)
    assert end["status"] == "SUCCESS" and len([r for r in watch.requests("generate") if r["purchase"]]) == 1, end
    assert [(a["n"], a["provider"], a["outcome"], a["code"]) for a in end["attempts"]] == [
        (1, "modelscope", "failed", "upstream_rate_limited"), (2, "modelscope", "worker_lost", None),
        (3, "modelscope", "succeeded", None)], end["attempts"]
    # In whole seconds each.
    times = [begun, *(a["started"] for a in end["attempts"]), time.time()]
    assert times == sorted(times) and times[2] - times[1] >= 1, times


def test_a_task_that_its_workers_die_of_ends_with_its_history(easel, sim):
    """Killed three times with the task in hand, before anything was sent."""
    watch = Watch(sim)
    with Held(easel, sim):
        task = create(easel)

        def lives(deaths):
            now = read(easel, task)
            return now if len(now["attempts"]) == deaths and now["status"] == "STARTED" else None
        for deaths in range(3):
            wait_until(lambda: lives(deaths), 30, f"claim {deaths + 1}")
            kill_workers(easel)
        end = ended(easel, task, 30)
        behind = create(easel)
        assert end["status"] == "FAILURE" and end["error"]["code"] == "handler_crashed", end
        assert end["error"]["may_have_been_billed"] is False and end["error"]["party"] == "gateway"
        assert [(a["n"], a["outcome"]) for a in end["attempts"]] == [(n, "worker_lost") for n in (1, 2, 3)], end
        assert len(watch.requests("generate")) == 1, "it was never sent"
    assert ended(easel, behind)["status"] == "SUCCESS", "the next one of its line"


def test_a_line_that_takes_all_the_time_is_no_attempt(short, sim):
    def given_back():
        return [line for line in short.log_lines(task["request_id"]) if "RETRY because of deadline_exceeded" in line]

    with Held(short, sim):
        task = create(short)
        wait_until(lambda: len(given_back()) >= 2, 30, "its return to the queue, twice")
        assert all("not counted" in line for line in given_back())
        assert read(short, task)["attempts"] == []
    end = ended(short, task)
    assert end["status"] == "SUCCESS" and [a["n"] for a in end["attempts"]] == [1], end


def test_a_provider_that_takes_too_long_is_not_asked_twice(short, sim):
    watch = Watch(sim)
    task = create(short, model="gpt-image-1@delay=20")
    end = wait_until(lambda: (now := read(short, task))["ended"] and now, 30, "its end")
    assert end["status"] == "FAILURE" and end["error"]["code"] == "deadline_exceeded", end
    assert end["error"]["may_have_been_billed"] is True and "7 s ([deadline] task_run and grace)" in end["error"]["message"], end
    assert len(watch.requests("generate")) == 1


def test_what_a_provider_has_accepted_has_grace_too(short, sim):
    watch = Watch(sim)
    task = create(short, model="gpt-image-1@delay=4")
    end = wait_until(lambda: (now := read(short, task))["ended"] and now, 30, "its end")
    assert end["status"] == "SUCCESS" and len(watch.requests("generate")) == 1, end


# ---- what is left ----

def rows(easel):
    """How many rows there are, by table; with Redis the keys that have no end, by their kind."""
    url = easel.config["store"].get("url")
    if not url:
        with sqlite3.connect(os.path.join(easel.state, "easel.db")) as db:
            return {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("tasks", "sessions", "idem", "lockouts")}
    where = urllib.parse.urlsplit(url)

    def cli(*words):
        return subprocess.run(["redis-cli", "-s", where.path, "-n", where.query.removeprefix("db="), *words], check=True, capture_output=True, text=True).stdout.split()
    found = {}
    for name in cli("--scan"):
        kind = re.search(r"(?:^|:)(task|session|idem|lockout)[a-z-]*:", name)
        if kind and int(cli("PTTL", name)[0]) < 0:
            found[kind.group(1) + "s"] = found.get(kind.group(1) + "s", 0) + 1
    return found


def test_what_is_over_is_pruned_and_its_id_stays_known(short):
    """Tasks, sessions, idempotency records and counts of wrong logins."""
    short.run("users", "add", "me@example.com", stdin="correct horse battery\n")

    def log_in(password):
        return short.post("/login", {"email": "me@example.com", "password": password}, key=False)
    assert log_in("wrong horse").status == 401
    token = log_in("correct horse battery").json["token"]
    answer = short.generate(model="gpt-image-1", headers={"Idempotency-Key": "prune-1"})
    assert answer.status == 200, answer
    task = create(short)
    wait_until(lambda: short.get("/v1/tasks/" + task["id"]).status == 410, 20, "its expiry")
    wait_until(lambda: short.get("/login", key=token).status == 401, 20, "the session's end")
    if not short.config["store"].get("url"):
        with sqlite3.connect(os.path.join(short.state, "easel.db"), timeout=10) as db:
            db.execute("UPDATE idem SET expires_ms=1")
            db.execute("UPDATE lockouts SET forget_at_ms=1")
        before = rows(short)
        assert before["tasks"] and before["sessions"] and before["idem"], before
    short.run("files", "prune")
    assert not any(rows(short).values()), rows(short)
    for path in (f"/v1/tasks/{task['id']}", f"/v1/tasks/{task['id']}/events"):
        expect_error(short.get(path), 410, "expired")
    expect_error(short.request("DELETE", f"/v1/tasks/{task['id']}"), 410, "expired")
    for method, path in (("GET", "/task_status/"), ("POST", "/cancel_task/")):
        answer = short.request(method, path + task["id"])
        assert (answer.status, answer.json["code"]) == (410, "expired"), answer
    other = short.run("keys", "create", "--name", "another").stdout.strip()
    expect_error(short.get(f"/v1/tasks/{task['id']}", key=other), 404, "not_found")
    assert short.get("/v1/tasks").json["data"] == []
