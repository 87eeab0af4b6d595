"""OpenAI's chat completions: models that write, and the forms in which relays' models answer with a picture."""
import base64
import json
import time

from ..exchange import Answer, json_with_blobs

WRITERS = ("gpt-4o-mini", "gpt-4o-turbo")
# How each says its picture.
PAINTERS = ("chat-markdown-data", "chat-markdown-url", "chat-bare-url", "chat-images", "chat-progress", "chat-gemini",
            "chat-gemini-empty", "chat-gemini-blocked", "chat-refusal", "chat-only-events", "omni-painter")
CHAT = WRITERS + PAINTERS

WORDS = "A lighthouse stands where the land ends, and says the same word every night. ".split(" ")


def refuse(status, code, param, message):
    return Answer.of_json({"error": {"message": message, "type": "invalid_request_error", "param": param,
                                     "code": code}}, status)


async def completions(ex):
    body = ex.body
    if not isinstance(body, dict):
        return refuse(400, None, None, "We could not parse the JSON body of your request.")
    if not body.get("messages"):
        return refuse(400, "missing_required_parameter", "messages", "Missing required parameter: 'messages'.")
    if ex.model not in CHAT:
        return refuse(404, "model_not_found", None,
                      f"The model `{ex.model}` does not exist or you do not have access to it.")
    if ex.model in PAINTERS:
        return paint(ex, body)
    return stream(ex, body) if body.get("stream") is True else write(ex, body)


# ---- models that write ----

def text_of(ex):
    n = int(ex.number("chunks", 12))
    return [(WORDS[i % len(WORDS)] + " ") for i in range(n)]


def usage(ex, body):
    prompt = len(json.dumps(body["messages"])) // 4 + 1
    n = int(ex.number("chunks", 12))
    return {"prompt_tokens": prompt, "completion_tokens": n, "total_tokens": prompt + n}


def message(ex, body):
    if body.get("tools"):
        return {"role": "assistant", "content": None, "refusal": None,
                "tool_calls": [{"id": "call_sim", "type": "function", "function": {
                    "name": body["tools"][0]["function"]["name"], "arguments": "{\"city\":\"Paris\"}"}}]}, "tool_calls"
    return {"role": "assistant", "content": "".join(text_of(ex)), "refusal": None}, "stop"


def probabilities(ex, body):
    """What was said, each word with what else it might have been."""
    if not body.get("logprobs"):
        return None

    def token(word, k):
        return {"token": word, "logprob": -0.123456 * k, "bytes": list(word.encode())}

    most = body.get("top_logprobs") or 0
    return {"content": [token(word, 1) | {"top_logprobs": [token(word, k + 1) for k in range(most)]}
                        for word in text_of(ex)], "refusal": None}


def completion(ex, said, finish, counted, **more):
    return {"id": f"chatcmpl-sim{ex.serial:06d}", "object": "chat.completion", "created": int(time.time()),
            "model": ex.model, "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}],
            "usage": counted, "system_fingerprint": "fp_sim"} | more


def write(ex, body):
    whole = completion(ex, *message(ex, body), usage(ex, body))
    whole["choices"][0]["logprobs"] = probabilities(ex, body)
    return Answer.of_json(whole)


def event(value, blobs=()):
    return b"data: %s\n\n" % json_with_blobs(value, blobs)


