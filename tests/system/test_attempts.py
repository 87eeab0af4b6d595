"""Retries, keys, degrade and fallback: what is tried again, and that nothing is ever bought twice."""
import re
import socket
import threading
import time

import pytest

from sim.pictures import serial_of
from support import SIM_KEY, SLOW, Watch, expect_error, merge, sim_config

TOLD_APART = ["sk-sim-Wq7rT2mXe9Lk4Zb", "sk-sim-h5VnY8cJd3Pf6Gs"]
REFUSED, QUOTA, RATE = "status=401", "code=insufficient_quota", "status=429"


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def keyed(*faults):
    """Keys of the simulator; a fault is done to every request that comes with the key."""
    return [f"sk-sim-key-{i}" + (f"@{fault}" if fault else "") for i, fault in enumerate(faults)]


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    """One worker, so that what it has learned of a key is known to every request."""
    def provider(**more):
        return {"dialect": "openai", "base_url": sim.base_url + "/v1", "api_key": SIM_KEY, "connect_timeout": "2s", **more}

    def several(*faults):
        out = provider(api_keys=keyed(*faults))
        del out["api_key"]
        return out

    config = merge(sim_config(sim), {
        "process": {"workers": 1},
        "providers": {
            "away": provider(base_url=f"http://127.0.0.1:{unused_port()}/v1"),
            "first-refused": several(REFUSED, ""), "first-402": several("status=402", ""),
            "first-403": several("status=403", ""), "first-empty": several(QUOTA, ""),
            "first-slow": several(RATE + ",retry_after=20", ""),
            "all-refused": several(REFUSED, "status=403"), "all-empty": several(QUOTA, "status=402"),
            "all-slow": several(RATE + ",retry_after=50", RATE + ",retry_after=40"),
            "refused-and-slow": several(REFUSED, RATE + ",retry_after=45"),
            "both-good": several("", ""), "one-model-forbidden": several("status=403", "status=403"),
            "told-apart": {**several("", ""), "api_keys": TOLD_APART},
            "behind": provider(base_url="http://no-such-host.invalid/v1", proxy=sim.base_url),
            "only-refused": provider(api_key="sk-sim-only@status=401"),
        },
        "models": {
            **{f"m-{name}": {"provider": name, "upstream_model": "relay-url"}
               for name in ("first-refused", "first-402", "first-403", "first-empty", "first-slow", "all-refused",
                            "all-empty", "all-slow", "refused-and-slow", "both-good", "told-apart", "only-refused", "behind")},
            "less": {"provider": "sim", "upstream_model": "gpt-image-1", "degrade": ["quality=medium", "quality=low"]},
            "slow-less": {"provider": "sim", "upstream_model": "gpt-image-1@delay=2",
                          "degrade": ["quality=medium", "quality=low"]},
            "far": {"provider": "away", "upstream_model": "gpt-image-1", "fallback": ["m-only-refused", "relay-url"]},
            "refused-far": {"provider": "only-refused", "upstream_model": "gpt-image-1", "fallback": ["relay-url"]},
            "loses": {"provider": "sim", "upstream_model": "gpt-image-1", "fallback": ["relay-url"]},
            "one-each": {"provider": "sim", "upstream_model": "dall-e-3", "fallback": ["relay-url"]},
            "wordy": {"provider": "only-refused", "upstream_model": "gpt-image-1", "fallback": ["dall-e-2", "relay-url"]},
            "nowhere": {"provider": "away", "upstream_model": "gpt-image-1", "fallback": ["m-only-refused"]},
        },
    })
    return start_easel(config)


@pytest.fixture
def watch(sim):
    sim.clear_faults()
    yield Watch(sim)
    sim.clear_faults()


def calls(watch):
    return watch.requests("generate")


def bought(watch):
    return sum(call["purchase"] for call in calls(watch))


def gaps(watch):
    found = calls(watch)
    return [b["start"] - a["end"] for a, b in zip(found, found[1:])]


def keys_of(watch):
    return [call["headers"]["authorization"].removeprefix("Bearer ").partition("@")[0] for call in calls(watch)]


