"""The command line."""
import argparse
import asyncio
import ctypes
import os
import signal
import sys

from . import certs, faults, server

PR_SET_PDEATHSIG = 1


def main(argv=None):
    parser = argparse.ArgumentParser(prog="provider-sim", description="A provider of pictures that fails on request.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--ready-file", metavar="F", help="gets the same line as standard output")
    parser.add_argument("--tls-cert", metavar="C", help="speak HTTPS")
    parser.add_argument("--tls-key", metavar="K")
    parser.add_argument("--tls-version", choices=("1.0", "1.1", "1.2", "1.3"), help="this one only")
    parser.add_argument("--dialect", default="openai", help="which one answers at the root (default openai)")
    parser.add_argument("--detached", action="store_true", help="outlive the process that started it")
    parser.add_argument("--make-cert", metavar="DIR", help="make a CA and certificates, good and bad, and end")
    parser.add_argument("--list-faults", action="store_true", help="print every fault's word and end")
    options = parser.parse_args(argv)
    if bool(options.tls_cert) != bool(options.tls_key):
        parser.error("--tls-cert and --tls-key go together")
    if options.list_faults:
        print("\n".join(sorted(faults.WORDS)))
        return 0
    if options.make_cert:
        certs.make(options.make_cert)
        return 0
    if not options.detached:
        die_with_parent()
    try:
        asyncio.run(server.run(options, lambda url: announce(url, options.ready_file)))
    except (OSError, KeyError) as e:
        print(f"provider-sim: {e}", file=sys.stderr)
        return 1
    return 0


def die_with_parent():
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(0)  # it died before we had asked


def announce(url, ready_file):
    line = f"ready {url}\n"
    if ready_file:
        with open(ready_file + ".new", "w", encoding="ascii") as f:
            f.write(line)
        os.rename(ready_file + ".new", ready_file)
    try:
        sys.stdout.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # nobody reads it; the ready file says it too
