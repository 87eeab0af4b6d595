"""An event stream, read line by line as it comes."""
import base64
import http.client
import json
import time
import urllib.parse

from support import SLOW


class Event:
    def __init__(self, name, data, at):
        self.name, self.data, self.at = name, json.loads(data), at

    @property
    def picture(self):
        return base64.b64decode(self.data["b64_json"], validate=True)

    def __repr__(self):
        return f"{self.name} {str({**self.data, 'b64_json': '…'})[:600]}"


class Stream:
    """A request whose answer is read line by line, as it comes."""

    def __init__(self, easel, headers=(), path="/v1/images/generations", url=None, **members):
        where = urllib.parse.urlsplit(url or easel.url)
        self.start = time.monotonic()
        self.http = http.client.HTTPConnection(where.hostname, where.port, timeout=60 * SLOW)
        body = {"prompt": "a panda", "stream": True, **members}
        self.http.request("POST", path, json.dumps(body), {
            "Content-Type": "application/json", "Authorization": f"Bearer {easel.key}", **dict(headers)})
        self.answer, self.comments = None, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.answer:
            self.answer.close()
        self.http.close()

    def begin(self):
        if not self.answer:
            self.answer = self.http.getresponse()
            self.begun_s = time.monotonic() - self.start
            assert self.answer.status == 200, (self.answer.status, self.answer.read())
            assert self.answer.getheader("content-type") == "text/event-stream; charset=utf-8"
            assert self.answer.getheader("cache-control") == "no-cache"
            assert self.answer.getheader("x-accel-buffering") == "no"
        return self

    @property
    def request_id(self):
        return self.answer.getheader("x-request-id")

    def line(self):
        return self.begin().answer.readline().decode()

    def next(self):
        """The next event, or None at the end."""
        name = data = None
        while line := self.line():
            assert line.endswith("\n"), f"the stream was cut: {line[-100:]!r}"
            if line == "\n":
                if name or data:
                    return Event(name, data, time.monotonic() - self.start)
            elif line.startswith(":"):
                assert line == ": keep-alive\n"
                self.comments += 1
            elif line.startswith("event: "):
                assert name is None and data is None, "the name comes first, and once"
                name = line[7:-1]
            else:
                assert line.startswith("data: ") and data is None, f"one line of data: {line[:80]!r}"
                data = line[6:-1]
        assert name is None and data is None, "the stream ended within an event"
        return None

    def comment(self):
        """Reads up to the next comment."""
        while line := self.line():
            if line.startswith(":"):
                self.comments += 1
                return
        raise AssertionError("the stream ended without a comment")

    def rest(self):
        events = []
        while event := self.next():
            events.append(event)
        return events
