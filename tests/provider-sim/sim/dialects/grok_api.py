"""xAI's official images API: what dialects/grok.py answers below /v1."""
from . import openai
from ..exchange import Answer, json_with_blobs
from ..pages import PAGES

KEY_PREFIX = "xai-sim-"
MODELS = ("grok-imagine-image", "grok-imagine-image-quality", "grok-imagine-image-2.0")
RATIOS = ("1:1", "3:4", "4:3", "9:16", "16:9", "2:3", "3:2", "9:19.5", "19.5:9", "9:20", "20:9", "1:2", "2:1", "21:9",
          "5:2", "auto")
SIDE = {"1k": 1024, "1.5k": 1536, "2k": 2048}
KNOWN = {"prompt", "model", "n", "aspect_ratio", "resolution", "quality", "response_format", "user"}
ERRORS = {
    "bad_key": (400, "Incorrect API key provided. You can obtain an API key from https://console.x.ai."),
    "no_key": (401, "No API key provided."),
    "no_credits": (403, "Your team has used all available credits or reached its monthly spending limit."),
    "not_found": (404, "The model does not exist or your team does not have access to it."),
    "unprocessable": (422, "Failed to deserialize the JSON body into the target type"),
    "rate_limited": (429, "Too many requests for your team. Please try again later."),
    "internal": (500, "Internal server error"),
    "overloaded": (503, "The service is temporarily unavailable"),
}


def say(status, message):
    return Answer.of_json({"code": "The request failed", "error": message}, status)


def scripted_error(ex, status, code):
    if code in PAGES:
        return PAGES[code]()
    row = ERRORS.get(str(code)) if code else next((r for r in ERRORS.values() if r[0] == status), None)
    status, message = row or (status or 400, f"Status {status or 400}.")
    return say(status, ex.fault.options.get("message", message))


def authorize(ex):
    key = openai.bearer(ex)
    if not key:
        return scripted_error(ex, 401, "no_key")
    return None if key.startswith(KEY_PREFIX) else scripted_error(ex, 400, "bad_key")


def check(ex, fields, known):
    for name in fields:
        if name not in known:
            return say(400, f"Argument not supported: {name}")
    if ex.model not in MODELS:
        return scripted_error(ex, 404, "not_found")
    if not isinstance(fields.get("prompt"), str) or not fields["prompt"]:
        return say(422, "missing field `prompt`")
    n = fields.get("n", 1)
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= 10:
        return say(400, "n must be between 1 and 10")
    if fields.get("aspect_ratio", "auto") not in RATIOS:
        return say(400, f"Invalid aspect_ratio: {fields['aspect_ratio']}")
    if fields.get("resolution", "1k") not in SIDE:
        return say(400, f"Invalid resolution: {fields['resolution']}")
    if fields.get("response_format", "url") not in ("url", "b64_json"):
        return say(400, "Invalid response_format")
    return None


def sides(fields):
    ratio, side = fields.get("aspect_ratio", "auto"), SIDE[fields.get("resolution", "1k")]
    if ratio == "auto":
        return side, side
    a, b = map(float, ratio.split(":"))
    long, short = side, max(16, round(side * min(a, b) / max(a, b) / 16) * 16)
    return (long, short) if a >= b else (short, long)


def answer(ex, fields):
    if ex.fault.has("moderated"):
        return Answer.of_json({"data": [], "block_reason": "content_moderated", "usage": {"cost_in_usd_ticks": 200_000_000}})
    count = fields.get("n", 1) - (1 if ex.fault.has("fewer") else 0)
    made = [] if ex.fault.has("no-pictures") else openai.make_pictures(
        ex, {"output_format": "jpeg"}, count, sides(fields))
    blobs, data = [], []
    for p in made:
        item = {"url": None, "b64_json": None, "mime_type": p.mime, "revised_prompt": ""}
        if fields.get("response_format") == "b64_json":
            item["b64_json"] = f"@@BLOB-{len(blobs)}@@"
            blobs.append((b"data:image/jpeg;base64," if ex.fault.has("data-blob") else b"") + openai.b64(ex, p))
        else:
            item["url"] = openai.picture_url(ex, p)
        data.append(item)
    body = json_with_blobs({"data": data, "block_reason": None, "usage": {"cost_in_usd_ticks": 200_000_000 * len(made)}},
                           blobs)
    return Answer(200, body, pictures=len(made))


async def generations(ex):
    if not isinstance(ex.body, dict):
        return scripted_error(ex, 422, "unprocessable")
    return check(ex, ex.body, KNOWN) or answer(ex, ex.body)


async def edits(ex):
    if not isinstance(ex.body, dict):
        return scripted_error(ex, 422, "unprocessable")
    wrong = check(ex, ex.body, KNOWN | {"image", "images"})
    if wrong:
        return wrong
    images = ex.body.get("images") or ([ex.body["image"]] if ex.body.get("image") else [])
    if not 1 <= len(images) <= 3 or not all(isinstance(i, dict) and i.get("type") == "image_url" and i.get("url")
                                            for i in images):
        return say(400, "between 1 and 3 images are required")
    return answer(ex, ex.body)


async def list_models(_ex):
    return Answer.of_json({"object": "list", "data": [
        {"id": m, "object": "model", "created": 1754352000, "owned_by": "xai"} for m in MODELS]})
