"""Stored pictures: records, the list, thumbnails, their end; what was used; tidying up."""
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse

import pytest

from support import (SLOW, clean_environment, expect_error, merge, request, sim_config, wait_until)

PRICED = {"models": {"gpt-image-1": {"provider": "sim", "price": 0.25},
                     "gpt-image-1@delay=3": {"provider": "sim", "price": 0.5}}}


@pytest.fixture(scope="module")
def redis():
    """A server of the tests' own; its port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="easel-redis-") as folder:
        server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder,
                                   "--appendonly", "yes", "--save", ""], env=clean_environment(),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

        def answers():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
                    s.sendall(b"PING\r\n")
                    return s.recv(16).startswith(b"+PONG")
            except OSError:
                return False

        wait_until(answers, 10, "redis-server answers")
        yield port
        server.terminate()
        server.wait(timeout=20 * SLOW)


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def easel(request, start_easel, sim):
    """One of each store."""
    config = merge(sim_config(sim, faults=("delay=3",)), PRICED)
    config["providers"]["preview"] = {"dialect": "preview"}
    config["models"]["easel-preview"] = {"provider": "preview", "aliases": ["drawn"], "price": 0.001}
    if request.param == "redis":
        config["store"] = {"url": f"redis://127.0.0.1:{request.getfixturevalue('redis')}/0"}
    return start_easel(config)


def new_key(easel, name, *more):
    return easel.run("keys", "create", "--name", name, *more).stdout.strip()


_names = iter(range(10**6))


@pytest.fixture
def key(easel):
    """A key that owns nothing yet."""
    return new_key(easel, f"key-{next(_names)}")


def make(easel, key, **members):
    """The ids of new pictures, in the order they were made; no two calls are in the same millisecond."""
    now = int(time.time() * 1000)
    while int(time.time() * 1000) == now:
        pass
    answer = easel.post("/v1/images/generations", {"prompt": "a panda", "response_format": "url",
                                                   "model": "gpt-image-1", **members}, key=key)
    assert answer.status == 200, answer
    return [name_of(p["url"]).split(".")[0] for p in answer.json["data"]]


def name_of(url):
    return urllib.parse.urlsplit(url).path.rsplit("/", 1)[1]


def listed(easel, key, query="", n=None):
    """The list; with n, as soon as it holds so many."""
    def look():
        answer = easel.get("/v1/images" + query, key=key)
        assert answer.status == 200, answer
        return answer.json if n is None or len(answer.json["data"]) == n else None
    return wait_until(look, 10, f"{n} pictures are listed")


def ids(page):
    return [p["id"] for p in page["data"]]


def fill(easel, key, prompts, **members):
    """Pictures with these prompts, the first made first."""
    return [make(easel, key, prompt=p, **members)[0] for p in prompts]


# ---- a record ----

def test_a_picture_has_a_record_of_all_that_made_it(easel, key):
    before = int(time.time())
    answer = easel.post("/v1/images/generations", {
        "prompt": "红色的玫瑰 \"a rose\"", "model": "drawn", "n": 2, "size": "1024x768", "seed": 0, "style": "vivid",
        "output_format": "jpeg", "flavour": "sweet"}, key=key)
    assert answer.status == 200, answer
    page = listed(easel, key, n=2)
    assert page["object"] == "list" and page["has_more"] is False
    urls = [p["url"] for p in answer.json["data"]]
    assert sorted(p["url"] for p in page["data"]) == sorted(urls)
    for p in page["data"]:
        data = easel.stored(p["url"])
        assert set(p) == {"id", "object", "created", "url", "thumbnail_url", "type", "bytes", "size", "model", "provider",
                          "prompt", "seed", "parameters", "receipt", "request_id", "task_id"}
        assert p["object"] == "image" and name_of(p["url"]) == p["id"] + ".jpg"
        assert before <= p["created"] <= time.time() + 1
        assert (p["type"], p["size"], p["bytes"]) == ("image/jpeg", "1024x768", len(data))
        assert (p["model"], p["provider"], p["seed"], p["task_id"]) == ("easel-preview", "preview", 0, None)
        assert p["prompt"] == "红色的玫瑰 \"a rose\""
        assert p["parameters"] == {"n": 2, "size": "1024x768", "seed": 0, "style": "vivid", "output_format": "jpeg"}
        assert p["receipt"]["flavour"] == "dropped" and p["receipt"]["style"] == "dropped"
        assert p["request_id"] == answer.header("x-request-id")
        one = easel.get(f"/v1/images/{p['id']}", key=key)
        assert one.status == 200 and one.json == p


def test_what_was_not_said_is_null(easel, key):
    make(easel, key)
    p = listed(easel, key, n=1)["data"][0]
    assert p["seed"] is None and p["task_id"] is None
    assert p["parameters"] == {"response_format": "url"}


def test_streams_edits_and_chat_leave_records_too(easel, key):
    bearer = {"Content-Type": "application/json"}
    answer = easel.post("/v1/images/generations", {"prompt": "streamed", "model": "gpt-image-1", "stream": True}, bearer,
                        key=key)
    assert answer.status == 200
    listed(easel, key, n=1)
    answer = easel.post("/v1/chat/completions", {"model": "gpt-image-1", "messages": [
        {"role": "user", "content": "from a chat"}]}, key=key)
    assert answer.status == 200, answer
    page = listed(easel, key, n=2)
    source = easel.stored(page["data"][0]["url"])
    import base64
    url = "data:image/png;base64," + base64.b64encode(source).decode()
    answer = easel.post("/v1/images/edits", {"prompt": "edited", "model": "gpt-image-1", "images": [{"image_url": url}]},
                        key=key)
    assert answer.status == 200, answer
    assert [p["prompt"] for p in listed(easel, key, n=3)["data"]] == ["edited", "from a chat", "streamed"]


def test_the_log_setting_has_no_part_in_it(start_easel, sim):
    easel = start_easel(merge(sim_config(sim), {"log": {"prompts": "none"}}))
    make(easel, easel.key, prompt="nobody else's business")
    assert listed(easel, easel.key, n=1)["data"][0]["prompt"] == "nobody else's business"
    assert "nobody else" not in easel.log()


def test_pictures_of_a_failed_request_have_records(easel, sim, key, start_easel):
    config = sim_config(sim, faults=("n-short",))
    other = start_easel(config)
    answer = other.post("/v1/images/generations", {"prompt": "x", "model": "relay-url", "n": 2, "response_format": "url"})
    came = answer.json["data"] if answer.status == 200 else answer.error.get("images", [])
    assert len(listed(other, other.key, n=len(came))["data"]) == len(came) > 0


# ---- the list ----

def test_the_newest_come_first_and_pages_hold_each_once(easel, key):
    made = fill(easel, key, [f"picture {i}" for i in range(5)])
    newest = made[::-1]
    assert ids(listed(easel, key, n=5)) == newest
    seen, after = [], ""
    for expected in (2, 2, 1):
        page = listed(easel, key, "?limit=2" + after)
        assert len(page["data"]) == expected and page["has_more"] is (expected == 2)
        seen += ids(page)
        after = "&after=" + seen[-1]
    assert seen == newest
    assert listed(easel, key, after.replace("&", "?")) == {"object": "list", "data": [], "has_more": False}
    assert listed(easel, key, "?limit=5")["has_more"] is False
    assert listed(easel, key, "?limit=4")["has_more"] is True


def test_it_is_searched_by_prompt_and_model(easel, key):
    made = fill(easel, key, ["A Red Panda", "红熊猫", "100% sky_line"])
    drawn = make(easel, key, prompt="a red square", model="drawn", size="512x512")[0]
    listed(easel, key, n=4)

    def found(**query):
        return ids(listed(easel, key, "?" + urllib.parse.urlencode(query)))

    assert found(q="red") == [drawn, made[0]]
    assert found(q="RED PANDA") == [made[0]]
    assert found(q="熊猫") == [made[1]]
    assert found(q="%") == [made[2]] and found(q="_") == [made[2]]
    assert found(q="nothing like it") == []
    assert found(q="") == [drawn, *made[::-1]]
    assert found(model="easel-preview") == found(model="drawn") == [drawn]
    assert found(model="gpt-image-1", q="red") == [made[0]]
    assert found(model="unheard-of") == []
    assert found(q="red", limit=1) == [drawn] and found(q="red", limit=1, after=drawn) == [made[0]]


@pytest.mark.parametrize("query,code,param", [
    ("limit=0", "integer_below_min_value", "limit"),
    ("limit=-1", "integer_below_min_value", "limit"),
    ("limit=101", "integer_above_max_value", "limit"),
    ("limit=99999999999999999999", "invalid_type", "limit"),
    ("limit=ten", "invalid_type", "limit"),
    ("limit=1&limit=2", "invalid_value", "limit"),
    ("q=%zz", "invalid_value", "q"),
    ("q=%e4%b8", "invalid_value", "q"),
    ("q=%00", "invalid_value", "q"),
    ("q=" + "x" * 513, "string_above_max_length", "q"),
    ("after=nobody", "invalid_value", "after"),
])
def test_a_wrong_parameter_is_named(easel, query, code, param):
    expect_error(easel.get("/v1/images?" + query), 400, code, param=param, party="client")


@pytest.mark.parametrize("query", ["limit=1", "limit=100", "limit=", "q=" + "x" * 512, "", "&&", "q", "q=a+b%20c",
                                   "page=7&__proto__=1"])
def test_what_is_within_the_limits_is_taken(easel, query):
    answer = easel.get("/v1/images?" + query)
    assert answer.status == 200, answer
    if "page" in query:
        assert answer.header("x-easel-params") == "page=dropped; __proto__=dropped"


def test_twenty_unless_asked_for_more(start_easel, sim):
    easel = start_easel(sim_config(sim))
    for _ in range(3):
        make(easel, easel.key, n=7)
    listed(easel, easel.key, "?limit=100", n=21)
    page = listed(easel, easel.key)
    assert len(page["data"]) == 20 and page["has_more"] is True


# ---- whose ----

def test_another_keys_pictures_do_not_exist(easel, key):
    other = new_key(easel, f"other-{next(_names)}")
    mine, theirs = make(easel, key)[0], make(easel, other)[0]
    assert ids(listed(easel, key, n=1)) == [mine] and ids(listed(easel, other, n=1)) == [theirs]
    for method in ("GET", "DELETE"):
        expect_error(easel.request(method, f"/v1/images/{theirs}", key=key), 404, "not_found")
        expect_error(easel.request(method, "/v1/images/" + "0" * 26, key=key), 404, "not_found")
    expect_error(easel.get(f"/v1/images?after={theirs}", key=key), 400, "invalid_value", param="after")
    assert easel.get(f"/v1/images/{theirs}", key=other).status == 200


def test_a_key_needs_the_scope(easel):
    chat = new_key(easel, f"chat-{next(_names)}", "--scope", "chat")
    for method, path in (("GET", "/v1/images"), ("GET", "/v1/images/x"), ("DELETE", "/v1/images/x")):
        expect_error(easel.request(method, path, key=chat), 403, "insufficient_scope")
        assert easel.request(method, path, key=False).status == 401


def test_other_methods_are_refused(easel):
    for method, path, allow in (("POST", "/v1/images", "GET"), ("POST", "/v1/images/abc", "GET, DELETE"),
                                ("DELETE", "/v1/images", "GET")):
        answer = easel.request(method, path)
        expect_error(answer, 405, "method_not_allowed")
        assert answer.header("allow") == allow


def test_without_v1_and_with_two(easel):
    assert easel.get("/images").status == easel.get("/v1/v1/images").status == easel.get("//v1//images").status == 200


# ---- thumbnails ----

def webp_size(data):
    """Of a lossy, lossless or extended WebP."""
    assert data[:4] == b"RIFF" and data[8:12] == b"WEBP", data[:16]
    if data[12:16] == b"VP8 ":
        w, h = struct.unpack("<HH", data[26:30])
        return w & 0x3fff, h & 0x3fff
    if data[12:16] == b"VP8L":
        bits = struct.unpack("<I", data[21:25])[0]
        return (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1
    return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1


def with_thumbnail(easel, key, picture):
    def look():
        p = easel.get(f"/v1/images/{picture}", key=key)
        return p.json if p.status == 200 and p.json["thumbnail_url"] else None
    return wait_until(look, 20, "the thumbnail is there")


def test_a_thumbnail_is_small_and_served_for_ever(easel, key):
    picture = make(easel, key, model="drawn", size="1536x1024")[0]
    assert not [n for n in easel.files() if n.startswith(picture + "-")], "it is made when somebody looks"
    p = with_thumbnail(easel, key, picture)
    assert name_of(p["thumbnail_url"]) == picture + "-thumb.webp"
    answer = request(easel.url, "GET", urllib.parse.urlsplit(p["thumbnail_url"]).path)
    assert answer.status == 200 and answer.header("content-type") == "image/webp"
    assert "immutable" in answer.header("cache-control")
    assert answer.header("x-content-type-options") == "nosniff"
    assert webp_size(answer.body) == (512, 341)
    assert len(answer.body) < p["bytes"] / 4


def test_a_small_picture_is_its_own_thumbnail(easel, key):
    picture = make(easel, key, model="drawn", size="512x512")[0]
    p = with_thumbnail(easel, key, picture)
    assert p["thumbnail_url"] == p["url"]
    larger = make(easel, key, model="drawn", size="512x528")[0]
    assert with_thumbnail(easel, key, larger)["thumbnail_url"] != p["url"]


def test_a_list_waits_a_moment_and_has_the_rest_made(easel, key):
    for _ in range(2):
        make(easel, key, model="drawn", n=10, size="1024x1024")

    def all_there():
        page = listed(easel, key, "?limit=20")
        return len(page["data"]) == 20 and all(p["thumbnail_url"] for p in page["data"])

    first = easel.get("/v1/images?limit=20", key=key)
    assert first.seconds < 4 * SLOW
    wait_until(all_there, 30, "all thumbnails are there")


def test_a_picture_that_cannot_be_decoded_has_none(easel, key):
    picture = make(easel, key, model="drawn", size="1024x1024")[0]
    wait_until(lambda: easel.get(f"/v1/images/{picture}", key=key).status == 200, 10)
    with_thumbnail(easel, key, picture)
    path = os.path.join(easel.state, "files", picture)
    os.remove(path + "-thumb.webp")
    with open(path + ".png", "r+b") as f:
        f.seek(60)
        f.write(b"\0" * 4000)
    for _ in range(2):
        answer = easel.get(f"/v1/images/{picture}", key=key)
        assert answer.status == 200 and answer.json["thumbnail_url"] is None


# ---- delete ----

def test_delete_removes_file_thumbnail_and_record(easel, key):
    stays, goes = make(easel, key, model="drawn", n=2, size="1024x1024")
    listed(easel, key, n=2)
    p = with_thumbnail(easel, key, goes)
    answer = easel.request("DELETE", f"/v1/images/{goes}", key=key)
    assert answer.status == 200
    assert answer.json == {"id": goes, "object": "image", "deleted": True}
    assert not [n for n in easel.files() if n.startswith(goes)]
    for url in (p["url"], p["thumbnail_url"]):
        assert request(easel.url, "GET", urllib.parse.urlsplit(url).path).status == 404
    expect_error(easel.get(f"/v1/images/{goes}", key=key), 404, "not_found")
    expect_error(easel.request("DELETE", f"/v1/images/{goes}", key=key), 404, "not_found")
    assert ids(listed(easel, key)) == [stays]


def test_of_many_who_delete_at_once_one_does(easel, key):
    picture = make(easel, key)[0]
    listed(easel, key, n=1)
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(
        easel.request("DELETE", f"/v1/images/{picture}", key=key).status)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(statuses) == [200] + [404] * 7


# ---- what was used ----

def usage(easel, by, *more):
    return json.loads(easel.run("usage", "--by", by, "--json", *more).stdout)


def test_sums_are_exact_however_many_write(easel):
    keys = [new_key(easel, f"sum-{next(_names)}") for _ in range(2)]
    before = usage(easel, "model")["total"]

    def work(key):
        for n in (1, 3):
            make(easel, key, n=n, size="1024x1024")

    threads = [threading.Thread(target=work, args=(keys[i % 2],)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for key in keys:
        listed(easel, key, "?limit=100", n=24)
    after = usage(easel, "model")["total"]
    assert after["requests"] - before["requests"] == 24
    assert after["pictures"] - before["pictures"] == 48
    assert after["cost"] - before["cost"] == pytest.approx(48 * 0.25)
    rows = {r["name"]: r for r in usage(easel, "key")["data"]}
    mine = [r for name, r in rows.items() if r["pictures"] == 24 and name.startswith("sum-")]
    assert len(mine) == 2 and all(r["requests"] == 12 and r["cost"] == pytest.approx(6.0) for r in mine)


def test_usage_by_day_and_model(easel, key):
    make(easel, key, model="drawn", size="512x512")
    listed(easel, key, n=1)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    days = usage(easel, "day")
    assert days["by"] == "day" and days["data"][-1]["day"] >= today
    assert days["total"]["pictures"] == sum(r["pictures"] for r in days["data"])
    drawn = [r for r in usage(easel, "model")["data"] if r["model"] == "easel-preview"]
    assert drawn[0]["cost"] == pytest.approx(drawn[0]["pictures"] * 0.001)
    assert usage(easel, "day", "--until", "2020-01-01")["data"] == []
    text = easel.run("usage").stdout
    assert today in text and "total" in text
    easel.run("usage", "--by", "moon", code=2)
    easel.run("usage", "--since", "yesterday", code=2)


def test_a_failed_request_uses_nothing(easel, key):
    before = usage(easel, "day")["total"]
    assert easel.post("/v1/images/generations", {"prompt": "x", "model": "relay-error-200"}, key=key).status >= 400
    make(easel, key)  # whatever was to be written before this has been
    listed(easel, key, n=1)
    assert usage(easel, "day")["total"]["pictures"] == before["pictures"] + 1


# ---- a process that dies ----

def test_a_record_is_there_soon_and_survives_the_process(start_easel, sim):
    """Killed a second after the answer nothing is lost; at once, at most the record, and that is told."""
    easel = start_easel(sim_config(sim))
    kept = [make(easel, easel.key)[0] for _ in range(3)]
    listed(easel, easel.key, n=3)
    at_once = []
    for _ in range(4):
        at_once += make(easel, easel.key, n=2)
        for p in easel.named("handlers/images-generations"):
            try:
                os.kill(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it went with its parent
        wait_until(lambda: easel.get("/v1/models").status == 200, 10)

        def serves():
            try:
                return make(easel, easel.key)
            except (OSError, AssertionError):
                return None
        kept += wait_until(serves, 20, "pictures are made again")
        wait_until(lambda: set(ids(listed(easel, easel.key, "?limit=100"))) >= set(kept), 10, "the records of those")
    assert set(n.split(".")[0] for n in easel.files()) >= set(kept + at_once), "the pictures are all there"
    recorded = set(ids(listed(easel, easel.key, "?limit=100")))
    report = json.loads(easel.run("files", "verify", "--json", code=None).stdout)
    lost = {p["name"].split(".")[0] for p in report["problems"]}
    assert {p["kind"] for p in report["problems"]} <= {"no_record"}
    assert recorded | lost >= set(kept + at_once) and not recorded & lost


def test_a_program_that_ends_writes_what_waits(start_easel, sim):
    """SIGTERM right behind the answer loses no record."""
    easel = start_easel(sim_config(sim))
    made = make(easel, easel.key, n=4)
    easel.process.send_signal(signal.SIGTERM)
    assert easel.process.wait(timeout=30 * SLOW) == 0
    easel.process.stdout.close()
    easel.process = None
    easel.start()
    assert sorted(ids(listed(easel, easel.key))) == sorted(made)


# ---- tidying up ----

def age(easel, picture, seconds):
    """Makes a picture that old: its record (SQLite) and its files."""
    store = sqlite3.connect(f"{easel.state}/easel.db", timeout=10)
    store.execute("UPDATE pictures SET created_ms = created_ms - ? WHERE id = ?", (seconds * 1000, picture))
    store.commit()
    store.close()
    for name in easel.files():
        if name.startswith(picture):
            age_file(easel, name, seconds)


def age_file(easel, name, seconds):
    then = time.time() - seconds
    os.utime(os.path.join(easel.state, "files", name), (then, then))


def put_file(easel, name, size, seconds):
    with open(os.path.join(easel.state, "files", name), "wb") as f:
        f.write(b"x" * size)
    age_file(easel, name, seconds)


def forget_record(easel, picture):
    store = sqlite3.connect(f"{easel.state}/easel.db", timeout=10)
    store.execute("DELETE FROM pictures WHERE id = ?", (picture,))
    store.commit()
    store.close()


def prune(easel, *more):
    return json.loads(easel.run("files", "prune", "--json", *more).stdout)


NOTHING = {"by_age": 0, "by_size": 0, "without_record": 0, "thumbnails": 0, "temporary": 0, "records": 0}
DAY = 86400


def no_pruning(sim, **files):
    return merge(sim_config(sim), {"files": {"prune_every": "", "keep": "30d", "max_bytes": "0", **files}})


def test_pictures_go_by_their_age(start_easel, sim):
    easel = start_easel(no_pruning(sim))
    old, young, edge = make(easel, easel.key)[0], make(easel, easel.key)[0], make(easel, easel.key)[0]
    listed(easel, easel.key, n=3)
    age(easel, old, 30 * DAY + 60)
    age(easel, edge, 30 * DAY - 60)
    before = easel.files()
    size = os.path.getsize(os.path.join(easel.state, "files", old + ".png"))
    expected = {**NOTHING, "by_age": 1}
    assert prune(easel, "--dry-run") == {"dry_run": True, "removed": expected, "bytes": size}
    assert easel.files() == before
    assert prune(easel) == {"dry_run": False, "removed": expected, "bytes": size}
    assert easel.files() == before - {old + ".png"}
    assert set(ids(listed(easel, easel.key))) == {young, edge}
    assert prune(easel)["removed"] == NOTHING


def test_the_oldest_go_when_there_is_too_much(start_easel, sim):
    easel = start_easel(no_pruning(sim, keep=""))
    made = [make(easel, easel.key)[0] for _ in range(6)]
    listed(easel, easel.key, n=6)
    size = os.path.getsize(os.path.join(easel.state, "files", made[0] + ".png"))
    for i, picture in enumerate(made):
        age(easel, picture, 1000 * DAY - i * DAY)
    easel.write_config({"files": {"max_bytes": f"{size * 6}B"}})
    assert prune(easel)["removed"] == NOTHING, "exactly full is not too full"
    easel.write_config({"files": {"max_bytes": f"{size * 4 + 1}B"}})
    assert prune(easel, "--dry-run")["removed"]["by_size"] == 2
    assert prune(easel)["removed"] == {**NOTHING, "by_size": 2}
    assert ids(listed(easel, easel.key)) == made[:1:-1]
    assert easel.files() == {m + ".png" for m in made[2:]}


def test_a_picture_without_a_record_is_kept_as_long_as_others(start_easel, sim):
    easel = start_easel(no_pruning(sim))
    old, young, new = make(easel, easel.key, n=3)
    listed(easel, easel.key, n=3)
    for picture, seconds in ((old, 31 * DAY), (young, 29 * DAY), (new, 0)):
        forget_record(easel, picture)
        age_file(easel, picture + ".png", seconds)
    done = easel.run("files", "verify", code=1)
    assert all(f"{p}.png: a picture without a record" in done.stdout for p in (old, young, new))
    assert prune(easel)["removed"] == {**NOTHING, "without_record": 1}
    assert easel.files() == {young + ".png", new + ".png"}
    # when there is too much they go first, but never one that may be about to get its record
    recorded = make(easel, easel.key)[0]
    listed(easel, easel.key, n=1)
    age(easel, recorded, 29.5 * DAY)
    size = os.path.getsize(os.path.join(easel.state, "files", new + ".png"))
    easel.write_config({"files": {"max_bytes": f"{size * 2}B"}})
    assert prune(easel)["removed"] == {**NOTHING, "without_record": 1}
    assert easel.files() == {new + ".png", recorded + ".png"}


def test_leftovers_go_and_strangers_stay(start_easel, sim):
    easel = start_easel(no_pruning(sim))
    picture = make(easel, easel.key, size="1024x1024")[0]
    listed(easel, easel.key, n=1)
    nobody = "0" * 26
    for name, seconds in (("tmp-" + "1" * 26, 7200), ("tmp-" + "2" * 26, 60), (nobody + "-thumb.webp", 7200),
                          ("3" * 26 + "-thumb.webp", 60), (picture + "-thumb.webp", 100 * DAY),
                          ("README.txt", 1000 * DAY), ("4" * 26 + ".gif", 1000 * DAY)):
        put_file(easel, name, 100, seconds)
    assert prune(easel)["removed"] == {**NOTHING, "temporary": 1, "thumbnails": 1}
    assert easel.files() == {picture + ".png", picture + "-thumb.webp", "tmp-" + "2" * 26, "3" * 26 + "-thumb.webp",
                             "README.txt", "4" * 26 + ".gif"}


def test_verify_names_what_is_wrong(start_easel, sim):
    easel = start_easel(no_pruning(sim))
    missing, torn, fine = make(easel, easel.key, n=3)
    listed(easel, easel.key, n=3)
    assert json.loads(easel.run("files", "verify", "--json").stdout)["problems"] == []
    os.remove(os.path.join(easel.state, "files", missing + ".png"))
    with open(os.path.join(easel.state, "files", torn + ".png"), "ab") as f:
        f.write(b"\0")
    report = json.loads(easel.run("files", "verify", "--json", code=1).stdout)
    assert report["pictures"] == 3
    assert {(p["kind"], p["name"]) for p in report["problems"]} == {("no_file", missing + ".png"),
                                                                   ("wrong_size", torn + ".png")}
    assert fine not in json.dumps(report["problems"])


def test_one_prunes_at_a_time(start_easel, sim):
    import fcntl
    easel = start_easel(no_pruning(sim))
    with open(os.path.join(easel.state, "prune.lock"), "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        assert "under way" in easel.run("files", "prune", code=1).stderr
        easel.run("files", "prune", "--dry-run")
        easel.run("files", "prune", "--log")
    easel.run("files", "prune")


def test_serve_prunes_by_itself(start_easel, sim):
    easel = start_easel(no_pruning(sim, prune_every="1s"))
    old, young = make(easel, easel.key, n=2)
    listed(easel, easel.key, n=2)
    age(easel, old, 31 * DAY)
    wait_until(lambda: easel.files() == {young + ".png"}, 20, "the old one is gone")
    assert wait_until(lambda: "removed 1 pictures that were too old" in easel.log(), 5)
    again = make(easel, easel.key)[0]
    listed(easel, easel.key, n=2)
    age(easel, again, 31 * DAY)
    wait_until(lambda: easel.files() == {young + ".png"}, 20, "and again")
    # a reload takes the new rules over
    easel.write_config({"files": {"keep": "90d"}})
    easel.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reloaded: " in easel.log(), 20)
    age(easel, young, 60 * DAY)
    runs = easel.log().count("files prune")
    time.sleep(2)
    assert easel.files() == {young + ".png"} and easel.log().count("files prune") == runs, easel.log()[-2000:]


def test_pictures_in_the_making_are_never_touched(start_easel, sim):
    easel = start_easel(merge(no_pruning(sim, max_bytes="1B", keep="1s", prune_every="1s"), {
        "models": {"gpt-image-1@delay=2": {"provider": "sim"}}}))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(easel.generate(
        model="gpt-image-1@delay=2", response_format="b64_json"))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [200] * 4
    wait_until(lambda: not easel.files(), 20, "then they go")