def stream(ex, body):
    common = {"id": f"chatcmpl-sim{ex.serial:06d}", "object": "chat.completion.chunk", "created": int(time.time()),
              "model": ex.model, "system_fingerprint": "fp_sim"}
    counted = bool((body.get("stream_options") or {}).get("include_usage"))
    if counted:
        common["usage"] = None

    def chunk(delta, finish=None):
        return event(common | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    said, finish = message(ex, body)
    pieces = [chunk({"role": "assistant", "content": ""})]
    if finish == "tool_calls":
        pieces += [chunk({"tool_calls": [{"index": 0} | call]}) for call in said["tool_calls"]]
    else:
        pieces += [chunk({"content": word}) for word in text_of(ex)]
    if ex.fault.has("sse-cut"):
        return Answer(200, b"", "text/event-stream; charset=utf-8", pieces=pieces)
    if ex.fault.has("sse-error"):
        wrong = {"error": {"message": ex.fault.options.get(
            "message", "The server had an error while processing your request."), "type": "server_error",
                           "param": None, "code": "server_error"}}
        first = int(ex.number("after", 3))
        return Answer(200, b"", "text/event-stream; charset=utf-8", pieces=pieces[:first] + [event(wrong)])
    pieces.append(chunk({}, finish))
    if counted:
        pieces.append(event(common | {"choices": [], "usage": usage(ex, body)}))
    pieces.append(b": that was all\n\ndata: [DONE]\n\n")
    return Answer(200, b"", "text/event-stream; charset=utf-8", pieces=pieces)


# ---- models that answer with a picture ----

def paint(ex, body):
    from .openai import make_pictures, picture_url
    if ex.model == "chat-gemini-empty":
        return Answer.of_json(completion(ex, {"role": "assistant", "content": None}, "stop", usage(ex, body)))
    if ex.model == "chat-gemini-blocked":
        return Answer.of_json({"candidates": [{"content": {"parts": []}, "finishReason": "IMAGE_SAFETY"}]})
    if ex.model == "chat-refusal":
        return Answer.of_json(completion(ex, {"role": "assistant", "content": "I would rather write a poem about it."},
                                         "stop", usage(ex, body)))
    if ex.model == "omni-painter" and "image" not in (body.get("modalities") or []):
        return write(ex, body)
    # it looks at what it was given
    sides = (512, 512)
    picture = make_pictures(ex, {}, 1, sides)[0]
    data = base64.b64encode(picture.render())
    url = f"data:{picture.mime};base64,@@BLOB-0@@"
    if ex.model == "chat-gemini":
        value = {"candidates": [{"content": {"role": "model", "parts": [
            {"text": "Here it is: "}, {"inlineData": {"mimeType": picture.mime, "data": "@@BLOB-0@@"}}]},
            "finishReason": "STOP"}]}
        return Answer(200, json_with_blobs(value, [data]), pictures=1)
    said = {"role": "assistant", "content": "", "refusal": None}
    if ex.model == "chat-markdown-data":
        said["content"] = f"Here it is:\n\n![image]({url})"
    elif ex.model == "chat-markdown-url":
        said["content"] = f"![image]({picture_url(ex, picture)})\n\n[click to download]({picture_url(ex, picture)})"
    elif ex.model == "chat-bare-url":
        path, _, query = picture_url(ex, picture).partition("?")
        said["content"] = f"Done: {path}?{query}. Enjoy!"
    elif ex.model == "chat-progress":
        said["content"] = ('```\n{"prompt":"a panda","ratio":"1:1"}\n```\n\n> ID: `task_01sim`\n> 排队中.\n> 生成中..\n'
                           f'> 进度 14%.\n> 生成完成 ✅\n\n> gen_id: `gen_01sim`\n\n![gen_01sim]({picture_url(ex, picture)})')
    else:
        said["images"] = [{"type": "image_url", "index": 0, "image_url": {"url": url, "detail": "auto"}}]
    if ex.model == "chat-only-events":
        said["content"], images = "> 生成中..\n", said.pop("images")
        common = {"id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": 1, "model": ex.model}
        pieces = [event(common | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}, blobs)
                  for delta, blobs in (({"role": "assistant", "content": said["content"]}, ()),
                                       ({"images": images}, (data,)))]
        return Answer(200, b"", "text/event-stream", pieces=pieces + [b"data: [DONE]\n\n"], pictures=1)
    return Answer(200, json_with_blobs(completion(ex, said, "stop", usage(ex, body)), [data]), pictures=1)
