"""How much likelier a fine-tuned model finds each token than an earlier one does (DPR)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.credit.base import RatioCredit


class LogRatio(RatioCredit):
    r"""The log-ratio of two frozen language models at each token (Dense-Path REINFORCE, arXiv 2510.02493).

    :math:`c_t = \log \pi_{SFT}(y_t | y_{<t}) - \log \pi_{base}(y_t | y_{<t})`: fine-tuning seen as inverse Q-learning,
    with the fine-tuned model against a checkpoint from the middle of its training. As a reward of its own it would only
    pay for being likely; as credit it has no part in what a response is worth.
    """

    kind: Literal["log_ratio"] = "log_ratio"
    others_say: ClassVar = ("dpr", "dense_path", "logratio")
    base: str = Field(
        min_length=1, description="folder or hub id of what it is held against: a checkpoint of its fine-tuning, say"
    )
