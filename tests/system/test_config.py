"""The configuration: read strictly, said precisely, shown with its origins and without its secrets."""
import json
import os
import re
import shutil
import tempfile

import pytest

from support import ROOT, Easel, toml

SECRET = "sk-proj-thisIsTheProvidersSecretKey0123456789"
GOOD = {
    "server": {"listen": "127.0.0.1:0", "state_dir": "var"},
    "providers": {"relay": {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1",
                            "api_key": "${RELAY_KEY}"}},
    "models": {"Qwen/Qwen-Image": {"provider": "relay", "aliases": ["qwen"], "price": 0.25}},
}


@pytest.fixture
def installation():
    """A folder with a configuration that nothing serves."""
    easel = Easel(GOOD, env={"RELAY_KEY": SECRET}, start=False)
    yield easel
    shutil.rmtree(easel.folder)


def write(easel, text):
    with open(easel.file, "w") as f:
        f.write(text)


def show(easel, *more, env=None):
    return json.loads(easel.run("config", "show", "--origin", "--json", *more, env=env).stdout)


def rows(shown):
    """{"server.listen": (value, origin)} however the JSON is nested."""
    found = {}

    def walk(path, value):
        if isinstance(value, dict) and set(value) >= {"value", "origin"}:
            found[".".join(path)] = (value["value"], value["origin"])
        elif isinstance(value, dict):
            for k, v in value.items():
                walk(path + [k], v)
        elif isinstance(value, list):
            for v in value:
                if isinstance(v, dict) and "origin" in v:
                    name = v.get("key") or v.get("name") or v.get("setting")
                    found[name] = (v["value"], v["origin"])

    walk([], shown)
    return found


# ---- check ----

def test_a_good_file_is_fine(installation):
    done = installation.run("config", "check")
    assert "fine" in done.stdout and not done.stderr
    answer = json.loads(installation.run("config", "check", "--json").stdout)
    assert answer["ok"] is True and answer["models"] == 1 and answer["providers"] == 1


def test_no_file_at_all_is_fine():
    folder = tempfile.mkdtemp(prefix="easel-")
    try:
        easel = Easel(start=False)
        shutil.rmtree(easel.folder)
        easel.folder = folder
        assert easel.run("config", "check", config=False).returncode == 0
    finally:
        shutil.rmtree(folder)


