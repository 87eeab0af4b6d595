"""OpenAI's images API, its GPT image and DALL·E models, and the relays that imitate it."""
import base64
import time
from urllib.parse import unquote

from . import Dialect, Route
from .openai_chat import CHAT, completions
from .openai_errors import ERRORS, HTML_BY_STATUS, INVALID
from ..exchange import Answer, json_with_blobs, to_json
from ..faults import parse
from ..pages import PAGES

KEY_PREFIX = "sk-sim-"
GPT = ("gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5", "gpt-image-2")
DALLE = ("dall-e-2", "dall-e-3")
RELAYS = ("relay-data-url", "relay-url", "relay-url-data", "relay-404-once", "relay-escaped", "relay-error-200",
          "relay-empty", "relay-new-api", "relay-nulls", "relay-jpeg", "relay-async", "relay-no-created")

SIZES = {"gpt": ("1024x1024", "1024x1536", "1536x1024", "auto"),
         "dall-e-2": ("256x256", "512x512", "1024x1024"),
         "dall-e-3": ("1024x1024", "1792x1024", "1024x1792")}
QUALITIES = {"gpt": ("low", "medium", "high", "auto"), "dall-e-2": ("standard",), "dall-e-3": ("standard", "hd")}
PROMPT_MAX = {"gpt": 32000, "dall-e-2": 1000, "dall-e-3": 4000}
KNOWN = {"gpt": {"prompt", "model", "n", "size", "quality", "output_format", "output_compression", "background",
                 "moderation", "stream", "partial_images", "user"},
         "dall-e-2": {"prompt", "model", "n", "size", "quality", "response_format", "user"},
         "dall-e-3": {"prompt", "model", "n", "size", "quality", "response_format", "style", "user"}}
KNOWN_EDIT = {"image", "images", "mask", "input_fidelity"}
TOKENS = {"low": 272, "medium": 1056, "high": 4160}


# ---- errors ----

def error_answer(ex, status, kind, code, param, message, **more):
    if ex.model and ex.model.startswith("relay-"):
        # new-api and one-api say who they are, have no null, and put their own id into the text
        message += f" (request id: 2026{ex.serial:016d})"
        param, code = param or "", "" if code is None else code
        if ex.model == "relay-new-api":
            kind = "new_api_error"
    return Answer.of_json({"error": {"message": message, "type": kind, "param": param, "code": code} | more}, status)


def scripted_error(ex, status, code):
    """status=NNN and code=NAME of a fault."""
    if code in PAGES:
        return PAGES[code]()
    if not code and status in HTML_BY_STATUS:
        return PAGES[HTML_BY_STATUS[status]]()
    row = ERRORS.get(str(code)) if code else next((r for r in ERRORS.values() if r[0] == status), None)
    if row is None:
        row = (status or 400, "server_error" if (status or 400) >= 500 else INVALID, code, None, f"Status {status}.")
    message = ex.fault.options.get("message") or row[4].format(
        model=ex.model or "gpt-image-1", id=ex.request_id, key=masked(bearer(ex) or "sk-"))
    more = {}
    if row[2] == "moderation_blocked":
        more["moderation_details"] = {"moderation_stage": "input", "categories": ["violence"]}
    return error_answer(ex, status or row[0], row[1], row[2], row[3], message, **more)


def refuse(ex, code, param, message, status=400):
    return error_answer(ex, status, INVALID, code, param, message)


def not_found(ex, methods):
    method, path = ex.request.method, ex.request.path
    if methods:
        answer = refuse(ex, "method_not_supported", None, f"Not allowed to {method} on {path}. (HINT: Perhaps you meant "
                        "to use a different HTTP method?)", 405)
        answer.headers.append(("allow", ", ".join(sorted(set(methods)))))
        return answer
    return refuse(ex, None, None, f"Invalid URL ({method} {path})", 404)


# ---- who asks ----

