"""/login: users, sessions, what the wrong ones are told, and who has to wait; with either store."""
import base64
import concurrent.futures
import ctypes
import itertools
import json
import os
import pty
import re
import select
import signal
import shutil
import sqlite3
import subprocess
import tempfile
import time

import pytest

from support import EASEL, NOVELAI_TOKEN, SLOW, Easel, expect_error, merge, sim_config, wait_until
from tasks import ended

PASSWORD = "canary correct-horse 馬 battery"
WRONG = "canary-wrong-guess-0815"
TOKEN = r"sk-easel-session-[A-Za-z0-9_-]{43}"
FREE = 5              # wrong logins of one account from one address that cost nothing
FREE_OF_ADDRESS = 30  # from one address, whatever the account
FREE_OF_ACCOUNT = 50  # of one account, from everywhere
ADDRESSES = (f"198.18.{a}.{b}" for a in range(256) for b in range(1, 255))
names = itertools.count(1)


class Redis:
    """A redis-server of the test's own, on a socket."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="easel-redis-")
        self.socket = f"{self.folder}/s"
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.folder, "--appendonly", "yes",
             "--save", ""], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL))
        wait_until(lambda: os.path.exists(self.socket), 20, "redis-server listens")

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def easel(request, sim):
    """Behind a proxy that says where a request came from, so that each test has addresses of its own."""
    config = merge(sim_config(sim), {"server": {"trusted_proxies": ["127.0.0.0/8"]}, "process": {"workers": 2}})
    redis = Redis() if request.param == "redis" else None
    try:
        if redis:
            config["store"] = {"url": f"redis+unix://{redis.socket}?db=0"}
        easel = Easel(config)
        easel.redis = redis
        try:
            yield easel
            easel.stop()
        finally:
            easel.kill()
    finally:
        if redis:
            redis.stop()


def add_user(easel, *more, email=None, password=PASSWORD):
    email = email or f"user{next(names)}@example.com"
    easel.run("users", "add", email, *more, stdin=password + "\n")
    return email


def log_in(easel, email, password=PASSWORD, address=None, headers=(), **members):
    return easel.post("/login", {"email": email, "password": password, **members},
                      {"X-Forwarded-For": address or next(ADDRESSES), **dict(headers)}, key=False)


def session(easel, email, **more):
    answer = log_in(easel, email, **more)
    assert answer.status == 200, answer
    return answer.json["token"]


def refused(answer):
    return expect_error(answer, 401, "invalid_credentials", party="client", stage="auth")


def told_to_wait(answer):
    """The seconds."""
    expect_error(answer, 429, "rate_limited", party="client", stage="auth")
    return int(answer.header("retry-after"))


def ends_within_a_second(easel, token, cause="session_ended"):
    """Each worker may remember it for less than that."""
    start = time.monotonic()
    wait_until(lambda: time.monotonic() - start > 1 or easel.get("/v1/models", key=token).status == 401, 5)
    wait_until(lambda: time.monotonic() - start > 1, 5)
    for _ in range(6):
        error = expect_error(easel.get("/v1/models", key=token), 401, "invalid_api_key", party="client", stage="auth")
        assert error["cause"] == cause


# ---- the way in ----

def test_a_login_gives_a_session(easel):
    email = add_user(easel)
    answer = log_in(easel, email)
    assert answer.status == 200 and answer.header("cache-control") == "no-store", answer
    assert re.fullmatch(TOKEN, answer.json["token"])
    assert answer.json == {"success": True, "token": answer.json["token"], "token_type": "Bearer", "expires_in": 86400,
                           "user": {"email": email, "role": "user"}}
    assert session(easel, email) != answer.json["token"], "each login has a session of its own"


@pytest.mark.parametrize("typed", ["  {}\n", "{upper}", "\t{upper}\r\n"])
def test_white_space_and_capitals_do_not_matter(easel, typed):
    email = add_user(easel)
    typed = typed.format(email, upper=email.upper())
    assert log_in(easel, typed, f" {PASSWORD}\r\n").json["user"]["email"] == email


def test_a_session_works_on_every_route_like_a_key(easel):
    token = session(easel, add_user(easel))
    for path in ("/v1/models", "/models", "/v1/v1/models", "/login"):
        assert easel.get(path, key=token).status == 200, path
    assert easel.get("/v1/models", key=f"  {token} \t").status == 200
    picture = easel.post("/v1/images/generations", {"prompt": "a panda", "size": "1024x1024"}, key=token)
    assert picture.status == 200, picture
    chat = easel.post("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]},
                      key=token)
    assert chat.status == 200, chat
    line = easel.log_lines(picture.header("x-request-id"))[-1]
    assert re.search(r" key=user_[0-9a-z]{26} ", line), line


@pytest.mark.parametrize("role,status", [("user", 403), ("admin", 200)])
def test_roles_have_their_scopes(easel, role, status):
    token = session(easel, add_user(easel, "--role", role))
    assert easel.get("/metrics", key=token).status == status
    scopes = easel.get("/login", key=token).json["credential"]["scopes"]
    assert ("admin" in scopes) == (role == "admin") and {"images", "chat", "tasks", "requests"} <= set(scopes)


def test_the_login_test_says_who_asks(easel):
    email = add_user(easel)
    said = easel.get("/login", key=session(easel, email)).json
    expires = said["credential"].pop("expires_at")
    assert abs(expires - time.time() - 86400) < 60 * SLOW
    fingerprint = said["credential"].pop("fingerprint")
    assert re.fullmatch("[0-9a-f]{8}", fingerprint)
    assert said == {"authenticated": True, "credential": {
        "kind": "session", "name": email, "scopes": ["images", "chat", "tasks", "requests"]}}
    said = easel.get("/login").json["credential"]
    assert said.pop("fingerprint") != fingerprint
    assert said == {"kind": "key", "name": "test", "scopes": ["images", "chat", "tasks", "requests"],
                    "expires_at": None}
    assert expect_error(easel.get("/login", key=False), 401, "missing_bearer_token")["cause"] == "header_absent"
    assert easel.request("HEAD", "/login").status == 200


def test_what_is_no_bearer_is_none(easel):
    token = session(easel, add_user(easel))
    for headers in ({"Cookie": f"token={token}; session={token}"}, {"X-Api-Key": token}):
        error = expect_error(easel.get("/v1/models", key=False, headers=headers), 401, "missing_bearer_token")
        assert error["cause"] == "header_absent"
    parts = [{"alg": "none", "kid": "../../dev/null"}, {"sub": "admin", "role": "admin"}]
    jwt = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."
    for stranger, cause in ((jwt, "unknown_key"), (token[:-1] + ("A" if token[-1] != "A" else "B"), "session_ended"),
                            (token + "A", "unknown_key"), (token[:-1], "unknown_key")):
        assert expect_error(easel.get("/v1/models", key=stranger), 401, "invalid_api_key")["cause"] == cause, stranger


def test_other_methods_are_told_what_there_is(easel):
    answer = easel.request("PUT", "/login", b"{}")
    expect_error(answer, 405, "method_not_allowed")
    assert set(answer.header("allow").split(", ")) == {"GET", "POST", "DELETE"}


# ---- the way out ----

def test_a_logout_ends_that_session_alone(easel):
    email = add_user(easel)
    one, two = session(easel, email), session(easel, email)
    assert easel.get("/v1/models", key=one).status == 200
    assert easel.request("DELETE", "/login", key=one).json == {"success": True, "authenticated": False}
    ends_within_a_second(easel, one)
    assert easel.get("/v1/models", key=two).status == 200
    expect_error(easel.request("DELETE", "/login", key=one), 401, "invalid_api_key")


def test_a_key_is_not_logged_out(easel):
    expect_error(easel.request("DELETE", "/login"), 400, "not_a_session", party="client")
    assert easel.get("/v1/models").status == 200


def test_a_disabled_user_is_out_and_can_come_back(easel):
    email = add_user(easel)
    token = session(easel, email)
    assert easel.get("/v1/models", key=token).status == 200
    easel.run("users", "disable", email)
    ends_within_a_second(easel, token)
    refused(log_in(easel, email))
    easel.run("users", "enable", email)
    assert easel.get("/v1/models", key=token).status == 401, "the old session stays ended"
    assert easel.get("/v1/models", key=session(easel, email)).status == 200


def test_a_new_password_ends_every_session(easel):
    email = add_user(easel)
    tokens = [session(easel, email) for _ in range(3)]
    easel.run("users", "passwd", email, stdin="another good one\n")
    for token in tokens:
        ends_within_a_second(easel, token)
    refused(log_in(easel, email))
    assert log_in(easel, email, "another good one").status == 200


def test_a_session_expires(start_easel):
    easel = start_easel({"auth": {"session_ttl": "2s"}})
    email = add_user(easel)
    answer = log_in(easel, email)
    assert answer.json["expires_in"] == 2
    token = answer.json["token"]
    wait_until(lambda: easel.get("/v1/models", key=token).status == 401, 10, "the session is over")
    error = expect_error(easel.get("/v1/models", key=token), 401, "invalid_api_key")
    assert error["cause"] == "session_expired", error
    assert log_in(easel, email).status == 200


# ---- the wrong ones ----

BAD = {
    "no email": ({"password": "x"}, 400, "missing_required_parameter", "email"),
    "no password": ({"email": "a@b.c"}, 400, "missing_required_parameter", "password"),
    "nothing": ({}, 400, "missing_required_parameter", "email"),
    "a number": ({"email": "a@b.c", "password": 12345678}, 400, "invalid_type", "password"),
    "null": ({"email": None, "password": "x"}, 400, "invalid_type", "email"),
    "a list": ({"email": ["a@b.c"], "password": "x"}, 400, "invalid_type", "email"),
    "white space": ({"email": " \n", "password": "x"}, 400, "invalid_value", "email"),
    "an empty password": ({"email": "a@b.c", "password": " "}, 400, "invalid_value", "password"),
    "a long one": ({"email": "a@b.c", "password": "x" * 1025}, 400, "string_above_max_length", "password"),
    "is_admin": ({"email": "a@b.c", "password": "x", "is_admin": True}, 400, "unsupported_parameter", "is_admin"),
    "role": ({"email": "a@b.c", "password": "x", "role": "admin"}, 400, "unsupported_parameter", "role"),
    "an empty provider": ({"email": "a@b.c", "password": "x", "provider": ""}, 400, "invalid_value", "provider"),
    "no object": ([], 400, "invalid_type", "body"),
    "no JSON": (b"email=a", 400, "invalid_json", None),
    "twice": (b'{"email":"a@b.c","password":"x","email":"b@b.c"}', 400, "duplicate_key", "email"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_a_login_is_told(easel, what):
    value, status, code, param = BAD[what]
    expect_error(easel.post("/login", value, key=False), status, code, param=param, party="client")


def body_of(length, **members):
    return json.dumps(members).encode().ljust(length)


def test_a_body_has_a_small_limit_of_its_own(easel):
    email = add_user(easel)
    assert easel.post("/login", body_of(65536, email=email, password=PASSWORD), key=False).status == 200
    error = expect_error(easel.post("/login", body_of(65537, email=email, password=PASSWORD), key=False),
                         413, "body_too_large", party="client")
    assert "65536" in error["message"] and "65537" in error["message"]


def test_a_password_of_the_longest_length_is_taken(easel):
    longest = "x" * 1024
    email = add_user(easel, password=longest)
    assert log_in(easel, email, longest).status == 200
    refused(log_in(easel, email, longest[:-1]))


def test_an_unknown_user_gets_the_same_answer_in_the_same_time(easel):
    def wrong(email):
        answer = log_in(easel, email, WRONG)
        error = refused(answer)
        for answers_own in ("request_id",):
            error.pop(answers_own)
        return error, answer.seconds, {k.lower() for k, _ in answer.headers.items()}

    known, disabled = add_user(easel), add_user(easel)
    easel.run("users", "disable", disabled)
    samples = {known: [], "nobody@example.com": [], disabled: [], "not an address": []}
    quick, slow = 0, 1
    for _ in range(4):  # other processes may be at work: the best of some counts, and of more if need be
        for _ in range(10):
            for email, found in samples.items():
                found.append(wrong(email))
        times = [min(f[1] for f in found) for found in samples.values()]
        quick, slow = min(times), max(times)
        if slow - quick < 0.3 * slow:
            break
    assert slow - quick < 0.3 * slow, times
    assert len({json.dumps(f[0], sort_keys=True) for found in samples.values() for f in found}) == 1
    assert len({frozenset(f[2]) for found in samples.values() for f in found}) == 1
    assert quick > 0.003, "nobody's password was hashed"


# ---- who has to wait ----

def test_guessing_from_one_place_waits_longer_and_longer(easel):
    email, here, elsewhere = add_user(easel), next(ADDRESSES), next(ADDRESSES)
    for _ in range(FREE + 1):
        refused(log_in(easel, email, WRONG, here))
    seconds = told_to_wait(log_in(easel, email, WRONG, here))
    assert seconds == 1
    assert told_to_wait(log_in(easel, email, PASSWORD, here)) == 1, "the right one has to wait too"
    assert log_in(easel, email, PASSWORD, elsewhere).status == 200, "the owner is not kept out"
    for expected in (2, 4):
        wait_until(lambda: log_in(easel, email, WRONG, here).status == 401, 10, "a further guess")
        assert expected - 1 <= told_to_wait(log_in(easel, email, WRONG, here)) <= expected
    wait_until(lambda: log_in(easel, email, PASSWORD, here).status == 200, 10, "the lock ends by itself")
    for _ in range(FREE):
        refused(log_in(easel, email, WRONG, here))
    assert log_in(easel, email, PASSWORD, here).status == 200, "a right login had cleared the count"


def test_an_unknown_user_has_to_wait_alike(easel):
    here = next(ADDRESSES)
    for _ in range(FREE + 1):
        refused(log_in(easel, "nobody2@example.com", WRONG, here))
    assert told_to_wait(log_in(easel, "Nobody2@example.com ", WRONG, here)) == 1


def test_one_address_with_many_accounts_has_to_wait(easel):
    here, email = next(ADDRESSES), add_user(easel)
    for n in range(FREE_OF_ADDRESS + 1):
        refused(log_in(easel, f"many{n}@example.com", WRONG, here))
    assert told_to_wait(log_in(easel, email, PASSWORD, here)) >= 1
    assert log_in(easel, email, PASSWORD).status == 200


def test_many_addresses_with_one_account_do_not_keep_its_owner_out(easel):
    email, home, new = add_user(easel), next(ADDRESSES), next(ADDRESSES)
    assert log_in(easel, email, PASSWORD, home).status == 200
    for _ in range(FREE_OF_ACCOUNT + 1):
        refused(log_in(easel, email, WRONG))
    assert 1 <= told_to_wait(log_in(easel, email, PASSWORD, new)) <= 60
    assert log_in(easel, email, PASSWORD, home).status == 200
    easel.run("users", "passwd", email, stdin="a new good one\n")
    assert log_in(easel, email, "a new good one", new).status == 200


def test_a_burst_gets_no_more_guesses(easel):
    email, here = add_user(easel), next(ADDRESSES)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda n: log_in(easel, email, f"{WRONG}{n}", here), range(40)))
    tried = sum(a.status == 401 for a in answers)
    assert all(a.status in (401, 429) for a in answers), answers
    at_once = 2 * 2  # of a process, processes
    assert FREE < tried <= FREE + at_once, tried


def test_an_address_is_believed_only_from_a_trusted_proxy(start_easel):
    easel = start_easel()
    email = add_user(easel)
    for _ in range(FREE + 1):
        refused(log_in(easel, email, WRONG))
    told_to_wait(log_in(easel, email, WRONG))


def test_fifty_at_once_take_bounded_memory(easel):
    def peak():
        return {p.pid: int(re.search(rb"VmHWM:\s+(\d+)", p.read("status")).group(1)) for p in easel.named("handlers/login")}

    email = add_user(easel)
    before = peak()
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: log_in(easel, email), range(50)))
    assert [a.status for a in answers] == [200] * 50
    after = peak()
    assert len(after) == 3
    # two of 19 MB each and 25 threads; all at once would be 475
    assert all(after[pid] < max(before.get(pid, 0), 20_000) + 64_000 * SLOW for pid in after), (before, after)


# ---- a provider's login ----

ACCOUNT = {"email": "xxxx@yyyy.zzz", "password": "hogehero"}  # the simulator's


def try_provider(easel, **members):
    return easel.post("/login", {"provider": "novelai", **ACCOUNT, **members}, {"X-Forwarded-For": next(ADDRESSES)})


@pytest.mark.parametrize("members", [{}, {"email": " xxxx@yyyy.zzz\n", "password": "hogehero\r\n"}])
def test_a_providers_login_is_tried_and_not_kept(easel, sim, members):
    sim.clear()
    answer = try_provider(easel, **members)
    assert answer.status == 200 and answer.json == {"success": True, "provider": "novelai", "stored": False}, answer
    login, = sim.requests(kind="login")
    assert "authorization" not in login["headers"] and "hogehero" not in str(login)
    assert "eyJ" not in answer.body.decode()
    assert try_provider(easel).status == 200
    assert sim.stats()["logins"] == 2, "the first one's token was not kept"


def test_a_refused_one_is_the_callers_move(easel, sim):
    sim.clear()
    answer = try_provider(easel, password="canary-novelai-wrong")
    error = expect_error(answer, 401, "upstream_login_refused", party="client", stage="provider.login")
    assert error["upstream"]["name"] == "novelai" and error["upstream"]["status"] == 401
    assert sim.stats()["refused_logins"] == 1 and "canary" not in answer.body.decode()


@pytest.mark.parametrize("fault,status,code", [
    ({"code": "html403"}, 502, "upstream_challenge_page"),
    ({"status": 500}, 502, "upstream_failed"),
    ({"status": 429}, 429, "upstream_rate_limited"),
])
def test_a_provider_that_cannot_be_asked_is_told(easel, sim, fault, status, code):
    sim.clear()
    sim.faults({**fault, "on": "login"})
    expect_error(try_provider(easel, password=f"other{next(names)}"), status, code, stage="provider.login")


def test_a_provider_is_asked_for_nobody_without_a_bearer(easel, sim):
    sim.clear()
    answer = easel.post("/login", {"provider": "novelai", **ACCOUNT}, key=False)
    assert expect_error(answer, 401, "missing_bearer_token")["cause"] == "header_absent"
    expect_error(try_provider(easel, provider="sim"), 400, "invalid_value", param="provider")
    expect_error(try_provider(easel, provider="openai"), 400, "invalid_value", param="provider")
    assert not sim.requests(kind="login")


def test_strangers_passwords_are_not_guessed_through_us(easel, sim):
    sim.clear()
    here = {"X-Forwarded-For": next(ADDRESSES)}
    for n in range(FREE + 1):
        answer = easel.post("/login", {"provider": "novelai", "email": "stranger@example.com", "password": f"guess{n}"},
                            here)
        expect_error(answer, 401, "upstream_login_refused")
    told_to_wait(easel.post("/login", {"provider": "novelai", "email": "stranger@example.com", "password": "more"}, here))
    assert sim.stats()["refused_logins"] == FREE + 1


def held_back(sim, ask):
    """The answer that says to wait; nobody was asked.  A lock is of a second at first and doubles: it may be over before."""
    for _ in range(4):
        before = len(sim.requests(kind="login"))
        answer = ask()
        if answer.status == 429:
            assert len(sim.requests(kind="login")) == before
            return answer
    raise AssertionError(f"it goes on: {answer}")


def test_an_address_counts_once_however_it_is_typed(easel, sim):
    sim.clear()
    here = {"X-Forwarded-For": next(ADDRESSES)}

    def guess(email, n):
        return easel.post("/login", {"provider": "novelai", "email": email, "password": f"guess{n}"}, here)

    typed = ("one@example.net", "One@example.net", " one@example.net", "oNe@Example.NET\n", "ONE@EXAMPLE.NET",
             "one@example.net" + 400 * " " + ".")  # NovelAI's addresses end before that
    assert len(typed) == FREE + 1
    for n, email in enumerate(typed):
        expect_error(guess(email, n), 401, "upstream_login_refused")
    for email in ("onE@example.net", "one@example.net\t"):
        told_to_wait(held_back(sim, lambda email=email: guess(email, "more")))


# ---- the login of a task ----

def task(easel, address, email, password):
    return easel.post("/generate", {"auth_type": "login", "email": email, "password": password, "prompt": "a cat",
                                    "model": "nai-v4.5"}, {"X-Forwarded-For": address})


def outcome(easel, answer):
    """"SUCCESS", or the code of the error; an answer that took no task in is none."""
    assert answer.status == 200, answer
    end = ended(easel, {"id": answer.json["task_id"]})
    return end["error"]["code"] if end["error"] else end["status"]


def test_passwords_are_not_guessed_through_tasks(easel, sim):
    sim.clear()
    here, email = next(ADDRESSES), f"stranger{next(names)}@example.org"

    def guess():
        answer = task(easel, here, email, f"guess{next(names)}")
        if answer.status == 200:
            assert outcome(easel, answer) == "provider_credential_refused"
        return answer

    for typed in (email, email.title(), f" {email}", f"{email}\n", email.upper(), email):  # FREE + 1
        assert outcome(easel, task(easel, here, typed, f"guess{next(names)}")) == "provider_credential_refused"
    answer = held_back(sim, guess)
    assert answer.json["code"] == "rate_limited" and int(answer.header("retry-after")) >= 1, answer
    told_to_wait(held_back(sim, lambda: easel.post("/login", {"provider": "novelai", "email": email, "password": "x"},
                                                   {"X-Forwarded-For": here})))
    assert task(easel, next(ADDRESSES), email, "from elsewhere").status == 200
    own = easel.post("/generate", {"auth_type": "token", "token": f"{NOVELAI_TOKEN}-beside", "prompt": "a cat"},
                     {"X-Forwarded-For": here})
    assert outcome(easel, own) == "SUCCESS", "a token is no guess"


def test_tasks_that_wait_for_their_turn_are_no_further_guesses(easel, sim):
    """All are taken in before the first one's outcome is known."""
    sim.clear()
    sim.faults({"delay": 3, "on": "login"})
    here, email = next(ADDRESSES), f"queued{next(names)}@example.org"
    answers = [task(easel, here, email, f"guess{n}") for n in range(3 * FREE)]
    codes = [outcome(easel, answer) for answer in answers]
    assert set(codes[:FREE + 1]) == {"provider_credential_refused"}, codes
    held = codes.count("rate_limited")
    # One more is free after a second, and one after two more.
    assert held + codes.count("provider_credential_refused") == len(codes) and held >= FREE, codes
    assert len(sim.requests(kind="login")) == len(codes) - held


