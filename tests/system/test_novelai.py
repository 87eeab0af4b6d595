"""NovelAI: its bodies, its logins, its archives and its lock, through the web server and a program."""
import base64
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from sim.pictures import serial_of
from support import NOVELAI_TOKEN, SLOW, Watch, expect_error, novelai

V3, V4, V45 = "nai-diffusion-3", "nai-diffusion-4-full", "nai-diffusion-4-5-full"
EMAIL, PASSWORD = "user@example.com", "password123"
ACCESS_KEY = "MJHRm_FkFBi8S-Ld8VFwX9IxrgsfiyNZBj_-KwnVag6arJ_oofQpBIho43MlnAcW"
DEADLINE_S = 4
HEADERS = {"x-easel-deadline": f"{DEADLINE_S}s"}
CREDENTIAL, POLICY, PROVIDER, SETTINGS, CLIENT = (
    "provider-credential", "provider-policy", "provider", "gateway-config", "client")
SUBMIT, RECV, WAIT = "provider.submit", "provider.recv", "provider.wait"

# the fault; status, code, party, stage, may have been billed, words that are quoted
FAULTS = [
    ("code=validation", 400, "upstream_task_rejected", CLIENT, SUBMIT, False, "A validation error occurred."),
    ("code=too_large", 400, "upstream_task_rejected", CLIENT, SUBMIT, False, "Too Large"),
    ("code=moved", 502, "upstream_moved", SETTINGS, SUBMIT, False, "update to the image URL"),
    ("code=deprecated", 502, "upstream_moved", SETTINGS, SUBMIT, False, "image.novelai.net"),
    ("code=no_model", 502, "upstream_not_found", SETTINGS, SUBMIT, False, "doesn't exist"),
    ("code=moderation", 400, "upstream_content_policy", POLICY, SUBMIT, False, "blocked by moderation"),
    ("status=401", 502, "upstream_auth_failed", CREDENTIAL, SUBMIT, False, "Invalid accessToken"),
    ("status=402", 502, "upstream_quota_exhausted", CREDENTIAL, SUBMIT, False, "Not enough Anlas"),
    ("code=locked", 429, "upstream_rate_limited", PROVIDER, SUBMIT, False, "Concurrent generation is locked"),
    ("code=rate", 429, "upstream_rate_limited", PROVIDER, SUBMIT, False, "Rate limited"),
    ("code=conflict", 429, "upstream_rate_limited", PROVIDER, SUBMIT, False, "still being processed"),
    ("status=500", 502, "upstream_failed", PROVIDER, SUBMIT, True, "Internal Server Error"),
    ("empty-body-500", 502, "upstream_failed", PROVIDER, SUBMIT, True, None),
    ("html502", 502, "upstream_failed", PROVIDER, SUBMIT, True, "502 Bad Gateway"),
    ("html403", 502, "upstream_challenge_page", POLICY, SUBMIT, False, "Just a moment"),
    ("error-200", 502, "upstream_quota_exhausted", CREDENTIAL, SUBMIT, False, "out of credit"),
    ("not-json", 502, "upstream_garbage", PROVIDER, SUBMIT, True, None),
    ("empty-body", 502, "upstream_garbage", PROVIDER, SUBMIT, True, None),
    ("no-pictures", 502, "upstream_garbage", PROVIDER, SUBMIT, True, None),
    ("reset-before", 502, "upstream_reset", PROVIDER, WAIT, True, None),
    ("truncate", 502, "upstream_truncated", PROVIDER, RECV, True, None),
    ("truncate,answer=zip", 502, "upstream_truncated", PROVIDER, RECV, True, None),
    ("truncate,answer=png", 502, "upstream_truncated", PROVIDER, RECV, True, None),
    ("not-an-image", 502, "result_not_image", PROVIDER, RECV, True, None),
    ("truncated-png,answer=png", 502, "result_not_image", PROVIDER, RECV, True, None),
    ("truncated-png,answer=zip", 502, "result_not_image", PROVIDER, RECV, True, None),
    ("answer=zip-empty", 502, "upstream_garbage", PROVIDER, RECV, True, None),
    ("answer=zip-text", 502, "upstream_garbage", PROVIDER, RECV, True, None),
    ("answer=zip-truncated", 502, "upstream_garbage", PROVIDER, RECV, True, None),
    ("answer=zip-damaged", 502, "upstream_garbage", PROVIDER, RECV, True, None),
    ("answer=zip-encrypted", 502, "upstream_garbage", PROVIDER, RECV, True, None),
    ("answer=zip-lies", 502, "upstream_too_large", PROVIDER, RECV, True, None),
    ("answer=zip-many", 502, "upstream_too_large", PROVIDER, RECV, True, None),
    ("answer=zip-bomb", 502, "upstream_too_large", PROVIDER, RECV, True, None),
    ("huge,answer=zip", 502, "upstream_too_large", PROVIDER, RECV, True, None),
    ("pixels", 502, "upstream_too_large", PROVIDER, RECV, True, None),
]

