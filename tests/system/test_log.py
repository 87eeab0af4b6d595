"""The log: the lines that people grep for, each with its request; prompts as the operator wants; no secrets."""
import json
import re

import pytest

from support import SIM_KEY, merge, sim_config, wait_until

PROMPT = "一只可爱的熊猫在竹林里吃竹子，" * 5  # 75 characters


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    return start_easel(sim_config(sim, faults=("status=401", "truncate")))


def lines_of(easel, answer):
    """All lines of a request, once its last one is there."""
    request_id = answer.header("x-request-id")
    return wait_until(lambda: (lambda found: found if any(" /v1/" in l for l in found) else None)(
        easel.log_lines(request_id)), 5, f"the line of {request_id}")


def generation_line(easel, answer):
    found = [l for l in lines_of(easel, answer) if "Image generation: " in l]
    assert len(found) == 1, found
    return found[0]


def test_each_request_has_one_line_that_ends_in_its_id(easel):
    answer = easel.get("/v1/models")
    found = lines_of(easel, answer)
    assert len(found) == 1
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info models GET /v1/models 200 ", found[0]), found


def test_a_generation_is_logged_in_the_words_people_search_for(easel):
    answer = easel.generate(model="gpt-image-1", response_format="url", n=2)
    line = generation_line(easel, answer)
    assert re.search(r"Image generation: stream=False, use_ws=False, response_format=url, n=2, token=fp:[0-9a-f]{8}",
                     line), line


def test_the_fingerprint_is_the_same_for_the_same_token_and_not_its_hash(easel, start_easel, sim):
    import hashlib
    prints = {re.search(r"token=fp:([0-9a-f]{8})", generation_line(easel, easel.generate())).group(1) for _ in range(2)}
    assert len(prints) == 1
    assert prints != {hashlib.sha256(SIM_KEY.encode()).hexdigest()[:8]}
    other = start_easel(sim_config(sim))
    assert re.search(r"token=fp:([0-9a-f]{8})", generation_line(other, other.generate())).group(1) not in prints, \
        "the key of the fingerprints is the installation's own"


def test_a_failure_is_logged_with_its_code_and_stage(easel):
    answer = easel.generate(model="gpt-image-1@truncate")
    found = "\n".join(lines_of(easel, answer))
    assert "upstream_truncated" in found and "stage=provider." in found


def test_a_refused_credential_is_logged_by_fingerprint_alone(easel):
    lines_of(easel, easel.generate(model="gpt-image-1@status=401"))
    assert SIM_KEY not in easel.log() and SIM_KEY[:16] not in easel.log()


def test_a_line_break_in_a_prompt_makes_no_line(easel):
    answer = easel.generate(prompt="a\nb\r\n2026-01-01T00:00:00.000Z info forged\x1b[31m\u202e\u2028")
    lines_of(easel, answer)
    log = easel.log()
    assert "\nb" not in log and "\x1b" not in log and "\u202e" not in log and "\u2028" not in log
    assert not re.search(r"^2026-01-01T00:00:00\.000Z info forged", log, re.M)


def test_a_path_cannot_forge_a_line_either(easel):
    answer = easel.get("/v1/a%0a2026-01-01T00:00:00.000Z%20info%20forged")
    assert answer.status == 400
    wait_until(lambda: answer.header("x-request-id") in easel.log(), 5)
    assert not re.search(r"^2026-01-01T00:00:00\.000Z info forged", easel.log(), re.M)


@pytest.mark.parametrize("prompts", ["none", "hash", "clip", "full"])
def test_prompts_appear_as_the_operator_wants(start_easel, sim, prompts):
    easel = start_easel(merge(sim_config(sim), {"log": {"prompts": prompts}}))
    line = generation_line(easel, easel.generate(prompt=PROMPT))
    if prompts == "full":
        assert PROMPT in line
    elif prompts == "clip":
        assert PROMPT[:50] in line and PROMPT[:51] not in line
    else:
        assert "熊猫" not in easel.log()
        assert prompts == "none" or re.search(r"prompt='[0-9a-f]{8}", line), line


def test_json_lines_hold_the_same(start_easel, sim):
    easel = start_easel(merge(sim_config(sim), {"log": {"format": "json"}}))
    answer = easel.generate(prompt=PROMPT)
    request_id = answer.header("x-request-id")

    def found():
        rows = [json.loads(l) for l in easel.log().splitlines() if l.startswith("{")]
        return [r for r in rows if r.get("request") == request_id and "Image generation: " in r["msg"]]

    row = wait_until(found, 5)[0]
    assert set(row) == {"ts", "level", "program", "msg", "request"}
    assert row["program"] == "images-generations" and row["level"] == "info"


def test_only_what_is_important_enough_is_written(start_easel, sim):
    easel = start_easel(merge(sim_config(sim), {"log": {"level": "error"}}))
    assert easel.generate().status == 200
    assert "Image generation" not in easel.log() and "/v1/images/generations 200" not in easel.log()
