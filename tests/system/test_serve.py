"""`easel serve`: who is started, who may touch what, who is restarted, and what a kill costs."""
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import threading
import time

import pytest

from support import (EASEL, SLOW, Easel, Watch, adopt_orphans, alive, descendants, expect_error, merge, request,
                     sim_config, wait_until)

PROGRAMS = ("images-generations", "images-edits", "chat-completions", "models", "images", "login", "health", "fallback",
            "task-create", "task-status", "task-worker")
SECRET = "sk-sim-ServeTestProviderSecret0123456789"


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    config = sim_config(sim, faults=("delay=1", "delay=3"))
    config["providers"]["sim"]["api_key"] = "${SIM_KEY}"
    return start_easel(merge(config, {"process": {"workers": 2}}), env={"SIM_KEY": SECRET})


def generate(easel, model="gpt-image-1", **more):
    return easel.generate(model=model, response_format="url", **more)


class Load:
    """Requests that go on beside a test, each on a thread of its own; answers in .answers."""

    def __init__(self, call, threads, times):
        self.answers, self.threads = [], []
        for _ in range(threads):
            self.threads.append(threading.Thread(target=self.work, args=(call, times)))
        for t in self.threads:
            t.start()

    def work(self, call, times):
        for _ in range(times):
            try:
                self.answers.append(call())
            except OSError as error:
                self.answers.append(error)

    def join(self):
        for t in self.threads:
            t.join()
        return self.answers


def is_good(answer):
    return getattr(answer, "status", None) == 200


# ---- what is there ----

def test_each_program_has_a_parent_and_its_workers(easel):
    for program in PROGRAMS:
        wait_until(lambda: len(workers(easel, program)) == 2, 5, f"two workers of {program}")
        assert len(easel.named("handlers/" + program)) == 3, "and their parent"


def test_the_sockets_are_the_owners_alone(easel):
    sockets = [os.path.join(folder, name) for folder, _, names in os.walk(easel.state) for name in names
               if stat.S_ISSOCK(os.lstat(os.path.join(folder, name)).st_mode)]
    assert len(sockets) >= len(PROGRAMS) - 1, sockets  # task-worker listens nowhere
    for path in sockets:
        mode = stat.S_IMODE(os.lstat(path).st_mode)
        assert mode == 0o600, f"{path}: {mode:o}"
        assert any(p in path for p in PROGRAMS), path


def test_no_secret_in_any_process(easel):
    """Neither in a command line nor in an environment; `serve` overwrote its own copy."""
    assert generate(easel).status == 200
    key = easel.key.encode()
    for p in [*easel.tree(), *[q for q in [_process(easel.process.pid)] if q]]:
        for what in ("environ", "cmdline"):
            data = p.read(what)
            assert SECRET.encode() not in data and key not in data, f"{what} of {p}"


def _process(pid):
    from support import Process
    return Process(pid)


def test_no_secret_in_the_log_or_in_generated_files(easel):
    generate(easel)
    expect_error(easel.get("/v1/models", key="sk-easel-wrong" + "A" * 35), 401, "invalid_api_key")
    easel.get(f"/v1/models?api_key={easel.key}", key=False)
    log = easel.log()
    assert SECRET not in log and easel.key not in log and "sk-easel-wrong" not in log
    for folder, _, names in os.walk(easel.state):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    data = f.read()
                assert SECRET.encode() not in data and easel.key.encode() not in data, path


def test_health_and_readiness(easel):
    for path in ("/healthz", "/readyz"):
        answer = easel.get(path, key=False)
        assert answer.status == 200 and answer.header("x-request-id"), answer


def test_metrics_need_their_scope(easel):
    expect_error(easel.get("/metrics"), 403, "insufficient_scope")


def test_the_first_answer_comes_soon_after_the_start(start_easel):
    easel = Easel(start=False)
    try:
        start = time.monotonic()
        easel.start()
        assert request(easel.url, "GET", "/healthz").status == 200
        took = time.monotonic() - start
        assert took < 1 * SLOW, f"{took * 1000:.0f} ms"
    finally:
        easel.stop()
        easel.kill()


