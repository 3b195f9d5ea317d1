"""What every HTTP endpoint needs: its address and token, what of them may be shown, and how long a retry waits."""

from __future__ import annotations

import email.utils
import logging
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

import httpx
from pydantic import SecretStr

from pgsrm_plugin.errors import SpecError

RETRIED_STATUSES = frozenset({408, 409, 429})
"""Beside 5xx, the statuses that may pass by waiting."""
HIDDEN = "[hidden]"
"""Stands for what an address may have as a key."""
_LEAST_SECRET = 4
"""Shorter parts of an address (``?v=1``) are not blotted out of other texts."""


class BadAnswerError(ValueError):
    """An endpoint answered something that is no answer to the question; the message says what."""


class Endpoint:
    """One function of an API: where it is, the token for it, and texts without either's secrets.

    A query and what looks like a key in the path are sent, and never shown: not in ``shown``, ``repr``, a redacted text
    or the log of httpx.

    Args:
        base_url: e.g. ``http://host:8000/v1``.
        path: of the function below it, e.g. ``/embeddings``.
        api_key_env: the environment variable that holds the bearer token; None: no token.
        section: what messages put before the names of the settings, e.g. ``encoder.``.

    Attributes:
        url: the whole address, secrets included.
        shown: the address for messages.

    Raises:
        SpecError: the address is none or holds a password, or the variable is missing or empty, or no HTTP header can
            carry its value.
    """

    def __init__(self, base_url: str, path: str, api_key_env: str | None, section: str = "") -> None:
        self._token = _token(api_key_env, f"{section}api_key_env")
        self.url = _url(base_url, path, f"{section}base_url")
        self.shown = show_address(self.url)
        token = [] if self._token is None else [self._token.get_secret_value()]
        self._blots = [(secret, _pattern(secret), "[token]") for secret in token]
        self._blots += [(secret, _pattern(secret), HIDDEN) for secret in _secrets(self.url)]
        if self.shown != self.url:
            _shown_in_logs[self.url] = self.shown

    def __repr__(self) -> str:
        return f"Endpoint({self.shown!r})"

    def headers(self) -> dict[str, str]:
        """The headers of a request with a JSON document."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return headers

    def redact(self, text: str, shortest: int = 1) -> str:
        """The text with the secrets blotted out, however a URL or JSON spells them (``%2F``, ``\\/``, ``\\u002f``).

        Args:
            shortest: secrets of fewer characters are left in.
        """
        for secret, pattern, blot in self._blots:
            if len(secret) >= shortest:
                text = pattern.sub(blot, text)
        return text

    def redact_bytes(self, body: bytes, shortest: int = 1) -> bytes:
        """As :meth:`redact`; the other bytes stay as they are."""
        if all(len(secret) < shortest for secret, _, _ in self._blots):
            return body
        return self.redact(body.decode("latin-1"), shortest).encode("latin-1")


def show_address(url: str) -> str:
    """An address without what may be a secret: user and password, query, fragment, and path parts that look like keys.

    >>> show_address("https://me:pass@host/v1/8f3kd92mxq01lz7vb4tw?api-key=abc")
    'https://host/v1/[hidden]'
    """
    shown = re.sub(r"^(\w+://)?[^/]*@", r"\1", re.split(r"[?#]", url, maxsplit=1)[0])
    return "/".join(HIDDEN if _looks_like_a_key(part) else part for part in shown.split("/"))


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the next attempt: full jitter below an exponential ceiling, and no sooner than asked.

    Attributes:
        limit_s: the highest ceiling.
        first_s: the ceiling after the first failure; each further one doubles it.
        draw: a number between two.
    """

    limit_s: float
    first_s: float = 0.25
    draw: Callable[[float, float], float] = random.uniform

    def wait_s(self, failed: int, asked_s: float = 0.0) -> float:
        """Seconds to wait.

        Args:
            failed: how many attempts failed so far, from 1.
            asked_s: what the server asked for. A tenth of it is added at most, so that not all come at once.
        """
        ceiling = min(self.limit_s, self.first_s * 2 ** min(failed - 1, 16))
        return max(self.draw(0.0, ceiling), asked_s * self.draw(1.0, 1.1))


def asked_wait_s(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait, 0 where it does not; some say it in milliseconds too."""
    milliseconds = headers.get("retry-after-ms")
    if milliseconds is not None:
        return retry_after(milliseconds) / 1000
    return retry_after(headers.get("retry-after"))


def retry_after(value: str | None) -> float:
    """Seconds to wait by a ``Retry-After`` header, which gives seconds or a date; 0 where absent or unreadable."""
    if value is None:
        return 0.0
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else 0.0
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _token(variable: str | None, field: str) -> SecretStr | None:
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value and _looks_like_a_key(variable):
        raise SpecError(f"{field}: this looks like a key; give the name of the environment variable that holds it")
    if not value:
        raise SpecError(f"{field}: the environment variable {variable} is not set, or empty")
    if not (value.isascii() and value.isprintable()):
        raise SpecError(f"{field}: the value of {variable} has characters that no HTTP header can carry")
    return SecretStr(value)


def _url(base_url: str, path: str, field: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        # It quotes what it took for the port, which may be a part of a password.
        raise SpecError(f"{field}: " + ("it is no address" if "@" in base_url else str(error))) from None
    if url.userinfo:
        raise SpecError(f"{field}: leave user and password out of the address; name a token in api_key_env")
    return str(url.copy_with(path=url.path.rstrip("/") + path))


def _secrets(url: str) -> list[str]:
    """What of an address is not shown, as it is written there and as it is meant; the longest first."""
    address, _, query = url.partition("#")[0].partition("?")
    pairs = [part.partition("=")[::2] for part in query.split("&")] + parse_qsl(query, keep_blank_values=True)
    found = {value or name for name, value in pairs}
    for part in filter(_looks_like_a_key, address.split("/")):
        found |= {part, unquote(part)}
    return sorted((one for one in found if len(one) >= _LEAST_SECRET), key=len, reverse=True)


def _looks_like_a_key(part: str) -> bool:
    """Whether a part of a path has letters and digits in a run, as no name of a model or version has."""
    runs: Iterable[str] = re.findall(r"[A-Za-z0-9]{12,}", part)
    return len(part) >= 20 and any(re.search(r"\d", run) and re.search(r"[A-Za-z]", run) for run in runs)


def _pattern(secret: str) -> re.Pattern[str]:
    return re.compile("".join(map(_spelled, secret)))


def _spelled(character: str) -> str:
    """A pattern for a character in plain text, in a URL, in JSON, and in JSON inside JSON."""
    escapes = r"\\{0,3}" if character in '"\\/' else ""
    percent = "".join(f"%{byte:02x}" for byte in character.encode())
    return rf"(?:{escapes}{re.escape(character)}|(?i:{percent})|\\{{1,2}}u(?i:{ord(character):04x}))"


_shown_in_logs: dict[str, str] = {}


def _hide_addresses(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(
            _shown_in_logs.get(str(one), one) if isinstance(one, httpx.URL) else one for one in record.args
        )
    return True


logging.getLogger("httpx").addFilter(_hide_addresses)
