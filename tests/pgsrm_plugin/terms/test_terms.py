"""Each term against values computed by hand or by the library that defines it."""

import math
from dataclasses import replace

import pytest
import sacrebleu
import torch

from pgsrm_plugin import DataError, Embeddings, RewardSample, ScorerError, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.encoders.hashing import HashingEncoderSpec
from pgsrm_plugin.terms.base import Needs


class VectorEncoder:
    """Gives chosen vectors: the tests' own little embedding space."""

    identity = "vectors"

    def __init__(self, vectors):
        self.vectors = vectors
        self.asked = []

    def encode(self, texts):
        self.asked.append(list(texts))
        return Embeddings(
            torch.tensor([self.vectors[text] for text in texts]).float().reshape(len(texts), -1),
            torch.tensor([len(text) for text in texts]),
            torch.tensor([text == "cut" for text in texts]),
            torch.tensor([text == "unknown" for text in texts]),
        )

    def token_states(self, texts):
        return [torch.tensor([self.vectors[word] for word in text.split()]).float() for text in texts]


SPACE = VectorEncoder(
    {
        "east": [2.0, 0.0],
        "north": [0.0, 1.0],
        "west": [-1.0, 0.0],
        "three four": [3.0, 4.0],
        "east north": [1.0, 1.0],
        "cut": [1.0, 1.0],
        "unknown": [0.0, 0.0],
        "low": [7.0, 24.0],
    }
)


def values(term: str, response: str, references=(), encoder=SPACE, **fields):
    """The one term's raw value for one row."""
    header = "" if encoder is None else "encoder: {kind: hf, model: unused}\n"
    name, _, body = term.partition(" ")
    weight = "-1" if name in ("repetition", "prompt_copy") else "1"
    spec = parse_spec(f"{header}terms: {{{name}: {body or '{}'}}}\nweights: {{{name}: {weight}}}")
    sample = RewardSample(fields.pop("prompt", "p"), response, tuple(references), **fields)
    return SemanticReward(spec, encoder).score([sample]).terms[name].item()


@pytest.mark.parametrize(
    ("body", "references", "expected"),
    [
        ("{}", ["three four"], 0.6),
        ("{alpha: 2}", ["three four"], 0.36),
        ("{}", ["west"], 0.0),
        ("{transform: affine, alpha: 4}", ["north"], 0.0625),
        ("{transform: affine, alpha: 1}", ["west"], 0.0),
        ("{transform: affine, alpha: 2}", ["north"], 0.25),
        ("{transform: calibrated, alpha: 2, floor: {value: 0.2, encoder: vectors}}", ["three four"], 0.25),
        ("{transform: euclidean}", ["north"], 1 - math.sqrt(2)),
        ("{transform: euclidean}", ["west"], -1.0),
        ("{transform: calibrated, floor: {value: 0.2, encoder: vectors}}", ["three four"], 0.5),
        ("{references: max}", ["north", "three four"], 0.6),
        ("{references: mean}", ["north", "three four"], 0.3),
        ("{references: softmax, temperature: 0.6}", ["north", "three four"], 0.6 * math.e / (1 + math.e)),
    ],
)
def test_semantic(body, references, expected):
    assert values(f"semantic {body}", "east", references) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("body", "response", "references", "expected"),
    [
        ("{}", " Blue\n", ["blue"], 1),
        ("{}", "light  blue", ["light blue"], 1),
        ("{}", "blues", ["blue"], 0),
        ("{}", "green", ["blue", "Green"], 1),
        ("{casefold: false}", "Blue", ["blue"], 0),
    ],
)
def test_exact_match(body, response, references, expected):
    assert values(f"exact_match {body}", response, references, encoder=None) == expected


def test_exact_match_against_ground_truth():
    assert values("exact_match {against: ground_truth}", "4", ["5"], encoder=None, ground_truth="4") == 1


