"""What is run: the protocol that every run shares, one job a run, and the digest by which a finished one is known."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pgsrm_lab.reproduce.arms import ARMS, Update, of_role
from pgsrm_lab.tasks import TASKS, load_task
from pgsrm_lab.tiny import Size
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.ppo import PPOConfig
from pgsrm_lightning.algorithms.reinforce import ReinforceConfig
from pgsrm_plugin.errors import SpecError, did_you_mean

FORMAT = 1
"""Of a run's file; raised when what a run does or records changes, so that older files are not taken for finished."""
TINY = "tiny"
ALPHA_TASKS = ("colours", "antonyms")
"""Where the exponent is varied."""
REINFORCE_TASKS = ("colours", "antonyms")
"""Where the authors' update rule is tried too."""


TINY_PPO = PPOConfig(epochs=2, minibatches=4, lr_actor=3e-4, lr_critic=5e-3, kl=KLConfig(coef=0.02, schedule="fixed"))
TINY_REINFORCE = ReinforceConfig(entropy_coef=0.001, lr_actor=3e-4, lr_critic=5e-3)
"""PPO's learning rates. Its advantages are not whitened, so an entropy bonus of PPO's size outweighs them."""


@dataclass(frozen=True)
class Protocol:
    """The settings that are the same for every run of a grid.

    Attributes:
        child: ``tiny``, or a folder or hub id of a causal language model, which starts as it is.
        size: of the tiny child.
        goal: the tiny child's supervised run stops once it samples the right answer with this probability.
        supervised_steps: that run's, at most; a goal that is not reached by then is an error.
        steps, prompts_per_step: of a run.
        validate_every: steps between two measurements of accuracy.
    """

    child: str = TINY
    size: Size = field(default_factory=lambda: Size(layers=2, width=128))
    goal: float = 0.1
    supervised_steps: int = 3000
    steps: int = 30
    prompts_per_step: int = 256
    validate_every: int = 3
    ppo: PPOConfig = TINY_PPO
    reinforce: ReinforceConfig = TINY_REINFORCE

    @property
    def digest(self) -> str:
        """Of all settings."""
        return _digest(dataclasses.asdict(self))

    def algorithm(self, update: Update) -> PPOConfig | ReinforceConfig:
        """The settings of an update rule."""
        return self.ppo if update == "ppo" else self.reinforce


@dataclass(frozen=True)
class Job:
    """One run; everything that a worker needs to know, picklable."""

    task: str
    arm: str
    update: Update
    seed: int
    protocol: Protocol
    out: Path

    @property
    def digest(self) -> str:
        """Of everything that determines the run: protocol, prompts and answers, reward, update rule, seed."""
        arm = ARMS[self.arm]
        return _digest(
            [FORMAT, self.protocol.digest, task_digest(self.task), arm.name, arm.body, self.update, self.seed]
        )

    @property
    def name(self) -> str:
        """In messages."""
        return f"{self.task}, {label(self.arm, self.update)}, seed {self.seed}"

    @property
    def file(self) -> Path:
        """Where its result goes; there only once it is finished."""
        return self.out / "runs" / f"{self.task}-{self.arm}-{self.update}-{self.seed}-{self.digest[:12]}.json"

    @property
    def warm_start(self) -> Path:
        """The folder of the child that all rewards of this task and seed start from, with its prompts."""
        of = [FORMAT, self.protocol.child, self.protocol.goal, dataclasses.asdict(self.protocol.size)]
        return self.out / "warm" / f"{self.task}-{self.seed}-{_digest([*of, task_digest(self.task)])[:12]}"


def label(arm: str, update: str) -> str:
    """An arm's name with its update rule, where that is not PPO."""
    return arm if update == "ppo" else f"{arm}, REINFORCE"


def plan(
    tasks: Sequence[str], arms: Sequence[str], updates: Sequence[Update], seeds: int, protocol: Protocol, out: Path
) -> list[Job]:
    """The jobs of a grid, seed by seed, so that a grid that is cut short has all arms for the first seeds.

    Without ``arms``: all of them, the exponents only on :data:`ALPHA_TASKS`, and, without ``updates``, also REINFORCE
    for the claim and its baseline on :data:`REINFORCE_TASKS`. Without ``updates`` it is PPO otherwise.

    Raises:
        SpecError: a task or an arm does not exist.
    """
    for kind, given, known in (("task", tasks, TASKS), ("arm", arms, ARMS)):
        for name in given:
            if name not in known:
                raise SpecError(f"there is no {kind} {name!r}{did_you_mean(name, known)} ({kind}s: {', '.join(known)})")
    chosen = [
        (task, arm, update)
        for task in (tasks or list(TASKS))
        for update in (updates or ("ppo",))
        for arm in (arms or _default_arms(task))
    ]
    if not arms and not updates:
        compared = of_role("claim", "baseline")
        chosen += [(task, arm, "reinforce") for task in tasks or TASKS if task in REINFORCE_TASKS for arm in compared]
    return [Job(task, arm, update, seed, protocol, out) for seed in range(seeds) for task, arm, update in chosen]


def _default_arms(task: str) -> Sequence[str]:
    return [name for name, arm in ARMS.items() if arm.role != "alpha" or task in ALPHA_TASKS]


@functools.cache
def task_digest(name: str) -> str:
    """Of a task's prompts, split and answers."""
    task = load_task(name)
    return _digest([task.train_prompts, task.held_out_prompts, dict(task.expert), task.new_tokens])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
