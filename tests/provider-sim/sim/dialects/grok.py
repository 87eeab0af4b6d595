"""Grok: pictures by WebSocket and by lines of JSON as its page gets them; the official API stands in grok_api.py.

What is known of the frames: several clients, which differ; each script here is one of their habits.
"""
import json
import re
import uuid

from . import Dialect, Route, grok_api, openai
from .. import faults
from ..exchange import Answer, json_with_blobs
from ..pages import PAGES
from ..pictures import KINDS, Picture
from ..websocket import BINARY, TEXT, Socket

TOKEN_PREFIX = "sso-sim-"
PER_ROUND = 6          # what one socket makes, whatever is asked
RATIOS = {"1:1": (1024, 1024), "2:3": (832, 1248), "3:2": (1248, 832), "16:9": (1280, 720), "9:16": (720, 1280)}
PREVIEW, MEDIUM, FINAL = 5_000, 40_000, 140_000   # characters of base64, as the page sees them
PER_CALL = 2           # pictures of one HTTP call

# name: (status, body)
ERRORS = {
    "unauthenticated": (401, {"code": 16, "message": "Unauthenticated: bad credentials", "details": []}),
    "blocked_user": (403, {"code": 7, "message": "User is blocked from using this feature", "details": []}),
    "rate_limited": (429, {"code": 8, "message": "Image rate limit exceeded", "details": []}),
    "not_found": (404, {"code": 5, "message": "Not Found", "details": []}),
    "unavailable": (503, {"code": 14, "message": "Service unavailable", "details": []}),
    "internal": (500, {"code": 13, "message": "Internal error", "details": []}),
}


def scripted_error(ex, status, code):
    if official(ex):
        return grok_api.scripted_error(ex, status, code)
    if code in PAGES:
        return PAGES[code]()
    row = ERRORS.get(str(code)) if code else next((r for r in ERRORS.values() if r[0] == status), None)
    status, body = row or (status or 400, {"code": 3, "message": f"Status {status or 400}", "details": []})
    if "message" in ex.fault.options:
        body = body | {"message": ex.fault.options["message"]}
    return Answer.of_json(body, status)


def official(ex):
    return ex.route is not None and ex.route.kind in ("generate", "edit", "models")


def cookie(ex, name="sso"):
    for item in (ex.request.header("cookie") or "").split(";"):
        key, _, value = item.strip().partition("=")
        if key == name:
            return value
    return None


def authorize(ex):
    if official(ex):
        return grok_api.authorize(ex)
    token = cookie(ex) or ""
    if ex.route is not None and ex.route.kind == "asset":
        return None if token.startswith(TOKEN_PREFIX) else Answer.of_text("Forbidden", 403)
    return None if token.startswith(TOKEN_PREFIX) else scripted_error(ex, 401, "unauthenticated")


# ---- by WebSocket ----

def said(fields):
    """(prompt, properties) of a message, or None: it is a reset or something else."""
    for part in (fields.get("item") or {}).get("content") or []:
        if part.get("type") == "input_text":
            return part.get("text"), part.get("properties") or {}
    return None


# Those that act on the answer to the handshake, the ordinary way.
HANDSHAKE = faults.BODY | {"reset-before", "half-head", "garbage", "headers-huge", "headers-then-silence"}


async def listen(ex):
    if ex.fault.words & HANDSHAKE or (ex.request.header("upgrade") or "").lower() != "websocket":
        return Answer.of_text("Upgrade Required", 426)
    ws = Socket(ex.conn)
    await ws.accept(ex.request, key="bm90IHRoZSByaWdodCBvbmU=" if ex.fault.has("ws-wrong-accept") else None)
    ex.record.status, ex.record.body = 101, []
    while True:
        text = await ws.message()
        if text is None:
            break
        ex.record.body.append(json.loads(text))
        found = said(ex.record.body[-1])
        if found is None:
            continue
        if not await play(ex, ws, *found):
            break
    ex.record.aborted = False
    return None


