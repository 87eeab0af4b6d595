"""Tasks end to end: taken in, run by the worker, read, listed, followed, cancelled; the older service's shapes."""
import base64
import concurrent.futures
import os
import re
import signal
import time

import pytest

from support import NOVELAI_TOKEN, SIM_KEY, Watch, expect_error, merge, wait_until
from tasks import (NAI, TASK_ID, Events, cancel, create, data_url, ended, faulty, kill_workers, older, older_end, path_of, read,
                   with_store)


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def easel(request, start_easel, sim):
    return start_easel(with_store(request, faulty(sim)))


# ---- the main way ----

def test_a_task_is_taken_in_run_and_read(easel, sim):
    watch = Watch(sim)
    answer = easel.post("/v1/tasks", {"prompt": "a panda", "model": "gpt-image-1"})
    task = answer.json
    assert answer.status == 202 and answer.header("location") == task["urls"]["self"], answer
    assert re.match(TASK_ID, task["id"]) and task["object"] == "task", task
    assert task["status"] in ("PENDING", "STARTED", "SUCCESS"), task
    assert task["urls"] == {"self": f"{easel.url}/v1/tasks/{task['id']}",
                            "events": f"{easel.url}/v1/tasks/{task['id']}/events",
                            "cancel": f"{easel.url}/v1/tasks/{task['id']}"}
    end = ended(easel, task)
    assert end["status"] == "SUCCESS" and end["error"] is None, end
    assert end["request_id"] == answer.header("x-request-id")
    assert end["created"] <= end["started"] <= end["ended"] <= time.time() + 1, end
    assert end["model"] == "gpt-image-1" and end["provider"] == "sim"
    assert end["queue_position"] is None and end["progress"] is None
    assert [(a["n"], a["provider"], a["outcome"], a["code"]) for a in end["attempts"]] == \
        [(1, "sim", "succeeded", None)], end
    picture, = end["images"]
    assert easel.stored(picture["url"])[:4] == b"\x89PNG"
    assert len(watch.requests("generate")) == 1

    def record():
        return [p for p in easel.get("/v1/images").json["data"] if p["task_id"] == task["id"]]
    kept, = wait_until(record, 10, "the picture's record")
    assert kept["url"] == picture["url"] and kept["prompt"] == "a panda" and kept["request_id"] == end["request_id"]


def test_an_edit_starts_from_its_picture(easel, sim):
    picture = easel.stored(ended(easel, create(easel))["images"][0]["url"])
    watch = Watch(sim)
    task = create(easel, prompt="the same at night", image=data_url(picture))
    assert ended(easel, task)["status"] == "SUCCESS"
    assert watch.requests("edit") or watch.requests("generate"), "it reached the provider"
    wait_until(lambda: not os.listdir(os.path.join(easel.state, "inputs")), 5, "the input picture is removed at the end")


def test_several_pictures_and_what_became_of_the_parameters(easel):
    end = ended(easel, create(easel, n=3, model="Qwen/Qwen-Image", quality="high"))
    assert end["status"] == "SUCCESS" and len({p["url"] for p in end["images"]}) == 3, end
    assert end["receipt"]["quality"] == "dropped", end
    assert end["model"] == "Qwen/Qwen-Image" and end["provider"] == "modelscope"


def test_a_default_model_is_written_down_when_the_task_is_taken_in(easel):
    assert ended(easel, create(easel, model=None))["model"] == "gpt-image-1"


# ---- what is refused at once ----

