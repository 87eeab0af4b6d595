"""What tasks are taken in: pictures to start from in both interfaces, whose account, by whom, and how many."""
import base64
import hashlib
import os

import pytest

from sim.pictures import bare, jpeg, png, segment
from support import NOVELAI_TOKEN, Watch, expect_error, merge, wait_until
from tasks import NAI, create, data_url, ended, faulty, older, older_end, path_of, read

PNG, JPEG, MASK = bare(png(1, 128, 64)), bare(jpeg(2, 128, 64)), bare(png(3, 128, 64, None, True))


def installation(start_easel, sim, account, **limits):
    return start_easel(merge(faulty(sim), {"providers": {"novelai": {"token": f"{NOVELAI_TOKEN}-{account}"}},
                                           "limits": limits}))


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return installation(start_easel, sim, "intake")


def new_key(easel, name, *more):
    return easel.run("keys", "create", "--name", name, *more).stdout.strip()


def hashes(watch):
    return [p["sha256"] for p in watch.one("edit")["body"] if p["filename"] is not None]


def sha(data):
    return hashlib.sha256(data).hexdigest()


def text(data):
    return base64.b64encode(data).decode()


# ---- pictures to start from ----

@pytest.mark.parametrize("members, sent", [
    ({"image": data_url(PNG)}, [PNG]), ({"image": text(PNG)}, [PNG]),
    ({"image": [data_url(PNG), data_url(JPEG, "jpeg")]}, [PNG, JPEG]),
    ({"images": [{"image_url": data_url(PNG)}, {"image_url": data_url(JPEG, "jpeg")}]}, [PNG, JPEG]),
    ({"image": data_url(PNG), "mask": data_url(MASK)}, [PNG, MASK]),
    ({"images": [{"image_url": data_url(PNG)}], "mask": {"image_url": data_url(MASK)}}, [PNG, MASK])], ids=range(6))
def test_a_task_starts_from_pictures(easel, sim, members, sent):
    watch = Watch(sim)
    task = create(easel, **members)
    end = ended(easel, task)
    assert end["status"] == "SUCCESS" and len(end["images"]) == 1, end
    assert hashes(watch) == [sha(p) for p in sent]
    wait_until(lambda: not os.listdir(os.path.join(easel.state, "inputs")), 5, "they are removed at the end")


def test_the_pictures_of_a_cancelled_task_are_removed(easel, sim):
    watch = Watch(sim)
    create(easel, model=f"{NAI}@delay=2")
    wait_until(lambda: watch.requests("generate"), 10, "the call that is in the way")
    wait_until(lambda: not os.listdir(os.path.join(easel.state, "inputs")), 5, "nothing is left of others")
    task = create(easel, model=NAI, image=data_url(PNG))
    assert len(os.listdir(os.path.join(easel.state, "inputs"))) == 1
    for name in os.listdir(os.path.join(easel.state, "inputs")):
        assert os.stat(os.path.join(easel.state, "inputs", name)).st_mode & 0o777 == 0o600
    answer = easel.request("DELETE", path_of(task["urls"]["cancel"]))
    assert answer.json["status"] == "REVOKED", answer
    assert not os.listdir(os.path.join(easel.state, "inputs"))


def test_what_a_photograph_tells_about_its_maker_is_not_kept(easel, sim):
    whole = jpeg(4, 128, 64)
    private = whole[:2] + segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08gps-secret-place") + whole[2:]
    watch = Watch(sim)
    end = ended(easel, create(easel, image=data_url(private, "jpeg")))
    assert end["status"] == "SUCCESS" and hashes(watch) != [sha(private)], end


@pytest.mark.parametrize("image", [text(PNG), data_url(PNG)], ids=["base64", "data-url"])
def test_the_older_way_starts_from_a_picture(easel, sim, image):
    watch = Watch(sim)
    task_id = older(easel, image=image, strength=0.6, noise=0.1).json["task_id"]
    end = older_end(easel, task_id)
    assert end["success"] is True and end["image_url"].startswith("data:image/png;base64,"), end
    body = watch.one()["body"]
    p = body["parameters"]
    assert body["action"] == "img2img" and (p["strength"], p["noise"]) == (0.6, 0.1), p
    assert (p["width"], p["height"]) == (832, 1216), "portrait"


@pytest.mark.parametrize("given, sent", [
    ({"scale": 11}, 5.5), ({"scale": 5}, 5), ({"scale": None}, None), ({"scale": 10}, 10)])
def test_the_older_scale(easel, sim, given, sent):
    watch = Watch(sim)
    assert older_end(easel, older(easel, **given).json["task_id"])["success"] is True
    scale = watch.one()["body"]["parameters"]["scale"]
    assert scale == sent if sent else 0 < scale <= 10


def test_the_older_way_with_nothing_but_a_prompt_and_an_account(easel, sim):
    watch = Watch(sim)
    answer = easel.post("/generate", {"auth_type": "token", "token": NOVELAI_TOKEN + "-bare", "prompt": "a cat"})
    assert older_end(easel, answer.json["task_id"])["success"] is True
    p = watch.one()["body"]["parameters"]
    assert (p["width"], p["height"], p["steps"], p["sampler"]) == (832, 1216, 28, "k_euler_ancestral"), p


# ---- whose account ----

@pytest.mark.parametrize("members", [
    {"token": "not-a-novelai-token-0123456789"},
    {"token": None, "auth_type": "login", "email": "user@example.com", "password": "not the password"}],
    ids=["token", "login"])
