"""A recipe of supervised fine-tuning, tried with verl's own SFT trainer: what is checked, and what changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pgsrm_plugin.data.faults import Faults
from pgsrm_plugin.errors import DataError, SpecError, did_you_mean
from pgsrm_verl.rehearsal import standin_rows as rows
from pgsrm_verl.rehearsal.recipe import Recipe
from pgsrm_verl.rehearsal.scaling import Change
from pgsrm_verl.rehearsal.standin import StandIn, find_stand_in

ROWS = 4
"""Of a step."""
TRAINER = "verl.trainer.sft_trainer"
_MODEL = "model"


def check_chats(recipe: Recipe) -> StandIn:
    """Looks through model and data; the stand-in for the model.

    Raises:
        SpecError: a setting cannot be rehearsed, or the model has no chat template.
        DataError: a row is no chat that ends with the assistant's words, or does not fit; the message names it.
    """
    strategy = recipe.get("engine.strategy")
    if strategy not in ("fsdp", "fsdp2"):
        raise SpecError(f"engine.strategy is {strategy!r}, and only fsdp and fsdp2 run on a CPU")
    batch, gpus = (
        recipe.get("data.train_batch_size"),
        recipe.get("trainer.n_gpus_per_node") * recipe.get("trainer.nnodes"),
    )
    if not isinstance(batch, int) or batch < 1 or batch % gpus:
        raise SpecError(f"data.train_batch_size is {batch!r}: it must be a whole number that divides among {gpus} GPUs")
    files = _files(recipe)
    texts = [text for path in files for text in rows.head_texts(path, column_of(recipe))]
    stand_in = find_stand_in(
        recipe.get(f"{_MODEL}.path"),
        lambda: texts,
        recipe.get(f"{_MODEL}.custom_chat_template"),
        bool(recipe.get(f"{_MODEL}.trust_remote_code")),
        section=_MODEL,
    )
    for path in files:
        _check_rows(path, recipe, stand_in)
    return stand_in


def column_of(recipe: Recipe) -> str:
    """The column of the chats."""
    return recipe.get("data.messages_key") or "messages"


def write_chats(folder: Path, recipe: Recipe, steps: int) -> list[Change]:
    """Writes a few rows of each file, and says where they are."""
    found = []
    for path, name, count in zip(_files(recipe), ("train", "val"), (ROWS * steps, ROWS), strict=False):
        table = rows.head(path, count)
        table = table.take([number % table.num_rows for number in range(count)])
        rows.write(rows.Sample(path, table, 0), folder / f"{name}.parquet")
        found.append(Change(f"data.{name}_files", str(folder / f"{name}.parquet"), "a few of your rows"))
    return found


def sft_changes(recipe: Recipe, workers: int, steps: int, folder: Path) -> list[Change]:
    """Every change of a setting: batches, devices, places."""
    listed = [*_batch(recipe), *_devices(workers), *_training(steps), *_places(folder)]
    return [replace(change, was=recipe.get(change.key)) for change in listed]


def _files(recipe: Recipe) -> list[Path]:
    keys = ["data.train_files", *(["data.val_files"] if recipe.get("data.val_files") else [])]
    return [rows.local_file(recipe, key) for key in keys]


def _check_rows(path: Path, recipe: Recipe, stand_in: StandIn) -> None:
    column, limit, faults = column_of(recipe), recipe.get("data.max_length"), Faults()
    table = rows.head(path, rows.LOOKED_AT)
    if table.num_rows == 0:
        raise DataError(f"{path} has no rows")
    if column not in table.column_names:
        known = table.column_names
        raise DataError(
            f"{path}: there is no column {column!r} (data.messages_key){did_you_mean(column, known)} "
            f"(it has: {', '.join(known)})"
        )
    for number, chat in enumerate(table[column].to_pylist(), 1):
        with faults.collect():
            _check_chat(chat, f"{path}: row {number}: column {column!r}")
            tokens = stand_in.chat_tokens(chat) if stand_in.own_tokenizer else 0
            if tokens > limit and recipe.get("data.truncation") == "error":
                raise DataError(
                    f"{path}: row {number} has {tokens} tokens, and data.max_length is {limit}; raise it, shorten the "
                    "row, or set data.truncation"
                )
    faults.check()


def _check_chat(chat: Any, name: str) -> None:
    is_chat = isinstance(chat, list) and all(isinstance(item, dict) and "role" in item for item in chat)
    if not is_chat or not chat:
        raise DataError(f"{name} must be a list of chat messages with role and content, as verl reads it")
    if chat[-1]["role"] != "assistant":
        raise DataError(f"{name}: the last message must be the assistant's: it is what is learned")
    content = chat[-1].get("content")
    if not isinstance(content, str) or not content.strip():
        raise DataError(f"{name}: what the assistant says is empty")


def _batch(recipe: Recipe) -> Iterator[Change]:
    yield Change("data.train_batch_size", ROWS, f"a step of {ROWS} rows")
    yield Change("data.micro_batch_size_per_gpu", 1, "two micro-batches, so that gradients accumulate")
    yield Change("data.max_token_len_per_gpu", max(2 * recipe.get("data.max_length"), 2048), "two sequences")
    yield Change("data.num_workers", 0, "a few rows")
    yield Change("data.train_max_samples", -1, "a few of your rows")
    yield Change("data.val_max_samples", -1, "a few of your rows")


def _devices(workers: int) -> Iterator[Change]:
    why = "this CPU"
    yield Change("trainer.device", "cpu", why)
    yield Change("trainer.nnodes", 1, why)
    yield Change("trainer.n_gpus_per_node", workers, why)
    yield Change("model.override_config.attn_implementation", "sdpa", why)
    for key in ("use_remove_padding", "enable_gradient_checkpointing", "use_liger", "use_fused_kernels"):
        yield Change(f"model.{key}", False, why)
    yield Change("engine.strategy", "fsdp2", why)
    yield Change("engine.dtype", "float32", why)
    yield Change("engine.ulysses_sequence_parallel_size", 1, why)
    for key in ("use_torch_compile", "param_offload", "optimizer_offload", "offload_policy"):
        yield Change(f"engine.{key}", False, why)
    for kind in ("param", "reduce", "buffer"):
        yield Change(f"engine.mixed_precision.{kind}_dtype", "fp32", why)


def _training(steps: int) -> Iterator[Change]:
    yield Change("trainer.total_training_steps", steps, "a rehearsal")
    yield Change("trainer.total_epochs", steps, "a rehearsal")
    yield Change("trainer.test_freq", steps, "validation after the last step")
    yield Change("trainer.save_freq", steps, "a checkpoint after the last step")
    yield Change("trainer.resume_mode", "disable", "starts anew")
    yield Change("trainer.logger", ["console", "file"], "nothing leaves this machine")
    yield Change("trainer.default_hdfs_dir", None, "nothing leaves this machine")


def _places(folder: Path) -> Iterator[Change]:
    yield Change("model.path", str(folder / "model"), "a tiny model of the same family, random weights")
    for key in ("tokenizer_path", "hf_config_path"):
        yield Change(f"model.{key}", None, "the stand-in's")
    yield Change("trainer.default_local_dir", str(folder / "checkpoints"), "kept in the rehearsal's own folder")


def launch(recipe: Recipe, workers: int, applied: Sequence[Change], python: str) -> list[str]:
    """The command of a run with so many processes on this machine."""
    torchrun = [python, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={workers}", "-m", TRAINER]
    return [*torchrun, *recipe.arguments(), *(change.override for change in applied)]
