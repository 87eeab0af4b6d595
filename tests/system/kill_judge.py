"""Whether a run of tests/kills has kept what Easel promises."""
import base64
import collections
import json
import os
import re

import support
from kill_load import BROKEN, KEYED, PROGRAM_ENDED, STORE_AWAY
from sim.pictures import PNG_MAGIC, serial_of
from support import SLOW

TOO_LATE, BILLED = "504 deadline_exceeded", '"may_have_been_billed":true'
ENDED = ("SUCCESS", "FAILURE", "REVOKED")
TERMINAL_S = 60
# The provider's answer with its task's name may have been lost when it left so shortly before the kill.
ON_ITS_WAY_S = 0.3 * SLOW


def is_whole(data):
    return data.startswith(PNG_MAGIC) and data.endswith(b"IEND\xaeB`\x82")


def explains(target, failure, program=None):
    """Was a request to that program lost by that kill, in the way of such a kill?"""
    if target.kind in ("worker", "parent"):
        return failure in PROGRAM_ENDED and target.program == program
    if target.kind == "lighttpd":
        return failure == BROKEN
    if target.kind in ("redis", "everything") and failure in STORE_AWAY:
        return True
    return target.kind != "redis" and (failure == BROKEN or failure in PROGRAM_ENDED)


class Judge:
    """Of one installation; it remembers what was bought and stored in former runs."""

    def __init__(self, easel, sim):
        self.easel, self.sim, self.seen = easel, sim, 0
        self.bought = collections.defaultdict(list)  # a prompt: the provider's records
        self.wanted = {}                             # a prompt: how many may be bought
        self.serials, self.files = {}, set()

    def run(self, load, targets):
        self.problems, self.count = load.join(), collections.Counter()
        self.load, self.targets = load, targets
        self.wanted.update({a.name: a.n for a in load.asks})
        self.wait_for_the_end()
        self.purchases()
        for ask in load.asks:
            if ask.task:
                self.task(ask)
            elif ask.pictures:
                self.answered(ask)
            elif ask.failure:
                self.failed(ask)
            else:
                self.problem(ask, "was told nothing")
        self.stored()
        return self.problems, self.count

    def problem(self, ask, text):
        self.problems.append(f"{ask}: {text}")

    # ---- every task ends ----

    def wait_for_the_end(self):
        def unended():
            left = []
            for status in ("PENDING", "STARTED", "RETRY"):
                answer = self.easel.get(f"/v1/tasks?status={status}&limit=100")
                if answer.status != 200:
                    return None
                left += [f"{t['id']} {t['status']} {t['progress']}" for t in answer.json["data"]]
            return left

        left = None

        def over():
            nonlocal left
            try:
                left = unended()
                # One may have gone from the list not yet read to one that was.
                return left == [] and all(self.has_ended(a.task) for a in self.load.asks if a.task)
            except OSError:
                return False

        try:
            support.wait_until(over, TERMINAL_S, "the end of all tasks")
        except AssertionError:
            self.problems.append(f"not terminal: {left or 'no answer'}")

    def has_ended(self, task):
        answer = self.easel.get("/v1/tasks/" + task)
        return answer.status == 404 or (answer.status == 200 and answer.json["status"] in ENDED)

    # ---- what was bought ----

    def purchases(self):
        new = self.sim.requests(self.seen)
        self.seen += len(new)
        for record in new:
            name = re.search(r"kill-\w+-\d+-\d+", json.dumps(record["body"])) if record["purchase"] else None
            if name:
                self.bought[name.group()].append(record)
        for name in {n.group() for n in (re.search(r"kill-\w+-\d+-\d+", json.dumps(r["body"])) for r in new) if n}:
            if len(self.bought[name]) > self.wanted.get(name, 1):
                self.problems.append(f"{name}: bought {len(self.bought[name])} times")
        self.count["purchases"] = sum(len(self.bought[a.name]) for a in self.load.asks)

    def may_be_unknown(self, ask):
        """The provider saw it, and there is no name of it to ask for."""
        records = self.bought[ask.name]
        if not records:
            return "is outcome_unknown, and the provider never saw it"
        if ask.dialect != "modelscope":
            return None
        late = [r for r in records if r["end"] is None or any(r["end"] > t.at - ON_ITS_WAY_S for t in self.targets)]
        return None if late else "is outcome_unknown, and the provider's name for it had come"

    # ---- one by one ----

    def task(self, ask):
        self.count["acknowledged"] += 1
        answer = self.easel.get("/v1/tasks/" + ask.task)
        if answer.status != 200:
            self.problem(ask, f"its acknowledged task is {answer.status}")
            return
        task = answer.json
        if task["status"] == "SUCCESS":
            self.count["SUCCESS"] += 1
            self.pictures(ask, [p["url"] for p in task["images"]])
            if ask.how == "older":
                self.older(ask)
        elif task["status"] == "FAILURE":
            self.failure(ask, task)
        elif task["status"] == "REVOKED" and ask.how == "cancel":
            self.count["REVOKED"] += 1
        else:
            self.problem(ask, f"ended {task['status']}")

    def failure(self, ask, task):
        code = task["error"]["code"]
        self.count[code] += 1
        if code == "images_incomplete":
            self.incomplete(ask, task["error"], task["images"])
            return
        wrong = self.may_be_unknown(ask) if code == "outcome_unknown" else f"failed: {json.dumps(task)}"
        if wrong:
            self.problem(ask, wrong)

    def incomplete(self, ask, error, images):
        """Of several pictures all that were bought: the others were made from what is gone, or for a client that was."""
        bought = len(self.bought[ask.name])
        why = {"gateway": ask.how == "edit", "client": any(explains(t, BROKEN) for t in self.targets)}
        if not why.get(error["party"]) or not 0 < bought < ask.n:
            self.problem(ask, f"is images_incomplete, {bought} of {ask.n} were bought")
        self.pictures(ask, [p["url"] for p in images], bought)

    def older(self, ask):
        told = self.easel.get("/task_status/" + ask.task).json
        data = base64.b64decode(told.get("image_url", "").partition(",")[2])
        if not (told["success"] and is_whole(data)):
            self.problem(ask, f"/task_status says {json.dumps(told)[:300]}")

    def answered(self, ask):
        self.count["answered"] += 1
        data = ask.pictures
        if "url" in data[0]:
            self.pictures(ask, [p["url"] for p in data])
        else:
            self.whole(ask, [base64.b64decode(p["b64_json"]) for p in data])

    def failed(self, ask):
        """A request may be lost by what was killed, and in the way that the kill explains."""
        self.count["requests lost"] += 1
        if ask.how in KEYED and ask.failure == "502 outcome_unknown":
            self.count["requests lost"] -= 1
            self.count["outcome_unknown"] += 1
            wrong = self.may_be_unknown(ask)
            if wrong:
                self.problem(ask, wrong)
            return
        # Without a task: whatever was killed, nothing was bought.  A store may take longer than a short deadline.
        if ask.failure == TOO_LATE or (ask.how == "late" and ask.failure in STORE_AWAY):
            if self.bought[ask.name] or BILLED in ask.says:
                self.problem(ask, "was told no task of what was bought")
            return
        unknown = ask.how == "sdk" and ask.failure == "502 outcome_unknown"
        if ask.how in KEYED or not (unknown or any(explains(t, ask.failure, ask.program) for t in self.targets)):
            self.problem(ask, "failed, which no kill explains")

    # ---- pictures ----

    def pictures(self, ask, urls, n=None):
        whole = []
        for url in urls:
            try:
                whole.append(self.easel.stored(url))
            except AssertionError as error:
                self.problem(ask, f"its picture cannot be fetched: {str(error)[:300]}")
        self.whole(ask, whole, n)

    def whole(self, ask, pictures, n=None):
        if len(pictures) != (n or ask.n):
            self.problem(ask, f"{len(pictures)} pictures, not {n or ask.n}")
        for data in pictures:
            owner = self.serials.setdefault(serial_of(data), ask.name)
            if not is_whole(data) or owner != ask.name:
                self.problem(ask, f"its picture is {owner}'s" if is_whole(data) else "its picture is not whole")

    def stored(self):
        """Each file that is new is a whole picture."""
        folder = os.path.join(self.easel.state, "files")

        def look():
            return {os.path.join(f, n) for f, _, names in os.walk(folder) for n in names}

        try:
            support.wait_until(lambda: not any("tmp-" in n for n in look()), 15, "the end of temporary files")
        except AssertionError as error:
            self.problems.append(str(error))
        now = look()
        for path in now - self.files:
            with open(path, "rb") as f:
                if not is_whole(f.read()):
                    self.problems.append(f"{path} is no whole picture")
        gone = self.files - now
        if gone:
            self.problems.append(f"files have gone: {sorted(gone)[:5]}")
        self.files = now
        self.count["files"] = len(now)
        self.recorded()

    def recorded(self):
        """Each picture has its record, also where its process was killed before that."""
        left = []

        def over():
            left[:] = self.easel.run("files", "verify", code=None).stdout.splitlines()
            return not any("problem" in line or ": " in line for line in left)

        try:
            support.wait_until(over, 15, "the records of all pictures")
        except AssertionError:
            self.problems += [f"easel files verify: {line}" for line in left]
