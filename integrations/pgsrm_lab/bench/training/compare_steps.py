"""``pgsrm bench train``: seconds a step, tokens a second and peak memory, ours and TRL's, in one run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from pgsrm_lab.bench.training.step_settings import StepSettings
from pgsrm_plugin.cli.apps import run_alone
from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.pretrained import embedded

QWEN_VOCABULARY = 151_936
LARGE_VOCABULARY = f"vocabulary_{QWEN_VOCABULARY // 1000 + 1}k"


def main(arguments: list[str]) -> None:
    """Runs the command with the given arguments."""
    run_alone(bench_train, arguments, "bench train")


def bench_train(
    child: Annotated[str, typer.Option(help="Folder or hub id of the model that is trained.")] = embedded.MODEL,
    chat: Annotated[bool, typer.Option(help="Prompts go through the child's chat template.")] = True,
    prompts: Annotated[int, typer.Option(min=1, help="Prompts of a step.")] = 4,
    group: Annotated[int, typer.Option(min=2, help="Answers to a prompt.")] = 8,
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer, at most.")] = 24,
    kl: Annotated[float, typer.Option(min=0.0, help="Coefficient of the KL to the reference; 0 needs none.")] = 0.04,
    rounds: Annotated[int, typer.Option(min=1, help="Steps of each system that count, after one that does not.")] = 3,
    threads: Annotated[int, typer.Option(min=0, help="Of torch; 0: as many as there are cores.")] = 0,
    vocabulary: Annotated[
        bool, typer.Option(help="Also a tiny model with a vocabulary of 151,936, where the logits are what is large.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure a whole GRPO step against TRL's GRPOTrainer (where installed): same model, prompts, lengths, loss."""
    cores = threads or len(os.sched_getaffinity(0))
    sizes = {"prompts": prompts, "group": group, "new_tokens": new_tokens, "kl": kl, "threads": cores}
    from pgsrm_plugin.report.machine import machine, versions

    if not find_spec("trl"):
        typer.echo("TRL is not installed: only our step is measured (`pip install trl` adds its own)", err=True)
    result = compare(StepSettings(embedded.resolve(child), chat, **sizes), rounds)  # type: ignore[arg-type]
    if vocabulary:
        with tempfile.TemporaryDirectory() as folder:
            write_large_vocabulary(Path(folder))
            result[LARGE_VOCABULARY] = compare(StepSettings(folder, False, **sizes), rounds)  # type: ignore[arg-type]
    about = {"child": child, "rounds": rounds, **sizes, "machine": machine(), "versions": _versions(versions())}
    result["settings"] = about
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        _show(result)


def compare(settings: StepSettings, rounds: int) -> dict[str, Any]:
    """Each system takes its turn in every round; medians, and ratios of medians.

    Raises:
        ScorerError: a system's process ended.
    """
    systems = ["ours", *(["trl"] if find_spec("trl") else [])]
    workers = {name: _Worker(name, settings) for name in systems}
    try:
        steps: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
        for round_ in range(rounds + 1):
            for name in systems if round_ % 2 else systems[::-1]:
                steps[name].append(workers[name].step())
    finally:
        for worker in workers.values():
            worker.close()
    counted = {name: found[1:] for name, found in steps.items()}

    def median(key: str) -> dict[str, float | None]:
        return {name: _median([step[key] for step in counted.get(name, [])]) for name in ("ours", "trl")}

    seconds, cpu = median("s"), median("cpu_s")
    tokens = {name: _median([step["tokens"] / step["s"] for step in counted.get(name, [])]) for name in ("ours", "trl")}
    return {
        "step_s": seconds,
        "speedup_vs_trl": _ratio(seconds),
        "cpu_s": cpu,
        "cpu_speedup_vs_trl": _ratio(cpu),
        "peak_mib": (peak := median("peak_mib")),
        "peak_vs_trl": None if (ratio := _ratio(peak)) is None else 1 / ratio,
        "tokens_per_s": tokens,
        "tokens_per_step": median("tokens"),
        "phases_s": {
            name: {phase: _median([step["phases"][phase] for step in found]) for phase in found[0]["phases"]}
            for name, found in counted.items()
        },
    }


class _Worker:
    """The process of one system."""

    def __init__(self, name: str, settings: StepSettings) -> None:
        self._name = name
        command = [sys.executable, "-m", "pgsrm_lab.bench.training.step_worker", name, settings.dump()]
        environment = {**os.environ, "OMP_NUM_THREADS": str(settings.threads), "TRL_EXPERIMENTAL_SILENCE": "1"}
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed with the process)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._log, text=True, env=environment)
        self._read()

    def step(self) -> dict[str, Any]:
        """One step; returns what the worker says about it, once it is ready for the next."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        found = self._read()
        self._read()
        return found

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            said = self._log.read().strip().splitlines() or ["nothing"]
            raise ScorerError(f"bench train: the process of {self._name} ended; it said: {said[-1]}")
        found: dict[str, Any] = json.loads(line)
        return found


def write_large_vocabulary(folder: Path) -> None:
    """A llama of two narrow layers with as many tokens as Qwen has; its answers never end by themselves."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {f"w{number}": number for number in range(2, QWEN_VOCABULARY)} | {"<end>": 0, "<unk>": 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    LlamaForCausalLM(LlamaConfig(vocab_size=QWEN_VOCABULARY, **shape, **ends)).save_pretrained(folder)
    fast.save_pretrained(folder)


def _median(values: list[Any]) -> float | None:
    return statistics.median(values) if values and None not in values else None


def _ratio(of: dict[str, float | None]) -> float | None:
    ours, theirs = of["ours"], of["trl"]
    return theirs / ours if ours and theirs else None


def _versions(found: dict[str, str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return found | {"trl": version("trl")}
    except PackageNotFoundError:
        return found


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    parts = {result["settings"]["child"]: result} | {
        f"a tiny model, vocabulary {QWEN_VOCABULARY:,}": result[key] for key in (LARGE_VOCABULARY,) if key in result
    }
    for title, part in parts.items():
        table = Table("", "ours", "TRL", title=title, title_justify="left")
        rows = {
            "seconds a step": part["step_s"],
            "CPU seconds a step": part["cpu_s"],
            "tokens a second": part["tokens_per_s"],
            "peak MiB": part["peak_mib"],
        }
        rows |= {
            f"  {phase}, seconds": {name: part["phases_s"].get(name, {}).get(phase) for name in ("ours", "trl")}
            for phase in ("rollout", "reward", "update")
        }
        for name, values in rows.items():
            cells = ["-" if values[system] is None else f"{values[system]:.4g}" for system in ("ours", "trl")]
            table.add_row(name, *cells)
        console.print(table)
        if part["speedup_vs_trl"] is not None:
            console.print(f"{part['speedup_vs_trl']:.2f} times TRL's step")
