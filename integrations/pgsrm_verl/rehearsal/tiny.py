"""Tiny stand-ins made on the spot: a random model of a given family and, if need be, a tokenizer for some texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

FAMILIES = ("qwen3", "qwen2", "llama", "mistral", "gemma2", "gemma", "phi3", "olmo2", "granite", "gpt2")
"""Model types that a model's name is searched for, the first match wins (so the longer name stands first)."""

_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "n_inner": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "moe_intermediate_size": 64,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "max_window_layers": 2,
}
_DROPPED = ("layer_types", "quantization_config", "architectures", "transformers_version", "dtype", "torch_dtype")


def family_of(name: str) -> str | None:
    """The model type that a model's name or path points to, e.g. "Qwen/Qwen2.5-7B" -> "qwen2"; None if unknown."""
    squeezed = "".join(character for character in name.lower() if character.isalnum())
    found = next((family for family in FAMILIES if family in squeezed), None)
    return "qwen2" if found is None and "qwen" in squeezed else found


def tiny_config(source: Any, tokenizer: Any, positions: int) -> Any:
    """A config of the same model type with two narrow layers and exactly the tokenizer's vocabulary.

    Args:
        source: a transformers config of a decoder-only model.
        tokenizer: its ids and special tokens are taken over.
        positions: the longest sequence, in tokens.
    """
    known = source.to_dict()
    names = {**{name: name for name in known}, **source.attribute_map}
    sizes = {name: size for name, size in _SIZES.items() if known.get(names.get(name, "")) is not None}
    settings = {name: value for name, value in source.to_diff_dict().items() if name not in _DROPPED}
    for name in sizes:
        settings.pop(names[name], None)
    for name in ("max_position_embeddings", "n_positions"):
        settings.pop(name, None)
    settings |= sizes | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": positions,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    settings.pop("model_type", None)
    return type(source)(**settings)


def save_tiny_model(folder: Path, source: Any, tokenizer: Any, positions: int = 512, seed: int = 0) -> int:
    """Writes a random model and its tokenizer to a folder that ``from_pretrained`` reads; returns its parameters."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    config = tiny_config(source, tokenizer, positions)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    noisy = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    if noisy:
        logging.enable_progress_bar()
    tokenizer.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def train_tokenizer(texts: Iterable[str], vocabulary: int = 512) -> Any:
    """A byte-level BPE tokenizer with a chat template, trained on the texts; it can spell anything."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast
