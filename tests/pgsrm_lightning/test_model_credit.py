"""Credit by two language models: by hand, against transformers' own forward, its gradient, and whole runs."""

from __future__ import annotations

import doctest
import math
import signal
import time

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from torch import tensor
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from pgsrm_lightning import GRPOConfig, PPOConfig, PromptData, RLModule, SamplingConfig
from pgsrm_lightning.config import GuidanceConfig
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout import model_credit
from pgsrm_lightning.rollout.generate import Rollout
from pgsrm_lightning.rollout.model_credit import (
    LOSS,
    NORM,
    centred_rows,
    endogenous_rewards,
    greatest_return,
    success_loss,
    token_models,
)
from pgsrm_lightning.rollout.text_credit import SIZE
from pgsrm_plugin import RewardOutput, SpecError, parse_spec
from pgsrm_plugin.crosscheck import Use, problems
from pgsrm_plugin.stopping import Stopped

SPEC = "encoder: {kind: hashing}\nterms: {semantic: {}, length: {mode: absolute, unit: words, max: 3}}\n"
ALL = torch.ones(1, 3, dtype=torch.bool)


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_doctests():
    assert doctest.testmod(model_credit).failed == 0


def test_the_log_ratio_by_hand():
    """DPR: log-probabilities -.4 and -2.0 against -1.1 and -1.5, about their mean .1."""
    ratio = tensor([[-0.4, -2.0]]) - tensor([[-1.1, -1.5]])
    assert_close(ratio, tensor([[0.7, -0.5]]))
    assert_close(centred_rows(ratio, torch.ones(1, 2, dtype=torch.bool)), tensor([[0.6, -0.6]]))


def test_primes_numbers():
    """q .7, -.5, 1: sum 1.2, sigma(.06) = .5149950; sums to the end 1.2, .5, 1, of which 1.2 is the greatest."""
    q = tensor([[0.7, -0.5, 1.0]])
    assert math.exp(-float(success_loss(q, ALL, torch.ones(1), 0.05))) == pytest.approx(0.5149950, abs=1e-6)
    assert float(success_loss(q, ALL, torch.ones(1), 0.05)) == pytest.approx(0.6635971, abs=1e-6)
    assert float(success_loss(q, ALL, torch.zeros(1), 0.05)) == pytest.approx(-math.log(1 - 0.5149950), abs=2e-6)
    assert_close(q / greatest_return(q, ALL), tensor([[0.5833333, -0.4166667, 0.8333333]]))


def test_endorms_numbers():
    """Logits [2, 0, -1] and then [1, 1, 0]: 2 - log(2e + 1) = .1380052; by log pi + V(s1) - V(s2) as well."""
    first, second = tensor([2.0, 0.0, -1.0]), tensor([1.0, 1.0, 0.0])
    chosen = torch.stack([first[0], second[1]]).unsqueeze(0)
    soft = torch.stack([first.logsumexp(0), second.logsumexp(0)]).unsqueeze(0)
    both = torch.ones(1, 2, dtype=torch.bool)
    rewards, counted = endogenous_rewards(chosen, soft, both)
    assert_close(rewards, tensor([[0.1380052, 0.0]]), atol=1e-6, rtol=0)
    other = first.log_softmax(0)[0] + soft[0, 0] - soft[0, 1]
    assert_close(rewards[0, 0], other)
    assert counted.tolist() == [[True, False]]
    whole, counted = endogenous_rewards(chosen, soft, both, ending=0.0)
    assert_close(whole.sum(), first.log_softmax(0)[0] + second.log_softmax(0)[1] + soft[0, 0])
    assert counted.all()


def test_a_constant_in_all_logits_is_nothing_but_in_a_last_tokens_reward():
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 4, 5, dtype=torch.float64), tensor([[True] * 4, [True, True, False, False]])
    found = [
        endogenous_rewards((logits + c)[..., 2], (logits + c).logsumexp(-1), mask, ending)[0]
        for ending in (None, 0.0)
        for c in (0.0, 7.0)
    ]
    assert_close(found[0], found[1])
    assert_close((found[3] - found[2]), 7.0 * tensor([[0, 0, 0, 1], [0, 1, 0, 0]], dtype=torch.float64))
    assert found[0][1].tolist() == [found[0][1, 0].item(), 0.0, 0.0, 0.0]


