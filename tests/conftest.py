"""Fixtures: a simulator, installations of Easel, and their logs in the report of a failure."""
import os
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "system"))

import support  # noqa: E402
from redis_server import Redis  # noqa: E402


def pytest_configure(config):
    support.adopt_orphans()


@pytest.fixture(scope="session")
def sim():
    """The scripted provider, one for all tests of a file."""
    simulator = support.start_sim()
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def start_easel():
    """A function that starts an installation: start_easel(config, env=…).  Each must end cleanly."""
    started = []

    def start(config=None, **more):
        started.append(support.Easel(config, **more))
        return started[-1]

    yield start
    problems = []
    for easel in started:
        try:
            easel.stop()
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="module")
def next_redis():
    """A function that answers a Redis for one test, which stops it; the one for the next test is starting meanwhile."""
    ahead = []

    def take():
        taken = ahead.pop() if ahead else Redis()
        ahead.append(Redis())
        return taken
    yield take
    for redis in ahead:
        redis.stop()


@pytest.fixture(scope="session")
def redis():
    """A redis-server of the tests' own; the URL of its database."""
    with tempfile.TemporaryDirectory(prefix="easel-redis-") as folder:
        path = os.path.join(folder, "redis.sock")
        process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--dir", folder, "--appendonly", "yes",
             "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction", "--databases", "64"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            support.wait_until(lambda: os.path.exists(path), 10, "redis-server")
            yield f"redis+unix://{path}?db=0"
        finally:
            process.terminate()
            process.wait(20 * support.SLOW)


@pytest.fixture(scope="module")
def preview(start_easel):
    """An installation without any provider: it draws on this machine."""
    return start_easel()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, support.Easel):
                report.sections.append((f"log of {name}", value.log()[-1500:]))
