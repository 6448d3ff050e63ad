"""Running a service as a process: one context manager in, signals owned here, a polite end."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import structlog
import uvicorn
from pydantic import ValidationError

from shared.bus import BrokerUnreachable
from shared.log import configure
from shared.settings import Settings

log = structlog.get_logger("runtime")

UNREAD_MS = 30_000
"""How long sent bytes may stay unacknowledged before the kernel drops the connection, in milliseconds."""

GRACE_S = 2
"""how long a request may take that is open when its server stops, in seconds"""

CANCEL_AGAIN_S = 2.0
"""how long a background job may take to end before it is told again"""

SECRETS_DIR = "ROLLCALL_SECRETS_DIR"
"""environment variable: a folder of settings, one a file (see Settings)"""

TETHER = "ROLLCALL_TETHER"
"""environment variable: 1 when stdin is a pipe whose end means that the supervisor is gone"""


class _Tether(asyncio.Protocol):
    """The other end of stdin is held by the supervisor: when that is gone, however it went, we stop too."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, error: Exception | None) -> None:
        self._stop.set()


class _Server(uvicorn.Server):
    """uvicorn without its hands on the signals (the process owns those), and with a word when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def listen(host: str, port: int, *, share_port: bool = False, backlog: int = 2_048) -> socket.socket:
    """A listening TCP socket, not blocking. Raises OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=backlog, reuse_port=share_port)
    listener.setblocking(False)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; a client that never reads would keep its socket for ever
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
    return listener


@asynccontextmanager
async def serve_http(
    app: Any,
    host: str,
    port: int,
    *,
    share_port: bool = False,
    websockets: bool = False,
    grace_s: int = GRACE_S,
    **options: Any,
) -> AsyncIterator[int]:
    """Serve an ASGI app while inside; yields the port in use (`port` 0 picks a free one). `share_port`: several
    processes of one user listen on it, and the kernel deals the connections out among them (SO_REUSEPORT).
    `websockets`: the app takes them as well, which needs the extra `web`.

    Raises OSError when the address is taken, and what uvicorn does where a part of it is missing. Leaving stops
    accepting, closes WebSockets at once, gives open requests `grace_s`, and closes.
    """
    listener = listen(host, port, share_port=share_port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=grace_s,
        ws="websockets-sansio" if websockets else "none",
        ws_per_message_deflate=False,
        **options,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _up(server, serving)
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        with contextlib.closing(listener), contextlib.suppress(asyncio.CancelledError):
            await serving


async def _up(server: _Server, serving: asyncio.Task[None]) -> None:
    """Wait until it serves. Raises what it died of instead."""
    up = asyncio.ensure_future(server.up.wait())
    await asyncio.wait({up, serving}, return_when=asyncio.FIRST_COMPLETED)
    up.cancel()
    if serving.done():
        serving.result()
        raise OSError("the web server ended as soon as it had started")


S = TypeVar("S", bound=Settings)


def read_settings(service: str, settings: type[S]) -> S:
    """From the environment and the folder of secrets alone. Exits 2 on wrong ones, saying which."""
    try:
        return settings(_secrets_dir=os.environ.get(SECRETS_DIR) or None)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            where = ".".join(map(str, problem["loc"])).upper()
            sys.stderr.write(f"{service}: ROLLCALL_{where}: {problem['msg']}\n")
        raise SystemExit(2) from None


def run(service: str, settings: type[Settings], start: Callable[[Any], Any]) -> None:
    """The whole of a service's `__main__`: settings from the environment, logs, start, wait for a signal, stop.

    Exits 0 after SIGINT or SIGTERM, 2 on wrong settings, 1 when the service cannot start or a part of it died:
    a limping process is worse than one that its supervisor starts again.
    """
    ready = read_settings(service, settings)
    configure(service, pretty=ready.log_pretty)
    try:
        _event_loop_run(_until_signal(service, start(ready)))
    except BrokerUnreachable as error:
        log.error("cannot start", reason=str(error))
        raise SystemExit(1) from None
    except OSError as error:
        log.error("cannot start", reason=str(error))
        raise SystemExit(1) from None


def _event_loop_run(main: Any) -> None:
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)


async def _until_signal(service: str, running: AbstractAsyncContextManager[Any]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    if os.environ.get(TETHER) == "1":
        await loop.connect_read_pipe(lambda: _Tether(stop), sys.stdin)
    async with running:
        log.info("started")
        await stop.wait()
        log.info("stopping")


@asynccontextmanager
async def background(*jobs: Any) -> AsyncIterator[None]:
    """Run coroutines while inside; if one of them dies, the whole service ends with its error."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            try:
                yield
            finally:
                await _end(tasks)
    except BaseExceptionGroup as group_error:
        if len(group_error.exceptions) == 1:
            raise group_error.exceptions[0] from None
        raise


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until they have ended: up to Python 3.11, `asyncio.wait_for` (and so every request of nats-py) loses a
    cancellation that comes together with the answer."""
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
