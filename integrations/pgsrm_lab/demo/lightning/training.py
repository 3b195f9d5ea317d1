"""A worker process: it loads the encoder once and trains one run after the other."""

from __future__ import annotations

from collections.abc import Mapping

from pgsrm_lab.demo import one_run
from pgsrm_lab.demo.child import SETS
from pgsrm_lab.demo.lightning.reward_runs import LABELS, RewardRun
from pgsrm_lab.demo.one_run import OneRun
from pgsrm_lab.pool import ProgressMessage, report
from pgsrm_lightning.config import SamplingConfig
from pgsrm_plugin import SemanticReward

_state: dict[str, SemanticReward] = {}


def load_encoder() -> None:
    """Loads the encoder, once a process."""
    if "semantic" not in _state:
        _state["semantic"] = SemanticReward(one_run.validation_spec())


def train(run: RewardRun) -> None:
    """One whole run, each step reported to the main process; it stops when that ends."""
    load_encoder()
    plan = run.plan

    def tell(step: int, numbers: Mapping[str, float]) -> None:
        report(ProgressMessage(run.name, step, numbers.get("train/reward"), numbers.get("val/train/accuracy")))

    one_run.train(
        OneRun(
            label=run.label,
            spec=LABELS[run.label],
            seed=run.seed,
            folder=run.folder,
            child=str(plan.out / "child"),
            prompts=plan.out,
            sets=SETS,
            algorithm=plan.ppo,
            sampling=SamplingConfig(max_new_tokens=plan.new_tokens, eval_batch_size=128),
            prompts_per_step=plan.prompts_per_step,
            steps=plan.steps,
            validate_every=plan.validate_every,
        ),
        _state["semantic"],
        tell,
    )
