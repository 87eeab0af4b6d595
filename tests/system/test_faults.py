"""Every way a provider can fail: what the caller is told, when, and what is left behind."""
import os
import socket
import subprocess

import pytest

from sim.pictures import serial_of
from support import SIM_KEY, SLOW, Watch, expect_error, merge, sim_config

DEADLINE_S = 3
HEADERS = {"x-easel-deadline": f"{DEADLINE_S}s"}

CREDENTIAL, POLICY, PROVIDER, NETWORK = "provider-credential", "provider-policy", "provider", "network"
SETTINGS, CLIENT = "gateway-config", "client"

# the fault, or model@fault; status, code, party, stage (None: any provider.*), may have been billed,
# the provider's status (None: none came; 0: not looked at)
FAULTS = [
    # what it says
    ("status=401", 502, "upstream_auth_failed", CREDENTIAL, None, False, 401),
    ("status=403", 502, "upstream_auth_failed", CREDENTIAL, None, False, 403),
    ("code=unsupported_country_region_territory", 502, "upstream_auth_failed", CREDENTIAL, None, False, 403),
    ("html403", 502, "upstream_challenge_page", POLICY, None, False, 403),
    ("status=402", 502, "upstream_quota_exhausted", CREDENTIAL, None, False, 402),
    ("code=insufficient_quota", 502, "upstream_quota_exhausted", CREDENTIAL, None, False, 429),
    ("code=credit_balance_exhausted", 502, "upstream_quota_exhausted", CREDENTIAL, None, False, 429),
    ("code=project_spend_limit_exceeded", 502, "upstream_quota_exhausted", CREDENTIAL, None, False, 429),
    ("code=billing_hard_limit_reached", 502, "upstream_quota_exhausted", CREDENTIAL, None, False, 400),
    ("status=429", 429, "upstream_rate_limited", PROVIDER, None, False, 429),
    ("code=slow_down", 429, "upstream_rate_limited", PROVIDER, None, False, 429),
    ("code=moderation_blocked", 400, "upstream_content_policy", POLICY, None, False, 400),
    ("code=content_policy_violation", 400, "upstream_content_policy", POLICY, None, False, 400),
    ("code=unavailable_for_legal_reasons", 400, "upstream_content_policy", POLICY, None, False, 451),
    ("status=400", 400, "upstream_task_rejected", CLIENT, None, False, 400),
    ("code=invalid_size", 400, "upstream_task_rejected", CLIENT, None, False, 400),
    ("status=413", 400, "upstream_task_rejected", CLIENT, None, False, 413),
    ("status=422", 400, "upstream_task_rejected", CLIENT, None, False, 422),
    ("errors-plural", 400, "upstream_task_rejected", CLIENT, None, False, 400),
    ("error-string", 400, "upstream_task_rejected", CLIENT, None, False, 400),
    ("errors-plural,message=image-gen task currently does not support synchronous calls", 502,
     "upstream_async_required", SETTINGS, None, False, 400),
    ("status=404", 502, "upstream_not_found", SETTINGS, None, False, 404),
    ("status=500", 502, "upstream_failed", PROVIDER, None, True, 500),
    ("code=channel_failed", 502, "upstream_failed", PROVIDER, None, True, 500),
    ("empty-body-500", 502, "upstream_failed", PROVIDER, None, True, 500),
    ("html502", 502, "upstream_failed", PROVIDER, None, True, 502),
    ("html503", 502, "upstream_failed", PROVIDER, None, None, 503),
    ("status=503", 502, "upstream_failed", PROVIDER, None, None, 503),
    ("html504", 502, "upstream_failed", PROVIDER, None, True, 504),
    ("html524", 502, "upstream_failed", PROVIDER, None, True, 524),
    ("vercel504", 502, "upstream_failed", PROVIDER, None, True, 504),
    ("apigateway504", 502, "upstream_failed", PROVIDER, None, True, 504),
    ("cloudrun504", 502, "upstream_failed", PROVIDER, None, True, 504),
    ("error-numeric-code", 502, "upstream_failed", PROVIDER, None, True, 524),
    ("relay-new-api@delay=0", 502, "upstream_failed", PROVIDER, None, True, 500),
    # an error that calls itself 200: its words say what it is
    ("error-200", 502, "upstream_quota_exhausted", CREDENTIAL, None, False, 200),
    ("relay-error-200@delay=0", 502, "upstream_failed", PROVIDER, None, True, 200),
    ("redirect", 502, "upstream_garbage", PROVIDER, None, None, 302),
    # what is no answer
    ("not-json", 502, "upstream_garbage", PROVIDER, None, True, 200),
    ("wrong-type", 502, "upstream_garbage", PROVIDER, None, True, 200),
    ("empty-body", 502, "upstream_garbage", PROVIDER, None, True, 200),
    ("garbage", 502, "upstream_garbage", PROVIDER, None, True, None),
    ("half-head", 502, None, PROVIDER, None, True, 0),
    ("bad-chunk", 502, None, PROVIDER, None, True, 0),
    ("deep-json", 502, "upstream_garbage", PROVIDER, None, True, 200),
    ("headers-huge", 502, None, PROVIDER, None, True, 0),
    ("relay-async@delay=0", 502, "upstream_garbage", PROVIDER, None, True, 200),
    # a connection that breaks
    ("reset-before", 502, "upstream_reset", PROVIDER, None, True, None),
    ("reset-early", 502, "upstream_reset", PROVIDER, None, True, None),
    ("reset-mid", 502, "upstream_truncated", PROVIDER, None, True, 200),
    ("truncate", 502, "upstream_truncated", PROVIDER, None, True, 200),
    ("truncate-chunked", 502, "upstream_truncated", PROVIDER, None, True, 200),
    ("no-length-cut", 502, "upstream_truncated", PROVIDER, None, True, 200),
    # pictures that are none
    ("not-an-image", 502, "result_not_image", PROVIDER, None, True, 0),
    ("gif", 502, "result_not_image", PROVIDER, None, True, 0),
    ("svg", 502, "result_not_image", PROVIDER, None, True, 0),
    ("truncated-png", 502, "result_not_image", PROVIDER, None, True, 0),
    ("garbage-tail", 502, "result_not_image", PROVIDER, None, True, 0),
    ("bad-base64", 502, "result_not_image", PROVIDER, None, True, 0),
    ("relay-url@not-an-image", 502, "result_not_image", PROVIDER, None, True, 0),
    ("relay-url@svg", 502, "result_not_image", PROVIDER, None, True, 0),
    ("relay-url@truncated-png", 502, "result_not_image", PROVIDER, None, True, 0),
    ("pixels", 502, "upstream_too_large", PROVIDER, None, True, 0),
    ("huge", 502, "upstream_too_large", PROVIDER, None, True, 0),
    ("endless", 502, "upstream_too_large", PROVIDER, None, True, 0),
    ("endless-spaces", 502, "upstream_too_large", PROVIDER, None, True, 0),
    # URLs that must not, or cannot, be fetched
    *((f"private-url,which={which}", 502, "result_fetch_refused", PROVIDER, "fetch", True, 0)
      for which in ("metadata", "ssh", "redis", "localhost6", "decimal", "mapped", "ten", "file", "gopher", "userinfo")),
    ("url-redirect", 502, None, PROVIDER, "fetch", True, 0),
    ("url-redirect,to=http:%2F%2F169.254.169.254%2F", 502, None, PROVIDER, "fetch", True, 0),
    ("relay-url@url_fault=status:500", 502, "result_fetch_failed", PROVIDER, "fetch", True, 0),
    ("relay-url@url_fault=truncate", 502, "result_fetch_failed", PROVIDER, "fetch", True, 0),
    ("relay-url@url_fault=reset-before", 502, "result_fetch_failed", PROVIDER, "fetch", True, 0),
    ("relay-url@url_fault=html403", 502, "result_fetch_failed", PROVIDER, "fetch", True, 0),
]