def bearer(ex):
    scheme, _, key = (ex.request.header("authorization") or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def masked(key):
    return key if len(key) < 12 else f"{key[:8]}{'*' * 9}{key[-4:]}"


def authorize(ex):
    key = bearer(ex)
    if not key:
        return scripted_error(ex, 401, "no_api_key")
    if not key.startswith(KEY_PREFIX):
        return scripted_error(ex, 401, "invalid_api_key")
    return None


def headers(ex, answer):
    if answer.content_type == "text/html; charset=UTF-8":
        return []  # a proxy's page, not ours
    if ex.model and ex.model.startswith("relay-"):
        return [("x-oneapi-request-id", f"2026{ex.serial:016d}")]
    return [("x-request-id", ex.request_id), ("openai-processing-ms", "12"), ("openai-version", "2020-10-01"),
            ("openai-organization", "org-sim"), ("openai-project", "proj_sim"),
            ("access-control-expose-headers", "X-Request-ID"),
            ("x-ratelimit-limit-requests", "5"), ("x-ratelimit-remaining-requests", "4"),
            ("x-ratelimit-reset-requests", "12s"), ("cf-ray", "8c1f0e2d3b4a5968-HKG")]


def model_of(ex):
    if isinstance(ex.body, dict):
        return ex.body.get("model")
    if isinstance(ex.body, list):
        return next((p["data"].decode("utf-8", "replace") for p in ex.body
                     if isinstance(p, dict) and p.get("name") == "model" and "data" in p), None)
    return None


# ---- images ----

async def generations(ex):
    if not isinstance(ex.body, dict):
        return refuse(ex, None, None, "We could not parse the JSON body of your request. (HINT: This likely means you "
                      "aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was "
                      "sent was not valid JSON.)")
    return images(ex, {k: v for k, v in ex.body.items() if v is not None}, edit=False)


async def edits(ex):
    if isinstance(ex.body, dict):
        fields = {k: v for k, v in ex.body.items() if v is not None}
        if not fields.get("images"):
            return refuse(ex, "missing_required_parameter", "images", "Missing required parameter: 'images'.")
        return images(ex, fields, edit=True)
    if not isinstance(ex.body, list):
        return refuse(ex, None, None, "Could not parse multipart form")
    fields = {}
    pictures = [p for p in ex.body if (p["name"] or "").partition("[")[0] == "image"]
    for part in ex.body:
        if part["filename"] is None and part["name"]:
            fields[part["name"]] = form_value(part["name"], part["data"].decode("utf-8", "replace"))
    if not pictures:
        return refuse(ex, "missing_required_parameter", "image", "Missing required parameter: 'image'.")
    if sum(p["name"] == "image" for p in pictures) > 1:
        return refuse(ex, "duplicate_parameter", "image", "Duplicate parameter: 'image'. You provided multiple values "
                      "for this parameter, whereas only one is allowed. If you are trying to provide a list of values, "
                      "use the array syntax instead e.g. 'image[]=<value>'.")
    for part in pictures + [p for p in ex.body if p["name"] == "mask"]:
        if part["filename"] is None:
            return refuse(ex, "invalid_type", part["name"], f"Invalid type for '{part['name']}': expected a file, but "
                          "got a string instead.")
        if part["type"] not in ("image/png", "image/jpeg", "image/webp"):
            return refuse(ex, "unsupported_file_mimetype", part["name"].rstrip("[]"), f"Invalid file "
                          f"'{part['name'].rstrip('[]')}': unsupported mimetype ('{part['type']}'). Supported file "
                          "formats are 'image/jpeg', 'image/png', and 'image/webp'.")
    return images(ex, fields, edit=True)


def form_value(name, text):
    if name in ("n", "output_compression", "partial_images"):
        return int(text) if text.isdigit() else text
    if name == "stream":
        return {"true": True, "false": False}.get(text, text)
    return text


def family_of(model):
    return model if model in DALLE else "gpt" if model in GPT or model.startswith("gpt-image-") else None


def images(ex, fields, edit):
    model = ex.model or ("gpt-image-1.5" if edit else "dall-e-2")
    family = family_of(model)
    if family is None and model not in RELAYS:
        return refuse(ex, "invalid_value", "model", f"Invalid value: '{model}'. Supported values are: "
                      + ", ".join(f"'{m}'" for m in GPT + DALLE[:1]) + f", and '{DALLE[1]}'.")
    wrong = check(ex, fields, family, edit)
    if wrong:
        return wrong
    if model == "relay-error-200":
        return Answer.of_json({"error": {"message": f"upstream error: do request failed (request id: 2026{ex.serial:016d})",
                                         "type": "one_api_error", "param": "", "code": "do_request_failed"}})
    if model == "relay-new-api":
        return scripted_error(ex, 500, "channel_failed")
    if fields.get("stream") is True and family == "gpt":
        return stream(ex, fields, edit)
    return answer(ex, fields, model, family)


def check(ex, fields, family, edit):
    """OpenAI's own refusals; a relay checks less."""
    prompt, n = fields.get("prompt"), fields.get("n", 1)
    if prompt is None:
        return refuse(ex, "missing_required_parameter", "prompt", "Missing required parameter: 'prompt'.")
    for name in ("prompt", "size", "quality", "response_format", "output_format", "background", "style"):
        if name in fields and not isinstance(fields[name], str):
            return wrong_type(ex, name, "a string", fields[name])
    if not isinstance(n, int) or isinstance(n, bool):
        return wrong_type(ex, "n", "an integer", n)
    if family is None:
        return None
    for name in fields:
        if name not in KNOWN[family] and not (edit and name.rstrip("[]") in KNOWN_EDIT):
            return refuse(ex, "unknown_parameter", name, f"Unknown parameter: '{name}'.")
    if len(prompt) > PROMPT_MAX[family]:
        return refuse(ex, "string_above_max_length", "prompt", "Invalid 'prompt': string too long. Expected a string "
                      f"with maximum length {PROMPT_MAX[family]}, but got a string with length {len(prompt)} instead.")
    if family == "dall-e-3" and n != 1:
        return refuse(ex, None, None, "You must provide n=1 for this model.")
    if n > 10:
        return refuse(ex, "integer_above_max_value", "n", "Invalid 'n': integer above maximum value. Expected a value "
                      f"<= 10, but got {n} instead.")
    if n < 1:
        return refuse(ex, "integer_below_min_value", "n", "Invalid 'n': integer below minimum value. Expected a value "
                      f">= 1, but got {n} instead.")
    allowed = [("quality", QUALITIES[family]), ("response_format", ("url", "b64_json")),
               ("output_format", ("png", "jpeg", "webp")), ("background", ("transparent", "opaque", "auto")),
               ("style", ("vivid", "natural")), ("moderation", ("auto", "low"))]
    if not (ex.model or "").startswith("gpt-image-2"):
        allowed.append(("size", SIZES[family]))
    for name, values in allowed:
        if name in fields and fields[name] not in values:
            listed = [f"'{v}'" for v in values]
            return refuse(ex, "invalid_value", name, f"Invalid value: '{fields[name]}'. Supported values are: "
                          + (", ".join(listed[:-1]) + f", and {listed[-1]}" if len(listed) > 2 else " and ".join(listed))
                          + ".")
    if "size" in fields and dimensions(fields["size"]) is None:
        return refuse(ex, "invalid_value", "size", f"Invalid size '{fields['size']}'. Width and height must be multiples "
                      "of 16, the ratio between 1:3 and 3:1 and the longest edge at most 3840.")
    if fields.get("background") == "transparent" and fields.get("output_format") == "jpeg":
        return refuse(ex, "invalid_value", "background", "Transparent background is not supported for JPEG output.")
    compression = fields.get("output_compression", 100)
    if not isinstance(compression, int) or not 0 <= compression <= 100:
        return refuse(ex, "invalid_value", "output_compression", "Invalid 'output_compression'.")
    return None


def wrong_type(ex, name, expected, value):
    found = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal number", list: "an array",
             dict: "an object"}.get(type(value), "null")
    return refuse(ex, "invalid_type", name, f"Invalid type for '{name}': expected {expected}, but got {found} instead.")


