"""Encoders in a trainer's process: loaded whole under DeepSpeed ZeRO-3, and each rank's on its own GPU."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel
from transformers.integrations import deepspeed
from wordpiece import wordpiece

from pgsrm_plugin.encoders.entailment import CrossEncoderSpec
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.beside_trainer import auto_device

SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


class ZeroThree:
    """As much of a trainer's DeepSpeed config as transformers asks."""

    def __init__(self) -> None:
        self.config = {"zero_optimization": {"stage": 3}}

    def is_zero3(self) -> bool:
        return True


@pytest.fixture
def zero3():
    config = ZeroThree()
    deepspeed.set_hf_deepspeed_config(config)
    yield config
    deepspeed.unset_hf_deepspeed_config()


def write(folder, kind, **more):
    tokenizer = wordpiece(["red and blue"], 40)
    torch.manual_seed(0)
    kind(BertConfig(vocab_size=40, pad_token_id=0, max_position_embeddings=40, **SIZES, **more)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_an_encoder_is_loaded_whole_under_zero3_which_stays(tmp_path, zero3):
    folder = write(tmp_path / "model", BertModel)
    with pytest.raises(ModuleNotFoundError, match="deepspeed"):  # what parts the weights
        BertModel.from_pretrained(folder)
    parted = HfEncoderSpec(kind="hf", model=folder).build().encode(["red", "blue"])
    assert deepspeed.deepspeed_config() is zero3.config
    deepspeed.unset_hf_deepspeed_config()
    assert torch.equal(
        parted.vectors_ND, HfEncoderSpec(kind="hf", model=folder).build().encode(["red", "blue"]).vectors_ND
    )


def test_a_cross_encoder_too(tmp_path, zero3):
    labels = {0: "contradiction", 1: "entailment"}
    folder = write(tmp_path / "nli", BertForSequenceClassification, id2label=labels, num_labels=2)
    (found,) = CrossEncoderSpec(model=folder).build().judge([("red", "blue")])
    assert -100 < found.values[0] < 100
    assert deepspeed.is_deepspeed_zero3_enabled()


@pytest.mark.parametrize(
    ("gpus", "chosen", "rank", "device"),
    [
        (0, 0, "1", "cpu"),
        (2, 0, None, "cuda"),
        (2, 0, "0", "cuda:0"),
        (2, 0, "1", "cuda:1"),
        (2, 1, "0", "cuda"),
        (1, 0, "1", "cuda"),
    ],
)
def test_each_rank_has_its_own_gpu(monkeypatch, gpus, chosen, rank, device):
    """Before a trainer chooses a GPU; afterwards, and where a process sees only its own, the chosen one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: chosen)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert auto_device() == device
