"""Times every bar once a round, in turn, so that a slow minute of the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch

from pgsrm_lab.bench.baseline import PaddingMeter
from pgsrm_lab.bench.memory import PeakMemory
from pgsrm_lab.bench.roofline import synchronise
from pgsrm_lab.bench.workload import Pairs

Say = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True)
class Bar:
    """One way to score pairs.

    Attributes:
        name: its key in the result.
        dtype: of its weights.
        cosines: scores pairs, from texts to (B,) cosines on the CPU, keeping nothing between calls.
        device: where it computes.
        rows: the rows of the workload that it scores; None for all.
        padding: counts its padding; None where it is not known.
        measures_memory: whether it works in this process.
    """

    name: str
    dtype: str
    cosines: Callable[[Pairs], torch.Tensor]
    device: str = "cpu"
    rows: tuple[int, ...] | None = None
    padding: PaddingMeter | None = None
    measures_memory: bool = True


@dataclass
class Track:
    """What a bar did.

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


def play(
    bars: Sequence[Bar], pairs: Pairs, gauges: Mapping[str, Callable[[], float]], rounds: int, say: Say
) -> tuple[list[Track], dict[str, list[float]]]:
    """Every bar's track, and every gauge's readings, one a round. Each round begins with another bar.

    A first round is not timed: it warms up, and measures memory and padding.
    """
    work = [pairs if bar.rows is None else pairs.take(bar.rows) for bar in bars]
    tracks = [Track(len(rows)) for rows in work]
    for bar, rows, track in zip(bars, work, tracks, strict=True):
        say(f"warming up: {bar.name}, {bar.dtype}")
        _weigh(bar, rows, track)
    readings: dict[str, list[float]] = {name: [] for name in gauges}
    for number in range(rounds):
        for name, read in gauges.items():
            readings[name].append(read())
        for i in range(len(bars)):
            turn = (i + number) % len(bars)
            say(f"round {number + 1} of {rounds}: {bars[turn].name}, {bars[turn].dtype}")
            _time(bars[turn], work[turn], tracks[turn])
    return tracks, readings


def _weigh(bar: Bar, pairs: Pairs, track: Track) -> None:
    memory = PeakMemory(torch.device(bar.device)) if bar.measures_memory else None
    if bar.padding is not None:
        bar.padding.open()
    bar.cosines(pairs)
    if bar.padding is not None:
        track.padding = bar.padding.close()
    if memory is not None:
        track.peak_mb = memory.read_mb()


def _time(bar: Bar, pairs: Pairs, track: Track) -> None:
    device = torch.device(bar.device)
    synchronise(device)
    started = time.perf_counter()
    cosines = bar.cosines(pairs)
    synchronise(device)
    track.seconds.append(time.perf_counter() - started)
    track.cosines = cosines.double().tolist()