def dimensions(size):
    if size in (None, "", "auto"):
        return 1024, 1024
    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        return None
    width, height = int(width), int(height)
    if width % 16 or height % 16 or not 0 < width <= 3840 or not 0 < height <= 3840:
        return None
    return (width, height) if max(width, height) <= 3 * min(width, height) else None


def make_pictures(ex, fields, count, sides=None):
    width, height = sides or dimensions(ex.option("size", fields.get("size"))) or (1024, 1024)
    form = ex.option("format") or fields.get("output_format") or "png"
    if ex.model == "relay-jpeg":
        form = "jpeg"
    kind = next((k for k in ("gif", "svg", "not-an-image", "truncated-png", "truncated-picture", "pixels", "huge",
                             "garbage-tail") if ex.fault.has(k)), None)
    # enough bytes that there are slashes to escape
    size = ex.option("picture_bytes", 20_000 if ex.model == "relay-escaped" else None)
    return [ex.sim.gallery.make(width=width, height=height, format=form, bytes=int(size) if size else None, kind=kind,
                                transparent=fields.get("background") == "transparent") for _ in range(count)]


def b64(ex, picture):
    text = base64.b64encode(picture.render())
    if ex.fault.has("bad-base64"):
        middle = len(text) // 2
        text = text[:middle] + b"*not base64!*" + text[middle:-1]
    return text


