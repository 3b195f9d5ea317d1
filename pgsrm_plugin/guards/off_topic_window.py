"""Off-topic windows: a part of the response that is about something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import ramp
from pgsrm_plugin.terms.base import Needs
from pgsrm_plugin.text.words import count_words

if TYPE_CHECKING:
    import numpy as np

    from pgsrm_plugin.types import Embedder


class OffTopicWindow(Guard):
    r"""The window of the response that is least like any part of the reference.

    Windows are means of ``window`` successive token states, half overlapping. With :math:`w` the least, over the
    response's windows, of the greatest cosine with one of the reference's: 1 minus the ramp of :math:`w` from 0.15 to
    0.45. Off for responses shorter than ``min_response`` and references shorter than ``min_reference``.
    """

    kind: Literal["off_topic_window"] = "off_topic_window"
    cut: float = Field(0.8, ge=0, le=1, description="what a whole violation takes away")
    window: int = Field(8, ge=2, description="tokens of a window")
    min_response: int = Field(12, ge=1, description="shorter responses are left alone, in words")
    min_reference: int = Field(8, ge=1, description="shorter references are left alone, in words")

    def needs(self) -> Needs:
        """Token states."""
        return Needs(token_states=True)

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        looked = [
            count_words(pair.response) >= self.min_response and count_words(pair.reference) >= self.min_reference
            for pair in pairs
        ]
        texts = sorted({text for pair, look in zip(pairs, looked, strict=True) if look for text in pair[:2]})
        windows = {
            text: self._windows(states_TD.numpy())
            for text, states_TD in zip(texts, encoder.token_states(texts), strict=True)
        }
        return [
            _violation(windows[pair.response], windows[pair.reference]) if look else NONE
            for pair, look in zip(pairs, looked, strict=True)
        ]

    def _windows(self, states_TD: np.ndarray) -> np.ndarray:
        """The unit means of the windows, (W, D)."""
        import numpy as np

        tokens = len(states_TD)
        if not tokens:
            return states_TD
        starts = (
            [0] if tokens <= self.window else [*range(0, tokens - self.window, self.window // 2), tokens - self.window]
        )
        means_WD = np.stack([states_TD[start : start + self.window].mean(axis=0) for start in starts])
        unit_WD: np.ndarray = means_WD / np.maximum(np.linalg.norm(means_WD, axis=1, keepdims=True), 1e-12)
        return unit_WD


def _violation(response_WD: np.ndarray, reference_WD: np.ndarray) -> Violation:
    if not len(response_WD) or not len(reference_WD):
        return NONE
    from pgsrm_plugin.functional import dot_products

    nearest = dot_products(response_WD, reference_WD).max(axis=1)
    share = 1.0 - ramp(float(nearest.min()), 0.15, 0.45)
    return Violation(share, (f"window {int(nearest.argmin()) + 1} of {len(nearest)}",)) if share else NONE
