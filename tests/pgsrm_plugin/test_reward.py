"""SemanticReward: the invariants of the design, composition by hand, and what bad input gets."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsrm_plugin import (
    DataError,
    Embeddings,
    RewardSample,
    ScorerError,
    SemanticReward,
    SpecError,
    UnscorableError,
    parse_spec,
)
from pgsrm_plugin.reward import RewardPair, accuracy
from pgsrm_plugin.terms.exact_match import ExactMatch

SPEC = """
encoder: {kind: hashing, dimensions: 32}
terms:
  semantic: {alpha: 1.7}
  near: {kind: semantic, transform: euclidean, references: softmax}
  bleu: {}
  rouge: {}
  length: {mode: relative, unit: tokens}
  repetition: {ngram: 1}
  prompt_copy: {ngram: 1}
weights: {semantic: 0.6, near: 0.2, bleu: 0.1, rouge: 0.1, length: 0, repetition: -0.3, prompt_copy: -0.1}
gates: [{term: repetition, at_most: 0.8}]
"""
REWARD = SemanticReward(parse_spec(SPEC))

texts = st.one_of(
    st.sampled_from(
        ["blue", "light blue", "", " ", "red red red red red red", "<think>x</think>y", "\ud800", "\u200b"]
    ),
    st.text(max_size=30),
)
references = st.lists(st.sampled_from(["blue", "dark blue sea", "purple"]), min_size=1, max_size=3).map(tuple)
samples = st.builds(RewardSample, prompt=st.sampled_from(["mix red", "p"]), response=texts, references=references)


@settings(max_examples=60, deadline=None)
@given(st.lists(samples, min_size=1, max_size=12), st.randoms())
def test_a_permuted_batch_gets_the_permuted_rewards_bit_for_bit(batch, random):
    order = list(range(len(batch)))
    random.shuffle(order)
    fresh_one, fresh_two = SemanticReward(parse_spec(SPEC)), SemanticReward(parse_spec(SPEC))
    straight, shuffled = fresh_one.score(batch).rows(), fresh_two.score([batch[i] for i in order]).rows()
    assert shuffled == [straight[i] for i in order]


class Positional:
    """As real encoders do, returns slightly different vectors for the same text at another place in another batch."""

    identity = "positional"

    def encode(self, texts):
        generator = torch.Generator().manual_seed(len(texts))
        place_ND = 1e-5 * torch.randn(len(texts), 16, generator=generator)
        base_ND = torch.stack([torch.randn(16, generator=torch.Generator().manual_seed(len(text))) for text in texts])
        count_N = torch.ones(len(texts), dtype=torch.int64)
        return Embeddings(base_ND + place_ND, count_N, torch.zeros(len(texts), dtype=torch.bool))


def test_neither_the_encoders_batching_nor_vectorised_arithmetic_tells_equal_texts_apart():
    spec = parse_spec("encoder: {kind: hashing}\nterms: {semantic: {transform: affine, alpha: 1.7}}")
    batch = [RewardSample(f"prompt {i}", "x" * (i % 37 + 1), ("y" * (i % 5 + 1),)) for i in range(37 * 5 * 2)]
    straight = SemanticReward(spec, Positional()).score(batch).total_B
    assert len(set(straight.tolist())) == 37 * 5
    for seed in range(5):
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
        shuffled = SemanticReward(spec, Positional()).score([batch[i] for i in order.tolist()]).total_B
        assert torch.equal(shuffled, straight[order])


@settings(max_examples=60, deadline=None)
@given(st.lists(samples, min_size=1, max_size=8))
def test_a_batch_equals_scoring_row_by_row_and_repeats_get_identical_bits(batch):
    doubled = REWARD.score(batch + batch).rows()
    assert doubled[: len(batch)] == doubled[len(batch) :]
    for sample, row in zip(batch, doubled, strict=False):
        alone = SemanticReward(parse_spec(SPEC)).score([sample]).rows()[0]
        assert alone == pytest.approx(row, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(samples, max_size=8))
def test_every_row_has_the_same_finite_float_keys_and_the_total_is_the_sum_of_its_parts(batch):
    expected = REWARD.score([RewardSample("p", "blue", ("blue",))]).rows()[0].keys()
    for row in REWARD.score(batch).rows():
        assert row.keys() == expected
        assert all(isinstance(value, float) and math.isfinite(value) for value in row.values())
        parts = sum(value for name, value in row.items() if name.endswith("/weighted"))
        assert row["reward"] == pytest.approx(parts, abs=1e-12)


def test_group_statistics_do_not_depend_on_order_either():
    spec = parse_spec(SPEC + "aggregate: group_normalised")
    words = ["abcdefghij", "blue", "sea", "dark blue"]
    batch = [RewardSample("p", text, ("dark blue sea",), group=group) for text in words for group in range(3)]
    forward = SemanticReward(spec).score(batch).total_B
    backward = SemanticReward(spec).score(batch[::-1]).total_B.flip(0)
    assert torch.equal(forward, backward)
    assert forward.mean().item() == pytest.approx(0, abs=1e-9)
    assert forward.std(unbiased=False).item() == pytest.approx(1)


def score(text: str, *batch: RewardSample):
    return SemanticReward(parse_spec(text)).score(batch)


def exact(response: str, reference: str = "blue", **fields) -> RewardSample:
    return RewardSample("p", response, (reference,), **fields)


def test_a_weighted_sum_by_hand_with_a_term_of_weight_zero():
    out = score(
        "terms: {exact_match: {}, length: {mode: relative, unit: chars}, repetition: {ngram: 1}}\n"
        "weights: {exact_match: 0.7, length: 0, repetition: -0.2}",
        exact("blue blue"),
        exact("blue"),
    )
    assert out.terms["length"].tolist() == pytest.approx([4 / 9, 1])
    assert out.weighted["length"].tolist() == [0, 0]
    assert out.total_B.tolist() == pytest.approx([-0.2 * 0.5, 0.7])


def test_a_failed_gate_gives_the_worst_of_every_term_but_those_kept():
    head = "terms: {exact_match: {}, length: {mode: relative, unit: chars}, repetition: {ngram: 1}}\n"
    head += "weights: {exact_match: 1, length: 1, repetition: -1}\n"
    row = exact("blue blue")  # exact 0, length 4/9, repetition 1/2
    assert score(head, row).total_B.item() == pytest.approx(4 / 9 - 1 / 2)
    gated = score(head + "gates: [{term: exact_match, at_least: 1}]", row)
    assert gated.total_B.item() == -1
    assert gated.terms["length"].item() == pytest.approx(4 / 9)
    assert gated.diagnostics["gate_failed"].item() == 1
    kept = score(head + "gates: [{term: exact_match, at_least: 1, keep: [length]}]", row)
    assert kept.total_B.item() == pytest.approx(4 / 9 - 1)
    passed = score(head + "gates: [{term: repetition, at_most: 0.5}]", row)
    assert passed.total_B.item() == pytest.approx(4 / 9 - 1 / 2)


def test_group_normalised_by_hand():
    """Two groups of two: every z-score is +-1, so each row's sum is +-(w1 +- w2), before the batch z-score."""
    out = score(
        "terms: {exact_match: {}, length: {mode: absolute, unit: chars, min: 8}}\n"
        "weights: {exact_match: 2, length: 1}\naggregate: group_normalised",
        exact("blue", group="a"),  # exact 1, length 4/8: +1, -1
        exact("light blue", group="a"),  # exact 0, length 1: -1, +1
        exact("blue", group="b"),  # exact 1, length 4/8: +1, +1
        exact("x", group="b"),  # exact 0, length 1/8: -1, -1
    )
    sums = [2 - 1, -2 + 1, 2 + 1, -2 - 1]
    std = math.sqrt(sum(value**2 for value in sums) / 4)
    assert out.total_B.tolist() == pytest.approx([value / std for value in sums])
    assert out.weighted["exact_match"].tolist() == pytest.approx([2, -2, 2, -2])