def ok(answer, attempts, model=None):
    assert answer.status == 200, answer
    assert answer.header("x-easel-attempts") == str(attempts), answer
    if model:
        assert answer.header("x-easel-model") == model, answer
    return answer


def generate(easel, model="gpt-image-1", **more):
    return easel.generate(model=model, response_format="url", **more)


# ---- the same again ----

BUSY = {"status": 503, "retry_after": "none", "message": "The engine is currently overloaded"}


def test_a_busy_provider_is_asked_again_until_it_is_not(easel, sim, watch):
    sim.faults(BUSY, BUSY)
    answer = ok(generate(easel), 3)
    assert bought(watch) == 1 and len(answer.json["data"]) == 1
    first, second = gaps(watch)
    assert 0.37 <= first and 0.74 <= second, "half a second, a second, a quarter more or less"
    assert first < 0.64 + SLOW and second < 1.27 + SLOW
    timing = dict(part.strip().split(";dur=") for part in answer.header("server-timing").split(","))
    assert float(timing["wait"]) >= 1100, timing


def test_three_times_is_enough(easel, sim, watch):
    sim.faults(BUSY, BUSY, BUSY, BUSY)
    error = expect_error(generate(easel), 502, "upstream_failed", party="provider", billed=False)
    assert len(calls(watch)) == 3 and bought(watch) == 0
    assert error["upstream"]["status"] == 503


@pytest.mark.parametrize("fault,least", [({"status": 429, "retry_after": 2}, 1.99), ({"status": 429, "retry_date": 2}, 0.99),
                                         ({"status": 429, "retry_after_ms": 1300, "retry_after": "none"}, 1.29),
                                         ({"status": 503, "retry_after": 1}, 0.99)])
def test_retry_after_is_waited_for(easel, sim, watch, fault, least):
    sim.faults(fault)
    ok(generate(easel), 2)
    assert bought(watch) == 1
    assert least <= gaps(watch)[0] < 3.5 * SLOW


@pytest.mark.parametrize("fault,deadline", [({"status": 429, "retry_after": 5}, "4s"), ({"status": 429, "retry_after": 50}, None),
                                            ({"status": 429, "retry_date": 50}, None)])
def test_a_wait_that_would_be_too_long_is_the_callers(easel, sim, watch, fault, deadline):
    sim.faults(fault)
    answer = generate(easel, headers={"x-easel-deadline": deadline} if deadline else {})
    expect_error(answer, 429, "upstream_rate_limited", party="provider")
    asked = fault.get("retry_after") or fault["retry_date"]
    assert asked - 2 <= int(answer.header("retry-after")) <= asked + 1
    assert answer.seconds < 2 * SLOW and len(calls(watch)) == 1


@pytest.mark.parametrize("fault,code", [
    ("status=500", "upstream_failed"), ("html502", "upstream_failed"),
    ("reset-before", "upstream_reset"), ("truncate", "upstream_truncated"), ("not-json", "upstream_garbage"),
    ("not-an-image", "result_not_image"), ("html524", "upstream_failed")])
def test_what_may_have_been_bought_is_never_asked_for_again(easel, sim, watch, fault, code):
    sim.faults(fault)
    answer = generate(easel, model="loses")  # it has a fallback
    expect_error(answer, 502, code, billed=True)
    assert answer.header("x-should-retry") == "false"
    assert len(calls(watch)) == 1 and answer.header("x-easel-model") == "loses"


@pytest.mark.parametrize("fault,status,code", [("status=400", 400, "upstream_task_rejected"),
                                               ("code=moderation_blocked", 400, "upstream_content_policy")])
def test_a_request_at_fault_is_asked_once(easel, sim, watch, fault, status, code):
    sim.faults(fault)
    expect_error(generate(easel, model="loses"), status, code)
    assert len(calls(watch)) == 1


