"""The real child, and a GGUF file small enough to make on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pgsrm_plugin.pretrained import embedded

needs_real_child = pytest.mark.skipif(
    embedded.installed_file() is None and not embedded.is_cached(embedded.MODEL),
    reason="SmolLM2-135M-Instruct is not there: `make real-child`",
)

WIDTH, VOCABULARY = 32, ["<|end|>", "<|pad|>", *(chr(c) for c in range(33, 127)), "Ġ", "12", "Ġa"]


def write_gguf(path: Path, architecture: str = "llama") -> np.ndarray:
    """A llama of one layer of width 32 whose embeddings are 4 bits wide; returns these as Q4_1 has them."""
    import gguf

    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(16)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([3, 3] + [1] * (len(VOCABULARY) - 2))
    writer.add_token_merges(["1 2", "Ġ a"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(1)
    shapes = {
        "token_embd": (len(VOCABULARY), WIDTH),
        "blk.0.attn_q": (WIDTH, WIDTH),
        "blk.0.attn_k": (16, WIDTH),
        "blk.0.attn_v": (16, WIDTH),
        "blk.0.attn_output": (WIDTH, WIDTH),
        "blk.0.ffn_gate": (64, WIDTH),
        "blk.0.ffn_up": (64, WIDTH),
        "blk.0.ffn_down": (WIDTH, 64),
    }
    four_bits = gguf.GGMLQuantizationType.Q4_1
    for name, shape in shapes.items():
        weight = random.normal(0.0, 0.1, shape).astype(np.float32)
        packed = gguf.quants.quantize(weight, four_bits)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=four_bits)
        if name == "token_embd":
            embeddings = gguf.quants.dequantize(packed, four_bits)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return embeddings


def write_llama(folder: Path, child: str, **more) -> str:
    """A llama whose queries share keys, beside the tokenizer of another child; ``more`` of its configuration."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 64}
    config = LlamaConfig(vocab_size=8, num_attention_heads=4, num_key_value_heads=2, **(shape | more))
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(child).save_pretrained(folder)
    return str(folder)
