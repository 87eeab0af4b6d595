"""`easel serve` with a certificate: HTTPS, HTTP/2, and what is said of a certificate that is none."""
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

import pytest

from shell import run_shell_test
from support import EASEL, SLOW, Easel, merge, sim_config, wait_until

from sim import certs


@pytest.fixture(scope="module")
def pki():
    """A folder with ca.crt, and NAME.crt with NAME.key."""
    folder = tempfile.mkdtemp(prefix="easel-pki-")
    certs.make(folder)
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes-256-cbc",
                    "-pass", "pass:secret", "-out", f"{folder}/encrypted.key"], check=True, capture_output=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", f"{folder}/weak.key",
                    "-out", f"{folder}/weak.crt", "-days", "30", "-subj", "/CN=weak"], check=True, capture_output=True)
    with open(f"{folder}/empty.pem", "w"):
        pass
    yield folder
    shutil.rmtree(folder)


def tls_config(pki, name="server", key=None):
    return {"server": {"tls_certificate": f"{pki}/{name}.crt", "tls_key": key or f"{pki}/{name}.key"}}


@pytest.fixture(scope="module")
def easel(pki, start_easel, sim):
    return start_easel(merge(sim_config(sim), tls_config(pki)))


def context(pki, **more):
    c = ssl.create_default_context(cafile=f"{pki}/ca.crt")
    for name, value in more.items():
        setattr(c, name, value)
    return c


def handshake(easel, c, alpn=()):
    """(TLS version, protocol chosen, the server's certificate)"""
    where = urllib.parse.urlsplit(easel.url)
    if alpn:
        c.set_alpn_protocols(list(alpn))
    with socket.create_connection((where.hostname, where.port), 10 * SLOW) as s:
        with c.wrap_socket(s, server_hostname=where.hostname) as tls:
            return tls.version(), tls.selected_alpn_protocol(), tls.getpeercert()


def curl(easel, pki, *arguments):
    """(status, HTTP version, body)"""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--cacert", f"{pki}/ca.crt", "--max-time", "60",
         "--write-out", "\n%{http_code} %{http_version}", *arguments], capture_output=True, text=True,
        input=f'header = "Authorization: Bearer {easel.key}"\n')
    assert done.returncode == 0, done.stderr
    body, _, last = done.stdout.rpartition("\n")
    return (*last.split(), body)


def test_the_ready_line_is_https(easel):
    assert easel.url.startswith("https://127.0.0.1:"), easel.url
    assert f"ready on {easel.url}" in easel.log()