@pytest.mark.parametrize(
    ("body", "response", "truth", "expected"),
    [
        ("{}", "so <answer> Blue </answer>", "blue", 1),
        ("{}", "blue", "blue", 0),
        ("{}", "<think><answer>blue</answer></think>red", "blue", 0),
        ("{}", "<answer>red</answer><answer>blue</answer>", "blue", 1),
        ("{extract: regex, pattern: 'is (\\w+)'}", "it is red, no, it is blue", "blue", 1),
        ("{extract: whole, compare: number}", " 1,000.0 ", "1e3", 1),
        ("{extract: whole, compare: number}", "10000000001", "10000000000", 0),
        ("{extract: whole, compare: number}", "ten", "10", 0),
        ("{extract: choice}", "B", "B", 1),
        ("{extract: choice}", "(b).", "B", 1),
        ("{extract: choice}", "b)", "B", 1),
        ("{extract: choice}", "A patient like this needs rest. The answer is (B).", "B", 1),
        ("{extract: choice}", "I think C", "C", 1),
        ("{extract: choice}", "A B C D E", "B", 0),
        ("{extract: choice}", "It is (B) or (C)", "B", 0),
        ("{extract: choice}", "The answer is A. The answer is B.", "B", 0),
        ("{extract: choice, choices: AB}", "C", "B", 0),
        ("{extract: choice}", "The answer is a matter of taste.", "A", 0),
        ("{extract: choice}", "The answer is a hard one: B", "B", 1),
        ("{extract: choice}", "A and B", "B", 0),
        ("{extract: choice}", "answer: A or B", "A", 0),
        ("{extract: choice}", "B is correct.", "B", 1),
        ("{extract: choice}", "A is correct.", "A", 1),
        ("{extract: choice}", "Option B is right, C's wrong", "B", 1),
        ("{extract: choice}", "A lot of people think so", "A", 0),
        ("{extract: choice}", "none of them", "B", 0),
        ("{extract: [tag, choice]}", "A? <answer>(B) Paris</answer>", "B", 1),
        ("{extract: [tag, choice]}", "B", "B", 0),
        ("{extract: [tag, number]}", "<answer>$1,200 a year</answer>", "1200", 1),
        ("{extract: [tag, boxed]}", "<answer>\\boxed{\\frac12}</answer>", "0.5", 1),
        ("{extract: boxed}", "\\boxed{\\text{Tuesday}}", "Tuesday", 1),
        ("{extract: boxed}", "\\boxed{(x+1)^2}", "x^2+2x+1", 1),
        ("{extract: boxed}", "\\boxed{x+1}", "x+2", 0),
        ("{extract: boxed}", "\\boxed{2(x+1)}", "2x+2", 1),
        ("{extract: boxed}", "\\boxed{TUESDAY}", "Tuesday", 1),
        ("{extract: boxed, compare: text}", "\\boxed{0.50}", "0.5", 0),
        ("{extract: boxed, compare: number}", "\\boxed{\\sqrt{4}}", "2", 1),
        ("{extract: boxed, compare: number}", "\\boxed{2^2}", "4", 1),
        ("{extract: boxed, compare: number}", "\\boxed{3+1}", "4", 0),
        ("{extract: boxed}", "\\boxed{2}", "2x", 0),
        ("{extract: boxed}", "\\boxed{2y}", "2x", 0),
        ("{extract: boxed}", "\\boxed{3}", "3i", 0),
        ("{extract: boxed}", "\\boxed{5}", "5!", 0),
        ("{extract: boxed}", "\\boxed{120}", "5!", 1),
        ("{extract: boxed}", "\\boxed{r-R}", "R-r", 0),
        ("{extract: boxed}", "\\boxed{y=3}", "x=3", 0),
        ("{extract: boxed}", "\\boxed{5 \\text{ km}}", "5000 m", 1),
        ("{extract: number}", "#### 1,000 in 3 years", "1000", 1),
        ("{extract: [regex, number], pattern: '(####[^\\n]*)'}", "3\n#### -$5 each of 4", "-5", 1),
        ("{extract: regex, pattern: '#### (\\d+)', compare: number}", "#### 5/2", "5", 0),
        ("{extract: regex, pattern: '#### (\\d+,?)', compare: number}", "#### 72, which", "72", 1),
        ("{extract: regex, pattern: '#### (\\d+)'}", "#### 5/2", "5", 1),
        ("{}", "<ANSWER>blue</Answer>", "blue", 1),
        ("{}", "<answer>blue</answer></answer>", "blue", 1),
        ("{tag: final}", "<answer>red</answer><final>blue</final>", "blue", 1),
        ("{extract: json}", '{"answer": "blue"}', "blue", 1),
        ("{extract: json, key: colour, compare: number}", '{"colour": 7}', "7.0", 1),
        ("{unclosed: true}", "<answer>blue", "blue", 1),
        ("{extract: regex, pattern: '(a+)+b'}", "a" * 60, "a", 0),
    ],
)
def test_correctness(body, response, truth, expected):
    assert values(f"correctness {body}", response, encoder=None, ground_truth=truth) == expected


