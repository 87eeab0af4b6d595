"""Apache 2.4 (mpm_event, mod_proxy_fcgi) in front of the programs of `easel serve`.

As its operator would run it: `easel serve` is the web server's user, Apache's own user where this test may
become it, and the configuration is what `easel config web-server apache` prints.
"""
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.parse

import pytest

from shell import ANYWHERE, SHELL_CONFIG, run_shell_test, shell_env, shell_key
from sse import Stream
from support import (BUILD, EASEL, ROOT, SLOW, Easel, alive, descendants, expect_error, expect_one_name, merge, raw,
                     request, sim_config, wait_until)

MODULES = "/usr/lib/apache2/modules"
USER = "www-data"

PRIVATE = """
ServerRoot "{folder}"
ServerName localhost
PidFile "{folder}/pid"
DefaultRuntimeDir "{folder}"
ErrorLog "{folder}/error.log"
LogLevel warn
{user}
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule env_module {modules}/mod_env.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule reqtimeout_module {modules}/mod_reqtimeout.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_fcgi_module {modules}/mod_proxy_fcgi.so
StartServers 1
ThreadsPerChild 25
GracefulShutdownTimeout 5
<Directory />
    Require all denied
    AllowOverride None
</Directory>
Define EASEL_PORT {port}
Include "{folder}/easel.conf"
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Apache:
    """A private instance: its own folder, port and processes."""

    def __init__(self, site, user=None):
        self.folder = tempfile.mkdtemp(prefix="easel-apache-")
        os.chmod(self.folder, 0o755)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = os.path.join(self.folder, "error.log")
        with open(os.path.join(self.folder, "easel.conf"), "w") as f:
            f.write(site)
        self.conf = os.path.join(self.folder, "apache2.conf")
        with open(self.conf, "w") as f:
            f.write(PRIVATE.format(folder=self.folder, port=self.port, modules=MODULES,
                                   user=f"User {user}\nGroup {user}" if user else ""))
        binary = shutil.which("apache2", path=os.environ["PATH"] + ":/usr/sbin")
        self.process = subprocess.Popen([binary, "-DFOREGROUND", "-f", self.conf], cwd=self.folder,
                                        env={"PATH": os.environ["PATH"], "LANG": "C"},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        wait_until(self.listens, 15, "apache2 listens")

    def listens(self):
        assert self.process.poll() is None, self.process.stdout.read().decode() + self.log()
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def log(self):
        try:
            with open(self.log_file, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def stop(self):
        tree = descendants(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(20 * SLOW) == 0, self.log()
            wait_until(lambda: not [p for p in tree if alive(p)], 5, "its processes end")
        finally:
            self.process.kill()
            self.process.stdout.close()
            shutil.rmtree(self.folder, ignore_errors=True)


def installed(folder):
    """A copy of what was built that every user may run; the path of its `easel`."""
    os.chmod(folder, 0o755)
    for sub, names in (("bin", [EASEL]),
                       ("libexec/easel", [*(os.path.join(BUILD, "handlers", n)
                                            for n in os.listdir(os.path.join(BUILD, "handlers"))),
                                          os.path.join(BUILD, "libexec/easel-image")])):
        os.makedirs(os.path.join(folder, sub))
        for name in names:
            shutil.copy(name, os.path.join(folder, sub))
    shutil.copytree(os.path.join(ROOT, "lighttpd"), os.path.join(folder, "share/easel"))
    return os.path.join(folder, "bin/easel")


class Site:
    """`easel serve` as the web server's user, and Apache in front of its programs."""

    def __init__(self, config):
        self.program_folder = self.apache = None
        command, user = [EASEL], None
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            self.program_folder = tempfile.mkdtemp(prefix="easel-bin-")
            command = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
                       installed(self.program_folder)]
        self.easel = Easel(config, start=False, command=command)
        try:
            if user:
                os.chown(self.easel.folder, user.pw_uid, user.pw_gid)
            self.easel.start()
            self.easel.make_key()
            self.conf = self.easel.run("config", "web-server", "apache").stdout
            self.apache = Apache(self.conf, USER if user else None)
        except BaseException:
            self.stop()
            raise
        self.url = self.apache.url

    def request(self, method, path, body=None, headers=(), key=True, **more):
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        if key:
            headers.append(("Authorization", f"Bearer {self.easel.key if key is True else key}"))
        return request(self.url, method, path, body, headers, **more)

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def generate(self, **members):
        return self.request("POST", "/v1/images/generations",
                            json.dumps({"prompt": "a panda", **members}).encode(),
                            {"Content-Type": "application/json"})

    def stop(self):
        try:
            if self.apache:
                self.apache.stop()
        finally:
            try:
                self.easel.stop()
            finally:
                self.easel.kill()
                if self.program_folder:
                    shutil.rmtree(self.program_folder, ignore_errors=True)


