"""The registry of dialects: one file here = one provider's wire format.

A dialect's file defines DIALECT = Dialect(name, routes, …).  The one chosen by --dialect answers at the
root; every dialect also answers below /NAME, so that one simulator can be all providers at once:
http://127.0.0.1:PORT/modelscope/v1 is a base_url.
"""
import importlib
import pkgutil
import re
from dataclasses import dataclass


@dataclass
class Route:
    method: str
    pattern: str           # a regular expression for the whole path
    handler: object        # async (Exchange) -> Answer, or None when it has taken the connection over
    kind: str              # "generate", "edit", "models", "picture", "task", …; a queued fault's "on"
    spends: bool = False   # does a success here cost money?

    def __post_init__(self):
        self.compiled = re.compile(self.pattern)


@dataclass
class Dialect:
    name: str
    routes: list
    authorize: object   # (Exchange) -> Answer of a refusal, or None
    error: object       # (Exchange, status, code) -> Answer: the scripted errors in this dialect's shape
    not_found: object   # (Exchange, methods) -> Answer: no such route; methods: those that there would be
    model_of: object    # (Exchange) -> str or None: where the model's name stands in a request
    headers: object     # (Exchange, Answer) -> list: what stands on every answer
    stats: object = lambda sim: {}    # what it adds to the control API's stats
    clear: object = lambda sim: None  # forgets what it counted


class Registry:
    def __init__(self, root):
        self.dialects = {}
        for found in pkgutil.iter_modules(__path__):
            dialect = getattr(importlib.import_module(f"{__name__}.{found.name}"), "DIALECT", None)
            if dialect is not None:
                self.dialects[dialect.name] = dialect
        if root not in self.dialects:
            raise KeyError(f"no dialect {root!r}; there are: {', '.join(sorted(self.dialects))}")
        self.root = self.dialects[root]
        self.hosting = self.dialects["hosting"]

    def find(self, method, path):
        """(dialect, route, match); route is None and match the list of methods when nothing fits."""
        candidates = [(self.hosting, path)]
        first, _, rest = path[1:].partition("/")
        if first in self.dialects:
            candidates.append((self.dialects[first], "/" + rest))
        else:
            candidates.append((self.root, path))
        methods = []
        for dialect, at in candidates:
            for route in dialect.routes:
                match = route.compiled.fullmatch(at)
                if match and method in (route.method, "HEAD" if route.method == "GET" else None):
                    return dialect, route, match
                if match:
                    methods.append(route.method)
        return candidates[-1][0], None, methods