# ends at the deadline
SLOW_ONES = [
    ("silence", "provider.wait"), ("headers-then-silence", None), ("drip,rate=10", "provider.recv"),
    ("delay=30", "provider.wait"), ("relay-url@url_fault=silence", "fetch"), ("relay-url@url_fault=drip", "fetch"),
]


def model_of(fault):
    return fault if "@" in fault else f"gpt-image-1@{fault}"


@pytest.fixture(scope="module")
def easel(start_easel, sim):
    faults = [row[0] for row in FAULTS] + [row[0] for row in SLOW_ONES] + [
        "fewer", "no-pictures", "status=429,retry_after=7", "status=429,retry_date=5"]
    return start_easel(merge(sim_config(sim, faults), {"limits": {"image_bytes": "4MB"}}))


def fail(easel, fault, **members):
    """An answer, and nothing left in the pictures' folder."""
    before = easel.files()
    answer = easel.generate(model=model_of(fault), headers=HEADERS, **members)
    assert easel.files() == before, "a picture, or a piece of one, was left behind"
    assert answer.seconds < (DEADLINE_S + 1) * SLOW, answer
    return answer


@pytest.mark.parametrize("fault,status,code,party,stage,billed,theirs", FAULTS, ids=[r[0] for r in FAULTS])
def test_a_failure_is_told(easel, sim, fault, status, code, party, stage, billed, theirs):
    watch = Watch(sim)
    answer = fail(easel, fault)
    found = answer.error["code"]
    if code is None:  # either of these is true of it
        assert found in ("upstream_garbage", "upstream_truncated", "upstream_reset", "result_fetch_refused",
                         "result_fetch_failed")
    said = answer.error["may_have_been_billed"] if billed is None else billed
    param = "size" if fault == "code=invalid_size" else None  # the provider named it
    error = expect_error(answer, status, code or found, param=param, party=party, stage=stage, billed=said)
    if stage is None:
        assert error["stage"].startswith("fetch" if fault.startswith("relay-url@") else "provider."), error
    upstream = error["upstream"]
    assert upstream["name"] == "sim"
    if theirs != 0:
        assert upstream["status"] == theirs, error
    calls = watch.requests("generate")
    assert sum(call["purchase"] for call in calls) <= 1, "it is never bought again"
    assert len(calls) <= 1 or not said, "asked again only where nothing can have been bought"
    # the next one is not troubled by it
    assert easel.generate(model="gpt-image-1", response_format="url").status == 200


