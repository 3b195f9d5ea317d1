"""A parent behind an OpenAI-compatible endpoint: retried with patience, slowed down when told to, never paid twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from pgsrm_plugin.asking.engines.base import Completion, Spend, unbounded
from pgsrm_plugin.asking.engines.lines import Lines
from pgsrm_plugin.asking.engines.openai.completion import billed, parse_answer, request_body
from pgsrm_plugin.asking.engines.openai.pacing import Gate
from pgsrm_plugin.asking.engines.openai.refusal import CallError, Refusal, TransientError, judge
from pgsrm_plugin.asking.engines.settings import OpenAISettings
from pgsrm_plugin.asking.store.answers import ParentConfig, Request
from pgsrm_plugin.endpoint import Backoff, BadAnswerError, Endpoint
from pgsrm_plugin.errors import ScorerError

_BACKOFF = Backoff(limit_s=20.0)
_FIRST_CONTACT_S = 10.0
"""An endpoint that was never reached is given up sooner: its address is probably wrong."""
_SECRET_CHARS = 16
"""Shorter secrets (``EMPTY``) are placeholders, and may well be words of an answer."""


@dataclass
class _Session:
    """What is bound to one event loop."""

    loop: asyncio.AbstractEventLoop
    lines: Lines
    gate: Gate
    opened: float


class OpenAIEngine:
    """Asks ``POST {base_url}/chat/completions``, many calls at a time over connections that are kept open.

    429 halves the calls in flight, successes raise them again; ``Retry-After`` is waited for, and does not count as a
    failed attempt. 408, 409, 5xx, timeouts, cut connections and what is no answer at all are retried with exponential
    backoff and full jitter; an answer is taken as it is, be it blank. What cannot pass for any request (token, address,
    model, quota, a field that the endpoint does not take, an endpoint out of reach for ``outage_s``) is a ScorerError;
    what cannot pass for this one is a completion with an error.

    The token is read from the environment and sent in a header; it is in no message, record or ``repr``, and neither is
    a key that stands in the address.

    Args:
        config: the parent.
        settings: the endpoint.

    Raises:
        SpecError: the environment variable for the token is missing or empty, or the address holds a password.
    """

    def __init__(self, config: ParentConfig, settings: OpenAISettings) -> None:
        self.config = config
        self.concurrency = settings.concurrency
        self._spec = settings
        self._endpoint = Endpoint(settings.base_url, "/chat/completions", settings.api_key_env)
        self._session: _Session | None = None
        self._contact: float | None = None
        self._succeeded = False

    def __repr__(self) -> str:
        return f"OpenAIEngine({self.config.model!r}, url={self._endpoint.shown!r})"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"url": self._endpoint.shown}

    async def complete(self, request: Request, spend: Spend = unbounded) -> Completion:
        """The answer to one request, however often it takes to ask, within ``deadline_s``; its tokens are those of all
        attempts.

        Args:
            spend: asked before an attempt that follows one that may have to be paid.

        Raises:
            ScorerError: the endpoint is of no use to any request.
        """
        session = self._here()
        content = request_body(request, self.config, self._spec.max_tokens_field)
        until = time.monotonic() + self._spec.deadline_s
        attempts = failures = 0
        lost: tuple[int | None, int | None] = (None, None)
        while True:
            attempts += 1
            try:
                waited = time.monotonic()
                began = await session.gate.enter()
                until += time.monotonic() - waited
                body = await self._post(session, content, began, until)
                try:
                    completion = parse_answer(body)
                except BadAnswerError as error:
                    lost = _added(lost, billed(body))
                    raise TransientError(f"returned {self._endpoint.redact(str(error))}", paid=True) from error
                session.gate.succeeded()
                self._succeeded = True
                return _accounted(completion, attempts, lost)
            except CallError as error:
                declined = Completion(error=str(error), refusal=error.refusal, permanent=True)
                return _accounted(declined, attempts, lost)
            except TransientError as error:
                trouble = error
            failures += trouble.counts
            wait_s = _BACKOFF.wait_s(attempts, trouble.wait_s)
            if failures > self._spec.retries:
                return _accounted(Completion(error=f"{trouble} ({attempts} attempts)"), attempts, lost)
            if time.monotonic() + wait_s < until:
                await asyncio.sleep(wait_s)
                if trouble.paid and not spend():
                    return _accounted(Completion(error=f"{trouble}; no further attempt is paid"), attempts, lost)
                if time.monotonic() < until:
                    continue
            return _accounted(self._too_late(trouble, attempts), attempts, lost)

    async def aclose(self) -> None:
        """Closes the connections that are kept open."""
        session, self._session = self._session, None
        if session is not None:
            await session.lines.aclose()

    def _too_late(self, trouble: TransientError, attempts: int) -> Completion:
        if trouble.wait_s >= self._spec.deadline_s:
            raise ScorerError(
                f"{self._endpoint.shown} {trouble} and asks to wait {trouble.wait_s:.0f} s, more than deadline_s: "
                f"{self._spec.deadline_s:g}; run again after that time"
            )
        late = f"no time for another attempt within {self._spec.deadline_s:g} s"
        return Completion(error=f"{trouble} ({attempts} attempts; {late})")

    def _here(self) -> _Session:
        """The session of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.loop is not loop:
            self._session = _Session(loop, self._lines(), Gate(self._spec.concurrency), time.monotonic())
        return self._session

    def _lines(self) -> Lines:
        timeout_s = self._spec.timeout_s
        return Lines(self._endpoint.headers(), httpx.Timeout(timeout_s, connect=min(_FIRST_CONTACT_S, timeout_s)))

    async def _post(self, session: _Session, content: bytes, began: float, until: float) -> bytes:
        """The body of one answer with status 200."""
        allowed = max(0.0, min(self._spec.timeout_s, until - time.monotonic()))
        try:
            async with session.lines.line() as client:
                response, body = await asyncio.wait_for(self._send(client, content), allowed)
        except asyncio.TimeoutError:
            raise TransientError(f"did not answer within {allowed:.1f} s", paid=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(session, error) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            reason = self._endpoint.redact(f"{type(error).__name__}: {error}")
            raise TransientError(f"broke the connection ({reason})", paid=True) from error
        finally:
            session.gate.leave()
        self._contact = time.monotonic()
        if response.status_code == 200:
            return self._endpoint.redact_bytes(body, shortest=_SECRET_CHARS)
        said = self._endpoint.redact(body.decode("utf-8", "replace"))
        refusal = Refusal(response.status_code, response.headers, said)
        if refusal.status == 429:
            # A wait that no call outlives is an error, which every call must meet, and not a pause.
            session.gate.slow_down(began, refusal.wait_s if refusal.wait_s < self._spec.deadline_s else 0.0)
        raise judge(refusal, self._endpoint.shown, self._spec.api_key_env, self._succeeded)

    async def _send(self, client: httpx.AsyncClient, content: bytes) -> tuple[httpx.Response, bytes]:
        body = bytearray()
        async with client.stream("POST", self._endpoint.url, content=content) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._spec.max_response_mb * 2**20:
                    raise CallError(f"sent more than max_response_mb: {self._spec.max_response_mb:g}")
        return response, bytes(body)

    def _unreachable(self, session: _Session, error: httpx.TransportError) -> Exception:
        """An outage is no fault of the request: it is waited for, and ends the run when it lasts."""
        patience = self._spec.outage_s if self._contact else min(_FIRST_CONTACT_S, self._spec.outage_s)
        silent_s = time.monotonic() - max(self._contact or 0.0, session.opened)
        reason = self._endpoint.redact(str(error)) or type(error).__name__
        if silent_s >= patience:
            return ScorerError(
                f"{self._endpoint.shown} cannot be reached for {silent_s:.0f} s ({reason}); check base_url and "
                "the server, then run the same command again: what was answered is kept"
            )
        return TransientError(f"cannot be reached ({reason})", counts=False)


def _accounted(completion: Completion, attempts: int, lost: tuple[int | None, int | None]) -> Completion:
    """The completion with all attempts, and with the tokens of those that came to nothing."""
    asked, answered = _added((completion.prompt_tokens, completion.completion_tokens), lost)
    return replace(completion, attempts=attempts, prompt_tokens=asked, completion_tokens=answered)


def _added(
    first: tuple[int | None, int | None], second: tuple[int | None, int | None]
) -> tuple[int | None, int | None]:
    """The sums, in which an unknown count adds nothing; None where both are unknown."""
    asked, answered = (
        None if a is None and b is None else (a or 0) + (b or 0) for a, b in zip(first, second, strict=True)
    )
    return asked, answered
