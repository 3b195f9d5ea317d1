"""What a word is, in scripts with and without spaces."""

import pytest
from sacrebleu.metrics.bleu import BLEU

from pgsrm_plugin.text.words import count_words, spaced, word_ngrams, words


@pytest.mark.parametrize(
    ("text", "expected", "count"),
    [
        ("A well-known word.", ["a", "well", "known", "word"], 3),
        ("今天天气非常好。", list("今天天气非常好"), 7),
        ("買った", ["買", "っ", "た"], 3),
        ("ｱｲｳﾞ", ["ｱ", "ｲ", "ｳﾞ"], 3),
        ("𠮷野家", ["𠮷", "野", "家"], 3),
        ("iPhone很好", ["iphone", "很", "好"], 3),
        ("10個", ["10", "個"], 2),
        ("ไก่", ["ไ", "ก่"], 2),
        ("ខ្ញុំ", ["ខ្", "ញុំ"], 2),
        ("ສະບາຍ", ["ສ", "ະ", "ບ", "າ", "ຍ"], 5),
        ("나는 학교에 간다", ["나는", "학교에", "간다"], 3),
        ("می\u200cخواهم بروم", ["می", "خواهم", "بروم"], 3),
        ("हिन्दी में", ["हिन्दी", "में"], 2),
        ("  ", [], 0),
    ],
)
def test_words(text, expected, count):
    assert words(text) == expected
    assert count_words(text) == count


def test_punctuation_is_an_n_gram_of_its_own():
    assert word_ngrams("Red, red", 2) == [("red", ","), (",", "red")]
    assert word_ngrams("好，好。", 1) == [("好",), ("，",), ("好",), ("。",)]


def test_spaced_text_gives_sacrebleus_chinese_score():
    response, reference = "我昨天在北京买了一本关于机器学习的书", "我昨天在北京买了一本关于深度学习的书"
    oracle = BLEU(tokenize="zh", smooth_method="exp", effective_order=True).sentence_score(response, [reference]).score
    ours = BLEU(smooth_method="exp", effective_order=True).sentence_score(spaced(response), [spaced(reference)]).score
    assert ours == pytest.approx(oracle, abs=1e-9)
    assert oracle == pytest.approx(77.8, abs=0.1)
