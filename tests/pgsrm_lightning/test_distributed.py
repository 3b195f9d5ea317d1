"""Two processes over gloo with uneven work: other prompts on each, one and the same model in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "support" / "ddp_ranks.py"


@pytest.fixture(scope="module", params=["ppo", "grpo", "grpo-prm"])
def outcome(request, tiny_child, colour_rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    files = []
    for name, rows in (("train", colour_rows), ("val", colour_rows[:5])):
        files.append(folder / f"{name}.jsonl")
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, str(SCRIPT), request.param, tiny_child, *map(str, files), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def seen(folder):
    return [json.loads((folder / f"seen_{rank}.json").read_text()) for rank in range(2)]


def test_processes_see_different_prompts_and_end_with_the_same_weights(outcome, tiny_child):
    ranks = seen(outcome)
    assert [len(prompts) for prompts in ranks[0]["prompts"]] == [2, 2, 2]
    assert [len(prompts) for prompts in ranks[1]["prompts"]] == [1, 1, 1]
    everything = [prompt for rank in ranks for step in rank["prompts"] for prompt in step]
    assert len(set(everything)) == 9, "together they see each of the 9 prompts once"
    weights = [torch.load(outcome / f"weights_{rank}.pt", weights_only=True) for rank in range(2)]
    tensors = {name: value for name, value in weights[0].items() if torch.is_tensor(value)}
    assert all(torch.equal(value, weights[1][name]) for name, value in tensors.items())
    from transformers import AutoModelForCausalLM

    start = AutoModelForCausalLM.from_pretrained(tiny_child).state_dict()["transformer.wte.weight"]
    assert not torch.equal(weights[0]["policy.lm.transformer.wte.weight"], start)


def test_a_model_of_credit_learns_from_the_rows_of_all_processes(outcome, tiny_child, request):
    names = [name for name in torch.load(outcome / "weights_0.pt", weights_only=True) if "token_models" in name]
    if "grpo-prm" not in request.node.name:
        assert names == []
        return
    from transformers import AutoModelForCausalLM

    weights = [torch.load(outcome / f"weights_{rank}.pt", weights_only=True) for rank in range(2)]
    start = AutoModelForCausalLM.from_pretrained(tiny_child).state_dict()
    learned = {name.removeprefix("token_models.learner.lm."): value for name, value in weights[0].items()}
    assert not torch.equal(learned["transformer.wte.weight"], start["transformer.wte.weight"])
    metrics = seen(outcome)[0]["metrics"]
    assert all(step["train/prm_grad_norm"] > 0 for step in metrics)
    assert [step["train/credit_size"] > 0 for step in metrics] == [False, True, True]


def test_metrics_are_those_of_all_processes(outcome):
    first, second = seen(outcome)
    assert first["metrics"] == second["metrics"]
    assert first["val"] == second["val"]
    assert first["val"].keys() >= {"val/held_out/accuracy", "val/held_out/reward", "val/held_out/semantic"}
    assert (5 * first["val"]["val/held_out/accuracy"]) == pytest.approx(
        round(5 * first["val"]["val/held_out/accuracy"])
    )
    assert [step["train/episodes"] for step in first["metrics"]] == [6, 12, 18]


def test_only_the_first_process_writes(outcome):
    lines = [json.loads(line) for line in (outcome / "rollouts.jsonl").read_text().splitlines()]
    blocks = [(line["step"], line["split"]) for line in lines]
    steps = [(step, "train") for step in (1, 2, 3)]
    assert blocks == [b for b in [(0, "val/held_out"), *steps, (3, "val/held_out")] for _ in range(2)]


def test_gradients_of_two_processes_are_those_of_one(tiny_child, tmp_path):
    code = """
import sys, torch, torch.distributed as dist
from pgsrm_lightning.distributed import sum_gradients
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
w, b = torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.nn.Parameter(torch.tensor([[3.0]]))
if rank == 0:
    ((w * torch.tensor([1.0, 10.0])).sum() + 4 * b.sum()).backward()
sum_gradients([w, b])
print(w.grad.tolist(), b.grad.tolist())
"""
    command = [sys.executable, "-c", code]
    arguments = [[*command, str(rank), str(tmp_path / "store")] for rank in range(2)]
    processes = [subprocess.Popen(args, stdout=subprocess.PIPE, text=True) for args in arguments]
    outputs = [process.communicate(timeout=100)[0].strip() for process in processes]
    assert outputs == ["[1.0, 10.0] [[4.0]]"] * 2
