"""The kinds of a part (terms, encoders, guards, attacks): those of this package, and those that other packages add."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from pgsrm_plugin.errors import did_you_mean

S = TypeVar("S")


class Kinds(Mapping[str, "type[S]"], Generic[S]):
    """The class of each kind, by the kind's name: this package's in their order, then others' by name.

    A part of another package that cannot be used does not stop this one: it is kept in :attr:`broken`, and said where
    its kind is asked for and by ``pgsrm doctor``.

    Args:
        group: the entry-point group of other packages' kinds; an entry point's name is its kind's.
        base: what every kind is a subclass of.
        own: this package's kinds, which no other can take the place of.
    """

    def __init__(self, group: str, base: type[S], own: Sequence[type[S]]) -> None:
        self._group = group
        self._base = base
        self._own = own

    @property
    def origins(self) -> Mapping[str, str]:
        """The package that brings each kind of others."""
        return self._found.origins

    @property
    def broken(self) -> Mapping[str, str]:
        """For each entry point that gave no kind, as ``NAME (PACKAGE)``: why."""
        return self._found.broken

    def why_broken(self, kind: str) -> str:
        """Why an installed kind cannot be used, as the end of a sentence; empty for a kind that is not installed."""
        found = [f"; {name} is installed but cannot be used: {why}" for name, why in self.broken.items()]
        return "".join(one for one in found if one.startswith(f"; {kind} ("))

    def instead_of(self, name: str) -> str:
        """The kind that is meant by a name that is none, as the end of a sentence; empty where nothing is near."""
        plain = name.lower().replace("-", "_")
        known = [kind for kind, section in self.items() if plain in (kind, *getattr(section, "others_say", ()))]
        return f"; here that is `kind: {known[0]}`" if known else did_you_mean(name, self)

    def __getitem__(self, kind: str) -> type[S]:
        return self._found.sections[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found.sections)

    def __len__(self) -> int:
        return len(self._found.sections)

    # Looked for when first asked: other packages' modules import this package's, which must be there whole by then.
    @functools.cached_property
    def _found(self) -> _Found[S]:
        found: _Found[S] = _Found({kind_of(section): section for section in self._own}, {}, {})
        for point in sorted(entry_points(group=self._group)):
            name = f"{point.name} ({_provider(point)})"
            try:
                section = _load(point, self._base)
            except Exception as error:  # whatever a stranger's import raises
                found.broken[name] = f"{type(error).__name__}: {error}"
                continue
            if point.name in found.sections:
                found.broken[name] = "there is a kind of this name already"
                continue
            found.sections[point.name] = section
            found.origins[point.name] = _provider(point)
        return found


@dataclass(frozen=True)
class _Found(Generic[S]):
    sections: dict[str, type[S]]
    origins: dict[str, str]
    broken: dict[str, str]


def kind_of(part: type) -> str:
    """The name of a kind: the default of its section's field ``kind``, or what the class says; empty for none."""
    fields = getattr(part, "model_fields", {})
    return str(fields["kind"].default if "kind" in fields else getattr(part, "kind", ""))


def _load(point: EntryPoint, base: type[S]) -> type[S]:
    section = point.load()
    if not (inspect.isclass(section) and issubclass(section, base)):
        raise TypeError(f"{point.value} is no subclass of {base.__module__}.{base.__name__}")
    if inspect.isabstract(section):
        raise TypeError(f"{point.value} lacks {', '.join(sorted(getattr(section, '__abstractmethods__')))}")  # noqa: B009
    if kind_of(section) != point.name:
        wanted = f'kind: Literal["{point.name}"]' if hasattr(base, "model_fields") else "kind"
        raise TypeError(f'{point.value} needs `{wanted} = "{point.name}"`, the name of its entry point')
    return section


def _provider(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module
