"""An audit from rows to card."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pgsrm_plugin.audit.attacks import KINDS
from pgsrm_plugin.audit.attacks.base import Surroundings
from pgsrm_plugin.audit.card import Card
from pgsrm_plugin.audit.card_measures import Share, mean_or_none
from pgsrm_plugin.audit.findings import (
    Bars,
    bar_in_words,
    by_row,
    damage_of,
    length_correlation,
    notes_on,
    result_of,
    spread_within,
)
from pgsrm_plugin.audit.form import Form
from pgsrm_plugin.audit.good_answers import grade
from pgsrm_plugin.audit.pay import Paymaster
from pgsrm_plugin.audit.targets import Target, drawn_rows
from pgsrm_plugin.audit.trial import NOISE_ROWS, attempt, noise
from pgsrm_plugin.spec import RewardSpec


@dataclass(frozen=True)
class AuditPlan:
    """What is audited, and how.

    Attributes:
        spec: as its author wrote it.
        name: how the card calls the reward.
        data: how the card calls the rows.
        form: the form of an answer.
        rows: how many are audited.
        seed: of the choice of rows, and of every attack.
        threshold: the reward that counts as a success; None: what good answers earn.
    """

    spec: RewardSpec
    name: str
    data: str
    form: Form
    rows: int = 500
    seed: int = 0
    threshold: float | None = None

    def scorings(self, rows: int) -> int:
        """About how many texts will be scored of so many rows."""
        return min(rows, self.rows) * (1 + len(KINDS)) + 4 * min(rows, NOISE_ROWS) + 5000


def audit(plan: AuditPlan, everything: Sequence[Target], paymaster: Paymaster) -> Card:
    """Attacks a sample of the rows, and says what that earned.

    Raises:
        DataError: a row lacks what the spec's terms need.
        ScorerError: the encoder or a term failed.
    """
    started = time.perf_counter()
    rows = drawn_rows(everything, plan.rows, plan.seed)
    graded = grade(rows, plan.form, paymaster)
    among = Surroundings([one.row for one in graded], plan.form)
    tried = [attempt(kind(), graded, among, paymaster, plan.seed) for kind in KINDS.values()]
    found_noise = noise(graded, paymaster)

    bars = Bars.of(graded, tried, paymaster.least, plan.threshold)
    results = [result_of(one, graded, bars) for one in tried]
    goods = [paid for one in graded for _, paid in one.goods]
    paid = by_row(graded, tried)
    bases = Counter[str](one.basis for one in graded)
    unpaid = Share.counted([] if bars.unrelated is None else [one.mean <= bars.unrelated for one in graded])
    encoder = paymaster.reward.encoder
    return Card(
        spec=plan.name,
        fingerprint=plan.spec.fingerprint,
        encoder=encoder.identity if encoder is not None else "none",
        data=plan.data,
        rows=len(rows),
        rows_in_data=len(everything),
        seed=plan.seed,
        bar=bar_in_words(plan.threshold, bases),
        form=plan.form.template,
        good_from=dict(sorted(bases.items())),
        good_mean=fmean(one.reward for one in goods),
        unrelated_mean=bars.unrelated,
        least=bars.least,
        unpaid=unpaid,
        attacks=sorted(results, key=lambda one: (-(one.success.value or 0.0), -(one.mean or 0.0))),
        length_within=mean_or_none([length_correlation(one) for one in paid]),
        length_pooled=length_correlation([one for row in paid for one in row]),
        good_unscorable=Share.counted([one.unscorable for one in goods]),
        good_truncated=Share.counted([one.truncated for one in goods]),
        good_unknown=fmean(one.unknown for one in goods),
        noise=found_noise,
        spread=spread_within(paid),
        damage=damage_of(graded),
        notes=notes_on(bases, unpaid, plan.spec.aggregate, plan.spec.unscorable),
        texts=sum(one.rows for one in results),
        seconds=time.perf_counter() - started,
    )