PRIVATE = {"metadata": "http://169.254.169.254/latest/meta-data/iam/security-credentials/", "ssh": "http://127.0.0.1:22/",
           "redis": "http://127.0.0.1:6379/", "localhost6": "http://[::1]:22/x.png", "decimal": "http://2130706433:22/x.png",
           "mapped": "http://[::ffff:169.254.169.254]/x.png", "ten": "http://10.0.0.1/x.png", "file": "file:///etc/passwd",
           "gopher": "gopher://127.0.0.1:6379/_INFO", "userinfo": "http://images.example.com@127.0.0.1:22/x.png"}


def picture_url(ex, picture):
    """A URL like a CDN's, signature and all; faults of the download are written into its path."""
    fault = ex.fault
    if fault.has("private-url"):
        return str(fault.options.get("url") or PRIVATE[fault.options.get("which", "metadata")])
    path, spec = ex.sim.gallery.host(picture), fault.options.get("url_fault")
    if fault.has("url-404-once") or ex.model == "relay-404-once":
        picture.misses = int(fault.options.get("misses", 2))
    if fault.has("slow-picture-url"):
        spec = spec or "drip"
    if fault.has("url-redirect"):
        spec = "redirect" + (f",to={fault.options['to']}" if "to" in fault.options else "")
    if spec:
        spec = str(spec).replace(":", "=", 1) if "=" not in str(spec) else str(spec)
        parse(spec)
        path = "/@" + spec.replace("/", "%2F").replace("?", "%3F") + path
    return f"{ex.origin}{path}?st=2026-08-21T00%3A00%3A00Z&sig=c2lt%2BAbC%3D"


def answer(ex, fields, model, family):
    n = fields.get("n", 1)
    count = max(0, n - 1) if ex.fault.has("fewer") else n + 1 if ex.fault.has("more") else n
    if model == "relay-empty" or ex.fault.has("no-pictures"):
        count = 0
    if model == "relay-async":
        picture = make_pictures(ex, fields, 1)[0]
        ex.sim.gallery.host(picture)
        return Answer.of_json({"code": 200, "data": [{"task_id": f"task_{picture.serial:06d}", "status": "submitted"}]})
    by_url = fields.get("response_format", "b64_json" if family == "gpt" else "url") == "url"
    wants_url = ex.fault.has("private-url", "slow-picture-url", "url-redirect", "url-404-once") or "url_fault" in ex.fault.options
    if model in ("relay-url", "relay-404-once", "relay-nulls", "relay-url-data") or wants_url:
        by_url = True
    elif model in ("relay-data-url", "relay-escaped") and "response_format" not in fields:
        by_url = False
    items, blobs = [], []
    for i, picture in enumerate(make_pictures(ex, fields, count)):
        if by_url and model != "relay-url-data":
            item = {"url": picture_url(ex, picture)}
            if model == "relay-nulls":
                item = {"url": item["url"], "b64_json": None, "mime_type": picture.mime, "revised_prompt": ""}
        else:
            blobs.append(b64(ex, picture))
            prefix = f"data:{picture.mime};base64," if model in ("relay-data-url", "relay-url-data") else ""
            item = {"url" if model == "relay-url-data" else "b64_json": f"{prefix}@@BLOB-{i}@@"}
        if model == "dall-e-3":
            item["revised_prompt"] = f"A detailed picture of: {fields['prompt']}"
        items.append(item | said(ex, "revised_prompt"))
    value = {"created": int(time.time()), "data": items}
    if model == "relay-no-created":
        del value["created"]
    if family == "gpt":
        value |= gpt_members(fields) | {"usage": usage(fields, n)}
    value |= said(ex, "usage")
    body = json_with_blobs(value, blobs)
    if model == "relay-escaped":
        body = body.replace(b"/", b"\\/")
    return Answer(200, body, pictures=count)


def said(ex, *names):
    """What the fault says instead."""
    return {name: ex.fault.options[name] for name in names if name in ex.fault.options}


def gpt_members(fields):
    given = {k: v for k, v in fields.items() if v != "auto"}
    return {"background": given.get("background", "opaque"), "output_format": given.get("output_format", "png"),
            "quality": given.get("quality", "high"), "size": given.get("size", "1024x1024")}


def usage(fields, n):
    text = len(fields["prompt"]) // 4 + 1
    image = TOKENS[gpt_members(fields)["quality"]] * n
    return {"total_tokens": text + image, "input_tokens": text, "output_tokens": image,
            "input_tokens_details": {"text_tokens": text, "image_tokens": 0},
            "output_tokens_details": {"image_tokens": image, "text_tokens": 0}}


