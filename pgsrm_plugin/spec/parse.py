"""YAML text to RewardSpec, with errors that name the line, the value and the nearest valid key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pgsrm_plugin import aggregates, credit, encoders, guards, shapes, terms
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.kinds import Kinds
from pgsrm_plugin.spec.elsewhere import SHAPES, instead_of_key, instead_of_shape
from pgsrm_plugin.spec.schema import RewardSpec
from pgsrm_plugin.spec.shipped import find_spec_file

_KINDS: dict[str, Kinds[Any]] = {
    "encoder": encoders.KINDS,
    "terms": terms.KINDS,
    "guards": guards.KINDS,
    "aggregate": aggregates.KINDS,
    "shape": shapes.KINDS,
    "credit": credit.KINDS,
}


def load_spec(path: str | Path) -> RewardSpec:
    """Reads a reward spec: a file, or the bare name of a shipped one (``pgsrm``).

    Raises:
        SpecError: the file is missing, is not YAML, or is not a valid spec; the message names file and line.
    """
    path = find_spec_file(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text ({error})") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror or error}") from None
    return parse_spec(text, source=str(path), folder=path.parent)


def parse_spec(text: str, source: str = "<spec>", folder: Path | None = None) -> RewardSpec:
    """Parses spec YAML; ``folder`` is where relative paths start (default: the working directory)."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_duplicate_keys(root, source)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: not valid YAML: {error}") from None
    except RecursionError:
        raise SpecError(f"{source}: nested too deeply, or an alias that contains itself") from None
    if not isinstance(content, dict):
        raise SpecError(f"{source}: a spec is a mapping with at least `terms:`, not {_kind_of(content)}")
    try:
        return RewardSpec.model_validate(content, context={"folder": folder or Path.cwd()})
    except ValidationError as error:
        problems = [_explain(detail, root, source) for detail in error.errors()]
        raise SpecError("\n".join(problems)) from None


def _kind_of(content: object) -> str:
    return "empty" if content is None else f"a {type(content).__name__}"


def _refuse_duplicate_keys(node: yaml.Node | None, source: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise SpecError(f"{source}:{line}: a key must be a word, not a list or mapping")
            if key.value in seen:
                raise SpecError(f"{source}:{line}: key {key.value!r} is given twice (first on line {seen[key.value]})")
            seen[key.value] = line
            _refuse_duplicate_keys(value, source)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicate_keys(item, source)


def _locate(root: yaml.Node | None, loc: Sequence[int | str]) -> tuple[int, list[str]]:
    """The line of the deepest YAML node on ``loc``, and the path without pydantic's union tags."""
    node, line, path = root, 1, []
    for position, part in enumerate(loc):
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    child, line = value, key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and str(part).isdigit() and int(part) < len(node.value):
            child = node.value[int(part)]
            line = child.start_mark.line + 1
        is_last = position == len(loc) - 1
        if child is not None:
            node = child
            path.append(str(part))
        elif is_last and not any(part in kinds for kinds in _KINDS.values()):
            path.append(str(part))
    return line, path


def _explain(detail: ErrorDetails, root: yaml.Node | None, source: str) -> str:
    context = detail.get("ctx") or {}
    kind, message = detail["type"], detail["msg"].removeprefix("Value error, ")
    loc = context.get("path", detail["loc"])
    line, path = _locate(root, (*loc, "kind") if kind == "union_tag_invalid" else loc)
    where = f"{source}:{line}: {'.'.join(path) or 'spec'}"
    shown = repr(_without_key(detail["input"]) if path[-1:] == ["base_url"] else detail["input"])
    shown = shown if len(shown) <= 80 or kind.startswith("path") else shown[:77] + "..."
    if kind == "extra_forbidden":
        model = _model_at(detail["loc"][:-1])
        return f"{where}: unknown key{instead_of_key(path[-1], model)} (known: {', '.join(model.model_fields)})"
    if kind == "missing":
        return f"{where}: required key is missing"
    if kind == "union_tag_invalid":
        kinds = _KINDS[path[0]]
        tag = str(context.get("tag", ""))
        known = f"(known: {', '.join(kinds)}){kinds.why_broken(tag)}"
        return f"{where}: there is no kind {tag!r}{kinds.instead_of(tag)} {known}"
    if kind == "union_tag_not_found":
        return f"{where}: required key `kind` is missing (one of {', '.join(_KINDS[path[0]])})"
    if kind in ("value_error", "problem_at"):
        return f"{where}: {message}"
    if kind in SHAPES:
        return f"{where}: {instead_of_shape(path, detail['input'], SHAPES[kind])}"
    return f"{where}: {message[0].lower()}{message[1:]}, not {shown}"


def _without_key(address: object) -> object:
    """What is given for an address, without the key that may stand in it."""
    from pgsrm_plugin.endpoint import show_address

    return show_address(address) if isinstance(address, str) else address


def _model_at(loc: Sequence[int | str]) -> type[BaseModel]:
    """The model whose fields are valid at ``loc``, which names fields, keys, indices and the kinds of unions."""
    models: dict[str, type[BaseModel]] = {"": RewardSpec}
    for part in loc:
        if len(models) == 1 and part in (fields := next(iter(models.values())).model_fields):
            models = {str(_kind(model)): model for model in _models_in(fields[str(part)].annotation)}
        elif part in models:
            models = {str(part): models[str(part)]}
    return next(iter(models.values()))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _kind(model: type[BaseModel]) -> object:
    return model.model_fields["kind"].default if "kind" in model.model_fields else ""
