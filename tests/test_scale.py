"""scripts/scale.py: its formulas against transformers' own models and by hand; its tables are the page's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from script_files import load_script
from transformers import AutoConfig, AutoModel

from pgsrm_plugin.encoders.hf.sharded import layers_of

ROOT = Path(__file__).parents[1]


scale = load_script("scale")


@pytest.mark.parametrize("net", scale.NETWORKS, ids=lambda net: net.name)
def test_parameters_are_those_of_the_real_architecture(net):
    shape = {"hidden_size": net.hidden, "intermediate_size": net.intermediate, "num_hidden_layers": net.layers}
    if net.gated:
        heads = {"num_attention_heads": net.heads, "num_key_value_heads": net.key_heads, "head_dim": net.head}
        config = AutoConfig.for_model("qwen3", vocab_size=net.vocabulary, **shape, **heads)
    else:
        config = AutoConfig.for_model("bert", vocab_size=net.vocabulary, num_attention_heads=12, **shape)
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    assert net.size.parameters == sum(p.numel() for p in model.parameters())
    assert net.layer == sum(p.numel() for p in layers_of(model)[0].parameters())


def test_time_by_hand():
    net = scale.Network("two", 2, 10, 20, 100, gated=False, dtype="float32")
    layer = 4 * 110 + 2 * 200 + 20 + 10 + 40
    assert net.layer == layer == 910
    assert net.flops(5, 7) == 5 * (2 * 2 * 910 + 4 * 2 * 10 * 7)
    machine = scale.Machine(flops=1e3, host_s=0, bandwidth=1e4, latency=0.5, overlap=False)
    # two ranks: one step of a ring, half of the bytes each
    assert machine.gather(4e4, 2) == pytest.approx(0.5 + 2.0)
    compute = net.flops(5, 7) / 1e3
    assert scale.forward(net, machine, 5, 7, 2, shard=False) == pytest.approx(compute)
    gathers = 2 * (0.5 + 910 * 4 / 2 / 1e4) + 0.5 + net.rest * 4 / 2 / 1e4
    assert scale.forward(net, machine, 5, 7, 2, shard=True) == pytest.approx(compute + gathers)


def test_from_the_free_batch_on_compute_covers_the_layers_gather():
    net, machine = scale.NETWORKS[2], scale.Machine(host_s=0)
    tokens = scale.free_batch(net, machine, 64)
    layers = net.layers * machine.gather(net.layer * net.element, 64)
    assert net.flops(tokens, scale.TOKENS_PER_TEXT) / machine.flops >= layers
    assert net.flops(tokens - 1, scale.TOKENS_PER_TEXT) / machine.flops < layers


@pytest.mark.parametrize("table", ["memory_table", "time_table"])
def test_the_page_has_the_tables_that_the_script_prints(table):
    page = (ROOT / "docs" / "design" / "scale.md").read_text(encoding="utf-8")
    assert "\n".join(getattr(scale, table)()) in page
