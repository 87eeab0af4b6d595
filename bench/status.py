"""Status reads through the front door: GET /v1/tasks/{id} and GET /task_status/{id}, with 100,000 tasks queued."""

import json
import os
import shutil
import subprocess
import tempfile

import proc
import report
from measure import median
from stack import free_port
from store import start_redis

QUEUED = 100_000
CONNECTIONS = 32
PATHS = {"/v1/tasks/{id}": "/v1/tasks/*", "/task_status/{id}": "/task_status/*"}
MUST_READS = 10_000


def programs_without_worker(build, folder):
    """The queue must stay as long as it is: nobody works."""
    libexec = os.path.join(folder, "libexec")
    os.mkdir(libexec)
    for name in os.listdir(os.path.join(build, "handlers")):
        if name != "task-worker":
            os.symlink(os.path.join(build, "handlers", name), os.path.join(libexec, name))
    return libexec


def easel(build, env, folder, *args):
    return subprocess.run([os.path.join(build, "easel"), *args], env=env, cwd=folder, check=True,
                          capture_output=True, text=True).stdout


def measure(build, folder, url, queued, rounds, requests):
    port = free_port()
    config = os.path.join(folder, "easel.toml")
    with open(os.open(config, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
        f.write(f'[server]\nlisten = "127.0.0.1:{port}"\nstate_dir = "var"\n[store]\nurl = "{url}"\n'
                "[limits]\nrequests_per_minute = 0\nconcurrent = 0\n"
                '[providers.local]\ndialect = "preview"\n'
                '[models.preview]\nprovider = "local"\ntype = "image"\nupstream_model = "preview"\n')
    env = {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}
    env |= {"EASEL_CONFIG": config, "EASEL_LIBEXEC": programs_without_worker(build, folder)}
    key = os.path.join(folder, "key")
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
        f.write(easel(build, env, folder, "keys", "create", "--name", "bench"))
    owner = json.loads(easel(build, env, folder, "keys", "list", "--json"))["data"][0]["id"]
    ids = os.path.join(folder, "ids")
    with open(ids, "w", encoding="ascii") as f:
        subprocess.run([os.path.join(build, "bench", "store"), url, os.path.join(folder, "var"), str(queued), "fill",
                        owner], stdout=f, check=True)
    served = proc.Process([os.path.join(build, "easel"), "serve"], os.path.join(folder, "log"), env, folder)
    got = {}
    try:
        served.read_line("ready ")
        for r in range(rounds + 1):
            for name, path in PATHS.items():
                before = proc.cpu_ns(served.pid)
                run = json.loads(subprocess.run(
                    [os.path.join(build, "bench", "load"), "--port", str(port), "--path", path, "--ids-file", ids,
                     "--connections", str(CONNECTIONS), "--requests", str(requests), "--bearer-file", key],
                    check=True, capture_output=True, text=True).stdout)
                run["reads_s"] = run["ok"] / run["seconds"]
                run["cpu_us"] = proc.cpu_between(before, proc.cpu_ns(served.pid)) / 1000 / max(run["ok"], 1)
                if r:
                    got.setdefault(name, []).append(run)
    finally:
        served.end()
    return got


def run(build, cores, quick, say):
    """All cores, as in store.py: a store is asked by several processes."""
    build = os.path.abspath(build)
    results = {}
    queued = QUEUED // 10 if quick else QUEUED
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    local = tempfile.mkdtemp(prefix="easel-bench-")
    redis = None
    try:
        redis = start_redis(local)
        for name, url in (("sqlite", "sqlite:b.db"), ("redis", f"redis+unix://{local}/s")):
            say(f"status: {name}, {queued} tasks")
            folder = os.path.join(local, name)
            os.mkdir(folder)
            for path, runs in measure(build, folder, url, queued, 2 if quick else 5,
                                      4000 if quick else 20000).items():
                results[name, path] = runs
    finally:
        os.sched_setaffinity(0, here)
        if redis:
            redis.kill()
            redis.wait()
        shutil.rmtree(local, ignore_errors=True)
    return results


def judge(judged, results):
    for (store, path), runs in results.items():
        judged.at_least(f"{store}: GET {path}, {CONNECTIONS} connections: reads a second",
                        median([r["reads_s"] for r in runs]), MUST_READS, "{:,.0f}")
        judged.at_most(f"{store}: GET {path}: answers that were not 200",
                       sum(r["errors"] + r["unfinished"] for r in runs), 0, "{:.0f}")


def table(results):
    return report.table(("store", "path", "reads/s", "p50 us", "p99 us", "CPU us/read"),
                        [(store, path, *(f"{median([r[field] for r in runs]):,.0f}"
                                         for field in ("reads_s", "p50_us", "p99_us", "cpu_us")))
                         for (store, path), runs in results.items()])