def test_a_right_login_of_a_task_clears_the_count(easel, sim):
    here = next(ADDRESSES)
    for _ in range(2):
        for _ in range(FREE - 1):
            assert outcome(easel, task(easel, here, ACCOUNT["email"], WRONG + str(next(names)))) == "provider_credential_refused"
        assert outcome(easel, task(easel, here, **ACCOUNT)) == "SUCCESS"


# ---- the command line ----

def test_users_are_listed_without_their_passwords(easel):
    email = f"listed{next(names)}@example.com"
    added = json.loads(easel.run("users", "add", f" {email.upper()} ", "--role", "admin", "--json",
                                 stdin=PASSWORD).stdout)
    assert added == {"id": added["id"], "email": email, "role": "admin", "disabled": False,
                     "created": added["created"]}
    assert re.fullmatch(r"user_[0-9a-z]{26}", added["id"]) and abs(added["created"] - time.time()) < 600
    assert added in json.loads(easel.run("users", "list", "--json").stdout)["data"]
    for more in ([], ["--json"]):
        text = easel.run("users", "list", *more).stdout
        assert email in text and PASSWORD not in text and "argon2" not in text
    assert json.loads(easel.run("users", "disable", email, "--json").stdout)["disabled"] is True
    assert re.search(rf"{added['id']} admin\s+disabled .* {email}\n", easel.run("users", "list").stdout)


