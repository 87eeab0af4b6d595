"""Webhooks: a receiver on a public address, in a network of the test's own, where nothing else is."""
import ctypes
import http.server
import os
import signal
import subprocess
import threading
import time

import pytest
import standardwebhooks

from support import SLOW, merge, wait_until
from tasks import create, ended, path_of, read

PUBLIC = "93.184.216.34"
CLONE_NEWNET = 0x40000000


@pytest.fixture(scope="module")
def network():
    """What this thread starts from here on has a network with the loopback and one public address."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    try:
        path = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, env=path)
        subprocess.run(["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"], check=True, env=path)
        yield
    finally:
        assert libc.setns(before, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(before)


class Receiver:
    """
    Notes what it is sent; answers with the statuses of `answers` in turn, with the last one from then on.  What
    other tests have left to be sent again is told that it is gone.
    """

    def __init__(self, address, answers=(204,), path=None):
        self.got, self.answers = [], list(answers)
        self.path = path or f"/hook/{time.monotonic_ns()}?who=me"
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # a connection must not outlive its test

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path != receiver.path:
                    status = 410
                else:
                    receiver.got.append((self.path, dict(self.headers.items()), body, time.time()))
                    status = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                if status == "hang up":
                    self.close_connection = True
                    return
                self.send_response(status)
                if status in (301, 302, 307, 308):
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, 80), Handler)
        self.url = f"http://{address}{self.path}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def wait(self, n, seconds=15):
        wait_until(lambda: len(self.got) >= n, seconds, f"webhook {n}")
        return self.got[n - 1]


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def easel(request, network, start_easel):
    config = {"models": {"easel-preview": {"provider": "preview"}, "refused": {"provider": "refuses"}},
              "providers": {"preview": {"dialect": "preview"},
                            "refuses": {"dialect": "openai", "base_url": "http://127.0.0.1/v1", "api_key": "sk-refused-0123456789"}}}
    if request.param == "redis":
        config = merge(config, {"store": {"url": request.getfixturevalue("redis")}})
    return start_easel(config)


def secret(easel):
    return easel.run("config", "webhook-secret").stdout.strip()


def order(easel, url, model="easel-preview"):
    return create(easel, model=model, callback_url=url)


def test_a_webhook_is_what_the_standard_says(easel):
    with Receiver(PUBLIC) as receiver:
        task = order(easel, receiver.url)
        path, headers, body, at = receiver.wait(1)
        assert path == receiver.path and headers["Content-Type"] == "application/json"
        assert headers["webhook-id"] == "msg_" + task["id"] and abs(int(headers["webhook-timestamp"]) - at) < 30 * SLOW
        said = standardwebhooks.Webhook(secret(easel)).verify(body, headers)
        assert said.keys() == {"type", "timestamp", "data"} and said["type"] == "task.succeeded", said
        assert said["data"] == ended(easel, task)
        assert easel.stored(said["data"]["images"][0]["url"])
        assert time.strptime(said["timestamp"], "%Y-%m-%dT%H:%M:%SZ")
        assert not {name.lower() for name in headers} & {"authorization", "cookie", "referer"}

        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(secret(easel)).verify(body.replace(b"SUCCESS", b"FAILURE"), headers)
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook("whsec_" + "A" * 44).verify(body, headers)
        assert secret(easel) not in easel.log() and easel.key not in str(headers) + body.decode()

        again = order(easel, receiver.url)
        receiver.wait(2)
        time.sleep(1)  # more would have come by now
        assert [h["webhook-id"] for _, h, _, _ in receiver.got] == ["msg_" + t["id"] for t in (task, again)]


def test_a_webhook_that_is_not_taken_is_sent_again_and_is_the_same_one(easel):
    with Receiver(PUBLIC, [503, "hang up", 200]) as receiver:
        task = order(easel, receiver.url)
        (_, one, body, at), (_, two, same, later) = receiver.wait(1), receiver.wait(2, 30)
        assert one["webhook-id"] == two["webhook-id"] == "msg_" + task["id"] and body == same
        assert 4 <= later - at <= 15 * SLOW, "five seconds, and the second to look"
        assert int(two["webhook-timestamp"]) > int(one["webhook-timestamp"])
        standardwebhooks.Webhook(secret(easel)).verify(same, two)
        # The third would come half a minute later: its outcome stands in the log by then.
        wait_until(lambda: sum("webhook failed" in line for line in easel.log_lines(task["request_id"])) == 2, 10,
                   "both failures in the log")
        assert read(easel, task)["status"] == "SUCCESS", "the task is as it was"


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_is_not_followed(easel, status):
    with Receiver(PUBLIC, [status]) as receiver, Receiver("127.0.0.1") as inside:
        receiver.location = inside.url
        task = order(easel, receiver.url)
        receiver.wait(1)
        wait_until(lambda: any("webhook failed" in line and f"status={status}" in line
                               for line in easel.log_lines(task["request_id"])), 10, "its line in the log")
        assert len(receiver.got) == 1 and not inside.got


def test_gone_is_the_end_of_it(easel):
    with Receiver(PUBLIC, [410]) as receiver:
        task = order(easel, receiver.url)
        receiver.wait(1)
        wait_until(lambda: any("webhook failed" in line for line in easel.log_lines(task["request_id"])), 10, "the log")
        time.sleep(7)  # a second one would have come after five
        assert len(receiver.got) == 1


def test_a_failure_is_told_too(easel):
    with Receiver(PUBLIC) as receiver, Receiver("127.0.0.1", [401], "/v1/images/generations"):
        task = order(easel, receiver.url, "refused")
        _, headers, body, _ = receiver.wait(1)
        said = standardwebhooks.Webhook(secret(easel)).verify(body, headers)
        assert said["type"] == "task.failed" and said["data"] == read(easel, task), said
        assert said["data"]["error"]["code"] == "upstream_auth_failed"


def test_a_task_that_is_cancelled_while_it_waits_is_told_too(easel):
    workers = [p.pid for p in easel.named("handlers/task-worker")]
    with Receiver(PUBLIC) as receiver:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)  # nothing is claimed while they stand still
        try:
            task = order(easel, receiver.url)
            answer = easel.request("DELETE", path_of(task["urls"]["cancel"]))
            assert answer.json["status"] == "REVOKED", answer
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        _, headers, body, _ = receiver.wait(1)
        said = standardwebhooks.Webhook(secret(easel)).verify(body, headers)
        assert said["type"] == "task.revoked" and said["data"] == read(easel, task), said
