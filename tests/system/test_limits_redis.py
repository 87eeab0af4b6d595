"""[limits] of a key over machines: two installations, a state folder each, that share a Redis."""
import concurrent.futures
import itertools
import os
import signal
import time

import pytest

from limits import IMAGES, REQUESTS, expect_refusal, generate, in_background, seconds, workers
from redis_server import Redis
from support import SLOW, Watch, merge, sim_config, wait_until


databases = itertools.count(1)  # of the one Redis: none sees what another left


@pytest.fixture
def two(start_easel, sim, redis):
    """A function that starts two installations, whose users have one key."""
    def start(faults=(), url=None, **limits):
        config = merge(sim_config(sim, faults), {"limits": limits, "store": {"url": url or redis.replace(
            "db=0", f"db={start.database}")}})
        first, second = start_easel(config), start_easel(config, start=False)
        second.start()
        second.key = first.key
        return first, second

    start.database = next(databases)
    return start


def test_two_machines_share_the_requests_of_a_minute(two, sim):
    machines, watch = two(requests_per_minute=6), Watch(sim)
    for i in range(6):
        answer = generate(machines[i % 2])
        limit, remaining, reset = (answer.header(h) for h in REQUESTS)
        assert (answer.status, limit, remaining) == (200, "6", str(5 - i)), answer
        assert 10 * (i + 1) - 8 * SLOW <= seconds(reset) <= 10 * (i + 1), answer
    for machine in machines:
        assert 0 < expect_refusal(generate(machine), "requests_per_minute = 6") <= 10
    assert len(watch.requests("generate")) == 6


def test_it_is_exact_over_machines_under_load(two):
    machines, start = two(requests_per_minute=60), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: machines[i % 2].post("/v1/images/generations", {}), range(160)))
    refill = time.monotonic() - start
    let_in = [a for a in answers if a.status == 400]
    assert {a.status for a in answers} == {400, 429}
    assert 60 <= len(let_in) <= 60 + refill + 1, (len(let_in), refill)


def test_two_machines_share_the_requests_in_hand(two, sim):
    machines, watch = two(["delay=2", "delay=30"], concurrent=3), Watch(sim)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = in_background(pool, machines[0], 2, "gpt-image-1@delay=2")
        running += in_background(pool, machines[1], 1, "gpt-image-1@delay=2")
        wait_until(lambda: len(watch.requests("generate")) == 3, 10, "three are at the provider")
        for machine in machines:
            assert expect_refusal(generate(machine), "concurrent = 3") == 1
        assert [r.result().status for r in running] == [200] * 3
    for machine in machines * 3:
        assert generate(machine).status == 200, "who has its answer has its place back"

    # What dies on one machine comes back by its own hand, for both.
    watch = Watch(sim)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = in_background(pool, machines[0], 3, "gpt-image-1@delay=30")
        wait_until(lambda: len(watch.requests("generate")) == 3, 10, "three are at the provider")
        assert generate(machines[1]).status == 429
        for p in workers(machines[0]):
            os.kill(p.pid, signal.SIGKILL)
        assert [r.result().status for r in running] == [500] * 3
    assert generate(machines[1]).status == 429, "another machine cannot know"
    wait_until(lambda: generate(machines[0]).status == 200, 10, "the places are free again")
    assert generate(machines[1]).status == 200


def test_two_machines_share_the_pictures_of_a_day(two):
    one, other = two(["code=moderation_blocked"], images_per_day=10)

    def left(answer):
        limit, remaining, reset = (answer.header(h) for h in IMAGES)
        assert limit == "10" and 0 < seconds(reset) <= 86400, answer
        return int(remaining)

    assert left(generate(one, n=4)) == 6
    answer = generate(other, n=7)
    assert expect_refusal(answer, "images_per_day = 10") <= 86400 and left(answer) == 6
    assert left(generate(other, model="gpt-image-1@code=moderation_blocked", n=6)) == 0, "asked for"
    assert left(generate(one, n=3)) == 3, "… and given back"
    task = other.post("/v1/tasks", {"prompt": "a panda", "model": "gpt-image-1", "n": 3})
    assert task.status == 202 and left(task) == 0
    assert generate(one).status == 429


def test_a_redis_that_dies_meanwhile_costs_no_picture_and_keeps_no_place(two, sim):
    redis = Redis()
    try:
        one, other = two(["delay=2"], url=redis.url, concurrent=1, images_per_day=10)
        watch = Watch(sim)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running, = in_background(pool, one, 1, "gpt-image-1@delay=2")
            wait_until(lambda: watch.requests("generate"), 10, "it is at the provider")
            assert generate(other).status == 429
            redis.kill()
            answer = running.result()
        assert answer.status == 200 and answer.json["data"][0]["url"], answer
        assert answer.seconds < 2 + 4 * SLOW, answer.seconds
        redis.start()
        wait_until(lambda: generate(one).status == 200, 20, "the place is free again")
        assert generate(other).status == 200
        for machine in (one, other):
            machine.stop()
            machine.process = None
    finally:
        redis.stop()