def test_the_losss_gradient_is_that_of_the_cross_entropy():
    """beta (sigma(beta sum q) - y) on each token that counts, soft labels too; by finite differences as well."""
    q = tensor([[0.7, -0.5, 1.0], [2.0, -1.0, 5.0]], dtype=torch.float64, requires_grad=True)
    mask, success = tensor([[True, True, True], [True, True, False]]), tensor([0.3, 1.0], dtype=torch.float64)
    success_loss(q, mask, success, 0.5).sum().backward()
    first, second = (0.5 * (1 / (1 + math.exp(-0.5 * logit)) - y) for logit, y in ((1.2, 0.3), (1.0, 1.0)))
    assert_close(q.grad, tensor([[first] * 3, [second, second, 0.0]], dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda values: success_loss(values, mask, success, 0.5), [q])


# --- the models -------------------------------------------------------------------------------------------------------


@pytest.fixture
def other_child(make_child) -> str:
    return make_child(seed=1)


@pytest.fixture
def policy(tiny_child) -> Policy:
    return Policy(tiny_child, value_head=False)


def rolled() -> Rollout:
    """Four responses of different lengths behind a prompt of two tokens, of which one is padded."""
    torch.manual_seed(0)
    mask = tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]]).bool()
    tokens = torch.cat([tensor([[3, 4], [3, 4], [0, 5], [3, 4]]), torch.randint(2, 8, (4, 4)) * mask], 1)
    attention = torch.cat([tensor([[1, 1], [1, 1], [0, 1], [1, 1]]), mask.long()], 1)
    return Rollout(tokens, attention, mask, mask[:, 0], [""] * 4)


def scored(*rewards: float) -> RewardOutput:
    total_B = tensor(rewards, dtype=torch.float64)
    return RewardOutput(total_B, {}, {}, torch.ones(len(rewards), dtype=torch.bool), {})


def by_transformers(child: str, rollout: Rollout) -> torch.Tensor:
    """Each response by itself, without padding."""
    lm, width = AutoModelForCausalLM.from_pretrained(child, dtype=torch.float32).eval(), rollout.mask_BT.shape[1]
    found = torch.zeros(rollout.mask_BT.shape)
    for row, (ids, seen) in enumerate(zip(rollout.tokens_BS, rollout.attention_BS, strict=True)):
        own = ids[seen.bool()]
        length = int(rollout.mask_BT[row].sum())
        with torch.no_grad():
            logs = lm(own.unsqueeze(0)).logits[0].log_softmax(-1)
        found[row, :length] = logs[-length - 1 : -1].gather(1, own[-length:, None]).squeeze(1)
    assert width == found.shape[1]
    return found


PARTS = [tensor([0, 1]), tensor([2, 3])]
EVERY = torch.ones(4, dtype=torch.bool)


def test_a_frozen_ratio_is_that_of_transformers(tiny_child, other_child, policy):
    spec = parse_spec(SPEC + f"credit: {{kind: log_ratio, base: {other_child}, alpha: 3}}\n")
    models, rollout, meter = token_models(spec, tiny_child, None, policy), rolled(), Meter(torch.device("cpu"))
    above_BT = models(rollout, scored(0, 0, 0, 0), EVERY, PARTS, meter)
    ratio_BT = by_transformers(tiny_child, rollout) - by_transformers(other_child, rollout)
    for row, mask in enumerate(rollout.mask_BT):
        own = ratio_BT[row, mask]
        assert_close(above_BT[row, mask], 3 * (own - own.mean()), atol=1e-5, rtol=0)
        assert above_BT[row, ~mask].tolist() == [0.0] * int((~mask).sum())
    assert above_BT[0].abs().max() > 0.05
    assert list(models.parameters()) == [], "what is frozen is in no checkpoint"
    models.learn(meter)
    assert LOSS not in meter.means()


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_soft_values_are_those_of_transformers(tiny_child, policy, packs, tau, monkeypatch):
    spec = parse_spec(SPEC + f"credit: {{kind: endogenous, temperature: {tau}, alpha: 3}}\n")
    models, rollout, meter = token_models(spec, tiny_child, None, policy), rolled(), Meter(torch.device("cpu"))
    (model,) = models._frozen
    assert model.packs
    if not packs:
        monkeypatch.setattr(model, "packs", False)
        model.lm.set_attn_implementation("sdpa")
    above_BT = models(rollout, scored(0, 0, 0, 0), tensor([True, True, True, False]), PARTS, meter)
    lm = AutoModelForCausalLM.from_pretrained(tiny_child, dtype=torch.float64)
    for row in range(3):
        own, length = rollout.tokens_BS[row][rollout.attention_BS[row].bool()], int(rollout.mask_BT[row].sum())
        with torch.no_grad():
            logits = lm(own.unsqueeze(0)).logits[0][-length - 1 : -1]
        values = logits.gather(1, own[-length:, None])[:-1, 0] - tau * (logits / tau).logsumexp(-1)[1:]
        assert_close(above_BT[row, : length - 1].double(), 3 * (values - values.mean()), atol=2e-5, rtol=0)
        assert above_BT[row, length - 1 :].abs().sum() == 0, "the last token has none"
    assert above_BT[3].abs().sum() == 0
    assert above_BT[0].abs().max() > 0.05
    assert list(models.parameters()) == []
    assert models.state_dict() == {}


