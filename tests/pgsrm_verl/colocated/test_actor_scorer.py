"""verl's actor and reference, asked for the likelihood of references: the numbers are Lightning's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("verl", reason="verl is not installed")

import verl_support as support
from reasoning_child import write_reasoning_child
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.own_likelihoods import ChildScorer
from pgsrm_plugin import RewardSample, SemanticReward, parse_spec
from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.policy.base import Continuation, PolicyTokens
from pgsrm_verl.colocated import checks, rollouts
from pgsrm_verl.colocated.actor_scorer import batch_sizes
from pgsrm_verl.rows import RowReader

SCRIPT = Path(__file__).parents[2] / "support" / "verl_actor_script.py"
TEMPERATURE = 0.7
TERM = "{{text: {{answer_tag: answer}}, unscorable: floor, terms: {{likelihood: {{{}}}}}}}"
SPECS = {
    "plain": TERM.format(""),
    "lifted": TERM.format("measure: avg_prob, lift: true, references: mean"),
    "ranked": TERM.format("measure: rank, scorer: frozen"),
    "credited": TERM.format("measure: log_prob, group: jepo, references: logsumexp"),
}
RESPONSES = [
    "so it is <answer>(four).</answer>",
    "red and <answer>blue</answer> two",
    "one and two and red and <answer>purple</answer>",
    "no answer",
    "<answer>(red).</answer>",
]


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    return write_reasoning_child(tmp_path_factory.mktemp("reasoning_child"))


@pytest.fixture(scope="module")
def policy(child):
    return ChildScorer(Policy(child, value_head=False), TEMPERATURE)


@pytest.fixture(scope="module")
def samples(policy) -> list[RewardSample]:
    prompt = "2 + 2 is"
    return [
        RewardSample(
            prompt,
            text,
            ("(four).", "purple blue"),
            group=0,
            tokens=PolicyTokens(tuple(policy.encode(prompt)), (*policy.encode(text), policy.end)),
        )
        for text in RESPONSES
    ]


@pytest.fixture(scope="module")
def asked(policy) -> list[Continuation]:
    """Five of lengths that no rank and no micro-batch divides evenly."""
    texts = [("2 + 2 is", "so", "four"), ("red", "", "purple"), ("one", "two " * 9, "(red).</answer>"), ("a", "b", "c")]
    parts = [tuple(map(policy.encode, one)) for one in [*texts, ("red and", "blue", "make purple")]]
    return [Continuation(*map(tuple, one)) for one in parts]


@pytest.fixture(scope="module")
def found(child, asked, samples, tmp_path_factory) -> dict:
    """What two ranks of verl's own workers said."""
    from pgsrm_verl.cpu import cpu_environment, cpu_overrides
    from pgsrm_verl.processes import run_limited, short_temp_dir

    folder = tmp_path_factory.mktemp("actor")
    sizes = {"log_prob_micro_batch_size_per_gpu": 2, "log_prob_max_token_len_per_gpu": 16}
    overrides = [
        *cpu_overrides(2),
        f"actor_rollout_ref.model.path={child}",
        f"actor_rollout_ref.rollout.temperature={TEMPERATURE}",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2",
        *(f"actor_rollout_ref.{section}.{key}={size}" for section in ("rollout", "ref") for key, size in sizes.items()),
    ]
    rows = [
        {
            "prompt": one.prompt,
            "response": one.response,
            "references": one.references,
            "prompt_ids": one.tokens.prompt,
            "response_ids": one.tokens.response,
        }
        for one in samples
    ]
    with short_temp_dir() as ray_dir:
        job = {"ray": str(ray_dir), "overrides": overrides, "model": child}
        (folder / "job.json").write_text(json.dumps(job | {"asked": asked, "samples": rows, "specs": SPECS}))
        ended = run_limited(
            [sys.executable, str(SCRIPT), "job.json"],
            seconds=580,
            environment={**cpu_environment(), "HF_HUB_OFFLINE": "1"},
            folder=folder,
            log=folder / "output.log",
        )
    assert ended.status == 0, ended.output[-4000:]
    return torch.load(folder / "found.pt", weights_only=False)


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.parametrize("dynamic", [False, True])
def test_verls_workers_say_what_lightning_says(found, policy, asked, dynamic):
    expected = policy.look("policy", asked)
    for kind in ("looked", "frozen"):
        for (logprobs, entropies), own in zip(found[f"{kind} {dynamic}"], expected, strict=True):
            assert logprobs == pytest.approx(own.logprobs, abs=1e-5)
            assert entropies == pytest.approx(own.entropies, abs=1e-5)
    assert found[f"one {dynamic}"][0][0] == pytest.approx(expected[0].logprobs, abs=1e-5)
    assert found["context"] == policy.context == 256


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.parametrize("name", SPECS)
def test_rewards_are_those_of_lightning(found, policy, samples, name):
    spec = parse_spec(SPECS[name].replace("scorer: frozen", "scorer: policy"))
    expected = SemanticReward(spec).score(samples, policy=policy).total_B
    assert found[name].tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert len(set(expected.tolist())) == len(samples)


