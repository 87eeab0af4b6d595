"""ModelScope's API-Inference for pictures: submitted as a task, polled, answered by URL.

What the service is known to say: reference of September 2025 and texts that clients have recorded since.
"""
import base64
import re
import time
import uuid
from dataclasses import dataclass, field

from . import Dialect, Route, openai
from ..exchange import Answer
from ..faults import parse
from ..pages import PAGES

KEY_PREFIX = "ms-sim-"
PICTURE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP", re.S)
EDITS = {"Qwen/Qwen-Image-Edit": 1, "Qwen/Qwen-Image-Edit-2509": 3}  # how many pictures they start from
MODELS = ("Qwen/Qwen-Image", *EDITS, "MAILAND/majicflus_v1", "black-forest-labs/FLUX.1-Krea-dev",
          "Tongyi-MAI/Z-Image-Turbo", "AI-ModelScope/stable-diffusion-3.5-large")
KNOWN = {"model", "prompt", "negative_prompt", "size", "seed", "steps", "guidance", "image_url", "loras"}
PROMPT_MAX = 1999
SIDES = (("qwen", 1664), ("flux", 1024), ("flus", 1024), ("", 2048))
CALLS_A_DAY, CALLS_A_MODEL = 2000, 500
TASK_SECONDS = 0.3   # from the submission to the picture; a third of it PENDING
KEEP_TASKS = 100_000

NEEDS_ASYNC = "submit image generation task error"
NO_SYNC = ("image-gen task currently does not support synchronous calls. Please refer to the documentation and set "
           "header X-ModelScope-Async-Mode=true to switch to asynchronous calling mode")
MODERATED = "The prompt or the generated image contains sensitive content and was blocked by moderation."

# name: (status, message).  The first row of a status is what status=NNN means.
ERRORS = {
    "needs_async": (400, NEEDS_ASYNC),
    "no_sync": (400, NO_SYNC),
    "invalid_token": (401, "Authentication failed, please make sure that a valid ModelScope token is supplied."),
    "not_bound": (403, "Please bind your Alibaba Cloud account before use."),
    "not_found": (404, "The requested resource was not found."),
    "concurrency": (429, "Too many requests: only one image generation task at a time is allowed for each user."),
    "quota": (429, "You have exceeded today's quota for model {model}, please try again tomorrow, or consider trying "
                   "other models"),
    "server_error": (500, "Internal server error"),
    "busy": (503, "Server is busy, please try again later"),
}


# ---- errors ----

def request_id(ex):
    return str(uuid.UUID(int=0x83E4559E6F4C4C3A8C0E1F9A1D0B7A55 ^ ex.serial))


def error_answer(ex, status, message):
    """{"errors":{"message"},"request_id"}; with shape=error the other one."""
    if ex.option("shape") == "error":
        return Answer.of_json({"error": {"message": message, "request_id": request_id(ex)}}, status)
    return Answer.of_json({"errors": {"message": message}, "request_id": request_id(ex)}, status)


def scripted_error(ex, status, code):
    if code in PAGES:
        return PAGES[code]()
    if not code and status in openai.HTML_BY_STATUS:
        return PAGES[openai.HTML_BY_STATUS[status]]()
    row = ERRORS.get(str(code)) if code else next((r for r in ERRORS.values() if r[0] == status), None)
    row = row or (status or 400, f"Status {status or 400}.")
    message = ex.fault.options.get("message") or row[1].format(model=ex.model or MODELS[0])
    return error_answer(ex, status or row[0], message)


def not_found(ex, methods):
    return error_answer(ex, 405 if methods else 404, f"{ex.request.method} {ex.request.path} is not supported")


# ---- who asks, and how much is left ----

@dataclass
class Book:
    """Tasks and calls of one simulator."""

    count: int = 0                               # tasks, since the counters were cleared
    tasks: dict = field(default_factory=dict)
    calls: dict = field(default_factory=dict)    # (key, model): submissions that were accepted
    most: dict = field(default_factory=dict)     # key: tasks that were under way at once, at most

    live: dict = field(default_factory=dict)     # key: tasks, some of which may have ended

    def running(self, key):
        self.live[key] = [t for t in self.live.get(key, ()) if not t.ended()]
        return len(self.live[key])


def book_of(sim):
    return sim.state.setdefault("modelscope", Book())


def stats(sim):
    book = book_of(sim)
    return {"tasks": book.count, "tasks_running": sum(map(book.running, list(book.live))),
            "max_tasks_of_a_key": max(book.most.values(), default=0), "max_tasks_by_key": dict(book.most)}


