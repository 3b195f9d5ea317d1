"""The tokens of texts as a sentence-transformers model reads them: with prompt and template, truncated as it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer
from transformers import PreTrainedTokenizerBase

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.load import positions_of
from pgsrm_plugin.errors import SpecError


@dataclass(frozen=True)
class ReadTexts:
    """What the model reads of N texts.

    Attributes:
        ids_N: each text's token ids, truncated; None where the model's own preprocessing makes its inputs.
        own_N: for each of these tokens, whether it is the text's own: neither special nor wholly inside the prompt.
            Empty unless asked for.
        lengths_N: tokens of each whole input, prompt, template and special tokens included; 0 if there is none.
        tokens_N: tokens of each text alone, before truncation; -1 where the model has no transformers tokenizer.
        unknown_N: whether the tokenizer knows no part of a text: all its tokens are the unknown one. Two different such
            texts have one vector.
    """

    ids_N: list[list[int]] | None
    own_N: list[list[bool]]
    lengths_N: list[int]
    tokens_N: list[int]
    unknown_N: list[bool]

    @classmethod
    def joined(cls, parts: Sequence[ReadTexts]) -> ReadTexts:
        """The parts one after the other; ids only where all parts have them."""
        ids: list[list[int]] | None = []
        for part in parts:
            ids = None if ids is None or part.ids_N is None else ids + part.ids_N
        own, lengths, tokens, unknown = (
            [value for part in parts for value in getattr(part, name)]
            for name in ("own_N", "lengths_N", "tokens_N", "unknown_N")
        )
        return cls(ids, own, lengths, tokens, unknown)


class TextReader:
    """Tokenises each text once with a model's tokenizer; its texts may be longer than what the model reads.

    Args:
        model: its tokenizer, chat template and truncation are used; the truncation is set to the spec's.
        spec: ``prompt`` and ``max_tokens``.

    Attributes:
        prompt: what stands before each text.
        max_tokens: the truncation length, prompt and special tokens included; None where nothing is truncated.

    Raises:
        SpecError: ``max_tokens`` or the prompt do not fit the model.
    """

    def __init__(self, model: SentenceTransformer, spec: HfEncoderSpec) -> None:
        self._model = model
        self._spec = spec
        tokenizer = model.tokenizer
        self.tokenizer: Any = tokenizer if isinstance(tokenizer, PreTrainedTokenizerBase) else None
        self.chat = "message" in getattr(model, "modalities", ())
        default = model.prompts.get(model.default_prompt_name or "")
        self.prompt: str = (spec.prompt if spec.prompt is not None else default) or ""
        self.max_tokens = self._set_max_tokens()
        self._plain = isinstance(model[0], Transformer) and not self._has_segments()

    @property
    def tells_own_tokens(self) -> bool:
        """Whether a text's tokens can be told from its prompt's and its template's."""
        return self.tokenizer is not None and not self.chat and (not self.prompt or self.tokenizer.is_fast)

    def read(self, texts: Sequence[str], own: bool = False) -> ReadTexts:
        """Tokenises the texts, all in one call, and those that are too long a second time."""
        if self.tokenizer is None:
            return ReadTexts(None, [], [1 + len(text) // 4 for text in texts], [-1] * len(texts), [False] * len(texts))
        if self.chat:
            *lengths_N, empty = [self._templated_length(text) for text in [*texts, ""]]
            tokens_N = [max(0, length - empty) for length in lengths_N]
            return ReadTexts(None, [], lengths_N, tokens_N, [False] * len(texts))
        if not texts:
            return ReadTexts([], [], [], [], [])
        encoding = self._tokenize(texts, truncation=False)
        ids_N = list(encoding["input_ids"])
        lengths_N = [len(ids) for ids in ids_N]
        tokens_N = [self._own_count(encoding, row) for row in range(len(texts))]
        own_N = [self._own_tokens(encoding, row) for row in range(len(texts))] if own else []
        unknown_N = [self._is_unknown(encoding, row) for row in range(len(texts))]
        limit = self.max_tokens
        long = [] if limit is None else [row for row, length in enumerate(lengths_N) if length > limit]
        if long:
            short = self._tokenize([texts[row] for row in long], truncation=True, max_length=limit)
            for i, row in enumerate(long):
                ids_N[row] = short["input_ids"][i]
                if own:
                    own_N[row] = self._own_tokens(short, i)
        return ReadTexts(ids_N if self._plain else None, own_N, lengths_N, tokens_N, unknown_N)

    def _tokenize(self, texts: Sequence[str], **settings: Any) -> Any:
        return self.tokenizer(
            [self.prompt + text for text in texts],
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_special_tokens_mask=True,
            return_offsets_mapping=bool(self.prompt) and self.tokenizer.is_fast,
            verbose=False,
            **settings,
        )

    def _is_unknown(self, encoding: Any, row: int) -> bool:
        unknown_id, ids = self.tokenizer.unk_token_id, encoding["input_ids"][row]
        if unknown_id is None or unknown_id not in ids:
            return False
        if self.prompt and not self.tokenizer.is_fast:
            return False  # the text's tokens cannot be told from the prompt's
        # A slow tokenizer counts the unknown token among the special ones, so it is no own one there.
        known = [own and token != unknown_id for own, token in zip(self._own_tokens(encoding, row), ids, strict=True)]
        return not any(known)

    def _own_count(self, encoding: Any, row: int) -> int:
        if not self.prompt:
            special: list[int] = encoding["special_tokens_mask"][row]
            return len(special) - sum(special)
        return sum(self._own_tokens(encoding, row)) if self.tokenizer.is_fast else -1

    def _own_tokens(self, encoding: Any, row: int) -> list[bool]:
        special = encoding["special_tokens_mask"][row]
        if not self.prompt:
            return [not flag for flag in special]
        ends = [end for _, end in encoding["offset_mapping"][row]]
        return [not flag and end > len(self.prompt) for flag, end in zip(special, ends, strict=True)]

    def _has_segments(self) -> bool:
        """Whether the tokenizer puts tokens of a single text into another segment than the first (XLNet's does)."""
        if self.tokenizer is None or "token_type_ids" not in self.tokenizer.model_input_names:
            return False
        return any(self.tokenizer(".", return_token_type_ids=True)["token_type_ids"])

    def _templated_length(self, text: str) -> int:
        whole = {"text": {"truncation": False, "verbose": False}}
        features = self._model.preprocess([text], prompt=self.prompt or None, processing_kwargs=whole)
        return int(features["input_ids"].shape[1])

    def _set_max_tokens(self) -> int | None:
        limit, wanted = positions_of(self._model[0]), self._spec.max_tokens
        if self.tokenizer is None:
            if wanted is not None:
                raise SpecError(
                    f"encoder.max_tokens: {self._spec.model} has no transformers tokenizer, and never truncates"
                )
            return None
        if wanted is not None and limit is not None and wanted > limit:
            raise SpecError(f"encoder.max_tokens: {wanted} is more than the {limit} positions of {self._spec.model}")
        own = self._model.max_seq_length
        own = own if own is not None and own < 10**9 else None
        chosen = wanted if wanted is not None else min((n for n in (own, limit) if n is not None), default=None)
        if chosen is not None:
            self._model.max_seq_length = chosen
            taken = len(self._tokenize([""], truncation=False)["input_ids"][0])
            if taken >= chosen:
                raise SpecError(
                    f"encoder.prompt and special tokens take {taken} of {chosen} tokens; no room for a text"
                )
        return chosen
