"""Reads the tables of this package's ``data`` folder."""

from __future__ import annotations

import csv
from importlib.resources import files


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file, by column."""
    text = files("pgsrm_lab.tasks").joinpath("data", f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
