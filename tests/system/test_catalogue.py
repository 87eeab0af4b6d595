"""Every error of the catalogue is provoked by a test, or named here with what will provoke it."""
import glob
import json
import os
import re
import subprocess

import pytest

from support import EASEL, ROOT, clean_environment

# Codes whose cause is not built yet, and what will provoke them.  One that a test provokes must leave.
LATER = {
    "internal_error": "only a mistake in Easel itself",
}


def catalogue():
    with open(f"{ROOT}/shared/base/catalogue.h", encoding="utf-8") as f:
        rows = re.findall(r'^X\(ERR_\w+, (\d+), "(\w+)", "(\w+)", PARTY_(\w+), (\d),', f.read(), re.M)
    assert len(rows) > 40
    return {code: (int(status), kind, party.lower().replace("_", "-"), retry == "1")
            for status, kind, code, party, retry in rows}


def causes():
    with open(f"{ROOT}/shared/base/catalogue.h", encoding="utf-8") as f:
        return re.findall(r'^X\(CAUSE_\w+, ERR_\w+, "(\w+)"', f.read(), re.M)


def read_all(*patterns):
    text = ""
    for pattern in patterns:
        for path in glob.glob(f"{ROOT}/tests/{pattern}"):
            if os.path.basename(path) != os.path.basename(__file__):
                with open(path, encoding="utf-8") as f:
                    text += f.read()
    return text


PYTHON = read_all("system/test_*.py", "sdk/python/test_*.py", "sdk/node/*.mjs")
SHELL = read_all("test-*.sh")


def is_provoked(code):
    """An assertion on a code quotes it, behind its status where the word alone could be something else."""
    status = catalogue()[code][0]
    alone = code not in causes() and code not in ("not_found",)
    return bool(re.search(rf'{status}, "{code}"', PYTHON) or alone and f'"{code}"' in PYTHON or
                re.search(rf"\b{status} {code}\b", SHELL))


def explain(*arguments, code=0):
    done = subprocess.run([EASEL, "explain", *arguments], capture_output=True, text=True, env=clean_environment())
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_each_code_is_provoked_or_is_known_to_come_later(code):
    assert is_provoked(code) != (code in LATER)


def test_nothing_comes_later_that_is_not_in_the_catalogue():
    assert LATER.keys() <= catalogue().keys()


@pytest.mark.parametrize("cause", causes())
def test_each_cause_of_a_401_is_provoked(cause):
    assert re.search(rf'"{cause}"', PYTHON) or re.search(rf"\b{cause}\b", SHELL)


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_each_code_can_be_explained(code):
    status, kind, party, retry = catalogue()[code]
    row = json.loads(explain(code, "--json"))
    assert (row["code"], row["status"], row["type"], row["party"], row["retry"]) == (code, status, kind, party, retry)
    assert row["message"]["en"] and re.search(r"[\u4e00-\u9fff]", row["message"]["zh"])
    text = explain(code)
    assert code in text and str(status) in text


def test_a_cause_is_explained_where_it_is_one():
    missing = json.loads(explain("missing_bearer_token", "--json"))["causes"]
    invalid = json.loads(explain("invalid_api_key", "--json"))["causes"]
    assert set(missing) == {"header_absent", "wrong_scheme", "empty_token", "multiple_values", "in_query_only"}
    assert sorted(missing + invalid) == sorted(causes())
    page = explain("--markdown") + explain("missing_bearer_token") + explain("invalid_api_key")
    assert "{about}" not in page and "(<about>)" in page
    assert "f'Bearer {key}'" in page, "what is no place is left as it is"


def test_the_page_of_errors_has_each_code_once():
    page = explain("--markdown")
    for code in catalogue():
        assert page.count(f"## `{code}`\n") == 1


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_the_command_that_mends_it_exists(code):
    command = json.loads(explain(code, "--json"))["command"]
    if command:
        words = [w for w in command.split() if re.fullmatch("[a-z]+", w)]
        assert words[0] == "easel" and len(words) > 1 and "{" not in command, command
        done = subprocess.run([EASEL, *words[1:], "--help"], capture_output=True, text=True, env=clean_environment())
        assert done.returncode == 0 and words[-1] in done.stdout, command
        for option in re.findall("--[a-z]+", command):
            assert option in done.stdout, command
