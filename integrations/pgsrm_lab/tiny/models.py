"""Tiny GPT-2 models, made on the spot, and the supervised training that gives them knowledge."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from pgsrm_plugin.errors import PgsrmError

EOS = "<|endoftext|>"
PAD = "<|pad|>"


@dataclass(frozen=True)
class Size:
    """The shape of a GPT-2."""

    layers: int
    width: int
    heads: int = 4


def train_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained until every word of ``texts`` is one token; any text survives encoding and decoding.

    What all texts begin with becomes one token: it carries no information, and tiny models need not spend time on it.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=1,
        special_tokens=[EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    shared = os.path.commonprefix(list(texts)).rstrip()  # noqa: RUF071 - characters, not path components
    bpe.add_tokens([shared] if shared else [])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=EOS, pad_token=PAD, padding_side="left")


def new_model(tokenizer: PreTrainedTokenizerFast, size: Size, seed: int, positions: int = 64) -> GPT2LMHeadModel:
    """A freshly initialised GPT-2 whose vocabulary is the tokenizer's, for sequences of so many tokens."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=positions,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return GPT2LMHeadModel(config)


def save(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes a folder that ``from_pretrained`` reads."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def encode_pairs(
    tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], answers: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and labels, each (B, T); the answer follows its prompt after a space, then EOS."""
    prompt_lengths = [len(ids) for ids in tokenizer(list(prompts))["input_ids"]]
    texts = [f"{prompt} {answer}{EOS}" for prompt, answer in zip(prompts, answers, strict=True)]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    labels_BT = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for row, length in enumerate(prompt_lengths):
        labels_BT[row, :length] = -100
    return batch["input_ids"], batch["attention_mask"], labels_BT


@torch.inference_mode()
def generate(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], new_tokens: int, sample: bool
) -> list[tuple[str, str]]:
    """Each prompt's answer and why it ended: ``"stop"`` (EOS) or ``"length"``."""
    model.eval()
    batch = tokenizer(list(prompts), return_tensors="pt", padding=True)
    ids_BT = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=new_tokens,
        do_sample=sample,
        top_k=0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    new_BT = ids_BT[:, batch["input_ids"].shape[1] :]
    ended = (new_BT == tokenizer.eos_token_id).any(dim=1).tolist()
    texts = [text.strip() for text in tokenizer.batch_decode(new_BT, skip_special_tokens=True)]
    return [(text, "stop" if end else "length") for text, end in zip(texts, ended, strict=True)]


def chances(
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    answers: Sequence[str],
) -> list[float]:
    """For each pair, the probability that sampling at temperature 1 gives exactly the answer and then EOS."""
    ids_BT, mask_BT, labels_BT = encode_pairs(tokenizer, prompts, answers)
    model.eval()
    with torch.inference_mode():
        logits_BTV = model(input_ids=ids_BT, attention_mask=mask_BT).logits[:, :-1].float()
    targets_BT = labels_BT[:, 1:]
    kept_BT = targets_BT != -100
    logprobs_BT = logits_BTV.log_softmax(-1).gather(-1, targets_BT.clamp(min=0)[..., None])[..., 0]
    found: list[float] = (logprobs_BT * kept_BT).sum(dim=1).exp().tolist()
    return found


def sampled_accuracy(
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    answers: Sequence[str],
) -> float:
    """The mean of :func:`chances`."""
    found = chances(model, tokenizer, prompts, answers)
    return sum(found) / len(found)


def train_supervised(
    model: GPT2LMHeadModel,
    data: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    lr: float,
    until: Callable[[], bool],
    max_steps: int = 2000,
    batch: int = 32,
    every: int = 3,
    seed: int = 0,
) -> int:
    """Supervised steps on random rows until ``until()`` holds, which is asked every so many steps; returns how many.

    The rows' order is a function of ``seed``.

    Raises:
        PgsrmError: it does not hold after ``max_steps``.
    """
    ids_BT, mask_BT, labels_BT = data
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    for step in range(1, max_steps + 1):
        model.train()
        rows = torch.randperm(len(ids_BT), generator=generator)[:batch]
        loss = model(input_ids=ids_BT[rows], attention_mask=mask_BT[rows], labels=labels_BT[rows]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % every == 0 and until():
            return step
    raise PgsrmError(f"the supervised run did not reach its goal in {max_steps} steps")
