"""The reward card as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pgsrm_plugin.audit.card import AttackResult, Card
from pgsrm_plugin.audit.card_measures import Share
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.report.machine import machine, versions
from pgsrm_plugin.report.page import write_page
from pgsrm_plugin.report.summary import Tile
from pgsrm_plugin.report.templates import environment

_CUT = 500
_OPEN = 3
"""Attacks whose examples are unfolded."""


def write_card(out: Path, card: Card, command: str = "") -> Path:
    """Writes the card whole or not at all.

    Raises:
        DataError: the place cannot be written to.
    """
    try:
        return write_page(out, render_card(card, command))
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}") from None


def render_card(card: Card, command: str = "") -> str:
    """The page as text. It opens offline, runs no script and asks nothing of the network."""
    pages = environment(__package__)
    pages.filters["cut"] = _cut
    return pages.get_template("card.html.j2").render(
        title=f"Reward card: {card.spec}",
        lead=lead(card),
        card=card,
        tiles=_tiles(card),
        attacks=[_row(one) for one in card.attacks],
        examples=[(one, number < _OPEN) for number, one in enumerate(card.attacks) if one.examples],
        number=number,
        percent=percent,
        measures_rows=[(name, rest) for name, *rest in other_measures(card)],
        damage=[
            (name, percent(one.fires.value), interval(one.fires), number(one.mean), one.examples)
            for name, one in card.damage.items()
        ],
        settings=_settings(card),
        versions=list(versions().items()),
        machine=list(machine().items()),
        command=command,
    )


def lead(card: Card) -> str:
    """The outcome in a sentence, by rule."""
    paying = [one for one in card.attacks if one.success.count]
    if not paying:
        return f"None of {len(card.attacks)} attacks reached the bar on any of {card.rows} rows: {card.bar}."
    worst = paying[0]
    return (
        f"{len(paying)} of {len(card.attacks)} attacks reached the bar on some rows ({card.bar}); the worst is "
        f"the {worst.title}: {percent(worst.success.value)} of its {worst.rows} texts."
    )


def other_measures(card: Card) -> Iterator[tuple[str, str, str]]:
    """What the card says beside the attacks: name, value, explanation."""
    yield "good answers", number(card.good_mean), "their mean reward"
    yield "another row's reference", number(card.unrelated_mean), "its mean reward: what an unrelated answer earns"
    yield "unscorable text", number(card.least), "the least that there is"
    yield (
        "good answers unpaid",
        percent(card.unpaid.value),
        f"earn no more than another row's reference on average; {interval(card.unpaid)}",
    )
    yield "length, within rows", number(card.length_within), "Spearman's correlation of reward and length, mean of rows"
    yield "length, pooled", number(card.length_pooled), "the same over all texts"
    yield "good answers truncated", percent(card.good_truncated.value), interval(card.good_truncated)
    yield "good answers unscorable", percent(card.good_unscorable.value), interval(card.good_unscorable)
    yield "words unknown to the encoder", percent(card.good_unknown), "the mean share of a good answer's words"
    yield "noise", f"{card.noise:.2g}", "spread of the reward over texts that nobody can tell apart, and over batches"
    yield "spread within rows", number(card.spread), f"the noise is {percent(card.noise_share)} of it"


def number(value: float | None) -> str:
    """A number as the page writes it; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001


def percent(value: float | None) -> str:
    """A share as the page writes it; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"  # noqa: RUF001


def interval(share: Share) -> str:
    """The interval of a share, in words."""
    return (
        "" if share.low is None else f"{share.count} of {share.of}, 95 %: {percent(share.low)} to {percent(share.high)}"
    )


def _row(one: AttackResult) -> dict[str, object]:
    return {
        "title": one.title,
        "summary": one.summary,
        "finding": one.finding,
        "success": percent(one.success.value),
        "interval": interval(one.success),
        "width": f"{6 * (one.success.value or 0.0):.2f}",
        "mean": number(one.mean),
        "highest": number(one.highest),
        "good": number(one.good_mean),
        "auc": number(one.auc),
        "rows": one.rows,
        "left_out": one.left_out,
        "unscorable": percent(one.unscorable),
        "truncated": percent(one.truncated),
    }


def _tiles(card: Card) -> list[Tile]:
    worst = card.attacks[0]
    reached = sum(1 for one in card.attacks if one.success.count)
    return [
        Tile("worst attack", percent(worst.success.value), f"{worst.title}; {interval(worst.success)}"),
        Tile("attacks that pay", f"{reached} of {len(card.attacks)}", "reach the bar on one row or more"),
        Tile("good answers", number(card.good_mean), f"mean reward; unrelated {number(card.unrelated_mean)}"),
        Tile("noise", percent(card.noise_share), "of the reward's spread within rows"),
    ]


def _settings(card: Card) -> list[tuple[str, str]]:
    return [
        ("reward", card.spec),
        ("fingerprint", card.fingerprint),
        ("encoder", card.encoder),
        ("data", card.data),
        ("rows", f"{card.rows} of {card.rows_in_data}, seed {card.seed}"),
        ("good answers", ", ".join(f"{basis}: {count} rows" for basis, count in card.good_from.items())),
        ("a success", card.bar),
        ("form of an answer", card.form),
        ("attacks' texts", str(card.texts)),
        ("seconds", f"{card.seconds:.1f}"),
    ]


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _CUT else f"{text[:_CUT]} … ({len(text)} characters)"
