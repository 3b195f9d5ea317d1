"""The child: a causal language model, its value head, and the frozen reference that KL is measured from.

Shape suffixes: ``B`` rows, ``S`` tokens of prompt and response together, ``T`` response tokens, ``D`` hidden size.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase
from transformers.modeling_layers import GradientCheckpointingLayer

from pgsrm_lightning.config import LoraConfig
from pgsrm_lightning.losses import entropy, token_logprobs
from pgsrm_lightning.packed.attention import KEY, NAME
from pgsrm_lightning.packed.head import soft_values, target_logprobs, token_statistics
from pgsrm_lightning.packed.rows import PackedRows, pack, side_by_side
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.pretrained.dequantised import ORIGIN
from pgsrm_plugin.pretrained.embedded import advice, resolve


@dataclass(frozen=True)
class Evaluation:
    """What the policy says about the tokens of given responses.

    Attributes:
        logprobs_BT, entropy_BT: float32, in nats.
        values_BT: the expected return before each token; None without a value head.
    """

    logprobs_BT: Tensor
    entropy_BT: Tensor
    values_BT: Tensor | None


class Policy(nn.Module):
    """A Hugging Face causal LM with an optional value head.

    The model stays in eval mode: dropout would make the ratio of new to old probability differ from 1 before any
    update. The reference is a frozen copy that is no submodule, so no optimizer and no checkpoint sees it; with LoRA it
    is the model itself with its adapters switched off, and nothing is copied.

    Attributes:
        packs: whether rows are evaluated without padding and a prompt once; not for every architecture.
        origin: what the child's weights are, for a report: ``child``, or where its weights were dequantised from.

    Args:
        child: folder or hub id, or a ``.gguf`` file, which is dequantised first (:mod:`pgsrm_plugin.pretrained`).
        revision: commit of the hub repository.
        value_head: whether to add a linear value head on the last hidden state. It starts at zero.
        reference: whether :meth:`reference_logprobs` will be asked for; without it no copy is made.
        gradient_checkpointing: compute each layer again in the backward pass instead of keeping what it computed.

    Raises:
        SpecError: the child cannot be loaded, or its tokenizer does not fit it.
    """

    def __init__(
        self,
        child: str,
        revision: str | None = None,
        lora: LoraConfig | None = None,
        value_head: bool = True,
        *,
        reference: bool = True,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.lm, self.tokenizer = _load(child, revision)
        self.origin: str = getattr(self.lm.config, ORIGIN, None) or child
        self.context = getattr(self.lm.config, "max_position_embeddings", None) or 2**31
        self.eos_ids = _eos_ids(self.lm, self.tokenizer, child)
        pad = self.tokenizer.pad_token_id
        self.pad_id = self.eos_ids[0] if pad is None else pad
        hidden_size = self.lm.config.get_text_config().hidden_size
        # The hub's defaults (repetition penalty, top_k ...) would sample from another distribution than is learned.
        self.lm.generation_config = GenerationConfig(eos_token_id=list(self.eos_ids), pad_token_id=self.pad_id)
        if lora is not None:
            self.lm = _with_adapters(self.lm, lora)
        self.value_head = _zero_linear(hidden_size) if value_head else None
        parameters = inspect.signature(self.lm.get_base_model().forward if lora else self.lm.forward).parameters
        self._keeps_logits = "logits_to_keep" in parameters
        self.eval()
        self.packs = self._can_pack()
        self._plain = [copy.deepcopy(self.lm).requires_grad_(False).eval()] if reference and lora is None else []
        self._recomputed: list[nn.Module] = []
        if gradient_checkpointing:
            if not self.lm.supports_gradient_checkpointing:
                raise SpecError(f"child {child!r}: its architecture has no gradient checkpointing; leave it off")
            self.lm.gradient_checkpointing_enable({"use_reentrant": False})
            self._recomputed = [each for each in self.lm.modules() if isinstance(each, GradientCheckpointingLayer)]

    def train(self, mode: bool = True) -> Policy:
        """Sets the mode of the value head; the language model stays in eval mode."""
        super().train(mode)
        self.lm.eval()
        return self

    def evaluate(
        self,
        tokens_BS: Tensor,
        attention_BS: Tensor,
        width: int,
        temperature: float,
        skipped: Sequence[int] | None = None,
    ) -> Evaluation:
        """Log-probability and entropy of the last ``width`` tokens of each row, and the values before them.

        Rows are packed where the architecture allows it (:mod:`pgsrm_lightning.packed`); what lies past a response's
        end is then 0.

        Args:
            skipped: of each row the first of those tokens that nothing is asked about, which saves their logits.
        """
        with self._recomputing():
            if self.packs:
                packed = pack(tokens_BS, attention_BS, width, skipped)
                return self._evaluate_packed(self.lm, packed, temperature, self.value_head)
            return self.evaluate_padded(tokens_BS, attention_BS, width, temperature)

    def evaluate_padded(self, tokens_BS: Tensor, attention_BS: Tensor, width: int, temperature: float) -> Evaluation:
        """The same, each row with its own copy of the prompt and its padding: what :meth:`evaluate` must agree with."""
        out = self._forward(self.lm, tokens_BS, attention_BS, width, states=self.value_head is not None)
        logits_BTV = out.logits[:, -width:]
        values_BT = None
        if self.value_head is not None:
            states_BTD = out.hidden_states[-1][:, -width:]
            values_BT = self.value_head(states_BTD.to(self.value_head.weight.dtype)).squeeze(-1).float()
        logprobs_BT = token_logprobs(logits_BTV, tokens_BS[:, -width:], temperature)
        return Evaluation(logprobs_BT, entropy(logits_BTV, temperature), values_BT)

    @torch.no_grad()
    def last_states(self, tokens_BS: Tensor, attention_BS: Tensor, width: int) -> Tensor:
        """The last hidden state before each row's last token, (B, D): of prompt and response but for their end."""
        if self.packs:
            packed = pack(tokens_BS, attention_BS, width)
            states_MD = self._packed_states(self.lm, packed)
            flat = states_MD.new_zeros(packed.shape[0] * packed.shape[1], states_MD.shape[1])
            states_BTD = flat.index_copy(0, packed.places_M, states_MD).view(*packed.shape, -1)
        else:
            out = self._forward(self.lm, tokens_BS, attention_BS, width, states=True)
            states_BTD = out.hidden_states[-1][:, -width:]
        last_B = (attention_BS[:, -width:].sum(-1) - 1).clamp(min=0)
        return states_BTD[torch.arange(len(last_B), device=last_B.device), last_B]

    @torch.no_grad()
    def soft_values(
        self, tokens_BS: Tensor, attention_BS: Tensor, width: int, temperature: float
    ) -> tuple[Tensor, Tensor]:
        r"""The logits of the last ``width`` tokens, and the soft maxima of all there were, (B, T) float32 each.

        The soft maximum is :math:`\tau \log \sum \exp (z / \tau)`. Past a response's end packed rows have 0.
        """
        if self.packs:
            packed = pack(tokens_BS, attention_BS, width)
            states_MD, head = self._packed_states(self.lm, packed), _head(self.lm)
            chosen_M, soft_M = soft_values(states_MD, head.weight, head.bias, packed.targets_M, temperature)
            return packed.unpack(chosen_M), packed.unpack(soft_M)
        logits_BTV = self._forward(self.lm, tokens_BS, attention_BS, width, states=False).logits[:, -width:].float()
        chosen_BT = logits_BTV.gather(-1, tokens_BS[:, -width:].unsqueeze(-1)).squeeze(-1)
        return chosen_BT, temperature * (logits_BTV / temperature).logsumexp(-1)

    @torch.no_grad()
    def reference_logprobs(self, tokens_BS: Tensor, attention_BS: Tensor, width: int, temperature: float) -> Tensor:
        """Log-probabilities of the last ``width`` tokens under the frozen reference, (B, T)."""
        if not self.packs:
            return self.evaluate_reference(tokens_BS, attention_BS, width, temperature).logprobs_BT
        packed = pack(tokens_BS, attention_BS, width)
        with self._reference(tokens_BS.device) as reference:
            states_MD, head = self._packed_states(reference, packed), _head(reference)
            return packed.unpack(target_logprobs(states_MD, head.weight, head.bias, packed.targets_M, temperature))

    @torch.no_grad()
    def evaluate_reference(
        self,
        tokens_BS: Tensor,
        attention_BS: Tensor,
        width: int,
        temperature: float,
        skipped: Sequence[int] | None = None,
    ) -> Evaluation:
        """What :meth:`evaluate` gives, under the frozen reference and without values."""
        with self._reference(tokens_BS.device) as reference:
            if self.packs:
                packed = pack(tokens_BS, attention_BS, width, skipped)
                return self._evaluate_packed(reference, packed, temperature, None)
            logits_BTV = self._forward(reference, tokens_BS, attention_BS, width, states=False).logits[:, -width:]
        logprobs_BT = token_logprobs(logits_BTV, tokens_BS[:, -width:], temperature)
        return Evaluation(logprobs_BT, entropy(logits_BTV, temperature), None)

    def logprobs_of(self, sequences: Sequence[Tensor], first: Sequence[int]) -> Tensor:
        """Log-probabilities of the tokens of each sequence from its ``first`` on, one sequence after the other, (M,).

        The sequences stand side by side without padding and do not see each other, where the architecture allows it.

        Args:
            sequences: token ids, each (S,), on the policy's device.
            first: at least 1.
        """
        with self._recomputing():
            if self.packs:
                return self._evaluate_packed(self.lm, side_by_side(sequences, first), 1.0, None).logprobs_BT[0]
            tokens_BS = nn.utils.rnn.pad_sequence(list(sequences), batch_first=True, padding_value=self.pad_id)
            places_S = torch.arange(tokens_BS.shape[1], device=tokens_BS.device)
            ends_B = torch.tensor([len(each) for each in sequences], device=tokens_BS.device)
            starts_B = torch.tensor(list(first), device=tokens_BS.device)
            seen_BS = (places_S < ends_B[:, None]).long()
            learned_BT = (seen_BS.bool() & (places_S >= starts_B[:, None]))[:, 1:]
            logprobs_BT = self.evaluate_padded(tokens_BS, seen_BS, tokens_BS.shape[1] - 1, 1.0).logprobs_BT
            return logprobs_BT[learned_BT]

    def next_logits(self, tokens_BS: Tensor, attention_BS: Tensor, positions_BS: Tensor, cache: Any) -> Any:
        """The model's output for tokens that go on from a cache of keys and values; logits of the last token alone."""
        keep = {"logits_to_keep": 1} if self._keeps_logits else {}
        return self.lm(
            input_ids=tokens_BS,
            attention_mask=attention_BS,
            position_ids=positions_BS,
            past_key_values=cache,
            use_cache=True,
            **keep,
        )

    def save_pretrained(self, folder: str | Path, merge: bool = False) -> None:
        """Writes the child (with LoRA: its adapters) and its tokenizer in the Hugging Face layout.

        The generation config keeps only what ends a response: the hub's sampling defaults were not trained with.

        Args:
            merge: add adapters to the weights of a copy, and write that: a whole model.
        """
        adapted = merge and hasattr(self.lm, "merge_and_unload")
        (copy.deepcopy(self.lm).merge_and_unload() if adapted else self.lm).save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _evaluate_packed(
        self, lm: Any, packed: PackedRows, temperature: float, value_head: nn.Linear | None
    ) -> Evaluation:
        states_MD = self._packed_states(lm, packed)
        head = _head(lm)
        logprobs_M, entropy_M = token_statistics(states_MD, head.weight, head.bias, packed.targets_M, temperature)
        values_BT = None
        if value_head is not None:
            values_BT = packed.unpack(value_head(states_MD.to(value_head.weight.dtype)).squeeze(-1).float())
        return Evaluation(packed.unpack(logprobs_M), packed.unpack(entropy_M), values_BT)

    def _packed_states(self, lm: Any, packed: PackedRows) -> Tensor:
        """The last hidden state before each response token, (M, D)."""
        base = lm.get_base_model() if hasattr(lm, "get_base_model") else lm
        states_MD: Tensor = base.base_model(
            input_ids=packed.tokens_N.unsqueeze(0),
            position_ids=packed.positions_N.unsqueeze(0),
            attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=packed.tokens_N.device),  # so none is made
            use_cache=False,
            **{KEY: packed.families},
        ).last_hidden_state[0, packed.before_M]
        return states_MD

    @torch.no_grad()
    def _can_pack(self) -> bool:
        """Whether packed rows give what padded ones give, tried on a few; else the attention stays as it was."""
        lm = self.lm.get_base_model() if hasattr(self.lm, "get_base_model") else self.lm
        config, usual = lm.config.get_text_config(), lm.config._attn_implementation
        windows = getattr(config, "sliding_window", None), getattr(config, "attention_chunk_size", None)
        plain_head = type(lm.get_output_embeddings()) is nn.Linear
        if usual != "sdpa" or not plain_head or any(window is not None for window in windows):
            return False
        generator = torch.Generator().manual_seed(0)
        rows = min(lm.get_input_embeddings().num_embeddings, 2**15)
        tokens_BS = torch.randint(rows, (4, 8), generator=generator)
        tokens_BS[2, :5] = tokens_BS[0, :5]
        ends = ((2, 8), (0, 8), (2, 6), (4, 7))
        attention_BS = torch.tensor([[int(first <= s < end) for s in range(8)] for first, end in ends])
        arguments = (tokens_BS, attention_BS, 3, 1.0)
        expected = self.evaluate_padded(*arguments)
        try:
            lm.set_attn_implementation(NAME)
            found = self._evaluate_packed(self.lm, pack(*arguments[:3]), 1.0, self.value_head)
            same = (found.logprobs_BT - expected.logprobs_BT).abs()[attention_BS[:, -3:].bool()].max() < 1e-3
        except (AttributeError, TypeError, ValueError, RuntimeError):  # whatever an architecture makes of it
            same = torch.tensor(False)
        if not same:
            lm.set_attn_implementation(usual)
        return bool(same)

    def _forward(self, lm: nn.Module, tokens_BS: Tensor, attention_BS: Tensor, width: int, states: bool) -> Any:
        attention_BS = attention_BS[:, :-1]
        keep = {"logits_to_keep": width} if self._keeps_logits else {}
        return lm(
            input_ids=tokens_BS[:, :-1],
            attention_mask=attention_BS,
            position_ids=(attention_BS.long().cumsum(-1) - 1).clamp(min=0),
            output_hidden_states=states,
            use_cache=False,
            **keep,
        )

    @contextlib.contextmanager
    def _recomputing(self) -> Iterator[None]:
        """transformers checkpoints layers in training mode only: they get it, what is in them (dropout) does not."""
        layers = self._recomputed if torch.is_grad_enabled() else []
        for layer in layers:
            layer.training = True
        try:
            yield
        finally:
            for layer in layers:
                layer.training = False

    @contextlib.contextmanager
    def _reference(self, device: torch.device) -> Iterator[nn.Module]:
        if self._plain:
            yield self._plain[0].to(device)
        else:
            with self.lm.disable_adapter():
                yield self.lm