@pytest.mark.parametrize("members, status, code, param", [
    ({"prompt": None}, 400, "missing_required_parameter", "prompt"),
    ({"n": 11}, 400, "integer_above_max_value", "n"),
    ({"size": "big"}, 400, "invalid_value", "size"),
    ({"model": "nobody"}, 404, "model_not_found", "model"),
    ({"model": "gpt-4o-mini"}, 400, "model_not_image", "model"),
    ({"model": "dall-e-3", "image": "data:image/png;base64,AAAA"}, 400, "invalid_value", "image"),
    ({"image": 7}, 400, "invalid_type", "image"),
    ({"mask": "AAAA"}, 400, "missing_required_parameter", "images"),
    ({"callback_url": 7}, 400, "invalid_type", "callback_url"),
    ({"callback_url": "http://127.0.0.1/hook"}, 400, "url_not_allowed", "callback_url"),
    ({"callback_url": "http://2130706433/hook"}, 400, "url_not_allowed", "callback_url"),
    ({"callback_url": "http://[::1]/hook"}, 400, "url_not_allowed", "callback_url"),
    ({"callback_url": "https://localhost/hook"}, 400, "url_not_allowed", "callback_url"),
    ({"callback_url": "https://example.com:8443/hook"}, 400, "url_not_allowed", "callback_url"),
    ({"callback_url": "ftp://example.com/hook"}, 400, "url_not_allowed", "callback_url"),
    ({"callback_url": "https://a:b@example.com/"}, 400, "url_not_allowed", "callback_url"),
    ({"callback_url": "https://example.com/" + "a" * 2048}, 400, "url_not_allowed", "callback_url"),
])
def test_what_can_be_judged_is_judged_when_it_is_taken_in(easel, sim, members, status, code, param):
    watch = Watch(sim)
    value = {"prompt": "a panda", "model": "gpt-image-1", **members}
    answer = easel.post("/v1/tasks", {k: v for k, v in value.items() if v is not None})
    expect_error(answer, status, code, param=param, party="client")
    assert not watch.requests()


def test_bodies_and_ids_that_are_none(easel):
    expect_error(easel.post("/v1/tasks", b"{"), 400, "invalid_json")
    for path in ("/v1/tasks/task_0", "/v1/tasks/" + "x" * 200, "/v1/tasks/task_0/events", "/v1/tasks/%27;drop"):
        expect_error(easel.get(path), 404, "not_found")
    expect_error(easel.request("DELETE", "/v1/tasks/task_0"), 404, "not_found")
    expect_error(easel.request("PUT", "/v1/tasks/task_0"), 405, "method_not_allowed")
    expect_error(easel.get("/v1/tasks/task_0/event"), 404, "endpoint_not_found")
    expect_error(easel.get("/v1/tasks", key=False), 401, "missing_bearer_token")


# ---- what the provider says ----

@pytest.mark.parametrize("fault, code, billed", [
    ("status=401", "upstream_auth_failed", False), ("code=moderation_blocked", "upstream_content_policy", False),
    ("status=500", "upstream_failed", True)])
def test_a_failure_is_told_and_never_tried_again_when_it_may_have_been_billed(easel, sim, fault, code, billed):
    watch = Watch(sim)
    task = create(easel, model=f"gpt-image-1@{fault}")
    end = ended(easel, task)
    error = end["error"]
    assert (end["status"], error["code"], error["may_have_been_billed"]) == ("FAILURE", code, billed), end
    assert error["task_id"] == task["id"] and error["request_id"] == end["request_id"]
    assert end["attempts"][-1]["outcome"] == "failed" and end["attempts"][-1]["code"] == code
    zh = {"Accept-Language": "zh-CN,zh;q=0.9"}
    chinese, older = (easel.get(path + task["id"], headers=zh).json for path in ("/v1/tasks/", "/task_status/"))
    assert re.search("[\u4e00-\u9fff]", chinese["error"]["message"]), chinese
    assert re.search("[\u4e00-\u9fff]", chinese["error"]["hint"]["text"]) and older["error"] == chinese["error"]["message"]
    assert {**chinese["error"], "message": 0, "hint": 0} == {**error, "message": 0, "hint": 0}, "nothing else is another"
    assert len(watch.requests("generate")) == 1


# ---- cancelling ----

