"""What the child says of tokens, against a plain forward in float64; references joined to the policy's own tokens."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from reasoning_child import write_reasoning_child
from transformers import AutoModelForCausalLM

from pgsrm_lightning import GRPOConfig, PromptData, RLModule, SamplingConfig
from pgsrm_lightning.config import LoraConfig
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout import own_likelihoods
from pgsrm_lightning.rollout.own_likelihoods import ChildScorer, EmaWeights, rows_of
from pgsrm_plugin import DataError, RewardSample, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.policy.base import Continuation, PolicyTokens

SPEC = parse_spec("{text: {answer_tag: answer}, terms: {likelihood: {}}}")
WHOLE = "{text: {}, terms: {likelihood: {scorer: SCORER}}}"
PROMPTS = ["2 + 2 is", "red and blue make"]


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    return write_reasoning_child(tmp_path_factory.mktemp("reasoning_child"))


@pytest.fixture(scope="module")
def policy(child):
    return Policy(child, value_head=False)


def plain(child, context, target, temperature=1.0):
    """Log-probabilities and entropies by transformers alone, in float64, one sequence at a time."""
    lm = AutoModelForCausalLM.from_pretrained(child, dtype=torch.float64)
    ids = torch.tensor([[*context, *target]])
    with torch.no_grad():
        logs = (lm(input_ids=ids).logits[0] / temperature).log_softmax(-1)[len(context) - 1 : -1]
    picked = logs.gather(-1, torch.tensor([target]).T).squeeze(-1)
    return picked.tolist(), (-(logs.exp() * logs).sum(-1)).tolist()


def questions(scorer):
    """Two prompts; four reasonings with three references each, two with one, and one without reasoning."""
    references = [tuple(scorer.encode(text)) for text in ("purple", "four", "(red).")]
    asked = []
    for prompt, reasonings, few in (
        (PROMPTS[0], ("so it is <answer>", "one and two and red and blue <answer>"), references),
        (PROMPTS[1], ("<think>red</think>", "two", "so", ""), references[:1]),
    ):
        between = [tuple(scorer.encode(text)) for text in reasonings]
        asked += [Continuation(tuple(scorer.encode(prompt)), z, target) for z in between for target in few]
    return asked


def test_doctests():
    assert doctest.testmod(own_likelihoods).failed == 0


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("limits", [{}, {"rows": 2}, {"tokens": 30}])
def test_the_numbers_of_a_plain_forward(child, policy, packs, temperature, limits, monkeypatch):
    assert policy.packs
    monkeypatch.setattr(policy, "packs", packs)
    scorer = ChildScorer(policy, temperature, **limits)
    asked = questions(scorer)
    assert len({len(row.shared) for row in rows_of(asked)}) > 2, "prompts are shared here, and reasoning there"
    for one, found in zip(asked, scorer.look("policy", asked), strict=True):
        logprobs, entropies = plain(child, one.prompt + one.between, one.target, temperature)
        assert found.logprobs == pytest.approx(logprobs, abs=2e-5)
        assert found.entropies == pytest.approx(entropies, abs=2e-5)
    every = [number for found in scorer.look("policy", asked) for number in found.logprobs]
    assert max(every) - min(every) > 3, "the child has opinions"


def test_the_frozen_reference_and_the_running_mean(child):
    policy = Policy(child, value_head=False)
    ema = EmaWeights(policy, 0.75)
    scorer = ChildScorer(policy, 1.0, ema)
    asked = questions(scorer)
    first = scorer.look("policy", asked)
    assert scorer.look("frozen", asked) == first
    assert scorer.look("ema", asked) == first
    before = {name: value.detach().clone() for name, value in policy.lm.named_parameters()}
    with torch.no_grad():
        for value in policy.lm.parameters():
            value.add_(0.05)
    after = scorer.look("policy", asked)
    assert after != first
    assert scorer.look("frozen", asked) == first
    assert scorer.look("ema", asked) == first
    ema.update()
    mean = scorer.look("ema", asked)
    assert scorer.look("policy", asked) == after, "the policy has its own weights again"
    with torch.no_grad():
        for name, value in policy.lm.named_parameters():
            value.copy_(before[name] + 0.25 * 0.05)
    for found, expected in zip(mean, scorer.look("policy", asked), strict=True):
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-5)


def test_adapters_alone_are_in_the_running_mean(child):
    policy = Policy(child, lora=LoraConfig(r=2), value_head=False)
    ema = EmaWeights(policy, 0.5)
    assert ema.state_dict()
    assert all("lora_" in name for name in ema.state_dict())


def response_of(policy, text):
    """A response as the child would have written it: its tokenizer's tokens, and the end of text."""
    ids = (*policy.tokenizer(text)["input_ids"], policy.eos_ids[0])
    prompt = tuple(policy.tokenizer(PROMPTS[0])["input_ids"])
    return RewardSample(PROMPTS[0], text, ("(red).",), tokens=PolicyTokens(prompt, ids))


