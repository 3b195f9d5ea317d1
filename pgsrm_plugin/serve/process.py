"""The service as a process: a port, a reward that is loaded beside it, and a stop that finishes what was accepted."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from pgsrm_plugin.errors import PgsrmError, SpecError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.serve.asgi import build_app
from pgsrm_plugin.serve.dialects.base import Dialect
from pgsrm_plugin.serve.service import Service
from pgsrm_plugin.stopping import SIGNALS

_TICK_S = 0.02
_KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection, so that it is not closed under a question."""


class _Server(uvicorn.Server):
    """A server that leaves signals to who runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """The socket to answer on; port 0 is any free one.

    Raises:
        SpecError: it cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SpecError(f"--host {host} --port {port}: {reason}; choose another port") from None


def run(
    service: Service,
    dialects: Sequence[Dialect],
    build: Callable[[], SemanticReward],
    place: socket.socket,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Serves until a signal; must be called in the main thread.

    At the first SIGINT or SIGTERM new questions are answered 503, those that were accepted are finished within
    ``grace_s``, and the signal then comes to who called. A second one does not wait.

    Args:
        build: makes the reward, while ``/health`` says that it is starting.
        say: tells what happens.

    Raises:
        PgsrmError: what ``build`` raised.
    """
    heard: list[int] = []
    # Nobody else hears a signal before the drain is over; then it comes as if it had just been sent.
    handlers, ear = {number: signal.getsignal(number) for number in SIGNALS}, signal.set_wakeup_fd(-1)
    try:
        asyncio.run(_serve(service, dialects, build, place, say, heard))
    finally:
        signal.set_wakeup_fd(ear)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        service.close()
    if heard:
        signal.raise_signal(heard[0])


async def _serve(
    service: Service,
    dialects: Sequence[Dialect],
    build: Callable[[], SemanticReward],
    place: socket.socket,
    say: Callable[[str], None],
    heard: list[int],
) -> None:
    config = uvicorn.Config(
        build_app(service, dialects),
        log_level="error",
        access_log=False,  # addresses may hold the token
        lifespan="off",
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
    server, loop, stop = _Server(config), asyncio.get_running_loop(), asyncio.Event()

    def hear(number: int) -> None:
        if heard:
            server.force_exit = True
        heard.append(number)
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, hear, number)
    serving = asyncio.create_task(server.serve([place]))
    loading = _in_a_thread(build, loop)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((serving, loading, stopping), return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and not heard:
            service.use(loading.result())
            say("ready")
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        service.stopping = True
        if service.under_way:
            say(f"stopping; {service.under_way} questions are finished first")
        await _drained(service, server)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def _in_a_thread(
    build: Callable[[], SemanticReward], loop: asyncio.AbstractEventLoop
) -> asyncio.Future[SemanticReward]:
    """The reward, made in a thread that the end of the process does not wait for."""
    future: asyncio.Future[SemanticReward] = loop.create_future()

    def settle(reward: SemanticReward | None, error: Exception | None) -> None:
        if future.done():
            return
        if reward is not None:
            future.set_result(reward)
        elif error is not None:
            future.set_exception(error)

    def make() -> None:
        reward, failed = None, None
        try:
            reward = build()
        except Exception as error:
            failed = error if isinstance(error, PgsrmError) else PgsrmError(f"{type(error).__name__}: {error}")
        with contextlib.suppress(RuntimeError):  # the loop is closed: it was stopped meanwhile
            loop.call_soon_threadsafe(settle, reward, failed)

    threading.Thread(target=make, name="pgsrm-loading", daemon=True).start()
    return future


async def _drained(service: Service, server: uvicorn.Server) -> None:
    until = time.monotonic() + service.settings.grace_s
    while service.under_way and time.monotonic() < until and not server.force_exit:
        await asyncio.sleep(_TICK_S)
