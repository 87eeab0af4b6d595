"""Reloads, retiring and kill -9 under load: tests/churn, scaled down.  `make check-churn` is the whole of it."""
import os
import re
import subprocess
import sys

from support import ROOT, SLOW

REQUESTS = 600


def test_a_request_fails_only_when_a_kill_hit_it():
    env = {**os.environ, "REQUESTS": str(REQUESTS), "RATE": str(100 / SLOW), "EVERY": str(0.5 * SLOW),
           "CROSSED_OK": "1"}
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tests/churn")], env=env, capture_output=True, text=True,
                          timeout=60 * SLOW)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert re.search(r"^\| unexplained +\| 0 \|$", done.stdout, re.M), told
    assert re.search(rf"^\| generations +\| {REQUESTS} in ", done.stdout, re.M), told
    assert re.search(r"^\| hit by the kill of a worker of images-generations: \S+ \S+, of a generation +\| [1-9]",
                     done.stdout, re.M), "the kills met nobody\n" + told
    assert re.search(r"^\| reloads +\| [1-9]\d*, completed [1-9]", done.stdout, re.M), told
