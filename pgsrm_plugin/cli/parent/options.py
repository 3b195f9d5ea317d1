"""Options of ``pgsrm parent``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsrm_plugin.errors import SpecError

if TYPE_CHECKING:
    from pgsrm_plugin.asking.store.answers import ParentConfig

Prices = tuple[float | None, float | None]
"""Of a million prompt tokens, and of a million answer tokens."""

Store = Annotated[Path, typer.Argument(metavar="STORE", help="The store's folder.")]
Settings = Annotated[
    str | None, typer.Option(metavar="ID", help="The answers under these settings, where there are several; or all.")
]
Spec = Annotated[str, typer.Option(help="The reward spec whose encoder measures agreement.")]

EngineArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--engine-arg", metavar="KEY=VALUE", help="Setting of the engine, e.g. tensor_parallel_size=2; again."
    ),
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, help="Calls at the same time (openai), prompts in a batch (hf, vllm).")
]
BaseUrl = Annotated[str | None, typer.Option(help="openai: the endpoint, e.g. http://127.0.0.1:8000/v1.")]
ApiKeyEnv = Annotated[str | None, typer.Option(metavar="NAME", help="openai: the environment variable with the key.")]
Deadline = Annotated[float | None, typer.Option(min=0.001, help="Seconds after which no further call begins.")]
PriceIn = Annotated[float | None, typer.Option(min=0, help="Price of a million prompt tokens.")]
PriceOut = Annotated[float | None, typer.Option(min=0, help="Price of a million answer tokens.")]


def number_or_none(value: str | float) -> float | None:
    """The value of an option that ``none`` leaves out of the request."""
    try:
        return None if str(value).casefold() == "none" else float(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is no number, and not none") from None


def integer_or_none(value: str | int) -> int | None:
    """As :func:`number_or_none`, of whole numbers."""
    try:
        return None if str(value).casefold() == "none" else int(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is no whole number, and not none") from None


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How a parent is asked, or was."""

    revision: Annotated[str | None, typer.Option(help="The model's commit or tag on the hub.")] = None
    temperature: Annotated[
        float | None, typer.Option(parser=number_or_none, metavar="FLOAT|none", help="0 is greedy; none: not sent.")
    ] = 0.0
    top_p: Annotated[float, typer.Option(min=0, max=1)] = 1.0
    seed: Annotated[
        int | None,
        typer.Option(parser=integer_or_none, metavar="INTEGER|none", help="Sample k has seed + k; none: not sent."),
    ] = 0
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer, in the parent's tokens.")] = 256
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends an answer; may be given again.")] = None
    sampling_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Sampling setting by the engine's name, e.g. top_k=40; again."),
    ] = None
    system: Annotated[Path | None, typer.Option(metavar="FILE", help="System prompt.")] = None
    extract: Annotated[
        str | None, typer.Option(help="json:KEY, tag:NAME or regex:PATTERN: the reference in an answer.")
    ] = None

    def parent(self, engine: str, model: str) -> ParentConfig:
        """The parent, checked as far as it can be without asking it.

        Raises:
            SpecError: an option is wrong.
            DataError: the system prompt cannot be read.
        """
        from pgsrm_plugin.asking.answer_extraction import build_extractor
        from pgsrm_plugin.asking.engines import ENGINES
        from pgsrm_plugin.asking.store.answers import ParentConfig, Sampling
        from pgsrm_plugin.errors import did_you_mean
        from pgsrm_plugin.parents.generation.prompts import read_system

        if engine not in ENGINES:
            nearest = did_you_mean(engine, ENGINES)
            raise SpecError(f"--engine {engine} is unknown{nearest} (known: {', '.join(ENGINES)})")
        build_extractor(self.extract)
        extra = key_values(self.sampling_arg or (), "--sampling-arg")
        sampling = Sampling(self.temperature, self.top_p, self.max_tokens, self.seed, tuple(self.stop or ()), extra)
        return ParentConfig(engine, model, self.revision, sampling, read_system(self.system), self.extract)


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(SamplingOptions):
    """The options of ``generate``."""

    prompts: Annotated[str, typer.Argument(help="A .jsonl or .parquet file (verl's too), or a task's name.")]
    engine: Annotated[str, typer.Option(help="hf (transformers), vllm (offline) or openai (any compatible endpoint).")]
    model: Annotated[str, typer.Option(help="A folder, a hub id, or the endpoint's name for the model.")]
    out: Annotated[Path, typer.Option(metavar="STORE", help="The store: a folder; what it has is not asked again.")]
    n: Annotated[int, typer.Option("--n", min=1, help="Answers a prompt (multi-reference).")] = 1
    base_url: BaseUrl = None
    api_key_env: ApiKeyEnv = None
    concurrency: Concurrency = None
    engine_arg: EngineArgs = None
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first so many distinct prompts.")] = None
    deadline: Deadline = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show prompts, calls, tokens and cost; ask nothing.")] = (
        False
    )
    price_in: PriceIn = None
    price_out: PriceOut = None

    @property
    def folder(self) -> Path:
        """Of the store."""
        return self.out.expanduser()

    @property
    def prices(self) -> Prices:
        return self.price_in, self.price_out

    def config(self) -> ParentConfig:
        """As :meth:`parent`, of the engine and the model that were given."""
        config = self.parent(self.engine, self.model)
        if self.n > 1 and self.temperature == 0:
            raise SpecError(
                f"--n {self.n} with temperature 0 asks for the same answer {self.n} times; add e.g. --temperature 0.7"
            )
        return config

    def engine_settings(self) -> dict[str, Any]:
        """Fields of the engine's settings; see :meth:`EngineOptions.settings`."""
        given = EngineOptions(self.base_url, self.api_key_env, self.concurrency, tuple(self.engine_arg or ()))
        return given.settings(self.engine)


