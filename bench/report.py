"""Figures beside what they must be."""

from measure import median

# The floor; bench/README.md says where each comes from.
MUST_RPS = 0.65
MUST_ADDED_US = 50
MUST_CPU_B64 = 1.5
MUST_CPU_URL = 1.3
MUST_IDLE_KB = 40 * 1024
MUST_WAIT_KB = {"http": 55, "https": 135}
MUST_BURST_KB = 100 * 1024
MUST_COLD_MS = 7
MUST_STACK_MS = 100
MUST_GROWTH = 0.8


class Report:
    def __init__(self):
        self.rows = []
        self.missed = 0

    def judge(self, what, value, text, must, good):
        verdict = "n/a" if value is None else "PASS" if good else "MISS"
        self.missed += verdict == "MISS"
        self.rows.append((what, text if value is not None else "-", must, verdict))

    def at_most(self, what, value, limit, form="{:.2f}"):
        self.judge(what, value, form.format(value) if value is not None else "-",
                   "<= " + form.format(limit), value is not None and value <= limit)

    def at_least(self, what, value, limit, form="{:.2f}"):
        self.judge(what, value, form.format(value) if value is not None else "-",
                   ">= " + form.format(limit), value is not None and value >= limit)

    def text(self):
        return table(("measure", "measured", "must", ""), self.rows)


def table(head, rows):
    rows = [tuple(str(c) for c in row) for row in rows]
    width = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                       for i, (c, w) in enumerate(zip(r, width))).rstrip() for r in [head, *rows]]
    return "\n".join([lines[0], "  ".join("-" * w for w in width), *lines[1:]])


def ratio(runs, size, name, over, connections, field):
    """The median of the ratios within each round, or None."""
    a, b = runs.get((size, name, connections)), runs.get((size, over, connections))
    if not a or not b:
        return None
    return median([x[field] / y[field] if x["ok"] and y[field] else None for x, y in zip(a, b)])


def speed_table(runs):
    rows = []
    for (size, name, connections), got in runs.items():
        def mid(field, got=got):
            return median([g[field] for g in got])
        def against(peer, field, key=(size, name, connections)):
            r = ratio(runs, key[0], key[1], peer, key[2], field)
            return f"{r:.2f}" if r and key[1] != peer else ""
        cpu = mid("cpu_us")
        rows.append((size, connections, name, f"{mid('rps'):,.0f}", f"{mid('p50_us'):,.0f}",
                     f"{mid('p99_us'):,.0f}", f"{cpu:,.1f}" if cpu is not None else "",
                     against("lighttpd", "rps"), against("nginx", "rps"),
                     against("lighttpd", "cpu_us") if cpu is not None else "",
                     against("nginx", "cpu_us") if cpu is not None else "",
                     sum(g["errors"] + g["unfinished"] for g in got) or ""))
    return table(("picture", "conn.", "target", "req/s", "p50 us", "p99 us", "CPU us/req",
                  "req/s:lighttpd", ":nginx", "CPU:lighttpd", ":nginx", "errors"), rows)


def judge_speed(report, runs, levels, formats):
    for fmt in formats:
        for c in levels:
            report.at_least(f"1 KB {fmt}, {c} connections: req/s : mod_proxy",
                            ratio(runs, "small", f"easel {fmt}", "lighttpd", c, "rps"), MUST_RPS)
    one, direct = runs.get(("small", "easel b64_json", 1)), runs.get(("small", "direct", 1))
    added = median([a["p50_us"] - b["p50_us"] for a, b in zip(one, direct)]) if one and direct \
        else None
    report.at_most("1 KB b64_json, 1 connection: p50 over direct, us", added, MUST_ADDED_US,
                   "{:.0f}")
    for fmt in formats:
        growth = None
        if {32, 128} <= set(levels):
            name = f"easel {fmt}"
            a, b = runs.get(("small", name, 128)), runs.get(("small", name, 32))
            growth = median([x["rps"] for x in a]) / median([x["rps"] for x in b]) \
                if a and b and median([x["rps"] for x in b]) else None
        report.at_least(f"1 KB {fmt}: req/s at 128 : at 32 connections", growth, MUST_GROWTH)
    for fmt, limit in (("b64_json", MUST_CPU_B64), ("url", MUST_CPU_URL)):
        for c in levels:
            if fmt in formats:
                report.at_most(f"2 MB {fmt}, {c} connections: CPU : mod_proxy",
                               ratio(runs, "large", f"easel {fmt}", "lighttpd", c, "cpu_us"),
                               limit)
    errors = sum(r["errors"] + r["unfinished"] for (_, name, _), got in runs.items()
                 if name.startswith("easel") for r in got)
    report.at_most("answers that were not 200", errors if one else None, 0, "{:.0f}")