def test_a_pattern_must_be_a_regular_expression():
    with pytest.raises(SpecError, match="not a regular expression: missing"):
        parse_spec("terms: {format: {pattern: '('}}")


@pytest.mark.parametrize(
    ("body", "response", "expected"),
    [
        ("{tags: [think, answer]}", "<think>a</think>\n<answer>b</answer>\n", 1),
        ("{tags: [think, answer]}", "<answer>b</answer><think>a</think>", 0),
        ("{tags: [think, answer]}", "<think>a</think><answer>b</answer> more", 0),
        ("{tags: [think, answer]}", "x<think>a</think><answer>b</answer>", 0),
        ("{tags: [think, answer]}", "<think>a</think><answer> </answer>", 0),
        ("{tags: [think, answer]}", "<think>a</think><answer>b</answer><answer>c</answer>", 0),
        ("{tags: [answer]}", "<answer>a</answer></answer>", 0),
        ("{tags: [answer]}", "<answer><answer>a</answer>", 0),
        ("{tags: [answer]}", "<think>a</think><answer>b</answer>", 1),
        ("{tags: [answer]}", "<Answer>b</ANSWER>", 1),
        ("{tags: [answer]}", "</answer><answer>", 0),
        ("{pattern: '[a-z]+'}", "blue", 1),
        ("{pattern: '[a-z]+'}", "blue!", 0),
    ],
)
def test_format(body, response, expected):
    assert values(f"format {body}", response, encoder=None) == expected


@pytest.mark.parametrize(
    ("body", "response", "references", "expected"),
    [
        ("{mode: absolute, unit: chars, min: 10}", "12345", [], 0.5),
        ("{mode: absolute, unit: chars, min: 3, max: 4}", "1234", [], 1),
        ("{mode: absolute, unit: chars, max: 4}", "123456", [], 0.5),
        ("{mode: absolute, unit: chars, max: 4}", "123456789", [], 0),
        ("{mode: absolute, unit: words, min: 4}", "one two", [], 0.5),
        ("{mode: relative, unit: chars}", "1234", ["12345678"], math.exp(-abs(math.log(4 / 8)))),
        ("{mode: relative, unit: words}", "a b c", ["a", "a b"], math.exp(-abs(math.log(3 / 2)))),
    ],
)
def test_length(body, response, references, expected):
    assert values(f"length {body}", response, references, encoder=None) == pytest.approx(expected)


def test_length_in_tokens_asks_the_encoder():
    assert values("length {mode: relative, unit: tokens}", "east", ["three four"]) == pytest.approx(4 / 10)


def test_tokens_are_counted_after_the_cut_and_characters_before():
    encoder = VectorEncoder({"x" * 16: [1.0, 0.0]})
    encode = encoder.encode
    encoder.encode = lambda texts: replace(encode(texts), tokens_N=torch.tensor([2 * len(text) for text in texts]))
    for unit, least in (("tokens", 64), ("chars", 80)):
        spec = parse_spec(
            f"encoder: {{kind: hf, model: unused}}\ntext: {{max_chars: 16}}\n"
            f"terms: {{length: {{mode: absolute, unit: {unit}, min: {least}}}}}"
        )
        out = SemanticReward(spec, encoder).score([RewardSample("p", "x" * 40)])
        assert out.total_B.item() == 0.5