# ends at the deadline: the fault, the stage
SLOW_ONES = [("silence", WAIT), ("headers-then-silence", RECV), ("drip,rate=20", RECV), ("drip,rate=20,answer=zip", RECV)]

# comes to a picture all the same
PASSING = ["answer=zip", "answer=zip-deflated", "answer=zip-several", "answer=zip-mixed", "answer=png", "answer=json", "wrong-label",
           "no-type", "chunked", "wrong-label,answer=zip", "more", "chunk=1,answer=zip", "chunk=1"]

EVERY = [row[0] for row in FAULTS] + [row[0] for row in SLOW_ONES] + PASSING


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    """Each fault has an account of its own, because one makes one picture at a time."""
    return start_easel({
        "providers": {"novelai": novelai(sim),
                      **{f"nai-{i}": novelai(sim, token=f"pst-sim-{i:04d}-0123456789abcdef") for i in range(len(EVERY))}},
        "deadline": {"grace": "1s"},
        "models": {**{m: {"provider": "novelai"} for m in (V3, V4, V45, "nai-v3", "nai-v4.5")},
                   **{f"{V45}@{f}": {"provider": f"nai-{i}"} for i, f in enumerate(EVERY)}},
        "defaults": {"image_model": V45}})


@pytest.fixture(autouse=True)
def fresh(sim):
    sim.reset()
    yield
    sim.reset()


def at_once(easel, sim, faults, headers=()):
    """Most of their time is waiting, so all of them together: fault → (the answer, its submissions)."""
    sim.reset()
    with ThreadPoolExecutor(len(faults)) as pool:
        answers = list(pool.map(lambda f: easel.generate(model=f"{V45}@{f}", headers=headers), faults))
    submissions = sim.requests(kind="generate")
    return {f: (a, [r for r in submissions if r["body"]["model"] == f"{V45}@{f}"]) for f, a in zip(faults, answers)}


@pytest.fixture(scope="module")
def passing(easel, sim):
    return at_once(easel, sim, PASSING)


@pytest.fixture(scope="module")
def failing(easel, sim):
    before = easel.files()
    answers = at_once(easel, sim, [row[0] for row in FAULTS])
    assert easel.files() == before, "a picture, or a piece of one, was left behind"
    return answers


@pytest.fixture(scope="module")
def slow(easel, sim):
    return at_once(easel, sim, [row[0] for row in SLOW_ONES], HEADERS)


def one_picture(easel, answer):
    assert answer.status == 200, answer
    item, = answer.json["data"]
    data = easel.stored(item["url"])
    assert serial_of(data)
    return data


def receipt_of(answer):
    """The header's bytes are UTF-8; None: there is none."""
    value = answer.header("x-easel-params")
    return value and value.encode("latin-1").decode()


# ---- what is asked for ----

COMMON = {"params_version": 3, "width": 832, "height": 1216, "sampler": "k_euler_ancestral", "steps": 28, "n_samples": 1,
          "qualityToggle": False, "dynamic_thresholding": False, "controlnet_strength": 1, "legacy": False,
          "add_original_image": True, "cfg_rescale": 0, "noise_schedule": "karras", "legacy_v3_extend": False,
          "skip_cfg_above_sigma": None, "deliberate_euler_ancestral_bug": False, "prefer_brownian": True, "image_format": "png"}
OF_V3 = {"sm": False, "sm_dyn": False, "reference_image_multiple": [], "reference_information_extracted_multiple": [],
         "reference_strength_multiple": []}
OF_V4 = {"autoSmea": False, "use_coords": False, "legacy_uc": False, "normalize_reference_strength_multiple": True,
         "inpaintImg2ImgStrength": 1, "characterPrompts": []}


