"""NovelAI's image API: login with an access key, pictures as JSON, ZIP or a stream with previews.

What the service is known to say: its Swagger file of 2026, captures of its site, and texts that clients
have recorded.
"""
import base64
import binascii
import json
import struct
import time
from dataclasses import dataclass, field

from . import Dialect, Route, openai
from .novelai_wire import frame, zipped
from ..exchange import Answer, json_with_blobs
from ..pages import PAGES

KEY_PREFIX = "pst-sim-"
FAMILIES = ("nai-diffusion-3", "nai-diffusion-furry-3", "nai-diffusion-4-curated", "nai-diffusion-4-full",
            "nai-diffusion-4-5-curated", "nai-diffusion-4-5-full")
MODELS = FAMILIES + ("nai-diffusion-4-curated-preview",)
INPAINTING = tuple(f"{m}-inpainting" for m in FAMILIES)
SAMPLERS = ("k_euler", "k_euler_ancestral", "k_dpmpp_2s_ancestral", "k_dpmpp_2m", "k_dpmpp_2m_sde", "k_dpmpp_sde")
SAMPLERS_3 = SAMPLERS + ("ddim_v3", "k_dpm_2", "k_dpm_2_ancestral", "k_dpm_fast", "k_dpm_adaptive", "k_lms", "k_heun")
BOOLEANS = ("qualityToggle", "sm", "sm_dyn", "autoSmea", "dynamic_thresholding", "legacy", "legacy_v3_extend",
            "add_original_image", "deliberate_euler_ancestral_bug", "prefer_brownian", "use_coords", "legacy_uc",
            "normalize_reference_strength_multiple", "color_correct")
PIXELS_MAX = 3_145_728
PREVIEWS = 3

# Access keys of e-mail and password; they were computed by another program, not by Easel.
ACCOUNTS = {
    "vtQmbCKY3JMbibT54ctxmAaAL-nZOK5BLVMSmF4M75yasKIKKPconLnx_L0ybh3P": "xxxx@yyyy.zzz",        # hogehero
    "MJHRm_FkFBi8S-Ld8VFwX9IxrgsfiyNZBj_-KwnVag6arJ_oofQpBIho43MlnAcW": "user@example.com",     # password123
    "Pbags7huaY4289kx2YNpiNYDJJqM-tRSRsNs8aZj1PBRGoebvNPSTnvpzydrNH76": "User@Example.com",     # password123
    "2dQ25xkecYLDdcMYC8Zvlxcn6YMPvT_3abCFhrGYvUp8kG67yy6xZq9efiexEP9I": "user@example.com",     # abcde
    "_HBQMAlSy53yQvo_KWpv8cNRq-nccGqJlO3wjOHPjeetJsIhvAdKIBXNZ5fZbh1q": "user@example.com",     # Passwörd-日本語
}

# name: (status, message).  The first row of a status is what status=NNN means.
ERRORS = {
    "validation": (400, "A validation error occurred."),
    "moved": (400, "Please refresh NovelAI.net. If using a third-party tool, update to the image URL."),
    "moderation": (400, "The prompt was blocked by moderation."),
    "no_model": (400, "model {model} doesn't exist"),
    "invalid_token": (401, "Invalid accessToken"),
    "incorrect_key": (401, "Incorrect access key."),
    "anlas": (402, "Not enough Anlas"),
    "deprecated": (404, "On 2024-02-21, we announced the deprecation of api.novelai.net for image generation. Please "
                        "use image.novelai.net instead."),
    "conflict": (409, "Another generation is still being processed."),
    "too_large": (413, "Request Entity Too Large"),
    "locked": (429, "Concurrent generation is locked"),
    "rate": (429, "Rate limited. API clients should not attempt to retry."),
    "server_error": (500, "Internal Server Error"),
    "unavailable": (503, "Service Unavailable"),
}


# ---- errors ----

def error_answer(status, message, **more):
    return Answer.of_json({"statusCode": status, "message": message} | more, status)


def scripted_error(ex, status, code):
    if code in PAGES:
        return PAGES[code]()
    if not code and status in openai.HTML_BY_STATUS:
        return PAGES[openai.HTML_BY_STATUS[status]]()
    login = ex.route is not None and ex.route.kind == "login"
    row = ERRORS.get(str(code)) if code else ERRORS["incorrect_key"] if login and status == 401 else next(
        (r for r in ERRORS.values() if r[0] == status), None)
    row = row or (status or 400, f"Status {status or 400}.")
    message = ex.fault.options.get("message") or row[1].format(model=ex.model or MODELS[0])
    return error_answer(status or row[0], message)


def not_found(ex, methods):
    return error_answer(405 if methods else 404, f"Cannot {ex.request.method} {ex.request.path}")


