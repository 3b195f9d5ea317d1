"""Sharded against replicated: a random encoder of BERT-base's shape (109M parameters) on two gloo ranks of one thread.

`python scripts/sharded_measure.py [--dtype bfloat16] [--json FILE]`. Each rank embeds its own texts; rounds of both
placements alternate, and the time of a round is that of its slower rank. Memory is taken in processes of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.sharded import Placement, ShardedEncoder

RANKS = 2
PLACEMENTS: tuple[Placement, ...] = ("replicate", "shard")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_model(folder: Path) -> str:
    """BERT-base's shape with random weights, mean pooling, one token a letter."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {token: row for row, token in enumerate(["[PAD]", "[UNK]", *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(folder / "backbone")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        folder / "backbone"
    )
    transformer = Transformer(str(folder / "backbone"), max_seq_length=512)
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling_mode="mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "model"))
    return str(folder / "model")


def texts(count: int, seed: int) -> list[str]:
    """Random letters; lengths lognormal (median 90 tokens, mean about 105), at most 512."""
    generator = torch.Generator().manual_seed(seed)
    lengths = (torch.randn(count, generator=generator) * 0.55 + 4.5).exp().clamp(4, 512).int().tolist()
    picks = [torch.randint(len(LETTERS), (length,), generator=generator).tolist() for length in lengths]
    return ["".join(LETTERS[i] for i in pick) for pick in picks]


def join_group(rank: int, folder: str, name: str) -> Any:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/{name}", rank=rank, world_size=RANKS, timeout=timedelta(seconds=300)
    )
    return init_device_mesh("cpu", (RANKS,))


def time_rank(rank: int, folder: str, spec: dict[str, Any], work: list[int], rounds: int, results: Any) -> None:
    """Seconds of every alternating round, by number of texts and placement."""
    mesh = join_group(rank, folder, "time")
    encoders = {placement: ShardedEncoder(HfEncoderSpec(**spec), mesh, placement) for placement in PLACEMENTS}
    found: dict[int, dict[str, list[float]]] = {}
    for count in work:
        batch = texts(count, seed=rank)
        found[count] = {placement: [] for placement in PLACEMENTS}
        for number in range(rounds + 1):
            for placement, encoder in encoders.items():
                distributed.barrier()
                begin = time.perf_counter()
                encoder.encode(batch)
                slower = torch.tensor(time.perf_counter() - begin)
                distributed.all_reduce(slower, op=distributed.ReduceOp.MAX)
                if number:  # the first warms up
                    found[count][placement].append(float(slower))
    results.put((rank, found))
    distributed.destroy_process_group()


def weigh_rank(rank: int, folder: str, spec: dict[str, Any], placement: Placement, results: Any) -> None:
    """Parameter bytes of a rank, and its resident memory in MiB: after loading, after some work, and the peak."""
    encoder = ShardedEncoder(HfEncoderSpec(**spec), join_group(rank, folder, placement), placement)
    facts = {"bytes": encoder.parameter_bytes[0], "loaded_mib": resident_mib()}
    encoder.encode(texts(16, rank))
    facts["held_mib"] = resident_mib()
    facts["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    results.put((rank, facts))
    distributed.destroy_process_group()


def resident_mib() -> int:
    """What the process holds now, once the C library has given back what is free."""
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() // 2**20


def on_ranks(target: Any, *arguments: Any) -> list[Any]:
    """What each rank puts into its queue."""
    context = multiprocessing.get_context("fork")  # the imports above are the slow part
    results = context.Queue()
    processes = [context.Process(target=target, args=(rank, *arguments, results)) for rank in range(RANKS)]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=600) for _ in processes)
    for process in processes:
        process.join(60)
    return [found[rank] for rank in range(RANKS)]


def measure(settings: dict[str, Any], work: list[int], rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("fork")
        with context.Pool(1) as pool:  # so that the ranks fork from a process without torch's threads
            model = pool.apply(write_model, (Path(folder),))
        spec = {"model": model, "self_test": False, **settings}
        weighed = {p: on_ranks(weigh_rank, folder, spec, p) for p in PLACEMENTS}
        timed = on_ranks(time_rank, folder, spec, work, rounds)[0]
    tokens = {count: [sum(map(len, texts(count, rank))) for rank in range(RANKS)] for count in work}
    times = {
        count: {p: statistics.median(timed[count][p]) for p in PLACEMENTS}
        | {"ratio": statistics.median(timed[count]["shard"]) / statistics.median(timed[count]["replicate"])}
        | {"tokens_a_rank": max(tokens[count])}
        for count in work
    }
    return {"settings": settings, "torch": torch.__version__, "rounds": rounds, "times": times, "memory": weighed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--batch-tokens", type=int, help="padded tokens in a forward pass; default: the encoder's own")
    parser.add_argument("--texts", type=int, nargs="+", default=[4, 16, 64], help="texts a rank")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    settings = {"dtype": options.dtype}
    settings |= {"batch_tokens": options.batch_tokens} if options.batch_tokens else {}
    found = measure(settings, options.texts, options.rounds)
    print("| texts a rank | tokens a rank | replicate | shard | ratio |\n|---|---|---|---|---|")
    for count, row in found["times"].items():
        print(
            f"| {count} | {row['tokens_a_rank']:,} | {row['replicate']:.2f} s | {row['shard']:.2f} s "
            f"| {row['ratio']:.2f} |"
        )
    print("\n| placement | parameter bytes a rank | resident: loaded | after work | peak |\n|---|---|---|---|---|")
    for placement, ranks in found["memory"].items():
        own = ranks[0]
        memory = " | ".join(f"{own[name]} MiB" for name in ("loaded_mib", "held_mib", "peak_mib"))
        print(f"| {placement} | {own['bytes']:,} | {memory} |")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
