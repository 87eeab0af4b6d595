"""What proxies and platforms answer in a provider's stead: word → Answer."""
from .exchange import Answer

NGINX = ("<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
         "<hr><center>nginx/1.24.0</center>\r\n</body>\r\n</html>\r\n")

CHALLENGE = """<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>
<meta http-equiv="Content-Type" content="text/html; charset=UTF-8"><meta name="robots" content="noindex,nofollow">
</head><body><div class="main-wrapper" role="main"><h1 class="zone-name-title h1">api.example.com</h1>
<noscript>Enable JavaScript and cookies to continue</noscript></div>
<script>window._cf_chl_opt={cvId:'3',cType:'managed',cRay:'8c1f0e2d3b4a5968'};</script></body></html>
"""

CF_524 = """<!DOCTYPE html><html lang="en-US"><head><title>api.example.com | 524: A timeout occurred</title></head>
<body><div id="cf-wrapper"><h1>A timeout occurred <span>Error code 524</span></h1>
<p>The origin web server timed out responding to this request.</p></div></body></html>
"""

VERCEL = ("An error occurred with your deployment\n\nFUNCTION_INVOCATION_TIMEOUT\n\n"
          "hkg1::lwfvf-1702001564825-665514977cb1\n")


def html(status, text, headers=()):
    return Answer(status, text.encode(), "text/html; charset=UTF-8", list(headers))


CF = [("server", "cloudflare"), ("cf-ray", "8c1f0e2d3b4a5968-HKG")]

PAGES = {
    "html403": lambda: html(403, CHALLENGE, CF + [("cf-mitigated", "challenge")]),
    "html502": lambda: html(502, NGINX.format("502 Bad Gateway"), [("server", "nginx/1.24.0")]),
    "html503": lambda: html(503, NGINX.format("503 Service Temporarily Unavailable"), [("server", "nginx/1.24.0")]),
    "html504": lambda: html(504, NGINX.format("504 Gateway Time-out"), [("server", "nginx/1.24.0")]),
    "html524": lambda: html(524, CF_524, CF),
    "vercel504": lambda: Answer.of_text(VERCEL, 504, headers=[
        ("x-vercel-error", "FUNCTION_INVOCATION_TIMEOUT"), ("x-vercel-id", "hkg1::lwfvf-1702001564825-665514977cb1")]),
    "apigateway504": lambda: Answer.of_json({"message": "Endpoint request timed out"}, 504, [
        ("x-amzn-errortype", "InternalServerErrorException")]),
    "cloudrun504": lambda: Answer.of_text("upstream request timeout", 504),
}
