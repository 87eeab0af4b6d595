"""SIGHUP: a changed configuration is taken over without losing a request; a wrong one is not taken over."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import tempfile
import threading
import time
import urllib.parse

import pytest

from support import (BUILD, SLOW, Easel, alive, descendants, expect_error, merge, request, sim_config,
                     wait_until)

from sim import certs

PROGRAMS = ("images-generations", "images-edits", "chat-completions", "models", "images", "login", "health", "fallback",
            "task-create", "task-status", "task-worker")
RELOADED = "reloaded: the programs"
NOT_RELOADED = "not reloaded, the old configuration stays"
SECRET = "sk-sim-ReloadTestProviderSecret012345678"


def reload(easel, said=RELOADED, busy=False):
    """SIGHUP, and waits for the word of it; if it was taken over, and the former programs have nothing in
    hand that keeps them busy, for their end.  What the log says meanwhile."""
    before, old = len(easel.log()), easel.named("handlers/")
    easel.process.send_signal(signal.SIGHUP)
    wait_until(lambda: said in easel.log()[before:], 20, f"the log says '{said}'")
    if said == RELOADED and not busy:
        wait_until(lambda: not any(map(alive, old)), 20, "the former programs end")
    return easel.log()[before:]


def parents(easel):
    """Program: the pid of its parent process.  Those that only finish what they had are left out later."""
    found = {}
    for name in PROGRAMS:
        of_it = easel.named("handlers/" + name)
        pids = {p.pid for p in of_it}
        found[name] = sorted(p.pid for p in of_it if p.parent not in pids)
    return found


def lighttpd(easel):
    return [p.pid for p in easel.tree() if p.name == "lighttpd"]


def ids(easel):
    return [m["id"] for m in easel.get("/v1/models").json["data"]]


class Load:
    """Requests without a pause, until they are told to stop; what was not 200."""

    def __init__(self, *calls):
        self.bad, self.count, self.go_on = [], 0, True
        self.threads = [threading.Thread(target=self.work, args=(call,)) for call in calls]
        for t in self.threads:
            t.start()

    def work(self, call):
        while self.go_on:
            try:
                answer = call()
                if answer.status != 200:
                    self.bad.append(answer)
            except (OSError, http.client.HTTPException) as error:
                self.bad.append(error)
            self.count += 1

    def stop(self):
        self.go_on = False
        for t in self.threads:
            t.join()


@pytest.fixture
def easel(start_easel, sim):
    config = sim_config(sim, faults=("delay=1", "delay=3"))
    config["providers"]["sim"]["api_key"] = "${SIM_KEY}"
    return start_easel(config, env={"SIM_KEY": SECRET})


# ---- what is taken over ----

def test_a_new_model_is_there_and_no_process_of_the_old_programs(easel):
    before, web_server, old = parents(easel), lighttpd(easel), easel.named("handlers/")
    assert "brand/new" not in ids(easel)
    easel.write_config({"models": {"brand/new": {"provider": "sim", "upstream_model": "gpt-image-1"}}})
    reload(easel)
    assert "brand/new" in ids(easel)
    assert easel.generate(model="brand/new").status == 200
    assert not any(map(alive, old))
    after = parents(easel)
    assert all(len(after[p]) == 1 and after[p] != before[p] for p in PROGRAMS), (before, after)
    assert lighttpd(easel) == web_server, "its configuration is the same"
    assert easel.process.poll() is None


def test_a_secret_from_the_environment_is_still_known(easel, sim):
    """The file says ${SIM_KEY}; the environment was wiped at the start, and no process shows it now."""
    easel.write_config({"log": {"level": "debug"}})
    reload(easel)
    assert easel.generate(model="gpt-image-1").status == 200
    for p in [*easel.tree()]:
        assert SECRET.encode() not in p.read("environ") + p.read("cmdline"), p
    with open(f"/proc/{easel.process.pid}/environ", "rb") as f:
        assert SECRET.encode() not in f.read()
    assert SECRET not in easel.log()


def test_a_secret_s_file_is_read_again(start_easel, sim):
    easel = Easel(start=False)
    try:
        secret = os.path.join(easel.folder, "provider.key")
        with open(secret, "w") as f:
            f.write("sk-sim-a-wrong-one-000000000000\n")
        config = sim_config(sim)
        config["providers"]["sim"]["api_key"] = "file:provider.key"
        easel.write_config(config)
        easel.start()
        easel.make_key()
        assert easel.generate(model="gpt-image-1").status in (200, 502)
        with open(secret, "w") as f:
            f.write("sk-sim-the-right-one-1111111111\n")
        before = sim.stats()["requests"]
        reload(easel)
        assert easel.generate(model="gpt-image-1").status == 200
        sent, = sim.requests(before, "generate")
        assert "the-right-one" in sent["headers"]["authorization"], sent
        easel.stop()
    finally:
        easel.kill()


def test_the_deadline_and_the_limits_are_the_new_ones(easel):
    web_server = lighttpd(easel)
    assert easel.generate(model="gpt-image-1@delay=3").status == 200
    easel.write_config({"deadline": {"images_generations": "1s"}, "limits": {"json_bytes": "2KB"}})
    reload(easel)
    answer = easel.generate(model="gpt-image-1@delay=3")
    expect_error(answer, 504, "deadline_exceeded", billed=True)
    answer = easel.generate(model="gpt-image-1", prompt="p" * 20000)
    assert answer.status == 413, answer
    wait_until(lambda: lighttpd(easel) and not set(lighttpd(easel)) & set(web_server), 10,
               "a web server with the new limits")
    assert len(lighttpd(easel)) == 1


def test_a_folder_of_pictures_may_move(easel):
    old = easel.generate(model="gpt-image-1", response_format="url").json["data"][0]["url"]
    easel.write_config({"files": {"url": "file:elsewhere"}})
    reload(easel)
    url = easel.generate(model="gpt-image-1", response_format="url").json["data"][0]["url"]
    assert easel.stored(url).startswith(b"\x89PNG")
    assert os.listdir(os.path.join(easel.state, "elsewhere"))
    assert request(easel.url, "GET", urllib.parse.urlsplit(old).path).status == 404


def test_number_of_workers_and_log_level(easel):
    easel.write_config({"process": {"workers": 3}, "log": {"format": "json"}})
    said = reload(easel)
    wait_until(lambda: len(easel.named("handlers/models")) == 4, 10, "a parent and three workers")
    easel.get("/v1/models")
    lines = wait_until(lambda: [l for l in easel.log().splitlines() if "GET /v1/models" in l], 5)
    assert json.loads(lines[-1])["program"] == "models", (lines, said)


def test_a_reload_of_nothing_is_one_too(easel):
    web_server = lighttpd(easel)
    for _ in range(3):
        reload(easel)
    assert lighttpd(easel) == web_server
    assert easel.generate(model="gpt-image-1").status == 200
    wait_until(lambda: all(len(v) == 1 for v in parents(easel).values()), 10, "one parent each")


# ---- what is not taken over ----

WRONG = {
    "an unknown key": (lambda e: {"server": {"listem": "x"}}, [r"easel\.toml:\d+: .*listem.*listen"]),
    "a wrong type": (lambda e: {"process": {"workers": "many"}}, [r"workers"]),
    "several problems": (lambda e: {"log": {"level": "loud", "format": "xml"}, "auth": {"requird": True}},
                         [r"loud|level", r"xml|format", r"requird"]),
    "a secret's file that is away": (lambda e: {"providers": {"sim": {"api_key": "file:nowhere.key"}}},
                                     [r"nowhere\.key"]),
    "a variable that is not set": (lambda e: {"providers": {"sim": {"api_key": "${NOT_SET_ANYWHERE}"}}},
                                   [r"NOT_SET_ANYWHERE"]),
    "a certificate that is away": (lambda e: {"server": {"tls_certificate": "no.crt", "tls_key": "no.key"}},
                                   [r"tls_certificate: \S*no\.crt: No such file"]),
    "another address": (lambda e: {"server": {"listen": "127.0.0.1:1"}}, [r"listen was .*restart"]),
    "another state folder": (lambda e: {"server": {"state_dir": "var2"}}, [r"state_dir was .*restart"]),
    "a store that cannot be": (lambda e: {"store": {"url": "sqlite:/proc/easel.db"}}, [r"store"]),
    "a folder of pictures that cannot be": (lambda e: {"files": {"url": "file:/proc/files"}}, [r"/proc/files"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_configuration_changes_nothing(easel, what):
    change, words = WRONG[what]
    before, web_server, models = parents(easel), lighttpd(easel), ids(easel)
    good = easel.config
    easel.write_config(merge(change(easel), {"models": {"never/there": {"provider": "sim"}}}))
    said = reload(easel, NOT_RELOADED)
    for word in words:
        assert re.search(word, said), said
    assert parents(easel) == before and lighttpd(easel) == web_server and ids(easel) == models
    assert easel.generate(model="gpt-image-1").status == 200
    assert not os.path.exists(os.path.join(easel.state, "run/lighttpd.conf.new"))
    # and mended, it is taken over
    easel.config = good
    easel.write_config({"models": {"now/there": {"provider": "sim"}}})
    reload(easel)
    assert "now/there" in ids(easel) and "never/there" not in ids(easel)


def test_a_file_that_is_no_toml(easel):
    with open(easel.file, "a") as f:
        f.write("[[[\n")
    said = reload(easel, NOT_RELOADED)
    assert re.search(r"easel\.toml:\d+: ", said), said
    assert easel.generate(model="gpt-image-1").status == 200


@pytest.fixture
def own_programs():
    """A folder with copies of the programs, for EASEL_LIBEXEC."""
    folder = tempfile.mkdtemp(prefix="easel-libexec-")
    shutil.copytree(f"{BUILD}/handlers", f"{folder}/handlers")
    shutil.copy(f"{BUILD}/libexec/easel-image", f"{folder}/handlers")
    yield f"{folder}/handlers"
    shutil.rmtree(folder)


@pytest.mark.parametrize("script, words", [("exit 1", "the new models ended with status 1"),
                                           ("exec sleep 600", "the new programs do not come up")])
def test_new_programs_that_do_not_come_up_are_given_up(start_easel, sim, own_programs, script, words):
    """An update went wrong, say.  The old ones go on as if nothing had been."""
    easel = start_easel(sim_config(sim), env={"EASEL_LIBEXEC": own_programs})
    before, good = parents(easel), f"{own_programs}/models.good"
    os.rename(f"{own_programs}/models", good)
    with open(os.open(f"{own_programs}/models", os.O_WRONLY | os.O_CREAT, 0o755), "w") as f:
        f.write(f"#!/bin/sh\n{script}\n")
    easel.write_config({"limits": {"json_bytes": "1MB"}, "models": {"not/yet": {"provider": "sim"}}})
    web_server = lighttpd(easel)
    load = Load(lambda: easel.get("/v1/models"), lambda: easel.generate(model="gpt-image-1"))
    said = reload(easel, "the reload is given up")
    assert words in said, said
    wait_until(lambda: parents(easel) == before, 10, "the old programs alone")
    assert lighttpd(easel) == web_server and "not/yet" not in ids(easel)
    assert not os.path.exists(os.path.join(easel.state, "run/lighttpd.conf.new"))
    # The old way is the way in which they are started again.
    os.rename(good, f"{own_programs}/models")
    os.kill(before["models"][0], signal.SIGKILL)
    wait_until(lambda: parents(easel)["models"] not in ([], before["models"]), 10, "its successor")
    wait_until(lambda: getattr(ignore(lambda: easel.get("/v1/models")), "status", 0) == 200, 10)
    assert "not/yet" not in ids(easel)
    # and the next reload goes through
    reload(easel, busy=True)
    wait_until(lambda: "not/yet" in ids(easel), 10, "the new configuration")
    load.stop()
    lost = [a for a in load.bad if getattr(a, "status", 0) not in (500, 503)]
    assert not lost, lost[:3]


def test_killed_new_programs_make_the_reload_fail_or_succeed_but_never_lose_a_program(easel):
    """One of the new parents is killed as soon as it is seen."""
    old = {pid for pids in parents(easel).values() for pid in pids}
    load = Load(lambda: easel.get("/v1/models"), lambda: request(easel.url, "GET", "/healthz"))
    for _ in range(4):
        easel.process.send_signal(signal.SIGHUP)
        new = wait_until(lambda: [pid for pid in parents(easel)["models"] if pid not in old] or None, 10)
        try:
            os.kill(new[-1], signal.SIGKILL)
        except ProcessLookupError:
            pass
        old.update(new)
        time.sleep(0.1)
    wait_until(lambda: all(len(v) == 1 for v in parents(easel).values()), 20, "one parent each")
    load.stop()
    lost = [a for a in load.bad if getattr(a, "status", 500) not in (500, 503)]
    assert not lost and load.count > 20, lost[:3]
    assert easel.get("/v1/models").status == 200 and easel.generate(model="gpt-image-1").status == 200


# ---- under load ----

def test_not_one_request_fails_while_it_is_reloaded_again_and_again(easel, sim):
    """New connections, long answers and short ones, pictures; the web server is replaced every time, too."""
    path = urllib.parse.urlsplit(
        easel.generate(model="gpt-image-1", response_format="url").json["data"][0]["url"]).path
    load = Load(*[lambda: easel.generate(model="gpt-image-1")] * 2,
                lambda: easel.generate(model="gpt-image-1@delay=1"),
                *[lambda: easel.get("/v1/models")] * 2,
                lambda: request(easel.url, "GET", path),
                lambda: request(easel.url, "GET", "/healthz"))
    try:
        for i in range(8):
            count = load.count
            easel.write_config({"limits": {"json_bytes": f"{i + 1}MB"},
                                "models": {f"new/{i}": {"provider": "sim"}}})
            reload(easel, busy=i % 2)
            wait_until(lambda: load.count > count + 30, 20, "the load goes on")
    finally:
        load.stop()
    assert not load.bad, (len(load.bad), load.count, load.bad[:3])
    assert load.count > 300
    assert {f"new/{i}" for i in range(8)} <= set(ids(easel))
    wait_until(lambda: all(len(v) == 1 for v in parents(easel).values()) and len(lighttpd(easel)) == 1, 20,
               "no former process is left")
    assert "signal" not in easel.log() and "was ended" not in easel.log()


def test_kept_connections_survive_when_only_the_programs_change(easel):
    where = urllib.parse.urlsplit(easel.url)
    bad, done = [], threading.Event()

    def work():
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30 * SLOW)
        connection.connect()
        socket_before = connection.sock
        while not done.is_set():
            connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {easel.key}"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200 or connection.sock is not socket_before:
                bad.append((answer.status, connection.sock))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(5):
        easel.write_config({"models": {f"kept/{i}": {"provider": "sim"}}})
        reload(easel)
    done.set()
    for t in threads:
        t.join()
    assert not bad, bad[:3]


def test_a_request_longer_than_the_drain_survives(start_easel, sim):
    """A reload is no end: what is in hand has its whole deadline."""
    easel = start_easel(merge(sim_config(sim, faults=("delay=3",)), {"process": {"drain": "1s"}}))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(easel.generate(model="gpt-image-1@delay=3")))
               for _ in range(4)]
    before = sim.stats()["in_flight"]
    for t in threads:
        t.start()
    wait_until(lambda: sim.stats()["in_flight"] >= before + 4, 10, "four requests at the provider")
    easel.write_config({"limits": {"json_bytes": "3MB"}})
    reload(easel, busy=True)
    reload(easel, busy=True)
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [200] * 4, answers


def test_sighups_that_come_too_fast_are_one(easel):
    load = Load(lambda: easel.get("/v1/models"), lambda: easel.generate(model="gpt-image-1"))
    easel.write_config({"models": {"last/one": {"provider": "sim"}}})
    for _ in range(50):
        easel.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "last/one" in ids(easel), 20, "the last configuration")
    load.stop()
    assert not load.bad, load.bad[:3]
    wait_until(lambda: all(len(v) == 1 for v in parents(easel).values()), 20, "one parent each")


def test_sigterm_in_the_middle_of_a_reload_ends_all(sim):
    easel = Easel(sim_config(sim))
    try:
        tree = easel.tree()
        easel.process.send_signal(signal.SIGHUP)
        wait_until(lambda: {p.pid for p in easel.tree()} - {p.pid for p in tree}, 10, "new processes")
        tree += easel.tree()
        easel.process.send_signal(signal.SIGTERM)
        assert easel.process.wait(20 * SLOW) == 0
        assert not [p for p in tree if alive(p)] and not descendants(easel.process.pid)
    finally:
        easel.kill()


def test_sigterm_ends_those_that_still_finish_too(sim):
    easel = Easel(merge(sim_config(sim, faults=("silence",)), {"process": {"drain": "1s"}}))
    try:
        thread = threading.Thread(target=lambda: ignore(lambda: easel.generate(model="gpt-image-1@silence")))
        before = sim.stats()["in_flight"]
        thread.start()
        wait_until(lambda: sim.stats()["in_flight"] > before, 10, "a request at the provider")
        reload(easel, busy=True)
        tree = easel.tree()
        assert len(parents(easel)["images-generations"]) == 2, "the former one waits for its request"
        start = time.monotonic()
        easel.process.send_signal(signal.SIGTERM)
        assert easel.process.wait(20 * SLOW) == 0
        assert time.monotonic() - start < 10 * SLOW
        assert not [p for p in tree if alive(p)]
        thread.join()
    finally:
        easel.kill()


def ignore(call):
    try:
        return call()
    except (OSError, http.client.HTTPException):
        return None


# ---- TLS ----

@pytest.fixture(scope="module")
def pki():
    folder = tempfile.mkdtemp(prefix="easel-pki-")
    certs.make(folder)
    yield folder
    shutil.rmtree(folder)


def certificate(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_a_renewed_certificate_is_taken_over(pki):
    easel = Easel(start=False)
    try:
        def put(name):
            for end in ("crt", "key"):
                shutil.copy(f"{pki}/{name}.{end}", os.path.join(easel.folder, f"server.{end}"))

        put("server")
        easel.write_config({"server": {"tls_certificate": "server.crt", "tls_key": "server.key"}})
        easel.start()
        port = int(easel.url.rsplit(":", 1)[1])
        first = certificate(port)
        put("wrong-host")
        reload(easel)
        second = wait_until(lambda: certificate(port) != first and certificate(port), 10, "the new certificate")
        # half of a renewal: the key is not the certificate's
        shutil.copy(f"{pki}/server.crt", os.path.join(easel.folder, "server.crt"))
        said = reload(easel, NOT_RELOADED)
        assert "tls_key" in said and certificate(port) == second
        easel.stop()
    finally:
        easel.kill()


def test_tls_may_be_turned_on_and_off(easel, pki):
    where = urllib.parse.urlsplit(easel.url)
    easel.write_config({"server": {"tls_certificate": f"{pki}/server.crt", "tls_key": f"{pki}/server.key"}})
    reload(easel)

    def over_tls():
        c = ssl.create_default_context(cafile=f"{pki}/ca.crt")
        try:
            with socket.create_connection((where.hostname, where.port), 10) as s, \
                    c.wrap_socket(s, server_hostname=where.hostname) as tls:
                return tls.version()
        except OSError:
            return None

    assert wait_until(over_tls, 10, "TLS") == "TLSv1.3"
    easel.config["server"] = {k: v for k, v in easel.config["server"].items() if not k.startswith("tls_")}
    easel.write_config()
    reload(easel)

    def plain():
        try:
            return request(easel.url, "GET", "/healthz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    wait_until(plain, 10, "clear text")