@pytest.mark.parametrize("arguments,stdin,code,said", [
    (["add"], "", 2, "e-mail address"),
    (["add", "nobody"], PASSWORD, 2, "name@example.com"),
    (["add", "a b@example.com"], PASSWORD, 2, "white space"),
    (["add", "@example.com"], PASSWORD, 2, "name@example.com"),
    (["add", "x" * 250 + "@b.c"], PASSWORD, 0, ""),
    (["add", "x" * 251 + "@b.c"], PASSWORD, 2, "longer"),
    (["add", "short@example.com"], "1234567\n", 2, "8 to 1024 bytes"),
    (["add", "eight@example.com"], "12345678\n", 0, ""),
    (["add", "empty@example.com"], "", 2, "8 to 1024 bytes"),
    (["add", "long@example.com"], "x" * 1025, 2, ""),
    (["add", "nul@example.com"], "12345678\0", 2, ""),
    (["add", "role@example.com", "--role", "owner"], PASSWORD, 2, "user or admin"),
    (["add", "one@example.com", PASSWORD], PASSWORD, 2, "too many"),
    (["passwd", "nobody@example.com"], PASSWORD, 5, "no user"),
    (["disable", "nobody@example.com"], "", 5, "no user"),
    (["enable", "nobody@example.com", "--json"], "", 5, "no user"),
    (["passwd", "--help"], "", 0, ""),
])
def test_mistakes_have_their_exit_status(easel, arguments, stdin, code, said):
    done = easel.run("users", *arguments, stdin=stdin, code=code)
    assert said in done.stderr
    if "--json" in arguments:
        assert json.loads(done.stdout)["error"]["code"] == "not_found"