def test_tokens_are_joined_where_encoding_again_would_merge_them(child, policy):
    """``>(`` is one token for the tokenizer, and so is ``.</``: no reference would begin or end where it does."""
    scorer = ChildScorer(policy, 1.0)
    whole = scorer.encode("so <answer>(red).</answer>")
    parts = [scorer.encode(part) for part in ("so <answer>", "(red).", "</answer>")]
    assert whole != [token for part in parts for token in part]
    words = policy.tokenizer.convert_ids_to_tokens(whole)
    assert ">(" in words
    assert ").</" in words
    asked = []
    spy = ChildScorer(policy, 1.0)
    spy.look = lambda weights, few: asked.extend(few) or scorer.look(weights, few)
    out = SemanticReward(SPEC).score([response_of(policy, "so <answer>(four).</answer>")], policy=spy)
    (one,) = asked
    own = policy.tokenizer("so <answer>(four).</answer>")["input_ids"]
    cut = policy.tokenizer.convert_ids_to_tokens(own).index(">(")
    assert one.between == (*own[:cut], *scorer.encode(">")), "the token across the border is cut"
    assert scorer.decode(one.between) == "so <answer>"
    assert one.target == (*parts[1], *parts[2])
    logprobs, _ = plain(child, one.prompt + one.between, one.target)
    assert out.total_B.tolist() == pytest.approx([math.fsum(logprobs) / len(logprobs)], abs=1e-5)


def test_characters_of_several_tokens_are_not_torn(policy):
    scorer = ChildScorer(policy, 1.0)
    asked = []
    scorer.look = lambda weights, few: asked.extend(few) or ChildScorer.look(scorer, weights, few)
    text = "né 日本 🙂 <answer>é</answer>"
    SemanticReward(SPEC).score([response_of(policy, text)], policy=scorer)
    own = tuple(policy.tokenizer(text)["input_ids"])
    assert scorer.decode(asked[0].between) == "né 日本 🙂 <answer>"
    assert asked[0].between == own[: len(asked[0].between)], "all of them are the policy's own"


def test_what_the_policy_spelt_in_its_own_way_stays_as_it_is(policy):
    """A token a letter, as no tokenizer would encode it."""
    scorer = ChildScorer(policy, 1.0)
    asked = []
    scorer.look = lambda weights, few: asked.extend(few) or ChildScorer.look(scorer, weights, few)
    text = "red and <answer>blue</answer>"
    ids = [scorer.encode(letter)[0] for letter in text]
    assert ids != scorer.encode(text)
    own = RewardSample(PROMPTS[0], text, ("red",), tokens=PolicyTokens((5, 6), (*ids, scorer.end)))
    SemanticReward(SPEC).score([own], policy=scorer)
    assert asked[0].between == tuple(ids[: len("red and <answer>")])


# --- in training ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", ["policy", "frozen", "ema"])
def test_a_run_asks_its_policy(child, jsonl, quiet_trainer, scorer, tmp_path):
    """After a step the three kinds of weights differ; the cost is logged."""
    rows = [{"prompt": prompt, "reference": "purple"} for prompt in PROMPTS]
    spec = parse_spec(WHOLE.replace("SCORER", scorer))
    algorithm = GRPOConfig(group_size=3, lr_actor=1e-2)
    module = RLModule(child, spec, algorithm, SamplingConfig(max_new_tokens=4))
    trainer = quiet_trainer(max_epochs=2, limit_val_batches=1)
    path = jsonl("rows.jsonl", rows)
    trainer.fit(module, PromptData(path, {"val": path}, prompts_per_step=2, steps=1))
    logged = trainer.callback_metrics
    assert 0 < logged["time/policy_share"] < 1
    assert 0 < logged["time/policy_s"] < logged["time/reward_s"]
    assert -10 < logged["train/reward/likelihood"] < 0
    assert -10 < logged["val/val/reward"] < 0
    assert logged["train/reasoning_chars"] == 0
    kept = [name for name in module.state_dict() if name.startswith("ema.")]
    assert bool(kept) is (scorer == "ema")


def test_the_running_mean_goes_on_after_a_resume(child, jsonl, quiet_trainer, tmp_path):
    path = jsonl("rows.jsonl", [{"prompt": prompt, "reference": "purple"} for prompt in PROMPTS])

    def run(steps, checkpoint=None):
        spec = parse_spec(WHOLE.replace("SCORER", "ema"))
        module = RLModule(child, spec, GRPOConfig(group_size=8, lr_actor=1e-2), SamplingConfig(max_new_tokens=3))
        trainer = quiet_trainer(max_steps=steps, max_epochs=-1)
        trainer.fit(module, PromptData(path, prompts_per_step=2, steps=1), ckpt_path=checkpoint)
        return module, trainer

    whole, _ = run(2)
    half, trainer = run(1)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    resumed, _ = run(2, str(tmp_path / "half.ckpt"))
    means = [module.ema.state_dict() for module in (whole, resumed, half)]
    assert all(torch.equal(means[1][name], value) for name, value in means[0].items())
    assert not all(torch.equal(means[2][name], value) for name, value in means[0].items()), "the second step moves it"


def test_a_reference_that_cannot_fit_is_refused_before_training(child, jsonl, quiet_trainer):
    path = jsonl("rows.jsonl", [{"prompt": "2 + 2 is", "reference": "blue red " * 200}])
    module = RLModule(child, SPEC, GRPOConfig(group_size=2), SamplingConfig(max_new_tokens=8))
    with pytest.raises(DataError, match=r"rows.jsonl:1: field 'reference': .* the child's context of 256"):
        quiet_trainer().fit(module, PromptData(path, prompts_per_step=1, steps=1))


def test_one_running_mean_is_kept(child):
    terms = "{a: {kind: likelihood, scorer: ema}, b: {kind: likelihood, scorer: ema, decay: 0.5}}"
    with pytest.raises(SpecError, match=r"one running mean of weights is kept, not several \(a 0.9, b 0.5\)"):
        RLModule(child, parse_spec(f"{{terms: {terms}}}"), GRPOConfig(group_size=2))