def test_no_token_at_all_is_a_length_of_nothing():
    encoder = VectorEncoder(SPACE.vectors)
    encode = encoder.encode
    encoder.encode = lambda texts: replace(encode(texts), tokens_N=torch.zeros(len(texts), dtype=torch.int64))
    assert values("length {mode: relative, unit: tokens}", "north", ["north"], encoder=encoder) == 0


@pytest.mark.parametrize(
    ("ngram", "response", "expected"),
    [(1, "a b a b", 0.5), (2, "a b a b", 1 / 3), (3, "a b", 0.0), (1, "Red red", 0.5)],
)
def test_repetition(ngram, response, expected):
    assert values(f"repetition {{ngram: {ngram}}}", response, encoder=None) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ngram", "response", "expected"),
    [
        (2, "what is red", 1.0),
        (2, "red is what", 0.0),
        (2, "what is it", 0.5),
        (3, "red", 1.0),
        (3, "blue", 0.0),
    ],
)
def test_prompt_copy(ngram, response, expected):
    assert values(f"prompt_copy {{ngram: {ngram}}}", response, encoder=None, prompt="What is red?") == expected


def test_bleu_is_sacrebleu_over_100():
    response, references = "the cat sat on the mat", ["a cat sat on the mat", "the cat is here"]
    oracle = sacrebleu.sentence_bleu(response, references, use_effective_order=True).score / 100
    assert 0.5 < oracle < 1
    assert values("bleu", response, references, encoder=None) == pytest.approx(oracle)


def test_rouge_by_hand():
    # longest common subsequence "the sat" of 3 and 4 words: P = 2/3, R = 2/4
    expected = 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)
    assert values("rouge", "The dog sat", ["the cat quietly sat"], encoder=None) == pytest.approx(expected)
    assert values("rouge", "кот спит", ["кот спит", "x"], encoder=None) == 1.0
    assert values("rouge", "my_var", ["my_var"], encoder=None) == 1.0
    assert values("rouge {variant: rouge1}", "की", ["का"], encoder=None) == 0.0
    # five Han characters of five and six: P = 1, R = 5/6
    assert values("rouge", "我喜欢红色", ["我喜欢红色的"], encoder=None) == pytest.approx(10 / 11)
    assert values("rouge {max_words: 2}", "a b c", ["a b d"], encoder=None) == 1.0


def test_bleu_of_other_letter_case():
    assert values("bleu {lowercase: true}", "Blue", ["blue"], encoder=None) == pytest.approx(1.0)
    assert values("bleu {lowercase: false}", "Blue", ["blue"], encoder=None) == 0.0


def test_bleu_of_a_short_answer_needs_the_effective_order():
    assert values("bleu", "blue", ["blue"], encoder=None) == pytest.approx(1.0)


def test_bertscore_by_hand():
    # "east north" against "east": recall 1, precision (1 + 0) / 2, F1 = 2/3
    assert values("bertscore", "east north", ["east"]) == pytest.approx(2 / 3)
    assert values("bertscore {baseline: 0.5}", "east north", ["east"]) == pytest.approx(1 / 3)
    assert values("bertscore {baseline: 0.7}", "east north", ["east"]) == 0
    # 2/3 lies between 0.65 and 0.7, nearer to the first
    assert values("bertscore {quantise: 0.05}", "east north", ["east"]) == pytest.approx(0.65)
    # one word each: cos = 7/25, precision and recall are the same
    assert values("bertscore", "low", ["east"]) == pytest.approx(0.28)
    assert values("bertscore", "east", ["north"]) == 0


def test_bertscore_of_a_text_without_tokens_is_0():
    spec = parse_spec("encoder: {kind: hf, model: unused}\nterms: {bertscore: {}}")
    encoder = VectorEncoder(SPACE.vectors)
    encoder.token_states = lambda texts: [torch.ones(0 if text == "cut" else 1, 2) for text in texts]
    rows = [RewardSample("p", response, ("east",)) for response in ("cut", "east", "north")]
    assert SemanticReward(spec, encoder).score(rows).total_B.tolist() == pytest.approx([0, 1, 1])


