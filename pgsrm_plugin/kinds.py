"""The kinds of a part of the spec (terms, encoders): those of this package, and those that other packages add."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from pgsrm_plugin.section import Section

S = TypeVar("S", bound=Section)


class Kinds(Mapping[str, "type[S]"], Generic[S]):
    """The section of each kind, by the kind's name: this package's in their order, then others' by name.

    A part of another package that cannot be used does not stop this one: it is kept in ``broken``, and said where its
    kind is asked for and by ``pgsrm doctor``.

    Attributes:
        origins: the package that brings each kind of others.
        broken: for the name of each entry point that gave no kind, why.
    """

    def __init__(self, known: Mapping[str, type[S]], origins: Mapping[str, str], broken: Mapping[str, str]) -> None:
        self._known = dict(known)
        self.origins = dict(origins)
        self.broken = dict(broken)

    @classmethod
    def find(cls, group: str, base: type[S], own: Sequence[type[S]]) -> Kinds[S]:
        """This package's kinds and those of an entry-point group; an entry point's name is its kind's.

        Args:
            group: the entry-point group.
            base: what every kind is a subclass of.
            own: this package's kinds, which no other can take the place of.
        """
        known = {kind_of(section): section for section in own}
        origins, broken = {}, {}
        for point in sorted(entry_points(group=group)):
            name = f"{point.name} ({_provider(point)})"
            try:
                section = _load(point, base)
            except Exception as error:  # whatever a stranger's import raises
                broken[name] = f"{type(error).__name__}: {error}"
                continue
            if point.name in known:
                broken[name] = "there is a kind of this name already"
                continue
            known[point.name] = section
            origins[point.name] = _provider(point)
        return cls(known, origins, broken)

    def __getitem__(self, kind: str) -> type[S]:
        return self._known[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def why_broken(self, kind: str) -> str:
        """Why an installed kind cannot be used, as the end of a sentence; empty for a kind that is not installed."""
        found = [f"{name} is installed but cannot be used: {why}" for name, why in self.broken.items()]
        return "".join(f"; {one}" for one in found if one.startswith(f"{kind} ("))


def kind_of(section: type[Section]) -> str:
    """The name of a kind: the default of its section's field ``kind``."""
    return str(section.model_fields["kind"].default)


def _load(point: EntryPoint, base: type[S]) -> type[S]:
    section = point.load()
    if not (inspect.isclass(section) and issubclass(section, base)):
        raise TypeError(f"{point.value} is no subclass of {base.__module__}.{base.__name__}")
    if inspect.isabstract(section):
        raise TypeError(f"{point.value} lacks {', '.join(sorted(section.__abstractmethods__))}")
    if "kind" not in section.model_fields or kind_of(section) != point.name:
        raise TypeError(
            f'{point.value} needs `kind: Literal["{point.name}"] = "{point.name}"`, the name of its entry point'
        )
    return section


def _provider(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module
