"""The words that a tokenizer writes as its unknown token."""

from __future__ import annotations

import functools
import json
import string
from collections.abc import Sequence
from typing import Any

from tokenizers import Encoding, Tokenizer

from pgsrm_plugin.encoders.vocabulary import scripts_of
from pgsrm_plugin.types import Unread

_VISIBLE = string.ascii_letters + string.digits + string.punctuation


def pieces_of(tokenizer: Any) -> WordPieces | None:
    """What a tokenizer of transformers' or of tokenizers' does not know.

    None where it has a token for every byte, or none for what is unknown; and of a slow one, which tells no words.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, Tokenizer):
        return None
    state = json.loads(backend.to_str())
    unknown = _unknown_token(state)
    return None if unknown is None else WordPieces(backend, unknown, state["model"])


class WordPieces:
    """Satisfies :class:`~pgsrm_plugin.types.Vocabulary` by a copy of the tokenizer, which others may set as they like.

    An unknown word is what stands under one unknown token: WordPiece's is a whole word, Unigram's some characters of
    one. Marks of punctuation are no words: "猫." has none that is known. Texts of ASCII alone are not tokenised where
    all of its characters are pieces.

    Args:
        tokenizer: copied.
        unknown: its unknown token.
        model: its ``model`` as JSON has it.
    """

    def __init__(self, tokenizer: Tokenizer, unknown: str, model: dict[str, Any]) -> None:
        self._tokenizer: Tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._unknown = unknown
        self._unknown_id = self._tokenizer.token_to_id(unknown)
        self._longest: float = model.get("max_input_chars_per_word", float("inf"))
        prefix = model.get("continuing_subword_prefix") or ""
        self._knows_ascii = model["type"] != "WordLevel" and all(self._is_piece(char, prefix) for char in _VISIBLE)

    @functools.cached_property
    def reads(self) -> str:
        """See :attr:`pgsrm_plugin.types.Vocabulary.reads`."""
        special = {token.content for token in self._tokenizer.get_added_tokens_decoder().values()}
        return scripts_of(self._tokenizer.get_vocab().keys() - special)

    def unread(self, texts: Sequence[str]) -> list[Unread]:
        """See :meth:`pgsrm_plugin.types.Vocabulary.unread`."""
        found = [Unread()] * len(texts)
        rows = [row for row, text in enumerate(texts) if not self._is_plain(text)]
        encodings = self._tokenizer.encode_batch([texts[row] for row in rows], add_special_tokens=False)
        for row, encoding in zip(rows, encodings, strict=True):
            if self._unknown_id in encoding.ids:
                found[row] = self._unread(texts[row], encoding)
        return found

    def _unread(self, text: str, encoding: Encoding) -> Unread:
        is_unknown = [token == self._unknown_id for token in encoding.ids]
        words = tuple(text[start:end] for (start, end), flag in zip(encoding.offsets, is_unknown, strict=True) if flag)
        known = "".join(token for token, flag in zip(encoding.tokens, is_unknown, strict=True) if not flag)
        return Unread(words, whole=not any(map(str.isalnum, known)))

    def _is_plain(self, text: str) -> bool:
        """Whether it surely has no unknown word, which costs less to see than to tokenise it."""
        return (
            self._knows_ascii
            and text.isascii()
            and self._unknown not in text
            and (len(text) <= self._longest or max(map(len, text.split()), default=0) <= self._longest)
        )

    def _is_piece(self, char: str, prefix: str) -> bool:
        normalizer = self._tokenizer.normalizer
        char = char if normalizer is None else normalizer.normalize_str(char)
        alone = self._tokenizer.token_to_id(char) is not None
        return alone and (not char.isalnum() or self._tokenizer.token_to_id(prefix + char) is not None)


def _unknown_token(state: dict[str, Any]) -> str | None:
    model = state["model"]
    by_bytes = model.get("byte_fallback") or any(part["type"] == "ByteLevel" for part in _parts(state["pre_tokenizer"]))
    if by_bytes:
        return None
    if model["type"] == "Unigram":
        number = model["unk_id"]
        return None if number is None else str(model["vocab"][number][0])
    token = model.get("unk_token")
    return token if token in model["vocab"] else None


def _parts(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if pre_tokenizer is None:
        return []
    inner = pre_tokenizer.get("pretokenizers")
    return [pre_tokenizer] if inner is None else [part for one in inner for part in _parts(one)]
