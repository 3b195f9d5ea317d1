"""A causal language model that a term names: transformers' own numbers, and those of a trainer that asks its policy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from reasoning_child import write_reasoning_child
from transformers import AutoModelForCausalLM, AutoTokenizer

from pgsrm_plugin import DataError, RewardSample, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.cli import main
from pgsrm_plugin.crosscheck import Use, problems
from pgsrm_plugin.encoders.causal.causal_scorer import CausalScorer
from pgsrm_plugin.encoders.causal.scorer_model import ScorerModel
from pgsrm_plugin.policy.base import Continuation, PolicyTokens

TERMS = {
    "likelihood": "likelihood: {scorer: SCORER}",
    "lift": "likelihood: {scorer: SCORER, measure: avg_prob, lift: true, references: mean}",
    "whole": "likelihood: {scorer: SCORER, measure: log_prob, references: logsumexp}",
    "rank": "likelihood: {scorer: SCORER, measure: rank}",
    "followup": "followup: {scorer: SCORER, positive: [purple], negative: [four, '(red).']}",
}
RESPONSES = [
    "so it is <answer>(four).</answer>",
    "red and <answer>blue</answer> two",
    "one and two and red and <answer>purple</answer>",
    "no answer",
    "<answer>(red).</answer>",
]
TEMPLATE = "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}<assistant>"


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_reasoning_child(tmp_path_factory.mktemp("reasoning_child"))


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_reasoning_child(tmp_path_factory.mktemp("chatting_child"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def spec_of(term: str, scorer: str) -> str:
    return f"text: {{answer_tag: answer}}\nterms: {{{TERMS[term].replace('SCORER', scorer)}}}\n"


def samples() -> list[RewardSample]:
    return [RewardSample("2 + 2 is", text, ("(four).", "purple blue"), group=0) for text in RESPONSES]


@pytest.mark.parametrize("batch_tokens", [64, 8192])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_numbers_of_a_plain_forward(child: str, temperature: float, batch_tokens: int) -> None:
    scorer = CausalScorer(ScorerModel(model=child, temperature=temperature, batch_tokens=batch_tokens))
    texts = [("2 + 2 is", "so", "four"), ("red", "", "purple"), ("one", "two " * 9, "(red).</answer>"), ("a", "b", "c")]
    asked = [Continuation(*(tuple(scorer.encode(part)) for part in one)) for one in [*texts, ("red and", "x", "make")]]
    lm = AutoModelForCausalLM.from_pretrained(child, dtype=torch.float64)
    for one, found in zip(asked, scorer.look("policy", asked), strict=True):
        before = len(one.prompt) + len(one.between)
        with torch.no_grad():
            logits = lm(torch.tensor([[*one.prompt, *one.between, *one.target]])).logits[0] / temperature
        logs = logits.log_softmax(-1)[before - 1 : -1]
        assert found.logprobs == pytest.approx(logs.gather(1, torch.tensor([one.target]).T)[:, 0].tolist(), abs=2e-5)
        assert found.entropies == pytest.approx((-(logs.exp() * logs).sum(-1)).tolist(), abs=2e-5)


@pytest.mark.parametrize("term", TERMS)
def test_rewards_are_those_of_a_trainer_whose_policy_it_is(child: str, term: str) -> None:
    from pgsrm_lightning.policy import Policy
    from pgsrm_lightning.rollout.own_likelihoods import ChildScorer

    policy = ChildScorer(Policy(child, value_head=False), 0.7)
    written = [
        replace(one, tokens=PolicyTokens(tuple(policy.encode(one.prompt)), (*policy.encode(one.response), policy.end)))
        for one in samples()
    ]
    trained = SemanticReward(parse_spec(spec_of(term, "policy"))).score(written, policy=policy)
    named = SemanticReward(parse_spec(spec_of(term, f"{{model: {child}, temperature: 0.7}}"))).score(samples())
    assert named.total_B.tolist() == pytest.approx(trained.total_B.tolist(), abs=1e-5)
    assert named.diagnostics["unscorable"].tolist() == trained.diagnostics["unscorable"].tolist()
    assert named.diagnostics["reasoning_chars"].tolist() == trained.diagnostics["reasoning_chars"].tolist()
    assert len(set(named.total_B.tolist())) >= 4
    assert named.stats["scorer/tokens"] == trained.stats["policy/tokens"] > 0
    assert "policy/tokens" not in named.stats


def test_order_and_repetition_change_no_bit(child: str) -> None:
    reward = SemanticReward(parse_spec(spec_of("likelihood", f"{{model: {child}}}")))
    once, again = (
        reward.score(samples()).total_B.tolist(),
        reward.score([*samples()[::-1], *samples()]).total_B.tolist(),
    )
    assert again == [*once[::-1], *once]


def test_what_a_reader_asks_beside_the_policy(child: str) -> None:
    """One term asks the policy, another a model of its own, whose tokens are others; a third the same model."""
    spec = f"""
    text: {{answer_tag: answer}}
    terms:
      own: {{kind: likelihood}}
      other: {{kind: likelihood, scorer: {{model: {child}}}}}
      third: {{kind: likelihood, measure: avg_prob, scorer: {{model: {child}}}}}
    """
    from pgsrm_lightning.policy import Policy
    from pgsrm_lightning.rollout.own_likelihoods import ChildScorer

    policy = ChildScorer(Policy(child, value_head=False), 1.0)
    few = [replace(one, tokens=PolicyTokens((5, 6), tuple(policy.encode(one.response)))) for one in samples()]
    reward = SemanticReward(parse_spec(spec))
    assert len(reward.models) == 1
    output = reward.score(few, policy=policy)
    alone = SemanticReward(parse_spec(spec_of("likelihood", f"{{model: {child}}}"))).score(samples())
    assert output.terms["other"].tolist() == alone.terms["likelihood"].tolist()
    assert output.terms["own"].tolist() != alone.terms["likelihood"].tolist()
    assert reward.for_validation().models == reward.models
    with pytest.raises(SpecError, match="term 'own' asks the policy itself"):
        reward.score(samples())


def test_chats_are_read_by_the_models_template(chatting: str, child: str) -> None:
    scorer = CausalScorer(ScorerModel(model=chatting))
    turns = [{"role": "system", "content": "red"}, {"role": "user", "content": "2 + 2 is"}]
    assert scorer.decode(scorer.tokens(turns, "x").prompt) == "<system> red <user> 2 + 2 is <assistant>"
    assert scorer.decode(scorer.tokens("2 + 2 is", "x").prompt) == "2 + 2 is"
    as_turn = CausalScorer(ScorerModel(model=chatting, chat=True)).tokens("2 + 2 is", "x").prompt
    assert scorer.decode(as_turn) == "<user> 2 + 2 is <assistant>"
    with pytest.raises(DataError, match=r"is a chat, but the tokenizer of .* has no chat template; name a model"):
        CausalScorer(ScorerModel(model=child)).tokens(turns, "x")


def test_prompts_of_the_same_words_and_other_roles_are_other_rows(chatting: str) -> None:
    prompts = [[{"role": role, "content": "2 + 2 is"}] for role in ("user", "system", "user")]
    rows = [replace(samples()[0], prompt=prompt) for prompt in prompts]
    first, other, same = SemanticReward(parse_spec(spec_of("likelihood", f"{{model: {chatting}}}"))).score(rows).total_B
    assert first == same != other


def test_a_tokenizer_that_writes_a_text_in_another_way(child: str, tmp_path: Path) -> None:
    """Places are those of its own text: what was composed of two characters is one, and the answer begins earlier."""
    from tokenizers import normalizers

    tokenizer = AutoTokenizer.from_pretrained(child)
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    AutoModelForCausalLM.from_pretrained(child).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    reward = SemanticReward(parse_spec(spec_of("likelihood", f"{{model: {tmp_path}}}")))
    texts = ["e\u0301e\u0301e\u0301e\u0301 <answer>x</answer>", "\u00e9\u00e9\u00e9\u00e9 <answer>x</answer>"]
    apart, composed = reward.score([replace(samples()[0], response=text) for text in texts]).total_B.tolist()
    assert apart == composed


# --- the spec, and where it is asked ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        ("gpt2", "scorer: 'gpt2' is none of policy, frozen, ema; a model is named by {model: gpt2}"),
        ("{model: gpt2, name: gpt2}", "scorer.name: unknown key; write `model`"),
        ("{revision: main}", "scorer.model: required key is missing"),
        ("{model: gpt2, dtype: bfloat16}", "scorer.dtype: unknown key; leave it out: log-probabilities are those of"),
        ("{model: gpt2, temperature: 0}", "scorer.temperature: input should be greater than 0"),
    ],
)
def test_what_a_spec_may_not_say(scorer: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(spec_of("likelihood", scorer), source="s.yaml")
    assert str(caught.value).startswith(f"s.yaml:2: terms.likelihood.{said}")


def test_a_model_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^terms.likelihood.scorer.model: there is no folder"):
        SemanticReward(parse_spec(spec_of("likelihood", f"{{model: {tmp_path / 'none'}}}")))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        SpecError, match=r"^terms.followup.scorer.model: .* cannot be loaded as a causal language model"
    ):
        SemanticReward(parse_spec(spec_of("followup", f"{{model: {tmp_path}}}")))


def test_a_reference_that_does_not_fit_is_an_error(child: str) -> None:
    reward = SemanticReward(parse_spec(spec_of("likelihood", f"{{model: {child}}}")))
    said = "the scorer model is asked about 303 tokens .* after 4 of a prompt and 8 of a response.* context is of 256"
    with pytest.raises(DataError, match=said):
        reward.score([replace(samples()[0], references=("four " * 300,))])


def test_where_only_texts_are_there_a_named_model_is_asked() -> None:
    named, policy = (parse_spec(spec_of("likelihood", scorer)) for scorer in ("{model: gpt2}", "policy"))
    assert problems(named, Use()) == []
    (said,) = problems(policy, Use())
    assert said.endswith("a term that has `scorer` can ask a model instead: `scorer: {model: ...}`")
    (said,) = problems(parse_spec(spec_of("rank", "{model: gpt2}")), Use(one_by_one="score steps"))
    assert said.startswith("term 'likelihood' compares the responses to one prompt")


def test_verls_streaming_mode_takes_it(tmp_path: Path) -> None:
    pytest.importorskip("verl")
    from pgsrm_verl.streaming.preflight import streaming_spec

    file = tmp_path / "spec.yaml"
    file.write_text(spec_of("likelihood", "{model: gpt2}"))
    assert streaming_spec(str(file)).scorer_terms == ("likelihood",)


def test_the_command_line_scores_and_audits(child: str, tmp_path: Path) -> None:
    """Each by the model alone; what reasoning says and what is asked are rows of a file."""
    spec, data, out = tmp_path / "spec.yaml", tmp_path / "rows.jsonl", tmp_path / "scored.jsonl"
    spec.write_text(spec_of("likelihood", f"{{model: {child}}}"))
    rows = [{"prompt": one.prompt, "response": one.response, "references": one.references} for one in samples()]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SystemExit) as stopped:
        main(["score", str(data), "--spec", str(spec), "--out", str(out)])
    assert stopped.value.code == 0
    scored = [json.loads(line)["reward"] for line in out.read_text().splitlines()]
    expected = SemanticReward(parse_spec(spec.read_text())).score(samples()).total_B.tolist()
    assert scored == pytest.approx(expected, abs=1e-6)
    rows[1:3] = [{**row, "prompt": "red and", "references": ["blue purple"]} for row in rows[1:3]]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = tmp_path / "card.html"
    with pytest.raises(SystemExit) as stopped:
        main(["audit", str(spec), str(data), "--html", str(report)])
    assert stopped.value.code in (0, 1), "1: it pays for something that it should not"
    assert report.is_file()
