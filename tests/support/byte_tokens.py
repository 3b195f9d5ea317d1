"""A tokenizer of single bytes."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, so a Chinese character is three."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    one = Tokenizer(models.BPE({"<eos>": 0, **{letter: i + 1 for i, letter in enumerate(alphabet)}}, []))
    one.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    one.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=one, eos_token="<eos>")
