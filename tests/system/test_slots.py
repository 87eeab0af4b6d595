"""A provider's concurrency over all processes: never more at once, in order, and nobody is forgotten."""
import glob
import os
import re
import signal
import struct
import time

import pytest

from support import SIM_KEY, SLOW, Request, Watch, alive, expect_error, merge, sim_config, wait_until

THREADS = 32
WORKERS = 2


def one_at_a_time(sim, **more):
    return merge(sim_config(sim), merge({
        "process": {"workers": WORKERS},
        "deadline": {"images_generations": f"{60 * SLOW}s"},
        "providers": {
            "one": {"dialect": "openai", "base_url": sim.base_url + "/v1", "api_key": SIM_KEY, "concurrency": 1},
            "two-keys": {"dialect": "openai", "base_url": sim.base_url + "/v1",
                         "api_keys": ["sk-sim-a", "sk-sim-b"], "concurrency": 1},
        },
        "models": {"one": {"provider": "one", "upstream_model": "gpt-image-1"},
                   "two-keys": {"provider": "two-keys", "upstream_model": "gpt-image-1"}},
    }, more))


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def easel(request, start_easel, sim):
    url = "sqlite:easel.db" if request.param == "sqlite" else request.getfixturevalue("redis")
    return start_easel(one_at_a_time(sim, store={"url": url}))


@pytest.fixture
def watch(sim):
    sim.reset()
    yield Watch(sim)
    sim.reset()


def caller(easel, prompt, model="one", **more):
    return Request(easel, prompt=prompt, model=model, response_format="url", **more)


def place(easel, model="one"):
    """Where one more would stand in the line; 0: it would be served at once."""
    answer = easel.generate(model=model, prompt="probe", headers={"x-easel-deadline": f"{150 * SLOW}ms"})
    if answer.status != 504:
        return 0
    found = re.search(r"place (\d+) in the line", answer.error["message"])
    return int(found.group(1)) if found else None


def prompts(watch):
    return [call["body"]["prompt"] for call in watch.requests("generate") if call["body"]["prompt"] != "probe"]


def jobs(easel):
    """Of each worker: the stages of its jobs.  1: waiting for a slot; 2, 3: at the provider."""
    found = {}
    for path in glob.glob(os.path.join(easel.state, "run/intent/images-generations.*")):
        with open(path, "rb") as f:
            data = f.read()
        _, _, size, count, pid = struct.unpack_from("QIIII", data)
        stages = [struct.unpack_from("I", data, 128 + i * size)[0] for i in range(count)]
        found[pid] = [s for s in stages if s]
    return found


def test_one_at_a_time_over_all_processes(easel, sim, watch):
    sim.defaults(delay=0.02)
    callers = [caller(easel, f"p{i}") for i in range(THREADS)]
    answers = [c.end() for c in callers]
    assert [a.status for a in answers] == [200] * THREADS
    stats = sim.stats()
    assert stats["max_in_flight"] == 1, "never two at once"
    assert stats["purchases"] == THREADS and sorted(prompts(watch)) == sorted(f"p{i}" for i in range(THREADS))
    # An intent stays until its pictures have their records.
    wait_until(lambda: all(len(j) == 0 for j in jobs(easel).values()), 10, "nothing is in hand")
    waits = sorted(float(re.search(r"wait;dur=([\d.]+)", a.header("server-timing")).group(1)) for a in answers)
    # Half of what the others took: the last one did not ask at the very moment the first one did.
    assert waits[-1] >= 0.01 * THREADS * 1000, "the wait is in the ledger"


def test_in_the_order_they_came(easel, sim, watch):
    """One holds the slot until all others stand in the line, one behind the other, in both workers."""
    sim.faults({"delay": 8 * SLOW})
    holder = caller(easel, "holder")
    wait_until(lambda: sim.stats()["in_flight"] == 1, what="the holder's call")
    callers = []
    for i in range(THREADS - 1):
        callers.append(caller(easel, f"p{i}"))
        wait_until(lambda: place(easel) == i + 2, what=f"caller {i} in the line")
    assert sim.stats()["in_flight"] == 1, "the line was not ready in time"
    assert len([j for j in jobs(easel).values() if len(j)]) == WORKERS, "both workers have somebody in the line"
    assert all(c.end().status == 200 for c in [holder, *callers])
    assert prompts(watch) == ["holder"] + [f"p{i}" for i in range(THREADS - 1)]
    assert sim.stats()["max_in_flight"] == 1


