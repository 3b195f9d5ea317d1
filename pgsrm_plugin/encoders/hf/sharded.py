"""The hf encoder over the ranks of a process group: its parameters sharded by FSDP2, or a copy on each rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.cpu.engine import Computed, Wanted
from pgsrm_plugin.encoders.hf.cpu.streamed import StreamedEngine, can_stream
from pgsrm_plugin.encoders.hf.encoder import HfEncoder
from pgsrm_plugin.encoders.hf.runners import Batches, LoadedModel, Runner, fastest
from pgsrm_plugin.encoders.hf.tokens import ReadTexts
from pgsrm_plugin.errors import ScorerError

Placement: TypeAlias = Literal["shard", "replicate"]


class ShardedEncoder(HfEncoder):
    """One rank of a frozen encoder that all ranks of ``mesh`` hold together; each rank embeds its own texts.

    With ``shard`` a forward pass gathers the parameters of one layer after the other, so every rank must run equally
    many: ``encode``, ``token_states`` and ``encode_with_states`` are collective calls. All ranks make them together,
    each with its own texts, any number, none included. They agree on the greatest number of batches, and a rank out of
    work runs a batch of one idle text. On a CPU, models of BERT's family gather each layer once for many batches
    (:class:`~pgsrm_plugin.encoders.hf.cpu.streamed.StreamedEngine`). With ``replicate`` every rank has all parameters
    and works alone.

    The whole model is loaded, and passes its self-test, on each rank before it is sharded. Modules after the
    transformer (pooling, dense layers) stay whole. Only the group of ``mesh`` is used, never the default group or
    another model's.

    Args:
        spec: the model and how to run it; its ``device`` is ignored in favour of the mesh's.
        mesh: one-dimensional, over the ranks that share the encoder.
        placement: ``shard`` or ``replicate``.

    Raises:
        SpecError: see :class:`~pgsrm_plugin.encoders.hf.encoder.HfEncoder`.
        ScorerError: the model fails its self-test, or is called while it is offloaded.
    """

    def __init__(self, spec: HfEncoderSpec, mesh: DeviceMesh, placement: Placement = "shard") -> None:
        self.placement = placement
        self._mesh = mesh
        self._offloaded = False
        # Whole, for the self-test: batches, as packed weights would stay beside those that are then sharded.
        runner: Callable[[LoadedModel], Runner] = Batches if placement == "shard" else fastest
        super().__init__(spec.model_copy(update={"device": mesh.device_type}), runner)
        if placement == "shard":
            self._runner = self._shard()

    def _shard(self) -> Runner:
        """Shards the model, and gives what runs it."""
        streams = self._can_stream()
        # The model inside the first module: sentence-transformers' own class cannot be made an FSDP one.
        for network in self._model[0].children():
            _shard(network, self._mesh)
        if not streams:
            return Batches(self._loaded, self._agree)
        assert self._network is not None
        return StreamedEngine(self._network, self._loaded.tail, self._loaded.spec.batch_tokens, self._agree)

    @property
    def parameter_bytes(self) -> tuple[int, int]:
        """Bytes of parameters on this rank, and in the whole model."""
        parameters = list(self._model.parameters())
        own = [p.to_local() if isinstance(p, DTensor) else p for p in parameters]
        return _bytes(own), _bytes(parameters)

    @property
    def offloaded(self) -> bool:
        """Whether the parameters have left the device."""
        return self._offloaded

    def offload(self) -> None:
        """Moves this rank's parameters to the CPU and gives the device's memory back; nothing if already there."""
        self._move("cpu", offloaded=True)
        if self._mesh.device_type == "cuda":
            torch.cuda.empty_cache()

    def onload(self) -> None:
        """Moves this rank's parameters back to the device; nothing if already there."""
        self._move(self._mesh.device_type, offloaded=False)

    def _move(self, device: str, offloaded: bool) -> None:
        with self._lock:
            if self._offloaded != offloaded:
                self._model.to(device)
                self._offloaded = offloaded

    @property
    def _network(self) -> nn.Module | None:
        network: nn.Module | None = getattr(self._model[0], "model", None)
        return network

    def _can_stream(self) -> bool:
        """Whether all ranks can run the network layer by layer on a CPU: they must do the same."""
        network = self._network
        able = (
            self._mesh.device_type == "cpu"
            and network is not None
            and can_stream(network, self._loaded.spec.batch_tokens)
        )
        return self._agree(int(not able)) == 0

    def _run(self, texts: Sequence[str], wanted: Wanted) -> tuple[ReadTexts, Iterator[tuple[int, Computed]]]:
        if self._offloaded:
            raise ScorerError(f"encoder {self.identity} is offloaded; call onload() before it is used")
        return super()._run(texts, wanted)

    def _agree(self, rounds: int) -> int:
        """The greatest number of rounds that any rank needs."""
        most = torch.tensor(rounds, device=self._mesh.device_type)
        distributed.all_reduce(most, op=distributed.ReduceOp.MAX, group=self._mesh.get_group())
        return int(most)


def _shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """One FSDP2 unit a layer, and one for the rest (embeddings, final norm); each is gathered only while it runs."""
    for layer in layers_of(network):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)
    # sentence-transformers calls network.forward(...), which passes by a module's hooks.
    register_fsdp_forward_method(network, "forward")


def layers_of(network: nn.Module) -> list[nn.Module]:
    """The transformer's layers: the outermost module list that holds most of the network's parameters."""
    lists: list[nn.ModuleList] = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        return []
    widest = max(lists, key=lambda layers: _bytes(layers.parameters()))
    return list(widest)


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
