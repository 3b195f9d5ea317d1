"""Token credit in training: the response's mean is the algorithm's own, and alpha 0 changes no bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import tensor
from torch.testing import assert_close

from pgsrm_lightning import GRPOConfig, PPOConfig, PromptData, ReinforceConfig, RLModule, SamplingConfig
from pgsrm_lightning.advantages import gae, token_rewards
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_lightning.rollout.generate import Rollout
from pgsrm_lightning.rollout.text_credit import ENCODINGS, SIZE, TEXTS, text_credit
from pgsrm_plugin import RewardOutput, RewardSample, SemanticReward, parse_spec

SPEC = "encoder: {kind: hashing}\nterms: {semantic: {}, length: {mode: absolute, unit: words, max: 2}}\n"
SAMPLING = SamplingConfig(max_new_tokens=6)


def spec_of(kind: str, alpha: float) -> str:
    return SPEC + f"credit: {{kind: {kind}, segments: 'words:1', alpha: {alpha}}}\n"


def experience(credit_BT: torch.Tensor | None) -> Experience:
    """Two responses, of three tokens and of two."""
    mask = tensor([[True, True, True], [True, True, False]])
    zeros, ids = torch.zeros(2, 3), torch.zeros(2, 5, dtype=torch.long)
    values = tensor([[0.1, 0.2, 0.3], [0.0, 0.1, 0.0]])
    logps = tensor([[-1.0, -2.0, -0.5], [-0.7, -0.1, 0.0]])
    return Experience(ids, ids, mask, logps, logps - 0.1, zeros, values, zeros, zeros, credit_BT)


def output(*rewards: float) -> RewardOutput:
    total_B = tensor(rewards, dtype=torch.float64)
    return RewardOutput(total_B, {}, {"semantic": total_B}, torch.ones(len(rewards), dtype=torch.bool), {})


RED = tensor([[0.2, -0.05, 0.55], [0.0, 0.0, 0.0]]) - tensor([[0.7 / 3], [0.0]])


def test_grpo_adds_it_to_the_responses_advantage():
    """RED's numbers: A = 1, then [.9666667, .7166667, 1.3166667]; the mean stays."""
    seen = GRPOConfig().build().targets(experience(RED), output(1.0, 0.0), [0, 0], 0.0)
    assert_close(seen.advantages_BT[0], tensor([0.9666667, 0.7166667, 1.3166667]))
    assert_close(seen.advantages_BT[1], tensor([-1.0, -1.0, -1.0]))


def test_ppo_adds_it_to_the_tokens_rewards():
    """The rewards of a response add up to what they added up to, and GAE is that of these rewards."""
    config = PPOConfig()
    seen = config.build().targets(experience(RED), output(0.9, 0.4), [0, 1], 0.05)
    e = experience(None)
    plain = token_rewards(tensor([0.9, 0.4]), e.logprobs_BT, e.ref_logprobs_BT, e.mask_BT, 0.05)
    assert_close((plain + RED).sum(-1), plain.sum(-1))
    assert_close(plain + RED, tensor([[-0.0383333, -0.2883333, 1.2116667], [-0.005, 0.395, 0.0]]))
    _, returns = gae(plain + RED, e.values_BT, e.mask_BT, 1.0, config.gae_lambda)
    assert_close(seen.returns_BT, returns)


def test_reinforce_adds_it_to_the_advantage_and_not_to_the_return():
    seen = ReinforceConfig().build().targets(experience(RED), output(0.9, 0.4), [0, 1], 0.0)
    assert_close(seen.returns_BT, tensor([[0.9, 0.9, 0.9], [0.4, 0.4, 0.0]]))
    assert_close(seen.advantages_BT[0], tensor([0.8, 0.7, 0.6]) + RED[0])
    assert_close(seen.advantages_BT[1], tensor([0.4, 0.3, 0.0]))


def test_rows_are_taken_with_their_credit():
    assert experience(RED).rows(tensor([1])).credit_BT.tolist() == [[0.0, 0.0, 0.0]]
    assert experience(None).rows(tensor([1])).credit_BT is None


# --- from texts to tokens ---------------------------------------------------------------------------------------------


