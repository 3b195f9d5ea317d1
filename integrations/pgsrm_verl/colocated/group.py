"""The encoder of the training GPUs as the trainer's process sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ray.exceptions import RayError

from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.types import Embeddings, Vocabulary
from pgsrm_verl.colocated.worker import Answer, Loaded


class WorkerGroupEncoder:
    """Satisfies :class:`~pgsrm_plugin.types.OnePassEncoder` through the ranks of a worker group.

    Texts are dealt out by length, one to each rank in turn, so that all have about as much to do. Its identity is that
    of the ``hf`` encoder of the same spec, so calibration floors and caches hold for both.

    Args:
        workers: a worker group of :class:`~pgsrm_verl.colocated.worker.EncoderWorker`.
        name: the encoder's name there.
        loaded: what each rank said when it loaded it.
        vocabulary: the words that the encoder knows.
    """

    def __init__(self, workers: Any, name: str, loaded: Sequence[Loaded], vocabulary: Vocabulary | None = None) -> None:
        self.vocabulary = vocabulary
        self._workers = workers
        self._name = name
        self.identity = loaded[0].identity
        self.parameter_bytes = max(rank.own_bytes for rank in loaded)
        """Bytes of parameters on a rank, the greatest share."""
        self.peak_bytes = 0
        """The most memory that a rank's process has taken on its device, since it was started."""

    def __repr__(self) -> str:
        return f"WorkerGroupEncoder({self.identity!r}, ranks={self._workers.world_size})"

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """See :meth:`pgsrm_plugin.types.Encoder.encode`.

        Raises:
            ScorerError: a rank failed. The ranks may be out of step then, so the step must fail.
        """
        return _embeddings(self._spread("encode", texts))

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """See :meth:`pgsrm_plugin.types.TokenEncoder.token_states`; raises as :meth:`encode` does."""
        return _states(self._spread("token_states", texts))

    def encode_with_states(self, texts: Sequence[str]) -> tuple[Embeddings, list[torch.Tensor]]:
        """See :meth:`pgsrm_plugin.types.OnePassEncoder.encode_with_states`; raises as :meth:`encode` does."""
        spread = self._spread("encode_with_states", texts)
        embeddings = _embeddings([(rows, part) for rows, (part, _) in spread])
        return embeddings, _states([(rows, part) for rows, (_, part) in spread])

    def _spread(self, method: str, texts: Sequence[str]) -> list[tuple[list[int], Any]]:
        """Each rank's rows and its result."""
        world = self._workers.world_size
        shares = deal(texts, world)
        try:
            # Every rank is called, also without texts: where parameters are sharded, a forward pass needs all of them.
            answers: list[Answer] = getattr(self._workers, method)(
                [self._name] * world, [[texts[row] for row in rows] for rows in shares]
            )
        except RayError as error:
            reason = getattr(error, "cause", None) or error
            raise ScorerError(f"the encoder on the training workers failed: {reason}") from error
        self.peak_bytes = max(self.peak_bytes, *(answer.peak_bytes for answer in answers))
        return [(rows, answer.result) for rows, answer in zip(shares, answers, strict=True)]


def _embeddings(parts: Sequence[tuple[list[int], Embeddings]]) -> Embeddings:
    """What each rank found, by row."""
    place_N = torch.tensor([row for rows, _ in parts for row in rows], dtype=torch.int64).argsort()
    return Embeddings.concat([part for _, part in parts]).take(place_N)


def _states(parts: Sequence[tuple[list[int], list[torch.Tensor]]]) -> list[torch.Tensor]:
    """What each rank found, by row."""
    found = {row: states_TD for rows, part in parts for row, states_TD in zip(rows, part, strict=True)}
    return [found[row] for row in range(len(found))]


def deal(texts: Sequence[str], ranks: int) -> list[list[int]]:
    """The rows of each rank: sorted by length, dealt out in turn.

    >>> deal(["ccc", "a", "bb"], 2)
    [[1, 0], [2]]
    """
    order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), texts[row]))
    return [order[rank::ranks] for rank in range(ranks)]
