"""Which term a response is rewarded for most, learned by a linear head (MAESTRO, arXiv 2601.07208).

Shape suffixes: ``B`` rows, ``D`` hidden size, ``K`` terms with a weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from pgsrm_lightning.advantages import group_advantages
from pgsrm_lightning.config import LearnedWeightsConfig
from pgsrm_lightning.distributed import total
from pgsrm_lightning.meter import Meter
from pgsrm_plugin import RewardOutput, RewardSpec
from pgsrm_plugin.aggregates import Sum
from pgsrm_plugin.errors import SpecError


def emphasised(terms: int, chosen: int, emphasis: float) -> list[float]:
    """What each of some terms' weights is multiplied by; the mean is 1.

    >>> emphasised(3, 1, 0.5)
    [0.5, 2.0, 0.5]
    """
    return [1.0 + emphasis * (terms - 1) if k == chosen else 1.0 - emphasis for k in range(terms)]


def head_gradient(
    states_BD: Tensor,
    probabilities_BK: Tensor,
    chosen_B: Tensor,
    advantages_B: Tensor,
    entropy: float,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    r"""The gradient of the sum over rows of :math:`A \log \pi(a | h) + \lambda H(\pi(\cdot | h))`.

    :math:`\pi = \mathrm{softmax}((W h + b) / \tau)`. By a logit it is :math:`(A ([a = k] - \pi_k) - \lambda \pi_k (\log
    \pi_k + H)) / \tau`.

    Returns:
        by the weights, (K, D), and by the biases, (K,).
    """
    logs_BK = probabilities_BK.clamp(min=1e-30).log()
    entropy_B1 = -(probabilities_BK * logs_BK).sum(-1, keepdim=True)
    picked_BK = nn.functional.one_hot(chosen_B, probabilities_BK.shape[1]).to(probabilities_BK)
    by_logit_BK = advantages_B.unsqueeze(-1) * (picked_BK - probabilities_BK)
    by_logit_BK = (by_logit_BK - entropy * probabilities_BK * (logs_BK + entropy_B1)) / temperature
    return by_logit_BK.T @ states_BD, by_logit_BK.sum(0)


class LearnedWeights(nn.Module):
    """Chooses for each response the term that counts most, and learns to choose. Its head goes into checkpoints.

    The head reads the policy's last hidden state of the response, scaled to length 1. It begins with equal chances. One
    choice for a whole group would leave it nothing to learn from, as advantages of a group add up to 0: so each
    response has its own.

    Raises:
        SpecError: the spec is no plain weighted sum of two terms or more.
    """

    weight_KD: Tensor
    bias_K: Tensor

    def __init__(self, config: LearnedWeightsConfig, spec: RewardSpec, hidden_size: int) -> None:
        super().__init__()
        self.names = [name for name in spec.terms if spec.weight(name)]
        if spec.aggregate != Sum() or spec.shape is not None or len(self.names) < 2:
            raise SpecError(
                "learned weights are those of a plain weighted sum of two terms or more; use aggregate: "
                f"{Sum().kind}, without shape, or leave out weights of the algorithm"
            )
        self.config = config
        self.register_buffer("weight_KD", torch.zeros(len(self.names), hidden_size))
        self.register_buffer("bias_K", torch.zeros(len(self.names)))
        self._pending: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def forward(
        self, output: RewardOutput, groups: Sequence[int], states_BD: Tensor, seed: int, meter: Meter
    ) -> RewardOutput:
        """The output with the totals that chosen weights give; what it teaches waits for :meth:`commit`.

        Args:
            states_BD: the policy's last hidden state of each row.
        """
        states_BD = nn.functional.normalize(states_BD.float(), dim=-1)
        logits_BK = (states_BD @ self.weight_KD.T + self.bias_K) / self.config.temperature
        probabilities_BK = logits_BK.softmax(-1)
        generator = torch.Generator().manual_seed(seed)
        chosen_B = torch.multinomial(probabilities_BK.cpu(), 1, generator=generator).squeeze(-1)
        table = [emphasised(len(self.names), chosen, self.config.emphasis) for chosen in chosen_B.tolist()]
        factors_BK = torch.tensor(table, dtype=torch.float64).view(-1, len(self.names))
        weighted = dict(output.weighted)
        for k, name in enumerate(self.names):
            weighted[name] = weighted[name] * factors_BK[:, k]
        total_B = torch.where(output.scored_B, torch.stack(list(weighted.values())).sum(0), 0.0)
        changed = replace(output, total_B=total_B, weighted=weighted)
        advantages_B = group_advantages(total_B, groups, output.scored_B)
        scored_B = output.scored_B
        device = states_BD.device
        gradient = head_gradient(
            states_BD[scored_B.to(device)],
            probabilities_BK[scored_B.to(device)],
            chosen_B[scored_B].to(device),
            advantages_B[scored_B].float().to(device),
            self.config.entropy,
            self.config.temperature,
        )
        rows = total(scored_B.sum().float().to(device)).clamp(min=1)
        self._pending = total(gradient[0]) / rows, total(gradient[1]) / rows
        self._measure(probabilities_BK, meter)
        return changed

    def commit(self, step: int) -> None:
        """Takes the step in that was looked at last; ``step`` counts from 0."""
        if self._pending is not None and (step + 1) % self.config.every == 0:
            self.weight_KD += self.config.lr * self._pending[0]
            self.bias_K += self.config.lr * self._pending[1]
        self._pending = None

    def _measure(self, probabilities_BK: Tensor, meter: Meter) -> None:
        rows = probabilities_BK.shape[0]
        for k, name in enumerate(self.names):
            meter.add(f"train/chosen/{name}", probabilities_BK[:, k].sum(), rows)
        entropy_B = -(probabilities_BK * probabilities_BK.clamp(min=1e-30).log()).sum(-1)
        meter.add("train/chosen_entropy", entropy_B.sum() / math.log(len(self.names)), rows)