@dataclass(frozen=True, kw_only=True)
class ImportOptions(SamplingOptions):
    """The options of ``import``; those of sampling say how the answers were asked for."""

    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A batch's output (OpenAI, vLLM run_batch), or rows: prompt, answer.")
    ]
    out: Annotated[Path, typer.Option(metavar="STORE", help="The store's folder; made if there is none.")]
    prompts: Annotated[
        str | None, typer.Option(help="The prompts: a .jsonl or .parquet file, a task, or the batch's input.")
    ] = None
    id: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="The prompts' column with the answers' custom_id.")
    ] = None
    model: Annotated[str | None, typer.Option(help="The parent's name; without it, the one in the file.")] = None
    engine: Annotated[str, typer.Option(help="What could be asked again: openai, vllm or hf.")] = "openai"


@dataclass(frozen=True)
class ExportOptions:
    """The options of ``export``."""

    store: Store
    out: Annotated[Path, typer.Option(help="A file; a folder with --split or --format hf.")]
    format: Annotated[str, typer.Option(help="verl (RL parquet), jsonl, or hf (Hugging Face, save_to_disk).")] = "verl"
    split: Annotated[
        str | None, typer.Option(help="E.g. train=0.9,val=0.1; own: the sides that rows name in extra_info.split.")
    ] = None
    by: Annotated[str, typer.Option(help="What never stands on two sides: prompt or item.")] = "prompt"
    drop: Annotated[str, typer.Option(help="Leave out references that fail these checks; none: keep all.")] = (
        "refusal,echo"
    )
    min_agreement: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Leave out prompts whose answers agree less.")
    ] = None
    weight: Annotated[bool, typer.Option("--weight", help="Write the agreement as a column weight, too.")] = False
    spec: Spec = "pgsrm"
    settings: Settings = None
    raw: Annotated[
        bool, typer.Option("--raw", help="Write every answer as it is stored, failures too, a JSON object a line.")
    ] = False


@dataclass(frozen=True)
class EngineOptions:
    """How the parent runs, as far as the command line says so."""

    base_url: str | None = None
    api_key_env: str | None = None
    concurrency: int | None = None
    arguments: tuple[str, ...] = ()

    def settings(self, engine: str) -> dict[str, Any]:
        """Fields of the engine's settings.

        Raises:
            SpecError: an option is for another engine, or an argument is not key=value.
        """
        given = key_values(self.arguments, "--engine-arg")
        for name in ("base_url", "api_key_env"):
            value = getattr(self, name)
            if value is not None and engine != "openai":
                raise SpecError(f"--{name.replace('_', '-')} is for --engine openai, not {engine}")
            given |= {name: value} if value is not None else {}
        if self.concurrency is not None:
            given["concurrency" if engine == "openai" else "batch_size"] = self.concurrency
        if engine != "vllm":
            return given
        own = {name: given.pop(name) for name in ("batch_size",) if name in given}
        return {**own, "engine_args": given} if given else own


def key_values(arguments: Sequence[str], option: str) -> dict[str, Any]:
    """``key=value`` arguments; values are read as YAML, so that numbers are numbers.

    Raises:
        SpecError: one is not of this form.
    """
    import yaml

    found = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise SpecError(f"{option} {argument!r} is not key=value, e.g. tensor_parallel_size=2")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[name.strip()] = value
    return found