def test_a_second_serve_on_the_same_state_is_refused(easel):
    done = subprocess.run([EASEL, "serve", "--config", easel.file], capture_output=True, text=True,
                          env=easel.env, timeout=20 * SLOW)
    assert done.returncode != 0 and "ready" not in done.stdout
    assert re.search(r"already|another|in use", done.stderr), done.stderr
    assert generate(easel).status == 200, "and the first one does not notice"


def test_a_port_that_is_taken_is_said(easel):
    port = easel.url.rsplit(":", 1)[1]
    other = Easel({"server": {"listen": f"127.0.0.1:{port}"}}, start=False)
    try:
        done = subprocess.run([EASEL, "serve", "--config", other.file], capture_output=True, text=True,
                              env=other.env, timeout=20 * SLOW)
        assert done.returncode != 0 and "ready" not in done.stdout
        assert port in done.stderr, done.stderr
    finally:
        other.kill()


def test_requests_are_answered_as_plain_cgi_too(easel):
    """The same executable, started without a listening socket."""
    from support import BUILD
    env = {**easel.env, "EASEL_CONFIG": easel.file, "REQUEST_METHOD": "GET", "REQUEST_URI": "/v1/models",
           "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_NAME": "/v1/models",
           "HTTP_AUTHORIZATION": f"Bearer {easel.key}", "QUERY_STRING": "", "SIM_KEY": SECRET}
    done = subprocess.run([f"{BUILD}/handlers/models"], env=env, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=20 * SLOW)
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"Status: 200") and json.loads(body)["object"] == "list"


# ---- kill -9 ----

def victims(easel):
    """Every kind of process there is: (what, a function that answers its pid)."""
    yield "lighttpd", lambda: next(p.pid for p in easel.tree() if p.name == "lighttpd")
    for program in PROGRAMS:
        def parent(program=program):
            of_it = easel.named("handlers/" + program)
            pids = {p.pid for p in of_it}
            return next(p.pid for p in of_it if p.parent not in pids)

        def worker(program=program):
            of_it = easel.named("handlers/" + program)
            pids = {p.pid for p in of_it}
            return next(p.pid for p in of_it if p.parent in pids)

        yield f"the parent of {program}", parent
        yield f"a worker of {program}", worker


VICTIMS = ["lighttpd", *(f"{who} of {p}" for p in PROGRAMS for who in ("the parent", "a worker"))]


@pytest.mark.parametrize("what", VICTIMS)
def test_after_a_kill_the_next_request_is_answered(easel, what):
    pid = dict(victims(easel))[what]()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 5)

    def served():
        """The web server itself may be away for a moment; a program may not."""
        try:
            return easel.get("/v1/models")
        except OSError:
            assert what == "lighttpd"
            return None

    answer = wait_until(served, 5, "an answer")
    assert answer.status == 200, answer
    assert generate(easel).status == 200
    assert request(easel.url, "GET", "/healthz").status == 200
    assert easel.get("/v1/nothing").status == 404
    wait_until(lambda: all(len(easel.named("handlers/" + p)) == 3 for p in PROGRAMS), 10,
               "every program has its parent and two workers again")


def test_when_serve_is_killed_nothing_is_left(start_easel, sim):
    adopt_orphans()
    easel = Easel(sim_config(sim))
    try:
        tree = wait_until(lambda: len(easel.tree()) > len(PROGRAMS) * 3 and easel.tree(), 10, "the workers")
        assert len(tree) > len(PROGRAMS) * 3  # serve, the web server, and a parent with two workers each
        easel.process.kill()
        easel.process.wait()
        wait_until(lambda: not any(map(alive, tree)), 3, "all of it has ended")
        with pytest.raises(OSError):
            request(easel.url, "GET", "/healthz")
        # and it starts again on what the dead one left
        easel.start()
        assert easel.get("/v1/models").status == 200
        easel.stop()
    finally:
        easel.kill()


