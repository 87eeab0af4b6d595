"""--make-cert: a certificate authority and four servers' certificates, one good and three bad."""
import os
import subprocess
import tempfile

GOOD = "DNS:localhost,IP:127.0.0.1,IP:::1"
# name: (subject alternative names, first day, last day); the days as openssl writes them
CERTS = {
    "server": (GOOD, None, None),
    "expired": (GOOD, "20200101000000Z", "20200201000000Z"),
    "wrong-host": ("DNS:images.example.com", None, None),
}

CONFIG = """
[ca]
default_ca = sim
[sim]
new_certs_dir = .
database = index.txt
serial = serial
default_md = sha256
policy = any
copy_extensions = copy
default_days = 3650
unique_subject = no
[any]
commonName = supplied
"""


def openssl(folder, *arguments):
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")


def new_key(*names):
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", names[0], "-out", names[1])


def make(folder):
    """ca.crt, and NAME.crt with NAME.key for server, expired, wrong-host and self-signed."""
    os.makedirs(folder, exist_ok=True)
    folder = os.path.abspath(folder)
    openssl(folder, "req", "-x509", *new_key("ca.key", "ca.crt"), "-days", "3650", "-subj", "/CN=provider-sim CA",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(folder, "req", "-x509", *new_key("self-signed.key", "self-signed.crt"), "-days", "3650",
            "-subj", "/CN=localhost", "-addext", f"subjectAltName={GOOD}")
    with tempfile.TemporaryDirectory() as work:
        for name, text in (("ca.cnf", CONFIG), ("index.txt", ""), ("serial", "1000\n")):
            with open(os.path.join(work, name), "w", encoding="ascii") as f:
                f.write(text)
        for name, (names, first, last) in CERTS.items():
            key, cert = (os.path.join(folder, f"{name}.{end}") for end in ("key", "crt"))
            openssl(work, "req", "-new", *new_key(key, "request.csr"), "-subj", f"/CN={name}.sim",
                    "-addext", f"subjectAltName={names}", "-addext", "extendedKeyUsage=serverAuth")
            openssl(work, "ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", os.path.join(folder, "ca.crt"),
                    "-keyfile", os.path.join(folder, "ca.key"), "-in", "request.csr", "-out", cert,
                    *(("-startdate", first, "-enddate", last) if first else ()))
    for name in os.listdir(folder):
        if name.endswith(".key"):
            os.chmod(os.path.join(folder, name), 0o600)
