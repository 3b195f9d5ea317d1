"""What a checkpoint says about itself, so that another model's is refused before its weights are loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from pgsrm_lightning.config import LoraConfig
from pgsrm_lightning.policy import Policy
from pgsrm_plugin.data.whole import replacing
from pgsrm_plugin.errors import SpecError

KEY = "pgsrm"


class WholeFiles(TorchCheckpointIO):
    """Checkpoints on a disk take their name, or the one before's place, when all of them is written.

    Lightning's own are copied to where they belong, from another file system at times, and a kill cuts the copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """See :class:`lightning.fabric.plugins.CheckpointIO`."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(path)) as file:
            torch.save(checkpoint, file)


class LastStep:
    """What a training step starts from, kept in host memory while its updates change it.

    Args:
        trained: the parameters that the optimizer changes.
    """

    def __init__(self, trained: Sequence[nn.Parameter], optimizer: Optimizer, scaler: GradScaler | None) -> None:
        self._trained, self._optimizer, self._scaler = trained, optimizer, scaler
        self._weights = [parameter.detach().to("cpu", copy=True) for parameter in trained]
        self._state = tree_map_only(Tensor, lambda value: value.detach().to("cpu", copy=True), optimizer.state_dict())
        self._scale = None if scaler is None else dict(scaler.state_dict())

    @torch.no_grad()
    def restore(self) -> None:
        """Puts it back."""
        for parameter, kept in zip(self._trained, self._weights, strict=True):
            parameter.copy_(kept)
        self._optimizer.load_state_dict(self._state)
        if self._scaler is not None and self._scale is not None:
            self._scaler.load_state_dict(self._scale)


def fingerprint(policy: Policy, algorithm: str, lora: LoraConfig | None) -> dict[str, str | int]:
    """Architecture, sizes, algorithm, adapters and initial weights: all that must agree for a checkpoint to fit.

    The initial weights are those of the KL reference, which no checkpoint holds.
    """
    config = policy.lm.config.get_text_config()
    return {
        "architecture": type(policy.lm.get_base_model() if lora else policy.lm).__name__,
        "layers": int(config.num_hidden_layers),
        "hidden_size": int(config.hidden_size),
        "vocabulary": int(policy.lm.get_input_embeddings().num_embeddings),
        "tokenizer": len(policy.tokenizer),
        "parameters": sum(parameter.numel() for parameter in policy.parameters()),
        "algorithm": algorithm,
        "lora": "none"
        if lora is None
        else f"r {lora.r}, alpha {lora.alpha}, {lora.target_modules or 'default layers'}",
        "initial weights": _weights_digest(policy),
    }


def beside(module: nn.Module) -> str:
    """What a module's checkpoints hold beside the policy: running means, and what learns or is counted."""
    return ", ".join(sorted({name.partition(".")[0] for name in module.state_dict()} - {"policy"})) or "nothing"


def read_state(checkpoint: Mapping[str, Any], ours: Mapping[str, str | int]) -> Mapping[str, Any]:
    """The run's own state in a checkpoint.

    Raises:
        SpecError: the checkpoint is not one of ours, or is of another model; the message describes both.
    """
    state = checkpoint.get(KEY)
    if not isinstance(state, Mapping) or "fingerprint" not in state:
        raise SpecError("the checkpoint was not written by `pgsrm train`, `sft` or `pretrain` (no section 'pgsrm')")
    theirs = state["fingerprint"]
    differing = [name for name in ours if theirs.get(name) != ours[name]]
    differing = [name for name in differing if name != "initial weights"] or differing
    if differing:
        raise SpecError(
            f"the checkpoint is of another model: it has {_described(theirs, differing)}; "
            f"this run has {_described(ours, differing)}. Give the child, algorithm and reward that it was trained "
            "with, or leave the checkpoint out"
        )
    return state


def frozen_names(policy: Policy) -> set[str]:
    """Names of the parameters that no step changes (with LoRA, the base model); checkpoints leave them out."""
    named = policy.named_parameters(remove_duplicate=False)  # tied weights have two names
    return {name for name, parameter in named if not parameter.requires_grad}


def leave_out_frozen(checkpoint: dict[str, Any], policy: Policy) -> None:
    """Drops what no step changes from a checkpoint that is about to be written."""
    for name in frozen_names(policy):
        checkpoint["state_dict"].pop(f"policy.{name}", None)


def put_back_frozen(checkpoint: dict[str, Any], module: nn.Module) -> None:
    """Adds what :func:`leave_out_frozen` dropped, from the module that the checkpoint is loaded into."""
    own = module.state_dict()
    frozen = {f"policy.{name}" for name in frozen_names(module.policy)}  # type: ignore[arg-type]
    checkpoint["state_dict"] |= {name: own[name] for name in frozen}


def _weights_digest(policy: Policy) -> str:
    """A short digest of the first numbers of each of the child's parameters, adapters left out."""
    digest = hashlib.sha256()
    for name, parameter in policy.lm.named_parameters():
        if "lora_" not in name:
            digest.update(parameter.detach().flatten()[:64].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def _described(values: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {values.get(name, 'unknown')}" for name in names)
