"""TRL's GRPOTrainer and ours on one batch: the same loss, the same gradient.

What is set so that both mean the same: ``loss_type="bnpo"`` is the mean over all tokens of the batch, as ours; TRL's
default (``dapo``) is that too, over one accumulation. Conventions that differ: TRL divides advantages by the sample's
standard deviation plus 1e-4, ours by the population's plus 1e-8, and they are 0 within ``noise``; TRL's default has no
KL, and where it has one, multiplies it by the ratio, whose gradient counts even where it is 1 (off here:
``use_bias_correction_kl``); TRL counts the padding on the left as positions, which rotary positions do not notice, and
gpt2's do.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from real_child import needs_real_child, write_llama
from torch.testing import assert_close

from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.grpo import GRPOConfig
from pgsrm_lightning.config import ImportanceSamplingConfig
from pgsrm_lightning.losses import masked_sum
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_lightning.rollout.mismatch import corrected
from pgsrm_plugin.pretrained import embedded

pytest.importorskip("trl")
CPU, PROMPT, WIDTH = torch.device("cpu"), 6, 5


def batch(vocabulary: int):
    """Eight rows of two prompts, padded on both sides; responses of one to five tokens."""
    generator = torch.Generator().manual_seed(5)
    tokens_BS = torch.randint(2, vocabulary, (8, PROMPT + WIDTH), generator=generator)
    attention_BS = torch.ones(8, PROMPT + WIDTH, dtype=torch.long)
    for row, length in enumerate((5, 1, 3, 5, 2, 4, 5, 1)):
        tokens_BS[row, :PROMPT] = tokens_BS[row // 4 * 4, :PROMPT]
        attention_BS[row, : 2 * (row // 4)] = 0
        attention_BS[row, PROMPT + length :] = 0
    return tokens_BS, attention_BS, torch.tensor([1.5, -0.5, -1.2, 0.2, 0.7, -1.3, 1.1, -0.5])


@pytest.fixture(params=["a small llama", pytest.param("the real child", marks=needs_real_child)])
def child(request, tiny_child, tmp_path):
    folder = tmp_path / "child"
    if request.param == "a small llama":
        return write_llama(folder, tiny_child)
    Policy(embedded.MODEL, value_head=False).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("old", ["the same policy's", "another's", "drawn by an engine"])
def test_loss_and_gradient_are_trls(child, old, tmp_path):
    from datasets import Dataset
    from trl import GRPOConfig as TrlConfig
    from trl import GRPOTrainer

    policy = Policy(child, value_head=False)
    temperature, kl = 0.9, 0.04
    tokens_BS, attention_BS, advantages_B = batch(policy.lm.get_input_embeddings().num_embeddings)
    with torch.no_grad():  # a policy that has moved from its reference, in both
        for parameter in policy.lm.parameters():
            parameter.add_(0.02 * parameter.abs().mean() * torch.randn(parameter.shape, generator=torch.manual_seed(1)))
    mask_BT = attention_BS[:, PROMPT:].bool()
    reference_BT = policy.reference_logprobs(tokens_BS, attention_BS, WIDTH, temperature)
    now = policy.evaluate(tokens_BS, attention_BS, WIDTH, temperature)
    away_BT = torch.linspace(-0.4, 0.4, mask_BT.numel()).view_as(mask_BT) if old == "another's" else 0.0
    old_BT = now.logprobs_BT.detach() + away_BT

    algorithm = GRPOConfig(kl=KLConfig(coef=kl, schedule="fixed")).build()
    zeros_BT = torch.zeros_like(old_BT)
    advantages_BT = advantages_B.unsqueeze(-1).expand_as(old_BT)
    seen = (old_BT, reference_BT, zeros_BT, zeros_BT, advantages_BT, zeros_BT)
    then = Experience(tokens_BS, attention_BS, mask_BT, *seen)
    if old == "drawn by an engine":
        ratios_BT = torch.linspace(0.2, 4.0, mask_BT.numel()).view_as(mask_BT)
        then = replace(then, sampler_logprobs_BT=old_BT - ratios_BT.log())
        then = corrected(then, ImportanceSamplingConfig(cap=2.0), Meter(CPU))
    ours = masked_sum(algorithm.loss(now, then, kl, Meter(CPU)), mask_BT) / mask_BT.sum()
    ours.backward()

    settings = TrlConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=WIDTH,
        temperature=temperature,
        beta=kl,
        loss_type="bnpo",
        use_bias_correction_kl=False,
        epsilon=algorithm.config.clip,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_dropout=True,
        model_init_kwargs={"dtype": "float32"},
    )
    rows = Dataset.from_list([{"prompt": "red"}] * 8)
    trainer = GRPOTrainer(model=child, reward_funcs=lambda **_: [], args=settings, train_dataset=rows)
    trainer.current_gradient_accumulation_steps = 1  # which train() would set
    trainer.model.load_state_dict(policy.lm.state_dict())
    trainer.model.train()
    inputs = {
        "prompt_ids": tokens_BS[:, :PROMPT],
        "prompt_mask": attention_BS[:, :PROMPT],
        "completion_ids": tokens_BS[:, PROMPT:],
        "completion_mask": attention_BS[:, PROMPT:],
        "advantages": advantages_B,
        "ref_per_token_logps": reference_BT,
        "num_items_in_batch": mask_BT.sum(),
        **({} if old == "the same policy's" else {"old_per_token_logps": old_BT}),
    }
    if old == "drawn by an engine":
        trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
        inputs["importance_sampling_ratio"] = ratios_BT.clamp(max=2.0)
    theirs = trainer._compute_loss(trainer.model, inputs)
    theirs.backward()

    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    assert abs(ours.item()) > 1e-3
    of_trl = {name: parameter.grad for name, parameter in trainer.model.named_parameters()}
    norm = torch.stack([gradient.norm() for gradient in of_trl.values()]).norm()
    assert norm > 0.1
    for name, parameter in policy.lm.named_parameters():
        assert_close(parameter.grad / norm, of_trl[name] / norm, atol=1e-5, rtol=0, msg=name)
