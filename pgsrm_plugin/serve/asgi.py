"""The service as an ASGI application: questions are bounded, answers are numbers or say what is wrong."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsrm_plugin.data.files import json_type
from pgsrm_plugin.errors import DataError, PgsrmError, SpecError, UnscorableError
from pgsrm_plugin.scorer.base import Numbers
from pgsrm_plugin.scorer.batching import DeadlineError, QueueFullError
from pgsrm_plugin.serve.dialects.base import Dialect
from pgsrm_plugin.serve.measured import CONTENT_TYPE
from pgsrm_plugin.serve.service import Service, StartingError, TooManyRowsError

logger = logging.getLogger(__name__)
OPEN = "/health"
"""The one path that wants no token: it says nothing but whether to wait."""
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (DataError, 422),
    (UnscorableError, 422),
    (SpecError, 409),
    (QueueFullError, 429),
    (DeadlineError, 504),
    (PgsrmError, 503),
    (StartingError, 503),
    (TooManyRowsError, 413),
)
"""What an error is to a client; the first that fits. None is ever a number."""
_SOON = (QueueFullError, StartingError)
_AT_ONCE = 4
"""How many questions of the greatest length may be under way: connections alone bound no memory."""
_GONE = 499
"""What is counted where a client went away; nobody reads it."""


class BadBodyError(Exception):
    """A body that is no question: too large, too slow, or no JSON object."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def build_app(service: Service, dialects: Sequence[Dialect]) -> ASGIApp:
    """The application."""

    async def health(request: Request) -> Response:
        ready = service.state == "ready"
        return _json({"status": service.state}, 200 if ready else 503, {} if ready else {"Retry-After": "1"})

    async def metrics(request: Request) -> Response:
        return Response(service.measured.text(), headers={"Content-Type": CONTENT_TYPE})

    async def about(request: Request) -> Response:
        try:
            return _json(service.about())
        except StartingError as error:
            return _refusal(error)

    routes = [Route(OPEN, health), Route("/metrics", metrics), Route("/v1/spec", about)]
    routes += [Route(dialect.path, _route(service, dialect), methods=["POST"]) for dialect in dialects]
    known = [f"POST {dialect.path}" for dialect in dialects] + [
        f"GET {path}" for path in (OPEN, "/metrics", "/v1/spec")
    ]

    async def lost(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _json(
            {"error": f"{error.detail}; there is {', '.join(known)}", "kind": "HTTPException"}, error.status_code
        )

    app: ASGIApp = Starlette(routes=routes, exception_handlers={404: lost, 405: lost})
    return app if service.settings.token is None else TokenGate(app, service.settings.token)


class TokenGate:
    """Lets through who knows the token: as ``Authorization: Bearer``, as ``?token=``, or as the first part of the path.

    OpenRLHF, slime and LLaMA-Factory can send no header. Tokens are compared in constant time.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application behind the gate, or 401."""
        if "method" not in scope or scope["path"] == OPEN:  # what is no HTTP has no route behind the gate
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        first, _, rest = scope["path"].removeprefix("/").partition("/")
        in_path = self._is(first)
        in_header = kind.lower() == "bearer" and self._is(bearer.strip())
        if in_path:
            scope = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}
        if in_path or in_header or self._is(request.query_params.get("token", "")):
            await self._app(scope, receive, send)
            return
        message = "a token is wanted: as Authorization: Bearer TOKEN, as ?token=TOKEN, or as /TOKEN before the path"
        refusal = _json({"error": message, "kind": "Unauthorised"}, 401, {"WWW-Authenticate": "Bearer"})
        await refusal(scope, receive, send)

    def _is(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)