# text, the line that is at fault (0: no line), what the complaint must hold
BAD = [
    ('[server]\nlissten = "127.0.0.1:1"\n', 2, "listen"),
    ('[server]\nlisten = 8080\n', 2, "listen"),
    ('[server]\nlisten = "8080"\n', 2, "HOST:PORT"),
    ('[sever]\nlisten = "127.0.0.1:1"\n', 1, "server"),
    ('[auth]\nrequired = "no"\n', 2, "required"),
    ('[auth]\n\nrequired = 0\n', 3, "required"),
    ('[limits]\njson_bytes = 32\n', 2, "json_bytes"),
    ('[limits]\njson_bytes = "32 apples"\n', 2, "json_bytes"),
    ('[limits]\nconcurrent = -1\n', 2, "concurrent"),
    ('[deadline]\nimages_generations = "120"\n', 2, "images_generations"),
    ('[deadline]\nimages_generations = "0s"\n', 2, "images_generations"),
    ('[deadline]\nprofile = "versel"\n', 2, "vercel"),
    ('[process]\nworkers = 0\n', 2, "workers"),
    ('[process.images-generation]\nworkers = 1\n', 1, "images-generations"),
    ('[log]\nlevel = "loud"\n', 2, "level"),
    ('[log]\nprompts = true\n', 2, "prompts"),
    ('[store]\nurl = "rediss://127.0.0.1/0"\n', 2, "rediss"),
    ('[files]\nurl = "/var/pictures"\n', 2, "file:"),
    ('[server]\ntls_certificate = "a.pem"\n', 2, "tls_key"),
    ('[server]\ncors_origins = "https://a.example"\n', 2, "cors_origins"),
    ('[server]\ncors_origins = ["https://a.example/path"]\n', 2, "cors_origins"),
    ('[server]\ntrusted_proxies = ["300.0.0.1"]\n', 2, "trusted_proxies"),
    ('[providers.x]\nbase_url = "http://127.0.0.1/v1"\n', 1, "dialect"),
    ('[providers.x]\ndialect = "opnai"\n', 2, "openai"),
    ('[providers.x]\ndialect = "openai"\nbase_url = "ftp://a/"\napi_key = "k"\n', 3, "http"),
    ('[providers.x]\ndialect = "openai"\napi_key = "k"\napi_kay = "k"\n', 4, "api_key"),
    ('[providers.x]\ndialect = "openai"\napi_key = "${NO_SUCH_VARIABLE}"\n', 3, "NO_SUCH_VARIABLE"),
    ('[providers.x]\ndialect = "openai"\napi_key = "file:no/such/file"\n', 3, "no/such/file"),
    ('[providers.x]\ndialect = "openai"\napi_key = ""\n', 0, "api_key"),
    ('[models.m]\nprovider = "nobody"\n', 2, "nobody"),
    ('[models.m]\ntype = "image"\n', 1, "provider"),
    ('[defaults]\nimage_model = "no-such-model"\n', 2, "no-such-model"),
    ('[server]\nlisten = "127.0.0.1:1"\nlisten = "127.0.0.1:2"\n', 3, ""),
    ('[server\n', 1, ""),
    ('[server]\nlisten = "127.0.0.1:1\n', 2, ""),
    ('listen = "127.0.0.1:1"\n', 1, "listen"),
    ('[server]\nlisten = "\xff"\n', 0, ""),
]


@pytest.mark.parametrize("text,line,word", BAD, ids=[repr(row[0][:60]) for row in BAD])
def test_what_is_wrong_is_said_with_file_and_line(installation, text, line, word):
    with open(installation.file, "wb") as f:
        f.write(text.encode("latin-1"))
    done = installation.run("config", "check", code=3)
    assert not done.stdout
    if line:
        assert f"easel.toml:{line}:" in done.stderr, done.stderr
    assert word in done.stderr, done.stderr
    # and `easel serve` does not start with it
    done = installation.run("serve", code=3)
    assert "ready" not in done.stdout and word in done.stderr


def test_every_problem_is_said_at_once(installation):
    write(installation, '[server]\nlissten = "x"\n[log]\nlevel = "loud"\n[nothing]\na = 1\n')
    said = installation.run("config", "check", code=3).stderr
    assert all(f"easel.toml:{n}:" in said for n in (2, 4, 5)), said


@pytest.mark.parametrize("path", ["/no/such/file.toml", "/"])
def test_a_file_that_cannot_be_read_is_said(installation, path):
    installation.file = path
    assert path in installation.run("config", "check", code=3).stderr


# ---- where values come from ----

def test_every_value_has_an_origin(installation):
    found = rows(show(installation))
    assert found["server.listen"][0] == "127.0.0.1:0" and "easel.toml:" in found["server.listen"][1]
    assert found["limits.concurrent"][0] == 1024 and "default" in found["limits.concurrent"][1]
    assert all(origin for _, origin in found.values())


def test_the_table_for_people_names_origins_too(installation):
    text = installation.run("config", "show", "--origin").stdout
    assert re.search(r"listen.*127\.0\.0\.1:0.*easel\.toml:\d+", text)
    assert re.search(r"concurrent.*1024.*default", text)
    assert "easel.toml" not in installation.run("config", "show").stdout.replace(installation.file, "")