def judge_memory(report, memory):
    idle = memory.get("idle")
    report.at_most("idle: PSS of lighttpd and all programs, kB",
                   idle["total_kb"] if idle else None, MUST_IDLE_KB, "{:,.0f}")
    for kind, limit in MUST_WAIT_KB.items():
        got = memory.get(kind)
        good = got and not got["errors"]
        report.at_most(f"{got['n'] if got else 'many'} waiting {kind.upper()} requests: kB each",
                       got["kb_per_request"] if good else None, limit, "{:.1f}")
        if got and not good:
            report.judge(f"waiting {kind.upper()}: failed requests (status "
                         f"{got['bad_status']})", 1, str(got["errors"]), "0", False)
    for size, door in (("burst", "HTTP"), ("burst-ws", "WebSocket")):
        for fmt in ("b64_json", "url"):
            judge_burst(report, memory.get((size, fmt)), f"{door}, {fmt}")


def judge_burst(report, got, what):
    report.judge(f"burst of {got['n'] if got else 200} x 2 MB, {what}: peak PSS, kB",
                 got["peak_kb"] if got else None, f"{got['peak_kb']:,}" if got else "-",
                 f"<= {MUST_BURST_KB:,}",
                 got and not got["errors"] and got["peak_kb"] <= MUST_BURST_KB)
    if got and got["errors"]:
        report.judge(f"burst, {what}: failed requests (status {got['bad_status']})", 1,
                     str(got["errors"]), "0", False)


def judge_cold(report, cold, stack):
    for (name, kind), got in (cold or {}).items():
        if kind == "fastcgi":
            report.judge(f"{name}: exec to first answer ({got['status']}), ms", got["ms"],
                         f"{got['ms']:.2f}", f"<= {MUST_COLD_MS:.2f}",
                         got["good"] and got["ms"] <= MUST_COLD_MS)
    report.at_most("easel serve: exec to first answer, ms",
                   stack["answer_ms"] if stack else None, MUST_STACK_MS, "{:.0f}")


def memory_table(memory):
    rows = []
    for kind in ("http", "https", "lighttpd", "nginx"):
        got = memory.get(kind)
        if got:
            rows.append((f"{'easel ' if kind.startswith('http') else ''}{kind}", got["n"],
                         f"{got['idle_kb']:,}", f"{got['waiting_kb']:,}",
                         f"{got['kb_per_request']:.1f}", f"{got['p50_ms']:,.0f}",
                         f"{got['p99_ms']:,.0f}", f"{got['cpu_s']:.2f}", got["errors"] or ""))
    return table(("waiting requests", "n", "idle kB", "waiting kB", "kB each", "p50 ms", "p99 ms",
                  "CPU s", "errors"), rows)


def cold_table(cold, stack):
    rows = [(name, kind, f"{got['ms']:.1f}", f"{got['min_ms']:.1f}", got["status"])
            for (name, kind), got in (cold or {}).items()]
    if stack:
        rows.append(("easel serve, \"ready\"", "", f"{stack['ready_ms']:.0f}", "", ""))
        rows.append(("easel serve, first answer", "http", f"{stack['answer_ms']:.0f}", "",
                     stack["status"]))
    return table(("from exec to first byte", "by", "median ms", "least", "status"), rows)


# What a queue of 100,000 tasks must allow: submissions a second, by kind of store.
STORE_ADDS = {"sqlite": 3000, "redis": 5000}
STORE_CLAIM_MS = 20
STORE_READS = 10000


def judge_store(report, store):
    for name, got in store.items():
        report.at_least(f"store {name}: durable submissions a second", got["adds_s"], STORE_ADDS[name], "{:,.0f}")
        report.at_most(f"store {name}: claim p99, ms", got["claim_p99_ms"], STORE_CLAIM_MS)
        report.at_least(f"store {name}: status reads a second", got["reads_s"], STORE_READS, "{:,.0f}")


def store_table(store):
    return table(("store", "queued", "submissions/s", "claim p50, ms", "claim p99, ms", "status reads/s"),
                 [(name, f"{g['queued']:,}", f"{g['adds_s']:,.0f}", f"{g['claim_p50_ms']:.2f}",
                   f"{g['claim_p99_ms']:.2f}", f"{g['reads_s']:,.0f}") for name, g in store.items()])