@pytest.fixture(scope="module")
def site(sim):
    config = merge(sim_config(sim, faults=("delay=1", "delay=3", "sse-hold")), {
        **SHELL_CONFIG, "limits": {"json_bytes": "1MB", **SHELL_CONFIG["limits"]}})
    site = Site(config)
    yield site
    site.stop()


@pytest.mark.parametrize("name", ANYWHERE)
def test_the_shell_tests_pass_through_apache(site, sim, name):
    run_shell_test(name, site.url, shell_key(site.easel, name), {"SIM_URL": sim.base_url, **shell_env(site.easel)})


def test_authorization_and_an_encoded_slash_arrive(site):
    for path in ("/v1/models/Qwen%2FQwen-Image", "/models/Qwen/Qwen-Image"):
        answer = site.get(path)
        assert answer.status == 200 and answer.json["id"] == "Qwen/Qwen-Image", answer
    expect_error(site.get("/v1/models", key=False), 401, "missing_bearer_token")
    expect_error(site.get("/v1/models", key="sk-easel-" + "A" * 43), 401, "invalid_api_key")


def test_the_length_of_an_answer_is_kept(site):
    answer = site.get("/v1/models")
    assert int(answer.header("content-length")) == len(answer.body), answer
    assert answer.header("vary") is None, answer


def test_pictures_are_files(site):
    url = site.generate(response_format="url").json["data"][0]["url"]
    assert url.startswith(site.url + "/files/"), url
    path = urllib.parse.urlsplit(url).path
    whole = site.get(path, key=False)
    assert whole.status == 200 and whole.header("content-type") == "image/png", whole
    assert "immutable" in whole.header("cache-control") and whole.header("x-content-type-options") == "nosniff"
    assert whole.header("access-control-allow-origin") == "*"
    assert site.request("HEAD", path, key=False).header("content-length") == str(len(whole.body))
    part = site.get(path, headers={"Range": "bytes=1-3"}, key=False)
    assert part.status == 206 and part.body == b"PNG", part
    expect_one_name(site.url, path)


@pytest.mark.parametrize("method, path", [
    ("GET", "/files/00000000000000000000000000.png"), ("GET", "/files/"), ("GET", "/files/tmp-0.png"),
    ("GET", "/files/x.txt"), ("POST", "/files/00000000000000000000000000.png"), ("GET", "/web-server-error"),
    ("GET", "/v1/requests"), ("POST", "/v1/task"), ("GET", "/"),
])
def test_what_is_not_there_is_said_as_json(site, method, path):
    answer = site.request(method, path)
    assert answer.status == 404, answer
    assert answer.error["code"] in ("not_found", "endpoint_not_found"), answer
    assert answer.error["request_id"] == answer.header("x-request-id"), answer
    assert "immutable" not in (answer.header("cache-control") or ""), answer


def test_the_state_folder_is_not_served(site):
    for path in ("/easel.db", "/files/../easel.db", "/files/%2e%2e/easel.db", "/files/..%2feasel.db",
                 "/run/lighttpd.conf", "/web-server-error-file/../../easel.db"):
        answer = site.get(path)
        assert answer.status in (400, 404) and answer.error["code"], answer


UNREADABLE = {
    "no request": b"GARBAGE\r\n\r\n",
    "a control character": b"GET /v1/mo\x01dels HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/models HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a long header": b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(200)) + b"\r\n",
    "a long URL": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a body without a length": b"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an escape that is none": b"GET /v1/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_apache_s_own_errors_are_json(site, what):
    head, _, body = raw(site.url, UNREADABLE[what].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
                        ).partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 4(00|11|14) ", head), head
    assert b"content-type: application/json" in head.lower(), head
    error = json.loads(body)["error"]
    assert error["code"] in ("bad_request", "bad_path", "headers_too_large"), error
    assert error["party"] == "client" and error["may_have_been_billed"] is False, error


