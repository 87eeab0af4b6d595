"""One installation of Easel that is killed again and again, in a process of its own: tests/kills."""
import base64
import collections
import random
import shutil
import signal
import sys
import tempfile
import time

import support
from kill_judge import Judge
from kill_load import Load
from kill_targets import WORKERS, choose_all, reap, strike
from redis_server import Redis

LEASE = f"{3 * support.SLOW}s"


class Lane:
    def __init__(self, store, seed):
        self.store, self.seed = store, seed
        self.sim = self.redis = self.easel = None

    def __enter__(self):
        support.adopt_orphans()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            self.sim = support.start_sim()
            self.sim.defaults(picture_bytes=20_000, quota=10**9)
            self.redis = Redis() if self.store == "redis" else None
            self.easel = support.Easel(self.config())
            # It comes back where it was.
            self.easel.write_config({"server": {"listen": self.easel.url.partition("//")[2]}})
            self.judge = Judge(self.easel, self.sim)
            made = self.easel.generate(model="dall-e-2", response_format="b64_json", prompt="to start from")
            self.picture = made.json["data"][0]["b64_json"]
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def config(self):
        from kill_load import EDITS, LATE, MODELSCOPE, NOVELAI, OPENAI
        of = {"sim": [*OPENAI, LATE], "modelscope": MODELSCOPE + EDITS, "novelai": NOVELAI}
        return support.merge(support.sim_config(self.sim), {
            "models": {m: {"provider": p} for p, models in of.items() for m in models},
            "store": {"task_lease": LEASE, **({"url": self.redis.url} if self.redis else {})},
            "process": {"workers": WORKERS}, "deadline": {"grace": "30s"}, "log": {"prompts": "full"}})

    def run(self, number):
        """One kill cycle; what it found, as a dictionary."""
        begin = time.monotonic()
        rng = random.Random(f"{self.seed}:{self.store}:{number}")
        targets = choose_all(rng, self.redis)
        load = Load(self.easel, rng, f"kill-{self.store}-{number}", self.picture)
        at = load.begin
        try:
            for target in targets:
                time.sleep(max(0, at + target.after - time.monotonic()))
                strike(self.easel, self.redis, target)
                at = time.monotonic()
            problems, count = self.judge.run(load, targets)
        except Exception as error:  # the run is one that failed; the lane goes on if it can
            load.join()
            problems, count = [f"{type(error).__name__}: {error}"], collections.Counter()
        return {"store": self.store, "run": number, "targets": list(map(str, targets)), "count": dict(count),
                "problems": problems, "seconds": time.monotonic() - begin,
                "log": self.keep_log(number) if problems else None}

    def keep_log(self, number):
        fd, path = tempfile.mkstemp(prefix=f"kills-{self.store}-{number}-", suffix=".log")
        with open(fd, "w") as f:
            f.write(self.easel.log())
        return path

    def end(self):
        """Problems that are only found at the end."""
        problems = []
        try:
            self.easel.stop()  # says itself what is left
        except AssertionError as error:
            problems.append(str(error))
        return problems

    def __exit__(self, *_):
        if self.easel:
            self.easel.kill()
        if self.redis:
            self.redis.stop()
        if self.sim:
            self.sim.stop()


def work(store, seed, numbers, pipe):
    """The process's life: a dictionary a run, then what the end has found, then None."""
    try:
        with Lane(store, seed) as lane:
            for number in numbers:
                pipe.send(lane.run(number))
            pipe.send({"store": store, "end": lane.end()})
        reap()
        left = [str(p) for p in support.children(support.os.getpid())]
        pipe.send({"store": store, "end": [f"left behind: {left}"] if left else []})
    except (KeyboardInterrupt, SystemExit):
        pass
    except BaseException as error:
        pipe.send({"store": store, "end": [f"the lane ended with {type(error).__name__}: {error}"]})
    pipe.close()
