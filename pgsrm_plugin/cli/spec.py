"""``pgsrm spec``: check a reward spec, and its JSON Schema for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.errors import DataError

if TYPE_CHECKING:
    from pgsrm_plugin.spec import RewardSpec

spec_app = typer.Typer(help="Check a reward spec; print the JSON Schema of specs.", no_args_is_help=True)


@spec_app.command()
def check(
    file: Annotated[str, typer.Argument(help="A reward YAML, or the name of a shipped one.")],
    load: Annotated[bool, typer.Option("--load", help="Also load the encoder and run its self-test.")] = False,
) -> None:
    """Check a reward spec and say what it does."""
    from pgsrm_plugin.spec import load_spec
    from pgsrm_plugin.spec.shipped import find_spec_file

    path = find_spec_file(file)
    spec = load_spec(path)
    lines = [f"{path}: valid", *describe(spec)]
    if load:
        from pgsrm_plugin.reward import SemanticReward

        encoder = SemanticReward(spec).encoder
        lines.append(f"  loaded     {encoder.identity if encoder else 'no encoder to load'}")
    typer.echo("\n".join(lines))


@spec_app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="Write it to this file instead of the terminal.")] = None,
) -> None:
    """Print the JSON Schema of reward specs; editors complete and check YAML with it."""
    from pgsrm_plugin.spec.jsonschema import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.expanduser().write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}") from None


def describe(spec: RewardSpec) -> list[str]:
    """What a spec does, a line each: encoder, terms with weights, gates, aggregation, range."""
    lines = [f"  name       {spec.name}"] if spec.name else []
    lines.append(f"  encoder    {_encoder(spec)}")
    for name, term in spec.terms.items():
        kind = "" if term.kind == name else f" ({term.kind})"
        weight = spec.weight(name)
        when = "" if term.when is None else f", where {term.when.column} is {' or '.join(term.when.equals)}"
        lines.append(f"  term       {name}{kind}, weight {weight:g}{'' if weight else ' (logged only)'}{when}")
    for gate in spec.gates:
        bound = f">= {gate.at_least:g}" if gate.at_least is not None else f"<= {gate.at_most:g}"
        kept = f", keeps {', '.join(gate.keep)}" if gate.keep else ""
        lines.append(f"  gate       {gate.term} {bound}{kept}; other terms get their worst value")
    lines.append(f"  aggregate  {spec.aggregate}; suits {spec.aggregate.suits}")
    lines += [f"  shape      {spec.shape}; suits {spec.shape.suits}"] if spec.shape else []
    lines.append(f"  unscorable {spec.unscorable}")
    lines.append(f"  range      {_range(spec)}")
    return lines


def _encoder(spec: RewardSpec) -> str:
    if spec.encoder is None:
        return "none"
    from pgsrm_plugin.endpoint import show_address

    named = spec.encoder.model_dump(exclude_unset=True, exclude={"kind"}, mode="json")
    if "base_url" in named:
        named["base_url"] = show_address(named["base_url"])
    return " ".join([spec.encoder.kind, *(f"{key}={value}" for key, value in named.items())])


def _range(spec: RewardSpec) -> str:
    reach = spec.reach
    if reach is None:
        return "mean 0, standard deviation 1 over the batch"
    return f"worst possible reward {reach[0]:g}, best {reach[1]:g}"
