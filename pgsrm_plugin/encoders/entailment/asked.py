"""What a cross-encoder said, by pair and within a bound of memory, so that no pair is asked about twice."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence

from pgsrm_plugin.errors import PgsrmError, ScorerError
from pgsrm_plugin.types import CrossEncoder, Inference

_OVERHEAD_BYTES = 400
"""Python's cost of one entry, beside the texts."""


class AskedOnce:
    """Asks about each (premise, hypothesis) once: within a call always, between calls as far as ``limit_mb`` reaches.

    The pairs that are new to a call reach the model once each, sorted, so that no answer depends on the order or the
    multiplicity of the rows.

    Args:
        cross_encoder: what answers.
        limit_mb: memory for answers kept between calls, in MiB; those not used for longest go.
    """

    def __init__(self, cross_encoder: CrossEncoder, limit_mb: float) -> None:
        self.cross_encoder = cross_encoder
        self._limit = limit_mb * 2**20
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], Inference] = OrderedDict()
        self._lock = threading.Lock()

    def judge(self, pairs: Sequence[tuple[str, str]]) -> tuple[dict[tuple[str, str], Inference], int]:
        """What is said of every distinct pair, and how many were computed.

        Raises:
            ScorerError: the model failed, or returned a number that is not finite.
        """
        distinct = sorted(set(pairs), key=lambda pair: (sum(map(len, pair)), pair))
        found = {pair: kept for pair in distinct if (kept := self._kept.get(pair)) is not None}
        missing = [pair for pair in distinct if pair not in found]
        found |= zip(missing, self._ask(missing), strict=True) if missing else {}
        with self._lock:
            for pair in distinct:
                self._keep(pair, found[pair])
        return found, len(missing)

    def _ask(self, pairs: Sequence[tuple[str, str]]) -> Sequence[Inference]:
        identity = self.cross_encoder.identity
        try:
            answers = self.cross_encoder.judge(pairs)
        except PgsrmError:
            raise
        except Exception as error:  # whatever transformers raises
            raise ScorerError(f"cross-encoder {identity} failed: {type(error).__name__}: {error}") from error
        if len(answers) != len(pairs) or not all(math.isfinite(one.log_odds) for one in answers):
            raise ScorerError(f"cross-encoder {identity} returned wrong or non-finite log odds; nothing was scored")
        return answers

    def _keep(self, pair: tuple[str, str], judged: Inference) -> None:
        if pair not in self._kept:
            self._kept[pair] = judged
            self._bytes += _size(pair)
        self._kept.move_to_end(pair)
        while self._bytes > self._limit:
            self._bytes -= _size(self._kept.popitem(last=False)[0])


def _size(pair: tuple[str, str]) -> int:
    return 4 * sum(map(len, pair)) + _OVERHEAD_BYTES
