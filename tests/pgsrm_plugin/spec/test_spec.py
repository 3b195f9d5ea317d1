"""A spec is checked before anything is loaded, and each mistake gets the line, the value and the nearest valid key."""

import pytest

from pgsrm_plugin import RewardSpec, SpecError, load_spec, parse_spec

HASHING = "encoder: {kind: hashing}\n"


def message(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, source="s.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HASHING + "terms:\n  semantic:\n    alhpa: 2\n",
            "s.yaml:4: terms.semantic.alhpa: unknown key; did you mean 'alpha'? "
            "(known: kind, when, transform, alpha, floor, references, temperature, quantise)",
        ),
        (
            HASHING + "terms:\n  semantic:\n    alpha: sharp\n",
            "s.yaml:4: terms.semantic.alpha: input should be a valid number, unable to parse string as a number, "
            "not 'sharp'",
        ),
        (
            HASHING + "terms: {semantic: {}}\nwieghts: {semantic: 1}\n",
            "s.yaml:3: wieghts: unknown key; did you mean 'weights'? (known: name, description, encoder, text, terms, "
            "guards, weights, gates, aggregate, shape, credit, unscorable, cache_mb, disk_cache)",
        ),
        (
            HASHING + "terms: {semantic: {}}\nweights:\n  semantics: 1\n",
            "s.yaml:4: weights.semantics: there is no term 'semantics'; did you mean 'semantic'?",
        ),
        (
            HASHING + "terms: {semantic: {}, bleu: {}}\nweights: {semantic: 1}\n",
            "s.yaml:3: weights: term 'bleu' has no weight; give it 0 to log it only",
        ),
        (
            "terms:\n  semantc: {}\n",
            "s.yaml:2: terms.semantc: 'semantc' is no kind of term; did you mean 'semantic'?; to use a name of your "
            "own add `kind:` (one of semantic, contrast, exact_match, correctness, format, length, repetition, "
            "prompt_copy, relevance, bleu, rouge, bertscore, entailment, claims, reward_model, judge, "
            "consensus, novelty, likelihood, followup, phase_entropy)",
        ),
        (
            "encoder:\n  kind: hsahing\nterms: {semantic: {}}\n",
            "s.yaml:2: encoder.kind: there is no kind 'hsahing'; did you mean 'hashing'? "
            "(known: hf, static, http, vllm, causal, hashing)",
        ),
        (
            "terms: {bleu: {}}\nencoder: {model: x}\n",
            "s.yaml:2: encoder: required key `kind` is missing (one of hf, static, http, vllm, causal, hashing)",
        ),
        ("terms: {semantic: {}}\n", "s.yaml:1: terms.semantic: 'semantic' needs an encoder: add an `encoder:` section"),
        (
            "terms: {length: {mode: absolute, unit: tokens, min: 1}}\n",
            "s.yaml:1: terms.length: 'length' needs an encoder: add an `encoder:` section",
        ),
        ("terms: {bleu: {}}\nterms: {rouge: {}}\n", "s.yaml:2: key 'terms' is given twice (first on line 1)"),
        ("", "s.yaml: a spec is a mapping with at least `terms:`, not empty"),
        ("- a\n", "s.yaml: a spec is a mapping with at least `terms:`, not a list"),
        ("name: x\n", "s.yaml:1: terms: required key is missing"),
        (
            "terms: {bleu: {}, repetition: {}}\nweights:\n  bleu: 1\n  repetition: 0.5\n",
            "s.yaml:4: weights.repetition: 'repetition' measures a fault (0 is best), so its weight must be 0 or "
            "negative, not 0.5; e.g. weights: {repetition: -0.2}",
        ),
        ("terms: {bleu: {}}\nweights: {bleu: 0}\n", "s.yaml:2: weights: all are 0, so the reward would always be 0"),
        (
            "terms: {bleu: {}}\ngates:\n  - {term: blue, at_least: 1}\n",
            "s.yaml:3: gates.0: there is no term 'blue'; did you mean 'bleu'?",
        ),
        ("terms: {bleu: {}}\ngates: [{term: bleu}]\n", "s.yaml:2: gates.0: give either at_least or at_most"),
        (
            "terms: {bleu: {}}\nunscorable: zero\n",
            "s.yaml:2: unscorable: input should be 'floor', 'mask' or 'raise', not 'zero'",
        ),
        (
            HASHING + "terms: {semantic: {transform: calibrated}}\n",
            "s.yaml:2: terms.semantic: transform: calibrated needs a floor; measure it with "
            "`pgsrm calibrate DATA --spec SPEC`",
        ),
        (
            "terms: {correctness: {extract: regex, pattern: '('}}\n",
            "s.yaml:1: terms.correctness.pattern: not a regular expression: missing ), unterminated "
            "subpattern at position 0",
        ),
        ("terms: {format: {}}\n", "s.yaml:1: terms.format: give either tags or pattern"),
        (
            "terms: {length: {mode: absolute, unit: chars}}\n",
            "s.yaml:1: terms.length: mode: absolute needs min, max or both",
        ),
        (
            "terms: {scored: {kind: bleu}}\n",
            "s.yaml:1: terms.scored: 'scored' is a column of the output; give the term another name",
        ),
        (
            "terms: {a/b: {kind: bleu}}\n",
            "s.yaml:1: terms.a/b: 'a/b' is not made of letters, digits, '_', '.', '-'; give the term another name",
        ),
        (
            "terms: {bleu: {}}\nweights: {bleu: 1.0e+300}\n",
            "s.yaml:2: weights.bleu: input should be less than or equal to 1000000, not 1e+300",
        ),
        (
            HASHING + "terms: {bertscore: {}}\n",
            "s.yaml:2: terms.bertscore: 'bertscore' needs token states, so an encoder of kind hf, not hashing",
        ),
        (
            "encoder: {kind: http, base_url: 'http://x', model: m}\n"
            "terms: {length: {mode: absolute, unit: tokens, min: 1}}\n",
            "s.yaml:2: terms.length: 'length' counts tokens, but an endpoint tells none; use unit: words",
        ),
        (
            "terms: {format: {tags: ['<answer>']}}\n",
            "s.yaml:1: terms.format.tags.0: string should match pattern '^[A-Za-z][\\w-]*$', not '<answer>'",
        ),
        (
            "terms: {format: {tags: [a, a]}}\n",
            "s.yaml:1: terms.format: tags names a tag twice, but each must occur once",
        ),
        ("? [a]\n: b\n", "s.yaml:1: a key must be a word, not a list or mapping"),
        ("terms: &a {semantic: *a}\n", "s.yaml: nested too deeply, or an alias that contains itself"),
        ("[" * 3000, "s.yaml: nested too deeply, or an alias that contains itself"),
        ("terms: {length: {mode: relative}}\n", "s.yaml:1: terms.length.unit: required key is missing"),
    ],
)
def test_each_mistake_has_its_message(text, expected):
    assert message(text) == expected


