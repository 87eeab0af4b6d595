"""The plain shell tests, run against a deployment that a test of this folder has started."""
import os
import re
import subprocess

from support import NOVELAI_TOKEN, ROOT, SLOW

# Those that hold for every deployment, whatever the web server.
ANYWHERE = ("test-auth.sh", "test-chat-image.sh", "test-edits.sh", "test-grok.sh", "test-handoff.sh", "test-idempotency.sh",
            "test-images.sh", "test-limits.sh", "test-login.sh", "test-models.sh", "test-modelscope.sh", "test-novelai.sh",
            "test-paths.sh", "test-stream.sh", "test-task-create.sh", "test-timeouts.sh")
SLOW_FAULT = "delay=3"  # with it a deployment's models have what SHELL_ENV names
SHELL_ENV = {"SLOW_MODEL": f"gpt-image-1@{SLOW_FAULT}"}
SHELL_CONFIG = {"limits": {"requests_per_minute": 120, "images_per_day": 100_000},
                "deadline": {"grace": f"{30 * SLOW}s"}}


def shell_key(easel, name):
    """The file of a key of that test's own: one of them uses it up."""
    if not name:
        return easel.key_file
    file = os.path.join(easel.folder, name + ".key")
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write(easel.run("keys", "create", "--name", name).stdout)
    return file


def shell_env(easel):
    """What the tests are told of a deployment beside its key: slow models, a user who can log in, an account."""
    file = os.path.join(easel.folder, "user.password")
    if not os.path.exists(file):
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write("shell \\ test \" password\n")
        with open(file) as f:
            easel.run("users", "add", "shell@example.com", stdin=f.read())
    account = os.path.join(easel.folder, "novelai.token")
    with open(os.open(account, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write(NOVELAI_TOKEN + "-of-a-caller\n")
    return {**SHELL_ENV, "EASEL_EMAIL": "shell@example.com", "EASEL_PASSWORD_FILE": file,
            "NOVELAI_TOKEN_FILE": account}


def run_shell_test(name, url, key_file, env=None):
    """tests/NAME; each of its checks must pass, or say why it was skipped."""
    done = subprocess.run(
        [os.path.join(ROOT, "tests", name)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300 * SLOW, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "BASE_URL": url,
                                 "API_KEY_FILE": key_file, **(env or {})})
    lines = done.stdout.splitlines()
    failed = re.findall(r"^not ok .*(?:\n#.*)*", done.stdout, re.M)
    assert not failed, f"{len(failed)} of {name}:\n" + "\n".join(failed[:8])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    passed = [line for line in lines if line.startswith("ok ")]
    assert passed and lines[-1] == f"1..{len(passed)}", f"{name} broke off: {lines[-3:]} {done.stderr}"
