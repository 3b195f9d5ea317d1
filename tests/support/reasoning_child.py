"""A llama of random, sharply drawn weights whose tokenizer joins marks with what stands beside them."""

from __future__ import annotations

from pathlib import Path

TEXTS = [
    "2 + 2 is four, so <answer>(four).</answer>",
    "<think>red and blue make purple</think> purple",
    "one <answer>blue</answer> two <answer>(red).</answer>",
]


def write_reasoning_child(folder: Path, seed: int = 0) -> str:
    """``>(`` and ``.</`` are tokens of their own, as they are of GPT-2 and Qwen, and ``purple`` is several."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from pgsrm_lab.tiny.models import train_tokenizer

    tokenizer = train_tokenizer(TEXTS)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
