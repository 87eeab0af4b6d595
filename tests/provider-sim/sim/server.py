"""The listener (plain or TLS), the life of a connection, and a request's way from its head to its end."""
import asyncio
import os
import resource
import signal
import socket
import ssl
import sys
import time
import traceback
from asyncio import sslproto
from email.utils import formatdate

from . import control, faults
from .dialects import Registry
from .exchange import Answer, Exchange
from .faults import Fault, UnknownFault
from .pictures import Gallery
from .record import Recorder
from .wire import HEAD_MAX, BadRequest, ClientGone, Connection, Peer, decode_path

BACKLOG = 4096
HANDSHAKE_TIMEOUT_S = 60
PATH_NESTING = 3


class Simulator:
    def __init__(self, host="127.0.0.1", port=0, tls=None, dialect="openai"):
        self.recorder, self.queue, self.gallery = Recorder(), faults.Queue(), Gallery()
        self.registry = Registry(dialect)
        self.defaults, self.tls, self.serial = {}, tls, 0
        self.state = {}  # what a dialect remembers between requests, by its name
        self.held, self.released = [], 0  # answers that wait, and releases that wait for one
        self.connections = set()
        self.ended = asyncio.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(BACKLOG)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.authority = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.authority}"

    def start(self):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(quiet)
        loop.add_reader(self.listener.fileno(), self.accept)

    def accept(self):
        for _ in range(128):
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            except OSError:
                return  # gone again before we looked
            self.recorder.connections += 1
            fault = self.queue.take_at_accept()
            if fault is not None:
                record = self.recorder.add(None, None, None, [])
                record.fault, record.end = str(fault), time.monotonic()
                if fault.has("accept-reset"):
                    faults.reset_at_accept(sock)
                elif fault.has("accept-then-close"):
                    sock.close()
                else:
                    self.connections.add(sock)  # accept-silence: never read, never closed
                continue
            task = asyncio.get_running_loop().create_task(self.serve(sock, self.recorder.connections))
            self.connections.add(task)
            task.add_done_callback(self.connections.discard)

    async def hold(self, conn):
        """Until the test says so: release() is for the one that waits longest, or for the next one."""
        mine = object()
        self.held.append(mine)
        try:
            while mine in self.held:
                if self.released:
                    self.release()
                await conn.wait(0.01)
        finally:
            if mine in self.held:
                self.held.remove(mine)

    def release(self):
        if self.held:
            self.held.pop(0)
            self.released = max(0, self.released - 1)

    async def serve(self, sock, number):
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        reader = asyncio.StreamReader(limit=HEAD_MAX, loop=loop)
        try:
            transport, peer = await loop.connect_accepted_socket(
                lambda: Peer(reader), sock, ssl=self.tls,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if self.tls else None)
        except (OSError, ssl.SSLError, asyncio.TimeoutError):
            self.recorder.tls_failures += 1
            return
        self.recorder.open_connections += 1
        conn = Connection(reader, transport, peer, number, self.tls is not None)
        try:
            while await self.one_request(conn):
                pass
        except (ClientGone, ConnectionError):
            pass
        except BadRequest as e:
            await self.say_bad_request(conn, str(e))
        except Exception:
            traceback.print_exc()
        finally:
            self.recorder.open_connections -= 1
            conn.close()

    async def say_bad_request(self, conn, why):
        body = f"provider-sim: {why}\n".encode()
        try:
            await conn.send(b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n"
                            b"connection: close\r\n\r\n%s" % (len(body), body))
        except ClientGone:
            pass

    async def one_request(self, conn):
        request = await conn.read_head()
        if request is None:
            return False
        if request.path.startswith("/_sim"):
            return await control.serve(self, conn, request)
        record = self.recorder.add(conn, request.method, request.target, request.headers)
        ex = Exchange(self, conn, request, record, Fault(), None, None, serial=self.serial)
        self.serial += 1
        entered, before = False, conn.sent
        try:
            path = self.path_faults(ex)
            dialect, ex.route, ex.match = self.registry.find(request.method, path)
            if ex.route is not None:
                record.kind = ex.route.kind
                ex.fault = self.queue.take(ex.route) or ex.fault
                if ex.route.spends:
                    self.recorder.enter(record)
                    entered = True
            self.key_fault(ex)
            record.fault = str(ex.fault) or None
            if await faults.before_body(self, conn, ex.fault):
                return False
            await conn.read_body(request, say_continue=not ex.fault.has("no-continue"))
            ex.body = record.took_body(request)
            try:
                answer = await self.answer(dialect, ex)
            except UnknownFault as e:
                answer = Answer.of_text(f"provider-sim: {e}\n", 400)
            record.fault = str(ex.fault) or None
            if answer is None:
                return False
            if ex.route is not None and ex.route.spends:
                self.count(ex, answer)
            return await faults.deliver(ex, answer)
        except UnknownFault as e:
            await conn.read_body(request)
            return await faults.deliver(ex, Answer.of_text(f"provider-sim: {e}\n", 400))
        except ClientGone:
            record.aborted = True
            self.recorder.aborted += 1
            if record.body_end is None:
                record.took_body(request)
                record.body_end = None  # it did not all come
            raise
        finally:
            for fn in ex.at_end:
                fn()
            if entered:
                self.recorder.leave()
            record.end = time.monotonic()
            record.bytes_sent = conn.sent - before

    def path_faults(self, ex):
        """Takes /@FAULT off the path: a base_url, or a picture's URL, can carry its fault."""
        path = ex.request.path
        for _ in range(PATH_NESTING):
            if not path.startswith("/@"):
                break
            spec, _, rest = path[2:].partition("/")
            ex.fault, path = faults.parse(decode_path(spec)), "/" + rest
        return path

    def key_fault(self, ex):
        """A key can carry one too: sk-sim-one@code=insufficient_quota."""
        if not ex.fault:
            _, fault = faults.split(ex.request.header("authorization") or "")
            ex.fault = fault or ex.fault

    async def answer(self, dialect, ex):
        model = dialect.model_of(ex)
        if isinstance(model, str):
            ex.model, fault = faults.split(model)
            ex.fault = ex.fault or fault or Fault()
        if not ex.fault and self.defaults.get("fault") and ex.route is not None and ex.route.spends:
            ex.fault = faults.parse(self.defaults["fault"])
        ex.record.model = ex.model
        if ex.route is None:
            answer = dialect.not_found(ex, ex.match)
        else:
            answer = dialect.authorize(ex)
        if answer is None and (ex.fault.options.keys() & {"status", "code"}) and not ex.fault.words & faults.BODY:
            answer = dialect.error(ex, int(ex.fault.options.get("status", 0)), ex.fault.options.get("code"))
        if answer is None:
            answer = await ex.route.handler(ex)
            if answer is None:
                return None
        answer = faults.on_answer(ex, answer)
        answer.headers = common_headers(ex, answer) + dialect.headers(ex, answer) + answer.headers
        return answer

    def count(self, ex, answer):
        """Was something bought?  Yes unless refused: 4xx, or 503, which says that nothing was begun."""
        bought = not (300 <= answer.status < 500 or answer.status == 503)
        if ex.route.kind == "ws" and answer.status != 200:
            bought = False  # a handshake that was refused: nothing had been asked for yet
        if "bought" in ex.fault.options:
            bought = str(ex.fault.options["bought"]).lower() in ("true", "1", "yes")
        ex.record.purchase = ex.record.purchase or bought  # a socket's rounds are several
        ex.record.pictures = (ex.record.pictures or 0) + answer.pictures
        self.recorder.purchases += bought
        self.recorder.pictures += answer.pictures