def test_a_task_that_waits_is_cancelled_and_never_sent(easel, sim):
    watch = Watch(sim)
    first = create(easel, model=f"{NAI}@delay=2")
    second = create(easel, model=f"{NAI}@delay=2")
    wait_until(lambda: watch.requests("generate"), 10, "the first task's call")
    third = create(easel, model=f"{NAI}@delay=2")
    assert [read(easel, t)["queue_position"] for t in (second, third)] == [1, 2]
    answer = cancel(easel, second)
    assert answer.status == 200 and answer.json["status"] == "REVOKED", answer
    assert read(easel, third)["queue_position"] == 1
    error = expect_error(cancel(easel, second), 409, "task_terminal")
    assert "REVOKED" in error["message"]
    assert cancel(easel, third).json["status"] == "REVOKED"
    assert ended(easel, first)["status"] == "SUCCESS"
    expect_error(cancel(easel, first), 409, "task_terminal")
    assert len(watch.requests("generate")) == 1, "only the first was sent"


def test_a_task_that_runs_is_cancelled_and_its_late_result_dropped(easel, sim):
    watch = Watch(sim)
    task = create(easel, model="gpt-image-1@delay=2")
    wait_until(lambda: watch.requests("generate"), 10, "the call")
    assert cancel(easel, task).json["status"] in ("STARTED", "REVOKED")
    end = ended(easel, task)
    assert end["status"] == "REVOKED" and end["images"] == [] and end["error"] is None, end
    assert len(watch.requests("generate")) == 1


# ---- lists, other keys, events ----

def test_a_list_has_the_callers_tasks_newest_first(easel):
    key = easel.run("keys", "create", "--name", "lister").stdout.strip()
    tasks = [create(easel, key=key) for _ in range(5)]
    for t in tasks:
        wait_until(lambda: read(easel, t, key=key)["status"] == "SUCCESS", 20, "the end")
    ids = [t["id"] for t in reversed(tasks)]

    def page(query=""):
        answer = easel.get("/v1/tasks" + query, key=key)
        assert answer.status == 200 and answer.json["object"] == "list", answer
        return [t["id"] for t in answer.json["data"]], answer.json["has_more"]

    assert page() == (ids, False)
    assert page("?limit=2") == (ids[:2], True)
    assert page(f"?limit=2&after={ids[1]}") == (ids[2:4], True)
    assert page(f"?limit=2&after={ids[3]}") == (ids[4:], False)
    assert page("?limit=5") == (ids, False)
    assert page("?status=SUCCESS") == (ids, False) and page("?status=PENDING") == ([], False)
    assert page("?limit=100") == (ids, False) and page(f"?after={ids[4]}") == ([], False)
    assert page("?status=REVOKED") == ([], False) and page("?limit=2&status=%53UCCESS") == (ids[:2], True)
    for query, param, code in (("?limit=0", "limit", "integer_below_min_value"),
                               ("?limit=101", "limit", "integer_above_max_value"),
                               ("?limit=many", "limit", "invalid_type"), ("?status=done", "status", "invalid_value"),
                               ("?limit=1&limit=2", "limit", "invalid_value"),
                               ("?after=task_0", "after", "invalid_value"),
                               (f"?after={create(easel)['id']}", "after", "invalid_value")):
        expect_error(easel.get("/v1/tasks" + query, key=key), 400, code, param=param)
    assert "sort" in easel.get("/v1/tasks?sort=up", key=key).header("x-easel-params")
    for path in (f"/v1/tasks/{ids[0]}", f"/v1/tasks/{ids[0]}/events"):
        expect_error(easel.get(path), 404, "not_found")
    expect_error(easel.request("DELETE", f"/v1/tasks/{ids[0]}"), 404, "not_found")
    assert easel.get(f"/task_status/{ids[0]}").status == 404


def test_events_tell_each_change_and_the_end(easel):
    task = create(easel, model="gpt-image-1@delay=2")
    with Events(easel, task) as stream:
        events = stream.rest()
    names = [e.name for e in events]
    assert names[-1] == "done" and set(names[:-1]) == {"task"} and len(names) >= 3, names
    states = [e.data["status"] for e in events]
    assert states[-2:] == ["SUCCESS", "SUCCESS"] and "STARTED" in states, states
    assert any(e.data["progress"] and e.data["progress"]["stage"] == "provider.submit" for e in events)
    assert events[-1].data == read(easel, task)


