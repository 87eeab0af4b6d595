"""kill -9 of any part of Easel while tasks run: tests/kills, scaled down.  `make check-kills` is the whole of it."""
import os
import re
import subprocess
import sys

import pytest

from support import ROOT, SLOW

RUNS = 6


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_nothing_acknowledged_is_lost_or_bought_twice(store):
    env = {**os.environ, "RUNS": str(RUNS), "LANES": "2", "STORES": store}
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tests/kills")], env=env, capture_output=True, text=True,
                          timeout=120 * SLOW)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    row = re.search(rf"^\| {store} +\| all +\| +\| (\d+) +\| (\d+) +\| (\d+) ", done.stdout, re.M)
    assert row, told
    runs, acknowledged, succeeded = map(int, row.groups())
    assert runs == RUNS and acknowledged > RUNS and succeeded > RUNS, told
