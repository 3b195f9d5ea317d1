"""``pgsrm bench``: how fast, how exact, and against what."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsrm_plugin.cli.apps import run_alone
from pgsrm_plugin.errors import DataError, SpecError

if TYPE_CHECKING:
    from pgsrm_lab.bench.benchmark import BenchSettings
    from pgsrm_lab.bench.systems.base import Progress
    from pgsrm_lab.bench.workload import WorkloadSettings
    from pgsrm_plugin.encoders.hf import HfEncoderSpec


class Dtype(str, Enum):
    """What ``--dtype`` takes."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    both = "both"


def main(arguments: list[str]) -> None:
    """Runs the command with the given arguments."""
    run_alone(bench, arguments, "bench")


def bench(
    spec: Annotated[str, typer.Option(help="The spec whose encoder is measured: a YAML file or a shipped name.")] = (
        "pgsrm"
    ),
    model: Annotated[str, typer.Option(help="Measure this model, a folder or hub id, instead of the spec's.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...; default: the spec's.")] = "",
    dtype: Annotated[
        Dtype | None,
        typer.Option(help="Of the tuned systems and ours; both: float32 and bfloat16. Default: the spec's."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Each system is timed so often, in turn; the median counts.")] = 5,
    prompts: Annotated[int, typer.Option(min=1, help="Groups in the workload.")] = 128,
    group: Annotated[int, typer.Option(min=2, help="Responses to a prompt.")] = 8,
    mean_tokens: Annotated[int, typer.Option(min=4, help="Mean length of a text.")] = 130,
    seed: Annotated[int, typer.Option(help="Of the workload.")] = 0,
    guards: Annotated[
        str, typer.Option(metavar="SPEC", help="Measure instead what this spec's guards cost beside a plain cosine.")
    ] = "",
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")] = None,
    html_out: Annotated[Path | None, typer.Option("--html", help="Write a page with bar charts to this file.")] = None,
) -> None:
    """Measure the encoder against sentence-transformers (and vLLM, if installed) on a GRPO-shaped workload."""
    from pgsrm_lab.bench.workload import WorkloadSettings

    for out in (json_out, html_out):
        _refuse_unwritable(out)
    if html_out is not None:
        _refuse_without_plotly()
    if guards:
        _guards(guards, rounds, json_out, html_out)
        return
    workload = WorkloadSettings(prompts=prompts, group=group, mean_tokens=mean_tokens, seed=seed)
    settings = _settings(_encoder(spec, model, device), dtype, rounds, workload, spec if not model else "")
    from pgsrm_lab.bench.benchmark import run_bench

    result = _watched(lambda progress: run_bench(settings, progress))

    from rich.console import Console

    from pgsrm_lab.bench.report.terminal import show

    show(result, Console())
    if json_out is not None:
        json_out.expanduser().write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if html_out is not None:
        from pgsrm_lab.bench.report.charts import render

        html_out.expanduser().write_text(render(result), encoding="utf-8")


def _encoder(spec: str, model: str, device: str) -> HfEncoderSpec:
    from pydantic import ValidationError

    from pgsrm_plugin.encoders.hf import HfEncoderSpec
    from pgsrm_plugin.spec import load_spec

    section = HfEncoderSpec(model=model) if model else load_spec(spec).encoder
    if section is None:
        raise SpecError(f"{spec} has no encoder to measure")
    if not isinstance(section, HfEncoderSpec):
        raise SpecError(
            f"pgsrm bench compares with sentence-transformers, so it needs an encoder of kind hf, and {spec} "
            f"has one of kind {section.kind}; name a model with --model"
        )
    try:
        return HfEncoderSpec.model_validate({**section.model_dump(), **({"device": device} if device else {})})
    except ValidationError as error:
        raise SpecError(f"--device {device}: {error.errors()[0]['msg']}") from None


def _settings(
    encoder: HfEncoderSpec, dtype: Dtype | None, rounds: int, workload: WorkloadSettings, spec: str
) -> BenchSettings:
    from pgsrm_lab.bench.benchmark import BenchSettings
    from pgsrm_lab.bench.workload import WorkloadSettings

    chosen = encoder.dtype if dtype is None else dtype.value
    dtypes = ("float32", "bfloat16") if chosen == "both" else (chosen,)
    named: dict[str, object] = {"spec": spec} if spec != "pgsrm" else {}
    options = named if spec else {"model": encoder.model}
    options |= {"device": encoder.device} if encoder.device != "auto" else {}
    options |= {"dtype": chosen, "rounds": rounds}
    usual = WorkloadSettings()
    for name in ("prompts", "group", "mean_tokens", "seed"):
        if getattr(workload, name) != getattr(usual, name):
            options[name.replace("_", "-")] = getattr(workload, name)
    command = " ".join(["pgsrm bench", *(f"--{name} {value}" for name, value in options.items())])
    return BenchSettings(encoder, dtypes, rounds, workload, command)


def _guards(spec: str, rounds: int, json_out: Path | None, html_out: Path | None) -> None:
    from rich.console import Console

    from pgsrm_lab.bench.benchmark import run_guards
    from pgsrm_lab.bench.report.terminal import show_guards
    from pgsrm_plugin.spec import load_spec

    if html_out is not None:
        raise DataError("--html shows the comparison of encoders; --guards has a table, and --json")
    command = f"pgsrm bench --guards {spec} --rounds {rounds}"
    result = _watched(lambda progress: run_guards(load_spec(spec), rounds, command, progress))
    show_guards(result, Console())
    if json_out is not None:
        json_out.expanduser().write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _watched(run: Callable[[Progress], dict[str, Any]]) -> dict[str, Any]:
    """Runs with a line of progress where there is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        return run(lambda _: None)
    with console.status("") as status:
        return run(status.update)


def _refuse_unwritable(out: Path | None) -> None:
    """Before minutes of work, not after."""
    if out is None:
        return
    out = out.expanduser()
    if out.is_dir():
        raise DataError(f"{out} is a folder; give a file name")
    if not out.absolute().parent.is_dir():
        raise DataError(f"there is no folder {out.parent} to write {out.name} to; create it first")


def _refuse_without_plotly() -> None:
    from importlib.util import find_spec

    if find_spec("plotly") is None:
        raise DataError("--html needs plotly: pip install 'pgsrm-plugin[demo]'")
