"""Measures the source: how large files, functions and folders are, what imports what, and which names are double.

`python scripts/house.py [PATH or git revision ...]` prints a Markdown table with a column for each (default: this
working tree). Counts the packages `pgsrm_plugin` and those in `integrations/`, without tests, docs and scripts.
"""

from __future__ import annotations

import ast
import io
import math
import statistics
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED_NAMES = {"__init__", "__main__", "base"}
"""Module names that a package may have in several folders."""
WIDEST = 12
"""The most modules a folder should have."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file.

    Attributes:
        name: its dotted name; that of a package for an ``__init__``.
        path: relative to the tree's root.
        text: the source.
        tree: the same, parsed.
    """

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The package that it is in, at the top."""
        return self.name.partition(".")[0]


def modules(root: Path) -> list[Module]:
    """The modules of every package under a root, by path."""
    found = []
    for parent in (root, root / "integrations"):
        for package in sorted(parent.glob("pgsrm_*")):
            for path in sorted(package.rglob("*.py")):
                parts = path.relative_to(parent).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                text = path.read_text(encoding="utf-8")
                found.append(Module(name, path.relative_to(root), text, ast.parse(text, str(path))))
    return found


def folders(found: Sequence[Module]) -> dict[str, int]:
    """The number of modules in each folder, ``__init__`` apart."""
    count = Counter({module.path.parent.as_posix(): 0 for module in found})
    count.update(module.path.parent.as_posix() for module in found if module.path.stem != "__init__")
    return dict(sorted(count.items()))


def imports(found: Sequence[Module], *, lazy: bool = True) -> dict[str, set[str]]:
    """For each module, those of the same tree that it imports, but for type checkers only.

    Args:
        found: the modules.
        lazy: count also the imports inside functions, which run when a function does.
    """
    names = {module.name for module in found}
    return {module.name: set(_targets(module, names, lazy)) - {module.name} for module in found}


def _targets(module: Module, names: set[str], lazy: bool) -> Iterator[str]:
    parts = module.name.split(".")
    here = parts if module.path.stem == "__init__" else parts[:-1]
    for node in _running(module.tree, lazy):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (above, node.module)))
            wanted = [f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in names else origin for alias in node.names]
        else:
            continue
        yield from (name for name in wanted if name in names)


def _running(node: ast.AST, lazy: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, Function) and not lazy:
            continue
        yield child
        yield from _running(child, lazy)


def circles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The sets of modules that import each other, whether directly or by way of others of the set."""
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph}
    return sorted(group for group in groups if group)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [*graph[start]]
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen


def double_modules(found: Sequence[Module]) -> set[tuple[str, str]]:
    """Package and file name of modules that share it."""
    return _double((module.package, module.path.stem) for module in found if module.path.stem not in SHARED_NAMES)


def double_classes(found: Sequence[Module]) -> set[tuple[str, str]]:
    """Package and name of classes, at the top of their modules, that share it."""
    return _double(
        (module.package, node.name) for module in found for node in module.tree.body if isinstance(node, ast.ClassDef)
    )


def _double(names: Iterator[tuple[str, str]]) -> set[tuple[str, str]]:
    return {name for name, count in Counter(names).items() if count > 1}


def measures(root: Path) -> dict[str, str]:
    """Every figure of a tree, as text, by what it says."""
    found = modules(root)
    lines = [len(module.text.splitlines()) for module in found]
    functions = [node for module in found for node in ast.walk(module.tree) if isinstance(node, Function)]
    lengths = [_length(node) for node in functions]
    wide = folders(found)
    graph = imports(found)
    fan_in = Counter(target for targets in graph.values() for target in targets)
    return {
        "source files": f"{len(found):,}",
        "lines": f"{sum(lines):,}",
        "lines a file: median / 90 % / most": _spread(lines),
        "lines a function: median / 90 % / most": _spread(lengths),
        "modules a folder: median / most": f"{statistics.median(wide.values()):g} / {max(wide.values())}",
        f"folders of more than {WIDEST} modules": str(sum(count > WIDEST for count in wide.values())),
        "modules with one importer": str(sum(fan_in[module.name] == 1 for module in found)),
        "lines with a comment": f"{sum(map(_comments, found)) / sum(lines):.1%}",
        "functions annotated": f"{sum(map(_annotated, functions)) / len(functions):.1%}",
        "module names double in a package": str(len(double_modules(found))),
        "class names double in a package": str(len(double_classes(found))),
        "circles of imports: when loaded / ever": f"{len(circles(imports(found, lazy=False)))} / {len(circles(graph))}",
    }


def _length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _spread(values: Sequence[int]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):g} / {ordered[math.ceil(0.9 * len(ordered)) - 1]} / {ordered[-1]}"


def _comments(module: Module) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
    return len({token.start[0] for token in tokens if token.type == tokenize.COMMENT})


def _annotated(node: Function) -> bool:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return node.returns is not None and all(one.annotation or one.arg in ("self", "cls", "mcs") for one in every)


def table(columns: dict[str, dict[str, str]]) -> str:
    """A Markdown table with a row for each measure and a column for each tree."""
    head = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    rows = next(iter(columns.values()))
    return "\n".join(head + [f"| {row} | " + " | ".join(one[row] for one in columns.values()) + " |" for row in rows])


def measured(tree: str) -> dict[str, str]:
    """The measures of a folder, or of a git revision of this repository.

    Raises:
        subprocess.CalledProcessError: it is neither.
    """
    if Path(tree).is_dir():
        return measures(Path(tree))
    archive = subprocess.run(
        ["git", "archive", tree, "pgsrm_plugin", "integrations"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder)
        return measures(Path(folder))


if __name__ == "__main__":
    print(table({Path(tree).name or tree: measured(tree) for tree in sys.argv[1:] or [str(ROOT)]}))
