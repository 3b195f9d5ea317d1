"""Rewards from a service (``pgsrm serve``): all numbers or an error, within a deadline."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError

from pgsrm_plugin.data.files import plain
from pgsrm_plugin.data.rows import Columns
from pgsrm_plugin.endpoint import Backoff, BadAnswerError, Endpoint, asked_wait_s
from pgsrm_plugin.errors import DataError, ScorerError, SpecError, UnscorableError
from pgsrm_plugin.scorer.base import Numbers, Outcome, each_alone
from pgsrm_plugin.scorer.facts import RewardFacts

logger = logging.getLogger(__name__)
_BACKOFF = Backoff(limit_s=2.0, first_s=0.1)
_CONNECT_S = 5.0
_SAID_AT = 3
"""A question that failed so often is worth a line in the log: until the deadline nothing else would be heard."""
_EXCERPT = 300
_MAX_ANSWER_BYTES = 256 * 2**20
_HOST_AND_PORT = re.compile(r"(https?:/*)?[\w.-]+:\d+(/.*)?")
_OWN = ("prompt", "response", "responses", "data_source", "group")


class _TooLargeError(ScorerError):
    """The service takes fewer rows or bytes at once."""


@dataclass(frozen=True)
class RowsJob:
    """One caller's rows as they are sent, and until when their answer is of use (monotonic seconds)."""

    rows: Sequence[Mapping[str, Any]]
    until: float


class OverHttp:
    """Asks a service. Safe to use from several threads.

    Broken connections, 429, and a 502 or 503 of a service that starts or stops are retried until the deadline, with
    exponential backoff and full jitter, no sooner than ``Retry-After`` asks: to score twice does no harm. Everything
    else raises at once.

    Args:
        url: of the service, e.g. ``http://127.0.0.1:8900``.
        token_env: the environment variable that holds its token; None: no token.
        columns: where rows keep what is scored; configured fields go with each question.
        deadline_s: from a question to its answer.

    Raises:
        SpecError: the address is none, or the variable is missing or empty.
    """

    def __init__(self, url: str, token_env: str | None, columns: Columns, deadline_s: float) -> None:
        self._score = Endpoint(url, "/v1/score", token_env, section="service ")
        self._spec = Endpoint(url, "/v1/spec", token_env, section="service ")
        self._token_env = token_env
        self._columns = columns
        self._deadline_s = deadline_s
        self._facts: RewardFacts | None = None
        self._client = httpx.Client(
            headers=self._score.headers(), limits=httpx.Limits(max_connections=None, max_keepalive_connections=32)
        )

    def __repr__(self) -> str:
        return f"OverHttp({self._score.shown!r})"

    def close(self) -> None:
        """Closes the connections that are kept open."""
        self._client.close()

    def facts(self) -> RewardFacts:
        """What the service says of its reward, asked once."""
        if self._facts is None:
            answer = self._ask("GET", self._spec, None, time.monotonic() + self._deadline_s)
            try:
                self._facts = RewardFacts.model_validate(answer)
            except ValidationError as error:
                raise ScorerError(f"{self._spec.shown} is no service of rewards: {error.errors()[0]['msg']}") from None
        return self._facts

    def job(self, rows: Sequence[Mapping[str, Any]], label: Callable[[int], str]) -> RowsJob:
        """The columns that the service looks at; it reads them itself, and numbers rows as it likes.

        Raises:
            DataError: a row is none, or a value cannot be sent as JSON.
            ScorerError: the service, which must say what it looks at, does not answer.
        """
        # Somewhat sooner than who asked gives up, so that it hears what was in the way.
        until = time.monotonic() + self._deadline_s - min(0.5, self._deadline_s / 10)
        switches = {path.split(".")[0] for path in self.facts().columns}
        wanted = sorted({*_OWN, *self._columns.layout.columns, *switches})
        sent = []
        for i, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise DataError(f"{label(i)} must be a mapping with prompt, response and reference, not {row!r:.40}")
            sent.append(plain({name: row[name] for name in wanted if name in row}))
            try:
                json.dumps(sent[-1])
            except (TypeError, ValueError, RecursionError) as error:
                raise DataError(f"{label(i)} cannot be sent as JSON: {error}") from None
        return RowsJob(sent, until)

    def score(self, jobs: Sequence[RowsJob]) -> list[Outcome]:
        """See :class:`~pgsrm_plugin.scorer.base.Backend`."""
        if len(jobs) > 1 and self.facts().needs_groups:
            return [outcome for job in jobs for outcome in each_alone([job], self._post)]
        return each_alone(jobs, self._in_parts)

    def _in_parts(self, jobs: Sequence[RowsJob]) -> list[Outcome]:
        """As :meth:`_post`, in halves where the service takes no more at once: who gave few rows knows of no others."""
        try:
            return self._post(jobs)
        except _TooLargeError:
            if len(jobs) == 1:
                raise
        half = len(jobs) // 2
        return self._in_parts(jobs[:half]) + self._in_parts(jobs[half:])

    def _post(self, jobs: Sequence[RowsJob]) -> list[Outcome]:
        question: dict[str, Any] = {"rows": [row for job in jobs for row in job.rows]}
        fields = {"reference": self._columns.reference, "ground_truth": self._columns.ground_truth}
        if named := {name: field for name, field in fields.items() if field is not None}:
            question["columns"] = named
        answer = self._ask("POST", self._score, json.dumps(question).encode(), min(job.until for job in jobs))
        try:
            numbers = iter(_numbers(answer, len(question["rows"])))
        except BadAnswerError as error:
            raise ScorerError(f"{self._score.shown} answered {error}; nothing was scored") from None
        return [[next(numbers) for _ in job.rows] for job in jobs]

    def _ask(self, method: str, endpoint: Endpoint, content: bytes | None, until: float) -> Any:
        """The JSON of an answer with status 200, with retries until the deadline."""
        started, failed = time.monotonic(), 0
        while True:
            try:
                response = self._once(method, endpoint, content, until)
            except (httpx.TransportError, httpx.DecodingError) as error:
                reason, asked_s = endpoint.redact(f"{type(error).__name__}: {error}"), 0.0
            else:
                if response.status_code == 200:
                    return _json(response, endpoint)
                reason, asked_s = self._refused(response, endpoint), asked_wait_s(response.headers)
            failed += 1
            if failed == _SAID_AT:
                logger.warning("%s: %s; it is asked again until the deadline", endpoint.shown, reason)
            wait_s = _BACKOFF.wait_s(failed, asked_s)
            if time.monotonic() + wait_s >= until:
                raise ScorerError(
                    f"{endpoint.shown} gave no answer in {failed} attempts within {time.monotonic() - started:.1f} s "
                    f"({reason}); nothing was scored. Is `pgsrm serve` running there?"
                )
            time.sleep(wait_s)

    def _once(self, method: str, endpoint: Endpoint, content: bytes | None, until: float) -> httpx.Response:
        left_s = max(0.001, until - time.monotonic())
        timeout = httpx.Timeout(left_s, connect=min(_CONNECT_S, left_s))
        with self._client.stream(method, endpoint.url, content=content, timeout=timeout) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    raise ScorerError(f"{endpoint.shown} sent more than {_MAX_ANSWER_BYTES} bytes; nothing was scored")
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("the answer came too slowly")
        return httpx.Response(response.status_code, headers=_plain_headers(response), content=bytes(body))

    def _refused(self, response: httpx.Response, endpoint: Endpoint) -> str:
        """Why to ask again; raises where asking again is of no use."""
        status, said = response.status_code, endpoint.redact(_said(response))
        if status == 429 or status == 502 or (status == 503 and "retry-after" in response.headers):
            return f"it answered {status} {said!r}"
        if status == 422:
            raise (UnscorableError if _kind(response) == "UnscorableError" else DataError)(said)
        kind = _TooLargeError if status == 413 else ScorerError
        raise kind(f"{endpoint.shown} answered {status}: {said}; nothing was scored{self._hint(status)}")

    def _hint(self, status: int) -> str:
        if status == 401:
            named = f"check the token in ${self._token_env}" if self._token_env else "set PGSRM_TOKEN to its token"
            return f"; {named}"
        return {
            404: "; give the address of `pgsrm serve`, without a path",
            413: "; give fewer rows at once, or raise the service's --max-rows and --max-body-mb",
        }.get(status, "")


