"""The public sets that can be fetched. None of them is in this repository."""

from __future__ import annotations

from pgsrm_lab.tasks.questions.casimedicos import CASIMEDICOS
from pgsrm_lab.tasks.questions.comve import COMVE
from pgsrm_lab.tasks.questions.source import PublicSet
from pgsrm_plugin.errors import DataError, did_you_mean

PUBLIC_SETS: dict[str, PublicSet] = {public.name: public for public in (CASIMEDICOS, COMVE)}


def find_public_set(name: str) -> PublicSet:
    """The public set of a name.

    Raises:
        DataError: there is none.
    """
    if name not in PUBLIC_SETS:
        nearest = did_you_mean(name, PUBLIC_SETS)
        raise DataError(f"there is no public set {name!r}{nearest} (public sets: {', '.join(PUBLIC_SETS)})")
    return PUBLIC_SETS[name]