def test_credit_moves_the_gradient_by_each_tokens_share(tiny_child, policy):
    """GRPO's gradient with credit less that without: minus credit times the gradient of log pi, over the tokens."""
    from dataclasses import replace

    from pgsrm_lightning.losses import masked_sum
    from pgsrm_lightning.rollout.experience import look_back

    spec = parse_spec(SPEC + "credit: {kind: endogenous, scale: density}\n")
    rollout, config = rolled(), GRPOConfig(group_size=4, lr_actor=1e-3)
    above_BT = token_models(spec, tiny_child, None, policy)(
        rollout, scored(0, 0, 0, 0), EVERY, PARTS, Meter(torch.device("cpu"))
    )
    seen = look_back(policy, rollout, EVERY, 1.0, [PARTS])
    algorithm, output = config.build(), scored(0.0, 2.0, 1.0, 0.5)

    def gradient(credit_BT):
        policy.zero_grad(set_to_none=True)
        learned = algorithm.targets(replace(seen, credit_BT=credit_BT), output, [0] * 4, 0.0)
        now = policy.evaluate(rollout.tokens_BS, rollout.attention_BS, 4, 1.0)
        masked_sum(algorithm.loss(now, learned, 0.0, Meter(torch.device("cpu"))), learned.mask_BT).backward()
        return [parameter.grad.clone() for parameter in policy.lm.parameters() if parameter.grad is not None]

    moved = [one - other for one, other in zip(gradient(above_BT), gradient(None), strict=True)]
    policy.zero_grad(set_to_none=True)
    now = policy.evaluate(rollout.tokens_BS, rollout.attention_BS, 4, 1.0)
    (-(above_BT * now.logprobs_BT)[rollout.mask_BT].sum()).backward()
    for difference, parameter in zip(moved, policy.lm.parameters(), strict=True):
        assert_close(difference, parameter.grad, atol=2e-5, rtol=1e-4)
    assert max(float(one.abs().max()) for one in moved) > 0.01


def test_a_model_that_learns_takes_the_step_of_the_whole_batch(tiny_child, policy):
    """Whatever the parts; by autograd over all rows at once, and SGD's direction under AdamW's first step."""
    spec = parse_spec(SPEC + "credit: {kind: implicit_prm, beta: 0.5, lr: 1.0e-2}\n")
    rollout, output = rolled(), scored(0.0, 2.0, 1.0, 0.5)  # of at most 2, so 0, 1, .5 and .25
    meter = Meter(torch.device("cpu"))
    models = token_models(spec, tiny_child, None, policy)
    first_BT = models(rollout, output, EVERY, PARTS, meter)
    assert first_BT.abs().max() == 0, "both models are one"
    before = [parameter.detach().clone() for parameter in models.learner.lm.parameters()]
    oracle = Policy(tiny_child, value_head=False)
    logs = oracle.evaluate(rollout.tokens_BS, rollout.attention_BS, 4, 1.0).logprobs_BT
    logit_B = 0.5 * torch.where(rollout.mask_BT, logs - logs.detach(), 0.0).sum(-1)
    labels = tensor([0.0, 1.0, 0.5, 0.25])
    torch.nn.functional.binary_cross_entropy_with_logits(logit_B, labels).backward()
    models.learn(meter)
    for parameter, old, expected in zip(models.learner.lm.parameters(), before, oracle.lm.parameters(), strict=True):
        assert_close(parameter.grad, expected.grad, atol=1e-6, rtol=1e-4)
        moved = expected.grad.abs() > 1e-5
        assert torch.equal((old - parameter.detach())[moved].sign(), expected.grad[moved].sign())
    assert meter.means()[LOSS] == pytest.approx(math.log(2), abs=1e-5)
    assert meter.means()[NORM] > 0


