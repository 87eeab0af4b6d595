"""What the tests of [limits] ask with, and what they expect of a refusal."""
import re

from support import expect_error

POST = "/v1/images/generations"
REQUESTS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
IMAGES = ("x-ratelimit-limit-images", "x-ratelimit-remaining-images", "x-ratelimit-reset-images")


def new_key(easel, name):
    return easel.run("keys", "create", "--name", name).stdout.strip()


def generate(easel, key=True, **members):
    value = {"prompt": "a panda", "model": "gpt-image-1", "response_format": "url", **members}
    return easel.post(POST, value, key=key)


def seconds(text):
    """1h2m3s, 6m0s, 1s, 20ms"""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?|(\d+)ms", text)
    assert found and text, text
    h, m, s, ms = (int(x or 0) for x in found.groups())
    return h * 3600 + m * 60 + s + ms / 1000


def expect_refusal(answer, what):
    error = expect_error(answer, 429, "rate_limited", party="client", stage="limit")
    assert error["type"] == "rate_limit_error" and what in error["message"], error
    wait, wait_ms = int(answer.header("retry-after")), int(answer.header("retry-after-ms"))
    assert wait >= 1 and (wait - 1) * 1000 < wait_ms <= wait * 1000, answer
    return wait_ms / 1000


def in_background(pool, easel, n, model, **headers):
    return [pool.submit(easel.generate, model=model, headers=headers, response_format="url") for _ in range(n)]


def workers(easel, program="images-generations"):
    """Of that program: the processes below its parent."""
    named = easel.named(f"handlers/{program}")
    return [p for p in named if p.parent in {q.pid for q in named}]
