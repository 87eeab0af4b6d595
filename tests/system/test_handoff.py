"""Work that outlives its request: through lighttpd, with a provider that is slower than the deadline."""
import json
import re
import socket
import threading

import pytest

from support import SIM_KEY, SLOW, Watch, expect_error, merge, send_in_two, sim_config, start_sim, wait_until

DELAY = "delay=3"
MODEL = f"gpt-image-1@{DELAY}"
DEADLINE = "1500ms"
GRACE = {"deadline": {"grace": f"{30 * SLOW}s"}}


@pytest.fixture(scope="module")
def sim():
    sim = start_sim()
    yield sim
    sim.stop()


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def easel(request, start_easel, sim):
    store = {"store": {"url": request.getfixturevalue("redis")}} if request.param == "redis" else {}
    with socket.socket() as nowhere:  # a port whose connections nobody takes, after the first
        nowhere.bind(("127.0.0.1", 0))
        nowhere.listen(0)
        address = nowhere.getsockname()
        with socket.create_connection(address):
            yield start_easel(merge(merge(sim_config(sim, [DELAY, "truncate"]), {**GRACE, **store}), {
                "providers": {"nowhere": {"dialect": "openai", "base_url": f"http://127.0.0.1:{address[1]}/v1",
                                          "api_key": SIM_KEY, "connect_timeout": "60s"}},
                "models": {"gpt-image-1@nowhere": {"provider": "nowhere"}}}))


def task(easel, task_id):
    answer = easel.get(f"/v1/tasks/{task_id}")
    assert answer.status == 200, answer
    return answer.json


def ended(easel, task_id):
    """It, once it has ended."""
    return wait_until(lambda: (lambda t: t["ended"] and t)(task(easel, task_id)), 20, "the task ends")


TASK_ID = r"^task_[0-9a-hjkmnp-tv-z]{26}$"


def one_picture(easel, found):
    """It was stored whole."""
    assert found["status"] == "SUCCESS" and found["error"] is None, found
    picture, = found["images"]
    assert easel.stored(picture["url"])[:4] == b"\x89PNG", found


# ---- the deadline passes ----

def test_after_the_deadline_the_work_goes_on_and_its_picture_is_kept(easel, sim):
    watch = Watch(sim)
    answer = easel.generate(model=MODEL, headers={"x-easel-deadline": DEADLINE})
    error = expect_error(answer, 504, "deadline_exceeded", billed=True, stage="provider.wait")
    assert 1.0 < answer.seconds < 2.5, answer
    assert answer.header("x-should-retry") == "false", answer
    assert re.match(TASK_ID, error["task_id"]), error
    assert f"/v1/tasks/{error['task_id']}" in error["hint"]["text"], error
    found = task(easel, error["task_id"])
    assert found["status"] == "STARTED" and found["model"] == MODEL and found["provider"] == "sim", found
    assert found["request_id"] == error["request_id"] and found["progress"]["stage"] == "provider.wait", found
    assert error["task_id"] in [t["id"] for t in easel.get("/v1/tasks?status=STARTED").json["data"]]
    found = ended(easel, error["task_id"])
    one_picture(easel, found)
    assert [(a["provider"], a["outcome"], a["code"]) for a in found["attempts"]] == [("sim", "succeeded", None)], found
    assert watch.one(), "one purchase"
    wait_until(lambda: any("SUCCESS after" in line for line in easel.log_lines(error["request_id"])), 5, "the log")
    lines = [line for line in easel.log_lines(error["request_id"]) if " 504 " in line]
    assert len(lines) == 1 and "code=deadline_exceeded" in lines[0], lines


def test_what_was_not_sent_in_time_is_no_task(easel, sim):
    watch = Watch(sim)
    answer = easel.generate(model="gpt-image-1@nowhere", headers={"x-easel-deadline": "500ms"})
    error = expect_error(answer, 504, "deadline_exceeded", stage="provider.connect")
    assert error["task_id"] is None and not watch.requests(), error


# ---- Prefer: respond-async (RFC 7240) ----

