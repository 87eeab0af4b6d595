"""The control API, /_sim/…, on the provider's own port: what the test scripts and asks."""
import json

from . import faults
from .exchange import to_json
from .wire import head_bytes

DEFAULTS = {"delay", "picture_bytes", "format", "size", "chunk", "gap", "rate", "after", "fault", "type",
            "task_seconds", "task_limit", "running", "quota", "shape", "sync", "old_sync", "no_sync_text",
            "answer", "token_seconds"}


async def serve(sim, conn, request):
    await conn.read_body(request)
    try:
        value = json.loads(request.body) if request.body else None
        status, answer = act(sim, request.method, request.path.rstrip("/"), request.query, value)
    except (ValueError, TypeError, AttributeError) as e:
        status, answer = 400, {"error": f"provider-sim: {e}"}
    body = to_json(answer)
    keep = request.keep_alive
    await conn.send(head_bytes(status, [("content-type", "application/json"), ("content-length", str(len(body))),
                                        ("connection", "keep-alive" if keep else "close")]) + body)
    return keep


def act(sim, method, path, query, value):
    match (method, path):
        case ("GET", "/_sim/requests"):
            return 200, sim.recorder.since(int(query.get("since", 0)))
        case ("DELETE", "/_sim/requests"):
            clear(sim)
            return 200, {}
        case ("GET", "/_sim/stats"):
            found = sim.recorder.stats()
            for dialect in sim.registry.dialects.values():
                found |= dialect.stats(sim)
            return 200, found
        case ("POST", "/_sim/faults"):
            sim.queue.add(value)
            return 200, {"queued": len(sim.queue.faults)}
        case ("GET", "/_sim/faults"):
            return 200, [str(f) for f in sim.queue.faults]
        case ("DELETE", "/_sim/faults"):
            sim.queue.faults.clear()
            return 200, {}
        case ("POST", "/_sim/release"):
            sim.released += 1
            sim.release()
            return 200, {}
        case ("POST", "/_sim/defaults"):
            new = {k.replace("-", "_"): v for k, v in value.items()}
            if unknown := new.keys() - DEFAULTS:
                raise ValueError(f"unknown defaults {sorted(unknown)}; there are {sorted(DEFAULTS)}")
            if new.get("fault"):
                faults.parse(new["fault"])
            sim.defaults.update(new)
            sim.defaults = {k: v for k, v in sim.defaults.items() if v is not None}
            return 200, sim.defaults
        case ("GET", "/_sim/defaults"):
            return 200, sim.defaults
        case ("DELETE", "/_sim/defaults"):
            sim.defaults.clear()
            return 200, {}
        case ("POST", "/_sim/reset"):
            clear(sim)
            sim.state.clear()
            sim.queue.faults.clear()
            sim.defaults.clear()
            sim.released = 0
            return 200, {}
        case ("POST", "/_sim/quit"):
            sim.ended.set()
            return 200, {}
    return 404, {"error": f"provider-sim: no {method} {path}"}


def clear(sim):
    sim.recorder.clear()
    for dialect in sim.registry.dialects.values():
        dialect.clear(sim)
