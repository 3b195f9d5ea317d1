"""The attacks carried out: each on every row, and what it earns."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.card_measures import spread
from pgsrm_plugin.audit.good_answers import Graded
from pgsrm_plugin.audit.pay import Paid, Paymaster
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import form_of
from pgsrm_plugin.errors import PgsrmError, ScorerError

NOISE_ROWS = 64
_OTHER_BATCH = 7


@dataclass(frozen=True)
class Tried:
    """One attack on all rows: its text and what that earned, or None where there is no text."""

    attack: Attack
    outcomes: Sequence[tuple[str, Paid] | None]


def attempt(attack: Attack, graded: Sequence[Graded], among: Surroundings, paymaster: Paymaster, seed: int) -> Tried:
    """Lets an attack learn what it learns, and scores its text of each row.

    A text that is right (a reference or ground truth of its row) is no attack, and left out.
    """

    def pay(texts: Sequence[tuple[Target, str]]) -> list[float]:
        return [one.reward for one in paymaster.pay([(row, _filled(row, text, among, seed)) for row, text in texts])]

    fitted = attack.fitted(among, pay)
    texts = [_text(fitted, one.row, among, seed) for one in graded]
    whole = [
        (one.row, text if attack.is_whole else _filled(one.row, text, among, seed))
        for one, text in zip(graded, texts, strict=True)
        if text is not None
    ]
    paid = iter(paymaster.pay(whole))
    return Tried(fitted, [None if text is None else (text, next(paid)) for text in texts])


def noise(graded: Sequence[Graded], paymaster: Paymaster) -> float:
    """How far the reward differs between texts that nobody can tell apart: the root mean square of its deviations.

    They are a row's good answer as it is, with other white space around and between its words, with its letters and
    their accents apart (NFD), and once more in a batch of another size, embedded anew. Measured on up to 64 rows.
    """
    chosen = sorted(graded, key=lambda one: one.row.key)[:NOISE_ROWS]
    alike = [(one.row, text) for one in chosen for text in _alike(one.goods[0][0])]
    again = paymaster.afresh(_OTHER_BATCH).pay([(one.row, one.goods[0][0]) for one in reversed(chosen)])[::-1]
    paid = paymaster.pay(alike)
    each = len(paid) // len(chosen)
    groups = [
        [one.goods[0][1].reward, again[number].reward, *(paid[number * each + k].reward for k in range(each))]
        for number, one in enumerate(chosen)
    ]
    return spread(groups) or 0.0


def _alike(text: str) -> tuple[str, ...]:
    return f"  {text}\n", text.replace(" ", "  "), unicodedata.normalize("NFD", text)


def _text(attack: Attack, row: Target, among: Surroundings, seed: int) -> str | None:
    try:
        text = attack.text(row, among, row.rng(seed, attack.kind))
    except PgsrmError:
        raise
    except Exception as error:  # whatever a stranger's attack raises
        raise ScorerError(f"{row.label}: attack {attack.kind} failed: {type(error).__name__}: {error}") from error
    return None if text is None or form_of(text) in {form_of(one) for one in row.right} else text


def _filled(row: Target, text: str, among: Surroundings, seed: int) -> str:
    """An attack's text in the form of an answer, with a short answer that is wrong."""
    answer = among.wrong_answer(row, row.rng(seed, "answer")) if among.form.asks_answer else None
    return among.form.fill(text, answer)
