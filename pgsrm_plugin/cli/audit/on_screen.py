"""An audit's outcome in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from pgsrm_plugin.audit.card import Card
from pgsrm_plugin.audit.card_page import lead, number, other_measures, percent
from pgsrm_plugin.cli.tables import show_table


def show_card(card: Card, console: Console) -> None:
    """Prints the attacks and what else was measured."""
    show_table(attacks_table(card), console)
    measured = [f"{name}: {value}" + (f" ({note})" if note else "") for name, value, note in other_measures(card)]
    fired = [(name, found.fires) for name, found in card.damage.items() if found.fires.count]
    guards = [f"guard {name} fires on {percent(fires.value)} of good answers" for name, fires in fired]
    for text in (*measured, *guards, *card.notes, lead(card)):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def attacks_table(card: Card) -> Table:
    """The attacks, the worst first."""
    table = Table(title=f"Attacks on {card.spec}", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("success", "95 %", "reward", "good", "AUC", "rows"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in card.attacks:
        share = one.success
        between = "" if share.low is None or share.high is None else f"{100 * share.low:.1f}-{100 * share.high:.1f}"
        numbers = (number(one.mean), number(one.good_mean), number(one.auc))
        table.add_row(one.title, percent(share.value), between, *numbers, str(one.rows))
    return table
