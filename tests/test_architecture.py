"""The one-way streets of the design: what may import what."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pgsrm_plugin

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"verl", "ray", "lightning", "pytorch_lightning", "omegaconf", "hydra", "tensordict", "vllm"}
"""What the core must not import."""
LAB = "pgsrm_lab"
"""What proves the rest: it may import every integration, and none imports it."""
ENGINES = {
    ("pgsrm_plugin", "asking", "engines", "vllm"): "vllm",
    ("pgsrm_plugin", "encoders", "vllm", "pooling"): "vllm",
}
"""The only modules of the core that run a framework: they import it inside a function, when a user asks for it."""
LAYERS = (
    {"errors", "types", "functional", "section", "kinds", "stopping", "policy"},
    {"text", "data", "endpoint"},
    {"asking"},
    {"encoders", "terms", "pretrained"},
    {"guards", "aggregates", "shapes", "credit"},
    {"spec"},
    {"validate", "crosscheck", "own_models"},
    {"reward"},
    {"scorer"},
    {"parents", "report"},
    {"audit", "serve", "calibration"},
    {"cli"},
)
"""The core's modules and packages, lowest first: each imports only its own layer and those before it."""


def imports(path: Path, package: str) -> Iterator[str]:
    """The absolute names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (parent, node.module) if part)
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def violations(root: Path) -> list[str]:
    """Every import in a tree that goes against the traffic."""
    found = []
    for path in sorted((root / "pgsrm_plugin").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        for name in imports(path, ".".join(parts[:-1])):
            if reason := _core_refuses(parts, name):
                found.append(f"{path.relative_to(root)} imports {name}: {reason}")
    folders = sorted(path for path in (root / "integrations").iterdir() if path.is_dir())
    for folder in folders:
        others = {other.name for other in folders} - {folder.name}
        for path in sorted(folder.rglob("*.py")):
            package = ".".join(path.relative_to(root / "integrations").parts[:-1])
            for name in imports(path, package):
                if folder.name != LAB and name.split(".")[0] in others:
                    found.append(f"{path.relative_to(root)} imports {name}: integrations do not import each other")
    return found


def _core_refuses(parts: tuple[str, ...], name: str) -> str | None:
    top, *below = name.split(".")
    if ENGINES.get(parts) == top:
        return None
    if top in FRAMEWORKS or (top.startswith("pgsrm_") and top != "pgsrm_plugin") or top == "integrations":
        return "the core imports no framework and no integration"
    if top != "pgsrm_plugin" or not below or parts == ("pgsrm_plugin", "__init__"):
        return None
    own, theirs = _layer(parts[1]), _layer(below[0])
    if own is None:
        return f"{parts[1]} has no layer in tests/test_architecture.py"
    if theirs is None:
        return f"{below[0]} has no layer in tests/test_architecture.py; import names from the module that defines them"
    return "it is in a higher layer" if theirs > own else None


def _layer(name: str) -> int | None:
    return next((number for number, names in enumerate(LAYERS) if name in names), None)


def test_no_import_goes_against_the_traffic() -> None:
    assert violations(ROOT) == []


def test_every_part_of_the_core_has_a_layer() -> None:
    parts = {path.stem for path in (ROOT / "pgsrm_plugin").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__init__", "__pycache__", "_recipes", "py"} == set().union(*LAYERS)


def test_integrations_is_no_package() -> None:
    assert not (ROOT / "integrations" / "__init__.py").exists()
    assert not (ROOT / "recipes" / "__init__.py").exists()


@pytest.mark.parametrize(
    ("path", "code", "complaint"),
    [
        ("pgsrm_plugin/reward.py", "import lightning.pytorch as pl", "no framework"),
        ("pgsrm_plugin/cli/train.py", "def run():\n    from verl.trainer import main_ppo", "no framework"),
        ("pgsrm_plugin/types.py", "from importlib import import_module\nimport_module('ray')", "no framework"),
        ("pgsrm_plugin/asking/engines/hf.py", "def load():\n    from vllm import LLM", "no framework"),
        ("pgsrm_plugin/asking/engines/vllm.py", "import ray", "no framework"),
        ("pgsrm_plugin/report/page.py", "from pgsrm_lightning import module", "no integration"),
        ("pgsrm_plugin/text/clean.py", "from pgsrm_plugin.reward import SemanticReward", "higher layer"),
        ("pgsrm_plugin/terms/rouge.py", "from ..reward import SemanticReward", "higher layer"),
        ("pgsrm_plugin/reward.py", "if TYPE_CHECKING:\n    from .cli import main", "higher layer"),
        ("pgsrm_plugin/functional.py", "from pgsrm_plugin import text", "higher layer"),
        ("pgsrm_plugin/text/clean.py", "from pgsrm_plugin import RewardSpec", "has no layer"),
        ("pgsrm_plugin/novel.py", "from pgsrm_plugin.text.clean import clean", "novel has no layer"),
        ("integrations/pgsrm_a/x.py", "import pgsrm_b.y", "do not import each other"),
        ("integrations/pgsrm_a/x.py", "from pgsrm_lab.tasks import TASKS", "do not import each other"),
    ],
)
def test_each_kind_of_violation_is_seen(tmp_path: Path, path: str, code: str, complaint: str) -> None:
    for folder in ("pgsrm_plugin", "integrations/pgsrm_a", "integrations/pgsrm_b", "integrations/pgsrm_lab"):
        (tmp_path / folder).mkdir(parents=True)
    assert violations(tmp_path) == []
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(code)
    (found,) = violations(tmp_path)
    assert found.startswith(f"{path} imports ")
    assert complaint in found


def test_permitted_imports_are_no_violation(tmp_path: Path) -> None:
    (tmp_path / "pgsrm_plugin" / "terms").mkdir(parents=True)
    (tmp_path / "integrations" / "pgsrm_a").mkdir(parents=True)
    (tmp_path / "pgsrm_plugin" / "terms" / "rouge.py").write_text(
        "import torch\nfrom ..text import clean\nfrom .pairs import best\nfrom pgsrm_plugin.errors import DataError\n"
    )
    (tmp_path / "integrations" / "pgsrm_lab").mkdir()
    (tmp_path / "integrations" / "pgsrm_lab" / "x.py").write_text("import pgsrm_a\n")
    (tmp_path / "integrations" / "pgsrm_a" / "x.py").write_text(
        "import lightning\nfrom pgsrm_plugin import RewardSpec\nfrom . import y\n"
    )
    assert violations(tmp_path) == []


IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys
import pgsrm_plugin
for module in pkgutil.walk_packages(pgsrm_plugin.__path__, "pgsrm_plugin."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for name in pgsrm_plugin.__all__:
    getattr(pgsrm_plugin, name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_importing_the_whole_core_loads_no_framework() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING], capture_output=True, text=True, check=False, timeout=240
    )
    assert ran.returncode == 0, ran.stderr
    loaded = set(ast.literal_eval(ran.stdout.splitlines()[-1]))
    assert "torch" in loaded
    assert loaded & FRAMEWORKS == set()
    assert {name for name in loaded if name.startswith("pgsrm_")} == {"pgsrm_plugin"}


def test_the_public_names_are_those_visible() -> None:
    assert {name for name in dir(pgsrm_plugin) if not name.startswith("_")} == set(pgsrm_plugin.__all__)
    assert sorted(pgsrm_plugin.__all__) == sorted(pgsrm_plugin._HOMES)
    for name, home in pgsrm_plugin._HOMES.items():
        assert getattr(pgsrm_plugin, name) is getattr(importlib.import_module(home), name)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "pgsrm_plugin" / "__init__.py").read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    homes = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert homes == pgsrm_plugin._HOMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'pgsrm_plugin' has no attribute 'SemanticRewards'"):
        _ = pgsrm_plugin.SemanticRewards
