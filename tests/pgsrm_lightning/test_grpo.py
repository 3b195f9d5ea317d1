"""GRPO's targets by hand, and totals that are advantages already (GDPO)."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from pgsrm_lightning import GRPOConfig, PPOConfig, PromptData, ReinforceConfig, RLModule, SamplingConfig
from pgsrm_lightning.algorithms.grpo import GRPO
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_lightning.rollout.scoring import measure_rewards, score
from pgsrm_plugin import SemanticReward, SpecError, parse_spec
from pgsrm_plugin.data.rows import Record

TWO_TERMS = "terms: {truth: {kind: exact_match, against: ground_truth}, reference: {kind: exact_match}}\n"
GROUPED = TWO_TERMS + "aggregate: group_normalised"
GRPO_AGAIN = [3**0.5, *[-(3**-0.5)] * 3] * 2
"""One right of four is 1.732 deviations above its group's mean, the others are 0.577 below, in both groups."""
GDPO = [2 * 3**0.5, *[-2 * 3**-0.5] * 3, 3**0.5, *[-(3**-0.5)] * 3]
"""The sum of two terms' such scores in the first group, and of one's in the second: mean 0, mean square 2.5."""


def answered(spec):
    """Two records, four answers each: the first is right by both terms in one group, by one term in the other."""
    both, one = [Record({}, "", "p", None, (reference,), "blue", "", None) for reference in ("blue", "green")]
    return score(SemanticReward(parse_spec(spec)), [both] * 4 + [one] * 4, ["blue", "red", "red", "red"] * 2, 4)


def advantages(answers, noise=1e-6):
    ids, zeros = torch.zeros(8, 2, dtype=torch.long), torch.zeros(8, 1)
    e = Experience(ids, ids, zeros == 0, zeros, zeros, zeros, zeros, zeros, zeros)
    return GRPO(GRPOConfig(noise=noise)).targets(e, answers.output, answers.groups, 0.0).advantages_BT.flatten()


def test_a_sum_is_normalised_within_its_group():
    assert_close(advantages(answered(TWO_TERMS)), tensor(GRPO_AGAIN))


def test_rewards_that_vary_less_than_the_noise_are_equal():
    """The population deviation of 2, 0, 0, 0 is 0.866, that of 1, 0, 0, 0 half of it."""
    assert_close(advantages(answered(TWO_TERMS), noise=0.5), tensor([*GRPO_AGAIN[:4], *[0.0] * 4]))
    assert_close(advantages(answered(TWO_TERMS), noise=0.9), torch.zeros(8))


def test_what_is_an_advantage_already_is_taken_as_it_is():
    """Right in both terms weighs twice as much as right in one: 2.191 and 1.095."""
    answers = answered(GROUPED)
    expected = tensor(GDPO) / 2.5**0.5
    assert expected[[0, 1, 4, 5]].tolist() == pytest.approx([2.191, -0.730, 1.095, -0.365], abs=1e-3)
    assert_close(advantages(answers), expected)
    assert_close(answers.output.total_B.float(), expected)


def test_what_is_logged_is_the_reward_before_normalisation():
    meter = Meter(torch.device("cpu"))
    measure_rewards(answered(GROUPED), meter)
    assert meter.means()["train/reward"] == pytest.approx((2 + 1) / 8)


def test_the_sum_is_normalised_over_all_processes(tmp_path):
    code = f"""
import sys, torch, torch.distributed as dist
from pgsrm_lightning.advantages import standardised
from pgsrm_lightning.distributed import total
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{{sys.argv[2]}}", rank=rank, world_size=2)
own = torch.tensor({GDPO}[4 * rank : 4 * rank + 4])
print([round(value, 3) for value in standardised(own, torch.ones(4, dtype=torch.bool), total).tolist()])
"""
    arguments = [[sys.executable, "-c", code, str(rank), str(tmp_path / "store")] for rank in range(2)]
    processes = [subprocess.Popen(args, stdout=subprocess.PIPE, text=True) for args in arguments]
    outputs = [process.communicate(timeout=100)[0].strip() for process in processes]
    assert outputs == ["[2.191, -0.73, -0.73, -0.73]", "[1.095, -0.365, -0.365, -0.365]"]


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (
            PPOConfig(group_size=4),
            "gives advantages, and model.algorithm: ppo makes its own of rewards; set model.algori",
        ),
        (
            ReinforceConfig(),
            "model.algorithm: reinforce makes its own of rewards; set model.algorithm: grpo, or use aggr",
        ),
    ],
    ids=["ppo", "reinforce"],
)
@pytest.mark.parametrize("built", [False, True])
def test_an_algorithm_that_makes_its_own_advantages_is_refused(algorithm, message, built, tiny_child):
    spec = parse_spec(GROUPED)
    with pytest.raises(SpecError, match=f"^model.spec: aggregate: group_normalised .*{message}"):
        RLModule(tiny_child, SemanticReward(spec) if built else spec, algorithm)


def test_it_trains_and_validates_with_the_sum(tiny_child, colour_rows, jsonl, quiet_trainer):
    file = jsonl("true.jsonl", [row | {"ground_truth": row["reference"]} for row in colour_rows])
    module = RLModule(tiny_child, parse_spec(GROUPED), GRPOConfig(group_size=4), SamplingConfig(max_new_tokens=2))
    assert module.reward("val").spec.aggregate.kind == "sum"
    assert module.reward("train").spec.aggregate.kind == "group_normalised"
    trainer = quiet_trainer()
    trainer.fit(module, PromptData(file, {"seen": file}, prompts_per_step=9, steps=1))
    answers = module.answer(trainer.datamodule.val_records["seen"])
    right = sum(text == record.references[0] for text, record in zip(answers.texts, answers.records, strict=True))
    assert float(trainer.callback_metrics["val/seen/reward"]) == pytest.approx(2 * right / 9)
