"""`pgsrm bench train` on a tiny llama: what it prints, with TRL and without, and what it refuses."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec

import pytest
from real_child import write_llama

from pgsrm_lab.bench.training import compare_steps

SIZES = {"prompts": 2, "group": 2, "new-tokens": 4, "rounds": 1, "threads": 1}
SMALL = ["--no-chat", "--no-vocabulary", *(f"--{name}={value}" for name, value in SIZES.items())]


@pytest.fixture
def bench(tmp_path, tiny_child, capsys):
    """Runs the command on a tiny llama; returns its exit status, stdout and stderr."""
    child = write_llama(tmp_path / "llama", tiny_child)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            compare_steps.main(["--child", child, *SMALL, *arguments])
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return run


@pytest.mark.slow  # two processes that import all of Lightning and of TRL
def test_both_systems_take_their_steps(bench):
    pytest.importorskip("trl")
    status, out, _ = bench("--json")
    assert status == 0
    found = json.loads(out)
    for key in ("step_s", "peak_mib", "cpu_s", "tokens_per_s"):
        assert set(found[key]) == {"ours", "trl"}
        assert all(math.isfinite(value) and value > 0 for value in found[key].values()), key
    assert found["speedup_vs_trl"] == pytest.approx(found["step_s"]["trl"] / found["step_s"]["ours"])
    assert found["settings"]["prompts"] == found["settings"]["group"] == 2
    assert 4 <= found["tokens_per_step"]["ours"] <= 16


def test_without_trl_ours_is_measured_alone_and_a_line_says_so(bench, monkeypatch):
    monkeypatch.setattr(compare_steps, "find_spec", lambda name: None if name == "trl" else find_spec(name))
    status, out, err = bench("--json")
    assert status == 0
    assert "TRL is not installed" in err
    assert "pip install trl" in err
    found = json.loads(out)
    assert found["step_s"]["ours"] > 0
    assert found["peak_mib"]["ours"] > 0
    assert found["step_s"]["trl"] is found["peak_mib"]["trl"] is found["speedup_vs_trl"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--promts", "3"], "--prompts"),
        (["--group", "1"], "greater than or equal to 2"),
        (["--new-tokens", "many"], "valid integer"),
    ],
)
def test_a_mistyped_option_is_refused_before_anything_is_loaded(bench, monkeypatch, arguments, message):
    monkeypatch.setattr(compare_steps, "compare", lambda *_: pytest.fail("a system was started"))
    status, _, err = bench(*arguments)
    assert status == 2
    assert message in err


@pytest.mark.slow
def test_a_child_that_is_not_there_is_one_sentence(bench):
    with pytest.raises(compare_steps.ScorerError, match=r"ours ended; it said: .*no such folder"):
        compare_steps.main(["--child", "./not/there", *SMALL])
