"""Words that the encoder does not know: what they cost, what is said of them, and which references are refused."""

from __future__ import annotations

import logging

import pytest
from minilm import needs_minilm

from pgsrm_plugin import DataError, RewardSample, SemanticReward, parse_spec
from pgsrm_plugin.encoders.cache.disk import DiskCache
from pgsrm_plugin.encoders.vocabulary import scripts_of, unknown_share
from pgsrm_plugin.functional import lcs_length, unread_factor
from pgsrm_plugin.types import Unread

VECTORS = "red 1 0\nblue 0 1\nmat 3 4\nthe 1 1\n"
MINILM = "{kind: hf, model: sentence-transformers/all-MiniLM-L6-v2, device: cpu, self_test: false}"


@pytest.fixture
def static(tmp_path):
    (tmp_path / "vectors.txt").write_text(VECTORS, encoding="utf-8")

    def build(terms: str = "{semantic: {}}", more: str = "") -> SemanticReward:
        text = f"encoder: {{kind: static, path: vectors.txt}}\nterms: {terms}\n{more}"
        return SemanticReward(parse_spec(text, folder=tmp_path))

    return build


def value(reward: SemanticReward, response: str, *references: str) -> float:
    return float(reward.score([RewardSample("p", response, references)]).total_B[0])


# --- the formula ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "words", "factor"),
    [
        ([], [], 10, 1.0),
        (["x", "y"], ["x", "y"], 10, 1.0),
        (["x"], ["y"], 8, 0.75),  # 1 - 2/8
        (["x"], ["y"], 100, 0.8),  # 1 - 2/100, and another word in its place
        (["x"], [], 100, 0.99),  # 1 - 1/100: one word too many, which the encoder sees
        (["x", "y"], ["y", "x"], 8, 0.75),  # one of the two is out of order on each side
        (["x", "y", "z"], ["x", "z"], 10, 0.9),
        (["x"], ["y"], 2, 0.0),
        (["x", "y"], ["z"], 2, 0.0),
        (["x"], [], 0, 0.0),
    ],
)
def test_the_factor_by_hand(a, b, words, factor):
    assert unread_factor(a, b, words) == pytest.approx(factor, abs=1e-15)
    assert unread_factor(b, a, words) == pytest.approx(factor, abs=1e-15)


def test_the_common_subsequence_by_a_table():
    """Against the textbook's table, over all pairs of words of up to 5 of 3 letters in a sample."""
    words = ["", "a", "ab", "ba", "abc", "cab", "aabb", "abab", "bacba", "cccab", "abcab"]
    for a in words:
        for b in words:
            table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
            for i, x in enumerate(a):
                for j, y in enumerate(b):
                    table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
            assert lcs_length(a, b) == table[-1][-1], (a, b)


def test_the_share_counts_words_as_editors_do():
    assert unknown_share("the 猫 sat on it.", Unread(("猫",))) == 0.2
    assert unknown_share("猫.", Unread(("猫",), whole=True)) == 1.0
    assert unknown_share("aᏣbᏣ", Unread(("Ꮳ", "Ꮳ"))) == 1.0
    assert unknown_share("", Unread()) == 0.0


def test_scripts_are_named_by_their_share():
    assert scripts_of(["red", "##ish", "1", "[PAD]"]) == "Latin script (100% of its words)"
    assert scripts_of(["猫", "狗", "red"]) == "CJK script (67% of its words), Latin (33%)"
    assert scripts_of(["1"]) == "no words"


# --- what a pair earns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "references", "reward"),
    [
        ("red foo mat", ["red foo mat"], 1.0),
        ("red FOO mat", ["red foo mat"], 1.0),
        ("red foo mat", ["red bar mat"], 2 / 3),  # 1 - 2/6
        ("foo red mat bar", ["bar red mat foo"], 0.75),  # 1 - 2/8
        ("red mat foo", ["red mat"], 0.8),  # 1 - 1/5
        ("red mat the the the the red foo", ["red mat the the the the red bar"], 0.8),  # at most
        ("red foo", ["blue foo"], 0.0),
        ("red foo mat", ["red bar mat", "red foo"], 2 / 3),  # the better after: cos(red, red mat) x 1 is less
    ],
)
def test_a_cosine_is_worth_what_was_read(static, response, references, reward):
    """The cosine of 1 of texts that differ in words without a vector; the last one: (2, 2) and (1, 0), 0.7071 x 1."""
    if len(references) == 2:
        reward = max(2 / 3, 4 / (32**0.5) * 1.0)
    assert value(static(), response, *references) == pytest.approx(reward, abs=1e-7)


def test_every_transform_and_contrast_see_the_lower_cosine(static):
    reward = static("{a: {kind: semantic, alpha: 2}, b: {kind: semantic, transform: affine, alpha: 1}, contrast: "
                    "{others: [blue], temperature: 1}}")  # fmt: skip
    out = reward.score([RewardSample("p", "red red foo", ("red red bar",))])
    assert out.terms["a"].item() == pytest.approx((2 / 3) ** 2)
    assert out.terms["b"].item() == pytest.approx((2 / 3 + 1) / 2)
    assert out.terms["contrast"].item() == pytest.approx(2.718281828 ** (2 / 3) / (2.718281828 ** (2 / 3) + 1))