def prompts_of_v4(prompt, negative):
    return {"v4_prompt": {"caption": {"base_caption": prompt, "char_captions": []}, "use_coords": False, "use_order": True},
            "v4_negative_prompt": {"caption": {"base_caption": negative, "char_captions": []}, "legacy_uc": False}}


@pytest.mark.parametrize("model,sent,scale,none", [(V3, V3, 5, 3), ("nai-v3", V3, 5, 3), (V4, V4, 5.5, 2), (V45, V45, 5, 4),
                                                   ("nai-v4.5", V45, 5, 4)])
def test_every_parameter_is_said(easel, sim, model, sent, scale, none):
    watch = Watch(sim)
    answer = easel.generate(model=model, seed=7, negative_prompt="lowres")
    one_picture(easel, answer)
    request = watch.one()
    more = OF_V3 if "-3" in sent else OF_V4 | prompts_of_v4("a panda", "lowres")
    assert request["body"] == {"input": "a panda", "model": sent, "action": "generate", "parameters": {
        **COMMON, **more, "scale": scale, "ucPreset": none, "seed": 7, "negative_prompt": "lowres"}}
    assert request["path"] == "/novelai/ai/generate-image"
    assert request["headers"]["authorization"] == f"Bearer {NOVELAI_TOKEN}"
    assert request["headers"]["accept"] == "application/json" and request["headers"]["user-agent"].startswith("easel/")
    assert receipt_of(answer) is None, "everything was kept"
    assert sim.stats()["purchases"] == 1


def test_a_seed_is_drawn_where_none_is_given(easel, sim):
    watch = Watch(sim)
    for _ in range(2):
        one_picture(easel, easel.generate())
    seeds = [r["body"]["parameters"]["seed"] for r in watch.requests("generate")]
    assert len(set(seeds)) == 2 and all(0 < s < 2**32 for s in seeds)


@pytest.mark.parametrize("members,parameters,receipt", [
    ({"size": "1024x1024"}, {"width": 1024, "height": 1024}, None),
    ({"size": "1000x700"}, {"width": 1024, "height": 704}, "size=1024x704"),
    ({"size": "8192x8192"}, {"width": 1728, "height": 1728}, "size=1728x1728"),
    ({"size": "auto"}, {"width": 832, "height": 1216}, "size=832x1216"),
    ({"aspect_ratio": "3:2"}, {"width": 1216, "height": 832}, "aspect_ratio→size=1216x832"),
    ({"aspect_ratio": "square"}, {"width": 1024, "height": 1024}, "aspect_ratio→size=1024x1024"),
    ({"guidance": 11}, {"scale": 5.5}, "guidance→scale=5.5"),
    ({"guidance": 6.5}, {"scale": 6.5}, None),
    ({"steps": 200}, {"steps": 50}, "steps=50"),
    ({"sampler": "euler_a"}, {"sampler": "k_euler_ancestral"}, "sampler=k_euler_ancestral"),
    ({"sampler": "dpmpp_2m"}, {"sampler": "k_dpmpp_2m"}, "sampler=k_dpmpp_2m"),
    ({"strength": 0.5, "noise": 0.1}, {}, "strength=dropped; noise=dropped"),
    ({"seed": 2**40 + 5}, {"seed": 5}, "seed=5"),
])
def test_what_is_asked_for_is_mapped_and_said(easel, sim, members, parameters, receipt):
    watch = Watch(sim)
    answer = easel.generate(**members)
    one_picture(easel, answer)
    sent = watch.one()["body"]["parameters"]
    assert {k: sent[k] for k in parameters} == parameters
    assert receipt_of(answer) == receipt


def test_quality_tags_come_only_when_they_are_asked_for(easel, sim):
    watch = Watch(sim)
    answer = easel.generate(quality="high")
    assert "quality→quality tags" in receipt_of(answer)
    body = watch.one()["body"]
    assert body["input"] == "a panda, very aesthetic, masterpiece, no text"
    assert body["parameters"]["v4_prompt"]["caption"]["base_caption"] == body["input"]
    assert body["parameters"]["qualityToggle"] is True
    assert "quality=dropped" in receipt_of(easel.generate(quality="low"))


@pytest.mark.parametrize("members,param,named", [({"sampler": "plms"}, "sampler", "k_dpmpp_sde"),
                                                 ({"sampler": "ddim"}, "sampler", "k_euler_ancestral"),
                                                 ({"aspect_ratio": "wide"}, "aspect_ratio", "portrait")])