# ---- the older service's shapes ----

def test_the_older_way_makes_a_picture_with_the_callers_token(easel, sim):
    watch = Watch(sim)
    token = "pst-sim-the-callers-own-token-0001"
    answer = older(easel, token=f" \n{token}\r\n ")
    assert answer.status == 200 and answer.json == {
        "success": True, "task_id": answer.json["task_id"], "message": "图像生成任务已提交"}, answer
    end = older_end(easel, answer.json["task_id"])
    assert (end["status"], end["success"]) == ("SUCCESS", True), end
    head, _, data = end["image_url"].partition(",")
    assert head == "data:image/png;base64" and base64.b64decode(data, validate=True)[:4] == b"\x89PNG"
    sent = watch.one()
    assert sent["headers"]["authorization"].endswith(token), "trimmed, and not the gateway's own"
    parameters = sent["body"]["parameters"]
    assert (parameters["width"], parameters["height"], parameters["scale"], parameters["steps"]) == (832, 1216, 5.5, 28)
    assert parameters["sampler"] == "k_euler_ancestral"


def test_the_older_way_logs_in_and_starts_from_a_picture(easel, sim):
    picture = easel.stored(ended(easel, create(easel))["images"][0]["url"])
    before = sim.stats()["logins"]
    answer = older(easel, auth_type="login", token=None, email=" user@example.com\n", password=" password123 \n",
                   image=base64.b64encode(picture).decode(), strength=0.6, noise=0.1)
    assert answer.status == 200, answer
    assert older_end(easel, answer.json["task_id"])["success"] is True
    assert sim.stats()["logins"] - before in (0, 1)


@pytest.mark.parametrize("members, status, code", [
    ({"auth_type": None}, 400, "missing_required_parameter"), ({"auth_type": "key"}, 400, "invalid_value"),
    ({"token": None}, 400, "missing_required_parameter"), ({"token": "  \n"}, 400, "missing_required_parameter"),
    ({"token": 7}, 400, "invalid_type"), ({"token": "pst-sim-a\nb"}, 400, "invalid_value"),
    ({"auth_type": "login"}, 400, "missing_required_parameter"),
    ({"auth_type": "login", "email": "user@example.com"}, 400, "missing_required_parameter"),
    ({"prompt": None}, 400, "missing_required_parameter"), ({"steps": "28"}, 400, "invalid_type"),
    ({"resolution": "tall"}, 400, "invalid_value"), ({"model": "nobody"}, 404, "model_not_found"),
    ({"model": "gpt-image-1"}, 400, "invalid_value"), ({"image": "no picture"}, 400, "invalid_value")])
def test_the_older_way_has_its_own_envelope_for_errors(easel, members, status, code):
    answer = older(easel, **members)
    assert answer.status == status, answer
    assert set(answer.json) == {"success", "error", "code", "request_id"}, answer
    assert answer.json["success"] is False and answer.json["code"] == code, answer
    assert answer.json["request_id"] == answer.header("x-request-id")
    assert NOVELAI_TOKEN not in answer.body.decode()


def test_the_older_way_says_who_refused_the_callers_credential(easel):
    answer = older(easel, token="not-a-novelai-token-0123456789")
    end = older_end(easel, answer.json["task_id"])
    assert (end["status"], end["success"]) == ("FAILURE", False) and "401" in end["error"], end
    error = read(easel, {"id": answer.json["task_id"]})["error"]
    assert error["code"] == "provider_credential_refused" and error["party"] == "client", error


