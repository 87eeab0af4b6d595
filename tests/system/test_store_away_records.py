"""The records of pictures that came while the store was away, and whose maker was killed before it came back."""
import json
import os

from store_away import SIM, away, bought, ended, kill_makers, kill_workers, sent, sim  # noqa: F401
from support import Watch, wait_until


def records(easel, prompt):
    return easel.get(f"/v1/images?q={prompt}").json["data"]


def verified(easel):
    return not easel.run("files", "verify", code=None).stdout.count("a picture without a record")


def files(easel):
    return [n for n in os.listdir(os.path.join(easel.state, "files")) if not n.startswith("tmp-")]


def used(easel):
    return json.loads(easel.run("usage", "--by", "model", "--json").stdout)


def test_answered_pictures_get_their_records_though_their_process_is_killed_before(away, sim):
    easel, store = away
    ask, _ = sent(easel, sim, store, headers={}, n=2, output_format="jpeg", size="1024x1024")
    answer = ask.end()
    assert answer.status == 200 and len(answer.json["data"]) == 2, answer
    kill_makers(easel)
    store.come()
    prompt = ask.members["prompt"].replace(" ", "+")
    found = wait_until(lambda: (lambda f: len(f) == 2 and f)(records(easel, prompt)), 20, "both have their records")
    for picture in found:
        assert (picture["model"], picture["type"], picture["size"], picture["provider"]) == (SIM, "image/jpeg", "1024x1024", "sim"), picture
        assert picture["prompt"] == ask.members["prompt"] and picture["request_id"] == answer.header("x-request-id"), picture
        assert picture["parameters"] == {"n": 2, "output_format": "jpeg", "size": "1024x1024"}, picture
        assert easel.stored(picture["url"])[:3] == b"\xff\xd8\xff"
    assert verified(easel) and len(files(easel)) == 2
    assert [(u["model"], u["pictures"]) for u in used(easel)["data"]] == [(SIM, 2)], used(easel)


def test_a_tasks_picture_gets_its_record_though_its_worker_is_killed_before(away, sim):
    easel, store = away
    watch, prompt = Watch(sim), "owed-" + "long" * 400
    path = "/v1/tasks/" + easel.post("/v1/tasks", {"model": SIM, "prompt": prompt}).json["id"]
    wait_until(lambda: bought(watch), 10, "the purchase")
    store.go()
    wait_until(lambda: files(easel), 20, "the picture")
    kill_workers(easel)
    store.come()
    found, = wait_until(lambda: records(easel, "owed-long"), 20, "its record")
    assert prompt.startswith(found["prompt"].rstrip("…")) and len(found["prompt"]) >= 100, found
    assert found["task_id"] == path.rpartition("/")[2], found
    task = ended(easel, found["task_id"])
    assert task["status"] in ("SUCCESS", "FAILURE"), task
    assert verified(easel) and len(bought(watch)) == 1