def clear(sim):
    """The counters begin anew; tasks under way stay, and still count."""
    book = book_of(sim)
    book.tasks = {i: t for i, t in book.tasks.items() if not t.ended()}
    book.calls.clear()
    book.count = 0
    book.most = {key: book.running(key) for key in list(book.live)}


def key_of(ex):
    return (openai.bearer(ex) or "").partition("@")[0]


def authorize(ex):
    return None if key_of(ex).startswith(KEY_PREFIX) else scripted_error(ex, 401, "invalid_token")


def left(ex, model):
    """(of the account, of the model)"""
    calls, key = book_of(ex.sim).calls, key_of(ex)
    limit = int(ex.number("quota", CALLS_A_MODEL))
    return (max(0, CALLS_A_DAY - sum(n for (k, _), n in calls.items() if k == key)),
            max(0, limit - calls.get((key, model), 0)))


def headers(ex, answer):
    if answer.content_type == "text/html; charset=UTF-8" or answer.status == 401:
        return []
    account, model = left(ex, ex.record.model or MODELS[0])
    return [("modelscope-ratelimit-requests-limit", str(CALLS_A_DAY)),
            ("modelscope-ratelimit-requests-remaining", str(account)),
            ("modelscope-ratelimit-model-requests-limit", str(int(ex.number("quota", CALLS_A_MODEL)))),
            ("modelscope-ratelimit-model-requests-remaining", str(model))]


# ---- submitting ----

async def generations(ex):
    fields = ex.body
    if not isinstance(fields, dict):
        return error_answer(ex, 400, "invalid request body")
    wrong = check(ex, fields)
    if wrong:
        return error_answer(ex, 400, wrong)
    asynchronous = (ex.request.header("x-modelscope-async-mode") or "").lower() == "true"
    book, key = book_of(ex.sim), key_of(ex)
    if not asynchronous and not (ex.fault.has("old-sync") or ex.sim.defaults.get("old_sync")):
        return error_answer(ex, 400, NO_SYNC if ex.fault.has("no-sync-text") or ex.sim.defaults.get("no_sync_text")
                            else NEEDS_ASYNC)
    if min(left(ex, ex.model)) == 0:
        return scripted_error(ex, 429, "quota")
    limit = int(ex.number("task_limit", 0))
    if limit and book.running(key) >= limit:
        return scripted_error(ex, 429, "concurrency")
    book.calls[key, ex.model] = book.calls.get((key, ex.model), 0) + 1
    pictures = [] if ex.fault.has("no-pictures") else openai.make_pictures(ex, {}, 1, sides(fields.get("size")))
    if not asynchronous or ex.option("sync"):
        return direct(ex, pictures)
    task = Task(str(uuid.uuid4()), key, ex.model, ex.fault, pictures, [openai.picture_url(ex, p) for p in pictures],
                ex.number("task_seconds", TASK_SECONDS), ex.option("running", "PROCESSING"))
    book.tasks[task.id] = task
    book.count += 1
    book.live.setdefault(key, []).append(task)
    if len(book.tasks) > KEEP_TASKS:
        del book.tasks[next(iter(book.tasks))]
    book.most[key] = max(book.most.get(key, 0), book.running(key))
    return Answer.of_json({"task_id": str(ex.option("task_id", task.id)), "task_status": "PENDING",
                           "request_id": request_id(ex)}, pictures=len(pictures))


def check(ex, fields):
    """What is wrong with the parameters, or None."""
    if ex.model not in MODELS:
        return f"Invalid model id: {ex.model}"
    for name in fields:
        if name not in KNOWN:
            return f"Unknown parameter: '{name}'"
    for name in ("prompt", "negative_prompt"):
        if name in fields and not isinstance(fields[name], str):
            return f"'{name}' must be a string"
        if len(fields.get(name) or "") > PROMPT_MAX:
            return f"'{name}' must be shorter than {PROMPT_MAX + 1} characters"
    if not fields.get("prompt"):
        return "'prompt' is required"
    for name, kinds, low, high in (("seed", int, 0, 2**31 - 1), ("steps", int, 1, 100),
                                   ("guidance", (int, float), 1.5, 20)):
        value = fields.get(name, low)
        if not isinstance(value, kinds) or isinstance(value, bool) or not low <= value <= high:
            return f"'{name}' must be within [{low}, {high}]"
    wrong = check_pictures(ex, fields)
    if wrong:
        return wrong
    if "size" in fields:
        most = next(m for word, m in SIDES if word in ex.model.rpartition("/")[2].lower())
        if not sides(fields["size"]) or not all(64 <= s <= most for s in sides(fields["size"])):
            return f"'size' must be within [64x64, {most}x{most}]"
    return None


