"""The plain shell tests, run against a deployment that a test of this folder has started."""
import os
import re
import subprocess

from support import ROOT, SLOW

# Those that hold for every deployment, whatever the web server.
ANYWHERE = ("test-auth.sh", "test-images.sh", "test-limits.sh", "test-models.sh", "test-modelscope.sh", "test-paths.sh",
            "test-timeouts.sh")


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
