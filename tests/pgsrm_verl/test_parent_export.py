"""From prompts to a verl run: a parent is asked, the store exported, and the real verl trains on the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("verl", reason="verl is not installed")

import verl_support as support
from parent_server import ParentServer, expected

from pgsrm_plugin.cli import main
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import parse_spec
from pgsrm_plugin.types import RewardSample

SPEC = "encoder: {kind: hashing}\nterms: {semantic: {}}\n"
QUESTIONS = {question for question, _ in support.FACTS}


def command(*arguments) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert caught.value.code == 0


@pytest.fixture(scope="module")
def assets(tmp_path_factory) -> support.Assets:
    return support.build_assets(tmp_path_factory.mktemp("assets"))


@pytest.fixture(scope="module")
def exported(assets, tmp_path_factory) -> Path:
    """train.parquet and val.parquet: verl's rows of 8 prompts in, two references of a parent for each out."""
    folder = tmp_path_factory.mktemp("parent")
    with ParentServer() as server:
        engine = ("--engine", "openai", "--model", "m", "--base-url", server.url)
        sampling = ("--n", 2, "--temperature", 0.7)
        command("parent", "generate", assets.train, *engine, *sampling, "--out", folder / "store")
        assert set(server.seen.calls) == QUESTIONS
        assert set(server.seen.calls.values()) == {2}
    command("parent", "export", folder / "store", "--out", folder / "data", "--split", "train=0.6,val=0.4")
    return folder / "data"


def dataset(path: Path, assets: support.Assets):
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer
    from verl.utils.dataset.rl_dataset import RLHFDataset

    config = OmegaConf.create(
        {"max_prompt_length": 48, "cache_dir": str(path.parent / "cache"), "return_raw_chat": True}
    )
    return RLHFDataset(str(path), AutoTokenizer.from_pretrained(assets.model), config)


def test_verls_own_data_set_loads_it_and_our_reader_finds_the_references(exported, assets):
    from verl.utils.dataset.rl_dataset import collate_fn

    from pgsrm_verl.rows import RowReader

    sides = [dataset(exported / f"{name}.parquet", assets) for name in ("train", "val")]
    assert sum(map(len, sides)) == 64, "every row of a prompt is there"
    prompts = [{row["raw_prompt"][0]["content"] for row in side} for side in sides]
    assert prompts[0] | prompts[1] == QUESTIONS
    assert not prompts[0] & prompts[1]
    facts = dict(support.FACTS)
    batch = collate_fn([sides[0][i] for i in range(len(sides[0]))])
    for chat, reward_model, extra_info in zip(
        batch["raw_prompt"], batch["reward_model"], batch["extra_info"], strict=True
    ):
        question = chat[0]["content"]
        sample = RowReader().sample({"reward_model": reward_model, "extra_info": extra_info}, list(chat), "?")
        assert sample.references == (expected(question, 0), expected(question, 1))
        assert sample.ground_truth == facts[question]


def test_the_preflight_is_content(exported, tmp_path):
    from pgsrm_verl.streaming.preflight import make_plan

    spec = tmp_path / "reward.yaml"
    spec.write_text(SPEC)
    files = {f"{name}_files": str(exported / f"{name}.parquet") for name in ("train", "val")}
    config = {"pgsrm": {"spec": str(spec), "val_spec": str(spec)}, "reward": {}, "data": files}
    assert make_plan(config, "pgsrm").seen.validation


def test_verl_trains_on_it_with_the_parents_references(exported, assets, tmp_path):
    spec = tmp_path / "reward.yaml"
    spec.write_text(SPEC)
    run = support.run_verl(
        [
            *support.small_overrides(assets, steps=2),
            f"data.train_files={exported / 'train.parquet'}",
            f"data.val_files={exported / 'val.parquet'}",
            "reward.reward_manager.name=pgsrm",
            "reward.num_workers=1",
            f"+pgsrm.spec={spec}",
            "trainer.rollout_data_dir=rollouts",
        ],
        tmp_path / "run",
        seconds=240,
    )
    assert run.status == 0, run.tail()
    assert [int(metrics["step"]) for metrics in run.metrics] == [1, 2]
    rows = support.dump_rows(tmp_path / "run")
    assert len(rows) == 2 * 8 * 4
    samples = [RewardSample(row["input"], row["output"], references_of(row["input"])) for row in rows]
    direct = SemanticReward(parse_spec(SPEC)).score(samples).total_B.tolist()
    assert [row["score"] for row in rows] == pytest.approx(direct, abs=1e-6)
    assert len(set(direct)) > 1, json.dumps(rows[:2])


def references_of(rendered: str) -> tuple[str, ...]:
    (question,) = [question for question in QUESTIONS if question in rendered]
    return expected(question, 0), expected(question, 1)