def test_it_learns_which_tokens_succeed(tiny_child, policy):
    """Responses with success grow likelier than they were, the others less likely; rows not scored teach nothing."""
    spec = parse_spec(SPEC + "credit: {kind: implicit_prm, beta: 1, lr: 3.0e-3, success: 1.5}\n")
    models, rollout = token_models(spec, tiny_child, None, policy), rolled()
    for _ in range(12):
        meter = Meter(torch.device("cpu"))
        above_BT = models(rollout, scored(2.0, 0.1, 2.0, 0.3), tensor([True, True, True, False]), PARTS, meter)
        models.learn(meter)
    now = models.learner.evaluate(rollout.tokens_BS, rollout.attention_BS, 4, 1.0).logprobs_BT
    gained_B = torch.where(rollout.mask_BT, now - by_transformers(tiny_child, rollout), 0.0).sum(-1)
    assert gained_B[0] > 0.1
    assert gained_B[1] < -0.1
    assert gained_B[2] > 0.1
    assert meter.means()[LOSS] < math.log(2)
    assert_close(above_BT.sum(-1), torch.zeros(4), atol=1e-6, rtol=0)
    assert above_BT[0].abs().max() > 0.01
    assert above_BT[3].abs().max() == 0


# --- whole runs -------------------------------------------------------------------------------------------------------


class Spy(Callback):
    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def run(child, file, trainer, spec: str, config, steps: int = 2, **kwargs):
    module, spy = RLModule(child, parse_spec(SPEC + spec), config, SamplingConfig(max_new_tokens=5)), Spy()
    module.checkpoint_on_signal = True
    kwargs.pop("made", lambda module: None)(module)
    checkpoint = kwargs.pop("ckpt_path", None)
    callbacks = [spy, *kwargs.pop("callbacks", [])]
    data = PromptData(file, prompts_per_step=3, steps=steps)
    trainer(callbacks=callbacks, **kwargs).fit(module, data, ckpt_path=checkpoint)
    return module, spy.steps


CONFIGS = [GRPOConfig(group_size=4, lr_actor=1e-3), PPOConfig(lr_actor=1e-3)]
PRM = "credit: {kind: implicit_prm, alpha: ALPHA, lr: 1.0e-3, beta: 0.5}\n"


ENDOGENOUS = "credit: {kind: endogenous, alpha: ALPHA}\n"


def fp16() -> MixedPrecision:
    """Lightning's own 16-mixed, on a CPU, where its Trainer takes it as a plugin only."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**16))


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_the_model_learns_in_float32_whatever_the_precision(tiny_child, colour_file, quiet_trainer, precision):
    """alpha 0, so that the policy's rows are those of a run without credit; the model learns the same from them."""
    spec = PRM.replace("ALPHA", "0")
    plugin = {"plugins": fp16()} if precision == "16-mixed" else {"precision": precision}
    module, logged = run(tiny_child, colour_file, quiet_trainer, spec, CONFIGS[0], steps=3, **plugin)
    learner = module.token_models.learner.lm
    assert {parameter.dtype for parameter in learner.parameters()} == {torch.float32}
    assert all(math.isfinite(step[LOSS]) and step[NORM] > 0 for step in logged)
    start = AutoModelForCausalLM.from_pretrained(tiny_child, dtype=torch.float32)
    moved = [float((a - b).detach().abs().max()) for a, b in zip(learner.parameters(), start.parameters(), strict=True)]
    assert max(moved) > 1e-3
    assert logged[0][LOSS] == pytest.approx(math.log(2), abs=1e-6), "both models are one in float32"
    module.token_models._credit = module.token_models._credit.model_copy(update={"alpha": 5.0})
    given = (rolled(), scored(0, 0, 0, 0), EVERY, PARTS, Meter(torch.device("cpu")))
    exact = module.token_models(*given)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            assert torch.equal(exact, module.token_models(*given))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_endogenous_credit_trains_and_alpha_0_changes_no_bit(tiny_child, colour_file, quiet_trainer, config):
    plain, _ = run(tiny_child, colour_file, quiet_trainer, "", config)
    same, logged = run(tiny_child, colour_file, quiet_trainer, ENDOGENOUS.replace("ALPHA", "0"), config)
    other, _ = run(tiny_child, colour_file, quiet_trainer, ENDOGENOUS.replace("ALPHA", "5"), config)
    assert weights(same).keys() == weights(plain).keys()
    assert all(torch.equal(value, weights(plain)[name]) for name, value in weights(same).items())
    assert not all(torch.equal(value, weights(plain)[name]) for name, value in weights(other).items())
    assert all(step[SIZE] > 0 and step["time/credit_share"] > 0 for step in logged)


