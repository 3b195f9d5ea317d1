"""How much memory the colocated encoder takes, told before it is loaded."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.load import find_model
from pgsrm_plugin.errors import SpecError

logger = logging.getLogger(__name__)
GIB = 2**30
_DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_HIDDEN_STATES, _WIDE_STATES = 8, 3
"""Activations alive at once in a layer, in widths of the model and of its feed-forward part (gated: 3)."""


@dataclass(frozen=True)
class EncoderSize:
    """Counts of parameters: in all, in one layer, and outside the layers (embeddings); and two widths."""

    parameters: int
    layer: int
    rest: int
    hidden: int
    intermediate: int


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on each rank.

    Attributes:
        resident: parameters kept between reward phases.
        own: parameters during a reward phase.
        gathered: parameters of other ranks, held while they are in use.
        activations: of one batch; an estimate.
        loading: while the whole model is loaded and tests itself.
    """

    resident: int
    own: int
    gathered: int
    activations: int
    loading: int

    @property
    def peak(self) -> int:
        """The most it takes at any time."""
        return max(self.own + self.gathered + self.activations, self.loading)

    def __str__(self) -> str:
        return (
            f"{_gib(self.peak)} GiB on each rank (while loading {_gib(self.loading)}; while scoring: parameters "
            f"{_gib(self.own)}, gathered {_gib(self.gathered)}, activations about {_gib(self.activations)}; between "
            f"steps {_gib(self.resident)})"
        )


@dataclass(frozen=True)
class Device:
    """What the encoder may use on each rank.

    Attributes:
        free_bytes: now, while the rollout sleeps.
        total_bytes: of the device.
        rollout_bytes: what the rollout takes when it wakes up; 0 where it never gives memory back.
        budget_bytes: the user's own limit.
    """

    free_bytes: int
    total_bytes: int
    rollout_bytes: int = 0
    budget_bytes: int | None = None


def shardable(section: EncoderSection) -> HfEncoderSpec | None:
    """The section, if training workers can hold its encoder together (``gives.sharded``)."""
    return section if isinstance(section, HfEncoderSpec) and section.gives.sharded else None


def measure_size(spec: HfEncoderSpec) -> EncoderSize:
    """Builds the model without weights and counts.

    Raises:
        SpecError: there is no such model, or it has no transformer.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    from pgsrm_plugin.encoders.hf.sharded import layers_of

    source = find_model(spec.model, spec.revision)
    try:
        config = AutoConfig.from_pretrained(
            _transformer_folder(source.location), revision=source.revision, trust_remote_code=False
        )
        with torch.device("meta"):
            model = AutoModel.from_config(config)
    except Exception as error:
        raise SpecError(
            f"encoder.model {spec.model!r} has no transformer whose layers could be placed on the training GPUs "
            f"({type(error).__name__}: {str(error)[:200]}); set pgsrm.placement=cpu"
        ) from error
    counts = [sum(p.numel() for p in layer.parameters()) for layer in layers_of(model)]
    parameters = sum(p.numel() for p in model.parameters())
    hidden = int(config.hidden_size)
    wide = next((getattr(config, name, None) for name in ("intermediate_size", "ffn_dim", "d_ff")), None)
    return EncoderSize(parameters, max(counts, default=0), parameters - sum(counts), hidden, int(wide or 4 * hidden))


def plan_memory(size: EncoderSize, spec: HfEncoderSpec, placement: str, offload: bool, ranks: int) -> MemoryPlan:
    """The bytes that a rank needs.

    With ``shard`` a rank holds 1 / ``ranks`` of the parameters and, while it scores, the embeddings and two layers
    (one in use, one on its way) whole. Every rank loads the whole model once, to test it.
    """
    element = _DTYPE_BYTES[spec.dtype]
    whole = size.parameters * element
    tokens = max(spec.batch_tokens, spec.max_tokens or 0)
    activations = tokens * element * (_HIDDEN_STATES * size.hidden + _WIDE_STATES * size.intermediate)
    sharded = placement == "shard" and ranks > 1
    own = -(-whole // ranks) if sharded else whole
    gathered = min(whole, (size.rest + 2 * size.layer) * element) if sharded else 0
    return MemoryPlan(0 if offload else own, own, gathered, activations, whole)


def check_memory(plan: MemoryPlan, device: Device, spec: HfEncoderSpec, placement: str) -> None:
    """Compares a plan with what there is; logs it where it fits, and warns of what an estimate cannot decide.

    Raises:
        SpecError: it does not fit; the message has the numbers and says what to change.
    """
    limit = device.budget_bytes if device.budget_bytes is not None else device.free_bytes
    origin = "pgsrm.memory_budget_gb allows" if device.budget_bytes is not None else "the device has free"
    if plan.peak > limit:
        raise SpecError(
            f"the encoder {spec.model} takes {plan}, and {origin} {_gib(limit)} GiB; {_advice(plan, spec, placement)}"
        )
    logger.info("the encoder %s takes %s; %s %s GiB", spec.model, plan, origin, _gib(limit))
    used = device.total_bytes - device.free_bytes
    over = used + plan.resident + device.rollout_bytes - device.total_bytes
    if device.rollout_bytes and plan.resident and over > 0:
        logger.warning(
            "the encoder's %s GiB stay on the GPU while the rollout wakes up to its %s GiB beside %s GiB of training: "
            "%s GiB more than there are; set pgsrm.offload=true, or lower "
            "actor_rollout_ref.rollout.gpu_memory_utilization",
            *map(_gib, (plan.resident, device.rollout_bytes, used, over)),
        )


def _advice(plan: MemoryPlan, spec: HfEncoderSpec, placement: str) -> str:
    choices = []
    if plan.activations > plan.peak // 4:
        choices.append(f"lower encoder.batch_tokens (now {spec.batch_tokens})")
    if placement == "replicate":
        choices.append("set pgsrm.placement=shard")
    if spec.dtype == "float32":
        choices.append("set encoder.dtype: bfloat16")
    choices += ["set pgsrm.placement=cpu", "raise pgsrm.memory_budget_gb or free memory on the device"]
    return ", or ".join(choices)


def _transformer_folder(location: str) -> str:
    """Where the transformer's config stands in a sentence-transformers folder: its first module's."""
    listing = Path(location) / "modules.json"
    if not listing.is_file():
        return location
    return str(Path(location) / json.loads(listing.read_text("utf-8"))[0]["path"])


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"