def common_headers(ex, answer):
    options, out = ex.fault.options, [("date", formatdate(usegmt=True))]
    after = options.get("retry_after", 1 if answer.status in (429, 503) and not options.keys() & {
        "retry_after_ms", "retry_date"} else None)
    if after not in (None, "none"):
        out.append(("retry-after", str(after)))
    if "retry_after_ms" in options:
        out.append(("retry-after-ms", str(options["retry_after_ms"])))
    if "retry_date" in options:
        out.append(("retry-after", formatdate(time.time() + float(options["retry_date"]), usegmt=True)))
    if "x_should_retry" in options:
        out.append(("x-should-retry", str(options["x_should_retry"])))
    if isinstance(options.get("headers"), dict):
        out += [(k, str(v)) for k, v in options["headers"].items()]
    return out


def quiet(_loop, context):
    """Connections that break are this program's trade; anything else is its fault and is shown."""
    error = context.get("exception")
    if not isinstance(error, (OSError, ssl.SSLError, type(None))):
        print("provider-sim:", context.get("message"), repr(error), file=sys.stderr)


def tls_context(cert, key, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if version:
        # an old server: OpenSSL 3 speaks TLS 1.0 and 1.1 only at security level 0
        named = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2,
                 "1.3": ssl.TLSVersion.TLSv1_3}[version]
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = named
    context.load_cert_chain(cert, key)
    return context


def raise_limits():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # a TLS connection's read buffer: 256 KB as Python has it is much for a thousand that wait
    sslproto.SSLProtocol.max_size = 32 * 1024


async def run(options, ready):
    raise_limits()
    tls = tls_context(options.tls_cert, options.tls_key, options.tls_version) if options.tls_cert else None
    sim = Simulator(options.host, options.port, tls, options.dialect)
    sim.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sim.ended.set)
    ready(sim.url)
    await sim.ended.wait()
    await asyncio.sleep(0.02)  # the answer to /_sim/quit is still on its way
    sys.stdout.flush()
    os._exit(0)  # a thousand waiting connections need no farewell