class _Body:
    """Reads a question's bytes within two bounds: its own length, and what all questions under way hold together."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """The body.

        Raises:
            BadBodyError: it is too long.
            QueueFullError: too much is under way.
        """
        most = self._service.settings.max_body_bytes
        announced = request.headers.get("content-length", "0")
        chunks: list[bytes] = []
        if not (announced.isdecimal() and int(announced) > most):
            async for chunk in request.stream():
                chunks.append(chunk)
                self._hold(len(chunk), _AT_ONCE * most)
                if self._held > most:
                    break
            else:
                return b"".join(chunks)
        raise BadBodyError(413, f"the question is longer than {most} bytes (--max-body-mb)")

    def _hold(self, size: int, most: int) -> None:
        self._held += size
        self._service.bytes_under_way += size
        if self._service.bytes_under_way > most:
            raise QueueFullError(f"questions of more than {most} bytes are under way, and no more are let in")

    def let_go(self) -> None:
        """The question is answered."""
        self._service.bytes_under_way -= self._held


def _route(service: Service, dialect: Dialect) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        started = time.perf_counter()
        service.under_way += 1
        status, body = 500, _Body(service)
        try:
            response = await _answer(service, dialect, request, body)
            status = response.status_code
        except ClientDisconnect:
            status = _GONE
            response = Response(status_code=_GONE)
        finally:
            service.under_way -= 1
            body.let_go()
            service.measured.answered(dialect.path, status, time.perf_counter() - started)
        return response

    return answer


async def _answer(service: Service, dialect: Dialect, request: Request, body: _Body) -> Response:
    try:
        if service.state != "ready":
            raise StartingError(f"the service is {service.state}; ask again")
        document = await _document(request, body, service.settings.limits.deadline_s)
        numbers = await _unless_gone(request, service.score(dialect, document))
        return _json(dialect.answer(numbers, request.query_params))
    except BadBodyError as error:
        # The rest of the body is not read, so the connection is of no more use.
        return _json({"error": str(error), "kind": "BadRequest"}, error.status, {"Connection": "close"})
    except (PgsrmError, StartingError, TooManyRowsError) as error:
        return _refusal(error)
    except asyncio.CancelledError:
        if not service.stopping:
            raise
        # Its time to finish is over, and another service may answer.
        return _refusal(StartingError("the service stopped before this was scored; ask again"))
    except ClientDisconnect:
        raise
    except Exception as error:
        # Its message may hold a text of a client; the log gets the place only.
        logger.error("%s: %s", dialect.path, _place(error))
        return _json({"error": f"internal error: {type(error).__name__}", "kind": "InternalError"}, 500)


async def _document(request: Request, reader: _Body, deadline_s: float) -> Mapping[str, Any]:
    try:
        body = await asyncio.wait_for(reader.read(request), deadline_s)
    except asyncio.TimeoutError:
        raise BadBodyError(408, f"the question did not arrive within {deadline_s:g} s") from None
    try:
        document = json.loads(body)
    except RecursionError:
        raise BadBodyError(400, "the question is nested too deeply") from None
    except ValueError as error:
        # Not str(error) of a decoding error, which quotes the body.
        reason = f"{error.msg}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "not UTF-8 text"
        raise BadBodyError(400, f"the question is not JSON ({reason})") from None
    if not isinstance(document, dict):
        raise DataError(f"the question must be an object, not {json_type(document)}")
    return document


async def _unless_gone(request: Request, scoring: Awaitable[list[Numbers]]) -> list[Numbers]:
    """The numbers, unless the client goes away first: what it asked is then not scored if that has not begun.

    Raises:
        ClientDisconnect: it went away.
    """
    work = asyncio.ensure_future(scoring)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


def _refusal(error: Exception) -> Response:
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    headers = {"Retry-After": "1"} if isinstance(error, _SOON) else {}
    return _json({"error": str(error), "kind": type(error).__name__}, status, headers)


def _json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    # Escapes rather than UTF-8: messages may quote lone surrogates of a client. Floats are written by repr, so that who
    # reads them has the same bits.
    content = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    return Response(content, status, headers, media_type="application/json")


def _place(error: Exception) -> str:
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    where = "" if frames is None else f" at {frames.tb_frame.f_code.co_filename}:{frames.tb_lineno}"
    return f"{type(error).__name__}{where}"
