"""How far a demo is: a bar a stage; where there is no terminal, plain lines."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

COLUMNS = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
"""The first columns of a demo's display; a clock and :data:`NOTE` follow."""
NOTE = TextColumn("{task.fields[note]}")


def print_line(progress: Progress, text: str) -> None:
    """Prints a line where there is no terminal to draw bars on."""
    if not progress.console.is_terminal:
        progress.console.print(text, highlight=False)


class Stages:
    """The stages of a demo, one after the other.

    Args:
        every: where there is no terminal, a line every so many steps.
    """

    def __init__(self, progress: Progress, every: int = 10) -> None:
        self.progress, self._every = progress, every
        self._name, self._total, self._printed = "", 0, 0

    def begin(self, name: str, total: int) -> None:
        """Starts the next stage."""
        self._name, self._total, self._printed = name, total, 0
        self._task = self.progress.add_task(name, total=total, note="starting")
        self._print("starts")

    def note(self, text: str) -> None:
        """A word on what happens."""
        self.progress.update(self._task, note=text)
        self._print(text)

    def end(self, text: str) -> None:
        """The stage is done, whatever it had counted."""
        self.progress.update(self._task, completed=self._total)
        self.note(text)

    def learning(self, probability: float) -> None:
        """A supervised run's progress: the probability of right answers, in percent of the stage's total."""
        completed = min(round(100 * probability), self._total)
        self.progress.update(self._task, completed=completed, note=f"P(right) {probability:.2f}")

    def steps(self, points: dict[int, dict[str, float]]) -> None:
        """A training run's numbers so far, by step and name."""
        done = 1 + max((step for step, values in points.items() if "train/reward" in values), default=-1)
        latest: dict[str, float] = {}
        for step in sorted(points):
            latest |= points[step]
        note = numbers_note(latest.get("train/reward"), latest.get("val/train/accuracy"))
        if note:
            self.step(done, note)

    def step(self, done: int, note: str) -> None:
        """So many steps are done."""
        self.progress.update(self._task, completed=done, note=note)
        if done > self._printed and (done // self._every > self._printed // self._every or done == self._total):
            self._printed = done
            self._print(f"step {done} of {self._total}  {note}")

    def _print(self, text: str) -> None:
        print_line(self.progress, f"{self._name}: {text}")


def numbers_note(reward: float | None, accuracy: float | None) -> str:
    """The latest of a run's numbers, as far as they are known."""
    numbers = {"reward": reward, "accuracy": accuracy}
    return "  ".join(f"{name} {value:.2f}" for name, value in numbers.items() if value is not None)
