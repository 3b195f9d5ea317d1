"""A result in words, the same in the terminal, on the page and in the documentation."""

from __future__ import annotations

from typing import Any

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


def bar_title(name: str, run: dict[str, Any]) -> str:
    """What a bar is called, with the dtype of its weights."""
    dtype = "float32" if name in ("per_sample", "default") else run["dtype"]
    if name.startswith("tuned_"):
        return f"{_TITLES['tuned']}, {name.removeprefix('tuned_').replace('_', ' ')} attention, {dtype}"
    return f"{_TITLES.get(name, name)}, {dtype}"


def spread(run: dict[str, Any], name: str) -> tuple[float, float]:
    """Pairs a second in the slowest and the fastest round."""
    seconds = run["seconds"][name]
    middle = sorted(seconds)
    median = (middle[(len(middle) - 1) // 2] + middle[len(middle) // 2]) / 2
    pairs = run["pairs_per_s"][name] * median
    return pairs / max(seconds), pairs / min(seconds)


def speed_fact(run: dict[str, Any]) -> str:
    """What ours is, beside the others and beside the machine."""
    roofline = run["roofline"]
    strongest = (
        f" ({run['speedup_vs_strongest']:.2f} times with {bar_title(run['strongest_tuned'], run)})"
        if run["strongest_tuned"] != "tuned"
        else ""
    )
    return (
        f"pgsrm-plugin in {run['dtype']}: {run['speedup_vs_default']:.2f} times the default encode, "
        f"{run['speedup_vs_tuned']:.2f} times the tuned one{strongest}, {run['roofline_fraction']:.0%} of the GEMM "
        f"roofline ({roofline['pairs_per_s']:,.0f} pairs/s at {roofline['gemm_gflops_per_s']:,.0f} GFLOP/s), "
        f"{run['useful_tokens_per_s']['ours']:,.0f} useful tokens/s."
    )


def exactness_fact(run: dict[str, Any]) -> str:
    """What rounding does."""
    ours, error = run["ranking"]["ours"], run["cosine_error"]["ours"]
    spreads = run["identical_pairs_differ_by"]
    left_out = f", {ours['left_out']} without an order left out" if ours["left_out"] else ""
    return (
        f"pgsrm-plugin's cosines differ from float64's by at most {error['max']:.1e} ({error['pairs']} pairs). Within "
        f"groups, whose cosines have a standard deviation of {run['group_std']:.3f} on average, Kendall's tau against "
        f"float32 is {ours['mean']:.4f} on average, {ours['least']:.3f} at least ({ours['groups']} groups{left_out}); "
        f"in {run['groups_within_noise']:.1%} of them two different responses are closer together than that error. "
        f"Identical pairs differ by {spreads['ours']:.1e} (by default encode: {spreads['default']:.1e})."
    )


def cache_fact(run: dict[str, Any]) -> str:
    """What texts of earlier steps cost."""
    repeats = run["repeats"]
    return (
        f"With half of {repeats['texts']:,} texts known from earlier steps, the rest being "
        f"{repeats['new_tokens_share']:.0%} of the tokens, a step takes {repeats['time_share']:.0%} of its time "
        f"with an empty cache."
    )


def streaming_fact(run: dict[str, Any]) -> str:
    """What single arrivals meet."""
    streaming = run["streaming"]
    return (
        f"Single pairs arriving at random, {streaming['arrivals_per_s']:,.0f} a second (half of the throughput; "
        f"{streaming['pairs']:,} of them, {streaming['mean_batch']:.1f} a batch on average), are scored after "
        f"{streaming['p50_ms']:,.0f} ms (p50) and {streaming['p99_ms']:,.0f} ms (p99)."
    )


def workload_fact(run: dict[str, Any]) -> str:
    """What was scored."""
    work = run["workload"]
    return (
        f"{work['pairs']:,} pairs of {work['prompts']:,} groups with one reference each, "
        f"{work['distinct_responses_share']:.0%} of the responses distinct in their group; {work['distinct_texts']:,} "
        f"distinct texts of {work['mean_tokens']:.0f} tokens on average (longest {work['longest_tokens']}, as "
        f"truncated). One text at a time: {work['per_sample_pairs']} of the pairs, scaled by their number."
    )


def absences(run: dict[str, Any]) -> list[str]:
    """The bars that are missing, and why."""
    return [f"No bar {name}: {reason}." for name, reason in run["absent"].items()]


def tuning_fact(run: dict[str, Any]) -> str:
    """Which batches the tuned bars use."""
    found = "; ".join(f"{name}: {batches}" for name, batches in run["tuned_batches"].items())
    return f"Best batches found by trying: {found}."


def facts(run: dict[str, Any]) -> list[str]:
    """All of the above, a sentence or two each."""
    sentences = [speed_fact, exactness_fact, cache_fact, streaming_fact, workload_fact, tuning_fact]
    return [sentence(run) for sentence in sentences] + absences(run)
