"""ask.py BASE_URL KEY_FILE REQUEST - one picture through the official Python SDK with its default settings.

REQUEST: {"kind": "images" | "stream" | "edit" | "chat" | "task", and what the request takes; "image": a file}.  Says what came of it as
one line of JSON; when the answer names a task, that is fetched to its end through the SDK as well.
"""
import json
import sys
import time

import openai

def pictures(client, kind, rest):
    if kind == "images":
        return [p.url for p in client.images.generate(**rest, response_format="url").data]
    if kind == "edit":
        with open(rest.pop("image"), "rb") as f:
            image = ("a.png", f.read(), "image/png")
        return [p.url for p in client.images.edit(**rest, image=image, response_format="url").data]
    if kind == "stream":
        return [e.url for e in client.images.generate(**rest, stream=True) if e.type.endswith(".completed")]
    if kind == "chat":
        messages = [{"role": "user", "content": rest["prompt"]}]
        answer = client.chat.completions.create(model=rest["model"], messages=messages)
        return [i["image_url"]["url"] for i in answer.choices[0].message.images]
    return {"task_id": client.post("/tasks", body=rest, cast_to=object)["id"]}


def task(client, task_id):
    while True:
        found = client.get(f"/tasks/{task_id}", cast_to=object)
        if found["ended"]:
            return {"status": found["status"], "urls": [p["url"] for p in found["images"]], "error": found["error"]}
        time.sleep(0.2)


def main(base_url, key_file, text):
    said, rest = {}, json.loads(text)
    with open(key_file) as f:
        client = openai.OpenAI(base_url=base_url, api_key=f.read().strip())
    try:
        came = pictures(client, rest.pop("kind"), rest)
        said.update(came if isinstance(came, dict) else {"urls": came})
    except openai.APIStatusError as error:
        said.update(error=error.code, status=error.status_code, task_id=error.body["task_id"])
    except openai.APIConnectionError as error:
        said.update(error=type(error).__name__)
    except openai.APIError as error:
        said.update(error=error.code, task_id=error.body["task_id"])
    if said.get("task_id"):
        said["task"] = task(client, said["task_id"])
    print(json.dumps(said), flush=True)


main(*sys.argv[1:])
