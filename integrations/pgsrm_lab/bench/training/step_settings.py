"""What both systems train, and what each says after a step."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TextIO

import torch

from pgsrm_lab.bench.measure.memory import PeakMemory

WORDS = ("rain", "bread", "winter", "money", "music", "stone", "friend", "night", "ocean", "garden", "engine", "letter")
SPEC = "{encoder: {kind: hashing}, terms: {semantic: {}}}"


@dataclass(frozen=True)
class StepSettings:
    """One step's work, the same for every system.

    Attributes:
        child: folder of a causal language model.
        chat: whether prompts go through its chat template.
        prompts, group, new_tokens: of a step; ``new_tokens`` is where an answer is cut.
        kl: coefficient of the KL to the reference, k3 in the loss; 0 needs no reference.
        threads: of torch.
        device: ``cpu`` or ``cuda``.
    """

    child: str
    chat: bool
    prompts: int = 4
    group: int = 8
    new_tokens: int = 24
    kl: float = 0.04
    threads: int = 2
    device: str = "cpu"

    @property
    def texts(self) -> list[str]:
        """The prompts of every step."""
        return [f"Tell me a story of three long sentences about {WORDS[n % len(WORDS)]}." for n in range(self.prompts)]

    @classmethod
    def parse(cls, text: str) -> StepSettings:
        """Reads what :meth:`dump` wrote."""
        return cls(**json.loads(text))

    def dump(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))


class Turns:
    """A worker's side: waits for its turn, does one step, says how it went, one line of JSON each.

    Args:
        out: where the lines go; everything else that is printed goes to stderr.
    """

    def __init__(self, settings: StepSettings, out: TextIO) -> None:
        self._out, self.phases = out, dict[str, float]()
        self.tokens = 0.0
        self._memory = PeakMemory(torch.device(settings.device))
        self._start = (0.0, 0.0)

    def begin(self) -> None:
        """Blocks until it is this process's turn. An end of the input ends the process."""
        self._say({"ready": True})
        if not sys.stdin.readline():
            raise SystemExit(0)
        self._memory.forget()
        self.phases.clear()
        self.tokens = 0.0
        self._start = (time.perf_counter(), time.process_time())

    def end(self) -> None:
        """The step is done."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - self._start[0], time.process_time() - self._start[1]
        rest = {"update": wall - sum(self.phases.values())}
        memory = self._memory.read_mb()
        self._say({"s": wall, "cpu_s": cpu, "phases": self.phases | rest, "tokens": self.tokens, "peak_mib": memory})

    def timed(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        """The function, whose time counts for the phase."""

        def call(*args: object, **kwargs: object) -> object:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - start

        return call

    def _say(self, line: dict[str, object]) -> None:
        print(json.dumps(line), file=self._out, flush=True)
