"""What a study is: rewards put to tasks and seeds, one job a run, and the digest by which a finished one is known.

A study says everything about itself in one folder: what its runs train, what is measured of them, and its pages.
Running, resuming, tables, comparisons and verdicts are the same for all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import Self

from pgsrm_lab.reproduce.measure import Measure
from pgsrm_lab.tiny import Size
from pgsrm_lightning.algorithms.base import AlgorithmConfig
from pgsrm_plugin.errors import SpecError, did_you_mean

FORMAT = 1
"""Of a run's file; raised when what a run does or records changes, so that older files are not taken for finished."""

ENCODER = """\
encoder:
  kind: hf
  model: sentence-transformers/all-MiniLM-L6-v2
  revision: 1110a243fdf4706b3f48f1d95db1a4f5529b4d41
"""
"""What the specs of all arms compare with."""

Run = Mapping[str, Any]
"""A finished run's file."""
Row = Mapping[str, Any]
"""Of results.parquet."""


@dataclass(frozen=True)
class Arm:
    """A reward.

    Attributes:
        name: on pages and in files.
        role: what it is compared for; the study knows its roles.
        body: its spec, or what a study makes its spec of.
        about: what it is, in a few words.
        encoder: whether its spec has one.
    """

    name: str
    role: str
    body: str
    about: str
    encoder: bool = True


@dataclass(frozen=True)
class Protocol:
    """The settings that are the same for every run of a grid.

    Attributes:
        size: of the tiny child.
        goal: the tiny child's supervised run stops once it samples a wanted answer with this probability.
        supervised_steps: that run's, at most; a goal that is not reached by then is an error.
        steps, prompts_per_step: of a run.
        validate_every: steps between two measurements of what the child answers.
    """

    size: Size = field(default_factory=lambda: Size(layers=2, width=128))
    goal: float = 0.1
    supervised_steps: int = 3000
    steps: int = 30
    prompts_per_step: int = 256
    validate_every: int = 3

    @property
    def settings(self) -> dict[str, Any]:
        """What determines a run, as plain data: it is kept with the run, and the digest is of it."""
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """Of all settings."""
        return digest(self.settings)

    @property
    def start(self) -> list[object]:
        """What a warm start depends on, besides its task and seed."""
        return [self.goal, dataclasses.asdict(self.size)]

    def algorithm(self, update: str) -> AlgorithmConfig:
        """The settings of an update rule, whose field has its name."""
        settings: AlgorithmConfig = getattr(self, update)
        return settings

    def with_lr(self, lr: float | None) -> Self:
        """With another learning rate of the child under every update rule; None: as it is."""
        if lr is None:
            return self
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        rules = {name: value for name, value in own.items() if isinstance(value, AlgorithmConfig)}
        changed: dict[str, Any] = {name: dataclasses.replace(rule, lr_actor=lr) for name, rule in rules.items()}
        return dataclasses.replace(self, **changed)


class Study(ABC):
    """One question. It has no state: all instances of a class are equal, so that jobs are.

    Attributes:
        name: of its command, of its results' folder, and of its page.
        tasks: what makes each, by name, in the order of the pages.
        arms: its rewards, likewise.
        measures: the numbers of a run's row, by column.
        baseline: the reward that others are compared with.
        update: the update rule of its main results.
        updates: all that it has; empty: that one.
        seeded_start: whether what the rewards of a task start from differs from seed to seed.
    """

    name: ClassVar[str]
    tasks: ClassVar[Mapping[str, Callable[[], Any]]]
    arms: ClassVar[Mapping[str, Arm]]
    measures: ClassVar[Mapping[str, Measure]]
    baseline: ClassVar[str]
    update: ClassVar[str]
    updates: ClassVar[Sequence[str]] = ()
    seeded_start: ClassVar[bool] = True

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    @abstractmethod
    def task_digest(self, task: str) -> str:
        """Of what a task asks and of its answers."""

    @abstractmethod
    def start(self, job: Job, folder: Path) -> None:
        """Writes the prompts of a job's task, and the child that all rewards start from, into a folder.

        Raises:
            PgsrmError: the supervised run did not reach its goal.
        """

    @abstractmethod
    def train(self, job: Job) -> dict[str, Any]:
        """A whole run: its ``curves`` and ``examples``, and what else the study keeps of it."""

    @abstractmethod
    def rows(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """The rows of results.parquet, one a run."""

    @abstractmethod
    def pages(self, results: Path, name: str) -> dict[str, str]:
        """Each page's text by its path, the findings first; given the results and the first page's name."""

    @abstractmethod
    def report(self, out: Path) -> Path:
        """Writes report.html into the results' folder."""

    def together(self, protocol: Protocol) -> Sequence[Protocol]:
        """The protocols whose runs stand in one table with this one's, itself among them."""
        return [protocol]

    def check(self, tasks: Sequence[str], arms: Sequence[str], updates: Sequence[str] = ()) -> None:
        """Refuses names that the study does not have.

        Raises:
            SpecError: a task, an arm or an update rule does not exist.
        """
        rules = self.updates or (self.update,)
        for kind, given, known in (
            ("task", tasks, self.tasks),
            ("arm", arms, self.arms),
            ("update rule", updates, rules),
        ):
            for name in given:
                if name not in known:
                    nearest = did_you_mean(name, known)
                    raise SpecError(f"there is no {kind} {name!r}{nearest} ({kind}s: {', '.join(known)})")


@dataclass(frozen=True)
class Job:
    """One run; everything that a worker needs to know, picklable."""

    study: Study
    task: str
    arm: str
    update: str
    seed: int
    protocol: Protocol
    out: Path

    @property
    def digest(self) -> str:
        """Of everything that determines the run: protocol, prompts and answers, reward, update rule, seed."""
        arm, of_task = self.study.arms[self.arm], self.study.task_digest(self.task)
        return digest([FORMAT, self.protocol.digest, of_task, arm.name, arm.body, self.update, self.seed])

    @property
    def name(self) -> str:
        """In messages."""
        return f"{self.task}, {self.label}, seed {self.seed}"

    @property
    def label(self) -> str:
        """The arm's name with its update rule, where that is not the study's own."""
        return self.arm if self.update == self.study.update else f"{self.arm}, {self.update.upper()}"

    @property
    def file(self) -> Path:
        """Where its result goes; there only once it is finished."""
        return self.out / "runs" / f"{self.task}-{self.arm}-{self.update}-{self.seed}-{self.digest[:12]}.json"

    @property
    def warm_start(self) -> Path:
        """The folder of the child that all rewards of this task and seed start from, with its prompts."""
        of = [FORMAT, *self.protocol.start, self.study.task_digest(self.task)]
        seed = self.seed if self.study.seeded_start else 0
        return self.out / "warm" / f"{self.task}-{seed}-{digest(of)[:12]}"


def digest(content: object) -> str:
    """sha256 of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