def test_a_user_is_added_once(easel):
    email = add_user(easel)
    assert "already" in easel.run("users", "add", email.upper(), stdin="another password", code=1).stderr
    assert log_in(easel, email).status == 200


def on_terminal(easel, lines, *arguments):
    """easel with a terminal as standard input: exit code and all that the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(EASEL, [EASEL, *arguments, "--config", easel.file], easel.env)
    shown, end = b"", time.monotonic() + 30 * SLOW
    pending = list(lines)
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
        if pending and shown.count(b": ") > len(lines) - len(pending):
            os.write(terminal, pending.pop(0))
    else:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code, shown.decode()


def test_a_terminal_shows_no_password(easel):
    email = f"terminal{next(names)}@example.com"
    line = b"typed by hand\n"
    code, shown = on_terminal(easel, [line, line], "users", "add", email)
    assert code == 0 and "typed" not in shown and "once more" in shown, shown
    assert log_in(easel, email, "typed by hand").status == 200
    code, shown = on_terminal(easel, [line, b"typed otherwise\n"], "users", "passwd", email)
    assert code == 1 and "not the same" in shown and "typed" not in shown, shown
    code, _ = on_terminal(easel, [b"\x03"], "users", "passwd", email)
    assert code == -signal.SIGINT


# ---- secrets ----

def test_passwords_and_tokens_are_nowhere(easel):
    """After all of the above: not in a file of the installation or of Redis, a log, a command line, an environment."""
    email = add_user(easel)
    token = session(easel, email)
    refused(log_in(easel, WRONG, WRONG))  # a password in the wrong field
    log_in(easel, PASSWORD.replace(" ", ""), PASSWORD)
    secrets = [s.encode() for s in (PASSWORD, PASSWORD.replace(" ", ""), WRONG, token, token[17:], "canary-novelai-wrong",
                                    "typed by hand", ACCOUNT["password"])]
    places = [easel.log_file]
    for root in (easel.state, *([easel.redis.folder] if easel.redis else [])):
        places += [os.path.join(folder, name) for folder, _, files in os.walk(root) for name in files]
    seen = 0
    for place in places:
        if os.path.isfile(place):
            with open(place, "rb") as f:
                data = f.read()
            seen += len(data)
            assert not [s for s in secrets if s in data], place
    assert seen > 10_000 and easel.log().count("Login refused: account=fp:") > 10
    for p in easel.tree():
        for what in ("cmdline", "environ"):
            assert not [s for s in secrets if s in p.read(what)], f"{what} of {p}"
    for p in easel.named("handlers/login"):
        assert re.search(rb"Max core file size +0 +0 ", p.read("limits")), "it would leave a core"


def test_what_is_stored_is_argon2id(start_easel):
    easel = start_easel()
    email = add_user(easel)
    store = sqlite3.connect(f"{easel.state}/easel.db")
    stored, = store.execute("SELECT password FROM users WHERE email=?", (email,)).fetchone()
    store.close()
    assert re.match(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$", stored)
