"""The golden corpus: rows of every shape that a reward meets, and specs that use every part of it."""

from __future__ import annotations

from pgsrm_plugin import RewardSample

_CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 36 + 36?"}]
_PARTS = [{"role": "user", "content": [{"type": "text", "text": "Name the colour"}, {"type": "image"}]}]
_LONG = "The mill on the river grinds rye in spring and wheat in autumn. "


def _row(prompt, response, references, truth, group):
    return RewardSample(prompt, response, tuple(references), truth, data_source="golden", group=group)


SAMPLES = [
    _row("red and yellow is", "orange", ["orange"], "2", "mix"),
    _row("red and yellow is", " Orange\n", ["orange"], "2", "mix"),
    _row("red and yellow is", "amber", ["orange", "a warm orange"], "2", "mix"),
    _row("red and yellow is", "red and yellow is", ["orange"], "2", "mix"),
    _row("red and yellow is", "", ["orange"], "2", "mix"),
    _row("red and yellow is", "\u200b \n", ["orange"], "2", "mix"),
    _row(_CHAT, "36 and 36 make 72.\n#### 72", ["Twice 36 is 72.\n#### 72", "36 + 36 = 72"], "72", 7),
    _row(_CHAT, "36 and 36 make 70.\n#### 70", ["Twice 36 is 72.\n#### 72", "36 + 36 = 72"], "72", 7),
    _row(_CHAT, "#### $1,072.50", ["The sum is 1,072.50 dollars."], "1072.5", 7),
    _row(_CHAT, "<think>36 twice</think>#### 72", ["<think>easy</think>72"], "72", 7),
    _row(_CHAT, "it must be 72</think> #### 72", ["72"], "72", 7),
    _row(_CHAT, "72 <think>or is it", ["72"], "72", 7),
    _row(
        _PARTS,
        "<explanation>Ripe tomatoes hold lycopene, so they look red.</explanation><answer>3</answer>",
        ["<explanation>Lycopene makes a ripe tomato red.</explanation>", "Tomatoes are red because of lycopene."],
        "3",
        "tags",
    ),
    _row(_PARTS, "<explanation>Nobody knows.</explanation><answer>4</answer>", ["Lycopene."], "3", "tags"),
    _row(_PARTS, "<answer>3</answer> and nothing else", ["Lycopene makes a ripe tomato red."], "3", "tags"),
    _row(_PARTS, "<explanation></explanation><answer>3</answer>", ["Lycopene."], "3", "tags"),
    _row("颜色？", "番茄是红色的。", ["番茄是红的。", "是红的"], "1", "cjk"),  # noqa: RUF001
    _row("色は？", "トマトは赤いです。", ["トマトは赤い。"], "1", "cjk"),  # noqa: RUF001
    _row("색은?", "토마토는 빨갛다.", ["토마토는 빨간색이다."], "1", "cjk"),
    _row("Farbe?", "A\u0308pfel sind grün", ["Äpfel sind grün"], "1", "cjk"),
    _row("Say more", _LONG * 80, [_LONG * 3, _LONG * 90], "-1/2", "long"),
    _row("Say more", "the rye the rye the rye the rye the rye", [_LONG], "1e3", "long"),
    _row("Say more", "wheat \ud800 and 🌾 rye", ["wheat and rye"], "12 %", "long"),
    _row("Say more", "a" * 30_000, ["a " * 12_500], "0.5", "long"),
]

ALL_TERMS = """
name: rich
encoder: {kind: hashing, dimensions: 512}
text: {max_chars: 400, lowercase: true, unicode: NFKC, thinking_tags: [think, thinking]}
terms:
  semantic: {transform: clipped, alpha: 2}
  affine: {kind: semantic, transform: affine, alpha: 4, references: mean}
  euclid: {kind: semantic, transform: euclidean, references: softmax, temperature: 0.2}
  floored: {kind: semantic, transform: calibrated, quantise: 0.001,
            floor: {value: 0.1, encoder: "hashing:n3-d512", pairs: 10}}
  contrast: {others: [purple, "a cold blue"], temperature: 0.2}
  exact_match: {}
  truth: {kind: exact_match, against: ground_truth, casefold: false}
  correctness: {extract: regex, pattern: '(-?\\d[\\d,.]*)', compare: number}
  format: {pattern: '.*[.0-9a-z]'}
  tags: {kind: format, tags: [explanation, answer]}
  length: {mode: relative, unit: words}
  tokens: {kind: length, mode: absolute, unit: tokens, min: 3, max: 60}
  chars: {kind: length, mode: absolute, unit: chars, min: 4, max: 200}
  repetition: {ngram: 2}
  prompt_copy: {ngram: 2}
  bleu: {}
  rouge: {variant: rougeL, max_words: 64}
  rouge1: {kind: rouge, variant: rouge1}
weights: {semantic: 1, affine: 0.5, euclid: 0.25, floored: 0.75, contrast: 0.3, exact_match: 0.2, truth: 0.1,
          correctness: 0.7, format: 0.1, tags: 0.1, length: 0.2, tokens: 0.1, chars: 0, repetition: -0.3,
          prompt_copy: -0.4, bleu: 0.2, rouge: 0.2, rouge1: 0}
"""

