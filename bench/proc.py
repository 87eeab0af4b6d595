"""Processes: starting them so that they end with us, and what they cost."""

import ctypes
import os
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
END_S = 15.0
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """A child; everything below it counts as part of it."""

    def __init__(self, argv, log, env=None, cwd=None):
        self.name = os.path.basename(argv[0])
        self.log = log
        with open(log, "ab") as err:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, env=env,
                cwd=cwd, preexec_fn=_die_with_parent, text=True)

    @property
    def pid(self):
        return self.popen.pid

    def read_line(self, starts):
        """The first line of its standard output that starts so; it said it is ready."""
        for line in self.popen.stdout:
            if line.startswith(starts):
                return line.strip()
        raise RuntimeError(f"{self.name} ended before it was ready:\n{self.last_words()}")

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def alive(self):
        return self.popen.poll() is None

    def end(self):
        if not self.alive():
            self.popen.stdout.close()
            return
        below = pids(self.pid)
        self.popen.terminate()
        try:
            self.popen.wait(END_S)
        except subprocess.TimeoutExpired:
            for pid in below:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.popen.wait()
        self.popen.stdout.close()


def _parents():
    parent = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                parent[int(name)] = int(f.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            pass
    return parent


def pids(root):
    """root and every process below it."""
    parent = _parents()
    found = {root}
    grown = True
    while grown:
        more = {p for p, up in parent.items() if up in found} - found
        found |= more
        grown = bool(more)
    return sorted(found)


def cpu_ns(root):
    """CPU time by process, and that of its reaped children (in ticks only)."""
    total = {}
    for pid in pids(root):
        try:
            # clock_getcpuclockid(3): ~pid << 3, CPUCLOCK_SCHED; it has its ended threads too.
            own = time.clock_gettime_ns((~pid << 3) | 2)
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
            total[pid] = own, (int(fields[13]) + int(fields[14])) * TICK_NS
        except OSError:
            pass
    return total


def cpu_between(before, after):
    """What was spent between two cpu_ns().  A process that ended meanwhile (workers retire) is found
    among its parent's reaped children, with all of its life."""
    spent = sum(own - before.get(pid, (0, 0))[0] for pid, (own, _) in after.items())
    gone = before.keys() - after.keys()
    if gone:
        spent += sum(reaped - before.get(pid, (0, 0))[1] for pid, (_, reaped) in after.items())
        spent -= sum(sum(before[pid]) for pid in gone)
    return spent


def pss_kb(root, by_name=None):
    """Proportional set size of root and all below it, kB."""
    total = 0
    for pid in pids(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                kb = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            if by_name is not None:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
                    comm = f.read().strip()
                by_name[comm] = by_name.get(comm, 0) + kb
            total += kb
        except (OSError, StopIteration):
            pass
    return total
