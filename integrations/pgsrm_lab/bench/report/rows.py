"""A system's row in the tables, the same in the terminal, on the page and in the documentation."""

from __future__ import annotations

from statistics import median
from typing import Any

HEADINGS = ("pairs/s", "range", "ours is", "padding", "MiB", "error", "tau")
_TITLES = {
    "per_sample": "one text at a time",
    "default": "sentence-transformers, default encode",
    "tuned": "sentence-transformers, tuned",
    "vllm": "vLLM pooling",
    "ours": "pgsrm-plugin",
}


def runs_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of one result, one a dtype."""
    runs: list[dict[str, Any]] = result.get("runs", [result])
    return runs


def system_title(name: str, run: dict[str, Any]) -> str:
    """What a system is called, with the dtype of its weights."""
    dtype = "float32" if name in ("per_sample", "default") else run["dtype"]
    if name.startswith("tuned_"):
        return f"{_TITLES['tuned']}, {name.removeprefix('tuned_').replace('_', ' ')} attention, {dtype}"
    return f"{_TITLES.get(name, name)}, {dtype}"


def range_of_rounds(run: dict[str, Any], name: str) -> tuple[float, float]:
    """Pairs a second in the slowest and the fastest round."""
    seconds = run["seconds"][name]
    pairs = run["pairs_per_s"][name] * median(seconds)
    return pairs / max(seconds), pairs / min(seconds)


GUARD_HEADINGS = ("CPU ms a row", "times plain", "range")


def guard_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row a part of the spec, with its name, below :data:`GUARD_HEADINGS`."""
    found = result["guards"]
    return [
        [name, f"{found['ms_a_row'][name]:.2f}", f"{middle:.3f}", f"{least:.3f}-{greatest:.3f}"]
        for name, (middle, least, greatest) in found["ratio"].items()
    ]


def cells(run: dict[str, Any], name: str) -> list[str]:
    """A system's row, below :data:`HEADINGS`."""
    speed, ours = run["pairs_per_s"][name], run["pairs_per_s"]["ours"]
    low, high = range_of_rounds(run, name)
    padding, memory = run["padding_share"].get(name), run["peak_memory_mb"].get(name)
    ranking = run["ranking"].get(name)
    return [
        f"{speed:,.1f}",
        f"{low:,.0f}-{high:,.0f}",
        f"{ours / speed:.2f}x" if name != "ours" else "",
        f"{padding:.1%}" if padding is not None else "",
        f"{memory:,.0f}" if memory is not None else "",
        f"{run['cosine_error'][name]['max']:.1e}",
        f"{ranking['mean']:.4f}" if ranking else "",
    ]
