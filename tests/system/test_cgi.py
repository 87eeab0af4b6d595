"""The same executables without any process that waits: plain CGI, from a shell and behind lighttpd's mod_cgi."""
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from shell import ANYWHERE, SHELL_CONFIG, SLOW_FAULT, run_shell_test, shell_env, shell_key
from sse import Stream
from support import (BUILD, SLOW, Easel, alive, children, expect_error, expect_one_name, merge, raw, request,
                     sim_config, wait_until)

HANDLERS = os.path.join(BUILD, "handlers")


class Answered:
    """What a CGI program printed, as support.expect_error() wants it."""

    def __init__(self, out):
        head, found, self.body = out.partition(b"\r\n\r\n")
        assert found, out
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        self.headers = {name.lower(): value for name, value in lines}
        self.status = int(self.headers["status"].split()[0])

    def header(self, name):
        return self.headers.get(name.lower())

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:2000]!r}"


@pytest.fixture(scope="module")
def alone():
    """A configuration with a store and a key, and nothing that runs."""
    easel = Easel(start=False)
    easel.run("db", "migrate")
    easel.make_key()
    yield easel
    easel.kill()


def run(easel, program, method, uri, body=b"", key=True, **variables):
    """As a shell would: env REQUEST_METHOD=… program <body."""
    env = {**easel.env, "EASEL_CONFIG": easel.file, "GATEWAY_INTERFACE": "CGI/1.1",
           "REQUEST_METHOD": method, "REQUEST_URI": uri, **variables}
    if key:
        env["HTTP_AUTHORIZATION"] = f"Bearer {easel.key}"
    if body or method == "POST":
        env = {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json", **env}
    done = subprocess.run([os.path.join(HANDLERS, program)], env=env, input=body, capture_output=True,
                          timeout=60 * SLOW, cwd="/")
    assert done.returncode == 0, done
    assert easel.key.encode() not in done.stderr, done.stderr
    return Answered(done.stdout)


# ---- from a shell ----

def test_a_picture_is_made(alone):
    answer = run(alone, "images-generations", "POST", "/v1/images/generations",
                 '{"prompt":"一只可爱的熊猫","response_format":"url","size":"256x256"}'.encode(),
                 HTTP_HOST="pictures.example:8080")
    assert answer.status == 200, answer
    url = answer.json["data"][0]["url"]
    assert url.startswith("http://pictures.example:8080/files/"), url
    with open(os.path.join(alone.state, "files", os.path.basename(url)), "rb") as f:
        assert f.read(8) == b"\x89PNG\r\n\x1a\n"


def test_in_the_answer_too(alone):
    answer = run(alone, "images-generations", "POST", "/v1/images/generations",
                 b'{"prompt":"a panda","response_format":"b64_json"}')
    assert answer.status == 200 and int(answer.header("content-length")) == len(answer.body)
    assert answer.json["data"][0]["b64_json"].startswith("iVBOR")


def test_with_a_real_shell(alone):
    """The line that somebody would type."""
    with open(os.path.join(alone.folder, "body"), "w") as f:
        f.write('{"prompt":"a panda","response_format":"url"}')
    line = (f"env EASEL_CONFIG={shlex.quote(alone.file)} REQUEST_METHOD=POST REQUEST_URI=/v1/images/generations "
            f"CONTENT_TYPE=application/json CONTENT_LENGTH=$(wc -c <body) "
            f'HTTP_AUTHORIZATION="Bearer $(cat key)" {shlex.quote(HANDLERS)}/images-generations <body')
    done = subprocess.run(["sh", "-c", line], cwd=alone.folder, env=alone.env, capture_output=True,
                          timeout=60 * SLOW)
    assert done.returncode == 0 and Answered(done.stdout).status == 200, done


def test_models_and_health(alone):
    assert run(alone, "models", "GET", "/v1/models").json["object"] == "list"
    assert run(alone, "models", "GET", "/models/easel-preview").json["id"] == "easel-preview"
    assert run(alone, "health", "GET", "/healthz", key=False).json["status"] == "ok"


def test_the_path_alone_is_enough(alone):
    """RFC 3875 knows no REQUEST_URI."""
    env = {**alone.env, "EASEL_CONFIG": alone.file, "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/v1/models",
           "HTTP_AUTHORIZATION": f"Bearer {alone.key}"}
    done = subprocess.run([os.path.join(HANDLERS, "models")], env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=20 * SLOW)
    assert Answered(done.stdout).status == 200, done


def test_head_has_no_body(alone):
    answer = run(alone, "models", "HEAD", "/v1/models")
    assert answer.status == 200 and not answer.body


@pytest.mark.parametrize("length, status, code", [
    ("30", 400, "body_incomplete"), ("5", 400, "invalid_json"), ("x", 400, "bad_request"),
    ("999999999999", 413, "body_too_large"), ("", 400, "invalid_json")])
def test_content_length_is_believed_as_far_as_it_goes(alone, length, status, code):
    answer = run(alone, "images-generations", "POST", "/v1/images/generations", b'{"prompt":"p"}',
                 CONTENT_LENGTH=length)
    assert answer.status == status and answer.error["code"] == code, answer


def test_errors_are_those_of_the_frame(alone):
    expect_error(run(alone, "models", "GET", "/v1/models", key=False), 401, "missing_bearer_token")
    expect_error(run(alone, "models", "GET", "/v1/../models"), 400, "bad_path")
    expect_error(run(alone, "models", "POST", "/v1/models"), 405, "method_not_allowed")
    expect_error(run(alone, "fallback", "GET", "/v1/model"), 404, "endpoint_not_found")
    expect_error(run(alone, "fallback", "GET", "/", REDIRECT_STATUS="413"), 413, "body_too_large")


def test_a_store_that_is_not_there_is_said(alone):
    """Before `easel db migrate`."""
    fresh = Easel(start=False)
    try:
        os.mkdir(fresh.state)
        env = {**fresh.env, "EASEL_CONFIG": fresh.file, "REQUEST_METHOD": "GET", "REQUEST_URI": "/v1/models"}
        done = subprocess.run([os.path.join(HANDLERS, "models")], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=20 * SLOW)
        answer = Answered(done.stdout)
        assert answer.status >= 500 and answer.error["code"] in ("schema_missing", "store_unavailable"), answer
        assert answer.error["request_id"] == answer.header("x-request-id"), answer
        assert answer.error["hint"]["command"] == "easel db migrate", answer
        assert answer.header("content-type") == "application/json"
        assert done.stderr, "the log says why"
    finally:
        fresh.kill()


def test_a_wrong_configuration_is_an_answer_too(alone):
    """The web server would make a bare 500 of silence.  The reason stands in the log, not in the answer."""
    wrong = os.path.join(alone.folder, "wrong.toml")
    with open(wrong, "w") as f:
        f.write('[server]\nlistem = "127.0.0.1:1"\n')
    env = {**alone.env, "EASEL_CONFIG": wrong, "REQUEST_METHOD": "GET", "REQUEST_URI": "/v1/models"}
    done = subprocess.run([os.path.join(HANDLERS, "models")], env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=20 * SLOW)
    answer = Answered(done.stdout)
    assert answer.status == 500 and answer.error["code"] == "config_invalid", answer
    assert answer.error["party"] == "gateway-config", answer
    assert b"listem" in done.stderr and b"listem" not in done.stdout, done
    assert b"wrong.toml" not in done.stdout, done


def test_without_a_request_it_says_what_is_missing(alone):
    done = subprocess.run([os.path.join(HANDLERS, "models")], env={**alone.env, "EASEL_CONFIG": alone.file},
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=20 * SLOW)
    assert done.returncode == 2 and b"--help" in done.stderr and not done.stdout, done


def test_it_leaves_no_process_behind(alone):
    before = {p.pid for p in children(os.getpid())}
    run(alone, "images-generations", "POST", "/v1/images/generations", b'{"prompt":"a panda"}')
    assert {p.pid for p in children(os.getpid())} <= before


# ---- behind lighttpd's mod_cgi ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def site(sim):
    """lighttpd with what `easel config web-server lighttpd-cgi` prints, and the worker of its tasks."""
    port = free_port()
    easel = Easel(merge(sim_config(sim, faults=("delay=1", SLOW_FAULT, "sse-hold")),
                        {"server": {"listen": f"127.0.0.1:{port}"}, **SHELL_CONFIG}), start=False)
    log = worker = None
    try:
        easel.run("db", "migrate")
        easel.make_key()
        conf = os.path.join(easel.folder, "lighttpd.conf")
        with open(conf, "w") as f:
            f.write(easel.run("config", "web-server", "lighttpd-cgi").stdout)
        lighttpd = shutil.which("lighttpd", path=os.environ["PATH"] + ":/usr/sbin")
        log = open(easel.log_file, "ab")
        easel.process = subprocess.Popen([lighttpd, "-D", "-f", conf], env=easel.env, cwd=easel.folder,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        easel.url = f"http://127.0.0.1:{port}"
        worker = subprocess.Popen([os.path.join(HANDLERS, "task-worker"), "--config", easel.file], env=easel.env,
                                  cwd=easel.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def listens():
            assert easel.process.poll() is None, easel.log()
            try:
                return request(easel.url, "GET", "/healthz").status == 200
            except OSError:
                return False

        wait_until(listens, 15, "lighttpd answers")
        yield easel
        tree = easel.tree()
        easel.process.send_signal(signal.SIGINT)
        assert easel.process.wait(20 * SLOW) == 0, easel.log()
        wait_until(lambda: not [p for p in tree if alive(p)], 5, "its processes end")
        worker.terminate()
        assert worker.wait(20 * SLOW) == 0, easel.log()
    finally:
        if worker and worker.poll() is None:
            worker.terminate()
            worker.wait(20 * SLOW)
        easel.kill()
        if log:
            log.close()


@pytest.mark.parametrize("name", ANYWHERE)
def test_the_shell_tests_pass_through_mod_cgi(site, sim, name):
    run_shell_test(name, site.url, shell_key(site, name), {"SIM_URL": sim.base_url, **shell_env(site)})


def test_a_large_body_and_a_large_answer(site):
    answer = site.generate(prompt="p" * 20000, model="gpt-image-1", response_format="b64_json")
    assert answer.status == 200, answer
    answer = site.post("/v1/images/generations", b'{"prompt":"' + b"a" * 33_600_000 + b'"}')
    expect_error(answer, 413, "body_too_large")


def test_a_stored_picture_has_one_name(site):
    answer = site.generate(model="gpt-image-1", response_format="url")
    expect_one_name(site.url, answer.json["data"][0]["url"].removeprefix(site.url))


def test_many_at_once(site):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(site.generate(model="gpt-image-1@delay=1").status))
               for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [200] * 8, answers


def test_the_web_server_s_own_errors_are_json(site):
    for data in (b"GET /v1/models HTTP/1.1\r\n\r\n", b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n"):
        head, _, body = raw(site.url, data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).partition(b"\r\n\r\n")
        assert b" 4" in head.split(b"\r\n")[0] and b"application/json" in head.lower(), head
        assert json.loads(body)["error"]["code"], body


def test_events_pass_through_mod_cgi_as_they_come(site, sim):
    with Stream(site, model="gpt-image-1@sse-hold", partial_images=1) as s:
        assert s.next().name == "image_generation.partial_image"
        sim.release()  # only now is the last one made
        assert [e.name for e in s.rest()] == ["image_generation.completed"]