# ---- who asks ----

@dataclass
class Book:
    """Tokens and locks of one simulator."""

    tokens: dict = field(default_factory=dict)   # token: account
    busy: dict = field(default_factory=dict)     # account: generations under way
    most: dict = field(default_factory=dict)     # account: so many at once, at most, were asked for
    logins: int = 0
    refused_logins: int = 0


def book_of(sim):
    return sim.state.setdefault("novelai", Book())


def stats(sim):
    book = book_of(sim)
    return {"logins": book.logins, "refused_logins": book.refused_logins,
            "max_generations_by_account": dict(book.most), "locked_accounts": sum(1 for n in book.busy.values() if n)}


def clear(sim):
    book = book_of(sim)
    book.logins = book.refused_logins = 0
    book.most.clear()


def account_of(ex):
    """Whose token it is, or None."""
    token = (openai.bearer(ex) or "").partition("@")[0]
    return token if token.startswith(KEY_PREFIX) else book_of(ex.sim).tokens.get(token)


def authorize(ex):
    if ex.route.kind == "login" or account_of(ex) is not None:
        return None
    return scripted_error(ex, 401, "invalid_token")


def model_of(ex):
    return ex.body.get("model") if isinstance(ex.body, dict) else None


def headers(ex, _answer):
    return [("cf-ray", f"{0x8E4B2C0000000000 + ex.serial:016x}-FRA")]


async def login(ex):
    book, key = book_of(ex.sim), ex.body.get("key") if isinstance(ex.body, dict) else None
    if not isinstance(key, str) or len(key) < 64:
        return error_answer(400, "A validation error occurred.", details="key must be longer than or equal to 64 characters")
    if key not in ACCOUNTS:
        book.refused_logins += 1
        return scripted_error(ex, 401, "incorrect_key")
    book.logins += 1
    payload = {"id": f"sim-{book.logins}", "nc": "c2lt", "iat": int(time.time()),
               "exp": int(time.time() + ex.number("token_seconds", 30 * 86400))}
    parts = [{"alg": "HS256", "typ": "JWT"}, payload]
    token = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
    token += f".sim{book.logins:08d}{key[:12]}"
    book.tokens[token] = ACCOUNTS[key]
    return Answer.of_json({"accessToken": token}, 201)


async def subscription(_ex):
    return Answer.of_json({"tier": 3, "active": True, "expiresAt": 1893456000,
                           "trainingStepsLeft": {"fixedTrainingStepsLeft": 1000, "purchasedTrainingSteps": 3250},
                           "usage": {"percent": 100, "isNegative": False, "timeUntilNextPercent": 7888}})


# ---- generating ----

def lock(ex):
    """One generation at a time of an account, until its answer has left; False: there is one."""
    book, account = book_of(ex.sim), account_of(ex)
    book.most[account] = max(book.most.get(account, 0), book.busy.get(account, 0) + 1)
    if book.busy.get(account):
        return False
    book.busy[account] = 1
    ex.at_end.append(lambda: book.busy.update({account: 0}))
    return True


def refusal(ex):
    """The answer of a request that is refused, or None."""
    body = ex.body
    if not isinstance(body, dict) or not isinstance(body.get("parameters"), dict):
        return error_answer(400, "A validation error occurred.")
    if ex.model not in MODELS + INPAINTING:
        return scripted_error(ex, 400, "no_model")
    action, p = body.get("action"), body["parameters"]
    if (action == "infill") != (ex.model in INPAINTING):
        # the error, and behind it an archive with another
        return Answer(400, b'{"statusCode":400,"message":"model %s doesn\'t support action %s"}'
                      % (ex.model.encode(), str(action).encode()) + zipped("text", []))
    if (action in ("img2img", "infill")) != ("image" in p) or (action == "infill") != ("mask" in p):
        return error_answer(400, f"action {action} does not go with these parameters")
    wrong = wrong_value(body, p) or wrong_picture(p)
    if wrong:
        return error_answer(400, "A validation error occurred.", details=wrong)
    if "diffusion-4" in ex.model and not is_v4(body, p):
        return Answer(500, b"", None)
    if not lock(ex):
        return scripted_error(ex, 429, "locked")
    return None