@pytest.mark.parametrize("name,value,key,want", [
    ("EASEL_SERVER_LISTEN", "127.0.0.1:4711", "server.listen", "127.0.0.1:4711"),
    ("EASEL_LIMITS_CONCURRENT", "7", "limits.concurrent", 7),
    ("EASEL_AUTH_REQUIRED", "false", "auth.required", False),
    ("EASEL_DEADLINE_IMAGES_GENERATIONS", "20s", "deadline.images_generations", "20s"),
    ("EASEL_PROVIDERS_RELAY_BASE_URL", "http://127.0.0.1:10/v1", "providers.relay.base_url",
     "http://127.0.0.1:10/v1"),
])
def test_the_environment_wins(installation, name, value, key, want):
    got, origin = rows(show(installation, env={name: value}))[key]
    assert got == want and name in origin


@pytest.mark.parametrize("name,value", [
    ("EASEL_LIMITS_CONCURRENT", "many"), ("EASEL_AUTH_REQUIRED", "maybe"), ("EASEL_SERVER_LISTEN", "8080"),
])
def test_a_wrong_word_in_the_environment_is_said(installation, name, value):
    assert name in installation.run("config", "check", code=3, env={name: value}).stderr


def test_a_misspelt_variable_is_said(installation):
    done = installation.run("config", "check", code=None, env={"EASEL_SERVER_LISSTEN": "127.0.0.1:1"})
    assert "EASEL_SERVER_LISSTEN" in done.stderr


def test_easel_config_names_the_file(installation):
    other = os.path.join(installation.folder, "other.toml")
    with open(other, "w") as f:
        f.write(toml({"server": {"listen": "127.0.0.1:4712"}}))
    done = installation.run("config", "show", "--json", "--origin", config=False, env={"EASEL_CONFIG": other})
    assert rows(json.loads(done.stdout))["server.listen"][0] == "127.0.0.1:4712"


def test_the_file_in_the_folder_is_found(installation):
    done = installation.run("config", "show", "--json", "--origin", config=False)
    assert rows(json.loads(done.stdout))["server.listen"][0] == "127.0.0.1:0"


def test_relative_paths_are_relative_to_the_file(installation):
    other = os.path.join(installation.folder, "below")
    os.mkdir(other)
    installation.folder, folder = other, installation.folder
    try:
        checked = json.loads(installation.run("config", "check", "--json").stdout)
        assert checked["state_dir"] == os.path.join(folder, "var")
    finally:
        installation.folder = folder


# ---- secrets ----

@pytest.mark.parametrize("how", ["in the file", "from the environment", "from a file", "by override"])
def test_a_secret_is_masked_wherever_it_came_from(installation, how):
    env = {}
    if how == "from a file":
        path = os.path.join(installation.folder, "relay.key")
        with open(path, "w") as f:
            f.write(SECRET + "\n")
        installation.write_config({"providers": {"relay": {"api_key": "file:relay.key"}}})
    elif how == "in the file":
        installation.write_config({"providers": {"relay": {"api_key": SECRET}}})
    elif how == "by override":
        env = {"EASEL_PROVIDERS_RELAY_API_KEY": SECRET}
    for arguments in (["config", "show"], ["config", "show", "--origin"], ["config", "show", "--json"],
                      ["config", "show", "--origin", "--json"], ["config", "check"]):
        done = installation.run(*arguments, env=env)
        assert SECRET not in done.stdout + done.stderr
        assert SECRET[8:] not in done.stdout + done.stderr
    assert "api_key" in installation.run("config", "show", env=env).stdout


def test_a_secret_is_in_no_complaint(installation):
    write(installation, f'[providers.x]\ndialect = "openai"\nbase_url = "http://u:{SECRET}@h/v1"\n'
                        f'api_key = "{SECRET}"\ntoken = "{SECRET}"\n')
    assert SECRET not in installation.run("config", "check", code=3).stderr


# ---- the conventional variables ----