SPECS = {
    "rich": ALL_TERMS,
    "rich-gated": ALL_TERMS + "gates: [{term: chars, at_least: 0.5, keep: [tags]}, {term: repetition, at_most: 0.6}]\n",
    "rich-groups": ALL_TERMS + "aggregate: group_normalised\nunscorable: mask\n",
    "rich-tags": ALL_TERMS.replace("max_chars: 400,", "max_chars: 400, answer_tag: explanation,"),
    "rich-minilm": """
name: rich-minilm
encoder: {kind: hf, model: sentence-transformers/all-MiniLM-L6-v2, max_tokens: 64, device: cpu}
terms: {semantic: {}, bertscore: {baseline: 0.2}, contrast: {others: [purple]},
        length: {mode: relative, unit: tokens}}
""",
}
"""Specs of the golden test's own, beside those that are shipped."""

BROKEN_ROWS = [
    _row("p", "r", [], "1", "g"),
    _row("p", "r", ["\u200b"], "1", "g"),
    _row("p", "r", ["ok", 3], "1", "g"),
    _row("p", "r", ["ok"], None, "g"),
    _row("p", "r", ["ok"], "many", "g"),
    _row("p", None, ["ok"], "1", "g"),
    _row("p", "r", ["ok"], "1", None),
    _row("p", "r", ["ok"], "1", 1.5),
    _row(3, "r", ["ok"], "1", "g"),
    _row([{"role": "user", "content": 3}], "r", ["ok"], "1", "g"),
]

BROKEN_SPECS = [
    "",
    "terms: {semantic: {}}",
    "terms: {semantc: {}}\nencoder: {kind: hashing}",
    "terms: {near: {kind: semantc}}\nencoder: {kind: hashing}",
    "terms: {semantic: {alhpa: 2}}\nencoder: {kind: hashing}",
    "terms: {semantic: {alpha: 0}}\nencoder: {kind: hashing}",
    "terms: {semantic: {transform: calibrated, floor: {vlue: 1}}}\nencoder: {kind: hashing}",
    "terms: {semantic: 3}\nencoder: {kind: hashing}",
    "terms: {bleu: {}}\nencoder: {kind: hashng}",
    "terms: {bleu: {}}\nencoder: {kind: hf}",
    "terms: {bleu: {}}\nencoder: {kind: http, base_url: nowhere, model: m}",
    "terms: {bleu: {}}\nencoder: {kind: static, path: missing.txt}",
    "terms: {bleu: {}}\nencoder: {kind: vllm, model: m, gpu_memory: 2}",
    "terms: {bleu: {}}\nencoder: name",
    "terms: {bertscore: {}}\nencoder: {kind: hashing}",
    "terms: {bertscore: {}}\nencoder: {kind: vllm, model: m}",
    "terms: {length: {mode: absolute, unit: tokens, min: 1}}\nencoder: {kind: http, base_url: 'http://x', model: m}",
    "terms: {prompt_copy: {}, bleu: {}}",
    "terms: {repetition: {}}\nweights: {repetition: 0}",
    "terms: {bleu: {}}\ntext: {answer_tag: '<a>'}",
    "terms: {bleu: {}}\ndisk_cache: {max_mb: 1}",
    "terms: {bleu: {}}\ngates: [{term: bleu, at_lest: 1}]",
]

REFUSED_REWARDS = [
    "terms: {bleu: {}}\ngates: [{term: bleu, at_least: 2}]",
    "terms: {semantic: {transform: calibrated, floor: {value: 0.1, encoder: other}}}\nencoder: {kind: hashing}",
]
"""Specs that load, but of which no reward can be made."""