def test_a_group_of_equals_has_no_advantage():
    out = score("terms: {exact_match: {}}\naggregate: group_normalised", *[exact("blue", group=1)] * 4)
    assert out.total_B.tolist() == [0, 0, 0, 0]


SEMANTIC = """
encoder: {kind: hashing}
terms: {semantic: {transform: euclidean}, repetition: {ngram: 1}}
weights: {semantic: 1, repetition: -0.5}
"""


def test_an_unscorable_response_gets_the_floor():
    out = score(SEMANTIC, exact(""), exact("blue"))
    assert out.total_B.tolist() == pytest.approx([-1.5, 1.0])
    assert out.diagnostics["unscorable"].tolist() == [1, 0]
    assert out.scored_B.tolist() == [True, True]


def test_an_unscorable_response_is_masked():
    out = score(SEMANTIC + "unscorable: mask", exact(" "), exact("blue"))
    assert out.scored_B.tolist() == [False, True]
    assert out.total_B.tolist() == pytest.approx([0.0, 1.0])


def test_a_masked_row_takes_no_part_in_group_statistics():
    head = "terms: {exact_match: {}}\nunscorable: mask\naggregate: group_normalised"
    with_mask = score(head, exact("", group=1), exact("blue", group=1), exact("red", group=1))
    without = score(head, exact("blue", group=1), exact("red", group=1))
    assert with_mask.total_B.tolist() == [0.0, *without.total_B.tolist()]