def test_a_negative_cosine_is_not_raised(tmp_path):
    (tmp_path / "vectors.txt").write_text("up 1 0\ndown -1 0\n", encoding="utf-8")
    spec = "encoder: {kind: static, path: vectors.txt}\nterms: {semantic: {transform: affine, alpha: 1}}"
    assert value(SemanticReward(parse_spec(spec, folder=tmp_path)), "up foo", "down bar") == 0.0


def test_rows_say_the_share_and_scores_without_unknown_words_are_untouched(static):
    rows = [RewardSample("p", "red foo bar", ("red foo", "mat")), RewardSample("p", "mat", ("red",))]
    out = static("{semantic: {}, bleu: {}}").score([*rows, RewardSample("p", "zip", ("red",))])
    assert out.diagnostics["unknown_words"].tolist() == pytest.approx([2 / 3, 0, 1])
    assert out.diagnostics["reference_unknown_words"].tolist() == [0.5, 0, 0]
    assert out.diagnostics["unscorable"].tolist() == [0, 0, 1]
    assert out.terms["semantic"][1].item() == pytest.approx(0.6, abs=1e-7)  # 3/5
    assert {"reward/unknown_words", "reward/reference_unknown_words"} <= out.rows()[0].keys()


def test_encoders_that_cannot_tell_say_nothing():
    out = SemanticReward(parse_spec("{encoder: {kind: hashing}, terms: {semantic: {}}}")).score(
        [RewardSample("p", "猫", ("狗",))]
    )
    assert out.diagnostics["unknown_words"].tolist() == [0.0]


def test_one_warning_names_a_word_and_what_the_encoder_reads(static, caplog):
    reward = static()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            reward.score([RewardSample("p", "red foo", ("red",)), RewardSample("p", "mat", ("red",))])
    (record,) = caplog.records
    assert record.getMessage() == (
        "1 of 3 distinct texts have words that the encoder does not know ('foo', for one), 16.7% of a text's words on "
        "average; they are compared as words, letter by letter; this encoder reads Latin script (100% of its words); "
        "take a multilingual one"
    )


# --- references -------------------------------------------------------------------------------------------------------


def test_references_that_are_mostly_unread_are_refused_before_training(static):
    reward = static()
    good, bad = RewardSample("p", "x", ("red foo",)), RewardSample("p", "x", ("red", "red foo bar"))
    reward.check_references([good])
    with pytest.raises(DataError) as caught:
        reward.check_references([good, bad])
    message = str(caught.value)
    assert message.startswith("row 2: field 'reference': 'red foo bar' is mostly unread: encoder static:file-sha256")
    assert message.endswith(
        "does not know 67% of its words ('foo', for one), above 50%; correct it, or use another encoder (this "
        "encoder reads Latin script (100% of its words); take a multilingual one)"
    )
    assert reward.score([good, bad]).diagnostics["reference_unknown_words"].tolist() == pytest.approx([0.5, 2 / 3])
    for check in (reward.check_references, reward.score):
        with pytest.raises(DataError, match=r"row 1: field 'reference': 'foo' has no representation: .* knows none of"):
            check([RewardSample("p", "x", ("foo",))])


def test_without_an_encoder_words_are_words():
    reward = SemanticReward(parse_spec("terms: {bleu: {}}"))
    reward.check_references([RewardSample("p", "x", ("猫",))])


# --- a real tokenizer -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm():
    return SemanticReward(parse_spec(f"encoder: {MINILM}\nterms: {{semantic: {{}}, bertscore: {{}}}}"))


@needs_minilm
@pytest.mark.parametrize(
    ("response", "reference", "factor"),
    [
        ("The 猫 sat on the mat.", "The 狗 sat on the mat.", 0.8),  # 1 - 2/12, at most 0.8
        ("a ∃ b", "a ∀ b", 2 / 3),
        ("∀ x ∃ y", "∃ x ∀ y", 0.75),
        ("The [UNK] sat.", "The 狗 sat.", 2 / 3),
        ("The 猫 sat on the mat.", "The 猫 sat on the mat.", 1.0),
    ],
)
def test_texts_of_one_vector_earn_what_their_words_have_in_common(minilm, response, reference, factor):
    out = minilm.score([RewardSample("p", response, (reference,))])
    assert out.terms["semantic"].item() == pytest.approx(factor, abs=1e-6)
    assert out.terms["bertscore"].item() == pytest.approx(factor, abs=1e-6)


@needs_minilm
def test_punctuation_beside_unknown_words_makes_none_known(minilm):
    out = minilm.score([RewardSample("p", "猫.", ("cat",))])
    assert out.diagnostics["unscorable"].tolist() == [1.0]
    with pytest.raises(DataError, match=r"'狗\.' has no representation"):
        minilm.score([RewardSample("p", "cat", ("狗.",))])


@needs_minilm
def test_embeddings_kept_on_disk_do_not_hide_unknown_words(tmp_path):
    text = f"encoder: {MINILM}\nterms: {{semantic: {{}}}}\ndisk_cache: {{folder: {tmp_path / 'kept'}}}"
    rows = [RewardSample("p", "a ∃ b", ("a ∀ b",))]
    first = SemanticReward(parse_spec(text))
    once = first.score(rows)
    first._cached.flush()
    again = SemanticReward(parse_spec(text), first.encoder).score(rows)
    assert again.stats["encoder/texts_from_disk"] == 2
    assert again.total_B.tolist() == once.total_B.tolist() == pytest.approx([2 / 3], abs=1e-6)
    assert DiskCache(tmp_path / "kept", 16, first.encoder.identity).find(["a ∃ b"]).keys() == {"a ∃ b"}