def test_a_killed_worker_takes_only_its_own_requests_along(easel, sim):
    """Under load: the others' answers are whole, the next ones succeed, the lost ones are said."""
    watch, before = Watch(sim), set(unknown_jobs(easel))
    load = Load(lambda: generate(easel, "gpt-image-1@delay=1"), threads=16, times=2)
    workers = wait_until(lambda: busy_workers(easel), 10, "a worker with requests in hand")
    victim = workers[0]
    os.kill(victim, signal.SIGKILL)
    answers = load.join()
    good = [a for a in answers if is_good(a)]
    lost = [a for a in answers if not is_good(a)]
    assert len(answers) == 32
    assert lost, "the victim had requests in hand"
    assert len(lost) <= 16 and len(good) >= 16, answers
    for answer in lost:
        # what the web server says when a program ends in the middle
        error = expect_lost(answer)
        assert error["code"] in ("handler_crashed", "handler_down")
    for answer in good:
        assert easel.stored(answer.json["data"][0]["url"]).startswith(b"\x89PNG")
    assert generate(easel).status == 200
    # What the provider had been asked for ends as a row and a line; what had not got so far need not.
    def jobs():
        asked = sum(r["aborted"] for r in watch.requests("generate"))
        found = set(unknown_jobs(easel)) - before
        return found if found and asked <= len(found) <= len(lost) else None

    for request_id in wait_until(jobs, 10, f"a row for each job of the dead, at most {len(lost)}"):
        line = wait_until(lambda: [l for l in easel.log_lines(request_id) if "outcome_unknown" in l], 5,
                          f"a line about {request_id}")
        assert len(line) == 1, line


def expect_lost(answer):
    assert answer.status in (500, 503), answer
    assert answer.header("content-type").startswith("application/json"), answer
    assert answer.header("x-request-id"), answer
    return answer.error


def busy_workers(easel):
    """Workers of images-generations with a connection to the simulator, the busiest first."""
    of_it = easel.named("handlers/images-generations")
    pids = {p.pid for p in of_it}
    count = {}
    for p in of_it:
        if p.parent in pids:
            try:
                count[p.pid] = sum(os.readlink(f"/proc/{p.pid}/fd/{fd}").startswith("socket:")
                                   for fd in os.listdir(f"/proc/{p.pid}/fd"))
            except OSError:
                pass
    busy = sorted((pid for pid in count if count[pid] >= 8), key=lambda pid: -count[pid])
    return busy


def unknown_jobs(easel):
    store = sqlite3.connect(f"file:{easel.state}/easel.db?mode=ro", uri=True)
    try:
        columns = [row[1] for row in store.execute("PRAGMA table_info(jobs)")]
        assert "request_id" in columns and "outcome" in columns, columns
        return [r for r, in store.execute("SELECT request_id FROM jobs WHERE outcome = 'outcome_unknown'")]
    finally:
        store.close()


# ---- the end ----

def test_sigterm_lets_a_request_finish(sim):
    easel = Easel(merge(sim_config(sim, faults=("delay=1",)), {"process": {"drain": "10s"}}))
    try:
        load = Load(lambda: generate(easel, "gpt-image-1@delay=1"), threads=4, times=1)
        wait_until(lambda: busy(sim) >= 4, 10, "four requests at the provider")
        easel.process.send_signal(signal.SIGTERM)
        answers = load.join()
        assert all(is_good(a) for a in answers), answers
        assert easel.process.wait(timeout=10 * SLOW) == 0
        assert not descendants(easel.process.pid)
    finally:
        easel.process.stdout.close()
        easel.kill()


def test_sigterm_does_not_wait_longer_than_the_drain(sim):
    easel = Easel(merge(sim_config(sim, faults=("silence",)), {"process": {"drain": "1s"}}))
    try:
        load = Load(lambda: generate(easel, "gpt-image-1@silence", timeout=20), threads=2, times=1)
        wait_until(lambda: busy(sim) >= 2, 10, "two requests at the provider")
        tree, start = easel.tree(), time.monotonic()
        easel.process.send_signal(signal.SIGTERM)
        assert easel.process.wait(timeout=15 * SLOW) == 0
        assert time.monotonic() - start < 6 * SLOW
        assert not [p for p in tree if alive(p)]
        assert not any(is_good(a) for a in load.join())
    finally:
        easel.kill()