def test_a_body_that_is_too_large_is_refused_before_it_is_read(site):
    answer = site.request("POST", "/v1/images/generations", b'{"prompt":"' + b"a" * 2_000_000 + b'"}',
                          {"Content-Type": "application/json"})
    expect_error(answer, 413, "body_too_large", party="client")


@pytest.mark.parametrize("megabytes", [0.1, 8, 40])
def test_an_upload_that_is_refused_in_its_middle_is_answered(site, megabytes):
    """It streams to the program, which has its answer after the first bytes."""
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nGIF89a'
    body = head + bytes(int(megabytes * 1e6)) + b"\r\n--b--\r\n"
    for _ in range(3):
        answer = site.request("POST", "/v1/images/edits", body, {"Content-Type": "multipart/form-data; boundary=b"})
        expect_error(answer, 400, "invalid_value", param="image", party="client")


def test_a_program_that_ends_before_it_answers_may_have_bought(site, sim):
    before, answers = sim.stats()["in_flight"], []
    thread = threading.Thread(target=lambda: answers.append(site.generate(model="gpt-image-1@delay=3")))
    thread.start()
    wait_until(lambda: sim.stats()["in_flight"] > before, 10, "a request at the provider")
    of_it = site.easel.named("images-generations")
    parents = {p.pid for p in of_it}
    for p in of_it:
        if p.parent in parents:
            os.kill(p.pid, signal.SIGKILL)
    thread.join()
    error = expect_error(answers[0], 500, "handler_crashed", party="gateway", billed=True)
    assert answers[0].header("x-should-retry") == "false", error
    assert site.generate(model="gpt-image-1").status == 200


def test_while_easel_is_away_apache_says_so_and_pictures_stay(site):
    """Then it is back, and Apache notices at once."""
    path = urllib.parse.urlsplit(site.generate(response_format="url").json["data"][0]["url"]).path
    tree = site.easel.tree()
    site.easel.process.send_signal(signal.SIGTERM)
    assert site.easel.process.wait(30 * SLOW) == 0
    assert not [p for p in tree if alive(p)]
    site.easel.process.stdout.close()
    try:
        for answer in (site.generate(), site.get("/v1/models"), site.get("/v1/tasks"), site.get("/nothing")):
            assert answer.status == 503 and answer.header("content-type") == "application/json", answer
            assert answer.error["code"] == "handler_down" and not answer.error["may_have_been_billed"], answer
        assert site.get(path, key=False).status == 200
        lost = site.get("/files/00000000000000000000000000.png")
        assert lost.status == 404 and lost.error["code"] == "not_found", lost
    finally:
        site.easel.start()
    assert site.get("/v1/models").status == 200
    assert site.generate().status == 200


def test_the_template_says_how_it_is_run(site):
    for words in ("runuser -u www-data", "User=www-data", "a2enmod", "CGIPassAuth On"):
        assert words in site.conf, words
    assert not re.search(r"@[A-Z_]+@", site.conf), "a place was not filled"


def test_another_name_is_refused_with_the_nearest(site):
    done = site.easel.run("config", "web-server", "apach", code=2)
    assert "apache" in done.stderr and not done.stdout, done


def test_events_pass_through_as_they_come(site, sim):
    with Stream(site.easel, url=site.url, model="gpt-image-1@sse-hold", partial_images=1) as s:
        assert s.next().name == "image_generation.partial_image"
        sim.release()  # only now is the last one made
        assert [e.name for e in s.rest()] == ["image_generation.completed"]


def test_what_was_bought_is_stored_although_the_client_has_left(site, sim):
    before = site.easel.files()
    with Stream(site.easel, url=site.url, model="gpt-image-1@sse-hold", partial_images=1) as s:
        assert s.next().name == "image_generation.partial_image"
    sim.release()  # Apache tells nobody: Easel learns of it when it writes
    wait_until(lambda: len(site.easel.files() - before) == 1, what="the picture")
