"""What a run does to its rewards: groups left out by RLPR's rule, weights learned as MAESTRO does."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from pgsrm_lightning import GRPOConfig, PromptData, RLModule, SamplingConfig
from pgsrm_lightning.cli.trainer import main
from pgsrm_lightning.config import GroupFilterConfig, LearnedWeightsConfig
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout import group_filter
from pgsrm_lightning.rollout.group_filter import KEPT, THRESHOLD, GroupFilter, RunningDeviation
from pgsrm_lightning.rollout.learned_weights import LearnedWeights, emphasised, head_gradient
from pgsrm_plugin import RewardOutput, SpecError, parse_spec

TERMS = "terms: {exact_match: {}, length: {mode: absolute, unit: words, max: 2}, form: {kind: format, pattern: red}}\n"
SPEC = parse_spec(TERMS + "weights: {exact_match: 1, length: 0.5, form: 0}")
SAMPLING = SamplingConfig(max_new_tokens=3)


def output(rewards: list[float], scored: list[bool] | None = None, **terms: list[float]) -> RewardOutput:
    total_B = torch.tensor(rewards, dtype=torch.float64)
    weighted = {name: torch.tensor(column, dtype=torch.float64) for name, column in terms.items()}
    scored_B = torch.ones(len(rewards), dtype=torch.bool) if scored is None else torch.tensor(scored)
    return RewardOutput(total_B, weighted, weighted, scored_B, {})


class Spy(Callback):
    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})


# --- the filter -------------------------------------------------------------------------------------------------------


def test_the_running_mean() -> None:
    assert doctest.testmod(group_filter).failed == 0
    config = GroupFilterConfig(collect_after=1, filter_after=3, ema=0.9)
    running, seen = RunningDeviation(), []
    for step, mean in enumerate((9.0, 0.2, 0.4, 0.5)):
        seen.append(running.threshold(step, config))
        running = running.after(mean, step, config)
    assert seen == pytest.approx([0, 0, 0, 0.15])  # half the mean of .2 and .4
    assert running.mean == pytest.approx(0.9 * 0.3 + 0.1 * 0.5)


def test_groups_below_the_threshold_are_left_out() -> None:
    """Deviations .05 and .12 of two groups, a group of one, and half of a running mean of .2: .1."""
    one = GroupFilter(GroupFilterConfig(collect_after=0, filter_after=1))
    one.running = RunningDeviation(0.2, 7)
    rows = output([0.5, 0.6, 0.5, 0.74, 0.9, 0.9], [True] * 5 + [False])
    meter = Meter(torch.device("cpu"))
    kept = one(rows, [0, 0, 1, 1, 2, 2], 5, meter)
    assert kept.scored_B.tolist() == [False, False, True, True, True, False]
    assert kept.total_B is rows.total_B
    assert meter.means() == pytest.approx({KEPT: 0.5, THRESHOLD: 0.1})
    assert one.running.mean == 0.2
    one.commit()
    assert one.running.mean == pytest.approx(0.99 * 0.2 + 0.01 * 0.085)
    again = GroupFilter(one.config)
    again.load_state_dict(one.state_dict())
    assert again.running == one.running
    early = one(rows, [0, 0, 1, 1, 2, 2], 0, Meter(torch.device("cpu")))
    assert early.scored_B.tolist() == rows.scored_B.tolist()
    even = one(output([0.5, 0.5]), [0, 0], 0, Meter(torch.device("cpu")))
    assert even.scored_B.tolist() == [True, True], "nothing is left out before filtering begins"


def test_the_worth_of_rows_counts_where_totals_are_advantages() -> None:
    one = GroupFilter(GroupFilterConfig(collect_after=0, filter_after=1))
    one.running = RunningDeviation(0.2, 7)
    rows = replace(output([1.0, -1.0]), unnormalised_B=torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert one(rows, [0, 0], 5, Meter(torch.device("cpu"))).scored_B.tolist() == [False, False]


def test_a_filter_that_begins_before_it_knows_is_refused() -> None:
    with pytest.raises(SpecError, match=r"filter_after must be above collect_after .5., as nothing is known"):
        GroupFilterConfig(filter_after=5)


def test_a_run_filters_and_resumes_exactly(tiny_child, colour_file, quiet_trainer, tmp_path) -> None:
    config = GRPOConfig(
        group_size=4, lr_actor=1e-3, filter=GroupFilterConfig(beta=1.0, collect_after=0, filter_after=1)
    )

    def run(steps: int, resume: str | None = None, **more: object):
        spy = Spy()
        module = RLModule(tiny_child, SPEC, config, SAMPLING)
        trainer = quiet_trainer(callbacks=[spy, *more.pop("callbacks", [])], max_steps=steps, max_epochs=-1, **more)
        trainer.fit(module, PromptData(colour_file, prompts_per_step=6, steps=steps), ckpt_path=resume)
        return module, spy.steps

    whole, seen = run(4)
    assert seen[0][KEPT] == 1.0
    assert min(step[KEPT] for step in seen[1:]) < 1.0
    assert all(step[THRESHOLD] > 0 for step in seen[1:])
    saved = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    run(2, callbacks=[saved], enable_checkpointing=True)
    resumed, later = run(4, str(tmp_path / "step=2.ckpt"))
    assert resumed.steering.filter.running == whole.steering.filter.running
    assert [step[KEPT] for step in later] == [step[KEPT] for step in seen[2:]]
    for name, value in whole.state_dict().items():
        assert name.endswith("_extra_state") or torch.equal(value, resumed.state_dict()[name]), name


def test_a_config_file_switches_both_on(tiny_child, colour_file, tmp_path) -> None:
    (tmp_path / "spec.yaml").write_text(TERMS)
    config = {
        "model": {
            "child": tiny_child,
            "spec": str(tmp_path / "spec.yaml"),
            "algorithm": "grpo",
            "grpo": {"group_size": 2, "filter": {"beta": 0.7}, "weights": {"every": 2}},
            "sampling": {"max_new_tokens": 2},
        },
        "data": {"train": colour_file, "prompts_per_step": 4, "steps": 1},
        "trainer": {"accelerator": "cpu", "default_root_dir": str(tmp_path), "enable_progress_bar": False},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    main(["--config", str(tmp_path / "run.yaml")])
    (metrics,) = tmp_path.glob("lightning_logs/*/metrics.csv")
    logged = metrics.read_text().splitlines()[0].split(",")
    assert {KEPT, THRESHOLD, "train/chosen/length", "train/chosen_entropy"} <= set(logged)


# --- learned weights --------------------------------------------------------------------------------------------------


def test_the_head_is_a_softmax_and_its_gradient_that_of_autograd() -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(3, 5, requires_grad=True), torch.tensor([1.0, 0.0, -1.0], requires_grad=True)
    states, chosen, advantages = torch.randn(4, 5), torch.tensor([0, 2, 1, 0]), torch.tensor([1.0, -0.5, 0.25, -0.75])
    assert bias.softmax(0).tolist() == pytest.approx([0.6652410, 0.2447285, 0.0900306], abs=1e-7)
    probabilities = ((states @ weight.T + bias) / 0.7).softmax(-1)
    logs = probabilities.log()
    entropy = -(probabilities * logs).sum(-1)
    (advantages * logs[torch.arange(4), chosen] + 0.3 * entropy).sum().backward()
    found = head_gradient(states, probabilities.detach(), chosen, advantages, 0.3, 0.7)
    assert torch.allclose(found[0], weight.grad, atol=1e-5)
    assert torch.allclose(found[1], bias.grad, atol=1e-5)


def test_one_choice_for_a_group_teaches_nothing() -> None:
    states = torch.ones(4, 5)
    chosen, probabilities = torch.zeros(4, dtype=torch.long), torch.full((4, 3), 1 / 3)
    advantages = torch.tensor([1.0, -1.0, 0.5, -0.5])
    found = head_gradient(states, probabilities, chosen, advantages, 0.0, 1.0)
    assert float(found[0].abs().max()) == pytest.approx(0, abs=1e-6)


def test_the_chosen_term_counts_more() -> None:
    assert emphasised(2, 0, 1.0) == [2.0, 0.0]
    one = LearnedWeights(LearnedWeightsConfig(emphasis=0.5, lr=1.0, every=2), SPEC, 4)
    assert one.names == ["exact_match", "length"]
    one.bias_K += torch.tensor([-50.0, 50.0])  # the second one, always
    rows = output([1.5, 0.5], exact_match=[1.0, 0.0], length=[0.5, 0.5], form=[0.0, 0.0])
    meter = Meter(torch.device("cpu"))
    changed = one(rows, [0, 0], torch.randn(2, 4), 1, meter)
    assert changed.total_B.tolist() == [0.5 * 1.0 + 1.5 * 0.5, 1.5 * 0.5]
    assert changed.weighted["length"].tolist() == [0.75, 0.75]
    assert meter.means() == pytest.approx(
        {"train/chosen/exact_match": 0.0, "train/chosen/length": 1.0, "train/chosen_entropy": 0.0}, abs=1e-6
    )
    assert rows.total_B.tolist() == [1.5, 0.5]


def test_the_head_moves_towards_choices_that_did_better_and_only_at_its_time() -> None:
    torch.manual_seed(0)
    one = LearnedWeights(LearnedWeightsConfig(emphasis=1.0, lr=1.0, every=2, entropy=0.0), SPEC, 4)
    states = torch.nn.functional.normalize(torch.ones(64, 4), dim=-1)
    for step in range(2):
        # Of the terms' contributions the first one is the greater by far, so that choosing it looks better.
        rows = output([1.1] * 64, exact_match=[1.0] * 64, length=[0.1] * 64)
        one(rows, [0] * 64, states, step, Meter(torch.device("cpu")))
        assert float(one.bias_K.abs().max()) == 0.0
        one.commit(step)
    assert float(one.bias_K[0]) > 0.1
    assert float(one.bias_K[1]) == pytest.approx(-float(one.bias_K[0]))


@pytest.mark.parametrize(
    "spec",
    [
        "terms: {exact_match: {}}",
        "terms: {exact_match: {}, loops: {kind: repetition}}\nweights: {exact_match: 1, loops: 0}",
        TERMS + "aggregate: product",
        TERMS + "shape: {kind: ceil, at: 1}",
    ],
)
def test_what_has_no_weights_to_learn_is_refused(tiny_child, spec) -> None:
    with pytest.raises(SpecError, match="learned weights are those of a plain weighted sum of two terms or more"):
        RLModule(tiny_child, parse_spec(spec), GRPOConfig(weights=LearnedWeightsConfig()), SAMPLING)


def test_states_of_packed_rows_are_those_of_padded_ones(tiny_child) -> None:
    policy = Policy(tiny_child, value_head=False, reference=False)
    assert policy.packs
    tokens = torch.tensor([[0, 2, 3, 4, 5, 0], [2, 3, 4, 5, 6, 7], [0, 2, 3, 4, 0, 0]])
    attention = torch.tensor([[0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0]])
    packed = policy.last_states(tokens, attention, 3)
    policy.packs = False
    policy.lm.set_attn_implementation("sdpa")
    assert torch.allclose(packed, policy.last_states(tokens, attention, 3), atol=1e-5)


def test_a_run_learns_its_weights_and_resumes_exactly(tiny_child, colour_file, quiet_trainer, tmp_path) -> None:
    config = GRPOConfig(group_size=4, lr_actor=1e-3, weights=LearnedWeightsConfig(lr=5.0, every=1))

    def run(steps: int, resume: str | None = None, **more: object):
        spy = Spy()
        module = RLModule(tiny_child, SPEC, config, SAMPLING)
        trainer = quiet_trainer(callbacks=[spy, *more.pop("callbacks", [])], max_steps=steps, max_epochs=-1, **more)
        trainer.fit(module, PromptData(colour_file, prompts_per_step=6, steps=steps), ckpt_path=resume)
        return module, spy.steps

    whole, seen = run(4)
    assert seen[0]["train/chosen/length"] == pytest.approx(0.5)
    assert seen[0]["train/chosen_entropy"] == pytest.approx(1.0)
    assert seen[3]["train/chosen/length"] != pytest.approx(0.5, abs=1e-4)
    saved = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    run(2, callbacks=[saved], enable_checkpointing=True)
    resumed, _ = run(4, str(tmp_path / "step=2.ckpt"))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    trained = {id(p) for group in whole.configure_optimizers().param_groups for p in group["params"]}
    assert id(whole.steering.weights.weight_KD) not in trained