def busy(sim):
    return sim.stats()["in_flight"]


def test_sigterm_right_after_the_start_is_not_lost():
    """Programs and workers are still on their way then: the signal must find each of them."""
    for _ in range(10):
        easel = Easel(start=False)
        try:
            easel.start()
            assert request(easel.url, "GET", "/healthz").status == 200
            start = time.monotonic()
            easel.stop()
            assert time.monotonic() - start < 5 * SLOW
        finally:
            easel.kill()


def test_sigint_ends_it_like_sigterm():
    easel = Easel()
    tree = easel.tree()
    try:
        easel.process.send_signal(signal.SIGINT)
        assert easel.process.wait(timeout=15 * SLOW) == 0
        assert not [p for p in tree if alive(p)]
    finally:
        easel.kill(tree)


# ---- retiring, shedding, deadlines ----

def test_workers_retire_under_load_and_no_request_notices(start_easel, sim):
    easel = start_easel(merge(sim_config(sim), {"process": {"max_requests": 5, "workers": 2}}))
    first = workers(easel)
    seen = set(first)

    def several_generations_of_workers():
        answers = Load(lambda: generate(easel), threads=8, times=5).join()
        assert all(is_good(a) for a in answers), [a for a in answers if not is_good(a)][:3]
        seen.update(workers(easel))
        return len(seen) >= 8 and not first & workers(easel)

    wait_until(several_generations_of_workers, 20, "new workers in the place of all old ones, again and again")


def workers(easel, program="images-generations"):
    of_it = easel.named("handlers/" + program)
    pids = {p.pid for p in of_it}
    return {p.pid for p in of_it if p.parent in pids}


def test_workers_retire_by_age(start_easel):
    easel = start_easel({"process": {"max_age": "1s", "workers": 1}})
    first = {p.pid for p in easel.named("handlers/models")}
    wait_until(lambda: {p.pid for p in easel.named("handlers/models")} - first, 10, "a new worker")
    assert easel.get("/v1/models").status == 200


def test_load_beyond_the_limit_is_shed_with_503(start_easel, sim):
    easel = start_easel(merge(sim_config(sim, faults=("delay=3",)), {
        "process": {"images-generations": {"workers": 1, "max_in_flight": 2}}}))
    load = Load(lambda: generate(easel, "gpt-image-1@delay=3"), threads=24, times=1)
    answers = load.join()
    good, shed = [a for a in answers if is_good(a)], [a for a in answers if not is_good(a)]
    assert len(good) >= 2 and shed, answers
    for answer in shed:
        expect_error(answer, 503, "overloaded", party="gateway")
        assert int(answer.header("retry-after")) >= 1
        assert answer.seconds < 3 * SLOW, "it is told at once"
    assert generate(easel).status == 200
    assert easel.get("/v1/models").status == 200


@pytest.mark.parametrize("how", ["header", "config"])
def test_the_deadline_is_kept(start_easel, sim, how):
    config = sim_config(sim, faults=("silence",))
    if how == "config":
        config = merge(config, {"deadline": {"images_generations": "2s"}})
    easel = start_easel(config)
    headers = {"x-easel-deadline": "2s"} if how == "header" else {}
    answer = generate(easel, "gpt-image-1@silence", headers=headers)
    error = expect_error(answer, 504, "deadline_exceeded", stage="provider.wait", billed=True)
    assert answer.header("x-should-retry") == "false"
    assert 1.5 <= answer.seconds <= 3 * SLOW, answer.seconds
    assert "2 s" in error["message"] or "2s" in error["message"]


def test_the_header_shortens_and_never_lengthens(start_easel, sim):
    easel = start_easel(merge(sim_config(sim, faults=("silence",)),
                              {"deadline": {"images_generations": "1s"}}))
    answer = generate(easel, "gpt-image-1@silence", headers={"x-easel-deadline": "30s"})
    expect_error(answer, 504, "deadline_exceeded", billed=True)
    assert answer.seconds < 2 * SLOW
