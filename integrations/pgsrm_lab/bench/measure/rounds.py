"""Times every system once a round, in turn, so that a slow minute of the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch

from pgsrm_lab.bench.measure.memory import PeakMemory
from pgsrm_lab.bench.measure.roofline import synchronise
from pgsrm_lab.bench.systems.base import Progress, System
from pgsrm_lab.bench.workload import Pairs


@dataclass
class SystemTimes:
    """What was measured of one system.

    Attributes:
        pairs: pairs it scored in a round.
        seconds: of each round.
        cosines: of the last round.
        padding: padding's share of the tokens it computed; None where it is not known.
        peak_mb: the most memory beyond the start in the untimed round; None where it is not known.
    """

    pairs: int
    seconds: list[float] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    padding: float | None = None
    peak_mb: float | None = None

    @property
    def pairs_per_s(self) -> float:
        """From the median of the rounds."""
        return self.pairs / median(self.seconds)


def time_in_turn(
    systems: Sequence[System],
    pairs: Pairs,
    probes: Mapping[str, Callable[[], float]],
    rounds: int,
    progress: Progress,
) -> tuple[list[SystemTimes], dict[str, list[float]]]:
    """The times of every system, and the readings of every probe, one a round. Each round begins with another system.

    A first round is not timed: it warms up, and measures memory and padding.
    """
    work = [pairs if system.rows is None else pairs.take(system.rows) for system in systems]
    times = [SystemTimes(len(rows)) for rows in work]
    for system, rows, measured in zip(systems, work, times, strict=True):
        progress(f"warming up: {system.name}, {system.dtype}")
        _warm_up(system, rows, measured)
    readings: dict[str, list[float]] = {name: [] for name in probes}
    for number in range(rounds):
        for name, read in probes.items():
            readings[name].append(read())
        for i in range(len(systems)):
            turn = (i + number) % len(systems)
            progress(f"round {number + 1} of {rounds}: {systems[turn].name}, {systems[turn].dtype}")
            _time(systems[turn], work[turn], times[turn])
    return times, readings


def _warm_up(system: System, pairs: Pairs, measured: SystemTimes) -> None:
    memory = PeakMemory(torch.device(system.device)) if system.measures_memory else None
    if system.padding is not None:
        system.padding.open()
    system.cosines(pairs)
    if system.padding is not None:
        measured.padding = system.padding.close()
    if memory is not None:
        measured.peak_mb = memory.read_mb()


def _time(system: System, pairs: Pairs, measured: SystemTimes) -> None:
    device = torch.device(system.device)
    synchronise(device)
    started = time.perf_counter()
    cosines = system.cosines(pairs)
    synchronise(device)
    measured.seconds.append(time.perf_counter() - started)
    measured.cosines = cosines.double().tolist()
