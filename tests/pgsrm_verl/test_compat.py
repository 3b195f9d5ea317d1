"""verl still has every name that we use, by its sources, without importing it. A failure lists what went away."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pgsrm_verl import compat

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "integrations" / "pgsrm_verl"
USED = [*compat.SYMBOLS.values(), *compat.MEMBERS, compat.MANAGER_PACKAGE, compat.TRAINER_PACKAGE]
USED += [compat.REWARD_LOOP_MODULE, compat.TRAINER_MODULE, compat.CONFIG_MODULE]


def declared_for_mypy() -> Iterator[str]:
    """The members below ``if TYPE_CHECKING`` in compat.py, as symbols."""
    module = ast.parse((PACKAGE / "compat.py").read_text(encoding="utf-8"))
    (block,) = (node for node in module.body if isinstance(node, ast.If))
    for described in (node for node in block.body if isinstance(node, ast.ClassDef)):
        for member in described.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{compat.SYMBOLS[described.name]}.{member.name}"
            elif isinstance(member, ast.AnnAssign):
                yield f"{compat.SYMBOLS[described.name]}.{member.target.id}"


USED += declared_for_mypy()

# --- reading sources ---------------------------------------------------------------------------------------------


class Sources:
    """The Python files below a folder, read as names and never imported."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = cache(self._tree)

    def missing(self, symbols: list[str]) -> list[str]:
        """What is wrong with which symbol (``module``, ``module:name`` or ``module:Class.member``)."""
        found = ((symbol, self._problem(symbol)) for symbol in symbols)
        return [f"{symbol}: {problem}" for symbol, problem in found if problem]

    def _problem(self, symbol: str) -> str:
        module, _, path = symbol.partition(":")
        if self.tree(module) is None:
            return f"there is no module {module}"
        name, _, member = path.partition(".")
        if name and not self.binds(module, name):
            return f"module {module} does not have {name}"
        if member and member not in self.members(module, name):
            return f"{name} in {module} does not have {member}"
        return ""

    def _tree(self, module: str) -> ast.Module | None:
        base = self.root.joinpath(*module.split("."))
        path = next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
        return None if path is None else ast.parse(path.read_text(encoding="utf-8"))

    def statements(self, module: str) -> Iterator[ast.stmt]:
        """Those of the module's own scope, also below if, try and with."""
        waiting = list(self.tree(module).body)
        while waiting:
            node = waiting.pop(0)
            yield node
            if isinstance(node, ast.If | ast.Try | ast.With):
                waiting += [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]

    def home(self, module: str, node: ast.ImportFrom) -> str:
        """The module that a ``from ... import`` names."""
        if not node.level:
            return node.module or ""
        is_package = self.root.joinpath(*module.split("."), "__init__.py").is_file()
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def binds(self, module: str, name: str) -> bool:
        if self.tree(f"{module}.{name}") is not None:
            return True
        for node in self.statements(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
                return True
            if isinstance(node, ast.Import) and name in [alias.asname or alias.name for alias in node.names]:
                return True
            if isinstance(node, ast.ImportFrom):
                if name in [alias.asname or alias.name for alias in node.names]:
                    return self._import_holds(module, node, name)
                home = self.home(module, node)
                if node.names[0].name == "*" and self.tree(home) is not None and self.binds(home, name):
                    return True
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return True
        return False

    def _import_holds(self, module: str, node: ast.ImportFrom, name: str) -> bool:
        """Whether what is imported is there; of other packages it is taken for granted."""
        home = self.home(module, node)
        original = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
        if not home.startswith("verl"):
            return True
        return self.tree(home) is not None and self.binds(home, original)

    def definition(self, module: str, name: str) -> tuple[str, ast.ClassDef] | None:
        """The class, and the module where it is written."""
        for node in self.statements(module):
            if isinstance(node, ast.ClassDef) and node.name == name:
                return module, node
            if isinstance(node, ast.ImportFrom) and self.tree(self.home(module, node)) is not None:
                for alias in node.names:
                    if alias.name == "*" or (alias.asname or alias.name) == name:
                        original = name if alias.name == "*" else alias.name
                        found = self.definition(self.home(module, node), original)
                        if found:
                            return found
        return None

    def members(self, module: str, name: str) -> set[str]:
        """Methods, class attributes and what methods set on ``self``, those of base classes in verl included."""
        found = self.definition(module, name)
        if found is None:
            return set()
        home, definition = found
        names = {node.name for node in definition.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        for node in ast.walk(definition):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
        for node in definition.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        for base in definition.bases:
            if isinstance(base, ast.Name):
                names |= self.members(home, base.id)
        return names


# --- the contract ------------------------------------------------------------------------------------------------


def report(missing: list[str], version: str) -> str:
    listed = "\n".join(f"  - {line}" for line in missing)
    return f"verl {version} no longer has what pgsrm_verl/compat.py names:\n{listed}"


def test_the_installed_verl_has_every_name_we_use():
    spec = importlib.util.find_spec("verl")
    if spec is None:
        pytest.skip("verl is not installed")
    missing = Sources(Path(spec.origin).parents[1]).missing(USED)
    assert not missing, report(missing, metadata.version("verl"))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.9.0", "0.9.1"])
def test_each_supported_release_has_every_name_we_use(version, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        f"verl=={version}",
        "--dest",
        str(tmp_path),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    wheels = list(tmp_path.glob("verl-*.whl"))
    if ran.returncode or not wheels:
        pytest.skip(f"verl {version} cannot be downloaded here: {ran.stderr[-300:]}")
    zipfile.ZipFile(wheels[0]).extractall(tmp_path / "sources")
    missing = Sources(tmp_path / "sources").missing(USED)
    assert not missing, report(missing, version)


def test_what_mypy_is_told_of_verl_is_among_the_names_looked_for():
    assert "verl.single_controller.base.worker:Worker.world_size" in USED
    assert "verl.workers.rollout.replica:RolloutReplica.launch_servers" in USED


def verl_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def test_nothing_but_compat_imports_verl():
    found = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in verl_imports(path)
        if name.split(".")[0] == "verl"
    ]
    assert found == []


def test_every_name_asked_of_compat_is_listed():
    known = {*compat.SYMBOLS, *vars(compat)}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "pgsrm_verl.compat":
                assert {alias.name for alias in node.names} <= known, f"{path.name}, line {node.lineno}"
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "compat":
                assert node.attr in known, f"{path.name}, line {node.lineno}: compat.{node.attr}"


# --- the contract can fail ---------------------------------------------------------------------------------------

FAKE = {
    "verl/__init__.py": "from .a import *\n",
    "verl/a.py": "import os\ntry:\n    from verl.b import Base as Old\nexcept ImportError:\n    Old = 0\nX: int = 1\n",
    "verl/b.py": "class Root:\n    def __init__(self):\n        self.workers = []\nclass Base(Root):\n    flag = 1\n"
    "    async def run(self): ...\nfrom verl.gone import Lost\n",
}


@pytest.fixture
def fake(tmp_path):
    for name, text in FAKE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return Sources(tmp_path)


@pytest.mark.parametrize(
    "symbol",
    [
        "verl",
        "verl.a:X",
        "verl:X",
        "verl:b",
        "verl.a:Old",
        "verl.a:Old.run",
        "verl.b:Base.flag",
        "verl.b:Base.workers",
        "verl.b:Base.__init__",
    ],
)
def test_names_that_are_there_are_found(fake, symbol):
    assert fake.missing([symbol]) == []


@pytest.mark.parametrize(
    ("symbol", "problem"),
    [
        ("verl.c", "there is no module verl.c"),
        ("verl.c:X", "there is no module verl.c"),
        ("verl.b:X", "module verl.b does not have X"),
        ("verl.b:Lost", "module verl.b does not have Lost"),
        ("verl.b:Base.walk", "Base in verl.b does not have walk"),
        ("verl.a:Old.walk", "Old in verl.a does not have walk"),
    ],
)
def test_a_name_that_went_away_is_reported_exactly(fake, symbol, problem):
    assert fake.missing(["verl.a:X", symbol]) == [f"{symbol}: {problem}"]


# --- versions ----------------------------------------------------------------------------------------------------


def test_the_bound_is_the_one_of_the_extra():
    lines = [Requirement(line) for line in metadata.requires("pgsrm-plugin")]
    wanted = {line.specifier for line in lines if line.name == "verl"}  # of the extras verl and dev
    assert wanted == {Requirement(f"verl{compat.SUPPORTED}").specifier}


@pytest.mark.parametrize("version", ["0.8.5", "0.10.0", "1.0", "0.10.0.dev0"])
def test_another_version_is_refused_with_the_remedy(version, monkeypatch):
    monkeypatch.setattr(compat, "version", lambda name: version)
    with pytest.raises(
        compat.CompatError, match=rf"verl {version} is installed, .* run `pip install 'verl>=0\.9\.0,<0\.10'`"
    ):
        compat.check_version()


def test_no_verl_at_all(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(compat, "version", absent)
    with pytest.raises(compat.CompatError, match=r"run `pip install 'pgsrm-plugin\[verl\]'`"):
        compat.check_version()


def test_importing_compat_imports_no_verl():
    code = "import sys, pgsrm_verl.compat; sys.exit('verl' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=100, check=False).returncode == 0


def test_an_unlisted_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="names of verl's are listed in SYMBOLS"):
        _ = compat.Nonsense


def test_a_listed_name_that_verl_lost_says_so(monkeypatch):
    pytest.importorskip("verl")
    monkeypatch.setitem(compat.SYMBOLS, "Gone", "verl.protocol:Gone")
    with pytest.raises(compat.CompatError, match=r"verl 0\.9\.\d+ has no verl\.protocol\.Gone, although"):
        _ = compat.Gone


FAILURES = {
    "verl_half.py": "from pgsrm_verl import compat\ncompat.load('verl_half:Late')\nLate = 1\n",
    "verl_broken.py": "import os\nos.no_such_name\n",
}


@pytest.mark.parametrize(
    ("symbol", "error", "message"),
    [
        ("verl_half:Late", compat.CompatError, "verl_half is still being imported and has no Late yet: .* in a circle"),
        ("verl_broken:Name", AttributeError, "module 'os' has no attribute 'no_such_name'"),
        ("verl_absent:Name", compat.CompatError, r"has no verl_absent\.Name, although"),
        ("json:absent", compat.CompatError, r"has no json\.absent, although"),
    ],
)
def test_what_is_wrong_with_an_import_is_said_and_nothing_else(symbol, error, message, tmp_path, monkeypatch):
    for name, text in FAILURES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(compat, "version", lambda name: "0.9.1")
    with pytest.raises(error, match=message) as caught:
        compat.load(symbol)
    assert type(caught.value) is error


@pytest.mark.parametrize("first", ["streaming.manager", "colocated.trainer", "streaming.preflight", "plugin"])
def test_our_modules_can_be_imported_before_verls_registries(first):
    pytest.importorskip("verl")
    code = (
        f"import pgsrm_verl.{first}; from verl.experimental.reward_loop.reward_manager import registry; "
        "from verl.trainer.ppo.v1 import trainer_base; "
        "print(sorted({'pgsrm', 'semantic'} & registry.REWARD_MANAGER.keys()), "
        "any('pgsrm_sync' in str(value) for value in vars(trainer_base).values()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "['pgsrm', 'semantic'] True"


# --- TRL beside verl --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("installed", [None, "0.24.0", "1.12.0"])
def test_a_trl_that_verl_can_live_with(monkeypatch, installed):
    monkeypatch.setattr(compat, "version", _version(installed))
    compat.check_trl()


@pytest.mark.parametrize("installed", ["1.13.0", "1.16.0", "2.0.0rc1"])
def test_a_trl_without_what_verl_imports_is_refused(monkeypatch, installed):
    monkeypatch.setattr(compat, "version", _version(installed))
    with pytest.raises(compat.CompatError) as raised:
        compat.check_trl()
    assert str(raised.value).startswith(f"trl {installed} is installed beside verl ")
    assert "AutoModelForCausalLMWithValueHead from it (verl/models/transformers/monkey_patch.py)" in str(raised.value)
    assert "run `pip install 'trl<1.13'`" in str(raised.value)


def _version(trl):
    def version(name):
        if name == "trl" and trl is None:
            raise metadata.PackageNotFoundError(name)
        return trl if name == "trl" else metadata.version(name)

    return version


def test_the_installed_trl_has_what_verl_imports():
    """What stands in the way of a newer one: while this fails, the bound in compat.TRL is wrong."""
    pytest.importorskip("trl")
    assert importlib.util.find_spec("trl.experimental.ppo") is not None
    compat.check_trl()