async def play(ex, ws, prompt, properties):
    """One round.  False: the socket ends."""
    fault = ex.fault
    count = min(int(properties.get("num_generations") or PER_ROUND), int(ex.number("per_round", PER_ROUND)))
    width, height = RATIOS.get(properties.get("aspect_ratio"), RATIOS["2:3"])
    if fault.has("ws-rate-limit"):
        await say(ws, {"type": "error", "err_code": "rate_limit_exceeded", "err_msg": fault.options.get(
            "message", "Image rate limit exceeded")})
        return True
    if fault.has("silence"):
        await ex.conn.wait(None)
    if fault.has("ws-notice"):
        await say(ws, {"type": "session_notice", "notice": {"kind": "welcome"}})
    if fault.has("ws-garbage"):
        await ws.frame(TEXT, b"{this is no JSON")
    if fault.has("ws-binary"):
        await ws.frame(BINARY, b"\x00\x01\x02")
    await ex.conn.wait(ex.number("delay", 0))
    size = int(ex.number("picture_bytes", FINAL * 3 // 4))
    if fault.has("fewer"):
        count = min(count, int(ex.number("which", 2)))
    pictures = [ex.sim.gallery.make(width=width, height=height, format=ex.option("format", "jpeg"), bytes=size,
                                    kind=next((k for k in KINDS if fault.has(k)), None))
                for _ in range(count)]
    moderated = count if fault.has("moderated") else int(ex.number("moderated", 0))
    ex.record.prompt = prompt
    ex.sim.count(ex, Answer(200, pictures=count))
    jobs = [Job(p, order, order < moderated, properties) for order, p in enumerate(pictures)]
    script = old if fault.has("ws-old") else new
    return await script(ex, ws, jobs)


class Job:
    def __init__(self, picture, order, moderated, properties):
        self.picture, self.order, self.moderated = picture, order, moderated
        self.id = str(uuid.UUID(int=0xA5E1 << 96 | picture.serial))
        self.url = f"https://imagine-public.x.ai/imagine-public/images/{self.id}.jpg"

    def frame(self, blob, percentage, url=None, **more):
        value = {"type": "image", "id": self.id, "job_id": self.id, "url": url or self.url, "blob": "@@BLOB-0@@",
                 "order": self.order, "grid_index": self.order, "width": self.picture.width,
                 "height": self.picture.height, "moderated": self.moderated, "r_rated": False} | more
        if percentage is not None:
            value["percentage_complete"] = percentage
        return json_with_blobs(value, [blob])

    def status(self, status):
        return json_with_blobs({"type": "json", "current_status": status, "image_id": self.id, "order": self.order,
                                "width": self.picture.width, "height": self.picture.height}
                               | ({"moderated": self.moderated} if status == "completed" else {}), [])


def preview(ex, job, characters):
    """A small picture of the same number's look; not for sale."""
    small = Picture(job.picture.serial, 64, 96, "png", bytes=characters * 3 // 4)
    return openai.base64.b64encode(small.render())


async def say(ws, value):
    await ws.frame(TEXT, json.dumps(value).encode())


async def send(ex, ws, data):
    if ex.fault.has("ws-cut"):
        await ws.frame(TEXT, data, cut=len(data) // 2)
        ex.conn.close()
        return False
    if ex.fault.has("ws-masked"):
        await ws.frame(TEXT, data, mask=b"\x01\x02\x03\x04")
    elif ex.fault.has("ws-fragments"):
        await ws.text(data, pieces=7, between=b"are you there")
    else:
        await ws.text(data)
    await ex.conn.wait(ex.number("gap", 0))
    return True


def final_blob(ex, job):
    data = openai.b64(ex, job.picture)
    return b"data:image/jpeg;base64," + data if ex.fault.has("data-blob") else data


async def new(ex, ws, jobs):
    fault = ex.fault
    for job in jobs:
        if not await send(ex, ws, job.status("start_stage")):
            return False
    for job in jobs:
        await send(ex, ws, job.frame(preview(ex, job, PREVIEW), 20))
        await send(ex, ws, job.frame(preview(ex, job, MEDIUM), 50))
    if fault.has("blocked"):
        await ex.conn.wait(None)
    order = list(reversed(jobs)) if fault.has("ws-order") else jobs
    if fault.has("ws-close"):
        await ws.close(int(ex.number("close_code", 1011)), b"internal error")
        return False
    for job in order:
        frames = []
        if not (job.moderated and fault.has("moderated")):
            frames.append(job.frame(final_blob(ex, job), None if fault.has("ws-no-percent") else 100))
        if not fault.has("ws-no-completed"):
            frames.append(job.status("completed"))
        for frame in reversed(frames) if fault.has("ws-order") else frames:
            if not await send(ex, ws, frame):
                return False
    if fault.has("ws-close-after"):
        await ws.close(1000)
        return False
    return True


async def old(ex, ws, jobs):
    """No percentages and no states: a preview is small and a PNG, the last is large and a JPEG."""
    for stage, characters in (("-preview.png", PREVIEW), ("-medium.png", MEDIUM)):
        for job in jobs:
            await send(ex, ws, job.frame(preview(ex, job, characters), None, job.url.replace(".jpg", stage)))
    if ex.fault.has("blocked"):
        await ex.conn.wait(None)
    for job in jobs:
        if not await send(ex, ws, job.frame(final_blob(ex, job), None)):
            return False
    return True


# ---- by HTTP, lines of JSON ----

async def conversation(ex):
    fields = ex.body
    if not isinstance(fields, dict) or not fields.get("message") or not fields.get("enableImageGeneration"):
        return Answer.of_json({"code": 3, "message": "invalid request", "details": []}, 400)
    count = min(int(fields.get("imageGenerationCount") or PER_CALL), PER_CALL)
    if ex.fault.has("fewer"):
        count = 1
    made = openai.make_pictures(ex, {}, count, (1024, 1024))
    for p in made:
        p.format = ex.option("format", "jpeg")
    paths = [f"users/{uuid.UUID(int=7)}/generated/{p.name.split('.')[0]}" for p in made]
    assets = ex.sim.state.setdefault("grok-assets", {})
    for p, path in zip(made, paths):
        assets[path + "/image.jpg"] = p
    lines = [{"result": {"response": {"responseId": str(uuid.UUID(int=9)), "token": "Here you are"}}}]
    for i, path in enumerate(paths):
        lines.append({"result": {"response": {"streamingImageGenerationResponse": {
            "imageIndex": i, "progress": 50, "imageUrl": f"{path}-part-0/image.jpg", "moderated": False}}}})
    if ex.fault.has("moderated"):
        lines.append({"result": {"response": {"streamingImageGenerationResponse": {
            "imageIndex": 0, "progress": 100, "imageUrl": paths[0] + "/image.jpg", "moderated": True}}}})
        paths, made = [], []
    if ex.fault.has("error-200"):
        lines = [{"error": {"code": 8, "message": ex.fault.options.get("message", "Too many requests"), "isSoftStop": False}}]
        made = []
        ex.fault = type(ex.fault)()
    elif ex.fault.has("ws-order"):  # the other place where they stand: JSON inside a string
        lines += [{"result": {"response": {"jsonData": json.dumps({"image_chunk": {
            "imageUrl": p + "/image.jpg", "progress": 100, "moderated": False}})}}} for p in paths]
    elif not ex.fault.has("no-pictures"):
        lines.append({"result": {"response": {"modelResponse": {
            "responseId": str(uuid.UUID(int=9)), "message": "done",
            "generatedImageUrls": [p + "/image.jpg" for p in paths]}}}})
    prefix = b"data: " if ex.fault.has("data-blob") else b""
    pieces = [prefix + json.dumps(line).encode() + b"\n" for line in lines]
    if ex.fault.has("data-blob"):
        pieces.append(b"data: [DONE]\n")
    return Answer(200, b"", "application/json", pieces=pieces, pictures=len(made))


async def asset(ex):
    found = ex.sim.state.get("grok-assets", {}).get(ex.match.group(1))
    if found is None:
        return Answer.of_text("Not Found", 404)
    return Answer(200, found.render(), found.mime)


def not_found(ex, methods):
    return scripted_error(ex, 405 if methods else 404, None if methods else "not_found")


def model_of(ex):
    if ex.route is not None and ex.route.kind in ("generate", "edit"):
        return openai.model_of(ex)
    # the page names no image model: a fault may stand at the end of the prompt: "a panda @truncate"
    if isinstance(ex.body, dict) and isinstance(ex.body.get("message"), str):
        found = re.search(r"@([a-z0-9_=,.:-]+)$", ex.body["message"])
        return "grok-3@" + found.group(1) if found else "grok-3"
    return None


def headers(ex, answer):
    if answer.content_type == "text/html; charset=UTF-8":
        return []
    return [("cf-ray", "8c1f0e2d3b4a5968-SIN"), ("x-request-id", str(uuid.UUID(int=0x6A0C << 64 | ex.serial)))]


DIALECT = Dialect(
    name="grok",
    routes=[
        Route("GET", r"/ws/imagine/listen", listen, "ws", spends=True),
        Route("POST", r"/rest/app-chat/conversations/new", conversation, "conversation", spends=True),
        Route("GET", r"/assets/(.+)", asset, "asset"),
        Route("POST", r"/v1/images/generations", grok_api.generations, "generate", spends=True),
        Route("POST", r"/v1/images/edits", grok_api.edits, "edit", spends=True),
        Route("GET", r"/v1/models", grok_api.list_models, "models"),
    ],
    authorize=authorize, error=scripted_error, not_found=not_found, model_of=model_of, headers=headers)
