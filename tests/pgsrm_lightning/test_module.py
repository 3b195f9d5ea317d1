"""Whole training steps on a tiny child: correctness, exact resume, learning."""

from __future__ import annotations

import json
import re

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from pgsrm_lightning import (
    GRPOConfig,
    KLConfig,
    LoraConfig,
    PPOConfig,
    PromptData,
    ReinforceConfig,
    RLModule,
    RolloutLog,
    SamplingConfig,
    SaveChild,
)
from pgsrm_plugin import PgsrmError, ScorerError, SemanticReward, SpecError, parse_spec

EXACT = parse_spec("terms: {exact_match: {}}")
SEMANTIC = parse_spec(
    "encoder: {kind: hashing}\nterms: {semantic: {}, exact_match: {}}\nweights: {semantic: 1.0, exact_match: 0}"
)
UNJUDGED = parse_spec("encoder: {kind: hashing}\nterms: {semantic: {}}")
MASKED = parse_spec("terms: {exact_match: {}}\nunscorable: mask")
SAMPLING = SamplingConfig(max_new_tokens=3)
SHARED = {"epochs": 2, "minibatches": 3, "lr_actor": 1e-3}
PPO = PPOConfig(group_size=2, lr_critic=1e-2, kl=KLConfig(0.05, target=10.0), **SHARED)
GRPO = GRPOConfig(group_size=4, **SHARED)
REINFORCE = ReinforceConfig(group_size=2, lr_actor=1e-3, lr_critic=1e-2, kl=KLConfig(0.05, target=10.0))
ALGORITHMS = pytest.mark.parametrize("algorithm", [PPO, GRPO], ids=["ppo", "grpo"])
EVERY_ALGORITHM = pytest.mark.parametrize("algorithm", [PPO, GRPO, REINFORCE], ids=["ppo", "grpo", "reinforce"])


