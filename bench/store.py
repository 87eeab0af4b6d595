"""The store alone: durable submissions, claims from a long queue, status reads; SQLite and Redis."""

import json
import os
import shutil
import subprocess
import tempfile
import time

QUEUED = 100_000
CONF = "port 0\nunixsocket {0}/s\ndir {0}\nsave \"\"\nappendonly yes\nappendfsync everysec\n"


def start_redis(folder):
    conf = os.path.join(folder, "redis.conf")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(CONF.format(folder))
    process = subprocess.Popen(["redis-server", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not os.path.exists(os.path.join(folder, "s")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("redis-server did not start")
        time.sleep(0.02)
    return process


def run(build, cores, quick, say):
    """On a disk, not in memory: what is measured is how fast it is safe.  All cores: Redis is a process of its own."""
    results = {}
    queued = QUEUED // 10 if quick else QUEUED
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    folder = tempfile.mkdtemp(prefix="store-", dir=os.path.join(build, "bench"))
    # A socket's path has 107 characters at most, and the build folder may be deep.
    local = tempfile.mkdtemp(prefix="easel-bench-")
    redis = None
    try:
        redis = start_redis(local)
        for name, url in (("sqlite", "sqlite:b.db"), ("redis", f"redis+unix://{local}/s")):
            say(f"store: {name}, {queued} tasks")
            done = subprocess.run([os.path.join(build, "bench", "store"), url, folder, str(queued), "3"],
                                  capture_output=True, text=True, check=True)
            results[name] = json.loads(done.stdout)
    finally:
        os.sched_setaffinity(0, here)
        if redis:
            redis.kill()
            redis.wait()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(local, ignore_errors=True)
    return results