def test_the_older_way_needs_a_bearer_and_knows_its_tasks(easel):
    for method, path in (("POST", "/generate"), ("GET", "/task_status/task_0"), ("GET", "/queue_status"),
                         ("POST", "/cancel_task/task_0")):
        answer = easel.request(method, path, key=False)
        assert answer.status == 401 and answer.json["success"] is False, answer
    for method, path in (("GET", "/task_status/task_0"), ("POST", "/cancel_task/task_0")):
        answer = easel.request(method, path)
        assert answer.status == 404 and answer.json["code"] == "not_found", answer
    queue = easel.get("/queue_status")
    assert queue.status == 200 and queue.json["success"] is True, queue
    assert set(queue.json["queue_info"]) == {"total_pending", "running", "queue_length"}


def test_the_older_way_cancels(easel, sim):
    watch = Watch(sim)
    create(easel, model=f"{NAI}@delay=2")
    wait_until(lambda: watch.requests("generate"), 10, "the call that is in the way")
    task_id = older(easel, token=easel.config["providers"]["novelai"]["token"]).json["task_id"]
    assert easel.get("/queue_status").json["queue_info"]["total_pending"] >= 1
    answer = easel.request("POST", "/cancel_task/" + task_id)
    assert answer.status == 200 and answer.json["success"] is True and answer.json["message"], answer
    end = older_end(easel, task_id)
    assert (end["status"], end["success"]) == ("REVOKED", False), end
    answer = easel.request("POST", "/cancel_task/" + task_id)
    assert answer.status == 409 and answer.json["code"] == "task_terminal", answer


# ---- one account at a time ----

def test_an_accounts_tasks_run_one_at_a_time_and_hold_up_no_other(easel, sim):
    """A hundred of one account, then twenty of another: the twenty go on as fast as the provider makes them."""
    watch = Watch(sim)
    accounts = [f"pst-sim-account-{n}-{os.path.basename(easel.folder)}" for n in ("one", "two")]
    asked = {account: [] for account in accounts}
    for account, n in zip(accounts, (100, 20)):
        for i in range(n):
            answer = older(easel, token=account, model=f"{NAI}@delay=0.05", prompt=f"number {i}")
            assert answer.status == 200, answer
            asked[account].append(answer.json["task_id"])
    for task_id in asked[accounts[1]]:
        assert older_end(easel, task_id)["success"] is True
    assert easel.get("/queue_status").json["queue_info"]["total_pending"] > 20, "the many are still at it"
    for task_id in asked[accounts[0]]:
        assert older_end(easel, task_id)["success"] is True

    sent = [r["headers"]["authorization"].split()[-1] for r in watch.requests("generate")]
    assert [sent.count(account) for account in accounts] == [100, 20], "each was bought once"
    first, last = sent.index(accounts[1]), len(sent) - sent[::-1].index(accounts[1])
    between = sent[first:last].count(accounts[0])
    # Alone they would be one behind the other; beside another line there is one of that line for each.
    assert between <= 2 * 20, f"the twenty had to wait for {between} of the others"
    for account in accounts:
        prompts = [r["body"]["input"] for r in watch.requests("generate") if r["headers"]["authorization"].endswith(account)]
        assert [p.split(",")[0] for p in prompts] == [f"number {i}" for i in range(len(prompts))], "first come, first served"
    most = sim.stats()["max_generations_by_account"]
    assert [n for name, n in most.items() if any(a in name for a in accounts)] == [1, 1], most


@pytest.mark.parametrize("provider", [{"api_key": SIM_KEY, "concurrency": 2},
                                      {"api_keys": ["sk-sim-a", "sk-sim-b"], "concurrency": 1}],
                         ids=["two of a key", "one of two keys"])
