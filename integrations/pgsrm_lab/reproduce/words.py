"""The sentences of the results page. Those with figures are made from the results, the others say how to read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from pgsrm_lab.reproduce.measure import MEASURES, SHARE, WARM_UP, Measure
from pgsrm_lab.reproduce.summary import (
    BASELINE,
    LEAST_SEEDS,
    Comparison,
    Results,
    Row,
    across_tasks,
    compare,
    recommended,
)
from pgsrm_lab.tasks import load_task
from pgsrm_plugin.report.compare import Verdict, least_p
from pgsrm_plugin.report.stats import Interval, interval

MINUS = "\N{MINUS SIGN}"
MARK = "<!-- Written by `pgsrm reproduce page`; do not edit. -->"
REINFORCE = (
    "What the authors' public code calls PPO is one REINFORCE step with a learned baseline a batch: no ratio, no "
    "clipping, no GAE, and a KL term of zero expected gradient. With it the reward can be judged without our PPO. "
    "Accuracy on training prompts, mean over the run:"
)
FACTS = (
    "reward",
    f"reached the {100 * SHARE:.0f} % mark",
    "collapsed",
    "cosine of wrong answers",
    "seconds",
    "of them scoring",
)
PASSES = (
    "Wrong greedy answers to training prompts at the end of `pgsrm-clipped` runs, those with the highest cosine first. "
    "A cosine near 1 means that the reward can hardly tell the answer from the parent's, so little is to be gained by "
    "mending it. An exact-match bonus (`clipped+exact`) pays for that last step; a calibrated floor and a higher "
    "alpha widen it."
)
LIMITS = """\
- The children are tiny, made on the spot, and warm-started until they sample the right answer with a stated
  probability; the paper trained GPT-2 124M and 774M for far more episodes. What holds here need not hold there:
  `pgsrm reproduce pgsrm --child gpt2` runs the same grid with a model of yours.
- The parent is the task's table of answers, not a language model; the paper asked gpt-4o-mini. It makes no mistakes and
  never words an answer differently, which favours exact match.
- A percentile bootstrap over five values is narrower than its name says (it covers the true mean in clearly less than
  95 % of cases), and many comparisons are made, so a single verdict is weak evidence; the sign-flip p stands beside.
- Variance of KL, entropy and value loss contains the trend of learning: a run that learns more moves more. The row
  "KL from step to step" leaves the trend out. KL is the k3 estimate on the sampled tokens, where single rare tokens
  make spikes.
