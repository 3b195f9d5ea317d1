"""``pgsrm evaluate``: how rewards agree with people, and weights fitted to what people prefer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.errors import DataError, SpecError

if TYPE_CHECKING:
    from rich.table import Table

    from pgsrm_plugin.audit.people.evaluation import Evaluation
    from pgsrm_plugin.audit.people.judgements import DataKind, Judgements
    from pgsrm_plugin.audit.people.weights import Fit
    from pgsrm_plugin.reward import SemanticReward
    from pgsrm_plugin.spec import RewardSpec

_SPEC_EXTENSIONS = (".yaml", ".yml")


class As(str, Enum):
    """What the rows may be."""

    pairs = "pairs"
    ratings = "ratings"
    labels = "labels"


@dataclass(frozen=True)
class Outputs:
    """Where results go, beside the terminal."""

    json: Path | None
    html: Path | None
    spec: Path | None


def evaluate(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC... [DATA]",
            help="Reward YAMLs or names of shipped ones; then rows (.jsonl or .parquet), or `builtin` (the default): "
            "pairs of a true paraphrase and a false or empty answer, 16 kinds.",
        ),
    ],
    as_kind: Annotated[
        As | None, typer.Option("--as", help="What the rows are; by default found by their columns.")
    ] = None,
    pooled: Annotated[
        bool, typer.Option("--pooled", help="Ratings: measure over all rows only, not within prompts.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="YAML",
            help="Also each spec with these keys of it replaced, e.g. '{name: product, aggregate: product}'; again.",
        ),
    ] = None,
    grouped: Annotated[
        bool,
        typer.Option("--grouped", help="Ratings: score the answers to a prompt as one group, as training does."),
    ] = False,
    fit: Annotated[
        bool, typer.Option("--fit", help="Fit the term weights of one spec to pairs (Bradley-Terry).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="With --fit: write the spec with its new weights here.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file, too.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with a figure to this file, too.")] = None,
) -> None:
    """Hold rewards against what people said: which answer is better, how good one is, or whether it is right.

    Rows are pairs (prompt, reference, good or chosen, bad or rejected), ratings (prompt, response, reference, rating or
    score) or labels (label: 0 or 1). Exit status 2: the data or a spec is wrong; 3: the scorer failed.
    """
    names, data = split_inputs(given)
    outputs = _check_outputs(Outputs(json_out, html, out), fit, names)

    from pgsrm_plugin.audit.people.judgements import read_judgements
    from pgsrm_plugin.spec import load_spec
    from pgsrm_plugin.spec.shipped import find_spec_file
    from pgsrm_plugin.validate import judges_truth

    specs = [load_spec(find_spec_file(name).absolute()) for name in names]
    titles = _titles(names)
    for title, changed in _changed(dict(zip(titles, specs, strict=True)), changes or []):
        titles, specs = [*titles, title], [*specs, changed]
    kind: DataKind | None = None if as_kind is None else as_kind.value
    judgements = read_judgements(data, kind, judged=any(map(judges_truth, specs)))
    if fit and judgements.kind != "pairs":
        raise DataError(f"{data}: --fit learns from pairs (good and bad answers), and these are {judgements.kind}")
    if grouped and judgements.kind != "ratings":
        raise DataError(
            f"{data}: --grouped is for ratings, where a prompt has several answers; these are {judgements.kind}"
        )
    if fit and len(specs) > 1:
        raise SpecError("--fit fits the weights of one spec; leave out --with")
    if not grouped:
        _say_alone(titles, specs, judgements)
    rewards = _build([*names, *titles[len(names) :]], specs, grouped)
    evaluations = _evaluate(titles, rewards, judgements, within=not pooled, grouped=grouped)
    _show(evaluations, judgements)
    _write(outputs, evaluations, judgements)
    if fit:
        _fit(rewards[0], judgements, outputs.spec)


def split_inputs(given: Sequence[str]) -> tuple[list[str], str]:
    """The specs, and the data: the last argument, unless it is a spec.

    Raises:
        SpecError: there is no spec, or the data do not come last.
    """
    from pgsrm_plugin.audit.people.builtin import BUILTIN
    from pgsrm_plugin.data.files import EXTENSIONS

    def is_data(name: str) -> bool:
        return name == BUILTIN or Path(name).suffix not in ("", *_SPEC_EXTENSIONS)

    *specs, data = [*given] if is_data(given[-1]) else [*given, BUILTIN]
    if not specs:
        raise SpecError(f"there is no spec to evaluate on {data}; name one before it, e.g. pgsrm evaluate pgsrm {data}")
    for name in specs:
        if name == BUILTIN or Path(name).suffix in EXTENSIONS:
            raise SpecError(f"{name} is data, not a spec; give the specs first, and one file of data after them")
    return specs, data


def _check_outputs(outputs: Outputs, fit: bool, names: Sequence[str]) -> Outputs:
    from pgsrm_plugin.cli.places import check_place

    if outputs.spec is not None and not fit:
        raise SpecError("--out is where --fit writes the spec; add --fit, or use --json for the numbers")
    if fit and len(names) > 1:
        raise SpecError(f"--fit fits the weights of one spec, not of {len(names)}; name one")
    if outputs.html is not None:
        from importlib.util import find_spec

        if find_spec("plotly") is None:
            raise DataError("--html needs plotly: pip install 'pgsrm-plugin[demo]'")
    places = (
        (outputs.json, "--json", (".json",)),
        (outputs.html, "--html", (".html", ".htm")),
        (outputs.spec, "--out", _SPEC_EXTENSIONS),
    )
    return Outputs(*(None if path is None else check_place(path, option, known) for path, option, known in places))


def _changed(specs: Mapping[str, RewardSpec], changes: Sequence[str]) -> Iterator[tuple[str, RewardSpec]]:
    """Each spec with each change, under the change's ``name``, or else the change as it was written.

    Raises:
        SpecError: a change is no mapping, or the spec is none with it.
    """
    import yaml

    from pgsrm_plugin.spec import parse_spec

    for title, spec in specs.items():
        for text in changes:
            try:
                change = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise SpecError(f"--with {text!r} is not YAML: {error}") from None
            if not isinstance(change, dict):
                raise SpecError(f"--with {text!r} must be a mapping of a spec's keys, e.g. '{{aggregate: product}}'")
            content = spec.model_dump(mode="json", exclude_none=True) | change
            name = str(change.get("name", text))
            yield (
                name if len(specs) == 1 else f"{title}, {name}",
                parse_spec(yaml.safe_dump(content), f"{title} --with {text!r}"),
            )


def _build(names: Sequence[str], specs: Sequence[RewardSpec], grouped: bool = False) -> list[SemanticReward]:
    """The rewards; specs with the same encoder section share one encoder."""
    from pgsrm_plugin.audit.people.evaluation import by_itself, in_its_group, naming
    from pgsrm_plugin.reward import SemanticReward

    rewards: list[SemanticReward] = []
    for name, spec in zip(names, specs, strict=True):
        with naming(name):
            same = next((one for one in rewards if one.encoder is not None and one.spec.encoder == spec.encoder), None)
            reward = SemanticReward(spec) if same is None else same.with_spec(spec)
            rewards.append(in_its_group(reward) if grouped else by_itself(reward))
    return rewards


def _titles(names: Sequence[str]) -> list[str]:
    """Short names, where they tell the specs apart."""
    short = [Path(name).stem if name.endswith(_SPEC_EXTENSIONS) else name for name in names]
    return short if len(set(short)) == len(short) else list(names)


def _say_alone(names: Sequence[str], specs: Sequence[RewardSpec], judgements: Judgements) -> None:
    """Says which specs are not what they are in training, where answers have no group."""
    advice = "; --grouped scores the answers to a prompt as one group" if judgements.kind == "ratings" else ""
    for name, spec in zip(names, specs, strict=True):
        if spec.aggregate.needs_groups:
            how = f"by aggregate: {spec.aggregate.instead} instead of {spec.aggregate.kind}"
        elif spec.paid_in_groups:
            how = f"and term {spec.paid_in_groups[0]!r} compares answers of a group"
        else:
            continue
        typer.echo(f"{name}: answers are scored one by one, {how}{advice}", err=True)


def _evaluate(
    names: Sequence[str],
    rewards: Sequence[SemanticReward],
    judgements: Judgements,
    *,
    within: bool,
    grouped: bool = False,
) -> list[Evaluation]:
    from pgsrm_plugin.audit.people.evaluation import evaluate_spec
    from pgsrm_plugin.cli.score import progress

    responses = len(judgements) * (2 if judgements.pairs else 1)
    with progress(responses * len(rewards)) as advance:
        return [
            evaluate_spec(name, reward, judgements, within=within, grouped=grouped, advance=advance)
            for name, reward in zip(names, rewards, strict=True)
        ]


def _show(evaluations: Sequence[Evaluation], judgements: Judgements) -> None:
    from rich.console import Console

    from pgsrm_plugin.audit.people.evaluation import NOTES

    console = Console(highlight=False)
    console.print(evaluation_table(evaluations, judgements))
    console.print(NOTES[judgements.kind], markup=False, soft_wrap=True)


def evaluation_table(evaluations: Sequence[Evaluation], judgements: Judgements) -> Table:
    """A row a measure and a column a spec, or the other way round where there are more specs than measures."""
    from rich.markup import escape
    from rich.table import Table

    from pgsrm_plugin.audit.people.evaluation import cell

    table = Table(title=escape(f"{judgements.source}: {len(judgements)} {judgements.kind}"))
    table.add_column("", no_wrap=True)
    if len(evaluations) > len(evaluations[0].measures):
        for measure in evaluations[0].measures:
            table.add_column(f"{escape(measure.name)} (n {measure.count})")
        for one in evaluations:
            cells = [cell(measure) for measure in one.measures]
            table.add_row(escape(one.name), *(escape(" ".join(each).strip()) for each in cells))
        return table
    table.add_column("n", justify="right", no_wrap=True)
    for one in evaluations:
        table.add_column(escape(one.name))
    for number, measure in enumerate(evaluations[0].measures):
        cells = [cell(one.measures[number]) for one in evaluations]
        table.add_row(escape(measure.name), str(measure.count), *(escape(" ".join(one).strip()) for one in cells))
    return table


def _write(outputs: Outputs, evaluations: Sequence[Evaluation], judgements: Judgements) -> None:
    from pgsrm_plugin.cli.places import write_place

    if outputs.json is not None:
        from pgsrm_plugin.audit.people.evaluation import as_json

        write_place(outputs.json, json.dumps(as_json(judgements, evaluations), indent=2, ensure_ascii=False) + "\n")
    if outputs.html is not None:
        from pgsrm_plugin.audit.people.evaluation_page import render_evaluation

        write_place(outputs.html, render_evaluation(judgements, evaluations))


def _fit(reward: SemanticReward, judgements: Judgements, out: Path | None) -> None:
    from pgsrm_plugin.audit.people.weights import fit_spec, fitted_yaml
    from pgsrm_plugin.cli.places import write_place

    found = fit_spec(reward, judgements)
    typer.echo(_sentences(found))
    text = fitted_yaml(reward.spec, found, Path(judgements.source).name)
    if out is not None:
        write_place(out, text)
        typer.echo(f"written to {out}")


def _sentences(fit: Fit) -> str:
    listed = ", ".join(f"{name}: {weight:g}" for name, weight in fit.weights.items())
    return (
        f"weights: {{{listed}}}\n"
        f"accuracy {fit.after:.3f} with them on the {fit.pairs} pairs, {fit.held_out:.3f} on pairs left out of the fit "
        f"({fit.folds} folds), {fit.before:.3f} with the spec's own weights"
    )
