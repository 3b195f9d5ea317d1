"""Packed rows against padded ones, values and gradients; decoding against transformers' generate; the head, by finite
differences."""

from __future__ import annotations

import pytest
import torch
from real_child import write_llama
from torch.testing import assert_close

from pgsrm_lightning.config import LoraConfig, SamplingConfig
from pgsrm_lightning.engines import decoding
from pgsrm_lightning.engines.decoding import draw
from pgsrm_lightning.engines.prepacked import prepacked
from pgsrm_lightning.losses import entropy, token_logprobs
from pgsrm_lightning.packed import attention
from pgsrm_lightning.packed.head import target_logprobs, token_statistics
from pgsrm_lightning.packed.rows import pack
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import generate
from pgsrm_plugin.data.rows import Record

CPU = torch.device("cpu")
PROMPTS = ["mix red and blue is", "red", "mix red and blue and green and red is"]


def records(times=4):
    return [Record({}, "d:1", prompt, None, ("red",), None, "", "g") for prompt in PROMPTS for _ in range(times)]


@pytest.fixture(params=["gpt2", "llama", "lora"])
def policy(request, tiny_child, tmp_path):
    if request.param == "gpt2":
        return Policy(tiny_child)
    lora = LoraConfig(r=2) if request.param == "lora" else None
    policy = Policy(write_llama(tmp_path / "llama", tiny_child), lora=lora)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.1)
    return policy


def batch():
    """Seven rows of three prompts in no order, padded on both sides; responses of one to five tokens."""
    generator = torch.Generator().manual_seed(1)
    tokens_BS = torch.randint(2, 8, (7, 11), generator=generator)
    attention_BS = torch.ones(7, 11, dtype=torch.long)
    for row, prompt, length in zip(range(7), (0, 1, 0, 2, 1, 0, 2), (5, 1, 3, 2, 4, 1, 1), strict=True):
        tokens_BS[row, :6] = tokens_BS[prompt, :6]
        attention_BS[row, : 2 * prompt] = 0
        attention_BS[row, 6 + length :] = 0
    return tokens_BS, attention_BS, 5