def test_every_mistake_is_reported_at_once():
    lines = message("terms: {bleu: {lowercse: true}}\nunscorable: zero\n").splitlines()
    assert [line.split(": ")[1] for line in lines] == ["terms.bleu.lowercse", "unscorable"]


def test_broken_yaml_names_the_line():
    assert "s.yaml: not valid YAML" in message("terms: {bleu: [}\n")
    assert "line 1" in message("terms: {bleu: [}\n")


def test_missing_files_are_named(tmp_path):
    (tmp_path / "reward.yaml").write_text("terms: {bleu: {}}\n")
    with pytest.raises(SpecError, match=r"rewad\.yaml: there is no such spec file; did you mean 'reward\.yaml'"):
        load_spec(tmp_path / "rewad.yaml")
    with pytest.raises(SpecError, match="there is no such spec file"):
        load_spec(tmp_path / "nowhere" / "reward.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(SpecError, match="not UTF-8"):
        load_spec(tmp_path / "latin.yaml")


def test_a_missing_vector_file_names_line_and_path(tmp_path):
    (tmp_path / "s.yaml").write_text("terms: {semantic: {}}\nencoder:\n  kind: static\n  path: vectors.txt\n")
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "s.yaml")
    assert str(caught.value) == (
        f"{tmp_path}/s.yaml:4: encoder.path: path does not point to a file, not '{tmp_path}/vectors.txt'"
    )


def test_relative_paths_start_at_the_spec(tmp_path):
    (tmp_path / "vectors.txt").write_text("red 1 0\n")
    (tmp_path / "s.yaml").write_text("terms: {semantic: {}}\nencoder: {kind: static, path: vectors.txt}\n")
    assert load_spec(tmp_path / "s.yaml").encoder.path == tmp_path / "vectors.txt"


def test_a_name_of_ones_own_and_two_terms_of_a_kind():
    spec = parse_spec(
        HASHING
        + "terms: {near: {kind: semantic}, far: {kind: semantic, transform: affine}}\nweights: {near: 1, far: 0}"
    )
    assert [term.kind for term in spec.terms.values()] == ["semantic", "semantic"]


def test_weights_default_to_one_only_where_none_is_given():
    assert parse_spec("terms: {bleu: {}, rouge: {}}").weight("rouge") == 1.0


def test_a_spec_is_frozen_and_its_fingerprint_depends_on_every_setting():
    one, two = parse_spec("terms: {bleu: {}}"), parse_spec("terms: {bleu: {lowercase: true}}")
    assert one.fingerprint != two.fingerprint
    assert one.fingerprint == RewardSpec.model_validate(one.model_dump()).fingerprint
    with pytest.raises(ValueError, match="frozen"):
        one.name = "x"


@pytest.mark.parametrize("name", ["pgsrm", "pgsrm-affine", "binary", "semantic"])
def test_shipped_specs_load(name, request):
    spec = load_spec(request.config.rootpath / "recipes" / "rewards" / f"{name}.yaml")
    assert spec == load_spec(name)
    assert spec.name == name
    assert spec.encoder is None or spec.encoder.revision == "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
