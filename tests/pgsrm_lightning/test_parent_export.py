"""From prompts to a Lightning run: `pgsrm train` on what `pgsrm parent export` wrote, in both of its formats."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("lightning", reason="lightning is not installed")

from parent_server import ParentServer, expected

from pgsrm_lightning.cli import trainer
from pgsrm_plugin.cli import main


@pytest.mark.parametrize(("form", "extension"), [("jsonl", ".jsonl"), ("verl", ".parquet")])
def test_pgsrm_train_on_an_export(form, extension, chat_child, jsonl, tmp_path):
    prompts = jsonl(
        "prompts.jsonl", [{"prompt": f"mix {a} and {b}"} for a in ("red", "blue") for b in ("green", "red")]
    )
    with ParentServer() as server:
        engine = ["--engine", "openai", "--model", "m", "--base-url", server.url]
        for arguments in (
            ["parent", "generate", prompts, *engine, "--out", str(tmp_path / "store")],
            [
                "parent",
                "export",
                str(tmp_path / "store"),
                "--format",
                form,
                "--out",
                str(tmp_path / f"data{extension}"),
            ],
        ):
            with pytest.raises(SystemExit) as caught:
                main(arguments)
            assert caught.value.code == 0
    spec = tmp_path / "reward.yaml"
    spec.write_text("encoder: {kind: hashing}\nterms: {semantic: {}}\n")
    callback = {"class_path": "pgsrm_lightning.RolloutLog", "init_args": {"every": 1}}
    config = {
        "model": {"child": chat_child, "spec": str(spec), "sampling": {"max_new_tokens": 2}},
        "data": {"train": str(tmp_path / f"data{extension}"), "prompts_per_step": 4, "steps": 1},
        "trainer": {
            "accelerator": "cpu",
            "default_root_dir": str(tmp_path),
            "enable_progress_bar": False,
            "callbacks": [callback],
        },
    }
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    trainer.main(["--config", str(tmp_path / "run.yaml")])
    (log,) = tmp_path.rglob("rollouts.jsonl")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert rows
    for row in rows:
        (question,) = [
            f"mix {a} and {b}" for a in ("red", "blue") for b in ("green", "red") if f"{a} and {b}" in str(row)
        ]
        assert row["references"] == [expected(question, 0)]
