"""What is run: the protocol that every run shares, and the grid of tasks, rewards, update rules and seeds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pgsrm_lab.reproduce.paper.arms import ARMS, of_role
from pgsrm_lab.reproduce.study import Job, Protocol, Study, digest
from pgsrm_lab.tasks import PGSRM_TASKS, load_task
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.ppo import PPOConfig
from pgsrm_lightning.algorithms.reinforce import ReinforceConfig

ALPHA_TASKS = ("colours", "antonyms")
"""Where the exponent is varied."""
REINFORCE_TASKS = ("colours", "antonyms")
"""Where the authors' update rule is tried too."""


TINY_PPO = PPOConfig(epochs=2, minibatches=4, lr_actor=3e-4, lr_critic=5e-3, kl=KLConfig(coef=0.02, schedule="fixed"))
TINY_REINFORCE = ReinforceConfig(entropy_coef=0.001, lr_actor=3e-4, lr_critic=5e-3)
"""PPO's learning rates. Its advantages are not whitened, so an entropy bonus of PPO's size outweighs them."""


@dataclass(frozen=True)
class PaperProtocol(Protocol):
    """The settings of the PGSRM study."""

    ppo: PPOConfig = TINY_PPO
    reinforce: ReinforceConfig = TINY_REINFORCE


def plan(
    study: Study,
    tasks: Sequence[str],
    arms: Sequence[str],
    updates: Sequence[str],
    seeds: int,
    protocol: PaperProtocol,
    out: Path,
) -> list[Job]:
    """The jobs of a grid, seed by seed, so that a grid that is cut short has all arms for the first seeds.

    Without ``arms``: all of them, the exponents only on :data:`ALPHA_TASKS`, and, without ``updates``, also REINFORCE
    for the claim and its baseline on :data:`REINFORCE_TASKS`. Without ``updates`` it is PPO otherwise.

    Raises:
        SpecError: a task, an arm or an update rule does not exist.
    """
    study.check(tasks, arms, updates)
    chosen: list[tuple[str, str, str]] = [
        (task, arm, update)
        for task in (tasks or list(PGSRM_TASKS))
        for update in (updates or ("ppo",))
        for arm in (arms or _default_arms(task))
    ]
    if not arms and not updates:
        compared = of_role("claim", "baseline")
        chosen += [
            (task, arm, "reinforce") for task in tasks or PGSRM_TASKS if task in REINFORCE_TASKS for arm in compared
        ]
    return [Job(study, *one, seed, protocol, out) for seed in range(seeds) for one in chosen]


def _default_arms(task: str) -> Sequence[str]:
    return [name for name, arm in ARMS.items() if arm.role != "alpha" or task in ALPHA_TASKS]


@functools.cache
def task_digest(name: str) -> str:
    """Of a task's prompts, split and answers."""
    task = load_task(name)
    return digest([task.train_prompts, task.held_out_prompts, dict(task.expert), task.new_tokens])