def test_each_key_has_a_slot(easel, sim, watch):
    sim.defaults(delay=0.1)
    callers = [caller(easel, f"p{i}", "two-keys") for i in range(10)]
    assert all(c.end().status == 200 for c in callers)
    assert sim.stats()["max_in_flight"] == 2
    calls = watch.requests("generate")
    used = [c["headers"]["authorization"] for c in calls]
    assert min(used.count("Bearer sk-sim-a"), used.count("Bearer sk-sim-b")) >= 3, used
    for key in set(used):  # one after the other
        mine = sorted((c["start"], c["end"]) for c in calls if c["headers"]["authorization"] == key)
        assert all(b[0] >= a[1] - 0.005 for a, b in zip(mine, mine[1:]))


def test_a_wait_until_the_deadline_buys_nothing(easel, sim, watch):
    sim.faults({"delay": 4 * SLOW})
    holder = caller(easel, "holder")
    wait_until(lambda: sim.stats()["in_flight"] == 1)
    answer = easel.generate(model="one", prompt="late", headers={"x-easel-deadline": "1s"})
    error = expect_error(answer, 504, "deadline_exceeded", stage="queue", billed=False)
    assert "waiting for a free slot at one (place 1 in the line)" in error["message"]
    assert 0.5 <= answer.seconds < 1 + SLOW
    assert answer.header("x-easel-attempts") is None
    assert holder.end().status == 200
    assert prompts(watch) == ["holder"]


def test_a_slot_comes_back_however_the_call_ends(easel, sim, watch):
    for fault in ("status=500", "status=401", "reset-before", "truncate", "not-an-image", "status=400"):
        sim.faults(fault)
        assert easel.generate(model="one").status >= 400
        assert easel.generate(model="one", headers={"x-easel-deadline": f"{3 * SLOW}s"}).status == 200
    sim.faults("silence")
    expect_error(easel.generate(model="one", headers={"x-easel-deadline": "500ms"}), 504, "deadline_exceeded", billed=True)
    assert easel.generate(model="one", headers={"x-easel-deadline": f"{3 * SLOW}s"}).status == 200


def test_no_slot_is_held_while_waiting_for_a_better_moment(easel, sim, watch):
    sim.faults({"status": 429, "retry_after": 3})
    first = caller(easel, "first")
    wait_until(lambda: prompts(watch) == ["first"])
    assert easel.generate(model="one", prompt="second").status == 200
    assert first.end().status == 200
    assert prompts(watch) == ["first", "second", "first"]


def test_a_killed_worker_gives_its_slot_back_within_a_second(easel, sim, watch):
    """The holder's worker is killed; of those in the line the ones in the other worker go on."""
    sim.faults({"delay": 30 * SLOW})
    holder = caller(easel, "holder")
    wait_until(lambda: sim.stats()["in_flight"] == 1)
    victim = wait_until(lambda: [pid for pid, stages in jobs(easel).items() if set(stages) & {2, 3}])[0]
    callers = []

    def somebody_waits_elsewhere():
        callers.append(caller(easel, f"p{len(callers)}"))
        wait_until(lambda: place(easel) == len(callers) + 1)
        # Who only asked for a place has left.
        waiting = wait_until(lambda: (lambda w: w if sum(w.values()) == len(callers) else None)(
            {pid: stages.count(1) for pid, stages in jobs(easel).items()}))
        return any(n for pid, n in waiting.items() if pid != victim)

    wait_until(somebody_waits_elsewhere, seconds=20)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not alive(victim))
    killed_at = time.monotonic()
    wait_until(lambda: [p for p in prompts(watch) if p != "holder"], what="the next one at the provider")
    assert time.monotonic() - killed_at < 1 * SLOW
    answers = [c.end() for c in callers]
    assert any(getattr(a, "status", 0) == 200 for a in answers)
    # those of the killed worker are told so, as JSON
    assert {getattr(a, "status", 0) for a in answers} <= {200, 500}, answers
    assert getattr(holder.end(), "status", 0) == 500
    assert easel.generate(model="one").status == 200
    bought = prompts(watch)
    assert len(bought) == len(set(bought)), "nothing was bought twice"