def test_a_long_queue_at_one_provider_leaves_places_for_others(start_easel, sim, provider):
    """More tasks than the workers have places, of a provider that serves two at once."""
    sim.reset()
    easel = start_easel({
        "process": {"task-worker": {"workers": 2, "max_in_flight": 4}},
        "providers": {"two": {"dialect": "openai", "base_url": sim.base_url + "/v1", **provider},
                      "preview": {"dialect": "preview"}},
        "models": {"gpt-image-1@delay=2": {"provider": "two"}, "easel-preview": {"provider": "preview"}}})
    many = [create(easel, model="gpt-image-1@delay=2") for _ in range(12)]
    assert ended(easel, create(easel, model="easel-preview"))["status"] == "SUCCESS"
    assert read(easel, many[-1])["status"] == "PENDING", "the many are still at it"
    for task in many:
        assert ended(easel, task, 60)["status"] == "SUCCESS"
    assert sim.stats()["max_in_flight"] == 2


# ---- secrets ----

def test_credentials_are_found_nowhere(easel, sim):
    canaries = ["pst-sim-canary-token-5f1d0c7be2", "canary-password-93b1", "canary.address@example.org"]
    watch = Watch(sim)
    create(easel, model=f"{NAI}@delay=2")
    wait_until(lambda: watch.requests("generate"), 10, "the call that is in the way")
    one = older(easel, token=canaries[0]).json["task_id"]
    two = older(easel, token=None, auth_type="login", email=canaries[2], password=canaries[1]).json["task_id"]

    def search(when):
        for folder, _, names in os.walk(easel.folder):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as f:
                        data = f.read()
                    for c in canaries:
                        assert c.encode() not in data, f"{c} in {path} {when}"
        for p in easel.tree():
            for c in canaries:
                assert c not in p.command and c.encode() not in p.read("environ"), f"{c} in {p} {when}"

    search("while they wait")
    assert older_end(easel, one)["success"] is True
    assert older_end(easel, two)["success"] is False
    search("at the end")
    for task_id in (one, two):
        text = easel.get("/v1/tasks/" + task_id).body.decode() + easel.get("/task_status/" + task_id).body.decode()
        assert not any(c in text for c in canaries)
    assert not any(c in easel.log() for c in canaries)


# ---- workers that die ----

def test_what_a_killed_worker_had_in_hand_is_bought_once(easel, sim):
    """Before it was sent: it is run.  After: it is gone on with where that can be, else said to be unknown."""
    watch = Watch(sim)
    accepted = create(easel, model="Qwen/Qwen-Image@task-seconds=6", prompt="accepted")
    sent = create(easel, model="gpt-image-1@delay=6", prompt="sent", n=2)
    wait_until(lambda: read(easel, accepted)["progress"]["stage"] == "provider.wait", 20, "the provider's task")
    wait_until(lambda: len(watch.requests("generate")) == 2, 20, "both calls")
    waits = create(easel, model=f"{NAI}@delay=3", prompt="waits")
    wait_until(lambda: len(watch.requests("generate")) == 3, 20, "its call")
    queued = create(easel, model=f"{NAI}@delay=0.2", prompt="queued")
    kill_workers(easel)
    assert {read(easel, t)["status"] for t in (accepted, sent, waits)} == {"STARTED"}
    end = ended(easel, sent, 60)
    assert (end["status"], end["error"]["code"]) == ("FAILURE", "outcome_unknown"), end
    assert end["error"]["may_have_been_billed"] is True and end["attempts"][-1]["outcome"] == "worker_lost", end
    end = ended(easel, waits, 60)
    assert (end["status"], end["error"]["code"]) == ("FAILURE", "outcome_unknown"), end
    end = ended(easel, accepted, 60)
    assert end["status"] == "SUCCESS" and len(end["images"]) == 1, end
    assert ended(easel, queued, 60)["status"] == "SUCCESS"
    assert len(watch.requests("generate")) == 4, "each was bought once"


def test_what_was_claimed_and_not_sent_is_run_by_the_next_worker(easel, sim):
    """The account's slot is held by a synchronous request, so the worker waits with the task in hand."""
    watch = Watch(sim)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(easel.generate, model=f"{NAI}@delay=6", response_format="url")
        wait_until(lambda: watch.requests("generate"), 20, "the synchronous call")
        task = create(easel, model=f"{NAI}@delay=0.2")
        wait_until(lambda: read(easel, task)["status"] == "STARTED", 20, "the claim")
        kill_workers(easel)
        assert first.result().status == 200
    end = ended(easel, task, 60)
    assert end["status"] == "SUCCESS", end
    assert len(watch.requests("generate")) == 2


