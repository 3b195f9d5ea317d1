"""How the service runs."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field

from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.scorer.batching import MicroBatchSettings

_SHORTEST = 8


@dataclass(frozen=True)
class ServeSettings:
    """How the service runs.

    Attributes:
        token: wanted of every question but ``/health``; None: none is.
        limits: how questions are put together; more rows than ``max_pending`` are refused.
        max_rows: of one question.
        max_body_bytes: of one question; four times that of all that are under way.
        grace_s: how long a stop waits for what was accepted.
    """

    host: str = "127.0.0.1"
    port: int = 8900
    token: str | None = field(default=None, repr=False)
    limits: MicroBatchSettings = field(default_factory=lambda: MicroBatchSettings(max_pending=8192, deadline_s=100.0))
    max_rows: int = 4096
    max_body_bytes: int = 64 * 2**20
    grace_s: float = 30.0


def read_token(variable: str | None) -> str | None:
    """The token in an environment variable; None for None.

    Raises:
        SpecError: it is missing, too short, or could not stand in a path.
    """
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token:
        raise SpecError(f"--token-env: the environment variable {variable} is not set, or empty")
    if len(token) < _SHORTEST or not re.fullmatch(r"[A-Za-z0-9._~-]+", token):
        raise SpecError(
            f"--token-env: the value of {variable} must be {_SHORTEST} or more letters, digits and . _ ~ -, since some "
            "clients can send it only in the address; e.g. `openssl rand -hex 24`"
        )
    return token


def check_host(host: str, has_token: bool, insecure: bool) -> None:
    """Refuses to answer anyone on the network by mistake.

    Raises:
        SpecError: the host is not this machine's own, and there is neither a token nor the word for going without.
    """
    if not (_is_loopback(host) or has_token or insecure):
        raise SpecError(
            f"--host {host} answers whoever reaches this machine: name the environment variable of a token "
            "(--token-env NAME), or say --insecure"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
