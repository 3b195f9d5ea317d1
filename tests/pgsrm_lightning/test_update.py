"""The step on summed gradients, with and without the loss scaling of fp16."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision

from pgsrm_lightning import GRPOConfig, PromptData, RLModule, SamplingConfig
from pgsrm_lightning.update import take_step
from pgsrm_plugin import PgsrmError, parse_spec

SEMANTIC = parse_spec("encoder: {kind: hashing}\nterms: {semantic: {}}")
GRPO = GRPOConfig(group_size=4, lr_actor=1e-3)


def fp16(init_scale=2.0**16):
    """Lightning's own 16-mixed, on a CPU, where its Trainer takes it as a plugin only."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=init_scale))


def one_parameter(gradient):
    """SGD of learning rate 1 on (1, 2)."""
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    weight.grad = torch.tensor(gradient)
    return weight, torch.optim.SGD([weight], lr=1.0)


class Spy(Callback):
    def __init__(self):
        self.steps, self.scales = [], []

    def on_train_batch_end(self, trainer, module, *_):
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.scales.append(None if scaler is None else scaler.get_scale())


def fit(child, file, make_trainer, steps=1, ckpt_path=None, callbacks=(), change=None, **settings):
    spy, module = Spy(), RLModule(child, SEMANTIC, GRPO, SamplingConfig(max_new_tokens=3))
    if change is not None:
        loss = module.algorithm.loss
        module.algorithm.loss = lambda *arguments: change(loss(*arguments))
    trainer = make_trainer(callbacks=[spy, *callbacks], **settings)
    trainer.fit(module, PromptData(file, prompts_per_step=4, steps=steps), ckpt_path=ckpt_path)
    return spy, module


@pytest.mark.parametrize("scale", [None, 65536.0])
def test_a_step_by_hand(scale):
    scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
    weight, optimizer = one_parameter([3.0 * (scale or 1.0), 4.0 * (scale or 1.0)])
    norm = take_step(optimizer, 1.0, scaler)
    assert norm.item() == pytest.approx(5.0)
    assert weight.tolist() == pytest.approx([1.0 - 0.6, 2.0 - 0.8])


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_under_a_scaler_what_is_not_finite_is_skipped_and_halves_the_scale(bad):
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    weight, optimizer = one_parameter([bad, 1.0])
    assert take_step(optimizer, 1.0, scaler) is None
    assert (weight.tolist(), scaler.get_scale()) == ([1.0, 2.0], 4.0)
    weight.grad = torch.tensor([0.0, 2.0])
    assert take_step(optimizer, 9.0, scaler).item() == 0.5
    assert weight.tolist() == [1.0, 1.5]


def test_without_a_scaler_it_is_an_error():
    weight, optimizer = one_parameter([float("inf"), 1.0])
    with pytest.raises(PgsrmError, match="the gradient is not finite: lower the learning rate"):
        take_step(optimizer, 1.0)
    assert weight.tolist() == [1.0, 2.0]


def test_gradient_norm_and_step_in_fp16_are_those_of_fp32(tiny_child, colour_file, quiet_trainer):
    plain, first = fit(tiny_child, colour_file, quiet_trainer)
    scaled, second = fit(tiny_child, colour_file, quiet_trainer, plugins=[fp16()])
    assert plain.steps[0]["train/reward"] == scaled.steps[0]["train/reward"], "the rollouts are the same"
    assert scaled.steps[0]["train/grad_norm"] == pytest.approx(plain.steps[0]["train/grad_norm"], rel=0.01)
    assert plain.steps[0]["train/grad_norm"] > 0.1
    assert "train/skipped_updates" not in plain.steps[0]
    assert (scaled.steps[0]["train/skipped_updates"], scaled.scales) == (0.0, [65536.0])
    start = RLModule(tiny_child, SEMANTIC, GRPO).state_dict()
    moved = [
        (module.state_dict()["policy.lm.lm_head.weight"] - start["policy.lm.lm_head.weight"])
        for module in (first, second)
    ]
    # Adam's first step is the learning rate times the gradient's sign, and the sign of one near 0 is rounding.
    assert torch.isclose(moved[0], moved[1], atol=2e-4, rtol=0.05).float().mean() > 0.99


def test_an_overflow_is_skipped_counted_and_halves_the_scale(tiny_child, colour_file, quiet_trainer):
    spy, _ = fit(tiny_child, colour_file, quiet_trainer, steps=12, plugins=[fp16(2.0**24)])
    skipped = [step["train/skipped_updates"] for step in spy.steps]
    assert skipped[0] == 1.0
    assert skipped[-1] == 0.0
    halvings = [2.0**24 / 2.0 ** sum(skipped[: step + 1]) for step in range(12)]
    assert spy.scales == halvings
    norms = [step["train/grad_norm"] for step in spy.steps]
    assert [norm == 0.0 for norm in norms] == [skip == 1.0 for skip in skipped]
    assert max(norms) < 10.0


def test_a_skipped_step_changes_no_weight(tiny_child, colour_file, quiet_trainer):
    _, module = fit(tiny_child, colour_file, quiet_trainer, plugins=[fp16(2.0**40)])
    start = RLModule(tiny_child, SEMANTIC, GRPO).state_dict()
    assert all(torch.equal(value, start[name]) for name, value in module.state_dict().items())


def test_what_no_scale_can_help_stops_training(tiny_child, colour_file, quiet_trainer):
    with pytest.raises(
        PgsrmError, match=r"not finite in float16, however small .* trainer\.precision bf16-mixed or 32"
    ):
        fit(
            tiny_child,
            colour_file,
            quiet_trainer,
            steps=20,
            plugins=[fp16(8.0)],
            change=lambda loss: loss * float("nan"),
        )


def test_resuming_in_fp16_takes_the_very_same_steps(tiny_child, colour_file, quiet_trainer, tmp_path):
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=2, save_top_k=-1)
    settings = {"steps": 4, "enable_checkpointing": True}
    straight, first = fit(
        tiny_child, colour_file, quiet_trainer, plugins=[fp16(2.0**24)], callbacks=[saver], **settings
    )
    resumed, second = fit(
        tiny_child, colour_file, quiet_trainer, plugins=[fp16()], ckpt_path=str(tmp_path / "step=2.ckpt"), **settings
    )
    assert resumed.scales == straight.scales[2:]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_what_overflows_on_one_process_is_skipped_on_all(tmp_path):
    code = """
import sys, torch, torch.distributed as dist
from pgsrm_lightning.update import take_step
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
optimizer, scaler = torch.optim.SGD([weight], lr=1.0), torch.amp.GradScaler("cpu", init_scale=8.0)
if rank == 1:  # the other has no rows
    weight.grad = torch.tensor([float("inf"), 1.0])
print(take_step(optimizer, 9.0, scaler), weight.tolist(), scaler.get_scale())
weight.grad = torch.tensor([4.0, 0.0]) if rank == 0 else torch.tensor([8.0, 0.0])
print(take_step(optimizer, 9.0, scaler), weight.tolist(), scaler.get_scale())
"""
    command = [sys.executable, "-c", code]
    arguments = [[*command, str(rank), str(tmp_path / "store")] for rank in range(2)]
    processes = [subprocess.Popen(args, stdout=subprocess.PIPE, text=True) for args in arguments]
    outputs = [process.communicate(timeout=100)[0].splitlines() for process in processes]
    assert outputs == [["None [1.0, 2.0] 4.0", "tensor(3.) [-2.0, 2.0] 4.0"]] * 2
