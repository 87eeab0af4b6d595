"""ModelScope: tasks, their polls, their failures, through the web server and a program."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from sim.pictures import serial_of
from support import MODELSCOPE_KEY, SLOW, Watch, expect_error, modelscope

QWEN, FLUS = "Qwen/Qwen-Image", "MAILAND/majicflus_v1"
DEADLINE_S = 4
TASK_S = 0.2
HEADERS = {"x-easel-deadline": f"{DEADLINE_S}s"}
CREDENTIAL, POLICY, PROVIDER, SETTINGS, CLIENT = (
    "provider-credential", "provider-policy", "provider", "gateway-config", "client")

# the fault; status, code, party, stage, may have been billed, words that are quoted
FAULTS = [
    # the submission
    ("code=no_sync", 502, "upstream_async_required", SETTINGS, "provider.submit", False, "synchronous calls"),
    ("code=needs_async", 400, "upstream_task_rejected", CLIENT, "provider.submit", False,
     "submit image generation task error"),
    ("code=needs_async,shape=error", 400, "upstream_task_rejected", CLIENT, "provider.submit", False,
     "submit image generation task error"),
    ("status=401", 502, "upstream_auth_failed", CREDENTIAL, "provider.submit", False, "valid ModelScope token"),
    ("code=not_bound", 502, "upstream_auth_failed", CREDENTIAL, "provider.submit", False, "bind"),
    ("code=quota", 502, "upstream_quota_exhausted", CREDENTIAL, "provider.submit", False, "today's quota"),
    ("code=concurrency", 429, "upstream_rate_limited", PROVIDER, "provider.submit", False, "one image generation"),
    ("code=busy", 502, "upstream_failed", PROVIDER, "provider.submit", False, "Server is busy"),
    ("status=500", 502, "upstream_failed", PROVIDER, "provider.submit", True, "Internal server error"),
    ("html502", 502, "upstream_failed", PROVIDER, "provider.submit", True, "502 Bad Gateway"),
    ("html403", 502, "upstream_challenge_page", POLICY, "provider.submit", False, "Just a moment"),
    ("not-json", 502, "upstream_garbage", PROVIDER, "provider.submit", True, None),
    ("reset-before", 502, "upstream_reset", PROVIDER, "provider.wait", True, None),
    ("truncate", 502, "upstream_truncated", PROVIDER, "provider.recv", True, None),
    ("task-id=..%2F", 502, "upstream_garbage", PROVIDER, "provider.submit", True, None),
    # the task
    ("task-fail", 502, "upstream_failed", PROVIDER, "provider.poll", True, "CUDA out of memory"),
    ("task-fail,words=message,message=no luck", 502, "upstream_failed", PROVIDER, "provider.poll", True, "no luck"),
    ("task-fail,words=task_msg,message=no luck", 502, "upstream_failed", PROVIDER, "provider.poll", True, "no luck"),
    ("task-fail,words=none", 502, "upstream_failed", PROVIDER, "provider.poll", True, "task_status FAILED"),
    ("task-fail,words=none,failed=CANCELED", 502, "upstream_failed", PROVIDER, "provider.poll", True, "CANCELED"),
    ("task-moderated", 400, "upstream_content_policy", POLICY, "provider.poll", True, "moderation"),
    ("task-lost", 502, "outcome_unknown", PROVIDER, "provider.poll", True, "task not found"),
    ("no-pictures", 502, "upstream_garbage", PROVIDER, "provider.poll", True, None),
    ("result=nothing", 502, "upstream_garbage", PROVIDER, "provider.poll", True, None),
    ("poll-fault=status:401", 502, "upstream_auth_failed", CREDENTIAL, "provider.poll", True, "valid ModelScope token"),
    # its picture
    ("not-an-image", 502, "result_not_image", PROVIDER, "fetch", True, None),
    ("private-url,which=metadata", 502, "result_fetch_refused", PROVIDER, "fetch", True, None),
    ("url-fault=status:403", 502, "result_fetch_failed", PROVIDER, "fetch", True, None),
]

# ends at the deadline: the fault, the stage
SLOW_ONES = [
    ("task-pending", "provider.poll"), ("task-forever", "provider.poll"),
    ("task-forever,running=WARMING_UP", "provider.poll"), ("poll-fault=silence", "provider.poll"),
    ("poll-fault=drip", "provider.poll"), ("poll-fault=status:502", "provider.poll"), ("silence", "provider.wait"),
    ("url-fault=silence", "fetch"),
]

# comes to a picture all the same
PASSING = [
    "poll-fault=status:502,poll-times=3", "poll-fault=status:500,poll-times=2",
    "poll-fault=status:429+retry_after:1,poll-times=1", "poll-fault=reset-before,poll-times=2",
    "poll-fault=truncate,poll-times=2", "poll-fault=not-json,poll-times=2", "poll-fault=wrong-type,poll-times=2",
    "poll-fault=status:404,poll-times=2", "running=WARMING_UP,task-seconds=1.5", "running=RUNNING", "succeeded=SUCCEEDED",
    "result=objects", "result=data", "result=images", "url-404-once,misses=1", "sync=images", "sync=data", "sync=output",
    "sync=strings", "sync=b64",
]


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    faults = [row[0] for row in FAULTS] + [row[0] for row in SLOW_ONES] + PASSING
    return start_easel({
        "providers": {"modelscope": modelscope(sim, concurrency=0)},  # what one of them waits for, none else does
        "deadline": {"grace": "1s"},
        "models": {**{m: {"provider": "modelscope"} for m in (QWEN, FLUS, "Tongyi-MAI/Z-Image-Turbo")},
                   **{f"{QWEN}@{f}": {"provider": "modelscope"} for f in faults}},
        "defaults": {"image_model": QWEN}})


@pytest.fixture(autouse=True)
def quick_tasks(sim):
    sim.reset()
    sim.defaults(task_seconds=TASK_S)
    yield
    sim.reset()


def at_once(easel, sim, faults, headers=()):
    """Most of their time is waiting, so all of them together: fault → (the answer, its submissions)."""
    sim.reset()
    sim.defaults(task_seconds=TASK_S)
    with ThreadPoolExecutor(len(faults)) as pool:
        answers = list(pool.map(lambda f: easel.generate(model=f"{QWEN}@{f}", headers=headers), faults))
    submissions = sim.requests(kind="generate")
    return {f: (a, [r for r in submissions if r["body"]["model"] == f"{QWEN}@{f}"]) for f, a in zip(faults, answers)}


@pytest.fixture(scope="module")
def passing(easel, sim):
    return at_once(easel, sim, PASSING)


@pytest.fixture(scope="module")
def failing(easel, sim):
    before = easel.files()
    answers = at_once(easel, sim, [row[0] for row in FAULTS])
    assert easel.files() == before, "a picture, or a piece of one, was left behind"
    return answers


@pytest.fixture(scope="module")
def slow(easel, sim):
    return at_once(easel, sim, [row[0] for row in SLOW_ONES], HEADERS)


def one_picture(easel, answer):
    assert answer.status == 200, answer
    item, = answer.json["data"]
    data = easel.stored(item["url"])
    assert serial_of(data)
    return data


# ---- the way of a task ----

def test_a_picture_comes_by_way_of_a_task(easel, sim):
    watch = Watch(sim)
    answer = easel.generate(size="1024x768", seed=7, steps=20, guidance=4.5, negative_prompt="lowres")
    one_picture(easel, answer)
    submission = watch.one("generate")
    assert submission["headers"]["x-modelscope-async-mode"] == "true"
    assert submission["headers"]["authorization"] == f"Bearer {MODELSCOPE_KEY}"
    assert submission["body"] == {"model": QWEN, "prompt": "a panda", "negative_prompt": "lowres", "size": "1024x768",
                                  "seed": 7, "steps": 20, "guidance": 4.5}
    polls = watch.requests("task")
    assert polls and all(p["headers"]["x-modelscope-task-type"] == "image_generation" for p in polls)
    picture = watch.one("picture")
    assert "authorization" not in picture["headers"] and "cookie" not in picture["headers"]
    assert answer.header("x-easel-params") is None, "everything was kept"
    assert sim.stats()["purchases"] == 1


def test_base64_is_served_from_its_url(easel):
    answer = easel.generate(response_format="b64_json")
    assert answer.status == 200 and answer.json["data"][0]["b64_json"].startswith("iVBOR")


def test_majicflus_too(easel, sim):
    watch = Watch(sim)
    answer = easel.generate(model=FLUS, size="2048x1024")
    one_picture(easel, answer)
    assert watch.one("generate")["body"]["size"] == "1024x512"
    assert "size=1024x512" in answer.header("x-easel-params")


def test_the_receipt_names_what_it_does_not_know_and_what_it_changed(easel, sim):
    watch = Watch(sim)
    answer = easel.generate(quality="high", style="vivid", background="opaque", user="u", moderation="low",
                            response_format="url", size="4096x4096", seed=2**31 + 5, steps=500, guidance=1)
    one_picture(easel, answer)
    receipt = dict(part.split("=", 1) for part in answer.header("x-easel-params").split("; "))
    assert receipt == {"size": "1664x1664", "quality": "dropped", "response_format": "served-here",
                       "background": "dropped", "moderation": "dropped", "style": "dropped", "user": "dropped",
                       "seed": "5", "steps": "100", "guidance": "1.5"}
    assert watch.one("generate")["body"] == {"model": QWEN, "prompt": "a panda", "size": "1664x1664", "seed": 5,
                                             "steps": 100, "guidance": 1.5}


def test_n_pictures_are_n_tasks_one_at_a_time(easel, sim):
    sim.defaults(task_limit=1)
    watch = Watch(sim)
    answer = easel.generate(n=3, seed=10)
    assert answer.status == 200, answer
    assert len({serial_of(easel.stored(i["url"])) for i in answer.json["data"]}) == 3
    assert [r["body"]["seed"] for r in watch.requests("generate")] == [10, 11, 12]
    assert "n=3 tasks" in answer.header("x-easel-params")
    assert sim.stats()["max_tasks_by_key"] == {MODELSCOPE_KEY: 1}


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_ends_in_a_picture(easel, passing, fault):
    answer, submissions = passing[fault]
    one_picture(easel, answer)
    assert len(submissions) == 1, "it is never bought again"


# ---- what goes wrong ----

@pytest.mark.parametrize("fault,status,code,party,stage,billed,words", FAULTS, ids=[r[0] for r in FAULTS])
def test_a_failure_is_told(failing, fault, status, code, party, stage, billed, words):
    answer, submissions = failing[fault]
    error = expect_error(answer, status, code, party=party, stage=stage, billed=billed)
    assert error["upstream"]["name"] == "modelscope"
    if words:
        assert words in error["upstream"]["message"]
    if words and code not in ("outcome_unknown", "upstream_challenge_page"):
        assert words in error["message"]
    if code in ("upstream_async_required", "upstream_task_rejected"):
        assert len(error["upstream"]["request_id"]) == 36
    assert MODELSCOPE_KEY not in answer.body.decode()
    assert sum(s["purchase"] for s in submissions) <= 1, "it is never bought again"
    assert len(submissions) == 1 or not billed, "asked again only where nothing can have been bought"


def test_the_async_refusal_is_certain(easel):
    assert easel.generate(model=f"{QWEN}@code=no_sync").error["hint"]["confidence"] == "certain"


@pytest.mark.parametrize("fault,stage", SLOW_ONES, ids=[r[0] for r in SLOW_ONES])
def test_a_deadline_ends_it(slow, fault, stage):
    answer, submissions = slow[fault]
    expect_error(answer, 504, "deadline_exceeded", stage=stage, billed=True)
    assert answer.header("x-should-retry") == "false"
    assert DEADLINE_S - 0.5 <= answer.seconds < (DEADLINE_S + 1) * SLOW
    assert len(submissions) == 1
    # the ledger adds up to the whole
    spent = sum(float(item.partition("dur=")[2]) for item in answer.header("server-timing").split(", "))
    assert 1000 * (DEADLINE_S - 0.5) <= spent <= 1000 * answer.seconds + 50, answer


def test_pictures_that_came_are_in_the_error(easel, sim):
    sim.faults({"delay": 0}, "task-fail")
    answer = easel.generate(n=2)
    error = expect_error(answer, 502, "images_incomplete", party="provider", billed=True)
    assert len(error["images"]) == 1 and serial_of(easel.stored(error["images"][0]["url"]))
    assert "CUDA" in error["upstream"]["message"]


@pytest.mark.parametrize("members,param", [({"prompt": "x" * 2000}, "prompt"),
                                           ({"negative_prompt": "x" * 2000}, "negative_prompt")])
def test_what_is_too_long_is_refused_before_anything_is_bought(easel, sim, members, param):
    expect_error(easel.generate(**members), 400, "string_above_max_length", param=param, party="client")
    assert not sim.requests(kind="generate")
    assert easel.generate(**{k: v[1:] for k, v in members.items()}).status == 200


def test_a_days_calls_run_out(easel, sim):
    sim.defaults(quota=1)
    assert easel.generate().status == 200
    error = expect_error(easel.generate(), 502, "upstream_quota_exhausted", party="provider-credential")
    assert "today's quota for model Qwen/Qwen-Image" in error["message"]


def test_without_the_dialect_the_header_is_missing_and_that_is_what_it_says(start_easel, sim):
    """The mistake that began it all: dialect openai for ModelScope."""
    wrong = start_easel({"providers": {"modelscope": modelscope(sim, dialect="openai")},
                         "models": {QWEN: {"provider": "modelscope"}}})
    error = expect_error(wrong.generate(model=QWEN), 400, "upstream_task_rejected", party="client")
    assert "submit image generation task error" in error["message"]
    sim.defaults(no_sync_text=True)
    error = expect_error(wrong.generate(model=QWEN), 502, "upstream_async_required", party="gateway-config")
    assert "dialect to modelscope" in error["hint"]["text"]
