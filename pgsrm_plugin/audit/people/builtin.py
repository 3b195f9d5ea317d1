"""The pairs that come with the package: a true paraphrase, far in wording, against a false or empty answer."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

BUILTIN = "builtin"
"""What stands for the set where a file is expected."""


def builtin_files() -> list[Path]:
    """Its files, one a kind, by name: ``scripts/make_pairs.py`` made them."""
    return sorted(Path(str(files("pgsrm_plugin.audit"))).joinpath("pairs").glob("*.jsonl"))