def test_python_speaks_to_it(easel, pki):
    where = urllib.parse.urlsplit(easel.url)
    connection = http.client.HTTPSConnection(where.hostname, where.port, context=context(pki), timeout=30 * SLOW)
    try:
        connection.request("POST", "/v1/images/generations", b'{"prompt":"a panda","response_format":"url"}',
                           {"Authorization": f"Bearer {easel.key}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert answer.status == 200, body
        assert body["data"][0]["url"].startswith(easel.url + "/files/"), "the programs know that it is TLS"
        connection.request("GET", urllib.parse.urlsplit(body["data"][0]["url"]).path)
        assert connection.getresponse().read().startswith(b"\x89PNG")
    finally:
        connection.close()


@pytest.mark.parametrize("flag, version", [("--http2", "2"), ("--http1.1", "1.1")])
def test_curl_speaks_to_it(easel, pki, flag, version):
    status, spoken, body = curl(easel, pki, flag, "--config", "-", f"{easel.url}/v1/models")
    assert (status, spoken) == ("200", version) and json.loads(body)["object"] == "list"


def test_http2_carries_a_picture_and_many_requests_at_once(easel, pki):
    urls = [f"{easel.url}/v1/models/gpt-image-1?{i}" for i in range(20)]
    out = [x for u in urls for x in ("--output", "/dev/null", u)]
    done = subprocess.run(["curl", "--silent", "--show-error", "--cacert", f"{pki}/ca.crt", "--http2", "--parallel",
                           "--write-out", "%{http_code} %{http_version} %{num_connects}\n", "--config", "-", *out],
                          capture_output=True, text=True, input=f'header = "Authorization: Bearer {easel.key}"\n')
    lines = done.stdout.split("\n")[:-1]
    assert len(lines) == 20 and all(line.startswith("200 2 ") for line in lines), done
    body = '{"prompt":"a panda","response_format":"b64_json"}'
    status, spoken, answer = curl(easel, pki, "--http2", "--config", "-", "--json", body,
                                  f"{easel.url}/v1/images/generations")
    assert (status, spoken) == ("200", "2") and json.loads(answer)["data"][0]["b64_json"].startswith("iVBOR")


def test_alpn(easel, pki):
    assert handshake(easel, context(pki), ("h2", "http/1.1"))[1] == "h2"
    assert handshake(easel, context(pki), ("http/1.1",))[1] == "http/1.1"
    assert handshake(easel, context(pki))[1] is None


def test_no_version_below_tls_1_2(easel, pki):
    assert handshake(easel, context(pki))[0] == "TLSv1.3"
    assert handshake(easel, context(pki, maximum_version=ssl.TLSVersion.TLSv1_2))[0] == "TLSv1.2"
    where = urllib.parse.urlsplit(easel.url)
    for version in ("tls1", "tls1_1"):
        # This machine's OpenSSL must be willing itself: security level 0.
        done = subprocess.run(["openssl", "s_client", "-connect", where.netloc, f"-{version}",
                               "-cipher", "DEFAULT@SECLEVEL=0"], input=b"", capture_output=True, timeout=20 * SLOW)
        said = done.stdout + done.stderr
        assert done.returncode != 0 and b"alert protocol version" in said, said[-1500:]


def test_clear_text_is_refused(easel):
    where = urllib.parse.urlsplit(easel.url)
    with socket.create_connection((where.hostname, where.port), 10 * SLOW) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        s.settimeout(20 * SLOW)
        try:
            got = s.recv(4096)
        except ConnectionResetError:
            got = b""
    assert b" 200 " not in got, got


@pytest.mark.parametrize("name", ["test-models.sh", "test-images.sh"])
def test_the_shell_tests_pass_over_tls(easel, pki, name):
    run_shell_test(name, easel.url, easel.key_file, {"CURL_CA_BUNDLE": f"{pki}/ca.crt"})


def test_the_web_server_is_restarted_with_tls_too(easel, pki):
    pid = next(p.pid for p in easel.tree() if p.name == "lighttpd")
    os.kill(pid, 9)

    def answered():
        try:
            return curl(easel, pki, f"{easel.url}/healthz")[0] == "200"
        except AssertionError:
            return False

    wait_until(answered, 10, "an answer over TLS")


# ---- what it is told that is wrong ----

WRONG = {
    # what: (certificate, key, words)
    "a certificate that is not there": ("nowhere.crt", "server.key", r"tls_certificate: \S*nowhere\.crt: No such file"),
    "a key that is not there": ("server.crt", "nowhere.key", r"tls_key: \S*nowhere\.key: No such file"),
    "a folder": (".", "server.key", r"tls_certificate: .*no usable certificate"),
    "an empty file": ("empty.pem", "server.key", r"tls_certificate: \S*empty\.pem: .*no usable certificate"),
    "the key in place of the certificate": ("server.key", "server.key", r"tls_certificate: .*no usable certificate"),
    "the certificate in place of the key": ("server.crt", "server.crt", r"tls_key: .*no usable private key"),
    "another certificate's key": ("server.crt", "self-signed.key", r"tls_key: .*(does not belong|mismatch)"),
    "a key with a pass phrase": ("server.crt", "encrypted.key", r"tls_key: .*encrypted.*openssl pkey"),
    "a key that is too short": ("weak.crt", "weak.key", r"tls_certificate: .*too small"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_used_is_said(pki, what):
    certificate, key, words = WRONG[what]
    easel = Easel({"server": {"tls_certificate": f"{pki}/{certificate}", "tls_key": f"{pki}/{key}"}}, start=False)
    try:
        start = time.monotonic()
        done = subprocess.run([EASEL, "serve", "--config", easel.file], capture_output=True, text=True,
                              env=easel.env, stdin=subprocess.DEVNULL, timeout=20 * SLOW)
        assert done.returncode == 3 and not done.stdout, done
        assert re.search(words, done.stderr), done.stderr
        assert "PRIVATE KEY" not in done.stderr
        assert time.monotonic() - start < 5 * SLOW
        done = easel.run("config", "check", code=3)
        assert re.search(words, done.stderr), done.stderr
    finally:
        easel.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_that_may_not_be_read_is_said(pki):
    """By a user who may not; the folder's program is the one that was built."""
    from test_apache import USER, installed
    import pwd
    user, folder = pwd.getpwnam(USER), tempfile.mkdtemp(prefix="easel-bin-")
    os.chmod(pki, 0o755)
    easel = Easel(tls_config(pki), start=False, command=[
        "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", installed(folder)])
    try:
        os.chown(easel.folder, user.pw_uid, user.pw_gid)
        done = easel.run("serve", code=3)
        assert re.search(r"tls_key: \S*server\.key: Permission denied", done.stderr), done.stderr
    finally:
        easel.kill()
        shutil.rmtree(folder)


@pytest.mark.parametrize("one", ["tls_certificate", "tls_key"])
def test_one_without_the_other_is_refused(pki, one):
    easel = Easel({"server": {one: f"{pki}/server.crt"}}, start=False)
    try:
        done = easel.run("serve", code=3)
        assert "tls_certificate" in done.stderr and "tls_key" in done.stderr, done.stderr
    finally:
        easel.kill()


def test_an_expired_certificate_is_served_and_warned_of(pki, start_easel):
    easel = start_easel(tls_config(pki, "expired"))
    assert "expired.crt has expired" in easel.log()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(easel, context(pki))


def test_paths_are_relative_to_the_configuration(pki, start_easel):
    easel = Easel(start=False)
    try:
        for name in ("server.crt", "server.key"):
            shutil.copy(f"{pki}/{name}", easel.folder)
        easel.write_config({"server": {"tls_certificate": "server.crt", "tls_key": "server.key"}})
        easel.start()
        assert handshake(easel, context(pki))[0] == "TLSv1.3"
        easel.stop()
    finally:
        easel.kill()