class Spy(Callback):
    """Keeps what each step logged."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class PlainSGD(RLModule):
    def configure_optimizers(self):
        return torch.optim.SGD(self.policy.parameters(), lr=0.1)


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@ALGORITHMS
def test_a_step_logs_every_number_by_its_name(algorithm, tiny_child, colour_file, quiet_trainer):
    spy = Spy()
    module = RLModule(tiny_child, SEMANTIC, algorithm, SAMPLING)
    data = PromptData(colour_file, {"seen": colour_file, "held_out": colour_file}, prompts_per_step=4, steps=2)
    trainer = quiet_trainer(callbacks=[spy])
    trainer.fit(module, data)
    names = {
        *("reward", "reward/semantic", "reward/exact_match", "reward_std_within_groups", "reward_std_across_groups"),
        *("zero_variance_groups", "kl", "kl_coef", "entropy", "policy_loss", "clip_fraction", "grad_norm"),
        *("response_tokens", "response_truncated", "unscorable", "input_truncated", "unknown_words", "episodes"),
    }
    names = {f"train/{name}" for name in names} | {"time/rollout_s", "time/reward_s", "time/update_s"}
    if algorithm is PPO:
        names |= {"train/value_loss", "train/explained_variance"}
    assert set(spy.steps[0]) == names
    validation = {f"val/{name}/{what}" for name in ("seen", "held_out") for what in ("accuracy", "semantic", "reward")}
    assert set(trainer.callback_metrics) == names | validation
    assert spy.steps[0]["train/kl"] == 0.0
    assert [step["train/episodes"] for step in spy.steps] == [4 * algorithm.group_size, 8 * algorithm.group_size]
    assert trainer.global_step == module.steps_done == 2


@ALGORITHMS
def test_the_first_minibatchs_ratio_is_exactly_one(algorithm, tiny_child, colour_file, quiet_trainer):
    import dataclasses

    module = RLModule(tiny_child, SEMANTIC, dataclasses.replace(algorithm, micro_batch_size=2), SAMPLING)
    drift, loss = [], module.algorithm.loss

    def watched(now, then, *rest):
        drift.append((now.logprobs_BT - then.logprobs_BT).abs().max().item())
        return loss(now, then, *rest)

    module.algorithm.loss = watched
    quiet_trainer().fit(module, PromptData(colour_file, prompts_per_step=6, steps=1))
    first_minibatch = -(-6 * algorithm.group_size // 3 // 2)
    assert drift[:first_minibatch] == [0.0] * first_minibatch
    assert max(drift) > 0.0


@EVERY_ALGORITHM
def test_accumulated_gradients_are_those_of_the_whole_minibatch(algorithm, tiny_child, colour_file, quiet_trainer):
    import dataclasses

    after = []
    for micro_batch_size in (None, 1, 3):
        config = dataclasses.replace(algorithm, micro_batch_size=micro_batch_size, grad_norm=1e9)
        module = PlainSGD(tiny_child, SEMANTIC, config, SAMPLING)
        quiet_trainer().fit(module, PromptData(colour_file, prompts_per_step=5, steps=1))
        after.append(weights(module))
    assert not torch.equal(
        after[0]["policy.lm.lm_head.weight"],
        weights(PlainSGD(tiny_child, SEMANTIC, algorithm))["policy.lm.lm_head.weight"],
    )
    for other in after[1:]:
        for name, value in after[0].items():
            torch.testing.assert_close(other[name], value, atol=1e-6, rtol=1e-5)


@EVERY_ALGORITHM
@pytest.mark.parametrize(("steps", "epochs"), [(4, 1), (3, 2)], ids=["within an epoch", "over epochs"])
def test_resuming_takes_the_very_same_steps(algorithm, steps, epochs, tiny_child, colour_file, quiet_trainer, tmp_path):
    def run(resume=None):
        spy, module = Spy(), RLModule(tiny_child, SEMANTIC, algorithm, SAMPLING, seed=3)
        saver = ModelCheckpoint(tmp_path / f"from_{resume is not None}", "{step}", every_n_train_steps=2, save_top_k=-1)
        trainer = quiet_trainer(max_epochs=epochs, enable_checkpointing=True, callbacks=[spy, saver])
        trainer.fit(module, PromptData(colour_file, prompts_per_step=4, steps=steps), ckpt_path=resume)
        return spy, module, trainer.optimizers[0].state_dict()["state"], trainer

    spy, straight, state, trainer = run()
    torch.manual_seed(99)
    resumed_spy, resumed, resumed_state, resumed_trainer = run(resume=str(tmp_path / "from_False" / "step=2.ckpt"))
    assert len(spy.steps) == steps * epochs
    assert len(resumed_spy.steps) == steps * epochs - 2
    for first, second in zip(spy.steps[2:], resumed_spy.steps, strict=True):
        timeless = [{name: value for name, value in one.items() if "time/" not in name} for one in (first, second)]
        assert timeless[0] == timeless[1]
    assert_same(weights(straight), weights(resumed))
    assert all(torch.equal(state[i]["exp_avg_sq"], resumed_state[i]["exp_avg_sq"]) for i in state)
    assert (straight.kl_coef, straight.episodes) == (resumed.kl_coef, resumed.episodes)
    assert trainer.global_step == resumed_trainer.global_step
    if algorithm is PPO:
        assert straight.kl_coef != PPO.kl.coef, "the controller must have moved for its state to be tested"


def save_one_step(module, colour_file, quiet_trainer, path):
    trainer = quiet_trainer()
    trainer.fit(module, PromptData(colour_file, prompts_per_step=2, steps=1))
    trainer.save_checkpoint(path)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    ("child", "algorithm", "message"),
    [
        (
            {"hidden": 16},
            PPO,
            r"another model: it has hidden_size 32, parameters \d+; this run has hidden_size 16, par",
        ),
        ({"vocabulary": 12}, PPO, r"another model: it has vocabulary 8, parameters \d+; this run has vocabulary 12"),
        ({"seed": 1}, PPO, r"another model: it has initial weights \w+; this run has initial weights \w+"),
        ({}, GRPO, r"another model: it has parameters \d+, algorithm ppo; this run has parameters \d+, algorithm grpo"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(
    child, algorithm, message, tiny_child, make_child, colour_file, quiet_trainer, tmp_path
):
    save_one_step(RLModule(tiny_child, EXACT, PPO, SAMPLING), colour_file, quiet_trainer, tmp_path / "a.ckpt")
    other = RLModule(make_child(**child), EXACT, algorithm, SAMPLING)
    before = weights(other)
    data = PromptData(colour_file, prompts_per_step=2, steps=2)
    with pytest.raises(SpecError, match=message):
        quiet_trainer().fit(other, data, ckpt_path=tmp_path / "a.ckpt")
    assert_same(before, weights(other))


def test_a_checkpoint_of_something_else_is_refused(tiny_child, colour_file, quiet_trainer, tmp_path):
    from lightning.pytorch.demos.boring_classes import BoringModel

    trainer = quiet_trainer(limit_train_batches=1, limit_val_batches=0)
    trainer.fit(BoringModel())
    trainer.save_checkpoint(tmp_path / "boring.ckpt")
    with pytest.raises(SpecError, match="was not written by `pgsrm train`"):
        quiet_trainer().fit(
            RLModule(tiny_child, EXACT, PPO), PromptData(colour_file, None, 2, 1), ckpt_path=tmp_path / "boring.ckpt"
        )


def test_encoder_and_reference_are_in_no_checkpoint_optimizer_or_parameter_count(
    tiny_child, colour_file, quiet_trainer, tmp_path
):
    class ModuleEncoder(torch.nn.Module):
        """An encoder that is a torch module with parameters, as the real ones are."""

        identity = "module-encoder"

        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(300, 4)

        def encode(self, texts):
            from pgsrm_plugin import Embeddings

            with torch.no_grad():
                rows = [self.table.weight[[ord(c) % 300 for c in text] or [0]].mean(0) for text in texts]
            sizes = torch.tensor([len(text) for text in texts])
            return Embeddings(torch.stack(rows), sizes, torch.zeros(len(texts), dtype=torch.bool))

    reward = SemanticReward(SEMANTIC, encoder=ModuleEncoder())
    module = RLModule(tiny_child, reward, PPO, SAMPLING)
    child_size = sum(p.numel() for p in module.policy.parameters())
    saved = save_one_step(module, colour_file, quiet_trainer, tmp_path / "a.ckpt")
    assert all(name.startswith(("policy.lm.", "policy.value_head.")) for name in saved["state_dict"])
    assert not any("table" in name for name, _ in module.named_parameters())
    assert sum(p.numel() for p in module.parameters()) == child_size
    in_optimizer = {id(p) for group in module.configure_optimizers().param_groups for p in group["params"]}
    assert in_optimizer == {id(p) for p in module.policy.parameters()}


def test_the_reference_does_not_move(tiny_child, colour_file, quiet_trainer):
    module = RLModule(tiny_child, EXACT, PPO, SAMPLING)
    reference = module.policy._plain[0]
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    quiet_trainer().fit(module, PromptData(colour_file, prompts_per_step=4, steps=2))
    assert_same(before, reference.state_dict())
    assert not torch.equal(module.policy.lm.lm_head.weight, reference.lm_head.weight)


def test_a_failing_scorer_stops_training_and_changes_nothing(tiny_child, colour_file, quiet_trainer):
    class FailsSecondTime:
        identity, calls = "fails", 0

        def encode(self, texts):
            self.calls += 1
            if self.calls > 1:
                raise ScorerError("the encoder is down")
            return SemanticReward(SEMANTIC).encoder.encode(texts)

    spec = parse_spec("encoder: {kind: hashing}\nterms: {semantic: {}}\ncache_mb: 0")
    module = RLModule(tiny_child, SemanticReward(spec, encoder=FailsSecondTime()), PPO, SAMPLING)
    snapshots = []

    class Snapshot(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            snapshots.append(weights(module))

    with pytest.raises(ScorerError, match="the encoder is down"):
        quiet_trainer(callbacks=[Snapshot()]).fit(module, PromptData(colour_file, prompts_per_step=4, steps=5))
    assert len(snapshots) == module.steps_done == 1
    assert_same(snapshots[0], weights(module))


def test_masked_rows_are_left_out_of_loss_and_metrics(tiny_child, colour_file, quiet_trainer):
    module = RLModule(tiny_child, MASKED, GRPOConfig(group_size=4, **SHARED), SAMPLING)
    seen, targets = [], module.algorithm.targets

    def watched(experience, output, *rest):
        seen.append((targets(experience, output, *rest), output))
        return seen[-1][0]

    module.algorithm.targets = watched
    spy = Spy()
    quiet_trainer(callbacks=[spy]).fit(module, PromptData(colour_file, prompts_per_step=9, steps=1))
    experience, output = seen[0]
    assert 0 < output.scored_B.sum() < len(output)
    assert not experience.mask_BT[~output.scored_B].any()
    assert not experience.advantages_BT[~output.scored_B].any()
    assert experience.mask_BT[output.scored_B].any(-1).all()
    assert spy.steps[0]["train/reward"] == pytest.approx(output.total_B[output.scored_B].mean().item())
    assert spy.steps[0]["train/unscorable"] == pytest.approx((~output.scored_B).double().mean().item())


def test_groups_are_the_records_of_the_step(tiny_child, jsonl, quiet_trainer):
    rows = [{"prompt": "mix red is", "reference": colour, "group": "colours"} for colour in ("red", "blue", "green")]
    module, seen = RLModule(tiny_child, EXACT, GRPO, SAMPLING), []
    targets = module.algorithm.targets

    def watched(experience, output, groups, *rest):
        seen.append(groups)
        return targets(experience, output, groups, *rest)

    module.algorithm.targets = watched
    quiet_trainer().fit(module, PromptData(jsonl("grouped.jsonl", rows), prompts_per_step=3, steps=1))
    assert seen == [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]]


QUICK = {"group_size": 16, "minibatches": 2, "lr_actor": 1e-3, "kl": KLConfig(1e-3, schedule="fixed")}


@pytest.mark.parametrize(
    "algorithm",
    [PPOConfig(epochs=4, lr_critic=1e-2, **QUICK), GRPOConfig(epochs=2, entropy_coef=0.01, **QUICK)],
    ids=["ppo", "grpo"],
)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_child_learns(algorithm, precision, tiny_child, colour_file, quiet_trainer):
    spy, module = Spy(), RLModule(tiny_child, EXACT, algorithm, SamplingConfig(max_new_tokens=2))
    data = PromptData(colour_file, {"seen": colour_file}, prompts_per_step=9, steps=100)
    trainer = quiet_trainer(callbacks=[spy], precision=precision)
    trainer.fit(module, data)

    def mean(name, steps):
        return sum(step[name] for step in steps) / len(steps)

    assert mean("train/reward", spy.steps[:3]) < 0.1
    assert mean("train/reward", spy.steps[-3:]) > 0.6
    assert mean("train/response_truncated", spy.steps[:3]) > 0.4
    assert mean("train/response_truncated", spy.steps[-3:]) < 0.3, "end of text must be learned"
    assert float(trainer.callback_metrics["val/seen/accuracy"]) > 0.6


def test_lora_learns_with_its_base_in_no_checkpoint(tiny_child, colour_file, quiet_trainer, tmp_path):
    def build():
        lora = LoraConfig(r=4, alpha=8, target_modules=["c_attn", "c_proj"])
        return RLModule(tiny_child, SEMANTIC, GRPO, SAMPLING, lora=lora, seed=5)

    module = build()
    saved = save_one_step(module, colour_file, quiet_trainer, tmp_path / "lora.ckpt")
    assert all("lora_" in name for name in saved["state_dict"])
    resumed = build()
    data = PromptData(colour_file, prompts_per_step=2, steps=1)
    quiet_trainer().fit(resumed, data, ckpt_path=tmp_path / "lora.ckpt")
    assert_same(weights(module), weights(resumed))


def test_rollouts_are_written_to_their_file_only(tiny_child, colour_file, quiet_trainer, tmp_path, capsys, caplog):
    log = RolloutLog(str(tmp_path / "deep" / "rollouts.jsonl"), every=2, rows=3)
    module = RLModule(tiny_child, SEMANTIC, GRPO, SAMPLING)
    data = PromptData(colour_file, {"held_out": colour_file}, prompts_per_step=4, steps=3)
    quiet_trainer(callbacks=[log, SaveChild(str(tmp_path / "child"))]).fit(module, data)
    lines = [json.loads(line) for line in (tmp_path / "deep" / "rollouts.jsonl").read_text().splitlines()]
    blocks = [(line["step"], line["split"], line["when"]) for line in lines]
    during = [(1, "train", "during"), (3, "train", "during")]
    expected = [(0, "val/held_out", "start"), *during, (3, "val/held_out", "end")]
    assert blocks == [block for block in expected for _ in range(3)]
    assert {"prompt", "response", "references", "reward", "reward/semantic", "reward/exact_match"} <= lines[0].keys()
    assert lines[0]["prompt"] == "mix red and red is"
    assert [line["accuracy"] for line in lines] == [line["reward/exact_match"] for line in lines]
    assert len({frozenset(line) for line in lines}) == 1
    captured = capsys.readouterr()
    assert not re.search("mix (red|blue|green)", captured.out + captured.err + caplog.text)
    saved = RLModule(str(tmp_path / "child"), EXACT, GRPO, SAMPLING)
    assert_same(weights(saved), weights(module))


def test_a_rollout_is_right_as_the_validation_metric_says(tiny_child, jsonl, quiet_trainer, tmp_path):
    def answers_at_the_start(name: str, rows: list[dict[str, str]]) -> list[dict[str, object]]:
        file, log = jsonl(f"{name}.jsonl", rows), RolloutLog(str(tmp_path / f"{name}-rollouts.jsonl"))
        module = RLModule(tiny_child, EXACT, GRPO, SAMPLING, val_spec=UNJUDGED)
        data = PromptData(file, {"probe": file}, prompts_per_step=3, steps=1)
        quiet_trainer(callbacks=[log]).fit(module, data)
        lines = [json.loads(line) for line in log.path.read_text().splitlines()]
        return [line for line in lines if line["when"] == "start"]

    rows = [{"prompt": f"mix {c} is", "reference": "red"} for c in ("red", "blue", "green")]
    texts = [line["response"] for line in answers_at_the_start("probe", rows)]
    truths = [texts[0].upper() or "x", "blue", texts[2] + "!"]
    rows = [row | {"ground_truth": truth} for row, truth in zip(rows, truths, strict=True)]
    expected = [text.strip().casefold() == truth.strip().casefold() for text, truth in zip(texts, truths, strict=True)]
    assert [line["accuracy"] for line in answers_at_the_start("judged", rows)] == expected


def test_validation_has_its_own_reward_and_counts_by_hand(tiny_child, jsonl, quiet_trainer):
    module = RLModule(tiny_child, EXACT, PPO, SamplingConfig(max_new_tokens=2, eval_batch_size=2), val_spec=UNJUDGED)
    rows = [{"prompt": f"mix {c} is", "reference": "red"} for c in ("red", "blue", "green")]
    probe = jsonl("probe.jsonl", rows)
    trainer = quiet_trainer()
    trainer.validate(module, PromptData(probe, {"probe": probe}), verbose=False)
    texts = module.answer(trainer.datamodule.val_records["probe"]).texts
    truths = [texts[0].upper() or "x", "blue", texts[2] + "!"]
    right = jsonl("right.jsonl", [row | {"ground_truth": truth} for row, truth in zip(rows, truths, strict=True)])
    trainer = quiet_trainer()
    trainer.validate(module, PromptData(right, {"right": right}), verbose=False)
    expected = sum(text.strip().casefold() == truth.casefold() for text, truth in zip(texts, truths, strict=True)) / 3
    assert float(trainer.callback_metrics["val/right/accuracy"]) == pytest.approx(expected)
    scored = SemanticReward(UNJUDGED).score(
        [r.sample(t) for r, t in zip(trainer.datamodule.val_records["right"], texts, strict=True)]
    )
    assert float(trainer.callback_metrics["val/right/semantic"]) == pytest.approx(
        scored.terms["semantic"].mean().item()
    )


def test_a_gradient_that_is_not_finite_stops_training(tiny_child, colour_file, quiet_trainer):
    module = RLModule(tiny_child, SEMANTIC, GRPO, SAMPLING)
    loss = module.algorithm.loss
    module.algorithm.loss = lambda *arguments: loss(*arguments) * float("nan")
    with pytest.raises(PgsrmError, match="the gradient is not finite"):
        quiet_trainer().fit(module, PromptData(colour_file, prompts_per_step=4, steps=1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PPOConfig(clip=0.0), r"PPOConfig\.clip must be above 0, not 0"),
        (lambda: GRPOConfig(group_size=1), r"GRPOConfig\.group_size must be at least 2, not 1"),
        (lambda: SamplingConfig(temperature=0.0), r"SamplingConfig\.temperature must be above 0"),
        (lambda: KLConfig(coef=-1.0), r"KLConfig\.coef must be at least 0, not -1"),
        (lambda: PPOConfig(gae_lambda=1.5), r"PPOConfig\.gae_lambda must be at most 1, not 1\.5"),
    ],
)
def test_settings_out_of_range_are_errors(build, message):
    with pytest.raises(SpecError, match=message):
        build()


@pytest.mark.parametrize(
    ("val_spec", "shared"),
    [
        (None, True),
        ("encoder: {kind: hashing}\nterms: {semantic: {}}\nunscorable: mask", True),
        ("encoder: {kind: hashing, dimensions: 64}\nterms: {semantic: {}}", False),
    ],
)
def test_validation_shares_the_encoder_of_training_where_the_specs_have_the_same(val_spec, shared, tiny_child):
    module = RLModule(tiny_child, SEMANTIC, PPO, val_spec=None if val_spec is None else parse_spec(val_spec))
    assert (module.reward("val").encoder is module.reward("train").encoder) is shared
    assert (module.reward("val") is module.reward("train")) is (val_spec is None)
    assert module.reward("val") is module.reward("val")
