"""[limits] per key: requests a minute, requests at once, pictures a day; over processes and restarts."""
import concurrent.futures
import os
import re
import signal
import time

import pytest

from limits import IMAGES, POST, REQUESTS, expect_refusal, generate, in_background, new_key, seconds, workers
from shell import run_shell_test
from support import SLOW, Watch, expect_error, merge, sim_config, wait_until


def installation(start_easel, sim, faults=(), **limits):
    return start_easel(merge(sim_config(sim, faults), {"limits": limits}))


# ---- requests a minute ----

@pytest.fixture(scope="module")
def five(start_easel, sim):
    return installation(start_easel, sim, requests_per_minute=5)


def test_the_headers_say_how_many_are_left_and_when_all_are_back(five, sim):
    watch = Watch(sim)
    for left in range(4, -1, -1):
        answer = generate(five)
        assert answer.status == 200, answer
        limit, remaining, reset = (answer.header(h) for h in REQUESTS)
        assert (limit, remaining) == ("5", str(left)), answer
        assert 12 * (5 - left) - 5 * SLOW <= seconds(reset) <= 12 * (5 - left), answer
        assert answer.header("x-ratelimit-limit-images") is None, "no limit, no header"
    answer = generate(five)
    assert 0 < expect_refusal(answer, "requests_per_minute = 5") <= 12
    assert [answer.header(h) for h in REQUESTS[:2]] == ["5", "0"]
    assert len(watch.requests("generate")) == 5, "the sixth reached nobody"


def test_every_answer_of_the_route_says_it_and_no_other(five):
    key = new_key(five, "second")
    answer = five.post(POST, b"no JSON", key=key)
    expect_error(answer, 400, "invalid_json")
    assert answer.header("x-ratelimit-remaining-requests") == "4"
    answer = five.post(POST, {"prompt": "x", "model": "nobody"}, key=key)
    assert answer.status == 404 and answer.header("x-ratelimit-remaining-requests") == "3"
    for answer in (five.get("/v1/models", key=key), five.get("/healthz", key=False), five.get(POST, key=key),
                   five.post(POST, {}, key="sk-easel-" + "A" * 43)):
        assert answer.header("x-ratelimit-limit-requests") is None, answer
    answer = five.post(POST, {"prompt": "x", "model": "nobody"}, key=key)
    assert answer.header("x-ratelimit-remaining-requests") == "2", "the others were not counted"


def test_another_key_has_its_own(five):
    assert generate(five).status == 429
    assert generate(five, key=new_key(five, "third")).status == 200


def test_reading_is_never_limited(five):
    assert generate(five).status == 429
    for _ in range(20):
        assert five.get("/v1/models").status == 200


def test_a_browser_may_see_the_headers(start_easel, sim):
    easel = start_easel(merge(sim_config(sim), {"server": {"cors_origins": ["https://page.example"]}}))
    exposed = easel.post(POST, {"prompt": "a panda"}, {"Origin": "https://page.example"}).header(
        "access-control-expose-headers").lower()
    for name in (*REQUESTS, *IMAGES, "retry-after", "retry-after-ms"):
        assert name in re.split(r",\s*", exposed), name


def test_who_waits_as_long_as_it_is_told_is_let_in(start_easel, sim):
    easel = installation(start_easel, sim, requests_per_minute=60)
    while (answer := easel.post(POST, {})).status == 400:
        pass
    time.sleep(expect_refusal(answer, "requests_per_minute = 60"))
    assert generate(easel).status == 200


def test_it_is_exact_over_processes_under_load(start_easel, sim):
    """Four workers, 16 clients, 400 requests: as many pass as the limit allows, and each is counted."""
    easel = start_easel(merge(sim_config(sim), {"limits": {"requests_per_minute": 120}, "process": {"workers": 4}}))
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: easel.post(POST, {}), range(400)))
    refill = 2 * (time.monotonic() - start)
    let_in = [a for a in answers if a.status == 400]
    assert {a.status for a in answers} == {400, 429}
    assert 120 <= len(let_in) <= 120 + refill + 1, (len(let_in), refill)
    first = [int(a.header(REQUESTS[1])) for a in let_in]
    assert max(first) == 119 and min(first) == 0


# ---- at once ----

@pytest.fixture(scope="module")
def three(start_easel, sim):
    return start_easel(merge(sim_config(sim, ["delay=30", "delay=1"]),
                             {"limits": {"concurrent": 3}, "process": {"workers": 2}}))


