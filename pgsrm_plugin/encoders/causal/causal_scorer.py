"""Log-probabilities of a causal language model that a spec names, of texts by tokens of its own.

Shape suffixes: ``B`` continuations, ``S`` their tokens, ``T`` tokens of the longest target, ``V`` vocabulary.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer

from pgsrm_plugin.encoders.causal.scorer_model import ScorerModel
from pgsrm_plugin.encoders.hf.beside_trainer import auto_device, loaded_whole
from pgsrm_plugin.encoders.hf.load import find_model, positions_of, quiet
from pgsrm_plugin.errors import DataError, ScorerError, SpecError
from pgsrm_plugin.policy.base import Continuation, PolicyTokens, TokenStatistics, Weights
from pgsrm_plugin.pretrained.embedded import resolve
from pgsrm_plugin.types import Prompt

_LOGITS = 1 << 26
"""Numbers of one pass's logits, at most, where several continuations go together: a quarter of a GiB."""


class CausalScorer:
    """Satisfies :class:`~pgsrm_plugin.policy.base.TextScorer` by transformers; no training stack is needed.

    A continuation's tokens are joined as they are. It is not a ``torch.nn.Module``, so a module that holds it neither
    trains, moves nor saves it.

    Raises:
        SpecError: the model cannot be found or loaded, or its tokenizer has no end-of-text token.
    """

    def __init__(self, spec: ScorerModel) -> None:
        self._lock = threading.Lock()
        self._spec = spec
        device = auto_device() if spec.device in (None, "auto") else spec.device
        self._device = torch.device(device)
        source = find_model(resolve(spec.model, spec.revision), spec.revision, "scorer.model", organisation=None)
        places = {"revision": source.revision, "local_files_only": source.offline or source.revision is None}
        self._lm, self._tokenizer = _load(spec, source.location, places, self._device)
        if self._tokenizer.eos_token_id is None:
            raise SpecError(f"scorer.model: the tokenizer of {spec.model} has no end-of-text token")
        self.end: int = self._tokenizer.eos_token_id
        self.context = positions_of(self._lm) or 2**31
        self.identity = f"causal-lm:{source.name};chat={spec.chat};temperature={spec.temperature:g}"

    def __repr__(self) -> str:
        return f"CausalScorer({self.identity!r}, device={str(self._device)!r})"

    def encode(self, text: str) -> list[int]:
        """See :class:`~pgsrm_plugin.policy.base.TokenCodec`."""
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        """See :class:`~pgsrm_plugin.policy.base.TokenCodec`."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def tokens(self, prompt: Prompt, response: str) -> PolicyTokens:
        """See :meth:`~pgsrm_plugin.policy.base.TextScorer.tokens`; the response has no end-of-text token."""
        return PolicyTokens(tuple(self._prompt(prompt)), tuple(self.encode(response)))

    def _prompt(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str) and not self._spec.chat:
            return list(self._tokenizer(prompt, verbose=False)["input_ids"])
        if not self._tokenizer.chat_template:
            raise DataError(
                f"field 'prompt' is a chat, but the tokenizer of {self._spec.model} has no chat template; name a model "
                "that chats, or give prompts as texts and scorer: {chat: false}"
            )
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
        try:
            return list(self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False))
        except TemplateError as error:
            roles = ", ".join(str(turn.get("role")) for turn in turns)
            raise DataError(
                f"field 'prompt': the chat template of {self._spec.model} refuses the roles {roles}: {error}"
            ) from None

    def look(self, weights: Weights, asked: Sequence[Continuation]) -> list[TokenStatistics]:
        """See :meth:`~pgsrm_plugin.policy.base.PolicyScorer.look`; there is one set of weights, whatever is asked.

        Raises:
            ScorerError: the device is out of memory.
        """
        found: dict[int, TokenStatistics] = {}
        with self._lock:
            for batch in self._batches(asked):
                found |= zip(batch, self._looked([asked[number] for number in batch]), strict=True)
        return [found[number] for number in range(len(asked))]

    def _batches(self, asked: Sequence[Continuation]) -> Iterator[list[int]]:
        """The numbers of those that go together, by length, so that little is padding."""
        lengths = [sum(map(len, one)) for one in asked]
        vocabulary = int(self._lm.get_input_embeddings().num_embeddings)
        batch: list[int] = []
        widest = 0
        for number in sorted(range(len(asked)), key=lambda number: (lengths[number], asked[number])):
            widest = max(widest, len(asked[number].target))
            rows = len(batch) + 1
            if batch and (rows * lengths[number] > self._spec.batch_tokens or rows * widest * vocabulary > _LOGITS):
                yield batch
                batch, widest = [], len(asked[number].target)
            batch.append(number)
        if batch:
            yield batch

    @torch.no_grad()
    def _looked(self, batch: Sequence[Continuation]) -> list[TokenStatistics]:
        """Padded on the left, where a causal model does not see it behind a mask, so that all targets end together."""
        longest, width = max(sum(map(len, one)) for one in batch), max(len(one.target) for one in batch)
        rows = [[*one.prompt, *one.between, *one.target] for one in batch]
        tokens_BS = torch.tensor([[self.end] * (longest - len(row)) + row for row in rows], device=self._device)
        seen_BS = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=self._device)
        try:
            with torch.autocast(self._device.type, enabled=False):
                logits_BTV = self._lm(
                    input_ids=tokens_BS[:, :-1],
                    attention_mask=seen_BS[:, :-1],
                    position_ids=(seen_BS.cumsum(-1) - 1).clamp(min=0)[:, :-1],
                    use_cache=False,
                    logits_to_keep=width,
                ).logits[:, -width:]
                logs_BTV = (logits_BTV.float() / self._spec.temperature).log_softmax(-1)
        except torch.OutOfMemoryError as error:
            raise ScorerError(
                f"{self.identity} ran out of memory on {self._device} with {len(batch)} texts in a forward pass; lower "
                f"scorer.batch_tokens (now {self._spec.batch_tokens})"
            ) from error
        logprobs_BT = logs_BTV.gather(-1, tokens_BS[:, -width:, None]).squeeze(-1)
        entropy_BT = -(logs_BTV.exp() * logs_BTV).nan_to_num(0.0).sum(-1)
        return [
            TokenStatistics(*(tuple(row_T[-len(one.target) :].tolist()) for row_T in pair))
            for one, *pair in zip(batch, logprobs_BT, entropy_BT, strict=True)
        ]


def _load(spec: ScorerModel, location: str, places: dict[str, Any], device: torch.device) -> tuple[Any, Any]:
    """The frozen model in float32, and its tokenizer."""
    try:
        with quiet(), loaded_whole():
            tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False, **places)
            lm, loading = AutoModelForCausalLM.from_pretrained(
                location,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                **places,
            )
            lm = lm.requires_grad_(False).eval().to(device)
    except Exception as error:  # whatever transformers raises
        raise SpecError(
            f"scorer.model: {spec.model!r} cannot be loaded as a causal language model on {device}: "
            f"{type(error).__name__}: {str(error)[:400]}"
        ) from error
    if loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"])[:3])
        raise SpecError(f"scorer.model: {Path(spec.model).name} lacks weights ({missing}), so it is no language model")
    return lm, tokenizer
