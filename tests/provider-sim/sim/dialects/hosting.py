"""Where the pictures lie that were answered by URL: /pictures/… and what a redirect leads to."""
from . import Dialect, Route
from ..exchange import Answer


async def picture(ex):
    found = ex.sim.gallery.hosted.get(ex.match.group(1))
    if found is None:
        return missing()
    if found.misses > 0 and ex.request.method == "GET":
        found.misses -= 1
        return missing()
    return Answer(200, found.render(), ex.option("type", found.mime), [
        ("cache-control", "public, max-age=3600"), ("etag", f'"{found.name}"'), ("accept-ranges", "none")])


async def elsewhere(ex):
    """The end of a redirect that nobody should have followed: it is recorded, and it tempts with a picture."""
    return Answer(200, ex.sim.gallery.make(width=64, height=64).render(), "image/png")


def missing():
    return Answer.of_text('<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code>'
                          "<Message>The specified key does not exist.</Message></Error>", 404, "application/xml")


def error(_ex, status, _code):
    return Answer.of_text(f"error {status}\n", status or 500)


DIALECT = Dialect(
    name="hosting",
    routes=[Route("GET", r"/pictures/([\w.-]+)", picture, "picture"),
            Route("GET", r"/elsewhere", elsewhere, "elsewhere"),
            Route("POST", r"/elsewhere", elsewhere, "elsewhere")],
    authorize=lambda ex: None,
    error=error,
    not_found=lambda ex, methods: missing(),
    model_of=lambda ex: None,
    headers=lambda ex, answer: [],
)