def check_pictures(ex, fields):
    """image_url: a URL, or an array of them for the models that take several."""
    most = EDITS.get(ex.model)
    if "image_url" not in fields:
        return f"'image_url' is required by {ex.model}" if most else None
    if not most:
        return "Unknown parameter: 'image_url'"
    urls = fields["image_url"] if most > 1 else [fields["image_url"]]
    if not isinstance(urls, list) or not 1 <= len(urls) <= most:
        return f"'image_url' must be an array of up to {most} URLs"
    for url in urls:
        if not isinstance(url, str) or not re.match(r"https?://|data:image/(png|jpeg|webp);base64,", url):
            return "'image_url' must be a URL"
        if url.startswith("data:") and not PICTURE.match(base64.b64decode(url.partition(",")[2], validate=True)):
            return "failed to load image from 'image_url'"
    return None


def sides(size):
    if size is None:
        return (1024, 1024)
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size) if isinstance(size, str) else None
    return (int(found.group(1)), int(found.group(2))) if found else None


def direct(ex, pictures):
    """The older, synchronous answer; sync=data, b64, output or strings: in another shape."""
    shape = ex.option("sync", "images")
    urls = [openai.picture_url(ex, p) for p in pictures]
    if shape == "b64":
        value = {"data": [{"b64_json": openai.b64(ex, p).decode()} for p in pictures]}
    elif shape == "strings":
        value = {"output_images": urls}
    else:
        value = {{"output": "output_images"}.get(shape, shape): [{"url": u} for u in urls]}
    return Answer.of_json(value | {"request_id": request_id(ex)}, pictures=len(pictures))


# ---- tasks ----

@dataclass
class Task:
    id: str
    key: str
    model: str
    fault: object    # of the submission
    pictures: list
    urls: list
    seconds: float
    running: str     # how the state between is called
    start: float = field(default_factory=time.monotonic)
    polls: int = 0

    def age(self):
        return time.monotonic() - self.start

    def ended(self):
        return not self.fault.has("task-pending", "task-forever") and self.age() >= self.seconds

    def fails(self):
        return self.fault.has("task-fail", "task-moderated")

    def state(self):
        if self.fault.has("task-pending"):
            return "PENDING"
        if not self.ended():
            return "PENDING" if self.age() < self.seconds / 3 else self.running
        if self.fails():
            return self.fault.options.get("failed", "FAILED")
        return self.fault.options.get("succeeded", "SUCCEED")


async def poll(ex):
    task = book_of(ex.sim).tasks.get(ex.match.group(1))
    if (ex.request.header("x-modelscope-task-type") or "") != "image_generation":
        return error_answer(ex, 400, "task type is required")
    if task is None or task.key != key_of(ex) or task.fault.has("task-lost"):
        return error_answer(ex, 404, "task not found")
    ex.model = ex.record.model = task.model
    task.polls += 1
    if not ex.fault and "poll_fault" in task.fault.options and task.polls <= int(
            task.fault.options.get("poll_times", 1_000_000)):
        ex.fault = parse(str(task.fault.options["poll_fault"]).replace(":", "=").replace("+", ","))
        if ex.fault.options.keys() & {"status", "code"}:
            return scripted_error(ex, int(ex.fault.options.get("status", 0)), ex.fault.options.get("code"))
    return Answer.of_json(said(task) | {"request_id": request_id(ex)})


def said(task):
    state = task.state()
    value = {"task_id": task.id, "task_status": state}
    if not task.ended():
        return value
    if task.fails():
        return value | failure(task)
    shape = task.fault.options.get("result", "strings")
    if shape == "objects":
        return value | {"output_images": [{"url": u} for u in task.urls]}
    if shape in ("data", "images"):
        return value | {shape: [{"url": u} for u in task.urls]}
    return value if shape == "nothing" else value | {"output_images": task.urls}


def failure(task):
    """words: where they stand: errors, message, error, task_msg, or nowhere."""
    where = task.fault.options.get("words", "errors")
    text = MODERATED if task.fault.has("task-moderated") else task.fault.options.get(
        "message", "task execution failed: CUDA out of memory")
    if where == "errors":
        return {"errors": {"message": text}}
    return {} if where == "none" else {where: text}


async def list_models(_ex):
    return Answer.of_json({"object": "list", "data": [
        {"id": m, "object": "model", "created": 1754352000, "owned_by": "system"} for m in MODELS]})


DIALECT = Dialect(
    name="modelscope",
    routes=[
        Route("POST", r"(?:/v1)?/images/generations", generations, "generate", spends=True),
        Route("GET", r"(?:/v1)?/tasks/([^/]+)", poll, "task"),
        Route("GET", r"(?:/v1)?/models", list_models, "models"),
    ],
    authorize=authorize, error=scripted_error, not_found=not_found, model_of=openai.model_of, headers=headers,
    stats=stats, clear=clear)