def test_an_unscorable_response_raises():
    with pytest.raises(UnscorableError) as caught:
        score(SEMANTIC + "unscorable: raise", exact("blue"), exact("\u200b"))
    assert str(caught.value) == (
        "row 2: the response '\\u200b' cannot be scored (1 of 2 rows); set unscorable: floor or mask to go on"
    )


def test_an_empty_batch_is_an_empty_output():
    out = score(SEMANTIC)
    assert (len(out), out.rows()) == (0, [])


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (RewardSample("p", "a"), "row 1: field 'reference' is missing, and term 'semantic' compares with it"),
        (exact("a", " "), "row 1: field 'reference': number 1 (' ') is empty once it is cleaned"),
        (RewardSample("p", "a", ("b", None)), "row 1: field 'references': number 2 must be text, not null"),
        (RewardSample("p", "a", "b"), "row 1: field 'references' must be a tuple of texts, not str 'b'"),
        (RewardSample("p", 3, ("b",)), "row 1: field 'response' must be text, not int '3'"),
        (RewardSample("p", None, ("b",)), "row 1: field 'response' must be text, not null"),
        (RewardSample(7, "a", ("b",)), "row 1: field 'prompt' must be text or a list of chat messages"),
        ({"response": "a"}, "row 1: a sample must be a RewardSample, not dict \"{'response': 'a'}\""),
        (exact("a", group=torch.tensor(1)), "row 1: field 'group' must be text or an integer, not Tensor 'tensor(1)'"),
        (
            RewardSample([{"role": "user", "contnt": "x"}], "a", ("b",)),
            "row 1: field 'prompt': message 1 has no 'content' of text (it has: role, contnt)",
        ),
        (
            RewardSample("p", "a", ("b",), 4),
            "row 1: field 'ground_truth' must be text or a tuple of texts, not int '4'",
        ),
    ],
)
def test_bad_rows_are_named(sample, message):
    with pytest.raises(DataError) as caught:
        score(SEMANTIC, sample)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("term", "truth", "message"),
    [
        ("{compare: number}", "twelve", "'twelve' is no number, and term 'correctness' compares numbers"),
        ("{extract: choice}", "(B)", r"'\(B\)' is not one of the letters ABCDE of term 'correctness'"),
        ("{extract: choice}", "BC", "'BC' is not one of the letters"),
        ("{}", "\u200b", "field 'ground_truth' is missing"),
    ],
)
def test_a_ground_truth_that_can_never_be_met_is_an_error(term, truth, message):
    with pytest.raises(DataError, match=message):
        score(f"terms: {{correctness: {term}}}", exact("a", ground_truth=truth))