@pytest.mark.parametrize("fault,stage", SLOW_ONES, ids=[row[0] for row in SLOW_ONES])
def test_a_slow_provider_is_left_at_the_deadline(easel, fault, stage):
    answer = fail(easel, fault)
    error = expect_error(answer, 504, "deadline_exceeded", stage=stage, billed=True)
    assert error["stage"].startswith(("provider.", "fetch"))
    assert answer.header("x-should-retry") == "false"
    assert answer.seconds >= DEADLINE_S - 0.5
    assert f"{DEADLINE_S} s" in error["message"]


# ---- the words ----

def test_the_providers_words_are_quoted_and_its_id_kept(easel):
    error = fail(easel, "code=moderation_blocked").error
    assert "rejected by the safety system" in error["upstream"]["message"]
    assert "rejected by the safety system" in error["message"]
    assert error["upstream"]["request_id"].startswith("req_")


def test_a_string_for_an_error_is_quoted(easel):
    assert "The model is sleeping" in fail(easel, "error-string").error["message"]


def test_errors_in_the_plural_are_quoted_with_their_id(easel):
    error = fail(easel, "errors-plural").error
    assert "submit image generation task error" in error["message"]
    assert error["upstream"]["request_id"]


def test_a_key_in_the_providers_words_is_scrubbed(easel, sim):
    sim.faults({"status": 401, "message": f"Incorrect API key provided: {SIM_KEY}, see line\n2"})
    answer = fail(easel, "status=401")
    sim.clear_faults()
    assert SIM_KEY not in answer.body.decode()
    assert "Incorrect API key" in answer.error["upstream"]["message"]
    assert "\n" not in answer.error["upstream"]["message"]
    assert SIM_KEY not in easel.log()


def test_a_page_is_not_quoted_at_length(easel):
    assert "<script" not in fail(easel, "html403").body.decode()


