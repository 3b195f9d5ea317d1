"""The reward that a language model's logits already are, as credit for tokens (EndoRM)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pgsrm_plugin.credit.base import SoftValueCredit


class Endogenous(SoftValueCredit):
    r"""The reward for which a language model would be the best policy (EndoRM, arXiv 2506.23235).

    :math:`c_t = \tau \log \pi_\phi(y_t | s_t) + V(s_t) - V(s_{t+1})` with :math:`V(s) = \tau \log \sum_v \exp(z_v(s) /
    \tau)`: the soft Bellman equation backwards, with logits :math:`z` for soft values. As :math:`\tau \log \pi = z -
    V`, it is :math:`z_{y_t}(s_t) - V(s_{t+1})`. The paper's :math:`V` of the end is 0. Then the sum over a response is
    :math:`\tau \log \pi_\phi(y | x) + V(s_1)`, likelihood and a constant, so it is no reward; and the last token would
    have the level of the logits, which nothing determines (a constant added to all of them changes no probability and
    no other token's credit). So the last token is not counted here, and credit is centred like every other.
    """

    kind: Literal["endogenous"] = "endogenous"
    others_say: ClassVar = ("endorm", "endo_rm", "generalist_rm", "soft_q")
    no_reward: ClassVar = (
        "its sum over a response is the response's log-likelihood and a constant of the prompt, so it would pay for "
        "short and common ones, and for nothing that they say"
    )