def is_address(source: str) -> bool:
    """Whether a source names a service, rightly or with its scheme forgotten, and no spec.

    >>> [is_address(source) for source in ("http://h:8900", "localhost:8900", "pgsrm", "specs/mine.yaml")]
    [True, True, False, False]
    """
    return "://" in source or _HOST_AND_PORT.fullmatch(source) is not None


def check_address(url: str) -> None:
    """Refuses what is no address of a service.

    Raises:
        SpecError: naming it.
    """
    if not url.startswith(("http://", "https://")):
        raise SpecError(f"the address of a service begins with http:// or https://, not {url[:40]!r}")


def _plain_headers(response: httpx.Response) -> dict[str, str]:
    return {name: response.headers[name] for name in ("retry-after", "content-type") if name in response.headers}


def _json(response: httpx.Response, endpoint: Endpoint) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise ScorerError(
            f"{endpoint.shown} answered no JSON ({response.text[:60]!r}); is it `pgsrm serve`? Nothing was scored"
        ) from None


def _numbers(answer: Any, count: int) -> list[Numbers]:
    rows = answer.get("rows") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list) or len(rows) != count:
        raise BadAnswerError(f"{len(rows) if isinstance(rows, list) else 'no'} rows for {count}")
    keys: set[str] = set(rows[0]) if rows and isinstance(rows[0], dict) else set()
    for row in rows:
        if not isinstance(row, dict) or "reward" not in row or set(row) != keys:
            raise BadAnswerError("rows without a reward, or with different keys")
        for name, value in row.items():
            masked = value is None and name == "reward" and row.get("reward/scored") == 0
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not (is_number or masked):
                raise BadAnswerError(f"{value!r:.40} as {name!r}")
    return [{name: None if value is None else float(value) for name, value in row.items()} for row in rows]


def _document(response: httpx.Response) -> Mapping[str, Any]:
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _said(response: httpx.Response) -> str:
    error = _document(response).get("error")
    return error if isinstance(error, str) else response.text[:_EXCERPT]


def _kind(response: httpx.Response) -> object:
    return _document(response).get("kind")
