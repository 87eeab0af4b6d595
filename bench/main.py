"""bench/run: see there."""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time

import chat
import measure
import proc
import report
import status
import store
from stack import Stack

FILES = 8192
LEVELS = (1, 32, 128)
FORMATS = ("b64_json", "url")
PARTS = ("memory", "cold", "speed", "chat", "store", "status")


def say(text):
    print(text, file=sys.stderr, flush=True)


def pin():
    """Everything on one core: what two cores add is wake-ups, not insight.  Children inherit it."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def run_memory(stack, peers, quick):
    got = {}
    n_http, n_https = (200, 100) if quick else (1000, 500)
    for name, process in peers.items():
        say(f"memory: {name}, {n_http} waiting")
        got[name] = measure.waiting(stack, process, stack.ports[name, "wait"],
                                    stack.body["wait", "b64_json"], n_http, False)
    if not stack.has_easel:
        return got
    for kind, size, n in (("http", "wait", n_http), ("https", "wait-tls", n_https)):
        say(f"memory: easel, {n} waiting {kind}")
        stack.start_easel()
        measure.touch(stack)
        if "idle" not in got:
            by_name = {}
            got["idle"] = {"total_kb": proc.pss_kb(stack.easel.pid, by_name), "by_name": by_name}
        got[kind] = measure.waiting(stack, stack.easel, stack.easel_port,
                                    stack.body[size, "b64_json"], n, True)
        stack.stop_easel()
    n = 40 if quick else 200
    for size in ("burst", "burst-ws"):
        for fmt in ("b64_json", "url"):
            say(f"memory: easel, {size} of {n}, {fmt}")
            stack.start_easel()
            got[size, fmt] = measure.burst(stack, size, fmt, n)
            stack.stop_easel()
    return got


def run(stack, args, results, cores):
    if "store" in args.only:
        results["store"] = store.run(args.build, cores, args.quick, say)
    if "status" in args.only:
        results["status"] = status.run(args.build, cores, args.quick, say)
    if set(args.only) <= {"store", "status"}:
        return
    counts = {"small": 2000, "large": 60} if args.quick else {"small": 8000, "large": 200}
    rounds = 3 if args.quick else 5
    stack.start_upstreams()
    stack.make_bodies()
    peers = {"lighttpd": stack.start_lighttpd(), "nginx": stack.start_nginx()}
    if stack.has_easel:
        chat_ports = chat.start(stack) if "chat" in args.only else {}
        stack.prepare_easel(chat.settings(chat_ports))
    else:
        say(f"no {stack.tool('easel')}: the peers alone")
    if "memory" in args.only:
        results["memory"] = run_memory(stack, peers, args.quick)
    if "cold" in args.only and stack.has_easel:
        say("cold start")
        results["cold"] = measure.cold(stack, 10 if args.quick else 50)
        results["stack"] = measure.cold_stack(stack, 3 if args.quick else 10)
    if "chat" in args.only and stack.has_easel:
        say("chat")
        stack.start_easel()
        results["chat"] = chat.measure(stack, chat_ports, 10 if args.quick else 30, say)
        stack.stop_easel()
    if "speed" in args.only:
        say(f"speed: {rounds} rounds")
        if stack.has_easel:
            stack.start_easel()
            measure.touch(stack)
        results["speed"] = measure.speed(stack, {**peers, **stack.start_floors()}, ("small", "large"), FORMATS, LEVELS,
                                         counts, rounds, say)


def show(results, args):
    judged = report.Report()
    if "speed" in args.only:
        report.judge_speed(judged, results.get("speed", {}), LEVELS, FORMATS)
    if "memory" in args.only:
        report.judge_memory(judged, results.get("memory", {}))
    if "cold" in args.only:
        report.judge_cold(judged, results.get("cold"), results.get("stack"))
    if "store" in args.only:
        report.judge_store(judged, results.get("store", {}))
    if "store" in results:
        print(report.store_table(results["store"]), end="\n\n")
    if "status" in results:
        status.judge(judged, results["status"])
        print(status.table(results["status"]), end="\n\n")
    if "speed" in results:
        print(report.speed_table(results["speed"]), end="\n\n")
    if "memory" in results:
        print(report.memory_table(results["memory"]), end="\n\n")
        idle = results["memory"].get("idle")
        if idle:
            print("idle, kB: " + ", ".join(f"{k} {v:,}" for k, v in idle["by_name"].items()),
                  end="\n\n")
    if "chat" in results:
        chat.judge(judged, results["chat"])
        print(report.table(("chat", "through", "first, ms", "all, ms"), chat.rows(results["chat"])), end="\n\n")
    if "cold" in results:
        print(report.cold_table(results["cold"], results["stack"]), end="\n\n")
    print(judged.text())
    return judged


def save(results, judged, core):
    def plain(value):
        if isinstance(value, dict):
            return {" ".join(map(str, k)) if isinstance(k, tuple) else k: plain(v)
                    for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "results", "latest.json"), "w", encoding="utf-8") as f:
        json.dump({"at": int(time.time()), "core": core, "kernel": os.uname().release,
                   "musts": [dict(zip(("measure", "measured", "must", "verdict"), row))
                             for row in judged.rows],
                   **plain(results)}, f, indent=1)


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and requests")
    parser.add_argument("--only", default=",".join(PARTS), help="of " + ",".join(PARTS))
    parser.add_argument("--check", action="store_true", help="exit 1 when a must is missed")
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.only = args.only.split(",")
    if not set(args.only) <= set(PARTS):
        parser.error("--only takes " + ",".join(PARTS))

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (FILES if hard == resource.RLIM_INFINITY else min(FILES, hard), hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cores = os.sched_getaffinity(0)
    core = pin()
    stack = Stack(args.build)
    results = {}
    try:
        run(stack, args, results, cores)
    except KeyboardInterrupt:
        return 1
    except (RuntimeError, subprocess.CalledProcessError) as problem:
        say(str(problem))
        if getattr(problem, "stderr", None):
            say(str(problem.stderr))
        return 1
    finally:
        stack.end()
    judged = show(results, args)
    save(results, judged, core)
    return 1 if args.check and judged.missed else 0


if __name__ == "__main__":
    sys.exit(main())
