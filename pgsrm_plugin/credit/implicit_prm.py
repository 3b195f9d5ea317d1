"""A process reward model that learns from the rewards of whole responses, while the policy is trained (PRIME)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.credit.base import Learning, RatioCredit


class ImplicitPrm(RatioCredit):
    r"""The log-ratio of a model that learns which responses succeed to what it was before (PRIME, arXiv 2502.01456).

    :math:`q_t = \log \pi_\phi(y_t | y_{<t}) - \log \pi_{base}(y_t | y_{<t})`, divided by the step's
    :math:`\max_{i,t} |\sum_{s \ge t} q_{i,s}|`, as PRIME's code has it. When a step is done, :math:`\phi` learns by the
    cross entropy of :math:`\sigma(\beta \sum_t q_t)` with the response's success, which may be anything from 0 to 1.
    PRIME's coefficient is ``alpha: 5``. In the first step all credit is 0, as both models are one.
    """

    kind: Literal["implicit_prm"] = "implicit_prm"
    others_say: ClassVar = ("prime", "implicit_process_reward", "iprm")
    beta: float = Field(0.05, gt=0, le=10, description="of the logit of success, in the loss alone")
    lr: float = Field(1e-6, gt=0, le=1, description="AdamW learning rate of the model")
    grad_norm: float = Field(10.0, gt=0, description="its gradients are scaled down to this norm")
    success: float | None = Field(
        None, description="the least reward that is a success; without it, rewards are successes by degrees"
    )

    @property
    def learning(self) -> Learning:
        """By the settings."""
        return Learning(self.beta, self.lr, self.grad_norm, self.success)

    @property
    def normalised(self) -> bool:
        """It is."""
        return True