def stream(ex, fields, edit):
    """stream: true, GPT image models: partial pictures, then one completed event per picture."""
    if ex.fault.has("sse-plain"):
        return answer(ex, fields, ex.model, "gpt")
    if ex.fault.has("sse-refused"):
        return refuse(ex, "unknown_parameter", "stream", "Unknown parameter: 'stream'.")
    kind, events = "image_edit" if edit else "image_generation", []
    members = gpt_members(fields)
    end = b"\r\n" if ex.fault.has("sse-crlf") else b"\r" if ex.fault.has("sse-cr") else b"\n"

    def event(name, value, blobs=()):
        value = value | {"type": name} if ex.fault.has("sse-late-type") else {"type": name} | value
        line = b"" if ex.fault.has("sse-unnamed", "sse-late-type") else b"event: %s%s" % (name.encode(), end)
        events.append(b"%sdata: %s%s%s" % (line, json_with_blobs(value, blobs), end, end))

    count = fields.get("n", 1)
    count = max(0, count - 1) if ex.fault.has("fewer") else count + 1 if ex.fault.has("more") else count
    partials = int(fields.get("partial_images", 0))
    pictures = make_pictures(ex, fields, partials + count)  # the partial ones first, each another picture
    common = {"b64_json": "@@BLOB-0@@", "created_at": int(time.time())} | members
    for i, picture in enumerate(pictures[:partials]):
        event(f"{kind}.partial_image", common | {"partial_image_index": i},
              [base64.b64encode(b"no picture") if ex.fault.has("sse-bad-partial") else b64(ex, picture)])
    if ex.fault.has("sse-error"):
        code = ex.fault.options.get("sse_code", "server_error")
        value = {"type": "error", "error": {"message": ex.fault.options.get(
            "message", "The server had an error while processing your request."),
                                            "type": "server_error", "param": None, "code": code}}
        events.append(b"event: error\ndata: %s\n\n" % to_json(value))
    elif ex.fault.has("sse-flat-error"):
        events.append(b'event: error\ndata: {"message":"Out of GPUs","code":"server_error"}\n\n')
    elif not ex.fault.has("sse-cut"):
        for i, picture in enumerate(pictures[partials:]):
            event(f"{kind}.completed", common | {"usage": usage(fields, 1)} | said(ex, "usage", "revised_prompt"),
                  [b64(ex, picture)])
            if ex.fault.has("sse-cut-after"):
                break
    if ex.fault.has("sse-comments"):
        events = [b": keep-alive\n\n"] + [part for e in events for part in (e, b": keep-alive\n\n")]
    if ex.fault.has("sse-giant"):
        events.insert(0, b'event: %s.progress\ndata: {"type":"progress","text":"%s"}\n\n' % (kind.encode(), b"x" * 1_000_000))
    if ex.fault.has("sse-done"):
        events.append(b"data: [DONE]\n\n")
    return Answer(200, b"", "text/event-stream; charset=utf-8", pieces=events or [b": no events\n\n"],
                  pictures=count)


async def task(ex):
    """The relays that answer with a task: done at the first look."""
    name = f"p{ex.match.group(1)}"
    picture = next((p for p in ex.sim.gallery.hosted.values() if p.name.startswith(name + ".")), None)
    if picture is None:
        return refuse(ex, "task_not_found", "task_id", "Task not found.", 404)
    return Answer.of_json({"code": 200, "data": {"id": f"task_{ex.match.group(1)}", "status": "completed", "progress": 100,
                                                 "output": {"image_urls": [picture_url(ex, picture)]}}})


# ---- models ----

def model_object(name):
    return {"id": name, "object": "model", "created": 1686935002, "owned_by": "relay" if name in RELAYS else "openai"}


async def list_models(ex):
    return Answer.of_json({"object": "list", "data": [model_object(m) for m in GPT + DALLE + CHAT + RELAYS]})


async def one_model(ex):
    name = unquote(ex.match.group(1))
    if name not in GPT + DALLE + CHAT + RELAYS:
        return refuse(ex, "model_not_found", "model", f"The model '{name}' does not exist", 404)
    return Answer.of_json(model_object(name))


DIALECT = Dialect(
    name="openai",
    routes=[
        Route("POST", r"(?:/v1)?/images/generations", generations, "generate", spends=True),
        Route("POST", r"(?:/v1)?/images/edits", edits, "edit", spends=True),
        Route("POST", r"(?:/v1)?/chat/completions", completions, "chat", spends=True),
        Route("GET", r"(?:/v1)?/models", list_models, "models"),
        Route("GET", r"(?:/v1)?/models/(.+)", one_model, "models"),
        Route("GET", r"(?:/v1)?/tasks/task_(\d+)", task, "task"),
    ],
    authorize=authorize, error=scripted_error, not_found=not_found, model_of=model_of, headers=headers)
