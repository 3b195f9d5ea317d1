"""The studies there are. Another one is a folder beside this file, and a line here."""

from __future__ import annotations

from pathlib import Path

from pgsrm_lab.reproduce.composition.composition import Composition
from pgsrm_lab.reproduce.credit.credit import CreditStudy
from pgsrm_lab.reproduce.files import RESULTS
from pgsrm_lab.reproduce.guards.guards import Guards
from pgsrm_lab.reproduce.paper.pgsrm import Pgsrm
from pgsrm_lab.reproduce.real.pretrained_child import PretrainedChild
from pgsrm_lab.reproduce.semantic.semantic import Semantic
from pgsrm_lab.reproduce.study import Study
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.errors import DataError, did_you_mean

STUDIES: tuple[Study, ...] = (Pgsrm(), Guards(), Composition(), Semantic(), CreditStudy(), PretrainedChild())


def study_of(results: Path) -> Study:
    """The study whose table this is; one that names none is the first one's, from before there were others.

    Raises:
        DataError: there is no table, or its study is not known.
    """
    table = results / RESULTS if results.is_dir() else results
    found = next((row.get("study") for _, row in read_rows(table)), None) or STUDIES[0].name
    named = {study.name: study for study in STUDIES}
    if found not in named:
        raise DataError(
            f"{table}: there is no study {found!r}{did_you_mean(found, named)} (studies: {', '.join(named)})"
        )
    return named[found]