def weights(module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items() if torch.is_tensor(value)}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_alpha_0_changes_no_bit(tiny_child, colour_file, quiet_trainer, config):
    plain, _ = run(tiny_child, colour_file, quiet_trainer, "", config)
    same, logged = run(tiny_child, colour_file, quiet_trainer, PRM.replace("ALPHA", "0"), config)
    other, _ = run(tiny_child, colour_file, quiet_trainer, PRM.replace("ALPHA", "5"), config)
    own = {name: value for name, value in weights(same).items() if name.startswith("policy.")}
    assert own.keys() == weights(plain).keys()
    assert all(torch.equal(value, weights(plain)[name]) for name, value in own.items())
    assert not all(torch.equal(value, weights(plain)[name]) for name, value in weights(other).items() if name in own)
    assert [step[SIZE] > 0 for step in logged] == [False, True]
    assert all(step[LOSS] > 0 and step[NORM] > 0 and step["time/credit_share"] > 0 for step in logged)


def test_a_resumed_run_has_the_models_state(tiny_child, colour_file, quiet_trainer, tmp_path):
    spec, config = PRM.replace("ALPHA", "5"), CONFIGS[0]
    keep = {"callbacks": [ModelCheckpoint(tmp_path / "kept", every_n_train_steps=2)], "enable_checkpointing": True}
    whole, _ = run(tiny_child, colour_file, quiet_trainer, spec, config, steps=3, **keep)
    (path,) = (tmp_path / "kept").glob("*.ckpt")
    again, _ = run(tiny_child, colour_file, quiet_trainer, spec, config, steps=3, ckpt_path=str(path))
    assert weights(again).keys() == weights(whole).keys()
    assert any(name.startswith("token_models.learner.") for name in weights(whole))
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(again).items())


@pytest.mark.parametrize("place", ["success_loss", "take_step"])
def test_a_signal_while_the_model_learns_leaves_the_step_before_or_nothing(
    tiny_child, colour_file, quiet_trainer, tmp_path, monkeypatch, place
):
    """Before the model changes all of the step can be taken back, its guidance among it; then nothing is left."""
    spec = PRM.replace("ALPHA", "5")
    config = GRPOConfig(group_size=4, lr_actor=1e-3, epochs=2, guidance=GuidanceConfig(start=1, max=2))
    keep = {"enable_checkpointing": True, "default_root_dir": tmp_path}
    whole, _ = run(tiny_child, colour_file, quiet_trainer, spec, config, steps=3)
    original, calls = getattr(model_credit, place), []

    def stopped(*given, **named):
        calls.append(given)
        if len(calls) == 2:
            raise Stopped(signal.SIGINT)
        return original(*given, **named)

    monkeypatch.setattr(model_credit, place, stopped)
    seen: list[RLModule] = []
    with pytest.raises(Stopped):
        run(tiny_child, colour_file, quiet_trainer, spec, config, steps=3, made=seen.append, **keep)
    monkeypatch.undo()
    if place == "take_step":
        assert seen[0].left_checkpoint is None
        return
    path = seen[0].left_checkpoint
    again, _ = run(tiny_child, colour_file, quiet_trainer, spec, config, steps=3, ckpt_path=path)
    assert again.guidance.length == whole.guidance.length
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(again).items())


def test_an_optimizers_state_is_taken_up_where_the_model_is_by_then(tiny_child, policy):
    """Lightning reads checkpoints before it moves a module; here the other precision is the other device."""
    spec = parse_spec(SPEC + "credit: {kind: implicit_prm, lr: 1.0e-3}\n")

    models, again = (token_models(spec, tiny_child, None, policy) for _ in range(2))
    models(rolled(), scored(0.0, 2.0, 1.0, 0.5), EVERY, PARTS, Meter(torch.device("cpu")))
    models.learn(Meter(torch.device("cpu")))
    again.load_state_dict(models.state_dict())
    again.to(torch.float64)
    optimizer = again.optimizer_state.optimizer()
    for parameter in again.learner.lm.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    kept = again.state_dict()["optimizer_state._extra_state"]["state"]
    assert {int(one["step"]) for one in kept.values()} == {2}
    assert {one["exp_avg"].dtype for one in kept.values()} == {torch.float64}
    assert max(float(one["exp_avg"].abs().max()) for one in kept.values()) > 0


