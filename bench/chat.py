"""Chat that is passed through: the first token and the whole of a stream, beside nginx proxy_pass."""

import json
import socket
import time

from measure import bearer, median
from stack import free_port, wait_port

EVENTS = 2000
PATH = "/v1/chat/completions"
# As fast as it goes, and as a quick model writes: the first word after 50 ms.
PACES = {"at once": (0, 0), "every 1 ms": (1000, 50)}
MUST_RATIO = 1.1


def start(stack):
    """Providers of each pace, and nginx in front of them."""
    ports, servers = {}, []
    for name, (gap_us, first_ms) in PACES.items():
        process = stack.start([stack.tool("bench/events"), "--events", str(EVENTS), "--gap-us", str(gap_us),
                               "--first-ms", str(first_ms)], "events")
        upstream = int(process.read_line("ready").split()[1])
        port = free_port()
        ports[name] = {"direct": upstream, "nginx": port}
        servers.append(f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{upstream}; "
                       "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; } }")
    tmp = stack.path("nginx-chat", "tmp", "x").rsplit("/", 1)[0]
    path = stack.write("nginx-chat/nginx.conf", "\n".join([
        "daemon off; worker_processes 1;", f"pid {tmp}/pid; error_log stderr;", "events { worker_connections 64; }",
        "http { access_log off;", *(f"{kind}_temp_path {tmp};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi")),
        f"client_body_temp_path {tmp};", *servers, "}"]))
    user = stack.start(["/usr/sbin/nginx", "-e", "stderr", "-c", path], "nginx-chat")
    wait_port(next(iter(ports.values()))["nginx"], user)
    return ports


def settings(ports):
    """The part of Easel's configuration that is about them."""
    text = []
    for name, at in ports.items():
        word = name.replace(" ", "-")
        text.append(f"""[providers.chat-{word}]
dialect = "openai"
base_url = "http://127.0.0.1:{at['direct']}/v1"
api_key = "sk-bench-0000000000000000"

[models.chat-{word}]
provider = "chat-{word}"
type = "chat"
""")
    return "\n".join(text)


def dechunked(answer):
    body, out = answer.partition(b"\r\n\r\n")[2], []
    while body:
        size, _, body = body.partition(b"\r\n")
        n = int(size, 16)
        out.append(body[:n])
        body = body[n + 2:]
    return b"".join(out)


def one(port, body, headers):
    """(ms to the first event, ms to the end) of a stream on a connection of its own."""
    head = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    request = (f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n{head}"
               f"Content-Length: {len(body)}\r\n\r\n").encode() + body
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.perf_counter()
        s.sendall(request)
        first, pieces, tail = None, [], b""
        while not tail.endswith(b"0\r\n\r\n"):
            piece = s.recv(65536)
            if not piece:
                raise RuntimeError(f"a stream broke off after {sum(map(len, pieces))} bytes")
            if first is None and b"data:" in piece:
                first = time.perf_counter()
            pieces.append(piece)
            tail = (tail + piece)[-8:]
        end = time.perf_counter()
    events = dechunked(b"".join(pieces)).count(b"data:")
    if events != EVENTS + 1:
        raise RuntimeError(f"{events} events instead of {EVENTS + 1}")
    return (first - begin) * 1000, (end - begin) * 1000


def measure(stack, ports, rounds, say):
    """{(pace, target): [(first_ms, total_ms), …]}, a round after the other."""
    got = {}
    for name, at in ports.items():
        body = json.dumps({"model": "chat-" + name.replace(" ", "-"), "stream": True,
                           "messages": [{"role": "user", "content": "一只可爱的熊猫"}]}).encode()
        targets = [("direct", at["direct"], {}), ("nginx", at["nginx"], {})]
        if stack.easel:
            targets.append(("easel", stack.easel_port, bearer(stack)))
        for r in range(rounds + 2):
            for target, port, headers in targets:
                run = one(port, body, headers)
                if r >= 2:  # the first ones warm up
                    got.setdefault((name, target), []).append(run)
        say(f"  {name}: " + ", ".join(
            f"{t} {median([x[0] for x in got[name, t]]):.2f} ms to the first, {median([x[1] for x in got[name, t]]):.1f} ms"
            for t, _, _ in targets))
    return got


def ratio(got, pace, field):
    easel, nginx = got.get((pace, "easel")), got.get((pace, "nginx"))
    return median([a[field] / b[field] for a, b in zip(easel, nginx)]) if easel and nginx else None


def judge(judged, got):
    """Of the paced stream; how long one takes that comes at once says who had the core first."""
    pace = list(PACES)[-1]
    judged.at_most(f"chat, {pace}: first event, times nginx", ratio(got, pace, 0), MUST_RATIO)
    judged.at_most(f"chat, {pace}: {EVENTS:,} events, times nginx", ratio(got, pace, 1), MUST_RATIO)


def rows(got):
    for (pace, target), runs in got.items():
        yield (pace, target, f"{median([r[0] for r in runs]):.2f}", f"{median([r[1] for r in runs]):.1f}")