def without_file(*arguments, env, code=0):
    folder = tempfile.mkdtemp(prefix="easel-")
    try:
        easel = Easel(start=False)
        shutil.rmtree(easel.folder)
        easel.folder = folder
        return easel.run(*arguments, env=env, config=False, code=code)
    finally:
        shutil.rmtree(folder)


def test_openai_api_key_alone_makes_a_provider_and_a_model():
    shown = without_file("config", "show", env={"OPENAI_API_KEY": SECRET}).stdout
    assert "gpt-image-1" in shown and "openai" in shown and SECRET not in shown


def test_openai_model_is_a_warning_and_never_read():
    done = without_file("config", "check", env={"OPENAI_API_KEY": SECRET, "OPENAI_MODEL": "gpt-4o"})
    assert "OPENAI_MODEL" in done.stderr
    shown = without_file("config", "show", env={"OPENAI_API_KEY": SECRET, "OPENAI_MODEL": "gpt-4o"}).stdout
    assert "gpt-4o" not in shown


def test_the_conventional_image_model_and_base_url_are_read():
    shown = without_file("config", "show", env={
        "OPENAI_API_KEY": SECRET, "OPENAI_IMAGE_MODEL": "dall-e-3",
        "OPENAI_BASE_URL": "https://relay.example/v1"}).stdout
    assert "dall-e-3" in shown and "https://relay.example/v1" in shown


# ---- other commands ----

def test_the_reference_names_every_setting_once(installation):
    page = installation.run("config", "reference", config=False).stdout
    for setting in ("listen", "state_dir", "session_ttl", "image_bytes", "images_generations", "max_in_flight",
                    "image_ws_nsfw", "prompts", "upstream_model", "connect_timeout"):
        assert f"`{setting}`" in page, setting


@pytest.mark.parametrize("page,arguments", [
    ("settings.md", ["config", "reference"]), ("errors.md", ["explain", "--markdown"]),
    ("providers.md", ["providers", "reference"]),
])
def test_a_generated_page_is_the_one_in_docs(installation, page, arguments):
    with open(os.path.join(ROOT, "docs", page)) as f:
        written = f.read()
    assert installation.run(*arguments, config=False).stdout == written, "make docs writes it anew"


@pytest.mark.parametrize("arguments,code", [
    (["version"], 0), (["--version"], 0), (["--help"], 0), (["help"], 0), (["config", "--help"], 0),
    (["config", "check", "--help"], 0), ([], 2), (["srve"], 2), (["config"], 2), (["config", "chek"], 2),
    (["explain", "invalid_json"], 0), (["explain", "invalid_jsom"], 5), (["config", "check", "--jsn"], 2),
], ids=lambda v: " ".join(v) if isinstance(v, list) else str(v))
def test_commands_end_with_the_documented_status(installation, arguments, code):
    done = installation.run(*arguments, config=False, code=code)
    assert done.stdout if code == 0 else done.stderr and not done.stdout


def test_a_slip_of_the_pen_is_understood(installation):
    assert "serve" in installation.run("srve", config=False, code=2).stderr
    assert "invalid_json" in installation.run("explain", "invalid_jsom", config=False, code=5).stderr


@pytest.mark.parametrize("program", ["images-generations", "models", "health", "fallback"])
def test_a_program_tells_its_routes_and_checks_its_settings(installation, program):
    import subprocess

    from support import BUILD
    path = f"{BUILD}/handlers/{program}"
    help_text = subprocess.run([path, "--help"], capture_output=True, text=True, env=installation.env)
    assert help_text.returncode == 0 and "/" in help_text.stdout and program in help_text.stdout
    env = {**installation.env, "EASEL_CONFIG": installation.file}
    assert subprocess.run([path, "--check"], env=env, capture_output=True).returncode == 0
    write(installation, '[server]\nlissten = "x"\n')
    bad = subprocess.run([path, "--check"], env=env, capture_output=True, text=True)
    assert bad.returncode == 78 and "easel.toml:2:" in bad.stderr