def test_a_continuation_always_fits_a_micro_batch():
    section = {"log_prob_use_dynamic_bsz": True, "log_prob_max_token_len_per_gpu": 4}
    few = [Continuation((1, 2), (3,), (4, 5)), Continuation((1,), (), (2,))]
    assert batch_sizes(section, few) == {"use_dynamic_bsz": True, "max_token_len_per_gpu": 5}
    assert batch_sizes({**section, "log_prob_max_token_len_per_gpu": 64}, few)["max_token_len_per_gpu"] == 64


# --- the way to the samples -------------------------------------------------------------------------------------------


def fetched(monkeypatch, masks, keys=("a_0_0", "a_1_0")):
    """Two responses of three tokens, out of verl's queue."""
    words = ["<s>", "so ", "red", "blue"]
    tokenizer = SimpleNamespace(decode=lambda ids, skip_special_tokens: "".join(words[int(i)] for i in ids))
    rows = [
        {
            "prompts": torch.tensor([1] * (1 + number)),
            "responses": torch.tensor([1, 2, 3]),
            "response_mask": torch.tensor(mask),
            "raw_prompt": [{"role": "user", "content": "Which?"}],
            "reward_model": {"ground_truth": "red"},
            "extra_info": {"index": 0},
            "data_source": "d",
            "uid": "a",
        }
        for number, mask in enumerate(masks)
    ]
    data = list_of_dict_to_tensordict(rows)
    monkeypatch.setattr(rollouts, "_get", lambda batch, fields: data.select(*fields))
    batch = SimpleNamespace(keys=list(keys), partition_id="train")
    return rollouts.fetch(batch, RowReader(), tokenizer, with_tokens=True).samples


def test_samples_carry_the_tokens_of_the_queue(monkeypatch):
    samples = fetched(monkeypatch, [[1, 1, 1], [1, 1, 1]])
    assert [sample.tokens for sample in samples] == [PolicyTokens((1,), (1, 2, 3)), PolicyTokens((1, 1), (1, 2, 3))]
    turns = fetched(monkeypatch, [[1, 1, 1], [1, 1, 1]], keys=("a_0_0", "a_0_1"))
    assert [sample.tokens.prompt for sample in turns] == [(1, 1), (1, 1)], "of the session's last output"


def test_a_response_in_which_tools_wrote_is_refused(monkeypatch):
    with pytest.raises(DataError, match="response 1 of the step: tools wrote in it, too"):
        fetched(monkeypatch, [[1, 1, 1], [1, 0, 1]])


def test_weights_that_verl_does_not_hold_are_refused():
    config = support.colocated_config()
    frozen, ema = (parse_spec(f"{{terms: {{mine: {{kind: likelihood, scorer: {s}}}}}}}") for s in ("frozen", "ema"))
    for check in (checks.check_training_spec, checks.check_policy_terms):
        check(parse_spec("{terms: {likelihood: {}}}"), config, "r.yaml")
        with pytest.raises(SpecError, match=r"^r.yaml: term 'mine' .*set actor_rollout_ref.actor.use_kl_loss=true"):
            check(frozen, config, "r.yaml")
        with pytest.raises(SpecError, match="'ema', and here only policy, frozen can be asked"):
            check(ema, config, "r.yaml")
        check(frozen, {**config, "algorithm": {**config["algorithm"], "use_kl_in_reward": True}}, "r.yaml")


def test_streaming_has_only_words():
    from pgsrm_verl.streaming.preflight import streaming_spec

    with pytest.raises(SpecError, match=r"asks the policy itself, and here there are only its words; .*pgsrm_sync"):
        streaming_spec("likelihood")