def loss_and_gradient(policy, evaluate, temperature):
    tokens_BS, attention_BS, width = batch()
    mask_BT = attention_BS[:, -width:].bool()
    policy.zero_grad()
    seen = evaluate(tokens_BS, attention_BS, width, temperature)
    weights = torch.linspace(-1.0, 1.0, mask_BT.numel()).view_as(mask_BT)
    terms = weights * seen.logprobs_BT + 0.3 * weights * seen.entropy_BT + (seen.values_BT - weights) ** 2
    loss = terms[mask_BT].sum()
    loss.backward()
    return seen, mask_BT, {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("most_scores", [attention.MOST_SCORES, 0], ids=["products", "sdpa"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_packed_rows_have_the_values_and_gradients_of_padded_ones(policy, temperature, most_scores, monkeypatch):
    monkeypatch.setattr(attention, "MOST_SCORES", most_scores)
    torch.nn.init.normal_(policy.value_head.weight, 0.0, 0.1)
    assert policy.packs
    padded, mask, expected = loss_and_gradient(policy, policy.evaluate_padded, temperature)
    packed, _, found = loss_and_gradient(policy, policy.evaluate, temperature)
    for name in ("logprobs_BT", "entropy_BT", "values_BT"):
        assert_close(getattr(packed, name)[mask], getattr(padded, name)[mask], atol=1e-5, rtol=1e-5)
        assert not getattr(packed, name)[~mask].any()
    assert found.keys() == expected.keys()
    assert max(gradient.abs().max() for gradient in expected.values()) > 0.1
    for name, gradient in expected.items():
        assert_close(found[name], gradient, atol=2e-5, rtol=1e-4, msg=name)


def test_a_prompt_stands_there_once_and_no_padding_at_all():
    tokens_BS, attention_BS, width = batch()
    packed = pack(tokens_BS, attention_BS, width)
    assert packed.tokens_N.numel() == (6 + 4 + 2) + (4 + 0 + 2 + 1 + 3 + 0 + 0)
    assert tokens_BS[:, :-1].numel() == 70
    assert packed.unpack(packed.targets_M).tolist() == (tokens_BS * attention_BS)[:, -width:].tolist()


def test_no_response_sees_another(tiny_child):
    policy = Policy(tiny_child)
    tokens_BS, attention_BS, width = batch()
    before = policy.evaluate(tokens_BS, attention_BS, width, 1.0).logprobs_BT
    tokens_BS[0, 6:] = 7  # of the family of rows 2 and 5
    after = policy.evaluate(tokens_BS, attention_BS, width, 1.0).logprobs_BT
    assert_close(before[1:], after[1:], atol=1e-6, rtol=0)
    assert not torch.allclose(before[0], after[0])


def test_an_architecture_that_cannot_be_packed_is_evaluated_with_padding(tmp_path, tiny_child):
    from transformers import AutoTokenizer, BloomConfig, BloomForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    BloomForCausalLM(BloomConfig(vocab_size=8, **shape)).save_pretrained(tmp_path)  # positions by a bias: ALiBi
    AutoTokenizer.from_pretrained(tiny_child).save_pretrained(tmp_path)
    policy = Policy(str(tmp_path))
    assert not policy.packs
    rollout = generate(policy, records(), SamplingConfig(max_new_tokens=4), CPU, seed=0)
    assert policy.evaluate(rollout.tokens_BS, rollout.attention_BS, 4, 1.0).logprobs_BT.shape == rollout.mask_BT.shape


# --- the head -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 1 << 20], ids=["computed anew", "kept"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_heads_gradient_is_that_of_finite_differences(bias, temperature, kept):
    generator = torch.Generator().manual_seed(0)
    shapes = [(5, 3), (7, 3), (7,)]
    tensors = [torch.randn(*s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
    states, weight, biases = tensors if bias else (*tensors[:2], None)
    targets = torch.tensor([0, 6, 2, 2, 5])
    torch.autograd.gradcheck(
        lambda *given: token_statistics(given[0], given[1], given[2], targets, temperature, piece=14, kept=kept),
        (states, weight, biases),
    )


@pytest.mark.parametrize("piece", [1, 40, 1 << 24])
def test_the_head_says_what_the_logits_say(piece):
    generator = torch.Generator().manual_seed(0)
    states, weight = torch.randn(9, 4, generator=generator), torch.randn(20, 4, generator=generator)
    targets = torch.randint(20, (9,), generator=generator)
    logprobs, entropies = token_statistics(states, weight, None, targets, 0.5, piece=piece)
    logits = (states @ weight.T).unsqueeze(0)
    assert_close(logprobs, token_logprobs(logits, targets.unsqueeze(0), 0.5)[0])
    assert_close(entropies, entropy(logits, 0.5)[0])
    assert torch.equal(target_logprobs(states, weight, None, targets, 0.5, piece=piece), logprobs)


def test_under_autocast_products_are_bfloat16_and_results_float32():
    states, weight = torch.randn(6, 32), torch.randn(11, 32, requires_grad=True)
    targets = torch.arange(6)
    with torch.autocast("cpu", torch.bfloat16):
        logprobs, entropies = token_statistics(states, weight, None, targets, 1.0)
        logits = torch.nn.functional.linear(states, weight)
    assert logits.dtype == torch.bfloat16
    assert logprobs.dtype == entropies.dtype == torch.float32
    assert_close(logprobs, token_logprobs(logits.unsqueeze(0), targets.unsqueeze(0))[0])
    logprobs.sum().backward()
    assert weight.grad.dtype == torch.float32


# --- decoding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingConfig(max_new_tokens=8),
        SamplingConfig(max_new_tokens=8, temperature=0.7, top_k=4, top_p=0.8),
        SamplingConfig(max_new_tokens=1),
    ],
)
@pytest.mark.parametrize("seed", [None, 3, 4])
def test_the_tokens_are_those_of_transformers_generate(policy, sampling, seed, monkeypatch):
    ours = generate(policy, records(), sampling, CPU, seed)
    monkeypatch.setattr(decoding, "_by_decoding", decoding._by_transformers)
    monkeypatch.setattr(torch, "multinomial", lambda p, num_samples: draw(p, torch.rand(len(p))).unsqueeze(-1))
    theirs = generate(policy, records(), sampling, CPU, seed)
    assert torch.equal(ours.tokens_BS * ours.attention_BS, theirs.tokens_BS * theirs.attention_BS)
    assert ours.texts == theirs.texts
    if seed is not None and sampling.max_new_tokens > 1:
        assert not ours.mask_BT.all(), "some row must end early, or leaving is not tested"


def test_tokens_are_drawn_as_often_as_they_are_probable_and_never_where_they_are_not():
    p = torch.tensor([0.0, 0.1, 0.0, 0.6, 0.3, 0.0])
    uniform = torch.cat(
        [torch.rand(40_000, generator=torch.Generator().manual_seed(0)), torch.tensor([0.0, 1 - 2**-24])]
    )
    found = draw(p.expand(len(uniform), -1), uniform).bincount(minlength=6)
    assert found[[0, 2, 5]].sum() == 0
    assert_close(found / len(uniform), p, atol=0.01, rtol=0)  # four standard deviations


def test_prepacked_weights_give_the_same_products_and_leave_no_trace(tmp_path, tiny_child):
    lm = Policy(write_llama(tmp_path / "llama", tiny_child)).lm
    tokens = torch.tensor([[2, 3, 4], [5, 6, 2]])
    linear = [each for each in lm.modules() if type(each) is torch.nn.Linear]
    with torch.no_grad():
        expected = lm(tokens).logits
        with prepacked(lm, 2, 24):
            assert all("forward" in vars(each) for each in linear)
            assert_close(lm(tokens).logits, expected, atol=1e-5, rtol=1e-5)
            lm.lm_head.weight.add_(1.0)
            assert_close(lm(tokens).logits, expected, atol=1e-5, rtol=1e-5)
    assert not any("forward" in vars(each) for each in linear)
    with prepacked(lm, 2, 1):
        assert not any("forward" in vars(each) for each in linear), "one product does not pay for the copy"


def test_a_prompt_is_read_once_and_ended_rows_are_computed_no_further(tiny_child, monkeypatch):
    policy, shapes = Policy(tiny_child), []
    forward = policy.next_logits
    monkeypatch.setattr(
        policy, "next_logits", lambda tokens, *rest: shapes.append(tokens.shape) or forward(tokens, *rest)
    )
    rollout = generate(policy, records(), SamplingConfig(max_new_tokens=8), CPU, seed=3)
    assert shapes[0][0] == len(PROMPTS)
    width = rollout.mask_BT.shape[1]
    assert [rows for rows, _ in shapes[1:]] == [int(rollout.mask_BT[:, t].sum()) for t in range(1, width)]
    assert min(rows for rows, _ in shapes[1:]) < 12


# --- memory, and passes that are not needed -------------------------------------------------------------------------


def test_checkpointed_layers_give_the_same_gradient_and_keep_dropout_off(tiny_child):
    from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

    plain, again, calls = Policy(tiny_child), Policy(tiny_child, gradient_checkpointing=True), []
    for module in again.lm.modules():
        if isinstance(module, GPT2Attention):
            module.register_forward_hook(lambda *_: calls.append(1))
    _, _, expected = loss_and_gradient(plain, plain.evaluate, 1.0)
    _, _, found = loss_and_gradient(again, again.evaluate, 1.0)
    assert len(calls) == 2 * 2, "each of two layers, forwards and again"
    for name, gradient in expected.items():
        assert_close(found[name], gradient, atol=1e-6, rtol=1e-5, msg=name)
    with torch.no_grad():
        again.evaluate(*batch(), 1.0)
    assert len(calls) == 2 * 3


def test_micro_batches_hold_as_many_tokens_as_they_may():
    from pgsrm_lightning.rollout.experience import Budget, split_rows

    budget = Budget(20, families=[0, 1, 0, 1, 0], prompts=[8, 4, 8, 4, 8], responses=[5, 2, 4, 9, 30])
    parts = split_rows(torch.arange(5), 1, None, budget)
    # 8 + 4 + 5 fit, 30 stand alone, 4 + 2 + 9 fit
    assert [part.tolist() for part in parts[0]] == [[2, 0], [4], [1, 3]]
    two = split_rows(torch.tensor([4, 3, 2, 1, 0]), 2, None, budget)
    assert [[part.tolist() for part in parts] for parts in two] == [[[2], [4], [3]], [[0, 1]]]