@pytest.mark.parametrize("prefer,least,most", [
    ("respond-async, wait=0", 0, 0.9), ("respond-async", 0, 0.9), ('Respond-Async, wait="1"', 1, 1.9),
    ("wait=1; x=y, respond-async", 1, 1.9), ("respond-async, wait=soon", 0, 0.9), ("respond-async, wait=-1", 0, 0.9)])
def test_who_prefers_it_gets_the_task_after_so_many_seconds(easel, sim, prefer, least, most):
    watch = Watch(sim)
    answer = easel.generate(model=MODEL, headers={"Prefer": prefer})
    assert answer.status == 202, answer
    assert least <= answer.seconds <= most * SLOW, answer
    found = answer.json
    assert answer.header("location") == f"/v1/tasks/{found['id']}" and re.match(TASK_ID, found["id"]), answer
    assert answer.header("preference-applied") == "respond-async", answer
    assert found["object"] == "task" and found["status"] == "STARTED" and found["model"] == MODEL, found
    one_picture(easel, ended(easel, found["id"]))
    assert watch.one()


@pytest.mark.parametrize("prefer", ["respond-async, wait=20", "respond-async, wait=86401",
                                    "respond-async, wait=99999999999999999999999999", "wait=1", "respond-asynchronously", "", "return=minimal"])
def test_what_comes_in_time_or_is_not_asked_for_is_a_plain_answer(easel, prefer):
    answer = easel.generate(model=MODEL, headers={"Prefer": prefer})
    assert answer.status == 200 and not answer.header("preference-applied"), answer


def test_a_preference_does_not_hide_what_is_wrong_with_the_request(easel):
    answer = easel.generate(model=MODEL, size="enormous", headers={"Prefer": "respond-async"})
    assert answer.status == 400 and answer.error["param"] == "size", answer


# ---- streams ----

def test_a_stream_that_has_begun_ends_with_the_task(easel, sim, start_easel):
    short = start_easel(merge(merge(sim_config(sim, [DELAY]), GRACE), {"server": {"stream_keep_alive": "500ms"}}))
    watch = Watch(sim)
    answer = short.generate(model=MODEL, stream=True, headers={"x-easel-deadline": DEADLINE})
    assert answer.status == 200, answer
    name, data = re.search(rb"event: (\S+)\ndata: (.*)", answer.body).groups()
    error = json.loads(data)["error"]
    assert name == b"error" and error["code"] == "deadline_exceeded", answer
    assert json.loads(data)["easel"]["task_id"] == error["task_id"], answer
    one_picture(short, ended(short, error["task_id"]))
    assert watch.one()


# ---- Idempotency-Key ----

RETRY = {"x-stainless-retry-count": "1"}


def leave(easel, seconds, **members):
    """A client that gives up after so long."""
    with pytest.raises(TimeoutError):
        easel.generate(timeout=seconds / SLOW, **members)


def test_the_same_key_and_body_give_the_first_answer_again(easel, sim):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-replay"}
    first = easel.generate(headers=headers, seed=1)
    again = easel.post("/v1/images/generations", {"seed": 1, "prompt": "a panda"}, headers)
    assert first.status == again.status == 200 and first.body == again.body, (first, again)
    assert again.header("idempotent-replayed") == "true" and not first.header("idempotent-replayed")
    for name in ("x-easel-model", "x-easel-attempts", "x-easel-mode", "x-easel-params", "content-type"):
        assert first.header(name) == again.header(name), name
    assert watch.one()


def test_another_body_or_route_is_a_mismatch(easel):
    headers = {"Idempotency-Key": "k-mismatch"}
    assert easel.generate(headers=headers).status == 200
    expect_error(easel.generate(headers=headers, prompt="a bear"), 422, "idempotency_mismatch", "Idempotency-Key")


@pytest.mark.parametrize("how", ["key", "retry"])
def test_the_same_route_by_another_of_its_names_is_the_same_request(easel, sim, how):
    watch, members = Watch(sim), {"model": MODEL, "prompt": f"names {how}"}
    headers = {"Idempotency-Key": "k-names"} if how == "key" else {}
    leave(easel, 1.2, headers=headers, path="/images/generations", **members)
    answer = easel.generate(headers={**headers, **RETRY}, **members)
    assert answer.status == 200 and answer.header("idempotent-replayed") == "true", answer
    assert watch.one()


