"""The JSON Schema of a reward YAML, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from pgsrm_plugin import aggregates, credit, guards, shapes, terms
from pgsrm_plugin.spec.schema import RewardSpec


def json_schema() -> dict[str, Any]:
    """RewardSpec's JSON Schema (draft 2020-12), which also says that a term's kind defaults to its name.

    Rules between keys (weights name terms, a calibrated transform has a floor) are left to ``pgsrm spec check``.
    """
    schema = RewardSpec.model_json_schema()
    definitions = schema["$defs"]
    definitions["TermOfAnyKind"] = {"oneOf": [_with_kind(model.__name__) for model in terms.KINDS.values()]}
    encoders = [ref["$ref"].rsplit("/", 1)[1] for ref in _encoder_choices(schema)]
    definitions["EncoderOfAnyKind"] = {"oneOf": [_with_kind(name) for name in encoders]}
    _encoder_choices(schema, replacement={"$ref": "#/$defs/EncoderOfAnyKind"})
    definitions["GuardOfAnyKind"] = {"oneOf": [_with_kind(model.__name__) for model in guards.KINDS.values()]}
    aggregate = schema["properties"]["aggregate"]
    alone = [kind for kind, model in aggregates.KINDS.items() if not _needs_settings(model)]
    with_kind = [_with_kind(model.__name__) for model in aggregates.KINDS.values()]
    schema["properties"]["aggregate"] = {
        "anyOf": [{"enum": alone}, {"oneOf": with_kind}],
        "default": aggregate["default"]["kind"],
        "description": aggregate["description"],
    }
    schema["properties"]["shape"] = {
        "anyOf": [*map(_with_kind, (model.__name__ for model in shapes.KINDS.values())), {"type": "null"}],
        "default": None,
        "description": schema["properties"]["shape"]["description"],
    }
    alone = [kind for kind, model in credit.KINDS.items() if not _needs_settings(model)]
    schema["properties"]["credit"] = {
        "anyOf": [
            {"enum": alone},
            *map(_with_kind, (model.__name__ for model in credit.KINDS.values())),
            {"type": "null"},
        ],
        "default": None,
        "description": schema["properties"]["credit"]["description"],
    }
    for field, kinds in (("Term", terms.KINDS), ("Guard", guards.KINDS)):
        named = schema["properties"][f"{field.lower()}s"]
        any_kind = f"#/$defs/{field}OfAnyKind"
        named["properties"] = {name: _kind_from_name(model.__name__, any_kind) for name, model in kinds.items()}
        named["additionalProperties"] = {"$ref": any_kind}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _needs_settings(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _encoder_choices(schema: dict[str, Any], replacement: dict[str, Any] | None = None) -> list[dict[str, str]]:
    """The references to the encoder models, which the replacement takes the place of where one is given."""
    options = schema["properties"]["encoder"]["anyOf"]
    place = next(i for i, option in enumerate(options) if "oneOf" in option)
    choices: list[dict[str, str]] = options[place]["oneOf"]
    if replacement is not None:
        options[place] = replacement
    return choices


def _with_kind(model: str) -> dict[str, Any]:
    return {"allOf": [{"$ref": f"#/$defs/{model}"}, {"required": ["kind"]}]}


def _kind_from_name(model: str, any_kind: str) -> dict[str, Any]:
    return {
        "if": {"type": "object", "required": ["kind"]},
        "then": {"$ref": any_kind},
        "else": {"anyOf": [{"$ref": f"#/$defs/{model}"}, {"type": "null"}]},
    }
