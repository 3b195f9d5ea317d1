"""Specs as users of other libraries write them: each mistake gets the line and what to write here."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pgsrm_plugin import RewardSpec, SpecError, encoders, parse_spec, terms
from pgsrm_plugin.kinds import kind_of
from pgsrm_plugin.section import Section

HF = "encoder:\n  kind: hf\n  model: org/name\n  {}\nterms: {{semantic: {{}}}}\n"
HTTP = "encoder:\n  kind: http\n  base_url: http://x/v1\n  model: m\n  {}\nterms: {{semantic: {{}}}}\n"


def message(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, source="s.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HF.format("prompt_name: query"), "4: encoder.prompt_name: unknown key; write the text itself as `prompt`"),
        (HF.format("max_seq_length: 512"), "4: encoder.max_seq_length: unknown key; write `max_tokens` (known: kind, "),
        (HF.format("trust_remote_code: true"), "4: encoder.trust_remote_code: unknown key; remote code never runs: "),
        (HF.format("normalize_embeddings: true"), "4: encoder.normalize_embeddings: unknown key; leave it out: "),
        (HTTP.format("api_key: sk-1"), "5: encoder.api_key: unknown key; a key stands in no spec: name the "),
        (HTTP.format("trust_remote_code: true"), "5: encoder.trust_remote_code: unknown key; remote code never runs"),
        (
            HF.format("").replace("hf", "openai"),
            "2: encoder.kind: there is no kind 'openai'; here that is `kind: http` ",
        ),
        (
            HF.format("").replace("hf", "Sentence-Transformers"),
            "2: encoder.kind: there is no kind 'Sentence-Transformers'; here that is `kind: hf` (known: ",
        ),
        (
            "encoder: org/name\nterms: {semantic: {}}",
            "1: encoder: an encoder is a section, not 'org/name'; write `encoder: {kind: hf, model: org/name}`",
        ),
        (
            "encoder: [a]\nterms: {semantic: {}}",
            "1: encoder: an encoder is a section, not a list; write `encoder: {kind: hf, model: ...}`",
        ),
        (
            "terms:\n- semantic\n- {kind: bleu}\n- {rouge: {}}\n- 5\n",
            "1: terms: terms are a mapping from names to settings, not a list; "
            "write `terms: {semantic: {}, bleu: {}, rouge: {}}`",
        ),
        (
            "terms: bleu",
            "1: terms: terms are a mapping from names to settings, not 'bleu'; write `terms: {bleu: {}}`",
        ),
        ("terms: [1]", "1: terms: terms are a mapping from names to settings, not a list; write `terms: {NAME: {}}`"),
        (
            "terms:\n  bleu: 0.5\n",
            "2: terms.bleu: a term is a section of settings, not 0.5; write `bleu: {}`, and `weights: {bleu: 0.5}` "
            "beside `terms`",
        ),
        ("terms: {bleu: true}", "1: terms.bleu: a term is a section of settings, not True; write `bleu: {}`"),
        (
            "terms: {bleu: {weight: 2}}",
            "1: terms.bleu.weight: unknown key; write its weight under `weights` of the spec",
        ),
        ("terms: {rougeL: {}}", "1: terms.rougeL: 'rougeL' is no kind of term; here that is `kind: rouge`; to use a "),
        (
            "terms: {a: {kind: cosine}}",
            "1: terms.a.kind: there is no kind 'cosine'; here that is `kind: semantic` (known",
        ),
        ("reward_weights: [1]\nterms: {bleu: {}}", "1: reward_weights: unknown key; write `weights`, a mapping"),
        (
            "terms: {bleu: {}}\nweights: [1]",
            "2: weights: weights are a mapping from terms to numbers, not a list; e.g. ",
        ),
        ("terms: {bleu: {}}\ngates: {term: bleu}", "2: gates: gates are a list, not a mapping; e.g. `gates: [{term: "),
        ("terms: {bleu: {}}\ntext: strip", "2: text: expected a section of settings, not 'strip'"),
        ("terms: {format: {tags: answer}}", "1: terms.format.tags: expected a list, not 'answer'"),
    ],
)
def test_what_others_write_gets_what_to_write_here(text, expected):
    assert message(text).splitlines()[-1].startswith(f"s.yaml:{expected}")


def sections() -> Iterator[type[Section]]:
    def below(section: type[Section]) -> Iterator[type[Section]]:
        yield section
        for each in section.__subclasses__():
            yield from below(each)

    for section in below(Section):
        if section.__module__.startswith("pgsrm_plugin."):
            yield section


@pytest.mark.parametrize("section", list(dict.fromkeys(sections())), ids=lambda section: section.__name__)
def test_hints_name_keys_that_there_are(section):
    hints = vars(section).get("also_known_as", {})
    assert hints.keys() & section.model_fields.keys() == set()
    for hint in hints.values():
        for named in re.findall(r"`(\w+)", hint):
            assert named in {*section.model_fields, *RewardSpec.model_fields}, hint
        assert len(hint) < 130


@pytest.mark.parametrize("kinds", [encoders.KINDS, terms.KINDS], ids=["encoders", "terms"])
def test_no_two_kinds_are_meant_by_one_name(kinds):
    said = [name for section in kinds.values() for name in (kind_of(section), *section.others_say)]
    assert sorted(said) == sorted(set(said))
    assert all(name == name.lower().replace("-", "_") for name in said)
    for section in kinds.values():
        assert all(
            kinds.instead_of(name) == f"; here that is `kind: {kind_of(section)}`" for name in section.others_say
        )