def _head(lm: Any) -> nn.Linear:
    head: nn.Linear = (lm.get_base_model() if hasattr(lm, "get_base_model") else lm).get_output_embeddings()
    return head


def _load(child: str, revision: str | None) -> tuple[Any, PreTrainedTokenizerBase]:
    if child.startswith(("/", "./", "../", "~")) and not Path(child).expanduser().exists():
        raise SpecError(f"child {child!r}: there is no such folder")
    where = resolve(str(Path(child).expanduser()) if child.startswith("~") else child, revision)
    try:
        lm = AutoModelForCausalLM.from_pretrained(where, revision=revision, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(where, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SpecError(
            f"child {child!r} cannot be loaded as a causal language model: {reason} "
            f"(give a folder, or a hub id that this machine can reach or has cached{advice(child)})"
        ) from None
    rows = lm.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise SpecError(f"child {child!r}: its tokenizer has {len(tokenizer)} tokens, but its model only {rows}")
    return lm, tokenizer


def _eos_ids(lm: Any, tokenizer: PreTrainedTokenizerBase, child: str) -> tuple[int, ...]:
    """The ids that end a response: the tokenizer's and those of the model's generation config."""
    configured = getattr(lm.generation_config, "eos_token_id", None)
    configured = configured if isinstance(configured, list) else [configured]
    ids = [token for token in (tokenizer.eos_token_id, *configured) if token is not None]
    if not ids:
        raise SpecError(f"child {child!r}: its tokenizer has no end-of-text token, so no response could end")
    return tuple(dict.fromkeys(ids))


def _with_adapters(lm: nn.Module, lora: LoraConfig) -> nn.Module:
    import peft

    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=lora.r, lora_alpha=lora.alpha, target_modules=lora.target_modules, lora_dropout=0.0
    )
    try:
        return peft.get_peft_model(lm, config)
    except ValueError as error:
        raise SpecError(f"lora: {str(error).strip().splitlines()[0]}") from None


def _zero_linear(hidden_size: int) -> nn.Linear:
    head = nn.Linear(hidden_size, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