- The cosine is MiniLM's; the paper used Numberbatch for words and text-embedding-3-large for sentences.
"""


def intro(results: Results) -> str:
    """What was run."""
    arms = ", ".join(f"`{arm}`" for arm in results.arms())
    episodes = results.rows[0]["episodes"]
    return (
        f"{len(results.rows)} runs: {len(results.tasks)} tasks ({', '.join(results.tasks)}), the rewards {arms}, "
        f"{_seeds(results.seeds)}, {episodes:,} sampled answers each. A seed's warm start is the same for all rewards; "
        "seeds vary the child's initial weights, its warm start and the sampling."
    )


def rule(results: Results) -> str:
    """How verdicts are reached."""
    n = results.seeds
    return (
        f"The rule: a measure's difference to `{BASELINE}` is taken seed by seed, with a 95 % bootstrap interval over "
        "seeds (10,000 resamples). *Supported*: the interval lies on the claimed side of 0. *Not supported*: it lies "
        "on the other side. *Undecided*: it includes 0"
        + (f", or there are fewer than {LEAST_SEEDS} seeds" if n < LEAST_SEEDS else "")
        + f". The paired sign-flip test beside it cannot give less than p = {least_p(n):.3g} with {_seeds(n)}, so by "
        "itself it can call nothing significant at 0.05 unless there are six or more."
    )


def advice(results: Results) -> str:
    """The recommended reward, by rule."""
    best = recommended(results)
    if best is None:
        return ""
    sentences = []
    for other in ("pgsrm-clipped", BASELINE):
        mine, theirs = across_tasks(results, best, "auc_train"), across_tasks(results, other, "auc_train")
        if other != best and mine and theirs:
            apart = mine.low > theirs.high or mine.high < theirs.low
            sentences.append(f"against `{other}` the intervals {'do not overlap' if apart else 'overlap'}")
    wins = [
        f"{other} on {sum(c.verdict == 'supported' for c in found)} of {len(found)} tasks"
        for other in ("pgsrm-clipped", BASELINE)
        if other != best
        and (found := [c for t in results.tasks if (c := compare(results, t, best, "auc_train", against=other))])
    ]
    return (
        f"**Recommended: `{best}`**, the semantic reward with the highest interquartile mean of accuracy over the run. "
        f"It is ahead, by the rule for verdicts, of {' and of '.join(wins)}; across tasks, {'; '.join(sentences)}."
    )


def start(results: Results, task: str) -> str:
    """The task, and where its runs begin."""
    about = load_task(task)
    rows = [row for row in results.rows if row["task"] == task]
    held_out = [row["start_held_out"] for row in rows if row["start_held_out"] is not None]
    begin = f"The warm start samples the right answer with probability {_mean(r['start_train'] for r in rows):.3f}"
    if held_out:
        begin += f" ({_mean(held_out):.3f} on held-out prompts)"
    return (
        f"{about.summary[0].upper()}{about.summary[1:]}: {len(about.train_prompts)} training prompts, "
        f"{len(about.held_out_prompts)} held out. {about.held_out_kind} {begin}. Mean over seeds, 95 % interval:"
    )


def run_facts(rows: Sequence[Row]) -> list[str]:
    """Of the runs of an arm on a task: marks reached, collapses, wrong answers and time."""
    count = len(rows)
    return [
        f"{sum(bool(row['reached_90']) for row in rows)} of {count}",
        f"{sum(bool(row['collapsed']) for row in rows)} of {count}",
        f"{_mean(row['wrong_cosine'] for row in rows):.2f}",
        f"{_mean(row['seconds'] for row in rows):.0f}",
        f"{100 * _mean(row['reward_share'] for row in rows):.0f} %",
    ]


def method(row: Row) -> str:
    """The protocol, versions and machine of the runs."""
    settings, versions, machine = (json.loads(row[name]) for name in ("settings", "versions", "machine"))
    child = settings["child"]
    size = settings["size"]
    who = f"{row['child_parameters']:,} parameters" + (
        f" (GPT-2 shape, {size['layers']} layers of width {size['width']}; a tokenizer of the task's own words; "
        f"warm start until P(right) = {settings['goal']:g})"
        if child == "tiny"
        else f" (`{child}`)"
    )
    ppo = ", ".join(f"{k} {v}" for k, v in settings["ppo"].items() if not isinstance(v, dict) and v is not None)
    kl = ", ".join(f"{k} {v}" for k, v in settings["ppo"]["kl"].items())
    return (
        f"Child: {who}. {settings['steps']} steps of {settings['prompts_per_step']} sampled answers, temperature 1. "
        f"PPO, the same for all rewards: {ppo}; KL {kl}. The first {100 * WARM_UP:.0f} % of the steps are left out of "
        "variances. A run collapsed if it ended below its warm start, below half of its own best accuracy, or with a "
        f"number that is not finite.\n\nVersions: {_listed(versions)}. Machine: {_listed(machine)}."
    )


def measure(what: Measure) -> str:
    """A measure and the claimed direction."""
    return f"{what.title} ({what.better} is claimed)"


def gap(found: Comparison) -> str:
    """A difference with its interval."""
    percent = found.measure.percent
    unit = " points" if percent else ""
    mean, low, high = (_signed(value, percent) for value in (found.gap.mean, found.gap.low, found.gap.high))
    return f"{mean}{unit} ({low} to {high})"


def cell(values: Sequence[float], column: str) -> str:
    """A mean with its interval over seeds."""
    return spread(interval(values), column) if values else ""


def spread(value: Interval | None, column: str) -> str:
    """An interval, in the measure's unit."""
    if value is None:
        return ""
    percent = MEASURES[column].percent
    mean, low, high = (_plain(number, percent) for number in (value.mean, value.low, value.high))
    return f"{mean}{' %' if percent else ''} ({low} to {high})"


def counts(found: Mapping[Verdict, int]) -> str:
    """supported 3, not supported 1, undecided 1."""
    return ", ".join(f"{name} {number}" for name, number in found.items())


def _seeds(number: int) -> str:
    return f"{number} seed" + ("" if number == 1 else "s")


def _plain(value: float, percent: bool) -> str:
    if percent:
        return f"{100 * value:.1f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _signed(value: float, percent: bool) -> str:
    text = _plain(abs(value), percent)
    return text if not float(text.replace(",", "")) else ("+" if value > 0 else MINUS) + text


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _listed(entries: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entries.items())