def test_bertscore_needs_finite_token_states():
    spec = parse_spec("encoder: {kind: hf, model: unused}\nterms: {bertscore: {}}")
    row = RewardSample("p", "east", ("north",))
    broken = VectorEncoder(SPACE.vectors)
    broken.token_states = lambda texts: [torch.full((1, 2), math.nan) for _ in texts]
    with pytest.raises(ScorerError, match="wrong or non-finite token states"):
        SemanticReward(spec, broken).score([row])
    with pytest.raises(ScorerError, match="has no token states; bertscore needs kind: hf"):
        SemanticReward(spec, HashingEncoderSpec().build()).score([row])


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ("{kind: bertscore}", Needs(references=True, vectors=True, token_states=True)),
        ("{kind: bleu}", Needs(references=True)),
        ("{kind: contrast, others: [a, b]}", Needs(references=True, vectors=True, texts=("a", "b"))),
        ("{kind: correctness}", Needs(ground_truth=True)),
        ("{kind: exact_match}", Needs(references=True)),
        ("{kind: exact_match, against: ground_truth}", Needs(ground_truth=True)),
        ("{kind: format, tags: [answer]}", Needs()),
        ("{kind: length, mode: absolute, unit: words, max: 9}", Needs()),
        ("{kind: length, mode: relative, unit: tokens}", Needs(references=True, tokens=True)),
        ("{kind: prompt_copy, ngram: 2}", Needs()),
        ("{kind: repetition, ngram: 2}", Needs()),
        ("{kind: rouge}", Needs(references=True)),
        ("{kind: semantic}", Needs(references=True, vectors=True)),
    ],
)
def test_what_a_term_needs(body, needs):
    header = "encoder: {kind: hf, model: unused}\nweights: {semantic: 1, one: 0}\n"
    spec = parse_spec(f"{header}terms: {{semantic: {{}}, one: {body}}}")
    assert spec.terms["one"].needs() == needs


def test_the_encoder_is_asked_once_with_distinct_texts():
    encoder = VectorEncoder(SPACE.vectors)
    spec = parse_spec("encoder: {kind: hashing}\nterms: {semantic: {}, other: {kind: semantic, transform: affine}}")
    samples = [RewardSample("p", text, ("north",)) for text in ("east", "north", "east", "west")]
    reward = SemanticReward(spec, encoder)
    reward.score(samples)
    assert encoder.asked == [["east", "west", "north"]]
    reward.score(samples)
    assert len(encoder.asked) == 1


def test_a_response_without_representation_is_unscorable_and_such_a_reference_is_an_error():
    spec = parse_spec("encoder: {kind: hashing}\nterms: {semantic: {}}")
    out = SemanticReward(spec, SPACE).score([RewardSample("p", "unknown", ("east",))])
    assert (out.total_B.item(), out.diagnostics["unscorable"].item()) == (0.0, 1.0)
    with pytest.raises(
        DataError, match="row 1: field 'reference': 'unknown' has no representation: encoder vectors knows none"
    ):
        SemanticReward(spec, SPACE).score([RewardSample("p", "east", ("unknown",))])


def test_encoder_truncation_is_counted():
    spec = parse_spec("encoder: {kind: hashing}\nterms: {semantic: {}}")
    out = SemanticReward(spec, SPACE).score([RewardSample("p", "cut", ("east",)), RewardSample("p", "east", ("cut",))])
    assert out.diagnostics["truncated"].tolist() == [1, 0]
    assert out.diagnostics["reference_truncated"].tolist() == [0, 1]


def test_a_floor_of_another_encoder_is_refused():
    spec = parse_spec(
        "encoder: {kind: hashing}\n"
        "terms: {semantic: {transform: calibrated, floor: {value: 0.2, encoder: 'hashing:n5-d256'}}}"
    )
    with pytest.raises(SpecError) as caught:
        SemanticReward(spec)
    assert str(caught.value) == (
        "terms.semantic.floor was measured with encoder 'hashing:n5-d256', but this spec's encoder is "
        "'hashing:n3-d256'; measure it again with `pgsrm calibrate DATA --spec SPEC`"
    )
