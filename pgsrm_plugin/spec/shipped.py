"""The reward specs that come with the package, by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pgsrm_plugin.errors import SpecError, did_you_mean


def shipped_specs() -> dict[str, Path]:
    """The shipped specs by name, from the installed wheel or the checkout's ``recipes/rewards``."""
    package = Path(str(files("pgsrm_plugin")))
    for folder in (package / "_recipes" / "rewards", package.parent / "recipes" / "rewards"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find_spec_file(name_or_path: str | Path) -> Path:
    """The spec file that a path, or the bare name of a shipped spec, means. An existing path goes first.

    Raises:
        SpecError: there is no such file, and no shipped spec of that name.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    shipped = shipped_specs()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    if path.is_dir():
        raise SpecError(f"{path} is a folder; give a spec file in it")
    siblings = [entry.name for entry in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    nearest = did_you_mean(path.name, [*shipped, *siblings])
    raise SpecError(f"{name_or_path}: there is no such spec file{nearest} (shipped specs: {', '.join(shipped)})")