def test_missing_ground_truth_and_group_are_named():
    with pytest.raises(DataError, match="row 1: field 'ground_truth' is missing, and term 'correctness' compares"):
        score("terms: {correctness: {}}", exact("a"))
    with pytest.raises(DataError, match="row 2: field 'group' is missing, and aggregate: group_normalised needs it"):
        score("terms: {exact_match: {}}\naggregate: group_normalised", exact("a", group=1), exact("a"))


class Broken:
    """An encoder with a fault, which stops after ``faults`` calls."""

    identity = "broken"

    def __init__(self, spoil, faults=1):
        self.spoil, self.faults = spoil, faults

    def encode(self, texts):
        vectors = torch.ones(len(texts), 4)
        self.faults -= 1
        if self.faults >= 0:
            vectors = self.spoil(vectors)
        count = torch.zeros(len(texts), dtype=torch.int64)
        return Embeddings(vectors, count, count.bool())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: v * math.nan, "a vector that is not finite for 2 of 2 texts"),
        (lambda v: v * math.inf, "a vector that is not finite for 2 of 2 texts"),
        (lambda v: v[:1], r"vectors of shape \(1, 4\) for 2 texts; expected \(2, dimensions\)"),
        (lambda v: v[0], r"vectors of shape \(4,\) for 2 texts"),
        (lambda v: v * 0, "a vector of zeros for 2 of 2 texts"),
        (lambda v: 1 / 0, "encoder broken failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_failing_encoder_raises_and_nothing_of_it_is_kept(spoil, message):
    reward = SemanticReward(parse_spec(SEMANTIC), Broken(spoil))
    with pytest.raises(ScorerError, match=message):
        reward.score([exact("red")])
    assert reward.score([exact("red")]).terms["semantic"].item() == pytest.approx(1)


def test_a_megabyte_is_cut_counted_and_scored():
    out = score(SEMANTIC, exact("blue " * 200_000), exact("blue"))
    assert out.diagnostics["truncated"].tolist() == [1, 0]
    assert out.diagnostics["response_chars"].tolist() == [999_999, 4]
    # repetition sees the whole of it: one distinct word of 200,000
    assert out.terms["repetition"].tolist() == pytest.approx([1 - 1 / 200_000, 0])


def test_a_cut_reference_is_counted():
    out = score("terms: {exact_match: {}}\ntext: {max_chars: 16}", exact("x" * 16, "x" * 17))
    assert out.diagnostics["reference_truncated"].tolist() == [1]


def test_length_past_the_cut_is_not_free():
    head = "terms: {length: {mode: absolute, unit: chars, max: 20}}\ntext: {max_chars: 20}"
    assert score(head, exact("x" * 30)).total_B.item() == pytest.approx(0.5)


def test_ground_truth_is_cleaned_like_the_response():
    head = "terms: {correctness: {extract: whole}, exact_match: {against: ground_truth, casefold: false}}\n"
    row = exact("Cafe\u0301", ground_truth="Caf\u200be\u0301")
    assert score(head + "text: {lowercase: true}", row).total_B.item() == 2


def test_a_gate_that_decides_nothing_is_refused():
    with pytest.raises(SpecError, match=r"gates\.0: 'exact_match' is within \[0, 1\], so 1\.5 decides nothing"):
        score("terms: {exact_match: {}}\ngates: [{term: exact_match, at_least: 1.5}]", exact("a"))


def test_a_spec_file_is_no_spec():
    with pytest.raises(SpecError, match=r"takes a RewardSpec, not 'pgsrm'; for a file use SemanticReward\.from_file"):
        SemanticReward("pgsrm")


def test_gate_and_unscorable_are_counted_apart():
    out = score("terms: {exact_match: {}}\ngates: [{term: exact_match, at_least: 1}]", exact(""), exact("red"))
    assert out.diagnostics["unscorable"].tolist() == [1, 0]
    assert out.diagnostics["gate_failed"].tolist() == [0, 1]


def test_distinct_rows_are_scored_once():
    assert score(SEMANTIC, exact("a"), exact("a"), exact("b")).stats["distinct_rows"] == 2


def test_lone_surrogates_are_scored_as_replacement_characters():
    out = score(SEMANTIC, exact("blue\ud800"), exact("blue\ufffd"))
    assert out.total_B[0] == out.total_B[1]


class Counting:
    """A good encoder that counts the texts it embeds."""

    identity = "counting"

    def __init__(self):
        self.texts = 0

    def encode(self, texts):
        self.texts += len(texts)
        vectors = torch.tensor([[float(len(text)), 1.0] for text in texts])
        return Embeddings(vectors, torch.ones(len(texts), dtype=torch.int64), torch.zeros(len(texts), dtype=torch.bool))


def test_the_cache_is_bounded_and_zero_keeps_nothing():
    batch = [exact("x" * n) for n in range(1, 400)]
    kept, bounded, none = Counting(), Counting(), Counting()
    for encoder, limit in ((kept, 256), (bounded, 0.05), (none, 0)):
        reward = SemanticReward(parse_spec(SEMANTIC + f"cache_mb: {limit}"), encoder)
        reward.score(batch)
        reward.score(batch)
    assert kept.texts == 400  # 399 responses and one reference
    assert none.texts == 800
    assert 400 < bounded.texts <= 800


def test_the_encoder_is_frozen_data_to_anything_that_looks_for_parameters():
    """Invariant 5: a module that holds a reward does not see its encoder."""
    holder = torch.nn.Module()
    holder.reward = REWARD
    assert list(holder.parameters()) == []
    assert holder.state_dict() == {}


def test_the_cache_forgets_what_was_used_longest_ago():
    encoder = Counting()
    one_mb = 2**20 / (2 * 4 + 4 * 4 + 300)  # entries that fit into 1 MB: two float32, four characters, the overhead
    reward = SemanticReward(parse_spec(SEMANTIC + f"cache_mb: {4 / one_mb}"), encoder)
    for text in ("aaaa", "bbbb", "cccc", "aaaa"):  # with the reference "blue": four texts
        reward.score([exact(text)])
    assert encoder.texts == 4
    reward.score([exact("dddd")])  # drops "bbbb", the oldest use
    reward.score([exact("aaaa"), exact("cccc")])
    assert encoder.texts == 5
    reward.score([exact("bbbb")])
    assert encoder.texts == 6


def test_group_normalised_totals_come_with_the_rewards_before_normalisation():
    rows = [exact("blue", group=1), exact("red", group=1), exact("blue", group=2), exact("blue", group=2)]
    out = score("terms: {exact_match: {}}\nweights: {exact_match: 3}\naggregate: group_normalised", *rows)
    assert out.unnormalised_B.tolist() == out.rewards.tolist() == [3.0, 0.0, 3.0, 3.0]
    plain = score("terms: {exact_match: {}}\nweights: {exact_match: 3}", *rows)
    assert plain.unnormalised_B is None
    assert plain.rewards.tolist() == plain.total_B.tolist() == [3.0, 0.0, 3.0, 3.0]


@pytest.mark.parametrize("own", [False, True])
def test_validation_scores_with_the_sum(own):
    """Four right answers to four prompts: normalised, each would be alone in its group and get 0."""
    grouped = parse_spec("encoder: {kind: hashing}\nterms: {exact_match: {}}\naggregate: group_normalised")
    pair = RewardPair.build(grouped, grouped if own else None)
    rows = [exact("blue", group=i) for i in range(4)]
    assert pair.of(validation=True).score(rows).total_B.tolist() == [1.0] * 4
    assert pair.of(validation=False).score(rows).total_B.tolist() == [0.0] * 4
    assert pair.val.encoder is pair.train.encoder


@pytest.mark.parametrize(
    ("terms", "response", "truth", "expected"),
    [
        # the extracted answer goes before the exact match, whatever their order
        ("{match: {kind: exact_match}, answer: {kind: correctness}}", "<answer>4</answer>", "4", 1),
        ("{answer: {kind: correctness}, match: {kind: exact_match}}", "blue", "4", 0),
        ("{length: {mode: absolute, unit: chars, max: 1}, match: {kind: exact_match}}", "blue", None, 1),
        ("{match: {kind: exact_match, casefold: false}}", "BLUE", None, 0),
        # no term judges: the ground truth, else any reference
        ("{length: {mode: absolute, unit: chars, max: 1}}", " BLUE\n", None, 1),
        ("{length: {mode: absolute, unit: chars, max: 1}}", "light  red", None, 1),
        ("{length: {mode: absolute, unit: chars, max: 1}}", "red", None, 0),
        ("{length: {mode: absolute, unit: chars, max: 1}}", "blue", "4", 0),
        ("{length: {mode: absolute, unit: chars, max: 1}}", "<think>5</think> 4", "4", 1),
    ],
)
def test_whether_a_response_is_right(terms, response, truth, expected):
    spec = parse_spec(f"terms: {terms}")
    sample = RewardSample("p", response, ("blue", "Light red"), truth)
    right = accuracy(SemanticReward(spec).score([sample]), [sample], spec)
    assert (right.tolist(), right.dtype) == ([expected], torch.float64)


def test_a_file_is_its_spec(tmp_path):
    (tmp_path / "spec.yaml").write_text("terms: {exact_match: {}}")
    assert SemanticReward.from_file(tmp_path / "spec.yaml").spec == parse_spec("terms: {exact_match: {}}")


def test_a_pair_asks_for_each_encoder_once():
    asked = []

    def build(section):
        asked.append(section.dimensions)
        return section.build()

    body = "terms: {{semantic: {{}}}}\nencoder: {{kind: hashing, dimensions: {}}}"
    small, large = (parse_spec(body.format(dimensions)) for dimensions in (8, 16))
    plain = parse_spec("terms: {exact_match: {}}")
    alone = RewardPair.build(small, encoder=build)
    assert (asked, alone.of(validation=True)) == ([8], alone.of(validation=False))
    same = RewardPair.build(small, small.model_copy(update={"cache_mb": 1}), build)
    assert asked == [8, 8]
    assert same.val.encoder is same.train.encoder
    other = RewardPair.build(small, large, build)
    assert asked == [8, 8, 8, 16]
    assert [reward.encoder.identity for reward in (other.train, other.val)] == ["hashing:n3-d8", "hashing:n3-d16"]
    assert other.train.with_spec(plain, build).encoder is None
    none = RewardPair.build(plain, plain, build)
    assert (asked[4:], none.train.encoder) == ([], None)


def test_what_a_whole_batch_says_about_a_setting_is_said_once(caplog):
    reward = SemanticReward(parse_spec("terms: {exact_match: {}}\ntext: {answer_tag: answer}"))

    def said(*responses):
        caplog.clear()
        reward.score([RewardSample("p", response, ("blue",)) for response in responses])
        return [message.split(",")[0] for message in caplog.messages]

    assert said("<answer>1", "<answer>2") == []  # two may be chance
    assert said("<answer>1", "<answer>2", "<answer>3</answer>") == []
    assert said("<answer>1", "<answer>2", "3") == []
    assert said("<answer>1", "<ANSWER>2", "<answer>3") == ["no response of the batch closes <answer>"]
    assert said("<answer>1", "<answer>2", "<answer>3") == []
    assert said("<answer>1</answer><eos>", "<answer>2</answer><eos>", "<answer>3</answer>", "<answer>4</answer>") == []
    ended = ["2 of 3 distinct responses end in a special token (<|im_end|>)"]
    assert said("<answer>1</answer><|im_end|>", "<answer>2</answer><eos>", "<answer>3</answer>") == ended
    assert said("<answer>1</answer><|im_end|>", "<answer>2</answer><eos>", "<answer>3</answer>") == []


GATED = "terms: {match: {kind: exact_match}, length: {mode: absolute, unit: chars, min: 10}}\n"


@pytest.mark.parametrize(
    ("gates", "failed"),
    [  # "blue" and "bluish" have 0.4 and 0.6 of the wanted length
        ("[{term: length, at_least: 0.5}]", [1, 0]),
        ("[{term: length, at_most: 0.5}]", [0, 1]),
        ("[{term: length, at_least: 0.4}]", [0, 0]),
        ("[{term: length, at_most: 0.6}]", [0, 0]),
        ("[{term: length, at_least: 0.5}, {term: length, at_most: 1}]", [1, 0]),
        ("[{term: length, at_most: 1}, {term: length, at_least: 0.5}]", [1, 0]),
    ],
)
def test_which_rows_fail_a_gate(gates, failed):
    spec = parse_spec(f"{GATED}weights: {{match: 1, length: 0}}\ngates: {gates}")
    out = SemanticReward(spec).score([RewardSample("p", text, ("blue", "bluish")) for text in ("blue", "bluish")])
    assert out.diagnostics["gate_failed"].tolist() == failed
    assert out.total_B.tolist() == [1 - each for each in failed]


@pytest.mark.parametrize(("bound", "decides"), [(0, True), (1, True), (-0.1, False), (1.1, False)])
@pytest.mark.parametrize("side", ["at_least", "at_most"])
def test_a_gate_outside_the_bounds_of_its_term_is_refused(side, bound, decides):
    spec = parse_spec(f"{GATED}weights: {{match: 1, length: 0}}\ngates: [{{term: length, {side}: {bound}}}]")
    if decides:
        SemanticReward(spec)
    else:
        with pytest.raises(SpecError, match=r"gates\.0: 'length' is within \[0, 1\], so .* decides nothing"):
            SemanticReward(spec)


def test_nothing_is_minus_nothing():
    spec = parse_spec("terms: {repetition: {ngram: 1}}\nweights: {repetition: -1}")
    assert str(SemanticReward(spec).score([RewardSample("p", "blue")]).weighted["repetition"].item()) == "0.0"


@pytest.mark.parametrize(
    ("value", "taken"),
    [(0.5, 0.5), (1 + 1e-10, 1.0), (-1e-10, 0.0), (1.5, None), (-0.5, None), (math.nan, None), (math.inf, None)],
)
def test_a_terms_value_is_within_its_bounds_up_to_rounding(monkeypatch, value, taken):
    monkeypatch.setattr(ExactMatch, "score", lambda self, rows, encoder: [value])
    reward = SemanticReward(parse_spec("terms: {exact_match: {}}"))
    sample = RewardSample("p", "blue", ("blue",))
    if taken is None:
        with pytest.raises(ScorerError, match=r"term 'exact_match' returned .*, outside its bounds \[0, 1\]"):
            reward.score([sample])
    else:
        assert reward.score([sample]).total_B.tolist() == [taken]


@pytest.mark.parametrize(
    ("term", "weight", "worst"),
    [
        ("length: {mode: absolute, unit: chars, min: 1}", 1, 0),
        ("length: {mode: absolute, unit: chars, min: 1}", 0, 0),
        ("length: {mode: absolute, unit: chars, min: 1}", -1, 1),
        ("repetition: {ngram: 1}", 0, 1),
        ("repetition: {ngram: 1}", -1, 1),
    ],
)
def test_the_worst_value_is_what_lowers_the_reward_most(term, weight, worst):
    name = term.partition(":")[0]
    spec = parse_spec(f"terms: {{{term}, match: {{kind: exact_match}}}}\nweights: {{{name}: {weight}, match: 1}}")
    assert SemanticReward(spec).worst(name) == worst
