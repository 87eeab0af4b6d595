"""A redis-server of a test's own, as docs/redis.md wants it."""
import os
import shutil
import socket
import subprocess
import tempfile

import support
from support import SLOW


class Redis:
    """A redis-server whose data outlives it."""

    def __init__(self, appendonly="yes"):
        self.appendonly = appendonly
        self.folder = tempfile.mkdtemp(prefix="easel-redis-")
        self.path = os.path.join(self.folder, "redis.sock")
        self.url = f"redis+unix://{self.path}?db=0"
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", self.folder,
             "--appendonly", self.appendonly, "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        support.wait_until(self.answers, 20, "redis-server")

    def answers(self):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path)
                s.sendall(b"PING\r\n")
                return s.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait(20 * SLOW)
        shutil.rmtree(self.folder, ignore_errors=True)
