"""The store that is missing, broken or of another age, and what the web server says in a program's stead."""
import json
import os
import re
import shutil
import sqlite3
import subprocess

import pytest

from redis_server import Redis
from support import BUILD, SLOW, Easel, expect_error, request, wait_until


def cgi(easel, program, uri, body=b"", length=None, method="GET"):
    """(status, error or None) of one request to the program as plain CGI."""
    env = {**easel.env, "EASEL_CONFIG": easel.file, "REQUEST_METHOD": method, "REQUEST_URI": uri,
           "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "QUERY_STRING": "",
           "HTTP_AUTHORIZATION": f"Bearer {easel.key}"}
    if method == "POST":
        env |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body) if length is None else length)}
    done = subprocess.run([f"{BUILD}/handlers/{program}"], env=env, input=body, capture_output=True, cwd=easel.folder,
                          timeout=30 * SLOW)
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    return int(re.search(rb"^Status: (\d+)", head, re.M | re.I).group(1)), json.loads(rest).get("error")


@pytest.fixture
def installation():
    easel = Easel(start=False)
    yield easel
    shutil.rmtree(easel.folder)


def test_a_store_without_tables_is_named_with_the_command_that_mends_it(installation):
    os.mkdir(installation.state)
    sqlite3.connect(f"{installation.state}/easel.db").close()
    installation.key = "sk-easel-" + "A" * 43
    status, error = cgi(installation, "models", "/v1/models")
    assert (status, error["code"]) == (503, "schema_missing")
    installation.run("db", "migrate")
    installation.make_key()
    assert cgi(installation, "models", "/v1/models")[0] == 200


def test_a_store_of_a_newer_easel_is_refused(installation):
    installation.make_key()
    store = sqlite3.connect(f"{installation.state}/easel.db")
    store.execute("PRAGMA user_version = 9999")
    store.commit()
    store.close()
    status, error = cgi(installation, "models", "/v1/models")
    assert (status, error["code"]) == (503, "schema_too_new")
    done = installation.run("keys", "list", "--json", code=None)
    assert done.returncode != 0 and "schema_too_new" in done.stdout
    assert "9999" in done.stderr
    assert "ready" not in installation.run("serve", code=None).stdout


@pytest.mark.parametrize("appendonly", ("no", "yes"))
def test_a_redis_that_forgets_is_said_at_start(start_easel, appendonly):
    redis = Redis(appendonly)
    try:
        easel = start_easel({"store": {"url": redis.url}})
        said = [line for line in easel.log().splitlines() if "append-only" in line]
        assert len(said) == (appendonly == "no"), said
        assert all(" warn easel " in line and "'appendonly yes'" in line for line in said), said
        easel.stop()
    finally:
        redis.stop()


def test_a_store_that_is_none_is_said(installation):
    installation.make_key()
    for name in os.listdir(installation.state):
        if name.startswith("easel.db"):
            os.remove(f"{installation.state}/{name}")
    with open(f"{installation.state}/easel.db", "wb") as f:
        f.write(b"this is no database" * 1000)
    status, error = cgi(installation, "models", "/v1/models")
    assert (status, error["code"]) == (503, "store_unavailable")


def test_migrating_twice_changes_nothing(installation):
    installation.run("db", "migrate")
    installation.make_key()
    installation.run("db", "migrate")
    assert cgi(installation, "models", "/v1/models")[0] == 200


def test_a_body_that_ends_early_is_said(installation):
    """The web server never hands one on; a shell or mod_cgi may."""
    installation.make_key()
    status, error = cgi(installation, "images-generations", "/v1/images/generations", b'{"prompt":"a panda"}', 100,
                        "POST")
    assert (status, error["code"]) == (400, "body_incomplete")
    assert "100" in error["message"] and "20" in error["message"]


# ---- in a program's stead ----

@pytest.fixture(scope="module")
def easel(start_easel):
    return start_easel()


def test_a_program_that_cannot_be_reached_is_503_in_json(easel):
    socket_path = next(os.path.join(folder, name) for folder, _, names in os.walk(easel.state) for name in names
                       if name.startswith("models") and "sock" in name)
    os.rename(socket_path, socket_path + ".away")
    try:
        answer = easel.get("/v1/models")
        expect_error(answer, 503, "handler_down", party="web-server")
        assert int(answer.header("retry-after")) >= 1
        assert request(easel.url, "GET", "/healthz").status == 200, "the others go on"
    finally:
        os.rename(socket_path + ".away", socket_path)
    wait_until(lambda: easel.get("/v1/models").status == 200, 10, "it is found again")


def test_with_the_fallback_away_too_a_static_answer_stands_in(easel):
    found = [os.path.join(folder, name) for folder, _, names in os.walk(easel.state) for name in names
             if name.startswith("fallback") and "sock" in name]
    os.rename(found[0], found[0] + ".away")
    try:
        answer = easel.get("/v1/nothing")
        assert answer.status == 503, answer
        assert answer.header("content-type").startswith("application/json")
        assert answer.error["code"] == "handler_down" and answer.error["message"]
    finally:
        os.rename(found[0] + ".away", found[0])
    wait_until(lambda: easel.get("/v1/nothing").status == 404, 10, "it is found again")


@pytest.mark.parametrize("method,path,key,status", [
    ("GET", "/healthz", False, 200), ("GET", "/v1/models", True, 200), ("GET", "/v1/models", False, 401),
    ("GET", "/v1/nothing", True, 404), ("POST", "/v1/models", True, 405), ("GET", "/v1/%2e%2e/x", True, 400),
    ("POST", "/v1/images/generations", True, 415),
])
def test_id_and_ledger_are_in_every_answer(easel, method, path, key, status):
    answer = easel.request(method, path, key=key)
    assert answer.status == status, answer
    assert re.match(r"req_[0-9a-z]{26}$", answer.header("x-request-id"))
    assert ";dur=" in (answer.header("server-timing") or ""), answer