def test_a_key_is_its_owners_alone(easel, sim):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-owner"}
    other = easel.run("keys", "create", "--name", "other").stdout.strip()
    assert easel.generate(headers=headers).status == 200
    answer = easel.post("/v1/images/generations", {"prompt": "a bear"}, headers, key=other)
    assert answer.status == 200 and not answer.header("idempotent-replayed"), answer
    assert len(watch.requests("generate")) == 2


@pytest.mark.parametrize("key,code", [("k" * 255, None), ("k" * 256, "string_above_max_length"),
                                      ("k\xe9", "invalid_value")])
def test_a_keys_length_and_letters(easel, key, code):
    answer = easel.generate(headers={"Idempotency-Key": key})
    if code:
        expect_error(answer, 400, code, "Idempotency-Key")
    else:
        assert answer.status == 200, answer


def test_the_second_joins_the_first_while_that_runs(easel, sim):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-join"}
    answers = []

    def ask():
        answers.append(easel.generate(model=MODEL, headers=headers))
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [200] * 4, answers
    assert len({a.body for a in answers}) == 1, answers
    assert len([a for a in answers if a.header("idempotent-replayed")]) == 3
    assert watch.one()


def test_what_cost_nothing_may_begin_anew(easel, sim):
    headers = {"Idempotency-Key": "k-nothing"}
    assert easel.generate(headers=headers, size="enormous").status == 400
    answer = easel.generate(headers=headers)
    assert answer.status == 200 and not answer.header("idempotent-replayed"), answer


def test_an_error_that_may_have_cost_something_is_told_again(easel, sim):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-error"}
    first = easel.generate(model="gpt-image-1@truncate", headers=headers)
    again = easel.generate(model="gpt-image-1@truncate", headers=headers)
    assert first.status == again.status == 502 and first.error == again.error, (first, again)
    assert again.header("idempotent-replayed") == "true" and again.header("x-should-retry") == "false"
    assert watch.one()


def test_after_a_hand_off_the_key_leads_to_its_picture(easel, sim):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-late"}
    late = {**headers, "x-easel-deadline": DEADLINE}
    first = easel.generate(model=MODEL, headers=late)
    again = easel.generate(model=MODEL, headers={**headers, "x-easel-deadline": "500ms"})
    assert first.error["task_id"] == expect_error(again, 504, "deadline_exceeded", billed=True)["task_id"]
    answer = easel.generate(model=MODEL, headers=headers)
    assert answer.status == 200 and answer.header("idempotent-replayed") == "true", answer
    assert watch.one()


@pytest.mark.parametrize("members", [{"stream": True}, {"response_format": "b64_json"}])
def test_other_kinds_of_answers_are_replayed_too(easel, sim, members):
    watch, headers = Watch(sim), {"Idempotency-Key": f"k-{list(members)[0]}"}
    first, again = (easel.generate(headers=headers, **members) for _ in range(2))
    assert first.status == again.status == 200, (first, again)
    assert re.findall(rb'"b64_json":"[^"]*"', first.body) == re.findall(rb'"b64_json":"[^"]*"', again.body) != []
    assert again.header("idempotent-replayed") == "true" and watch.one()


def test_chat_is_replayed_too(easel, sim):
    watch, headers = Watch(sim), {"Idempotency-Key": "k-chat"}
    body = {"model": "gpt-image-1", "messages": [{"role": "user", "content": "a panda"}]}
    first, again = (easel.post("/v1/chat/completions", body, headers) for _ in range(2))
    assert first.status == again.status == 200 and first.body == again.body, (first, again)
    assert again.header("idempotent-replayed") == "true" and watch.one()


# ---- an SDK that tries again ----