def test_one_more_than_allowed_at_once_is_refused(three, sim):
    watch = Watch(sim)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = in_background(pool, three, 3, "gpt-image-1@delay=1")
        wait_until(lambda: len(watch.requests("generate")) == 3, 10, "three are at the provider")
        for _ in range(10):
            assert expect_refusal(generate(three), "concurrent = 3") == 1
        assert [r.result().status for r in running] == [200] * 3
    assert len(watch.requests("generate")) == 3
    assert generate(three).status == 200, "the places are free again"


def test_who_asks_one_after_the_other_is_never_refused(start_easel, sim):
    easel = installation(start_easel, sim, concurrent=1)
    for response_format in ("url", "b64_json"):
        for _ in range(60):
            answer = generate(easel, response_format=response_format)
            assert answer.status == 200, answer


def test_a_killed_worker_gives_its_places_back(three, sim):
    watch = Watch(sim)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = in_background(pool, three, 3, "gpt-image-1@delay=30")
        wait_until(lambda: len(watch.requests("generate")) == 3, 10, "three are at the provider")
        assert generate(three).status == 429
        for p in workers(three):
            os.kill(p.pid, signal.SIGKILL)
        for r in running:
            error = expect_error(r.result(), 500, "handler_crashed", party="gateway", billed=True)
            assert "may have been billed" in error["message"]
    wait_until(lambda: generate(three).status == 200, 10, "the places are free again")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        since = Watch(sim)
        running = in_background(pool, three, 3, "gpt-image-1@delay=1")
        wait_until(lambda: len(since.requests("generate")) == 3, 10, "three at once again, and")
        assert generate(three).status == 429, "no more than three"
        assert [r.result().status for r in running] == [200] * 3


# ---- pictures a day ----

def test_the_days_pictures_are_counted_by_what_came(start_easel, sim):
    easel = installation(start_easel, sim, ["status=500", "fewer", "code=moderation_blocked"], images_per_day=10)

    def left(answer):
        limit, remaining, reset = (answer.header(h) for h in IMAGES)
        assert limit == "10" and 0 < seconds(reset) <= 86400, answer
        assert answer.header("x-ratelimit-limit-requests") is None
        return int(remaining)

    assert left(generate(easel, n=4)) == 6
    answer = generate(easel, n=7)
    assert expect_refusal(answer, "images_per_day = 10") <= 86400
    assert left(answer) == 6
    assert left(generate(easel, model="gpt-image-1@code=moderation_blocked", n=6)) == 0, "asked for"
    assert left(generate(easel, model="nobody", n=6)) == 0, "… and given back: asked for again"
    assert generate(easel, model="gpt-image-1@fewer", n=3).status == 502  # two came
    assert left(easel.post(POST, b"no JSON")) == 4

    # It survives the end of the installation, and the end of its processes.
    easel.process.send_signal(signal.SIGTERM)
    assert easel.process.wait(30 * SLOW) == 0
    easel.process.stdout.close()
    easel.start()
    assert left(generate(easel, n=3)) == 1
    for p in workers(easel):
        os.kill(p.pid, signal.SIGKILL)
    wait_until(lambda: len(workers(easel)) == 2, 10, "there are new workers")
    assert left(generate(easel, n=1)) == 0
    assert generate(easel).status == 429


def test_the_days_pictures_are_exact_under_concurrency(start_easel, sim):
    easel = installation(start_easel, sim, images_per_day=25)
    watch = Watch(sim)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: generate(easel, n=2), range(40)))
    assert sorted({a.status for a in answers}) == [200, 429]
    assert sum(a.status == 200 for a in answers) == 12
    assert len(watch.requests("generate")) == 12
    assert generate(easel, n=1).status == 200, "the last one"
    assert generate(easel, n=1).status == 429


# ---- none ----

def test_without_limits_nothing_is_said_of_them(start_easel, sim):
    easel = installation(start_easel, sim, requests_per_minute=0, concurrent=0, images_per_day=0)
    answer = generate(easel)
    assert answer.status == 200 and not [h for h in answer.headers if h.lower().startswith("x-ratelimit")]


def test_the_limits_hold_for_those_without_a_key_together(start_easel, sim):
    easel = start_easel(merge(sim_config(sim), {"limits": {"requests_per_minute": 1}, "auth": {"required": False}}))
    assert generate(easel, key=False).status == 200
    expect_refusal(generate(easel, key=False), "requests_per_minute = 1")


def test_the_shell_test_uses_a_limit_up(start_easel, tmp_path):
    """test-limits.sh where there is a limit: elsewhere it finds none."""
    easel = start_easel({"limits": {"requests_per_minute": 12}})
    key = tmp_path / "key"
    key.write_text(easel.key)
    run_shell_test("test-limits.sh", easel.url, str(key))
