"""The READMEs: what they tell people to type works as it stands."""
import json
import os
import re
import shutil
import subprocess

import pytest

from sim.pictures import png
from support import BUILD, ROOT, SLOW, clean_environment, expect_error, wait_until

LANGUAGES = ("README.md", "README.zh-CN.md")


def blocks(name):
    """[(language, text)] of the fenced blocks."""
    with open(f"{ROOT}/{name}", encoding="utf-8") as f:
        return re.findall(r"^```(\w*)\n(.*?)^```$", f.read(), re.M | re.S)


def block(name, language, word=""):
    found = [text for lang, text in blocks(name) if lang == language and word in text]
    assert found, f"{name} has no {language} block with {word!r}"
    return found[0]


@pytest.fixture(scope="module")
def easel(start_easel):
    """Served as `make run` leaves it: the key in var/first.key."""
    easel = start_easel()
    shutil.copy(easel.key_file, f"{easel.state}/first.key")
    return easel


def at_home(easel, text):
    """The text with the installation's own address in it."""
    assert "http://127.0.0.1:8080" in text
    return text.replace("http://127.0.0.1:8080", easel.url)


def run(easel, argv, text=None, folder=None):
    done = subprocess.run(argv, input=text, capture_output=True, text=True, cwd=folder or easel.folder,
                          env=clean_environment({"HOME": easel.folder}), timeout=60 * SLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_curl_line_makes_the_picture_it_shows(easel, name):
    answer = json.loads(run(easel, ["sh", "-eu"], at_home(easel, block(name, "sh", "curl"))))
    shown = json.loads(block(name, "json", '"created"'))
    assert answer.keys() == shown.keys()
    assert answer["size"] == shown["size"] and answer["output_format"] == shown["output_format"]
    assert [d.keys() for d in answer["data"]] == [d.keys() for d in shown["data"]]
    assert len(answer["data"][0]["url"]) - len(easel.url) == len(shown["data"][0]["url"]) - len("http://127.0.0.1:8080")
    assert easel.stored(answer["data"][0]["url"])


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_curl_line_of_chat_makes_a_picture(easel, name):
    answer = json.loads(run(easel, ["sh", "-eu"], at_home(easel, block(name, "sh", "chat/completions"))))
    assert easel.stored(answer["choices"][0]["message"]["images"][0]["image_url"]["url"])


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_python_lines_run(easel, name):
    said = run(easel, [f"{ROOT}/tests/.venv/bin/python", "-"], at_home(easel, block(name, "python")))
    assert easel.stored(said.strip())


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_lines_that_edit_a_picture_do(easel, name):
    with open(f"{easel.folder}/panda.png", "wb") as f:
        f.write(png(1, 300, 200))
    answer = json.loads(run(easel, ["sh", "-eu"], at_home(easel, block(name, "sh", "/images/edits"))))
    assert answer["size"] == "300x200" and easel.stored(answer["data"][0]["url"])
    said = run(easel, [f"{ROOT}/tests/.venv/bin/python", "-"], at_home(easel, block(name, "python", "images.edit")))
    assert easel.stored(said.strip())


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_javascript_lines_run(easel, name):
    # A module finds its packages from where it lies.
    link = f"{easel.folder}/node_modules"
    if not os.path.exists(link):
        os.symlink(f"{ROOT}/tests/sdk/node_modules", link)
    script = f"{easel.folder}/readme.mjs"
    with open(script, "w", encoding="utf-8") as f:
        f.write(at_home(easel, block(name, "js")))
    assert int(run(easel, ["node", script]).strip()) > 1000


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_lines_that_make_a_task_follow_it_to_its_end(easel, name):
    said = run(easel, ["sh", "-eu"], at_home(easel, block(name, "sh", "/v1/tasks")))
    events = re.findall(r"^event: (\w+)\ndata: (.*)$", said, re.M)
    assert [kind for kind, _ in events][::len(events) - 1] == ["task", "done"], said
    task = json.loads(events[-1][1])
    assert task["status"] == "SUCCESS" and easel.stored(task["images"][0]["url"]), task


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_lines_that_read_a_webhook_do(easel, name):
    secret = easel.run("config", "webhook-secret").stdout.strip()
    text = block(name, "python", "standardwebhooks").replace("whsec_...", secret) + """
import datetime, sys
sign = Webhook(sys.argv[1]).sign
when, body = datetime.datetime.now(datetime.timezone.utc), '{"type":"task.succeeded","data":{"id":"task_1"}}'
headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(when.timestamp())), "webhook-signature": sign("msg_1", when, body)}
received(headers, body)
"""
    assert run(easel, [f"{ROOT}/tests/.venv/bin/python", "-", secret], text) == "task.succeeded task_1\n"


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_older_services_line_is_taken_in(easel, name):
    answer = json.loads(run(easel, ["sh", "-eu"], at_home(easel, block(name, "sh", "/generate"))))
    assert answer == {"success": True, "task_id": answer["task_id"], "message": "图像生成任务已提交"}
    wait_until(lambda: easel.get("/task_status/" + answer["task_id"]).json["done"], 20, "its end")
    end = easel.get("/task_status/" + answer["task_id"]).json
    assert end["success"] is True and end["image_url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_configuration_is_a_good_one(easel, tmp_path, name):
    file = tmp_path / "easel.toml"
    file.write_text(block(name, "toml"), encoding="utf-8")
    done = easel.run("config", "check", "--config", str(file), "--json", config=False,
                     env={"OPENAI_API_KEY": "sk-proj-0123456789abcdef"})
    assert json.loads(done.stdout)["ok"] and not done.stderr


@pytest.mark.parametrize("name", LANGUAGES)
def test_an_error_has_the_members_that_are_shown(easel, name):
    shown = json.loads(block(name, "json", '"error"'))["error"]
    error = expect_error(easel.post("/v1/images/generations", {"prompt": 7}), 400, "invalid_type", param="prompt")
    assert shown.keys() <= error.keys(), shown.keys() - error.keys()
    assert shown["hint"].keys() == error["hint"].keys()


@pytest.mark.parametrize("name", LANGUAGES)
def test_commands_that_are_named_exist(easel, name):
    with open(f"{ROOT}/{name}", encoding="utf-8") as f:
        text = f.read()
    commands = set(re.findall(r"build/easel ((?:[a-z]+(?:-[a-z]+)* ?){1,2})", text))
    assert commands
    for command in commands:
        run(easel, [f"{BUILD}/easel", *command.split(), "--help"])
    targets = {a or b for a, b in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", text, re.M)}
    with open(f"{ROOT}/Makefile", encoding="utf-8") as f:
        there = set(re.findall(r"^([a-z-]+):", f.read(), re.M))
    assert targets and targets <= there, targets - there


@pytest.mark.parametrize("name", LANGUAGES)
def test_files_that_are_linked_exist(name):
    with open(f"{ROOT}/{name}", encoding="utf-8") as f:
        links = re.findall(r"\]\(([^)#:]+)\)", f.read())
    assert links
    for link in links:
        assert os.path.exists(f"{ROOT}/{link}"), link


def test_both_languages_say_the_same_commands():
    """Comments and prompts are translated; what is typed is not."""
    def typed(name):
        text = [(lang, re.sub(r"#.*|//.*", "", code)) for lang, code in blocks(name) if lang in ("sh", "toml", "python", "js")]
        return [(lang, re.sub(r'"prompt": "[^"]*"|prompt="[^"]*"|prompt: "[^"]*"|prompt=[^"]*', "PROMPT", code).split()) for lang, code in text]

    assert typed(LANGUAGES[0]) == typed(LANGUAGES[1])


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_login_it_shows_gives_a_session(easel, name):
    text = block(name, "sh", "/login")
    email, password = re.search(r'"email": "(.+?)", "password": "(.+?)"', text).groups()
    easel.run("users", "add", email, stdin=password, code=None)
    answer = json.loads(run(easel, ["sh", "-eu"], at_home(easel, text)))
    assert answer["user"]["email"] == email
    assert easel.get("/login", key=answer["token"]).json["credential"]["kind"] == "session"
