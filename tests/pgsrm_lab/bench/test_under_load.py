"""`pgsrm bench serve`: it counts what is lost and changed, and finds nothing of either on a service that works."""

from __future__ import annotations

import asyncio
import json

import pytest
from reward_service import RewardService

from pgsrm_lab.bench.service.connections import Load, ask_all
from pgsrm_lab.bench.service.under_load import LoadSettings, _changed, _lost, _percentile, _share, workload_rows
from pgsrm_plugin.cli import main

SPEC = "{encoder: {kind: hashing, dimensions: 16}, terms: {semantic: {}}}"


def test_what_is_lost_and_changed_is_counted():
    answers = [[{"reward": 1.0}, {"reward": 2.0}], None, [{"reward": 5.0}, {"reward": 6.5}]]
    load = Load(answers, [0.0] * 3)
    assert _lost(load) == 1
    assert _changed(load, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == 1
    assert _changed(load, [1.0, 2.5, 3.0, 4.0, 5.0, 6.5]) == 1


def test_the_clients_answers_are_in_the_questions_order_and_faults_are_counted(monkeypatch):
    questions = [[{"response": "x" * n}] for n in range(40)]
    faults = [(429, {"error": "full"}), (503, {"error": "down"})]
    with RewardService(faults) as service:
        monkeypatch.setattr(service.RequestHandlerClass, "protocol_version", "HTTP/1.1")  # connections stay open
        load = asyncio.run(ask_all(service.url, questions, 4))
    answered = {number: answer[0]["reward"] for number, answer in enumerate(load.answers) if answer}
    assert (len(answered), load.refused, len(load.failed), _lost(load)) == (39, 1, 1, 1)
    assert all(reward == float(number) for number, reward in answered.items())
    assert all(seconds > 0 for seconds in load.latencies_s)


def test_shares_and_percentiles_by_hand():
    assert _share([90.0, 10.0, 30.0], [100.0, 10.0, 60.0]) == 0.9
    assert (_percentile([3, 1, 2, 4], 0.5), _percentile(list(range(100)), 0.99)) == (3, 99)


def test_rows_have_groups_and_are_those_asked_for():
    rows = workload_rows(LoadSettings(), 20, seed=1)
    assert len(rows) == 20
    assert rows == workload_rows(LoadSettings(), 20, seed=1) != workload_rows(LoadSettings(), 20, seed=2)


def test_a_service_that_works_loses_and_changes_nothing(tmp_path, capsys):
    spec, out = tmp_path / "spec.yaml", tmp_path / "result.json"
    spec.write_text(SPEC)
    arguments = ["--rows", "96", "--sizes", "1,8", "--rounds", "2", "--connections", "8", "--restarts", "1"]
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "serve", "--spec", str(spec), *arguments, "--json", str(out)])
    assert stopped.value.code == 0
    result = json.loads(out.read_text())
    assert [(one["questions"], one["rows"], one["lost"], one["other_number"]) for one in result["sizes"]] == [
        (96, 96, 0, 0),
        (12, 96, 0, 0),
    ]
    assert (result["killed"]["restarts"], result["killed"]["lost"], result["killed"]["other_number"]) == (1, 0, 0)
    assert result["killed"]["answered"] > 0
    assert "killed 1 times" in capsys.readouterr().out
