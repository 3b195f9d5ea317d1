"""`pgsrm pretrain` and `pgsrm sft`: :class:`ImitationModule` on texts, and on answers."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_lightning.cli import trainer
from pgsrm_lightning.config import LoraConfig
from pgsrm_lightning.supervised.corpus import AnswerData, TextData
from pgsrm_lightning.supervised.imitation import AdamWConfig, ImitationModule


def imitation_module(
    child: str,
    optimizer: AdamWConfig = AdamWConfig(),  # noqa: B008 (frozen)
    lora: LoraConfig | None = None,
    revision: str | None = None,
    gradient_checkpointing: bool = False,
    seed: int = 0,
) -> ImitationModule:
    """The module, as a config file describes it.

    Args:
        child: folder or hub id of a causal language model.
        optimizer: AdamW and its schedule.
        lora: train low-rank adapters instead of all weights.
        revision: commit of the child's hub repository.
        gradient_checkpointing: compute each layer again in the backward pass instead of keeping what it computed.
        seed: of all randomness.
    """
    return ImitationModule(
        child, optimizer, seed, lora=lora, revision=revision, gradient_checkpointing=gradient_checkpointing
    )


def pretrain(args: Sequence[str]) -> None:
    """Models texts as the arguments say; see :func:`pgsrm_lightning.cli.trainer.run`."""
    trainer.run(imitation_module, TextData, args, "pgsrm pretrain")


def sft(args: Sequence[str]) -> None:
    """Imitates answers as the arguments say; see :func:`pgsrm_lightning.cli.trainer.run`."""
    trainer.run(imitation_module, AnswerData, args, "pgsrm sft")