def test_the_messages_are_chinese_where_that_is_asked(easel):
    answer = easel.generate(model="gpt-image-1@status=401", headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert "拒绝了网关的凭据" in answer.error["message"] and answer.error["code"] == "upstream_auth_failed"


@pytest.mark.parametrize("fault,low,high", [("status=429,retry_after=7", 7, 7), ("status=429,retry_date=5", 3, 6)])
def test_retry_after_is_handed_on(easel, fault, low, high):
    answer = fail(easel, fault)
    expect_error(answer, 429, "upstream_rate_limited")
    assert low <= int(answer.header("retry-after")) <= high
    assert answer.header("x-should-retry") != "false"


# ---- some came ----

@pytest.mark.parametrize("model", ["gpt-image-1@fewer"])
def test_what_came_of_too_few_is_in_the_error(easel, model):
    before = easel.files()
    answer = easel.generate(model=model, n=3, headers=HEADERS)
    error = expect_error(answer, 502, "images_incomplete", party="provider", billed=True)
    assert answer.header("x-should-retry") == "false"
    assert len(error["images"]) == 2 and "3" in error["message"] and "2" in error["message"]
    pictures = [easel.stored(item["url"]) for item in error["images"]]
    assert len({serial_of(p) for p in pictures}) == 2
    assert len(easel.files() - before) == 2


def test_no_picture_at_all_is_said(easel):
    error = expect_error(fail(easel, "no-pictures"), 502, "upstream_garbage", party="provider", billed=True)
    assert "without a picture" in error["message"]


def test_one_of_several_calls_fails_and_the_others_pictures_are_there(easel, sim):
    """dall-e-3 makes one at a time: the second call is refused."""
    sim.faults({"delay": 0}, {"status": 500})
    answer = easel.generate(model="dall-e-3", n=3, headers=HEADERS)
    sim.clear_faults()
    assert answer.status == 502, answer
    assert len(answer.error["images"]) >= 1
    for item in answer.error["images"]:
        assert easel.stored(item["url"]).startswith(b"\x89PNG")


# ---- the network ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def unreachable(start_easel, sim):
    """One installation, several providers, each out of reach in another way."""
    bases = {
        "nobody listens": f"http://127.0.0.1:{free_port()}/v1",
        "no such host": "http://no-such-host.invalid/v1",
        "TLS where there is none": f"https://127.0.0.1:{sim.port}/v1",
        "no HTTP at all": f"http://127.0.0.1:{silent_port()}/v1",
    }
    config = {"providers": {}, "models": {}}
    for i, (name, url) in enumerate(bases.items()):
        config["providers"][f"p{i}"] = {"dialect": "openai", "base_url": url, "api_key": "sk-sim-x",
                                        "connect_timeout": "2s"}
        config["models"][name] = {"provider": f"p{i}"}
    return start_easel(config)


listeners = []


def silent_port():
    """Takes connections into its backlog and says nothing."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(8)
    listeners.append(s)
    return s.getsockname()[1]


@pytest.mark.parametrize("model,code,stage,billed", [
    ("nobody listens", "upstream_connect_failed", "provider.connect", False),
    ("no such host", "upstream_dns_failed", "provider.dns", False),
    ("TLS where there is none", "upstream_tls_failed", "provider.tls", False),
])
def test_a_provider_out_of_reach(unreachable, model, code, stage, billed):
    answer = unreachable.generate(model=model, headers=HEADERS)
    expect_error(answer, 502, code, party="network", stage=stage, billed=billed)
    assert answer.seconds < (DEADLINE_S + 1) * SLOW


def test_a_server_that_says_nothing_is_left_at_the_deadline(unreachable):
    answer = unreachable.generate(model="no HTTP at all", headers=HEADERS)
    expect_error(answer, 504, "deadline_exceeded", stage="provider.wait", billed=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    from sim import client
    folder = tmp_path_factory.mktemp("certs")
    client.make_certs(folder)
    return folder


@pytest.mark.parametrize("cert", ["self-signed", "expired", "wrong-host"])
def test_a_certificate_that_is_not_trusted_ends_it(start_easel, certificates, cert):
    from sim import client
    if not os.path.exists(f"{certificates}/{cert}.crt"):
        pytest.fail(f"the simulator makes no certificate '{cert}': {os.listdir(certificates)}")
    with client.start(tls_dir=str(certificates), cert=cert) as sim:
        easel = start_easel(sim_config(sim), env={"SSL_CERT_FILE": f"{certificates}/ca.crt"})
        expect_error(easel.generate(headers=HEADERS), 502, "upstream_tls_failed", party="network", stage="provider.tls")
        assert not sim.stats()["requests"], "nothing was sent"


def test_a_trusted_certificate_is_good(start_easel, certificates):
    from sim import client
    with client.start(tls_dir=str(certificates)) as sim:
        easel = start_easel(sim_config(sim), env={"SSL_CERT_FILE": f"{certificates}/ca.crt"})
        answer = easel.generate()
        assert answer.status == 200, answer
        assert "tls;dur=" in answer.header("server-timing")


def test_the_environments_proxies_are_ignored(start_easel, sim):
    nowhere = f"http://127.0.0.1:{free_port()}"
    easel = start_easel(sim_config(sim), env={"http_proxy": nowhere, "HTTP_PROXY": nowhere, "ALL_PROXY": nowhere})
    assert easel.generate().status == 200


# ---- no room ----

def test_without_room_nothing_is_bought(start_easel, sim):
    watch = Watch(sim)
    easel = start_easel(merge(sim_config(sim), {"limits": {"image_bytes": "800TB", "json_bytes": "1MB"}})
                        if os.geteuid() else sim_config(sim), start=False)
    mounted = None
    try:
        if os.geteuid() == 0:
            mounted = os.path.join(easel.state, "files")
            os.makedirs(mounted)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mounted], check=True)
        easel.make_key()
        easel.start()
        error = expect_error(easel.generate(headers=HEADERS), 507, "storage_full", party="gateway")
        assert error["hint"]["command"] == "easel files prune"
        assert not watch.requests("generate")
    finally:
        easel.stop()
        if mounted:
            subprocess.run(["umount", mounted], check=True)
        easel.kill()
