"""What the service counts of itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pgsrm_plugin.scorer.facts import RewardFacts

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Measured:
    """The service's own numbers; no text of a prompt, response or token is among them.

    Args:
        pending: gives the rows that wait or are being scored.
    """

    def __init__(self, pending: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("pgsrm_requests", "Questions answered.", ("route", "status"), registry=self._registry)
        self._seconds = Histogram(
            "pgsrm_request_seconds",
            "Time to an answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rows = Counter("pgsrm_rows", "Rows scored.", ("outcome",), registry=self._registry)
        self._batch_rows = Histogram("pgsrm_batch_rows", "Rows of a batch.", buckets=_ROWS, registry=self._registry)
        self._batch_seconds = Histogram(
            "pgsrm_batch_seconds", "Time of a batch.", buckets=_SECONDS, registry=self._registry
        )
        self._reward = Histogram(
            "pgsrm_reward", "Rewards given.", buckets=[tenth / 10 for tenth in range(-10, 11)], registry=self._registry
        )
        self._info = Gauge(
            "pgsrm_info", "1, with what scores.", ("name", "fingerprint", "encoder", "version"), registry=self._registry
        )
        Gauge("pgsrm_pending_rows", "Rows waiting or being scored.", registry=self._registry).set_function(pending)

    def about(self, facts: RewardFacts) -> None:
        """Says what scores."""
        self._info.labels(facts.name, facts.fingerprint, facts.encoder or "", facts.version).set(1)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts an answer."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def scored(self, rewards: list[float | None]) -> None:
        """Counts the rows of a question."""
        for reward in rewards:
            self._rows.labels("masked" if reward is None else "scored").inc()
            if reward is not None:
                self._reward.observe(reward)

    def batch(self, rows: int, seconds: float) -> None:
        """Counts a batch."""
        self._batch_rows.observe(rows)
        self._batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)
