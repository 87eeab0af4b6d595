"""Secrets that are looked for: what forms of them would give them away, and where those could lie."""
import base64
import functools
import hashlib
import os
import random
import string
import threading
import time
import urllib.parse

from support import Process, descendants

PIECE = 20  # characters: so much of a secret, from either end, is too much of it
PART_BYTES, OVERLAP_BYTES = 1 << 16, 1 << 10  # what is searched at a time, and so much of the next: no form is longer
LETTERS = string.ascii_letters + string.digits
rng = random.SystemRandom()


def secret(prefix="", n=40):
    """One that is clearly none, but looks like one and stands nowhere by chance."""
    return prefix + "".join(rng.choice(LETTERS) for _ in range(n))


@functools.cache
def forms(value):
    """name → bytes: every way in which it would be recognised."""
    raw = value if isinstance(value, bytes) else value.encode()
    found = {"raw": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(),
             "url": urllib.parse.quote_from_bytes(raw, safe="").encode()}
    for skip in range(3):  # wherever it stands in what was encoded; the ends depend on the neighbours
        text = base64.b64encode(b"\0" * skip + raw)[4 if skip else 0:]
        text = text[:len(text) - len(text) % 4 - (4 if text.endswith(b"=") else 0)]
        found[f"base64+{skip}"], found[f"base64url+{skip}"] = text, text.replace(b"+", b"-").replace(b"/", b"_")
    if len(raw) > PIECE + 4:
        found["first half"], found["last half"] = raw[:PIECE], raw[-PIECE:]
    assert max(map(len, found.values())) <= OVERLAP_BYTES
    return {name: text for name, text in found.items() if len(text) >= 8}


class Canaries:
    """name → secret, and a search for all of them."""

    def __init__(self, **values):
        self.values = values
        self.clean = {}  # digest of a part → of how many values, the first ones, there is none in it

    def __getitem__(self, name):
        return self.values[name]

    def add(self, name, value):
        """Answers it.  Those that are no secrets of anybody's are not taken: they are too short."""
        assert len(value) >= 8, name
        if value not in self.values.values():
            self.values[name if name not in self.values else f"{name}-{len(self.values)}"] = value
        return value

    def found(self, data, but=()):
        """[(name, form, the bytes around it)] of those that stand in the bytes, but for some that are theirs to hold.

        The same files and logs are searched again and again, a little longer each time: what was clean is not searched twice.
        """
        values, found = list(self.values.items()), []
        for at in range(0, len(data), PART_BYTES):
            part = data[at:at + PART_BYTES + OVERLAP_BYTES]
            digest = hashlib.sha256(part).digest()
            here = [(name, form, part[max(0, part.index(text) - 80):part.index(text) + 20])
                    for name, value in values[self.clean.get(digest, 0):] if not name.startswith(tuple(but) or ("\0",))
                    for form, text in forms(value).items() if text in part]
            if not here and not but:
                self.clean[digest] = len(values)
            found += here
        return found


def files_below(*folders):
    """(path, bytes) of every regular file; one that goes away meanwhile is none."""
    for folder in folders:
        for at, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(at, name)
                try:
                    if os.path.isfile(path) and not os.path.islink(path):
                        with open(path, "rb") as f:
                            yield path, f.read()
                except FileNotFoundError:
                    pass


def is_core(data):
    return data[:4] == b"\x7fELF" and int.from_bytes(data[16:18], "little") == 4


class Watcher:
    """What stands in the command lines and environments of all that a process starts, while it lives."""

    def __init__(self, process):
        self.pid, self.names, self.blobs, self.limits = process.pid, set(), set(), {}
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def look(self):
        for p in [*descendants(self.pid), *([Process(self.pid)] if os.path.exists(f"/proc/{self.pid}") else [])]:
            command = p.read("cmdline")
            if command:
                self.names.add(p.name)
                self.limits[p.pid] = (p.name, p.read("limits"))
            self.blobs |= {(p.name, "cmdline", command), (p.name, "environ", p.read("environ")), (p.name, "comm", p.name.encode())}

    def run(self):
        while not self.stop.wait(0.25):
            try:
                self.look()
            except (OSError, ValueError):
                time.sleep(0.01)

    def end(self):
        self.look()
        self.stop.set()
        self.thread.join()
