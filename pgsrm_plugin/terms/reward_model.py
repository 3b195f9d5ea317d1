"""Reward model: a sequence classifier that was trained to say how good an answer to a prompt is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from pgsrm_plugin.encoders.classifier import RewardModelSpec
from pgsrm_plugin.errors import SpecError, did_you_mean
from pgsrm_plugin.section import Section
from pgsrm_plugin.terms.base import Needs, Term

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, OwnModel, Row


class RewardHead(Section):
    """One output of the model."""

    weight: float = Field(1.0, description="below 0, more of it is worse")
    centre: float = Field(0.0, description="the output that counts half")
    scale: float = Field(1.0, gt=0, description="of the logistic, in the units of the output")


def _head(section: Any) -> Any:
    return {"weight": section} if isinstance(section, int | float) and not isinstance(section, bool) else section


class RewardModel(RewardModelSpec, Term):
    r"""What a reward model says of the answer to the prompt: the weighted mean of its heads.

    With :math:`z_h` the output of head :math:`h`, centre :math:`c_h` and scale :math:`s_h`, a head is worth
    :math:`u_h = \sigma((z_h - c_h) / s_h)`, or :math:`1 - u_h` where its weight is below 0, and the value is
    :math:`\sum_h |w_h| u_h / \sum_h |w_h|`. A model trained by Bradley-Terry (arXiv 2203.02155) has one head. It needs
    no reference.
    """

    kind: Literal["reward_model"] = "reward_model"
    others_say: ClassVar = ("rm", "preference_model", "scalar_rm", "classifier", "bradley_terry")
    also_known_as: ClassVar = {
        "centre": "write it below the head: heads: {NAME: {weight: 1, centre: 0.5}}",
        "scale": "write it below the head: heads: {NAME: {weight: 1, scale: 2}}",
        "weights": "write `heads`",
        "attributes": "write `heads`",
    }
    heads: dict[str, Annotated[RewardHead, BeforeValidator(_head)]] = Field(
        {}, description="by the model's names of its outputs: a weight, or a section; none where it has one output"
    )

    def needs(self) -> Needs:
        """The model."""
        return Needs(model=self.preference_model)

    def check_model(self, model: OwnModel) -> None:
        """Refuses heads that the model does not have, and several outputs without a choice."""
        labels: list[str] = model.labels  # type: ignore[attr-defined]
        if not self.heads and len(labels) > 1:
            raise SpecError(
                f"heads: {self.model} has {len(labels)} outputs ({', '.join(labels)}); give those that count their "
                f"weights, e.g. heads: {{{labels[0]}: 1}}"
            )
        for name in self.heads:
            if name not in labels:
                raise SpecError(
                    f"heads.{name}: {self.model} has no such output{did_you_mean(name, labels)} "
                    f"(it has {', '.join(labels)})"
                )
        if self.heads and all(head.weight == 0 for head in self.heads.values()):
            raise SpecError("heads: all weights are 0, so the value would always be 0")

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        judged = encoder.ask(self.preference_model, [(row.prompt, row.response.text) for row in rows])
        return [self._value(dict(zip(one.names, one.values, strict=True))) for one in judged]

    def _value(self, outputs: Mapping[str, float]) -> float:
        from pgsrm_plugin.functional import logistic

        heads = self.heads or {name: RewardHead() for name in outputs}
        worths = {
            name: logistic((1 if head.weight >= 0 else -1) * (outputs[name] - head.centre), 0.5, head.scale)
            for name, head in heads.items()
        }
        whole = math.fsum(abs(head.weight) for head in heads.values())
        return math.fsum(abs(head.weight) * worths[name] for name, head in heads.items()) / whole

    @property
    def preference_model(self) -> RewardModelSpec:
        """The model alone; parts that name the same one share it and what it said."""
        return RewardModelSpec(**{name: getattr(self, name) for name in RewardModelSpec.model_fields})
