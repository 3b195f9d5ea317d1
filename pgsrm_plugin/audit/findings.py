"""The card made of what the attacks earned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pgsrm_plugin.aggregates import Aggregate
from pgsrm_plugin.audit.attacks.other_reference import OtherReference
from pgsrm_plugin.audit.card import AttackResult, Damage, Example, Suspected
from pgsrm_plugin.audit.card_measures import Share, auc, mean_or_none, spearman, spread
from pgsrm_plugin.audit.good_answers import Graded
from pgsrm_plugin.audit.pay import Paid
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.trial import Tried

SHOWN = 3
"""Examples kept of each attack."""
ITSELF = "the reference itself"
_OWN_RESPONSES = 3
"""With so many responses of its own, a row's spread and lengths are theirs."""


@dataclass(frozen=True)
class Bars:
    """What an attack has to reach to count as a success, row by row.

    Attributes:
        each: that of each row.
        unrelated: the mean reward of another row's reference; None where no row has one.
        least: a text that earns no more than this is never one.
    """

    each: Sequence[float]
    unrelated: float | None
    least: float

    @classmethod
    def of(cls, graded: Sequence[Graded], tried: Sequence[Tried], least: float, threshold: float | None) -> Bars:
        """The threshold, or what the row's good answers earn on average.

        Where the reference itself is all that is known to be good, hardly anything can earn as much: there it is
        half-way from what another row's reference earns, on average, to what the reference earns.
        """
        unrelated = mean_or_none([
            outcome[1].reward
            for one in tried
            if isinstance(one.attack, OtherReference)
            for outcome in one.outcomes
            if outcome is not None
        ])  # fmt: skip
        start = least if unrelated is None else unrelated
        means = [(one.mean + start) / 2 if one.basis == ITSELF else one.mean for one in graded]
        return cls(means if threshold is None else [threshold] * len(graded), unrelated, least)


def result_of(tried: Tried, graded: Sequence[Graded], bars: Bars) -> AttackResult:
    """What one attack earned."""
    made = [(number, *outcome) for number, outcome in enumerate(tried.outcomes) if outcome is not None]
    rewards = [paid.reward for _, _, paid in made]
    hits = [paid.reward >= bars.each[number] and paid.reward > bars.least for number, _, paid in made]
    worst = sorted(made, key=lambda one: (bars.each[one[0]] - one[2].reward, graded[one[0]].row.key))[:SHOWN]
    goods = [paid.reward for number, _, _ in made for _, paid in graded[number].goods]
    return AttackResult(
        kind=tried.attack.kind,
        title=tried.attack.title,
        summary=tried.attack.summary,
        finding=tried.attack.finding,
        rows=len(made),
        left_out=len(graded) - len(made),
        success=Share.counted(hits),
        mean=mean_or_none(rewards),
        highest=max(rewards, default=None),
        good_mean=mean_or_none([graded[number].mean for number, _, _ in made]),
        auc=auc(goods, rewards),
        unscorable=mean_or_none([float(paid.unscorable) for _, _, paid in made]),
        truncated=mean_or_none([float(paid.truncated) for _, _, paid in made]),
        examples=[_example(graded[number], text, paid, bars.each[number]) for number, text, paid in worst],
    )


def _example(graded: Graded, text: str, paid: Paid, bar: float) -> Example:
    row = graded.row
    return Example(row.label, row.asked, row.reference, text, paid.reward, bar, graded.mean, dict(paid.words))


def by_row(graded: Sequence[Graded], tried: Sequence[Tried]) -> list[list[Paid]]:
    """What the texts of each row earned: its own responses, where it has three; else good answers and attacks."""
    found = []
    for number, one in enumerate(graded):
        attacks = [outcome[1] for each in tried if (outcome := each.outcomes[number]) is not None]
        goods = [paid for _, paid in one.goods]
        found.append([*one.responses] if len(one.responses) >= _OWN_RESPONSES else [*goods, *attacks])
    return found


def length_correlation(paid: Sequence[Paid]) -> float | None:
    """Spearman's correlation of reward and length."""
    return spearman([one.reward for one in paid], [float(one.chars) for one in paid])


def spread_within(rows: Sequence[Sequence[Paid]]) -> float:
    """How far the rewards of one row differ."""
    return spread([[paid.reward for paid in one] for one in rows]) or 0.0


def damage_of(graded: Sequence[Graded]) -> Mapping[str, Damage]:
    """How often each guard fires on good answers, and on which."""
    goods = [(one.row, text, paid) for one in graded for text, paid in one.goods]
    names = sorted({name for _, _, paid in goods for name in paid.guards})
    return {name: _damage(name, [one for one in goods if name in one[2].guards]) for name in names}


def _damage(guard: str, goods: Sequence[tuple[Target, str, Paid]]) -> Damage:
    values = [paid.guards[guard] for _, _, paid in goods]
    worst = sorted(goods, key=lambda one: (-one[2].guards[guard], one[0].key))[:SHOWN]
    examples = [
        Suspected(row.label, row.reference, text, paid.words.get(guard, ()), paid.guards[guard])
        for row, text, paid in worst
        if paid.guards[guard] > 0
    ]
    return Damage(Share.counted([one > 0 for one in values]), fmean(values), examples)


def bar_in_words(threshold: float | None, bases: Counter[str]) -> str:
    """What counts as a success."""
    if threshold is not None:
        return f"a reward of {threshold:g} or more"
    half = "half-way from another row's reference to the row's own"
    if bases[ITSELF] == bases.total():
        return half
    good = "as much as the row's good answers, on average"
    return f"{good}; where only the reference is known, {half}" if bases[ITSELF] else good


def notes_on(bases: Counter[str], unpaid: Share, aggregate: Aggregate, unscorable: str) -> list[str]:
    """What to know before believing the card."""
    rows, alone = bases.total(), bases[ITSELF]
    notes = []
    if alone:
        notes.append(
            f"{alone} of {rows} rows have neither a right response nor a second reference: the reference itself serves "
            "as their good answer. There is none better, so AUC and the good answers' mean flatter the reward there; "
            "add responses, or several references."
        )
    if unpaid.count:
        notes.append(
            f"The good answers of {unpaid.count} of {unpaid.of} rows earn no more than another row's reference does on "
            "average: there the reward pays too little for what is right."
        )
    if aggregate.needs_groups:
        notes.append(
            f"Scored with aggregate: {aggregate.alone()}, as what a text is worth must not depend on the others of its "
            "group."
        )
    if unscorable != "floor":
        notes.append(f"Scored with unscorable: floor (the spec says {unscorable}).")
    return notes