def test_what_the_model_cannot_do_is_refused_before_anything_is_bought(easel, sim, members, param, named):
    error = expect_error(easel.generate(**members), 400, "invalid_value", param=param, party=CLIENT)
    assert named in error["message"]
    assert not sim.requests(kind="generate")
    if members["sampler" if param == "sampler" else param] == "ddim":
        assert easel.generate(model=V3, **members).status == 200


def test_n_pictures_are_n_requests_one_at_a_time(easel, sim):
    watch = Watch(sim)
    answer = easel.generate(n=3, seed=10)
    assert answer.status == 200, answer
    assert len({serial_of(easel.stored(i["url"])) for i in answer.json["data"]}) == 3
    assert [r["body"]["parameters"]["seed"] for r in watch.requests("generate")] == [10, 11, 12]
    assert "n=3 requests" in receipt_of(answer)
    assert sim.stats()["max_generations_by_account"] == {NOVELAI_TOKEN: 1}


def test_an_accounts_requests_wait_for_each_other(easel, sim):
    sim.defaults(delay=0.2)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: easel.generate(), range(6)))
    assert [a.status for a in answers] == [200] * 6
    assert sim.stats()["max_generations_by_account"] == {NOVELAI_TOKEN: 1}, "the lock was never met"


# ---- what comes back ----

@pytest.mark.parametrize("form", ["json", "zip", "zip-deflated", "png"])
def test_the_stored_bytes_are_the_providers(easel, sim, form):
    sim.defaults(answer=form, picture_bytes=300_000)
    answer = easel.generate(response_format="b64_json")
    data = base64.b64decode(answer.json["data"][0]["b64_json"])
    from sim.pictures import png
    assert data == png(serial_of(data), 832, 1216, 300_000)


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_ends_in_a_picture(easel, passing, fault):
    answer, submissions = passing[fault]
    one_picture(easel, answer)
    assert len(submissions) == 1, "it is never bought again"


# ---- what goes wrong ----

@pytest.mark.parametrize("fault,status,code,party,stage,billed,words", FAULTS, ids=[r[0] for r in FAULTS])
def test_a_failure_is_told(failing, fault, status, code, party, stage, billed, words):
    answer, submissions = failing[fault]
    error = expect_error(answer, status, code, party=party, stage=stage, billed=billed)
    assert error["upstream"]["name"].startswith("nai-")
    if words:
        assert words in error["upstream"]["message"]
    assert "pst-sim" not in answer.body.decode()
    assert sum(s["purchase"] for s in submissions) <= 1, "it is never bought again"
    assert len(submissions) == 1 or not billed, "asked again only where nothing can have been bought"
    if code == "upstream_moved":
        assert "https://image.novelai.net" in error["hint"]["text"]


@pytest.mark.parametrize("fault,stage", SLOW_ONES, ids=[r[0] for r in SLOW_ONES])
def test_a_deadline_ends_it(slow, fault, stage):
    answer, submissions = slow[fault]
    expect_error(answer, 504, "deadline_exceeded", stage=stage, billed=True)
    assert DEADLINE_S - 0.5 <= answer.seconds < (DEADLINE_S + 1) * SLOW
    assert len(submissions) == 1
    spent = sum(float(item.partition("dur=")[2]) for item in answer.header("server-timing").split(", "))
    assert 1000 * (DEADLINE_S - 0.5) <= spent <= 1000 * answer.seconds + 50, answer


def test_the_lock_of_another_program_is_waited_for(easel, sim):
    sim.faults({"code": "locked", "retry_after": "none"})
    answer = easel.generate()
    one_picture(easel, answer)
    assert answer.seconds >= 3, "clients leave three seconds between two pictures"
    assert answer.header("x-easel-attempts") == "2"


def test_pictures_that_came_are_in_the_error(easel, sim):
    sim.faults({"delay": 0}, {"status": 500})
    error = expect_error(easel.generate(n=2), 502, "images_incomplete", party=PROVIDER, billed=True)
    assert len(error["images"]) == 1 and serial_of(easel.stored(error["images"][0]["url"]))


# ---- logging in ----

def account(start_easel, sim, email=EMAIL, password=PASSWORD):
    return start_easel({"providers": {"novelai": novelai(sim, email=email, password=password)}, "process": {"workers": 1},
                        "models": {V45: {"provider": "novelai"}}, "defaults": {"image_model": V45}})


