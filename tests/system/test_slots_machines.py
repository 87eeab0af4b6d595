"""A provider's concurrency over several machines: installations with folders of their own that share one Redis."""
import glob
import os
import time

import pytest

from redis_server import Redis
from support import SIM_KEY, SLOW, Easel, Watch, merge, sim_config, wait_until
from test_slots import caller, place, prompts

CALLS = 8  # of each machine
LEASE = 10  # seconds: SLOT_LEASE_MS


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    yield server
    server.stop()


def another(easel, machine):
    """One more machine: of its own but for the store, in which the key is."""
    easel.start()
    easel.key = machine.key
    return easel


@pytest.fixture(scope="module")
def machines(start_easel, sim, redis):
    config = merge(sim_config(sim), {
        "store": {"url": redis.url},
        "deadline": {"images_generations": f"{60 * SLOW}s"},
        "providers": {"one": {"dialect": "openai", "base_url": sim.base_url + "/v1", "api_key": SIM_KEY, "concurrency": 1}},
        "models": {"one": {"provider": "one", "upstream_model": "gpt-image-1"}}})
    first = start_easel(config)
    return [first, another(start_easel(config, start=False), first)]


@pytest.fixture
def watch(sim):
    sim.reset()
    yield Watch(sim)
    sim.reset()


def test_never_two_at_once_over_two_machines(machines, sim, watch):
    sim.defaults(delay=0.05)
    callers = [caller(machine, f"{name}{i}") for i in range(CALLS) for name, machine in zip("ab", machines)]
    assert [c.end().status for c in callers] == [200] * 2 * CALLS
    stats = sim.stats()
    assert stats["max_in_flight"] == 1, "never two at once"
    assert stats["purchases"] == 2 * CALLS
    assert {p[0] for p in prompts(watch)} == {"a", "b"}


def test_one_line_for_all_machines(machines, sim, watch):
    sim.faults({"delay": 6 * SLOW})
    holder = caller(machines[0], "holder")
    wait_until(lambda: sim.stats()["in_flight"] == 1, what="the holder's call")
    callers = []
    for i in range(6):
        callers.append(caller(machines[i % 2], f"p{i}"))
        wait_until(lambda: place(machines[i % 2]) == i + 2, what=f"caller {i} in the line")
    assert sim.stats()["in_flight"] == 1, "the line was not ready in time"
    assert all(c.end().status == 200 for c in [holder, *callers])
    assert prompts(watch) == ["holder"] + [f"p{i}" for i in range(6)]
    assert sim.stats()["max_in_flight"] == 1


def test_redis_comes_back_and_a_call_that_lasts_keeps_its_slot(machines, redis, sim, watch):
    sim.faults({"delay": LEASE + 4})
    holder = caller(machines[0], "holder")
    wait_until(lambda: sim.stats()["in_flight"] == 1, what="the holder's call")
    redis.kill()
    redis.start()
    other = caller(machines[1], "other")
    assert other.end().status == 200 and holder.end().status == 200, (other.answer, holder.answer)
    assert prompts(watch) == ["holder", "other"]
    assert sim.stats()["max_in_flight"] == 1, "it kept its slot for longer than a lease"


def test_a_machine_that_is_gone_gives_its_slot_back_with_its_lease(machines, sim, watch):
    third = another(Easel(machines[0].config, start=False), machines[0])
    sim.faults({"delay": 60 * SLOW})
    caller(third, "gone")
    wait_until(lambda: sim.stats()["in_flight"] == 1, what="the third machine's call")
    third.kill()
    start = time.monotonic()
    assert caller(machines[0], "next").end().status == 200
    assert time.monotonic() - start < LEASE + 5 * SLOW


def test_no_credential_is_in_redis(machines, redis, watch):
    assert machines[0].generate(model="one", prompt="a panda").status == 200
    files = glob.glob(os.path.join(redis.folder, "**"), recursive=True)
    data = b"".join(open(f, "rb").read() for f in files if os.path.isfile(f))
    assert b"slot-line:one" in data or b"slot:" in data
    assert SIM_KEY.encode() not in data
