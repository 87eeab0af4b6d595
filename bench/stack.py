"""What is measured: the upstream, the two peers and Easel, each in a folder below a temporary one."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from proc import Process

SHM = "/dev/shm"
SHM_MIN = 1 << 30
SMALL = 1000
LARGE = 2_000_000
WAIT_MS = 6000
BURST_MS = 2000
PROGRAMS = ("images-generations", "images-edits", "chat-completions", "models", "health", "fallback")
SIZES = ("small", "large", "wait", "wait-tls", "burst")
SIMULATOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "provider-sim", "provider-sim")
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

# A made-up credential for a made-up provider.
PROVIDER_KEY = "sk-bench-0000000000000000"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, process):
    until = time.monotonic() + 20
    while time.monotonic() < until and process.alive():
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"{process.name} does not listen:\n{process.last_words()}")


class Stack:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        # Temporary files of the web servers belong in memory; see reference in README.md.
        room = shutil.disk_usage(SHM).free if os.path.isdir(SHM) else 0
        self.dir = tempfile.mkdtemp(prefix="easel-bench-", dir=SHM if room > SHM_MIN else None)
        self.running = []
        self.upstream = {}
        self.ports = {}
        self.easel = None
        self.key_file = None
        self.body = {}
        self.has_easel = os.access(self.tool("easel"), os.X_OK)

    def tool(self, name):
        return os.path.join(self.build, name)

    def path(self, *names):
        path = os.path.join(self.dir, *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w",
                  encoding="utf-8") as f:
            f.write(text)
        return path

    def start(self, argv, name, env=None):
        process = Process(argv, self.path("log", name), env)
        self.running.append(process)
        return process

    def end(self):
        for process in reversed(self.running):
            process.end()
        self.running = []
        self.easel = None
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- upstream ----

    def start_upstreams(self):
        cert, key = self.make_certificate()
        rows = {
            "small": ["--bytes", SMALL, "--ports", 4],
            "large": ["--bytes", LARGE, "--ports", 4],
            "wait": ["--bytes", SMALL, "--delay-ms", WAIT_MS],
            "wait-tls": ["--bytes", SMALL, "--delay-ms", WAIT_MS, "--cert", cert, "--key", key],
            "burst": ["--bytes", LARGE, "--delay-ms", BURST_MS],
        }
        for name, args in rows.items():
            process = self.start([self.tool("bench/upstream"), *map(str, args)], f"up-{name}")
            self.upstream[name] = [int(p) for p in process.read_line("ready").split()[1:]]
        # Only the tests' simulator speaks WebSocket.
        process = self.start([SIMULATOR, "--dialect", "grok"], "up-burst-ws")
        self.upstream["burst-ws"] = [int(process.read_line("ready").rsplit(":", 1)[1])]

    def make_certificate(self):
        cert, key = self.path("tls", "cert.pem"), self.path("tls", "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True)
        # Beside the system's authorities, as many as a real installation has to load.
        with open(self.path("tls", "bundle.pem"), "w", encoding="ascii") as out:
            for name in (CA_BUNDLE, cert):
                if os.path.exists(name):
                    with open(name, encoding="ascii") as f:
                        out.write(f.read())
        return cert, key

    def make_bodies(self):
        for size in (*SIZES, "burst-ws"):
            for fmt in ("b64_json", "url"):
                self.body[size, fmt] = self.write(f"body/{size}-{fmt}.json", json.dumps({
                    "model": f"bench-{size}", "prompt": "一只可爱的熊猫", "n": 1,
                    "size": "1024x1024", "response_format": fmt}))

    # ---- peers ----

    def lighttpd_settings(self, module, folder):
        return [
            f'server.modules = ( "{module}" )',
            f'server.document-root = "{self.dir}"',
            'server.bind = "127.0.0.1"',
            f"server.port = {free_port()}",
            "server.listen-backlog = 4096",
            "server.max-fds = 8192",
            "server.max-connections = 4096",
            "server.max-keep-alive-requests = 1000000",
            "server.stream-response-body = 2",
            "server.chunkqueue-chunk-sz = 65536",
            f'server.upload-dirs = ( "{os.path.dirname(self.path(folder, "tmp", "x"))}" )',
        ]

    def start_lighttpd(self):
        conf = self.lighttpd_settings("mod_proxy", "lighttpd")
        for size in ("small", "large", "wait"):
            port = self.ports["lighttpd", size] = free_port()
            hosts = ", ".join(f'( "host" => "127.0.0.1", "port" => {p} )'
                              for p in self.upstream[size])
            conf.append(f'$SERVER["socket"] == "127.0.0.1:{port}" {{\n'
                        '\tproxy.balance = "round-robin"\n'
                        f'\tproxy.server = ( "" => ( {hosts} ) )\n}}')
        path = self.write("lighttpd/lighttpd.conf", "\n".join(conf) + "\n")
        process = self.start(["/usr/sbin/lighttpd", "-D", "-f", path], "lighttpd")
        wait_port(self.ports["lighttpd", "small"], process)
        return process

    def start_floors(self):
        """lighttpd with the least programs that FastCGI allows, a process each: floor.c."""
        conf = self.lighttpd_settings("mod_fastcgi", "floor")
        files = os.path.dirname(self.path("floor", "files", "x"))
        floors = {"floor, nothing kept": ("bare", ""), "floor": ("bare", files), "floor, libcurl connects": ("connect", files),
                  "floor, libcurl": ("libcurl", files)}
        for name, (way, folder) in floors.items():
            for size in ("small", "large"):
                port = self.ports[name, size] = free_port()
                program = f"{self.tool('bench/floor')} {way} {self.upstream[size][0]} {folder}".strip()
                socket_path = self.path("floor", f"{size}-{way}{len(folder)}.sock")
                conf.append(f'$SERVER["socket"] == "127.0.0.1:{port}" {{\n'
                            f'\tfastcgi.server = ( "/" => (( "bin-path" => "{program}", "socket" => "{socket_path}", '
                            '"max-procs" => 1, "check-local" => "disable" )) )\n}')
        process = self.start(["/usr/sbin/lighttpd", "-D", "-f", self.write("floor/lighttpd.conf", "\n".join(conf) + "\n")],
                             "floor")
        wait_port(port, process)
        return dict.fromkeys(floors, process)

    def start_nginx(self):
        servers = []
        for size in ("small", "large", "wait"):
            port = self.ports["nginx", size] = free_port()
            servers.append(f"""
    upstream {size} {{
        server 127.0.0.1:{self.upstream[size][0]};
        keepalive 1024;
        keepalive_requests 1000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://{size};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}""")
        tmp = os.path.dirname(self.path("nginx", "tmp", "x"))
        user = "user root;" if os.getuid() == 0 else ""
        path = self.write("nginx/nginx.conf", f"""
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
pid {tmp}/pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {tmp};
    proxy_temp_path {tmp};
    fastcgi_temp_path {tmp};
    uwsgi_temp_path {tmp};
    scgi_temp_path {tmp};
    {"".join(servers)}
}}
""")
        process = self.start(["/usr/sbin/nginx", "-e", "stderr", "-c", path], "nginx")
        wait_port(self.ports["nginx", "small"], process)
        return process

    # ---- Easel ----

    def easel_env(self):
        env = {k: os.environ[k] for k in ("PATH", "HOME", "LANG", "TMPDIR") if k in os.environ}
        env["EASEL_CONFIG"] = self.path("easel", "easel.toml")
        env["SSL_CERT_FILE"] = self.path("tls", "bundle.pem")
        return env

    def prepare_easel(self, more=""):
        """The configuration and a key.  Everything a real installation has is on: keys, log, limits."""
        self.easel_port = free_port()
        text = [f"""[server]
listen = "127.0.0.1:{self.easel_port}"
state_dir = "var"

[limits]
requests_per_minute = 0
concurrent = 0
"""]
        for size in SIZES:
            scheme = "https" if size.endswith("tls") else "http"
            text.append(f"""[providers.{size}]
dialect = "openai"
base_url = "{scheme}://127.0.0.1:{self.upstream[size][0]}/v1"
api_key = "{PROVIDER_KEY}"
concurrency = 0

[models.bench-{size}]
provider = "{size}"
type = "image"
upstream_model = "gpt-image-1"
""")
        fault = f"@delay={BURST_MS / 1000},picture_bytes={LARGE},format=png"
        text.append(f"""[providers.burst-ws]
dialect = "grok"
ws_url = "ws://127.0.0.1:{self.upstream['burst-ws'][0]}/{fault}/ws/imagine/listen"
token = "sso-sim-0000000000000000"
concurrency = 0

[models.bench-burst-ws]
provider = "burst-ws"
type = "image"
upstream_model = "grok-imagine-1.0"
""")
        self.write("easel/easel.toml", "\n".join([*text, more]), 0o600)
        key = subprocess.run([self.tool("easel"), "keys", "create", "--name", "bench"],
                             env=self.easel_env(), cwd=self.path("easel", ""), check=True,
                             capture_output=True, text=True).stdout
        self.key_file = self.write("easel/bench.key", key, 0o600)

    def start_easel(self):
        """Starts the installation; the seconds from exec to "ready"."""
        start = time.monotonic()
        self.easel = self.start([self.tool("easel"), "serve"], "easel", self.easel_env())
        self.easel.read_line("ready ")
        return time.monotonic() - start

    def stop_easel(self):
        self.easel.end()
        self.running.remove(self.easel)
        self.easel = None
        self.drop_pictures()

    def drop_pictures(self):
        """What was stored so far: a run of 2 MB pictures fills gigabytes."""
        for files in (self.path("easel", "var", "files"), self.path("floor", "files")):
            for name in os.listdir(files) if os.path.isdir(files) else ():
                if name.endswith((".png", ".jpg", ".webp")):
                    os.unlink(os.path.join(files, name))
