"""What tokenizers of each kind do not know, beside the unknown tokens that transformers finds."""

from __future__ import annotations

import random

import pytest
from minilm import needs_minilm
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from wordpiece import wordpiece

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.load import load_tokenizer
from pgsrm_plugin.encoders.hf.pieces import pieces_of
from pgsrm_plugin.types import Unread

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
READ = Unread()


def unigram(*pieces: str, unk_id: int | None = 0, **settings: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), *((piece, -1.0) for piece in pieces)], unk_id, **settings))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def test_words_of_a_wordpiece_tokenizer_are_unknown_as_they_are_written():
    pieces = pieces_of(wordpiece(["red cat, blue dog."] * 3, 100))
    assert pieces is not None
    assert pieces.unread(["red cat", "The Red zebra sat, 猫!", "猫, 狗.", "", ".,"]) == [
        READ,
        Unread(("The", "zebra", "sat", "猫", "!")),  # s and ##a are pieces, ##t is one only after c and a
        Unread(("猫", "狗"), whole=True),
        READ,
        READ,
    ]


def test_a_piece_of_a_unigram_word_may_be_unknown():
    pieces = pieces_of(unigram("▁", "▁red", "a", "b"))
    assert pieces is not None
    assert pieces.unread(["red ab", "aᏣab ᏝᏣ", "Ꮳ"]) == [READ, Unread(("Ꮳ", "ᏝᏣ")), Unread(("Ꮳ",), whole=True)]


@pytest.mark.parametrize(
    "tokenizer",
    [
        unigram("▁red", "<0x41>", byte_fallback=True),
        unigram("▁red", unk_id=None),
        Tokenizer(models.BPE({"a": 0}, [])),
        object(),
    ],
)
def test_a_tokenizer_without_an_unknown_token_knows_all(tokenizer):
    assert pieces_of(tokenizer) is None


def test_bytes_are_always_known():
    tokenizer = Tokenizer(models.BPE({"<unk>": 0, "a": 1}, [], unk_token="<unk>"))
    assert pieces_of(tokenizer) is not None
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.ByteLevel()])
    assert pieces_of(tokenizer) is None


@needs_minilm
def test_unknown_words_are_those_of_the_models_own_tokenizer():
    """Also of ASCII, which is not tokenised here: 101 letters are too long for a word, and [UNK] can be written out."""
    tokenizer = load_tokenizer(MINILM, None)
    pieces = pieces_of(tokenizer)
    assert pieces is not None
    draw = random.Random(0)
    alphabet = [*map(chr, range(32, 127)), *"äßé≤∑∃猫的🍎ж한ไ½\t\n"]
    texts = ["a" * 100, "a" * 101, "b " * 80, "the [UNK] sat", "x ≤ 5", "∀x∃y", "the 猫 sat."]
    texts += ["".join(draw.choices(alphabet, k=draw.randint(1, 30))) for _ in range(2000)]
    found = pieces.unread(texts)
    counts = [ids.count(tokenizer.unk_token_id) for ids in tokenizer(texts)["input_ids"]]
    assert [len(unread.words) for unread in found] == counts
    assert [unread.words for unread in found[:7]] == [(), ("a" * 101,), (), ("[UNK]",), (), ("∀x∃y",), ("猫",)]
    assert [unread.whole for unread in found[:7]] == [False, True, False, False, False, True, False]
    assert pieces.reads.startswith("Latin script (95% of its words)")


@needs_minilm
def test_the_words_are_known_without_the_weights():
    vocabulary = HfEncoderSpec(model=MINILM).vocabulary()
    assert vocabulary is not None
    assert vocabulary.unread(["a 猫", "a cat"]) == [Unread(("猫",)), READ]
