"""The demo's page: what is particular to it; the rest is pgsrm_plugin.report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pgsrm_lab.demo.real.real_plan import SET, RealPlan
from pgsrm_plugin.pretrained.embedded import MODEL
from pgsrm_plugin.report import Page, Panel, Run, write_report
from pgsrm_plugin.report.summary import show
from pgsrm_plugin.report.templates import environment

SENTENCE = Panel(
    f"val/{SET}/sentence", "accuracy from the sentence, held-out words", "Greedy answers: the category is named.", True
)
STRICT = Panel(
    f"val/{SET}/strict", "strict accuracy, held-out words", "Greedy answers: the category and nothing else.", True
)
SIGNAL = Panel("train/zero_variance_groups", "groups without a signal", "All answers to a prompt earn the same.", True)
OUTCOMES = (SENTENCE, STRICT, Panel(f"val/{SET}/semantic", "similarity, held-out words"))
PANELS = (
    SENTENCE,
    STRICT,
    Panel("train/reward", "training reward", "Different rewards: compare the shapes, not the heights."),
    SIGNAL,
    Panel("train/sentence", "accuracy from the sentence, sampled answers", percent=True),
    Panel("train/strict", "strict accuracy, sampled answers", percent=True),
    Panel("train/echo", "echoes, sampled answers", "Wrong, and no word that is not in the prompt.", percent=True),
    Panel("train/response_tokens", "length of sampled answers", "Tokens."),
    Panel("train/entropy", "entropy", "Nats per response token."),
)


@dataclass(frozen=True)
class RealChild:
    """What the demo has to show.

    Attributes:
        runs: one a reward.
        measured: seconds of the step that was timed; None: the number of steps was given.
        seconds: of everything.
    """

    plan: RealPlan
    runs: Sequence[Run]
    measured: float | None
    seconds: float

    @property
    def steps(self) -> int:
        """Of each run."""
        return int(self.runs[0].info.settings["steps"] or 0)

    @property
    def child(self) -> str:
        """What the page calls the child: no path."""
        return self.plan.child if self.plan.child == MODEL else Path(self.plan.child).name

    def mean_of(self, run: Run, metric: str) -> float:
        """Of a metric, over the steps of a run."""
        values = run.metric(metric).values
        return sum(values) / len(values)

    @property
    def told(self) -> list[str]:
        """A line a reward."""
        lines = []
        for run in self.runs:
            moved = []
            for panel in (SENTENCE, STRICT):
                values = run.metric(panel.metric).values
                moved.append(f"{panel.title} {show(values[0], panel)} to {show(values[-1], panel)}")
            lines.append(f"{run.label}: {'; '.join(moved)}; {SIGNAL.title} {self.mean_of(run, SIGNAL.metric):.0%}")
        return lines


def write_real_page(real: RealChild) -> Path:
    """Writes report.html into the demo's folder."""
    page = Page(
        title="A pretrained child learns from a semantic reward",
        outcomes=OUTCOMES,
        panels=PANELS,
        sample_sets=[(f"val/{SET}", "held-out words")],
        command=_command(real),
        template=environment(__package__).get_template("real_child.html.j2"),
        facts={"real": real, "plan": real.plan, "task": real.plan.task},
    )
    return write_report(real.runs, real.plan.out / "report.html", page)


def _command(real: RealChild) -> str:
    is_quick = real.plan.prompts_per_step != RealPlan.prompts_per_step
    return f'make demo-real DEMO_ARGS="{"--quick" if is_quick else f"--steps {real.steps}"}"'
