"""An OpenAI-compatible embeddings endpoint: all vectors or an error, within a deadline."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence

import httpx
import torch

from pgsrm_plugin.encoders.http import HttpEncoderSpec
from pgsrm_plugin.encoders.http.answer import parse_answer
from pgsrm_plugin.endpoint import RETRIED_STATUSES, Backoff, BadAnswerError, Endpoint, asked_wait_s
from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.types import Embeddings

_BACKOFF = Backoff(limit_s=8.0)
_EXCERPT = 200
_TOO_LONG = re.compile(r"context length|too long|maximum.{0,20}(?:length|tokens)|reduce the length", re.IGNORECASE)
_TOO_MANY = re.compile(r"batch size|too many inputs|batch.{0,20}(?:maximum|limit)", re.IGNORECASE)
"""What servers say of a text too long, and of too many: for a hint, never for a decision."""


class _TransientError(Exception):
    """A request failed in a way that may pass.

    Attributes:
        wait_s: what the server asked for in ``Retry-After``, else 0.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _PermanentError(Exception):
    """A request failed for good."""


class HttpEncoder:
    """Embeds texts over HTTP; safe to use from several threads.

    Retries 408, 409, 429, 5xx, timeouts and broken connections with exponential backoff and full jitter, no sooner than
    ``Retry-After`` asks. Everything else fails at once: another status, a redirect, an answer too long or not to the
    point. A server that sends some of its answer and then stalls is given up at most ``timeout_s`` after the deadline.

    The identity is the model's name and what of the settings changes its vectors, not the address: the same model
    may move. The protocol tells neither tokens (``tokens_N`` is -1) nor truncation: an endpoint may cut long texts
    silently, and ``truncated_N`` says only what ``max_chars`` cut.

    Args:
        spec: the endpoint.

    Raises:
        SpecError: the environment variable for the token is missing or empty, or the address holds a password.
    """

    def __init__(self, spec: HttpEncoderSpec) -> None:
        self._spec = spec
        self._endpoint = Endpoint(spec.base_url, "/embeddings", spec.api_key_env, section="encoder.")
        self._dimensions = spec.dimensions
        self._client = httpx.Client(headers=self._endpoint.headers(), follow_redirects=False)
        self._extra = dict(spec.extra_body)
        if spec.truncate_prompt_tokens is not None:
            self._extra["truncate_prompt_tokens"] = spec.truncate_prompt_tokens
        parts = {"dimensions": spec.dimensions, "max_chars": spec.max_chars, **self._extra}
        settings = "".join(f";{name}={value}" for name, value in parts.items() if value is not None)
        self.identity = f"http:{spec.model}{settings}" + (f";prompt={spec.prompt!r}" if spec.prompt else "")

    def __repr__(self) -> str:
        return f"HttpEncoder({self.identity!r}, url={self._endpoint.shown!r})"

    def close(self) -> None:
        """Closes the connections that are kept open."""
        self._client.close()

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """One vector a text, in order; none at all if one request fails.

        Raises:
            ScorerError: a request failed for good, or the deadline passed; the message says how far it got.
        """
        started = time.monotonic()
        limit = self._spec.max_chars
        cut_N = torch.tensor([limit is not None and len(text) > limit for text in texts], dtype=torch.bool)
        sent = [self._spec.prompt + text[:limit] for text in texts]
        parts: list[torch.Tensor] = []
        done = 0
        try:
            while done < len(texts):
                batch = sent[done : done + self._spec.batch_texts]
                parts.append(self._embed(batch, started + self._spec.deadline_s))
                done += len(batch)
        except (_PermanentError, _TransientError) as error:
            raise ScorerError(
                f"encoder {self.identity} at {self._endpoint.shown} {error}; {done} of {len(texts)} texts were "
                f"embedded after {time.monotonic() - started:.1f} s, nothing was scored"
            ) from error
        vectors_ND = torch.cat(parts) if parts else torch.zeros(0, self._dimensions or 0)
        unknown_N = torch.full((len(texts),), -1, dtype=torch.int64)
        return Embeddings(vectors_ND, unknown_N, cut_N)

    def _embed(self, batch: Sequence[str], deadline: float) -> torch.Tensor:
        """One batch, with retries until the deadline."""
        question: dict[str, object] = {"model": self._spec.model, "input": list(batch), "encoding_format": "float"}
        question |= self._extra
        if self._spec.dimensions is not None:
            question["dimensions"] = self._spec.dimensions
        content = json.dumps(question).encode()
        for attempt in range(self._spec.retries + 1):
            try:
                vectors_ND = parse_answer(self._post(content, deadline), len(batch), self._dimensions)
                self._dimensions = int(vectors_ND.shape[1])
                return vectors_ND
            except BadAnswerError as error:
                raise _PermanentError(f"returned {error}") from error
            except _TransientError as error:
                if attempt == self._spec.retries:
                    raise _PermanentError(f"{error}, {attempt + 1} times in a row") from error
                self._pause(attempt + 1, error, deadline)
        raise AssertionError("unreachable")

    def _pause(self, failed: int, reason: _TransientError, deadline: float) -> None:
        wait_s = _BACKOFF.wait_s(failed, reason.wait_s)
        if time.monotonic() + wait_s >= deadline:
            asked = f" and asked to wait {reason.wait_s:g} s" if reason.wait_s else ""
            raise _PermanentError(f"{reason}{asked}; the deadline of {self._spec.deadline_s:g} s leaves no time for it")
        time.sleep(wait_s)

    def _post(self, content: bytes, deadline: float) -> bytes:
        """The body of one answer with status 200."""
        started = time.monotonic()
        allowed = min(self._spec.timeout_s, deadline - started)
        if allowed <= 0:
            raise _PermanentError(f"did not finish within the deadline of {self._spec.deadline_s:g} s")
        try:
            with self._client.stream("POST", self._endpoint.url, content=content, timeout=allowed) as response:
                body = self._read(response, started + allowed)
        except httpx.TimeoutException as error:
            raise _TransientError(f"did not answer within {allowed:.1f} s") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            reason = self._endpoint.redact(f"{type(error).__name__}: {error}")
            raise _TransientError(f"broke the connection ({reason})") from error
        if response.status_code != 200:
            raise self._refusal(response, body)
        return body

    def _read(self, response: httpx.Response, until: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self._spec.max_response_mb * 2**20:
                raise _PermanentError(f"sent more than max_response_mb: {self._spec.max_response_mb:g}")
            if time.monotonic() > until:
                raise httpx.ReadTimeout("the answer came too slowly", request=response.request)
        return bytes(body)

    def _refusal(self, response: httpx.Response, body: bytes) -> _TransientError | _PermanentError:
        status = response.status_code
        excerpt = self._endpoint.redact(body.decode("utf-8", "replace"))[:_EXCERPT]
        if status in RETRIED_STATUSES or status >= 500:
            return _TransientError(f"answered {status} {excerpt!r}", asked_wait_s(response.headers))
        if 300 <= status < 400:
            return _PermanentError(f"answered {status}, a redirect, which is not followed; set base_url to its target")
        hint = ""
        if status in (401, 403):
            name = self._spec.api_key_env
            hint = f"; check the token in ${name}" if name else "; name the token's variable in encoder.api_key_env"
        elif _TOO_LONG.search(excerpt):
            hint = (
                "; have it cut long texts: encoder.truncate_prompt_tokens: -1 (vLLM), encoder.extra_body: "
                "{truncate: true} (TEI, Ollama), or cut them here: encoder.max_chars"
            )
        elif status == 413 or _TOO_MANY.search(excerpt):
            hint = f"; send fewer texts at once: encoder.batch_texts is {self._spec.batch_texts}"
        return _PermanentError(f"answered {status} {excerpt!r}{hint}")
