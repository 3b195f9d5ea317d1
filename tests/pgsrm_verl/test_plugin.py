"""Registration inside ``import verl``: cheap, for real, and loud when it fails."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

pytest.importorskip("verl", reason="verl is not installed")

from pgsrm_plugin.cli import checks as doctor
from pgsrm_verl.hooks import after_import


def python(code: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=clean)


REGISTERED = """
import json, sys
import verl
early = [name for name in sys.modules if name.startswith(("pgsrm_verl", "verl.experimental", "verl.trainer.ppo.v1"))]
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls
found = {name: get_reward_manager_cls(name).__name__ for name in ("pgsrm", "semantic", "naive")}
from verl.trainer.ppo.v1 import get_trainer_cls
found["pgsrm_sync"] = get_trainer_cls("pgsrm_sync").__name__
print(json.dumps([early, found]))
"""


@pytest.fixture(scope="module")
def registered() -> list:
    ran = python(REGISTERED)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def test_import_verl_is_enough(registered):
    assert registered[1] == {
        "pgsrm": "PgsrmRewardManager",
        "semantic": "SemanticRewardManager",
        "naive": "NaiveRewardManager",
        "pgsrm_sync": "PgsrmSyncTrainer",
    }


def test_import_verl_alone_loads_only_three_small_modules_of_ours(registered):
    ours = {name for name in registered[0] if name.startswith("pgsrm_verl")}
    assert ours == {"pgsrm_verl", "pgsrm_verl.plugin", "pgsrm_verl.compat", "pgsrm_verl.hooks"}
    assert [name for name in registered[0] if name.startswith("verl.")] == []


# What a broken installation looks like: a module that shadows one of ours and cannot be imported.
BROKEN = """
import sys
from importlib.abc import MetaPathFinder
class Gone(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "pgsrm_verl.streaming.manager":
            raise ImportError("libgone.so: cannot open shared object file")
sys.meta_path.insert(0, Gone())
"""
LOOK_UP = """
import verl
for attempt in range(2):
    try:
        from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls
    except ImportError as error:
        print("raised:", error)
    else:
        print("no error")
"""


def test_a_failure_is_an_error_in_the_log_and_of_the_import_each_time():
    ran = python(BROKEN + LOOK_UP)
    reason = "libgone.so: cannot open shared object file"
    assert ran.stdout.splitlines()[-2:] == [f"raised: {reason}"] * 2
    assert (
        "could not register itself with verl.experimental.reward_loop.reward_manager: ImportError: " + reason
        in ran.stderr
    )


def test_a_verl_of_another_version_is_an_error_in_the_log():
    code = (
        "import importlib.metadata as m\nold = m.version\nm.version = lambda n: '0.11.0' if n == 'verl' else old(n)\n"
    )
    ran = python(code + "import verl")
    assert "pgsrm-plugin could not work with this verl: CompatError: verl 0.11.0 is installed" in ran.stderr
    assert "ERROR" in ran.stderr


# --- the doctor --------------------------------------------------------------------------------------------------


def finding() -> doctor.Finding:
    (found,) = doctor._verl_plugins()
    return found


def test_the_doctor_tries_the_plugin():
    found = finding()
    assert (found.name, found.status) == ("verl plugin pgsrm", "ok")


def test_the_doctor_names_what_is_wrong_with_it(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = finding()
    assert found.status == "problem"
    assert found.detail == "ImportError: libgone.so: cannot open shared object file"
    assert "pip install 'pgsrm-plugin[verl]'" in found.remedy


def test_plugins_of_others_are_not_tried(monkeypatch):
    monkeypatch.setattr(doctor, "entry_points", lambda group: [EntryPoint("other", "no_such_module", group)])
    assert list(doctor._verl_plugins()) == []


# --- hooks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that can be imported, of a new name each time."""
    name = f"hooked_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("steps = ['executed']\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    finders = list(sys.meta_path)
    yield name
    sys.meta_path[:] = finders
    sys.modules.pop(name, None)


def test_actions_run_once_after_the_first_import_in_turn(module):
    after_import(module, lambda loaded: loaded.steps.append("a"))
    after_import(module, lambda loaded: loaded.steps.append("b"))
    assert module not in sys.modules
    assert sorted(importlib.import_module(module).steps) == ["a", "b", "executed"]
    assert sorted(importlib.import_module(module).steps) == ["a", "b", "executed"]
    assert importlib.import_module(module).steps[0] == "executed"


def test_an_imported_module_has_its_action_now(module):
    importlib.import_module(module)
    after_import(module, lambda loaded: loaded.steps.append("a"))
    assert importlib.import_module(module).steps == ["executed", "a"]


def test_an_action_that_fails_fails_every_import_until_it_succeeds(module):
    results = [OSError("first"), OSError("second"), None]

    def action(loaded):
        if result := results.pop(0):
            raise result

    after_import(module, action)
    for text in ("first", "second"):
        with pytest.raises(OSError, match=text):
            importlib.import_module(module)
        assert module not in sys.modules
    assert importlib.import_module(module).steps == ["executed"]
    assert results == []