def test_a_provider_that_comes_back_is_reached(start_easel, sim, watch):
    """Nobody listens at first: the port is bound, so that nobody else takes it."""
    port = socket.socket()
    port.bind(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{port.getsockname()[1]}/v1"
    easel = start_easel(merge(sim_config(sim), {"providers": {"sim": {"base_url": base}}}))

    def forward(a, b):
        try:
            while piece := a.recv(65536):
                b.sendall(piece)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def open_up():
        # after the first refusal was logged nowhere: a moment is all there is to wait for
        time.sleep(0.15)
        port.listen()
        here, _ = port.accept()
        there = socket.create_connection(("127.0.0.1", sim.port))
        threading.Thread(target=forward, args=(there, here), daemon=True).start()
        forward(here, there)

    thread = threading.Thread(target=open_up, daemon=True)
    thread.start()
    answer = generate(easel)
    assert answer.status == 200 and answer.header("x-easel-attempts") in ("1", "2", "3"), answer
    assert bought(watch) == 1
    port.close()


def test_a_providers_proxy_is_the_way_to_it(easel, watch):
    """The simulator stands in for the proxy: the host's name is its business, not ours."""
    generate(easel, model="m-behind")
    assert watch.requests()[0]["target"] == "http://no-such-host.invalid/v1/images/generations"


def test_nobody_there_is_said_after_three_attempts(easel, watch):
    answer = generate(easel, model="nowhere")
    assert answer.header("x-easel-attempts") == "4"  # three here, one of the fallback
    assert answer.seconds >= 1.1


# ---- what came stays ----

def test_only_what_lacks_is_asked_for_again(easel, sim, watch):
    sim.faults({"delay": 0}, {"status": 429, "retry_after": 1})
    answer = ok(generate(easel, model="one-each", n=3), 2, "one-each")
    pictures = [easel.stored(item["url"]) for item in answer.json["data"]]
    assert len({serial_of(p) for p in pictures}) == 3
    assert bought(watch) == 3 and len(calls(watch)) == 4


def test_what_came_is_in_the_error_when_the_rest_never_comes(easel, sim, watch):
    sim.faults({"delay": 0}, *[{"status": 429, "retry_after": 1}] * 4)
    before = easel.files()
    answer = generate(easel, model="one-each", n=3)
    error = expect_error(answer, 502, "images_incomplete", party="provider", billed=True)
    assert len(error["images"]) == 1 and "3" in error["message"] and "1" in error["message"]
    assert error["upstream"]["status"] == 429
    assert len(easel.files() - before) == 1
    assert bought(watch) == 1 and len(calls(watch)) == 4, "and no fallback: that would be another picture's"


# ---- keys ----

@pytest.mark.parametrize("model,code", [
    ("first-refused", "upstream_auth_failed"), ("first-402", "upstream_quota_exhausted"),
    ("first-403", "upstream_auth_failed"), ("first-empty", "upstream_quota_exhausted"),
    ("first-slow", "upstream_rate_limited")])
def test_the_next_key_is_used_at_once_and_the_first_left_aside(easel, watch, model, code):
    answer = ok(generate(easel, model=f"m-{model}"), 2)
    assert keys_of(watch) == ["sk-sim-key-0", "sk-sim-key-1"] and bought(watch) == 1
    assert gaps(watch)[0] < 0.35 * SLOW
    for _ in range(2):
        ok(generate(easel, model=f"m-{model}"), 1)
    assert keys_of(watch)[2:] == ["sk-sim-key-1"] * 2
    lines = "\n".join(easel.log_lines(answer.header("x-request-id")))
    prints = re.findall(r"(?:token|key)=(fp:[0-9a-f]{8})", lines)
    assert len(set(prints)) == 2, lines
    assert re.search(rf"attempt 2 of m-{model}: provider={model}, key={prints[-1]}, after {code}", lines), lines
    assert re.search(rf"key={prints[0]} of provider={model} is left aside for \d+ s: {code}", lines), lines
    assert "sk-sim-key" not in easel.log()


@pytest.mark.parametrize("model,code,party,attempts", [
    ("all-refused", "upstream_auth_failed", "provider-credential", 2),
    ("all-empty", "upstream_quota_exhausted", "provider-credential", 2)])
def test_when_no_key_works_that_is_said(easel, watch, model, code, party, attempts):
    answer = generate(easel, model=f"m-{model}")
    error = expect_error(answer, 502, code, party=party, billed=False)
    assert "None of its 2 keys" in error["message"]
    assert answer.header("x-should-retry") == "false" and answer.header("x-easel-attempts") == str(attempts)
    assert len(calls(watch)) == attempts
    # they are asked again soon, but not by everybody at once
    for _ in range(5):
        expect_error(generate(easel, model=f"m-{model}"), 502, code, party=party)
    assert len(calls(watch)) <= attempts + 2


def test_when_all_keys_wait_the_earliest_time_is_said(easel, watch):
    for attempts in (2, None):
        answer = generate(easel, model="m-all-slow")
        expect_error(answer, 429, "upstream_rate_limited", party="provider")
        assert 30 <= int(answer.header("retry-after")) <= 40
        assert answer.seconds < 2 * SLOW, "not a hang"
        assert answer.header("x-easel-attempts") == (str(attempts) if attempts else None)
    assert len(calls(watch)) == 2


def test_one_that_waits_counts_more_than_one_that_was_refused(easel, watch):
    for _ in range(2):
        answer = generate(easel, model="m-refused-and-slow")
        expect_error(answer, 429, "upstream_rate_limited")
        assert 35 <= int(answer.header("retry-after")) <= 45
    assert len(calls(watch)) == 2


def test_a_short_wait_of_all_keys_is_waited_for(easel, sim, watch):
    sim.faults({"status": 429, "retry_after": 2}, {"status": 429, "retry_after": 1})
    ok(generate(easel, model="m-both-good"), 3)
    assert keys_of(watch) == ["sk-sim-key-0", "sk-sim-key-1", "sk-sim-key-1"] and bought(watch) == 1


@pytest.mark.parametrize("key", TOLD_APART)
@pytest.mark.parametrize("start", [0, len("sk-sim-")])
def test_no_key_of_a_provider_is_quoted_whichever_it_was_sent(easel, sim, key, start):
    """Nor what no longer looks like one."""
    sim.faults({"status": 400, "message": f"is {key[start:]} yours?", "headers": {"x-request-id": key[start:]}})
    answer = generate(easel, "m-told-apart")
    error = expect_error(answer, 400, "upstream_task_rejected", party="client", stage="provider.submit")
    assert "yours?" in error["upstream"]["message"] and error["upstream"]["request_id"], answer
    assert not any(k[7:] in str(answer) for k in TOLD_APART) and not any(k[7:] in easel.log() for k in TOLD_APART)


def test_the_only_key_is_never_left_aside(easel, sim, watch):
    for fault in ("status=401", "status=403", "code=insufficient_quota"):
        sim.faults(fault)
        assert generate(easel).status == 502
        ok(generate(easel), 1)


# ---- asking for less ----

def qualities(watch):
    return [call["body"].get("quality") for call in calls(watch)]


def test_after_a_failure_less_is_asked_for_and_that_is_said(easel, sim, watch):
    sim.faults(BUSY)
    answer = ok(generate(easel, model="less", quality="high"), 2, "less")
    assert qualities(watch) == ["high", "medium"]
    assert "quality=medium" in answer.header("x-easel-params")
    assert "degrade less: quality=medium, upstream_failed" in easel.log()


def test_each_failure_takes_a_step(easel, sim, watch):
    sim.faults(BUSY, BUSY)
    answer = ok(generate(easel, model="less"), 3)
    assert qualities(watch) == [None, "medium", "low"]
    assert "quality=low" in answer.header("x-easel-params") and bought(watch) == 1


def test_an_empty_account_may_do_for_less(easel, sim, watch):
    sim.faults(QUOTA)
    ok(generate(easel, model="less"), 2)
    assert qualities(watch) == [None, "medium"]


@pytest.mark.parametrize("asked,sent", [("low", ["low", "low"]), ("medium", ["medium", "low"])])
def test_it_never_becomes_more(easel, sim, watch, asked, sent):
    sim.faults(BUSY)
    ok(generate(easel, model="less", quality=asked), 2)
    assert qualities(watch) == sent


@pytest.mark.parametrize("fault", ["status=500", "status=401", "status=400"])
def test_no_step_after_what_less_cannot_help(easel, sim, watch, fault):
    sim.faults(fault)
    assert generate(easel, model="less").status >= 400
    assert qualities(watch) == [None]


def test_nothing_is_changed_when_all_goes_well(easel, watch):
    answer = ok(generate(easel, model="less", quality="high"), 1)
    assert qualities(watch) == ["high"] and "quality" not in (answer.header("x-easel-params") or "")


def test_less_is_asked_for_when_time_is_short(easel, watch):
    ok(generate(easel, model="slow-less", quality="high"), 1)  # takes two seconds: now that is known
    ok(generate(easel, model="slow-less", quality="high", headers={"x-easel-deadline": f"{20 * SLOW}s"}), 1)
    assert qualities(watch) == ["high", "high"]
    answer = generate(easel, model="slow-less", quality="high", headers={"x-easel-deadline": "1500ms"})
    # the simulator takes its time all the same
    expect_error(answer, 504, "deadline_exceeded", billed=True)
    assert qualities(watch)[2:] == ["medium"] and "quality=medium" in answer.header("x-easel-params")


# ---- another model ----

def test_another_model_answers_when_the_first_cannot_be_reached(easel, watch):
    answer = easel.generate(model="far")
    assert answer.status == 200, answer
    assert answer.header("x-easel-model") == "relay-url"
    assert answer.header("x-easel-attempts") == "5"  # three, a refused key, and the one that worked
    assert answer.json["data"][0]["b64_json"], "the form of the answer is that of the model that was asked for"
    assert bought(watch) == 1 and [c["model"] for c in calls(watch)] == ["relay-url", "relay-url"]
    lines = "\n".join(easel.log_lines(answer.header("x-request-id")))
    assert re.search(r"attempt 4 of m-only-refused: provider=only-refused, key=fp:[0-9a-f]{8}, after upstream_connect_failed", lines)
    assert re.search(r"attempt 5 of relay-url: provider=sim, key=fp:[0-9a-f]{8}, after upstream_auth_failed", lines)


def test_a_refused_key_leads_to_the_other_model(easel, watch):
    ok(generate(easel, model="refused-far"), 2, "relay-url")
    assert bought(watch) == 1


def test_the_receipt_is_that_of_the_model_that_answered(easel, watch):
    """relay-url takes style, which gpt-image-1 would have dropped."""
    answer = ok(generate(easel, model="refused-far", style="vivid"), 2, "relay-url")
    assert "style" not in answer.header("x-easel-params")
    assert calls(watch)[-1]["body"]["style"] == "vivid" and "style" not in calls(watch)[0]["body"]


def test_a_model_that_cannot_do_it_is_passed_over(easel, watch):
    """1,500 characters are too many for dall-e-2."""
    answer = ok(generate(easel, model="wordy", prompt="x" * 1500), 2, "relay-url")
    assert [c["model"] for c in calls(watch)] == ["gpt-image-1", "relay-url"]
    assert any("fallback dall-e-2 is passed over: string_above_max_length prompt" in line
               for line in easel.log_lines(answer.header("x-request-id")))
    assert bought(watch) == 1


def test_the_last_failure_is_the_answer(easel, watch):
    answer = generate(easel, model="nowhere")
    expect_error(answer, 502, "upstream_auth_failed", party="provider-credential")
    assert answer.header("x-easel-model") == "m-only-refused" and bought(watch) == 0


def test_all_of_it_is_inside_the_deadline(easel, watch):
    """far alone waits 0.5 s and 1 s between its attempts."""
    answer = generate(easel, model="far", headers={"x-easel-deadline": "1200ms"})
    assert answer.seconds < 1.2 + SLOW
    assert bought(watch) <= 1
    ok(answer, answer.header("x-easel-attempts"), "relay-url")
