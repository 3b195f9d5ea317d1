"""Sampling, masks and log-probabilities, against naive computation row by row."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from pgsrm_lightning.config import LoraConfig, SamplingConfig
from pgsrm_lightning.engines.engine import keyed_seed
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import encode_prompt, generate, response_mask
from pgsrm_plugin import DataError, SpecError
from pgsrm_plugin.data.rows import Record

CPU = torch.device("cpu")


def record(prompt, label="data.jsonl:1"):
    return Record({}, label, prompt, None, ("red",), None, "", "g")


@pytest.fixture(scope="module")
def policy(tiny_child):
    return Policy(tiny_child)


PROMPTS = ["mix red and blue is", "red", "mix red and blue and green and red is"]


def naive_logprobs(policy, prompt_ids, response_ids, temperature):
    """One row, no padding, one forward pass."""
    ids = torch.tensor([prompt_ids + response_ids])
    with torch.no_grad():
        logp = torch.log_softmax(policy.lm(input_ids=ids).logits[0].float() / temperature, dim=-1)
    start = len(prompt_ids) - 1
    return [logp[start + t, token].item() for t, token in enumerate(response_ids)]


def test_prompts_of_different_lengths_are_answered_as_if_alone(policy):
    sampling = SamplingConfig(max_new_tokens=6)
    together = generate(policy, [record(prompt) for prompt in PROMPTS], sampling, CPU, seed=None)
    for prompt, text in zip(PROMPTS, together.texts, strict=True):
        assert generate(policy, [record(prompt)], sampling, CPU, seed=None).texts == [text]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_those_of_the_unpadded_row_at_the_sampling_temperature(policy, temperature):
    sampling = SamplingConfig(max_new_tokens=6, temperature=temperature)
    records = [record(prompt) for prompt in PROMPTS * 4]
    rollout = generate(policy, records, sampling, CPU, seed=3)
    width = rollout.mask_BT.shape[1]
    got = policy.evaluate(rollout.tokens_BS, rollout.attention_BS, width, temperature)
    reference = policy.reference_logprobs(rollout.tokens_BS, rollout.attention_BS, width, temperature)
    assert not rollout.mask_BT.all(), "some response must end early, or padding is not tested"
    for row, one in enumerate(records):
        response = rollout.tokens_BS[row, -width:][rollout.mask_BT[row]].tolist()
        naive = naive_logprobs(policy, encode_prompt(one, policy, sampling), response, temperature)
        assert got.logprobs_BT[row][rollout.mask_BT[row]].tolist() == pytest.approx(naive, abs=1e-5)
        assert reference[row][rollout.mask_BT[row]].tolist() == pytest.approx(naive, abs=1e-5)


def test_no_pad_stands_between_prompt_and_response(policy):
    rollout = generate(policy, [record(prompt) for prompt in PROMPTS], SamplingConfig(max_new_tokens=4), CPU, seed=1)
    attended = rollout.attention_BS.tolist()
    for row in attended:
        joined = "".join(map(str, row)).strip("0")
        assert "0" not in joined
    width = rollout.mask_BT.shape[1]
    assert rollout.attention_BS[:, -width - 1].tolist() == [1, 1, 1]


def test_end_of_text_is_learned_and_what_follows_is_not_though_pad_is_the_same_token():
    mask, truncated = response_mask(torch.tensor([[5, 0, 0, 0], [5, 6, 7, 4], [0, 0, 0, 0]]), [0])
    assert mask.long().tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert truncated.tolist() == [False, True, False]


def test_any_of_several_end_tokens_ends():
    mask, truncated = response_mask(torch.tensor([[5, 3, 6, 2]]), [2, 3])
    assert mask.tolist() == [[True, True, False, False]]
    assert truncated.tolist() == [False]


def test_texts_have_no_special_tokens(policy):
    rollout = generate(policy, [record(p) for p in PROMPTS * 6], SamplingConfig(max_new_tokens=6), CPU, seed=5)
    assert not any("<eos>" in text for text in rollout.texts)
    assert any(text == "" or len(text.split()) < 6 for text in rollout.texts)


def test_sampling_depends_on_the_seed_alone(policy):
    records = [record(prompt) for prompt in PROMPTS * 4]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = generate(policy, records, SamplingConfig(), CPU, seed=7).tokens_BS
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = generate(policy, records, SamplingConfig(), CPU, seed=7).tokens_BS
    other = generate(policy, records, SamplingConfig(), CPU, seed=8).tokens_BS
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_top_k_of_one_is_greedy(policy):
    records = [record(prompt) for prompt in PROMPTS]
    greedy = generate(policy, records, SamplingConfig(max_new_tokens=5), CPU, seed=None).texts
    assert generate(policy, records, SamplingConfig(max_new_tokens=5, top_k=1), CPU, seed=4).texts == greedy


def test_the_childs_own_generation_defaults_do_not_change_the_distribution(tiny_child, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    lm = AutoModelForCausalLM.from_pretrained(tiny_child)
    lm.generation_config = GenerationConfig(do_sample=True, repetition_penalty=5.0, top_k=1, eos_token_id=0)
    lm.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_child).save_pretrained(tmp_path)
    records = [record(prompt) for prompt in PROMPTS * 4]
    plain = generate(Policy(tiny_child), records, SamplingConfig(), CPU, seed=7)
    assert torch.equal(
        generate(Policy(str(tmp_path)), records, SamplingConfig(), CPU, seed=7).tokens_BS, plain.tokens_BS
    )


def test_keyed_seeds_differ_in_every_part_of_the_key():
    seeds = {keyed_seed(*key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(seeds) == 4
    assert keyed_seed(3, 4) == keyed_seed(3, 4)


def test_text_is_taken_as_it_is_and_wrapped_only_with_chat(chat_child):
    policy = Policy(chat_child)
    plain = encode_prompt(record("red and blue"), policy, SamplingConfig())
    wrapped = encode_prompt(record("red and blue"), policy, SamplingConfig(chat=True))
    messages = encode_prompt(record([{"role": "user", "content": "red and blue"}]), policy, SamplingConfig())
    assert policy.tokenizer.decode(plain) == "red and blue"
    assert wrapped == messages
    assert policy.tokenizer.decode(wrapped) == "<unk> red and blue is"  # `user` is no word of the tiny vocabulary


def test_a_chat_without_a_template_is_an_error(policy):
    with pytest.raises(
        DataError, match=r"d\.jsonl:7: the prompt is a chat, but this child's tokenizer has no chat tem"
    ):
        encode_prompt(record([{"role": "user", "content": "red"}], "d.jsonl:7"), policy, SamplingConfig())


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (
            SamplingConfig(max_new_tokens=16),
            r"d\.jsonl:7: field 'prompt' has 20 tokens, but at most 16 fit \(context 32",
        ),
        (SamplingConfig(max_new_tokens=2, max_prompt_tokens=5), r"d\.jsonl:7: field 'prompt' has 20 tokens, .* 5 fit"),
    ],
)
def test_a_prompt_that_is_too_long_is_an_error(policy, sampling, message):
    with pytest.raises(DataError, match=message):
        encode_prompt(record("red " * 20, "d.jsonl:7"), policy, sampling)


def test_a_prompt_without_tokens_is_an_error(policy):
    with pytest.raises(DataError, match=r"d\.jsonl:7: field 'prompt' has no tokens"):
        encode_prompt(record("  ", "d.jsonl:7"), policy, SamplingConfig())


def test_dropout_stays_off_in_training_mode(policy):
    assert policy.lm.config.attn_pdrop > 0
    policy.train()
    rollout = generate(policy, [record(PROMPTS[0])], SamplingConfig(), CPU, seed=1)
    seen = [policy.evaluate(rollout.tokens_BS, rollout.attention_BS, 1, 1.0).logprobs_BT for _ in range(2)]
    assert_close(seen[0], seen[1], atol=0, rtol=0)


def test_the_value_head_starts_at_zero_and_the_reference_is_no_submodule(policy):
    rollout = generate(policy, [record(p) for p in PROMPTS], SamplingConfig(), CPU, seed=1)
    seen = policy.evaluate(rollout.tokens_BS, rollout.attention_BS, rollout.mask_BT.shape[1], 1.0)
    assert not seen.values_BT.any()
    assert {name.split(".")[0] for name in policy.state_dict()} == {"lm", "value_head"}


def test_lora_trains_little_and_its_reference_is_the_base(tiny_child):
    policy = Policy(tiny_child, lora=LoraConfig(r=2, alpha=4, target_modules=["c_attn"]))
    trainable = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert all("lora_" in name or "value_head" in name for name in trainable)
    rollout = generate(policy, [record(p) for p in PROMPTS], SamplingConfig(), CPU, seed=1)
    arguments = (rollout.tokens_BS, rollout.attention_BS, rollout.mask_BT.shape[1], 1.0)
    base = policy.reference_logprobs(*arguments)
    assert torch.equal(policy.evaluate(*arguments).logprobs_BT, base)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.5)
    assert not torch.allclose(policy.evaluate(*arguments).logprobs_BT, base)
    assert torch.equal(policy.reference_logprobs(*arguments), base)


def test_a_child_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SpecError, match=r"child './nowhere': there is no such folder"):
        Policy("./nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"cannot be loaded as a causal language model"):
        Policy(str(tmp_path / "empty"))


def test_wrong_lora_targets_are_an_error(tiny_child):
    with pytest.raises(SpecError, match=r"lora: Target modules .* not found"):
        Policy(tiny_child, lora=LoraConfig(target_modules=["q_prj"]))
