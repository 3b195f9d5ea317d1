"""One rank of the colocated encoder: a Ray worker of its own beside the actor's on a training GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch.distributed.device_mesh import init_device_mesh

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.sharded import Placement, ShardedEncoder
from pgsrm_plugin.types import Embeddings
from pgsrm_verl import compat
from pgsrm_verl.colocated.memory import EncoderSize, measure_size

_EVERY_RANK_ALIKE = {"dispatch_mode": compat.Dispatch.ONE_TO_ALL}
_EACH_RANK_ITS_OWN = {"dispatch_mode": compat.Dispatch.ALL_TO_ALL}
"""Every argument is a list with one element a rank."""


@dataclass(frozen=True)
class Survey:
    """What a rank finds before it loads an encoder; bytes of its device, or of its share of a CPU machine's memory."""

    size: EncoderSize
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Loaded:
    """An encoder on one rank: its identity, and the bytes of its parameters here and in all."""

    identity: str
    own_bytes: int
    whole_bytes: int


@dataclass(frozen=True)
class Answer:
    """What a rank returns: the result for its texts, and the greatest memory its process has taken on the device."""

    result: Any
    peak_bytes: int


class EncoderWorker(compat.Worker):
    """Holds encoders by name; all ranks make every call together."""

    def __init__(self) -> None:
        super().__init__()
        compat.initialize_global_process_group_ray()
        self._device = compat.get_device_name()
        self._mesh = init_device_mesh(self._device, (self.world_size,))
        self._encoders: dict[str, ShardedEncoder] = {}
        self._offload = False

    @compat.register_method(**_EVERY_RANK_ALIKE)
    def survey(self, spec: HfEncoderSpec) -> Survey:
        """How large the encoder is, and how much memory this rank has for it.

        Raises:
            SpecError: the model cannot be found.
        """
        return Survey(measure_size(spec), *self._memory())

    @compat.register_method(**_EVERY_RANK_ALIKE)
    def load(self, name: str, spec: HfEncoderSpec, placement: Placement, offload: bool) -> Loaded:
        """Loads the encoder and, with ``offload``, keeps it off the device between calls."""
        encoder = self._encoders[name] = ShardedEncoder(spec, self._mesh, placement)
        self._offload = offload
        self._leave(encoder)
        return Loaded(encoder.identity, *encoder.parameter_bytes)

    @compat.register_method(**_EACH_RANK_ITS_OWN)
    def encode(self, name: str, texts: list[str]) -> Answer:
        """This rank's texts as :class:`~pgsrm_plugin.types.Embeddings`."""
        encoder = self._enter(name)
        try:
            embeddings: Embeddings = encoder.encode(texts)
            return Answer(embeddings, self._peak())
        finally:
            self._leave(encoder)

    @compat.register_method(**_EACH_RANK_ITS_OWN)
    def token_states(self, name: str, texts: list[str]) -> Answer:
        """The token states of this rank's texts."""
        encoder = self._enter(name)
        try:
            return Answer(encoder.token_states(texts), self._peak())
        finally:
            self._leave(encoder)

    @compat.register_method(**_EACH_RANK_ITS_OWN)
    def encode_with_states(self, name: str, texts: list[str]) -> Answer:
        """Both of this rank's texts, in one pass."""
        encoder = self._enter(name)
        try:
            return Answer(encoder.encode_with_states(texts), self._peak())
        finally:
            self._leave(encoder)

    def _enter(self, name: str) -> ShardedEncoder:
        encoder = self._encoders[name]
        encoder.onload()
        return encoder

    def _leave(self, encoder: ShardedEncoder) -> None:
        if self._offload:
            encoder.offload()
        elif self._device == "cuda":
            torch.cuda.empty_cache()  # the rollout, another process, cannot take what this one's allocator holds

    def _memory(self) -> tuple[int, int]:
        if self._device == "cpu":
            machine, ranks = psutil.virtual_memory(), self.world_size
            return machine.available // ranks, machine.total // ranks
        free, total = compat.get_torch_device().mem_get_info()
        return int(free), int(total)

    def _peak(self) -> int:
        if self._device == "cpu":
            return int(psutil.Process().memory_info().rss)
        return int(compat.get_torch_device().max_memory_allocated())
