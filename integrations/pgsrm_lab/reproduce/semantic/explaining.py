"""The settings that every run of the study shares: for the tiny child, for a real one, for each set of questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pgsrm_lab.reproduce.study import Protocol
from pgsrm_lab.stages import FLOAT32, Stage
from pgsrm_lab.tiny import Size
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.grpo import GRPOConfig
from pgsrm_plugin.errors import SpecError

TINY = "tiny"
REAL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class ExplainingProtocol(Protocol):
    """The settings of the study.

    Attributes:
        child: ``tiny``, made on the spot, or a causal LM's folder or hub id.
        chat: whether prompts go through its chat template.
        texts, answers: continued pre-training and supervised fine-tuning.
        grpo: of the training; each prompt of a step is answered ``group_size`` times.
        new_tokens: of a response, its end included.
        temperature: of the sampling in training; what is measured is greedy.
        questions: how many are trained on, spread over the set; None: all. A tiny child learns few by heart, or many
            not at all.
        longest: questions whose expert's answer has more words are left out; None: none.
        asked: questions of each split, at most, whose answers are measured.
        source: the folder with the files of a public set; empty: its own address. Their digests are known, so it
            determines nothing.
        precision: Lightning's name for that of a child that is not tiny. It is no matter of the machine, so that runs
            of several stand in one table.
    """

    size: Size = field(default_factory=lambda: Size(layers=2, width=128))
    steps: int = 24
    prompts_per_step: int = 8
    child: str = TINY
    chat: bool = False
    texts: Stage = field(default_factory=lambda: Stage(epochs=8, lr=3e-3, pack_tokens=1024))
    answers: Stage = field(default_factory=lambda: Stage(epochs=24, lr=3e-3, pack_tokens=1024))
    grpo: GRPOConfig = field(
        default_factory=lambda: GRPOConfig(
            group_size=8, lr_actor=1e-4, micro_batch_tokens=8192, kl=KLConfig(coef=0.02, schedule="fixed")
        )
    )
    new_tokens: int = 96
    temperature: float = 0.7
    questions: int | None = 64
    longest: int | None = None
    asked: int = 67
    source: str = ""
    precision: str = FLOAT32

    @property
    def settings(self) -> dict[str, Any]:
        """All but where a public set's files lie."""
        left = {"source", "precision"} if self.child == TINY else {"source"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in left}

    @property
    def start(self) -> list[object]:
        """The child and its two supervised stages."""
        stages = [dataclasses.asdict(stage) for stage in (self.texts, self.answers)]
        precision = [] if self.child == TINY else [self.precision]
        return [self.child, self.chat, self.questions, self.longest, dataclasses.asdict(self.size), *stages, *precision]


QUICK = ExplainingProtocol(
    size=Size(layers=1, width=32),
    steps=2,
    prompts_per_step=2,
    texts=Stage(epochs=1, lr=3e-3, pack_tokens=4096),
    answers=Stage(epochs=1, lr=3e-3, pack_tokens=4096),
    new_tokens=24,
    questions=8,
    asked=4,
)
"""Says whether everything runs, and nothing of the rewards."""


OF_SETS: Mapping[str, Mapping[str, Any]] = {
    "comve": {"new_tokens": 64},
    "casimedicos": {"new_tokens": 128, "longest": 60},
}
"""What differs on a public set: how long its experts' answers are."""


def for_child(protocol: ExplainingProtocol, child: str, precision: str = FLOAT32) -> ExplainingProtocol:
    """The protocol for a child that is not tiny, a token of which costs a hundred times as much.

    Its chat template, small learning rates, fewer passes, steps and measured answers, and no reference model.

    Raises:
        SpecError: a precision for the tiny child, which is float32.
    """
    if child == TINY:
        if precision != FLOAT32:
            raise SpecError(f"--precision {precision}: the tiny child is {FLOAT32}; name another with --child")
        return protocol
    return dataclasses.replace(
        protocol,
        child=child,
        chat=True,
        precision=precision,
        steps=min(protocol.steps, 6),
        prompts_per_step=min(protocol.prompts_per_step, 4),
        asked=min(protocol.asked, 24),
        texts=dataclasses.replace(protocol.texts, epochs=1, lr=1e-4),
        answers=dataclasses.replace(protocol.answers, epochs=min(2, protocol.answers.epochs), lr=1e-4),
        grpo=dataclasses.replace(
            protocol.grpo, lr_actor=3e-5, kl=KLConfig(coef=0.0, schedule="fixed"), micro_batch_tokens=2048
        ),
    )


def for_task(protocol: ExplainingProtocol, task: str) -> ExplainingProtocol:
    """The protocol for a set of questions, made of that of any; a quick look stays one."""
    if protocol.new_tokens == QUICK.new_tokens:
        return protocol
    usual = {"new_tokens": ExplainingProtocol.new_tokens, "longest": ExplainingProtocol.longest}
    return dataclasses.replace(protocol, **{**usual, **OF_SETS.get(task, {})})
