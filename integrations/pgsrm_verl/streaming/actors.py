"""An encoder that is shared by all reward workers: its work is done by replicas in Ray actors."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ray
import torch
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.encoders.vocabulary import vocabulary_here
from pgsrm_plugin.errors import PgsrmError, ScorerError
from pgsrm_plugin.types import Embeddings, Encoder, Vocabulary
from pgsrm_verl.settings import EncoderSettings
from pgsrm_verl.streaming import replicas

logger = logging.getLogger(__name__)
_RETRY_S = 0.2
_Call = tuple[int, tuple[str, ...]]


class ActorEncoder:
    """Satisfies :class:`~pgsrm_plugin.types.OnePassEncoder` by calling replicas.

    A text always goes to the replica that its hash names, so that equal texts meet the same cache, whichever process
    asks. When a replica dies, Ray starts it again (or this does, where Ray has given up), and the work it had is sent
    again, until the deadline.

    Args:
        build: makes the encoder, in each replica.
        name: of the replicas; processes that give the same name share them.
        settings: how many, where, and the deadline.
        cache_mb: memory for embeddings in each replica.
        vocabulary: the words that the encoder knows, in this process: they are not asked for over Ray.

    Raises:
        SpecError: no GPUs to share, or ``build`` raised it.
        ScorerError: the replicas did not start within the deadline, or ``build`` raised it.
    """

    def __init__(
        self,
        build: Callable[[], Encoder],
        name: str,
        settings: EncoderSettings,
        cache_mb: float = 256.0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self._obtain = partial(replicas.obtain, name, build=build, cache_mb=cache_mb, settings=settings)
        self._settings = settings
        self._handles = {number: self._obtain(number) for number in range(settings.replicas)}
        # Every handle ever obtained: Ray ends an actor when its maker lets go of the handle, and others may use it.
        self._kept = list(self._handles.values())
        described = self._call_all([(number, ()) for number in range(settings.replicas)], "describe")
        self.replicas: list[dict[str, Any]] = described
        self.identity: str = described[0]["identity"]

    @classmethod
    def for_section(cls, section: EncoderSection, settings: EncoderSettings, cache_mb: float) -> ActorEncoder:
        """The encoder of a section, in replicas that all reward workers with the same section share."""
        written = section.model_dump_json() + settings.model_dump_json()
        name = f"pgsrm-encoder-{hashlib.sha256(written.encode()).hexdigest()[:12]}"
        return cls(section.build, name, settings, cache_mb, vocabulary_here(section))

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """One vector a text, in order.

        Raises:
            ScorerError: a replica's encoder failed, or a replica did not answer within the deadline.
        """
        if not texts:
            (empty,) = self._call_all([(0, ())], "encode")
            assert isinstance(empty, Embeddings)
            return empty
        return _embeddings(self._spread("encode", texts))

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """See :meth:`pgsrm_plugin.types.TokenEncoder.token_states`; raises as :meth:`encode` does."""
        return _states(self._spread("token_states", texts))

    def encode_with_states(self, texts: Sequence[str]) -> tuple[Embeddings, list[torch.Tensor]]:
        """See :meth:`pgsrm_plugin.types.OnePassEncoder.encode_with_states`; raises as :meth:`encode` does."""
        if not texts:
            return self.encode(texts), []
        spread = self._spread("encode_with_states", texts)
        embeddings = _embeddings([(share, part) for share, (part, _) in spread])
        return embeddings, _states([(share, part) for share, (_, part) in spread])

    def _spread(self, method: str, texts: Sequence[str]) -> list[tuple[list[int], Any]]:
        """The positions of the texts that each replica gets, and its answer for them."""
        shares = self._shares(texts)
        calls = [(number, tuple(texts[i] for i in share)) for number, share in shares.items()]
        return list(zip(shares.values(), self._call_all(calls, method), strict=True))

    def _shares(self, texts: Sequence[str]) -> dict[int, list[int]]:
        """The positions of the texts that each replica gets."""
        shares: dict[int, list[int]] = {}
        for i, text in enumerate(texts):
            shares.setdefault(replica_of(text, self._settings.replicas), []).append(i)
        return shares

    def _call_all(self, calls: Sequence[_Call], method: str) -> list[Any]:
        """Calls replicas at the same time; the answers in order."""
        deadline = time.monotonic() + self._settings.deadline_s
        pending = [self._send(number, method, texts) for number, texts in calls]
        return [self._answer(call, method, first, deadline) for call, first in zip(calls, pending, strict=True)]

    def _send(self, number: int, method: str, texts: tuple[str, ...]) -> Any:
        arguments = () if method == "describe" else (texts,)
        return getattr(self._handles[number], method).remote(*arguments)

    def _answer(self, call: _Call, method: str, reference: Any, deadline: float) -> Any:
        """Waits for one answer; sends the work again when its replica died."""
        number, texts = call
        while True:
            try:
                return ray.get(reference, timeout=max(0.0, deadline - time.monotonic()))
            except GetTimeoutError:
                ray.cancel(reference)
                raise self._too_late(number, "did not answer") from None
            except RayTaskError as error:
                cause = error.cause
                if isinstance(cause, PgsrmError):
                    raise type(cause)(str(cause)) from error
                raise ScorerError(
                    f"encoder replica {number} failed: {type(cause).__name__}: {cause}; nothing was scored"
                ) from error
            except RayError as error:
                logger.warning(
                    "encoder replica %d is gone; %d texts are sent again (%s)", number, len(texts), type(error).__name__
                )
                if time.monotonic() + _RETRY_S >= deadline:
                    raise self._too_late(number, f"died, and did not come back ({_last_line(error)})") from error
                time.sleep(_RETRY_S)
                self._handles[number] = self._obtain(number)
                self._kept.append(self._handles[number])
                reference = self._send(number, method, texts)

    def _too_late(self, number: int, what: str) -> ScorerError:
        return ScorerError(
            f"encoder replica {number} {what} within pgsrm.encoder.deadline_s: {self._settings.deadline_s:g}; "
            "nothing was scored"
        )


def _embeddings(parts: Sequence[tuple[list[int], Embeddings]]) -> Embeddings:
    """The parts by the positions of their texts."""
    order = torch.tensor([i for share, _ in parts for i in share], dtype=torch.int64).argsort()
    return Embeddings.concat([part for _, part in parts]).take(order)


def _states(parts: Sequence[tuple[list[int], list[torch.Tensor]]]) -> list[torch.Tensor]:
    """The parts by the positions of their texts."""
    found = {i: states_TD for share, part in parts for i, states_TD in zip(share, part, strict=True)}
    return [found[i] for i in range(len(found))]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def replica_of(text: str, replicas: int) -> int:
    """The replica that a text belongs to, the same in every process."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % replicas