def wrong_value(body, p):
    for name in BOOLEANS:
        if name in p and not isinstance(p[name], bool):
            return f"{name} must be a boolean value"
    for name, kinds, low, high in (
            ("width", int, 64, 49152), ("height", int, 64, 49152), ("steps", int, 1, 50), ("n_samples", int, 1, 8),
            ("scale", (int, float), 0, 10), ("cfg_rescale", (int, float), 0, 1), ("seed", int, 0, 2**32 - 1),
            ("strength", (int, float), 0.01, 0.99), ("noise", (int, float), 0, 0.99)):
        value = p.get(name, low)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            return f"{name} must be within {low} and {high}"
    if p["width"] % 64 or p["height"] % 64 or p["width"] * p["height"] > PIXELS_MAX:
        return "width and height must be multiples of 64"
    if not isinstance(body.get("input"), str) or not isinstance(p.get("negative_prompt"), str):
        return "input must be a string"
    if p.get("sampler") not in (SAMPLERS if "diffusion-4" in body["model"] else SAMPLERS_3):
        return f"sampler {p.get('sampler')} is unknown"
    return None


def wrong_picture(p):
    for name in ("image", "mask"):
        if name not in p:
            continue
        try:
            data = base64.b64decode(p[name], validate=True)
        except (binascii.Error, TypeError, ValueError):
            return f"{name} must be base64"
        if data[:8] != b"\x89PNG\r\n\x1a\n" or struct.unpack(">II", data[16:24]) != (p["width"], p["height"]):
            return f"{name} must be a PNG of {p['width']}x{p['height']}"
    return None


def is_v4(body, p):
    """Both prompts must stand there twice; without, the service says 500 and nothing else."""
    try:
        return (p["v4_prompt"]["caption"]["base_caption"] == body["input"] and not p.get("sm")
                and p["v4_negative_prompt"]["caption"]["base_caption"] == p["negative_prompt"])
    except (KeyError, TypeError):
        return False


def pictures_of(ex):
    p = ex.body["parameters"]
    count = p.get("n_samples", 1) - ex.fault.has("fewer") + ex.fault.has("more")
    return openai.make_pictures(ex, {}, 0 if ex.fault.has("no-pictures") else count, (p["width"], p["height"]))


async def generate(ex):
    """answer=png, zip, zip-deflated, …: in another form than was asked for."""
    refused = refusal(ex)
    if refused:
        return refused
    pictures = pictures_of(ex)
    form = ex.option("answer", "json" if "application/json" in (ex.request.header("accept") or "") else "zip")
    if form == "png":
        return Answer(200, pictures[0].render(), "application/octet-stream", pictures=1)
    if form.startswith("zip"):
        kind = ("application/x-zip-compressed", "binary/octet-stream", "application/zip")[ex.serial % 3]
        return Answer(200, zipped(form[4:], [x.render() for x in pictures]), kind, pictures=len(pictures))
    seed = ex.body["parameters"].get("seed", 1)
    value = {"images": [{"image": f"@@BLOB-{i}@@", "index": i, "seed": seed + i} for i in range(len(pictures))]}
    return Answer(200, json_with_blobs(value, [openai.b64(ex, x) for x in pictures]), pictures=len(pictures))


async def stream(ex):
    """Previews, then one final event a picture; sse-error, sse-cut: without the last."""
    refused = refusal(ex)
    if refused:
        return refused
    p = ex.body["parameters"]
    form, pictures, events = p.get("stream", "msgpack"), pictures_of(ex), []
    for i, picture in enumerate(pictures):
        for step in range(PREVIEWS):
            preview = ex.sim.gallery.make(width=p["width"] // 8 or 8, height=p["height"] // 8 or 8, format="jpeg")
            events.append({"event_type": "intermediate", "samp_ix": i, "step_ix": step, "gen_id": ex.serial,
                           "sigma": 14.6 / (step + 1), "image": preview.render()})
        events.append({"event_type": "retry", "samp_ix": i})
        if ex.fault.has("sse-error"):
            events.append({"event_type": "error", "message": ex.fault.options.get("message", "Internal Server Error"),
                           "code": int(ex.fault.options.get("status", 500)), "samp_ix": i})
            break
        if not ex.fault.has("sse-cut"):
            final = {"event_type": "final", "samp_ix": i, "gen_id": ex.serial, "image": picture.render()}
            events.append(dict(reversed(final.items())) if ex.option("answer") == "backwards" else final)
    return Answer(200, b"", "text/event-stream" if form == "sse" else "application/msgpack",
                  pieces=[frame(e, form) for e in events], pictures=len(pictures))


DIALECT = Dialect(
    name="novelai",
    routes=[
        Route("POST", r"/ai/generate-image", generate, "generate", spends=True),
        Route("POST", r"/ai/generate-image-stream", stream, "generate", spends=True),
        Route("POST", r"/user/login", login, "login"),
        Route("GET", r"/user/subscription", subscription, "account"),
    ],
    authorize=authorize, error=scripted_error, not_found=not_found, model_of=model_of, headers=headers,
    stats=stats, clear=clear)