@pytest.mark.parametrize("seconds", [0.4, 1.2])
def test_a_retry_joins_what_its_client_has_left(easel, sim, seconds):
    watch, members = Watch(sim), {"model": MODEL, "prompt": f"left after {seconds}"}
    leave(easel, seconds, **members)
    answer = easel.generate(headers=RETRY, **members)
    assert answer.status == 200 and answer.header("idempotent-replayed") == "true", answer
    assert watch.one()


def test_a_further_retry_finds_the_same_when_the_answer_of_the_one_before_was_lost_too(easel, sim):
    watch, members = Watch(sim), {"model": MODEL, "prompt": "lost twice"}
    leave(easel, 0.4, **members)
    answers = [easel.generate(headers={"x-stainless-retry-count": n}, **members) for n in ("1", "2")]
    assert [a.status for a in answers] == [200, 200], answers
    assert answers[0].json["data"] == answers[1].json["data"], answers
    assert watch.one()


def test_a_retry_gets_what_ended_after_its_client_had_gone(easel, sim):
    watch, members = Watch(sim), {"model": MODEL, "prompt": "ended alone"}
    before = easel.files()
    leave(easel, 0.4, **members)
    wait_until(lambda: easel.files() - before, 10, "the picture")
    answer = easel.generate(headers=RETRY, **members)
    assert answer.status == 200 and answer.header("idempotent-replayed") == "true", answer
    assert watch.one()


def test_what_was_delivered_is_made_anew(easel, sim):
    watch, members = Watch(sim), {"model": "gpt-image-1", "prompt": "delivered"}
    for headers in ({}, RETRY, {}):
        answer = easel.generate(headers=headers, **members)
        assert answer.status == 200 and not answer.header("idempotent-replayed"), answer
    assert len(watch.requests("generate")) == 3


def leave_and_be_missed(easel, watch, **members):
    """The same, and the web server tells of it for certain."""
    missed, asked = easel.log().count("the work goes on as task_"), len(watch.requests("generate"))
    connection = send_in_two(easel, "/v1/images/generations", members)
    wait_until(lambda: len(watch.requests("generate")) > asked, 10, "the purchase")
    connection.close()
    wait_until(lambda: easel.log().count("the work goes on as task_") > missed, 10, "it is missed")


def again_until(easel, good, members):
    """A retry's pictures; another time where what went before has not been written down yet."""
    def ask():
        answer = easel.generate(headers=RETRY, **members)
        assert answer.status == 200 and answer.header("idempotent-replayed") == "true", answer
        return good(answer.json["data"]) and answer.json["data"]
    return wait_until(ask, 8, "the one that is meant")


@pytest.mark.parametrize("second", [{}, {"x-stainless-retry-count": "0"}, {"Idempotency-Key": "k-second"}])
def test_a_request_that_was_delivered_does_not_hide_the_same_one_whose_connection_broke(easel, sim, second):
    watch = Watch(sim)
    members = {"model": MODEL, "prompt": f"behind {second}", "response_format": "url"}
    leave_and_be_missed(easel, watch, **members)
    delivered = easel.generate(headers=second, **members)
    assert delivered.status == 200 and not delivered.header("idempotent-replayed"), delivered
    again_until(easel, lambda data: data != delivered.json["data"], members)
    assert len(watch.requests("generate")) == 2


def test_each_of_two_retries_gets_one_of_two_requests_whose_connections_broke(easel, sim):
    watch, members = Watch(sim), {"model": MODEL, "prompt": "both broke", "response_format": "url"}
    for _ in range(2):
        leave_and_be_missed(easel, watch, **members)
    first = again_until(easel, bool, members)
    again_until(easel, lambda data: data != first, members)
    assert len(watch.requests("generate")) == 2


def test_a_retry_that_waited_in_vain_does_not_hide_the_first_one(easel, sim):
    watch, members = Watch(sim), {"model": MODEL, "prompt": "waited in vain"}
    leave_and_be_missed(easel, watch, **members)
    error = expect_error(easel.generate(headers={**RETRY, "x-easel-deadline": "500ms"}, **members), 504, "deadline_exceeded", billed=True)
    assert re.match(TASK_ID, error["task_id"]), error
    again_until(easel, bool, members)
    assert watch.one()
