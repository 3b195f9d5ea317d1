"""Beginnings of a reference: how long they are, that no word of them is the policy's, and who is compared with whom."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from pgsrm_lightning import GRPOConfig, PromptData, RLModule, SamplingConfig
from pgsrm_lightning import config as config_module
from pgsrm_lightning.advantages import group_advantages
from pgsrm_lightning.config import GuidanceConfig
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout import guidance as module
from pgsrm_lightning.rollout.generate import generate
from pgsrm_lightning.rollout.guidance import GUIDED, TOKENS, UNGUIDED, Guidance, GuidanceLength
from pgsrm_lightning.rollout.scoring import Answers
from pgsrm_plugin import DataError, RewardOutput, SpecError, parse_spec
from pgsrm_plugin.data.rows import Record

CPU = torch.device("cpu")
TWO = GuidanceConfig(start=2, max=4)


@pytest.fixture
def policy(tiny_child):
    return Policy(tiny_child, value_head=False)


def record(reference: str = "red and blue and green", **row) -> Record:
    return Record(row, "d:1", "mix", None, (reference,) if reference else (), None, "", "g")


def output(rewards: list[float]) -> RewardOutput:
    total_B = torch.tensor(rewards, dtype=torch.float64)
    return RewardOutput(total_B, {}, {}, torch.ones(len(rewards), dtype=torch.bool), {})


def test_the_authors_rule() -> None:
    assert doctest.testmod(module).failed == doctest.testmod(config_module).failed == 0
    start = GuidanceLength(100, (0.5, 0.3))
    found = [start.after(reward, most=3072).tokens for reward in (0.2, 0.8, 0.4, 0.0)]
    assert found == [200, 50, 100, 100]
    assert start.after(0.01, most=3072).tokens == 3072
    assert GuidanceLength(1, (0.1, 0.1)).after(0.9, most=9).tokens == 1
    assert GuidanceLength(100, (0.0, 0.3)).after(0.2, most=3072) == GuidanceLength(100)


def test_the_first_responses_of_a_group_go_on_from_the_reference(policy) -> None:
    one, other = record(), record("red", solution="green green")
    guidance = Guidance(TWO, 4)
    red, conj = policy.tokenizer("red and")["input_ids"]
    given = guidance.beginnings([one] * 4 + [other] * 4, policy)
    assert given == [(red, conj)] * 2 + [()] * 6, "of a reference of one token nothing is given"
    column = Guidance(GuidanceConfig(start=3, max=4, column="solution"), 4)
    (green,) = set(policy.tokenizer("green")["input_ids"])
    assert column.beginnings([other] * 4, policy) == [(green,)] * 2 + [()] * 2, "all but the last token"


def test_what_was_given_is_no_part_of_a_response(policy) -> None:
    sampling = SamplingConfig(max_new_tokens=3)
    records = [record()] * 4
    given = Guidance(TWO, 4).beginnings(records, policy)
    rollout = generate(policy, records, sampling, CPU, 0, beginnings=given)
    own = generate(policy, records, sampling, CPU, 0)
    width = rollout.mask_BT.shape[1]
    prompts = [
        row[seen.bool()].tolist()
        for row, seen in zip(rollout.tokens_BS[:, :-width], rollout.attention_BS[:, :-width], strict=True)
    ]
    (mix,) = policy.tokenizer("mix")["input_ids"]
    assert prompts == [[mix, *given[0]]] * 2 + [[mix]] * 2
    for row, (keep, text) in enumerate(zip(rollout.mask_BT, rollout.texts, strict=True)):
        written = rollout.tokens_BS[row, -width:][keep].tolist()
        assert text == policy.tokenizer.decode(written, skip_special_tokens=True)
    assert rollout.texts[2:] == own.texts[2:], "the others are what they were"


def test_guidance_keeps_to_the_context(policy) -> None:
    sampling = SamplingConfig(max_new_tokens=policy.context - 2)
    rollout = generate(policy, [record()], sampling, CPU, 0, beginnings=[(2, 3, 4)])
    width = rollout.mask_BT.shape[1]
    assert int(rollout.attention_BS[0, :-width].sum()) == 2


def test_guidance_keeps_to_the_engines_context(policy, monkeypatch) -> None:
    monkeypatch.setattr(SamplingConfig, "context", 12)
    given = tuple(policy.tokenizer("red and blue and green")["input_ids"])
    rollout = generate(policy, [record()], SamplingConfig(max_new_tokens=8), CPU, 0, beginnings=[given])
    assert rollout.guidance_B == (3,), "of 12, 8 are for the response and one is the prompt"


def test_no_character_is_given_in_part(policy, monkeypatch) -> None:
    """The second half of what is written is bytes of one character each."""
    text = "red 塞纳"
    tokens = list(text.encode())

    class Bytes:
        def __call__(self, text, **settings):
            return {"input_ids": tokens}

        def decode(self, ids):
            return bytes(ids).decode(errors="replace")

    monkeypatch.setattr(policy, "tokenizer", Bytes())
    for start in range(1, 10):
        (given, *_) = Guidance(GuidanceConfig(start=start, max=20), 4).beginnings([record()] * 4, policy)
        assert text.startswith(bytes(given).decode())
        assert start - len(given) in range(3)


def test_each_kind_is_compared_with_its_own() -> None:
    """The guided earn more, and the others are not punished for it."""
    guidance, rewards = Guidance(TWO, 4), [0.9, 0.7, 0.2, 0.0]
    answers = Answers([record()] * 4, ["x"] * 4, output(rewards), 4, guidance.is_guided(4))
    assert answers.groups == [1, 1, 0, 0]
    assert [sample.group for sample in answers.samples] == answers.groups
    advantages = group_advantages(answers.output.total_B, answers.groups, answers.output.scored_B)
    assert advantages.tolist() == pytest.approx([1, -1, 1, -1], abs=1e-6)
    together = group_advantages(answers.output.total_B, [0] * 4, answers.output.scored_B)
    assert together[2] < 0 < together[1]


def test_the_length_follows_the_responses_without_guidance() -> None:
    guidance, meter = Guidance(GuidanceConfig(start=100, max=500), 4), Meter(CPU)
    for unguided in (0.5, 0.3):
        guidance.measure(output([1.0, 1.0, unguided, unguided]), Meter(CPU))
        guidance.commit()
    guidance.measure(output([0.9, 0.7, 0.1, 0.3]), meter)
    assert guidance.length.tokens == 100, "a step that is not done changes nothing"
    guidance.commit()
    assert guidance.length == GuidanceLength(200)
    assert meter.means() == pytest.approx({TOKENS: 100, GUIDED: 0.8, UNGUIDED: 0.2})
    again = Guidance(guidance.config, 4)
    again.load_state_dict(guidance.state_dict())
    assert again.length == guidance.length


class Lengths(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.seen.append(float(trainer.callback_metrics[TOKENS]))


def test_a_run_guides_and_resumes_exactly(tiny_child, jsonl, quiet_trainer, tmp_path) -> None:
    path = jsonl("rows.jsonl", [{"prompt": "mix red", "reference": "blue and green and red and blue"}] * 4)
    spec = parse_spec("terms: {length: {mode: absolute, unit: words, min: 2}}")
    algorithm = GRPOConfig(group_size=4, lr_actor=1e-2, guidance=GuidanceConfig(start=3, max=6))

    def run(steps: int, resume: str | None = None) -> tuple[RLModule, list[float]]:
        lengths = Lengths()
        child = RLModule(tiny_child, spec, algorithm, SamplingConfig(max_new_tokens=3))
        folder = Path(tmp_path) / f"{steps}-{resume is None}"
        saver = ModelCheckpoint(dirpath=folder, every_n_train_steps=steps, save_top_k=-1)
        trainer = quiet_trainer(
            max_steps=steps,
            max_epochs=-1,
            enable_checkpointing=True,
            callbacks=[lengths, saver],
            default_root_dir=folder,
        )
        trainer.fit(child, PromptData(path, prompts_per_step=2, steps=steps), ckpt_path=resume)
        return child, lengths.seen

    whole, lengths = run(7)
    half, _ = run(4)
    (saved,) = (tmp_path / "4-True").glob("*.ckpt")
    resumed, rest = run(7, str(saved))
    assert lengths[4:] == rest
    assert len(set(lengths)) > 1, "the length adapts"
    assert resumed.guidance.length == whole.guidance.length
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(resumed.policy.state_dict()[name], value), name
    assert half.steps_done == 4


def test_rows_without_a_reference_and_groups_too_small_are_refused(tiny_child, jsonl, quiet_trainer) -> None:
    with pytest.raises(SpecError, match="of 3 responses to a prompt 2 go on from a reference"):
        GRPOConfig(group_size=3, guidance=GuidanceConfig())
    with pytest.raises(SpecError, match=r"start must be at most max \(32\), not 64"):
        GuidanceConfig(max=32)
    path = jsonl("rows.jsonl", [{"prompt": "mix red", "reference": "blue"}])
    algorithm = GRPOConfig(group_size=4, guidance=GuidanceConfig(column="solution"))
    child = RLModule(tiny_child, parse_spec("terms: {exact_match: {}}"), algorithm, SamplingConfig(max_new_tokens=3))
    with pytest.raises(DataError, match=r"rows.jsonl:1: field 'solution' is missing, and guidance is the beginning"):
        quiet_trainer().fit(child, PromptData(path, prompts_per_step=1, steps=1))