def test_workers_that_are_told_to_leave_give_back_what_was_not_sent(easel, sim):
    watch = Watch(sim)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(easel.generate, model=f"{NAI}@delay=6", response_format="url")
        wait_until(lambda: watch.requests("generate"), 20, "the synchronous call")
        task = create(easel, model=f"{NAI}@delay=0.2")
        running = create(easel, model="gpt-image-1@delay=2")
        wait_until(lambda: len(watch.requests("generate")) == 2 and read(easel, task)["status"] == "STARTED", 20,
                   "the claims")
        parent, = [p for p in easel.named("handlers/task-worker") if p.parent == easel.process.pid]
        os.kill(parent.pid, signal.SIGTERM)
        # Long before its lease would have run out.
        wait_until(lambda: read(easel, task)["status"] == "RETRY" or len(read(easel, task)["attempts"]) == 0 and
                   read(easel, task)["queue_position"], 5, "the task's return to the queue")
        assert first.result().status == 200
    assert ended(easel, running)["status"] == "SUCCESS", "what was sent is finished"
    assert ended(easel, task)["status"] == "SUCCESS"
    assert len(watch.requests("generate")) == 3


# ---- the rest of the settings ----

def test_a_queue_that_is_full_and_tasks_that_have_expired(start_easel, sim):
    easel = start_easel(merge(faulty(sim), {"limits": {"queue_length": 2}, "store": {"keep_tasks": "1s"},
                                            "providers": {"novelai": {"token": NOVELAI_TOKEN + "-third"}}}))
    watch = Watch(sim)
    first = create(easel, model=f"{NAI}@delay=2")
    wait_until(lambda: watch.requests("generate"), 20, "the call")
    two = [create(easel, model=f"{NAI}@delay=0.2") for _ in range(2)]
    answer = easel.post("/v1/tasks", {"prompt": "one more", "model": NAI})
    error = expect_error(answer, 429, "rate_limited", party="client", stage="queue")
    assert "queue" in error["message"] and int(answer.header("retry-after")) >= 1
    answer = older(easel)
    assert answer.status == 429 and answer.json["code"] == "rate_limited", answer
    wait_until(lambda: easel.get("/v1/tasks/" + first["id"]).status == 410, 20, "its expiry")
    expect_error(easel.get("/v1/tasks/" + first["id"]), 410, "expired")
    assert easel.get("/task_status/" + first["id"]).json["code"] == "expired"
    wait_until(lambda: easel.get("/v1/tasks/" + two[1]["id"]).status == 410, 20, "theirs")


# ---- asked for once more ----

def test_a_task_under_the_same_key_is_the_same_task_and_its_first_answer(easel, sim):
    watch, headers = Watch(sim), {"Idempotency-Key": "t-replay"}
    body = {"prompt": "a panda", "model": "gpt-image-1", "n": 2, "callback_url": None}
    first = easel.post("/v1/tasks", body, headers)
    end = ended(easel, first.json)
    again = easel.post("/v1/tasks", dict(reversed(body.items())), headers)
    assert first.status == again.status == 202 and first.body == again.body, (first, again)
    assert again.header("idempotent-replayed") == "true" and not first.header("idempotent-replayed")
    assert again.header("location") == first.header("location")
    assert end["status"] == "SUCCESS" and len(watch.requests("generate")) == 1


@pytest.mark.parametrize("members", [{"prompt": "a bear"}, {"n": 2}, {"callback_url": "https://example.com/hook"},
                                     {"image": "data:image/png;base64,"}])