def test_a_refused_account_is_its_owners_move(easel, sim, members):
    watch = Watch(sim)
    task_id = older(easel, **members).json["task_id"]
    end = older_end(easel, task_id)
    assert (end["status"], end["success"]) == ("FAILURE", False) and end["error"], end
    end = read(easel, {"id": task_id})
    assert (end["error"]["party"], end["error"]["may_have_been_billed"]) == ("client", False), end
    assert end["error"]["code"] == "provider_credential_refused", end
    assert len(watch.requests("generate")) <= 1 and len(end["attempts"]) <= 1, "not tried again"
    for name in ("token", "email", "password"):
        assert not members.get(name) or members[name] not in str(end)


def test_the_same_account_goes_on_when_the_operators_is_busy(easel, sim):
    """A caller's account stands in a line of its own."""
    watch = Watch(sim)
    create(easel, model=f"{NAI}@delay=2")
    wait_until(lambda: watch.requests("generate"), 10, "the operator's call")
    own = older(easel, token=NOVELAI_TOKEN + "-of-somebody").json["task_id"]
    behind = create(easel, model=NAI)
    assert older_end(easel, own)["success"] is True
    assert read(easel, behind)["status"] == "PENDING"
    assert ended(easel, behind)["status"] == "SUCCESS"


# ---- by whom, and how many ----

ROUTES = (("POST", "/v1/tasks"), ("GET", "/v1/tasks"), ("GET", "/v1/tasks/task_0"), ("DELETE", "/v1/tasks/task_0"),
          ("GET", "/v1/tasks/task_0/events"), ("POST", "/generate"), ("GET", "/task_status/task_0"), ("GET", "/queue_status"),
          ("POST", "/cancel_task/task_0"))


@pytest.mark.parametrize("method, path", ROUTES, ids=[f"{m} {p}" for m, p in ROUTES])
def test_every_route_wants_the_scope_of_tasks(easel, method, path):
    if not hasattr(easel, "scoped"):
        easel.scoped = [new_key(easel, "pictures", "--scope", "images,chat,requests"), new_key(easel, "tasks", "--scope", "tasks")]
    wrong, right = easel.scoped
    body, headers = (b"{}", {"Content-Type": "application/json"}) if method == "POST" else (None, {})
    answer = easel.request(method, path, body, headers, key=wrong)
    code = answer.json["code"] if "success" in answer.json else answer.error["code"]
    assert (answer.status, code) == (403, "insufficient_scope"), answer
    assert easel.request(method, path, body, headers, key=right).status in (200, 400, 404)
    answer = easel.request(method, path, body, headers, key=False)
    assert answer.status == 401, answer


def test_tasks_that_are_taken_in_count_and_looking_at_them_does_not(start_easel, sim):
    easel = installation(start_easel, sim, "three", requests_per_minute=3)
    tasks = [create(easel), create(easel), {"id": older(easel).json["task_id"]}]
    for task in tasks:
        for _ in range(3):
            assert easel.get("/v1/tasks/" + task["id"]).status == 200
            assert easel.get("/task_status/" + task["id"]).status == 200
    assert easel.get("/v1/tasks").status == easel.get("/queue_status").status == 200
    error = expect_error(easel.post("/v1/tasks", {"prompt": "one more", "model": "gpt-image-1"}), 429, "rate_limited",
                         party="client", stage="limit")
    assert "requests_per_minute = 3" in error["message"]
    answer = older(easel)
    assert (answer.status, answer.json["code"]) == (429, "rate_limited") and int(answer.header("retry-after")) >= 1


def test_a_tasks_pictures_count_when_it_is_taken_in(start_easel, sim):
    easel = installation(start_easel, sim, "day", images_per_day=3)
    watch = Watch(sim)
    task = create(easel, n=2)
    answer = easel.post("/v1/tasks", {"prompt": "two more", "model": "gpt-image-1", "n": 2})
    assert "images_per_day = 3" in expect_error(answer, 429, "rate_limited", party="client", stage="limit")["message"]
    last = create(easel, n=1)
    answer = older(easel)
    assert (answer.status, answer.json["code"]) == (429, "rate_limited"), answer
    assert ended(easel, task)["status"] == ended(easel, last)["status"] == "SUCCESS"
    assert len(watch.requests("generate")) in (2, 3) and sum(r["pictures"] for r in watch.requests("generate")) == 3


def test_the_queues_length_is_exact(start_easel, sim):
    easel = installation(start_easel, sim, "length", queue_length=3)
    watch = Watch(sim)
    create(easel, model=f"{NAI}@delay=3")
    wait_until(lambda: watch.requests("generate"), 20, "the first one's call: it waits no more")
    waiting = [create(easel, model=NAI) for _ in range(3)]
    answer = easel.post("/v1/tasks", {"prompt": "one more", "model": "gpt-image-1"})
    expect_error(answer, 429, "rate_limited", party="client", stage="queue")
    assert not os.path.exists(os.path.join(easel.state, "inputs")) or not os.listdir(os.path.join(easel.state, "inputs"))
    answer = easel.post("/v1/tasks", {"prompt": "one more", "model": "gpt-image-1", "image": data_url(PNG)})
    expect_error(answer, 429, "rate_limited", stage="queue")
    assert not os.listdir(os.path.join(easel.state, "inputs")), "what was refused leaves no picture"
    assert easel.request("DELETE", path_of(waiting[0]["urls"]["cancel"])).status == 200
    assert ended(easel, create(easel))["status"] == "SUCCESS", "there was room for one again"
