"""TRL: a reward function for GRPO, RLOO, OnlineDPO and AsyncGRPO; Unsloth and axolotl call it in the same way."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from packaging.version import Version

from pgsrm_plugin.errors import SpecError, did_you_mean
from pgsrm_plugin.scorer.row_numbers import logged
from pgsrm_plugin.scorer.scorer import Scorer
from pgsrm_stacks.process_scorer import means, rows_of, stack_use

_WHO = "TRL below 1.6, OnlineDPO, AsyncGRPO, or several reward functions"


class TrlReward:
    """``GRPOTrainer(reward_funcs=TrlReward("pgsrm"))``: rows are the data set's columns; can be pickled.

    ``source`` is a spec, an address, or a Scorer that several functions share; without it, the environment says.
    ``term`` gives that term's value instead of the reward; ``fields`` are the Scorer's, as ``reference_field``.
    """

    def __init__(self, source: Any = None, term: str | None = None, **fields: Any) -> None:
        self.scorer = source if isinstance(source, Scorer) else Scorer(source, **fields)
        self.term, self.__name__ = term, f"pgsrm_{term}" if term else "pgsrm"  # TRL below 1.8 wants a name

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], log_metric: Any = None, **columns: Any
    ) -> list[float | None]:
        """One reward a completion, None where the spec masks it; logs each number's mean. An outage raises."""
        self.scorer.check_use(stack_use(_WHO, masks=_masks(log_metric)))
        if self.term and self.term not in (terms := self.scorer.facts.terms):
            raise SpecError(f"the spec has no term {self.term!r}{did_you_mean(self.term, terms)}")
        rows = self.scorer.score_rows(rows_of(prompts, completions, columns))
        if log_metric is not None:
            for name, mean in means(list(map(logged, rows))).items():  # the same names on every rank, or TRL hangs
                log_metric(name, mean)
        name = f"reward/{self.term}" if self.term else "reward"
        return [None if row["reward"] is None else row[name] for row in rows]


def _masks(log_metric: Any) -> bool:
    """Whether None leaves a row out: only where no other function gives the row a number."""
    functions = getattr(getattr(log_metric, "__self__", None), "reward_funcs", ())
    return len(functions) == 1 and Version(version("trl")) >= Version("1.6")


_from_environment = functools.cache(TrlReward)


def pgsrm(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """``trl grpo --reward_funcs pgsrm_stacks.trl.pgsrm``: the reward that the environment names."""
    return _from_environment()(prompts, completions, **columns)