def test_another_task_under_the_same_key_is_a_mismatch(easel, members):
    headers, body = {"Idempotency-Key": f"t-{next(iter(members))}"}, {"prompt": "a panda", "model": "gpt-image-1"}
    assert easel.post("/v1/tasks", body, headers).status == 202
    if "image" in members:
        members["image"] += base64.b64encode(easel.stored(ended(easel, create(easel))["images"][0]["url"])).decode()
    expect_error(easel.post("/v1/tasks", {**body, **members}, headers), 422, "idempotency_mismatch", "Idempotency-Key")
    expect_error(easel.generate(headers, **body), 422, "idempotency_mismatch", "Idempotency-Key")


def test_the_same_task_asked_for_many_times_at_once_is_one_task(easel, sim):
    watch, body = Watch(sim), {"prompt": "all at once", "model": "gpt-image-1"}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: easel.post("/v1/tasks", body, {"Idempotency-Key": "t-many"}), range(48)))
    assert {a.status for a in answers} == {202}, answers
    task, = {a.json["id"] for a in answers}
    assert len([a for a in answers if a.header("idempotent-replayed")]) == 47
    assert ended(easel, {"id": task})["status"] == "SUCCESS" and len(watch.requests("generate")) == 1


def test_a_task_that_was_refused_may_be_asked_for_anew_under_its_key(easel):
    headers = {"Idempotency-Key": "t-refused"}
    expect_error(easel.post("/v1/tasks", {"prompt": "a panda", "size": "big"}, headers), 400, "invalid_value", "size")
    answer = easel.post("/v1/tasks", {"prompt": "a panda"}, headers)
    assert answer.status == 202 and not answer.header("idempotent-replayed"), answer


def test_a_key_of_another_caller_is_another_key(easel):
    other, headers = easel.run("keys", "create", "--name", "t-other").stdout.strip(), {"Idempotency-Key": "t-owner"}
    first = easel.post("/v1/tasks", {"prompt": "a panda"}, headers)
    answer = easel.post("/v1/tasks", {"prompt": "a bear"}, headers, key=other)
    assert answer.status == 202 and answer.json["id"] != first.json["id"], answer
    assert not answer.header("idempotent-replayed")


@pytest.mark.parametrize("key, code", [("k" * 255, None), ("k" * 256, "string_above_max_length"), ("k\xe9", "invalid_value"),
                                       (" ~!", None), ("k\tk", "invalid_value")])
def test_how_a_tasks_key_may_look(easel, key, code):
    answer = easel.post("/v1/tasks", {"prompt": "a panda"}, {"Idempotency-Key": key})
    if code:
        expect_error(answer, 400, code, "Idempotency-Key")
    else:
        assert answer.status == 202, answer


def test_an_sdks_retry_of_a_task_is_the_same_task_and_another_request_is_not(easel, sim):
    body, first, retry = {"prompt": "tried again"}, {"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}
    answers = [easel.post("/v1/tasks", body, h) for h in (first, retry, {"x-stainless-retry-count": "2"}, first)]
    assert [a.status for a in answers] == [202] * 4, answers
    ids = [a.json["id"] for a in answers]
    assert ids[0] == ids[1] == ids[2] != ids[3], ids
    assert [a.header("idempotent-replayed") for a in answers] == [None, "true", "true", None]
    other = easel.post("/v1/tasks", {"prompt": "never asked before"}, retry)
    assert other.status == 202 and not other.header("idempotent-replayed"), other


def test_the_older_route_knows_the_key_too_and_tells_accounts_apart(easel):
    headers = {"Idempotency-Key": "t-older"}
    body = {"auth_type": "token", "token": f"{NOVELAI_TOKEN}-older", "model": NAI, "prompt": "a panda"}
    first, again = (easel.post("/generate", body, headers) for _ in range(2))
    assert first.status == again.status == 200 and first.json == again.json, (first, again)
    assert again.header("idempotent-replayed") == "true"
    other = easel.post("/generate", {**body, "token": f"{NOVELAI_TOKEN}-another"}, headers)
    assert other.status == 422 and other.json["code"] == "idempotency_mismatch", other
