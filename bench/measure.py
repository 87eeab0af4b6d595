"""The measurements.  Each returns plain figures; report.py judges them."""

import http.client
import json
import subprocess
import time

import proc
from stack import PROGRAMS, WAIT_MS

PATH = "/v1/images/generations"


def median(values):
    values = sorted(v for v in values if v is not None)
    if not values:
        return None
    mid = len(values) // 2
    return values[mid] if len(values) % 2 else (values[mid - 1] + values[mid]) / 2


def load_argv(stack, port, body, connections, requests, key, timeout_s):
    argv = [stack.tool("bench/load"), "--port", str(port), "--path", PATH, "--connections",
            str(connections), "--requests", str(requests), "--body-file", body, "--timeout-s",
            str(timeout_s)]
    return argv + (["--bearer-file", stack.key_file] if key else [])


def load(stack, process, port, body, connections, requests, key=False, timeout_s=60):
    """One run: requests a second, percentiles, and CPU a request of `process` and all below it."""
    before = proc.cpu_ns(process.pid) if process else {}
    out = subprocess.run(load_argv(stack, port, body, connections, requests, key, timeout_s),
                         check=True, capture_output=True, text=True).stdout
    after = proc.cpu_ns(process.pid) if process else {}
    got = json.loads(out)
    got["rps"] = got["ok"] / got["seconds"]
    got["cpu_us"] = proc.cpu_between(before, after) / 1000 / max(got["ok"], 1) if process else None
    return got


def speed(stack, peers, sizes, formats, levels, counts, rounds, say):
    """Interleaved rounds.  {(size, target, connections): [run, …]}; a target is a peer's name,
    "direct" or ("easel", format)."""
    runs = {}
    for size in sizes:
        for connections in levels:
            targets = [("direct", None, stack.upstream[size][0], "b64_json", False)]
            targets += [(name, p, stack.ports[name, size], "b64_json", False)
                        for name, p in peers.items()]
            if stack.easel:
                targets += [(f"easel {fmt}", stack.easel, stack.easel_port, fmt, True)
                            for fmt in formats]
            # The first round warms up and is thrown away.
            for r in range(rounds + 1):
                for name, p, port, fmt, key in targets:
                    n = max(connections, counts[size] if r else counts[size] // 4)
                    run = load(stack, p, port, stack.body[size, fmt], connections, n, key)
                    if r:
                        runs.setdefault((size, name, connections), []).append(run)
                    if run["errors"] or run["unfinished"]:
                        say(f"  {name}, {size}, {connections} connections: {run['errors']} errors "
                            f"(status {run['bad_status']}), {run['unfinished']} unfinished")
                    # Else every small picture would pay for a page that the machine never used.
                    stack.drop_pictures()
            say(f"  {size}, {connections} connections: " + ", ".join(
                f"{name} {median([x['rps'] for x in runs[size, name, connections]]):,.0f}/s"
                for name, *_ in targets))
    return runs


def touch(stack):
    """One request to each program, so that all of them run and are warm."""
    c = http.client.HTTPConnection("127.0.0.1", stack.easel_port, timeout=20)
    for path in ("/healthz", "/v1/models", "/nowhere"):
        c.request("GET", path, headers=bearer(stack))
        c.getresponse().read()
    c.close()
    load(stack, stack.easel, stack.easel_port, stack.body["small", "b64_json"], 2, 20, True)


def bearer(stack):
    with open(stack.key_file, encoding="ascii") as f:
        return {"Authorization": "Bearer " + f.read().strip()}


def waiting(stack, process, port, body, n, key):
    """Memory while n requests wait for their provider: {idle_kb, waiting_kb, kb_per_request}."""
    idle = proc.pss_kb(process.pid)
    before = proc.cpu_ns(process.pid)
    child = subprocess.Popen(load_argv(stack, port, body, n, n, key, 60) + ["--say-sent"],
                             stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    # The connections are accepted and the providers asked in less than half of the wait; handlers
    # give memory back only then.
    time.sleep(WAIT_MS / 1000 * 0.7)
    kb = proc.pss_kb(process.pid)
    got = json.loads(child.stdout.read())
    child.wait()
    cpu = proc.cpu_between(before, proc.cpu_ns(process.pid))
    return {"idle_kb": idle, "waiting_kb": kb, "kb_per_request": (kb - idle) / n, "n": n,
            "ok": got["ok"], "errors": got["errors"] + got["unfinished"],
            "bad_status": got["bad_status"], "p50_ms": got["p50_us"] / 1000,
            "p99_ms": got["p99_us"] / 1000, "cpu_s": cpu / 1e9}


def burst(stack, size, fmt, n):
    """The peak of memory while n large answers arrive together."""
    child = subprocess.Popen(
        load_argv(stack, stack.easel_port, stack.body[size, fmt], n, n, True, 120),
        stdout=subprocess.PIPE, text=True)
    peak = 0
    while child.poll() is None:
        peak = max(peak, proc.pss_kb(stack.easel.pid))
        time.sleep(0.03)
    got = json.loads(child.stdout.read())
    child.stdout.close()
    return {"n": n, "peak_kb": peak, "ok": got["ok"], "errors": got["errors"] + got["unfinished"],
            "bad_status": got["bad_status"], "p99_ms": got["p99_us"] / 1000}


COLD = {
    "images-generations": ("POST", PATH, 200),
    "images-edits": ("POST", "/v1/images/edits", 400),
    "chat-completions": ("POST", "/v1/chat/completions", 400),
    "models": ("GET", "/v1/models", 200),
    "health": ("GET", "/healthz", 200),
    "fallback": ("GET", "/nowhere", 404),
}


def cold(stack, runs):
    """exec of each program to the first byte of its answer, as FastCGI and as CGI."""
    rows = {}
    for name in PROGRAMS:
        method, uri, status = COLD[name]
        for kind in ("fastcgi", "cgi"):
            argv = [stack.tool("bench/cold"), "--runs", str(runs), "--method", method, "--uri",
                    uri, "--bearer-file", stack.key_file]
            if method == "POST":
                argv += ["--body-file", stack.body["small", "b64_json"]]
            if kind == "cgi":
                argv.append("--cgi")
            with open(stack.path("log", f"cold-{name}"), "ab") as err:
                got = json.loads(subprocess.run(
                    argv + ["--", stack.tool(f"handlers/{name}")], env=stack.easel_env(),
                    cwd=stack.path("easel", ""), check=True, stdout=subprocess.PIPE,
                    stderr=err, text=True).stdout)
            rows[name, kind] = {"ms": median(got["ms"]), "min_ms": min(got["ms"]),
                                "status": got["status"],
                                "good": got["status"] == status and min(got["ms"]) > 0}
    return rows


def cold_stack(stack, runs):
    """exec of `easel serve` to "ready", and to the first answer through the front door."""
    rows = []
    for _ in range(runs):
        start = time.monotonic()
        ready = stack.start_easel()
        c = http.client.HTTPConnection("127.0.0.1", stack.easel_port, timeout=20)
        c.request("GET", "/v1/models", headers=bearer(stack))
        status = c.getresponse().status
        rows.append({"ready_ms": ready * 1000, "answer_ms": (time.monotonic() - start) * 1000,
                     "status": status})
        c.close()
        stack.stop_easel()
    return {"ready_ms": median([r["ready_ms"] for r in rows]),
            "answer_ms": median([r["answer_ms"] for r in rows]),
            "status": rows[-1]["status"]}
