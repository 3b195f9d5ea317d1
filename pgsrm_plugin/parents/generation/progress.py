"""What a run of generation may take, and what it has done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunLimits:
    """The bounds of a run.

    Attributes:
        deadline_s: seconds after which no further request begins; None: no end.
        drain_s: seconds that requests under way get to finish when the run is stopped; after a signal 3 at most.
        failures_in_a_row: after so many calls that failed with none between that did not, the run stops.
    """

    deadline_s: float | None = None
    drain_s: float = 30.0
    failures_in_a_row: int = 20


@dataclass
class RunCounts:
    """How far a run is; updated while it goes.

    Attributes:
        seen: requests looked at.
        reused: of these, already in the store, or asked twice in this run.
        extracted_again: of these, answered before under another extraction rule.
        asked: calls that were answered or failed; their statuses are in ``by_status``.
        attempts: how often the engine was asked, retries included.
        prompt_tokens, completion_tokens: as far as the engine counted them.
        seconds: since the run began.
        stopped: ``"interrupted"``, ``"deadline"``, or None where all was done.
    """

    seen: int = 0
    reused: int = 0
    extracted_again: int = 0
    asked: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    stopped: str | None = None


OnProgress = Callable[[RunCounts], None]
