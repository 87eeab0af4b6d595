"""What is killed, and how it comes back: tests/kills."""
import os
import signal
import time

import support

WORKERS = 2
# The programs that take part most often.
PROGRAMS = ("task-worker",) * 9 + ("images-generations",) * 6 + ("task-create",) * 3 + ("task-status",) * 2 + (
    "images-edits", "images", "chat-completions", "models", "login", "health", "fallback")


KILL_S = 1.4    # within which the kill comes, from the first request on
SECOND_S = 0.7  # within which a second one follows, for what the first has set going
SECOND = 0.3    # how often it does


class Target:
    """One kill: chosen before, done at its time."""

    def __init__(self, kind, program="", pick=0.0, pause=0.0):
        self.kind, self.program, self.pick, self.pause = kind, program, pick, pause
        self.after = 0.0  # seconds since the first request, or since the kill before
        self.at = 0.0     # monotonic seconds

    def __str__(self):
        return f"{self.kind} of {self.program}" if self.program else self.kind


def choose_all(rng, redis):
    """One kill, or two."""
    first, second = choose(rng, redis), choose(rng, redis)
    first.after, second.after = rng.uniform(0, KILL_S), rng.uniform(0, SECOND_S)
    return [first, second] if rng.random() < SECOND else [first]


def choose(rng, redis):
    kinds = ["worker"] * 8 + ["parent"] * 3 + ["lighttpd"] * 2 + ["whole tree"] * 4 + ["easel serve"] + \
        (["redis"] * 4 + ["everything"] * 2 if redis else [])
    kind = rng.choice(kinds)
    program = rng.choice(PROGRAMS) if kind in ("worker", "parent") else ""
    return Target(kind, program, rng.random(), rng.choice((0, 0.1, 0.3, 0.8, 2)))


def strike(easel, redis, target):
    """Kills it, and starts again what does not do so by itself."""
    if target.kind == "redis":
        target.at = time.monotonic()
        redis.kill()
        time.sleep(target.pause)
        redis.start()
    elif target.kind in ("whole tree", "easel serve", "everything"):
        kill_tree(easel, target)
        if target.kind == "everything":
            redis.kill()
            redis.start()
        time.sleep(target.pause)
        easel.start()
    else:
        victim = support.wait_until(lambda: find(easel, target), 10, f"a {target}")
        target.at = time.monotonic()
        kill_one(victim.pid)


def find(easel, target):
    if target.kind == "lighttpd":
        found = [p for p in easel.tree() if p.name == "lighttpd"]
    else:
        of_it = easel.named("handlers/" + target.program)
        pids = {p.pid for p in of_it}
        found = [p for p in of_it if (p.parent in pids) == (target.kind == "worker")]
    return found[int(target.pick * len(found))] if found else None


def kill_one(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def kill_tree(easel, target):
    """`easel serve` first, so that nobody starts anything again; alone, it must take all of them along."""
    tree, process = easel.tree(), easel.process
    target.at = time.monotonic()
    process.kill()
    if target.kind != "easel serve":
        for p in tree:
            kill_one(p.pid)
    process.wait()
    process.stdout.close()
    easel.process = None
    support.wait_until(lambda: not any(support.alive(p) for p in tree), 10, "the end of the whole tree")
    reap()


def reap():
    """Those that were orphaned are ours, and have ended."""
    for p in support.children(os.getpid()):
        if p.state == "Z":
            try:
                os.waitpid(p.pid, os.WNOHANG)
            except ChildProcessError:
                pass