def test_what_changes_nothing_is_in_no_checkpoint(tiny_child, policy):
    for credit in (f"{{kind: log_ratio, base: {tiny_child}}}", "{kind: endogenous}"):
        models = token_models(parse_spec(f"{SPEC}credit: {credit}"), tiny_child, None, policy)
        assert not models.state_dict()


def test_a_checkpoint_of_another_credit_is_refused_in_words(tiny_child, colour_file, quiet_trainer, tmp_path):
    keep = {"callbacks": [ModelCheckpoint(tmp_path, every_n_train_steps=2)], "enable_checkpointing": True}
    run(tiny_child, colour_file, quiet_trainer, PRM.replace("ALPHA", "5"), CONFIGS[0], **keep)
    (path,) = tmp_path.glob("*.ckpt")
    said = r"it has beside the policy .*token_models; this run has beside the policy "
    with pytest.raises(SpecError, match=said):
        run(tiny_child, colour_file, quiet_trainer, "", CONFIGS[0], ckpt_path=str(path))


def test_the_time_of_learning_is_the_credits(tiny_child, colour_file, quiet_trainer, monkeypatch):
    learn = model_credit.TokenModels.learn

    def slow(self, *given) -> None:
        time.sleep(0.3)
        learn(self, *given)

    monkeypatch.setattr(model_credit.TokenModels, "learn", slow)
    _, steps = run(tiny_child, colour_file, quiet_trainer, PRM.replace("ALPHA", "5"), CONFIGS[0], steps=1)
    assert steps[0]["time/credit_s"] > 0.3
    assert 0 < steps[0]["time/credit_share"] < 1


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_model_of_another_vocabulary_is_refused(tiny_child, make_child, policy, tmp_path):
    import json
    from pathlib import Path

    other = Path(make_child())
    words = json.loads((other / "tokenizer.json").read_text())
    words["model"]["vocab"]["crimson"] = words["model"]["vocab"].pop("red")
    (other / "tokenizer.json").write_text(json.dumps(words))
    spec = parse_spec(SPEC + f"credit: {{kind: log_ratio, base: {other}}}\n")
    with pytest.raises(SpecError, match=r"^credit.base: .* has another vocabulary than the child"):
        token_models(spec, tiny_child, None, policy)
    spec = parse_spec(SPEC + f"credit: {{kind: log_ratio, base: {tmp_path / 'none'}}}\n")
    with pytest.raises(SpecError, match=r"^credit.base: child .*: there is no such folder"):
        token_models(spec, tiny_child, None, policy)


@pytest.mark.parametrize("name", ["endogenous", "EndoRM", "log_ratio", "prime"])
def test_as_a_plain_reward_it_is_refused_with_the_reason(name):
    with pytest.raises(SpecError) as caught:
        parse_spec(f"terms: {{{name}: {{}}}}")
    kind = {"EndoRM": "endogenous", "prime": "implicit_prm"}.get(name, name)
    said = f"{name!r} is no kind of term but of credit (write `credit: {kind}` beside the terms): "
    assert said in str(caught.value)
    assert "so it would pay for short" in str(caught.value)


def test_specs_and_places_that_cannot():
    (said,) = problems(parse_spec(SPEC + "credit: endogenous\n"), Use(without_models="train with x"))
    assert said.startswith("credit: endogenous asks language models about the policy's tokens, and here there is none")
    with pytest.raises(SpecError, match=r"credit.base: required key is missing"):
        parse_spec(SPEC + "credit: log_ratio\n")
    with pytest.raises(SpecError, match=r"advantages of; say with `success` from which reward on a response is one"):
        parse_spec(SPEC + "aggregate: group_normalised\ncredit: implicit_prm\n")
    parse_spec(SPEC + "aggregate: group_normalised\ncredit: {kind: implicit_prm, success: 0.5}\n")
    (said,) = problems(parse_spec(SPEC + "credit: implicit_prm\n"), Use(without_models="train with x"))
    assert said.startswith(
        "credit: implicit_prm asks language models about the policy's tokens, and here there is none"
    )
    assert said.endswith("train with x, or use another credit")
    assert problems(parse_spec(SPEC + "credit: prefix\n"), Use(without_models="train with x")) == []
