"""What to write instead of what other libraries' users write. The names themselves stand in the sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from pgsrm_plugin import encoders
from pgsrm_plugin.errors import did_you_mean
from pgsrm_plugin.section import Section

SHAPES = {
    "dict_type": "a mapping",
    "model_type": "a section of settings",
    "model_attributes_type": "a section of settings",
    "tuple_type": "a list",
}
"""What is expected, by pydantic's types of errors about values of another shape."""


def instead_of_key(key: str, model: type[BaseModel]) -> str:
    """What to write instead of an unknown key of a section, as the end of a sentence; empty where nothing is near."""
    for base in model.__mro__:
        if issubclass(base, Section) and key in base.also_known_as:
            return f"; {base.also_known_as[key]}"
    return did_you_mean(key, model.model_fields)


def instead_of_shape(path: Sequence[str], given: object, what: str) -> str:
    """What to write instead of a value of another shape, as a whole sentence.

    Args:
        what: is expected, of :data:`SHAPES`.
    """
    match path:
        case ["encoder"]:
            return f"an encoder is a section, not {_said(given)}; write `encoder: {_encoder(given)}`"
        case ["terms"]:
            return f"terms are a mapping from names to settings, not {_said(given)}; write `terms: {_terms(given)}`"
        case ["terms", name]:
            number = isinstance(given, int | float) and not isinstance(given, bool)
            weight = f", and `weights: {{{name}: {given}}}` beside `terms`" if number else ""
            return f"a term is a section of settings, not {_said(given)}; write `{name}: {{}}`{weight}"
        case ["weights"]:
            return f"weights are a mapping from terms to numbers, not {_said(given)}; e.g. `weights: {{NAME: 1.0}}`"
        case ["gates"]:
            return f"gates are a list, not {_said(given)}; e.g. `gates: [{{term: NAME, at_least: 0.5}}]`"
    return f"expected {what}, not {_said(given)}"


def _said(given: object) -> str:
    if isinstance(given, Mapping):
        return "a mapping"
    return "a list" if isinstance(given, Sequence) and not isinstance(given, str) else repr(given)


def _encoder(given: object) -> str:
    """A section of the first kind, with what is given for its first key that must be there."""
    kind, section = next(iter(encoders.KINDS.items()))
    needed = next(name for name, field in section.model_fields.items() if field.is_required())
    return f"{{kind: {kind}, {needed}: {given if isinstance(given, str) else '...'}}}"


def _terms(given: object) -> str:
    """The names of a list, as far as they can be told."""
    items = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    names = [_name(item) for item in items]
    return f"{{{', '.join(f'{name}: {{}}' for name in names if name) or 'NAME: {}'}}}"


def _name(item: object) -> str:
    if isinstance(item, Mapping):
        return str(item.get("name") or item.get("kind") or (next(iter(item)) if len(item) == 1 else ""))
    return item if isinstance(item, str) else ""
