"""For tests: starts a simulator, scripts it, asks what it was sent.

    with client.start() as sim:
        sim.faults("silence", {"status": 429, "retry_after": 2})
        … base_url = sim.base_url + "/v1" …
        assert sim.stats()["purchases"] == 1

It speaks to the simulator over one connection that it keeps, so that the accept-* faults meet the
program under test.  The simulator dies with the *thread* that called start(): call it in the main one.
"""
import http.client
import json
import os
import selectors
import ssl
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "provider-sim")
START_TIMEOUT_S = 60


def start(*arguments, tls_dir=None, cert="server"):
    """A running simulator; arguments go to its command line.  tls_dir: a folder of --make-cert."""
    if tls_dir:
        arguments += ("--tls-cert", os.path.join(tls_dir, f"{cert}.crt"), "--tls-key", os.path.join(tls_dir, f"{cert}.key"))
    process = subprocess.Popen([sys.executable, PROGRAM, "--port", "0", *map(str, arguments)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        return Sim(process, ready_url(process))
    except BaseException:
        process.kill()
        process.wait()
        process.stdout.close()
        raise


def make_certs(folder):
    subprocess.run([sys.executable, PROGRAM, "--make-cert", str(folder)], check=True)


def ready_url(process):
    line, deadline = b"", time.monotonic() + START_TIMEOUT_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0, deadline - time.monotonic())):
                raise TimeoutError("provider-sim is not ready")
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                raise RuntimeError("provider-sim ended before it was ready")
            line += piece
    return line.decode().split()[1]


class Sim:
    def __init__(self, process, base_url):
        self.process, self.base_url, self.pid = process, base_url, process.pid
        self.port = urlsplit(base_url).port
        self._lock, self._http = threading.Lock(), None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _call(self, method, path, value=None):
        body = None if value is None else json.dumps(value).encode()
        with self._lock:
            for attempt in (1, 2):
                if self._http is None:
                    at = urlsplit(self.base_url)
                    if at.scheme == "https":
                        self._http = http.client.HTTPSConnection(at.hostname, at.port, timeout=60,
                                                                 context=ssl._create_unverified_context())
                    else:
                        self._http = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
                try:
                    self._http.request(method, path, body, {"content-type": "application/json"})
                    response = self._http.getresponse()
                    answer = json.loads(response.read())
                    break
                except (http.client.HTTPException, OSError):
                    self._http.close()
                    self._http = None
                    if attempt == 2:
                        raise
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer

    def requests(self, since=0, kind=None):
        """The records, in order of arrival; kind: "generate", "picture", … only."""
        found = self._call("GET", f"/_sim/requests?since={since}")
        return [r for r in found if kind is None or r["kind"] == kind]

    def clear(self):
        """Forgets the records and sets the counters to 0."""
        self._call("DELETE", "/_sim/requests")

    def faults(self, *specs):
        """Queues faults, one per request that costs money (or "on": another kind)."""
        self._call("POST", "/_sim/faults", list(specs))

    def clear_faults(self):
        self._call("DELETE", "/_sim/faults")

    def pending_faults(self):
        return self._call("GET", "/_sim/faults")

    def release(self):
        """Lets the oldest answer go on that a fault sse-hold holds back."""
        self._call("POST", "/_sim/release")

    def stats(self):
        return self._call("GET", "/_sim/stats")

    def defaults(self, **values):
        return self._call("POST", "/_sim/defaults", values)

    def reset(self):
        """Records, counters, faults and defaults as after the start."""
        self._call("POST", "/_sim/reset")

    def wait_for(self, condition, timeout_s=30):
        """Waits until condition(stats) holds and returns those stats."""
        deadline = time.monotonic() + timeout_s
        while True:
            stats = self.stats()
            if condition(stats):
                return stats
            if time.monotonic() > deadline:
                raise TimeoutError(f"provider-sim: not within {timeout_s} s; stats: {stats}")
            time.sleep(0.02)

    def stop(self):
        if self._http is not None:
            self._http.close()
            self._http = None
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