def rolled(tokenizer, texts: list[str]) -> Rollout:
    """Responses behind a prompt of one token, with their end of text."""
    rows = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts]
    width = max(map(len, rows))
    tokens = tensor([[3] + row + [0] * (width - len(row)) for row in rows])
    mask = tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
    return Rollout(tokens, torch.cat([torch.ones(len(rows), 1).long(), mask.long()], 1), mask, mask[:, 0], texts)


@pytest.fixture
def tokenizer(tiny_child):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_child)


def credited(tokenizer, spec: str, texts: list[str], scored: list[bool] | None = None, reference: str = "red and blue"):
    reward, meter = SemanticReward(parse_spec(spec)), Meter(torch.device("cpu"))
    samples = [RewardSample("mix", text, (reference,)) for text in texts]
    scored_B = tensor(scored or [True] * len(texts))
    return text_credit(reward, samples, rolled(tokenizer, texts), scored_B, tokenizer, meter), meter.means(), reward


def test_a_tokens_credit_is_what_its_word_earned(tokenizer):
    """Words as segments, so a token has its word's credit: the reward by each beginning, by the reward itself."""
    spec = spec_of("prefix", 2.0)
    credit_BT, logged, reward = credited(tokenizer, spec, ["red and green", "blue"])
    beginnings = [RewardSample("mix", text, ("red and blue",)) for text in ("", "red ", "red and ", "red and green")]
    values = reward.score(beginnings).total_B.float()
    gained = values.diff()
    assert_close(credit_BT[0, :3], 2.0 * (gained - gained.mean()))
    assert credit_BT[0, 3] == 0, "the end of text is no word"
    assert credit_BT[1].tolist() == [0.0] * 4, "there is nothing to share out in one segment"
    assert logged == pytest.approx(
        {TEXTS: 4 / 2, ENCODINGS: 4 / 2, SIZE: float(credit_BT[0, :3].abs().mean()) / 2.0}, abs=1e-6
    )


def test_the_mean_of_a_response_is_its_own(tokenizer):
    texts = ["red and green is blue", "blue and blue", "red"]
    credit_BT, _, _ = credited(tokenizer, spec_of("leave_one_out", 1.0), texts)
    assert_close(credit_BT.sum(-1), torch.zeros(3), atol=1e-7, rtol=0)
    assert credit_BT.abs().sum() > 0.1


def test_rows_that_are_not_learned_from_are_not_scored(tokenizer):
    spec = spec_of("leave_one_out", 1.0)
    credit_BT, logged, _ = credited(tokenizer, spec, ["red and green", "red and blue"], [True, False])
    assert credit_BT[1].tolist() == [0.0] * 4
    assert logged[TEXTS] == 4


# --- whole runs -------------------------------------------------------------------------------------------------------


class Spy(Callback):
    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})


@pytest.fixture
def train(tiny_child, colour_file, quiet_trainer):
    def run(spec: str, config) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
        module, spy = RLModule(tiny_child, parse_spec(spec), config, SAMPLING), Spy()
        quiet_trainer(callbacks=[spy]).fit(module, PromptData(colour_file, prompts_per_step=3, steps=2))
        return {name: value.clone() for name, value in module.policy.state_dict().items()}, spy.steps

    return run


CONFIGS = [GRPOConfig(group_size=4, lr_actor=1e-3), PPOConfig(lr_actor=1e-3), ReinforceConfig(lr_actor=1e-3)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_alpha_0_changes_no_bit_and_another_one_does(train, config):
    plain, without = train(SPEC, config)
    same, logged = train(spec_of("leave_one_out", 0), config)
    assert all(torch.equal(same[name], plain[name]) for name in plain)
    assert all(0 < step["time/credit_share"] < 1 for step in logged)
    assert max(step[TEXTS] for step in logged) >= 1
    assert max(step[SIZE] for step in logged) > 0
    other, _ = train(spec_of("leave_one_out", 1), config)
    assert not all(torch.equal(other[name], plain[name]) for name in plain)
    assert TEXTS not in without[0]
    assert "time/credit_s" not in without[0]


def test_the_loss_of_several_minibatches_has_each_rows_own_credit(train):
    """Rows are shuffled from the second epoch on."""
    config = replace(CONFIGS[0], epochs=2, minibatches=3, micro_batch_size=2)
    once, _ = train(spec_of("prefix", 1), config)
    again, _ = train(spec_of("prefix", 1), config)
    assert all(torch.equal(again[name], once[name]) for name in once)