def secrets_of(sim, easel):
    """No secret in the log; what the provider was sent has the key, and never the password."""
    log = easel.log()
    tokens = {r["headers"].get("authorization", "Bearer -").split()[1] for r in sim.requests()}
    for secret in (PASSWORD, ACCESS_KEY, *(t for t in tokens if len(t) > 8)):
        assert secret not in log
    assert PASSWORD not in str(sim.requests())


def test_a_login_is_used_until_it_is_refused_and_renewed_once(start_easel, sim):
    easel = account(start_easel, sim)
    for _ in range(3):
        one_picture(easel, easel.generate())
    login, = sim.requests(kind="login")
    assert login["body"] == {"key": ACCESS_KEY} and "authorization" not in login["headers"]
    first = sim.requests(kind="generate")[0]["headers"]["authorization"]
    assert first.startswith("Bearer eyJ")
    # the token has expired: one login more, and the same request again
    sim.faults({"status": 401, "on": "generate"})
    one_picture(easel, easel.generate())
    assert sim.stats()["logins"] == 2
    assert sim.requests(kind="generate")[-1]["headers"]["authorization"] != first
    # a new one is refused too: that is the answer
    sim.faults({"status": 401, "on": "generate"}, {"status": 401, "on": "generate"})
    answer = easel.generate()
    expect_error(answer, 502, "upstream_auth_failed", party=CREDENTIAL, stage=SUBMIT)
    assert sim.stats()["logins"] == 3, "never a loop"
    assert "eyJ" not in answer.body.decode()
    secrets_of(sim, easel)


def test_one_login_serves_all_who_wait_for_it(start_easel, sim):
    easel = account(start_easel, sim)
    sim.faults({"delay": 0.5, "on": "login"})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: easel.generate(), range(4)))
    assert [a.status for a in answers] == [200] * 4
    assert sim.stats()["logins"] == 1


def test_a_token_that_is_about_to_expire_is_not_used(start_easel, sim):
    easel = account(start_easel, sim)
    sim.defaults(token_seconds=30)
    for _ in range(2):
        one_picture(easel, easel.generate())
    assert sim.stats()["logins"] == 2


def test_a_wrong_password_is_not_tried_again_and_again(start_easel, sim):
    easel = account(start_easel, sim, password="wrong-password-1")
    for _ in range(3):
        answer = easel.generate()
        error = expect_error(answer, 502, "upstream_auth_failed", party=CREDENTIAL, stage="provider.login")
        assert "e-mail address or the password is wrong" in error["message"]
        assert "wrong-password-1" not in answer.body.decode() and EMAIL not in answer.body.decode()
    assert sim.stats()["refused_logins"] == 1, "accounts are locked after some"
    assert not sim.requests(kind="generate")
    assert "wrong-password-1" not in easel.log()


def test_capitals_of_an_address_are_tried_as_the_site_writes_them(start_easel, sim):
    easel = account(start_easel, sim, email=" User@Example.COM ")
    one_picture(easel, easel.generate())
    stats = sim.stats()
    assert (stats["logins"], stats["refused_logins"]) == (1, 0)


@pytest.mark.parametrize("fault,status,code,party", [
    ({"code": "html403"}, 502, "upstream_challenge_page", POLICY),
    ({"code": "moved"}, 502, "upstream_moved", SETTINGS),
    ({"code": "validation"}, 502, "upstream_auth_failed", CREDENTIAL),
    ({"fault": "not-json"}, 502, "upstream_garbage", PROVIDER),
    ({"fault": "empty-body"}, 502, "upstream_garbage", PROVIDER),
])
def test_a_login_that_fails_buys_nothing(start_easel, sim, fault, status, code, party):
    easel = account(start_easel, sim)
    sim.faults({**fault, "on": "login"})
    expect_error(easel.generate(), status, code, party=party, stage="provider.login", billed=False)
    assert not sim.requests(kind="generate")
    one_picture(easel, easel.generate())


def test_a_login_that_hangs_ends_at_the_deadline(start_easel, sim):
    easel = account(start_easel, sim)
    sim.faults({"fault": "silence", "on": "login"})
    answer = easel.generate(headers={"x-easel-deadline": "1s"})
    expect_error(answer, 504, "deadline_exceeded", stage="provider.login", billed=False)
    assert answer.seconds < 2 * SLOW


def test_checksums_tell_pictures_apart(easel):
    """The helpers above would not notice one picture given out twice."""
    sums = {zlib.crc32(one_picture(easel, easel.generate())) for _ in range(2)}
    assert len(sums) == 2
